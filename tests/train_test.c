/* Training: steps, schedules and data. Runs are in run_test.c. */
#include "tiny.h"

#include "program/run.h"
#include "train/data.h"
#include "train/trainer.h"

/* ---- helpers ------------------------------------------------------------------------------------------------ */

typedef struct setup {
    gr_device *device;
    gr_model *model;
    gr_trainer *trainer;
    gr_train_options options;
    gr_token *tokens, *targets;
} setup;

static void open_setup(setup *s, const char *arch, const char *device, int threads, const gr_train_options *o)
{
    *s = (setup){.options = *o, .device = gr_device_open(device, threads)};
    CHECK_MADE(s->device);
    s->model = tiny_model(arch, s->device);
    CHECK_MADE(s->model);
    s->trainer = gr_trainer_new(s->model, o);
    CHECK_MADE(s->trainer);
    size_t n = (size_t)(o->accumulate * o->batch * o->context);
    s->tokens = malloc(2 * n * sizeof *s->tokens);
    s->targets = s->tokens + n;
}

static void close_setup(setup *s)
{
    gr_trainer_free(s->trainer);
    gr_model_free(s->model);
    gr_device_close(s->device);
    free(s->tokens);
}

/* The next step of the tiny data. */
static gr_step_report next_step(setup *s)
{
    gr_step_report r = GR_INIT(gr_step_report);
    tiny_batch(&s->options, gr_trainer_steps(s->trainer), s->tokens, s->targets);
    CHECK_OK(gr_trainer_step(s->trainer, &(gr_batch){s->tokens, s->targets, NULL}, &r));
    return r;
}

/* All bytes of a store, one tensor behind the other; caller frees. */
static unsigned char *bytes_of(gr_store *s, size_t *size)
{
    gr_entry e = GR_INIT(gr_entry);
    size_t at = 0;
    *size = 0;
    for (int i = 0; i < gr_store_count(s); i++) {
        CHECK_OK(gr_store_entry(s, i, &e));
        *size += e.bytes;
    }
    unsigned char *bytes = malloc(*size + 1);
    for (int i = 0; i < gr_store_count(s); i++) {
        CHECK_OK(gr_store_entry(s, i, &e));
        CHECK_OK(gr_store_read(s, e.name, bytes + at, e.bytes));
        at += e.bytes;
    }
    return bytes;
}

static bool same_bytes(gr_store *a, gr_store *b)
{
    size_t n, m;
    unsigned char *x = bytes_of(a, &n), *y = bytes_of(b, &m);
    bool same = n == m && memcmp(x, y, n) == 0;
    free(x);
    free(y);
    return same;
}

/* ---- steps -------------------------------------------------------------------------------------------------- */

TEST(threads_do_not_change_a_bit)
{
    gr_train_options o = tiny_options();
    o.steps = 50;
    o.batch = 5;
    o.context = 13;
    o.dropout = 0.1;
    const char *archs[] = {"gpt2", "llama"};
    static const gr_optimizer optimizers[] = {GR_ADAMW, GR_ADAMW, GR_LION,  GR_ADAFACTOR,
                                              GR_MUON,  GR_ADAMW, GR_ADAMW, GR_ADAMW8BIT};
    for (int a = 0; a < 8; a++) {
        setup one, more;
        o.optimizer = optimizers[a];
        o.bf16_moments = a == 5 || a == 6;
        o.bf16_weights = a >= 6;
        open_setup(&one, archs[a % 2], "cpu", 1, &o);
        for (int i = 0; i < 50; i++)
            CHECK(!next_step(&one).skipped);
        for (int threads = 2; threads <= 4; threads *= 2) {
            NOTE("%s, optimizer %d, %d threads", archs[a % 2], (int)o.optimizer, threads);
            open_setup(&more, archs[a % 2], "cpu", threads, &o);
            for (int i = 0; i < 50; i++)
                next_step(&more);
            CHECK(same_bytes(gr_model_store(one.model), gr_model_store(more.model)));
            CHECK(same_bytes(gr_trainer_store(one.trainer), gr_trainer_store(more.trainer)));
            close_setup(&more);
        }
        close_setup(&one);
    }
}

/* Accumulating micro-batches is the larger batch, also when some have fewer targets than others. */
TEST(accumulation_is_a_larger_batch)
{
    for (int d = 0; test_device(d); d++) {
        double losses[3][20];
        for (int k = 0; k < 3; k++) {
            gr_train_options o = tiny_options();
            o.accumulate = (int64_t[]){1, 2, 8}[k];
            o.batch = 8 / o.accumulate;
            o.dropout = 0;
            NOTE("%s, accumulate %d", test_device(d), (int)o.accumulate);
            setup s;
            open_setup(&s, "gpt2", test_device(d), 0, &o);
            for (int i = 0; i < 20; i++) {
                gr_step_report r = GR_INIT(gr_step_report);
                tiny_batch(&o, i, s.tokens, s.targets);
                for (int t = 0; t < 11; t++)
                    s.targets[t] = -100;
                CHECK_OK(gr_trainer_step(s.trainer, &(gr_batch){s.tokens, s.targets, NULL}, &r));
                losses[k][i] = r.loss;
                CHECK_NEAR(r.loss, losses[0][i], 1e-5);
            }
            close_setup(&s);
        }
        CHECK(losses[0][19] < losses[0][0]);
    }
}

