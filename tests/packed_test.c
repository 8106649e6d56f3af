/* Weights in the hub's layouts of few bits: models whose codes, scales and zero points tools/oracle/make_packed_weights.py has
 * drawn, against the logits of the numbers meant; written again; and files that lie. */
#include "test.h"

#include "base/dtype.h"
#include "format/safetensors.h"
#include "model/layers/model.h"
#include "program/run.h"

enum { LENGTH = 12, VOCAB = 64, N = LENGTH * VOCAB };

static const char up[] = "model.layers.0.mlp.up_proj.weight";

static const struct golden {
    const char *name;
    gr_dtype dtype; /* of up_proj */
    bool sorted;    /* its columns are */
} goldens[] = {
    {"gptq-4", GR_INT4_32, false},        {"gptq-4-order", GR_INT4Z_32, true},
    {"gptq-4-v2", GR_INT4Z_32, false},    {"gptq-2-rows", GR_INT4Z_64, false},
    {"gptq-3", GR_INT4_64, false},        {"gptq-8", GR_INT8, false},
    {"gptq-8-order", GR_INT8, true},      {"gptq-8-zeros", GR_INT8Z, false},
    {"gptq-beside", GR_INT4_64, false},   {"awq", GR_INT4Z_32, false},
    {"packed-zeros", GR_INT4Z_32, false}, {"packed-rows", GR_INT4_64, false},
    {"packed-order", GR_INT4_32, true},   {"packed-8", GR_INT8, false},
    {"packed-small", GR_F32, false}, /* groups of 16 */
    {"packed-wide", GR_F32, false},  /* zero points, and scales of f32 */
    {"bytes-zeros", GR_INT8Z, false},     {"bytes-4", GR_INT4_64, false},
    {"mixed", GR_INT4_32, false},         {"bytes-rows", GR_INT8, false},
};
enum { GOLDENS = sizeof goldens / sizeof *goldens };

static const char *dir_of(const char *name)
{
    return test_join(test_source("tests/data/ints"), name);
}

/* ---- logits ------------------------------------------------------------------------------------------------- */

static void logits_of(gr_model *m, gr_device *d, const gr_token *ids, gr_activations activations, float *out)
{
    int64_t shape[] = {1, LENGTH};
    gr_graph *g = gr_graph_new();
    gr_forward f = {.size = sizeof f, .tokens = gr_input(g, "tokens", GR_I32, 2, shape)};
    gr_tensor *logits = gr_model_forward(m, &f);
    gr_compile_options o = {.size = sizeof o, .activations = activations};
    gr_program *p = gr_compile(g, &logits, 1, d, &o);
    CHECK_MADE(p);
    CHECK_OK(gr_program_run(p, (const void *[]){ids}, (void *[]){out}));
    gr_program_free(p);
    gr_graph_free(g);
}

static void read_expected(const char *dir, gr_token *ids, float *logits)
{
    gr_safetensors *e = gr_safetensors_open(test_join(dir, "expected.safetensors"));
    CHECK_MADE(e);
    memcpy(ids, gr_safetensors_find(e, "ids")->data, LENGTH * sizeof *ids);
    memcpy(logits, gr_safetensors_find(e, "logits")->data, N * sizeof *logits);
    gr_safetensors_close(e);
}

/* How far apart they are, as a part of the largest. */
static double apart(const float *a, const float *b)
{
    double off = 0, largest = 0;
    for (int i = 0; i < N; i++) {
        off = fabs((double)a[i] - (double)b[i]) <= off ? off : fabs((double)a[i] - (double)b[i]);
        largest = fmax(largest, fabs((double)b[i]));
    }
    return off / largest;
}

static void check_dir(const char *dir, gr_device *d, bool widen, const gr_token *ids, const float *expected)
{
    float logits[N];
    gr_load_options o = {.size = sizeof o, .widen = widen};
    gr_model *m = gr_model_load(dir, &o, d);
    CHECK_MADE(m);
    logits_of(m, d, ids, GR_ACTIVATIONS_F32, logits);
    if (!(apart(logits, expected) <= 5e-6))
        FAIL("%s%s: off by %.3g of the largest", dir, widen ? ", widened" : "", apart(logits, expected));
    if (!widen) { /* with rows in int8 somewhat more, and finite */
        logits_of(m, d, ids, GR_ACTIVATIONS_INT8, logits);
        CHECK(apart(logits, expected) < 0.1);
    }
    gr_model_free(m);
}

