/* Which conversion a dtype has on this machine. */
#include "backend/cpu/convert.h"

#include "backend/cpu/convert_kernels.h"
#include "base/dtype.h"

gr_to_f32 *gr_cpu_to_f32(gr_dtype d)
{
    const gr_convert_kernels *k = GR_ISA_PICK(gr_convert_kernels_get)();
    gr_to_f32 *found = d == GR_BF16 ? k->widen_bf16 : d == GR_F16 ? k->widen_f16 : NULL;
    return found ? found : gr_dtype_get(d)->to_f32;
}

gr_from_f32 *gr_cpu_from_f32(gr_dtype d)
{
    const gr_convert_kernels *k = GR_ISA_PICK(gr_convert_kernels_get)();
#if GR_HAVE_ISA_AVX512
    if (d == GR_BF16 && gr_isa_detect() >= GR_ISA_AVX512_BF16)
        return gr_narrow_bf16_avx512_bf16;
#endif
    gr_from_f32 *found = d == GR_BF16 ? k->narrow_bf16 : d == GR_F16 ? k->narrow_f16 : NULL;
    return found ? found : gr_dtype_get(d)->from_f32;
}
