/* What gemm.c needs per ISA level: the register tile, the dot tile for few rows, and packing. Defined in kernels/. */
#ifndef GR_BACKEND_CPU_GEMM_KERNELS_H
#define GR_BACKEND_CPU_GEMM_KERNELS_H

#include "backend/cpu/isa.h"

/* What an operand is made of; PAIRS only when it is packed, two bf16 of places k and k + 1 in the place of a float. */
typedef enum gr_gemm_kind { GR_GEMM_F32, GR_GEMM_F16, GR_GEMM_BF16, GR_GEMM_KINDS, GR_GEMM_PAIRS } gr_gemm_kind;

/* c[i][j] (+)= sum over p of a[i * a_row + p * a_col] * b[p * b_row + j], plus bias[j]. The sum runs in the order of p,
 * one multiply-add a step, whatever the number of rows and columns: how C is cut into tiles never shows in a bit. */
typedef struct gr_gemm_tile {
    const float *a;
    int64_t a_row, a_col;
    const void *b; /* of the kind that the kernel is for */
    int64_t b_row; /* in elements, as all steps are */
    float *c;
    int64_t ldc;
    int64_t k;
    const float *bias; /* NULL: none */
    bool add;          /* to what c holds; otherwise c is not read */
} gr_gemm_tile;

/* As above with b[j * b_row + p] and a_col = 1: rows of both operands are contiguous, so the sum runs by vectors; its
 * order depends on k, the rows, and where j lies in the columns given. */
typedef void (*gr_gemm_tile_fn)(const gr_gemm_tile *t, int64_t rows, int64_t cols);

/* Packed form: panels of `width` columns in f32, panel q at dst + q * panel_stride, row p of it at + p * width, missing
 * columns zero. copy: from src[p * ld + j]; transpose: from src[j * ld + p]. */
typedef void (*gr_gemm_pack_fn)(float *dst, int64_t panel_stride, int64_t width, const void *src, int64_t ld, int64_t k,
                                int64_t cols);
/* `rows` rows of n values, ld apart, become rows of f32, n apart. */
typedef void (*gr_gemm_widen_fn)(float *dst, const void *src, int64_t ld, int64_t rows, int64_t n);

typedef struct gr_gemm_kernels {
    int mr, nr; /* the tile's rows and columns: mr is at most GR_GEMM_ROWS, nr divides GR_GEMM_COLS */
    gr_gemm_tile_fn tile[GR_GEMM_KINDS], dot[GR_GEMM_KINDS]; /* by b's kind; a is f32 */
    gr_gemm_pack_fn copy[GR_GEMM_KINDS], transpose[GR_GEMM_KINDS];
    gr_gemm_widen_fn widen[GR_GEMM_KINDS];
} gr_gemm_kernels;

/* Rows of a, or the columns of a transposed one, into the tiles' order: `count` of them. */
typedef void (*gr_gemm_lay_fn)(float *dst, const void *src, int64_t ld, int64_t k, int64_t count);

/* The same where products of bf16 have instructions: steps of k are pairs, of an odd k the last one with a zero, and tile's b is
 * GR_GEMM_PAIRS, as its a is. copy, transpose and round give pairs, of k values each, and round f32. No dots. */
typedef struct gr_gemm_pair_kernels {
    int mr, nr;
    void (*begin)(void), (*end)(void); /* a thread's tiles, before and after; NULL: there is nothing to do */
    gr_gemm_tile_fn tile;
    gr_gemm_pack_fn copy[GR_GEMM_KINDS], transpose[GR_GEMM_KINDS]; /* of f16 there is none of all these */
    gr_gemm_widen_fn round[GR_GEMM_KINDS];
    gr_gemm_lay_fn lay[GR_GEMM_KINDS], turn[GR_GEMM_KINDS]; /* NULL: round and copy do for a */
} gr_gemm_pair_kernels;

#if GR_HAVE_ISA_AVX512
extern const gr_gemm_pair_kernels gr_gemm_pairs_avx512_bf16;
/* So many steps of multiply-adds of pairs in registers; *flops: how much work that was. */
float gr_limit_pairs_avx512_bf16(int64_t steps, double *flops);
#endif
/* So many places of k are a step of an AMX tile: what is packed for it is made full with zeros. */
enum { GR_GEMM_TILE_K = 32, GR_GEMM_TILE_K_MOST = 1024 };
#if GR_HAVE_ISA_AMX
extern const gr_gemm_pair_kernels gr_gemm_pairs_amx;
float gr_limit_pairs_amx(int64_t steps, double *flops);
#endif

/* What pieces are cut at, whichever level runs, so that room is enough; tiles of AMX have their own. */
enum { GR_GEMM_ROWS = 8, GR_GEMM_COLS = 48, GR_GEMM_TILE_ROWS = 32, GR_GEMM_TILE_COLS = 32 };

GR_ISA_DECLARE(const gr_gemm_kernels *, gr_gemm_kernels_get, (void));
/* transpose of f32, for others as well. */
GR_ISA_DECLARE(void, gr_gemm_pack_transpose, (float *, int64_t, int64_t, const float *, int64_t, int64_t, int64_t));

#define GR_GEMM_DECLARE(kind)                                                                                          \
    GR_ISA_DECLARE(void, gr_gemm_copy_##kind, (float *, int64_t, int64_t, const void *, int64_t, int64_t, int64_t));   \
    GR_ISA_DECLARE(void, gr_gemm_transpose_##kind,                                                                     \
                   (float *, int64_t, int64_t, const void *, int64_t, int64_t, int64_t));                              \
    GR_ISA_DECLARE(void, gr_gemm_widen_##kind, (float *, const void *, int64_t, int64_t, int64_t));                    \
    GR_ISA_DECLARE(void, gr_gemm_dot_##kind, (const gr_gemm_tile *, int64_t, int64_t));
GR_GEMM_DECLARE(F32)
GR_GEMM_DECLARE(F16)
GR_GEMM_DECLARE(BF16)

#endif
