/* gr_op_fused: a short program of element-wise ops that a backend runs in one pass over memory. */
#ifndef GR_OP_FUSED_H
#define GR_OP_FUSED_H

#include "graph/graph.h"

enum { GR_FUSED_IN = 12, GR_FUSED_OUT = 4, GR_FUSED_CODE = 24, GR_FUSED_CONSTANTS = 8, GR_FUSED_WORDS = 16 };

/* Operands are numbered: inputs from 0, results from GR_FUSED_RESULT, constants from GR_FUSED_CONSTANT. */
enum { GR_FUSED_RESULT = GR_FUSED_IN, GR_FUSED_CONSTANT = GR_FUSED_RESULT + GR_FUSED_CODE };
enum { GR_FUSED_VALUES = GR_FUSED_CONSTANT + GR_FUSED_CONSTANTS };

enum { GR_FUSED_OPERANDS = 3, GR_FUSED_LIKE = 255 };

typedef struct gr_fused_code {
    uint8_t op;                     /* its place in gr_op_list */
    uint8_t arg[GR_FUSED_OPERANDS]; /* as many operands as the op has inputs */
    uint8_t dtype;                  /* of the result; GR_FUSED_LIKE: that of the operands */
    uint8_t word;                   /* where its arguments begin in words[], if it has any */
} gr_fused_code;

typedef struct gr_fused_attr {
    double constant[GR_FUSED_CONSTANTS]; /* takes the dtype of the op's other operands, which can hold it exactly */
    double words[GR_FUSED_WORDS];        /* the arguments of those ops that have some, as their records want them */
    int64_t shape[GR_MAX_DIMS];          /* of every output; inputs and results broadcast to it */
    uint8_t ndim, n_in, n_out, n_code, n_constants, n_words;
    uint8_t out[GR_FUSED_OUT]; /* which results are outputs */
    gr_fused_code code[GR_FUSED_CODE];
} gr_fused_attr;

extern const gr_op gr_op_fused;

/* Can a chain hold this node at all? Whether a device can run it in one is another question: gr_backend.fuses. */
bool gr_fused_holds(const gr_tensor *node);
/* What `code` is: its record and its arguments. */
const gr_op *gr_fused_op(const gr_fused_code *code);
const void *gr_fused_args(const gr_fused_attr *f, const gr_fused_code *code);
/* Appends a step without its operands, like them in dtype; NULL when there is no room for it, or for its arguments. */
gr_fused_code *gr_fused_append(gr_fused_attr *f, const gr_op *op, const void *attr);
/* Would the node be the same if its operands whose bits are set in `constants` were constants of a chain? */
bool gr_fused_takes_constants(const gr_tensor *node, unsigned constants);
/* dtype[v] of inputs and results, given those of the inputs: constants are like the operands beside them. */
void gr_fused_dtypes(const gr_fused_attr *f, const gr_dtype *in, gr_dtype *dtype);
/* The same of a node; and of the operands of one step. */
void gr_fused_node_dtypes(const gr_tensor *node, gr_dtype *dtype);
void gr_fused_operand_dtypes(const gr_fused_code *code, const gr_dtype *dtype, gr_dtype operand[GR_FUSED_OPERANDS]);
/* A program of the one op, for a node with these arguments. */
void gr_fused_single(const gr_op *op, const void *attr, int n_in, gr_dtype dtype, gr_fused_attr *f);

#endif
