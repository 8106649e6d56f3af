/* A model's config.json as the keys of a GGUF file: the tables of its architecture, read the other way round. What such a file
 * cannot say shows when it is read again and compared. */
#include "model/files/gguf_save.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

/* What is being written. */
typedef struct out {
    const gr_model *m;
    gr_json config;
    gr_gguf_keys *keys;
    char name[160];
} out;

static const char *full(out *o, const char *name)
{
    snprintf(o->name, sizeof o->name, "%s.%s", o->m->arch->gguf->name, name);
    return o->name;
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

/* Sizes as they were read, so that defaults of the class are written out. */
static bool size_of(const gr_hparams *h, const char *gguf, double *x)
{
    const struct {
        const char *gguf;
        double value;
    } sizes[] = {{"context_length", (double)h->context},
                 {"embedding_length", (double)h->embed},
                 {"block_count", (double)h->layers},
                 {"feed_forward_length", (double)h->ffn},
                 {"attention.head_count", (double)h->heads},
                 {"attention.head_count_kv", (double)h->kv_heads},
                 {"attention.key_length", (double)h->head_dim},
                 {"attention.layer_norm_epsilon", (double)h->norm_eps},
                 {"attention.layer_norm_rms_epsilon", (double)h->norm_eps}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (strcmp(sizes[i].gguf, gguf) == 0) {
            *x = sizes[i].value;
            return true;
        }
    return false;
}

/* The settings of rotary positions, wherever config.json has them. */
static gr_json rope_of(const out *o)
{
    gr_json rope = gr_json_get(o->config, "rope_scaling");
    if (!gr_json_size(rope))
        rope = gr_json_get(o->config, "rope_parameters");
    gr_json full_attention = gr_json_get(rope, "full_attention"); /* of layers that see everything */
    return gr_json_is(full_attention) ? full_attention : rope;
}

static double theta_of(const out *o)
{
    double usual = strcmp(o->m->arch->gguf->name, "gemma3") == 0 ? 1e6 : 1e4;
    return gr_json_real(rope_of(o), "rope_theta", gr_json_real(o->config, "rope_theta", usual, 0, 1e300), 0, 1e300);
}

static void put_number(out *o, const gr_gguf_number *n)
{
    gr_json v = gr_json_get(o->config, n->config);
    double x = 0;
    bool there = size_of(&o->m->h, n->gguf, &x);
    if (strcmp(n->gguf, "rope.freq_base") == 0) {
        x = theta_of(o);
        there = true;
    } else if (!there && (gr_json_type_of(v) == GR_JSON_INT || gr_json_type_of(v) == GR_JSON_REAL)) {
        x = gr_json_as_real(v, -1e300, 1e300);
        there = true;
    }
    if (strcmp(n->gguf, "attention.sliding_window") == 0) { /* what layers have, whatever switches say */
        x = 0;
        for (int64_t i = 0; i < o->m->h.layers; i++)
            x = fmax(x, (double)o->m->h.layer[i].window);
        there = x > 0 || !n->optional;
    }
    if (there && n->kind == GR_GGUF_INT)
        gr_gguf_put_u32(o->keys, full(o, n->gguf), (uint32_t)x);
    else if (there)
        gr_gguf_put_f32(o->keys, full(o, n->gguf), (float)x);
}

/* ---- rotary positions --------------------------------------------------------------------------------------- */

static void put_real(out *o, gr_json from, const char *key, const char *gguf)
{
    if (gr_json_is(gr_json_get(from, key)))
        gr_gguf_put_f32(o->keys, full(o, gguf), (float)gr_json_real(from, key, 0, -1e30, 1e30));
}

static void put_scaling(out *o)
{
    gr_json rope = rope_of(o);
    const char *kind = gr_json_text(rope, "rope_type", gr_json_text(rope, "type", "default"));
    int64_t original = gr_json_int(rope, "original_max_position_embeddings", 0, 0, INT32_MAX);
    original = gr_json_int(o->config, "original_max_position_embeddings", original, 0, INT32_MAX);
    bool linear = strcmp(kind, "linear") == 0, yarn = strcmp(kind, "yarn") == 0,
         longrope = strcmp(kind, "longrope") == 0;
    if ((!linear && !yarn && !longrope) || gr_gguf_is_one_table(&o->m->h.rope[0]))
        return; /* it is all in the factors */
    gr_gguf_put_text(o->keys, full(o, "rope.scaling.type"), kind, strlen(kind));
    if (linear || yarn)
        put_real(o, rope, "factor", "rope.scaling.factor");
    if (yarn) {
        put_real(o, rope, "beta_fast", "rope.scaling.yarn_beta_fast");
        put_real(o, rope, "beta_slow", "rope.scaling.yarn_beta_slow");
        if (gr_json_is(gr_json_get(rope, "attention_factor")) || gr_json_is(gr_json_get(rope, "mscale")))
            gr_gguf_put_f32(o->keys, full(o, "rope.scaling.yarn_attn_factor"), o->m->h.rope[0].scale);
    }
    if (longrope) /* with what transformers takes where none is given */
        gr_gguf_put_f32(o->keys, full(o, "rope.scaling.attn_factor"), o->m->h.rope[0].scale);
    bool listed = false; /* by the architecture's own numbers */
    for (size_t i = 0; i < sizeof o->m->arch->gguf->numbers / sizeof *o->m->arch->gguf->numbers; i++)
        for (const gr_gguf_number *n = o->m->arch->gguf->numbers[i]; n && n->config; n++)
            listed |= strcmp(n->gguf, "rope.scaling.original_context_length") == 0 &&
                      gr_json_is(gr_json_get(o->config, n->config));
    if (original && !listed && !linear)
        gr_gguf_put_u32(o->keys, full(o, "rope.scaling.original_context_length"), (uint32_t)original);
}

static void put_rotary(out *o)
{
    const gr_hparams *h = &o->m->h;
    if (h->learned_positions)
        return;
    gr_gguf_put_u32(o->keys, full(o, "attention.value_length"), (uint32_t)h->head_dim);
    gr_gguf_put_u32(o->keys, full(o, "rope.dimension_count"), (uint32_t)(2 * h->rope[0].pairs));
    put_scaling(o);
    if (strcmp(o->m->arch->gguf->name, "gemma3") == 0 && h->attention_scale > 0)
        gr_gguf_put_f32(o->keys, full(o, "attention.scale"), h->attention_scale);
}

/* ---- what llama.cpp does not read --------------------------------------------------------------------------- */

/* Is there a layer that does not see all of the context? */
static bool is_windowed(const gr_hparams *h)
{
    bool found = false;
    for (int64_t i = 0; i < h->layers; i++)
        found |= h->layer[i].window > 0 && h->layer[i].window < h->context;
    return found;
}

/* Of YaRN it takes the factor and the original length. */
static bool is_usual_yarn(const out *o)
{
    gr_json rope = rope_of(o);
    double factor = gr_json_real(rope, "factor", 1, 1e-30, 1e30), scale = factor > 1 ? 0.1 * log(factor) + 1 : 1;
    return strcmp(gr_json_text(rope, "rope_type", gr_json_text(rope, "type", "default")), "yarn") != 0 ||
           (gr_json_real(rope, "beta_fast", 32, 0, 1e30) == 32 && gr_json_real(rope, "beta_slow", 1, 0, 1e30) == 1 &&
            fabs((double)o->m->h.rope[0].scale - scale) < 1e-5);
}

/* A file that is right can still be computed in another way (llama.cpp b11549; tools/oracle/check_llama_cpp.py compares). */
static void remark_unread(out *o)
{
    const gr_hparams *h = &o->m->h;
    const char *name = o->m->arch->gguf->name, *left = NULL;
    const double scale = (double)h->attention_scale * sqrt((double)h->head_dim);
    if (is_windowed(h) && (strcmp(name, "llama") == 0 || strcmp(name, "phi3") == 0))
        left = "attention.sliding_window";
    else if (!is_usual_yarn(o))
        left = "rope.scaling.yarn_* but the factor";
    else if (strcmp(name, "gemma3") == 0 && fabs(scale - 1) > 1e-5 &&
             h->layers != 62) /* it knows the largest by them */
        left = "attention.scale";
    if (left)
        gr_remark(GR_LOG_WARN,
                  "llama.cpp does not read %s of a %s model: what it makes of this file is another model than this one",
                  left, name);
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static void put_general(out *o)
{
    const char *name = o->m->arch->gguf->name;
    gr_gguf_put_text(o->keys, "general.architecture", name, strlen(name));
    gr_gguf_put_text(o->keys, "general.type", "model", 5);
    gr_gguf_put_u32(o->keys, "general.quantization_version", 2); /* of how blocks lie */
    gr_gguf_put_u32(o->keys, full(o, "vocab_size"), (uint32_t)o->m->h.vocab);
}

gr_status gr_gguf_put_config(const gr_model *m, gr_gguf_keys *keys)
{
    gr_json_doc *doc = gr_json_parse("config.json", m->config, strlen(m->config));
    out o = {.m = m, .config = gr_json_root(doc), .keys = keys};
    if (!doc)
        return gr_error_status();
    put_general(&o);
    for (size_t i = 0; i < sizeof m->arch->gguf->numbers / sizeof *m->arch->gguf->numbers; i++)
        for (const gr_gguf_number *n = m->arch->gguf->numbers[i]; n && n->config; n++)
            put_number(&o, n);
    put_rotary(&o);
    remark_unread(&o);
    gr_status s = gr_json_check(doc);
    gr_json_free(doc);
    return s == GR_OK ? keys->status : s;
}
