/* The kinds of normalizers, and the chain of them. */
#include "text/stages/normalize.h"
#include "text/stages/chain.h"
#include "text/stages/normalize_bert.h"
#include "text/stages/pattern.h"
#include "text/unicode/byte_level.h"
#include "text/unicode/unicode.h"
#include "text/vocab/charsmap.h"
#include "base/base64.h"

typedef struct step step;

typedef struct kind {
    const char *type;
    gr_status (*read)(step *s, gr_json value);
    gr_status (*run)(const step *s, const char *text, size_t size, gr_bytes *out); /* appends */
    gr_form form;
} kind;

struct step {
    const kind *kind;
    gr_pattern a, b; /* what is replaced by what */
    bool left, right;
    unsigned bert;    /* GR_BERT_ */
    gr_charsmap *map; /* Precompiled */
};

struct gr_normalizer {
    step *step;
    size_t n, cap;
};

static gr_status read_nothing(step *s, gr_json value)
{
    (void)s, (void)value;
    return GR_OK;
}

static gr_status read_form(step *s, gr_json value)
{
    (void)s;
    if (!gr_unicode_has_forms())
        return gr_json_fail(
            value, "this build has no utf8proc, which Unicode normal forms need\nbuild with libutf8proc-dev installed");
    return GR_OK;
}

static gr_status run_form(const step *s, const char *text, size_t size, gr_bytes *out)
{
    return gr_unicode_normalize(s->kind->form, text, size, out);
}

/* Appends what `map` makes of every character; 0: nothing. */
static gr_status map_characters(uint32_t (*map)(uint32_t), const char *text, size_t size, gr_bytes *out)
{
    gr_status s = gr_bytes_reserve(out, size);
    for (const char *p = text, *end = text + size; p < end && s == GR_OK;) {
        int n;
        uint32_t c = gr_utf8_read(p, end, &n), mapped = map(c);
        p += n;
        s = gr_bytes_reserve(out, 4);
        if (s == GR_OK && (mapped || !c))
            out->size += (size_t)gr_utf8_write(mapped, out->data + out->size);
    }
    return s;
}

static uint32_t drop_mark(uint32_t c)
{
    return c >= 0x300 && gr_range_find(gr_marks, gr_marks_count, c) ? 0 : c;
}

static gr_status run_strip_accents(const step *s, const char *text, size_t size, gr_bytes *out)
{
    (void)s;
    return map_characters(drop_mark, text, size, out);
}

/* One character becomes two in lower case: U+0130, the I with a dot. */
static gr_status run_lowercase(const step *s, const char *text, size_t size, gr_bytes *out)
{
    gr_status status = gr_bytes_reserve(out, size);
    (void)s;
    for (const char *p = text, *end = text + size; p < end && status == GR_OK;) {
        int n;
        uint32_t c = gr_utf8_read(p, end, &n);
        p += n;
        status = gr_bytes_reserve(out, 4);
        if (status != GR_OK)
            break;
        out->size += (size_t)gr_utf8_write(gr_unicode_lower(c), out->data + out->size);
        if (c == 0x130)
            status = gr_bytes_add(out, "\xCC\x87", 2);
    }
    return status;
}

