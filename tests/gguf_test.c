/* GGUF files: what they say of a model is what transformers says of it; files that lie are told, by what and where. */
#include "gguf_file.h"

#include "format/gguf.h"
#include "format/safetensors.h"
#include "format/weights.h"
#include "program/run.h"

/* ---- files of other programs -------------------------------------------------------------------------------- */

static const gr_weight *expected(const gr_safetensors *st, const char *name)
{
    const gr_weight *t = gr_safetensors_find(st, name);
    if (!t)
        FAIL("expected.safetensors has no %s", name);
    return t;
}

static int64_t i64_at(const gr_weight *t, int64_t i)
{
    int64_t x;
    memcpy(&x, (const char *)t->data + 8 * i, 8);
    return x;
}

static float *logits_of(gr_model *m, const gr_weight *ids)
{
    int64_t n = ids->shape[0] * ids->shape[1], vocab = gr_model_describe(m)->vocab;
    gr_token *tokens = malloc((size_t)n * sizeof *tokens);
    float *out = malloc((size_t)(n * vocab) * sizeof *out);
    for (int64_t i = 0; i < n; i++)
        tokens[i] = (gr_token)i64_at(ids, i);
    gr_graph *g = gr_graph_new();
    gr_forward f = {.size = sizeof f, .tokens = gr_input(g, "tokens", GR_I32, 2, ids->shape)};
    gr_tensor *logits = gr_model_forward(m, &f);
    gr_program *p = gr_compile(g, &logits, 1, gr_model_describe(m)->device, NULL);
    CHECK_MADE(p);
    CHECK_OK(gr_program_run(p, (const void *[]){tokens}, (void *[]){out}));
    gr_program_free(p);
    gr_graph_free(g);
    free(tokens);
    return out;
}

/* The first tokens of each row are given, the others must be made. */
static void check_greedy(gr_model *m, const gr_weight *greedy)
{
    enum { PROMPT = 8 };
    int64_t length = greedy->shape[1];
    float *logits = malloc((size_t)gr_model_describe(m)->vocab * sizeof *logits);
    for (int64_t row = 0; row < greedy->shape[0]; row++) {
        gr_generator *g = gr_generator_new(m, 1, length);
        CHECK_MADE(g);
        for (int64_t i = 0; i < length; i++) {
            gr_token id = (gr_token)i64_at(greedy, row * length + i);
            const gr_token *tokens[] = {&id};
            if (i >= PROMPT)
                CHECK_EQ_INT(gr_sample_token(NULL, logits, gr_model_describe(m)->vocab, NULL, 0, 0), id);
            CHECK_OK(gr_generator_feed(g, tokens, (int64_t[]){1}, logits));
        }
        gr_generator_free(g);
    }
    free(logits);
}

static void check_numbers(const char *path, const char *expected_path, bool widen)
{
    gr_device *d = gr_device_open("cpu", 0);
    gr_load_options o = {.size = sizeof o, .widen = widen};
    gr_model *m = gr_model_load(path, &o, d);
    CHECK_MADE(m);
    gr_safetensors *st = gr_safetensors_open(expected_path);
    CHECK_MADE(st);
    const gr_weight *ids = expected(st, "ids"), *logits = expected(st, "logits");
    float *is = logits_of(m, ids), must;
    double worst = 0;
    for (size_t i = 0; i < logits->bytes / 4; i++) {
        memcpy(&must, (const char *)logits->data + 4 * i, 4);
        CHECK_NEAR(is[i], must, 2e-5);
        worst = fmax(worst, fabs((double)(is[i] - must)));
    }
    check_greedy(m, expected(st, "greedy"));
    printf("%s%s: %.2g apart\n", path, widen ? ", widened" : "", worst);
    free(is);
    gr_safetensors_close(st);
    gr_model_free(m);
    gr_device_close(d);
}

TEST(other_programs)
{
    char folder[700], file[1000], expect[1000], **names;
    size_t count;
    snprintf(folder, sizeof folder, "%s", test_shared("data/gguf"));
    CHECK_OK(gr_dir_list(folder, &names, &count));
    for (size_t i = 0; i < count; i++) {
        NOTE("%s", names[i]);
        snprintf(file, sizeof file, "%s/%s/model.gguf", folder, names[i]);
        snprintf(expect, sizeof expect, "%s/%s/expected.safetensors", folder, names[i]);
        if (!gr_path_is_file(file))
            continue;
        check_numbers(file, expect, false);
        check_numbers(file, expect, true);
    }
    gr_names_free(names, count);
}

