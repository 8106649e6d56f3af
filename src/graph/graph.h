/* Graphs and their nodes. A node is immutable once appended; its id is its place in the order of appending, so every
 * input has a smaller id and "all nodes by id" is a topological order. */
#ifndef GR_GRAPH_GRAPH_H
#define GR_GRAPH_GRAPH_H

#include "base/error.h"

struct gr_tensor {
    const gr_op *op;
    gr_graph *graph;
    int64_t id;
    const char *name; /* NULL: has none of its own */
    gr_spec spec;
    const void *attr; /* op->attr_size bytes */
    int n_in, n_out, n_after;
    gr_tensor **in; /* [n_in], NULL where an optional input was left out */
    gr_tensor *
        *after; /* [n_after]: what must have run before, though its result is not read; put in by gr_pass_versions */
    gr_tensor **outs;  /* [n_out]: outs[0] is this node, outs[k] a "part" node */
    gr_tensor *source; /* of a part: the node it is an output of; NULL otherwise */
    int index;         /* of a part: which output */
    gr_tensor *next;   /* of a version of a store's tensor: the version that replaces it; NULL: it is the newest */
    bool backward;     /* appended by gr_grad; for memory reports */
};

struct gr_graph {
    gr_tensor **nodes; /* [n], by id */
    size_t n, capacity;
    gr_tensor **params; /* [n_params]: those of nodes that are a store's tensor */
    size_t n_params, params_capacity;
    int *
        slots; /* [n_slots]: 1 + the place in params, by store and index (gr_param); 0: free. The first n_indexed have one */
    size_t n_slots, n_indexed;
    struct gr_chunk *chunks; /* the arena: nodes, names and attributes live here */
    char *scope;             /* prefix of the names of new nodes, see gr_graph_scope_push */
    size_t scope_capacity;
    bool backward;    /* what new nodes get */
    gr_status failed; /* the first failure, and its message */
    char *failure;
};

/* Memory that lives as long as the graph; NULL and a failed graph when there is none. */
void *gr_graph_alloc(gr_graph *g, size_t size);
/* The same for a text, of any length. */
char *gr_graph_text(gr_graph *g, const char *fmt, ...) GR_PRINTF(2, 3);
/* Records the thread's current error as the graph's first failure. Returns NULL, to be returned. */
gr_tensor *gr_graph_fail(gr_graph *g);

/* ---- versions of a store's tensor: the gr_param, and what effects make of it -------------------------------- */

/* The input whose new version output k of the node is: those outputs come first, in the order of the inputs. -1: a result
 * like others. */
int gr_written_input(const gr_tensor *node, int k);
bool gr_is_version(const gr_tensor *t);
/* The gr_param that a version goes back to. */
const gr_tensor *gr_version_param(const gr_tensor *version);
/* The tensor whose memory t shows: t, or what lies behind the views it looks through. */
const gr_tensor *gr_behind_views(const gr_tensor *t);
/* The node must run after these; NULLs are left out. */
gr_status gr_run_after(gr_tensor *node, gr_tensor *const *after, int n);

/* The prefix that new nodes' names get ("h.0.attn."). Push gives the old length, to be handed to pop. */
size_t gr_graph_scope_push(gr_graph *g, const char *fmt, ...) GR_PRINTF(2, 3);
void gr_graph_scope_pop(gr_graph *g, size_t length);

/* Gives t this whole name, whatever the prefix. */
gr_tensor *gr_name_exactly(gr_tensor *t, const char *name);
/* "h.0.attn.softmax", or "softmax %12" for a node without a name. buf is returned. */
const char *gr_tensor_label(const gr_tensor *t, char *buf, size_t size);
/* "f32[2,3]" */
const char *gr_spec_text(const gr_spec *s, char *buf, size_t size);

int64_t gr_spec_count(const gr_spec *s);
bool gr_spec_same_shape(const gr_spec *a, const gr_spec *b);

/* The op of secondary outputs, a part of the graph's own machinery. */
extern const gr_op gr_op_part;

#endif
