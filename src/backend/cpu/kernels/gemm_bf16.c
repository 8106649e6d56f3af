/* Products of bf16 by AVX-512 BF16 (vdpbf16ps), which multiplies and adds pairs: a step of the tile is two places of k,
 *
 *     b, 16 columns of a panel:   b[k][0] b[k+1][0]   b[k][1] b[k+1][1]  ..  b[k][15] b[k+1][15]      64 bytes
 *     a, everywhere:              a[i][k] a[i][k+1]   a[i][k] a[i][k+1]  ..
 *
 * so that a pair stands where f32 has one value, and all else is the f32 tile's. The limit is twice that of f32: on Zen 4 one such
 * operation of 512 bits a cycle. The instruction adds the second product first, rounds after each to nearest even, and
 * takes subnormal numbers for 0, also those that it reads. */
#include "backend/cpu/kernels/isa_suffix.h"
#include "backend/cpu/kernels/gemm_tile.h"

enum { PAIRS_STEP = 1 };
#include "backend/cpu/kernels/gemm_pairs.h"

static void tile_pairs(const gr_gemm_tile *t, int64_t rows, int64_t cols)
{
    tile(t, rows, cols, GR_GEMM_PAIRS);
}

#define FOR_KIND(kind)                                                                                                 \
    static void round_##kind(float *dst, const void *src, int64_t ld, int64_t rows, int64_t n)                         \
    {                                                                                                                  \
        for (int64_t i = 0; i < rows; i++)                                                                             \
            round_row(dst + i * pair_steps(n), (const char *)src + i * ld * gr_kind_bytes(GR_GEMM_##kind),             \
                      GR_GEMM_##kind, n);                                                                              \
    }
FOR_KIND(F32)
FOR_KIND(BF16)

const gr_gemm_pair_kernels gr_gemm_pairs_avx512_bf16 = {
    .mr = MR,
    .nr = NR,
    .tile = tile_pairs,
    .copy = {copy_F32, NULL, copy_BF16},
    .transpose = {transpose_F32, NULL, transpose_BF16},
    .round = {round_F32, NULL, round_BF16},
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
