/* Layers. */
#include "model/layers/nn.h"

#include "base/dtype.h"
#include "base/mem.h"
#include "op/op.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- parameters --------------------------------------------------------------------------------------------- */

static gr_status declare(gr_build *b, const char *name, gr_init init, float std, int ndim, const int64_t *shape)
{
    gr_model *m = b->model;
    gr_status s = gr_grow(&m->inits, &m->inits_capacity, m->n_inits + 1, sizeof *m->inits);
    if (s == GR_OK)
        s = gr_store_add(m->store, name, GR_WEIGHT, m->dtype_of ? m->dtype_of(m, name) : GR_F32, ndim, shape);
    if (s == GR_OK)
        m->inits[m->n_inits++] = (gr_param_init){.kind = init, .std = std};
    return s;
}

gr_tensor *gr_nn_param(gr_build *b, const char *name, gr_init init, float std, int ndim, const int64_t *shape)
{
    if (b->g->failed != GR_OK) /* the scope may be incomplete, and so the name */
        return NULL;
    const char *full = gr_graph_text(b->g, "%s%s", b->g->scope ? b->g->scope : "", name);
    if (!full)
        return NULL;
    if (gr_store_find(b->model->store, full) < 0 && declare(b, full, init, std, ndim, shape) != GR_OK)
        return gr_graph_fail(b->g);
    return gr_param(b->g, b->model->store, full);
}

/* ---- what an observer sees ---------------------------------------------------------------------------------- */

/* A layer's name as transformers has it: files that go without the body's prefix name it "h.0.attn.c_attn". */
static gr_layer layer_of(const gr_build *b, gr_layer_kind kind, gr_tensor *x, const char *name)
{
    const gr_model *m = b->model;
    gr_layer l = {.kind = kind, .module = "", .name = name, .x = x};
    const char *scope = b->g->scope ? b->g->scope : "";
    bool add = *m->prefix == '\0' && strcmp(name, "lm_head") != 0;
    const char *module = m->observer ? gr_graph_text(b->g, "%s%s%s", add ? m->arch->prefix : "", scope, name) : NULL;
    l.module = module ? module : l.module;
    return l;
}

static gr_tensor *observed(gr_build *b, const gr_layer *l, gr_tensor *y)
{
    const gr_layer_observer *o = b->model->observer;
    return o && y ? o->result(b, l, y) : y;
}

/* The layer's parameter `own` of the model's store, or what an observer has in its place. */
static gr_tensor *param_of(gr_build *b, const gr_layer *l, const char *kind, gr_tensor *own)
{
    const gr_layer_observer *o = b->model->observer;
    return o && own ? o->param(b, l, kind, own) : own;
}

static gr_tensor *part(gr_build *b, const gr_layer *l, const char *kind, gr_init init, float std, int ndim,
                       const int64_t *shape)
{
    const char *full = gr_graph_text(b->g, "%s.%s", l->name, kind);
    if (!full)
        return NULL;
    return param_of(b, l, kind, gr_nn_param(b, full, init, std != 0 ? std : b->h->init_std, ndim, shape));
}

gr_tensor *gr_nn_f32(gr_tensor *x)
{
    return x && x->spec.dtype != GR_F32 ? gr_cast(x, GR_F32) : x;
}

/* A parameter that takes part in f32. */
static gr_tensor *f32_part(gr_build *b, const gr_layer *l, const char *kind, gr_init init, const int64_t *width)
{
    return gr_nn_f32(part(b, l, kind, init, 0, 1, width));
}

/* ---- layers ------------------------------------------------------------------------------------------------- */

gr_tensor *gr_nn_no_padding(gr_build *b, gr_tensor *x, gr_tensor *ids)
{
    if (!x || b->h->padding < 0)
        return x;
    gr_tensor *padding =
        gr_eq(gr_unsqueeze(ids, ids->spec.ndim), gr_fill(b->g, ids->spec.dtype, 0, NULL, (double)b->h->padding));
    return gr_select(padding, gr_detach(x), x);
}

gr_tensor *gr_nn_embedding(gr_build *b, gr_tensor *ids, const char *name, int64_t rows, int64_t width)
{
    gr_layer l = layer_of(b, GR_LAYER_EMBEDDING, ids, name);
    l.weight = part(b, &l, "weight", GR_INIT_NORMAL, 0, 2, (int64_t[]){rows, width});
    gr_tensor *x = gr_nn_no_padding(b, gr_nn_f32(gr_embedding(l.weight, ids)), ids);
    return gr_name(observed(b, &l, x), "%s", name);
}

