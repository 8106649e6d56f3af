/* LoRA: declaring, applying, making and merging. Its files are in adapter.c. */
#include "model/lora.h"

#include "base/mem.h"
#include "base/philox.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TENSOR_PREFIX "base_model.model."

/* ---- finding the layers ------------------------------------------------------------------------------------- */

/* A module's name as transformers has it: files that go without the body's prefix name it "h.0.attn.c_attn". */
static void module_name(const gr_build *b, const char *name, char *out, size_t size)
{
    const gr_model *m = b->model;
    const char *scope = b->g->scope ? b->g->scope : "";
    bool add = *m->prefix == '\0' && strcmp(name, "lm_head") != 0;
    snprintf(out, size, "%s%s%s", add ? m->arch->prefix : "", scope, name);
}

static gr_status note_name(gr_adapter *a, const char *module)
{
    const char *dot = strrchr(module, '.'), *last = dot ? dot + 1 : module;
    for (size_t i = 0; i < a->n_names; i++)
        if (strcmp(a->names[i], last) == 0)
            return GR_OK;
    gr_status s = gr_grow(&a->names, &a->names_capacity, a->n_names + 1, sizeof *a->names);
    char *copy = s == GR_OK ? gr_strdup(last) : NULL;
    if (copy)
        a->names[a->n_names++] = copy;
    return copy ? GR_OK : GR_ERR_MEMORY;
}

static gr_status is_wanted(const gr_adapter *a, const char *module, bool *wanted)
{
    gr_status s = gr_modules_match(&a->excluded, module, wanted);
    if (s != GR_OK || *wanted) {
        *wanted = false;
        return s;
    }
    return gr_modules_match(&a->targets, module, wanted);
}

static gr_status rank_and_scale(const gr_adapter *a, const char *module, int64_t *rank, float *scale)
{
    double r = (double)a->rank, alpha = a->alpha;
    gr_status s = gr_module_values_find(&a->ranks, module, &r);
    if (s == GR_OK)
        s = gr_module_values_find(&a->alphas, module, &alpha);
    *rank = (int64_t)r;
    *scale = (float)(alpha / (a->rslora ? sqrt(r) : r));
    return s;
}

static gr_status add_tensors(gr_adapter *a, const char *module, int64_t rank, int64_t in, int64_t out)
{
    char name[320];
    int64_t shape_a[] = {rank, in}, shape_b[] = {out, rank};
    snprintf(name, sizeof name, TENSOR_PREFIX "%s.lora_A.weight", module);
    gr_status s = gr_store_add(a->store, name, GR_WEIGHT, GR_F32, 2, shape_a);
    snprintf(name, sizeof name, TENSOR_PREFIX "%s.lora_B.weight", module);
    return s == GR_OK ? gr_store_add(a->store, name, GR_WEIGHT, GR_F32, 2, shape_b) : s;
}

static gr_status declare(gr_build *b, const char *module, const char *name, int64_t in, int64_t out, bool conv1d)
{
    gr_adapter *a = b->model->adapter;
    gr_lora_module m = {.conv1d = conv1d};
    int64_t rank = 0;
    bool wanted;
    gr_status s = is_wanted(a, module, &wanted);
    if (s == GR_OK && wanted)
        s = rank_and_scale(a, module, &rank, &m.scale);
    if (s == GR_OK && wanted)
        s = gr_grow(&a->modules, &a->capacity, a->n_modules + 1, sizeof *a->modules);
    if (s == GR_OK && wanted)
        s = add_tensors(a, module, rank, in, out);
    if (s != GR_OK || !wanted)
        return s;
    m.weight = gr_strfmt("%s%s.weight", b->g->scope ? b->g->scope : "", name);
    a->modules[a->n_modules++] = m;
    return m.weight ? GR_OK : GR_ERR_MEMORY;
}

/* ---- applying ----------------------------------------------------------------------------------------------- */

/* The entry of the module's A; -1: it has none. */
static int find(const gr_adapter *a, const char *module)
{
    char name[320];
    snprintf(name, sizeof name, TENSOR_PREFIX "%s.lora_A.weight", module);
    return gr_store_find(a->store, name);
}

