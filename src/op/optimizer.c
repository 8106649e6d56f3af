/* Optimizers besides those of update.c: compositions of basic ops and assignments as they are there. */
#include "op/optimizer.h"

#include "base/dynamic8.h"

/* ---- lion --------------------------------------------------------------------------------------------------- */

enum { PARAM, GRAD, M, LION_LR, LION_SCALE, N_LION };

static gr_status infer_lion(const gr_tensor *node, gr_spec *out)
{
    (void)out;
    return gr_check_step(node, 1, LION_LR, 2);
}

/* 1, 0 or -1 */
static gr_tensor *sign(gr_tensor *x)
{
    gr_tensor *zero = gr_scalar_like(x, 0);
    gr_tensor *below = gr_select(gr_lt(x, zero), gr_scalar_like(x, -1), zero);
    return gr_select(gr_gt(x, zero), gr_scalar_like(x, 1), below);
}

static gr_tensor *between(gr_tensor *a, gr_tensor *b, float beta)
{
    return gr_add(gr_scale(a, beta), gr_scale(b, 1 - (double)beta));
}

static gr_status compose_lion(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    const gr_lion_attr *a = node->attr;
    gr_tensor *p = in[PARAM], *m = in[M], *scale = node->n_in > LION_SCALE ? in[LION_SCALE] : NULL;
    gr_tensor *taken = scale ? gr_is_finite(scale) : NULL;
    gr_tensor *g = gr_scaled_grad(in[GRAD], p->spec.dtype, scale), *lr = gr_cast(in[LION_LR], p->spec.dtype);
    gr_tensor *decayed = gr_sub(p, gr_mul(p, gr_scale(lr, a->weight_decay)));
    gr_tensor *p1 = gr_sub(decayed, gr_mul(lr, sign(between(m, g, a->beta1)))), *m1 = between(m, g, a->beta2);
    p1 = gr_unless_skipped(taken, p1, p);
    m1 = gr_unless_skipped(taken, m1, m);
    out[0] = gr_assign(p, p1);
    out[1] = gr_assign(m, m1);
    return gr_built(p, out[1]);
}

/* Rates are small: in 16 bits a sign near 0 may be another. */
static bool sample_lion(int i, gr_sample *s)
{
    static const int64_t n[] = {1, 37, 5000, 0};
    if (i >= 4)
        return false;
    *(gr_lion_attr *)(void *)s->attr.bytes = (gr_lion_attr){0.9f, 0.98f, 0.1f};
    gr_sample_state(s, -1, 1, 1, &n[i]);
    gr_sample_float(s, -1, 1, 1, &n[i]);
    gr_sample_state(s, -1, 1, 1, &n[i]);
    gr_sample_f32(s, 0.0005, 0.001, 0, NULL);
    gr_sample_grad_scale(i, s);
    return true;
}

/* Clipping 1, the direction 4, the step 3, the moment 3. */
GR_FLOPS_EACH(cost_lion, 11)

const gr_op gr_op_lion = {
    .name = "lion",
    .precision = GR_HIGH,
    .doc = "param, grad, m, lr, grad_scale: g = grad grad_scale; param -= lr weight_decay param + lr sign(b1 m + "
           "(1-b1) g); m = b2 m + (1-b2) g (Chen et al. 2023); a grad_scale that is not finite skips the step",
    .inputs = N_LION,
    .optional = 1u << LION_SCALE,
    .outputs = 2,
    .attr_size = sizeof(gr_lion_attr),
    .flags = GR_OP_EFFECT,
    .writes = 1u << PARAM | 1u << M,
    .uncast = 1u << GRAD,
    .infer = infer_lion,
    .no_grad = GR_EFFECT_HAS_NO_GRADIENT,
    .compose = compose_lion,
    .sample = sample_lion,
    .cost = cost_lion,
};

gr_tensor *gr_lion(gr_tensor *param, gr_tensor *grad, gr_tensor *m, gr_tensor *lr, gr_tensor *grad_scale,
                   const gr_lion_attr *attr)
{
    gr_tensor *in[] = {param, grad, m, lr, grad_scale};
    return param && grad && m && lr ? gr_node(param->graph, &gr_op_lion, in, N_LION, attr) : NULL;
}

