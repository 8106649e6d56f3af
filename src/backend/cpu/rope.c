/* Rotary positions: the angles of a token are computed once for all its heads. */
#include "backend/cpu/rows.h"
#include "op/attr.h"
#include "op/op.h"

enum { X, POSITIONS, FREQ };

typedef struct rope {
    const gr_call *call;
    int64_t t, h, d, r; /* x [B, T, H, D], freq [R] or [B, R] */
    float cos_scale, sin_scale;
    void (*angles)(float *, float *, float, const float *, int64_t, float, float);
    void (*turn)(float *, const float *, const float *, const float *, int64_t);
} rope;

static bool supports(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return gr_row_dtype(node->spec.dtype);
}

/* Of each worker: a row of x and one of the result, cos and sin. */
static int64_t worker_floats(const gr_call *c)
{
    return 2 * c->in[X].shape[3] + 2 * c->in[FREQ].shape[c->in[FREQ].ndim - 1];
}

static size_t scratch(const gr_call *c)
{
    return (size_t)gr_pool_threads(c->device->pool) * (size_t)worker_floats(c) * sizeof(float);
}

/* All heads of token `piece` = b T + t. */
static void turn_token(void *ctx, int64_t piece, int worker)
{
    const rope *p = ctx;
    const gr_operand *x = &p->call->in[X], *pos = &p->call->in[POSITIONS], *freq = &p->call->in[FREQ];
    const gr_operand *y = &p->call->out[0];
    int64_t b = piece / p->t, t = piece % p->t;
    float *cosine = (float *)p->call->scratch + worker * worker_floats(p->call), *sine = cosine + p->r;
    float *in = sine + p->r, *out = in + p->d;
    int64_t position = ((const int64_t *)pos->data)[pos->ndim == 1 ? t : piece];
    const float *own = (const float *)freq->data + (freq->ndim == 2 ? b * p->r : 0);
    p->angles(cosine, sine, (float)position, own, p->r, p->cos_scale, p->sin_scale);
    for (int64_t h = 0; h < p->h; h++) {
        int64_t row = piece * p->h + h;
        const float *from = gr_head_read(x, b * x->stride[0] + t * x->stride[1] + h * x->stride[2], p->d, in);
        float *to = gr_row_place(y, row, p->d, out);
        p->turn(to, from, cosine, sine, p->r);
        for (int64_t i = 2 * p->r; i < p->d; i++)
            to[i] = from[i];
        gr_row_store(y, row, p->d, to);
    }
}

static gr_status run(const gr_call *c)
{
    const gr_rope_attr *a = c->attr;
    const int64_t *shape = c->in[X].shape;
    rope p = {.call = c, .t = shape[1], .h = shape[2], .d = shape[3], .r = c->in[FREQ].shape[c->in[FREQ].ndim - 1]};
    p.cos_scale = a->scale;
    p.sin_scale = a->inverse ? -a->scale : a->scale;
    p.angles = GR_ISA_PICK(gr_row_angles);
    p.turn = a->interleaved ? GR_ISA_PICK(gr_row_turn_pairs) : GR_ISA_PICK(gr_row_turn_halves);
    gr_parallel(c->device->pool, shape[0] * shape[1], turn_token, &p);
    return GR_OK;
}

const gr_kernel gr_cpu_rope_kernels[] = {
    {.op = &gr_op_rope, .supports = supports, .strided = 1u << X, .in_place = 1u << X, .scratch = scratch, .run = run},
    {0},
};
