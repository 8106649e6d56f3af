/* What a saved model is made of: its weights' names, its config.json, and files that go along. */
#include "model/save.h"

#include "base/mem.h"

#include <string.h>

/* ---- names -------------------------------------------------------------------------------------------------- */

/* Files that go without the body's prefix are loaded under their own names, and saved under transformers'. */
gr_status gr_model_tensors(gr_model *m, const gr_dtype *as, gr_store_tensors *out)
{
    gr_status s = gr_store_tensors_open(out, m->store, as);
    bool bare = strcmp(m->prefix, m->arch->prefix) != 0;
    for (int i = 0; s == GR_OK && bare && i < out->count; i++)
        if (strncmp(out->tensors[i].name, "lm_head.", 8) != 0)
            s = gr_store_tensors_rename(out, i, gr_strfmt("%s%s", m->arch->prefix, out->tensors[i].name));
    return s;
}

/* ---- config.json -------------------------------------------------------------------------------------------- */

static const char *torch_name(gr_dtype d)
{
    return d == GR_F16 ? "float16" : d == GR_BF16 ? "bfloat16" : d == GR_F64 ? "float64" : "float32";
}

/* The dtype that most of the weights will have. */
static gr_dtype main_dtype(const gr_model *m, const gr_dtype *as)
{
    size_t bytes[GR_DTYPE_COUNT] = {0};
    gr_dtype most = GR_F32;
    gr_entry e;
    for (int i = 0; !as && i < gr_store_count(m->store); i++)
        if (gr_store_entry(m->store, i, &e) == GR_OK && (bytes[e.dtype] += e.bytes) > bytes[most])
            most = e.dtype;
    return as ? *as : most;
}

/* Sets a text; false when it says so already. */
static bool change_text(gr_json c, const char *key, const char *value)
{
    gr_json old = gr_json_get(c, key);
    if (gr_json_type_of(old) == GR_JSON_TEXT && strcmp(gr_json_as_text(old, NULL), value) == 0)
        return false;
    gr_json_put_text(c, key, value);
    return true;
}

char *gr_model_saved_config(const gr_model *m, const gr_dtype *as)
{
    const char *dtype = torch_name(main_dtype(m, as));
    gr_json_doc *doc = gr_json_parse("config.json", m->config, strlen(m->config));
    if (!doc)
        return NULL;
    gr_json c = gr_json_root(doc);
    bool changed = false, is_old = gr_json_is(gr_json_get(c, "torch_dtype"));
    if (is_old)
        changed |= change_text(c, "torch_dtype", dtype);
    if (!is_old || gr_json_is(gr_json_get(c, "dtype")))
        changed |= change_text(c, "dtype", dtype);
    if (!gr_json_size(gr_json_get(c, "architectures"))) {
        gr_json_put_text(gr_json_put_array(c, "architectures"), NULL, m->arch->class_name);
        changed = true;
    }
    char *text = changed ? gr_json_format(doc, true, NULL) : gr_strdup(m->config);
    gr_json_free(doc);
    return text;
}

/* ---- other files -------------------------------------------------------------------------------------------- */

bool gr_is_carried(const char *name)
{
    static const char *const names[] = {
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "merges.txt",
        "tokenizer.model",
        "chat_template.jinja",
        "chat_template.json",
        "LICENSE",
        "LICENSE.txt",
        "generation_config.json",
        "LICENSE.md",
        "NOTICE",
        "USE_POLICY.md",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static gr_status carry(gr_carried *c, const char *dir, const char *name)
{
    gr_map map;
    size_t n = (size_t)c->count;
    char *path = gr_path_join(dir, name);
    gr_status s = path ? gr_grow(&c->files, &c->files_cap, n + 1, sizeof *c->files) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = gr_grow(&c->maps, &c->maps_cap, n + 1, sizeof *c->maps);
    if (s == GR_OK)
        s = gr_map_open(path, &map);
    gr_free(path);
    if (s != GR_OK)
        return s;
    c->maps[n] = map;
    c->files[n] = (gr_checkpoint_file){name, map.data, map.size};
    c->count++;
    return GR_OK;
}

gr_status gr_carried_open(gr_carried *c, const char *dir)
{
    size_t n;
    *c = (gr_carried){0};
    gr_status s = gr_dir_list(dir, &c->names, &n);
    c->n_names = s == GR_OK ? n : 0;
    for (size_t i = 0; s == GR_OK && i < n; i++)
        if (gr_is_carried(c->names[i]))
            s = carry(c, dir, c->names[i]);
    return s;
}

void gr_carried_close(gr_carried *c)
{
    for (int i = 0; i < c->count; i++)
        gr_map_close(&c->maps[i]);
    gr_names_free(c->names, c->n_names);
    gr_free(c->files);
    gr_free(c->maps);
    *c = (gr_carried){0};
}
