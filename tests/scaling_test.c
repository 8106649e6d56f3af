/* Loss scaling: against torch.amp.GradScaler, and what a run does with it. */
#include "same.h"
#include "tiny.h"

#include "format/safetensors.h"
#include "op/optimizer.h"
#include "program/run.h"
#include "train/run_dir.h"
#include "train/scaling.h"

/* ---- PyTorch's ---------------------------------------------------------------------------------------------- */

enum { TRACES = 2, TRACE_STEPS = 300 };

/* tools/oracle/make_amp.py */
typedef struct trace {
    gr_safetensors *file;
    const int64_t *interval, *overflows, *growth, *skipped;
    const float *scale;
} trace;

static const void *data_of(const trace *t, const char *name)
{
    const gr_weight *w = gr_safetensors_find(t->file, name);
    if (!w)
        FAIL("amp.safetensors has no %s", name);
    return w->data;
}

static trace open_trace(void)
{
    trace t = {.file = gr_safetensors_open(test_source("tests/data/amp.safetensors"))};
    CHECK_MADE(t.file);
    t.interval = data_of(&t, "scaler.interval");
    t.overflows = data_of(&t, "scaler.overflows");
    t.growth = data_of(&t, "scaler.growth");
    t.skipped = data_of(&t, "scaler.skipped");
    t.scale = data_of(&t, "scaler.scale");
    return t;
}

typedef struct scaler {
    float scale;
    int64_t growth, updates;
} scaler;

static scaler read_scaler(gr_store *store)
{
    scaler s;
    CHECK_OK(gr_store_read(store, "loss_scale", &s.scale, sizeof s.scale));
    CHECK_OK(gr_store_read(store, "growth_count", &s.growth, sizeof s.growth));
    CHECK_OK(gr_store_read(store, "update_count", &s.updates, sizeof s.updates));
    return s;
}

/* Where trace k is after step i; *updates counts. */
static void check_step(const trace *t, int k, int i, gr_store *store, int64_t *updates)
{
    scaler s = read_scaler(store);
    int at = k * TRACE_STEPS + i;
    NOTE("interval %d, step %d", (int)t->interval[k], i);
    *updates += !t->skipped[at];
    CHECK(s.scale == t->scale[at]);
    CHECK_EQ_INT(s.growth, t->growth[at]);
    CHECK_EQ_INT(s.updates, *updates);
    CHECK_EQ_INT(t->skipped[at], t->overflows[i]);
}

static void check_op(const char *name, const trace *t, int k)
{
    gr_device *device = gr_device_open(name, 1);
    gr_store *store = gr_store_new(device);
    gr_graph *g = gr_graph_new();
    CHECK_OK(gr_store_add(store, "loss_scale", GR_MOMENT, GR_F32, 0, NULL));
    CHECK_OK(gr_store_add(store, "growth_count", GR_MOMENT, GR_I64, 0, NULL));
    CHECK_OK(gr_store_add(store, "update_count", GR_MOMENT, GR_I64, 0, NULL));
    CHECK_OK(gr_store_write(store, "loss_scale", &(float){65536}, sizeof(float)));
    gr_loss_scale_attr a = {2, 0.5f, t->interval[k]};
    CHECK_MADE(gr_loss_scale(gr_param(g, store, "loss_scale"), gr_param(g, store, "growth_count"),
                             gr_param(g, store, "update_count"), gr_input(g, "norm", GR_F32, 0, NULL), &a));
    gr_program *p = gr_compile(g, NULL, 0, device, NULL);
    CHECK_MADE(p);
    int64_t updates = 0;
    for (int i = 0; i < TRACE_STEPS; i++) {
        float norm = t->overflows[i] ? (i % 2 ? NAN : INFINITY) : 1;
        CHECK_OK(gr_program_run(p, (const void *[]){&norm}, NULL));
        check_step(t, k, i, store, &updates);
    }
    gr_program_free(p);
    gr_graph_free(g);
    gr_store_free(store);
    gr_device_close(device);
}

