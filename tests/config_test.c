/* config.json: what every architecture reads, refuses and remarks on; activations and rotary settings against what
 * transformers computes (tests/data, made by tools/oracle/make_models.py). */
#include "tiny.h"

#include "base/json.h"
#include "format/safetensors.h"
#include "model/arch/list.h"
#include "model/layers/nn.h"
#include "program/run.h"

/* ---- reading ------------------------------------------------------------------------------------------------ */

static struct {
    int warnings;
    char last[400];
} heard;

static void on_log(void *user, gr_log_level level, const char *message)
{
    (void)user;
    if (level == GR_LOG_WARN)
        heard.warnings++;
    snprintf(heard.last, sizeof heard.last, "%s", message);
}

/* A small model of this type with one more key, or another value for one it has; NULL and an error where it is refused. */
static gr_model *model_with(gr_device *device, const char *type, const char *key, const char *value)
{
    gr_model_info info = tiny_info(type, false);
    char *plain = gr_model_config_json(&info), text[4096];
    CHECK_MADE(plain);
    snprintf(text, sizeof text, "{\"%s\": %s}", key, value);
    gr_json_doc *doc = gr_json_parse("config.json", plain, strlen(plain)),
                *more = gr_json_parse("more", text, strlen(text));
    CHECK_MADE(doc);
    CHECK_MADE(more);
    gr_json_put_copy(gr_json_root(doc), key, gr_json_get(gr_json_root(more), key));
    char *config = gr_json_format(doc, true, NULL);
    heard.warnings = 0;
    gr_model *m = gr_model_new("config.json", config, strlen(config), device);
    gr_json_free(doc);
    gr_json_free(more);
    gr_free(plain);
    gr_free(config);
    return m;
}

static void refused(gr_device *device, const char *type, const char *key, const char *value)
{
    NOTE("%s, %s: %s", type, key, value);
    CHECK(!model_with(device, type, key, value));
    CHECK_ERROR(GR_ERR_FILE, key);
}

static void accepted(gr_device *device, const char *type, const char *key, const char *value, int warnings)
{
    NOTE("%s, %s: %s", type, key, value);
    gr_model *m = model_with(device, type, key, value);
    CHECK_MADE(m);
    CHECK_EQ_INT(heard.warnings, warnings);
    gr_model_free(m);
}

#define ADDRESS(type) &gr_arch_##type,
static const gr_arch *const archs[] = {GR_ARCHS(ADDRESS)};
enum { N_ARCHS = sizeof archs / sizeof archs[0] };

static gr_device *open_device(void)
{
    gr_set_log(on_log, NULL);
    return gr_device_open("ref", 1);
}

static void close_device(gr_device *device)
{
    gr_set_log(NULL, NULL);
    gr_device_close(device);
}

/* A key that a record lists is one that its architecture looks at: nonsense there is an error that names it. */
TEST(every_key_is_read)
{
    gr_device *device = open_device();
    for (int a = 0; a < N_ARCHS; a++)
        for (int i = 0; archs[a]->keys[i]; i++)
            for (const char *at = archs[a]->keys[i]; *at;) {
                char key[64];
                int n = (int)strcspn(at, " ");
                snprintf(key, sizeof key, "%.*s", n, at);
                at += n + (at[n] == ' ');
                if (strcmp(key, "original_max_position_embeddings") != 0) /* of some rotary kinds only */
                    refused(device, archs[a]->model_type, key, "[[\"nonsense\"]]");
            }
    close_device(device);
}

