/* Checkpoints: written whole or not at all, every damage seen, the newest good one found, and nothing lost when memory
 * or the disk ends or the process is killed. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "check.h"
#include "train/run_dir.h"

static char folder[] = "checkpoint_test.XXXXXX";

/* A path in the test's own folder; valid until the third next call. KEEP makes one that stays. */
static const char *in_folder(const char *name)
{
    static char paths[3][300];
    static int next;
    char *p = paths[next++ % 3];
    snprintf(p, sizeof paths[0], "%s/%s", folder, name);
    return p;
}

#define KEEP(variable, name)                                                                                           \
    char variable[300];                                                                                                \
    snprintf(variable, sizeof variable, "%s/%s", folder, name)

/* ---- a small model ------------------------------------------------------------------------------------------ */

enum { ROWS = 16 };
static float values[3][ROWS * 64];

static const gr_weight model[] = {
    {.name = "wte.weight", .dtype = GR_F32, .ndim = 2, .shape = {ROWS, 64}},
    {.name = "ln_f.bias", .dtype = GR_F32, .ndim = 1, .shape = {64}},
};
static const gr_weight training[] = {
    {.name = "wte.weight.m", .dtype = GR_F32, .ndim = 2, .shape = {ROWS, 64}},
};

static gr_status fetch_model(void *user, int index, const void **data)
{
    (void)user;
    *data = values[index];
    return GR_OK;
}

static gr_status fetch_training(void *user, int index, const void **data)
{
    (void)user, (void)index;
    *data = values[2];
    return GR_OK;
}

/* Every step has values and a state of its own. */
static gr_status write_step(const char *run, int64_t step, size_t shard_bytes)
{
    static const gr_checkpoint_file files[] = {{"config.json", "{\"model_type\": \"gpt2\"}\n", 23},
                                               {"tokenizer.json", "{}", 2}};
    for (int t = 0; t < 3; t++)
        for (int i = 0; i < ROWS * 64; i++)
            values[t][i] = (float)step + (float)(i * (t + 1)) / 64;
    gr_json_doc *state = gr_json_new("training.json");
    if (!state)
        return gr_error_status();
    gr_json_put_int(gr_json_root(state), "step", step);
    gr_json_put_int(gr_json_root(state), "position", step * 1000);
    gr_checkpoint_spec spec = {.files = files,
                               .file_count = 2,
                               .model = {.tensors = model, .count = 2, .fetch = fetch_model},
                               .training = {.tensors = training, .count = 1, .fetch = fetch_training},
                               .state = state,
                               .shard_bytes = shard_bytes};
    gr_status s = gr_checkpoint_write(run, step, &spec);
    gr_json_free(state);
    return s;
}

/* That the directory opens and holds what write_step wrote for that step. */
static bool holds_step(const char *dir, int64_t step)
{
    gr_checkpoint c;
    if (gr_checkpoint_open(dir, &c) != GR_OK)
        return false;
    const gr_weight *w = gr_weights_find(c.weights, "wte.weight");
    const gr_weight *m = c.training ? gr_safetensors_find(c.training, "wte.weight.m") : NULL;
    float x[2] = {-1, -1};
    bool ok = w && m && c.state && w->bytes == sizeof values[0] && m->bytes == sizeof values[0];
    if (ok) {
        memcpy(&x[0], (const char *)w->data + 4 * 64, 4);
        memcpy(&x[1], (const char *)m->data + 4 * 64, 4);
        ok = x[0] == (float)(step + 1) && x[1] == (float)(step + 3) &&
             gr_json_int(gr_json_root(c.state), "position", -1, 0, INT64_MAX) == step * 1000;
    }
    gr_checkpoint_close(&c);
    return ok;
}

/* The newest good step of a run; -1: none yet, -2: a failure. */
static int64_t newest(const char *run)
{
    char *path;
    int64_t step = -1;
    if (gr_checkpoint_newest_good(run, &path, &step) != GR_OK)
        return -2;
    if (path && !holds_step(path, step))
        step = -3;
    else if (!path)
        step = -1;
    gr_free(path);
    return step;
}

/* ---- warnings ----------------------------------------------------------------------------------------------- */

static char last_warning[2000];
static int warnings;

static void keep_warning(void *user, gr_log_level level, const char *message)
{
    (void)user;
    warnings += level == GR_LOG_WARN;
    snprintf(last_warning, sizeof last_warning, "%s", message);
}

/* ---- writing and reading ------------------------------------------------------------------------------------ */

static bool count_items(void *user, const gr_verify_item *item)
{
    int *counts = user;
    counts[item->state]++;
    return true;
}

