/* Element-wise ops: the inputs broadcast to the output's shape, each element is one formula. */
#include "backend/ref/ref.h"

#include "op/attr.h"

#include <math.h>

/* ---- the loops ---------------------------------------------------------------------------------------------- */

/* Calls `set` for every output element with where the inputs' elements lie. */
typedef void (*element)(const gr_call *c, int64_t out, const int64_t *in);

static gr_status each(const gr_call *c, element set)
{
    const gr_operand *y = &c->out[0];
    int64_t index[GR_MAX_DIMS] = {0}, at[3], n = gr_operand_count(y);
    for (int64_t i = 0; i < n; i++) {
        for (int k = 0; k < c->n_in; k++)
            at[k] = gr_ref_at(&c->in[k], y->ndim, index);
        set(c, i, at);
        gr_ref_next(y->ndim, y->shape, index);
    }
    return GR_OK;
}

/* Integer arithmetic wraps around, which C defines for unsigned numbers only. */
static int64_t wrap_add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t wrap_sub(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

static int64_t wrap_mul(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a * (uint64_t)b);
}

/* ---- one input ---------------------------------------------------------------------------------------------- */

#define UNARY(op, formula)                                                                                             \
    static void set_##op(const gr_call *c, int64_t out, const int64_t *in)                                             \
    {                                                                                                                  \
        double x = gr_ref_load(&c->in[0], in[0]);                                                                      \
        gr_ref_store(&c->out[0], out, formula);                                                                        \
    }                                                                                                                  \
    gr_status gr_ref_##op(const gr_call *call)                                                                         \
    {                                                                                                                  \
        return each(call, set_##op);                                                                                   \
    }

/* Those that integers have too. */
#define UNARY_ANY(op, formula, integer_formula)                                                                        \
    static void set_##op(const gr_call *c, int64_t out, const int64_t *in)                                             \
    {                                                                                                                  \
        if (gr_ref_is_float(&c->in[0])) {                                                                              \
            double x = gr_ref_load(&c->in[0], in[0]);                                                                  \
            gr_ref_store(&c->out[0], out, formula);                                                                    \
        } else {                                                                                                       \
            int64_t x = gr_ref_load_int(&c->in[0], in[0]);                                                             \
            gr_ref_store_int(&c->out[0], out, integer_formula);                                                        \
        }                                                                                                              \
    }                                                                                                                  \
    gr_status gr_ref_##op(const gr_call *call)                                                                         \
    {                                                                                                                  \
        return each(call, set_##op);                                                                                   \
    }

UNARY_ANY(neg, -x, wrap_sub(0, x))
UNARY_ANY(abs, fabs(x), x < 0 ? wrap_sub(0, x) : x)
UNARY(exp, exp(x))
UNARY(log, log(x))
UNARY(sqrt, sqrt(x))
UNARY(rsqrt, 1 / sqrt(x))
UNARY(reciprocal, 1 / x)
UNARY(sin, sin(x))
UNARY(cos, cos(x))
UNARY(tanh, tanh(x))
UNARY(erf, erf(x))
UNARY(sigmoid, 1 / (1 + exp(-x)))
UNARY(is_finite, isfinite(x) ? 1 : 0)

/* ---- two inputs --------------------------------------------------------------------------------------------- */

#define BINARY(op, formula)                                                                                            \
    static void set_##op(const gr_call *c, int64_t out, const int64_t *in)                                             \
    {                                                                                                                  \
        double x = gr_ref_load(&c->in[0], in[0]), y = gr_ref_load(&c->in[1], in[1]);                                   \
        gr_ref_store(&c->out[0], out, formula);                                                                        \
    }                                                                                                                  \
    gr_status gr_ref_##op(const gr_call *call)                                                                         \
    {                                                                                                                  \
        return each(call, set_##op);                                                                                   \
    }

#define BINARY_ANY(op, formula, integer_formula)                                                                       \
    static void set_##op(const gr_call *c, int64_t out, const int64_t *in)                                             \
    {                                                                                                                  \
        if (gr_ref_is_float(&c->in[0])) {                                                                              \
            double x = gr_ref_load(&c->in[0], in[0]), y = gr_ref_load(&c->in[1], in[1]);                               \
            gr_ref_store(&c->out[0], out, formula);                                                                    \
        } else {                                                                                                       \
            int64_t x = gr_ref_load_int(&c->in[0], in[0]), y = gr_ref_load_int(&c->in[1], in[1]);                      \
            gr_ref_store_int(&c->out[0], out, integer_formula);                                                        \
        }                                                                                                              \
    }                                                                                                                  \
    gr_status gr_ref_##op(const gr_call *call)                                                                         \
    {                                                                                                                  \
        return each(call, set_##op);                                                                                   \
    }

/* fmin and fmax would drop a NaN. */
static double smaller(double x, double y)
{
    return isnan(x) || isnan(y) ? NAN : x < y ? x : y;
}

static double larger(double x, double y)
{
    return isnan(x) || isnan(y) ? NAN : x > y ? x : y;
}

BINARY_ANY(add, x + y, wrap_add(x, y))
BINARY_ANY(sub, x - y, wrap_sub(x, y))
BINARY_ANY(mul, (x) * (y), wrap_mul(x, y))
BINARY(div, x / y)
BINARY(pow, pow(x, y))
BINARY_ANY(min, smaller(x, y), x < y ? x : y)
BINARY_ANY(max, larger(x, y), x > y ? x : y)

/* The result is bool whatever is compared. */
#define COMPARE(op, relation)                                                                                          \
    static void set_##op(const gr_call *c, int64_t out, const int64_t *in)                                             \
    {                                                                                                                  \
        const gr_operand *a = &c->in[0], *b = &c->in[1];                                                               \
        bool holds = gr_ref_is_float(a) ? gr_ref_load(a, in[0]) relation gr_ref_load(b, in[1])                         \
                                        : gr_ref_load_int(a, in[0]) relation gr_ref_load_int(b, in[1]);                \
        gr_ref_store_int(&c->out[0], out, holds);                                                                      \
    }                                                                                                                  \
    gr_status gr_ref_##op(const gr_call *call)                                                                         \
    {                                                                                                                  \
        return each(call, set_##op);                                                                                   \
    }

COMPARE(eq, ==)
COMPARE(ne, !=)
COMPARE(lt, <)
COMPARE(le, <=)
COMPARE(gt, >)
COMPARE(ge, >=)

/* ---- select and cast ---------------------------------------------------------------------------------------- */

static void set_select(const gr_call *c, int64_t out, const int64_t *in)
{
    int chosen = gr_ref_load_int(&c->in[0], in[0]) ? 1 : 2;
    gr_ref_copy(&c->out[0], out, &c->in[chosen], in[chosen]);
}

gr_status gr_ref_select(const gr_call *call)
{
    return each(call, set_select);
}

static int64_t saturate(int64_t x, gr_dtype d)
{
    int64_t low = d == GR_I32 ? INT32_MIN : d == GR_U8 ? 0 : INT64_MIN;
    int64_t high = d == GR_I32 ? INT32_MAX : d == GR_U8 ? UINT8_MAX : INT64_MAX;
    return x < low ? low : x > high ? high : x;
}

/* Truncates towards 0; 2^63 is the first f64 above all of i64. */
static int64_t truncated(double x)
{
    return isnan(x) ? 0 : x >= 0x1p63 ? INT64_MAX : x <= -0x1p63 ? INT64_MIN : (int64_t)x;
}

static void set_cast(const gr_call *c, int64_t out, const int64_t *in)
{
    const gr_operand *x = &c->in[0], *y = &c->out[0];
    if (gr_ref_is_float(y))
        gr_ref_store(y, out, gr_ref_is_float(x) ? gr_ref_load(x, in[0]) : (double)gr_ref_load_int(x, in[0]));
    else if (y->dtype == GR_BOOL)
        gr_ref_store_int(y, out, gr_ref_load(x, in[0]) != 0); /* 0.5 is true, and so is NaN */
    else if (gr_ref_is_float(x))
        gr_ref_store_int(y, out, saturate(truncated(gr_ref_load(x, in[0])), y->dtype));
    else
        gr_ref_store_int(y, out, saturate(gr_ref_load_int(x, in[0]), y->dtype));
}

static int64_t row_of(const gr_call *call)
{
    const gr_operand *y = &call->out[0];
    bool blocks = gr_dtype_is_block(y->dtype) || gr_dtype_is_block(call->in[0].dtype);
    return blocks ? y->shape[y->ndim - 1] : 0;
}

size_t gr_ref_cast_scratch(const gr_call *call)
{
    return (size_t)row_of(call) * sizeof(float);
}

/* Row by row, by way of f32: what blocks are made of, and stand for. */
static gr_status cast_rows(const gr_call *call, int64_t n)
{
    const gr_operand *x = &call->in[0], *y = &call->out[0];
    int64_t index[GR_MAX_DIMS] = {0}, rows = gr_operand_count(y) / n;
    float *row = call->scratch;
    for (int64_t r = 0; r < rows; r++) {
        int64_t from = gr_ref_at(x, y->ndim, index), step = x->stride[x->ndim - 1];
        if (gr_dtype_is_block(x->dtype)) {
            gr_dtype_get(x->dtype)->to_f32((const char *)x->data + gr_dtype_size(x->dtype, from), row, n);
            for (int64_t i = 0; i < n; i++)
                gr_ref_store(y, r * n + i, (double)row[i]);
        } else {
            for (int64_t i = 0; i < n; i++)
                row[i] = (float)gr_ref_load(x, from + i * step);
            gr_dtype_get(y->dtype)->from_f32(row, (char *)y->data + gr_dtype_size(y->dtype, r * n), n);
        }
        gr_ref_next(y->ndim - 1, y->shape, index);
    }
    return GR_OK;
}

gr_status gr_ref_cast(const gr_call *call)
{
    int64_t n = row_of(call);
    return n > 0 ? cast_rows(call, n) : each(call, set_cast);
}
