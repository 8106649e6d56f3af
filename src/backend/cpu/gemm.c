/* Matrix multiplication: cutting C into pieces, and walking a piece block by block.
 *
 * A piece is a rectangle of C, done by one worker over all of k, in blocks of k small enough that the packed block of b
 * stays in the core's second-level cache. Rows of a are read where they lie; only a transposed or converted a is packed.
 * Reading order: plan · operand blocks · the three ways to do a piece · run. */
#include "backend/cpu/gemm.h"

#include "backend/cpu/blas.h"
#include "backend/cpu/block_kernels.h"
#include "backend/cpu/convert.h"
#include "backend/cpu/gemm_kernels.h"
#include "backend/cpu/ints.h"
#include "base/dtype.h"

#include <stdatomic.h>

enum {
    K_BLOCK = GR_GEMM_SUM, /* 8 rows of a (12 KiB) stay in the first-level cache */
    B_BLOCK = 384 * 384,   /* floats of packed b: 576 KiB of a 1 MiB second-level cache */
    A_ROWS = 96,           /* rows of a packed at a time */
    LONG_K = 640,          /* from here on a panel of b is so long that reading it again for every mr rows binds */
    FEW_ROWS = 16,         /* up to here b is read once from memory and packing it would cost more than it brings */
    B_SMALL = 64 * 1024,   /* floats of b that stay in the second-level cache without being packed */
    CROWDED = 512,         /* rows of b a multiple of this apart share few sets of the first-level cache */
    FEW_LONG_ROWS = 48,    /* the same for long rows of a transposed b and registers of 16 lanes, 32 of them */
    LONG_ROW = 256,
    STRIP_K = 16,       /* with few rows: rows of b passed over at a time, as many as streams that memory follows */
    DOT_BLOCK_ROWS = 8, /* with few rows: rows of b in blocks that are widened at a time */
    BLAS_THREADS = 4,   /* what the library computes has bits that a cut may change: it is cut as for so many */
    LINE_BYTES = 64,
    LINE_FLOATS = 16,
};

typedef enum way {
    BY_TILES, /* blocks in cache, register tiles */
    BY_DOTS,  /* few rows, b transposed: rows of both times each other */
    BY_BLAS,
} way;

typedef struct plan {
    way way;
    int64_t rows, cols;       /* of a piece */
    int64_t row_cut, col_cut; /* pieces along each side */
    int64_t k_block, a_rows;
    bool cols_outside; /* a panel of b, in the first-level cache, meets all a_rows; else mr rows of a meet all of b */
    bool b_direct;     /* b is read where it lies */
    bool pairs;        /* operands are bf16 when they are multiplied, two places of k a step */
    bool by_amx;       /* by tiles of 32 x 32 */
    bool ask;          /* and comes from memory, so the next block is asked for ahead */
    int64_t c_rows;    /* rows of 16-bit c that are summed in scratch before they are rounded; 0: c is f32 */
    size_t b_floats, a_floats, c_floats; /* a worker's scratch */
    size_t wide_floats;                  /* of it, rows of a b in blocks */
} plan;

/* One call: what every piece sees. */
typedef struct call {
    const gr_gemm *g;
    plan plan;
    const gr_gemm_kernels *kernels;
    const gr_gemm_pair_kernels *pairs; /* instead, of what they have; NULL: the plan has none */
    int64_t mr, nr;                    /* rows and columns of the tile */
    gr_gemm_kind a_kind, b_kind;
    gr_from_f32 *narrow;       /* of the sums; NULL: c is f32 */
    gr_blocks_widen_fn *widen; /* rows of b; NULL: its values do not share blocks */
    float *scratch;
} call;

/* One piece. */
typedef struct piece {
    const char *a, *b; /* of this batch member */
    char *c;
    int64_t i, j, rows, cols;
    float *b_packed, *a_packed, *wide;
    float *sums; /* where element (sums_i, j) of c is summed: in c itself, or in scratch before it is rounded */
    int64_t sums_i, sums_row;
} piece;

/* ---- plan --------------------------------------------------------------------------------------------------- */

/* Nanoseconds, roughly, that `threads` take for a step of k, a piece being rows x cols. Larger pieces pack less, and rows
 * that a thread has to itself are the ones it made: those of others come from other caches. But one whose core another program
 * has taken keeps the rest waiting for a whole piece. */
