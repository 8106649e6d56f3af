/* Ops that move elements without computing. Those that only look at memory in another shape are views. */
#include "op/attr.h"
#include "op/op.h"

#include "base/dtype.h"

#include <string.h>

/* Does a cut at `at` of dim `axis` go through blocks? They lie along the last dim. */
static bool cuts_block(const gr_spec *x, int axis, int64_t at)
{
    return axis == x->ndim - 1 && at % gr_dtype_get(x->dtype)->block != 0;
}

static gr_status fail_cut(const gr_tensor *node, int64_t at)
{
    const gr_dtype_info *d = gr_dtype_get(gr_in(node, 0)->dtype);
    return gr_op_fail(node, "a cut at %lld goes through a block of %s, which holds %d values\ncast it first",
                      (long long)at, d->name, d->block);
}

/* ---- reshape ------------------------------------------------------------------------------------------------ */

static gr_status infer_reshape(const gr_tensor *node, gr_spec *out)
{
    const gr_shape_attr *a = node->attr;
    const gr_spec *x = gr_in(node, 0);
    if (a->ndim < 0 || a->ndim > GR_MAX_DIMS)
        return gr_op_fail(node, "%d dims asked for, at most %d are possible", a->ndim, GR_MAX_DIMS);
    *out = gr_spec_make(x->dtype, a->ndim, a->shape);
    int64_t known = 1;
    int open = -1;
    for (int i = 0; i < a->ndim; i++) {
        if (a->shape[i] == -1 && open < 0)
            open = i;
        else
            known *= a->shape[i];
    }
    int64_t count = gr_spec_count(x);
    if (open >= 0 && known > 0 && count % known == 0) {
        out->shape[open] = count / known;
        known = count;
    }
    char text[160];
    if (known != count)
        return gr_op_fail(node, "cannot become %s: other number of elements", gr_spec_text(out, text, sizeof text));
    return GR_OK;
}

/* Strides of the new shape over the same memory. Dims are matched in groups of equal size; within a group of old dims
 * the memory must run on without a gap. */
static bool view_reshape(const gr_tensor *node, const gr_layout *in, gr_layout *out)
{
    *out = (gr_layout){.offset = in->offset, .ndim = node->spec.ndim};
    memcpy(out->shape, node->spec.shape, sizeof out->shape);
    if (gr_spec_count(&node->spec) == 0)
        return true;
    int i = in->ndim - 1, o = out->ndim - 1;
    while (o >= 0) {
        while (i >= 0 && in->shape[i] == 1)
            i--;
        if (out->shape[o] == 1 || i < 0) {
            out->stride[o--] = 0;
            continue;
        }
        int64_t have = in->shape[i], stride = in->stride[i], taken = 1;
        while (o >= 0 && (taken < have || out->shape[o] == 1)) {
            out->stride[o] = stride * taken;
            taken *= out->shape[o--];
            while (taken > have) { /* the next old dim must continue where this one ends */
                do
                    i--;
                while (i >= 0 && in->shape[i] == 1);
                if (i < 0 || in->stride[i] != stride * have)
                    return false;
                have *= in->shape[i];
            }
        }
        if (taken != have)
            return false;
        i--;
    }
    return true;
}

static gr_status grad_reshape(gr_grad_args *a)
{
    const gr_spec *x = &a->node->in[0]->spec;
    a->d_in[0] = gr_reshape(a->d_out[0], x->ndim, x->shape);
    return gr_built(a->node, a->d_in[0]);
}

static bool sample_reshape(int i, gr_sample *s)
{
    static const struct {
        int na, nb;
        int64_t a[3];
        gr_shape_attr b;
    } calls[] = {{2, 3, {6, 4}, {3, {2, 3, 4}}},
                 {3, 1, {2, 3, 4}, {1, {24}}},
                 {0, 2, {0}, {2, {1, 1}}},
                 {2, 2, {0, 3}, {2, {3, 0}}},
                 {2, 2, {6, 4}, {2, {-1, 3}}}};
    if (i >= (int)(sizeof calls / sizeof calls[0]))
        return false;
    gr_sample_float(s, -1, 1, calls[i].na, calls[i].a);
    *(gr_shape_attr *)(void *)s->attr.bytes = calls[i].b;
    return true;
}

