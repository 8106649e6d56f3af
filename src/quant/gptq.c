/* The factor of H, and columns rounded one by one. */
#include "quant/gptq.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/dtype.h"
#include "base/error.h"
#include "base/mem.h"

enum {
    PANEL = 64,   /* rows of the factor that are used together */
    SPAN = 512,   /* columns that stay in the cache with them */
    LINE = 8,     /* doubles of a cache line */
    TOGETHER = 16 /* rows of the matrix that share a row of X */
};
static const double first_damping = 0.01, most_damping = 1e6;

/* ---- the factor --------------------------------------------------------------------------------------------- */

/* H with its columns sorted, as the upper half of a. */
static void sort_in(gr_gptq *g, const float *h, double damp)
{
    int64_t n = g->width;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = i; j < n; j++) {
            int a = g->column[i], b = g->column[j];
            g->a[i * n + j] = (double)(a > b ? h[a * n + b] : h[b * n + a]);
        }
        g->a[i * n + i] += damp;
    }
}

/* a[i, j..] -= sum over the panel's rows k of a[k, i] a[k, j..], for all rows i behind the panel. */
typedef struct factoring {
    double *a;
    int64_t n, from, to; /* the panel's rows */
} factoring;

static void subtract_panel(void *ctx, int64_t piece, int worker)
{
    const factoring *f = ctx;
    (void)worker;
    int64_t begin = f->to + piece * TOGETHER, end = begin + TOGETHER < f->n ? begin + TOGETHER : f->n;
    for (int64_t at = begin; at < f->n; at += SPAN)
        for (int64_t i = begin; i < end; i++) {
            int64_t first = at > i ? at : i, last = at + SPAN < f->n ? at + SPAN : f->n;
            double *restrict to = f->a + i * f->n;
            for (int64_t k = f->from; k < f->to; k++) {
                const double *restrict row = f->a + k * f->n;
                double factor = row[i];
                for (int64_t j = first; j < last; j++)
                    to[j] -= factor * row[j];
            }
        }
}

/* L^T in place of the upper half; false: it is not positive definite. */
static bool factor(double *a, int64_t n, gr_device *d)
{
    for (int64_t from = 0; from < n; from += PANEL) {
        int64_t to = from + PANEL < n ? from + PANEL : n;
        for (int64_t k = from; k < to; k++) {
            double *row = a + k * n, pivot = row[k];
            if (!(pivot > 0) || !isfinite(pivot))
                return false;
            double inverse = 1 / sqrt(pivot);
            for (int64_t j = k; j < n; j++)
                row[j] *= inverse;
            for (int64_t i = k + 1; i < to; i++) {
                double *restrict other = a + i * n;
                for (int64_t j = i; j < n; j++)
                    other[j] -= row[i] * row[j];
            }
        }
        factoring f = {a, n, from, to};
        gr_device_parallel(d, (n - to + TOGETHER - 1) / TOGETHER, subtract_panel, &f);
    }
    return true;
}

/* Some columns of X, for LINE rows at a time: X[i, j] = -(sum over k in [j, i) of L[i, k] X[k, j]) / L[i, i]. */
static void invert_columns(void *ctx, int64_t piece, int worker)
{
    const factoring *f = ctx;
    double *a = f->a, sums[LINE][LINE];
    int64_t n = f->n, begin = piece * LINE, end = begin + LINE < n ? begin + LINE : n;
    (void)worker;
    for (int64_t from = begin; from < n; from += LINE) {
        int64_t rows = from + LINE < n ? LINE : n - from;
        memset(sums, 0, sizeof sums);
        for (int64_t k = begin; k < from + rows; k++) {
            if (k >= from) { /* its own row of X is what the sums of the rows above make it */
                double inverse = 1 / a[k * n + k];
                for (int64_t j = begin; j < end && j < k; j++)
                    a[k * n + j] = -sums[k - from][j - begin] * inverse;
            }
            for (int64_t j = begin; j < end && j <= k; j++) {
                double x = j == k ? 1 / a[k * n + k] : a[k * n + j];
                for (int64_t r = k >= from ? k - from + 1 : 0; r < rows; r++)
                    sums[r][j - begin] += a[k * n + from + r] * x;
            }
        }
    }
}

