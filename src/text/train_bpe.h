/* Learning the merges of a byte-level BPE (Sennrich et al. 2016) from counted words, as Hugging Face's BpeTrainer does. */
#ifndef GR_TEXT_TRAIN_BPE_H
#define GR_TEXT_TRAIN_BPE_H

#include "text/vocab.h"

typedef struct gr_word_counts { /* distinct words and how often they were seen */
    gr_vocab words;
    int64_t *count; /* by id of the word */
    size_t cap;
} gr_word_counts;

gr_status gr_word_counts_add(gr_word_counts *w, const char *word, size_t size);
void gr_word_counts_free(gr_word_counts *w);

typedef struct gr_learned { /* one merge: two tokens become one */
    int32_t left, right, id;
} gr_learned;

/* Learns merges until `vocab` has vocab_size tokens, no pair is left, or the most frequent one is rarer than
 * min_frequency. vocab holds the special tokens and the 256 bytes (byte_id: the token of each), and gets the new tokens,
 * as raw bytes; caller frees *merges. */
gr_status gr_bpe_learn(const gr_word_counts *w, gr_vocab *vocab, const int32_t byte_id[256], int64_t vocab_size,
                       int64_t min_frequency, gr_learned **merges, size_t *n);

#endif
