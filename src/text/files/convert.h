/* Older tokenizer files as tokenizer.json texts, so that there is one way to run a tokenizer. Added tokens and what is
 * put around a text come later, of what stands beside (see tokenizer_beside.c). */
#ifndef GR_TEXT_CONVERT_H
#define GR_TEXT_CONVERT_H

#include "text/files/classes.h"

/* Appends a SentencePiece tokenizer.model alone, in LLaMA's way: <s> before the text, a space before each part of it (BPE
 * with byte_fallback; Unigram without a normalization table). `name` is what errors call it. */
gr_status gr_convert_sentencepiece(const char *name, const void *data, size_t size, gr_bytes *json);
/* Appends what the class makes of it; b's additional tokens become those of the model, its names get the model's. */
gr_status gr_convert_sentencepiece_of(const gr_tokenizer_class *c, gr_beside *b, const char *name, const void *data,
                                      size_t size, gr_bytes *json);

typedef struct gr_file_text {
    const char *data;
    size_t size;
} gr_file_text;

/* Whether a tokenizer.model is no SentencePiece model but tiktoken's lines of base64 and rank. */
bool gr_is_tiktoken(const void *data, size_t size);
/* Appends those with the pattern that stands for them: LLaMA 3's, or Kimi's where its program is named. b NULL: alone. */
gr_status gr_convert_tiktoken(const gr_beside *b, const char *name, const void *data, size_t size, gr_bytes *json);
/* Appends Mistral's tekken.json; with_bos: with "<s>" before every text. */
gr_status gr_convert_tekken(const char *data, size_t size, bool with_bos, gr_bytes *json);
/* Appends BERT's vocab.txt. */
gr_status gr_convert_vocab_txt(const gr_tokenizer_class *c, const gr_beside *b, gr_file_text file, gr_bytes *json);
/* Appends what the class makes of vocab.json and merges.txt. */
gr_status gr_convert_merges(const gr_tokenizer_class *c, const gr_beside *b, gr_file_text vocab, gr_file_text merges,
                            gr_bytes *json);

/* The stages of a class as an object with "normalizer", "pre_tokenizer" and "decoder". */
gr_status gr_add_level_stages(const gr_tokenizer_class *c, const gr_beside *b, gr_bytes *json);
gr_status gr_add_llama_stages(const gr_beside *b, gr_bytes *json);
/* Where LLaMA's class puts a space: "always" before each part between added tokens, "first", "never". */
const char *gr_told_scheme(const gr_beside *b);

#endif
