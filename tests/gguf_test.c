/* GGUF files: what they say of a model is what transformers says of it; files that lie are told, by what and where. */
#include "test.h"

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
