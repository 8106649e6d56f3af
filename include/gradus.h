/* Gradus: train, fine-tune and run language models from C.
 *
 * The one idea: a model is a function that builds a graph. Ops append immutable nodes; gr_grad appends the backward
 * pass; gr_compile plans memory and picks kernels; gr_run runs. Nothing computes before.
 *
 *     #include <gradus.h>
 *     #include <stdio.h>
 *
 *     int main(void)
 *     {
 *         const int64_t of_x[] = {2, 2}, of_w[] = {1, 2};
 *         const float x[] = {0, 1, 1, 1}, w[] = {0.5f, -0.5f};
 *         float y[2] = {0};
 *         gr_device *device = gr_device_open("cpu", 0);
 *         gr_store *store = gr_store_new(device); // what outlives a run: weights
 *         gr_store_add(store, "w", GR_WEIGHT, GR_F32, 2, of_w);
 *         gr_status s = gr_store_write(store, "w", w, sizeof w);
 *         gr_graph *g = gr_graph_new();
 *         gr_tensor *in = gr_input(g, "x", GR_F32, 2, of_x);
 *         gr_tensor *out = gr_name(gr_tanh(gr_matmul(in, gr_param(g, store, "w"), false, true)), "y");
 *         gr_program *p = s == GR_OK ? gr_compile(g, &out, 1, device) : NULL; // NULL if anything above failed
 *         const gr_given given = {"x", GR_F32, x, sizeof x};
 *         const gr_wanted wanted = {"y", GR_F32, y, sizeof y};
 *         s = p ? gr_run(p, &given, 1, &wanted, 1) : gr_error_status();
 *         if (s == GR_OK)
 *             printf("%.4f %.4f\n", (double)y[0], (double)y[1]); // -0.4621 0.0000
 *         else
 *             fprintf(stderr, "%s\n", gr_error());
 *         gr_program_free(p);
 *         gr_graph_free(g);
 *         gr_store_free(store);
 *         gr_device_close(device);
 *         return s == GR_OK ? 0 : 1;
 *     }
 *
 * Sections, in reading order: errors · memory · dtypes · devices · graphs · sources · element-wise ops · reductions ·
 * layout ops · matmul and indexing · neural-network ops · effects · gradients · stores · programs · tokenizers · models ·
 * files · training · generation · own ops.
 *
 * Conventions. Shapes are row-major int64_t, 0 to 6 dims; a dim may be 0. Letters: B batch, T tokens, C channels,
 * H heads, G key/value heads, D head width, V vocabulary. Element-wise ops broadcast as NumPy does.
 * A function that makes something returns NULL on failure, one that does something a gr_status; gr_error() then tells
 * what failed, on what, and what to do. Ops given a NULL tensor return NULL and a graph remembers its first failure, so
 * a forward pass is written as plain formulas and checked once. NULL in place of any other pointer is what is said beside
 * the function (options: the defaults), else GR_ERR_ARGUMENT; a function that gives a number then gives -1, or zeros, and
 * one without a result does nothing. Strings given are copied.
 *
 * A struct that begins with `size_t size` can grow without breaking programs that were compiled before: one of the caller's,
 * options or a record to fill in, begins as GR_INIT(type), which is zeros, what is usual, and the size; a field that the
 * library linked does not know stays zero, or is GR_ERR_UNSUPPORTED when it is set. Records of the library's come as const
 * pointers. A callback takes `user` first and returns true to go on; false stops the call with GR_ERR_INTERRUPTED.
 *
 * Threads. An object is used by one thread at a time; different objects may be used by different threads. That holds for
 * what was made for the same device, too: a device takes one run after the other, and a thread waits for its turn. Threads
 * that are to compute side by side open a device each. gr_set_log and gr_set_allocator come before all else.
 */
