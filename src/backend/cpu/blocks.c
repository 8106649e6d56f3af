/* Casts between f32 and dtypes whose values share blocks, by the dtype's own rows, a run of blocks a piece. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/int8_kernels.h"

#include "base/dtype.h"
#include "op/op.h"

enum { VALUES = 8192 }; /* a piece, whole blocks of any dtype */

static void cast_values(void *ctx, int64_t piece, int worker)
{
    const gr_call *c = ctx;
    const gr_operand *x = &c->in[0], *y = &c->out[0];
    int64_t at = piece * VALUES, rest = gr_operand_count(x) - at, n = rest < VALUES ? rest : VALUES;
    const void *from = (const char *)x->data + gr_dtype_size(x->dtype, at);
    void *to = (char *)y->data + gr_dtype_size(y->dtype, at);
    (void)worker;
    if (gr_dtype_get(y->dtype) == &gr_dtype_a8)
        GR_ISA_PICK_VNNI_AT(gr_isa_detect(), gr_int8_round)(from, to, n);
    else if (x->dtype == GR_F32)
        gr_dtype_get(y->dtype)->from_f32(from, to, n);
    else
        gr_dtype_get(x->dtype)->to_f32(from, to, n);
}

/* Of a dtype whose rows are rounded as wholes. */
static void cast_row(void *ctx, int64_t row, int worker)
{
    const gr_call *c = ctx;
    const gr_operand *x = &c->in[0], *y = &c->out[0];
    int64_t n = x->shape[x->ndim - 1];
    (void)worker;
    GR_ISA_PICK_VNNI_AT(gr_isa_detect(), gr_int8_round_row)
    ((const float *)x->data + row * n, (char *)y->data + gr_dtype_size(y->dtype, row * n), n);
}

static gr_status run_cast(const gr_call *c)
{
    const gr_operand *y = &c->out[0];
    if (gr_dtype_get(y->dtype)->by_row) {
        int64_t n = y->shape[y->ndim - 1];
        gr_parallel(c->device->pool, n ? gr_operand_count(y) / n : 0, cast_row, (void *)(uintptr_t)c);
        return GR_OK;
    }
    gr_parallel(c->device->pool, (gr_operand_count(&c->in[0]) + VALUES - 1) / VALUES, cast_values,
                (void *)(uintptr_t)c);
    return GR_OK;
}

static bool supports_cast(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    gr_dtype from = node->in[0]->spec.dtype, to = node->spec.dtype;
    return (from == GR_F32 && gr_dtype_is_block(to)) || (gr_dtype_is_block(from) && to == GR_F32);
}

const gr_kernel gr_cpu_block_kernels[] = {
    {.op = &gr_op_cast, .supports = supports_cast, .run = run_cast},
    {0},
};
