/* The block dtypes of GGUF files: what their bytes mean, and what bytes are written, is the gguf package's
 * (tests/data/blocks.safetensors; tools/oracle/check_block_dtypes.py made it, and compares a million blocks of each). */
#include "test.h"

#include "base/dtype.h"
#include "format/safetensors.h"

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
                    float *out)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *x = gr_input(g, "a", GR_F32, 2, (int64_t[]){m, k}), *w = gr_input(g, "b", dtype, 2, (int64_t[]){n, k});
    gr_tensor *y = gr_matmul(x, w, false, true);
    gr_program *p = y ? gr_compile(g, &y, 1, device, NULL) : NULL;
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
            product(device, a, b.blocks, (gr_dtype)d, m, N, K, got);
            product(device, a, b.wide, GR_F32, m, N, K, expected);
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
