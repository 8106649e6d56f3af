/* Training killed by SIGKILL at random instants and resumed, over and over, ends as training that was never killed.
 * Every other kill strikes while a checkpoint is being written. Ended by a signal that can be heeded it loses nothing but
 * the step under way, and of two that are started at once one writes. KILLS=100 does each that often (default 12). */
#include "same.h"

#include "train/run_dir.h"
#include "train/run.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static const char *executable(void)
{
    const char *bin = getenv("GRADUS_BIN");
    if (!bin || !*bin)
        bin = "build/gradus";
    if (access(bin, X_OK) != 0)
        SKIP("no executable (GRADUS_BIN)");
    return bin;
}

static uint32_t random_below(uint32_t n)
{
    static uint64_t state = 20240611;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % n;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void pause_for(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

/* ---- a run -------------------------------------------------------------------------------------------------- */

/* What a run is made of besides its schedule. */
static const char *const plain[] = {"--tokenizer", "char", "--layers", "1", "--heads", "2", "--embed", "16", NULL};
static const char *const mixed[] = {"--tokenizer", "char",      "--layers",    "2",           "--heads",
                                    "2",           "--embed",   "64",          "--precision", "fp16",
                                    "--optimizer", "adamw8bit", "--recompute", "block",       NULL};
static const char *const narrow[] = {"--tokenizer", "char", "--layers",  "2",    "--heads",   "2",    "--embed", "64",
                                     "--precision", "bf16", "--weights", "bf16", "--moments", "bf16", NULL};
static const char *const lora[] = {"--documents", "joined",         "--lr", "0.01", "--lora-targets",
                                   "all-linear",  "--lora-dropout", "0.2",  NULL};

static const char *device = "cpu";
static const char *const *making = plain; /* of a new model */

/* base NULL: train; else finetune. `name`: of the file for stderr. */
static pid_t start(const char *base, const char *data, const char *run, const char *name)
{
    static const char *const schedule[] = {"--resume",
                                           "--quiet",
                                           "--threads",
                                           "1",
                                           "--context",
                                           "16",
                                           "--batch",
                                           "2",
                                           "--accumulate",
                                           "2",
                                           "--steps",
                                           "40",
                                           "--save-every",
                                           "3",
                                           "--keep",
                                           "2",
                                           "--eval-fraction",
                                           "0.1",
                                           "--eval-every",
                                           "5",
                                           "--dropout",
                                           "0.1",
                                           "--warmup",
                                           "5",
                                           "--seed",
                                           "3",
                                           NULL};
    const char *bin = executable(), *errors = test_join(test_dir(), name), *argv[64];
    int n = 0;
    argv[n++] = bin;
    argv[n++] = base ? "finetune" : "train";
    if (base)
        argv[n++] = base;
    argv[n++] = data;
    argv[n++] = "--out";
    argv[n++] = run;
    argv[n++] = "--device";
    argv[n++] = device;
    for (const char *const *flag = schedule; *flag; flag++)
        argv[n++] = *flag;
    for (const char *const *flag = base ? lora : making; *flag; flag++)
        argv[n++] = *flag;
    argv[n] = NULL;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid)
        return pid;
    int out = open("/dev/null", O_WRONLY), err = open(errors, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(out, 1);
    dup2(err, 2);
    execv(bin, (char *const *)argv);
    _exit(127);
}

/* Is there a hidden name, of something half written or half removed? */
static bool has_hidden(const char *dir)
{
    char **names;
    size_t count;
    bool hidden = false;
    if (!gr_path_is_dir(dir) || gr_dir_list(dir, &names, &count) != GR_OK)
        return false;
    for (size_t i = 0; i < count; i++)
        hidden = hidden || names[i][0] == '.';
    gr_names_free(names, count);
    return hidden;
}

/* True: the process did all of its work; false: it was killed. Nothing else may be. */
static bool has_finished(int status)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return false;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        char *text = gr_file_read(test_join(test_dir(), "stderr"), 100000, NULL);
        FAIL("gradus train ends with status %#x: %s", (unsigned)status, text ? text : "");
    }
    return true;
}

static bool finish(pid_t pid)
{
    int status;
    CHECK_EQ_INT(waitpid(pid, &status, 0), pid);
    return has_finished(status);
}

/* Waits `seconds`, and then, if wanted, for a moment at which a checkpoint is being written; kills. True when the
 * process was done before that. */
static bool kill_after(pid_t pid, const char *run, double seconds, bool while_saving)
{
    int status;
    char folder[400];
    snprintf(folder, sizeof folder, "%s/checkpoints", run);
    pause_for(seconds);
    pid_t done = waitpid(pid, &status, WNOHANG);
    while (while_saving && done == 0 && !has_hidden(folder)) {
        pause_for(50e-6);
        done = waitpid(pid, &status, WNOHANG);
    }
    if (done == pid)
        return has_finished(status);
    pause_for(1e-6 * random_below(1500));
    kill(pid, SIGKILL);
    return finish(pid);
}

/* ---- comparing ---------------------------------------------------------------------------------------------- */

