/* Softmax and log-softmax along the last dim, and their gradients. */
#include "backend/gpu/families.h"

#include "op/op.h"

static gr_status run(const gr_call *call)
{
    const gr_operand *x = &call->in[0];
    bool is_grad = call->n_in == 2, is_log = call->op == &gr_op_log_softmax || call->op == &gr_op_log_softmax_grad;
    gr_launch l;
    gr_launch_begin(&l, call, "softmax", is_grad ? "softmax_grad" : "softmax");
    gr_launch_dtype(&l, "T", x->dtype);
    gr_launch_operands(&l, call->in, call->n_in);
    gr_launch_operand(&l, &call->out[0]);
    gr_launch_longs(&l, gr_gpu_rows(x), x->shape[x->ndim - 1]);
    gr_launch_int(&l, is_log);
    return gr_launch_groups(&l, gr_gpu_rows(x));
}

const gr_kernel gr_gpu_softmax_kernels[] = {
    {.op = &gr_op_softmax, .supports = gr_gpu_floats, .in_place = 1, .run = run},
    {.op = &gr_op_softmax_grad, .supports = gr_gpu_floats, .in_place = 3, .run = run},
    {.op = &gr_op_log_softmax, .supports = gr_gpu_floats, .in_place = 1, .run = run},
    {.op = &gr_op_log_softmax_grad, .supports = gr_gpu_floats, .in_place = 3, .run = run},
    {0},
};
