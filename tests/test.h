/* The test harness, all of it in this header: a test program is one .c file that includes it and writes TESTs.
 *
 *     TEST(adds)
 *     {
 *         CHECK_EQ_INT(add(1, 2), 3);
 *     }
 *
 * `program` runs all tests, `program norm grad` those whose name contains "norm" or "grad", `program -l` lists them.
 * Prints a line for each failure and skip, and "N passed, N failed, N skipped"; exit status 1 when one failed.
 * A failed check ends its test (from helper functions too, but it must be the test's own thread). A test that leaves
 * blocks of the library's allocator behind fails. */
#ifndef GRADUS_TEST_H
#define GRADUS_TEST_H

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "gradus.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* gr_data_new with what is named: DATA(.ids = ids, .n_ids = 3). */
#define DATA(...) gr_data_new(&(gr_data_options){.size = sizeof(gr_data_options), __VA_ARGS__})

typedef struct test_case {
    const char *name;
    void (*run)(void);
    struct test_case *next;
} test_case;

/* Everything the harness remembers. */
static struct {
    test_case *first, **last;
    jmp_buf end; /* out of the running test */
    enum { TEST_PASSED, TEST_FAILED, TEST_SKIPPED } outcome;
    char note[256];   /* what the running test is at: a failure says it */
    char dir[256];    /* see test_dir */
    const char *name; /* of the running test */
} test_state;

