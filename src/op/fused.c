/* The op that element-wise chains are merged into. It is made by the fuse pass, never by model code. */
#include "op/fused.h"

#include "op/attr.h"
#include "op/op.h"

#include <string.h>

/* ---- the program -------------------------------------------------------------------------------------------- */

static int number_of(const gr_op *op)
{
    const gr_op *o;
    for (int i = 0; (o = gr_op_list(i)); i++)
        if (o == op)
            return (op->flags & GR_OP_ELEMENTWISE) && op != &gr_op_fused ? i : -1;
    return -1;
}

const gr_op *gr_fused_op(const gr_fused_code *code)
{
    return gr_op_list(code->op);
}

const void *gr_fused_args(const gr_fused_attr *f, const gr_fused_code *code)
{
    return gr_fused_op(code)->attr_size ? &f->words[code->word] : NULL;
}

static size_t words_of(const gr_op *op)
{
    return (op->attr_size + sizeof(double) - 1) / sizeof(double);
}

bool gr_fused_holds(const gr_tensor *node)
{
    const gr_op *op = node->op;
    if (!(op->flags & GR_OP_ELEMENTWISE) || op->outputs != 1 || node->n_in != op->inputs || op->inputs < 1 ||
        op->inputs > GR_FUSED_OPERANDS || words_of(op) > GR_FUSED_WORDS || number_of(op) < 0)
        return false;
    for (int k = 0; k < node->n_in; k++)
        if (!node->in[k])
            return false;
    return true;
}

/* Arguments that are there already are shared. */
static int place_args(gr_fused_attr *f, const gr_op *op, const void *attr)
{
    double words[GR_FUSED_WORDS] = {0};
    size_t n = words_of(op);
    memcpy(words, attr, op->attr_size);
    for (size_t at = 0; at + n <= f->n_words; at++)
        if (memcmp(&f->words[at], words, n * sizeof *words) == 0)
            return (int)at;
    if (f->n_words + n > GR_FUSED_WORDS)
        return -1;
    memcpy(&f->words[f->n_words], words, n * sizeof *words);
    f->n_words = (uint8_t)(f->n_words + n);
    return f->n_words - (int)n;
}

gr_fused_code *gr_fused_append(gr_fused_attr *f, const gr_op *op, const void *attr)
{
    int word = op->attr_size ? place_args(f, op, attr) : 0;
    if (f->n_code == GR_FUSED_CODE || word < 0)
        return NULL;
    gr_fused_code *c = &f->code[f->n_code++];
    *c = (gr_fused_code){.op = (uint8_t)number_of(op), .dtype = GR_FUSED_LIKE, .word = (uint8_t)word};
    return c;
}

/* dropout's seed and select's condition say nothing about the dtype of the rest. */
static bool shares_dtype(const gr_op *op, int operand)
{
    return !(op == &gr_op_select && operand == 0) && !(op == &gr_op_dropout && operand == 1);
}

void gr_fused_dtypes(const gr_fused_attr *f, const gr_dtype *in, gr_dtype *dtype)
{
    for (int i = 0; i < f->n_in; i++)
        dtype[i] = in[i];
    for (int i = 0; i < f->n_code; i++) {
        const gr_fused_code *c = &f->code[i];
        const gr_op *op = gr_fused_op(c);
        gr_dtype common = GR_F32;
        for (int k = 0; k < op->inputs; k++)
            if (shares_dtype(op, k) && c->arg[k] < GR_FUSED_CONSTANT)
                common = dtype[c->arg[k]];
        dtype[GR_FUSED_RESULT + i] = c->dtype == GR_FUSED_LIKE ? common : (gr_dtype)c->dtype;
    }
}

void gr_fused_node_dtypes(const gr_tensor *node, gr_dtype *dtype)
{
    gr_dtype in[GR_FUSED_IN];
    for (int i = 0; i < node->n_in; i++)
        in[i] = node->in[i]->spec.dtype;
    gr_fused_dtypes(node->attr, in, dtype);
}

void gr_fused_operand_dtypes(const gr_fused_code *code, const gr_dtype *dtype, gr_dtype operand[GR_FUSED_OPERANDS])
{
    for (int k = 0; k < GR_FUSED_OPERANDS; k++)
        operand[k] = k < gr_fused_op(code)->inputs && code->arg[k] < GR_FUSED_CONSTANT ? dtype[code->arg[k]] : GR_F32;
}

