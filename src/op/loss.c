/* Losses. */
#include "op/attr.h"
#include "op/op.h"

/* ---- cross-entropy ------------------------------------------------------------------------------------------ */

static gr_status infer_cross_entropy(const gr_tensor *node, gr_spec *out)
{
    const gr_spec *x = gr_in(node, 0);
    if (gr_expect_float(node, 0) != GR_OK || gr_expect_index(node, 1) != GR_OK)
        return GR_ERR_ARGUMENT;
    if (x->ndim < 1 || x->shape[x->ndim - 1] < 1)
        return gr_op_fail(node, "needs logits [.., V]");
    gr_reduce_spec(x, 1u << (x->ndim - 1), false, &out[0]);
    out[0].dtype = gr_accumulator(x->dtype);
    out[1] = out[0];
    return gr_expect_shape(node, 1, out->ndim, out->shape);
}

static gr_status infer_cross_entropy_grad(const gr_tensor *node, gr_spec *out)
{
    const gr_spec *x = gr_in(node, 0);
    gr_spec rows[2] = {{0}};
    gr_status s = infer_cross_entropy(node, rows);
    for (int i = 2; s == GR_OK && i <= 3; i++) {
        s = gr_expect_dtype(node, i, rows->dtype);
        if (s == GR_OK)
            s = gr_expect_shape(node, i, rows->ndim, rows->shape);
    }
    *out = *x;
    return s;
}

static gr_tensor *column(gr_tensor *rows)
{
    return rows ? gr_unsqueeze(rows, rows->spec.ndim) : NULL;
}

static gr_tensor *is_ignored(const gr_tensor *node, gr_tensor *targets)
{
    return gr_eq(targets, gr_scalar_like(targets, (double)((const gr_ignore_attr *)node->attr)->ignore_index));
}

/* true where the column is the row's target, [.., V]. Looking the targets up in 0, 1, ... V-1 gives them back, and fails
 * on one that is not there; rows that are ignored look up 0. */
static gr_tensor *is_target(const gr_tensor *node, gr_tensor *logits, gr_tensor *targets)
{
    gr_tensor *classes = gr_iota(logits->graph, targets->spec.dtype, logits->spec.shape[logits->spec.ndim - 1]);
    gr_tensor *safe = gr_select(is_ignored(node, targets), gr_scalar_like(targets, 0), targets);
    return gr_eq(column(gr_gather(classes, safe)), classes);
}

static gr_status compose_cross_entropy(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    unsigned last = 1u << (in[0]->spec.ndim - 1);
    gr_tensor *x = gr_cast(in[0], node->spec.dtype), *zero = gr_scalar_like(x, 0);
    gr_tensor *largest = gr_detach(gr_reduce_max(x, last, true));
    gr_tensor *sum = gr_sum(gr_exp(gr_sub(x, largest)), last, true);
    gr_tensor *lse = gr_reshape(gr_add(gr_log(sum), largest), node->spec.ndim, node->spec.shape);
    gr_tensor *picked = gr_sum(gr_select(is_target(node, x, in[1]), x, zero), last, false);
    out[0] = gr_select(is_ignored(node, in[1]), zero, gr_sub(lse, picked));
    out[1] = lse;
    return gr_built(in[0], out[0]);
}

static gr_status compose_cross_entropy_grad(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    gr_tensor *x = gr_cast(in[0], in[2]->spec.dtype), *zero = gr_scalar_like(x, 0);
    gr_tensor *p = gr_exp(gr_sub(x, column(in[2])));
    gr_tensor *one_hot = gr_cast(is_target(node, x, in[1]), x->spec.dtype);
    gr_tensor *d = gr_select(is_ignored(node, in[1]), zero, in[3]);
    out[0] = gr_cast(gr_mul(gr_sub(p, one_hot), column(d)), node->spec.dtype);
    return gr_built(in[0], out[0]);
}

