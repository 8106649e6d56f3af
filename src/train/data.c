/* What streams and documents have in common. */
#include "train/data.h"

#include "base/mem.h"

static void free_what_it_has(gr_data *d)
{
    gr_free(d->ids);
    gr_free(d->documents);
    gr_files_free(d->files, d->n_files);
    gr_inputs_free(&d->inputs);
}

void gr_data_free(gr_data *d)
{
    if (d && !d->whole)
        free_what_it_has(d);
    gr_free(d);
}

gr_data *gr_data_close(gr_data *d, gr_ids *ids, gr_reader *r, gr_status s)
{
    gr_data none = {0}, *to = d ? d : &none;
    to->ids = ids->data;
    to->n = (int64_t)ids->size;
    to->bytes = r->bytes;
    to->files = r->files;
    to->n_files = r->n_files;
    to->inputs = r->inputs;
    if (s == GR_OK)
        return d;
    free_what_it_has(to);
    gr_free(d);
    return NULL;
}

int64_t gr_data_bytes(const gr_data *d)
{
    return gr_lacks(d, "gr_data_bytes: data") ? -1 : d->bytes;
}

int64_t gr_data_count(const gr_data *d)
{
    if (gr_lacks(d, "gr_data_count: data"))
        return -1;
    return d->n;
}

const int32_t *gr_data_ids(const gr_data *d)
{
    if (gr_lacks(d, "gr_data_ids: data"))
        return NULL;
    return d->ids;
}

int64_t gr_data_documents(const gr_data *d)
{
    if (gr_lacks(d, "gr_data_documents: data"))
        return -1;
    return d->n_documents;
}

static gr_status refuse_split(const gr_data *d, double fraction)
{
    if (d->n_documents == 1)
        return gr_fail(GR_ERR_ARGUMENT,
                       "data: it is one document, and of documents kept apart whole ones are cut off for "
                       "evaluation\ngive evaluation data of its own, with --eval-data");
    return gr_fail(GR_ERR_ARGUMENT,
                   "data: cannot cut %g of %lld tokens off for evaluation\ngive more text, or another part of it",
                   fraction, (long long)d->n);
}

/* The last documents that together have the fraction, of the tokens; at least one, and one stays. */
static int64_t documents_of_fraction(const gr_data *d, double fraction)
{
    int64_t k = d->n_documents - 1;
    while (k > 1 && (double)(d->documents[d->n_documents - 1].end - d->documents[k].begin) < (double)d->n * fraction)
        k--;
    return d->n_documents - k;
}

gr_status gr_data_split(gr_data *d, double fraction, gr_data **eval)
{
    if (gr_lacks(d, "gr_data_split: data") || gr_lacks(eval, "gr_data_split: eval"))
        return GR_ERR_ARGUMENT;
    int64_t n = (int64_t)((double)d->n * fraction), documents = 0;
    *eval = NULL;
    bool apart = d->documents, enough = apart ? d->n_documents > 1 : n >= 2 && d->n - n >= 2;
    if (!(fraction > 0 && fraction < 1) || !enough)
        return refuse_split(d, fraction);
    if (apart) {
        documents = documents_of_fraction(d, fraction);
        n = d->documents[d->n_documents - 1].end - d->documents[d->n_documents - documents].begin;
    }
    gr_data *e = gr_alloc_zero(1, sizeof *e);
    if (!e)
        return GR_ERR_MEMORY;
    d->n -= n;
    d->n_documents -= documents;
    *e = *d;
    e->n = n;
    e->n_documents = documents;
    e->whole = d;
    e->bytes = 0;
    if (apart)
        e->documents = d->documents + d->n_documents;
    else
        e->ids = d->ids + d->n;
    *eval = e;
    return GR_OK;
}
