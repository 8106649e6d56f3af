/* What the op families share: the list of records, shape rules that many ops have in common, and sample makers. */
#ifndef GR_OP_OP_H
#define GR_OP_OP_H

#include "graph/graph.h"
#include "op/list.h"

#define GR_DECLARE_OP(name) extern const gr_op gr_op_##name;
GR_OPS(GR_DECLARE_OP)
#undef GR_DECLARE_OP

/* ---- shape rules -------------------------------------------------------------------------------------------- */

static inline const gr_spec *gr_in(const gr_tensor *node, int i)
{
    return i < node->n_in && node->in[i] ? &node->in[i]->spec : NULL;
}

bool gr_is_float(gr_dtype d);
bool gr_is_index(gr_dtype d); /* i64 or i32 */
/* The result of NumPy broadcasting into *shape (dtype untouched); fails by gr_op_fail. */
gr_status gr_broadcast(const gr_tensor *node, const gr_spec *a, const gr_spec *b, gr_spec *shape);
/* Same dtype and shape as input 0, which must be floating-point. */
gr_status gr_infer_like_float(const gr_tensor *node, gr_spec *out);
/* The reduced shape; axes 0 means all. */
void gr_reduce_spec(const gr_spec *in, unsigned axes, bool keep, gr_spec *out);
/* What sums of this dtype accumulate in: f64 for f64, f32 for the other floats, i64 for integers. */
gr_dtype gr_accumulator(gr_dtype d);
gr_spec gr_spec_make(gr_dtype dtype, int ndim, const int64_t *shape);
/* Fails unless input i (when given) has this dtype / is a float / is an index. */
gr_status gr_expect_dtype(const gr_tensor *node, int i, gr_dtype d);
gr_status gr_expect_float(const gr_tensor *node, int i);
gr_status gr_expect_index(const gr_tensor *node, int i);
/* Fails unless input i (when given) has exactly this shape. */
gr_status gr_expect_shape(const gr_tensor *node, int i, int ndim, const int64_t *shape);

/* ---- building ----------------------------------------------------------------------------------------------- */

/* Nodes with one, two or three inputs and no attributes. NULL when an input is NULL. */
gr_tensor *gr_unary(const gr_op *op, gr_tensor *x);
gr_tensor *gr_binary(const gr_op *op, gr_tensor *a, gr_tensor *b);
gr_tensor *gr_ternary(const gr_op *op, gr_tensor *a, gr_tensor *b, gr_tensor *c);
/* A scalar of like's dtype, and `value` for every element of like's shape. */
gr_tensor *gr_scalar_like(gr_tensor *like, double value);
gr_tensor *gr_fill_like(gr_tensor *like, double value);
/* x with a dim of 1 inserted before dim `axis`. */
gr_tensor *gr_unsqueeze(gr_tensor *x, int axis);
/* GR_OK when t is not NULL, else the graph's failure: the end of a gradient rule or composition. */
gr_status gr_built(const gr_tensor *node, const gr_tensor *t);

#define GR_EFFECT_HAS_NO_GRADIENT "an effect is not differentiated"

/* ---- cost --------------------------------------------------------------------------------------------------- */

/* What a call of the node's op costs; nothing for a view, and for what has no kernel. */
void gr_op_cost(const gr_tensor *node, double *flops, double *bytes);
/* A gr_op.cost of so many FLOPs for every element of input 0. */
#define GR_FLOPS_EACH(name, each)                                                                                      \
    static void name(const gr_tensor *node, double *flops, double *bytes)                                              \
    {                                                                                                                  \
        (void)bytes;                                                                                                   \
        *flops = (each) * (double)gr_spec_count(gr_in(node, 0));                                                       \
    }

/* ---- samples: input k of a sample call ---------------------------------------------------------------------- */

void gr_sample_float(gr_sample *s, double low, double high, int ndim, const int64_t *shape);
void gr_sample_distinct(gr_sample *s, int ndim, const int64_t *shape); /* no two values closer than 0.01 */
void gr_sample_index(gr_sample *s, int64_t low, int64_t high, int ndim, const int64_t *shape); /* i64 */
void gr_sample_bool(gr_sample *s, int ndim, const int64_t *shape);
void gr_sample_state(gr_sample *s, double low, double high, int ndim, const int64_t *shape); /* a float gr_param */
void gr_sample_f32(gr_sample *s, double low, double high, int ndim, const int64_t *shape); /* f32 whatever is tested */
/* Random bytes as rows of blocks: their values are at most `high` in size, any if that is 0; at least `values` a row. */
void gr_sample_bytes(gr_sample *s, gr_dtype dtype, double high, int64_t rows, int64_t values);
/* The same of the i-th dtype that has blocks. False past the last. */
bool gr_sample_blocks(gr_sample *s, int i, double high, int64_t rows, int64_t values);
void gr_sample_absent(gr_sample *s);
/* Shapes every element-wise op must take: scalars, empty, odd, unaligned, long. False past the last. */
bool gr_sample_shape(int i, int *ndim, const int64_t **shape);

#define GR_DIMS(...)                                                                                                   \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[])                                             \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

#endif