static void check_same_names(const char *a, const char *b)
{
    char **x, **y;
    size_t n, m;
    CHECK_OK(gr_dir_list(a, &x, &n));
    CHECK_OK(gr_dir_list(b, &y, &m));
    for (size_t i = 0; i < (n < m ? n : m); i++)
        CHECK_EQ_STR(x[i], y[i]);
    CHECK_EQ_INT(n, m);
    gr_names_free(x, n);
    gr_names_free(y, m);
}

static void check_same_run(const char *run, const char *whole, bool is_lora)
{
    static const char *const both[] = {"latest/training.safetensors", "latest/tokenizer.json",
                                       "best/training.safetensors", "loss.svg"};
    static const char *const full[] = {"latest/model.safetensors", "latest/config.json", "best/model.safetensors"};
    static const char *const adapter[] = {"latest/adapter_model.safetensors", "latest/adapter_config.json",
                                          "best/adapter_model.safetensors"};
    char *x = timeless_metrics(run), *y = timeless_metrics(whole);
    CHECK_EQ_STR(x, y);
    gr_free(x);
    gr_free(y);
    for (size_t i = 0; i < sizeof both / sizeof both[0]; i++)
        check_same_file(run, whole, both[i]);
    for (size_t i = 0; i < sizeof full / sizeof full[0]; i++)
        check_same_file(run, whole, is_lora ? adapter[i] : full[i]);
    check_same_names(run, whole); /* no litter either */
    char a[400], b[400];
    snprintf(a, sizeof a, "%s/checkpoints", run);
    snprintf(b, sizeof b, "%s/checkpoints", whole);
    check_same_names(a, b);
}

/* ---- the test ----------------------------------------------------------------------------------------------- */

