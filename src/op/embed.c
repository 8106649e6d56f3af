/* Looking up and adding to rows by index. */
#include "op/op.h"

#include "base/dtype.h"

#include <string.h>

/* index [I..], rows [N, R..]: [I.., R..] */
static gr_status rows_spec(const gr_tensor *node, const gr_spec *rows, const gr_spec *index, gr_spec *out)
{
    if (rows->ndim < (gr_dtype_is_block(rows->dtype) ? 2 : 1))
        return gr_op_fail(node, "needs at least %d dim%s", rows->ndim + 1, rows->ndim ? "s" : "");
    if (index->ndim + rows->ndim - 1 > GR_MAX_DIMS)
        return gr_op_fail(node, "the result would have %d dims", index->ndim + rows->ndim - 1);
    *out = (gr_spec){.dtype = rows->dtype, .ndim = index->ndim + rows->ndim - 1};
    memcpy(out->shape, index->shape, (size_t)index->ndim * sizeof *out->shape);
    memcpy(out->shape + index->ndim, rows->shape + 1, (size_t)(rows->ndim - 1) * sizeof *out->shape);
    return GR_OK;
}

static gr_status infer_gather(const gr_tensor *node, gr_spec *out)
{
    gr_status s = gr_expect_index(node, 1);
    return s == GR_OK ? rows_spec(node, gr_in(node, 0), gr_in(node, 1), out) : s;
}

static gr_status infer_scatter_add(const gr_tensor *node, gr_spec *out)
{
    gr_spec src;
    gr_status s = gr_expect_index(node, 1);
    if (s == GR_OK)
        s = gr_expect_dtype(node, 2, gr_in(node, 0)->dtype);
    if (s == GR_OK)
        s = rows_spec(node, gr_in(node, 0), gr_in(node, 1), &src);
    if (s == GR_OK)
        s = gr_expect_shape(node, 2, src.ndim, src.shape);
    *out = *gr_in(node, 0);
    return s;
}

/* A row that is looked up often is a long sum: it is rounded once. */
static gr_status grad_gather(gr_grad_args *a)
{
    const gr_tensor *x = a->node->in[0];
    gr_dtype wide = gr_accumulator(x->spec.dtype);
    gr_tensor *zeros = gr_fill(x->graph, wide, x->spec.ndim, x->spec.shape, 0);
    a->d_in[0] = gr_cast(gr_scatter_add(zeros, a->node->in[1], gr_cast(a->d_out[0], wide)), x->spec.dtype);
    return gr_built(a->node, a->d_in[0]);
}

static gr_status grad_scatter_add(gr_grad_args *a)
{
    if (a->need[0])
        a->d_in[0] = a->d_out[0];
    if (a->need[2])
        a->d_in[2] = gr_gather(a->d_out[0], a->node->in[1]);
    return gr_graph_check(a->node->graph);
}

static bool sample_gather(int i, gr_sample *s)
{
    if (i == 3)
        gr_sample_float(s, -1, 1, GR_DIMS(6, 2, 5));
    else if (i < 3)
        gr_sample_float(s, -1, 1, GR_DIMS(9, 33));
    else if (!gr_sample_blocks(s, i - 4, 0, 9, 300))
        return false;
    if (i == 0 || i > 3)
        gr_sample_index(s, 0, 9, GR_DIMS(4));
    else if (i == 1)
        gr_sample_index(s, 0, 9, GR_DIMS(3, 7));
    else if (i == 2)
        gr_sample_index(s, 0, 9, GR_DIMS(0));
    else
        gr_sample_index(s, 0, 6, GR_DIMS(2, 2));
    return true;
}

static bool sample_scatter_add(int i, gr_sample *s)
{
    static const int64_t counts[] = {4, 50, 0};
    if (i >= 3)
        return false;
    gr_sample_float(s, -1, 1, GR_DIMS(9, 33));
    gr_sample_index(s, 0, 9, 1, &counts[i]);
    gr_sample_float(s, -1, 1, 2, (int64_t[]){counts[i], 33});
    return true;
}

static gr_status compose_embedding(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    (void)node;
    out[0] = gr_gather(in[0], in[1]);
    return gr_built(in[0], out[0]);
}

static gr_status infer_embedding(const gr_tensor *node, gr_spec *out)
{
    if (gr_in(node, 0)->ndim != 2)
        return gr_op_fail(node, "the table must be [V, C]");
    return infer_gather(node, out);
}

static bool sample_embedding(int i, gr_sample *s)
{
    return sample_gather(i < 3 ? i : i + 1, s);
}

/* Of the table only the rows that are asked for. */
static void cost_gather(const gr_tensor *node, double *flops, double *bytes)
{
    const gr_spec *index = gr_in(node, 1);
    (void)flops;
    *bytes = (double)gr_dtype_size(index->dtype, gr_spec_count(index)) +
             2 * (double)gr_dtype_size(node->spec.dtype, gr_spec_count(&node->spec));
}

static void cost_scatter_add(const gr_tensor *node, double *flops, double *bytes)
{
    (void)bytes;
    *flops = (double)gr_spec_count(gr_in(node, 2));
}

const gr_op gr_op_gather = {
    .name = "gather",
    .doc = "x [N, ..], index [I..]: rows x[index], [I.., ..]; an index outside [0, N) is an error at run time",
    .inputs = 2,
    .outputs = 1,
    .flags = GR_OP_BLOCKS,
    .precision = GR_WIDEST,
    .infer = infer_gather,
    .grad = grad_gather,
    .sample = sample_gather,
    .cost = cost_gather,
};

const gr_op gr_op_scatter_add = {
    .name = "scatter_add",
    .doc = "base [N, ..], index [I..], src [I.., ..]: base with src added to rows base[index], in the order of index",
    .inputs = 3,
    .outputs = 1,
    .precision = GR_HIGH,
    .infer = infer_scatter_add,
    .grad = grad_scatter_add,
    .sample = sample_scatter_add,
    .cost = cost_scatter_add,
};

const gr_op gr_op_embedding = {
    .name = "embedding",
    .doc = "weight [V, C], ids [..]: rows of weight, [.., C] (torch.nn.Embedding)",
    .inputs = 2,
    .outputs = 1,
    .flags = GR_OP_BLOCKS,
    .precision = GR_WIDEST,
    .infer = infer_embedding,
    .grad = grad_gather,
    .compose = compose_embedding,
    .sample = sample_embedding,
    .cost = cost_gather,
};

gr_tensor *gr_gather(gr_tensor *x, gr_tensor *index)
{
    return gr_binary(&gr_op_gather, x, index);
}

gr_tensor *gr_scatter_add(gr_tensor *base, gr_tensor *index, gr_tensor *src)
{
    return gr_ternary(&gr_op_scatter_add, base, index, src);
}

gr_tensor *gr_embedding(gr_tensor *weight, gr_tensor *ids)
{
    return gr_binary(&gr_op_embedding, weight, ids);
}
