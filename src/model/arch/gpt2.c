/* GPT-2 (Radford et al. 2019), as transformers' GPT2LMHeadModel has it: learned positions, LayerNorm before each
 * sublayer, one matrix for q, k and v, the head tied to the token embedding. */
#include "model/arch/list.h"
#include "model/layers/nn.h"

#include <math.h>
#include <string.h>

static const char keys[] =
    "vocab_size n_positions n_embd n_layer n_head max_position_embeddings hidden_size num_hidden_layers "
    "num_attention_heads n_inner layer_norm_epsilon initializer_range activation_function "
    "tie_word_embeddings scale_attn_weights scale_attn_by_inverse_layer_idx reorder_and_upcast_attn n_ctx";

/* transformers takes the usual names of sizes as well as GPT-2's own. */
static int64_t size_of(gr_json c, const char *key, const char *other, int64_t fallback, int64_t max)
{
    return gr_json_int(c, other, gr_json_int(c, key, fallback, 1, max), 1, max);
}

static void read_config(gr_json c, gr_hparams *h)
{
    h->vocab = gr_json_int(c, "vocab_size", 50257, 1, 1 << 24);
    h->context =
        size_of(c, "n_positions", "max_position_embeddings", gr_json_int(c, "n_ctx", 1024, 1, 1 << 24), 1 << 24);
    h->learned_positions = true;
    h->padding = -1;
    h->embed = size_of(c, "n_embd", "hidden_size", 768, 1 << 20);
    h->layers = size_of(c, "n_layer", "num_hidden_layers", 12, GR_MAX_LAYERS);
    h->heads = h->kv_heads = size_of(c, "n_head", "num_attention_heads", 12, 1 << 14);
    h->head_dim = h->embed / h->heads;
    h->ffn = gr_json_int(c, "n_inner", 4 * h->embed, 1, 1 << 22);
    h->norm_eps = (float)gr_json_real(c, "layer_norm_epsilon", 1e-5, 0, 1);
    h->init_std = (float)gr_json_real(c, "initializer_range", 0.02, 0, 10);
    h->activation = gr_nn_activation(c, "activation_function", "gelu_new");
    h->tied = gr_json_bool(c, "tie_word_embeddings", true);
    h->attention_scale = gr_json_bool(c, "scale_attn_weights", true) ? 0 : 1;
    h->scale_by_layer = gr_json_bool(c, "scale_attn_by_inverse_layer_idx", false);
    gr_json_bool(c, "reorder_and_upcast_attn", false); /* in f32 it is a matter of rounding */
    if (h->embed % h->heads)
        gr_json_fail(gr_json_get(c, "n_head"), "%lld heads do not divide n_embd %lld", (long long)h->heads,
                     (long long)h->embed);
}

static void write_config(const gr_model_info *i, gr_json c)
{
    gr_json_put_int(c, "vocab_size", i->vocab);
    gr_json_put_int(c, "n_positions", i->context);
    gr_json_put_int(c, "n_embd", i->embed);
    gr_json_put_int(c, "n_layer", i->layers);
    gr_json_put_int(c, "n_head", i->heads);
    gr_json_put_int(c, "n_inner", i->ffn ? i->ffn : 4 * i->embed);
    gr_json_put_text(c, "activation_function", "gelu_new");
    gr_json_put_real(c, "layer_norm_epsilon", 1e-5);
    gr_json_put_real(c, "initializer_range", gr_usual_init(i->embed));
    gr_json_put_real(c, "resid_pdrop", 0);
    gr_json_put_real(c, "embd_pdrop", 0);
    gr_json_put_real(c, "attn_pdrop", 0);
}

/* Layers that end on the residual stream start smaller, by the number of them (section 2.3 of the paper). */
static float residual_std(const gr_build *b)
{
    return b->h->init_std / sqrtf(2 * (float)b->h->layers);
}

