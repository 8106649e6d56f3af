/* Moving elements: one strided copy serves contiguous, concat, pad and assign. Effects on store tensors that only move
 * data stand here too. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/ints.h"

#include "backend/ref/ref.h"
#include "op/attr.h"
#include "op/op.h"

#include <string.h>

enum { UNIT = 16384, BLOCK = 16, FILL_PIECE = 65536 };

gr_operand gr_cpu_contiguous(const gr_operand *o, void *data)
{
    gr_operand c = *o;
    int64_t stride = 1;
    for (int i = o->ndim - 1; i >= 0; i--) {
        c.stride[i] = stride;
        stride *= o->shape[i];
    }
    c.data = data;
    return c;
}

/* ---- the strided copy --------------------------------------------------------------------------------------- */

/* Dims without those of one element, neighbours joined where both sides run on evenly. The last dim is cut into chunks;
 * a unit of work is one chunk of one row, or BLOCK rows of a transpose. */
typedef struct copy {
    char *to;
    const char *from;
    size_t bytes; /* an element */
    int ndim;
    int64_t shape[GR_MAX_DIMS], ts[GR_MAX_DIMS], fs[GR_MAX_DIMS];
    int cross;     /* the dim along which `from` is contiguous while `to` is along the last; -1: no transpose */
    int64_t chunk; /* elements of the last dim a unit */
    int64_t units, units_a_piece;
} copy;

static void collapse(copy *c, const gr_operand *to, const gr_operand *from)
{
    for (int d = 0; d < to->ndim; d++) {
        int64_t n = to->shape[d], last = c->ndim - 1;
        if (n == 1)
            continue;
        if (last >= 0 && c->ts[last] == n * to->stride[d] && c->fs[last] == n * from->stride[d]) {
            c->shape[last] *= n;
        } else {
            last = c->ndim++;
            c->shape[last] = n;
        }
        c->ts[last] = to->stride[d];
        c->fs[last] = from->stride[d];
    }
    if (c->ndim == 0) {
        c->ndim = 1;
        c->shape[0] = c->ts[0] = c->fs[0] = 1;
    }
}

/* One row: n elements, strides in elements. */
#define ROW(type)                                                                                                      \
    static void row_##type(void *to, int64_t ts, const void *from, int64_t fs, int64_t n)                              \
    {                                                                                                                  \
        type *t = to;                                                                                                  \
        const type *f = from;                                                                                          \
        if (ts == 1 && fs == 0)                                                                                        \
            for (int64_t i = 0; i < n; i++)                                                                            \
                t[i] = *f;                                                                                             \
        else                                                                                                           \
            for (int64_t i = 0; i < n; i++)                                                                            \
                t[i * ts] = f[i * fs];                                                                                 \
    }
ROW(uint8_t)
ROW(uint16_t)
ROW(uint32_t)
ROW(uint64_t)

/* rows x cols with rows contiguous in `to` and columns in `from`, by blocks whose cache lines are used whole. */
#define TURN(type)                                                                                                     \
    static void turn_##type(void *to, int64_t ts, const void *from, int64_t fs, int64_t rows, int64_t cols)            \
    {                                                                                                                  \
        for (int64_t j = 0; j < cols; j += BLOCK)                                                                      \
            for (int64_t r = 0; r < rows; r++) {                                                                       \
                type *t = (type *)to + r * ts;                                                                         \
                const type *f = (const type *)from + r;                                                                \
                for (int64_t k = j; k < gr_min64(j + BLOCK, cols); k++)                                                \
                    t[k] = f[k * fs];                                                                                  \
            }                                                                                                          \
    }
TURN(uint8_t)
TURN(uint16_t)
TURN(uint32_t)
TURN(uint64_t)

static void copy_row(const copy *c, char *to, const char *from, int64_t n)
{
    int64_t ts = c->ts[c->ndim - 1], fs = c->fs[c->ndim - 1];
    if (ts == 1 && fs == 1)
        memcpy(to, from, (size_t)n * c->bytes);
    else if (c->bytes == 1)
        row_uint8_t(to, ts, from, fs, n);
    else if (c->bytes == 2)
        row_uint16_t(to, ts, from, fs, n);
    else if (c->bytes == 4)
        row_uint32_t(to, ts, from, fs, n);
    else
        row_uint64_t(to, ts, from, fs, n);
}

