/* What elementwise.c needs per ISA level: one loop an op over f32 tiles, and the dtypes' ways in and out. Defined in
 * kernels/elementwise.c. */
#ifndef GR_BACKEND_CPU_ELEMENTWISE_KERNELS_H
#define GR_BACKEND_CPU_ELEMENTWISE_KERNELS_H

#include "backend/cpu/isa.h"

/* clang-format off */
#define GR_LOOPS(X) \
    X(cast) X(neg) X(abs) X(exp) X(log) X(sqrt) X(rsqrt) X(reciprocal) X(sin) X(cos) X(tanh) X(erf) X(sigmoid) \
    X(is_finite) X(add) X(sub) X(mul) X(div) X(pow) X(min) X(max) X(eq) X(ne) X(lt) X(le) X(gt) X(ge) X(select) \
    X(relu) X(relu_grad) X(gelu) X(gelu_grad) X(gelu_tanh) X(gelu_tanh_grad) X(silu) X(silu_grad) X(swiglu) X(geglu)
/* clang-format on */

enum {
#define GR_LOOP_ENUM(op) GR_LOOP_##op,
    GR_LOOPS(GR_LOOP_ENUM)
#undef GR_LOOP_ENUM
        GR_LOOP_COUNT
};

/* y[i] = op(x[0][i], x[1][i], ..) for n elements; where bit k of `scalar` is set, x[k] is one value for all. y may be
 * one of the x. Truth is 1.0, all else that is not 0 is true as well. */
typedef void (*gr_loop)(float *y, const float *const *x, unsigned scalar, int64_t n);

typedef struct gr_dropout_call {
    uint64_t seed, stream, first; /* number of the first element in the stream */
    float p, scale;
} gr_dropout_call;

typedef struct gr_elementwise_kernels {
    gr_loop loop[GR_LOOP_COUNT];
    void (*dropout)(float *y, const float *x, bool scalar, const gr_dropout_call *d, int64_t n);
    void (*load_bool)(float *y, const uint8_t *x, int64_t n);
    void (*store_bool)(uint8_t *y, const float *x, int64_t n);
} gr_elementwise_kernels;

GR_ISA_DECLARE(const gr_elementwise_kernels *, gr_elementwise_kernels_get, (void));

#endif
