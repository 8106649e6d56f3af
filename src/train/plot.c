/* Three layers per picture: the band between the smallest and largest loss of each pixel column (the noise), a smoothed
 * line over it, and the evaluation losses as dots. Text is made from integers alone: "%f" follows the host's locale. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "train/plot.h"

/* The picture, and the plot area inside it, in pixels. */
enum { WIDTH = 880, HEIGHT = 480, LEFT = 64, RIGHT = 856, TOP = 72, BOTTOM = 428, COLUMNS = 396 };

typedef struct picture {
    char *text;
    size_t size, cap;
    bool failed;
    double x0, x1, y0, y1; /* the values at the plot's edges */
    bool is_log;           /* the vertical axis */
} picture;

/* ---- text --------------------------------------------------------------------------------------------------- */

static void put(picture *p, const char *fmt, ...) GR_PRINTF(2, 3);
static void put(picture *p, const char *fmt, ...)
{
    char line[1600];
    va_list list;
    va_start(list, fmt);
    size_t n = (size_t)vsnprintf(line, sizeof line, fmt, list);
    va_end(list);
    if (p->failed || gr_grow(&p->text, &p->cap, p->size + n, 1) != GR_OK) {
        p->failed = true;
        return;
    }
    memcpy(p->text + p->size, line, n);
    p->size += n;
}

typedef struct number {
    char s[48];
} number;

/* A number with so many decimals, zeros behind the point kept. */
static number fixed(double value, int decimals)
{
    number out;
    long long scale = 1;
    for (int i = 0; i < decimals; i++)
        scale *= 10;
    /* Losses and steps are far from this; a number that is not prints as the bound. */
    double scaled = fmin(fmax(value * (double)scale, -9e17), 9e17);
    long long n = llround(scaled), whole = llabs(n) / scale, rest = llabs(n) % scale;
    if (decimals > 0)
        snprintf(out.s, sizeof out.s, "%s%lld.%0*lld", n < 0 ? "-" : "", whole, decimals < 12 ? decimals : 12, rest);
    else
        snprintf(out.s, sizeof out.s, "%s%lld", n < 0 ? "-" : "", whole);
    return out;
}

/* Text for XML. */
static void put_text(picture *p, const char *text)
{
    char clean[120];
    gr_printable(text, strlen(text), clean, sizeof clean);
    for (const char *s = clean; *s; s++) {
        if (*s == '<' || *s == '>' || *s == '&')
            put(p, "%s", *s == '<' ? "&lt;" : *s == '>' ? "&gt;" : "&amp;");
        else
            put(p, "%c", *s);
    }
}

/* ---- scales ------------------------------------------------------------------------------------------------- */

static double map_x(const picture *p, double step)
{
    return LEFT + (RIGHT - LEFT) * (step - p->x0) / (p->x1 - p->x0);
}

/* What lies outside is drawn on the edge: a spike must not flatten the rest. */
static double map_y(const picture *p, double loss)
{
    double part = p->is_log ? log(loss / p->y0) / log(p->y1 / p->y0) : (loss - p->y0) / (p->y1 - p->y0);
    return BOTTOM - (BOTTOM - TOP) * fmin(fmax(part, 0), 1);
}

