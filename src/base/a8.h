/* Rounding to a8 and a8_row (dtype_a8.c), as one loop for the dtype's record and for each level of instructions. */
#ifndef GR_BASE_A8_H
#define GR_BASE_A8_H

#include "base/half.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { GR_A8_VALUES = 32, GR_A8_BYTES = 4 + GR_A8_VALUES };

/* Sizes are compared as bits, where NaN is the largest; adding 1.5 * 2^23 rounds to even. Both vectorize. */
static inline void gr_a8_round(const float *restrict src, void *dst, int64_t n)
{
    unsigned char *restrict block = dst;
    for (int64_t at = 0; at < n; at += GR_A8_VALUES, block += GR_A8_BYTES) {
        uint32_t largest = 0;
        for (int i = 0; i < GR_A8_VALUES; i++) {
            uint32_t size = gr_float_bits(src[at + i]) & 0x7FFFFFFF;
            largest = size > largest ? size : largest;
        }
        bool finite = largest < 0x7F800000;
        /* Of 17 bits, so that a code times it is an f32 exactly. */
        uint32_t bits = (gr_float_bits(gr_bits_float(largest) / 127) + 0x40) & ~0x7Fu;
        float scale = gr_bits_float(finite ? bits : 0x7FC00000);
        float inverse = finite && scale > 0 ? 1 / scale : 0;
        memcpy(block, &scale, sizeof scale);
        for (int i = 0; i < GR_A8_VALUES; i++) {
            float q = finite ? src[at + i] * inverse : 0;
            q = q < -127 ? -127 : q > 127 ? 127 : q;
            block[4 + i] = (unsigned char)(gr_float_bits(q + 0x1.8p23f) & 0xFF);
        }
    }
}

/* A whole row: the largest becomes 127.5, and codes reach from -128 to 127, as compressed-tensors has them. Quotients, so that a tie
 * is one there, too. */
static inline void gr_a8_round_row(const float *restrict src, void *dst, int64_t n)
{
    unsigned char *restrict block = dst;
    uint32_t largest = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t size = gr_float_bits(src[i]) & 0x7FFFFFFF;
        largest = size > largest ? size : largest;
    }
    bool finite = largest < 0x7F800000;
    float scale = finite ? gr_bits_float(largest) / 127.5f : NAN;
    float by = finite && scale > 0 ? scale : INFINITY;
    for (int64_t at = 0; at < n; at += GR_A8_VALUES, block += GR_A8_BYTES) {
        memcpy(block, &scale, sizeof scale);
        for (int i = 0; i < GR_A8_VALUES; i++) {
            float q = finite ? src[at + i] / by : 0;
            q = q < -128 ? -128 : q > 127 ? 127 : q;
            block[4 + i] = (unsigned char)(gr_float_bits(q + 0x1.8p23f) & 0xFF);
        }
    }
}

#endif
