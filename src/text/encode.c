/* Text to ids. */
#include "text/tokenizer.h"

void gr_token_scratch_free(gr_token_scratch *s)
{
    gr_free(s->cache);
    gr_free(s->links);
    gr_free(s->queues);
    gr_free(s->heap);
    *s = (gr_token_scratch){0};
}

void gr_tokenizer_scratch_free(gr_tokenizer_scratch *s)
{
    gr_token_scratch_free(&s->model);
    gr_pieces_free(&s->pieces);
    gr_pieces_free(&s->spare);
    gr_bytes_free(&s->normal);
    gr_bytes_free(&s->normal_spare);
    gr_ids_free(&s->ids);
    gr_strings_free(&s->tokens);
    gr_strings_free(&s->tokens_spare);
    gr_bytes_free(&s->text);
}

/* ---- pieces ------------------------------------------------------------------------------------------------- */

/* The first added token in the text, or NULL. A walk remembers what it found: each of the two searches goes on only when
 * the other one has come to its place. */
typedef struct literal_search {
    const gr_added *added;
    const char *end, *at[2]; /* NULL: no more */
    bool begun;
} literal_search;

static const char *next_literal(literal_search *l, const char *from)
{
    const gr_trie *const tries[] = {&l->added->raw, &l->added->normalized};
    for (int i = 0; i < 2; i++) {
        int32_t id;
        size_t size;
        if (!l->begun || (l->at[i] && l->at[i] < from))
            l->at[i] = gr_trie_search(tries[i], from, l->end, &id, &size);
    }
    l->begun = true;
    return !l->at[0] || (l->at[1] && l->at[1] < l->at[0]) ? l->at[1] : l->at[0];
}

/* Whether some of the ids are of added tokens that stand in the text, letter by letter. */
static bool has_added(const gr_tokenizer *t, const gr_ids *ids, size_t from, const char *text, size_t size)
{
    enum { most = 32 };
    int32_t seen[most];
    size_t n = 0;
    for (size_t i = from; i < ids->size; i++) {
        int32_t id = ids->data[i];
        size_t known = 0, length;
        if (id < 0 || (size_t)id >= t->added.rows || !t->added.token[id].present)
            continue;
        while (known < n && seen[known] != id)
            known++;
        if (known < n)
            continue;
        const char *spelling = gr_vocab_text(&t->added.vocab, id, &length);
        if (n == most || (spelling && memmem(text, size, spelling, length)))
            return true;
        seen[n++] = id;
    }
    return false;
}

/* Some models have control tokens among their words (Unigram's "</s>") and would make them of text that is to stay text:
 * then the model gets such a word in two pieces, its first character alone. */
static gr_status encode_apart(const gr_tokenizer *t, gr_tokenizer_scratch *s, const char *text, size_t size)
{
    literal_search search = {.added = &t->added, .end = text + size};
    gr_status status = GR_OK;
    for (const char *from = text, *at; from < search.end && status == GR_OK;) {
        int n = 0;
        at = next_literal(&search, from);
        if (at)
            gr_utf8_read(at, search.end, &n);
        const char *stop = at ? at + n : search.end;
        status = t->model->encode(t->model, &s->model, from, (size_t)(stop - from), &s->ids);
        from = stop;
    }
    return status;
}

/* guarded: no added token may come of it. */
static gr_status encode_piece(const gr_tokenizer *t, gr_tokenizer_scratch *s, const char *text, size_t size,
                              bool guarded)
{
    size_t before = s->ids.size;
    gr_status status = t->model->encode(t->model, &s->model, text, size, &s->ids);
    if (status != GR_OK || !guarded || !has_added(t, &s->ids, before, text, size))
        return status;
    s->ids.size = before;
    return encode_apart(t, s, text, size);
}

/* Text between added tokens, normalized. */
static gr_status encode_pieces(const gr_tokenizer *t, gr_tokenizer_scratch *s, const char *text, size_t size,
                               size_t zero, bool guarded)
{
    gr_scan_fn scan = t->byte_level ? gr_pretokenizer_scanner(t->pretokenizer) : NULL;
    gr_status status = GR_OK;
    if (scan) { /* no list of pieces, so that memory does not grow with the text */
        for (const char *end = text + size; text < end && status == GR_OK;) {
            const char *stop = scan(text, end);
            status = encode_piece(t, s, text, (size_t)(stop - text), guarded);
            text = stop;
        }
        return status;
    }
    s->pieces.n = 0;
    status = gr_pieces_add(&s->pieces, text, size, zero);
    if (status == GR_OK)
        status = gr_pretokenizer_run(t->pretokenizer, &s->pieces, &s->spare);
    for (size_t i = 0; i < s->pieces.n && status == GR_OK; i++)
        status = encode_piece(t, s, s->pieces.piece[i].text, s->pieces.piece[i].size, guarded);
    return status;
}