TEST(steps_allocate_nothing)
{
    for (int accumulate = 1; accumulate <= 2; accumulate++) {
        gr_train_options o = tiny_options();
        o.steps = 1001;
        o.accumulate = accumulate;
        setup s;
        open_setup(&s, "llama", "cpu", 2, &o);
        int32_t ids[64];
        tiny_ids(ids, 64);
        double loss;
        next_step(&s);
        CHECK_OK(gr_trainer_eval(s.trainer, ids, 64, NULL, NULL, &loss));
        int64_t calls = gr_mem_read_stats().calls;
        for (int i = 0; i < 1000; i++)
            next_step(&s);
        CHECK_OK(gr_trainer_eval(s.trainer, ids, 64, NULL, NULL, &loss));
        CHECK_EQ_INT(gr_mem_read_stats().calls, calls);
        close_setup(&s);
    }
}

TEST(one_batch_is_learned_by_heart)
{
    const char *archs[] = {"gpt2", "llama", "llama"};
    const double rates[] = {[GR_ADAMW] = 2e-2,    [GR_SGD] = 0.3,   [GR_LION] = 5e-3,
                            [GR_ADAFACTOR] = 0.1, [GR_MUON] = 2e-2, [GR_ADAMW8BIT] = 2e-2};
    for (int a = 0; a < 3; a++)
        for (int optimizer = GR_ADAMW; optimizer <= GR_ADAMW8BIT; optimizer++) {
            NOTE("%s %d, optimizer %d", archs[a], a, optimizer);
            gr_train_options o = tiny_options();
            o.schedule = GR_CONSTANT;
            o.optimizer = (gr_optimizer)optimizer;
            o.lr = rates[optimizer];
            o.weight_decay = 0;
            gr_device *device = gr_device_open("cpu", 1);
            gr_model_info info = tiny_info(archs[a], a == 2); /* gpt2 with a head of its own, llama with and without */
            gr_model *m = tiny_model_of(&info, device, 3);
            CHECK_MADE(m);
            CHECK_EQ_INT(gr_store_find(gr_model_store(m), "lm_head.weight") >= 0, a != 2);
            gr_trainer *t = gr_trainer_new(m, &o);
            CHECK_MADE(t);
            gr_token tokens[16], targets[16];
            for (int i = 0; i < 16; i++) { /* tokens that occur once: all can be known */
                tokens[i] = i;
                targets[i] = (i * 5 + 3) % TINY_VOCAB;
            }
            gr_step_report r = GR_INIT(gr_step_report);
            for (int i = 0; i < 300; i++)
                CHECK_OK(gr_trainer_step(t, &(gr_batch){tokens, targets, NULL}, &r));
            CHECK(r.loss <
                  (optimizer == GR_ADAFACTOR ? 0.3 : 0.1)); /* its steps shrink as the square root of their number */
            gr_trainer_free(t);
            gr_model_free(m);
            gr_device_close(device);
        }
}

/* v = momentum v + g; p -= lr v: with two steps of the same data and a tiny lr, g is the same, so p moves by
 * lr g and then lr (1 + momentum) g. */
TEST(sgd_has_momentum)
{
    gr_train_options o = tiny_options();
    o.optimizer = GR_SGD;
    o.beta1 = 0.75;
    o.lr = o.min_lr = 1e-4;
    o.warmup = 0;
    o.clip = 0;
    o.weight_decay = 0;
    setup s;
    open_setup(&s, "gpt2", "ref", 1, &o);
    float p[3][TINY_VOCAB * 8], v[2][TINY_VOCAB * 8];
    const char *name = "transformer.wte.weight";
    gr_store *weights = gr_model_store(s.model), *state = gr_trainer_store(s.trainer);
    tiny_batch(&o, 0, s.tokens, s.targets);
    CHECK_OK(gr_store_read(weights, name, p[0], sizeof p[0]));
    for (int i = 0; i < 2; i++) {
        gr_step_report r = GR_INIT(gr_step_report);
        CHECK_OK(gr_trainer_step(s.trainer, &(gr_batch){s.tokens, s.targets, NULL}, &r));
        CHECK_OK(gr_store_read(weights, name, p[i + 1], sizeof p[0]));
        CHECK_OK(gr_store_read(state, "momentum_buffer.transformer.wte.weight", v[i], sizeof v[0]));
    }
    double largest = 0;
    for (int k = 0; k < TINY_VOCAB * 8; k++) {
        largest = fmax(largest, fabs((double)v[0][k]));
        CHECK_NEAR(p[1][k], (double)p[0][k] - 1e-4 * (double)v[0][k], 5e-8);
        CHECK_NEAR(p[2][k], (double)p[1][k] - 1e-4 * (double)v[1][k], 5e-8);
    }
    CHECK(largest > 1e-3);
    for (int k = 0; k < TINY_VOCAB * 8; k++)
        CHECK_NEAR(v[1][k], 1.75 * (double)v[0][k], 1e-2 * largest);
    close_setup(&s);
}

