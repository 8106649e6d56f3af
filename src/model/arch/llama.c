/* LLaMA (Touvron et al. 2023), as transformers' LlamaForCausalLM has it: RMSNorm, rotary positions, grouped-query
 * attention, SwiGLU, no biases. */
#include "model/arch/llama.h"

#include <string.h>

const char gr_llama_keys[] = "vocab_size max_position_embeddings hidden_size num_hidden_layers num_attention_heads "
                             "num_key_value_heads head_dim intermediate_size rms_norm_eps initializer_range "
                             "tie_word_embeddings rope_parameters rope_scaling rope_theta partial_rotary_factor "
                             "original_max_position_embeddings pad_token_id";
const char gr_llama_window_keys[] = "use_sliding_window sliding_window max_window_layers layer_types";

int64_t gr_llama_int(gr_json c, const char *key, int64_t absent, int64_t null, int64_t min, int64_t max)
{
    bool is_null = gr_json_type_of(gr_json_get(c, key)) == GR_JSON_NULL;
    return is_null ? null : gr_json_int(c, key, absent, min, max);
}

void gr_llama_read(gr_json c, gr_hparams *h, const gr_llama_usual *usual)
{
    h->vocab = gr_json_int(c, "vocab_size", usual->vocab, 1, 1 << 24);
    h->context = gr_json_int(c, "max_position_embeddings", usual->context, 1, 1 << 24);
    h->embed = gr_json_int(c, "hidden_size", usual->embed, 1, 1 << 20);
    h->layers = gr_json_int(c, "num_hidden_layers", usual->layers, 1, GR_MAX_LAYERS);
    h->heads = gr_json_int(c, "num_attention_heads", usual->heads, 1, 1 << 14);
    h->kv_heads =
        gr_llama_int(c, "num_key_value_heads", usual->kv_heads ? usual->kv_heads : h->heads, h->heads, 1, 1 << 14);
    int64_t head_dim = h->embed / h->heads;
    h->head_dim = gr_llama_int(c, "head_dim", usual->head_dim ? usual->head_dim : head_dim, head_dim, 1, 1 << 14);
    h->ffn = gr_json_int(c, "intermediate_size", usual->ffn, 1, 1 << 22);
    h->norm_eps = (float)gr_json_real(c, "rms_norm_eps", usual->eps, 0, 1);
    h->init_std = (float)gr_json_real(c, "initializer_range", 0.02, 0, 10);
    h->activation = gr_nn_activation(c, usual->activation_key, usual->activation);
    h->tied = gr_json_bool(c, "tie_word_embeddings", usual->tied);
    int64_t none = INT64_MIN, usually = usual->padding ? usual->padding - 1 : none;
    int64_t padding = gr_llama_int(c, "pad_token_id", usually, none, -h->vocab, h->vocab - 1);
    h->padding = padding == none ? -1 : padding < 0 ? padding + h->vocab : padding;
    if (h->heads % h->kv_heads)
        gr_json_fail(gr_json_get(c, "num_key_value_heads"), "%lld heads cannot share %lld key/value heads",
                     (long long)h->heads, (long long)h->kv_heads);
}

void gr_llama_read_rope(gr_json c, gr_hparams *h)
{
    gr_rope_read(c, &(gr_rope_model){h->head_dim, h->context, .theta = 10000, .theta_key = "rope_theta"}, &h->rope[0]);
}

static bool is_sliding(gr_json type, bool has_window)
{
    const char *name = gr_json_as_text(type, NULL);
    bool sliding = strcmp(name, "sliding_attention") == 0;
    if (!sliding && strcmp(name, "full_attention") != 0 && strcmp(name, "attention") != 0) /* its old name */
        gr_json_fail(type,
                     "layers of the type \"%s\" are not supported\nsupported are full_attention and "
                     "sliding_attention",
                     name);
    if (sliding && !has_window)
        gr_json_fail(
            type, "a layer with a sliding window, and no window\nset sliding_window in config.json, or make the layer "
                  "full_attention");
    return sliding;
}

