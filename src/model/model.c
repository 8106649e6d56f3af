/* Models: made from a config.json, initialized or loaded, and built into graphs. */
#include "model/adapter/adapter.h"

#include "backend/backend.h"
#include "base/dtype.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/philox.h"
#include "base/sized.h"
#include "program/store.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- declaring ---------------------------------------------------------------------------------------------- */

gr_status gr_model_trace(gr_model *m)
{
    gr_graph *g = gr_graph_new();
    int64_t one[] = {1, 1};
    gr_forward f = {.size = sizeof f, .tokens = gr_input(g, "tokens", GR_I32, 2, one)};
    gr_status s = gr_model_forward(m, &f) ? GR_OK : gr_error_status();
    gr_graph_free(g);
    return s;
}

/* Building declares the parameters. */
gr_status gr_model_declare(gr_model *m)
{
    gr_status s = gr_model_trace(m);
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; s == GR_OK && i < gr_store_count(m->store); i++) {
        s = gr_store_entry(m->store, i, &e);
        m->info.parameters += gr_dtype_values(e.dtype, e.bytes);
    }
    return s;
}

gr_model *gr_model_undeclared(const char *name, const char *text, size_t size, gr_device *device)
{
    gr_model *m = gr_alloc_zero(1, sizeof *m);
    if (!m)
        return NULL;
    m->device = device;
    m->keys = m->values = GR_F32;
    m->store = gr_store_new(device);
    m->config = gr_alloc(size + 1);
    gr_status s = m->store && m->config ? GR_OK : GR_ERR_MEMORY;
    if (s == GR_OK) {
        memcpy(m->config, text, size);
        m->config[size] = '\0';
        s = gr_model_read_config(m, name, text, size);
    }
    if (s == GR_OK) {
        m->prefix = m->arch->prefix;
        m->info.device = device;
        m->info.config = m->config;
        return m;
    }
    gr_model_free(m);
    return NULL;
}

gr_model *gr_model_new(const char *name, const char *config_json, size_t size, gr_device *device)
{
    if (gr_lacks(config_json, "gr_model_new: config_json") || gr_lacks(device, "gr_model_new: device"))
        return NULL;
    name = name ? name : "config.json";
    gr_model *m = gr_model_undeclared(name, config_json, size, device);
    if (m && gr_model_declare(m) == GR_OK)
        return m;
    gr_model_free(m);
    return NULL;
}

void gr_model_free(gr_model *m)
{
    if (!m)
        return;
    gr_adapter_close(m);
    gr_store_free(m->store);
    gr_weights_close(m->files);
    gr_free(m->inits);
    for (size_t i = 0; i < m->n_orders; i++)
        gr_free(m->orders[i]);
    gr_free(m->orders);
    gr_free(m->h.layer);
    gr_free(m->config);
    gr_free(m->generation);
    gr_free(m);
}

const gr_model_info *gr_model_describe(const gr_model *m)
{
    if (gr_lacks(m, "gr_model_describe: model"))
        return NULL;
    return &m->info;
}

gr_store *gr_model_store(gr_model *m)
{
    if (gr_lacks(m, "gr_model_store: model"))
        return NULL;
    return m->store;
}

int64_t gr_model_window(const gr_model *m, int layer)
{
    return m->h.layer[layer].window;
}

/* ---- untying ------------------------------------------------------------------------------------------------ */

gr_status gr_model_untie(gr_model *m)
{
    gr_json_doc *doc = gr_json_parse("config.json", m->config, strlen(m->config));
    gr_json_put_bool(gr_json_root(doc), "tie_word_embeddings", false);
    gr_status s = gr_json_renew(doc, &m->config);
    m->info.config = m->config;
    if (s == GR_OK)
        m->h.tied = m->info.tied = false;
    return s;
}

/* ---- initializing ------------------------------------------------------------------------------------------- */

typedef struct normals {
    float *data;
    int64_t n;
    uint64_t seed, stream;
    float std;
} normals;

enum { PIECE = 1 << 14 };

static void draw_piece(void *ctx, int64_t piece, int worker)
{
    const normals *w = ctx;
    (void)worker;
    int64_t end = (piece + 1) * PIECE < w->n ? (piece + 1) * PIECE : w->n;
    gr_philox_normals(w->data + piece * PIECE, w->seed, w->stream, (uint64_t)(piece * PIECE), end - piece * PIECE);
    for (int64_t i = piece * PIECE; i < end; i++)
        w->data[i] *= w->std;
}

static void draw(const gr_model *m, const gr_param_init *init, uint64_t seed, int index, float *data, int64_t n)
{
    if (init->kind == GR_INIT_NORMAL) {
        normals w = {data, n, seed, (uint64_t)index, init->std};
        gr_device_parallel(m->device, (n + PIECE - 1) / PIECE, draw_piece, &w);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        data[i] = init->kind == GR_INIT_ONES ? 1 : 0;
}

static gr_status init_tensor(gr_model *m, uint64_t seed, int index, const gr_entry *e)
{
    const gr_dtype_info *d = gr_dtype_get(e->dtype);
    size_t n = (size_t)gr_dtype_values(e->dtype, e->bytes);
    float *data = gr_alloc(n * sizeof *data);
    if (!data)
        return GR_ERR_MEMORY;
    draw(m, &m->inits[index], seed, index, data, (int64_t)n);
    if (e->dtype != GR_F32) /* narrower: each value is read before its place is written */
        d->from_f32(data, data, (int64_t)n);
    gr_status s = gr_store_write(m->store, e->name, data, e->bytes);
    gr_free(data);
    return s;
}

gr_status gr_model_init(gr_model *m, uint64_t seed)
{
    if (gr_lacks(m, "gr_model_init: model"))
        return GR_ERR_ARGUMENT;
    gr_status s = gr_store_reserve(m->store);
    if (s != GR_OK)
        return gr_fail_in("the weights");
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; s == GR_OK && i < gr_store_count(m->store); i++) {
        s = gr_store_entry(m->store, i, &e);
        if (s == GR_OK)
            s = init_tensor(m, seed, i, &e);
    }
    return s;
}

