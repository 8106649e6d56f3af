/* SentencePiece's tokenizer.model: a protocol buffer with pieces, scores and a few settings. */
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
#include "text/files/convert.h"
#include "text/files/json_text.h"
#include "base/utf8.h"
#include "text/vocab/vocab.h"
#include "base/base64.h"
#include "base/error.h"

/* ---- protocol buffers: fields of tag << 3 | type ------------------------------------------------------------ */

typedef struct field {
    uint32_t number;
    int type;         /* 0 varint, 1 eight bytes, 2 a string, 5 four bytes */
    uint64_t value;   /* varint */
    const char *data; /* the others */
    size_t size;
} field;

typedef struct message {
    const char *p, *end, *start;
    const char *name;
} message;

static gr_status fail_at(const message *m, const char *what)
{
    return gr_fail(GR_ERR_FILE, "%s: %s (at byte %zu)\nit is not a SentencePiece model, or damaged: fetch it again",
                   m->name, what, (size_t)(m->p - m->start));
}

static gr_status read_varint(message *m, uint64_t *out)
{
    *out = 0;
    for (int shift = 0; shift < 64 && m->p < m->end; shift += 7) {
        unsigned char c = (unsigned char)*m->p++;
        *out |= (uint64_t)(c & 0x7F) << shift;
        if (c < 0x80)
            return GR_OK;
    }
    return fail_at(m, "a number has no end");
}

/* The next field; m->p < m->end. */
static gr_status read_field(message *m, field *f)
{
    uint64_t tag, size = 0;
    gr_status s = read_varint(m, &tag);
    *f = (field){.number = (uint32_t)(tag >> 3), .type = (int)(tag & 7)};
    if (s != GR_OK)
        return s;
    if (f->type == 0)
        return read_varint(m, &f->value);
    if (f->type == 2)
        s = read_varint(m, &size);
    else if (f->type == 1 || f->type == 5)
        size = f->type == 1 ? 8 : 4;
    else
        return fail_at(m, "a field of unknown type");
    if (s == GR_OK && size > (size_t)(m->end - m->p))
        s = fail_at(m, "a field is longer than the file");
    if (s != GR_OK)
        return s;
    f->data = m->p;
    f->size = (size_t)size;
    m->p += size;
    return GR_OK;
}

/* ---- what the model says ------------------------------------------------------------------------------------ */

enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };
enum { UNIGRAM = 1, BPE };

typedef struct piece {
    const char *text; /* in the file */
    size_t size;
    float score;
    int type;
} piece;

typedef struct model {
    const char *name;
    piece *piece;
    size_t n, cap;
    gr_vocab vocab;
    int type;
    bool byte_fallback, add_prefix, remove_spaces, escape_spaces;
    field table; /* precompiled_charsmap; size 0: none */
    int64_t unk, bos, eos;
    field unk_piece, bos_piece, eos_piece; /* what the trainer calls them; size 0: as usual */
} model;

static gr_status read_piece(model *m, message in)
{
    piece p = {.text = "", .type = NORMAL};
    gr_status s = GR_OK;
    for (field f; in.p < in.end && s == GR_OK;) {
        s = read_field(&in, &f);
        if (s == GR_OK && f.number == 1 && f.type == 2) {
            p.text = f.data;
            p.size = f.size;
        }
        if (s == GR_OK && f.number == 2 && f.type == 5)
            memcpy(&p.score, f.data, 4);
        if (s == GR_OK && f.number == 3 && f.type == 0)
            p.type = (int)f.value;
    }
    if (s == GR_OK && (!gr_utf8_valid(p.text, p.size) || !isfinite(p.score)))
        s = fail_at(&in, "a piece is not UTF-8, or its score not a number");
    if (s == GR_OK)
        s = gr_vocab_add(&m->vocab, p.text, p.size, (uint32_t)m->n);
    if (s == GR_OK)
        s = gr_grow(&m->piece, &m->cap, m->n + 1, sizeof *m->piece);
    if (s == GR_OK)
        m->piece[m->n++] = p;
    return s;
}