typedef struct keyed {
    float weight;
    int column;
} keyed;

static int by_weight(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    return x->weight < y->weight ? -1 : x->weight > y->weight ? 1 : y->column - x->column;
}

static gr_status sort_columns(gr_gptq *g)
{
    keyed *list = gr_alloc((size_t)g->width * sizeof *list);
    if (!list)
        return GR_ERR_MEMORY;
    for (int64_t i = 0; i < g->width; i++)
        list[i] = (keyed){g->weight[i], (int)i};
    qsort(list, (size_t)g->width, sizeof *list, by_weight);
    for (int64_t i = 0; i < g->width; i++)
        g->column[i] = list[i].column;
    gr_free(list);
    return GR_OK;
}

gr_status gr_gptq_open(gr_gptq *g, gr_device *d, const float *h, int64_t width)
{
    size_t n = (size_t)width;
    double mean = 0;
    *g = (gr_gptq){.width = width, .damping = first_damping};
    g->column = gr_alloc(n * sizeof *g->column);
    g->weight = gr_alloc(n * sizeof *g->weight);
    g->a = gr_alloc_pages(n * n * sizeof *g->a); /* which are given back to the system, not kept in a heap */
    if (!g->column || !g->weight || !g->a)
        return GR_ERR_MEMORY;
    for (int64_t i = 0; i < width; i++) {
        g->weight[i] = h[i * width + i];
        mean += (double)g->weight[i] / (double)width;
    }
    if (!isfinite(mean))
        return gr_fail(GR_ERR_NUMBER, "activations are not numbers\ngradus dump tells where they stop being some");
    if (sort_columns(g) != GR_OK)
        return GR_ERR_MEMORY;
    for (; g->damping <= most_damping; g->damping *= 10) {
        sort_in(g, h, mean > 0 ? g->damping * mean : 1);
        if (factor(g->a, width, d))
            break;
    }
    if (g->damping > most_damping)
        return gr_fail(GR_ERR_NUMBER, "the second moments of activations are no positive matrix, whatever is added");
    factoring f = {g->a, width, 0, 0};
    gr_device_parallel(d, (width + LINE - 1) / LINE, invert_columns, &f);
    return GR_OK;
}

void gr_gptq_close(gr_gptq *g)
{
    gr_free(g->column);
    gr_free(g->weight);
    gr_free_pages(g->a, (size_t)(g->width * g->width) * sizeof *g->a);
    *g = (gr_gptq){0};
}

/* ---- rounding ----------------------------------------------------------------------------------------------- */

typedef struct rounding {
    const gr_gptq *g;
    const gr_matrix *r;
    gr_dtype to;
    int64_t group; /* as gr_matrix_round has it */
    char *out;
    struct room *rooms; /* one a worker */
} rounding;

/* What a worker needs for TOGETHER rows. */
typedef struct room {
    float *x, *scales, *offsets; /* [TOGETHER, width], or by group */
    uint8_t *codes;              /* [TOGETHER, width] */
    double *w;                   /* [TOGETHER, width], columns sorted */
} room;

/* The code nearest to a value of its group. */
static uint8_t nearest(const gr_codes *c, double x, double scale, double offset)
{
    double steps = scale < 0 || scale > 0 ? (x - offset) / scale + c->zero : c->zero;
    if (!(steps > 0))
        steps = 0;
    if (!c->levels)
        return (uint8_t)(steps >= c->most ? c->most : nearbyint(steps));
    int i = 0;
    while (i < 15 && steps > 0.5 * (c->levels[i] + c->levels[i + 1]))
        i++;
    return c->levels[i];
}