/* Moments of bf16 keep their mean: v, which moves by a thousandth of its way a step, comes to where it should, and would
 * not leave its place were it rounded to the nearest. */
TEST(moments_of_bf16_do_not_stand_still)
{
    enum { N = 20000, STEPS = 300 };
    static float p[N], grad[N];
    static uint16_t moments[N];
    for (int d = 0; test_device(d); d++) {
        NOTE("%s", test_device(d));
        gr_device *device = gr_device_open(test_device(d), 0);
        gr_store *store = gr_store_new(device);
        gr_graph *g = gr_graph_new();
        gr_tensor *state[3];
        for (int k = 0; k < 3; k++) {
            const char *name = (const char *[]){"p", "m", "v"}[k];
            CHECK_OK(gr_store_add(store, name, GR_MOMENT, k ? GR_BF16 : GR_F32, 1, (int64_t[]){N}));
            state[k] = gr_param(g, store, name);
        }
        for (int i = 0; i < N; i++) {
            grad[i] = 0.5f;
            moments[i] = 0x3F80; /* 1 */
        }
        CHECK_OK(gr_store_write(store, "v", moments, sizeof moments));
        gr_adamw_options o = {.size = sizeof o, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .stream = 3};
        gr_tensor *flow = gr_input(g, "grad", GR_F32, 1, (int64_t[]){N}), *step = gr_input(g, "step", GR_I64, 0, NULL);
        gr_adamw(state[0], flow, state[1], state[2], gr_fill(g, GR_F32, 0, NULL, 1e-3), step, NULL, &o);
        gr_program *program = gr_compile(g, NULL, 0, device, NULL);
        CHECK_MADE(program);
        for (int64_t s = 1; s <= STEPS; s++)
            CHECK_OK(gr_program_run(program, (const void *[]){grad, &s}, NULL));
        CHECK_OK(gr_store_read(store, "v", moments, sizeof moments));
        double mean = 0, expected = 0.25 + 0.75 * pow(0.999, STEPS);
        for (int i = 0; i < N; i++) {
            uint32_t word = (uint32_t)moments[i] << 16;
            float v;
            memcpy(&v, &word, sizeof v);
            mean += (double)v / N;
        }
        CHECK_NEAR(mean, expected, 2e-3);
        CHECK_OK(gr_store_read(store, "p", p, sizeof p));
        for (int i = 0; i < N; i++)
            CHECK(isfinite(p[i]) && p[i] < 0);
        gr_program_free(program);
        gr_graph_free(g);
        gr_store_free(store);
        gr_device_close(device);
    }
}

/* So do weights, with moments of either dtype: a step of a thousandth of what lies between two numbers is taken by a
 * thousandth of them. */
TEST(weights_of_bf16_do_not_stand_still)
{
    enum { N = 20000, STEPS = 200 };
    static uint16_t p[N];
    static float grad[N];
    for (int d = 0; test_device(d); d++)
        for (int low = 0; low < 2; low++) {
            NOTE("%s, moments of %s", test_device(d), low ? "bf16" : "f32");
            gr_device *device = gr_device_open(test_device(d), 0);
            gr_store *store = gr_store_new(device);
            gr_graph *g = gr_graph_new();
            gr_tensor *state[3];
            for (int k = 0; k < 3; k++) {
                const char *name = (const char *[]){"p", "m", "v"}[k];
                CHECK_OK(gr_store_add(store, name, GR_WEIGHT, k && !low ? GR_F32 : GR_BF16, 1, (int64_t[]){N}));
                state[k] = gr_param(g, store, name);
            }
            for (int i = 0; i < N; i++) {
                grad[i] = i % 2 ? 0.5f : -0.5f;
                p[i] = 0x3F81; /* 1 + 2^-7, between numbers of that distance */
            }
            CHECK_OK(gr_store_write(store, "p", p, sizeof p));
            gr_adamw_options o = {.size = sizeof o, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .stream = 3};
            gr_tensor *flow = gr_input(g, "grad", GR_F32, 1, (int64_t[]){N}),
                      *step = gr_input(g, "step", GR_I64, 0, NULL);
            gr_adamw(state[0], flow, state[1], state[2], gr_fill(g, GR_F32, 0, NULL, 8e-6), step, NULL, &o);
            gr_program *program = gr_compile(g, NULL, 0, device, NULL);
            CHECK_MADE(program);
            for (int64_t s = 1; s <= STEPS; s++)
                CHECK_OK(gr_program_run(program, (const void *[]){grad, &s}, NULL));
            CHECK_OK(gr_store_read(store, "p", p, sizeof p));
            double mean[2] = {0};
            for (int i = 0; i < N; i++) {
                uint32_t word = (uint32_t)p[i] << 16;
                float value;
                memcpy(&value, &word, sizeof value);
                mean[i % 2] += (double)value / (N / 2);
            }
            CHECK_NEAR(mean[0], 1 + 0x1p-7 + 8e-6 * STEPS, 2e-4); /* Adam's step is the learning rate */
            CHECK_NEAR(mean[1], 1 + 0x1p-7 - 8e-6 * STEPS, 2e-4);
            gr_program_free(program);
            gr_graph_free(g);
            gr_store_free(store);
            gr_device_close(device);
        }
}

