/* What the layers of a model are given when it reads a text: the squares of it, and for GPTQ all second moments, layer after
 * layer, where those before are rounded already. */
#include <string.h>

#include "base/dtype.h"
#include "base/log.h"
#include "base/mem.h"
#include "graph/graph.h"
#include "model/layers/nn.h"
#include "program/run.h"
#include "program/store.h"
#include "quant/quant.h"

enum { WINDOW = 512 /* tokens */, ROWS = 1024 /* of a run, that keep a machine busy */ };

/* ---- windows ------------------------------------------------------------------------------------------------ */

gr_status gr_quant_calibrate(gr_quant *w)
{
    const gr_quantize_options *o = w->o;
    int64_t vocab = w->m->h.vocab, most = w->m->h.context < WINDOW ? w->m->h.context : WINDOW;
    w->length = o->n_calibration < most ? o->n_calibration : most;
    if (w->length < 1)
        return gr_fail(GR_ERR_ARGUMENT, "calibration: there are no tokens\ngive a text");
    for (int64_t i = 0; i < o->n_calibration; i++)
        if (o->calibration[i] < 0 || o->calibration[i] >= vocab)
            return gr_fail(GR_ERR_ARGUMENT, "calibration: token id %d, the vocabulary has %lld", (int)o->calibration[i],
                           (long long)vocab);
    w->windows = o->n_calibration / w->length;
    int64_t fit = ROWS / w->length;
    w->batch = fit < 1 ? 1 : fit < w->windows ? fit : w->windows;
    w->windows -= w->windows % w->batch;
    w->calibrated = w->windows * w->length;
    return GR_OK;
}

/* ---- what layers are given ---------------------------------------------------------------------------------- */

typedef struct noting {
    gr_layer_observer observer; /* first: it is found by that */
    gr_tensor **x;              /* [tensors] what a weight is multiplied by, by its index; NULL: by nothing */
} noting;

static gr_tensor *note_param(gr_build *b, const gr_layer *l, const char *part, gr_tensor *own)
{
    noting *n = (noting *)b->model->observer;
    bool is_linear = l->kind == GR_LAYER_LINEAR || l->kind == GR_LAYER_CONV1D;
    int i = is_linear && strcmp(part, "weight") == 0 ? gr_store_find(b->model->store, own->name) : -1;
    if (i >= 0)
        n->x[i] = l->x;
    return own;
}

static gr_tensor *note_result(gr_build *b, const gr_layer *l, gr_tensor *y)
{
    (void)b, (void)l;
    return y;
}

/* x [.., K] as rows. */
static gr_tensor *as_rows(gr_tensor *x)
{
    int64_t width = x->spec.shape[x->spec.ndim - 1];
    return gr_reshape(x, 2, (int64_t[]){gr_tensor_count(x) / width, width});
}

/* ---- squares ------------------------------------------------------------------------------------------------ */

/* The same activations may meet several matrices: which was the first? */
static int first_of(const noting *n, int i)
{
    int k = 0;
    while (n->x[k] != n->x[i])
        k++;
    return k;
}

/* Runs the whole model window by window and adds to what the first matrices of each kind of activations have. */
static gr_status add_squares(gr_quant *w, const noting *n, gr_graph *g, gr_tensor **out, int *index, int count)
{
    gr_program *p = gr_model_compile(w->m, g, out, count);
    float **rows = gr_alloc_zero((size_t)count, sizeof *rows);
    gr_status s = p && rows ? GR_OK : gr_error_status();
    bool runs = s == GR_OK && !w->o->plan;
    if (s == GR_OK && !runs) {
        gr_quant_see_all(w);
        gr_quant_need(w, p, 0);
    }
    for (int k = 0; runs && s == GR_OK && k < count; k++) {
        gr_quant_tensor *t = &w->tensors[index[k]];
        t->moments = gr_alloc_zero((size_t)n->x[index[k]]->spec.shape[n->x[index[k]]->spec.ndim - 1], sizeof(float));
        rows[k] = t->moments ? gr_alloc((size_t)t->width * sizeof(float)) : NULL;
        s = rows[k] ? GR_OK : GR_ERR_MEMORY;
    }
    for (int64_t at = 0; runs && s == GR_OK && at < w->windows; at += w->batch) {
        s = gr_program_run(p, (const void *[]){w->o->calibration + at * w->length}, (void **)rows);
        for (int k = 0; s == GR_OK && k < count; k++)
            for (int64_t i = 0; i < w->tensors[index[k]].width; i++)
                w->tensors[index[k]].moments[i] += rows[k][i] / (float)w->calibrated;
        if (s == GR_OK)
            s = gr_quant_tell(w, "calibrating", 0);
    }
    for (int k = 0; rows && k < count; k++)
        gr_free(rows[k]);
    gr_free(rows);
    gr_program_free(p);
    return s;
}

