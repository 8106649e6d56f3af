/* Which ISA level this machine has, and which one runs. */
#include "backend/cpu/isa.h"

#include <stdatomic.h>

/* Both are plain numbers that any thread may read at any time. -1: not looked at yet. */
static _Atomic int machine_level = -1;
static _Atomic int highest_level = GR_ISA_COUNT;

/* The builtin asks the CPU and, for the wide registers, whether the operating system saves them. F16C has no name in
 * older compilers' builtin; every CPU with AVX2 has it. */
static gr_isa look(void)
{
#if GR_HAVE_ISA_AVX512
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2"))
        return GR_ISA_GENERIC;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq"))
        return GR_ISA_AVX2;
    if (!__builtin_cpu_supports("avx512vnni"))
        return GR_ISA_AVX512;
    return __builtin_cpu_supports("avx512bf16") ? GR_ISA_AVX512_BF16 : GR_ISA_AVX512_VNNI;
#else
    return GR_ISA_GENERIC;
#endif
}

gr_isa gr_isa_detect(void)
{
    int level = atomic_load_explicit(&machine_level, memory_order_relaxed);
    if (level < 0) {
        level = (int)look();
        atomic_store_explicit(&machine_level, level, memory_order_relaxed);
    }
    int highest = atomic_load_explicit(&highest_level, memory_order_relaxed);
    return (gr_isa)(level < highest ? level : highest);
}

void gr_isa_limit(gr_isa highest)
{
    atomic_store_explicit(&highest_level, (int)highest, memory_order_relaxed);
}

const char *gr_isa_name(gr_isa level)
{
    static const char *const names[GR_ISA_COUNT] = {"generic", "avx2", "avx512", "avx512_vnni", "avx512_bf16"};
    return (unsigned)level < GR_ISA_COUNT ? names[level] : "unknown";
}
