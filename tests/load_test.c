/* Model directories as they are found: what is read as it is meant, and what is refused by name. */
#include "model/files/save.h"
#include "program/run.h"
#include "tiny.h"

#include <sys/stat.h>

enum { MOST = 64 };

/* A model's files before they are written: its tensors, which a case changes. */
typedef struct files {
    gr_device *device;
    gr_model *m;
    gr_weight t[MOST];
    void *data[MOST];
    int n;
} files;

/* What the library remarks. */
static struct {
    int n;
    char all[4096];
} heard;

static void on_log(void *user, gr_log_level level, const char *message)
{
    (void)user;
    size_t used = strlen(heard.all);
    if (level == GR_LOG_WARN && ++heard.n)
        snprintf(heard.all + used, sizeof heard.all - used, "%s\n", message);
}

static files files_of(const char *arch, bool tied)
{
    files f = {.device = gr_device_open("cpu", 1)};
    gr_model_info info = tiny_info(arch, tied);
    f.m = tiny_model_of(&info, f.device, 1);
    CHECK_MADE(f.m);
    gr_store *s = gr_model_store(f.m);
    for (int i = 0; i < gr_store_count(s); i++) {
        gr_entry e = GR_INIT(gr_entry);
        CHECK_OK(gr_store_entry(s, i, &e));
        f.data[i] = gr_alloc(e.bytes);
        CHECK_OK(gr_store_read(s, e.name, f.data[i], e.bytes));
        f.t[i] = (gr_weight){.name = e.name, .dtype = e.dtype, .ndim = e.ndim, .data = f.data[i], .bytes = e.bytes};
        memcpy(f.t[i].shape, e.shape, sizeof e.shape);
    }
    f.n = gr_store_count(s);
    return f;
}

static int find(const files *f, const char *name)
{
    for (int i = 0; i < f->n; i++)
        if (strcmp(f->t[i].name, name) == 0)
            return i;
    FAIL("there is no tensor %s", name);
}

/* One more, a copy of another. */
static float *add(files *f, const char *name, const char *like)
{
    int i = f->n++, k = find(f, like);
    f->t[i] = f->t[k];
    f->t[i].name = name;
    f->t[i].data = f->data[i] = gr_alloc(f->t[k].bytes);
    memcpy(f->data[i], f->data[k], f->t[k].bytes);
    return f->data[i];
}

static void write_files(const files *f, const char *dir, size_t shard_bytes)
{
    const char *config = gr_model_describe(f->m)->config;
    gr_dir_make(dir);
    CHECK_OK(gr_file_write(test_join(dir, "config.json"), config, strlen(config)));
    CHECK_OK(gr_weights_save(dir, &(gr_safetensors_spec){.tensors = f->t, .count = f->n}, shard_bytes));
}

static void free_files(files *f)
{
    for (int i = 0; i < f->n; i++)
        gr_free(f->data[i]);
    gr_model_free(f->m);
    gr_device_close(f->device);
}

static float first_logit(gr_model *m)
{
    float out[2 * TINY_VOCAB];
    gr_graph *g = gr_graph_new();
    gr_forward f = {.size = sizeof f, .tokens = gr_input(g, "tokens", GR_I32, 2, (int64_t[]){1, 2})};
    gr_tensor *logits = gr_model_forward(m, &f);
    gr_program *p = gr_compile(g, &logits, 1, gr_model_describe(m)->device, NULL);
    CHECK_MADE(p);
    CHECK_OK(gr_program_run(p, (const void *[]){(gr_token[]){3, 5}}, (void *[]){out}));
    gr_program_free(p);
    gr_graph_free(g);
    return out[TINY_VOCAB];
}

/* It loads, with so many remarks, and is the model that was written. */
static void check_loads_saying(const files *f, const char *dir, int remarks)
{
    memset(&heard, 0, sizeof heard);
    gr_set_log(on_log, NULL);
    gr_model *m = gr_model_load(dir, NULL, f->device);
    gr_set_log(NULL, NULL);
    CHECK_MADE(m);
    CHECK(first_logit(m) == first_logit(f->m));
    NOTE("%s", heard.all);
    CHECK_EQ_INT(heard.n, remarks);
    gr_model_free(m);
}

