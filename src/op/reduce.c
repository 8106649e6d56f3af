/* Reductions. axes is a bit mask of dims, 0 for all. */
#include "op/attr.h"
#include "op/op.h"

#include "base/dtype.h"

static unsigned all_axes(int ndim)
{
    return (1u << ndim) - 1;
}

static gr_status infer_reduce(const gr_tensor *node, gr_spec *out)
{
    const gr_reduce_attr *a = node->attr;
    const gr_spec *x = gr_in(node, 0);
    if (a->axes & ~all_axes(x->ndim))
        return gr_op_fail(node, "axes 0x%x name a dim that is not there", a->axes);
    if (x->dtype == GR_BOOL)
        return gr_op_fail(node, "needs numbers");
    gr_reduce_spec(x, a->axes, a->keep, out);
    return GR_OK;
}

static gr_status infer_float_reduce(const gr_tensor *node, gr_spec *out)
{
    gr_status s = gr_expect_float(node, 0);
    return s == GR_OK ? infer_reduce(node, out) : s;
}

static gr_status infer_max(const gr_tensor *node, gr_spec *out)
{
    gr_status s = infer_reduce(node, out);
    if (s == GR_OK && gr_spec_count(gr_in(node, 0)) == 0 && gr_spec_count(out) != 0)
        return gr_op_fail(node, "there is no maximum of no elements");
    return s;
}

/* t, which lost the reduced dims, spread over the shape of x again. */
static gr_tensor *spread(gr_tensor *t, const gr_tensor *x, const gr_reduce_attr *a)
{
    gr_spec kept;
    gr_reduce_spec(&x->spec, a->axes, true, &kept);
    return gr_expand(gr_reshape(t, kept.ndim, kept.shape), x->spec.ndim, x->spec.shape);
}

static gr_status grad_sum(gr_grad_args *a)
{
    a->d_in[0] = spread(a->d_out[0], a->node->in[0], a->node->attr);
    return gr_built(a->node, a->d_in[0]);
}

static double count_reduced(const gr_tensor *node)
{
    int64_t n = gr_spec_count(&node->spec);
    return n ? (double)gr_spec_count(gr_in(node, 0)) / (double)n : 0;
}

static gr_status compose_mean(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    const gr_reduce_attr *a = node->attr;
    gr_tensor *sum = gr_sum(in[0], a->axes, a->keep);
    out[0] = gr_div(sum, gr_scalar_like(sum, count_reduced(node)));
    return gr_built(in[0], out[0]);
}

static gr_status grad_mean(gr_grad_args *a)
{
    gr_tensor *d = gr_div(a->d_out[0], gr_scalar_like(a->d_out[0], count_reduced(a->node)));
    a->d_in[0] = spread(d, a->node->in[0], a->node->attr);
    return gr_built(a->node, a->d_in[0]);
}

/* Equal maxima share the gradient (torch.amax). */
static gr_status grad_max(gr_grad_args *a)
{
    gr_tensor *x = a->node->in[0];
    const gr_reduce_attr *r = a->node->attr;
    gr_tensor *hit = gr_cast(gr_eq(x, spread(a->out[0], x, r)), x->spec.dtype);
    gr_tensor *share = gr_div(spread(a->d_out[0], x, r), spread(gr_sum(hit, r->axes, true), x, r));
    a->d_in[0] = gr_mul(hit, share);
    return gr_built(a->node, a->d_in[0]);
}

