/* Quantizing as a library: which matrix gets what, what is written, what is refused, and that nothing is left of a failure. */
#include "quant/quant.h"
#include "tiny.h"

#include <math.h>

#include "base/dtype.h"
#include "format/gguf.h"

/* Two layers whose rows are whole blocks of 32, and some of 256. */
static gr_model *small_model(const char *arch, gr_device *d)
{
    gr_model_info info = tiny_info(arch, strcmp(arch, "gpt2") == 0);
    info.embed = 64;
    info.ffn = 256;
    return tiny_model_of(&info, d, 3);
}

/* ---- mixtures ----------------------------------------------------------------------------------------------- */

/* Of 32 layers, those of q4_k_m whose values have more bits: the first and last four, and every third between them. */
TEST(more_bits_where_llama_cpp_has_them)
{
    static const int more[] = {0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31};
    const gr_mix *mix = gr_mix_find("q4_k_m");
    CHECK(mix);
    gr_mix_matrix m = {.gguf = "blk.0.attn_v.weight", .width = 4096, .layers = 32, .heads = 32, .kv_heads = 32};
    for (int i = 0, k = 0; i < 32; i++) {
        m.layer = i;
        bool is_more = more[k] == i;
        k += is_more;
        CHECK_EQ_INT(gr_mix_dtype(mix, &m, false), is_more ? GR_Q6_K : GR_Q4_K);
        CHECK_EQ_INT(gr_mix_dtype(mix, &m, true), GR_Q4_K);
    }
    m.is_head = true;
    CHECK_EQ_INT(gr_mix_dtype(mix, &m, false), GR_Q6_K);
    m.width = 576; /* SmolLM2's */
    CHECK_EQ_INT(gr_mix_dtype(mix, &m, false), GR_Q8_0);
    CHECK_EQ_INT(gr_mix_fit(GR_Q4_K, 576), GR_Q5_0);
    CHECK_EQ_INT(gr_mix_fit(GR_Q6_K, 576), GR_Q8_0);
    CHECK_EQ_INT(gr_mix_fit(GR_Q4_0, 33), GR_F16);
    CHECK(!gr_mix_find("q4_k_x"));
    CHECK(strstr(gr_error(), "q4_k_m"));
}

/* The same dtypes as in files that llama.cpp's own tool has made. */
TEST(types_are_llama_cpps)
{
    static const char *const files[] = {"llama-Q2_K", "llama-Q3_K_M", "llama-Q4_0", "llama-Q4_1",   "llama-Q4_K_M",
                                        "llama-Q5_0", "llama-Q5_1",   "llama-Q6_K", "llama-Q5_K_S", "llama-Q8_0",
                                        "gpt2-Q8_0",  "gpt2-Q4_K_M",  "qwen2-Q8_0", "gemma3-Q8_0"};
    gr_device *d = gr_device_open("cpu", 0);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[300], type[20];
        snprintf(path, sizeof path, "gguf/%s/model.gguf", files[i]);
        const char *theirs = test_shared(test_join("data", path));
        snprintf(type, sizeof type, "%s", strchr(files[i], '-') + 1);
        for (char *c = type; *c; c++)
            *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
        gr_model *m = gr_model_load(theirs, NULL, d);
        CHECK_MADE(m);
        gr_quantize_options o = {.size = sizeof o, .type = type, .requantize = true};
        gr_quant w = {.m = m, .o = &o, .mix = gr_mix_find(type)};
        CHECK_OK(gr_quant_list(&w));
        for (int k = 0; k < w.n; k++) {
            NOTE("%s: %s", files[i], w.tensors[k].gguf);
            CHECK_EQ_INT(w.tensors[k].to, w.tensors[k].entry.dtype);
        }
        gr_quant_close(&w);
        gr_model_free(m);
    }
    gr_device_close(d);
}

/* ---- files -------------------------------------------------------------------------------------------------- */

