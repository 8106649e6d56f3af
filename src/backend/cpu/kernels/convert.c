/* Rows of f16 and bf16 to f32 and back, eight values an instruction. */
#include "backend/cpu/convert_kernels.h"
#include "backend/cpu/kernels/isa_suffix.h"
#include "backend/cpu/kernels/widen.h"

#if defined(__AVX2__)
static void widen_bf16(const void *src, float *dst, int64_t n)
{
    gr_widen_row(dst, src, GR_GEMM_BF16, n);
}

static void widen_f16(const void *src, float *dst, int64_t n)
{
    gr_widen_row(dst, src, GR_GEMM_F16, n);
}

/* Adding just under half of the last kept place, and its lowest bit, rounds to nearest even; of a NaN that could make
 * infinity. */
static inline __m128i bf16_of(__m256 x)
{
    __m256i u = _mm256_castps_si256(x), odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(u, odd), _mm256_set1_epi32(0x7FFF)), 16);
    __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(0x40));
    __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    __m256i y = _mm256_blendv_epi8(rounded, quiet, is_nan);
    return _mm_packus_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
}

/* Of 16 values without a NaN. */
static inline __m256i bf16_of_numbers(__m256 x, __m256 y)
{
    const __m256i half = _mm256_set1_epi32(0x7FFF), one = _mm256_set1_epi32(1);
    __m256i u = _mm256_castps_si256(x), v = _mm256_castps_si256(y);
    u = _mm256_add_epi32(u, _mm256_add_epi32(half, _mm256_and_si256(_mm256_srli_epi32(u, 16), one)));
    v = _mm256_add_epi32(v, _mm256_add_epi32(half, _mm256_and_si256(_mm256_srli_epi32(v, 16), one)));
    __m256i packed = _mm256_packus_epi32(_mm256_srli_epi32(u, 16), _mm256_srli_epi32(v, 16));
    return _mm256_permute4x64_epi64(packed, 0xd8);
}

static void narrow_bf16(const float *src, void *dst, int64_t n)
{
    uint16_t *to = dst;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 x = _mm256_loadu_ps(src + i), y = _mm256_loadu_ps(src + i + 8);
        if (_mm256_movemask_ps(_mm256_cmp_ps(x, y, _CMP_UNORD_Q)))
            break;
        _mm256_storeu_si256((__m256i *)(void *)(to + i), bf16_of_numbers(x, y));
    }
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(void *)(to + i), bf16_of(_mm256_loadu_ps(src + i)));
    for (; i < n; i++)
        to[i] = (uint16_t)_mm_extract_epi16(bf16_of(_mm256_set1_ps(src[i])), 0);
}

static void narrow_f16(const float *src, void *dst, int64_t n)
{
    uint16_t *to = dst;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(void *)(to + i), _mm256_cvtps_ph(_mm256_loadu_ps(src + i), 0));
    for (; i < n; i++)
        to[i] = (uint16_t)_mm_extract_epi16(_mm256_cvtps_ph(_mm256_set1_ps(src[i]), 0), 0);
}
#endif

const gr_convert_kernels *GR_ISA_FN(gr_convert_kernels_get)(void)
{
#if defined(__AVX2__)
    static const gr_convert_kernels kernels = {widen_bf16, widen_f16, narrow_bf16, narrow_f16};
#else
    static const gr_convert_kernels kernels = {NULL, NULL, NULL, NULL};
#endif
    return &kernels;
}