void gr_fused_single(const gr_op *op, const void *attr, int n_in, gr_dtype dtype, gr_fused_attr *f)
{
    *f = (gr_fused_attr){.n_in = (uint8_t)n_in, .n_out = 1, .out = {GR_FUSED_RESULT}};
    gr_fused_code *c = gr_fused_append(f, op, attr);
    c->dtype = (uint8_t)dtype;
    for (int k = 0; k < n_in; k++)
        c->arg[k] = (uint8_t)k;
}

/* ---- shape rule --------------------------------------------------------------------------------------------- */

static gr_status check_code(const gr_tensor *node, const gr_fused_attr *f, int i)
{
    const gr_fused_code *c = &f->code[i];
    const gr_op *op = gr_fused_op(c);
    if (!op || number_of(op) < 0)
        return gr_op_fail(node, "step %d is no element-wise op", i);
    if (op->inputs > GR_FUSED_OPERANDS || c->word + words_of(op) > f->n_words)
        return gr_op_fail(node, "step %d (%s) has more operands or arguments than there are", i, op->name);
    bool known = false;
    for (int k = 0; k < op->inputs; k++) {
        int v = c->arg[k];
        bool there = v < f->n_in || (v >= GR_FUSED_RESULT && v < GR_FUSED_RESULT + i) ||
                     (v >= GR_FUSED_CONSTANT && v < GR_FUSED_CONSTANT + f->n_constants);
        if (!there)
            return gr_op_fail(node, "step %d (%s) reads value %d, which is not there", i, op->name, v);
        known = known || (shares_dtype(op, k) && v < GR_FUSED_CONSTANT);
    }
    return known ? GR_OK : gr_op_fail(node, "step %d (%s) has only constants", i, op->name);
}

static gr_dtype common_dtype(const gr_op *op, gr_tensor *const *operand)
{
    gr_dtype common = GR_F32;
    for (int k = 0; k < op->inputs; k++)
        if (operand[k] && shares_dtype(op, k))
            common = operand[k]->spec.dtype;
    return common;
}

/* Asks the op's own rule. operand[k] NULL: a constant, for which a scalar of the others' dtype stands in. */
static gr_status infer_step(gr_graph *g, const gr_op *op, const void *attr, gr_tensor *const *operand, gr_spec *out)
{
    gr_tensor constant = {.spec.dtype = common_dtype(op, operand)}, *in[GR_FUSED_OPERANDS] = {0};
    for (int k = 0; k < op->inputs; k++)
        in[k] = operand[k] ? operand[k] : &constant;
    gr_tensor step = {.op = op, .graph = g, .attr = attr, .n_in = op->inputs, .n_out = 1, .in = in};
    return op->infer(&step, out);
}

static gr_status infer_code(const gr_tensor *node, const gr_fused_attr *f, int i, gr_tensor *values)
{
    const gr_fused_code *c = &f->code[i];
    gr_tensor *operand[GR_FUSED_OPERANDS] = {0};
    for (int k = 0; k < gr_fused_op(c)->inputs; k++)
        operand[k] = c->arg[k] < GR_FUSED_CONSTANT ? &values[c->arg[k]] : NULL;
    gr_spec *out = &values[GR_FUSED_RESULT + i].spec;
    gr_status s = infer_step(node->graph, gr_fused_op(c), gr_fused_args(f, c), operand, out);
    gr_dtype said = c->dtype == GR_FUSED_LIKE ? common_dtype(gr_fused_op(c), operand) : (gr_dtype)c->dtype;
    if (s == GR_OK && out->dtype != said)
        return gr_op_fail(node, "step %d (%s) has another dtype than it says", i, gr_fused_op(c)->name);
    return s;
}

bool gr_fused_takes_constants(const gr_tensor *node, unsigned constants)
{
    gr_tensor *operand[GR_FUSED_OPERANDS] = {0};
    gr_spec out = {0};
    bool known = false;
    for (int k = 0; k < node->n_in; k++) {
        operand[k] = constants >> k & 1 ? NULL : node->in[k];
        known = known || (operand[k] && shares_dtype(node->op, k));
    }
    bool same = known && infer_step(node->graph, node->op, node->attr, operand, &out) == GR_OK;
    if (known && !same)
        gr_error_clear(); /* it was a question */
    return same && out.dtype == node->spec.dtype && gr_spec_same_shape(&out, &node->spec);
}