static void check_loads(const files *f, const char *dir)
{
    check_loads_saying(f, dir, 0);
}

static void check_refused(const files *f, const char *dir, const char *text)
{
    gr_model *m = gr_model_load(dir, NULL, f->device);
    CHECK(!m);
    CHECK_ERROR(GR_ERR_FILE, text);
}

static bool says_tied(const char *config)
{
    return strstr(config, "\"tie_word_embeddings\": true") != NULL;
}

TEST(a_head_beside_the_embedding_it_is_tied_to)
{
    static const char *const embedding[] = {"transformer.wte.weight", "model.embed_tokens.weight"};
    for (int i = 0; i < 2; i++) {
        files f = files_of(i ? "llama" : "gpt2", true);
        float *head = add(&f, "lm_head.weight", embedding[i]);
        write_files(&f, test_dir(), 0);
        check_loads(&f, test_dir());
        f.t[f.n - 1].shape[0]--;
        f.t[f.n - 1].bytes -= 8 * sizeof(float);
        write_files(&f, test_dir(), 0);
        check_refused(&f, test_dir(), "tensor \"lm_head.weight\" is ");
        f.t[f.n - 1].shape[0]++;
        for (int k = 0; k < TINY_VOCAB * 8; k++)
            head[k] *= 2;
        write_files(&f, test_dir(), 0);
        for (int plan = 0; plan < 2; plan++) {
            memset(&heard, 0, sizeof heard);
            gr_set_log(on_log, NULL);
            gr_model *m = gr_model_load(
                test_dir(), &(gr_load_options){.size = sizeof(gr_load_options), .declare_only = plan}, f.device);
            gr_set_log(NULL, NULL);
            CHECK_MADE(m);
            CHECK(heard.n == 1 && strstr(heard.all, "the file's head is used") && strstr(heard.all, embedding[i]));
            CHECK(plan || first_logit(m) == 2 * first_logit(f.m));
            CHECK(!gr_model_describe(m)->tied && !says_tied(gr_model_describe(m)->config) &&
                  says_tied(gr_model_describe(f.m)->config));
            CHECK_EQ_INT(gr_model_describe(m)->parameters, gr_model_describe(f.m)->parameters + TINY_VOCAB * 8);
            gr_model_free(m);
        }
        free_files(&f);
    }
}

/* What is saved of it is one that does not tie, with the head in it; and needs no remark any more. */
TEST(a_head_of_its_own_is_saved)
{
    files f = files_of("llama", true);
    float *head = add(&f, "lm_head.weight", "model.embed_tokens.weight");
    head[7] += 0.5f;
    write_files(&f, test_join(test_dir(), "a"), 0);
    gr_model *m = gr_model_load(test_join(test_dir(), "a"), NULL, f.device);
    CHECK_MADE(m);
    CHECK_OK(gr_model_save(m, test_join(test_dir(), "b"), NULL, NULL));
    gr_model_free(f.m);
    f.m = m;
    check_loads(&f, test_join(test_dir(), "b"));
    m = gr_model_load(test_join(test_dir(), "b"), NULL, f.device);
    CHECK_MADE(m);
    CHECK(gr_store_find(gr_model_store(m), "lm_head.weight") >= 0 && !gr_model_describe(m)->tied);
    gr_model_free(m);
    free_files(&f);
}

