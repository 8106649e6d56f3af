/* Mistral (Jiang et al. 2023), as transformers' MistralForCausalLM has it: LLaMA, in which every layer sees the last
 * sliding_window tokens only. */
#include "model/llama.h"

static const char keys[] = "sliding_window";

static void read_config(gr_json c, gr_hparams *h)
{
    static const gr_llama_usual usual = {
        .vocab = 32000, .context = 4096 * 32, .embed = 4096, .layers = 32, .heads = 32, .kv_heads = 8, .ffn = 14336};
    gr_llama_read(c, h, &usual);
    h->window = gr_llama_int(c, "sliding_window", 4096, 0, 1, INT64_MAX);
    gr_llama_layer_types(c, h, 0);
    for (int64_t i = 0; h->window && i < h->layers; i++)
        if (!(h->sliding[i / 8] >> i % 8 & 1))
            gr_json_fail(gr_json_get(c, "layer_types"), "a mistral model has the same window in every layer");
}

static void write_config(const gr_model_info *i, gr_json c)
{
    gr_llama_write(i, c);
    gr_json_put_null(c, "sliding_window");
}

const gr_arch gr_arch_mistral = {
    .model_type = "mistral",
    .class_name = "MistralForCausalLM",
    .prefix = "model.",
    .keys = {gr_llama_keys, keys},
    .read = read_config,
    .write = write_config,
    .logits = gr_llama_logits,
    .ignores = gr_llama_ignores,
};
