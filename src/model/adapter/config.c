/* adapter_config.json, as peft writes and reads it. */
#include "model/adapter/adapter.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_RANK = 1 << 16 };

/* ---- adapter_config.json ------------------------------------------------------------------------------------ */

/* Keys that change no number of a trained adapter, or that are read by name. */
static bool is_understood(const char *key)
{
    static const char *const keys[] = {
        "alpha_pattern",
        "auto_mapping",
        "base_model_name_or_path",
        "bias",
        "corda_config",
        "ensure_weight_tying",
        "eva_config",
        "exclude_modules",
        "fan_in_fan_out",
        "inference_mode",
        "init_lora_weights",
        "layers_pattern",
        "layers_to_transform",
        "loftq_config",
        "lora_alpha",
        "lora_bias",
        "lora_dropout",
        "lora_ga_config",
        "megatron_core",
        "modules_to_save",
        "peft_type",
        "peft_version",
        "qalora_group_size",
        "r",
        "rank_pattern",
        "revision",
        "target_modules",
        "task_type",
        "trainable_token_indices",
        "use_dora",
        "use_rslora",
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    return false;
}

/* null, false, "", [] or {}: what a key says that is not used. */
static bool is_off(gr_json v)
{
    switch (gr_json_type_of(v)) {
    case GR_JSON_BOOL:
        return !gr_json_as_bool(v);
    case GR_JSON_TEXT: {
        size_t size;
        gr_json_as_text(v, &size);
        return size == 0;
    }
    case GR_JSON_ARRAY:
    case GR_JSON_OBJECT:
        return gr_json_size(v) == 0;
    default:
        return !gr_json_is(v);
    }
}

/* These initializations change the model's own weights whenever the adapter is loaded. */
static void check_init(gr_json v)
{
    static const char *const fine[] = {"gaussian", "eva", "orthogonal", "mica"};
    if (!gr_json_is(v) || gr_json_type_of(v) == GR_JSON_BOOL)
        return;
    const char *text = gr_json_as_text(v, NULL);
    bool known = false;
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        known |= strcmp(text, fine[i]) == 0;
    if (!known)
        gr_json_fail(v,
                     "\"%s\" changes the model's weights too, which is not supported\nsave it with peft as a plain "
                     "LoRA adapter (path_initial_model_for_weight_conversion)",
                     text);
}

static void check_word(gr_json o, const char *key, const char *supported)
{
    const char *text = gr_json_text(o, key, supported);
    if (strcmp(text, supported) != 0)
        gr_json_fail(gr_json_get(o, key), "\"%s\" is not supported\nsupported is \"%s\"", text, supported);
}

static gr_status check_config(gr_json o)
{
    gr_json_as_object(o);
    if (!gr_json_is(gr_json_get(o, "peft_type")))
        gr_json_fail(
            o, "has no \"peft_type\": this is no adapter's config\ngive the directory of an adapter as peft saves it");
    check_word(o, "peft_type", "LORA");
    check_word(o, "task_type", "CAUSAL_LM");
    check_init(gr_json_get(o, "init_lora_weights"));
    for (gr_json_iter it = gr_json_first(o); it.key; gr_json_next(&it))
        if (!is_understood(it.key) && !is_off(it.value))
            gr_json_fail(it.value, "is not supported\nof peft's LoRA are DoRA, biases, modules_to_save and "
                                   "trainable_token_indices, with layers by name");
    return gr_json_check(o.doc);
}

static gr_lora_bias read_bias(gr_json o)
{
    static const char *const names[] = {"none", "lora_only", "all"};
    const char *text = gr_json_text(o, "bias", names[0]);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(text, names[i]) == 0)
            return (gr_lora_bias)i;
    gr_json_fail(gr_json_get(o, "bias"), "\"%s\" is not supported\nsupported are none, lora_only and all", text);
    return GR_BIAS_NONE;
}

/* target_modules; where peft is not told, what it takes for the architecture. */
static gr_status read_targets(gr_adapter *a, const gr_arch *arch, gr_json o)
{
    gr_json given = gr_json_get(o, "target_modules");
    if (gr_json_is(given))
        return gr_modules_read(&a->targets, given);
    gr_json_doc *doc = gr_json_new(GR_ADAPTER_CONFIG);
    gr_json list = doc ? gr_json_put_array(gr_json_root(doc), "target_modules") : (gr_json){0};
    for (size_t i = 0; doc && i < sizeof arch->targets / sizeof *arch->targets && arch->targets[i]; i++)
        gr_json_put_text(list, NULL, arch->targets[i]);
    gr_status s = doc ? gr_modules_read(&a->targets, list) : gr_error_status();
    gr_json_free(doc);
    return s;
}