/* The head alone is the embedding too, as transformers ties them. */
TEST(a_tied_head_in_place_of_the_embedding)
{
    static const char *const archs[] = {"gpt2", "llama"};
    for (int i = 0; i < 2; i++) {
        files f = files_of(archs[i], true);
        f.t[find(&f, i ? "model.embed_tokens.weight" : "transformer.wte.weight")].name = "lm_head.weight";
        write_files(&f, test_dir(), 0);
        check_loads_saying(&f, test_dir(), 1);
        CHECK(strstr(heard.all, "read from \"lm_head.weight\""));
        free_files(&f);
    }
    files f = files_of("llama", false);
    f.t[find(&f, "model.embed_tokens.weight")].name = "other";
    write_files(&f, test_dir(), 0);
    check_refused(&f, test_dir(), "\"model.embed_tokens.weight\" is missing");
    free_files(&f);
}

TEST(tensors_that_nobody_asks_for)
{
    files f = files_of("gpt2", true);
    add(&f, "transformer.h.0.attn.bias", "transformer.ln_f.bias");
    add(&f, "transformer.h.1.attn.masked_bias", "transformer.ln_f.bias");
    write_files(&f, test_dir(), 0);
    check_loads(&f, test_dir()); /* buffers of old files are known */
    add(&f, "score.weight", "transformer.ln_f.bias");
    write_files(&f, test_dir(), 0);
    check_loads_saying(&f, test_dir(), 1);
    CHECK(strstr(heard.all, "1 tensor that config.json does not ask for is left out: \"score.weight\""));
    static const char *const more[] = {"a", "b\n", "transformer.h.9.ln_1.bias", "lm_head.bias", "v", "w"};
    for (int i = 0; i < 6; i++)
        add(&f, more[i], "transformer.ln_f.bias");
    write_files(&f, test_dir(), 0);
    check_loads_saying(&f, test_dir(), 1);
    CHECK(strstr(heard.all, "7 tensors that config.json does not ask for are left out: \"a\", \"b?\", "
                            "\"lm_head.bias\", \"score.weight\" and 3 more"));
    free_files(&f);
    f = files_of("llama", false);
    add(&f, "model.layers.0.self_attn.rotary_emb.inv_freq", "model.norm.weight");
    write_files(&f, test_dir(), 0);
    check_loads(&f, test_dir());
    add(&f, "model.layers.2.embed_tokens.weight", "model.embed_tokens.weight"); /* of a layer that predicts ahead */
    add(&f, "model.layers.2.norm.weight", "model.norm.weight");
    f.t[f.n - 1].dtype = GR_I32;
    write_files(&f, test_dir(), 0);
    check_loads_saying(&f, test_dir(), 1);
    free_files(&f);
}

/* ---- names -------------------------------------------------------------------------------------------------- */

/* Names go with the body's prefix or without, all of them. */
TEST(names_without_prefix)
{
    static const char *const archs[] = {"gpt2", "llama"};
    for (int i = 0; i < 2; i++) {
        files f = files_of(archs[i], i == 0);
        for (int k = 0; k < f.n; k++) {
            const char *dot = strchr(f.t[k].name, '.');
            if (strncmp(f.t[k].name, "lm_head", 7) != 0)
                f.t[k].name = dot + 1;
        }
        write_files(&f, test_dir(), 0);
        check_loads(&f, test_dir());
        add(&f, i ? "model.norm.weight" : "transformer.ln_f.weight", i ? "norm.weight" : "ln_f.weight");
        write_files(&f, test_dir(), 0);
        check_loads_saying(&f, test_dir(), 1);
        free_files(&f);
    }
}

/* All names anew: "%s" in them is the body's part of a name, or of the head all of it. */
static void rename_all(files *f, const char *body, const char *head)
{
    static char names[MOST][128];
    for (int k = 0; k < f->n; k++) {
        bool is_head = strncmp(f->t[k].name, "lm_head", 7) == 0;
        const char *dot = strchr(f->t[k].name, '.');
        snprintf(names[k], sizeof names[k], "%s%s", is_head ? head : body, is_head ? f->t[k].name : dot + 1);
        f->t[k].name = names[k];
    }
}

