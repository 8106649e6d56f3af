/* LoRA: adapters against what peft and PyTorch computed (tests/data/adapters, made by tools/oracle/make_adapters.py),
 * and their files. */
#include "tiny.h"

#include "format/safetensors.h"

enum { MOST = 64, MOST_STEPS = 32 };

typedef struct golden {
    char dir[300], base[300];
    gr_device *device;
    gr_model *model; /* with the adapter */
    gr_safetensors *expected;
    gr_json_doc *json;
    int64_t rows, length, vocab;
} golden;

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static const gr_safetensor *find(const golden *g, const char *kind, const char *name)
{
    char full[400];
    snprintf(full, sizeof full, "%s%s", kind, name);
    const gr_safetensor *t = gr_safetensors_find(g->expected, full);
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
    const gr_safetensor *logits = find(g, "logits", "");
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

/* ---- comparing -------------------------------------------------------------------------------------------------- */

static float f32_at(const gr_safetensor *t, size_t i)
{
    float x;
    memcpy(&x, (const char *)t->data + 4 * i, 4);
    return x;
}

static void check_values(const gr_safetensor *want, const float *have, double tolerance)
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
    gr_forward f = {.tokens = gr_input(graph, "tokens", GR_I64, 2, shape)};
    gr_tensor *targets = gr_input(graph, "targets", GR_I64, 2, shape), *out[MOST + 2], *params[MOST];
    out[0] = gr_model_logits(g->model, &f);
    out[1] = gr_cross_entropy(out[0], targets, -100);
    int n_params = grads ? gr_store_count(trained) : 0;
    gr_entry e;
    for (int i = 0; i < n_params; i++) {
        CHECK_OK(gr_store_entry(trained, i, &e));
        params[i] = gr_param(graph, trained, e.name);
        grads[i] = gr_alloc(e.bytes);
    }
    CHECK_OK(gr_grad(out[1], params, out + 2, n_params));
    gr_program *p = gr_compile(graph, out, n_params + 2, g->device);
    CHECK_MADE(p);
    gr_graph_free(graph);
    int64_t *tokens = gr_alloc(2 * (size_t)n * sizeof *tokens), *next = tokens + n;
    memcpy(tokens, find(g, "ids", "")->data, (size_t)n * sizeof *tokens);
    for (int64_t i = 0; i < n; i++)
        next[i] = (i + 1) % g->length ? tokens[i + 1] : -100;
    float *logits = gr_alloc((size_t)(n * g->vocab) * sizeof *logits);
    void *results[MOST + 2] = {logits, loss};
    for (int i = 0; i < n_params; i++)
        results[i + 2] = grads[i];
    CHECK_OK(gr_run(p, (const void *[]){tokens, next}, results));
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
    gr_entry e;
    for (int i = 0; i < n; i++) {
        CHECK_OK(gr_store_entry(trained, i, &e));
        check_values(find(g, "grad.", e.name), grads[i], 2e-5);
        gr_free(grads[i]);
    }
}

/* ---- adapters of peft ------------------------------------------------------------------------------------------- */

static void check_adapter(const char *name)
{
    static const char *const devices[] = {"ref", "cpu", "far"};
    for (int i = 0; i < 3; i++) {
        golden g;
        NOTE("%s on %s", name, devices[i]);
        open_golden(&g, name, devices[i]);
        CHECK_OK(gr_model_load_adapter(g.model, g.dir));
        check_gradients(&g);
        /* what is written is read again, to the last bit */
        const char *copy = test_join(test_dir(), devices[i]);
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
        CHECK(!gr_model_adapter_config(g.model));
        CHECK(gr_model_trainable(g.model) == gr_model_store(g.model));
        check_logits(&g, "merged");
        check_logits(&g, "logits");
        close_golden(&g);
    }
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

/* ---- training --------------------------------------------------------------------------------------------------- */

typedef struct curve {
    gr_train_options o;
    const gr_safetensor *stream;
} curve;

static curve open_curve(const golden *g)
{
    gr_json t = gr_json_get(gr_json_root(g->json), "training"), betas = gr_json_get(t, "betas");
    curve c = {.o = gr_train_defaults(), .stream = find(g, "stream", "")};
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
    int64_t *tokens = gr_alloc(2 * (size_t)(rows * o->context) * sizeof *tokens), *next = tokens + rows * o->context;
    gr_trainer *t = gr_trainer_new(g->model, o);
    CHECK_MADE(t);
    for (int64_t step = 0; step < o->steps; step++) {
        for (int64_t i = 0; i < rows * o->context; i++) {
            int64_t at = (step * rows + i / o->context) * o->context + i % o->context;
            tokens[i] = ids[at % n];
            next[i] = ids[(at + 1) % n];
        }
        gr_step_report r;
        NOTE("%s step %d", losses, (int)step + 1);
        CHECK_OK(gr_trainer_step(t, &(gr_batch){.tokens = tokens, .targets = next}, &r));
        CHECK_NEAR(r.loss, f32_at(find(g, losses, ""), (size_t)step), 2e-5);
        if (norms)
            CHECK_NEAR(r.grad_norm, f32_at(find(g, norms, ""), (size_t)step), 1e-4 * fmax(1, r.grad_norm));
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
    gr_entry e;
    for (int i = 0; i < gr_store_count(trained); i++) {
        CHECK_OK(gr_store_entry(trained, i, &e));
        float *data = gr_alloc(e.bytes);
        CHECK_OK(gr_store_read(trained, e.name, data, e.bytes));
        check_values(find(&g, "final.", e.name), data, 1e-4);
        gr_free(data);
    }
    gr_model_free(g.model);
    g.model = gr_model_load(g.base, &(gr_load_options){.widen = true}, g.device);
    CHECK_MADE(g.model);
    check_curve(&g, "full", NULL);
    close_golden(&g);
}

TEST(twenty_steps_as_in_peft)
{
    check_training("llama-names");
    check_training("gpt2-names");
}
