/* Arithmetic of integers, which chains leave out since their registers are f32: positions and counts, a few thousand at
 * most, so not worth a thread. It wraps around, which C defines for unsigned numbers only. */
#include "backend/cpu/cpu.h"
#include "op/op.h"

typedef enum what { ADD, SUB, MUL } what;

static uint64_t read_at(const gr_operand *o, int64_t at)
{
    return o->dtype == GR_I64 ? (uint64_t)((const int64_t *)o->data)[at]
                              : (uint64_t)(int64_t)((const int32_t *)o->data)[at];
}

/* By how much operand o moves along dim d of the result: 0 where it is broadcast. */
static int64_t stride_along(const gr_operand *o, const gr_operand *out, int d)
{
    int own = d - (out->ndim - o->ndim);
    return own >= 0 && o->shape[own] != 1 ? o->stride[own] : 0;
}

static gr_status run(const gr_call *call, what op)
{
    const gr_operand *x = &call->in[0], *y = &call->in[1], *out = &call->out[0];
    int64_t index[GR_MAX_DIMS] = {0}, at_x = 0, at_y = 0;
    for (int64_t i = 0, n = gr_operand_count(out); i < n; i++) {
        uint64_t a = read_at(x, at_x), b = read_at(y, at_y), r = op == ADD ? a + b : op == SUB ? a - b : a * b;
        if (out->dtype == GR_I64)
            ((int64_t *)out->data)[i] = (int64_t)r;
        else
            ((int32_t *)out->data)[i] = (int32_t)(uint32_t)r;
        for (int d = out->ndim - 1; d >= 0; d--) {
            at_x += stride_along(x, out, d);
            at_y += stride_along(y, out, d);
            if (++index[d] < out->shape[d])
                break;
            at_x -= index[d] * stride_along(x, out, d);
            at_y -= index[d] * stride_along(y, out, d);
            index[d] = 0;
        }
    }
    return GR_OK;
}

static gr_status run_add(const gr_call *call)
{
    return run(call, ADD);
}

static gr_status run_sub(const gr_call *call)
{
    return run(call, SUB);
}

static gr_status run_mul(const gr_call *call)
{
    return run(call, MUL);
}

static bool supports(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    gr_dtype t = node->spec.dtype;
    return (t == GR_I64 || t == GR_I32) && gr_in(node, 0)->dtype == t && gr_in(node, 1)->dtype == t;
}

const gr_kernel gr_cpu_integer_kernels[] = {
    {.op = &gr_op_add, .supports = supports, .strided = 3, .run = run_add},
    {.op = &gr_op_sub, .supports = supports, .strided = 3, .run = run_sub},
    {.op = &gr_op_mul, .supports = supports, .strided = 3, .run = run_mul},
    {0},
};