static gr_status read_trainer(model *m, message in)
{
    gr_status s = GR_OK;
    for (field f; in.p < in.end && s == GR_OK;) {
        s = read_field(&in, &f);
        if (s == GR_OK && f.type == 2 && f.number == 45)
            m->unk_piece = f;
        if (s == GR_OK && f.type == 2 && f.number == 46)
            m->bos_piece = f;
        if (s == GR_OK && f.type == 2 && f.number == 47)
            m->eos_piece = f;
        if (s != GR_OK || f.type != 0)
            continue;
        if (f.number == 3)
            m->type = (int)f.value;
        if (f.number == 35)
            m->byte_fallback = f.value != 0;
        if (f.number == 40)
            m->unk = (int32_t)f.value;
        if (f.number == 41)
            m->bos = (int32_t)f.value;
        if (f.number == 42)
            m->eos = (int32_t)f.value;
    }
    return s;
}

static gr_status read_normalizer(model *m, message in)
{
    gr_status s = GR_OK;
    for (field f; in.p < in.end && s == GR_OK;) {
        s = read_field(&in, &f);
        if (s == GR_OK && f.number == 2 && f.type == 2)
            m->table = f;
        if (s == GR_OK && f.number == 3 && f.type == 0)
            m->add_prefix = f.value != 0;
        if (s == GR_OK && f.number == 4 && f.type == 0)
            m->remove_spaces = f.value != 0;
        if (s == GR_OK && f.number == 5 && f.type == 0)
            m->escape_spaces = f.value != 0;
    }
    return s;
}

static gr_status read_model(model *m, const char *data, size_t size)
{
    message in = {data, data + size, data, m->name};
    gr_status s = GR_OK;
    for (field f; in.p < in.end && s == GR_OK;) {
        s = read_field(&in, &f);
        if (s != GR_OK || f.type != 2)
            continue;
        message inner = {f.data, f.data + f.size, data, m->name};
        if (f.number == 1)
            s = read_piece(m, inner);
        if (f.number == 2)
            s = read_trainer(m, inner);
        if (f.number == 3)
            s = read_normalizer(m, inner);
    }
    if (s == GR_OK && m->n == 0)
        s = fail_at(&in, "there are no pieces");
    if (s == GR_OK && (m->unk < 0 || m->unk >= (int64_t)m->n || m->bos >= (int64_t)m->n))
        s = fail_at(&in, "the ids of <unk> and <s> are not pieces");
    return s;
}

/* LLaMA's and Gemma's classes make BPE of any model and leave its table out, like transformers' own. */
static gr_status check_kind(const model *m)
{
    if (m->type == UNIGRAM || m->type == BPE)
        return GR_OK;
    return gr_fail(GR_ERR_UNSUPPORTED,
                   "%s: a word or character model is not supported\nthose of the types unigram and bpe are", m->name);
}

static model new_model(const char *name)
{
    return (model){.name = name,
                   .type = UNIGRAM,
                   .add_prefix = true,
                   .remove_spaces = true,
                   .escape_spaces = true,
                   .unk = 0,
                   .bos = 1,
                   .eos = 2};
}

static bool has_type(const model *m, int type)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->piece[i].type == type)
            return true;
    return false;
}

/* ---- merges: SentencePiece has only scores, so every way to split a piece into two pieces is one ------------ */

typedef struct merge {
    uint32_t left, right, whole, cut;
    float score;
    size_t order;
} merge;

