/* Qwen 3 (Yang et al. 2025), as transformers' Qwen3ForCausalLM has it: LLaMA with an RMSNorm over every head of q and
 * k, heads of a width of their own, and sliding windows in the upper layers where they are switched on. */
#include "model/arch/llama.h"

static const char keys[] = "hidden_act attention_bias";

static void read_config(gr_json c, gr_hparams *h)
{
    static const gr_llama_usual usual = {.vocab = 151936,
                                         .context = 32768,
                                         .embed = 4096,
                                         .layers = 32,
                                         .heads = 32,
                                         .kv_heads = 32,
                                         .head_dim = 128,
                                         .ffn = 22016,
                                         .eps = 1e-6,
                                         .activation_key = "hidden_act",
                                         .activation = "silu"};
    gr_llama_read(c, h, &usual);
    gr_llama_read_rope(c, h);
    h->qkv_bias = h->out_bias = gr_json_bool(c, "attention_bias", false);
    h->qk_norm = GR_HEADS_NORM;
    gr_llama_qwen_windows(c, h);
}

static void write_config(const gr_model_info *i, gr_json c)
{
    gr_llama_write(i, c);
    gr_json_put_bool(c, "attention_bias", false);
    gr_json_put_bool(c, "use_sliding_window", false);
}

static const gr_gguf_arch gguf = {
    .name = "qwen3",
    .tensors = {gr_llama_gguf_tensors, gr_llama_gguf_halves},
    .numbers = {gr_llama_gguf_numbers},
    .read = gr_llama_gguf_read_biased,
};

const gr_arch gr_arch_qwen3 = {
    .model_type = "qwen3",
    .class_name = "Qwen3ForCausalLM",
    GR_LLAMA_FAMILY,
    .keys = {gr_llama_keys, gr_llama_window_keys, keys},
    .read = read_config,
    .write = write_config,
    .block = gr_llama_block,
    .targets = {"q_proj", "v_proj"},
    .gguf = &gguf,
};
