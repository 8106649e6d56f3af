/* Rotary position embedding (Su et al. 2021). */
#include "op/attr.h"
#include "op/op.h"

static gr_status infer_rope(const gr_tensor *node, gr_spec *out)
{
    const gr_spec *x = gr_in(node, 0), *pos = gr_in(node, 1), *freq = gr_in(node, 2);
    if (gr_expect_float(node, 0) != GR_OK || gr_expect_dtype(node, 1, GR_I64) != GR_OK ||
        gr_expect_dtype(node, 2, GR_F32) != GR_OK)
        return GR_ERR_ARGUMENT;
    bool own = freq->ndim == 2 && x->ndim == 4 && freq->shape[0] == x->shape[0];
    if (x->ndim != 4 || (freq->ndim != 1 && !own) || 2 * freq->shape[freq->ndim - 1] > x->shape[3])
        return gr_op_fail(node, "expected x [B,T,H,D] and inv_freq [R] or [B,R] with 2 R <= D");
    *out = *x;
    if (pos->ndim == 1)
        return gr_expect_shape(node, 1, 1, &x->shape[1]);
    return gr_expect_shape(node, 1, 2, x->shape);
}

/* scale times cos and sin of position · inv_freq: [B or 1, T, 1, R] */
static void angles(const gr_tensor *node, gr_tensor *const *in, gr_tensor **cosine, gr_tensor **sine)
{
    const gr_rope_attr *a = node->attr;
    gr_dtype acc = gr_accumulator(node->spec.dtype);
    gr_tensor *pos = gr_cast(in[1], acc), *freq = gr_cast(in[2], acc);
    for (int axis = pos ? pos->spec.ndim : 0; pos && pos->spec.ndim < 4; axis++)
        pos = pos->spec.ndim < 2 ? gr_unsqueeze(pos, 0) : gr_unsqueeze(pos, pos->spec.ndim);
    for (int i = 0; freq && in[2]->spec.ndim == 2 && i < 2; i++) /* [B, 1, 1, R] */
        freq = gr_unsqueeze(freq, 1);
    gr_tensor *angle = gr_mul(pos, freq);
    *cosine = gr_scale(gr_cos(angle), a->scale);
    *sine = gr_scale(gr_sin(angle), a->inverse ? -(double)a->scale : (double)a->scale);
}

/* The first 2R dims as pairs (u, w), turned to (u c - w s, w c + u s); the dims behind them stay. */
static gr_status compose_rope(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    bool interleaved = ((const gr_rope_attr *)node->attr)->interleaved;
    gr_tensor *x = gr_cast(in[0], gr_accumulator(node->spec.dtype)), *c, *s;
    angles(node, in, &c, &s);
    const int64_t *d = node->spec.shape;
    int64_t r = in[2]->spec.shape[in[2]->spec.ndim - 1], pairs[] = {d[0], d[1], d[2], r, 2},
            half[] = {d[0], d[1], d[2], r};
    gr_tensor *turning = gr_slice(x, 3, 0, 2 * r), *rest = gr_slice(x, 3, 2 * r, d[3]), *u, *w, *y;
    if (interleaved) {
        gr_tensor *p = gr_reshape(turning, 5, pairs);
        u = gr_reshape(gr_slice(p, 4, 0, 1), 4, half);
        w = gr_reshape(gr_slice(p, 4, 1, 2), 4, half);
    } else {
        u = gr_slice(turning, 3, 0, r);
        w = gr_slice(turning, 3, r, 2 * r);
    }
    gr_tensor *turned[] = {gr_sub(gr_mul(u, c), gr_mul(w, s)), gr_add(gr_mul(w, c), gr_mul(u, s))};
    if (interleaved) {
        gr_tensor *columns[] = {gr_unsqueeze(turned[0], 4), gr_unsqueeze(turned[1], 4)};
        y = gr_reshape(gr_concat(columns, 2, 4), 4, (int64_t[]){d[0], d[1], d[2], 2 * r});
    } else {
        y = gr_concat(turned, 2, 3);
    }
    gr_tensor *all[] = {y, rest};
    out[0] = gr_cast(gr_concat(all, 2, 3), node->spec.dtype);
    return gr_built(in[0], out[0]);
}

