/* Dtypes are records: what a dtype is called, how many values and bytes are in a block of it, what it may be used for, and
 * the conversion of rows to and from f32. A switch over dtypes anywhere else is a fault: ask the record.
 *
 * Most dtypes are plain: a block is one value. Others hold several values in one block, as quantized weights do; blocks
 * lie along the last dim of a tensor, which must be a multiple of them. docs/add-a-dtype.md */
#ifndef GR_BASE_DTYPE_H
#define GR_BASE_DTYPE_H

#include "gradus.h"

enum { GR_DTYPE_BLOCK_MOST = 256 };

/* How kernels that multiply integers read a dtype of blocks: groups of values share a scale, and each value is
 * scale * (code - zero) + offset, which to the bit is what to_f32 gives. */
typedef struct gr_codes {
    int group;             /* values a scale, 16 or 32; 0: it cannot be read so */
    int zero, most;        /* codes are in [0, most], and zero is within */
    bool offsets;          /* false: there are none, and nothing is written to them */
    const uint8_t *levels; /* [16] the only codes that there are, rising; NULL: all */
    void (*read)(const void *src, uint8_t *codes, float *scales, float *offsets, int64_t n);
    /* Other codes for blocks that are there; scales and offsets stay. NULL where it can be read only. */
    void (*pack)(const uint8_t *codes, void *dst, int64_t n);
} gr_codes;

typedef struct gr_dtype_info {
    const char *name;        /* "f32" */
    const char *safetensors; /* "F32": its name in files */
    const char *ggml;   /* "Q4_K": its name to ggml, whose GGUF files have it as a number; NULL: they have it not */
    uint32_t ggml_id;   /* that number */
    uint32_t ggml_file; /* general.file_type of a file whose matrices are mostly of it */
    int block;          /* values a block, at most GR_DTYPE_BLOCK_MOST */
    int block_bytes;    /* bytes a block */
    int align;          /* what addresses of it are a multiple of */
    bool is_float, is_signed; /* plain numbers that ops compute with; blocks are neither */
    bool is_activation;       /* layers read and write it as it is, and compute in f32 */
    bool is_weight;           /* a model's weights stay in it as they are in their file; else they are read as f32 */
    bool is_row;              /* rows of activations are rounded to it, for products with weights in blocks */
    bool by_row; /* then: all blocks of one have one scale, from_f32 is given a whole row, and codes reach to -128 */
    bool is_f32_inside; /* an f32 holds any value of it: what chains of element-wise ops pass on */
    gr_dtype sums;      /* what sums of it are accumulated in, and statistics of it saved in */
    void (*to_f32)(const void *src, float *dst, int64_t n); /* n: whole blocks, here and below */
    void (*from_f32)(const float *src, void *dst,
                     int64_t n); /* round to nearest even; integers truncate and saturate; NULL: it can be read only */
    /* The same of blocks, where the error of a value counts as many times as its weight says; NULL: as from_f32 */
    void (*from_weighed)(const float *src, const float *weights, void *dst, int64_t n);
    /* The same of a row of n values that are to share one scale; NULL: each block has its own */
    void (*from_row)(const float *src, const float *weights, void *dst, int64_t n);
    gr_codes codes;
    /* Of plain dtypes one value, exact where f64 can hold it. */
    double (*load)(const void *src, int64_t i);
    void (*store)(void *dst, int64_t i, double value);
} gr_dtype_info;

#define GR_DECLARE_DTYPE(constant, name) extern const gr_dtype_info gr_dtype_##name;
GR_DTYPES(GR_DECLARE_DTYPE)
#undef GR_DECLARE_DTYPE

/* No dtype has a number as large as GR_DTYPE_LIMIT: what arrays by dtype have room for. The last few are for tests. */
#define GR_COUNT_DTYPE(constant, name) +1
enum { GR_DTYPE_SPARE = 4, GR_DTYPE_LIMIT = GR_DTYPES(GR_COUNT_DTYPE) + GR_DTYPE_SPARE };
#undef GR_COUNT_DTYPE

bool gr_dtype_exists(gr_dtype d);
/* Of a dtype that exists. */
const gr_dtype_info *gr_dtype_get(gr_dtype d);
bool gr_dtype_from_name(const char *name, gr_dtype *out);        /* "f32" */
bool gr_dtype_from_safetensors(const char *name, gr_dtype *out); /* "F32" */
bool gr_dtype_from_ggml(uint32_t id, gr_dtype *out);             /* 0: F32 */

static inline bool gr_dtype_is_block(gr_dtype d)
{
    return gr_dtype_get(d)->block > 1;
}

/* Bytes from one value to the next, which only plain dtypes have: 0 for blocks. */
static inline int gr_dtype_width(gr_dtype d)
{
    const gr_dtype_info *info = gr_dtype_get(d);
    return info->block == 1 ? info->block_bytes : 0;
}

/* Bytes of `count` values, also as an offset; SIZE_MAX: too many, or no whole blocks. */
size_t gr_dtype_size(gr_dtype d, int64_t count);
/* How many values that many bytes are. */
int64_t gr_dtype_values(gr_dtype d, size_t bytes);
/* Bytes of a tensor; false: more than there can be, or a shape that it cannot have. */
bool gr_dtype_shape_size(gr_dtype d, int ndim, const int64_t *shape, size_t *bytes);
/* Why not, in `buf`: "the last dim, 33, is no multiple of 32, the values in a block of q8"; NULL: it can. */
const char *gr_dtype_shape_fault(gr_dtype d, int ndim, const int64_t *shape, char *buf, size_t size);
/* Value i of a row that begins at src, whatever the dtype. Slow for blocks, of which it converts one. */
double gr_dtype_load(gr_dtype d, const void *src, int64_t i);

/* For tests: a dtype that is in no list gets a number of this process's own; GR_DTYPE_NONE: all are taken. The record must
 * live until it is forgotten. Not while other threads use the library. */
gr_dtype gr_dtype_add(const gr_dtype_info *record);
void gr_dtype_forget(gr_dtype d);

#endif
