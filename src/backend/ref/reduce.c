/* Reductions: an outer walk over what stays, an inner one over what is reduced. */
#include "backend/ref/ref.h"

#include "op/attr.h"

#include <math.h>

/* Dims of an input, apart: those that stay and those that go. */
typedef struct dims {
    int n;
    int64_t count, shape[GR_MAX_DIMS], stride[GR_MAX_DIMS];
} dims;

static void part(const gr_operand *x, unsigned axes, dims *stay, dims *go)
{
    stay->n = go->n = 0;
    stay->count = go->count = 1;
    for (int i = 0; i < x->ndim; i++) {
        dims *d = axes >> i & 1 ? go : stay;
        d->shape[d->n] = x->shape[i];
        d->stride[d->n++] = x->stride[i];
        d->count *= x->shape[i];
    }
}

static int64_t position(const dims *d, const int64_t *index)
{
    int64_t at = 0;
    for (int i = 0; i < d->n; i++)
        at += index[i] * d->stride[i];
    return at;
}

/* Calls `set` once for each output element, in order; base is where its first input element lies. */
typedef void (*reduction)(const gr_call *c, int64_t out, int64_t base, const dims *go);

static gr_status each(const gr_call *c, unsigned axes, reduction set)
{
    dims stay, go;
    part(&c->in[0], axes, &stay, &go);
    int64_t index[GR_MAX_DIMS] = {0};
    for (int64_t i = 0; i < stay.count; i++) {
        set(c, i, position(&stay, index), &go);
        gr_ref_next(stay.n, stay.shape, index);
    }
    return GR_OK;
}

static void set_sum(const gr_call *c, int64_t out, int64_t base, const dims *go)
{
    const gr_operand *x = &c->in[0];
    int64_t index[GR_MAX_DIMS] = {0};
    double sum = 0;
    uint64_t whole = 0; /* integers wrap around */
    for (int64_t i = 0; i < go->count; i++) {
        int64_t at = base + position(go, index);
        if (gr_ref_is_float(x))
            sum += gr_ref_load(x, at);
        else
            whole += (uint64_t)gr_ref_load_int(x, at);
        gr_ref_next(go->n, go->shape, index);
    }
    if (gr_ref_is_float(x))
        gr_ref_store(&c->out[0], out, sum);
    else
        gr_ref_store_int(&c->out[0], out, (int64_t)whole);
}

gr_status gr_ref_sum(const gr_call *call)
{
    return each(call, ((const gr_reduce_attr *)call->attr)->axes, set_sum);
}

/* Is element a above element b? NaN is above everything, and the first NaN stays. */
static bool above(const gr_operand *x, int64_t a, int64_t b)
{
    if (!gr_ref_is_float(x))
        return gr_ref_load_int(x, a) > gr_ref_load_int(x, b);
    double va = gr_ref_load(x, a), vb = gr_ref_load(x, b);
    return va > vb || (isnan(va) && !isnan(vb));
}

/* Which of the elements is the first largest one, counted from 0; *at is where it lies. */
static int64_t largest(const gr_operand *x, int64_t base, const dims *go, int64_t *at)
{
    int64_t index[GR_MAX_DIMS] = {0}, best = 0;
    *at = base;
    for (int64_t i = 0; i < go->count; i++) {
        int64_t here = base + position(go, index);
        if (above(x, here, *at)) {
            *at = here;
            best = i;
        }
        gr_ref_next(go->n, go->shape, index);
    }
    return best;
}

static void set_reduce_max(const gr_call *c, int64_t out, int64_t base, const dims *go)
{
    int64_t at;
    largest(&c->in[0], base, go, &at);
    gr_ref_copy(&c->out[0], out, &c->in[0], at);
}

gr_status gr_ref_reduce_max(const gr_call *call)
{
    return each(call, ((const gr_reduce_attr *)call->attr)->axes, set_reduce_max);
}

static void set_argmax(const gr_call *c, int64_t out, int64_t base, const dims *go)
{
    int64_t at;
    gr_ref_store_int(&c->out[0], out, largest(&c->in[0], base, go, &at));
}

gr_status gr_ref_argmax(const gr_call *call)
{
    return each(call, 1u << (call->in[0].ndim - 1), set_argmax);
}