/* Models that llama.cpp's converter wrote, and what transformers makes of them (tools/oracle/make_gguf.py). */
TEST(converted)
{
    char folder[700], expect[1000], **names;
    size_t count, n = 0;
    snprintf(folder, sizeof folder, "%s", test_source("tests/data/gguf"));
    CHECK_OK(gr_dir_list(folder, &names, &count));
    for (size_t i = 0; i < count; i++) {
        if (!gr_gguf_is_name(names[i]))
            continue;
        NOTE("%s", names[i]);
        snprintf(expect, sizeof expect, "%s/%.*s.safetensors", folder, (int)(strlen(names[i]) - 5), names[i]);
        check_numbers(test_join(folder, names[i]), expect, false);
        check_numbers(test_join(folder, names[i]), expect, true);
        n++;
    }
    CHECK(n >= 13);
    gr_names_free(names, count);
}

/* ---- memory that cannot be had ------------------------------------------------------------------------------ */

static gr_status load_model(void *ctx)
{
    gr_model *m = gr_model_load(test_source("tests/data/gguf/llama-llama3.gguf"), NULL, ctx);
    gr_status s = m ? GR_OK : gr_error_status();
    gr_model_free(m);
    return s;
}

TEST(model_allocations)
{
    gr_device *d = gr_device_open("ref", 1);
    CHECK(SWEEP_ALLOCATIONS(load_model, d) > 50);
    gr_device_close(d);
}

static gr_status load_tokenizer(void *path)
{
    gr_tokenizer *t = gr_tokenizer_load(path);
    gr_status s = t ? GR_OK : gr_error_status();
    gr_tokenizer_free(t);
    return s;
}

/* A file with a tokenizer of the kind, which is enough of a file for that. */
static const char *tokenizer_file(const char *kind)
{
    static const char *const tokens[] = {"<unk>", "<s>", "</s>", "a", "b", "\xE2\x96\x81", "ab", "<0x0A>"};
    static const int32_t types[] = {2, 3, 3, 1, 1, 1, 4, 6};
    static const float scores[] = {0, 0, 0, -2, -3, -4, -1, 0};
    gguf_file f = gguf_new();
    gguf_text(&f, "tokenizer.ggml.model", kind);
    gguf_text(&f, "tokenizer.ggml.pre", "gpt-2");
    gguf_texts(&f, "tokenizer.ggml.tokens", tokens, 8);
    gguf_i32s(&f, "tokenizer.ggml.token_type", types, 8);
    gguf_f32s(&f, "tokenizer.ggml.scores", scores, 8);
    gguf_texts(&f, "tokenizer.ggml.merges", (const char *const[]){"a b"}, 1);
    gguf_u32(&f, "tokenizer.ggml.bos_token_id", 1);
    gguf_u32(&f, "tokenizer.ggml.eos_token_id", 2);
    gguf_bool(&f, "tokenizer.ggml.add_bos_token", true);
    gguf_bool(&f, "tokenizer.ggml.add_eos_token", true);
    gguf_text(&f, "tokenizer.chat_template", "{{ messages }}");
    gguf_text(&f, "tokenizer.chat_template.tool_use", "{{ tools }}");
    const char *path = gguf_write(&f, "tokens.gguf");
    gguf_free(&f);
    return path;
}

TEST(tokenizer_allocations)
{
    static const char *const kinds[] = {"gpt2", "llama", "t5"};
    for (size_t i = 0; i < 3; i++) {
        const char *path = tokenizer_file(kinds[i]);
        CHECK(SWEEP_ALLOCATIONS(load_tokenizer, (void *)(uintptr_t)path) > 20);
    }
}

/* ---- tokenizers --------------------------------------------------------------------------------------------- */

static void check_ids(gr_tokenizer *t, const char *text, unsigned flags, const gr_token *must, size_t n_must)
{
    const gr_token *ids;
    size_t n;
    NOTE("%s", text);
    CHECK_OK(gr_tokenizer_encode(t, text, strlen(text), flags, &ids, &n));
    CHECK_EQ_INT(n, n_must);
    for (size_t i = 0; i < n; i++)
        CHECK_EQ_INT(ids[i], must[i]);
}

TEST(kinds_of_tokenizers)
{
    gr_tokenizer *t = gr_tokenizer_load(tokenizer_file("gpt2"));
    CHECK_MADE(t);
    check_ids(t, "ba", GR_ADD_SPECIAL, (gr_token[]){1, 4, 3, 2}, 4);
    check_ids(t, "<s>ab", GR_PARSE_SPECIAL, (gr_token[]){1, 6}, 2);
    CHECK_EQ_INT(gr_tokenizer_describe(t)->bos, 1);
    CHECK_EQ_INT(gr_tokenizer_describe(t)->eos, 2);
    gr_tokenizer_free(t);
    t = gr_tokenizer_load(tokenizer_file("llama"));
    CHECK_MADE(t);
    check_ids(t, "ba\n", GR_ADD_SPECIAL, (gr_token[]){1, 5, 4, 3, 7, 2}, 6);
    gr_tokenizer_free(t);
    t = gr_tokenizer_load(tokenizer_file("t5"));
    CHECK_MADE(t);
    check_ids(t, "ba", GR_ADD_SPECIAL, (gr_token[]){1, 4, 3, 2}, 4);
    gr_tokenizer_free(t);
}
