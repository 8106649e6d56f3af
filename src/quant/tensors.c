/* The tensors of a model: which are matrices that can be rounded, where they stand, what each is to be. */
#include "quant/quant.h"

#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/ggml/hub.h"
#include "base/log.h"
#include "base/mem.h"
#include "graph/graph.h"
#include "model/files/gguf_save.h"
#include "model/layers/nn.h"
#include "quant/mix.h"

/* ---- what the model does with them -------------------------------------------------------------------------- */

typedef struct noting {
    gr_layer_observer observer; /* first: it is found by that */
    gr_quant *w;
} noting;

/* Everything that is multiplied by or looked up in; positions that are learned are neither to llama.cpp. */
static gr_tensor *note_param(gr_build *b, const gr_layer *l, const char *part, gr_tensor *own)
{
    gr_quant *w = ((const noting *)b->model->observer)->w;
    int i = strcmp(part, "weight") == 0 && own->name ? gr_store_find(w->m->store, own->name) : -1;
    if (i < 0 || l->kind == GR_LAYER_NORM)
        return own;
    gr_quant_tensor *t = &w->tensors[i];
    t->is_matrix = strncmp(t->gguf, "position_embd.", 14) != 0;
    t->is_head |= strcmp(l->name, "lm_head") == 0;
    t->turns = l->kind == GR_LAYER_CONV1D;
    return own;
}

static gr_tensor *note_result(gr_build *b, const gr_layer *l, gr_tensor *y)
{
    (void)b, (void)l;
    return y;
}

static gr_status note_layers(gr_quant *w)
{
    const gr_layer_observer *before = w->m->observer;
    const noting n = {{note_param, note_result}, w};
    w->m->observer = &n.observer;
    gr_status s = gr_model_trace(w->m);
    w->m->observer = before;
    return s;
}

/* "model.layers.12.mlp…" is of part 13. */
static int part_of(const gr_model *m, const char *name, int before)
{
    size_t prefix = strlen(m->prefix), layers = strlen(m->arch->layers);
    const char *at = name + prefix;
    if (strncmp(name, m->prefix, prefix) == 0 && strncmp(at, m->arch->layers, layers) == 0 && at[layers] == '.')
        return 1 + atoi(at + layers + 1);
    return before ? 1 + (int)m->h.layers : 0;
}

/* ---- what they are to be ------------------------------------------------------------------------------------ */

bool gr_quant_fits(const char *pattern, const char *name)
{
    for (; *pattern && *pattern != '*'; pattern++, name++)
        if (*pattern != *name)
            return false;
    if (*pattern == '\0')
        return *name == '\0' || strcmp(name, ".weight") == 0;
    for (; *name; name++)
        if (gr_quant_fits(pattern + 1, name))
            return true;
    return gr_quant_fits(pattern + 1, name);
}

/* The dtype that the caller has for a tensor by its name; false: none. */
static bool is_named(const gr_quant *w, const gr_quant_tensor *t, gr_dtype *out)
{
    for (int i = 0; i < w->o->n_tensors; i++) {
        const char *const *pair = w->o->tensors[i];
        if (gr_quant_fits(pair[0], t->entry.name) || gr_quant_fits(pair[0], t->gguf))
            return gr_dtype_from_name(pair[1], out);
    }
    return false;
}

static gr_status check_pattern(const gr_quant *w, const char *const *pair)
{
    gr_dtype d;
    bool fits = false;
    const char *what = NULL;
    if (!gr_dtype_from_name(pair[1], &d) || !gr_dtype_get(d)->is_weight)
        what = "is no dtype of weights";
    else if (!gr_dtype_get(d)->from_f32)
        what = "can be read only";
    if (what)
        return gr_fail(GR_ERR_ARGUMENT, "\"%s\": %s %s\ngive one such as q8_0, q6_k or f16", pair[0], pair[1], what);
    for (int i = 0; i < w->n && !fits; i++)
        fits = w->tensors[i].is_matrix &&
               (gr_quant_fits(pair[0], w->tensors[i].entry.name) || gr_quant_fits(pair[0], w->tensors[i].gguf));
    if (!fits)
        return gr_fail(GR_ERR_ARGUMENT,
                       "\"%s\": no matrix of the model is called so\nthey are called \"%s\", or \"%s\" in GGUF "
                       "files; * stands for any text",
                       pair[0], w->tensors[w->n - 1].entry.name, w->tensors[w->n - 1].gguf);
    return GR_OK;
}

