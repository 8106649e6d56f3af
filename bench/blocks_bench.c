/* Products with weights in blocks: a token's and a prompt's rows against weights that are larger than the caches, in f32 and
 * with int8 activations, beside f32 weights. GFLOP/s, and bytes of weights a second with their share of what the machine
 * reads.
 *
 *     build/bench/blocks_bench [level of instructions, as avx2] [threads] [dtype ...] */
#include "bench.h"
#include "gradus.h"

#include "backend/cpu/isa.h"
#include "base/dtype.h"
#include "base/machine.h"
#include "program/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 5632, K = 2048, PROMPT = 512, ROUNDS = 7, MOST_WEIGHTS = 24, LEAST_BYTES = 96 << 20 };

static gr_device *device;
static gr_device_limits limits = GR_INIT(gr_device_limits);

/* As many weights as are larger than the caches. */
static gr_store *weights_of(gr_dtype d, int *count)
{
    const gr_dtype_info *info = gr_dtype_get(d);
    size_t bytes = gr_dtype_size(d, (int64_t)N * K);
    float *row = malloc(K * sizeof *row);
    char *all = malloc(bytes), name[24];
    gr_store *store = gr_store_new(device);
    for (int i = 0; i < K; i++)
        row[i] = (float)(i * 7919 % 1009 - 504) / 9000;
    info->from_f32(row, all, K);
    for (int64_t n = 1; n < N; n++)
        memcpy(all + (size_t)n * gr_dtype_size(d, K), all, gr_dtype_size(d, K));
    for (*count = 0; *count < MOST_WEIGHTS && (size_t)*count * bytes < LEAST_BYTES; ++*count) {
        snprintf(name, sizeof name, "w%d", *count);
        bench_check(gr_store_add(store, name, GR_WEIGHT, d, 2, (int64_t[]){N, K}) == GR_OK);
        bench_check(gr_store_write(store, name, all, bytes) == GR_OK);
    }
    free(row);
    free(all);
    return store;
}

static void measure(gr_dtype d, gr_store *store, int count, int64_t rows, gr_activations activations)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *x = gr_input(g, "x", GR_F32, 2, (int64_t[]){rows, K}), *y[MOST_WEIGHTS];
    void *out[MOST_WEIGHTS];
    float *in = malloc((size_t)rows * K * sizeof *in);
    double times[ROUNDS];
    for (int64_t i = 0; i < rows * K; i++)
        in[i] = (float)(i % 97) / 97;
    count = rows > 1 && count > 3 ? 3 : count;
    for (int i = 0; i < count; i++) {
        char name[24];
        snprintf(name, sizeof name, "w%d", i);
        y[i] = gr_matmul(x, gr_param(g, store, name), false, true);
        out[i] = malloc((size_t)rows * N * sizeof(float));
    }
    gr_compile_options o = GR_INIT(gr_compile_options);
    o.activations = activations;
    gr_program *p = gr_compile(g, y, count, device, &o);
    bench_check(p != NULL);
    for (int r = -1; r < ROUNDS; r++) {
        double begun = gr_seconds();
        bench_check(gr_program_run(p, (const void *[]){in}, out) == GR_OK);
        times[r < 0 ? 0 : r] = gr_seconds() - begun;
    }
    qsort(times, ROUNDS, sizeof *times, bench_by_value);
    double seconds = times[ROUNDS / 2], bytes = (double)gr_dtype_size(d, (int64_t)N * K) * count;
    printf("%-8s %5lld  %-5s %8.1f %8.2f %7.0f %%\n", gr_dtype_name(d), (long long)rows,
           (const char *[]){"f32", "int8", "rows"}[activations], 2.0 * (double)rows * N * K * count / seconds * 1e-9,
           bytes / seconds * 1e-9, limits.read > 0 ? 100 * bytes / seconds / limits.read : 0);
    fflush(stdout);
    for (int i = 0; i < count; i++)
        free(out[i]);
    free(in);
    gr_program_free(p);
    gr_graph_free(g);
}

int main(int argc, char **argv)
{
    static char *usual[] = {"f32", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q4_k", "q5_k", "q6_k", "iq4_xs"};
    for (int level = 0; argc > 1 && level < GR_ISA_COUNT; level++)
        if (strcmp(argv[1], gr_isa_name((gr_isa)level)) == 0) {
            gr_isa_limit((gr_isa)level);
            argc--;
            argv++;
            break;
        }
    char **names = argc > 2 ? argv + 2 : usual;
    int n = argc > 2 ? argc - 2 : (int)(sizeof usual / sizeof *usual);
    device = gr_device_open("cpu", argc > 1 ? atoi(argv[1]) : 0);
    bench_check(device != NULL);
    gr_device_measure(device, &limits);
    printf("%s: %.1f GFLOP/s, %.1f GB/s read\n%-8s %5s  %-5s %8s %8s %9s\n", gr_isa_name(gr_isa_detect()),
           limits.flops * 1e-9, limits.read * 1e-9, "weights", "rows", "", "GFLOP/s", "GB/s", "of read");
    for (int i = 0; i < n; i++) {
        gr_dtype d;
        int count;
        if (!gr_dtype_from_name(names[i], &d) || !gr_dtype_get(d)->from_f32)
            continue;
        bool hub = strncmp(names[i], "int", 3) == 0;
        int last = hub ? GR_ACTIVATIONS_INT8_ROWS : gr_dtype_is_block(d) ? GR_ACTIVATIONS_INT8 : GR_ACTIVATIONS_F32;
        gr_store *store = weights_of(d, &count);
        for (int64_t rows = 1; rows <= PROMPT; rows += PROMPT - 1)
            for (int a = GR_ACTIVATIONS_F32; a <= last; a++)
                measure(d, store, count, rows, (gr_activations)a);
        gr_store_free(store);
    }
    gr_device_close(device);
    return 0;
}