TEST(weights_of_bf16_take_half)
{
    gr_train_options o = tiny_options();
    setup wide, low;
    open_setup(&wide, "llama", "cpu", 1, &o);
    o.bf16_weights = true;
    open_setup(&low, "llama", "cpu", 1, &o);
    CHECK(2 * gr_trainer_plan(low.trainer)->weights == gr_trainer_plan(wide.trainer)->weights);
    CHECK(gr_trainer_plan(low.trainer)->optimizer == gr_trainer_plan(wide.trainer)->optimizer);
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; i < gr_store_count(gr_model_store(low.model)); i++) {
        CHECK_OK(gr_store_entry(gr_model_store(low.model), i, &e));
        CHECK_EQ_INT(e.dtype, GR_BF16);
    }
    o.bf16_weights = false;
    CHECK(!gr_trainer_new(low.model, &o));
    CHECK_ERROR(GR_ERR_ARGUMENT, "is bf16, what is trained must be f32");
    o.bf16_weights = true;
    o.precision = GR_PRECISION_FP16;
    CHECK(!gr_trainer_new(wide.model, &o));
    CHECK_ERROR(GR_ERR_ARGUMENT, "fp16 cannot hold all of their values");
    o.precision = GR_PRECISION_F32;
    o.optimizer = GR_MUON;
    CHECK(!gr_trainer_new(wide.model, &o));
    CHECK_ERROR(GR_ERR_ARGUMENT, "muon needs f32");
    close_setup(&wide);
    close_setup(&low);
}

static int count_named(gr_store *store, const char *prefix)
{
    gr_entry e = GR_INIT(gr_entry);
    int n = 0;
    for (int i = 0; i < gr_store_count(store); i++) {
        CHECK_OK(gr_store_entry(store, i, &e));
        n += strncmp(e.name, prefix, strlen(prefix)) == 0;
    }
    return n;
}

/* Matrices of 4,096 elements and more have moments of 8 bits: they learn, by the same bits for any number of threads, and a
 * step that is skipped leaves each code. */
TEST(moments_of_8_bits)
{
    gr_train_options o = tiny_options();
    o.optimizer = GR_ADAMW8BIT;
    o.schedule = GR_CONSTANT;
    o.lr = 5e-3;
    size_t bytes[2];
    unsigned char *all[2], *weights[2];
    for (int k = 0; k < 2; k++) {
        setup s = {.options = o, .device = gr_device_open("cpu", 1 + k)};
        gr_model_info info = tiny_info("gpt2", true);
        info.embed = 64;
        info.ffn = 130; /* blocks of 256 that end between rows */
        s.model = tiny_model_of(&info, s.device, 3);
        CHECK_MADE(s.model);
        s.trainer = gr_trainer_new(s.model, &o);
        CHECK_MADE(s.trainer);
        gr_store *state = gr_trainer_store(s.trainer);
        int blocks = (int)gr_model_describe(s.model)->layers;
        CHECK_EQ_INT(count_named(state, "state1."), 4 * blocks);
        CHECK_EQ_INT(count_named(state, "absmax2."), 4 * blocks);
        CHECK_EQ_INT(count_named(state, "exp_avg_sq."), gr_store_count(gr_model_store(s.model)) - 4 * blocks);
        gr_token tokens[16], targets[16];
        for (int i = 0; i < 16; i++) {
            tokens[i] = i;
            targets[i] = (i * 5 + 3) % TINY_VOCAB;
        }
        gr_step_report r = GR_INIT(gr_step_report);
        for (int i = 0; i < 150; i++)
            CHECK_OK(gr_trainer_step(s.trainer, &(gr_batch){tokens, targets, NULL}, &r));
        CHECK(r.loss < 0.1);
        float bias[64], bad[64];
        const char *name = "transformer.ln_f.bias";
        CHECK_OK(gr_store_read(gr_model_store(s.model), name, bias, sizeof bias));
        memcpy(bad, bias, sizeof bad);
        bad[3] = NAN;
        all[k] = bytes_of(state, &bytes[k]);
        CHECK_OK(gr_store_write(gr_model_store(s.model), name, bad, sizeof bad));
        CHECK_OK(gr_trainer_step(s.trainer, &(gr_batch){tokens, targets, NULL}, &r));
        CHECK(r.skipped);
        CHECK_OK(gr_store_write(gr_model_store(s.model), name, bias, sizeof bias));
        unsigned char *after = bytes_of(state, &bytes[k]);
        CHECK(memcmp(all[k], after, bytes[k]) == 0);
        free(after);
        weights[k] = bytes_of(gr_model_store(s.model), &bytes[1]);
        bytes[1] = bytes[0];
        gr_trainer_free(s.trainer);
        gr_model_free(s.model);
        gr_device_close(s.device);
    }
    CHECK(memcmp(all[0], all[1], bytes[0]) == 0);
    CHECK(memcmp(weights[0], weights[1], 64 * 64) == 0);
    for (int k = 0; k < 2; k++) {
        free(all[k]);
        free(weights[k]);
    }
}