static gr_status grad_cross_entropy(gr_grad_args *a)
{
    gr_tensor *in[] = {a->node->in[0], a->node->in[1], a->out[1], a->d_out[0]};
    a->d_in[0] = gr_node(a->node->graph, &gr_op_cross_entropy_grad, in, 4, a->node->attr);
    return gr_built(a->node, a->d_in[0]);
}

static bool sample_cross_entropy(int i, gr_sample *s)
{
    static const int64_t shapes[][3] = {{1, 1, 1}, {1, 5, 33}, {2, 3, 700}, {0, 2, 4}, {1, 19, 65}};
    if (i >= 5)
        return false;
    ((gr_ignore_attr *)(void *)s->attr.bytes)->ignore_index = i < 3 ? -100 : 3;
    gr_sample_float(s, -4, 4, 3, shapes[i]);
    gr_sample_index(s, 0, shapes[i][2], 2, shapes[i]);
    return true;
}

static bool sample_cross_entropy_grad(int i, gr_sample *s)
{
    if (!sample_cross_entropy(i, s))
        return false;
    gr_sample_float(s, 5, 6, 2, s->in[1].spec.shape);
    gr_sample_float(s, -1, 1, 2, s->in[1].spec.shape);
    s->in[2].is_stat = s->in[3].is_stat = true;
    return true;
}

/* The largest, the difference, e^x and the sum; then of these a difference, e^x and a product. */
GR_FLOPS_EACH(cost_cross_entropy, 4)
GR_FLOPS_EACH(cost_cross_entropy_grad, 3)

const gr_op gr_op_cross_entropy_rows = {
    .name = "cross_entropy_rows",
    .doc = "logits [.., V], targets [..]: log-sum-exp minus the target's logit, 0 where ignored, f32 [..]; saves the "
           "log-sum-exp; targets outside [0, V) that are not ignored are an error at run time",
    .inputs = 2,
    .outputs = 2,
    .attr_size = sizeof(gr_ignore_attr),
    .precision = GR_HIGH,
    .infer = infer_cross_entropy,
    .grad = grad_cross_entropy,
    .compose = compose_cross_entropy,
    .sample = sample_cross_entropy,
    .cost = cost_cross_entropy,
};

const gr_op gr_op_cross_entropy_grad = {
    .name = "cross_entropy_grad",
    .doc = "logits [.., V], targets [..], lse [..], d [..]: (softmax - one hot) d, in place of the logits where they "
           "are not needed any more",
    .inputs = 4,
    .outputs = 1,
    .attr_size = sizeof(gr_ignore_attr),
    .precision = GR_HIGH,
    .infer = infer_cross_entropy_grad,
    .compose = compose_cross_entropy_grad,
    .sample = sample_cross_entropy_grad,
    .cost = cost_cross_entropy_grad,
};

gr_tensor *gr_cross_entropy_rows(gr_tensor *logits, gr_tensor *targets, int64_t ignore_index)
{
    gr_tensor *in[] = {logits, targets};
    if (!logits || !targets)
        return NULL;
    return gr_node(logits->graph, &gr_op_cross_entropy_rows, in, 2, &(gr_ignore_attr){ignore_index});
}

gr_tensor *gr_cross_entropy(gr_tensor *logits, gr_tensor *targets, int64_t ignore_index)
{
    gr_tensor *rows = gr_cross_entropy_rows(logits, targets, ignore_index);
    if (!rows)
        return NULL;
    gr_tensor *counted = gr_ne(targets, gr_scalar_like(targets, (double)ignore_index));
    return gr_div(gr_sum(rows, 0, false), gr_sum(gr_cast(counted, rows->spec.dtype), 0, false));
}

/* ---- mean squared error and binary cross-entropy ------------------------------------------------------------ */

static gr_status infer_mean_pair(const gr_tensor *node, gr_spec *out)
{
    const gr_spec *x = gr_in(node, 0);
    if (gr_expect_float(node, 0) != GR_OK || gr_expect_dtype(node, 1, x->dtype) != GR_OK ||
        gr_expect_shape(node, 1, x->ndim, x->shape) != GR_OK)
        return GR_ERR_ARGUMENT;
    *out = (gr_spec){.dtype = x->dtype};
    return GR_OK;
}

