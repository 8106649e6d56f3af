/* Matrix multiplication: one sum for each output element. */
#include "backend/ref/ref.h"

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

static double dot(const gr_operand *a, const gr_operand *b, int64_t at_a, int64_t step_a, int64_t at_b, int64_t step_b,
                  int64_t n)
{
    double sum = 0;
    for (int64_t k = 0; k < n; k++)
        sum += gr_ref_load(a, at_a + k * step_a) * gr_ref_load(b, at_b + k * step_b);
    return sum;
}

gr_status gr_ref_matmul(const gr_call *call)
{
    const gr_matmul_attr *t = call->attr;
    const gr_operand *a = &call->in[0], *b = &call->in[1], *y = &call->out[0];
    int batch = y->ndim - 2;
    int64_t rows = y->shape[batch], columns = y->shape[batch + 1];
    int64_t inner = a->shape[a->ndim - (t->transpose_a ? 2 : 1)];
    int64_t index[GR_MAX_DIMS] = {0}, matrices = 1, out = 0;
    for (int i = 0; i < batch; i++)
        matrices *= y->shape[i];
    for (int64_t i = 0; i < matrices; i++) {
        matrix ma = matrix_of(a, t->transpose_a, batch, index), mb = matrix_of(b, t->transpose_b, batch, index);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < columns; c++)
                gr_ref_store(y, out++, dot(a, b, ma.at + r * ma.row, ma.column, mb.at + c * mb.column, mb.row, inner));
        gr_ref_next(batch, y->shape, index);
    }
    return GR_OK;
}
