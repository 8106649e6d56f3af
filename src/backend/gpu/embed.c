/* Looking up and adding to rows by index. */
#include "backend/gpu/families.h"

#include "op/op.h"

/* Elements of a row. */
static int64_t size_of(const gr_operand *x)
{
    int64_t n = 1;
    for (int i = 1; i < x->ndim; i++)
        n *= x->shape[i];
    return n;
}

static gr_status check(const gr_call *call)
{
    return gr_launch_check(call, &call->in[1], GR_FAULT_INDEX, 0, call->in[0].shape[0], 0);
}

static gr_status run_gather(const gr_call *call)
{
    const gr_operand *x = &call->in[0], *index = &call->in[1];
    int64_t n = gr_operand_count(index), size = size_of(x);
    gr_launch l;
    gr_status s = check(call);
    if (s != GR_OK)
        return s;
    gr_launch_begin(&l, call, "embed", "gather");
    gr_launch_word(&l, "W", x->dtype);
    gr_launch_dtype(&l, "I", index->dtype);
    gr_launch_fault(&l);
    gr_launch_operands(&l, call->in, 2);
    gr_launch_operand(&l, &call->out[0]);
    gr_launch_longs(&l, n, size);
    return gr_launch_items(&l, n * size);
}

static size_t links_scratch(const gr_call *call)
{
    return (size_t)gr_operand_count(&call->in[1]) * sizeof(int64_t);
}

static void begin_add(gr_launch *l, const gr_call *call, const char *kernel)
{
    gr_launch_begin(l, call, "embed", kernel);
    gr_launch_dtype(l, "T", call->in[0].dtype);
    gr_launch_dtype(l, "I", call->in[1].dtype);
}

static gr_status run_scatter_add(const gr_call *call)
{
    const gr_operand *base = &call->in[0], *index = &call->in[1], *y = &call->out[0];
    int64_t n = gr_operand_count(index), size = size_of(base);
    gr_launch l;
    gr_status s = check(call);
    if (s == GR_OK && gr_gpu_address(y) != gr_gpu_address(base))
        s = gr_gpu_copy(call, y, base, false);
    if (s != GR_OK)
        return s;
    begin_add(&l, call, "links");
    gr_launch_operand(&l, index);
    gr_launch_scratch(&l, call, 0);
    gr_launch_long(&l, n);
    s = gr_launch_items(&l, n);
    if (s != GR_OK)
        return s;
    begin_add(&l, call, "add_rows");
    gr_launch_fault(&l);
    gr_launch_scratch(&l, call, 0);
    gr_launch_operands(&l, call->in + 1, 2);
    gr_launch_operand(&l, y);
    gr_launch_longs(&l, n, size);
    return gr_launch_items(&l, n * size);
}

const gr_kernel gr_gpu_embed_kernels[] = {
    {.op = &gr_op_gather, .supports = gr_gpu_plain, .run = run_gather},
    {.op = &gr_op_embedding, .supports = gr_gpu_plain, .run = run_gather},
    {.op = &gr_op_scatter_add, .supports = gr_gpu_any, .in_place = 1, .scratch = links_scratch, .run = run_scatter_add},
    {0},
};
