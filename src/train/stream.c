/* One stream of token ids, all documents joined. */
#include "train/data.h"

#include "base/mem.h"

#include <string.h>

gr_data *gr_data_from_ids(const int32_t *ids, int64_t n)
{
    if (gr_lacks(ids, "gr_data_from_ids: ids"))
        return NULL;
    if (n < 2) {
        gr_fail(GR_ERR_ARGUMENT, "data: %lld tokens, at least 2 are needed\ngive more text", (long long)n);
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
    char place[GR_PLACE_SIZE];
    return gr_fail(GR_ERR_FILE,
                   "%s: has a prompt and a completion, but here all documents become one text to train on\n"
                   "train and finetune keep them apart with --documents apart",
                   gr_place(c->files, d->file, d->line, place, sizeof place));
}

/* The corpus becomes ids a part at a time. */
typedef struct joiner {
    const gr_corpus *corpus;
    gr_tokenizer *tokenizer;
    int threads;
    gr_data *data;
    size_t capacity;
    size_t at; /* bytes of text that are done */
} joiner;

enum { BATCH = 16 << 20 };

/* One of documents [first, end) cannot be encoded: says which. */
static gr_status blame(joiner *j, size_t first, size_t end)
{
    char place[GR_PLACE_SIZE];
    const int32_t *ids;
    size_t at = j->at, n;
    for (size_t i = first; i < end; at += j->corpus->documents[i++].size) {
        const gr_document_text *d = &j->corpus->documents[i];
        if (gr_tokenizer_encode(j->tokenizer, j->corpus->text + at, d->size, 0, &ids, &n) != GR_OK)
            return gr_fail_in("%s", gr_place(j->corpus->files, d->file, d->line, place, sizeof place));
    }
    return gr_error_status();
}

/* Adds what has been encoded, with the end of text between documents. One text alone is not copied. */
static gr_status add_encoded(joiner *j, gr_encoded *e, size_t first)
{
    int32_t between = (int32_t)gr_tokenizer_eos(j->tokenizer);
    gr_status s = GR_OK;
    if (j->corpus->n == 1) {
        j->data->ids = e->ids;
        j->data->n = (int64_t)e->ends[0];
        e->ids = NULL;
        return GR_OK;
    }
    for (size_t i = 0, from = 0; s == GR_OK && i < e->n; from = e->ends[i++]) {
        if (first + i && between >= 0)
            s = add_ids(j->data, &j->capacity, &between, 1);
        if (s == GR_OK)
            s = add_ids(j->data, &j->capacity, e->ids + from, e->ends[i] - from);
    }
    return s;
}

/* Documents from `first` on, as many as make a batch; *end is the one behind them. */
static gr_status join_some(joiner *j, size_t first, size_t *end)
{
    const gr_document_text *d = j->corpus->documents;
    size_t size = 0, n = 0;
    while (first + n < j->corpus->n && size < BATCH)
        size += d[first + n++].size;
    *end = first + n;
    gr_span *spans = gr_alloc(n * sizeof *spans);
    gr_encoded e = {0};
    gr_status s = spans ? GR_OK : GR_ERR_MEMORY;
    size_t at = j->at;
    for (size_t i = 0; s == GR_OK && i < n; at += d[first + i++].size) {
        spans[i] = (gr_span){j->corpus->text + at, d[first + i].size};
        s = d[first + i].prompt ? refuse_prompt(j->corpus, &d[first + i]) : GR_OK;
    }
    if (s == GR_OK) {
        s = gr_tokenizer_encode_all(j->tokenizer, spans, n, 0, j->threads, &e);
        s = s == GR_ERR_ARGUMENT ? blame(j, first, *end) : s;
    }
    if (s == GR_OK)
        s = add_encoded(j, &e, first);
    j->at = at;
    gr_encoded_free(&e);
    gr_free(spans);
    return s;
}

gr_data *gr_data_from_corpus(const gr_corpus *c, gr_tokenizer *tokenizer, int threads)
{
    if (gr_lacks(c, "gr_data_from_corpus: corpus") || gr_lacks(tokenizer, "gr_data_from_corpus: tokenizer"))
        return NULL;
    joiner j = {.corpus = c, .tokenizer = tokenizer, .threads = threads, .data = gr_alloc_zero(1, sizeof *j.data)};
    gr_status s = j.data ? gr_inputs_copy(&j.data->inputs, &c->inputs) : GR_ERR_MEMORY;
    for (size_t i = 0; s == GR_OK && i < c->n;)
        s = join_some(&j, i, &i);
    if (s == GR_OK && j.data->n < 2)
        s = gr_fail(GR_ERR_ARGUMENT, "data: only %lld tokens, at least 2 are needed\ngive more text",
                    (long long)j.data->n);
    if (s == GR_OK) {
        j.data->bytes = (int64_t)c->size;
        return j.data;
    }
    gr_data_free(j.data);
    return NULL;
}
