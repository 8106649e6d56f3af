/* Matrix multiplication in f32: the register tiles (gemm_tile.h) of each kind of b, and all that a level has for products. */
#include "backend/cpu/kernels/isa_suffix.h"
#include "backend/cpu/kernels/gemm_tile.h"

#define FOR_KIND(kind)                                                                                                 \
    static void tile_##kind(const gr_gemm_tile *t, int64_t rows, int64_t cols)                                         \
    {                                                                                                                  \
        tile(t, rows, cols, GR_GEMM_##kind);                                                                           \
    }
FOR_KIND(F32)
FOR_KIND(F16)
FOR_KIND(BF16)

#define OF_KINDS(name)                                                                                                 \
    {                                                                                                                  \
        GR_ISA_FN(name##_F32), GR_ISA_FN(name##_F16), GR_ISA_FN(name##_BF16)                                           \
    }

const gr_gemm_kernels *GR_ISA_FN(gr_gemm_kernels_get)(void)
{
    static const gr_gemm_kernels kernels = {
        .mr = MR,
        .nr = NR,
        .tile = {tile_F32, tile_F16, tile_BF16},
        .dot = OF_KINDS(gr_gemm_dot),
        .copy = OF_KINDS(gr_gemm_copy),
        .transpose = OF_KINDS(gr_gemm_transpose),
        .widen = OF_KINDS(gr_gemm_widen),
    };
    return &kernels;
}
