/* Effects: input 0 is a store's tensor, written in place. */
#include "backend/ref/ref.h"

gr_status gr_ref_assign(const gr_call *call)
{
    const gr_operand *param = &call->in[0], *value = &call->in[1];
    int64_t index[GR_MAX_DIMS] = {0}, n = gr_operand_count(param);
    for (int64_t i = 0; i < n; i++) {
        gr_ref_copy(param, gr_ref_at(param, param->ndim, index), value, gr_ref_at(value, param->ndim, index));
        gr_ref_next(param->ndim, param->shape, index);
    }
    return GR_OK;
}

gr_status gr_ref_assign_add(const gr_call *call)
{
    const gr_operand *param = &call->in[0], *value = &call->in[1];
    int64_t index[GR_MAX_DIMS] = {0}, n = gr_operand_count(param);
    for (int64_t i = 0; i < n; i++) {
        int64_t to = gr_ref_at(param, param->ndim, index), from = gr_ref_at(value, param->ndim, index);
        if (gr_ref_is_float(param))
            gr_ref_store(param, to, gr_ref_load(param, to) + gr_ref_load(value, from));
        else
            gr_ref_store_int(param, to,
                             (int64_t)((uint64_t)gr_ref_load_int(param, to) + (uint64_t)gr_ref_load_int(value, from)));
        gr_ref_next(param->ndim, param->shape, index);
    }
    return GR_OK;
}

gr_status gr_ref_write_rows(const gr_call *call)
{
    const gr_operand *param = &call->in[0], *value = &call->in[1], *slot = &call->in[2];
    int64_t index[GR_MAX_DIMS] = {0}, n = gr_operand_count(slot); /* a walk that ends leaves index at 0 */
    /* Looked at before anything is written: a bad slot leaves the cache as it was. */
    for (int64_t i = 0; i < n; i++) {
        int64_t s = gr_ref_load_int(slot, gr_ref_at(slot, 2, index));
        gr_status status = gr_fault_check(call, GR_FAULT_SLOT, s, i, -1, param->shape[1]);
        if (status != GR_OK)
            return status;
        gr_ref_next(2, slot->shape, index);
    }
    n = gr_operand_count(value);
    for (int64_t i = 0; i < n; i++) {
        int64_t s = gr_ref_load_int(slot, index[0] * slot->stride[0] + index[1] * slot->stride[1]);
        if (s >= 0) {
            int64_t to = index[0] * param->stride[0] + s * param->stride[1];
            for (int k = 2; k < param->ndim; k++)
                to += index[k] * param->stride[k];
            gr_ref_copy(param, to, value, gr_ref_at(value, value->ndim, index));
        }
        gr_ref_next(value->ndim, value->shape, index);
    }
    return GR_OK;
}
