/* Activations: element-wise ops with a composition of basic ones. Each has a gradient op beside it, so that forward
 * and backward stand on one page. */
#include "op/op.h"

#define SQRT_HALF 0.70710678118654752440
#define SQRT_2_OVER_PI 0.79788456080286535588
#define INV_SQRT_2PI 0.39894228040143267794
#define GELU_CUBIC 0.044715

static bool sample_one(int i, gr_sample *s)
{
    int ndim;
    const int64_t *shape;
    if (!gr_sample_shape(i, &ndim, &shape))
        return false;
    gr_sample_distinct(s, ndim, shape);
    return true;
}

static bool sample_two(int i, gr_sample *s)
{
    int ndim;
    const int64_t *shape;
    if (!gr_sample_shape(i, &ndim, &shape))
        return false;
    gr_sample_distinct(s, ndim, shape);
    gr_sample_float(s, -2, 2, ndim, shape);
    return true;
}

static gr_status infer_pair(const gr_tensor *node, gr_spec *out)
{
    gr_status s = gr_expect_dtype(node, 1, gr_in(node, 0)->dtype);
    if (s == GR_OK)
        s = gr_expect_shape(node, 1, gr_in(node, 0)->ndim, gr_in(node, 0)->shape);
    return s == GR_OK ? gr_infer_like_float(node, out) : s;
}