static double cut_cost(const gr_gemm *g, const plan *p, int64_t rows, int64_t cols, int threads)
{
    const double each = p->by_amx ? 0.0012 : p->pairs ? 0.004 : 0.008, waiting = 0.05;
    const bool a_is_packed = p->by_amx || g->trans_a || g->a_dtype != GR_F32;
    const int64_t pieces = gr_ceil_div(g->m, rows) * gr_ceil_div(g->n, cols) * g->batch;
    double cost = (double)rows * (double)gr_round_up(cols, 16) * each + (double)cols * 0.08 +
                  (double)rows * (a_is_packed ? 0.08 : 0.05) + 500.0 / (double)gr_max64(g->k, 1);
    return ((double)gr_ceil_div(pieces, threads) + waiting) * cost;
}

static int64_t row_unit(const plan *p)
{
    return p->by_amx ? GR_GEMM_TILE_ROWS : GR_GEMM_ROWS;
}

static int64_t col_unit(const plan *p)
{
    return p->by_amx ? GR_GEMM_TILE_COLS : GR_GEMM_COLS;
}

/* Tries a few cuts of each side from the coarsest that the scratch allows on, up to some pieces for each thread. */
static void cut_tiles(const gr_gemm *g, plan *p, int threads)
{
    enum { TRIES = 10, PIECES_EACH = 4, MAX_ROWS = 1536 };
    const int64_t mr = row_unit(p), nr = col_unit(p), unit = p->by_amx ? nr : LINE_FLOATS;
    const int64_t room = (p->by_amx ? 4 : p->pairs ? 2 : 1) * B_BLOCK;
    int64_t max_cols = gr_max64(room / gr_max64(p->k_block, 1) / nr, 1) * nr;
    int64_t col_cut = gr_ceil_div(g->n, max_cols), row_cut = gr_ceil_div(g->m, MAX_ROWS);
    const int64_t most = gr_max64((int64_t)PIECES_EACH * threads, col_cut * row_cut);
    double best = -1;
    for (int64_t c = col_cut; c < col_cut + TRIES; c++)
        for (int64_t r = row_cut; r < row_cut + TRIES && c * r <= most; r++) {
            int64_t rows = gr_min64(gr_round_up(gr_ceil_div(g->m, r), mr), g->m);
            int64_t cols = gr_min64(gr_round_up(gr_ceil_div(g->n, c), unit), g->n);
            double cost = cut_cost(g, p, rows, cols, threads);
            if (best < 0 || cost < best) {
                best = cost;
                p->rows = rows;
                p->cols = cols;
            }
        }
}

/* Few rows: b is read once, at the speed of memory, in long runs. Enough pieces to share, but not short ones. */
static void plan_few_rows(const gr_gemm *g, plan *p)
{
    p->way = g->trans_b ? BY_DOTS : BY_TILES;
    if (g->trans_b) { /* any cut will do: rows of b are read one by one */
        p->cols = gr_min64(gr_round_up(gr_max64(gr_ceil_div(g->n, 32), 64), 16), g->n);
    } else {
        p->cols = gr_min64(gr_round_up(gr_max64(gr_ceil_div(g->n, 8), 384), GR_GEMM_COLS), g->n);
        p->b_direct = p->ask = true;
        p->k_block = STRIP_K;
        p->b_floats = STRIP_K * GR_GEMM_COLS;
    }
    if (gr_dtype_is_block(g->b_dtype))
        p->wide_floats = (size_t)(DOT_BLOCK_ROWS * g->k);
    if (g->a_dtype != GR_F32) /* widened: all of it for dots, else a strip */
        p->a_floats = (size_t)(g->m * (g->trans_b ? g->k : STRIP_K));
}

/* Rows of a are read where they lie. */
static bool reads_a(const gr_gemm *g, const plan *p)
{
    if (g->trans_a || g->a_dtype != (p->pairs ? GR_BF16 : GR_F32))
        return false;
    return !p->pairs || (!p->by_amx && g->k % 2 == 0 && g->lda % 2 == 0);
}

