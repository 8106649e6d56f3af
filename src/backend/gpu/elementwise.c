/* Element-wise ops, alone and in chains: a kernel is written for each chain, of the functions in kernels/elementwise.k.
 * What it is written for are ops and dtypes; shapes, strides and constants are arguments. */
#include "backend/gpu/families.h"

#include "base/dtype.h"
#include "base/mem.h"
#include "op/attr.h"
#include "op/op.h"

#include <stdio.h>
#include <string.h>

typedef struct chain {
    const gr_fused_attr *f;
    const gr_operand *out;
    bool guarded;
    gr_gpu_walk walk;
    gr_dtype dtype[GR_FUSED_VALUES];
} chain;

/* ---- what there is a function for --------------------------------------------------------------------------- */

static bool is_float(gr_dtype d)
{
    return gr_dtype_get(d)->is_float;
}

/* Of the functions for operands of this dtype. */
static const char *suffix(gr_dtype d)
{
    return d == GR_F64 ? "_d" : is_float(d) ? "" : "_i";
}

static bool has_function(const char *kind, const char *name, gr_dtype of)
{
    char text[64];
    snprintf(text, sizeof text, " %s_%s%s(", kind, name, suffix(of));
    return strstr(gr_gpu_source("elementwise"), text) != NULL;
}

/* The dtype that says which function: that of the operands, of which select's condition and dropout's seed are none. */
static gr_dtype kind_of(const gr_op *op, const gr_dtype *in)
{
    return in[op == &gr_op_select];
}

static bool has_dtype(const gr_device *d, gr_dtype dtype)
{
    return gr_gpu_dtype(dtype) && (dtype != GR_F64 || ((const gr_gpu *)d->own)->info.has_f64);
}

static bool can_do(const gr_device *d, const gr_op *op, const gr_dtype *in, int n, gr_dtype out)
{
    for (int i = 0; i < n; i++)
        if (!has_dtype(d, in[i]))
            return false;
    if (!has_dtype(d, out) || (op->attr_size && op != &gr_op_cast && op != &gr_op_dropout))
        return false;
    bool is_cast = op == &gr_op_cast;
    return has_function(is_cast ? "cast" : "op", is_cast ? gr_gpu_dtype(out) : op->name, kind_of(op, in));
}

static bool can_do_node(const gr_device *d, const gr_tensor *node)
{
    gr_dtype in[GR_FUSED_OPERANDS];
    if (!gr_fused_holds(node))
        return false;
    for (int i = 0; i < node->n_in; i++)
        in[i] = node->in[i]->spec.dtype;
    return can_do(d, node->op, in, node->n_in, node->spec.dtype);
}

/* Constants are floats, so what is computed beside them is, too. */
static bool passes(gr_dtype d)
{
    return gr_dtype_get(d)->is_f32_inside;
}

bool gr_gpu_fuses(const gr_device *d, const gr_tensor *node)
{
    if (!can_do_node(d, node) || !passes(node->spec.dtype))
        return false;
    for (int k = 0; k < node->n_in; k++) {
        bool is_seed = node->op == &gr_op_dropout && k == 1;
        if (!passes(node->in[k]->spec.dtype) && !is_seed && node->op != &gr_op_cast)
            return false;
    }
    return true;
}

static bool can_do_chain(const gr_device *d, const gr_tensor *node)
{
    const gr_fused_attr *f = node->attr;
    gr_dtype dtype[GR_FUSED_VALUES], operand[GR_FUSED_OPERANDS];
    gr_fused_node_dtypes(node, dtype);
    for (int i = 0; i < f->n_code; i++) {
        const gr_op *op = gr_fused_op(&f->code[i]);
        gr_fused_operand_dtypes(&f->code[i], dtype, operand);
        if (!can_do(d, op, operand, op->inputs, dtype[GR_FUSED_RESULT + i]))
            return false;
    }
    return true;
}

/* ---- the text ----------------------------------------------------------------------------------------------- */

