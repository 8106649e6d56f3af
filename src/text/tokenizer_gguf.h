/* A tokenizer as keys of a GGUF file. */
#ifndef GR_TEXT_TOKENIZER_GGUF_H
#define GR_TEXT_TOKENIZER_GGUF_H

#include "format/gguf_write.h"
#include "text/files/gguf.h"
#include "text/tokenizer.h"

/* Byte-level BPE, and BPE of pieces with U+2581 for spaces; `rows`: of the embedding, as many as there are tokens then. pre: what its
 * pre-tokenizer is called; NULL: it is found by what it does to a text that tells all of them apart. What such files have no way
 * to say is an error. */
gr_status gr_gguf_put_tokenizer(gr_tokenizer *t, const char *pre, int64_t rows, gr_gguf_keys *keys);
/* The name of what cuts texts as this tokenizer does; NULL: gr_error(). */
const char *gr_gguf_pre_of(gr_tokenizer *t, gr_json root);
/* i-th pre-tokenizer of the table as a tokenizer.json has it; NULL: gr_error(). */
gr_pretokenizer *gr_gguf_pretokenizer(const gr_gguf_pre *pre);
/* Cuts the telling text. */
gr_status gr_gguf_cut(const gr_pretokenizer *p, gr_pieces *out);

#endif
