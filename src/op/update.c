/* Effects: what writes a store's tensors. What they give are the new versions, which gr_node describes. Optimizers are compositions of basic ops and assignments, so a backend
 * without a kernel for one still trains. */
#include "op/optimizer.h"

#include "base/dtype.h"
#include "base/sized.h"

#include <math.h>

static gr_status infer_assign(const gr_tensor *node, gr_spec *out)
{
    const gr_spec *p = gr_in(node, 0);
    if (gr_expect_dtype(node, 1, p->dtype) != GR_OK || gr_expect_shape(node, 1, p->ndim, p->shape) != GR_OK)
        return GR_ERR_ARGUMENT;
    (void)out;
    return GR_OK;
}

static gr_status infer_write_rows(const gr_tensor *node, gr_spec *out)
{
    const gr_spec *p = gr_in(node, 0), *v = gr_in(node, 1);
    int dims = gr_dtype_is_block(p->dtype) ? 3 : 2;
    bool same = p->ndim == v->ndim && p->ndim >= dims && (p->shape[0] == v->shape[0] || gr_in(node, 3));
    for (int i = 2; same && i < p->ndim; i++)
        same = p->shape[i] == v->shape[i];
    if (!same)
        return gr_op_fail(node, "expected param [B, S, ..] and value [B, T, ..]");
    if (gr_expect_dtype(node, 1, p->dtype) != GR_OK || gr_expect_dtype(node, 2, GR_I64) != GR_OK ||
        gr_expect_shape(node, 2, 2, v->shape) != GR_OK || gr_expect_dtype(node, 3, GR_I64) != GR_OK ||
        gr_expect_shape(node, 3, 1, v->shape) != GR_OK)
        return GR_ERR_ARGUMENT;
    (void)out;
    return GR_OK;
}

static bool sample_assign(int i, gr_sample *s)
{
    int ndim;
    const int64_t *shape;
    if (!gr_sample_shape(i, &ndim, &shape))
        return false;
    gr_sample_state(s, -1, 1, ndim, shape);
    gr_sample_float(s, -1, 1, ndim, shape);
    return true;
}

static bool sample_write_rows(int i, gr_sample *s)
{
    static const struct {
        int64_t sequences, value[4];
        bool given; /* which sequence each row goes to */
    } calls[] = {{2, {2, 4, 3, 5}, false}, {2, {2, 1, 3, 5}, false}, {4, {3, 2, 3, 5}, true}, {3, {1, 6, 3, 5}, true}};
    if (i >= (int)(sizeof calls / sizeof calls[0]))
        return false;
    gr_sample_state(s, -1, 1, GR_DIMS(calls[i].sequences, 9, 3, 5));
    gr_sample_float(s, -1, 1, 4, calls[i].value);
    gr_sample_index(s, -1, 9, 2, calls[i].value);
    if (calls[i].given)
        gr_sample_index(s, 0, calls[i].sequences, 1, calls[i].value);
    else
        gr_sample_absent(s);
    return true;
}

/* What is there before is not read. */
static void cost_assign(const gr_tensor *node, double *flops, double *bytes)
{
    const gr_spec *value = gr_in(node, 1);
    (void)flops;
    *bytes = 2 * (double)gr_dtype_size(value->dtype, gr_spec_count(value));
}

GR_FLOPS_EACH(cost_assign_add, 1)

const gr_op gr_op_assign = {
    .name = "assign",
    .doc = "param = value",
    .inputs = 2,
    .outputs = 1,
    .flags = GR_OP_EFFECT | GR_OP_BLOCKS,
    .writes = 1,
    .precision = GR_HIGH,
    .infer = infer_assign,
    .no_grad = GR_EFFECT_HAS_NO_GRADIENT,
    .sample = sample_assign,
    .cost = cost_assign,
};

const gr_op gr_op_assign_add = {
    .name = "assign_add",
    .doc = "param += value",
    .inputs = 2,
    .outputs = 1,
    .flags = GR_OP_EFFECT,
    .writes = 1,
    .precision = GR_HIGH,
    .infer = infer_assign,
    .no_grad = GR_EFFECT_HAS_NO_GRADIENT,
    .sample = sample_assign,
    .cost = cost_assign_add,
};

