/* Elementary functions for loops that compilers vectorise: inline, no branch, no table, no call, no memory. Both sides
 * of every choice are computed and one is selected. NaN gives NaN, infinities what mathematics says. Polynomials are
 * minimax fits of degrees that leave rounding as the main error; units in the last place (ulp) are measured by
 * tests/cpu_rows_test.c over all of each function's range.
 *
 * Only for sources in kernels/, whose flags (no traps, no errno, contraction) they rely on. */
#ifndef GR_BACKEND_CPU_KERNELS_VMATH_H
#define GR_BACKEND_CPU_KERNELS_VMATH_H

#include <stdint.h>
#include <string.h>

static inline float gr_vbits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline uint32_t gr_vword(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline float gr_vabs(float x)
{
    return gr_vbits(gr_vword(x) & 0x7FFFFFFFu);
}

static inline float gr_vcopysign(float magnitude, float sign)
{
    return gr_vbits(gr_vword(magnitude) | (gr_vword(sign) & 0x80000000u));
}

/* Adding 1.5 · 2^23 leaves a float no room for a fraction: the low bits of the sum are the nearest integer. */
#define GR_VROUND 12582912.0f

/* x = k ln 2 + r with |r| <= ln(2)/2; e^r - 1 is returned, with a small relative error even near 0. ln 2 is taken in
 * two parts, the first so short that k times it is exact. */
static inline float gr_vexp_reduced(float x, int32_t *k)
{
    float shifted = x * 1.44269504f + GR_VROUND;
    float n = shifted - GR_VROUND;
    *k = (int32_t)(gr_vword(shifted) - 0x4B400000u);
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 0.00138144661f;
    p = p * r + 0.00836878084f;
    p = p * r + 0.0416683927f;
    p = p * r + 0.166665196f;
    p = p * r + 0.49999994f;
    return p * (r * r) + r;
}

/* 2^k for -126 <= k <= 127 */
static inline float gr_vpow2(int32_t k)
{
    return gr_vbits((uint32_t)(k + 127) << 23);
}

/* 1 ulp; denormal results included. Beyond the limits the result is 0 or infinity, reached by two half steps of 2^k. */
static inline float gr_vexp(float x)
{
    int32_t k;
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    float q = gr_vexp_reduced(x, &k);
    int32_t half = k >> 1;
    return (q + 1.0f) * gr_vpow2(half) * gr_vpow2(k - half);
}

/* e^x for x <= 0, for what is divided by a sum that is at least 1: results below 2^-126 are 0. One step of 2^k. */
static inline float gr_vexp_negative(float x)
{
    int32_t k;
    float clamped = x < -87.3f ? -87.3f : x;
    float y = (gr_vexp_reduced(clamped, &k) + 1.0f) * gr_vpow2(k);
    return x < -87.3f ? 0.0f : y;
}

/* 2 ulp. log 0 is -infinity, of a negative number NaN. */
static inline float gr_vlog(float x)
{
    float small = x < 1.17549435e-38f ? 8388608.0f : 1.0f; /* denormals: a power of two up */
    float z = x * small;
    float back = small > 1.0f ? -23.0f : 0.0f;
    uint32_t u = gr_vword(z);
    int32_t k = (int32_t)(u - 0x3F3504F3u) >> 23; /* the mantissa then lies in [sqrt(1/2), sqrt(2)) */
    float f = gr_vbits(u - ((uint32_t)k << 23)) - 1.0f;
    float n = (float)k + back;
    float p = 0.0674659163f;
    p = p * f + -0.116756387f;
    p = p * f + 0.118881777f;
    p = p * f + -0.124055922f;
    p = p * f + 0.142195508f;
    p = p * f + -0.166679963f;
    p = p * f + 0.200021192f;
    p = p * f + -0.250000089f;
    p = p * f + 0.333333135f;
    float f2 = f * f;
    float y = n * -2.12194440e-4f + (p * f2) * f;
    y = (y - 0.5f * f2) + f;
    y = y + n * 0.693359375f;
    y = x > 3.40282347e38f ? x : y; /* infinity */
    y = x == 0.0f ? -gr_vbits(0x7F800000u) : y;
    return x >= 0.0f ? y : gr_vbits(0x7FC00000u);
}

/* 3 ulp: with m = e^2|x| - 1 in full precision, m / (m + 2); near 1 as 1 - 2 / (m + 2), which leaves one rounding, since
 * derivatives are made of 1 - tanh^2. */
static inline float gr_vtanh(float x)
{
    int32_t k;
    float a = gr_vabs(x);
    float d = 2.0f * a;
    d = d > 20.0f ? 20.0f : d; /* tanh 10 is 1 */
    float q = gr_vexp_reduced(d, &k);
    float scale = gr_vpow2(k);
    float m = q * scale + (scale - 1.0f);
    float part = (m > 2.0f ? 2.0f : m) / (m + 2.0f);
    return gr_vcopysign(m > 2.0f ? 1.0f - part : part, x);
}

/* 2 ulp; 0 where e^-x overflows. */
static inline float gr_vsigmoid(float x)
{
    return 1.0f / (1.0f + gr_vexp(-x));
}

/* 2 ulp: an odd polynomial near 0, 1 - e^-Q(|x|) beyond. */
static inline float gr_verf(float x)
{
    float a = gr_vabs(x);
    float z = x * x;
    float p = 8.67542039e-05f;
    p = p * z + -0.000821111142f;
    p = p * z + 0.00520674791f;
    p = p * z + -0.0268615857f;
    p = p * z + 0.11283733f;
    p = p * z + -0.376126349f;
    p = p * z + 0.128379166f;
    float near = p * x + x;
    float c = a > 4.0f ? 4.0f : a; /* erf 4 is 1 */
    float q = -0.000199901304f;
    q = q * c + 0.0030819953f;
    q = q * c + -0.0223810282f;
    q = q * c + 0.104250193f;
    q = q * c + 0.636820674f;
    q = q * c + 1.12788939f;
    q = q * c + 0.000144211808f;
    float far = gr_vcopysign(1.0f - gr_vexp_negative(-q), x);
    return a < 0.875f ? near : far;
}

/* sin and cos, 2 ulp for |x| < 1e8. The quarter turns are taken away in f64, so positions times frequencies, which are
 * large, keep their precision; pi/2 is in two parts of which the first times n is exact. Far beyond, the result is
 * some number in [-1, 1]. Infinity gives NaN. */
static inline void gr_vsincos(float x, float *sine, float *cosine)
{
    const double shift = 6755399441055744.0; /* 1.5 · 2^52 */
    double shifted = (double)x * 0.63661977236758134 + shift, n = shifted - shift;
    uint64_t word;
    memcpy(&word, &shifted, sizeof word);
    uint32_t quarter = (uint32_t)word;
    float r = (float)(((double)x - n * 1.570796325802803) - n * 9.920935796805404e-10);
    r = r > 0.7855f ? 0.7855f : r;
    r = r < -0.7855f ? -0.7855f : r;
    float z = r * r;
    float s = 2.71804765e-06f;
    s = s * z + -0.000198393042f;
    s = s * z + 0.00833332911f;
    s = s * z + -0.166666672f;
    s = (s * z) * r + r;
    float c = -2.72050471e-07f;
    c = c * z + 2.47994521e-05f;
    c = c * z + -0.00138888834f;
    c = c * z + 0.0416666679f;
    c = (c * z) * z + (1.0f - 0.5f * z);
    uint32_t odd = 0u - (quarter & 1u); /* all ones in every second quarter, where sin and cos change places */
    uint32_t sb = (gr_vword(s) & ~odd) | (gr_vword(c) & odd);
    uint32_t cb = (gr_vword(c) & ~odd) | (gr_vword(s) & odd);
    *sine = gr_vbits(sb ^ ((quarter & 2u) << 30));
    *cosine = gr_vbits(cb ^ (((quarter + 1u) & 2u) << 30));
}

static inline float gr_vsin(float x)
{
    float s, c;
    gr_vsincos(x, &s, &c);
    return s;
}

static inline float gr_vcos(float x)
{
    float s, c;
    gr_vsincos(x, &s, &c);
    return c;
}

#endif
