/* Layer norm and RMS norm over the last dim, and their gradients. */
#include "backend/gpu/families.h"

#include "op/attr.h"
#include "op/op.h"

enum { MOST_BLOCKS = 32 };

/* Rows and weights of one dtype. */
static bool supports(const gr_device *d, const gr_tensor *node)
{
    return gr_gpu_floats(d, node) && node->in[1]->spec.dtype == node->in[0]->spec.dtype;
}

static void begin(gr_launch *l, const gr_call *call, const char *kernel)
{
    gr_launch_begin(l, call, "norm", kernel);
    gr_launch_dtype(l, "T", call->in[0].dtype);
}

static gr_status run_norm(const gr_call *call)
{
    const gr_operand *x = &call->in[0], *y = call->out;
    bool layer = call->op == &gr_op_layer_norm;
    uint64_t mean = layer ? gr_gpu_address(&y[1]) : 0, rstd = gr_gpu_address(&y[1 + layer]);
    gr_launch l;
    begin(&l, call, "norm");
    gr_launch_operands(&l, call->in, 2);
    gr_launch_optional(&l, call, 2);
    gr_launch_operand(&l, y);
    gr_launch_address(&l, mean);
    gr_launch_address(&l, rstd);
    gr_launch_longs(&l, gr_gpu_rows(x), x->shape[x->ndim - 1]);
    gr_launch_float(&l, (double)((const gr_norm_attr *)call->attr)->eps);
    gr_launch_ints(&l, layer, gr_gpu_has(call, 2), (gr_gpu_address(y) != 0) | (mean != 0) << 1 | (rstd != 0) << 2);
    return gr_launch_groups(&l, gr_gpu_rows(x));
}

static int64_t blocks_of(const gr_call *call)
{
    int64_t rows = gr_gpu_rows(&call->in[0]);
    return rows < MOST_BLOCKS ? rows : MOST_BLOCKS;
}

static size_t grad_scratch(const gr_call *call)
{
    return (size_t)(2 * blocks_of(call) * call->in[1].shape[0]) * sizeof(float);
}

/* The sums come first: dx may take the place of x or d. */
static gr_status run_grad(const gr_call *call)
{
    const gr_operand *x = &call->in[0], *stat = &call->in[2], *out = call->out;
    bool layer = call->op == &gr_op_layer_norm_grad;
    const gr_operand *rstd = stat + layer, *d = rstd + 1;
    int64_t rows = gr_gpu_rows(x), n = x->shape[x->ndim - 1], blocks = blocks_of(call);
    gr_launch l;
    begin(&l, call, "norm_sums");
    gr_launch_operand(&l, x);
    gr_launch_operand(&l, stat);
    gr_launch_operand(&l, rstd);
    gr_launch_operand(&l, d);
    gr_launch_scratch(&l, call, 0);
    gr_launch_longs(&l, rows, n);
    gr_launch_int(&l, layer);
    gr_launch_long(&l, blocks);
    gr_status s = gr_launch_items(&l, blocks * n);
    for (int k = 0; s == GR_OK && k <= layer; k++)
        if (gr_gpu_address(&out[1 + k]))
            s = gr_gpu_sum_rows(call, (size_t)(k * blocks * n) * sizeof(float), blocks, &out[1 + k]);
    if (s != GR_OK || !gr_gpu_address(out))
        return s;
    begin(&l, call, "norm_grad");
    gr_launch_operands(&l, call->in, 2);
    gr_launch_operand(&l, stat);
    gr_launch_operand(&l, rstd);
    gr_launch_operand(&l, d);
    gr_launch_operand(&l, out);
    gr_launch_longs(&l, rows, n);
    gr_launch_int(&l, layer);
    return gr_launch_groups(&l, rows);
}

const gr_kernel gr_gpu_norm_kernels[] = {
    {.op = &gr_op_layer_norm, .supports = supports, .in_place = 1, .run = run_norm},
    {.op = &gr_op_layer_norm_grad,
     .supports = supports,
     .in_place = 1u << 0 | 1u << 4,
     .scratch = grad_scratch,
     .run = run_grad},
    {.op = &gr_op_rms_norm, .supports = supports, .in_place = 1, .run = run_norm},
    {.op = &gr_op_rms_norm_grad,
     .supports = supports,
     .in_place = 1u << 0 | 1u << 3,
     .scratch = grad_scratch,
     .run = run_grad},
    {0},
};
