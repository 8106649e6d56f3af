/* What gemm.c needs per ISA level: the register tile, the dot tile for few rows, and packing. Defined in kernels/. */
#ifndef GR_BACKEND_CPU_GEMM_KERNELS_H
#define GR_BACKEND_CPU_GEMM_KERNELS_H

#include "backend/cpu/isa.h"

/* c[i][j] (+)= sum over p of a[i * a_row + p * a_col] * b[p * b_row + j], plus bias[j]. The sum runs in the order of p,
 * one multiply-add a step, whatever the number of rows and columns: how C is cut into tiles never shows in a bit. */
typedef struct gr_gemm_tile {
    const float *a;
    int64_t a_row, a_col;
    const float *b;
    int64_t b_row;
    float *c;
    int64_t ldc;
    int64_t k;
    const float *bias; /* NULL: none */
    bool add;          /* to what c holds; otherwise c is not read */
} gr_gemm_tile;

/* As above with b[j * b_row + p] and a_col = 1: rows of both operands are contiguous, so the sum runs by vectors; its
 * order depends on k, the rows, and where j lies in the columns given. */
typedef void (*gr_gemm_tile_fn)(const gr_gemm_tile *t, int64_t rows, int64_t cols);

/* Packed form: panels of `width` columns, panel q at dst + q * panel_stride, row p of it at + p * width, missing columns
 * zero. copy: from src[p * ld + j]; transpose: from src[j * ld + p]. */
typedef void (*gr_gemm_pack_fn)(float *dst, int64_t panel_stride, int64_t width, const float *src, int64_t ld,
                                int64_t k, int64_t cols);

typedef struct gr_gemm_kernels {
    int mr, nr; /* the tile's rows and columns: mr is at most GR_GEMM_ROWS, nr divides GR_GEMM_COLS */
    gr_gemm_tile_fn tile, dot;
    gr_gemm_pack_fn copy, transpose;
} gr_gemm_kernels;

/* Room is planned for these, so that it is enough whichever level runs. */
#define GR_GEMM_ROWS 8
#define GR_GEMM_COLS 48

GR_ISA_DECLARE(const gr_gemm_kernels *, gr_gemm_kernels_get, (void));
GR_ISA_DECLARE(void, gr_gemm_pack_copy, (float *, int64_t, int64_t, const float *, int64_t, int64_t, int64_t));
GR_ISA_DECLARE(void, gr_gemm_pack_transpose, (float *, int64_t, int64_t, const float *, int64_t, int64_t, int64_t));

#endif
