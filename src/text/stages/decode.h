/* From tokens back to text: the "decoder" of tokenizer.json, a chain of steps over a list of strings. */
#ifndef GR_TEXT_DECODE_H
#define GR_TEXT_DECODE_H

#include "base/buffer.h"
#include "base/json.h"

typedef struct gr_strings { /* a list of strings, one behind the other */
    gr_bytes text;
    size_t *end; /* where each ends */
    size_t n, cap;
} gr_strings;

gr_status gr_strings_add(gr_strings *s, const char *text, size_t size);
void gr_strings_clear(gr_strings *s);
void gr_strings_free(gr_strings *s);
/* The i-th string. */
const char *gr_strings_at(const gr_strings *s, size_t i, size_t *size);

typedef struct gr_decoder gr_decoder;

/* Reads "decoder"; NULL: gr_error(). A null decoder joins tokens with spaces, as Hugging Face does. */
gr_decoder *gr_decoder_read(gr_json value);
void gr_decoder_free(gr_decoder *d);
/* Decodes the strings of *tokens into *out (appended). *tokens and *spare are used up. */
gr_status gr_decoder_run(const gr_decoder *d, gr_strings *tokens, gr_strings *spare, gr_bytes *out);
/* Nothing but ByteLevel: then tokens are bytes, and text is their concatenation. */
bool gr_decoder_is_byte_level(const gr_decoder *d);

#endif
