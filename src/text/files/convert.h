/* Older tokenizer files as tokenizer.json texts, so that there is one way to run a tokenizer. */
#ifndef GR_TEXT_CONVERT_H
#define GR_TEXT_CONVERT_H

#include "text/unicode/buffer.h"

/* Appends what transformers makes of a SentencePiece tokenizer.model (LLaMA's kind: BPE with byte_fallback; Unigram
 * without a normalization table). `name` is what errors call it. */
gr_status gr_convert_sentencepiece(const char *name, const void *data, size_t size, gr_bytes *json);

/* Appends GPT-2's vocab.json and merges.txt as one tokenizer.json. */
gr_status gr_convert_merges(const char *vocab, size_t vocab_size, const char *merges, size_t merges_size,
                            gr_bytes *json);

#endif
