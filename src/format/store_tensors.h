/* A store as the tensors of a safetensors file: read where they are, or where the host cannot or another dtype is
 * wanted, one at a time into one buffer. So a model is written, and compared with what was written, without a second
 * copy of it in memory. */
#ifndef GR_FORMAT_STORE_TENSORS_H
#define GR_FORMAT_STORE_TENSORS_H

#include "format/safetensors.h"

typedef struct gr_store_tensors {
    gr_store *store;
    gr_weight *tensors; /* [count], in the store's order; `data` NULL */
    int count;
    size_t bytes; /* of all of them, as written */
    /* The rest is for fetching. */
    char **names;           /* [count] those that were given anew */
    bool *turns;            /* [count] */
    const int32_t **orders; /* [count] columns that places of a matrix have; NULL: as they are */
    size_t largest, largest_written;
    void *buffer, *written, *turned;
} gr_store_tensors;

/* as: what floating-point tensors become; NULL: they stay what they are. Close in any case. */
gr_status gr_store_tensors_open(gr_store_tensors *s, gr_store *store, const gr_dtype *as);
void gr_store_tensors_close(gr_store_tensors *s);
/* Another name in the file than in the store; `name` is taken over, NULL is a failure. */
gr_status gr_store_tensors_rename(gr_store_tensors *s, int index, char *name);
/* Another dtype for one tensor. */
void gr_store_tensors_cast(gr_store_tensors *s, int index, gr_dtype dtype);
/* A matrix [rows, columns] of plain numbers that is written as [columns, rows]. */
void gr_store_tensors_turn(gr_store_tensors *s, int index);
/* A matrix in blocks whose places have these columns, which lives as long as `s`: it is written with columns as they are, where
 * it is cast. */
void gr_store_tensors_sorted(gr_store_tensors *s, int index, const int32_t *order);
/* Turns a matrix, tile by tile, so that both sides stay in the cache; `each`: bytes of a number. */
void gr_matrix_turn(const void *from, void *to, int64_t rows, int64_t columns, size_t each);
/* A tensor's bytes as they are written, valid until the next call. A number that is finite in the store and not in the
 * file's dtype is GR_ERR_NUMBER. `s` is the gr_store_tensors: fits gr_safetensors_spec.fetch. */
gr_status gr_store_tensors_fetch(void *s, int index, const void **data);
/* What gr_safetensors_write and gr_weights_save take; with the metadata that transformers asks for. */
gr_safetensors_spec gr_store_tensors_spec(gr_store_tensors *s);

#endif
