/* Rotary positions: settings to frequencies. What PyTorch rounds to f32 on the way is rounded here too: at position
 * 10,000 one bit of a frequency moves an angle by a thousandth. */
#include "model/layers/rope.h"

#include "base/log.h"
#include "op/op.h"

#include <math.h>
#include <string.h>

/* One set of settings while it is read. */
typedef struct reader {
    gr_json rope, config; /* the settings' own object and the whole */
    const gr_rope_model *m;
    bool nested;
    double theta;
    int64_t dim; /* of a head, as far as it turns */
    gr_rope_settings *r;
} reader;

static const double most = 1e12;

static float power(double base, float exponent)
{
    return (float)pow((double)(float)base, (double)exponent);
}

/* theta^(2 i / dim) */
static float period(const reader *x, double theta, int64_t i)
{
    return power(theta, (float)(2 * i) / (float)x->dim);
}

static double real(const reader *x, const char *key, double fallback)
{
    return gr_json_real(x->rope, key, fallback, 1e-6, most);
}

static bool has(const reader *x, const char *key)
{
    return gr_json_is(gr_json_get(x->rope, key));
}

static void need(const reader *x, const char *key)
{
    if (!has(x, key))
        gr_json_fail(x->rope, "\"%s\" is missing", key);
}

/* A value of 0 stands for none, as in Python's `x or fallback`. */
static double real_or(const reader *x, const char *key, double fallback)
{
    double value = gr_json_real(x->rope, key, fallback, 0, most);
    return value != 0 ? value : fallback;
}

/* The context that the model was first trained with. */
static int64_t original_context(const reader *x)
{
    const char *key = "original_max_position_embeddings";
    int64_t own = gr_json_int(x->rope, key, x->m->context, 1, INT64_MAX);
    own = x->m->original ? x->m->original : own;
    return x->nested ? own : gr_json_int(x->config, key, own, 1, INT64_MAX);
}

/* ---- kinds -------------------------------------------------------------------------------------------------- */

static void read_default(const reader *x)
{
    for (int64_t i = 0; i < x->r->pairs; i++)
        x->r->inv_freq[i] = 1.0f / period(x, x->theta, i);
}

static void read_linear(const reader *x)
{
    need(x, "factor");
    float factor = (float)real(x, "factor", 1);
    read_default(x);
    for (int64_t i = 0; i < x->r->pairs; i++)
        x->r->inv_freq[i] /= factor;
}

/* NTK-aware: theta grows with the sequence. */
static void read_dynamic(const reader *x)
{
    need(x, "factor");
    gr_rope_settings *r = x->r;
    r->factor = real(x, "factor", 1);
    r->dim = x->dim;
    r->limit = x->m->context;
    r->dynamic = true;
    if (x->dim <= 2)
        gr_json_fail(x->rope, "\"dynamic\" needs heads of more than 2 dims");
    else
        read_default(x);
}

/* Long waves are stretched by `factor`, short ones are not, and those between partly (LLaMA 3.1). */
static void read_llama3(const reader *x)
{
    need(x, "factor");
    need(x, "low_freq_factor");
    need(x, "high_freq_factor");
    double low = real(x, "low_freq_factor", 1), high = real(x, "high_freq_factor", 4);
    double original = (double)original_context(x);
    float factor = (float)real(x, "factor", 1), span = (float)(high - low);
    if (high <= low)
        gr_json_fail(x->rope, "high_freq_factor %g must be greater than low_freq_factor %g", high, low);
    read_default(x);
    for (int64_t i = 0; i < x->r->pairs; i++) {
        float f = x->r->inv_freq[i], wave = (float)(2 * M_PI) / f;
        float stretched = wave > (float)(original / low) ? f / factor : f;
        if (wave >= (float)(original / high) && wave <= (float)(original / low)) {
            float smooth = ((float)original / wave - (float)low) / span;
            stretched = (1 - smooth) * stretched / factor + smooth * stretched;
        }
        x->r->inv_freq[i] = stretched;
    }
}

static double yarn_scale(double factor, double m)
{
    return factor <= 1 ? 1 : 0.1 * m * log(factor) + 1;
}

/* The dim that turns `rotations` times within the original context. */
static double yarn_dim(const reader *x, double rotations, double original)
{
    return (double)x->dim * log(original / (rotations * 2 * M_PI)) / (2 * log(x->theta));
}

