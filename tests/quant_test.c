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
    CHECK(gr_mix_find("q4_k") == gr_mix_find("q4_k_m") && gr_mix_find("q4_k") && gr_mix_find("q3_k"));
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
        gr_quant w = {.m = m, .o = &o, .mix = gr_mix_find(type), .hub = GR_DTYPE_NONE};
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

/* ---- GPTQ --------------------------------------------------------------------------------------------------- */

enum { K = 64, ROWS_OF = 24 };

/* Of inputs that hang together: moments [K, K]. */
static void moments_of_inputs(float *h)
{
    static double x[200][K];
    uint32_t noise = 1;
    for (int n = 0; n < 200; n++)
        for (int i = 0; i < K; i++) {
            noise = noise * 1664525u + 1013904223u;
            double own = (double)(noise >> 8) / (1 << 24) - 0.5;
            x[n][i] = own * (1 + i % 7) + (i ? 0.7 * x[n][i - 1] : 0);
        }
    for (int i = 0; i < K; i++)
        for (int j = 0; j < K; j++) {
            double sum = 0;
            for (int n = 0; n < 200; n++)
                sum += x[n][i] * x[n][j] / 200;
            h[i * K + j] = (float)sum;
        }
}

/* H^-1 by Gauss and Jordan, of H with its diagonal raised. */
static void invert(const float *h, double damp, double (*inv)[K])
{
    static double a[K][2 * K];
    for (int i = 0; i < K; i++)
        for (int j = 0; j < K; j++) {
            a[i][j] = (double)h[i * K + j] + (i == j ? damp : 0);
            a[i][K + j] = i == j;
        }
    for (int p = 0; p < K; p++) {
        double pivot = a[p][p];
        for (int j = 0; j < 2 * K; j++)
            a[p][j] /= pivot;
        for (int i = 0; i < K; i++) {
            double factor = i == p ? 0 : a[i][p];
            for (int j = 0; j < 2 * K; j++)
                a[i][j] -= factor * a[p][j];
        }
    }
    for (int i = 0; i < K; i++)
        memcpy(inv[i], a[i] + K, K * sizeof(double));
}

/* One row as the paper of OBQ has it: the column with the largest moment is rounded, the others take up what it has lost by H^-1,
 * from which its row and column are then eliminated. */
static void brain_surgeon(const float *h, double damp, const float *row, const float *scales, int zero, uint8_t *codes)
{
    static double inv[K][K];
    double w[K];
    bool done[K] = {false};
    invert(h, damp, inv);
    for (int i = 0; i < K; i++)
        w[i] = (double)row[i];
    for (int n = 0; n < K; n++) {
        int c = -1;
        for (int i = 0; i < K; i++)
            if (!done[i] && (c < 0 || h[i * K + i] > h[c * K + c]))
                c = i;
        double scale = (double)scales[c / 32], code = nearbyint(w[c] / scale + zero);
        code = code < 0 ? 0 : code > 2 * zero - 1 ? 2 * zero - 1 : code;
        double error = (w[c] - scale * (code - zero)) / inv[c][c];
        codes[c] = (uint8_t)code;
        done[c] = true;
        double pivot = inv[c][c], of_column[K], of_row[K];
        for (int i = 0; i < K; i++) {
            of_column[i] = inv[i][c];
            of_row[i] = inv[c][i];
        }
        for (int i = 0; i < K; i++) {
            if (!done[i])
                w[i] -= error * of_row[i];
            for (int j = 0; j < K; j++)
                inv[i][j] -= of_column[i] * of_row[j] / pivot;
        }
    }
}

/* trace(E H E^T): what the products with the inputs have lost. */
static double lost_of(const float *h, const float *x, const float *back)
{
    double lost = 0;
    for (int r = 0; r < ROWS_OF; r++)
        for (int i = 0; i < K; i++)
            for (int j = 0; j < K; j++)
                lost += (double)(x[r * K + i] - back[r * K + i]) * (double)h[i * K + j] *
                        (double)(x[r * K + j] - back[r * K + j]);
    return lost;
}

