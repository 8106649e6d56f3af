/* The normalizer of BERT's tokenizer: control characters away and all white space a space, spaces around Chinese
 * characters, accents away, lower case. */
#ifndef GR_TEXT_NORMALIZE_BERT_H
#define GR_TEXT_NORMALIZE_BERT_H

#include "base/buffer.h"

enum { GR_BERT_CLEAN = 1, GR_BERT_PAD = 2, GR_BERT_STRIP = 4, GR_BERT_LOWER = 8 };

/* Appends what becomes of a text; flags: GR_BERT_. */
gr_status gr_bert_normalize(unsigned flags, const char *text, size_t size, gr_bytes *out);

#endif
