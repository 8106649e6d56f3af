/* Element-wise loops over f32 tiles that lie in the first-level cache. Plain formulas that the compiler vectorises; y may
 * be one of the inputs, element by element, which is what VECTOR_LOOP promises. A loop within one is UNROLLED, or clang
 * has none of it below -O2. */
#include "backend/cpu/elementwise_kernels.h"

#include "backend/cpu/kernels/isa_suffix.h"
#include "backend/cpu/kernels/philox.h"
#include "backend/cpu/kernels/vmath.h"

#include <math.h>

static void splat(float *y, float value, int64_t n)
{
    VECTOR_LOOP
    for (int64_t i = 0; i < n; i++)
        y[i] = value;
}

/* ---- one operand -------------------------------------------------------------------------------------------- */

/* A scalar is computed once, then spread. */
#define LOOP1(op, formula)                                                                                             \
    static void op##_loop(float *y, const float *const *x, unsigned scalar, int64_t n)                                 \
    {                                                                                                                  \
        const float *pa = x[0];                                                                                        \
        int64_t m = scalar ? 1 : n;                                                                                    \
        VECTOR_LOOP                                                                                                    \
        for (int64_t i = 0; i < m; i++) {                                                                              \
            float a = pa[i];                                                                                           \
            y[i] = formula;                                                                                            \
        }                                                                                                              \
        if (scalar)                                                                                                    \
            splat(y, y[0], n);                                                                                         \
    }

static inline float relu(float x)
{
    return x < 0.0f ? 0.0f : x; /* NaN stays */
}

/* The standard normal's distribution function */
static inline float normal_cdf(float x)
{
    return 0.5f + 0.5f * gr_verf(x * 0.707106781f);
}

/* x/2 (1 + tanh u) is x sigmoid(2u): one exponential, and no cancellation where tanh is near -1. This is the sigmoid. */
static inline float gelu_tanh_gate(float x)
{
    return gr_vsigmoid(1.59576912f * (x + 0.044715f * (x * x * x)));
}

LOOP1(cast, a) /* what the dtype makes of it is done where values are rounded */
LOOP1(neg, -a)
LOOP1(abs, gr_vabs(a))
LOOP1(exp, gr_vexp(a))
LOOP1(log, gr_vlog(a))
LOOP1(sqrt, sqrtf(a))
LOOP1(rsqrt, 1.0f / sqrtf(a))
LOOP1(reciprocal, 1.0f / a)
LOOP1(sin, gr_vsin(a))
LOOP1(cos, gr_vcos(a))
LOOP1(tanh, gr_vtanh(a))
LOOP1(erf, gr_verf(a))
LOOP1(sigmoid, gr_vsigmoid(a))
LOOP1(is_finite, gr_vabs(a) <= 3.40282347e38f ? 1.0f : 0.0f)
LOOP1(relu, relu(a))
LOOP1(gelu, a *normal_cdf(a))
LOOP1(gelu_tanh, a *gelu_tanh_gate(a))
LOOP1(silu, a *gr_vsigmoid(a))

/* ---- two operands ------------------------------------------------------------------------------------------- */

/* Short formulas: a loop for each of the cases, so that a scalar costs no load. */
#define LOOP2(op, formula)                                                                                             \
    static void op##_loop(float *y, const float *const *x, unsigned scalar, int64_t n)                                 \
    {                                                                                                                  \
        const float *pa = x[0], *pb = x[1];                                                                            \
        if (scalar == 0) {                                                                                             \
            VECTOR_LOOP                                                                                                \
            for (int64_t i = 0; i < n; i++) {                                                                          \
                float a = pa[i], b = pb[i];                                                                            \
                y[i] = formula;                                                                                        \
            }                                                                                                          \
        } else if (scalar == 2) {                                                                                      \
            const float b = *pb;                                                                                       \
            VECTOR_LOOP                                                                                                \
            for (int64_t i = 0; i < n; i++) {                                                                          \
                float a = pa[i];                                                                                       \
                y[i] = formula;                                                                                        \
            }                                                                                                          \
        } else if (scalar == 1) {                                                                                      \
            const float a = *pa;                                                                                       \
            VECTOR_LOOP                                                                                                \
            for (int64_t i = 0; i < n; i++) {                                                                          \
                float b = pb[i];                                                                                       \
                y[i] = formula;                                                                                        \
            }                                                                                                          \
        } else {                                                                                                       \
            const float a = *pa, b = *pb;                                                                              \
            splat(y, formula, n);                                                                                      \
        }                                                                                                              \
    }

LOOP2(add, a + b)
LOOP2(sub, a - b)
LOOP2(mul, a *b)
LOOP2(div, a / b)
LOOP2(min, a < b || a != a ? a : b)
LOOP2(max, a > b || a != a ? a : b)
LOOP2(eq, a == b ? 1.0f : 0.0f)
LOOP2(ne, a != b ? 1.0f : 0.0f)
LOOP2(lt, a < b ? 1.0f : 0.0f)
LOOP2(le, a <= b ? 1.0f : 0.0f)
LOOP2(gt, a > b ? 1.0f : 0.0f)
LOOP2(ge, a >= b ? 1.0f : 0.0f)
LOOP2(relu_grad, a > 0.0f ? b : 0.0f)

/* Long formulas: one loop, a scalar is spread over a short run first. */
enum { RUN = 64 };

