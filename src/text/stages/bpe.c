/* Reading a BPE model: tokens, merges and what becomes of unknown characters. */
#include <stdio.h>
#include "text/stages/bpe.h"
#include "text/unicode/byte_level.h"
#include "text/unicode/unicode.h"
#include "text/vocab/word_cache.h"
#include "base/error.h"

/* ---- encoding ----------------------------------------------------------------------------------------------- */

/* An unknown character, at most 4 bytes, for messages. */
static gr_status fail_unknown(const gr_bpe *b, const char *p, int n)
{
    int size;
    uint32_t c = gr_utf8_read(p, p + n, &size);
    if (c >= GR_INVALID_BYTE)
        return gr_fail(GR_ERR_ARGUMENT,
                       "encode: byte 0x%02X is not in the vocabulary: it is not UTF-8, and there is no %s "
                       "token\nconvert the text with iconv, or use a tokenizer that knows it (byte knows everything)",
                       (unsigned)(c - GR_INVALID_BYTE), b->options.unk);
    return gr_fail(GR_ERR_ARGUMENT,
                   "encode: character '%.*s' (U+%04X) is not in the vocabulary, and there is no %s token\n"
                   "leave it out of the text, or use a tokenizer that knows it (byte knows everything)",
                   n, p, (unsigned)c, b->options.unk);
}

/* The bytes of a character as byte_fallback tokens; false unless all of them have one. */
static bool fall_back(const gr_bpe *b, const char *p, size_t n, int32_t *out)
{
    if (!b->options.byte_fallback)
        return false;
    for (size_t i = 0; i < n; i++) {
        out[i] = b->fallback[(unsigned char)p[i]];
        if (out[i] < 0)
            return false;
    }
    return true;
}

/* A character with the prefix and suffix that its place in the word asks for; the vocabulary has it so, and so its bytes
 * are spelled. */
typedef struct affixed {
    const char *text;
    size_t size;
    char own[2 * GR_BPE_AFFIX + 8];
} affixed;

static void set_affixed(affixed *a, const gr_bpe *b, const char *p, int n, bool first, bool last)
{
    const gr_bpe_options *o = &b->options;
    const char *prefix = !first && o->prefix ? o->prefix : "", *suffix = last && o->suffix ? o->suffix : "";
    a->text = p;
    a->size = (size_t)n;
    if (!*prefix && !*suffix)
        return;
    size_t before = strlen(prefix), behind = strlen(suffix);
    memcpy(a->own, prefix, before);
    memcpy(a->own + before, p, (size_t)n);
    memcpy(a->own + before + (size_t)n, suffix, behind);
    a->text = a->own;
    a->size = before + (size_t)n + behind;
}

static int32_t find_symbol(const gr_bpe *b, const char *p, size_t n)
{
    return n == 1 ? b->symbol[(unsigned char)*p] : gr_vocab_find(&b->base.vocab, p, n);
}

/* A word's first symbols, at most one a byte of it and its affixes. An unknown character waits in `unk` for what follows, as it may be fused
 * with the next; byte_fallback tokens pass it by, which is how Hugging Face's loop orders them. */
static gr_status first_symbols(const gr_bpe *b, const char *p, size_t size, int32_t *out, size_t *count)
{
    const char *start = p, *end = p + size;
    size_t n = 0;
    bool unk = false;
    for (int bytes = 1; p < end; p += bytes) {
        if (!b->options.byte_level)
            gr_utf8_read(p, end, &bytes);
        affixed a;
        set_affixed(&a, b, p, bytes, p == start, p + bytes == end);
        int32_t id = find_symbol(b, a.text, a.size);
        if (id >= 0) {
            if (unk)
                out[n++] = b->unk;
            unk = false;
            out[n++] = id;
        } else if (fall_back(b, a.text, a.size, out + n)) {
            n += a.size;
        } else if (b->unk == GR_UNK_MISSING) {
            return fail_unknown(b, p, bytes);
        } else if (b->unk >= 0) {
            if (unk && !b->options.fuse_unk)
                out[n++] = b->unk;
            unk = true;
        }
    }
    if (unk)
        out[n++] = b->unk;
    *count = n;
    return GR_OK;
}

