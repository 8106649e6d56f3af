/* Building and running one sample call of an op, on any device and in any dtype: what op_test.c is made of. Nothing here
 * knows an op by name. */
#ifndef GR_TESTS_OP_HARNESS_H
#define GR_TESTS_OP_HARNESS_H

#include "backend/backend.h"
#include "program/program.h"

/* The i-th sample call of an op, with values. They are drawn from the op's name and i, and are numbers of `dtype`, so
 * that every device, and f64 too, computes from exactly the same. */
typedef struct op_call {
    const gr_op *op;
    gr_sample sample;
    gr_dtype dtype;
    int64_t count[GR_MAX_INPUTS];
    double *in[GR_MAX_INPUTS];   /* NULL: left out */
    void *blocks[GR_MAX_INPUTS]; /* the input's bytes, which values alone do not say; NULL: they do */
} op_call;

/* False past the last sample. */
bool op_call_make(op_call *c, const gr_op *op, int i, gr_dtype dtype);
void op_call_free(op_call *c);
/* Moves every floating-point value by up to one part in 2^24, equal values by equal parts: what computing in f32 does
 * at least. */
void op_call_perturb(op_call *c);
/* Does the dtype under test change this call at all? */
bool op_call_has_floats(const op_call *c);
/* Input k is one that gradients are asked for. */
bool op_call_wants_grad(const op_call *c, int k);

/* What a case computes, besides what the op writes. */
enum {
    OP_VALUES = 1,   /* its outputs */
    OP_GRADS = 2,    /* the gradient of sum(output * cotangent) for the inputs */
    OP_SECOND = 4,   /* the gradient of sum(those * cotangent) once more */
    OP_ONE_OUT = 8,  /* of the outputs only the first is used: what it saves for later is not */
    OP_STRIDED = 16, /* inputs are cut out of larger, transposed ones */
    OP_PLAIN = 32,   /* as programs are run outside of tests: no guards, results in place of inputs */
};

typedef enum op_part { OP_OUT, OP_GRAD, OP_GRAD2, OP_STATE } op_part;

typedef struct op_result {
    op_part part;
    int index; /* which output or input */
    gr_spec spec;
    int64_t count;
    double *value;
} op_result;

enum { OP_MAX_RESULTS = GR_MAX_OUTPUTS + 3 * GR_MAX_INPUTS, OP_MAX_FEEDS = GR_MAX_OUTPUTS + 2 * GR_MAX_INPUTS };

typedef struct op_case {
    const op_call *call;
    gr_dtype dtype; /* of the inputs that are floating-point in the sample */
    unsigned flags;
    gr_device *device;
    gr_graph *graph;
    gr_store *store;
    gr_program *program;
    gr_tensor *node, *in[GR_MAX_INPUTS];
    void *feeds[OP_MAX_FEEDS]; /* the program's inputs: the op's [feed_of], then the cotangents */
    int n_feeds, feed_of[GR_MAX_INPUTS];
    gr_tensor *roots[OP_MAX_RESULTS];
    void *buffers[OP_MAX_RESULTS];
    op_result results[OP_MAX_RESULTS];
    int n_roots, n_results; /* the results behind the roots are states */
} op_case;

/* GR_OK, or why it cannot be built or compiled; close in either case. */
gr_status op_case_open(op_case *c, const op_call *call, gr_device *device, gr_dtype dtype, unsigned flags);
/* The states get their values, everything runs (under guards, unless OP_PLAIN), results are read. */
gr_status op_case_run(op_case *c);
void op_case_close(op_case *c);
/* Changes one element of input k for the next run. */
void op_case_set(op_case *c, int k, int64_t element, double value);
/* The cotangent that output or input `index` has at this level (1: of outputs, 2: of gradients); caller frees. */
double *op_cotangent(const op_call *call, int level, int index, int64_t count);

#endif
