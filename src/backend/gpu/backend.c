/* The contract of backend.h on top of a GPU: a program is prepared once, a run is a loop over its launches. */
#include "backend/gpu/families.h"

#include "base/mem.h"

#include <stdio.h>

/* ---- the device --------------------------------------------------------------------------------------------- */

static gr_status open_device(gr_device *d, const gr_gpu_driver *driver, int index)
{
    gr_gpu *g = gr_alloc_zero(1, sizeof *g);
    gr_status s = g ? gr_gpu_open(g, driver, index) : GR_ERR_MEMORY;
    if (s != GR_OK) {
        gr_free(g);
        return s;
    }
    d->own = g;
    d->largest = g->pool.largest;
    snprintf(d->description, sizeof d->description, "%s, %d units", g->info.name, g->info.units);
    return GR_OK;
}

static gr_status open_opencl(gr_device *d, int index, int threads)
{
    (void)threads; /* the host's */
    return open_device(d, &gr_gpu_opencl, index);
}

static int count_opencl(void)
{
    return gr_gpu_opencl.count();
}

static void close_device(gr_device *d)
{
    gr_gpu_close(d->own);
    gr_free(d->own);
}

/* One a family of ops; the first line that fits is taken. */
static const gr_kernel *const tables[] = {gr_gpu_source_kernels, gr_gpu_layout_kernels,    gr_gpu_matmul_kernels,
                                          gr_gpu_reduce_kernels, gr_gpu_softmax_kernels,   gr_gpu_norm_kernels,
                                          gr_gpu_rope_kernels,   gr_gpu_attention_kernels, gr_gpu_embed_kernels,
                                          gr_gpu_loss_kernels,   gr_gpu_update_kernels};

static const gr_kernel *find(const gr_device *d, const gr_tensor *node)
{
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        const gr_kernel *found = gr_kernel_find(tables[i], d, node);
        if (found)
            return found;
    }
    return gr_gpu_elementwise_find(d, node);
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

/* What is behind [p, p + *size), or behind as much of it as lies in one slab. */
static gr_status locate(gr_gpu *g, gr_address p, void **block, size_t *offset, size_t *size)
{
    size_t left;
    gr_status s = gr_gpu_pool_find(&g->pool, p, block, offset, &left);
    if (s == GR_OK && *size > left)
        *size = left;
    return s;
}

static gr_status gpu_fill(gr_device *d, gr_address to, int byte, size_t size)
{
    gr_gpu *g = d->own;
    gr_status s = GR_OK;
    for (size_t part; s == GR_OK && size; to += part, size -= part) {
        void *block;
        size_t offset;
        part = size;
        s = locate(g, to, &block, &offset, &part);
        if (s == GR_OK)
            s = g->driver->fill(g->device, block, offset, byte, part);
    }
    return s;
}

static gr_status gpu_write(gr_device *d, gr_address to, const void *host, size_t size)
{
    gr_gpu *g = d->own;
    void *block;
    size_t offset, part = size;
    gr_status s = size ? locate(g, to, &block, &offset, &part) : GR_OK;
    return s == GR_OK && size ? g->driver->write(g->device, block, offset, host, size) : s;
}

static gr_status gpu_read(gr_device *d, void *host, gr_address from, size_t size)
{
    gr_gpu *g = d->own;
    gr_status s = GR_OK;
    for (size_t part, at = 0; s == GR_OK && at < size; at += part) {
        void *block;
        size_t offset;
        part = size - at;
        s = locate(g, from + at, &block, &offset, &part);
        if (s == GR_OK)
            s = g->driver->read(g->device, (char *)host + at, block, offset, part);
    }
    return s;
}

static gr_status gpu_copy(gr_device *d, gr_address to, gr_address from, size_t size)
{
    gr_gpu *g = d->own;
    void *blocks[2];
    size_t offsets[2], part = size;
    gr_status s = size ? locate(g, to, &blocks[0], &offsets[0], &part) : GR_OK;
    if (s == GR_OK && size)
        s = locate(g, from, &blocks[1], &offsets[1], &part);
    return s == GR_OK && size ? g->driver->copy(g->device, blocks[0], offsets[0], blocks[1], offsets[1], size) : s;
}

