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