TEST(gptq_is_the_brain_surgeon)
{
    static const gr_dtype types[] = {GR_Q4_0, GR_Q8_0, GR_Q5_0};
    static float h[K * K], x[ROWS_OF * K], back[ROWS_OF * K];
    static char rounded[ROWS_OF * K * 4], is[ROWS_OF * K * 4];
    gr_device *d = gr_device_open("cpu", 2);
    uint32_t noise = 7;
    for (int i = 0; i < ROWS_OF * K; i++) {
        noise = noise * 1664525u + 1013904223u;
        x[i] = (float)(noise >> 8) / (1 << 24) - 0.5f;
    }
    moments_of_inputs(h);
    double mean = 0;
    for (int i = 0; i < K; i++)
        mean += (double)h[i * K + i] / K;
    gr_gptq g = {0};
    CHECK_OK(gr_gptq_open(&g, d, h, K));
    CHECK_NEAR(g.damping, 0.01, 1e-12);
    const gr_matrix rows = {.dtype = GR_F32, .data = (const char *)x, .rows = ROWS_OF, .width = K};
    for (int t = 0; t < 3; t++) {
        const gr_dtype_info *info = gr_dtype_get(types[t]);
        int differ = 0;
        CHECK_OK(gr_matrix_round(d, &rows, types[t], false, g.weight, rounded));
        CHECK_OK(gr_gptq_round(&g, d, &rows, types[t], false, is));
        for (int r = 0; r < ROWS_OF; r++) {
            uint8_t codes[K], must[K];
            float scales[K / 32], of_rounded[K / 32];
            info->codes.read(rounded + gr_dtype_size(types[t], r * K), codes, of_rounded, NULL, K);
            info->codes.read(is + gr_dtype_size(types[t], r * K), codes, scales, NULL, K);
            CHECK_EQ_INT(memcmp(scales, of_rounded, sizeof scales), 0); /* they are chosen first */
            brain_surgeon(h, 0.01 * mean, x + r * K, scales, info->codes.zero, must);
            for (int i = 0; i < K; i++)
                differ += codes[i] != must[i];
        }
        CHECK_EQ_INT(differ, 0);
        info->to_f32(rounded, back, ROWS_OF * K);
        double of_rounding = lost_of(h, x, back);
        info->to_f32(is, back, ROWS_OF * K);
        NOTE("%s: %g of %g", info->name, lost_of(h, x, back), of_rounding);
        CHECK(lost_of(h, x, back) < 0.5 * of_rounding);
    }
    gr_gptq_close(&g);
    gr_device_close(d);
}

/* Every format that is written takes codes as it gives them, and weights make the errors that they count smaller. */
TEST(codes_and_weights_of_every_format)
{
    enum { N = 1024 };
    static float x[N], w[N], even[N], weighed[N], plain[N];
    static uint8_t codes[N], again[N];
    static float scales[N], offsets[N];
    static char a[N * 4], b[N * 4];
    uint32_t noise = 3;
    for (int i = 0; i < N; i++) {
        noise = noise * 1664525u + 1013904223u;
        x[i] = (float)(noise >> 8) / (1 << 24) - 0.4f;
        w[i] = i % 5 == 0 ? 50.0f : 1.0f;
        even[i] = 1;
    }
    for (int t = 0; gr_dtype_name((gr_dtype)t); t++) {
        const gr_dtype_info *d = gr_dtype_get((gr_dtype)t);
        if (d->block == 1 || !d->ggml || !d->from_f32)
            continue;
        NOTE("%s", d->name);
        d->from_f32(x, a, N);
        memcpy(b, a, sizeof b);
        d->codes.read(a, codes, scales, offsets, N);
        d->codes.pack(codes, b, N);
        CHECK_EQ_INT(memcmp(a, b, gr_dtype_size((gr_dtype)t, N)), 0);
        for (int i = 0; i < N; i++) /* the other way round, as far as there are such codes */
            codes[i] = d->codes.levels ? d->codes.levels[i % 15] : (uint8_t)(d->codes.most - codes[i]);
        d->codes.pack(codes, b, N);
        d->codes.read(b, again, scales, offsets, N);
        CHECK_EQ_INT(memcmp(codes, again, N), 0);
        if (!d->from_weighed)
            continue;
        double with = 0, without = 0;
        d->from_weighed(x, w, a, N);
        d->from_weighed(x, even, b, N);
        d->to_f32(a, weighed, N);
        d->to_f32(b, plain, N);
        for (int i = 0; i < N; i++) {
            with += (double)w[i] * pow((double)weighed[i] - (double)x[i], 2);
            without += (double)w[i] * pow((double)plain[i] - (double)x[i], 2);
        }
        CHECK(with < without);
    }
}

