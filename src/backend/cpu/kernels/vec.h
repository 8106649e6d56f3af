/* Vectors of the level's width by the compilers' vector types, for what loops do not vectorise: sums and maxima of a
 * row. Their order depends on the row's length and the level alone. Only for sources in kernels/. */
#ifndef GR_BACKEND_CPU_KERNELS_VEC_H
#define GR_BACKEND_CPU_KERNELS_VEC_H

#include "backend/cpu/kernels/vmath.h"

#include <stdbool.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { GR_LANES = 16 };
#elif defined(__AVX2__)
enum { GR_LANES = 8 };
#else
enum { GR_LANES = 4 };
#endif

typedef float gr_vec __attribute__((vector_size(GR_LANES * sizeof(float))));
typedef int32_t gr_vec_int __attribute__((vector_size(GR_LANES * sizeof(float))));
typedef uint32_t gr_vec_word __attribute__((vector_size(GR_LANES * sizeof(float))));
/* The same in memory: at any address, over plain floats. */
typedef float gr_vec_mem __attribute__((vector_size(GR_LANES * sizeof(float)), aligned(4), may_alias));

#define GR_INLINE static inline __attribute__((always_inline))

/* Before a loop whose step i touches element i alone: its pointers may be equal, as in a kernel that runs in place. */
#if defined(__clang__)
#define GR_EACH _Pragma("clang loop vectorize(assume_safety)")
#else
#define GR_EACH _Pragma("GCC ivdep")
#endif

GR_INLINE gr_vec gr_vec_load(const float *p)
{
    return *(const gr_vec_mem *)p;
}

GR_INLINE void gr_vec_store(float *p, gr_vec v)
{
    *(gr_vec_mem *)p = v;
}

GR_INLINE gr_vec gr_vec_set(float x)
{
    return x - (gr_vec){0}; /* -0 stays -0 */
}

