/* The cpu backend's kernels: a table a family, each closed by a line without op. */
#ifndef GR_BACKEND_CPU_CPU_H
#define GR_BACKEND_CPU_CPU_H

#include "backend/backend.h"

extern const gr_kernel gr_cpu_matmul_kernels[], gr_cpu_elementwise_kernels[], gr_cpu_layout_kernels[],
    gr_cpu_reduce_kernels[], gr_cpu_update_kernels[], gr_cpu_softmax_kernels[], gr_cpu_loss_kernels[],
    gr_cpu_norm_kernels[], gr_cpu_rope_kernels[], gr_cpu_embed_kernels[], gr_cpu_attention_one_kernels[],
    gr_cpu_attention_kernels[], gr_cpu_integer_kernels[], gr_cpu_random_kernels[], gr_cpu_block_kernels[],
    gr_cpu_int8_kernels[], gr_cpu_adafactor_kernels[];

/* Has the executor of chains a loop for this node, and registers that hold its values? */
bool gr_cpu_fuses(const gr_device *d, const gr_tensor *node);

/* ---- what several families need ----------------------------------------------------------------------------- */

/* Moves elements: to[i0, i1, ..] = from[i0, i1, ..] for operands of one shape and dtype, each with its own strides.
 * `from` may repeat elements (stride 0); `to` may not overlap it. */
void gr_cpu_copy(const gr_device *device, const gr_operand *to, const gr_operand *from);
/* The operand with row-major strides at `data`. */
gr_operand gr_cpu_contiguous(const gr_operand *o, void *data);

/* out = op(in[0..n_in)) by the element-wise kernel, outside of any program: for effects that compute and write back.
 * n_in is at most 3; out may be one of the inputs. */
void gr_cpu_apply(gr_device *device, const gr_op *op, const gr_operand *in, int n_in, const gr_operand *out);

/* to = from in another dtype, of f32, f16 and bf16. */
void gr_cpu_cast(gr_device *device, const gr_operand *from, const gr_operand *to);

#endif