const gr_op gr_op_reshape = {
    .name = "reshape",
    .doc = "the same elements, row-major, under another shape; one dim may be -1",
    .inputs = 1,
    .outputs = 1,
    .attr_size = sizeof(gr_shape_attr),
    .flags = GR_OP_BLOCKS,
    .view = view_reshape,
    .precision = GR_WIDEST,
    .infer = infer_reshape,
    .grad = grad_reshape,
    .sample = sample_reshape,
};

static gr_shape_attr shape_attr(int ndim, const int64_t *shape)
{
    gr_shape_attr a = {.ndim = ndim};
    for (int i = 0; shape && i < ndim && i < GR_MAX_DIMS; i++)
        a.shape[i] = shape[i];
    a.ndim = ndim > 0 && !shape ? -1 : ndim; /* refused with the node */
    return a;
}

gr_tensor *gr_reshape(gr_tensor *x, int ndim, const int64_t *shape)
{
    if (!x)
        return NULL;
    gr_shape_attr a = shape_attr(ndim, shape);
    if (a.ndim == x->spec.ndim && memcmp(a.shape, x->spec.shape, (size_t)ndim * sizeof a.shape[0]) == 0)
        return x;
    return gr_node(x->graph, &gr_op_reshape, &x, 1, &a);
}

/* ---- permute ------------------------------------------------------------------------------------------------ */

static gr_status infer_permute(const gr_tensor *node, gr_spec *out)
{
    const gr_permute_attr *a = node->attr;
    const gr_spec *x = gr_in(node, 0);
    unsigned seen = 0;
    *out = *x;
    for (int i = 0; i < x->ndim; i++) {
        int from = a->order[i];
        if (from < 0 || from >= x->ndim || (seen >> from & 1))
            return gr_op_fail(node, "the order must name each of the %d dims once", x->ndim);
        seen |= 1u << from;
        out->shape[i] = x->shape[from];
    }
    if (gr_dtype_is_block(x->dtype) && a->order[x->ndim - 1] != x->ndim - 1)
        return gr_op_fail(node, "the values of %s share blocks along the last dim, which must stay last\ncast it first",
                          gr_dtype_name(x->dtype));
    return GR_OK;
}

static bool view_permute(const gr_tensor *node, const gr_layout *in, gr_layout *out)
{
    const gr_permute_attr *a = node->attr;
    *out = *in;
    for (int i = 0; i < in->ndim; i++) {
        out->shape[i] = in->shape[a->order[i]];
        out->stride[i] = in->stride[a->order[i]];
    }
    return true;
}

static gr_status grad_permute(gr_grad_args *a)
{
    const gr_permute_attr *p = a->node->attr;
    int back[GR_MAX_DIMS] = {0};
    for (int i = 0; i < a->node->spec.ndim; i++)
        back[p->order[i]] = i;
    a->d_in[0] = gr_permute(a->d_out[0], back);
    return gr_built(a->node, a->d_in[0]);
}

static bool sample_permute(int i, gr_sample *s)
{
    static const gr_permute_attr orders[] = {{{1, 0, 2}}, {{2, 0, 1}}, {{0, 2, 1}}};
    if (i >= 3)
        return false;
    gr_sample_float(s, -1, 1, GR_DIMS(3, 4, 5));
    *(gr_permute_attr *)(void *)s->attr.bytes = orders[i];
    return true;
}

const gr_op gr_op_permute = {
    .name = "permute",
    .doc = "output dim i is input dim order[i]",
    .inputs = 1,
    .outputs = 1,
    .attr_size = sizeof(gr_permute_attr),
    .flags = GR_OP_BLOCKS,
    .view = view_permute,
    .precision = GR_WIDEST,
    .infer = infer_permute,
    .grad = grad_permute,
    .sample = sample_permute,
};

