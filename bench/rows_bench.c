/* Attention, norms, softmax, cross-entropy, rope and embedding on the cpu kernels, at shapes of training and generation:
 * microseconds (median and best), and of the best GFLOP/s (visible pairs of queries and keys only) or GB/s (each tensor
 * once). Attention reads views of a packed q, k, v, as models make them. bench/peers/torch_rows.py measures the same
 * shapes with PyTorch.
 *
 *     build/bench/rows_bench [threads, 0: all] [isa level: generic avx2 avx512] [part of a line's name] */
#include "bench.h"

#include "backend/cpu/cpu.h"
#include "backend/cpu/isa.h"
#include "base/dtype.h"
#include "base/machine.h"
#include "base/mem.h"
#include "op/attr.h"
#include "op/op.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 16, RUNS = 9 };

static gr_pool *pool;
static const char *wanted = "";

/* One call under way: operands are added, then it is timed. */
typedef struct bench {
    gr_operand in[MOST], out[MOST];
    void *block[2 * MOST];
    size_t size[2 * MOST];
    int n_in, n_out, blocks;
    const gr_kernel *kernel; /* NULL: that of the op */
} bench;

static gr_operand make(bench *b, gr_dtype dtype, int ndim, const int64_t *shape)
{
    gr_operand o = {.dtype = dtype, .ndim = ndim};
    int64_t count = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        o.shape[i] = shape[i];
        o.stride[i] = count;
        count *= shape[i];
    }
    size_t size = gr_dtype_size(dtype, count) + 64;
    o.data = gr_alloc_pages(size);
    if (!o.data)
        exit(1);
    b->block[b->blocks] = o.data;
    b->size[b->blocks++] = size;
    return o;
}

#define DIMS(...)                                                                                                      \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[])                                             \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

static void in(bench *b, gr_dtype dtype, int ndim, const int64_t *shape)
{
    b->in[b->n_in++] = make(b, dtype, ndim, shape);
}

static void out(bench *b, int ndim, const int64_t *shape)
{
    b->out[b->n_out++] = make(b, GR_F32, ndim, shape);
}

static const gr_kernel *kernel_of(const gr_op *op)
{
    const gr_kernel *tables[] = {gr_cpu_softmax_kernels, gr_cpu_loss_kernels,  gr_cpu_norm_kernels,
                                 gr_cpu_rope_kernels,    gr_cpu_embed_kernels, gr_cpu_attention_kernels};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        for (const gr_kernel *k = tables[i]; k->op; k++)
            if (k->op == op)
                return k;
    exit(1);
}

/* Values in [-1, 1), not before they are needed: a table is large. */
static void fill(const gr_operand *o)
{
    int64_t last = 0;
    for (int i = 0; i < o->ndim; i++)
        last += (o->shape[i] - 1) * o->stride[i];
    const gr_dtype_info *dtype = gr_dtype_get(o->dtype);
    if (!o->data || (dtype->block == 1 && !dtype->is_float)) /* an index is all zeros */
        return;
    for (int64_t i = 0; i <= last; i += dtype->block) {
        float values[GR_DTYPE_BLOCK_MOST];
        for (int k = 0; k < dtype->block; k++)
            values[k] = (float)((uint32_t)(i + k) * 2654435761u >> 16) / 32768.0f - 1;
        dtype->from_f32(values, (char *)o->data + gr_dtype_size(o->dtype, i), dtype->block);
    }
}

/* RUNS timings, each long enough for the clock; work in billions of `unit`. Frees the operands. */
static void measure(bench *b, const char *name, const gr_op *op, const void *attr, double work, const char *unit)
{
    const gr_kernel *k = b->kernel ? b->kernel : kernel_of(op);
    gr_device device = {.pool = pool};
    gr_call c = {.op = op, .attr = attr, .n_in = b->n_in, .n_out = b->n_out, .in = b->in, .out = b->out};
    c.device = &device;
    if (strstr(name, wanted)) {
        for (int i = 0; i < b->n_in; i++)
            fill(&b->in[i]);
        c.scratch_size = k->scratch ? k->scratch(&c) : 0;
        c.scratch = gr_alloc_pages(c.scratch_size + 64);
        double times[RUNS], first = gr_seconds();
        int calls = 1;
        if (k->run(&c) != GR_OK)
            printf("%s: %s\n", name, gr_error());
        first = gr_seconds() - first;
        while (first * calls < 0.01)
            calls *= 2;
        for (int i = 0; i < RUNS; i++) {
            double start = gr_seconds();
            for (int j = 0; j < calls; j++)
                k->run(&c);
            times[i] = (gr_seconds() - start) / calls;
        }
        qsort(times, RUNS, sizeof times[0], bench_by_value);
        printf("%-34s %10.1f us  best %10.1f us %8.1f %s\n", name, times[RUNS / 2] * 1e6, times[0] * 1e6,
               work / times[0], unit);
        gr_free_pages(c.scratch, c.scratch_size + 64);
    }
    for (int i = 0; i < b->blocks; i++)
        gr_free_pages(b->block[i], b->size[i]);
    memset(b, 0, sizeof *b);
}

