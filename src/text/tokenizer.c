/* The public calls. */
#include "text/tokenizer.h"
#include "base/error.h"
#include "base/file.h"
#include "text/unicode/byte_level.h"

enum { no_id = -1 };

gr_tokenizer *gr_tokenizer_of(char *json, size_t size)
{
    gr_tokenizer *t = json ? gr_alloc_zero(1, sizeof *t) : NULL;
    if (!t) {
        gr_free(json);
        return NULL;
    }
    t->json = json;
    t->json_size = size;
    t->bos = t->eos = no_id;
    if (gr_tokenizer_read(t) != GR_OK) {
        gr_tokenizer_free(t);
        return NULL;
    }
    gr_tokenizer_guess_ends(t);
    return gr_tokenizer_note(t);
}

gr_tokenizer *gr_tokenizer_from_json(const char *json, size_t size)
{
    if (gr_lacks(json, "gr_tokenizer_from_json: json"))
        return NULL;
    char *copy = size < SIZE_MAX ? gr_alloc(size + 1) : NULL;
    if (!copy)
        return NULL;
    memcpy(copy, json, size);
    copy[size] = 0;
    return gr_tokenizer_of(copy, size);
}

void gr_tokenizer_clear(gr_tokenizer *t)
{
    if (t->model)
        t->model->free(t->model);
    gr_normalizer_free(t->normalizer);
    gr_pretokenizer_free(t->pretokenizer);
    gr_decoder_free(t->decoder);
    gr_added_free(&t->added);
    gr_post_free(&t->post);
    gr_post_free(&t->bare);
    for (int i = 0; i < GR_NAMED_COUNT; i++) {
        gr_free(t->named[i]);
        t->named[i] = NULL;
    }
    t->model = NULL;
    t->normalizer = NULL;
    t->pretokenizer = NULL;
    t->decoder = NULL;
}

gr_tokenizer *gr_tokenizer_share(const gr_tokenizer *of)
{
    if (gr_lacks(of, "gr_tokenizer_share: tokenizer"))
        return NULL;
    gr_tokenizer *t = gr_alloc_zero(1, sizeof *t);
    if (t) {
        *t = *of;
        t->scratch = (gr_tokenizer_scratch){0};
        t->is_share = true;
    }
    return t;
}

void gr_tokenizer_free(gr_tokenizer *t)
{
    if (!t)
        return;
    gr_tokenizer_scratch_free(&t->scratch);
    if (!t->is_share) {
        gr_tokenizer_clear(t);
        gr_free(t->json);
    }
    gr_free(t);
}

const char *gr_tokenizer_json(const gr_tokenizer *t, size_t *size)
{
    if (size)
        *size = t->json_size;
    return t->json;
}

int64_t gr_tokenizer_vocab_size(const gr_tokenizer *t)
{
    return (int64_t)(t->added.vocab.rows > t->model->vocab.rows ? t->added.vocab.rows : t->model->vocab.rows);
}

int64_t gr_tokenizer_find(const gr_tokenizer *t, const char *token, size_t size)
{
    int32_t id = gr_vocab_find(&t->added.vocab, token, size);
    return id >= 0 ? id : gr_vocab_find(&t->model->vocab, token, size);
}

gr_token gr_tokenizer_id(const gr_tokenizer *t, const char *token)
{
    if (gr_lacks(t, "gr_tokenizer_id: tokenizer") || gr_lacks(token, "gr_tokenizer_id: token"))
        return -1;
    return gr_tokenizer_find(t, token, strlen(token));
}

static const char *spelling(const gr_tokenizer *t, gr_token id, size_t *size)
{
    const char *text = gr_vocab_text(&t->added.vocab, id, size);
    return text ? text : gr_vocab_text(&t->model->vocab, id, size);
}

gr_token_kind gr_tokenizer_kind(const gr_tokenizer *t, gr_token id)
{
    size_t size;
    if (gr_vocab_text(&t->added.vocab, id, &size))
        return gr_added_is_special(&t->added, id) ? GR_TOKEN_CONTROL : GR_TOKEN_ADDED;
    return gr_vocab_text(&t->model->vocab, id, &size) ? GR_TOKEN_OF_MODEL : GR_TOKEN_NONE;
}

const char *gr_tokenizer_token(const gr_tokenizer *t, gr_token id, size_t *size, gr_token_kind *kind)
{
    size_t unasked;
    if (kind)
        *kind = GR_TOKEN_NONE;
    if (gr_lacks(t, "gr_tokenizer_token: tokenizer"))
        return NULL;
    if (kind)
        *kind = gr_tokenizer_kind(t, id);
    return spelling(t, id, size ? size : &unasked);
}