/* ---- building ----------------------------------------------------------------------------------------------- */

static gr_tensor *default_positions(gr_graph *g, const gr_tensor *tokens)
{
    const int64_t *s = tokens->spec.shape;
    return gr_expand(gr_iota(g, GR_I64, s[1]), 2, s);
}

/* The rows of x [B, T, C] that logits are wanted for. */
static gr_tensor *wanted_rows(const gr_build *b, gr_tensor *x)
{
    if (!x || !b->forward->rows)
        return x;
    int64_t flat[] = {x->spec.shape[0] * x->spec.shape[1], x->spec.shape[2]};
    return gr_gather(gr_reshape(x, 2, flat), b->forward->rows);
}

/* What the head reads. */
static gr_tensor *body(gr_build *b)
{
    const gr_arch *arch = b->model->arch;
    size_t outer = gr_graph_scope_push(b->g, "%s", b->model->prefix);
    gr_tensor *x = arch->embed(b, b->forward->tokens);
    for (b->layer = 0; b->layer < b->h->layers; b->layer++) {
        size_t inner = gr_graph_scope_push(b->g, "%s.%d.", arch->layers, b->layer);
        x = arch->block(b, x);
        gr_graph_scope_pop(b->g, inner);
        gr_name(x, "%s.%d", arch->layers, b->layer);
    }
    x = wanted_rows(b, arch->norm(b, x));
    gr_graph_scope_pop(b->g, outer);
    return x;
}

static gr_tensor *forward(gr_model *m, const gr_forward *f)
{
    if (gr_lacks_made(f->tokens, "gr_model_forward: forward.tokens"))
        return NULL;
    gr_graph *g = f->tokens->graph;
    if (f->tokens->spec.ndim != 2 || (f->tokens->spec.dtype != GR_I32 && f->tokens->spec.dtype != GR_I64)) {
        gr_fail(GR_ERR_ARGUMENT, "gr_model_forward: tokens must be i32 or i64 [B, T]");
        return gr_graph_fail(g);
    }
    int64_t t = f->tokens->spec.shape[1];
    if (m->info.limit && t > m->info.limit && !f->positions) {
        gr_fail(GR_ERR_ARGUMENT, "%lld tokens: the model has learned positions for %lld\ngive at most as many tokens",
                (long long)t, (long long)m->info.limit);
        return gr_graph_fail(g);
    }
    if (t > m->h.context && !f->positions)
        gr_remark(GR_LOG_WARN, "%lld tokens are more than the %lld that the model was made for", (long long)t,
                  (long long)m->h.context);
    gr_build b = {.model = m, .h = &m->h, .g = g, .forward = f};
    b.positions = f->positions ? f->positions : default_positions(g, f->tokens);
    if (!gr_nn_open_cache(&b))
        return NULL;
    gr_tensor *x = body(&b);
    return f->hidden ? x : gr_name(m->arch->head(&b, x), "logits");
}

gr_tensor *gr_model_logits(gr_model *m, const gr_forward *f, gr_tensor *hidden)
{
    gr_build b = {.model = m, .h = &m->h, .g = f->tokens->graph, .forward = f, .positions = f->positions};
    return hidden ? m->arch->head(&b, hidden) : NULL;
}

gr_tensor *gr_model_forward(gr_model *m, const gr_forward *given)
{
    gr_forward f;
    if (gr_lacks(m, "gr_model_forward: model") || gr_lacks(given, "gr_model_forward: forward") ||
        gr_take_sized(&f, sizeof f, given, "gr_model_forward: forward") != GR_OK)
        return NULL;
    return forward(m, &f);
}

/* ---- precision ---------------------------------------------------------------------------------------------- */

gr_dtype gr_precision_dtype(gr_precision p)
{
    static const gr_dtype dtypes[] = {
        [GR_PRECISION_F32] = GR_F32, [GR_PRECISION_BF16] = GR_BF16, [GR_PRECISION_FP16] = GR_F16};
    return dtypes[p];
}

gr_program *gr_model_compile(const gr_model *m, gr_graph *g, gr_tensor *const *outputs, int n)
{
    gr_compile_options o = GR_INIT(gr_compile_options);
    o.precision = m->precision;
    o.activations = m->info.activations;
    return gr_compile(g, outputs, n, m->device, &o);
}

gr_status gr_model_check_range(gr_model *m, gr_precision precision)
{
    if (precision != GR_PRECISION_FP16) /* the others reach as far as f32 does */
        return GR_OK;
    gr_store *trainable = gr_model_trainable(m);
    gr_status s = gr_store_check_range(m->store, GR_F16);
    return s == GR_OK && trainable != m->store ? gr_store_check_range(trainable, GR_F16) : s;
}