gr_tensor *gr_permute(gr_tensor *x, const int *order)
{
    gr_permute_attr a = {{0}};
    if (!x)
        return NULL;
    if (gr_lacks(order, "gr_permute: order"))
        return gr_graph_fail(x->graph);
    memcpy(a.order, order, (size_t)x->spec.ndim * sizeof *order);
    return gr_node(x->graph, &gr_op_permute, &x, 1, &a);
}

/* ---- slice and split ---------------------------------------------------------------------------------------- */

static gr_status infer_slice(const gr_tensor *node, gr_spec *out)
{
    const gr_slice_attr *a = node->attr;
    *out = *gr_in(node, 0);
    if (a->axis < 0 || a->axis >= out->ndim)
        return gr_op_fail(node, "there is no dim %d", a->axis);
    if (a->start < 0 || a->stop < a->start || a->stop > out->shape[a->axis])
        return gr_op_fail(node, "[%lld, %lld) is not within dim %d", (long long)a->start, (long long)a->stop, a->axis);
    if (cuts_block(out, a->axis, a->start) || cuts_block(out, a->axis, a->stop))
        return fail_cut(node, cuts_block(out, a->axis, a->start) ? a->start : a->stop);
    out->shape[a->axis] = a->stop - a->start;
    return GR_OK;
}

static bool view_slice(const gr_tensor *node, const gr_layout *in, gr_layout *out)
{
    const gr_slice_attr *a = node->attr;
    *out = *in;
    out->shape[a->axis] = a->stop - a->start;
    out->offset += a->start * in->stride[a->axis];
    return true;
}

static gr_status grad_slice(gr_grad_args *a)
{
    const gr_slice_attr *s = a->node->attr;
    int64_t size = a->node->in[0]->spec.shape[s->axis];
    a->d_in[0] = gr_pad(a->d_out[0], s->axis, s->start, size - s->stop, 0);
    return gr_built(a->node, a->d_in[0]);
}

static bool sample_slice(int i, gr_sample *s)
{
    static const gr_slice_attr cuts[] = {{0, 1, 3}, {1, 0, 5}, {1, 2, 2}, {2, 1, 7}};
    if (i >= 4)
        return false;
    gr_sample_float(s, -1, 1, GR_DIMS(3, 5, 7));
    *(gr_slice_attr *)(void *)s->attr.bytes = cuts[i];
    return true;
}

const gr_op gr_op_slice = {
    .name = "slice",
    .doc = "elements [start, stop) of one dim",
    .inputs = 1,
    .outputs = 1,
    .attr_size = sizeof(gr_slice_attr),
    .flags = GR_OP_BLOCKS,
    .view = view_slice,
    .precision = GR_WIDEST,
    .infer = infer_slice,
    .grad = grad_slice,
    .sample = sample_slice,
};

gr_tensor *gr_slice(gr_tensor *x, int axis, int64_t start, int64_t stop)
{
    return x ? gr_node(x->graph, &gr_op_slice, &x, 1, &(gr_slice_attr){axis, start, stop}) : NULL;
}

static gr_status infer_split(const gr_tensor *node, gr_spec *out)
{
    const gr_split_attr *a = node->attr;
    const gr_spec *x = gr_in(node, 0);
    if (a->axis < 0 || a->axis >= x->ndim)
        return gr_op_fail(node, "there is no dim %d", a->axis);
    int64_t sum = 0;
    for (int k = 0; k < GR_MAX_OUTPUTS; k++) {
        out[k] = *x;
        out[k].shape[a->axis] = a->size[k];
        sum += a->size[k];
        if (cuts_block(x, a->axis, sum))
            return fail_cut(node, sum);
    }
    if (sum != x->shape[a->axis])
        return gr_op_fail(node, "the parts have %lld of dim %d's elements", (long long)sum, a->axis);
    return GR_OK;
}

