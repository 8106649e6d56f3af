/* Tokens, types, merges and scores of a tokenizer.json as keys; and the name of what cuts texts. */
#include "text/tokenizer_gguf.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "text/files/gguf.h"

#define KEY "tokenizer.ggml."

enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };

/* ---- what cuts texts ---------------------------------------------------------------------------------------- */

/* Every entry of the table cuts it in a way of its own (tests/gguf_test.c). */
const char gr_gguf_telling[] = "I'm sure they'Ll say don't, He'D rather'S x's x'sabc 1234567 12 \xC2\xBD \xE2\x85\xA7 "
                               "\xD9\xA3\xD9\xA4 \n\n  \t x  y\r\n foo/bar /\n!!?\n"
                               "\xE2\x80\xA6\xE3\x80\x82 \xC3\xA9t\xC3\xA9 \xC3\x89"
                               "a ABcDe aBC \xE0\xA4\xB9\xE0\xA4\xBF\xE0\xA4\xA8\xE0\xA5\x8D\xE0\xA4\xA6\xE0\xA5\x80 "
                               "\xE4\xB8\xAD\xE6\x96\x87"
                               "a\xE5\xAD\x97 \xE3\x81\xB2\xE3\x82\x89\xE3\x82\xAB\xE3\x83\x8A "
                               "\xED\x95\x9C\xEA\xB5\xAD\xEC\x96\xB4 \xE3\x84\x85\xE3\x84\x86 "
                               "<sentinel:12> IMGIMGABZ    $+<=>^~|`'(x)_y -a.b \xC2\xA0 z\n \n\t\n  ;;\n\r\n "
                               "\xE0\xB8\xAD\xE0\xB8\xB2 99 a\n 1 2\n";

gr_status gr_gguf_cut(const gr_pretokenizer *p, gr_pieces *out)
{
    gr_pieces spare = {0};
    gr_status s = gr_pieces_add(out, gr_gguf_telling, sizeof gr_gguf_telling - 1, 0);
    if (s == GR_OK)
        s = gr_pretokenizer_run(p, out, &spare);
    gr_pieces_free(&spare);
    return s;
}

gr_pretokenizer *gr_gguf_pretokenizer(const gr_gguf_pre *pre)
{
    gr_json_doc *doc = gr_json_new("the pre-tokenizer");
    gr_json root = gr_json_put_object(gr_json_root(doc), "pre_tokenizer");
    gr_json_put_text(root, "type", "Sequence");
    gr_json steps = gr_json_put_array(root, "pretokenizers");
    bool raw = true;
    for (int i = 0; i < GR_GGUF_PRE_STEPS && pre->steps[i]; i++) {
        gr_json step = gr_json_put_object(steps, NULL);
        gr_json_put_text(step, "type", "Split");
        gr_json_put_text(gr_json_put_object(step, "pattern"), "Regex", pre->steps[i]);
        gr_json_put_text(step, "behavior", "Isolated");
        gr_json_put_bool(step, "invert", false);
    }
    gr_pretokenizer *p = doc && gr_json_check(doc) == GR_OK ? gr_pretokenizer_read(root, &raw) : NULL;
    gr_json_free(doc);
    return p;
}

/* Pieces that begin and end alike. Where a ByteLevel step spells bytes the pieces' bytes differ, so their lengths in bytes of the
 * text are compared by the caller giving both without it. */
static bool same_pieces(const gr_pieces *a, const gr_pieces *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (a->piece[i].size != b->piece[i].size || memcmp(a->piece[i].text, b->piece[i].text, a->piece[i].size) != 0)
            return false;
    return true;
}

const char *gr_gguf_pre_of(gr_tokenizer *t, gr_json root)
{
    gr_pieces own = {0};
    const char *found = NULL;
    bool whole = gr_json_bool(gr_json_get(root, "model"), "ignore_merges", false);
    gr_status s = t->pretokenizer ? gr_gguf_cut(t->pretokenizer, &own)
                                  : gr_pieces_add(&own, gr_gguf_telling, sizeof gr_gguf_telling - 1, 0);
    for (int i = 0; s == GR_OK && !found && gr_gguf_pre_at(i); i++) {
        const gr_gguf_pre *pre = gr_gguf_pre_at(i);
        gr_pretokenizer *p = pre->whole == whole && !pre->plain ? gr_gguf_pretokenizer(pre) : NULL;
        gr_pieces is = {0};
        if (p && (s = gr_gguf_cut(p, &is)) == GR_OK && same_pieces(&own, &is))
            found = pre->names;
        gr_pieces_free(&is);
        gr_pretokenizer_free(p);
    }
    gr_pieces_free(&own);
    if (s == GR_OK && !found)
        gr_fail(GR_ERR_UNSUPPORTED,
                "none of the pre-tokenizers that GGUF files name cuts texts as this tokenizer does\ngive the "
                "name of one by --pre, if it is to be called that all the same");
    return found;
}

