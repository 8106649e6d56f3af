/* Gemma 3 (Gemma team 2025), as transformers' Gemma3ForCausalLM has it: five layers with a sliding window to one that sees
 * everything, with rotary settings for each kind; norms before and behind each sublayer and over the heads of q and k. */
#include "model/arch/llama.h"

#include <math.h>
#include <string.h>

static const char keys[] =
    "hidden_activation attention_bias layer_types sliding_window sliding_window_pattern rope_local_base_freq "
    "query_pre_attn_scalar final_logit_softcapping";

/* Settings by layer type, or the old keys, in which rope_scaling is of the layers that see everything. */
static void read_rope(gr_json c, gr_hparams *h)
{
    gr_json both = gr_json_get(c, "rope_parameters"), full = gr_json_get(c, "rope_scaling");
    gr_rope_model m = {h->head_dim, h->context, .theta = 1e6, .theta_key = "rope_theta"};
    if (gr_json_is(both) && gr_json_is(full))
        gr_json_fail(full, "stands beside rope_parameters\ngive one of them");
    if (gr_json_is(both))
        gr_json_as_object(both);
    for (gr_json_iter it = gr_json_first(both); it.key; gr_json_next(&it))
        if (strcmp(it.key, "full_attention") != 0 && strcmp(it.key, "sliding_attention") != 0)
            gr_json_fail(it.value, "expected settings for full_attention and sliding_attention");
    full = gr_json_is(both) ? gr_json_get(both, "full_attention") : full;
    gr_rope_read_one(full, c, &m, true, &h->rope[0]);
    m.theta = 1e4;
    m.theta_key = "rope_local_base_freq";
    gr_rope_read_one(gr_json_get(both, "sliding_attention"), c, &m, true, &h->rope[1]);
}

static bool is_no_last(int64_t layer, int64_t pattern)
{
    return (layer + 1) % pattern != 0;
}

static void read_config(gr_json c, gr_hparams *h)
{
    static const gr_llama_usual usual = {.vocab = 262208,
                                         .context = 131072,
                                         .embed = 2304,
                                         .layers = 26,
                                         .heads = 8,
                                         .kv_heads = 4,
                                         .head_dim = 256,
                                         .ffn = 9216,
                                         .eps = 1e-6,
                                         .padding = 1,
                                         .tied = true,
                                         .activation_key = "hidden_activation",
                                         .activation = "gelu_pytorch_tanh"};
    gr_llama_read(c, h, &usual);
    read_rope(c, h);
    h->qkv_bias = h->out_bias = gr_json_bool(c, "attention_bias", false);
    h->qk_norm = GR_HEADS_NORM;
    h->norm_plus_one = true;
    h->embed_scale = (float)sqrt((double)h->embed);
    h->attention_scale = (float)(1 / sqrt(gr_json_real(c, "query_pre_attn_scalar", 256, 1e-6, 1e12)));
    h->logit_cap = (float)gr_json_real(c, "final_logit_softcapping", 0, 1e-6, 1e12);
    int64_t window = gr_llama_int(c, "sliding_window", 4096, 0, 1, INT64_MAX);
    if (window == 0)
        gr_json_fail(gr_json_get(c, "sliding_window"),
                     "this model_type needs a window\nset it to the number of tokens that sliding layers see");
    gr_llama_layer_types(c, h, window, is_no_last, gr_json_int(c, "sliding_window_pattern", 6, 1, INT64_MAX));
    for (int64_t i = 0; i < h->layers; i++)
        h->layer[i].rope = h->layer[i].window > 0;
}

static void write_config(const gr_model_info *i, gr_json c)
{
    gr_llama_write_sizes(i, c);
    gr_json_put_text(c, "hidden_activation", "gelu_pytorch_tanh");
    gr_json_put_bool(c, "attention_bias", false);
    gr_json_put_int(c, "query_pre_attn_scalar", i->head_dim);
    gr_json_put_int(c, "sliding_window", 512);
    gr_json_put_null(c, "pad_token_id");
    gr_json rope = gr_json_put_object(c, "rope_parameters"), full = gr_json_put_object(rope, "full_attention");
    gr_json_put_text(full, "rope_type", "default");
    gr_json_put_real(full, "rope_theta", 1e6);
    gr_json sliding = gr_json_put_object(rope, "sliding_attention");
    gr_json_put_text(sliding, "rope_type", "default");
    gr_json_put_real(sliding, "rope_theta", 1e4);
}

