/* Tokens that a model did not know: its tables grow, and an adapter brings them along (with peft and transformers:
 * tools/oracle/check_added_tokens.py). */
#include "tiny.h"

typedef struct grown {
    gr_device *device;
    gr_model *model;
    int64_t vocab;
} grown;

static float table_at(gr_model *m, const char *name, int64_t row, int64_t column)
{
    gr_entry e = GR_INIT(gr_entry);
    CHECK_OK(gr_store_entry(gr_model_store(m), gr_store_find(gr_model_store(m), name), &e));
    float *data = gr_alloc(e.bytes);
    CHECK_OK(gr_store_read(gr_model_store(m), name, data, e.bytes));
    float x = data[row * e.shape[1] + column];
    gr_free(data);
    return x;
}

static void check_mean(gr_model *m, const char *name, int64_t before, int64_t row)
{
    for (int64_t c = 0; c < 8; c++) {
        double mean = 0;
        for (int64_t r = 0; r < before; r++)
            mean += table_at(m, name, r, c) / (double)before;
        CHECK_NEAR(table_at(m, name, row, c), mean, 1e-6);
    }
}

/* The old tokens' logits are what they were; the new rows are the mean, of rows that are there and of rows that are not. */
TEST(tokens_that_are_added)
{
    static const char *const archs[][3] = {{"llama", "model.embed_tokens.weight", "lm_head.weight"},
                                           {"gpt2", "transformer.wte.weight", "transformer.wte.weight"}};
    for (size_t i = 0; i < 2; i++) {
        grown g = {.device = gr_device_open("cpu", 1), .vocab = TINY_VOCAB};
        g.model = tiny_model(archs[i][0], g.device);
        float *was = tiny_logits(g.model);
        gr_token ids[] = {TINY_VOCAB, TINY_VOCAB + 1};
        int64_t parameters = gr_model_describe(g.model)->parameters;
        CHECK_OK(gr_model_add_tokens(g.model, ids, 2));
        g.vocab += 2;
        CHECK_EQ_INT(gr_model_describe(g.model)->vocab, g.vocab);
        CHECK(strstr(gr_model_describe(g.model)->config, "\"vocab_size\": 33"));
        CHECK_EQ_INT(gr_model_describe(g.model)->parameters, parameters + (i == 0 ? 4 : 2) * 8);
        float *is = tiny_logits(g.model);
        for (int r = 0; r < 8; r++)
            for (int v = 0; v < TINY_VOCAB; v++)
                CHECK_NEAR(is[r * g.vocab + v], was[r * TINY_VOCAB + v], 1e-6);
        for (int k = 1; k < 3; k++)
            for (int t = 0; t < 2; t++)
                check_mean(g.model, archs[i][k], TINY_VOCAB, ids[t]);
        CHECK_OK(gr_model_add_tokens(g.model, (gr_token[]){20}, 1)); /* a row that is there */
        check_mean(g.model, archs[i][1], 20, 20);
        CHECK_EQ_INT(gr_model_describe(g.model)->vocab, g.vocab);
        CHECK_STATUS(gr_model_add_tokens(g.model, (gr_token[]){0}, 1), GR_ERR_ARGUMENT);
        gr_free(was);
        gr_free(is);
        gr_model_free(g.model);
        gr_device_close(g.device);
    }
}

/* What an adapter has of tokens that its base does not know, the base gets when it is put on; after a failure it is as it was. */
static void check_grown(const char *arch, gr_lora_options o)
{
    gr_device *device = gr_device_open("cpu", 1);
    char dir[300];
    snprintf(dir, sizeof dir, "%s", test_join(test_dir(), "grown"));
    grown g = {.device = device, .vocab = TINY_VOCAB + 2};
    gr_model *fresh = tiny_model(arch, device), *bad = tiny_model(arch, device);
    g.model = tiny_model(arch, device);
    CHECK_OK(gr_model_add_tokens(g.model, (gr_token[]){TINY_VOCAB, TINY_VOCAB + 1}, 2));
    CHECK_OK(gr_model_add_adapter(g.model, &o));
    CHECK_STATUS(gr_model_add_tokens(g.model, (gr_token[]){TINY_VOCAB}, 1), GR_ERR_ARGUMENT);
    float *logits[3] = {tiny_logits(g.model)};
    CHECK_OK(gr_model_save_adapter(g.model, dir));
    gr_model_free(g.model);
    g.model = fresh;
    CHECK_OK(gr_model_load_adapter(fresh, dir));
    CHECK_EQ_INT(gr_model_describe(fresh)->vocab, g.vocab);
    logits[1] = tiny_logits(g.model);
    CHECK_OK(gr_model_merge_adapter(fresh));
    logits[2] = tiny_logits(g.model);
    for (int i = 1; i < 3; i++)
        for (int k = 0; k < 8 * g.vocab; k++)
            CHECK_NEAR(logits[i][k], logits[0][k], 1e-5);
    CHECK_OK(gr_model_save(fresh, test_join(test_dir(), "whole"), NULL, NULL));
    CHECK_OK(gr_file_write(test_join(dir, "adapter_model.safetensors"), "x", 1));
    CHECK(gr_model_load_adapter(bad, dir) != GR_OK);
    CHECK_EQ_INT(gr_model_describe(bad)->vocab, TINY_VOCAB);
    CHECK(strstr(gr_model_describe(bad)->config, "\"vocab_size\": 31"));
    gr_dir_remove(dir);
    gr_dir_remove(test_join(test_dir(), "whole"));
    for (int i = 0; i < 3; i++)
        gr_free(logits[i]);
    gr_model_free(fresh);
    gr_model_free(bad);
    gr_device_close(device);
}

TEST(adapters_of_added_tokens)
{
    gr_lora_options o = GR_INIT(gr_lora_options);
    gr_token tokens[] = {TINY_VOCAB, TINY_VOCAB + 1};
    o.tokens = tokens;
    o.n_tokens = 2;
    o.head_tokens = true;
    check_grown("gpt2", o);
    check_grown("llama", o);
    check_grown("gemma3_text", o);
    o = (gr_lora_options)GR_INIT(gr_lora_options);
    o.modules_to_save = (const char *const[]){"embed_tokens", "lm_head"};
    o.n_modules_to_save = 2;
    check_grown("llama", o);
}

static gr_status grown_life(void *ctx)
{
    gr_model *m = tiny_model("llama", ctx);
    gr_status s = m ? gr_model_add_tokens(m, (gr_token[]){3, TINY_VOCAB}, 2) : gr_error_status();
    gr_model_free(m);
    return s;
}

TEST(memory_that_fails)
{
    gr_device *device = gr_device_open("ref", 1);
    CHECK_OK(grown_life(device)); /* what the device keeps is taken now */
    CHECK(SWEEP_ALLOCATIONS(grown_life, device) > 20);
    gr_device_close(device);
}
