/* metrics.jsonl and the loss curve. */
#include "train/run.h"

#include "base/file.h"
#include "base/json.h"
#include "base/number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Some points for each column of loss.svg. */
enum { LOSSES = 8192, EVALS = 4096 };

static int64_t evals_of(int64_t steps, int64_t eval_every)
{
    return eval_every > 0 ? steps / eval_every : 0; /* and one at the end, for which there is room */
}

gr_status gr_history_open(gr_history *h, int64_t steps, int64_t eval_every)
{
    *h = (gr_history){0};
    gr_status s = gr_curve_open(&h->loss, steps, LOSSES);
    return s == GR_OK ? gr_curve_open(&h->eval, evals_of(steps, eval_every), EVALS) : s;
}

size_t gr_history_bytes(int64_t steps, int64_t eval_every)
{
    return gr_curve_bytes(steps, LOSSES) + gr_curve_bytes(evals_of(steps, eval_every), EVALS);
}

void gr_history_close(gr_history *h)
{
    gr_curve_close(&h->loss);
    gr_curve_close(&h->eval);
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
    if (m->skipped)
        n += snprintf(line + n, size - (size_t)n, ",\"skipped\":true");
    if (m->loss_scale > 0)
        n += put(line + n, size - (size_t)n, "loss_scale", m->loss_scale, "%.9g");
    snprintf(line + n, size - (size_t)n, "}");
}

void gr_metrics_eval_line(int64_t step, double eval_loss, char *line, size_t size)
{
    int n = snprintf(line, size, "{\"step\":%lld", (long long)step);
    n += put(line + n, size - (size_t)n, "eval_loss", eval_loss, "%.9g");
    snprintf(line + n, size - (size_t)n, "}");
}

/* Takes one line in; *keep false: it is not whole or lies behind `step`. */
static gr_status take_line(const char *line, size_t size, int64_t step, gr_history *h, bool *keep)
{
    *keep = false;
    gr_json_doc *doc = gr_json_parse("metrics.jsonl", line, size);
    if (!doc && gr_error_status() == GR_ERR_MEMORY)
        return GR_ERR_MEMORY;
    if (!doc) { /* cut short by a kill, which is no error */
        gr_error_clear();
        return GR_OK;
    }
    gr_json o = gr_json_root(doc);
    int64_t at = gr_json_int(o, "step", -1, 0, INT64_MAX);
    *keep = gr_json_check(doc) == GR_OK && at >= 0 && at <= step;
    if (*keep && gr_json_is(gr_json_get(o, "eval_loss")))
        gr_curve_add(&h->eval, at, gr_json_real(o, "eval_loss", NAN, -1e300, 1e300));
    else if (*keep)
        gr_curve_add(&h->loss, at, gr_json_real(o, "loss", NAN, -1e300, 1e300));
    else
        gr_error_clear();
    gr_json_free(doc);
    return GR_OK;
}

gr_status gr_metrics_rewind(const char *path, int64_t step, gr_history *h)
{
    gr_map map;
    if (!gr_path_is_file(path))
        return GR_OK;
    gr_status s = gr_map_open(path, &map);
    if (s != GR_OK)
        return s;
    const char *text = (const char *)map.data;
    size_t kept = 0;
    bool keep = true;
    while (s == GR_OK && keep && kept < map.size) {
        const char *end = memchr(text + kept, '\n', map.size - kept);
        keep = end;
        if (end)
            s = take_line(text + kept, (size_t)(end - text) - kept, step, h, &keep);
        if (s == GR_OK && keep)
            kept = (size_t)(end - text) + 1;
    }
    if (s == GR_OK && kept < map.size)
        s = gr_file_write(path, text, kept);
    gr_map_close(&map);
    return s;
}