/* What a file has of a matrix, against rounding its rows one by one; the error that is told, against one that is added up here. */
static void check_rounded(gr_model *m, const char *path, const gr_quantized_tensor *t, gr_device *d)
{
    gr_model *is = gr_model_load(path, NULL, d);
    CHECK_MADE(is);
    gr_entry from = GR_INIT(gr_entry), to = GR_INIT(gr_entry);
    CHECK_OK(gr_store_entry(gr_model_store(m), gr_store_find(gr_model_store(m), t->name), &from));
    CHECK_OK(gr_store_entry(gr_model_store(is), gr_store_find(gr_model_store(is), t->name), &to));
    CHECK_EQ_INT(to.dtype, t->to);
    float *x = gr_alloc(from.bytes), *back = gr_alloc(from.bytes);
    void *must = gr_alloc(to.bytes), *have = gr_alloc(to.bytes);
    double lost = 0, sum = 0;
    CHECK_OK(gr_store_read(gr_model_store(m), t->name, x, from.bytes));
    CHECK_OK(gr_store_read(gr_model_store(is), t->name, have, to.bytes));
    gr_dtype_get(t->to)->from_f32(x, must, t->values);
    CHECK_EQ_INT(memcmp(must, have, to.bytes), 0);
    gr_dtype_get(t->to)->to_f32(must, back, t->values);
    for (int64_t i = 0; i < t->values; i++) {
        lost += pow((double)back[i] - (double)x[i], 2);
        sum += pow((double)x[i], 2);
    }
    CHECK_NEAR(t->error, sqrt(lost / sum), 1e-6);
    CHECK_EQ_INT(t->after, to.bytes);
    CHECK_EQ_INT(t->before, from.bytes);
    gr_free(x);
    gr_free(back);
    gr_free(must);
    gr_free(have);
    gr_model_free(is);
}

TEST(matrices_are_rounded_row_by_row)
{
    static const char *const types[] = {"q4_0", "q8_0", "iq4_nl", "q5_1"};
    static const char *const pair[] = {"blk.*.ffn_down", "q6_k"};
    gr_device *d = gr_device_open("cpu", 2);
    gr_model *m = small_model("llama", d);
    for (size_t i = 0; i < 4; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s.gguf", test_dir(), types[i]);
        gr_quantized made = GR_INIT(gr_quantized);
        gr_saved saved = GR_INIT(gr_saved);
        gr_quantize_options o = {.size = sizeof o, .type = types[i], .saved = &saved, .tensors = &pair, .n_tensors = 1};
        CHECK_OK(gr_quantize(m, path, &o, &made));
        CHECK_EQ_INT(made.n, gr_store_count(gr_model_store(m)));
        CHECK(saved.logits > 0 && saved.difference <= saved.bound && !made.was_quantized);
        int matrices = 0;
        for (int k = 0; k < made.n; k++) {
            const gr_quantized_tensor *t = &made.tensors[k];
            NOTE("%s: %s", types[i], t->name);
            if (t->error > 0 && ++matrices)
                check_rounded(m, path, t, d);
            CHECK_EQ_INT(t->to == GR_Q6_K, strstr(t->name, "down_proj") != NULL);
        }
        CHECK_EQ_INT(matrices, 2 * 7 + 2);
        gr_free(made.tensors);
    }
    gr_model_free(m);
    gr_device_close(d);
}

/* GPT-2's matrices are turned, so that blocks lie along what they are multiplied by; positions stay as they are. */
TEST(conv1d)
{
    gr_device *d = gr_device_open("cpu", 2);
    gr_model *m = small_model("gpt2", d);
    gr_quantized made = GR_INIT(gr_quantized);
    gr_quantize_options o = {.size = sizeof o, .type = "q8_0"};
    CHECK_OK(gr_quantize(m, test_join(test_dir(), "m.gguf"), &o, &made));
    for (int k = 0; k < made.n; k++) {
        const char *name = made.tensors[k].name;
        bool matrix = strstr(name, "weight") && !strstr(name, "ln_") && !strstr(name, "wpe");
        NOTE("%s", name);
        CHECK_EQ_INT(made.tensors[k].to, matrix ? GR_Q8_0 : GR_F32);
        CHECK(!matrix || (made.tensors[k].error > 0 && made.tensors[k].error < 0.01));
    }
    gr_free(made.tensors);
    gr_model_free(m);
    gr_device_close(d);
}

/* ---- refusals ----------------------------------------------------------------------------------------------- */

static gr_status refuse(void *user, gr_model *saved)
{
    (void)user;
    CHECK(gr_model_describe(saved)->layers == 2);
    return gr_fail(GR_ERR_NUMBER, "too much is lost");
}

static size_t entries_of(const char *dir)
{
    char **names;
    size_t n;
    CHECK_OK(gr_dir_list(dir, &names, &n));
    gr_names_free(names, n);
    return n;
}

