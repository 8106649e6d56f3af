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

/* The two normals that two words make. */
typedef struct normals {
    double radius, angle;
} normals;

static normals normals_of(const uint32_t *pair)
{
    return (normals){sqrt(-2.0 * log(((double)pair[0] + 1.0) * 0x1p-32)), /* (0, 1]: the logarithm of 0 has no value */
                     6.283185307179586476925 * ((double)pair[1] * 0x1p-32)};
}

double gr_philox_normal(uint64_t seed, uint64_t stream, uint64_t i)
{
    gr_philox_block b = gr_philox(seed, stream, i / 4);
    normals z = normals_of(b.v + i % 4 / 2 * 2);
    return z.radius * (i % 2 ? sin(z.angle) : cos(z.angle));
}

static void uniforms_of(const gr_philox_block *b, float *out)
{
    for (int k = 0; k < 4; k++)
        out[k] = gr_u32_to_unit(b->v[k]);
}

static void four_normals(const gr_philox_block *b, float *out)
{
    for (int k = 0; k < 4; k += 2) {
        normals z = normals_of(b->v + k);
        out[k] = (float)(z.radius * cos(z.angle));
        out[k + 1] = (float)(z.radius * sin(z.angle));
    }
}

/* n numbers from number `first` on, of blocks that `make` turns into four each. */
static void draw(float *out, uint64_t seed, uint64_t stream, uint64_t first, int64_t n,
                 void (*make)(const gr_philox_block *, float *))
{
    float four[4];
    for (int64_t i = 0; i < n;) {
        uint64_t at = first + (uint64_t)i;
        gr_philox_block b = gr_philox(seed, stream, at / 4);
        make(&b, four);
        for (uint64_t k = at % 4; k < 4 && i < n; k++)
            out[i++] = four[k];
    }
}

void gr_philox_uniforms(float *out, uint64_t seed, uint64_t stream, uint64_t first, int64_t n)
{
    draw(out, seed, stream, first, n, uniforms_of);
}

void gr_philox_normals(float *out, uint64_t seed, uint64_t stream, uint64_t first, int64_t n)
{
    draw(out, seed, stream, first, n, four_normals);
}