/* Muon is for the matrices of blocks; their first step is as large as its learning rate and the adjustment say. */
TEST(muon_moves_hidden_matrices)
{
    for (int k = 0; k < 4; k++) {
        gr_train_options o = tiny_options();
        o.optimizer = GR_MUON;
        o.warmup = 0;
        o.weight_decay = 0;
        o.lr = 1e-3;
        o.muon_lr = k % 2 ? 4e-3 : 0;
        o.muon_adjust = k < 2 ? GR_MATCH_RMS_ADAMW : GR_ORIGINAL;
        NOTE("case %d", k);
        setup s;
        open_setup(&s, "gpt2", "cpu", 1, &o);
        gr_store *weights = gr_model_store(s.model), *state = gr_trainer_store(s.trainer);
        int blocks = (int)gr_model_describe(s.model)->layers, matrices = 4 * blocks;
        CHECK_EQ_INT(count_named(state, "momentum_buffer."), matrices);
        CHECK_EQ_INT(count_named(state, "exp_avg_sq."), gr_store_count(weights) - matrices);
        CHECK_EQ_INT(gr_store_find(state, "momentum_buffer.transformer.wte.weight"), -1);
        gr_entry e = GR_INIT(gr_entry);
        CHECK_OK(gr_store_entry(weights, gr_store_find(weights, "transformer.h.0.mlp.c_proj.weight"), &e));
        CHECK(e.shape[0] > e.shape[1]);
        float *before = malloc(e.bytes), *after = malloc(e.bytes);
        CHECK_OK(gr_store_read(weights, e.name, before, e.bytes));
        next_step(&s);
        CHECK_OK(gr_store_read(weights, e.name, after, e.bytes));
        double squares = 0, rank = (double)e.shape[1], rows = (double)e.shape[0];
        for (size_t i = 0; i < e.bytes / sizeof *after; i++)
            squares += pow((double)after[i] - (double)before[i], 2);
        double rate = (k % 2 ? 4e-3 : 1e-3) * (k < 2 ? 0.2 * sqrt(rows) : sqrt(rows / rank));
        double singular = sqrt(squares / rank) / rate; /* root of their mean square: the iteration leaves 0.7 to 1.2 */
        CHECK(singular > 0.6 && singular < 1.25);
        free(before);
        free(after);
        close_setup(&s);
    }
}

TEST(clipping_bounds_the_step)
{
    gr_train_options o = tiny_options();
    o.optimizer = GR_SGD;
    o.beta1 = 0;
    o.lr = o.min_lr = 1;
    o.warmup = 0;
    o.weight_decay = 0;
    o.clip = 0.01;
    setup s;
    open_setup(&s, "llama", "cpu", 1, &o);
    size_t size;
    float *before = (float *)bytes_of(gr_model_store(s.model), &size);
    gr_step_report r = next_step(&s);
    float *after = (float *)bytes_of(gr_model_store(s.model), &size);
    double squares = 0;
    for (size_t i = 0; i < size / sizeof *after; i++)
        squares += pow((double)after[i] - (double)before[i], 2);
    CHECK(r.grad_norm > 0.1); /* as it was before clipping */
    CHECK_NEAR(sqrt(squares), 0.01, 1e-5);
    free(before);
    free(after);
    close_setup(&s);
}

/* ---- what goes wrong ---------------------------------------------------------------------------------------- */

