/* Tokens, scores, merges and settings of a GGUF file become a tokenizer.json. Byte-level BPE is put together here; for the two
 * kinds of SentencePiece a model of that program is written, which sentencepiece.c converts like any other. */
#include "text/files/gguf.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/files/convert.h"
#include "text/files/json_text.h"

#define KEY "tokenizer.ggml."

enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE }; /* token_type, and SentencePiece's types */

/* ---- keys --------------------------------------------------------------------------------------------------- */

static gr_status fail_key(const gr_gguf *g, const char *name, const char *why)
{
    return gr_fail(GR_ERR_FILE,
                   "%s: key \"" KEY "%s\" %s\nthe file is damaged, or was not finished: fetch another, or give a "
                   "tokenizer.json with --tokenizer",
                   gr_gguf_name(g), name, why);
}

static const gr_gguf_key *find(const gr_gguf *g, const char *name)
{
    char full[64];
    snprintf(full, sizeof full, KEY "%s", name);
    return gr_gguf_find(g, full);
}

static gr_gguf_text text_of(const gr_gguf *g, const char *name)
{
    char full[64];
    snprintf(full, sizeof full, KEY "%s", name);
    return gr_gguf_text_of(g, full);
}

static bool is(gr_gguf_text t, const char *word)
{
    return t.size == strlen(word) && memcmp(t.data, word, t.size) == 0;
}

static bool flag_of(const gr_gguf *g, const char *name, bool absent)
{
    const gr_gguf_key *k = find(g, name);
    bool yes = absent;
    return k && gr_gguf_bool(k, 0, &yes) ? yes : absent;
}

gr_token gr_gguf_token(const gr_gguf *file, const char *which)
{
    char name[48];
    int64_t id;
    snprintf(name, sizeof name, "%s_token_id", which);
    const gr_gguf_key *k = find(file, name), *tokens = find(file, "tokens");
    bool good = k && tokens && !k->is_array && gr_gguf_int(k, 0, &id) && id >= 0 && (uint64_t)id < tokens->count;
    return good ? (gr_token)id : -1;
}

bool gr_gguf_has_tokenizer(const gr_gguf *file)
{
    gr_gguf_text model = text_of(file, "model");
    bool none = is(model, "none") || is(model, "no_vocab");
    return gr_gguf_text_of(file, "tokenizer.huggingface.json").size || (model.size && !none);
}

/* ---- tokens ------------------------------------------------------------------------------------------------- */

/* What the arrays say; they are of one length. */
typedef struct tokens {
    const gr_gguf *file;
    const gr_gguf_key *text, *type, *score; /* type, score: may be NULL */
    size_t n;
} tokens;

static gr_status open_tokens(const gr_gguf *g, tokens *t)
{
    *t = (tokens){.file = g, .text = find(g, "tokens"), .type = find(g, "token_type"), .score = find(g, "scores")};
    if (!t->text || !t->text->is_array || t->text->type != GR_GGUF_TEXT || !t->text->count)
        return fail_key(g, "tokens", "must be a list of texts");
    t->n = t->text->count;
    if (t->n > INT32_MAX)
        return fail_key(g, "tokens", "has more tokens than there are ids");
    if (t->type && t->type->count != t->n)
        return fail_key(g, "token_type", "has another length than the list of tokens");
    if (t->score && t->score->count != t->n)
        return fail_key(g, "scores", "has another length than the list of tokens");
    return GR_OK;
}

static int type_at(const tokens *t, size_t i)
{
    int64_t type;
    return t->type && gr_gguf_int(t->type, i, &type) && type >= NORMAL && type <= BYTE ? (int)type : NORMAL;
}

/* An empty token cannot be found, and needs a name of its own. */
static gr_gguf_text name_at(gr_gguf_text text, size_t i, char room[32])
{
    if (text.size)
        return text;
    snprintf(room, 32, "[EMPTY_%zu]", i);
    return (gr_gguf_text){room, strlen(room)};
}

/* What is cut out of texts: all that the types say is not made by the model. */
static gr_status add_added(const tokens *t, gr_bytes *json)
{
    gr_gguf_text text;
    gr_status s = gr_bytes_add_string(json, "{\"version\": \"1.0\",\n\"added_tokens\": [");
    const char *separator = "\n";
    for (size_t at = 0, i = 0; s == GR_OK && gr_gguf_next(t->text, &at, &text); i++) {
        int type = type_at(t, i);
        if ((type != UNKNOWN && type != CONTROL && type != USER_DEFINED) || !text.size)
            continue;
        s = gr_bytes_add_string(json, separator);
        if (s == GR_OK)
            s = gr_json_add_added_token(json, (int64_t)i, text.data, text.size, type != USER_DEFINED);
        separator = ",\n";
    }
    return s == GR_OK ? gr_bytes_add_string(json, "],\n") : s;
}

