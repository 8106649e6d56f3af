/* Where values come from. */
#include "backend/gpu/families.h"

#include "base/dtype.h"
#include "op/attr.h"
#include "op/op.h"

#include <string.h>

gr_status gr_gpu_fill(const gr_call *call, const gr_operand *to, double value)
{
    gr_launch l;
    int64_t bits = 0, n = gr_operand_count(to);
    gr_dtype_get(to->dtype)->store(&bits, 0, value); /* little-endian, as every device that is opened */
    gr_launch_begin(&l, call, "source", "fill");
    gr_launch_word(&l, "W", to->dtype);
    gr_launch_operand(&l, to);
    gr_launch_long(&l, n);
    gr_launch_long(&l, bits);
    return gr_launch_items(&l, n);
}

static gr_status run_fill(const gr_call *call)
{
    return gr_gpu_fill(call, &call->out[0], ((const gr_fill_attr *)call->attr)->value);
}

static gr_status run_iota(const gr_call *call)
{
    const gr_operand *y = &call->out[0];
    gr_launch l;
    gr_launch_begin(&l, call, "source", "iota");
    gr_launch_dtype(&l, "T", y->dtype);
    gr_launch_operand(&l, y);
    gr_launch_long(&l, gr_operand_count(y));
    return gr_launch_items(&l, gr_operand_count(y));
}

static gr_status run_random(const gr_call *call)
{
    const gr_operand *y = &call->out[0];
    gr_launch l;
    gr_launch_begin(&l, call, "source", "random");
    gr_launch_dtype(&l, "T", y->dtype);
    gr_launch_operand(&l, &call->in[0]);
    gr_launch_operand(&l, y);
    gr_launch_long(&l, gr_operand_count(y));
    gr_launch_ints(&l, ((const gr_random_attr *)call->attr)->stream, call->op == &gr_op_normal);
    return gr_launch_items(&l, gr_operand_count(y));
}

const gr_kernel gr_gpu_source_kernels[] = {
    {.op = &gr_op_fill, .supports = gr_gpu_plain, .run = run_fill},
    {.op = &gr_op_iota, .supports = gr_gpu_any, .run = run_iota},
    {.op = &gr_op_uniform, .supports = gr_gpu_any, .run = run_random},
    {.op = &gr_op_normal, .supports = gr_gpu_any, .run = run_random},
    {0},
};
