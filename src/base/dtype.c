/* One record per dtype, and the conversions they name. The bulk conversions are branch-free loops over plain arrays,
 * which compilers turn into vector code. */
#include "base/dtype.h"

#include "base/half.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* ---- single values ------------------------------------------------------------------------------------------ */

/* f64 to f32, rounding to odd: an inexact result gets its last bit set. Rounding that again to f16 or bf16 gives what
 * rounding once would; rounding to nearest twice would not. */
static inline float narrow_to_odd(double x)
{
    float f = (float)x;
    if (!((double)f < x) && !((double)f > x)) /* exact, or NaN */
        return f;
    uint32_t bits = gr_float_bits(f);
    bool away = x < 0 ? (double)f < x : (double)f > x;
    return gr_bits_float((bits - (away ? 1 : 0)) | 1);
}

static uint16_t double_to_half(double x)
{
    return gr_float_to_half(narrow_to_odd(x));
}

static uint16_t double_to_bfloat(double x)
{
    return gr_float_to_bfloat(narrow_to_odd(x));
}

static inline float same_float(float x)
{
    return x;
}

static inline double same_double(double x)
{
    return x;
}

/* Floats to integers: towards 0, saturating, NaN is 0. The cast sees only values in range, outside it is undefined.
 * `limit` is 2^bits, exact in every float type; -limit is the least value. */
#define TO_INTEGER(name, from, type, limit, least, greatest)                                                           \
    static inline type name(from x)                                                                                    \
    {                                                                                                                  \
        bool inside = x >= (from)(least) && x < (from)(limit);                                                         \
        type value = (type)(inside ? x : (from)0);                                                                     \
        return x >= (from)(limit) ? (greatest) : x < (from)(least) ? (type)(least) : value;                            \
    }

TO_INTEGER(float_to_i64, float, int64_t, 0x1p63, INT64_MIN, INT64_MAX)
TO_INTEGER(double_to_i64, double, int64_t, 0x1p63, INT64_MIN, INT64_MAX)
TO_INTEGER(float_to_i32, float, int32_t, 0x1p31, INT32_MIN, INT32_MAX)
TO_INTEGER(double_to_i32, double, int32_t, 0x1p31, INT32_MIN, INT32_MAX)
TO_INTEGER(float_to_u8, float, uint8_t, 256, 0, UINT8_MAX)
TO_INTEGER(double_to_u8, double, uint8_t, 256, 0, UINT8_MAX)

/* Truth, not a number: what is not 0 is true, NaN too. Reading takes any byte, as a file may hold any. */
static inline uint8_t float_to_bool(float x)
{
    return x != 0;
}

static inline uint8_t double_to_bool(double x)
{
    return x != 0;
}

static inline float bool_to_float(uint8_t x)
{
    return x != 0;
}

/* ---- rows and single values --------------------------------------------------------------------------------- */

/* The four functions of a dtype stored as `type`: widen takes a stored value to f32 or f64, the others narrow to it. */
#define CONVERSIONS(name, type, widen_float, widen_double, narrow_float, narrow_double)                                \
    static void name##_to_f32(const void *src, float *restrict dst, int64_t n)                                         \
    {                                                                                                                  \
        const type *x = src;                                                                                           \
        for (int64_t i = 0; i < n; i++)                                                                                \
            dst[i] = widen_float(x[i]);                                                                                \
    }                                                                                                                  \
    static void name##_from_f32(const float *restrict src, void *dst, int64_t n)                                       \
    {                                                                                                                  \
        type *y = dst;                                                                                                 \
        for (int64_t i = 0; i < n; i++)                                                                                \
            y[i] = narrow_float(src[i]);                                                                               \
    }                                                                                                                  \
    static double name##_load(const void *src, int64_t i)                                                              \
    {                                                                                                                  \
        return widen_double(((const type *)src)[i]);                                                                   \
    }                                                                                                                  \
    static void name##_store(void *dst, int64_t i, double value)                                                       \
    {                                                                                                                  \
        ((type *)dst)[i] = narrow_double(value);                                                                       \
    }

