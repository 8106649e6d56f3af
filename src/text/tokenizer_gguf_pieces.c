/* BPE of pieces and Unigram as keys of a GGUF file: scores in place of merges, and settings that are found by what they do. */
#include "text/tokenizer_gguf.h"

#include <math.h>
#include <string.h>

#include "base/base64.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

#define KEY "tokenizer.ggml."
#define SPACE "\xE2\x96\x81"

typedef struct pieces {
    gr_tokenizer *t;
    gr_json root, model;
    int64_t rows;
    bool unigram;
    float *scores; /* [rows] */
    gr_token unknown;
    gr_gguf_keys keys; /* all but the settings */
} pieces;

/* ---- scores ------------------------------------------------------------------------------------------------- */

/* A merge is "a b", or ["a", "b"]: a, b into `both`, one behind the other. */
static gr_status read_merge(gr_json m, gr_bytes *both)
{
    size_t size;
    both->size = 0;
    if (gr_json_type_of(m) == GR_JSON_ARRAY) {
        const char *left = gr_json_as_text(gr_json_item(m, 0), &size);
        gr_status s = gr_bytes_add(both, left, size);
        const char *right = gr_json_as_text(gr_json_item(m, 1), &size);
        return s == GR_OK ? gr_bytes_add(both, right, size) : s;
    }
    const char *text = gr_json_as_text(m, &size), *space = size ? memchr(text + 1, ' ', size - 1) : NULL;
    size_t left = space ? (size_t)(space - text) : size;
    gr_status s = gr_bytes_add(both, text, left);
    return s == GR_OK && space ? gr_bytes_add(both, space + 1, size - left - 1) : s;
}

/* Where two pieces meet that are a token, such files merge them, tokens of higher scores first. So a token's score is when its
 * merges come, and merges of one token must come one after the other. */
static gr_status score_merges(pieces *p)
{
    gr_json merges = gr_json_as_array(gr_json_get(p->model, "merges"));
    gr_bytes both = {0};
    int64_t last = -1;
    float next = 0;
    gr_status s = GR_OK;
    for (int64_t i = 0; i < p->rows; i++)
        p->scores[i] = NAN;
    for (size_t i = 0; s == GR_OK && i < gr_json_size(merges); i++) {
        s = read_merge(gr_json_item(merges, i), &both);
        int64_t id = s == GR_OK ? gr_tokenizer_find(p->t, both.data, both.size) : -1;
        if (s == GR_OK && (id < 0 || (id != last && !isnan(p->scores[id]))))
            s = gr_fail(GR_ERR_UNSUPPORTED, "its merges are not in the order of their tokens, which is all that a GGUF "
                                            "file's scores can say\nwrite a directory, --to hf");
        if (s == GR_OK && id != last)
            p->scores[id] = next--;
        last = id;
    }
    for (int64_t i = 0; s == GR_OK && i < p->rows; i++)
        if (isnan(p->scores[i]))
            p->scores[i] = gr_tokenizer_kind(p->t, (gr_token)i) == GR_TOKEN_OF_MODEL ? next-- : 0;
    gr_bytes_free(&both);
    return s;
}

static void score_vocab(pieces *p)
{
    gr_json vocab = gr_json_as_array(gr_json_get(p->model, "vocab"));
    for (int64_t i = 0; i < p->rows && i < (int64_t)gr_json_size(vocab); i++)
        p->scores[i] = (float)gr_json_as_real(gr_json_item(gr_json_item(vocab, (size_t)i), 1), -1e30, 1e30);
}

static gr_status score(pieces *p)
{
    p->scores = gr_alloc_zero((size_t)p->rows, sizeof *p->scores);
    if (!p->scores)
        return GR_ERR_MEMORY;
    if (!p->unigram)
        return score_merges(p);
    score_vocab(p);
    return gr_json_check(p->root.doc);
}

static void find_unknown(pieces *p)
{
    size_t size = 0;
    gr_json unk = gr_json_get(p->model, p->unigram ? "unk_id" : "unk_token");
    p->unknown = -1;
    if (gr_json_type_of(unk) == GR_JSON_INT)
        p->unknown = (gr_token)gr_json_as_int(unk, 0, INT32_MAX);
    else if (gr_json_type_of(unk) == GR_JSON_TEXT) {
        const char *text = gr_json_as_text(unk, &size);
        p->unknown = (gr_token)gr_tokenizer_find(p->t, text, size);
    }
}

/* ---- SentencePiece's table of replacements ------------------------------------------------------------------ */

static gr_json find_table(gr_json normalizer)
{
    gr_json list = gr_json_get(normalizer, "normalizers");
    for (size_t i = 0; i < gr_json_size(list); i++) {
        gr_json table = find_table(gr_json_item(list, i));
        if (gr_json_is(table))
            return table;
    }
    return gr_json_get(normalizer, "precompiled_charsmap");
}