/* Does step i bring arguments that no step before it has? */
static bool brings_args(const chain *c, int i)
{
    const gr_fused_code *code = c->f->code;
    bool brings = gr_fused_op(&code[i]) == &gr_op_dropout;
    for (int k = 0; k < i; k++)
        brings = brings && (gr_fused_op(&code[k]) != &gr_op_dropout || code[k].word != code[i].word);
    return brings;
}

/* At most 1,012 bytes of arguments; every device takes 1,024. */
static void write_head(gr_gpu_text *t, const chain *c)
{
    gr_gpu_print(t, "kernel chain(fault, int guarded, long n");
    for (int i = 0; i < c->f->n_in; i++)
        gr_gpu_print(t, ", in %s x%d", gr_gpu_dtype(c->dtype[i]), i);
    for (int k = 0; k < c->f->n_out; k++)
        gr_gpu_print(t, ", out %s y%d", gr_gpu_dtype(c->out[k].dtype), k);
    for (int k = 0; k < c->f->n_constants; k++)
        gr_gpu_print(t, ", float c%d", k);
    for (int i = 0; i < c->f->n_code; i++)
        if (brings_args(c, i))
            gr_gpu_print(t, ", int stream%d, float p%d", c->f->code[i].word, c->f->code[i].word);
    gr_gpu_print(t, ", int rank, dims shape");
    for (int i = 0; i < c->f->n_in; i++)
        gr_gpu_print(t, ", dims s%d", i);
    gr_gpu_print(t, ") group(256)\n{\n    if (guarded && FAILED)\n        return;\n");
}

/* Where the inputs' elements lie, from the last dim to the first; and what they are. */
static void write_inputs(gr_gpu_text *t, const chain *c)
{
    int n = c->f->n_in;
    gr_gpu_print(t, "    FOR_EACH(i, n) {\n        long rest = i");
    for (int i = 0; i < n; i++)
        gr_gpu_print(t, ", a%d = 0", i);
    gr_gpu_print(t, ";\n        for (int d = rank - 1; d > 0; d--) {\n"
                    "            const long at = rest %% shape.v[d];\n            rest /= shape.v[d];\n");
    for (int i = 0; i < n; i++)
        gr_gpu_print(t, "            a%d += at * s%d.v[d];\n", i, i);
    gr_gpu_print(t, "        }\n");
    for (int i = 0; i < n; i++) {
        const char *type = gr_gpu_dtype(c->dtype[i]);
        gr_gpu_print(t, "        const value(%s) v%d = load(%s, x%d, a%d + rest * s%d.v[0]);\n", type, i, type, i, i,
                     i);
    }
}

static void write_operand(gr_gpu_text *t, int v)
{
    gr_gpu_print(t, "%s%d", v < GR_FUSED_CONSTANT ? "v" : "c", v < GR_FUSED_CONSTANT ? v : v - GR_FUSED_CONSTANT);
}

static void write_step(gr_gpu_text *t, const chain *c, int i)
{
    const gr_fused_code *code = &c->f->code[i];
    const gr_op *op = gr_fused_op(code);
    bool is_cast = op == &gr_op_cast;
    const char *to = gr_gpu_dtype(c->dtype[GR_FUSED_RESULT + i]);
    gr_dtype in[GR_FUSED_OPERANDS];
    gr_fused_operand_dtypes(code, c->dtype, in);
    gr_gpu_print(t, "        const value(%s) v%d = %s_%s%s(", to, GR_FUSED_RESULT + i, is_cast ? "cast" : "op",
                 is_cast ? to : op->name, suffix(kind_of(op, in)));
    for (int k = 0; k < op->inputs; k++) {
        gr_gpu_print(t, k ? ", " : "");
        write_operand(t, code->arg[k]);
    }
    if (op == &gr_op_dropout)
        gr_gpu_print(t, ", (uint)stream%d, i, p%d", code->word, code->word);
    gr_gpu_print(t, ");\n");
}

