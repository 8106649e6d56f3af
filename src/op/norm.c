/* Layer norm and RMS norm over the last dim C. Rows are all dims before it. */
#include "op/attr.h"
#include "op/op.h"

static unsigned last(const gr_tensor *x)
{
    return 1u << (x->spec.ndim - 1);
}

/* Statistics: one value a row. */
static gr_spec row_stat(const gr_spec *x)
{
    gr_spec s;
    gr_reduce_spec(x, 1u << (x->ndim - 1), false, &s);
    s.dtype = gr_accumulator(x->dtype);
    return s;
}

/* Weight and bias are of x's dtype, or of what its sums are. */
static gr_status check_rows(const gr_tensor *node, int first_vector, int last_vector)
{
    const gr_spec *x = gr_in(node, 0);
    if (gr_expect_float(node, 0) != GR_OK)
        return GR_ERR_ARGUMENT;
    if (x->ndim < 1)
        return gr_op_fail(node, "needs at least 1 dim");
    for (int i = first_vector; i <= last_vector; i++) {
        const gr_spec *v = gr_in(node, i);
        bool is_wide = v && v->dtype == gr_accumulator(x->dtype);
        if ((!is_wide && gr_expect_dtype(node, i, x->dtype) != GR_OK) ||
            gr_expect_shape(node, i, 1, &x->shape[x->ndim - 1]) != GR_OK)
            return GR_ERR_ARGUMENT;
    }
    return GR_OK;
}

/* x [.., C] cast to what sums accumulate in; a row statistic [..] as [.., 1]. */
static gr_tensor *wide(gr_tensor *x)
{
    return x ? gr_cast(x, gr_accumulator(x->spec.dtype)) : NULL;
}

static gr_tensor *column(gr_tensor *stat)
{
    return stat ? gr_unsqueeze(stat, stat->spec.ndim) : NULL;
}

/* The sum over all rows of x [.., C]: [C]. */
static gr_tensor *sum_rows(gr_tensor *x)
{
    return x && x->spec.ndim > 1 ? gr_sum(x, last(x) - 1, false) : x;
}

/* ---- layer norm --------------------------------------------------------------------------------------------- */

static gr_status infer_layer_norm(const gr_tensor *node, gr_spec *out)
{
    gr_status s = check_rows(node, 1, 2);
    if (s != GR_OK)
        return s;
    out[0] = *gr_in(node, 0);
    out[1] = out[2] = row_stat(&out[0]);
    return GR_OK;
}

static gr_status compose_layer_norm(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    float eps = ((const gr_norm_attr *)node->attr)->eps;
    gr_tensor *x = wide(in[0]);
    gr_tensor *mean = gr_mean(x, last(x), true);
    gr_tensor *centred = gr_sub(x, mean);
    gr_tensor *var = gr_mean(gr_mul(centred, centred), last(x), true);
    gr_tensor *rstd = gr_rsqrt(gr_offset(var, eps));
    gr_tensor *y = gr_mul(gr_mul(centred, rstd), wide(in[1]));
    if (node->n_in > 2 && in[2])
        y = gr_add(y, wide(in[2]));
    gr_spec stat = row_stat(&node->spec);
    out[0] = gr_cast(y, node->spec.dtype);
    out[1] = gr_reshape(mean, stat.ndim, stat.shape);
    out[2] = gr_reshape(rstd, stat.ndim, stat.shape);
    return gr_built(in[0], out[2]);
}

static gr_status grad_layer_norm(gr_grad_args *a)
{
    gr_tensor *in[] = {a->node->in[0], a->node->in[1], a->out[1], a->out[2], a->d_out[0]};
    gr_tensor *d = gr_node(a->node->graph, &gr_op_layer_norm_grad, in, 5, NULL);
    if (a->need[0])
        a->d_in[0] = d;
    if (a->need[1])
        a->d_in[1] = gr_output(d, 1);
    if (a->need[2])
        a->d_in[2] = gr_output(d, 2);
    return gr_built(a->node, d);
}

static gr_status infer_layer_norm_grad(const gr_tensor *node, gr_spec *out)
{
    const gr_spec *x = gr_in(node, 0);
    gr_status s = check_rows(node, 1, 1);
    if (s != GR_OK)
        return s;
    gr_spec stat = row_stat(x);
    for (int i = 2; i <= 3; i++)
        if (gr_expect_dtype(node, i, stat.dtype) != GR_OK || gr_expect_shape(node, i, stat.ndim, stat.shape) != GR_OK)
            return GR_ERR_ARGUMENT;
    if (gr_expect_dtype(node, 4, x->dtype) != GR_OK || gr_expect_shape(node, 4, x->ndim, x->shape) != GR_OK)
        return GR_ERR_ARGUMENT;
    out[0] = *x;
    out[1] = out[2] = *gr_in(node, 1);
    return GR_OK;
}

