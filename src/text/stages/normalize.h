/* "normalizer" of tokenizer.json: rewrites the text before it is cut. */
#ifndef GR_TEXT_NORMALIZE_H
#define GR_TEXT_NORMALIZE_H

#include "base/buffer.h"
#include "base/json.h"

typedef struct gr_normalizer gr_normalizer;

/* Reads "normalizer"; NULL: gr_error(). A null normalizer changes nothing. */
gr_normalizer *gr_normalizer_read(gr_json value);
void gr_normalizer_free(gr_normalizer *n);
/* Whether what stands at the beginning of a normalized text may be a replacement. */
bool gr_normalizer_replaced(const gr_normalizer *n, const char *text, size_t size);
bool gr_normalizer_is_empty(const gr_normalizer *n);
/* Makes *out the normalized text; *spare is used up. Invalid bytes pass through. */
gr_status gr_normalizer_run(const gr_normalizer *n, const char *text, size_t size, gr_bytes *out, gr_bytes *spare);
/* The same, and whether it became nothing in a table (Precompiled): at the beginning of a text what is left then counts as
 * the first character. */
gr_status gr_normalizer_run_first(const gr_normalizer *n, const char *text, size_t size, gr_bytes *out, gr_bytes *spare,
                                  bool *dropped);

#endif
