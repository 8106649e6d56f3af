/* Basic element-wise ops: one line of mathematics each. Their kernels are in backend/ref and backend/cpu. */
#include "op/attr.h"
#include "op/op.h"

#include "base/dtype.h"

#include <string.h>

/* ---- shape rules -------------------------------------------------------------------------------------------- */

static gr_status infer_signed(const gr_tensor *node, gr_spec *out)
{
    *out = *gr_in(node, 0);
    return gr_dtype_get(out->dtype)->is_signed ? GR_OK : gr_op_fail(node, "needs signed numbers");
}

static gr_status infer_arithmetic(const gr_tensor *node, gr_spec *out)
{
    const gr_spec *a = gr_in(node, 0), *b = gr_in(node, 1);
    if (a->dtype != b->dtype)
        return gr_op_fail(node, "dtypes differ\nuse gr_cast: nothing is converted silently");
    if (a->dtype == GR_BOOL)
        return gr_op_fail(node, "needs numbers");
    out->dtype = a->dtype;
    return gr_broadcast(node, a, b, out);
}

static gr_status infer_float_pair(const gr_tensor *node, gr_spec *out)
{
    gr_status s = gr_expect_float(node, 0);
    return s == GR_OK ? infer_arithmetic(node, out) : s;
}

static gr_status infer_comparison(const gr_tensor *node, gr_spec *out)
{
    gr_status s = infer_arithmetic(node, out);
    out->dtype = GR_BOOL;
    return s;
}

static gr_status infer_select(const gr_tensor *node, gr_spec *out)
{
    const gr_spec *a = gr_in(node, 1), *b = gr_in(node, 2);
    if (gr_in(node, 0)->dtype != GR_BOOL)
        return gr_op_fail(node, "the condition must be bool");
    if (a->dtype != b->dtype)
        return gr_op_fail(node, "dtypes differ\nuse gr_cast: nothing is converted silently");
    out->dtype = a->dtype;
    gr_status s = gr_broadcast(node, a, b, out);
    return s == GR_OK ? gr_broadcast(node, gr_in(node, 0), out, out) : s;
}

/* Blocks are made of floating-point numbers, and give such. */
static gr_status check_block_cast(const gr_tensor *node, const gr_dtype_info *from, const gr_dtype_info *to)
{
    const gr_dtype_info *plain = from->block > 1 ? to : from, *block = from->block > 1 ? from : to;
    if (block->block == 1)
        return GR_OK;
    if (!plain->is_float)
        return gr_op_fail(node, "%s and %s are not cast to each other\ngo by way of f32", from->name, to->name);
    return to->from_f32 ? GR_OK : gr_op_fail(node, "%s can be read only", to->name);
}

static gr_status infer_cast(const gr_tensor *node, gr_spec *out)
{
    const gr_cast_attr *a = node->attr;
    *out = *gr_in(node, 0);
    if (!gr_dtype_exists(a->dtype))
        return gr_op_fail(node, "there is no dtype %d", (int)a->dtype);
    out->dtype = a->dtype;
    return check_block_cast(node, gr_dtype_get(gr_in(node, 0)->dtype), gr_dtype_get(a->dtype));
}

static gr_status infer_is_finite(const gr_tensor *node, gr_spec *out)
{
    gr_status s = gr_infer_like_float(node, out);
    out->dtype = GR_BOOL;
    return s;
}

/* ---- samples ------------------------------------------------------------------------------------------------ */

static bool sample_unary(int i, gr_sample *s, double low, double high)
{
    int ndim;
    const int64_t *shape;
    if (!gr_sample_shape(i, &ndim, &shape))
        return false;
    gr_sample_float(s, low, high, ndim, shape);
    return true;
}

static bool sample_any(int i, gr_sample *s)
{
    return sample_unary(i, s, -3, 3);
}

static bool sample_positive(int i, gr_sample *s)
{
    return sample_unary(i, s, 0.3, 3);
}

static bool sample_nonzero(int i, gr_sample *s)
{
    return i % 2 ? sample_unary(i, s, -3, -0.3) : sample_unary(i, s, 0.3, 3);
}