TEST(names_behind_a_foreign_prefix)
{
    static const char *const cases[][2] = {
        {"_orig_mod.model.", "_orig_mod."},
        {"module.model.", "module."},
        {"module._orig_mod.model.", "module._orig_mod."},
        {"_orig_mod.module.model.", "_orig_mod.module."},
        {"base_model.model.model.", "base_model.model."},
        {"language_model.model.", "language_model."},
        {"model.language_model.", ""},
        {"model.language_model.model.", "model.language_model."},
        {"model._orig_mod.", ""},
        {"_orig_mod.", "_orig_mod."},
        {"module.", "module."},
        {"policy.actor.", "policy."},
        {"_fsdp_wrapped_module.model._fsdp_wrapped_module.", "_fsdp_wrapped_module."}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int tied = 0; tied < 2; tied++) {
            NOTE("%s", cases[i][0]);
            files f = files_of("llama", tied);
            rename_all(&f, cases[i][0], cases[i][1]);
            write_files(&f, test_dir(), 0);
            check_loads_saying(&f, test_dir(), 1);
            CHECK(strstr(heard.all, "other names than the architecture's") && strstr(heard.all, cases[i][0]));
            free_files(&f);
        }
    files f = files_of("gpt2", true);
    rename_all(&f, "_orig_mod.transformer.", "");
    add(&f, "_orig_mod.lm_head.weight", "_orig_mod.transformer.wte.weight"); /* the same as what it is tied to */
    CHECK_OK(gr_dir_remove(test_dir()));
    write_files(&f, test_dir(), 1000);
    check_loads_saying(&f, test_dir(), 1);
    free_files(&f);
}

/* Each layer compiled by itself, and what a multimodal model has besides. */
TEST(names_with_wrappers_inside)
{
    files f = files_of("llama", false);
    static char names[MOST][128];
    for (int k = 0; k < f.n; k++) {
        const char *layer = strstr(f.t[k].name, "layers.");
        if (layer)
            snprintf(names[k], sizeof names[k], "model.layers.%c._orig_mod.%s", layer[7], layer + 9);
        else
            snprintf(names[k], sizeof names[k], "%s", f.t[k].name);
        f.t[k].name = names[k];
    }
    write_files(&f, test_dir(), 0);
    check_loads_saying(&f, test_dir(), 1);
    free_files(&f);
    f = files_of("llama", false);
    rename_all(&f, "model.language_model.", "");
    add(&f, "model.vision_tower.layers.0.norm.weight", "model.language_model.norm.weight");
    add(&f, "model.vision_tower.norm.weight", "model.language_model.norm.weight");
    write_files(&f, test_dir(), 0);
    check_loads_saying(&f, test_dir(), 2);
    CHECK(strstr(heard.all, "2 tensors that config.json does not ask for"));
    free_files(&f);
}

/* What it loads is saved under the architecture's own names. */
TEST(foreign_names_are_not_saved)
{
    files f = files_of("llama", false);
    rename_all(&f, "model.language_model.", "");
    write_files(&f, test_join(test_dir(), "a"), 0);
    gr_model *m = gr_model_load(test_join(test_dir(), "a"), NULL, f.device);
    CHECK_MADE(m);
    CHECK_OK(gr_model_save(m, test_join(test_dir(), "b"), NULL, NULL));
    gr_model_free(m);
    check_loads(&f, test_join(test_dir(), "b"));
    gr_weights *w = gr_weights_open(test_join(test_dir(), "b"));
    CHECK(w && gr_weights_find(w, "model.embed_tokens.weight") && gr_weights_find(w, "lm_head.weight"));
    gr_weights_close(w);
    free_files(&f);
}

