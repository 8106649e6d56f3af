/* Opening devices, models and tokenizers as the flags say. */
#include <string.h>
#include "cli/open.h"

#include "base/dtype.h"
#include "cli/hub.h"
#include "cli/term.h"

gr_status gr_open_device(const gr_args *args, gr_opened *o)
{
    o->device = gr_device_open(args->common.device, (int)args->common.threads);
    if (!o->device)
        return gr_args_blame((gr_args *)args, gr_error_status());
    gr_device_info info = GR_INIT(gr_device_info);
    if (!o->is_again && strcmp(args->common.device, "auto") == 0 && gr_device_describe(o->device, &info) == GR_OK)
        gr_note("device %s: %s", info.name, info.description);
    return args->common.profile ? gr_begin_profile((gr_args *)args, o) : GR_OK;
}

/* ---- models and adapters ------------------------------------------------------------------------------------ */

gr_status gr_find_model(const gr_args *args, const char *model, gr_opened *o)
{
    gr_find_options how = GR_INIT(gr_find_options);
    const char *given = args->common.adapter;
    gr_hub_options hub; /* an adapter may say what it was made for by a name */
    gr_hub_from_environment(&hub);
    how.adapter = given && strcmp(given, "none") == 0 ? "" : given;
    how.hub = hub.cache ? &hub : NULL;
    o->found = gr_find(model, &how);
    if (!o->found && gr_error_status() == GR_ERR_ARGUMENT) /* MODEL is an adapter, too */
        return gr_args_blame((gr_args *)args, gr_fail_in("--adapter"));
    if (!o->found)
        return gr_error_status();
    o->path = o->found->model;
    o->adapter = o->found->adapter;
    return GR_OK;
}

void gr_tell_adapter(const gr_args *args, const gr_opened *o)
{
    if (o->found->is_beside && args->verb->common & GR_WITH_ADAPTER)
        gr_warn("%s: an adapter is there beside the weights, and is put on them; --adapter none leaves it out",
                o->path);
}

gr_status gr_open_tokenizer(const gr_args *args, gr_opened *o)
{
    const char *path = args->common.tokenizer ? args->common.tokenizer : o->found ? o->found->tokenizer : NULL;
    o->tokenizer = path ? gr_tokenizer_load(path) : NULL;
    return o->tokenizer || !path ? GR_OK : gr_error_status();
}

const char *gr_name_of_blocks(gr_model *model)
{
    gr_store *store = gr_model_store(model);
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; i < gr_store_count(store); i++)
        if (gr_store_entry(store, i, &e) == GR_OK && gr_dtype_is_block(e.dtype))
            return gr_dtype_name(e.dtype);
    return NULL;
}

void gr_tell_int8(gr_model *model)
{
    const char *name = gr_name_of_blocks(model);
    if (name)
        gr_note("activations int8: rows are rounded to 8 bits where they meet weights such as %s; --activations f32 "
                "leaves them",
                name);
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
    if (!o->is_again && options && options->activations == GR_ACTIVATIONS_INT8)
        gr_tell_int8(o->model);
    if (o->adapter && (s = gr_model_load_adapter(o->model, o->adapter)) != GR_OK)
        return s;
    return gr_open_tokenizer(args, o);
}

gr_status gr_open_other(const char *model, const gr_load_options *options, const gr_opened *first, gr_opened *o)
{
    o->found = gr_find(model, NULL);
    if (!o->found)
        return gr_error_status();
    o->path = o->found->model;
    o->adapter = o->found->adapter;
    o->model = gr_model_load(o->path, options, first->device);
    gr_status s = o->model ? GR_OK : gr_error_status();
    if (s == GR_OK && o->adapter)
        s = gr_model_load_adapter(o->model, o->adapter);
    if (s == GR_OK && o->found->tokenizer) {
        o->tokenizer = gr_tokenizer_load(o->found->tokenizer);
        s = o->tokenizer ? GR_OK : gr_error_status();
    }
    return s;
}

/* No kernel multiplies fp16 as it is. */
void gr_tell_precision(gr_device *device, gr_precision precision)
{
    gr_device_info d = GR_INIT(gr_device_info);
    bool described = precision != GR_PRECISION_F32 && gr_device_describe(device, &d) == GR_OK;
    if (described && precision == GR_PRECISION_BF16 && d.multiplies_bf16)
        gr_note("precision bf16: products are of bf16, by instructions that %s has", d.name);
    else if (described && precision == GR_PRECISION_BF16)
        gr_note("precision bf16: storage only, %s has no bf16 arithmetic; what is computed is computed in f32", d.name);
    else if (described)
        gr_note("precision fp16: storage only, what is computed is computed in f32");
}

gr_status gr_need_tokenizer(const gr_opened *o)
{
    if (o->tokenizer)
        return GR_OK;
    return gr_fail(GR_ERR_FILE,
                   "%s: has no tokenizer, so text cannot be read\nPut the tokenizer.json of its model there.", o->path);
}

gr_status gr_check_made_ids(const gr_opened *on, const gr_token *ids, int64_t n)
{
    int64_t vocab = gr_model_describe(on->model)->vocab;
    for (int64_t i = 0; i < n; i++)
        if (ids[i] >= vocab)
            return gr_fail(GR_ERR_FILE,
                           "%s: its tokenizer made the id %lld, its model knows %lld\n"
                           "the tokenizer and config.json do not belong together, or tokens were added "
                           "to the tokenizer alone",
                           on->path, (long long)ids[i], (long long)vocab);
    return GR_OK;
}

void gr_close_opened(gr_opened *o)
{
    gr_tokenizer_free(o->tokenizer);
    gr_model_free(o->model);
    gr_profile_free(o->profile);
    gr_device_close(o->device);
    gr_free(o->found);
}