/* A matrix that is no sum of squares gets damping until it is one; activations that are no numbers are an error. */
TEST(moments_that_are_no_moments)
{
    static float h[K * K];
    gr_device *d = gr_device_open("cpu", 1);
    gr_gptq g = {0};
    for (int i = 0; i < K * K; i++)
        h[i] = i / K == i % K ? 1.0f : i % 2 ? -0.9f : 0.9f;
    CHECK_OK(gr_gptq_open(&g, d, h, K));
    CHECK(g.damping > 0.5);
    gr_gptq_close(&g);
    memset(h, 0, sizeof h);
    CHECK_OK(gr_gptq_open(&g, d, h, K));
    gr_gptq_close(&g);
    h[5 * K + 5] = NAN;
    CHECK_STATUS(gr_gptq_open(&g, d, h, K), GR_ERR_NUMBER);
    gr_gptq_close(&g);
    gr_device_close(d);
}

/* ---- calibration -------------------------------------------------------------------------------------------- */

typedef struct calibrated {
    gr_model *m;
    gr_token ids[200];
    int stop_at, told; /* stop when told so often; 0: never */
} calibrated;

static bool on_progress(void *user, const char *what, double done)
{
    calibrated *c = user;
    CHECK(what && done >= 0 && done <= 1);
    return ++c->told != c->stop_at;
}

static void open_calibrated(calibrated *c, const char *arch, gr_device *d)
{
    *c = (calibrated){.m = small_model(arch, d)};
    tiny_ids(c->ids, 200);
}

static gr_quantize_options options_of(calibrated *c, gr_quantize_method method)
{
    gr_quantize_options o = {.size = sizeof o, .type = "q4_0", .method = method, .calibration = c->ids};
    o.n_calibration = 200;
    o.progress = on_progress;
    o.user = c;
    return o;
}

static double distance(gr_model *m, const char *path, const gr_token *ids)
{
    gr_model *is = gr_model_load(path, NULL, gr_model_describe(m)->device);
    gr_distance far = GR_INIT(gr_distance);
    double loss;
    CHECK_MADE(is);
    CHECK_OK(gr_evaluate(is, ids, 200,
                         &(gr_evaluate_options){.size = sizeof(gr_evaluate_options), .against = m, .distance = &far},
                         &loss));
    gr_model_free(is);
    return far.kl;
}

/* For every architecture's own layers: turned matrices, shared heads, heads of their own. What the text has shown is written, and
 * read again gives the same file. */
TEST(calibrated_models)
{
    static const char *const archs[] = {"llama", "gpt2", "qwen3", "gemma3_text", "phi3"};
    gr_device *d = gr_device_open("cpu", 2);
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
        calibrated c;
        char path[4][1024];
        for (int k = 0; k < 4; k++)
            snprintf(path[k], sizeof path[k], "%s/%s-%d.gguf", test_dir(), archs[i], k);
        NOTE("%s", archs[i]);
        open_calibrated(&c, archs[i], d);
        gr_quantize_options o = options_of(&c, GR_QUANTIZE_ROUND);
        o.save_imatrix = path[3];
        CHECK_OK(gr_quantize(c.m, path[0], &o, NULL));
        o = options_of(&c, GR_QUANTIZE_GPTQ);
        gr_quantized made = GR_INIT(gr_quantized);
        CHECK_OK(gr_quantize(c.m, path[1], &o, &made));
        gr_free(made.tensors);
        o = (gr_quantize_options){.size = sizeof o, .type = "q4_0", .imatrix = path[3]};
        CHECK_OK(gr_quantize(c.m, path[2], &o, NULL));
        double kl[3];
        for (int k = 0; k < 3; k++)
            kl[k] = distance(c.m, path[k], c.ids);
        NOTE("%s: round %g, gptq %g, imatrix %g", archs[i], kl[0], kl[1], kl[2]);
        CHECK(kl[1] < kl[0]);
        CHECK_NEAR(kl[2], kl[0], 0.02 * kl[0]); /* a mean of f32 that was multiplied out again */
        gr_model_free(c.m);
    }
    gr_device_close(d);
}

