/* First fit in slabs. Taking and freeing happens when programs are made and ended, never while they run. */
#include "backend/gpu/pool.h"

#include "base/mem.h"

#include <string.h>

enum { SLAB = 4 << 20, FIRST = 1 << 20 }; /* a slab for small places; the first address */

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t rounded(size_t size)
{
    return gr_round_up(size ? size : 1, GR_ALLOC_ALIGN);
}

void gr_gpu_pool_open(gr_gpu_pool *p, const gr_gpu_driver *driver, void *device, size_t largest)
{
    largest -= largest % GR_ALLOC_ALIGN;
    *p = (gr_gpu_pool){.driver = driver, .device = device, .largest = largest, .next = FIRST};
}

/* ---- slabs -------------------------------------------------------------------------------------------------- */

static void release(gr_gpu_pool *p, size_t i)
{
    p->driver->block_free(p->device, p->slabs[i].block);
    gr_free(p->slabs[i].holes);
    p->n--;
    memmove(p->slabs + i, p->slabs + i + 1, (p->n - i) * sizeof *p->slabs);
}

void gr_gpu_pool_close(gr_gpu_pool *p)
{
    while (p->n)
        release(p, p->n - 1);
    gr_free(p->slabs);
    p->slabs = NULL;
    p->capacity = 0;
}

static bool is_empty(const gr_gpu_slab *s)
{
    return s->n == 1 && s->holes[0].size == s->size;
}

static gr_status take_slab(gr_gpu_pool *p, size_t size)
{
    gr_status s = gr_grow(&p->slabs, &p->capacity, p->n + 1, sizeof *p->slabs);
    gr_gpu_slab slab = {.base = p->next, .size = size, .n = 1};
    if (s == GR_OK)
        s = gr_grow(&slab.holes, &slab.capacity, 2, sizeof *slab.holes);
    if (s == GR_OK)
        s = p->driver->block_new(p->device, size, &slab.block);
    if (s != GR_OK) {
        gr_free(slab.holes);
        return s;
    }
    slab.holes[0] = (gr_gpu_hole){0, size};
    p->slabs[p->n++] = slab;
    p->next += size;
    p->blocks++;
    return GR_OK;
}

/* The driver would find out, too, or hand out what is not there and kill who uses it. */
static gr_status check_room(const gr_gpu_pool *p, size_t size)
{
    size_t have;
    gr_status s = p->driver->memory(p->device, &have);
    if (s != GR_OK || size <= have)
        return s;
    return gr_fail(
        GR_ERR_MEMORY,
        "allocating memory: need %zu bytes (%.1f MiB), have %zu (%.1f MiB)\nfree memory on the device, or use "
        "a smaller model, batch or context",
        size, (double)size / 1048576.0, have, (double)have / 1048576.0);
}

/* Slabs of `size` bytes together, one behind the other; nothing when it fails. Their addresses touch no other's, so that no
 * place can seem to go over a border. */
static gr_status take(gr_gpu_pool *p, size_t size)
{
    size_t before = p->n;
    gr_status s = check_room(p, size);
    p->next += GR_ALLOC_ALIGN;
    while (s == GR_OK && size) {
        size_t part = min_size(size, p->largest);
        s = take_slab(p, part);
        size -= part;
    }
    while (s != GR_OK && p->n > before)
        release(p, p->n - 1);
    return s;
}

gr_status gr_gpu_pool_reserve(gr_gpu_pool *p, size_t size)
{
    size_t have = 0;
    for (size_t i = p->n; !size && i > 0; i--)
        if (is_empty(&p->slabs[i - 1]))
            release(p, i - 1);
    if (!size)
        return GR_OK;
    size = rounded(size);
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < p->slabs[i].n; k++)
            have += p->slabs[i].holes[k].size;
    return size > have ? take(p, size - have) : GR_OK;
}

/* ---- places ------------------------------------------------------------------------------------------------- */

/* Takes the beginning of hole k, or all of it. There is room for as many holes as freeing could ever make. */
static uint64_t take_hole(gr_gpu_slab *s, size_t k, size_t size)
{
    if (gr_grow(&s->holes, &s->capacity, s->places + 2, sizeof *s->holes) != GR_OK)
        return 0;
    gr_gpu_hole *h = &s->holes[k];
    uint64_t address = s->base + h->offset;
    s->places++;
    h->offset += size;
    h->size -= size;
    if (h->size == 0) {
        s->n--;
        memmove(h, h + 1, (s->n - k) * sizeof *h);
    }
    return address;
}

