/* Sample calls: values, graphs, runs. */
#include "op_harness.h"

#include "base/dtype.h"
#include "op/op.h"
#include "program/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *room(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    if (!p)
        exit(1);
    return p;
}

/* ---- random values ------------------------------------------------------------------------------------------ */

/* splitmix64: every value has its own state, so nothing depends on the order of drawing */
static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static double unit(uint64_t x) /* [0, 1) */
{
    return (double)(mix(x) >> 11) * 0x1p-53;
}

static uint64_t seed_of(const char *name, int a, int b)
{
    uint64_t h = mix((uint64_t)a * 1000 + (uint64_t)b);
    for (; *name; name++)
        h = mix(h ^ (unsigned char)*name);
    return h;
}

static double rounded(double x, gr_dtype d)
{
    if (gr_dtype_is_block(d))
        return x; /* by whole blocks, below */
    char one[8];
    gr_dtype_get(d)->store(one, 0, x);
    return gr_dtype_get(d)->load(one, 0);
}

/* A random order of evenly spaced values around 0, none of which is 0. */
static void fill_distinct(double *v, int64_t n, uint64_t seed)
{
    for (int64_t i = 0; i < n; i++)
        v[i] = ((double)(i - n / 2) + 0.5) * 0.0121;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)(mix(seed + (uint64_t)i) % (uint64_t)(i + 1));
        double t = v[i];
        v[i] = v[j];
        v[j] = t;
    }
}

/* Values as elements of a dtype. */
static void *encoded(const double *v, int64_t n, gr_dtype d)
{
    void *p = room(gr_dtype_size(d, n));
    float *row = gr_dtype_is_block(d) ? room((size_t)n * sizeof *row) : NULL;
    for (int64_t i = 0; i < n; i++) {
        if (row)
            row[i] = (float)v[i];
        else
            gr_dtype_get(d)->store(p, i, v[i]);
    }
    if (row)
        gr_dtype_get(d)->from_f32(row, p, n);
    free(row);
    return p;
}

/* ---- calls -------------------------------------------------------------------------------------------------- */

/* What input k is when the floats of the call are `floats`. */
static gr_dtype dtype_of(const op_call *c, int k, gr_dtype floats)
{
    if (c->sample.in[k].is_stat)
        return floats == GR_F64 ? GR_F64 : GR_F32;
    return c->sample.in[k].is_float ? floats : c->sample.in[k].spec.dtype;
}

/* Random bytes, drawn again for a block until its values are small enough. */
static void fill_blocks(op_call *c, int k, uint64_t seed)
{
    const gr_dtype_info *d = gr_dtype_get(c->sample.in[k].spec.dtype);
    unsigned char *at = c->blocks[k] = room(gr_dtype_size(c->sample.in[k].spec.dtype, c->count[k]));
    for (int64_t i = 0; i < c->count[k]; i += d->block, at += d->block_bytes) {
        float values[GR_DTYPE_BLOCK_MOST];
        bool fits = false;
        for (int draws = 0; !fits && draws < 10000; draws++) {
            for (int b = 0; b < d->block_bytes; b++)
                at[b] = (unsigned char)mix(seed++);
            d->to_f32(at, values, d->block);
            fits = true;
            for (int e = 0; c->sample.in[k].high > 0 && e < d->block; e++)
                fits &= fabs((double)values[e]) <= c->sample.in[k].high;
        }
        for (int e = 0; e < d->block; e++)
            c->in[k][i + e] = (double)values[e];
    }
}

static void fill_input(op_call *c, int k, uint64_t seed)
{
    double low = c->sample.in[k].low, high = c->sample.in[k].high, *v = c->in[k];
    gr_dtype d = dtype_of(c, k, c->dtype);
    if (c->sample.in[k].fill == GR_FILL_BYTES) {
        fill_blocks(c, k, seed);
        return;
    }
    if (c->sample.in[k].fill == GR_FILL_DISTINCT)
        fill_distinct(v, c->count[k], seed);
    for (int64_t i = 0; i < c->count[k]; i++) {
        if (c->sample.in[k].fill == GR_FILL_UNIFORM)
            v[i] = low + (high - low) * unit(seed + (uint64_t)i);
        else if (c->sample.in[k].fill == GR_FILL_INTEGER)
            v[i] = floor(low + (high - low) * unit(seed + (uint64_t)i));
        v[i] = rounded(v[i], d);
    }
    void *blocks = gr_dtype_is_block(d) ? encoded(v, c->count[k], d) : NULL;
    for (int64_t i = 0; blocks && i < c->count[k]; i++)
        v[i] = gr_dtype_load(d, blocks, i);
    free(blocks);
}

