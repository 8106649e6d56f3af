/* What streams and documents have in common. */
#include "train/data.h"

#include "base/mem.h"
#include "base/sized.h"

static void free_what_it_has(gr_data *d)
{
    gr_free(d->ids);
    gr_free(d->documents);
    gr_bytes_free(&d->learned);
    for (size_t i = 0; i < d->n_refused; i++)
        gr_free(d->refused[i].why);
    gr_free(d->refused);
    gr_free(d->template);
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
    gr_data_note(to);
    if (s == GR_OK)
        return d;
    free_what_it_has(to);
    gr_free(d);
    return NULL;
}

void gr_data_note(gr_data *d)
{
    d->info = (gr_data_info){.size = sizeof d->info, .tokens = d->n, .bytes = d->bytes, .documents = d->n_documents};
    d->info.ids = d->ids;
    d->info.conversations = d->conversations;
}

const gr_data_info *gr_data_describe(const gr_data *d)
{
    return gr_lacks(d, "gr_data_describe: data") ? NULL : &d->info;
}

gr_data *gr_data_new(const gr_data_options *options)
{
    gr_data_options o;
    if (gr_lacks(options, "gr_data_new: options") ||
        gr_take_sized(&o, sizeof o, options, "gr_data_new: options") != GR_OK)
        return NULL;
    if (o.ids)
        return gr_data_of_ids(o.ids, o.n_ids);
    if (!o.corpus && gr_lacks(o.paths, "gr_data_new: options.paths"))
        return NULL;
    if (gr_lacks(o.tokenizer, "gr_data_new: options.tokenizer"))
        return NULL;
    return o.apart ? gr_data_read_documents(&o) : gr_data_read_stream(&o);
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
    gr_data_note(d);
    gr_data_note(e);
    *eval = e;
    return GR_OK;
}
