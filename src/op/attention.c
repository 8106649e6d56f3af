/* Attention: causal, grouped-query, windowed, over segments or a cache. Kernels never hold the T x S scores; the
 * compositions here, which define it, do. */
#include "op/attr.h"
#include "op/op.h"

#include "base/dtype.h"
#include "base/sized.h"

#include <math.h>

/* The gradient has its own inputs behind those that both take; it knows no SEQUENCE. */
enum { Q, K, V, Q_POS, K_POS, SEGMENT, N_BOTH };
enum { SEQUENCE = N_BOTH, N_FORWARD, OUT = N_BOTH, LSE, D_OUT, N_BACKWARD };

/* k and v are each what q is, or narrower, as caches are: of 16 bits, or of values that share blocks. */
static gr_status check_keys(const gr_tensor *node, int i)
{
    gr_dtype q = gr_in(node, Q)->dtype, d = gr_in(node, i)->dtype;
    if (gr_dtype_is_block(d))
        return GR_OK;
    if (gr_expect_float(node, i) != GR_OK)
        return GR_ERR_ARGUMENT;
    if (d != q && gr_dtype_width(d) >= gr_dtype_width(q))
        return gr_op_fail(node, "%s of %s is not narrower than q of %s", i == K ? "k" : "v", gr_dtype_name(d),
                          gr_dtype_name(q));
    return GR_OK;
}

static gr_status check_dtypes(const gr_tensor *node)
{
    gr_status s = gr_expect_float(node, Q);
    s = s == GR_OK ? check_keys(node, K) : s;
    return s == GR_OK ? check_keys(node, V) : s;
}

static gr_status check_attention(const gr_tensor *node, const gr_spec *sequence)
{
    const gr_attention_attr *a = node->attr;
    const gr_spec *q = gr_in(node, Q), *k = gr_in(node, K);
    if (check_dtypes(node) != GR_OK)
        return GR_ERR_ARGUMENT;
    if (q->ndim != 4 || k->ndim != 4 || (q->shape[0] != k->shape[0] && !sequence) || q->shape[3] != k->shape[3])
        return gr_op_fail(node, "expected q [B,T,H,D], k and v [B,S,G,D]");
    if (k->shape[2] < 1 || q->shape[2] % k->shape[2])
        return gr_op_fail(node, "%lld heads cannot share %lld key/value heads", (long long)q->shape[2],
                          (long long)k->shape[2]);
    if (a->window < 0 || (a->window && !a->causal))
        return gr_op_fail(node, "a window must be positive, and causal");
    gr_status s = gr_expect_shape(node, V, 4, k->shape);
    for (int i = Q_POS; s == GR_OK && i <= SEGMENT; i++) {
        s = gr_expect_dtype(node, i, GR_I64);
        if (s == GR_OK)
            s = gr_expect_shape(node, i, 2, i == K_POS ? k->shape : q->shape);
    }
    if (s == GR_OK && gr_in(node, SEGMENT) && q->shape[1] != k->shape[1])
        return gr_op_fail(node, "segments need as many keys as queries");
    return s;
}

static gr_status check_sequence(const gr_tensor *node)
{
    if (gr_in(node, SEQUENCE) && gr_in(node, SEGMENT))
        return gr_op_fail(node, "segments are of the tokens at hand, not of a cache's sequences");
    gr_status s = gr_expect_dtype(node, SEQUENCE, GR_I64);
    return s == GR_OK ? gr_expect_shape(node, SEQUENCE, 1, gr_in(node, Q)->shape) : s;
}

static gr_spec lse_spec(const gr_spec *q)
{
    int64_t shape[] = {q->shape[0], q->shape[2], q->shape[1]};
    return gr_spec_make(gr_accumulator(q->dtype), 3, shape);
}

static gr_status infer_attention(const gr_tensor *node, gr_spec *out)
{
    gr_status s = check_attention(node, gr_in(node, SEQUENCE));
    if (s == GR_OK)
        s = check_sequence(node);
    if (s != GR_OK)
        return s;
    out[0] = *gr_in(node, Q);
    out[1] = lse_spec(&out[0]);
    return GR_OK;
}

