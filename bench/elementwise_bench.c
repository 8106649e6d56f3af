/* Element-wise chains, reductions, copies and optimizer steps: GB/s that they move, for arrays far larger than the caches
 * and for such that stay in them, beside what reading memory alone reaches in the same run.
 *
 *     build/bench/elementwise_bench [threads] [part of a name] */
#include "backend/backend.h"
#include "base/machine.h"
#include "base/mem.h"
#include "op/op.h"
#include "program/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLS = 1024, LARGE_ROWS = 16384, SMALL_ROWS = 64 };

typedef struct work {
    gr_graph *g;
    gr_store *store;
    gr_tensor *x, *y, *bias, *seed;
    int64_t shape[2];
} work;

/* What runs, and how many times each element is read or written. */
typedef struct row {
    const char *name;
    int moves;
    gr_tensor *(*build)(work *w);
} row;

static gr_tensor *add(work *w)
{
    return gr_add(w->x, w->y);
}

static gr_tensor *scale(work *w)
{
    return gr_scale(w->x, 0.5);
}

static gr_tensor *gelu(work *w)
{
    return gr_gelu(w->x);
}

static gr_tensor *bias_gelu(work *w)
{
    return gr_gelu_tanh(gr_add(w->x, w->bias));
}

static gr_tensor *gelu_grad(work *w)
{
    return gr_binary(&gr_op_gelu_tanh_grad, w->x, w->y);
}

static gr_tensor *swiglu(work *w)
{
    return gr_swiglu(w->x, w->y);
}

static gr_tensor *residual(work *w)
{
    return gr_add(w->y, gr_dropout(gr_add(w->x, w->bias), 0.1, w->seed, 1));
}

static gr_tensor *chain_of_eight(work *w)
{
    gr_tensor *t = w->x;
    for (int i = 0; i < 4; i++)
        t = gr_offset(gr_mul(t, w->y), 0.25);
    return t;
}

static gr_tensor *sum_rows(work *w)
{
    return gr_sum(w->x, 2, false);
}

static gr_tensor *sum_columns(work *w)
{
    return gr_sum(w->x, 1, false);
}

static gr_tensor *norm(work *w)
{
    return gr_global_norm(&w->x, 1);
}

static gr_tensor *turn(work *w)
{
    return gr_unary(&gr_op_contiguous, gr_permute(w->x, (const int[]){1, 0}));
}

static gr_tensor *adamw(work *w)
{
    static const char *const names[] = {"p", "m", "v"};
    gr_tensor *p[3], *one = gr_fill(w->g, GR_F32, 0, NULL, 1);
    for (int k = 0; k < 3; k++) {
        gr_store_add(w->store, names[k], GR_WEIGHT, GR_F32, 2, w->shape);
        p[k] = gr_param(w->g, w->store, names[k]);
    }
    gr_adamw(p[0], w->x, p[1], p[2], one, gr_constant(w->g, GR_I64, 0, NULL, (const int64_t[]){1}), NULL,
             &(gr_adamw_options){sizeof(gr_adamw_options), 0.9f, 0.99f, 1e-8f, 0.1f, 0});
    return one;
}

static const row rows[] = {
    {"read alone (norm)", 1, norm},
    {"x + y", 3, add},
    {"x scale", 2, scale},
    {"gelu", 2, gelu},
    {"gelu_tanh(x + bias)", 2, bias_gelu},
    {"gelu_tanh_grad", 3, gelu_grad},
    {"swiglu", 3, swiglu},
    {"y + dropout(x + bias)", 3, residual},
    {"chain of 8", 3, chain_of_eight},
    {"sum of rows", 1, sum_rows},
    {"sum of columns", 1, sum_columns},
    {"transposed copy", 2, turn},
    {"adamw", 7, adamw},
};

/* Seconds of one run: the best of several batches. */
static double measure(gr_device *d, gr_program *p)
{
    double best = 1e9, spent = 0;
    int repeat = 1;
    for (int batch = 0; batch < 50 && spent < 0.4; batch++) {
        double start = gr_seconds();
        for (int i = 0; i < repeat; i++)
            if (d->backend->run(d, &p->code, 0, p->code.n) != GR_OK)
                return -1;
        double seconds = gr_seconds() - start;
        spent += seconds;
        best = seconds / repeat < best ? seconds / repeat : best;
        if (seconds < 0.005)
            repeat *= 2;
    }
    return best;
}

/* Memory that was never written is one page of zeros to the system, and would be read from the cache. */
static void touch(gr_device *d, const work *w)
{
    d->backend->fill(d, d->arena, 0x3C, d->arena_size);
    for (int i = 0; i < gr_store_count(w->store); i++) {
        gr_entry e = GR_INIT(gr_entry);
        gr_store_entry(w->store, i, &e);
        void *values = gr_alloc(e.bytes);
        if (values) {
            memset(values, 0x3C, e.bytes);
            gr_store_write(w->store, e.name, values, e.bytes);
        }
        gr_free(values);
    }
}

/* GB/s; 0 when it cannot be built. */
static double run(gr_device *d, const row *r, int64_t n_rows)
{
    work w = {.g = gr_graph_new(), .store = gr_store_new(d), .shape = {n_rows, COLS}};
    w.x = gr_input(w.g, "x", GR_F32, 2, w.shape);
    w.y = gr_input(w.g, "y", GR_F32, 2, w.shape);
    w.bias = gr_input(w.g, "bias", GR_F32, 1, w.shape + 1);
    w.seed = gr_input(w.g, "seed", GR_I64, 0, NULL);
    gr_tensor *root = r->build(&w);
    gr_program *p = gr_compile(w.g, &root, 1, d, NULL);
    double gbs = 0;
    if (p && gr_program_reserve(p) == GR_OK) {
        double elements = (double)(n_rows * COLS);
        touch(d, &w);
        gbs = elements * 4 * r->moves / measure(d, p) / 1e9;
    } else {
        printf("%s: %s\n", r->name, gr_error());
    }
    gr_program_free(p);
    gr_store_free(w.store);
    gr_graph_free(w.g);
    return gbs;
}

int main(int argc, char **argv)
{
    gr_device *d = gr_device_open("cpu", argc > 1 ? atoi(argv[1]) : 0);
    if (!d) {
        printf("%s\n", gr_error());
        return 1;
    }
    gr_device_info info = GR_INIT(gr_device_info);
    gr_device_describe(d, &info);
    printf("%s\n%-24s %18s %28s\n", info.description, "", "64 MiB arrays: GB/s", "256 KiB arrays: GB/s, ns/value");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const row *r = &rows[i];
        if (argc > 2 && !strstr(r->name, argv[2]))
            continue;
        double large = run(d, r, LARGE_ROWS), small = run(d, r, SMALL_ROWS);
        printf("%-24s %18.1f %18.1f %9.3f\n", r->name, large, small, 4 * r->moves / small);
    }
    gr_device_close(d);
    return 0;
}