/* The distance of ticks, 1, 2 or 5 times a power of ten, that cuts `range` into at most `most` pieces. */
static double tick_distance(double range, int most)
{
    double unit = pow(10, floor(log10(range / most)));
    double times = range / most / unit;
    return unit * (times <= 1 ? 1 : times <= 2 ? 2 : times <= 5 ? 5 : 10);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The vertical range: all evaluations, and of the training losses the first and all but the largest hundredth. */
static gr_status set_range(picture *p, const gr_curve *loss, const gr_curve *eval)
{
    double *sorted = gr_alloc_zero(loss->n + 1, sizeof *sorted);
    if (sorted == NULL)
        return GR_ERR_MEMORY;
    double low = INFINITY, high = -INFINITY;
    size_t kept = 0;
    for (size_t i = 0; i < loss->n; i++)
        if (loss->points[i].count) {
            low = fmin(low, loss->points[i].low);
            sorted[kept++] = loss->points[i].high;
        }
    if (kept > 0) {
        high = sorted[0];
        qsort(sorted, kept, sizeof *sorted, compare);
        high = fmax(high, sorted[(kept - 1) - kept / 100]);
    }
    gr_free(sorted);
    for (size_t i = 0; i < eval->n; i++)
        if (eval->points[i].count) {
            low = fmin(low, eval->points[i].low);
            high = fmax(high, eval->points[i].high);
        }
    if (!(low <= high)) { /* nothing to draw yet */
        low = 0;
        high = 1;
    }
    if (high - low < 1e-9 * fabs(high) + 1e-12) {
        high += 0.5;
        low -= low >= 0.5 || low < 0 ? 0.5 : low;
    }
    p->is_log = low > 0 && high / low >= 6;
    double margin = p->is_log ? pow(high / low, 0.04) : (high - low) * 0.04;
    p->y0 = p->is_log ? low / margin : low >= 0 && low < margin ? 0 : low - margin;
    p->y1 = p->is_log ? high * margin : high + margin;
    return GR_OK;
}

static double newest_step(const gr_curve *c)
{
    return c->n > 0 ? c->points[c->n - 1].step : 0;
}

static void set_steps(picture *p, const gr_curve *loss, const gr_curve *eval)
{
    p->x0 = 0;
    p->x1 = fmax(newest_step(loss), newest_step(eval));
    if (p->x1 < 1)
        p->x1 = 1;
}

/* ---- axes --------------------------------------------------------------------------------------------------- */

static void draw_y_tick(picture *p, double value, int decimals)
{
    number y = fixed(map_y(p, value), 1);
    put(p,
        "<path class=\"grid\" d=\"M%d %sH%d\"/><text class=\"tick\" x=\"%d\" y=\"%s\" dy=\".35em\" "
        "text-anchor=\"end\">%s</text>\n",
        LEFT, y.s, RIGHT, LEFT - 10, y.s, fixed(value, decimals).s);
}

static void draw_y_axis(picture *p)
{
    if (p->is_log) {
        /* 1, 2, 5 of each power of ten; of a range that has few of these, all digits. */
        bool all = p->y1 / p->y0 < 20;
        for (int e = -12; e <= 12; e++)
            for (int digit = 1; digit <= 9; digit++) {
                double value = digit * pow(10, e);
                if (value >= p->y0 && value <= p->y1 &&
                    (digit == 1 || digit == 2 || digit == 5 || (all && digit != 7 && digit != 9)))
                    draw_y_tick(p, value, e < 0 ? -e : 0);
            }
        return;
    }
    double distance = tick_distance(p->y1 - p->y0, 7);
    int decimals = (int)fmax(0, -floor(log10(distance) + 1e-9));
    for (double i = ceil(p->y0 / distance); i * distance <= p->y1; i++)
        draw_y_tick(p, i * distance, decimals > 9 ? 9 : decimals);
}

/* 2500 -> "2.5k" where the ticks are 500 apart. */
static number step_label(double step, double distance)
{
    double unit = distance >= 1e6 ? 1e6 : distance >= 100 && step >= 1000 ? 1e3 : 1;
    double value = step / unit, tenths = value * 10;
    number out = fixed(value, value == floor(value) ? 0 : tenths == floor(tenths) ? 1 : 2);
    strcat(out.s, step == 0 ? "" : unit == 1e6 ? "M" : unit == 1e3 ? "k" : "");
    return out;
}

static void draw_x_axis(picture *p)
{
    double distance = fmax(tick_distance(p->x1 - p->x0, 9), 1);
    for (double step = 0; step <= p->x1; step += distance) {
        number x = fixed(map_x(p, step), 1);
        put(p,
            "<path class=\"mark\" d=\"M%s %dv5\"/><text class=\"tick\" x=\"%s\" y=\"%d\" "
            "text-anchor=\"middle\">%s</text>\n",
            x.s, BOTTOM, x.s, BOTTOM + 21, step_label(step, distance).s);
    }
    put(p,
        "<path class=\"axis\" d=\"M%d %dH%d\"/><text class=\"tick\" x=\"%d\" y=\"%d\" "
        "text-anchor=\"end\">step</text>\n",
        LEFT, BOTTOM, RIGHT, RIGHT, HEIGHT - 14);
}

/* ---- curves ------------------------------------------------------------------------------------------------- */

/* What one column of the picture holds of the curve. */
typedef struct column {
    double low, high, sum, smooth;
    size_t count;
    int at; /* its place from the left */
} column;

/* Gathers the losses by columns; returns how many columns have any. They come first in the array. */
static int fill_columns(const picture *p, const gr_curve *curve, column *columns)
{
    int used = 0;
    for (size_t i = 0; i < curve->n; i++) {
        const gr_curve_point *from = &curve->points[i];
        if (from->count == 0)
            continue;
        double part = (from->step - p->x0) / (p->x1 - p->x0);
        int at = (int)(fmin(fmax(part, 0), 1) * (COLUMNS - 1) + 0.5);
        if (used == 0 || columns[used - 1].at < at) /* steps rise */
            columns[used++] = (column){.low = from->low, .high = from->high, .at = at};
        column *c = &columns[used - 1];
        c->low = fmin(c->low, from->low);
        c->high = fmax(c->high, from->high);
        /* A spike past the edge must not lift the average for long either. */
        c->sum += fmin(from->sum / (double)from->count, p->y1) * (double)from->count;
        c->count += (size_t)from->count;
    }
    return used;
}

/* Averages over a window around each column that grows with the step: a run falls steeply at first and slowly later. */
static void smooth_columns(column *columns, int used)
{
    for (int i = 0; i < used; i++) {
        int reach = i / 20 < 9 ? i / 20 : 9;
        double sum = 0, weights = 0;
        for (int j = i - reach; j <= i + reach; j++) {
            if (j < 0 || j >= used)
                continue;
            double weight = (reach + 1 - abs(i - j)) * (double)columns[j].count;
            sum += weight * columns[j].sum / (double)columns[j].count;
            weights += weight;
        }
        columns[i].smooth = sum / weights;
    }
}

static void put_point(picture *p, double x, double y)
{
    put(p, "%s %s ", fixed(x, 1).s, fixed(y, 1).s);
}

static void draw_train(picture *p, const column *columns, int used)
{
    const double wide = (double)(RIGHT - LEFT) / (COLUMNS - 1);
    if (used == 0)
        return;
    put(p, "<path class=\"band\" d=\"M");
    for (int i = 0; i < used; i++)
        put_point(p, LEFT + wide * columns[i].at, map_y(p, columns[i].high));
    for (int i = used - 1; i >= 0; i--)
        put_point(p, LEFT + wide * columns[i].at, map_y(p, columns[i].low));
    put(p, "Z\"/>\n<path class=\"train\" d=\"M");
    for (int i = 0; i < used; i++)
        put_point(p, LEFT + wide * columns[i].at, map_y(p, columns[i].smooth));
    /* A line of one point would not be seen. */
    put(p, "%s\"/>\n", used == 1 ? "m-4 0h8" : "");
}

/* The evaluations: a line, dots where they are few, a ring around the best. Returns the best, or n. */
static size_t draw_eval(picture *p, const gr_curve *eval)
{
    const gr_curve_point *at = eval->points;
    size_t n = eval->n, best = n, every = n / COLUMNS + 1;
    for (size_t i = 0; i < n; i++)
        if (at[i].count && (best == n || at[i].low < at[best].low))
            best = i;
    if (best == n)
        return n;
    put(p, "<path class=\"eval\" d=\"M");
    for (size_t i = 0; i < n; i++)
        if (at[i].count && (i % every == 0 || i == best || i == n - 1))
            put_point(p, map_x(p, at[i].at_low), map_y(p, at[i].low));
    put(p, "\"/>\n");
    for (size_t i = 0; i < n && n <= 60; i++)
        if (at[i].count)
            put(p, "<circle class=\"dot\" cx=\"%s\" cy=\"%s\" r=\"3.2\"/>\n", fixed(map_x(p, at[i].at_low), 1).s,
                fixed(map_y(p, at[i].low), 1).s);
    put(p, "<circle class=\"best\" cx=\"%s\" cy=\"%s\" r=\"6.5\"/>\n", fixed(map_x(p, at[best].at_low), 1).s,
        fixed(map_y(p, at[best].low), 1).s);
    return best;
}

/* ---- the whole ---------------------------------------------------------------------------------------------- */

static void draw_head(picture *p, const char *title)
{
    put(p,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
        "role=\"img\">\n<title>",
        WIDTH, HEIGHT, WIDTH, HEIGHT);
    put_text(p, title);
    put(p, "</title>\n<style>\n"
           "text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#1f2328}\n"
           ".title{font-size:17px;font-weight:600}.tick{font-size:12px;fill:#656d76}\n"
           ".back{fill:#fff}path{fill:none;stroke-linejoin:round;stroke-linecap:round}\n"
           ".grid{stroke:#e7eaee}.axis,.mark{stroke:#b6bec8}\n"
           ".train{stroke:#2563eb;stroke-width:2.2}.band{fill:#2563eb;fill-opacity:.16;stroke:#2563eb;stroke-opacity:."
           "16}\n"
           ".eval{stroke:#e8710a;stroke-width:2}.dot{fill:#e8710a}.best{fill:none;stroke:#e8710a;stroke-width:1.6}\n");
    put(p,
        "@media "
        "(prefers-color-scheme:dark){text{fill:#e6edf3}.tick{fill:#8d96a0}.back{fill:#0d1117}.grid{stroke:#21262d}"
        ".axis,.mark{stroke:#484f58}.train{stroke:#6ea8fe}.band{fill:#6ea8fe;stroke:#6ea8fe}"
        ".eval,.best{stroke:#ffa657}.dot{fill:#ffa657}}\n"
        "</style>\n<rect class=\"back\" width=\"%d\" height=\"%d\" rx=\"8\"/>\n<text class=\"title\" x=\"%d\" "
        "y=\"32\">",
        WIDTH, HEIGHT, LEFT);
    put_text(p, title);
    put(p, "</text>\n");
}

/* The lines' names and last values, under the title. */
static void draw_legend(picture *p, const column *last, const gr_curve *eval, size_t best)
{
    const gr_curve_point *at = eval->points;
    size_t n = eval->n;
    int x = LEFT;
    if (last != NULL) {
        put(p, "<path class=\"train\" d=\"M%d 52h18\"/><text x=\"%d\" y=\"52\" dy=\".35em\">training loss %s</text>\n",
            x, x + 26, fixed(last->smooth, 3).s);
        x += 190;
    }
    if (best < n)
        put(p,
            "<path class=\"eval\" d=\"M%d 52h18\"/><circle class=\"dot\" cx=\"%d\" cy=\"52\" r=\"3.2\"/>"
            "<text x=\"%d\" y=\"52\" dy=\".35em\">evaluation loss %s, best %s at step %s</text>\n",
            x, x + 9, x + 26, isfinite(at[n - 1].last) ? fixed(at[n - 1].last, 3).s : "not finite",
            fixed(at[best].low, 3).s, fixed(at[best].at_low, 0).s);
    if (last == NULL && best == n)
        put(p, "<text class=\"tick\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">nothing to draw yet</text>\n",
            (LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2);
}

gr_status gr_plot_loss(const char *path, const gr_history *h, const char *title)
{
    picture p = {0};
    column *columns = gr_alloc_zero(COLUMNS, sizeof *columns);
    gr_status status = columns ? set_range(&p, &h->loss, &h->eval) : GR_ERR_MEMORY;
    if (status == GR_OK) {
        set_steps(&p, &h->loss, &h->eval);
        int used = fill_columns(&p, &h->loss, columns);
        smooth_columns(columns, used);
        draw_head(&p, title);
        draw_y_axis(&p);
        draw_x_axis(&p);
        draw_train(&p, columns, used);
        size_t best = draw_eval(&p, &h->eval);
        draw_legend(&p, used ? &columns[used - 1] : NULL, &h->eval, best);
        put(&p, "</svg>\n");
        status = p.failed ? GR_ERR_MEMORY : gr_file_write(path, p.text, p.size);
    }
    gr_free(columns);
    gr_free(p.text);
    return status;
}
