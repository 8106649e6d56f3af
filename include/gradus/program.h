/* Graphs at work: stores, programs, ops of your own. Part of gradus.h. */
#ifndef GRADUS_PROGRAM_H
#define GRADUS_PROGRAM_H

#include "gradus/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- stores: named persistent tensors on a device ----------------------------------------------------------- */

typedef enum gr_role { GR_WEIGHT, GR_GRADIENT, GR_MOMENT, GR_CACHE } gr_role; /* for memory reports */

GR_API gr_store *gr_store_new(gr_device *device);
GR_API void gr_store_free(gr_store *store); /* after the programs that use it; NULL is fine */
/* Adds a tensor; no memory is taken before it is first written or run. A name already there is an error. */
GR_API gr_status gr_store_add(gr_store *store, const char *name, gr_role role, gr_dtype dtype, int ndim,
                              const int64_t *shape);
/* What a store holds, by index in order of addition. */
GR_API int gr_store_count(const gr_store *store);
GR_API int gr_store_find(const gr_store *store, const char *name); /* index or -1 */
typedef struct gr_entry {
    size_t size;
    const char *name;
    gr_role role;
    gr_dtype dtype;
    int ndim;
    int64_t shape[GR_MAX_DIMS];
    size_t bytes;
} gr_entry;
/* out begins as GR_INIT(gr_entry). */
GR_API gr_status gr_store_entry(const gr_store *store, int index, gr_entry *out);
/* Whole tensors, host to device and back; size must be the tensor's bytes. Never-written tensors read as zeros. */
GR_API gr_status gr_store_write(gr_store *store, const char *name, const void *data, size_t size);
GR_API gr_status gr_store_read(const gr_store *store, const char *name, void *data, size_t size);

/* ---- programs ----------------------------------------------------------------------------------------------- */

typedef struct gr_program gr_program;

/* What a model's activations are in: f32; or bf16 or f16, where sums, statistics and what is written to a store stay
 * f32. Each op's record says how it takes part (gr_op.precision); docs/numerics.md. */
typedef enum gr_precision { GR_PRECISION_F32, GR_PRECISION_BF16, GR_PRECISION_FP16 } gr_precision;
/* How rows of activations meet weights in blocks: as f32, which is exact; or rounded to 8 bits with a scale for 32 values of
 * a row, where machines multiply several times as many a second; or where weights are int4 or int8 with one scale for the row,
 * as compressed-tensors has it. Other weights know no difference. */
typedef enum gr_activations { GR_ACTIVATIONS_F32, GR_ACTIVATIONS_INT8, GR_ACTIVATIONS_INT8_ROWS } gr_activations;
/* What the backward pass does not find kept, but computes again from what is: nothing; what attention computes ("h.3.attn.");
 * all that a block does ("h.3."), whose input alone is kept. By the scopes in tensors' names; the bits are the same. */
typedef enum gr_recompute { GR_RECOMPUTE_NONE, GR_RECOMPUTE_ATTENTION, GR_RECOMPUTE_BLOCK } gr_recompute;
/* How a graph is compiled: GR_INIT(gr_compile_options), then what differs. */
typedef struct gr_compile_options {
    size_t size;
    const char *passes; /* which passes change the graph, between commas: "lower,versions", or "-fuse" for all but that.
                            NULL: all. They run in one order however named; docs/architecture.md has what each does. An
                            unknown one, and leaving out what this graph cannot do without, is an error. */
    size_t memory_limit;        /* bytes: a plan with a larger total is GR_ERR_MEMORY, with both figures; 0: none */
    bool guards;                /* for tests of kernels: room around every buffer, and no result in an input's place */
    gr_precision precision;     /* other than f32: f32 graphs run in that; inputs and outputs keep their dtypes */
    gr_recompute recompute;     /* of graphs with gradients; without such names it is GR_ERR_ARGUMENT */
    gr_activations activations; /* of products outside of a backward pass */
    int64_t recompute_blocks;   /* of so many blocks, the last ones; 0: of all */
    int64_t head_rows; /* a cross-entropy's logits, loss and gradient for so many rows at a time, so that all logits
                                 are never in memory; 0: at once. Logits that others read, too, are GR_ERR_UNSUPPORTED */
} gr_compile_options;
/* Compiles the graph for one device: the outputs, and every effect in the graph. Takes no device memory yet: the plan
 * is known from here on, memory is taken by the first gr_run or by gr_program_reserve. options NULL: the defaults. */
