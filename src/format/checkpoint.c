/* Checkpoints: writing and opening their directories. */
#include "format/checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "base/checksum.h"
#include "base/file.h"
#include "base/mem.h"

/* ---- writing ------------------------------------------------------------------------------------------------ */

bool gr_checkpoint_may_hold(const char *name)
{
    static const char folder[] = GR_CHAT_TEMPLATES "/";
    if (strncmp(name, folder, sizeof folder - 1) == 0)
        name += sizeof folder - 1;
    return name[0] && name[0] != '.' && !strchr(name, '/');
}

static gr_status write_in(const char *dir, const char *name, const void *data, size_t size)
{
    char *path = gr_path_join(dir, name), *folder = strchr(name, '/') ? gr_path_join(dir, GR_CHAT_TEMPLATES) : NULL;
    gr_status s = !path || (strchr(name, '/') && !folder) ? gr_error_status() : GR_OK;
    if (s == GR_OK && folder)
        s = gr_dir_make(folder);
    if (s == GR_OK)
        s = gr_file_write(path, data, size);
    gr_free(folder);
    gr_free(path);
    return s;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void put_checksum(gr_json into, const char *key, uint64_t checksum)
{
    char hex[20];
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)checksum);
    gr_json_put_text(into, key, hex);
}

/* Stands between the writer of a safetensors file and the caller's spec, and notes checksums. */
typedef struct recorder {
    const gr_safetensors_spec *spec;
    gr_json files; /* the object "files" of checksums.json */
} recorder;

static gr_status recorded_fetch(void *user, int index, const void **data)
{
    const gr_safetensors_spec *spec = ((recorder *)user)->spec;
    return spec->fetch(spec->user, index, data);
}

/* The header's checksum comes first, and makes the file's entry. */
static void record(void *user, const char *path, int index, uint64_t checksum)
{
    recorder *r = user;
    const char *name = base_name(path);
    if (index < 0) {
        gr_json entry = gr_json_put_object(r->files, name);
        put_checksum(entry, "header", checksum);
        gr_json_put_object(entry, "tensors");
    } else {
        put_checksum(gr_json_get(gr_json_get(r->files, name), "tensors"), r->spec->tensors[index].name, checksum);
    }
}

static gr_safetensors_spec recorded(recorder *r)
{
    gr_safetensors_spec s = *r->spec;
    s.fetch = s.fetch ? recorded_fetch : NULL;
    s.written = record;
    s.user = r;
    return s;
}

static gr_status write_tensors(const char *dir, const gr_checkpoint_spec *spec, gr_json files)
{
    recorder model = {&spec->model, files}, training = {&spec->training, files};
    gr_safetensors_spec m = recorded(&model), t = recorded(&training);
    char *adapter = spec->is_adapter ? gr_path_join(dir, GR_ADAPTER_WEIGHTS) : NULL;
    gr_status saved = adapter            ? gr_safetensors_write(adapter, &m)
                      : spec->is_adapter ? gr_error_status()
                                         : gr_weights_save(dir, &m, spec->shard_bytes);
    gr_free(adapter);
    if (saved != GR_OK || spec->training.count == 0)
        return saved;
    char *path = gr_path_join(dir, "training.safetensors");
    gr_status s = path ? gr_safetensors_write(path, &t) : gr_error_status();
    gr_free(path);
    return s;
}

static gr_status write_files(const char *dir, const gr_checkpoint_spec *spec)
{
    for (int i = 0; i < spec->file_count; i++) {
        const gr_checkpoint_file *f = &spec->files[i];
        if (!gr_checkpoint_may_hold(f->name))
            return gr_fail(GR_ERR_ARGUMENT, "a file of a checkpoint cannot be named \"%s\"", f->name);
        if (write_in(dir, f->name, f->data, f->size) != GR_OK)
            return gr_error_status();
    }
    if (!spec->state)
        return GR_OK;
    char *path = gr_path_join(dir, "training.json");
    gr_status s = path ? gr_json_write(spec->state, path) : gr_error_status();
    gr_free(path);
    return s;
}

static gr_status checksum_file(const char *dir, const char *name, gr_json files)
{
    char *path = gr_path_join(dir, name);
    gr_map map = {0};
    gr_status s = path ? gr_map_open(path, &map) : gr_error_status();
    if (s == GR_OK) {
        gr_json entry = gr_json_put_object(files, name);
        gr_json_put_int(entry, "size", (int64_t)map.size);
        put_checksum(entry, "xxh64", gr_checksum(map.data, map.size));
        gr_map_close(&map);
    }
    gr_free(path);
    return s;
}

/* Everything in the directory, or in the folder of templates, that has no checksum yet: what is not safetensors. */
static gr_status checksum_rest(const char *dir, const char *folder, gr_json files)
{
    char **names = NULL, *whole = folder ? gr_path_join(dir, folder) : NULL;
    size_t count = 0;
    gr_status s = folder && !whole ? gr_error_status() : gr_dir_list(folder ? whole : dir, &names, &count);
    for (size_t i = 0; i < count && s == GR_OK; i++) {
        char *name = folder ? gr_path_join(folder, names[i]) : NULL;
        if (folder && !name)
            s = gr_error_status();
        else if (!folder && strcmp(names[i], GR_CHAT_TEMPLATES) == 0)
            s = checksum_rest(dir, GR_CHAT_TEMPLATES, files);
        else if (!gr_json_is(gr_json_get(files, names[i])))
            s = checksum_file(dir, folder ? name : names[i], files);
        gr_free(name);
    }
    gr_names_free(names, count);
    gr_free(whole);
    return s;
}