#ifndef GRADUS_H
#define GRADUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define GR_API
#else
#define GR_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
template <class T> inline T gr_init()
{
    T t = T();
    t.size = sizeof t;
    return t;
}
extern "C" {
#endif

#define GR_VERSION_MAJOR 0
#define GR_VERSION_MINOR 1
#define GR_VERSION_PATCH 0
/* For #if: GR_VERSION_NUMBER >= 1002000 is 1.2 or newer. */
#define GR_VERSION_NUMBER (GR_VERSION_MAJOR * 1000000 + GR_VERSION_MINOR * 1000 + GR_VERSION_PATCH)
#define GR_VERSION_TEXT_OF(numbers) #numbers
#define GR_VERSION_TEXT(major, minor, patch) GR_VERSION_TEXT_OF(major.minor.patch)
#define GR_VERSION GR_VERSION_TEXT(GR_VERSION_MAJOR, GR_VERSION_MINOR, GR_VERSION_PATCH) /* "0.1.0" */
/* gr_verify_options o = GR_INIT(gr_verify_options); o.user = ... */
#ifdef __cplusplus
#define GR_INIT(type) gr_init<type>()
#else
#define GR_INIT(type) ((type){.size = sizeof(type)})
#endif
#define GR_MAX_DIMS 6
#define GR_MAX_INPUTS 32
#define GR_MAX_OUTPUTS 8

/* ---- errors ------------------------------------------------------------------------------------------------- */

typedef enum gr_status {
    GR_OK = 0,
    GR_ERR_ARGUMENT,    /* a call that makes no sense: shape, dtype, range, name */
    GR_ERR_UNSUPPORTED, /* makes sense, but this build or device cannot do it */
    GR_ERR_FILE,        /* a file is missing, broken or cannot be written */
    GR_ERR_MEMORY,      /* memory that cannot be had, planned or real */
    GR_ERR_NUMBER,      /* NaN or infinity where a number is needed */
    GR_ERR_INTERRUPTED, /* stopped because the caller asked */
} gr_status;

/* The calling thread's last failure: "what failed: why (where)", then after a newline what to do. "" if none. */
GR_API const char *gr_error(void);
GR_API gr_status gr_error_status(void);
GR_API void gr_error_clear(void);

typedef enum gr_log_level { GR_LOG_DEBUG, GR_LOG_INFO, GR_LOG_WARN } gr_log_level;

/* Where the library's remarks go (nowhere by default). Call before other threads use the library. */
GR_API void gr_set_log(void (*log)(void *user, gr_log_level level, const char *message), void *user);

/* GR_VERSION and GR_VERSION_NUMBER of the library linked, which may be newer than this header's. Until 1.0 a minor version
 * may change what programs were compiled for (the shared library's name has it); later a major version alone. Any thread. */
GR_API const char *gr_version(void);
GR_API int gr_version_number(void);
/* How the library linked was built; static. Which of its devices this machine has, gr_device_open tells. Any thread. */
typedef struct gr_library {
    size_t size;
    const char *compiler;  /* "GCC 12.2.0, x86-64" */
    const char *isa;       /* what loops of the cpu device are compiled for: "generic, avx2, avx512" */
    const char *libraries; /* what was found: "OpenBLAS (opened where it is there), PCRE2, utf8proc", or "none" */
    const char *devices;   /* "cpu, ref, far, opencl" */
} gr_library;
GR_API const gr_library *gr_library_info(void);

/* ---- memory ------------------------------------------------------------------------------------------------- */

/* The library's only source of host memory. Called as f(user, NULL, 0, n) to allocate and f(user, p, n, 0) to free, by
 * several threads at a time; returns NULL when it cannot. Set before anything else is called. */
typedef void *(*gr_allocator)(void *user, void *p, size_t old_size, size_t new_size);
GR_API void gr_set_allocator(gr_allocator f, void *user);
GR_API void gr_text_free(char *text); /* text that the library made for its caller; NULL is fine */

/* ---- dtypes ------------------------------------------------------------------------------------------------- */

/* Every dtype there is: GR_F32 is named "f32". Numbers never change: a new dtype goes to the end, so that programs meet it
 * as a number they do not know. docs/add-a-dtype.md */
#define GR_DTYPES(X) X(F64, f64) X(F32, f32) X(F16, f16) X(BF16, bf16) X(I64, i64) X(I32, i32) X(U8, u8) X(BOOL, bool)

#define GR_DTYPE_CONSTANT(constant, name) GR_##constant,
typedef enum gr_dtype {
    GR_DTYPES(GR_DTYPE_CONSTANT) /* GR_F64, GR_F32, … */
    GR_DTYPE_NONE = 0x7fffffff   /* no dtype */
} gr_dtype;
#undef GR_DTYPE_CONSTANT

/* "f32"; NULL for a value that is no dtype: all there are have the numbers from 0 to the first NULL. */
GR_API const char *gr_dtype_name(gr_dtype dtype);

/* ---- devices ------------------------------------------------------------------------------------------------ */

typedef struct gr_device gr_device;

/* The devices of this build by name, the one that "auto" opens first: i = 0, 1, … until NULL. Whether this machine has one, opening it
 * tells. Static text; any thread. */
GR_API const char *gr_device_list(int i);
/* Opens "ref" (slow and obviously right), "cpu", "opencl" ("opencl:1" is the second), "far" (a test device: cpu kernels on
 * memory the host must not touch) or "auto" (so does NULL): cpu. threads: workers, 0 = one per core. Results do not depend on it. Close with gr_device_close. */
GR_API gr_device *gr_device_open(const char *name, int threads);
GR_API void gr_device_close(gr_device *device); /* after everything made for it is freed; NULL is fine */
/* What a device is; the texts live until it closes. */
typedef struct gr_device_info {
    size_t size;
    const char *name;        /* "cpu", "opencl:1" */
    const char *description; /* what it runs on: "AVX-512, 2 threads, OpenBLAS" */
    size_t available,
        total;        /* bytes that can be had there now, and that there are; SIZE_MAX: the system does not say */
    bool host_memory; /* they are the host's own */
} gr_device_info;
/* out begins as GR_INIT(gr_device_info). */
GR_API gr_status gr_device_describe(gr_device *device, gr_device_info *out);

/* ---- graphs ------------------------------------------------------------------------------------------------- */

typedef struct gr_graph gr_graph;
typedef struct gr_tensor gr_tensor;
typedef struct gr_op gr_op;
typedef struct gr_store gr_store;

GR_API gr_graph *gr_graph_new(void);
GR_API void gr_graph_free(gr_graph *graph); /* frees every tensor in it; NULL is fine */

/* GR_OK, or the status of the first op that failed in this graph (gr_error() is set to its message). */
GR_API gr_status gr_graph_check(const gr_graph *graph);
/* Gives every node to `visit`, in the order in which they were appended; further outputs of a node are gr_output's. */
GR_API gr_status gr_graph_walk(const gr_graph *graph, bool (*visit)(void *user, gr_tensor *t), void *user);
/* One line a node ("%7 h.0.attn.softmax = softmax f32[2,4,8,8] %5"), to `write` in order. */
GR_API void gr_graph_print(const gr_graph *graph, void (*write)(void *user, const char *line), void *user);

/* Tensors are read with these. Pointers live as long as the graph; NULL of NULL. */
typedef struct gr_spec {
    gr_dtype dtype;
    int ndim;
    int64_t shape[GR_MAX_DIMS];
} gr_spec;
GR_API const gr_spec *gr_tensor_spec(const gr_tensor *t);
GR_API int64_t gr_tensor_count(const gr_tensor *t); /* number of elements */
GR_API const char *gr_tensor_name(const gr_tensor *t);
GR_API gr_graph *gr_tensor_graph(const gr_tensor *t);
GR_API gr_tensor *gr_tensor_input(const gr_tensor *t, int i); /* NULL past the last, or an input left out */
GR_API const void *gr_tensor_attr(const gr_tensor *t);        /* the op's own arguments */
GR_API const gr_op *gr_tensor_op(const gr_tensor *t);
/* Names a tensor (for errors, dump, profile); returns t, so it can wrap an expression. NULL in, NULL out. */
GR_API gr_tensor *gr_name(gr_tensor *t, const char *fmt, ...);

/* ---- sources ------------------------------------------------------------------------------------------------ */

/* A value given at every run, by this name. */
GR_API gr_tensor *gr_input(gr_graph *g, const char *name, gr_dtype dtype, int ndim, const int64_t *shape);
/* A tensor of a store, in its newest version: the one that the last effect appended to this graph has made of it, before
 * that the one that a run finds. An op reads the version it is given, whatever is written later (an old version that is
 * read after the write costs a copy). */
GR_API gr_tensor *gr_param(gr_graph *g, gr_store *store, const char *name);
/* Fixed values, copied in. */
GR_API gr_tensor *gr_constant(gr_graph *g, gr_dtype dtype, int ndim, const int64_t *shape, const void *data);
/* Every element `value`. */
GR_API gr_tensor *gr_fill(gr_graph *g, gr_dtype dtype, int ndim, const int64_t *shape, double value);
/* [n]: 0, 1, 2, … */
GR_API gr_tensor *gr_iota(gr_graph *g, gr_dtype dtype, int64_t n);
/* Random values of a Philox 4x32-10 stream: seed i64 [] is an input or constant, `stream` tells draws of one graph
 * apart; element i is a function of (seed, stream, i). Uniform in [0, 1); standard normal. */
GR_API gr_tensor *gr_uniform(gr_tensor *seed, uint32_t stream, gr_dtype dtype, int ndim, const int64_t *shape);
GR_API gr_tensor *gr_normal(gr_tensor *seed, uint32_t stream, gr_dtype dtype, int ndim, const int64_t *shape);

/* ---- element-wise ops --------------------------------------------------------------------------------------- */

GR_API gr_tensor *gr_cast(gr_tensor *x, gr_dtype dtype); /* to integers: truncates towards 0, saturates, NaN is 0 */
GR_API gr_tensor *gr_neg(gr_tensor *x);
GR_API gr_tensor *gr_abs(gr_tensor *x);
GR_API gr_tensor *gr_exp(gr_tensor *x);
GR_API gr_tensor *gr_log(gr_tensor *x);
GR_API gr_tensor *gr_sqrt(gr_tensor *x);
GR_API gr_tensor *gr_rsqrt(gr_tensor *x);
GR_API gr_tensor *gr_reciprocal(gr_tensor *x);
GR_API gr_tensor *gr_sin(gr_tensor *x);
GR_API gr_tensor *gr_cos(gr_tensor *x);
GR_API gr_tensor *gr_tanh(gr_tensor *x);
GR_API gr_tensor *gr_erf(gr_tensor *x);
GR_API gr_tensor *gr_sigmoid(gr_tensor *x);
GR_API gr_tensor *gr_relu(gr_tensor *x);
GR_API gr_tensor *gr_gelu(gr_tensor *x);      /* x/2 (1 + erf(x/sqrt 2)): PyTorch's default GELU */
GR_API gr_tensor *gr_gelu_tanh(gr_tensor *x); /* x/2 (1 + tanh(sqrt(2/pi)(x + 0.044715 x^3))): GPT-2's gelu_new */
GR_API gr_tensor *gr_silu(gr_tensor *x);      /* x sigmoid(x) */

/* Both of one dtype; shapes broadcast. */
GR_API gr_tensor *gr_add(gr_tensor *a, gr_tensor *b);
GR_API gr_tensor *gr_sub(gr_tensor *a, gr_tensor *b);
GR_API gr_tensor *gr_mul(gr_tensor *a, gr_tensor *b);
GR_API gr_tensor *gr_div(gr_tensor *a, gr_tensor *b);
GR_API gr_tensor *gr_pow(gr_tensor *a, gr_tensor *b);
GR_API gr_tensor *gr_min(gr_tensor *a, gr_tensor *b);
GR_API gr_tensor *gr_max(gr_tensor *a, gr_tensor *b);
GR_API gr_tensor *gr_eq(gr_tensor *a, gr_tensor *b); /* comparisons give bool */
GR_API gr_tensor *gr_ne(gr_tensor *a, gr_tensor *b);
GR_API gr_tensor *gr_lt(gr_tensor *a, gr_tensor *b);
GR_API gr_tensor *gr_le(gr_tensor *a, gr_tensor *b);
GR_API gr_tensor *gr_gt(gr_tensor *a, gr_tensor *b);
GR_API gr_tensor *gr_ge(gr_tensor *a, gr_tensor *b);
GR_API gr_tensor *gr_is_finite(gr_tensor *x); /* bool: neither NaN nor infinite */
/* condition (bool) ? a : b. */
GR_API gr_tensor *gr_select(gr_tensor *condition, gr_tensor *a, gr_tensor *b);
/* x * factor and x + term, in x's dtype. */
GR_API gr_tensor *gr_scale(gr_tensor *x, double factor);
GR_API gr_tensor *gr_offset(gr_tensor *x, double term);
/* Gated units (Shazeer 2020): silu(gate) * up and gelu_tanh(gate) * up, in one pass. */
GR_API gr_tensor *gr_swiglu(gr_tensor *gate, gr_tensor *up);
GR_API gr_tensor *gr_geglu(gr_tensor *gate, gr_tensor *up);
/* Zeroes each element with probability p and scales the rest by 1/(1-p) (Srivastava et al. 2014); the mask is drawn
 * from (seed, stream), so the backward pass draws it again instead of keeping it. */
GR_API gr_tensor *gr_dropout(gr_tensor *x, double p, gr_tensor *seed, uint32_t stream);

/* ---- reductions --------------------------------------------------------------------------------------------- */

/* Over the axes whose bits are set in `axes` (bit i = dim i; 0 = all dims); keep: reduced dims stay as 1.
 * Sums accumulate in f32 (f64 for f64). A maximum over no elements is an error. */
GR_API gr_tensor *gr_sum(gr_tensor *x, unsigned axes, bool keep);
GR_API gr_tensor *gr_mean(gr_tensor *x, unsigned axes, bool keep);
GR_API gr_tensor *gr_reduce_max(gr_tensor *x, unsigned axes, bool keep);
/* Index of the first largest element along the last dim, i64 [..]. No gradient. */
GR_API gr_tensor *gr_argmax(gr_tensor *x);
/* sqrt of the sum of squares of all elements of all n tensors, f32 []. */
GR_API gr_tensor *gr_global_norm(gr_tensor *const *x, int n);

/* ---- layout ops --------------------------------------------------------------------------------------------- */

/* One dim may be -1: what is left. */
GR_API gr_tensor *gr_reshape(gr_tensor *x, int ndim, const int64_t *shape);
/* Output dim i is input dim order[i]. */
GR_API gr_tensor *gr_permute(gr_tensor *x, const int *order);
/* Elements [start, stop) of dim `axis`. */
GR_API gr_tensor *gr_slice(gr_tensor *x, int axis, int64_t start, int64_t stop);
/* Cuts dim `axis` into n parts of the given sizes (their sum is the dim); false on failure, out[] is then NULLs. */
GR_API bool gr_split(gr_tensor *x, int axis, const int64_t *sizes, int n, gr_tensor **out);
GR_API gr_tensor *gr_concat(gr_tensor *const *x, int n, int axis);
/* `before` and `after` elements of `value` around dim `axis`. */
GR_API gr_tensor *gr_pad(gr_tensor *x, int axis, int64_t before, int64_t after, double value);
/* Broadcasts to a larger shape, by NumPy's rules. */
GR_API gr_tensor *gr_expand(gr_tensor *x, int ndim, const int64_t *shape);

/* ---- matmul and indexing ------------------------------------------------------------------------------------ */

/* a [.., M, K] (or [.., K, M] with transpose_a) times b [.., K, N] (or [.., N, K] with transpose_b): [.., M, N].
 * Leading dims broadcast. A 2-dim b is shared by all of a's rows. Both of one dtype, or one f32 and the other f16 or
 * bf16 (a weight that stays as it is in its file): then f32. A gradient has the dtype of its input. With transpose_b an
 * f32 a also takes a b whose values share blocks along K; of such a b there is no gradient. */
GR_API gr_tensor *gr_matmul(gr_tensor *a, gr_tensor *b, bool transpose_a, bool transpose_b);
/* x [N, ..], index i64 or i32 [I..]: [I.., ..] the rows x[index]. An index outside [0, N) is an error at run time. */
GR_API gr_tensor *gr_gather(gr_tensor *x, gr_tensor *index);
/* base [N, ..] with src [I.., ..] added to the rows base[index]; rows named twice get both. */
GR_API gr_tensor *gr_scatter_add(gr_tensor *base, gr_tensor *index, gr_tensor *src);
/* Looks up rows of weight [V, C] by ids [..]: [.., C] (torch.nn.Embedding). */
GR_API gr_tensor *gr_embedding(gr_tensor *weight, gr_tensor *ids);

/* ---- neural-network ops ------------------------------------------------------------------------------------- */

/* Along the last dim. */
GR_API gr_tensor *gr_softmax(gr_tensor *x);
GR_API gr_tensor *gr_log_softmax(gr_tensor *x);
/* logits [.., V], targets i64 or i32 [..]: -log softmax(logits)[target] for every row [..], 0 where the target is
 * ignore_index. The logits are neither copied nor normalized in memory. */
GR_API gr_tensor *gr_cross_entropy_rows(gr_tensor *logits, gr_tensor *targets, int64_t ignore_index);
/* The mean of those over the rows not ignored, [] (torch.nn.functional.cross_entropy). NaN when all are ignored. */
GR_API gr_tensor *gr_cross_entropy(gr_tensor *logits, gr_tensor *targets, int64_t ignore_index);
/* mean (x - y)^2, []. */
GR_API gr_tensor *gr_mse(gr_tensor *x, gr_tensor *y);
/* Mean binary cross-entropy of logits against targets in [0, 1], [] (BCEWithLogitsLoss; stable for large logits). */
GR_API gr_tensor *gr_bce(gr_tensor *logits, gr_tensor *targets);

/* Over the last dim C, biased variance (Ba et al. 2016): (x - mean) / sqrt(var + eps) * weight + bias [C] or NULL. */
GR_API gr_tensor *gr_layer_norm(gr_tensor *x, gr_tensor *weight, gr_tensor *bias, float eps);
/* x / sqrt(mean(x^2) + eps) * weight [C] (Zhang & Sennrich 2019). */
GR_API gr_tensor *gr_rms_norm(gr_tensor *x, gr_tensor *weight, float eps);

/* Rotary position embedding (Su et al. 2021) on x [B, T, H, D]: the pairs of the first 2·R dims turn by
 * position · inv_freq[r]. positions i64 [B, T] or [T]; inv_freq f32 [R], or [B, R] for each sequence its own. Pairs are (r, r + R)
 * (Hugging Face's half-split), or (2r, 2r + 1) when interleaved. `scale` multiplies cos and sin (YaRN's attention factor; 1: none). */
GR_API gr_tensor *gr_rope(gr_tensor *x, gr_tensor *positions, gr_tensor *inv_freq, bool interleaved, float scale);

/* What an attention looks at. Zero it, then set what differs; NULL is all zeros. */
typedef struct gr_attention_options {
    float scale;         /* of the scores; 0 = 1/sqrt(D) */
    bool causal;         /* a query sees keys at positions up to its own */
    int64_t window;      /* and of those only the newest `window`; 0 = all */
    gr_tensor *q_pos;    /* i64 [B, T]: positions of the queries; NULL = S - T + t */
    gr_tensor *k_pos;    /* i64 [B, S]: positions of the keys, -1 = no key there; NULL = s */
    gr_tensor *segment;  /* i64 [B, T], S = T: tokens see only their own segment (document); NULL = one */
    gr_tensor *sequence; /* i64 [B]: which of the N sequences of k, v [N, S, G, D] and k_pos [N, S] b reads, a cache's;
                            NULL = b, N = B. One outside of them is an error at run time */
} gr_attention_options;
/* softmax(scale q·k + mask) v for q [B, T, H, D], k and v [B, S, G, D], H a multiple of G (grouped-query: head h
 * reads group h / (H/G)): [B, T, H, D]. Tiled with an online softmax (Dao et al. 2022): never T x S in memory. A query
 * that sees no key gives 0. k and v may be narrower than q (f16 or bf16 beside f32). Gradients for q, k, v. */
GR_API gr_tensor *gr_attention(gr_tensor *q, gr_tensor *k, gr_tensor *v, const gr_attention_options *options);

/* ---- effects: ops that write a store's tensor ---------------------------------------------------------------- */

/* Effects run whether or not anybody reads what they give. An effect is given the newest version of a tensor (a gr_param,
 * or what an earlier effect returned; an older one is an error) and returns the version that replaces it: a tensor of the
 * same dtype and shape to read, or to write on. */
/* param = value; param += value. */
GR_API gr_tensor *gr_assign(gr_tensor *param, gr_tensor *value);
GR_API gr_tensor *gr_assign_add(gr_tensor *param, gr_tensor *value);
/* param [N, S, ..] gets value [B, T, ..] at rows slot[b, t] of its sequence[b]; slot i64 [B, T], -1 = do not write;
 * sequence i64 [B], NULL = b, N = B. */
GR_API gr_tensor *gr_write_rows(gr_tensor *param, gr_tensor *value, gr_tensor *slot, gr_tensor *sequence);

/* The optimizers below multiply the gradient by `grad_scale` (f32 [], NULL = 1) first: clipping costs no pass. A
 * grad_scale that is not finite skips the step, leaving weights and moments as they are. */
/* torch.optim.SGD: d = g + weight_decay p; v = momentum v + d; p -= lr v. lr f32 []; velocity may be NULL (then no
 * momentum, p -= lr d). Output 1 is the velocity's new version. */
GR_API gr_tensor *gr_sgd(gr_tensor *param, gr_tensor *grad, gr_tensor *velocity, gr_tensor *lr, gr_tensor *grad_scale,
                         float momentum, float weight_decay);
typedef struct gr_adamw_options {
    float beta1, beta2, eps, weight_decay;
} gr_adamw_options;
/* torch.optim.AdamW (Loshchilov & Hutter 2019), moments m and v f32 like param; lr f32 []; step i64 []: 1, 2, … Outputs 1
 * and 2 are the moments' new versions. */
GR_API gr_tensor *gr_adamw(gr_tensor *param, gr_tensor *grad, gr_tensor *m, gr_tensor *v, gr_tensor *lr,
                           gr_tensor *step, gr_tensor *grad_scale, const gr_adamw_options *options);
/* min(1, max_norm / (norm + 1e-6)): the factor of torch.nn.utils.clip_grad_norm_, f32 []; NaN if norm is not finite. */
GR_API gr_tensor *gr_clip_factor(gr_tensor *norm, float max_norm);

/* ---- gradients ---------------------------------------------------------------------------------------------- */

/* Appends d loss / d wrt[i] as grads[i], each with wrt[i]'s shape and dtype; zeros where the loss does not depend on
 * it. loss has one element. An op on the way that has no gradient is an error that names it. Grads are tensors like
 * others: they can be differentiated again. */
GR_API gr_status gr_grad(gr_tensor *loss, gr_tensor *const *wrt, gr_tensor **grads, int n);
/* x, through which no gradient flows. */
GR_API gr_tensor *gr_detach(gr_tensor *x);

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
    const char *name;
    gr_role role;
    gr_dtype dtype;
    int ndim;
    int64_t shape[GR_MAX_DIMS];
    size_t bytes;
} gr_entry;
GR_API gr_status gr_store_entry(const gr_store *store, int index, gr_entry *out);
/* Whole tensors, host to device and back; size must be the tensor's bytes. Never-written tensors read as zeros. */
GR_API gr_status gr_store_write(gr_store *store, const char *name, const void *data, size_t size);
GR_API gr_status gr_store_read(const gr_store *store, const char *name, void *data, size_t size);

