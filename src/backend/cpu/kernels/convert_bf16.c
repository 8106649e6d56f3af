/* Rows of f32 to bf16 by AVX-512 BF16 (vcvtne2ps2bf16: 32 values in one, which the level below takes fourteen for). It rounds
 * as the dtype's own rows do but takes subnormal numbers for 0: where one is, 32 values are rounded the other way. The limit is
 * reading f32: 136 GB/s from the first-level cache and 77 from the second, 60 by the level below. */
#include "backend/cpu/convert_kernels.h"
#include "backend/cpu/kernels/isa_suffix.h"

#include <immintrin.h>

enum { SUBNORMAL = 0x20 }; /* the class's number to vfpclassps */

void GR_ISA_FN(gr_narrow_bf16)(const float *src, void *dst, int64_t n)
{
    gr_from_f32 *exact = gr_convert_kernels_get_avx512()->narrow_bf16;
    uint16_t *to = dst;
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m512 x = _mm512_loadu_ps(src + i), y = _mm512_loadu_ps(src + i + 16);
        if (_mm512_fpclass_ps_mask(x, SUBNORMAL) | _mm512_fpclass_ps_mask(y, SUBNORMAL))
            exact(src + i, to + i, 32);
        else
            _mm512_storeu_si512(to + i, (__m512i)_mm512_cvtne2ps_pbh(y, x));
    }
    if (i < n)
        exact(src + i, to + i, n - i);
}
