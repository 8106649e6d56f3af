/* Ten rounds of multiply-and-mix turn (key, counter) into a random block; there is no state to keep or share. */
#include "base/philox.h"

#include <math.h>

/* The paper's constants: two multipliers, and the key's steps (golden ratio, sqrt(3) - 1). */
#define MULTIPLY_0 0xD2511F53u
#define MULTIPLY_1 0xCD9E8D57u
#define KEY_STEP_0 0x9E3779B9u
#define KEY_STEP_1 0xBB67AE85u
enum { ROUNDS = 10 };

gr_philox_block gr_philox(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32);
    uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t p0 = (uint64_t)MULTIPLY_0 * c0, p1 = (uint64_t)MULTIPLY_1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += KEY_STEP_0;
        k1 += KEY_STEP_1;
    }
    return (gr_philox_block){{c0, c1, c2, c3}};
}

float gr_philox_uniform(uint64_t seed, uint64_t stream, uint64_t i)
{
    return gr_u32_to_unit(gr_philox(seed, stream, i / 4).v[i % 4]);
}

double gr_philox_normal(uint64_t seed, uint64_t stream, uint64_t i)
{
    gr_philox_block b = gr_philox(seed, stream, i / 4);
    const uint32_t *pair = b.v + i % 4 / 2 * 2;
    double radius = sqrt(-2.0 * log(((double)pair[0] + 1.0) * 0x1p-32)); /* (0, 1]: the logarithm of 0 has no value */
    double angle = 6.283185307179586476925 * ((double)pair[1] * 0x1p-32);
    return radius * (i % 2 ? sin(angle) : cos(angle));
}
