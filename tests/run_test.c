/* Training runs: what they leave behind, stopping and going on, damage, and losses that explode. */
#include "same.h"
#include "tiny.h"

#include "train/run_dir.h"
#include "train/run.h"
#include "text/tokenizer.h"

/* ---- helpers ------------------------------------------------------------------------------------------------ */

enum { STEPS = 20, N_IDS = 400 };

typedef struct trial {
    gr_run_options options;
    gr_train_options train; /* of options, when a session begins */
    const char *arch;
    uint64_t seed;           /* of the weights that a new run begins with */
    bool poisoned;           /* a weight is NaN from the start */
    bool apart;              /* the data is documents kept apart */
    bool few;                /* two of them: one to train on */
    int64_t stop_at;         /* step after which to stop; 0: never */
    int64_t stop_in;         /* step in the middle of whose evaluation to stop */
    int steps, evals, saves; /* events */
    double evaluated;        /* of the evaluation that goes on */
    int64_t last_step;
    double last_loss; /* of training */
    char dir[300];
} trial;

static char log_text[4096];

static void keep_log(void *user, gr_log_level level, const char *message)
{
    (void)user;
    if (level == GR_LOG_WARN)
        snprintf(log_text + strlen(log_text), sizeof log_text - strlen(log_text), "%s\n", message);
}

static bool count_event(void *user, const gr_run_event *e)
{
    trial *t = user;
    t->steps += e->kind == GR_EVENT_STEP;
    t->evals += e->kind == GR_EVENT_EVAL;
    t->saves += e->kind == GR_EVENT_SAVE;
    if (e->kind == GR_EVENT_EVALUATING) { /* from part to part it grows */
        CHECK(e->evaluated > t->evaluated);
        CHECK(e->evaluated < 1);
    }
    t->evaluated = e->kind == GR_EVENT_EVALUATING ? e->evaluated : 0;
    t->last_step = e->step;
    t->last_loss = e->kind == GR_EVENT_STEP ? e->loss : t->last_loss;
    return t->last_step != t->stop_at && !(e->kind == GR_EVENT_EVALUATING && e->step == t->stop_in);
}

static const char *const own_files[][2] = {{"tokenizer.json", "{}"}};

static trial new_trial(const char *arch, const char *dir)
{
    trial t = {.arch = arch, .seed = 1};
    snprintf(t.dir, sizeof t.dir, "%s", dir);
    t.options =
        (gr_run_options){.size = sizeof t.options, .shuffle = true, .eval_every = 4, .save_every = 5, .keep = 2};
    t.train = tiny_options();
    t.train.steps = STEPS;
    t.train.dropout = 0.1;
    t.train.seed = 4;
    t.options.files = own_files;
    t.options.n_files = 1;
    t.options.event = count_event;
    return t;
}

/* Prompts of letters with one letter more as completion, a line each; some of them longer than a row. */
static gr_data *documents(const char *dir, int n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    char text[4096], *at = text;
    for (int i = 0; i < n; i++)
        at += sprintf(at, "{\"prompt\": \"%.*s\", \"completion\": \"%.*s\"}\n", 1 + i % 12, letters + i % 14,
                      1 + i * i % 3, letters + i * 5 % 20);
    CHECK_OK(gr_dir_make(dir));
    const char *path = test_join(dir, "data.jsonl");
    CHECK_OK(gr_file_write(path, text, (size_t)(at - text)));
    gr_tokenizer *t = gr_tokenizer_char(letters, strlen(letters), true);
    gr_data *d = DATA(.paths = &path, .n_paths = 1, .tokenizer = t, .apart = true, .threads = 1);
    gr_tokenizer_free(t);
    return d;
}