static void choose(gr_quant *w, gr_quant_tensor *t, int *fallbacks)
{
    const gr_hparams *h = &w->m->h;
    gr_mix_matrix about = {.gguf = t->gguf,
                           .width = t->width,
                           .is_head = t->is_head,
                           .layer = t->part - 1,
                           .layers = (int)h->layers,
                           .heads = h->heads,
                           .kv_heads = h->kv_heads,
                           .calibrated = w->o->n_calibration || w->o->imatrix};
    gr_dtype want;
    if (!is_named(w, t, &want))
        want = gr_mix_dtype(w->mix, &about, w->o->pure);
    t->to = gr_mix_fit(want, t->width);
    if (t->to != want && (*fallbacks)++ == 0)
        gr_remark(
            GR_LOG_WARN, "\"%s\": rows of %lld are no multiple of %d, the values in a block of %s: %s in its place",
            t->entry.name, (long long)t->width, gr_dtype_get(want)->block, gr_dtype_name(want), gr_dtype_name(t->to));
}

/* What the tensor of its name is in another model; a head that there is none of there is as the embedding. */
static gr_status choose_like(gr_quant *w, gr_quant_tensor *t)
{
    const gr_model *like = w->o->like;
    gr_entry e = GR_INIT(gr_entry);
    int i = gr_store_find(like->store, t->entry.name);
    for (int k = 0; i < 0 && t->is_head && k < gr_store_count(like->store); k++)
        if (gr_store_entry(like->store, k, &e) == GR_OK && gr_ends_with(e.name, like->arch->embedding))
            i = k;
    if (i < 0)
        return gr_fail(GR_ERR_ARGUMENT, "\"%s\": the model that it is to be like has none of this name", t->entry.name);
    gr_status s = gr_store_entry(like->store, i, &e);
    if (s == GR_OK && gr_dtype_is_block(e.dtype) && !(t->is_matrix && gr_ints_is(e.dtype)))
        return gr_fail(GR_ERR_UNSUPPORTED, "\"%s\": %s in a directory of int4 or int8", t->entry.name,
                       gr_dtype_name(e.dtype));
    t->to = e.dtype;
    t->group = gr_ints_is(e.dtype) ? like->inits[i].group : 0;
    if (s == GR_OK && t->width % gr_dtype_get(t->to)->block)
        return gr_fail(GR_ERR_ARGUMENT, "\"%s\": rows of %lld are no whole blocks of %s", t->entry.name,
                       (long long)t->width, gr_dtype_name(t->to));
    return s;
}

/* The hub's layouts are of linear layers in blocks: embedding and head stay as they are. */
static gr_status choose_hub(gr_quant *w, gr_quant_tensor *t)
{
    gr_dtype named;
    bool other = is_named(w, t, &named);
    if (t->turns)
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "\"%s\": a Conv1D, which is no Linear to compressed-tensors\nquantize to a type of GGUF files",
                       t->entry.name);
    gr_dtype main = w->hub;
    if (w->whole && gr_ints_bits(main) == 4) { /* whichever blocks a row is made of */
        main = gr_ints_find(4, w->o->zero_points, t->width);
        main = main == GR_DTYPE_NONE ? w->hub : main;
    }
    if (other && named != main && named != t->entry.dtype)
        return gr_fail(GR_ERR_ARGUMENT, "\"%s\": %s in a directory of %s\na tensor can be left as it is, %s",
                       t->entry.name, gr_dtype_name(named), gr_dtype_name(main), gr_dtype_name(t->entry.dtype));
    bool inside = t->part > 0 && t->part <= w->m->h.layers && !t->is_head;
    t->to = inside && !other ? main : t->entry.dtype;
    t->group = t->to == main && w->whole ? t->width : 0;
    if (t->to == main && t->width % gr_dtype_get(main)->block)
        return gr_fail(GR_ERR_ARGUMENT, "\"%s\": rows of %lld are no whole groups of %d\ngive a smaller group",
                       t->entry.name, (long long)t->width, gr_dtype_get(main)->block);
    return GR_OK;
}