static gr_status check_attr(const gr_tensor *node, const gr_fused_attr *f)
{
    bool sizes = f->ndim <= GR_MAX_DIMS && f->n_in >= 1 && f->n_in <= GR_FUSED_IN && f->n_in == node->n_in &&
                 f->n_out >= 1 && f->n_out <= GR_FUSED_OUT && f->n_code >= 1 && f->n_code <= GR_FUSED_CODE &&
                 f->n_constants <= GR_FUSED_CONSTANTS && f->n_words <= GR_FUSED_WORDS;
    if (!sizes)
        return gr_op_fail(node, "the program's sizes are wrong");
    for (int k = 0; k < f->n_out; k++)
        if (f->out[k] < GR_FUSED_RESULT || f->out[k] >= GR_FUSED_RESULT + f->n_code)
            return gr_op_fail(node, "output %d is no result", k);
    return GR_OK;
}

static gr_status infer_fused(const gr_tensor *node, gr_spec *out)
{
    const gr_fused_attr *f = node->attr;
    gr_tensor values[GR_FUSED_CONSTANT] = {{0}};
    gr_status s = check_attr(node, f);
    for (int i = 0; s == GR_OK && i < node->n_in; i++) {
        if (!node->in[i])
            return gr_op_fail(node, "input %d is missing", i);
        values[i].spec = node->in[i]->spec;
    }
    gr_spec shape = gr_spec_make(GR_F32, f->ndim, f->shape);
    for (int i = 0; s == GR_OK && i < f->n_code; i++) {
        s = check_code(node, f, i);
        if (s == GR_OK)
            s = infer_code(node, f, i, values);
        gr_spec whole = shape;
        if (s == GR_OK)
            s = gr_broadcast(node, &values[GR_FUSED_RESULT + i].spec, &shape, &whole);
        if (s == GR_OK && !gr_spec_same_shape(&whole, &shape))
            return gr_op_fail(node, "step %d is larger than the result", i);
    }
    for (int k = 0; s == GR_OK && k < GR_FUSED_OUT; k++) {
        out[k] = k < f->n_out ? shape : gr_spec_make(GR_U8, 1, (const int64_t[]){0});
        if (k < f->n_out)
            out[k].dtype = values[f->out[k]].spec.dtype;
    }
    return s;
}

/* ---- composition -------------------------------------------------------------------------------------------- */

/* The ops it was made of, each a node again. */
static gr_status compose_fused(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    const gr_fused_attr *f = node->attr;
    gr_tensor *values[GR_FUSED_CONSTANT] = {0};
    gr_graph *g = in[0]->graph;
    for (int i = 0; i < f->n_in; i++)
        values[i] = in[i];
    for (int i = 0; i < f->n_code; i++) {
        const gr_fused_code *c = &f->code[i];
        const gr_op *op = gr_fused_op(c);
        gr_tensor *args[GR_FUSED_OPERANDS] = {0}, *like = NULL;
        for (int k = 0; k < op->inputs; k++)
            if (c->arg[k] < GR_FUSED_CONSTANT) {
                args[k] = values[c->arg[k]];
                like = shares_dtype(op, k) ? args[k] : like;
            }
        for (int k = 0; k < op->inputs; k++)
            if (c->arg[k] >= GR_FUSED_CONSTANT)
                args[k] = gr_scalar_like(like, f->constant[c->arg[k] - GR_FUSED_CONSTANT]);
        values[GR_FUSED_RESULT + i] = gr_node(g, op, args, op->inputs, gr_fused_args(f, c));
        if (!values[GR_FUSED_RESULT + i])
            return gr_graph_check(g);
    }
    for (int k = 0; k < f->n_out; k++) {
        gr_tensor *v = values[f->out[k]];
        gr_spec shape = gr_spec_make(GR_F32, f->ndim, f->shape);
        out[k] = gr_spec_same_shape(&v->spec, &shape) ? v : gr_expand(v, f->ndim, f->shape);
    }
    for (int k = f->n_out; k < GR_FUSED_OUT; k++)
        out[k] = gr_fill(g, GR_U8, 1, (const int64_t[]){0}, 0);
    return gr_graph_check(g);
}

/* ---- samples ------------------------------------------------------------------------------------------------ */

#define CODE(name, ...) add(f, &gr_op_##name, NULL, (uint8_t[GR_FUSED_OPERANDS]){__VA_ARGS__})
#define R(i) (GR_FUSED_RESULT + (i))
#define C(i) (GR_FUSED_CONSTANT + (i))

static gr_fused_code *add(gr_fused_attr *f, const gr_op *op, const void *attr, const uint8_t *arg)
{
    gr_fused_code *c = gr_fused_append(f, op, attr);
    memcpy(c->arg, arg, sizeof c->arg);
    return c;
}

static void constants(gr_fused_attr *f, int n, const double *value)
{
    f->n_constants = (uint8_t)n;
    memcpy(f->constant, value, (size_t)n * sizeof *value);
}