/* One session of a run, as a process of its own would have it. */
static gr_status session(trial *t, bool resume)
{
    int32_t ids[N_IDS];
    tiny_ids(ids, N_IDS);
    gr_device *device = gr_device_open("cpu", 1);
    gr_model_info info = tiny_info(t->arch, false);
    gr_model *m = tiny_model_of(&info, device, t->seed);
    gr_data *data = t->apart ? documents(t->dir, t->few ? 2 : 40) : DATA(.ids = ids, .n_ids = N_IDS), *eval;
    t->train.segments = t->apart;
    CHECK_MADE(m);
    CHECK_MADE(data);
    CHECK_OK(gr_data_split(data, 0.1, &eval));
    if (t->poisoned) {
        float w[8] = {NAN};
        CHECK_OK(gr_store_write(gr_model_store(m), "transformer.ln_f.weight", w, sizeof w));
    }
    t->options.train = t->train;
    t->options.dir = t->dir;
    t->options.resume = resume;
    t->options.user = t;
    t->steps = t->evals = t->saves = 0;
    t->last_step = -1;
    log_text[0] = '\0';
    gr_set_log(keep_log, NULL);
    gr_status s = gr_train_run(m, data, eval, &t->options);
    gr_set_log(NULL, NULL);
    gr_data_free(eval);
    gr_data_free(data);
    gr_model_free(m);
    gr_device_close(device);
    return s;
}

static void check_same_run(const trial *a, const trial *b)
{
    char *x = timeless_metrics(a->dir), *y = timeless_metrics(b->dir);
    CHECK_EQ_STR(x, y);
    gr_free(x);
    gr_free(y);
    check_same_file(a->dir, b->dir, "latest/model.safetensors");
    check_same_file(a->dir, b->dir, "latest/training.safetensors");
    check_same_file(a->dir, b->dir, "best/model.safetensors");
    check_same_file(a->dir, b->dir, "loss.svg");
}

static int count_lines(const char *dir, const char *what)
{
    int n = 0;
    char *text = gr_file_read(test_join(dir, "metrics.jsonl"), 1 << 24, NULL);
    CHECK_MADE(text);
    for (const char *p = text; (p = strstr(p, what)); p++)
        n++;
    gr_free(text);
    return n;
}

static void flip_byte(const char *path)
{
    FILE *f = fopen(path, "r+b");
    CHECK(f);
    fseek(f, -9, SEEK_END);
    int c = fgetc(f);
    fseek(f, -9, SEEK_END);
    fputc(c ^ 1, f);
    fclose(f);
}

/* ---- runs --------------------------------------------------------------------------------------------------- */

TEST(documents_go_on_as_if_never_stopped)
{
    trial whole = new_trial("llama", test_join(test_dir(), "whole"));
    trial parts = new_trial("llama", test_join(test_dir(), "parts"));
    whole.apart = parts.apart = true;
    whole.options.rows = parts.options.rows = 2 * STEPS - 1; /* the last row is empty */
    CHECK_OK(session(&whole, false));
    CHECK_EQ_INT(whole.steps, STEPS);
    parts.stop_at = 7; /* in the middle of an epoch of 15 rows, or about that */
    CHECK_STATUS(session(&parts, false), GR_ERR_INTERRUPTED);
    parts.stop_at = 13;
    CHECK_STATUS(session(&parts, true), GR_ERR_INTERRUPTED);
    parts.stop_at = 0;
    CHECK_OK(session(&parts, true));
    check_same_run(&whole, &parts);
}

TEST(a_mismatch_of_data_and_trainer_is_refused)
{
    trial t = new_trial("gpt2", test_join(test_dir(), "run"));
    int32_t ids[N_IDS];
    tiny_ids(ids, N_IDS);
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("gpt2", device);
    gr_data *stream = DATA(.ids = ids, .n_ids = N_IDS), *apart = documents(test_join(test_dir(), "data"), 40);
    t.train.segments = true;
    t.options.train = t.train;
    t.options.dir = t.dir;
    CHECK_STATUS(gr_train_run(m, stream, NULL, &t.options), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "must all keep documents apart, or none");
    CHECK_STATUS(gr_train_run(m, apart, stream, &t.options), GR_ERR_ARGUMENT);
    t.options.train.segments = false;
    CHECK_STATUS(gr_train_run(m, apart, NULL, &t.options), GR_ERR_ARGUMENT);
    gr_data_free(apart);
    gr_data_free(stream);
    gr_model_free(m);
    gr_device_close(device);
}

