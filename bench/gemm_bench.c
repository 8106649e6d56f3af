/* Matrix multiplication at the shapes of training and generation: GFLOP/s, share of the peak that a multiply-add loop
 * reaches in the same run, and the CBLAS library beside it. Few rows are bound by memory: there GB/s of weights count.
 * Weights are taken from a region larger than the caches, as a model's are.
 *
 *     build/bench/gemm_bench [isa level: generic avx2 avx512] [part of a shape's name] */
#include "bench.h"

#include "backend/cpu/blas.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/isa.h"
#include "backend/cpu/limits.h"
#include "base/dtype.h"
#include "base/machine.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct shape {
    const char *name;
    int64_t m, n, k;
    bool trans_a, trans_b;
    gr_dtype weights; /* b's */
} shape;

static const shape shapes[] = {
    {"attention out [N,K]", 1024, 768, 768, false, true, GR_F32},
    {"qkv [N,K]", 1024, 2304, 768, false, true, GR_F32},
    {"mlp up [N,K]", 1024, 3072, 768, false, true, GR_F32},
    {"mlp down [N,K]", 1024, 768, 3072, false, true, GR_F32},
    {"qkv [K,N]", 1024, 2304, 768, false, false, GR_F32},
    {"mlp up [K,N]", 1024, 3072, 768, false, false, GR_F32},
    {"mlp down [K,N]", 1024, 768, 3072, false, false, GR_F32},
    {"attention dw", 768, 768, 1024, true, false, GR_F32},
    {"qkv dw", 768, 2304, 1024, true, false, GR_F32},
    {"mlp up dw [N,K]", 3072, 768, 1024, true, false, GR_F32},
    {"mlp up dw [K,N]", 768, 3072, 1024, true, false, GR_F32},
    {"logits", 1024, 50257, 768, false, true, GR_F32},
    {"logits dx", 1024, 768, 50257, false, false, GR_F32},
    {"logits dw", 50257, 768, 1024, true, false, GR_F32},
    {"prefill", 512, 3072, 768, false, true, GR_F32},
    {"prefill llama", 512, 5632, 2048, false, true, GR_F32},
    {"small qkv", 768, 384, 128, false, true, GR_F32},
    {"small out", 768, 128, 128, false, true, GR_F32},
    {"small up", 768, 512, 128, false, true, GR_F32},
    {"small down", 768, 128, 512, false, true, GR_F32},
    {"small logits", 768, 65, 128, false, true, GR_F32},
    {"small qkv [K,N]", 768, 384, 128, false, false, GR_F32},
    {"small out [K,N]", 768, 128, 128, false, false, GR_F32},
    {"small up [K,N]", 768, 512, 128, false, false, GR_F32},
    {"small down [K,N]", 768, 128, 512, false, false, GR_F32},
    {"small qkv dw", 384, 128, 768, true, false, GR_F32},
    {"small out dw", 128, 128, 768, true, false, GR_F32},
    {"small up dw", 512, 128, 768, true, false, GR_F32},
    {"small down dw", 128, 512, 768, true, false, GR_F32},
    {"small logits dw", 65, 128, 768, true, false, GR_F32},
    {"decode 1 [N,K]", 1, 3072, 768, false, true, GR_F32},
    {"decode 1 llama", 1, 5632, 2048, false, true, GR_F32},
    {"decode 1 logits", 1, 50257, 768, false, true, GR_F32},
    {"decode 1 [K,N]", 1, 3072, 768, false, false, GR_F32},
    {"decode 1 out [K,N]", 1, 768, 768, false, false, GR_F32},
    {"decode 2 [N,K]", 2, 3072, 768, false, true, GR_F32},
    {"decode 4 [N,K]", 4, 3072, 768, false, true, GR_F32},
    {"decode 8 [N,K]", 8, 3072, 768, false, true, GR_F32},
    {"decode 16 [N,K]", 16, 3072, 768, false, true, GR_F32},
    {"decode 4 [K,N]", 4, 3072, 768, false, false, GR_F32},
    {"decode 16 [K,N]", 16, 3072, 768, false, false, GR_F32},
    {"rows 24 [N,K]", 24, 3072, 768, false, true, GR_F32},
    {"rows 32 [N,K]", 32, 3072, 768, false, true, GR_F32},
    {"rows 64 [N,K]", 64, 3072, 768, false, true, GR_F32},
    {"as bf16 qkv [N,K]", 1024, 2304, 768, false, true, GR_F32},
    {"as bf16 mlp down [N,K]", 1024, 768, 3072, false, true, GR_F32},
    {"as bf16 qkv [K,N]", 1024, 2304, 768, false, false, GR_F32},
    {"as bf16 mlp down [K,N]", 1024, 768, 3072, false, false, GR_F32},
    {"as bf16 logits", 1024, 50257, 768, false, true, GR_F32},
    {"as bf16 logits dx", 1024, 768, 50257, false, false, GR_F32},
    {"as bf16 qkv dw", 768, 2304, 1024, true, false, GR_BF16},
    {"as bf16 mlp up dw", 768, 3072, 1024, true, false, GR_BF16},
    {"as bf16 logits dw", 50257, 768, 1024, true, false, GR_BF16},
    {"as bf16 small up", 768, 512, 128, false, true, GR_F32},
    {"as bf16 small down", 768, 128, 512, false, true, GR_F32},
    {"as bf16 small up dw", 512, 128, 768, true, false, GR_BF16},
    {"as bf16 512 llama", 512, 5632, 2048, false, true, GR_BF16},
    {"bf16 1 llama", 1, 5632, 2048, false, true, GR_BF16},
    {"bf16 1 llama down", 1, 2048, 5632, false, true, GR_BF16},
    {"bf16 1 logits", 1, 32000, 2048, false, true, GR_BF16},
    {"bf16 1 [K,N]", 1, 3072, 768, false, false, GR_BF16},
    {"bf16 5 llama", 5, 5632, 2048, false, true, GR_BF16},
    {"bf16 16 llama", 16, 5632, 2048, false, true, GR_BF16},
    {"bf16 16 [K,N]", 16, 3072, 768, false, false, GR_BF16},
    {"bf16 512 llama", 512, 5632, 2048, false, true, GR_BF16},
    {"bf16 512 [K,N]", 512, 3072, 768, false, false, GR_BF16},
    {"f16 1 llama", 1, 5632, 2048, false, true, GR_F16},
    {"f16 512 llama", 512, 5632, 2048, false, true, GR_F16},
};

