/* An adapter's files, as peft writes them, are read. */
#include "model/adapter/gguf.h"

#include "base/dtype.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "format/store_tensors.h"
#include "program/store.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MOST_CONFIG = 1 << 24 };

/* ---- adapter_model.safetensors ------------------------------------------------------------------------------ */

static gr_status check_shape(const gr_entry *e, const gr_weight *t)
{
    char have[160], want[160];
    gr_spec is = {.dtype = t->dtype, .ndim = t->ndim}, must = {.dtype = e->dtype, .ndim = e->ndim};
    memcpy(is.shape, t->shape, sizeof is.shape);
    memcpy(must.shape, e->shape, sizeof must.shape);
    if (!gr_spec_same_shape(&is, &must) || !gr_weight_is_number(t))
        return gr_fail(GR_ERR_FILE,
                       "tensor \"%s\" is %s, the config and the model ask for %s\nadapter and model do not belong "
                       "together: give the model that it was trained on",
                       t->name, gr_spec_text(&is, have, sizeof have), gr_spec_text(&must, want, sizeof want));
    return GR_OK;
}

static gr_status load_tensor(gr_store *store, const gr_entry *e, const gr_weight *t)
{
    gr_status s = check_shape(e, t);
    if (s != GR_OK)
        return s;
    float *wide = gr_alloc(e->bytes);
    if (!wide)
        return GR_ERR_MEMORY;
    gr_weight_to_f32(t, wide);
    s = gr_store_write(store, e->name, wide, e->bytes);
    gr_free(wide);
    return s;
}

/* The model's tensor that one of an adapter's file is: peft puts embeddings of the base beside adapters of them, as
 * MODULE.weight, or MODULE.base_layer.weight where they are wrapped. -1: none. */
static int base_tensor(const gr_model *m, const char *name)
{
    static const char *const wraps[] = {".base_layer.", ".token_adapter.base_layer."};
    static const char prefix[] = GR_ADAPTER_PREFIX;
    size_t skip = sizeof prefix - 1;
    char plain[256];
    if (strncmp(name, prefix, skip) != 0 || strlen(name) - skip >= sizeof plain)
        return -1;
    strcpy(plain, name + skip);
    for (int i = 0; i < 2; i++) {
        char *at = strstr(plain, wraps[i]);
        if (at && (i == 1 || !strstr(plain, wraps[1])))
            memmove(at + 1, at + strlen(wraps[i]), strlen(at + strlen(wraps[i])) + 1);
    }
    const gr_adapter *a = m->adapter;
    for (size_t i = 0; i < a->n_notes; i++) {
        size_t n = strlen(a->notes[i].module);
        if (strncmp(plain, a->notes[i].module, n) == 0 && plain[n] == '.')
            return strcmp(plain + n, ".weight") == 0 ? a->notes[i].weight
                   : strcmp(plain + n, ".bias") == 0 ? a->notes[i].bias
                                                     : -1;
    }
    return -1;
}

static gr_status note_replaced(gr_adapter *a, int index, const char *name)
{
    gr_status s = gr_grow(&a->replaced, &a->replaced_capacity, a->n_replaced + 1, sizeof *a->replaced);
    char *copy = s == GR_OK ? gr_strdup(name) : NULL;
    if (copy)
        a->replaced[a->n_replaced++] = (gr_replaced){index, copy};
    return copy ? GR_OK : GR_ERR_MEMORY;
}

/* Writes t's values, rounded to the tensor's dtype, unless they are there already. `wide` and `have` are room. */
static gr_status replace_values(gr_model *m, int index, const gr_entry *e, const gr_weight *t, float *wide, void *have)
{
    const gr_dtype_info *d = gr_dtype_get(e->dtype);
    gr_status s = gr_store_read(m->store, e->name, have, e->bytes);
    if (s != GR_OK)
        return s;
    gr_weight_to_f32(t, wide);
    if (e->dtype != GR_F32)
        d->from_f32(wide, wide, gr_dtype_values(e->dtype, e->bytes));
    if (memcmp(wide, have, e->bytes) == 0)
        return GR_OK;
    gr_remark(GR_LOG_WARN, "the adapter has \"%s\" of its base beside it, other than the model's: it is used", e->name);
    s = note_replaced(m->adapter, index, t->name);
    return s == GR_OK ? gr_store_write(m->store, e->name, wide, e->bytes) : s;
}

