/* LoRA: adapters against what peft and PyTorch computed (tests/data/adapters, made by tools/oracle/make_adapters.py),
 * and their files. */
#include "same.h"
#include "tiny.h"

#include "format/safetensors.h"
#include "model/adapter/adapter.h"
#include "model/arch/list.h"
#include "program/run.h"
#include "train/trainer.h"

enum { MOST = 64, MOST_STEPS = 32 };

typedef struct golden {
    char dir[300], base[300];
    gr_device *device;
    gr_model *model; /* with the adapter */
    gr_safetensors *expected;
    gr_json_doc *json;
    int64_t rows, length, vocab;
} golden;

/* ---- opening ------------------------------------------------------------------------------------------------ */

static const gr_weight *find(const golden *g, const char *kind, const char *name)
{
    char full[400];
    snprintf(full, sizeof full, "%s%s", kind, name);
    const gr_weight *t = gr_safetensors_find(g->expected, full);
    if (!t)
        FAIL("%s: expected.safetensors has no %s", g->dir, full);
    return t;
}

static void open_golden(golden *g, const char *name, const char *device)
{
    *g = (golden){0};
    snprintf(g->dir, sizeof g->dir, "%s", test_join(test_source("tests/data/adapters"), name));
    g->expected = gr_safetensors_open(test_join(g->dir, "expected.safetensors"));
    g->json = gr_json_read(test_join(g->dir, "expected.json"), 1 << 20);
    CHECK_MADE(g->expected);
    CHECK_MADE(g->json);
    snprintf(g->base, sizeof g->base, "%s",
             test_join(test_source("tests/data/models"), gr_json_text(gr_json_root(g->json), "base", "")));
    g->device = gr_device_open(device, 2);
    g->model = gr_model_load(g->base, NULL, g->device);
    CHECK_MADE(g->model);
    const gr_weight *logits = find(g, "logits", "");
    g->rows = logits->shape[0];
    g->length = logits->shape[1];
    g->vocab = logits->shape[2];
}

static void close_golden(golden *g)
{
    gr_model_free(g->model);
    gr_device_close(g->device);
    gr_safetensors_close(g->expected);
    gr_json_free(g->json);
}

/* ---- comparing ---------------------------------------------------------------------------------------------- */

static float f32_at(const gr_weight *t, size_t i)
{
    float x;
    memcpy(&x, (const char *)t->data + 4 * i, 4);
    return x;
}

static void check_values(const gr_weight *want, const float *have, double tolerance)
{
    double largest = 1e-30, apart = 0;
    for (size_t i = 0; i < want->bytes / 4; i++) {
        largest = fmax(largest, fabs((double)f32_at(want, i)));
        double d = fabs((double)f32_at(want, i) - (double)have[i]);
        apart = d <= apart ? apart : d; /* NaN is apart */
    }
    if (!(apart <= tolerance * fmax(largest, 1)))
        FAIL("%s is off by %.3g of %.3g", want->name, apart, largest);
}

/* Logits of the golden's ids; caller frees. With `grads` the loss and its gradients for all that is trained. */
static float *logits_of(golden *g, float *loss, float **grads)
{
    int64_t shape[] = {g->rows, g->length}, n = g->rows * g->length;
    gr_store *trained = gr_model_trainable(g->model);
    gr_graph *graph = gr_graph_new();
    gr_forward f = {.size = sizeof f, .tokens = gr_input(graph, "tokens", GR_I32, 2, shape)};
    gr_tensor *targets = gr_input(graph, "targets", GR_I32, 2, shape), *out[MOST + 2], *params[MOST];
    out[0] = gr_model_forward(g->model, &f);
    out[1] = gr_cross_entropy(out[0], targets, -100);
    int n_params = grads ? gr_store_count(trained) : 0;
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; i < n_params; i++) {
        CHECK_OK(gr_store_entry(trained, i, &e));
        params[i] = gr_param(graph, trained, e.name);
        grads[i] = gr_alloc(e.bytes);
    }
    CHECK_OK(gr_grad(out[1], params, out + 2, n_params));
    gr_program *p = gr_compile(graph, out, n_params + 2, g->device, NULL);
    CHECK_MADE(p);
    gr_graph_free(graph);
    gr_token *tokens = gr_alloc(2 * (size_t)n * sizeof *tokens), *next = tokens + n;
    for (int64_t i = 0; i < n; i++)
        tokens[i] = (gr_token)((const int64_t *)find(g, "ids", "")->data)[i];
    for (int64_t i = 0; i < n; i++)
        next[i] = (i + 1) % g->length ? tokens[i + 1] : -100;
    float *logits = gr_alloc((size_t)(n * g->vocab) * sizeof *logits);
    void *results[MOST + 2] = {logits, loss};
    for (int i = 0; i < n_params; i++)
        results[i + 2] = grads[i];
    CHECK_OK(gr_program_run(p, (const void *[]){tokens, next}, results));
    gr_program_free(p);
    gr_free(tokens);
    return logits;
}

static void check_logits(golden *g, const char *which)
{
    float *logits = logits_of(g, NULL, NULL);
    check_values(find(g, which, ""), logits, 2e-5);
    gr_free(logits);
}

static void check_gradients(golden *g)
{
    float loss, *grads[MOST];
    float *logits = logits_of(g, &loss, grads);
    check_values(find(g, "logits", ""), logits, 2e-5);
    check_values(find(g, "loss", ""), &loss, 1e-5);
    gr_free(logits);
    gr_store *trained = gr_model_trainable(g->model);
    int n = gr_store_count(trained);
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; i < n; i++) {
        CHECK_OK(gr_store_entry(trained, i, &e));
        check_values(find(g, "grad.", e.name), grads[i], 2e-5);
        gr_free(grads[i]);
    }
}