static gr_tensor *param_at(gr_build *b, int index)
{
    gr_entry e;
    gr_store *store = b->model->adapter->store;
    return gr_store_entry(store, index, &e) == GR_OK ? gr_param(b->g, store, e.name) : NULL;
}

gr_tensor *gr_lora_add(gr_build *b, gr_tensor *x, gr_tensor *y, const char *name, bool conv1d)
{
    gr_adapter *a = b->model->adapter;
    if (!a || !x || !y)
        return y;
    char module[256];
    module_name(b, name, module, sizeof module);
    const gr_spec *in = &x->spec, *out = &y->spec;
    if (a->lists && note_name(a, module) != GR_OK)
        return gr_graph_fail(b->g);
    if (a->declares && declare(b, module, name, in->shape[in->ndim - 1], out->shape[out->ndim - 1], conv1d) != GR_OK)
        return gr_graph_fail(b->g);
    int at = find(a, module);
    if (at < 0)
        return y;
    if (a->dropout > 0 && b->forward->seed)
        x = gr_dropout(x, a->dropout, b->forward->seed, b->stream++);
    gr_tensor *low = gr_matmul(x, param_at(b, at), false, true);
    low = gr_name(gr_scale(low, (double)a->modules[at / 2].scale), "%s.lora_A", name);
    return gr_add(y, gr_name(gr_matmul(low, param_at(b, at + 1), false, true), "%s.lora_B", name));
}

double gr_lora_dropout(const gr_model *m)
{
    return m->adapter ? m->adapter->dropout : 0;
}

/* ---- adding ------------------------------------------------------------------------------------------------- */

void gr_lora_close(gr_model *m)
{
    gr_adapter *a = m->adapter;
    if (!a)
        return;
    for (size_t i = 0; i < a->n_modules; i++)
        gr_free(a->modules[i].weight);
    for (size_t i = 0; i < a->n_names; i++)
        gr_free(a->names[i]);
    gr_free(a->names);
    gr_free(a->modules);
    gr_modules_free(&a->targets);
    gr_modules_free(&a->excluded);
    gr_module_values_free(&a->ranks);
    gr_module_values_free(&a->alphas);
    gr_store_free(a->store);
    gr_free(a->config);
    gr_free(a);
    m->adapter = NULL;
}

/* " q_proj, k_proj": what a linear layer of this model may be called. */
static void list_names(const gr_adapter *a, char *out, size_t size)
{
    *out = '\0';
    for (size_t i = 0; i < a->n_names; i++)
        snprintf(out + strlen(out), size - strlen(out), "%s%s", i ? ", " : "", a->names[i]);
}

static gr_status no_match(const gr_adapter *a, const char *what)
{
    char names[400];
    list_names(a, names, sizeof names);
    return gr_fail(GR_ERR_ARGUMENT, "LoRA: %s\nits linear layers are %s", what, names);
}

gr_status gr_lora_open(gr_model *m, const char *name, const char *config, size_t size)
{
    if (m->adapter)
        return gr_fail(GR_ERR_ARGUMENT, "the model has an adapter already\nmerge it, or load the model again");
    gr_adapter *a = m->adapter = gr_alloc_zero(1, sizeof *a);
    gr_status s = a ? gr_adapter_read_config(a, name, config, size) : GR_ERR_MEMORY;
    if (s == GR_OK && !(a->store = gr_store_new(m->device)))
        s = GR_ERR_MEMORY;
    if (s == GR_OK) {
        a->declares = a->lists = true;
        s = gr_model_trace(m);
        a->declares = a->lists = false;
    }
    if (s == GR_OK && a->n_modules == 0) {
        s = no_match(a, "target_modules names none of the model's layers");
        gr_fail_in("%s", name);
    }
    if (s != GR_OK)
        gr_lora_close(m);
    return s;
}

/* ---- a new adapter ------------------------------------------------------------------------------------------ */