/* A tensor of the base that the file has as well: when it has other numbers, those count, as they do in peft. */
static gr_status replace_base(gr_model *m, int index, const gr_weight *t)
{
    gr_entry e = GR_INIT(gr_entry);
    gr_status s = gr_store_entry(m->store, index, &e);
    if (s == GR_OK)
        s = check_shape(&e, t);
    if (s != GR_OK || !gr_store_has_data(m->store, index)) /* a model that is described only */
        return s;
    float *wide = gr_alloc((size_t)gr_dtype_values(e.dtype, e.bytes) * sizeof *wide);
    void *have = gr_alloc(e.bytes);
    s = wide && have ? replace_values(m, index, &e, t, wide, have) : GR_ERR_MEMORY;
    gr_free(wide);
    gr_free(have);
    return s;
}

/* What peft writes and never reads: the base's part of a module that is saved whole, and what rows were. */
static bool is_left_over(const char *name)
{
    return strstr(name, ".original_module.") || strstr(name, ".modules_to_save.") ||
           strstr(name, ".token_adapter.trainable_tokens_original");
}

/* What the file has besides; it comes last, for it may change the model. */
static gr_status load_others(gr_model *m, const gr_weights *file)
{
    gr_status s = GR_OK;
    for (int i = 0; s == GR_OK && i < gr_weights_count(file); i++) {
        char shown[200];
        const gr_weight *t = gr_weights_entry(file, i);
        if (gr_store_find(m->adapter->store, t->name) >= 0 || is_left_over(t->name))
            continue;
        int base = base_tensor(m, t->name);
        s = base >= 0 ? replace_base(m, base, t)
                      : gr_fail(GR_ERR_FILE,
                                "tensor \"%s\" is of no layer that the config names and the model has\nadapter and "
                                "model do not belong together: give the model that it was trained on",
                                gr_printable(t->name, strlen(t->name), shown, sizeof shown));
    }
    return s;
}

static gr_status load_tensors(gr_model *m, const gr_weights *file)
{
    gr_store *store = m->adapter->store;
    gr_entry e = GR_INIT(gr_entry);
    gr_status s = GR_OK;
    for (int i = 0; s == GR_OK && i < gr_store_count(store); i++) {
        s = gr_store_entry(store, i, &e);
        const gr_weight *t = s == GR_OK ? gr_weights_find(file, e.name) : NULL;
        if (s == GR_OK && !t)
            s = gr_fail(GR_ERR_FILE,
                        "tensor \"%s\" is missing\nadapter and model do not belong together: give the model that it "
                        "was trained on",
                        e.name);
        if (t)
            s = load_tensor(store, &e, t);
    }
    return s == GR_OK ? load_others(m, file) : s;
}

/* ---- a base with fewer tokens ------------------------------------------------------------------------------- */

/* Rows that one of the file's tensors has of the embedding or the head; 0: it is neither. */
static int64_t rows_of(const gr_model *m, const gr_weight *t)
{
    static const char *const parts[] = {".weight", ".base_layer.weight", ".token_adapter.base_layer.weight"};
    static const char prefix[] = GR_ADAPTER_PREFIX;
    char embedding[128];
    if (strncmp(t->name, prefix, sizeof prefix - 1) != 0 || t->ndim != 2 || t->shape[1] != m->h.embed)
        return 0;
    snprintf(embedding, sizeof embedding, "%s%.*s", m->prefix, (int)(strlen(m->arch->embedding) - strlen(parts[0])),
             m->arch->embedding);
    const char *const modules[] = {embedding, "lm_head"};
    for (int k = 0; k < 2; k++) {
        size_t n = strlen(modules[k]);
        const char *at = t->name + sizeof prefix - 1;
        for (size_t i = 0; strncmp(at, modules[k], n) == 0 && i < sizeof parts / sizeof *parts; i++)
            if (strcmp(at + n, parts[i]) == 0)
                return t->shape[0];
    }
    return 0;
}

/* One more than the largest of the ids in a list; an object has lists by modules' names. */
static int64_t tokens_in(gr_json v)
{
    int64_t most = 0;
    for (size_t i = 0; gr_json_type_of(v) == GR_JSON_ARRAY && i < gr_json_size(v); i++) {
        gr_json item = gr_json_item(v, i);
        int64_t id = gr_json_type_of(item) == GR_JSON_INT ? gr_json_as_int(item, INT64_MIN, INT64_MAX) : -1;
        most = id >= most && id < INT32_MAX ? id + 1 : most;
    }
    if (gr_json_type_of(v) == GR_JSON_OBJECT)
        for (gr_json_iter it = gr_json_first(v); it.key; gr_json_next(&it)) {
            int64_t n = tokens_in(it.value);
            most = n > most ? n : most;
        }
    return most;
}

