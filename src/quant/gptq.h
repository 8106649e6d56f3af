/* Rounding a matrix so that its products with given activations change least (Frantar et al. 2022, "GPTQ"): columns are rounded
 * one after the other, and what one has lost is taken up by those that are still to come.
 *
 * With H = sum x x^T over the inputs x, columns sorted so that those with the largest diagonal come last, and H = L L^T,
 * X = L^-1: columns are taken from the last to the first, and e = (w_i - q_i) / X_ii is carried on as w_j -= e X_ij for all j < i. */
#ifndef GR_QUANT_GPTQ_H
#define GR_QUANT_GPTQ_H

#include "quant/rows.h"

typedef struct gr_gptq {
    int64_t width;
    int *column;    /* [width] which column is the i-th */
    float *weight;  /* [width] the diagonal of H, by column */
    double *a;      /* [width, width] below the diagonal X, above it L^T, whose diagonal it has */
    double damping; /* that was added to the diagonal, as a part of its mean */
} gr_gptq;

/* Of H [width, width], whose upper half is not looked at. A matrix that is not positive definite gets more damping until it
 * is. Close in any case. */
gr_status gr_gptq_open(gr_gptq *g, gr_device *d, const float *h, int64_t width);
void gr_gptq_close(gr_gptq *g);
/* Bytes that rounding rows of this width takes besides. */
size_t gr_gptq_room(const gr_device *d, int64_t width);
/* As gr_matrix_round, of a dtype of blocks: scales are those that are best for the rows as they are, weighed by H's diagonal. */
gr_status gr_gptq_round(const gr_gptq *g, gr_device *d, const gr_matrix *r, gr_dtype dtype, int64_t group, void *to);

#endif