/* ---- attention ---------------------------------------------------------------------------------------------- */

static const struct shape {
    const char *name;
    int64_t b, t, h, g, d, s;
    gr_dtype keys; /* and values; of many queries f32. Caches of one query are more than a processor's own */
} shapes[] = {
    {"gpt2 124m B4 T256 H12 D64", 4, 256, 12, 12, 64, 256, GR_F32},
    {"small B12 T64 H4 D32", 12, 64, 4, 4, 32, 64, GR_F32},
    {"grouped B1 T512 H32 G4 D64", 1, 512, 32, 4, 64, 512, GR_F32},
    {"long B1 T1024 H12 D64", 1, 1024, 12, 12, 64, 1024, GR_F32},
    {"wide B1 T512 H16 D128", 1, 512, 16, 16, 128, 512, GR_F32},
    {"decode B16 S2000 H12 D64 f32", 16, 1, 12, 12, 64, 2000, GR_F32},
    {"decode B16 S2000 H12 D64 f16", 16, 1, 12, 12, 64, 2000, GR_F16},
    {"decode B16 S2000 H12 D64 q8_0", 16, 1, 12, 12, 64, 2000, GR_Q8_0},
    {"decode B16 S2000 H12 D64 q4_0", 16, 1, 12, 12, 64, 2000, GR_Q4_0},
    {"decode B16 S2000 H32 G4 D64 f32", 16, 1, 32, 4, 64, 2000, GR_F32},
    {"decode B16 S2000 H32 G4 D64 f16", 16, 1, 32, 4, 64, 2000, GR_F16},
    {"decode B16 S2000 H32 G4 D64 q8_0", 16, 1, 32, 4, 64, 2000, GR_Q8_0},
    {"decode B16 S2000 H32 G4 D64 q4_0", 16, 1, 32, 4, 64, 2000, GR_Q4_0},
};

/* q, k and v are parts of one [B, T, (H + 2 G) D], or of a query and a cache when T is not S. */
static void attention_inputs(bench *b, const struct shape *s)
{
    if (s->t != s->s) {
        in(b, GR_F32, DIMS(s->b, s->t, s->h, s->d));
        in(b, s->keys, DIMS(s->b, s->s, s->g, s->d));
        in(b, s->keys, DIMS(s->b, s->s, s->g, s->d));
        b->kernel = gr_cpu_attention_one_kernels;
    } else {
        gr_operand packed = make(b, GR_F32, DIMS(s->b, s->t, s->h + 2 * s->g, s->d));
        for (int i = 0; i < 3; i++) {
            b->in[i] = packed;
            b->in[i].shape[2] = i == 0 ? s->h : s->g;
            b->in[i].data = (float *)packed.data + (i == 0 ? 0 : s->h + (i - 1) * s->g) * s->d;
        }
        b->n_in = 3;
    }
    b->n_in = 6;
}

static void bench_attention(const struct shape *s)
{
    bench b = {0};
    char name[128];
    gr_attention_attr attr = {.scale = 1 / sqrtf((float)s->d), .causal = true};
    double pairs = (double)s->t * (double)(s->s - s->t) + (double)s->t * (double)(s->t + 1) / 2;
    double flops = 4e-9 * (double)(s->b * s->h * s->d) * pairs;
    attention_inputs(&b, s);
    out(&b, DIMS(s->b, s->t, s->h, s->d));
    out(&b, DIMS(s->b, s->h, s->t));
    snprintf(name, sizeof name, "attention %s", s->name);
    if (s->t == 1)
        measure(&b, name, &gr_op_attention, &attr, 2e-9 * (double)gr_dtype_size(s->keys, s->b * s->s * s->g * s->d),
                "GB/s");
    else
        measure(&b, name, &gr_op_attention, &attr, flops, "GFLOP/s");
    if (s->t == 1)
        return;
    attention_inputs(&b, s);
    in(&b, GR_F32, DIMS(s->b, s->t, s->h, s->d));
    in(&b, GR_F32, DIMS(s->b, s->h, s->t));
    in(&b, GR_F32, DIMS(s->b, s->t, s->h, s->d));
    out(&b, DIMS(s->b, s->t, s->h, s->d));
    out(&b, DIMS(s->b, s->s, s->g, s->d));
    out(&b, DIMS(s->b, s->s, s->g, s->d));
    snprintf(name, sizeof name, "  grad    %s", s->name);
    measure(&b, name, &gr_op_attention_grad, &attr, 2.5 * flops, "GFLOP/s");
}

/* ---- rows --------------------------------------------------------------------------------------------------- */