/* ---- programs ----------------------------------------------------------------------------------------------- */

typedef struct gr_program gr_program;

/* Compiles the graph for one device: the outputs, and every effect in the graph. Takes no device memory yet: the plan
 * is known from here on, memory is taken by the first gr_run or by gr_program_reserve. */
GR_API gr_program *gr_compile(gr_graph *g, gr_tensor *const *outputs, int n, gr_device *device);
/* How a graph is compiled: GR_INIT(gr_compile_options), then what differs. */
typedef struct gr_compile_options {
    size_t size;        /* sizeof(gr_compile_options) */
    const char *passes; /* which passes change the graph, between commas: "lower,versions", or "-fuse" for all but that.
                            NULL: all. They run in one order however named; docs/architecture.md has what each does. An
                            unknown one, and leaving out what this graph cannot do without, is an error. */
    size_t memory_limit; /* bytes: a plan with a larger total is GR_ERR_MEMORY, with both figures; 0: none */
    bool guards;         /* for tests of kernels: room around every buffer, and no result in an input's place */
} gr_compile_options;
/* gr_compile as options say; NULL: the defaults. */
GR_API gr_program *gr_compile_with(gr_graph *g, gr_tensor *const *outputs, int n, gr_device *device,
                                   const gr_compile_options *options);