/* Best score first; of equal ones as found: this is the order of the tokenizer.json that LLaMA 2 was released with. */
static int compare_merges(const void *x, const void *y)
{
    const merge *a = x, *b = y;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

/* By the id of what comes out: the order that transformers' classes give; and by score first, as its own settings do. */
static int compare_by_id(const void *x, const void *y)
{
    const merge *a = x, *b = y;
    if (a->whole != b->whole)
        return a->whole < b->whole ? -1 : 1;
    return a->cut < b->cut ? -1 : a->cut > b->cut;
}

static int compare_by_score(const void *x, const void *y)
{
    const merge *a = x, *b = y;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return compare_by_id(x, y);
}

static int compare_parts(const void *x, const void *y)
{
    const merge *a = x, *b = y;
    if (a->left != b->left)
        return a->left < b->left ? -1 : 1;
    return a->right < b->right ? -1 : a->right > b->right;
}

typedef struct merges {
    merge *at;
    size_t n, cap;
} merges;

enum { longest_piece = 1024 }; /* bytes; splitting takes the square of it */

static gr_status split_piece(const model *m, const piece *p, bool only_normal, merges *out)
{
    size_t first = out->n;
    gr_status s = GR_OK;
    if (p->size > longest_piece)
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "%s: a piece of %zu bytes, the most is %d\ncheck that this is the right file", m->name, p->size,
                       longest_piece);
    for (size_t cut = 1; cut < p->size && s == GR_OK; cut++) {
        if (((unsigned char)p->text[cut] & 0xC0) == 0x80)
            continue;
        int32_t left = gr_vocab_find(&m->vocab, p->text, cut);
        int32_t right = left < 0 ? -1 : gr_vocab_find(&m->vocab, p->text + cut, p->size - cut);
        if (right < 0 || (only_normal && (m->piece[left].type != NORMAL || m->piece[right].type != NORMAL)))
            continue;
        s = gr_grow(&out->at, &out->cap, out->n + 1, sizeof *out->at);
        if (s == GR_OK)
            out->at[out->n++] =
                (merge){(uint32_t)left, (uint32_t)right, (uint32_t)(p - m->piece), (uint32_t)cut, p->score, 0};
    }
    if (s == GR_OK && out->n > first)
        qsort(out->at + first, out->n - first, sizeof *out->at, compare_parts);
    return s;
}