static void bench_norms(int64_t rows, int64_t n)
{
    bench b = {0};
    gr_norm_attr attr = {1e-5f};
    double bytes = 4e-9 * (double)(rows * n);
    char name[128];
    for (int layer = 1; layer >= 0; layer--) {
        for (int i = 0; i < 2 + layer; i++)
            in(&b, GR_F32, i == 0 ? 2 : 1, i == 0 ? (int64_t[]){rows, n} : &n);
        out(&b, DIMS(rows, n));
        for (int i = 0; i < 1 + layer; i++)
            out(&b, 1, &rows);
        snprintf(name, sizeof name, "%s_norm [%d,%d]", layer ? "layer" : "rms", (int)rows, (int)n);
        measure(&b, name, layer ? &gr_op_layer_norm : &gr_op_rms_norm, &attr, 2 * bytes, "GB/s");
        in(&b, GR_F32, DIMS(rows, n));
        in(&b, GR_F32, 1, &n);
        for (int i = 0; i < 1 + layer; i++)
            in(&b, GR_F32, 1, &rows);
        in(&b, GR_F32, DIMS(rows, n));
        out(&b, DIMS(rows, n));
        for (int i = 0; i < 1 + layer; i++)
            out(&b, 1, &n);
        snprintf(name, sizeof name, "  grad [%d,%d]", (int)rows, (int)n);
        measure(&b, name, layer ? &gr_op_layer_norm_grad : &gr_op_rms_norm_grad, NULL, 3 * bytes, "GB/s");
    }
}

static void bench_loss(int64_t rows, int64_t n)
{
    bench b = {0};
    gr_ignore_attr attr = {-100};
    double bytes = 4e-9 * (double)(rows * n);
    char name[128];
    in(&b, GR_F32, DIMS(rows, n));
    in(&b, GR_I64, 1, &rows);
    out(&b, 1, &rows);
    out(&b, 1, &rows);
    snprintf(name, sizeof name, "cross_entropy_rows [%d,%d]", (int)rows, (int)n);
    measure(&b, name, &gr_op_cross_entropy_rows, &attr, bytes, "GB/s");
    in(&b, GR_F32, DIMS(rows, n));
    in(&b, GR_I64, 1, &rows);
    in(&b, GR_F32, 1, &rows);
    in(&b, GR_F32, 1, &rows);
    b.out[b.n_out++] = b.in[0];
    snprintf(name, sizeof name, "  grad in place");
    measure(&b, name, &gr_op_cross_entropy_grad, &attr, 2 * bytes, "GB/s");
    in(&b, GR_F32, DIMS(rows, n));
    out(&b, DIMS(rows, n));
    snprintf(name, sizeof name, "softmax [%d,%d]", (int)rows, (int)n);
    measure(&b, name, &gr_op_softmax, NULL, 2 * bytes, "GB/s");
}

static void bench_lookups(void)
{
    bench b = {0};
    gr_rope_attr attr = {false, false, 1};
    in(&b, GR_F32, DIMS(4, 256, 12, 64));
    in(&b, GR_I64, DIMS(256));
    in(&b, GR_F32, DIMS(32));
    out(&b, DIMS(4, 256, 12, 64));
    measure(&b, "rope [4,256,12,64]", &gr_op_rope, &attr, 8e-9 * 4 * 256 * 12 * 64, "GB/s");
    in(&b, GR_F32, DIMS(50257, 768));
    in(&b, GR_I64, DIMS(1024));
    for (int i = 0; i < 1024; i++)
        ((int64_t *)b.in[1].data)[i] = (i * 7919) % 50257;
    out(&b, DIMS(1024, 768));
    measure(&b, "embedding [50257,768] of 1024", &gr_op_embedding, NULL, 8e-9 * 1024 * 768, "GB/s");
    in(&b, GR_F32, DIMS(50257, 768));
    in(&b, GR_I64, DIMS(1024));
    for (int i = 0; i < 1024; i++)
        ((int64_t *)b.in[1].data)[i] = (i * 7919) % 50257;
    in(&b, GR_F32, DIMS(1024, 768));
    b.out[b.n_out++] = b.in[0];
    measure(&b, "scatter_add in place", &gr_op_scatter_add, NULL, 12e-9 * 1024 * 768, "GB/s");
}

int main(int argc, char **argv)
{
    pool = gr_pool_new(argc > 1 ? atoi(argv[1]) : 0);
    for (int level = 0; argc > 2 && level < GR_ISA_COUNT; level++)
        if (strcmp(argv[2], gr_isa_name((gr_isa)level)) == 0)
            gr_isa_limit((gr_isa)level);
    if (argc > 3)
        wanted = argv[3];
    printf("%s, %d threads\n", gr_isa_name(gr_isa_detect()), gr_pool_threads(pool));
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        bench_attention(&shapes[i]);
    bench_norms(1024, 768);
    bench_norms(768, 128);
    bench_loss(1024, 50257);
    bench_loss(768, 65);
    bench_lookups();
    gr_pool_free(pool);
    return 0;
}
