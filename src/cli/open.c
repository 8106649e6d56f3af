#include <string.h>
#include "base/file.h"
#include "base/mem.h"
#include "cli/open.h"
#include "cli/term.h"
#include "train/run_dir.h"

gr_status gr_open_device(const gr_args *args, gr_opened *o)
{
    o->device = gr_device_open(args->common.device, (int)args->common.threads);
    if (!o->device)
        return gr_args_blame((gr_args *)args, gr_error_status());
    if (strcmp(args->common.device, "auto") == 0)
        gr_note("device %s: %s", gr_device_name(o->device), gr_device_describe(o->device));
    return GR_OK;
}

/* ---- models and adapters ------------------------------------------------------------------------------------ */

/* The model that an adapter was made for, as its config says; caller frees. */
static char *base_of(const char *adapter)
{
    char *path = gr_path_join(adapter, GR_ADAPTER_CONFIG), *base = NULL;
    gr_json_doc *doc = path ? gr_json_read(path, GR_JSON_LIMIT) : NULL;
    gr_json at = doc ? gr_json_get(gr_json_root(doc), "base_model_name_or_path") : (gr_json){0};
    const char *name = gr_json_is(at) ? gr_json_as_path(at) : "";
    if (doc && gr_json_check(doc) == GR_OK) {
        if (gr_path_is_dir(name))
            base = gr_checkpoint_resolve(name);
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

/* MODEL is an adapter alone: it goes on its base, or stays away from it. */
static gr_status find_base(const gr_args *args, const char *model, bool leave_out, gr_opened *o)
{
    if (args->common.adapter && !leave_out)
        return gr_args_fail((gr_args *)args, "--adapter: %s is an adapter itself\nGive its base as MODEL.", model);
    o->adapter = o->path;
    o->path = base_of(o->adapter);
    if (leave_out) {
        gr_free(o->adapter);
        o->adapter = NULL;
    }
    return o->path ? GR_OK : gr_error_status();
}

gr_status gr_find_model(const gr_args *args, const char *model, gr_opened *o)
{
    const char *given = args->common.adapter;
    bool leave_out = given && strcmp(given, "none") == 0;
    o->path = gr_checkpoint_resolve(model);
    if (!o->path)
        return gr_error_status();
    if (gr_checkpoint_is_adapter(o->path))
        return find_base(args, model, leave_out, o);
    bool beside = gr_checkpoint_has_adapter(o->path);
    if (beside && given && !leave_out)
        gr_warn("%s: an adapter is there beside the weights, and %s is put on them instead", o->path, given);
    if (leave_out || (!given && !beside))
        return GR_OK;
    o->adapter = given ? gr_checkpoint_resolve(given) : gr_strdup(o->path);
    return o->adapter ? GR_OK : gr_error_status();
}

void gr_tell_adapter(const gr_args *args, const gr_opened *o)
{
    bool is_beside = o->adapter && strcmp(o->adapter, o->path) == 0 && gr_checkpoint_has_adapter(o->path);
    if (is_beside && args->verb->common & GR_WITH_ADAPTER)
        gr_warn("%s: an adapter is there beside the weights, and is put on them; --adapter none leaves it out",
                o->path);
}

static gr_status has_tokenizer(const char *dir, bool *there)
{
    static const char *const files[] = {"tokenizer.json", "vocab.json",  "tokenizer.model",
                                        "tiktoken.model", "tekken.json", "vocab.txt"};
    *there = false;
    for (size_t i = 0; dir && !*there && i < sizeof files / sizeof *files; i++) {
        char *path = gr_path_join(dir, files[i]);
        if (!path)
            return GR_ERR_MEMORY;
        *there = gr_path_is_file(path);
        gr_free(path);
    }
    return GR_OK;
}

gr_status gr_open_tokenizer(gr_opened *o)
{
    bool there;
    const char *dir = o->adapter;
    gr_status s = has_tokenizer(dir, &there);
    if (s == GR_OK && !there)
        s = has_tokenizer(dir = o->path, &there);
    if (s != GR_OK || !there)
        return s;
    o->tokenizer = gr_tokenizer_load(dir);
    return o->tokenizer ? GR_OK : gr_error_status();
}

gr_status gr_open_model(const gr_args *args, const char *model, const gr_load_options *options, gr_opened *o)
{
    gr_status s = gr_open_device(args, o);
    if (s == GR_OK)
        s = gr_find_model(args, model, o);
    if (s != GR_OK)
        return s;
    gr_tell_adapter(args, o);
    o->model = gr_model_load(o->path, options, o->device);
    if (!o->model)
        return gr_error_status();
    if (o->adapter && (s = gr_model_load_adapter(o->model, o->adapter)) != GR_OK)
        return s;
    return gr_open_tokenizer(o);
}

gr_status gr_need_tokenizer(const gr_opened *o)
{
    if (o->tokenizer)
        return GR_OK;
    return gr_fail(GR_ERR_FILE,
                   "%s: has no tokenizer, so text cannot be read\nPut the tokenizer.json of its model there.", o->path);
}

void gr_close_opened(gr_opened *o)
{
    gr_tokenizer_free(o->tokenizer);
    gr_model_free(o->model);
    gr_device_close(o->device);
    gr_free(o->path);
    gr_free(o->adapter);
}
