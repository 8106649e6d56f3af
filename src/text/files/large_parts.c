/* Finding the large parts, cutting them out, reading them. */
#include "text/files/large_parts.h"
#include "base/error.h"
#include "base/json_pull.h"

enum { WORTH = 1 << 12 }; /* bytes */

static bool is_key(const char *text, size_t size, const char *key)
{
    return size == strlen(key) && memcmp(text, key, size) == 0;
}

/* The members of an object, p at its brace: each(ctx, r, key) is called with p at the value, and reads or skips it. */
typedef bool (*member_fn)(void *ctx, gr_pull *r, const char *key, size_t size);

static bool walk_members(gr_pull *r, member_fn each, void *ctx)
{
    if (!gr_pull_char(r, '{'))
        return false;
    for (bool more = !gr_pull_char(r, '}'); more;) {
        const char *key;
        size_t size;
        if (!gr_pull_text(r, &key, &size) || !gr_pull_char(r, ':') || !each(ctx, r, key, size))
            return false;
        more = gr_pull_char(r, ',');
        if (!more && !gr_pull_char(r, '}'))
            return false;
    }
    return true;
}

static bool take_model_member(void *ctx, gr_pull *r, const char *key, size_t size)
{
    gr_large_parts *parts = ctx;
    bool is_vocab = is_key(key, size, "vocab") && (gr_pull_sees(r, '{') || gr_pull_sees(r, '['));
    bool is_merges = is_key(key, size, "merges") && gr_pull_sees(r, '[');
    if ((is_vocab && parts->vocab.start) || (is_merges && parts->merges.start))
        return false; /* which one counts is for a document to say */
    gr_part_of_text value;
    size_t before = r->strings;
    if (!gr_pull_skip(r, &value.start, &value.stop))
        return false;
    value.strings = r->strings - before;
    if (is_vocab)
        parts->vocab = value;
    if (is_merges)
        parts->merges = value;
    return true;
}

static bool take_member(void *ctx, gr_pull *r, const char *key, size_t size)
{
    gr_part_of_text value;
    gr_large_parts *parts = ctx;
    if (is_key(key, size, "model") && parts->vocab.start)
        return false;
    if (is_key(key, size, "model") && gr_pull_sees(r, '{'))
        return walk_members(r, take_model_member, ctx);
    return gr_pull_skip(r, &value.start, &value.stop);
}

bool gr_large_parts_find(const char *json, size_t size, gr_large_parts *out)
{
    gr_pull r = {.p = json, .end = json + size};
    *out = (gr_large_parts){0};
    bool found = size >= WORTH && walk_members(&r, take_member, out) && out->vocab.start;
    gr_pull_free(&r);
    return found;
}

char *gr_large_parts_cut(const char *json, size_t size, const gr_large_parts *parts, size_t *cut_size)
{
    gr_part_of_text a = parts->vocab, b = parts->merges;
    if (!b.start)
        b.start = b.stop = json + size;
    if (b.start < a.start) {
        gr_part_of_text swap = a;
        a = b;
        b = swap;
    }
    char *out = gr_alloc(size + 8), *to = out;
    if (!out)
        return NULL;
    for (int i = 0; i < 2; i++) {
        const char *from = i ? a.stop : json;
        gr_part_of_text part = i ? b : a;
        memcpy(to, from, (size_t)(part.start - from));
        to += part.start - from;
        if (part.start < part.stop) {
            *to++ = *part.start;
            *to++ = part.stop[-1];
        }
    }
    memcpy(to, b.stop, (size_t)(json + size - b.stop));
    *cut_size = (size_t)(to - out) + (size_t)(json + size - b.stop);
    return out;
}

/* The next string or number of both, and what stands between them. */
static bool same_next(gr_pull *a, gr_pull *b)
{
    const char *x, *y;
    size_t n, m;
    for (const char *c = "{}[],:"; *c; c++)
        if (gr_pull_sees(a, *c))
            return gr_pull_char(a, *c) && gr_pull_char(b, *c);
    if (gr_pull_sees(a, '"'))
        return gr_pull_text(a, &x, &n) && gr_pull_text(b, &y, &m) && n == m && memcmp(x, y, n) == 0;
    gr_pull_sees(b, '"'); /* a number, which is compared as it is written */
    n = strspn(a->p, "-+.0123456789eE");
    bool same = n > 0 && b->p + n < b->end && memcmp(a->p, b->p, n) == 0;
    a->p += n;
    b->p += n;
    return same;
}