TEST(a_run_leaves_everything)
{
    trial t = new_trial("gpt2", test_join(test_dir(), "deep/run"));
    CHECK_OK(session(&t, true)); /* nothing to resume: from the start */
    CHECK_EQ_INT(t.steps, STEPS);
    CHECK_EQ_INT(t.evals, STEPS / 4);
    CHECK_EQ_INT(count_lines(t.dir, "\"loss\""), STEPS);
    CHECK_EQ_INT(count_lines(t.dir, "\"eval_loss\""), STEPS / 4);
    int64_t *steps;
    size_t count;
    CHECK_OK(gr_checkpoint_list(t.dir, &steps, &count));
    CHECK(count >= 2 && count <= 3); /* the newest two, and best */
    CHECK_EQ_INT(steps[count - 1], STEPS);
    gr_free(steps);
    CHECK_OK(gr_verify(t.dir, NULL, NULL));
    const char *files[] = {"config.json",   "model.safetensors", "training.safetensors",
                           "training.json", "tokenizer.json",    "checksums.json"};
    for (int i = 0; i < 6; i++) {
        NOTE("%s", files[i]);
        CHECK(gr_path_is_file(test_join(test_join(t.dir, "latest"), files[i])));
    }
    CHECK(gr_path_is_file(test_join(t.dir, "loss.svg")));
    gr_device *device = gr_device_open("cpu", 1); /* a checkpoint is a model */
    gr_model *m = gr_model_load(test_join(t.dir, "best"), NULL, device);
    CHECK_MADE(m);
    gr_model_free(m);
    gr_device_close(device);
    CHECK_OK(session(&t, true)); /* done already: nothing to do */
    CHECK_EQ_INT(t.steps, 0);
    CHECK_EQ_INT(count_lines(t.dir, "\"loss\""), STEPS);
    CHECK_STATUS(session(&t, false), GR_ERR_ARGUMENT); /* and never trained over */
    CHECK_ERROR(GR_ERR_ARGUMENT, "there already");
}

/* Stopped again and again at random steps and gone on from, a run ends as the one that was never stopped, to the bit.
 * Each session begins with other random weights: all must come from the checkpoint. */
TEST(stopping_changes_nothing)
{
    const char *archs[] = {"gpt2", "llama"};
    const gr_optimizer optimizers[] = {GR_ADAMW,     GR_ADAMW, GR_SGD,   GR_SGD,   GR_LION,
                                       GR_ADAFACTOR, GR_MUON,  GR_ADAMW, GR_ADAMW, GR_ADAMW8BIT};
    for (int a = 0; a < (int)(sizeof optimizers / sizeof *optimizers); a++) {
        char dir[300];
        snprintf(dir, sizeof dir, "%s/%d", test_dir(), a);
        trial whole = new_trial(archs[a % 2], test_join(dir, "whole")),
              parts = new_trial(archs[a % 2], test_join(dir, "parts"));
        whole.options.shuffle = parts.options.shuffle = a < 2;
        whole.train.optimizer = parts.train.optimizer = optimizers[a];
        whole.train.accumulate = parts.train.accumulate = a < 2 ? 1 : 2;
        whole.train.bf16_moments = parts.train.bf16_moments = a == 7;
        whole.train.bf16_weights = parts.train.bf16_weights = a >= 8;
        CHECK_OK(session(&whole, false));
        uint32_t random = 99 + (uint32_t)a;
        int sessions = 0;
        for (int64_t at = 0; at < STEPS; sessions++) {
            random = random * 1664525u + 1013904223u;
            at += 1 + random % 6;
            NOTE("%s %d, stopping after %d", archs[a % 2], a, (int)at);
            parts.stop_at = at;
            gr_status s = session(&parts, true);
            parts.seed += 100;
            if (at < STEPS) {
                CHECK_STATUS(s, GR_ERR_INTERRUPTED);
                CHECK_ERROR(GR_ERR_INTERRUPTED, "stopped after step");
                CHECK_EQ_INT(parts.last_step, at);
            } else {
                CHECK(s == GR_OK || at == STEPS); /* its evaluation is left to the next */
            }
        }
        CHECK(sessions > 3);
        parts.stop_at = 0;
        CHECK_OK(session(&parts, true));
        check_same_run(&whole, &parts);
    }
}