/* With n = (x - mean) rstd and g = d weight: dx = rstd (g - mean(g) - n mean(g n)). */
static gr_status compose_layer_norm_grad(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    gr_tensor *x = wide(in[0]), *d = wide(in[4]), *rstd = column(in[3]);
    gr_tensor *n = gr_mul(gr_sub(x, column(in[2])), rstd);
    gr_tensor *g = gr_mul(d, wide(in[1]));
    gr_tensor *along = gr_mul(n, gr_mean(gr_mul(g, n), last(x), true));
    gr_tensor *dx = gr_mul(rstd, gr_sub(gr_sub(g, gr_mean(g, last(x), true)), along));
    out[0] = gr_cast(dx, node->spec.dtype);
    out[1] = gr_cast(sum_rows(gr_mul(d, n)), in[1]->spec.dtype);
    out[2] = gr_cast(sum_rows(d), in[1]->spec.dtype);
    return gr_built(in[0], out[2]);
}

static const int64_t row_shapes[][3] = {{1, 1, 1}, {1, 5, 33}, {2, 3, 64}, {0, 2, 4}, {1, 67, 40}, {1, 2, 1027}};

static bool sample_layer_norm(int i, gr_sample *s)
{
    if (i >= 6)
        return false;
    ((gr_norm_attr *)(void *)s->attr.bytes)->eps = 1e-2f; /* so large that one element a row stays smooth */
    gr_sample_float(s, -2, 2, 3, row_shapes[i]);
    gr_sample_float(s, 0.5, 1.5, 1, &row_shapes[i][2]);
    if (i == 2)
        gr_sample_absent(s);
    else
        gr_sample_float(s, -1, 1, 1, &row_shapes[i][2]);
    s->in[1].is_stat = s->in[2].is_stat = i % 2; /* f32 beside 16 bits */
    return true;
}

static bool sample_layer_norm_grad(int i, gr_sample *s)
{
    if (i >= 6)
        return false;
    gr_sample_float(s, -2, 2, 3, row_shapes[i]);
    gr_sample_float(s, 0.5, 1.5, 1, &row_shapes[i][2]);
    s->in[1].is_stat = i % 2;
    gr_sample_float(s, -0.1, 0.1, 2, row_shapes[i]);
    gr_sample_float(s, 0.5, 1, 2, row_shapes[i]);
    for (int k = 2; k <= 3; k++)
        s->in[k].is_stat = true;
    gr_sample_float(s, -1, 1, 3, row_shapes[i]);
    return true;
}

/* Two sums with a difference and a square, then rstd, weight and bias. */
GR_FLOPS_EACH(cost_layer_norm, node->n_in > 2 && node->in[2] ? 7 : 6)
/* As the formulas above go: n 2, g 1, two means 3, dx 4, the sums over rows 3. */
GR_FLOPS_EACH(cost_layer_norm_grad, 13)

const gr_op gr_op_layer_norm = {
    .name = "layer_norm",
    .doc = "x [.., C], weight [C], bias [C] or none: (x - mean) rstd weight + bias, rstd = 1/sqrt(var + eps), var "
           "biased (Ba et al. 2016, torch.nn.LayerNorm); saves mean and rstd [..]",
    .inputs = 3,
    .optional = 1u << 2,
    .outputs = 3,
    .attr_size = sizeof(gr_norm_attr),
    .precision = GR_INSIDE,
    .uncast = 1u << 1 | 1u << 2,
    .infer = infer_layer_norm,
    .grad = grad_layer_norm,
    .compose = compose_layer_norm,
    .sample = sample_layer_norm,
    .cost = cost_layer_norm,
};

const gr_op gr_op_layer_norm_grad = {
    .name = "layer_norm_grad",
    .doc = "x [.., C], weight [C], mean [..], rstd [..], d [.., C]: dx [.., C], dweight [C], dbias [C]",
    .inputs = 5,
    .outputs = 3,
    .precision = GR_INSIDE,
    .uncast = 1u << 1 | 1u << 2 | 1u << 3,
    .infer = infer_layer_norm_grad,
    .compose = compose_layer_norm_grad,
    .sample = sample_layer_norm_grad,
    .cost = cost_layer_norm_grad,
};

gr_tensor *gr_layer_norm(gr_tensor *x, gr_tensor *weight, gr_tensor *bias, float eps)
{
    gr_tensor *in[] = {x, weight, bias};
    return x && weight ? gr_node(x->graph, &gr_op_layer_norm, in, 3, &(gr_norm_attr){eps}) : NULL;
}

/* ---- RMS norm ----------------------------------------------------------------------------------------------- */

static gr_status infer_rms_norm(const gr_tensor *node, gr_spec *out)
{
    gr_status s = check_rows(node, 1, 1);
    if (s != GR_OK)
        return s;
    out[0] = *gr_in(node, 0);
    out[1] = row_stat(&out[0]);
    return GR_OK;
}

