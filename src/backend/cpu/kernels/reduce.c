/* Sums and maxima. Four vectors of 16 lanes at every level (compilers split them where registers are shorter), so a sum
 * has the same bits on every machine, and rounding grows with n / 64. */
#include "backend/cpu/reduce_kernels.h"

#include "backend/cpu/kernels/isa_suffix.h"

#include <math.h>

enum { LANES = 16, VECTORS = 4, STEP = LANES * VECTORS, ROWS = 8, SQUARES_RUN = 4096 };

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef int32_t mask __attribute__((vector_size(LANES * 4)));
typedef float vec_mem __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

static inline float larger(float a, float b)
{
    return a > b || a != a ? a : b;
}

/* The lanes together, in a tree and in f64: what cancels between lanes keeps its digits. */
static inline double fold(const vec *v)
{
    double lane[LANES];
    for (int l = 0; l < LANES; l++)
        lane[l] = (double)(*v)[l];
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int l = 0; l < width; l++)
            lane[l] += lane[l + width];
    return lane[0];
}

static float sum(const float *x, int64_t n)
{
    vec a = {0}, b = {0}, c = {0}, d = {0};
    int64_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        a += *(const vec_mem *)(x + i);
        b += *(const vec_mem *)(x + i + LANES);
        c += *(const vec_mem *)(x + i + 2 * LANES);
        d += *(const vec_mem *)(x + i + 3 * LANES);
    }
    for (; i + LANES <= n; i += LANES)
        a += *(const vec_mem *)(x + i);
    a = (a + b) + (c + d);
    for (int l = 0; i < n; i++, l++)
        a[l] += x[i];
    return (float)fold(&a);
}

static double sum_squares(const float *x, int64_t n)
{
    double total = 0;
    for (int64_t first = 0; first < n; first += SQUARES_RUN) {
        int64_t end = n - first < SQUARES_RUN ? n : first + SQUARES_RUN, i = first;
        vec a = {0}, b = {0};
        for (; i + 2 * LANES <= end; i += 2 * LANES) {
            vec p = *(const vec_mem *)(x + i), q = *(const vec_mem *)(x + i + LANES);
            a += p * p;
            b += q * q;
        }
        a += b;
        for (int l = 0; i < end; i++, l = (l + 1) % LANES)
            a[l] += x[i] * x[i];
        total += fold(&a);
    }
    return total;
}

/* a = the larger of a and b, lane by lane. A NaN stays: nothing is larger than it. */
static inline void take_larger(vec *a, const float *p)
{
    vec b = *(const vec_mem *)p;
    mask take = (mask)(b > *a) | (mask)(b != b);
    *a = (vec)(((mask)b & take) | ((mask)*a & ~take));
}

static float max(const float *x, int64_t n)
{
    vec a = {0};
    for (int l = 0; l < LANES; l++)
        a[l] = -INFINITY;
    vec b = a;
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        take_larger(&a, x + i);
        take_larger(&b, x + i + LANES);
    }
    take_larger(&a, (const float *)&b);
    for (int l = 0; i < n; i++, l = (l + 1) % LANES)
        a[l] = larger(a[l], x[i]);
    float top = a[0];
    for (int l = 1; l < LANES; l++)
        top = larger(top, a[l]);
    return top;
}

static void sum_rows(float *restrict y, const float *restrict x, int64_t rows, int64_t stride, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        y[j] = 0;
    for (; rows >= ROWS; rows -= ROWS, x += ROWS * stride) {
        const float *x1 = x + stride, *x2 = x1 + stride, *x3 = x2 + stride, *x4 = x3 + stride, *x5 = x4 + stride,
                    *x6 = x5 + stride, *x7 = x6 + stride;
        for (int64_t j = 0; j < n; j++)
            y[j] += ((x[j] + x1[j]) + (x2[j] + x3[j])) + ((x4[j] + x5[j]) + (x6[j] + x7[j]));
    }
    for (; rows > 0; rows--, x += stride)
        for (int64_t j = 0; j < n; j++)
            y[j] += x[j];
}

static void max_rows(float *restrict y, const float *restrict x, int64_t rows, int64_t stride, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        y[j] = -INFINITY;
    for (; rows > 0; rows--, x += stride)
        for (int64_t j = 0; j < n; j++)
            y[j] = larger(y[j], x[j]);
}

const gr_reduce_kernels *GR_ISA_FN(gr_reduce_kernels_get)(void)
{
    static const gr_reduce_kernels kernels = {sum, max, sum_squares, sum_rows, max_rows};
    return &kernels;
}
