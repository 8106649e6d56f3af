/* The register tiles of f32 matrix multiplication.
 *
 * Written once with the compilers' vector types; per level only the tile's shape differs. The shape is what fits the
 * registers: mr x vectors accumulators, `vectors` of b, one broadcast of a. 24 (12) accumulators also hide the latency
 * of the two multiply-add units, and 8 x 48 asks 16 bytes a cycle of b and 3 of a: the second-level cache delivers it. */
#include "backend/cpu/gemm_kernels.h"
#include "backend/cpu/kernels/isa_suffix.h"

#if defined(__AVX512F__)
enum { LANES = 16, MR = 8, VECTORS = 3, DOT_ROWS = 4 };
#elif defined(__AVX2__)
enum { LANES = 8, MR = 6, VECTORS = 2, DOT_ROWS = 2 };
#elif defined(__aarch64__)
enum { LANES = 4, MR = 8, VECTORS = 3, DOT_ROWS = 4 };
#else
enum { LANES = 4, MR = 4, VECTORS = 2, DOT_ROWS = 2 };
#endif
enum { NR = LANES * VECTORS };
enum { CHUNKS = 4, AHEAD = 2048 }; /* of the dot product: independent sums, floats asked for ahead */

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
    /* c is met at the end, and often lies in far memory. */
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors * LANES; j += 16)
        __builtin_prefetch(t->c + i * t->ldc + j, 1);
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

/* `rows` rows of a times one row of b, in CHUNKS independent sums: b comes from memory as one sequential stream, which
 * the hardware and the prefetches follow best. */
FORCE_INLINE void dot_row(const gr_gemm_tile *t, int64_t i, int64_t j, const int rows)
{
    vec acc[DOT_ROWS][CHUNKS];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int s = 0; s < CHUNKS; s++) acc[r][s] = (vec){0};
    const float *a = t->a + i * t->a_row, *b = t->b + j * t->b_row;
    const int64_t a_row = t->a_row;
    int64_t p = 0;
    for (; p + CHUNKS * LANES <= t->k; p += CHUNKS * LANES)
        UNROLL for (int s = 0; s < CHUNKS; s++)
        {
            if (s * LANES % 16 == 0)
                __builtin_prefetch(b + p + s * LANES + AHEAD);
            vec bv = *(const vec_mem *)(b + p + s * LANES);
            UNROLL for (int r = 0; r < rows; r++) acc[r][s] += *(const vec_mem *)(a + r * a_row + p + s * LANES) * bv;
        }
    for (; p + LANES <= t->k; p += LANES) {
        vec bv = *(const vec_mem *)(b + p);
        UNROLL for (int r = 0; r < rows; r++) acc[r][0] += *(const vec_mem *)(a + r * a_row + p) * bv;
    }
    UNROLL for (int r = 0; r < rows; r++)
    {
        float sum = lane_sum((acc[r][0] + acc[r][1]) + (acc[r][2] + acc[r][3]));
        for (int64_t q = p; q < t->k; q++)
            sum += a[r * a_row + q] * b[q];
        finish(t, i + r, j, sum);
    }
}

/* A row of b serves all rows of a while it is in the first-level cache. */
static void dot(const gr_gemm_tile *t, int64_t rows, int64_t cols)
{
    for (int64_t j = 0; j < cols; j++) {
        int64_t i = 0;
        for (; i + DOT_ROWS <= rows; i += DOT_ROWS)
            dot_row(t, i, j, DOT_ROWS);
        for (; i < rows; i++)
            dot_row(t, i, j, 1);
    }
}

const gr_gemm_kernels *GR_ISA_FN(gr_gemm_kernels_get)(void)
{
    static const gr_gemm_kernels kernels = {
        MR, NR, tile, dot, GR_ISA_FN(gr_gemm_pack_copy), GR_ISA_FN(gr_gemm_pack_transpose)};
    return &kernels;
}
