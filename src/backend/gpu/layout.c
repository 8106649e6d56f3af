/* Ops that move elements without looking at them. */
#include "backend/gpu/families.h"

#include "base/dtype.h"
#include "op/attr.h"
#include "op/op.h"

#include <string.h>

/* By how much operand o moves along dim d of the shape it broadcasts to. */
static int64_t stride_along(const gr_operand *o, int ndim, int d)
{
    int own = d - (ndim - o->ndim);
    return own >= 0 && o->shape[own] != 1 ? o->stride[own] : 0;
}

static bool joins(const gr_gpu_walk *w, const gr_operand *const *o, int n, const gr_operand *shape, int d)
{
    for (int i = 0; w->ndim > 0 && i < n; i++)
        if (w->stride[i][w->ndim - 1] != shape->shape[d] * stride_along(o[i], shape->ndim, d))
            return false;
    return w->ndim > 0;
}

void gr_gpu_walk_over(gr_gpu_walk *w, const gr_operand *shape, const gr_operand *const *o, int n)
{
    memset(w, 0, sizeof *w);
    for (int d = 0; d < shape->ndim; d++) {
        if (shape->shape[d] == 1)
            continue;
        if (joins(w, o, n, shape, d))
            w->shape[w->ndim - 1] *= shape->shape[d];
        else
            w->shape[w->ndim++] = shape->shape[d];
        for (int i = 0; i < n; i++)
            w->stride[i][w->ndim - 1] = stride_along(o[i], shape->ndim, d);
    }
    if (w->ndim == 0)
        w->shape[w->ndim++] = 1;
}

gr_status gr_gpu_copy(const gr_call *call, const gr_operand *to, const gr_operand *from, bool guarded)
{
    gr_launch l;
    gr_gpu_walk w;
    gr_gpu_walk_over(&w, to, (const gr_operand *const[]){from, to}, 2);
    gr_launch_begin(&l, call, "layout", "copy");
    gr_launch_word(&l, "W", to->dtype);
    gr_launch_fault(&l);
    gr_launch_int(&l, guarded);
    gr_launch_operand(&l, from);
    gr_launch_operand(&l, to);
    gr_launch_long(&l, gr_operand_count(to));
    gr_launch_int(&l, w.ndim);
    gr_launch_dims(&l, w.ndim, w.shape);
    gr_launch_dims(&l, w.ndim, w.stride[0]);
    gr_launch_dims(&l, w.ndim, w.stride[1]);
    return gr_launch_items(&l, gr_operand_count(to));
}

static gr_status run_contiguous(const gr_call *call)
{
    return gr_gpu_copy(call, &call->out[0], &call->in[0], false);
}

/* The part of the result that input i fills from position `at` of dim `axis` on. */
static gr_status copy_part(const gr_call *call, int i, int axis, int64_t at)
{
    gr_operand to = call->out[0];
    if (to.ndim > 0) {
        to.shape[axis] = call->in[i].shape[axis];
        to.address += gr_dtype_size(to.dtype, at * to.stride[axis]);
    }
    return gr_gpu_copy(call, &to, &call->in[i], false);
}

static gr_status run_concat(const gr_call *call)
{
    int axis = ((const gr_axis_attr *)call->attr)->axis;
    gr_status s = GR_OK;
    int64_t at = 0;
    for (int i = 0; s == GR_OK && i < call->n_in; i++) {
        s = copy_part(call, i, axis, at);
        at += call->in[i].shape[axis];
    }
    return s;
}

static gr_status run_pad(const gr_call *call)
{
    const gr_pad_attr *a = call->attr;
    gr_status s = gr_gpu_fill(call, &call->out[0], a->value);
    return s == GR_OK ? copy_part(call, 0, a->axis, a->before) : s;
}

const gr_kernel gr_gpu_layout_kernels[] = {
    {.op = &gr_op_contiguous, .supports = gr_gpu_plain, .strided = 1, .run = run_contiguous},
    {.op = &gr_op_concat, .supports = gr_gpu_plain, .strided = ~0u, .run = run_concat},
    {.op = &gr_op_pad, .supports = gr_gpu_plain, .strided = 1, .run = run_pad},
    {0},
};