static gr_status check_text(const tokens *t, gr_gguf_text text, size_t i)
{
    if (gr_utf8_valid(text.data, text.size))
        return GR_OK;
    return gr_fail(GR_ERR_FILE, "%s: token %zu is no UTF-8\nthe file is damaged: fetch it again", gr_gguf_name(t->file),
                   i);
}

/* ---- what is put around a text ------------------------------------------------------------------------------ */

static gr_status token_text(const tokens *t, gr_token id, gr_bytes *out)
{
    gr_gguf_text text = {"", 0};
    size_t at = 0;
    for (gr_token i = 0; i <= id; i++)
        if (!gr_gguf_next(t->text, &at, &text))
            break;
    return gr_json_add_text(out, text.data, text.size);
}

static gr_status add_format(gr_bytes *json, const char *fmt, ...) GR_PRINTF(2, 3);
static gr_status add_format(gr_bytes *json, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return gr_bytes_add_string(json, text);
}

/* The value of "post_processor". */
static gr_status add_post(const tokens *t, bool bos, bool eos, gr_bytes *json)
{
    gr_token first = gr_gguf_token(t->file, "bos"), last = gr_gguf_token(t->file, "eos");
    gr_bytes before = {0}, behind = {0};
    bos = bos && first >= 0;
    eos = eos && last >= 0;
    if (!bos && !eos)
        return gr_bytes_add_string(json, "null");
    gr_status s = bos ? token_text(t, first, &before) : GR_OK;
    if (s == GR_OK && eos)
        s = token_text(t, last, &behind);
    if (s == GR_OK)
        s = gr_json_add_template(json, &before, first, &behind, last);
    gr_bytes_free(&before);
    gr_bytes_free(&behind);
    return s;
}

/* ---- byte-level BPE ----------------------------------------------------------------------------------------- */

static gr_status choose(const gr_gguf *g, const gr_gguf_pre **out)
{
    char names[2048] = "", shown[64];
    gr_gguf_text name = text_of(g, "pre");
    if (is(text_of(g, "model"), "gemma4"))
        name = (gr_gguf_text){"gemma4", 6};
    *out = gr_gguf_pre_find(name.data, name.size);
    if (*out)
        return GR_OK;
    size_t n = 0;
    for (int i = 0; gr_gguf_pre_at(i) && n < sizeof names; i++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? " " : "", gr_gguf_pre_at(i)->names);
    return gr_fail(
        GR_ERR_UNSUPPORTED,
        "%s: %s%s%s, and so it is not known what cuts texts for these tokens\ngive the model's tokenizer.json "
        "with --tokenizer; names that are known: %s",
        gr_gguf_name(g), name.size ? "key \"" KEY "pre\" says \"" : "no key \"" KEY "pre\"",
        name.size ? gr_printable(name.data, name.size, shown, sizeof shown) : "", name.size ? "\"" : "", names);
}

static gr_status add_steps(const gr_gguf_pre *pre, gr_bytes *json)
{
    gr_status s = gr_bytes_add_string(json, pre->plain ? "\"normalizer\": {\"type\": \"Replace\", \"pattern\": "
                                                         "{\"String\": \" \"}, \"content\": \"\xE2\x96\x81\"},\n"
                                                       : "\"normalizer\": null,\n");
    if (s == GR_OK)
        s = gr_bytes_add_string(json, "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [");
    for (int i = 0; s == GR_OK && i < GR_GGUF_PRE_STEPS && pre->steps[i]; i++) {
        s = gr_bytes_add_string(json, i ? ", {\"type\": \"Split\", \"pattern\": {\"Regex\": "
                                        : "{\"type\": \"Split\", \"pattern\": {\"Regex\": ");
        if (s == GR_OK)
            s = gr_json_add_text(json, pre->steps[i], strlen(pre->steps[i]));
        if (s == GR_OK)
            s = gr_bytes_add_string(json, "}, \"behavior\": \"Isolated\", \"invert\": false}");
    }
    if (s == GR_OK && !pre->plain)
        s = gr_bytes_add_string(json,
                                ", {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "
                                "\"use_regex\": false}");
    if (s == GR_OK)
        s = gr_bytes_add_string(json, "]},\n\"decoder\": ");
    if (s == GR_OK)
        s = gr_bytes_add_string(
            json, pre->plain
                      ? "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", \"pattern\": {\"String\": "
                        "\"\xE2\x96\x81\"}, \"content\": \" \"}, {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}]}"
                      : "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, "
                        "\"use_regex\": true}");
    return s == GR_OK ? gr_bytes_add_string(json, ",\n\"post_processor\": ") : s;
}

