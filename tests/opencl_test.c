/* Devices of OpenCL as the whole library uses them: training, generating and saving as on cpu, nothing made anew once it
 * runs, errors of memory and data, and what happens when the n-th call of OpenCL fails, for every n. Skipped where there
 * is none. */
#include "same.h"
#include "tiny.h"

#include "backend/gpu/gpu.h"
#include "program/run.h"
#include "program/store.h"

/* ---- fixtures ----------------------------------------------------------------------------------------------- */

static gr_device *open_opencl(void)
{
    gr_device *d = gr_device_open("opencl", 1);
    if (!d && gr_error_status() == GR_ERR_UNSUPPORTED)
        SKIP("no OpenCL device (tools/setup --gpu)");
    CHECK_MADE(d);
    return d;
}

typedef struct training {
    gr_device *device;
    gr_model *model;
    gr_trainer *trainer;
    gr_train_options options;
} training;

static void open_training(training *t, gr_device *device, const char *arch)
{
    *t = (training){.device = device, .options = tiny_options()};
    t->options.steps = 30;
    t->options.dropout = strcmp(arch, "gpt2") == 0 ? 0.1 : 0;
    t->model = tiny_model(arch, device);
    CHECK_MADE(t->model);
    t->trainer = gr_trainer_new(t->model, &t->options);
    CHECK_MADE(t->trainer);
}

static void close_training(training *t)
{
    gr_trainer_free(t->trainer);
    gr_model_free(t->model);
    gr_device_close(t->device);
}

static double step(training *t, int64_t number)
{
    gr_token tokens[64], targets[64];
    gr_step_report r = GR_INIT(gr_step_report);
    tiny_batch(&t->options, number, tokens, targets);
    CHECK_OK(gr_trainer_step(t->trainer, &(gr_batch){tokens, targets, NULL}, &r));
    return r.loss;
}

/* All of a store's floats, one tensor behind the other; caller frees. */
static float *weights(gr_store *s, size_t *n)
{
    *n = 0;
    for (int i = 0; i < gr_store_count(s); i++) {
        gr_entry e = GR_INIT(gr_entry);
        CHECK_OK(gr_store_entry(s, i, &e));
        *n += e.bytes / sizeof(float);
    }
    float *all = malloc(*n * sizeof *all + 1), *at = all;
    for (int i = 0; i < gr_store_count(s); i++) {
        gr_entry e = GR_INIT(gr_entry);
        CHECK_OK(gr_store_entry(s, i, &e));
        CHECK_OK(gr_store_read(s, e.name, at, e.bytes));
        at += e.bytes / sizeof(float);
    }
    return all;
}

/* ---- the same as cpu ---------------------------------------------------------------------------------------- */

TEST(trains_as_cpu_does_and_twice_the_same)
{
    static const char *const archs[] = {"gpt2", "llama"};
    enum { STEPS = 30 };
    for (int a = 0; a < 2; a++) {
        double loss[3][STEPS];
        float *w[3];
        size_t n[3];
        for (int k = 0; k < 3; k++) {
            training t;
            open_training(&t, k ? open_opencl() : gr_device_open("cpu", 1), archs[a]);
            for (int i = 0; i < STEPS; i++)
                loss[k][i] = step(&t, i);
            w[k] = weights(gr_model_store(t.model), &n[k]);
            close_training(&t);
        }
        CHECK(loss[0][STEPS - 1] < loss[0][0] - 0.1);
        for (int i = 0; i < STEPS; i++) {
            NOTE("%s, step %d", archs[a], i);
            CHECK_NEAR(loss[1][i], loss[0][i], 1e-4);
            CHECK(loss[1][i] == loss[2][i]);
        }
        CHECK(n[0] == n[1] && n[1] == n[2] && memcmp(w[1], w[2], n[1] * sizeof(float)) == 0);
        double off = 0; /* a weight whose gradient is noise, as that of a key's bias, goes where the noise goes */
        for (size_t i = 0; i < n[0]; i++)
            off += fabs((double)w[1][i] - (double)w[0][i]) / (double)n[0];
        CHECK_NEAR(off, 0, 1e-4);
        for (int k = 0; k < 3; k++)
            free(w[k]);
    }
}