/* Defines and registers a test; they run in the order in which they stand. */
#define TEST(name)                                                                                                     \
    static void test_##name(void);                                                                                     \
    __attribute__((constructor)) static void test_register_##name(void)                                                \
    {                                                                                                                  \
        static test_case self = {#name, test_##name, NULL};                                                            \
        test_register(&self);                                                                                          \
    }                                                                                                                  \
    static void test_##name(void)

static void test_register(test_case *t)
{
    if (!test_state.last)
        test_state.last = &test_state.first;
    *test_state.last = t;
    test_state.last = &t->next;
}

/* Ends the test with a failure. */
__attribute__((noreturn, format(printf, 3, 4), unused)) static void test_fail(const char *file, int line,
                                                                              const char *fmt, ...)
{
    char text[4096];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    for (char *p = text; *p; p++) /* one line a failure */
        *p = *p == '\n' ? '|' : *p;
    printf("FAIL %s: %s:%d: %s%s%s%s\n", test_state.name, file, line, text, test_state.note[0] ? " [" : "",
           test_state.note, test_state.note[0] ? "]" : "");
    test_state.outcome = TEST_FAILED;
    longjmp(test_state.end, 1);
}

__attribute__((noreturn, unused)) static void test_skip(const char *why)
{
    printf("skipped %s: %s\n", test_state.name, why);
    test_state.outcome = TEST_SKIPPED;
    longjmp(test_state.end, 1);
}

/* Says what is tested now (op, shape, n of a sweep); failures repeat it. */
__attribute__((format(printf, 1, 2), unused)) static void test_note(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(test_state.note, sizeof test_state.note, fmt, args);
    va_end(args);
}

#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)
#define SKIP(why) test_skip(why)
#define NOTE(...) test_note(__VA_ARGS__)

#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        if (!(cond))                                                                                                   \
            FAIL("%s is false", #cond);                                                                                \
    } while (0)

/* Integers of any type up to 64 bits, compared by value. */
#define CHECK_EQ_INT(a, b)                                                                                             \
    do {                                                                                                               \
        int64_t test_a = (int64_t)(a), test_b = (int64_t)(b);                                                          \
        if (test_a != test_b)                                                                                          \
            FAIL("%s is %" PRId64 " (%#" PRIx64 "), not %" PRId64 " (%#" PRIx64 ")", #a, test_a, (uint64_t)test_a,     \
                 test_b, (uint64_t)test_b);                                                                            \
    } while (0)

#define CHECK_EQ_STR(a, b)                                                                                             \
    do {                                                                                                               \
        const char *test_a = (a), *test_b = (b);                                                                       \
        if (!test_a || !test_b || strcmp(test_a, test_b) != 0)                                                         \
            FAIL("%s is \"%s\", not \"%s\"", #a, test_a ? test_a : "NULL", test_b ? test_b : "NULL");                  \
    } while (0)

/* |a - b| <= tolerance; NaN is near nothing. */
#define CHECK_NEAR(a, b, tolerance)                                                                                    \
    do {                                                                                                               \
        double test_a = (double)(a), test_b = (double)(b), test_t = (double)(tolerance);                               \
        if (!(fabs(test_a - test_b) <= test_t))                                                                        \
            FAIL("%s is %.9g, not %.9g: off by %.3g, tolerance %.3g", #a, test_a, test_b, fabs(test_a - test_b),       \
                 test_t);                                                                                              \
    } while (0)

#define CHECK_STATUS(call, wanted)                                                                                     \
    do {                                                                                                               \
        gr_status test_a = (call), test_b = (wanted);                                                                  \
        if (test_a != test_b)                                                                                          \
            FAIL("%s gives status %d, not %d: %s", #call, (int)test_a, (int)test_b, gr_error());                       \
    } while (0)
#define CHECK_OK(call) CHECK_STATUS(call, GR_OK)

/* A pointer that is not NULL, else with the library's error. */
#define CHECK_MADE(pointer)                                                                                            \
    do {                                                                                                               \
        if (!(pointer))                                                                                                \
            FAIL("%s is NULL: %s", #pointer, gr_error());                                                              \
    } while (0)

/* The library's error has this status and contains this text. */
#define CHECK_ERROR(status, text)                                                                                      \
    do {                                                                                                               \
        if (gr_error_status() != (status) || !strstr(gr_error(), (text)))                                              \
            FAIL("the error is (%d) \"%s\", not (%d) \"%s\"", (int)gr_error_status(), gr_error(), (int)(status),       \
                 (text));                                                                                              \
    } while (0)

/* ---- places ------------------------------------------------------------------------------------------------- */

/* An empty folder of the running test's own; removed after it. */
__attribute__((unused)) static const char *test_dir(void)
{
    if (!test_state.dir[0]) {
        const char *tmp = getenv("TMPDIR");
        snprintf(test_state.dir, sizeof test_state.dir, "%s/gradus-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
        if (!mkdtemp(test_state.dir))
            FAIL("cannot make %s", test_state.dir);
    }
    return test_state.dir;
}

/* "dir/name" in one of 16 buffers that are used in turn: copy what must last. */
__attribute__((unused)) static const char *test_join(const char *dir, const char *name)
{
    static char paths[16][1024];
    static int turn;
    char *path = paths[turn++ % 16];
    if (snprintf(path, sizeof paths[0], "%s/%s", dir, name) >= (int)sizeof paths[0])
        FAIL("the path %s/%s is too long", dir, name);
    return path;
}

/* A file of the repository; ctest says where that is, by hand it is the current folder. */
__attribute__((unused)) static const char *test_source(const char *name)
{
    const char *root = getenv("GRADUS_SOURCE");
    return test_join(root && *root ? root : ".", name);
}

/* A file of the optional reference data; skips the test where it is not there. */
__attribute__((unused)) static const char *test_shared(const char *name)
{
    const char *root = getenv("GRADUS_SHARED");
    const char *path = test_join(root && *root ? root : "../shared", name);
    if (access(path, R_OK) != 0)
        SKIP("no reference data (GRADUS_SHARED)");
    return path;
}

/* A file in the test's folder. */
__attribute__((unused)) static const char *test_file(const char *name, const char *text, size_t size)
{
    const char *path = test_join(test_dir(), name);
    CHECK_OK(gr_file_write(path, text, size));
    return path;
}

/* ---- devices ------------------------------------------------------------------------------------------------ */

/* The devices to try everything on: test_device(0), .. until NULL. One that this machine lacks is named, and left out. */
__attribute__((unused)) static const char *test_device(int i)
{
    static const char *const names[] = {"ref", "cpu", "far", "opencl"};
    static int n;
    if (n == 0) {
        gr_device *d = gr_device_open("opencl", 1);
        if (!d)
            printf("skipped on opencl: %s\n", gr_error());
        gr_error_clear();
        gr_device_close(d);
        n = d ? 4 : 3;
    }
    return i < n ? names[i] : NULL;
}

/* ---- sweeps: fail the n-th allocation, write, ... for every n ----------------------------------------------- */

/* Runs action(ctx) with the n-th step failing, for n = 1, 2, … until it gets through without reaching the n-th. Each
 * failure must be reported with `wanted` and a message, and leave no block behind. Returns how many steps there were. */
__attribute__((unused)) static int64_t test_sweep(int64_t (*fail_at)(int64_t n), gr_status wanted,
                                                  gr_status (*action)(void *ctx), void *ctx)
{
    for (int64_t n = 1;; n++) {
        NOTE("failing step %" PRId64, n);
        gr_error_clear();
        int64_t blocks = gr_mem_read_stats().live_blocks;
        fail_at(n);
        gr_status status = action(ctx);
        bool reached = fail_at(0) == 0;
        CHECK_EQ_INT(gr_mem_read_stats().live_blocks, blocks);
        if (!reached) {
            CHECK_OK(status);
            NOTE("%s", "");
            return n - 1;
        }
        CHECK_STATUS(status, wanted);
        CHECK_EQ_INT(gr_error_status(), wanted);
        CHECK(gr_error()[0] != '\0');
    }
}
#define SWEEP_ALLOCATIONS(action, ctx) test_sweep(gr_mem_fail_at, GR_ERR_MEMORY, action, ctx)
#define SWEEP_WRITES(action, ctx) test_sweep(gr_file_fail_at, GR_ERR_FILE, action, ctx)

/* ---- running ------------------------------------------------------------------------------------------------ */

static bool test_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strstr(name, argv[i]))
            return true;
    return argc <= 1;
}

static void test_run(const test_case *t)
{
    int64_t blocks = gr_mem_read_stats().live_blocks;
    test_state.name = t->name;
    test_state.outcome = TEST_PASSED;
    test_state.note[0] = '\0';
    if (setjmp(test_state.end) == 0) {
        t->run();
        int64_t left = gr_mem_read_stats().live_blocks - blocks;
        if (left != 0)
            FAIL("leaves %" PRId64 " blocks of memory behind", left);
    }
    gr_mem_fail_at(0);
    gr_file_fail_at(0);
    if (test_state.dir[0])
        gr_dir_remove(test_state.dir);
    test_state.dir[0] = '\0';
}

int main(int argc, char **argv)
{
    int count[3] = {0};
    bool list = argc == 2 && strcmp(argv[1], "-l") == 0;
    setvbuf(stdout, NULL, _IOLBF, 0); /* so that a crash does not swallow what came before it */
    for (const test_case *t = test_state.first; t; t = t->next) {
        if (list) {
            puts(t->name);
        } else if (test_wanted(t->name, argc, argv)) {
            test_run(t);
            count[test_state.outcome]++;
        }
    }
    if (list)
        return 0;
    printf("%d passed, %d failed, %d skipped\n", count[TEST_PASSED], count[TEST_FAILED], count[TEST_SKIPPED]);
    if (count[TEST_PASSED] + count[TEST_FAILED] + count[TEST_SKIPPED] == 0) {
        printf("no test of that name; %s -l lists them\n", argv[0]);
        return 1;
    }
    return count[TEST_FAILED] != 0;
}

#endif
