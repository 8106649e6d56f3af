/* A set of byte strings, searched for the longest one that starts at a place. */
#ifndef GR_TEXT_TRIE_H
#define GR_TEXT_TRIE_H

#include "text/unicode/buffer.h"

enum { GR_TRIE_LONGEST = 1024 }; /* bytes of a string; the search takes at most this much a place */

typedef struct gr_trie_edge {
    uint32_t from, to; /* nodes; to 0: empty slot (nothing leads to the root) */
    unsigned char byte;
} gr_trie_edge;

typedef struct gr_trie {
    gr_trie_edge *edge; /* open addressing */
    size_t edges, slots;
    int32_t *value; /* by node; -1: no string ends here */
    size_t nodes, nodes_cap, strings;
    bool starts[256]; /* some string starts with this byte */
    int lone_start;   /* the one byte that all start with, or -1 */
} gr_trie;

/* value >= 0. Of equal strings the first one's value stays. */
gr_status gr_trie_add(gr_trie *t, const char *text, size_t size, int32_t value);
/* The value of the longest string at p and its size, or -1. */
int32_t gr_trie_longest(const gr_trie *t, const char *p, const char *end, size_t *size);
/* The first place from p on where a string stands (then *value and *size are set), or NULL. */
const char *gr_trie_search(const gr_trie *t, const char *p, const char *end, int32_t *value, size_t *size);
/* All strings at p, the shortest first: start with *node = 0 and *at = p; -1: no more. *at is then behind the string. */
int32_t gr_trie_next(const gr_trie *t, uint32_t *node, const char **at, const char *end);
void gr_trie_free(gr_trie *t);

#endif