/* ---- adapters of peft --------------------------------------------------------------------------------------- */

static void check_adapter_of(const char *name, bool trained)
{
    for (int i = 0; test_device(i); i++) {
        golden g;
        NOTE("%s on %s", name, test_device(i));
        open_golden(&g, name, test_device(i));
        CHECK_OK(gr_model_load_adapter(g.model, g.dir));
        if (trained)
            check_gradients(&g);
        else
            check_logits(&g, "logits");
        /* what is written is read again, to the last bit */
        const char *copy = test_join(test_dir(), test_device(i));
        CHECK_OK(gr_model_save_adapter(g.model, copy));
        float *before = logits_of(&g, NULL, NULL);
        gr_model_free(g.model);
        g.model = gr_model_load(g.base, NULL, g.device);
        CHECK_OK(gr_model_load_adapter(g.model, copy));
        float *after = logits_of(&g, NULL, NULL);
        CHECK(memcmp(before, after, (size_t)(g.rows * g.length * g.vocab) * sizeof *after) == 0);
        gr_free(before);
        gr_free(after);
        CHECK_OK(gr_model_merge_adapter(g.model));
        CHECK(!gr_model_describe(g.model)->adapter_config);
        CHECK(gr_model_trainable(g.model) == gr_model_store(g.model));
        check_logits(&g, "merged");
        check_logits(&g, "logits");
        close_golden(&g);
    }
}

static void check_adapter(const char *name)
{
    check_adapter_of(name, true);
}

TEST(layers_by_name)
{
    check_adapter("llama-names");
    check_adapter("gpt2-names");
}

TEST(layers_by_regex_with_ranks_of_their_own)
{
    check_adapter("llama-regex");
}

TEST(all_layers_but_some)
{
    check_adapter("gpt2-all");
}

TEST(some_layers_only)
{
    check_adapter("gpt2-layers");
}

TEST(dora)
{
    check_adapter("llama-dora");
    check_adapter("gpt2-dora-embedding");
}

TEST(biases)
{
    check_adapter("gpt2-biases");
}

/* Merged, a tied head and its embedding are two. */
TEST(embeddings_and_tied_heads)
{
    check_adapter("qwen2-embedding");
    check_adapter("llama-tied-head");
}

TEST(modules_saved_whole)
{
    check_adapter("phi3-saved");
    check_adapter("gpt2-saved");
}

TEST(rows_of_tokens)
{
    check_adapter("gemma3-tokens");
    check_adapter("olmo2-tokens");
}

/* ensure_weight_tying: run and merged, not trained. */
TEST(a_head_that_stays_tied)
{
    check_adapter_of("llama-ties", false);
    golden g;
    open_golden(&g, "llama-ties", "cpu");
    CHECK_OK(gr_model_load_adapter(g.model, g.dir));
    gr_train_options o = tiny_options();
    CHECK(!gr_trainer_new(g.model, &o));
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "ensure_weight_tying");
    close_golden(&g);
}

/* ---- GGUF files --------------------------------------------------------------------------------------------- */

/* Read again it computes the same, to the bit where one alpha says every scale; else B has taken up what differs. */
static void check_gguf(const char *name, bool exact)
{
    golden g;
    NOTE("%s", name);
    open_golden(&g, name, "cpu");
    CHECK_OK(gr_model_load_adapter(g.model, g.dir));
    float *before = logits_of(&g, NULL, NULL);
    const char *file = test_join(test_dir(), "adapter.gguf");
    CHECK_OK(gr_model_save_adapter(g.model, file));
    CHECK_STATUS(gr_model_save_adapter(g.model, file), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "it is there already");
    float *still = logits_of(&g, NULL, NULL);
    gr_model_free(g.model);
    g.model = gr_model_load(g.base, NULL, g.device);
    CHECK_OK(gr_model_load_adapter(g.model, file));
    CHECK_STATUS(gr_model_load_adapter(g.model, file), GR_ERR_ARGUMENT);
    float *after = logits_of(&g, NULL, NULL);
    size_t bytes = (size_t)(g.rows * g.length * g.vocab) * sizeof *after;
    CHECK(memcmp(before, still, bytes) == 0);
    CHECK(!exact || memcmp(before, after, bytes) == 0);
    check_values(find(&g, "logits", ""), after, 2e-5);
    /* as peft's files, and as such a file again */
    CHECK_OK(gr_model_save_adapter(g.model, test_join(test_dir(), "peft")));
    CHECK_OK(gr_model_save_adapter(g.model, test_join(test_join(test_dir(), "peft"), "adapter.gguf")));
    check_same_file(test_dir(), test_join(test_dir(), "peft"), "adapter.gguf");
    gr_model_free(g.model);
    g.model = gr_model_load(g.base, NULL, g.device);
    CHECK_OK(gr_model_load_adapter(g.model, test_join(test_dir(), "peft")));
    gr_free(still);
    still = logits_of(&g, NULL, NULL);
    CHECK(memcmp(after, still, bytes) == 0);
    gr_free(before);
    gr_free(after);
    gr_free(still);
    close_golden(&g);
    CHECK_OK(gr_dir_remove(test_join(test_dir(), "peft")));
    CHECK_OK(gr_dir_remove(file));
}

