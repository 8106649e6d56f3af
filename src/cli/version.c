/* gradus --version. */
#include <string.h>
#include "cli/term.h"
#include "cli/version.h"

#if defined(__clang__)
#define COMPILER "Clang"
#elif defined(__GNUC__)
#define COMPILER "GCC"
#else
#define COMPILER "C compiler"
#endif
#if defined(__x86_64__)
#define MACHINE "x86-64"
#elif defined(__aarch64__)
#define MACHINE "arm64"
#else
#define MACHINE "other processor"
#endif

void gr_version_print(void)
{
    gr_out("gradus %s\n", gr_version());
    gr_out("build: %s, %s %s, %s\n", GR_BUILD_TYPE, COMPILER, __VERSION__, MACHINE);
    for (int i = 0; gr_device_list(i) != NULL; i++) {
        gr_device *device = gr_device_open(gr_device_list(i), 0);
        if (device != NULL)
            gr_out("device %s: %s\n", gr_device_name(device), gr_device_describe(device));
        else /* built in, but this machine has none */
            gr_out("device %s: not available: %.*s\n", gr_device_list(i), (int)strcspn(gr_error(), "\n"), gr_error());
        gr_device_close(device);
    }
}
