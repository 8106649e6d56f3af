/* Shape rules, builders and samples that several op families share. */
#include "op/op.h"

#include "base/dtype.h"

#include <string.h>

/* ---- shape rules -------------------------------------------------------------------------------------------- */

bool gr_is_float(gr_dtype d)
{
    return gr_dtype_get(d)->is_float;
}

bool gr_is_index(gr_dtype d)
{
    return d == GR_I64 || d == GR_I32;
}

gr_status gr_broadcast(const gr_tensor *node, const gr_spec *a, const gr_spec *b, gr_spec *shape)
{
    int n = a->ndim > b->ndim ? a->ndim : b->ndim;
    gr_spec r = {.dtype = shape->dtype, .ndim = n};
    for (int i = 0; i < n; i++) {
        int ia = i - (n - a->ndim), ib = i - (n - b->ndim);
        int64_t da = ia >= 0 ? a->shape[ia] : 1, db = ib >= 0 ? b->shape[ib] : 1;
        if (da != db && da != 1 && db != 1)
            return gr_op_fail(node, "shapes do not broadcast: dim %d is %lld and %lld", i, (long long)da,
                              (long long)db);
        r.shape[i] = da == 1 ? db : da;
    }
    *shape = r;
    return GR_OK;
}

gr_status gr_infer_like_float(const gr_tensor *node, gr_spec *out)
{
    *out = *gr_in(node, 0);
    return gr_expect_float(node, 0);
}

void gr_reduce_spec(const gr_spec *in, unsigned axes, bool keep, gr_spec *out)
{
    gr_spec r = {.dtype = in->dtype};
    for (int i = 0; i < in->ndim; i++) {
        bool reduced = axes == 0 || (axes >> i & 1);
        if (!reduced)
            r.shape[r.ndim++] = in->shape[i];
        else if (keep)
            r.shape[r.ndim++] = 1;
    }
    *out = r;
}

gr_dtype gr_accumulator(gr_dtype d)
{
    return gr_dtype_get(d)->sums;
}

gr_spec gr_spec_make(gr_dtype dtype, int ndim, const int64_t *shape)
{
    gr_spec s = {.dtype = dtype, .ndim = ndim};
    for (int i = 0; shape && i < ndim && i < GR_MAX_DIMS; i++)
        s.shape[i] = shape[i];
    return s;
}

gr_status gr_expect_dtype(const gr_tensor *node, int i, gr_dtype d)
{
    const gr_spec *s = gr_in(node, i);
    if (!s || s->dtype == d)
        return GR_OK;
    return gr_op_fail(node, "input %d must be %s", i, gr_dtype_get(d)->name);
}

gr_status gr_expect_float(const gr_tensor *node, int i)
{
    const gr_spec *s = gr_in(node, i);
    return !s || gr_is_float(s->dtype) ? GR_OK : gr_op_fail(node, "input %d must be floating-point", i);
}

gr_status gr_expect_index(const gr_tensor *node, int i)
{
    const gr_spec *s = gr_in(node, i);
    return !s || gr_is_index(s->dtype) ? GR_OK : gr_op_fail(node, "input %d must be i64 or i32", i);
}

gr_status gr_expect_shape(const gr_tensor *node, int i, int ndim, const int64_t *shape)
{
    const gr_spec *s = gr_in(node, i);
    gr_spec want = gr_spec_make(GR_F32, ndim, shape);
    if (!s || gr_spec_same_shape(s, &want))
        return GR_OK;
    char text[160];
    want.dtype = s->dtype;
    return gr_op_fail(node, "input %d must be %s", i, gr_spec_text(&want, text, sizeof text));
}

/* ---- building ----------------------------------------------------------------------------------------------- */

gr_tensor *gr_unary(const gr_op *op, gr_tensor *x)
{
    return x ? gr_node(x->graph, op, &x, 1, NULL) : NULL;
}

gr_tensor *gr_binary(const gr_op *op, gr_tensor *a, gr_tensor *b)
{
    gr_tensor *in[] = {a, b};
    return a && b ? gr_node(a->graph, op, in, 2, NULL) : NULL;
}

gr_tensor *gr_ternary(const gr_op *op, gr_tensor *a, gr_tensor *b, gr_tensor *c)
{
    gr_tensor *in[] = {a, b, c};
    return a && b && c ? gr_node(a->graph, op, in, 3, NULL) : NULL;
}