void gr_llama_layer_types(gr_json c, gr_hparams *h, int64_t window, bool (*slides)(int64_t, int64_t), int64_t argument)
{
    gr_json types = gr_json_get(c, "layer_types");
    bool given = gr_json_is(types);
    if (given && gr_json_size(gr_json_as_array(types)) != (size_t)h->layers) {
        gr_json_fail(types, "%zu types for %lld layers\ngive one for each layer, or remove layer_types",
                     gr_json_size(types), (long long)h->layers);
        return;
    }
    for (int64_t i = 0; i < h->layers; i++)
        if (given ? is_sliding(gr_json_item(types, (size_t)i), window > 0) : window > 0 && slides(i, argument))
            h->layer[i].window = window;
}

static bool from(int64_t layer, int64_t first)
{
    return layer >= first;
}

void gr_llama_same_window(gr_json c, gr_hparams *h, int64_t usual)
{
    int64_t window = gr_llama_int(c, "sliding_window", usual, 0, 1, INT64_MAX);
    for (int64_t i = 0; i < h->layers; i++)
        h->layer[i].window = window;
}

void gr_llama_qwen_windows(gr_json c, gr_hparams *h)
{
    int64_t window = gr_llama_int(c, "sliding_window", 4096, 0, 1, INT64_MAX);
    window = gr_json_bool(c, "use_sliding_window", false) ? window : 0;
    gr_llama_layer_types(c, h, window, from, gr_json_int(c, "max_window_layers", 28, 0, INT64_MAX));
}

static const char keys[] = "hidden_act attention_bias mlp_bias";

static void read_config(gr_json c, gr_hparams *h)
{
    static const gr_llama_usual usual = {.vocab = 32000,
                                         .context = 2048,
                                         .embed = 4096,
                                         .layers = 32,
                                         .heads = 32,
                                         .ffn = 11008,
                                         .eps = 1e-6,
                                         .activation_key = "hidden_act",
                                         .activation = "silu"};
    gr_llama_read(c, h, &usual);
    gr_llama_read_rope(c, h);
    h->qkv_bias = h->out_bias = gr_json_bool(c, "attention_bias", false);
    h->mlp_bias = gr_json_bool(c, "mlp_bias", false);
}

/* Two thirds of four times the width, as in the paper, rounded up to a multiple of 32. */
static int64_t usual_ffn(int64_t embed)
{
    return (8 * embed / 3 + 31) / 32 * 32;
}

void gr_llama_write_sizes(const gr_model_info *i, gr_json c)
{
    gr_json_put_int(c, "vocab_size", i->vocab);
    gr_json_put_int(c, "max_position_embeddings", i->context);
    gr_json_put_int(c, "hidden_size", i->embed);
    gr_json_put_int(c, "intermediate_size", i->ffn ? i->ffn : usual_ffn(i->embed));
    gr_json_put_int(c, "num_hidden_layers", i->layers);
    gr_json_put_int(c, "num_attention_heads", i->heads);
    gr_json_put_int(c, "num_key_value_heads", i->kv_heads);
    gr_json_put_int(c, "head_dim", i->head_dim);
    gr_json_put_real(c, "rms_norm_eps", 1e-5);
    gr_json_put_real(c, "initializer_range", gr_usual_init(i->embed));
}

void gr_llama_write(const gr_model_info *i, gr_json c)
{
    gr_llama_write_sizes(i, c);
    gr_json_put_text(c, "hidden_act", "silu");
    gr_json_put_real(c, "rope_theta", 10000);
}

static void write_config(const gr_model_info *i, gr_json c)
{
    gr_llama_write(i, c);
    gr_json_put_bool(c, "attention_bias", false);
    gr_json_put_bool(c, "mlp_bias", false);
}