/* ---- adafactor ---------------------------------------------------------------------------------------------- */

enum { ROW = 2, COLUMN, ADA_LR, ADA_STEP, ADA_SCALE, N_ADAFACTOR };

/* torch.optim.Adafactor's defaults */
static const double SMALLEST_RMS = 1e-3, DECAY_POWER = -0.8;

/* Of 2 dims or more there are means of rows [.., R, 1] and of columns [.., 1, C]. */
static gr_status infer_adafactor(const gr_tensor *node, gr_spec *out)
{
    const gr_spec *p = gr_in(node, PARAM);
    gr_spec row = *p, column = *p;
    bool is_factored = p->ndim >= 2;
    (void)out;
    if (is_factored != (gr_in(node, COLUMN) != NULL))
        return gr_op_fail(node, "a mean of columns belongs to parameters of 2 or more dims");
    gr_status s = gr_check_step(node, 0, ADA_LR, 1);
    if (s == GR_OK)
        s = gr_check_step(node, 0, ADA_SCALE, 1);
    for (int i = ROW; s == GR_OK && i <= COLUMN; i++)
        s = gr_expect_dtype(node, i, p->dtype);
    if (s == GR_OK)
        s = gr_expect_dtype(node, ADA_STEP, GR_I64);
    if (s == GR_OK)
        s = gr_expect_shape(node, ADA_STEP, 0, NULL);
    if (is_factored)
        row.shape[p->ndim - 1] = column.shape[p->ndim - 2] = 1;
    if (s == GR_OK)
        s = gr_expect_shape(node, ROW, row.ndim, row.shape);
    return s == GR_OK ? gr_expect_shape(node, COLUMN, column.ndim, column.shape) : s;
}

/* The square of the smallest root that is divided by: the dtype's epsilon. */
static double smallest_square(gr_dtype d)
{
    return d == GR_F64 ? 0x1p-104 : d == GR_F32 ? 0x1p-46 : d == GR_F16 ? 0x1p-20 : 0x1p-14;
}

static gr_tensor *mean_square(gr_tensor *x)
{
    return gr_mean(gr_mul(x, x), 0, false);
}

static gr_tensor *toward(gr_tensor *from, gr_tensor *to, gr_tensor *by)
{
    return gr_add(from, gr_mul(gr_sub(to, from), by));
}

/* How large squares of gradients have been, by rows and columns; *row and *column become the new means. */
static gr_tensor *estimate(gr_tensor *square, gr_tensor *fresh, gr_tensor **row, gr_tensor **column)
{
    int last = square ? square->spec.ndim - 1 : 0;
    if (!*column)
        return *row = toward(*row, square, fresh);
    *row = toward(*row, gr_mean(square, 1u << last, true), fresh);
    *column = toward(*column, gr_mean(square, 1u << (last - 1), true), fresh);
    gr_tensor *all = gr_mean(*row, 1u << (last - 1), true);
    return gr_div(gr_mul(*row, *column), gr_max(all, gr_scalar_like(all, smallest_square(square->spec.dtype))));
}

static gr_status compose_adafactor(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    const gr_adafactor_attr *a = node->attr;
    gr_tensor *p = in[PARAM], *row = in[ROW], *column = in[COLUMN];
    gr_tensor *scale = node->n_in > ADA_SCALE ? in[ADA_SCALE] : NULL, *taken = scale ? gr_is_finite(scale) : NULL;
    gr_dtype dtype = p->spec.dtype;
    gr_tensor *step = gr_cast(in[ADA_STEP], GR_F32), *lr = in[ADA_LR], *g = gr_scaled_grad(in[GRAD], dtype, scale);
    gr_tensor *fresh = gr_cast(gr_exp(gr_scale(gr_log(step), DECAY_POWER)), dtype);
    gr_tensor *square = gr_mul(g, g), *v = estimate(square, fresh, &row, &column);
    gr_tensor *update = gr_mul(g, gr_rsqrt(gr_max(v, gr_scalar_like(v, smallest_square(dtype)))));
    gr_tensor *rms = gr_sqrt(mean_square(p)), *large = gr_sqrt(mean_square(update));
    gr_tensor *rate = gr_cast(gr_min(lr, gr_rsqrt(step)), dtype);
    rate = gr_mul(rate, gr_max(rms, gr_scalar_like(rms, SMALLEST_RMS)));
    rate = gr_div(rate, gr_max(large, gr_scalar_like(large, 1)));
    gr_tensor *decayed = gr_sub(p, gr_mul(p, gr_scale(gr_cast(lr, dtype), a->weight_decay)));
    gr_tensor *p1 = gr_sub(decayed, gr_mul(update, rate));
    out[0] = gr_assign(p, gr_unless_skipped(taken, p1, p));
    out[1] = gr_assign(in[ROW], gr_unless_skipped(taken, row, in[ROW]));
    out[2] = column ? gr_assign(in[COLUMN], gr_unless_skipped(taken, column, in[COLUMN]))
                    : gr_fill(p->graph, GR_U8, 1, (const int64_t[]){0}, 0);
    return gr_built(p, out[2]);
}