static gr_status gpu_sync(gr_device *d)
{
    gr_gpu *g = d->own;
    return g->driver->finish(g->device);
}

static gr_status gpu_reserve(gr_device *d, size_t size)
{
    return gr_gpu_pool_reserve(&((gr_gpu *)d->own)->pool, size);
}

/* What was told before may still use what is freed. */
static void gpu_free(gr_device *d, gr_address p, size_t size)
{
    gr_gpu *g = d->own;
    if (p && g->driver->finish(g->device) != GR_OK)
        gr_error_clear(); /* whoever is waiting for it will hear of it again */
    gr_gpu_pool_free(&g->pool, p, size);
}

static gr_address gpu_alloc(gr_device *d, size_t size)
{
    gr_gpu *g = d->own;
    g->pool.largest = d->largest;
    gr_address p = gr_gpu_pool_alloc(&g->pool, size);
    if (p && gpu_fill(d, p, 0, size) != GR_OK) {
        gr_gpu_pool_free(&g->pool, p, size);
        return 0;
    }
    return p;
}

static gr_status gpu_memory(gr_device *d, size_t *left, size_t *total)
{
    gr_gpu *g = d->own;
    *total = g->info.memory;
    return gr_gpu_pool_left(&g->pool, left);
}

/* ---- programs ----------------------------------------------------------------------------------------------- */

static void gpu_forget(gr_device *d, gr_code *code)
{
    gr_gpu *g = d->own;
    if (!code->own)
        return;
    gr_gpu_code_clear(g, code->own);
    gr_free(code->own);
    code->own = NULL;
}

static gr_status gpu_prepare(gr_device *d, gr_code *code)
{
    gr_gpu *g = d->own;
    gpu_forget(d, code);
    gr_gpu_code *own = code->own = gr_alloc_zero(1, sizeof *own);
    if (!own)
        return GR_ERR_MEMORY;
    own->first = gr_alloc_zero((size_t)code->n + 1, sizeof *own->first);
    gr_status s = own->first ? GR_OK : GR_ERR_MEMORY;
    g->code = own;
    g->fault = code->fault;
    for (g->step = 0; s == GR_OK && g->step < code->n; g->step++) {
        const gr_step *step = &code->steps[g->step];
        s = step->kernel->run(&step->call);
        if (s != GR_OK)
            gr_fail_in("%s on %s", step->call.op->name, d->name);
        own->first[g->step + 1] = own->n;
    }
    g->code = NULL;
    return s;
}

static gr_status gpu_run(gr_device *d, gr_code *code, int first, int n)
{
    const gr_gpu_code *own = code->own;
    gr_status s = first == 0 ? gpu_fill(d, code->fault, 0, sizeof(gr_fault)) : GR_OK;
    return s == GR_OK ? gr_gpu_run(d->own, own, own->first[first], own->first[first + n]) : s;
}

static gr_status gpu_wait(gr_device *d, gr_code *code)
{
    (void)code; /* one queue: what was told before is done, too */
    return gpu_sync(d);
}

const gr_backend gr_backend_opencl = {
    .name = "opencl",
    .count = count_opencl,
    .open = open_opencl,
    .close = close_device,
    .find = find,
    .fuses = gr_gpu_fuses,
    .reserve = gpu_reserve,
    .alloc = gpu_alloc,
    .free = gpu_free,
    .memory = gpu_memory,
    .write = gpu_write,
    .read = gpu_read,
    .fill = gpu_fill,
    .copy = gpu_copy,
    .sync = gpu_sync,
    .prepare = gpu_prepare,
    .forget = gpu_forget,
    .run = gpu_run,
    .wait = gpu_wait,
};
