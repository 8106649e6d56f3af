/* Every block is [.. header][user's bytes], the user's bytes on a 64-byte border so that SIMD code may use aligned
 * access. All of it, pages included, is counted, can be made to fail, and comes from the user's allocator if one is set. */
#include "base/mem.h"

#include "base/error.h"
#include "base/machine.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ALIGN = 64 };
#define HUGE_PAGE ((size_t)2 << 20)
#define LARGE ((size_t)16 << 20) /* from here on it is worth asking the system whether a block fits */

/* Stands right in front of the user's bytes. */
typedef struct block {
    void *base;   /* what the allocator gave */
    size_t total; /* and how much */
    size_t size;  /* what was asked for */
} block;

static gr_allocator user_allocator; /* set before anything else, so plain variables do */
static void *user_data;

static atomic_llong fail_at, live_blocks, live_bytes, peak_bytes, calls;
static atomic_llong page_bytes; /* of live_bytes, what is mapped */

void gr_set_allocator(gr_allocator f, void *user)
{
    user_allocator = f;
    user_data = user;
}

/* ---- counting and refusing ---------------------------------------------------------------------------------- */

static void count_in(size_t size)
{
    atomic_fetch_add(&live_blocks, 1);
    long long live = atomic_fetch_add(&live_bytes, (long long)size) + (long long)size;
    long long peak = atomic_load(&peak_bytes);
    while (live > peak && !atomic_compare_exchange_weak(&peak_bytes, &peak, live))
        ;
}

static void count_out(size_t size)
{
    atomic_fetch_sub(&live_blocks, 1);
    atomic_fetch_sub(&live_bytes, (long long)size);
}

static void *refuse(size_t size)
{
    gr_fail(GR_ERR_MEMORY, "allocating %zu bytes: out of memory\nfree memory, or use a smaller model, batch or context",
            size);
    return NULL;
}

/* Counts an allocation that is about to be made; false when a test wants just this one to fail. */
static bool may_allocate(void)
{
    atomic_fetch_add(&calls, 1);
    return atomic_load(&fail_at) <= 0 || atomic_fetch_sub(&fail_at, 1) != 1;
}

/* The system hands out more than it has and kills who uses it; so what does not fit is refused here. Pages mapped but
 * not touched yet are promised already though the system does not count them. */
static bool fits(size_t size)
{
    size_t have = gr_memory_available();
    size_t promised = (size_t)atomic_load(&page_bytes), resident = gr_memory_resident();
    promised = promised > resident ? promised - resident : 0;
    have = have == SIZE_MAX ? have : have > promised ? have - promised : 0;
    if (size <= have)
        return true;
    gr_fail(GR_ERR_MEMORY,
            "allocating memory: need %zu bytes (%.1f MiB), have %zu (%.1f MiB)\nfree memory, raise the container's "
            "memory limit, or use a smaller model, batch or context",
            size, (double)size / 1048576.0, have, (double)have / 1048576.0);
    return false;
}

gr_status gr_check_memory(size_t size)
{
    return size < LARGE || user_allocator || fits(size) ? GR_OK : GR_ERR_MEMORY;
}

int64_t gr_mem_fail_at(int64_t n)
{
    long long left = atomic_exchange(&fail_at, (long long)n);
    return left > 0 ? left : 0;
}

gr_mem_stats gr_mem_read_stats(void)
{
    return (gr_mem_stats){.live_blocks = atomic_load(&live_blocks),
                          .live_bytes = atomic_load(&live_bytes),
                          .peak_bytes = atomic_load(&peak_bytes),
                          .calls = atomic_load(&calls)};
}

/* ---- blocks ------------------------------------------------------------------------------------------------- */

/* A block whose user's bytes stand on a border of `align` (a power of two, at least ALIGN); NULL and no error when it
 * cannot be had. */
static void *take(size_t size, size_t align)
{
    size_t front = align + (user_allocator ? ALIGN : 0); /* a user's allocator promises no alignment */
    if (size > PTRDIFF_MAX - front)
        return NULL;
    size_t total = size + front;
    void *base = NULL;
    if (user_allocator)
        base = user_allocator(user_data, NULL, 0, total);
    else if (posix_memalign(&base, align, total) != 0)
        base = NULL;
    if (!base)
        return NULL;
    uintptr_t user = ((uintptr_t)base + sizeof(block) + align - 1) & ~(uintptr_t)(align - 1);
    block *b = (block *)user - 1;
    *b = (block){base, total, size};
    return (void *)user;
}

static void give_back(block *b)
{
    if (user_allocator)
        user_allocator(user_data, b->base, b->total, 0);
    else
        free(b->base);
}