static bool sample_adafactor(int i, gr_sample *s)
{
    static const struct {
        int ndim;
        int64_t shape[3];
    } calls[] = {{1, {1}},        {2, {5, 7}},    {1, {5000}},    {3, {2, 3, 33}},
                 {2, {300, 130}}, {2, {2, 2100}}, {2, {40, 130}}, {1, {40000}}};
    enum { LOW_GRAD = 6 };
    if (i >= (int)(sizeof calls / sizeof calls[0]))
        return false;
    int ndim = calls[i].ndim, last = ndim - 1;
    const int64_t *shape = calls[i].shape;
    int64_t row[3] = {shape[0], shape[1], shape[2]}, column[3] = {shape[0], shape[1], shape[2]};
    *(gr_adafactor_attr *)(void *)s->attr.bytes = (gr_adafactor_attr){0.1f};
    if (ndim > 1)
        row[last] = column[last - 1] = 1;
    gr_sample_state(s, -1, 1, ndim, shape);
    gr_sample_float(s, -1, 1, ndim, shape);
    if (i >= LOW_GRAD)
        gr_sample_low_grad(s, i == LOW_GRAD ? GR_F16 : GR_BF16);
    gr_sample_state(s, 0.1, 1, ndim, row);
    if (ndim > 1)
        gr_sample_state(s, 0.1, 1, ndim, column);
    else
        gr_sample_absent(s);
    gr_sample_f32(s, 0.001, 0.1, 0, NULL);
    gr_sample_index(s, 1, 20, 0, NULL);
    gr_sample_grad_scale(i, s);
    return true;
}

/* Clipping 1, squares and their sums 5, what is subtracted and its size 6, the step 3. */
GR_FLOPS_EACH(cost_adafactor, 15)

const gr_op gr_op_adafactor = {
    .name = "adafactor",
    .precision = GR_HIGH,
    .doc =
        "param [.., R, C], grad, row [.., R, 1], column [.., 1, C], lr, step, grad_scale: g = grad grad_scale; f = "
        "step^-0.8; row += f (mean of g^2 in each row - row), column the same; u = g / sqrt(row column / mean(row)); "
        "param -= lr weight_decay param + min(lr, 1/sqrt(step)) max(1e-3, rms(param)) u / max(1, rms(u)); of fewer "
        "dims row is g^2's mean for each element, without column (Shazeer & Stern 2018, torch.optim.Adafactor); a "
        "grad_scale that is not finite skips the step",
    .inputs = N_ADAFACTOR,
    .optional = 1u << COLUMN | 1u << ADA_SCALE,
    .outputs = 3,
    .attr_size = sizeof(gr_adafactor_attr),
    .flags = GR_OP_EFFECT,
    .writes = 1u << PARAM | 1u << ROW | 1u << COLUMN,
    .uncast = 1u << GRAD,
    .infer = infer_adafactor,
    .no_grad = GR_EFFECT_HAS_NO_GRADIENT,
    .compose = compose_adafactor,
    .sample = sample_adafactor,
    .cost = cost_adafactor,
};

gr_tensor *gr_adafactor(gr_tensor *param, gr_tensor *grad, gr_tensor *row, gr_tensor *column, gr_tensor *lr,
                        gr_tensor *step, gr_tensor *grad_scale, const gr_adafactor_attr *attr)
{
    gr_tensor *in[] = {param, grad, row, column, lr, step, grad_scale};
    return param && grad && row && lr && step ? gr_node(param->graph, &gr_op_adafactor, in, N_ADAFACTOR, attr) : NULL;
}