/* What is the same for several matrices is copied. */
static gr_status share_squares(gr_quant *w, const noting *n)
{
    for (int i = 0; i < w->n; i++) {
        gr_quant_tensor *t = &w->tensors[i];
        int first = n->x[i] ? first_of(n, i) : i;
        if (first == i)
            continue;
        t->moments = gr_alloc((size_t)t->width * sizeof *t->moments);
        if (!t->moments)
            return GR_ERR_MEMORY;
        memcpy(t->moments, w->tensors[first].moments, (size_t)t->width * sizeof *t->moments);
    }
    return GR_OK;
}

static gr_status squares(gr_quant *w, noting *n, gr_graph *g, gr_tensor **out, int *index)
{
    const gr_layer_observer *before = w->m->observer;
    gr_forward f = {.size = sizeof f};
    f.tokens = gr_input(g, "tokens", GR_I32, 2, (int64_t[]){w->batch, w->length});
    w->m->observer = &n->observer;
    bool built = gr_model_forward(w->m, &f);
    w->m->observer = before;
    int count = 0;
    for (int i = 0; built && i < w->n; i++)
        if (n->x[i] && w->tensors[i].is_matrix && first_of(n, i) == i) {
            gr_tensor *x = as_rows(n->x[i]);
            out[count] = gr_sum(gr_mul(x, x), 1, false);
            index[count++] = i;
        }
    gr_status s = built ? gr_graph_check(g) : gr_error_status();
    if (s == GR_OK)
        s = add_squares(w, n, g, out, index, count);
    return s == GR_OK && !w->o->plan ? share_squares(w, n) : s;
}

gr_status gr_quant_moments(gr_quant *w)
{
    noting n = {{note_param, note_result}, gr_alloc_zero((size_t)w->n, sizeof(gr_tensor *))};
    gr_tensor **out = gr_alloc_zero((size_t)w->n, sizeof *out);
    int *index = gr_alloc_zero((size_t)w->n, sizeof *index);
    gr_graph *g = n.x && out && index ? gr_graph_new() : NULL;
    gr_status s = g ? squares(w, &n, g, out, index) : GR_ERR_MEMORY;
    gr_graph_free(g);
    gr_free(index);
    gr_free(out);
    gr_free(n.x);
    return s;
}

/* ---- a part of the second model ----------------------------------------------------------------------------- */

/* Its graph: of tokens the first, of what the part before has given the others. */
static gr_tensor *part_of(gr_quant *w, gr_graph *g, int part, const gr_layer_observer *observer)
{
    gr_model *m = w->made;
    const int64_t shape[] = {w->batch, w->length, m->h.embed};
    gr_forward f = {.size = sizeof f};
    gr_build b = {.model = m, .h = &m->h, .g = g, .forward = &f, .layer = part - 1};
    b.positions = gr_expand(gr_iota(g, GR_I64, w->length), 2, shape);
    gr_tensor *x = part ? gr_input(g, "x", GR_F32, 3, shape) : gr_input(g, "tokens", GR_I32, 2, shape);
    m->observer = observer;
    size_t outer = gr_graph_scope_push(g, "%s", m->prefix);
    if (part == 0)
        x = m->arch->embed(&b, x);
    else if (part <= m->h.layers) {
        size_t inner = gr_graph_scope_push(g, "%s.%d.", m->arch->layers, part - 1);
        x = m->arch->block(&b, x);
        gr_graph_scope_pop(g, inner);
    } else
        x = m->arch->norm(&b, x);
    gr_graph_scope_pop(g, outer);
    if (part > m->h.layers)
        x = m->arch->head(&b, x);
    m->observer = NULL;
    return x;
}

