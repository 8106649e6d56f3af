/* Phi-3 and Phi-4 (Abdin et al. 2024), as transformers' Phi3ForCausalLM has it: LLaMA with one matrix for q, k and v and
 * one for gate and up; long contexts by a factor for each rotary frequency. */
#include "model/arch/llama.h"

#include <string.h>

static const char keys[] = "hidden_act sliding_window";

static void read_rope(gr_json c, gr_hparams *h)
{
    gr_rope_model m = {h->head_dim, h->context, .partial = true, .theta = 10000, .theta_key = "rope_theta"};
    m.original = 4096;
    gr_rope_read(c, &m, &h->rope[0]);
    gr_json rope = gr_json_get(c, gr_json_is(gr_json_get(c, "rope_scaling")) ? "rope_scaling" : "rope_parameters");
    const char *type = gr_json_text(rope, "rope_type", gr_json_text(rope, "type", "default"));
    if (strcmp(type, "default") != 0 && strcmp(type, "longrope") != 0)
        gr_json_fail(rope, "rope type \"%s\" is not supported for a phi3 model\nsupported are default and longrope",
                     type);
}

static void read_config(gr_json c, gr_hparams *h)
{
    static const gr_llama_usual usual = {.vocab = 32064,
                                         .context = 4096,
                                         .embed = 3072,
                                         .layers = 32,
                                         .heads = 32,
                                         .ffn = 8192,
                                         .eps = 1e-5,
                                         .padding = 32001,
                                         .activation_key = "hidden_act",
                                         .activation = "silu"};
    gr_llama_read(c, h, &usual);
    read_rope(c, h);
    gr_llama_same_window(c, h, 0);
}

static void write_config(const gr_model_info *i, gr_json c)
{
    gr_llama_write(i, c);
    gr_json_put_null(c, "pad_token_id");
}

static gr_tensor *attention(gr_build *b, gr_tensor *x)
{
    const gr_hparams *h = b->h;
    int64_t q = h->heads * h->head_dim, kv = h->kv_heads * h->head_dim;
    gr_tensor *qkv[3];
    gr_split(gr_nn_linear(b, x, "self_attn.qkv_proj", q + 2 * kv, false, 0), 2, (int64_t[]){q, kv, kv}, 3, qkv);
    for (int i = 0; i < 3; i++)
        qkv[i] = gr_nn_heads(qkv[i], i ? h->kv_heads : h->heads);
    gr_tensor *y = gr_nn_attention(b, qkv[0], qkv[1], qkv[2]);
    return gr_nn_dropout(b, gr_nn_linear(b, y, "self_attn.o_proj", h->embed, false, 0));
}

static gr_tensor *mlp(gr_build *b, gr_tensor *x)
{
    const gr_hparams *h = b->h;
    gr_tensor *both[2];
    gr_split(gr_nn_linear(b, x, "mlp.gate_up_proj", 2 * h->ffn, false, 0), 2, (int64_t[]){h->ffn, h->ffn}, 2, both);
    return gr_nn_dropout(b, gr_nn_linear(b, gr_nn_gate(h, both[0], both[1]), "mlp.down_proj", h->embed, false, 0));
}

static gr_tensor *block(gr_build *b, gr_tensor *x) /* [B, T, C] */
{
    x = gr_add(x, attention(b, gr_nn_rms_norm(b, x, "input_layernorm")));
    return gr_add(x, mlp(b, gr_nn_rms_norm(b, x, "post_attention_layernorm")));
}

static const gr_gguf_named tensors[] = {
    {"layers.{}.self_attn.qkv_proj", "blk.{}.attn_qkv", GR_GGUF_SAME},
    {"layers.{}.mlp.gate_up_proj", "blk.{}.ffn_up", GR_GGUF_SAME},
    {0},
};
static const gr_gguf_number numbers[] = {
    {"sliding_window", "attention.sliding_window", GR_GGUF_INT, true},
    {"original_max_position_embeddings", "rope.scaling.original_context_length", GR_GGUF_INT, true},
    {0},
};

static const gr_gguf_arch gguf = {
    .name = "phi3",
    .tensors = {tensors, gr_llama_gguf_tensors, gr_llama_gguf_halves},
    .numbers = {gr_llama_gguf_numbers, numbers},
    .read = gr_llama_gguf_read_partial,
};

const gr_arch gr_arch_phi3 = {
    .model_type = "phi3",
    .class_name = "Phi3ForCausalLM",
    GR_LLAMA_FAMILY,
    .keys = {gr_llama_keys, keys},
    .read = read_config,
    .write = write_config,
    .block = block,
    .targets = {"qkv_proj"},
    .gguf = &gguf,
};