/* A rotation's transpose turns back. */
static gr_status grad_rope(gr_grad_args *a)
{
    gr_rope_attr back = *(const gr_rope_attr *)a->node->attr;
    back.inverse = !back.inverse;
    if (a->need[2])
        return gr_fail(GR_ERR_UNSUPPORTED, "rope: no gradient for inv_freq\nuse gr_detach on it");
    gr_tensor *in[] = {a->d_out[0], a->node->in[1], a->node->in[2]};
    a->d_in[0] = gr_node(a->node->graph, &gr_op_rope, in, 3, &back);
    return gr_built(a->node, a->d_in[0]);
}

static bool sample_rope(int i, gr_sample *s)
{
    static const struct {
        int64_t x[4], r;
        gr_rope_attr attr;
        bool own; /* frequencies for each b */
    } calls[] = {{{2, 3, 2, 8}, 4, {false, false, 1}, false},  {{2, 3, 2, 8}, 4, {true, false, 1.25f}, false},
                 {{1, 5, 3, 34}, 16, {false, true, 1}, false}, {{1, 5, 3, 34}, 16, {true, true, 1}, false},
                 {{2, 0, 2, 4}, 2, {false, false, 1}, false},  {{1, 1, 1, 64}, 32, {false, false, 0.5f}, false},
                 {{3, 2, 2, 12}, 5, {false, false, 1}, true},  {{2, 3, 1, 6}, 3, {true, false, 1}, true}};
    if (i >= (int)(sizeof calls / sizeof calls[0]))
        return false;
    gr_sample_float(s, -1, 1, 4, calls[i].x);
    if (i % 2)
        gr_sample_index(s, 0, 50, 1, &calls[i].x[1]);
    else
        gr_sample_index(s, 0, 50, 2, calls[i].x);
    gr_sample_f32(s, 0.01, 1, calls[i].own ? 2 : 1,
                  calls[i].own ? (int64_t[]){calls[i].x[0], calls[i].r} : &calls[i].r);
    *(gr_rope_attr *)(void *)s->attr.bytes = calls[i].attr;
    return true;
}

/* Of a pair that turns, four products and two sums. */
static void cost_rope(const gr_tensor *node, double *flops, double *bytes)
{
    const gr_spec *x = gr_in(node, 0), *pairs = gr_in(node, 2);
    (void)bytes;
    *flops = x->shape[3] ? 6.0 * (double)pairs->shape[pairs->ndim - 1] * (double)(gr_spec_count(x) / x->shape[3]) : 0;
}

const gr_op gr_op_rope = {
    .name = "rope",
    .doc =
        "x [B, T, H, D], positions i64 [B, T] or [T], inv_freq f32 [R] or [B, R]: pairs of the first 2R dims turned by "
        "position inv_freq[r], half-split (Hugging Face) or interleaved (Su et al. 2021)",
    .inputs = 3,
    .outputs = 1,
    .attr_size = sizeof(gr_rope_attr),
    .precision = GR_INSIDE,
    .uncast = 1u << 2,
    .infer = infer_rope,
    .grad = grad_rope,
    .compose = compose_rope,
    .sample = sample_rope,
    .cost = cost_rope,
};

gr_tensor *gr_rope(gr_tensor *x, gr_tensor *positions, gr_tensor *inv_freq, bool interleaved, float scale)
{
    gr_tensor *in[] = {x, positions, inv_freq};
    gr_rope_attr a = {interleaved, false, scale};
    return x && positions && inv_freq ? gr_node(x->graph, &gr_op_rope, in, 3, &a) : NULL;
}