bool gr_large_same_vocab(gr_part_of_text a, gr_part_of_text b)
{
    gr_pull x = {.p = a.start, .end = a.stop}, y = {.p = b.start, .end = b.stop};
    bool same = a.strings == b.strings;
    while (same && x.p < x.end)
        same = same_next(&x, &y);
    same = same && y.p == y.end;
    gr_pull_free(&x);
    gr_pull_free(&y);
    return same;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static gr_status not_this_way(const gr_pull *r)
{
    return r->no_memory ? GR_ERR_MEMORY
                        : gr_fail(GR_ERR_FILE, "tokenizer.json: its vocabulary or merges are not written as tokenizers "
                                               "writes them\nsave it anew with tokenizers or transformers");
}

static gr_status end_list(gr_pull *r, gr_part_of_text part, gr_status s)
{
    gr_pull_free(r);
    return s != GR_OK || r->p == part.stop ? s : not_this_way(r);
}

gr_status gr_large_vocab(gr_part_of_text part, gr_vocab *vocab)
{
    gr_pull r = {.p = part.start, .end = part.stop};
    gr_status s = gr_pull_char(&r, '{') ? gr_vocab_reserve(vocab, part.strings, (size_t)(part.stop - part.start))
                                        : not_this_way(&r);
    for (bool more = !gr_pull_char(&r, '}'); more && s == GR_OK;) {
        const char *text;
        size_t size;
        uint32_t id;
        if (!gr_pull_text(&r, &text, &size))
            return end_list(&r, part, not_this_way(&r));
        const char *own = text; /* the number does not touch the buffer */
        if (!gr_pull_char(&r, ':') || !gr_pull_index(&r, INT32_MAX - 1, &id))
            return end_list(&r, part, not_this_way(&r));
        s = gr_vocab_add(vocab, own, size, id);
        more = gr_pull_char(&r, ',');
        if (s == GR_OK && !more && !gr_pull_char(&r, '}'))
            s = not_this_way(&r);
    }
    return end_list(&r, part, s);
}

gr_status gr_large_scores(gr_part_of_text part, gr_vocab *vocab, double **score)
{
    gr_pull r = {.p = part.start, .end = part.stop};
    size_t cap = 0;
    uint32_t id = 0;
    gr_status s = gr_pull_char(&r, '[') ? gr_vocab_reserve(vocab, part.strings, (size_t)(part.stop - part.start))
                                        : not_this_way(&r);
    for (bool more = !gr_pull_char(&r, ']'); more && s == GR_OK; id++) {
        const char *text;
        size_t size;
        s = gr_grow(score, &cap, (size_t)id + 1, sizeof **score);
        if (s == GR_OK &&
            (!gr_pull_char(&r, '[') || !gr_pull_text(&r, &text, &size) || !gr_pull_char(&r, ',') ||
             !gr_pull_real(&r, &(*score)[id]) || !gr_pull_char(&r, ']') || (*score)[id] < -1e30 || (*score)[id] > 1e30))
            s = not_this_way(&r);
        if (s == GR_OK)
            s = gr_vocab_add_again(vocab, text, size, id);
        more = gr_pull_char(&r, ',');
        if (s == GR_OK && !more && !gr_pull_char(&r, ']'))
            s = not_this_way(&r);
    }
    return end_list(&r, part, s);
}

/* "a b": exactly one space. */
static gr_status add_string(const gr_pull *r, gr_token_model *model, const char *text, size_t size)
{
    const char *end = text + size, *space = memchr(text, ' ', size);
    if (!space || memchr(space + 1, ' ', (size_t)(end - space - 1)))
        return not_this_way(r);
    return gr_bpe_add_merge(model, text, (size_t)(space - text), space + 1, (size_t)(end - space - 1));
}

/* ["a", "b"]; left is kept aside when it is in the buffer that right may need. */
static gr_status add_pair(gr_pull *r, gr_bytes *aside, gr_token_model *model)
{
    const char *left, *right;
    size_t left_size, right_size;
    if (!gr_pull_char(r, '[') || !gr_pull_text(r, &left, &left_size))
        return not_this_way(r);
    if (left == r->buffer) {
        aside->size = 0;
        if (gr_bytes_add(aside, left, left_size) != GR_OK)
            return GR_ERR_MEMORY;
        left = aside->data ? aside->data : "";
    }
    if (!gr_pull_char(r, ',') || !gr_pull_text(r, &right, &right_size) || !gr_pull_char(r, ']'))
        return not_this_way(r);
    return gr_bpe_add_merge(model, left, left_size, right, right_size);
}

gr_status gr_large_merges(gr_part_of_text part, gr_token_model *model)
{
    gr_pull r = {.p = part.start, .end = part.stop};
    gr_bytes aside = {0};
    gr_status s = gr_pull_char(&r, '[') ? GR_OK : not_this_way(&r);
    if (s == GR_OK)
        s = gr_bpe_reserve(model, gr_pull_sees(&r, '[') ? part.strings / 2 : part.strings);
    for (bool more = !gr_pull_char(&r, ']'); more && s == GR_OK;) {
        const char *text;
        size_t size;
        if (gr_pull_sees(&r, '['))
            s = add_pair(&r, &aside, model);
        else
            s = gr_pull_text(&r, &text, &size) ? add_string(&r, model, text, size) : not_this_way(&r);
        more = gr_pull_char(&r, ',');
        if (s == GR_OK && !more && !gr_pull_char(&r, ']'))
            s = not_this_way(&r);
    }
    gr_bytes_free(&aside);
    return end_list(&r, part, s);
}
