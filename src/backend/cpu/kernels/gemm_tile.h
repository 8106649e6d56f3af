/* The register tile of matrix multiplication: b may be f32, f16 or bf16 in memory, or pairs of bf16 that are multiplied as
 * such. Only for sources in kernels/.
 *
 * Written once with the compilers' vector types; per level only the tile's shape differs. The shape is what fits the
 * registers: mr x vectors accumulators, `vectors` of b, one broadcast of a. 24 (12) accumulators also hide the latency
 * of the two multiply-add units, and 8 x 48 asks 16 bytes a cycle of b and 3 of a: the second-level cache delivers it. */
#ifndef GR_BACKEND_CPU_KERNELS_GEMM_TILE_H
#define GR_BACKEND_CPU_KERNELS_GEMM_TILE_H

#include "backend/cpu/kernels/widen.h"

typedef gr_vec vec;
typedef gr_vec_mem vec_mem;
enum { LANES = GR_LANES };
#if defined(__AVX512F__)
enum { MR = 8, VECTORS = 3 };
#elif defined(__AVX2__)
enum { MR = 6, VECTORS = 2 };
#elif defined(__aarch64__)
enum { MR = 8, VECTORS = 3 };
#else
enum { MR = 4, VECTORS = 2 };
#endif
enum { NR = LANES * VECTORS };

/* `rows`, `vectors` and `kind` are constants at every call, so the loops unroll and acc lives in registers. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* Adds what the tile says to `sum` and stores it: for columns that fill no vector. */
static void finish(const gr_gemm_tile *t, int64_t i, int64_t j, float sum)
{
    float *c = &t->c[i * t->ldc + j];
    if (t->add)
        sum += *c;
    if (t->bias)
        sum += t->bias[j];
    *c = sum;
}

/* Of a step: x, and what it is multiplied with. */
GR_INLINE vec multiply_add(vec acc, float x, vec b, const gr_gemm_kind kind)
{
#if defined(__AVX512BF16__)
    if (kind == GR_GEMM_PAIRS)
        return (vec)_mm512_dpbf16_ps((__m512)acc, (__m512bh)b, (__m512bh)_mm512_set1_ps(x));
#endif
    (void)kind;
    return acc + x * b;
}

GR_INLINE void outer(const gr_gemm_tile *t, int64_t cols, const gr_gemm_kind kind, const int rows, const int vectors)
{
    vec acc[MR][VECTORS];
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++) acc[i][j] = (vec){0};
    /* c is met at the end, and often lies in far memory. */
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors * LANES; j += 16)
        __builtin_prefetch(t->c + i * t->ldc + j, 1);
    const float *a = t->a;
    const char *b = t->b;
    const int64_t a_row = t->a_row, a_col = t->a_col, size = gr_kind_bytes(kind), b_row = t->b_row * size;
    for (int64_t p = t->k; p > 0; p--) {
        vec bv[VECTORS];
        UNROLL for (int j = 0; j < vectors; j++) bv[j] = gr_widen(b + j * LANES * size, kind);
        UNROLL for (int i = 0; i < rows; i++)
        {
            float x; /* of pairs two of bf16, at any address */
            memcpy(&x, a + i * a_row, sizeof x);
            UNROLL for (int j = 0; j < vectors; j++) acc[i][j] = multiply_add(acc[i][j], x, bv[j], kind);
        }
        a += a_col;
        b += b_row;
    }
    if (cols < vectors * LANES) {
        /* Columns that do not fill the last vector: through memory, so that nothing beside c is written. */
        float out[MR][NR];
        UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++) * (vec_mem *)&out[i][j * LANES] =
            acc[i][j];
        for (int i = 0; i < rows; i++)
            for (int64_t j = 0; j < cols; j++)
                finish(t, i, j, out[i][j]);
        return;
    }
    UNROLL for (int j = 0; j < vectors; j++)
    {
        if (t->add)
            UNROLL for (int i = 0; i < rows; i++) acc[i][j] += *(const vec_mem *)(t->c + i * t->ldc + j * LANES);
        if (t->bias)
            UNROLL for (int i = 0; i < rows; i++) acc[i][j] += *(const vec_mem *)(t->bias + j * LANES);
        UNROLL for (int i = 0; i < rows; i++) * (vec_mem *)(t->c + i * t->ldc + j * LANES) = acc[i][j];
    }
}

GR_INLINE void outer_rows(const gr_gemm_tile *t, int64_t cols, const gr_gemm_kind kind, const int rows)
{
    if (VECTORS > 2 && cols > 2 * LANES)
        outer(t, cols, kind, rows, VECTORS);
    else if (cols > LANES)
        outer(t, cols, kind, rows, 2);
    else
        outer(t, cols, kind, rows, 1);
}

GR_INLINE void tile(const gr_gemm_tile *t, int64_t rows, int64_t cols, const gr_gemm_kind kind)
{
    switch (rows) {
    case 1:
        outer_rows(t, cols, kind, 1);
        break;
    case 2:
        outer_rows(t, cols, kind, 2);
        break;
    case 3:
        outer_rows(t, cols, kind, 3);
        break;
    case 4:
        outer_rows(t, cols, kind, 4);
        break;
#if defined(__AVX2__) || defined(__aarch64__)
    case 5:
        outer_rows(t, cols, kind, 5);
        break;
    case 6:
        outer_rows(t, cols, kind, 6);
        break;
#endif
#if defined(__AVX512F__) || defined(__aarch64__)
    case 7:
        outer_rows(t, cols, kind, 7);
        break;
    case 8:
        outer_rows(t, cols, kind, 8);
        break;
#endif
    default:
        break;
    }
}

#endif