/* Written as it is, in f32, and from there on as anything that is read. */
static void check_saved(const char *dir, gr_device *d, const gr_token *ids, const float *expected)
{
    gr_model *m = gr_model_load(dir, NULL, d);
    CHECK_MADE(m);
    for (int i = 0; i < 2; i++) {
        const char *to = test_join(test_dir(), "saved");
        gr_save_options o = {.size = sizeof o, .cast = i == 1, .dtype = GR_F32};
        CHECK_OK(gr_model_save(m, to, &o, NULL));
        check_dir(to, d, false, ids, expected);
        char *config = gr_file_read(test_join(to, "config.json"), 1 << 20, NULL);
        bool blocks = i == 0 && gr_model_store(m);
        gr_entry e = GR_INIT(gr_entry);
        CHECK_OK(gr_store_entry(gr_model_store(m), gr_store_find(gr_model_store(m), up), &e));
        CHECK_EQ_INT(strstr(config, "quantization_config") != NULL, blocks && e.dtype != GR_F32);
        gr_free(config);
        CHECK_OK(gr_dir_remove(to));
    }
    gr_model_free(m);
}

TEST(logits_of_every_layout)
{
    for (int i = 0; i < GOLDENS; i++)
        for (int on = 0; test_device(on) && on < 3; on++) {
            const struct golden *g = &goldens[i];
            gr_device *d = gr_device_open(test_device(on), 2);
            gr_token ids[LENGTH];
            float expected[N];
            const char *dir = dir_of(g->name);
            NOTE("%s on %s", g->name, test_device(on));
            read_expected(dir, ids, expected);
            gr_model *m = gr_model_load(dir, NULL, d);
            CHECK_MADE(m);
            gr_entry e = GR_INIT(gr_entry);
            int at = gr_store_find(m->store, up);
            CHECK_OK(gr_store_entry(m->store, at, &e));
            CHECK_EQ_INT(e.dtype, g->dtype);
            CHECK_EQ_INT(m->inits[at].order != NULL, g->sorted);
            gr_model_free(m);
            check_dir(dir, d, false, ids, expected);
            check_dir(dir, d, true, ids, expected);
            if (strcmp(test_device(on), "cpu") == 0)
                check_saved(dir, d, ids, expected);
            gr_device_close(d);
        }
}

/* The root of the squares of what they are apart, as a part of them. */
static double off_by(const float *a, const float *b)
{
    double off = 0, sum = 0;
    for (int i = 0; i < N; i++) {
        off += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        sum += (double)b[i] * (double)b[i];
    }
    return sqrt(off / sum);
}

/* Rows become the codes and scales of compressed-tensors, to the bit. */
TEST(codes_of_rows_are_compressed_tensors)
{
    enum { ROWS = 64, WIDTH = 96, BLOCK = 36 };
    gr_safetensors *e = gr_safetensors_open(test_join(dir_of("bytes-rows"), "expected.safetensors"));
    CHECK_MADE(e);
    const float *x = gr_safetensors_find(e, "x")->data, *scales = gr_safetensors_find(e, "scales")->data;
    const unsigned char *codes = gr_safetensors_find(e, "codes")->data;
    for (int r = 0; r < ROWS; r++) {
        unsigned char row[WIDTH / 32 * BLOCK];
        gr_dtype_get(GR_A8_ROW)->from_f32(x + r * WIDTH, row, WIDTH);
        for (int i = 0; i < WIDTH; i += 32) {
            CHECK(memcmp(row + i / 32 * BLOCK, scales + r, sizeof *scales) == 0);
            CHECK(memcmp(row + i / 32 * BLOCK + 4, codes + r * WIDTH + i, 32) == 0);
        }
    }
    gr_safetensors_close(e);
}