const gr_op gr_op_write_rows = {
    .name = "write_rows",
    .doc = "param [N,S,..], value [B,T,..], slot i64 [B,T], sequence i64 [B] (left out: b): param[sequence[b], "
           "slot[b,t]] = value[b,t], in the order of b and t; slot -1 writes nothing, one outside [-1, S) is an error "
           "at run time, as is a sequence outside [0, N)",
    .inputs = 4,
    .optional = 1u << 3,
    .outputs = 1,
    .flags = GR_OP_EFFECT | GR_OP_BLOCKS,
    .writes = 1,
    .precision = GR_HIGH,
    .infer = infer_write_rows,
    .no_grad = GR_EFFECT_HAS_NO_GRADIENT,
    .sample = sample_write_rows,
    .cost = cost_assign,
};

gr_tensor *gr_assign(gr_tensor *param, gr_tensor *value)
{
    return gr_binary(&gr_op_assign, param, value);
}

gr_tensor *gr_assign_add(gr_tensor *param, gr_tensor *value)
{
    return gr_binary(&gr_op_assign_add, param, value);
}

gr_tensor *gr_write_rows(gr_tensor *param, gr_tensor *value, gr_tensor *slot, gr_tensor *sequence)
{
    gr_tensor *in[] = {param, value, slot, sequence};
    return param && value && slot ? gr_node(param->graph, &gr_op_write_rows, in, 4, NULL) : NULL;
}

/* ---- optimizers --------------------------------------------------------------------------------------------- */

gr_status gr_check_step(const gr_tensor *node, int moments, int scalar, int n_scalars)
{
    const gr_spec *p = gr_in(node, 0);
    gr_status s = gr_expect_float(node, 0);
    for (int i = 1; s == GR_OK && i < 2 + moments; i++) {
        gr_dtype d = gr_in(node, 1)->dtype;
        bool is_low_grad = i == 1 && (d == GR_F16 || d == GR_BF16 || (d == GR_F32 && p->dtype == GR_BF16));
        s = is_low_grad ? GR_OK : gr_expect_dtype(node, i, p->dtype);
        if (s == GR_OK)
            s = gr_expect_shape(node, i, p->ndim, p->shape);
    }
    for (int i = scalar; s == GR_OK && i < scalar + n_scalars; i++) {
        s = gr_expect_dtype(node, i, GR_F32);
        if (s == GR_OK)
            s = gr_expect_shape(node, i, 0, NULL);
    }
    return s;
}

gr_tensor *gr_unless_skipped(gr_tensor *taken, gr_tensor *value, gr_tensor *old)
{
    return taken ? gr_select(taken, value, old) : value;
}

gr_tensor *gr_scaled_grad(gr_tensor *grad, gr_dtype dtype, gr_tensor *scale)
{
    grad = gr_cast(grad, dtype);
    return scale ? gr_mul(grad, gr_cast(scale, grad->spec.dtype)) : grad;
}

enum { PARAM, GRAD, VELOCITY, SGD_LR, SGD_SCALE, N_SGD };

static gr_status infer_sgd(const gr_tensor *node, gr_spec *out)
{
    const gr_sgd_attr *a = node->attr;
    if (a->momentum != 0 && !gr_in(node, VELOCITY))
        return gr_op_fail(node, "momentum needs a velocity");
    (void)out;
    return gr_check_step(node, 1, SGD_LR, 2);
}

void gr_sample_grad_scale(int i, gr_sample *s)
{
    if (i == 1)
        gr_sample_absent(s);
    else
        gr_sample_f32(s, 0.5, 1, 0, NULL);
}