/* To every dtype that can be written, and then from every one; then from blocks of any bytes. */
static bool sample_cast(int i, gr_sample *s)
{
    int n = 0;
    while (gr_dtype_exists((gr_dtype)n))
        n++;
    ((gr_cast_attr *)(void *)s->attr.bytes)->dtype = GR_F32;
    if (i >= 2 * n)
        return gr_sample_blocks(s, i - 2 * n, 0, 3, 300);
    gr_dtype d = (gr_dtype)((i + GR_F32) % n); /* f32 first: what the command shows */
    const gr_dtype_info *info = gr_dtype_get(d);
    bool to = i < n;
    if (!info->from_f32)
        d = GR_F32; /* what can be read only has values that are no sample's */
    gr_sample_float(s, 0, 100, GR_DIMS(3, info->block > 1 ? 3 * info->block : 11));
    if (!to) {
        s->in[0].is_float = false;
        s->in[0].spec.dtype = d;
    }
    ((gr_cast_attr *)(void *)s->attr.bytes)->dtype = to ? d : GR_F32;
    return true;
}

/* Broadcasts in front, in the middle, of a scalar, and against an empty dim. */
static bool sample_pair(int i, gr_sample *s, bool positive)
{
    static const struct {
        int na, nb;
        int64_t a[3], b[3];
    } pairs[] = {
        {0, 0, {0}, {0}},       {1, 1, {19}, {19}},           {2, 1, {5, 33}, {33}},
        {2, 0, {3, 9}, {0}},    {3, 3, {2, 1, 7}, {2, 5, 1}}, {1, 3, {4}, {3, 2, 4}},
        {2, 2, {3, 0}, {1, 1}}, {2, 2, {6, 67}, {6, 67}},     {2, 2, {6, 1}, {6, 40}},
    };
    if (i >= (int)(sizeof pairs / sizeof pairs[0]))
        return false;
    if (positive) {
        gr_sample_float(s, 0.3, 2, pairs[i].na, pairs[i].a);
        gr_sample_float(s, 0.3, 2, pairs[i].nb, pairs[i].b);
    } else {
        gr_sample_distinct(s, pairs[i].na, pairs[i].a);
        gr_sample_float(s, -3.005, 3.005, pairs[i].nb, pairs[i].b);
    }
    return true;
}

static bool sample_two(int i, gr_sample *s)
{
    return sample_pair(i, s, false);
}

static bool sample_two_positive(int i, gr_sample *s)
{
    return sample_pair(i, s, true);
}

static bool sample_select(int i, gr_sample *s)
{
    if (i > 2)
        return false;
    gr_sample_bool(s, GR_DIMS(5, 1));
    gr_sample_float(s, -1, 1, GR_DIMS(5, 9));
    if (i == 0)
        gr_sample_float(s, -1, 1, GR_DIMS(9));
    else
        gr_sample_float(s, -1, 1, 0, NULL);
    return true;
}

/* ---- gradient rules: d is the gradient of the output, x and y the inputs ------------------------------------ */

#define RULE1(op, formula)                                                                                             \
    static gr_status grad_##op(gr_grad_args *a)                                                                        \
    {                                                                                                                  \
        gr_tensor *d = a->d_out[0], *x = a->node->in[0], *out = a->out[0];                                             \
        (void)x, (void)out;                                                                                            \
        a->d_in[0] = formula;                                                                                          \
        return gr_built(a->node, a->d_in[0]);                                                                          \
    }

RULE1(neg, gr_neg(d))
RULE1(abs, gr_select(gr_lt(x, gr_scalar_like(x, 0)), gr_neg(d), d))
RULE1(exp, gr_mul(d, out))
RULE1(log, gr_div(d, x))
RULE1(sqrt, gr_div(d, gr_scale(out, 2)))
RULE1(rsqrt, gr_mul(d, gr_scale(gr_mul(out, gr_mul(out, out)), -0.5)))
RULE1(reciprocal, gr_neg(gr_mul(d, gr_mul(out, out))))
RULE1(sin, gr_mul(d, gr_cos(x)))
RULE1(cos, gr_neg(gr_mul(d, gr_sin(x))))
RULE1(tanh, gr_mul(d, gr_sub(gr_scalar_like(out, 1), gr_mul(out, out))))
RULE1(erf, gr_mul(d, gr_scale(gr_exp(gr_neg(gr_mul(x, x))), 1.1283791670955125739))) /* 2 / sqrt(pi) */
RULE1(sigmoid, gr_mul(d, gr_mul(out, gr_sub(gr_scalar_like(out, 1), out))))
RULE1(cast, gr_cast(d, x->spec.dtype))