/* Where config.json asks for it, int8 activations are those of compressed-tensors: one scale a row. A row's largest lies between two
 * codes, where a last bit decides; scales for 32 values are off by 0.02. */
TEST(rows_of_activations_as_compressed_tensors_has_them)
{
    gr_safetensors *e = gr_safetensors_open(test_join(dir_of("bytes-rows"), "expected.safetensors"));
    const gr_load_options o = {.size = sizeof o, .activations = GR_ACTIVATIONS_INT8};
    CHECK_MADE(e);
    for (int on = 0; test_device(on) && on < 3; on++) {
        gr_device *d = gr_device_open(test_device(on), 2);
        float logits[N];
        NOTE("on %s", test_device(on));
        gr_model *m = gr_model_load(dir_of("bytes-rows"), &o, d);
        CHECK_MADE(m);
        CHECK_EQ_INT(gr_model_describe(m)->activations, GR_ACTIVATIONS_INT8_ROWS);
        logits_of(m, d, gr_safetensors_find(e, "ids")->data, gr_model_describe(m)->activations, logits);
        double off = off_by(logits, gr_safetensors_find(e, "rounded")->data);
        if (!(off <= 0.008))
            FAIL("off by %.3g", off);
        gr_model_free(m);
        m = gr_model_load(dir_of("bytes-4"), &o, d); /* which asks for none */
        CHECK_MADE(m);
        CHECK_EQ_INT(gr_model_describe(m)->activations, GR_ACTIVATIONS_INT8);
        gr_model_free(m);
        gr_device_close(d);
    }
    gr_safetensors_close(e);
}

/* ---- sorted columns ----------------------------------------------------------------------------------------- */

/* The same numbers in every adapter. */
static void fill_adapter(gr_model *m)
{
    gr_store *s = gr_model_trainable(m);
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; i < gr_store_count(s); i++) {
        CHECK_OK(gr_store_entry(s, i, &e));
        size_t n = e.bytes / sizeof(float);
        float *x = gr_alloc(e.bytes);
        CHECK_OK(gr_store_read(s, e.name, x, e.bytes));
        for (size_t k = 0; k < n; k++)
            x[k] = strstr(e.name, "magnitude") ? x[k] * 1.25f : 0.05f * (float)((int)(k * 37 % 23) - 11);
        CHECK_OK(gr_store_write(s, e.name, x, e.bytes));
        gr_free(x);
    }
}

/* An adapter on sorted columns gives what it gives on the widened model; merged, rounded anew, nearly that. */
TEST(adapters_on_sorted_columns)
{
    static const char *const targets[] = {"all-linear"};
    gr_device *d = gr_device_open("cpu", 2);
    gr_token ids[LENGTH];
    float wide[N], sorted[N], expected[N];
    const char *dir = dir_of("gptq-4-order");
    read_expected(dir, ids, expected);
    for (int dora = 0; dora < 2; dora++) {
        gr_lora_options o = {.size = sizeof o, .rank = 4, .dora = dora, .targets = targets, .n_targets = 1};
        for (int widen = 1; widen >= 0; widen--) {
            gr_load_options l = {.size = sizeof l, .widen = widen};
            gr_model *m = gr_model_load(dir, &l, d);
            CHECK_MADE(m);
            CHECK_OK(gr_model_add_adapter(m, &o));
            fill_adapter(m);
            logits_of(m, d, ids, GR_ACTIVATIONS_F32, widen ? wide : sorted);
            if (!widen) {
                CHECK(apart(wide, expected) > 0.05);
                CHECK(apart(sorted, wide) < 1e-5);
                CHECK_OK(gr_model_merge_adapter(m));
                logits_of(m, d, ids, GR_ACTIVATIONS_F32, sorted);
                CHECK(apart(sorted, wide) < 0.4);
            }
            gr_model_free(m);
        }
    }
    static const char *const whole[] = {"up_proj"};
    gr_lora_options o = {.size = sizeof o, .modules_to_save = whole, .n_modules_to_save = 1};
    gr_model *m = gr_model_load(dir, NULL, d);
    CHECK_STATUS(gr_model_add_adapter(m, &o), GR_ERR_UNSUPPORTED);
    CHECK(strstr(gr_error(), "up_proj") && strstr(gr_error(), "sorted"));
    gr_model_free(m);
    gr_device_close(d);
}

