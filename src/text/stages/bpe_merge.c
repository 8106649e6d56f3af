/* The merge loop, twice: arrays for short words; for long ones a linked list, and for every rank a queue of places. Ranks
 * are taken from a small heap and places from left to right, so that memory is walked in order and a word of any length
 * takes linear time. */
#include <stdlib.h>
#include "text/stages/bpe.h"
#include "base/error.h"

enum { none = -1 };

static uint32_t rank_of(const gr_bpe *b, int32_t left, int32_t right, uint32_t *id)
{
    const gr_merge *m = gr_bpe_find_merge(b, (uint32_t)left, (uint32_t)right);
    if (!m)
        return UINT32_MAX;
    *id = m->id;
    return m->rank;
}

size_t gr_bpe_merge_short(const gr_bpe *b, int32_t *symbol, size_t n)
{
    uint32_t rank[GR_BPE_SHORT], id[GR_BPE_SHORT]; /* of the pair (i, i + 1) */
    if (n < 2)
        return n;
    for (size_t i = 0; i + 1 < n; i++)
        rank[i] = rank_of(b, symbol[i], symbol[i + 1], &id[i]);
    for (;;) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == UINT32_MAX)
            return n;
        symbol[best] = (int32_t)id[best];
        n--;
        size_t tail = n - best - 1;
        memmove(symbol + best + 1, symbol + best + 2, tail * sizeof *symbol);
        if (n < 2)
            return n;
        if (tail) {
            memmove(rank + best, rank + best + 1, tail * sizeof *rank);
            memmove(id + best, id + best + 1, tail * sizeof *id);
            rank[best] = rank_of(b, symbol[best], symbol[best + 1], &id[best]);
        }
        if (best)
            rank[best - 1] = rank_of(b, symbol[best - 1], symbol[best], &id[best - 1]);
    }
}

typedef struct link {
    uint32_t prev, next;
} link;

/* Where a rank's pair may stand, in rising order from `at` on unless `mixed`. An entry is out of date when its symbols
 * have changed since. */
typedef struct queue {
    uint32_t *place;
    size_t n, cap, at;
    bool mixed, waiting; /* waiting: its rank is on the heap */
} queue;

typedef struct long_word {
    const gr_bpe *bpe;
    gr_token_scratch *scratch;
    queue *queue; /* by rank */
    int32_t *symbol;
    link *link;
    size_t n;
    size_t ranks; /* on the heap, the lowest on top */
} long_word;

static void sift_down(uint32_t *heap, size_t n, size_t i)
{
    uint32_t x = heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n)
            break;
        child += child + 1 < n && heap[child + 1] < heap[child];
        if (x <= heap[child])
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = x;
}

static gr_status push_rank(long_word *w, uint32_t rank)
{
    gr_status s = gr_grow(&w->scratch->heap, &w->scratch->heap_cap, w->ranks + 1, sizeof *w->scratch->heap);
    if (s != GR_OK)
        return s;
    uint32_t *heap = w->scratch->heap;
    size_t i = w->ranks++;
    for (; i && rank < heap[(i - 1) / 2]; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = rank;
    return GR_OK;
}

/* The lowest rank has no places left. */
static void pop_rank(long_word *w)
{
    uint32_t *heap = w->scratch->heap;
    queue *q = &w->queue[heap[0]];
    gr_free(q->place);
    *q = (queue){0};
    heap[0] = heap[--w->ranks];
    if (w->ranks)
        sift_down(heap, w->ranks, 0);
}

/* The pair of two neighbours, if it is one, goes to its rank's queue. */
static gr_status push_pair(long_word *w, size_t left, size_t right)
{
    const gr_merge *m = gr_bpe_find_merge(w->bpe, (uint32_t)w->symbol[left], (uint32_t)w->symbol[right]);
    if (!m)
        return GR_OK;
    queue *q = &w->queue[m->rank];
    gr_status s = q->waiting ? GR_OK : push_rank(w, m->rank);
    if (s != GR_OK)
        return s;
    q->waiting = true;
    s = gr_grow(&q->place, &q->cap, q->n + 1, sizeof *q->place);
    if (s != GR_OK)
        return s;
    q->mixed |= q->n > q->at && q->place[q->n - 1] > left;
    q->place[q->n++] = (uint32_t)left;
    return GR_OK;
}

static int compare_places(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return a < b ? -1 : a > b;
}

/* Merges the pair at a place, if it still stands there. */
static gr_status merge_at(long_word *w, uint32_t rank, size_t left)
{
    size_t right = w->link[left].next;
    if (w->symbol[left] == none || right >= w->n)
        return GR_OK;
    const gr_merge *m = gr_bpe_find_merge(w->bpe, (uint32_t)w->symbol[left], (uint32_t)w->symbol[right]);
    if (!m || m->rank != rank)
        return GR_OK;
    gr_status s = GR_OK;
    w->symbol[left] = (int32_t)m->id;
    w->symbol[right] = none;
    size_t next = w->link[left].next = w->link[right].next;
    if (left)
        s = push_pair(w, w->link[left].prev, left);
    if (s == GR_OK && next < w->n) {
        w->link[next].prev = (uint32_t)left;
        s = push_pair(w, left, next);
    }
    return s;
}

/* Takes places of the lowest rank until there are none, or a lower rank has come up. */
static gr_status merge_lowest(long_word *w)
{
    uint32_t rank = w->scratch->heap[0];
    gr_status s = GR_OK;
    while (s == GR_OK && w->scratch->heap[0] == rank) {
        queue *q = &w->queue[rank];
        if (q->at == q->n) {
            pop_rank(w);
            break;
        }
        if (q->mixed)
            qsort(q->place + q->at, q->n - q->at, sizeof *q->place, compare_places);
        q->mixed = false;
        s = merge_at(w, rank, q->place[q->at++]);
    }
    return s;
}

static gr_status prepare(long_word *w)
{
    gr_token_scratch *s = w->scratch;
    gr_status status = gr_grow(&s->links, &s->links_cap, w->n * sizeof(link), 1);
    if (status == GR_OK && !s->queues)
        s->queues = gr_alloc_zero(w->bpe->added, sizeof(queue));
    if (status != GR_OK || !s->queues)
        return GR_ERR_MEMORY;
    w->link = s->links;
    w->queue = s->queues;
    for (size_t i = 0; i < w->n; i++)
        w->link[i] = (link){(uint32_t)i - 1, (uint32_t)i + 1};
    for (size_t i = 0; i + 1 < w->n && status == GR_OK; i++)
        status = push_pair(w, i, i + 1);
    return status;
}

gr_status gr_bpe_merge_long(const gr_bpe *b, gr_token_scratch *s, int32_t *symbol, size_t *n)
{
    long_word w = {.bpe = b, .scratch = s, .symbol = symbol, .n = *n};
    if (*n >= UINT32_MAX)
        return gr_fail(GR_ERR_UNSUPPORTED, "encode: a word of more than 4 Gi symbols\ncut the text into several");
    gr_status status = prepare(&w);
    while (status == GR_OK && w.ranks)
        status = merge_lowest(&w);
    while (w.ranks)
        pop_rank(&w);
    size_t left = 0;
    for (size_t i = 0; status == GR_OK && i < *n; i++)
        if (symbol[i] != none)
            symbol[left++] = symbol[i];
    *n = left;
    return status;
}