GR_API void gr_program_free(gr_program *program); /* NULL is fine */
/* Exact bytes. arena is one block shared by all programs of a device that are not run at the same time. */
typedef struct gr_memory {
    size_t weights, gradients, optimizer, cache; /* store tensors the program uses, by role */
    size_t arena;                                /* the planned arena, = activations + temporary gradients + scratch */
    size_t peak_activations, peak_gradients, peak_scratch; /* what it holds at its fullest moment */
    size_t total;                                          /* all of the above, each once */
} gr_memory;
GR_API gr_memory gr_program_memory(const gr_program *program);
/* What a run costs, as its shapes say: FLOPs (2MNK for a matmul, those of visible pairs for attention, 1 an element for an
 * element-wise function, whatever it is), bytes that calls read and write (each operand once), calls of kernels. */
typedef struct gr_cost {
    size_t size;
    double flops, bytes;
    int64_t calls;
} gr_cost;
GR_API gr_status gr_program_cost(const gr_program *program, gr_cost *out);
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
/* ---- tokenizers --------------------------------------------------------------------------------------------- */

/* Text to token ids and back, as a Hugging Face tokenizer.json says; ids equal those of the `tokenizers` package. Text
 * is UTF-8 with a length, NUL bytes are fine; an invalid byte is a character of its own. */
typedef struct gr_tokenizer gr_tokenizer;
/* A token's id; -1 where there is none. */
typedef int32_t gr_token;

/* From a tokenizer.json, a SentencePiece tokenizer.model, or a directory that has one of them or vocab.json and
 * merges.txt. Of a directory also the files beside them count (tokenizer_config.json, special_tokens_map.json,
 * added_tokens.json, config.json's model_type), as for AutoTokenizer of transformers: docs/tokenizers.md. */
GR_API gr_tokenizer *gr_tokenizer_load(const char *path);
GR_API gr_tokenizer *gr_tokenizer_from_json(const char *json, size_t size);
/* 256 tokens, one a byte, id = byte, and <|endoftext|>, 256. */
GR_API gr_tokenizer *gr_tokenizer_byte(void);
/* The distinct characters of a text, sorted by code point; then <|endoftext|> if wanted. Encoding any other character is
 * an error that names it. */
GR_API gr_tokenizer *gr_tokenizer_char(const char *text, size_t size, bool end_of_text);
GR_API void gr_tokenizer_free(gr_tokenizer *tokenizer); /* NULL is fine */
/* Its tokenizer.json, to save with a model; lives as long as the tokenizer. size may be NULL. */
GR_API const char *gr_tokenizer_json(const gr_tokenizer *tokenizer, size_t *size);

/* Another handle on the same tokenizer, for another thread: what calls give out is its own. Freed before the first one. */
GR_API gr_tokenizer *gr_tokenizer_share(const gr_tokenizer *tokenizer);
/* Rows a model's embedding needs: the largest id + 1. */
GR_API int64_t gr_tokenizer_vocab_size(const gr_tokenizer *tokenizer);
/* The id of a token as it is spelled in the vocabulary ("<|endoftext|>", "\u0120the"); -1: there is none. */
GR_API gr_token gr_tokenizer_id(const gr_tokenizer *tokenizer, const char *token);
/* The spelling of an id, not NUL-terminated; NULL: there is none. size may be NULL. */
GR_API const char *gr_tokenizer_token(const gr_tokenizer *tokenizer, gr_token id, size_t *size);
typedef enum gr_token_kind {
    GR_TOKEN_NONE,     /* no token has this id */
    GR_TOKEN_OF_MODEL, /* of the vocabulary that was learned */
    GR_TOKEN_ADDED,    /* added to it, and text like others */
    GR_TOKEN_CONTROL,  /* added, and left out by GR_SKIP_SPECIAL */
} gr_token_kind;
GR_API gr_token_kind gr_tokenizer_kind(const gr_tokenizer *tokenizer, gr_token id);
/* The tokens that begin and end a text; -1: there is none. */
GR_API gr_token gr_tokenizer_bos(const gr_tokenizer *tokenizer);
GR_API gr_token gr_tokenizer_eos(const gr_tokenizer *tokenizer);

enum {
    GR_ADD_SPECIAL = 1,   /* encode: put the tokens around the text that the post-processor says (BOS, EOS) */
    GR_PARSE_SPECIAL = 2, /* encode: "<|endoftext|>" in the text becomes the control token; else it stays text */
    GR_SKIP_SPECIAL = 4,  /* decode: leave control tokens out */
};
/* *ids, *n: the text's ids, valid until the next call with this tokenizer. */
GR_API gr_status gr_tokenizer_encode(gr_tokenizer *tokenizer, const char *text, size_t size, unsigned flags,
                                     const gr_token **ids, size_t *n);
/* Many texts on all cores. */
typedef struct gr_span {
    const char *text;
    size_t size;
} gr_span;
typedef struct gr_encoded {
    gr_token *ids; /* of all texts, one behind the other */
    size_t *ends;  /* [n] where each text's ids end */
    size_t n;
} gr_encoded;
/* threads 0: one per core; any number gives the same. Free *out, which is empty on failure, with gr_encoded_free. */
GR_API gr_status gr_tokenizer_encode_all(const gr_tokenizer *tokenizer, const gr_span *texts, size_t n, unsigned flags,
                                         int threads, gr_encoded *out);
GR_API void gr_encoded_free(gr_encoded *encoded); /* NULL is fine */
/* *text, *size: the text of the ids, NUL-terminated, valid until the next call with this tokenizer. Bytes that make no
 * character are U+FFFD; ids without a token are left out, negative ones an error. */
GR_API gr_status gr_tokenizer_decode(gr_tokenizer *tokenizer, const gr_token *ids, size_t n, unsigned flags,
                                     const char **text, size_t *size);

/* Learns a byte-level BPE with GPT-2's pattern: the vocabulary and merges are those of Hugging Face's BpeTrainer on the
 * same texts. Memory grows with distinct words, not with text. Make one, feed all texts, finish. */
typedef struct gr_tokenizer_progress {
    int64_t bytes;  /* of text read */
    int64_t words;  /* distinct ones; 0: still reading */
    int64_t tokens; /* of the vocabulary so far; 0: still reading */
} gr_tokenizer_progress;
typedef struct gr_tokenizer_training {
    int64_t vocab_size;    /* tokens at most; at least 256 bytes, <|endoftext|> and `special` */
    int64_t min_frequency; /* pairs rarer than this are not merged */
    bool whole_texts;      /* words may span lines (train_from_iterator); else every line is a text (train on files) */
    const char *const *special; /* [n_special] control tokens behind <|endoftext|>, whose id is 0 */
    int n_special;
    int threads; /* that count words; 0: one per core. The result is the same for any number */
    bool (*progress)(void *user, const gr_tokenizer_progress *progress); /* false: stop; may be NULL */
    void *user;
} gr_tokenizer_training;
typedef struct gr_tokenizer_trainer gr_tokenizer_trainer;
GR_API gr_tokenizer_trainer *gr_tokenizer_trainer_new(const gr_tokenizer_training *options);
GR_API void gr_tokenizer_trainer_free(gr_tokenizer_trainer *trainer); /* NULL is fine */
GR_API gr_status gr_tokenizer_trainer_feed(gr_tokenizer_trainer *trainer, const char *text, size_t size);
/* Feeds text files, .jsonl files ({"text": ...}, or {"prompt": ..., "completion": ...}, each string a text), the .txt and
 * .jsonl files of directories, "-", stdin, as gr_corpus_load reads them; never more than a part of one in memory. */
GR_API gr_status gr_tokenizer_trainer_feed_files(gr_tokenizer_trainer *trainer, const char *const *paths, int n);
/* GR_ERR_INTERRUPTED when progress said stop. */
GR_API gr_tokenizer *gr_tokenizer_trainer_finish(gr_tokenizer_trainer *trainer);

/* Text as it is generated: feed gives the characters that an id completes (often none), never half a character; end
 * gives the rest and starts over. The text is valid until the next call; the tokenizer must outlive the stream. */
typedef struct gr_text_stream gr_text_stream;
GR_API gr_text_stream *gr_text_stream_new(const gr_tokenizer *tokenizer, unsigned flags);
GR_API void gr_text_stream_free(gr_text_stream *stream); /* NULL is fine */
GR_API gr_status gr_text_stream_feed(gr_text_stream *stream, gr_token id, const char **text, size_t *size);
GR_API gr_status gr_text_stream_end(gr_text_stream *stream, const char **text, size_t *size);

/* ---- models ------------------------------------------------------------------------------------------------- */

/* A language model: a config.json, a function that builds its graph, its weights in a store under their Hugging Face
 * names, and a tokenizer. The architectures are those of docs/models.md. */
typedef struct gr_model gr_model;