static gr_status read_layers(gr_adapter *a, const gr_arch *arch, gr_json o)
{
    gr_status s = read_targets(a, arch, o);
    if (s == GR_OK)
        s = gr_modules_read_layers(&a->targets, gr_json_get(o, "layers_to_transform"),
                                   gr_json_get(o, "layers_pattern"));
    if (s == GR_OK && !is_off(gr_json_get(o, "exclude_modules")))
        s = gr_modules_read(&a->excluded, gr_json_get(o, "exclude_modules"));
    if (s == GR_OK)
        s = gr_module_values_read(&a->ranks, gr_json_get(o, "rank_pattern"), 1, MOST_RANK);
    if (s == GR_OK)
        s = gr_module_values_read(&a->alphas, gr_json_get(o, "alpha_pattern"), -1e9, 1e9);
    for (size_t i = 0; s == GR_OK && i < a->ranks.n; i++)
        if (a->ranks.items[i].value != floor(a->ranks.items[i].value))
            s = gr_json_fail(gr_json_get(o, "rank_pattern"), "rank %g is not a whole number", a->ranks.items[i].value);
    return s;
}

static gr_status read_saved(gr_adapter *a, gr_json o)
{
    gr_json list = gr_json_get(o, "modules_to_save");
    if (!gr_json_is(list))
        return GR_OK;
    size_t n = gr_json_size(gr_json_as_array(list));
    a->saved = gr_alloc_zero(n + 1, sizeof *a->saved);
    for (size_t i = 0; a->saved && i < n; i++) {
        const char *name = gr_json_as_text(gr_json_item(list, i), NULL);
        if (!gr_is_module_name(name))
            gr_json_fail(list, "\"%s\" is no name of a module", name);
        char *copy = gr_strdup(name);
        if (!copy)
            return GR_ERR_MEMORY;
        a->saved[a->n_saved++] = copy;
    }
    return a->saved ? gr_json_check(list.doc) : GR_ERR_MEMORY;
}

static gr_status read_tokens_of(gr_adapter *a, const char *module, gr_json list)
{
    size_t n = gr_json_size(gr_json_as_array(list));
    if (n == 0)
        return gr_json_fail(list, "expected ids of tokens");
    gr_token_list *t = &a->tokens[a->n_tokens++]; /* there is room */
    t->tokens = gr_alloc_zero(n, sizeof *t->tokens);
    t->module = module ? gr_strdup(module) : NULL;
    if (!t->tokens || (module && !t->module))
        return GR_ERR_MEMORY;
    for (t->n = 0; t->n < n; t->n++)
        t->tokens[t->n] = (gr_token)gr_json_as_int(gr_json_item(list, t->n), 0, INT32_MAX);
    return gr_json_check(list.doc);
}

/* A list is of the input embedding; an object has lists by modules' names. */
static gr_status read_tokens(gr_adapter *a, gr_json o)
{
    gr_json v = gr_json_get(o, "trainable_token_indices");
    if (is_off(v))
        return GR_OK;
    bool by_name = gr_json_type_of(v) == GR_JSON_OBJECT;
    a->tokens = gr_alloc_zero(by_name ? gr_json_size(v) : 1, sizeof *a->tokens);
    if (!a->tokens)
        return GR_ERR_MEMORY;
    if (!by_name)
        return read_tokens_of(a, NULL, v);
    gr_status s = GR_OK;
    for (gr_json_iter it = gr_json_first(v); s == GR_OK && it.key; gr_json_next(&it))
        s = read_tokens_of(a, it.key, it.value);
    return s;
}

static gr_status read_config(gr_adapter *a, const gr_arch *arch, gr_json o)
{
    gr_status s = check_config(o);
    if (s != GR_OK)
        return s;
    a->rank = gr_json_int(o, "r", 8, 1, MOST_RANK);
    a->alpha = gr_json_real(o, "lora_alpha", 8, -1e9, 1e9);
    a->dropout = gr_json_real(o, "lora_dropout", 0, 0, 1);
    a->rslora = gr_json_bool(o, "use_rslora", false);
    a->dora = gr_json_bool(o, "use_dora", false);
    a->bias = read_bias(o);
    a->b_bias = gr_json_bool(o, "lora_bias", false);
    a->ties = gr_json_bool(o, "ensure_weight_tying", false);
    gr_json init = gr_json_get(o, "init_lora_weights");
    a->freezes_b = gr_json_type_of(init) == GR_JSON_TEXT && strcmp(gr_json_as_text(init, NULL), "mica") == 0;
    if (a->dora && a->b_bias)
        gr_json_fail(gr_json_get(o, "lora_bias"),
                     "does not go together with use_dora, as in peft\nset one of them to false");
    s = gr_json_check(o.doc);
    if (s == GR_OK)
        s = read_layers(a, arch, o);
    if (s == GR_OK)
        s = read_saved(a, o);
    return s == GR_OK ? read_tokens(a, o) : s;
}

