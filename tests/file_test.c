/* Files and folders; that a failed or killed write loses nothing and leaves nothing behind. */
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* The file holds exactly this text. */
static void check_text(const char *path, const char *wanted)
{
    size_t size = 0;
    char *text = gr_file_read(path, 1 << 20, &size);
    CHECK_MADE(text);
    bool same = size == strlen(wanted) && memcmp(text, wanted, size) == 0;
    gr_free(text);
    if (!same)
        FAIL("%s does not hold \"%s\"", path, wanted);
}

/* The folder holds exactly these names, in this order, joined by spaces. */
static void check_names(const char *path, const char *wanted)
{
    char **names, all[1024] = "";
    size_t count;
    CHECK_OK(gr_dir_list(path, &names, &count));
    for (size_t i = 0; i < count; i++) {
        strcat(all, i ? " " : "");
        strcat(all, names[i]);
    }
    gr_names_free(names, count);
    CHECK_EQ_STR(all, wanted);
}

TEST(a_file_is_written_read_and_mapped)
{
    const char *path = test_join(test_dir(), "a");
    CHECK_OK(gr_file_write(path, "hello", 5));
    check_text(path, "hello");
    CHECK(gr_path_is_file(path) && !gr_path_is_dir(path) && gr_path_is_dir(test_dir()));
    gr_map map;
    CHECK_OK(gr_map_open(path, &map));
    bool same = map.size == 5 && memcmp(map.data, "hello", 5) == 0;
    gr_map_close(&map);
    CHECK(same && map.size == 0);
    CHECK_OK(gr_file_write(path, NULL, 0));
    check_text(path, "");
    CHECK_OK(gr_map_open(path, &map));
    CHECK(map.size == 0 && map.data);
    gr_map_close(&map);
    check_names(test_dir(), "a");
}

/* 255 bytes is what a name may have; the temporary one must not need more. */
TEST(the_longest_name_can_be_written)
{
    char name[256];
    memset(name, 'n', 255);
    name[255] = 0;
    const char *path = test_join(test_dir(), name);
    CHECK_OK(gr_file_write(path, "hello", 5));
    check_text(path, "hello");
    check_names(test_dir(), name);
}

TEST(reading_has_a_limit_and_ends_with_nul)
{
    const char *path = test_join(test_dir(), "a");
    CHECK_OK(gr_file_write(path, "12345", 5));
    char *text = gr_file_read(path, 5, NULL);
    CHECK_MADE(text);
    bool same = strcmp(text, "12345") == 0;
    gr_free(text);
    CHECK(same);
    CHECK(!gr_file_read(path, 4, NULL));
    CHECK_ERROR(GR_ERR_FILE, "larger than 4 bytes");
    /* A pipe has no size to go by. */
    int ends[2];
    char name[64];
    CHECK(pipe(ends) == 0);
    snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
    CHECK(write(ends[1], "through a pipe", 14) == 14);
    close(ends[1]);
    text = gr_file_read(name, 100, NULL);
    close(ends[0]);
    CHECK_MADE(text);
    same = strcmp(text, "through a pipe") == 0;
    gr_free(text);
    CHECK(same);
}

TEST(errors_name_the_path_and_a_remedy)
{
    const char *missing = test_join(test_dir(), "missing/x");
    gr_map map;
    char **names;
    size_t count;
    CHECK_STATUS(gr_map_open(missing, &map), GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, missing);
    CHECK_ERROR(GR_ERR_FILE, "No such file or directory\ncheck the path");
    CHECK(!gr_file_read(missing, 10, NULL));
    CHECK_ERROR(GR_ERR_FILE, missing);
    CHECK_STATUS(gr_file_write(missing, "x", 1), GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, missing);
    CHECK_STATUS(gr_file_append(missing, "x", 1), GR_ERR_FILE);
    CHECK_STATUS(gr_dir_list(missing, &names, &count), GR_ERR_FILE);
    CHECK_STATUS(gr_map_open(test_dir(), &map), GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, "Is a directory\nname a file");
    CHECK_STATUS(gr_map_open("/dev/null", &map), GR_ERR_FILE);
    CHECK_STATUS(gr_file_write(test_dir(), "x", 1), GR_ERR_FILE); /* a folder has that name */
    CHECK(gr_path_is_dir(test_dir()));
    check_names(test_dir(), "");
}

