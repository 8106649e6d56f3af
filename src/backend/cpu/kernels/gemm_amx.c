/* Products of bf16 by AMX: a core has eight tiles of 16 rows x 64 bytes, and one instruction (tdpbf16ps) multiplies two of them
 * and adds to a third, 16 x 16 sums of 16 pairs each:
 *
 *     a tile of a:  row i  = places k .. k + 31 of row i of a                     16 rows of 32 bf16
 *     a tile of b:  row p  = b[k+2p][j] b[k+2p+1][j], columns j .. j + 15         16 pairs deep, as panels have them
 *     a tile of c:  row i  = c[i][j] .. c[i][j+15]                                16 x 16 f32
 *
 * Four tiles of c, 32 x 32, take two of a and two of b a step: 64 cycles of products, 32 of loads. The limit is 1024 multiply-adds
 * a cycle, eight times vdpbf16ps's. Of the 16 pairs the even places are summed apart from the odd ones; rounding is to nearest
 * even, subnormals are 0.
 *
 * Which shape tiles have is a setting of the thread: do_piece begins with it and ends by giving the tiles up, so that nobody
 * saves them at a switch of threads. The first product that rounds asks the system for them (isa.c). */
#include "backend/cpu/gemm.h"
#include "backend/cpu/gemm_kernels.h"
#include "backend/cpu/kernels/isa_suffix.h"

enum { PAIRS_STEP = GR_GEMM_TILE_K / 2 };
#include "backend/cpu/kernels/gemm_pairs.h"

enum { ROWS = GR_GEMM_TILE_ROWS, COLS = GR_GEMM_TILE_COLS, SIDE = 16, STEPS_MOST = GR_GEMM_TILE_K_MOST / 2 };

/* ---- tiles -------------------------------------------------------------------------------------------------- */

typedef struct tile_shapes { /* as ldtilecfg reads it */
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

static const tile_shapes shapes = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {SIDE, SIDE, SIDE, SIDE, SIDE, SIDE, SIDE, SIDE},
};

static void begin(void)
{
    _tile_loadconfig(&shapes);
}

static void end(void)
{
    _tile_release();
}

/* The compiler is not told that tiles read and write memory. */
GR_INLINE void settle(void)
{
    __asm__ volatile("" ::: "memory");
}

/* c, ldc floats a row, from `start`, start_row floats a row; start NULL: from 0. */
GR_INLINE void multiply(float *c, int64_t ldc, const float *start, int64_t start_row, const float *a, const float *b,
                        int64_t steps)
{
    const int64_t to = ldc * 4, from = start_row * 4;
    settle();
    const int64_t ahead = (ROWS * PAIRS_STEP + steps - 1) / (steps > 0 ? steps : 1);
    const float *line = c;
    if (start) {
        _tile_loadd(0, start, from);
        _tile_loadd(1, start + SIDE, from);
        _tile_loadd(2, start + SIDE * start_row, from);
        _tile_loadd(3, start + SIDE * start_row + SIDE, from);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t p = 0; p < steps; p += PAIRS_STEP, a += ROWS * PAIRS_STEP, b += PAIRS_STEP * COLS) {
        for (int64_t i = 0; i < ahead; i++, line += ldc) { /* c is met at the end, and often lies in far memory */
            __builtin_prefetch(line, 1);
            __builtin_prefetch(line + SIDE, 1);
        }
        _tile_loadd(4, a, PAIRS_STEP * 4);
        _tile_loadd(6, b, COLS * 4);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, b + SIDE, COLS * 4);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a + SIDE * PAIRS_STEP, PAIRS_STEP * 4);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, to);
    _tile_stored(1, c + SIDE, to);
    _tile_stored(2, c + SIDE * ldc, to);
    _tile_stored(3, c + SIDE * ldc + SIDE, to);
    settle();
}

/* A tile that c does not fill, by way of one that is whole. */
static void tile_edge(const gr_gemm_tile *t, int64_t rows, int64_t cols)
{
    float sums[ROWS * COLS] = {0};
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            sums[i * COLS + j] = (t->add ? t->c[i * t->ldc + j] : 0) + (t->bias ? t->bias[j] : 0);
    multiply(sums, COLS, sums, COLS, t->a, t->b, t->k);
    for (int64_t i = 0; i < rows; i++)
        memcpy(t->c + i * t->ldc, sums + i * COLS, (size_t)cols * sizeof *sums);
}

static void tile(const gr_gemm_tile *t, int64_t rows, int64_t cols)
{
    if (rows < ROWS || cols < COLS || (t->add && t->bias))
        tile_edge(t, rows, cols);
    else if (t->add)
        multiply(t->c, t->ldc, t->c, t->ldc, t->a, t->b, t->k);
    else /* the bias is every row */
        multiply(t->c, t->ldc, t->bias, 0, t->a, t->b, t->k);
}