static gr_tensor *attention(gr_build *b, gr_tensor *x)
{
    int64_t c = b->h->embed;
    gr_tensor *qkv[3];
    gr_split(gr_nn_conv1d(b, x, "attn.c_attn", 3 * c, 0), 2, (int64_t[]){c, c, c}, 3, qkv);
    for (int i = 0; i < 3; i++)
        qkv[i] = gr_nn_heads(qkv[i], b->h->heads);
    gr_tensor *y = gr_nn_attention(b, qkv[0], qkv[1], qkv[2]);
    return gr_nn_dropout(b, gr_nn_conv1d(b, y, "attn.c_proj", c, residual_std(b)));
}

static gr_tensor *mlp(gr_build *b, gr_tensor *x)
{
    gr_tensor *y = b->h->activation(gr_nn_conv1d(b, x, "mlp.c_fc", b->h->ffn, 0));
    return gr_nn_dropout(b, gr_nn_conv1d(b, y, "mlp.c_proj", b->h->embed, residual_std(b)));
}

static gr_tensor *block(gr_build *b, gr_tensor *x) /* [B, T, C] */
{
    x = gr_add(x, attention(b, gr_nn_layer_norm(b, x, "ln_1")));
    return gr_add(x, mlp(b, gr_nn_layer_norm(b, x, "ln_2")));
}

static gr_tensor *embed(gr_build *b, gr_tensor *tokens) /* [B, T] */
{
    const gr_hparams *h = b->h;
    /* Two statements: parameters are declared, and so initialized, in this order, whatever the compiler. */
    gr_tensor *x = gr_nn_embedding(b, tokens, "wte", h->vocab, h->embed);
    x = gr_add(x, gr_nn_embedding(b, b->positions, "wpe", h->context, h->embed));
    return gr_nn_dropout(b, x);
}

static gr_tensor *norm(gr_build *b, gr_tensor *x)
{
    return gr_nn_layer_norm(b, x, "ln_f");
}

static gr_tensor *head(gr_build *b, gr_tensor *x)
{
    return gr_nn_head(b, x, "wte");
}

/* Old files carry the causal mask of every layer as a tensor. */
static bool ignores(const char *name)
{
    size_t n = strlen(name);
    return (n >= 10 && strcmp(name + n - 10, ".attn.bias") == 0) ||
           (n >= 17 && strcmp(name + n - 17, ".attn.masked_bias") == 0);
}

static const gr_gguf_named tensors[] = {
    {"wte", "token_embd", GR_GGUF_SAME},
    {"wpe", "position_embd", GR_GGUF_SAME},
    {"ln_f", "output_norm", GR_GGUF_SAME},
    {"h.{}.ln_1", "blk.{}.attn_norm", GR_GGUF_SAME},
    {"h.{}.attn.c_attn", "blk.{}.attn_qkv", GR_GGUF_TURNED},
    {"h.{}.attn.c_proj", "blk.{}.attn_output", GR_GGUF_TURNED},
    {"h.{}.ln_2", "blk.{}.ffn_norm", GR_GGUF_SAME},
    {"h.{}.mlp.c_fc", "blk.{}.ffn_up", GR_GGUF_TURNED},
    {"h.{}.mlp.c_proj", "blk.{}.ffn_down", GR_GGUF_TURNED},
    {0},
};
static const gr_gguf_number numbers[] = {
    {"n_positions", "context_length", GR_GGUF_INT, false},
    {"n_embd", "embedding_length", GR_GGUF_INT, false},
    {"n_layer", "block_count", GR_GGUF_INT, false},
    {"n_inner", "feed_forward_length", GR_GGUF_INT, false},
    {"n_head", "attention.head_count", GR_GGUF_INT, false},
    {"layer_norm_epsilon", "attention.layer_norm_epsilon", GR_GGUF_REAL, false},
    {0},
};

static const gr_gguf_arch gguf = {.name = "gpt2", .tensors = {tensors}, .numbers = {numbers}};

const gr_arch gr_arch_gpt2 = {
    .model_type = "gpt2",
    .class_name = "GPT2LMHeadModel",
    .prefix = "transformer.",
    .embedding = "wte.weight",
    .last_norm = "ln_f.weight",
    .keys = {keys},
    .read = read_config,
    .write = write_config,
    .embed = embed,
    .layers = "h",
    .block = block,
    .norm = norm,
    .head = head,
    .ignores = ignores,
    .targets = {"c_attn"},
    .fan_in_fan_out = true,
    .gguf = &gguf,
};
