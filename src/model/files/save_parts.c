/* What a saved model is made of: its weights' names, its config.json, and files that go along. */
#include "model/files/packed.h"
#include "model/files/save.h"

#include "base/dtype.h"
#include "base/log.h"
#include "base/mem.h"

#include <string.h>

/* ---- names -------------------------------------------------------------------------------------------------- */

/* Conv1Ds of blocks lie the other way round. Files that go without the body's prefix are loaded under their own names, and saved under transformers'. */
gr_status gr_model_tensors(gr_model *m, const gr_dtype *as, gr_store_tensors *out)
{
    gr_status s = gr_store_tensors_open(out, m->store, as);
    bool bare = strcmp(m->prefix, m->arch->prefix) != 0;
    for (int i = 0; s == GR_OK && i < out->count; i++)
        if (m->inits[i].turned && !gr_dtype_is_block(out->tensors[i].dtype))
            gr_store_tensors_turn(out, i);
    for (int i = 0; s == GR_OK && i < out->count; i++)
        gr_store_tensors_sorted(out, i, m->inits[i].order);
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
    size_t bytes[GR_DTYPE_LIMIT] = {0};
    gr_dtype most = GR_F32;
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; !as && i < gr_store_count(m->store); i++)
        if (gr_store_entry(m->store, i, &e) == GR_OK && !gr_dtype_is_block(e.dtype) &&
            (bytes[e.dtype] += e.bytes) > bytes[most])
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

char *gr_model_saved_config(const gr_model *m, const gr_dtype *as, const gr_packed_out *out)
{
    const char *dtype = torch_name(main_dtype(m, as));
    gr_json_doc *doc = gr_json_parse("config.json", m->config, strlen(m->config));
    if (!doc)
        return NULL;
    bool changed = false;
    if (gr_packed_put_config(&doc, out, &changed) != GR_OK) {
        gr_json_free(doc);
        return NULL;
    }
    gr_json c = gr_json_root(doc);
    bool is_old = gr_json_is(gr_json_get(c, "torch_dtype"));
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

static bool starts_with(const char *name, const char *start)
{
    return strncmp(name, start, strlen(start)) == 0;
}

/* "LICENSE", "license.md", "Notice-of-x.txt" */
static bool is_licence(const char *name)
{
    static const char *const words[] = {"license", "licence", "notice", "copying", "use_policy"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i]), same = 0;
        while (same < n && name[same] && (name[same] | 0x20) == (words[i][same] | 0x20))
            same++;
        if (same == n && (!name[n] || strchr(".-_", name[n])))
            return true;
    }
    return false;
}

bool gr_is_carried(const char *name)
{
    static const char *const names[] = {
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
        "spiece.model",
        "sentencepiece.bpe.model",
        "tiktoken.model",
        "tekken.json",
        "chat_template.json",
        "generation_config.json",
        GR_CHAT_TEMPLATES,
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    /* tokenizer.model and its versions, as tokenizer.model.v3 */
    return starts_with(name, "tokenizer.model") || gr_ends_with(name, ".tiktoken") || gr_ends_with(name, ".jinja") ||
           is_licence(name);
}

bool gr_is_of_text(const char *name)
{
    return strcmp(name, "generation_config.json") != 0 && !is_licence(name);
}

/* Takes the name over. */
static gr_status carry(gr_carried *c, const char *dir, char *name)
{
    gr_map map;
    size_t n = (size_t)c->count;
    char *path = name ? gr_path_join(dir, name) : NULL;
    gr_status s = path ? gr_grow(&c->files, &c->files_cap, n + 1, sizeof *c->files) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = gr_grow(&c->maps, &c->maps_cap, n + 1, sizeof *c->maps);
    if (s == GR_OK)
        s = gr_map_open(path, &map);
    gr_free(path);
    if (s != GR_OK) {
        gr_free(name);
        return s;
    }
    c->maps[n] = map;
    c->files[n] = (gr_checkpoint_file){name, map.data, map.size};
    c->count++;
    return GR_OK;
}

/* The templates in a folder: what there is of it, by names that a checkpoint may have. */
static gr_status carry_templates(gr_carried *c, const char *dir)
{
    char **names = NULL, *folder = gr_path_join(dir, GR_CHAT_TEMPLATES);
    size_t n = 0;
    gr_status s = folder ? gr_dir_list(folder, &names, &n) : GR_ERR_MEMORY;
    for (size_t i = 0; s == GR_OK && i < n; i++)
        if (gr_ends_with(names[i], ".jinja") && names[i][0] != '.')
            s = carry(c, dir, gr_path_join(GR_CHAT_TEMPLATES, names[i]));
    gr_names_free(names, n);
    gr_free(folder);
    return s;
}

static gr_status carry_entry(gr_carried *c, const char *dir, const char *name)
{
    char *path = gr_path_join(dir, name);
    bool is_dir = path && gr_path_is_dir(path);
    gr_free(path);
    if (!path)
        return GR_ERR_MEMORY;
    if (strcmp(name, GR_CHAT_TEMPLATES) == 0)
        return is_dir ? carry_templates(c, dir) : GR_OK;
    return is_dir ? GR_OK : carry(c, dir, gr_strdup(name));
}

gr_status gr_carried_open(gr_carried *c, const char *dir)
{
    char **names;
    size_t n;
    *c = (gr_carried){0};
    if (gr_gguf_is_place(dir))
        return gr_gguf_carry(c, dir);
    gr_status s = gr_dir_list(dir, &names, &n);
    if (s != GR_OK)
        return s;
    for (size_t i = 0; s == GR_OK && i < n; i++)
        if (gr_is_carried(names[i]) && names[i][0] != '.')
            s = carry_entry(c, dir, names[i]);
    gr_names_free(names, n);
    return s;
}

void gr_carried_close(gr_carried *c)
{
    for (int i = 0; i < c->count; i++) {
        if (c->texts)
            gr_free(c->texts[i]);
        else
            gr_map_close(&c->maps[i]);
        gr_free((char *)c->files[i].name);
    }
    gr_free(c->files);
    gr_free(c->maps);
    gr_free(c->texts);
    *c = (gr_carried){0};
}

gr_status gr_tell_left_out(const gr_model *m, const char *from, const char *to)
{
    static const char *const ours[] = {"config.json", "checksums.json", "training.json", "training.safetensors"};
    char **names;
    size_t n;
    if (gr_gguf_is_place(from))
        return GR_OK; /* all of it was */
    gr_status s = gr_dir_list(from, &names, &n);
    for (size_t i = 0; s == GR_OK && i < n; i++) {
        bool known = gr_is_carried(names[i]) || gr_weights_have_name(names[i]) || names[i][0] == '.';
        known |= m->is_merged && (strcmp(names[i], GR_ADAPTER_CONFIG) == 0 || starts_with(names[i], "adapter_model."));
        for (size_t k = 0; k < sizeof ours / sizeof *ours; k++)
            known |= strcmp(names[i], ours[k]) == 0;
        char shown[300];
        if (!known)
            gr_remark(GR_LOG_INFO, "%s: not carried over to %s",
                      gr_printable(names[i], strlen(names[i]), shown, sizeof shown), to);
    }
    gr_names_free(names, s == GR_OK ? n : 0);
    return s;
}