static gr_status compose_rms_norm(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    gr_tensor *x = wide(in[0]);
    gr_tensor *rstd =
        gr_rsqrt(gr_offset(gr_mean(gr_mul(x, x), last(x), true), ((const gr_norm_attr *)node->attr)->eps));
    gr_spec stat = row_stat(&node->spec);
    out[0] = gr_cast(gr_mul(gr_mul(x, rstd), wide(in[1])), node->spec.dtype);
    out[1] = gr_reshape(rstd, stat.ndim, stat.shape);
    return gr_built(in[0], out[1]);
}

static gr_status grad_rms_norm(gr_grad_args *a)
{
    gr_tensor *in[] = {a->node->in[0], a->node->in[1], a->out[1], a->d_out[0]};
    gr_tensor *d = gr_node(a->node->graph, &gr_op_rms_norm_grad, in, 4, NULL);
    if (a->need[0])
        a->d_in[0] = d;
    if (a->need[1])
        a->d_in[1] = gr_output(d, 1);
    return gr_built(a->node, d);
}

static gr_status infer_rms_norm_grad(const gr_tensor *node, gr_spec *out)
{
    const gr_spec *x = gr_in(node, 0);
    gr_status s = check_rows(node, 1, 1);
    if (s != GR_OK)
        return s;
    gr_spec stat = row_stat(x);
    if (gr_expect_dtype(node, 2, stat.dtype) != GR_OK || gr_expect_shape(node, 2, stat.ndim, stat.shape) != GR_OK ||
        gr_expect_dtype(node, 3, x->dtype) != GR_OK || gr_expect_shape(node, 3, x->ndim, x->shape) != GR_OK)
        return GR_ERR_ARGUMENT;
    out[0] = *x;
    out[1] = *gr_in(node, 1);
    return GR_OK;
}

/* With n = x rstd and g = d weight: dx = rstd (g - n mean(g n)). */
static gr_status compose_rms_norm_grad(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    gr_tensor *x = wide(in[0]), *rstd = column(in[2]), *d = wide(in[3]);
    gr_tensor *n = gr_mul(x, rstd);
    gr_tensor *g = gr_mul(d, wide(in[1]));
    gr_tensor *dx = gr_mul(rstd, gr_sub(g, gr_mul(n, gr_mean(gr_mul(g, n), last(x), true))));
    out[0] = gr_cast(dx, node->spec.dtype);
    out[1] = gr_cast(sum_rows(gr_mul(d, n)), in[1]->spec.dtype);
    return gr_built(in[0], out[1]);
}

static bool sample_rms_norm(int i, gr_sample *s)
{
    if (i >= 6)
        return false;
    ((gr_norm_attr *)(void *)s->attr.bytes)->eps = 1e-2f;
    gr_sample_float(s, -2, 2, 3, row_shapes[i]);
    gr_sample_float(s, 0.5, 1.5, 1, &row_shapes[i][2]);
    s->in[1].is_stat = i % 2;
    return true;
}

static bool sample_rms_norm_grad(int i, gr_sample *s)
{
    if (i >= 6)
        return false;
    gr_sample_float(s, -2, 2, 3, row_shapes[i]);
    gr_sample_float(s, 0.5, 1.5, 1, &row_shapes[i][2]);
    gr_sample_float(s, 0.5, 1, 2, row_shapes[i]);
    s->in[1].is_stat = i % 2;
    s->in[2].is_stat = true;
    gr_sample_float(s, -1, 1, 3, row_shapes[i]);
    return true;
}

GR_FLOPS_EACH(cost_rms_norm, 4)
GR_FLOPS_EACH(cost_rms_norm_grad, 9)

const gr_op gr_op_rms_norm = {
    .name = "rms_norm",
    .doc = "x [.., C], weight [C]: x rstd weight, rstd = 1/sqrt(mean(x^2) + eps) (Zhang & Sennrich 2019); saves rstd "
           "[..]",
    .inputs = 2,
    .outputs = 2,
    .attr_size = sizeof(gr_norm_attr),
    .precision = GR_INSIDE,
    .uncast = 1u << 1,
    .infer = infer_rms_norm,
    .grad = grad_rms_norm,
    .compose = compose_rms_norm,
    .sample = sample_rms_norm,
    .cost = cost_rms_norm,
};

const gr_op gr_op_rms_norm_grad = {
    .name = "rms_norm_grad",
    .doc = "x [.., C], weight [C], rstd [..], d [.., C]: dx [.., C], dweight [C]",
    .inputs = 4,
    .outputs = 2,
    .precision = GR_INSIDE,
    .uncast = 1u << 1 | 1u << 2,
    .infer = infer_rms_norm_grad,
    .compose = compose_rms_norm_grad,
    .sample = sample_rms_norm_grad,
    .cost = cost_rms_norm_grad,
};

gr_tensor *gr_rms_norm(gr_tensor *x, gr_tensor *weight, float eps)
{
    gr_tensor *in[] = {x, weight};
    return x && weight ? gr_node(x->graph, &gr_op_rms_norm, in, 2, &(gr_norm_attr){eps}) : NULL;
}