/* A stopped evaluation ends at once, its step is saved, and whoever goes on makes it up, the last one, too. */
TEST(stopping_within_evaluations)
{
    for (int apart = 0; apart < 2; apart++) {
        trial whole = new_trial("llama", test_join(test_dir(), apart ? "whole2" : "whole"));
        trial parts = new_trial("llama", test_join(test_dir(), apart ? "parts2" : "parts"));
        whole.apart = parts.apart = apart;
        CHECK_OK(session(&whole, false));
        for (int64_t at = 8; at <= STEPS; at += 12) {
            NOTE("step %d, apart %d", (int)at, apart);
            parts.stop_in = at;
            CHECK_STATUS(session(&parts, at > 8), GR_ERR_INTERRUPTED);
            CHECK_ERROR(GR_ERR_INTERRUPTED, at == 8 ? "stopped after step 8, which is saved" : "stopped after step 20");
            CHECK_EQ_INT(parts.last_step, at);
            CHECK_EQ_INT(count_lines(parts.dir, "\"eval_loss\""), at / 4 - 1);
        }
        parts.stop_in = 0;
        CHECK_OK(session(&parts, true));
        CHECK_EQ_INT(parts.steps, 0);
        CHECK_EQ_INT(parts.evals, 1);
        check_same_run(&whole, &parts);
    }
}

TEST(half_a_metrics_line_is_written_again)
{
    trial whole = new_trial("gpt2", test_join(test_dir(), "whole")),
          t = new_trial("gpt2", test_join(test_dir(), "run"));
    CHECK_OK(session(&whole, false));
    t.stop_at = 10;
    CHECK_STATUS(session(&t, false), GR_ERR_INTERRUPTED);
    const char *ahead = "{\"step\":11,\"tokens\":176,\"loss\":1}\n{\"step\":12,\"tok";
    CHECK_OK(gr_file_append(test_join(t.dir, "metrics.jsonl"), ahead, strlen(ahead)));
    t.stop_at = 0;
    CHECK_OK(session(&t, true));
    CHECK_EQ_INT(t.steps, 10);
    check_same_run(&whole, &t);
}

static const char measured[] = "{\"step\":1,\"loss\":3}\n{\"step\":2,\"loss\":2}\n{\"step\":2,\"eval_loss\":4}\n";

static gr_status rewind_metrics(void *ctx)
{
    gr_history h;
    size_t n;
    gr_status s = gr_history_open(&h, 4, 1);
    if (s == GR_OK)
        s = gr_metrics_rewind(ctx, 2, &h);
    CHECK(s != GR_OK || (h.loss.n == 2 && h.eval.n == 1));
    gr_history_close(&h);
    int64_t to_go = gr_mem_fail_at(0);
    char *text = gr_file_read(ctx, 1 << 16, &n);
    CHECK(text && n == sizeof measured - 1 && memcmp(text, measured, n) == 0);
    gr_free(text);
    gr_mem_fail_at(to_go);
    return s;
}

TEST(metrics_stay_without_memory)
{
    const char *path = test_file("metrics.jsonl", measured, sizeof measured - 1);
    CHECK(SWEEP_ALLOCATIONS(rewind_metrics, (void *)(uintptr_t)path) > 3);
}

TEST(a_damaged_checkpoint_is_passed_over)
{
    const char *files[] = {"model.safetensors", "training.safetensors", "training.json", "config.json"};
    trial whole = new_trial("llama", test_join(test_dir(), "whole"));
    CHECK_OK(session(&whole, false));
    for (int i = 0; i < 4; i++) {
        NOTE("%s", files[i]);
        char dir[300];
        snprintf(dir, sizeof dir, "%s/%d", test_dir(), i);
        trial t = new_trial("llama", dir);
        t.options.eval_every = 0;
        t.stop_at = 12;
        CHECK_STATUS(session(&t, false), GR_ERR_INTERRUPTED); /* saved: 10 and 12 */
        flip_byte(test_join(test_join(t.dir, "checkpoints/step-12"), files[i]));
        t.stop_at = 0;
        t.seed = 50;
        CHECK_OK(session(&t, true));
        CHECK(strstr(log_text, "step-12"));
        CHECK_EQ_INT(t.steps, 10); /* 11 to 20 */
        check_same_file(whole.dir, t.dir, "latest/model.safetensors");
        CHECK_EQ_INT(count_lines(t.dir, "\"loss\""), STEPS);
    }
}

TEST(nothing_but_damage_is_an_error)
{
    trial t = new_trial("gpt2", test_join(test_dir(), "run"));
    t.options.eval_every = 0;
    t.stop_at = 12;
    CHECK_STATUS(session(&t, false), GR_ERR_INTERRUPTED);
    flip_byte(test_join(t.dir, "checkpoints/step-12/model.safetensors"));
    flip_byte(test_join(t.dir, "checkpoints/step-10/training.safetensors"));
    t.stop_at = 0;
    CHECK_STATUS(session(&t, true), GR_ERR_FILE);
    CHECK_EQ_INT(t.steps, 0);
    CHECK(gr_path_is_dir(test_join(t.dir, "checkpoints/step-12"))); /* left to be looked at */
    CHECK_EQ_INT(count_lines(t.dir, "\"loss\""), 12);
}

