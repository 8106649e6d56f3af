/* Products with weights in blocks get their rows of activations in 8 bits. One tensor is rounded once for all products
 * that read it, be it by views that keep its rows whole. */
#include "pass/pass.h"

#include "base/dtype.h"
#include "base/ggml/hub.h"
#include "base/mem.h"
#include "op/attr.h"
#include "op/op.h"

typedef struct rounder {
    gr_rewrite r;
    gr_activations activations;
    gr_tensor **rounded[2]; /* by id: to a8, and to a8_row */
} rounder;

static bool keeps_rows(const gr_tensor *t)
{
    const gr_spec *to = &t->spec, *from = t->op == &gr_op_reshape ? &t->in[0]->spec : NULL;
    return from && from->ndim > 0 && to->ndim > 0 && to->shape[to->ndim - 1] == from->shape[from->ndim - 1];
}

static gr_tensor *rounded(rounder *q, const gr_tensor *t, bool by_row)
{
    gr_tensor *x = q->r.map[t->id], **kept = &q->rounded[by_row][t->id];
    if (!*kept && keeps_rows(t)) {
        gr_tensor *in = rounded(q, t->in[0], by_row);
        *kept = in ? gr_node(q->r.to, t->op, &in, 1, t->attr) : NULL;
    } else if (!*kept && x) {
        *kept = gr_cast(x, by_row ? GR_A8_ROW : GR_A8);
        if (*kept && x->name && !(*kept)->name)
            gr_name_exactly(*kept, x->name);
    }
    return *kept;
}

/* A product of layers, forward: rows times the transposed of weights that can be read as integers. */
static bool is_meant(const gr_tensor *t)
{
    if (t->op != &gr_op_matmul || t->backward || t->in[0]->spec.dtype != GR_F32)
        return false;
    const gr_matmul_attr *a = t->attr;
    const gr_dtype_info *b = gr_dtype_get(t->in[1]->spec.dtype);
    return !a->transpose_a && a->transpose_b && b->is_weight && b->codes.group > 0 &&
           t->in[1]->spec.shape[t->in[1]->spec.ndim - 1] > 0;
}

static void append(rounder *q, const gr_tensor *t)
{
    gr_tensor *in[GR_MAX_INPUTS];
    gr_rewrite_inputs(&q->r, t, in);
    if (is_meant(t)) {
        bool by_row = q->activations == GR_ACTIVATIONS_INT8_ROWS && gr_ints_is(t->in[1]->spec.dtype);
        in[0] = rounded(q, t->in[0], by_row);
    }
    gr_rewrite_with(&q->r, t, in);
}

gr_graph *gr_pass_quantize(const gr_graph *g, gr_tensor **roots, int n_roots, const gr_target *target)
{
    rounder q = {.activations = target->activations};
    if (gr_rewrite_open(&q.r, g, roots, n_roots) != GR_OK)
        return NULL;
    for (int k = 0; k < 2; k++)
        if ((q.rounded[k] = gr_alloc_zero(g->n, sizeof **q.rounded)) == NULL)
            gr_graph_fail(q.r.to);
    for (size_t i = 0; i < g->n && q.r.to->failed == GR_OK; i++)
        if (q.r.live[i] && !g->nodes[i]->source)
            append(&q, g->nodes[i]);
    gr_free(q.rounded[0]);
    gr_free(q.rounded[1]);
    return gr_rewrite_close(&q.r, roots, n_roots);
}
