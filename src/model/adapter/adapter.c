/* Adapters: opened from a config, made anew, closed. */
#include "model/adapter/adapter.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/sized.h"

#include <stdio.h>
#include <string.h>

double gr_adapter_dropout(const gr_model *m)
{
    return m->adapter ? m->adapter->dropout : 0;
}

/* ---- opening and closing ------------------------------------------------------------------------------------ */

void gr_adapter_close(gr_model *m)
{
    gr_adapter *a = m->adapter;
    m->observer = NULL;
    m->adapter = NULL;
    m->info.adapter_config = NULL;
    if (!a)
        return;
    for (size_t i = 0; i < a->n_notes; i++)
        gr_free(a->notes[i].module);
    for (size_t i = 0; i < a->n_saved; i++)
        gr_free(a->saved[i]);
    for (size_t i = 0; i < a->n_tokens; i++) {
        gr_free(a->tokens[i].module);
        gr_free(a->tokens[i].tokens);
    }
    for (size_t i = 0; i < a->n_replaced; i++)
        gr_free(a->replaced[i].name);
    gr_free(a->notes);
    gr_free(a->saved);
    gr_free(a->tokens);
    gr_free(a->loras);
    gr_free(a->overrides);
    gr_free(a->replaced);
    gr_modules_free(&a->targets);
    gr_modules_free(&a->excluded);
    gr_module_values_free(&a->ranks);
    gr_module_values_free(&a->alphas);
    gr_store_free(a->store);
    gr_store_free(a->tables);
    gr_free(a->config);
    gr_free(a);
}

gr_status gr_adapter_begin(gr_model *m)
{
    gr_adapter *a = m->adapter = gr_alloc_zero(1, sizeof *a);
    if (!a)
        return GR_ERR_MEMORY;
    a->store = gr_store_new(m->device);
    a->tables = a->store ? gr_store_new(m->device) : NULL;
    return a->tables ? gr_adapter_note_layers(m) : gr_error_status();
}

gr_status gr_adapter_refuse_second(void)
{
    return gr_fail(GR_ERR_ARGUMENT, "the model has an adapter already\nmerge it, or load the model again");
}

gr_status gr_adapter_open(gr_model *m, const char *name, const char *config, size_t size)
{
    gr_status s = gr_adapter_begin(m);
    if (s == GR_OK)
        s = gr_adapter_read_config(m->adapter, m->arch, name, config, size);
    /* What a file asks for and the model does not have is the file's fault. */
    if (s == GR_OK && (s = gr_adapter_declare(m)) != GR_OK)
        s = s == GR_ERR_ARGUMENT ? gr_fail(GR_ERR_FILE, "%s: %s", name, gr_error()) : gr_fail_in("%s", name);
    if (s != GR_OK)
        gr_adapter_close(m);
    return s;
}

gr_store *gr_model_trainable(gr_model *m)
{
    if (gr_lacks(m, "gr_model_trainable: model"))
        return NULL;
    return m->adapter ? m->adapter->store : m->store;
}

gr_status gr_adapter_set_base(gr_model *m, const char *base)
{
    gr_adapter *a = m->adapter;
    gr_json_doc *doc = gr_json_parse(GR_ADAPTER_CONFIG, a->config, strlen(a->config));
    gr_json_put_path(gr_json_root(doc), "base_model_name_or_path", base);
    gr_status s = gr_json_renew(doc, &a->config);
    m->info.adapter_config = a->config;
    return s;
}

gr_status gr_adapter_check_training(const gr_model *m)
{
    const gr_adapter *a = m->adapter;
    const char *what = NULL;
    if (!a)
        return GR_OK;
    if (a->ties_saved || a->ties_targets)
        what = "keeps the embedding and the head one (ensure_weight_tying)";
    else if (a->freezes_b)
        what = "trains A alone (init_lora_weights \"mica\")";
    else if (a->n_replaced > 0)
        what = "has weights of the base beside it that differ from the model's";
    if (!what)
        return GR_OK;
    return gr_fail(GR_ERR_UNSUPPORTED,
                   "training: the adapter %s, which is run and merged but not trained\nmerge it, and "
                   "train a new one",
                   what);
}

/* ---- a new one ---------------------------------------------------------------------------------------------- */

static bool is_known(const gr_adapter *a, const char *name)
{
    for (size_t i = 0; i < a->n_notes; i++)
        if (a->notes[i].kind != GR_LAYER_NORM && strcmp(gr_last_part(a->notes[i].module), gr_last_part(name)) == 0)
            return true;
    return false;
}

