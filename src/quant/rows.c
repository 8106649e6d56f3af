/* Rows of a matrix, rounded side by side. */
#include <math.h>
#include <string.h>

#include "backend/backend.h"
#include "base/dtype.h"
#include "base/error.h"
#include "base/ggml/hub.h"
#include "base/mem.h"
#include "format/store_tensors.h"
#include "program/store.h"
#include "quant/rows.h"

enum { PIECE = 1 << 15 /* values, but at least a row */ };

/* ---- reading ------------------------------------------------------------------------------------------------ */

/* [width, rows] as f32 [rows, width], in memory of its own. */
static gr_status turn(gr_matrix *r)
{
    size_t n = (size_t)(r->rows * r->width);
    float *wide = gr_alloc(n * sizeof *wide), *turned = gr_alloc(n * sizeof *turned);
    gr_status s = wide && turned ? GR_OK : GR_ERR_MEMORY;
    if (s == GR_OK) {
        gr_dtype_get(r->dtype)->to_f32(r->data, wide, (int64_t)n);
        gr_matrix_turn(wide, turned, r->width, r->rows, sizeof *wide);
        gr_free(r->own);
        r->own = turned;
        r->data = r->own;
        r->dtype = GR_F32;
        turned = NULL;
    }
    gr_free(wide);
    gr_free(turned);
    return s;
}

/* Columns where they are, as f32, in memory of its own. */
static gr_status unsort(gr_matrix *r, const int32_t *order)
{
    float *wide = gr_alloc((size_t)(r->rows * r->width) * sizeof *wide);
    float *row = gr_alloc((size_t)r->width * sizeof *row);
    gr_status s = wide && row ? GR_OK : GR_ERR_MEMORY;
    for (int64_t i = 0; s == GR_OK && i < r->rows; i++) {
        gr_matrix_read(r, i, row);
        for (int64_t k = 0; k < r->width; k++)
            wide[i * r->width + order[k]] = row[k];
    }
    gr_free(row);
    if (s != GR_OK) {
        gr_free(wide);
        return s;
    }
    gr_free(r->own);
    r->own = wide;
    r->data = (const char *)wide;
    r->dtype = GR_F32;
    return GR_OK;
}

gr_status gr_matrix_open(gr_matrix *r, const gr_store *store, int index, int64_t rows, int64_t width, bool turned,
                         const int32_t *order)
{
    gr_entry e = GR_INIT(gr_entry);
    gr_status s = gr_store_entry(store, index, &e);
    *r = (gr_matrix){.dtype = e.dtype, .rows = rows, .width = width, .data = gr_store_view(store, index)};
    if (s == GR_OK && !r->data) {
        r->own = gr_alloc(e.bytes);
        r->data = r->own;
        s = r->own ? gr_store_read(store, e.name, r->own, e.bytes) : GR_ERR_MEMORY;
    }
    s = s == GR_OK && turned ? turn(r) : s;
    return s == GR_OK && order ? unsort(r, order) : s;
}

void gr_matrix_close(gr_matrix *r)
{
    gr_free(r->own);
    *r = (gr_matrix){0};
}

void gr_matrix_read(const gr_matrix *r, int64_t row, float *to)
{
    gr_dtype_get(r->dtype)->to_f32(r->data + gr_dtype_size(r->dtype, row * r->width), to, r->width);
}

void gr_rows_choose(gr_dtype dtype, int64_t group, const float *x, const float *weights, void *to, int64_t n)
{
    const gr_dtype_info *d = gr_dtype_get(dtype);
    if (group && d->from_row)
        gr_ints_from_row(d, group, x, weights, to, n);
    else if (weights && d->from_weighed)
        d->from_weighed(x, weights, to, n);
    else
        d->from_f32(x, to, n);
}

/* ---- rounding ----------------------------------------------------------------------------------------------- */

typedef struct rounding {
    const gr_matrix *r;
    gr_dtype to;
    int64_t group;
    const float *weights;
    char *out;
    int64_t each; /* rows a piece */
    float *wide;  /* [workers][2][width]: values, and weights or what they have become */
    double *sums; /* [pieces][2]: of comparing */
} rounding;

static void round_piece(void *ctx, int64_t piece, int worker)
{
    rounding *c = ctx;
    int64_t n = c->r->width, end = (piece + 1) * c->each < c->r->rows ? (piece + 1) * c->each : c->r->rows;
    float *x = c->wide + worker * 2 * n, *even = x + n;
    for (int64_t i = 0; i < n; i++)
        even[i] = 1;
    for (int64_t row = piece * c->each; row < end; row++) {
        char *at = c->out + gr_dtype_size(c->to, row * n);
        gr_matrix_read(c->r, row, x);
        gr_rows_choose(c->to, c->group, x, c->group && !c->weights ? even : c->weights, at, n);
    }
}

static void compare_piece(void *ctx, int64_t piece, int worker)
{
    rounding *c = ctx;
    int64_t n = c->r->width, end = (piece + 1) * c->each < c->r->rows ? (piece + 1) * c->each : c->r->rows;
    float *x = c->wide + worker * 2 * n, *back = x + n;
    double lost = 0, sum = 0;
    for (int64_t row = piece * c->each; row < end; row++) {
        gr_matrix_read(c->r, row, x);
        gr_dtype_get(c->to)->to_f32(c->out + gr_dtype_size(c->to, row * n), back, n);
        for (int64_t i = 0; i < n; i++) {
            double off = (double)back[i] - (double)x[i];
            lost += off * off;
            sum += (double)x[i] * (double)x[i];
        }
    }
    c->sums[2 * piece] = lost;
    c->sums[2 * piece + 1] = sum;
}

/* Pieces of some rows; how many. */
static int64_t cut(rounding *c)
{
    c->each = c->r->width < PIECE ? PIECE / c->r->width : 1;
    return (c->r->rows + c->each - 1) / c->each;
}

static float *room(const gr_device *d, const gr_matrix *r)
{
    return gr_alloc((size_t)(gr_pool_threads(d->pool) * 2 * r->width) * sizeof(float));
}

gr_status gr_matrix_round(gr_device *d, const gr_matrix *r, gr_dtype dtype, int64_t group, const float *weights,
                          void *to)
{
    rounding c = {.r = r, .to = dtype, .group = group, .weights = weights, .out = to, .wide = room(d, r)};
    if (!c.wide)
        return GR_ERR_MEMORY;
    gr_device_parallel(d, cut(&c), round_piece, &c);
    gr_free(c.wide);
    return GR_OK;
}

gr_status gr_matrix_compare(gr_device *d, const gr_matrix *r, gr_dtype dtype, const void *is, double *lost, double *sum)
{
    rounding c = {.r = r, .to = dtype, .out = (char *)is, .wide = room(d, r)};
    int64_t pieces = cut(&c);
    c.sums = c.wide ? gr_alloc((size_t)pieces * 2 * sizeof *c.sums) : NULL;
    gr_status s = c.sums ? GR_OK : GR_ERR_MEMORY;
    *lost = *sum = 0;
    if (s == GR_OK)
        gr_device_parallel(d, pieces, compare_piece, &c);
    for (int64_t i = 0; s == GR_OK && i < pieces; i++) {
        *lost += c.sums[2 * i];
        *sum += c.sums[2 * i + 1];
    }
    gr_free(c.sums);
    gr_free(c.wide);
    if (s == GR_OK && !(isfinite(*lost) && isfinite(*sum)))
        s = gr_fail(
            GR_ERR_NUMBER,
            "its values are not numbers, or too large for %s\ngradus verify tells whether the weights are whole",
            gr_dtype_name(dtype));
    return s;
}