static gr_gpu_text write_chain(const chain *c)
{
    gr_gpu_text t = {.status = GR_OK};
    write_head(&t, c);
    write_inputs(&t, c);
    for (int i = 0; i < c->f->n_code; i++)
        write_step(&t, c, i);
    for (int k = 0; k < c->f->n_out; k++)
        if (gr_gpu_address(&c->out[k]))
            gr_gpu_print(&t, "        store(%s, y%d, i, v%d);\n", gr_gpu_dtype(c->out[k].dtype), k, c->f->out[k]);
    gr_gpu_print(&t, "    }\n}\n");
    return t;
}

/* ---- the launch --------------------------------------------------------------------------------------------- */

static void add_args(gr_launch *l, const chain *c, const gr_operand *in, int64_t n)
{
    gr_launch_fault(l);
    gr_launch_int(l, c->guarded);
    gr_launch_long(l, n);
    for (int i = 0; i < c->f->n_in; i++)
        gr_launch_operand(l, &in[i]);
    for (int k = 0; k < c->f->n_out; k++)
        gr_launch_operand(l, &c->out[k]);
    for (int k = 0; k < c->f->n_constants; k++)
        gr_launch_float(l, c->f->constant[k]);
    for (int i = 0; i < c->f->n_code; i++)
        if (brings_args(c, i)) {
            const gr_dropout_attr *a = gr_fused_args(c->f, &c->f->code[i]);
            gr_launch_int(l, (int32_t)a->stream);
            gr_launch_float(l, a->p);
        }
    gr_launch_int(l, c->walk.ndim);
    gr_launch_dims(l, c->walk.ndim, c->walk.shape);
    for (int i = 0; i < c->f->n_in; i++)
        gr_launch_dims(l, c->walk.ndim, c->walk.stride[i]);
}

static gr_status run_chain(const gr_call *call, const gr_fused_attr *f, const gr_operand *in, const gr_operand *out,
                           bool guarded)
{
    chain c = {.f = f, .out = out, .guarded = guarded};
    const gr_operand *operands[GR_FUSED_IN];
    gr_dtype dtype[GR_FUSED_IN];
    gr_launch l;
    for (int i = 0; i < f->n_in; i++) {
        operands[i] = &in[i];
        dtype[i] = in[i].dtype;
    }
    gr_gpu_walk_over(&c.walk, &out[0], operands, f->n_in);
    gr_fused_dtypes(f, dtype, c.dtype);
    gr_gpu_text text = write_chain(&c);
    if (text.status != GR_OK) {
        gr_free(text.s);
        return text.status;
    }
    int64_t n = gr_operand_count(&out[0]);
    gr_launch_begin(&l, call, "elementwise", "chain");
    l.text = text.s;
    add_args(&l, &c, in, n);
    gr_status s = gr_launch_items(&l, n);
    gr_free(text.s);
    return s;
}

static gr_status run_fused(const gr_call *call)
{
    return run_chain(call, call->attr, call->in, call->out, false);
}

static gr_status run_single(const gr_call *call)
{
    return gr_gpu_apply(call, call->op, call->attr, call->in, call->n_in, &call->out[0], false);
}

gr_status gr_gpu_apply(const gr_call *call, const gr_op *op, const void *attr, const gr_operand *in, int n,
                       const gr_operand *out, bool guarded)
{
    gr_fused_attr f;
    gr_fused_single(op, attr, n, out->dtype, &f);
    return run_chain(call, &f, in, out, guarded);
}

const gr_kernel *gr_gpu_elementwise_find(const gr_device *d, const gr_tensor *node)
{
    enum { ALL = (1u << GR_FUSED_IN) - 1 };
    static const gr_kernel single = {.strided = 7, .in_place = 7, .run = run_single};
    static const gr_kernel fused = {.op = &gr_op_fused, .strided = ALL, .in_place = ALL, .run = run_fused};
    if (node->op == &gr_op_fused)
        return can_do_chain(d, node) ? &fused : NULL;
    return can_do_node(d, node) ? &single : NULL;
}
