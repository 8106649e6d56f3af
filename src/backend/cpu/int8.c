/* matmul of int8 activations and weights in blocks: panels of 16 rows of the weights become integers once for all rows of
 * activations that a piece has, from the bytes as they are in their file. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/int8_kernels.h"
#include "backend/cpu/ints.h"

#include "base/dtype.h"
#include "op/attr.h"
#include "op/op.h"

enum {
    ALIGN = 64,
    ROWS_OF_PIECE = 512,
    FEW_ROWS = 8,             /* up to here reading the weights is what takes time: a part of a panel is used at once */
    PIECES_OF_FEW = 16,       /* then, or more */
    COLS_OF_FEW = 256,        /* at most of such a piece */
    PLACES_OF_FEW = 512,      /* of a part: its codes are 8 KiB and stay in the first-level cache */
    PANELS_BYTES = 192 << 10, /* of panels that are kept while rows pass by: they stay in the second-level cache */
    TILES_READ = 4,           /* of rows of activations, made ready at a time */
};

typedef struct product {
    gr_isa level;
    gr_int8_form form;
    int64_t m, n, cols, rows;                     /* cols, rows: of a piece */
    int64_t panels, places;                       /* of a piece that are packed at a time */
    size_t row_bytes;                             /* of the weights */
    size_t codes_bytes, scales_bytes, sums_bytes; /* of rows of activations that lie side by side */
    size_t panel_codes, panel_scales, panel_bytes;
    const gr_call *call;
    char *rows_at, *worker_at;
} product;