GR_API gr_program *gr_compile(gr_graph *g, gr_tensor *const *outputs, int n, gr_device *device,
                              const gr_compile_options *options);
GR_API void gr_program_free(gr_program *program); /* NULL is fine */
/* What runs need, in exact bytes, and what one costs, as its shapes say. */
typedef struct gr_plan {
    size_t size;
    size_t weights, gradients, optimizer, cache; /* store tensors that are used, by role */
    size_t
        arena; /* planned: activations, temporary gradients and scratch in one block, shared by all programs of a device
                     that are not run at the same time */
    size_t peak_activations, peak_gradients, peak_scratch; /* what it holds at its fullest moment */
    size_t total;                                          /* all of the above, each once */
    double flops; /* 2MNK for a matmul, those of visible pairs for attention, 1 an element for an element-wise function,
                      whatever it is */
    double moved; /* bytes that calls read and write, each operand once */
    int64_t calls; /* of kernels */
} gr_plan;
/* A program's; lives as long. NULL of NULL. */
GR_API const gr_plan *gr_program_plan(const gr_program *program);
/* Takes all memory now. GR_ERR_MEMORY with need and have in the message, and nothing taken, when it does not fit. */
GR_API gr_status gr_program_reserve(gr_program *program);
/* What a run is given and gives, each by name: a gr_input by its own, an output by its tensor's (gr_name). "input 0" and
 * "output 0" are the first that was created and the first given to gr_compile, named or not. data: `size` bytes of the
 * host, row-major and contiguous. */
typedef struct gr_given {
    const char *name;
    gr_dtype dtype;
    const void *data;
    size_t size;
} gr_given;
typedef struct gr_wanted {
    const char *name;
    gr_dtype dtype;
    void *data;
    size_t size;
} gr_wanted;
/* Runs, with every input that something depends on, and those outputs that are wanted, in any order. A name that is not
 * there, missing or given twice, another dtype or size are GR_ERR_ARGUMENT, and nothing has run. Allocates nothing after
 * the first time. */
GR_API gr_status gr_run(gr_program *program, const gr_given *inputs, int n_inputs, const gr_wanted *outputs,
                        int n_outputs);
/* The same in two parts, so that the host can work meanwhile. gr_start takes the inputs' bytes and, on a device of its own,
 * returns before the work is done; gr_finish waits, fails if the run has failed, and copies the outputs; the run has ended
 * in any case. Between them the device is this thread's: others wait, and starting a second program on it is
 * GR_ERR_ARGUMENT. */
GR_API gr_status gr_start(gr_program *program, const gr_given *inputs, int n_inputs);
GR_API gr_status gr_finish(gr_program *program, const gr_wanted *outputs, int n_outputs);
/* Runs without effects and looks at every result: *name becomes the name of the first tensor with a NaN or infinity (as
 * long as the program lives), or NULL when all is finite. After a failure, when nobody could tell, it is NULL too. An effect
 * with results that others read cannot be left out: GR_ERR_UNSUPPORTED. */
GR_API gr_status gr_find_nonfinite(gr_program *program, const gr_given *inputs, int n_inputs, const char **name);

/* ---- profiles ----------------------------------------------------------------------------------------------- */

/* Where the time goes: from gr_profile_start on every kernel call of every program on the device is timed, each by itself (on
 * a device of its own it is waited for, so runs take longer there). A device has one profile at a time; freed before the
 * device closes. */
