/* Packing: operand blocks rearranged into the order in which the register tile reads them. It costs a read of the block
 * from far memory, so it reads whole rows and writes whole cache lines. */
#include "backend/cpu/gemm_kernels.h"
#include "backend/cpu/kernels/isa_suffix.h"

#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

/* Rows ahead that are asked for while one is copied: they lie too far apart for the hardware to guess. */
enum { ROWS_AHEAD = 6, LINE = 16 };

/* One row into its panels; `width` is constant at the calls below, so a panel's share is a few vector moves. */
static inline __attribute__((always_inline)) void copy_row(float *panel, int64_t panel_stride, const int64_t width,
                                                           const float *src, int64_t cols)
{
    int64_t j = 0;
    for (; j + width <= cols; j += width, panel += panel_stride)
        memcpy(panel, src + j, (size_t)width * sizeof(float));
    for (int64_t l = 0; j < cols && l < width; l++)
        panel[l] = j + l < cols ? src[j + l] : 0;
}

void GR_ISA_FN(gr_gemm_pack_copy)(float *dst, int64_t panel_stride, int64_t width, const float *src, int64_t ld,
                                  int64_t k, int64_t cols)
{
    for (int64_t p = 0; p < k; p++, src += ld, dst += width) {
        if (p + ROWS_AHEAD < k)
            for (int64_t l = 0; l < cols; l += LINE)
                __builtin_prefetch(src + ROWS_AHEAD * ld + l);
        switch (width) {
        case 48:
            copy_row(dst, panel_stride, 48, src, cols);
            break;
        case 16:
            copy_row(dst, panel_stride, 16, src, cols);
            break;
        case 12:
            copy_row(dst, panel_stride, 12, src, cols);
            break;
        case 8:
            copy_row(dst, panel_stride, 8, src, cols);
            break;
        case 6:
            copy_row(dst, panel_stride, 6, src, cols);
            break;
        case 4:
            copy_row(dst, panel_stride, 4, src, cols);
            break;
        default:
            copy_row(dst, panel_stride, width, src, cols);
            break;
        }
    }
}

#if defined(__AVX2__)
/* Eight rows of eight, ld apart, become eight columns, `step` apart. */
static inline void transpose8(float *dst, int64_t step, const float *src, int64_t ld)
{
    __m256 r[8], t[8];
    /* Rows i and i + 4 share a register, four columns at a time: the halves then need no crossing. */
    for (int h = 0; h < 2; h++)
        for (int i = 0; i < 4; i++)
            r[h * 4 + i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(src + i * ld + h * 4)),
                                                _mm_loadu_ps(src + (i + 4) * ld + h * 4), 1);
    for (int h = 0; h < 8; h += 4) {
        t[h + 0] = _mm256_unpacklo_ps(r[h], r[h + 1]);
        t[h + 1] = _mm256_unpackhi_ps(r[h], r[h + 1]);
        t[h + 2] = _mm256_unpacklo_ps(r[h + 2], r[h + 3]);
        t[h + 3] = _mm256_unpackhi_ps(r[h + 2], r[h + 3]);
        _mm256_storeu_ps(dst + (h + 0) * step, _mm256_shuffle_ps(t[h], t[h + 2], 0x44));
        _mm256_storeu_ps(dst + (h + 1) * step, _mm256_shuffle_ps(t[h], t[h + 2], 0xee));
        _mm256_storeu_ps(dst + (h + 2) * step, _mm256_shuffle_ps(t[h + 1], t[h + 3], 0x44));
        _mm256_storeu_ps(dst + (h + 3) * step, _mm256_shuffle_ps(t[h + 1], t[h + 3], 0xee));
    }
}
#else
static inline void transpose8(float *dst, int64_t step, const float *src, int64_t ld)
{
    for (int p = 0; p < 8; p++)
        for (int j = 0; j < 8; j++)
            dst[p * step + j] = src[j * ld + p];
}
#endif

/* `n` columns of a panel from n rows of src, a group of 16 (or the 8 or fewer that are left) at a time: 16 streams, and
 * whole lines are written. */
static void transpose_panel(float *dst, int64_t width, const float *src, int64_t ld, int64_t k, int64_t n)
{
    for (int64_t j = 0; j < n;) {
        int64_t group = n - j >= 16 ? 16 : n - j >= 8 ? 8 : n - j;
        const float *s = src + j * ld;
        float *d = dst + j;
        int64_t p = 0;
        if (group >= 8)
            for (; p + 8 <= k; p += 8) {
                if (p % LINE == 0)
                    for (int64_t g = 0; g < group; g++)
                        __builtin_prefetch(s + (g + group) * ld + p); /* the group after this one */
                for (int64_t g = 0; g < group; g += 8)
                    transpose8(d + p * width + g, width, s + g * ld + p, ld);
            }
        for (; p < k; p++)
            for (int64_t g = 0; g < group; g++)
                d[p * width + g] = s[g * ld + p];
        j += group;
    }
    if (n < width)
        for (int64_t p = 0; p < k; p++)
            memset(dst + p * width + n, 0, (size_t)(width - n) * sizeof(float));
}

void GR_ISA_FN(gr_gemm_pack_transpose)(float *dst, int64_t panel_stride, int64_t width, const float *src, int64_t ld,
                                       int64_t k, int64_t cols)
{
    for (int64_t j = 0; j < cols; j += width, dst += panel_stride)
        transpose_panel(dst, width, src + j * ld, ld, k, cols - j < width ? cols - j : width);
}