/* What changes numbers and is not supported, is refused; at the value at which it does nothing, it is fine. */
TEST(dangerous_keys)
{
    gr_device *device = open_device();
    const char *bad[][2] = {
        {"quantization_config", "{\"bits\": 4}"}, {"quantization", "{\"bits\": 8}"}, {"is_causal", "false"}};
    /* What transformers' classes do not read: the logits are the same with it and without (check_keys.py). */
    const char *foreign[][2] = {{"logit_scale", "0.25"},
                                {"embedding_multiplier", "12"},
                                {"num_local_experts", "8"},
                                {"use_parallel_residual", "true"},
                                {"alibi", "true"},
                                {"clip_qkv", "8"},
                                {"is_encoder_decoder", "true"},
                                {"add_cross_attention", "true"},
                                {"qkv_bias", "true"},
                                {"rotary_pct", "0.25"}};
    const char *fine[][2] = {
        {"quantization_config", "null"}, {"attn_logit_softcapping", "null"}, {"logit_scale", "1.0"},
        {"num_local_experts", "0"},      {"use_parallel_residual", "false"}, {"clip_qkv", "null"},
        {"use_cache", "false"},          {"torch_dtype", "\"bfloat16\""},    {"attn_pdrop", "0.1"},
        {"_name_or_path", "\"x\""},      {"task_specific_params", "{}"}};
    for (int a = 0; a < N_ARCHS; a++) {
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
            refused(device, archs[a]->model_type, bad[i][0], bad[i][1]);
        for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++)
            accepted(device, archs[a]->model_type, fine[i][0], fine[i][1], 0);
        for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
            accepted(device, archs[a]->model_type, foreign[i][0], foreign[i][1], 1);
            CHECK(strstr(heard.last, "of other architectures") && strstr(heard.last, foreign[i][0]));
        }
        accepted(device, archs[a]->model_type, "frobnication", "3", 1);
        CHECK(strstr(heard.last, "frobnication"));
        accepted(device, archs[a]->model_type, "max_length min_length", "3", 1); /* no key of its own */
    }
    close_device(device);
}

/* Keys that some classes read: the others leave them alone. */
TEST(keys_of_some_architectures)
{
    gr_device *device = open_device();
    const char *other[][3] = {{"llama", "sliding_window", "8"},
                              {"llama", "use_sliding_window", "true"},
                              {"llama", "layer_types", "[\"full_attention\", \"sliding_attention\"]"},
                              {"llama", "partial_rotary_factor", "0.5"},
                              {"llama", "rope_scaling", "{\"type\": \"default\", \"mrope_section\": [2, 2]}"},
                              {"llama", "use_bidirectional_attention", "true"},
                              {"llama", "attn_logit_softcapping", "50.0"},
                              {"olmo2", "sliding_window", "8"},
                              {"mistral", "layer_types", "[\"full_attention\", \"sliding_attention\"]"},
                              {"mistral", "attention_bias", "true"},
                              {"phi3", "mlp_bias", "true"},
                              {"qwen2", "rope_local_base_freq", "100"},
                              {"gpt2", "sliding_window", "8"},
                              {"gpt2", "attention_bias", "true"}};
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        accepted(device, other[i][0], other[i][1], other[i][2], 1);
    accepted(device, "llama", "layer_types", "[\"full_attention\", \"full_attention\"]", 0);
    accepted(device, "olmo2", "layer_types", "[]", 0);
    accepted(device, "qwen3", "layer_types", "[\"attention\", \"full_attention\"]", 0);
    refused(device, "gemma3_text", "use_bidirectional_attention", "true");
    accepted(device, "gemma3_text", "attn_logit_softcapping", "50.0", 1); /* its class has it, and does not use it */
    refused(device, "llama", "rope_parameters",
            "{\"rope_type\": \"linear\", \"factor\": 2, \"partial_rotary_factor\": 0.5}");
    close_device(device);
}

