/* Reductions. */
#include "backend/gpu/families.h"

#include "base/dtype.h"
#include "op/attr.h"
#include "op/op.h"

enum { FEW_ELEMENTS = 64, MANY_OUTPUTS = 512, NORM_PART = 16384 };

/* Dims apart: those that stay and those that go. */
typedef struct dims {
    int n;
    int64_t count, shape[GR_MAX_DIMS], stride[GR_MAX_DIMS];
} dims;

static void begin(gr_launch *l, const gr_call *call, const char *kernel, gr_dtype x, gr_dtype y)
{
    gr_launch_begin(l, call, "reduce", kernel);
    gr_launch_dtype(l, "X", x);
    gr_launch_dtype(l, "Y", y);
}

static gr_status reduce(const gr_call *call, const gr_operand *x, const gr_operand *y, unsigned axes, bool largest,
                        double divide)
{
    gr_launch l;
    dims part[2] = {{.count = 1}, {.count = 1}};
    for (int d = 0; d < x->ndim; d++) {
        dims *p = &part[axes >> d & 1];
        p->shape[p->n] = x->shape[d];
        p->stride[p->n++] = x->stride[d];
        p->count *= x->shape[d];
    }
    const dims *stay = &part[0], *go = &part[1];
    bool inner = x->ndim > 0 && axes >> (x->ndim - 1) & 1; /* neighbours in memory are reduced */
    bool items = go->count <= FEW_ELEMENTS || (!inner && stay->count >= MANY_OUTPUTS);
    items |= !gr_dtype_get(x->dtype)->is_float; /* groups add floats */
    begin(&l, call, items ? "reduce_items" : "reduce_groups", x->dtype, y->dtype);
    gr_launch_operand(&l, x);
    gr_launch_operand(&l, y);
    gr_launch_longs(&l, stay->count, go->count);
    gr_launch_float(&l, divide);
    gr_launch_ints(&l, largest, stay->n, go->n);
    for (int i = 0; i < 2; i++) {
        gr_launch_dims(&l, part[i].n, part[i].shape);
        gr_launch_dims(&l, part[i].n, part[i].stride);
    }
    return items ? gr_launch_items(&l, stay->count) : gr_launch_groups(&l, stay->count);
}

gr_status gr_gpu_sum_rows(const gr_call *call, size_t offset, int64_t rows, const gr_operand *y)
{
    int64_t n = gr_operand_count(y);
    gr_operand x = {
        .dtype = GR_F32, .ndim = 2, .shape = {rows, n}, .stride = {n, 1}, .address = call->scratch_address + offset};
    return reduce(call, &x, y, 1, false, 1);
}

static gr_status run_reduce(const gr_call *call)
{
    const gr_operand *x = &call->in[0], *y = &call->out[0];
    int64_t n = gr_operand_count(y);
    double count = n ? (double)gr_operand_count(x) / (double)n : 0;
    return reduce(call, x, y, ((const gr_reduce_attr *)call->attr)->axes, call->op == &gr_op_reduce_max,
                  call->op == &gr_op_mean ? count : 1);
}

static gr_status run_argmax(const gr_call *call)
{
    const gr_operand *x = &call->in[0];
    gr_launch l;
    begin(&l, call, "argmax", x->dtype, x->dtype);
    gr_launch_operand(&l, x);
    gr_launch_operand(&l, &call->out[0]);
    gr_launch_longs(&l, gr_gpu_rows(x), x->shape[x->ndim - 1]);
    return gr_launch_groups(&l, gr_gpu_rows(x));
}

/* ---- global norm -------------------------------------------------------------------------------------------- */

static int64_t norm_parts(const gr_operand *x)
{
    return (gr_operand_count(x) + NORM_PART - 1) / NORM_PART;
}

static size_t norm_scratch(const gr_call *call)
{
    int64_t n = 0;
    for (int i = 0; i < call->n_in; i++)
        n += norm_parts(&call->in[i]);
    return (size_t)n * sizeof(float);
}

static gr_status run_norm(const gr_call *call)
{
    gr_status s = GR_OK;
    gr_launch l;
    int64_t at = 0;
    for (int i = 0; s == GR_OK && i < call->n_in; i++) {
        if (norm_parts(&call->in[i]) == 0)
            continue; /* behind the last part there may be no scratch */
        begin(&l, call, "squares", call->in[i].dtype, GR_F32);
        gr_launch_operand(&l, &call->in[i]);
        gr_launch_scratch(&l, call, (size_t)at * sizeof(float));
        gr_launch_longs(&l, gr_operand_count(&call->in[i]), NORM_PART);
        s = gr_launch_groups(&l, norm_parts(&call->in[i]));
        at += norm_parts(&call->in[i]);
    }
    if (s != GR_OK)
        return s;
    begin(&l, call, "root", call->in[0].dtype, GR_F32);
    gr_launch_scratch(&l, call, 0);
    gr_launch_operand(&l, &call->out[0]);
    gr_launch_long(&l, at);
    return gr_launch_groups(&l, 1);
}

const gr_kernel gr_gpu_reduce_kernels[] = {
    {.op = &gr_op_sum, .supports = gr_gpu_any, .strided = 1, .run = run_reduce},
    {.op = &gr_op_mean, .supports = gr_gpu_floats, .strided = 1, .run = run_reduce},
    {.op = &gr_op_reduce_max, .supports = gr_gpu_any, .strided = 1, .run = run_reduce},
    {.op = &gr_op_argmax, .supports = gr_gpu_any, .run = run_argmax},
    {.op = &gr_op_global_norm, .supports = gr_gpu_floats, .scratch = norm_scratch, .run = run_norm},
    {0},
};
