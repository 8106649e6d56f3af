/* The walk that all passes share. */
#include "pass/pass.h"

#include "base/dtype.h"
#include "base/mem.h"
#include "op/attr.h"
#include "op/op.h"

#include <string.h>

static void mark_live(gr_rewrite *r, gr_tensor *const *roots, int n_roots)
{
    const gr_graph *g = r->from;
    for (int i = 0; i < n_roots; i++)
        r->live[roots[i]->id] = true;
    for (size_t i = g->n; i-- > 0;) {
        const gr_tensor *t = g->nodes[i];
        if (t->op->flags & GR_OP_EFFECT)
            r->live[i] = true;
        for (int k = 0; r->live[i] && k < t->n_in; k++)
            if (t->in[k])
                r->live[t->in[k]->id] = true;
    }
}

static void release(gr_rewrite *r)
{
    gr_free(r->live);
    gr_free(r->map);
    gr_free(r->ran);
    r->live = NULL;
    r->map = r->ran = NULL;
}

gr_status gr_rewrite_open(gr_rewrite *r, const gr_graph *from, gr_tensor *const *roots, int n_roots)
{
    *r = (gr_rewrite){.from = from};
    gr_status s = gr_graph_check(from);
    if (s != GR_OK)
        return s;
    r->to = gr_graph_new();
    r->live = gr_alloc_zero(from->n, sizeof *r->live);
    r->map = gr_alloc_zero(from->n, sizeof *r->map);
    r->ran = gr_alloc_zero(from->n, sizeof *r->ran);
    if (!r->to || !r->live || !r->map || !r->ran) {
        release(r);
        gr_graph_free(r->to);
        r->to = NULL;
        return GR_ERR_MEMORY;
    }
    mark_live(r, roots, n_roots);
    return GR_OK;
}

void gr_rewrite_inputs(const gr_rewrite *r, const gr_tensor *node, gr_tensor **in)
{
    for (int i = 0; i < node->n_in; i++)
        in[i] = node->in[i] ? r->map[node->in[i]->id] : NULL;
}

void gr_rewrite_map(gr_rewrite *r, const gr_tensor *node, int k, gr_tensor *t)
{
    const gr_tensor *old = node->outs[k];
    r->map[old->id] = t;
    if (t && old->name && !t->name)
        gr_name_exactly(t, old->name);
}

/* What the node must run after is mapped like inputs, or dropped if it is not done any more. */
static void map_after(gr_rewrite *r, const gr_tensor *node, gr_tensor *t)
{
    gr_run_after(t, node->after, node->n_after);
    int n = 0;
    for (int i = 0; i < t->n_after; i++) {
        int64_t id = node->after[i]->id;
        gr_tensor *a = r->map[id] ? r->map[id] : r->ran[id];
        if (a)
            t->after[n++] = a;
    }
    t->n_after = n;
}

gr_tensor *gr_rewrite_with(gr_rewrite *r, const gr_tensor *node, gr_tensor *const *in)
{
    gr_tensor *t;
    r->to->backward = node->backward;
    if (node->op == &gr_op_constant) { /* its data lives in the old graph */
        const gr_constant_attr *a = node->attr;
        t = gr_constant(r->to, a->spec.dtype, a->spec.ndim, a->spec.shape, a->data);
    } else {
        t = gr_node(r->to, node->op, in, node->n_in, node->attr);
    }
    for (int k = 0; t && k < node->n_out; k++)
        gr_rewrite_map(r, node, k, t->outs[k]);
    if (t && node->n_after)
        map_after(r, node, t);
    return t;
}

gr_tensor *gr_rewrite_copy(gr_rewrite *r, const gr_tensor *node)
{
    gr_tensor *in[GR_MAX_INPUTS];
    gr_rewrite_inputs(r, node, in);
    return gr_rewrite_with(r, node, in);
}

gr_graph *gr_rewrite_close(gr_rewrite *r, gr_tensor **roots, int n_roots)
{
    if (gr_graph_check(r->to) != GR_OK) {
        gr_graph_free(r->to);
        r->to = NULL;
    }
    for (int i = 0; r->to && i < n_roots; i++)
        roots[i] = r->map[roots[i]->id];
    release(r);
    return r->to;
}

gr_graph *gr_pass_copy(const gr_graph *g, gr_tensor **roots, int n_roots)
{
    gr_rewrite r;
    if (gr_rewrite_open(&r, g, roots, n_roots) != GR_OK)
        return NULL;
    for (size_t i = 0; i < g->n; i++)
        if (r.live[i] && !g->nodes[i]->source)
            gr_rewrite_copy(&r, g->nodes[i]);
    return gr_rewrite_close(&r, roots, n_roots);
}
