/* The best way to cut a piece, found by dynamic programming. */
#include <stdio.h>
#include "text/stages/unigram.h"
#include "text/vocab/trie.h"
#include "base/utf8.h"
#include "base/error.h"

typedef struct unigram {
    gr_token_model base;
    gr_trie trie;
    double *score;
    double unk_score; /* of an unknown character: 10 below the worst token */
    int32_t unk;
    bool byte_fallback;
    int32_t fallback[256]; /* token "<0xNN>"; -1: none */
} unigram;

typedef struct node { /* the best way to a place in the piece */
    double score;
    size_t start; /* of its last token; SIZE_MAX: no way yet */
    int32_t id;
} node;

static void offer(node *to, double score, size_t start, int32_t id)
{
    if (to->start == SIZE_MAX || score > to->score)
        *to = (node){score, start, id};
}

/* Viterbi, forwards. */
static gr_status find_paths(const unigram *u, const char *piece, size_t size, node *best)
{
    const char *end = piece + size;
    int n;
    for (size_t i = 0; i <= size; i++)
        best[i] = (node){0, SIZE_MAX, -1};
    for (size_t i = 0; i < size; i += (size_t)n) {
        const char *at = piece + i;
        uint32_t at_node = 0;
        int32_t id;
        bool single = false;
        gr_utf8_read(at, end, &n);
        while ((id = gr_trie_next(&u->trie, &at_node, &at, end)) >= 0) {
            size_t stop = (size_t)(at - piece);
            offer(&best[stop], u->score[id] + best[i].score, i, id);
            single |= stop == i + (size_t)n;
        }
        if (single)
            continue;
        if (u->unk < 0)
            return gr_fail(GR_ERR_ARGUMENT,
                           "encode: '%.*s' is not in the vocabulary, and there is no unknown token\nleave it out of "
                           "the text, or use a tokenizer that knows it (byte knows everything)",
                           n, piece + i);
        offer(&best[i + (size_t)n], u->unk_score + best[i].score, i, u->unk);
    }
    return GR_OK;
}

/* What no token covers: the token it happens to spell, its bytes, or unknown. */
static gr_status add_unknown(const unigram *u, const char *p, size_t size, gr_ids *out)
{
    int32_t id = gr_vocab_find(&u->base.vocab, p, size);
    bool bytes = id < 0 && u->byte_fallback;
    for (size_t i = 0; i < size && bytes; i++)
        bytes = u->fallback[(unsigned char)p[i]] >= 0;
    if (!bytes)
        return gr_ids_add(out, id >= 0 ? id : u->unk);
    gr_status s = GR_OK;
    for (size_t i = 0; i < size && s == GR_OK; i++)
        s = gr_ids_add(out, u->fallback[(unsigned char)p[i]]);
    return s;
}

/* The chain of tokens leads backwards: it is turned around, so that best[i].start is where the token from i stops, and
 * best[stop].id still its id. Runs of unknown are one. */
static gr_status collect(const unigram *u, const char *piece, size_t size, node *best, gr_ids *out)
{
    gr_status s = GR_OK;
    for (size_t stop = size, next = SIZE_MAX; next != 0;) {
        size_t start = best[stop].start;
        best[stop].start = next;
        next = stop;
        stop = start;
    }
    for (size_t i = 0; i < size && s == GR_OK;) {
        size_t stop = best[i].start;
        int32_t id = best[stop].id;
        while (id == u->unk && stop < size && best[best[stop].start].id == u->unk)
            stop = best[stop].start;
        s = id == u->unk ? add_unknown(u, piece + i, stop - i, out) : gr_ids_add(out, id);
        i = stop;
    }
    return s;
}

static gr_status cut(const gr_token_model *self, gr_token_scratch *s, const char *piece, size_t size, gr_ids *out)
{
    const unigram *u = (const unigram *)self;
    size_t need;
    if (!gr_add_size(size, 1, &need))
        return GR_ERR_MEMORY;
    gr_status status = gr_grow(&s->links, &s->links_cap, need * sizeof(node), 1);
    if (status == GR_OK)
        status = find_paths(u, piece, size, s->links);
    return status == GR_OK ? collect(u, piece, size, s->links, out) : status;
}

static gr_status encode(const gr_token_model *self, gr_token_scratch *s, const char *piece, size_t size, gr_ids *out)
{
    return gr_encode_seen(self, s, piece, size, out, cut);
}

static void unigram_free(gr_token_model *self)
{
    unigram *u = (unigram *)self;
    gr_vocab_free(&u->base.vocab);
    gr_trie_free(&u->trie);
    gr_free(u->score);
    gr_free(u);
}

static gr_status prepare(unigram *u)
{
    gr_status s = GR_OK;
    double least = 0;
    bool any = false;
    for (size_t id = 0; id < u->base.vocab.rows && s == GR_OK; id++) {
        size_t size;
        const char *text = gr_vocab_text(&u->base.vocab, (int64_t)id, &size);
        if (!text)
            continue;
        if (gr_vocab_find(&u->base.vocab, text, size) == (int32_t)id) /* of equal ones the last counts */
            s = gr_trie_add(&u->trie, text, size, (int32_t)id);
        least = !any || u->score[id] < least ? u->score[id] : least;
        any = true;
    }
    if (s == GR_OK)
        s = gr_trie_ready(&u->trie);
    u->unk_score = least - 10;
    for (int i = 0; i < 256; i++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)i);
        u->fallback[i] = gr_vocab_find(&u->base.vocab, name, 6);
    }
    return s;
}

gr_token_model *gr_unigram_new(gr_vocab *vocab, double *score, int32_t unk, bool byte_fallback)
{
    unigram *u = gr_alloc_zero(1, sizeof *u);
    if (!u) {
        gr_vocab_free(vocab);
        gr_free(score);
        return NULL;
    }
    u->base.encode = encode;
    u->base.free = unigram_free;
    u->base.vocab = *vocab;
    *vocab = (gr_vocab){0};
    u->score = score;
    u->unk = unk;
    u->byte_fallback = byte_fallback;
    if (prepare(u) != GR_OK) {
        unigram_free(&u->base);
        return NULL;
    }
    return &u->base;
}