/* Symbols of a word, merged, behind those in out. */
static gr_status merge_word(const gr_bpe *b, gr_token_scratch *s, const char *p, size_t size, gr_ids *out)
{
    size_t n, room = size;
    if (b->options.byte_fallback && !gr_mul_size(size, b->affix_room, &room))
        return GR_ERR_MEMORY;
    gr_status status = gr_ids_reserve(out, room);
    int32_t *symbol = out->data + out->size;
    if (status == GR_OK)
        status = first_symbols(b, p, size, symbol, &n);
    if (status != GR_OK)
        return status;
    if (b->merges && n <= GR_BPE_SHORT)
        n = gr_bpe_merge_short(b, symbol, n);
    else if (b->merges)
        status = gr_bpe_merge_long(b, s, symbol, &n);
    out->size += n;
    return status;
}

/* Short words go through the cache; out has room for GR_CACHE_IDS. */
static gr_status encode_cached(const gr_bpe *b, gr_token_scratch *s, const char *p, size_t size, gr_ids *out)
{
    gr_word_key key = gr_word_key_of(p, size);
    const gr_cached_word *w = gr_word_find(s->cache, key);
    gr_status status = gr_ids_reserve(out, GR_CACHE_IDS);
    if (status != GR_OK)
        return status;
    if (w) {
        memcpy(out->data + out->size, w->id, sizeof w->id);
        size_t n = 1;
        while (n < GR_CACHE_IDS && w->id[n] >= 0)
            n++;
        out->size += n;
        return GR_OK;
    }
    size_t before = out->size;
    status = merge_word(b, s, p, size, out);
    size_t n = out->size - before;
    if (status == GR_OK && n && n <= GR_CACHE_IDS)
        gr_word_put(s->cache, key, out->data + before, n);
    return status;
}

static gr_status encode_part(const gr_bpe *b, gr_token_scratch *s, const char *p, size_t size, gr_ids *out)
{
    if (size <= GR_CACHE_WORD && s->cache)
        return encode_cached(b, s, p, size, out);
    return merge_word(b, s, p, size, out);
}

static gr_status encode(const gr_token_model *self, gr_token_scratch *s, const char *p, size_t size, gr_ids *out)
{
    const gr_bpe *b = (const gr_bpe *)self;
    gr_status status = GR_OK;
    if (!size)
        return GR_OK;
    if (b->options.ignore_merges) {
        int32_t id = gr_vocab_find(b->options.byte_level ? &b->raw : &b->base.vocab, p, size);
        if (id >= 0)
            return gr_ids_add(out, id);
    }
    if (!b->merges)
        return merge_word(b, s, p, size, out);
    if (!b->can_cut || (b->options.byte_level && size <= GR_BPE_SHORT))
        return encode_part(b, s, p, size, out);
    while (size && status == GR_OK) {
        size_t n = gr_bpe_cut(b, p, size);
        status = encode_part(b, s, p, n, out);
        p += n;
        size -= n;
    }
    return status;
}

/* ---- making ------------------------------------------------------------------------------------------------- */

static void bpe_free(gr_token_model *self)
{
    gr_bpe *b = (gr_bpe *)self;
    gr_vocab_free(&b->base.vocab);
    gr_vocab_free(&b->raw);
    gr_free((char *)b->options.unk);
    gr_free((char *)b->options.prefix);
    gr_free((char *)b->options.suffix);
    gr_free(b->merge);
    gr_free(b->together);
    gr_free(b);
}

/* The vocabulary as bytes. Tokens with characters outside of the byte alphabet can never come out of a byte-level piece
 * and are left out. */
