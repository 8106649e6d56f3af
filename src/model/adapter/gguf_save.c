/* LoRA adapters written as GGUF files. */
#include "model/adapter/gguf.h"

#include "base/dtype.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/files/gguf.h"
#include "model/files/gguf_save.h"
#include "program/store.h"

#include <float.h>
#include <math.h>
#include <string.h>

gr_gguf_change gr_gguf_side_change(const gr_layer_note *layer, bool is_a, gr_gguf_change weight)
{
    if (is_a)
        return layer->kind == GR_LAYER_EMBEDDING ? GR_GGUF_TURNED : GR_GGUF_SAME;
    return weight == GR_GGUF_TURNED ? GR_GGUF_SAME : weight;
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

typedef struct saving {
    const gr_model *m;
    gr_gguf_keys keys;
    gr_weight *list; /* [2 n_loras] A and B by turns */
    char **names;
    gr_gguf_change *change; /* of each, from the store to the file */
    float alpha;
    float *own, *written; /* of the largest */
} saving;

static gr_status check_kind(const gr_adapter *a)
{
    const gr_layer_note *head = &a->notes[a->n_notes - 1];
    const char *what = a->dora                           ? "the lengths of DoRA"
                       : a->b_bias || a->n_overrides > 0 ? "biases, or modules that are saved whole"
                       : a->n_rows > 0                   ? "rows of tokens"
                       : a->n_replaced > 0               ? "weights of its base beside it"
                       : !(fabs(a->alpha) > 0)           ? "an alpha of 0"
                                                         : NULL;
    bool on_tied = head->tied && (a->notes[0].lora >= 0 || head->lora >= 0);
    if (what)
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "the adapter has %s, which a GGUF file of an adapter cannot say\nmerge it into its model, and "
                       "convert that",
                       what);
    if (on_tied)
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "the adapter is of an embedding and a head that are one, which a GGUF file of an adapter cannot "
                       "tell apart\nmerge it into its model, and convert that");
    return GR_OK;
}

/* What a reader makes of it. */
static float told_scale(float alpha, int64_t rank)
{
    return (float)((double)alpha / (double)rank);
}

/* By what B is multiplied, where one alpha for all does not give the layer's scale. */
static float factor_of(const saving *w, const gr_lora *l, int64_t rank)
{
    bool is_told = fabsf(told_scale(w->alpha, rank) - l->scale) <= FLT_EPSILON * fabsf(l->scale);
    return is_told ? 1 : (float)((double)l->scale * (double)rank / (double)w->alpha);
}

/* An alpha that gives the layers' scale; with roots of ranks it may be a neighbour that gives all bits of it. */
static float alpha_of(const gr_adapter *a)
{
    float alpha = (float)(a->alpha * (a->rslora ? sqrt((double)a->rank) : 1));
    float scale = (float)(a->alpha / (a->rslora ? sqrt((double)a->rank) : (double)a->rank));
    float near[] = {alpha, nextafterf(alpha, INFINITY), nextafterf(alpha, -INFINITY)};
    for (size_t i = 0; i < sizeof near / sizeof *near; i++)
        if (told_scale(near[i], a->rank) == scale)
            return near[i];
    return alpha;
}

static gr_status add_side(saving *w, int lora, bool is_a)
{
    const gr_adapter *a = w->m->adapter;
    const gr_layer_note *note = &a->notes[a->loras[lora].layer];
    int at = 2 * lora + !is_a;
    gr_weight *t = &w->list[at];
    gr_entry e = GR_INIT(gr_entry);
    gr_status s = gr_store_entry(a->store, is_a ? a->loras[lora].a : a->loras[lora].b, &e);
    char *weight = s == GR_OK ? gr_strfmt("%s.weight", note->module) : NULL;
    char *base = weight ? gr_gguf_name_of(w->m->arch, weight, &w->change[at]) : NULL;
    w->names[at] = base ? gr_strfmt("%s.lora_%c", base, is_a ? 'a' : 'b') : NULL;
    gr_free(weight);
    gr_free(base);
    if (!w->names[at])
        return gr_error_status();
    w->change[at] = gr_gguf_side_change(note, is_a, w->change[at]);
    bool turned = w->change[at] == GR_GGUF_TURNED;
    *t = (gr_weight){.name = w->names[at], .dtype = GR_F32, .ndim = 2, .bytes = e.bytes};
    t->shape[0] = e.shape[turned ? 1 : 0];
    t->shape[1] = e.shape[turned ? 0 : 1];
    return GR_OK;
}

static gr_status fetch(void *user, int index, const void **data)
{
    saving *w = user;
    const gr_adapter *a = w->m->adapter;
    const gr_lora *l = &a->loras[index / 2];
    bool is_a = index % 2 == 0;
    gr_entry e = GR_INIT(gr_entry);
    gr_status s = gr_store_entry(a->store, is_a ? l->a : l->b, &e);
    if (s == GR_OK)
        s = gr_store_read(a->store, e.name, w->own, e.bytes);
    float factor = is_a ? 1 : factor_of(w, l, e.shape[1]);
    for (size_t i = 0; s == GR_OK && i < e.bytes / sizeof(float); i++)
        w->own[i] *= factor;
    gr_weight own = {.name = e.name, .dtype = GR_F32, .ndim = 2, .data = w->own, .bytes = e.bytes};
    memcpy(own.shape, e.shape, sizeof own.shape);
    if (s == GR_OK)
        s = gr_gguf_apply(&own, w->change[index], &w->m->h, w->written);
    *data = w->written;
    return s;
}