static bool view_split(const gr_tensor *node, const gr_layout *in, gr_layout *out)
{
    const gr_split_attr *a = node->attr;
    int64_t at = 0;
    for (int k = 0; k < GR_MAX_OUTPUTS; k++) {
        out[k] = *in;
        out[k].shape[a->axis] = a->size[k];
        out[k].offset += at * in->stride[a->axis];
        at += a->size[k];
    }
    return true;
}

static gr_status grad_split(gr_grad_args *a)
{
    const gr_split_attr *s = a->node->attr;
    gr_tensor *d[GR_MAX_OUTPUTS];
    for (int k = 0; k < s->n; k++)
        d[k] = a->d_out[k] ? a->d_out[k] : gr_fill_like(a->out[k], 0);
    a->d_in[0] = gr_concat(d, s->n, s->axis);
    return gr_built(a->node, a->d_in[0]);
}

static bool sample_split(int i, gr_sample *s)
{
    static const gr_split_attr cuts[] = {{1, 3, {2, 2, 2}}, {0, 2, {1, 2}}, {1, 3, {5, 0, 1}}};
    if (i >= 3)
        return false;
    gr_sample_float(s, -1, 1, GR_DIMS(3, 6));
    *(gr_split_attr *)(void *)s->attr.bytes = cuts[i];
    return true;
}

const gr_op gr_op_split = {
    .name = "split",
    .doc = "one dim cut into parts of given sizes",
    .inputs = 1,
    .outputs = GR_MAX_OUTPUTS,
    .attr_size = sizeof(gr_split_attr),
    .flags = GR_OP_BLOCKS,
    .view = view_split,
    .precision = GR_WIDEST,
    .infer = infer_split,
    .grad = grad_split,
    .sample = sample_split,
};

bool gr_split(gr_tensor *x, int axis, const int64_t *sizes, int n, gr_tensor **out)
{
    if (gr_lacks(out, "gr_split: out"))
        return false;
    for (int k = 0; k < n; k++)
        out[k] = NULL;
    if (!x)
        return false;
    if (n < 1 || n > GR_MAX_OUTPUTS) {
        gr_fail(GR_ERR_ARGUMENT, "split: %d parts, 1 to %d are possible", n, GR_MAX_OUTPUTS);
        return gr_graph_fail(x->graph) != NULL;
    }
    if (gr_lacks(sizes, "gr_split: sizes"))
        return gr_graph_fail(x->graph) != NULL;
    gr_split_attr a = {.axis = axis, .n = n};
    memcpy(a.size, sizes, (size_t)n * sizeof *sizes);
    gr_tensor *node = gr_node(x->graph, &gr_op_split, &x, 1, &a);
    for (int k = 0; k < n && node; k++)
        out[k] = gr_output(node, k);
    return node != NULL;
}

/* ---- concat and pad ----------------------------------------------------------------------------------------- */

static gr_status infer_concat(const gr_tensor *node, gr_spec *out)
{
    int axis = ((const gr_axis_attr *)node->attr)->axis;
    *out = *gr_in(node, 0);
    if (axis < 0 || axis >= out->ndim)
        return gr_op_fail(node, "there is no dim %d", axis);
    for (int i = 1; i < node->n_in; i++) {
        const gr_spec *x = gr_in(node, i);
        bool same = x->dtype == out->dtype && x->ndim == out->ndim;
        for (int d = 0; same && d < x->ndim; d++)
            same = d == axis || x->shape[d] == out->shape[d];
        if (!same)
            return gr_op_fail(node, "input %d differs in more than dim %d", i, axis);
        out->shape[axis] += x->shape[axis];
    }
    return GR_OK;
}

