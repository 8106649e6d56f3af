/* Effects: input 0 is a store's tensor, written in place. */
#include "backend/gpu/families.h"

#include "op/attr.h"
#include "op/op.h"

#include <math.h>

static gr_status run_assign(const gr_call *call)
{
    return gr_gpu_copy(call, &call->in[0], &call->in[1], true);
}

static gr_status run_assign_add(const gr_call *call)
{
    return gr_gpu_apply(call, &gr_op_add, NULL, call->in, 2, &call->in[0], true);
}

static gr_status run_write_rows(const gr_call *call)
{
    enum { SEQUENCE = 3 };
    const gr_operand *y = &call->in[0], *value = &call->in[1];
    int64_t t = value->shape[1], rows = value->shape[0] * t, size = 1;
    gr_launch l;
    for (int i = 2; i < y->ndim; i++)
        size *= y->shape[i];
    gr_status s = gr_launch_check(call, &call->in[2], GR_FAULT_SLOT, -1, y->shape[1], -1);
    if (s == GR_OK && gr_gpu_has(call, SEQUENCE))
        s = gr_launch_check(call, &call->in[SEQUENCE], GR_FAULT_SEQUENCE, 0, y->shape[0], 0);
    if (s != GR_OK)
        return s;
    gr_launch_begin(&l, call, "update", "write_rows");
    gr_launch_word(&l, "W", y->dtype);
    gr_launch_fault(&l);
    gr_launch_operands(&l, call->in, 3);
    gr_launch_optional(&l, call, SEQUENCE);
    gr_launch_longs(&l, rows, t, y->shape[1], size);
    gr_launch_int(&l, gr_gpu_has(call, SEQUENCE));
    return gr_launch_groups(&l, rows);
}

static void begin_step(gr_launch *l, const gr_call *call, const char *kernel)
{
    gr_launch_begin(l, call, "update", kernel);
    gr_launch_dtype(l, "T", call->in[0].dtype);
    gr_launch_dtype(l, "G", call->in[1].dtype);
    gr_launch_fault(l);
}

static gr_status run_adamw(const gr_call *call)
{
    enum { SCALE = 6 };
    const gr_adamw_options *o = call->attr;
    double beta1 = (double)o->beta1, beta2 = (double)o->beta2;
    int64_t n = gr_operand_count(&call->in[0]);
    gr_launch l;
    begin_step(&l, call, "adamw");
    gr_launch_dtype(&l, "M", call->in[2].dtype);
    gr_launch_operands(&l, call->in, SCALE);
    gr_launch_optional(&l, call, SCALE);
    gr_launch_long(&l, n);
    gr_launch_ints(&l, gr_gpu_has(call, SCALE), call->in[2].dtype == GR_BF16, o->stream);
    gr_launch_floats(&l, beta1, beta2, 1 - beta1, 1 - beta2, log(beta1), log(beta2), (double)o->weight_decay,
                     (double)o->eps);
    return gr_launch_items(&l, n);
}

static gr_status run_sgd(const gr_call *call)
{
    enum { VELOCITY = 2, LR, SCALE };
    const gr_sgd_attr *a = call->attr;
    int64_t n = gr_operand_count(&call->in[0]);
    gr_launch l;
    begin_step(&l, call, "sgd");
    gr_launch_operands(&l, call->in, LR + 1);
    gr_launch_optional(&l, call, SCALE);
    gr_launch_long(&l, n);
    gr_launch_ints(&l, gr_gpu_has(call, VELOCITY), gr_gpu_has(call, SCALE));
    gr_launch_floats(&l, (double)a->momentum, (double)a->weight_decay);
    return gr_launch_items(&l, n);
}

static gr_status run_lion(const gr_call *call)
{
    enum { M = 2, LR, SCALE };
    const gr_lion_attr *a = call->attr;
    double beta1 = (double)a->beta1, beta2 = (double)a->beta2;
    int64_t n = gr_operand_count(&call->in[0]);
    gr_launch l;
    begin_step(&l, call, "lion");
    gr_launch_operands(&l, call->in, LR + 1);
    gr_launch_optional(&l, call, SCALE);
    gr_launch_long(&l, n);
    gr_launch_int(&l, gr_gpu_has(call, SCALE));
    gr_launch_floats(&l, beta1, beta2, 1 - beta1, 1 - beta2, (double)a->weight_decay);
    return gr_launch_items(&l, n);
}

/* Of 16-bit parameters the composition takes care, as on cpu. */
static bool supports(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return node->in[0]->spec.dtype == GR_F32;
}

const gr_kernel gr_gpu_update_kernels[] = {
    {.op = &gr_op_assign, .supports = gr_gpu_plain, .strided = 2, .run = run_assign},
    {.op = &gr_op_assign_add, .supports = gr_gpu_any, .strided = 2, .run = run_assign_add},
    {.op = &gr_op_write_rows, .supports = gr_gpu_plain, .run = run_write_rows},
    {.op = &gr_op_adamw, .supports = supports, .run = run_adamw},
    {.op = &gr_op_sgd, .supports = supports, .run = run_sgd},
    {.op = &gr_op_lion, .supports = supports, .run = run_lion},
    {0},
};