static gr_status add_vocab(const tokens *t, gr_bytes *json)
{
    gr_gguf_text text;
    gr_status s = GR_OK;
    for (size_t at = 0, i = 0; s == GR_OK && gr_gguf_next(t->text, &at, &text); i++) {
        char room[32];
        s = check_text(t, text, i);
        text = name_at(text, i, room);
        if (s == GR_OK && i)
            s = gr_bytes_add_string(json, ",\n");
        if (s == GR_OK)
            s = gr_json_add_text(json, text.data, text.size);
        if (s == GR_OK)
            s = add_format(json, ": %zu", i);
    }
    return s;
}

/* "a b": the first space behind the first character is the cut, since a token may begin with one. */
static gr_status add_merges(const tokens *t, gr_bytes *json)
{
    const gr_gguf_key *merges = find(t->file, "merges");
    gr_gguf_text text;
    gr_status s = merges && merges->is_array && merges->type == GR_GGUF_TEXT
                      ? GR_OK
                      : fail_key(t->file, "merges", "must be a list of texts");
    size_t at = 0, i = 0;
    for (; s == GR_OK && gr_gguf_next(merges, &at, &text); i++) {
        const char *space = text.size > 2 ? memchr(text.data + 1, ' ', text.size - 2) : NULL;
        size_t cut = space ? (size_t)(space - text.data) : 0;
        if (!space || !gr_utf8_valid(text.data, text.size))
            return gr_fail(GR_ERR_FILE,
                           "%s: merge %zu is not two tokens with a space between them\nthe file is damaged: "
                           "fetch it again",
                           gr_gguf_name(t->file), i);
        s = gr_bytes_add_string(json, i ? ",\n[" : "[");
        if (s == GR_OK)
            s = gr_json_add_text(json, text.data, cut);
        if (s == GR_OK)
            s = gr_bytes_add_string(json, ", ");
        if (s == GR_OK)
            s = gr_json_add_text(json, text.data + cut + 1, text.size - cut - 1);
        if (s == GR_OK)
            s = gr_bytes_add_string(json, "]");
    }
    return s;
}

static gr_status convert_bpe(const tokens *t, gr_bytes *json)
{
    const gr_gguf_pre *pre;
    gr_status s = choose(t->file, &pre);
    if (s == GR_OK)
        s = add_added(t, json);
    if (s == GR_OK)
        s = add_steps(pre, json);
    if (s == GR_OK)
        s = add_post(t, flag_of(t->file, "add_bos_token", pre->bos), flag_of(t->file, "add_eos_token", false), json);
    if (s == GR_OK)
        s = add_format(json,
                       ",\n\"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, \"fuse_unk\": false, "
                       "\"byte_fallback\": %s, \"ignore_merges\": %s,\n\"vocab\": {",
                       pre->plain ? "true" : "false", pre->whole ? "true" : "false");
    if (s == GR_OK)
        s = add_vocab(t, json);
    if (s == GR_OK)
        s = gr_bytes_add_string(json, "},\n\"merges\": [");
    if (s == GR_OK)
        s = add_merges(t, json);
    return s == GR_OK ? gr_bytes_add_string(json, "]}}\n") : s;
}

/* ---- SentencePiece: a model of its own form, of fields tag << 3 | type -------------------------------------- */

static gr_status put_varint(gr_bytes *out, uint64_t x)
{
    char bytes[10];
    size_t n = 0;
    for (; x >= 0x80; x >>= 7)
        bytes[n++] = (char)(x | 0x80);
    bytes[n++] = (char)x;
    return gr_bytes_add(out, bytes, n);
}

static gr_status put_number(gr_bytes *out, int field, uint64_t x)
{
    gr_status s = put_varint(out, (uint64_t)field << 3);
    return s == GR_OK ? put_varint(out, x) : s;
}

static gr_status put_bytes(gr_bytes *out, int field, const void *data, size_t size)
{
    gr_status s = put_varint(out, (uint64_t)field << 3 | 2);
    if (s == GR_OK)
        s = put_varint(out, size);
    return s == GR_OK ? gr_bytes_add(out, data, size) : s;
}

static gr_status put_piece(const tokens *t, gr_gguf_text text, size_t i, gr_bytes *piece, gr_bytes *out)
{
    double score = 0;
    char bytes[5] = {2 << 3 | 5};
    if (t->score && !gr_gguf_real(t->score, i, &score))
        return fail_key(t->file, "scores", "has values that are no numbers");
    float narrow = (float)score;
    memcpy(bytes + 1, &narrow, 4);
    piece->size = 0;
    gr_status s = check_text(t, text, i);
    if (s == GR_OK)
        s = put_bytes(piece, 1, text.data, text.size);
    if (s == GR_OK)
        s = gr_bytes_add(piece, bytes, 5);
    if (s == GR_OK)
        s = put_number(piece, 3, (uint64_t)type_at(t, i));
    return s == GR_OK ? put_bytes(out, 1, piece->data, piece->size) : s;
}