static void round_columns(const rounding *c, room *m, int64_t rows)
{
    const gr_gptq *g = c->g;
    const gr_codes *how = &gr_dtype_get(c->to)->codes;
    int64_t n = g->width, groups = n / how->group;
    for (int64_t i = n - 1; i >= 0; i--) {
        const double *restrict x = g->a + i * n;
        int64_t column = g->column[i], group = column / how->group;
        for (int64_t r = 0; r < rows; r++) {
            double *restrict w = m->w + r * n;
            double scale = (double)m->scales[r * groups + group];
            double offset = how->offsets ? (double)m->offsets[r * groups + group] : 0;
            uint8_t code = nearest(how, w[i], scale, offset);
            double error = (w[i] - (scale * (code - how->zero) + offset)) * x[i]; /* X's diagonal is 1 / this */
            m->codes[r * n + column] = code;
            for (int64_t j = 0; j < i; j++)
                w[j] -= error * x[j];
        }
    }
}

static void round_piece(void *ctx, int64_t piece, int worker)
{
    rounding *c = ctx;
    room *m = &c->rooms[worker];
    const gr_dtype_info *to = gr_dtype_get(c->to);
    int64_t n = c->g->width, first = piece * TOGETHER, left = c->r->rows - first,
            rows = left < TOGETHER ? left : TOGETHER;
    char *out = c->out + gr_dtype_size(c->to, first * n);
    for (int64_t r = 0; r < rows; r++) {
        gr_matrix_read(c->r, first + r, m->x + r * n);
        for (int64_t i = 0; i < n; i++)
            m->w[r * n + i] = (double)m->x[r * n + c->g->column[i]];
        char *at = out + gr_dtype_size(c->to, r * n);
        gr_rows_choose(c->to, c->group, m->x + r * n, c->g->weight, at, n);
    }
    to->codes.read(out, m->codes, m->scales, m->offsets, rows * n);
    round_columns(c, m, rows);
    to->codes.pack(m->codes, out, rows * n);
}

size_t gr_gptq_room(const gr_device *d, int64_t width)
{
    size_t each = sizeof *((room *)0)->x + sizeof *((room *)0)->scales + sizeof *((room *)0)->offsets +
                  sizeof *((room *)0)->codes + sizeof *((room *)0)->w;
    return (size_t)(gr_pool_threads(d->pool) * TOGETHER * width) * each;
}

static gr_status open_rooms(rounding *c, int workers)
{
    size_t n = (size_t)(TOGETHER * c->g->width);
    c->rooms = gr_alloc_zero((size_t)workers, sizeof *c->rooms);
    for (int i = 0; c->rooms && i < workers; i++) {
        room *m = &c->rooms[i];
        m->x = gr_alloc(n * sizeof *m->x);
        m->scales = gr_alloc(n * sizeof *m->scales);
        m->offsets = gr_alloc(n * sizeof *m->offsets);
        m->codes = gr_alloc(n);
        m->w = gr_alloc(n * sizeof *m->w);
        if (!m->x || !m->scales || !m->offsets || !m->codes || !m->w)
            return GR_ERR_MEMORY;
    }
    return c->rooms ? GR_OK : GR_ERR_MEMORY;
}

static void close_rooms(rounding *c, int workers)
{
    for (int i = 0; c->rooms && i < workers; i++) {
        gr_free(c->rooms[i].x);
        gr_free(c->rooms[i].scales);
        gr_free(c->rooms[i].offsets);
        gr_free(c->rooms[i].codes);
        gr_free(c->rooms[i].w);
    }
    gr_free(c->rooms);
}

gr_status gr_gptq_round(const gr_gptq *g, gr_device *d, const gr_matrix *r, gr_dtype dtype, int64_t group, void *to)
{
    rounding c = {.g = g, .r = r, .to = dtype, .group = group, .out = to};
    int workers = gr_pool_threads(d->pool);
    gr_status s = open_rooms(&c, workers);
    if (s == GR_OK)
        gr_device_parallel(d, (r->rows + TOGETHER - 1) / TOGETHER, round_piece, &c);
    close_rooms(&c, workers);
    return s;
}