/* ---- tokens ------------------------------------------------------------------------------------------------- */

static bool is_byte(const char *text, size_t size)
{
    static const char digits[] = "0123456789ABCDEF";
    return size == 6 && memcmp(text, "<0x", 3) == 0 && strchr(digits, text[3]) && strchr(digits, text[4]) &&
           text[5] == '>';
}

static int32_t type_of(const gr_tokenizer *t, gr_token id, const char *text, size_t size, bool pieces, gr_token unknown)
{
    gr_token_kind kind = gr_tokenizer_kind(t, id);
    if (kind == GR_TOKEN_NONE)
        return UNUSED;
    if (pieces && id == unknown)
        return UNKNOWN;
    if (kind == GR_TOKEN_CONTROL)
        return CONTROL;
    if (kind == GR_TOKEN_ADDED)
        return USER_DEFINED;
    return pieces && is_byte(text, size) ? BYTE : NORMAL;
}

void gr_gguf_put_tokens(gr_tokenizer *t, int64_t rows, bool pieces, gr_token unknown, gr_gguf_keys *keys)
{
    gr_gguf_put_list(keys, KEY "tokens", GR_GGUF_TEXT, (uint64_t)rows);
    for (int64_t id = 0; id < rows; id++) {
        char room[32];
        size_t size = 0;
        const char *text = gr_tokenizer_token(t, (gr_token)id, &size, NULL);
        if (!text) {
            snprintf(room, sizeof room, "[PAD%lld]", (long long)id);
            text = room;
            size = strlen(room);
        }
        gr_gguf_add_text(keys, text, size);
    }
    gr_gguf_put_list(keys, KEY "token_type", GR_GGUF_I32, (uint64_t)rows);
    for (int64_t id = 0; id < rows; id++) {
        size_t size = 0;
        const char *text = gr_tokenizer_token(t, (gr_token)id, &size, NULL);
        gr_gguf_add_i32(keys, type_of(t, (gr_token)id, text ? text : "", size, pieces, unknown));
    }
}

/* A merge is "a b", or ["a", "b"]. */
static void put_merges(gr_json model, gr_gguf_keys *keys)
{
    gr_json merges = gr_json_as_array(gr_json_get(model, "merges"));
    size_t n = gr_json_size(merges);
    gr_bytes both = {0};
    gr_gguf_put_list(keys, KEY "merges", GR_GGUF_TEXT, n);
    for (size_t i = 0; i < n; i++) {
        gr_json m = gr_json_item(merges, i);
        size_t size;
        both.size = 0;
        if (gr_json_type_of(m) == GR_JSON_ARRAY) {
            for (size_t k = 0; k < 2; k++) {
                const char *text = gr_json_as_text(gr_json_item(m, k), &size);
                keys->status = keys->status == GR_OK ? gr_bytes_add(&both, text, size) : keys->status;
                if (k == 0 && keys->status == GR_OK)
                    keys->status = gr_bytes_add_string(&both, " ");
            }
            gr_gguf_add_text(keys, both.data ? both.data : "", both.size);
        } else {
            const char *text = gr_json_as_text(m, &size);
            gr_gguf_add_text(keys, text, size);
        }
    }
    gr_bytes_free(&both);
}

/* ---- what is put around a text ------------------------------------------------------------------------------ */