static gr_status find_merges(const model *m, const gr_tokenizer_class *c, merges *out)
{
    gr_status s = GR_OK;
    bool only_normal = c && c->way == GR_SPM_ITS_OWN;
    for (size_t i = 0; i < m->n && s == GR_OK; i++)
        if (!only_normal || m->piece[i].type == NORMAL)
            s = split_piece(m, &m->piece[i], only_normal, out);
    for (size_t i = 0; i < out->n; i++)
        out->at[i].order = i;
    if (s == GR_OK && out->n)
        qsort(out->at, out->n, sizeof *out->at, !c ? compare_merges : only_normal ? compare_by_score : compare_by_id);
    return s;
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

static gr_status add_piece_text(gr_bytes *json, const piece *p)
{
    return gr_json_add_text(json, p->text, p->size);
}

/* Control tokens are special; user-defined ones are cut out of the text but are text. */
static gr_status add_added(const model *m, gr_bytes *json)
{
    gr_status s = gr_bytes_add_string(json, "{\"version\": \"1.0\",\n\"added_tokens\": [");
    const char *separator = "\n";
    for (size_t i = 0; i < m->n && s == GR_OK; i++) {
        const piece *p = &m->piece[i];
        if ((p->type != UNKNOWN && p->type != CONTROL && p->type != USER_DEFINED) || !p->size)
            continue;
        s = gr_bytes_add_string(json, separator);
        if (s == GR_OK)
            s = gr_json_add_added_token(json, (int64_t)i, p->text, p->size, p->type != USER_DEFINED);
        separator = ",\n";
    }
    return s == GR_OK ? gr_bytes_add_string(json, "],\n") : s;
}

/* "<s>" before the text. */
static gr_status add_template(const piece *bos, int64_t id, gr_bytes *json)
{
    gr_bytes name = {0};
    gr_status s = add_piece_text(&name, bos);
    char *text = NULL;
    if (s == GR_OK)
        s = gr_bytes_add(&name, "", 1);
    if (s == GR_OK)
        text = gr_strfmt(
            "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": %s, "
            "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [{\"SpecialToken\": "
            "{\"id\": %s, \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, {\"SpecialToken\": "
            "{\"id\": %s, \"type_id\": 1}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}],\n"
            "\"special_tokens\": {%s: {\"id\": %s, \"ids\": [%lld], \"tokens\": [%s]}}},\n",
            name.data, name.data, name.data, name.data, name.data, (long long)id, name.data);
    if (s == GR_OK)
        s = text ? gr_bytes_add_string(json, text) : GR_ERR_MEMORY;
    gr_bytes_free(&name);
    gr_free(text);
    return s;
}

/* LLaMA's way: a space becomes U+2581, one stands before the text, the decoder takes both back; <s> comes first. */
static gr_status add_stages(const model *m, gr_bytes *json)
{
    gr_status s = gr_bytes_add_string(json, "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [");
    if (s == GR_OK && m->add_prefix)
        s = gr_bytes_add_string(json, "{\"type\": \"Prepend\", \"prepend\": \"\xE2\x96\x81\"}, ");
    if (s == GR_OK)
        s = gr_bytes_add_string(json, "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": "
                                      "\"\xE2\x96\x81\"}]},\n\"decoder\": {\"type\": \"Sequence\", \"decoders\": ["
                                      "{\"type\": \"Replace\", \"pattern\": {\"String\": \"\xE2\x96\x81\"}, "
                                      "\"content\": \" \"}, {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}");
    if (s == GR_OK && m->add_prefix)
        s = gr_bytes_add_string(json, ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}");
    if (s == GR_OK)
        s = gr_bytes_add_string(json, "]},\n");
    return s != GR_OK || m->bos < 0 || m->type != BPE ? s : add_template(&m->piece[m->bos], m->bos, json);
}

static gr_status add_vocab(const model *m, gr_bytes *json)
{
    gr_status s = gr_bytes_add_string(json, ",\n\"vocab\": {");
    for (size_t i = 0; i < m->n && s == GR_OK; i++) {
        char number[32];
        snprintf(number, sizeof number, ": %zu", i);
        s = i ? gr_bytes_add_string(json, ",\n") : GR_OK;
        if (s == GR_OK)
            s = add_piece_text(json, &m->piece[i]);
        if (s == GR_OK)
            s = gr_bytes_add_string(json, number);
    }
    return s == GR_OK ? gr_bytes_add_string(json, "},\n\"merges\": [") : s;
}

/* unk: its name; size 0: none. */
static gr_status add_bpe(const model *m, const gr_tokenizer_class *c, const piece *unk, gr_bytes *json)
{
    merges found = {0};
    bool byte_fallback = m->byte_fallback || (c && c->way != GR_SPM_ITS_OWN);
    bool whole = c && c->way == GR_SPM_ITS_OWN && has_type(m, USER_DEFINED);
    gr_status s = find_merges(m, c, &found);
    if (s == GR_OK)
        s = gr_bytes_add_string(json, "\"model\": {\"type\": \"BPE\", \"fuse_unk\": true, \"byte_fallback\": ");
    if (s == GR_OK)
        s = gr_bytes_add_string(json, byte_fallback ? "true, " : "false, ");
    if (s == GR_OK)
        s = gr_bytes_add_string(json, whole ? "\"ignore_merges\": true, \"unk_token\": " : "\"unk_token\": ");
    if (s == GR_OK)
        s = unk->size ? add_piece_text(json, unk) : gr_bytes_add_string(json, "null");
    if (s == GR_OK)
        s = add_vocab(m, json);
    for (size_t i = 0; i < found.n && s == GR_OK; i++) {
        s = gr_bytes_add_string(json, i ? ",\n[" : "\n[");
        if (s == GR_OK)
            s = add_piece_text(json, &m->piece[found.at[i].left]);
        if (s == GR_OK)
            s = gr_bytes_add_string(json, ", ");
        if (s == GR_OK)
            s = add_piece_text(json, &m->piece[found.at[i].right]);
        if (s == GR_OK)
            s = gr_bytes_add_string(json, "]");
    }
    gr_free(found.at);
    return s == GR_OK ? gr_bytes_add_string(json, "]}}\n") : s;
}

static gr_status add_unigram(const model *m, gr_bytes *json)
{
    char number[64];
    snprintf(number, sizeof number, "\"model\": {\"type\": \"Unigram\", \"unk_id\": %lld, ", (long long)m->unk);
    gr_status s = gr_bytes_add_string(json, number);
    if (s == GR_OK)
        s = gr_bytes_add_string(json, m->byte_fallback ? "\"byte_fallback\": true, \"vocab\": ["
                                                       : "\"byte_fallback\": false, \"vocab\": [");
    for (size_t i = 0; i < m->n && s == GR_OK; i++) {
        snprintf(number, sizeof number, ", %.17g]", (double)m->piece[i].score);
        s = gr_bytes_add_string(json, i ? ",\n[" : "\n[");
        if (s == GR_OK)
            s = add_piece_text(json, &m->piece[i]);
        if (s == GR_OK)
            s = gr_bytes_add_string(json, number);
    }
    return s == GR_OK ? gr_bytes_add_string(json, "]}}\n") : s;
}

/* ---- as transformers' classes make it ----------------------------------------------------------------------- */

/* Python's re.escape: what is special in a regex gets a backslash. */
static gr_status add_escaped(gr_bytes *out, const char *text, size_t size)
{
    gr_status s = GR_OK;
    for (size_t i = 0; i < size && s == GR_OK; i++) {
        if (memchr("()[]{}?*+-|^$\\.&~# \t\n\r\v\f", text[i], 25))
            s = gr_bytes_add(out, "\\", 1);
        if (s == GR_OK)
            s = gr_bytes_add(out, text + i, 1);
    }
    return s;
}

static size_t count_characters(const piece *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->size; i++)
        n += ((unsigned char)p->text[i] & 0xC0) != 0x80;
    return n;
}

