/* Documents to train a tokenizer on. */
#include "data/corpus.h"
#include "text/train/trainer.h"

static gr_status take(void *user, gr_document_text *d)
{
    return gr_trainer_count_text(user, d->text, d->size, !d->more, &d->used);
}

static gr_status passed(void *user, int64_t bytes)
{
    return gr_trainer_passed(user, bytes);
}

static gr_reader reader_for(gr_tokenizer_trainer *t)
{
    return (gr_reader){.take = take,
                       .count = gr_trainer_count_document,
                       .passed = passed,
                       .user = t,
                       .pool = t->pool,
                       .learns_tokenizer = true};
}

static gr_status close_reader(gr_reader *r, gr_status s)
{
    gr_files_free(r->files, r->n_files);
    gr_inputs_free(&r->inputs);
    return s;
}

gr_status gr_tokenizer_trainer_feed_files(gr_tokenizer_trainer *t, const char *const *paths, int n)
{
    gr_reader r = reader_for(t);
    return close_reader(&r, gr_read_documents(&r, paths, n));
}

gr_status gr_corpus_feed(const gr_corpus *c, gr_tokenizer_trainer *t)
{
    gr_reader r = reader_for(t);
    return close_reader(&r, gr_corpus_read(c, &r));
}
