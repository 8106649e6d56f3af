/* a8: what rows of activations are rounded to for products with weights in blocks. 32 values of 8 bits with an f32 scale,
 * the largest in size becoming 127; no value of another block or row has a part in it. A block that has a NaN or an
 * infinity becomes NaN: what is lost must be seen. */
#include "base/dtype.h"
#include "base/half.h"

enum { VALUES = 32, BYTES = 4 + VALUES };

static void a8_to_f32(const void *src, float *dst, int64_t n)
{
    const unsigned char *block = src;
    for (int64_t at = 0; at < n; at += VALUES, block += BYTES) {
        float scale;
        memcpy(&scale, block, sizeof scale);
        for (int i = 0; i < VALUES; i++)
            dst[at + i] = scale * (float)(int8_t)block[4 + i];
    }
}

/* Sizes are compared as bits, where NaN is the largest; adding 1.5 * 2^23 rounds to even. Both vectorize. */
static void a8_from_f32(const float *restrict src, void *dst, int64_t n)
{
    unsigned char *restrict block = dst;
    for (int64_t at = 0; at < n; at += VALUES, block += BYTES) {
        uint32_t largest = 0;
        for (int i = 0; i < VALUES; i++) {
            uint32_t size = gr_float_bits(src[at + i]) & 0x7FFFFFFF;
            largest = size > largest ? size : largest;
        }
        bool finite = largest < 0x7F800000;
        /* Of 17 bits, so that a code times it is an f32 exactly. */
        uint32_t bits = (gr_float_bits(gr_bits_float(largest) / 127) + 0x40) & ~0x7Fu;
        float scale = gr_bits_float(finite ? bits : 0x7FC00000);
        float inverse = finite && scale > 0 ? 1 / scale : 0;
        memcpy(block, &scale, sizeof scale);
        for (int i = 0; i < VALUES; i++) {
            float q = finite ? src[at + i] * inverse : 0;
            q = q < -127 ? -127 : q > 127 ? 127 : q;
            block[4 + i] = (unsigned char)(gr_float_bits(q + 0x1.8p23f) & 0xFF);
        }
    }
}

const gr_dtype_info gr_dtype_a8 = {
    .name = "a8",
    .safetensors = "GR_A8",
    .block = VALUES,
    .block_bytes = BYTES,
    .align = 4,
    .is_row = true,
    .sums = GR_F32,
    .to_f32 = a8_to_f32,
    .from_f32 = a8_from_f32,
};
