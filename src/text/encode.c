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

/* Text between added tokens, normalized. */
static gr_status encode_pieces(const gr_tokenizer *t, gr_tokenizer_scratch *s, const char *text, size_t size,
                               size_t zero)
{
    gr_scan_fn scan = t->byte_level ? gr_pretokenizer_scanner(t->pretokenizer) : NULL;
    gr_status status = GR_OK;
    if (scan) { /* no list of pieces, so that memory does not grow with the text */
        for (const char *end = text + size; text < end && status == GR_OK;) {
            const char *stop = scan(text, end);
            status = t->model->encode(t->model, &s->model, text, (size_t)(stop - text), &s->ids);
            text = stop;
        }
        return status;
    }
    s->pieces.n = 0;
    status = gr_pieces_add(&s->pieces, text, size, zero);
    if (status == GR_OK)
        status = gr_pretokenizer_run(t->pretokenizer, &s->pieces, &s->spare);
    for (size_t i = 0; i < s->pieces.n && status == GR_OK; i++)
        status = t->model->encode(t->model, &s->model, s->pieces.piece[i].text, s->pieces.piece[i].size, &s->ids);
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

/* Text between added tokens that are searched for as it was written: normalizes, and cuts out the others. */
static gr_status encode_part(const gr_tokenizer *t, gr_tokenizer_scratch *s, const char *text, size_t size, bool first,
                             unsigned flags)
{
    gr_status status = GR_OK;
    size_t zero = first;
    if (!size)
        return GR_OK;
    if (!gr_normalizer_is_empty(t->normalizer)) {
        status = gr_normalizer_run(t->normalizer, text, size, &s->normal, &s->normal_spare);
        if (status == GR_OK && first && gr_pretokenizer_asks_zero(t->pretokenizer))
            status = find_zero(t, s, text, text + size, &zero);
        text = s->normal.size ? s->normal.data : "";
        size = s->normal.size;
    }
    gr_added_search search = {&t->added, &t->added.normalized, text, text + size, flags & GR_PARSE_SPECIAL, text, text};
    for (int32_t id = 0; id >= 0 && status == GR_OK;) {
        const char *start, *stop;
        id = gr_added_next(&search, &start, &stop);
        if (stop > start)
            status = encode_pieces(t, s, start, (size_t)(stop - start),
                                   zero > (size_t)(start - text) ? zero - (size_t)(start - text) : 0);
        if (status == GR_OK && id >= 0)
            status = gr_ids_add(&s->ids, id);
    }
    return status;
}

static gr_status encode_text(const gr_tokenizer *t, gr_tokenizer_scratch *s, const char *text, size_t size,
                             unsigned flags)
{
    gr_added_search search = {&t->added, &t->added.raw, text, text + size, flags & GR_PARSE_SPECIAL, text, text};
    gr_status status = GR_OK;
    for (int32_t id = 0; id >= 0 && status == GR_OK;) {
        const char *start, *stop;
        id = gr_added_next(&search, &start, &stop);
        if (stop > start)
            status = encode_part(t, s, start, (size_t)(stop - start), start == text, flags);
        if (status == GR_OK && id >= 0)
            status = gr_ids_add(&s->ids, id);
    }
    return status;
}

gr_status gr_tokenizer_run(const gr_tokenizer *t, gr_tokenizer_scratch *s, const char *text, size_t size,
                           unsigned flags)
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
        status = post->item[i].is_text ? encode_text(t, s, text, size, flags) : gr_ids_add(&s->ids, post->item[i].id);
    return status;
}
