/* Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): the n-th random block is a
 * function of (key, counter), so every backend and every thread count draws the same numbers. */
#ifndef GR_BASE_PHILOX_H
#define GR_BASE_PHILOX_H

#include <stdint.h>

typedef struct gr_philox_block {
    uint32_t v[4];
} gr_philox_block;

/* counter words: lo = block index, hi = stream. key: the seed. */
gr_philox_block gr_philox(uint64_t seed, uint64_t stream, uint64_t index);

/* Uniform in [0, 1) with 24 bits. */
static inline float gr_u32_to_unit(uint32_t x)
{
    return (float)(x >> 8) * 0x1p-24f;
}

/* The i-th uniform / standard normal (Box-Muller on words 2j, 2j+1) of a stream: word i%4 of block i/4. */
float gr_philox_uniform(uint64_t seed, uint64_t stream, uint64_t i);
double gr_philox_normal(uint64_t seed, uint64_t stream, uint64_t i);

/* Numbers [first, first + n) as f32: the same ones, a block of random words and a pair of normals computed once. */
void gr_philox_uniforms(float *out, uint64_t seed, uint64_t stream, uint64_t first, int64_t n);
void gr_philox_normals(float *out, uint64_t seed, uint64_t stream, uint64_t first, int64_t n);

#endif