TEST(a_nan_skips_the_step_and_is_named)
{
    for (int d = 0; test_device(d); d++)
        for (int k = 0; k <= 2 * GR_ADAMW8BIT; k++) {
            gr_train_options o = tiny_options();
            o.accumulate = 1 + k % 2;
            o.optimizer = (gr_optimizer)((k + 1) / 2);
            NOTE("%s, accumulate %d, optimizer %d", test_device(d), (int)o.accumulate, (int)o.optimizer);
            setup s;
            open_setup(&s, "gpt2", test_device(d), 1, &o);
            next_step(&s);
            const char *name = "transformer.h.1.mlp.c_fc.weight";
            gr_store *weights = gr_model_store(s.model);
            gr_entry e = GR_INIT(gr_entry);
            CHECK_OK(gr_store_entry(weights, gr_store_find(weights, name), &e));
            float *w = malloc(e.bytes), good;
            CHECK_OK(gr_store_read(weights, name, w, e.bytes));
            good = w[5];
            w[5] = NAN;
            CHECK_OK(gr_store_write(weights, name, w, e.bytes));
            size_t n, m;
            unsigned char *before = bytes_of(weights, &n), *moments = bytes_of(gr_trainer_store(s.trainer), &m);
            gr_step_report r = next_step(&s);
            CHECK(r.skipped);
            CHECK_EQ_INT(r.step, 2);
            CHECK_EQ_STR(r.bad, name);
            unsigned char *after = bytes_of(weights, &n), *moments_after = bytes_of(gr_trainer_store(s.trainer), &m);
            CHECK(memcmp(before, after, n) == 0);
            CHECK(memcmp(moments, moments_after, m) == 0);
            w[5] = good; /* the accumulated gradients must not keep the NaN */
            CHECK_OK(gr_store_write(weights, name, w, e.bytes));
            r = next_step(&s);
            CHECK(!r.skipped);
            CHECK(isfinite(r.loss) && isfinite(r.grad_norm));
            free(w);
            free(before);
            free(after);
            free(moments);
            free(moments_after);
            close_setup(&s);
        }
}

TEST(options_are_checked)
{
    gr_device *device = gr_device_open("ref", 1);
    gr_model *m = tiny_model("gpt2", device);
    for (int i = 0; i < 17; i++) {
        NOTE("wrong option %d", i);
        gr_train_options o = tiny_options();
        double *reals[] = {&o.lr,    &o.min_lr,  &o.weight_decay, &o.clip,
                           &o.beta1, &o.dropout, &o.muon_lr,      &o.muon_momentum};
        int64_t *ints[] = {&o.batch, &o.context, &o.accumulate, &o.steps};
        if (i < 8)
            *reals[i] = -1;
        else if (i < 12)
            *ints[i - 8] = 0;
        else if (i == 12)
            o.context = TINY_CONTEXT + 1;
        else if (i == 13)
            o.beta2 = 1;
        else if (i == 14)
            o.optimizer = (gr_optimizer)99;
        else if (i == 15) {
            o.optimizer = GR_LION;
            o.bf16_moments = true;
        } else
            o = (gr_train_options){.size = sizeof o,
                                   .batch = 2,
                                   .context = 8,
                                   .accumulate = 1,
                                   .steps = 1,
                                   .optimizer = GR_MUON,
                                   .eps = 1e-8,
                                   .muon_lr = 1};
        CHECK(!gr_trainer_new(m, &o));
        CHECK_EQ_INT(gr_error_status(), GR_ERR_ARGUMENT);
    }
    gr_train_options o = tiny_options();
    gr_trainer *t = gr_trainer_new(m, &o);
    CHECK_MADE(t);
    gr_token tokens[16] = {0}, targets[16];
    for (int i = 0; i < 16; i++)
        targets[i] = -100;
    gr_step_report r = GR_INIT(gr_step_report);
    CHECK_STATUS(gr_trainer_step(t, &(gr_batch){tokens, targets, NULL}, &r), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "ignored");
    targets[3] = 1;
    tokens[7] = TINY_VOCAB; /* no such row of the embedding */
    CHECK_STATUS(gr_trainer_step(t, &(gr_batch){tokens, targets, NULL}, &r), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "token id 31");
    tokens[7] = 0;
    targets[3] = TINY_VOCAB;
    CHECK_STATUS(gr_trainer_step(t, &(gr_batch){tokens, targets, NULL}, &r), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "target 31");
    CHECK_EQ_INT(gr_trainer_steps(t), 0);
    targets[3] = 1;
    CHECK_OK(gr_trainer_step(t, &(gr_batch){tokens, targets, NULL}, &r));
    double loss;
    CHECK_STATUS(gr_trainer_eval(t, (int32_t[]){1}, 1, NULL, NULL, &loss), GR_ERR_ARGUMENT);
    gr_trainer_free(t);
    gr_model_free(m);
    gr_device_close(device);
}

/* ---- schedules, dropout, data ------------------------------------------------------------------------------- */