/* SentencePiece's clean-up of control characters and odd spaces. */
static uint32_t nmt(uint32_t c)
{
    if ((c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F)
        return 0;
    if (c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 || (c >= 0x200B && c <= 0x200F) || c == 0x2028 ||
        c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD)
        return ' ';
    return c;
}

static gr_status run_nmt(const step *s, const char *text, size_t size, gr_bytes *out)
{
    (void)s;
    return map_characters(nmt, text, size, out);
}

static gr_status read_strip(step *s, gr_json value)
{
    s->left = gr_json_bool(value, "strip_left", true);
    s->right = gr_json_bool(value, "strip_right", true);
    return GR_OK;
}

static gr_status run_strip(const step *s, const char *text, size_t size, gr_bytes *out)
{
    const char *end = text + size, *stop = s->right ? text : end;
    for (int n; s->left && text < end && gr_class(gr_utf8_read(text, end, &n)) & GR_CLASS_SPACE;)
        text += n;
    for (const char *p = text; s->right && p < end;) {
        int n;
        unsigned class = gr_class(gr_utf8_read(p, end, &n));
        p += n;
        if (!(class & GR_CLASS_SPACE))
            stop = p;
    }
    return stop > text ? gr_bytes_add(out, text, (size_t)(stop - text)) : GR_OK;
}

static gr_status read_replace(step *s, gr_json value)
{
    size_t size;
    const char *content = gr_json_as_text(gr_json_get(value, "content"), &size);
    gr_status status = gr_json_check(value.doc);
    if (status == GR_OK)
        status = gr_pattern_read(gr_json_get(value, "pattern"), &s->a);
    return status == GR_OK ? gr_pattern_set(&s->b, content, size) : status;
}

typedef struct replacing {
    const step *step;
    gr_bytes *out;
} replacing;

static gr_status replace_part(void *ctx, const char *text, size_t start, size_t stop, bool is_match)
{
    const replacing *r = ctx;
    if (is_match)
        return gr_bytes_add(r->out, r->step->b.text, r->step->b.size);
    return gr_bytes_add(r->out, text + start, stop - start);
}

/* One byte by a few, which is what LLaMA's space to U+2581 is: worth a loop of its own. */
static gr_status replace_byte(const step *s, const char *text, size_t size, gr_bytes *out)
{
    size_t n = s->b.size, need;
    gr_status status = gr_mul_size(size, n ? n : 1, &need) ? gr_bytes_reserve(out, need) : GR_ERR_MEMORY;
    if (status != GR_OK)
        return status;
    char *to = out->data + out->size;
    for (size_t i = 0; i < size; i++) {
        if (text[i] != s->a.text[0]) {
            *to++ = text[i];
        } else {
            memcpy(to, s->b.text, n);
            to += n;
        }
    }
    out->size = (size_t)(to - out->data);
    return GR_OK;
}

static gr_status run_replace(const step *s, const char *text, size_t size, gr_bytes *out)
{
    if (!s->a.regex && s->a.size == 1 && s->b.size <= 4)
        return replace_byte(s, text, size, out);
    return gr_pattern_walk(&s->a, text, size, replace_part, &(replacing){s, out});
}

static gr_status read_prepend(step *s, gr_json value)
{
    size_t size;
    const char *text = gr_json_as_text(gr_json_get(value, "prepend"), &size);
    return gr_pattern_set(&s->a, text, size);
}

static gr_status run_prepend(const step *s, const char *text, size_t size, gr_bytes *out)
{
    gr_status status = size ? gr_bytes_add(out, s->a.text, s->a.size) : GR_OK;
    return status == GR_OK ? gr_bytes_add(out, text, size) : status;
}

/* Accents go with the case where nothing else is said. */
static gr_status read_bert(step *s, gr_json value)
{
    bool lower = gr_json_bool(value, "lowercase", true);
    s->bert = (gr_json_bool(value, "clean_text", true) ? GR_BERT_CLEAN : 0) |
              (gr_json_bool(value, "handle_chinese_chars", true) ? GR_BERT_PAD : 0) |
              (gr_json_bool(value, "strip_accents", lower) ? GR_BERT_STRIP : 0) | (lower ? GR_BERT_LOWER : 0);
    return s->bert & (GR_BERT_STRIP | GR_BERT_LOWER) ? read_form(s, value) : GR_OK;
}

static gr_status run_bert(const step *s, const char *text, size_t size, gr_bytes *out)
{
    return gr_bert_normalize(s->bert, text, size, out);
}

static gr_status read_charsmap(step *s, gr_json value)
{
    size_t size, n;
    gr_json map = gr_json_get(value, "precompiled_charsmap");
    const char *text = gr_json_as_text(map, &size);
    if (gr_json_check(value.doc) != GR_OK)
        return gr_error_status();
    unsigned char *data = gr_alloc(size / 4 * 3 + 3);
    s->map = gr_alloc_zero(1, sizeof *s->map);
    gr_status status = data && s->map ? GR_OK : GR_ERR_MEMORY;
    if (status == GR_OK && !gr_base64_decode(text, size, data, &n))
        status = gr_json_fail(map, "expected base64");
    if (status == GR_OK && gr_charsmap_read(data, n, s->map) != GR_OK)
        status = gr_fail_in("normalizer");
    gr_free(data);
    return status;
}

static gr_status run_charsmap(const step *s, const char *text, size_t size, gr_bytes *out)
{
    return gr_charsmap_run(s->map, text, size, out);
}

static gr_status run_byte_level(const step *s, const char *text, size_t size, gr_bytes *out)
{
    (void)s;
    return gr_byte_level_encode(text, size, out);
}

static const kind kinds[] = {
    {"NFC", read_form, run_form, GR_NFC},
    {"NFD", read_form, run_form, GR_NFD},
    {"NFKC", read_form, run_form, GR_NFKC},
    {"NFKD", read_form, run_form, GR_NFKD},
    {"Lowercase", read_form, run_lowercase, GR_NFC},
    {"StripAccents", read_nothing, run_strip_accents, GR_NFC},
    {"Strip", read_strip, run_strip, GR_NFC},
    {"Nmt", read_nothing, run_nmt, GR_NFC},
    {"Replace", read_replace, run_replace, GR_NFC},
    {"Prepend", read_prepend, run_prepend, GR_NFC},
    {"BertNormalizer", read_bert, run_bert, GR_NFC},
    {"Precompiled", read_charsmap, run_charsmap, GR_NFC},
    {"ByteLevel", read_nothing, run_byte_level, GR_NFC},
};

static gr_status add_step(void *to, const void *kind_of_step, gr_json value)
{
    gr_normalizer *n = to;
    const kind *k = kind_of_step;
    gr_status status = gr_grow(&n->step, &n->cap, n->n + 1, sizeof *n->step);
    if (status != GR_OK)
        return status;
    step *s = &n->step[n->n++];
    *s = (step){.kind = k};
    return k->read(s, value);
}

static const gr_chain chain = {
    .stage = "normalizer",
    .list = "normalizers",
    .supported = "NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Nmt, Replace, Prepend, BertNormalizer, "
                 "Precompiled, ByteLevel",
    .kinds = kinds,
    .count = sizeof kinds / sizeof *kinds,
    .size = sizeof *kinds,
    .add = add_step,
};

gr_normalizer *gr_normalizer_read(gr_json value)
{
    gr_normalizer *n = gr_alloc_zero(1, sizeof *n);
    if (n && gr_json_is(value) && gr_chain_read(&chain, value, n) != GR_OK) {
        gr_normalizer_free(n);
        return NULL;
    }
    return n;
}

void gr_normalizer_free(gr_normalizer *n)
{
    for (size_t i = 0; n && i < n->n; i++) {
        gr_pattern_free(&n->step[i].a);
        gr_pattern_free(&n->step[i].b);
        if (n->step[i].map)
            gr_charsmap_free(n->step[i].map);
        gr_free(n->step[i].map);
    }
    if (n)
        gr_free(n->step);
    gr_free(n);
}

bool gr_normalizer_replaced(const gr_normalizer *n, const char *text, size_t size)
{
    for (size_t i = 0; i < n->n; i++) {
        const gr_pattern *content = &n->step[i].b;
        if (n->step[i].kind->run == run_replace && content->size && content->size <= size &&
            memcmp(text, content->text, content->size) == 0)
            return true;
    }
    return false;
}

bool gr_normalizer_is_empty(const gr_normalizer *n)
{
    return n->n == 0;
}

gr_status gr_normalizer_run(const gr_normalizer *n, const char *text, size_t size, gr_bytes *out, gr_bytes *spare)
{
    bool dropped;
    return gr_normalizer_run_first(n, text, size, out, spare, &dropped);
}

gr_status gr_normalizer_run_first(const gr_normalizer *n, const char *text, size_t size, gr_bytes *out, gr_bytes *spare,
                                  bool *dropped)
{
    gr_status s = GR_OK;
    *dropped = false;
    out->size = 0;
    if (!n->n)
        return gr_bytes_add(out, text, size);
    for (size_t i = 0; i < n->n && s == GR_OK; i++) {
        gr_bytes swap = *spare;
        *spare = *out;
        *out = swap;
        out->size = 0;
        const char *from = i ? spare->data : text;
        size_t before = i ? spare->size : size;
        s = n->step[i].kind->run(&n->step[i], from ? from : "", before, out);
        *dropped |= before && !out->size && n->step[i].kind->run == run_charsmap;
    }
    return s;
}
