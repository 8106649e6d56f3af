/* Differentiation: one walk over the graph, from the loss to what it depends on. Accumulation, un-broadcasting and
 * "there is no rule" are handled here, once, so that a gradient rule is only the formula. */
#include "pass/pass.h"

#include "base/dtype.h"
#include "base/mem.h"
#include "op/attr.h"
#include "op/op.h"

#include <string.h>

typedef struct walk {
    gr_graph *graph;
    size_t first, n;  /* the nodes walked: [first, n), those that existed when the walk began */
    gr_tensor **grad; /* [n]: what has arrived so far */
    bool *depends;    /* [n]: does it depend on what is differentiated for? */
} walk;

static void walk_free(walk *w)
{
    gr_free(w->grad);
    gr_free(w->depends);
}

static bool is_float(const gr_tensor *t)
{
    return gr_dtype_get(t->spec.dtype)->is_float;
}

/* Values in blocks stand for numbers: what depends on some through them is found, and then refused. */
static bool carries(const gr_tensor *t)
{
    return is_float(t) || gr_dtype_is_block(t->spec.dtype);
}

/* Marks everything that depends on `wrt` through floating-point values. */
static gr_status walk_begin(walk *w, gr_graph *g, size_t first, gr_tensor *const *wrt, int n_wrt)
{
    *w = (walk){.graph = g, .first = first, .n = g->n};
    w->grad = gr_alloc_zero(g->n, sizeof *w->grad);
    w->depends = gr_alloc_zero(g->n, sizeof *w->depends);
    if (!w->grad || !w->depends) {
        walk_free(w);
        return GR_ERR_MEMORY;
    }
    for (int i = 0; i < n_wrt; i++)
        w->depends[wrt[i]->id] = true;
    for (size_t i = first; i < g->n; i++) {
        const gr_tensor *t = g->nodes[i];
        if (!carries(t) || (t->op->flags & GR_OP_STOP))
            continue;
        for (int k = 0; k < t->n_in && !w->depends[i]; k++)
            w->depends[i] = t->in[k] && w->depends[t->in[k]->id];
    }
    return GR_OK;
}

/* The gradient of a broadcast is a sum: over the dims that were added in front, and those that were 1. */
static gr_tensor *unbroadcast(gr_tensor *d, const gr_spec *to)
{
    if (!d || gr_spec_same_shape(&d->spec, to))
        return d;
    unsigned axes = 0;
    int front = d->spec.ndim - to->ndim;
    for (int i = 0; i < d->spec.ndim; i++)
        if (i < front || (to->shape[i - front] == 1 && d->spec.shape[i] != 1))
            axes |= 1u << i;
    if (axes)
        d = gr_sum(d, axes, true);
    return gr_reshape(d, to->ndim, to->shape);
}

static bool is_zeros(const gr_tensor *t)
{
    return t->op == &gr_op_fill && ((const gr_fill_attr *)t->attr)->value == 0;
}

/* What is scattered into zeros (an embedding's gradient) is scattered into what is there: of a table that the head shares
 * nothing as large as the table is made besides. */
static gr_tensor *added(gr_tensor *sum, gr_tensor *d)
{
    if (d->op == &gr_op_scatter_add && is_zeros(d->in[0]))
        return gr_scatter_add(sum, d->in[1], d->in[2]);
    return gr_add(sum, d);
}

static gr_status arrive(walk *w, gr_tensor *at, gr_tensor *d)
{
    d = unbroadcast(d, &at->spec);
    if (!d)
        return gr_graph_check(w->graph);
    if (d->spec.dtype != at->spec.dtype)
        return gr_fail(GR_ERR_ARGUMENT, "gradient of %s has dtype %s, expected %s", at->op->name,
                       gr_dtype_get(d->spec.dtype)->name, gr_dtype_get(at->spec.dtype)->name);
    gr_tensor **sum = &w->grad[at->id];
    *sum = *sum ? added(*sum, d) : d;
    return *sum ? GR_OK : gr_graph_check(w->graph);
}

static gr_status vjp(gr_tensor *const *out, gr_tensor *const *d_out, int n_out, gr_tensor *const *wrt,
                     gr_tensor **grads, int n_wrt, size_t first);