/* Of these a is bf16, and both are multiplied as such. */
static bool rounds(const shape *s)
{
    return strncmp(s->name, "as bf16", 7) == 0;
}

/* ---- one shape ---------------------------------------------------------------------------------------------- */

enum { REGION = 80 << 20, REPEATS = 400 }; /* floats of weights to walk through; runs at most */

typedef struct buffers {
    float *a, *b, *c; /* REGION floats each; b is walked through */
    void *b16;        /* as many bytes of f16 or bf16 */
    void *scratch;
    size_t scratch_size;
} buffers;

/* OpenBLAS on equal column ranges, one a thread. */
static void blas_piece(void *ctx, int64_t piece, int worker)
{
    (void)worker;
    const gr_gemm *g = ((void **)ctx)[0];
    int64_t cut = *(int64_t *)((void **)ctx)[1], j = g->n * piece / cut, n = g->n * (piece + 1) / cut - j;
    if (n > 0)
        gr_blas_sgemm(g->trans_a, g->trans_b, g->m, n, g->k, g->a, g->lda,
                      (const float *)g->b + j * (g->trans_b ? g->ldb : 1), g->ldb, 0, g->c + j, g->ldc);
}

/* Median seconds of a run. */
static double time_shape(const shape *s, const buffers *m, gr_pool *pool, bool blas)
{
    gr_gemm g = {
        .m = s->m, .n = s->n, .k = s->k, .a = m->a, .a_dtype = GR_F32, .b_dtype = s->weights, .c = m->c, .batch = 1};
    g.rounds = rounds(s);
    if (g.rounds) {
        g.a = m->b16;
        g.a_dtype = GR_BF16;
    }
    g.trans_a = s->trans_a, g.trans_b = s->trans_b;
    g.lda = s->trans_a ? s->m : s->k, g.ldb = s->trans_b ? s->k : s->n, g.ldc = s->n;
    if (gr_gemm_scratch(&g, gr_pool_threads(pool)) > m->scratch_size)
        abort();
    double seconds[REPEATS], total = 0;
    int count = 0;
    int64_t size = (int64_t)gr_dtype_size(s->weights, s->n * s->k), copies = (int64_t)REGION * 4 / size,
            cut = gr_pool_threads(pool);
    while (count < 5 || (count < REPEATS && total < 0.15)) {
        g.b = (const char *)(s->weights == GR_F32 ? (void *)m->b : m->b16) + count % copies * size;
        double t = gr_seconds();
        if (blas)
            gr_parallel(pool, cut, blas_piece, (void *[]){&g, &cut});
        else
            gr_gemm_run(pool, &g, m->scratch);
        total += seconds[count++] = gr_seconds() - t;
    }
    return bench_median(seconds, (size_t)count);
}

