/* Matrix multiplication against a loop in double: every layout, odd sizes, every ISA level this machine has, and the
 * same bits for every number of threads. */
#include "backend/cpu/blas.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/isa.h"
#include "base/dtype.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GUARD = 64, MAX_THREADS = 4 };

static uint32_t seed = 1;
static int failures, checks;

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

/* Multiples of 1/8 in (-2, 2): exact in every dtype here, so that only the sums are measured. */
static float draw_value(void)
{
    return (float)((int)draw(31) - 15) / 8;
}

static void *room(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (!p)
        exit(1);
    return p;
}

/* An operand of some dtype, and its values in f32. */
typedef struct operand {
    void *data;
    float *values;
    int64_t count;
} operand;

static operand make_operand(gr_dtype dtype, int64_t count, bool odd)
{
    operand o = {room((size_t)count * (size_t)gr_dtype_width(dtype)), room((size_t)count * sizeof(float)), count};
    for (int64_t i = 0; i < count; i++)
        o.values[i] = draw_value();
    const float odd_values[] = {NAN, INFINITY, -INFINITY};
    for (uint32_t i = 0; odd && count > 0 && i < 3; i++)
        o.values[draw((uint32_t)count)] = odd_values[i];
    gr_dtype_get(dtype)->from_f32(o.values, o.data, count);
    return o;
}

static void free_operand(operand *o)
{
    free(o->data);
    free(o->values);
}

/* beta * c + a * b + bias in double, and in `size` the same with every term positive: what rounding scales with. */
static double naive(const gr_gemm *g, const float *a, const float *b, const float *c, int64_t i, int64_t j,
                    double *size)
{
    double sum = g->beta != 0 ? c[i * g->ldc + j] : 0;
    *size = fabs(sum);
    for (int64_t p = 0; p < g->k; p++) {
        double x = a[g->trans_a ? p * g->lda + i : i * g->lda + p];
        double y = b[g->trans_b ? j * g->ldb + p : p * g->ldb + j];
        sum += x * y;
        *size += fabs(x * y);
    }
    if (g->bias) {
        sum += g->bias[j];
        *size += fabs(g->bias[j]);
    }
    return sum;
}

static bool same_value(double want, float got, double size, int64_t k)
{
    if (isnan(want) || isinf(want))
        return isnan(want) ? isnan(got) : want == (double)got;
    return fabs(want - (double)got) <= size * (double)(k + 2) * 0x1p-24;
}

static void complain(const gr_gemm *g, int threads, const char *what)
{
    if (failures++ < 20)
        fprintf(stderr, "%s: m %d n %d k %d trans %d %d beta %g bias %d batch %d dtypes %d %d isa %s threads %d\n",
                what, (int)g->m, (int)g->n, (int)g->k, g->trans_a, g->trans_b, (double)g->beta, g->bias != NULL,
                (int)g->batch, g->a_dtype, g->b_dtype, gr_isa_name(gr_isa_detect()), threads);
}

/* Runs g on a copy of `start` (c_count floats) between guards, with scratch between guards and off alignment. */
static float *run_guarded(gr_gemm g, gr_pool *pool, int threads, const float *start, int64_t c_count)
{
    size_t need = gr_gemm_scratch(&g, threads), bytes = (size_t)c_count * sizeof(float);
    unsigned char *scratch = room(need + 2 * GUARD + 4), *out = room(bytes + 2 * GUARD);
    memset(scratch, 0xa5, need + 2 * GUARD + 4);
    memset(out, 0x5a, bytes + 2 * GUARD);
    memcpy(out + GUARD, start, bytes);
    g.c = (float *)(void *)(out + GUARD);
    gr_gemm_run(pool, &g, scratch + GUARD + 4);
    for (int i = 0; i < GUARD; i++) {
        if (out[i] != 0x5a || out[GUARD + bytes + (size_t)i] != 0x5a)
            complain(&g, threads, "wrote outside c");
        if (scratch[i] != 0xa5 || scratch[GUARD + 4 + need + (size_t)i] != 0xa5)
            complain(&g, threads, "wrote outside scratch");
    }
    free(scratch);
    memmove(out, out + GUARD, bytes);
    return (float *)(void *)out;
}

