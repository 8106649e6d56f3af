/* Models against what PyTorch computed: tests/data/models and, where it is, the reference data. How the files were made,
 * and why the bounds are what they are: tools/oracle/make_models.py.
 * labels: slow (minutes where instructions are emulated) */
#include "tiny.h"

#include "format/safetensors.h"
#include "program/run.h"

enum { MAX_PARAMS = 128 };

/* ---- a model and what is expected of it --------------------------------------------------------------------- */

typedef struct golden {
    gr_device *device;
    gr_model *model;
    gr_safetensors *expected;
    int64_t rows, length, vocab; /* of ids and logits */
    gr_token *tokens, *targets;  /* [rows, length] */
    gr_program *program;         /* logits, loss, gradients */
    int n_params;
    float *logits, *gradients[MAX_PARAMS];
    float loss;
} golden;

static const gr_weight *expected(const golden *g, const char *kind, const char *name)
{
    char full[400];
    snprintf(full, sizeof full, "%s%s", kind, name);
    const gr_weight *t = gr_safetensors_find(g->expected, full);
    if (!t)
        FAIL("expected.safetensors has no %s", full);
    return t;
}

static size_t count_of(const gr_weight *t)
{
    return t->bytes / (t->dtype == GR_F32 ? 4 : 8);
}

static float f32_at(const gr_weight *t, size_t i)
{
    float x;
    memcpy(&x, (const char *)t->data + 4 * i, 4);
    return x;
}

static int64_t i64_at(const gr_weight *t, int64_t i)
{
    int64_t x;
    memcpy(&x, (const char *)t->data + 8 * i, 8);
    return x;
}

static gr_entry param(const golden *g, int i)
{
    gr_entry e = GR_INIT(gr_entry);
    CHECK_OK(gr_store_entry(gr_model_store(g->model), i, &e));
    return e;
}

static void build_program(golden *g)
{
    gr_graph *graph = gr_graph_new();
    int64_t shape[] = {g->rows, g->length};
    gr_forward f = {.size = sizeof f, .tokens = gr_input(graph, "tokens", GR_I32, 2, shape)};
    gr_tensor *targets = gr_input(graph, "targets", GR_I32, 2, shape), *params[MAX_PARAMS], *out[MAX_PARAMS + 2];
    out[0] = gr_model_forward(g->model, &f);
    out[1] = gr_cross_entropy(out[0], targets, -100);
    for (int i = 0; i < g->n_params; i++)
        params[i] = gr_param(graph, gr_model_store(g->model), param(g, i).name);
    CHECK_OK(gr_grad(out[1], params, out + 2, g->n_params));
    g->program = gr_compile(graph, out, g->n_params + 2, g->device, NULL);
    CHECK_MADE(g->program);
    gr_graph_free(graph);
}

/* Gradients are those of widened weights, which are f32. Leaves g->model NULL when this library does not support the model. */
static void open_golden(golden *g, const char *dir, const char *device, bool widen)
{
    *g = (golden){.device = gr_device_open(device, 0)};
    CHECK_MADE(g->device);
    g->model = gr_model_load(dir, &(gr_load_options){.size = sizeof(gr_load_options), .widen = widen}, g->device);
    if (!g->model)
        return;
    g->expected = gr_safetensors_open(test_join(dir, "expected.safetensors"));
    CHECK_MADE(g->expected);
    const gr_weight *ids = expected(g, "ids", ""), *logits = expected(g, "logits", "");
    g->rows = ids->shape[0];
    g->length = ids->shape[1];
    g->vocab = logits->shape[2];
    int64_t n = g->rows * g->length;
    g->tokens = malloc(2 * (size_t)n * sizeof *g->tokens);
    g->targets = g->tokens + n;
    g->logits = malloc((size_t)(n * g->vocab) * sizeof *g->logits);
    for (int64_t i = 0; i < n; i++) { /* the last token of a row predicts nothing */
        g->tokens[i] = i64_at(ids, i);
        g->targets[i] = (i + 1) % g->length ? i64_at(ids, i + 1) : -100;
    }
    g->n_params = widen ? gr_store_count(gr_model_store(g->model)) : 0;
    CHECK(g->n_params <= MAX_PARAMS);
    for (int i = 0; i < g->n_params; i++)
        g->gradients[i] = malloc(param(g, i).bytes);
    build_program(g);
}