static gr_status compose_mse(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    gr_dtype acc = gr_accumulator(node->spec.dtype);
    gr_tensor *e = gr_sub(gr_cast(in[0], acc), gr_cast(in[1], acc));
    out[0] = gr_cast(gr_mean(gr_mul(e, e), 0, false), node->spec.dtype);
    return gr_built(in[0], out[0]);
}

static double count(const gr_tensor *node)
{
    return (double)gr_spec_count(gr_in(node, 0));
}

static gr_status grad_mse(gr_grad_args *a)
{
    gr_tensor *d = gr_scale(a->d_out[0], 2 / count(a->node));
    gr_tensor *dx = gr_mul(gr_sub(a->node->in[0], a->node->in[1]), d);
    if (a->need[0])
        a->d_in[0] = dx;
    if (a->need[1])
        a->d_in[1] = gr_neg(dx);
    return gr_built(a->node, dx);
}

/* max(x, 0) - x y + log(1 + e^-|x|) */
static gr_status compose_bce(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    gr_dtype acc = gr_accumulator(node->spec.dtype);
    gr_tensor *x = gr_cast(in[0], acc), *y = gr_cast(in[1], acc);
    gr_tensor *soft = gr_log(gr_offset(gr_exp(gr_neg(gr_abs(x))), 1));
    gr_tensor *rows = gr_add(gr_sub(gr_max(x, gr_scalar_like(x, 0)), gr_mul(x, y)), soft);
    out[0] = gr_cast(gr_mean(rows, 0, false), node->spec.dtype);
    return gr_built(in[0], out[0]);
}

static gr_status grad_bce(gr_grad_args *a)
{
    gr_tensor *x = a->node->in[0], *y = a->node->in[1], *d = gr_scale(a->d_out[0], 1 / count(a->node));
    if (a->need[0])
        a->d_in[0] = gr_mul(gr_sub(gr_sigmoid(x), y), d);
    if (a->need[1])
        a->d_in[1] = gr_neg(gr_mul(x, d));
    return gr_graph_check(a->node->graph);
}

static bool sample_mean_pair(int i, gr_sample *s)
{
    static const int64_t row[] = {4}, rows[] = {3, 2};
    int ndim;
    const int64_t *shape;
    if (!gr_sample_shape(i, &ndim, &shape))
        return false;
    if (ndim == 1 && shape[0] == 0) /* a mean of nothing is NaN, which compares with nothing */
        shape = row;
    if (ndim == 2 && shape[1] == 0)
        shape = rows;
    gr_sample_float(s, -3, 3, ndim, shape);
    gr_sample_float(s, 0, 1, ndim, shape);
    return true;
}

GR_FLOPS_EACH(cost_mse, 3)
GR_FLOPS_EACH(cost_bce, 8)

const gr_op gr_op_mse = {
    .name = "mse",
    .doc = "mean of (x - y)^2 (torch.nn.MSELoss)",
    .inputs = 2,
    .outputs = 1,
    .precision = GR_HIGH,
    .infer = infer_mean_pair,
    .grad = grad_mse,
    .compose = compose_mse,
    .sample = sample_mean_pair,
    .cost = cost_mse,
};

const gr_op gr_op_bce = {
    .name = "bce",
    .doc = "mean of max(x, 0) - x y + log(1 + e^-|x|), the binary cross-entropy of logits (torch.nn.BCEWithLogitsLoss)",
    .inputs = 2,
    .outputs = 1,
    .precision = GR_HIGH,
    .infer = infer_mean_pair,
    .grad = grad_bce,
    .compose = compose_bce,
    .sample = sample_mean_pair,
    .cost = cost_bce,
};

gr_tensor *gr_mse(gr_tensor *x, gr_tensor *y)
{
    return gr_binary(&gr_op_mse, x, y);
}

gr_tensor *gr_bce(gr_tensor *logits, gr_tensor *targets)
{
    return gr_binary(&gr_op_bce, logits, targets);
}
