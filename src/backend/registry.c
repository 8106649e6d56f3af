/* Which backends there are, and opening a device by name. */
#include "backend/backend.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

const gr_backend *gr_backend_list(int i)
{
    static const gr_backend *const backends[] = {&gr_backend_cpu, &gr_backend_ref, &gr_backend_far};
    return i >= 0 && i < (int)(sizeof backends / sizeof backends[0]) ? backends[i] : NULL;
}

gr_device *gr_device_open(const char *name, int threads)
{
    name = name ? name : "auto";
    bool any = strcmp(name, "auto") == 0; /* the list begins with the fastest */
    const gr_backend *b;
    for (int i = 0; (b = gr_backend_list(i)); i++)
        if (any || strcmp(name, b->name) == 0)
            break;
    if (!b) {
        gr_fail(GR_ERR_ARGUMENT, "there is no device \"%s\"\nthis build has: cpu, ref, far", name);
        return NULL;
    }
    gr_device *d = gr_alloc_zero(1, sizeof *d);
    if (!d)
        return NULL;
    d->backend = b;
    if (b->open(d, threads) != GR_OK) {
        gr_free(d);
        return NULL;
    }
    return d;
}

void gr_device_close(gr_device *d)
{
    if (!d)
        return;
    if (d->arena)
        d->backend->free(d, d->arena, d->arena_size);
    d->backend->close(d);
    gr_free(d);
}

const char *gr_device_name(const gr_device *d)
{
    if (gr_lacks(d, "gr_device_name: device"))
        return NULL;
    return d->backend->name;
}

const char *gr_device_describe(const gr_device *d)
{
    if (gr_lacks(d, "gr_device_describe: device"))
        return NULL;
    return d->description;
}