static bool starts_with(const gr_bytes *text, const gr_bytes *start)
{
    return start->size <= text->size && (!start->size || memcmp(text->data, start->data, start->size) == 0);
}

/* Whether all characters before the first that leaves something were dropped by a table: only then that one counts as the
 * first of the text. `one` and *shifted are what the first character came to. */
static gr_status check_shift(const gr_tokenizer *t, gr_tokenizer_scratch *s, const char *text, const char *end,
                             gr_bytes *one, bool *shifted)
{
    gr_status status = GR_OK;
    int n;
    while (status == GR_OK && *shifted && !one->size && text < end) {
        gr_utf8_read(text, end, &n);
        status = gr_normalizer_run_first(t->normalizer, text, (size_t)n, one, &s->normal_spare, shifted);
        *shifted |= one->size > 0;
        text += n;
    }
    one->size = 0;
    return status;
}

/* How much of a normalized text is of its first character; see gr_piece. Where that comes out otherwise in company, the
 * text's own first character counts, unless it is a replacement: Hugging Face's code puts these where the last character
 * replaced was, so what stands for two characters is not of the first. */
static gr_status find_zero(const gr_tokenizer *t, gr_tokenizer_scratch *s, const char *text, const char *end,
                           size_t *zero)
{
    gr_bytes one = {0}, two = {0};
    const gr_bytes *normal = &s->normal;
    bool replaces = gr_normalizer_replaced(t->normalizer, normal->data, normal->size);
    int n, n_next = 0;
    *zero = 0;
    gr_utf8_read(text, end, &n);
    if (text + n < end)
        gr_utf8_read(text + n, end, &n_next);
    bool shifted;
    gr_status status = gr_normalizer_run_first(t->normalizer, text, (size_t)n, &one, &s->normal_spare, &shifted);
    if (status == GR_OK && shifted)
        status = check_shift(t, s, text + n, end, &one, &shifted);
    if (status == GR_OK && replaces)
        status = gr_normalizer_run(t->normalizer, text, (size_t)(n + n_next), &two, &s->normal_spare);
    bool merged = replaces && n_next && two.size <= one.size;
    if (status == GR_OK && starts_with(normal, &one) && !merged && !shifted) {
        *zero = one.size;
    } else if (status == GR_OK && normal->size && !replaces) {
        gr_utf8_read(normal->data, normal->data + normal->size, &n);
        *zero = (size_t)n;
    }
    gr_bytes_free(&one);
    gr_bytes_free(&two);
    return status;
}

/* ---- masks -------------------------------------------------------------------------------------------------- */

/* How long text[from, to) is behind the normalizer. */
static gr_status normal_size(const gr_tokenizer *t, const char *text, size_t from, size_t to, gr_bytes work[2],
                             size_t *size)
{
    gr_status s = gr_normalizer_run(t->normalizer, text + from, to - from, &work[0], &work[1]);
    *size = work[0].size;
    return s;
}

/* The mask of a normalized text of `size` bytes: each run of equal bytes of the mask becomes as long as the text up to its
 * end is behind the normalizer. A run is normalized together with what stands before it, so that what composes with that
 * counts as that. */
static gr_status normalize_mask(const gr_tokenizer *t, const char *text, size_t text_size, const unsigned char *mask,
                                size_t size, gr_bytes *out)
{
    enum { context = 64 };
    gr_bytes work[2] = {{0}, {0}};
    gr_status s = gr_bytes_reserve(out, size + 1);
    size_t done = 0; /* of the normalized text */
    for (size_t from = 0, to; from < text_size && s == GR_OK; from = to) {
        size_t before = from < context ? 0 : from - context, shorter = 0, longer = 0;
        for (to = from + 1; to < text_size && mask[to] == mask[from];)
            to++;
        while (before && ((unsigned char)text[before] & 0xC0) == 0x80)
            before--;
        s = normal_size(t, text, before, from, work, &shorter);
        if (s == GR_OK)
            s = normal_size(t, text, before, to, work, &longer);
        size_t grown = longer > shorter ? longer - shorter : 0;
        size_t end = to == text_size || grown > size - done ? size : done + grown;
        if (s == GR_OK)
            memset(out->data + done, mask[from], end - done);
        done = end;
    }
    out->size = size;
    gr_bytes_free(&work[0]);
    gr_bytes_free(&work[1]);
    return s;
}