TEST(gguf_files)
{
    check_gguf("llama-names", true);
    check_gguf("gpt2-all", true);
    check_gguf("gpt2-layers", true);
    check_gguf("gpt2-names", false);
    check_gguf("llama-regex", false);
}

/* What such a file cannot say. */
TEST(gguf_files_refused)
{
    static const char *const why[][2] = {{"llama-dora", "the lengths of DoRA"},
                                         {"gpt2-biases", "biases"},
                                         {"phi3-saved", "saved whole"},
                                         {"gemma3-tokens", "rows of tokens"},
                                         {"llama-tied-head", "an embedding and a head that are one"}};
    for (size_t i = 0; i < sizeof why / sizeof *why; i++) {
        golden g;
        char **names;
        size_t n;
        NOTE("%s", why[i][0]);
        open_golden(&g, why[i][0], "cpu");
        CHECK_OK(gr_model_load_adapter(g.model, g.dir));
        CHECK_STATUS(gr_model_save_adapter(g.model, test_join(test_dir(), "adapter.gguf")), GR_ERR_UNSUPPORTED);
        CHECK_ERROR(GR_ERR_UNSUPPORTED, why[i][1]);
        CHECK_OK(gr_dir_list(test_dir(), &names, &n));
        CHECK_EQ_INT(n, 0);
        gr_names_free(names, n);
        close_golden(&g);
    }
}

/* ---- training ----------------------------------------------------------------------------------------------- */

typedef struct curve {
    gr_train_options o;
    const gr_weight *stream;
} curve;

static curve open_curve(const golden *g)
{
    gr_json t = gr_json_get(gr_json_root(g->json), "training"), betas = gr_json_get(t, "betas");
    curve c = {.o = GR_INIT(gr_train_options), .stream = find(g, "stream", "")};
    CHECK_OK(gr_train_fill_defaults(&c.o));
    c.o.lr = gr_json_real(t, "lr", 0, 0, 1);
    c.o.schedule = GR_CONSTANT;
    c.o.warmup = 0;
    c.o.beta1 = gr_json_as_real(gr_json_item(betas, 0), 0, 1);
    c.o.beta2 = gr_json_as_real(gr_json_item(betas, 1), 0, 1);
    c.o.eps = gr_json_real(t, "eps", 0, 0, 1);
    c.o.weight_decay = gr_json_real(t, "weight_decay", 0, 0, 1);
    c.o.clip = gr_json_real(t, "clip", 0, 0, 10);
    c.o.context = gr_json_int(t, "context", 0, 1, 1000);
    c.o.batch = gr_json_int(t, "batch", 0, 1, 1000);
    c.o.accumulate = gr_json_int(t, "accumulate", 0, 1, 1000);
    c.o.steps = gr_json_int(t, "steps", 0, 1, MOST_STEPS);
    CHECK_OK(gr_json_check(g->json));
    return c;
}

/* Trains as the golden was, and compares every step's loss. */
static void check_curve(golden *g, const char *losses, const char *norms)
{
    curve c = open_curve(g);
    const gr_train_options *o = &c.o;
    int64_t rows = o->accumulate * o->batch, n = (int64_t)(c.stream->bytes / sizeof(int64_t));
    int32_t *ids = gr_alloc((size_t)n * sizeof *ids);
    for (int64_t i = 0; i < n; i++)
        ids[i] = (int32_t)((const int64_t *)c.stream->data)[i];
    gr_token *tokens = gr_alloc(2 * (size_t)(rows * o->context) * sizeof *tokens), *next = tokens + rows * o->context;
    gr_trainer *t = gr_trainer_new(g->model, o);
    CHECK_MADE(t);
    for (int64_t step = 0; step < o->steps; step++) {
        for (int64_t i = 0; i < rows * o->context; i++) {
            int64_t at = (step * rows + i / o->context) * o->context + i % o->context;
            tokens[i] = ids[at % n];
            next[i] = ids[(at + 1) % n];
        }
        gr_step_report r = GR_INIT(gr_step_report);
        NOTE("%s step %d", losses, (int)step + 1);
        CHECK_OK(gr_trainer_step(t, &(gr_batch){.tokens = tokens, .targets = next}, &r));
        CHECK_NEAR(r.loss, f32_at(find(g, losses, ""), (size_t)step), 2e-5);
        if (norms) /* of the 20th: 5e-5 off, and 1.1e-4 in a build that multiplies and adds in two roundings */
            CHECK_NEAR(r.grad_norm, f32_at(find(g, norms, ""), (size_t)step), 2e-4 * fmax(1, r.grad_norm));
    }
    gr_trainer_free(t);
    gr_free(tokens);
    gr_free(ids);
}

static void check_training(const char *name)
{
    golden g;
    open_golden(&g, name, "cpu");
    CHECK_OK(gr_model_load_adapter(g.model, g.dir));
    check_curve(&g, "losses", "norms");
    gr_store *trained = gr_model_trainable(g.model);
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; i < gr_store_count(trained); i++) {
        CHECK_OK(gr_store_entry(trained, i, &e));
        float *data = gr_alloc(e.bytes);
        CHECK_OK(gr_store_read(trained, e.name, data, e.bytes));
        check_values(find(&g, "final.", e.name), data, 1e-4);
        gr_free(data);
    }
    gr_model_free(g.model);
    g.model = gr_model_load(g.base, &(gr_load_options){.size = sizeof(gr_load_options), .widen = true}, g.device);
    CHECK_MADE(g.model);
    check_curve(&g, "full", NULL);
    close_golden(&g);
}

