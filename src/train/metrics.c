/* metrics.jsonl and the loss curve. */
#include "train/run.h"

#include "base/number.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

gr_status gr_history_open(gr_history *h, int64_t steps, int64_t eval_every)
{
    size_t n = (size_t)steps + 1, evals = eval_every > 0 ? (size_t)(steps / eval_every) + 2 : 2;
    *h = (gr_history){.capacity = n, .eval_capacity = evals};
    h->step = gr_alloc(2 * (n + evals) * sizeof *h->step);
    if (!h->step)
        return GR_ERR_MEMORY;
    h->loss = h->step + n;
    h->eval_step = h->loss + n;
    h->eval_loss = h->eval_step + evals;
    return GR_OK;
}

void gr_history_close(gr_history *h)
{
    gr_free(h->step);
}

void gr_history_add(gr_history *h, int64_t step, double loss)
{
    if (h->n == h->capacity)
        return;
    h->step[h->n] = (double)step;
    h->loss[h->n++] = loss;
}

void gr_history_add_eval(gr_history *h, int64_t step, double loss)
{
    if (h->n_eval == h->eval_capacity)
        return;
    h->eval_step[h->n_eval] = (double)step;
    h->eval_loss[h->n_eval++] = loss;
}

/* ,"name":1.25 */
static int put(char *at, size_t size, const char *name, double x, const char *fmt)
{
    char number[40] = "null";
    if (isfinite(x)) {
        snprintf(number, sizeof number, fmt, x);
        gr_point(number);
    }
    return snprintf(at, size, ",\"%s\":%s", name, number);
}

void gr_metrics_line(const gr_metrics *m, char *line, size_t size)
{
    int n = snprintf(line, size, "{\"step\":%lld,\"tokens\":%lld", (long long)m->step, (long long)m->tokens);
    n += put(line + n, size - (size_t)n, "loss", m->loss, "%.9g");
    n += put(line + n, size - (size_t)n, "lr", m->lr, "%.9g");
    n += put(line + n, size - (size_t)n, "grad_norm", m->grad_norm, "%.9g");
    n += put(line + n, size - (size_t)n, "tokens_per_s", m->tokens_per_s, "%.1f");
    n += put(line + n, size - (size_t)n, "seconds", m->seconds, "%.3f");
    snprintf(line + n, size - (size_t)n, "}");
}

void gr_metrics_eval_line(int64_t step, double eval_loss, char *line, size_t size)
{
    int n = snprintf(line, size, "{\"step\":%lld", (long long)step);
    n += put(line + n, size - (size_t)n, "eval_loss", eval_loss, "%.9g");
    snprintf(line + n, size - (size_t)n, "}");
}

/* Takes one line in; false when it is not whole or lies behind `step`. */
static bool take_line(const char *line, size_t size, int64_t step, gr_history *h)
{
    gr_json_doc *doc = gr_json_parse("metrics.jsonl", line, size);
    if (!doc)
        return false;
    gr_json o = gr_json_root(doc);
    int64_t at = gr_json_int(o, "step", -1, 0, INT64_MAX);
    bool keep = gr_json_check(doc) == GR_OK && at >= 0 && at <= step;
    if (keep && gr_json_is(gr_json_get(o, "eval_loss")))
        gr_history_add_eval(h, at, gr_json_real(o, "eval_loss", NAN, -1e300, 1e300));
    else if (keep)
        gr_history_add(h, at, gr_json_real(o, "loss", NAN, -1e300, 1e300));
    gr_json_free(doc);
    return keep;
}

gr_status gr_metrics_rewind(const char *path, int64_t step, gr_history *h)
{
    if (!gr_path_is_file(path))
        return GR_OK;
    size_t size, kept = 0;
    char *text = gr_file_read(path, SIZE_MAX - 1, &size);
    if (!text)
        return gr_error_status();
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        if (!end || !take_line(text + at, (size_t)(end - text) - at, step, h))
            break;
        at = kept = (size_t)(end - text) + 1;
    }
    gr_error_clear(); /* a line cut short by a kill is no error */
    gr_status s = kept < size ? gr_file_write(path, text, kept) : GR_OK;
    gr_free(text);
    return s;
}