TEST(a_checkpoint_of_another_run_is_refused)
{
    trial t = new_trial("gpt2", test_join(test_dir(), "run"));
    t.stop_at = 5;
    CHECK_STATUS(session(&t, false), GR_ERR_INTERRUPTED);
    trial other = t;
    for (int i = GR_SGD; i <= GR_MUON; i++) {
        other.train.optimizer = (gr_optimizer)i;
        CHECK_STATUS(session(&other, true), GR_ERR_FILE);
        CHECK_ERROR(GR_ERR_FILE, "trained with adamw");
    }
    other = t;
    other.train.bf16_moments = true;
    CHECK_STATUS(session(&other, true), GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, "is f32 in the checkpoint, the run's is bf16");
    other = t;
    other.train.bf16_weights = true;
    CHECK_STATUS(session(&other, true), GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, "bf16");
    other = t;
    other.arch = "llama";
    CHECK_STATUS(session(&other, true), GR_ERR_FILE);
    CHECK_OK(gr_verify(t.dir, NULL, NULL));
}

/* A learning rate far too high: the run says what happened, gives up, and keeps the last good checkpoint. */
TEST(an_exploding_run_keeps_its_checkpoint)
{
    trial t = new_trial("gpt2", test_join(test_dir(), "run"));
    t.options.save_every = 1;
    t.options.eval_every = 0;
    t.stop_at = 6;
    CHECK_STATUS(session(&t, false), GR_ERR_INTERRUPTED);
    t.train.lr = t.train.min_lr = 1e30;
    t.train.steps = 200;
    t.stop_at = 0;
    CHECK_STATUS(session(&t, true), GR_ERR_NUMBER);
    CHECK_ERROR(GR_ERR_NUMBER, "--lr");
    CHECK(strstr(log_text, "is not finite"));
    CHECK(t.steps >= 20 && t.steps < 30);
    int64_t *steps;
    size_t count;
    CHECK_OK(gr_checkpoint_list(t.dir, &steps, &count));
    CHECK_EQ_INT(count, 2);
    CHECK_EQ_INT(steps[0], 6); /* the last before it broke */
    gr_free(steps);
    CHECK_OK(gr_verify(t.dir, NULL, NULL));
    CHECK(count_lines(t.dir, "\"loss\":null") >= 20);
}

/* From the first step on nothing is finite: no checkpoint pretends to be one. */
TEST(a_run_that_never_works)
{
    trial t = new_trial("gpt2", test_join(test_dir(), "run"));
    t.poisoned = true;
    t.train.steps = 100;
    t.options.eval_every = 0;
    CHECK_STATUS(session(&t, false), GR_ERR_NUMBER);
    CHECK_ERROR(GR_ERR_NUMBER, "transformer.ln_f.weight");
    CHECK_EQ_INT(t.steps, 20);
    CHECK_EQ_INT(t.saves, 0);
}

/* ---- one writer --------------------------------------------------------------------------------------------- */

TEST(a_run_has_one_writer)
{
    trial t = new_trial("gpt2", test_join(test_dir(), "run"));
    t.stop_at = 6;
    CHECK_STATUS(session(&t, false), GR_ERR_INTERRUPTED);
    gr_run_lock *lock = gr_run_lock_open(t.dir);
    CHECK_MADE(lock);
    char pid[40];
    snprintf(pid, sizeof pid, "process %ld on ", (long)getpid());
    for (int resume = 0; resume < 2; resume++) {
        CHECK_STATUS(session(&t, resume), GR_ERR_ARGUMENT);
        CHECK_ERROR(GR_ERR_ARGUMENT, "another process writes this run");
        CHECK_ERROR(GR_ERR_ARGUMENT, pid);
        CHECK_ERROR(GR_ERR_ARGUMENT, "since 20");
        CHECK_EQ_INT(t.steps, 0);
    }
    CHECK(gr_run_lock_open(t.dir) == NULL);
    CHECK_EQ_INT(count_lines(t.dir, "\"loss\""), 6);
    t.options.lock = lock; /* whoever has it may train */
    t.stop_at = 8;
    CHECK_STATUS(session(&t, true), GR_ERR_INTERRUPTED);
    t.options.lock = NULL;
    gr_run_lock_close(lock);
    t.stop_at = 0;
    CHECK_OK(session(&t, true));
    CHECK(!gr_path_is_file(test_join(t.dir, "run.lock")));
}