TEST(twenty_steps_as_in_peft)
{
    check_training("llama-names");
    check_training("gpt2-names");
}

TEST(twenty_steps_of_all_that_is_trained)
{
    static const char *const names[] = {"llama-dora",      "gpt2-dora-embedding", "gpt2-biases",
                                        "qwen2-embedding", "llama-tied-head",     "phi3-saved",
                                        "gpt2-saved",      "gemma3-tokens",       "olmo2-tokens"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_training(names[i]);
}

/* ---- new adapters ------------------------------------------------------------------------------------------- */

static gr_model *adapted(const char *arch, gr_device *device, const gr_lora_options *o)
{
    gr_model *m = tiny_model(arch, device);
    CHECK_MADE(m);
    CHECK_OK(gr_model_add_adapter(m, o));
    return m;
}

/* A is uniform within 1/sqrt(in), B zero, and the same for the same seed. */
TEST(a_new_adapter_adds_nothing)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_lora_options o = GR_INIT(gr_lora_options);
    o.rank = 64;
    o.seed = 3;
    gr_model *m = adapted("llama", device, &o), *same = adapted("llama", device, &o);
    gr_store *store = gr_model_trainable(m);
    CHECK_EQ_INT(gr_store_count(store), 8); /* q_proj and v_proj of two layers */
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; i < 8; i++) {
        float a[64 * 8], b[64 * 8];
        double sum = 0, squares = 0, n = 0;
        CHECK_OK(gr_store_entry(store, i, &e));
        CHECK(e.bytes <= sizeof a);
        CHECK_OK(gr_store_read(store, e.name, a, e.bytes));
        CHECK_OK(gr_store_read(gr_model_trainable(same), e.name, b, e.bytes));
        CHECK(memcmp(a, b, e.bytes) == 0);
        for (size_t k = 0; k < e.bytes / 4; k++, n++) {
            CHECK(fabsf(a[k]) <= (i % 2 ? 0 : 1 / sqrtf(8)));
            sum += (double)a[k];
            squares += (double)a[k] * (double)a[k];
        }
        if (i % 2 == 0) { /* the mean and the variance of such a draw, within 4 deviations */
            CHECK_NEAR(sum / n, 0, 4 / sqrt(24 * n));
            CHECK_NEAR(squares / n, 1.0 / 24, 4 * (1.0 / 24) * sqrt(0.8 / n));
        }
    }
    CHECK_STATUS(gr_model_add_adapter(m, &o), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "has an adapter already");
    gr_model_free(m);
    gr_model_free(same);
    gr_device_close(device);
}

static void check_refused(gr_model *m, gr_lora_options o, const char *message)
{
    CHECK_STATUS(gr_model_add_adapter(m, &o), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, message);
    CHECK(!gr_model_describe(m)->adapter_config);
}

TEST(layers_that_are_not_there)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("gpt2", device);
    gr_lora_options o = GR_INIT(gr_lora_options);
    o.targets = (const char *const[]){"c_attn", "q_proj"};
    o.n_targets = 2;
    check_refused(m, o, "no linear layer and no embedding \"q_proj\"");
    CHECK(strstr(gr_error(), "c_attn, c_proj, c_fc"));
    o.targets = (const char *const[]){"attn.c_fc"};
    o.n_targets = 1;
    check_refused(m, o, "names none of the model's layers");
    check_refused(m, (gr_lora_options){.size = sizeof o, .rank = -1}, "the rank");
    check_refused(m, (gr_lora_options){.size = sizeof o, .dropout = 1}, "dropout");
    gr_model_free(m);
    gr_device_close(device);
}

/* Every architecture has layers that are adapted when none are named. */
TEST(usual_layers_of_every_architecture)
{
#define MODEL_TYPE(type) #type,
    static const char *const types[] = {GR_ARCHS(MODEL_TYPE)};
    gr_device *device = gr_device_open("cpu", 1);
    gr_lora_options o = GR_INIT(gr_lora_options);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        NOTE("%s", types[i]);
        gr_model *m = adapted(types[i], device, &o);
        CHECK(gr_store_count(gr_model_trainable(m)) > 0 && gr_store_count(gr_model_trainable(m)) % 4 == 0);
        gr_model_free(m);
    }
    gr_device_close(device);
}

/* What a model gives, and with a new adapter gives still, whatever is trained with it; and merged as well. */
static void check_unchanged(const char *arch, bool tied, const gr_lora_options *o)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_model_info info = tiny_info(arch, tied);
    golden g = {.device = device, .rows = 1, .length = 8, .vocab = TINY_VOCAB};
    float *logits[3];
    NOTE("%s", arch);
    g.model = tiny_model_of(&info, device, 1);
    for (int i = 0; i < 3; i++) {
        if (i == 1)
            CHECK_OK(gr_model_add_adapter(g.model, o));
        else if (i == 2)
            CHECK_OK(gr_model_merge_adapter(g.model));
        logits[i] = tiny_logits(g.model);
        for (int k = 0; k < 8 * TINY_VOCAB; k++)
            CHECK_NEAR(logits[i][k], logits[0][k], 1e-5);
    }
    CHECK(gr_model_describe(g.model)->tied == (tied && o->n_modules_to_save == 0));
    CHECK_OK(gr_model_save(g.model, test_join(test_dir(), "untied"), NULL, NULL));
    gr_dir_remove(test_join(test_dir(), "untied"));
    for (int i = 0; i < 3; i++)
        gr_free(logits[i]);
    gr_model_free(g.model);
    gr_device_close(device);
}

