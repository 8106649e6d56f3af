/* Optimizer steps: one pass over parameter, gradient and moments, as fast as memory. */
#include "backend/cpu/reduce_kernels.h"

#include "backend/cpu/kernels/isa_suffix.h"
#include "backend/cpu/kernels/philox.h"
#include "backend/cpu/kernels/vmath.h"

#include <math.h>

static void adamw(float *restrict p, const float *restrict g, float *restrict m, float *restrict v,
                  const gr_adamw_step *step, int64_t n)
{
    const gr_adamw_step s = *step;
    for (int64_t i = 0; i < n; i++) {
        float d = g[i] * s.grad_scale;
        float m1 = m[i] * s.beta1 + d * s.rest1, v1 = v[i] * s.beta2 + d * d * s.rest2;
        m[i] = m1;
        v[i] = v1;
        p[i] = p[i] * s.decay - s.rate * (m1 / (sqrtf(v1) * s.root_scale + s.eps));
    }
}

enum { TILE = 4 * GR_PHILOX_BLOCKS };

static void widen(float *y, const uint16_t *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = gr_vbits((uint32_t)x[i] << 16);
}

/* Up with the probability that lies in the bits cut off, so that the mean is what it was. NaN stays NaN. */
static void narrow(uint16_t *y, const float *x, uint64_t seed, uint64_t stream, int64_t first, int64_t n)
{
    for (int64_t at = 0; at < n; at += TILE) {
        uint32_t words[TILE];
        const int64_t some = n - at < TILE ? n - at : TILE;
        gr_philox_run(words, seed, stream, (uint64_t)(first + at) / 4);
        VECTOR_LOOP
        for (int64_t i = 0; i < some; i++) {
            uint32_t u = gr_vword(x[at + i]);
            y[at + i] = (uint16_t)(x[at + i] == x[at + i] ? (u + (words[i] >> 16)) >> 16 : u >> 16 | 0x40u);
        }
    }
}

static void adamw16(float *restrict p, const float *restrict g, uint16_t *restrict m, uint16_t *restrict v,
                    const gr_adamw_step *step, int64_t first, int64_t n)
{
    float wide_m[TILE], wide_v[TILE];
    for (int64_t at = 0; at < n; at += TILE) {
        int64_t some = n - at < TILE ? n - at : TILE;
        widen(wide_m, m + at, some);
        widen(wide_v, v + at, some);
        adamw(p + at, g + at, wide_m, wide_v, step, some);
        narrow(m + at, wide_m, step->seed, step->stream, first + at, some);
        narrow(v + at, wide_v, step->seed, step->stream + 1, first + at, some);
    }
}

static void decode8(float *restrict y, const uint8_t *restrict codes, const gr_dynamic8_table *t, float absmax,
                    int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = t->value[codes[i]] * absmax;
}

/* The nearest number's code: how many middles lie below the value. Of a signed map codes 127 - k and 127 + k stand for
 * opposite numbers; a value below 0 stays below 0, and -1 is not there. */
static uint8_t nearest8(float x, const gr_dynamic8_table *t)
{
    enum { ZERO = 127, FIRST = 104 << 7 };
    float size = fabsf(x);
    int32_t cell = (int32_t)(gr_vword(size) >> 16) - FIRST;
    cell = cell < 0 ? 0 : cell < GR_DYNAMIC8_CELLS ? cell : GR_DYNAMIC8_CELLS - 1;
    int32_t code = t->below[cell];
    code += size > t->middle[code];
    int32_t opposite = code > 2 * ZERO ? 0 : code > ZERO ? 2 * ZERO - code : ZERO - 1;
    return (uint8_t)(x < 0 ? opposite : code);
}

static float encode8(uint8_t *restrict codes, const float *restrict x, const gr_dynamic8_table *restrict t, int64_t n)
{
    uint32_t largest = 0; /* as bits, which numbers without a sign are in the order of */
    for (int64_t i = 0; i < n; i++) {
        uint32_t size = gr_vword(x[i]) & 0x7FFFFFFFu;
        largest = size > largest ? size : largest;
    }
    const float most = gr_vbits(largest), unit = largest ? most : 1;
    for (int64_t i = 0; i < n; i++)
        codes[i] = nearest8(x[i] / unit, t);
    return most;
}

static void adamw8(float *restrict p, const float *restrict g, const gr_moments8_at *at, const gr_adamw_step *step,
                   int64_t n)
{
    float wide[2][TILE];
    for (int64_t block = 0; block * TILE < n; block++) {
        int64_t from = block * TILE, some = n - from < TILE ? n - from : TILE;
        for (int k = 0; k < 2; k++)
            decode8(wide[k], at->codes[k] + from, &at->table[k], at->absmax[k][block], some);
        adamw(p + from, g + from, wide[0], wide[1], step, some);
        for (int k = 0; k < 2; k++)
            at->absmax[k][block] = encode8(at->codes[k] + from, wide[k], &at->table[k], some);
    }
}

static void sgd(float *restrict p, const float *restrict g, float *restrict velocity, const gr_sgd_step *step,
                int64_t n)
{
    const gr_sgd_step s = *step;
    if (!velocity) {
        for (int64_t i = 0; i < n; i++)
            p[i] -= s.lr * (g[i] * s.grad_scale + s.weight_decay * p[i]);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        float v = velocity[i] * s.momentum + (g[i] * s.grad_scale + s.weight_decay * p[i]);
        velocity[i] = v;
        p[i] -= s.lr * v;
    }
}

static void lion(float *restrict p, const float *restrict g, float *restrict m, const gr_lion_step *step, int64_t n)
{
    const gr_lion_step s = *step;
    for (int64_t i = 0; i < n; i++) {
        float d = g[i] * s.grad_scale, to = m[i] * s.beta1 + d * s.rest1;
        float way = to > 0 ? s.lr : to < 0 ? -s.lr : 0;
        m[i] = m[i] * s.beta2 + d * s.rest2;
        p[i] = p[i] * s.decay - way;
    }
}

/* ---- adafactor ---------------------------------------------------------------------------------------------- */

static void squares(float *restrict y, const float *restrict g, float scale, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float d = g[i] * scale;
        y[i] = d * d;
    }
}

static void add(float *restrict y, const float *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void toward(float *restrict mean, const float *restrict x, float scale, float by, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        mean[i] += (x[i] * scale - mean[i]) * by;
}

static void roots(float *restrict y, const float *restrict x, float scale, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = 1 / sqrtf(x[i] * scale);
}

static void units(float *restrict u, const float *restrict g, const float *restrict by_column, float scale,
                  float by_row, int64_t n)
{
    const float most = 0x1p23f; /* one through the smallest root */
    for (int64_t i = 0; i < n; i++) {
        float by = by_row * by_column[i];
        u[i] = g[i] * scale * (by > most ? most : by);
    }
}

static void step(float *restrict p, const float *restrict u, float decay, float rate, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = p[i] * decay - rate * u[i];
}

const gr_adafactor_kernels *GR_ISA_FN(gr_adafactor_kernels_get)(void)
{
    static const gr_adafactor_kernels kernels = {squares, add, toward, roots, units, step};
    return &kernels;
}

const gr_update_kernels *GR_ISA_FN(gr_update_kernels_get)(void)
{
    static const gr_update_kernels kernels = {adamw, adamw16, adamw8, widen, narrow, sgd, lion};
    return &kernels;
}
