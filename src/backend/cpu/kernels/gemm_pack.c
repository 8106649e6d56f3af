/* Packing: operand blocks rearranged into the order in which the register tile reads them. It costs a read of the block
 * from far memory, so it reads whole rows and writes whole cache lines. */
#include "backend/cpu/kernels/isa_suffix.h"
#include "backend/cpu/kernels/widen.h"

/* Rows ahead that are asked for while one is copied: they lie too far apart for the hardware to guess. */
enum { ROWS_AHEAD = 6 };

/* One row into its panels; `width` is constant at the calls below, so a panel's share is a few vector moves. */
GR_INLINE void copy_row(float *panel, int64_t panel_stride, const int64_t width, const char *src,
                        const gr_gemm_kind kind, int64_t cols)
{
    const int64_t size = gr_kind_bytes(kind);
    int64_t j = 0;
    for (; j + width <= cols; j += width, panel += panel_stride) {
        if (kind == GR_GEMM_F32)
            memcpy(panel, src + j * size, (size_t)(width * size));
        else
            gr_widen_some(panel, src + j * size, kind, width, cols - j);
    }
    if (j < cols) {
        memset(panel, 0, (size_t)width * sizeof *panel);
        gr_widen_row(panel, src + j * size, kind, cols - j);
    }
}

GR_INLINE void copy(float *dst, int64_t panel_stride, int64_t width, const void *from, const gr_gemm_kind kind,
                    int64_t ld, int64_t k, int64_t cols)
{
    const int64_t row = ld * gr_kind_bytes(kind);
    const char *src = from;
    for (int64_t p = 0; p < k; p++, src += row, dst += width) {
        if (p + ROWS_AHEAD < k)
            for (int64_t l = 0; l < cols * gr_kind_bytes(kind); l += 64)
                __builtin_prefetch(src + ROWS_AHEAD * row + l);
        switch (width) {
        case 48:
            copy_row(dst, panel_stride, 48, src, kind, cols);
            break;
        case 16:
            copy_row(dst, panel_stride, 16, src, kind, cols);
            break;
        case 12:
            copy_row(dst, panel_stride, 12, src, kind, cols);
            break;
        case 8:
            copy_row(dst, panel_stride, 8, src, kind, cols);
            break;
        case 6:
            copy_row(dst, panel_stride, 6, src, kind, cols);
            break;
        case 4:
            copy_row(dst, panel_stride, 4, src, kind, cols);
            break;
        default:
            copy_row(dst, panel_stride, width, src, kind, cols);
            break;
        }
    }
}

#if defined(__AVX2__)
/* Eight rows of eight, `row` bytes apart, become eight columns, `step` apart. */
GR_INLINE void transpose8(float *dst, int64_t step, const char *src, const gr_gemm_kind kind, int64_t row)
{
    const int64_t half = 4 * gr_kind_bytes(kind);
    __m256 r[8], t[8];
    /* Rows i and i + 4 share a register, four columns at a time: the halves then need no crossing. */
    for (int h = 0; h < 2; h++)
        for (int i = 0; i < 4; i++)
            r[h * 4 + i] = _mm256_insertf128_ps(_mm256_castps128_ps256(gr_widen4(src + i * row + h * half, kind)),
                                                gr_widen4(src + (i + 4) * row + h * half, kind), 1);
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
GR_INLINE void transpose8(float *dst, int64_t step, const char *src, const gr_gemm_kind kind, int64_t row)
{
    float wide[8];
    for (int j = 0; j < 8; j++) {
        gr_widen_row(wide, src + j * row, kind, 8);
        for (int p = 0; p < 8; p++)
            dst[p * step + j] = wide[p];
    }
}
#endif

/* `n` columns of a panel from n rows of src, a group of 16 (or the 8 or fewer that are left) at a time: 16 streams, and
 * whole lines are written. */
GR_INLINE void transpose_panel(float *dst, int64_t width, const char *src, const gr_gemm_kind kind, int64_t row,
                               int64_t k, int64_t n)
{
    const int64_t size = gr_kind_bytes(kind);
    for (int64_t j = 0; j < n;) {
        int64_t group = n - j >= 16 ? 16 : n - j >= 8 ? 8 : n - j;
        const char *s = src + j * row;
        float *d = dst + j;
        int64_t p = 0;
        if (group >= 8)
            for (; p + 8 <= k; p += 8) {
                if (p * size % 64 == 0)
                    for (int64_t g = 0; g < group; g++)
                        __builtin_prefetch(s + (g + group) * row + p * size); /* the group after this one */
                for (int64_t g = 0; g < group; g += 8)
                    transpose8(d + p * width + g, width, s + g * row + p * size, kind, row);
            }
        for (; p < k; p++)
            for (int64_t g = 0; g < group; g++)
                gr_widen_row(d + p * width + g, s + g * row + p * size, kind, 1);
        j += group;
    }
    if (n < width)
        for (int64_t p = 0; p < k; p++)
            memset(dst + p * width + n, 0, (size_t)(width - n) * sizeof(float));
}

GR_INLINE void transpose(float *dst, int64_t panel_stride, int64_t width, const char *src, const gr_gemm_kind kind,
                         int64_t ld, int64_t k, int64_t cols)
{
    const int64_t row = ld * gr_kind_bytes(kind);
    for (int64_t j = 0; j < cols; j += width, dst += panel_stride)
        transpose_panel(dst, width, src + j * row, kind, row, k, cols - j < width ? cols - j : width);
}

#define FOR_KIND(kind)                                                                                                 \
    void GR_ISA_FN(gr_gemm_copy_##kind)(float *dst, int64_t panel_stride, int64_t width, const void *src, int64_t ld,  \
                                        int64_t k, int64_t cols)                                                       \
    {                                                                                                                  \
        copy(dst, panel_stride, width, src, GR_GEMM_##kind, ld, k, cols);                                              \
    }                                                                                                                  \
    void GR_ISA_FN(gr_gemm_transpose_##kind)(float *dst, int64_t panel_stride, int64_t width, const void *src,         \
                                             int64_t ld, int64_t k, int64_t cols)                                      \
    {                                                                                                                  \
        transpose(dst, panel_stride, width, src, GR_GEMM_##kind, ld, k, cols);                                         \
    }                                                                                                                  \
    void GR_ISA_FN(gr_gemm_widen_##kind)(float *dst, const void *src, int64_t ld, int64_t rows, int64_t n)             \
    {                                                                                                                  \
        const int64_t row = ld * gr_kind_bytes(GR_GEMM_##kind);                                                        \
        for (int64_t i = 0; i < rows; i++)                                                                             \
            gr_widen_row(dst + i * n, (const char *)src + i * row, GR_GEMM_##kind, n);                                 \
    }
FOR_KIND(F32)
FOR_KIND(F16)
FOR_KIND(BF16)

void GR_ISA_FN(gr_gemm_pack_transpose)(float *dst, int64_t panel_stride, int64_t width, const float *src, int64_t ld,
                                       int64_t k, int64_t cols)
{
    GR_ISA_FN(gr_gemm_transpose_F32)(dst, panel_stride, width, src, ld, k, cols);
}