TEST(a_new_adapter_of_everything_changes_nothing)
{
    gr_lora_options o = GR_INIT(gr_lora_options);
    gr_token tokens[] = {30, 2, 7};
    o.dora = true;
    o.bias = GR_BIAS_ALL;
    o.tokens = tokens;
    o.n_tokens = 3;
    check_unchanged("gpt2", true, &o);
    check_unchanged("qwen2", false, &o);
    check_unchanged("gemma3_text", true, &o);
    o = (gr_lora_options)GR_INIT(gr_lora_options);
    o.bias = GR_BIAS_LORA_ONLY;
    o.b_bias = true;
    o.modules_to_save = (const char *const[]){"wte", "ln_f", "lm_head"};
    o.n_modules_to_save = 3;
    check_unchanged("gpt2", true, &o);
    o.modules_to_save = (const char *const[]){"embed_tokens"};
    o.n_modules_to_save = 1;
    o.b_bias = false;
    check_unchanged("llama", true, &o);
}

/* Without a bias there is nowhere to add that of B. */
TEST(biases_of_b_that_cannot_be_merged)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_lora_options o = GR_INIT(gr_lora_options);
    o.b_bias = true;
    gr_model *m = adapted("llama", device, &o);
    CHECK_STATUS(gr_model_merge_adapter(m), GR_ERR_UNSUPPORTED);
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "self_attn.q_proj\" has none");
    gr_model_free(m);
    m = tiny_model("llama", device);
    o.dora = true;
    check_refused(m, o, "do not go together");
    gr_model_free(m);
    gr_device_close(device);
}

/* all-linear: all but the head; twice by two ways. */
TEST(all_linear_leaves_the_head_out)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_lora_options o = GR_INIT(gr_lora_options);
    o.targets = (const char *const[]){"all-linear"};
    o.n_targets = 1;
    gr_model *m = adapted("llama", device, &o);
    CHECK_EQ_INT(gr_store_count(gr_model_trainable(m)), 2 * 7 * 2);
    CHECK(!strstr(gr_model_describe(m)->adapter_config, "lm_head"));
    CHECK(strstr(gr_model_describe(m)->adapter_config, "down_proj"));
    gr_model_free(m);
    gr_device_close(device);
}

/* ---- dropout ------------------------------------------------------------------------------------------------ */

static double loss_after(const char *arch, gr_device *device, double dropout, double model_dropout)
{
    gr_lora_options l = GR_INIT(gr_lora_options);
    l.dropout = dropout;
    gr_model *m = adapted(arch, device, &l);
    gr_train_options o = tiny_options();
    o.dropout = model_dropout;
    gr_token tokens[16], targets[16];
    gr_step_report r = GR_INIT(gr_step_report);
    gr_trainer *t = gr_trainer_new(m, &o);
    CHECK_MADE(t);
    for (int64_t step = 0; step < 6; step++) {
        tiny_batch(&o, step, tokens, targets);
        CHECK_OK(gr_trainer_step(t, &(gr_batch){.tokens = tokens, .targets = targets}, &r));
    }
    gr_trainer_free(t);
    gr_model_free(m);
    return r.loss;
}

TEST(dropout_is_of_training_and_of_the_seed)
{
    gr_device *device = gr_device_open("cpu", 1);
    double none = loss_after("llama", device, 0, 0), some = loss_after("llama", device, 0.5, 0);
    CHECK(none != some);
    CHECK(some == loss_after("llama", device, 0.5, 0));
    CHECK(loss_after("gpt2", device, 0.5, 0.5) != loss_after("gpt2", device, 0, 0.5));
    gr_device_close(device);
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

TEST(frozen_weights_have_no_moments)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_lora_options l = GR_INIT(gr_lora_options);
    gr_model *m = adapted("llama", device, &l);
    gr_store *store = gr_model_trainable(m);
    size_t adapter = 0;
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; i < gr_store_count(store); i++) {
        CHECK_OK(gr_store_entry(store, i, &e));
        adapter += e.bytes;
    }
    gr_train_options o = tiny_options();
    o.accumulate = 2;
    gr_trainer *t = gr_trainer_new(m, &o);
    CHECK_MADE(t);
    gr_plan memory = *gr_trainer_plan(t);
    CHECK_EQ_INT(memory.optimizer, 2 * adapter);
    CHECK_EQ_INT(memory.gradients, adapter);
    CHECK_EQ_INT(gr_store_count(gr_trainer_store(t)), 2 * gr_store_count(store));
    gr_trainer_free(t);
    gr_model_free(m);
    gr_device_close(device);
}

/* ---- 16-bit bases ------------------------------------------------------------------------------------------- */