/* ---- muon --------------------------------------------------------------------------------------------------- */

enum { MUON_LR = 3, MUON_SCALE, N_MUON };

static gr_status infer_muon(const gr_tensor *node, gr_spec *out)
{
    (void)out;
    if (gr_in(node, PARAM)->ndim != 2)
        return gr_op_fail(node, "needs a matrix");
    return gr_check_step(node, 1, MUON_LR, 2);
}

static gr_tensor *wide(gr_tensor *x)
{
    return gr_cast(x, GR_F32);
}

static gr_tensor *rounded(gr_tensor *x)
{
    return gr_cast(x, GR_BF16);
}

/* Of what is bf16: by the device's instructions for that, where it has some. */
static gr_tensor *product(gr_tensor *a, gr_tensor *b, bool transpose_a, bool transpose_b, gr_dtype result)
{
    gr_tensor *in[] = {a, b};
    gr_matmul_attr t = {transpose_a, transpose_b, .says = true, .result = result, .rounds = true};
    return a && b ? gr_node(a->graph, &gr_op_matmul, in, 2, &t) : NULL;
}

/* x with all singular values near 1, by five steps of a Newton-Schulz iteration as torch.optim.Muon takes them, in bf16
 * with sums that are wide: x = a x + (b g + c g^2) x with g = x x^T, the smaller of both products. */
static gr_tensor *orthogonal(gr_tensor *x)
{
    static const double a = 3.4445, b = -4.775, c = 2.0315, least = 1e-7;
    enum { STEPS = 5 };
    bool tall = x && x->spec.shape[0] > x->spec.shape[1];
    x = rounded(x);
    gr_tensor *norm = rounded(gr_sqrt(gr_sum(gr_mul(wide(x), wide(x)), 0, false)));
    x = rounded(gr_div(wide(x), gr_max(wide(norm), gr_scalar_like(wide(norm), least))));
    for (int i = 0; i < STEPS; i++) {
        gr_tensor *gram = product(x, x, tall, !tall, GR_BF16), *square = product(gram, gram, false, false, GR_F32);
        gr_tensor *update = rounded(gr_add(gr_scale(wide(gram), b), gr_scale(square, c)));
        gr_tensor *turned = product(tall ? x : update, tall ? update : x, false, tall, GR_F32);
        x = rounded(gr_add(gr_scale(wide(x), a), turned));
    }
    return x;
}

static gr_status compose_muon(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    const gr_muon_attr *a = node->attr;
    gr_tensor *p = in[PARAM], *m = in[M], *scale = node->n_in > MUON_SCALE ? in[MUON_SCALE] : NULL;
    gr_tensor *taken = scale ? gr_is_finite(scale) : NULL;
    gr_dtype dtype = p->spec.dtype, sums = gr_accumulator(dtype);
    gr_tensor *g = gr_scaled_grad(in[GRAD], sums, scale), *before = gr_cast(m, sums);
    gr_tensor *m1 = between(before, g, a->momentum), *way = gr_cast(orthogonal(between(m1, g, a->momentum)), dtype);
    gr_tensor *lr = gr_cast(gr_scale(in[MUON_LR], a->lr_scale), dtype);
    way = gr_mul(way, gr_scale(lr, a->adjust));
    gr_tensor *p1 = gr_sub(gr_sub(p, gr_mul(p, gr_scale(lr, a->weight_decay))), way);
    out[0] = gr_assign(p, gr_unless_skipped(taken, p1, p));
    out[1] = gr_assign(m, gr_unless_skipped(taken, gr_cast(m1, dtype), m));
    return gr_built(p, out[1]);
}

/* Rates are tiny: where bf16 is rounded to may hang on the last bit of a sum. tests/op_golden_test.c has real ones. */
static bool sample_muon(int i, gr_sample *s)
{
    static const int64_t shapes[][2] = {{5, 7}, {7, 5}, {1, 1}, {33, 64}};
    if (i >= (int)(sizeof shapes / sizeof shapes[0]))
        return false;
    *(gr_muon_attr *)(void *)s->attr.bytes = (gr_muon_attr){0.95f, 0.1f, 1, 0.2f};
    gr_sample_state(s, -1, 1, 2, shapes[i]);
    gr_sample_float(s, -1, 1, 2, shapes[i]);
    gr_sample_state(s, -1, 1, 2, shapes[i]);
    gr_sample_f32(s, 1e-6, 1e-5, 0, NULL);
    gr_sample_grad_scale(i, s);
    return true;
}