CONVERSIONS(f64, double, (float), same_double, same_float, same_double)
CONVERSIONS(f32, float, same_float, same_float, same_float, (float))
CONVERSIONS(f16, uint16_t, gr_half_to_float, gr_half_to_float, gr_float_to_half, double_to_half)
CONVERSIONS(bf16, uint16_t, gr_bfloat_to_float, gr_bfloat_to_float, gr_float_to_bfloat, double_to_bfloat)
CONVERSIONS(i64, int64_t, (float), (double), float_to_i64, double_to_i64)
CONVERSIONS(i32, int32_t, (float), (double), float_to_i32, double_to_i32)
CONVERSIONS(u8, uint8_t, (float), (double), float_to_u8, double_to_u8)
CONVERSIONS(bool, uint8_t, bool_to_float, bool_to_float, float_to_bool, double_to_bool)

/* ---- records ------------------------------------------------------------------------------------------------ */

#define PLAIN(n, file_name, size)                                                                                      \
    .name = #n, .safetensors = file_name, .block = 1, .block_bytes = size, .align = size, .to_f32 = n##_to_f32,        \
    .from_f32 = n##_from_f32, .load = n##_load, .store = n##_store
/* What layers compute with, and weights are kept in. */
#define LAYER .is_float = true, .is_signed = true, .is_activation = true, .is_weight = true, .is_f32_inside = true

const gr_dtype_info gr_dtype_f64 = {PLAIN(f64, "F64", 8), .ggml = "F64",     .ggml_id = 28,
                                    .is_float = true,     .is_signed = true, .sums = GR_F64};
const gr_dtype_info gr_dtype_f32 = {PLAIN(f32, "F32", 4), .ggml = "F32", .ggml_id = 0, LAYER, .sums = GR_F32};
const gr_dtype_info gr_dtype_f16 = {PLAIN(f16, "F16", 2), .ggml = "F16", .ggml_id = 1,
                                    .ggml_file = 1,       LAYER,         .sums = GR_F32};
const gr_dtype_info gr_dtype_bf16 = {PLAIN(bf16, "BF16", 2), .ggml = "BF16", .ggml_id = 30,
                                     .ggml_file = 32,        LAYER,          .sums = GR_F32};
const gr_dtype_info gr_dtype_i64 = {PLAIN(i64, "I64", 8), .ggml = "I64", .ggml_id = 27, .is_signed = true,
                                    .sums = GR_I64};
const gr_dtype_info gr_dtype_i32 = {PLAIN(i32, "I32", 4), .ggml = "I32", .ggml_id = 26, .is_signed = true,
                                    .sums = GR_I64};
const gr_dtype_info gr_dtype_u8 = {PLAIN(u8, "U8", 1), .sums = GR_I64};
const gr_dtype_info gr_dtype_bool = {PLAIN(bool, "BOOL", 1), .is_f32_inside = true, .sums = GR_I64};

/* ---- the list ----------------------------------------------------------------------------------------------- */

#define RECORD_OF(constant, name) [GR_##constant] = &gr_dtype_##name,
static const gr_dtype_info *records[GR_DTYPE_LIMIT] = {GR_DTYPES(RECORD_OF)};

bool gr_dtype_exists(gr_dtype d)
{
    return (unsigned)d < GR_DTYPE_LIMIT && records[d];
}

const gr_dtype_info *gr_dtype_get(gr_dtype d)
{
    return records[d];
}

const char *gr_dtype_name(gr_dtype dtype)
{
    return gr_dtype_exists(dtype) ? records[dtype]->name : NULL;
}