/* A file that an earlier call has finished; NULL: none. */
static char *first_part(const char *dir)
{
    char **names, *out = NULL;
    size_t n = 0;
    if (!gr_path_is_dir(dir))
        return NULL;
    CHECK_OK(gr_dir_list(dir, &names, &n));
    for (size_t i = 0; i < n && !out; i++)
        if (strstr(names[i], ".safetensors"))
            out = gr_path_join(dir, names[i]);
    gr_names_free(names, n);
    return out;
}

/* One byte of the weights is another. */
static void flip_last(const char *path)
{
    size_t n;
    char *data = gr_file_read(path, 1 << 24, &n);
    CHECK_MADE(data);
    data[n - 1] ^= 1;
    CHECK_OK(gr_file_write(path, data, n));
    gr_free(data);
}

/* Stopped at any place and gone on with, GPTQ writes the same bytes; what is of another text is not gone on with. */
TEST(interrupted_gptq_goes_on)
{
    gr_device *d = gr_device_open("cpu", 2);
    calibrated c;
    char whole[1024], path[1024];
    size_t n, m;
    snprintf(whole, sizeof whole, "%s/whole.gguf", test_dir());
    snprintf(path, sizeof path, "%s/m.gguf", test_dir());
    open_calibrated(&c, "llama", d);
    gr_quantize_options o = options_of(&c, GR_QUANTIZE_GPTQ);
    CHECK_OK(gr_quantize(c.m, whole, &o, NULL));
    int damaged = 0;
    for (int stop = 3; stop < 40; stop += 9) {
        NOTE("stopped at %d", stop);
        c.told = 0;
        c.stop_at = stop;
        CHECK_STATUS(gr_quantize(c.m, path, &o, NULL), GR_ERR_INTERRUPTED);
        c.stop_at = 0;
        o.resume = true;
        o.calibration = c.ids + 1;
        o.n_calibration = 199;
        CHECK_STATUS(gr_quantize(c.m, path, &o, NULL), GR_ERR_ARGUMENT);
        o.calibration = c.ids;
        o.n_calibration = 200;
        char *first = first_part(test_join(test_dir(), "m.gguf.quantizing"));
        if (first) { /* hours of work are not thrown away, and not gone on with when they are damaged */
            o.resume = false;
            CHECK_STATUS(gr_quantize(c.m, path, &o, NULL), GR_ERR_ARGUMENT);
            CHECK(strstr(gr_error(), "--resume"));
            o.resume = true;
            flip_last(first);
            CHECK_STATUS(gr_quantize(c.m, path, &o, NULL), GR_ERR_FILE);
            CHECK(strstr(gr_error(), "checksum"));
            CHECK_OK(gr_dir_remove(first));
        }
        damaged += first != NULL;
        gr_free(first);
        CHECK_OK(gr_quantize(c.m, path, &o, NULL));
        o.resume = false;
        char *a = gr_file_read(whole, 1 << 24, &n), *b = gr_file_read(path, 1 << 24, &m);
        CHECK(n == m && memcmp(a, b, n) == 0);
        gr_free(a);
        gr_free(b);
        CHECK_OK(gr_dir_remove(path));
        CHECK_EQ_INT(entries_of(test_dir()), 1);
    }
    CHECK(damaged > 0);
    /* A disk that is full in the middle. */
    o.resume = false;
    gr_file_fail_at(60);
    CHECK_STATUS(gr_quantize(c.m, path, &o, NULL), GR_ERR_FILE);
    CHECK_EQ_INT(gr_file_fail_at(0), 0);
    char *first = first_part(test_join(test_dir(), "m.gguf.quantizing"));
    CHECK_MADE(first);
    gr_free(first);
    /* Without the memory to look at it, it stays. */
    bool hit = true;
    for (int64_t at = 1; hit; at++) {
        NOTE("allocation %d", (int)at);
        gr_mem_fail_at(at);
        gr_status s = gr_quantize(c.m, path, &o, NULL);
        hit = gr_mem_fail_at(0) == 0;
        CHECK(s == GR_ERR_ARGUMENT || (hit && s == GR_ERR_MEMORY));
        first = first_part(test_join(test_dir(), "m.gguf.quantizing"));
        CHECK_MADE(first);
        gr_free(first);
    }
    o.resume = true;
    CHECK_OK(gr_quantize(c.m, path, &o, NULL));
    CHECK_EQ_INT(entries_of(test_dir()), 2);
    gr_model_free(c.m);
    gr_device_close(d);
}