const gr_op gr_op_muon = {
    .name = "muon",
    .precision = GR_HIGH,
    .doc =
        "param [R, C], grad, m, lr, grad_scale: g = grad grad_scale; m = momentum m + (1-momentum) g; u = momentum m + "
        "(1-momentum) g with its singular values brought near 1 by five Newton-Schulz steps in bf16; r = lr_scale lr; "
        "param -= r weight_decay param + r adjust u (Jordan et al. 2024, torch.optim.Muon); a grad_scale that is not "
        "finite skips the step",
    .inputs = N_MUON,
    .optional = 1u << MUON_SCALE,
    .outputs = 2,
    .attr_size = sizeof(gr_muon_attr),
    .flags = GR_OP_EFFECT,
    .writes = 1u << PARAM | 1u << M,
    .uncast = 1u << GRAD,
    .infer = infer_muon,
    .no_grad = GR_EFFECT_HAS_NO_GRADIENT,
    .compose = compose_muon,
    .sample = sample_muon,
};

gr_tensor *gr_muon(gr_tensor *param, gr_tensor *grad, gr_tensor *m, gr_tensor *lr, gr_tensor *grad_scale,
                   const gr_muon_attr *attr)
{
    gr_tensor *in[] = {param, grad, m, lr, grad_scale};
    return param && grad && m && lr ? gr_node(param->graph, &gr_op_muon, in, N_MUON, attr) : NULL;
}

/* ---- adamw8bit ---------------------------------------------------------------------------------------------- */

enum { CODES1 = 2, ABSMAX1, CODES2, ABSMAX2, A8_LR, A8_STEP, A8_SCALE, N_A8 };

static gr_status infer_adamw8bit(const gr_tensor *node, gr_spec *out)
{
    const gr_spec *p = gr_in(node, PARAM);
    const int64_t blocks = (gr_spec_count(p) + GR_DYNAMIC8_BLOCK - 1) / GR_DYNAMIC8_BLOCK;
    gr_status s = gr_check_step(node, 0, A8_LR, 1);
    (void)out;
    if (s == GR_OK)
        s = gr_check_step(node, 0, A8_SCALE, 1);
    for (int i = CODES1; s == GR_OK && i <= ABSMAX2; i++) {
        bool is_code = i == CODES1 || i == CODES2;
        s = gr_expect_dtype(node, i, is_code ? GR_U8 : GR_F32);
        if (s == GR_OK)
            s = is_code ? gr_expect_shape(node, i, p->ndim, p->shape) : gr_expect_shape(node, i, 1, &blocks);
    }
    if (s == GR_OK)
        s = gr_expect_dtype(node, A8_STEP, GR_I64);
    return s == GR_OK ? gr_expect_shape(node, A8_STEP, 0, NULL) : s;
}

/* Values of x as rows of a block each, zeros behind them; and back. */
static gr_tensor *to_blocks(gr_tensor *x)
{
    int64_t n = x ? gr_tensor_count(x) : 0, blocks = (n + GR_DYNAMIC8_BLOCK - 1) / GR_DYNAMIC8_BLOCK;
    gr_tensor *flat = gr_pad(gr_reshape(x, 1, &n), 0, 0, blocks * GR_DYNAMIC8_BLOCK - n, 0);
    return gr_reshape(flat, 2, (int64_t[]){blocks, GR_DYNAMIC8_BLOCK});
}

static gr_tensor *from_blocks(gr_tensor *x, const gr_spec *like)
{
    int64_t all = x ? gr_tensor_count(x) : 0;
    return gr_reshape(gr_slice(gr_reshape(x, 1, &all), 0, 0, gr_spec_count(like)), like->ndim, like->shape);
}