static gr_status infer_attention_grad(const gr_tensor *node, gr_spec *out)
{
    const gr_spec *q = gr_in(node, Q);
    gr_status s = check_attention(node, NULL);
    s = s == GR_OK ? gr_expect_dtype(node, V, gr_in(node, K)->dtype) : s;
    if (s != GR_OK)
        return s;
    gr_spec lse = lse_spec(q);
    if (gr_expect_shape(node, LSE, 3, lse.shape) != GR_OK || gr_expect_dtype(node, LSE, lse.dtype) != GR_OK)
        return GR_ERR_ARGUMENT;
    for (int i = OUT; i < N_BACKWARD; i++)
        if (i != LSE && (gr_expect_shape(node, i, 4, q->shape) != GR_OK || gr_expect_dtype(node, i, q->dtype) != GR_OK))
            return GR_ERR_ARGUMENT;
    out[0] = *q;
    out[1] = out[2] = *gr_in(node, K);
    return GR_OK;
}

/* ---- the definition ----------------------------------------------------------------------------------------- */

typedef struct dims {
    int64_t b, t, h, d, s, g, r; /* r: query heads of a key/value head */
} dims;

static dims dims_of(const gr_tensor *node)
{
    const int64_t *q = gr_in(node, Q)->shape, *k = gr_in(node, K)->shape;
    return (dims){q[0], q[1], q[2], q[3], k[1], k[2], q[2] / k[2]};
}

/* [B, T, H, D] to [B, G, R·T, D]: all rows that meet the same keys. And back. */
static gr_tensor *to_groups(gr_tensor *x, const dims *n)
{
    gr_tensor *split = gr_reshape(x, 5, (int64_t[]){n->b, n->t, n->g, n->r, n->d});
    gr_tensor *turned = gr_permute(split, (int[]){0, 2, 3, 1, 4});
    return gr_reshape(turned, 4, (int64_t[]){n->b, n->g, n->r * n->t, n->d});
}

static gr_tensor *from_groups(gr_tensor *x, const dims *n)
{
    gr_tensor *split = gr_reshape(x, 5, (int64_t[]){n->b, n->g, n->r, n->t, n->d});
    gr_tensor *turned = gr_permute(split, (int[]){0, 3, 1, 2, 4});
    return gr_reshape(turned, 4, (int64_t[]){n->b, n->t, n->h, n->d});
}

static gr_tensor *both(gr_tensor *a, gr_tensor *b)
{
    return !a ? b : gr_select(a, b, gr_scalar_like(a, 0));
}

/* Which keys a query sees: bool, broadcasting to [B, 1, 1, T, S]; NULL when it sees all. */
static gr_tensor *visible(const gr_tensor *node, gr_tensor *const *in, const dims *n)
{
    const gr_attention_attr *a = node->attr;
    gr_graph *g = in[Q]->graph;
    gr_tensor *mask = NULL;
    gr_tensor *given_q = node->n_in > Q_POS ? in[Q_POS] : NULL, *given_k = node->n_in > K_POS ? in[K_POS] : NULL;
    gr_tensor *segment = node->n_in > SEGMENT ? in[SEGMENT] : NULL;
    gr_tensor *q = given_q ? given_q : gr_offset(gr_iota(g, GR_I64, n->t), (double)(n->s - n->t));
    gr_tensor *k = given_k ? given_k : gr_iota(g, GR_I64, n->s);
    q = gr_reshape(q, 5, (int64_t[]){given_q ? n->b : 1, 1, 1, n->t, 1});
    k = gr_reshape(k, 5, (int64_t[]){given_k ? n->b : 1, 1, 1, 1, n->s});
    if (given_k)
        mask = both(mask, gr_ge(k, gr_scalar_like(k, 0)));
    if (a->causal)
        mask = both(mask, gr_le(k, q));
    if (a->window)
        mask = both(mask, gr_gt(k, gr_offset(q, -(double)a->window)));
    if (segment)
        mask = both(mask, gr_eq(gr_reshape(segment, 5, (int64_t[]){n->b, 1, 1, n->t, 1}),
                                gr_reshape(segment, 5, (int64_t[]){n->b, 1, 1, 1, n->s})));
    return mask;
}

/* x where the mask is set, else `other`; x [B, G, R·T, S] */
static gr_tensor *masked(gr_tensor *x, gr_tensor *mask, double other, const dims *n)
{
    if (!mask)
        return x;
    gr_tensor *wide = gr_reshape(x, 5, (int64_t[]){n->b, n->g, n->r, n->t, n->s});
    gr_tensor *kept = gr_select(mask, wide, gr_scalar_like(wide, other));
    return gr_reshape(kept, 4, (int64_t[]){n->b, n->g, n->r * n->t, n->s});
}

static gr_tensor *scores(const gr_tensor *node, gr_tensor *q, gr_tensor *k)
{
    return gr_scale(gr_matmul(q, k, false, true), ((const gr_attention_attr *)node->attr)->scale);
}