static void close_golden(golden *g)
{
    for (int i = 0; i < g->n_params; i++)
        free(g->gradients[i]);
    gr_program_free(g->program);
    gr_safetensors_close(g->expected);
    gr_model_free(g->model);
    gr_device_close(g->device);
    free(g->tokens);
    free(g->logits);
}

static void run_golden(golden *g)
{
    void *out[MAX_PARAMS + 2] = {g->logits, &g->loss};
    for (int i = 0; i < g->n_params; i++)
        out[i + 2] = g->gradients[i];
    CHECK_OK(gr_program_run(g->program, (const void *[]){g->tokens, g->targets}, out));
}

/* ---- the comparisons ---------------------------------------------------------------------------------------- */

static void check_logits_and_gradients(golden *g)
{
    run_golden(g);
    const gr_weight *logits = expected(g, "logits", "");
    for (size_t i = 0; i < count_of(logits); i++)
        CHECK_NEAR(g->logits[i], f32_at(logits, i), 2e-5);
    CHECK_NEAR(g->loss, f32_at(expected(g, "loss", ""), 0), 2e-5);
    for (int i = 0; i < g->n_params; i++) {
        gr_entry e = param(g, i);
        const gr_weight *want = expected(g, "grad.", e.name);
        double largest = 0, worst = 0;
        for (size_t k = 0; k < count_of(want); k++) {
            largest = fmax(largest, fabs((double)f32_at(want, k)));
            worst = fmax(worst, fabs((double)f32_at(want, k) - (double)g->gradients[i][k]));
            CHECK(isfinite(g->gradients[i][k]));
        }
        if (!(worst <= 2e-5 * largest))
            FAIL("gradient of %s is off by %.3g of its largest, %.3g", e.name, worst, largest);
    }
}

/* The weights after some steps. Where the true gradient is 0 (the keys' biases of GPT-2), AdamW makes whole steps of
 * rounding noise, other ones with every order of summation, PyTorch's own included: only elements with a gradient, beyond
 * the noise that the tensor's largest gives to all, are held to the tight bounds. */
static void check_weights(golden *g, const char *kind)
{
    for (int i = 0; i < g->n_params; i++) {
        gr_entry e = param(g, i);
        const gr_weight *want = expected(g, kind, e.name), *grad = expected(g, "grad.", e.name);
        float *have = g->gradients[i]; /* no longer needed */
        CHECK_OK(gr_store_read(gr_model_store(g->model), e.name, have, e.bytes));
        double largest = 0, worst = 0, decided = 0, sum = 0, steep = 0, n = 0;
        for (size_t k = 0; k < count_of(want); k++)
            steep = fmax(steep, fabs((double)f32_at(grad, k)));
        for (size_t k = 0; k < count_of(want); k++) {
            double off = fabs((double)f32_at(want, k) - (double)have[k]);
            largest = fmax(largest, fabs((double)f32_at(want, k)));
            worst = fmax(worst, off);
            if (!(fabs((double)f32_at(grad, k)) > fmax(1e-6, 1e-3 * steep)))
                continue;
            decided = fmax(decided, off);
            sum += off;
            n++;
        }
        double mean = n > 0 ? sum / n : 0;
        if (!(worst <= 2e-3 * largest && decided <= 2e-5 * largest && mean <= 2e-6))
            FAIL("%s%s is off by %.3g, with a gradient by %.3g, on average by %.3g; its largest is %.3g", kind, e.name,
                 worst, decided, mean, largest);
    }
}

