/* What the tensors of a new adapter begin as: it changes nothing yet. */
#include "model/adapter/adapter.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/philox.h"
#include "program/run.h"
#include "program/store.h"

#include <math.h>
#include <string.h>

/* A as torch.nn.Linear is initialized, uniform within 1/sqrt(in) (kaiming_uniform with a = sqrt 5), and B zero; of an
 * embedding A zero, and B as torch.nn.Embedding is, normal. */
static void draw(const gr_entry *e, bool is_embedding, uint64_t seed, int index, float *data)
{
    enum { STREAM = 0x6c6f7261 /* "lora" */ };
    uint64_t stream = (uint64_t)STREAM << 32 | (uint64_t)index;
    float bound = (float)(1 / sqrt((double)e->shape[1]));
    for (size_t k = 0; k < e->bytes / sizeof *data; k++)
        data[k] = is_embedding ? (float)gr_philox_normal(seed, stream, k)
                               : bound * (2 * gr_philox_uniform(seed, stream, k) - 1);
}

static gr_status draw_lora(gr_adapter *a, const gr_lora *l, uint64_t seed)
{
    bool is_embedding = a->notes[l->layer].kind == GR_LAYER_EMBEDDING;
    int index = is_embedding ? l->b : l->a;
    gr_entry e = GR_INIT(gr_entry);
    gr_status s = gr_store_entry(a->store, index, &e);
    float *data = s == GR_OK ? gr_alloc(e.bytes) : NULL;
    if (!data)
        return gr_error_status();
    draw(&e, is_embedding, seed, index, data);
    s = gr_store_write(a->store, e.name, data, e.bytes);
    gr_free(data);
    return s;
}

/* Entry `to` of the adapter's store gets what the graph's tensor is. */
static gr_status compute(gr_model *m, gr_graph *g, gr_tensor *value, int to)
{
    gr_entry e = GR_INIT(gr_entry);
    gr_program *p = value ? gr_compile(g, &value, 1, m->device, NULL) : NULL;
    gr_status s = p ? gr_store_entry(m->adapter->store, to, &e) : gr_error_status();
    void *data = s == GR_OK ? gr_alloc(e.bytes) : NULL;
    if (s == GR_OK)
        s = data ? gr_program_run(p, NULL, (void *[]){data}) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = gr_store_write(m->adapter->store, e.name, data, e.bytes);
    gr_free(data);
    gr_program_free(p);
    gr_graph_free(g);
    return s;
}

static gr_tensor *own_param(gr_graph *g, gr_model *m, int index)
{
    gr_entry e = GR_INIT(gr_entry);
    return g && gr_store_entry(m->store, index, &e) == GR_OK ? gr_nn_f32(gr_param(g, m->store, e.name)) : NULL;
}

/* The lengths that the weight has. */
static gr_status set_magnitude(gr_model *m, const gr_lora *l)
{
    gr_graph *g = gr_graph_new();
    gr_build b = {.model = m, .g = g};
    return compute(m, g, gr_dora_norm(&b, l, own_param(g, m, m->adapter->notes[l->layer].weight)), l->magnitude);
}

/* The base's own is not read again, but where something else does. */
static gr_status copy_param(gr_model *m, const gr_override *o)
{
    gr_entry e = GR_INIT(gr_entry);
    gr_graph *g = gr_graph_new();
    gr_status s = compute(m, g, own_param(g, m, o->param), o->entry);
    if (s == GR_OK && gr_store_is_mapped(m->store, o->param) && gr_store_entry(m->store, o->param, &e) == GR_OK)
        gr_map_release(gr_store_view(m->store, o->param), e.bytes);
    return s;
}

static gr_status copy_rows(gr_model *m, const gr_token_rows *r)
{
    gr_graph *g = gr_graph_new();
    int64_t n = (int64_t)r->n;
    gr_tensor *rows =
        g ? gr_gather(own_param(g, m, m->adapter->notes[r->layer].weight), gr_constant(g, GR_I32, 1, &n, r->tokens))
          : NULL;
    return compute(m, g, rows, r->entry);
}

gr_status gr_adapter_initialize(gr_model *m, uint64_t seed)
{
    gr_adapter *a = m->adapter;
    gr_status s = GR_OK;
    for (size_t i = 0; s == GR_OK && i < a->n_loras; i++)
        s = draw_lora(a, &a->loras[i], seed);
    if (!gr_store_has_data(m->store, a->notes[0].weight)) /* a model that is described only */
        return s;
    for (size_t i = 0; s == GR_OK && i < a->n_loras; i++)
        if (a->loras[i].magnitude >= 0)
            s = set_magnitude(m, &a->loras[i]);
    for (size_t i = 0; s == GR_OK && i < a->n_overrides; i++)
        s = copy_param(m, &a->overrides[i]);
    for (size_t i = 0; s == GR_OK && i < a->n_rows; i++)
        if (i == 0 || a->rows[i].entry != a->rows[0].entry)
            s = copy_rows(m, &a->rows[i]);
    return s;
}