TEST(many_writes_of_many_sizes)
{
    const char *path = test_join(test_dir(), "a");
    gr_writer *w = gr_writer_open(path);
    CHECK_MADE(w);
    uint32_t x = 1;
    size_t total = 0;
    static uint8_t all[1 << 21], piece[200000];
    for (int i = 0; total < 1000000; i++) {
        size_t size = i % 5 == 4 ? x % sizeof piece : x % 300;
        for (size_t k = 0; k < size; k++)
            piece[k] = all[total + k] = (uint8_t)((x = x * 1664525 + 1013904223) >> 20);
        CHECK_OK(gr_writer_write(w, piece, size));
        total += size;
    }
    CHECK(!gr_path_is_file(path)); /* not before it is whole */
    CHECK_OK(gr_writer_commit(w));
    gr_map map;
    CHECK_OK(gr_map_open(path, &map));
    bool same = map.size == total && memcmp(map.data, all, total) == 0;
    gr_map_close(&map);
    CHECK(same);
    check_names(test_dir(), "a");
}

TEST(cancel_leaves_nothing)
{
    const char *path = test_join(test_dir(), "a");
    CHECK_OK(gr_file_write(path, "old", 3));
    gr_writer *w = gr_writer_open(path);
    CHECK_MADE(w);
    CHECK_OK(gr_writer_write(w, "new", 3));
    gr_writer_cancel(w);
    gr_writer_cancel(NULL);
    check_text(path, "old");
    gr_stage *s = gr_stage_open(test_join(test_dir(), "b"));
    CHECK_MADE(s);
    CHECK_OK(gr_file_write(test_join(gr_stage_path(s), "x"), "x", 1));
    gr_stage_cancel(s);
    gr_stage_cancel(NULL);
    check_names(test_dir(), "a");
}

TEST(replacing_keeps_permissions)
{
    const char *path = test_join(test_dir(), "a");
    CHECK_OK(gr_file_write(path, "old", 3));
    CHECK(chmod(path, 0640) == 0);
    CHECK_OK(gr_file_write(path, "new", 3));
    struct stat info;
    CHECK(stat(path, &info) == 0);
    CHECK_EQ_INT(info.st_mode & 0777, 0640);
}

TEST(links_stay_links)
{
    char real[600], link[600], far[600];
    snprintf(real, sizeof real, "%s", test_join(test_dir(), "real"));
    snprintf(link, sizeof link, "%s", test_join(test_dir(), "link"));
    snprintf(far, sizeof far, "%s", test_join(test_dir(), "far"));
    CHECK_OK(gr_dir_make(test_join(test_dir(), "deep")));
    CHECK_OK(gr_file_write(real, "old", 3));
    CHECK(symlink("real", link) == 0 && symlink(link, far) == 0);
    CHECK_OK(gr_file_write(link, "new", 3));
    check_text(real, "new");
    CHECK_OK(gr_file_write(far, "newer", 5)); /* over two links, one of them with a whole path */
    check_text(real, "newer");
    struct stat info;
    CHECK(lstat(link, &info) == 0 && S_ISLNK(info.st_mode) && lstat(far, &info) == 0 && S_ISLNK(info.st_mode));
    /* A link to nothing makes what it names, in the folder that is meant. */
    CHECK(symlink("deep/made", test_join(test_dir(), "ahead")) == 0);
    CHECK_OK(gr_file_write(test_join(test_dir(), "ahead"), "made", 4));
    check_text(test_join(test_dir(), "deep/made"), "made");
    /* A circle is an error, and stays. */
    CHECK(symlink("ring", test_join(test_dir(), "ring")) == 0);
    CHECK_STATUS(gr_file_write(test_join(test_dir(), "ring"), "x", 1), GR_ERR_FILE);
    check_names(test_dir(), "ahead deep far link real ring");
}