gr_status gr_adapter_read_config(gr_adapter *a, const gr_arch *arch, const char *name, const char *text, size_t size)
{
    gr_json_doc *doc = gr_json_parse(name, text, size);
    gr_status s = doc ? read_config(a, arch, gr_json_root(doc)) : gr_error_status();
    gr_json_free(doc);
    a->config = s == GR_OK ? gr_alloc(size + 1) : NULL;
    if (!a->config)
        return s == GR_OK ? GR_ERR_MEMORY : s;
    memcpy(a->config, text, size);
    a->config[size] = '\0';
    return GR_OK;
}

static void put_texts(gr_json into, const char *key, const char *const *texts, size_t n)
{
    gr_json list = gr_json_put_array(into, key);
    for (size_t i = 0; i < n; i++)
        gr_json_put_text(list, NULL, texts[i]);
}

/* A list is of the embedding, and of a head that is tied to it; else they stand by the modules' names. */
static void put_tokens(gr_json c, const gr_lora_options *o, const char *embedding)
{
    static const char key[] = "trainable_token_indices";
    gr_json object = o->head_tokens ? gr_json_put_object(c, key) : c;
    for (int k = 0; k < (o->head_tokens ? 2 : 1); k++) {
        gr_json list = gr_json_put_array(object, !o->head_tokens ? key : k == 0 ? embedding : "lm_head");
        for (int i = 0; i < o->n_tokens; i++)
            gr_json_put_int(list, NULL, o->tokens[i]);
    }
}

/* Keys that every version of peft since use_rslora knows, and those of what is used: older ones refuse what they do not. */
char *gr_adapter_write_config(const gr_lora_options *o, const char *const *targets, size_t n_targets,
                              const gr_arch *arch)
{
    gr_json_doc *doc = gr_json_new(GR_ADAPTER_CONFIG);
    if (!doc)
        return NULL;
    gr_json c = gr_json_root(doc);
    char embedding[64]; /* its module, without the parameter's name */
    snprintf(embedding, sizeof embedding, "%.*s", (int)strcspn(arch->embedding, "."), arch->embedding);
    gr_json_put_object(c, "alpha_pattern");
    gr_json_put_null(c, "auto_mapping");
    if (o->base)
        gr_json_put_path(c, "base_model_name_or_path", o->base);
    else
        gr_json_put_null(c, "base_model_name_or_path");
    gr_json_put_text(c, "bias", o->bias == GR_BIAS_ALL ? "all" : o->bias == GR_BIAS_LORA_ONLY ? "lora_only" : "none");
    gr_json_put_bool(c, "fan_in_fan_out", arch->fan_in_fan_out);
    gr_json_put_bool(c, "inference_mode", true);
    gr_json_put_bool(c, "init_lora_weights", true);
    gr_json_put_null(c, "layers_pattern");
    gr_json_put_null(c, "layers_to_transform");
    if (o->alpha == floor(o->alpha) && o->alpha < 1e9)
        gr_json_put_int(c, "lora_alpha", (int64_t)o->alpha);
    else
        gr_json_put_real(c, "lora_alpha", o->alpha);
    gr_json_put_real(c, "lora_dropout", o->dropout);
    if (o->b_bias)
        gr_json_put_bool(c, "lora_bias", true);
    if (o->n_modules_to_save > 0)
        put_texts(c, "modules_to_save", o->modules_to_save, (size_t)o->n_modules_to_save);
    else
        gr_json_put_null(c, "modules_to_save");
    gr_json_put_text(c, "peft_type", "LORA");
    gr_json_put_int(c, "r", o->rank);
    gr_json_put_object(c, "rank_pattern");
    gr_json_put_null(c, "revision");
    put_texts(c, "target_modules", targets, n_targets);
    gr_json_put_text(c, "task_type", "CAUSAL_LM");
    if (o->n_tokens > 0)
        put_tokens(c, o, embedding);
    if (o->dora)
        gr_json_put_bool(c, "use_dora", true);
    gr_json_put_bool(c, "use_rslora", o->rslora);
    char *text = gr_json_format(doc, true, NULL);
    gr_json_free(doc);
    return text;
}
