/* Looking up and adding to rows by index. */
#include "backend/ref/ref.h"

/* The i-th index, checked against the rows there are. */
static gr_status row_index(const gr_call *call, int64_t i, const int64_t *at, int64_t rows, int64_t *row)
{
    const gr_operand *index = &call->in[1];
    *row = gr_ref_load_int(index, gr_ref_at(index, index->ndim, at));
    return gr_fault_check(call, GR_FAULT_INDEX, *row, i, 0, rows);
}

/* Where element `at` of row `row` lies in x [N, ..]. */
static int64_t in_row(const gr_operand *x, int64_t row, const int64_t *at)
{
    int64_t position = row * x->stride[0];
    for (int i = 1; i < x->ndim; i++)
        position += at[i - 1] * x->stride[i];
    return position;
}

static int64_t row_size(const gr_operand *x)
{
    int64_t n = 1;
    for (int i = 1; i < x->ndim; i++)
        n *= x->shape[i];
    return n;
}

gr_status gr_ref_gather(const gr_call *call)
{
    const gr_operand *x = &call->in[0], *index = &call->in[1], *y = &call->out[0];
    int64_t at[GR_MAX_DIMS] = {0}, n = gr_operand_count(index), size = row_size(x), row, out = 0;
    for (int64_t i = 0; i < n; i++) {
        gr_status s = row_index(call, i, at, x->shape[0], &row);
        if (s != GR_OK)
            return s;
        int64_t inner[GR_MAX_DIMS] = {0};
        for (int64_t k = 0; k < size; k++) {
            gr_ref_copy(y, out++, x, in_row(x, row, inner));
            gr_ref_next(x->ndim - 1, x->shape + 1, inner);
        }
        gr_ref_next(index->ndim, index->shape, at);
    }
    return GR_OK;
}

/* Sums are kept wide until all rows are in: an f64, or for integers an i64, for each element of the result. */
typedef union wide {
    double real;
    uint64_t whole;
} wide;

size_t gr_ref_scatter_add_scratch(const gr_call *call)
{
    return (size_t)gr_operand_count(&call->out[0]) * sizeof(wide);
}

static void add(wide *sum, const gr_operand *x, int64_t position)
{
    if (gr_ref_is_float(x))
        sum->real += gr_ref_load(x, position);
    else
        sum->whole += (uint64_t)gr_ref_load_int(x, position);
}

static gr_status add_rows(const gr_call *call, wide *sums)
{
    const gr_operand *index = &call->in[1], *src = &call->in[2], *y = &call->out[0];
    int64_t at[GR_MAX_DIMS] = {0}, from[GR_MAX_DIMS] = {0}, n = gr_operand_count(index), size = row_size(y), row;
    for (int64_t i = 0; i < n; i++) {
        gr_status s = row_index(call, i, at, y->shape[0], &row);
        if (s != GR_OK)
            return s;
        for (int64_t k = 0; k < size; k++) {
            add(&sums[row * size + k], src, gr_ref_at(src, src->ndim, from));
            gr_ref_next(src->ndim, src->shape, from);
        }
        gr_ref_next(index->ndim, index->shape, at);
    }
    return GR_OK;
}

gr_status gr_ref_scatter_add(const gr_call *call)
{
    const gr_operand *base = &call->in[0], *y = &call->out[0];
    int64_t at[GR_MAX_DIMS] = {0}, n = gr_operand_count(y);
    wide *sums = call->scratch;
    for (int64_t i = 0; i < n; i++) {
        sums[i] = gr_ref_is_float(y) ? (wide){.real = 0} : (wide){.whole = 0};
        add(&sums[i], base, gr_ref_at(base, base->ndim, at));
        gr_ref_next(y->ndim, y->shape, at);
    }
    gr_status s = add_rows(call, sums);
    for (int64_t i = 0; s == GR_OK && i < n; i++) {
        if (gr_ref_is_float(y))
            gr_ref_store(y, i, sums[i].real);
        else
            gr_ref_store_int(y, i, (int64_t)sums[i].whole);
    }
    return s;
}