/* The sizes of a model; for gr_model_config_json those of a model to be. */
typedef struct gr_model_info {
    char arch[32];                     /* "gpt2": model_type of config.json */
    int64_t layers, embed;             /* C */
    int64_t heads, kv_heads, head_dim; /* H, G, D; 0: H, and C/H */
    int64_t ffn;                       /* width of the MLP; 0: the architecture's usual one */
    int64_t vocab, context;            /* V; the most tokens it was made for */
    int64_t limit;                     /* the most it can take, where positions are learned; 0: as many as fit */
    bool tied;                         /* the head is the token embedding */
    gr_token eos, bos;                 /* ids, -1: none */
    int64_t parameters;                /* each counted once */
} gr_model_info;

/* The architectures by model_type ("gpt2"): i = 0, 1, … until NULL. Static text; any thread. */
GR_API const char *gr_model_list(int i);
/* A config.json for these sizes, as transformers writes it; caller frees with gr_text_free. */
GR_API char *gr_model_config_json(const gr_model_info *info);
/* A model of this config.json, weights declared but not set: gr_model_init or gr_store_write them. `name` is what
 * errors call the text; NULL: "config.json". */
GR_API gr_model *gr_model_new(const char *name, const char *config_json, size_t size, gr_device *device);
typedef struct gr_load_options {
    bool widen;        /* weights are f32, in memory of their own: to train all of them */
    bool declare_only; /* weights are declared as they would be, but not loaded: to plan with; there need be none */
} gr_load_options;
/* Loads a directory in Hugging Face layout: config.json, model.safetensors or its shards. Weights keep the dtype they
 * have there, f32, f16 or bf16; activations are f32 all the same. Where the device can ("cpu", "ref") they are not
 * copied but read where they lie in the files, mapped as long as the model lives: files may be replaced meanwhile, not
 * cut short or overwritten. Such weights gr_store_write replaces, but no effect can write them. A tensor that is missing
 * or of a wrong shape is a named error. What else a directory may be like is read with a remark, as docs/files.md tells:
 * other names, tensors too many, f64, 8-bit floats and integers, which become f32. A head that differs from the embedding
 * it is tied to makes the model one that is not tied (gr_model_config says so). An adapter in the same directory is not
 * looked at: gr_model_load_adapter puts it on. options may be NULL: none set. */
GR_API gr_model *gr_model_load(const char *dir, const gr_load_options *options, gr_device *device);
GR_API void gr_model_free(gr_model *model); /* after the programs that use it; NULL is fine */
/* Random weights as transformers initializes the architecture: a function of the seed alone. */
GR_API gr_status gr_model_init(gr_model *model, uint64_t seed);
GR_API const gr_model_info *gr_model_describe(const gr_model *model);
GR_API const char *gr_model_config(const gr_model *model); /* the text of its config.json */
GR_API gr_device *gr_model_device(const gr_model *model);
GR_API gr_store *gr_model_store(gr_model *model); /* its weights, in the order of their declaration */

/* LoRA (Hu et al. 2021): the output of a linear layer gets scale · B(A(x)) added, A [rank, in], B [out, rank], f32 in a
 * store of their own; an embedding's rows likewise. The model's own weights, of any dtype, are frozen. */
typedef enum gr_lora_bias {
    GR_BIAS_NONE,
    GR_BIAS_LORA_ONLY, /* biases of the layers that have LoRA are trained as well */
    GR_BIAS_ALL,       /* all biases are, those of norms too */
} gr_lora_bias;
typedef struct gr_lora_options {
    int64_t rank;
    double alpha;               /* scale = alpha / rank */
    bool rslora;                /* scale = alpha / sqrt(rank) (Kalajdzievski 2023) */
    bool dora;                  /* learns the lengths of W + scale BA's rows apart (Liu et al. 2024) */
    double dropout;             /* of x on its way to A, in training */
    gr_lora_bias bias;          /* peft's `bias` */
    bool b_bias;                /* B has a bias (peft's `lora_bias`); not with dora, nor on embeddings */
    const char *const *targets; /* [n_targets] names of linear layers and embeddings ("q_proj", "embed_tokens"), or */
    int n_targets;              /* "all-linear"; none: what the architecture usually adapts */
    const char *const *modules_to_save; /* [n_modules_to_save] names of modules trained whole, with what is in them: */
    int n_modules_to_save;              /* "embed_tokens", "lm_head", "norm"; each must be there */
    const gr_token *tokens; /* [n_tokens] ids whose rows of the embedding are trained, and of a head that is tied */
    int n_tokens;           /* to it (peft's `trainable_token_indices`) */
    const char *base;       /* what the files call the model (base_model_name_or_path); may be NULL */
    uint64_t seed;
} gr_lora_options;
/* Rank 8, alpha 16, no dropout, the architecture's usual targets: q_proj and v_proj, or what holds them. */
GR_API gr_lora_options gr_lora_defaults(void);
/* A new adapter, initialized as peft does: A random, B zero, all else as the model has it, so that it changes nothing
 * yet. options NULL: gr_lora_defaults. A model has one at most; it is part of every graph built from then on, and what is
 * trained. An embedding and a head that are one become two when either is trained alone, as in peft. */
GR_API gr_status gr_model_add_adapter(gr_model *model, const gr_lora_options *options);
/* An adapter in peft's files: dir/adapter_config.json and adapter_model.safetensors or .bin. What of it is not supported is
 * a named error, as is a tensor that is missing, left over or of a wrong shape; the model is then as it was. Weights of
 * the base that the file has besides are the model's from then on, when they differ from it. */
GR_API gr_status gr_model_load_adapter(gr_model *model, const char *dir);
/* Writes these two files; `dir` is made if it is not there. */
GR_API gr_status gr_model_save_adapter(gr_model *model, const char *dir);
/* Folds the adapter into the weights, in f32 and rounded once to their dtype; it is gone then. A tied head that has come
 * to differ from the embedding becomes a tensor of its own. A number that the dtype cannot hold is GR_ERR_NUMBER, a bias
 * of B where the layer has none GR_ERR_UNSUPPORTED; after a failure load the model again. Programs made before are not to
 * be run. */
GR_API gr_status gr_model_merge_adapter(gr_model *model);
/* The text of its adapter_config.json; NULL: there is no adapter. */
GR_API const char *gr_model_adapter_config(const gr_model *model);
/* What is trained: the adapter's tensors ("base_model.model.NAME.lora_A.weight"), without one the weights. */
GR_API gr_store *gr_model_trainable(gr_model *model);

/* One forward pass. Zero it, then set tokens and what else is wanted. */
typedef struct gr_forward {
    gr_tensor *tokens;    /* i32 (gr_token) or i64 [B, T] */
    gr_tensor *positions; /* i64 [B, T]; NULL = 0 .. T-1 */
    gr_tensor *segment;   /* i64 [B, T]: documents that must not see each other; NULL = one */
    gr_tensor *rows;      /* i64 [N]: rows of the B·T for which logits are wanted; NULL = all */
    gr_store *cache;      /* keys and values of earlier tokens, made by gr_model_add_cache; then slot and positions must
                             be given */
    gr_tensor *slot;      /* i64 [B, T]: the row of the cache that each token goes to; -1 = nowhere */
    gr_tensor *ring_slot; /* i64 [B, T]: the same for layers with a sliding window, whose row of a position is position
                             mod the ring's length; needed where the cache has a "cache.ring_position" */
    gr_tensor *sequence;  /* i64 [B]: which of the cache's sequences each row of tokens continues; NULL = b */
    gr_tensor *length;    /* i64 [B]: of each sequence with all that is being read; what dynamic and longrope positions
                             go by. NULL = its largest position + 1 */
    double dropout;       /* of embeddings and residuals */
    gr_tensor *seed;      /* i64 []: for dropout; given, the adapter's dropout is applied too */
} gr_forward;
/* The graph of the model: logits [B, T, V], or [N, V] with rows. */
GR_API gr_tensor *gr_model_logits(gr_model *model, const gr_forward *forward);
/* The graph without its head: the last layer's normalized states [B, T, C], or [N, C] with rows. For embeddings. */
GR_API gr_tensor *gr_model_hidden(gr_model *model, const gr_forward *forward);
/* Declares in `cache` what gr_forward.cache needs for B sequences of at most `capacity` tokens, read at most `chunk` at
 * once: "cache.position" i64 [B, capacity], and per layer keys and values of `dtype` [B, capacity, G, D]: GR_F32, or
 * GR_F16 or GR_BF16, which halve its memory and change the numbers. Where layers have a sliding window that is smaller,
 * they are rings [B, R, G, D] with a "cache.ring_position" i64 [B, R]. Set the positions to -1 everywhere before use. */
GR_API gr_status gr_model_add_cache(gr_model *model, gr_store *cache, gr_dtype dtype, int64_t batch, int64_t capacity,
                                    int64_t chunk);

