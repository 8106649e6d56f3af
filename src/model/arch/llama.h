/* What the architectures of LLaMA's family share: keys of config.json, and the graph. */
#ifndef GR_MODEL_LLAMA_H
#define GR_MODEL_LLAMA_H

#include "model/arch/list.h"
#include "model/layers/nn.h"

/* What the architecture's class in transformers takes where a key is absent. 0: kv_heads those of heads, head_dim from
 * embed. */
typedef struct gr_llama_usual {
    int64_t vocab, context, embed, layers, heads, kv_heads, head_dim, ffn;
    double eps;
    int64_t padding; /* pad_token_id + 1; 0: none */
    bool tied;
    const char *activation_key, *activation;
} gr_llama_usual;

/* The keys that all of them have but for hidden_act, and those of gr_llama_qwen_windows. */
extern const char gr_llama_keys[], gr_llama_window_keys[];
/* The keys that all of them have, rotary settings not among them. */
void gr_llama_read(gr_json c, gr_hparams *h, const gr_llama_usual *usual);
/* One set of rotary settings for all layers. */
void gr_llama_read_rope(gr_json c, gr_hparams *h);
/* An integer key that may be null, which is not the same as absent. */
int64_t gr_llama_int(gr_json c, const char *key, int64_t absent, int64_t null, int64_t min, int64_t max);
/* Which layers have the window (0: there is none): by layer_types where it is given, else those for which `slides` is
 * true. */
void gr_llama_layer_types(gr_json c, gr_hparams *h, int64_t window, bool (*slides)(int64_t layer, int64_t argument),
                          int64_t argument);
/* sliding_window, of every layer alike. */
void gr_llama_same_window(gr_json c, gr_hparams *h, int64_t usual);
/* use_sliding_window, sliding_window, max_window_layers and layer_types, as Qwen has them. */
void gr_llama_qwen_windows(gr_json c, gr_hparams *h);
/* To the keys of a new config.json: sizes; and what else a LLaMA has. */
void gr_llama_write_sizes(const gr_model_info *info, gr_json c);
void gr_llama_write(const gr_model_info *info, gr_json c);

/* ---- GGUF files --------------------------------------------------------------------------------------------- */

/* Tensors that all of them have; those of heads whose halves turn together, and of heads whose neighbours do. */
extern const gr_gguf_named gr_llama_gguf_tensors[], gr_llama_gguf_halves[], gr_llama_gguf_pairs[];
extern const gr_gguf_number gr_llama_gguf_numbers[];
/* Widths of heads and rotary settings; partial: where a part of a head may turn. */
void gr_llama_gguf_read(gr_gguf_reader *r, gr_json c);
void gr_llama_gguf_read_partial(gr_gguf_reader *r, gr_json c);
/* The same of architectures whose attention may have biases, on all of it or nowhere. */
void gr_llama_gguf_read_biased(gr_gguf_reader *r, gr_json c);

/* ---- the graph ---------------------------------------------------------------------------------------------- */

/* x [B, T, C]: attention and MLP, without the norms around them. */
gr_tensor *gr_llama_attention(gr_build *b, gr_tensor *x);
gr_tensor *gr_llama_mlp(gr_build *b, gr_tensor *x);
/* LLaMA's own block, x [B, T, C]: norms before both. */
gr_tensor *gr_llama_block(gr_build *b, gr_tensor *x);
/* What is around the blocks. */
gr_tensor *gr_llama_embed(gr_build *b, gr_tensor *tokens);
gr_tensor *gr_llama_norm(gr_build *b, gr_tensor *x);
gr_tensor *gr_llama_head(gr_build *b, gr_tensor *x);
bool gr_llama_ignores(const char *name);

/* What the records of the family have in common: names of weights, and what is around the blocks. */
#define GR_LLAMA_FAMILY                                                                                                \
    .prefix = "model.", .embedding = "embed_tokens.weight", .last_norm = "norm.weight", .layers = "layers",            \
    .embed = gr_llama_embed, .norm = gr_llama_norm, .head = gr_llama_head, .ignores = gr_llama_ignores

#endif
