/* Random words by the vector, inside one level's loops. */
#ifndef GR_BACKEND_CPU_KERNELS_PHILOX_H
#define GR_BACKEND_CPU_KERNELS_PHILOX_H

#include <stdint.h>

/* A loop without dependencies between its rounds. */
#if defined(__clang__)
#define VECTOR_LOOP _Pragma("clang loop vectorize(assume_safety)")
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define VECTOR_LOOP _Pragma("GCC ivdep")
#define UNROLLED
#endif

enum { GR_PHILOX_BLOCKS = 64 };

/* Words of GR_PHILOX_BLOCKS consecutive Philox blocks, the same as base/philox.h gives one by one. */
static inline void gr_philox_run(uint32_t *words, uint64_t seed, uint64_t stream, uint64_t index)
{
    VECTOR_LOOP
    for (int j = 0; j < GR_PHILOX_BLOCKS; j++) {
        uint64_t i = index + (uint64_t)j;
        uint32_t c0 = (uint32_t)i, c1 = (uint32_t)(i >> 32), c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
        uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
        UNROLLED
        for (int round = 0; round < 10; round++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
            c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
            c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
            c1 = (uint32_t)p1;
            c3 = (uint32_t)p0;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        words[4 * j] = c0;
        words[4 * j + 1] = c1;
        words[4 * j + 2] = c2;
        words[4 * j + 3] = c3;
    }
}

#endif