TEST(the_op_is_grad_scaler)
{
    static const char *const devices[] = {"ref", "cpu", "far"};
    trace t = open_trace();
    for (int d = 0; d < 3; d++)
        for (int k = 0; k < TRACES; k++)
            check_op(devices[d], &t, k);
    gr_safetensors_close(t.file);
}

/* What would be infinite does not grow. */
TEST(a_scale_stays_finite)
{
    static const char *const devices[] = {"ref", "cpu"};
    for (int d = 0; d < 2; d++) {
        gr_device *device = gr_device_open(devices[d], 1);
        gr_store *store = gr_store_new(device);
        gr_graph *g = gr_graph_new();
        CHECK_OK(gr_store_add(store, "loss_scale", GR_MOMENT, GR_F32, 0, NULL));
        CHECK_OK(gr_store_add(store, "growth_count", GR_MOMENT, GR_I64, 0, NULL));
        CHECK_OK(gr_store_add(store, "update_count", GR_MOMENT, GR_I64, 0, NULL));
        CHECK_OK(gr_store_write(store, "loss_scale", &(float){0x1p127f}, sizeof(float)));
        gr_loss_scale(gr_param(g, store, "loss_scale"), gr_param(g, store, "growth_count"),
                      gr_param(g, store, "update_count"), gr_fill(g, GR_F32, 0, NULL, 1),
                      &(gr_loss_scale_attr){2, 0.5f, 1});
        gr_program *p = gr_compile(g, NULL, 0, device, NULL);
        CHECK_OK(gr_program_run(p, NULL, NULL));
        scaler s = read_scaler(store);
        CHECK(s.scale == 0x1p127f && s.growth == 0 && s.updates == 1);
        gr_program_free(p);
        gr_graph_free(g);
        gr_store_free(store);
        gr_device_close(device);
    }
}

/* ---- a trainer ---------------------------------------------------------------------------------------------- */

typedef struct trial {
    gr_device *device;
    gr_model *model;
    gr_trainer *trainer;
    gr_train_options o;
} trial;

static trial open_trial(gr_train_options o)
{
    trial t = {.device = gr_device_open("cpu", 2), .o = o};
    t.model = tiny_model("gpt2", t.device);
    t.trainer = gr_trainer_new(t.model, &o);
    CHECK_MADE(t.trainer);
    return t;
}

static void close_trial(trial *t)
{
    gr_trainer_free(t->trainer);
    gr_model_free(t->model);
    gr_device_close(t->device);
}

static gr_step_report take_step(trial *t, int64_t i)
{
    gr_token tokens[256], targets[256];
    gr_step_report r = GR_INIT(gr_step_report);
    tiny_batch(&t->o, i, tokens, targets);
    CHECK_OK(gr_trainer_step(t->trainer, &(gr_batch){tokens, targets, NULL}, &r));
    return r;
}

static gr_train_options fp16_options(void)
{
    gr_train_options o = tiny_options();
    o.precision = GR_PRECISION_FP16;
    o.steps = TRACE_STEPS;
    return o;
}

/* All weights and moments in a row. Caller frees. */
static unsigned char *state_of(trial *t, size_t *size)
{
    gr_store *stores[] = {gr_model_store(t->model), gr_trainer_store(t->trainer)};
    unsigned char *all = NULL;
    *size = 0;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < gr_store_count(stores[k]); i++) {
            gr_entry e = GR_INIT(gr_entry);
            CHECK_OK(gr_store_entry(stores[k], i, &e));
            if (strcmp(e.name, "loss_scale") == 0 || strcmp(e.name, "growth_count") == 0)
                continue;
            all = realloc(all, *size + e.bytes);
            CHECK_OK(gr_store_read(stores[k], e.name, all + *size, e.bytes));
            *size += e.bytes;
        }
    return all;
}

/* 8 values each, added to the residual stream */
static const char *const biases[] = {"transformer.h.0.mlp.c_proj.bias", "transformer.h.1.mlp.c_proj.bias"};