#define RULE2(op, formula_x, formula_y)                                                                                \
    static gr_status grad_##op(gr_grad_args *a)                                                                        \
    {                                                                                                                  \
        gr_tensor *d = a->d_out[0], *x = a->node->in[0], *y = a->node->in[1], *out = a->out[0];                        \
        (void)x, (void)y, (void)out;                                                                                   \
        if (a->need[0])                                                                                                \
            a->d_in[0] = formula_x;                                                                                    \
        if (a->need[1])                                                                                                \
            a->d_in[1] = formula_y;                                                                                    \
        return gr_graph_check(a->node->graph);                                                                         \
    }

RULE2(add, d, d)
RULE2(sub, d, gr_neg(d))
RULE2(mul, gr_mul(d, y), gr_mul(d, x))
RULE2(div, gr_div(d, y), gr_neg(gr_div(gr_mul(d, out), y)))
RULE2(pow, gr_mul(d, gr_mul(y, gr_pow(x, gr_offset(y, -1)))), gr_mul(d, gr_mul(out, gr_log(x))))
/* Where both are equal the first one gets the gradient. */
RULE2(min, gr_select(gr_le(x, y), d, gr_scalar_like(d, 0)), gr_select(gr_le(x, y), gr_scalar_like(d, 0), d))
RULE2(max, gr_select(gr_ge(x, y), d, gr_scalar_like(d, 0)), gr_select(gr_ge(x, y), gr_scalar_like(d, 0), d))

static gr_status grad_select(gr_grad_args *a)
{
    gr_tensor *c = a->node->in[0], *d = a->d_out[0], *zero = gr_scalar_like(d, 0);
    if (a->need[1])
        a->d_in[1] = gr_select(c, d, zero);
    if (a->need[2])
        a->d_in[2] = gr_select(c, zero, d);
    return gr_graph_check(a->node->graph);
}

/* ---- records ------------------------------------------------------------------------------------------------ */