/* An op without a rule of its own is differentiated through what it is composed of. */
static gr_status grad_of_composition(gr_grad_args *a)
{
    gr_tensor *out[GR_MAX_OUTPUTS] = {0}, *live[GR_MAX_OUTPUTS], *d_out[GR_MAX_OUTPUTS];
    gr_tensor *wrt[GR_MAX_INPUTS] = {0}, *d_in[GR_MAX_INPUTS];
    int slot[GR_MAX_INPUTS], n_out = 0, n_wrt = 0;
    size_t first = a->node->graph->n; /* stay inside the composition: what lies before is the outer walk's */
    gr_status s = a->node->op->compose(a->node, a->node->in, out);
    if (s != GR_OK)
        return s;
    for (int k = 0; k < a->node->n_out; k++)
        if (a->d_out[k] && out[k]) {
            live[n_out] = out[k];
            d_out[n_out++] = a->d_out[k];
        }
    for (int i = 0; i < a->node->n_in; i++)
        if (a->need[i]) {
            slot[n_wrt] = i;
            wrt[n_wrt++] = a->node->in[i];
        }
    s = vjp(live, d_out, n_out, wrt, d_in, n_wrt, first);
    for (int j = 0; s == GR_OK && j < n_wrt; j++) {
        const gr_spec *w = &wrt[j]->spec;
        a->d_in[slot[j]] = d_in[j] ? d_in[j] : gr_fill(a->node->graph, w->dtype, w->ndim, w->shape, 0);
    }
    return s;
}

/* Rounding to blocks has no gradient, and one that is left out would be taken for 0. */
static gr_status check_blocks(const gr_grad_args *a)
{
    char label[256];
    for (int i = 0; i < a->node->n_in; i++)
        if (a->need[i] && gr_dtype_is_block(a->node->in[i]->spec.dtype))
            return gr_fail(
                GR_ERR_UNSUPPORTED,
                "%s: no gradient flows into %s, whose values share blocks\nuse gr_detach where none is wanted",
                gr_tensor_label(a->node, label, sizeof label), gr_dtype_name(a->node->in[i]->spec.dtype));
    return GR_OK;
}

bool gr_has_gradient(const gr_op *op)
{
    return op->grad || (op->compose && !op->no_grad);
}

/* The rule of a fused op knows of output 0 only. Into what it saves for the backward pass (a mean, a log-sum-exp) a
 * gradient flows when the backward op itself is differentiated: then the composition's gradient is the whole one. */
static gr_status apply_rule(gr_grad_args *a)
{
    const gr_op *op = a->node->op;
    char label[256];
    bool into_saved = false;
    for (int k = 1; k < a->node->n_out; k++)
        into_saved |= a->d_out[k] != NULL;
    if (op->grad && !(into_saved && op->compose))
        return op->grad(a);
    if (gr_has_gradient(op))
        return grad_of_composition(a);
    return gr_fail(GR_ERR_UNSUPPORTED, "%s: op %s has no gradient: %s\nuse gr_detach where none is wanted",
                   gr_tensor_label(a->node, label, sizeof label), op->name,
                   op->no_grad ? op->no_grad : "it has no rule");
}

/* Fills in what flows into the node's outputs and who needs it; false when there is nothing to do. */
static bool gather_args(const walk *w, gr_tensor *node, gr_grad_args *a)
{
    bool flows = false, needed = false;
    a->node = node;
    for (int k = 0; k < node->n_out; k++) {
        a->out[k] = node->outs[k];
        a->d_out[k] = w->grad[node->outs[k]->id];
        flows |= a->d_out[k] != NULL;
    }
    for (int i = 0; i < node->n_in; i++) {
        a->need[i] = node->in[i] && carries(node->in[i]) && w->depends[node->in[i]->id];
        needed |= a->need[i];
    }
    return flows && needed && !(node->op->flags & GR_OP_STOP);
}