typedef struct ranked {
    const piece *piece;
    size_t length;
} ranked;

/* Longest first, equal ones as they stand in the model. */
static int compare_lengths(const void *x, const void *y)
{
    const ranked *a = x, *b = y;
    if (a->length != b->length)
        return a->length > b->length ? -1 : 1;
    return a->piece < b->piece ? -1 : a->piece > b->piece;
}

/* User-defined pieces stand alone: a step of the pre-tokenizer that isolates them. */
static gr_status add_user_defined(const model *m, gr_bytes *json)
{
    ranked *list = NULL;
    size_t n = 0, cap = 0;
    gr_bytes regex = {0};
    gr_status s = GR_OK;
    for (size_t i = 0; i < m->n && s == GR_OK; i++)
        if (m->piece[i].type == USER_DEFINED && !(s = gr_grow(&list, &cap, n + 1, sizeof *list)))
            list[n++] = (ranked){&m->piece[i], count_characters(&m->piece[i])};
    if (s == GR_OK && n)
        qsort(list, n, sizeof *list, compare_lengths);
    for (size_t i = 0; i < n && s == GR_OK; i++) {
        s = i ? gr_bytes_add_string(&regex, "|") : GR_OK;
        if (s == GR_OK)
            s = add_escaped(&regex, list[i].piece->text, list[i].piece->size);
    }
    if (s == GR_OK)
        s = gr_bytes_add_string(json, "{\"type\": \"Split\", \"pattern\": {\"Regex\": ");
    if (s == GR_OK)
        s = gr_json_add_text(json, regex.data ? regex.data : "", regex.size);
    gr_free(list);
    gr_bytes_free(&regex);
    return s == GR_OK ? gr_bytes_add_string(json, "}, \"behavior\": \"Isolated\", \"invert\": false}") : s;
}