static gr_status put_table(pieces *p)
{
    gr_json v = find_table(gr_json_get(p->root, "normalizer"));
    size_t size = 0, n = 0;
    const char *text = gr_json_type_of(v) == GR_JSON_TEXT ? gr_json_as_text(v, &size) : NULL;
    if (!size)
        return GR_OK;
    unsigned char *table = gr_alloc(size);
    if (!table)
        return GR_ERR_MEMORY;
    if (gr_base64_decode(text, size, table, &n)) {
        gr_gguf_put_list(&p->keys, KEY "precompiled_charsmap", GR_GGUF_U8, n);
        gr_gguf_add_bytes(&p->keys, table, n);
    }
    gr_free(table);
    return p->keys.status;
}

/* ---- settings ----------------------------------------------------------------------------------------------- */

typedef struct settings {
    bool prefix, remove;
} settings;

static void put_settings(gr_gguf_keys *keys, settings how)
{
    gr_gguf_put_bool(keys, KEY "add_space_prefix", how.prefix);
    gr_gguf_put_bool(keys, KEY "remove_extra_whitespaces", how.remove);
}

/* What a reader makes of the keys; NULL: gr_error(). */
static gr_tokenizer *read_again(const pieces *p, settings how)
{
    gr_gguf_keys keys = {0};
    gr_bytes file = {0}, json = {0};
    gr_gguf_join(&keys, &p->keys);
    put_settings(&keys, how);
    gr_gguf *g =
        gr_gguf_keys_alone(&keys, &file) == GR_OK ? gr_gguf_parse("the GGUF file", file.data, file.size) : NULL;
    gr_tokenizer *t = g && gr_convert_gguf(g, &json) == GR_OK ? gr_tokenizer_from_json(json.data, json.size) : NULL;
    gr_gguf_close(g);
    gr_gguf_keys_free(&keys);
    gr_bytes_free(&file);
    gr_bytes_free(&json);
    return t;
}

/* The same ids, or both have none. */
static gr_status same_ids(gr_tokenizer *a, gr_tokenizer *b, const gr_bytes *text, unsigned flags, bool *same)
{
    const gr_token *x, *y;
    size_t n, m;
    gr_status s = gr_tokenizer_encode(a, text->data, text->size, flags, &x, &n);
    gr_status s2 = gr_tokenizer_encode(b, text->data, text->size, flags, &y, &m);
    if (s == GR_ERR_MEMORY || s2 == GR_ERR_MEMORY)
        return GR_ERR_MEMORY;
    *same = s == s2 && (s != GR_OK || (n == m && memcmp(x, y, n * sizeof *x) == 0));
    return GR_OK;
}

/* The text with a control token in front of it, in the middle and behind it. */
static gr_status surround(const pieces *p, const char *text, size_t size, gr_bytes *out)
{
    size_t n = 0, half = size / 2;
    gr_token id = p->t->eos >= 0 ? p->t->eos : p->t->bos;
    const char *token = id >= 0 ? gr_tokenizer_token(p->t, id, &n, NULL) : "";
    while (half < size && ((unsigned char)text[half] & 0xC0) == 0x80)
        half++;
    out->size = 0;
    gr_status s = gr_bytes_add(out, token, n);
    if (s == GR_OK)
        s = gr_bytes_add(out, text, half);
    if (s == GR_OK)
        s = gr_bytes_add(out, token, n);
    if (s == GR_OK)
        s = gr_bytes_add(out, text + half, size - half);
    return s == GR_OK ? gr_bytes_add(out, token, n) : s;
}

/* What both tokenizers read alike: plain texts; and those where a piece may or may not be given a space in front, since the text
 * has one, or a control token stands there. */
typedef struct alike {
    bool plain, edges;
} alike;

/* Added tokens between words: some take the spaces beside them, or stand for whole words alone. */
static gr_status compare_added(const pieces *p, gr_tokenizer *is, gr_bytes *text, bool *alike_too)
{
    enum { MOST = 256 };
    gr_status s = GR_OK;
    int64_t vocab = gr_tokenizer_vocab_size(p->t);
    for (int64_t id = 0, n = 0; s == GR_OK && id < vocab && n < MOST; id++) {
        gr_token_kind kind = gr_tokenizer_kind(p->t, (gr_token)id);
        size_t size = 0;
        const char *token = gr_tokenizer_token(p->t, (gr_token)id, &size, NULL);
        bool same = true;
        if (kind != GR_TOKEN_ADDED && kind != GR_TOKEN_CONTROL)
            continue;
        n++;
        text->size = 0;
        s = gr_bytes_add_string(text, "a ");
        for (int i = 0; s == GR_OK && i < 2; i++) {
            s = gr_bytes_add(text, token, size);
            if (s == GR_OK)
                s = gr_bytes_add_string(text, i ? "b" : " b c");
        }
        if (s == GR_OK)
            s = same_ids(p->t, is, text, GR_PARSE_SPECIAL, &same);
        *alike_too &= same;
    }
    return s;
}