/* A step with a weight that 16 bits make infinite; it leaves everything but the scale. */
static gr_step_report overflow(trial *t, int64_t i)
{
    float was[8], large[8] = {0, 1e30f};
    size_t size, after;
    gr_store *weights = gr_model_store(t->model);
    CHECK_OK(gr_store_read(weights, biases[1], was, sizeof was));
    CHECK_OK(gr_store_write(weights, biases[1], large, sizeof large));
    CHECK_OK(gr_scaling_begin(t->trainer));
    unsigned char *before = state_of(t, &size);
    gr_step_report r = take_step(t, i);
    unsigned char *now = state_of(t, &after);
    CHECK(size == after && memcmp(before, now, size) == 0);
    free(before);
    free(now);
    CHECK_OK(gr_store_write(weights, biases[1], was, sizeof was));
    return r;
}

static void check_trainer(int64_t accumulate)
{
    trace want = open_trace();
    gr_train_options o = fp16_options();
    o.accumulate = accumulate;
    trial t = open_trial(o);
    float scale = 65536;
    int64_t updates = 0;
    for (int i = 0; i < TRACE_STEPS; i++) {
        gr_step_report r = want.overflows[i] ? overflow(&t, i) : take_step(&t, i);
        check_step(&want, 0, i, gr_trainer_store(t.trainer), &updates);
        CHECK_EQ_INT(r.skipped, want.skipped[i]);
        CHECK(r.loss_scale == (double)scale && t.trainer->scale == want.scale[i]);
        scale = want.scale[i];
        CHECK(!r.skipped || (r.bad && strcmp(r.bad, "grad_norm") != 0));
        CHECK_EQ_INT(r.step, i + 1);
    }
    CHECK_OK(gr_scaling_check(t.trainer));
    close_trial(&t);
    gr_safetensors_close(want.file);
}

TEST(three_hundred_steps_with_five_overflows)
{
    check_trainer(1);
    check_trainer(3); /* one decision a step */
}

static unsigned char *trained_with(double scale, int64_t steps, size_t *size)
{
    gr_train_options o = fp16_options();
    float wpe[TINY_CONTEXT * 8];
    o.batch = 1;
    o.context = 3;
    o.loss_scale = scale;
    trial t = open_trial(o);
    gr_store *weights = gr_model_store(t.model);
    CHECK_OK(gr_store_read(weights, "transformer.wpe.weight", wpe, sizeof wpe));
    for (int i = 0; i < TINY_CONTEXT * 8; i++)
        wpe[i] *= 20; /* norms then leave gradients about as large as they are */
    CHECK_OK(gr_store_write(weights, "transformer.wpe.weight", wpe, sizeof wpe));
    for (int64_t i = 0; i < steps; i++)
        CHECK(!take_step(&t, i).skipped);
    unsigned char *all = state_of(&t, size);
    close_trial(&t);
    return all;
}

/* A power of 2 moves no digit, where no gradient is too large for 16 bits, or so small that it loses some. */
TEST(a_scale_changes_no_bit)
{
    size_t size, other;
    unsigned char *a = trained_with(256, 5, &size), *b = trained_with(65536, 5, &other);
    CHECK(size == other && memcmp(a, b, size) == 0);
    free(a);
    free(b);
}

/* ... and where it is found, training goes on with the norm and the clipping of f32. */
TEST(norms_are_those_of_f32)
{
    gr_train_options o = fp16_options();
    trial scaled = open_trial(o);
    o.precision = GR_PRECISION_F32;
    trial plain = open_trial(o);
    for (int i = 0; i < 10; i++) {
        gr_step_report a = take_step(&scaled, i), b = take_step(&plain, i);
        CHECK_NEAR(a.grad_norm, b.grad_norm, 5e-3 * b.grad_norm);
        CHECK_NEAR(a.loss, b.loss, 5e-3);
        CHECK(a.loss_scale == 65536 && b.loss_scale == 0);
    }
    close_trial(&scaled);
    close_trial(&plain);
}

/* ---- what is refused ---------------------------------------------------------------------------------------- */