static void copy_turned(const copy *c, char *to, const char *from, int64_t rows)
{
    int64_t cols = c->shape[c->ndim - 1], ts = c->ts[c->cross], fs = c->fs[c->ndim - 1];
    if (c->bytes == 1)
        turn_uint8_t(to, ts, from, fs, rows, cols);
    else if (c->bytes == 2)
        turn_uint16_t(to, ts, from, fs, rows, cols);
    else if (c->bytes == 4)
        turn_uint32_t(to, ts, from, fs, rows, cols);
    else
        turn_uint64_t(to, ts, from, fs, rows, cols);
}

static void copy_unit(const copy *c, int64_t unit)
{
    int last = c->ndim - 1;
    int64_t chunk = 0, at_to = 0, at_from = 0, rows = 0;
    if (c->cross < 0) {
        int64_t chunks = gr_ceil_div(c->shape[last], c->chunk);
        chunk = unit % chunks * c->chunk;
        unit /= chunks;
        at_to = chunk * c->ts[last];
        at_from = chunk * c->fs[last];
    }
    for (int d = last - 1; d >= 0; d--) {
        int64_t n = d == c->cross ? gr_ceil_div(c->shape[d], BLOCK) : c->shape[d], i = unit % n;
        unit /= n;
        if (d == c->cross) {
            i *= BLOCK;
            rows = gr_min64(BLOCK, c->shape[d] - i);
        }
        at_to += i * c->ts[d];
        at_from += i * c->fs[d];
    }
    char *to = c->to + at_to * (int64_t)c->bytes;
    const char *from = c->from + at_from * (int64_t)c->bytes;
    if (c->cross < 0)
        copy_row(c, to, from, gr_min64(c->chunk, c->shape[last] - chunk));
    else
        copy_turned(c, to, from, rows);
}

static void copy_piece(void *ctx, int64_t piece, int worker)
{
    (void)worker;
    const copy *c = ctx;
    int64_t first = piece * c->units_a_piece;
    for (int64_t u = first; u < gr_min64(first + c->units_a_piece, c->units); u++)
        copy_unit(c, u);
}

/* Values that share blocks are moved as the bytes they are. */
static gr_operand as_bytes(const gr_operand *o)
{
    gr_operand b = *o;
    if (!gr_dtype_is_block(o->dtype))
        return b;
    for (int d = 0; d < o->ndim; d++)
        b.stride[d] = (int64_t)gr_dtype_size(o->dtype, o->stride[d]);
    b.shape[o->ndim - 1] = (int64_t)gr_dtype_size(o->dtype, o->shape[o->ndim - 1]);
    b.stride[o->ndim - 1] = 1;
    b.dtype = GR_U8;
    return b;
}

void gr_cpu_copy(const gr_device *device, const gr_operand *to_values, const gr_operand *from_values)
{
    const gr_operand to_bytes = as_bytes(to_values), from_bytes = as_bytes(from_values);
    const gr_operand *to = &to_bytes, *from = &from_bytes;
    copy c = {.to = to->data, .from = from->data, .bytes = (size_t)gr_dtype_width(to->dtype), .cross = -1};
    if (gr_operand_count(to) == 0)
        return;
    collapse(&c, to, from);
    int last = c.ndim - 1;
    for (int d = 0; d < last && c.ts[last] == 1 && c.fs[last] > 1; d++)
        if (c.fs[d] == 1)
            c.cross = d;
    c.chunk = gr_min64(c.shape[last], UNIT);
    c.units = c.cross < 0 ? gr_ceil_div(c.shape[last], c.chunk) : 1;
    for (int d = 0; d < last; d++)
        c.units *= d == c.cross ? gr_ceil_div(c.shape[d], BLOCK) : c.shape[d];
    int64_t elements = c.cross < 0 ? c.chunk : c.shape[last] * BLOCK;
    c.units_a_piece = gr_ceil_div(UNIT, elements);
    gr_parallel(device->pool, gr_ceil_div(c.units, c.units_a_piece), copy_piece, &c);
}

/* ---- fill --------------------------------------------------------------------------------------------------- */

typedef struct filling {
    char *to;
    char value[8];
    size_t bytes;
    int64_t count;
} filling;

static void fill_piece(void *ctx, int64_t piece, int worker)
{
    (void)worker;
    const filling *f = ctx;
    int64_t first = piece * FILL_PIECE, n = gr_min64(FILL_PIECE, f->count - first);
    char *to = f->to + first * (int64_t)f->bytes;
    if (f->bytes == 1)
        row_uint8_t(to, 1, f->value, 0, n);
    else if (f->bytes == 2)
        row_uint16_t(to, 1, f->value, 0, n);
    else if (f->bytes == 4)
        row_uint32_t(to, 1, f->value, 0, n);
    else
        row_uint64_t(to, 1, f->value, 0, n);
}