#define UNARY(op, text, rule, samples, word)                                                                           \
    const gr_op gr_op_##op = {.name = #op,                                                                             \
                              .doc = text,                                                                             \
                              .inputs = 1,                                                                             \
                              .outputs = 1,                                                                            \
                              .flags = GR_OP_ELEMENTWISE,                                                              \
                              .precision = word,                                                                       \
                              .infer = rule,                                                                           \
                              .grad = grad_##op,                                                                       \
                              .sample = samples};                                                                      \
    gr_tensor *gr_##op(gr_tensor *x)                                                                                   \
    {                                                                                                                  \
        return gr_unary(&gr_op_##op, x);                                                                               \
    }

UNARY(neg, "-x", infer_signed, sample_any, GR_WIDEST)
UNARY(abs, "|x|; gradient 1 at 0", infer_signed, sample_nonzero, GR_WIDEST)
UNARY(exp, "e^x", gr_infer_like_float, sample_any, GR_HIGH)
UNARY(log, "natural logarithm", gr_infer_like_float, sample_positive, GR_HIGH)
UNARY(sqrt, "square root", gr_infer_like_float, sample_positive, GR_HIGH)
UNARY(rsqrt, "1 / sqrt(x)", gr_infer_like_float, sample_positive, GR_HIGH)
UNARY(reciprocal, "1 / x", gr_infer_like_float, sample_nonzero, GR_HIGH)
UNARY(sin, "sine of radians", gr_infer_like_float, sample_any, GR_HIGH)
UNARY(cos, "cosine of radians", gr_infer_like_float, sample_any, GR_HIGH)
UNARY(tanh, "hyperbolic tangent", gr_infer_like_float, sample_any, GR_HIGH)
UNARY(erf, "error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x", gr_infer_like_float, sample_any,
      GR_HIGH)
UNARY(sigmoid, "1 / (1 + e^-x)", gr_infer_like_float, sample_any, GR_HIGH)

#define BINARY(op, text, rule, samples, word)                                                                          \
    const gr_op gr_op_##op = {.name = #op,                                                                             \
                              .doc = text,                                                                             \
                              .inputs = 2,                                                                             \
                              .outputs = 1,                                                                            \
                              .flags = GR_OP_ELEMENTWISE,                                                              \
                              .precision = word,                                                                       \
                              .infer = rule,                                                                           \
                              .grad = grad_##op,                                                                       \
                              .sample = samples};                                                                      \
    gr_tensor *gr_##op(gr_tensor *a, gr_tensor *b)                                                                     \
    {                                                                                                                  \
        return gr_binary(&gr_op_##op, a, b);                                                                           \
    }

BINARY(add, "a + b", infer_arithmetic, sample_two, GR_WIDEST)
BINARY(sub, "a - b", infer_arithmetic, sample_two, GR_WIDEST)
BINARY(mul, "a * b", infer_arithmetic, sample_two, GR_WIDEST)
BINARY(div, "a / b", infer_float_pair, sample_two_positive, GR_WIDEST)
BINARY(pow, "a^b", infer_float_pair, sample_two_positive, GR_HIGH)
BINARY(min, "the smaller; NaN if either is", infer_arithmetic, sample_two, GR_WIDEST)
BINARY(max, "the larger; NaN if either is", infer_arithmetic, sample_two, GR_WIDEST)

#define COMPARE(op, text)                                                                                              \
    const gr_op gr_op_##op = {.name = #op,                                                                             \
                              .doc = text,                                                                             \
                              .inputs = 2,                                                                             \
                              .outputs = 1,                                                                            \
                              .flags = GR_OP_ELEMENTWISE,                                                              \
                              .precision = GR_WIDEST,                                                                  \
                              .infer = infer_comparison,                                                               \
                              .no_grad = "a comparison is constant almost everywhere",                                 \
                              .sample = sample_two};                                                                   \
    gr_tensor *gr_##op(gr_tensor *a, gr_tensor *b)                                                                     \
    {                                                                                                                  \
        return gr_binary(&gr_op_##op, a, b);                                                                           \
    }

COMPARE(eq, "a == b, bool")
COMPARE(ne, "a != b, bool")
COMPARE(lt, "a < b, bool")
COMPARE(le, "a <= b, bool")
COMPARE(gt, "a > b, bool")
COMPARE(ge, "a >= b, bool")

const gr_op gr_op_is_finite = {
    .name = "is_finite",
    .doc = "neither NaN nor infinite, bool",
    .inputs = 1,
    .outputs = 1,
    .flags = GR_OP_ELEMENTWISE,
    .precision = GR_WIDEST,
    .infer = infer_is_finite,
    .no_grad = "a comparison is constant almost everywhere",
    .sample = sample_any,
};

gr_tensor *gr_is_finite(gr_tensor *x)
{
    return gr_unary(&gr_op_is_finite, x);
}

const gr_op gr_op_select = {
    .name = "select",
    .doc = "condition ? a : b; condition bool, all broadcast",
    .inputs = 3,
    .outputs = 1,
    .flags = GR_OP_ELEMENTWISE,
    .precision = GR_WIDEST,
    .infer = infer_select,
    .grad = grad_select,
    .sample = sample_select,
};

gr_tensor *gr_select(gr_tensor *condition, gr_tensor *a, gr_tensor *b)
{
    return gr_ternary(&gr_op_select, condition, a, b);
}

GR_FLOPS_EACH(cost_cast, 0)

const gr_op gr_op_cast = {
    .name = "cast",
    .doc = "to another dtype: rounds to nearest even; to integers truncates, saturates, NaN gives 0; to bool x != 0",
    .inputs = 1,
    .outputs = 1,
    .attr_size = sizeof(gr_cast_attr),
    .flags = GR_OP_ELEMENTWISE | GR_OP_BLOCKS,
    .precision = GR_WIDEST,
    .infer = infer_cast,
    .grad = grad_cast,
    .sample = sample_cast,
    .cost = cost_cast,
};

gr_tensor *gr_cast(gr_tensor *x, gr_dtype dtype)
{
    if (!x || x->spec.dtype == dtype)
        return x;
    return gr_node(x->graph, &gr_op_cast, &x, 1, &(gr_cast_attr){dtype});
}

gr_tensor *gr_scale(gr_tensor *x, double factor)
{
    return gr_mul(x, gr_scalar_like(x, factor));
}

gr_tensor *gr_offset(gr_tensor *x, double term)
{
    return gr_add(x, gr_scalar_like(x, term));
}
