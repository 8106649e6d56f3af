/* What convert.c needs per ISA level. Defined in kernels/convert.c. */
#ifndef GR_BACKEND_CPU_CONVERT_KERNELS_H
#define GR_BACKEND_CPU_CONVERT_KERNELS_H

#include "backend/cpu/convert.h"
#include "backend/cpu/isa.h"

typedef struct gr_convert_kernels { /* NULL: the level has nothing better than the dtype's own */
    gr_to_f32 *widen_bf16, *widen_f16;
    gr_from_f32 *narrow_bf16, *narrow_f16; /* to nearest, ties to even */
} gr_convert_kernels;

GR_ISA_DECLARE(const gr_convert_kernels *, gr_convert_kernels_get, (void));
#if GR_HAVE_ISA_AVX512
gr_from_f32 gr_narrow_bf16_avx512_bf16; /* the same bits */
#endif

#endif