/* The base's weights are bf16 and stay so; merged, they are rounded once. */
TEST(a_bf16_base)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *wide = tiny_model("llama", device);
    gr_save_options save = {.size = sizeof save, .cast = true, .dtype = GR_BF16};
    CHECK_OK(gr_model_save(wide, test_join(test_dir(), "base"), &save, NULL));
    gr_model_free(wide);
    gr_model *m = gr_model_load(test_join(test_dir(), "base"), NULL, device);
    CHECK_MADE(m);
    gr_lora_options l = GR_INIT(gr_lora_options);
    CHECK_OK(gr_model_add_adapter(m, &l));
    gr_train_options o = tiny_options();
    gr_token tokens[16], targets[16];
    gr_step_report r = GR_INIT(gr_step_report);
    gr_trainer *t = gr_trainer_new(m, &o);
    CHECK_MADE(t);
    double first = 0;
    tiny_batch(&o, 0, tokens, targets);
    for (int i = 0; i < 12; i++) {
        CHECK_OK(gr_trainer_step(t, &(gr_batch){.tokens = tokens, .targets = targets}, &r));
        first = i ? first : r.loss;
    }
    CHECK(r.loss < first - 0.01);
    gr_trainer_free(t);
    gr_entry e = GR_INIT(gr_entry);
    const char *name = "model.layers.0.self_attn.q_proj.weight";
    CHECK_OK(gr_model_merge_adapter(m));
    CHECK_OK(gr_store_entry(gr_model_store(m), gr_store_find(gr_model_store(m), name), &e));
    CHECK_EQ_INT(e.dtype, GR_BF16);
    gr_model_free(m);
    gr_device_close(device);
}

/* What f16 cannot hold is told, not made infinite. */
TEST(a_sum_too_large_for_f16)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *wide = tiny_model("llama", device);
    gr_save_options save = {.size = sizeof save, .cast = true, .dtype = GR_F16};
    CHECK_OK(gr_model_save(wide, test_join(test_dir(), "base"), &save, NULL));
    gr_model_free(wide);
    gr_model *m = gr_model_load(test_join(test_dir(), "base"), NULL, device);
    CHECK_MADE(m);
    gr_lora_options l = GR_INIT(gr_lora_options);
    CHECK_OK(gr_model_add_adapter(m, &l));
    gr_entry e = GR_INIT(gr_entry);
    float huge[8 * 8];
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++)
        huge[i] = 1e6f;
    CHECK_OK(gr_store_entry(gr_model_trainable(m), 1, &e));
    CHECK_EQ_INT(e.bytes, sizeof huge);
    CHECK_OK(gr_store_write(gr_model_trainable(m), e.name, huge, sizeof huge));
    CHECK_STATUS(gr_model_merge_adapter(m), GR_ERR_NUMBER);
    CHECK_ERROR(GR_ERR_NUMBER, "self_attn.q_proj.weight\" would have values that f16 cannot hold");
    gr_model_free(m);
    gr_device_close(device);
}

/* ---- files that are refused --------------------------------------------------------------------------------- */

static void write_config(const char *dir, const char *keys)
{
    char text[1000];
    CHECK_OK(gr_dir_make(dir));
    snprintf(text, sizeof text, "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 4, %s}", keys);
    CHECK_OK(gr_file_write(test_join(dir, "adapter_config.json"), text, strlen(text)));
}

