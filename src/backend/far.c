/* The test device: the cpu backend on memory that the host must not touch. Every block is access-protected except while
 * a kernel or a copy runs, so host code that would break on a GPU crashes here, in every test run. */
#include "backend/backend.h"

#include "base/mem.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct block {
    struct block *next;
    void *p;
    size_t size;
} block;

/* Blocks begin at a page border and nothing else lies on their last page, so a size is rounded up by the system. A block
 * keeps its bounds, which is why the system has no reason to refuse. */
static void protect(gr_device *d, int access)
{
    for (block *b = d->own; b; b = b->next)
        mprotect(b->p, b->size, access);
}

static void open_memory(gr_device *d)
{
    protect(d, PROT_READ | PROT_WRITE);
}

static void close_memory(gr_device *d)
{
    protect(d, PROT_NONE);
}

static gr_status open_device(gr_device *d, int threads)
{
    return gr_backend_cpu.open(d, threads);
}

static void close_device(gr_device *d)
{
    gr_backend_cpu.close(d);
}

static const gr_kernel *find(const gr_tensor *node)
{
    return gr_backend_cpu.find(node);
}

static bool fuses(const gr_device *d, const gr_tensor *node)
{
    return gr_backend_cpu.fuses(d, node);
}

static void *far_alloc(gr_device *d, size_t size)
{
    block *b = gr_alloc(sizeof *b);
    void *p = b ? gr_alloc_pages(size) : NULL;
    if (!p) {
        gr_free(b);
        return NULL;
    }
    *b = (block){.next = d->own, .p = p, .size = size};
    d->own = b;
    mprotect(p, size, PROT_NONE);
    return p;
}

static void far_free(gr_device *d, void *p, size_t size)
{
    block *b = d->own, *before = NULL;
    for (; b && b->p != p; b = b->next)
        before = b;
    if (!b)
        return; /* NULL: nothing was taken */
    if (before)
        before->next = b->next;
    else
        d->own = b->next;
    mprotect(p, size, PROT_READ | PROT_WRITE);
    gr_free_pages(p, size);
    gr_free(b);
}

static void far_write(gr_device *d, void *to, const void *host, size_t size)
{
    open_memory(d);
    gr_host_write(d, to, host, size);
    close_memory(d);
}

static void far_read(gr_device *d, void *host, const void *from, size_t size)
{
    open_memory(d);
    gr_host_read(d, host, from, size);
    close_memory(d);
}

static void far_fill(gr_device *d, void *to, int byte, size_t size)
{
    open_memory(d);
    gr_host_fill(d, to, byte, size);
    close_memory(d);
}

/* Pages come zeroed, so what lies between a block's end and its last page's end shows who wrote past the end. */
static gr_status check_ends(const gr_device *d)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (const block *b = d->own; b; b = b->next) {
        const unsigned char *bytes = b->p;
        for (size_t i = b->size; i % page; i++)
            if (bytes[i])
                return gr_fail(GR_ERR_NUMBER, "far: a kernel wrote %zu bytes past the end of a block of %zu",
                               i - b->size + 1, b->size);
    }
    return GR_OK;
}

static gr_status far_run(gr_device *d, const gr_step *steps, int n)
{
    open_memory(d);
    gr_status s = gr_backend_cpu.run(d, steps, n);
    if (s == GR_OK)
        s = check_ends(d);
    close_memory(d);
    return s;
}

const gr_backend gr_backend_far = {
    .name = "far",
    .open = open_device,
    .close = close_device,
    .find = find,
    .fuses = fuses,
    .alloc = far_alloc,
    .free = far_free,
    .write = far_write,
    .read = far_read,
    .fill = far_fill,
    .run = far_run,
};
