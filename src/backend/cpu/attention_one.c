/* Attention of one query token, as in generating. A piece of work is a sequence and a block of keys, with all heads; the
 * blocks' results are then joined, a head a piece. Blocks are the same whatever the number of sequences and of keys, so a
 * token's result does not depend on what is generated beside it, nor on the size of its cache; blocks in which it sees
 * nothing are not read. */
#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/rows.h"
#include "op/attr.h"
#include "op/op.h"

#include "base/dtype.h"

#include <math.h>
#include <string.h>

enum { Q, K, V, Q_POS, K_POS, SEGMENT, SEQUENCE };
enum { KEYS = GR_ATTENTION_KEYS, VECTOR = 16 };

typedef struct one {
    const gr_call *call;
    int64_t b, h, d, s, g;
    int64_t row, lanes, blocks;
    int64_t wide;              /* floats of four rows of keys, where they are widened */
    int64_t worker, partial;   /* floats of a worker's scratch; of a block's result: out, largest, sum */
    float *workers, *partials; /* both in the call's scratch */
    void (*forward)(const gr_attention_one *);
    void (*scale)(float *, const float *, float, int64_t);
} one;

static bool supports(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return node->spec.dtype == GR_F32 && gr_is_kept(gr_in(node, K)->dtype) && gr_is_kept(gr_in(node, V)->dtype) &&
           node->spec.shape[1] == 1 && gr_in(node, K)->shape[1] > 0 && !gr_in(node, SEGMENT);
}

static one one_of(const gr_call *c)
{
    const int64_t *q = c->in[Q].shape, *k = c->in[K].shape;
    one a = {.call = c, .b = q[0], .h = q[2], .d = q[3], .s = k[1], .g = k[2]};
    a.row = (a.d + VECTOR - 1) / VECTOR * VECTOR;
    a.blocks = (a.s + KEYS - 1) / KEYS;
    a.lanes = (a.h + VECTOR - 1) / VECTOR * VECTOR;
    a.wide = gr_dtype_is_block(c->in[K].dtype) || gr_dtype_is_block(c->in[V].dtype) ? 4 * a.g * a.d : 0;
    a.worker = 2 * a.lanes + a.h * a.row + KEYS * a.lanes + a.wide; /* where heads begin, queries, scores, rows */
    a.partial = a.h * a.row + 2 * a.lanes;
    return a;
}

static size_t scratch(const gr_call *c)
{
    one a = one_of(c);
    return (size_t)(gr_pool_threads(c->device->pool) * a.worker + a.b * a.blocks * a.partial) * sizeof(float);
}

static const int64_t *indices(const gr_call *c, int i)
{
    return i < c->n_in ? c->in[i].data : NULL;
}

/* Whose keys token b reads. */
static int64_t sequence_of(const one *a, int64_t b)
{
    const int64_t *sequence = indices(a->call, SEQUENCE);
    return sequence ? sequence[b] : b;
}

/* The keys of a block that token b sees, counted from the block's first. */
static int64_t seen(const one *a, int64_t b, int64_t first, int32_t *at)
{
    const gr_attention_attr *attr = a->call->attr;
    const int64_t *q_pos = indices(a->call, Q_POS), *k_pos = indices(a->call, K_POS);
    int64_t position = q_pos ? q_pos[b] : a->s - 1, n = 0;
    k_pos = k_pos ? k_pos + sequence_of(a, b) * a->s : NULL;
    int64_t upto = attr->causal ? position : INT64_MAX;
    int64_t after = attr->window && position >= attr->window ? position - attr->window : -1;
    for (int64_t i = 0; i < KEYS && first + i < a->s; i++) {
        int64_t key = k_pos ? k_pos[first + i] : first + i;
        at[n] = (int32_t)i;
        n += key > after && key <= upto;
    }
    return n;
}

/* Queries times scale, and where in a key's row the values of each head begin. */
static void load_heads(const one *a, int64_t b, float *queries, int64_t *key_head)
{
    const gr_operand *q = &a->call->in[Q];
    for (int64_t h = 0; h < a->h; h++) {
        float *to = queries + h * a->row;
        const float *from = gr_head_read(q, b * q->stride[0] + h * q->stride[2], a->d, to);
        a->scale(to, from, ((const gr_attention_attr *)a->call->attr)->scale, a->d);
        key_head[h] = h / (a->h / a->g) * a->d;
    }
}

