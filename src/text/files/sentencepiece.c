/* SentencePiece's tokenizer.model: a protocol buffer with pieces, scores and a few settings. */
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
#include "text/files/convert.h"
#include "text/files/json_text.h"
#include "text/unicode/utf8.h"
#include "text/vocab/vocab.h"
#include "base/error.h"

/* ---- protocol buffers: fields of tag << 3 | type ---- */

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
    gr_status status = read_varint(m, &tag);
    *f = (field){.number = (uint32_t)(tag >> 3), .type = (int)(tag & 7)};
    if (status)
        return status;
    if (f->type == 0)
        return read_varint(m, &f->value);
    if (f->type == 2)
        status = read_varint(m, &size);
    else if (f->type == 1 || f->type == 5)
        size = f->type == 1 ? 8 : 4;
    else
        return fail_at(m, "a field of unknown type");
    if (!status && size > (size_t)(m->end - m->p))
        status = fail_at(m, "a field is longer than the file");
    if (status)
        return status;
    f->data = m->p;
    f->size = (size_t)size;
    m->p += size;
    return GR_OK;
}

/* ---- what the model says ---- */

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
    bool byte_fallback, add_prefix, has_table;
    int64_t unk, bos;
} model;

static gr_status read_piece(model *m, message in)
{
    piece p = {.text = "", .type = NORMAL};
    gr_status status = GR_OK;
    for (field f; in.p < in.end && !status;) {
        status = read_field(&in, &f);
        if (!status && f.number == 1 && f.type == 2) {
            p.text = f.data;
            p.size = f.size;
        }
        if (!status && f.number == 2 && f.type == 5)
            memcpy(&p.score, f.data, 4);
        if (!status && f.number == 3 && f.type == 0)
            p.type = (int)f.value;
    }
    if (!status && (!gr_utf8_valid(p.text, p.size) || !isfinite(p.score)))
        status = fail_at(&in, "a piece is not UTF-8, or its score not a number");
    if (!status)
        status = gr_vocab_add(&m->vocab, p.text, p.size, (uint32_t)m->n);
    if (!status)
        status = gr_grow(&m->piece, &m->cap, m->n + 1, sizeof *m->piece);
    if (!status)
        m->piece[m->n++] = p;
    return status;
}

static gr_status read_trainer(model *m, message in)
{
    gr_status status = GR_OK;
    for (field f; in.p < in.end && !status;) {
        status = read_field(&in, &f);
        if (status || f.type != 0)
            continue;
        if (f.number == 3)
            m->type = (int)f.value;
        if (f.number == 35)
            m->byte_fallback = f.value != 0;
        if (f.number == 40)
            m->unk = (int64_t)f.value;
        if (f.number == 41)
            m->bos = (int64_t)f.value;
    }
    return status;
}

static gr_status read_normalizer(model *m, message in)
{
    gr_status status = GR_OK;
    for (field f; in.p < in.end && !status;) {
        status = read_field(&in, &f);
        if (!status && f.number == 2 && f.type == 2)
            m->has_table = f.size > 0;
        if (!status && f.number == 3 && f.type == 0)
            m->add_prefix = f.value != 0;
    }
    return status;
}

static gr_status read_model(model *m, const char *data, size_t size)
{
    message in = {data, data + size, data, m->name};
    gr_status status = GR_OK;
    for (field f; in.p < in.end && !status;) {
        status = read_field(&in, &f);
        if (status || f.type != 2)
            continue;
        message inner = {f.data, f.data + f.size, data, m->name};
        if (f.number == 1)
            status = read_piece(m, inner);
        if (f.number == 2)
            status = read_trainer(m, inner);
        if (f.number == 3)
            status = read_normalizer(m, inner);
    }
    if (!status && m->n == 0)
        status = fail_at(&in, "there are no pieces");
    if (!status && (m->unk < 0 || m->unk >= (int64_t)m->n || m->bos >= (int64_t)m->n))
        status = fail_at(&in, "the ids of <unk> and <s> are not pieces");
    if (!status && ((m->type != UNIGRAM && m->type != BPE) || m->has_table))
        status = gr_fail(GR_ERR_UNSUPPORTED,
                         "%s: %s is not supported\nlet transformers make a tokenizer.json of it, and use that", m->name,
                         m->has_table ? "a normalization table (precompiled_charsmap)" : "a word or character model");
    return status;
}