static void check_adamw(golden *g)
{
    gr_train_options o = GR_INIT(gr_train_options);
    CHECK_OK(gr_train_fill_defaults(&o));
    o.batch = g->rows;
    o.context = g->length;
    o.lr = 1e-3; /* as expected.json says */
    o.beta2 = 0.95;
    o.weight_decay = 0.1;
    o.warmup = 0;
    o.clip = 0;
    o.schedule = GR_CONSTANT;
    gr_trainer *t = gr_trainer_new(g->model, &o);
    CHECK_MADE(t);
    const gr_weight *losses = expected(g, "losses", "");
    for (size_t step = 0; step < 3; step++) {
        gr_step_report r = GR_INIT(gr_step_report);
        CHECK_OK(gr_trainer_step(t, &(gr_batch){g->tokens, g->targets, NULL}, &r));
        CHECK(!r.skipped);
        CHECK_NEAR(r.loss, f32_at(losses, step), 2e-5);
        if (step == 0)
            check_weights(g, "step1.");
    }
    check_weights(g, "step3.");
    gr_trainer_free(t);
    run_golden(g);
    CHECK_NEAR(g->loss, f32_at(losses, 3), 2e-5);
}

static int64_t best_of(const float *logits, int64_t vocab)
{
    return gr_sample_token(NULL, logits, vocab, NULL, 0, 0);
}

/* Feeds `count` tokens `piece` at a time; the logits that follow are in `logits`. */
static void feed(gr_generator *gen, const gr_token *tokens, int64_t count, int64_t piece, float *logits)
{
    for (int64_t at = 0; at < count; at += piece) {
        int64_t n = count - at < piece ? count - at : piece;
        CHECK_OK(gr_generator_feed(gen, (const gr_token *[]){tokens + at}, &n, logits));
    }
}

enum { PROMPT = 8 };

static void check_greedy(golden *g)
{
    const gr_weight *greedy = expected(g, "greedy", "");
    int64_t length = greedy->shape[1];
    gr_generator *gen = gr_generator_new(g->model, 1, length);
    CHECK_MADE(gen);
    float *logits = malloc((size_t)g->vocab * sizeof *logits);
    for (int64_t row = 0; row < greedy->shape[0]; row++)
        for (int64_t piece = 1; piece <= PROMPT; piece += PROMPT - 1) { /* token by token, and all at once */
            gr_token ids[256];
            int64_t n = PROMPT;
            for (int64_t i = 0; i < PROMPT; i++)
                ids[i] = i64_at(greedy, row * length + i);
            CHECK_OK(gr_generator_reset(gen));
            feed(gen, ids, PROMPT, piece, logits);
            for (; n < length; n++) {
                ids[n] = best_of(logits, g->vocab);
                CHECK_EQ_INT(ids[n], i64_at(greedy, row * length + n));
                if (n + 1 < length)
                    feed(gen, ids + n, 1, 1, logits);
            }
            CHECK_EQ_INT(gr_generator_length(gen, 0), length - 1);
        }
    free(logits);
    gr_generator_free(gen);
}

static char checked[1000]; /* architectures */

static void check_model(const char *path)
{
    char dir[1024];
    snprintf(dir, sizeof dir, "%s", path);
    const char *name = strrchr(dir, '/') + 1;
    for (int d = 0; test_device(d); d++) {
        golden g;
        NOTE("%s on %s", name, test_device(d));
        open_golden(&g, dir, test_device(d), true);
        CHECK_MADE(g.model);
        snprintf(checked + strlen(checked), sizeof checked - strlen(checked), " %s ",
                 d ? "" : gr_model_describe(g.model)->arch);
        check_logits_and_gradients(&g);
        NOTE("%s on %s, greedy", name, test_device(d));
        check_greedy(&g);
        NOTE("%s on %s, AdamW", name, test_device(d));
        bool light = !gr_safetensors_find(g.expected, "losses"); /* a switch of a model that is checked elsewhere */
        if (!light)
            check_adamw(&g); /* the last: it changes the weights */
        close_golden(&g);
        if (light)
            continue;
        NOTE("%s on %s, weights as they are", name, test_device(d));
        open_golden(&g, dir, test_device(d), false);
        check_logits_and_gradients(&g);
        check_greedy(&g);
        close_golden(&g);
    }
}