static gr_status compose_sgd(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    const gr_sgd_attr *a = node->attr;
    gr_tensor *p = in[PARAM], *v = in[VELOCITY], *scale = node->n_in > SGD_SCALE ? in[SGD_SCALE] : NULL;
    gr_tensor *taken = scale ? gr_is_finite(scale) : NULL;
    gr_tensor *g = gr_add(gr_scaled_grad(in[GRAD], p->spec.dtype, scale), gr_scale(p, a->weight_decay));
    gr_tensor *dir = v ? gr_add(gr_scale(v, a->momentum), g) : g;
    gr_tensor *next = gr_sub(p, gr_mul(dir, gr_cast(in[SGD_LR], p->spec.dtype)));
    gr_tensor *next_v = v ? gr_unless_skipped(taken, dir, v) : NULL;
    out[0] = gr_assign(p, gr_unless_skipped(taken, next, p));
    out[1] = v ? gr_assign(v, next_v) : gr_fill(p->graph, GR_U8, 1, (const int64_t[]){0}, 0);
    return gr_built(p, out[1]);
}

void gr_sample_low_grad(gr_sample *s, gr_dtype dtype)
{
    s->in[GRAD].is_float = false;
    s->in[GRAD].spec.dtype = dtype;
}

static bool sample_sgd(int i, gr_sample *s)
{
    static const int64_t n[] = {1, 37, 5000, 0, 5000};
    if (i >= 5)
        return false;
    *(gr_sgd_attr *)(void *)s->attr.bytes = (gr_sgd_attr){i ? 0.9f : 0, 0.01f};
    gr_sample_state(s, -1, 1, 1, &n[i]);
    gr_sample_float(s, -1, 1, 1, &n[i]);
    if (i == 4)
        gr_sample_low_grad(s, GR_F16);
    if (i)
        gr_sample_state(s, -1, 1, 1, &n[i]);
    else
        gr_sample_absent(s);
    gr_sample_f32(s, 0.01, 0.1, 0, NULL);
    gr_sample_grad_scale(i, s);
    return true;
}

/* With all that they may be asked for: clipping 1, decay 2, momentum 2, the step 2; AdamW's moments take 7, its step 7. */
GR_FLOPS_EACH(cost_sgd, 7)
GR_FLOPS_EACH(cost_adamw, 15)

const gr_op gr_op_sgd = {
    .name = "sgd",
    .doc = "param, grad, velocity, lr, grad_scale: g = grad grad_scale + weight_decay param; velocity = momentum "
           "velocity + g; param -= lr velocity (torch.optim.SGD); a grad_scale that is not finite skips the step",
    .inputs = N_SGD,
    .optional = 1u << VELOCITY | 1u << SGD_SCALE,
    .outputs = 2,
    .attr_size = sizeof(gr_sgd_attr),
    .flags = GR_OP_EFFECT,
    .writes = 1u << PARAM | 1u << VELOCITY,
    .precision = GR_HIGH,
    .uncast = 1u << GRAD,
    .infer = infer_sgd,
    .no_grad = GR_EFFECT_HAS_NO_GRADIENT,
    .compose = compose_sgd,
    .sample = sample_sgd,
    .cost = cost_sgd,
};

gr_tensor *gr_sgd(gr_tensor *param, gr_tensor *grad, gr_tensor *velocity, gr_tensor *lr, gr_tensor *grad_scale,
                  float momentum, float weight_decay)
{
    gr_tensor *in[] = {param, grad, velocity, lr, grad_scale};
    return param && grad && lr ? gr_node(param->graph, &gr_op_sgd, in, N_SGD, &(gr_sgd_attr){momentum, weight_decay})
                               : NULL;
}

enum { M = 2, SECOND, LR, STEP, SCALE, N_ADAMW };

/* Moments of bf16, which are rounded at random, as a parameter of bf16 is. */
static bool is_narrow(const gr_tensor *node)
{
    return gr_in(node, M)->dtype == GR_BF16 && gr_in(node, SECOND)->dtype == GR_BF16;
}

