/* matmul of int8 activations and weights in blocks: panels of 16 rows of the weights become integers once for all rows of
 * activations that a piece has, from the bytes as they are in their file. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/int8_kernels.h"

#include "base/dtype.h"
#include "op/attr.h"
#include "op/op.h"

enum {
    ALIGN = 64,
    ROWS_OF_PIECE = 256,
    FEW_ROWS = 8,             /* up to here reading the weights is what takes time: a panel is used at once */
    COLS_OF_FEW = 64,         /* of a piece then */
    PANELS_BYTES = 192 << 10, /* of panels that are kept while rows pass by: they stay in the second-level cache */
    TILES_READ = 4,           /* of rows of activations, made ready at a time */
};

typedef struct product {
    gr_int8_form form;
    int64_t m, n, cols, rows;                     /* cols, rows: of a piece */
    int64_t panels;                               /* of a piece that are packed at a time */
    size_t row_bytes;                             /* of the weights */
    size_t codes_bytes, scales_bytes, sums_bytes; /* of a tile's rows of activations */
    size_t panel_codes, panel_scales, panel_bytes;
    const gr_call *call;
    char *rows_at, *worker_at;
} product;

static size_t aligned(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static int64_t least(int64_t x, int64_t y)
{
    return x < y ? x : y;
}

/* How many steps can be added up in 16 bits: a step adds two products of a code with at most 128. */
static int period_of(int most, int group)
{
    int steps = INT16_MAX / (most * 256), period = 8;
    while (period > steps || period > group / 4)
        period /= 2;
    return period;
}

static product take_apart(const gr_call *call)
{
    const gr_operand *a = &call->in[0], *b = &call->in[1];
    const gr_dtype_info *d = gr_dtype_get(b->dtype);
    product p = {.n = b->shape[b->ndim - 2], .call = call};
    int64_t k = b->shape[b->ndim - 1], groups = k / d->codes.group;
    p.form = (gr_int8_form){d, k, d->codes.group, period_of(d->codes.most, d->codes.group)};
    p.m = k > 0 ? gr_operand_count(a) / k : 0;
    p.row_bytes = gr_dtype_size(b->dtype, k);
    size_t size = p.form.period ? 1 : 2;
    p.codes_bytes = aligned((size_t)k * size * GR_INT8_ROWS);
    p.scales_bytes = aligned((size_t)(k / 32) * sizeof(float) * GR_INT8_ROWS);
    p.sums_bytes = aligned((size_t)groups * sizeof(float) * GR_INT8_ROWS);
    p.panel_codes = aligned((size_t)k * size * GR_INT8_COLS);
    p.panel_scales = aligned((size_t)groups * GR_INT8_COLS * sizeof(float));
    p.panel_bytes = p.panel_codes + 2 * p.panel_scales;
    int64_t fit = (int64_t)(PANELS_BYTES / (p.panel_bytes + 1));
    p.panels = p.m <= FEW_ROWS || fit < 1 ? 1 : least(fit, 8);
    p.cols = p.m <= FEW_ROWS ? COLS_OF_FEW : p.panels * GR_INT8_COLS;
    p.rows = ROWS_OF_PIECE;
    return p;
}

static int64_t tiles(const product *p)
{
    return (p->m + GR_INT8_ROWS - 1) / GR_INT8_ROWS;
}

static size_t tile_bytes(const product *p)
{
    return p->codes_bytes + p->scales_bytes + 2 * p->sums_bytes;
}

static gr_int8_rows rows_at(const product *p, int64_t tile)
{
    char *at = p->rows_at + (size_t)tile * tile_bytes(p), *sums = at + p->codes_bytes + p->scales_bytes;
    return (gr_int8_rows){at, (float *)(void *)(at + p->codes_bytes), (int32_t *)(void *)sums,
                          (float *)(void *)(sums + p->sums_bytes)};
}

static size_t worker_bytes(const product *p)
{
    return (size_t)p->panels * p->panel_bytes + GR_INT8_ROOM_BYTES;
}

static size_t scratch(const gr_call *call)
{
    product p = take_apart(call);
    return ALIGN + (size_t)tiles(&p) * tile_bytes(&p) + (size_t)gr_pool_threads(call->device->pool) * worker_bytes(&p);
}

static void read_rows(void *ctx, int64_t piece, int worker)
{
    const product *p = ctx;
    const gr_operand *a = &p->call->in[0];
    int64_t first = piece * TILES_READ * GR_INT8_ROWS, end = least(first + TILES_READ * GR_INT8_ROWS, p->m);
    (void)worker;
    for (int64_t r = first; r < end; r++) {
        gr_int8_rows rows = rows_at(p, r / GR_INT8_ROWS);
        const char *from = (const char *)a->data + gr_dtype_size(a->dtype, r * p->form.k);
        GR_ISA_PICK(gr_int8_row_read)(&p->form, from, (int)(r % GR_INT8_ROWS), &rows);
    }
}

static gr_int8_panel panel_at(const product *p, char *room, int64_t i)
{
    char *at = room + (size_t)i * p->panel_bytes;
    gr_int8_panel b = {(float *)(void *)at, (float *)(void *)(at + p->panel_codes), NULL};
    if (p->form.dtype->codes.offsets)
        b.offsets = (float *)(void *)(at + p->panel_codes + p->panel_scales);
    return b;
}

/* Columns from j on, as many as panels are packed at a time, of rows i to i + rows. */
static void do_panels(const product *p, char *room, int64_t i, int64_t rows, int64_t j, int64_t end)
{
    const gr_operand *b = &p->call->in[1];
    float *c = p->call->out[0].data;
    void *reading = room + (size_t)p->panels * p->panel_bytes;
    int64_t panels = 0;
    for (int64_t at = j; at < end; at += GR_INT8_COLS, panels++) {
        gr_int8_panel packed = panel_at(p, room, panels);
        GR_ISA_PICK(gr_int8_pack)
        (&p->form, (const char *)b->data + (size_t)at * p->row_bytes, p->row_bytes, least(end - at, GR_INT8_COLS),
         &packed, reading);
    }
    for (int64_t r = i; r < i + rows; r += GR_INT8_ROWS)
        for (int64_t q = 0; q < panels; q++) {
            int64_t at = j + q * GR_INT8_COLS;
            gr_int8_tile t = {&p->form, rows_at(p, r / GR_INT8_ROWS), panel_at(p, room, q), c + r * p->n + at, p->n};
            GR_ISA_PICK(gr_int8_multiply)(&t, least(i + rows - r, GR_INT8_ROWS), least(end - at, GR_INT8_COLS));
        }
}

static void do_piece(void *ctx, int64_t index, int worker)
{
    const product *p = ctx;
    int64_t cuts = (p->n + p->cols - 1) / p->cols, i = index / cuts * p->rows, j = index % cuts * p->cols;
    int64_t end = least(j + p->cols, p->n), step = p->panels * GR_INT8_COLS;
    char *room = p->worker_at + (size_t)worker * worker_bytes(p);
    for (; j < end; j += step)
        do_panels(p, room, i, least(p->rows, p->m - i), j, least(j + step, end));
}

static gr_status run(const gr_call *call)
{
    product p = take_apart(call);
    char *at = (char *)(((uintptr_t)call->scratch + ALIGN - 1) / ALIGN * ALIGN);
    p.rows_at = at;
    p.worker_at = at + (size_t)tiles(&p) * tile_bytes(&p);
    gr_parallel(call->device->pool, (tiles(&p) + TILES_READ - 1) / TILES_READ, read_rows, &p);
    gr_parallel(call->device->pool, (p.m + p.rows - 1) / p.rows * ((p.n + p.cols - 1) / p.cols), do_piece, &p);
    return GR_OK;
}

/* The weights are one matrix, as those of layers are. */
static bool supports(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    const gr_spec *b = &node->in[1]->spec;
    bool one = gr_spec_count(b) == b->shape[b->ndim - 1] * b->shape[b->ndim - 2];
    return gr_dtype_get(node->in[0]->spec.dtype)->is_row && gr_dtype_get(b->dtype)->codes.group > 0 && one &&
           b->shape[b->ndim - 1] > 0;
}

const gr_kernel gr_cpu_int8_kernels[] = {
    {.op = &gr_op_matmul, .supports = supports, .scratch = scratch, .run = run},
    {0},
};