/* Goes on for as many items as there are left. */
static bool count_down(void *user, const gr_verify_item *item)
{
    return item->file && --*(int *)user > 0;
}

static void test_write(void)
{
    KEEP(run, "write");
    gr_verified totals = GR_INIT(gr_verified);
    int counts[3] = {0}, left = 9;
    gr_verify_options how = GR_INIT(gr_verify_options);
    how.item = count_items;
    how.user = counts;
    CHECK(newest(run) == -1, "no run yet is no failure");
    CHECK(write_step(run, 5, 0) == GR_OK && write_step(run, 10, 0) == GR_OK, "two checkpoints");
    CHECK(newest(run) == 10, "the newest");
    CHECK(gr_verify(run, &how, &totals) == GR_OK, "verify a run");
    /* config, tokenizer, training.json; header and 2 tensors; header and 1 tensor: 8 items a checkpoint */
    CHECK(totals.dirs == 2 && totals.good == 16 && totals.bad == 0 && totals.unchecked == 0, "%lld good items",
          (long long)totals.good);
    CHECK(counts[GR_VERIFY_GOOD] == 16, "all were reported");
    how.item = count_down;
    how.user = &left;
    CHECK(gr_verify(run, &how, &totals) == GR_ERR_INTERRUPTED && left == 0 && totals.good == 9, "stopped after nine");
    int64_t step = 0;
    CHECK(gr_checkpoint_marked(run, "latest", &step) == GR_OK && step == 10, "latest");
    CHECK(gr_checkpoint_marked(run, "best", &step) == GR_OK && step == -1, "no best yet");
    CHECK(gr_checkpoint_mark(run, "best", 5) == GR_OK && gr_checkpoint_marked(run, "best", &step) == GR_OK && step == 5,
          "best");
    CHECK(holds_step(in_folder("write/best"), 5), "best is a path to a model");
    char *path = gr_checkpoint_resolve(run);
    CHECK(path && strstr(path, "step-5"), "a run means its best");
    gr_free(path);
    path = gr_checkpoint_resolve("some/where");
    CHECK(path && strcmp(path, "some/where") == 0, "another path means itself");
    gr_free(path);
    CHECK(write_step(run, 10, 0) == GR_OK && newest(run) == 10, "a step is written again");
    CHECK(write_step(run, 11, 4096) == GR_OK && newest(run) == 11, "in shards");
    CHECK(gr_path_is_file(in_folder("write/latest/model.safetensors.index.json")), "an index");
    gr_checkpoint_clean(run);
    CHECK(newest(run) == 11, "cleaning removes no checkpoint");
}

static void test_resolve_damaged(void)
{
    KEEP(run, "resolve");
    gr_dir_make(in_folder("resolve/checkpoints"));
    CHECK(!gr_checkpoint_resolve(run) && strstr(gr_error(), "no checkpoint yet"), "a run without a checkpoint");
    write_step(run, 1, 0);
    write_step(run, 2, 0);
    gr_checkpoint_mark(run, "best", 1);
    gr_file_write(in_folder("resolve/checkpoints/step-1/config.json"), "{}", 2);
    warnings = 0;
    gr_set_log(keep_warning, NULL);
    char *path = gr_checkpoint_resolve(run);
    gr_set_log(NULL, NULL);
    CHECK(path && strstr(path, "step-2"), "the newest in place of a damaged best");
    CHECK(warnings == 1 && strstr(last_warning, "best is damaged"), "which is said: %s", last_warning);
    gr_free(path);
}

static void test_verify_unsigned(void)
{
    gr_verified totals = GR_INIT(gr_verified);
    KEEP(dir, "plain");
    gr_safetensors_spec spec = {.tensors = model, .count = 2, .fetch = fetch_model};
    gr_dir_make(dir);
    gr_weights_save(dir, &spec, 0);
    gr_file_write(in_folder("plain/config.json"), "{}", 2);
    CHECK(gr_verify(dir, NULL, &totals) == GR_OK, "a plain directory");
    CHECK(totals.dirs == 1 && totals.dirs_unchecked == 1 && totals.good == 0 && totals.bytes == 0,
          "it says that nothing was compared");
    gr_file_write(in_folder("plain/config.json"), "{", 1);
    CHECK(gr_verify(dir, NULL, NULL) == GR_ERR_FILE && strstr(gr_error(), "config.json"), "structure");
    CHECK(gr_verify(in_folder("plain/model.safetensors"), NULL, &totals) == GR_OK, "a single file");
    CHECK(gr_verify(in_folder("nowhere"), NULL, NULL) == GR_ERR_FILE, "nothing there");
    CHECK(gr_verify(folder, NULL, NULL) == GR_ERR_FILE, "a directory without a model");
}