static void show(const shape *s, const buffers *m, gr_pool **pools, const double *peaks)
{
    double flops = 2.0 * (double)s->m * (double)s->n * (double)s->k * 1e-9;
    printf("%-22s %5d %5d %5d", s->name, (int)s->m, (int)s->n, (int)s->k);
    for (int t = 0; t < 2; t++) {
        double seconds = time_shape(s, m, pools[t], false);
        printf("  %6.1f %3.0f%%", flops / seconds, 100 * flops / seconds / peaks[2 * rounds(s) + t]);
        if (s->m <= 64)
            printf(" %5.1f GB/s", (double)gr_dtype_size(s->weights, s->n * s->k) * 1e-9 / seconds);
    }
    for (int t = 0; t < 2 && gr_blas_present() && s->weights == GR_F32; t++)
        printf("  %6.1f", flops / time_shape(s, m, pools[t], true));
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    for (int level = 0; argc > 1 && level < GR_ISA_COUNT; level++)
        if (strcmp(argv[1], gr_isa_name((gr_isa)level)) == 0)
            gr_isa_limit((gr_isa)level);
    gr_gemm_allow_blas(false);
    size_t region = (size_t)REGION * sizeof(float);
    buffers m = {
        gr_alloc_pages(region), gr_alloc_pages(region), gr_alloc_pages(region), gr_alloc_pages(region), NULL, 16 << 20};
    m.scratch = gr_alloc_pages(m.scratch_size);
    gr_pool *pools[2] = {gr_pool_new(1), gr_pool_new(2)};
    if (!m.a || !m.b || !m.c || !m.b16 || !m.scratch || !pools[0] || !pools[1])
        return 1;
    for (int64_t i = 0; i < REGION; i++)
        m.a[i] = m.b[i] = (float)(i % 13) * 0.125f - 0.75f;
    memset(m.b16, 0x2c, region); /* 0x2c2c: a small number in both */
    double peaks[4] = {1e-9 * gr_cpu_measure_flops(pools[0]), 1e-9 * gr_cpu_measure_flops(pools[1]),
                       1e-9 * gr_cpu_measure_bf16(pools[0]), 1e-9 * gr_cpu_measure_bf16(pools[1])};
    printf("isa %s: peak %.0f GFLOP/s with 1 thread, %.0f with 2; beside: %s\n", gr_isa_name(gr_isa_detect()), peaks[0],
           peaks[1], gr_blas_name());
    if (gr_gemm_rounds())
        printf("in bf16: %.0f with 1 thread, %.0f with 2\n", peaks[2], peaks[3]);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        if ((argc < 3 || strstr(shapes[i].name, argv[2])) && (!rounds(&shapes[i]) || gr_gemm_rounds()))
            show(&shapes[i], &m, pools, peaks);
    gr_pool_free(pools[0]);
    gr_pool_free(pools[1]);
    gr_free_pages(m.a, region);
    gr_free_pages(m.b, region);
    gr_free_pages(m.c, region);
    gr_free_pages(m.b16, region);
    gr_free_pages(m.scratch, m.scratch_size);
    return 0;
}
