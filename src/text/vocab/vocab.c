/* A hash table over one pool of bytes. */
#include "text/vocab/vocab.h"
#include "base/error.h"

/* Multiply and fold, eight bytes at a time; the length goes in so that trailing zero bytes count. */
static uint64_t fold(uint64_t a, uint64_t b)
{
    uint64_t x = (a ^ 0x9E3779B97F4A7C15u) * (b | 1);
    return x ^ x >> 32;
}

uint64_t gr_hash_bytes(const void *data, size_t size)
{
    const unsigned char *p = data;
    uint64_t h = size * 0xD6E8FEB86659FD93u, word;
    for (; size >= 8; size -= 8, p += 8) {
        memcpy(&word, p, 8);
        h = fold(h ^ word, 0xA0761D6478BD642Fu);
    }
    word = 0;
    if (size)
        memcpy(&word, p, size);
    return fold(h ^ word, 0xE7037ED1A0B428DBu);
}

/* The id in a slot, or -1. */
static inline int32_t id_in(uint64_t slot)
{
    return (int32_t)(uint32_t)slot - 1;
}

static inline uint64_t tag_of(uint64_t hash)
{
    return hash >> 32 << 32;
}

/* The slot that holds the string, or the empty one where it belongs. */
static size_t find_slot(const gr_vocab *v, const char *text, size_t size, uint64_t hash)
{
    size_t i = hash & (v->slots - 1);
    for (uint64_t slot; (slot = v->slot[i]); i = (i + 1) & (v->slots - 1)) {
        if (tag_of(slot) != tag_of(hash))
            continue;
        const gr_vocab_entry *e = &v->entry[id_in(slot)];
        if (e->size == size && memcmp(v->pool.data + e->offset, text, size) == 0)
            break;
    }
    return i;
}

static gr_status set_slots(gr_vocab *v, size_t slots)
{
    uint64_t *slot = gr_alloc_zero(slots, sizeof *slot);
    if (!slot)
        return GR_ERR_MEMORY;
    gr_free(v->slot);
    v->slot = slot;
    v->slots = slots;
    for (size_t id = 0; id < v->rows; id++) {
        const gr_vocab_entry *e = &v->entry[id];
        if (e->size == UINT32_MAX)
            continue;
        uint64_t hash = gr_hash_bytes(v->pool.data + e->offset, e->size);
        v->slot[find_slot(v, v->pool.data + e->offset, e->size, hash)] = tag_of(hash) | (id + 1);
    }
    return GR_OK;
}

gr_status gr_vocab_reserve(gr_vocab *v, size_t tokens, size_t bytes)
{
    size_t slots = 256;
    while (slots < 2 * tokens)
        slots *= 2;
    gr_status s = slots > v->slots ? set_slots(v, slots) : GR_OK;
    if (s == GR_OK)
        s = gr_grow(&v->entry, &v->rows_cap, tokens, sizeof *v->entry);
    return s == GR_OK ? gr_bytes_reserve(&v->pool, bytes) : s;
}

static gr_status grow_rows(gr_vocab *v, uint32_t id)
{
    gr_status s = gr_grow(&v->entry, &v->rows_cap, (size_t)id + 1, sizeof *v->entry);
    for (; s == GR_OK && v->rows <= id; v->rows++)
        v->entry[v->rows] = (gr_vocab_entry){0, UINT32_MAX};
    return s;
}

static gr_status add(gr_vocab *v, const char *text, size_t size, uint32_t id, bool again)
{
    gr_status s = GR_OK;
    /* The table by id may be larger than the tokens justify by a constant only: an id alone must not take memory. */
    if (id > 4 * v->count + (1u << 20))
        return gr_fail(GR_ERR_FILE, "vocabulary: id %u is out of range after %zu tokens", id, v->count);
    if (v->pool.size + size >= UINT32_MAX)
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "vocabulary: more than 4 GiB of token text\ncheck that this is the right file");
    if (id < v->rows && v->entry[id].size != UINT32_MAX)
        return gr_fail(GR_ERR_FILE, "vocabulary: id %u is given to two tokens", id);
    if (v->count * 2 >= v->slots) /* at most half of it is ever full */
        s = set_slots(v, v->slots ? v->slots * 2 : 256);
    uint64_t hash = gr_hash_bytes(text, size);
    size_t slot = s != GR_OK ? 0 : find_slot(v, text, size, hash);
    bool is_there = s == GR_OK && v->slot[slot];
    v->repeats |= is_there;
    if (is_there && !again)
        return gr_fail(GR_ERR_FILE, "vocabulary: the token of id %u is there already", id);
    if (s == GR_OK)
        s = grow_rows(v, id);
    uint32_t offset = (uint32_t)v->pool.size;
    if (s == GR_OK)
        s = gr_bytes_reserve(&v->pool, size + 1); /* so that even the pool of an empty token is there */
    if (s == GR_OK)
        s = gr_bytes_add(&v->pool, text, size);
    if (s != GR_OK)
        return s;
    v->slot[slot] = tag_of(hash) | (id + 1);
    v->entry[id] = (gr_vocab_entry){offset, (uint32_t)size};
    v->count++;
    return GR_OK;
}

gr_status gr_vocab_add(gr_vocab *v, const char *text, size_t size, uint32_t id)
{
    return add(v, text, size, id, false);
}

gr_status gr_vocab_add_again(gr_vocab *v, const char *text, size_t size, uint32_t id)
{
    return add(v, text, size, id, true);
}

int32_t gr_vocab_find(const gr_vocab *v, const char *text, size_t size)
{
    return v->slots ? id_in(v->slot[find_slot(v, text, size, gr_hash_bytes(text, size))]) : -1;
}

const char *gr_vocab_text(const gr_vocab *v, int64_t id, size_t *size)
{
    if (id < 0 || (uint64_t)id >= v->rows || v->entry[id].size == UINT32_MAX)
        return NULL;
    *size = v->entry[id].size;
    return v->pool.data + v->entry[id].offset;
}

void gr_vocab_free(gr_vocab *v)
{
    gr_bytes_free(&v->pool);
    gr_free(v->entry);
    gr_free(v->slot);
    *v = (gr_vocab){0};
}