/* The names of all linear layers but the head, as a list that needs no convention to be understood. */
static gr_status all_linear(gr_model *m, char ***names, size_t *n)
{
    gr_adapter *a = m->adapter = gr_alloc_zero(1, sizeof *a);
    if (!a || !(a->store = gr_store_new(m->device)))
        return GR_ERR_MEMORY;
    a->lists = true;
    gr_status s = gr_model_trace(m);
    *names = a->names;
    *n = a->n_names;
    a->names = NULL;
    a->n_names = 0;
    return s;
}

/* What is asked for by name must be there. */
static gr_status check_names(const gr_lora_options *o, char **names, size_t n)
{
    char what[200];
    for (int i = 0; i < o->n_targets; i++) {
        const char *dot = strrchr(o->targets[i], '.'), *last = dot ? dot + 1 : o->targets[i];
        bool known = false;
        for (size_t k = 0; k < n && !known; k++)
            known = strcmp(names[k], last) == 0;
        if (!known) {
            gr_adapter list = {.names = names, .n_names = n};
            snprintf(what, sizeof what, "the model has no linear layer \"%.100s\"", o->targets[i]);
            return no_match(&list, what);
        }
    }
    return GR_OK;
}

/* What peft adapts when it is not told: TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING. */
static const char *const *usual_targets(const gr_model *m, size_t *n)
{
    static const char *const gpt2[] = {"c_attn"}, *const others[] = {"q_proj", "v_proj"};
    bool is_gpt2 = strcmp(m->arch->model_type, "gpt2") == 0;
    *n = is_gpt2 ? 1 : 2;
    return is_gpt2 ? gpt2 : others;
}

static gr_status check_options(const gr_lora_options *o)
{
    if (o->rank < 1 || o->rank > 1 << 16 || !(o->alpha > 0) || !(o->dropout >= 0 && o->dropout < 1))
        return gr_fail(GR_ERR_ARGUMENT, "LoRA: the rank must be from 1 to 65536, alpha above 0, dropout in [0, 1)");
    return GR_OK;
}

/* The adapter_config.json for these options; caller frees. */
static char *config_of(gr_model *m, const gr_lora_options *o)
{
    char **names = NULL, *text = NULL;
    size_t n = 0, n_targets = (size_t)o->n_targets;
    const char *const *targets = o->targets;
    gr_status s = all_linear(m, &names, &n);
    gr_lora_close(m);
    bool all = o->n_targets == 1 && strcmp(o->targets[0], "all-linear") == 0;
    if (s == GR_OK && n_targets && !all)
        s = check_names(o, names, n);
    if (s == GR_OK && all) {
        size_t kept = 0;
        for (size_t i = 0; i < n; i++)
            if (strcmp(names[i], "lm_head") == 0)
                gr_free(names[i]);
            else
                names[kept++] = names[i];
        n = n_targets = kept;
        targets = (const char *const *)names;
    } else if (s == GR_OK && !n_targets) {
        targets = usual_targets(m, &n_targets);
    }
    if (s == GR_OK)
        text = gr_adapter_write_config(o, targets, n_targets, strcmp(m->arch->model_type, "gpt2") == 0);
    for (size_t i = 0; i < n; i++)
        gr_free(names[i]);
    gr_free(names);
    return text;
}

/* A as torch.nn.Linear is initialized, uniform within 1/sqrt(in) (kaiming_uniform with a = sqrt 5), B zero: the new
 * adapter adds nothing. */
static gr_status initialize(gr_adapter *a, uint64_t seed)
{
    enum { STREAM = 0x6c6f7261 /* "lora" */ };
    gr_status s = GR_OK;
    gr_entry e;
    for (int i = 0; s == GR_OK && i < gr_store_count(a->store); i++) {
        s = gr_store_entry(a->store, i, &e);
        float *data = s == GR_OK ? gr_alloc_zero(e.bytes, 1) : NULL;
        if (!data)
            return gr_error_status();
        float bound = (float)(1 / sqrt((double)e.shape[1]));
        uint64_t stream = (uint64_t)STREAM << 32 | (uint64_t)i;
        for (size_t k = 0; i % 2 == 0 && k < e.bytes / sizeof *data; k++)
            data[k] = bound * (2 * gr_philox_uniform(seed, stream, k) - 1);
        s = gr_store_write(a->store, e.name, data, e.bytes);
        gr_free(data);
    }
    return s;
}