TEST(two_models_in_one_file)
{
    files f = files_of("llama", true);
    int n = f.n;
    static char names[MOST][128];
    rename_all(&f, "student.", "");
    for (int k = 0; k < n; k++) {
        snprintf(names[k], sizeof names[k], "teacher.%s", f.t[k].name + strlen("student."));
        add(&f, names[k], f.t[k].name);
    }
    write_files(&f, test_dir(), 0);
    check_refused(&f, test_dir(), "the weights of two models are here, behind \"student.\" and behind \"teacher.\"");
    for (int k = 0; k < n; k++) {
        snprintf(names[k], sizeof names[k], "model.%s", f.t[k].name + strlen("student."));
        f.t[k].name = names[k];
    }
    for (int k = n; k < f.n; k++)
        f.t[k].name = gr_strfmt("teacher.%s", f.t[k - n].name + strlen("model."));
    write_files(&f, test_dir(), 0); /* its own names go before others */
    check_loads_saying(&f, test_dir(), 1);
    for (int k = n; k < f.n; k++)
        gr_free((char *)f.t[k].name);
    free_files(&f);
}

static void check_hint(const char *text)
{
    const char *hint = strchr(gr_error(), '\n');
    CHECK(hint && strstr(hint, text));
}

static void drop(files *f, const char *name)
{
    int at = find(f, name);
    void *data = f->data[at];
    f->t[at] = f->t[f->n - 1];
    f->data[at] = f->data[f->n - 1];
    f->data[--f->n] = NULL;
    gr_free(data);
}

TEST(tensors_missing_or_of_another_shape)
{
    files f = files_of("llama", false);
    int head = find(&f, "lm_head.weight");
    f.t[head].shape[0]--;
    write_files(&f, test_dir(), 0);
    check_refused(&f, test_dir(), "tensor \"lm_head.weight\" is ");
    f.t[head].shape[0]++;
    drop(&f, "lm_head.weight");
    write_files(&f, test_dir(), 0);
    check_refused(&f, test_dir(), "tensor \"lm_head.weight\" is missing");
    check_hint("config.json and weights do not belong together");
    CHECK(!strstr(gr_error(), "nearest"));
    f.t[find(&f, "model.layers.1.self_attn.q_proj.weight")].name = "model.layers.1.self_attn.q_proj.base_layer.weight";
    f.t[find(&f, "model.layers.0.self_attn.q_proj.weight")].name = "model.layers.0.self_attn.q_proj.base_layer.weight";
    write_files(&f, test_dir(), 0);
    check_refused(&f, test_dir(), "tensors \"model.layers.0.self_attn.q_proj.weight\", ");
    CHECK(strstr(gr_error(), "\"lm_head.weight\" are missing"));
    check_hint("nearest in the file: \"model.layers.0.self_attn.q_proj.base_layer.weight\"");
    free_files(&f);
}

/* ---- dtypes ------------------------------------------------------------------------------------------------- */

/* Writes a header by hand: dtypes that tensors here have not. */
static void write_as(const files *f, const char *dtype, int bytes, const void *(*data)(int tensor))
{
    char *header = gr_strdup("{"), path[1024];
    size_t at = 0;
    for (int i = 0; i < f->n; i++) {
        size_t n = f->t[i].bytes / sizeof(float) * (size_t)bytes;
        char shape[64];
        snprintf(shape, sizeof shape, f->t[i].ndim == 2 ? "[%lld,%lld]" : "[%lld]", (long long)f->t[i].shape[0],
                 (long long)f->t[i].shape[1]);
        char *more = gr_strfmt("%s%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}", header,
                               i ? "," : "", f->t[i].name, dtype, shape, at, at + n);
        gr_free(header);
        header = more;
        at += n;
    }
    snprintf(path, sizeof path, "%s/model.safetensors", test_dir());
    FILE *out = fopen(path, "wb");
    uint64_t length = strlen(header) + 1;
    fwrite(&length, 8, 1, out);
    fprintf(out, "%s}", header);
    for (int i = 0; i < f->n; i++)
        fwrite(data(i), (size_t)bytes, f->t[i].bytes / sizeof(float), out);
    fclose(out);
    gr_free(header);
}

static const files *written;
static uint64_t room[4096];

static const void *as_f64(int tensor)
{
    double *to = (double *)(void *)room;
    const float *from = written->data[tensor];
    for (size_t i = 0; i < written->t[tensor].bytes / sizeof *from; i++)
        to[i] = from[i] + from[i] * 1e-9; /* rounds back */
    return room;
}