/* Quantized to anything else, columns are where they were. */
TEST(sorted_columns_are_quantized_anew)
{
    gr_device *d = gr_device_open("cpu", 2);
    gr_token ids[LENGTH];
    float expected[N], logits[N];
    const char *dir = dir_of("gptq-4-order");
    read_expected(dir, ids, expected);
    gr_model *m = gr_model_load(dir, NULL, d);
    CHECK_MADE(m);
    gr_quantize_options o = {.size = sizeof o, .type = "int8", .requantize = true};
    CHECK_OK(gr_quantize(m, test_join(test_dir(), "int8"), &o, NULL));
    gr_model *made = gr_model_load(test_join(test_dir(), "int8"), NULL, d);
    CHECK_MADE(made);
    logits_of(made, d, ids, GR_ACTIVATIONS_F32, logits);
    CHECK(apart(logits, expected) < 0.03);
    gr_model_free(made);
    gr_model_free(m);
    gr_device_close(d);
}

/* ---- files that lie ----------------------------------------------------------------------------------------- */

/* A directory with another text in its config.json, in the header of its weights (of the same length), or other bytes in a
 * tensor of up_proj. */
typedef struct fault {
    const char *dir, *config, *becomes, *header, *header_becomes, *tensor;
    size_t at, n;
    const char *bytes, *says;
} fault;

