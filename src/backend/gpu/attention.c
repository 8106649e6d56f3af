/* Attention and its gradients. */
#include "backend/gpu/families.h"

#include "op/attr.h"
#include "op/op.h"

enum { Q, K, V, Q_POS, K_POS, SEGMENT, N_BOTH };
enum { SEQUENCE = N_BOTH, OUT = N_BOTH, LSE, D_OUT };

static void begin_file(gr_launch *l, const gr_call *call, const char *kernel)
{
    gr_launch_begin(l, call, "attention", kernel);
    gr_launch_dtype(l, "T", call->in[Q].dtype);
    gr_launch_dtype(l, "K", call->in[K].dtype);
    gr_launch_define(l, "D", call->in[Q].shape[3]);
}

/* What all kernels but one begin with. */
static void begin(gr_launch *l, const gr_call *call, const char *kernel)
{
    const gr_attention_attr *a = call->attr;
    const int64_t *q = call->in[Q].shape, *k = call->in[K].shape;
    bool sequence = call->op == &gr_op_attention && gr_gpu_has(call, SEQUENCE);
    begin_file(l, call, kernel);
    gr_launch_fault(l);
    gr_launch_operands(l, call->in, V + 1);
    for (int i = Q_POS; i <= SEGMENT; i++)
        gr_launch_optional(l, call, i);
    gr_launch_address(l, sequence ? gr_gpu_address(&call->in[SEQUENCE]) : 0);
    gr_launch_dims(l, 5, (const int64_t[]){q[0], q[1], q[2], k[1], k[2]});
    for (int i = Q; i <= V; i++)
        gr_launch_dims(l, 4, call->in[i].stride);
    gr_launch_int(l, gr_gpu_has(call, Q_POS) | gr_gpu_has(call, K_POS) << 1 | gr_gpu_has(call, SEGMENT) << 2 |
                         sequence << 3 | a->causal << 4);
    gr_launch_long(l, a->window);
    gr_launch_float(l, (double)a->scale);
}

static gr_status run_attention(const gr_call *call)
{
    const gr_operand *y = &call->out[0], *lse = &call->out[1];
    gr_launch l;
    gr_status s = GR_OK;
    if (gr_gpu_has(call, SEQUENCE))
        s = gr_launch_check(call, &call->in[SEQUENCE], GR_FAULT_SEQUENCE, 0, call->in[K].shape[0], 0);
    if (s != GR_OK)
        return s;
    begin(&l, call, "attention");
    gr_launch_operands(&l, call->out, 2);
    gr_launch_int(&l, (gr_gpu_address(y) != 0) | (gr_gpu_address(lse) != 0) << 1);
    return gr_launch_groups(&l, gr_gpu_rows(y));
}

/* Kernels are built for one dtype of keys and values. */
static bool supports(const gr_device *d, const gr_tensor *node)
{
    return gr_gpu_any(d, node) && gr_in(node, K)->dtype == gr_in(node, V)->dtype;
}

static size_t grad_scratch(const gr_call *call)
{
    return (size_t)gr_gpu_rows(&call->in[Q]) * sizeof(float);
}

static void add_gradients(gr_launch *l, const gr_call *call)
{
    gr_launch_operands(l, &call->in[LSE], 2); /* and D_OUT */
    gr_launch_scratch(l, call, 0);
}

static gr_status run_grad(const gr_call *call)
{
    const gr_operand *dq = &call->out[0], *dk = &call->out[1], *dv = &call->out[2];
    int save = (gr_gpu_address(dk) != 0) | (gr_gpu_address(dv) != 0) << 1;
    int64_t rows = gr_gpu_rows(&call->in[Q]);
    gr_launch l;
    begin_file(&l, call, "attention_dot");
    gr_launch_operand(&l, &call->in[OUT]);
    gr_launch_operand(&l, &call->in[D_OUT]);
    gr_launch_scratch(&l, call, 0);
    gr_launch_long(&l, rows);
    gr_status s = gr_launch_items(&l, rows);
    if (s == GR_OK && gr_gpu_address(dq)) {
        begin(&l, call, "attention_dq");
        add_gradients(&l, call);
        gr_launch_operand(&l, dq);
        s = gr_launch_groups(&l, rows);
    }
    if (s != GR_OK || !save)
        return s;
    begin(&l, call, "attention_dkv");
    add_gradients(&l, call);
    gr_launch_operands(&l, dk, 2);
    gr_launch_int(&l, save);
    return gr_launch_groups(&l, gr_gpu_rows(&call->in[K]));
}

const gr_kernel gr_gpu_attention_kernels[] = {
    {.op = &gr_op_attention, .supports = supports, .strided = 7, .run = run_attention},
    {.op = &gr_op_attention_grad, .supports = gr_gpu_any, .strided = 7, .scratch = grad_scratch, .run = run_grad},
    {0},
};
