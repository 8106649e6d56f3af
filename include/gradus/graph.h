/* Graphs: tensors, the ops that make them, effects, gradients. Part of gradus.h. */
#ifndef GRADUS_GRAPH_H
#define GRADUS_GRAPH_H

#include "gradus/core.h"

#ifdef __cplusplus
extern "C" {
#endif

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
GR_API gr_status gr_graph_print(const gr_graph *graph, bool (*write)(void *user, const char *line), void *user);

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

/* What an attention looks at: GR_INIT(gr_attention_options), then what differs; NULL is all zeros. */
typedef struct gr_attention_options {
    size_t size;
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

/* ---- effects: ops that write a store's tensor --------------------------------------------------------------- */

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
    size_t size;
    float beta1, beta2, eps, weight_decay;
    uint32_t stream; /* with moments, or a parameter, of bf16: another number below 2^30 for each parameter */
} gr_adamw_options;
/* torch.optim.AdamW (Loshchilov & Hutter 2019), moments m and v f32 like param, or both bf16, then rounded at random by
 * (step, stream, element), as param is where it is bf16, whose moments are f32 or bf16; lr f32 []; step i64 []: 1, 2, … Outputs 1 and 2 are the moments' new versions. */
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

#ifdef __cplusplus
}
#endif

#endif
