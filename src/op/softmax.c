/* Softmax and log-softmax along the last dim. */
#include "op/op.h"

static gr_status infer_rows(const gr_tensor *node, gr_spec *out)
{
    if (gr_in(node, 0)->ndim < 1)
        return gr_op_fail(node, "needs at least 1 dim");
    return gr_infer_like_float(node, out);
}

static gr_status infer_rows_grad(const gr_tensor *node, gr_spec *out)
{
    const gr_spec *y = gr_in(node, 0);
    if (gr_expect_dtype(node, 1, y->dtype) != GR_OK || gr_expect_shape(node, 1, y->ndim, y->shape) != GR_OK)
        return GR_ERR_ARGUMENT;
    return infer_rows(node, out);
}

static unsigned last(const gr_tensor *x)
{
    return 1u << (x->spec.ndim - 1);
}

/* x minus its row's maximum: the result is the same, and exp cannot overflow. */
static gr_tensor *shifted(gr_tensor *x)
{
    if (x->spec.shape[x->spec.ndim - 1] == 0)
        return x;
    return gr_sub(x, gr_detach(gr_reduce_max(x, last(x), true)));
}

static gr_status compose_softmax(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    gr_tensor *e = gr_exp(shifted(gr_cast(in[0], gr_accumulator(node->spec.dtype))));
    out[0] = e ? gr_cast(gr_div(e, gr_sum(e, last(e), true)), node->spec.dtype) : NULL;
    return gr_built(in[0], out[0]);
}

static gr_status compose_softmax_grad(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    gr_dtype acc = gr_accumulator(node->spec.dtype);
    gr_tensor *y = gr_cast(in[0], acc), *d = gr_cast(in[1], acc);
    gr_tensor *dot = gr_sum(gr_mul(y, d), last(node), true);
    out[0] = gr_cast(gr_mul(y, gr_sub(d, dot)), node->spec.dtype);
    return gr_built(in[0], out[0]);
}

static gr_status grad_softmax(gr_grad_args *a)
{
    a->d_in[0] = gr_binary(&gr_op_softmax_grad, a->out[0], a->d_out[0]);
    return gr_built(a->node, a->d_in[0]);
}

static gr_status compose_log_softmax(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    gr_tensor *z = shifted(gr_cast(in[0], gr_accumulator(node->spec.dtype)));
    out[0] = gr_cast(gr_sub(z, gr_log(gr_sum(gr_exp(z), last(node), true))), node->spec.dtype);
    return gr_built(in[0], out[0]);
}

static gr_status compose_log_softmax_grad(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    gr_dtype acc = gr_accumulator(node->spec.dtype);
    gr_tensor *y = gr_cast(in[0], acc), *d = gr_cast(in[1], acc);
    out[0] = gr_cast(gr_sub(d, gr_mul(gr_exp(y), gr_sum(d, last(node), true))), node->spec.dtype);
    return gr_built(in[0], out[0]);
}

static gr_status grad_log_softmax(gr_grad_args *a)
{
    a->d_in[0] = gr_binary(&gr_op_log_softmax_grad, a->out[0], a->d_out[0]);
    return gr_built(a->node, a->d_in[0]);
}

static const int64_t row_shapes[][2] = {{1, 1}, {5, 33}, {3, 700}, {0, 4}, {4, 16}};

static bool sample_rows(int i, gr_sample *s)
{
    if (i >= 5)
        return false;
    gr_sample_float(s, -4, 4, 2, row_shapes[i]);
    return true;
}

static bool sample_softmax_grad(int i, gr_sample *s)
{
    if (i >= 5)
        return false;
    gr_sample_float(s, 0, 1, 2, row_shapes[i]);
    gr_sample_float(s, -1, 1, 2, row_shapes[i]);
    return true;
}

static bool sample_log_softmax_grad(int i, gr_sample *s)
{
    if (i >= 5)
        return false;
    gr_sample_float(s, -4, 0, 2, row_shapes[i]);
    gr_sample_float(s, -1, 1, 2, row_shapes[i]);
    return true;
}

/* The largest, the difference, e^x, the sum, and the quotient or a second difference; backwards a product less. */
GR_FLOPS_EACH(cost_rows, 5)
GR_FLOPS_EACH(cost_rows_grad, 4)

const gr_op gr_op_softmax = {
    .name = "softmax",
    .doc = "e^x / sum of e^x along the last dim",
    .inputs = 1,
    .outputs = 1,
    .precision = GR_INSIDE,
    .infer = infer_rows,
    .grad = grad_softmax,
    .compose = compose_softmax,
    .sample = sample_rows,
    .cost = cost_rows,
};

const gr_op gr_op_softmax_grad = {
    .name = "softmax_grad",
    .doc = "y = softmax(x), d: y (d - sum(y d))",
    .inputs = 2,
    .outputs = 1,
    .precision = GR_INSIDE,
    .infer = infer_rows_grad,
    .compose = compose_softmax_grad,
    .sample = sample_softmax_grad,
    .cost = cost_rows_grad,
};

const gr_op gr_op_log_softmax = {
    .name = "log_softmax",
    .doc = "x - log(sum of e^x) along the last dim",
    .inputs = 1,
    .outputs = 1,
    .precision = GR_HIGH,
    .infer = infer_rows,
    .grad = grad_log_softmax,
    .compose = compose_log_softmax,
    .sample = sample_rows,
    .cost = cost_rows,
};

const gr_op gr_op_log_softmax_grad = {
    .name = "log_softmax_grad",
    .doc = "y = log_softmax(x), d: d - e^y sum(d)",
    .inputs = 2,
    .outputs = 1,
    .precision = GR_HIGH,
    .infer = infer_rows_grad,
    .compose = compose_log_softmax_grad,
    .sample = sample_log_softmax_grad,
    .cost = cost_rows_grad,
};

gr_tensor *gr_softmax(gr_tensor *x)
{
    return gr_unary(&gr_op_softmax, x);
}

gr_tensor *gr_log_softmax(gr_tensor *x)
{
    return gr_unary(&gr_op_log_softmax, x);
}
