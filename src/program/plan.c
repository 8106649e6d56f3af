/* Placing buffers: largest first, each at the lowest offset that is free for all of its life (the greedy-by-size rule of
 * Pisarchyk & Lee 2020, "Efficient memory management for deep neural net inference"). */
#include "program/plan.h"

#include "base/mem.h"

#include <stdlib.h>

static size_t aligned(size_t size)
{
    return gr_round_up(size, GR_ADDRESS_ALIGN);
}

static int larger_first(const void *pa, const void *pb)
{
    const gr_buffer *a = *(gr_buffer *const *)pa, *b = *(gr_buffer *const *)pb;
    if (a->size != b->size)
        return a->size > b->size ? -1 : 1;
    return a < b ? -1 : a > b; /* a fixed order, so that plans are the same everywhere */
}

/* The first offset from `at` on where so many bytes lie in one block. */
static size_t in_one_block(size_t at, size_t size, size_t largest)
{
    size_t left = largest - at % largest;
    return size <= left ? at : at + left;
}

/* The lowest offset at which b meets none of the n placed buffers, which are sorted by offset. */
static size_t lowest_gap(const gr_buffer *b, gr_buffer *const *placed, int n, size_t largest)
{
    size_t at = 0, size = aligned(b->size);
    for (int i = 0; i < n; i++) {
        const gr_buffer *p = placed[i];
        if (p->last < b->first || p->first > b->last)
            continue;
        if (p->offset >= at + size)
            break;
        if (p->offset + aligned(p->size) > at)
            at = in_one_block(p->offset + aligned(p->size), size, largest);
    }
    return at;
}

static void insert_by_offset(gr_buffer **placed, int n, gr_buffer *b)
{
    int at = n;
    for (; at > 0 && placed[at - 1]->offset > b->offset; at--)
        placed[at] = placed[at - 1];
    placed[at] = b;
}

/* What is alive at the fullest step, by kind. */
static gr_status measure_peak(const gr_buffer *buffers, int n, int n_steps, size_t peak[GR_KIND_COUNT])
{
    size_t(*alive)[GR_KIND_COUNT] = gr_alloc_zero((size_t)n_steps + 1, sizeof *alive);
    if (!alive)
        return GR_ERR_MEMORY;
    size_t most = 0;
    for (int i = 0; i < n; i++)
        for (int t = buffers[i].first; t <= buffers[i].last; t++)
            alive[t][buffers[i].kind] += aligned(buffers[i].size);
    for (int t = 0; t <= n_steps; t++) {
        size_t sum = 0;
        for (int k = 0; k < GR_KIND_COUNT; k++)
            sum += alive[t][k];
        for (int k = 0; sum > most && k < GR_KIND_COUNT; k++)
            peak[k] = alive[t][k];
        most = sum > most ? sum : most;
    }
    gr_free(alive);
    return GR_OK;
}

gr_status gr_plan_buffers(gr_buffer *buffers, int n, int n_steps, size_t largest, size_t *arena,
                          size_t peak[GR_KIND_COUNT])
{
    gr_buffer **order = gr_alloc(2 * (size_t)n * sizeof *order);
    if (!order)
        return GR_ERR_MEMORY;
    gr_buffer **placed = order + n;
    for (int i = 0; i < n; i++)
        order[i] = &buffers[i];
    qsort(order, (size_t)n, sizeof *order, larger_first);
    *arena = 0;
    for (int i = 0; i < n; i++) {
        order[i]->offset = lowest_gap(order[i], placed, i, largest);
        insert_by_offset(placed, i, order[i]);
        size_t end = order[i]->offset + aligned(order[i]->size);
        *arena = end > *arena ? end : *arena;
    }
    gr_free(order);
    for (int k = 0; k < GR_KIND_COUNT; k++)
        peak[k] = 0;
    gr_status s = measure_peak(buffers, n, n_steps, peak);
    peak[GR_KIND_SCRATCH] += *arena - (peak[GR_KIND_ACTIVATION] + peak[GR_KIND_GRADIENT] + peak[GR_KIND_SCRATCH]);
    return s;
}
