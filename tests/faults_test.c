/* What happens when memory or the disk runs out: the n-th allocation or write fails, for every n. */
#include "same.h"
#include "tiny.h"

#include "program/run.h"
#include "train/run_dir.h"
#include "train/trainer.h"

/* One layer, so that the sweeps stay short. */
static gr_model *small_model(gr_device *device, const char *arch)
{
    gr_model_info info = tiny_info(arch, true);
    info.layers = 1;
    return tiny_model_of(&info, device, 1);
}

static gr_train_options small_options(int64_t accumulate)
{
    gr_train_options o = tiny_options();
    o.batch = 1;
    o.accumulate = accumulate;
    o.steps = 4;
    o.dropout = 0.1;
    return o;
}

/* A thousand runs sync their files: in memory where that can be had, for here it is not about the power going off. */
__attribute__((constructor)) static void use_memory(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

typedef struct fixture {
    gr_device *device;
    gr_model *model;
    gr_train_options options;
    gr_token tokens[16], targets[16];
    double loss; /* of an undisturbed step */
    const char *path;
} fixture;

static void open_fixture(fixture *f, const char *arch, const char *device, int64_t accumulate)
{
    *f = (fixture){.device = gr_device_open(device, 1), .options = small_options(accumulate)};
    CHECK_MADE(f->device);
    f->model = small_model(f->device, arch);
    CHECK_MADE(f->model);
    tiny_batch(&f->options, 0, f->tokens, f->targets);
}

static void close_fixture(fixture *f)
{
    gr_model_free(f->model);
    gr_device_close(f->device);
}

static gr_status load(void *ctx)
{
    fixture *f = ctx;
    gr_model *m = gr_model_load(f->path, NULL, f->device);
    gr_model_free(m);
    return m ? GR_OK : gr_error_status();
}

TEST(loading_a_model)
{
    const char *names[] = {"tests/data/models/llama-gqa-tied", "tests/data/models/gpt2-noprefix",
                           "tests/data/models/llama-bf16"};
    for (int i = 0; i < 3; i++) {
        fixture f = {.device = gr_device_open("cpu", 1), .path = test_source(names[i])};
        CHECK(SWEEP_ALLOCATIONS(load, &f) > 30);
        gr_device_close(f.device);
    }
}

static gr_status open_device(void *ctx)
{
    gr_device *d = gr_device_open(ctx, 3);
    gr_device_close(d);
    return d ? GR_OK : gr_error_status();
}

TEST(opening_a_device)
{
    for (int i = 0; test_device(i); i++) {
        char name[16];
        snprintf(name, sizeof name, "%s", test_device(i));
        CHECK(SWEEP_ALLOCATIONS(open_device, name) > 0);
    }
}

static gr_status make_model(void *ctx)
{
    fixture *f = ctx;
    gr_model *m = small_model(f->device, "llama");
    gr_model_free(m);
    return m ? GR_OK : gr_error_status();
}

TEST(making_a_model)
{
    fixture f = {.device = gr_device_open("cpu", 1)};
    CHECK(SWEEP_ALLOCATIONS(make_model, &f) > 20);
    gr_device_close(f.device);
}

static gr_status make_trainer(void *ctx)
{
    fixture *f = ctx;
    gr_trainer *t = gr_trainer_new(f->model, &f->options);
    gr_trainer_free(t);
    return t ? GR_OK : gr_error_status();
}

TEST(making_a_trainer)
{
    const char *archs[] = {"gpt2", "llama"};
    for (int i = 0; i < 2; i++) {
        fixture f;
        open_fixture(&f, archs[i], i ? "ref" : "cpu", 1 + i);
        CHECK(SWEEP_ALLOCATIONS(make_trainer, &f) > 100);
        close_fixture(&f);
    }
}

/* The first step and evaluation take all memory. A step that fails does nothing: done again, it gives the same loss. */
static gr_status step(void *ctx)
{
    fixture *f = ctx;
    gr_step_report r = GR_INIT(gr_step_report);
    double loss;
    int64_t to_go = gr_mem_fail_at(0); /* only the steps are to fail */
    gr_trainer *t = gr_trainer_new(f->model, &f->options);
    CHECK_MADE(t);
    gr_train_options still = f->options; /* the model must stay as it is */
    CHECK_EQ_INT((int64_t)still.lr, 0);
    gr_mem_fail_at(to_go);
    gr_status s = gr_trainer_step(t, &(gr_batch){f->tokens, f->targets, NULL}, &r);
    bool failed = s != GR_OK;
    if (failed) {
        CHECK_EQ_INT(gr_trainer_steps(t), 0);
        CHECK_OK(gr_trainer_step(t, &(gr_batch){f->tokens, f->targets, NULL}, &r));
    } else {
        int32_t ids[] = {1, 2, 3, 4};
        s = gr_trainer_eval(t, ids, 4, NULL, NULL, &loss);
    }
    CHECK_NEAR(r.loss, f->loss, 0);
    gr_trainer_free(t);
    return s;
}

TEST(stepping)
{
    for (int i = 0; i < (test_device(3) ? 3 : 2); i++) {
        fixture f;
        open_fixture(&f, "gpt2", i < 2 ? "cpu" : test_device(3), 1 + i % 2);
        f.options.lr = f.options.min_lr = 0;
        gr_step_report r = GR_INIT(gr_step_report);
        gr_trainer *t = gr_trainer_new(f.model, &f.options);
        CHECK_OK(gr_trainer_step(t, &(gr_batch){f.tokens, f.targets, NULL}, &r));
        f.loss = r.loss;
        gr_trainer_free(t);
        CHECK_OK(step(&f)); /* what the device keeps: kernels */
        CHECK(SWEEP_ALLOCATIONS(step, &f) > 10);
        close_fixture(&f);
    }
}

static gr_status generate(void *ctx)
{
    fixture *f = ctx;
    gr_generator *g = gr_generator_new(f->model, 1, 8);
    float logits[TINY_VOCAB];
    gr_status s = g ? gr_generator_feed(g, (const gr_token *[]){f->tokens}, (int64_t[]){5}, logits) : gr_error_status();
    if (s == GR_OK)
        s = gr_generator_feed(g, (const gr_token *[]){f->tokens}, (int64_t[]){1}, logits);
    const gr_sampling how = {.size = sizeof how, .temperature = 0.8, .top_p = 0.95};
    if (s == GR_OK && gr_sample_token(&how, logits, TINY_VOCAB, f->tokens, 5, 5) < 0)
        s = gr_error_status();
    gr_generator_free(g);
    return s;
}

TEST(generating)
{
    const char *archs[] = {"gpt2", "llama", "llama"};
    for (int i = 0; i < (test_device(3) ? 3 : 2); i++) {
        fixture f;
        open_fixture(&f, archs[i], i < 2 ? "cpu" : test_device(3), 1);
        CHECK_OK(generate(&f)); /* what the device keeps: kernels */
        CHECK(SWEEP_ALLOCATIONS(generate, &f) > 100);
        close_fixture(&f);
    }
}

static gr_status evaluate(void *ctx)
{
    (void)ctx;
    gr_graph *g = gr_graph_new();
    gr_tensor *x = gr_iota(g, GR_F32, 6);
    gr_tensor *y = gr_sum(gr_softmax(gr_reshape(x, 2, (int64_t[]){2, 3})), 0, false), *dx[1];
    gr_status s = gr_grad(y, &x, dx, 1);
    double value = s == GR_OK ? gr_item(y) : NAN;
    gr_graph_free(g);
    if (!isnan(value))
        CHECK_NEAR(value, 2, 1e-5);
    return isnan(value) ? gr_error_status() : GR_OK;
}

TEST(exploring)
{
    CHECK(SWEEP_ALLOCATIONS(evaluate, NULL) > 10);
}

/* ---- a run -------------------------------------------------------------------------------------------------- */

typedef struct run_fixture {
    fixture f;
    gr_data *data, *eval;
    gr_run_options options;
    char dir[300], good[300]; /* of the run at hand, and of an undisturbed one */
    int without_checkpoint;   /* how many runs ended before their first */
} run_fixture;

static gr_status train(run_fixture *r, const char *dir, bool resume)
{
    CHECK_OK(gr_model_init(r->f.model, 1));
    r->options.dir = dir;
    r->options.resume = resume;
    return gr_train_run(r->f.model, r->data, r->eval, &r->options);
}

static void open_run(run_fixture *r)
{
    int32_t ids[64];
    *r = (run_fixture){.options = {.size = sizeof r->options, .save_every = 1, .eval_every = 2, .keep = 1}};
    open_fixture(&r->f, "gpt2", "cpu", 1);
    r->options.train = r->f.options;
    static const char *const own_files[][2] = {{"tokenizer.json", "{}"}};
    r->options.files = own_files;
    r->options.n_files = 1;
    tiny_ids(ids, 64);
    r->data = DATA(.ids = ids, .n_ids = 64);
    CHECK_OK(gr_data_split(r->data, 0.2, &r->eval));
    snprintf(r->dir, sizeof r->dir, "%s/run", test_dir());
    snprintf(r->good, sizeof r->good, "%s/good", test_dir());
    CHECK_OK(train(r, r->good, false));
}

static void close_run(run_fixture *r)
{
    gr_data_free(r->eval);
    gr_data_free(r->data);
    close_fixture(&r->f);
}

/* Whatever failed: every checkpoint that is there is whole, and going on ends where the undisturbed run did. */
static void check_aftermath(run_fixture *r)
{
    int64_t *steps;
    size_t count;
    CHECK_OK(gr_checkpoint_list(r->dir, &steps, &count));
    gr_free(steps);
    if (!count && ++r->without_checkpoint % 16) /* all of these go on from nothing: a few will do */
        return;
    if (count)
        CHECK_OK(gr_verify(r->dir, NULL, NULL));
    CHECK_OK(train(r, r->dir, true));
    const char *files[] = {"latest/model.safetensors", "latest/training.safetensors", "best/model.safetensors",
                           "loss.svg"};
    for (int i = 0; i < 4; i++)
        check_same_file(r->dir, r->good, files[i]);
    CHECK_OK(gr_dir_remove(r->dir));
}

static gr_status disturbed_run(run_fixture *r, int64_t (*fail_at)(int64_t))
{
    int64_t to_go = fail_at(0);
    CHECK_OK(gr_dir_remove(r->dir));
    CHECK_OK(gr_model_init(r->f.model, 1));
    r->options.dir = r->dir;
    r->options.resume = true;
    gr_error_clear();
    fail_at(to_go);
    gr_status s = gr_train_run(r->f.model, r->data, r->eval, &r->options);
    to_go = fail_at(0);
    char message[512];
    gr_status status = gr_error_status();
    snprintf(message, sizeof message, "%s", gr_error());
    check_aftermath(r);
    if (s != GR_OK)
        gr_fail(status, "%s", message); /* as it was */
    fail_at(to_go);
    return s;
}

static gr_status without_memory(void *ctx)
{
    return disturbed_run(ctx, gr_mem_fail_at);
}

static gr_status without_disk(void *ctx)
{
    return disturbed_run(ctx, gr_file_fail_at);
}

TEST(a_run_without_disk)
{
    run_fixture r;
    open_run(&r);
    CHECK(SWEEP_WRITES(without_disk, &r) > 50);
    close_run(&r);
}

TEST(a_run_without_memory)
{
    run_fixture r;
    open_run(&r);
    r.f.options.steps = 2;
    CHECK_OK(gr_dir_remove(r.good));
    CHECK_OK(train(&r, r.good, false));
    CHECK(SWEEP_ALLOCATIONS(without_memory, &r) > 100);
    close_run(&r);
}