typedef struct gr_profile gr_profile;
GR_API gr_profile *gr_profile_start(gr_device *device);
GR_API void gr_profile_free(gr_profile *profile); /* ends it; NULL is fine */
typedef enum gr_profile_by {
    GR_PROFILE_OPS,    /* "matmul", and "matmul backward" for what gr_grad has made */
    GR_PROFILE_BLOCKS, /* parts of the model, alike layers together: "h.*.attn"; "" is what belongs to none */
} gr_profile_by;
typedef struct gr_profile_row {
    size_t size;
    const char *name; /* NULL, the last row: what runs took besides: copies, and the host's work; calls are then runs */
    int64_t calls;
    double seconds, flops, bytes; /* of all calls; FLOPs and bytes as gr_plan counts them */
} gr_profile_row;
/* Gives the rows to `visit`, slowest first; each lives for its call. */
GR_API gr_status gr_profile_walk(const gr_profile *profile, gr_profile_by by,
                                 bool (*visit)(void *user, const gr_profile_row *row), void *user);
/* Writes every call with its time, FLOPs and bytes as a trace that ui.perfetto.dev opens (Trace Event format, JSON); of more
 * than 2^20 calls the first, with a remark. */
GR_API gr_status gr_profile_trace(const gr_profile *profile, const char *path);

/* ---- own ops ------------------------------------------------------------------------------------------------ */

/* One record says everything about an op; the library's own ops are such records too (src/op). docs/add-an-op.md. */
typedef struct gr_grad_args {
    gr_tensor *node;                  /* the op whose gradient is asked for */
    gr_tensor *out[GR_MAX_OUTPUTS];   /* its outputs */
    gr_tensor *d_out[GR_MAX_OUTPUTS]; /* the loss's gradient for each; NULL: none flows */
    bool need[GR_MAX_INPUTS];         /* which inputs need one */
    gr_tensor *d_in[GR_MAX_INPUTS];   /* to fill in; broadcast dims are summed away by the caller */
} gr_grad_args;

/* How a tensor lies in memory: element (i0, i1, …) is at offset + i0·stride[0] + i1·stride[1] + …, in elements. */
typedef struct gr_layout {
    int64_t offset;
    int ndim;
    int64_t shape[GR_MAX_DIMS], stride[GR_MAX_DIMS];
} gr_layout;

typedef struct gr_operand { /* one tensor of a kernel call; strides count elements */
    uint64_t address;       /* its place on the device; 0: left out, or an output that nobody reads */
    void *data;             /* the same for a kernel of the host; NULL on a device whose memory is not the host's */
    gr_dtype dtype;
    int ndim;
    int64_t shape[GR_MAX_DIMS], stride[GR_MAX_DIMS];
} gr_operand;

typedef struct gr_call { /* one kernel call of a program */
    const gr_op *op;
    const gr_tensor *node;
    const void *attr;
    int n_in, n_out;
    gr_operand *in;  /* data NULL: left out */
    gr_operand *out; /* contiguous; data NULL: nobody reads it */
    uint64_t scratch_address;
    void *scratch;
    size_t scratch_size;
    gr_device *device;
} gr_call;

/* A sample call of an op, for the test suite. */
typedef enum gr_sample_fill {
    GR_FILL_UNIFORM,
    GR_FILL_INTEGER,
    GR_FILL_DISTINCT,
    GR_FILL_BYTES /* random bytes as blocks whose values are within [-high, high]; high = 0: any at all */
} gr_sample_fill;
typedef struct gr_sample {
    int n_in;
    struct {
        bool absent, is_float;  /* is_float: the suite picks f64, f32, f16 or bf16 */
        bool is_stat, is_state; /* is_stat: f32 (f64 when f64 is tested); is_state: a gr_param */
        gr_spec spec;
        gr_sample_fill fill;
        double low, high;
    } in[GR_MAX_INPUTS];
    union {
        double align;
        unsigned char bytes[512];
    } attr;
} gr_sample;