static gr_status make_raw(gr_bpe *b)
{
    gr_bytes token = {0};
    gr_status s = gr_vocab_reserve(&b->raw, b->base.vocab.count, b->base.vocab.pool.size);
    for (size_t id = 0; id < b->base.vocab.rows && s == GR_OK; id++) {
        size_t size;
        const char *text = gr_vocab_text(&b->base.vocab, (int64_t)id, &size);
        token.size = 0;
        if (!text || (s = gr_bytes_reserve(&token, size)) != GR_OK || !gr_byte_level_decode(text, size, &token))
            continue;
        s = gr_vocab_add(&b->raw, token.data, token.size, (uint32_t)id);
        if (s == GR_OK && token.size == 1)
            b->symbol[(unsigned char)token.data[0]] = (int32_t)id;
    }
    gr_bytes_free(&token);
    return s;
}

static gr_status make_symbols(gr_bpe *b)
{
    for (int i = 0; i < 256; i++) {
        char c = (char)i, name[8];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)i);
        b->symbol[i] = i < 128 && !b->options.byte_level ? gr_vocab_find(&b->base.vocab, &c, 1) : -1;
        b->fallback[i] = gr_vocab_find(&b->base.vocab, name, 6);
    }
    return b->options.byte_level ? make_raw(b) : GR_OK;
}

static gr_status copy_options(gr_bpe *b, const gr_bpe_options *o)
{
    b->options = *o;
    b->options.unk = o->unk ? gr_strdup(o->unk) : NULL;
    b->options.prefix = o->prefix && *o->prefix ? gr_strdup(o->prefix) : NULL;
    b->options.suffix = o->suffix && *o->suffix ? gr_strdup(o->suffix) : NULL;
    if ((o->unk && !b->options.unk) || (o->prefix && *o->prefix && !b->options.prefix) ||
        (o->suffix && *o->suffix && !b->options.suffix))
        return GR_ERR_MEMORY;
    if ((o->prefix && strlen(o->prefix) > GR_BPE_AFFIX) || (o->suffix && strlen(o->suffix) > GR_BPE_AFFIX))
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "BPE: a continuing_subword_prefix or end_of_word_suffix of more than %d bytes\nno tokenizer in "
                       "use has such a one: check tokenizer.json",
                       GR_BPE_AFFIX);
    b->affix_room = 1 + (o->prefix ? strlen(o->prefix) : 0) + (o->suffix ? strlen(o->suffix) : 0);
    b->unk = o->unk ? gr_vocab_find(&b->base.vocab, o->unk, strlen(o->unk)) : GR_UNK_NONE;
    if (o->unk && b->unk < 0)
        b->unk = GR_UNK_MISSING;
    return GR_OK;
}

gr_token_model *gr_bpe_new(gr_vocab *vocab, const gr_bpe_options *options)
{
    gr_bpe *b = gr_alloc_zero(1, sizeof *b);
    if (!b) {
        gr_vocab_free(vocab);
        return NULL;
    }
    b->base.encode = encode;
    b->base.free = bpe_free;
    b->base.vocab = *vocab;
    *vocab = (gr_vocab){0};
    if (copy_options(b, options) != GR_OK || make_symbols(b) != GR_OK) {
        bpe_free(&b->base);
        return NULL;
    }
    return &b->base;
}

static gr_merge *merge_slot(const gr_bpe *b, uint32_t left, uint32_t right)
{
    uint64_t h = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;
    size_t i = h >> 32 & (b->slots - 1);
    while (b->merge[i].left != UINT32_MAX && (b->merge[i].left != left || b->merge[i].right != right))
        i = (i + 1) & (b->slots - 1);
    return &b->merge[i];
}

static gr_status set_slots(gr_bpe *b, size_t slots)
{
    gr_merge *old = b->merge;
    size_t old_slots = b->slots, bytes;
    gr_merge *merge = gr_mul_size(slots, sizeof *merge, &bytes) ? gr_alloc(bytes) : NULL;
    if (!merge)
        return GR_ERR_MEMORY;
    b->merge = merge;
    b->slots = slots;
    for (size_t i = 0; i < slots; i++)
        merge[i].left = UINT32_MAX;
    for (size_t i = 0; i < old_slots; i++)
        if (old[i].left != UINT32_MAX)
            *merge_slot(b, old[i].left, old[i].right) = old[i];
    gr_free(old);
    return GR_OK;
}

