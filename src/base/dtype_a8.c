/* a8: what rows of activations are rounded to for products with weights in blocks. 32 values of 8 bits with an f32 scale,
 * the largest in size becoming 127; no value of another block or row has a part in it. A block that has a NaN or an
 * infinity becomes NaN: what is lost must be seen. a8_row: the same blocks, all of a row with its one scale. */
#include "base/a8.h"

#include "base/dtype.h"

enum { VALUES = GR_A8_VALUES, BYTES = GR_A8_BYTES };

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

static void a8_from_f32(const float *restrict src, void *dst, int64_t n)
{
    gr_a8_round(src, dst, n);
}

static void a8_row_from_f32(const float *restrict src, void *dst, int64_t n)
{
    gr_a8_round_row(src, dst, n);
}

const gr_dtype_info gr_dtype_a8_row = {
    .name = "a8_row",
    .safetensors = "GR_A8_ROW",
    .block = VALUES,
    .block_bytes = BYTES,
    .align = 4,
    .is_row = true,
    .by_row = true,
    .sums = GR_F32,
    .to_f32 = a8_to_f32,
    .from_f32 = a8_row_from_f32,
};

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