static gr_tensor *block(gr_build *b, gr_tensor *x) /* [B, T, C] */
{
    gr_tensor *y = gr_llama_attention(b, gr_nn_rms_norm(b, x, "input_layernorm"));
    x = gr_add(x, gr_nn_rms_norm(b, y, "post_attention_layernorm"));
    y = gr_llama_mlp(b, gr_nn_rms_norm(b, x, "pre_feedforward_layernorm"));
    return gr_add(x, gr_nn_rms_norm(b, y, "post_feedforward_layernorm"));
}

static const gr_gguf_named tensors[] = {
    {"norm", "output_norm", GR_GGUF_PLUS_ONE},
    {"layers.{}.input_layernorm", "blk.{}.attn_norm", GR_GGUF_PLUS_ONE},
    {"layers.{}.post_attention_layernorm", "blk.{}.post_attention_norm", GR_GGUF_PLUS_ONE},
    {"layers.{}.pre_feedforward_layernorm", "blk.{}.ffn_norm", GR_GGUF_PLUS_ONE},
    {"layers.{}.post_feedforward_layernorm", "blk.{}.post_ffw_norm", GR_GGUF_PLUS_ONE},
    {"layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm", GR_GGUF_PLUS_ONE},
    {"layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm", GR_GGUF_PLUS_ONE},
    {0},
};
static const gr_gguf_number numbers[] = {
    {"sliding_window", "attention.sliding_window", GR_GGUF_INT, true},
    {"rope_local_base_freq", "rope.freq_base_swa", GR_GGUF_REAL, true},
    {"final_logit_softcapping", "final_logit_softcapping", GR_GGUF_REAL, true},
    {0},
};

/* What queries are scaled by files do not say, but for those written here. It is 256 in all models, as transformers has it where
 * nothing says otherwise, but in the largest: that is known by its layers, and by it llama.cpp knows it, too. */
static double scalar_of(gr_gguf_reader *r, gr_json c)
{
    enum { LARGEST = 62, USUAL = 256 };
    double scale;
    if (gr_gguf_take_real(r, "attention.scale", &scale) && scale > 0)
        return 1 / (scale * scale);
    if (gr_json_int(c, "num_hidden_layers", 1, 1, INT64_MAX) != LARGEST)
        return USUAL;
    return (double)(gr_json_int(c, "hidden_size", 1, 1, INT64_MAX) /
                    gr_json_int(c, "num_attention_heads", 1, 1, INT64_MAX));
}

/* Every sixth layer sees everything. */
static void read_gguf(gr_gguf_reader *r, gr_json c)
{
    gr_llama_gguf_read(r, c);
    int64_t layers = gr_json_int(c, "num_hidden_layers", 1, 1, INT64_MAX);
    gr_gguf_put_real(c, "query_pre_attn_scalar", scalar_of(r, c));
    if (!gr_json_is(gr_json_get(c, "rope_theta")))
        gr_json_put_real(c, "rope_theta", 1e4); /* what is usual in these files, and not in this architecture */
    if (gr_json_is(gr_json_get(c, "sliding_window")))
        return;
    gr_json_put_int(c, "sliding_window", 1); /* of no layer */
    gr_json types = gr_json_put_array(c, "layer_types");
    for (int64_t i = 0; i < layers && layers <= GR_MAX_LAYERS; i++)
        gr_json_put_text(types, NULL, "full_attention");
}

static const gr_gguf_arch gguf = {
    .name = "gemma3",
    .tensors = {tensors, gr_llama_gguf_tensors, gr_llama_gguf_halves},
    .numbers = {gr_llama_gguf_numbers, numbers},
    .read = read_gguf,
};

const gr_arch gr_arch_gemma3_text = {
    .model_type = "gemma3_text",
    .class_name = "Gemma3ForCausalLM",
    GR_LLAMA_FAMILY,
    .refuses = "use_bidirectional_attention",
    .keys = {gr_llama_keys, keys},
    .read = read_config,
    .write = write_config,
    .block = block,
    .targets = {"q_proj", "v_proj"},
    .gguf = &gguf,
};
