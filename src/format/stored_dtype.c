/* Tensors of files: as numbers, also those in dtypes that only files have, and compared. */
#include "format/safetensors.h"

#include <math.h>
#include <string.h>

#include "base/dtype.h"
#include "base/error.h"

/* 1 sign, 4 exponent (bias 7), 3 mantissa bits; no infinity, and NaN where all others are set. */
static void e4m3_to_f32(const void *src, float *to, size_t n)
{
    const uint8_t *from = src;
    for (size_t i = 0; i < n; i++) {
        int exponent = from[i] >> 3 & 15, mantissa = from[i] & 7;
        float size = exponent ? ldexpf((float)(8 + mantissa), exponent - 10) : ldexpf((float)mantissa, -9);
        size = (from[i] & 0x7F) == 0x7F ? NAN : size;
        to[i] = from[i] & 0x80 ? -size : size;
    }
}

/* The upper half of an f16. */
static void e5m2_to_f32(const void *src, float *to, size_t n)
{
    const uint8_t *from = src;
    for (size_t i = 0; i < n; i++) {
        uint16_t half = (uint16_t)(from[i] << 8);
        gr_dtype_get(GR_F16)->to_f32(&half, to + i, 1);
    }
}

#define INTEGER_TO_F32(type)                                                                                           \
    static void type##_to_f32(const void *src, float *to, size_t n)                                                    \
    {                                                                                                                  \
        const type *from = src;                                                                                        \
        for (size_t i = 0; i < n; i++)                                                                                 \
            to[i] = (float)from[i];                                                                                    \
    }

INTEGER_TO_F32(int8_t)
INTEGER_TO_F32(int16_t)
INTEGER_TO_F32(uint16_t)
INTEGER_TO_F32(uint32_t)
INTEGER_TO_F32(uint64_t)

const gr_stored_dtype *gr_stored_dtype_find(const char *name)
{
    static const gr_stored_dtype all[] = {
        {"F8_E4M3", 8, e4m3_to_f32},  {"F8_E5M2", 8, e5m2_to_f32},
        {"I8", 8, int8_t_to_f32},     {"I16", 16, int16_t_to_f32},
        {"U16", 16, uint16_t_to_f32}, {"U32", 32, uint32_t_to_f32},
        {"U64", 64, uint64_t_to_f32}, {"C64", 64, NULL},
        {"F8_E8M0", 8, NULL},         {"F8_E4M3FNUZ", 8, NULL},
        {"F8_E5M2FNUZ", 8, NULL},     {"F6_E2M3", 6, NULL},
        {"F6_E3M2", 6, NULL},         {"F4", 4, NULL},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].name, name) == 0)
            return &all[i];
    return NULL;
}

bool gr_weight_is_number(const gr_weight *t)
{
    return !t->stored || t->stored->to_f32;
}

size_t gr_weight_values(const gr_weight *t)
{
    if (!t->stored)
        return (size_t)gr_dtype_values(t->dtype, t->bytes);
    size_t bits = (size_t)t->stored->bits;
    return bits < 8 ? t->bytes * 8 / bits : t->bytes / (bits / 8);
}

const char *gr_weight_dtype_name(const gr_weight *t)
{
    return t->stored ? t->stored->name : gr_dtype_name(t->dtype);
}

void gr_weight_to_f32(const gr_weight *t, float *to)
{
    double piece[1024]; /* aligned for any dtype */
    const gr_dtype_info *d = gr_dtype_get(t->dtype);
    size_t bytes = t->stored ? (size_t)t->stored->bits / 8 : (size_t)d->block_bytes; /* a block */
    size_t block = t->stored ? 1 : (size_t)d->block, most = sizeof piece / bytes, n = gr_weight_values(t) / block;
    for (size_t at = 0; at < n; at += most) {
        size_t m = n - at < most ? n - at : most;
        memcpy(piece, (const char *)t->data + at * bytes, m * bytes);
        if (t->stored)
            t->stored->to_f32(piece, to + at, m);
        else
            d->to_f32(piece, to + at * block, (int64_t)(m * block));
    }
}

bool gr_weight_is_like(const gr_weight *t, const gr_weight *is)
{
    return is && is->dtype == t->dtype && is->stored == t->stored && is->ndim == t->ndim && is->bytes == t->bytes &&
           memcmp(is->shape, t->shape, (size_t)t->ndim * sizeof *t->shape) == 0;
}

gr_status gr_weight_fail_changed(const gr_weight *t)
{
    return gr_fail(GR_ERR_FILE,
                   "tensor \"%s\" reads back as something else than was written\nthe disk or the memory is at fault: "
                   "check them",
                   t->name);
}