static gr_status fill(const char *dir, const gr_checkpoint_spec *spec)
{
    gr_json_doc *sums = gr_json_new("checksums.json");
    char *path = gr_path_join(dir, "checksums.json");
    gr_status s = sums && path ? GR_OK : gr_error_status();
    if (s == GR_OK) {
        gr_json_put_int(gr_json_root(sums), "format", 1);
        gr_json files = gr_json_put_object(gr_json_root(sums), "files");
        s = write_files(dir, spec);
        if (s == GR_OK)
            s = write_tensors(dir, spec, files);
        if (s == GR_OK)
            s = checksum_rest(dir, NULL, files);
        if (s == GR_OK)
            s = gr_json_write(sums, path);
    }
    gr_json_free(sums);
    gr_free(path);
    return s;
}

char *gr_checkpoint_beside(const char *path, const char *prefix)
{
    const char *name = base_name(path);
    return gr_strfmt("%.*s%s%s", (int)(name - path), path, prefix, name);
}

/* Fills a directory that is not there yet. */
static gr_status write_new(const char *dir, const gr_checkpoint_spec *spec)
{
    gr_stage *stage = gr_stage_open(dir);
    if (!stage)
        return gr_error_status();
    gr_status s = fill(gr_stage_path(stage), spec);
    if (s == GR_OK && spec->check)
        s = spec->check(spec->user, gr_stage_path(stage));
    if (s == GR_OK)
        return gr_stage_commit(stage);
    gr_stage_cancel(stage);
    return s;
}

/* Puts `new` in the place of `dir`, which gets the name `old`. */
static gr_status swap_in(const char *new, const char *dir, const char *old)
{
    gr_status s = gr_dir_remove(old);
    if (s == GR_OK)
        s = gr_path_move(dir, old);
    if (s == GR_OK && (s = gr_path_move(new, dir)) != GR_OK) {
        gr_kept_error error;
        gr_error_keep(&error);
        if (!gr_path_is_dir(dir))
            gr_path_move(old, dir);
        gr_error_put_back(&error);
    }
    return s == GR_OK ? gr_dir_remove(old) : s;
}

gr_status gr_checkpoint_write_dir(const char *dir, const gr_checkpoint_spec *spec)
{
    if (!gr_path_is_dir(dir))
        return write_new(dir, spec);
    char *name = gr_path_trimmed(dir);
    char *new = name ? gr_checkpoint_beside(name, GR_CHECKPOINT_NEW) : NULL;
    char *old = new ? gr_checkpoint_beside(name, GR_CHECKPOINT_OLD) : NULL;
    gr_status s = old ? gr_dir_remove(new) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = write_new(new, spec);
    if (s == GR_OK)
        s = swap_in(new, name, old);
    gr_free(name);
    gr_free(new);
    gr_free(old);
    return s;
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

/* The path of a file that may be missing: *path is NULL then. */
static gr_status find_optional(const char *dir, const char *name, char **path)
{
    *path = gr_path_join(dir, name);
    if (!*path)
        return gr_error_status();
    if (!gr_path_is_file(*path)) {
        gr_free(*path);
        *path = NULL;
    }
    return GR_OK;
}

static gr_status has_file(const char *dir, const char *name, bool *yes)
{
    char *path;
    gr_status s = find_optional(dir, name, &path);
    *yes = path;
    gr_free(path);
    return s;
}

gr_status gr_checkpoint_find_adapter(const char *dir, gr_adapter_place *out)
{
    bool is_there, has_config = false, has_weights = false;
    gr_status s = has_file(dir, GR_ADAPTER_CONFIG, &is_there);
    if (s == GR_OK && is_there)
        s = has_file(dir, "config.json", &has_config);
    if (s == GR_OK && has_config)
        s = gr_weights_are_in(dir, &has_weights);
    *out = !is_there ? GR_ADAPTER_NOT_THERE : has_weights ? GR_ADAPTER_BESIDE : GR_ADAPTER_ALONE;
    return s;
}

gr_weights *gr_checkpoint_weights(const char *dir)
{
    gr_adapter_place adapter;
    if (gr_checkpoint_find_adapter(dir, &adapter) != GR_OK)
        return NULL;
    return adapter == GR_ADAPTER_ALONE ? gr_weights_open_adapter(dir) : gr_weights_open(dir);
}

gr_status gr_checkpoint_open(const char *dir, gr_checkpoint *out)
{
    char *training = NULL, *state = NULL;
    *out = (gr_checkpoint){0};
    gr_status s = find_optional(dir, "training.safetensors", &training);
    if (s == GR_OK)
        s = find_optional(dir, "training.json", &state);
    if (s == GR_OK && !(out->weights = gr_checkpoint_weights(dir)))
        s = gr_error_status();
    if (s == GR_OK && training && !(out->training = gr_safetensors_open(training)))
        s = gr_error_status();
    if (s == GR_OK && state && !(out->state = gr_json_read(state, GR_JSON_LIMIT)))
        s = gr_error_status();
    gr_free(training);
    gr_free(state);
    if (s != GR_OK)
        gr_checkpoint_close(out);
    return s;
}

void gr_checkpoint_close(gr_checkpoint *c)
{
    gr_weights_close(c->weights);
    gr_safetensors_close(c->training);
    gr_json_free(c->state);
    *c = (gr_checkpoint){0};
}