TEST(a_pipe_is_written_to)
{
    char pipe[600], got[64];
    snprintf(pipe, sizeof pipe, "%s", test_join(test_dir(), "pipe"));
    CHECK(mkfifo(pipe, 0600) == 0);
    int reader = open(pipe, O_RDWR); /* so that nobody waits */
    CHECK(reader >= 0);
    CHECK_OK(gr_file_write(pipe, "through", 7));
    CHECK(read(reader, got, sizeof got) == 7 && memcmp(got, "through", 7) == 0);
    gr_writer *w = gr_writer_open(pipe);
    CHECK_MADE(w);
    gr_writer_cancel(w); /* removes no pipe */
    struct stat info;
    CHECK(lstat(pipe, &info) == 0 && S_ISFIFO(info.st_mode));
    close(reader);
    check_names(test_dir(), "pipe");
    CHECK_OK(gr_file_write("/dev/null", "away", 4));
    CHECK(stat("/dev/null", &info) == 0 && S_ISCHR(info.st_mode));
    CHECK_STATUS(gr_file_write(test_dir(), "x", 1), GR_ERR_FILE);
}

TEST(append_is_all_or_nothing)
{
    const char *path = test_join(test_dir(), "a");
    CHECK_OK(gr_file_append(path, "one\n", 4));
    CHECK_OK(gr_file_append(path, "two\n", 4));
    gr_file_fail_at(1);
    CHECK_STATUS(gr_file_append(path, "three\n", 6), GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, "No space left on device\nfree space");
    check_text(path, "one\ntwo\n");
}

TEST(a_stage_becomes_its_folder_at_once)
{
    const char *path = test_join(test_dir(), "runs/3/step-1/");
    gr_stage *s = gr_stage_open(path);
    CHECK_MADE(s);
    CHECK_OK(gr_dir_make(test_join(gr_stage_path(s), "inner/deep")));
    CHECK_OK(gr_file_write(test_join(gr_stage_path(s), "inner/deep/x"), "x", 1));
    CHECK_OK(gr_file_append(test_join(gr_stage_path(s), "y"), "y", 1));
    CHECK(symlink("y", test_join(gr_stage_path(s), "link")) == 0);
    CHECK(!gr_path_is_dir(path));
    CHECK_OK(gr_stage_commit(s));
    check_names(path, "inner link y");
    check_text(test_join(path, "inner/deep/x"), "x");
    check_names(test_join(test_dir(), "runs/3"), "step-1");
    CHECK(!gr_stage_open(path));
    CHECK_ERROR(GR_ERR_FILE, "there is something of that name");
}

TEST(a_stage_does_not_replace_what_came_meanwhile)
{
    const char *path = test_join(test_dir(), "step");
    gr_stage *s = gr_stage_open(path);
    CHECK_MADE(s);
    CHECK_OK(gr_dir_make(path));
    CHECK_STATUS(gr_stage_commit(s), GR_ERR_FILE);
    check_names(test_dir(), "step");
    check_names(path, "");
}