TEST(schedules)
{
    gr_train_options o = GR_INIT(gr_train_options);
    CHECK_OK(gr_train_fill_defaults(&o));
    o.steps = 110;
    o.warmup = 10;
    o.lr = 1;
    o.min_lr = 0.1;
    struct {
        gr_schedule schedule;
        int64_t step;
        double lr;
    } want[] = {{GR_COSINE, 0, 0.1},     {GR_COSINE, 4, 0.5},
                {GR_COSINE, 9, 1},       {GR_COSINE, 10, 1},
                {GR_COSINE, 60, 0.55},   {GR_COSINE, 110, 0.1},
                {GR_COSINE, 500, 0.1},   {GR_LINEAR, 10, 1},
                {GR_LINEAR, 60, 0.55},   {GR_LINEAR, 85, 0.325},
                {GR_LINEAR, 110, 0.1},   {GR_WSD, 9, 1},
                {GR_WSD, 60, 1},         {GR_WSD, 89, 1},
                {GR_WSD, 90, 1},         {GR_WSD, 100, 0.55},
                {GR_WSD, 110, 0.1},      {GR_CONSTANT, 4, 0.5},
                {GR_CONSTANT, 10, 1},    {GR_CONSTANT, 109, 1},
                {GR_CONSTANT, 10000, 1}, {GR_COSINE, 35, 0.8681980515339464}};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        NOTE("schedule %d, step %d", (int)want[i].schedule, (int)want[i].step);
        o.schedule = want[i].schedule;
        CHECK_NEAR(gr_learning_rate(&o, want[i].step), want[i].lr, 1e-12);
    }
    o.warmup = 0;
    o.schedule = GR_COSINE;
    CHECK_NEAR(gr_learning_rate(&o, 0), 1, 1e-12);
}

TEST(dropout_keeps_the_mean_and_is_seeded)
{
    for (int d = 0; test_device(d); d++) {
        NOTE("%s", test_device(d));
        enum { N = 40000 };
        gr_device *device = gr_device_open(test_device(d), 0);
        gr_graph *g = gr_graph_new();
        gr_tensor *seed = gr_input(g, "seed", GR_I64, 0, NULL);
        gr_tensor *x = gr_fill(g, GR_F32, 1, (int64_t[]){N}, 2);
        gr_tensor *y[] = {gr_dropout(x, 0.25, seed, 1), gr_dropout(x, 0.25, seed, 2), gr_dropout(x, 0, seed, 1)};
        gr_program *p = gr_compile(g, y, 3, device, NULL);
        CHECK_MADE(p);
        float *a[4];
        for (int i = 0; i < 4; i++)
            a[i] = malloc(N * sizeof(float));
        CHECK_OK(gr_program_run(p, (const void *[]){&(int64_t){5}}, (void *[]){a[0], a[1], a[2]}));
        double mean = 0, dropped = 0;
        for (int i = 0; i < N; i++) {
            CHECK(a[0][i] == 0 || fabsf(a[0][i] - 2 / 0.75f) < 1e-6f);
            CHECK(a[2][i] == 2);
            mean += (double)a[0][i] / N;
            dropped += a[0][i] == 0;
        }
        CHECK_NEAR(dropped / N, 0.25, 0.01); /* 4.6 standard deviations */
        CHECK_NEAR(mean, 2, 0.03);
        CHECK(memcmp(a[0], a[1], N * sizeof(float)) != 0);
        CHECK_OK(gr_program_run(p, (const void *[]){&(int64_t){5}}, (void *[]){a[3], NULL, NULL}));
        CHECK(memcmp(a[0], a[3], N * sizeof(float)) == 0);
        CHECK_OK(gr_program_run(p, (const void *[]){&(int64_t){6}}, (void *[]){a[3], NULL, NULL}));
        CHECK(memcmp(a[0], a[3], N * sizeof(float)) != 0);
        for (int i = 0; i < 4; i++)
            free(a[i]);
        gr_program_free(p);
        gr_graph_free(g);
        gr_device_close(device);
    }
}

static gr_data *counting_data(int64_t n)
{
    int32_t *ids = malloc((size_t)n * sizeof *ids);
    for (int64_t i = 0; i < n; i++)
        ids[i] = (int32_t)i;
    gr_data *d = DATA(.ids = ids, .n_ids = n);
    free(ids);
    CHECK_MADE(d);
    return d;
}

/* Row k begins at token k * context and wraps at the end. */
TEST(sequential_rows)
{
    gr_token tokens[8], targets[8];
    for (int64_t n = 2; n < 40; n += 3) {
        gr_data *d = counting_data(n);
        for (int64_t k = 0; k < 50; k++)
            for (int64_t context = 1; context <= 8; context += 7) {
                gr_data_row(d, false, 9, k, context, tokens, targets);
                for (int64_t i = 0; i < context; i++) {
                    CHECK_EQ_INT(tokens[i], (k * context + i) % n);
                    CHECK_EQ_INT(targets[i], (k * context + i + 1) % n);
                }
            }
        gr_data_free(d);
    }
}