/* Rows of x from number `first` of a sequence on. */
static gr_attention_rows rows_at(const gr_operand *x, int64_t sequence, int64_t first)
{
    return (gr_attention_rows){.kind = x->dtype == GR_F16    ? GR_GEMM_F16
                                       : x->dtype == GR_BF16 ? GR_GEMM_BF16
                                                             : GR_GEMM_F32,
                               .blocks = gr_dtype_is_block(x->dtype) ? gr_dtype_get(x->dtype) : NULL,
                               .at = (const char *)x->data +
                                     gr_dtype_size(x->dtype, sequence * x->stride[0] + first * x->stride[1]),
                               .values = x->stride[1],
                               .bytes = (int64_t)gr_dtype_size(x->dtype, x->stride[1])};
}

static void forward_block(void *ctx, int64_t piece, int worker)
{
    const one *a = ctx;
    int64_t b = piece / a->blocks, first = piece % a->blocks * KEYS;
    float *scratch = a->workers + worker * a->worker;
    gr_attention_one o = {.heads = a->h, .d = a->d, .shared = a->h / a->g, .row = a->row, .lanes = a->lanes};
    o.out = a->partials + piece * a->partial;
    o.largest = o.out + a->h * a->row;
    o.sum = o.largest + a->lanes;
    o.n = seen(a, b, first, o.at);
    if (o.n == 0) {
        memset(o.sum, 0, (size_t)a->h * sizeof *o.sum);
        return;
    }
    int64_t *key_head = (int64_t *)(void *)scratch;
    o.key_head = key_head;
    o.q = scratch + 2 * a->lanes;
    o.scores = scratch + 2 * a->lanes + a->h * a->row;
    load_heads(a, b, scratch + 2 * a->lanes, key_head);
    if (a->h < a->lanes)
        memset(o.scores, 0, (size_t)(KEYS * a->lanes) * sizeof *o.scores); /* lanes that are no heads */
    o.wide = o.scores + KEYS * a->lanes;
    o.k = rows_at(&a->call->in[K], sequence_of(a, b), first);
    o.v = rows_at(&a->call->in[V], sequence_of(a, b), first);
    a->forward(&o);
}

/* Head number piece of all sequences: each block is worth e^(its largest - the largest of all). */
static void join_blocks(void *ctx, int64_t piece, int worker)
{
    const one *a = ctx;
    int64_t b = piece / a->h, h = piece % a->h;
    const float *blocks = a->partials + b * a->blocks * a->partial, *stats = blocks + a->h * a->row + h;
    float *out = (float *)a->call->out[0].data + piece * a->d, *lse = a->call->out[1].data;
    float largest = -INFINITY, sum = 0;
    (void)worker;
    memset(out, 0, (size_t)a->d * sizeof *out);
    for (int64_t i = 0; i < a->blocks; i++)
        if (stats[i * a->partial + a->lanes] != 0)
            largest = fmaxf(largest, stats[i * a->partial]);
    for (int64_t i = 0; i < a->blocks; i++) {
        const float *part = blocks + i * a->partial + h * a->row, *stat = stats + i * a->partial;
        if (stat[a->lanes] == 0)
            continue;
        float weight = expf(stat[0] - largest);
        sum += weight * stat[a->lanes];
        for (int64_t j = 0; j < a->d; j++)
            out[j] += weight * part[j];
    }
    if (sum != 0)
        a->scale(out, out, 1 / sum, a->d);
    if (lse)
        lse[piece] = sum == 0 ? 0 : largest + logf(sum);
}

static gr_status run(const gr_call *c)
{
    one a = one_of(c);
    gr_status s = gr_sequences_check(c, SEQUENCE, c->in[K].shape[0]);
    if (s != GR_OK)
        return s;
    a.forward = GR_ISA_PICK(gr_attention_one_forward);
    a.scale = GR_ISA_PICK(gr_row_scale);
    a.workers = c->scratch;
    a.partials = a.workers + gr_pool_threads(c->device->pool) * a.worker;
    gr_parallel(c->device->pool, a.b * a.blocks, forward_block, &a);
    gr_parallel(c->device->pool, a.b * a.h, join_blocks, &a);
    return GR_OK;
}

const gr_kernel gr_cpu_attention_one_kernels[] = {
    {.op = &gr_op_attention, .supports = supports, .strided = 1u << Q, .scratch = scratch, .run = run},
    {0},
};
