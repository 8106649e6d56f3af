/* Rows of a matrix, rounded side by side. */
#include <math.h>

#include "backend/backend.h"
#include "base/dtype.h"
#include "base/error.h"
#include "base/mem.h"
#include "format/store_tensors.h"
#include "program/store.h"
#include "quant/quant.h"

enum { PIECE = 1 << 15 /* values, but at least a row */ };

/* ---- reading ------------------------------------------------------------------------------------------------ */

/* [width, rows] as f32 [rows, width], in memory of its own. */
static gr_status turn(gr_rows *r)
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

gr_status gr_rows_open(gr_rows *r, const gr_store *store, int index, int64_t rows, int64_t width, bool turned)
{
    gr_entry e = GR_INIT(gr_entry);
    gr_status s = gr_store_entry(store, index, &e);
    *r = (gr_rows){.dtype = e.dtype, .rows = rows, .width = width, .data = gr_store_view(store, index)};
    if (s == GR_OK && !r->data) {
        r->own = gr_alloc(e.bytes);
        r->data = r->own;
        s = r->own ? gr_store_read(store, e.name, r->own, e.bytes) : GR_ERR_MEMORY;
    }
    return s == GR_OK && turned ? turn(r) : s;
}

void gr_rows_close(gr_rows *r)
{
    gr_free(r->own);
    *r = (gr_rows){0};
}

/* ---- rounding ----------------------------------------------------------------------------------------------- */

typedef struct rounding {
    const gr_rows *r;
    gr_dtype to;
    char *out;
    int64_t each;  /* rows a piece */
    float *wide;   /* [pieces at work][2][width]: see `room` */
    double *sums;  /* [pieces][2] */
    int64_t width; /* of a row */
} rounding;

static void round_piece(void *ctx, int64_t piece, int worker)
{
    rounding *c = ctx;
    const gr_dtype_info *from = gr_dtype_get(c->r->dtype), *to = gr_dtype_get(c->to);
    float *x = c->wide + (int64_t)worker * 2 * c->width, *back = x + c->width;
    int64_t end = (piece + 1) * c->each < c->r->rows ? (piece + 1) * c->each : c->r->rows;
    double lost = 0, sum = 0;
    for (int64_t row = piece * c->each; row < end; row++) {
        char *at = c->out + gr_dtype_size(c->to, row * c->width);
        from->to_f32(c->r->data + gr_dtype_size(c->r->dtype, row * c->width), x, c->width);
        to->from_f32(x, at, c->width);
        to->to_f32(at, back, c->width);
        for (int64_t i = 0; i < c->width; i++) {
            double off = (double)back[i] - (double)x[i];
            lost += off * off;
            sum += (double)x[i] * (double)x[i];
        }
    }
    c->sums[2 * piece] = lost;
    c->sums[2 * piece + 1] = sum;
}

gr_status gr_rows_round(gr_device *d, const gr_rows *r, gr_dtype dtype, void *out, double *lost, double *sum)
{
    rounding c = {.r = r, .to = dtype, .out = out, .width = r->width};
    c.each = r->width < PIECE ? PIECE / r->width : 1;
    int64_t pieces = (r->rows + c.each - 1) / c.each;
    c.sums = gr_alloc((size_t)pieces * 2 * sizeof *c.sums);
    c.wide = gr_alloc((size_t)(gr_pool_threads(d->pool) * 2 * r->width) * sizeof *c.wide);
    gr_status s = c.sums && c.wide ? GR_OK : GR_ERR_MEMORY;
    double added[2] = {0, 0};
    if (s == GR_OK)
        gr_device_parallel(d, pieces, round_piece, &c);
    for (int64_t i = 0; s == GR_OK && i < 2 * pieces; i++)
        added[i % 2] += c.sums[i];
    *lost += added[0];
    *sum += added[1];
    if (s == GR_OK && !(isfinite(added[0]) && isfinite(added[1])))
        s = gr_fail(
            GR_ERR_NUMBER,
            "its values are not numbers, or too large for %s\ngradus verify tells whether the weights are whole",
            gr_dtype_name(dtype));
    gr_free(c.sums);
    gr_free(c.wide);
    return s;
}