/* A layer's weight in the store, by its name there; -1: not yet. */
static int weight_of(gr_build *b, const char *name, const char **full)
{
    *full = gr_graph_text(b->g, "%s%s.weight", b->g->scope ? b->g->scope : "", name);
    return *full ? gr_store_find(b->model->store, *full) : -1;
}

/* It has been declared of blocks, or is about to be. */
static bool has_blocks(gr_build *b, const char *name)
{
    const gr_model *m = b->model;
    const char *full;
    gr_entry e = GR_INIT(gr_entry);
    int i = weight_of(b, name, &full);
    if (i >= 0)
        return gr_store_entry(m->store, i, &e) == GR_OK && gr_dtype_is_block(e.dtype);
    return full && m->dtype_of && gr_dtype_is_block(m->dtype_of(m, full));
}

static void note_turned(gr_build *b, const char *name)
{
    const char *full;
    int i = weight_of(b, name, &full);
    if (i >= 0)
        b->model->inits[i].turned = true;
}

/* Layers that are given the same, as q, k and v, mostly want it in the same order. */
gr_tensor *gr_nn_sorted(gr_build *b, gr_tensor *x, const int32_t *order)
{
    static const int turn[] = {1, 0};
    if (!x)
        return NULL;
    int64_t n = x->spec.shape[x->spec.ndim - 1], flat[] = {-1, n};
    if (b->unsorted == x && memcmp(b->order, order, (size_t)n * sizeof *order) == 0)
        return b->sorted;
    gr_tensor *columns = gr_permute(gr_reshape(x, 2, flat), turn);
    columns = gr_permute(gr_gather(columns, gr_constant(b->g, GR_I32, 1, &n, order)), turn);
    b->sorted = gr_reshape(columns, x->spec.ndim, x->spec.shape);
    b->unsorted = x;
    b->order = order;
    return b->sorted;
}

static const int32_t *order_of(gr_build *b, const char *name)
{
    const char *full;
    int i = weight_of(b, name, &full);
    return i >= 0 ? b->model->inits[i].order : NULL;
}

static gr_tensor *linear(gr_build *b, gr_tensor *x, const char *name, int64_t out, bool bias, float std, bool conv1d)
{
    if (!x)
        return NULL;
    int64_t in = x->spec.shape[x->spec.ndim - 1];
    bool turned = conv1d && has_blocks(b, name); /* they lie along what they are multiplied by: [out, in] */
    conv1d = conv1d && !turned;
    int64_t shape[] = {conv1d ? in : out, conv1d ? out : in};
    gr_layer l = layer_of(b, conv1d ? GR_LAYER_CONV1D : GR_LAYER_LINEAR, x, name);
    l.weight = part(b, &l, "weight", GR_INIT_NORMAL, std, 2, shape);
    if (l.weight && turned)
        note_turned(b, name);
    gr_tensor *of_bias = bias ? f32_part(b, &l, "bias", GR_INIT_ZEROS, &out) : NULL;
    const int32_t *order = l.weight ? order_of(b, name) : NULL;
    size_t scope = gr_graph_scope_push(b->g, "%s.", name); /* for names in profiles and errors */
    gr_tensor *y = l.product = gr_matmul(order ? gr_nn_sorted(b, x, order) : x, l.weight, false, !conv1d);
    if (bias)
        y = gr_add(y, of_bias);
    gr_graph_scope_pop(b->g, scope);
    return observed(b, &l, gr_name(y, "%s", name));
}

gr_tensor *gr_nn_linear(gr_build *b, gr_tensor *x, const char *name, int64_t out, bool bias, float std)
{
    return linear(b, x, name, out, bias, std, false);
}

gr_tensor *gr_nn_conv1d(gr_build *b, gr_tensor *x, const char *name, int64_t out, float std)
{
    return linear(b, x, name, out, true, std, true);
}

