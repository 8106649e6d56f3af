/* How this library was built. GR_BUILD_ISA and GR_BUILD_LIBRARIES are what cmake/library.cmake found. */
#include "backend/backend.h"

#include <pthread.h>
#include <stdio.h>

#if defined(__clang__)
#define COMPILER "Clang " __clang_version__
#elif defined(__GNUC__)
#define COMPILER "GCC " __VERSION__
#else
#define COMPILER "a C compiler"
#endif
#if defined(__x86_64__)
#define MACHINE "x86-64"
#elif defined(__aarch64__)
#define MACHINE "arm64"
#else
#define MACHINE "another processor"
#endif

static char devices[200];

static void list_devices(void)
{
    size_t at = 0;
    for (int i = 0; gr_backend_list(i) && at < sizeof devices; i++)
        at += (size_t)snprintf(devices + at, sizeof devices - at, "%s%s", i ? ", " : "", gr_backend_list(i)->name);
}

const gr_library *gr_library_info(void)
{
    static const gr_library build = {.size = sizeof build,
                                     .version = GR_VERSION,
                                     .compiler = COMPILER ", " MACHINE,
                                     .isa = GR_BUILD_ISA,
                                     .libraries = GR_BUILD_LIBRARIES,
                                     .devices = devices};
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, list_devices);
    return &build;
}
