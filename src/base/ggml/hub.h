/* The dtypes of the hub's files (hub.c): a row of them from its parts, and the parts of a row. */
#ifndef GR_BASE_GGML_HUB_H
#define GR_BASE_GGML_HUB_H

#include "base/dtype.h"

#include <string.h>

enum { GR_INTS_HEAD = 4, GR_INTS_ZERO_HEAD = 5 }; /* bytes of a block before its codes */

static inline bool gr_ints_is(gr_dtype d)
{
    return gr_dtype_get(d)->from_row != NULL;
}

static inline int gr_ints_bits(gr_dtype d)
{
    return gr_dtype_get(d)->codes.most == 15 ? 4 : 8;
}

static inline size_t gr_ints_head(const gr_dtype_info *d)
{
    return d->codes.offsets ? GR_INTS_ZERO_HEAD : GR_INTS_HEAD;
}

/* The dtype of so many bits, with a zero point or 0 in the middle, whose blocks are the largest that `group` values are whole
 * ones of; GR_DTYPE_NONE: there is none. */
static inline gr_dtype gr_ints_find(int bits, bool zero, int64_t group)
{
    static const gr_dtype of4[][2] = {
        {GR_INT4_128, GR_INT4Z_128}, {GR_INT4_64, GR_INT4Z_64}, {GR_INT4_32, GR_INT4Z_32}};
    if (group <= 0 || group % 32)
        return GR_DTYPE_NONE;
    if (bits == 8)
        return zero ? GR_INT8Z : GR_INT8;
    for (int i = 0;; i++)
        if (group % gr_dtype_get(of4[i][zero])->block == 0)
            return of4[i][zero];
}

/* The scale of a block, and its zero point as a code. */
static inline void gr_ints_get(const gr_dtype_info *d, const void *block, float *scale, float *zero)
{
    memcpy(scale, block, sizeof *scale);
    *zero = (float)d->codes.zero;
    if (d->codes.offsets)
        *zero = (float)((const uint8_t *)block)[sizeof *scale];
}

/* A row of n values to one of these dtypes, `group` of them with one scale (0: a block). weights: [n], what the error of each
 * counts. */
static inline void gr_ints_from_row(const gr_dtype_info *d, int64_t group, const float *x, const float *weights,
                                    void *to, int64_t n)
{
    int64_t each = group > 0 ? group : d->block;
    for (int64_t at = 0; at < n; at += each)
        d->from_row(x + at, weights + at, (char *)to + at / d->block * d->block_bytes, each < n - at ? each : n - at);
}

static inline void gr_ints_put(const gr_dtype_info *d, void *block, float scale, float zero)
{
    memcpy(block, &scale, sizeof scale);
    if (d->codes.offsets)
        ((uint8_t *)block)[sizeof scale] = (uint8_t)zero;
}

#endif
