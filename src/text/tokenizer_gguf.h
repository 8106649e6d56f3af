/* A tokenizer as keys of a GGUF file. */
#ifndef GR_TEXT_TOKENIZER_GGUF_H
#define GR_TEXT_TOKENIZER_GGUF_H

#include "format/gguf_write.h"
#include "text/files/gguf.h"
#include "text/tokenizer.h"

/* Byte-level BPE, BPE of pieces with U+2581 for spaces, and Unigram; `rows`: of the embedding, as many as there are tokens then. pre: what its
 * pre-tokenizer is called; NULL: it is found by what it does to a text that tells all of them apart. What such files have no way
 * to say is an error. */
gr_status gr_gguf_put_tokenizer(gr_tokenizer *t, const char *pre, int64_t rows, gr_gguf_keys *keys);
/* tokenizer_gguf_pieces.c: BPE of pieces by scores, and Unigram. */
gr_status gr_gguf_put_pieces(gr_tokenizer *t, gr_json root, int64_t rows, gr_gguf_keys *keys);
/* Tokens and their types; pieces: one of bytes is told by its name, and one is for what is unknown (-1: none). */
void gr_gguf_put_tokens(gr_tokenizer *t, int64_t rows, bool pieces, gr_token unknown, gr_gguf_keys *keys);
/* What is put around a text. */
gr_status gr_gguf_put_ends(gr_tokenizer *t, gr_gguf_keys *keys);
/* A text that every pre-tokenizer of the table cuts in a way of its own. */
extern const char gr_gguf_telling[];
/* The name of what cuts texts as this tokenizer does; NULL: gr_error(). */
const char *gr_gguf_pre_of(gr_tokenizer *t, gr_json root);
/* i-th pre-tokenizer of the table as a tokenizer.json has it; NULL: gr_error(). */
gr_pretokenizer *gr_gguf_pretokenizer(const gr_gguf_pre *pre);
/* Cuts the telling text. */
gr_status gr_gguf_cut(const gr_pretokenizer *p, gr_pieces *out);

#endif