static void test_prune(void)
{
    KEEP(run, "prune");
    int64_t *steps = NULL;
    size_t n = 0;
    for (int64_t step = 1; step <= 6; step++)
        write_step(run, step * 10, 0);
    gr_checkpoint_mark(run, "best", 20);
    CHECK(gr_checkpoint_prune(run, 2) == GR_OK && gr_checkpoint_list(run, &steps, &n) == GR_OK, "prune");
    CHECK(n == 3 && steps[0] == 20 && steps[1] == 50 && steps[2] == 60, "the newest two and best stay");
    gr_free(steps);
    /* The run went back to 50 and saves at 55: 60 is of the run broken off and must not push 55 out. */
    CHECK(write_step(run, 55, 0) == GR_OK && gr_checkpoint_prune(run, 1) == GR_OK, "prune after going back");
    CHECK(gr_checkpoint_list(run, &steps, &n) == GR_OK && n == 3 && steps[1] == 55 && steps[2] == 60, "%zu stay", n);
    gr_free(steps);
    CHECK(gr_checkpoint_prune(run, 0) == GR_OK && newest(run) == 60 && holds_step(in_folder("prune/latest"), 55),
          "the last one is never removed");
    gr_dir_make(in_folder("prune/checkpoints/step-007"));
    gr_dir_make(in_folder("prune/checkpoints/step-x"));
    gr_dir_make(in_folder("prune/checkpoints/notes"));
    CHECK(gr_checkpoint_clean(run) == GR_OK && gr_path_is_dir(in_folder("prune/checkpoints/notes")),
          "what is not ours stays");
    CHECK(newest(run) == 60, "and is no checkpoint");
}

/* ---- damage ------------------------------------------------------------------------------------------------- */

/* Every file of the newest checkpoint, damaged by `harm` at every place it knows: always the older one is chosen, and
 * a warning says why. */
static void for_each_file(const char *run, const char *dir,
                          int (*harm)(const char *path, const char *data, size_t size))
{
    char **names;
    size_t count;
    gr_dir_list(dir, &names, &count);
    for (size_t i = 0; i < count; i++) {
        size_t size = 0;
        char *path = gr_path_join(dir, names[i]), *data = gr_file_read(path, 1 << 20, &size);
        int rounds = harm(path, data, size);
        CHECK(rounds > 0, "%s was damaged", path);
        gr_file_write(path, data, size);
        CHECK(newest(run) == 2, "%s is good again", path);
        gr_free(path);
        gr_free(data);
    }
    CHECK(count == 6, "%zu files", count);
    gr_names_free(names, count);
}

static const char *damaged_run;

/* The damaged file on disk makes step 1 the newest good one. */
static void expect_fallback(const char *path, const char *what, size_t at)
{
    /* A wrong name in checksums.json is another file's that is missing. */
    const char *name = strstr(path, "checksums.json") ? "step-2" : strrchr(path, '/') + 1;
    warnings = 0;
    CHECK(newest(damaged_run) == 1, "%s: %s %zu was not seen", path, what, at);
    CHECK(warnings == 1 && strstr(last_warning, "step 2 is damaged") && strstr(last_warning, name), "%s: %s %zu: %s",
          path, what, at, last_warning);
}

static int truncate_everywhere(const char *path, const char *data, size_t size)
{
    int rounds = 0;
    for (size_t at = 0; at < size; at += 4096, rounds++) {
        gr_file_write(path, data, at);
        expect_fallback(path, "cut at", at);
    }
    /* checksums.json ends in a newline that says nothing. */
    size_t last = size - (strstr(path, "checksums.json") ? 2 : 1);
    gr_file_write(path, data, last);
    expect_fallback(path, "cut at", last);
    char *longer = gr_alloc(size + 1);
    memcpy(longer, data, size);
    longer[size] = ' ';
    gr_file_write(path, longer, size + 1);
    /* checksums.json carries no checksum of itself; a space behind its last brace says nothing. */
    if (!strstr(path, "checksums.json"))
        expect_fallback(path, "longer than", size);
    gr_free(longer);
    return rounds;
}

/* All bits of small files, a spread of the large ones'. */
static int flip_bits(const char *path, const char *data, size_t size)
{
    char *copy = gr_alloc(size);
    int rounds = 0;
    size_t stride = size < 2000 ? 1 : 8 * size / 400 + 1;
    for (size_t bit = 0; bit < 8 * size; bit += stride, rounds++) {
        memcpy(copy, data, size);
        copy[bit / 8] ^= (char)(1 << bit % 8);
        /* Written in place: 20,000 durable writes would take minutes. */
        FILE *f = fopen(path, "wb");
        fwrite(copy, 1, size, f);
        fclose(f);
        expect_fallback(path, "bit", bit);
    }
    gr_free(copy);
    return rounds;
}