static void fill(const gr_device *device, const gr_operand *to, double value)
{
    filling f = {.to = to->data, .bytes = (size_t)gr_dtype_width(to->dtype), .count = gr_operand_count(to)};
    gr_dtype_get(to->dtype)->store(f.value, 0, value);
    gr_parallel(device->pool, gr_ceil_div(f.count, FILL_PIECE), fill_piece, &f);
}

/* ---- kernels ------------------------------------------------------------------------------------------------ */

static gr_status run_contiguous(const gr_call *call)
{
    gr_cpu_copy(call->device, &call->out[0], &call->in[0]);
    return GR_OK;
}

/* The part of the result that an input of `size` along dim `axis` fills from position `at` on. */
static gr_operand part(const gr_operand *o, int axis, int64_t at, int64_t size)
{
    gr_operand p = *o;
    p.shape[axis] = size;
    p.data = (char *)o->data + gr_dtype_size(o->dtype, at * o->stride[axis]);
    return p;
}

static gr_status run_concat(const gr_call *call)
{
    int axis = ((const gr_axis_attr *)call->attr)->axis;
    int64_t at = 0;
    for (int i = 0; i < call->n_in; i++) {
        int64_t size = call->in[i].shape[axis];
        gr_operand to = part(&call->out[0], axis, at, size);
        gr_cpu_copy(call->device, &to, &call->in[i]);
        at += size;
    }
    return GR_OK;
}

static gr_status run_pad(const gr_call *call)
{
    const gr_pad_attr *a = call->attr;
    gr_operand to = part(&call->out[0], a->axis, a->before, call->in[0].shape[a->axis]);
    fill(call->device, &call->out[0], a->value);
    gr_cpu_copy(call->device, &to, &call->in[0]);
    return GR_OK;
}

static gr_status run_fill(const gr_call *call)
{
    fill(call->device, &call->out[0], ((const gr_fill_attr *)call->attr)->value);
    return GR_OK;
}

static bool supports_iota(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return node->spec.dtype == GR_I64 || node->spec.dtype == GR_F32;
}

/* Positions, a few thousand: not worth a thread. */
static gr_status run_iota(const gr_call *call)
{
    const gr_operand *y = &call->out[0];
    bool integers = y->dtype == GR_I64;
    for (int64_t i = 0, n = gr_operand_count(y); i < n; i++) {
        if (integers)
            ((int64_t *)y->data)[i] = i;
        else
            ((float *)y->data)[i] = (float)i;
    }
    return GR_OK;
}

static gr_status run_assign(const gr_call *call)
{
    gr_cpu_copy(call->device, &call->in[0], &call->in[1]);
    return GR_OK;
}

static bool supports_assign_add(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return gr_dtype_get(node->in[0]->spec.dtype)->is_activation;
}

static gr_status run_assign_add(const gr_call *call)
{
    gr_cpu_apply(call->device, &gr_op_add, call->in, 2, &call->in[0]);
    return GR_OK;
}

/* param [N, S, ..], value [B, T, ..], slot [B, T], sequence [B]. */
static gr_status run_write_rows(const gr_call *call)
{
    const gr_operand *param = &call->in[0], *value = &call->in[1], *slot = &call->in[2];
    const int64_t *slots = slot->data, *sequence = call->n_in > 3 ? call->in[3].data : NULL;
    int64_t t = value->shape[1], s = param->shape[1], count = gr_operand_count(slot), row = 1;
    for (int d = 2; d < param->ndim; d++)
        row *= param->shape[d];
    size_t bytes = gr_dtype_size(param->dtype, row);
    gr_status st = gr_ref_check_rows(call);
    for (int64_t i = 0; st == GR_OK && i < count; i++) {
        int64_t to = sequence ? sequence[i / t] : i / t;
        if (slots[i] >= 0 && bytes)
            memcpy((char *)param->data + (size_t)(to * s + slots[i]) * bytes,
                   (const char *)value->data + (size_t)i * bytes, bytes);
    }
    return st;
}

const gr_kernel gr_cpu_layout_kernels[] = {
    {.op = &gr_op_contiguous, .strided = 1, .run = run_contiguous},
    {.op = &gr_op_concat, .strided = ~0u, .run = run_concat},
    {.op = &gr_op_pad, .strided = 1, .run = run_pad},
    {.op = &gr_op_fill, .run = run_fill},
    {.op = &gr_op_iota, .supports = supports_iota, .run = run_iota},
    {.op = &gr_op_assign, .strided = 2, .run = run_assign},
    {.op = &gr_op_assign_add, .supports = supports_assign_add, .run = run_assign_add},
    {.op = &gr_op_write_rows, .run = run_write_rows},
    {0},
};