static void write_text(const char *path)
{
    char text[3000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "the cat sat on the mat and ate. "[(i * (1 + i % 3)) % 32];
    CHECK_OK(gr_file_write(path, text, sizeof text));
}

static int how_often(void)
{
    const char *wanted = getenv("KILLS");
    return wanted && *wanted ? atoi(wanted) : 12;
}

static void kill_often(const char *base, const char *data, const char *whole, int most)
{
    int kills = 0, runs = 0;
    char run[300];
    double before = now();
    CHECK(finish(start(base, data, whole, "stderr")));
    double took = now() - before;
    while (kills < most) {
        snprintf(run, sizeof run, "%s/run-%d", test_dir(), runs++);
        for (bool done = false; !done;) {
            NOTE("kill %d, run %d", kills, runs);
            double seconds = took / 3 * random_below(1000) / 1000;
            pid_t pid = start(base, data, run, "stderr");
            done = kills < most ? kill_after(pid, run, seconds, kills % 2) : finish(pid);
            kills += !done;
        }
        check_same_run(run, whole, base != NULL);
        CHECK_OK(gr_dir_remove(run));
    }
    printf("%d kills in %d runs\n", kills, runs);
}

TEST(kills)
{
    char data[300], whole[300], tuned[300];
    snprintf(data, sizeof data, "%s/text", test_dir());
    snprintf(whole, sizeof whole, "%s/whole", test_dir());
    snprintf(tuned, sizeof tuned, "%s/tuned", test_dir());
    write_text(data);
    kill_often(NULL, data, whole, how_often());
    kill_often(whole, data, tuned, how_often());
}

/* 16-bit activations with their loss scale, 8-bit moments and what is computed again are no less exact. */
TEST(kills_of_a_mixed_run)
{
    char data[300], whole[300];
    making = mixed;
    snprintf(data, sizeof data, "%s/text", test_dir());
    snprintf(whole, sizeof whole, "%s/whole", test_dir());
    write_text(data);
    kill_often(NULL, data, whole, (how_often() + 1) / 2);
    making = plain;
}

/* Weights and moments of 16 bits are rounded at random: by numbers that are the same after a kill. */
TEST(kills_of_a_run_of_bf16)
{
    char data[300], whole[300];
    making = narrow;
    snprintf(data, sizeof data, "%s/text", test_dir());
    snprintf(whole, sizeof whole, "%s/whole", test_dir());
    write_text(data);
    kill_often(NULL, data, whole, (how_often() + 1) / 2);
    making = plain;
}

/* The first run fills the driver's cache of kernels; the second, `whole`, is as long as those that are killed. */
TEST(kills_on_opencl)
{
    char data[300], whole[300];
    if (!test_device(3))
        SKIP("no OpenCL device (tools/setup --gpu)");
    device = test_device(3);
    snprintf(data, sizeof data, "%s/text", test_dir());
    snprintf(whole, sizeof whole, "%s/whole", test_dir());
    write_text(data);
    CHECK(finish(start(NULL, data, whole, "stderr")));
    CHECK_OK(gr_dir_remove(whole));
    kill_often(NULL, data, whole, (how_often() + 3) / 4);
    device = "cpu";
}

/* ---- signals that are heeded -------------------------------------------------------------------------------- */

/* Every step of metrics.jsonl is in a checkpoint, or not one was done. */
static void check_nothing_lost(const char *run)
{
    gr_run_state state;
    int64_t step, *steps;
    size_t count;
    CHECK_OK(gr_run_look(run, &state, &step));
    CHECK_OK(gr_checkpoint_list(run, &steps, &count));
    CHECK(state == GR_RUN_SAVED || state == GR_RUN_NONE);
    CHECK_EQ_INT(count ? steps[count - 1] : -1, step);
    gr_free(steps);
}

/* Sends the signal, as often as impatient senders do, and waits. True when the process had done all of its work. */
static bool end_by(pid_t pid, int number, const char *run, bool was_there)
{
    int status;
    for (int i = 0; i < 3; i++)
        kill(pid, number);
    CHECK_EQ_INT(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    bool has_begun = gr_path_is_dir(run);
    /* Killed by it: before it could look after its end, and so before it made anything. */
    bool is_ended =
        WIFSIGNALED(status) ? WTERMSIG(status) == number && has_begun == was_there : WEXITSTATUS(status) == 130;
    if (!is_ended)
        FAIL("signal %d: the process ends with status %#x", number, (unsigned)status);
    if (has_begun)
        check_nothing_lost(run);
    return false;
}

TEST(heeded_signals_lose_nothing)
{
    static const int signals[] = {SIGHUP, SIGTERM, SIGPIPE, SIGXCPU, SIGUSR1};
    char data[300], whole[300];
    snprintf(data, sizeof data, "%s/text", test_dir());
    snprintf(whole, sizeof whole, "%s/whole", test_dir());
    write_text(data);
    double before = now();
    CHECK(finish(start(NULL, data, whole, "stderr")));
    double took = now() - before;
    int ends = 0, most = how_often();
    for (int runs = 0; ends < most; runs++) {
        char run[300];
        snprintf(run, sizeof run, "%s/ended-%d", test_dir(), runs);
        for (bool done = false; !done;) {
            NOTE("end %d, run %d", ends, runs);
            bool was_there = gr_path_is_dir(run);
            pid_t pid = start(NULL, data, run, "stderr");
            if (ends >= most) {
                done = finish(pid);
                continue;
            }
            pause_for(took * random_below(1000) / 1000);
            done = end_by(pid, signals[ends % 5], run, was_there);
            ends += !done;
        }
        check_same_run(run, whole, false);
        CHECK_OK(gr_dir_remove(run));
    }
}

/* While the weights of a large model are drawn, nothing is there to be kept: it ends at once, and takes all away. */
TEST(ended_before_the_first_step)
{
    static const int signals[] = {SIGINT, SIGTERM};
    const char *bin = executable(), *data = test_join(test_dir(), "text");
    write_text(data);
    for (int i = 0; i < 2; i++) {
        int status;
        const char *parent = test_join(test_dir(), "runs"), *run = test_join(parent, "large");
        const char *said = test_join(test_dir(), "said"), *mark = test_join(run, "run.lock");
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (!pid) {
            dup2(open(said, O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
            execl(bin, bin, "train", data, "--out", run, "--tokenizer", "char", "--layers", "24", "--heads", "8",
                  "--embed", "1024", "--context", "16", (char *)NULL);
            _exit(127);
        }
        while (!gr_path_is_file(mark) && waitpid(pid, &status, WNOHANG) == 0)
            pause_for(1e-3);
        pause_for(0.1);
        kill(pid, signals[i]);
        CHECK_EQ_INT(waitpid(pid, &status, 0), pid);
        char *text = gr_file_read(said, 100000, NULL);
        CHECK_MADE(text);
        NOTE("%s", text);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 130);
        CHECK(strstr(text, "gradus: stopped before the first step"));
        CHECK(!gr_path_is_dir(parent));
        gr_free(text);
    }
}

/* Both give the whole command with --resume: the one that comes late is told who writes, or finds all done. */
TEST(two_at_once)
{
    char data[300], whole[300];
    snprintf(data, sizeof data, "%s/text", test_dir());
    snprintf(whole, sizeof whole, "%s/whole", test_dir());
    write_text(data);
    CHECK(finish(start(NULL, data, whole, "stderr")));
    int refused = 0, most = how_often();
    for (int i = 0; i < most; i++) {
        char run[300];
        int status[2];
        NOTE("pair %d", i);
        snprintf(run, sizeof run, "%s/pair-%d", test_dir(), i);
        pid_t pids[] = {start(NULL, data, run, "stderr-0"), start(NULL, data, run, "stderr-1")};
        for (int k = 0; k < 2; k++)
            CHECK_EQ_INT(waitpid(pids[k], &status[k], 0), pids[k]);
        for (int k = 0; k < 2; k++) {
            char *said = gr_file_read(test_join(test_dir(), k ? "stderr-1" : "stderr-0"), 100000, NULL);
            CHECK_MADE(said);
            bool is_refused = status[k] != 0;
            CHECK(!is_refused || (WIFEXITED(status[k]) && WEXITSTATUS(status[k]) == 1));
            CHECK(!is_refused || strstr(said, "another process writes this run"));
            refused += is_refused;
            gr_free(said);
        }
        CHECK(status[0] == 0 || status[1] == 0);
        check_same_run(run, whole, false);
        CHECK_OK(gr_dir_remove(run));
    }
    CHECK(refused > most / 2);
}