gr_tensor *gr_llama_attention(gr_build *b, gr_tensor *x)
{
    const gr_hparams *h = b->h;
    gr_tensor *q = gr_nn_linear(b, x, "self_attn.q_proj", h->heads * h->head_dim, h->qkv_bias, 0);
    gr_tensor *k = gr_nn_linear(b, x, "self_attn.k_proj", h->kv_heads * h->head_dim, h->qkv_bias, 0);
    gr_tensor *v = gr_nn_linear(b, x, "self_attn.v_proj", h->kv_heads * h->head_dim, h->qkv_bias, 0);
    if (h->qk_norm != GR_WHOLE_NORM) {
        q = gr_nn_heads(q, h->heads);
        k = gr_nn_heads(k, h->kv_heads);
    }
    if (h->qk_norm != GR_NO_NORM) {
        q = gr_nn_rms_norm(b, q, "self_attn.q_norm");
        k = gr_nn_rms_norm(b, k, "self_attn.k_norm");
    }
    if (h->qk_norm == GR_WHOLE_NORM) {
        q = gr_nn_heads(q, h->heads);
        k = gr_nn_heads(k, h->kv_heads);
    }
    gr_tensor *y = gr_nn_attention(b, q, k, gr_nn_heads(v, h->kv_heads));
    return gr_nn_dropout(b, gr_nn_linear(b, y, "self_attn.o_proj", h->embed, h->out_bias, 0));
}

gr_tensor *gr_llama_mlp(gr_build *b, gr_tensor *x)
{
    const gr_hparams *h = b->h;
    gr_tensor *gate = gr_nn_linear(b, x, "mlp.gate_proj", h->ffn, h->mlp_bias, 0);
    gr_tensor *up = gr_nn_linear(b, x, "mlp.up_proj", h->ffn, h->mlp_bias, 0);
    return gr_nn_dropout(b, gr_nn_linear(b, gr_nn_gate(h, gate, up), "mlp.down_proj", h->embed, h->mlp_bias, 0));
}

gr_tensor *gr_llama_block(gr_build *b, gr_tensor *x)
{
    x = gr_add(x, gr_llama_attention(b, gr_nn_rms_norm(b, x, "input_layernorm")));
    return gr_add(x, gr_llama_mlp(b, gr_nn_rms_norm(b, x, "post_attention_layernorm")));
}

gr_tensor *gr_llama_embed(gr_build *b, gr_tensor *tokens)
{
    const gr_hparams *h = b->h;
    gr_tensor *x = gr_nn_embedding(b, tokens, "embed_tokens", h->vocab, h->embed);
    return gr_nn_dropout(b, h->embed_scale != 0 ? gr_scale(x, h->embed_scale) : x);
}

gr_tensor *gr_llama_norm(gr_build *b, gr_tensor *x)
{
    return gr_nn_rms_norm(b, x, "norm");
}

static gr_tensor *capped(gr_tensor *logits, double cap)
{
    return cap != 0 ? gr_scale(gr_tanh(gr_scale(logits, 1 / cap)), cap) : logits;
}

gr_tensor *gr_llama_head(gr_build *b, gr_tensor *x)
{
    return capped(gr_nn_head(b, x, "embed_tokens"), b->h->logit_cap);
}

/* Old files carry the rotary frequencies of every layer. */
bool gr_llama_ignores(const char *name)
{
    return strstr(name, ".rotary_emb.inv_freq") != NULL;
}

static void read_gguf(gr_gguf_reader *r, gr_json c)
{
    gr_llama_gguf_read_biased(r, c);
    gr_json_put_bool(c, "mlp_bias", gr_gguf_has_tensor(r, "blk.0.ffn_up.bias"));
}

static const gr_gguf_arch gguf = {
    .name = "llama",
    .tensors = {gr_llama_gguf_tensors, gr_llama_gguf_pairs},
    .numbers = {gr_llama_gguf_numbers},
    .read = read_gguf,
};

const gr_arch gr_arch_llama = {
    .model_type = "llama",
    .class_name = "LlamaForCausalLM",
    GR_LLAMA_FAMILY,
    .keys = {gr_llama_keys, keys},
    .read = read_config,
    .write = write_config,
    .block = gr_llama_block,
    .targets = {"q_proj", "v_proj"},
    .gguf = &gguf,
};
