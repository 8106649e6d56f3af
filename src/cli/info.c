/* gradus info: a model, or what this machine has. */
#include <string.h>
#include "backend/backend.h"
#include "cli/info.h"
#include "cli/term.h"
#include "cli/verbs.h"
#include "cli/version.h"

typedef struct options {
    bool ops;
} options;

static const gr_flag flags[] = {
    {"ops", GR_SWITCH(options, ops), .help = "how each op runs on each device, and whether it has a gradient"},
    {0},
};

static void put_devices(gr_json list)
{
    for (int i = 0; gr_backend_list(i) != NULL; i++) {
        gr_device *device = gr_device_open(gr_backend_list(i)->name, 0);
        if (device == NULL)
            continue;
        gr_json entry = gr_json_put_object(list, NULL);
        gr_json_put_text(entry, "name", gr_device_name(device));
        gr_json_put_text(entry, "description", gr_device_describe(device));
        gr_device_close(device);
    }
}

static gr_status run_parts(const gr_args *args, gr_json into)
{
    const options *o = args->options;
    gr_status status = GR_OK;
    if (args->count > 0)
        status = gr_info_model(args->positional[0], into);
    else if (into.doc != NULL)
        put_devices(gr_json_put_array(into, "devices"));
    else if (!o->ops)
        gr_version_print();
    if (status == GR_OK && o->ops)
        status = gr_info_ops(into.doc != NULL ? gr_json_put_array(into, "ops") : into);
    return status;
}

static gr_status run(gr_args *args)
{
    if (!args->common.json)
        return run_parts(args, (gr_json){0});
    gr_json_doc *doc = gr_json_new("the report");
    if (doc == NULL)
        return GR_ERR_MEMORY;
    gr_json_put_text(gr_json_root(doc), "version", gr_version());
    gr_status status = run_parts(args, gr_json_root(doc));
    char *text = status == GR_OK ? gr_json_format(doc, false, NULL) : NULL;
    if (text != NULL)
        gr_out("%s\n", text);
    else if (status == GR_OK)
        status = gr_error_status();
    gr_text_free(text);
    gr_json_free(doc);
    return status;
}

const gr_verb gr_verb_info = {
    .name = "info",
    .summary = "shows a model, or the devices and ops of this machine",
    .positional = "[MODEL]",
    .about =
        "In the grid of --ops: kernel: the device's own; fused: run in a chain with its neighbours; reference: the "
        "slow kernel of ref; composed: made of simpler ops; view: nothing to run.",
    .flags = flags,
    .common = GR_WITH_JSON,
    .examples = {{"a model's architecture, parameters, dtypes", "gradus info runs/shakespeare"},
                 {"which op has which kernel on which device", "gradus info --ops"}},
    .options_size = sizeof(options),
    .run = run,
};