gr_token gr_tokenizer_bos(const gr_tokenizer *t)
{
    return t->bos;
}

gr_token gr_tokenizer_eos(const gr_tokenizer *t)
{
    return t->eos;
}

gr_tokenizer *gr_tokenizer_note(gr_tokenizer *t)
{
    if (t)
        t->info = (gr_tokenizer_info){.size = sizeof t->info,
                                      .vocab_size = gr_tokenizer_vocab_size(t),
                                      .bos = t->bos,
                                      .eos = t->eos,
                                      .json = t->json,
                                      .json_size = t->json_size};
    return t;
}

const gr_tokenizer_info *gr_tokenizer_describe(const gr_tokenizer *t)
{
    return gr_lacks(t, "gr_tokenizer_describe: tokenizer") ? NULL : &t->info;
}

gr_status gr_tokenizer_encode(gr_tokenizer *t, const char *text, size_t size, unsigned flags, const int32_t **ids,
                              size_t *n)
{
    if (gr_lacks(t, "gr_tokenizer_encode: tokenizer") || gr_lacks(ids, "gr_tokenizer_encode: ids") ||
        gr_lacks(n, "gr_tokenizer_encode: n") || (size && gr_lacks(text, "gr_tokenizer_encode: text")))
        return GR_ERR_ARGUMENT;
    text = text ? text : "";
    gr_status s = gr_tokenizer_run(t, &t->scratch, text, size, flags);
    *ids = s != GR_OK ? NULL : t->scratch.ids.data;
    *n = s != GR_OK ? 0 : t->scratch.ids.size;
    return s;
}

/* What an id decodes to, before the decoder. */
static const char *shown(const gr_tokenizer *t, int64_t id, size_t *size)
{
    const gr_added *a = &t->added;
    if (id < 0 || (uint64_t)id >= a->rows || !a->token[id].shown)
        return spelling(t, id, size);
    *size = a->token[id].shown_size;
    return a->token[id].shown;
}

/* Whether GR_SKIP_SPECIAL leaves an id out that decodes to this text. */
static bool is_hidden(const gr_tokenizer *t, int64_t id, const char *text, size_t size)
{
    const gr_added *a = &t->added;
    if ((uint64_t)id < a->rows && a->token[id].present)
        return a->token[id].hidden;
    int32_t other = t->model->vocab.repeats ? gr_vocab_find(&a->vocab, text, size) : -1;
    return other >= 0 && a->token[other].special;
}

gr_status gr_tokenizer_show(const gr_tokenizer *t, gr_tokenizer_scratch *s, const int32_t *ids, size_t n,
                            unsigned flags, gr_bytes *out)
{
    gr_status status = GR_OK;
    gr_strings_clear(&s->tokens);
    out->size = 0;
    for (size_t i = 0; i < n && status == GR_OK; i++) {
        size_t size;
        const char *text = shown(t, ids[i], &size);
        if (ids[i] < 0)
            return gr_fail(GR_ERR_ARGUMENT, "decode: id %d at place %zu is negative", ids[i], i);
        if (text && !(flags & GR_SKIP_SPECIAL && is_hidden(t, ids[i], text, size)))
            status = gr_strings_add(&s->tokens, text, size);
    }
    return status == GR_OK ? gr_decoder_run(t->decoder, &s->tokens, &s->tokens_spare, out) : status;
}

gr_status gr_tokenizer_decode(gr_tokenizer *t, const int32_t *ids, size_t n, unsigned flags, const char **text,
                              size_t *size)
{
    if (gr_lacks(t, "gr_tokenizer_decode: tokenizer") || gr_lacks(text, "gr_tokenizer_decode: text") ||
        gr_lacks(size, "gr_tokenizer_decode: size") || (n && gr_lacks(ids, "gr_tokenizer_decode: ids")))
        return GR_ERR_ARGUMENT;
    gr_tokenizer_scratch *s = &t->scratch;
    gr_status status = gr_tokenizer_show(t, s, ids, n, flags, &s->text);
    if (status == GR_OK)
        status = gr_bytes_add(&s->text, "", 1); /* a NUL for those who want a string */
    *text = status != GR_OK ? "" : s->text.data;
    *size = status != GR_OK ? 0 : s->text.size - 1;
    return status;
}

/* ---- streams ------------------------------------------------------------------------------------------------ */

enum { longest_wait = 16 }; /* ids that may wait for the rest of a character */