static gr_tensor *tied_head(gr_build *b, gr_tensor *x, const char *embedding)
{
    const char *full = gr_graph_text(b->g, "%s%s.weight", b->model->prefix, embedding);
    int64_t shape[] = {b->h->vocab, b->h->embed};
    gr_tensor *own = full ? gr_nn_param(b, full, GR_INIT_NORMAL, b->h->init_std, 2, shape) : NULL;
    gr_layer l = {.kind = GR_LAYER_LINEAR, .tied = true, .module = "lm_head", .name = "lm_head", .x = x};
    l.weight = param_of(b, &l, "weight", own);
    size_t scope = gr_graph_scope_push(b->g, "lm_head.");
    l.product = gr_matmul(x, l.weight, false, true);
    gr_graph_scope_pop(b->g, scope);
    return observed(b, &l, l.product);
}

gr_tensor *gr_nn_head(gr_build *b, gr_tensor *x, const char *embedding)
{
    return b->h->tied ? tied_head(b, x, embedding) : gr_nn_linear(b, x, "lm_head", b->h->vocab, false, 0);
}

gr_tensor *gr_nn_layer_norm(gr_build *b, gr_tensor *x, const char *name)
{
    if (!x)
        return NULL;
    const int64_t *width = &x->spec.shape[x->spec.ndim - 1];
    gr_layer l = layer_of(b, GR_LAYER_NORM, x, name);
    gr_tensor *weight = f32_part(b, &l, "weight", GR_INIT_ONES, width);
    gr_tensor *bias = f32_part(b, &l, "bias", GR_INIT_ZEROS, width);
    return gr_name(gr_layer_norm(x, weight, bias, b->h->norm_eps), "%s", name);
}

gr_tensor *gr_nn_rms_norm(gr_build *b, gr_tensor *x, const char *name)
{
    if (!x)
        return NULL;
    bool plus_one = b->h->norm_plus_one;
    gr_layer l = layer_of(b, GR_LAYER_NORM, x, name);
    gr_tensor *weight =
        f32_part(b, &l, "weight", plus_one ? GR_INIT_ZEROS : GR_INIT_ONES, &x->spec.shape[x->spec.ndim - 1]);
    weight = plus_one ? gr_offset(weight, 1) : weight;
    return gr_name(gr_rms_norm(x, weight, b->h->norm_eps), "%s", name);
}

gr_tensor *gr_nn_dropout(gr_build *b, gr_tensor *x)
{
    if (b->forward->dropout == 0)
        return x;
    return gr_dropout(x, b->forward->dropout, b->forward->seed, b->stream++);
}

gr_tensor *gr_nn_heads(gr_tensor *x, int64_t n)
{
    if (!x)
        return NULL;
    const int64_t *s = x->spec.shape;
    return gr_reshape(x, 4, (int64_t[]){s[0], s[1], n, s[2] / n});
}

/* x turned by the layer's rotary settings. */
static gr_tensor *turned(gr_build *b, gr_tensor *x)
{
    int kind = b->h->layer[b->layer].rope;
    const gr_rope_settings *r = &b->h->rope[kind];
    if (r->pairs == 0)
        return x;
    if (!b->inv_freq[kind])
        b->inv_freq[kind] = gr_rope_frequencies(b->g, r, b->positions, b->forward->length);
    return gr_rope(x, b->positions, b->inv_freq[kind], false, r->scale);
}

gr_tensor *gr_nn_attention(gr_build *b, gr_tensor *q, gr_tensor *k, gr_tensor *v)
{
    q = turned(b, q);
    k = turned(b, k);
    if (!q || !k || !v)
        return NULL;
    gr_attention_options o = {.size = sizeof o,
                              .causal = true,
                              .window = gr_model_window(b->model, b->layer),
                              .segment = b->forward->segment};
    o.scale = b->h->attention_scale != 0 ? b->h->attention_scale : (float)(1 / sqrt((double)b->h->head_dim));
    if (b->h->scale_by_layer)
        o.scale /= (float)(b->layer + 1);
    if (b->forward->cache) {
        k = gr_nn_cached(b, k, "k");
        v = gr_nn_cached(b, v, "v");
        o.q_pos = b->positions;
        o.k_pos = gr_nn_cached_positions(b, k);
        o.sequence = b->forward->sequence;
    } else if (b->forward->as_kept) {
        k = gr_nn_kept(k, b->model->keys);
        v = gr_nn_kept(v, b->model->values);
    }
    gr_tensor *y = gr_attention(q, k, v, &o);
    const int64_t *s = q->spec.shape;
    return gr_reshape(y, 3, (int64_t[]){s[0], s[1], s[2] * s[3]});
}