/* What is asked for by name must be there. */
static gr_status check_names(const gr_adapter *a, const gr_lora_options *o)
{
    char what[200];
    for (int i = 0; i < o->n_targets; i++)
        if (!is_known(a, o->targets[i])) {
            snprintf(what, sizeof what, "the model has no linear layer and no embedding \"%.100s\"", o->targets[i]);
            return gr_adapter_no_match(a, what);
        }
    return GR_OK;
}

static gr_status check_saved(const gr_adapter *a, const gr_lora_options *o)
{
    char what[200];
    for (int i = 0; i < o->n_modules_to_save; i++)
        if (!gr_adapter_can_save(a, o->modules_to_save[i])) {
            snprintf(what, sizeof what, "the model has no layer \"%.100s\" to be saved", o->modules_to_save[i]);
            return gr_adapter_no_match(a, what);
        }
    return GR_OK;
}

static gr_status check_options(const gr_lora_options *o)
{
    if (o->rank < 1 || o->rank > 1 << 16 || !(o->alpha > 0) || !(o->dropout >= 0 && o->dropout < 1))
        return gr_fail(GR_ERR_ARGUMENT, "LoRA: the rank must be from 1 to 65536, alpha above 0, dropout in [0, 1)");
    if (o->dora && o->b_bias)
        return gr_fail(GR_ERR_ARGUMENT,
                       "LoRA: DoRA and biases of B do not go together, as in peft\nleave one of them out");
    return GR_OK;
}

/* The last parts of all linear layers' names but the head's, each once: [*n], which point into the notes. */
static const char **all_linear(const gr_adapter *a, size_t *n)
{
    const char **names = gr_alloc_zero(a->n_notes + 1, sizeof *names);
    *n = 0;
    for (size_t i = 0; names && i < a->n_notes; i++) {
        const gr_layer_note *l = &a->notes[i];
        const char *last = gr_last_part(l->module);
        bool leave = (l->kind != GR_LAYER_LINEAR && l->kind != GR_LAYER_CONV1D) || strcmp(l->module, "lm_head") == 0;
        for (size_t k = 0; k < *n && !leave; k++)
            leave = strcmp(names[k], last) == 0;
        if (!leave)
            names[(*n)++] = last;
    }
    return names;
}

/* The adapter_config.json for these options; caller frees. */
static char *config_of(const gr_model *m, const gr_lora_options *o)
{
    const gr_arch *arch = m->arch;
    if (o->n_targets == 1 && strcmp(o->targets[0], "all-linear") == 0) {
        size_t n;
        const char **names = all_linear(m->adapter, &n);
        char *text = names ? gr_adapter_write_config(o, names, n, arch) : NULL;
        gr_free(names);
        return text;
    }
    if (o->n_targets > 0)
        return check_names(m->adapter, o) == GR_OK ? gr_adapter_write_config(o, o->targets, (size_t)o->n_targets, arch)
                                                   : NULL;
    size_t n = 0;
    while (n < sizeof arch->targets / sizeof *arch->targets && arch->targets[n])
        n++;
    return gr_adapter_write_config(o, arch->targets, n, arch);
}

/* As peft says when such an adapter is made. */
static void warn_of_biases(const gr_adapter *a)
{
    for (size_t i = 0; i < a->n_loras; i++)
        if (a->loras[i].b_bias >= 0 && a->notes[a->loras[i].layer].bias < 0) {
            gr_remark(GR_LOG_WARN, "LoRA: lora_bias, and layers that have no bias: the adapter can be used beside the "
                                   "model, not merged into it");
            return;
        }
}

gr_status gr_model_add_adapter(gr_model *m, const gr_lora_options *options)
{
    gr_lora_options o;
    if (gr_lacks(m, "gr_model_add_adapter: model"))
        return GR_ERR_ARGUMENT;
    if (m->adapter)
        return gr_adapter_refuse_second();
    gr_status s = gr_take_sized(&o, sizeof o, options, "gr_model_add_adapter: options");
    o.rank = o.rank ? o.rank : 8;
    o.alpha = o.alpha != 0 ? o.alpha : 16;
    o.head_tokens &= !m->h.tied;
    if (s == GR_OK)
        s = check_options(&o);
    char *text = NULL;
    if (s == GR_OK)
        s = gr_adapter_begin(m);
    if (s == GR_OK)
        s = check_saved(m->adapter, &o);
    if (s == GR_OK) {
        text = config_of(m, &o);
        s = text ? gr_adapter_read_config(m->adapter, m->arch, GR_ADAPTER_CONFIG, text, strlen(text))
                 : gr_error_status();
    }
    if (s == GR_OK)
        s = gr_adapter_declare(m);
    if (s == GR_OK)
        s = gr_adapter_initialize(m, o.seed);
    if (s == GR_OK) {
        m->info.adapter_config = m->adapter->config;
        warn_of_biases(m->adapter);
    } else {
        gr_adapter_close(m);
    }
    gr_free(text);
    return s;
}
