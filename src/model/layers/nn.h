/* The layers that models are made of, written once. Names are relative to the scope of the graph ("h.3."), so that a
 * parameter's full name is its Hugging Face name. Building a graph over an empty store declares the parameters: the
 * forward pass is also the list of weights. */
#ifndef GR_MODEL_NN_H
#define GR_MODEL_NN_H

#include "model/layers/model.h"

typedef struct gr_build {
    gr_model *model;
    const gr_hparams *h;
    gr_graph *g;
    const gr_forward *forward;
    gr_tensor *positions; /* i64 [B, T] */
    int layer;
    gr_tensor *inv_freq[2]; /* of gr_hparams.rope, made when needed */
    uint32_t stream;        /* of the next dropout */
    const int32_t *order;   /* of the last gr_nn_sorted, with what it was given and gave */
    gr_tensor *unsorted, *sorted;
} gr_build;

/* ---- parameters --------------------------------------------------------------------------------------------- */

/* The parameter scope + name, declared with this shape where the store does not have it yet. Its dtype is that of the
 * file it is loaded from: f32, f16 or bf16. */
gr_tensor *gr_nn_param(gr_build *b, const char *name, gr_init init, float std, int ndim, const int64_t *shape);
/* x in f32, as all activations are; f32 itself stays as it is. For parameters that are no factor of a gr_matmul: norms'
 * weights, biases, rows of a table. */
gr_tensor *gr_nn_f32(gr_tensor *x);
/* x [.., C] of ids [..], through which nothing is learned about the padding token. */
gr_tensor *gr_nn_no_padding(gr_build *b, gr_tensor *x, gr_tensor *ids);

/* ---- layers ------------------------------------------------------------------------------------------------- */

gr_tensor *gr_nn_embedding(gr_build *b, gr_tensor *ids, const char *name, int64_t rows, int64_t width);
/* x [.., in] to [.., out]; weight [out, in] as torch.nn.Linear has it, std 0 = the model's. */
gr_tensor *gr_nn_linear(gr_build *b, gr_tensor *x, const char *name, int64_t out, bool bias, float std);
/* x [.., C] as [.., order[0]], [.., order[1]], ...: what a weight is multiplied by, or added, whose columns are sorted so. */
gr_tensor *gr_nn_sorted(gr_build *b, gr_tensor *x, const int32_t *order);
/* The same with weight [in, out], as GPT-2's Conv1D has it. */
gr_tensor *gr_nn_conv1d(gr_build *b, gr_tensor *x, const char *name, int64_t out, float std);
/* Logits [.., V] of x [.., C]: "lm_head", or where the model ties it x · weight^T with the weight of `embedding`. */
gr_tensor *gr_nn_head(gr_build *b, gr_tensor *x, const char *embedding);
gr_tensor *gr_nn_layer_norm(gr_build *b, gr_tensor *x, const char *name);
gr_tensor *gr_nn_rms_norm(gr_build *b, gr_tensor *x, const char *name);
gr_tensor *gr_nn_dropout(gr_build *b, gr_tensor *x);
/* q [B,T,H,D], k and v [B,T,G,D]: turns q and k by the layer's rotary settings if it has some, writes the cache if there
 * is one, attends, and gives [B, T, H·D]. */
gr_tensor *gr_nn_attention(gr_build *b, gr_tensor *q, gr_tensor *k, gr_tensor *v);
/* act(gate) * up, in one op where there is one for it. */
gr_tensor *gr_nn_gate(const gr_hparams *h, gr_tensor *gate, gr_tensor *up);
/* [B, T, n·D] as heads [B, T, n, D]. */
gr_tensor *gr_nn_heads(gr_tensor *x, int64_t n);

/* ---- the cache, where the forward pass has one -------------------------------------------------------------- */

/* Notes the positions of the new tokens, once for all layers; false on failure. */
bool gr_nn_open_cache(gr_build *b);
/* Keys or values as a cache of this dtype keeps them. */
gr_tensor *gr_nn_kept(gr_tensor *x, gr_dtype dtype);
/* Writes the rows x [B, T, G, D] of the current layer's "k" or "v" and gives all that are kept, [B, S, G, D]. */
gr_tensor *gr_nn_cached(gr_build *b, gr_tensor *x, const char *which);
/* Their positions [B, S], -1 where no token is. */
gr_tensor *gr_nn_cached_positions(gr_build *b, const gr_tensor *all);

/* hidden_act by the name transformers has for it; refuses others. */
gr_tensor *(*gr_nn_activation(gr_json config, const char *key, const char *fallback))(gr_tensor *);

#endif