/* ---- parts -------------------------------------------------------------------------------------------------- */

/* Text between added tokens that are searched for as it was written: normalizes, and cuts out the others. */
static gr_status encode_part(const gr_tokenizer *t, gr_tokenizer_scratch *s, const char *text, size_t size,
                             const unsigned char *mask, bool first, unsigned flags)
{
    gr_status status = GR_OK;
    gr_bytes normal_mask = {0};
    size_t zero = first;
    if (!size)
        return GR_OK;
    bool guarded = mask && memchr(mask, 1, size);
    if (!gr_normalizer_is_empty(t->normalizer)) {
        status = gr_normalizer_run(t->normalizer, text, size, &s->normal, &s->normal_spare);
        if (status == GR_OK && mask && t->added.normalized.strings) {
            status = normalize_mask(t, text, size, mask, s->normal.size, &normal_mask);
            mask = (const unsigned char *)normal_mask.data;
        }
        if (status == GR_OK && first && gr_pretokenizer_asks_zero(t->pretokenizer))
            status = find_zero(t, s, text, text + size, &zero);
        text = s->normal.size ? s->normal.data : "";
        size = s->normal.size;
    }
    gr_added_search search = {&t->added, &t->added.normalized, text, text + size, flags & GR_PARSE_SPECIAL, text, text,
                              mask};
    for (int32_t id = 0; id >= 0 && status == GR_OK;) {
        const char *start, *stop;
        id = gr_added_next(&search, &start, &stop);
        if (stop > start)
            status = encode_pieces(t, s, start, (size_t)(stop - start),
                                   zero > (size_t)(start - text) ? zero - (size_t)(start - text) : 0, guarded);
        if (status == GR_OK && id >= 0)
            status = gr_ids_add(&s->ids, id);
    }
    gr_bytes_free(&normal_mask);
    return status;
}

static gr_status encode_text(const gr_tokenizer *t, gr_tokenizer_scratch *s, const char *text, size_t size,
                             const unsigned char *mask, unsigned flags)
{
    gr_added_search search = {&t->added, &t->added.raw, text, text + size, flags & GR_PARSE_SPECIAL, text, text, mask};
    gr_status status = GR_OK;
    for (int32_t id = 0; id >= 0 && status == GR_OK;) {
        const char *start, *stop;
        id = gr_added_next(&search, &start, &stop);
        if (stop > start)
            status = encode_part(t, s, start, (size_t)(stop - start), mask ? mask + (start - text) : NULL,
                                 start == text, flags);
        if (status == GR_OK && id >= 0)
            status = gr_ids_add(&s->ids, id);
    }
    return status;
}

gr_status gr_tokenizer_run_masked(const gr_tokenizer *t, gr_tokenizer_scratch *s, const char *text, size_t size,
                                  const unsigned char *mask, unsigned flags)
{
    gr_status status = GR_OK;
    if (!s->model.cache)
        s->model.cache = gr_word_cache_new();
    s->ids.size = 0;
    if (!size)
        text = "";                                              /* NULL is fine then */
    if (!s->model.cache || gr_ids_reserve(&s->ids, 1) != GR_OK) /* even no ids are at an address */
        return GR_ERR_MEMORY;
    const gr_post *post = flags & GR_ADD_SPECIAL ? &t->post : &t->bare;
    for (size_t i = 0; i < post->n && status == GR_OK; i++)
        status =
            post->item[i].is_text ? encode_text(t, s, text, size, mask, flags) : gr_ids_add(&s->ids, post->item[i].id);
    return status;
}

gr_status gr_tokenizer_run(const gr_tokenizer *t, gr_tokenizer_scratch *s, const char *text, size_t size,
                           unsigned flags)
{
    return gr_tokenizer_run_masked(t, s, text, size, NULL, flags);
}
