/* Loading a model directory: config.json, and weights that must be exactly those it asks for. */
#include "model/model.h"

#include "base/dtype.h"
#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "program/store.h"

#include <string.h>

/* Some files name the body's tensors without the prefix that transformers adds now. */
static const char *prefix_of(const gr_weights *w, const gr_arch *arch)
{
    size_t n = strlen(arch->prefix);
    for (int i = 0; i < gr_weights_count(w); i++)
        if (strncmp(gr_weights_entry(w, i)->name, arch->prefix, n) == 0)
            return arch->prefix;
    return "";
}

static gr_status load_tensor(gr_model *m, int index, const gr_entry *e, const gr_safetensor *t, bool own)
{
    char have[160], want[160];
    gr_spec is = {.dtype = t->dtype, .ndim = t->ndim}, must = {.dtype = e->dtype, .ndim = e->ndim};
    memcpy(is.shape, t->shape, sizeof is.shape);
    memcpy(must.shape, e->shape, sizeof must.shape);
    bool known = t->dtype == GR_F32 || t->dtype == GR_F16 || t->dtype == GR_BF16;
    if (!gr_spec_same_shape(&is, &must) || !known)
        return gr_fail(GR_ERR_FILE,
                       "tensor \"%s\" is %s, config.json asks for %s\nconfig.json and weights do not belong "
                       "together; weights are f32, f16 or bf16",
                       e->name, gr_spec_text(&is, have, sizeof have), gr_spec_text(&must, want, sizeof want));
    if (t->dtype == e->dtype)
        return own ? gr_store_write(m->store, e->name, t->data, t->bytes) : gr_store_map(m->store, index, t->data);
    float *wide = gr_alloc(e->bytes);
    if (!wide)
        return GR_ERR_MEMORY;
    gr_safetensor_to_f32(t, wide);
    gr_status s = gr_store_write(m->store, e->name, wide, e->bytes);
    gr_free(wide);
    return s;
}

/* A head that the file has besides the embedding it is tied to must be the same: one of the two would be ignored. */
static gr_status check_tied(const gr_model *m, const gr_weights *w, const gr_safetensor *head)
{
    gr_entry e;
    gr_status s = gr_store_entry(m->store, m->tied_to, &e);
    const gr_safetensor *t = s == GR_OK ? gr_weights_find(w, e.name) : NULL;
    if (t && (t->dtype != head->dtype || t->bytes != head->bytes || memcmp(t->data, head->data, t->bytes) != 0))
        s = gr_fail(GR_ERR_FILE,
                    "tensor \"%s\" differs from \"%s\", and config.json ties the two\nset tie_word_embeddings to "
                    "false in config.json if the head is to be used",
                    head->name, e.name);
    return s;
}

static gr_status load_all(gr_model *m, const gr_weights *w, bool own)
{
    gr_entry e;
    gr_status s = GR_OK;
    for (int i = 0; s == GR_OK && i < gr_store_count(m->store); i++) {
        s = gr_store_entry(m->store, i, &e);
        const gr_safetensor *t = s == GR_OK ? gr_weights_find(w, e.name) : NULL;
        if (s == GR_OK && !t)
            s = gr_fail(GR_ERR_FILE, "tensor \"%s\" is missing\nconfig.json and weights do not belong together",
                        e.name);
        if (t)
            s = load_tensor(m, i, &e, t, own);
    }
    for (int i = 0; s == GR_OK && i < gr_weights_count(w); i++) {
        const char *name = gr_weights_entry(w, i)->name;
        if (gr_store_find(m->store, name) >= 0 || (m->arch->ignores && m->arch->ignores(name)))
            continue;
        if (m->h.tied && strcmp(name, "lm_head.weight") == 0)
            s = check_tied(m, w, gr_weights_entry(w, i));
        else
            s = gr_fail(GR_ERR_FILE, "tensor \"%s\" is no part of a %s model with this config.json", name,
                        m->arch->model_type);
    }
    return s;
}

/* Files that nothing lies in any more are not held. */
static void release_files(gr_model *m)
{
    for (int i = 0; i < gr_store_count(m->store); i++)
        if (gr_store_is_mapped(m->store, i))
            return;
    gr_weights_close(m->files);
    m->files = NULL;
}

static gr_status load_weights(gr_model *m, const char *dir, const gr_load_options *o)
{
    gr_weights *w = m->files = gr_weights_open(dir);
    if (!w)
        return gr_error_status();
    m->prefix = prefix_of(w, m->arch);
    m->like = o->widen ? NULL : w;
    gr_status s = gr_model_declare(m);
    m->like = NULL;
    if (s == GR_OK && !o->declare_only)
        s = load_all(m, w, o->widen);
    release_files(m);
    return s == GR_OK ? s : gr_fail_in("%s", dir);
}

static gr_status look_for(const char *dir, const char *name, bool (*is)(const char *path), bool *there)
{
    char *path = gr_path_join(dir, name);
    *there = path && is(path);
    gr_free(path);
    return path ? GR_OK : GR_ERR_MEMORY;
}

/* What a directory without config.json may be instead; else reading says that it is missing. */
static gr_status check_is_model(const char *dir)
{
    bool config, snapshots = false, params = false;
    gr_status s = look_for(dir, "config.json", gr_path_is_file, &config);
    if (s == GR_OK && !config)
        s = look_for(dir, "snapshots", gr_path_is_dir, &snapshots);
    if (s == GR_OK && !config)
        s = look_for(dir, "params.json", gr_path_is_file, &params);
    if (s == GR_OK && snapshots)
        s = gr_fail(GR_ERR_FILE, "%s: no model, but a cache of them\ngive one of the directories in its snapshots",
                    dir);
    else if (s == GR_OK && params)
        s = gr_fail(GR_ERR_FILE,
                    "%s: no config.json, but params.json: the layout of the first release of LLaMA\ngive the directory "
                    "in Hugging Face layout",
                    dir);
    return s;
}

gr_model *gr_model_load(const char *dir, const gr_load_options *options, gr_device *device)
{
    size_t size;
    char *config = check_is_model(dir) == GR_OK ? gr_path_join(dir, "config.json") : NULL;
    char *text = config ? gr_file_read(config, GR_JSON_LIMIT, &size) : NULL;
    gr_model *m = text ? gr_model_undeclared(config, text, size, device) : NULL;
    gr_free(text);
    gr_free(config);
    const gr_load_options none = {0};
    if (m && load_weights(m, dir, options ? options : &none) == GR_OK)
        return m;
    gr_model_free(m);
    return NULL;
}