static bool sample_reduce(int i, gr_sample *s)
{
    static const struct {
        int ndim;
        int64_t shape[4];
        unsigned axes;
        bool keep;
    } calls[] = {{0, {0}, 0, false},      {1, {13}, 1, false},          {2, {5, 33}, 1, false},
                 {2, {5, 33}, 2, true},   {2, {67, 40}, 1, true},       {3, {3, 4, 5}, 2, false},
                 {3, {3, 4, 5}, 5, true}, {4, {2, 3, 4, 17}, 7, false}, {4, {2, 3, 1, 7}, 15, false},
                 {2, {0, 3}, 2, false},   {2, {3, 700}, 2, false}};
    if (i >= (int)(sizeof calls / sizeof calls[0]))
        return false;
    gr_sample_distinct(s, calls[i].ndim, calls[i].shape);
    *(gr_reduce_attr *)(void *)s->attr.bytes =
        (gr_reduce_attr){calls[i].axes ? calls[i].axes : all_axes(calls[i].ndim), calls[i].keep};
    return true;
}

GR_FLOPS_EACH(cost_reduce, 1)

const gr_op gr_op_sum = {
    .name = "sum",
    .doc = "sum over the axes; accumulates in f32 (f64 for f64)",
    .inputs = 1,
    .outputs = 1,
    .attr_size = sizeof(gr_reduce_attr),
    .precision = GR_HIGH,
    .infer = infer_reduce,
    .grad = grad_sum,
    .sample = sample_reduce,
    .cost = cost_reduce,
};

const gr_op gr_op_mean = {
    .name = "mean",
    .doc = "sum over the axes divided by how many they are; NaN over none",
    .inputs = 1,
    .outputs = 1,
    .attr_size = sizeof(gr_reduce_attr),
    .precision = GR_HIGH,
    .infer = infer_float_reduce,
    .grad = grad_mean,
    .compose = compose_mean,
    .sample = sample_reduce,
    .cost = cost_reduce,
};

const gr_op gr_op_reduce_max = {
    .name = "reduce_max",
    .doc = "maximum over the axes, NaN if there is one; equal maxima share the gradient",
    .inputs = 1,
    .outputs = 1,
    .attr_size = sizeof(gr_reduce_attr),
    .precision = GR_WIDEST,
    .infer = infer_max,
    .grad = grad_max,
    .sample = sample_reduce,
    .cost = cost_reduce,
};

static gr_tensor *reduce(const gr_op *op, gr_tensor *x, unsigned axes, bool keep)
{
    if (!x)
        return NULL;
    gr_reduce_attr a = {axes ? axes : all_axes(x->spec.ndim), keep};
    return gr_node(x->graph, op, &x, 1, &a);
}

gr_tensor *gr_sum(gr_tensor *x, unsigned axes, bool keep)
{
    return reduce(&gr_op_sum, x, axes, keep);
}

gr_tensor *gr_mean(gr_tensor *x, unsigned axes, bool keep)
{
    return reduce(&gr_op_mean, x, axes, keep);
}

gr_tensor *gr_reduce_max(gr_tensor *x, unsigned axes, bool keep)
{
    return reduce(&gr_op_reduce_max, x, axes, keep);
}

/* ---- argmax ------------------------------------------------------------------------------------------------- */

static gr_status infer_argmax(const gr_tensor *node, gr_spec *out)
{
    const gr_spec *x = gr_in(node, 0);
    if (x->ndim == 0 || x->shape[x->ndim - 1] == 0)
        return gr_op_fail(node, "needs a last dim with elements");
    gr_reduce_spec(x, 1u << (x->ndim - 1), false, out);
    out->dtype = GR_I64;
    return GR_OK;
}

static bool sample_argmax(int i, gr_sample *s)
{
    static const int64_t shapes[][2] = {{1, 1}, {5, 33}, {3, 700}, {0, 4}};
    if (i >= 4)
        return false;
    gr_sample_distinct(s, 2, shapes[i]);
    return true;
}

const gr_op gr_op_argmax = {
    .name = "argmax",
    .doc = "[.., V]: index of the first largest element of each row, i64 [..]; a NaN counts as largest",
    .inputs = 1,
    .outputs = 1,
    .precision = GR_WIDEST,
    .infer = infer_argmax,
    .no_grad = "an index is constant almost everywhere",
    .sample = sample_argmax,
    .cost = cost_reduce,
};

