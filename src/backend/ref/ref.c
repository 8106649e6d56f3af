/* The reference backend: one kernel for every basic op, one thread. Fused ops run as their compositions, so this is the
 * definition that all other backends are compared with. */
#include "backend/ref/ref.h"

#include "op/op.h"

#include <stdio.h>
#include <string.h>

/* ---- walking over elements ---------------------------------------------------------------------------------- */

void gr_ref_next(int ndim, const int64_t *shape, int64_t *index)
{
    for (int i = ndim - 1; i >= 0; i--) {
        if (++index[i] < shape[i])
            return;
        index[i] = 0;
    }
}

int64_t gr_ref_at(const gr_operand *o, int ndim, const int64_t *index)
{
    int64_t position = 0;
    for (int i = 0; i < o->ndim && i < ndim; i++) {
        int own = o->ndim - 1 - i;
        if (o->shape[own] != 1)
            position += index[ndim - 1 - i] * o->stride[own];
    }
    return position;
}

/* ---- single elements ---------------------------------------------------------------------------------------- */

bool gr_ref_is_float(const gr_operand *o)
{
    return gr_dtype_get(o->dtype)->is_float;
}

double gr_ref_load(const gr_operand *o, int64_t position)
{
    return gr_dtype_load(o->dtype, o->data, position);
}

void gr_ref_store(const gr_operand *o, int64_t position, double value)
{
    gr_dtype_get(o->dtype)->store(o->data, position, value);
}

int64_t gr_ref_load_int(const gr_operand *o, int64_t position)
{
    switch (o->dtype) {
    case GR_I64:
        return ((const int64_t *)o->data)[position];
    case GR_I32:
        return ((const int32_t *)o->data)[position];
    default: /* u8 and bool are bytes */
        return ((const uint8_t *)o->data)[position];
    }
}

void gr_ref_store_int(const gr_operand *o, int64_t position, int64_t value)
{
    switch (o->dtype) {
    case GR_I64:
        ((int64_t *)o->data)[position] = value;
        return;
    case GR_I32:
        ((int32_t *)o->data)[position] = (int32_t)value;
        return;
    case GR_BOOL:
        ((uint8_t *)o->data)[position] = value != 0;
        return;
    default:
        ((uint8_t *)o->data)[position] = (uint8_t)value;
    }
}

void gr_ref_copy(const gr_operand *to, int64_t i, const gr_operand *from, int64_t j)
{
    const gr_dtype_info *d = gr_dtype_get(to->dtype);
    size_t bytes = (size_t)d->block_bytes;
    if (i % d->block)
        return; /* it went along with the first of its block */
    memcpy((char *)to->data + (size_t)(i / d->block) * bytes, (const char *)from->data + (size_t)(j / d->block) * bytes,
           bytes);
}

/* ---- the backend -------------------------------------------------------------------------------------------- */

#define ROW(op_name) {.op = &gr_op_##op_name, .strided = ~0u, .run = gr_ref_##op_name},
/* In front of the rows that the list gives, since the first line that fits is taken. */
static const gr_kernel table[] = {
    {.op = &gr_op_scatter_add, .strided = ~0u, .scratch = gr_ref_scatter_add_scratch, .run = gr_ref_scatter_add},
    {.op = &gr_op_cast, .strided = ~0u, .scratch = gr_ref_cast_scratch, .run = gr_ref_cast},
    {.op = &gr_op_matmul, .strided = ~0u, .scratch = gr_ref_matmul_scratch, .run = gr_ref_matmul},
    GR_REF_OPS(ROW){0}};
#undef ROW

/* An own op's kernel serves where there is no composition to define the op. */
static const gr_kernel *find(const gr_device *d, const gr_tensor *node)
{
    const gr_kernel *k = gr_kernel_find(table, d, node);
    return k || node->op->compose ? k : gr_kernel_own(node);
}

static gr_status open_device(gr_device *d, int index, int threads)
{
    (void)index, (void)threads; /* one is what makes it obvious */
    d->host_visible = true;
    snprintf(d->description, sizeof d->description, "reference kernels, 1 thread");
    return GR_OK;
}

static void close_device(gr_device *d)
{
    (void)d;
}

const gr_backend gr_backend_ref = {
    .name = "ref",
    .count = gr_host_count,
    .open = open_device,
    .close = close_device,
    .find = find,
    .reserve = gr_host_reserve,
    .alloc = gr_host_alloc,
    .free = gr_host_free,
    .memory = gr_host_memory,
    .write = gr_host_write,
    .read = gr_host_read,
    .fill = gr_host_fill,
    .copy = gr_host_copy,
    .sync = gr_host_sync,
    .prepare = gr_host_prepare,
    .forget = gr_host_forget,
    .run = gr_host_run,
    .wait = gr_host_wait,
};
