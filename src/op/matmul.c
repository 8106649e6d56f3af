/* Matrix multiplication. */
#include "op/attr.h"
#include "op/op.h"

#include "base/dtype.h"

#include <string.h>

static bool sums_in_f32(gr_dtype d)
{
    return gr_is_float(d) && gr_accumulator(d) == GR_F32;
}

/* f32 and what is summed in f32, as an activation and a weight that stays as it is in its file: f32. */
static gr_status product_dtype(const gr_tensor *node, gr_dtype *out)
{
    const gr_matmul_attr *t = node->attr;
    gr_dtype a = gr_in(node, 0)->dtype, b = gr_in(node, 1)->dtype;
    if (t->says) {
        *out = t->result;
        bool fits = sums_in_f32(a) && sums_in_f32(b) && sums_in_f32(t->result);
        return fits ? GR_OK : gr_op_fail(node, "only sums in f32 can be had as %s", gr_dtype_name(t->result));
    }
    bool mixed = gr_dtype_is_block(b) || (a == GR_F32 && gr_dtype_get(b)->is_weight) ||
                 (b == GR_F32 && gr_dtype_get(a)->is_weight);
    *out = mixed ? GR_F32 : a;
    return mixed ? GR_OK : gr_expect_dtype(node, 1, a);
}

static gr_status check_blocks(const gr_tensor *node)
{
    const gr_matmul_attr *t = node->attr;
    gr_dtype a = gr_in(node, 0)->dtype, b = gr_in(node, 1)->dtype;
    bool rows = gr_dtype_get(a)->is_row && !t->transpose_a;
    if (gr_dtype_is_block(b) ? (a == GR_F32 || rows) && t->transpose_b : !gr_dtype_is_block(a))
        return GR_OK;
    return gr_op_fail(node,
                      "values that share blocks are taken as b [.., N, K] with transpose_b, by an f32 a\ncast %s first",
                      gr_dtype_name(gr_dtype_is_block(a) ? a : b));
}

static gr_status infer_matmul(const gr_tensor *node, gr_spec *out)
{
    const gr_matmul_attr *t = node->attr;
    const gr_spec *a = gr_in(node, 0), *b = gr_in(node, 1);
    bool taken = check_blocks(node) == GR_OK && (gr_dtype_is_block(a->dtype) || gr_expect_float(node, 0) == GR_OK);
    if (!taken || product_dtype(node, &out->dtype) != GR_OK)
        return GR_ERR_ARGUMENT;
    if (a->ndim < 2 || b->ndim < 2)
        return gr_op_fail(node, "needs at least 2 dims");
    const int64_t *da = a->shape + a->ndim - 2, *db = b->shape + b->ndim - 2;
    int64_t m = da[t->transpose_a], k = da[!t->transpose_a], kb = db[t->transpose_b], n = db[!t->transpose_b];
    if (k != kb)
        return gr_op_fail(node, "inner dims differ: %lld and %lld", (long long)k, (long long)kb);
    gr_spec ba = *a, bb = *b;
    ba.ndim -= 2;
    bb.ndim -= 2;
    gr_status s = gr_broadcast(node, &ba, &bb, out);
    if (s == GR_OK && out->ndim + 2 <= GR_MAX_DIMS) {
        out->shape[out->ndim++] = m;
        out->shape[out->ndim++] = n;
    }
    return s;
}

static gr_tensor *as_dtype_of(gr_tensor *d, const gr_tensor *x)
{
    return d && d->spec.dtype != x->spec.dtype ? gr_cast(d, x->spec.dtype) : d;
}

/* With A = op(a) and B = op(b): dA = d B^T and dB = A^T d, each transposed once more where op transposes; computed in
 * the result's dtype, so that of two dtypes the narrow one rounds once. */
static gr_status grad_matmul(gr_grad_args *g)
{
    const gr_matmul_attr *t = g->node->attr;
    gr_tensor *a = g->node->in[0], *b = g->node->in[1], *d = g->d_out[0];
    bool ta = t->transpose_a, tb = t->transpose_b;
    if (gr_dtype_is_block(b->spec.dtype)) {
        b = gr_cast(b, GR_F32); /* exact: the numbers that the blocks stand for */
        b = b ? b : g->node->in[1];
    }
    if (g->need[0])
        g->d_in[0] = as_dtype_of(ta ? gr_matmul(b, d, tb, true) : gr_matmul(d, b, false, !tb), a);
    if (g->need[1])
        g->d_in[1] = as_dtype_of(tb ? gr_matmul(d, a, true, ta) : gr_matmul(a, d, !ta, false), b);
    return gr_graph_check(g->node->graph);
}

