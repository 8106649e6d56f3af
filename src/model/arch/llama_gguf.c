/* What LLaMA's family is called in GGUF files, and its rotary settings there. */
#include "model/arch/llama.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What all of them have: the MLP's norm has many names. */
const gr_gguf_named gr_llama_gguf_tensors[] = {
    {"embed_tokens", "token_embd", GR_GGUF_SAME},
    {"norm", "output_norm", GR_GGUF_SAME},
    {"layers.{}.input_layernorm", "blk.{}.attn_norm", GR_GGUF_SAME},
    {"layers.{}.self_attn.v_proj", "blk.{}.attn_v", GR_GGUF_SAME},
    {"layers.{}.self_attn.o_proj", "blk.{}.attn_output", GR_GGUF_SAME},
    {"layers.{}.mlp.gate_proj", "blk.{}.ffn_gate", GR_GGUF_SAME},
    {"layers.{}.mlp.up_proj", "blk.{}.ffn_up", GR_GGUF_SAME},
    {"layers.{}.mlp.down_proj", "blk.{}.ffn_down", GR_GGUF_SAME},
    {0},
};

/* Heads whose halves turn together, as transformers has them; and the norms over them. */
const gr_gguf_named gr_llama_gguf_halves[] = {
    {"layers.{}.post_attention_layernorm", "blk.{}.ffn_norm", GR_GGUF_SAME},
    {"layers.{}.self_attn.q_proj", "blk.{}.attn_q", GR_GGUF_SAME},
    {"layers.{}.self_attn.k_proj", "blk.{}.attn_k", GR_GGUF_SAME},
    {"layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm", GR_GGUF_SAME},
    {"layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm", GR_GGUF_SAME},
    {0},
};

/* LLaMA itself: heads whose neighbours turn together. */
const gr_gguf_named gr_llama_gguf_pairs[] = {
    {"layers.{}.post_attention_layernorm", "blk.{}.ffn_norm", GR_GGUF_SAME},
    {"layers.{}.self_attn.q_proj", "blk.{}.attn_q", GR_GGUF_HEADS},
    {"layers.{}.self_attn.k_proj", "blk.{}.attn_k", GR_GGUF_KV_HEADS},
    {0},
};

const gr_gguf_number gr_llama_gguf_numbers[] = {
    {"max_position_embeddings", "context_length", GR_GGUF_INT, false},
    {"hidden_size", "embedding_length", GR_GGUF_INT, false},
    {"num_hidden_layers", "block_count", GR_GGUF_INT, false},
    {"intermediate_size", "feed_forward_length", GR_GGUF_INT, false},
    {"num_attention_heads", "attention.head_count", GR_GGUF_INT, false},
    {"num_key_value_heads", "attention.head_count_kv", GR_GGUF_INT, true},
    {"head_dim", "attention.key_length", GR_GGUF_INT, true},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon", GR_GGUF_REAL, false},
    {"rope_theta", "rope.freq_base", GR_GGUF_REAL, true},
    {0},
};

/* ---- sizes -------------------------------------------------------------------------------------------------- */

/* The width of a head, and how much of it turns. */
typedef struct head {
    int64_t width, turns;
} head;

static head read_head(gr_gguf_reader *r, gr_json c)
{
    head h = {0};
    int64_t heads = gr_json_int(c, "num_attention_heads", 0, INT64_MIN, INT64_MAX);
    int64_t embed = gr_json_int(c, "hidden_size", 0, INT64_MIN, INT64_MAX), value;
    h.width = heads > 0 ? gr_json_int(c, "head_dim", embed / heads, INT64_MIN, INT64_MAX) : 0;
    if (r->status == GR_OK && (heads <= 0 || h.width <= 0 || h.width > 1 << 14))
        gr_gguf_fail(r, "attention.head_count", "%lld heads of %lld values\nfetch the file again", (long long)heads,
                     (long long)h.width);
    h.turns = h.width;
    gr_gguf_take_int(r, "rope.dimension_count", &h.turns);
    if (gr_gguf_take_int(r, "attention.value_length", &value) && value != h.width)
        gr_gguf_fail(r, "attention.value_length", "%lld, where heads of keys are %lld wide: that is not supported",
                     (long long)value, (long long)h.width);
    if (h.turns <= 0 || h.turns > h.width || h.turns % 2)
        gr_gguf_fail(r, "rope.dimension_count", "%lld of the %lld values of a head turn\nfetch the file again",
                     (long long)h.turns, (long long)h.width);
    return h;
}