static size_t hidden_bytes(const gr_quant *w)
{
    return (size_t)(w->windows * w->length * w->m->h.embed) * sizeof(float);
}

void gr_quant_leave_hidden(gr_quant *w)
{
    gr_free_pages(w->hidden, hidden_bytes(w));
    w->hidden = NULL;
}

/* Runs a part over all windows: `out` is given the output of each run. For a plan `held` is what is taken meanwhile, and nothing
 * is run. */
static gr_status run_part(gr_quant *w, int part, gr_graph *g, gr_tensor *y, size_t held, float *result,
                          void (*out)(gr_quant *w, int64_t window, const float *result, void *to), void *to)
{
    gr_program *p = gr_model_compile(w->made, g, &y, 1);
    gr_status s = p ? GR_OK : gr_error_status();
    if (s == GR_OK && w->o->plan)
        gr_quant_need(w, p, hidden_bytes(w) + held);
    for (int64_t at = 0; s == GR_OK && !w->o->plan && at < w->windows; at += w->batch) {
        const void *in = part ? (const void *)(w->hidden + at * w->length * w->made->h.embed)
                              : (const void *)(w->o->calibration + at * w->length);
        s = gr_program_run(p, &in, (void *[]){result});
        if (s == GR_OK)
            out(w, at, result, to);
        if (s == GR_OK)
            s = gr_quant_tell(w, "reading", w->done / w->total);
    }
    gr_program_free(p);
    return s;
}

static void keep_hidden(gr_quant *w, int64_t window, const float *result, void *to)
{
    size_t n = (size_t)(w->batch * w->length * w->made->h.embed);
    (void)to;
    memcpy(w->hidden + window * w->length * w->made->h.embed, result, n * sizeof *result);
}

/* What the next part is given. */
static gr_status go_on(gr_quant *w, int part)
{
    size_t each = hidden_bytes(w) / (size_t)(w->windows / w->batch);
    bool runs = !w->o->plan;
    if (runs && !w->hidden)
        w->hidden = gr_alloc_pages(hidden_bytes(w));
    float *result = runs && w->hidden ? gr_alloc(each) : NULL;
    gr_graph *g = result || !runs ? gr_graph_new() : NULL;
    gr_tensor *y = g ? part_of(w, g, part, NULL) : NULL;
    gr_status s = y ? run_part(w, part, g, y, each, result, keep_hidden, NULL) : gr_error_status();
    gr_graph_free(g);
    gr_free(result);
    return s;
}

/* ---- second moments ----------------------------------------------------------------------------------------- */

typedef struct moments {
    int64_t width;
    float *h; /* [width, width] */
} moments;

static void add_moments(gr_quant *w, int64_t window, const float *result, void *to)
{
    moments *m = to;
    float share = 1 / (float)w->calibrated;
    (void)window;
    for (int64_t i = 0; i < m->width * m->width; i++)
        m->h[i] += share * result[i];
}

static gr_status find_moments(gr_quant *w, int part, gr_graph *g, gr_tensor *x, moments *m)
{
    gr_tensor *rows = as_rows(x);
    m->width = rows ? rows->spec.shape[1] : 0;
    size_t n = (size_t)(m->width * m->width);
    gr_tensor *y = gr_matmul(rows, rows, true, false);
    bool runs = y && !w->o->plan;
    m->h = runs ? gr_alloc_pages(n * sizeof *m->h) : NULL;
    float *result = m->h ? gr_alloc_pages(n * sizeof *result) : NULL;
    gr_status s = gr_error_status();
    if (result || (y && !runs))
        s = run_part(w, part, g, y, 2 * n * sizeof *result, result, add_moments, m);
    gr_free_pages(result, n * sizeof *result);
    return s;
}

