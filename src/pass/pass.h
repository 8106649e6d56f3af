/* Passes: graph in, graph out. A pass walks the live nodes of one graph in order and appends their like, or something
 * better, to another. */
#ifndef GR_PASS_PASS_H
#define GR_PASS_PASS_H

#include "graph/graph.h"

typedef struct gr_rewrite {
    const gr_graph *from;
    gr_graph *to;
    bool *live;      /* [from->n]: needed for the roots, or an effect or needed for one */
    gr_tensor **map; /* [from->n]: the node in `to` that stands for it */
    gr_tensor **ran; /* [from->n]: where nothing stands for it, the node in `to` that does its work */
} gr_rewrite;

/* Opens a rewrite: marks what is live. Close frees all but `to`, which is NULL after a failure. */
gr_status gr_rewrite_open(gr_rewrite *r, const gr_graph *from, gr_tensor *const *roots, int n_roots);
/* Appends a copy of node with its inputs mapped, maps it and its parts, and returns it. */
gr_tensor *gr_rewrite_copy(gr_rewrite *r, const gr_tensor *node);
/* The same with other inputs than the mapped ones. */
gr_tensor *gr_rewrite_with(gr_rewrite *r, const gr_tensor *node, gr_tensor *const *in);
/* Says that the node's output k is now `t`; keeps the node's name where t has none. */
void gr_rewrite_map(gr_rewrite *r, const gr_tensor *node, int k, gr_tensor *t);
/* The mapped inputs of node into in[n_in]. */
void gr_rewrite_inputs(const gr_rewrite *r, const gr_tensor *node, gr_tensor **in);
/* Replaces each root by what stands for it and gives the new graph (caller frees); NULL when anything failed. */
gr_graph *gr_rewrite_close(gr_rewrite *r, gr_tensor **roots, int n_roots);

/* Copies the live part of a graph. Roots are replaced by their copies; so for all passes below. */
gr_graph *gr_pass_copy(const gr_graph *g, gr_tensor **roots, int n_roots);

/* Does gr_grad know what to do with this op, by its rule or its composition? */
bool gr_has_gradient(const gr_op *op);

/* ---- the passes --------------------------------------------------------------------------------------------- */

/* What passes ask of the device that the graph is for. */
typedef struct gr_target {
    void *user;
    bool (*has_kernel)(void *user, const gr_tensor *node);
    bool (*fuses)(void *user, const gr_tensor *node); /* in a chain, gr_op_fused; NULL: it has no kernel for chains */
    gr_recompute recompute;
    int64_t recompute_blocks; /* of how many, counted from the last; 0: of all */
    int64_t head_rows;        /* logits and loss for so many rows at a time; 0: all */
    gr_precision precision;   /* what f32 graphs are to run in */
    bool multiplies_bf16;     /* then products of bf16 round what is f32 of them */
    gr_activations activations;
} gr_target;

typedef gr_graph *gr_pass_run(const gr_graph *g, gr_tensor **roots, int n_roots, const gr_target *target);

/* What writes a store behind the backward pass runs as soon as what it reads is there. */
gr_pass_run gr_pass_updates;
/* What the backward pass reads of a block, or of its attention, is computed a second time in front of it, and the first one is not
 * kept. */
gr_pass_run gr_pass_recompute;
/* Logits, loss and their gradient are computed for some rows at a time, so that all logits are never in memory. A head that
 * this cannot be done with is an error. */
gr_pass_run gr_pass_head;
/* An f32 graph, forward and backward, with activations in 16 bits: each op's inputs become what its record says
 * (gr_op.precision), by casts, of which there is one for each tensor and dtype. */
gr_pass_run gr_pass_precision;
/* Where activations are to be int8, products with weights in blocks get their rows in 8 bits, by casts, of which there is
 * one for each tensor and dtype. */
gr_pass_run gr_pass_quantize;
/* What the device has no kernel for becomes its composition, until only ops with kernels are left. An op with neither is
 * an error that names it. */
gr_pass_run gr_pass_lower;
/* Makes explicit what writing in place asks for: an effect runs after those that read the version it replaces, and a
 * version that is read later is copied before. What comes before this pass has only inputs to respect; what comes after it
 * inputs and `after`. */
gr_pass_run gr_pass_versions;
/* Element-wise ops of one shape that the device runs in chains become gr_op_fused, and fills that they read constants of
 * it. */
gr_pass_run gr_pass_fuse;

typedef struct gr_pass {
    const char *name;
    gr_pass_run *run;
    bool (*applies)(const gr_graph *g, const gr_target *target); /* is there anything to do? NULL: always */
    const char *needed; /* why a graph that it applies to cannot do without; NULL: it can */
} gr_pass;
/* In the order in which they run; NULL past the last. */
const gr_pass *gr_pass_list(int i);

/* Runs them all, or those that `names` says (gr_compile_options.passes). *out may be g itself, if there was nothing to do;
 * else the caller frees it. */
gr_status gr_passes_run(const gr_graph *g, gr_tensor **roots, int n_roots, const gr_target *target, const char *names,
                        const gr_graph **out);

#endif