/* ---- rotary settings ---------------------------------------------------------------------------------------- */

static gr_json new_scaling(gr_json c, const char *type)
{
    gr_json s = gr_json_put_object(c, "rope_scaling");
    gr_json_put_text(s, "rope_type", type);
    return s;
}

/* LLaMA 3's factor of pair i, by its frequency f (its paper, appendix; transformers' "llama3"). */
static double llama3_factor(double f, double factor, double low, double high, double original)
{
    double wavelength = 2 * acos(-1) / f, smooth = (original / wavelength - low) / (high - low);
    if (wavelength < original / high)
        return 1;
    return wavelength > original / low ? factor : 1 / ((1 - smooth) / factor + smooth);
}

/* The settings that these factors came from. Between both ends they follow from a line, so two of them give it, up to the unit
 * in which low, high and original are counted; low is 1 in all models there are. */
static bool find_llama3(const float *f, int64_t n, double theta, double out[3])
{
    const double pi = acos(-1), factor = (double)f[n - 1];
    double x[2] = {0}, y[2] = {0};
    int found = 0;
    for (int64_t i = 0; i < n && factor > 1; i++) {
        if (!((double)f[i] > 1.0001) || !((double)f[i] < factor * 0.9999))
            continue;
        int at = found++ ? 1 : 0; /* the first and the last */
        x[at] = pow(theta, -2.0 * (double)i / (double)(2 * n)) / (2 * pi);
        y[at] = (1 / (double)f[i] - 1 / factor) / (1 - 1 / factor);
    }
    if (found < 2)
        return false;
    double slope = (y[0] - y[1]) / (x[0] - x[1]), at_0 = y[0] - slope * x[0]; /* original and -low over high - low */
    double high = round((1 - 1 / at_0) * 1e3) / 1e3, original = round(slope * (high - 1));
    if (!(high > 1 && high < 1e6 && original >= 1 && original < 1e9))
        return false;
    for (int64_t i = 0; i < n; i++) {
        double must = llama3_factor(pow(theta, -2.0 * (double)i / (double)(2 * n)), factor, 1, high, original);
        if (fabs(must - (double)f[i]) > 2e-6 * must)
            return false;
    }
    out[0] = factor;
    out[1] = high;
    out[2] = original;
    return true;
}

static void put_floats(gr_json into, const char *key, const float *x, int64_t n)
{
    gr_json list = gr_json_put_array(into, key);
    for (int64_t i = 0; i < n; i++)
        gr_json_put_f32(list, NULL, x[i]);
}

static bool are_positive(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!(x[i] > 0) || !isfinite(x[i]))
            return false;
    return true;
}

/* A factor for each pair, for sequences of any length: LLaMA 3's settings where it has such; else what longrope says when
 * short and long are the same. */
static void put_factors(gr_gguf_reader *r, gr_json c, const float *f, int64_t n)
{
    double found[3], theta = gr_json_real(c, "rope_theta", 1e4, 0, INFINITY);
    if (!are_positive(f, n)) {
        r->status = gr_fail(GR_ERR_FILE,
                            "%s: tensor \"rope_freqs.weight\" has values that are no factors\nfetch the "
                            "file again",
                            gr_gguf_name(r->file));
    } else if (find_llama3(f, n, theta, found)) {
        gr_json s = new_scaling(c, "llama3");
        gr_json_put_real(s, "factor", found[0]);
        gr_json_put_real(s, "low_freq_factor", 1);
        gr_json_put_real(s, "high_freq_factor", found[1]);
        gr_json_put_int(s, "original_max_position_embeddings", (int64_t)found[2]);
    } else {
        gr_json s = new_scaling(c, "longrope");
        put_floats(s, "short_factor", f, n);
        put_floats(s, "long_factor", f, n);
        gr_json_put_real(s, "attention_factor", 1);
        gr_json_put_int(s, "original_max_position_embeddings",
                        gr_json_int(c, "max_position_embeddings", 1, INT64_MIN, INT64_MAX));
    }
}

/* Short and long factors, as Phi-3 has them. */
static void put_longrope(gr_gguf_reader *r, gr_json c, const float *low, const float *high, int64_t n)
{
    int64_t original = 0;
    double factor;
    gr_json s = new_scaling(c, "longrope");
    put_floats(s, "short_factor", low, n);
    put_floats(s, "long_factor", high, n);
    if (gr_gguf_take_real(r, "rope.scaling.attn_factor", &factor))
        gr_gguf_put_real(s, "attention_factor", factor);
    if (!gr_gguf_take_int(r, "rope.scaling.original_context_length", &original))
        gr_gguf_fail(r, "rope.scaling.original_context_length",
                     "is not there, and rope factors are\nfetch another file");
    gr_json_put_int(s, "original_max_position_embeddings", original);
    gr_json_put_int(c, "original_max_position_embeddings", original);
}

