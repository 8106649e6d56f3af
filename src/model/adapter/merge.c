/* Merging: the adapter's numbers into the model's own weights. */
#include "model/adapter/adapter.h"

#include "backend/backend.h"
#include "base/dtype.h"
#include "base/ggml/hub.h"
#include "base/mem.h"
#include "op/op.h"
#include "program/run.h"

#include <math.h>
#include <string.h>

/* ---- what a parameter comes to ------------------------------------------------------------------------------ */

static const gr_lora *lora_of(const gr_adapter *a, int layer)
{
    int i = a->notes[layer].lora;
    return i < 0 ? NULL : &a->loras[i];
}

static const gr_override *override_of(const gr_adapter *a, const gr_layer_note *l, int param)
{
    for (size_t i = 0; i < a->n_overrides; i++)
        if (a->overrides[i].param == param && a->overrides[i].tied == l->tied)
            return &a->overrides[i];
    return NULL;
}

static const gr_token_rows *rows_of(const gr_adapter *a, int layer)
{
    for (size_t i = 0; i < a->n_rows; i++)
        if (a->rows[i].layer == layer)
            return &a->rows[i];
    return NULL;
}

static gr_tensor *own_or_override(gr_build *b, const gr_layer_note *l, int param)
{
    const gr_adapter *a = b->model->adapter;
    const gr_override *o = override_of(a, l, param);
    return o ? gr_adapter_entry(b, a->store, o->entry) : gr_nn_f32(gr_adapter_entry(b, b->model->store, param));
}

/* W + scale · BA, with DoRA each of its rows, or of a transposed weight its columns, given the length that was learned. */
static gr_tensor *with_lora(gr_build *b, const gr_lora *l, gr_tensor *w)
{
    const gr_adapter *a = b->model->adapter;
    w = gr_add(w, gr_lora_delta(b, l));
    if (l->magnitude < 0 || !w)
        return w;
    gr_tensor *factor = gr_div(gr_adapter_entry(b, a->store, l->magnitude), gr_dora_norm(b, l, w));
    bool by_rows = a->notes[l->layer].kind == GR_LAYER_LINEAR;
    return gr_mul(w, by_rows && factor ? gr_unsqueeze(factor, 1) : factor);
}

static gr_tensor *merged_weight(gr_build *b, int layer)
{
    const gr_adapter *a = b->model->adapter;
    const gr_lora *l = lora_of(a, layer);
    const gr_token_rows *r = rows_of(a, layer);
    gr_tensor *w = own_or_override(b, &a->notes[layer], a->notes[layer].weight);
    w = l ? with_lora(b, l, w) : w;
    return r ? gr_token_rows_weight(b, r, w) : w;
}

static gr_tensor *merged_bias(gr_build *b, int layer)
{
    const gr_adapter *a = b->model->adapter;
    const gr_lora *l = lora_of(a, layer);
    gr_tensor *bias = own_or_override(b, &a->notes[layer], a->notes[layer].bias);
    bool adds = l && l->b_bias >= 0;
    return adds ? gr_add(bias, gr_scale(gr_adapter_entry(b, a->store, l->b_bias), (double)l->scale)) : bias;
}

static bool changes_weight(const gr_adapter *a, int layer)
{
    return lora_of(a, layer) || rows_of(a, layer) || override_of(a, &a->notes[layer], a->notes[layer].weight);
}

static bool changes_bias(const gr_adapter *a, int layer)
{
    const gr_lora *l = lora_of(a, layer);
    const gr_layer_note *note = &a->notes[layer];
    return (l && l->b_bias >= 0) || (note->bias >= 0 && override_of(a, note, note->bias));
}

/* ---- computing it ------------------------------------------------------------------------------------------- */

typedef struct rounding {
    const gr_dtype_info *to;
    int64_t group, width;
    const float *x, *even; /* [rows, width]; [width] ones */
    char *out;
} rounding;

static void round_row(void *ctx, int64_t row, int worker)
{
    const rounding *r = ctx;
    (void)worker;
    gr_ints_from_row(r->to, r->group, r->x + row * r->width, r->even,
                     r->out + row * (r->width / r->to->block) * r->to->block_bytes, r->width);
}

/* To the hub's blocks, with one scale for so many columns as there were. Caller frees. */
static void *to_groups(gr_model *m, const gr_entry *e, int64_t group, const float *x)
{
    int64_t rows = e->shape[0], width = e->shape[1];
    float *even = gr_alloc((size_t)width * sizeof *even);
    void *out = even ? gr_alloc(e->bytes) : NULL;
    for (int64_t i = 0; out && i < width; i++)
        even[i] = 1;
    rounding r = {gr_dtype_get(e->dtype), group, width, x, even, out};
    if (out)
        gr_device_parallel(m->device, rows, round_row, &r);
    gr_free(even);
    return out;
}

/* The first of the adapter's tensors with a value that is no number, or infinite; NULL: none has one. */
static const char *first_not_finite(const gr_adapter *a)
{
    gr_entry e = GR_INIT(gr_entry);
    const char *found = NULL;
    for (int i = 0; !found && i < gr_store_count(a->store) && gr_store_entry(a->store, i, &e) == GR_OK; i++) {
        float *x = e.dtype == GR_F32 ? gr_alloc(e.bytes) : NULL;
        bool is_read = x && gr_store_read(a->store, e.name, x, e.bytes) == GR_OK;
        for (size_t k = 0; is_read && !found && k < e.bytes / sizeof *x; k++)
            found = isfinite(x[k]) ? NULL : e.name;
        gr_free(x);
    }
    return found;
}