static gr_status grad_concat(gr_grad_args *a)
{
    int axis = ((const gr_axis_attr *)a->node->attr)->axis;
    int64_t at = 0;
    for (int i = 0; i < a->node->n_in; i++) {
        int64_t size = a->node->in[i]->spec.shape[axis];
        if (a->need[i])
            a->d_in[i] = gr_slice(a->d_out[0], axis, at, at + size);
        at += size;
    }
    return gr_graph_check(a->node->graph);
}

static bool sample_concat(int i, gr_sample *s)
{
    if (i >= 3)
        return false;
    ((gr_axis_attr *)(void *)s->attr.bytes)->axis = i;
    gr_sample_float(s, -1, 1, 3, (int64_t[]){i == 0 ? 2 : 3, i == 1 ? 1 : 4, i == 2 ? 9 : 5});
    gr_sample_float(s, -1, 1, GR_DIMS(3, 4, 5));
    gr_sample_float(s, -1, 1, 3, (int64_t[]){i == 0 ? 0 : 3, i == 1 ? 2 : 4, i == 2 ? 1 : 5});
    return true;
}

const gr_op gr_op_concat = {
    .name = "concat",
    .doc = "tensors joined along one dim",
    .inputs = GR_MAX_INPUTS,
    .optional = ~1u,
    .outputs = 1,
    .attr_size = sizeof(gr_axis_attr),
    .flags = GR_OP_BLOCKS,
    .precision = GR_WIDEST,
    .infer = infer_concat,
    .grad = grad_concat,
    .sample = sample_concat,
};

gr_tensor *gr_concat(gr_tensor *const *x, int n, int axis)
{
    if (gr_lacks(x, "gr_concat: x"))
        return NULL;
    for (int i = 0; i < n; i++)
        if (!x[i])
            return NULL;
    return n < 1 ? NULL : gr_node(x[0]->graph, &gr_op_concat, x, n, &(gr_axis_attr){axis});
}

static gr_status infer_pad(const gr_tensor *node, gr_spec *out)
{
    const gr_pad_attr *a = node->attr;
    *out = *gr_in(node, 0);
    if (a->axis < 0 || a->axis >= out->ndim)
        return gr_op_fail(node, "there is no dim %d", a->axis);
    if (a->before < 0 || a->after < 0)
        return gr_op_fail(node, "cannot pad by less than 0");
    out->shape[a->axis] += a->before + a->after;
    return GR_OK;
}

static gr_status grad_pad(gr_grad_args *a)
{
    const gr_pad_attr *p = a->node->attr;
    int64_t size = a->node->in[0]->spec.shape[p->axis];
    a->d_in[0] = gr_slice(a->d_out[0], p->axis, p->before, p->before + size);
    return gr_built(a->node, a->d_in[0]);
}

static bool sample_pad(int i, gr_sample *s)
{
    static const gr_pad_attr pads[] = {{0, 1, 2, 0}, {1, 0, 3, -1.5}, {1, 4, 0, 2}};
    if (i >= 3)
        return false;
    gr_sample_float(s, -1, 1, GR_DIMS(3, 5));
    *(gr_pad_attr *)(void *)s->attr.bytes = pads[i];
    return true;
}

const gr_op gr_op_pad = {
    .name = "pad",
    .doc = "`before` and `after` elements of one value around one dim",
    .inputs = 1,
    .outputs = 1,
    .attr_size = sizeof(gr_pad_attr),
    .precision = GR_WIDEST,
    .infer = infer_pad,
    .grad = grad_pad,
    .sample = sample_pad,
};

gr_tensor *gr_pad(gr_tensor *x, int axis, int64_t before, int64_t after, double value)
{
    return x ? gr_node(x->graph, &gr_op_pad, &x, 1, &(gr_pad_attr){axis, before, after, value}) : NULL;
}

/* ---- expand ------------------------------------------------------------------------------------------------- */