static gr_status list_sides(saving *w)
{
    const gr_adapter *a = w->m->adapter;
    size_t n = 2 * a->n_loras, largest = 0;
    bool folds = false;
    w->list = gr_alloc_zero(n, sizeof *w->list);
    w->names = w->list ? gr_alloc_zero(n, sizeof *w->names) : NULL;
    w->change = w->names ? gr_alloc_zero(n, sizeof *w->change) : NULL;
    if (!w->change)
        return GR_ERR_MEMORY;
    for (size_t i = 0; i < n; i++) {
        gr_status s = add_side(w, (int)i / 2, i % 2 == 0);
        if (s != GR_OK)
            return s;
        largest = w->list[i].bytes > largest ? w->list[i].bytes : largest;
        folds |= i % 2 && factor_of(w, &a->loras[i / 2], w->list[i].shape[1]) != 1;
    }
    if (folds)
        gr_remark(GR_LOG_WARN, "layers have scales of their own, and a GGUF file has one alpha: what differs is in B");
    w->own = gr_alloc(largest);
    w->written = w->own ? gr_alloc(largest) : NULL;
    return w->written ? GR_OK : GR_ERR_MEMORY;
}

static void put_keys(saving *w)
{
    const char *arch = w->m->arch->gguf->name;
    gr_gguf_put_text(&w->keys, "general.architecture", arch, strlen(arch));
    gr_gguf_put_text(&w->keys, "general.type", "adapter", 7);
    gr_gguf_put_u32(&w->keys, "general.file_type", gr_dtype_get(GR_F32)->ggml_file);
    gr_gguf_put_text(&w->keys, "adapter.type", "lora", 4);
    gr_gguf_put_f32(&w->keys, GR_GGUF_LORA_ALPHA, w->alpha);
}

/* ---- comparing ---------------------------------------------------------------------------------------------- */

static gr_status compare_side(const gr_adapter *must, int entry, const gr_adapter *is, float factor)
{
    gr_entry e = GR_INIT(gr_entry);
    gr_status s = gr_store_entry(must->store, entry, &e);
    float *a = s == GR_OK ? gr_alloc(e.bytes) : NULL, *b = a ? gr_alloc(e.bytes) : NULL;
    if (s == GR_OK)
        s = b ? gr_store_read(must->store, e.name, a, e.bytes) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = gr_store_read(is->store, e.name, b, e.bytes);
    bool same = true;
    for (size_t i = 0; s == GR_OK && i < e.bytes / sizeof *a; i++)
        a[i] *= factor;
    same = s == GR_OK && memcmp(a, b, e.bytes) == 0;
    gr_free(a);
    gr_free(b);
    return s != GR_OK || same ? s
                              : gr_fail(GR_ERR_NUMBER,
                                        "\"%s\" is read back with other values than were written\nthe "
                                        "disk or the memory is at fault: check them",
                                        e.name);
}

/* The same layers, each with the scale and the values that it has. */
static gr_status compare(const saving *w, const gr_adapter *must, const gr_adapter *is)
{
    gr_status s = must->n_loras == is->n_loras ? GR_OK : GR_ERR_NUMBER;
    for (size_t i = 0; s == GR_OK && i < must->n_loras; i++) {
        const gr_lora *a = &must->loras[i], *b = &is->loras[i];
        float factor = factor_of(w, a, w->list[2 * i + 1].shape[1]);
        if (a->layer != b->layer || !(fabsf(b->scale * factor - a->scale) <= 1e-6f * fabsf(a->scale)))
            s = GR_ERR_NUMBER;
        if (s == GR_OK)
            s = compare_side(must, a->a, is, 1);
        if (s == GR_OK)
            s = compare_side(must, a->b, is, factor);
        if (s != GR_OK)
            return s;
    }
    return s == GR_OK ? s : gr_fail(s, "layers or scales are read back as others than were written");
}

/* The file is put on the model in place of the adapter that it is of, which comes back. */
static gr_status check_saved(saving *w, gr_model *m, const char *path)
{
    gr_adapter *own = m->adapter;
    gr_remarks_pause();
    m->adapter = NULL;
    gr_status s = gr_adapter_load_gguf(m, path);
    if (s == GR_OK)
        s = compare(w, own, m->adapter);
    gr_adapter_close(m);
    m->adapter = own;
    m->observer = &gr_adapter_observer;
    m->info.adapter_config = own->config;
    gr_remarks_resume();
    return s;
}

static gr_status save(saving *w, gr_model *m, const gr_gguf_place *to)
{
    gr_status s = list_sides(w);
    if (s != GR_OK)
        return s;
    put_keys(w);
    const gr_gguf_spec spec = {
        .keys = &w->keys, .tensors = w->list, .count = 2 * (int)m->adapter->n_loras, .fetch = fetch, .user = w};
    s = gr_gguf_write(to->hidden, &spec);
    return s == GR_OK ? check_saved(w, m, to->hidden) : s;
}

gr_status gr_adapter_save_gguf(gr_model *m, const char *path)
{
    const gr_adapter *a = m->adapter;
    saving w = {.m = m, .alpha = alpha_of(a)};
    gr_gguf_place to;
    gr_status s = gr_gguf_place_open(&to, path);
    if (s == GR_OK)
        s = m->arch->gguf ? check_kind(a) : gr_gguf_no_arch(m);
    if (s == GR_OK)
        s = save(&w, m, &to);
    s = gr_gguf_place_close(&to, s);
    if (s != GR_OK)
        gr_fail_in("saving %s", path);
    for (size_t i = 0; w.names && i < 2 * a->n_loras; i++)
        gr_free(w.names[i]);
    gr_free(w.names);
    gr_free(w.list);
    gr_free(w.change);
    gr_free(w.own);
    gr_free(w.written);
    gr_gguf_keys_free(&w.keys);
    return s;
}
