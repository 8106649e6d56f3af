/* Random numbers: number i is a function of seed, stream and i, so any piece can be drawn by itself. */
#include "backend/cpu/cpu.h"
#include "base/philox.h"
#include "op/attr.h"
#include "op/op.h"

enum { PIECE = 1 << 14 };

typedef void draw_fn(float *out, uint64_t seed, uint64_t stream, uint64_t first, int64_t n);

typedef struct drawing {
    float *to;
    int64_t n;
    uint64_t seed, stream;
    draw_fn *draw;
} drawing;

static void draw_piece(void *ctx, int64_t piece, int worker)
{
    const drawing *d = ctx;
    int64_t first = piece * PIECE, n = d->n - first < PIECE ? d->n - first : PIECE;
    (void)worker;
    d->draw(d->to + first, d->seed, d->stream, (uint64_t)first, n);
}

static gr_status run(const gr_call *call, draw_fn *draw)
{
    const gr_operand *out = &call->out[0];
    drawing d = {.to = out->data,
                 .n = gr_operand_count(out),
                 .seed = (uint64_t) * (const int64_t *)call->in[0].data,
                 .stream = ((const gr_random_attr *)call->attr)->stream,
                 .draw = draw};
    gr_parallel(call->device->pool, (d.n + PIECE - 1) / PIECE, draw_piece, &d);
    return GR_OK;
}

static gr_status run_uniform(const gr_call *call)
{
    return run(call, gr_philox_uniforms);
}

static gr_status run_normal(const gr_call *call)
{
    return run(call, gr_philox_normals);
}

static bool supports(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return node->spec.dtype == GR_F32 && gr_in(node, 0)->dtype == GR_I64;
}

const gr_kernel gr_cpu_random_kernels[] = {
    {.op = &gr_op_uniform, .supports = supports, .run = run_uniform},
    {.op = &gr_op_normal, .supports = supports, .run = run_normal},
    {0},
};