/* ---- a ------------------------------------------------------------------------------------------------------ */

/* Where row i of a packed a has the 16 pairs from p on, a multiple of 16: tiles lie one after the other. */
GR_INLINE float *line_of(float *packed, int64_t steps, int64_t i, int64_t p)
{
    return packed + i / ROWS * ROWS * steps + p * ROWS + i % ROWS * PAIRS_STEP;
}

/* Rows of a. */
GR_INLINE void lay(float *dst, const char *src, const gr_gemm_kind kind, int64_t ld, int64_t k, int64_t rows)
{
    const int64_t steps = pair_steps(k), size = gr_kind_bytes(kind);
    for (int64_t i = 0; i < rows; i++, src += ld * size)
        for (int64_t p = 0; p < steps; p += PAIRS_STEP)
            _mm512_store_si512(line_of(dst, steps, i, p), row_32(src + 2 * p * size, kind, k - 2 * p));
}

/* 16 x 16 of 32 bits: halves are exchanged at a distance of 1, 2, 4 and 8. */
GR_INLINE void turn_16(__m512i r[16])
{
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int h = 0; h < 2; h++) {
            r[i + 2 * h] = _mm512_unpacklo_epi64(t[i + h], t[i + 2 + h]);
            r[i + 2 * h + 1] = _mm512_unpackhi_epi64(t[i + h], t[i + 2 + h]);
        }
    for (int i = 0; i < 4; i++) /* r[4 q + i]: rows 4 q .. 4 q + 3 of columns i, i + 4, i + 8, i + 12 */
        for (int h = 0; h < 2; h++) {
            t[8 * h + i] = _mm512_shuffle_i32x4(r[8 * h + i], r[8 * h + 4 + i], 0x88);
            t[8 * h + 4 + i] = _mm512_shuffle_i32x4(r[8 * h + i], r[8 * h + 4 + i], 0xdd);
        }
    for (int i = 0; i < 8; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0x88);
        r[8 + i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0xdd);
    }
}

/* Columns of a transposed a, [k, cols]. */
GR_INLINE void turn(float *dst, const char *src, const gr_gemm_kind kind, int64_t ld, int64_t k, int64_t cols)
{
    const int64_t steps = pair_steps(k), size = gr_kind_bytes(kind), row = ld * size;
    for (int64_t p = 0; p < steps; p += 16)
        for (int64_t i = 0; i < cols; i += 16) {
            __m512i r[16];
            for (int64_t s = 0; s < 16; s++) {
                const int64_t at = 2 * (p + s);
                const char *from = src + at * row + i * size;
                const __mmask16 there = at < k ? lanes_16(cols - i) : 0;
                r[s] = pairs_16(from, at + 1 < k ? from + row : NULL, kind, there);
            }
            turn_16(r);
            for (int64_t c = 0; c < 16 && i + c < cols; c++)
                _mm512_store_si512(line_of(dst, steps, i + c, p), r[c]);
        }
}

#define FOR_KIND(kind)                                                                                                 \
    static void lay_##kind(float *dst, const void *src, int64_t ld, int64_t k, int64_t rows)                           \
    {                                                                                                                  \
        lay(dst, src, GR_GEMM_##kind, ld, k, rows);                                                                    \
    }                                                                                                                  \
    static void turn_##kind(float *dst, const void *src, int64_t ld, int64_t k, int64_t cols)                          \
    {                                                                                                                  \
        turn(dst, src, GR_GEMM_##kind, ld, k, cols);                                                                   \
    }
FOR_KIND(F32)
FOR_KIND(BF16)

const gr_gemm_pair_kernels gr_gemm_pairs_amx = {
    .mr = ROWS,
    .nr = COLS,
    .begin = begin,
    .end = end,
    .tile = tile,
    .copy = {copy_F32, NULL, copy_BF16},
    .transpose = {transpose_F32, NULL, transpose_BF16},
    .lay = {lay_F32, NULL, lay_BF16},
    .turn = {turn_F32, NULL, turn_BF16},
};

/* ---- what no product can beat ------------------------------------------------------------------------------- */

float gr_limit_pairs_amx(int64_t steps, double *flops)
{
    enum { TIMES = 8 }; /* an instruction here is 16 times one of the other loops' */
    float sums[SIDE * SIDE];
    begin();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    for (int64_t i = 0; i < steps / TIMES; i++) {
        _tile_dpbf16ps(0, 4, 5);
        _tile_dpbf16ps(1, 4, 5);
        _tile_dpbf16ps(2, 4, 5);
        _tile_dpbf16ps(3, 4, 5);
    }
    _tile_stored(0, sums, SIDE * 4);
    settle();
    end();
    *flops = (double)(steps / TIMES) * 4 * SIDE * SIDE * 32 * 2;
    return sums[0];
}
