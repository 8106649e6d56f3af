/* What the architectures of LLaMA's family share: keys of config.json, and the graph. */
#ifndef GR_MODEL_LLAMA_H
#define GR_MODEL_LLAMA_H

#include "model/nn.h"

/* What the architecture's class in transformers takes where a key is absent. 0: kv_heads those of heads, head_dim from
 * embed. */
typedef struct gr_llama_usual {
    int64_t vocab, context, embed, layers, heads, kv_heads, head_dim, ffn;
} gr_llama_usual;

/* The keys that all of them have, and those of gr_llama_qwen_windows. */
extern const char gr_llama_keys[], gr_llama_window_keys[];
void gr_llama_read(gr_json c, gr_hparams *h, const gr_llama_usual *usual);
/* An integer key that may be null, which is not the same as absent. */
int64_t gr_llama_int(gr_json c, const char *key, int64_t absent, int64_t null, int64_t min, int64_t max);
/* Which layers slide: layer_types where it is given, else all from `first` on. For architectures with h->window > 0. */
void gr_llama_layer_types(gr_json c, gr_hparams *h, int64_t first);
/* use_sliding_window, sliding_window, max_window_layers and layer_types, as Qwen has them. */
void gr_llama_qwen_windows(gr_json c, gr_hparams *h);
void gr_llama_write(const gr_model_info *info, gr_json c);

gr_tensor *gr_llama_logits(gr_build *b, gr_tensor *tokens);
bool gr_llama_ignores(const char *name);

#endif
