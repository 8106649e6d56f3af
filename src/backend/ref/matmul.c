/* Matrix multiplication: one sum for each output element. */
#include "backend/ref/ref.h"

#include "base/dtype.h"
#include "op/attr.h"

/* A matrix within an operand: where it begins, and the strides of its rows and columns as the product sees them. */
typedef struct matrix {
    int64_t at, row, column;
} matrix;

/* index: into the leading dims of the output, of which there are `batch`. */
static matrix matrix_of(const gr_operand *x, bool transpose, int batch, const int64_t *index)
{
    gr_operand leading = *x;
    leading.ndim -= 2;
    const int64_t *s = x->stride + x->ndim - 2;
    return (matrix){gr_ref_at(&leading, batch, index), s[transpose], s[!transpose]};
}

static double load(const gr_operand *x, int64_t at, bool rounds)
{
    double value = gr_ref_load(x, at);
    if (rounds) {
        uint16_t low;
        float wide = (float)value;
        gr_dtype_get(GR_BF16)->from_f32(&wide, &low, 1);
        value = gr_dtype_load(GR_BF16, &low, 0);
    }
    return value;
}

static double dot(const gr_operand *a, const gr_operand *b, int64_t at_a, int64_t step_a, int64_t at_b, int64_t step_b,
                  int64_t n, bool rounds)
{
    double sum = 0;
    for (int64_t k = 0; k < n; k++)
        sum += load(a, at_a + k * step_a, rounds) * load(b, at_b + k * step_b, rounds);
    return sum;
}

size_t gr_ref_matmul_scratch(const gr_call *call)
{
    const gr_operand *b = &call->in[1];
    return gr_dtype_is_block(b->dtype) ? (size_t)b->shape[b->ndim - 1] * sizeof(float) : 0;
}

/* One column of the product: dots of a's rows with one of b's columns, which is widened where its values share blocks. */
static void set_column(const gr_call *call, const matrix *a, const matrix *b, int64_t c, int64_t out)
{
    const gr_operand *y = &call->out[0], *x = &call->in[1];
    int64_t rows = y->shape[y->ndim - 2], columns = y->shape[y->ndim - 1];
    const gr_matmul_attr *t = call->attr;
    int64_t inner = call->in[0].shape[call->in[0].ndim - (t->transpose_a ? 2 : 1)];
    gr_operand wide = {.data = call->scratch, .dtype = GR_F32};
    int64_t at = b->at + c * b->column, step = b->row;
    if (gr_dtype_is_block(x->dtype)) {
        gr_dtype_get(x->dtype)->to_f32((const char *)x->data + gr_dtype_size(x->dtype, at), wide.data, inner);
        x = &wide;
        at = 0;
        step = 1;
    }
    for (int64_t r = 0; r < rows; r++)
        gr_ref_store(y, out + r * columns + c,
                     dot(&call->in[0], x, a->at + r * a->row, a->column, at, step, inner, t->rounds));
}

gr_status gr_ref_matmul(const gr_call *call)
{
    const gr_matmul_attr *t = call->attr;
    const gr_operand *a = &call->in[0], *b = &call->in[1], *y = &call->out[0];
    int batch = y->ndim - 2;
    int64_t rows = y->shape[batch], columns = y->shape[batch + 1];
    int64_t index[GR_MAX_DIMS] = {0}, matrices = 1, out = 0;
    for (int i = 0; i < batch; i++)
        matrices *= y->shape[i];
    for (int64_t i = 0; i < matrices; i++) {
        matrix ma = matrix_of(a, t->transpose_a, batch, index), mb = matrix_of(b, t->transpose_b, batch, index);
        for (int64_t c = 0; c < columns; c++)
            set_column(call, &ma, &mb, c, out);
        out += rows * columns;
        gr_ref_next(batch, y->shape, index);
    }
    return GR_OK;
}
