/* The longest token first, piece by piece. */
#include "text/stages/word_piece.h"
#include "base/utf8.h"
#include "text/vocab/trie.h"
#include "base/error.h"

typedef struct word_piece {
    gr_token_model base;
    gr_trie first, next; /* tokens; those with the prefix, without it */
    size_t longest;      /* characters of a piece */
    int32_t unk;
} word_piece;

static bool is_too_long(const word_piece *w, const char *piece, size_t size)
{
    size_t count = 0;
    if (size <= w->longest)
        return false;
    for (const char *p = piece, *end = piece + size; p < end && count <= w->longest; count++) {
        int n;
        gr_utf8_read(p, end, &n);
        p += n;
    }
    return count > w->longest;
}

static gr_status add_unknown(const word_piece *w, const char *piece, size_t size, gr_ids *out)
{
    if (w->unk < 0)
        return gr_fail(GR_ERR_ARGUMENT,
                       "encode: '%.*s' is not in the vocabulary, and there is no unknown token\nleave it out of the "
                       "text, or use a tokenizer that knows it (byte knows everything)",
                       size > 80 ? 80 : (int)size, piece);
    return gr_ids_add(out, w->unk);
}

static gr_status cut(const gr_token_model *self, gr_token_scratch *s, const char *piece, size_t size, gr_ids *out)
{
    const word_piece *w = (const word_piece *)self;
    size_t first = out->size;
    gr_status status = GR_OK;
    (void)s;
    if (is_too_long(w, piece, size))
        return add_unknown(w, piece, size, out);
    for (const char *p = piece, *end = piece + size; p < end && status == GR_OK;) {
        size_t n;
        int32_t id = gr_trie_longest(p == piece ? &w->first : &w->next, p, end, &n);
        if (id < 0) {
            out->size = first;
            return add_unknown(w, piece, size, out);
        }
        status = gr_ids_add(out, id);
        p += n;
    }
    return status;
}

static gr_status encode(const gr_token_model *self, gr_token_scratch *s, const char *piece, size_t size, gr_ids *out)
{
    return gr_encode_seen(self, s, piece, size, out, cut);
}

static void word_piece_free(gr_token_model *self)
{
    word_piece *w = (word_piece *)self;
    gr_vocab_free(&w->base.vocab);
    gr_trie_free(&w->first);
    gr_trie_free(&w->next);
    gr_free(w);
}

/* Of equal strings the one that the vocabulary finds counts. */
static gr_status add_token(word_piece *w, int32_t id, const char *prefix, size_t prefix_size)
{
    size_t size;
    const char *text = gr_vocab_text(&w->base.vocab, id, &size);
    if (!text || !size || gr_vocab_find(&w->base.vocab, text, size) != id)
        return GR_OK;
    gr_status s = gr_trie_add(&w->first, text, size, id);
    if (s == GR_OK && size > prefix_size && memcmp(text, prefix, prefix_size) == 0)
        s = gr_trie_add(&w->next, text + prefix_size, size - prefix_size, id);
    return s;
}

gr_token_model *gr_word_piece_new(gr_vocab *vocab, int32_t unk, const char *prefix, size_t longest)
{
    word_piece *w = gr_alloc_zero(1, sizeof *w);
    if (!w) {
        gr_vocab_free(vocab);
        return NULL;
    }
    w->base = (gr_token_model){.encode = encode, .free = word_piece_free, .vocab = *vocab};
    *vocab = (gr_vocab){0};
    w->unk = unk;
    w->longest = longest;
    gr_status s = GR_OK;
    for (size_t id = 0; id < w->base.vocab.rows && s == GR_OK; id++)
        s = add_token(w, (int32_t)id, prefix, strlen(prefix));
    if (s == GR_OK)
        s = gr_trie_ready(&w->first);
    if (s == GR_OK)
        s = gr_trie_ready(&w->next);
    if (s == GR_OK)
        return &w->base;
    word_piece_free(&w->base);
    return NULL;
}