static size_t aligned(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* How many steps can be added up in 16 bits: a step adds two products of a code with at most 128. 0: not even one. */
static int period_of(int most, int group)
{
    int steps = INT16_MAX / (most * 256), period = 8;
    while (period > steps || period > group / 4)
        period /= 2;
    return period;
}

static gr_int8_form form_of(const gr_operand *a, const gr_operand *b, int64_t m, gr_isa level)
{
    const gr_dtype_info *d = gr_dtype_get(b->dtype);
    gr_int8_form f = {.dtype = d, .k = b->shape[b->ndim - 1], .group = d->codes.group};
    f.is_full = gr_dtype_get(a->dtype)->by_row;
    f.period = period_of(d->codes.most, f.group);
    f.is_signed = f.period == 0 && !gr_isa_has_vnni(level);
    f.zero = f.is_signed ? 0 : d->codes.zero;
    f.together = (int)gr_min64(m, GR_INT8_ROWS);
    return f;
}

static product take_apart(const gr_call *call)
{
    const gr_operand *a = &call->in[0], *b = &call->in[1];
    int64_t k = b->shape[b->ndim - 1];
    product p = {.level = gr_isa_detect(), .n = b->shape[b->ndim - 2], .rows = ROWS_OF_PIECE, .call = call};
    p.m = k > 0 ? gr_operand_count(a) / k : 0;
    p.form = form_of(a, b, p.m, p.level);
    p.row_bytes = gr_dtype_size(b->dtype, k);
    p.places = p.m <= FEW_ROWS ? gr_min64(k, PLACES_OF_FEW) : k;
    const size_t groups = (size_t)(k / p.form.group), together = (size_t)p.form.together;
    p.codes_bytes = aligned((size_t)k * together);
    p.scales_bytes = aligned((size_t)(k / 32) * sizeof(float) * together);
    p.sums_bytes = aligned(groups * sizeof(float) * together);
    p.panel_codes = (size_t)p.places * GR_INT8_COLS;
    p.panel_scales = (size_t)(p.places / p.form.group) * GR_INT8_COLS * sizeof(float);
    p.panel_bytes = p.panel_codes + 2 * p.panel_scales;
    int64_t fit = (int64_t)(PANELS_BYTES / (p.panel_bytes + 1));
    p.panels = p.m <= FEW_ROWS || fit < 1 ? 1 : gr_min64(fit, 8);
    p.cols = p.panels * GR_INT8_COLS;
    if (p.m <= FEW_ROWS)
        p.cols = gr_min64((p.n / PIECES_OF_FEW / GR_INT8_COLS + 1) * GR_INT8_COLS, COLS_OF_FEW);
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

/* A tile's rows, from a place on that begins a group of 32. */
static gr_int8_rows rows_at(const product *p, int64_t tile, int64_t place)
{
    char *at = p->rows_at + (size_t)tile * tile_bytes(p), *sums = at + p->codes_bytes + p->scales_bytes;
    const int64_t together = p->form.together, of_group = place / p->form.group * together;
    return (gr_int8_rows){at + place * together, (float *)(void *)(at + p->codes_bytes) + place / 32 * together,
                          (int32_t *)(void *)sums + of_group, (float *)(void *)(sums + p->sums_bytes) + of_group};
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
    int64_t first = piece * TILES_READ * GR_INT8_ROWS, end = gr_min64(first + TILES_READ * GR_INT8_ROWS, p->m);
    (void)worker;
    const size_t row = gr_dtype_size(a->dtype, p->form.k);
    for (int64_t r = first; r < end;) {
        gr_int8_rows rows = rows_at(p, r / GR_INT8_ROWS, 0);
        const char *from = (const char *)a->data + (size_t)r * row;
        if (r % GR_INT8_ROWS == 0 && r + GR_INT8_ROWS <= end) {
            GR_ISA_PICK_VNNI_AT(p->level, gr_int8_rows_read)(&p->form, from, row, &rows);
            r += GR_INT8_ROWS;
        } else {
            GR_ISA_PICK_VNNI_AT(p->level, gr_int8_row_read)(&p->form, from, (int)(r++ % GR_INT8_ROWS), &rows);
        }
    }
}

static gr_int8_panel panel_at(const product *p, char *room, int64_t i)
{
    char *at = room + (size_t)i * p->panel_bytes;
    gr_int8_panel b = {at, (float *)(void *)(at + p->panel_codes), NULL};
    if (p->form.dtype->codes.offsets)
        b.offsets = (float *)(void *)(at + p->panel_codes + p->panel_scales);
    return b;
}

/* Columns j to end of one row, from the weights as they lie; the first that could not be done is returned. */
static int64_t do_one(const product *p, int64_t j, int64_t end)
{
    const gr_operand *b = &p->call->in[1];
    const gr_int8_rows a = rows_at(p, 0, 0);
    float *c = p->call->out[0].data;
    while (p->m == 1 && j + GR_INT8_COLS <= end &&
           GR_ISA_PICK_VNNI_AT(p->level, gr_int8_one)(&p->form, &a, (const char *)b->data + (size_t)j * p->row_bytes,
                                                      p->row_bytes, c + j))
        j += GR_INT8_COLS;
    return j;
}

/* n places from `place` on of columns j to end, as many as are packed at a time, and of rows i to i + rows. */
static void do_panels(const product *p, char *room, int64_t i, int64_t rows, int64_t j, int64_t end, int64_t place,
                      int64_t n)
{
    const gr_operand *b = &p->call->in[1];
    const char *from = (const char *)b->data + gr_dtype_size(b->dtype, place);
    float *c = p->call->out[0].data;
    void *reading = room + (size_t)p->panels * p->panel_bytes;
    int64_t panels = 0;
    for (int64_t at = j; at < end; at += GR_INT8_COLS, panels++) {
        gr_int8_panel packed = panel_at(p, room, panels);
        GR_ISA_PICK_AT(p->level, gr_int8_pack)
        (&p->form, from + (size_t)at * p->row_bytes, p->row_bytes, gr_min64(end - at, GR_INT8_COLS), n, &packed,
         reading);
    }
    for (int64_t r = i; r < i + rows; r += GR_INT8_ROWS)
        for (int64_t q = 0; q < panels; q++) {
            int64_t at = j + q * GR_INT8_COLS;
            gr_int8_tile t = {.form = &p->form, .a = rows_at(p, r / GR_INT8_ROWS, place), .b = panel_at(p, room, q)};
            t.n = n;
            t.c = c + r * p->n + at;
            t.ldc = p->n;
            t.add = place > 0;
            GR_ISA_PICK_VNNI_AT(p->level, gr_int8_multiply)
            (&t, gr_min64(i + rows - r, GR_INT8_ROWS), gr_min64(end - at, GR_INT8_COLS));
        }
}

static void do_piece(void *ctx, int64_t index, int worker)
{
    const product *p = ctx;
    int64_t cuts = (p->n + p->cols - 1) / p->cols, i = index / cuts * p->rows, j = index % cuts * p->cols;
    int64_t end = gr_min64(j + p->cols, p->n), step = p->panels * GR_INT8_COLS;
    char *room = p->worker_at + (size_t)worker * worker_bytes(p);
    for (j = do_one(p, j, end); j < end; j += step)
        for (int64_t place = 0; place < p->form.k; place += p->places)
            do_panels(p, room, i, gr_min64(p->rows, p->m - i), j, gr_min64(j + step, end), place,
                      gr_min64(p->places, p->form.k - place));
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
