/* Using a device, from any thread: one at a time, the others wait for their turn. */
#include "backend/backend.h"

#include "base/sized.h"

void gr_device_lock(gr_device *d)
{
    pthread_mutex_lock(&d->lock);
}

void gr_device_unlock(gr_device *d)
{
    pthread_mutex_unlock(&d->lock);
}

gr_address gr_device_alloc(gr_device *d, size_t size)
{
    gr_device_lock(d);
    gr_address p = d->backend->alloc(d, size);
    gr_device_unlock(d);
    return p;
}

void gr_device_free(gr_device *d, gr_address p, size_t size)
{
    gr_device_lock(d);
    if (p)
        d->backend->free(d, p, size);
    gr_device_unlock(d);
}

gr_status gr_device_write(gr_device *d, gr_address to, const void *host, size_t size)
{
    gr_device_lock(d);
    gr_status s = d->backend->write(d, to, host, size);
    gr_device_unlock(d);
    return s;
}

gr_status gr_device_read(gr_device *d, void *host, gr_address from, size_t size)
{
    gr_device_lock(d);
    gr_status s = d->backend->read(d, host, from, size);
    gr_device_unlock(d);
    return s;
}

gr_status gr_device_copy(gr_device *d, gr_address to, gr_address from, size_t size)
{
    gr_device_lock(d);
    gr_status s = d->backend->copy(d, to, from, size);
    gr_device_unlock(d);
    return s;
}

gr_status gr_device_describe(gr_device *d, gr_device_info *out)
{
    if (gr_lacks(d, "gr_device_describe: device") || gr_lacks(out, "gr_device_describe: out"))
        return GR_ERR_ARGUMENT;
    gr_device_info i = {.size = sizeof i, .name = d->name, .description = d->description};
    i.host_memory = d->host_visible;
    i.multiplies_bf16 = d->multiplies_bf16;
    gr_device_lock(d);
    gr_status s = d->backend->memory(d, &i.available, &i.total);
    gr_device_unlock(d);
    return s == GR_OK ? gr_give_sized(out, &i, sizeof i, "gr_device_describe: out") : s;
}

gr_status gr_device_measure(gr_device *d, gr_device_limits *out)
{
    if (gr_lacks(d, "gr_device_measure: device") || gr_lacks(out, "gr_device_measure: out"))
        return GR_ERR_ARGUMENT;
    if (!d->backend->measure)
        return gr_fail(GR_ERR_UNSUPPORTED, "gr_device_measure: nobody has measured the limits of %s\nmeasure \"cpu\"",
                       d->name);
    gr_device_limits l = {.size = sizeof l};
    gr_device_lock(d);
    gr_status s = d->backend->measure(d, &l);
    gr_device_unlock(d);
    return s == GR_OK ? gr_give_sized(out, &l, sizeof l, "gr_device_measure: out") : s;
}

void gr_device_parallel(gr_device *d, int64_t pieces, gr_piece_fn fn, void *ctx)
{
    gr_device_lock(d);
    gr_parallel(d->pool, pieces, fn, ctx);
    gr_device_unlock(d);
}
