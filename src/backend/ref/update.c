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

/* The sequence of the cache that row b goes to. */
static int64_t sequence_of(const gr_call *call, int64_t b)
{
    const gr_operand *sequence = &call->in[3];
    return call->n_in > 3 && sequence->data ? gr_ref_load_int(sequence, b * sequence->stride[0]) : b;
}

gr_status gr_ref_check_rows(const gr_call *call)
{
    const gr_operand *param = &call->in[0], *slot = &call->in[2];
    gr_status s = GR_OK;
    for (int64_t b = 0; s == GR_OK && b < slot->shape[0]; b++)
        s = gr_fault_check(call, GR_FAULT_SEQUENCE, sequence_of(call, b), b, 0, param->shape[0]);
    for (int64_t i = 0; s == GR_OK && i < gr_operand_count(slot); i++) {
        int64_t at = i / slot->shape[1] * slot->stride[0] + i % slot->shape[1] * slot->stride[1];
        s = gr_fault_check(call, GR_FAULT_SLOT, gr_ref_load_int(slot, at), i, -1, param->shape[1]);
    }
    return s;
}

gr_status gr_ref_write_rows(const gr_call *call)
{
    const gr_operand *param = &call->in[0], *value = &call->in[1], *slot = &call->in[2];
    int64_t index[GR_MAX_DIMS] = {0}, n = gr_operand_count(value);
    gr_status status = gr_ref_check_rows(call);
    for (int64_t i = 0; status == GR_OK && i < n; i++) {
        int64_t s = gr_ref_load_int(slot, index[0] * slot->stride[0] + index[1] * slot->stride[1]);
        if (s >= 0) {
            int64_t to = sequence_of(call, index[0]) * param->stride[0] + s * param->stride[1];
            for (int k = 2; k < param->ndim; k++)
                to += index[k] * param->stride[k];
            gr_ref_copy(param, to, value, gr_ref_at(value, value->ndim, index));
        }
        gr_ref_next(value->ndim, value->shape, index);
    }
    return status;
}
