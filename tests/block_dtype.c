/* The codec of the blocks, and a store tensor of them. */
#include "block_dtype.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 32, BYTES = 2 + BLOCK };

static void to_f32(const void *src, float *dst, int64_t n)
{
    for (int64_t at = 0; at < n; at += BLOCK) {
        const char *block = (const char *)src + at / BLOCK * BYTES;
        float scale;
        gr_dtype_f16.to_f32(block, &scale, 1);
        for (int i = 0; i < BLOCK; i++)
            dst[at + i] = scale * (float)(signed char)block[2 + i];
    }
}

static void from_f32(const float *src, void *dst, int64_t n)
{
    for (int64_t at = 0; at < n; at += BLOCK) {
        char *block = (char *)dst + at / BLOCK * BYTES;
        float largest = 0, scale;
        for (int i = 0; i < BLOCK; i++)
            largest = fmaxf(largest, fabsf(src[at + i]));
        scale = largest / 127;
        gr_dtype_f16.from_f32(&scale, block, 1);
        gr_dtype_f16.to_f32(block, &scale, 1);
        for (int i = 0; i < BLOCK; i++) {
            float q = scale > 0 ? rintf(src[at + i] / scale) : 0;
            block[2 + i] = (char)(q > 127 ? 127 : q >= -127 ? (int)q : -127);
        }
    }
}

const gr_dtype_info block_dtype_record = {
    .name = "blocks32",
    .safetensors = "GR_TEST_BLOCKS32",
    .block = BLOCK,
    .block_bytes = BYTES,
    .align = 2,
    .is_weight = true,
    .sums = GR_F32,
    .to_f32 = to_f32,
    .from_f32 = from_f32,
};

gr_dtype block_dtype(void)
{
    gr_dtype d;
    return gr_dtype_from_name(block_dtype_record.name, &d) ? d : gr_dtype_add(&block_dtype_record);
}