/* k or v [B, S, G, D] as [B, G, S, D] */
static gr_tensor *keys(gr_tensor *x, gr_dtype acc)
{
    return gr_permute(gr_cast(x, acc), (int[]){0, 2, 1, 3});
}

/* The inputs that both ops take, those of the cache's sequences picked. */
static void pick_sequences(gr_tensor *const *in, int n_in, gr_tensor **picked)
{
    for (int i = 0; i < N_BOTH; i++)
        picked[i] = i < n_in ? in[i] : NULL;
    for (int i = K; n_in > SEQUENCE && in[SEQUENCE] && i <= K_POS; i++)
        if (picked[i] && i != Q_POS)
            picked[i] = gr_gather(picked[i], in[SEQUENCE]);
}

static gr_status compose_attention(const gr_tensor *node, gr_tensor *const *given, gr_tensor **out)
{
    dims n = dims_of(node);
    gr_tensor *in[N_BOTH];
    pick_sequences(given, node->n_in, in);
    gr_dtype acc = gr_accumulator(node->spec.dtype);
    gr_tensor *q = to_groups(gr_cast(in[Q], acc), &n), *k = keys(in[K], acc), *v = keys(in[V], acc);
    gr_tensor *mask = visible(node, in, &n);
    gr_tensor *x = scores(node, q, k), *largest = NULL;
    if (n.s > 0) { /* finite where nothing is visible, so that no NaN arises */
        largest = gr_detach(gr_reduce_max(masked(x, mask, -1e30, &n), 1u << 3, true));
        x = gr_sub(x, largest);
    }
    gr_tensor *p = masked(gr_exp(x), mask, 0, &n);
    gr_tensor *sum = gr_sum(p, 1u << 3, true);
    gr_tensor *none = gr_eq(sum, gr_scalar_like(sum, 0));
    gr_tensor *safe = gr_select(none, gr_scalar_like(sum, 1), sum);
    gr_tensor *lse = largest ? gr_add(gr_log(safe), largest) : gr_log(safe);
    lse = gr_select(none, gr_scalar_like(lse, 0), lse);
    out[0] = gr_cast(from_groups(gr_div(gr_matmul(p, v, false, false), safe), &n), node->spec.dtype);
    out[1] = gr_reshape(lse, 3, (int64_t[]){n.b, n.h, n.t});
    return gr_built(in[0], out[1]);
}

/* With p = exp(scores - lse) and D = row sum of d_out out: dv = p^T d_out, ds = p (d_out v^T - D) scale, dq = ds k,
 * dk = ds^T q (Dao et al. 2022). */
static gr_status compose_attention_grad(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    dims n = dims_of(node);
    gr_dtype dtype = node->spec.dtype, narrow = gr_in(node, K)->dtype, acc = gr_accumulator(dtype);
    gr_tensor *q = to_groups(gr_cast(in[Q], acc), &n), *k = keys(in[K], acc), *v = keys(in[V], acc);
    gr_tensor *o = to_groups(gr_cast(in[OUT], acc), &n), *d = to_groups(gr_cast(in[D_OUT], acc), &n);
    gr_tensor *lse = gr_reshape(in[LSE], 4, (int64_t[]){n.b, n.g, n.r * n.t, 1});
    gr_tensor *p = masked(gr_exp(gr_sub(scores(node, q, k), lse)), visible(node, in, &n), 0, &n);
    gr_tensor *dot = gr_sum(gr_mul(d, o), 1u << 3, true);
    gr_tensor *ds = gr_mul(p, gr_sub(gr_matmul(d, v, false, true), dot));
    ds = gr_scale(ds, ((const gr_attention_attr *)node->attr)->scale);
    out[0] = gr_cast(from_groups(gr_matmul(ds, k, false, false), &n), dtype);
    out[1] = gr_cast(gr_permute(gr_matmul(ds, q, true, false), (int[]){0, 2, 1, 3}), narrow);
    out[2] = gr_cast(gr_permute(gr_matmul(p, d, true, false), (int[]){0, 2, 1, 3}), narrow);
    return gr_built(in[0], out[2]);
}

static gr_status grad_attention(gr_grad_args *a)
{
    const gr_tensor *node = a->node;
    gr_tensor *in[N_BACKWARD] = {0}, *sequence = node->n_in > SEQUENCE ? node->in[SEQUENCE] : NULL;
    pick_sequences(node->in, node->n_in, in);
    in[OUT] = a->out[0];
    in[LSE] = a->out[1];
    in[D_OUT] = a->d_out[0];
    gr_tensor *d = gr_node(node->graph, &gr_op_attention_grad, in, N_BACKWARD, node->attr);
    for (int i = Q; i <= V; i++)
        if (a->need[i])
            a->d_in[i] = gr_output(d, i);
    for (int i = K; sequence && i <= V; i++)
        if (a->need[i])
            a->d_in[i] = gr_scatter_add(gr_fill_like(node->in[i], 0), sequence, a->d_in[i]);
    return gr_built(node, d);
}