/* How a model is saved. Zeroed: weights as they are, in one file, and no other files. */
typedef struct gr_save_options {
    bool cast;          /* floating-point weights become `dtype`; else they stay as they are */
    gr_dtype dtype;     /* GR_F32, GR_F16, GR_BF16 */
    size_t shard_bytes; /* of tensors a file at most, with an index where there are several files; 0: one file */
    const char *source; /* a directory whose tokenizer, chat template, generation settings and licence are carried over;
                           NULL: none */
    const char *const (*files)[2]; /* [n_files] name and text of what is to be there besides, before what source has */
    int n_files;
    void (*progress)(void *user, double done, double total); /* bytes, written and compared; may be NULL */
    bool (*cancel)(void *user); /* asked between tensors: true ends with GR_ERR_INTERRUPTED; may be NULL */
    void *user;
} gr_save_options;
/* What was written, and how it was compared. */
typedef struct gr_saved {
    int tensors, weight_files, other_files;
    int64_t bytes;            /* of the tensors */
    int64_t logits;           /* that were compared */
    double difference, bound; /* their largest difference, and what was allowed */
    int64_t texts, tokens;    /* that both tokenizers made; 0: there is none */
} gr_saved;
/* Writes a directory that transformers loads. It must not be there yet, or be empty (GR_ERR_ARGUMENT); it gets its name
 * when all of it is on the disk, has been read again and compared: every tensor bit for bit (rounded, if cast), logits of
 * a few prompts, token ids of a few texts, generation settings. Differences, and numbers too large for the dtype, are
 * GR_ERR_NUMBER. After any failure there is nothing. options and out may be NULL. */
GR_API gr_status gr_model_save(gr_model *model, const char *dir, const gr_save_options *options, gr_saved *out);

/* ---- files -------------------------------------------------------------------------------------------------- */

/* What a path stands for, where a model is wanted. */
typedef struct gr_find_options {
    size_t size;
    const char *adapter; /* one to put on the model, a directory or a run; "": none, not even one that lies there; NULL:
                            the one that lies there */
    bool path_only;      /* fills in `path` and what is in it, and looks for nothing else */
    bool newest;         /* of a run its newest good checkpoint; path is NULL when it has none yet; path_only, too */
} gr_find_options;
typedef struct gr_found {
    size_t size;
    char *path;      /* of a run its best checkpoint, else its newest good one; any other path itself */
    char *model;     /* the directory of config.json and weights: path, or what an adapter was made for */
    char *adapter;   /* the directory of the adapter to put on it; NULL: none */
    char *tokenizer; /* the directory of its tokenizer: the adapter's, else the model's; NULL: none */
    bool is_adapter; /* path is an adapter, without weights of a model */
    bool is_beside;  /* the adapter lies beside the weights, and nobody asked for it */
} gr_found;
/* Finds what gr_model_load, gr_model_load_adapter and gr_tokenizer_load take. out begins as GR_INIT(gr_found) and is
 * freed by gr_found_free, its paths are the library's; empty after a failure. A base that is not here, and a run without a
 * whole checkpoint, are GR_ERR_FILE. Checkpoints of a run are verified, which reads them. options may be NULL. Any thread. */
GR_API gr_status gr_find(const char *path, const gr_find_options *options, gr_found *out);
GR_API void gr_found_free(gr_found *found); /* NULL is fine */

enum {
    GR_REPORT_MODEL = 1,   /* architecture and sizes; of an adapter what its config says */
    GR_REPORT_WEIGHTS = 2, /* tensors and bytes of each dtype, number of files */
    GR_REPORT_TOKENIZER = 4,
    GR_REPORT_FILES = 8, /* names and bytes of all */
    GR_REPORT_ALL = 15,
};
/* What the files of a model's or an adapter's directory say, as a line of JSON: what `gradus info --json` prints as "model".
 * Nothing is loaded but the tokenizer. Caller frees with gr_text_free. Any thread. */
GR_API char *gr_model_report(const char *dir, unsigned parts);

/* Arrays in host memory, row-major, as a .safetensors file that any program reads; it is written anew under its name when it
 * is complete. producer: noted in the file; may be NULL. Any thread. */
typedef struct gr_array {
    const char *name;
    gr_dtype dtype;
    int ndim;
    int64_t shape[GR_MAX_DIMS];
    const void *data;
} gr_array;
GR_API gr_status gr_arrays_save(const char *path, const gr_array *arrays, int n, const char *producer);

/* Verifying: whatever has a checksum is compared with it; a directory without checksums.json is reported as unchecked, its
 * files' structure is looked at all the same. */
typedef enum gr_verify_state { GR_VERIFY_GOOD, GR_VERIFY_BAD, GR_VERIFY_UNCHECKED } gr_verify_state;
typedef struct gr_verify_item {
    gr_verify_state state;
    const char *dir, *file, *tensor; /* tensor NULL: the whole file; file NULL: the whole directory */
    const char *problem;             /* why it is bad or unchecked */
} gr_verify_item;
typedef struct gr_verify_options {
    size_t size;
    bool (*item)(void *user, const gr_verify_item *item); /* told of each, which lives for the call; may be NULL */
    void *user;
} gr_verify_options;
typedef struct gr_verified {
    size_t size;
    int dirs, dirs_bad, dirs_unchecked; /* unchecked: without checksums.json */
    int64_t good, bad, unchecked;       /* items */
    uint64_t bytes;                     /* that were compared with a checksum */
} gr_verified;
/* Reads a checkpoint, all checkpoints of a run, a model directory or a file of weights, and changes nothing. GR_OK when
 * nothing is bad; else GR_ERR_FILE and the first problem. options and out may be NULL; out is filled in on failure too. Any
 * thread. */
GR_API gr_status gr_verify(const char *path, const gr_verify_options *options, gr_verified *out);

/* ---- training ----------------------------------------------------------------------------------------------- */

typedef enum gr_schedule { GR_COSINE, GR_LINEAR, GR_WSD, GR_CONSTANT } gr_schedule;
typedef enum gr_optimizer { GR_ADAMW, GR_SGD } gr_optimizer;

typedef struct gr_train_options {
    int64_t batch, context; /* sequences of a micro-batch, tokens of a sequence */
    int64_t accumulate;     /* micro-batches of a step */
    int64_t steps;          /* in all; the schedule ends there */
    double lr, min_lr;      /* peak and end of the learning rate */
    int64_t warmup;         /* steps of linear rise from 0 to lr */
    gr_schedule schedule;   /* what follows: half a cosine, a line, a plateau whose last fifth falls, or lr for ever */
    gr_optimizer optimizer; /* beta1 is SGD's momentum */
    double beta1, beta2, eps;
    double weight_decay; /* of parameters of 2 or more dims only */
    double clip;         /* largest global norm of the gradients; 0: no limit */
    double dropout;
    bool segments; /* batches may have them: rows of several documents */
    uint64_t seed;
} gr_train_options;
/* AdamW with lr 1e-3 to 1e-4 (0.9, 0.95, 1e-8), decay 0.1, clip 1, cosine with 100 steps of warmup, batch 12 x 64, 2000
 * steps, seed 0. */
GR_API gr_train_options gr_train_defaults(void);
/* The learning rate of step s = 0, 1, …; options NULL: the defaults. */
GR_API double gr_learning_rate(const gr_train_options *options, int64_t step);

/* Compiled training steps for a model, and the optimizer's moments. */
typedef struct gr_trainer gr_trainer;
/* Compiles; takes no memory for tensors before the first step. The model must outlive it. options NULL: the defaults. */
GR_API gr_trainer *gr_trainer_new(gr_model *model, const gr_train_options *options);
GR_API void gr_trainer_free(gr_trainer *trainer); /* NULL is fine */
typedef struct gr_step_report {
    int64_t step; /* the step just done: 1, 2, … */
    double loss;  /* mean over the targets that are not ignored */
    double lr;
    double grad_norm; /* global, before clipping */
    bool skipped;     /* loss or gradients were not finite: weights and moments are as before */
    const char *bad;  /* then: the first tensor that was not */
} gr_step_report;
/* What a step is made of: arrays [accumulate · batch, context]. A target of -100 is not trained on. Segments number the
 * documents in a row, rising from left to right: tokens see only their own, and positions restart in each; NULL: one
 * document a row. */
typedef struct gr_batch {
    const gr_token *tokens, *targets;
    const int64_t *segments;
} gr_batch;
/* One optimizer step on the mean loss over all targets that are not ignored; all ignored is an error. report may be NULL. */
GR_API gr_status gr_trainer_step(gr_trainer *trainer, const gr_batch *batch, gr_step_report *report);
/* The sum of the losses of a micro-batch, arrays [batch, context], and how many targets it is over; none is fine. */
GR_API gr_status gr_trainer_eval_batch(gr_trainer *trainer, const gr_batch *batch, double *sum, int64_t *count);
/* Mean loss of predicting tokens[1..n) from those before, in windows of `context` without overlap. */
GR_API gr_status gr_trainer_eval(gr_trainer *trainer, const gr_token *tokens, int64_t n, double *loss);
/* What a step needs, all programs counted. */
GR_API gr_memory gr_trainer_memory(const gr_trainer *trainer);
/* What an optimizer step costs, all its micro-batches counted. */
GR_API gr_status gr_trainer_cost(const gr_trainer *trainer, gr_cost *out);
/* Text to train on: documents from text files, .jsonl files, directories of both, or "-", stdin; records are found under
 * any name, and what is no text (compressed, UTF-16, weights) is refused. A line of a .jsonl file is {"text": ...} or
 * {"prompt": ..., "completion": ...}; docs/data.md. Errors name file and line.
 * Calls take with each document, in order, a prompt and its completion as one text; false stops: with the error
 * that take has left, else GR_ERR_INTERRUPTED. */
GR_API gr_status gr_read_texts(const char *const *paths, int n, bool (*take)(void *user, const char *text, size_t size),
                               void *user);

/* The same to be read more than once, as when a tokenizer is made of it and then encodes it. Loading reads all of it, so
 * that what is wrong with it is known, and keeps no text: the files are read again by each who needs them, what came
 * through a pipe from a temporary file. Files that have changed meanwhile are an error. */
