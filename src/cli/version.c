/* gradus --version. */
#include <string.h>
#include "cli/line.h"
#include "cli/term.h"
#include "cli/version.h"

void gr_version_print(void)
{
    gr_out("gradus %s\n", gr_library_info()->version);
    const gr_library *build = gr_library_info();
    gr_out("build: %s, %s\n", GR_BUILD_TYPE, build->compiler);
    gr_out("loops: %s\n", build->isa);
    gr_out("libraries: %s\n", build->libraries);
    gr_out("lines: %s\n", gr_lines_editor());
    for (int i = 0; gr_device_list(i) != NULL; i++) {
        gr_device *device = gr_device_open(gr_device_list(i), 0);
        gr_device_info info = GR_INIT(gr_device_info);
        if (device != NULL && gr_device_describe(device, &info) == GR_OK)
            gr_out("device %s: %s\n", info.name, info.description);
        else /* built in, but this machine has none */
            gr_out("device %s: not available: %.*s\n", gr_device_list(i), (int)strcspn(gr_error(), "\n"), gr_error());
        gr_device_close(device);
    }
}
