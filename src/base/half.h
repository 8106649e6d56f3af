/* f16 and bf16 as bits, to and from f32. The rounding is done on integers, so it does not depend on the machine. */
#ifndef GR_BASE_HALF_H
#define GR_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t gr_float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float gr_bits_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* f16: 1 sign, 5 exponent (bias 15), 10 mantissa bits. */
static inline float gr_half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7FFF;
    uint32_t normal = (rest << 13) + ((127 - 15) << 23);
    uint32_t special = (rest << 13) | 0x7F800000;                    /* infinity, NaN */
    uint32_t small = gr_float_bits((float)(int32_t)rest * 0x1p-24f); /* subnormals count units of 2^-24 */
    uint32_t bits = rest < 0x0400 ? small : rest >= 0x7C00 ? special : normal;
    return gr_bits_float(sign | bits);
}

static inline uint16_t gr_float_to_half(float x)
{
    uint32_t bits = gr_float_bits(x), sign = bits >> 16 & 0x8000, size = bits & 0x7FFFFFFF;
    /* Adding just under half of the last kept place, and its lowest bit, rounds to nearest even; a carry goes on into
     * the exponent, as it should. */
    uint32_t normal = (size + 0xFFF + (size >> 13 & 1) - ((127 - 15) << 23)) >> 13;
    /* 0.5 has its last place at 2^-24, an f16 subnormal's unit: the addition itself rounds. */
    uint32_t small = gr_float_bits(gr_bits_float(size) + 0.5f) - gr_float_bits(0.5f);
    uint32_t nan = 0x7E00 | (size >> 13 & 0x1FF);
    uint32_t half = size < 0x38800000 ? small : size >= 0x477FF000 ? 0x7C00 : normal; /* 2^-14, 65520 */
    return (uint16_t)(sign | (size > 0x7F800000 ? nan : half));
}

/* bf16: the upper half of an f32. */
static inline float gr_bfloat_to_float(uint16_t b)
{
    return gr_bits_float((uint32_t)b << 16);
}

static inline uint16_t gr_float_to_bfloat(float x)
{
    uint32_t bits = gr_float_bits(x);
    uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    uint32_t nan = bits >> 16 | 0x40; /* rounding could turn a NaN into infinity */
    return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? nan : rounded);
}

#endif
