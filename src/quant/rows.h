/* A matrix of a store as rows that lie one behind the other, to be rounded side by side. */
#ifndef GR_QUANT_ROWS_H
#define GR_QUANT_ROWS_H

#include "gradus.h"

/* Zeroed is closed. */
typedef struct gr_matrix {
    gr_dtype dtype;
    const char *data;
    int64_t rows, width;
    void *own;
} gr_matrix;
/* turned: the store has it [width, rows]. order: which columns its places have there; NULL: they are as they are. */
gr_status gr_matrix_open(gr_matrix *r, const gr_store *s, int index, int64_t rows, int64_t width, bool turned,
                         const int32_t *order);
void gr_matrix_close(gr_matrix *r);
/* All of them to `dtype`, on the device's threads; group: columns with one scale, where the dtype is one that is in the hub's
 * files; 0: those of a block. weights: what the error of each column counts; NULL: all alike. */
gr_status gr_matrix_round(gr_device *d, const gr_matrix *r, gr_dtype dtype, int64_t group, const float *weights,
                          void *to);
/* Adds up the squares of what rounding to `is` has changed, and of the values. GR_ERR_NUMBER where that is no number. */
gr_status gr_matrix_compare(gr_device *d, const gr_matrix *r, gr_dtype dtype, const void *is, double *lost,
                            double *sum);
/* A row of n values to `dtype`: its scales, and the codes that are nearest. With a group weights are not NULL. */
void gr_rows_choose(gr_dtype dtype, int64_t group, const float *x, const float *weights, void *to, int64_t n);
/* One row to f32. */
void gr_matrix_read(const gr_matrix *r, int64_t row, float *to);

#endif
