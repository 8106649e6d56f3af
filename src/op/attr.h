/* The arguments of ops that have some: what a node's attr points to. Kernels of all backends include this. */
#ifndef GR_OP_ATTR_H
#define GR_OP_ATTR_H

#include "gradus.h"

typedef struct gr_input_attr {
    gr_spec spec;
    int index; /* place among the graph's inputs */
} gr_input_attr;

typedef struct gr_param_attr {
    gr_store *store;
    int index; /* entry of the store */
    gr_spec spec;
} gr_param_attr;

typedef struct gr_constant_attr {
    gr_spec spec;
    const void *data; /* in the graph's arena */
} gr_constant_attr;

typedef struct gr_fill_attr {
    gr_spec spec;
    double value;
} gr_fill_attr;

typedef struct gr_random_attr {
    gr_spec spec;
    uint32_t stream;
} gr_random_attr;

typedef struct gr_cast_attr {
    gr_dtype dtype;
} gr_cast_attr;

typedef struct gr_reduce_attr {
    unsigned axes; /* bit i: dim i; never 0 but for 0 dims */
    bool keep;
} gr_reduce_attr;

typedef struct gr_shape_attr { /* reshape, expand */
    int ndim;
    int64_t shape[GR_MAX_DIMS];
} gr_shape_attr;

typedef struct gr_permute_attr {
    int order[GR_MAX_DIMS];
} gr_permute_attr;

typedef struct gr_slice_attr {
    int axis;
    int64_t start, stop;
} gr_slice_attr;

typedef struct gr_split_attr {
    int axis, n;
    int64_t size[GR_MAX_OUTPUTS];
} gr_split_attr;

typedef struct gr_axis_attr { /* concat */
    int axis;
} gr_axis_attr;

typedef struct gr_pad_attr {
    int axis;
    int64_t before, after;
    double value;
} gr_pad_attr;

typedef struct gr_matmul_attr {
    bool transpose_a, transpose_b;
    bool says;       /* the result's dtype, which may then be f32 or 16 bits whatever the inputs are of these */
    gr_dtype result; /* f32: the sums as they are */
    bool rounds;     /* f32 operands are rounded to bf16 before they are multiplied; sums are f32 */
} gr_matmul_attr;

typedef struct gr_ignore_attr {
    int64_t ignore_index;
} gr_ignore_attr;

typedef struct gr_norm_attr {
    float eps;
} gr_norm_attr;

typedef struct gr_rope_attr {
    bool interleaved, inverse; /* inverse: turn back, the gradient */
    float scale;
} gr_rope_attr;

typedef struct gr_attention_attr {
    float scale;
    bool causal;
    int64_t window; /* 0: none */
} gr_attention_attr;

typedef struct gr_dropout_attr {
    double p;
    uint32_t stream;
} gr_dropout_attr;

typedef struct gr_sgd_attr {
    float momentum, weight_decay;
} gr_sgd_attr;

typedef struct gr_loss_scale_attr {
    float growth, backoff;
    int64_t interval; /* clean steps in a row until it grows */
} gr_loss_scale_attr;

typedef struct gr_lion_attr {
    float beta1, beta2, weight_decay;
} gr_lion_attr;

typedef struct gr_adamw8bit_attr {
    float beta1, beta2, eps, weight_decay;
    uint32_t stream; /* with a parameter of bf16: as gr_adamw_options has it */
} gr_adamw8bit_attr;

typedef struct gr_adafactor_attr {
    float weight_decay;
} gr_adafactor_attr;

typedef struct gr_muon_attr {
    float momentum, weight_decay;
    float lr_scale; /* of lr, for the decay too */
    float adjust;   /* of what is taken off besides: by the matrix's shape */
} gr_muon_attr;

#endif
