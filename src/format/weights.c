/* The tensors of a model directory: one file, or shards that an index lists, of whatever format their names tell. */
#include "format/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/gguf.h"
#include "format/torch.h"

#define SINGLE "model.safetensors"
#define INDEX "model.safetensors.index.json"
#define OTHERS "\nthey are of different versions; fetch all of them again"

struct gr_weights {
    gr_source *files;
    size_t file_count, file_cap;
    const gr_weight **by_name;
    const gr_not_weight **others;
    int count, others_count;
};

/* ---- reading ------------------------------------------------------------------------------------------------ */

/* The formats, by how their files' names end. */
typedef gr_status (*opener)(const char *path, gr_source *out);

static opener opener_of(const char *name)
{
    static const struct {
        const char *end;
        opener open;
    } formats[] = {
        {".safetensors", gr_safetensors_source},
        {".bin", gr_torch_open},
        {".pt", gr_torch_open},
        {".pth", gr_torch_open},
        {".gguf", gr_gguf_source},
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (gr_ends_with(name, formats[i].end))
            return formats[i].open;
    return NULL;
}

static gr_status add_file(gr_weights *w, const char *path)
{
    opener open = opener_of(path);
    if (gr_grow(&w->files, &w->file_cap, w->file_count + 1, sizeof *w->files) != GR_OK)
        return gr_error_status();
    gr_status s = (open ? open : gr_safetensors_source)(path, &w->files[w->file_count]);
    w->file_count += s == GR_OK;
    return s;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int compare_tensor(const void *a, const void *b)
{
    return strcmp((*(const gr_weight *const *)a)->name, (*(const gr_weight *const *)b)->name);
}

/* The lists of all tensors by name, and of what is none, over all files. */
static gr_status collect(gr_weights *w)
{
    size_t total = 0, others = 0;
    for (size_t f = 0; f < w->file_count; f++) {
        total += (size_t)w->files[f].count;
        others += (size_t)w->files[f].others_count;
    }
    w->by_name = gr_alloc_zero(total + 1, sizeof *w->by_name);
    w->others = gr_alloc_zero(others + 1, sizeof *w->others);
    if (!w->by_name || !w->others)
        return gr_error_status();
    for (size_t f = 0; f < w->file_count; f++) {
        const gr_source *file = &w->files[f];
        for (int i = 0; i < file->count; i++)
            w->by_name[w->count++] = &file->tensors[i];
        for (int i = 0; i < file->others_count; i++)
            w->others[w->others_count++] = &file->others[i];
    }
    qsort(w->by_name, (size_t)w->count, sizeof *w->by_name, compare_tensor);
    return GR_OK;
}

/* A shard is named by a stranger's file: nothing but a plain name in the index's own directory will do. */
static bool is_plain_name(const char *name)
{
    return name[0] != '.' && opener_of(name) && !gr_gguf_is_name(name) && !strpbrk(name, "/\\:");
}

/* The shards' names, each once, sorted, in *out (caller frees the array; the strings are the document's). */
static gr_status shard_names(gr_json map, const char ***out, size_t *count)
{
    size_t n = 0, unique = 0;
    const char **names = gr_alloc_zero(gr_json_size(map) + 1, sizeof *names);
    if (!names)
        return gr_error_status();
    for (gr_json_iter it = gr_json_first(map); it.key; gr_json_next(&it)) {
        names[n] = gr_json_as_text(it.value, NULL);
        if (!is_plain_name(names[n]))
            gr_json_fail(it.value,
                         "a shard must be a .safetensors or .bin file in the index's own directory, without a path");
        n++;
    }
    if (gr_json_check(map.doc) != GR_OK) {
        gr_free(names);
        return gr_error_status();
    }
    qsort(names, n, sizeof *names, compare_text);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(names[i], names[unique - 1]) != 0)
            names[unique++] = names[i];
    *out = names;
    *count = unique;
    return GR_OK;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Index and shards must say the same: every tensor listed stands in its shard, and no shard holds one more. */
static gr_status check_agreement(const gr_weights *w, const char *path, gr_json map)
{
    char shown[160];
    for (size_t f = 0; f < w->file_count; f++) {
        const char *file = base_name(w->files[f].path);
        for (int i = 0; i < w->files[f].count; i++) {
            const char *name = w->files[f].tensors[i].name;
            const char *listed = gr_json_text(map, name, NULL);
            gr_printable(name, strlen(name), shown, sizeof shown);
            if (!listed)
                return gr_fail(GR_ERR_FILE, "%s: tensor \"%s\" of shard %s is not in the index" OTHERS, path, shown,
                               file);
            if (strcmp(listed, file) != 0)
                return gr_fail(GR_ERR_FILE, "%s: tensor \"%s\" should be in shard %s but is in %s" OTHERS, path, shown,
                               listed, file);
        }
    }
    for (gr_json_iter it = gr_json_first(map); it.key; gr_json_next(&it))
        if (!gr_weights_find(w, it.key))
            return gr_json_fail(it.value, "shard %s does not hold this tensor" OTHERS, gr_json_as_text(it.value, NULL));
    return GR_OK;
}

/* The directory a path names something in; "." for a plain name. Caller frees. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? gr_strfmt("%.*s", (int)(slash - path), path) : gr_strdup(".");
}

static gr_status open_shards(gr_weights *w, const char *path, gr_json map)
{
    const char **names = NULL;
    size_t count = 0;
    gr_status s = shard_names(map, &names, &count);
    char *folder = s == GR_OK ? folder_of(path) : NULL;
    for (size_t i = 0; i < count && s == GR_OK; i++) {
        char *file = folder ? gr_path_join(folder, names[i]) : NULL;
        s = file ? add_file(w, file) : gr_error_status();
        gr_free(file);
    }
    if (s == GR_OK)
        s = folder ? collect(w) : gr_error_status();
    if (s == GR_OK)
        s = check_agreement(w, path, map);
    gr_free(folder);
    gr_free(names);
    return s;
}

static gr_status open_index(gr_weights *w, const char *path)
{
    gr_json_doc *doc = gr_json_read(path, GR_JSON_LIMIT);
    if (!doc)
        return gr_error_status();
    gr_json map = gr_json_as_object(gr_json_get(gr_json_root(doc), "weight_map"));
    if (gr_json_check(doc) == GR_OK && gr_json_size(map) == 0)
        gr_json_fail(map, "lists no tensor");
    gr_status s = gr_json_check(doc);
    if (s == GR_OK)
        s = open_shards(w, path, map);
    gr_json_free(doc);
    return s;
}

/* One file, or all parts of one: a tensor must not be in two of them. */
static gr_status open_gguf(gr_weights *w, const char *path)
{
    char **paths = NULL;
    size_t n = 0;
    gr_status s = gr_gguf_shards(path, &paths, &n);
    for (size_t i = 0; i < n && s == GR_OK; i++)
        s = add_file(w, paths[i]);
    if (s == GR_OK)
        s = gr_gguf_check_split(w->files, w->file_count);
    if (s == GR_OK)
        s = collect(w);
    for (int i = 1; s == GR_OK && i < w->count; i++)
        if (strcmp(w->by_name[i]->name, w->by_name[i - 1]->name) == 0)
            s = gr_fail(GR_ERR_FILE, "%s: tensor \"%s\" is in two of its parts" OTHERS, path, w->by_name[i]->name);
    gr_names_free(paths, n);
    return s;
}

/* Is there something of that name, be it a link that leads nowhere? Opening it tells what is wrong with it. */
static bool is_there(const char *path)
{
    char target[4096];
    return gr_path_is_file(path) || gr_link_read(path, target, sizeof target) == GR_OK;
}

/* Says what stands in a directory in place of the weights. */
static void fail_without_weights(const char *dir)
{
    static const char *const others[] = {".bin.index.json", ".bin",  ".pth", ".pt",
                                         ".safetensors",    ".gguf", ".h5",  ".msgpack"};
    char **names, shown[160] = "";
    size_t n;
    if (gr_dir_list(dir, &names, &n) != GR_OK)
        return;
    for (size_t k = 0; !shown[0] && k < sizeof others / sizeof *others; k++)
        for (size_t i = 0; !shown[0] && i < n; i++)
            if (gr_ends_with(names[i], others[k]))
                gr_printable(names[i], strlen(names[i]), shown, sizeof shown);
    gr_names_free(names, n);
    gr_fail(GR_ERR_FILE,
            "%s: no " SINGLE ", no pytorch_model.bin and no index of shards of either in this directory%s%s\nput "
            "the weights there, or give another directory in Hugging Face layout",
            dir, shown[0] ? ", but " : "", shown);
}

/* The first of the names that is there; caller frees. *found false: none is, and the path is that of the first. */
static char *find_first(const char *dir, const char *const *names, size_t n, bool *found)
{
    *found = false;
    for (size_t i = 0; i < n; i++) {
        char *path = gr_path_join(dir, names[i]);
        if (!path || is_there(path)) {
            *found = path != NULL;
            return path;
        }
        gr_free(path);
    }
    return gr_path_join(dir, names[0]);
}

/* What in a directory holds its weights; caller frees. */
static char *find_in_folder(const char *dir)
{
    static const char *const names[] = {SINGLE, INDEX, "pytorch_model.bin", "pytorch_model.bin.index.json"};
    bool found;
    char *path = find_first(dir, names, sizeof names / sizeof *names, &found);
    if (found || !path)
        return path;
    gr_free(path);
    fail_without_weights(dir);
    return NULL;
}

bool gr_weights_have_name(const char *name)
{
    bool ours = strncmp(name, "model", 5) == 0 || strncmp(name, "pytorch_model", 13) == 0;
    return ours &&
           (opener_of(name) || gr_ends_with(name, ".safetensors.index.json") || gr_ends_with(name, ".bin.index.json"));
}

gr_status gr_weights_are_in(const char *dir, bool *yes)
{
    char *path = find_in_folder(dir);
    *yes = path;
    gr_free(path);
    if (!*yes && gr_error_status() == GR_ERR_MEMORY)
        return GR_ERR_MEMORY;
    if (!*yes)
        gr_error_clear();
    return GR_OK;
}

/* A file or an index; takes the path over, which may be NULL. */
static gr_weights *open_file(char *path)
{
    gr_weights *w = path ? gr_alloc_zero(1, sizeof *w) : NULL;
    gr_status s = w ? GR_OK : gr_error_status();
    if (s == GR_OK) {
        if (gr_ends_with(path, ".json"))
            s = open_index(w, path);
        else if (gr_gguf_is_name(path))
            s = open_gguf(w, path);
        else if ((s = add_file(w, path)) == GR_OK)
            s = collect(w);
    }
    gr_free(path);
    if (s == GR_OK)
        return w;
    gr_weights_close(w);
    return NULL;
}

gr_weights *gr_weights_open(const char *path)
{
    return open_file(gr_path_is_dir(path) ? find_in_folder(path) : gr_strdup(path));
}

gr_weights *gr_weights_open_adapter(const char *dir)
{
    static const char *const names[] = {"adapter_model.safetensors", "adapter_model.bin"};
    bool found;
    char *path = find_first(dir, names, 2, &found);
    if (!path || found)
        return open_file(path);
    gr_free(path);
    gr_fail(GR_ERR_FILE, "%s: an adapter's config, and neither %s nor %s\ngive the directory as peft saved it", dir,
            names[0], names[1]);
    return NULL;
}

void gr_weights_close(gr_weights *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->file_count; i++)
        w->files[i].close(w->files[i].self);
    gr_free(w->files);
    gr_free(w->by_name);
    gr_free(w->others);
    gr_free(w);
}

int gr_weights_count(const gr_weights *w)
{
    return w->count;
}

const gr_weight *gr_weights_entry(const gr_weights *w, int i)
{
    return w->by_name[i];
}

const gr_weight *gr_weights_find(const gr_weights *w, const char *name)
{
    const gr_weight wanted = {.name = name}, *key = &wanted;
    const gr_weight **found = bsearch(&key, w->by_name, (size_t)w->count, sizeof *w->by_name, compare_tensor);
    return found ? *found : NULL;
}

int gr_weights_others(const gr_weights *w)
{
    return w->others_count;
}

const gr_not_weight *gr_weights_other(const gr_weights *w, int i)
{
    return w->others[i];
}

int gr_weights_files(const gr_weights *w)
{
    return (int)w->file_count;
}

const gr_source *gr_weights_file(const gr_weights *w, int i)
{
    return &w->files[i];
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

static size_t bytes_of(const gr_weight *t)
{
    size_t total = 0; /* for what cannot be, which the writer of the shard finds */
    gr_dtype_shape_size(t->dtype, t->ndim, t->shape, &total);
    return total;
}

/* The first tensor that no longer fits into a shard that starts at `begin`. A shard holds at least one. */
static int shard_end(const gr_safetensors_spec *spec, int begin, size_t limit)
{
    size_t sum = 0;
    for (int i = begin; i < spec->count; i++) {
        sum += bytes_of(&spec->tensors[i]);
        if (limit && sum > limit && i > begin)
            return i;
    }
    return spec->count;
}

static int count_shards(const gr_safetensors_spec *spec, size_t limit)
{
    int n = 0;
    for (int begin = 0; begin < spec->count; n++)
        begin = shard_end(spec, begin, limit);
    return n;
}

/* A part of the spec passed on with its indices shifted back to the whole. */
typedef struct shard_view {
    const gr_safetensors_spec *whole;
    int begin;
} shard_view;

static gr_status fetch_shifted(void *user, int index, const void **data)
{
    const shard_view *v = user;
    return v->whole->fetch(v->whole->user, v->begin + index, data);
}

static void written_shifted(void *user, const char *file, int index, uint64_t checksum)
{
    const shard_view *v = user;
    v->whole->written(v->whole->user, file, index < 0 ? index : v->begin + index, checksum);
}

static gr_status write_shard(const char *dir, const char *name, const gr_safetensors_spec *spec, int begin, int end)
{
    shard_view view = {spec, begin};
    gr_safetensors_spec part = *spec;
    part.tensors += begin;
    part.count = end - begin;
    part.fetch = spec->fetch ? fetch_shifted : NULL;
    part.written = spec->written ? written_shifted : NULL;
    part.user = &view;
    char *path = gr_path_join(dir, name);
    gr_status s = path ? gr_safetensors_write(path, &part) : gr_error_status();
    gr_free(path);
    return s;
}

/* All shards, each noted in the index's weight_map. */
static gr_status write_shards(const char *dir, const gr_safetensors_spec *spec, size_t limit, int shards, gr_json map)
{
    int begin = 0;
    for (int n = 1; n <= shards; n++) {
        char name[48];
        int end = shard_end(spec, begin, limit);
        snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", n, shards);
        for (int i = begin; i < end; i++) {
            if (gr_json_is(gr_json_get(map, spec->tensors[i].name)))
                return gr_fail(GR_ERR_ARGUMENT, "two tensors are named \"%s\"", spec->tensors[i].name);
            gr_json_put_text(map, spec->tensors[i].name, name);
        }
        if (write_shard(dir, name, spec, begin, end) != GR_OK)
            return gr_error_status();
        begin = end;
    }
    return gr_json_check(map.doc);
}

gr_status gr_weights_save(const char *dir, const gr_safetensors_spec *spec, size_t shard_bytes)
{
    int shards = count_shards(spec, shard_bytes);
    if (shards <= 1)
        return write_shard(dir, SINGLE, spec, 0, spec->count);
    size_t total = 0;
    for (int i = 0; i < spec->count; i++)
        total += bytes_of(&spec->tensors[i]);
    gr_json_doc *doc = gr_json_new(INDEX);
    char *path = gr_path_join(dir, INDEX);
    gr_status s = doc && path ? GR_OK : gr_error_status();
    if (s == GR_OK) {
        gr_json_put_int(gr_json_put_object(gr_json_root(doc), "metadata"), "total_size", (int64_t)total);
        /* The index comes last: shards without one are no model yet. */
        s = write_shards(dir, spec, shard_bytes, shards, gr_json_put_object(gr_json_root(doc), "weight_map"));
    }
    if (s == GR_OK)
        s = gr_json_write(doc, path);
    gr_json_free(doc);
    gr_free(path);
    return s;
}
