/* f32 vectors from memory that holds f32, f16 or bf16: what lets a product read weights as their file has them. `kind` is
 * constant at every call, so the choice is made by the compiler. Only for sources in kernels/. */
#ifndef GR_BACKEND_CPU_KERNELS_WIDEN_H
#define GR_BACKEND_CPU_KERNELS_WIDEN_H

#include "backend/cpu/gemm_kernels.h"
#include "backend/cpu/kernels/vec.h"

#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

typedef uint16_t gr_vec_half __attribute__((vector_size(GR_LANES * sizeof(uint16_t)), aligned(2), may_alias));

GR_INLINE int64_t gr_kind_bytes(const gr_gemm_kind kind)
{
    return kind == GR_GEMM_F32 || kind == GR_GEMM_PAIRS ? 4 : 2;
}

/* 1 sign, 5 exponent (bias 15), 10 mantissa bits; subnormals count units of 2^-24. */
GR_INLINE gr_vec gr_widen_f16(const void *p)
{
#if defined(__AVX512F__)
    return (gr_vec)_mm512_cvtph_ps(_mm256_loadu_si256(p));
#elif defined(__AVX2__)
    return (gr_vec)_mm256_cvtph_ps(_mm_loadu_si128(p));
#else
    gr_vec_word h = __builtin_convertvector(*(const gr_vec_half *)p, gr_vec_word);
    gr_vec_word rest = h & 0x7FFF, normal = (rest << 13) + ((127 - 15) << 23);
    gr_vec small = __builtin_convertvector((gr_vec_int)rest, gr_vec) * 0x1p-24f;
    gr_vec_word is_small = (gr_vec_word)(rest < 0x0400), is_special = (gr_vec_word)(rest > 0x7BFF);
    gr_vec_word size = (normal & ~is_small) | ((gr_vec_word)small & is_small) | (is_special & 0x7F800000);
    return (gr_vec)(size | (h & 0x8000) << 16);
#endif
}

GR_INLINE gr_vec gr_widen_bf16(const void *p)
{
#if defined(__AVX512F__)
    return (gr_vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16);
#elif defined(__AVX2__)
    return (gr_vec)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(p)), 16);
#else
    return (gr_vec)(__builtin_convertvector(*(const gr_vec_half *)p, gr_vec_word) << 16);
#endif
}

GR_INLINE gr_vec gr_widen(const void *p, const gr_gemm_kind kind)
{
    return gr_kind_bytes(kind) == 4 ? gr_vec_load(p) : kind == GR_GEMM_F16 ? gr_widen_f16(p) : gr_widen_bf16(p);
}

GR_INLINE float gr_widen_one(const void *p, const gr_gemm_kind kind)
{
    float one;
    uint16_t half;
    if (kind == GR_GEMM_F32)
        return memcpy(&one, p, sizeof one), one;
    memcpy(&half, p, sizeof half);
    if (kind == GR_GEMM_BF16)
        return gr_vbits((uint32_t)half << 16);
#if defined(__AVX2__)
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half)));
#else
    uint16_t room[GR_LANES] = {half}; /* so that nothing behind p is read */
    return gr_widen_f16(room)[0];
#endif
}

#if defined(__AVX2__)
GR_INLINE __m256 gr_vec_half_of(gr_vec v)
{
#if defined(__AVX512F__)
    return _mm512_castps512_ps256((__m512)v);
#else
    return (__m256)v;
#endif
}
#endif

/* Four values, as the transposing needs them. */
#if defined(__AVX2__)
GR_INLINE __m128 gr_widen4(const void *p, const gr_gemm_kind kind)
{
    if (kind == GR_GEMM_F32)
        return _mm_loadu_ps(p);
    __m128i half = _mm_loadl_epi64(p);
    return kind == GR_GEMM_F16 ? _mm_cvtph_ps(half) : _mm_castsi128_ps(_mm_slli_epi32(_mm_cvtepu16_epi32(half), 16));
}
#endif

GR_INLINE void gr_widen_row(float *dst, const char *src, const gr_gemm_kind kind, int64_t n)
{
    const int64_t size = gr_kind_bytes(kind);
    int64_t i = 0;
    for (; i + GR_LANES <= n; i += GR_LANES)
        *(gr_vec_mem *)(dst + i) = gr_widen(src + i * size, kind);
    for (; i < n; i++)
        dst[i] = gr_widen_one(src + i * size, kind);
}

/* The first n lanes, to any address; n is constant at the calls. */
GR_INLINE void gr_store_some(float *dst, gr_vec v, const int64_t n)
{
#if defined(__AVX2__)
    __m256 low = gr_vec_half_of(v);
    if (n == 8) {
        _mm256_storeu_ps(dst, low);
        return;
    }
    if (n == 6 || n == 4) {
        _mm_storeu_ps(dst, _mm256_castps256_ps128(low));
        if (n == 6)
            _mm_storel_pi((__m64 *)(void *)(dst + 4), _mm256_extractf128_ps(low, 1));
        return;
    }
#endif
    memcpy(dst, &v, (size_t)n * sizeof *dst);
}

/* n values where `there` can be read: no single ones then, though n be no whole vectors. n is constant at the calls. */
GR_INLINE void gr_widen_some(float *dst, const char *src, const gr_gemm_kind kind, const int64_t n, int64_t there)
{
    const int64_t size = gr_kind_bytes(kind), whole = n / GR_LANES * GR_LANES;
    if (whole == n || there < whole + GR_LANES) {
        gr_widen_row(dst, src, kind, n);
        return;
    }
    gr_widen_row(dst, src, kind, whole);
    gr_store_some(dst + whole, gr_widen(src + whole * size, kind), n - whole);
}

#endif