static int delete_it(const char *path, const char *data, size_t size)
{
    (void)data, (void)size;
    unlink(path);
    expect_fallback(path, "deleted", 0);
    return 1;
}

static void test_damage(void)
{
    KEEP(run, "damage");
    KEEP(dir, "damage/checkpoints/step-2");
    damaged_run = run;
    write_step(run, 1, 0);
    write_step(run, 2, 0);
    gr_set_log(keep_warning, NULL);
    for_each_file(run, dir, truncate_everywhere);
    for_each_file(run, dir, flip_bits);
    for_each_file(run, dir, delete_it);

    /* Files of one checkpoint beside those of another: stale state beside new weights. */
    size_t size;
    char *old = gr_file_read(in_folder("damage/checkpoints/step-1/training.json"), 1 << 20, &size);
    gr_file_write(in_folder("damage/checkpoints/step-2/training.json"), old, size);
    gr_free(old);
    expect_fallback("x/training.json", "stale state", 0);
    gr_verified totals = GR_INIT(gr_verified);
    CHECK(gr_verify(run, NULL, &totals) == GR_ERR_FILE && totals.dirs_bad == 1 && totals.bad == 1, "verify counts it");
    CHECK(strstr(gr_error(), "training.json"), "and names it");
    gr_file_write(in_folder("damage/checkpoints/step-1/checksums.json"), "{}", 2);
    CHECK(newest(run) == -2 && gr_error_status() == GR_ERR_FILE && strstr(gr_error(), "none of the 2"), "none is good");
    gr_set_log(NULL, NULL);
}

/* checksums.json from a stranger. */
static void test_hostile_sums(void)
{
    static const struct {
        const char *name, *text, *expected;
    } cases[] = {
        {"not JSON", "x", "not valid JSON"},
        {"no format", "{\"files\": {}}", "key \"format\": missing"},
        {"another format", "{\"format\": 2, \"files\": {\"a\": {}}}", "key \"format\": expected"},
        {"no files", "{\"format\": 1}", "key \"files\": missing"},
        {"empty", "{\"format\": 1, \"files\": {}}", "lists no file"},
        {"path", "{\"format\": 1, \"files\": {\"../a\": {\"size\": 1, \"xxh64\": \"0\"}}}",
         "outside of the checkpoint"},
        {"absolute path", "{\"format\": 1, \"files\": {\"/etc/passwd\": {\"size\": 1, \"xxh64\": \"0\"}}}",
         "outside of"},
        {"path behind a folder",
         "{\"format\": 1, \"files\": {\"additional_chat_templates/../a\": {\"size\": 1, \"xxh64\": \"0\"}}}",
         "outside of the checkpoint"},
        {"the folder itself",
         "{\"format\": 1, \"files\": {\"additional_chat_templates/\": {\"size\": 1, \"xxh64\": \"0\"}}}",
         "outside of the checkpoint"},
        {"hidden", "{\"format\": 1, \"files\": {\"..\": {\"size\": 1, \"xxh64\": \"0\"}}}",
         "outside of the checkpoint"},
        {"number for text", "{\"format\": 1, \"files\": {\"config.json\": {\"size\": 1, \"xxh64\": 0}}}",
         "expected a str"},
        {"negative size", "{\"format\": 1, \"files\": {\"config.json\": {\"size\": -1, \"xxh64\": \"0\"}}}",
         "at least 0"},
        {"tensors no object",
         "{\"format\": 1, \"files\": {\"model.safetensors\": {\"header\": \"0\", \"tensors\": 1}}}",
         "expected an object"},
        {"huge checksum",
         "{\"format\": 1, \"files\": {\"config.json\": {\"size\": 23, \"xxh64\": "
         "\"00000000000000000000000000000000000000000000000000000000000000000000000\"}}}",
         "the checksum is"},
    };
    KEEP(run, "hostile");
    write_step(run, 1, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gr_file_write(in_folder("hostile/checkpoints/step-1/checksums.json"), cases[i].text, strlen(cases[i].text));
        CHECK(gr_verify(in_folder("hostile/checkpoints/step-1"), NULL, NULL) == GR_ERR_FILE, "%s was accepted",
              cases[i].name);
        CHECK(strstr(gr_error(), cases[i].expected), "%s: expected %s", cases[i].name, cases[i].expected);
    }
}