/* 256 numbers, and the middles between them (the last is beyond all), as tables to look up in. */
static void tables(gr_graph *g, bool is_signed, gr_dtype dtype, gr_tensor **map, gr_tensor **middle)
{
    float values[GR_DYNAMIC8_CODES], middles[GR_DYNAMIC8_CODES];
    gr_dynamic8_map(is_signed, values, middles);
    *map = gr_cast(gr_constant(g, GR_F32, 1, (int64_t[]){GR_DYNAMIC8_CODES}, values), dtype);
    *middle = gr_cast(gr_constant(g, GR_F32, 1, (int64_t[]){GR_DYNAMIC8_CODES}, middles), dtype);
}

static gr_tensor *decoded(gr_tensor *codes, gr_tensor *absmax, bool is_signed, gr_dtype dtype)
{
    gr_tensor *map, *middle;
    if (!codes)
        return NULL;
    tables(codes->graph, is_signed, dtype, &map, &middle);
    return gr_mul(to_blocks(gr_gather(map, gr_cast(codes, GR_I32))), gr_cast(gr_unsqueeze(absmax, 1), dtype));
}

/* The number of middles below x, by bisection: the code of the nearest number. One below 0 stays below 0. */
static gr_tensor *encoded(gr_tensor *x, gr_tensor *absmax, bool is_signed)
{
    gr_tensor *map, *middle;
    if (!x || !absmax)
        return NULL;
    tables(x->graph, is_signed, x->spec.dtype, &map, &middle);
    gr_tensor *some = gr_gt(absmax, gr_scalar_like(absmax, 0));
    x = gr_div(x, gr_select(some, absmax, gr_scalar_like(absmax, 1)));
    gr_tensor *code = gr_fill(x->graph, GR_I32, x->spec.ndim, x->spec.shape, 0);
    for (int half = GR_DYNAMIC8_CODES / 2; half > 0; half /= 2) {
        gr_tensor *is_above = gr_gt(x, gr_gather(middle, gr_offset(code, half - 1)));
        code = gr_select(is_above, gr_offset(code, half), code);
    }
    if (!is_signed)
        return code;
    gr_tensor *zero = gr_scalar_like(x, 0), *lost = gr_ge(gr_gather(map, code), zero);
    gr_tensor *below = gr_select(gr_lt(x, zero), gr_offset(code, -1), code);
    return gr_select(lost, below, code);
}

static gr_tensor *largest(gr_tensor *blocks)
{
    return gr_reduce_max(gr_abs(blocks), 1u << 1, true);
}

/* The new codes and absmax of a moment, as blocks. */
static void keep8(gr_tensor *const *in, int which, gr_tensor *value, gr_tensor *taken, gr_tensor **out)
{
    gr_tensor *codes = in[which], *absmax = in[which + 1], *most = largest(value);
    gr_tensor *code = gr_cast(from_blocks(encoded(value, most, which == CODES1), &codes->spec), GR_U8);
    gr_tensor *now = gr_cast(gr_reshape(most, 1, absmax->spec.shape), GR_F32);
    out[which - 1] = gr_assign(codes, gr_unless_skipped(taken, code, codes));
    out[which] = gr_assign(absmax, gr_unless_skipped(taken, now, absmax));
}

static gr_status compose_adamw8bit(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    const gr_adamw8bit_attr *a = node->attr;
    gr_tensor *p = in[PARAM], *scale = node->n_in > A8_SCALE ? in[A8_SCALE] : NULL;
    gr_tensor *taken = scale ? gr_is_finite(scale) : NULL;
    gr_dtype dtype = gr_accumulator(p->spec.dtype);
    gr_tensor *g = gr_scaled_grad(in[GRAD], dtype, scale), *p0 = gr_cast(p, dtype);
    gr_tensor *lr = gr_cast(in[A8_LR], dtype), *step = gr_cast(in[A8_STEP], dtype), *blocks = to_blocks(g);
    gr_tensor *m = between(decoded(in[CODES1], in[ABSMAX1], true, dtype), blocks, a->beta1);
    gr_tensor *v = between(decoded(in[CODES2], in[ABSMAX2], false, dtype), gr_mul(blocks, blocks), a->beta2);
    gr_tensor *root = gr_sqrt(gr_div(v, gr_bias_correction(step, a->beta2)));
    gr_tensor *way = gr_div(gr_div(m, gr_bias_correction(step, a->beta1)), gr_offset(root, a->eps));
    gr_tensor *decayed = gr_sub(p0, gr_mul(p0, gr_scale(lr, a->weight_decay)));
    gr_tensor *p1 = gr_sub(decayed, gr_mul(lr, from_blocks(way, &p->spec)));
    p1 = p->spec.dtype == GR_BF16 ? gr_rounded_at_random(p1, in[A8_STEP], GR_PARAM_STREAM | a->stream)
                                  : gr_cast(p1, p->spec.dtype);
    out[0] = gr_assign(p, gr_unless_skipped(taken, p1, p));
    keep8(in, CODES1, m, taken, out);
    keep8(in, CODES2, v, taken, out);
    return gr_built(p, out[4]);
}