/* Allocations fail one by one, and the later ones, of which there are many alike, now and then. */
static void check_sparse(gr_status (*action)(void *ctx), void *ctx)
{
    gr_status s = GR_ERR_MEMORY;
    for (int64_t at = 1; s != GR_OK; at += at / 12 + 1) {
        NOTE("allocation %d", (int)at);
        gr_mem_fail_at(at);
        s = action(ctx);
        bool hit = gr_mem_fail_at(0) == 0;
        CHECK(hit ? s == GR_ERR_MEMORY : s == GR_OK);
    }
}

static gr_status gptq_all(void *ctx)
{
    calibrated *c = ctx;
    char path[1024];
    gr_quantize_options o = options_of(c, GR_QUANTIZE_GPTQ);
    snprintf(path, sizeof path, "%s", test_join(test_dir(), "m.gguf"));
    gr_status s = gr_quantize(c->m, path, &o, NULL);
    gr_kept_error kept;
    gr_error_keep(&kept);
    CHECK_OK(gr_dir_remove(path));
    CHECK_OK(gr_dir_remove(test_join(test_dir(), "m.gguf.quantizing")));
    gr_error_put_back(&kept);
    return s;
}

TEST(failing_allocations_of_gptq)
{
    gr_device *d = gr_device_open("cpu", 2);
    calibrated c;
    open_calibrated(&c, "llama", d);
    CHECK_OK(gptq_all(&c));
    check_sparse(gptq_all, &c);
    gr_model_free(c.m);
    gr_device_close(d);
}

TEST(refused_calibration)
{
    gr_device *d = gr_device_open("cpu", 1);
    calibrated c;
    open_calibrated(&c, "llama", d);
    char path[1024], imatrix[1024];
    snprintf(path, sizeof path, "%s/m.gguf", test_dir());
    snprintf(imatrix, sizeof imatrix, "%s/i.gguf", test_dir());
    gr_quantize_options o = {.size = sizeof o, .type = "q4_0", .method = GR_QUANTIZE_GPTQ};
    CHECK_STATUS(gr_quantize(c.m, path, &o, NULL), GR_ERR_ARGUMENT);
    o = options_of(&c, GR_QUANTIZE_ROUND);
    o.imatrix = imatrix;
    CHECK_STATUS(gr_quantize(c.m, path, &o, NULL), GR_ERR_ARGUMENT);
    o.imatrix = NULL;
    o.resume = true;
    CHECK_STATUS(gr_quantize(c.m, path, &o, NULL), GR_ERR_ARGUMENT);
    o.resume = false;
    c.ids[100] = TINY_VOCAB;
    CHECK_STATUS(gr_quantize(c.m, path, &o, NULL), GR_ERR_ARGUMENT);
    c.ids[100] = 1;
    o.save_imatrix = imatrix;
    CHECK_OK(gr_quantize(c.m, path, &o, NULL));
    CHECK_OK(gr_dir_remove(path));
    gr_model *other = small_model("gpt2", d); /* one with matrices of other names, and of other widths */
    o = (gr_quantize_options){.size = sizeof o, .type = "q4_0", .imatrix = path};
    CHECK_STATUS(gr_quantize(other, test_join(test_dir(), "n.gguf"), &o, NULL), GR_ERR_FILE);
    gr_model_free(other);
    gr_model_free(c.m);
    gr_device_close(d);
}

/* ---- the hub's layouts -------------------------------------------------------------------------------------- */

static const char *make_folder(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    return path;
}