static void compare(const gr_gemm *g, const operand *a, const operand *b, const float *start, const float *got)
{
    for (int64_t s = 0; s < g->batch; s++)
        for (int64_t i = 0; i < g->m; i++)
            for (int64_t j = 0; j < g->ldc; j++) {
                int64_t at = s * g->stride_c + i * g->ldc + j;
                if (j >= g->n) { /* the gap between rows is not ours */
                    if (memcmp(&got[at], &start[at], sizeof(float)) != 0) {
                        complain(g, 1, "wrote between rows");
                        return;
                    }
                    continue;
                }
                double size, want = naive(g, a->values + s * g->stride_a, b->values + s * g->stride_b,
                                          start + s * g->stride_c, i, j, &size);
                checks++;
                if (!same_value(want, got[at], size, g->k)) {
                    fprintf(stderr, "[%d][%d]: want %g got %g\n", (int)i, (int)j, want, (double)got[at]);
                    complain(g, 1, "wrong value");
                    return;
                }
            }
}

/* One problem at every ISA level and number of threads. `odd`: a few NaN and infinities among the inputs. */
static void check(gr_gemm g, gr_pool **pools, bool with_bias, bool odd)
{
    g.lda = (g.trans_a ? g.m : g.k) + draw(3);
    g.ldb = (g.trans_b ? g.k : g.n) + draw(3);
    g.ldc = g.n + draw(3);
    g.stride_a = (g.trans_a ? g.k : g.m) * g.lda;
    g.stride_b = (g.trans_b ? g.n : g.k) * g.ldb;
    g.stride_c = g.m * g.ldc;
    operand a = make_operand(g.a_dtype, g.stride_a * g.batch, odd);
    operand b = make_operand(g.b_dtype, g.stride_b * g.batch, odd);
    g.a = a.data;
    g.b = b.data;
    int64_t c_count = g.stride_c * g.batch;
    float *start = room((size_t)c_count * sizeof(float)), *bias = room((size_t)g.n * sizeof(float));
    for (int64_t i = 0; i < c_count; i++)
        start[i] = g.beta != 0 ? draw_value() : NAN; /* with beta 0 what c held must not matter */
    for (int64_t i = 0; i < g.n; i++)
        bias[i] = draw_value();
    g.bias = with_bias ? bias : NULL;

    gr_isa_limit(GR_ISA_COUNT);
    /* Below the generic level: the CBLAS library in its place. */
    for (int level = (int)gr_isa_detect(); level >= (gr_blas_present() ? -1 : 0); level--) {
        gr_isa_limit((gr_isa)(level < 0 ? 0 : level));
        gr_gemm_allow_blas(level < 0);
        float *first = run_guarded(g, NULL, 1, start, c_count);
        compare(&g, &a, &b, start, first);
        for (int t = 1; t <= MAX_THREADS; t++) {
            float *again = run_guarded(g, pools[t], t, start, c_count);
            if (memcmp(first, again, (size_t)c_count * sizeof(float)) != 0)
                complain(&g, t, "other bits");
            free(again);
        }
        free(first);
    }
    gr_isa_limit(GR_ISA_COUNT);
    free_operand(&a);
    free_operand(&b);
    free(start);
    free(bias);
}