/* Few rows and many, and such of 8 bits of both kinds, by rows of b in every dtype of blocks. */
static bool sample_blocks(int i, gr_sample *s)
{
    gr_sample b = {0};
    if (!gr_sample_blocks(&b, i / 4, 4, i % 4 == 1 ? 51 : 19, 96))
        return false;
    int64_t k = b.in[0].spec.shape[1];
    if (i % 4 >= 2) {
        gr_sample_bytes(s, i % 4 == 2 ? GR_A8 : GR_A8_ROW, 0, 5, k);
        s->in[0].fill = GR_FILL_UNIFORM;
        s->in[0].low = -1;
        s->in[0].high = 1;
    } else {
        gr_sample_f32(s, -0.3, 1.3, GR_DIMS(i % 4 ? 67 : 3, k));
        s->in[0].fill = GR_FILL_INTEGER; /* -1, 0 and 1, mostly 0: sums of a whole block round as short ones do */
    }
    s->in[s->n_in++] = b.in[0];
    *(gr_matmul_attr *)(void *)s->attr.bytes = (gr_matmul_attr){.transpose_b = true};
    return true;
}

static bool sample_matmul(int i, gr_sample *s)
{
    static const struct {
        int na, nb;
        int64_t a[4], b[4];
        bool ta, tb;
        int wide; /* 1: a, 2: b is f32 when a 16-bit dtype is tested */
    } calls[] = {
        {2, 2, {1, 1}, {1, 1}, false, false, 0},
        {2, 2, {5, 7}, {7, 3}, false, false, 0},
        {2, 2, {5, 7}, {3, 7}, false, true, 0},
        {2, 2, {7, 5}, {7, 3}, true, false, 0},
        {2, 2, {7, 5}, {3, 7}, true, true, 0},
        {2, 2, {33, 17}, {65, 17}, false, true, 0},
        {2, 2, {1, 40}, {31, 40}, false, true, 0},
        {2, 2, {4, 0}, {0, 3}, false, false, 0},
        {2, 2, {0, 4}, {4, 3}, false, false, 0},
        {3, 3, {2, 5, 7}, {2, 7, 3}, false, false, 0},
        {4, 3, {2, 3, 4, 6}, {1, 6, 5}, false, false, 0},
        {3, 4, {1, 6, 4}, {2, 3, 5, 6}, true, true, 0},
        {2, 2, {1, 67}, {50, 67}, false, true, 1},
        {2, 2, {3, 40}, {40, 53}, false, false, 1},
        {2, 2, {21, 67}, {50, 67}, false, true, 1},
        {2, 2, {19, 40}, {40, 97}, false, false, 1},
        {2, 2, {9, 6}, {5, 9}, true, true, 1},
        {2, 2, {4, 0}, {0, 3}, false, false, 1},
        {3, 3, {2, 5, 7}, {2, 7, 3}, false, false, 1},
        {2, 2, {17, 23}, {23, 9}, false, false, 2},
        {2, 2, {7, 5}, {3, 7}, true, true, 2},
    };
    const int n = (int)(sizeof calls / sizeof calls[0]);
    if (i >= n)
        return sample_blocks(i - n, s);
    gr_sample_float(s, -1, 1, calls[i].na, calls[i].a);
    gr_sample_float(s, -1, 1, calls[i].nb, calls[i].b);
    if (calls[i].wide)
        s->in[calls[i].wide - 1].is_stat = true;
    *(gr_matmul_attr *)(void *)s->attr.bytes = (gr_matmul_attr){.transpose_a = calls[i].ta, .transpose_b = calls[i].tb};
    return true;
}

static void cost_matmul(const gr_tensor *node, double *flops, double *bytes)
{
    const gr_spec *a = gr_in(node, 0);
    bool transposed = ((const gr_matmul_attr *)node->attr)->transpose_a;
    (void)bytes;
    *flops = 2 * (double)gr_spec_count(&node->spec) * (double)a->shape[a->ndim - (transposed ? 2 : 1)];
}

const gr_op gr_op_matmul = {
    .name = "matmul",
    .doc = "a [.., M, K] times b [.., K, N]: [.., M, N]; either may be stored transposed; leading dims broadcast; f32 "
           "times f16 or bf16 is f32, and f32, a8 or a8_row times a transposed b whose values share blocks along K; "
           "f32, f16 "
           "and bf16 "
           "give each "
           "other where the node says so",
    .inputs = 2,
    .outputs = 1,
    .attr_size = sizeof(gr_matmul_attr),
    .flags = GR_OP_BLOCKS,
    .precision = GR_LOW,
    .infer = infer_matmul,
    .grad = grad_matmul,
    .sample = sample_matmul,
    .cost = cost_matmul,
};

/* ---- a product that is added to something ------------------------------------------------------------------- */

enum { ADDED = 0, OF_A, OF_B, N_ADDMM };

