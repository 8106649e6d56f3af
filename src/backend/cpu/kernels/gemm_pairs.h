/* Packing for products of bf16 by pairs: two values of places k and k + 1 in the place of a float. What is f32 is rounded on the
 * way, subnormals to 0. Only for sources in kernels/, which say before how many steps of k, of a pair each, their tile takes
 * at once (PAIRS_STEP): packed operands are made full to it with zeros. */
#ifndef GR_BACKEND_CPU_KERNELS_GEMM_PAIRS_H
#define GR_BACKEND_CPU_KERNELS_GEMM_PAIRS_H

#include "backend/cpu/kernels/widen.h"

GR_INLINE int64_t pair_steps(int64_t k)
{
    return ((k + 1) / 2 + PAIRS_STEP - 1) / PAIRS_STEP * PAIRS_STEP;
}

/* The first n of 16 lanes. */
GR_INLINE __mmask16 lanes_16(int64_t n)
{
    return n <= 0 ? 0 : (__mmask16)(n >= 16 ? 0xFFFF : (1 << n) - 1);
}

/* Up to 16 values of a row as bf16, one in 32 bits. */
GR_INLINE __m512i low_16(const char *src, const gr_gemm_kind kind, __mmask16 there)
{
    if (kind == GR_GEMM_BF16)
        return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(there, src));
    return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(there, src)));
}

/* Up to 16 columns of a row and the next, side by side; `next` is NULL where there is none. */
GR_INLINE __m512i pairs_16(const char *row, const char *next, const gr_gemm_kind kind, __mmask16 there)
{
    const __m512i v = low_16(row, kind, there);
    return next ? _mm512_or_si512(v, _mm512_slli_epi32(low_16(next, kind, there), 16)) : v;
}

/* Rows k and k + 1 into the panels, 16 columns at a time. */
GR_INLINE void copy_rows(float *dst, int64_t panel_stride, int64_t width, const char *row, const char *next,
                         const gr_gemm_kind kind, int64_t cols)
{
    const int64_t whole = (cols + width - 1) / width * width;
    for (int64_t j = 0; j < whole; j += 16) {
        const int64_t at = j * gr_kind_bytes(kind);
        const __m512i v = pairs_16(row + at, next ? next + at : NULL, kind, lanes_16(cols - j));
        float *to = dst + j / width * panel_stride + j % width;
        if (width % 16 == 0) {
            _mm512_storeu_si512(to, v);
            continue;
        }
        _mm256_storeu_si256((__m256i *)(void *)to, _mm512_castsi512_si256(v)); /* panels of 8 columns */
        if (j + 8 < whole)
            _mm256_storeu_si256((__m256i *)(void *)(to + panel_stride), _mm512_extracti64x4_epi64(v, 1));
    }
}

GR_INLINE void copy(float *dst, int64_t panel_stride, int64_t width, const char *src, const gr_gemm_kind kind,
                    int64_t ld, int64_t k, int64_t cols)
{
    enum { ROWS_AHEAD = 6 };
    const int64_t row = ld * gr_kind_bytes(kind), bytes = cols * gr_kind_bytes(kind);
    for (int64_t p = 0; p < k; p += 2, src += 2 * row, dst += width) {
        for (int64_t r = ROWS_AHEAD; r < ROWS_AHEAD + 2 && p + r < k; r++)
            for (int64_t l = 0; l < bytes; l += 64)
                __builtin_prefetch(src + r * row + l);
        copy_rows(dst, panel_stride, width, src, p + 1 < k ? src + row : NULL, kind, cols);
    }
    for (int64_t s = (k + 1) / 2; s < pair_steps(k); s++, dst += width)
        for (int64_t j = 0; j < cols; j += width)
            memset(dst + j / width * panel_stride, 0, (size_t)width * sizeof *dst);
}

/* The first n of 32 values of a row as bf16, zeros behind them. */
GR_INLINE __m512i row_32(const char *src, const gr_gemm_kind kind, int64_t n)
{
    if (kind == GR_GEMM_BF16)
        return _mm512_maskz_loadu_epi16(n >= 32 ? ~(__mmask32)0 : ((__mmask32)1 << n) - 1, src);
    const __m512 low = _mm512_maskz_loadu_ps(lanes_16(n), src);
    return (__m512i)_mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(lanes_16(n - 16), src + 64), low);
}

/* n values of a row as pairs. */
GR_INLINE void round_row(float *dst, const char *src, const gr_gemm_kind kind, int64_t n)
{
    const int64_t steps = pair_steps(n), size = gr_kind_bytes(kind);
    int64_t p = 0;
    for (; p + 16 <= steps; p += 16)
        _mm512_storeu_si512(dst + p, row_32(src + 2 * p * size, kind, n - 2 * p));
    if (p < steps)
        _mm512_mask_storeu_epi32(dst + p, lanes_16(steps - p), row_32(src + 2 * p * size, kind, n - 2 * p));
}

/* A part of k at a time: its pairs are moved as floats are. */
GR_INLINE void transpose(float *dst, int64_t panel_stride, int64_t width, const char *src, const gr_gemm_kind kind,
                         int64_t ld, int64_t k, int64_t cols)
{
    enum { PART = 128, PAIRS = PART / 2 };
    const int64_t size = gr_kind_bytes(kind);
    float pairs[GR_GEMM_COLS * PAIRS];
    for (int64_t j = 0; j < cols; j += width, dst += panel_stride)
        for (int64_t p = 0; p < k; p += PART) {
            const int64_t n = k - p < PART ? k - p : PART, some = cols - j < width ? cols - j : width;
            const int64_t steps = pair_steps(n);
            for (int64_t c = 0; c < some; c++)
                round_row(pairs + c * steps, src + ((j + c) * ld + p) * size, kind, n);
            gr_gemm_pack_transpose_avx512(dst + p / 2 * width, panel_stride, width, pairs, steps, steps, some);
        }
}

#define FOR_KIND(kind)                                                                                                 \
    static void copy_##kind(float *dst, int64_t panel_stride, int64_t width, const void *src, int64_t ld, int64_t k,   \
                            int64_t cols)                                                                              \
    {                                                                                                                  \
        copy(dst, panel_stride, width, src, GR_GEMM_##kind, ld, k, cols);                                              \
    }                                                                                                                  \
    static void transpose_##kind(float *dst, int64_t panel_stride, int64_t width, const void *src, int64_t ld,         \
                                 int64_t k, int64_t cols)                                                              \
    {                                                                                                                  \
        transpose(dst, panel_stride, width, src, GR_GEMM_##kind, ld, k, cols);                                         \
    }
FOR_KIND(F32)
FOR_KIND(BF16)
#undef FOR_KIND

#endif
