/* The GPU's kernels: a table a family, each closed by a line without op; and what families do for each other. */
#ifndef GR_BACKEND_GPU_FAMILIES_H
#define GR_BACKEND_GPU_FAMILIES_H

#include "backend/gpu/launch.h"

extern const gr_kernel gr_gpu_source_kernels[];

/* Every element of a contiguous operand becomes `value`. */
gr_status gr_gpu_fill(const gr_call *call, const gr_operand *to, double value);

#endif