static const fault faults[] = {
    {"gptq-4", "\"bits\": 4", "\"bits\": 8", .says = "scales"},
    {"gptq-4", "\"bits\": 4", "\"bits\": 5", .says = "2, 3, 4 or 8"},
    {"gptq-4", "\"bits\": 4", "\"bits\": \"4\"", .says = "quantization_config.bits"},
    {"gptq-4", "\"group_size\": 32", "\"group_size\": 64", .says = "1 groups of 64"},
    {"gptq-4", "\"group_size\": 32", "\"group_size\": 0", .says = "groups of 0"},
    {"gptq-4", "\"sym\": true", "\"sym\": true, \"checkpoint_format\": \"gptq_v2\"", .says = "zero point of 7"},
    {"gptq-4", "\"sym\": true", "\"sym\": true, \"checkpoint_format\": \"marlin\"", .says = "checkpoint_format"},
    {"gptq-4", "\"sym\": true", "\"sym\": true, \"dynamic\": {\"a\": {}}", .says = "dynamic"},
    {"gptq-4", "\"gptq\"", "\"bitsandbytes\"", .says = "quantization_config"},
    {"gptq-4-v2", "\"gptq_v2\"", "\"gptq\"", .says = "one more than the last code"},
    {"gptq-4-order", "\"desc_act\": true", "\"desc_act\": false", .says = "another order"},
    {"gptq-4-order", "\"sym\": false", "\"sym\": true", .says = "zero point of"},
    {"gptq-4-order", .header = "up_proj.g_idx", .header_becomes = "up_proj.g_idX", .says = "no g_idx says"},
    {"gptq-4", .header = "up_proj.qzeros", .header_becomes = "up_proj.qzerox", .says = "zero points are not there"},
    {"gptq-4", .header = "up_proj.scales", .header_becomes = "up_proj.scalex", .says = "scales are not there"},
    {"gptq-4", .header = "up_proj.scales\": {\"dtype\": \"F16\", \"shape\": [2, 96]",
     .header_becomes = "up_proj.scales\": {\"dtype\": \"F16\", \"shape\": [96, 2]", .says = "scales"},
    {"gptq-4", .header = "up_proj.qzeros\": {\"dtype\": \"I32\", \"shape\": [2, 12]",
     .header_becomes = "up_proj.qzeros\": {\"dtype\": \"I32\", \"shape\": [12, 2]", .says = "zero points"},
    {"gptq-4", .header = "up_proj.qweight\": {\"dtype\": \"I32\", \"shape\": [8, 96]",
     .header_becomes = "up_proj.qweight\": {\"dtype\": \"I32\", \"shape\": [96, 8]", .says = "scales"},
    {"gptq-4", .header = "up_proj.qweight\": {\"dtype\": \"I32\"",
     .header_becomes = "up_proj.qweight\": {\"dtype\": \"F32\"", .says = "no matrix of int32"},
    {"gptq-4", .tensor = "scales", .bytes = "\0\x7e", .n = 2, .at = 10, .says = "no number in group 0 of row 5"},
    {"gptq-4", .tensor = "scales", .bytes = "\0\x7c", .n = 2, .at = 192, .says = "no number in group 1 of row 0"},
    {"gptq-4", .tensor = "scales", .bytes = "\0\0", .n = 2, .at = 2, .says = "the scale is 0"},
    {"gptq-4", .tensor = "g_idx", .bytes = "\2\0\0\0", .n = 4, .says = "in group 2"},
    {"gptq-4", .tensor = "g_idx", .bytes = "\xff\xff\xff\xff", .n = 4, .says = "in group -1"},
    {"gptq-4", .tensor = "g_idx", .bytes = "\1\0\0\0", .n = 4, .says = "has 31 columns"},
    {"gptq-beside", "\"hidden_act\"", "\"hidden_act\"", .says = "does not say"}, /* quantize_config.json is not there */
    {"awq", "\"version\": \"gemm\"", "\"version\": \"gemv\"", .says = "gemm"},
    {"awq", "\"zero_point\": true", "\"zero_point\": false", .says = "zero_point"},
    {"awq", "\"group_size\": 32", "\"group_size\": 128", .says = "scales"},
    {"awq", .header = "up_proj.qzeros", .header_becomes = "up_proj.qzerox", .says = "zero points"},
    {"packed-zeros", .tensor = "weight_shape", .bytes = "\x20", .n = 1, .says = "weight_shape says 32 x 64"},
    {"packed-zeros", .tensor = "weight_shape", .bytes = "\xff", .n = 1, .at = 15, .says = "weight_shape says 96 x -"},
    {"packed-zeros", .header = "up_proj.weight_shape", .header_becomes = "up_proj.weight_shapX",
     .says = "weight_shape is not there"},
    {"packed-zeros", .header = "up_proj.weight_zero_point", .header_becomes = "up_proj.weight_zero_poinX",
     .says = "zero points are not there"},
    {"packed-zeros", "\"symmetric\": false", "\"symmetric\": true", .says = "zero point of"},
    {"packed-zeros", "\"num_bits\": 4", "\"num_bits\": 8", .says = "weight_shape"},
    {"packed-zeros", .tensor = "weight_scale", .bytes = "\xc0\x7f", .n = 2, .says = "no number"},
    {"packed-rows", "\"Linear\"", "\"Conv1D\"", .says = "none of config.json"},
    {"packed-rows", "\"Linear\"", "\"re:(\"", .says = "regex"},
    {"packed-rows", "\"lm_head\"", "\"re:.*up_proj$\"", .says = "\"ignore\" says"},
    {"packed-rows", "\"config_groups\": {",
     "\"config_groups\": {\"other\": {\"targets\": [\"re:never\"], \"weights\": {\"type\": \"int\", \"num_bits\": 4, "
     "\"strategy\": \"channel\"}},",
     .says = "means none"},
    {"packed-rows", "\"config_groups\": {",
     "\"config_groups\": {\"other\": {\"targets\": [\"Linear\"], \"weights\": {\"type\": \"int\", \"num_bits\": 4, "
     "\"strategy\": \"channel\"}},",
     .says = "several"},
    {"packed-rows", "\"strategy\": \"channel\"", "\"strategy\": \"block\"", .says = "strategy"},
    {"packed-rows", "\"type\": \"int\"", "\"type\": \"float\"", .says = "no integers"},
    {"packed-rows", "\"pack-quantized\"", "\"marlin-24\"", .says = "format"},
    {"packed-rows", "\"ignore\"", "\"kv_cache_scheme\": {\"num_bits\": 8}, \"ignore\"", .says = "kv_cache_scheme"},
    {"bytes-4", .tensor = "weight", .bytes = "\x7f", .n = 1, .at = 70, .says = "a code is none"},
};