/* int4 and int8 make directories, which are models like others: read, compared, saved again as what they are or in f32. */
TEST(directories_of_int4_and_int8)
{
    static const struct {
        const char *type;
        int64_t group;
        gr_dtype dtype;
        double error;
    } cases[] = {{"int4", 32, GR_INT4_32, 0.12}, {"int4", 64, GR_INT4_64, 0.14}, {"int8", 0, GR_INT8, 0.01}};
    gr_device *d = gr_device_open("cpu", 2);
    calibrated c;
    open_calibrated(&c, "llama", d);
    for (int i = 0; i < 3; i++)
        for (int method = 0; method < 2; method++) {
            const char *path = make_folder("m");
            gr_quantized made = GR_INIT(gr_quantized);
            gr_quantize_options o = options_of(&c, method ? GR_QUANTIZE_GPTQ : GR_QUANTIZE_ROUND);
            o.type = cases[i].type;
            o.group = cases[i].group;
            NOTE("%s %d, method %d", o.type, (int)o.group, method);
            CHECK_OK(gr_quantize(c.m, path, &o, &made));
            for (int k = 0; k < made.n; k++) {
                const gr_quantized_tensor *t = &made.tensors[k];
                bool linear = strstr(t->name, "_proj.weight");
                CHECK_EQ_INT(t->to, linear ? cases[i].dtype : GR_F32);
                CHECK(!linear || method || t->error < cases[i].error);
            }
            gr_free(made.tensors);
            CHECK_OK(gr_verify(path, NULL, NULL));
            gr_model *is = gr_model_load(path, NULL, d);
            CHECK_MADE(is);
            char again[1100], plain[1100];
            snprintf(again, sizeof again, "%s-again", path);
            snprintf(plain, sizeof plain, "%s-f32", path);
            CHECK_OK(gr_model_save(is, again, NULL, NULL));
            gr_save_options widened = {.size = sizeof widened, .cast = true, .dtype = GR_F32};
            CHECK_OK(gr_model_save(is, plain, &widened, NULL));
            size_t n, m;
            char *a = gr_file_read(test_join(path, "model.safetensors"), 1 << 24, &n);
            char *b = gr_file_read(test_join(again, "model.safetensors"), 1 << 24, &m);
            CHECK(n == m && memcmp(a, b, n) == 0);
            char *config = gr_file_read(test_join(plain, "config.json"), 1 << 20, NULL);
            CHECK(config && !strstr(config, "quantization_config"));
            gr_model *wide = gr_model_load(plain, NULL, d);
            CHECK_MADE(wide);
            gr_free(a);
            gr_free(b);
            gr_free(config);
            gr_model_free(wide);
            gr_model_free(is);
            CHECK_OK(gr_dir_remove(path));
            CHECK_OK(gr_dir_remove(again));
            CHECK_OK(gr_dir_remove(plain));
        }
    gr_model_free(c.m);
    gr_device_close(d);
}

TEST(refused_directories)
{
    gr_device *d = gr_device_open("cpu", 1);
    gr_model *m = small_model("llama", d), *conv = small_model("gpt2", d);
    gr_quantize_options o = {.size = sizeof o, .type = "int4"};
    CHECK_STATUS(gr_quantize(m, make_folder("m"), &o, NULL), GR_ERR_ARGUMENT); /* rows of 64, groups of 128 */
    o.group = 48;
    CHECK_STATUS(gr_quantize(m, make_folder("m"), &o, NULL), GR_ERR_ARGUMENT);
    o.group = 32;
    CHECK_STATUS(gr_quantize(m, make_folder("m.gguf"), &o, NULL), GR_ERR_ARGUMENT);
    CHECK_STATUS(gr_quantize(conv, make_folder("m"), &o, NULL), GR_ERR_UNSUPPORTED);
    o.type = "int8";
    CHECK_STATUS(gr_quantize(m, make_folder("m"), &o, NULL), GR_ERR_ARGUMENT); /* a row has one scale */
    o.group = 0;
    CHECK_STATUS(gr_quantize(m, make_folder("m.gguf"), &o, NULL), GR_ERR_ARGUMENT);
    CHECK_EQ_INT(entries_of(test_dir()), 0);
    gr_model_free(conv);
    gr_model_free(m);
    gr_device_close(d);
}