/* ---- samples ------------------------------------------------------------------------------------------------ */

static const struct call {
    int64_t b, t, h, d, s, g;
    gr_attention_attr attr;
    bool positions, segments, wide; /* wide: q in f32 whatever k and v are */
    int64_t sequences;              /* of the cache; 0: one for each b */
} calls[] = {
    {1, 1, 1, 4, 1, 1, {0.5f, true, 0}, false, false, false, 0},
    {2, 5, 2, 8, 5, 2, {0.35f, true, 0}, false, false, false, 0},
    {1, 7, 4, 16, 7, 2, {0.25f, true, 0}, false, false, true, 0},
    {2, 6, 2, 8, 6, 1, {0.3f, true, 3}, false, false, false, 0},
    {2, 9, 2, 8, 9, 2, {0.3f, true, 0}, false, true, false, 0},
    {1, 3, 2, 8, 10, 2, {0.3f, true, 0}, false, false, false, 0}, /* behind a prefix */
    {2, 3, 4, 8, 12, 2, {0.3f, true, 5}, true, false, false, 0},  /* a cache in any order */
    {1, 4, 2, 10, 6, 2, {0.3f, false, 0}, false, false, false, 0},
    {1, 0, 2, 8, 3, 2, {0.3f, true, 0}, false, false, false, 0},
    {1, 70, 2, 8, 70, 1, {0.3f, true, 0}, false, false, false, 0},
    {2, 3, 4, 8, 12, 2, {0.3f, true, 5}, true, false, false, 3}, /* of some of a cache's sequences */
    {3, 1, 6, 20, 140, 2, {0.3f, true, 0}, false, false, true, 2},
    {1, 1, 4, 16, 9, 4, {0.3f, true, 0}, false, false, true, 4},
    {1, 1, 8, 20, 9, 2, {0.3f, true, 0}, false, false, true, 0}, /* heads that share keys, an odd number of them */
};

static void sample_both(const struct call *c, int64_t sequences, gr_sample *s)
{
    *(gr_attention_attr *)(void *)s->attr.bytes = c->attr;
    gr_sample_float(s, -1, 1, GR_DIMS(c->b, c->t, c->h, c->d));
    s->in[Q].is_stat = c->wide;
    gr_sample_float(s, -1, 1, GR_DIMS(sequences, c->s, c->g, c->d));
    gr_sample_float(s, -1, 1, GR_DIMS(sequences, c->s, c->g, c->d));
    if (c->positions) {
        gr_sample_index(s, 4, 12, GR_DIMS(c->b, c->t));
        gr_sample_index(s, -1, 12, GR_DIMS(sequences, c->s));
    } else {
        gr_sample_absent(s);
        gr_sample_absent(s);
    }
    if (c->segments)
        gr_sample_index(s, 0, 2, GR_DIMS(c->b, c->t));
    else
        gr_sample_absent(s);
}

enum { CALLS = sizeof calls / sizeof calls[0] };

/* Keys in blocks of each dtype, values in the same or as they are; one query and several. */
static bool sample_blocks(int i, gr_sample *s)
{
    gr_sample b = {0};
    if (!gr_sample_blocks(&b, i / 4, 2, 11 * 2, 32))
        return false;
    int64_t d = b.in[0].spec.shape[1];
    *(gr_attention_attr *)(void *)s->attr.bytes = (gr_attention_attr){.scale = 0.1f, .causal = true};
    gr_sample_f32(s, -1, 1, GR_DIMS(1, i % 2 ? 1 : 5, 4, d));
    b.in[0].spec = gr_spec_make(b.in[0].spec.dtype, GR_DIMS(1, 11, 2, d));
    s->in[s->n_in++] = b.in[0];
    if (i % 4 < 2)
        s->in[s->n_in++] = b.in[0];
    else
        gr_sample_f32(s, -1, 1, GR_DIMS(1, 11, 2, d));
    for (int k = Q_POS; k < N_FORWARD; k++)
        gr_sample_absent(s);
    return true;
}

