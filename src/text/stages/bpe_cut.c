/* Cutting long pieces into parts that can be encoded alone.
 *
 * A merge joins neighbours, so where two neighbouring characters stand side by side in no token that a merge makes, no
 * merge ever reaches across, and both sides can be encoded on their own with the same result. A text without spaces, or
 * a whole text where there is no pre-tokenizer (LLaMA 2), falls into short words this way, and words are cached. */
#include "text/stages/bpe.h"
#include "text/unicode/unicode.h"

enum { pair_bits = 1 << 17 };

/* A pair's bit: exact for bytes, hashed for characters (two pairs on one bit only make us cut less often). */
static uint32_t pair_bit(const gr_bpe *b, uint32_t left, uint32_t right)
{
    if (b->options.byte_level)
        return left << 8 | right;
    return (uint32_t)(((uint64_t)left << 21 | right) * 0x9E3779B97F4A7C15u >> 47);
}

static bool together(const gr_bpe *b, uint32_t left, uint32_t right)
{
    uint32_t bit = pair_bit(b, left, right);
    return b->together[bit / 64] >> bit % 64 & 1;
}

/* One symbol of a piece: a byte, or a character. */
static uint32_t read_symbol(const gr_bpe *b, const char *p, const char *end, int *n)
{
    *n = 1;
    return b->options.byte_level ? (unsigned char)*p : gr_utf8_read(p, end, n);
}

static void note_pairs(gr_bpe *b, const char *p, size_t size)
{
    const char *end = p + size;
    for (uint32_t left = UINT32_MAX; p < end;) {
        int n;
        uint32_t right = read_symbol(b, p, end, &n);
        if (left != UINT32_MAX) {
            uint32_t bit = pair_bit(b, left, right);
            b->together[bit / 64] |= (uint64_t)1 << bit % 64;
        }
        left = right;
        p += n;
    }
}

/* A symbol whose token is not its own text (an unknown character, a byte of byte_fallback) must never merge: then what
 * tokens spell says all about what merges can join. */
static bool spells_itself(const gr_bpe *b, uint32_t id)
{
    size_t size = 0;
    const char *text = gr_vocab_text(&b->base.vocab, id, &size);
    if ((int32_t)id == b->unk)
        return false;
    return !(b->options.byte_fallback && size == 6 && memcmp(text, "<0x", 3) == 0);
}

gr_status gr_bpe_prepare_cuts(gr_bpe *b)
{
    b->can_cut = false;
    if (b->options.prefix || b->options.suffix)
        return GR_OK; /* a word's borders matter */
    b->together = gr_alloc_zero(pair_bits / 64, sizeof *b->together);
    if (!b->together)
        return GR_ERR_MEMORY;
    const gr_vocab *vocab = b->options.byte_level ? &b->raw : &b->base.vocab;
    for (size_t i = 0; i < b->slots; i++) {
        const gr_merge *m = &b->merge[i];
        if (m->left == UINT32_MAX)
            continue;
        size_t size = 0;
        const char *text = gr_vocab_text(vocab, m->id, &size);
        if (!text || !spells_itself(b, m->left) || !spells_itself(b, m->right))
            return GR_OK;
        note_pairs(b, text, size);
    }
    b->can_cut = true;
    return GR_OK;
}

static bool is_known(const gr_bpe *b, const char *p, int n)
{
    if (n == 1)
        return b->symbol[(unsigned char)*p] >= 0;
    return gr_vocab_find(&b->base.vocab, p, (size_t)n) >= 0;
}

/* Two unknown characters stay together: they may become one <unk>. Where unknown ones are left out, their neighbours
 * become neighbours of each other, so both sides of a cut must be known. */
static bool can_part(const gr_bpe *b, const char *left, int n_left, const char *right, int n_right)
{
    bool one = is_known(b, right, n_right);
    if (one == (b->unk != GR_UNK_NONE))
        return one;
    return is_known(b, left, n_left);
}

size_t gr_bpe_cut(const gr_bpe *b, const char *piece, size_t size)
{
    const char *end = piece + size;
    int n, n_right;
    uint32_t left = read_symbol(b, piece, end, &n);
    for (const char *p = piece + n; p < end; p += n_right) {
        uint32_t right = read_symbol(b, p, end, &n_right);
        if (!together(b, left, right) && can_part(b, p - n, n, p, n_right))
            return (size_t)(p - piece);
        left = right;
        n = n_right;
    }
    return size;
}
