/* What weights come from, whatever the format: a file is a list of named tensors whose bytes lie somewhere in memory.
 * Each format has an opener that fills a gr_source; weights.c picks one by the file's name and puts files together. */
#ifndef GR_FORMAT_SOURCE_H
#define GR_FORMAT_SOURCE_H

#include "gradus.h"

/* A dtype that files have and no tensor here: 8-bit floats, and integers of other widths. */
typedef struct gr_stored_dtype {
    const char *name; /* "F8_E4M3" */
    int bits;
    void (*to_f32)(const void *src, float *to, size_t n); /* NULL: is not turned into numbers */
} gr_stored_dtype;

/* One tensor. In a file of strangers `data` may stand at any address: copy, do not dereference as numbers. */
typedef struct gr_weight {
    const char *name;
    gr_dtype dtype;
    int ndim;
    int64_t shape[GR_MAX_DIMS];
    const void *data;
    size_t bytes;
    const gr_stored_dtype *stored; /* the dtype, where it is none of gr_dtype's (`dtype` is GR_U8 then); else NULL */
} gr_weight;

/* A tensor's values as f32, rounded where they must be, wherever its bytes stand. */
void gr_weight_to_f32(const gr_weight *t, float *to);
/* Can they be had? Of 8-bit floats and of integers as well, not of complex numbers or parts of bytes. */
bool gr_weight_is_number(const gr_weight *t);
size_t gr_weight_values(const gr_weight *t);
const char *gr_weight_dtype_name(const gr_weight *t); /* "f32", "F8_E4M3" */
/* Dtype, shape and bytes are the same; `is` may be NULL, which is like nothing. */
bool gr_weight_is_like(const gr_weight *t, const gr_weight *is);
/* For what is read again after it was written, and has other values. */
gr_status gr_weight_fail_changed(const gr_weight *t);

/* What a file has under a name besides tensors; `what` says it for a message: "a number". */
typedef struct gr_not_weight {
    const char *name, *what;
} gr_not_weight;

/* An open file. Everything in it lives until close. */
typedef struct gr_source {
    const char *path, *format; /* format: "safetensors" */
    const gr_weight *tensors;
    int count;
    const gr_not_weight *others;
    int others_count;
    void *self;
    /* Reads all bytes and compares them with the checksums that the format keeps; NULL: it keeps none. */
    gr_status (*check)(const void *self);
    void (*close)(void *self);
} gr_source;

#endif