bool op_call_make(op_call *c, const gr_op *op, int i, gr_dtype dtype)
{
    *c = (op_call){.op = op, .dtype = dtype};
    if (!op->sample || !op->sample(i, &c->sample))
        return false;
    for (int k = 0; k < c->sample.n_in; k++) {
        if (c->sample.in[k].absent)
            continue;
        c->count[k] = gr_spec_count(&c->sample.in[k].spec);
        c->in[k] = room((size_t)c->count[k] * sizeof(double));
        fill_input(c, k, seed_of(op->name, i, k));
    }
    return true;
}

void op_call_free(op_call *c)
{
    for (int k = 0; k < GR_MAX_INPUTS; k++) {
        free(c->in[k]);
        free(c->blocks[k]);
        c->in[k] = c->blocks[k] = NULL;
    }
}

void op_call_perturb(op_call *c)
{
    for (int k = 0; k < c->sample.n_in; k++)
        for (int64_t i = 0; gr_is_float(dtype_of(c, k, c->dtype)) && i < c->count[k]; i++) {
            uint64_t bits;
            memcpy(&bits, &c->in[k][i], sizeof bits);
            c->in[k][i] *= 1 + (2 * unit(bits) - 1) * 0x1p-24;
        }
}

bool op_call_has_floats(const op_call *c)
{
    bool any = false;
    for (int k = 0; k < c->sample.n_in; k++)
        any |= c->sample.in[k].is_float && !c->sample.in[k].absent;
    return any;
}

bool op_call_wants_grad(const op_call *c, int k)
{
    return c->in[k] && (c->sample.in[k].is_float || c->sample.in[k].is_stat) && !c->sample.in[k].is_state;
}

double *op_cotangent(const op_call *call, int level, int index, int64_t count)
{
    double *v = room((size_t)count * sizeof *v);
    uint64_t seed = seed_of(call->op->name, 100 + level, index);
    for (int64_t i = 0; i < count; i++)
        v[i] = rounded(2 * unit(seed + (uint64_t)i) - 1, call->dtype);
    return v;
}

/* ---- building ----------------------------------------------------------------------------------------------- */

static gr_tensor *feed(op_case *c, const gr_spec *s, void *data)
{
    char name[24];
    snprintf(name, sizeof name, "in%d", c->n_feeds);
    c->feeds[c->n_feeds++] = data;
    return gr_input(c->graph, name, s->dtype, s->ndim, s->shape);
}

enum { BEFORE = 2, AFTER = 1 }; /* columns around a strided input */

/* The same values cut out of a transposed matrix with a border of 0xFF: NaN, or an index that is not there. */
static gr_tensor *feed_strided(op_case *c, int k, const gr_spec *s)
{
    int last = s->ndim - 1, order[GR_MAX_DIMS] = {0, 1, 2, 3, 4, 5};
    gr_spec wide = *s;
    if (s->ndim >= 2) {
        order[last] = last - 1;
        order[last - 1] = last;
        wide.shape[last] = s->shape[last - 1];
        wide.shape[last - 1] = s->shape[last];
    }
    int64_t rows = s->ndim >= 2 ? s->shape[last - 1] : 1, columns = s->shape[last], width = wide.shape[last];
    wide.shape[last] += BEFORE + AFTER;
    const gr_dtype_info *d = gr_dtype_get(s->dtype);
    size_t size = (size_t)gr_spec_count(&wide) * (size_t)gr_dtype_width(s->dtype);
    unsigned char *data = memset(room(size), 0xFF, size);
    for (int64_t i = 0; i < c->call->count[k]; i++) {
        int64_t r = i / columns % rows, q = i % columns, block = i / (rows * columns);
        int64_t line = s->ndim >= 2 ? block * columns + q : block, at = s->ndim >= 2 ? r : q;
        d->store(data, line * wide.shape[last] + BEFORE + at, c->call->in[k][i]);
    }
    gr_tensor *t = gr_slice(feed(c, &wide, data), last, BEFORE, BEFORE + width);
    return s->ndim >= 2 ? gr_permute(t, order) : t;
}