static void outputs(gr_fused_attr *f, int n, const uint8_t *out)
{
    f->n_out = (uint8_t)n;
    memcpy(f->out, out, (size_t)n);
}

/* gelu_tanh(x + bias), both kept for the gradient. */
static void sample_bias_gelu(gr_fused_attr *f)
{
    CODE(add, 0, 1);
    CODE(gelu_tanh, R(0));
    outputs(f, 2, (uint8_t[]){R(0), R(1)});
}

/* residual + dropout(x + bias) */
static void sample_residual(gr_fused_attr *f)
{
    CODE(add, 0, 1);
    add(f, &gr_op_dropout, &(gr_dropout_attr){0.25, 7}, (uint8_t[GR_FUSED_OPERANDS]){R(0), 3});
    CODE(add, 2, R(1));
    outputs(f, 1, (uint8_t[]){R(2)});
}

/* gelu_grad(x, (d + e) scale), with the mask of where it is positive */
static void sample_backward(gr_fused_attr *f)
{
    constants(f, 2, (double[]){0.5, 0});
    CODE(add, 1, 2);
    CODE(mul, R(0), C(0));
    CODE(gelu_grad, 0, R(1));
    CODE(gt, R(2), C(1))->dtype = GR_BOOL;
    CODE(select, R(3), R(2), C(1));
    outputs(f, 2, (uint8_t[]){R(4), R(3)});
}

/* AdamW's moments and the direction: values that are used several times */
static void sample_moments(gr_fused_attr *f)
{
    constants(f, 5, (double[]){0.875, 0.125, 0.9375, 0.0625, 0.25});
    CODE(mul, 1, C(0));
    CODE(mul, 0, C(1));
    CODE(add, R(0), R(1));
    CODE(mul, 0, 0);
    CODE(mul, R(3), C(3));
    CODE(mul, 2, C(2));
    CODE(add, R(5), R(4));
    CODE(abs, R(6));
    CODE(sqrt, R(7));
    CODE(add, R(8), C(4));
    CODE(div, R(2), R(9));
    outputs(f, 3, (uint8_t[]){R(10), R(2), R(6)});
}

static bool sample_fused(int i, gr_sample *s)
{
    static const int64_t shapes[][2] = {{3, 5}, {0, 4}, {2, 300}, {7, 64}, {40, 33}, {3, 1030}};
    static void (*const programs[])(gr_fused_attr *) = {sample_bias_gelu, sample_residual, sample_backward,
                                                        sample_moments};
    enum { SHAPES = sizeof shapes / sizeof shapes[0], PROGRAMS = sizeof programs / sizeof programs[0] };
    if (i >= SHAPES * PROGRAMS)
        return false;
    gr_fused_attr *f = (gr_fused_attr *)(void *)s->attr.bytes;
    const int64_t *shape = shapes[i / PROGRAMS];
    int which = i % PROGRAMS;
    *f = (gr_fused_attr){.ndim = 2, .shape = {shape[0], shape[1]}};
    gr_sample_float(s, -2, 2, 2, shape);
    if (which < 2) /* a bias */
        gr_sample_float(s, -1, 1, 1, shape + 1);
    else
        gr_sample_float(s, -1, 1, 2, shape);
    if (which > 0)
        gr_sample_float(s, -1, 1, 2, (int64_t[]){shape[0], which == 3 ? 1 : shape[1]});
    if (which == 1)
        gr_sample_index(s, 0, 1000, 0, NULL);
    f->n_in = (uint8_t)s->n_in;
    programs[which](f);
    return true;
}

/* A cast computes nothing. */
static void cost_fused(const gr_tensor *node, double *flops, double *bytes)
{
    const gr_fused_attr *f = node->attr;
    const gr_spec shape = gr_spec_make(GR_F32, f->ndim, f->shape);
    (void)bytes;
    *flops = 0;
    for (int i = 0; i < f->n_code; i++)
        *flops += gr_fused_op(&f->code[i]) == &gr_op_cast ? 0 : (double)gr_spec_count(&shape);
}

const gr_op gr_op_fused = {
    .name = "fused",
    .doc = "a chain of element-wise ops over broadcast inputs in one pass; up to 4 of its results are outputs, the "
           "others never touch memory",
    .inputs = GR_FUSED_IN,
    .optional = ~1u,
    .outputs = GR_FUSED_OUT,
    .attr_size = sizeof(gr_fused_attr),
    .flags = GR_OP_ELEMENTWISE,
    .precision = GR_INSIDE,
    .infer = infer_fused,
    .no_grad = "chains are fused after gradients are taken",
    .compose = compose_fused,
    .sample = sample_fused,
    .cost = cost_fused,
};
