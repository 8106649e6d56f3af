/* Integers as the hub's files have them, brought together: what stands there in several tensors, codes, scales and zero
 * points, is one of blocks here.
 *
 *     int4_32 int4_64 int4_128       d q      32, 64 or 128 values: d (q - 8),  q of 4 bits, the even ones the low halves
 *     int4z_32 int4z_64 int4z_128    d z q    the same with a zero point: d (q - z)
 *     int8                           d q      32 values: d q,  q an int8
 *     int8z                          d z q    32 values: d (q - z),  q of 8 bits from 0 up
 *
 * d is f32, z a byte. A scale that is chosen here has 8 bits: no file's dtype changes it then. With at most 15 bits, as f16 and bf16
 * have, d (q - z) is exact as it is computed, d q - d z. Where a file has one scale for a row, all its blocks have that. */
#include "base/dtype.h"
#include "base/ggml/fit.h"
#include "base/ggml/hub.h"
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

/* weights: [n], or NULL: all count alike. `each`: values that share a scale, a block's or more. */
static void int4_choose(int block, int64_t each, const float *src, const float *weights, void *dst, int64_t n)
{
    uint8_t *b = dst, codes[GR_DTYPE_BLOCK_MOST];
    int8_t q[GR_DTYPE_BLOCK_MOST];
    for (int64_t at = 0; at < n; at += each) {
        const float *w = weights ? weights + at : gr_block_even;
        float d = gr_fit_signed(src + at, w, (int)each, HALF4);
        for (int64_t j = 0; j < each; j += block, b += 4 + block / 2) {
            gr_codes_signed(src + at + j, w + j, block, HALF4, put_scale(b, d), q);
            for (int i = 0; i < block; i++)
                codes[i] = (uint8_t)(q[i] + HALF4);
            int4_pack(block, codes, b, block);
        }
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
        int4_choose(n, n, src, NULL, dst, count);                                                                      \
    }                                                                                                                  \
    static void int4_##n##_from_weighed(const float *src, const float *weights, void *dst, int64_t count)              \
    {                                                                                                                  \
        int4_choose(n, n, src, weights, dst, count);                                                                   \
    }                                                                                                                  \
    static void int4_##n##_from_row(const float *src, const float *weights, void *dst, int64_t count)                  \
    {                                                                                                                  \
        int4_choose(n, count, src, weights, dst, count);                                                               \
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
        .from_row = int4_##n##_from_row,                                                                               \
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

/* The largest of the row is 127. */
static void int8_from_row(const float *src, const float *weights, void *dst, int64_t n)
{
    uint8_t *b = dst;
    float largest = 0;
    (void)weights;
    for (int64_t i = 0; i < n; i++)
        largest = fabsf(src[i]) > largest || isnan(src[i]) ? fabsf(src[i]) : largest;
    for (int64_t at = 0; at < n; at += GROUP, b += 4 + GROUP) {
        float d = put_scale(b, largest / 127);
        for (int i = 0; i < GROUP; i++)
            b[4 + i] = (uint8_t)(int8_t)gr_block_nearest(d > 0 ? src[at + i] / d : 0, -127, 127);
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
    .from_row = int8_from_row,
    .codes = {.group = GROUP, .zero = ZERO8, .most = 255, .read = int8_read, .pack = int8_pack},
};

/* ---- with a zero point -------------------------------------------------------------------------------------- */

enum { HEAD = GR_INTS_ZERO_HEAD, MOST4 = 15, MOST8 = 255 };

static int zero_bytes(int block, int most)
{
    return HEAD + (most == MOST4 ? block / 2 : block);
}

/* What codes are numbers from: of 8 bits the middle, so that they fit an int8. */
#define FROM(most) ((most) > MOST4 ? ZERO8 : 0)

static void zero_read(int block, int most, const void *src, uint8_t *codes, float *scales, float *offsets, int64_t n)
{
    const uint8_t *b = src;
    for (int64_t at = 0; at < n; at += block, b += zero_bytes(block, most)) {
        float d = get_scale(b), offset = d * (float)(FROM(most) - b[4]);
        for (int g = 0; g < block / GROUP; g++) {
            scales[at / GROUP + g] = d;
            offsets[at / GROUP + g] = offset;
        }
        for (int i = 0; i < block; i++)
            codes[at + i] = most == MOST4 ? b[HEAD + i / 2] >> i % 2 * 4 & 15 : b[HEAD + i];
    }
}

static void zero_to_f32(const gr_codes *how, int block, const void *src, float *dst, int64_t n)
{
    const uint8_t *b = src;
    uint8_t codes[GR_DTYPE_BLOCK_MOST];
    float scales[GR_BLOCK_GROUPS], offsets[GR_BLOCK_GROUPS];
    for (int64_t at = 0; at < n; at += block, b += zero_bytes(block, how->most)) {
        zero_read(block, how->most, b, codes, scales, offsets, block);
        gr_codes_values(how, codes, scales, offsets, dst + at, block);
    }
}

static void zero_pack(int block, int most, const uint8_t *codes, void *dst, int64_t n)
{
    uint8_t *b = dst;
    for (int64_t at = 0; at < n; at += block, b += zero_bytes(block, most))
        if (most == MOST4)
            for (int i = 0; i < block; i += 2)
                b[HEAD + i / 2] = (uint8_t)(codes[at + i] | codes[at + i + 1] << 4);
        else
            memcpy(b + HEAD, codes + at, (size_t)block);
}

/* The squared error of rounding with d and z; *best: the scale that is best for the codes that this gives. */
static float zero_error(const float *x, const float *w, int64_t n, int most, float d, float z, float *best)
{
    float error = 0, sqq = 0, sxq = 0, inverse = gr_block_inverse(d);
    for (int64_t i = 0; i < n; i++) {
        float q = gr_block_nearest(x[i] * inverse + z, 0, (float)most) - z, off = d * q - x[i];
        error += w[i] * off * off;
        sqq += w[i] * q * q;
        sxq += w[i] * x[i] * q;
    }
    *best = sqq > 0 ? sxq / sqq : 0;
    return error;
}

/* Of as many bits as bf16 has, or for codes of 8 bits f16. */
static float narrow(float d, int most)
{
    if (most == MOST4)
        return gr_bfloat_to_float(gr_float_to_bfloat(d));
    return gr_bits_float((gr_float_bits(d) + 0x1000) & ~(uint32_t)0x1FFF);
}

/* As the best of some scales. The zero point is at least 1: a layout of files has it less one, and not below 0. */
static float zero_fit(const float *x, const float *w, int64_t n, int most, float *zero)
{
    enum { TRIES = 9, ROUNDS = 2 };
    float low = 0, high = 0, least = INFINITY, chosen = 0;
    for (int64_t i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    *zero = (float)(most / 2 + 1);
    if (most == MOST8 && high > low) { /* steps are fine enough to leave one for the rounding of the zero point */
        chosen = narrow((high - low) / (MOST8 - 1), most);
        *zero = gr_block_nearest(-low / chosen, 1, MOST8);
    }
    for (int t = 0; most == MOST4 && high > low && t < TRIES; t++) {
        float d = (high - low) / ((float)most * (1 + ((float)t - 2) * 0.4f / (float)most));
        float z = gr_block_nearest(-low / d, 1, (float)most), next;
        for (int r = 0; r < ROUNDS && d > 0; r++, d = next) {
            d = narrow(d, most);
            float error = zero_error(x, w, n, most, d, z, &next);
            if (error < least) {
                least = error;
                chosen = d;
                *zero = z;
            }
        }
    }
    return chosen;
}

static void zero_choose(int block, int most, int64_t each, const float *src, const float *weights, void *dst, int64_t n)
{
    uint8_t *b = dst, codes[GR_DTYPE_BLOCK_MOST];
    for (int64_t at = 0; at < n; at += each) {
        float z, d = zero_fit(src + at, weights ? weights + at : gr_block_even, each, most, &z);
        float inverse = gr_block_inverse(d);
        for (int64_t j = 0; j < each; j += block, b += zero_bytes(block, most)) {
            memcpy(b, &d, sizeof d);
            b[4] = (uint8_t)z;
            for (int i = 0; i < block; i++)
                codes[i] = (uint8_t)gr_block_nearest(src[at + j + i] * inverse + z, 0, (float)most);
            zero_pack(block, most, codes, b, block);
        }
    }
}

#define WITH_ZERO(type, TYPE, n, most_code)                                                                            \
    static void type##_read(const void *src, uint8_t *codes, float *scales, float *offsets, int64_t count)             \
    {                                                                                                                  \
        zero_read(n, most_code, src, codes, scales, offsets, count);                                                   \
    }                                                                                                                  \
    static void type##_to_f32(const void *src, float *dst, int64_t count)                                              \
    {                                                                                                                  \
        zero_to_f32(&gr_dtype_##type.codes, n, src, dst, count);                                                       \
    }                                                                                                                  \
    static void type##_pack(const uint8_t *codes, void *dst, int64_t count)                                            \
    {                                                                                                                  \
        zero_pack(n, most_code, codes, dst, count);                                                                    \
    }                                                                                                                  \
    static void type##_from_f32(const float *src, void *dst, int64_t count)                                            \
    {                                                                                                                  \
        zero_choose(n, most_code, n, src, NULL, dst, count);                                                           \
    }                                                                                                                  \
    static void type##_from_weighed(const float *src, const float *weights, void *dst, int64_t count)                  \
    {                                                                                                                  \
        zero_choose(n, most_code, n, src, weights, dst, count);                                                        \
    }                                                                                                                  \
    static void type##_from_row(const float *src, const float *weights, void *dst, int64_t count)                      \
    {                                                                                                                  \
        zero_choose(n, most_code, count, src, weights, dst, count);                                                    \
    }                                                                                                                  \
    const gr_dtype_info gr_dtype_##type = {.name = #type,                                                              \
                                           .safetensors = "GR_" TYPE,                                                  \
                                           .block = n,                                                                 \
                                           .block_bytes = HEAD + n * ((most_code) > MOST4 ? 8 : 4) / 8,                \
                                           .align = 1,                                                                 \
                                           .is_weight = true,                                                          \
                                           .sums = GR_F32,                                                             \
                                           .to_f32 = type##_to_f32,                                                    \
                                           .from_f32 = type##_from_f32,                                                \
                                           .from_weighed = type##_from_weighed,                                        \
                                           .from_row = type##_from_row,                                                \
                                           .codes = {.group = GROUP,                                                   \
                                                     .zero = FROM(most_code),                                          \
                                                     .most = most_code,                                                \
                                                     .offsets = true,                                                  \
                                                     .read = type##_read,                                              \
                                                     .pack = type##_pack}};

WITH_ZERO(int4z_32, "INT4Z_32", 32, MOST4)
WITH_ZERO(int4z_64, "INT4Z_64", 64, MOST4)
WITH_ZERO(int4z_128, "INT4Z_128", 128, MOST4)
WITH_ZERO(int8z, "INT8Z", 32, MOST8)