static gr_tensor *state(op_case *c, int k, const gr_spec *s)
{
    char name[24];
    snprintf(name, sizeof name, "state%d", k);
    if (gr_store_add(c->store, name, GR_WEIGHT, s->dtype, s->ndim, s->shape) != GR_OK)
        return NULL;
    return gr_param(c->graph, c->store, name);
}

static void *input_bytes(const op_call *call, int k, gr_dtype dtype)
{
    if (!call->blocks[k])
        return encoded(call->in[k], call->count[k], dtype);
    size_t size = gr_dtype_size(dtype, call->count[k]);
    return memcpy(room(size), call->blocks[k], size);
}

static void build_inputs(op_case *c)
{
    for (int k = 0; k < c->call->sample.n_in; k++) {
        c->feed_of[k] = -1;
        if (!c->call->in[k])
            continue;
        gr_spec s = c->call->sample.in[k].spec;
        s.dtype = dtype_of(c->call, k, c->dtype);
        if (c->call->sample.in[k].is_state) {
            c->in[k] = state(c, k, &s);
            continue;
        }
        c->feed_of[k] = c->n_feeds;
        if ((c->flags & OP_STRIDED) && s.ndim > 0 && !gr_dtype_is_block(s.dtype))
            c->in[k] = feed_strided(c, k, &s);
        else
            c->in[k] = feed(c, &s, input_bytes(c->call, k, s.dtype));
    }
}

static void want(op_case *c, gr_tensor *t, op_part part, int index)
{
    if (!t)
        return; /* the graph knows why */
    c->roots[c->n_roots++] = t;
    c->results[c->n_results++] = (op_result){.part = part, .index = index, .spec = t->spec};
}

/* sum(t * cotangent), in f64 for f64 and else in f32. */
static gr_tensor *weighted(op_case *c, gr_tensor *t, int level, int index)
{
    if (!t)
        return NULL;
    gr_spec s = t->spec;
    s.dtype = gr_accumulator(c->dtype);
    int64_t n = gr_spec_count(&s);
    double *v = op_cotangent(c->call, level, index, n);
    gr_tensor *w = feed(c, &s, encoded(v, n, s.dtype));
    free(v);
    return gr_sum(gr_mul(gr_cast(t, s.dtype), w), 0, false);
}

static gr_tensor *plus(gr_tensor *sum, gr_tensor *term)
{
    return sum ? gr_add(sum, term) : term;
}

/* The gradient of `loss`, appended to the results; what flows into input k to grads[k]. */
static gr_status build_grads(op_case *c, gr_tensor *loss, gr_tensor **grads)
{
    gr_tensor *wrt[GR_MAX_INPUTS], *d[GR_MAX_INPUTS];
    int n = 0, from[GR_MAX_INPUTS];
    for (int k = 0; k < c->call->sample.n_in; k++)
        if (op_call_wants_grad(c->call, k)) {
            from[n] = k;
            wrt[n++] = c->in[k];
        }
    gr_status s = loss ? gr_grad(loss, wrt, d, n) : gr_graph_check(c->graph);
    for (int i = 0; s == GR_OK && i < n; i++)
        grads[from[i]] = d[i];
    return s;
}

static gr_status build_derivatives(op_case *c, int n_out)
{
    gr_tensor *loss = NULL, *first[GR_MAX_INPUTS] = {0}, *second[GR_MAX_INPUTS] = {0};
    for (int k = 0; k < n_out; k++)
        loss = plus(loss, weighted(c, c->node->outs[k], 1, k));
    gr_status s = build_grads(c, loss, first);
    if (s != GR_OK)
        return s;
    loss = NULL;
    for (int k = 0; k < GR_MAX_INPUTS; k++) {
        if (c->flags & OP_GRADS)
            want(c, first[k], OP_GRAD, k);
        if ((c->flags & OP_SECOND) && first[k])
            loss = plus(loss, weighted(c, first[k], 2, k));
    }
    if (!(c->flags & OP_SECOND))
        return GR_OK;
    s = build_grads(c, loss, second);
    for (int k = 0; s == GR_OK && k < GR_MAX_INPUTS; k++)
        want(c, second[k], OP_GRAD2, k);
    return s;
}