static gr_status infer_addmm(const gr_tensor *node, gr_spec *out)
{
    const gr_matmul_attr *t = node->attr;
    const gr_spec *c = gr_in(node, ADDED), *a = gr_in(node, OF_A), *b = gr_in(node, OF_B);
    bool mixed = sums_in_f32(c->dtype) && sums_in_f32(a->dtype) && sums_in_f32(b->dtype);
    if (gr_expect_float(node, ADDED) != GR_OK)
        return GR_ERR_ARGUMENT;
    if (!mixed && (gr_expect_dtype(node, OF_A, c->dtype) != GR_OK || gr_expect_dtype(node, OF_B, c->dtype) != GR_OK))
        return GR_ERR_ARGUMENT;
    if (a->ndim != 2 || b->ndim != 2)
        return gr_op_fail(node, "needs matrices");
    if (a->shape[!t->transpose_a] != b->shape[t->transpose_b])
        return gr_op_fail(node, "inner dims differ: %lld and %lld", (long long)a->shape[!t->transpose_a],
                          (long long)b->shape[t->transpose_b]);
    *out = gr_spec_make(c->dtype, 2, (int64_t[]){a->shape[t->transpose_a], b->shape[!t->transpose_b]});
    return gr_expect_shape(node, ADDED, 2, out->shape);
}

static gr_status compose_addmm(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    gr_matmul_attr t = *(const gr_matmul_attr *)node->attr;
    gr_dtype wide = gr_accumulator(node->spec.dtype);
    t.says = wide == GR_F32;
    t.result = wide;
    gr_tensor *product = gr_node(in[OF_A]->graph, &gr_op_matmul, in + OF_A, 2, &t);
    out[0] = gr_cast(gr_add(gr_cast(in[ADDED], wide), product), node->spec.dtype);
    return gr_built(in[ADDED], out[0]);
}

static bool sample_addmm(int i, gr_sample *s)
{
    static const struct {
        int64_t m, n, k;
        bool ta, tb, wide; /* wide: c is f32 when a 16-bit dtype is tested */
    } calls[] = {{1, 1, 1, false, false, false}, {5, 3, 7, true, false, false},  {33, 65, 17, true, true, false},
                 {4, 3, 0, false, false, false}, {0, 3, 4, false, false, false}, {19, 40, 97, true, false, true},
                 {2, 50, 67, false, true, true}, {5, 9, 6, false, false, true}};
    if (i >= (int)(sizeof calls / sizeof calls[0]))
        return false;
    const int64_t m = calls[i].m, n = calls[i].n, k = calls[i].k;
    const bool ta = calls[i].ta, tb = calls[i].tb;
    gr_sample_float(s, -1, 1, GR_DIMS(m, n));
    gr_sample_float(s, -1, 1, GR_DIMS(ta ? k : m, ta ? m : k));
    gr_sample_float(s, -1, 1, GR_DIMS(tb ? n : k, tb ? k : n));
    s->in[ADDED].is_stat = calls[i].wide;
    *(gr_matmul_attr *)(void *)s->attr.bytes = (gr_matmul_attr){.transpose_a = ta, .transpose_b = tb};
    return true;
}

static void cost_addmm(const gr_tensor *node, double *flops, double *bytes)
{
    const gr_spec *a = gr_in(node, OF_A);
    (void)bytes;
    *flops =
        2 * (double)gr_spec_count(&node->spec) * (double)a->shape[!((const gr_matmul_attr *)node->attr)->transpose_a];
}

const gr_op gr_op_addmm = {
    .name = "addmm",
    .doc =
        "c [M, N], a [M, K], b [K, N]: c + a b (torch.addmm), in place of c where it is not needed any more; a and b "
        "may be stored transposed, and be f16 or bf16 beside an f32 c",
    .inputs = N_ADDMM,
    .outputs = 1,
    .attr_size = sizeof(gr_matmul_attr),
    .precision = GR_LOW,
    .uncast = 1u << ADDED,
    .infer = infer_addmm,
    .compose = compose_addmm,
    .sample = sample_addmm,
    .cost = cost_addmm,
};

/* ---- calls -------------------------------------------------------------------------------------------------- */

/* Rows of a that share one b are one matrix: a single large product, and a weight's gradient without a sum over B. */
static gr_tensor *matmul_rows(gr_tensor *a, gr_tensor *b, bool transpose_b)
{
    int64_t shape[GR_MAX_DIMS], flat[] = {-1, a->spec.shape[a->spec.ndim - 1]};
    memcpy(shape, a->spec.shape, sizeof shape);
    if (gr_spec_count(&a->spec) == 0)
        flat[0] = 0;
    gr_tensor *in[] = {gr_reshape(a, 2, flat), b};
    gr_tensor *y =
        in[0] ? gr_node(a->graph, &gr_op_matmul, in, 2, &(gr_matmul_attr){.transpose_b = transpose_b}) : NULL;
    if (!y)
        return NULL;
    shape[a->spec.ndim - 1] = y->spec.shape[1];
    return gr_reshape(y, a->spec.ndim, shape);
}

gr_tensor *gr_matmul(gr_tensor *a, gr_tensor *b, bool transpose_a, bool transpose_b)
{
    if (!a || !b)
        return NULL;
    if (!transpose_a && b->spec.ndim == 2 && a->spec.ndim > 2 && a->spec.shape[a->spec.ndim - 1] > 0)
        return matmul_rows(a, b, transpose_b);
    gr_tensor *in[] = {a, b};
    return gr_node(a->graph, &gr_op_matmul, in, 2,
                   &(gr_matmul_attr){.transpose_a = transpose_a, .transpose_b = transpose_b});
}