static gr_status choose_one(gr_quant *w, int i, int *fallbacks)
{
    gr_quant_tensor *t = &w->tensors[i];
    gr_status s = GR_OK;
    t->to = t->entry.dtype;
    if (!t->is_matrix && !w->o->like)
        return GR_OK;
    t->rows = 1;
    t->width = gr_dtype_values(t->entry.dtype, t->entry.bytes);
    t->turns &= !w->m->inits[i].turned; /* what is of blocks lies so already */
    if (t->is_matrix) {
        t->rows = t->entry.shape[t->turns ? 1 : 0];
        t->width = t->entry.shape[t->turns ? 0 : 1];
    }
    if (w->o->like)
        s = choose_like(w, t);
    else if (w->hub != GR_DTYPE_NONE)
        s = choose_hub(w, t);
    else
        choose(w, t, fallbacks);
    t->turns &= gr_dtype_is_block(t->to); /* other dtypes stay [in, out] */
    w->total += (double)(t->rows * t->width);
    return s;
}

static gr_status choose_all(gr_quant *w)
{
    int fallbacks = 0;
    for (int i = 0; !w->o->like && i < w->o->n_tensors; i++)
        if (check_pattern(w, w->o->tensors[i]) != GR_OK)
            return gr_error_status();
    for (int i = 0; i < w->n; i++)
        if (choose_one(w, i, &fallbacks) != GR_OK)
            return gr_error_status();
    if (fallbacks > 1)
        gr_remark(GR_LOG_WARN, "so it is with %d tensors", fallbacks);
    return GR_OK;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

/* Matrices are quantized once: what a second time takes away nobody would look for. */
static gr_status check_plain(const gr_quant *w)
{
    for (int i = 0; i < w->n && !w->o->requantize; i++)
        if (gr_dtype_is_block(w->tensors[i].entry.dtype))
            return gr_fail(GR_ERR_ARGUMENT,
                           "\"%s\" is of %s, quantized already, and would lose a second time\ntake the model "
                           "that it was made of; or ask for it with --requantize",
                           w->tensors[i].entry.name, gr_dtype_name(w->tensors[i].entry.dtype));
    return GR_OK;
}

gr_status gr_quant_list(gr_quant *w)
{
    w->n = gr_store_count(w->m->store);
    w->parts = (int)w->m->h.layers + 2;
    w->tensors = gr_alloc_zero((size_t)w->n, sizeof *w->tensors);
    gr_status s = w->tensors ? GR_OK : GR_ERR_MEMORY;
    for (int i = 0; s == GR_OK && i < w->n; i++) {
        gr_quant_tensor *t = &w->tensors[i];
        gr_gguf_change change;
        t->entry = GR_INIT(gr_entry);
        s = gr_store_entry(w->m->store, i, &t->entry);
        t->gguf = s == GR_OK ? gr_gguf_name_of(w->m->arch, t->entry.name, &change) : NULL;
        if (s == GR_OK && !t->gguf)
            s = gr_error_status();
        if (s == GR_OK)
            t->part = part_of(w->m, t->entry.name, i ? w->tensors[i - 1].part : 0);
    }
    if (s == GR_OK)
        s = check_plain(w);
    if (s == GR_OK)
        s = note_layers(w);
    return s == GR_OK ? choose_all(w) : s;
}