TEST(values_out_of_range)
{
    gr_device *device = open_device();
    const char *bad[][3] = {
        {"llama", "num_key_value_heads", "3"},
        {"llama", "hidden_size", "-8"},
        {"llama", "rms_norm_eps", "\"small\""},
        {"llama", "hidden_act", "\"prelu\""},
        {"llama", "head_dim", "3"},
        {"llama", "pad_token_id", "31"},
        {"qwen3", "layer_types", "[\"full_attention\"]"},
        {"llama", "rope_scaling", "{\"rope_type\": \"spiral\", \"factor\": 2.0}"},
        {"llama", "rope_scaling", "{\"rope_type\": \"linear\"}"},
        {"llama", "rope_scaling", "{\"type\": \"linear\", \"factor\": 0}"},
        {"llama", "rope_scaling", "\"linear\""},
        {"llama", "rope_scaling",
         "{\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, \"high_freq_factor\": 4}"},
        {"llama", "rope_scaling", "{\"rope_type\": \"longrope\", \"short_factor\": [1], \"long_factor\": [1, 2]}"},
        {"llama", "rope_parameters", "{\"full_attention\": {\"rope_type\": \"default\"}}"},
        {"gemma3_text", "rope_parameters", "{\"rope_type\": \"default\"}"},
        {"gemma3_text", "sliding_window", "null"},
        {"gemma3_text", "rope_scaling", "{\"rope_type\": \"linear\", \"factor\": 8}"},
        {"phi3", "rope_scaling", "{\"type\": \"linear\", \"factor\": 2}"},
        {"mistral", "sliding_window", "0"},
        {"qwen2", "layer_types", "[\"sliding_attention\", \"full_attention\"]"},
        {"gpt2", "n_head", "3"},
        {"gpt2", "activation_function", "\"softplus\""}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        refused(device, bad[i][0], bad[i][1], bad[i][2]);
        CHECK_EQ_INT(heard.warnings, 0);
    }
    accepted(device, "llama", "rope_scaling", "{\"type\": \"linear\", \"factor\": 2, \"beta_fast\": 3}", 1);
    accepted(device, "mistral", "sliding_window", "null", 0);
    CHECK(!model_with(device, "llama", "model_type", "\"mamba\""));
    for (int a = 0; a < N_ARCHS; a++)
        CHECK_ERROR(GR_ERR_FILE, archs[a]->model_type);
    CHECK(!model_with(device, "llama", "hidden_act", "\"xielu\""));
    CHECK_ERROR(GR_ERR_FILE, "quick_gelu"); /* names what there is */
    close_device(device);
}

/* ---- windows ------------------------------------------------------------------------------------------------ */

static void windows_are(gr_device *device, const char *type, const char *key, const char *value, int64_t first,
                        int64_t second)
{
    NOTE("%s, %s: %s", type, key, value);
    gr_model *m = model_with(device, type, key, value);
    CHECK_MADE(m);
    CHECK_EQ_INT(gr_model_window(m, 0), first);
    CHECK_EQ_INT(gr_model_window(m, 1), second);
    gr_model_free(m);
}

TEST(a_model_takes_no_more_than_its_layers_need)
{
    gr_device *device = gr_device_open("cpu", 1);
    CHECK_MADE(device);
    int64_t before = gr_mem_read_stats().live_bytes;
    gr_model *m = tiny_model("gpt2", device);
    CHECK_MADE(m);
    int64_t bytes = gr_mem_read_stats().live_bytes - before;
    NOTE("%lld bytes", (long long)bytes);
    CHECK(bytes > 0 && bytes < 64 << 10);
    gr_model_free(m);
    CHECK_EQ_INT(gr_mem_read_stats().live_bytes, before);
    gr_device_close(device);
}

TEST(windows_by_layer)
{
    gr_device *device = open_device();
    windows_are(device, "gpt2", "use_cache", "true", 0, 0);
    windows_are(device, "mistral", "sliding_window", "7", 7, 7);
    windows_are(device, "mistral", "sliding_window", "null", 0, 0);
    windows_are(device, "qwen2", "sliding_window", "7", 0, 0);        /* not in use */
    windows_are(device, "qwen2", "use_sliding_window", "true", 0, 0); /* from layer 28 on */
    windows_are(device, "gemma3_text", "sliding_window", "9", 9, 9);
    windows_are(device, "gemma3_text", "sliding_window_pattern", "2", 512, 0);
    windows_are(device, "gemma3_text", "layer_types", "[\"full_attention\", \"sliding_attention\"]", 0, 512);
    close_device(device);
}

/* ---- beyond the context ------------------------------------------------------------------------------------- */