/* The four transposes, beta, bias, dtypes and batches in turn; sizes drawn. */
static void check_drawn(gr_pool **pools)
{
    static const int sizes[] = {0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 24, 31, 33, 47, 48, 49, 65, 96, 97, 145};
    static const int depths[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 100, 383, 385, 400};
    static const gr_dtype dtypes[] = {GR_F32, GR_F16, GR_BF16};
    enum { SIZES = sizeof sizes / sizeof sizes[0], DEPTHS = sizeof depths / sizeof depths[0], CASES = 480 };
    for (int i = 0; i < CASES; i++) {
        gr_gemm g = {.m = sizes[draw(SIZES)], .n = sizes[draw(SIZES)], .k = depths[draw(DEPTHS)], .batch = 1};
        g.trans_a = i & 1;
        g.trans_b = (i & 2) != 0;
        g.beta = (i & 4) ? 1 : 0;
        g.a_dtype = i % 5 == 0 ? dtypes[draw(3)] : GR_F32;
        g.b_dtype = i % 5 == 0 ? dtypes[draw(3)] : GR_F32;
        if (i % 7 == 0) {
            g.batch = draw(5);
            g.m = g.m < 33 ? g.m : 33;
        }
        check(g, pools, (i & 8) != 0, i % 11 == 0);
    }
}

/* Large enough for several pieces along every side, and for several blocks of k. */
static void check_large(gr_pool **pools)
{
    static const int large[][3] = {{200, 700, 130}, {700, 200, 130}, {130, 200, 800}, {1, 5000, 70}, {4, 1000, 200}};
    for (int i = 0; i < 5; i++)
        for (int trans = 0; trans < 4; trans++) {
            gr_gemm g = {.m = large[i][0], .n = large[i][1], .k = large[i][2], .batch = 1};
            g.a_dtype = g.b_dtype = GR_F32;
            g.trans_a = trans & 1;
            g.trans_b = trans > 1;
            check(g, pools, trans == 2, false);
        }
}

/* f32 times weights of 16 bits, as a model's: one row to a few, and more than a few. */
static void check_mixed(gr_pool **pools)
{
    static const int rows[] = {1, 2, 3, 4, 5, 8, 13, 16, 17, 40};
    static const int shapes[][2] = {{1, 1}, {300, 64}, {97, 400}, {7, 2100}, {449, 33}};
    for (int i = 0; i < 10; i++)
        for (int s = 0; s < 5; s++)
            for (int kind = 0; kind < 4; kind++) {
                gr_gemm g = {.m = rows[i], .n = shapes[s][0], .k = shapes[s][1], .batch = 1};
                g.a_dtype = GR_F32;
                g.b_dtype = kind & 1 ? GR_F16 : GR_BF16;
                g.trans_b = kind > 1;
                g.beta = (i + s) % 3 == 0 ? 1 : 0;
                check(g, pools, s == 1, i % 4 == 3);
            }
}

/* Activations of 16 bits, over several pieces along each side. */
static void check_narrow_a(gr_pool **pools)
{
    static const int rows[] = {17, 40, 49, 200}, shapes[][2] = {{700, 300}, {449, 33}, {96, 400}};
    for (int i = 0; i < 4; i++)
        for (int s = 0; s < 3; s++)
            for (int kind = 0; kind < 4; kind++) {
                gr_gemm g = {.m = rows[i], .n = shapes[s][0], .k = shapes[s][1], .batch = 1};
                g.a_dtype = kind & 1 ? GR_F16 : GR_BF16;
                g.b_dtype = i & 1 ? GR_F32 : g.a_dtype;
                g.trans_b = kind > 1;
                check(g, pools, s == 1, i == 1);
            }
}

/* Operands that are multiplied as bf16, which holds what is drawn here: every layout, tiles that are not full along each side, more
 * than one block of k, c that is added to. */
static void check_rounded(gr_pool **pools)
{
    static const int shapes[][3] = {{1, 1, 1},     {5, 33, 7},    {31, 65, 31}, {32, 32, 32},   {33, 64, 40},
                                    {64, 96, 385}, {97, 130, 65}, {40, 7, 800}, {7, 300, 1100}, {200, 100, 1030}};
    for (int i = 0; i < 10; i++)
        for (int kind = 0; kind < 16; kind++) {
            gr_gemm g = {.m = shapes[i][0], .n = shapes[i][1], .k = shapes[i][2], .batch = i % 4 == 1 ? 3 : 1};
            g.rounds = true;
            g.trans_a = kind & 1;
            g.trans_b = (kind & 2) != 0;
            g.a_dtype = kind & 4 ? GR_BF16 : GR_F32;
            g.b_dtype = kind & 8 ? GR_BF16 : GR_F32;
            g.beta = (i + kind) % 3 == 0 ? 1 : 0;
            check(g, pools, (i + kind) % 4 < 2, kind == 5);
        }
}

