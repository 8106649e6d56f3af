/* gradus info: a model, or what this machine has. */
#include <string.h>
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
    for (int i = 0; gr_device_list(i) != NULL; i++) {
        gr_device *device = gr_device_open(gr_device_list(i), 0);
        gr_device_info info = GR_INIT(gr_device_info);
        if (device == NULL || gr_device_describe(device, &info) != GR_OK) {
            gr_device_close(device);
            continue; /* built in, but this machine has none */
        }
        gr_json entry = gr_json_put_object(list, NULL);
        gr_json_put_text(entry, "name", info.name);
        gr_json_put_text(entry, "description", info.description);
        gr_device_close(device);
    }
}

static gr_status fill(const gr_args *args, gr_json report)
{
    const options *o = args->options;
    gr_status status = GR_OK;
    if (args->count > 0)
        status = gr_info_model(args->positional[0], gr_json_put_object(report, "model"));
    else
        put_devices(gr_json_put_array(report, "devices"));
    if (status == GR_OK && o->ops)
        status = gr_info_ops(report);
    return status == GR_OK ? gr_json_check(report.doc) : status;
}

static gr_status print_report(const gr_args *args, gr_json report)
{
    const options *o = args->options;
    if (args->count > 0)
        gr_info_print_model(gr_json_get(report, "model"));
    else if (!o->ops)
        gr_version_print();
    return o->ops ? gr_info_print_ops(gr_json_get(report, "ops")) : GR_OK;
}

/* Nothing is printed before all of it is known. */
static gr_status run(gr_args *args)
{
    gr_json_doc *doc = gr_json_new("the report");
    if (doc == NULL)
        return gr_error_status();
    gr_json report = gr_json_root(doc);
    gr_json_put_text(report, "version", gr_library_info()->version);
    gr_status status = fill(args, report);
    if (status == GR_OK && args->common.json)
        return gr_out_json(doc);
    if (status == GR_OK)
        status = print_report(args, report);
    gr_json_free(doc);
    return status;
}

const gr_verb gr_verb_info = {
    .name = "info",
    .summary = "shows a model, or the devices and ops of this machine",
    .positional = "[MODEL]",
    .about = "In the grid of --ops, which is about f32: kernel: the device's own; fused: run in a chain with its "
             "neighbours; reference: the "
             "slow kernel of ref; composed: made of simpler ops; view: nothing to run.",
    .flags = flags,
    .common = GR_WITH_JSON,
    .examples = {{"a model's architecture, parameters, dtypes", "gradus info runs/shakespeare"},
                 {"which op has which kernel on which device", "gradus info --ops"}},
    .options_size = sizeof(options),
    .run = run,
};
