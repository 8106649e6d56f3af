/* An adapter's files, as peft writes and reads them. */
#include "model/lora.h"

#include "base/dtype.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/store_tensors.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_CONFIG = 1 << 24, MOST_RANK = 1 << 16 };

gr_lora_options gr_lora_defaults(void)
{
    return (gr_lora_options){.rank = 8, .alpha = 16};
}

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
        "lora_dropout",
        "lora_ga_config",
        "megatron_core",
        "peft_type",
        "peft_version",
        "qalora_group_size",
        "r",
        "rank_pattern",
        "revision",
        "target_modules",
        "task_type",
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
    static const char *const fine[] = {"gaussian", "eva", "orthogonal"};
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
        gr_json_fail(o, "has no \"peft_type\": this is no adapter's config");
    check_word(o, "peft_type", "LORA");
    check_word(o, "task_type", "CAUSAL_LM");
    check_word(o, "bias", "none");
    check_init(gr_json_get(o, "init_lora_weights"));
    for (gr_json_iter it = gr_json_first(o); it.key; gr_json_next(&it))
        if (!is_understood(it.key) && !is_off(it.value))
            gr_json_fail(it.value, "is not supported, only plain LoRA is");
    if (!gr_json_is(gr_json_get(o, "target_modules")))
        gr_json_fail(o, "has no \"target_modules\"");
    return gr_json_check(o.doc);
}

