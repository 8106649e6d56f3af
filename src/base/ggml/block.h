/* What the files of this folder share: each has a family of ggml's block formats, a few lines a format. A format is two
 * functions, of a block to codes with scales and of values to a block, and a record of base/dtype.h made of them. */
#ifndef GR_BASE_GGML_BLOCK_H
#define GR_BASE_GGML_BLOCK_H

#include "base/dtype.h"
#include "base/half.h"

#include <math.h>

enum { GR_BLOCK_GROUPS = 16 }; /* at most, of a block */

/* For a block whose values count alike: as many ones as the largest has. */
extern const float gr_block_even[GR_DTYPE_BLOCK_MOST];

/* Of NAME_codes(const uint8_t *block, uint8_t *codes, float *scales, float *offsets), which fills in what gr_codes says:
 * rows of codes, and of values. */
#define GR_BLOCKS_READ(name, values, bytes)                                                                            \
    static void name##_read(const void *src, uint8_t *codes, float *scales, float *offsets, int64_t n)                 \
    {                                                                                                                  \
        const uint8_t *block = src;                                                                                    \
        const gr_codes *c = &gr_dtype_##name.codes;                                                                    \
        for (int64_t at = 0; at < n; at += (values), block += (bytes))                                                 \
            name##_codes(block, codes + at, scales + at / c->group, c->offsets ? offsets + at / c->group : NULL);      \
    }                                                                                                                  \
    static void name##_to_f32(const void *src, float *dst, int64_t n)                                                  \
    {                                                                                                                  \
        const uint8_t *block = src;                                                                                    \
        uint8_t codes[values];                                                                                         \
        float scales[GR_BLOCK_GROUPS], offsets[GR_BLOCK_GROUPS];                                                       \
        for (int64_t at = 0; at < n; at += (values), block += (bytes)) {                                               \
            name##_codes(block, codes, scales, offsets);                                                               \
            gr_codes_values(&gr_dtype_##name.codes, codes, scales, offsets, dst + at, values);                         \
        }                                                                                                              \
    }
/* NAME_from_f32 of NAME_write(const float *values, uint8_t *block); and of NAME_put(const uint8_t *codes, uint8_t *block), which
 * gives a block that is there other codes, NAME_pack. */
#define GR_BLOCKS_WRITE(name, values, bytes)                                                                           \
    static void name##_from_f32(const float *src, void *dst, int64_t n)                                                \
    {                                                                                                                  \
        uint8_t *block = dst;                                                                                          \
        for (int64_t at = 0; at < n; at += (values), block += (bytes))                                                 \
            name##_write(src + at, block);                                                                             \
    }                                                                                                                  \
    static void name##_pack(const uint8_t *codes, void *dst, int64_t n)                                                \
    {                                                                                                                  \
        uint8_t *block = dst;                                                                                          \
        for (int64_t at = 0; at < n; at += (values), block += (bytes))                                                 \
            name##_put(codes + at, block);                                                                             \
    }
/* Of NAME_choose(const float *values, const float *weights, uint8_t *block). */
#define GR_BLOCKS_WEIGH(name, values, bytes)                                                                           \
    static void name##_from_weighed(const float *src, const float *weights, void *dst, int64_t n)                      \
    {                                                                                                                  \
        uint8_t *block = dst;                                                                                          \
        for (int64_t at = 0; at < n; at += (values), block += (bytes))                                                 \
            name##_choose(src + at, weights + at, block);                                                              \
    }

/* Fields of the record; NAME in capitals is the format's name in ggml, id its number there, file that of a file which is mostly of it. */
#define GR_BLOCKS_RECORD(n, NAME, id, file, values, bytes, alignment, ...)                                             \
    .name = #n, .safetensors = "GR_" NAME, .ggml = NAME, .ggml_id = (id), .ggml_file = (file), .block = (values),      \
    .block_bytes = (bytes), .align = (alignment), .is_weight = true, .sums = GR_F32, .to_f32 = n##_to_f32,             \
    .codes = {__VA_ARGS__, .read = n##_read}

/* A format that is read and written; one whose scales are found by least squares, with weights and without; and one that is
 * only read. After the alignment, fields of its gr_codes. */
#define GR_BLOCKS_BOTH(name, NAME, id, file, values, bytes, alignment, ...)                                            \
    GR_BLOCKS_READ(name, values, bytes)                                                                                \
    GR_BLOCKS_WRITE(name, values, bytes)                                                                               \
    const gr_dtype_info gr_dtype_##name = {                                                                            \
        GR_BLOCKS_RECORD(name, NAME, id, file, values, bytes, alignment, __VA_ARGS__, .pack = name##_pack),            \
        .from_f32 = name##_from_f32};
/* And one that is written without weights by another rule than with them. */
#define GR_BLOCKS_WEIGHED(name, NAME, id, file, values, bytes, alignment, ...)                                         \
    GR_BLOCKS_READ(name, values, bytes)                                                                                \
    GR_BLOCKS_WRITE(name, values, bytes)                                                                               \
    GR_BLOCKS_WEIGH(name, values, bytes)                                                                               \
    const gr_dtype_info gr_dtype_##name = {                                                                            \
        GR_BLOCKS_RECORD(name, NAME, id, file, values, bytes, alignment, __VA_ARGS__, .pack = name##_pack),            \
        .from_f32 = name##_from_f32, .from_weighed = name##_from_weighed};
#define GR_BLOCKS_FITTED(name, NAME, id, file, values, bytes, alignment, ...)                                          \
    static void name##_write(const float *x, uint8_t *block)                                                           \
    {                                                                                                                  \
        name##_choose(x, gr_block_even, block);                                                                        \
    }                                                                                                                  \
    GR_BLOCKS_WEIGHED(name, NAME, id, file, values, bytes, alignment, __VA_ARGS__)
#define GR_BLOCKS_ONLY_READ(name, NAME, id, file, values, bytes, alignment, ...)                                       \
    GR_BLOCKS_READ(name, values, bytes)                                                                                \
    const gr_dtype_info gr_dtype_##name = {                                                                            \
        GR_BLOCKS_RECORD(name, NAME, id, file, values, bytes, alignment, __VA_ARGS__)};

static inline void gr_codes_values(const gr_codes *c, const uint8_t *codes, const float *scales, const float *offsets,
                                   float *y, int n)
{
    for (int i = 0; i < n; i++) {
        float product = scales[i / c->group] * (float)(codes[i] - c->zero);
        y[i] = c->offsets ? product + offsets[i / c->group] : product;
    }
}

/* ---- fields of a block: little-endian, at any address ------------------------------------------------------- */

static inline uint16_t gr_block_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t gr_block_u32(const uint8_t *p)
{
    return gr_block_u16(p) | (uint32_t)gr_block_u16(p + 2) << 16;
}

static inline float gr_block_half(const uint8_t *p)
{
    return gr_half_to_float(gr_block_u16(p));
}

/* Returns what was stored, which is rounded. */
static inline float gr_block_put_half(uint8_t *p, float x)
{
    uint16_t half = gr_float_to_half(x);
    p[0] = (uint8_t)half;
    p[1] = (uint8_t)(half >> 8);
    return gr_half_to_float(half);
}

/* ---- choosing codes ----------------------------------------------------------------------------------------- */

/* Within [least, most], NaN is `least`. */
static inline float gr_block_clamp(float x, float least, float most)
{
    return x >= most ? most : x > least ? x : least;
}

/* The nearest integer within [least, most], of at most 22 bits: adding 1.5 * 2^23 rounds to even, and vectorizes. */
static inline float gr_block_nearest(float x, float least, float most)
{
    return (gr_block_clamp(x, least, most) + 0x1.8p23f) - 0x1.8p23f;
}

/* The first of the values that are largest in size, with its sign. */
static inline float gr_block_widest(const float *x, int n)
{
    float widest = x[0];
    for (int i = 1; i < n; i++)
        if (fabsf(x[i]) > fabsf(widest))
            widest = x[i];
    return widest;
}

static inline float gr_block_inverse(float x)
{
    return x < 0 || x > 0 ? 1 / x : 0;
}

#endif
