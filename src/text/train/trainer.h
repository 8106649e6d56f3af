/* The inside of a gr_tokenizer_trainer: texts are cut into parts, whose words are counted by all threads. */
#ifndef GR_TEXT_TRAINER_H
#define GR_TEXT_TRAINER_H

#include "base/thread.h"
#include "text/train/learn.h"

struct gr_tokenizer_trainer {
    gr_tokenizer_training options;
    char **special; /* [options.n_special] */
    gr_pool *pool;
    gr_word_counts *counts; /* one for each thread of the pool */
    int64_t bytes;          /* counted so far */
    bool told_of_bytes;     /* that some are no UTF-8 */
    bool told_of_nul;
};

/* count.c: counts the words of one text, or of what is whole of one: *used bytes, up to the last place where a
 * text can be cut without cutting a word. `end`: there is no more of it, all is used. */
gr_status gr_trainer_count_text(gr_tokenizer_trainer *t, const char *text, size_t size, bool end, size_t *used);
/* The same for the lines of a .jsonl file, each a text of its own. *line: number of the first, then of the next. */
gr_status gr_trainer_count_jsonl(gr_tokenizer_trainer *t, const char *name, const char *text, size_t size, bool end,
                                 size_t *used, int64_t *line);

#endif
