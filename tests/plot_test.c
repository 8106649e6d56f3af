/* loss.svg: well-formed and small whatever the run, and an error when memory or the disk is full. */
#include <math.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "check.h"
#include "train/plot.h"

enum { MOST = 200000 };
static double step[MOST], loss[MOST], eval_step[MOST], eval_loss[MOST];

/* A run of n steps with an evaluation every `every`. */
static size_t make_run(size_t n, size_t every, double first, double noise)
{
    size_t n_eval = 0;
    uint32_t random = 1;
    for (size_t i = 0; i < n; i++) {
        random = random * 1664525u + 1013904223u;
        step[i] = (double)i + 1;
        loss[i] = 1 + (first - 1) / sqrt(1 + (double)i / 50) + noise * (random >> 8) / 16777216.0;
        if (every && (i + 1) % every == 0) {
            eval_step[n_eval] = step[i];
            eval_loss[n_eval++] = loss[i] + 0.1;
        }
    }
    return n_eval;
}

static size_t count_of(const char *text, const char *what)
{
    size_t n = 0;
    for (; (text = strstr(text, what)) != NULL; text += strlen(what))
        n++;
    return n;
}

/* Draws, and reads the file back; caller frees. */
static char *draw(size_t n, size_t n_eval, const char *title)
{
    size_t size = 0;
    CHECK(gr_plot_loss("plot_test.svg", step, loss, n, eval_step, eval_loss, n_eval, title) == GR_OK, "%zu steps", n);
    char *text = gr_file_read("plot_test.svg", 1 << 20, &size);
    CHECK(text != NULL && size < 50000, "%zu bytes for %zu steps", size, n);
    if (text == NULL)
        return gr_strdup("");
    CHECK(strncmp(text, "<svg ", 5) == 0 && strcmp(text + size - 7, "</svg>\n") == 0, "the ends of the file");
    CHECK(count_of(text, "<") == count_of(text, ">"), "tags are not closed");
    CHECK(count_of(text, "<text") == count_of(text, "</text>"), "texts are not closed");
    CHECK(strstr(text, "nan") == NULL && strstr(text, "inf") == NULL, "a coordinate is not a number");
    CHECK(strstr(text, "<script") == NULL, "a script");
    return text;
}

static void test_sizes(void)
{
    static const size_t sizes[] = {0, 1, 2, 3, 50, 395, 396, 397, 2000, MOST};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t every = 0; every <= 10; every += every ? 9 : 1) {
            size_t n_eval = make_run(sizes[i], every, 4.2, 0.2);
            char *text = draw(sizes[i], n_eval, "a run");
            CHECK(!!strstr(text, "nothing to draw yet") == (sizes[i] == 0), "%zu steps", sizes[i]);
            CHECK(!!strstr(text, "evaluation loss") == (n_eval > 0), "%zu evaluations", n_eval);
            gr_free(text);
        }
}

/* Numbers that break other pictures. */
static void test_values(void)
{
    static const double values[] = {0, 1, -3, 1e-9, 1e30, NAN, INFINITY, -INFINITY};
    for (size_t a = 0; a < sizeof values / sizeof *values; a++)
        for (size_t b = 0; b < sizeof values / sizeof *values; b++) {
            size_t n_eval = make_run(100, 10, 4, 0.1);
            for (size_t i = 0; i < 100; i++)
                loss[i] = i % 2 ? values[a] : values[b];
            eval_loss[n_eval - 1] = values[a];
            gr_free(draw(100, n_eval, "odd values"));
        }
}

/* One spike past all others is cut off instead of flattening the curve: the axis still has the tick 2. */
static void test_spike(void)
{
    make_run(1000, 0, 4, 0.1);
    loss[500] = 1e6;
    char *text = draw(1000, 0, "a spike");
    CHECK(strstr(text, ">2.0</text>") != NULL, "the axis follows a spike");
    gr_free(text);
}

static void test_title(void)
{
    make_run(10, 0, 4, 0.1);
    char *text = draw(10, 0, "<b>&\x01\xff é");
    CHECK(strstr(text, "&lt;b&gt;&amp;") != NULL && strstr(text, "<b>") == NULL, "markup in a title");
    CHECK(strchr(text, '\x01') == NULL && strchr(text, '\xff') == NULL, "bytes that XML forbids");
    CHECK(strstr(text, "é") != NULL, "UTF-8 in a title");
    gr_free(text);
}

/* Every allocation and every write fails once: an error, the old picture stays, nothing leaks. */
static void test_failures(void)
{
    size_t n_eval = make_run(3000, 100, 4, 0.1);
    gr_free(draw(3000, n_eval, "before"));
    for (int kind = 0; kind < 2; kind++)
        for (int64_t n = 1;; n++) {
            int64_t live = gr_mem_read_stats().live_blocks;
            if (kind == 0)
                gr_mem_fail_at(n);
            else
                gr_file_fail_at(n);
            gr_status status = gr_plot_loss("plot_test.svg", step, loss, 3000, eval_step, eval_loss, n_eval, "after");
            int64_t left = kind == 0 ? gr_mem_fail_at(0) : gr_file_fail_at(0);
            CHECK(gr_mem_read_stats().live_blocks == live, "a leak at %lld", (long long)n);
            if (left > 0) {
                CHECK(n > 1 && status == GR_OK, "never failed");
                break;
            }
            CHECK(status == (kind == 0 ? GR_ERR_MEMORY : GR_ERR_FILE), "status %d at %lld", status, (long long)n);
            char *text = gr_file_read("plot_test.svg", 1 << 20, NULL);
            CHECK(text && strcmp(text + strlen(text) - 7, "</svg>\n") == 0, "half a file at %lld", (long long)n);
            gr_free(text);
        }
    remove("plot_test.svg");
}

int main(void)
{
    test_sizes();
    test_values();
    test_spike();
    test_title();
    test_failures();
    return check_result();
}