/* A sum over rows that is made piece by piece has the bits of the whole. */
static void check_sum_of_pieces(gr_pool *pool)
{
    enum { M = 70, N = 50, K = 3 * GR_GEMM_SUM + 100, FIRST = 2 * GR_GEMM_SUM };
    float *a = room(M * K * sizeof *a), *b = room(N * K * sizeof *b);
    float *whole = room(M * N * sizeof *whole), *pieces = room(M * N * sizeof *pieces);
    for (int i = 0; i < M * K; i++)
        a[i] = (float)draw(1 << 20) / (1 << 19) - 1;
    for (int i = 0; i < N * K; i++)
        b[i] = (float)draw(1 << 20) / (1 << 19) - 1;
    for (int rounds = 0; rounds < 2; rounds++)
        for (int level = 0; level <= (int)gr_isa_detect(); level++) {
            gr_gemm g = {.m = M, .n = N, .k = K, .a = a, .b = b, .trans_a = true, .batch = 1, .rounds = rounds};
            g.a_dtype = g.b_dtype = GR_F32;
            g.lda = M, g.ldb = g.ldc = N;
            void *scratch = room(gr_gemm_scratch(&g, 1));
            gr_isa_limit((gr_isa)level);
            g.c = whole;
            gr_gemm_run(pool, &g, scratch);
            g.c = pieces;
            g.k = FIRST;
            gr_gemm_run(pool, &g, scratch);
            g.a = a + FIRST * M, g.b = b + FIRST * N, g.k = K - FIRST, g.beta = 1;
            gr_gemm_run(pool, &g, scratch);
            checks++;
            if (memcmp(whole, pieces, M * N * sizeof *whole) != 0)
                complain(&g, 1, rounds ? "other bits in pieces, rounded" : "other bits in pieces");
            gr_isa_limit(GR_ISA_COUNT);
            free(scratch);
        }
    free(a), free(b), free(whole), free(pieces);
}

/* Subnormals, the largest and the smallest: every value of 16 bits is widened exactly. */
static void check_every_value(gr_pool *pool)
{
    enum { N = 1 << 16 };
    uint16_t *b = room(N * sizeof *b);
    float *want = room(N * sizeof *want), *got = room(N * sizeof *got), one = 1;
    for (int i = 0; i < N; i++)
        b[i] = (uint16_t)i;
    for (int d = 0; d < 2; d++)
        for (int way = 0; way < 2; way++)
            for (int level = 0; level <= (int)gr_isa_detect(); level++) {
                gr_gemm g = {.m = 1, .n = N, .k = 1, .a = &one, .b = b, .c = got, .batch = 1, .a_dtype = GR_F32};
                g.b_dtype = d ? GR_F16 : GR_BF16;
                g.trans_b = way;
                g.lda = 1, g.ldb = way ? 1 : N, g.ldc = N;
                gr_dtype_get(g.b_dtype)->to_f32(b, want, N);
                gr_isa_limit((gr_isa)level);
                void *scratch = room(gr_gemm_scratch(&g, 1));
                gr_gemm_run(pool, &g, scratch);
                gr_isa_limit(GR_ISA_COUNT);
                free(scratch);
                for (int i = 0; i < N; i++, checks++)
                    if (isnan(want[i]) ? !isnan(got[i]) : want[i] < got[i] || want[i] > got[i])
                        complain(&g, 1, "a value of 16 bits is read wrongly");
            }
    free(b);
    free(want);
    free(got);
}

