/* Which ISA level this machine has, and which one runs. */
#include "backend/cpu/isa.h"

#include <stdatomic.h>
#if GR_HAVE_ISA_AVX2_VNNI
#include <cpuid.h>
#endif
#if GR_HAVE_ISA_AMX
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* Both are plain numbers that any thread may read at any time. -1: not looked at yet. */
static _Atomic int machine_level = -1;
static _Atomic int highest_level = GR_ISA_COUNT;

/* The builtin of older compilers knows neither this nor AMX. */
static bool has_avx2_vnni(void)
{
#if GR_HAVE_ISA_AVX2_VNNI
    enum { AVX_VNNI = 1 << 4 };
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & AVX_VNNI);
#else
    return false;
#endif
}

#if GR_HAVE_ISA_AMX
static bool has_amx(void)
{
    enum { TILE = 1 << 24, BF16 = 1 << 22 };
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & TILE) && (d & BF16);
}
#endif

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
        return has_avx2_vnni() ? GR_ISA_AVX2_VNNI : GR_ISA_AVX2;
    if (!__builtin_cpu_supports("avx512vnni"))
        return GR_ISA_AVX512;
    if (!__builtin_cpu_supports("avx512bf16"))
        return GR_ISA_AVX512_VNNI;
#if GR_HAVE_ISA_AMX
    if (has_amx())
        return GR_ISA_AMX;
#endif
    return GR_ISA_AVX512_BF16;
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
    if (highest >= level)
        return (gr_isa)level;
    return highest == GR_ISA_AVX2_VNNI && !has_avx2_vnni() ? GR_ISA_AVX2 : (gr_isa)highest;
}

/* Tiles are eight KiB more to save at a switch of threads, so Linux wants to be asked before (arch_prctl, since 5.16). It says
 * no where a thread's alternative signal stack has no room for them. */
bool gr_isa_allows_tiles(void)
{
#if GR_HAVE_ISA_AMX
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    static _Atomic int answer = -1; /* as above */
    if (gr_isa_detect() < GR_ISA_AMX)
        return false;
    int allowed = atomic_load_explicit(&answer, memory_order_relaxed);
    if (allowed < 0) {
        allowed = syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
        atomic_store_explicit(&answer, allowed, memory_order_relaxed);
    }
    return allowed;
#else
    return false;
#endif
}

void gr_isa_limit(gr_isa highest)
{
    atomic_store_explicit(&highest_level, (int)highest, memory_order_relaxed);
}

const char *gr_isa_name(gr_isa level)
{
    static const char *const names[] = {"generic", "avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_bf16", "amx"};
    _Static_assert(sizeof names / sizeof names[0] == GR_ISA_COUNT, "one name a level");
    return (unsigned)level < GR_ISA_COUNT ? names[level] : "unknown";
}
