/* Making tokenizers of texts, by whatever recipe. */
#include "base/error.h"
#include "base/sized.h"
#include "text/tokenizer.h"
#include "text/train/trainer.h"

static gr_status check(const gr_tokenizer_training *o)
{
    bool has_texts = o->n_paths > 0 || o->corpus || o->n_texts > 0 || o->next;
    if (o->n_paths > 0 && gr_lacks(o->paths, "gr_tokenizer_train: paths"))
        return GR_ERR_ARGUMENT;
    if ((unsigned)o->recipe > GR_TOKENIZER_BYTES)
        return gr_fail(GR_ERR_UNSUPPORTED, "gr_tokenizer_train: there is no recipe %d", (int)o->recipe);
    if (!has_texts && o->recipe != GR_TOKENIZER_BYTES)
        return gr_fail(GR_ERR_ARGUMENT, "gr_tokenizer_train: it is given no texts\n"
                                        "set paths, corpus, texts or next");
    return GR_OK;
}

static gr_status count(void *trainer, const char *text, size_t size)
{
    return gr_tokenizer_trainer_feed(trainer, text, size);
}

static gr_tokenizer *learn(const gr_tokenizer_training *o)
{
    gr_tokenizer_trainer *t = gr_tokenizer_trainer_new(o);
    gr_status s = t ? GR_OK : gr_error_status();
    if (s == GR_OK && o->n_paths > 0)
        s = gr_tokenizer_trainer_feed_files(t, o->paths, o->n_paths);
    if (s == GR_OK && o->corpus)
        s = gr_corpus_feed(o->corpus, t);
    if (s == GR_OK)
        s = gr_training_texts(o, count, t);
    gr_tokenizer *made = s == GR_OK ? gr_tokenizer_trainer_finish(t) : NULL;
    gr_tokenizer_trainer_free(t);
    return made;
}

gr_tokenizer *gr_tokenizer_train(const gr_tokenizer_training *training)
{
    gr_tokenizer_training o;
    if (gr_lacks(training, "gr_tokenizer_train: training") ||
        gr_take_sized(&o, sizeof o, training, "gr_tokenizer_train: training") != GR_OK || check(&o) != GR_OK)
        return NULL;
    if (o.recipe == GR_TOKENIZER_BYTES)
        return gr_tokenizer_byte();
    return o.recipe == GR_TOKENIZER_CHARACTERS ? gr_tokenizer_characters(&o) : learn(&o);
}