static bool has_bytes(const tokens *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (type_at(t, i) == BYTE)
            return true;
    return false;
}

/* Where nothing says which token is for what is unknown, it is the one of that type. */
static uint64_t unknown_of(const tokens *t)
{
    gr_token told = gr_gguf_token(t->file, "unknown");
    for (size_t i = 0; told < 0 && i < t->n; i++)
        if (type_at(t, i) == UNKNOWN)
            told = (gr_token)i;
    return told < 0 ? 0 : (uint64_t)told;
}

static gr_status put_settings(const tokens *t, bool unigram, gr_bytes *out)
{
    const gr_gguf_key *table = find(t->file, "precompiled_charsmap");
    gr_bytes trainer = {0}, normalizer = {0};
    gr_status s = put_number(&trainer, 3, unigram ? 1 : 2);
    if (s == GR_OK)
        s = put_number(&trainer, 35, has_bytes(t));
    if (s == GR_OK)
        s = put_number(&trainer, 40, unknown_of(t));
    if (s == GR_OK) /* what is put around a text is said elsewhere */
        s = put_number(&trainer, 41, UINT64_MAX);
    if (s == GR_OK)
        s = put_number(&trainer, 42, UINT64_MAX);
    if (s == GR_OK && table && table->is_array && (table->type == GR_GGUF_U8 || table->type == GR_GGUF_I8))
        s = put_bytes(&normalizer, 2, table->data, table->bytes);
    if (s == GR_OK)
        s = put_number(&normalizer, 3, flag_of(t->file, "add_space_prefix", !unigram));
    if (s == GR_OK)
        s = put_number(&normalizer, 4, flag_of(t->file, "remove_extra_whitespaces", false));
    if (s == GR_OK)
        s = put_bytes(out, 2, trainer.data, trainer.size);
    if (s == GR_OK)
        s = put_bytes(out, 3, normalizer.data, normalizer.size);
    gr_bytes_free(&trainer);
    gr_bytes_free(&normalizer);
    return s;
}

/* One entry of the document replaced. */
static gr_status replace(gr_bytes *text, const char *key, const gr_bytes *value)
{
    gr_bytes out = {0};
    gr_status s = gr_json_add_replaced(&out, text->data, text->size, key, value);
    gr_bytes_free(s == GR_OK ? text : &out);
    if (s == GR_OK)
        *text = out;
    return s;
}

static gr_status convert_pieces(const tokens *t, bool unigram, gr_bytes *json)
{
    gr_bytes model = {0}, piece = {0}, text = {0}, post = {0};
    gr_gguf_text token;
    gr_status s = GR_OK;
    for (size_t at = 0, i = 0; s == GR_OK && gr_gguf_next(t->text, &at, &token); i++) {
        char room[32];
        s = put_piece(t, name_at(token, i, room), i, &piece, &model);
    }
    if (s == GR_OK)
        s = put_settings(t, unigram, &model);
    if (s == GR_OK)
        s = gr_convert_sentencepiece(gr_gguf_name(t->file), model.data, model.size, &text);
    if (s == GR_OK)
        s = add_post(t, flag_of(t->file, "add_bos_token", !unigram), flag_of(t->file, "add_eos_token", unigram), &post);
    if (s == GR_OK)
        s = replace(&text, "post_processor", &post);
    if (s == GR_OK)
        s = gr_bytes_add(json, text.data, text.size);
    gr_bytes_free(&model);
    gr_bytes_free(&piece);
    gr_bytes_free(&text);
    gr_bytes_free(&post);
    return s;
}

/* ---- the whole ---------------------------------------------------------------------------------------------- */

gr_status gr_convert_gguf(const gr_gguf *file, gr_bytes *json)
{
    gr_gguf_text own = gr_gguf_text_of(file, "tokenizer.huggingface.json"), model = text_of(file, "model");
    char shown[64];
    tokens t;
    if (own.size)
        return gr_bytes_add(json, own.data, own.size);
    if (!model.size)
        return fail_key(file, "model", "is not there, so it is not known what kind the tokenizer is of");
    gr_status s = open_tokens(file, &t);
    if (s != GR_OK)
        return s;
    if (is(model, "gpt2") || is(model, "gemma4"))
        return convert_bpe(&t, json);
    if (is(model, "llama") || is(model, "t5"))
        return convert_pieces(&t, is(model, "t5"), json);
    return gr_fail(GR_ERR_UNSUPPORTED,
                   "%s: a tokenizer of the kind \"%s\" is not supported\nsupported are gpt2, llama, t5 "
                   "and gemma4; give the model's tokenizer.json with --tokenizer",
                   gr_gguf_name(file), gr_printable(model.data, model.size, shown, sizeof shown));
}
