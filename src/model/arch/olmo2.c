/* OLMo 2 (OLMo team 2024), as transformers' Olmo2ForCausalLM has it: LLaMA with norms behind the sublayers instead of
 * before them, and over all of q and k. */
#include "model/arch/llama.h"

static const char keys[] = "hidden_act attention_bias";

static void read_config(gr_json c, gr_hparams *h)
{
    static const gr_llama_usual usual = {.vocab = 50304,
                                         .context = 2048,
                                         .embed = 4096,
                                         .layers = 32,
                                         .heads = 32,
                                         .ffn = 11008,
                                         .eps = 1e-5,
                                         .padding = 2,
                                         .activation_key = "hidden_act",
                                         .activation = "silu"};
    gr_llama_read(c, h, &usual);
    gr_llama_read_rope(c, h);
    h->qkv_bias = h->out_bias = gr_json_bool(c, "attention_bias", false);
    h->qk_norm = GR_WHOLE_NORM;
}

static void write_config(const gr_model_info *i, gr_json c)
{
    gr_llama_write(i, c);
    gr_json_put_bool(c, "attention_bias", false);
    gr_json_put_null(c, "pad_token_id");
}

static gr_tensor *block(gr_build *b, gr_tensor *x) /* [B, T, C] */
{
    x = gr_add(x, gr_nn_rms_norm(b, gr_llama_attention(b, x), "post_attention_layernorm"));
    return gr_add(x, gr_nn_rms_norm(b, gr_llama_mlp(b, x), "post_feedforward_layernorm"));
}

static const gr_gguf_named tensors[] = {
    {"layers.{}.post_attention_layernorm", "blk.{}.post_attention_norm", GR_GGUF_SAME},
    {"layers.{}.post_feedforward_layernorm", "blk.{}.post_ffw_norm", GR_GGUF_SAME},
    {0},
};

static const gr_gguf_arch gguf = {
    .name = "olmo2",
    .tensors = {tensors, gr_llama_gguf_tensors, gr_llama_gguf_halves},
    .numbers = {gr_llama_gguf_numbers},
    .read = gr_llama_gguf_read_biased,
};

const gr_arch gr_arch_olmo2 = {
    .model_type = "olmo2",
    .class_name = "Olmo2ForCausalLM",
    GR_LLAMA_FAMILY,
    .keys = {gr_llama_keys, keys},
    .read = read_config,
    .write = write_config,
    .block = block,
    .targets = {"q_proj", "v_proj"},
    .gguf = &gguf,
};
