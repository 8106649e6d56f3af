/* loss.svg: well-formed and small whatever the run, and an error when memory or the disk is full. */
#include "test.h"
#include "train/plot.h"
#include "train/run.h"

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

static gr_history history_of(size_t n, size_t n_eval)
{
    gr_history h;
    CHECK_OK(gr_history_open(&h, (int64_t)n, n_eval ? (int64_t)(n / n_eval) : 0));
    for (size_t i = 0; i < n; i++)
        gr_curve_add(&h.loss, (int64_t)step[i], loss[i]);
    for (size_t i = 0; i < n_eval; i++)
        gr_curve_add(&h.eval, (int64_t)eval_step[i], eval_loss[i]);
    return h;
}

/* Draws, and reads the file back; caller frees. */
static char *draw(size_t n, size_t n_eval, const char *title)
{
    const char *path = test_join(test_dir(), "loss.svg");
    size_t size = 0;
    NOTE("%zu steps, %zu evaluations", n, n_eval);
    gr_history h = history_of(n, n_eval);
    CHECK_OK(gr_plot_loss(path, &h, title));
    gr_history_close(&h);
    char *text = gr_file_read(path, 1 << 20, &size);
    CHECK(text != NULL && size < 50000);
    CHECK(strncmp(text, "<svg ", 5) == 0 && strcmp(text + size - 7, "</svg>\n") == 0);
    CHECK(count_of(text, "<") == count_of(text, ">"));
    CHECK(count_of(text, "<text") == count_of(text, "</text>"));
    CHECK(strstr(text, "nan") == NULL && strstr(text, "inf") == NULL);
    CHECK(strstr(text, "<script") == NULL);
    return text;
}

TEST(any_length)
{
    static const size_t sizes[] = {0, 1, 2, 3, 50, 395, 396, 397, 2000, MOST};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t every = 0; every <= 10; every += every ? 9 : 1) {
            size_t n_eval = make_run(sizes[i], every, 4.2, 0.2);
            char *text = draw(sizes[i], n_eval, "a run");
            CHECK(!!strstr(text, "nothing to draw yet") == (sizes[i] == 0));
            CHECK(!!strstr(text, "evaluation loss") == (n_eval > 0));
            gr_free(text);
        }
}

/* Numbers that break other pictures. */
TEST(odd_values)
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
TEST(spike_is_cut_off)
{
    make_run(1000, 0, 4, 0.1);
    loss[500] = 1e6;
    char *text = draw(1000, 0, "a spike");
    CHECK(strstr(text, ">2.0</text>") != NULL);
    gr_free(text);
}

TEST(title_is_escaped)
{
    make_run(10, 0, 4, 0.1);
    char *text = draw(10, 0, "<b>&\x01\xff é");
    CHECK(strstr(text, "&lt;b&gt;&amp;") != NULL && strstr(text, "<b>") == NULL);
    CHECK(strchr(text, '\x01') == NULL && strchr(text, '\xff') == NULL);
    CHECK(strstr(text, "é") != NULL);
    gr_free(text);
}

static gr_status draw_again(void *ctx)
{
    gr_history h;
    gr_status s = gr_history_open(&h, 3000, 100);
    for (size_t i = 0; s == GR_OK && i < 3000; i++)
        gr_curve_add(&h.loss, (int64_t)step[i], loss[i]);
    for (size_t i = 0; s == GR_OK && i < 30; i++)
        gr_curve_add(&h.eval, (int64_t)eval_step[i], eval_loss[i]);
    if (s == GR_OK)
        s = gr_plot_loss(ctx, &h, "after");
    gr_history_close(&h);
    return s;
}

/* Every allocation and every write fails once: an error, and the old picture stays. */
TEST(failures_keep_the_old_picture)
{
    make_run(3000, 100, 4, 0.1);
    char *before = draw(3000, 30, "before");
    const char *path = test_join(test_dir(), "loss.svg");
    for (int64_t n = 1; n <= 3; n++) {
        gr_file_fail_at(n);
        CHECK_STATUS(draw_again((void *)path), GR_ERR_FILE);
        char *now = gr_file_read(path, 1 << 20, NULL);
        CHECK_MADE(now);
        CHECK_EQ_STR(now, before);
        gr_free(now);
    }
    gr_free(before);
    CHECK(SWEEP_ALLOCATIONS(draw_again, (void *)path) > 3);
    CHECK(SWEEP_WRITES(draw_again, (void *)path) > 1);
}

/* Whatever is joined, nothing is lost of what is drawn: extremes and where they are, the mean, the newest. */
TEST(a_long_curve_keeps_its_shape)
{
    static const int64_t lengths[] = {7, 8, 9, 100, 1023, 1024, 1025, 50000, MOST};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        gr_curve c;
        size_t n = (size_t)lengths[k];
        NOTE("%zu steps", n);
        make_run(n, 0, 4, 0.3);
        loss[n / 3] = -7;
        loss[n / 2] = 99;
        loss[n - 1] = NAN;
        CHECK_OK(gr_curve_open(&c, lengths[k], 1000));
        double low = INFINITY, high = -INFINITY, sum = 0, at_low = 0, before = 0, exact = 0;
        int64_t count = 0;
        for (size_t i = 0; i < n; i++) {
            gr_curve_add(&c, (int64_t)step[i], loss[i]);
            exact += isfinite(loss[i]) ? loss[i] : 0;
        }
        CHECK(c.n <= c.capacity && c.capacity <= 1002 && (n <= 1000 ? c.n == n : c.n >= 500));
        for (size_t i = 0; i < c.n; i++) {
            const gr_curve_point *p = &c.points[i];
            CHECK(p->step > before);
            before = p->step;
            count += p->count;
            sum += p->count ? p->sum : 0;
            at_low = p->count && p->low < low ? p->at_low : at_low;
            low = p->count ? fmin(low, p->low) : low;
            high = p->count ? fmax(high, p->high) : high;
        }
        CHECK_EQ_INT(count, n - 1);
        CHECK_NEAR(low, -7, 0);
        CHECK_NEAR(at_low, step[n / 3], 0);
        CHECK_NEAR(high, 99, 0);
        CHECK_NEAR(sum, exact, 1e-6 * fabs(exact));
        CHECK_NEAR(before, step[n - 1], 0);
        CHECK(isnan(c.points[c.n - 1].last));
        gr_curve_close(&c);
    }
}

/* The room is that of some thousand steps, however many are asked for. */
TEST(room_does_not_grow_with_steps)
{
    static const int64_t steps[] = {10000, 4000000000, 10000000000000, INT64_MAX};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        CHECK_EQ_INT(gr_history_bytes(steps[i], 0), gr_history_bytes(10000, 0));
        CHECK(gr_history_bytes(steps[i], 1) < 1000000);
        gr_history h;
        CHECK_OK(gr_history_open(&h, steps[i], 1));
        gr_curve_add(&h.loss, steps[i], 1);
        gr_history_close(&h);
    }
}