TEST(scales_that_are_refused)
{
    const double bad[] = {-1, NAN, INFINITY, 16777217, 1e-60};
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("gpt2", device);
    gr_train_options o = fp16_options();
    for (int i = 0; i < 5; i++) {
        o.loss_scale = bad[i];
        CHECK(!gr_trainer_new(m, &o));
        CHECK(strstr(gr_error(), "loss_scale"));
    }
    o.loss_scale = 256;
    o.precision = GR_PRECISION_BF16;
    CHECK(!gr_trainer_new(m, &o));
    CHECK(strstr(gr_error(), "a loss_scale is of fp16"));
    o.precision = (gr_precision)3;
    CHECK(!gr_trainer_new(m, &o));
    CHECK(strstr(gr_error(), "no precision number 3"));
    gr_model_free(m);
    gr_device_close(device);
}

TEST(a_damaged_state)
{
    const float scales[] = {0, -2, NAN, INFINITY};
    trial t = open_trial(fp16_options());
    gr_store *state = gr_trainer_store(t.trainer);
    take_step(&t, 0);
    for (int i = 0; i < 4; i++) {
        CHECK_OK(gr_scaling_write(t.trainer, scales[i]));
        CHECK_STATUS(gr_scaling_check(t.trainer), GR_ERR_FILE);
        CHECK(strstr(gr_error(), "tensor \"loss_scale\" is"));
    }
    CHECK_OK(gr_scaling_write(t.trainer, 1));
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "update_count" : "growth_count";
        int64_t counts[] = {-1, i ? 2 : 2000}, fine = 1;
        for (int k = 0; k < 2; k++) {
            CHECK_OK(gr_store_write(state, name, &counts[k], sizeof *counts));
            CHECK_STATUS(gr_scaling_check(t.trainer), GR_ERR_FILE);
            CHECK(strstr(gr_error(), name));
        }
        CHECK_OK(gr_store_write(state, name, &fine, sizeof fine));
    }
    CHECK_OK(gr_scaling_check(t.trainer));
    close_trial(&t);
}

/* ---- runs --------------------------------------------------------------------------------------------------- */

typedef struct a_run {
    gr_precision precision;
    double loss_scale;
    float factor; /* of the embedding: large gradients overflow */
    bool poisoned;
    int64_t stop_at;
} a_run;

static bool go_on(void *user, const gr_run_event *e)
{
    return e->step != ((const a_run *)user)->stop_at;
}

static gr_status session(a_run *r, const char *dir, bool resume)
{
    enum { N = 400 };
    int32_t ids[N];
    tiny_ids(ids, N);
    gr_device *device = gr_device_open("cpu", 2);
    gr_model *m = tiny_model("gpt2", device);
    gr_data *data = DATA(.ids = ids, .n_ids = N);
    float wte[TINY_VOCAB * 8], large[8] = {60000}; /* 16 bits hold it, and not the sum of two */
    CHECK_OK(gr_store_read(gr_model_store(m), "transformer.wte.weight", wte, sizeof wte));
    for (int i = 0; i < TINY_VOCAB * 8; i++)
        wte[i] *= r->factor;
    CHECK_OK(gr_store_write(gr_model_store(m), "transformer.wte.weight", wte, sizeof wte));
    for (int i = 0; r->poisoned && i < 2; i++)
        CHECK_OK(gr_store_write(gr_model_store(m), biases[i], large, sizeof large));
    gr_train_options o = fp16_options();
    o.steps = 24;
    o.accumulate = 2;
    o.dropout = 0.1;
    o.precision = r->precision;
    o.loss_scale = r->loss_scale;
    gr_run_options run = GR_INIT(gr_run_options);
    run.train = o;
    run.dir = dir;
    run.save_every = 4;
    run.keep = 10;
    run.shuffle = true;
    run.resume = resume;
    run.event = go_on;
    run.user = r;
    gr_status s = gr_train_run(m, data, NULL, &run);
    gr_data_free(data);
    gr_model_free(m);
    gr_device_close(device);
    return s;
}