/* The settings that have a name: none, linear, yarn. */
static void put_named(gr_gguf_reader *r, gr_json c, gr_gguf_text type)
{
    static const char *const betas[][2] = {{"rope.scaling.yarn_beta_fast", "beta_fast"},
                                           {"rope.scaling.yarn_beta_slow", "beta_slow"}};
    double factor = 1, x;
    int64_t original;
    char name[16];
    bool scaled =
        gr_gguf_take_real(r, "rope.scaling.factor", &factor) || gr_gguf_take_real(r, "rope.scale_linear", &factor);
    snprintf(name, sizeof name, "%.*s", (int)(type.size < 15 ? type.size : 15), type.data);
    if ((!type.size && scaled && factor != 1) || strcmp(name, "linear") == 0) {
        gr_gguf_put_real(new_scaling(c, "linear"), "factor", factor);
    } else if (strcmp(name, "yarn") == 0) {
        gr_json s = new_scaling(c, "yarn");
        gr_gguf_put_real(s, "factor", factor);
        for (size_t i = 0; i < 2; i++)
            if (gr_gguf_take_real(r, betas[i][0], &x))
                gr_gguf_put_real(s, betas[i][1], x);
        if (gr_gguf_take_real(r, "rope.scaling.yarn_attn_factor", &x) ||
            gr_gguf_take_real(r, "rope.scaling.attn_factor", &x))
            gr_gguf_put_real(s, "attention_factor", x); /* what converters write there is config.json's */
        if (gr_gguf_take_int(r, "rope.scaling.original_context_length", &original))
            gr_json_put_int(s, "original_max_position_embeddings", original);
    } else if (type.size && strcmp(name, "none") != 0) {
        gr_gguf_fail(r, "rope.scaling.type", "\"%s\" is not supported\nsupported are none, linear, yarn and longrope",
                     name);
    }
}

static void read_rope(gr_gguf_reader *r, gr_json c, int64_t pairs)
{
    gr_gguf_text type = gr_gguf_take_text(r, "rope.scaling.type");
    float *all = gr_gguf_take_numbers(r, "rope_freqs.weight", pairs);
    float *low = gr_gguf_take_numbers(r, "rope_factors_short.weight", pairs);
    float *high = gr_gguf_take_numbers(r, "rope_factors_long.weight", pairs);
    if (r->status == GR_OK && low && high)
        put_longrope(r, c, low, high, pairs);
    else if (r->status == GR_OK && all)
        put_factors(r, c, all, pairs);
    else if (r->status == GR_OK)
        put_named(r, c, type);
    gr_gguf_take(r, "rope.scaling.finetuned"); /* a note */
    gr_free(all);
    gr_free(low);
    gr_free(high);
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

/* A window of 0 is none. */
static void put_no_window(gr_json c)
{
    gr_json window = gr_json_get(c, "sliding_window");
    if (gr_json_type_of(window) == GR_JSON_INT && gr_json_as_int(window, INT64_MIN, INT64_MAX) == 0)
        gr_json_put_null(c, "sliding_window");
}

void gr_llama_gguf_read(gr_gguf_reader *r, gr_json c)
{
    head h = read_head(r, c);
    if (r->status != GR_OK)
        return;
    gr_json_put_int(c, "head_dim", h.width);
    put_no_window(c);
    if (h.turns != h.width)
        gr_gguf_fail(r, "rope.dimension_count", "%lld of the %lld values of a head turn: that is not supported",
                     (long long)h.turns, (long long)h.width);
    read_rope(r, c, h.turns / 2);
}

void gr_llama_gguf_read_biased(gr_gguf_reader *r, gr_json c)
{
    gr_llama_gguf_read(r, c);
    gr_json_put_bool(c, "attention_bias", gr_gguf_has_tensor(r, "blk.0.attn_q.bias"));
}

void gr_llama_gguf_read_partial(gr_gguf_reader *r, gr_json c)
{
    head h = read_head(r, c);
    if (r->status != GR_OK)
        return;
    gr_json_put_int(c, "head_dim", h.width);
    put_no_window(c);
    if (h.turns != h.width)
        gr_json_put_real(c, "partial_rotary_factor", (double)h.turns / (double)h.width);
    read_rope(r, c, h.turns / 2);
}