static gr_status forward_status(gr_model *m, int64_t t)
{
    gr_graph *g = gr_graph_new();
    gr_forward f = {.size = sizeof f, .tokens = gr_input(g, "tokens", GR_I32, 2, (int64_t[]){1, t})};
    gr_status s = gr_model_forward(m, &f) ? GR_OK : gr_error_status();
    gr_graph_free(g);
    return s;
}

/* Learned positions end; rotary ones go on, with a remark. */
TEST(beyond_the_context)
{
    gr_device *device = open_device();
    for (int a = 0; a < N_ARCHS; a++) {
        NOTE("%s", archs[a]->model_type);
        gr_model *m = tiny_model(archs[a]->model_type, device);
        CHECK_MADE(m);
        bool learned = strcmp(archs[a]->model_type, "gpt2") == 0;
        CHECK_EQ_INT(gr_model_describe(m)->limit, learned ? TINY_CONTEXT : 0);
        heard.warnings = 0;
        CHECK_OK(forward_status(m, TINY_CONTEXT));
        CHECK_EQ_INT(heard.warnings, 0);
        CHECK_STATUS(forward_status(m, TINY_CONTEXT + 1), learned ? GR_ERR_ARGUMENT : GR_OK);
        CHECK_EQ_INT(heard.warnings, !learned);
        gr_model_free(m);
    }
    close_device(device);
}

/* Two sequences on both sides of where frequencies change, side by side and alone. */
TEST(length_of_each_sequence)
{
    gr_device *device = open_device();
    gr_model *m = model_with(device, "llama", "rope_scaling", "{\"rope_type\": \"dynamic\", \"factor\": 3}");
    CHECK_MADE(m);
    CHECK_OK(gr_model_init(m, 5));
    enum { MOST = 30 };
    gr_generator *both = gr_generator_new(m, 2, MOST), *one = gr_generator_new(m, 1, MOST);
    CHECK_MADE(both);
    CHECK_MADE(one);
    gr_token a[MOST], b[MOST];
    for (int i = 0; i < MOST; i++) {
        a[i] = (i * 7 + 3) % TINY_VOCAB;
        b[i] = (i * 5 + 1) % TINY_VOCAB;
    }
    float pair[2][TINY_VOCAB], alone[TINY_VOCAB];
    CHECK_OK(gr_generator_feed(both, (const gr_token *[]){a, b}, (int64_t[]){20, 5}, pair[0]));
    CHECK_OK(gr_generator_feed(both, (const gr_token *[]){a + 20, b + 5}, (int64_t[]){1, 1}, pair[0]));
    for (int row = 0; row < 2; row++) {
        const gr_token *ids = row ? b : a;
        int64_t n = row ? 5 : 20, more = 1;
        CHECK_OK(gr_generator_reset(one));
        CHECK_OK(gr_generator_feed(one, &ids, &n, alone));
        ids += n;
        CHECK_OK(gr_generator_feed(one, &ids, &more, alone));
        for (int i = 0; i < TINY_VOCAB; i++)
            CHECK_NEAR(pair[row][i], alone[i], 1e-6);
    }
    gr_generator_free(both);
    gr_generator_free(one);
    gr_model_free(m);
    close_device(device);
}

/* ---- parts against transformers ----------------------------------------------------------------------------- */

static const float *floats(const gr_safetensors *file, const char *kind, const char *name, int64_t n)
{
    char full[64];
    snprintf(full, sizeof full, "%s%s", kind, name);
    const gr_weight *t = gr_safetensors_find(file, full);
    CHECK_MADE(t);
    CHECK_EQ_INT((int64_t)(t->bytes / 4), n);
    return (const float *)(const void *)t->data;
}