typedef struct gr_corpus gr_corpus;
GR_API gr_corpus *gr_corpus_load(const char *const *paths, int n);
GR_API void gr_corpus_free(gr_corpus *corpus); /* NULL is fine */
GR_API int64_t gr_corpus_documents(const gr_corpus *corpus);
GR_API int64_t gr_corpus_bytes(const gr_corpus *corpus); /* of text, all documents together */
/* Do the paths name one file of plain text, in which there is nothing to keep apart? Reads it, and leaves no error. */
GR_API bool gr_corpus_is_one_text(const char *const *paths, int n);
/* Feeds all documents to the training of a tokenizer; gr_tokenizer_char of all documents. */
GR_API gr_status gr_corpus_feed(const gr_corpus *corpus, gr_tokenizer_trainer *trainer);
GR_API gr_tokenizer *gr_corpus_characters(const gr_corpus *corpus, bool end_of_text);

/* Training data: one stream of token ids, or documents kept apart. */
typedef struct gr_data gr_data;
/* A stream: the documents' tokens, joined by the tokenizer's end-of-text token where it has one. All of them are trained
 * on, so a line with a prompt is an error. threads that encode, here and below; 0: one per core. */
GR_API gr_data *gr_data_load(const char *const *paths, int n, gr_tokenizer *tokenizer, int threads);
GR_API gr_data *gr_data_from_corpus(const gr_corpus *corpus, gr_tokenizer *tokenizer, int threads);
GR_API gr_data *gr_data_from_ids(const gr_token *ids, int64_t n); /* a stream; copied */
/* Documents: each is the tokens that the tokenizer's post-processor puts before a text, the text's, and those behind; the
 * last is the tokenizer's end of text, or `eos` where it has none (-1: nor is there one). Trained on is what follows the
 * prompt, the end included. Takes the same paths as gr_corpus_load. */
GR_API gr_data *gr_data_load_documents(const char *const *paths, int n, gr_tokenizer *tokenizer, gr_token eos,
                                       int threads);
/* The same of what a corpus has read. */
GR_API gr_data *gr_data_documents_of(const gr_corpus *corpus, gr_tokenizer *tokenizer, gr_token eos, int threads);
/* The last `fraction` of the stream, or of documents whole ones, is cut off as *eval: parts of the same memory, data must
 * outlive it. */
GR_API gr_status gr_data_split(gr_data *data, double fraction, gr_data **eval);
GR_API void gr_data_free(gr_data *data);                 /* NULL is fine */
GR_API int64_t gr_data_count(const gr_data *data);       /* tokens */
GR_API int64_t gr_data_bytes(const gr_data *data);       /* of text it was made of; 0: of ids */
GR_API int64_t gr_data_documents(const gr_data *data);   /* kept apart; 0: a stream */
GR_API const gr_token *gr_data_ids(const gr_data *data); /* of a stream */

/* The rows of `context` tokens that data is trained on in, numbered from 0 through all epochs. Which tokens are in row k
 * is a function of the data, these arguments and k alone. The data must outlive it. A stream must have more than `context`
 * tokens. docs/data.md */
typedef struct gr_rows gr_rows;
GR_API gr_rows *gr_rows_new(const gr_data *data, int64_t context, bool shuffle, uint64_t seed);
GR_API void gr_rows_free(gr_rows *rows); /* NULL is fine */
/* What an epoch is; of a stream only rows and tokens. */
typedef struct gr_rows_info {
    int64_t rows, tokens, documents;
    int64_t trained;               /* tokens that are learned, each once */
    int64_t filled;                /* places of the rows that hold a token; the rest is padding */
    int64_t cut, pieces;           /* documents longer than a row; parts that all documents make */
    int64_t cut_prompts, left_out; /* prompts too long for their row, and tokens left out at their beginnings */
} gr_rows_info;
GR_API gr_rows_info gr_rows_describe(const gr_rows *rows);
/* Row k as a part of a gr_batch: arrays [context]. segments may be NULL for a stream. */
GR_API void gr_rows_fill(const gr_rows *rows, int64_t k, gr_token *tokens, gr_token *targets, int64_t *segments);
/* Where a segment of row k comes from. */
typedef struct gr_segment_place {
    size_t size;
    const char *file; /* as long as the data; NULL: padding, or of a stream */
    int64_t line;     /* of a .jsonl file; -n: record n of an array; 0: the whole file */
    bool is_padding;
} gr_segment_place;
GR_API gr_status gr_rows_place(const gr_rows *rows, int64_t k, int64_t segment, gr_segment_place *out);
/* Rows of so many passes over the data, rounded up. */
GR_API int64_t gr_rows_of_epochs(const gr_rows *rows, double epochs);

/* A run: training with evaluation, checkpoints and metrics in a directory. Killed at any instant, it goes on from its
 * newest good checkpoint as if it had not been. */
typedef struct gr_run_event {
    enum { GR_EVENT_STEP, GR_EVENT_EVAL, GR_EVENT_SAVE } kind;
    int64_t step, steps;                         /* done, and in all */
    double loss, eval_loss;                      /* of a step; of an evaluation */
    double lr, grad_norm, tokens_per_s, seconds; /* of a step; seconds since the run began, breaks left out */
    bool is_best;                                /* of an evaluation: the lowest loss so far */
    const char *line; /* what was written to metrics.jsonl, without newline; of a save: the checkpoint's path */
} gr_run_event;
/* The right to write a run: one process at a time has it, and loses it with its end. Makes the directory; NULL when another
 * process has it (GR_ERR_ARGUMENT, who it is in the message) or it cannot be made. close removes the directory again if
 * open made it and it is empty. */
typedef struct gr_run_lock gr_run_lock;
GR_API gr_run_lock *gr_run_lock_open(const char *dir);
GR_API void gr_run_lock_close(gr_run_lock *lock); /* NULL is fine */

/* What is left of a run in its directory. *step: the last that metrics.jsonl has; -1: none. Any thread. */
typedef enum gr_run_state {
    GR_RUN_NONE,  /* not one step, or no directory */
    GR_RUN_BEGUN, /* steps, and nothing was ever saved */
    GR_RUN_SAVED, /* checkpoints */
    GR_RUN_LOST,  /* there were checkpoints, and none is left */
} gr_run_state;
GR_API gr_status gr_run_look(const char *dir, gr_run_state *state, int64_t *step);

/* run.json: what a run was begun with, so that it can be gone on with: settings by name, and what it reads by its bytes,
 * wherever that lies by now. */
typedef struct gr_run_setting {
    const char *name, *value;
} gr_run_setting;
typedef enum gr_run_input_kind {
    GR_RUN_DATA,
    GR_RUN_EVAL_DATA,
    GR_RUN_MODEL,
    GR_RUN_ADAPTER,
    GR_RUN_CONFIG,
    GR_RUN_TOKENIZER,
    GR_RUN_INPUTS,
} gr_run_input_kind;
typedef struct gr_run_record {
    const char *kind;               /* "train"; NULL: it does not say */
    const gr_run_setting *settings; /* [n_settings] */
    int n_settings;
    const char *const *data; /* [n_data] as they were given */
    int n_data;
    const char *model; /* as it was given; NULL: a new one was trained */
    unsigned known;    /* bit GR_RUN_…: of which inputs it has the bytes' checksum */
    bool has_changed;  /* inputs with other bytes were accepted at some time */
} gr_run_record;
/* *out is NULL with GR_OK when dir has no run.json. Freed with gr_run_record_free, everything in it too. Any thread. */
GR_API gr_status gr_run_record_read(const char *dir, const gr_run_record **out);
GR_API void gr_run_record_free(const gr_run_record *record); /* NULL is fine */
/* Where number k of an input lies that was given as `was`: where it lay, or else as it was given, or else beside the run, when
 * both were moved together. Lives as long as the record, or is `was`. */
GR_API const char *gr_run_record_place(const gr_run_record *record, gr_run_input_kind which, int k, const char *was);
/* Something that a run reads. Its bytes are known by one of the last five; none: they are not compared. */
typedef struct gr_run_input {
    const char *const *paths; /* [n_paths] as they are given now */
    int n_paths;
    const gr_data *data;
    const gr_corpus *corpus;
    const char *dir, *file; /* of a model or an adapter; one file */
    const gr_tokenizer *tokenizer;
} gr_run_input;
typedef struct gr_run_start {
    size_t size;
    const char *kind;
    const gr_run_setting *settings; /* [n_settings] */
    int n_settings;
    const char *model;      /* as it was given; NULL: a new one */
    const gr_model *trains; /* noted: its device and its parameters; may be NULL */
    bool accepts_changes;   /* of bytes: they are remarked on and noted, else they are an error */
    int threads;            /* that read; 0: one per core */
    gr_run_input inputs[GR_RUN_INPUTS];
} gr_run_start;
/* Compares with the run.json that dir has, then writes it anew, or with compare_only does not. Bytes that have changed are
 * GR_ERR_FILE, and name what. Only for who has the run's lock. */
GR_API gr_status gr_run_record_write(const char *dir, const gr_run_start *start, bool compare_only);