void *gr_alloc(size_t size)
{
    if (!may_allocate())
        return refuse(size);
    if (size >= LARGE && !user_allocator && !fits(size))
        return NULL;
    void *p = take(size, ALIGN);
    if (!p)
        return refuse(size);
    count_in(size);
    return p;
}

void *gr_alloc_zero(size_t count, size_t size)
{
    size_t bytes;
    if (!gr_mul_size(count, size, &bytes)) {
        gr_fail(GR_ERR_MEMORY, "allocating %zu times %zu bytes: more than can be addressed\ncheck the sizes asked for",
                count, size);
        return NULL;
    }
    void *p = gr_alloc(bytes);
    return p ? memset(p, 0, bytes) : NULL;
}

void gr_free(const void *p)
{
    if (!p)
        return;
    block *b = (block *)p - 1;
    count_out(b->size);
    give_back(b);
}

gr_status gr_grow(void *p, size_t *cap, size_t need, size_t elem_size)
{
    if (need <= *cap)
        return GR_OK;
    size_t room = *cap > SIZE_MAX / 2 ? need : *cap * 2, bytes;
    room = room < need ? need : room;
    room = room < 8 ? 8 : room;
    if (!gr_mul_size(room, elem_size, &bytes))
        return gr_fail(GR_ERR_MEMORY,
                       "growing an array to %zu times %zu bytes: more than can be addressed\ncheck the "
                       "sizes asked for",
                       room, elem_size);
    void *bigger = gr_alloc(bytes), *old;
    if (!bigger)
        return GR_ERR_MEMORY;
    memcpy(&old, p, sizeof old); /* p points to a pointer of any type */
    if (old && *cap)
        memcpy(bigger, old, *cap * elem_size);
    gr_free(old);
    memcpy(p, &bigger, sizeof bigger);
    *cap = room;
    return GR_OK;
}

/* ---- strings ------------------------------------------------------------------------------------------------ */

char *gr_strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char *copy = gr_alloc(size);
    return copy ? memcpy(copy, s, size) : NULL;
}

bool gr_ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

char *gr_format(void *(*room)(void *of, size_t size), void *of, size_t before, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    char *text = n < 0 ? refuse(0) : room(of, before + (size_t)n + 1);
    if (text)
        vsnprintf(text + before, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

static void *on_heap(void *of, size_t size)
{
    (void)of;
    return gr_alloc(size);
}

char *gr_strfmt(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = gr_format(on_heap, NULL, 0, fmt, args);
    va_end(args);
    return text;
}

/* ---- pages -------------------------------------------------------------------------------------------------- */

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Whole pages, since a device may protect them; 0 when the size is out of range. */
static size_t whole_pages(size_t size)
{
    size_t page = page_size();
    if (size > PTRDIFF_MAX - 2 * HUGE_PAGE)
        return 0;
    return size ? (size + page - 1) / page * page : page;
}

/* Maps more than needed and unmaps what stands over the 2 MiB borders: mmap itself aligns to small pages only. */
static void *map_aligned(size_t size)
{
    uint8_t *base = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    size_t before = (HUGE_PAGE - (uintptr_t)base % HUGE_PAGE) % HUGE_PAGE;
    if (before)
        munmap(base, before);
    if (HUGE_PAGE - before)
        munmap(base + before + size, HUGE_PAGE - before);
#ifdef MADV_HUGEPAGE
    madvise(base + before, size, MADV_HUGEPAGE); /* a wish: where it is not granted, small pages serve too */
#endif
    return base + before;
}

static void *map_pages(size_t size)
{
    if (size >= LARGE && !fits(size))
        return NULL;
    void *p = NULL;
    if (size >= HUGE_PAGE) {
        p = map_aligned(size);
    } else {
        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        p = p == MAP_FAILED ? NULL : p;
    }
    if (!p)
        return refuse(size);
    atomic_fetch_add(&page_bytes, (long long)size);
    return p;
}

void *gr_alloc_pages(size_t size)
{
    size_t bytes = whole_pages(size);
    if (!may_allocate() || bytes == 0)
        return refuse(size);
    void *p;
    if (user_allocator) {
        p = take(bytes, page_size());
        p = p ? memset(p, 0, bytes) : refuse(size);
    } else {
        p = map_pages(bytes);
    }
    if (p)
        count_in(size);
    return p;
}

void gr_free_pages(void *p, size_t size)
{
    if (!p)
        return;
    count_out(size);
    if (user_allocator) {
        give_back((block *)p - 1);
        return;
    }
    size_t bytes = whole_pages(size);
    munmap(p, bytes);
    atomic_fetch_sub(&page_bytes, (long long)bytes);
}

/* ---- sizes -------------------------------------------------------------------------------------------------- */

bool gr_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool gr_add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
