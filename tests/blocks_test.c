/* The block dtypes of GGUF files: what their bytes mean, and what bytes are written, is the gguf package's
 * (tests/data/blocks.safetensors; tools/oracle/check_block_dtypes.py made it, and compares a million blocks of each). */
#include "test.h"

#include "backend/cpu/isa.h"
#include "base/dtype.h"
#include "format/safetensors.h"
#include "op/attr.h"
#include "op/op.h"
#include "program/program.h"
#include "program/run.h"

enum { ROOM = 4 * GR_DTYPE_BLOCK_MOST };

static const gr_weight *find(const gr_safetensors *file, const char *name, const char *what)
{
    char whole[96];
    snprintf(whole, sizeof whole, "%s.%s", name, what);
    return gr_safetensors_find(file, whole);
}

/* NaN is NaN, everything else the same bits. */
static void check_bits(const float *got, const void *expected, size_t bytes)
{
    float e;
    for (size_t i = 0; i < bytes / sizeof e; i++) {
        memcpy(&e, (const char *)expected + i * sizeof e, sizeof e);
        CHECK((isnan(e) && isnan(got[i])) || memcmp(&e, &got[i], sizeof e) == 0);
    }
}

TEST(values_and_bytes_are_the_gguf_packages)
{
    gr_safetensors *file = gr_safetensors_open(test_source("tests/data/blocks.safetensors"));
    int read = 0, written = 0;
    CHECK_MADE(file);
    for (int d = 0; gr_dtype_name((gr_dtype)d); d++) {
        const gr_dtype_info *info = gr_dtype_get((gr_dtype)d);
        const gr_weight *blocks = find(file, info->name, "blocks"), *values = find(file, info->name, "values");
        const gr_weight *from = find(file, info->name, "from"), *to = find(file, info->name, "to");
        float got[ROOM];
        unsigned char bytes[ROOM * sizeof(float)];
        NOTE("%s", info->name);
        if (!blocks)
            continue;
        CHECK(values && values->bytes <= sizeof got && gr_dtype_size((gr_dtype)d, 4 * info->block) == blocks->bytes);
        info->to_f32(blocks->data, got, 4 * info->block);
        check_bits(got, values->data, values->bytes);
        read++;
        if (!from)
            continue;
        CHECK(from->bytes <= sizeof got && to->bytes <= sizeof bytes);
        memcpy(got, from->data, from->bytes);
        info->from_f32(got, bytes, (int64_t)(from->bytes / sizeof(float)));
        CHECK(memcmp(bytes, to->data, to->bytes) == 0);
        written++;
    }
    CHECK_EQ_INT(read, 24);
    CHECK_EQ_INT(written, 8);
    gr_safetensors_close(file);
}

/* Every dtype that ggml has a number for is found by it; the numbers of files are theirs for ever. */
TEST(numbers_of_ggml)
{
    gr_dtype d;
    int found = 0;
    for (uint32_t id = 0; id < 64; id++)
        if (gr_dtype_from_ggml(id, &d)) {
            CHECK_EQ_INT(gr_dtype_get(d)->ggml_id, id);
            CHECK(gr_dtype_get(d)->ggml);
            found++;
        }
    CHECK_EQ_INT(found, 30);
    CHECK(gr_dtype_from_ggml(0, &d) && d == GR_F32);
    CHECK(gr_dtype_from_ggml(12, &d) && d == GR_Q4_K);
    CHECK(!gr_dtype_from_ggml(4, &d)); /* q4_2, removed long ago */
    CHECK(!gr_dtype_from_ggml(UINT32_MAX, &d));
}

/* What no file should hold and one may: nothing undefined happens, and codes are codes. */
TEST(values_that_cannot_be_written_well)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-45f, -1e-40f, 0, -0.0f, 1};
    for (int d = 0; gr_dtype_name((gr_dtype)d); d++) {
        const gr_dtype_info *info = gr_dtype_get((gr_dtype)d);
        float values[GR_DTYPE_BLOCK_MOST], back[GR_DTYPE_BLOCK_MOST];
        unsigned char bytes[GR_DTYPE_BLOCK_MOST * sizeof(double)];
        if (!info->from_f32 || info->block == 1)
            continue;
        NOTE("%s", info->name);
        for (size_t kind = 0; kind <= sizeof odd / sizeof *odd; kind++) {
            for (int i = 0; i < info->block; i++)
                values[i] = kind < sizeof odd / sizeof *odd ? odd[kind] : odd[i % 10];
            info->from_f32(values, bytes, info->block);
            info->to_f32(bytes, back, info->block);
            for (int i = 0; i < info->block && fabsf(values[0]) <= 1e-40f; i++)
                CHECK(fabsf(back[i]) < 1e-7f);
        }
    }
}