/* The name that a killed process leaves locks nobody out, whatever is in it. */
TEST(a_lock_left_behind_is_none)
{
    const char *texts[] = {"", "process 1 on elsewhere since 1999\n", "\x1b[2J\xff\xfe"};
    for (int i = 0; i < 3; i++) {
        char dir[300];
        snprintf(dir, sizeof dir, "%s/%d", test_dir(), i);
        CHECK_OK(gr_dir_make(dir));
        CHECK_OK(gr_file_write(test_join(dir, "run.lock"), texts[i], strlen(texts[i])));
        gr_run_lock *lock = gr_run_lock_open(dir);
        CHECK_MADE(lock);
        CHECK(gr_run_lock_open(dir) == NULL);
        gr_run_lock_close(lock);
        CHECK(gr_path_is_dir(dir)); /* it was there before */
        CHECK(!gr_path_is_file(test_join(dir, "run.lock")));
    }
}

static gr_status open_lock(void *ctx)
{
    gr_run_lock *lock = gr_run_lock_open(ctx);
    gr_run_lock_close(lock);
    return lock ? GR_OK : gr_error_status();
}

TEST(a_lock_makes_and_takes_away_its_folders)
{
    const char *dirs[] = {"a", "b/c/d", "e//f/"};
    for (int i = 0; i < 3; i++) {
        char dir[300];
        snprintf(dir, sizeof dir, "%s/%s", test_dir(), dirs[i]);
        gr_run_lock *lock = gr_run_lock_open(dir);
        CHECK_MADE(lock);
        CHECK(gr_path_is_dir(dir));
        gr_run_lock_close(lock);
        char **names;
        size_t n;
        CHECK_OK(gr_dir_list(test_dir(), &names, &n));
        CHECK_EQ_INT(n, 0);
        gr_names_free(names, n);
    }
    char dir[300];
    snprintf(dir, sizeof dir, "%s/g/h", test_dir());
    CHECK(SWEEP_ALLOCATIONS(open_lock, dir) > 2);
    CHECK(!gr_path_is_dir(test_join(test_dir(), "g")));
}

/* ---- starts that fail, and what is missing ------------------------------------------------------------------ */

/* The very first line of metrics.jsonl cannot be written: as before, down to the folders. */
TEST(a_failed_start_leaves_nothing)
{
    for (int i = 0; i < 3; i++) {
        char top[280], dir[300];
        snprintf(top, sizeof top, "%s/%s", test_dir(), i == 0 ? "top" : i == 1 ? "empty" : "kept");
        snprintf(dir, sizeof dir, "%s%s", top, i == 0 ? "/deep/run" : "");
        if (i > 0)
            CHECK_OK(gr_dir_make(dir));
        if (i == 2)
            CHECK_OK(gr_file_write(test_join(dir, "notes.txt"), "mine", 4));
        trial t = new_trial("gpt2", dir);
        gr_file_fail_at(1);
        CHECK_STATUS(session(&t, false), GR_ERR_FILE);
        CHECK_ERROR(GR_ERR_FILE, "metrics.jsonl");
        CHECK(gr_path_is_dir(top) == (i > 0));
        char **names = NULL;
        size_t n = 0;
        if (i > 0)
            CHECK_OK(gr_dir_list(dir, &names, &n));
        CHECK_EQ_INT(n, i == 2);
        gr_names_free(names, n);
        CHECK_OK(session(&t, false)); /* the same again */
    }
}

static gr_status look(const char *dir, gr_run_state *state)
{
    int64_t step;
    return gr_run_look(dir, state, &step);
}