static gr_status build(op_case *c)
{
    build_inputs(c);
    c->node = gr_node(c->graph, c->call->op, c->in, c->call->sample.n_in, c->call->sample.attr.bytes);
    if (!c->node)
        return gr_graph_check(c->graph);
    int n_out = c->flags & OP_ONE_OUT ? 1 : c->node->n_out;
    for (int k = 0; (c->flags & OP_VALUES) && k < n_out; k++)
        want(c, c->node->outs[k], OP_OUT, k);
    bool derives = (c->flags & (OP_GRADS | OP_SECOND)) && !gr_dtype_is_block(c->node->spec.dtype);
    gr_status s = derives ? build_derivatives(c, n_out) : GR_OK;
    for (int k = 0; k < c->call->sample.n_in; k++)
        if (c->in[k] && c->call->sample.in[k].is_state)
            c->results[c->n_results++] = (op_result){.part = OP_STATE, .index = k, .spec = c->in[k]->spec};
    return s == GR_OK ? gr_graph_check(c->graph) : s;
}

gr_status op_case_open(op_case *c, const op_call *call, gr_device *device, gr_dtype dtype, unsigned flags)
{
    *c = (op_case){.call = call, .dtype = dtype, .flags = flags, .device = device};
    c->graph = gr_graph_new();
    c->store = gr_store_new(device);
    if (!c->graph || !c->store)
        return GR_ERR_MEMORY;
    gr_status s = build(c);
    if (s != GR_OK)
        return s;
    gr_compile_options o = GR_INIT(gr_compile_options);
    o.guards = !(flags & OP_PLAIN);
    c->program = gr_compile(c->graph, c->roots, c->n_roots, device, &o);
    for (int i = 0; i < c->n_results; i++) {
        op_result *r = &c->results[i];
        r->count = gr_spec_count(&r->spec);
        r->value = room((size_t)r->count * sizeof(double));
        c->buffers[i] = room(gr_dtype_size(r->spec.dtype, r->count));
    }
    return c->program ? GR_OK : gr_error_status();
}

void op_case_close(op_case *c)
{
    gr_program_free(c->program);
    gr_store_free(c->store);
    gr_graph_free(c->graph);
    for (int i = 0; i < c->n_feeds; i++)
        free(c->feeds[i]);
    for (int i = 0; i < c->n_results; i++) {
        free(c->results[i].value);
        free(c->buffers[i]);
    }
    *c = (op_case){0};
}

/* ---- running ------------------------------------------------------------------------------------------------ */

void op_case_set(op_case *c, int k, int64_t element, double value)
{
    gr_dtype_get(c->in[k]->spec.dtype)->store(c->feeds[c->feed_of[k]], element, value);
}

static size_t bytes_of(const op_result *r)
{
    return gr_dtype_size(r->spec.dtype, r->count);
}

/* Before the run the states get the sample's values, after it they are read. */
static gr_status move_states(op_case *c, bool before)
{
    gr_status s = GR_OK;
    for (int i = c->n_roots; s == GR_OK && i < c->n_results; i++) {
        const op_result *r = &c->results[i];
        char name[24];
        snprintf(name, sizeof name, "state%d", r->index);
        for (int64_t e = 0; before && e < r->count; e++)
            gr_dtype_get(r->spec.dtype)->store(c->buffers[i], e, c->call->in[r->index][e]);
        s = before ? gr_store_write(c->store, name, c->buffers[i], bytes_of(r))
                   : gr_store_read(c->store, name, c->buffers[i], bytes_of(r));
    }
    return s;
}

gr_status op_case_run(op_case *c)
{
    gr_status s = move_states(c, true);
    const void *const *feeds = (const void *const *)c->feeds;
    if (s == GR_OK)
        s = c->flags & OP_PLAIN ? gr_program_run(c->program, feeds, c->buffers)
                                : gr_run_checked(c->program, feeds, c->buffers);
    if (s == GR_OK)
        s = move_states(c, false);
    for (int i = 0; s == GR_OK && i < c->n_results; i++)
        for (int64_t e = 0; e < c->results[i].count; e++)
            c->results[i].value[e] = gr_dtype_load(c->results[i].spec.dtype, c->buffers[i], e);
    return s;
}
