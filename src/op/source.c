/* Where values come from: inputs, constants, fills, and the random numbers. gr_param stands with the store. */
#include "op/attr.h"
#include "op/op.h"

#include "base/dtype.h"

#include <string.h>

/* All attributes of this family begin with the spec of what they make. */
static gr_status infer_spec_attr(const gr_tensor *node, gr_spec *out)
{
    *out = *(const gr_spec *)node->attr;
    if (!gr_dtype_exists(out->dtype))
        return gr_op_fail(node, "there is no dtype %d", (int)out->dtype);
    return GR_OK;
}

static gr_status infer_param(const gr_tensor *node, gr_spec *out)
{
    *out = ((const gr_param_attr *)node->attr)->spec;
    return GR_OK;
}

static gr_status infer_random(const gr_tensor *node, gr_spec *out)
{
    gr_status s = gr_expect_dtype(node, 0, GR_I64);
    if (s == GR_OK)
        s = gr_expect_shape(node, 0, 0, NULL);
    if (s == GR_OK)
        s = infer_spec_attr(node, out);
    return s != GR_OK || gr_is_float(out->dtype) ? s : gr_op_fail(node, "makes floating-point numbers only");
}

static gr_spec spec_of(gr_dtype dtype, int ndim, const int64_t *shape)
{
    gr_spec s = gr_spec_make(dtype, ndim, shape);
    s.ndim = ndim > 0 && !shape ? -1 : ndim; /* kept even when it is too large, so that the node is refused */
    return s;
}

const gr_op gr_op_input = {
    .name = "input",
    .doc = "a value given at every run",
    .outputs = 1,
    .attr_size = sizeof(gr_input_attr),
    .flags = GR_OP_BOUND | GR_OP_BLOCKS,
    .precision = GR_HIGH,
    .infer = infer_spec_attr,
    .no_grad = "nothing lies before it",
};

gr_tensor *gr_input(gr_graph *g, const char *name, gr_dtype dtype, int ndim, const int64_t *shape)
{
    if (gr_lacks_made(g, "gr_input: g"))
        return NULL;
    if (gr_lacks(name, "gr_input: name"))
        return gr_graph_fail(g);
    gr_input_attr a = {.spec = spec_of(dtype, ndim, shape)};
    for (size_t i = 0; i < g->n; i++)
        a.index += g->nodes[i]->op == &gr_op_input;
    return gr_name(gr_node(g, &gr_op_input, NULL, 0, &a), "%s", name);
}

const gr_op gr_op_param = {
    .name = "param",
    .doc = "a tensor of a store",
    .outputs = 1,
    .attr_size = sizeof(gr_param_attr),
    .flags = GR_OP_BOUND | GR_OP_STATE | GR_OP_BLOCKS,
    .precision = GR_HIGH,
    .infer = infer_param,
    .no_grad = "nothing lies before it",
};

const gr_op gr_op_constant = {
    .name = "constant",
    .doc = "fixed values",
    .outputs = 1,
    .attr_size = sizeof(gr_constant_attr),
    .flags = GR_OP_BOUND | GR_OP_BLOCKS,
    .precision = GR_HIGH,
    .infer = infer_spec_attr,
    .no_grad = "nothing lies before it",
};

gr_tensor *gr_constant(gr_graph *g, gr_dtype dtype, int ndim, const int64_t *shape, const void *data)
{
    if (gr_lacks_made(g, "gr_constant: g"))
        return NULL;
    gr_constant_attr a = {.spec = spec_of(dtype, ndim, shape)};
    size_t bytes;
    if (!gr_dtype_exists(dtype) || a.spec.ndim < 0 || ndim > GR_MAX_DIMS ||
        !gr_dtype_shape_size(dtype, ndim, a.spec.shape, &bytes))
        return gr_node(g, &gr_op_constant, NULL, 0, &a); /* which says why not */
    void *copy = gr_graph_alloc(g, bytes);
    if (!copy)
        return NULL;
    if (bytes && gr_lacks(data, "gr_constant: data"))
        return gr_graph_fail(g);
    if (bytes)
        memcpy(copy, data, bytes);
    a.data = copy;
    return gr_node(g, &gr_op_constant, NULL, 0, &a);
}

static bool sample_fill(int i, gr_sample *s)
{
    int ndim;
    const int64_t *shape;
    if (!gr_sample_shape(i, &ndim, &shape))
        return false;
    *(gr_fill_attr *)(void *)s->attr.bytes = (gr_fill_attr){gr_spec_make(GR_F32, ndim, shape), 1.5};
    return true;
}

const gr_op gr_op_fill = {
    .name = "fill",
    .doc = "every element the same value",
    .outputs = 1,
    .attr_size = sizeof(gr_fill_attr),
    .precision = GR_WIDEST,
    .infer = infer_spec_attr,
    .no_grad = "nothing lies before it",
    .sample = sample_fill,
};

gr_tensor *gr_fill(gr_graph *g, gr_dtype dtype, int ndim, const int64_t *shape, double value)
{
    if (gr_lacks_made(g, "gr_fill: g"))
        return NULL;
    return gr_node(g, &gr_op_fill, NULL, 0, &(gr_fill_attr){spec_of(dtype, ndim, shape), value});
}

static bool sample_iota(int i, gr_sample *s)
{
    static const int64_t n[] = {0, 1, 7, 300};
    if (i >= 4)
        return false;
    *(gr_fill_attr *)(void *)s->attr.bytes = (gr_fill_attr){gr_spec_make(i % 2 ? GR_F32 : GR_I64, 1, &n[i]), 0};
    return true;
}

