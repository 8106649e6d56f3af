/* Rotary positions. */
#include "backend/gpu/families.h"

#include "op/attr.h"
#include "op/op.h"

static gr_status run_rope(const gr_call *call)
{
    const gr_rope_attr *a = call->attr;
    const gr_operand *x = &call->in[0], *position = &call->in[1], *freq = &call->in[2];
    int64_t r = freq->shape[freq->ndim - 1], n = gr_gpu_rows(x) * (x->shape[3] - r);
    gr_launch l;
    gr_launch_begin(&l, call, "rope", "rope");
    gr_launch_dtype(&l, "T", x->dtype);
    gr_launch_operands(&l, call->in, 3);
    gr_launch_operand(&l, &call->out[0]);
    gr_launch_longs(&l, n, r);
    gr_launch_dims(&l, 4, x->shape);
    gr_launch_dims(&l, 4, x->stride);
    gr_launch_float(&l, (double)a->scale);
    gr_launch_float(&l, a->inverse ? -(double)a->scale : (double)a->scale);
    gr_launch_ints(&l, position->ndim == 2, freq->ndim == 2, a->interleaved);
    return gr_launch_items(&l, n);
}

const gr_kernel gr_gpu_rope_kernels[] = {
    {.op = &gr_op_rope, .supports = gr_gpu_any, .strided = 1, .in_place = 1, .run = run_rope},
    {0},
};
