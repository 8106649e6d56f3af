/* Adding to a trie, laying it out, searching it. */
#include "text/vocab/trie.h"
#include "base/error.h"

static gr_trie_edge *find_edge(const gr_trie *t, uint32_t from, unsigned char byte)
{
    uint64_t h = ((uint64_t)from << 8 | byte) * 0x9E3779B97F4A7C15u;
    size_t i = h >> 32 & (t->slots - 1);
    while (t->edge[i].to && (t->edge[i].from != from || t->edge[i].byte != byte))
        i = (i + 1) & (t->slots - 1);
    return &t->edge[i];
}

static gr_status grow_edges(gr_trie *t)
{
    gr_trie old = *t;
    t->slots = old.slots ? old.slots * 2 : 64;
    t->edge = gr_alloc_zero(t->slots, sizeof *t->edge);
    if (!t->edge) {
        t->edge = old.edge;
        t->slots = old.slots;
        return GR_ERR_MEMORY;
    }
    for (size_t i = 0; i < old.slots; i++)
        if (old.edge[i].to)
            *find_edge(t, old.edge[i].from, old.edge[i].byte) = old.edge[i];
    gr_free(old.edge);
    return GR_OK;
}

static gr_status add_node(gr_trie *t)
{
    gr_status s = gr_grow(&t->value, &t->nodes_cap, t->nodes + 1, sizeof *t->value);
    if (s == GR_OK)
        t->value[t->nodes++] = -1;
    return s;
}

/* The child by a byte, made if it is not there. */
static gr_status step(gr_trie *t, uint32_t *node, unsigned char byte)
{
    gr_status s = t->edges * 2 >= t->slots ? grow_edges(t) : GR_OK;
    if (s != GR_OK)
        return s;
    gr_trie_edge *e = find_edge(t, *node, byte);
    if (!e->to) {
        s = add_node(t);
        if (s != GR_OK)
            return s;
        *e = (gr_trie_edge){*node, (uint32_t)t->nodes - 1, byte};
        t->edges++;
    }
    *node = e->to;
    return GR_OK;
}

gr_status gr_trie_add(gr_trie *t, const char *text, size_t size, int32_t value)
{
    uint32_t node = 0;
    gr_status s = t->nodes ? GR_OK : add_node(t);
    if (!size || size > GR_TRIE_LONGEST)
        return size ? gr_fail(GR_ERR_UNSUPPORTED,
                              "a string to search for has %zu bytes, the most is %d\nleave that token out", size,
                              GR_TRIE_LONGEST)
                    : GR_OK;
    for (size_t i = 0; i < size && s == GR_OK; i++)
        s = step(t, &node, (unsigned char)text[i]);
    if (s != GR_OK)
        return s;
    if (t->value[node] < 0)
        t->value[node] = value;
    unsigned char first = (unsigned char)text[0];
    t->lone_start = t->strings++ == 0 || t->lone_start == first ? first : -1;
    t->starts[first] = true;
    return GR_OK;
}

/* Which bytes lead on from each node. */
static void mark_children(const gr_trie *t, gr_trie_node *node)
{
    for (size_t i = 0; i < t->slots; i++)
        if (t->edge[i].to)
            node[t->edge[i].from].children[t->edge[i].byte >> 6] |= (uint64_t)1 << (t->edge[i].byte & 63);
}

/* Numbers the nodes anew, level by level, so that those of one parent follow each other. old: which one each was. */
static void order_nodes(const gr_trie *t, const gr_trie_node *marked, uint32_t *old, gr_trie_node *node)
{
    uint32_t n = 1;
    old[0] = 0;
    for (uint32_t i = 0; i < t->nodes; i++) {
        node[i] = marked[old[i]];
        node[i].first = n;
        node[i].value = t->value[old[i]];
        for (unsigned part = 0; part < 4; part++) {
            node[i].before[part] = (unsigned char)(n - node[i].first);
            for (unsigned bit = 0; node[i].children[part] && bit < 64; bit++)
                if (node[i].children[part] >> bit & 1)
                    old[n++] = find_edge(t, old[i], (unsigned char)(part * 64 + bit))->to;
        }
    }
}

gr_status gr_trie_ready(gr_trie *t)
{
    if (!t->edges)
        return GR_OK;
    gr_trie_node *marked = gr_alloc_zero(t->nodes, sizeof *marked);
    uint32_t *old = gr_alloc_zero(t->nodes, sizeof *old);
    t->node = gr_alloc_zero(t->nodes, sizeof *t->node);
    gr_status s = marked && old && t->node ? GR_OK : GR_ERR_MEMORY;
    if (s == GR_OK) {
        mark_children(t, marked);
        order_nodes(t, marked, old, t->node);
        gr_free(t->edge);
        gr_free(t->value);
        t->edge = NULL;
        t->value = NULL;
    }
    gr_free(marked);
    gr_free(old);
    return s;
}

int32_t gr_trie_longest(const gr_trie *t, const char *p, const char *end, size_t *size)
{
    int32_t found = -1, value;
    uint32_t node = 0;
    for (const char *at = p; (value = gr_trie_next(t, &node, &at, end)) >= 0; found = value)
        *size = (size_t)(at - p);
    return found;
}

const char *gr_trie_search(const gr_trie *t, const char *p, const char *end, int32_t *value, size_t *size)
{
    if (!t->node)
        return NULL;
    for (; p < end; p++) {
        if (t->lone_start >= 0)
            p = memchr(p, t->lone_start, (size_t)(end - p));
        else
            while (p < end && !t->starts[(unsigned char)*p])
                p++;
        if (!p || p == end)
            return NULL;
        *value = gr_trie_longest(t, p, end, size);
        if (*value >= 0)
            return p;
    }
    return NULL;
}

void gr_trie_free(gr_trie *t)
{
    gr_free(t->node);
    gr_free(t->edge);
    gr_free(t->value);
    *t = (gr_trie){0};
}
