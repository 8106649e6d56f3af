/* Arithmetic and comparisons of integers, which chains leave out since their registers are f32: positions and counts, a few thousand at
 * most, so not worth a thread. It wraps around, which C defines for unsigned numbers only. */
#include "backend/cpu/cpu.h"
#include "op/op.h"

typedef enum what { ADD, SUB, MUL, EQ, NE, LT, LE, GT, GE } what;

static uint64_t read_at(const gr_operand *o, int64_t at)
{
    return o->dtype == GR_I64 ? (uint64_t)((const int64_t *)o->data)[at]
                              : (uint64_t)(int64_t)((const int32_t *)o->data)[at];
}

static uint64_t apply(what op, uint64_t a, uint64_t b)
{
    int64_t x = (int64_t)a, y = (int64_t)b;
    switch (op) {
    case ADD:
        return a + b;
    case SUB:
        return a - b;
    case MUL:
        return a * b;
    case EQ:
        return x == y;
    case NE:
        return x != y;
    case LT:
        return x < y;
    case LE:
        return x <= y;
    case GT:
        return x > y;
    default:
        return x >= y;
    }
}

static void write_at(const gr_operand *o, int64_t at, uint64_t r)
{
    if (o->dtype == GR_I64)
        ((int64_t *)o->data)[at] = (int64_t)r;
    else if (o->dtype == GR_I32)
        ((int32_t *)o->data)[at] = (int32_t)(uint32_t)r;
    else
        ((bool *)o->data)[at] = r != 0;
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
        write_at(out, i, apply(op, read_at(x, at_x), read_at(y, at_y)));
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

#define RUN(name, op)                                                                                                  \
    static gr_status run_##name(const gr_call *call)                                                                   \
    {                                                                                                                  \
        return run(call, op);                                                                                          \
    }
RUN(add, ADD)
RUN(sub, SUB)
RUN(mul, MUL)
RUN(eq, EQ)
RUN(ne, NE)
RUN(lt, LT)
RUN(le, LE)
RUN(gt, GT)
RUN(ge, GE)

static bool supports(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    gr_dtype t = gr_in(node, 0)->dtype, out = node->spec.dtype;
    return (t == GR_I64 || t == GR_I32) && gr_in(node, 1)->dtype == t && (out == t || out == GR_BOOL);
}

#define KERNEL(name)                                                                                                   \
    {                                                                                                                  \
        .op = &gr_op_##name, .supports = supports, .strided = 3, .run = run_##name                                     \
    }

const gr_kernel gr_cpu_integer_kernels[] = {
    KERNEL(add), KERNEL(sub), KERNEL(mul), KERNEL(eq), KERNEL(ne), KERNEL(lt), KERNEL(le), KERNEL(gt), KERNEL(ge), {0},
};
