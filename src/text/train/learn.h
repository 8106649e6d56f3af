/* Learning the merges of a byte-level BPE (Sennrich et al. 2016) from counted words, as Hugging Face's BpeTrainer does. */
#ifndef GR_TEXT_LEARN_H
#define GR_TEXT_LEARN_H

#include "text/vocab/vocab.h"

typedef struct gr_word_counts { /* distinct words and how often they were seen */
    gr_vocab words;
    int64_t *count; /* by id of the word */
    size_t cap;
} gr_word_counts;

gr_status gr_word_counts_add(gr_word_counts *w, const char *word, size_t size, int64_t times);
void gr_word_counts_free(gr_word_counts *w);

typedef struct gr_learned { /* one merge: two tokens become one */
    int32_t left, right, id;
} gr_learned;

typedef struct gr_learning {
    int64_t vocab_size;    /* learning ends with this many tokens, */
    int64_t min_frequency; /* when the most frequent pair is rarer, */
    /* or when this, asked now and then, is false (GR_ERR_INTERRUPTED); NULL: never asked. */
    bool (*go_on)(void *ctx, int64_t tokens);
    void *ctx;
} gr_learning;

/* Learns merges. vocab holds the special tokens and the 256 bytes (byte_id: the token of each), and gets the new tokens,
 * as raw bytes; caller frees *merges. The result does not depend on the order of the words. */
gr_status gr_bpe_learn(const gr_word_counts *w, gr_vocab *vocab, const int32_t byte_id[256], const gr_learning *how,
                       gr_learned **merges, size_t *n);

#endif