/* As llama3, with a ramp over the dims instead of the waves, and attention made sharper (Peng et al. 2023). */
static void read_yarn(const reader *x)
{
    double original = (double)original_context(x);
    double factor = real(x, "factor", (double)x->m->context / original);
    double m = gr_json_real(x->rope, "mscale", 0, 0, most), all = gr_json_real(x->rope, "mscale_all_dim", 0, 0, most);
    double scale = m != 0 && all != 0 ? yarn_scale(factor, m) / yarn_scale(factor, all) : yarn_scale(factor, 1);
    x->r->scale = (float)gr_json_real(x->rope, "attention_factor", scale, 0, most);
    double low = yarn_dim(x, real_or(x, "beta_fast", 32), original);
    double high = yarn_dim(x, real_or(x, "beta_slow", 1), original);
    if (x->theta <= 1)
        gr_json_fail(x->rope, "\"yarn\" needs a rope_theta greater than 1");
    if (gr_json_bool(x->rope, "truncate", true)) {
        low = floor(low);
        high = ceil(high);
    } else if (x->nested) {
        gr_json_fail(gr_json_get(x->rope, "truncate"), "is not honoured for a layer type\nit must be true");
    }
    low = fmax(low, 0);
    high = fmin(high, (double)x->dim - 1);
    high += low == high ? 0.001 : 0;
    for (int64_t i = 0; i < x->r->pairs; i++) {
        float ramp = ((float)i - (float)low) / (float)(high - low);
        float kept = 1 - fminf(fmaxf(ramp, 0), 1), p = period(x, x->theta, i);
        x->r->inv_freq[i] = 1.0f / ((float)factor * p) * (1 - kept) + 1.0f / p * kept;
    }
}

static void read_factors(const reader *x, const char *key, float *inv_freq)
{
    gr_json list = gr_json_as_array(gr_json_get(x->rope, key));
    if (gr_json_size(list) != (size_t)x->r->pairs) {
        gr_json_fail(list, "%zu factors for %lld pairs of dims", gr_json_size(list), (long long)x->r->pairs);
        return;
    }
    for (int64_t i = 0; i < x->r->pairs; i++) {
        float factor = (float)gr_json_as_real(gr_json_item(list, (size_t)i), 1e-6, most);
        inv_freq[i] = 1.0f / (factor * period(x, x->theta, i));
    }
}

/* A factor for each pair, one list for short sequences and one for long ones (Ding et al. 2024). */
static void read_longrope(const reader *x)
{
    int64_t original = original_context(x);
    double factor = real(x, "factor", (double)x->m->context / (double)original);
    double scale = factor <= 1 ? 1 : sqrt(1 + log(factor) / log((double)original));
    x->r->scale = (float)gr_json_real(x->rope, "attention_factor", scale, 0, most);
    x->r->limit = original;
    read_factors(x, "short_factor", x->r->inv_freq);
    read_factors(x, "long_factor", x->r->far_freq);
}

typedef struct kind {
    const char *name;
    void (*read)(const reader *);
    const char *keys[10]; /* of its own */
} kind;

static const kind kinds[] = {
    {"default", read_default, {0}},
    {"linear", read_linear, {"factor"}},
    {"dynamic", read_dynamic, {"factor"}},
    {"llama3", read_llama3, {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}},
    {"yarn",
     read_yarn,
     {"factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "mscale",
      "mscale_all_dim", "truncate"}},
    {"longrope",
     read_longrope,
     {"factor", "original_max_position_embeddings", "attention_factor", "short_factor", "long_factor"}},
};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

/* ---- reading ------------------------------------------------------------------------------------------------ */