static bool sample_adamw8bit(int i, gr_sample *s)
{
    static const int64_t shapes[][2] = {{1, 1}, {5, 60}, {4, 64}, {3, 300}};
    if (i >= (int)(sizeof shapes / sizeof shapes[0]))
        return false;
    int64_t blocks = (shapes[i][0] * shapes[i][1] + GR_DYNAMIC8_BLOCK - 1) / GR_DYNAMIC8_BLOCK;
    *(gr_adamw8bit_attr *)(void *)s->attr.bytes = (gr_adamw8bit_attr){0.9f, 0.95f, 1e-4f, 0.1f, (uint32_t)i};
    gr_sample_state(s, -1, 1, 2, shapes[i]);
    gr_sample_float(s, -1, 1, 2, shapes[i]);
    for (int k = 0; k < 2; k++) {
        gr_sample_state(s, k ? 200 : 0, 256, 2,
                        shapes[i]); /* the second moment is not small beside the gradient's square */
        s->in[s->n_in - 1].spec.dtype = GR_U8;
        s->in[s->n_in - 1].fill = GR_FILL_INTEGER;
        s->in[s->n_in - 1].is_float = false;
        gr_sample_state(s, 0.1, 1, 1, &blocks);
        s->in[s->n_in - 1].is_float = false;
    }
    gr_sample_f32(s, 0.001, 0.1, 0, NULL);
    gr_sample_index(s, 1, 20, 0, NULL);
    gr_sample_grad_scale(i, s);
    return true;
}

/* AdamW's, and for each moment a product, a quotient and eight comparisons. */
GR_FLOPS_EACH(cost_adamw8bit, 35)

const gr_op gr_op_adamw8bit = {
    .name = "adamw8bit",
    .precision = GR_HIGH,
    .doc =
        "param, grad, codes u8 and absmax f32 [blocks] of m, the same of v, lr, step, grad_scale: adamw with moments "
        "in 8 "
        "bits: of every 256 values in a row the largest as it is, and each as the nearest of 256 numbers times that, "
        "which lie closer the smaller they are, signed for m (Dettmers et al. 2022, block-wise dynamic quantization as "
        "bitsandbytes has it); a param of bf16 is rounded as adamw's; the step is computed with the moments before "
        "they are rounded",
    .inputs = N_A8,
    .optional = 1u << A8_SCALE,
    .outputs = 5,
    .attr_size = sizeof(gr_adamw8bit_attr),
    .flags = GR_OP_EFFECT | GR_OP_ROUNDS,
    .writes = 1u << PARAM | 1u << CODES1 | 1u << ABSMAX1 | 1u << CODES2 | 1u << ABSMAX2,
    .uncast = 1u << GRAD,
    .infer = infer_adamw8bit,
    .no_grad = GR_EFFECT_HAS_NO_GRADIENT,
    .compose = compose_adamw8bit,
    .sample = sample_adamw8bit,
    .cost = cost_adamw8bit,
};

gr_tensor *gr_adamw8bit(gr_tensor *param, gr_tensor *grad, const gr_moments8 *moments, gr_tensor *lr, gr_tensor *step,
                        gr_tensor *grad_scale, const gr_adamw8bit_attr *attr)
{
    gr_tensor *in[] = {param, grad, moments->codes1, moments->absmax1, moments->codes2, moments->absmax2,
                       lr,    step, grad_scale};
    for (int i = 0; i < A8_SCALE; i++)
        if (!in[i])
            return NULL;
    return gr_node(param->graph, &gr_op_adamw8bit, in, N_A8, attr);
}