/* b where one of the two is NaN. Compilers make four instructions of the last line. */
GR_INLINE gr_vec gr_vec_max(gr_vec a, gr_vec b)
{
#if defined(__AVX512F__)
    return (gr_vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (gr_vec)_mm256_max_ps((__m256)a, (__m256)b);
#else
    gr_vec_int larger = a > b;
    return (gr_vec)(((gr_vec_int)a & larger) | ((gr_vec_int)b & ~larger));
#endif
}

/* Whether any lane of a comparison holds. */
GR_INLINE bool gr_vec_any(gr_vec_int compared)
{
#if defined(__AVX512F__)
    return _mm512_movepi32_mask((__m512i)compared) != 0;
#elif defined(__AVX2__)
    return _mm256_movemask_ps((__m256)compared) != 0;
#else
    int32_t any = 0;
    for (int l = 0; l < GR_LANES; l++)
        any |= compared[l];
    return any != 0;
#endif
}

/* gr_vexp_negative: what is below its limit is cleared at the end, so nothing need be clamped before. */
GR_INLINE gr_vec gr_vec_exp_negative(gr_vec x)
{
    gr_vec shifted = x * 1.44269504f + GR_VROUND, n = shifted - GR_VROUND;
    gr_vec r = x - n * 0.693359375f + n * 2.12194440e-4f;
    gr_vec p = r * 0.00138144661f + 0.00836878084f;
    p = p * r + 0.0416683927f;
    p = p * r + 0.166665196f;
    p = p * r + 0.49999994f;
    gr_vec y = (p * (r * r) + r) + 1.0f;
    gr_vec_word power = ((gr_vec_word)shifted - (0x4B400000u - 127u)) << 23;
    y *= (gr_vec)power;
    return (gr_vec)((gr_vec_int)y & ~(x < -87.3f));
}

/* Over the lanes, as a fixed tree. */
GR_INLINE float gr_vec_sum(gr_vec v)
{
    float x[GR_LANES];
    *(gr_vec_mem *)x = v;
    for (int half = GR_LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            x[l] += x[l + half];
    return x[0];
}

GR_INLINE float gr_vec_largest(gr_vec v)
{
    float x[GR_LANES];
    *(gr_vec_mem *)x = v;
    for (int l = 1; l < GR_LANES; l++)
        x[0] = x[l] > x[0] ? x[l] : x[0];
    return x[0];
}

/* ---- a row of n --------------------------------------------------------------------------------------------- */

/* The largest; -infinity of none. A NaN is passed over: what is then computed with the row's elements finds it. */
GR_INLINE float gr_row_max(const float *x, int64_t n)
{
    float largest = -__builtin_inff();
    gr_vec a = gr_vec_set(largest), b = a, c = a, d = a;
    int64_t i = 0;
    for (; i + 4 * GR_LANES <= n; i += 4 * GR_LANES) {
        a = gr_vec_max(gr_vec_load(x + i), a);
        b = gr_vec_max(gr_vec_load(x + i + GR_LANES), b);
        c = gr_vec_max(gr_vec_load(x + i + 2 * GR_LANES), c);
        d = gr_vec_max(gr_vec_load(x + i + 3 * GR_LANES), d);
    }
    for (; i + GR_LANES <= n; i += GR_LANES)
        a = gr_vec_max(gr_vec_load(x + i), a);
    largest = gr_vec_largest(gr_vec_max(gr_vec_max(a, b), gr_vec_max(c, d)));
    for (; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    return largest;
}

/* The sum of (x - ax)(y - ay), of x - ax alone when y is NULL: what is constant at the call is folded away. */
GR_INLINE float gr_row_sum_terms(const float *x, float ax, const float *y, float ay, int64_t n)
{
    gr_vec s[4] = {{0}};
    int64_t i = 0;
#define GR_TERM(at) ((gr_vec_load(x + (at)) - ax) * (y ? gr_vec_load(y + (at)) - ay : gr_vec_set(1)))
    for (; i + 4 * GR_LANES <= n; i += 4 * GR_LANES) {
        s[0] += GR_TERM(i);
        s[1] += GR_TERM(i + GR_LANES);
        s[2] += GR_TERM(i + 2 * GR_LANES);
        s[3] += GR_TERM(i + 3 * GR_LANES);
    }
    for (; i + GR_LANES <= n; i += GR_LANES)
        s[0] += GR_TERM(i);
#undef GR_TERM
    float sum = gr_vec_sum((s[0] + s[1]) + (s[2] + s[3]));
    for (; i < n; i++)
        sum += (x[i] - ax) * (y ? y[i] - ay : 1);
    return sum;
}

GR_INLINE float gr_row_sum(const float *x, int64_t n)
{
    return gr_row_sum_terms(x, 0, 0, 0, n);
}

GR_INLINE float gr_row_dot(const float *x, const float *y, int64_t n)
{
    return gr_row_sum_terms(x, 0, y, 0, n);
}

/* y = e^(x - shift), as gr_vexp_negative; returns their sum. y may be x, or NULL when only the sum is wanted. */
GR_INLINE float gr_row_exp(float *y, const float *x, float shift, int64_t n)
{
    gr_vec s[4] = {{0}};
    int64_t i = 0;
    for (; i + 4 * GR_LANES <= n; i += 4 * GR_LANES)
        for (int k = 0; k < 4; k++) {
            gr_vec e = gr_vec_exp_negative(gr_vec_load(x + i + k * GR_LANES) - shift);
            if (y)
                gr_vec_store(y + i + k * GR_LANES, e);
            s[k] += e;
        }
    for (; i + GR_LANES <= n; i += GR_LANES) {
        gr_vec e = gr_vec_exp_negative(gr_vec_load(x + i) - shift);
        if (y)
            gr_vec_store(y + i, e);
        s[0] += e;
    }
    float sum = gr_vec_sum((s[0] + s[1]) + (s[2] + s[3]));
    for (; i < n; i++) {
        float e = gr_vexp_negative(x[i] - shift);
        if (y)
            y[i] = e;
        sum += e;
    }
    return sum;
}

#endif