TEST(lost_checkpoints_are_missed)
{
    trial whole = new_trial("gpt2", test_join(test_dir(), "whole"));
    CHECK_OK(session(&whole, false));
    for (int i = 0; i < 4; i++) {
        NOTE("way %d", i);
        char dir[300], folder[320], away[320];
        snprintf(dir, sizeof dir, "%s/%d", test_dir(), i);
        snprintf(folder, sizeof folder, "%s/checkpoints", dir);
        snprintf(away, sizeof away, "%s-away", dir);
        trial t = new_trial("gpt2", dir);
        t.stop_at = 12;
        CHECK_STATUS(session(&t, false), GR_ERR_INTERRUPTED);
        CHECK_OK(gr_path_move(folder, away));
        if (i % 2)
            CHECK_OK(gr_dir_make(folder));
        if (i >= 2) { /* nothing but metrics.jsonl tells */
            CHECK_OK(gr_dir_remove(test_join(dir, "latest")));
            CHECK_OK(gr_dir_remove(test_join(dir, "best")));
        }
        t.stop_at = 0;
        for (int resume = 0; resume < 2; resume++) {
            CHECK_STATUS(session(&t, resume), GR_ERR_FILE);
            CHECK_ERROR(GR_ERR_FILE, "are gone");
            CHECK_EQ_INT(count_lines(dir, "\"loss\""), 12);
        }
        CHECK_OK(gr_dir_remove(folder));
        CHECK_OK(gr_path_move(away, folder));
        CHECK_OK(session(&t, true));
        check_same_run(&whole, &t);
    }
}

/* Either mark alone says that there were checkpoints. */
TEST(a_mark_without_checkpoints)
{
    static const char *const marks[] = {"latest", "best"};
    for (int i = 0; i < 2; i++) {
        char dir[300];
        gr_run_state state = GR_RUN_NONE;
        snprintf(dir, sizeof dir, "%s/%d", test_dir(), i);
        CHECK_OK(gr_dir_make(dir));
        CHECK_OK(gr_link_write(test_join(dir, marks[i]), "checkpoints/step-3"));
        CHECK_OK(look(dir, &state));
        CHECK_EQ_INT(state, GR_RUN_LOST);
    }
}

/* Killed at step 3, the first checkpoint being due at 5: nothing is lost by beginning anew. */
TEST(killed_before_the_first_checkpoint)
{
    trial whole = new_trial("gpt2", test_join(test_dir(), "whole"));
    CHECK_OK(session(&whole, false));
    for (int resume = 0; resume < 2; resume++) {
        char dir[300];
        gr_run_state state;
        snprintf(dir, sizeof dir, "%s/%d", test_dir(), resume);
        trial t = new_trial("gpt2", dir);
        const char *lines = "{\"step\":1,\"loss\":3}\n{\"step\":2,\"loss\":3}\n{\"step\":3,\"loss\":3}\n{\"st";
        CHECK_OK(gr_dir_make(test_join(dir, "checkpoints")));
        CHECK_OK(gr_file_write(test_join(dir, "metrics.jsonl"), lines, strlen(lines)));
        CHECK_OK(look(dir, &state));
        CHECK_EQ_INT(state, GR_RUN_BEGUN);
        CHECK_OK(session(&t, resume));
        CHECK(strstr(log_text, "it ended at step 3, before its first checkpoint"));
        check_same_run(&whole, &t);
        CHECK_OK(look(dir, &state));
        CHECK_EQ_INT(state, GR_RUN_SAVED);
    }
}

/* ---- latest and best that are no links ---------------------------------------------------------------------- */

static void stop_at_12(trial *t, const char *name)
{
    *t = new_trial("gpt2", test_join(test_dir(), name));
    t->stop_at = 12;
    CHECK_STATUS(session(t, false), GR_ERR_INTERRUPTED);
    t->stop_at = 0;
}

TEST(a_checkpoint_that_stands_as_latest)
{
    trial whole = new_trial("gpt2", test_join(test_dir(), "whole")), t;
    CHECK_OK(session(&whole, false));
    stop_at_12(&t, "run");
    char latest[320], step[340];
    int64_t named;
    snprintf(latest, sizeof latest, "%s/latest", t.dir);
    snprintf(step, sizeof step, "%s/checkpoints/step-12", t.dir);
    CHECK_OK(gr_dir_remove(latest));
    CHECK_OK(gr_path_move(step, latest));
    CHECK_OK(session(&t, true)); /* goes on at 12, not at 10 */
    CHECK_EQ_INT(t.steps, 8);
    check_same_run(&whole, &t);
    CHECK_OK(gr_checkpoint_marked(t.dir, "latest", &named));
    CHECK_EQ_INT(named, STEPS);
}