/* The text with its first `from` as `to`; caller frees. */
static char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    if (!at)
        FAIL("there is no %s", from);
    return gr_strfmt("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static void edit_weights(char *data, const fault *f)
{
    uint64_t header;
    memcpy(&header, data, sizeof header);
    if (f->header) {
        char *at = NULL;
        for (size_t i = 8; i + strlen(f->header) < 8 + header && !at; i++)
            at = memcmp(data + i, f->header, strlen(f->header)) == 0 ? data + i : NULL;
        CHECK(at && strlen(f->header) == strlen(f->header_becomes));
        memcpy(at, f->header_becomes, strlen(f->header));
    }
    if (f->tensor) {
        char name[100];
        snprintf(name, sizeof name, "mlp.up_proj.%s\"", f->tensor);
        char *at = strstr(data + 8, name);
        CHECK(at != NULL);
        at = strstr(at, "data_offsets\": [");
        memcpy(data + 8 + header + strtoul(at + strlen("data_offsets\": ["), NULL, 10) + f->at, f->bytes, f->n);
    }
}

static void make_faulty(const fault *f, const char *to)
{
    size_t n;
    CHECK_OK(gr_dir_make(to));
    char *config = gr_file_read(test_join(dir_of(f->dir), "config.json"), 1 << 20, NULL);
    char *other = f->config ? replaced(config, f->config, f->becomes) : gr_strdup(config);
    CHECK_OK(gr_file_write(test_join(to, "config.json"), other, strlen(other)));
    char *data = gr_file_read(test_join(dir_of(f->dir), "model.safetensors"), 1 << 24, &n);
    CHECK_MADE(data);
    edit_weights(data, f);
    CHECK_OK(gr_file_write(test_join(to, "model.safetensors"), data, n));
    gr_free(data);
    gr_free(other);
    gr_free(config);
}

TEST(files_that_lie)
{
    gr_device *d = gr_device_open("cpu", 2);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        const fault *f = &faults[i];
        const char *to = test_join(test_dir(), "lies");
        NOTE("fault %d, %s", (int)i, f->says);
        make_faulty(f, to);
        gr_model *m = gr_model_load(to, NULL, d);
        CHECK(m == NULL);
        CHECK(gr_error_status() == GR_ERR_FILE || gr_error_status() == GR_ERR_UNSUPPORTED);
        if (!strstr(gr_error(), f->says) || (!f->config && !strstr(gr_error(), "up_proj")))
            FAIL("says: %s", gr_error());
        CHECK_OK(gr_dir_remove(to));
    }
    gr_device_close(d);
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

static gr_status load_and_save(void *ctx)
{
    const char *to = test_join(test_dir(), "saved");
    gr_device *d = gr_device_open("cpu", 2);
    gr_model *m = d ? gr_model_load(ctx, NULL, d) : NULL;
    gr_status s = m ? gr_model_save(m, to, NULL, NULL) : gr_error_status();
    gr_model_free(m);
    gr_device_close(d);
    gr_kept_error kept;
    gr_error_keep(&kept);
    CHECK_OK(gr_dir_remove(to));
    gr_error_put_back(&kept);
    return s;
}

TEST(failing_allocations)
{
    static const char *const names[] = {"gptq-4-order", "awq", "packed-zeros"};
    for (int i = 0; i < 3; i++) {
        char dir[1024];
        snprintf(dir, sizeof dir, "%s", dir_of(names[i]));
        gr_status s = GR_ERR_MEMORY;
        for (int64_t at = 1; s != GR_OK; at += at / 8 + 1) {
            NOTE("%s, allocation %d", names[i], (int)at);
            gr_mem_fail_at(at);
            s = load_and_save(dir);
            bool hit = gr_mem_fail_at(0) == 0;
            CHECK(hit ? s == GR_ERR_MEMORY : s == GR_OK);
        }
    }
}