/* ---- products ----------------------------------------------------------------------------------------------- */

/* Rows of weights that the dtype holds, as blocks and as the f32 numbers that they stand for. */
typedef struct rows {
    void *blocks;
    float *wide;
} rows;

static rows rows_of(gr_dtype d, int64_t n, int64_t k)
{
    const gr_dtype_info *info = gr_dtype_get(d);
    rows r = {malloc(gr_dtype_size(d, n * k)), malloc((size_t)(n * k) * sizeof(float))};
    uint32_t seed = 3;
    for (int64_t i = 0; i < n * k; i++) {
        seed = seed * 1664525u + 1013904223u;
        r.wide[i] = ((float)(seed >> 8) / (float)(1 << 23) - 1) * 0.05f;
    }
    info->from_f32(r.wide, r.blocks, n * k);
    info->to_f32(r.blocks, r.wide, n * k);
    return r;
}

static void rows_free(rows *r)
{
    free(r->blocks);
    free(r->wide);
}

/* a [m, k] times the transposed of b, which is given as `dtype`. */
static void product(gr_device *device, const float *a, const void *b, gr_dtype dtype, int64_t m, int64_t n, int64_t k,
                    gr_activations activations, float *out)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *x = gr_input(g, "a", GR_F32, 2, (int64_t[]){m, k}), *w = gr_input(g, "b", dtype, 2, (int64_t[]){n, k});
    gr_tensor *y = gr_matmul(x, w, false, true);
    gr_compile_options o = GR_INIT(gr_compile_options);
    o.activations = activations;
    gr_program *p = y ? gr_compile(g, &y, 1, device, &o) : NULL;
    CHECK_MADE(p);
    gr_given in[] = {{"a", GR_F32, a, (size_t)(m * k) * sizeof(float)}, {"b", dtype, b, gr_dtype_size(dtype, n * k)}};
    CHECK_OK(gr_run(p, in, 2, &(gr_wanted){"output 0", GR_F32, out, (size_t)(m * n) * sizeof(float)}, 1));
    gr_program_free(p);
    gr_graph_free(g);
}

/* Of many blocks a row, few and many rows of a, columns that fill no panel: what the numbers meant give in f32. */
TEST(long_products_are_those_of_the_numbers_meant)
{
    enum { MOST = 70, N = 83, K = 1536 };
    gr_device *device = gr_device_open("cpu", 2);
    float *a = malloc(MOST * K * sizeof *a), *got = malloc(MOST * N * sizeof *got),
          *expected = malloc(MOST * N * sizeof *a);
    for (int i = 0; i < MOST * K; i++)
        a[i] = (float)sin(i * 0.37);
    for (int d = 0; gr_dtype_name((gr_dtype)d); d++) {
        const gr_dtype_info *info = gr_dtype_get((gr_dtype)d);
        if (info->block == 1 || !info->from_f32)
            continue;
        rows b = rows_of((gr_dtype)d, N, K);
        for (int m = 1; m <= MOST; m += 23) {
            NOTE("%s, %d rows", info->name, m);
            product(device, a, b.blocks, (gr_dtype)d, m, N, K, GR_ACTIVATIONS_F32, got);
            product(device, a, b.wide, GR_F32, m, N, K, GR_ACTIVATIONS_F32, expected);
            for (int i = 0; i < m * N; i++)
                CHECK_NEAR(got[i], expected[i], 2e-5);
        }
        rows_free(&b);
    }
    free(a);
    free(got);
    free(expected);
    gr_device_close(device);
}

/* ---- int8 activations --------------------------------------------------------------------------------------- */

enum { N = 83, K = 768, ROWS = 32 };

static float *wave(int64_t n)
{
    float *a = malloc((size_t)n * sizeof *a);
    for (int64_t i = 0; i < n; i++)
        a[i] = (float)(sin((double)i * 0.37) * (1 + i % 5));
    return a;
}

static const gr_dtype_info *weights(int d)
{
    const gr_dtype_info *info = gr_dtype_get((gr_dtype)d);
    return info->is_weight && info->from_f32 && info->codes.group > 0 ? info : NULL;
}