/* What strangers may have in such files: each is an error that names the tensor, and nothing is read beyond what is there. */
TEST(hostile_packed_weights)
{
    enum { MOST = 64 };
    static const char layer[] = "model.layers.1.mlp.up_proj.";
    gr_device *d = gr_device_open("cpu", 1);
    gr_model *m = small_model("llama", d);
    gr_quantize_options o = {.size = sizeof o, .type = "int4", .group = 32};
    char path[1024], file[1100];
    snprintf(path, sizeof path, "%s", make_folder("m"));
    snprintf(file, sizeof file, "%s/model.safetensors", path);
    CHECK_OK(gr_quantize(m, path, &o, NULL));
    gr_model_free(m);
    for (int fault = 0; fault < 9; fault++) {
        gr_weights *w = gr_weights_open(path);
        CHECK_MADE(w);
        gr_array list[MOST];
        char *kept[MOST] = {NULL}, zero[64];
        int n = 0;
        bool hit = false;
        for (int i = 0; i < gr_weights_count(w); i++) {
            const gr_weight *t = gr_weights_entry(w, i);
            gr_array *a = &list[n];
            *a = (gr_array){
                .name = t->name, .dtype = t->dtype, .ndim = t->ndim, .data = kept[n] = gr_alloc(t->bytes + 1)};
            memcpy(a->shape, t->shape, sizeof a->shape);
            memcpy(kept[n], t->data, t->bytes);
            const char *end = strncmp(t->name, layer, strlen(layer)) == 0 ? t->name + strlen(layer) : "";
            bool codes = strcmp(end, "weight_packed") == 0, scale = strcmp(end, "weight_scale") == 0,
                 shape = strcmp(end, "weight_shape") == 0;
            bool drop = (fault == 1 && scale) || (fault == 2 && shape);
            if (fault == 3 && scale)
                memcpy(kept[n], "\xc0\x7f", 2); /* a NaN of bf16 */
            if (fault == 4 && shape)
                kept[n][8] ^= 64; /* another K */
            if (fault == 5 && codes)
                a->shape[1] /= 2, a->shape[0] *= 2;
            if (fault == 6 && scale)
                a->shape[1] *= 2, a->shape[0] /= 2;
            if (fault == 7 && codes)
                a->dtype = GR_F32;
            if (fault == 8 && scale) {
                snprintf(zero, sizeof zero, "%sweight_zero_point", layer);
                list[MOST - 1] = *a;
                list[MOST - 1].name = zero;
            }
            hit |= codes || scale || shape;
            n += !drop;
            if (drop)
                gr_free(kept[n]), kept[n] = NULL;
        }
        if (fault == 8)
            list[n] = list[MOST - 1];
        CHECK(hit);
        char other[1100];
        snprintf(other, sizeof other, "%s/broken.safetensors", test_dir());
        CHECK_OK(gr_arrays_save(other, list, n + (fault == 8), NULL));
        gr_weights_close(w);
        for (int i = 0; i < n; i++)
            gr_free(kept[i]);
        char broken[1100], to[1200], *config = gr_file_read(test_join(path, "config.json"), 1 << 20, NULL);
        snprintf(broken, sizeof broken, "%s/broken", test_dir());
        snprintf(to, sizeof to, "%s/model.safetensors", broken);
        CHECK_OK(gr_dir_make(broken));
        CHECK_OK(gr_file_write(test_join(broken, "config.json"), config, strlen(config)));
        CHECK_OK(gr_path_move(other, to));
        gr_free(config);
        NOTE("fault %d", fault);
        gr_model *is = gr_model_load(broken, NULL, d);
        CHECK_EQ_INT(is != NULL, fault == 0);
        if (!is && !strstr(gr_error(), "model.layers.1.mlp.up_proj"))
            FAIL("the tensor is not named: %s", gr_error());
        gr_model_free(is);
        CHECK_OK(gr_dir_remove(broken));
    }
    gr_device_close(d);
}

static gr_status directory_all(void *ctx)
{
    gr_quantize_options o = {.size = sizeof o, .type = "int4", .group = 64};
    gr_status s = gr_quantize(ctx, make_folder("m"), &o, NULL);
    gr_kept_error kept;
    gr_error_keep(&kept);
    CHECK_OK(gr_dir_remove(make_folder("m")));
    CHECK_OK(gr_dir_remove(make_folder("m.quantizing")));
    gr_error_put_back(&kept);
    return s;
}

TEST(failing_allocations_of_directories)
{
    gr_device *d = gr_device_open("cpu", 1);
    gr_model *m = small_model("llama", d);
    CHECK_OK(directory_all(m));
    check_sparse(directory_all, m);
    gr_model_free(m);
    gr_device_close(d);
}
