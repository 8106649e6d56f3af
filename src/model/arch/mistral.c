/* Mistral (Jiang et al. 2023), as transformers' MistralForCausalLM has it: LLaMA, in which every layer sees the last
 * sliding_window tokens only. */
#include "model/arch/llama.h"

static const char keys[] = "hidden_act sliding_window";

static void read_config(gr_json c, gr_hparams *h)
{
    static const gr_llama_usual usual = {.vocab = 32000,
                                         .context = 4096 * 32,
                                         .embed = 4096,
                                         .layers = 32,
                                         .heads = 32,
                                         .kv_heads = 8,
                                         .ffn = 14336,
                                         .eps = 1e-6,
                                         .activation_key = "hidden_act",
                                         .activation = "silu"};
    gr_llama_read(c, h, &usual);
    gr_llama_read_rope(c, h);
    gr_llama_same_window(c, h, 4096);
}

static void write_config(const gr_model_info *i, gr_json c)
{
    gr_llama_write(i, c);
    gr_json_put_null(c, "sliding_window");
}

static const gr_gguf_number numbers[] = {{"sliding_window", "attention.sliding_window", GR_GGUF_INT, false}, {0}};

static const gr_gguf_arch gguf = {
    .name = "llama",
    .only = "attention.sliding_window",
    .tensors = {gr_llama_gguf_tensors, gr_llama_gguf_pairs},
    .numbers = {gr_llama_gguf_numbers, numbers},
    .read = gr_llama_gguf_read,
};

const gr_arch gr_arch_mistral = {
    .model_type = "mistral",
    .class_name = "MistralForCausalLM",
    GR_LLAMA_FAMILY,
    .keys = {gr_llama_keys, keys},
    .read = read_config,
    .write = write_config,
    .block = gr_llama_block,
    .targets = {"q_proj", "v_proj"},
    .gguf = &gguf,
};
