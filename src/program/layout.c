/* Layouts: views cost nothing, copies are made only where a kernel, a view or the host cannot do without. */
#include "program/layout.h"

#include "base/mem.h"
#include "op/op.h"
#include "pass/pass.h"

#include <string.h>

typedef struct work {
    gr_rewrite rewrite;
    const gr_device *device;
    gr_layout *layouts; /* by id in the new graph */
    size_t capacity;
} work;

gr_layout gr_layout_of(const gr_spec *s)
{
    gr_layout l = {.ndim = s->ndim};
    int64_t stride = 1;
    for (int i = s->ndim - 1; i >= 0; i--) {
        l.shape[i] = s->shape[i];
        l.stride[i] = stride;
        stride *= s->shape[i];
    }
    return l;
}

bool gr_layout_contiguous(const gr_layout *l)
{
    int64_t stride = 1;
    for (int i = l->ndim - 1; i >= 0; i--) {
        if (l->shape[i] == 0)
            return true;
        if (l->shape[i] != 1 && l->stride[i] != stride)
            return false;
        stride *= l->shape[i];
    }
    return true;
}

/* Gives the node and its parts their layouts: the ones given, or contiguous. */
static gr_status set_layouts(work *w, const gr_tensor *t, const gr_layout *given)
{
    gr_status s = gr_grow(&w->layouts, &w->capacity, w->rewrite.to->n, sizeof *w->layouts);
    for (int k = 0; s == GR_OK && k < t->n_out; k++)
        w->layouts[t->outs[k]->id] = given ? given[k] : gr_layout_of(&t->outs[k]->spec);
    return s;
}

/* A contiguous copy of t, which is a tensor of the new graph. */
static gr_tensor *copied(work *w, gr_tensor *t)
{
    gr_tensor *c = gr_unary(&gr_op_contiguous, t);
    if (c && t->name && !c->name)
        gr_name_exactly(c, t->name);
    return c && set_layouts(w, c, NULL) == GR_OK ? c : NULL;
}

static gr_tensor *contiguous(work *w, gr_tensor *t)
{
    return !t || gr_layout_contiguous(&w->layouts[t->id]) ? t : copied(w, t);
}

static gr_status lay_out_view(work *w, const gr_tensor *node)
{
    gr_tensor **mapped = &w->rewrite.map[node->in[0]->id];
    gr_layout out[GR_MAX_OUTPUTS];
    if (!node->op->view(node, &w->layouts[(*mapped)->id], out)) {
        gr_tensor *whole = copied(w, *mapped), *before = *mapped;
        if (!whole)
            return gr_error_status();
        if (!node->op->view(node, &w->layouts[whole->id], out))
            return gr_fail(GR_ERR_UNSUPPORTED, "%s: has no layout even of a contiguous tensor", node->op->name);
        *mapped = whole; /* only for this node: others may do without a copy */
        gr_tensor *t = gr_rewrite_copy(&w->rewrite, node);
        *mapped = before;
        return t ? set_layouts(w, t, out) : gr_error_status();
    }
    gr_tensor *t = gr_rewrite_copy(&w->rewrite, node);
    return t ? set_layouts(w, t, out) : gr_error_status();
}

static gr_status lay_out_call(work *w, const gr_tensor *node)
{
    const gr_kernel *k = w->device->backend->find(w->device, node);
    gr_tensor *before[GR_MAX_INPUTS];
    gr_rewrite_inputs(&w->rewrite, node, before);
    for (int i = 0; i < node->n_in; i++) {
        if (!node->in[i] || (k && (k->strided >> i & 1)))
            continue;
        gr_tensor *c = contiguous(w, before[i]);
        if (!c)
            return gr_error_status();
        w->rewrite.map[node->in[i]->id] = c;
    }
    gr_tensor *t = gr_rewrite_copy(&w->rewrite, node);
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i])
            w->rewrite.map[node->in[i]->id] = before[i];
    return t ? set_layouts(w, t, NULL) : gr_error_status();
}

/* What the host reads must be contiguous. */
static gr_status lay_out_roots(work *w, gr_tensor *const *roots, int n_roots)
{
    for (int i = 0; i < n_roots; i++) {
        gr_tensor **mapped = &w->rewrite.map[roots[i]->id];
        *mapped = contiguous(w, *mapped);
        if (!*mapped)
            return gr_error_status();
    }
    return GR_OK;
}

gr_status gr_lay_out(const gr_graph *g, gr_tensor **roots, int n_roots, const gr_device *d, gr_laid_out *out)
{
    work w = {.device = d};
    gr_status s = gr_rewrite_open(&w.rewrite, g, roots, n_roots);
    if (s != GR_OK)
        return s;
    for (size_t i = 0; s == GR_OK && i < g->n; i++) {
        const gr_tensor *t = g->nodes[i];
        if (!w.rewrite.live[i] || t->source)
            continue;
        if (t->op->view)
            s = lay_out_view(&w, t);
        else
            s = lay_out_call(&w, t);
    }
    if (s == GR_OK)
        s = lay_out_roots(&w, roots, n_roots);
    if (s != GR_OK)
        gr_graph_fail(w.rewrite.to);
    out->graph = gr_rewrite_close(&w.rewrite, roots, n_roots);
    out->layouts = w.layouts;
    if (!out->graph) {
        gr_free(w.layouts);
        out->layouts = NULL;
        return s != GR_OK ? s : gr_error_status();
    }
    return GR_OK;
}