static gr_status infer_adamw(const gr_tensor *node, gr_spec *out)
{
    const gr_spec *p = gr_in(node, PARAM);
    bool narrow = is_narrow(node), is_low = gr_in(node, PARAM)->dtype == GR_BF16;
    gr_status s = gr_check_step(node, narrow || is_low ? 0 : 2, LR, 1);
    for (int i = M; s == GR_OK && i <= SECOND; i++) {
        s = gr_expect_shape(node, i, p->ndim, p->shape);
        if (s == GR_OK && is_low && !narrow)
            s = gr_expect_dtype(node, i, GR_F32);
    }
    if (s == GR_OK)
        s = gr_expect_dtype(node, STEP, GR_I64);
    if (s == GR_OK)
        s = gr_expect_shape(node, STEP, 0, NULL);
    if (s == GR_OK)
        s = gr_check_step(node, 0, SCALE, 1);
    (void)out;
    return s;
}

gr_tensor *gr_bias_correction(gr_tensor *step, float beta)
{
    gr_tensor *power = gr_exp(gr_scale(step, log((double)beta)));
    return gr_sub(gr_scalar_like(step, 1), beta > 0 ? power : gr_scalar_like(step, 0));
}

/* x by a factor near 1, in bf16: so that it is the next number, which is 1/256 to 1/128 away. */
static gr_tensor *neighbour(gr_tensor *x, double factor)
{
    return gr_cast(gr_cast(gr_scale(x, factor), GR_BF16), x->spec.dtype);
}

/* Between x's neighbours `low`, nearer to 0, and `high`: high as often as x is near it, by how far u of the way reaches
 * beyond it. */
gr_tensor *gr_rounded_at_random(gr_tensor *x, gr_tensor *step, uint32_t stream)
{
    if (!x)
        return NULL;
    gr_tensor *near = neighbour(x, 1), *u = gr_uniform(step, stream, x->spec.dtype, x->spec.ndim, x->spec.shape);
    gr_tensor *low = gr_select(gr_lt(gr_abs(x), gr_abs(near)), neighbour(near, 1 - 1.1 / 256), near);
    gr_tensor *high = neighbour(low, 1 + 0.75 / 128), *way = gr_abs(gr_sub(high, low));
    gr_tensor *reached = gr_add(gr_abs(gr_sub(x, low)), gr_mul(u, way));
    return gr_cast(gr_select(gr_lt(reached, way), low, high), GR_BF16);
}

static gr_status compose_adamw(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    const gr_adamw_options *o = node->attr;
    gr_tensor *p = in[PARAM], *m = in[M], *v = in[SECOND], *scale = node->n_in > SCALE ? in[SCALE] : NULL;
    bool narrow = is_narrow(node);
    bool is_low = p->spec.dtype == GR_BF16;
    gr_dtype dtype = narrow || is_low ? gr_accumulator(p->spec.dtype) : p->spec.dtype;
    gr_tensor *taken = scale ? gr_is_finite(scale) : NULL, *p0 = gr_cast(p, dtype);
    gr_tensor *g = gr_scaled_grad(in[GRAD], dtype, scale);
    gr_tensor *lr = gr_cast(in[LR], dtype), *step = gr_cast(in[STEP], dtype);
    gr_tensor *m1 = gr_add(gr_scale(gr_cast(m, dtype), o->beta1), gr_scale(g, 1 - (double)o->beta1));
    gr_tensor *v1 = gr_add(gr_scale(gr_cast(v, dtype), o->beta2), gr_scale(gr_mul(g, g), 1 - (double)o->beta2));
    gr_tensor *root = gr_sqrt(gr_div(v1, gr_bias_correction(step, o->beta2)));
    gr_tensor *update = gr_div(gr_div(m1, gr_bias_correction(step, o->beta1)), gr_offset(root, o->eps));
    gr_tensor *decayed = gr_sub(p0, gr_mul(p0, gr_scale(lr, o->weight_decay)));
    gr_tensor *p1 = gr_sub(decayed, gr_mul(lr, update));
    p1 = is_low ? gr_rounded_at_random(p1, in[STEP], GR_PARAM_STREAM | o->stream) : gr_cast(p1, p->spec.dtype);
    m1 = narrow ? gr_rounded_at_random(m1, in[STEP], 2 * o->stream) : m1;
    v1 = narrow ? gr_rounded_at_random(v1, in[STEP], 2 * o->stream + 1) : v1;
    out[0] = gr_assign(p, gr_unless_skipped(taken, p1, p));
    out[1] = gr_assign(m, gr_unless_skipped(taken, m1, m));
    out[2] = gr_assign(v, gr_unless_skipped(taken, v1, v));
    return gr_built(p, out[2]);
}