/* The first hole of that size: number k of slab i. */
static bool find_hole(const gr_gpu_pool *p, size_t size, size_t *i, size_t *k)
{
    for (*i = 0; *i < p->n; ++*i)
        for (*k = 0; *k < p->slabs[*i].n; ++*k)
            if (p->slabs[*i].holes[*k].size >= size)
                return true;
    return false;
}

/* The first of slabs that lie one behind the other and together serve `size` bytes, more than one can: p->n when there
 * are none. */
static size_t find_run(const gr_gpu_pool *p, size_t size)
{
    for (size_t i = 0; i < p->n; i++) {
        size_t got = 0;
        for (size_t k = i; k < p->n && got < size; k++) {
            const gr_gpu_slab *s = &p->slabs[k];
            size_t part = min_size(size - got, p->largest);
            if (s->base != p->slabs[i].base + got || s->n == 0 || s->holes[0].offset != 0 || s->holes[0].size < part)
                break;
            got += part;
            if (got < size && s->size != p->largest)
                break;
        }
        if (got >= size)
            return i;
    }
    return p->n;
}

static uint64_t alloc_run(gr_gpu_pool *p, size_t size)
{
    size_t i = find_run(p, size);
    if (i == p->n && take(p, size) != GR_OK)
        return 0;
    i = find_run(p, size);
    uint64_t address = p->slabs[i].base;
    for (size_t at = 0, part; at < size; at += part) {
        part = min_size(size - at, p->largest);
        if (!take_hole(&p->slabs[i++], 0, part)) {
            gr_gpu_pool_free(p, address, at);
            return 0;
        }
    }
    return address;
}

uint64_t gr_gpu_pool_alloc(gr_gpu_pool *p, size_t size)
{
    size_t i, k;
    size = rounded(size);
    if (size > p->largest)
        return alloc_run(p, size);
    bool found = find_hole(p, size, &i, &k);
    if (!found && take(p, size < SLAB ? min_size(SLAB, p->largest) : size) == GR_OK)
        found = find_hole(p, size, &i, &k);
    return found ? take_hole(&p->slabs[i], k, size) : 0;
}

/* The slab that holds an address; p->n: none. */
static size_t slab_of(const gr_gpu_pool *p, uint64_t address)
{
    size_t low = 0, high = p->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (p->slabs[middle].base + p->slabs[middle].size <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < p->n && p->slabs[low].base <= address ? low : p->n;
}

/* Joins it with the holes beside it; the list has room. */
static void give_hole(gr_gpu_slab *s, gr_gpu_hole h)
{
    size_t k = 0;
    while (k < s->n && s->holes[k].offset < h.offset)
        k++;
    bool joins_before = k > 0 && s->holes[k - 1].offset + s->holes[k - 1].size == h.offset;
    bool joins_behind = k < s->n && h.offset + h.size == s->holes[k].offset;
    if (joins_behind) {
        s->holes[k].offset -= h.size;
        s->holes[k].size += h.size;
    }
    if (joins_before)
        s->holes[k - 1].size += joins_behind ? s->holes[k].size : h.size;
    if (joins_before && joins_behind) {
        s->n--;
        memmove(s->holes + k, s->holes + k + 1, (s->n - k) * sizeof h);
    }
    s->places--;
    if (joins_before || joins_behind)
        return;
    memmove(s->holes + k + 1, s->holes + k, (s->n - k) * sizeof h);
    s->holes[k] = h;
    s->n++;
}

void gr_gpu_pool_free(gr_gpu_pool *p, uint64_t address, size_t size)
{
    size = address ? rounded(size) : 0;
    while (size) {
        size_t i = slab_of(p, address);
        if (i == p->n)
            return;
        gr_gpu_slab *s = &p->slabs[i];
        size_t offset = (size_t)(address - s->base), part = min_size(size, s->size - offset);
        give_hole(s, (gr_gpu_hole){offset, part});
        if (is_empty(s))
            release(p, i);
        address += part;
        size -= part;
    }
}

gr_status gr_gpu_pool_find(const gr_gpu_pool *p, uint64_t address, void **block, size_t *offset, size_t *left)
{
    size_t i = slab_of(p, address);
    if (i == p->n)
        return gr_fail(GR_ERR_ARGUMENT, "device memory: there is nothing at address %llu", (unsigned long long)address);
    const gr_gpu_slab *s = &p->slabs[i];
    *block = s->block;
    *offset = (size_t)(address - s->base);
    *left = s->size - *offset;
    return GR_OK;
}

gr_status gr_gpu_pool_left(const gr_gpu_pool *p, size_t *left)
{
    *left = 0;
    gr_status s = p->driver->memory(p->device, left);
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < p->slabs[i].n; k++)
            *left += p->slabs[i].holes[k].size;
    return s;
}