static gr_status step(walk *w, gr_tensor *node)
{
    gr_grad_args a = {0};
    if (!gather_args(w, node, &a))
        return GR_OK;
    char label[256];
    gr_tensor_label(node, label, sizeof label);
    size_t scope = gr_graph_scope_push(w->graph, "grad.%s.", label);
    gr_status s = check_blocks(&a);
    if (s == GR_OK)
        s = apply_rule(&a);
    for (int i = 0; s == GR_OK && i < node->n_in; i++) {
        if (!a.need[i])
            continue;
        if (!a.d_in[i] && gr_graph_check(w->graph) == GR_OK)
            s = gr_fail(GR_ERR_UNSUPPORTED, "%s: the gradient rule of %s gives none for input %d", label,
                        node->op->name, i);
        else
            s = arrive(w, node->in[i], a.d_in[i]);
    }
    gr_graph_scope_pop(w->graph, scope);
    return s;
}

/* Vector-Jacobian product over the nodes from `first` on: d_out[i] flows into out[i]; grads[j] gets what arrives at
 * wrt[j], NULL if nothing does. */
static gr_status vjp(gr_tensor *const *out, gr_tensor *const *d_out, int n_out, gr_tensor *const *wrt,
                     gr_tensor **grads, int n_wrt, size_t first)
{
    memset(grads, 0, (size_t)n_wrt * sizeof *grads);
    if (n_out == 0 || n_wrt == 0)
        return GR_OK;
    walk w;
    gr_status s = walk_begin(&w, out[0]->graph, first, wrt, n_wrt);
    if (s != GR_OK)
        return s;
    for (int i = 0; s == GR_OK && i < n_out; i++)
        if (w.depends[out[i]->id])
            s = arrive(&w, out[i], d_out[i]);
    for (size_t i = w.n; s == GR_OK && i-- > first;)
        if (!w.graph->nodes[i]->source && w.depends[i])
            s = step(&w, w.graph->nodes[i]);
    for (int i = 0; i < n_wrt; i++)
        grads[i] = s == GR_OK ? w.grad[wrt[i]->id] : NULL;
    walk_free(&w);
    return s;
}

static gr_status check_wrt(const gr_tensor *loss, gr_tensor *const *wrt, int n)
{
    for (int i = 0; i < n; i++) {
        const char *why =
            !wrt[i]                        ? "NULL"
            : wrt[i]->graph != loss->graph ? "of another graph"
            : gr_dtype_is_block(wrt[i]->spec.dtype)
                ? "of a dtype whose values share blocks, which has no gradient\ntrain an adapter of it (LoRA), or "
                  "cast it first"
            : !is_float(wrt[i]) ? "not floating-point"
                                : NULL;
        if (why)
            return gr_fail(GR_ERR_ARGUMENT, "gr_grad: wrt[%d] is %s", i, why);
    }
    if (gr_spec_count(&loss->spec) != 1 || !is_float(loss))
        return gr_fail(GR_ERR_ARGUMENT, "gr_grad: the loss must be one floating-point value\nreduce it with gr_mean");
    return GR_OK;
}

gr_status gr_grad(gr_tensor *loss, gr_tensor *const *wrt, gr_tensor **grads, int n)
{
    if (gr_lacks(grads, "gr_grad: grads") || gr_lacks(wrt, "gr_grad: wrt"))
        return GR_ERR_ARGUMENT;
    for (int i = 0; i < n; i++)
        grads[i] = NULL;
    if (!loss && gr_error_status() == GR_OK) /* else the op that failed has said why */
        gr_lacks(loss, "gr_grad: loss");
    if (!loss)
        return gr_error_status();
    gr_graph *g = loss->graph;
    bool outer = g->backward;
    gr_status s = check_wrt(loss, wrt, n);
    g->backward = true;
    gr_tensor *one = s == GR_OK ? gr_fill(g, loss->spec.dtype, loss->spec.ndim, loss->spec.shape, 1) : NULL;
    if (one)
        s = vjp(&loss, &one, 1, wrt, grads, n, 0);
    for (int i = 0; s == GR_OK && i < n; i++)
        if (!grads[i])
            grads[i] = gr_fill(g, wrt[i]->spec.dtype, wrt[i]->spec.ndim, wrt[i]->spec.shape, 0);
    g->backward = outer;
    if (s != GR_OK)
        gr_graph_fail(g);
    return s != GR_OK ? s : gr_graph_check(g);
}