typedef struct gr_run_options {
    const char *dir;
    gr_run_lock *lock; /* of dir, when the caller has it already; NULL: taken for the time of the call */
    gr_train_options train;
    bool shuffle;        /* rows in random order; else sequential (docs/data.md) */
    int64_t rows;        /* of the data in all: what steps have room for behind them is empty, and a step takes
                                no more of them than an epoch has; 0: no end */
    int64_t eval_every;  /* steps between evaluations; 0: at the end only */
    int64_t eval_tokens; /* of the evaluation data at most; 0: all */
    int64_t save_every;  /* steps between checkpoints; 0: at the end only */
    int64_t keep;        /* newest checkpoints kept, and the best */
    bool resume;         /* go on from the newest good checkpoint, if there is one */
    const char *const (
        *files)[2]; /* [n_files] name and text of what every checkpoint is to hold besides: tokenizer.json … */
    int n_files;
    const char *source; /* a directory whose tokenizer, chat template, generation settings and licence every checkpoint
                           holds too, as far as `files` has none; NULL: none */
    const char *base;   /* what the adapter's files are to call its model; NULL: what they do already */
    bool (*event)(void *user, const gr_run_event *event); /* false: the step is saved, and the run ends; may be NULL */
    void *user;
} gr_run_options;
/* Bytes that a run of these options takes besides its trainer's memory. */
GR_API size_t gr_run_memory(const gr_run_options *options);
/* GR_OK when all steps are done, GR_ERR_INTERRUPTED when stopped (and saved). eval may be NULL. A run that is written by
 * another process is GR_ERR_ARGUMENT; one whose checkpoints are gone is GR_ERR_FILE. What fails before the first step
 * leaves nothing behind. */
GR_API gr_status gr_train_run(gr_model *model, const gr_data *data, const gr_data *eval, const gr_run_options *options);

/* ---- generation --------------------------------------------------------------------------------------------- */

/* How the next token is drawn: transformers' processors, in this order. docs/generation.md has the formulas. */
typedef struct gr_sampling {
    double
        repeat_penalty; /* divides positive and multiplies negative logits of tokens seen (Keskar et al. 2019); 1: off */
    double frequency_penalty; /* taken off a new token's logit for each time that it was made; 0: off */
    double presence_penalty;  /* taken off once, if it was made at all; 0: off */
    double temperature;       /* divides the logits; 0: always the most likely token, nothing below matters */
    int64_t top_k;            /* only the k most likely; 0: all */
    double top_p;             /* only the most likely that together have p; 1: all */
    double min_p;             /* only those at least this fraction of the most likely one's probability; 0: all */
    double typical_p;         /* only the most typical that together have p (Meister et al. 2023); 0 or 1: all */
    uint64_t seed;
} gr_sampling;
/* Temperature 0.8, top-p 0.95, the rest off, seed 0. */
GR_API gr_sampling gr_sampling_defaults(void);
/* Draws from logits [vocab], given the n tokens so far, of which the first `prompt` were given and not made; a function of
 * its arguments alone (draw number n of the seed); sampling NULL: the defaults. -1 when the logits are not numbers, or
 * without memory. */
GR_API gr_token gr_sample_token(const gr_sampling *sampling, const float *logits, int64_t vocab, const gr_token *tokens,
                                int64_t n, int64_t prompt);

/* Runs a model token by token: keys and values of what it has read are kept in a cache. `batch` sequences side by side,
 * each at its own length. */
typedef struct gr_generator gr_generator;
/* capacity: the most tokens of a sequence, prompt and answer, up to the model's limit; 0: the model's context. The model must outlive it. */
GR_API gr_generator *gr_generator_new(gr_model *model, int64_t batch, int64_t capacity);
GR_API void gr_generator_free(gr_generator *generator); /* NULL is fine */
/* Feeds sequence b count[b] >= 0 more tokens, tokens[b] points to them, in chunks; logits [batch, vocab] then holds
 * what follows each sequence's last token (rows of sequences given nothing stay as they are). More than the capacity is
 * an error that changes nothing. */
GR_API gr_status gr_generator_feed(gr_generator *generator, const gr_token *const *tokens, const int64_t *count,
                                   float *logits);
GR_API int64_t gr_generator_length(const gr_generator *generator, int64_t sequence);
GR_API gr_status gr_generator_reset(gr_generator *generator); /* all sequences empty again */
/* What reading and generating need, all programs counted; zeros on failure. */
GR_API gr_memory gr_generator_memory(gr_generator *generator);
/* What one more token for each text costs, when the cache is full. */
GR_API gr_status gr_generator_cost(gr_generator *generator, gr_cost *out);

/* Text of a model, from a prompt to its end. */
typedef enum gr_stop {
    GR_STOP_LENGTH, /* as many tokens as asked for, or the generator's capacity reached */
    GR_STOP_EOS,
    GR_STOP_TEXT,
    GR_STOP_ASKED, /* by options.cancel */
} gr_stop;
typedef struct gr_generate_options {
    int64_t max_tokens; /* new ones at most */
    gr_sampling sampling;
    const gr_token *eos; /* [n_eos] tokens that end the text, see gr_model_eos; NULL: none */
    int n_eos;
    const char *const *stop; /* [n_stop] texts that end it; they are looked for across tokens */
    int n_stop;
    /* Called with every new token and the text that is certain by now: whole characters, and nothing that could be the
     * beginning of a stop text. What was held back comes at the end, with id -1. May be NULL. */
    void (*token)(void *user, gr_token id, const char *text, size_t size);
    bool (*cancel)(void *user); /* asked before every token: true ends the text; may be NULL */
    void *user;
} gr_generate_options;
typedef struct gr_generated {
    gr_token *ids; /* [n] the new tokens, one that ended the text included */
    int64_t n;
    char *text; /* theirs, NUL-terminated; without control tokens and stop text; "" without tokenizer */
    size_t size;
    gr_stop stop;
    int64_t prefilled; /* tokens of the prompt that were read */
    double prefill_s;  /* to read them */
    double first_s;    /* until the first new token was there */
    double decode_s;   /* for all new ones behind the first */
} gr_generated;
/* Continues prompt[0, n), of which the generator's sequence 0 has read the first gr_generator_length already. tokenizer
 * may be NULL: then there is no text. *out is filled in as far as it came, on failure too; free it in any case. */
GR_API gr_status gr_generate(gr_generator *generator, gr_tokenizer *tokenizer, const gr_token *prompt, int64_t n,
                             const gr_generate_options *options, gr_generated *out);
/* The same for n texts at once, at most the generator's batch: prompts[i] of counts[i] tokens with options[i] becomes
 * out[i], by sequence i. Each is what it would be alone. Prompts that are equal are read once. */
GR_API gr_status gr_generate_batch(gr_generator *generator, gr_tokenizer *tokenizer, const gr_token *const *prompts,
                                   const int64_t *counts, const gr_generate_options *options, int64_t n,
                                   gr_generated *out);
GR_API void gr_generated_free(gr_generated *generated); /* NULL is fine */
/* The tokens that end a text: eos_token_id of dir/generation_config.json, else of config.json; one number or a list.
 * Fills in at most `cap`; *n tells how many there are. dir may be NULL. */
GR_API gr_status gr_model_eos(const gr_model *model, const char *dir, gr_token *ids, int cap, int *n);

/* How well a model predicts tokens it has not made. */
typedef struct gr_evaluate_options {
    int64_t context; /* tokens of a window; 0: the model's context; up to its limit */
    int64_t stride;  /* from window to window, at most context; 0: context */
    /* Told how many of the n - 1 tokens are done, and their mean loss; may be NULL. */
    void (*progress)(void *user, int64_t done, int64_t total, double loss);
    bool (*cancel)(void *user); /* asked between windows: true ends with GR_ERR_INTERRUPTED; may be NULL */
    void *user;
} gr_evaluate_options;
/* Mean loss of predicting each of tokens[1..n) once, from at least context - stride tokens before it in its window (as
 * many as there are, near the start; one at least). options NULL: all zero. */
GR_API gr_status gr_evaluate(gr_model *model, const gr_token *tokens, int64_t n, const gr_evaluate_options *options,
                             double *loss);

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
typedef enum gr_sample_fill { GR_FILL_UNIFORM, GR_FILL_INTEGER, GR_FILL_DISTINCT } gr_sample_fill;
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
    /* zeros: room for what later versions know, as a kernel's source for GPUs, so that records compiled today fit them; one
     * that sets what this version does not know is refused */
    const void *reserved[8];
};
enum {
    GR_OP_ELEMENTWISE = 1, /* output element i depends on element i of the (broadcast) inputs alone */
    GR_OP_EFFECT = 2,      /* runs even if nobody reads it. Effects that must keep their order write one tensor, if only
                              an empty one */
    GR_OP_STOP = 4,        /* no gradient flows through, and that is meant */
    GR_OP_BOUND = 8,       /* has no kernel: the program binds it to memory (input, param, constant) */
    GR_OP_STATE = 16,      /* a store's tensor as a run finds it (param) */
    GR_OP_BLOCKS = 32,     /* takes and makes dtypes whose values share blocks; other ops refuse them */
};

/* Appends a node. in[] may hold NULL only at optional inputs. Returns output 0. */
GR_API gr_tensor *gr_node(gr_graph *g, const gr_op *op, gr_tensor *const *in, int n, const void *attr);
/* Output k of a node with several. */
GR_API gr_tensor *gr_output(gr_tensor *node, int k);
/* For shape rules: fails with "op name: message (input shapes)". */
GR_API gr_status gr_op_fail(const gr_tensor *node, const char *fmt, ...);
/* How each op runs on each device that is there, and whether it has a gradient, as a line of JSON: what `gradus info --ops
 * --json` prints as "ops". Caller frees with gr_text_free. Any thread. */
GR_API char *gr_op_report(void);
/* The library's ops: gr_op_list(i) for i = 0, 1, … until NULL. */
GR_API const gr_op *gr_op_list(int i);

#ifdef __cplusplus
}
#endif

#endif
