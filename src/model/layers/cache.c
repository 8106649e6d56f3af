/* Keys and values of the tokens read so far. A layer that sees all of them keeps them in order, row p for position p; one
 * with a sliding window keeps a ring, row p mod its length. Every row's position lies beside them, so attention asks
 * nobody which rows hold what. */
#include "model/layers/nn.h"

#include "base/error.h"
#include "base/dtype.h"
#include "base/sized.h"
#include "op/op.h"

#include <stdio.h>

enum { RING_STEP = 128 }; /* rings are whole blocks of attention's */

/* Rows of a layer: all tokens, or what a run of `chunk` of them writes and its oldest still sees. */
static int64_t rows_of(const gr_model *m, int layer, int64_t capacity, int64_t chunk)
{
    int64_t window = gr_model_window(m, layer);
    if (window == 0 || window >= capacity)
        return capacity;
    int64_t ring = (window + chunk - 1 + RING_STEP - 1) / RING_STEP * RING_STEP;
    return ring < capacity ? ring : capacity;
}

gr_status gr_model_check_cache(const gr_model *m, gr_dtype dtype)
{
    const gr_dtype_info *d = gr_dtype_exists(dtype) ? gr_dtype_get(dtype) : NULL;
    if (!d || !(d->is_activation || (d->block > 1 && d->is_weight && d->from_f32)))
        return gr_fail(GR_ERR_ARGUMENT,
                       "a cache of %s\nkeys and values are kept in f32, f16, bf16, q8_0, q4_0 or other blocks that are "
                       "written",
                       d ? d->name : "a dtype that there is not");
    if (m->h.head_dim % d->block != 0)
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "a cache of %s: its blocks have %d values, and this model's heads are %lld wide, which is no "
                       "multiple\nkeep keys and values in f32, f16 or bf16",
                       d->name, d->block, (long long)m->h.head_dim);
    return GR_OK;
}

gr_status gr_model_add_cache(gr_model *m, gr_store *cache, const gr_cache_options *options)
{
    gr_cache_options o;
    if (gr_lacks(m, "gr_model_add_cache: model") || gr_lacks(cache, "gr_model_add_cache: cache") ||
        gr_lacks(options, "gr_model_add_cache: options") ||
        gr_take_sized(&o, sizeof o, options, "gr_cache_options") != GR_OK)
        return GR_ERR_ARGUMENT;
    if (gr_model_check_cache(m, o.keys) != GR_OK || gr_model_check_cache(m, o.values) != GR_OK)
        return gr_error_status();
    const gr_hparams *h = &m->h;
    int64_t shape[] = {o.batch, o.capacity, h->kv_heads, h->head_dim};
    gr_status s = gr_store_add(cache, "cache.position", GR_CACHE, GR_I64, 2, shape);
    char name[64];
    for (int i = 0; s == GR_OK && i < 2 * h->layers; i++) {
        shape[1] = rows_of(m, i / 2, o.capacity, o.chunk);
        if (shape[1] < o.capacity && gr_store_find(cache, "cache.ring_position") < 0)
            s = gr_store_add(cache, "cache.ring_position", GR_CACHE, GR_I64, 2, shape);
        snprintf(name, sizeof name, "cache.%d.%s", i / 2, i % 2 ? "v" : "k");
        if (s == GR_OK)
            s = gr_store_add(cache, name, GR_CACHE, i % 2 ? o.values : o.keys, 4, shape);
    }
    return s;
}

/* ---- in a graph --------------------------------------------------------------------------------------------- */

static bool note_positions(gr_build *b, const char *name, gr_tensor *slot)
{
    return gr_write_rows(gr_param(b->g, b->forward->cache, name), b->positions, slot, b->forward->sequence) != NULL;
}

bool gr_nn_open_cache(gr_build *b)
{
    const gr_forward *f = b->forward;
    if (!f->cache)
        return true;
    bool rings = gr_store_find(f->cache, "cache.ring_position") >= 0;
    if (!f->positions || !f->slot || (rings && !f->ring_slot)) {
        gr_fail(GR_ERR_ARGUMENT, "gr_model_forward: a cache needs positions, slot%s", rings ? " and ring_slot" : "");
        gr_graph_fail(b->g);
        return false;
    }
    return note_positions(b, "cache.position", f->slot) &&
           (!rings || note_positions(b, "cache.ring_position", f->ring_slot));
}

/* Whether the layer that keeps `all` keeps a ring. */
static bool is_ring(gr_build *b, const gr_tensor *all)
{
    const gr_tensor *in_order = gr_param(b->g, b->forward->cache, "cache.position");
    return in_order && all->spec.shape[1] < in_order->spec.shape[1];
}

gr_tensor *gr_nn_kept(gr_tensor *x, gr_dtype dtype)
{
    return !x || x->spec.dtype == dtype ? x : gr_cast(x, dtype);
}

gr_tensor *gr_nn_cached(gr_build *b, gr_tensor *x, const char *which)
{
    char name[64];
    snprintf(name, sizeof name, "cache.%d.%s", b->layer, which);
    gr_tensor *all = gr_param(b->g, b->forward->cache, name);
    if (!all || !x)
        return NULL;
    bool ring = is_ring(b, all);
    if (ring && gr_model_window(b->model, b->layer) + x->spec.shape[1] - 1 > all->spec.shape[1]) {
        gr_fail(GR_ERR_ARGUMENT, "a run of %lld tokens is more than the cache was made for",
                (long long)x->spec.shape[1]);
        return gr_graph_fail(b->g);
    }
    gr_tensor *slot = ring ? b->forward->ring_slot : b->forward->slot;
    return gr_write_rows(all, gr_nn_kept(x, all->spec.dtype), slot, b->forward->sequence);
}

gr_tensor *gr_nn_cached_positions(gr_build *b, const gr_tensor *all)
{
    if (!all)
        return NULL;
    return gr_param(b->g, b->forward->cache, is_ring(b, all) ? "cache.ring_position" : "cache.position");
}
