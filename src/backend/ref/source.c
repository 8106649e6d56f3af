/* Where values come from. */
#include "backend/ref/ref.h"

#include "base/philox.h"
#include "op/attr.h"

gr_status gr_ref_fill(const gr_call *call)
{
    const gr_fill_attr *a = call->attr;
    for (int64_t i = 0, n = gr_operand_count(&call->out[0]); i < n; i++)
        gr_ref_store(&call->out[0], i, a->value);
    return GR_OK;
}

gr_status gr_ref_iota(const gr_call *call)
{
    const gr_operand *y = &call->out[0];
    for (int64_t i = 0, n = gr_operand_count(y); i < n; i++) {
        if (gr_ref_is_float(y))
            gr_ref_store(y, i, (double)i);
        else
            gr_ref_store_int(y, i, i);
    }
    return GR_OK;
}

static uint64_t seed_of(const gr_call *call)
{
    return (uint64_t)gr_ref_load_int(&call->in[0], 0);
}

gr_status gr_ref_uniform(const gr_call *call)
{
    uint32_t stream = ((const gr_random_attr *)call->attr)->stream;
    for (int64_t i = 0, n = gr_operand_count(&call->out[0]); i < n; i++)
        gr_ref_store(&call->out[0], i, gr_philox_uniform(seed_of(call), stream, (uint64_t)i));
    return GR_OK;
}

gr_status gr_ref_normal(const gr_call *call)
{
    uint32_t stream = ((const gr_random_attr *)call->attr)->stream;
    for (int64_t i = 0, n = gr_operand_count(&call->out[0]); i < n; i++)
        gr_ref_store(&call->out[0], i, gr_philox_normal(seed_of(call), stream, (uint64_t)i));
    return GR_OK;
}