#define LONG_LOOP2(op, formula)                                                                                        \
    static void op##_vectors(float *y, const float *pa, const float *pb, int64_t n)                                    \
    {                                                                                                                  \
        VECTOR_LOOP                                                                                                    \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            float a = pa[i], b = pb[i];                                                                                \
            y[i] = formula;                                                                                            \
        }                                                                                                              \
    }                                                                                                                  \
    static void op##_loop(float *y, const float *const *x, unsigned scalar, int64_t n)                                 \
    {                                                                                                                  \
        float spread[2][RUN];                                                                                          \
        for (int k = 0; k < 2; k++)                                                                                    \
            if (scalar >> k & 1)                                                                                       \
                splat(spread[k], *x[k], RUN);                                                                          \
        int64_t step = scalar ? RUN : n;                                                                               \
        for (int64_t i = 0; i < n; i += step)                                                                          \
            op##_vectors(y + i, scalar & 1 ? spread[0] : x[0] + i, scalar & 2 ? spread[1] : x[1] + i,                  \
                         n - i < step ? n - i : step);                                                                 \
    }

static inline float gelu_grad(float x, float d)
{
    float pdf = 0.398942280f * gr_vexp(-0.5f * (x * x));
    return d * (normal_cdf(x) + x * pdf);
}

/* sigmoid(v), and its derivative s (1 - s) without the cancellation in 1 - s: with e = e^-|v| it is e / (1 + e)^2. */
static inline float sigmoid_with_slope(float v, float *slope)
{
    float e = gr_vexp_negative(-gr_vabs(v)), near_one = 1.0f / (1.0f + e), near_zero = e * near_one;
    *slope = near_zero * near_one;
    return v < 0.0f ? near_zero : near_one;
}

static inline float gelu_tanh_grad(float x, float d)
{
    float ds, x2 = x * x, s = sigmoid_with_slope(1.59576912f * (x + 0.044715f * (x2 * x)), &ds);
    return d * (s + x * ds * (1.59576912f * (1.0f + 0.134145f * x2)));
}

static inline float silu_grad(float x, float d)
{
    float ds, s = sigmoid_with_slope(x, &ds);
    return d * (s + x * ds);
}

LONG_LOOP2(pow, powf(a, b)) /* a call an element: it is rare in models */
LONG_LOOP2(gelu_grad, gelu_grad(a, b))
LONG_LOOP2(gelu_tanh_grad, gelu_tanh_grad(a, b))
LONG_LOOP2(silu_grad, silu_grad(a, b))
LONG_LOOP2(swiglu, (a * gr_vsigmoid(a)) * b)
LONG_LOOP2(geglu, (a * gelu_tanh_gate(a)) * b)

/* ---- select ------------------------------------------------------------------------------------------------- */

#define SELECT(name, A, B)                                                                                             \
    static void name(float *y, const float *c, const float *a, const float *b, int64_t n)                              \
    {                                                                                                                  \
        VECTOR_LOOP                                                                                                    \
        for (int64_t i = 0; i < n; i++)                                                                                \
            y[i] = c[i] != 0.0f ? A : B;                                                                               \
    }
SELECT(select_vv, a[i], b[i])
SELECT(select_sv, *a, b[i])
SELECT(select_vs, a[i], *b)
SELECT(select_ss, *a, *b)

static void select_loop(float *y, const float *const *x, unsigned scalar, int64_t n)
{
    static void (*const loops[])(float *, const float *, const float *, const float *,
                                 int64_t) = {select_vv, select_sv, select_vs, select_ss};
    if (scalar & 1) {
        int chosen = *x[0] != 0.0f ? 1 : 2;
        cast_loop(y, &x[chosen], scalar >> chosen & 1, n);
        return;
    }
    float a = *x[1], b = *x[2]; /* copies: y may be where they stand */
    loops[scalar >> 1](y, x[0], scalar & 2 ? &a : x[1], scalar & 4 ? &b : x[2], n);
}

/* ---- dropout ------------------------------------------------------------------------------------------------ */

/* 24 bits of a word, as an integer that f32 holds exactly. */
static void drop_run(float *y, const float *x, bool scalar, const uint32_t *words, float p, float scale, int64_t n)
{
    const float one = *x;
    VECTOR_LOOP
    for (int64_t i = 0; i < n; i++) {
        float u = (float)(int32_t)(words[i] >> 8) * 0x1p-24f;
        y[i] = u >= p ? (scalar ? one : x[i]) * scale : 0.0f;
    }
}

static void dropout(float *y, const float *x, bool scalar, const gr_dropout_call *d, int64_t n)
{
    uint32_t words[4 * GR_PHILOX_BLOCKS];
    float one = *x;
    for (int64_t i = 0; i < n;) {
        uint64_t element = d->first + (uint64_t)i;
        int64_t skip = (int64_t)(element % 4), run = 4 * GR_PHILOX_BLOCKS - skip;
        run = n - i < run ? n - i : run;
        gr_philox_run(words, d->seed, d->stream, element / 4);
        drop_run(y + i, scalar ? &one : x + i, scalar, words + skip, d->p, d->scale, run);
        i += run;
    }
}

/* ---- dtypes ------------------------------------------------------------------------------------------------- */

static void load_bool(float *y, const uint8_t *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] ? 1.0f : 0.0f;
}

static void store_bool(uint8_t *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] != 0.0f;
}

const gr_elementwise_kernels *GR_ISA_FN(gr_elementwise_kernels_get)(void)
{
#define LOOP(op) op##_loop,
    static const gr_elementwise_kernels kernels = {{GR_LOOPS(LOOP)}, dropout, load_bool, store_bool};
#undef LOOP
    return &kernels;
}