gr_status gr_model_add_adapter(gr_model *m, const gr_lora_options *options)
{
    const gr_lora_options usual = gr_lora_defaults();
    options = options ? options : &usual;
    if (gr_lacks(m, "gr_model_add_adapter: model"))
        return GR_ERR_ARGUMENT;
    if (m->adapter)
        return gr_fail(GR_ERR_ARGUMENT, "the model has an adapter already\nmerge it, or load the model again");
    if (check_options(options) != GR_OK)
        return gr_error_status();
    char *text = config_of(m, options);
    gr_status s = text ? gr_lora_open(m, GR_ADAPTER_CONFIG, text, strlen(text)) : gr_error_status();
    gr_free(text);
    if (s == GR_OK && (s = initialize(m->adapter, options->seed)) != GR_OK)
        gr_lora_close(m);
    return s;
}

gr_store *gr_model_trainable(gr_model *m)
{
    if (gr_lacks(m, "gr_model_trainable: model"))
        return NULL;
    return m->adapter ? m->adapter->store : m->store;
}

const char *gr_model_adapter_config(const gr_model *m)
{
    if (gr_lacks(m, "gr_model_adapter_config: model"))
        return NULL;
    return m->adapter ? m->adapter->config : NULL;
}

/* ---- merging ------------------------------------------------------------------------------------------------ */

/* W + scale · B A in f32, rounded to W's dtype once; and how many of its elements are no numbers. */
static gr_program *merged_weight(gr_model *m, int i, gr_entry *e)
{
    gr_adapter *a = m->adapter;
    const gr_lora_module *module = &a->modules[i];
    int index = gr_store_find(m->store, module->weight);
    if (gr_store_entry(m->store, index, e) != GR_OK)
        return NULL;
    gr_graph *g = gr_graph_new();
    gr_build b = {.model = m, .g = g};
    gr_tensor *low = g ? param_at(&b, 2 * i) : NULL, *high = g ? param_at(&b, 2 * i + 1) : NULL;
    gr_tensor *delta = module->conv1d ? gr_matmul(low, high, true, true) : gr_matmul(high, low, false, false);
    gr_tensor *w = gr_cast(gr_param(g, m->store, module->weight), GR_F32);
    gr_tensor *out[2] = {gr_cast(gr_add(w, gr_scale(delta, (double)module->scale)), e->dtype)};
    gr_tensor *zero = gr_fill(g, GR_F32, 0, NULL, 0), *one = gr_fill(g, GR_F32, 0, NULL, 1);
    out[1] = gr_sum(gr_select(gr_is_finite(out[0]), zero, one), 0, false);
    gr_program *p = out[1] ? gr_compile(g, out, 2, m->device) : NULL;
    gr_graph_free(g);
    return p;
}

static gr_status merge_module(gr_model *m, int i)
{
    gr_entry e;
    float bad = 0;
    gr_program *p = merged_weight(m, i, &e);
    void *data = p ? gr_alloc(e.bytes) : NULL;
    gr_status s = data ? gr_run(p, NULL, (void *[]){data, &bad}) : gr_error_status();
    gr_program_free(p);
    if (s == GR_OK && bad > 0)
        s = gr_fail(GR_ERR_NUMBER,
                    "merging: \"%s\" would have values that %s cannot hold\nmerge into a model of a wider dtype",
                    e.name, gr_dtype_name(e.dtype));
    if (s == GR_OK)
        s = gr_store_write(m->store, e.name, data, e.bytes);
    gr_free(data);
    return s;
}

gr_status gr_model_merge_adapter(gr_model *m)
{
    if (gr_lacks(m, "gr_model_merge_adapter: model"))
        return GR_ERR_ARGUMENT;
    if (!m->adapter)
        return gr_fail(GR_ERR_ARGUMENT, "merging: the model has no adapter");
    gr_status s = GR_OK;
    for (size_t i = 0; s == GR_OK && i < m->adapter->n_modules; i++)
        s = merge_module(m, (int)i);
    if (s == GR_OK)
        gr_lora_close(m);
    return s;
}
