/* A set of byte strings, searched for those that start at a place. They are added first; gr_trie_ready ends that, and what
 * is searched lies close together in memory. */
#ifndef GR_TEXT_TRIE_H
#define GR_TEXT_TRIE_H

#include "base/buffer.h"

enum { GR_TRIE_LONGEST = 1024 }; /* bytes of a string; the search takes at most this much a place */

typedef struct gr_trie_edge {
    uint32_t from, to; /* nodes; to 0: empty slot (nothing leads to the root) */
    unsigned char byte;
} gr_trie_edge;

typedef struct gr_trie_node {
    uint64_t children[4];    /* a bit for every byte that leads to one */
    uint32_t first;          /* the child by the lowest byte; the others follow it */
    int32_t value;           /* -1: no string ends here */
    unsigned char before[4]; /* children by bytes below 0, 64, 128, 192 */
} gr_trie_node;

typedef struct gr_trie {
    gr_trie_node *node; /* 0 is the root; NULL before gr_trie_ready, and where there are no strings */
    gr_trie_edge *edge; /* while strings are added: open addressing */
    size_t edges, slots;
    int32_t *value; /* by node, while strings are added */
    size_t nodes, nodes_cap, strings;
    bool starts[256]; /* some string starts with this byte */
    int lone_start;   /* the one byte that all start with, or -1 */
} gr_trie;

/* value >= 0. Of equal strings the first one's value stays. */
gr_status gr_trie_add(gr_trie *t, const char *text, size_t size, int32_t value);
/* After the last string; none can be added then. */
gr_status gr_trie_ready(gr_trie *t);
/* The value of the longest string at p and its size, or -1. */
int32_t gr_trie_longest(const gr_trie *t, const char *p, const char *end, size_t *size);
/* The first place from p on where a string stands (then *value and *size are set), or NULL. */
const char *gr_trie_search(const gr_trie *t, const char *p, const char *end, int32_t *value, size_t *size);
void gr_trie_free(gr_trie *t);

static inline unsigned gr_count_bits(uint64_t x)
{
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    return (unsigned)(((x + (x >> 4)) & 0x0F0F0F0F0F0F0F0Fu) * 0x0101010101010101u >> 56);
}

/* All strings at p, the shortest first: start with *node = 0 and *at = p; -1: no more. *at is then behind the string. */
static inline int32_t gr_trie_next(const gr_trie *t, uint32_t *node, const char **at, const char *end)
{
    while (t->node && *at < end) {
        const gr_trie_node *n = &t->node[*node];
        unsigned byte = (unsigned char)*(*at)++, part = byte >> 6;
        uint64_t bit = (uint64_t)1 << (byte & 63), below = n->children[part] & (bit - 1);
        if (!(n->children[part] & bit))
            break;
        *node = n->first + n->before[part] + (below ? gr_count_bits(below) : 0);
        if (t->node[*node].value >= 0)
            return t->node[*node].value;
    }
    return -1;
}

#endif