gr_status gr_bpe_reserve(gr_token_model *model, size_t merges)
{
    gr_bpe *b = (gr_bpe *)model;
    size_t slots = 256;
    while (slots < merges + merges / 2)
        slots *= 2;
    return slots > b->slots ? set_slots(b, slots) : GR_OK;
}

static gr_status fail_merge(const gr_bpe *b, const char *what, const char *text, size_t size)
{
    return gr_fail(GR_ERR_FILE, "model.merges[%zu]: %s '%.*s' is not in the vocabulary", b->added, what,
                   size > 80 ? 80 : (int)size, text);
}

static bool is_joined(const gr_vocab *v, int64_t id, const char *left, size_t left_size, const char *right,
                      size_t right_size)
{
    size_t size;
    const char *text = gr_vocab_text(v, id, &size);
    return text && size == left_size + right_size && memcmp(text, left, left_size) == 0 &&
           memcmp(text + left_size, right, right_size) == 0;
}

/* The token that two make. In most files that is the one that the merge before has made, or the next: a look at these
 * is cheaper than a search. */
static int32_t find_joined(const gr_bpe *b, const char *left, size_t left_size, const char *right, size_t right_size,
                           gr_status *status)
{
    const gr_vocab *v = &b->base.vocab;
    for (int32_t id = b->made; id <= b->made + 1; id++)
        if (is_joined(v, id, left, left_size, right, right_size))
            return id;
    gr_bytes joined = {0};
    *status = gr_bytes_add(&joined, left, left_size);
    if (!*status)
        *status = gr_bytes_add(&joined, right, right_size);
    int32_t id = *status ? -1 : gr_vocab_find(v, joined.data, joined.size);
    if (!*status && id < 0)
        *status = fail_merge(b, "the merged", joined.data, joined.size);
    gr_bytes_free(&joined);
    return id;
}

/* A pair listed twice has the rank of its last place, as in Hugging Face's map. */
gr_status gr_bpe_add_merge(gr_token_model *model, const char *left, size_t left_size, const char *right,
                           size_t right_size)
{
    gr_bpe *b = (gr_bpe *)model;
    const gr_vocab *v = &b->base.vocab;
    size_t cut = b->options.prefix ? strlen(b->options.prefix) : 0;
    int32_t l = gr_vocab_find(v, left, left_size), r = gr_vocab_find(v, right, right_size);
    if (l < 0 || r < 0)
        return fail_merge(b, "token", l < 0 ? left : right, l < 0 ? left_size : right_size);
    if (cut > right_size)
        return fail_merge(b, "the end of", right, right_size);
    gr_status s = GR_OK;
    int32_t id = find_joined(b, left, left_size, right + cut, right_size - cut, &s);
    if (s == GR_OK && b->merges + b->merges / 2 >= b->slots) /* two thirds of it are full at most */
        s = set_slots(b, b->slots ? b->slots * 2 : 256);
    if (s != GR_OK)
        return s;
    gr_merge *m = merge_slot(b, (uint32_t)l, (uint32_t)r);
    b->merges += m->left == UINT32_MAX;
    b->made = id;
    *m = (gr_merge){(uint32_t)l, (uint32_t)r, (uint32_t)b->added++, (uint32_t)id};
    return GR_OK;
}

gr_status gr_bpe_finish(gr_token_model *model)
{
    gr_bpe *b = (gr_bpe *)model;
    const gr_bpe_options *o = &b->options;
    model->each_alone = !b->merges && !o->prefix && !o->suffix && !o->fuse_unk && !o->ignore_merges;
    return gr_bpe_prepare_cuts(b);
}