TEST(links_that_became_texts)
{
    const char *texts[] = {"checkpoints/step-12", "checkpoints/step-12\r\n", "/elsewhere/run/checkpoints/step-12"};
    for (int i = 0; i < 3; i++) {
        trial t;
        char name[20];
        int64_t step;
        snprintf(name, sizeof name, "run-%d", i);
        stop_at_12(&t, name);
        CHECK_OK(gr_file_write(test_join(t.dir, "aside"), texts[i], strlen(texts[i])));
        CHECK_OK(gr_dir_remove(test_join(t.dir, "latest")));
        CHECK_OK(gr_path_move(test_join(t.dir, "aside"), test_join(t.dir, "latest")));
        CHECK_OK(gr_checkpoint_marked(t.dir, "latest", &step));
        CHECK_EQ_INT(step, 12);
        CHECK_OK(session(&t, true));
        CHECK_OK(gr_checkpoint_marked(t.dir, "latest", &step));
        CHECK_EQ_INT(step, STEPS);
        CHECK(gr_path_is_dir(test_join(t.dir, "latest"))); /* a link again */
    }
}

TEST(what_is_not_ours_is_moved_aside)
{
    for (int i = 0; i < 3; i++) {
        trial t;
        char name[20];
        snprintf(name, sizeof name, "run-%d", i);
        stop_at_12(&t, name);
        CHECK_OK(gr_dir_remove(test_join(t.dir, "latest")));
        if (i == 1)
            CHECK_OK(gr_file_write(test_join(t.dir, "latest"), "my notes", 8));
        else
            CHECK_OK(gr_dir_make(test_join(t.dir, "latest")));
        if (i == 2)
            CHECK_OK(gr_file_write(test_join(t.dir, "latest/training.json"), "{\"step\": 10}", 12));
        CHECK_OK(session(&t, true));
        CHECK(strstr(log_text, "is named"));
        CHECK(gr_path_is_dir(test_join(t.dir, "latest.old-1")) == (i != 1));
        CHECK(gr_path_is_file(test_join(t.dir, "latest.old-1")) == (i == 1));
        CHECK_OK(gr_verify(t.dir, NULL, NULL));
    }
}

/* ---- an epoch that is less than a step ---------------------------------------------------------------------- */

/* The rows of an epoch, once each: as with a batch that they fill, whatever more has room. */
TEST(a_step_takes_an_epoch_at_most)
{
    static const int64_t batches[][2] = {{1, 1}, {2, 1}, {4, 2}, {3, 3}};
    double losses[4];
    for (int i = 0; i < 4; i++) {
        char dir[300];
        snprintf(dir, sizeof dir, "%s/%d", test_dir(), i);
        trial t = new_trial("llama", dir);
        t.apart = true;
        t.train.dropout = 0;
        t.train.context = 8;
        t.options.rows = 6; /* six epochs of one row, or what is left of that */
        t.train.batch = batches[i][0];
        t.train.accumulate = batches[i][1];
        t.options.eval_every = 0;
        t.few = true;
        t.train.steps = 6;
        CHECK_OK(session(&t, false));
        CHECK_EQ_INT(t.steps, 6);
        losses[i] = t.last_loss;
        CHECK_NEAR(losses[i], losses[0], 1e-5);
    }
}

/* As programs are written that know of no sizes: fields by name, the rest zero. */
TEST(options_without_a_size)
{
    gr_token ids[N_IDS];
    tiny_ids(ids, N_IDS);
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("gpt2", device);
    gr_data *data = gr_data_from_ids(ids, N_IDS);
    gr_run_options run = {.dir = test_join(test_dir(), "plain"), .train = gr_train_defaults(), .keep = 1};
    run.train.batch = 2;
    run.train.context = 8;
    run.train.steps = 3;
    CHECK_OK(gr_train_run(m, data, NULL, &run));
    gr_run_state state;
    int64_t step;
    CHECK_OK(gr_run_look(run.dir, &state, &step));
    CHECK_EQ_INT(step, 3);
    run.train.reserved[3] = 1;
    CHECK_STATUS(gr_train_run(m, data, NULL, &run), GR_ERR_UNSUPPORTED);
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "newer version");
    gr_data_free(data);
    gr_model_free(m);
    gr_device_close(device);
}