/* The key biases of gpt2 move by noise alone, PyTorch's 6.5e-6 on average and ours: a little room for other processors. */
TEST(own_models)
{
    char folder[700], **names;
    size_t count;
    snprintf(folder, sizeof folder, "%s", test_source("tests/data/models"));
    CHECK_OK(gr_dir_list(folder, &names, &count));
    for (size_t i = 0; i < count; i++)
        check_model(test_join(folder, names[i]));
    gr_names_free(names, count);
    for (int i = 0; gr_model_list(i); i++) {
        char arch[40];
        snprintf(arch, sizeof arch, " %s ", gr_model_list(i));
        if (!strstr(checked, arch))
            FAIL("tests/data/models has no%smodel", arch);
    }
}

TEST(shared_gpt2)
{
    check_model(test_shared("data/models/gpt2"));
}

TEST(shared_llama)
{
    check_model(test_shared("data/models/llama"));
}

TEST(shared_llama_gqa_tied)
{
    check_model(test_shared("data/models/llama-gqa-tied"));
}

TEST(shared_llama3_rope)
{
    check_model(test_shared("data/models/llama3-rope"));
}

TEST(shared_mistral_window)
{
    check_model(test_shared("data/models/mistral-window"));
}

TEST(shared_qwen2)
{
    check_model(test_shared("data/models/qwen2"));
}

/* ---- generating --------------------------------------------------------------------------------------------- */

/* A model whose context takes more than one chunk of a prompt. */
static gr_model *long_model(const char *arch, gr_device *device)
{
    gr_model_info info = tiny_info(arch, false);
    info.context = 160;
    return tiny_model_of(&info, device, 7);
}

static void check_near(const float *a, const float *b, int64_t n, double tolerance)
{
    for (int64_t i = 0; i < n; i++)
        CHECK_NEAR(a[i], b[i], tolerance);
}

/* The last row of the logits of one plain forward pass. */
static void forward(gr_model *m, const gr_token *tokens, int64_t n, float *last)
{
    gr_graph *g = gr_graph_new();
    gr_forward f = {.size = sizeof f, .tokens = gr_input(g, "tokens", GR_I32, 2, (int64_t[]){1, n})};
    f.rows = gr_constant(g, GR_I64, 1, (int64_t[]){1}, &(int64_t){n - 1});
    gr_tensor *logits = gr_model_forward(m, &f);
    gr_program *p = gr_compile(g, &logits, 1, gr_model_describe(m)->device, NULL);
    CHECK_MADE(p);
    CHECK_OK(gr_program_run(p, (const void *[]){tokens}, (void *[]){last}));
    gr_program_free(p);
    gr_graph_free(g);
}

/* A prompt in chunks, in odd pieces and token by token leads to the same logits as one pass without a cache. */
TEST(chunked_prompts)
{
    enum { N = 150 };
    int32_t ids[N];
    gr_token tokens[N];
    tiny_ids(ids, N);
    for (int i = 0; i < N; i++)
        tokens[i] = ids[i];
    for (int d = 0; test_device(d / 2); d++) {
        gr_device *device = gr_device_open(test_device(d / 2), 0);
        gr_model *m = long_model(d % 2 ? "llama" : "gpt2", device);
        gr_generator *gen = gr_generator_new(m, 1, 0);
        CHECK_MADE(gen);
        float whole[TINY_VOCAB], pieces[TINY_VOCAB];
        forward(m, tokens, N, whole);
        for (int64_t piece = 1; piece <= N; piece = piece == 1 ? 37 : piece == 37 ? N : N + 1) {
            NOTE("%s, %d at a time", test_device(d / 2), (int)piece);
            CHECK_OK(gr_generator_reset(gen));
            feed(gen, tokens, N, piece, pieces);
            check_near(pieces, whole, TINY_VOCAB, 1e-5);
            CHECK_EQ_INT(best_of(pieces, TINY_VOCAB), best_of(whole, TINY_VOCAB));
        }
        gr_generator_free(gen);
        gr_model_free(m);
        gr_device_close(device);
    }
}