TEST(refusals)
{
    static const char *const pairs[][2] = {
        {"blk.9.*", "q6_k"}, {"blk.*.ffn_down", "q6_x"}, {"blk.*.ffn_down", "iq1_s"}, {"blk.*.ffn_down", "a8"}};
    gr_device *d = gr_device_open("cpu", 1);
    gr_model *m = small_model("llama", d);
    char path[1024];
    snprintf(path, sizeof path, "%s", test_join(test_dir(), "m.gguf"));
    gr_quantize_options o = {.size = sizeof o, .type = "q8"};
    CHECK_STATUS(gr_quantize(m, path, &o, NULL), GR_ERR_ARGUMENT);
    o.type = NULL;
    CHECK_STATUS(gr_quantize(m, path, &o, NULL), GR_ERR_ARGUMENT);
    o.type = "q8_0";
    CHECK_STATUS(gr_quantize(m, test_join(test_dir(), "m.bin"), &o, NULL), GR_ERR_ARGUMENT);
    for (size_t i = 0; i < 4; i++) {
        o.tensors = &pairs[i];
        o.n_tensors = 1;
        CHECK_STATUS(gr_quantize(m, path, &o, NULL), GR_ERR_ARGUMENT);
    }
    o.n_tensors = 0;
    o.check = refuse;
    CHECK_STATUS(gr_quantize(m, path, &o, NULL), GR_ERR_NUMBER);
    CHECK_EQ_INT(entries_of(test_dir()), 0);
    o.check = NULL;
    CHECK_OK(gr_dir_make(test_join(test_dir(), "m.gguf.quantizing")));
    CHECK_OK(gr_file_write(test_join(test_dir(), "m.gguf.quantizing/mine"), "x", 1));
    CHECK_STATUS(gr_quantize(m, path, &o, NULL), GR_ERR_FILE);
    CHECK_OK(gr_dir_remove(test_join(test_dir(), "m.gguf.quantizing")));
    CHECK_OK(gr_quantize(m, path, &o, NULL));
    CHECK_STATUS(gr_quantize(m, path, &o, NULL), GR_ERR_ARGUMENT); /* it is there */
    CHECK_EQ_INT(entries_of(test_dir()), 1);
    gr_model *again = gr_model_load(path, NULL, d);
    char other[1024];
    snprintf(other, sizeof other, "%s", test_join(test_dir(), "n.gguf"));
    CHECK_STATUS(gr_quantize(again, other, &o, NULL), GR_ERR_ARGUMENT);
    o.requantize = true;
    gr_quantized made = GR_INIT(gr_quantized);
    CHECK_OK(gr_quantize(again, other, &o, &made));
    CHECK(made.was_quantized);
    gr_free(made.tensors);
    gr_model_free(again);
    gr_model_free(m);
    gr_device_close(d);
}

TEST(weights_that_are_no_numbers)
{
    gr_device *d = gr_device_open("cpu", 1);
    gr_model *m = small_model("llama", d);
    gr_entry e = GR_INIT(gr_entry);
    int i = gr_store_find(gr_model_store(m), "model.layers.1.mlp.up_proj.weight");
    CHECK_OK(gr_store_entry(gr_model_store(m), i, &e));
    float *x = gr_alloc_zero(e.bytes, 1);
    x[77] = NAN;
    CHECK_OK(gr_store_write(gr_model_store(m), e.name, x, e.bytes));
    gr_quantize_options o = {.size = sizeof o, .type = "q4_0"};
    CHECK_STATUS(gr_quantize(m, test_join(test_dir(), "m.gguf"), &o, NULL), GR_ERR_NUMBER);
    CHECK(strstr(gr_error(), "model.layers.1.mlp.up_proj.weight"));
    CHECK_EQ_INT(entries_of(test_dir()), 0);
    gr_free(x);
    gr_model_free(m);
    gr_device_close(d);
}

/* ---- failures ----------------------------------------------------------------------------------------------- */

static gr_status quantize_all(void *ctx)
{
    char path[1024];
    gr_quantized made = GR_INIT(gr_quantized);
    gr_quantize_options o = {.size = sizeof o, .type = "q4_k_m"};
    snprintf(path, sizeof path, "%s", test_join(test_dir(), "m.gguf"));
    gr_status s = gr_quantize(ctx, path, &o, &made);
    gr_free(made.tensors);
    if (s == GR_OK) { /* the fault may have been in removing what is not needed any more */
        CHECK_OK(gr_dir_remove(path));
        CHECK_OK(gr_dir_remove(test_join(test_dir(), "m.gguf.quantizing")));
    }
    if (s != GR_OK &&
        gr_path_is_file(path)) { /* only the last step, making its name durable, has failed: it is whole */
        gr_kept_error kept;
        gr_error_keep(&kept);
        gr_model *whole = gr_model_load(path, NULL, gr_model_describe(ctx)->device);
        CHECK_MADE(whole);
        gr_model_free(whole);
        CHECK_OK(gr_dir_remove(path));
        gr_error_put_back(&kept);
    }
    CHECK_EQ_INT(entries_of(test_dir()), 0);
    return s;
}

TEST(failing_allocations_and_writes)
{
    gr_device *d = gr_device_open("cpu", 2);
    gr_model *m = small_model("llama", d);
    CHECK_OK(quantize_all(m));
    CHECK(SWEEP_ALLOCATIONS(quantize_all, m) > 100);
    CHECK(SWEEP_WRITES(quantize_all, m) > 10);
    gr_model_free(m);
    gr_device_close(d);
}
