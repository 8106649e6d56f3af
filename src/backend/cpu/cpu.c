/* The CPU backend: its kernels, and the reference ones for what it has none. */
#include "backend/backend.h"
#include "backend/cpu/isa.h"

#include <stdio.h>

static gr_status open_device(gr_device *d, int threads)
{
    d->pool = gr_pool_new(threads);
    if (!d->pool)
        return gr_error_status();
    snprintf(d->description, sizeof d->description, "%s, %d threads", gr_isa_name(gr_isa_detect()),
             gr_pool_threads(d->pool));
    return GR_OK;
}

static void close_device(gr_device *d)
{
    gr_pool_free(d->pool);
}

static const gr_kernel *find(const gr_tensor *node)
{
    const gr_kernel *k = gr_kernel_own(node);
    return k ? k : gr_backend_ref.find(node);
}

const gr_backend gr_backend_cpu = {
    .name = "cpu",
    .open = open_device,
    .close = close_device,
    .find = find,
    .alloc = gr_host_alloc,
    .free = gr_host_free,
    .write = gr_host_write,
    .read = gr_host_read,
    .fill = gr_host_fill,
    .run = gr_host_run,
};
