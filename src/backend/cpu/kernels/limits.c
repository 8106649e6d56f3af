/* What no kernel can beat: multiply-adds that wait for nothing, as many at a time as hide their latency. */
#include "backend/cpu/limits.h"

#include "backend/cpu/kernels/isa_suffix.h"
#include "backend/cpu/kernels/vec.h"

/* Twelve sums: two units with a latency of four to six cycles each are busy all the time, and registers are enough. They
 * begin apart, else a compiler makes one of them. */
float GR_ISA_FN(gr_limit_multiply_adds)(int64_t steps, double *flops)
{
    gr_vec zero = {0}, s0 = zero, s1 = zero + 1, s2 = zero + 2, s3 = zero + 3, s4 = zero + 4, s5 = zero + 5;
    gr_vec s6 = zero + 6, s7 = zero + 7, s8 = zero + 8, s9 = zero + 9, sa = zero + 10, sb = zero + 11;
    gr_vec x = zero + 0.5f, y = zero + 0.25f;
    for (int64_t i = 0; i < steps; i++) {
        s0 = s0 * x + y, s1 = s1 * x + y, s2 = s2 * x + y, s3 = s3 * x + y, s4 = s4 * x + y, s5 = s5 * x + y;
        s6 = s6 * x + y, s7 = s7 * x + y, s8 = s8 * x + y, s9 = s9 * x + y, sa = sa * x + y, sb = sb * x + y;
        __asm__ volatile("" ::: "memory"); /* a step is not merged with the next */
    }
    *flops = (double)steps * 12 * 2 * GR_LANES;
    return gr_vec_sum(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + sa + sb);
}