TEST(configs_that_are_refused)
{
    static const char *const cases[][2] = {
        {"\"target_modules\": [\"c_attn\"], \"bias\": \"some\"", "supported are none, lora_only and all"},
        {"\"target_modules\": [\"c_attn\"], \"use_dora\": 1", "use_dora"},
        {"\"target_modules\": [\"c_attn\"], \"use_dora\": true, \"lora_bias\": true", "lora_bias"},
        {"\"target_modules\": [\"wte\"], \"lora_bias\": true", "\"transformer.wte\" is an embedding"},
        {"\"target_modules\": [\"c_attn\"], \"modules_to_save\": \"lm_head\"", "modules_to_save"},
        {"\"target_modules\": [\"c_attn\"], \"modules_to_save\": [\"lm_.*\"]", "is no name of a module"},
        {"\"target_modules\": [\"c_attn\"], \"modules_to_save\": [\"_attn\"]",
         "in target_modules and in modules_to_save"},
        {"\"target_modules\": [\"c_attn\"], \"trainable_token_indices\": [1, 62]",
         "token 62, and \"transformer.wte\" has 31"},
        {"\"target_modules\": [\"c_attn\"], \"trainable_token_indices\": [4, 4]", "token 4 is there twice"},
        {"\"target_modules\": [\"c_attn\"], \"trainable_token_indices\": [-1]", "trainable_token_indices"},
        {"\"target_modules\": [\"c_attn\"], \"trainable_token_indices\": {\"wte\": []}", "expected ids"},
        {"\"target_modules\": [\"c_attn\"], \"trainable_token_indices\": {\"embed_tokens\": [1]}", "names none"},
        {"\"target_modules\": [\"c_attn\"], \"trainable_token_indices\": {\"wpe\": [1]}", "wpe\" are not supported"},
        {"\"target_modules\": [\"wte\"], \"trainable_token_indices\": [1]", "is trained in another way too"},
        {"\"target_modules\": [\"c_attn\"], \"modules_to_save\": [\"wte\"], \"trainable_token_indices\": [1]",
         "another way too"},
        {"\"target_modules\": [\"c_attn\"], \"target_parameters\": [\"x\"]", "target_parameters"},
        {"\"target_modules\": [\"c_attn\"], \"layer_replication\": [[0, 2]]", "layer_replication"},
        {"\"target_modules\": [\"c_attn\"], \"task_type\": \"SEQ_CLS\"", "task_type"},
        {"\"target_modules\": [\"c_attn\"], \"init_lora_weights\": \"pissa\"", "init_lora_weights"},
        {"\"target_modules\": [\"c_attn\"], \"what_comes_next\": 3", "what_comes_next"},
        {"\"target_modules\": [\"c_attn\"], \"rank_pattern\": {\"c_attn\": 0}", "rank_pattern"},
        {"\"target_modules\": [\"c_attn\"], \"rank_pattern\": {\"c_attn\": 1.5}", "rank_pattern"},
        {"\"target_modules\": [\"c_attn\"], \"alpha_pattern\": [3]", "alpha_pattern"},
        {"\"target_modules\": [\"c_attn\"], \"layers_to_transform\": [-1]", "layers_to_transform"},
        {"\"target_modules\": \"all-linear\", \"layers_to_transform\": [0]", "layers_to_transform"},
        {"\"target_modules\": [3]", "target_modules"},
        {"\"target_modules\": \"(\"", "target_modules"},
        {"\"target_modules\": [\"ln_f\"]", "its layers are wte, wpe, c_attn"},
        {"\"target_modules\": [\"c_attn\"], \"exclude_modules\": [\"c_attn\"]", "its layers are"},
        {"\"lora_dropout\": 2, \"target_modules\": [\"c_attn\"]", "lora_dropout"},
    };
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("gpt2", device);
    char dir[300];
    snprintf(dir, sizeof dir, "%s", test_join(test_dir(), "adapter"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        NOTE("%s", cases[i][0]);
        write_config(dir, cases[i][0]);
        CHECK(gr_model_load_adapter(m, dir) != GR_OK);
        CHECK_ERROR(gr_error_status(), cases[i][1]);
        CHECK(!gr_model_describe(m)->adapter_config);
    }
    CHECK_OK(gr_file_write(test_join(dir, "adapter_config.json"), "{\"peft_type\": \"LOHA\"}", 21));
    CHECK(gr_model_load_adapter(m, dir) != GR_OK);
    CHECK_ERROR(GR_ERR_FILE, "LOHA");
    CHECK_OK(gr_file_write(test_join(dir, "adapter_config.json"), "{}", 2));
    CHECK(gr_model_load_adapter(m, dir) != GR_OK);
    CHECK_ERROR(GR_ERR_FILE, "peft_type");
    gr_model_free(m);
    gr_device_close(device);
}

/* One tensor of a saved adapter left out, of another shape or with another name. */
static void write_weights(const char *dir, const char *name, int64_t rows, const char *second)
{
    float zeros[64] = {0};
    gr_weight t[2] = {{.name = name, .dtype = GR_F32, .ndim = 2, .shape = {rows, 8}, .data = zeros},
                      {.name = second, .dtype = GR_F32, .ndim = 2, .shape = {8, 2}, .data = zeros}};
    gr_safetensors_spec spec = {.tensors = t, .count = second ? 2 : 1};
    CHECK_OK(gr_safetensors_write(test_join(dir, "adapter_model.safetensors"), &spec));
}

/* peft saves embeddings, too, where an adapter is for one of them: others than the model's own are used. */
static void check_embedding(gr_model *m, const char *dir)
{
    float weights[TINY_CONTEXT * 8], low[16] = {0};
    CHECK_OK(gr_store_read(gr_model_store(m), "transformer.wpe.weight", weights, sizeof weights));
    gr_weight t[3] = {{.name = "base_model.model.transformer.h.0.attn.c_proj.lora_A.weight",
                       .dtype = GR_F32,
                       .ndim = 2,
                       .shape = {2, 8}},
                      {.name = "base_model.model.transformer.h.0.attn.c_proj.lora_B.weight",
                       .dtype = GR_F32,
                       .ndim = 2,
                       .shape = {8, 2}},
                      {.name = "base_model.model.transformer.wpe.base_layer.weight", .dtype = GR_F32, .ndim = 2}};
    t[0].data = t[1].data = low;
    t[2].data = weights;
    t[2].shape[0] = TINY_CONTEXT;
    t[2].shape[1] = 8;
    gr_safetensors_spec spec = {.tensors = t, .count = 3};
    CHECK_OK(gr_safetensors_write(test_join(dir, "adapter_model.safetensors"), &spec));
    CHECK_OK(gr_model_load_adapter(m, dir));
    CHECK_OK(gr_model_merge_adapter(m));
    weights[5] += 1;
    CHECK_OK(gr_safetensors_write(test_join(dir, "adapter_model.safetensors"), &spec));
    CHECK_OK(gr_model_load_adapter(m, dir));
    float is[TINY_CONTEXT * 8];
    CHECK_OK(gr_store_read(gr_model_store(m), "transformer.wpe.weight", is, sizeof is));
    CHECK(memcmp(is, weights, sizeof is) == 0);
    gr_train_options train = tiny_options();
    CHECK(!gr_trainer_new(m, &train)); /* a checkpoint would be without it */
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "weights of the base");
    CHECK_OK(gr_model_save_adapter(m, test_join(test_dir(), "again")));
    gr_safetensors *again = gr_safetensors_open(test_join(test_dir(), "again/adapter_model.safetensors"));
    CHECK_MADE(again);
    CHECK(memcmp(gr_safetensors_find(again, t[2].name)->data, weights, sizeof weights) == 0);
    gr_safetensors_close(again);
    CHECK_OK(gr_model_merge_adapter(m));
    t[2].shape[0]--;
    CHECK_OK(gr_safetensors_write(test_join(dir, "adapter_model.safetensors"), &spec));
    CHECK_STATUS(gr_model_load_adapter(m, dir), GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, "wpe.base_layer.weight");
}

