/* Looking up and adding to rows by index. Gathering is copying, of any dtype; sums are f32's own. */
#include "backend/cpu/rows.h"
#include "op/op.h"

#include "base/dtype.h"

#include <string.h>

typedef struct lookup {
    const gr_call *call;
    const gr_operand *index;
    int64_t count, size; /* indices; elements a row */
    int64_t step;        /* indices, or columns, of a piece */
    void (*add)(float *y, const float *x, int64_t n);
} lookup;

static lookup lookup_of(const gr_call *c)
{
    const gr_operand *x = &c->in[0];
    lookup l = {.call = c, .index = &c->in[1], .count = gr_operand_count(&c->in[1]), .size = 1};
    for (int i = 1; i < x->ndim; i++)
        l.size *= x->shape[i];
    return l;
}

/* Before any row is touched, and on the thread that reports. */
static gr_status check_index(const lookup *l)
{
    gr_status s = GR_OK;
    for (int64_t i = 0; s == GR_OK && i < l->count; i++)
        s = gr_fault_check(l->call, GR_FAULT_INDEX, gr_index_at(l->index, i), i, 0, l->call->in[0].shape[0]);
    return s;
}

static void gather_rows(void *ctx, int64_t piece, int worker)
{
    const lookup *l = ctx;
    const gr_operand *x = &l->call->in[0];
    size_t bytes = gr_dtype_size(x->dtype, l->size);
    int64_t end = (piece + 1) * l->step;
    (void)worker;
    for (int64_t i = piece * l->step; i < end && i < l->count; i++)
        memcpy((char *)l->call->out[0].data + (size_t)i * bytes,
               (const char *)x->data + (size_t)gr_index_at(l->index, i) * bytes, bytes);
}

static gr_status run_gather(const gr_call *c)
{
    lookup l = lookup_of(c);
    gr_status s = check_index(&l);
    if (s != GR_OK || l.size == 0)
        return s;
    l.step = gr_rows_a_piece(l.size);
    gr_parallel(c->device->pool, (l.count + l.step - 1) / l.step, gather_rows, &l);
    return GR_OK;
}

/* ---- adding ------------------------------------------------------------------------------------------------- */

static bool adds(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return node->spec.dtype == GR_F32;
}

static void copy_rows(void *ctx, int64_t piece, int worker)
{
    const lookup *l = ctx;
    const gr_operand *base = &l->call->in[0];
    int64_t first = piece * l->step, rows = base->shape[0] - first < l->step ? base->shape[0] - first : l->step;
    (void)worker;
    memcpy((float *)l->call->out[0].data + first * l->size, (const float *)base->data + first * l->size,
           (size_t)(rows * l->size) * sizeof(float));
}

/* A piece owns columns, for which it goes through all indices: rows named twice are added to in order, by nobody else. */
static void add_columns(void *ctx, int64_t piece, int worker)
{
    const lookup *l = ctx;
    const float *src = l->call->in[2].data;
    float *y = l->call->out[0].data;
    int64_t first = piece * l->step, n = l->size - first < l->step ? l->size - first : l->step;
    (void)worker;
    for (int64_t i = 0; i < l->count; i++)
        l->add(y + gr_index_at(l->index, i) * l->size + first, src + i * l->size + first, n);
}

static gr_status run_scatter_add(const gr_call *c)
{
    enum { COLUMNS = 128 };
    lookup l = lookup_of(c);
    gr_status s = check_index(&l);
    if (s != GR_OK || l.size == 0)
        return s;
    if (c->out[0].data != c->in[0].data) {
        l.step = gr_rows_a_piece(l.size);
        gr_parallel(c->device->pool, (c->in[0].shape[0] + l.step - 1) / l.step, copy_rows, &l);
    }
    l.step = COLUMNS;
    l.add = GR_ISA_PICK(gr_row_add);
    gr_parallel(c->device->pool, (l.size + COLUMNS - 1) / COLUMNS, add_columns, &l);
    return GR_OK;
}

const gr_kernel gr_cpu_embed_kernels[] = {
    {.op = &gr_op_gather, .run = run_gather},
    {.op = &gr_op_embedding, .run = run_gather},
    {.op = &gr_op_scatter_add, .supports = adds, .in_place = 1, .run = run_scatter_add},
    {0},
};
