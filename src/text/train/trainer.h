/* The inside of a gr_tokenizer_trainer: texts are cut into parts, whose words are counted by all threads. */
#ifndef GR_TEXT_TRAINER_H
#define GR_TEXT_TRAINER_H

#include "data/corpus.h"
#include "text/train/learn.h"

typedef struct gr_tokenizer_trainer gr_tokenizer_trainer;
struct gr_tokenizer_trainer {
    gr_tokenizer_training options;
    char **special; /* [options.n_special] */
    gr_pool *pool;
    gr_word_counts *counts; /* one for each thread of the pool */
    int64_t bytes;          /* counted so far */
};

/* GR_TOKENIZER_BPE: make one, feed it all texts, finish. */
gr_tokenizer_trainer *gr_tokenizer_trainer_new(const gr_tokenizer_training *options);
void gr_tokenizer_trainer_free(gr_tokenizer_trainer *trainer); /* NULL is fine */
gr_status gr_tokenizer_trainer_feed(gr_tokenizer_trainer *trainer, const char *text, size_t size);
/* read.c */
gr_status gr_tokenizer_trainer_feed_files(gr_tokenizer_trainer *trainer, const char *const *paths, int n);
gr_status gr_corpus_feed(const gr_corpus *corpus, gr_tokenizer_trainer *trainer);
gr_tokenizer *gr_tokenizer_trainer_finish(gr_tokenizer_trainer *trainer);

/* count.c: counts the words of one text, or of what is whole of one: *used bytes, up to the last place where a text can
 * be cut without cutting a word. `end`: there is no more of it, all is used. */
gr_status gr_trainer_count_text(gr_tokenizer_trainer *t, const char *text, size_t size, bool end, size_t *used);
/* Of a short document, by a thread of the pool among others: as a gr_reader's `count` is called. */
gr_status gr_trainer_count_document(void *trainer, int worker, const gr_document_text *d);
/* So many bytes more are done: tells whoever watches. */
gr_status gr_trainer_passed(gr_tokenizer_trainer *t, int64_t bytes);

#endif