bool gr_dtype_from_name(const char *name, gr_dtype *out)
{
    for (int d = 0; d < GR_DTYPE_LIMIT; d++) {
        if (records[d] && strcmp(records[d]->name, name) == 0) {
            *out = (gr_dtype)d;
            return true;
        }
    }
    return false;
}

bool gr_dtype_from_safetensors(const char *name, gr_dtype *out)
{
    for (int d = 0; d < GR_DTYPE_LIMIT; d++) {
        if (records[d] && strcmp(records[d]->safetensors, name) == 0) {
            *out = (gr_dtype)d;
            return true;
        }
    }
    return false;
}

bool gr_dtype_from_ggml(uint32_t id, gr_dtype *out)
{
    for (int d = 0; d < GR_DTYPE_LIMIT; d++) {
        if (records[d] && records[d]->ggml && records[d]->ggml_id == id) {
            *out = (gr_dtype)d;
            return true;
        }
    }
    return false;
}

gr_dtype gr_dtype_add(const gr_dtype_info *record)
{
    for (int d = GR_DTYPE_LIMIT - GR_DTYPE_SPARE; d < GR_DTYPE_LIMIT && record->block <= GR_DTYPE_BLOCK_MOST; d++) {
        if (!records[d]) {
            records[d] = record;
            return (gr_dtype)d;
        }
    }
    return GR_DTYPE_NONE;
}

void gr_dtype_forget(gr_dtype d)
{
    if ((unsigned)d >= GR_DTYPE_LIMIT - GR_DTYPE_SPARE && gr_dtype_exists(d))
        records[d] = NULL;
}

/* ---- sizes -------------------------------------------------------------------------------------------------- */

size_t gr_dtype_size(gr_dtype d, int64_t count)
{
    size_t bytes;
    const gr_dtype_info *info = records[d];
    if (count < 0 || count % info->block ||
        !gr_mul_size((size_t)(count / info->block), (size_t)info->block_bytes, &bytes))
        return SIZE_MAX;
    return bytes;
}

int64_t gr_dtype_values(gr_dtype d, size_t bytes)
{
    const gr_dtype_info *info = records[d];
    return (int64_t)(bytes / (size_t)info->block_bytes) * info->block;
}

const char *gr_dtype_shape_fault(gr_dtype d, int ndim, const int64_t *shape, char *buf, size_t size)
{
    const gr_dtype_info *info = records[d];
    size_t count = (size_t)info->block_bytes;
    const char *why = NULL;
    for (int i = 0; i < ndim && !why; i++) {
        if (shape[i] < 0)
            snprintf(buf, size, "dim %d is %lld, less than 0", i, (long long)shape[i]);
        else if (shape[i] > 0 && (!gr_mul_size(count, (size_t)shape[i], &count) || count > INT64_MAX))
            snprintf(buf, size, "the product of the dims overflows");
        else
            continue;
        why = buf;
    }
    int64_t last = ndim > 0 ? shape[ndim - 1] : 1;
    if (why || last % info->block == 0)
        return why;
    snprintf(buf, size, "the last dim, %lld, is no multiple of %d, the values in a block of %s", (long long)last,
             info->block, info->name);
    return buf;
}

bool gr_dtype_shape_size(gr_dtype d, int ndim, const int64_t *shape, size_t *bytes)
{
    char why[128];
    int64_t count = 1;
    if (gr_dtype_shape_fault(d, ndim, shape, why, sizeof why))
        return false;
    for (int i = 0; i < ndim; i++)
        count *= shape[i];
    *bytes = gr_dtype_size(d, count);
    return *bytes != SIZE_MAX;
}

double gr_dtype_load(gr_dtype d, const void *src, int64_t i)
{
    const gr_dtype_info *info = records[d];
    float values[GR_DTYPE_BLOCK_MOST];
    if (info->load)
        return info->load(src, i);
    info->to_f32((const char *)src + gr_dtype_size(d, i / info->block * info->block), values, info->block);
    return (double)values[i % info->block];
}