static gr_status add_metaspace(gr_bytes *json, const char *scheme)
{
    gr_status s = gr_bytes_add_string(
        json, "{\"type\": \"Metaspace\", \"replacement\": \"\xE2\x96\x81\", \"prepend_scheme\": \"");
    if (s == GR_OK)
        s = gr_bytes_add_string(json, scheme);
    return s == GR_OK ? gr_bytes_add_string(json, "\", \"split\": false}") : s;
}

/* Parts of a list, those that are wanted. */
typedef struct part {
    bool wanted;
    const char *text;
} part;

static gr_status add_parts(gr_bytes *json, const part *parts, size_t n)
{
    const char *separator = "";
    gr_status s = GR_OK;
    for (size_t i = 0; i < n && s == GR_OK; i++) {
        if (!parts[i].wanted)
            continue;
        s = gr_bytes_add_string(json, separator);
        if (s == GR_OK)
            s = gr_bytes_add_string(json, parts[i].text);
        separator = ", ";
    }
    return s;
}

static gr_status add_decoders(gr_bytes *json, bool byte_fallback, bool fuse, bool strip)
{
    const part parts[] = {
        {true, "{\"type\": \"Replace\", \"pattern\": {\"String\": \"\xE2\x96\x81\"}, \"content\": \" \"}"},
        {byte_fallback, "{\"type\": \"ByteFallback\"}"},
        {fuse, "{\"type\": \"Fuse\"}"},
        {strip, "{\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}"},
    };
    gr_status s = gr_bytes_add_string(json, ",\n\"decoder\": {\"type\": \"Sequence\", \"decoders\": [");
    if (s == GR_OK)
        s = add_parts(json, parts, sizeof parts / sizeof *parts);
    return s == GR_OK ? gr_bytes_add_string(json, "]},\n") : s;
}