/* ---- merges: SentencePiece has only scores, so every way to split a piece into two pieces is one ---- */

typedef struct merge {
    uint32_t left, right;
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

static gr_status split_piece(const model *m, const piece *p, merges *out)
{
    size_t first = out->n;
    gr_status status = GR_OK;
    if (p->size > longest_piece)
        return gr_fail(GR_ERR_UNSUPPORTED, "%s: a piece of %zu bytes", m->name, p->size);
    for (size_t cut = 1; cut < p->size && !status; cut++) {
        if (((unsigned char)p->text[cut] & 0xC0) == 0x80)
            continue;
        int32_t left = gr_vocab_find(&m->vocab, p->text, cut);
        int32_t right = left < 0 ? -1 : gr_vocab_find(&m->vocab, p->text + cut, p->size - cut);
        if (right < 0)
            continue;
        status = gr_grow(&out->at, &out->cap, out->n + 1, sizeof *out->at);
        if (!status)
            out->at[out->n++] = (merge){(uint32_t)left, (uint32_t)right, p->score, 0};
    }
    if (!status && out->n > first)
        qsort(out->at + first, out->n - first, sizeof *out->at, compare_parts);
    return status;
}

static gr_status find_merges(const model *m, merges *out)
{
    gr_status status = GR_OK;
    for (size_t i = 0; i < m->n && !status; i++)
        status = split_piece(m, &m->piece[i], out);
    for (size_t i = 0; i < out->n; i++)
        out->at[i].order = i;
    if (!status && out->n)
        qsort(out->at, out->n, sizeof *out->at, compare_merges);
    return status;
}

/* ---- writing ---- */

static gr_status add_piece_text(gr_bytes *json, const piece *p)
{
    return gr_json_add_text(json, p->text, p->size);
}

/* Control tokens are special; user-defined ones are cut out of the text but are text. */
static gr_status add_added(const model *m, gr_bytes *json)
{
    gr_status status = gr_bytes_add_string(json, "{\"version\": \"1.0\",\n\"added_tokens\": [");
    const char *separator = "\n";
    for (size_t i = 0; i < m->n && !status; i++) {
        const piece *p = &m->piece[i];
        if ((p->type != UNKNOWN && p->type != CONTROL && p->type != USER_DEFINED) || !p->size)
            continue;
        status = gr_bytes_add_string(json, separator);
        if (!status)
            status = gr_json_add_added_token(json, (int64_t)i, p->text, p->size, p->type != USER_DEFINED);
        separator = ",\n";
    }
    return status ? status : gr_bytes_add_string(json, "],\n");
}

/* "<s>" before the text. */
static gr_status add_template(const piece *bos, int64_t id, gr_bytes *json)
{
    gr_bytes name = {0};
    gr_status status = add_piece_text(&name, bos);
    char *text = NULL;
    if (!status)
        status = gr_bytes_add(&name, "", 1);
    if (!status)
        text = gr_strfmt(
            "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": %s, "
            "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [{\"SpecialToken\": "
            "{\"id\": %s, \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, {\"SpecialToken\": "
            "{\"id\": %s, \"type_id\": 1}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}],\n"
            "\"special_tokens\": {%s: {\"id\": %s, \"ids\": [%lld], \"tokens\": [%s]}}},\n",
            name.data, name.data, name.data, name.data, name.data, (long long)id, name.data);
    if (!status)
        status = text ? gr_bytes_add_string(json, text) : GR_ERR_MEMORY;
    gr_bytes_free(&name);
    gr_free(text);
    return status;
}

/* LLaMA's way: a space becomes U+2581, one stands before the text, the decoder takes both back; <s> comes first. */
static gr_status add_stages(const model *m, gr_bytes *json)
{
    gr_status status = gr_bytes_add_string(json, "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [");
    if (!status && m->add_prefix)
        status = gr_bytes_add_string(json, "{\"type\": \"Prepend\", \"prepend\": \"\xE2\x96\x81\"}, ");
    if (!status)
        status = gr_bytes_add_string(json, "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": "
                                           "\"\xE2\x96\x81\"}]},\n\"decoder\": {\"type\": \"Sequence\", \"decoders\": ["
                                           "{\"type\": \"Replace\", \"pattern\": {\"String\": \"\xE2\x96\x81\"}, "
                                           "\"content\": \" \"}, {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}");
    if (!status && m->add_prefix)
        status = gr_bytes_add_string(json, ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}");
    if (!status)
        status = gr_bytes_add_string(json, "]},\n");
    return status || m->bos < 0 || m->type != BPE ? status : add_template(&m->piece[m->bos], m->bos, json);
}

static gr_status add_bpe(const model *m, gr_bytes *json)
{
    merges found = {0};
    gr_status status = find_merges(m, &found);
    if (!status)
        status = gr_bytes_add_string(json, "\"model\": {\"type\": \"BPE\", \"fuse_unk\": true, \"byte_fallback\": ");
    if (!status)
        status = gr_bytes_add_string(json, m->byte_fallback ? "true, \"unk_token\": " : "false, \"unk_token\": ");
    if (!status)
        status = add_piece_text(json, &m->piece[m->unk]);
    if (!status)
        status = gr_bytes_add_string(json, ",\n\"vocab\": {");
    for (size_t i = 0; i < m->n && !status; i++) {
        char number[32];
        snprintf(number, sizeof number, ": %zu", i);
        status = i ? gr_bytes_add_string(json, ",\n") : GR_OK;
        if (!status)
            status = add_piece_text(json, &m->piece[i]);
        if (!status)
            status = gr_bytes_add_string(json, number);
    }
    if (!status)
        status = gr_bytes_add_string(json, "},\n\"merges\": [");
    for (size_t i = 0; i < found.n && !status; i++) {
        status = gr_bytes_add_string(json, i ? ",\n[" : "\n[");
        if (!status)
            status = add_piece_text(json, &m->piece[found.at[i].left]);
        if (!status)
            status = gr_bytes_add_string(json, ", ");
        if (!status)
            status = add_piece_text(json, &m->piece[found.at[i].right]);
        if (!status)
            status = gr_bytes_add_string(json, "]");
    }
    gr_free(found.at);
    return status ? status : gr_bytes_add_string(json, "]}}\n");
}

static gr_status add_unigram(const model *m, gr_bytes *json)
{
    char number[64];
    snprintf(number, sizeof number, "\"model\": {\"type\": \"Unigram\", \"unk_id\": %lld, ", (long long)m->unk);
    gr_status status = gr_bytes_add_string(json, number);
    if (!status)
        status = gr_bytes_add_string(json, m->byte_fallback ? "\"byte_fallback\": true, \"vocab\": ["
                                                            : "\"byte_fallback\": false, \"vocab\": [");
    for (size_t i = 0; i < m->n && !status; i++) {
        snprintf(number, sizeof number, ", %.17g]", (double)m->piece[i].score);
        status = gr_bytes_add_string(json, i ? ",\n[" : "\n[");
        if (!status)
            status = add_piece_text(json, &m->piece[i]);
        if (!status)
            status = gr_bytes_add_string(json, number);
    }
    return status ? status : gr_bytes_add_string(json, "]}}\n");
}

gr_status gr_convert_sentencepiece(const char *name, const void *data, size_t size, gr_bytes *json)
{
    model m = {.name = name, .type = UNIGRAM, .add_prefix = true, .unk = 0, .bos = 1};
    gr_status status = read_model(&m, data, size);
    if (!status)
        status = add_added(&m, json);
    if (!status)
        status = add_stages(&m, json);
    if (!status)
        status = m.type == BPE ? add_bpe(&m, json) : add_unigram(&m, json);
    gr_vocab_free(&m.vocab);
    gr_free(m.piece);
    return status;
}