static gr_status infer_expand(const gr_tensor *node, gr_spec *out)
{
    const gr_shape_attr *a = node->attr;
    const gr_spec *x = gr_in(node, 0);
    if (a->ndim < x->ndim || a->ndim > GR_MAX_DIMS)
        return gr_op_fail(node, "%d dims cannot become %d", x->ndim, a->ndim);
    *out = gr_spec_make(x->dtype, a->ndim, a->shape);
    int front = a->ndim - x->ndim;
    for (int i = 0; i < x->ndim; i++)
        if (x->shape[i] != 1 && x->shape[i] != a->shape[front + i])
            return gr_op_fail(node, "dim %d cannot become %lld", i, (long long)a->shape[front + i]);
    return GR_OK;
}

static bool view_expand(const gr_tensor *node, const gr_layout *in, gr_layout *out)
{
    *out = (gr_layout){.offset = in->offset, .ndim = node->spec.ndim};
    memcpy(out->shape, node->spec.shape, sizeof out->shape);
    int front = out->ndim - in->ndim;
    for (int i = 0; i < in->ndim; i++)
        out->stride[front + i] = in->shape[i] == 1 ? 0 : in->stride[i];
    return true;
}

static gr_status grad_expand(gr_grad_args *a)
{
    a->d_in[0] = a->d_out[0]; /* the walk sums the broadcast dims away */
    return GR_OK;
}

static bool sample_expand(int i, gr_sample *s)
{
    static const gr_shape_attr to[] = {{2, {3, 5}}, {3, {2, 3, 5}}};
    if (i >= 2)
        return false;
    gr_sample_float(s, -1, 1, GR_DIMS(3, 1));
    *(gr_shape_attr *)(void *)s->attr.bytes = to[i];
    return true;
}

const gr_op gr_op_expand = {
    .name = "expand",
    .doc = "broadcast to a larger shape, by NumPy's rules",
    .inputs = 1,
    .outputs = 1,
    .attr_size = sizeof(gr_shape_attr),
    .flags = GR_OP_BLOCKS,
    .view = view_expand,
    .precision = GR_WIDEST,
    .infer = infer_expand,
    .grad = grad_expand,
    .sample = sample_expand,
};

gr_tensor *gr_expand(gr_tensor *x, int ndim, const int64_t *shape)
{
    if (!x)
        return NULL;
    gr_shape_attr a = shape_attr(ndim, shape);
    return gr_node(x->graph, &gr_op_expand, &x, 1, &a);
}

/* ---- contiguous and detach ---------------------------------------------------------------------------------- */

static gr_status infer_same(const gr_tensor *node, gr_spec *out)
{
    *out = *gr_in(node, 0);
    return GR_OK;
}

static gr_status grad_same(gr_grad_args *a)
{
    a->d_in[0] = a->d_out[0];
    return GR_OK;
}

static bool view_same(const gr_tensor *node, const gr_layout *in, gr_layout *out)
{
    (void)node;
    *out = *in;
    return true;
}

static bool sample_same(int i, gr_sample *s)
{
    int ndim;
    const int64_t *shape;
    if (!gr_sample_shape(i, &ndim, &shape))
        return false;
    gr_sample_float(s, -1, 1, ndim, shape);
    return true;
}

const gr_op gr_op_contiguous = {
    .name = "contiguous",
    .doc = "a copy in row-major order; programs insert it where a kernel needs one",
    .inputs = 1,
    .outputs = 1,
    .flags = GR_OP_BLOCKS,
    .precision = GR_WIDEST,
    .infer = infer_same,
    .grad = grad_same,
    .sample = sample_same,
};

const gr_op gr_op_detach = {
    .name = "detach",
    .doc = "x, through which no gradient flows",
    .inputs = 1,
    .outputs = 1,
    .flags = GR_OP_STOP | GR_OP_BLOCKS,
    .view = view_same,
    .precision = GR_WIDEST,
    .infer = infer_same,
    .no_grad = "that is its purpose",
    .sample = sample_same,
};

gr_tensor *gr_detach(gr_tensor *x)
{
    return gr_unary(&gr_op_detach, x);
}