/* Each row's bits are its own: with how many others it is multiplied, and by how many threads, does not show. */
static void check_company(gr_activations activations)
{
    static const int64_t cuts[] = {1, 2, 7, 32};
    static const int threads[] = {1, 2, 4};
    float *a = wave(ROWS * K), *whole = malloc(ROWS * N * sizeof *a), *part = malloc(ROWS * N * sizeof *a);
    for (int d = 0; gr_dtype_name((gr_dtype)d); d++) {
        if (!weights(d))
            continue;
        rows b = rows_of((gr_dtype)d, N, K);
        for (int t = 0; t < 3; t++) {
            gr_device *device = gr_device_open("cpu", threads[t]);
            if (t == 0)
                product(device, a, b.blocks, (gr_dtype)d, ROWS, N, K, activations, whole);
            for (int c = 0; c < 4; c++)
                for (int64_t at = 0; at < ROWS; at += cuts[c]) {
                    int64_t m = ROWS - at < cuts[c] ? ROWS - at : cuts[c];
                    NOTE("%s, %d threads, %d rows at %d", gr_dtype_name((gr_dtype)d), threads[t], (int)m, (int)at);
                    product(device, a + at * K, b.blocks, (gr_dtype)d, m, N, K, activations, part);
                    CHECK(memcmp(part, whole + at * N, (size_t)(m * N) * sizeof *part) == 0);
                    at += c == 0 && at == 2 ? 20 : 0; /* single rows: the first and the last few */
                }
            gr_device_close(device);
        }
        rows_free(&b);
    }
    free(a);
    free(whole);
    free(part);
}

TEST(int8_products_do_not_depend_on_company)
{
    check_company(GR_ACTIVATIONS_INT8);
    check_company(GR_ACTIVATIONS_INT8_ROWS);
}

/* Sums of integers are exact, so levels of instructions differ by the rounding of a group's sum; and all are near f32. */
static void check_levels(gr_activations activations)
{
    gr_device *device = gr_device_open("cpu", 2);
    float *a = wave(ROWS * K), *got[GR_ISA_COUNT + 1];
    int levels = (int)gr_isa_detect() + 1;
    for (int l = 0; l <= GR_ISA_COUNT; l++)
        got[l] = malloc(ROWS * N * sizeof *a);
    for (int d = 0; gr_dtype_name((gr_dtype)d); d++) {
        if (!weights(d))
            continue;
        rows b = rows_of((gr_dtype)d, N, K);
        double off = 0, size = 0;
        NOTE("%s", gr_dtype_name((gr_dtype)d));
        product(device, a, b.blocks, (gr_dtype)d, ROWS, N, K, GR_ACTIVATIONS_F32, got[GR_ISA_COUNT]);
        for (int l = 0; l < levels; l++) {
            gr_isa_limit((gr_isa)l);
            product(device, a, b.blocks, (gr_dtype)d, ROWS, N, K, activations, got[l]);
            gr_isa_limit(GR_ISA_COUNT);
            for (int i = 0; i < ROWS * N; i++)
                CHECK_NEAR(got[l][i], got[0][i], 1e-5);
        }
        for (int i = 0; i < ROWS * N; i++) {
            double e = (double)got[GR_ISA_COUNT][i], o = (double)got[0][i] - e;
            off += o * o;
            size += e * e;
        }
        CHECK(sqrt(off / size) < 0.01);
        rows_free(&b);
    }
    for (int l = 0; l <= GR_ISA_COUNT; l++)
        free(got[l]);
    free(a);
    gr_device_close(device);
}

TEST(int8_products_agree_between_levels)
{
    check_levels(GR_ACTIVATIONS_INT8);
    check_levels(GR_ACTIVATIONS_INT8_ROWS);
}

/* A row with one scale has codes from -128 on, which meet such of weights: every level's sums are exact. */
TEST(products_of_the_least_codes)
{
    gr_device *device = gr_device_open("cpu", 2);
    float *a = malloc(ROWS * K * sizeof *a), *got = malloc(ROWS * N * sizeof *got);
    int8_t *codes = malloc(N * K);
    char *b = malloc(gr_dtype_size(GR_INT8, N * K));
    const float scale = 0.5f;
    for (int i = 0; i < ROWS * K; i++) /* -127.5 is rounded to -128 */
        a[i] = i % 7 % 3 ? -127.5f : (float)(i % 255 - 127);
    for (int i = 0; i < N * K; i++) {
        codes[i] = (int8_t)(i % 5 % 2 ? -128 : i * 37 % 256 - 128);
        memcpy(b + i / 32 * 36, &scale, sizeof scale);
        b[i / 32 * 36 + 4 + i % 32] = (char)codes[i];
    }
    for (int l = 0; l <= (int)gr_isa_detect(); l++)
        for (int m = 1; m <= ROWS; m += 1 + m) {
            gr_isa_limit((gr_isa)l);
            product(device, a, b, GR_INT8, m, N, K, GR_ACTIVATIONS_INT8_ROWS, got);
            gr_isa_limit(GR_ISA_COUNT);
            for (int i = 0; i < m * N; i++) {
                int64_t sum = 0;
                for (int k = 0; k < K; k++)
                    sum += (int64_t)(a[i / N * K + k] < -127 ? -128 : (int)a[i / N * K + k]) * codes[i % N * K + k];
                NOTE("%s, %d rows, %d", gr_isa_name((gr_isa)l), m, i);
                CHECK(got[i] == (float)sum * scale);
            }
        }
    free(a);
    free(b);
    free(got);
    free(codes);
    gr_device_close(device);
}

