/* Matrix multiplication. */
#include "backend/gpu/families.h"

#include "op/attr.h"
#include "op/op.h"

static gr_status run_matmul(const gr_call *call)
{
    enum { TILE = 32 }; /* of the kernel */
    const gr_matmul_attr *t = call->attr;
    const gr_operand *a = &call->in[0], *b = &call->in[1], *y = &call->out[0];
    const int64_t *sa = a->stride + a->ndim - 2, *sb = b->stride + b->ndim - 2;
    int64_t m = y->shape[y->ndim - 2], n = y->shape[y->ndim - 1];
    gr_operand lead[] = {*y, *a, *b}; /* leading dims */
    gr_gpu_walk w;
    gr_launch l;
    for (int i = 0; i < 3; i++)
        lead[i].ndim -= 2;
    gr_gpu_walk_over(&w, &lead[0], (const gr_operand *const[]){&lead[1], &lead[2]}, 2);
    int64_t batch = gr_operand_count(&lead[0]), k = a->shape[a->ndim - 1 - t->transpose_a];
    gr_launch_begin(&l, call, "matmul", "matmul");
    gr_launch_dtype(&l, "A", a->dtype);
    gr_launch_dtype(&l, "B", b->dtype);
    gr_launch_dtype(&l, "Y", y->dtype);
    gr_launch_operands(&l, call->in, 2);
    gr_launch_operand(&l, y);
    gr_launch_longs(&l, batch, m, n, k, sa[t->transpose_a], sa[!t->transpose_a], sb[t->transpose_b],
                    sb[!t->transpose_b]);
    gr_launch_int(&l, w.ndim);
    gr_launch_dims(&l, w.ndim, w.shape);
    gr_launch_dims(&l, w.ndim, w.stride[0]);
    gr_launch_dims(&l, w.ndim, w.stride[1]);
    return gr_launch_groups(&l, batch * ((m + TILE - 1) / TILE) * ((n + TILE - 1) / TILE));
}

const gr_kernel gr_gpu_matmul_kernels[] = {
    {.op = &gr_op_matmul, .supports = gr_gpu_floats, .strided = 3, .run = run_matmul},
    {0},
};
