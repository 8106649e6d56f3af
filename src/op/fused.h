/* gr_op_fused: a short program of element-wise ops that a backend runs in one pass over memory. */
#ifndef GR_OP_FUSED_H
#define GR_OP_FUSED_H

#include "graph/graph.h"

enum { GR_FUSED_IN = 12, GR_FUSED_OUT = 4, GR_FUSED_CODE = 24, GR_FUSED_CONSTANTS = 8 };

/* Operands are numbered: inputs from 0, results from GR_FUSED_RESULT, constants from GR_FUSED_CONSTANT. */
enum { GR_FUSED_RESULT = GR_FUSED_IN, GR_FUSED_CONSTANT = GR_FUSED_RESULT + GR_FUSED_CODE };
enum { GR_FUSED_VALUES = GR_FUSED_CONSTANT + GR_FUSED_CONSTANTS };

/* One op: its place in gr_op_list, and its operands. cast: arg[1] is the dtype. dropout: arg[2] is the constant p, and
 * the constant behind that the stream. */
typedef struct gr_fused_code {
    uint8_t op, arg[3];
} gr_fused_code;

typedef struct gr_fused_attr {
    double constant[GR_FUSED_CONSTANTS]; /* takes the dtype of the op's other operands, which can hold it exactly */
    int64_t shape[GR_MAX_DIMS];          /* of every output; inputs and results broadcast to it */
    uint8_t ndim, n_in, n_out, n_code, n_constants;
    uint8_t out[GR_FUSED_OUT]; /* which results are outputs */
    gr_fused_code code[GR_FUSED_CODE];
} gr_fused_attr;

extern const gr_op gr_op_fused;

/* Can the op be part of such a program? Then this is its number, else -1. */
int gr_fused_number(const gr_op *op);
/* How many of arg[] are operands. */
int gr_fused_operands(const gr_op *op);
/* dtype[v] for all values, given those of the inputs: constants are like the operands beside them. */
void gr_fused_dtypes(const gr_fused_attr *f, const gr_dtype *in, gr_dtype *dtype);
/* A program of the one op, for a node with these arguments. */
void gr_fused_single(const gr_op *op, const void *attr, int n_in, gr_fused_attr *f);

#endif
