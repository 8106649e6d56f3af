/* Ops that move elements without looking at them. */
#include "backend/ref/ref.h"

#include "op/attr.h"

/* Copies x to the part of y that begins at `from` along dim `axis`. */
static void put(const gr_operand *y, const gr_operand *x, int axis, int64_t from)
{
    int64_t index[GR_MAX_DIMS] = {0}, n = gr_operand_count(x);
    for (int64_t i = 0; i < n; i++) {
        int64_t to = from ? from * y->stride[axis] : 0; /* without dims there is no axis */
        for (int k = 0; k < x->ndim; k++)
            to += index[k] * y->stride[k];
        gr_ref_copy(y, to, x, gr_ref_at(x, x->ndim, index));
        gr_ref_next(x->ndim, x->shape, index);
    }
}

gr_status gr_ref_contiguous(const gr_call *call)
{
    put(&call->out[0], &call->in[0], 0, 0);
    return GR_OK;
}

gr_status gr_ref_concat(const gr_call *call)
{
    int axis = ((const gr_axis_attr *)call->attr)->axis;
    int64_t from = 0;
    for (int i = 0; i < call->n_in; i++) {
        put(&call->out[0], &call->in[i], axis, from);
        from += call->in[i].shape[axis];
    }
    return GR_OK;
}

gr_status gr_ref_pad(const gr_call *call)
{
    const gr_pad_attr *a = call->attr;
    const gr_operand *y = &call->out[0];
    for (int64_t i = 0, n = gr_operand_count(y); i < n; i++)
        gr_ref_store(y, i, a->value);
    put(y, &call->in[0], a->axis, a->before);
    return GR_OK;
}
