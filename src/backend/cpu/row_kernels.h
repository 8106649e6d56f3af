/* The row kernels of each ISA level: one row of n f32 values a call. Defined in kernels/. Where an output may lie on an
 * input, they are the same memory, element for element. */
#ifndef GR_BACKEND_CPU_ROW_KERNELS_H
#define GR_BACKEND_CPU_ROW_KERNELS_H

#include "backend/cpu/isa.h"

/* kernels/softmax.c; y may be x, dx may be y or d */
GR_ISA_DECLARE(void, gr_row_softmax, (float *y, const float *x, int64_t n));
GR_ISA_DECLARE(void, gr_row_softmax_grad, (float *dx, const float *y, const float *d, int64_t n));
GR_ISA_DECLARE(void, gr_row_log_softmax, (float *y, const float *x, int64_t n));
GR_ISA_DECLARE(void, gr_row_log_softmax_grad, (float *dx, const float *y, const float *d, int64_t n));

/* kernels/loss.c: log of the sum of e^x; (e^(x - lse) - one hot) d, where dx may be x */
GR_ISA_DECLARE(float, gr_row_log_sum_exp, (const float *x, int64_t n));
GR_ISA_DECLARE(void, gr_row_cross_entropy_grad,
               (float *dx, const float *x, int64_t n, int64_t target, float lse, float d));

/* kernels/norm.c; y may be x. bias may be NULL. */
GR_ISA_DECLARE(void, gr_row_layer_norm,
               (float *y, const float *x, const float *weight, const float *bias, int64_t n, float eps, float *mean,
                float *rstd));
GR_ISA_DECLARE(void, gr_row_rms_norm,
               (float *y, const float *x, const float *weight, int64_t n, float eps, float *rstd));
/* dweight and dbias are added to; dx may be x or d. */
GR_ISA_DECLARE(void, gr_row_layer_norm_grad,
               (float *dx, float *dweight, float *dbias, const float *x, const float *weight, const float *d, int64_t n,
                float mean, float rstd));
GR_ISA_DECLARE(void, gr_row_rms_norm_grad,
               (float *dx, float *dweight, const float *x, const float *weight, const float *d, int64_t n, float rstd));
GR_ISA_DECLARE(void, gr_row_add, (float *y, const float *x, int64_t n)); /* y += x */

/* kernels/rope.c: scale times cos and sin of position · freq; y = the r pairs of x turned, y may be x */
GR_ISA_DECLARE(void, gr_row_angles,
               (float *cosine, float *sine, float position, const float *freq, int64_t r, float cos_scale,
                float sin_scale));
GR_ISA_DECLARE(void, gr_row_turn_halves, (float *y, const float *x, const float *cosine, const float *sine, int64_t r));
GR_ISA_DECLARE(void, gr_row_turn_pairs, (float *y, const float *x, const float *cosine, const float *sine, int64_t r));

#endif
