/* What int8.c needs per ISA level: rows of activations and panels of weights as integers, and the tile that multiplies
 * them. Defined in kernels/int8.c, for panels in kernels/int8_pack.c, for one row in kernels/int8_one.c. */
#ifndef GR_BACKEND_CPU_INT8_KERNELS_H
#define GR_BACKEND_CPU_INT8_KERNELS_H

#include "backend/cpu/isa.h"
#include "base/dtype.h"

/* Columns of a panel, and rows of activations that lie side by side, at most. */
enum { GR_INT8_COLS = 16, GR_INT8_ROWS = 8 };

/* What both operands are made into, which the weights' dtype and the level decide. */
typedef struct gr_int8_form {
    const gr_dtype_info *dtype; /* of the weights */
    int64_t k;
    int group;      /* places with one scale of the weights: 16 or 32 */
    int zero;       /* what stands for 0 in the codes of a panel */
    bool is_signed; /* they are int8, and zero is 0; else they are bytes from 0 up */
    bool is_full;   /* activations may be -128, whose sign cannot be changed */
    int period;     /* of bytes: how often 4 products can be added up in 16 bits */
    int together;   /* rows of activations that lie side by side */
} gr_int8_form;

/* Rows of activations side by side: of 4 places each row's codes, 4 bytes; then of the next. Of 32 places each row's scale; of
 * a group what its sums of products begin with, since zero is taken off the weights' codes, and the sum of its values, for
 * offsets. */
typedef struct gr_int8_rows {
    char *codes;
    float *scales;
    int32_t *starts;
    float *sums;
} gr_int8_rows;

/* 16 rows of weights side by side: of 4 places each row's codes, 64 bytes; then of the next. Scales and offsets of a group of
 * all rows, then of the next group. */
typedef struct gr_int8_panel {
    char *codes;
    float *scales, *offsets;
} gr_int8_panel;

/* n places of both operands, which begin there, and are whole groups. */
typedef struct gr_int8_tile {
    const gr_int8_form *form;
    gr_int8_rows a;
    gr_int8_panel b;
    int64_t n;
    float *c;
    int64_t ldc;
    bool add; /* to what c holds, of the places before */
} gr_int8_tile;

/* Room for reading what no loop of the level reads: GR_INT8_COLS rows of a part of k. */
enum { GR_INT8_PART = 512, GR_INT8_ROOM_BYTES = GR_INT8_COLS * GR_INT8_PART };

/* n values to a8, to the bit as its record does. */
GR_ISA_DECLARE_VNNI(void, gr_int8_round, (const float *x, void *a8, int64_t n));
/* The same of a row to a8_row. */
GR_ISA_DECLARE_VNNI(void, gr_int8_round_row, (const float *x, void *a8, int64_t n));
/* Row r of those side by side from its values as a8. */
GR_ISA_DECLARE_VNNI(void, gr_int8_row_read, (const gr_int8_form *form, const void *a8, int r, const gr_int8_rows *out));
/* GR_INT8_ROWS rows, so many bytes apart. */
GR_ISA_DECLARE_VNNI(void, gr_int8_rows_read,
                    (const gr_int8_form *form, const void *a8, size_t row, const gr_int8_rows *out));
/* c = sums over all groups, in their order, of the exact sum of a group's products times both scales: each element's bits are
 * its own, whatever tile it is in, and wherever places are cut. */
GR_ISA_DECLARE_VNNI(void, gr_int8_multiply, (const gr_int8_tile *t, int64_t rows, int64_t cols));
/* The same of one row of activations and the 16 rows of weights at `src`; false: this level has no loop for their dtype. */
GR_ISA_DECLARE_VNNI(bool, gr_int8_one,
                    (const gr_int8_form *form, const gr_int8_rows *a, const void *src, size_t row_bytes, float *c));
/* n places of `rows` rows of weights from `src`, row_bytes apart; missing rows are 0. */
GR_ISA_DECLARE(void, gr_int8_pack,
               (const gr_int8_form *form, const void *src, size_t row_bytes, int64_t rows, int64_t n,
                const gr_int8_panel *out, void *room));

#endif
