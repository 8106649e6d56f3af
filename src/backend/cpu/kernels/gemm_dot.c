/* Few rows of a with a transposed b: rows of both times each other, b as its file has it. */
#include "backend/cpu/kernels/isa_suffix.h"
#include "backend/cpu/kernels/gemm_tile.h"

#if defined(__AVX512F__) || defined(__aarch64__)
enum { DOT_ROWS = 4, DOT_COLS = 6 };
#else
enum { DOT_ROWS = 2, DOT_COLS = 4 };
#endif
/* Sums in flight with one column, bytes asked for ahead. */
enum { CHUNKS = 4, DOT_SUMS = DOT_COLS > CHUNKS ? DOT_COLS : CHUNKS, AHEAD = 4096 };

/* A fixed tree over the lanes. */
GR_INLINE float lane_sum(vec v)
{
    float x[LANES];
    *(vec_mem *)x = v;
    UNROLL for (int half = LANES / 2; half > 0; half /= 2) UNROLL for (int l = 0; l < half; l++) x[l] += x[l + half];
    return x[0];
}

/* rows x cols products of rows with rows. All are summed alike, so that a row's result does not depend on how many there
 * are: CHUNKS sums of every CHUNKS-th vector, added in order, and what is left. With one column b is a single sequential
 * stream, which hardware and prefetches follow best; more columns spare loads of a when there are many rows, but leave
 * registers for one of the sums at a time: `together` of them in a pass. */
GR_INLINE void dot_tile(const gr_gemm_tile *t, int64_t i, int64_t j, const gr_gemm_kind kind, const int rows,
                        const int cols, const int together)
{
    vec acc[DOT_ROWS][DOT_SUMS], total[DOT_ROWS][DOT_COLS];
    const int64_t size = gr_kind_bytes(kind), a_row = t->a_row, b_row = t->b_row * size;
    const int64_t ahead = cols > 1 ? cols * b_row : AHEAD, vectors_a_line = 64 / (LANES * size);
    const float *a = t->a + i * a_row;
    const char *b = (const char *)t->b + j * b_row;
    const int64_t end = t->k / (CHUNKS * LANES) * (CHUNKS * LANES);
    UNROLL for (int first = 0; first < CHUNKS; first += together)
    {
        UNROLL for (int r = 0; r < rows; r++) UNROLL for (int s = 0; s < cols * together; s++) acc[r][s] = (vec){0};
        for (int64_t p = first * LANES; p < end; p += CHUNKS * LANES)
            UNROLL for (int s = 0; s < cols * together; s++)
            {
                const char *bs = b + s / together * b_row + (p + s % together * LANES) * size;
                if ((first + s % together) % vectors_a_line == 0)
                    __builtin_prefetch(bs + ahead, 0, 2); /* not the first level: its few misses are for loads */
                vec bv = gr_widen(bs, kind);
                UNROLL for (int r = 0; r < rows; r++) acc[r][s] +=
                    *(const vec_mem *)(a + r * a_row + p + s % together * LANES) * bv;
            }
        UNROLL for (int r = 0; r < rows; r++) UNROLL for (int c = 0; c < cols; c++)
        {
            vec v = acc[r][c * together];
            UNROLL for (int s = 1; s < together; s++) v += acc[r][c * together + s];
            total[r][c] = first > 0 ? total[r][c] + v : v;
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int c = 0; c < cols; c++)
    {
        vec v = total[r][c];
        int64_t q = end;
        for (; q + LANES <= t->k; q += LANES)
            v += *(const vec_mem *)(a + r * a_row + q) * gr_widen(b + c * b_row + q * size, kind);
        float sum = lane_sum(v);
        for (; q < t->k; q++)
            sum += a[r * a_row + q] * gr_widen_one(b + c * b_row + q * size, kind);
        finish(t, i + r, j + c, sum);
    }
}

/* Few rows of b at a time serve all rows of a while they are in the first-level cache. */
GR_INLINE void dot(const gr_gemm_tile *t, int64_t rows, int64_t cols, const gr_gemm_kind kind)
{
    int64_t j = 0;
    const bool rows_stay = rows * t->k <= 8192; /* in the first-level cache, 32 KiB of it */
    for (; !rows_stay && j + DOT_COLS <= cols; j += DOT_COLS) {
        int64_t i = 0;
        for (; i + DOT_ROWS <= rows; i += DOT_ROWS)
            dot_tile(t, i, j, kind, DOT_ROWS, DOT_COLS, 1);
        for (; i < rows; i++)
            dot_tile(t, i, j, kind, 1, DOT_COLS, 1);
    }
    for (; j < cols; j++) {
        int64_t i = 0;
        for (; i + DOT_ROWS <= rows; i += DOT_ROWS)
            dot_tile(t, i, j, kind, DOT_ROWS, 1, CHUNKS);
        for (; i < rows; i++)
            dot_tile(t, i, j, kind, 1, 1, CHUNKS);
    }
}

#define FOR_KIND(kind)                                                                                                 \
    void GR_ISA_FN(gr_gemm_dot_##kind)(const gr_gemm_tile *t, int64_t rows, int64_t cols)                              \
    {                                                                                                                  \
        dot(t, rows, cols, GR_GEMM_##kind);                                                                            \
    }
FOR_KIND(F32)
FOR_KIND(F16)
FOR_KIND(BF16)