/* ---- without memory, without disk, without warning ---------------------------------------------------------- */

static void test_failing_allocations(void)
{
    KEEP(run, "memory");
    write_step(run, 1, 0);
    int64_t live = gr_mem_read_stats().live_blocks, calls = gr_mem_read_stats().calls;
    bool good = write_step(run, 2, 4096) == GR_OK && newest(run) == 2 && gr_checkpoint_prune(run, 9) == GR_OK;
    calls = gr_mem_read_stats().calls - calls;
    CHECK(good, "without failures");
    for (int64_t n = 1; n <= calls + 20; n++) {
        gr_dir_remove(in_folder("memory/checkpoints/step-2"));
        gr_error_clear();
        gr_mem_fail_at(n);
        good = write_step(run, 2, 4096) == GR_OK && newest(run) == 2 && gr_checkpoint_prune(run, 9) == GR_OK &&
               gr_checkpoint_clean(run) == GR_OK;
        gr_mem_fail_at(0);
        CHECK(good || gr_error_status() == GR_ERR_MEMORY, "allocation %lld of %lld", (long long)n, (long long)calls);
        CHECK(gr_mem_read_stats().live_blocks == live, "leak after allocation %lld", (long long)n);
        int64_t step = newest(run);
        CHECK(step == 1 || step == 2, "a good checkpoint after allocation %lld", (long long)n);
    }
    printf("%lld allocations failed\n", (long long)calls);
}

static void test_failing_writes(void)
{
    KEEP(run, "disk");
    int failed = 0, entries_left = 0;
    for (int n = 1;; n++) {
        gr_dir_remove(run);
        write_step(run, 1, 0);
        write_step(run, 2, 0);
        gr_error_clear();
        gr_file_fail_at(n);
        /* A new one, one that replaces, one that goes. */
        bool good = write_step(run, 3, 0) == GR_OK && write_step(run, 2, 4096) == GR_OK &&
                    gr_checkpoint_mark(run, "best", 3) == GR_OK && gr_checkpoint_prune(run, 1) == GR_OK;
        gr_file_fail_at(0);
        if (good)
            break;
        failed++;
        CHECK(gr_error_status() == GR_ERR_FILE && gr_error()[0], "write %d", n);
        CHECK(gr_checkpoint_clean(run) == GR_OK, "clean after write %d", n);
        CHECK(newest(run) >= 2, "after write %d the newest is %lld", n, (long long)newest(run));
        CHECK(gr_verify(run, NULL, NULL) == GR_OK, "all are whole after write %d", n);
        char **names;
        size_t count;
        gr_dir_list(in_folder("disk/checkpoints"), &names, &count);
        for (size_t i = 0; i < count; i++)
            entries_left += strncmp(names[i], "step-", 5) != 0;
        gr_names_free(names, count);
    }
    CHECK(entries_left == 0, "%d leftovers", entries_left);
    CHECK(failed > 30, "%d writes", failed);
    printf("%d writes failed\n", failed);
}

/* Writes, replaces, marks and prunes until it is killed. */
static void save_for_ever(const char *run)
{
    for (int64_t step = 3;; step++) {
        write_step(run, step, step % 2 ? 4096 : 0);
        write_step(run, step, 0);
        gr_checkpoint_mark(run, "best", step - step % 3);
        gr_checkpoint_prune(run, 1);
    }
}

static void test_kill(void)
{
    KEEP(run, "kill");
    int64_t before = 2;
    write_step(run, 1, 0);
    write_step(run, 2, 0);
    for (int round = 0; round < 40; round++) {
        pid_t child = fork();
        if (child == 0)
            save_for_ever(run);
        usleep((useconds_t)(1000 + round * 17777 % 120000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        CHECK(gr_checkpoint_clean(run) == GR_OK, "clean");
        int64_t step = newest(run);
        CHECK(step >= 2, "round %d: the newest is %lld", round, (long long)step);
        CHECK(gr_verify(run, NULL, NULL) == GR_OK, "round %d: all are whole", round);
        before = step;
    }
    printf("killed 40 times, came to step %lld\n", (long long)before);
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    int64_t live = gr_mem_read_stats().live_blocks;
    test_write();
    test_resolve_damaged();
    test_verify_unsigned();
    test_prune();
    test_damage();
    test_hostile_sums();
    test_failing_allocations();
    test_failing_writes();
    test_kill();
    CHECK(gr_mem_read_stats().live_blocks == live, "%lld blocks leaked",
          (long long)(gr_mem_read_stats().live_blocks - live));
    gr_dir_remove(folder);
    return check_result();
}