/* Small whole numbers, as bytes of the dtype. */
static const void *as_i8(int tensor)
{
    int8_t *to = (int8_t *)(void *)room;
    for (size_t i = 0; i < sizeof room; i++)
        to[i] = (int8_t)((int)(i * 7 + (size_t)tensor) % 5 - 2);
    return room;
}

/* 0, 0.5, 1, 1.5, -2 in e4m3: 1.mantissa · 2^(e - 7) */
static const uint8_t e4m3[5] = {0x00, 0x30, 0x38, 0x3C, 0xC0};
static const float e4m3_values[5] = {0, 0.5f, 1, 1.5f, -2};

static const void *as_e4m3(int tensor)
{
    for (size_t i = 0; i < sizeof room; i++)
        ((uint8_t *)room)[i] = e4m3[(i * 3 + (size_t)tensor) % 5];
    return room;
}

TEST(weights_in_other_dtypes)
{
    files f = files_of("llama", false);
    written = &f;
    write_files(&f, test_dir(), 0);
    write_as(&f, "F64", 8, as_f64);
    check_loads_saying(&f, test_dir(), 1);
    CHECK(strstr(heard.all, "tensors of f64: rounded to f32"));
    for (int kind = 0; kind < 2; kind++) {
        write_as(&f, kind ? "F8_E4M3" : "I8", 1, kind ? as_e4m3 : as_i8);
        gr_model *m = gr_model_load(test_dir(), NULL, f.device);
        CHECK_MADE(m);
        for (int k = 0; k < f.n; k++) {
            float *is = gr_alloc(f.t[k].bytes);
            CHECK_OK(gr_store_read(gr_model_store(m), f.t[k].name, is, f.t[k].bytes));
            const int8_t *bytes = kind ? as_e4m3(k) : as_i8(k);
            for (size_t i = 0; i < f.t[k].bytes / sizeof *is; i++)
                CHECK(is[i] == (kind ? e4m3_values[(i * 3 + (size_t)k) % 5] : (float)bytes[i]));
            gr_free(is);
        }
        gr_model_free(m);
    }
    free_files(&f);
}

static const void *as_too_large(int tensor)
{
    double *to = (double *)(void *)room;
    for (size_t i = 0; i < sizeof room / sizeof *to; i++)
        to[i] = tensor == 1 && i == 3 ? 1e39 : 0;
    return room;
}

TEST(numbers_that_cannot_be)
{
    files f = files_of("llama", false);
    write_files(&f, test_dir(), 0);
    write_as(&f, "F64", 8, as_too_large);
    CHECK(!gr_model_load(test_dir(), NULL, f.device));
    CHECK_ERROR(GR_ERR_NUMBER, f.t[1].name);
    CHECK(strstr(gr_error(), "value 3, 1e+39, is too large for f32"));
    write_as(&f, "C64", 8, as_too_large);
    check_refused(&f, test_dir(), "is of C64, which no model here runs in");
    add(&f, "model.layers.0.mlp.up_proj.weight_scale_inv", "model.norm.weight");
    write_as(&f, "F8_E4M3", 1, as_e4m3);
    CHECK(!gr_model_load(test_dir(), NULL, f.device));
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "quantized weights are not supported");
    CHECK(strstr(gr_error(), "\"model.layers.0.mlp.up_proj.weight_scale_inv\" beside it"));
    free_files(&f);
}

/* ---- directories -------------------------------------------------------------------------------------------- */

TEST(pointers_of_git_lfs)
{
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:"
                                  "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    static const char *const names[] = {"config.json", "model.safetensors", "model.safetensors.index.json",
                                        "model-00002-of-00002.safetensors"};
    files f = files_of("llama", false);
    for (int i = 0; i < 4; i++) {
        CHECK_OK(gr_dir_remove(test_dir()));
        write_files(&f, test_dir(), i < 2 ? 0 : 7000);
        const char *path = test_join(test_dir(), names[i]);
        CHECK(gr_path_is_file(path));
        CHECK_OK(gr_file_write(path, pointer, strlen(pointer)));
        check_refused(&f, test_dir(), "a Git LFS pointer in place of the file, which has 12345 bytes");
        CHECK(strstr(gr_error(), names[i]));
        check_hint("git lfs pull");
    }
    free_files(&f);
}

