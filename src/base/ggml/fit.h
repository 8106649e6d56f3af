/* Scales that make the squared error of a group of values small: several are tried to round with, each then replaced by
 * the one that is best for the codes it gave (least squares), and the best of those kept. The error of value i counts w[i]
 * times. */
#ifndef GR_BASE_GGML_FIT_H
#define GR_BASE_GGML_FIT_H

#include "base/ggml/block.h"

enum { GR_FIT_MOST = 32 }; /* values of a group */

/* x ≈ scale * q - offset, q in [0, most], both not negative; n at most GR_FIT_MOST. */
float gr_fit_affine(const float *x, const float *w, int n, int most, float *offset);
/* x ≈ scale * q, q in [-half, half - 1]. */
float gr_fit_signed(const float *x, const float *w, int n, int half);
/* x ≈ scale * table[q], q in [0, 16); the table rises, from -127 to 113. */
float gr_fit_table(const float *x, const float *w, int n, const int8_t *table);

/* Codes for given scales, and the squared error that they have. */
float gr_codes_affine(const float *x, const float *w, int n, int most, float scale, float offset, uint8_t *q);
float gr_codes_signed(const float *x, const float *w, int n, int half, float scale, int8_t *q);
float gr_codes_table(const float *x, const float *w, int n, const int8_t *table, float scale, uint8_t *q);

#endif
