/* Cutting text into the pieces that the model sees one at a time: "pre_tokenizer" of tokenizer.json. */
#ifndef GR_TEXT_PRETOKENIZE_H
#define GR_TEXT_PRETOKENIZE_H

#include "base/json.h"
#include "text/stages/scan.h"

typedef struct gr_piece {
    const char *text; /* in the input, or in the list's own text */
    size_t size;
    size_t zero; /* bytes at its front that are of the first character of the user's text, or put before it */
} gr_piece;

typedef struct gr_pieces {
    gr_piece *piece;
    size_t n, cap;
    gr_bytes own; /* text of the pieces that a step changed; their `text` is set once all are written */
} gr_pieces;

gr_status gr_pieces_add(gr_pieces *p, const char *text, size_t size, size_t zero);
void gr_pieces_free(gr_pieces *p);

typedef struct gr_pretokenizer gr_pretokenizer;

/* Reads "pre_tokenizer"; NULL: gr_error(). raw_bytes: the model takes raw bytes, so a last ByteLevel step need not
 * spell them in its alphabet; set to false when there is no such step. */
gr_pretokenizer *gr_pretokenizer_read(gr_json value, bool *raw_bytes);
void gr_pretokenizer_free(gr_pretokenizer *p);
/* The scanner that does all of its work, or NULL: then run. */
gr_scan_fn gr_pretokenizer_scanner(const gr_pretokenizer *p);
/* Whether anything depends on the pieces' `zero`. */
bool gr_pretokenizer_is_empty(const gr_pretokenizer *p); /* it changes and cuts nothing */
bool gr_pretokenizer_asks_zero(const gr_pretokenizer *p);
/* Cuts the pieces of *io, with *spare as the other side of each step. */
gr_status gr_pretokenizer_run(const gr_pretokenizer *p, gr_pieces *io, gr_pieces *spare);

#endif