const gr_op gr_op_iota = {
    .name = "iota",
    .doc = "[n]: 0, 1, 2, ...",
    .outputs = 1,
    .attr_size = sizeof(gr_fill_attr),
    .precision = GR_HIGH,
    .infer = infer_spec_attr,
    .no_grad = "nothing lies before it",
    .sample = sample_iota,
};

gr_tensor *gr_iota(gr_graph *g, gr_dtype dtype, int64_t n)
{
    if (gr_lacks_made(g, "gr_iota: g"))
        return NULL;
    return gr_node(g, &gr_op_iota, NULL, 0, &(gr_fill_attr){spec_of(dtype, 1, &n), 0});
}

static bool sample_random(int i, gr_sample *s)
{
    int ndim;
    const int64_t *shape;
    if (!gr_sample_shape(i, &ndim, &shape))
        return false;
    gr_sample_index(s, 0, 1000, 0, NULL);
    *(gr_random_attr *)(void *)s->attr.bytes = (gr_random_attr){gr_spec_make(GR_F32, ndim, shape), (uint32_t)i};
    return true;
}

const gr_op gr_op_uniform = {
    .name = "uniform",
    .doc = "seed i64 []: uniform in [0, 1) with 24 bits, element i = word i%4 of Philox 4x32-10 block i/4",
    .inputs = 1,
    .outputs = 1,
    .attr_size = sizeof(gr_random_attr),
    .precision = GR_HIGH,
    .infer = infer_random,
    .no_grad = "random numbers depend on nothing differentiable",
    .sample = sample_random,
};

const gr_op gr_op_normal = {
    .name = "normal",
    .doc = "seed i64 []: standard normal by Box-Muller from the words of Philox 4x32-10",
    .inputs = 1,
    .outputs = 1,
    .attr_size = sizeof(gr_random_attr),
    .precision = GR_HIGH,
    .infer = infer_random,
    .no_grad = "random numbers depend on nothing differentiable",
    .sample = sample_random,
};

static gr_tensor *random_node(const gr_op *op, gr_tensor *seed, uint32_t stream, gr_spec spec)
{
    return seed ? gr_node(seed->graph, op, &seed, 1, &(gr_random_attr){spec, stream}) : NULL;
}

gr_tensor *gr_uniform(gr_tensor *seed, uint32_t stream, gr_dtype dtype, int ndim, const int64_t *shape)
{
    return random_node(&gr_op_uniform, seed, stream, spec_of(dtype, ndim, shape));
}

gr_tensor *gr_normal(gr_tensor *seed, uint32_t stream, gr_dtype dtype, int ndim, const int64_t *shape)
{
    return random_node(&gr_op_normal, seed, stream, spec_of(dtype, ndim, shape));
}

/* ---- dropout ------------------------------------------------------------------------------------------------ */

static gr_status infer_dropout(const gr_tensor *node, gr_spec *out)
{
    const gr_dropout_attr *a = node->attr;
    if (!(a->p >= 0 && a->p < 1))
        return gr_op_fail(node, "p is %g, expected 0 <= p < 1", a->p);
    gr_status s = gr_expect_dtype(node, 1, GR_I64);
    if (s == GR_OK)
        s = gr_expect_shape(node, 1, 0, NULL);
    return s == GR_OK ? gr_infer_like_float(node, out) : s;
}

static gr_status compose_dropout(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    const gr_dropout_attr *a = node->attr;
    const gr_spec *x = &in[0]->spec;
    gr_tensor *u = gr_uniform(in[1], a->stream, GR_F32, x->ndim, x->shape);
    gr_tensor *kept = gr_scale(in[0], 1 / (1 - a->p));
    out[0] = gr_select(gr_ge(u, gr_scalar_like(u, a->p)), kept, gr_scalar_like(in[0], 0));
    return gr_built(in[0], out[0]);
}

static gr_status grad_dropout(gr_grad_args *a)
{
    const gr_dropout_attr *d = a->node->attr;
    a->d_in[0] = gr_dropout(a->d_out[0], d->p, a->node->in[1], d->stream);
    return gr_built(a->node, a->d_in[0]);
}

static bool sample_dropout(int i, gr_sample *s)
{
    int ndim;
    const int64_t *shape;
    if (!gr_sample_shape(i, &ndim, &shape))
        return false;
    gr_sample_float(s, -2, 2, ndim, shape);
    gr_sample_index(s, 0, 1000, 0, NULL);
    *(gr_dropout_attr *)(void *)s->attr.bytes = (gr_dropout_attr){0.1 * i, (uint32_t)i};
    return true;
}

const gr_op gr_op_dropout = {
    .name = "dropout",
    .doc = "x / (1 - p) where uniform(seed, stream) >= p, else 0 (Srivastava et al. 2014); saves nothing, the mask is "
           "drawn again for the gradient",
    .inputs = 2,
    .outputs = 1,
    .attr_size = sizeof(gr_dropout_attr),
    .flags = GR_OP_ELEMENTWISE,
    .precision = GR_INSIDE,
    .infer = infer_dropout,
    .grad = grad_dropout,
    .compose = compose_dropout,
    .sample = sample_dropout,
};

gr_tensor *gr_dropout(gr_tensor *x, double p, gr_tensor *seed, uint32_t stream)
{
    gr_tensor *in[] = {x, seed};
    return x && seed ? gr_node(x->graph, &gr_op_dropout, in, 2, &(gr_dropout_attr){p, stream}) : NULL;
}