TEST(tensors_that_do_not_fit)
{
#define LAYER "base_model.model.transformer.h.1.attn.c_proj.lora_"
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("gpt2", device);
    char dir[300];
    snprintf(dir, sizeof dir, "%s", test_join(test_dir(), "adapter"));
    write_config(dir, "\"target_modules\": [\"h.1.attn.c_proj\"]");
    CHECK_STATUS(gr_model_load_adapter(m, dir), GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, "adapter_model.safetensors");
    CHECK_OK(gr_file_write(test_join(dir, "adapter_model.bin"), "x", 1));
    CHECK_STATUS(gr_model_load_adapter(m, dir), GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, "adapter_model.bin: no file of torch.save");
    write_weights(dir, LAYER "A.weight", 2, NULL);
    CHECK_STATUS(gr_model_load_adapter(m, dir), GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, LAYER "B.weight\" is missing");
    write_weights(dir, LAYER "A.weight", 3, LAYER "B.weight");
    CHECK_STATUS(gr_model_load_adapter(m, dir), GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, "f32[3,8], the config and the model ask for f32[2,8]");
    write_weights(dir, LAYER "A.weight", 2, LAYER "B.weight");
    CHECK_OK(gr_model_load_adapter(m, dir));
    CHECK_OK(gr_model_merge_adapter(m));
    write_config(dir, "\"target_modules\": [\"h.0.attn.c_proj\"]");
    CHECK_STATUS(gr_model_load_adapter(m, dir), GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, "h.0.attn.c_proj.lora_A.weight\" is missing");
    check_embedding(m, dir);
    gr_model_free(m);
    gr_device_close(device);
}

/* ---- failing memory and disks ------------------------------------------------------------------------------- */

static gr_status whole_life_of(gr_device *device, const gr_lora_options *o)
{
    gr_model *m = tiny_model("gpt2", device);
    gr_status s = m ? gr_model_add_adapter(m, o) : gr_error_status();
    const char *dir = test_join(test_dir(), "adapter");
    if (s == GR_OK)
        s = gr_model_save_adapter(m, dir);
    if (s == GR_OK)
        s = gr_model_merge_adapter(m);
    if (s == GR_OK)
        s = gr_model_load_adapter(m, dir);
    gr_model_free(m);
    return s;
}

static gr_status whole_life(void *ctx)
{
    gr_lora_options o = GR_INIT(gr_lora_options);
    return whole_life_of(ctx, &o);
}

/* Of an adapter with everything; what it has merged of the embedding is another base for what it saved. */
static gr_status rich_life(void *ctx)
{
    gr_lora_options o = GR_INIT(gr_lora_options);
    gr_token tokens[] = {3, 30};
    o.dora = true;
    o.bias = GR_BIAS_ALL;
    o.targets = (const char *const[]){"c_fc", "wpe"};
    o.n_targets = 2;
    o.tokens = tokens;
    o.n_tokens = 2;
    o.modules_to_save = (const char *const[]){"ln_f"};
    o.n_modules_to_save = 1;
    return whole_life_of(ctx, &o);
}

TEST(memory_that_fails)
{
    gr_device *device = gr_device_open("ref", 1);
    CHECK_OK(whole_life(device)); /* what the device keeps is taken now */
    CHECK(SWEEP_ALLOCATIONS(whole_life, device) > 100);
    CHECK_OK(rich_life(device));
    CHECK(SWEEP_ALLOCATIONS(rich_life, device) > 200);
    gr_device_close(device);
}

/* As a GGUF file, and one read. */
static gr_status gguf_life(void *ctx)
{
    gr_model **both = ctx;
    const char *file = test_join(test_dir(), "life.gguf");
    gr_status s = gr_model_save_adapter(both[0], file);
    if (s == GR_OK)
        s = gr_model_load_adapter(both[1], file);
    gr_adapter_close(both[1]);
    gr_dir_remove(file);
    return s;
}

TEST(memory_that_fails_gguf)
{
    gr_device *device = gr_device_open("ref", 1);
    gr_lora_options o = GR_INIT(gr_lora_options);
    o.targets = (const char *const[]){"q_proj", "embed_tokens", "lm_head"};
    o.n_targets = 3;
    gr_model *both[] = {adapted("llama", device, &o), tiny_model("llama", device)};
    CHECK_OK(gguf_life(both));
    CHECK(SWEEP_ALLOCATIONS(gguf_life, both) > 100);
    gr_model_free(both[0]);
    gr_model_free(both[1]);
    gr_device_close(device);
}

static gr_status save_anew(void *ctx)
{
    const char *dir = test_join(test_dir(), "new");
    gr_status s = gr_model_save_adapter(ctx, dir);
    if (s == GR_OK)
        return GR_OK;
    CHECK(!gr_path_is_dir(dir) || gr_path_is_file(test_join(dir, "adapter_config.json")));
    gr_dir_remove(dir);
    return gr_error_status();
}

static gr_status save_gguf(void *ctx)
{
    const char *file = test_join(test_dir(), "full.gguf");
    char **names = NULL;
    size_t n = 0, left = 0;
    gr_status s = gr_model_save_adapter(ctx, file);
    if (s == GR_OK)
        return gr_dir_remove(file);
    CHECK_OK(gr_dir_list(test_dir(), &names, &n));
    for (size_t i = 0; i < n; i++)
        left += strncmp(names[i], "full", 4) == 0;
    gr_names_free(names, n);
    CHECK_EQ_INT(left, 0);
    return s;
}

TEST(disks_that_are_full)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_lora_options o = GR_INIT(gr_lora_options);
    gr_model *m = adapted("llama", device, &o);
    CHECK(SWEEP_WRITES(save_anew, m) > 4);
    CHECK(SWEEP_WRITES(save_gguf, m) > 4);
    gr_model_free(m);
    gr_device_close(device);
}