/* A row's bits are the same alone as beside up to 15 others: what is generated together is what it would be alone. */
static void check_rows_alone(gr_pool *pool)
{
    static const int shapes[][2] = {{70, 100}, {50, 512}, {97, 769}, {33, 5000}, {13, 8300}};
    static const gr_dtype dtypes[] = {GR_F32, GR_F16, GR_BF16};
    enum { M = 16 };
    for (int i = 0; i < 5 * 3 * 2; i++)
        for (int level = 0; level <= (int)gr_isa_detect(); level++) {
            gr_gemm g = {.m = M, .n = shapes[i / 6][0], .k = shapes[i / 6][1], .batch = 1, .a_dtype = GR_F32};
            g.b_dtype = dtypes[i / 2 % 3];
            g.trans_b = i % 2;
            g.lda = g.k, g.ldb = g.trans_b ? g.k : g.n, g.ldc = g.n;
            float *a = room((size_t)(M * g.k) * sizeof *a), *wide = room((size_t)(g.n * g.k) * sizeof *wide);
            void *b = room((size_t)(g.n * g.k) * sizeof *wide);
            for (int64_t x = 0; x < M * g.k; x++)
                a[x] = (float)draw(1 << 20) / (1 << 19) - 1;
            for (int64_t x = 0; x < g.n * g.k; x++)
                wide[x] = (float)draw(1 << 20) / (1 << 19) - 1;
            gr_dtype_get(g.b_dtype)->from_f32(wide, b, g.n * g.k);
            float *all = room((size_t)(M * g.n) * sizeof *all), *few = room((size_t)(M * g.n) * sizeof *few);
            void *scratch = room(gr_gemm_scratch(&g, gr_pool_threads(pool)));
            gr_isa_limit((gr_isa)level);
            g.a = a, g.b = b, g.c = all;
            gr_gemm_run(pool, &g, scratch);
            for (g.m = 1; g.m < M; g.m += 1 + g.m / 4) {
                g.a = a + g.k;
                g.c = few;
                gr_gemm_run(pool, &g, scratch);
                checks++;
                if (memcmp(few, all + g.n, (size_t)(g.m * g.n) * sizeof *few) != 0)
                    complain(&g, 1, "other bits beside other rows");
            }
            gr_isa_limit(GR_ISA_COUNT);
            free(a), free(b), free(wide), free(all), free(few), free(scratch);
        }
}

/* In a process whose signal stack has no room for tiles the system refuses them: other instructions do. */
static bool works_with_small_signal_stack(void)
{
    enum { N = 64, STACK = 4096 };
    static float one[N * N], c[N * N], scratch[1 << 20];
    static char stack[STACK];
    const stack_t small = {.ss_sp = stack, .ss_size = STACK};
    gr_gemm g = {.m = N, .n = N, .k = N, .a = one, .b = one, .c = c, .batch = 1, .rounds = true};
    g.lda = g.ldb = g.ldc = N;
    g.a_dtype = g.b_dtype = GR_F32;
    for (int i = 0; i < N * N; i++)
        one[i] = 1;
    if (sigaltstack(&small, NULL) != 0) /* this machine's vectors need more already */
        return true;
    gr_gemm_run(NULL, &g, scratch);
    bool right = gr_gemm_scratch(&g, 1) <= sizeof scratch;
    for (int i = 0; i < N * N; i++)
        right = right && c[i] == N;
    return right;
}

/* In another process, since the answer is for good. */
static void check_refused_tiles(void)
{
    int status = 1;
    pid_t child = fork();
    if (child == 0)
        _exit(!works_with_small_signal_stack());
    checks++;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "a small signal stack: status %d\n", status);
        failures++;
    }
}

int main(void)
{
    check_refused_tiles();
    gr_pool *pools[MAX_THREADS + 1] = {NULL};
    for (int t = 1; t <= MAX_THREADS; t++)
        if (!(pools[t] = gr_pool_new(t)))
            return 1;
    check_drawn(pools);
    check_large(pools);
    check_mixed(pools);
    check_narrow_a(pools);
    check_rounded(pools);
    check_sum_of_pieces(pools[1]);
    check_every_value(pools[1]);
    check_rows_alone(pools[2]);
    for (int t = 1; t <= MAX_THREADS; t++)
        gr_pool_free(pools[t]);
    printf("gemm: %d values compared, %d failures\n", checks, failures);
    return failures != 0;
}
