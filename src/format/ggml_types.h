/* The types of tensors in GGUF files, by their numbers. */
#ifndef GR_FORMAT_GGML_TYPES_H
#define GR_FORMAT_GGML_TYPES_H

#include "format/source.h"

typedef struct gr_ggml_type {
    uint32_t number;
    const char *name;       /* "Q4_K" */
    int block, block_bytes; /* values and bytes a block; 0: the type was removed from the format */
} gr_ggml_type;

const gr_ggml_type *gr_ggml_type_find(uint32_t number); /* NULL: there is none of this number */
/* The dtype whose bytes they are, or the one that only files have; false: there is neither. */
bool gr_ggml_type_dtype(const gr_ggml_type *t, gr_dtype *dtype, const gr_stored_dtype **stored);
/* The type of a dtype's bytes; NULL: files have none. */
const gr_ggml_type *gr_ggml_type_of(gr_dtype dtype);

#endif