TEST(folders_are_made_listed_and_removed)
{
    const char *top = test_join(test_dir(), "top"), *deep = test_join(test_dir(), "top//a/b/c/");
    CHECK_OK(gr_dir_make(deep));
    CHECK_OK(gr_dir_make(deep));
    CHECK_OK(gr_file_write(test_join(deep, "z"), "", 0));
    CHECK_OK(gr_file_write(test_join(deep, ".hidden"), "", 0));
    CHECK_OK(gr_file_write(test_join(deep, "a"), "", 0));
    check_names(deep, ".hidden a z");
    CHECK_STATUS(gr_dir_make(test_join(deep, "a/under-a-file")), GR_ERR_FILE);
    /* Links are removed, what they lead to stays. */
    const char *kept = test_join(test_dir(), "kept");
    CHECK_OK(gr_dir_make(kept));
    CHECK_OK(gr_file_write(test_join(kept, "x"), "x", 1));
    CHECK(symlink(kept, test_join(deep, "link")) == 0 && symlink("/nowhere", test_join(deep, "broken")) == 0);
    CHECK_OK(gr_dir_remove(top));
    CHECK_OK(gr_dir_remove(top)); /* is gone already */
    check_names(test_dir(), "kept");
    check_text(test_join(kept, "x"), "x");
    CHECK_OK(gr_dir_remove(test_join(kept, "x"))); /* a file */
    check_names(kept, "");
}

TEST(paths_are_joined)
{
    static const char *const cases[][3] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"/", "b", "/b"}};
    for (int i = 0; i < 4; i++) {
        char *path = gr_path_join(cases[i][0], cases[i][1]);
        CHECK_MADE(path);
        bool same = strcmp(path, cases[i][2]) == 0;
        gr_free(path);
        CHECK(same);
    }
}

/* ---- sweeps ------------------------------------------------------------------------------------------------- */

/* Replaces the file, in several writes. Whatever fails, it is the old one or the new one; and only the last step, the
 * folder's fsync, comes when the name is given already. */
static char letters[150000];

static gr_status replace(void *ctx)
{
    const char *path = ctx;
    gr_writer *w = gr_writer_open(path);
    if (!w)
        return gr_error_status();
    memset(letters, 'n', sizeof letters);
    gr_writer_write(w, letters, 100);
    gr_writer_write(w, letters, sizeof letters);
    gr_writer_write(w, letters, 100);
    return gr_writer_commit(w);
}

static char swept_path[512]; /* what is swept, in test_dir() */

static void set_swept_path(const char *name)
{
    snprintf(swept_path, sizeof swept_path, "%s/%s", test_dir(), name);
}

/* Between two steps of a sweep: nothing but the file, and that whole. Then the old content again. */
static int64_t fail_and_reset(int64_t n)
{
    if (n > 0) {
        CHECK_OK(gr_file_write(swept_path, "old", 3));
        return gr_file_fail_at(n);
    }
    int64_t left = gr_file_fail_at(0);
    struct stat info;
    CHECK(stat(swept_path, &info) == 0);
    CHECK(info.st_size == 3 || info.st_size == (off_t)sizeof letters + 200);
    check_names(test_dir(), "a");
    return left;
}

TEST(sweep_failing_every_step_of_a_write)
{
    set_swept_path("a");
    int64_t steps = test_sweep(fail_and_reset, GR_ERR_FILE, replace, swept_path);
    CHECK_EQ_INT(steps, 6); /* three writes, fsync, rename, fsync of the folder */
    for (int64_t n = 1; n < steps; n++) {
        CHECK_OK(gr_file_write(swept_path, "old", 3));
        gr_file_fail_at(n);
        CHECK_STATUS(replace(swept_path), GR_ERR_FILE);
        CHECK_ERROR(GR_ERR_FILE, swept_path);
        check_text(swept_path, "old");
    }
}

static gr_status save_step(void *ctx)
{
    const char *path = ctx;
    gr_stage *s = gr_stage_open(path);
    if (!s)
        return gr_error_status();
    gr_status status = gr_dir_make(test_join(gr_stage_path(s), "inner"));
    if (status == GR_OK)
        status = gr_file_write(test_join(gr_stage_path(s), "inner/x"), "x", 1);
    if (status == GR_OK)
        status = gr_file_append(test_join(gr_stage_path(s), "y"), "y", 1);
    if (status == GR_OK)
        return gr_stage_commit(s);
    gr_stage_cancel(s);
    return status;
}