static gr_status compare(const pieces *p, gr_tokenizer *is, alike *out)
{
    static const char *const texts[] = {
        gr_gguf_telling,
        "The quick brown fox  jumps over\tthe lazy dog.\n\nAnd then?",
        "  two  before, and behind  ",
        "a",
        " ",
        "\xEF\xAC\x81 \xEF\xBC\xA1\xEF\xBD\x82 \xE2\x91\xA0 A\xCC\x8A \xC3\x85 \xE2\x84\xAB",
        SPACE "x " SPACE " \xF0\x9F\x8E\x89 \x01\x7F"};
    gr_status s = GR_OK;
    gr_bytes text = {0};
    *out = (alike){true, true};
    for (size_t i = 0; s == GR_OK && i < sizeof texts / sizeof *texts; i++) {
        bool same = false;
        text.size = 0;
        s = gr_bytes_add_string(&text, texts[i]);
        if (s == GR_OK)
            s = same_ids(p->t, is, &text, GR_ADD_SPECIAL, &same);
        *(texts[i][0] == ' ' || strncmp(texts[i], SPACE, strlen(SPACE)) == 0 ? &out->edges : &out->plain) &= same;
        if (s == GR_OK)
            s = surround(p, texts[i], strlen(texts[i]), &text);
        if (s == GR_OK)
            s = same_ids(p->t, is, &text, GR_PARSE_SPECIAL, &same);
        out->edges &= same;
    }
    if (s == GR_OK)
        s = compare_added(p, is, &text, &out->edges);
    gr_bytes_free(&text);
    return s;
}

/* The settings that do what its normalizer and pre-tokenizer do; those that do it at edges, too, before others. */
static gr_status find_settings(const pieces *p, settings *how, alike *found)
{
    static const settings all[] = {{true, false}, {false, false}, {true, true}, {false, true}};
    gr_status s = GR_OK;
    *found = (alike){false, false};
    for (size_t i = 0; s == GR_OK && i < sizeof all / sizeof *all && !found->edges; i++) {
        alike is = {false, false};
        gr_tokenizer *t = read_again(p, all[i]);
        s = t ? compare(p, t, &is) : gr_error_status();
        gr_tokenizer_free(t);
        if (s != GR_OK || !is.plain || (found->plain && !is.edges))
            continue;
        *found = is;
        *how = all[i];
    }
    if (s == GR_OK && !found->plain)
        s = gr_fail(GR_ERR_UNSUPPORTED,
                    "the settings that GGUF files have for tokenizers of pieces do not do to texts what "
                    "this one's normalizer and pre-tokenizer do: it cannot be written");
    return s;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static gr_status put_all(pieces *p, gr_gguf_keys *keys)
{
    settings how = {0};
    alike found;
    gr_gguf_put_text(&p->keys, KEY "model", p->unigram ? "t5" : "llama", p->unigram ? 2 : 5);
    gr_gguf_put_text(&p->keys, KEY "pre", "default", 7);
    gr_gguf_put_tokens(p->t, p->rows, true, p->unknown, &p->keys);
    gr_gguf_put_list(&p->keys, KEY "scores", GR_GGUF_F32, (uint64_t)p->rows);
    for (int64_t i = 0; i < p->rows; i++)
        gr_gguf_add_f32(&p->keys, p->scores[i]);
    if (p->unknown >= 0)
        gr_gguf_put_u32(&p->keys, KEY "unknown_token_id", (uint32_t)p->unknown);
    gr_status s = put_table(p);
    if (s == GR_OK)
        s = gr_gguf_put_ends(p->t, &p->keys);
    if (s == GR_OK)
        s = find_settings(p, &how, &found);
    if (s != GR_OK)
        return s;
    gr_gguf_join(keys, &p->keys);
    put_settings(keys, how);
    if (!found.edges) {
        gr_remark(GR_LOG_WARN,
                  "llama.cpp may read texts that begin with a space, and those with added tokens, in other ids: "
                  "this tokenizer does not always put a space there; here the file's "
                  "tokenizer.huggingface.json counts");
        gr_gguf_put_text(keys, "tokenizer.huggingface.json", p->t->json, p->t->json_size);
    }
    return keys->status;
}

gr_status gr_gguf_put_pieces(gr_tokenizer *t, gr_json root, int64_t rows, gr_gguf_keys *keys)
{
    pieces p = {.t = t, .root = root, .model = gr_json_get(root, "model"), .rows = rows};
    p.unigram = strcmp(gr_json_text(p.model, "type", ""), "Unigram") == 0;
    find_unknown(&p);
    gr_status s = score(&p);
    if (s == GR_OK)
        s = put_all(&p, keys);
    gr_free(p.scores);
    gr_gguf_keys_free(&p.keys);
    return s;
}