struct gr_op {
    const char *name;  /* "layer_norm" */
    const char *doc;   /* formula, shapes, dtypes, what it saves, source */
    int inputs;        /* how many at most */
    unsigned optional; /* bit i: input i may be left out */
    int outputs;       /* 1, or more when it also saves something */
    size_t attr_size;  /* bytes of its arguments, copied into the node */
    unsigned flags;    /* GR_OP_… */
    /* bit i: input i is a store's tensor that it writes. Its first outputs are the new versions, in the order of those
     * inputs; gr_node gives them dtype and shape, and a kernel writes over the inputs */
    unsigned writes;
    /* for ops that only look at their input in another shape: the layout of each output, or false when the input must
     * be copied to a contiguous one first */
    bool (*view)(const gr_tensor *node, const gr_layout *in, gr_layout *out);
    gr_status (*infer)(const gr_tensor *node, gr_spec *out); /* shape rule, with gr_op_fail on refusal */
    /* gradient rule; with several outputs and a composition it serves what flows into output 0 alone, the composition's
     * gradient the rest */
    gr_status (*grad)(gr_grad_args *args);
    const char *no_grad;                                              /* or why there is none */
    gr_status (*compose)(const gr_tensor *node, gr_tensor *const *in, /* the op made of basic ops */
                         gr_tensor **out);
    bool (*sample)(int i, gr_sample *out);    /* the i-th sample call; false past the last */
    gr_status (*kernel)(const gr_call *call); /* optional, for "ref", "cpu" and "far" */
    /* what a call costs, where it is not what both begin as: FLOPs as 1 an element of the result for element-wise ops, else
     * 0; bytes read and written as every operand once, one that is written twice. Optional; a view costs nothing */
    void (*cost)(const gr_tensor *node, double *flops, double *bytes);
    /* what its floating-point inputs become where a graph runs in bf16 or f16 (gr_compile_options.precision), GR_LOW and so
     * on; 0 is GR_HIGH. Bit i of uncast: input i stays as it comes, as statistics and weights that are read in f32 */
    unsigned precision, uncast;
    /* zeros: room for what later versions know, as a kernel's source for GPUs, so that records compiled today fit them; one
     * that sets what this version does not know is refused */
    const void *reserved[7];
};
enum {
    GR_LOW = 1,    /* 16 bits: products, summed in f32 */
    GR_HIGH = 2,   /* the dtype that they have in the graph: what loses too much, and what writes a store */
    GR_INSIDE = 3, /* 16 bits, read and written; computes in f32 */
    GR_WIDEST = 4, /* the widest of them as they come */
};
enum {
    GR_OP_ELEMENTWISE = 1, /* output element i depends on element i of the (broadcast) inputs alone */
    GR_OP_EFFECT = 2,      /* runs even if nobody reads it. Effects that must keep their order write one tensor, if only
                              an empty one */
    GR_OP_STOP = 4,        /* no gradient flows through, and that is meant */
    GR_OP_BOUND = 8,       /* has no kernel: the program binds it to memory (input, param, constant) */
    GR_OP_STATE = 16,      /* a store's tensor as a run finds it (param) */
    GR_OP_BLOCKS = 32,     /* takes and makes dtypes whose values share blocks; other ops refuse them */
    GR_OP_ROUNDS = 64,     /* rounds what it makes in bf16 up or down at random: by up to twice as much as to nearest */
};

/* Appends a node. in[] may hold NULL only at optional inputs. Returns output 0. */
GR_API gr_tensor *gr_node(gr_graph *g, const gr_op *op, gr_tensor *const *in, int n, const void *attr);
/* Output k of a node with several. */
GR_API gr_tensor *gr_output(gr_tensor *node, int k);
/* For shape rules: fails with "op name: message (input shapes)". */
GR_API gr_status gr_op_fail(const gr_tensor *node, const char *fmt, ...);
/* How each op runs on each device that is there, and whether it has a gradient, as a line of JSON: what `gradus info --ops
 * --json` prints as "ops". Caller frees with gr_free. Any thread. */
GR_API char *gr_op_report(void);
/* The library's ops: gr_op_list(i) for i = 0, 1, … until NULL. */
GR_API const gr_op *gr_op_list(int i);

#ifdef __cplusplus
}
#endif

#endif
