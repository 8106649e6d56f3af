/* The register tiles of f32 matrix multiplication.
 *
 * Written once with the compilers' vector types; per level only the tile's shape differs. The shape is what fits the
 * registers: mr x vectors accumulators, `vectors` of b, one broadcast of a. 24 (12) accumulators also hide the latency
 * of the two multiply-add units, and 8 x 48 asks 16 bytes a cycle of b and 3 of a: the second-level cache delivers it. */
#include "backend/cpu/gemm_kernels.h"
#include "backend/cpu/kernels/isa_suffix.h"

#if defined(__AVX512F__)
enum { LANES = 16, MR = 8, VECTORS = 3, DOT_ROWS = 4, DOT_COLS = 6 };
#elif defined(__AVX2__)
enum { LANES = 8, MR = 6, VECTORS = 2, DOT_ROWS = 2, DOT_COLS = 4 };
#elif defined(__aarch64__)
enum { LANES = 4, MR = 8, VECTORS = 3, DOT_ROWS = 4, DOT_COLS = 6 };
#else
enum { LANES = 4, MR = 4, VECTORS = 2, DOT_ROWS = 2, DOT_COLS = 4 };
#endif
enum { NR = LANES * VECTORS };

typedef float vec __attribute__((vector_size(LANES * sizeof(float))));
/* The same in memory: at any address, over plain floats. */
typedef float vec_mem __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

/* `rows` and `vectors` are constants at every call, so the loops unroll and acc lives in registers. */
#define FORCE_INLINE static inline __attribute__((always_inline))
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

FORCE_INLINE void outer(const gr_gemm_tile *t, int64_t cols, const int rows, const int vectors)
{
    vec acc[MR][VECTORS];
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++) acc[i][j] = (vec){0};
    const float *a = t->a, *b = t->b;
    const int64_t a_row = t->a_row, a_col = t->a_col, b_row = t->b_row;
    for (int64_t p = t->k; p > 0; p--) {
        vec bv[VECTORS];
        UNROLL for (int j = 0; j < vectors; j++) bv[j] = *(const vec_mem *)(b + j * LANES);
        UNROLL for (int i = 0; i < rows; i++)
        {
            float x = a[i * a_row];
            UNROLL for (int j = 0; j < vectors; j++) acc[i][j] += x * bv[j];
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

FORCE_INLINE void outer_rows(const gr_gemm_tile *t, int64_t cols, const int rows)
{
    if (VECTORS > 2 && cols > 2 * LANES)
        outer(t, cols, rows, VECTORS);
    else if (cols > LANES)
        outer(t, cols, rows, 2);
    else
        outer(t, cols, rows, 1);
}

static void tile(const gr_gemm_tile *t, int64_t rows, int64_t cols)
{
    switch (rows) {
    case 1:
        outer_rows(t, cols, 1);
        break;
    case 2:
        outer_rows(t, cols, 2);
        break;
    case 3:
        outer_rows(t, cols, 3);
        break;
    case 4:
        outer_rows(t, cols, 4);
        break;
#if defined(__AVX2__) || defined(__aarch64__)
    case 5:
        outer_rows(t, cols, 5);
        break;
    case 6:
        outer_rows(t, cols, 6);
        break;
#endif
#if defined(__AVX512F__) || defined(__aarch64__)
    case 7:
        outer_rows(t, cols, 7);
        break;
    case 8:
        outer_rows(t, cols, 8);
        break;
#endif
    default:
        break;
    }
}

/* A fixed tree over the lanes. */
FORCE_INLINE float lane_sum(vec v)
{
    float x[LANES];
    *(vec_mem *)x = v;
    UNROLL for (int half = LANES / 2; half > 0; half /= 2) UNROLL for (int l = 0; l < half; l++) x[l] += x[l + half];
    return x[0];
}

FORCE_INLINE void dot_tile(const gr_gemm_tile *t, const int rows, const int cols)
{
    vec acc[DOT_ROWS][DOT_COLS];
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < cols; j++) acc[i][j] = (vec){0};
    const int64_t whole = t->k - t->k % LANES;
    for (int64_t p = 0; p < whole; p += LANES) {
        vec av[DOT_ROWS];
        UNROLL for (int i = 0; i < rows; i++) av[i] = *(const vec_mem *)(t->a + i * t->a_row + p);
        UNROLL for (int j = 0; j < cols; j++)
        {
            vec bv = *(const vec_mem *)(t->b + j * t->b_row + p);
            UNROLL for (int i = 0; i < rows; i++) acc[i][j] += av[i] * bv;
        }
    }
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < cols; j++)
    {
        float sum = lane_sum(acc[i][j]);
        for (int64_t p = whole; p < t->k; p++)
            sum += t->a[i * t->a_row + p] * t->b[j * t->b_row + p];
        finish(t, i, j, sum);
    }
}

FORCE_INLINE void dot_rows(const gr_gemm_tile *t, int64_t cols, const int rows)
{
    if (cols == DOT_COLS) {
        dot_tile(t, rows, DOT_COLS);
        return;
    }
    gr_gemm_tile one = *t;
    for (int64_t j = 0; j < cols; j++) {
        one.b = t->b + j * t->b_row;
        one.c = t->c + j;
        one.bias = t->bias ? t->bias + j : NULL;
        dot_tile(&one, rows, 1);
    }
}

/* Any number of rows: they pass by in groups while the tile's rows of b stay in the first-level cache. */
static void dot(const gr_gemm_tile *t, int64_t rows, int64_t cols)
{
    gr_gemm_tile part = *t;
    for (int64_t i = 0; i < rows;) {
        int64_t left = rows - i;
        part.a = t->a + i * t->a_row;
        part.c = t->c + i * t->ldc;
        if (left >= DOT_ROWS) {
            dot_rows(&part, cols, DOT_ROWS);
            i += DOT_ROWS;
        } else if (left >= 2) {
            dot_rows(&part, cols, 2);
            i += 2;
        } else {
            dot_rows(&part, cols, 1);
            i++;
        }
    }
}

const gr_gemm_kernels *GR_ISA_FN(gr_gemm_kernels_get)(void)
{
    static const gr_gemm_kernels kernels = {
        MR, NR, DOT_COLS, tile, dot, GR_ISA_FN(gr_gemm_pack_copy), GR_ISA_FN(gr_gemm_pack_transpose)};
    return &kernels;
}
