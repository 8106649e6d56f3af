/* Cross-entropy of rows of logits. */
#include "backend/gpu/families.h"

#include "op/attr.h"
#include "op/op.h"

static gr_status run_loss(const gr_call *call)
{
    const gr_operand *x = &call->in[0], *target = &call->in[1], *out = call->out;
    bool is_grad = call->op == &gr_op_cross_entropy_grad;
    int64_t rows = gr_gpu_rows(x), n = x->shape[x->ndim - 1];
    int64_t ignored = ((const gr_ignore_attr *)call->attr)->ignore_index;
    gr_launch l;
    gr_status s = gr_launch_check(call, target, GR_FAULT_TARGET, 0, n, ignored);
    if (s != GR_OK)
        return s;
    gr_launch_begin(&l, call, "loss", is_grad ? "cross_entropy_grad" : "cross_entropy");
    gr_launch_dtype(&l, "X", x->dtype);
    gr_launch_dtype(&l, "I", target->dtype);
    gr_launch_fault(&l);
    gr_launch_operands(&l, call->in, call->n_in);
    gr_launch_operands(&l, out, call->n_out);
    gr_launch_longs(&l, rows, n, ignored);
    if (!is_grad)
        gr_launch_int(&l, (gr_gpu_address(&out[0]) != 0) | (gr_gpu_address(&out[1]) != 0) << 1);
    return gr_launch_groups(&l, rows);
}

const gr_kernel gr_gpu_loss_kernels[] = {
    {.op = &gr_op_cross_entropy_rows, .supports = gr_gpu_any, .run = run_loss},
    {.op = &gr_op_cross_entropy_grad, .supports = gr_gpu_any, .in_place = 1, .run = run_loss},
    {0},
};
