/* What backends whose memory is the host's have in common. */
#include "backend/backend.h"

#include "base/mem.h"

#include <string.h>

void *gr_host_alloc(gr_device *d, size_t size)
{
    (void)d;
    return gr_alloc_pages(size);
}

void gr_host_free(gr_device *d, void *p, size_t size)
{
    (void)d;
    gr_free_pages(p, size);
}

void gr_host_write(gr_device *d, void *to, const void *host, size_t size)
{
    (void)d;
    if (size)
        memcpy(to, host, size);
}

void gr_host_read(gr_device *d, void *host, const void *from, size_t size)
{
    (void)d;
    if (size)
        memcpy(host, from, size);
}

void gr_host_fill(gr_device *d, void *to, int byte, size_t size)
{
    (void)d;
    memset(to, byte, size);
}

gr_status gr_host_run(gr_device *d, const gr_step *steps, int n)
{
    (void)d;
    for (int i = 0; i < n; i++) {
        gr_status s = steps[i].kernel->run(&steps[i].call);
        if (s != GR_OK)
            return s;
    }
    return GR_OK;
}

const gr_kernel *gr_kernel_find(const gr_kernel *table, const gr_tensor *node)
{
    for (; table->op; table++)
        if (table->op == node->op && (!table->supports || table->supports(node)))
            return table;
    return NULL;
}

static gr_status run_own(const gr_call *call)
{
    return call->op->kernel(call);
}

const gr_kernel *gr_kernel_own(const gr_tensor *node)
{
    static const gr_kernel own = {.run = run_own};
    return node->op->kernel ? &own : NULL;
}