/* A value that is no number is seen in its row, and in no other. */
TEST(int8_products_keep_nan)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    gr_device *device = gr_device_open("cpu", 2);
    float *a = wave(4 * K), got[4 * N];
    for (int by_row = 0; by_row < 2; by_row++) {
        gr_dtype of = by_row ? GR_INT8 : GR_Q4_0;
        rows b = rows_of(of, N, K);
        for (int k = 0; k < 3; k++) {
            a[2 * K + 100] = odd[k];
            product(device, a, b.blocks, of, 4, N, K, by_row ? GR_ACTIVATIONS_INT8_ROWS : GR_ACTIVATIONS_INT8, got);
            for (int i = 0; i < 4 * N; i++)
                CHECK((i / N == 2) == (isnan(got[i]) != 0));
        }
        rows_free(&b);
    }
    free(a);
    gr_device_close(device);
}

/* Every level rounds activations to the bits of the dtype's record: blocks, or rows. */
static void check_rounding(gr_dtype to, int64_t width)
{
    enum { VALUES = 4096 };
    gr_device *device = gr_device_open("cpu", 1);
    float *x = wave(VALUES);
    unsigned char expected[VALUES / 32 * 36], got[sizeof expected];
    for (int i = 0; i < VALUES; i++)
        x[i] *= ldexpf(1, i / 32 - 64);
    memcpy(x + 500, (const float[]){NAN, INFINITY, -INFINITY, 0, -0.0f, 3e38f, 1e-45f}, 7 * sizeof *x);
    for (int64_t at = 0; at < VALUES; at += width)
        gr_dtype_get(to)->from_f32(x + at, expected + at / 32 * 36, width);
    for (int level = 0; level <= (int)gr_isa_detect(); level++) {
        gr_isa_limit((gr_isa)level);
        gr_graph *g = gr_graph_new();
        gr_tensor *y = gr_cast(gr_input(g, "x", GR_F32, 2, (int64_t[]){VALUES / width, width}), to);
        gr_program *p = gr_compile(g, &y, 1, device, NULL);
        CHECK_MADE(p);
        CHECK_OK(gr_program_run(p, (const void *[]){x}, (void *[]){got}));
        CHECK(memcmp(got, expected, sizeof got) == 0);
        gr_program_free(p);
        gr_graph_free(g);
        gr_isa_limit(GR_ISA_COUNT);
    }
    free(x);
    gr_device_close(device);
}

TEST(rows_are_rounded_as_the_record_says)
{
    check_rounding(GR_A8, 4096);
    check_rounding(GR_A8_ROW, 256);
}

/* One tensor that several weights meet is rounded once, also behind the views that layers put around a product; by rows for those of
 * int8. */
TEST(rows_are_rounded_once)
{
    gr_device *device = gr_device_open("cpu", 1);
    for (int int8 = 0; int8 < 3; int8++) {
        gr_graph *g = gr_graph_new();
        gr_tensor *x = gr_exp(gr_input(g, "x", GR_F32, 3, (int64_t[]){2, 3, 64})), *y[3];
        for (int i = 0; i < 3; i++)
            y[i] = gr_matmul(
                x,
                gr_input(g, (const char *[]){"q", "k", "v"}[i], i == 1 ? GR_INT8 : GR_Q4_0, 2, (int64_t[]){8 + i, 64}),
                false, true);
        gr_compile_options o = GR_INIT(gr_compile_options);
        o.activations = (gr_activations)int8;
        gr_program *p = gr_compile(g, y, 3, device, &o);
        CHECK_MADE(p);
        int casts = 0, products = 0;
        for (int i = 0; i < p->code.n; i++) {
            casts += p->code.steps[i].call.op == &gr_op_cast;
            products += p->code.steps[i].call.op == &gr_op_matmul;
        }
        CHECK_EQ_INT(casts, int8);
        CHECK_EQ_INT(products, 3);
        gr_program_free(p);
        gr_graph_free(g);
    }
    gr_device_close(device);
}
