/* What a path stands for where a model is wanted: a run, an adapter, a model, with what goes along. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sized.h"
#include "format/gguf.h"
#include "hub/hub.h"
#include "text/tokenizer.h"
#include "train/run_dir.h"

#include <string.h>
#include <sys/stat.h>

/* The model that an adapter was made for, as its config says; caller frees. */
static char *base_of(const char *adapter, const gr_hub_options *hub)
{
    char *path = gr_path_join(adapter, GR_ADAPTER_CONFIG), *base = NULL;
    gr_json_doc *doc = path ? gr_json_read(path, GR_JSON_LIMIT) : NULL;
    gr_json at = doc ? gr_json_get(gr_json_root(doc), "base_model_name_or_path") : (gr_json){0};
    const char *name = gr_json_is(at) ? gr_json_as_path(at) : "";
    if (doc && gr_json_check(doc) == GR_OK) {
        if (gr_path_is_dir(name) || (gr_gguf_is_name(name) && gr_path_is_file(name)))
            base = gr_checkpoint_resolve(name);
        else if (hub && gr_hub_is_name(name))
            base = gr_hub_find(name, hub);
        else if (*name)
            gr_fail(GR_ERR_FILE,
                    "%s: the model it was made for, \"%s\", is not here\nGive that model as MODEL, and "
                    "this directory with --adapter.",
                    adapter, name);
        else
            gr_fail(GR_ERR_FILE,
                    "%s: an adapter that does not say which model it was made for\nGive that model as "
                    "MODEL, and this directory with --adapter.",
                    adapter);
    }
    gr_json_free(doc);
    gr_free(path);
    return base;
}

/* What the record is made of. */
typedef struct places {
    char *path, *model, *adapter, *tokenizer;
    bool is_adapter, is_beside;
} places;

/* Takes over a path; one that is NULL is a failure told before. */
static gr_status set(char **to, char *path)
{
    *to = path;
    return path ? GR_OK : gr_error_status();
}

/* The path is an adapter alone: it goes on its base, or stays away from it. */
static gr_status find_base(const char *path, const gr_find_options *o, places *f)
{
    if (o->adapter && *o->adapter)
        return gr_fail(GR_ERR_ARGUMENT, "%s is an adapter itself\nGive its base as MODEL.", path);
    gr_status s = set(&f->model, base_of(f->path, o->hub));
    return s == GR_OK && !o->adapter ? set(&f->adapter, gr_strdup(f->path)) : s;
}

/* What is no path may be a name. */
static char *resolve(const char *path, const gr_hub_options *hub)
{
    struct stat info;
    return hub && gr_hub_is_name(path) && lstat(path, &info) != 0 ? gr_hub_find(path, hub)
                                                                  : gr_checkpoint_resolve(path);
}

static gr_status find_adapter(const gr_find_options *o, places *f)
{
    const char *given = o->adapter;
    bool leave_out = given && !*given, is_beside = f->is_beside;
    gr_status s = set(&f->model, gr_strdup(f->path));
    if (is_beside && given && !leave_out)
        gr_remark(GR_LOG_WARN, "%s: an adapter is there beside the weights, and %s is put on them instead", f->path,
                  given);
    f->is_beside = is_beside && !given;
    if (s != GR_OK || leave_out || (!given && !is_beside))
        return s;
    return set(&f->adapter, given ? resolve(given, o->hub) : gr_strdup(f->path));
}

static gr_status find_tokenizer(places *f)
{
    bool of_adapter = false, of_model = false;
    gr_status s = f->adapter ? gr_tokenizer_is_in(f->adapter, &of_adapter) : GR_OK;
    if (s == GR_OK)
        s = gr_tokenizer_is_in(f->model, &of_model);
    if (s == GR_OK && of_adapter && of_model && !f->is_beside)
        s = gr_tokenizers_agree(f->adapter, f->model);
    if (s != GR_OK || !(of_adapter || of_model))
        return s;
    return set(&f->tokenizer, gr_strdup(of_adapter ? f->adapter : f->model));
}

static gr_status find(const char *path, const gr_find_options *o, places *f)
{
    int64_t step;
    gr_status s = o->newest ? gr_checkpoint_newest_good(path, &f->path, &step) : set(&f->path, resolve(path, o->hub));
    if (s != GR_OK || !f->path)
        return s;
    gr_adapter_place adapter;
    if ((s = gr_checkpoint_find_adapter(f->path, &adapter)) != GR_OK)
        return s;
    f->is_adapter = adapter == GR_ADAPTER_ALONE;
    if (o->path_only || o->newest)
        return GR_OK;
    f->is_beside = adapter == GR_ADAPTER_BESIDE;
    s = f->is_adapter ? find_base(path, o, f) : find_adapter(o, f);
    return s == GR_OK ? find_tokenizer(f) : s;
}

/* A text's copy at *room, which moves behind it; NULL of NULL. */
static const char *put(char **room, const char *text)
{
    char *at = *room;
    if (!text)
        return NULL;
    size_t size = strlen(text) + 1;
    *room += size;
    return memcpy(at, text, size);
}

static size_t room_for(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

/* One block, paths behind the record. */
static const gr_found *pack(const places *f)
{
    gr_found *out =
        gr_alloc(sizeof *out + room_for(f->path) + room_for(f->model) + room_for(f->adapter) + room_for(f->tokenizer));
    char *room = out ? (char *)(out + 1) : NULL;
    if (!out)
        return NULL;
    *out = (gr_found){.size = sizeof *out, .is_adapter = f->is_adapter, .is_beside = f->is_beside};
    out->path = put(&room, f->path);
    out->model = put(&room, f->model);
    out->adapter = put(&room, f->adapter);
    out->tokenizer = put(&room, f->tokenizer);
    return out;
}

const gr_found *gr_find(const char *path, const gr_find_options *options)
{
    gr_find_options o;
    places f = {0};
    if (gr_lacks(path, "gr_find: path") || gr_take_sized(&o, sizeof o, options, "gr_find: options") != GR_OK)
        return NULL;
    const gr_found *out = find(path, &o, &f) == GR_OK ? pack(&f) : NULL;
    gr_free(f.path);
    gr_free(f.model);
    gr_free(f.adapter);
    gr_free(f.tokenizer);
    return out;
}
