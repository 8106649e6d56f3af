/* Dtypes are records: name, values and bytes a block, and row conversion to and from f32 and f64. */
#ifndef GR_BASE_DTYPE_H
#define GR_BASE_DTYPE_H

#include "gradus.h"

typedef struct gr_dtype_info {
    const char *name;        /* "f32" */
    const char *safetensors; /* "F32" */
    int block;               /* values a block: 1 for plain dtypes */
    int bytes;               /* bytes a block */
    bool is_float, is_signed;
    void (*to_f32)(const void *src, float *dst, int64_t n);
    void (*from_f32)(const float *src, void *dst,
                     int64_t n);                /* round to nearest even; integers truncate and saturate */
    double (*load)(const void *src, int64_t i); /* one value, exact where f64 can hold it */
    void (*store)(void *dst, int64_t i, double value);
} gr_dtype_info;

/* Never NULL for a valid dtype. */
const gr_dtype_info *gr_dtype_get(gr_dtype d);
bool gr_dtype_from_name(const char *name, gr_dtype *out);        /* "f32" */
bool gr_dtype_from_safetensors(const char *name, gr_dtype *out); /* "F32" */
/* Bytes of `count` values; count must be a multiple of the block. */
size_t gr_dtype_size(gr_dtype d, int64_t count);

#endif
