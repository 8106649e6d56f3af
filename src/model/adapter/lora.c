/* LoRA and DoRA in graphs. */
#include "model/adapter/adapter.h"

#include "op/op.h"

#include <stdio.h>
#include <string.h>

gr_tensor *gr_adapter_entry(gr_build *b, gr_store *store, int index)
{
    gr_entry e = GR_INIT(gr_entry);
    return gr_store_entry(store, index, &e) == GR_OK ? gr_param(b->g, store, e.name) : gr_graph_fail(b->g);
}

static gr_tensor *entry(gr_build *b, int index)
{
    return gr_adapter_entry(b, b->model->adapter->store, index);
}

static bool is_transposed(gr_layer_kind kind)
{
    return kind != GR_LAYER_LINEAR;
}

static gr_layer_kind kind_of(gr_build *b, const gr_lora *l)
{
    return b->model->adapter->notes[l->layer].kind;
}

gr_tensor *gr_lora_delta(gr_build *b, const gr_lora *l)
{
    gr_tensor *low = entry(b, l->a), *high = entry(b, l->b);
    gr_tensor *delta =
        is_transposed(kind_of(b, l)) ? gr_matmul(low, high, true, true) : gr_matmul(high, low, false, false);
    const int32_t *order = b->model->inits[b->model->adapter->notes[l->layer].weight].order;
    return gr_scale(order ? gr_nn_sorted(b, delta, order) : delta, (double)l->scale);
}

gr_tensor *gr_dora_norm(gr_build *b, const gr_lora *l, gr_tensor *sum)
{
    return gr_sqrt(gr_sum(gr_mul(sum, sum), is_transposed(kind_of(b, l)) ? 1 : 2, false));
}

/* What the layer's result is multiplied by, [out]: the magnitude over the length, which counts as fixed (section 4.3 of
 * the paper). */
static gr_tensor *dora_factor(gr_build *b, const gr_lora *l, gr_tensor *weight)
{
    gr_tensor *sum = gr_detach(gr_add(gr_nn_f32(weight), gr_lora_delta(b, l)));
    return gr_div(entry(b, l->magnitude), gr_detach(gr_dora_norm(b, l, sum)));
}

static gr_tensor *add_linear(gr_build *b, const gr_lora *m, const gr_layer *l, gr_tensor *y)
{
    const gr_adapter *a = b->model->adapter;
    bool drops = a->dropout > 0 && b->forward->seed;
    gr_tensor *x = drops ? gr_dropout(l->x, a->dropout, b->forward->seed, b->stream++) : l->x;
    gr_tensor *low = gr_matmul(x, entry(b, m->a), false, true);
    low = gr_name(gr_scale(low, (double)m->scale), "%s.lora_A", l->name);
    gr_tensor *high = gr_name(gr_matmul(low, entry(b, m->b), false, true), "%s.lora_B", l->name);
    if (m->b_bias >= 0)
        high = gr_add(high, gr_scale(entry(b, m->b_bias), (double)m->scale));
    if (m->magnitude < 0)
        return gr_add(y, high);
    /* With dropout, the model's own part of the difference drops out as well. */
    const int32_t *order = b->model->inits[a->notes[m->layer].weight].order;
    gr_tensor *own = !drops  ? l->product
                     : order ? gr_matmul(gr_nn_sorted(b, x, order), l->weight, false, true)
                             : gr_matmul(x, l->weight, false, l->kind == GR_LAYER_LINEAR);
    gr_tensor *factor = dora_factor(b, m, l->weight);
    return gr_add(y, gr_add(gr_mul(gr_offset(factor, -1), own), gr_mul(factor, high)));
}

static gr_tensor *add_embedding(gr_build *b, const gr_lora *m, const gr_layer *l, gr_tensor *y)
{
    gr_tensor *rows = gr_embedding(gr_permute(entry(b, m->a), (int[]){1, 0}), l->x);
    gr_tensor *low = gr_scale(gr_nn_no_padding(b, rows, l->x), (double)m->scale);
    low = gr_name(low, "%s.lora_embedding_A", l->name);
    y = gr_add(y, gr_name(gr_matmul(low, entry(b, m->b), false, true), "%s.lora_embedding_B", l->name));
    return m->magnitude < 0 ? y : gr_mul(y, dora_factor(b, m, l->weight));
}

/* ---- the observer ------------------------------------------------------------------------------------------- */

/* Graphs are built in the order in which layers were noted: it is among the next. */
static int find(gr_adapter *a, const char *module)
{
    for (size_t i = 0; i < a->n_notes; i++) {
        size_t k = (a->at + i) % a->n_notes;
        if (strcmp(a->notes[k].module, module) == 0) {
            a->at = k + 1;
            return (int)k;
        }
    }
    return -1;
}

static gr_tensor *result(gr_build *b, const gr_layer *l, gr_tensor *y)
{
    gr_adapter *a = b->model->adapter;
    int layer = find(a, l->module), lora = layer < 0 ? -1 : a->notes[layer].lora;
    if (lora >= 0)
        return (l->kind == GR_LAYER_EMBEDDING ? add_embedding : add_linear)(b, &a->loras[lora], l, y);
    for (size_t i = 0; i < a->n_rows; i++)
        if (a->rows[i].layer == layer)
            return gr_token_rows_result(b, &a->rows[i], l, y);
    return y;
}

/* Overrides stand in the store as MODULE.part, or MODULE.base_layer.part where there is LoRA too. */
static gr_tensor *param(gr_build *b, const gr_layer *l, const char *part, gr_tensor *own)
{
    gr_adapter *a = b->model->adapter;
    int at = -1;
    for (int wrapped = 0; a->n_overrides && at < 0 && wrapped < 2; wrapped++) {
        const char *base = wrapped ? ".base_layer" : "";
        const char *name = gr_graph_text(b->g, GR_ADAPTER_PREFIX "%s%s.%s", l->module, base, part);
        if (!name)
            return NULL;
        at = gr_store_find(a->store, name);
    }
    return at < 0 ? own : entry(b, at);
}

const gr_layer_observer gr_adapter_observer = {param, result};