/* Every epoch visits as many windows as fit, none twice, in an order of its own that hangs on the arguments alone. */
TEST(shuffled_rows)
{
    enum { CONTEXT = 5 };
    gr_token tokens[CONTEXT], targets[CONTEXT];
    for (int64_t n = CONTEXT + 1; n < 700; n = n * 3 / 2 + 1) {
        NOTE("%d tokens", (int)n);
        gr_data *d = counting_data(n);
        int64_t fit = (n - 1) / CONTEXT, windows = fit > 2 ? fit - 1 : fit, moved = 0;
        for (int64_t epoch = 0; epoch < 4; epoch++) {
            bool seen[700] = {false};
            int64_t phase = -1;
            for (int64_t k = 0; k < windows; k++) {
                gr_data_row(d, true, 77, epoch * windows + k, CONTEXT, tokens, targets);
                phase = phase < 0 ? tokens[0] % CONTEXT : phase;
                CHECK_EQ_INT(tokens[0] % CONTEXT, phase); /* windows of one epoch do not overlap */
                CHECK(!seen[tokens[0]]);
                seen[tokens[0]] = true;
                for (int64_t i = 0; i < CONTEXT; i++) { /* and do not wrap */
                    CHECK_EQ_INT(tokens[i], tokens[0] + i);
                    CHECK_EQ_INT(targets[i], tokens[0] + i + 1);
                }
                CHECK(targets[CONTEXT - 1] < n);
                int64_t first = tokens[0];
                gr_data_row(d, true, 77, epoch * windows + k, CONTEXT, tokens, targets);
                CHECK_EQ_INT(tokens[0], first);
                gr_data_row(d, true, 78, epoch * windows + k, CONTEXT, tokens, targets);
                moved += tokens[0] != first;
            }
        }
        if (windows > 8)
            CHECK(moved > 2 * windows); /* another seed, another order */
        gr_data_free(d);
    }
}

/* A window cut at a random phase sees every token of the stream in the long run. */
TEST(shuffling_reaches_every_token)
{
    gr_data *d = counting_data(103);
    bool seen[103] = {false};
    gr_token tokens[10], targets[10];
    for (int64_t k = 0; k < 400; k++) {
        gr_data_row(d, true, 1, k, 10, tokens, targets);
        for (int i = 0; i < 10; i++)
            seen[targets[i]] = seen[tokens[i]] = true;
    }
    for (int i = 0; i < 103; i++) {
        NOTE("token %d", i);
        CHECK(seen[i]);
    }
    gr_data_free(d);
}

/* Less text than one row is read round and round. */
TEST(short_data)
{
    gr_data *d = counting_data(3);
    gr_token tokens[7], targets[7];
    for (int shuffle = 0; shuffle < 2; shuffle++) {
        gr_data_row(d, shuffle, 1, 2, 7, tokens, targets);
        for (int i = 0; i < 7; i++) {
            CHECK_EQ_INT(tokens[i], (2 * 7 + i) % 3);
            CHECK_EQ_INT(targets[i], (tokens[i] + 1) % 3);
        }
    }
    gr_data_free(d);
    CHECK(!DATA(.ids = (int32_t[]){1}, .n_ids = 1));
    CHECK_ERROR(GR_ERR_ARGUMENT, "at least 2");
}

TEST(splitting)
{
    gr_data *d = counting_data(100), *e;
    CHECK_STATUS(gr_data_split(d, 0, &e), GR_ERR_ARGUMENT);
    CHECK_STATUS(gr_data_split(d, 1, &e), GR_ERR_ARGUMENT);
    CHECK_STATUS(gr_data_split(d, 0.001, &e), GR_ERR_ARGUMENT);
    CHECK(!e);
    CHECK_OK(gr_data_split(d, 0.1, &e));
    CHECK_EQ_INT(gr_data_describe(d)->tokens, 90);
    CHECK_EQ_INT(gr_data_describe(e)->tokens, 10);
    CHECK_EQ_INT(gr_data_describe(e)->ids[0], 90);
    gr_data_free(e);
    gr_data_free(d);
}

/* The evaluation is the mean over every token, whatever the windows do not fill. */
TEST(evaluation)
{
    gr_train_options o = tiny_options();
    setup s;
    open_setup(&s, "gpt2", "cpu", 1, &o);
    int32_t ids[60];
    tiny_ids(ids, 60);
    double whole, part, sum = 0;
    for (int64_t n = 2; n <= 60; n += 29) {
        CHECK_OK(gr_trainer_eval(s.trainer, ids, n, NULL, NULL, &whole));
        sum = 0;
        for (int64_t at = 0; at + 1 < n; at += o.context) { /* windows of `context`, one by one */
            int64_t m = n - at < o.context + 1 ? n - at : o.context + 1;
            CHECK_OK(gr_trainer_eval(s.trainer, ids + at, m, NULL, NULL, &part));
            sum += part * (double)(m - 1);
        }
        CHECK_NEAR(whole, sum / (double)(n - 1), 1e-5);
    }
    close_setup(&s);
}