static gr_status add_table(const field *table, gr_bytes *json)
{
    gr_status s = gr_bytes_add_string(json, "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"");
    if (s == GR_OK)
        s = gr_bytes_reserve(json, table->size / 3 * 4 + 4);
    if (s == GR_OK)
        json->size += gr_base64_encode(table->data, table->size, json->data + json->size);
    return s == GR_OK ? gr_bytes_add_string(json, "\"}") : s;
}

/* SentencePiece's own steps in its order: its table, extra spaces go, spaces become U+2581, one is put before the text. */
static gr_status add_own_stages(const model *m, const gr_beside *b, gr_bytes *json)
{
    bool legacy = b->legacy == GR_TOLD_NOT || b->legacy == GR_TOLD_YES, isolate = has_type(m, USER_DEFINED);
    const part parts[] = {
        {m->remove_spaces, "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"\\\\A +| +\\\\z\"}, \"content\": \"\"}, "
                           "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \" {2,}\"}, \"content\": \" \"}"},
        {m->escape_spaces, "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"\xE2\x96\x81\"}"},
        {m->add_prefix && legacy, "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"\\\\A\xE2\x96\x81\"}, "
                                  "\"content\": \"\xE2\x96\x81\xE2\x96\x81\"}"},
    };
    gr_status s = gr_bytes_add_string(json, "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [");
    if (s == GR_OK && m->table.size)
        s = add_table(&m->table, json);
    if (s == GR_OK && m->table.size && (parts[0].wanted || parts[1].wanted || parts[2].wanted))
        s = gr_bytes_add_string(json, ", ");
    if (s == GR_OK)
        s = add_parts(json, parts, sizeof parts / sizeof *parts);
    if (s == GR_OK)
        s = gr_bytes_add_string(json, "]},\n\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [");
    if (s == GR_OK && m->add_prefix)
        s = add_metaspace(json, legacy ? "always" : "first");
    if (s == GR_OK && isolate && m->add_prefix)
        s = gr_bytes_add_string(json, ", ");
    if (s == GR_OK && isolate)
        s = add_user_defined(m, json);
    if (s == GR_OK)
        s = gr_bytes_add_string(json, "]}");
    return s == GR_OK ? add_decoders(json, m->byte_fallback, m->add_prefix || m->byte_fallback, m->add_prefix) : s;
}

const char *gr_told_scheme(const gr_beside *b)
{
    return b->add_prefix_space == GR_TOLD_NO ? "never" : b->legacy == GR_TOLD_YES ? "always" : "first";
}

static gr_status add_gemma_stages(gr_bytes *json)
{
    gr_status s = gr_bytes_add_string(
        json, "\"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": "
              "\"\xE2\x96\x81\"},\n\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"String\": \" \"}, "
              "\"behavior\": \"MergedWithPrevious\", \"invert\": false}");
    return s == GR_OK ? add_decoders(json, true, true, false) : s;
}

static gr_status add_llama_stages(const gr_beside *b, gr_bytes *json)
{
    gr_status s = gr_bytes_add_string(json, "\"normalizer\": null,\n\"pre_tokenizer\": ");
    if (s == GR_OK)
        s = add_metaspace(json, gr_told_scheme(b));
    return s == GR_OK ? add_decoders(json, true, true, b->add_prefix_space != GR_TOLD_NO) : s;
}

gr_status gr_add_llama_stages(const gr_beside *b, gr_bytes *json)
{
    gr_status s = gr_bytes_add_string(json, "{");
    if (s == GR_OK)
        s = add_llama_stages(b, json);
    return s == GR_OK ? gr_bytes_add_string(json, "\"added_tokens\": []}") : s;
}

/* A piece that added_tokens_decoder calls otherwise gets that name, unless another piece has it and keeps it. */
static gr_status rename_pieces(model *m, const gr_told_list *decoder)
{
    gr_vocab renamed = {0};
    gr_status s = GR_OK;
    size_t k = 0;
    for (size_t i = 0; i < m->n && s == GR_OK; i++) {
        while (k < decoder->n && decoder->at[k].id < (int64_t)i)
            k++;
        const gr_told_token *name = k < decoder->n && decoder->at[k].id == (int64_t)i ? &decoder->at[k] : NULL;
        int32_t other = name ? gr_vocab_find(&m->vocab, name->content, name->size) : -1;
        bool kept = other >= 0 && !gr_told_has_id(decoder, other);
        if (name && !kept) {
            m->piece[i].text = name->content;
            m->piece[i].size = name->size;
        }
        if (gr_vocab_find(&renamed, m->piece[i].text, m->piece[i].size) >= 0)
            s = gr_fail(
                GR_ERR_FILE,
                "%s: two pieces would be called \"%.*s\"\ncorrect added_tokens_decoder in tokenizer_config.json",
                m->name, (int)(m->piece[i].size < 60 ? m->piece[i].size : 60), m->piece[i].text);
        if (s == GR_OK)
            s = gr_vocab_add(&renamed, m->piece[i].text, m->piece[i].size, (uint32_t)i);
    }
    gr_vocab_free(&m->vocab);
    m->vocab = renamed;
    return s;
}

/* Its control tokens and user-defined pieces are the additional special tokens. */
static gr_status tell_pieces(const model *m, bool user_defined, gr_beside *b)
{
    gr_told_list list = {.told = true};
    gr_status s = GR_OK;
    for (size_t i = 0; i < m->n && s == GR_OK; i++) {
        const piece *p = &m->piece[i];
        gr_told_token flags = {.special = p->type == CONTROL, .normalized = GR_TOLD_NO};
        if (p->type == CONTROL || (user_defined && p->type == USER_DEFINED))
            s = gr_told_add(&list, NULL, p->text, p->size, flags);
    }
    gr_told_free(&b->additional);
    b->additional = list;
    return s;
}

/* Names that nobody told are the trainer's. */
static gr_status tell_names(const model *m, gr_beside *b)
{
    const struct {
        gr_named which;
        int64_t id;
        field name;
        const char *usual;
    } names[] = {{GR_NAMED_BOS, m->bos, m->bos_piece, "<s>"},
                 {GR_NAMED_EOS, m->eos, m->eos_piece, "</s>"},
                 {GR_NAMED_UNK, m->unk, m->unk_piece, "<unk>"}};
    gr_status s = GR_OK;
    for (size_t i = 0; i < 3 && s == GR_OK; i++)
        if (names[i].id >= 0 && !b->named_told[names[i].which])
            s = names[i].name.size ? gr_told_name(b, names[i].which, names[i].name.data, names[i].name.size)
                                   : gr_told_name(b, names[i].which, names[i].usual, strlen(names[i].usual));
    return s;
}

static gr_status convert_own(const gr_tokenizer_class *c, gr_beside *b, model *m, gr_bytes *json)
{
    piece unk = {.text = "<unk>", .size = 5};
    gr_status s = check_kind(m);
    if (s == GR_OK)
        s = tell_pieces(m, false, b);
    if (s == GR_OK)
        s = tell_names(m, b);
    if (s == GR_OK && m->type == BPE && b->decoder.n)
        s = rename_pieces(m, &b->decoder);
    for (size_t i = 0; i < b->decoder.n && m->add_prefix; i++)
        b->decoder.at[i].normalized = GR_TOLD_NO; /* so that a space comes before each part between them */
    if (s == GR_OK)
        s = add_own_stages(m, b, json);
    if (m->unk_piece.size)
        unk = (piece){.text = m->unk_piece.data, .size = m->unk_piece.size};
    if (s == GR_OK)
        s = m->type == BPE ? add_bpe(m, c, &unk, json) : add_unigram(m, json);
    return s;
}

static gr_status convert_class(const gr_tokenizer_class *c, gr_beside *b, const model *m, gr_bytes *json)
{
    const gr_told_token *told = &b->named[GR_NAMED_UNK];
    piece unk = {.text = "", .size = 0}; /* LLaMA's class gives the model none */
    if (c->way == GR_SPM_GEMMA)
        unk = told->content ? (piece){.text = told->content, .size = told->size} : (piece){.text = "<unk>", .size = 5};
    gr_status s = tell_pieces(m, true, b);
    if (s == GR_OK)
        s = c->way == GR_SPM_GEMMA ? add_gemma_stages(json) : add_llama_stages(b, json);
    return s == GR_OK ? add_bpe(m, c, &unk, json) : s;
}

gr_status gr_convert_sentencepiece_of(const gr_tokenizer_class *c, gr_beside *b, const char *name, const void *data,
                                      size_t size, gr_bytes *json)
{
    model m = new_model(name);
    gr_status s = read_model(&m, data, size);
    if (s == GR_OK)
        s = gr_bytes_add_string(json, "{\"version\": \"1.0\", \"added_tokens\": [], \"post_processor\": null,\n");
    if (s == GR_OK)
        s = c->way == GR_SPM_ITS_OWN ? convert_own(c, b, &m, json) : convert_class(c, b, &m, json);
    gr_vocab_free(&m.vocab);
    gr_free(m.piece);
    return s;
}

gr_status gr_convert_sentencepiece(const char *name, const void *data, size_t size, gr_bytes *json)
{
    model m = new_model(name);
    gr_status s = read_model(&m, data, size);
    if (s == GR_OK)
        s = check_kind(&m);
    if (s == GR_OK)
        s = add_added(&m, json);
    if (s == GR_OK)
        s = m.table.size ? add_own_stages(&m, &(gr_beside){0}, json) : add_stages(&m, json);
    if (s == GR_OK && m.table.size && m.bos >= 0 && m.type == BPE)
        s = add_template(&m.piece[m.bos], m.bos, json);
    if (s == GR_OK)
        s = m.type == BPE ? add_bpe(&m, NULL, &m.piece[m.unk], json) : add_unigram(&m, json);
    gr_vocab_free(&m.vocab);
    gr_free(m.piece);
    return s;
}