static gr_status read_config(gr_adapter *a, gr_json o)
{
    gr_status s = check_config(o);
    if (s != GR_OK)
        return s;
    a->rank = gr_json_int(o, "r", 8, 1, MOST_RANK);
    a->alpha = gr_json_real(o, "lora_alpha", 8, -1e9, 1e9);
    a->dropout = gr_json_real(o, "lora_dropout", 0, 0, 1);
    a->rslora = gr_json_bool(o, "use_rslora", false);
    s = gr_json_check(o.doc);
    if (s == GR_OK)
        s = gr_modules_read(&a->targets, gr_json_get(o, "target_modules"));
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

gr_status gr_adapter_read_config(gr_adapter *a, const char *name, const char *text, size_t size)
{
    gr_json_doc *doc = gr_json_parse(name, text, size);
    gr_status s = doc ? read_config(a, gr_json_root(doc)) : gr_error_status();
    gr_json_free(doc);
    a->config = s == GR_OK ? gr_alloc(size + 1) : NULL;
    if (!a->config)
        return s == GR_OK ? GR_ERR_MEMORY : s;
    memcpy(a->config, text, size);
    a->config[size] = '\0';
    return GR_OK;
}

/* Keys that every version of peft since use_rslora knows: older ones refuse what they do not. */
char *gr_adapter_write_config(const gr_lora_options *o, const char *const *targets, size_t n_targets,
                              bool fan_in_fan_out)
{
    gr_json_doc *doc = gr_json_new(GR_ADAPTER_CONFIG);
    if (!doc)
        return NULL;
    gr_json c = gr_json_root(doc);
    gr_json_put_object(c, "alpha_pattern");
    gr_json_put_null(c, "auto_mapping");
    if (o->base)
        gr_json_put_text(c, "base_model_name_or_path", o->base);
    else
        gr_json_put_null(c, "base_model_name_or_path");
    gr_json_put_text(c, "bias", "none");
    gr_json_put_bool(c, "fan_in_fan_out", fan_in_fan_out);
    gr_json_put_bool(c, "inference_mode", true);
    gr_json_put_bool(c, "init_lora_weights", true);
    gr_json_put_null(c, "layers_pattern");
    gr_json_put_null(c, "layers_to_transform");
    if (o->alpha == floor(o->alpha) && o->alpha < 1e9)
        gr_json_put_int(c, "lora_alpha", (int64_t)o->alpha);
    else
        gr_json_put_real(c, "lora_alpha", o->alpha);
    gr_json_put_real(c, "lora_dropout", o->dropout);
    gr_json_put_null(c, "modules_to_save");
    gr_json_put_text(c, "peft_type", "LORA");
    gr_json_put_int(c, "r", o->rank);
    gr_json_put_object(c, "rank_pattern");
    gr_json_put_null(c, "revision");
    gr_json list = gr_json_put_array(c, "target_modules");
    for (size_t i = 0; i < n_targets; i++)
        gr_json_put_text(list, NULL, targets[i]);
    gr_json_put_text(c, "task_type", "CAUSAL_LM");
    gr_json_put_bool(c, "use_rslora", o->rslora);
    char *text = gr_json_format(doc, true, NULL);
    gr_json_free(doc);
    return text;
}

gr_status gr_adapter_set_base(gr_model *m, const char *base)
{
    gr_adapter *a = m->adapter;
    gr_json_doc *doc = gr_json_parse(GR_ADAPTER_CONFIG, a->config, strlen(a->config));
    if (!doc)
        return gr_error_status();
    gr_json_put_text(gr_json_root(doc), "base_model_name_or_path", base);
    char *text = gr_json_format(doc, true, NULL);
    gr_json_free(doc);
    if (!text)
        return gr_error_status();
    gr_free(a->config);
    a->config = text;
    return GR_OK;
}

/* ---- adapter_model.safetensors ------------------------------------------------------------------------------ */

static gr_status load_tensor(gr_store *store, const gr_entry *e, const gr_safetensor *t)
{
    char have[160], want[160];
    gr_spec is = {.dtype = t->dtype, .ndim = t->ndim}, must = {.dtype = e->dtype, .ndim = e->ndim};
    memcpy(is.shape, t->shape, sizeof is.shape);
    memcpy(must.shape, e->shape, sizeof must.shape);
    if (!gr_spec_same_shape(&is, &must) || !gr_dtype_get(t->dtype)->is_float)
        return gr_fail(GR_ERR_FILE,
                       "tensor \"%s\" is %s, the config and the model ask for %s\nadapter and model do not belong "
                       "together",
                       e->name, gr_spec_text(&is, have, sizeof have), gr_spec_text(&must, want, sizeof want));
    float *wide = gr_alloc(e->bytes);
    if (!wide)
        return GR_ERR_MEMORY;
    gr_safetensor_to_f32(t, wide);
    gr_status s = gr_store_write(store, e->name, wide, e->bytes);
    gr_free(wide);
    return s;
}

/* peft saves embeddings with an adapter that names one of them: is this tensor what the model has already? */
static gr_status is_copy(const gr_model *m, const gr_safetensor *t, bool *copy)
{
    static const char prefix[] = "base_model.model.", layer[] = ".base_layer.weight";
    size_t n = strlen(t->name), skip = sizeof prefix - 1, end = sizeof layer - 1;
    char name[256];
    gr_entry e;
    *copy = false;
    if (n >= sizeof name || n < skip || strncmp(t->name, prefix, skip) != 0)
        return GR_OK;
    bool wrapped = n > end && strcmp(t->name + n - end, layer) == 0;
    snprintf(name, sizeof name, "%.*s%s", (int)(wrapped ? n - skip - end : n - skip), t->name + skip,
             wrapped ? ".weight" : "");
    int at = gr_store_find(m->store, name);
    if (at < 0 || gr_store_entry(m->store, at, &e) != GR_OK || e.dtype != t->dtype || e.bytes != t->bytes)
        return GR_OK;
    void *data = gr_alloc(e.bytes);
    gr_status s = data ? gr_store_read(m->store, name, data, e.bytes) : GR_ERR_MEMORY;
    *copy = s == GR_OK && memcmp(data, t->data, e.bytes) == 0;
    gr_free(data);
    return s;
}

static gr_status load_tensors(const gr_model *m, const gr_weights *file)
{
    gr_store *store = m->adapter->store;
    gr_entry e;
    gr_status s = GR_OK;
    for (int i = 0; s == GR_OK && i < gr_store_count(store); i++) {
        s = gr_store_entry(store, i, &e);
        const gr_safetensor *t = s == GR_OK ? gr_weights_find(file, e.name) : NULL;
        if (s == GR_OK && !t)
            s = gr_fail(GR_ERR_FILE, "tensor \"%s\" is missing\nadapter and model do not belong together", e.name);
        if (t)
            s = load_tensor(store, &e, t);
    }
    for (int i = 0; s == GR_OK && i < gr_weights_count(file); i++) {
        char shown[200];
        const char *name = gr_weights_entry(file, i)->name;
        bool known = gr_store_find(store, name) >= 0;
        if (!known)
            s = is_copy(m, gr_weights_entry(file, i), &known);
        if (s == GR_OK && !known)
            s = gr_fail(GR_ERR_FILE,
                        "tensor \"%s\" is no LoRA of a linear layer that the config names and the model has\nonly "
                        "linear layers can have adapters here, and no whole layers be saved with them",
                        gr_printable(name, strlen(name), shown, sizeof shown));
    }
    return s;
}

static gr_status load_weights(gr_model *m, const char *dir)
{
    gr_weights *file = gr_weights_open_adapter(dir);
    gr_status s = file ? load_tensors(m, file) : gr_error_status();
    if (file && s != GR_OK)
        gr_fail_in("%s", gr_weights_file(file, 0)->path);
    gr_weights_close(file);
    return s;
}

gr_status gr_model_load_adapter(gr_model *m, const char *dir)
{
    if (gr_lacks(m, "gr_model_load_adapter: model") || gr_lacks(dir, "gr_model_load_adapter: dir"))
        return GR_ERR_ARGUMENT;
    size_t size;
    char *path = gr_path_join(dir, GR_ADAPTER_CONFIG), *text = path ? gr_file_read(path, MOST_CONFIG, &size) : NULL;
    gr_status s = text ? gr_lora_open(m, path, text, size) : gr_error_status();
    if (s == GR_OK && (s = load_weights(m, dir)) != GR_OK)
        gr_lora_close(m);
    gr_free(text);
    gr_free(path);
    return s;
}

/* ---- saving ------------------------------------------------------------------------------------------------- */

static gr_status save_weights(gr_store *store, const char *path)
{
    gr_store_tensors tensors;
    gr_status s = gr_store_tensors_open(&tensors, store, NULL);
    if (s == GR_OK) {
        gr_safetensors_spec spec = gr_store_tensors_spec(&tensors);
        s = gr_safetensors_write(path, &spec);
    }
    gr_store_tensors_close(&tensors);
    return s;
}

static gr_status save_files(const gr_adapter *a, const char *dir)
{
    char *config = gr_path_join(dir, GR_ADAPTER_CONFIG), *weights = gr_path_join(dir, GR_ADAPTER_WEIGHTS);
    gr_status s = config && weights ? save_weights(a->store, weights) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = gr_file_write(config, a->config, strlen(a->config));
    gr_free(config);
    gr_free(weights);
    return s;
}

gr_status gr_model_save_adapter(gr_model *m, const char *dir)
{
    if (gr_lacks(m, "gr_model_save_adapter: model") || gr_lacks(dir, "gr_model_save_adapter: dir"))
        return GR_ERR_ARGUMENT;
    if (!m->adapter)
        return gr_fail(GR_ERR_ARGUMENT, "saving an adapter: the model has none");
    if (gr_path_is_dir(dir))
        return save_files(m->adapter, dir);
    gr_stage *stage = gr_stage_open(dir);
    if (!stage)
        return gr_error_status();
    if (save_files(m->adapter, gr_stage_path(stage)) == GR_OK)
        return gr_stage_commit(stage);
    gr_status s = gr_error_status();
    gr_stage_cancel(stage);
    return s;
}
