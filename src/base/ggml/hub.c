/* Integers as the hub's files have them, brought together: what stands there in two tensors, codes and scales, is one of blocks here.
 *
 *     int4_32 int4_64 int4_128    d q    32, 64 or 128 values: d (q - 8),  q of 4 bits, the even ones the low halves
 *     int8                        d q    32 values: d q,  q an int8; all blocks of a row have one scale where a file has that
 *
 * d is f32, of 8 bits when it is chosen here: no file's dtype changes it then. */
#include "base/dtype.h"
#include "base/ggml/fit.h"
#include "base/half.h"

#include <string.h>

enum { GROUP = 32, HALF4 = 8, ZERO8 = 128 };

static float get_scale(const uint8_t *b)
{
    float d;
    memcpy(&d, b, sizeof d);
    return d;
}

static float put_scale(uint8_t *b, float d)
{
    d = gr_bfloat_to_float(gr_float_to_bfloat(d));
    memcpy(b, &d, sizeof d);
    return d;
}

/* ---- 4 bits ------------------------------------------------------------------------------------------------- */

static void int4_read(int block, const void *src, uint8_t *codes, float *scales, int64_t n)
{
    const uint8_t *b = src;
    for (int64_t at = 0; at < n; at += block, b += 4 + block / 2) {
        for (int g = 0; g < block / GROUP; g++)
            scales[at / GROUP + g] = get_scale(b);
        for (int i = 0; i < block; i++)
            codes[at + i] = b[4 + i / 2] >> i % 2 * 4 & 15;
    }
}

static void int4_to_f32(int block, const void *src, float *dst, int64_t n)
{
    const uint8_t *b = src;
    for (int64_t at = 0; at < n; at += block, b += 4 + block / 2) {
        float d = get_scale(b);
        for (int i = 0; i < block; i++)
            dst[at + i] = d * (float)((b[4 + i / 2] >> i % 2 * 4 & 15) - HALF4);
    }
}

static void int4_pack(int block, const uint8_t *codes, void *dst, int64_t n)
{
    uint8_t *b = dst;
    for (int64_t at = 0; at < n; at += block, b += 4 + block / 2)
        for (int i = 0; i < block; i += 2)
            b[4 + i / 2] = (uint8_t)(codes[at + i] | codes[at + i + 1] << 4);
}

/* weights: [n], or NULL: all count alike. */
static void int4_choose(int block, const float *src, const float *weights, void *dst, int64_t n)
{
    uint8_t *b = dst, codes[GR_DTYPE_BLOCK_MOST];
    int8_t q[GR_DTYPE_BLOCK_MOST];
    for (int64_t at = 0; at < n; at += block, b += 4 + block / 2) {
        const float *x = src + at, *w = weights ? weights + at : gr_block_even;
        gr_codes_signed(x, w, block, HALF4, put_scale(b, gr_fit_signed(x, w, block, HALF4)), q);
        for (int i = 0; i < block; i++)
            codes[i] = (uint8_t)(q[i] + HALF4);
        int4_pack(block, codes, b, block);
    }
}

#define INT4(n)                                                                                                        \
    static void int4_##n##_read(const void *src, uint8_t *codes, float *scales, float *offsets, int64_t count)         \
    {                                                                                                                  \
        (void)offsets;                                                                                                 \
        int4_read(n, src, codes, scales, count);                                                                       \
    }                                                                                                                  \
    static void int4_##n##_to_f32(const void *src, float *dst, int64_t count)                                          \
    {                                                                                                                  \
        int4_to_f32(n, src, dst, count);                                                                               \
    }                                                                                                                  \
    static void int4_##n##_pack(const uint8_t *codes, void *dst, int64_t count)                                        \
    {                                                                                                                  \
        int4_pack(n, codes, dst, count);                                                                               \
    }                                                                                                                  \
    static void int4_##n##_from_f32(const float *src, void *dst, int64_t count)                                        \
    {                                                                                                                  \
        int4_choose(n, src, NULL, dst, count);                                                                         \
    }                                                                                                                  \
    static void int4_##n##_from_weighed(const float *src, const float *weights, void *dst, int64_t count)              \
    {                                                                                                                  \
        int4_choose(n, src, weights, dst, count);                                                                      \
    }                                                                                                                  \
    const gr_dtype_info gr_dtype_int4_##n = {                                                                          \
        .name = "int4_" #n,                                                                                            \
        .safetensors = "GR_INT4_" #n,                                                                                  \
        .block = n,                                                                                                    \
        .block_bytes = 4 + n / 2,                                                                                      \
        .align = 4,                                                                                                    \
        .is_weight = true,                                                                                             \
        .sums = GR_F32,                                                                                                \
        .to_f32 = int4_##n##_to_f32,                                                                                   \
        .from_f32 = int4_##n##_from_f32,                                                                               \
        .from_weighed = int4_##n##_from_weighed,                                                                       \
        .codes = {.group = GROUP, .zero = HALF4, .most = 15, .read = int4_##n##_read, .pack = int4_##n##_pack}};

INT4(32)
INT4(64)
INT4(128)

/* ---- 8 bits ------------------------------------------------------------------------------------------------- */

static void int8_read(const void *src, uint8_t *codes, float *scales, float *offsets, int64_t n)
{
    const uint8_t *b = src;
    (void)offsets;
    for (int64_t at = 0; at < n; at += GROUP, b += 4 + GROUP) {
        scales[at / GROUP] = get_scale(b);
        for (int i = 0; i < GROUP; i++)
            codes[at + i] = b[4 + i] ^ ZERO8;
    }
}

static void int8_to_f32(const void *src, float *dst, int64_t n)
{
    const uint8_t *b = src;
    for (int64_t at = 0; at < n; at += GROUP, b += 4 + GROUP) {
        float d = get_scale(b);
        for (int i = 0; i < GROUP; i++)
            dst[at + i] = d * (float)(int8_t)b[4 + i];
    }
}

static void int8_pack(const uint8_t *codes, void *dst, int64_t n)
{
    uint8_t *b = dst;
    for (int64_t at = 0; at < n; at += GROUP, b += 4 + GROUP)
        for (int i = 0; i < GROUP; i++)
            b[4 + i] = codes[at + i] ^ ZERO8;
}

static void int8_from_f32(const float *src, void *dst, int64_t n)
{
    uint8_t *b = dst;
    for (int64_t at = 0; at < n; at += GROUP, b += 4 + GROUP) {
        float d = put_scale(b, fabsf(gr_block_widest(src + at, GROUP)) / 127), inverse = gr_block_inverse(d);
        for (int i = 0; i < GROUP; i++)
            b[4 + i] = (uint8_t)(int8_t)gr_block_nearest(src[at + i] * inverse, -127, 127);
    }
}

const gr_dtype_info gr_dtype_int8 = {
    .name = "int8",
    .safetensors = "GR_INT8",
    .block = GROUP,
    .block_bytes = 4 + GROUP,
    .align = 4,
    .is_weight = true,
    .sums = GR_F32,
    .to_f32 = int8_to_f32,
    .from_f32 = int8_from_f32,
    .codes = {.group = GROUP, .zero = ZERO8, .most = 255, .read = int8_read, .pack = int8_pack},
};
