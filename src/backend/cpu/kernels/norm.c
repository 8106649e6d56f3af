/* Rows of layer norm and RMS norm, forward and backward. */
#include "backend/cpu/row_kernels.h"
#include "backend/cpu/kernels/isa_suffix.h"
#include "backend/cpu/kernels/vec.h"

#include <math.h>

/* The variance is summed around the mean, in a second pass over a row that is in the first-level cache by then: the
 * one-pass formula loses all digits where the mean is large. */
void GR_ISA_FN(gr_row_layer_norm)(float *y, const float *x, const float *weight, const float *bias, int64_t n,
                                  float eps, float *mean, float *rstd)
{
    float m = gr_row_sum(x, n) / (float)n;
    float r = 1 / sqrtf(gr_row_sum_terms(x, m, x, m, n) / (float)n + eps);
    if (bias)
        GR_EACH for (int64_t i = 0; i < n; i++) y[i] = (x[i] - m) * r * weight[i] + bias[i];
    else
        GR_EACH for (int64_t i = 0; i < n; i++) y[i] = (x[i] - m) * r * weight[i];
    *mean = m;
    *rstd = r;
}

void GR_ISA_FN(gr_row_rms_norm)(float *y, const float *x, const float *weight, int64_t n, float eps, float *rstd)
{
    float r = 1 / sqrtf(gr_row_dot(x, x, n) / (float)n + eps);
    GR_EACH for (int64_t i = 0; i < n; i++) y[i] = x[i] * r * weight[i];
    *rstd = r;
}

/* The sums of g and g (x - mean), g = d weight. */
static void grad_sums(const float *x, float mean, const float *weight, const float *d, int64_t n, float *sum,
                      float *along)
{
    gr_vec s0 = {0}, s1 = {0}, a0 = {0}, a1 = {0};
    int64_t i = 0;
    for (; i + 2 * GR_LANES <= n; i += 2 * GR_LANES) {
        gr_vec g0 = gr_vec_load(d + i) * gr_vec_load(weight + i);
        gr_vec g1 = gr_vec_load(d + i + GR_LANES) * gr_vec_load(weight + i + GR_LANES);
        s0 += g0;
        s1 += g1;
        a0 += g0 * (gr_vec_load(x + i) - mean);
        a1 += g1 * (gr_vec_load(x + i + GR_LANES) - mean);
    }
    float s = gr_vec_sum(s0 + s1), a = gr_vec_sum(a0 + a1);
    for (; i < n; i++) {
        float g = d[i] * weight[i];
        s += g;
        a += g * (x[i] - mean);
    }
    *sum = s;
    *along = a;
}

void GR_ISA_FN(gr_row_layer_norm_grad)(float *dx, float *dweight, float *dbias, const float *x, const float *weight,
                                       const float *d, int64_t n, float mean, float rstd)
{
    float sum, along;
    grad_sums(x, mean, weight, d, n, &sum, &along);
    float mean_g = sum / (float)n, mean_gn = along * rstd / (float)n;
    GR_EACH for (int64_t i = 0; i < n; i++)
    {
        float di = d[i], normed = (x[i] - mean) * rstd;
        dweight[i] += di * normed;
        dbias[i] += di;
        dx[i] = rstd * ((di * weight[i] - mean_g) - normed * mean_gn);
    }
}

void GR_ISA_FN(gr_row_rms_norm_grad)(float *dx, float *dweight, const float *x, const float *weight, const float *d,
                                     int64_t n, float rstd)
{
    float sum, along;
    grad_sums(x, 0, weight, d, n, &sum, &along);
    float mean_gn = along * rstd / (float)n;
    GR_EACH for (int64_t i = 0; i < n; i++)
    {
        float di = d[i], normed = x[i] * rstd;
        dweight[i] += di * normed;
        dx[i] = rstd * (di * weight[i] - normed * mean_gn);
    }
}

void GR_ISA_FN(gr_row_add)(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += x[i];
}