static const kind *kind_of(gr_json rope)
{
    const char *name = gr_json_text(rope, "rope_type", gr_json_text(rope, "type", "default"));
    for (int i = 0; i < N_KINDS; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    gr_json_fail(rope,
                 "rope type \"%s\" is not supported\nsupported are default, linear, dynamic, llama3, yarn and "
                 "longrope",
                 name);
    return NULL;
}

/* Keys that belong to another kind change nothing, in transformers either; what nobody knows may. */
static void check_keys(gr_json rope, const kind *k)
{
    static const char *const common[] = {"rope_type", "type", "rope_theta", "partial_rotary_factor"};
    for (gr_json_iter it = gr_json_first(rope); it.key; gr_json_next(&it)) {
        bool known = false;
        for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
            known = known || strcmp(common[i], it.key) == 0;
        for (int i = 0; k->keys[i]; i++)
            known = known || strcmp(k->keys[i], it.key) == 0;
        if (gr_json_type_of(it.value) == GR_JSON_OBJECT)
            gr_json_fail(it.value, "settings for a kind of layer: this model_type has one kind");
        else if (!known)
            gr_remark(GR_LOG_WARN, "config.json: key \"%s\" is not one of rope type \"%s\": it is not looked at",
                      it.key, k->name);
    }
}

/* How many dims of a head turn. Whole heads where the architecture knows nothing else, and the default kind does not ask;
 * the other kinds do, and would not fit the heads. */
static int64_t turning(const reader *x, bool is_default)
{
    const char *key = "partial_rotary_factor";
    double share = gr_json_real(x->config, key, 1, 1e-6, 1);
    share = gr_json_real(x->rope, key, share, 1e-6, 1);
    if (share != 1 && !x->m->partial) {
        if (is_default)
            gr_remark(GR_LOG_WARN,
                      "config.json: key \"%s\": this model_type rotates whole heads, and it is not looked at", key);
        else
            gr_json_fail(gr_json_get(has(x, key) ? x->rope : x->config, key),
                         "this model_type rotates whole heads\nit must be 1");
        share = 1;
    }
    return (int64_t)((double)x->m->head_dim * share);
}

void gr_rope_read_one(gr_json rope, gr_json config, const gr_rope_model *m, bool nested, gr_rope_settings *r)
{
    if (gr_json_is(rope))
        gr_json_as_object(rope);
    reader x = {.rope = rope, .config = config, .m = m, .nested = nested, .r = r};
    x.theta = gr_json_real(rope, "rope_theta", gr_json_real(config, m->theta_key, m->theta, 1, most), 1, most);
    const kind *k = kind_of(rope);
    if (!k)
        return;
    x.dim = turning(&x, strcmp(k->name, "default") == 0);
    r->scale = 1;
    r->pairs = (x.dim + 1) / 2;
    check_keys(rope, k);
    if (m->head_dim % 2 || r->pairs < 1 || r->pairs > GR_ROPE_MAX_PAIRS) {
        gr_json_fail(gr_json_get(config, "head_dim"),
                     "rotary positions need heads of an even width from 2 to %d, these rotate %lld of %lld dims",
                     2 * GR_ROPE_MAX_PAIRS, (long long)x.dim, (long long)m->head_dim);
        return;
    }
    k->read(&x);
}

/* A rope_scaling that is there and not empty goes before rope_parameters, as in transformers. */
void gr_rope_read(gr_json config, const gr_rope_model *m, gr_rope_settings *r)
{
    gr_json rope = gr_json_get(config, "rope_scaling");
    if (!gr_json_is(rope) || (gr_json_type_of(rope) == GR_JSON_OBJECT && gr_json_size(rope) == 0))
        rope = gr_json_get(config, "rope_parameters");
    gr_rope_read_one(rope, config, m, false, r);
}

/* ---- in a graph --------------------------------------------------------------------------------------------- */

/* f32 [B, 1] */
static gr_tensor *lengths(gr_tensor *positions, gr_tensor *length)
{
    return length ? gr_unsqueeze(gr_cast(length, GR_F32), 1)
                  : gr_offset(gr_reduce_max(gr_cast(positions, GR_F32), 2, true), 1);
}

/* [B, R]: 1 / (theta grown^(D / (D - 2)))^(2 r / D) with grown = (factor length / limit) - (factor - 1), written as
 * inv_freq grown^(-2 r / (D - 2)): f32 has a small logarithm with all its digits, and some devices have no f64. */
static gr_tensor *dynamic_frequencies(gr_graph *g, const gr_rope_settings *r, gr_tensor *near, gr_tensor *length)
{
    float exponents[GR_ROPE_MAX_PAIRS];
    for (int64_t i = 0; i < r->pairs; i++)
        exponents[i] = -(float)(2 * i) / (float)(r->dim - 2);
    gr_tensor *limit = gr_fill(g, GR_F32, 0, NULL, (double)r->limit);
    gr_tensor *grown = gr_offset(gr_div(gr_scale(gr_max(length, limit), r->factor), limit), -(r->factor - 1));
    gr_tensor *power = gr_mul(gr_log(grown), gr_constant(g, GR_F32, 1, &r->pairs, exponents));
    return gr_mul(near, gr_exp(power));
}

gr_tensor *gr_rope_frequencies(gr_graph *g, const gr_rope_settings *r, gr_tensor *positions, gr_tensor *length)
{
    gr_tensor *near = gr_constant(g, GR_F32, 1, &r->pairs, r->inv_freq);
    if (r->limit == 0)
        return near;
    gr_tensor *n = lengths(positions, length);
    gr_tensor *far =
        r->dynamic ? dynamic_frequencies(g, r, near, n) : gr_constant(g, GR_F32, 1, &r->pairs, r->far_freq);
    return gr_select(gr_gt(n, gr_fill(g, GR_F32, 0, NULL, (double)r->limit)), far, near);
}