/* Two sequences side by side, of different lengths, one of them waiting now and then, give what each gives alone. */
TEST(batched_prompts)
{
    for (int d = 0; test_device(d / 2); d++) {
        NOTE("%s", test_device(d / 2));
        gr_device *device = gr_device_open(test_device(d / 2), 0);
        gr_model *m = long_model(d % 2 ? "llama" : "gpt2", device);
        gr_generator *both = gr_generator_new(m, 2, 0), *one = gr_generator_new(m, 1, 0);
        CHECK_MADE(both);
        CHECK_MADE(one);
        gr_token a[40], b[40];
        for (int i = 0; i < 40; i++) {
            a[i] = (i * 7 + 3) % TINY_VOCAB;
            b[i] = (i * 5 + 1) % TINY_VOCAB;
        }
        float logits[2][TINY_VOCAB], alone[TINY_VOCAB], kept[TINY_VOCAB];
        CHECK_OK(gr_generator_feed(both, (const gr_token *[]){a, b}, (int64_t[]){12, 5}, logits[0]));
        memcpy(kept, logits[0], sizeof kept);
        CHECK_OK(gr_generator_feed(both, (const gr_token *[]){NULL, b + 5}, (int64_t[]){0, 1}, logits[0]));
        CHECK(memcmp(kept, logits[0], sizeof kept) == 0); /* a row that got nothing stays */
        CHECK_OK(gr_generator_feed(both, (const gr_token *[]){a + 12, b + 6}, (int64_t[]){1, 9}, logits[0]));
        CHECK_EQ_INT(gr_generator_length(both, 0), 13);
        CHECK_EQ_INT(gr_generator_length(both, 1), 15);
        for (int row = 0; row < 2; row++) {
            CHECK_OK(gr_generator_reset(one));
            feed(one, row ? b : a, row ? 15 : 13, 4, alone);
            check_near(logits[row], alone, TINY_VOCAB, 1e-5);
        }
        gr_generator_free(both);
        gr_generator_free(one);
        gr_model_free(m);
        gr_device_close(device);
    }
}

TEST(generator_refuses)
{
    gr_device *device = gr_device_open("ref", 1);
    gr_model *m = tiny_model("gpt2", device);
    CHECK(!gr_generator_new(m, 0, 4));
    CHECK_ERROR(GR_ERR_ARGUMENT, "batch");
    CHECK(!gr_generator_new(m, 1, TINY_CONTEXT + 1));
    CHECK_ERROR(GR_ERR_ARGUMENT, "context");
    gr_generator *gen = gr_generator_new(m, 1, 4);
    CHECK_MADE(gen);
    float logits[TINY_VOCAB];
    gr_token tokens[] = {1, 2, 3, 4, 5}, wrong[] = {TINY_VOCAB};
    CHECK_STATUS(gr_generator_feed(gen, (const gr_token *[]){tokens}, (int64_t[]){5}, logits), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "capacity");
    CHECK_STATUS(gr_generator_feed(gen, (const gr_token *[]){wrong}, (int64_t[]){1}, logits), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "token id 31");
    CHECK_EQ_INT(gr_generator_length(gen, 0), 0);
    CHECK_OK(gr_generator_feed(gen, (const gr_token *[]){tokens}, (int64_t[]){4}, logits));
    gr_generator_free(gen);
    gr_model_free(m);
    gr_device_close(device);
}
