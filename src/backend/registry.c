/* Which backends there are, and opening a device by name. */
#include "backend/backend.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const gr_backend *gr_backend_list(int i)
{
    static const gr_backend *const backends[] = {&gr_backend_cpu, &gr_backend_ref, &gr_backend_far, &gr_backend_opencl};
    return i >= 0 && i < (int)(sizeof backends / sizeof backends[0]) ? backends[i] : NULL;
}

const char *gr_device_list(int i)
{
    const gr_backend *b = gr_backend_list(i);
    return b ? b->name : NULL;
}

/* ---- names -------------------------------------------------------------------------------------------------- */

/* "name" or "name:N". */
static bool split_name(const char *name, size_t *length, int *index)
{
    const char *colon = strchr(name, ':');
    *length = colon ? (size_t)(colon - name) : strlen(name);
    *index = 0;
    if (!colon)
        return true;
    char *end;
    long n = strtol(colon + 1, &end, 10);
    *index = (int)n;
    return colon[1] >= '0' && colon[1] <= '9' && !*end && n < 1000;
}

static const gr_backend *unknown(const char *name)
{
    char all[200] = "";
    for (int i = 0; gr_backend_list(i); i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", gr_backend_list(i)->name);
    gr_fail(GR_ERR_ARGUMENT, "there is no device \"%s\"\nthis build has: %s", name, all);
    return NULL;
}

static const gr_backend *find(const char *name, int *index)
{
    size_t length;
    bool any = strcmp(name, "auto") == 0; /* the list begins with the fastest that is always there */
    if (!split_name(name, &length, index))
        return unknown(name);
    const gr_backend *b;
    for (int i = 0; (b = gr_backend_list(i)); i++)
        if (any || (strlen(b->name) == length && strncmp(name, b->name, length) == 0))
            break;
    if (!b)
        return unknown(name);
    int count = b->count();
    if (*index < count || count == 0) /* open says why there is none */
        return b;
    gr_fail(GR_ERR_UNSUPPORTED, "there is no device \"%s\": this machine has %d of them\nthey are numbered from 0",
            name, count);
    return NULL;
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

enum { SUM_ROWS = 384 }; /* of devices that say nothing else */

static bool make_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t a;
    if (pthread_mutexattr_init(&a) != 0)
        return false;
    bool made = pthread_mutexattr_settype(&a, PTHREAD_MUTEX_RECURSIVE) == 0 && pthread_mutex_init(lock, &a) == 0;
    pthread_mutexattr_destroy(&a);
    return made;
}

static gr_status open_device(gr_device *d, const gr_backend *b, int index, int threads)
{
    d->backend = b;
    d->largest = SIZE_MAX / GR_ADDRESS_ALIGN * GR_ADDRESS_ALIGN;
    d->sum_rows = SUM_ROWS;
    snprintf(d->name, sizeof d->name, index ? "%s:%d" : "%s", b->name, index);
    d->pool = gr_pool_new(threads);
    return d->pool ? b->open(d, index, threads) : gr_error_status();
}

gr_device *gr_device_open(const char *name, int threads)
{
    int index;
    const gr_backend *b = find(name ? name : "auto", &index);
    gr_device *d = b ? gr_alloc_zero(1, sizeof *d) : NULL;
    if (!d)
        return NULL;
    bool locks = make_lock(&d->lock);
    if (!locks)
        gr_fail(GR_ERR_MEMORY, "%s: the system has no more locks", name);
    if (locks && open_device(d, b, index, threads) == GR_OK)
        return d;
    gr_pool_free(d->pool);
    if (locks)
        pthread_mutex_destroy(&d->lock);
    gr_free(d);
    return NULL;
}

void gr_device_close(gr_device *d)
{
    if (!d)
        return;
    gr_device_free(d, d->arena, d->arena_size);
    d->backend->close(d);
    gr_pool_free(d->pool);
    pthread_mutex_destroy(&d->lock);
    gr_free(d);
}