static int count_in(const char *dir, const char *text)
{
    size_t n;
    int found = 0;
    char *metrics = gr_file_read(test_join(dir, "metrics.jsonl"), 1 << 24, &n);
    CHECK_MADE(metrics);
    for (const char *at = metrics; (at = strstr(at, text)); at++)
        found++;
    gr_free(metrics);
    return found;
}

/* Stopped among skipped steps and after them, it ends with the same bits. */
TEST(a_run_goes_on_with_its_scale)
{
    char whole[300], parts[300];
    snprintf(whole, sizeof whole, "%s/whole", test_dir());
    snprintf(parts, sizeof parts, "%s/parts", test_dir());
    a_run r = {.precision = GR_PRECISION_FP16, .factor = 300};
    CHECK_OK(session(&r, whole, false));
    int skipped = count_in(whole, "\"skipped\":true,\"loss_scale\":");
    CHECK(skipped >= 2 && skipped < 20);
    CHECK_EQ_INT(count_in(whole, "\"loss_scale\":65536"), 1);
    CHECK_EQ_INT(count_in(whole, "\"loss_scale\":32768"), 1);
    r.stop_at = 2;
    CHECK_STATUS(session(&r, parts, false), GR_ERR_INTERRUPTED);
    r.stop_at = 13;
    CHECK_STATUS(session(&r, parts, true), GR_ERR_INTERRUPTED);
    r.stop_at = 0;
    CHECK_OK(session(&r, parts, true));
    CHECK_EQ_INT(count_in(parts, "\"skipped\":true"), skipped);
    snprintf(whole + strlen(whole), 40, "/checkpoints/step-24");
    snprintf(parts + strlen(parts), 40, "/checkpoints/step-24");
    check_same_file(whole, parts, "model.safetensors");
    check_same_file(whole, parts, "training.safetensors");
}

TEST(a_run_keeps_its_precision)
{
    char dir[300];
    snprintf(dir, sizeof dir, "%s/kept", test_dir());
    a_run r = {.precision = GR_PRECISION_FP16, .factor = 1, .loss_scale = 1024, .stop_at = 5};
    CHECK_STATUS(session(&r, dir, false), GR_ERR_INTERRUPTED);
    r.loss_scale = 2048;
    CHECK_STATUS(session(&r, dir, true), GR_ERR_FILE);
    CHECK(strstr(gr_error(), "tensor \"loss_scale\" is 1024, the run's is fixed at 2048"));
    r.loss_scale = 0;
    r.precision = GR_PRECISION_BF16;
    CHECK_STATUS(session(&r, dir, true), GR_ERR_FILE);
    CHECK(strstr(gr_error(), "was trained in \"fp16\", this is to be bf16"));
}

/* Nothing helps: the scale falls below 1, and the run ends. */
TEST(a_run_that_is_lost)
{
    char dir[300];
    snprintf(dir, sizeof dir, "%s/lost", test_dir());
    a_run r = {.precision = GR_PRECISION_FP16, .factor = 1, .poisoned = true};
    CHECK_STATUS(session(&r, dir, false), GR_ERR_NUMBER);
    CHECK(strstr(gr_error(), "is not finite though the loss is hardly scaled any more (step 17: by 1)"));
    CHECK(strstr(gr_error(), "training: transformer.h."));
    CHECK_EQ_INT(count_in(dir, "\"skipped\":true"), 17);
    CHECK_EQ_INT(count_in(dir, "\"loss_scale\":1}"), 1);
}

TEST(a_run_of_weights_that_16_bits_cannot_hold)
{
    char dir[300];
    snprintf(dir, sizeof dir, "%s/large", test_dir());
    a_run r = {.precision = GR_PRECISION_FP16, .factor = 1e8f};
    CHECK_STATUS(session(&r, dir, false), GR_ERR_NUMBER);
    CHECK(strstr(gr_error(), "tensor \"transformer.wte.weight\": value 0, "));
    r.precision = GR_PRECISION_BF16;
    r.stop_at = 1;
    CHECK_STATUS(session(&r, dir, false), GR_ERR_INTERRUPTED);
}
