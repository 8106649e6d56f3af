/* What int8.c needs per ISA level: rows of activations and panels of weights as integers, and the tile that multiplies
 * them. Defined in kernels/int8.c. */
#ifndef GR_BACKEND_CPU_INT8_KERNELS_H
#define GR_BACKEND_CPU_INT8_KERNELS_H

#include "backend/cpu/isa.h"
#include "base/dtype.h"

/* Columns of a panel, and rows of a tile at most. */
enum { GR_INT8_COLS = 16, GR_INT8_ROWS = 4 };

/* What both operands are made into, which the weights' dtype decides. */
typedef struct gr_int8_form {
    const gr_dtype_info *dtype; /* of the weights */
    int64_t k;
    int group; /* places with one scale of the weights: 16 or 32 */
    int period; /* how often 4 products can be added up in 16 bits; 0: codes are wide, of 16 bits, and zero is taken off */
} gr_int8_form;

/* Four rows of activations side by side: of 4 places (2 where codes are wide, of 16 bits) each row's codes, 16 bytes; then of
 * the next. Of 32 places each row's scale; of a group what its sums of products begin with, since zero is taken off the
 * weights' codes, and the sum of its values, for offsets. */
typedef struct gr_int8_rows {
    char *codes;
    float *scales;
    int32_t *starts;
    float *sums;
} gr_int8_rows;

/* 16 rows of weights side by side: of 4 places (2 where codes are wide) each row's codes, 64 bytes; then of the next. Scales
 * and offsets of a group of all rows, then of the next group. */
typedef struct gr_int8_panel {
    float *codes; /* by what they are moved as */
    float *scales, *offsets;
} gr_int8_panel;

typedef struct gr_int8_tile {
    const gr_int8_form *form;
    gr_int8_rows a;
    gr_int8_panel b;
    float *c;
    int64_t ldc;
} gr_int8_tile;

/* Room for reading: GR_INT8_COLS rows of a part of k. */
enum { GR_INT8_PART = 2048, GR_INT8_ROOM_BYTES = GR_INT8_COLS * GR_INT8_PART * 4 };

/* Row r of four from its values as a8. */
GR_ISA_DECLARE(void, gr_int8_row_read, (const gr_int8_form *form, const void *a8, int r, const gr_int8_rows *out));
/* `rows` rows of weights from `src`, row_bytes apart; missing ones are 0. */
GR_ISA_DECLARE(void, gr_int8_pack,
               (const gr_int8_form *form, const void *src, size_t row_bytes, int64_t rows, const gr_int8_panel *out,
                void *room));
/* c = sums over all groups, in their order, of the exact sum of a group's products times both scales: each element's bits are
 * its own, whatever tile it is in. */
GR_ISA_DECLARE(void, gr_int8_multiply, (const gr_int8_tile *t, int64_t rows, int64_t cols));

#endif