static void check_activation(gr_device *device, const gr_safetensors *file, const char *name, int64_t n)
{
    NOTE("%s", name);
    char config[64];
    snprintf(config, sizeof config, "{\"hidden_act\": \"%s\"}", name);
    gr_json_doc *doc = gr_json_parse("config.json", config, strlen(config));
    gr_tensor *(*f)(gr_tensor *) = gr_nn_activation(gr_json_root(doc), "hidden_act", "silu");
    CHECK_OK(gr_json_check(doc));
    gr_json_free(doc);
    gr_graph *g = gr_graph_new();
    gr_tensor *x = gr_input(g, "x", GR_F32, 1, &n), *out[2] = {f(x)};
    CHECK_OK(gr_grad(gr_sum(out[0], 0, false), &x, out + 1, 1));
    gr_program *p = gr_compile(g, out, 2, device, NULL);
    CHECK_MADE(p);
    float y[64], dy[64];
    CHECK(n <= 64);
    CHECK_OK(gr_program_run(p, (const void *[]){floats(file, "x", "", n)}, (void *[]){y, dy}));
    for (int64_t i = 0; i < n; i++) {
        float want = floats(file, "y.", name, n)[i], slope = floats(file, "dy.", name, n)[i];
        CHECK_NEAR(y[i], want, 2e-6 * (1 + fabs((double)want)));
        CHECK_NEAR(dy[i], slope, 4e-6 * (1 + fabs((double)slope)));
    }
    gr_program_free(p);
    gr_graph_free(g);
}

/* How many there are, as told to who asks for another. */
static int count_activations(void)
{
    gr_json_doc *doc = gr_json_parse("config.json", "{\"hidden_act\": \"none\"}", 22);
    gr_nn_activation(gr_json_root(doc), "hidden_act", "silu");
    CHECK_STATUS(gr_json_check(doc), GR_ERR_FILE);
    int n = 1;
    for (const char *p = gr_error(); (p = strchr(p, ',')); p++)
        n++;
    gr_json_free(doc);
    return n;
}

TEST(activations)
{
    gr_safetensors *file = gr_safetensors_open(test_source("tests/data/activations.safetensors"));
    CHECK_MADE(file);
    int64_t n = gr_safetensors_find(file, "x")->shape[0];
    for (int d = 0; d < 2; d++) {
        gr_device *device = gr_device_open(d ? "cpu" : "ref", 1);
        int count = 0;
        for (int i = 0; i < gr_safetensors_count(file); i++) {
            const char *name = gr_safetensors_entry(file, i)->name;
            if (strncmp(name, "y.", 2) == 0) {
                check_activation(device, file, name + 2, n);
                count++;
            }
        }
        CHECK_EQ_INT(count, count_activations());
        gr_device_close(device);
    }
    gr_safetensors_close(file);
}

TEST(rotary_frequencies)
{
    gr_json_doc *doc = gr_json_read(test_source("tests/data/rope.json"), GR_JSON_LIMIT);
    CHECK_MADE(doc);
    gr_json cases = gr_json_root(doc);
    gr_rope_settings *r = malloc(sizeof *r);
    for (size_t i = 0; i < gr_json_size(cases); i++) {
        gr_json one = gr_json_item(cases, i), config = gr_json_get(one, "config"), list = gr_json_get(one, "inv_freq");
        NOTE("settings %zu", i);
        gr_rope_model m = {.theta = 10000, .theta_key = "rope_theta"};
        m.head_dim = gr_json_as_int(gr_json_get(config, "head_dim"), 1, 1 << 10);
        m.context = gr_json_as_int(gr_json_get(config, "max_position_embeddings"), 1, INT64_MAX);
        *r = (gr_rope_settings){0};
        gr_rope_read(config, &m, r);
        CHECK_OK(gr_json_check(doc));
        CHECK_EQ_INT(r->pairs, (int64_t)gr_json_size(list));
        CHECK_NEAR(r->scale, gr_json_as_real(gr_json_get(one, "scale"), 0, 10), 1e-7);
        for (size_t k = 0; k < gr_json_size(list); k++) { /* to the last bits, which is what its powf leaves open */
            double want = gr_json_as_real(gr_json_item(list, k), 0, 10);
            CHECK_NEAR(r->inv_freq[k], want, 1e-6 * want);
        }
    }
    free(r);
    gr_json_free(doc);
}
