#include <string.h>
#include "backend/backend.h"
#include "cli/device.h"
#include "cli/suggest.h"
#include "cli/term.h"

gr_device *gr_args_device(gr_args *args)
{
    const char *name = args->common.device;
    bool is_auto = strcmp(name, "auto") == 0, is_known = is_auto;
    gr_suggestion near = {.written = name};
    for (int i = 0; gr_backend_list(i) != NULL; i++) {
        is_known |= strcmp(name, gr_backend_list(i)->name) == 0;
        gr_suggest(&near, gr_backend_list(i)->name, strlen(gr_backend_list(i)->name));
    }
    if (!is_known) {
        gr_args_fail(args, "--device %s: this build has no such device\n%s%s%s", name, near.best ? "Did you mean " : "",
                     near.best ? near.best : "gradus info lists the devices", near.best ? "?" : ".");
        return NULL;
    }
    gr_device *device = gr_device_open(name, (int)args->common.threads);
    if (device != NULL && is_auto)
        gr_note("device: %s (%s)", gr_device_name(device), gr_device_describe(device));
    return device;
}
