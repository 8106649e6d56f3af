/* Optimizer steps: one pass over parameter, gradient and moments, as fast as memory. */
#include "backend/cpu/reduce_kernels.h"

#include "backend/cpu/kernels/isa_suffix.h"

#include <math.h>

static void adamw(float *restrict p, const float *restrict g, float *restrict m, float *restrict v,
                  const gr_adamw_step *step, int64_t n)
{
    const gr_adamw_step s = *step;
    for (int64_t i = 0; i < n; i++) {
        float d = g[i] * s.grad_scale;
        float m1 = m[i] * s.beta1 + d * s.rest1, v1 = v[i] * s.beta2 + d * d * s.rest2;
        m[i] = m1;
        v[i] = v1;
        p[i] = p[i] * s.decay - s.rate * (m1 / (sqrtf(v1) * s.root_scale + s.eps));
    }
}

static void sgd(float *restrict p, const float *restrict g, float *restrict velocity, const gr_sgd_step *step,
                int64_t n)
{
    const gr_sgd_step s = *step;
    if (!velocity) {
        for (int64_t i = 0; i < n; i++)
            p[i] -= s.lr * (g[i] * s.grad_scale + s.weight_decay * p[i]);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        float v = velocity[i] * s.momentum + (g[i] * s.grad_scale + s.weight_decay * p[i]);
        velocity[i] = v;
        p[i] -= s.lr * v;
    }
}

static void lion(float *restrict p, const float *restrict g, float *restrict m, const gr_lion_step *step, int64_t n)
{
    const gr_lion_step s = *step;
    for (int64_t i = 0; i < n; i++) {
        float d = g[i] * s.grad_scale, to = m[i] * s.beta1 + d * s.rest1;
        float way = to > 0 ? s.lr : to < 0 ? -s.lr : 0;
        m[i] = m[i] * s.beta2 + d * s.rest2;
        p[i] = p[i] * s.decay - way;
    }
}

const gr_update_kernels *GR_ISA_FN(gr_update_kernels_get)(void)
{
    static const gr_update_kernels kernels = {adamw, sgd, lion};
    return &kernels;
}
