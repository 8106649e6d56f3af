/* Products of bf16 by AVX-512 BF16 (vdpbf16ps), which multiplies and adds pairs: a step of the tile is two places of k,
 *
 *     b, 16 columns of a panel:   b[k][0] b[k+1][0]   b[k][1] b[k+1][1]  ..  b[k][15] b[k+1][15]      64 bytes
 *     a, everywhere:              a[i][k] a[i][k+1]   a[i][k] a[i][k+1]  ..
 *
 * so that a pair stands where f32 has one value, and all else is the f32 tile's. The limit is twice that of f32: on Zen 4 one such
 * operation of 512 bits a cycle. The instruction adds the second product first, rounds after each to nearest even, and
 * takes subnormal numbers for 0, also those that it reads. What is f32 is rounded while it is packed, subnormals to 0. */
#include "backend/cpu/kernels/isa_suffix.h"
#include "backend/cpu/kernels/gemm_tile.h"

static void tile_pairs(const gr_gemm_tile *t, int64_t rows, int64_t cols)
{
    tile(t, rows, cols, GR_GEMM_PAIRS);
}

/* ---- packing ------------------------------------------------------------------------------------------------ */

/* Up to 16 values of a row as bf16, one in 32 bits. */
GR_INLINE __m512i low_16(const char *src, const gr_gemm_kind kind, __mmask16 there)
{
    if (kind == GR_GEMM_BF16)
        return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(there, src));
    return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(there, src)));
}

/* Rows k and k + 1 side by side, 16 columns at a time; `next` is NULL where k is the last. */
GR_INLINE void copy_rows(float *dst, int64_t panel_stride, int64_t width, const char *row, const char *next,
                         const gr_gemm_kind kind, int64_t cols)
{
    const int64_t whole = (cols + width - 1) / width * width;
    for (int64_t j = 0; j < whole; j += 16) {
        const __mmask16 there = j >= cols ? 0 : (__mmask16)(cols - j >= 16 ? 0xFFFF : (1 << (cols - j)) - 1);
        const int64_t at = j * gr_kind_bytes(kind);
        __m512i v = low_16(row + at, kind, there);
        if (next)
            v = _mm512_or_si512(v, _mm512_slli_epi32(low_16(next + at, kind, there), 16));
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
}

/* n values of a row as pairs. */
GR_INLINE void round_row(float *dst, const char *src, const gr_gemm_kind kind, int64_t n)
{
    char *to = (char *)dst;
    int64_t i = 0;
    for (; kind == GR_GEMM_F32 && i + 32 <= n; i += 32) {
        const float *x = (const float *)(const void *)src + i;
        _mm512_storeu_si512(to + 2 * i, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + 16), _mm512_loadu_ps(x)));
    }
    for (; kind == GR_GEMM_F32 && i < n; i += 16) {
        const __mmask16 there = (__mmask16)(n - i >= 16 ? 0xFFFF : (1 << (n - i)) - 1);
        const float *x = (const float *)(const void *)src + i;
        _mm256_mask_storeu_epi16(to + 2 * i, there, (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(there, x)));
    }
    if (kind == GR_GEMM_BF16)
        memcpy(to, src, (size_t)n * 2);
    if (n % 2 != 0)
        memset(to + 2 * n, 0, 2);
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
            const int64_t steps = (n + 1) / 2;
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
    }                                                                                                                  \
    static void round_##kind(float *dst, const void *src, int64_t ld, int64_t rows, int64_t n)                         \
    {                                                                                                                  \
        for (int64_t i = 0; i < rows; i++)                                                                             \
            round_row(dst + i * ((n + 1) / 2), (const char *)src + i * ld * gr_kind_bytes(GR_GEMM_##kind),             \
                      GR_GEMM_##kind, n);                                                                              \
    }
FOR_KIND(F32)
FOR_KIND(BF16)

const gr_gemm_pair_kernels gr_gemm_pairs_avx512_bf16 = {
    tile_pairs,
    {copy_F32, NULL, copy_BF16},
    {transpose_F32, NULL, transpose_BF16},
    {round_F32, NULL, round_BF16},
};

/* ---- what no product can beat ------------------------------------------------------------------------------- */

float gr_limit_pairs_avx512_bf16(int64_t steps, double *flops)
{
    enum { SUMS = 12 };
    vec sum[SUMS], x = {0}, y = {0};
    for (int i = 0; i < SUMS; i++)
        sum[i] = (vec){0} + (float)i;
    for (int64_t i = 0; i < steps; i++) {
        __asm__ volatile("" : "+x"(x), "+x"(y)); /* a step is not merged with the next */
        UNROLL for (int s = 0; s < SUMS; s++) sum[s] = (vec)_mm512_dpbf16_ps((__m512)sum[s], (__m512bh)x, (__m512bh)y);
    }
    for (int i = 1; i < SUMS; i++)
        sum[0] += sum[i];
    *flops = (double)steps * SUMS * 4 * GR_LANES;
    return gr_vec_sum(sum[0]);
}