/* An activation f(x) with its composition, and its gradient op f_grad(x, d) with its own. */
#define ACTIVATION(op, text, forward, backward)                                                                        \
    static gr_status compose_##op(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)                        \
    {                                                                                                                  \
        gr_tensor *x = in[0];                                                                                          \
        (void)node;                                                                                                    \
        out[0] = forward;                                                                                              \
        return gr_built(x, out[0]);                                                                                    \
    }                                                                                                                  \
    static gr_status compose_##op##_grad(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)                 \
    {                                                                                                                  \
        gr_tensor *x = in[0], *d = in[1];                                                                              \
        (void)node;                                                                                                    \
        out[0] = backward;                                                                                             \
        return gr_built(x, out[0]);                                                                                    \
    }                                                                                                                  \
    static gr_status grad_##op(gr_grad_args *a)                                                                        \
    {                                                                                                                  \
        a->d_in[0] = gr_binary(&gr_op_##op##_grad, a->node->in[0], a->d_out[0]);                                       \
        return gr_built(a->node, a->d_in[0]);                                                                          \
    }                                                                                                                  \
    const gr_op gr_op_##op = {.name = #op,                                                                             \
                              .doc = text,                                                                             \
                              .inputs = 1,                                                                             \
                              .outputs = 1,                                                                            \
                              .flags = GR_OP_ELEMENTWISE,                                                              \
                              .precision = GR_INSIDE,                                                                  \
                              .infer = gr_infer_like_float,                                                            \
                              .grad = grad_##op,                                                                       \
                              .compose = compose_##op,                                                                 \
                              .sample = sample_one};                                                                   \
    const gr_op gr_op_##op##_grad = {.name = #op "_grad",                                                              \
                                     .doc = "x, d: d times the derivative of " #op " at x",                            \
                                     .inputs = 2,                                                                      \
                                     .outputs = 1,                                                                     \
                                     .flags = GR_OP_ELEMENTWISE,                                                       \
                                     .precision = GR_INSIDE,                                                           \
                                     .infer = infer_pair,                                                              \
                                     .compose = compose_##op##_grad,                                                   \
                                     .sample = sample_two};                                                            \
    gr_tensor *gr_##op(gr_tensor *x)                                                                                   \
    {                                                                                                                  \
        return gr_unary(&gr_op_##op, x);                                                                               \
    }

static gr_tensor *zero(gr_tensor *x)
{
    return gr_scalar_like(x, 0);
}

static gr_tensor *one_minus(gr_tensor *x)
{
    return gr_sub(gr_scalar_like(x, 1), x);
}

/* Phi(x), the standard normal's distribution, and its derivative */
static gr_tensor *normal_cdf(gr_tensor *x)
{
    return gr_scale(gr_offset(gr_erf(gr_scale(x, SQRT_HALF)), 1), 0.5);
}

static gr_tensor *normal_pdf(gr_tensor *x)
{
    return gr_scale(gr_exp(gr_scale(gr_mul(x, x), -0.5)), INV_SQRT_2PI);
}

static gr_tensor *gelu_derivative(gr_tensor *x)
{
    return gr_add(normal_cdf(x), gr_mul(x, normal_pdf(x)));
}

/* tanh(sqrt(2/pi) (x + 0.044715 x^3)) */
static gr_tensor *gelu_tanh_inner(gr_tensor *x)
{
    gr_tensor *cube = gr_mul(x, gr_mul(x, x));
    return gr_tanh(gr_scale(gr_add(x, gr_scale(cube, GELU_CUBIC)), SQRT_2_OVER_PI));
}

static gr_tensor *gelu_tanh_derivative(gr_tensor *x)
{
    gr_tensor *t = gelu_tanh_inner(x);
    gr_tensor *slope = gr_scale(gr_offset(gr_scale(gr_mul(x, x), 3 * GELU_CUBIC), 1), SQRT_2_OVER_PI);
    gr_tensor *dt = gr_mul(one_minus(gr_mul(t, t)), slope);
    return gr_scale(gr_add(gr_offset(t, 1), gr_mul(x, dt)), 0.5);
}

/* s (1 + x (1 - s)) */
static gr_tensor *silu_derivative(gr_tensor *x)
{
    gr_tensor *s = gr_sigmoid(x);
    return gr_mul(s, gr_offset(gr_mul(x, one_minus(s)), 1));
}

ACTIVATION(relu, "max(x, 0); gradient 0 at 0", gr_max(x, zero(x)), gr_select(gr_gt(x, zero(x)), d, zero(d)))
ACTIVATION(gelu, "x/2 (1 + erf(x / sqrt 2)) (Hendrycks & Gimpel 2016)", gr_mul(x, normal_cdf(x)),
           gr_mul(d, gelu_derivative(x)))
ACTIVATION(gelu_tanh, "x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), GPT-2's gelu_new",
           gr_scale(gr_mul(x, gr_offset(gelu_tanh_inner(x), 1)), 0.5), gr_mul(d, gelu_tanh_derivative(x)))
ACTIVATION(silu, "x sigmoid(x)", gr_mul(x, gr_sigmoid(x)), gr_mul(d, silu_derivative(x)))

/* ---- gated units: activation(gate) * up (Shazeer 2020) ------------------------------------------------------ */

#define GATED(op, activation, text)                                                                                    \
    static gr_status compose_##op(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)                        \
    {                                                                                                                  \
        (void)node;                                                                                                    \
        out[0] = gr_mul(gr_##activation(in[0]), in[1]);                                                                \
        return gr_built(in[0], out[0]);                                                                                \
    }                                                                                                                  \
    static gr_status grad_##op(gr_grad_args *a)                                                                        \
    {                                                                                                                  \
        gr_tensor *gate = a->node->in[0], *up = a->node->in[1], *d = a->d_out[0];                                      \
        if (a->need[0])                                                                                                \
            a->d_in[0] = gr_binary(&gr_op_##activation##_grad, gate, gr_mul(d, up));                                   \
        if (a->need[1])                                                                                                \
            a->d_in[1] = gr_mul(d, gr_##activation(gate)); /* computed again: cheaper than kept */                     \
        return gr_graph_check(a->node->graph);                                                                         \
    }                                                                                                                  \
    const gr_op gr_op_##op = {.name = #op,                                                                             \
                              .doc = text,                                                                             \
                              .inputs = 2,                                                                             \
                              .outputs = 1,                                                                            \
                              .flags = GR_OP_ELEMENTWISE,                                                              \
                              .precision = GR_INSIDE,                                                                  \
                              .infer = infer_pair,                                                                     \
                              .grad = grad_##op,                                                                       \
                              .compose = compose_##op,                                                                 \
                              .sample = sample_two};                                                                   \
    gr_tensor *gr_##op(gr_tensor *gate, gr_tensor *up)                                                                 \
    {                                                                                                                  \
        return gr_binary(&gr_op_##op, gate, up);                                                                       \
    }

GATED(swiglu, silu, "gate, up: silu(gate) * up (Shazeer 2020); saves nothing")
GATED(geglu, gelu_tanh, "gate, up: gelu_tanh(gate) * up (Shazeer 2020); saves nothing")