gr_tensor *gr_scalar_like(gr_tensor *like, double value)
{
    return like ? gr_fill(like->graph, like->spec.dtype, 0, NULL, value) : NULL;
}

gr_tensor *gr_fill_like(gr_tensor *like, double value)
{
    return like ? gr_fill(like->graph, like->spec.dtype, like->spec.ndim, like->spec.shape, value) : NULL;
}

gr_tensor *gr_unsqueeze(gr_tensor *x, int axis)
{
    if (!x)
        return NULL;
    int64_t shape[GR_MAX_DIMS + 1];
    for (int i = 0; i <= x->spec.ndim; i++)
        shape[i] = i < axis ? x->spec.shape[i] : i == axis ? 1 : x->spec.shape[i - 1];
    return gr_reshape(x, x->spec.ndim + 1, shape);
}

gr_status gr_built(const gr_tensor *node, const gr_tensor *t)
{
    return t ? GR_OK : gr_graph_check(node->graph);
}

/* ---- samples ------------------------------------------------------------------------------------------------ */

static void sample(gr_sample *s, gr_sample_fill fill, gr_dtype dtype, double low, double high, int ndim,
                   const int64_t *shape)
{
    int k = s->n_in++;
    memset(&s->in[k], 0, sizeof s->in[k]);
    s->in[k].spec = gr_spec_make(dtype, ndim, shape);
    s->in[k].fill = fill;
    s->in[k].low = low;
    s->in[k].high = high;
}

void gr_sample_float(gr_sample *s, double low, double high, int ndim, const int64_t *shape)
{
    sample(s, GR_FILL_UNIFORM, GR_F32, low, high, ndim, shape);
    s->in[s->n_in - 1].is_float = true;
}

void gr_sample_distinct(gr_sample *s, int ndim, const int64_t *shape)
{
    sample(s, GR_FILL_DISTINCT, GR_F32, 0, 0, ndim, shape);
    s->in[s->n_in - 1].is_float = true;
}

void gr_sample_index(gr_sample *s, int64_t low, int64_t high, int ndim, const int64_t *shape)
{
    sample(s, GR_FILL_INTEGER, GR_I64, (double)low, (double)high, ndim, shape);
}

void gr_sample_bool(gr_sample *s, int ndim, const int64_t *shape)
{
    sample(s, GR_FILL_INTEGER, GR_BOOL, 0, 2, ndim, shape);
}

void gr_sample_state(gr_sample *s, double low, double high, int ndim, const int64_t *shape)
{
    gr_sample_float(s, low, high, ndim, shape);
    s->in[s->n_in - 1].is_state = true;
}

void gr_sample_f32(gr_sample *s, double low, double high, int ndim, const int64_t *shape)
{
    sample(s, GR_FILL_UNIFORM, GR_F32, low, high, ndim, shape);
}

void gr_sample_bytes(gr_sample *s, gr_dtype dtype, double high, int64_t rows, int64_t values)
{
    int64_t block = gr_dtype_get(dtype)->block, columns = (values + block - 1) / block * block;
    sample(s, GR_FILL_BYTES, dtype, 0, high, 2, (int64_t[]){rows, columns});
}

bool gr_sample_blocks(gr_sample *s, int i, double high, int64_t rows, int64_t values)
{
    int d = 0, seen = 0;
    for (; gr_dtype_exists((gr_dtype)d); d++)
        if (gr_dtype_is_block((gr_dtype)d) && seen++ == i)
            break;
    if (!gr_dtype_exists((gr_dtype)d))
        return false;
    gr_sample_bytes(s, (gr_dtype)d, high, rows, values);
    return true;
}

void gr_sample_absent(gr_sample *s)
{
    sample(s, GR_FILL_UNIFORM, GR_F32, 0, 0, 0, NULL);
    s->in[s->n_in - 1].absent = true;
}

bool gr_sample_shape(int i, int *ndim, const int64_t **shape)
{
    static const struct {
        int ndim;
        int64_t shape[4];
    } shapes[] = {{0, {0}}, {1, {0}}, {1, {1}}, {1, {7}}, {2, {3, 0}}, {2, {5, 33}}, {4, {2, 1, 3, 17}}, {1, {1029}}};
    if (i < 0 || i >= (int)(sizeof shapes / sizeof shapes[0]))
        return false;
    *ndim = shapes[i].ndim;
    *shape = shapes[i].shape;
    return true;
}