/* The token that is put before a text and the one behind it; -1: none. */
static gr_status find_ends(gr_tokenizer *t, gr_token *before, gr_token *behind)
{
    const gr_token *ids;
    gr_token around[2];
    size_t n, m;
    gr_status s = gr_tokenizer_encode(t, "", 0, GR_ADD_SPECIAL, &ids, &n);
    *before = *behind = -1;
    if (s != GR_OK || n == 0)
        return s;
    if (n > 2)
        return GR_ERR_UNSUPPORTED;
    memcpy(around, ids, n * sizeof *ids);
    s = n == 1 ? gr_tokenizer_encode(t, "a", 1, GR_ADD_SPECIAL, &ids, &m) : GR_OK;
    bool front = n == 2 || (s == GR_OK && m > 0 && ids[0] == around[0]);
    *before = front ? around[0] : -1;
    *behind = n == 2 || !front ? around[n - 1] : -1;
    return s;
}

gr_status gr_gguf_put_ends(gr_tokenizer *t, gr_gguf_keys *keys)
{
    gr_token before, behind;
    gr_status s = find_ends(t, &before, &behind);
    /* Where no file says what begins and what ends a text, these do. */
    gr_token bos = t->bos < 0 ? before : t->bos, eos = t->eos < 0 ? behind : t->eos;
    if (s == GR_ERR_UNSUPPORTED || (s == GR_OK && ((before >= 0 && before != bos) || (behind >= 0 && behind != eos))))
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "the tokenizer puts tokens around a text that are neither what begins nor what ends "
                       "one: GGUF files cannot say so");
    if (s != GR_OK)
        return s;
    gr_gguf_put_bool(keys, KEY "add_bos_token", before >= 0);
    gr_gguf_put_bool(keys, KEY "add_eos_token", behind >= 0);
    if (bos >= 0)
        gr_gguf_put_u32(keys, KEY "bos_token_id", (uint32_t)bos);
    if (eos >= 0)
        gr_gguf_put_u32(keys, KEY "eos_token_id", (uint32_t)eos);
    return keys->status;
}

/* ---- the kinds ---------------------------------------------------------------------------------------------- */

static gr_status put_levels(gr_tokenizer *t, gr_json root, const char *pre, int64_t rows, gr_gguf_keys *keys)
{
    const char *names = pre ? pre : gr_gguf_pre_of(t, root);
    if (!names)
        return gr_error_status();
    if (pre && !gr_gguf_pre_find(pre, strlen(pre)))
        return gr_fail(GR_ERR_ARGUMENT,
                       "there is no pre-tokenizer \"%s\"\nleave the name out, and it is found by what it does", pre);
    gr_gguf_put_text(keys, KEY "model", "gpt2", 4);
    gr_gguf_put_text(keys, KEY "pre", names, strcspn(names, " "));
    gr_gguf_put_tokens(t, rows, false, -1, keys);
    put_merges(gr_json_get(root, "model"), keys);
    return gr_gguf_put_ends(t, keys);
}

gr_status gr_gguf_put_tokenizer(gr_tokenizer *t, const char *pre, int64_t rows, gr_gguf_keys *keys)
{
    size_t size;
    const char *json = gr_tokenizer_json(t, &size);
    gr_json_doc *doc = gr_json_parse("tokenizer.json", json, size);
    gr_json root = gr_json_root(doc);
    if (!doc)
        return gr_error_status();
    const char *type = gr_json_text(gr_json_get(root, "model"), "type", "");
    int64_t vocab = gr_tokenizer_vocab_size(t);
    gr_status s;
    if (vocab > rows)
        s = gr_fail(GR_ERR_UNSUPPORTED,
                    "the tokenizer has %lld tokens, the model %lld: GGUF files have as many of both", (long long)vocab,
                    (long long)rows);
    else if (t->byte_level && strcmp(type, "BPE") == 0)
        s = put_levels(t, root, pre, rows, keys);
    else if (pre)
        s = gr_fail(GR_ERR_ARGUMENT,
                    "a pre-tokenizer is named for byte-level BPE, and this tokenizer is of another kind\n"
                    "leave the name out");
    else if (strcmp(type, "BPE") == 0 || strcmp(type, "Unigram") == 0)
        s = gr_gguf_put_pieces(t, root, rows, keys);
    else
        s = gr_fail(GR_ERR_UNSUPPORTED,
                    "tokenizers of the kind \"%.40s\" are not written to GGUF files\nthose of BPE and Unigram are",
                    type);
    if (s == GR_OK)
        s = gr_json_check(doc);
    gr_json_free(doc);
    return s == GR_OK ? keys->status : s;
}
