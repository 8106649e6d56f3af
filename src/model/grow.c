/* Tokens that a model did not know get rows in its embedding, and in a head that is a matrix of its own. */
#include "model/layers/model.h"

#include "base/dtype.h"
#include "base/error.h"
#include "base/json.h"
#include "base/mem.h"
#include "program/store.h"

#include <stdio.h>
#include <string.h>

/* A table with a row for each token, read whole. */
typedef struct table {
    int index;
    gr_entry e;
    char *data;    /* room for e's rows, or for more; NULL: the model is described only */
    size_t stride; /* bytes from a row to the next */
} table;

static const char *table_name(const gr_model *m, int which, char *buffer, size_t size)
{
    snprintf(buffer, size, "%s%s", which == 0 ? m->prefix : "", which == 0 ? m->arch->embedding : "lm_head.weight");
    return buffer;
}

/* Table 0 is the embedding, 1 the head; index -1: it has none of its own. `rows`: what there is to be room for. */
static gr_status open_table(const gr_model *m, int which, int64_t rows, table *t)
{
    char name[128];
    *t = (table){.index = gr_store_find(m->store, table_name(m, which, name, sizeof name)), .e = GR_INIT(gr_entry)};
    gr_status s = t->index >= 0 ? gr_store_entry(m->store, t->index, &t->e) : GR_OK;
    if (s != GR_OK || t->index < 0 || !gr_store_has_data(m->store, t->index))
        return s;
    t->stride = t->e.bytes / (size_t)t->e.shape[0];
    rows = rows > t->e.shape[0] ? rows : t->e.shape[0];
    t->data = gr_alloc_zero((size_t)rows, t->stride);
    return t->data ? gr_store_read(m->store, t->e.name, t->data, t->e.bytes) : GR_ERR_MEMORY;
}

/* The mean of the first rows, in their dtype: [stride], caller frees. One that can be read only has rows of zeroes. */
static char *mean_row(const table *t, int64_t rows)
{
    const gr_dtype_info *d = gr_dtype_get(t->e.dtype);
    int64_t width = t->e.shape[1];
    float *mean = gr_alloc_zero((size_t)width, sizeof *mean), *row = gr_alloc((size_t)width * sizeof *row);
    char *out = gr_alloc_zero(t->stride, 1);
    for (int64_t r = 0; mean && row && out && r < rows; r++) {
        d->to_f32(t->data + (size_t)r * t->stride, row, width);
        for (int64_t c = 0; c < width; c++)
            mean[c] += (row[c] - mean[c]) / (float)(r + 1);
    }
    bool made = mean && row && out;
    if (made && d->from_f32)
        d->from_f32(mean, out, width);
    gr_free(mean);
    gr_free(row);
    if (made)
        return out;
    gr_free(out);
    return NULL;
}

/* ---- more rows ---------------------------------------------------------------------------------------------- */

static gr_status set_table_rows(gr_model *m, int which, int64_t rows)
{
    table t;
    gr_status s = open_table(m, which, rows, &t);
    int64_t was = t.e.shape[0];
    char *mean = s == GR_OK && t.data && rows > was ? mean_row(&t, was) : NULL;
    if (s == GR_OK && t.data && rows > was && !mean)
        s = GR_ERR_MEMORY;
    if (s == GR_OK && t.index >= 0)
        s = gr_store_set_rows(m->store, t.index, rows);
    for (int64_t r = was; mean && r < rows; r++)
        memcpy(t.data + (size_t)r * t.stride, mean, t.stride);
    if (s == GR_OK && t.data)
        s = gr_store_write(m->store, t.e.name, t.data, (size_t)rows * t.stride);
    if (s == GR_OK && t.index >= 0)
        m->info.parameters += (rows - was) * t.e.shape[1];
    gr_free(mean);
    gr_free(t.data);
    return s;
}

static gr_status set_config(gr_model *m, int64_t vocab)
{
    gr_json_doc *doc = gr_json_parse("config.json", m->config, strlen(m->config));
    gr_json_put_int(gr_json_root(doc), "vocab_size", vocab);
    gr_status s = gr_json_renew(doc, &m->config);
    m->info.config = m->config;
    if (s == GR_OK)
        m->h.vocab = m->info.vocab = vocab;
    return s;
}

gr_status gr_model_set_vocab(gr_model *m, int64_t vocab)
{
    gr_status s = GR_OK;
    for (int which = 0; s == GR_OK && which < 2; which++)
        s = set_table_rows(m, which, vocab);
    return s == GR_OK ? set_config(m, vocab) : s;
}

/* ---- tokens ------------------------------------------------------------------------------------------------- */

static gr_status set_means(gr_model *m, int which, const gr_token *ids, int n, int64_t before)
{
    table t;
    gr_status s = open_table(m, which, 0, &t);
    char *mean = s == GR_OK && t.data ? mean_row(&t, before) : NULL;
    if (s == GR_OK && t.data && !mean)
        s = GR_ERR_MEMORY;
    for (int i = 0; mean && i < n; i++)
        memcpy(t.data + (size_t)ids[i] * t.stride, mean, t.stride);
    if (mean)
        s = gr_store_write(m->store, t.e.name, t.data, t.e.bytes);
    gr_free(mean);
    gr_free(t.data);
    return s;
}

/* Their first, and how many a vocabulary with all of them has. */
static gr_status bounds_of(const gr_model *m, const gr_token *ids, int n, int64_t *first, int64_t *needed)
{
    *first = m->h.vocab;
    *needed = m->h.vocab;
    for (int i = 0; i < n; i++) {
        if (ids[i] <= 0)
            return gr_fail(GR_ERR_ARGUMENT, "gr_model_add_tokens: token %lld cannot be a new one", (long long)ids[i]);
        *first = ids[i] < *first ? ids[i] : *first;
        *needed = ids[i] >= *needed ? (int64_t)ids[i] + 1 : *needed;
    }
    return GR_OK;
}

gr_status gr_model_add_tokens(gr_model *m, const gr_token *ids, int n)
{
    int64_t first, needed;
    if (gr_lacks(m, "gr_model_add_tokens: model") || (n > 0 && gr_lacks(ids, "gr_model_add_tokens: ids")))
        return GR_ERR_ARGUMENT;
    if (m->adapter)
        return gr_fail(GR_ERR_ARGUMENT, "adding tokens: the model has an adapter\nadd them first");
    gr_status s = bounds_of(m, ids, n, &first, &needed);
    int64_t was = m->h.vocab;
    if (s == GR_OK && needed > was)
        s = gr_model_set_vocab(m, needed);
    for (int which = 0; s == GR_OK && which < 2 && first < was; which++)
        s = set_means(m, which, ids, n, first);
    return s == GR_OK ? GR_OK : gr_fail_in("adding tokens");
}