static bool sample_attention(int i, gr_sample *s)
{
    if (i >= CALLS)
        return sample_blocks(i - CALLS, s);
    sample_both(&calls[i], calls[i].sequences ? calls[i].sequences : calls[i].b, s);
    if (calls[i].sequences)
        gr_sample_index(s, 0, calls[i].sequences, 1, &calls[i].b);
    else
        gr_sample_absent(s);
    return true;
}

/* lse so large that every p is below 1, as it is for a real one. */
static bool sample_attention_grad(int i, gr_sample *s)
{
    if (i >= CALLS)
        return false;
    const struct call *c = &calls[i];
    sample_both(c, c->b, s);
    gr_sample_float(s, -1, 1, GR_DIMS(c->b, c->t, c->h, c->d));
    gr_sample_float(s, 3, 4, GR_DIMS(c->b, c->h, c->t));
    gr_sample_float(s, -1, 1, GR_DIMS(c->b, c->t, c->h, c->d));
    s->in[LSE].is_stat = true;
    s->in[OUT].is_stat = s->in[D_OUT].is_stat = c->wide;
    return true;
}

/* Pairs of a query and a key that it may see, as far as shapes tell: with positions of their own, all. */
static double visible_pairs(const gr_tensor *node)
{
    const gr_attention_attr *a = node->attr;
    dims n = dims_of(node);
    bool ordered = a->causal && !gr_in(node, Q_POS) && !gr_in(node, K_POS);
    double sum = 0;
    for (int64_t t = 0; t < n.t; t++) {
        int64_t seen = ordered ? n.s - n.t + t + 1 : n.s;
        seen = seen < 0 ? 0 : a->window && seen > a->window ? a->window : seen;
        sum += (double)seen;
    }
    return sum * (double)n.b * (double)n.h;
}

/* A pair takes part in two products of D, and in a softmax; backwards in five, with six steps between them. */
static void cost_attention(const gr_tensor *node, double *flops, double *bytes)
{
    (void)bytes;
    *flops = visible_pairs(node) * (4 * (double)dims_of(node).d + 5);
}

static void cost_attention_grad(const gr_tensor *node, double *flops, double *bytes)
{
    (void)bytes;
    *flops = visible_pairs(node) * (10 * (double)dims_of(node).d + 6);
}

const gr_op gr_op_attention = {
    .name = "attention",
    .doc = "q [B,T,H,D], k and v [N,S,G,D], each of q's dtype, a narrower one or one of blocks, q_pos [B,T], k_pos "
           "[N,S], segment [B,T], "
           "sequence i64 [B], which of N each b reads (left out: its own): softmax(scale q k^T + mask) v, [B,T,H,D]; "
           "saves the log-sum-exp of every row [B,H,T], 0 where nothing is visible (Dao et al. 2022)",
    .inputs = N_FORWARD,
    .optional = 1u << Q_POS | 1u << K_POS | 1u << SEGMENT | 1u << SEQUENCE,
    .outputs = 2,
    .flags = GR_OP_BLOCKS,
    .attr_size = sizeof(gr_attention_attr),
    .precision = GR_LOW,
    .infer = infer_attention,
    .grad = grad_attention,
    .compose = compose_attention,
    .sample = sample_attention,
    .cost = cost_attention,
};

const gr_op gr_op_attention_grad = {
    .name = "attention_grad",
    .doc = "the inputs of attention but for sequence, its output, its log-sum-exp, d [B,T,H,D]: dq, dk, dv",
    .inputs = N_BACKWARD,
    .optional = 1u << Q_POS | 1u << K_POS | 1u << SEGMENT,
    .outputs = 3,
    .attr_size = sizeof(gr_attention_attr),
    .precision = GR_LOW,
    .uncast = 1u << LSE,
    .infer = infer_attention_grad,
    .compose = compose_attention_grad,
    .sample = sample_attention_grad,
    .cost = cost_attention_grad,
};

gr_tensor *gr_attention(gr_tensor *q, gr_tensor *k, gr_tensor *v, const gr_attention_options *options)
{
    gr_attention_options o;
    if (!q || !k || !v || gr_take_sized(&o, sizeof o, options, "gr_attention_options") != GR_OK)
        return NULL;
    gr_attention_attr a = {.scale = o.scale, .causal = o.causal, .window = o.window};
    if (a.scale == 0 && q->spec.ndim == 4)
        a.scale = (float)(1 / sqrt((double)q->spec.shape[3]));
    gr_tensor *in[] = {q, k, v, o.q_pos, o.k_pos, o.segment, o.sequence};
    return gr_node(q->graph, &gr_op_attention, in, N_FORWARD, &a);
}