/* A moment: as the parameter, or bf16. */
static void sample_moment(gr_sample *s, bool narrow, double low, int64_t n)
{
    gr_sample_state(s, low, 1, 1, &n);
    s->in[s->n_in - 1].is_float = !narrow;
    s->in[s->n_in - 1].spec.dtype = narrow ? GR_BF16 : GR_F32;
}

static bool sample_adamw(int i, gr_sample *s)
{
    static const int64_t n[] = {1, 37, 5000, 0, 37, 5000, 5000, 5000};
    if (i >= 8)
        return false;
    *(gr_adamw_options *)(void *)s->attr.bytes =
        (gr_adamw_options){sizeof(gr_adamw_options), 0.9f, 0.95f, 1e-4f, 0.1f, (uint32_t)i};
    gr_sample_state(s, -1, 1, 1, &n[i]);
    gr_sample_float(s, -1, 1, 1, &n[i]);
    if (i >= 6)
        gr_sample_low_grad(s, i == 6 ? GR_F16 : GR_BF16);
    sample_moment(s, i == 4 || i == 5 || i == 7, -1, n[i]);
    sample_moment(s, i == 4 || i == 5 || i == 7, 0.1, n[i]);
    gr_sample_f32(s, 0.001, 0.1, 0, NULL);
    gr_sample_index(s, 1, 20, 0, NULL);
    gr_sample_grad_scale(i, s);
    return true;
}

const gr_op gr_op_adamw = {
    .name = "adamw",
    .doc = "param, grad, m, v, lr, step, grad_scale: g = grad grad_scale; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; "
           "param -= lr weight_decay param + lr (m / (1-b1^step)) / (sqrt(v / (1-b2^step)) + eps) (Loshchilov & Hutter "
           "2019, torch.optim.AdamW); m and v as param, or bf16 rounded up or down at random, so that their mean is "
           "right, as a param of bf16 is, whose m and v are f32 or bf16, by "
           "Philox's streams of step, `stream` and element; a grad_scale that is not finite skips the step",
    .inputs = N_ADAMW,
    .optional = 1u << SCALE,
    .outputs = 3,
    .attr_size = sizeof(gr_adamw_options),
    .flags = GR_OP_EFFECT | GR_OP_ROUNDS,
    .writes = 1u << PARAM | 1u << M | 1u << SECOND,
    .precision = GR_HIGH,
    .uncast = 1u << GRAD,
    .infer = infer_adamw,
    .no_grad = GR_EFFECT_HAS_NO_GRADIENT,
    .compose = compose_adamw,
    .sample = sample_adamw,
    .cost = cost_adamw,
};

gr_tensor *gr_adamw(gr_tensor *param, gr_tensor *grad, gr_tensor *m, gr_tensor *v, gr_tensor *lr, gr_tensor *step,
                    gr_tensor *grad_scale, const gr_adamw_options *options)
{
    gr_adamw_options o;
    if (gr_lacks(options, "gr_adamw: options") || gr_take_sized(&o, sizeof o, options, "gr_adamw_options") != GR_OK)
        return NULL;
    gr_tensor *in[] = {param, grad, m, v, lr, step, grad_scale};
    return param && grad && m && v && lr && step ? gr_node(param->graph, &gr_op_adamw, in, N_ADAMW, &o) : NULL;
}

gr_tensor *gr_clip_factor(gr_tensor *norm, float max_norm)
{
    gr_tensor *factor = gr_div(gr_scalar_like(norm, max_norm), gr_offset(norm, 1e-6));
    factor = gr_min(factor, gr_scalar_like(norm, 1));
    return gr_select(gr_is_finite(norm), factor, gr_scalar_like(norm, NAN));
}