static gr_status fail_of_range(const gr_adapter *a, const gr_entry *e)
{
    const char *name = first_not_finite(a);
    if (name)
        return gr_fail(GR_ERR_NUMBER,
                       "merging: the adapter's \"%s\" has values that are no finite numbers\n"
                       "its training went wrong, or its file: take an earlier checkpoint of it, or train it anew",
                       name);
    return gr_fail(GR_ERR_NUMBER,
                   "merging: \"%s\" would have values that %s cannot hold\nmerge into a model of a wider dtype",
                   e->name, gr_dtype_name(e->dtype));
}

/* The parameter in f32, rounded to its dtype once: e's bytes, caller frees. */
static void *merged(gr_model *m, int layer, bool is_bias, gr_entry *e)
{
    const gr_layer_note *note = &m->adapter->notes[layer];
    int index = is_bias ? note->bias : note->weight;
    if (gr_store_entry(m->store, index, e) != GR_OK)
        return NULL;
    bool ints = gr_ints_is(e->dtype) && e->ndim == 2;
    gr_graph *g = gr_graph_new();
    gr_build b = {.model = m, .g = g};
    gr_tensor *sum = !g ? NULL : is_bias ? merged_bias(&b, layer) : merged_weight(&b, layer);
    gr_tensor *out[2] = {gr_cast(sum, ints ? GR_F32 : e->dtype)};
    gr_tensor *zero = gr_fill(g, GR_F32, 0, NULL, 0), *one = gr_fill(g, GR_F32, 0, NULL, 1);
    out[1] = gr_sum(gr_select(gr_is_finite(gr_nn_f32(out[0])), zero, one), 0, false);
    gr_program *p = out[1] ? gr_compile(g, out, 2, m->device, NULL) : NULL;
    gr_graph_free(g);
    float bad = 0;
    void *data = p ? gr_alloc(ints ? gr_dtype_size(GR_F32, e->shape[0] * e->shape[1]) : e->bytes) : NULL;
    gr_status s = data ? gr_program_run(p, NULL, (void *[]){data, &bad}) : gr_error_status();
    gr_program_free(p);
    if (s == GR_OK && bad > 0)
        s = fail_of_range(m->adapter, e);
    if (s == GR_OK && !ints)
        return data;
    void *blocks = s == GR_OK ? to_groups(m, e, m->inits[index].group, data) : NULL;
    gr_free(data);
    return blocks;
}

static gr_status write_merged(gr_model *m, int layer, bool is_bias)
{
    gr_entry e = GR_INIT(gr_entry);
    void *data = merged(m, layer, is_bias, &e);
    gr_status s = data ? gr_store_write(m->store, e.name, data, e.bytes) : gr_error_status();
    gr_free(data);
    return s;
}

static gr_status merge_layer(gr_model *m, int layer)
{
    const gr_adapter *a = m->adapter;
    const gr_layer_note *note = &a->notes[layer];
    gr_status s = GR_OK;
    if (changes_bias(a, layer) && note->bias < 0)
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "merging: the adapter's B has a bias (lora_bias), and \"%s\" has none that it "
                       "could be added to\nuse model and adapter as they are",
                       note->module);
    if (!note->tied && changes_weight(a, layer))
        s = write_merged(m, layer, false);
    return s == GR_OK && changes_bias(a, layer) ? write_merged(m, layer, true) : s;
}

/* Is the head one with the embedding, or apart from it, as it was? */
static bool stays_tied(const gr_adapter *a)
{
    int head = (int)a->n_notes - 1;
    const gr_token_rows *r = rows_of(a, 0), *s = rows_of(a, head);
    if (!a->notes[head].tied)
        return true;
    return r && s ? r->entry == s->entry : !changes_weight(a, 0) && !changes_weight(a, head);
}

/* The head gets a tensor of its own, as the embedding's, with these bytes. */
static gr_status add_head(gr_model *m, const gr_entry *embedding, const void *head)
{
    static const char name[] = "lm_head.weight";
    gr_status s = gr_grow(&m->inits, &m->inits_capacity, m->n_inits + 1, sizeof *m->inits);
    if (s == GR_OK)
        s = gr_store_add(m->store, name, GR_WEIGHT, embedding->dtype, embedding->ndim, embedding->shape);
    if (s != GR_OK)
        return s;
    m->inits[m->n_inits++] = (gr_param_init){.kind = GR_INIT_NORMAL, .std = m->h.init_std};
    m->info.parameters += embedding->shape[0] * embedding->shape[1];
    s = gr_store_write(m->store, name, head, embedding->bytes);
    return s == GR_OK ? gr_model_untie(m) : s;
}

gr_status gr_model_merge_adapter(gr_model *m)
{
    if (gr_lacks(m, "gr_model_merge_adapter: model"))
        return GR_ERR_ARGUMENT;
    const gr_adapter *a = m->adapter;
    if (!a)
        return gr_fail(GR_ERR_ARGUMENT, "merging: the model has no adapter");
    gr_entry e = GR_INIT(gr_entry);
    bool tied = stays_tied(a);
    void *head = tied ? NULL : merged(m, (int)a->n_notes - 1, false, &e); /* while the embedding is as it was */
    gr_status s = tied || head ? GR_OK : gr_error_status();
    for (size_t i = 0; s == GR_OK && i < a->n_notes; i++)
        s = merge_layer(m, (int)i);
    if (s == GR_OK && !tied)
        s = add_head(m, &e, head);
    gr_free(head);
    if (s == GR_OK)
        gr_adapter_close(m);
    m->is_merged |= s == GR_OK;
    m->keeps_layout |= s == GR_OK;
    return s;
}