struct gr_text_stream {
    const gr_tokenizer *tokenizer;
    unsigned flags;
    gr_tokenizer_scratch scratch;
    gr_bytes bytes;  /* byte level: bytes of a character not complete yet */
    gr_ids ids;      /* else: ids whose text is still needed as context, then those not shown */
    size_t context;  /* how many of ids are context */
    gr_bytes before; /* text of the context */
    gr_bytes out;
};

gr_text_stream *gr_text_stream_new(const gr_tokenizer *t, unsigned flags)
{
    if (gr_lacks(t, "gr_text_stream_new: tokenizer"))
        return NULL;
    gr_text_stream *s = gr_alloc_zero(1, sizeof *s);
    if (s) {
        s->tokenizer = t;
        s->flags = flags;
    }
    return s;
}

void gr_text_stream_free(gr_text_stream *s)
{
    if (!s)
        return;
    gr_tokenizer_scratch_free(&s->scratch);
    gr_bytes_free(&s->bytes);
    gr_ids_free(&s->ids);
    gr_bytes_free(&s->before);
    gr_bytes_free(&s->out);
    gr_free(s);
}

/* Complete characters of the bytes so far; `end`: there is no more. */
static gr_status show_bytes(gr_text_stream *s, bool end)
{
    size_t used = 0;
    gr_status status = gr_utf8_repair(s->bytes.data, s->bytes.size, !end, &s->out, &used);
    if (status == GR_OK && used) {
        memmove(s->bytes.data, s->bytes.data + used, s->bytes.size - used);
        s->bytes.size -= used;
    }
    return status;
}

static bool ends_unfinished(const gr_bytes *b)
{
    return b->size >= 3 && memcmp(b->data + b->size - 3, "\xEF\xBF\xBD", 3) == 0;
}

/* Decoders may look at neighbours (the first token loses its space), so new ids are decoded behind some old ones, and
 * the text that these alone have is taken off. Text that ends in U+FFFD may be half a character: it waits. */
static gr_status show_ids(gr_text_stream *s, bool end)
{
    gr_bytes *all = &s->scratch.text;
    gr_status status = gr_tokenizer_show(s->tokenizer, &s->scratch, s->ids.data, s->ids.size, s->flags, all);
    bool wait = ends_unfinished(all) && !end && s->ids.size - s->context < longest_wait;
    if (status != GR_OK || wait || all->size <= s->before.size)
        return status;
    status = gr_bytes_add(&s->out, all->data + s->before.size, all->size - s->before.size);
    memmove(s->ids.data, s->ids.data + s->context, (s->ids.size - s->context) * sizeof *s->ids.data);
    s->ids.size -= s->context;
    s->context = s->ids.size;
    return status == GR_OK
               ? gr_tokenizer_show(s->tokenizer, &s->scratch, s->ids.data, s->ids.size, s->flags, &s->before)
               : status;
}

static gr_status feed(gr_text_stream *s, int32_t id)
{
    size_t size;
    const char *text = shown(s->tokenizer, id, &size);
    if (id < 0)
        return gr_fail(GR_ERR_ARGUMENT, "decode: id %d is negative", id);
    if (!text || (s->flags & GR_SKIP_SPECIAL && is_hidden(s->tokenizer, id, text, size)))
        return GR_OK;
    if (!gr_decoder_is_byte_level(s->tokenizer->decoder)) {
        gr_status status = gr_ids_add(&s->ids, id);
        return status == GR_OK ? show_ids(s, false) : status;
    }
    gr_status status = gr_bytes_reserve(&s->bytes, size);
    if (status == GR_OK && !gr_byte_level_decode(text, size, &s->bytes))
        status = gr_bytes_add(&s->bytes, text, size);
    return status == GR_OK ? show_bytes(s, false) : status;
}

static gr_status result(gr_text_stream *s, gr_status status, const char **text, size_t *size)
{
    if (status == GR_OK)
        status = gr_bytes_add(&s->out, "", 1);
    *text = status != GR_OK ? "" : s->out.data;
    *size = status != GR_OK ? 0 : s->out.size - 1;
    return status;
}

static gr_status rest(gr_text_stream *s)
{
    gr_status status = show_bytes(s, true);
    if (status == GR_OK && s->ids.size > s->context)
        status = show_ids(s, true);
    s->ids.size = s->context = s->before.size = 0;
    return status;
}

gr_status gr_text_stream_feed(gr_text_stream *s, gr_token id, const char **text, size_t *size)
{
    if (gr_lacks(s, "gr_text_stream_feed: stream") || gr_lacks(text, "gr_text_stream_feed: text") ||
        gr_lacks(size, "gr_text_stream_feed: size"))
        return GR_ERR_ARGUMENT;
    s->out.size = 0;
    return result(s, id == -1 ? rest(s) : feed(s, id), text, size);
}
