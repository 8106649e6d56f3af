/* Streams of token ids. */
#include "train/data.h"

#include "base/error.h"
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

gr_status gr_data_split(gr_data *d, double fraction, gr_data **eval)
{
    int64_t n = (int64_t)((double)d->n * fraction);
    *eval = NULL;
    if (!(fraction > 0 && fraction < 1) || n < 2 || d->n - n < 2)
        return gr_fail(GR_ERR_ARGUMENT, "data: cannot cut %g of %lld tokens off for evaluation", fraction,
                       (long long)d->n);
    gr_data *e = gr_alloc_zero(1, sizeof *e);
    if (!e)
        return GR_ERR_MEMORY;
    d->n -= n;
    *e = (gr_data){.ids = d->ids + d->n, .n = n, .whole = d};
    *eval = e;
    return GR_OK;
}

void gr_data_free(gr_data *d)
{
    if (d && !d->whole)
        gr_free(d->ids);
    gr_free(d);
}

int64_t gr_data_count(const gr_data *d)
{
    return d->n;
}

const int32_t *gr_data_ids(const gr_data *d)
{
    return d->ids;
}
