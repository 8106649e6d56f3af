/* For sources in kernels/ only: GR_ISA_FN(name) is name_generic, name_avx2, name_avx2_vnni, name_avx512, name_avx512_vnni, name_avx512_bf16 or name_amx, after the level that the
 * build gives as GR_ISA. What the level may use is told by the compiler's own __AVX512F__ and __AVX2__. */
#ifndef GR_BACKEND_CPU_KERNELS_ISA_SUFFIX_H
#define GR_BACKEND_CPU_KERNELS_ISA_SUFFIX_H

#ifndef GR_ISA
#error "kernels are compiled with -DGR_ISA=generic, avx2, avx2_vnni, avx512, avx512_vnni, avx512_bf16 or amx"
#endif

#define GR_ISA_PASTE(name, isa) name##_##isa
#define GR_ISA_EXPAND(name, isa) GR_ISA_PASTE(name, isa)
#define GR_ISA_FN(name) GR_ISA_EXPAND(name, GR_ISA)

#endif
