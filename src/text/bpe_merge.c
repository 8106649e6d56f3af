/* The merge loop, twice: arrays for short words, a heap over a linked list for long ones (n log n for any input). */
#include "text/bpe.h"
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

typedef struct heap { /* of rank << 32 | position: the lowest rank, and of equal ranks the leftmost, is on top */
    uint64_t *at;
    size_t n, cap;
} heap;

static void sift_down(heap *h, size_t i)
{
    uint64_t x = h->at[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->n)
            break;
        child += child + 1 < h->n && h->at[child + 1] < h->at[child];
        if (x <= h->at[child])
            break;
        h->at[i] = h->at[child];
        i = child;
    }
    h->at[i] = x;
}

static uint64_t pop(heap *h)
{
    uint64_t top = h->at[0];
    h->at[0] = h->at[--h->n];
    if (h->n)
        sift_down(h, 0);
    return top;
}

static gr_status push(heap *h, uint64_t x)
{
    gr_status status = gr_grow(&h->at, &h->cap, h->n + 1, sizeof *h->at);
    if (status)
        return status;
    size_t i = h->n++;
    for (; i && x < h->at[(i - 1) / 2]; i = (i - 1) / 2)
        h->at[i] = h->at[(i - 1) / 2];
    h->at[i] = x;
    return GR_OK;
}

static gr_status push_pair(const gr_bpe *b, heap *h, const int32_t *symbol, size_t left, size_t right)
{
    const gr_merge *m = gr_bpe_find_merge(b, (uint32_t)symbol[left], (uint32_t)symbol[right]);
    return m ? push(h, (uint64_t)m->rank << 32 | left) : GR_OK;
}

/* Fills the heap with all pairs at once, which takes linear time. */
static gr_status first_pairs(const gr_bpe *b, heap *h, const int32_t *symbol, link *at, size_t n)
{
    h->n = 0;
    for (size_t i = 0; i < n; i++) {
        at[i] = (link){(uint32_t)i - 1, (uint32_t)i + 1};
        const gr_merge *m = i + 1 < n ? gr_bpe_find_merge(b, (uint32_t)symbol[i], (uint32_t)symbol[i + 1]) : NULL;
        if (!m)
            continue;
        gr_status status = gr_grow(&h->at, &h->cap, h->n + 1, sizeof *h->at);
        if (status)
            return status;
        h->at[h->n++] = (uint64_t)m->rank << 32 | i;
    }
    for (size_t i = h->n / 2; i-- > 0;)
        sift_down(h, i);
    return GR_OK;
}

/* Takes the top of the heap; an entry whose symbols have changed since is dropped. */
static gr_status merge_top(const gr_bpe *b, heap *h, int32_t *symbol, link *at, size_t n)
{
    uint64_t top = pop(h);
    size_t left = (uint32_t)top, right = at[left].next;
    if (symbol[left] == none || right >= n)
        return GR_OK;
    const gr_merge *m = gr_bpe_find_merge(b, (uint32_t)symbol[left], (uint32_t)symbol[right]);
    if (!m || m->rank != top >> 32)
        return GR_OK;
    gr_status status = GR_OK;
    symbol[left] = (int32_t)m->id;
    symbol[right] = none;
    at[left].next = at[right].next;
    if (at[left].next < n) {
        at[at[left].next].prev = (uint32_t)left;
        status = push_pair(b, h, symbol, left, at[left].next);
    }
    if (!status && left)
        status = push_pair(b, h, symbol, at[left].prev, left);
    return status;
}

gr_status gr_bpe_merge_long(const gr_bpe *b, gr_token_scratch *s, int32_t *symbol, size_t *n)
{
    if (*n >= UINT32_MAX)
        return gr_fail(GR_ERR_UNSUPPORTED, "encode: a word of more than 4 Gi symbols");
    gr_status status = gr_grow(&s->links, &s->links_cap, *n, sizeof(link));
    heap h = {s->heap, 0, s->heap_cap};
    link *at = s->links;
    if (!status)
        status = first_pairs(b, &h, symbol, at, *n);
    while (!status && h.n)
        status = merge_top(b, &h, symbol, at, *n);
    s->heap = h.at;
    s->heap_cap = h.cap;
    size_t left = 0;
    for (size_t i = 0; !status && i < *n; i++)
        if (symbol[i] != none)
            symbol[left++] = symbol[i];
    *n = left;
    return status;
}
