/* ISA levels: every source in kernels/ is compiled once per level, and a level is picked at run time, so one binary runs
 * on every machine and uses what it finds. A kernel's declaration and choice:
 *
 *     GR_ISA_DECLARE(void, gr_kernel_add, (float *y, const float *x, int64_t n));      in a header
 *     void GR_ISA_FN(gr_kernel_add)(float *y, const float *x, int64_t n) { ... }       in kernels/, see isa_suffix.h
 *     GR_ISA_PICK(gr_kernel_add)(y, x, n);                                             in a caller
 */
#ifndef GR_BACKEND_CPU_ISA_H
#define GR_BACKEND_CPU_ISA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ordered: a machine that has a level has every lower one, but AVX2_VNNI, which is of CPUs without AVX-512 (Alder Lake and
 * after) and of some with it. The compiler flags of each are in cmake/library.cmake. Only the kernels that gain by it are
 * compiled for AVX2_VNNI and AVX512_VNNI, products of integers, and for AVX512_BF16 and AMX, products of bf16; others are those
 * of AVX2 and AVX512. */
typedef enum gr_isa {
    GR_ISA_GENERIC,
    GR_ISA_AVX2,
    GR_ISA_AVX2_VNNI,
    GR_ISA_AVX512,
    GR_ISA_AVX512_VNNI,
    GR_ISA_AVX512_BF16,
    GR_ISA_AMX,
    GR_ISA_COUNT
} gr_isa;

/* The best level that this machine, its operating system, this build and gr_isa_limit allow. Cheap, thread-safe. */
gr_isa gr_isa_detect(void);

/* Whether the level is AMX and the system lets this process use its tiles. The first call asks for them, for good: signal stacks
 * have to be larger from then on. Thread-safe. */
bool gr_isa_allows_tiles(void);

/* For tests and measurements: no level above `highest` from now on. GR_ISA_COUNT lifts the limit. */
void gr_isa_limit(gr_isa highest);

const char *gr_isa_name(gr_isa level); /* "avx512" */

/* Whether a level multiplies unsigned bytes with signed ones and adds four products up in 32 bits. */
static inline bool gr_isa_has_vnni(gr_isa level)
{
    return level == GR_ISA_AVX2_VNNI || level >= GR_ISA_AVX512_VNNI;
}

#if GR_HAVE_ISA_AVX512
#define GR_ISA_DECLARE(type, name, parameters)                                                                         \
    type name##_generic parameters;                                                                                    \
    type name##_avx2 parameters;                                                                                       \
    type name##_avx512 parameters
#define GR_ISA_PICK_AT(level, name)                                                                                    \
    ((level) >= GR_ISA_AVX512 ? name##_avx512 : (level) >= GR_ISA_AVX2 ? name##_avx2 : name##_generic)
#define GR_ISA_DECLARE_VNNI(type, name, parameters)                                                                    \
    GR_ISA_DECLARE(type, name, parameters);                                                                            \
    type name##_avx2_vnni parameters;                                                                                  \
    type name##_avx512_vnni parameters
#if GR_HAVE_ISA_AVX2_VNNI
#define GR_ISA_PICK_VNNI_AT(level, name)                                                                               \
    ((level) >= GR_ISA_AVX512_VNNI ? name##_avx512_vnni                                                                \
     : (level) == GR_ISA_AVX2_VNNI ? name##_avx2_vnni                                                                  \
                                   : GR_ISA_PICK_AT(level, name))
#else
#define GR_ISA_PICK_VNNI_AT(level, name)                                                                               \
    ((level) >= GR_ISA_AVX512_VNNI ? name##_avx512_vnni : GR_ISA_PICK_AT(level, name))
#endif
#else
#define GR_ISA_DECLARE(type, name, parameters) type name##_generic parameters
#define GR_ISA_PICK_AT(level, name) ((void)(level), name##_generic)
#define GR_ISA_DECLARE_VNNI(type, name, parameters) GR_ISA_DECLARE(type, name, parameters)
#define GR_ISA_PICK_VNNI_AT(level, name) GR_ISA_PICK_AT(level, name)
#endif
#define GR_ISA_PICK(name) GR_ISA_PICK_AT(gr_isa_detect(), name)

#endif