/* Tokens were added to the base before the adapter was trained (transformers' resize_token_embeddings): it gets them again.
 * A config alone may ask for twice as many as there are; else reading it refuses the token. */
static gr_status grow_for_config(gr_model *m, const char *name, const char *config, size_t size)
{
    gr_json_doc *doc = gr_json_parse(name, config, size);
    if (!doc)
        return gr_error_status();
    int64_t asked = tokens_in(gr_json_get(gr_json_root(doc), "trainable_token_indices")), has = m->h.vocab;
    gr_json_free(doc);
    return asked > has && asked <= 2 * has ? gr_model_set_vocab(m, asked) : GR_OK;
}

/* The same of whole tables in the file. */
static gr_status grow_for_file(gr_model *m, const char *name, const char *config, size_t size, const gr_weights *file)
{
    int64_t rows = m->h.vocab;
    for (int i = 0; i < gr_weights_count(file); i++) {
        int64_t has = rows_of(m, gr_weights_entry(file, i));
        rows = has > rows ? has : rows;
    }
    if (rows == m->h.vocab)
        return GR_OK;
    gr_adapter_close(m);
    gr_status s = gr_model_set_vocab(m, rows);
    return s == GR_OK ? gr_adapter_open(m, name, config, size) : s;
}

/* ---- loading ------------------------------------------------------------------------------------------------ */

static gr_status load_weights(gr_model *m, const char *dir, const char *name, const char *config, size_t size)
{
    gr_weights *file = gr_weights_open_adapter(dir);
    gr_status s = file ? grow_for_file(m, name, config, size, file) : gr_error_status();
    if (s == GR_OK && (s = load_tensors(m, file)) != GR_OK)
        gr_fail_in("%s", gr_weights_file(file, 0)->path);
    gr_weights_close(file);
    return s;
}

/* A model is easily given in an adapter's place. */
static gr_status check_is_adapter(const char *dir, const char *config)
{
    char *model = gr_path_join(dir, "config.json");
    if (!model)
        return GR_ERR_MEMORY;
    bool is_model = gr_path_is_file(model), is_dir = gr_path_is_dir(dir);
    gr_free(model);
    if (gr_path_is_file(config))
        return GR_OK;
    return gr_fail(GR_ERR_FILE,
                   "%s: %s\nan adapter is a directory with " GR_ADAPTER_CONFIG
                   ", or a .gguf file: what gradus finetune (without --full) and peft write",
                   dir,
                   is_model                 ? "is a model, not an adapter"
                   : is_dir                 ? "is a directory without " GR_ADAPTER_CONFIG
                   : access(dir, F_OK) == 0 ? "is a file, not an adapter"
                                            : "No such file or directory");
}

/* A directory as peft has them. */
static gr_status load_files(gr_model *m, const char *dir)
{
    size_t size;
    char *path = gr_path_join(dir, GR_ADAPTER_CONFIG), *text = NULL;
    if (path && check_is_adapter(dir, path) == GR_OK)
        text = gr_file_read(path, MOST_CONFIG, &size);
    gr_status s = text ? grow_for_config(m, path, text, size) : gr_error_status();
    if (s == GR_OK)
        s = gr_adapter_open(m, path, text, size);
    if (s == GR_OK)
        s = load_weights(m, dir, path, text, size);
    gr_free(text);
    gr_free(path);
    return s;
}

/* What did not come to be put on leaves the model as it was. */
static void take_off(gr_model *m, int64_t vocab)
{
    gr_kept_error kept;
    gr_error_keep(&kept);
    gr_adapter_close(m);
    if (m->h.vocab != vocab)
        gr_model_set_vocab(m, vocab);
    gr_error_put_back(&kept);
}

gr_status gr_model_load_adapter(gr_model *m, const char *dir)
{
    if (gr_lacks(m, "gr_model_load_adapter: model") || gr_lacks(dir, "gr_model_load_adapter: dir"))
        return GR_ERR_ARGUMENT;
    if (m->adapter)
        return gr_adapter_refuse_second();
    int64_t vocab = m->h.vocab;
    gr_status s = gr_gguf_is_place(dir) ? gr_adapter_load_gguf(m, dir) : load_files(m, dir);
    if (s == GR_OK)
        s = gr_model_check_range(m, m->precision);
    if (s == GR_OK)
        m->info.adapter_config = m->adapter->config;
    else
        take_off(m, vocab);
    return s;
}