gr_tensor *gr_argmax(gr_tensor *x)
{
    return gr_unary(&gr_op_argmax, x);
}

/* ---- global norm -------------------------------------------------------------------------------------------- */

static gr_status infer_global_norm(const gr_tensor *node, gr_spec *out)
{
    if (node->n_in == 0)
        return gr_op_fail(node, "needs at least one tensor");
    for (int i = 0; i < node->n_in; i++)
        if (gr_expect_float(node, i) != GR_OK)
            return GR_ERR_ARGUMENT;
    *out = (gr_spec){.dtype = gr_accumulator(gr_in(node, 0)->dtype)};
    for (int i = 1; i < node->n_in; i++)
        if (gr_accumulator(gr_in(node, i)->dtype) != out->dtype)
            return gr_op_fail(node, "f64 beside other dtypes\ncast them first");
    return GR_OK;
}

static gr_status compose_global_norm(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    gr_tensor *total = NULL;
    for (int i = 0; i < node->n_in; i++) {
        gr_tensor *x = gr_cast(in[i], node->spec.dtype);
        gr_tensor *squares = gr_sum(gr_mul(x, x), 0, false);
        total = i ? gr_add(total, squares) : squares;
    }
    out[0] = gr_sqrt(total);
    return gr_built(in[0], out[0]);
}

static bool sample_global_norm(int i, gr_sample *s)
{
    if (i >= 3)
        return false;
    gr_sample_float(s, -1, 1, GR_DIMS(3, 50));
    if (i == 2) { /* f32 beside 16 bits */
        gr_sample_float(s, -1, 1, GR_DIMS(70000));
        s->in[1].is_stat = true;
    }
    if (i == 1) {
        gr_sample_float(s, -2, 2, 0, NULL);
        gr_sample_float(s, -1, 1, GR_DIMS(0));
        gr_sample_float(s, -1, 1, GR_DIMS(1031));
    }
    return true;
}

/* A square and a sum for every element of every tensor. */
static void cost_global_norm(const gr_tensor *node, double *flops, double *bytes)
{
    (void)bytes;
    for (int i = 0; i < node->n_in; i++)
        *flops += node->in[i] ? 2 * (double)gr_spec_count(&node->in[i]->spec) : 0;
}

const gr_op gr_op_global_norm = {
    .name = "global_norm",
    .doc = "sqrt of the sum of squares of all elements of all inputs, f32 [] (torch.nn.utils.get_total_norm)",
    .inputs = GR_MAX_INPUTS,
    .optional = ~1u,
    .outputs = 1,
    .precision = GR_HIGH,
    .uncast = ~0u,
    .infer = infer_global_norm,
    .compose = compose_global_norm,
    .sample = sample_global_norm,
    .cost = cost_global_norm,
};

/* More tensors than a node takes, or groups of them: the norm of the groups' norms is the norm of all. */
gr_tensor *gr_global_norm(gr_tensor *const *x, int n)
{
    if (gr_lacks(x, "gr_global_norm: x"))
        return NULL;
    for (int i = 0; i < n; i++)
        if (!x[i])
            return NULL;
    if (n < 1)
        return NULL;
    gr_graph *g = x[0]->graph;
    while (n > GR_MAX_INPUTS) {
        int groups = (n + GR_MAX_INPUTS - 1) / GR_MAX_INPUTS;
        gr_tensor **norms = gr_graph_alloc(g, (size_t)groups * sizeof(gr_tensor *));
        for (int i = 0; norms && i < groups; i++) {
            int first = i * GR_MAX_INPUTS, rest = n - first;
            norms[i] = gr_node(g, &gr_op_global_norm, x + first, rest < GR_MAX_INPUTS ? rest : GR_MAX_INPUTS, NULL);
            if (!norms[i])
                return NULL;
        }
        if (!norms)
            return NULL;
        x = norms;
        n = groups;
    }
    return gr_node(g, &gr_op_global_norm, x, n, NULL);
}
