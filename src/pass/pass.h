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

/* A question about a node that a device answers. */
typedef bool (*gr_ask)(const void *device, const gr_tensor *node);

/* Fused ops that the device has no kernel for become their compositions, until only ops with kernels are left. An op
 * with neither is an error that names it. */
gr_graph *gr_pass_lower(const gr_graph *g, gr_tensor **roots, int n_roots, gr_ask has_kernel, const void *device);

/* Makes explicit what writing in place asks for: an effect runs after those that read the version it replaces, and a
 * version that is read later is copied before. What comes before this pass has only inputs to respect; what comes after it
 * inputs and `after`. */
gr_graph *gr_pass_versions(const gr_graph *g, gr_tensor **roots, int n_roots);

/* Element-wise ops of one shape that the device runs in chains become gr_op_fused, and fills that they read constants of
 * it. For devices that have a kernel for it. */
gr_graph *gr_pass_fuse(const gr_graph *g, gr_tensor **roots, int n_roots, gr_ask fuses, const void *device);

#endif
