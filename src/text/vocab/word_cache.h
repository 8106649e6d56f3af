/* Words seen before and their ids: a fixed table of two-way sets, so that memory does not grow with the text. */
#ifndef GR_TEXT_WORD_CACHE_H
#define GR_TEXT_WORD_CACHE_H

#include "base/buffer.h"

enum { GR_CACHE_WORD = 15, GR_CACHE_IDS = 4, GR_CACHE_SETS = 1 << 14 };

typedef struct gr_word_key { /* the word's bytes, zeros, and its length in the last byte */
    uint64_t a, b;
} gr_word_key;

typedef struct gr_cached_word {
    gr_word_key key;          /* all zero: empty */
    int32_t id[GR_CACHE_IDS]; /* -1 behind the last */
} gr_cached_word;

typedef struct gr_word_cache {
    gr_cached_word set[GR_CACHE_SETS][2];
} gr_word_cache;

static inline gr_word_cache *gr_word_cache_new(void)
{
    return gr_alloc_zero(1, sizeof(gr_word_cache));
}

/* size is 1 to GR_CACHE_WORD. */
static inline gr_word_key gr_word_key_of(const char *p, size_t size)
{
    unsigned char bytes[16] = {0};
    gr_word_key key;
    memcpy(bytes, p, size);
    bytes[15] = (unsigned char)size;
    memcpy(&key, bytes, sizeof key);
    return key;
}

static inline size_t gr_word_set(gr_word_key k)
{
    uint64_t h = (k.a * 0x9E3779B97F4A7C15u ^ k.b) * 0xD6E8FEB86659FD93u;
    return (h >> 32 ^ h >> 50) & (GR_CACHE_SETS - 1);
}

static inline const gr_cached_word *gr_word_find(const gr_word_cache *c, gr_word_key k)
{
    const gr_cached_word *w = c->set[gr_word_set(k)];
    if (w[0].key.a == k.a && w[0].key.b == k.b)
        return w;
    return w[1].key.a == k.a && w[1].key.b == k.b ? w + 1 : NULL;
}

/* n is at most GR_CACHE_IDS. The newer word of a set pushes out the older one. */
static inline void gr_word_put(gr_word_cache *c, gr_word_key k, const int32_t *id, size_t n)
{
    gr_cached_word *w = c->set[gr_word_set(k)];
    w[1] = w[0];
    w[0].key = k;
    for (size_t i = 0; i < GR_CACHE_IDS; i++)
        w[0].id[i] = i < n ? id[i] : -1;
}

#endif
