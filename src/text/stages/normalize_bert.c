/* The steps of BERT's normalizer, character by character. */
#include "text/stages/normalize_bert.h"
#include "text/unicode/unicode.h"

/* The character that cleaning leaves, or GR_INVALID_BYTE + 0x100 where it leaves none. */
enum { DROPPED = GR_INVALID_BYTE + 0x100 };

static uint32_t clean(uint32_t c)
{
    if (c >= 0x3400 && c < 0xA000)
        return c;
    if (gr_range_find(gr_bert_dropped, gr_bert_dropped_count, c))
        return DROPPED;
    return gr_class(c) & GR_CLASS_SPACE ? ' ' : c;
}

static bool is_padded(uint32_t c)
{
    return c >= 0x3400 && gr_range_find(gr_bert_padded, gr_bert_padded_count, c) != NULL;
}

/* Room for six bytes must be there. */
static void put(gr_bytes *out, uint32_t c, bool padded)
{
    if (padded)
        out->data[out->size++] = ' ';
    out->size += (size_t)gr_utf8_write(c, out->data + out->size);
    if (padded)
        out->data[out->size++] = ' ';
}

/* Without accents and in lower case, after the normal form. */
static gr_status finish(unsigned flags, const char *text, size_t size, gr_bytes *out)
{
    gr_status s = GR_OK;
    for (const char *p = text, *end = text + size; p < end && s == GR_OK;) {
        int n;
        uint32_t c = gr_utf8_read(p, end, &n);
        p += n;
        if (flags & GR_BERT_STRIP && c >= 0x300 && gr_range_find(gr_bert_marks, gr_bert_marks_count, c))
            continue;
        s = gr_bytes_reserve(out, 6);
        if (s == GR_OK)
            put(out, flags & GR_BERT_LOWER ? gr_unicode_lower(c) : c, false);
        if (s == GR_OK && flags & GR_BERT_LOWER && c == 0x130) /* the one that becomes two */
            s = gr_bytes_add(out, "\xCC\x87", 2);
    }
    return s;
}

static gr_status end_stretch(unsigned flags, gr_bytes *stretch, gr_bytes *form, gr_bytes *out)
{
    gr_status s = GR_OK;
    form->size = 0;
    if (!stretch->size)
        return GR_OK;
    if (flags & GR_BERT_STRIP)
        s = gr_unicode_normalize(GR_NFD, stretch->data, stretch->size, form);
    const gr_bytes *from = flags & GR_BERT_STRIP ? form : stretch;
    if (s == GR_OK)
        s = finish(flags, from->data, from->size, out);
    stretch->size = 0;
    return s;
}

/* ASCII and most Chinese characters decompose to themselves and have no accents: what lies between them is a stretch that
 * is put in normal form by itself. */
gr_status gr_bert_normalize(unsigned flags, const char *text, size_t size, gr_bytes *out)
{
    gr_bytes stretch = {0}, form = {0};
    gr_status s = gr_bytes_reserve(out, size);
    for (const char *p = text, *end = text + size; p < end && s == GR_OK;) {
        int n;
        uint32_t c = gr_utf8_read(p, end, &n);
        p += n;
        if (flags & GR_BERT_CLEAN && (c < ' ' || c > '~'))
            c = clean(c);
        if (c == DROPPED)
            continue;
        bool plain = c < 0x80 || (c >= 0x3400 && c < 0xA000), padded = flags & GR_BERT_PAD && is_padded(c);
        if (plain && stretch.size)
            s = end_stretch(flags, &stretch, &form, out);
        gr_bytes *to = plain ? out : &stretch;
        if (s == GR_OK)
            s = gr_bytes_reserve(to, 6);
        if (s == GR_OK)
            put(to, plain && flags & GR_BERT_LOWER && c >= 'A' && c <= 'Z' ? c + 32 : c, padded);
    }
    if (s == GR_OK)
        s = end_stretch(flags, &stretch, &form, out);
    gr_bytes_free(&stretch);
    gr_bytes_free(&form);
    return s;
}
