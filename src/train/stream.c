/* One stream of token ids, all documents joined. */
#include "train/data.h"

#include "base/mem.h"

#include <string.h>

gr_data *gr_data_from_ids(const int32_t *ids, int64_t n)
{
    if (n < 2) {
        gr_fail(GR_ERR_ARGUMENT, "data: %lld tokens, at least 2 are needed", (long long)n);
        return NULL;
    }
    gr_data *d = gr_alloc_zero(1, sizeof *d);
    int32_t *copy = d ? gr_alloc((size_t)n * sizeof *copy) : NULL;
    if (!copy) {
        gr_free(d);
        return NULL;
    }
    memcpy(copy, ids, (size_t)n * sizeof *copy);
    d->ids = copy;
    d->n = n;
    return d;
}

static gr_status add_ids(gr_data *d, size_t *capacity, const int32_t *ids, size_t n)
{
    gr_status s = gr_grow(&d->ids, capacity, (size_t)d->n + n, sizeof *d->ids);
    if (s == GR_OK && n)
        memcpy(d->ids + d->n, ids, n * sizeof *ids);
    if (s == GR_OK)
        d->n += (int64_t)n;
    return s;
}

/* In one stream everything is trained on: a prompt would be, too. */
static gr_status refuse_prompt(const gr_corpus *c, const gr_document_text *d)
{
    char place[500];
    return gr_fail(GR_ERR_FILE,
                   "%s: has a prompt and a completion, but here all documents become one text to train on\n"
                   "train and finetune keep them apart with --documents apart",
                   gr_place(c->files, d->file, d->line, place, sizeof place));
}

gr_data *gr_data_from_corpus(const gr_corpus *c, gr_tokenizer *tokenizer)
{
    gr_data *d = gr_alloc_zero(1, sizeof *d);
    int32_t between = (int32_t)gr_tokenizer_eos(tokenizer);
    size_t capacity = 0, start = 0, n;
    char place[500];
    gr_status s = d ? GR_OK : GR_ERR_MEMORY;
    for (size_t i = 0; s == GR_OK && i < c->n; i++) {
        const gr_document_text *t = &c->documents[i];
        const int32_t *ids;
        if (t->prompt > 0)
            s = refuse_prompt(c, t);
        if (s == GR_OK && i && between >= 0)
            s = add_ids(d, &capacity, &between, 1);
        if (s == GR_OK && gr_tokenizer_encode(tokenizer, c->text + start, t->size, 0, &ids, &n) != GR_OK)
            s = gr_fail_in("%s", gr_place(c->files, t->file, t->line, place, sizeof place));
        if (s == GR_OK)
            s = add_ids(d, &capacity, ids, n);
        start += t->size;
    }
    if (s == GR_OK && d->n < 2)
        s = gr_fail(GR_ERR_ARGUMENT, "data: only %lld tokens, at least 2 are needed", (long long)d->n);
    if (s == GR_OK) {
        d->bytes = (int64_t)c->size;
        return d;
    }
    gr_data_free(d);
    return NULL;
}