/* Those of the part's matrices that are left and meet the same activations as the first of them; the rest comes later. */
static int together(const noting *n, const int *left, int count, int *index)
{
    int found = 0;
    for (int k = 0; k < count; k++)
        if (n->x[left[k]] && (found == 0 || n->x[left[k]] == n->x[index[0]]))
            index[found++] = left[k];
    return found;
}

static gr_status open_gptq(gr_quant *w, int part, gr_graph *g, gr_tensor *x, const char *name, gr_gptq *gptq)
{
    moments m = {0};
    gr_status s = find_moments(w, part, g, x, &m);
    if (s == GR_OK && w->o->plan) /* H in f32 and f64 */
        gr_quant_need(w, NULL, hidden_bytes(w) + (size_t)(m.width * m.width) * (sizeof(float) + sizeof(double)));
    else if (s == GR_OK)
        s = gr_gptq_open(gptq, w->m->device, m.h, m.width);
    if (s == GR_OK && gptq->damping > 0.05)
        gr_remark(GR_LOG_WARN, "%s: second moments are not positive definite, their diagonal got %g times its mean",
                  name, gptq->damping);
    gr_free_pages(m.h, (size_t)(m.width * m.width) * sizeof *m.h);
    return s;
}

/* One step: matrices that are given the same. *found: how many; 0: none is left that is given anything. */
static gr_status take_group(gr_quant *w, int part, int number, noting *n, int *room, int *found)
{
    int *left = room, *index = room + w->n, count = gr_quant_left(w, part, left);
    memset(n->x, 0, (size_t)w->n * sizeof *n->x);
    gr_graph *g = gr_graph_new();
    if (!g || !part_of(w, g, part, &n->observer)) {
        gr_graph_free(g);
        return gr_error_status();
    }
    *found = together(n, left, count, index);
    gr_gptq gptq = {0};
    bool done = false;
    gr_status s = *found ? gr_quant_look(w, part, number, &done) : GR_OK;
    if (s == GR_OK && *found && !done)
        s = open_gptq(w, part, g, n->x[index[0]], w->tensors[index[0]].gguf, &gptq);
    if (s == GR_OK && *found)
        s = gr_quant_take(w, &(gr_quant_step){part, number, index, *found, done ? NULL : &gptq});
    gr_gptq_close(&gptq);
    gr_graph_free(g);
    return s;
}

/* What is rounded to plain dtypes comes first: layers that are run need all of it. */
static gr_status take_plain(gr_quant *w, int part, int *index)
{
    int left = gr_quant_left(w, part, index), count = 0;
    for (int k = 0; k < left; k++)
        if (!gr_dtype_is_block(w->tensors[index[k]].to))
            index[count++] = index[k];
    return gr_quant_take(w, &(gr_quant_step){part, 0, index, count, NULL});
}

gr_status gr_quant_gptq_part(gr_quant *w, int part)
{
    noting n = {{note_param, note_result}, gr_alloc_zero((size_t)w->n, sizeof(gr_tensor *))};
    int *room = gr_alloc_zero(2 * (size_t)w->n, sizeof *room), found = 1, number = 0;
    gr_status s = n.x && room ? gr_quant_keep(w, part) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = take_plain(w, part, room);
    while (s == GR_OK && part > 0 && found)
        s = take_group(w, part, ++number, &n, room, &found);
    if (s == GR_OK) /* what nothing is multiplied by: embeddings */
        s = gr_quant_take(w, &(gr_quant_step){part, ++number, room, gr_quant_left(w, part, room), NULL});
    if (s == GR_OK && part <= w->m->h.layers)
        s = go_on(w, part);
    gr_free(room);
    gr_free(n.x);
    return s;
}
