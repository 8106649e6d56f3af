/* The reference kernels: what every op means, in slow loops that are plain to read. They take inputs that lie in memory
 * in any way, compute in f64 (integers in i64, wrapping around as their width does) and round once, at the end. */
#ifndef GR_BACKEND_REF_REF_H
#define GR_BACKEND_REF_REF_H

#include "backend/backend.h"
#include "base/dtype.h"

/* ---- walking over elements ---------------------------------------------------------------------------------- */

/* Steps `index` through a shape in row-major order; after the last one it is all zeros again. */
void gr_ref_next(int ndim, const int64_t *shape, int64_t *index);
/* Where the element for `index`, an index into ndim dims, lies in o: dims are matched from the right, a dim of 1 serves
 * every index and dims that o does not have are ignored, as broadcasting goes. */
int64_t gr_ref_at(const gr_operand *o, int ndim, const int64_t *index);

/* ---- single elements: position counts elements from o->data ------------------------------------------------- */

bool gr_ref_is_float(const gr_operand *o);
double gr_ref_load(const gr_operand *o, int64_t position);
void gr_ref_store(const gr_operand *o, int64_t position, double value);
/* The same without passing through f64, which cannot hold every i64. Storing keeps the low bits; bool: is it not 0? */
int64_t gr_ref_load_int(const gr_operand *o, int64_t position);
void gr_ref_store_int(const gr_operand *o, int64_t position, int64_t value);
/* to[i] = from[j], both of one dtype. Values that share a block move with the first of it: all of them must be copied. */
void gr_ref_copy(const gr_operand *to, int64_t i, const gr_operand *from, int64_t j);

/* ---- the kernels, by the name of their op ------------------------------------------------------------------- */

/* clang-format off */
#define GR_REF_OPS(X) \
    /* sources */      X(fill) X(iota) X(uniform) X(normal) \
    /* element-wise */ X(cast) X(neg) X(abs) X(exp) X(log) X(sqrt) X(rsqrt) X(reciprocal) X(sin) X(cos) X(tanh) X(erf) \
                       X(sigmoid) X(is_finite) X(add) X(sub) X(mul) X(div) X(pow) X(min) X(max) \
                       X(eq) X(ne) X(lt) X(le) X(gt) X(ge) X(select) \
    /* the rest */     X(sum) X(reduce_max) X(argmax) X(concat) X(pad) X(contiguous) X(matmul) X(gather) \
                       X(scatter_add) X(assign) X(assign_add) X(write_rows)
/* clang-format on */

#define GR_REF_DECLARE(op) gr_status gr_ref_##op(const gr_call *call);
GR_REF_OPS(GR_REF_DECLARE)
#undef GR_REF_DECLARE

size_t gr_ref_scatter_add_scratch(const gr_call *call);
/* A row of f32, where values share blocks. */
size_t gr_ref_cast_scratch(const gr_call *call);
size_t gr_ref_matmul_scratch(const gr_call *call);
/* Looks at all indices of a write_rows, so that a bad one leaves the cache as it was. */
gr_status gr_ref_check_rows(const gr_call *call);

#endif
