#include <string.h>
#include "base/file.h"
#include "base/mem.h"
#include "cli/open.h"
#include "cli/term.h"
#include "format/checkpoint.h"

gr_status gr_open_device(const gr_args *args, gr_opened *o)
{
    o->device = gr_device_open(args->common.device, (int)args->common.threads);
    if (!o->device)
        return gr_args_blame((gr_args *)args, gr_error_status());
    if (strcmp(args->common.device, "auto") == 0)
        gr_note("device %s: %s", gr_device_name(o->device), gr_device_describe(o->device));
    return GR_OK;
}

gr_status gr_open_tokenizer(gr_opened *o)
{
    static const char *const files[] = {"tokenizer.json", "vocab.json", "tokenizer.model"};
    bool there = false;
    for (size_t i = 0; !there && i < sizeof files / sizeof *files; i++) {
        char *path = gr_path_join(o->path, files[i]);
        if (!path)
            return GR_ERR_MEMORY;
        there = gr_path_is_file(path);
        gr_free(path);
    }
    o->tokenizer = there ? gr_tokenizer_load(o->path) : NULL;
    return there && !o->tokenizer ? gr_error_status() : GR_OK;
}

gr_status gr_open_model(const gr_args *args, const char *model, const gr_load_options *options, gr_opened *o)
{
    gr_status s = gr_open_device(args, o);
    if (s != GR_OK)
        return s;
    o->path = gr_checkpoint_resolve(model);
    o->model = o->path ? gr_model_load(o->path, options, o->device) : NULL;
    if (!o->model)
        return gr_error_status();
    return gr_open_tokenizer(o);
}

gr_status gr_need_tokenizer(const gr_opened *o)
{
    if (o->tokenizer)
        return GR_OK;
    return gr_fail(GR_ERR_FILE, "%s: has no tokenizer.json, so text cannot be read\nput one there, or give token ids",
                   o->path);
}

void gr_close_opened(gr_opened *o)
{
    gr_tokenizer_free(o->tokenizer);
    gr_model_free(o->model);
    gr_device_close(o->device);
    gr_free(o->path);
}
