/* The GPU's kernels: a table a family, each closed by a line without op; and what families do for each other. */
#ifndef GR_BACKEND_GPU_FAMILIES_H
#define GR_BACKEND_GPU_FAMILIES_H

#include "backend/gpu/launch.h"
#include "op/fused.h"

extern const gr_kernel gr_gpu_source_kernels[], gr_gpu_layout_kernels[], gr_gpu_matmul_kernels[],
    gr_gpu_reduce_kernels[], gr_gpu_softmax_kernels[], gr_gpu_norm_kernels[], gr_gpu_rope_kernels[],
    gr_gpu_attention_kernels[], gr_gpu_embed_kernels[], gr_gpu_loss_kernels[], gr_gpu_update_kernels[];

/* Element-wise ops have no table: what kernels/elementwise.k has a function for can be done, alone and in chains. */
const gr_kernel *gr_gpu_elementwise_find(const gr_device *d, const gr_tensor *node);
bool gr_gpu_fuses(const gr_device *d, const gr_tensor *node); /* can be a part of a chain */

/* ---- what several families need ----------------------------------------------------------------------------- */

/* Operands over one shape: its dims but those of 1, neighbours joined where all operands run on evenly. */
typedef struct gr_gpu_walk {
    int ndim; /* at least 1 */
    int64_t shape[GR_MAX_DIMS], stride[GR_FUSED_IN][GR_MAX_DIMS];
} gr_gpu_walk;
void gr_gpu_walk_over(gr_gpu_walk *w, const gr_operand *shape, const gr_operand *const *o, int n);

/* to = from, of one shape and dtype, each with its own strides. guarded: nothing once the program has failed, for what
 * writes store tensors. */
gr_status gr_gpu_copy(const gr_call *call, const gr_operand *to, const gr_operand *from, bool guarded);
/* Every element of a contiguous operand becomes `value`. */
gr_status gr_gpu_fill(const gr_call *call, const gr_operand *to, double value);
/* out = op(in[0..n)), an element-wise op outside of any program; out may be one of the inputs, which are at most 3. */
gr_status gr_gpu_apply(const gr_call *call, const gr_op *op, const void *attr, const gr_operand *in, int n,
                       const gr_operand *out, bool guarded);
/* y [n] = the sums of the columns of an f32 [rows, n] in the call's scratch. */
gr_status gr_gpu_sum_rows(const gr_call *call, size_t offset, int64_t rows, const gr_operand *y);

#endif