/* After a failure nothing is there; after success the folder, which the next run then has to find absent. */
static int64_t fail_write_in_stage(int64_t n)
{
    if (n > 0)
        return gr_file_fail_at(n);
    int64_t left = gr_file_fail_at(0);
    check_names(test_dir(), left > 0 ? "step" : "");
    return left;
}

static int64_t fail_allocation_in_stage(int64_t n)
{
    if (n > 0)
        return gr_mem_fail_at(n);
    int64_t left = gr_mem_fail_at(0);
    check_names(test_dir(), left > 0 ? "step" : "");
    CHECK_OK(left > 0 ? gr_dir_remove(swept_path) : GR_OK);
    return left;
}

TEST(sweep_failing_every_step_of_a_stage)
{
    set_swept_path("step");
    CHECK(test_sweep(fail_allocation_in_stage, GR_ERR_MEMORY, save_step, swept_path) > 10);
    CHECK_EQ_INT(test_sweep(fail_write_in_stage, GR_ERR_FILE, save_step, swept_path), 11);
}

static gr_status read_everything(void *ctx)
{
    size_t size;
    char **names;
    size_t count;
    char *text = gr_file_read(ctx, 1000, &size);
    if (!text)
        return gr_error_status();
    gr_free(text);
    gr_status status = gr_dir_list(test_dir(), &names, &count);
    if (status == GR_OK)
        gr_names_free(names, count);
    return status;
}

TEST(sweep_failing_every_allocation_of_reading)
{
    const char *path = test_join(test_dir(), "a");
    CHECK_OK(gr_file_write(path, "text", 4));
    CHECK_OK(gr_file_write(test_join(test_dir(), "b"), "text", 4));
    CHECK_EQ_INT(SWEEP_ALLOCATIONS(read_everything, (void *)(uintptr_t)path), 4);
    CHECK_EQ_INT(SWEEP_ALLOCATIONS(replace, (void *)(uintptr_t)path), 4);
}

/* ---- leftovers of the dead ---------------------------------------------------------------------------------- */

/* A process that has a writer and a stage open in `dir`, says so, and waits for its end. */
static pid_t start_writing(const char *dir)
{
    int ends[2];
    char byte = 0;
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        gr_writer *w = gr_writer_open(test_join(dir, "file"));
        gr_stage *s = gr_stage_open(test_join(dir, "step"));
        bool good = w && s && gr_writer_write(w, letters, sizeof letters) == GR_OK &&
                    gr_file_write(test_join(gr_stage_path(s), "x"), "x", 1) == GR_OK;
        if (good && write(ends[1], "!", 1) == 1)
            pause();
        _exit(1);
    }
    close(ends[1]);
    bool started = read(ends[0], &byte, 1) == 1;
    close(ends[0]);
    CHECK(started);
    return child;
}

TEST(leftovers_of_killed_processes_are_swept)
{
    const char *dir = test_dir();
    CHECK_OK(gr_file_write(test_join(dir, ".mine.tmp-x"), "", 0)); /* names that only look alike */
    CHECK_OK(gr_file_write(test_join(dir, "a.tmp-1-1"), "", 0));
    CHECK_OK(gr_file_write(test_join(dir, ".b.tmp-1-1c"), "", 0));
    gr_writer *own = gr_writer_open(test_join(dir, "own"));
    CHECK_MADE(own);
    pid_t child = start_writing(dir);
    char **names;
    size_t alive = 0, dead = 0;
    gr_status swept = gr_dir_sweep(dir); /* both live */
    gr_status listed = gr_dir_list(dir, &names, &alive);
    gr_names_free(names, alive);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    CHECK_OK(swept);
    CHECK_OK(listed);
    CHECK_EQ_INT(alive, 6);
    CHECK_OK(gr_dir_sweep(dir));
    CHECK_OK(gr_dir_list(dir, &names, &dead));
    gr_names_free(names, dead);
    CHECK_EQ_INT(dead, 4);
    CHECK_OK(gr_writer_commit(own));
    check_names(dir, ".b.tmp-1-1c .mine.tmp-x a.tmp-1-1 own");
}