static int greedy(const float *logits)
{
    int best = 0;
    for (int i = 1; i < TINY_VOCAB; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

TEST(generates_as_cpu_does)
{
    static const char *const archs[] = {"gpt2", "llama"};
    enum { TOKENS = 12 };
    for (int a = 0; a < 2; a++) {
        int ids[2][TOKENS];
        for (int k = 0; k < 2; k++) {
            gr_device *d = k ? open_opencl() : gr_device_open("cpu", 1);
            gr_model *m = tiny_model(archs[a], d);
            gr_generator *g = gr_generator_new(m, 1, 16);
            float logits[TINY_VOCAB];
            gr_token next[] = {3, 1, 4};
            int64_t n = 3;
            CHECK_MADE(g);
            for (int i = 0; i < TOKENS; i++, n = 1) {
                CHECK_OK(gr_generator_feed(g, (const gr_token *[]){next}, &n, logits));
                next[0] = ids[k][i] = greedy(logits);
            }
            gr_generator_free(g);
            gr_model_free(m);
            gr_device_close(d);
        }
        CHECK(memcmp(ids[0], ids[1], sizeof ids[0]) == 0);
    }
}

/* ---- nothing is made anew ----------------------------------------------------------------------------------- */

TEST(from_the_third_step_on_nothing_is_made)
{
    training t;
    open_training(&t, open_opencl(), "gpt2");
    const gr_gpu *g = t.device->own;
    for (int i = 0; i < 2; i++)
        step(&t, i);
    gr_gpu_counts before = g->counts;
    int64_t blocks = g->pool.blocks, allocations = gr_mem_read_stats().calls;
    for (int i = 2; i < 6; i++)
        step(&t, i);
    CHECK_EQ_INT(g->counts.builds, before.builds);
    CHECK_EQ_INT(g->counts.lookups, before.lookups);
    CHECK_EQ_INT(g->counts.binds, before.binds);
    CHECK_EQ_INT(g->pool.blocks, blocks);
    CHECK_EQ_INT(gr_mem_read_stats().calls, allocations);
    CHECK(g->counts.launches >= before.launches * 2);
    close_training(&t);
}

/* ---- errors ------------------------------------------------------------------------------------------------- */

TEST(too_large_for_the_device)
{
    gr_device *d = open_opencl();
    gr_device_info info = GR_INIT(gr_device_info);
    CHECK_OK(gr_device_describe(d, &info));
    CHECK(info.available > 0 && info.available <= info.total);
    gr_store *s = gr_store_new(d);
    float one = 1;
    CHECK_OK(gr_store_add(s, "huge", GR_WEIGHT, GR_F32, 1, (int64_t[]){(int64_t)1 << 42}));
    CHECK(!gr_store_data(s, 0));
    CHECK_EQ_INT(gr_error_status(), GR_ERR_MEMORY);
    CHECK_OK(gr_store_add(s, "small", GR_WEIGHT, GR_F32, 0, NULL));
    CHECK_OK(gr_store_write(s, "small", &one, sizeof one));
    CHECK_STATUS(d->backend->reserve(d, info.total * 2), GR_ERR_MEMORY);
    CHECK_ERROR(GR_ERR_MEMORY, "allocating memory: need ");
    CHECK_ERROR(GR_ERR_MEMORY, ", have ");
    gr_store_free(s);
    gr_device_close(d);
}

/* Each of its tensors would find a place, all of them do not: a run says so before it takes the first. */
TEST(a_program_that_does_not_fit_takes_nothing)
{
    gr_device *d = open_opencl();
    const gr_gpu *gpu = d->own;
    gr_device_info info = GR_INIT(gr_device_info);
    CHECK_OK(gr_device_describe(d, &info));
    enum { MOST = 64 };
    int64_t length = (int64_t)(d->largest / sizeof(float));
    int n = (int)(info.total / d->largest) + 2;
    CHECK(n <= MOST);
    gr_graph *g = gr_graph_new();
    gr_tensor *x[MOST], *all = gr_fill(g, GR_F32, 0, NULL, 0), *out = all;
    for (int i = 0; i < n; i++) {
        x[i] = gr_softmax(gr_offset(gr_iota(g, GR_F32, length), i));
        all = gr_add(all, gr_sum(x[i], 0, false));
    }
    for (int i = 0; i < n; i++) /* all are needed to the end */
        out = gr_add(out, gr_sum(gr_mul(x[i], all), 0, false));
    gr_program *p = gr_compile(g, &out, 1, d, NULL);
    CHECK_MADE(p);
    CHECK(gr_program_plan(p)->arena > info.total);
    for (int i = 0; i < 2; i++) {
        float value;
        int64_t live = gr_opencl_live(), blocks = gpu->pool.blocks;
        CHECK_STATUS(gr_program_run(p, NULL, (void *[]){&value}), GR_ERR_MEMORY);
        CHECK_ERROR(GR_ERR_MEMORY, "need ");
        CHECK_ERROR(GR_ERR_MEMORY, ", have ");
        CHECK_EQ_INT(gr_opencl_live(), live);
        CHECK_EQ_INT(gpu->pool.blocks, blocks);
    }
    gr_program_free(p);
    gr_graph_free(g);
    gr_device_close(d);
}

/* A largest block of a fraction of the arena: the same bits. */
TEST(small_blocks_change_nothing)
{
    double loss[2];
    for (int k = 0; k < 2; k++) {
        training t;
        gr_device *d = open_opencl();
        if (k)
            d->largest = 5120;
        open_training(&t, d, "gpt2");
        CHECK_EQ_INT(k && gr_trainer_plan(t.trainer)->arena > 3 * d->largest, k);
        step(&t, 0);
        loss[k] = step(&t, 1);
        close_training(&t);
    }
    CHECK(loss[0] == loss[1]);
}

/* A target that is no token: named, nothing is changed, and the next step is as if it had not been. */
TEST(a_bad_target_changes_nothing)
{
    training t;
    gr_token tokens[64], targets[64];
    gr_step_report r = GR_INIT(gr_step_report);
    size_t n;
    open_training(&t, open_opencl(), "gpt2");
    tiny_batch(&t.options, 0, tokens, targets);
    float *before = weights(gr_model_store(t.model), &n);
    for (int k = 0; k < 2; k++) {
        gr_token *bad = k ? tokens : targets, was = bad[3];
        bad[3] = 1000;
        CHECK_STATUS(gr_trainer_step(t.trainer, &(gr_batch){tokens, targets, NULL}, &r), GR_ERR_ARGUMENT);
        CHECK_ERROR(GR_ERR_ARGUMENT, "1000");
        bad[3] = was;
        float *after = weights(gr_model_store(t.model), &n);
        CHECK(memcmp(before, after, n * sizeof *before) == 0);
        free(after);
    }
    CHECK(step(&t, 0) > 0);
    free(before);
    close_training(&t);
}

/* ---- the n-th call fails ------------------------------------------------------------------------------------ */

typedef struct fault_fixture {
    gr_device *device;
    gr_model_info info;
    gr_status (*use)(gr_model *m);
    int64_t stride; /* which n are tried: 1: all */
} fault_fixture;

/* Every failure gives an error and leaves nothing, and what follows works. Returns how many calls there were. */
static int64_t sweep(fault_fixture *f, gr_status (*action)(fault_fixture *f))
{
    for (int64_t n = 1;; n += 1 + (f->stride > 1 ? n / f->stride : 0)) {
        NOTE("call %d", (int)n);
        gr_error_clear();
        int64_t blocks = gr_mem_read_stats().live_blocks, live = gr_opencl_live();
        gr_opencl_fail_at(n);
        gr_status s = action(f);
        bool reached = gr_opencl_fail_at(0) == 0;
        bool has_error = gr_error()[0] != 0;
        CHECK_EQ_INT(gr_opencl_live(), live);
        CHECK_EQ_INT(gr_mem_read_stats().live_blocks, blocks);
        CHECK(s == GR_OK || has_error);
        if (!reached) {
            CHECK_OK(s);
            return n;
        }
    }
}

static gr_status two_steps(gr_model *m)
{
    gr_train_options o = tiny_options();
    o.batch = 1;
    o.dropout = 0.1;
    gr_token tokens[64], targets[64];
    gr_step_report r = GR_INIT(gr_step_report);
    tiny_batch(&o, 0, tokens, targets);
    gr_trainer *t = gr_trainer_new(m, &o);
    gr_status s = t ? GR_OK : gr_error_status();
    for (int i = 0; s == GR_OK && i < 2; i++)
        s = gr_trainer_step(t, &(gr_batch){tokens, targets, NULL}, &r);
    gr_trainer_free(t);
    return s;
}

static gr_status generate(gr_model *m)
{
    gr_generator *g = gr_generator_new(m, 1, 8);
    float logits[TINY_VOCAB];
    gr_token tokens[] = {1, 2, 3};
    gr_status s = g ? gr_generator_feed(g, (const gr_token *[]){tokens}, (int64_t[]){3}, logits) : gr_error_status();
    if (s == GR_OK)
        s = gr_generator_feed(g, (const gr_token *[]){tokens}, (int64_t[]){1}, logits);
    gr_generator_free(g);
    return s;
}

static gr_status save(gr_model *m)
{
    char path[300];
    snprintf(path, sizeof path, "%s/saved", test_dir());
    gr_dir_remove(path);
    return gr_model_save(m, path, NULL, NULL);
}

static gr_status use(fault_fixture *f)
{
    gr_model *m = tiny_model_of(&f->info, f->device, 1);
    gr_status s = m ? f->use(m) : gr_error_status();
    gr_model_free(m);
    return s;
}

static gr_status open_and_use(fault_fixture *f)
{
    f->device = gr_device_open("opencl", 1);
    gr_status s = f->device ? use(f) : gr_error_status();
    gr_device_close(f->device);
    return s;
}

TEST(every_call_can_fail)
{
    gr_status (*const uses[])(gr_model *) = {two_steps, save, generate};
    fault_fixture f = {.device = open_opencl(), .info = tiny_info("gpt2", true), .stride = 1};
    int64_t calls = 0;
    f.info.layers = 1;
    for (int i = 0; i < 3; i++) {
        f.use = uses[i];
        CHECK_OK(use(&f)); /* what the device keeps: modules */
        calls += sweep(&f, use);
    }
    CHECK(calls > 3000);
    gr_device_close(f.device);
    CHECK_EQ_INT(gr_opencl_live(), 0);
    f.stride = 6; /* with opening and compiling */
    CHECK(sweep(&f, open_and_use) > 500);
}

/* ---- whole runs --------------------------------------------------------------------------------------------- */

/* A run that is stopped behind its first step, gone on with to its end, and generated from. */
typedef struct run_fixture {
    gr_device *device;
    gr_data *data, *eval;
    gr_model_info info;
    gr_run_options options;
    char dir[300], good[300]; /* of the run at hand, and of an undisturbed one */
    int stopped;              /* sessions that ended as they were asked to */
} run_fixture;

static bool stop_after_one(void *user, const gr_run_event *e)
{
    (void)user;
    return e->kind != GR_EVENT_STEP || e->step != 1;
}

static gr_status train_run(run_fixture *r, gr_model *m, const char *dir, bool stops)
{
    r->options.dir = dir;
    r->options.event = stops ? stop_after_one : NULL;
    gr_status s = gr_train_run(m, r->data, r->eval, &r->options);
    bool was_asked = stops && s == GR_ERR_INTERRUPTED;
    r->stopped += was_asked;
    return was_asked ? GR_OK : s;
}

static gr_status speak(gr_model *m)
{
    gr_generator *g = gr_generator_new(m, 1, 8);
    gr_generate_options o = GR_INIT(gr_generate_options);
    const gr_generated *made = NULL;
    o.prompt = (const gr_token[]){1, 2, 3};
    o.n_prompt = 3;
    o.max_tokens = 3;
    o.ignore_eos = true;
    gr_status s = g ? gr_generate(g, NULL, &o, 1, &made) : gr_error_status();
    gr_free(made);
    gr_generator_free(g);
    return s;
}

/* Another model of the run goes on than began it: all it knows comes from the checkpoint. */
static gr_status whole_run(run_fixture *r, const char *dir)
{
    gr_status s = GR_OK;
    for (int part = 0; s == GR_OK && part < 2; part++) {
        gr_model *m = tiny_model_of(&r->info, r->device, 1 + (uint64_t)part);
        s = m ? train_run(r, m, dir, part == 0) : gr_error_status();
        if (s == GR_OK && part == 1)
            s = speak(m);
        gr_model_free(m);
    }
    return s;
}

static gr_status open_and_run(run_fixture *r, const char *dir)
{
    r->device = gr_device_open("opencl", 1);
    gr_status s = r->device ? whole_run(r, dir) : gr_error_status();
    gr_device_close(r->device);
    return s;
}

static void open_run(run_fixture *r)
{
    gr_token ids[64];
    *r = (run_fixture){.info = tiny_info("gpt2", true), .options = GR_INIT(gr_run_options)};
    r->info.layers = 1;
    tiny_ids(ids, 64);
    r->data = DATA(.ids = ids, .n_ids = 64);
    CHECK_OK(gr_data_split(r->data, 0.2, &r->eval));
    r->options.train = tiny_options();
    r->options.train.batch = 1;
    r->options.train.steps = 2;
    r->options.save_every = r->options.eval_every = r->options.keep = 1;
    r->options.resume = true;
    snprintf(r->dir, sizeof r->dir, "%s/run", test_dir());
    snprintf(r->good, sizeof r->good, "%s/good", test_dir());
}

/* Whatever failed: what was saved is whole, and going on ends where the undisturbed run did. */
static void check_going_on(run_fixture *r)
{
    static const char *const files[] = {"latest/model.safetensors", "latest/training.safetensors",
                                        "best/model.safetensors"};
    CHECK_OK(open_and_run(r, r->dir));
    CHECK_OK(gr_verify(r->dir, NULL, NULL));
    for (int i = 0; i < 3; i++)
        check_same_file(r->dir, r->good, files[i]);
}

TEST(every_call_of_a_run_can_fail)
{
    run_fixture r;
    gr_device_close(open_opencl());
    open_run(&r);
    CHECK_OK(open_and_run(&r, r.good));
    CHECK_EQ_INT(r.stopped, 1);
    bool reached = true;
    for (int64_t n = 1, tries = 0; reached; n += 1 + n / 8, tries++) {
        NOTE("call %d", (int)n);
        CHECK_OK(gr_dir_remove(r.dir));
        gr_error_clear();
        int64_t blocks = gr_mem_read_stats().live_blocks, live = gr_opencl_live();
        gr_opencl_fail_at(n);
        gr_status s = open_and_run(&r, r.dir);
        reached = gr_opencl_fail_at(0) == 0;
        CHECK(s == GR_OK || gr_error()[0]);
        CHECK(reached || s == GR_OK);
        CHECK_EQ_INT(gr_opencl_live(), live);
        CHECK_EQ_INT(gr_mem_read_stats().live_blocks, blocks);
        if (s != GR_OK && tries % 4 == 0) /* that doubles the time */
            check_going_on(&r);
        CHECK(reached || n > 3000);
    }
    gr_data_free(r.eval);
    gr_data_free(r.data);
}