static void plan_tiles(const gr_gemm *g, plan *p, int threads)
{
    bool b_plain = g->b_dtype == GR_F32 && !p->pairs;
    /* Equal blocks of k: no short one at the end. But sums over rows, as weights' gradients are, may be made of parts
     * (addmm): they are cut at places that the number of rows does not move, so that the bits are the same. */
    int64_t unit = gr_max64(gr_dtype_get(g->b_dtype)->block, p->by_amx ? GR_GEMM_TILE_K : 8),
            most = p->by_amx ? GR_GEMM_TILE_K_MOST : K_BLOCK, blocks = gr_ceil_div(g->k, most);
    int64_t equal = g->k > 0 ? gr_ceil_div(g->k, blocks) : 1;
    p->k_block = g->trans_a && blocks > 1 && !p->by_amx ? K_BLOCK : g->k > 0 ? gr_round_up(equal, unit) : 1;
    p->b_direct = b_plain && !g->trans_b && p->k_block * g->ldb <= B_SMALL && g->ldb % CROWDED != 0;
    cut_tiles(g, p, threads);
    p->a_rows = gr_min64(p->rows, A_ROWS);
    p->cols_outside = g->k >= LONG_K;
    const int64_t steps = p->pairs ? (p->k_block + 1) / 2 : p->k_block;
    p->b_floats = (size_t)(steps * (p->b_direct ? GR_GEMM_COLS : gr_round_up(p->cols, col_unit(p))));
    if (gr_dtype_is_block(g->b_dtype))
        p->wide_floats = (size_t)(p->k_block * GR_GEMM_COLS);
    if (!reads_a(g, p))
        p->a_floats = (size_t)(p->k_block * (p->a_rows + row_unit(p)));
    else if (!p->cols_outside)
        p->a_rows = p->rows;
}

static bool is_narrow(const gr_gemm *g)
{
    return g->c_dtype == GR_F16 || g->c_dtype == GR_BF16;
}

/* Only for m, n > 0. */
static plan make_plan(const gr_gemm *g, gr_isa level, int threads)
{
    plan p = {.way = BY_TILES, .rows = g->m, .a_rows = g->m};
    int64_t few = g->trans_b && g->k >= LONG_ROW && level >= GR_ISA_AVX512 ? FEW_LONG_ROWS : FEW_ROWS;
    p.pairs = g->rounds && level >= GR_ISA_AVX512_BF16;
    /* Few rows wait for memory; of operands that are 16 bits already nothing is rounded, and f32 has their products exactly. */
    bool is_exact = g->a_dtype == GR_BF16 && g->b_dtype == GR_BF16;
    if (g->m <= few && !g->trans_a && (!p.pairs || is_exact)) {
        p.pairs = false;
        plan_few_rows(g, &p);
    } else {
        p.by_amx = p.pairs && level >= GR_ISA_AMX;
        plan_tiles(g, &p, level == GR_ISA_GENERIC ? BLAS_THREADS : threads);
    }
    if (is_narrow(g)) {
        p.a_rows = gr_min64(p.a_rows, A_ROWS);
        p.c_rows =
            p.way == BY_TILES && p.k_block >= g->k ? p.a_rows : p.rows; /* of several blocks of k all rows wait */
        p.c_floats = (size_t)(p.c_rows * p.cols);
    }
    p.row_cut = gr_ceil_div(g->m, p.rows);
    p.col_cut = gr_ceil_div(g->n, p.cols);
    return p;
}

