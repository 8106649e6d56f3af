/* Rows of softmax and log-softmax. */
#include "backend/cpu/row_kernels.h"
#include "backend/cpu/kernels/isa_suffix.h"
#include "backend/cpu/kernels/vec.h"

/* A row that has an infinity or NaN becomes NaN: its maximum is infinite, or the NaN reaches the sum. */
void GR_ISA_FN(gr_row_softmax)(float *y, const float *x, int64_t n)
{
    float inverse = 1 / gr_row_exp(y, x, gr_row_max(x, n), n);
    for (int64_t i = 0; i < n; i++)
        y[i] *= inverse;
}

void GR_ISA_FN(gr_row_softmax_grad)(float *dx, const float *y, const float *d, int64_t n)
{
    float dot = gr_row_dot(y, d, n);
    GR_EACH for (int64_t i = 0; i < n; i++) dx[i] = y[i] * (d[i] - dot);
}

void GR_ISA_FN(gr_row_log_softmax)(float *y, const float *x, int64_t n)
{
    /* (x - largest) - log(sum): exact where x is near the maximum, however large both are. */
    float largest = gr_row_max(x, n);
    float rest = GR_ISA_FN(gr_row_log_sum_exp)(x, n) - largest;
    GR_EACH for (int64_t i = 0; i < n; i++) y[i] = (x[i] - largest) - rest;
}

void GR_ISA_FN(gr_row_log_softmax_grad)(float *dx, const float *y, const float *d, int64_t n)
{
    float sum = gr_row_sum(d, n);
    GR_EACH for (int64_t i = 0; i < n; i++) dx[i] = d[i] - gr_vexp(y[i]) * sum;
}
