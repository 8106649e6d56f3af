/* Measuring limits: of several tries the best, since what disturbs only slows. */
#include "backend/cpu/limits.h"

#include "base/mem.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/gemm_kernels.h"
#include "backend/cpu/reduce_kernels.h"

enum { TRIES = 5, STEPS = 2000000 };

/* ---- arithmetic --------------------------------------------------------------------------------------------- */

typedef struct loops {
    bool bf16;
    double flops; /* of a piece */
    volatile float sink;
} loops;

typedef float loop(int64_t steps, double *flops);

/* Asked for only where there is one. */
static loop *bf16_loop(void)
{
    loop *found = NULL;
#if GR_HAVE_ISA_AVX512
    found = gr_limit_pairs_avx512_bf16;
#endif
#if GR_HAVE_ISA_AMX
    if (gr_isa_allows_tiles())
        found = gr_limit_pairs_amx;
#endif
    return found;
}

static void loop_piece(void *ctx, int64_t piece, int worker)
{
    (void)worker;
    loops *l = ctx;
    double flops;
    float value = (l->bf16 ? bf16_loop() : GR_ISA_PICK(gr_limit_multiply_adds))(STEPS, &flops);
    if (piece == 0) {
        l->flops = flops;
        l->sink = value;
    }
}

static double measure_flops(gr_pool *pool, bool bf16)
{
    double best = 0;
    int64_t pieces = gr_pool_threads(pool);
    for (int i = 0; i < TRIES; i++) {
        loops l = {.bf16 = bf16};
        double start = gr_seconds();
        gr_parallel(pool, pieces, loop_piece, &l);
        double rate = (double)pieces * l.flops / (gr_seconds() - start);
        best = rate > best ? rate : best;
    }
    return best;
}

double gr_cpu_measure_flops(gr_pool *pool)
{
    return measure_flops(pool, false);
}

double gr_cpu_measure_bf16(gr_pool *pool)
{
    return gr_gemm_rounds() ? measure_flops(pool, true) : 0;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

/* More than the last level of cache has, on every machine that this runs on. */
static const size_t read_bytes = (size_t)384 << 20;
enum { READ_PIECES = 192 };

typedef struct reading {
    const float *from;
    volatile float sink;
} reading;

static void read_piece(void *ctx, int64_t piece, int worker)
{
    (void)worker;
    reading *r = ctx;
    const int64_t n = (int64_t)(read_bytes / READ_PIECES / sizeof(float));
    float sum = GR_ISA_PICK(gr_reduce_kernels_get)()->sum(r->from + piece * n, n);
    if (piece == 0)
        r->sink = sum;
}

static gr_status measure_reads(gr_pool *pool, double *rate)
{
    float *from = gr_alloc_pages(read_bytes);
    if (!from)
        return gr_error_status();
    for (size_t i = 0; i < read_bytes / sizeof *from; i += 1024) /* else every page is the same one, of zeros */
        from[i] = 1;
    *rate = 0;
    for (int i = 0; i < TRIES; i++) {
        reading r = {.from = from};
        double start = gr_seconds();
        gr_parallel(pool, READ_PIECES, read_piece, &r);
        double now = (double)read_bytes / (gr_seconds() - start);
        *rate = now > *rate ? now : *rate;
    }
    gr_free_pages(from, read_bytes);
    return GR_OK;
}

gr_status gr_cpu_measure(gr_device *d, gr_device_limits *out)
{
    out->flops = gr_cpu_measure_flops(d->pool);
    return measure_reads(d->pool, &out->read);
}