/* Every part starts on a cache line of its own, workers do not share one. */
static size_t line_floats(size_t floats)
{
    return (floats + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
}

static size_t worker_floats(const plan *p)
{
    return line_floats(p->b_floats) + line_floats(p->a_floats) + line_floats(p->c_floats) + line_floats(p->wide_floats);
}

size_t gr_gemm_scratch(const gr_gemm *g, int threads)
{
    if (g->m <= 0 || g->n <= 0)
        return 0;
    static const gr_isa levels[] = {GR_ISA_GENERIC, GR_ISA_AVX2, GR_ISA_AVX512, GR_ISA_AVX512_BF16,
                                    GR_ISA_AMX}; /* others plan as one of these */
    size_t floats = 0;
    for (int i = 0; i < (g->rounds ? 5 : 3); i++) {
        plan p = make_plan(g, levels[i], threads);
        floats = worker_floats(&p) > floats ? worker_floats(&p) : floats;
    }
    return floats * sizeof(float) * (size_t)threads + LINE_BYTES;
}

bool gr_gemm_rounds(void)
{
    return gr_isa_detect() >= GR_ISA_AVX512_BF16;
}

static gr_gemm_kind kind_of(gr_dtype d)
{
    return d == GR_F16 ? GR_GEMM_F16 : d == GR_BF16 ? GR_GEMM_BF16 : GR_GEMM_F32;
}

/* ---- operand blocks ----------------------------------------------------------------------------------------- */

static const void *element(const void *base, gr_dtype dtype, int64_t offset)
{
    return (const char *)base + gr_dtype_size(dtype, offset);
}

/* `rows` rows of a transposed b in blocks from row j of the piece on, places p0 to p0 + k, as f32. */
static void widen_rows(const call *f, const piece *w, int64_t j, int64_t rows, int64_t p0, int64_t k)
{
    const gr_gemm *g = f->g;
    for (int64_t r = 0; r < rows; r++)
        f->widen(gr_dtype_get(g->b_dtype), element(w->b, g->b_dtype, (w->j + j + r) * g->ldb + p0), w->wide + r * k, k);
}

/* Of k places, those of the tile's loop. */
static int64_t steps_of(const call *f, int64_t k)
{
    return f->plan.by_amx ? gr_round_up(k, GR_GEMM_TILE_K) / 2 : f->pairs ? gr_ceil_div(k, 2) : k;
}

/* Rows p0 to p0 + k of b, the piece's columns, into panels of nr. Of a direct b only the columns that fill no panel:
 * the tile reads whole vectors. */
static void pack_b(const call *f, const piece *w, int64_t p0, int64_t k)
{
    const gr_gemm *g = f->g;
    const int64_t nr = f->nr;
    if (f->pairs) {
        const gr_gemm_pack_fn pack = (g->trans_b ? f->pairs->transpose : f->pairs->copy)[f->b_kind];
        const int64_t at = g->trans_b ? w->j * g->ldb + p0 : p0 * g->ldb + w->j;
        pack(w->b_packed, steps_of(f, k) * nr, nr, element(w->b, g->b_dtype, at), g->ldb, k, w->cols);
        return;
    }
    if (!g->trans_b) {
        int64_t skip = f->plan.b_direct ? w->cols - w->cols % nr : 0;
        if (skip < w->cols)
            f->kernels->copy[f->b_kind](w->b_packed, k * nr, nr, element(w->b, g->b_dtype, p0 * g->ldb + w->j + skip),
                                        g->ldb, k, w->cols - skip);
        return;
    }
    for (int64_t j = 0; f->widen && j < w->cols; j += nr) {
        widen_rows(f, w, j, gr_min64(nr, w->cols - j), p0, k);
        f->kernels->transpose[GR_GEMM_F32](w->b_packed + j * k, k * nr, nr, w->wide, k, k, gr_min64(nr, w->cols - j));
    }
    if (f->widen)
        return;
    const void *src = element(w->b, g->b_dtype, w->j * g->ldb + p0);
    f->kernels->transpose[f->b_kind](w->b_packed, k * nr, nr, src, g->ldb, k, w->cols);
}

/* Where rows i to i + rows of a, columns p0 to p0 + k, are to be read: strides into t, the step of mr rows returned. */
static int64_t block_a(const call *f, const piece *w, int64_t i, int64_t rows, int64_t p0, int64_t k, gr_gemm_tile *t)
{
    const gr_gemm *g = f->g;
    const int64_t mr = f->mr, steps = steps_of(f, k);
    const void *src = element(w->a, g->a_dtype, g->trans_a ? p0 * g->lda + i : i * g->lda + p0);
    t->a = w->a_packed;
    if (f->plan.by_amx) {
        (g->trans_a ? f->pairs->turn : f->pairs->lay)[f->a_kind](w->a_packed, src, g->lda, k, rows);
        return steps * mr;
    }
    if (g->trans_a) {
        const gr_gemm_pack_fn copy = (f->pairs ? f->pairs->copy : f->kernels->copy)[f->a_kind];
        copy(w->a_packed, steps * mr, mr, src, g->lda, k, rows);
        t->a_row = 1;
        t->a_col = mr;
        return steps * mr;
    }
    t->a_col = 1;
    t->a_row = steps;
    if (reads_a(g, &f->plan)) {
        t->a = src;
        t->a_row = f->pairs ? g->lda / 2 : g->lda;
    } else {
        (f->pairs ? f->pairs->round : f->kernels->widen)[f->a_kind](w->a_packed, src, g->lda, rows, k);
    }
    return mr * t->a_row;
}

/* ---- the ways to do a piece --------------------------------------------------------------------------------- */

/* What happens to c in the block of k that starts at p0: the first one meets beta and the bias. */
static void set_output(const gr_gemm *g, const piece *w, int64_t p0, gr_gemm_tile *t)
{
    t->ldc = w->sums_row;
    t->add = p0 > 0 || g->beta != 0;
    t->bias = p0 > 0 ? NULL : g->bias;
}

/* Where the panel of b that starts at column j is to be read; which kind it is there. */
static gr_gemm_kind panel_b(const call *f, const piece *w, int64_t p0, int64_t j, gr_gemm_tile *t)
{
    const gr_gemm *g = f->g;
    const int64_t nr = f->nr;
    t->b_row = nr;
    if (!f->plan.b_direct) {
        t->b = w->b_packed + j * t->k;
    } else if (j + nr > w->cols) {
        t->b = w->b_packed;
    } else {
        t->b = element(w->b, g->b_dtype, p0 * g->ldb + w->j + j);
        t->b_row = g->ldb;
        return f->b_kind;
    }
    return GR_GEMM_F32;
}

/* Asks the second-level cache for a share of rows x bytes, the `part`-th of `parts`: between tiles this costs
 * nothing, while packing would wait for every line. */
static void ask(const char *src, int64_t row_bytes, int64_t rows, int64_t bytes, int64_t part, int64_t parts)
{
    for (int64_t p = rows * part / parts; p < rows * (part + 1) / parts; p++)
        for (int64_t l = 0; l < bytes; l += LINE_BYTES)
            __builtin_prefetch(src + p * row_bytes + l, 0, 2);
}

/* What is needed after the block of k at p0 and is not in cache: a transposed a, and with few rows b. */
static void ask_next(const call *f, const piece *w, int64_t i, int64_t p0, int64_t part, int64_t parts)
{
    const gr_gemm *g = f->g;
    int64_t rows = gr_min64(f->plan.k_block, g->k - p0);
    const int64_t a = gr_dtype_width(g->a_dtype), b = gr_dtype_width(g->b_dtype);
    if (f->plan.ask)
        ask(w->b + (p0 * g->ldb + w->j) * b, g->ldb * b, rows, w->cols * b, part, parts);
    else if (g->trans_a)
        ask(w->a + (p0 * g->lda + i) * a, g->lda * a, rows, f->plan.a_rows * a, part, parts);
}

/* All tiles of `rows` rows at i in the block of k at p0. What the inner loop reads again and again lies in the second-level
 * cache: b, a panel after the other, of which mr rows of a in the first-level cache make 10 bytes a cycle; or, where k is
 * long, a_rows rows of a, of which a panel of b in the first-level cache makes 4. */
static void do_tiles(const call *f, const piece *w, int64_t i, int64_t rows, int64_t p0, int64_t k, int64_t a_step,
                     const gr_gemm_tile *block)
{
    const int64_t mr = f->mr, nr = f->nr;
    const int64_t row_tiles = gr_ceil_div(rows, mr), col_tiles = gr_ceil_div(w->cols, nr),
                  parts = row_tiles * col_tiles;
    const bool last = i + rows >= w->i + w->rows, cols_outside = f->plan.cols_outside;
    const int64_t next_i = last ? w->i : i + rows, next_p = last ? p0 + k : p0;
    const int64_t outer = cols_outside ? col_tiles : row_tiles, inner = cols_outside ? row_tiles : col_tiles;
    gr_gemm_tile t = *block;
    for (int64_t x = 0; x < outer; x++)
        for (int64_t y = 0; y < inner; y++) {
            int64_t row = cols_outside ? y : x, r = row * mr, j = (cols_outside ? x : y) * nr;
            gr_gemm_kind kind = panel_b(f, w, p0, j, &t);
            ask_next(f, w, next_i, next_p, x * inner + y, parts);
            t.a = block->a + row * a_step;
            t.c = w->sums + (i + r - w->sums_i) * t.ldc + j;
            t.bias = block->bias ? block->bias + w->j + j : NULL;
            (f->pairs ? f->pairs->tile : f->kernels->tile[kind])(&t, gr_min64(mr, rows - r), gr_min64(nr, w->cols - j));
        }
}

/* Rows whose sums are whole: what is to be 16 bits goes from scratch to c. */
static void give(const call *f, const piece *w, int64_t i, int64_t rows)
{
    const gr_gemm *g = f->g;
    for (int64_t r = i; f->narrow && r < i + rows; r++)
        f->narrow(w->sums + (r - w->sums_i) * w->sums_row, w->c + (r * g->ldc + w->j) * 2, w->cols);
}

static void by_tiles(const call *f, piece *w)
{
    const gr_gemm *g = f->g;
    int64_t p0 = 0;
    do { /* once even if k is 0: beta and bias still count */
        const int64_t k = gr_min64(f->plan.k_block, g->k - p0);
        gr_gemm_tile t = {.k = steps_of(f, k)};
        set_output(g, w, p0, &t);
        pack_b(f, w, p0, k);
        for (int64_t i = w->i; i < w->i + w->rows; i += f->plan.a_rows) {
            int64_t rows = gr_min64(f->plan.a_rows, w->i + w->rows - i);
            int64_t a_step = block_a(f, w, i, rows, p0, k, &t);
            if (f->plan.c_rows && f->plan.c_rows < w->rows)
                w->sums_i = i;
            do_tiles(f, w, i, rows, p0, k, a_step, &t);
            if (p0 + k >= g->k)
                give(f, w, i, rows);
        }
        p0 += k;
    } while (p0 < g->k);
}

/* The columns of the piece in groups, whose rows of b are widened. */
static void dots_of_blocks(const call *f, const piece *w, gr_gemm_tile *t)
{
    for (int64_t j = 0; j < w->cols; j += DOT_BLOCK_ROWS) {
        int64_t cols = gr_min64(DOT_BLOCK_ROWS, w->cols - j);
        widen_rows(f, w, j, cols, 0, t->k);
        t->b = w->wide;
        t->b_row = t->k;
        f->kernels->dot[GR_GEMM_F32](t, w->rows, cols);
        t->c += cols;
        t->bias = t->bias ? t->bias + cols : NULL;
    }
}

static void by_dots(const call *f, piece *w)
{
    const gr_gemm *g = f->g;
    gr_gemm_tile t = {.k = g->k};
    block_a(f, w, w->i, w->rows, 0, g->k, &t);
    set_output(g, w, 0, &t);
    t.b = element(w->b, g->b_dtype, w->j * g->ldb);
    t.b_row = g->ldb;
    t.c = w->sums + (w->i - w->sums_i) * t.ldc;
    t.bias = g->bias ? g->bias + w->j : NULL;
    if (f->widen)
        dots_of_blocks(f, w, &t);
    else
        f->kernels->dot[f->b_kind](&t, w->rows, w->cols);
    give(f, w, w->i, w->rows);
}

static void by_blas(const call *f, piece *w)
{
    const gr_gemm *g = f->g;
    float *c = w->sums + w->i * g->ldc;
    const int64_t part = g->trans_a ? GR_GEMM_SUM : g->k;
    for (int64_t p = 0; p < g->k; p += part) {
        const float *a = (const float *)w->a + (g->trans_a ? p * g->lda + w->i : w->i * g->lda);
        const float *b = (const float *)w->b + (g->trans_b ? w->j * g->ldb + p : p * g->ldb + w->j);
        gr_blas_sgemm(g->trans_a, g->trans_b, w->rows, w->cols, gr_min64(part, g->k - p), a, g->lda, b, g->ldb,
                      p > 0 ? 1 : g->beta, c, g->ldc);
    }
    for (int64_t i = 0; g->bias && i < w->rows; i++)
        for (int64_t j = 0; j < w->cols; j++)
            c[i * g->ldc + j] += g->bias[w->j + j];
}

/* ---- run ---------------------------------------------------------------------------------------------------- */

static void do_piece(void *ctx, int64_t index, int worker)
{
    const call *f = ctx;
    const gr_gemm *g = f->g;
    const plan *p = &f->plan;
    int64_t col = index % p->col_cut, row = index / p->col_cut % p->row_cut, member = index / p->col_cut / p->row_cut;
    piece w = {.a = element(g->a, g->a_dtype, member * g->stride_a),
               .b = element(g->b, g->b_dtype, member * g->stride_b),
               .c = (char *)g->c + member * g->stride_c * (f->narrow ? 2 : 4),
               .i = row * p->rows,
               .j = col * p->cols};
    w.rows = gr_min64(p->rows, g->m - w.i);
    w.cols = gr_min64(p->cols, g->n - w.j);
    w.b_packed = f->scratch + (size_t)worker * worker_floats(p);
    w.a_packed = w.b_packed + line_floats(p->b_floats);
    w.wide = w.a_packed + line_floats(p->a_floats) + line_floats(p->c_floats);
    w.sums = f->narrow ? w.a_packed + line_floats(p->a_floats) : (float *)(void *)w.c + w.j;
    w.sums_i = f->narrow ? w.i : 0;
    w.sums_row = f->narrow ? w.cols : g->ldc;
    static void (*const ways[])(const call *, piece *) = {by_tiles, by_dots, by_blas};
    if (f->pairs && f->pairs->begin)
        f->pairs->begin();
    ways[p->way](f, &w);
    if (f->pairs && f->pairs->end)
        f->pairs->end();
}

static _Atomic bool blas_allowed = true;

void gr_gemm_allow_blas(bool allowed)
{
    atomic_store_explicit(&blas_allowed, allowed, memory_order_relaxed);
}

/* Only our portable tile is slower than what the library has for this machine. Of few rows (those that are asked for) each
 * must have the bits that it has alone, which the library does not promise. */
static bool blas_is_better(const gr_gemm *g, const plan *p, gr_isa level)
{
    return level == GR_ISA_GENERIC && p->way == BY_TILES && !p->ask && g->k > 0 && g->a_dtype == GR_F32 &&
           g->b_dtype == GR_F32 && !is_narrow(g) && atomic_load_explicit(&blas_allowed, memory_order_relaxed) &&
           gr_blas_present() && gr_blas_fits(g->m, g->n, g->k, g->lda, g->ldb, g->ldc);
}

void gr_gemm_run(gr_pool *pool, const gr_gemm *g, void *scratch)
{
    if (g->m <= 0 || g->n <= 0 || g->batch <= 0)
        return;
    gr_isa level = gr_isa_detect();
    if (level == GR_ISA_AMX && !(g->rounds && gr_isa_allows_tiles()))
        level = GR_ISA_AVX512_BF16;
    call f = {.g = g,
              .plan = make_plan(g, level, gr_pool_threads(pool)),
              .kernels = GR_ISA_PICK_AT(level, gr_gemm_kernels_get)()};
    f.a_kind = kind_of(g->a_dtype);
    f.b_kind = kind_of(g->b_dtype);
    f.widen = gr_dtype_is_block(g->b_dtype) ? GR_ISA_PICK_AT(level, gr_blocks_widen) : NULL;
#if GR_HAVE_ISA_AVX512
    f.pairs = f.plan.pairs ? &gr_gemm_pairs_avx512_bf16 : NULL;
#endif
#if GR_HAVE_ISA_AMX
    f.pairs = f.plan.by_amx ? &gr_gemm_pairs_amx : f.pairs;
#endif
    f.mr = f.pairs ? f.pairs->mr : f.kernels->mr;
    f.nr = f.pairs ? f.pairs->nr : f.kernels->nr;
    f.narrow = is_narrow(g) ? gr_cpu_from_f32(g->c_dtype) : NULL;
    f.scratch = (float *)(((uintptr_t)scratch + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES);
    if (blas_is_better(g, &f.plan, level))
        f.plan.way = BY_BLAS;
    int64_t pieces = f.plan.row_cut * f.plan.col_cut * g->batch;
    if (pool) {
        gr_parallel(pool, pieces, do_piece, &f);
        return;
    }
    for (int64_t i = 0; i < pieces; i++)
        do_piece(&f, i, 0);
}