/* Both kinds of weights, Meta's beside them, a cache's links, nothing that may be written. */
TEST(directories_of_the_hub)
{
    files f = files_of("llama", false);
    const char *dir = test_join(test_dir(), "shards");
    write_files(&f, dir, 1000);
    check_loads(&f, dir);
    CHECK_OK(gr_file_write(test_join(dir, "consolidated.safetensors"), "x", 1));
    CHECK_OK(gr_file_write(test_join(dir, "pytorch_model.bin"), "x", 1));
    check_loads(&f, dir);
    write_files(&f, dir, 0); /* the single file wins */
    check_loads(&f, dir);

    const char *cache = test_join(test_dir(), "models--a--b");
    char snapshot[1024];
    snprintf(snapshot, sizeof snapshot, "%s/snapshots/123", cache);
    write_files(&f, test_join(cache, "blobs"), 0);
    CHECK_OK(gr_dir_make(snapshot));
    CHECK(symlink("../../blobs/config.json", test_join(snapshot, "config.json")) == 0);
    CHECK(symlink("../../blobs/model.safetensors", test_join(snapshot, "model.safetensors")) == 0);
    CHECK(chmod(snapshot, 0555) == 0);
    check_loads(&f, snapshot);
    CHECK(chmod(snapshot, 0755) == 0);
    check_refused(&f, cache, "no model, but a cache of them");
    free_files(&f);
}

TEST(what_is_no_model_directory)
{
    files f = files_of("llama", false);
    check_refused(&f, test_join(test_dir(), "absent"),
                  "absent: No such file or directory\ngive a directory with a config.json");
    check_refused(&f, test_dir(), "/config.json: No such file or directory\ngive a directory with");
    CHECK_OK(gr_file_write(test_join(test_dir(), "params.json"), "{}", 2));
    check_refused(&f, test_dir(), "the first release of LLaMA");
    write_files(&f, test_dir(), 0);
    CHECK_OK(gr_dir_remove(test_join(test_dir(), "model.safetensors")));
    CHECK_OK(gr_file_write(test_join(test_dir(), "model.gguf"), "x", 1));
    check_refused(&f, test_dir(), "in this directory, but model.gguf");
    CHECK_OK(gr_file_write(test_join(test_dir(), "pytorch_model.bin"), "x", 1));
    check_refused(&f, test_dir(), "pytorch_model.bin: no file of torch.save");
    free_files(&f);
}

/* Every path that reading names, heads and dtypes takes, without memory at each place. */
typedef struct loading {
    gr_device *device;
    const char *dir;
} loading;

static gr_status load_again(void *ctx)
{
    loading *l = ctx;
    gr_model *m = gr_model_load(l->dir, NULL, l->device);
    gr_model_free(m);
    return m ? GR_OK : gr_error_status();
}

TEST(failing_allocations)
{
    files f = files_of("llama", true);
    written = &f;
    float *head = add(&f, "lm_head.weight", "model.embed_tokens.weight");
    head[3] = 7;
    add(&f, "model.extra", "model.norm.weight");
    write_files(&f, test_dir(), 0);
    rename_all(&f, "module._orig_mod.", "module.");
    write_as(&f, "F64", 8, as_f64);
    loading l = {f.device, test_dir()};
    CHECK(SWEEP_ALLOCATIONS(load_again, &l) > 60);
    free_files(&f);
    f = files_of("gpt2", true);
    f.t[find(&f, "transformer.wte.weight")].name = "lm_head.weight";
    write_files(&f, test_dir(), 0);
    l.device = f.device;
    CHECK(SWEEP_ALLOCATIONS(load_again, &l) > 60);
    free_files(&f);
}
