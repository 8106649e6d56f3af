/* Normal forms and case by utf8proc. Its own ordering of marks is quadratic, so it is asked for decompositions and
 * compositions only, and the order is ours. */
#include <utf8proc.h>
#include "text/unicode/unicode.h"
#include "base/error.h"

bool gr_unicode_has_forms(void)
{
    return true;
}

uint32_t gr_unicode_lower(uint32_t c)
{
    const gr_range *r = gr_range_find(gr_lower, gr_lower_count, c);
    if (r)
        return c + (uint32_t)r->value;
    return c < GR_INVALID_BYTE ? (uint32_t)utf8proc_tolower((utf8proc_int32_t)c) : c;
}

/* Normal forms of Hugging Face's code are of an older Unicode: characters it does not know stay as and where they are. */
static bool is_inert(uint32_t c)
{
    return c >= 0x300 && (gr_range_find(gr_inert, gr_inert_count, c) || gr_range_find(gr_recent, gr_recent_count, c));
}

typedef struct points { /* code points of one stretch of text */
    utf8proc_int32_t *c, *sorted;
    size_t n, cap, sorted_cap;
} points;

static gr_status decompose(uint32_t c, utf8proc_option_t options, points *out)
{
    int boundary = 0;
    gr_status s = gr_grow(&out->c, &out->cap, out->n + 32, sizeof *out->c);
    if (s != GR_OK)
        return s;
    if (is_inert(c)) {
        out->c[out->n++] = (utf8proc_int32_t)c;
        return GR_OK;
    }
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, out->c + out->n,
                                                 (utf8proc_ssize_t)(out->cap - out->n), options, &boundary);
    if (n < 0 || (size_t)n > out->cap - out->n)
        return gr_fail(GR_ERR_ARGUMENT, "normalize: U+%04X cannot be decomposed", (unsigned)c);
    out->n += (size_t)n;
    return GR_OK;
}

static int combining(utf8proc_int32_t c)
{
    int order = utf8proc_get_property(c)->combining_class;
    return order && is_inert((uint32_t)c) ? 0 : order;
}

/* Sorts a run of marks by combining class, equal ones in their order: counting, so that a long run costs no more. */
static gr_status sort_marks(points *p, size_t start, size_t stop)
{
    size_t count[257] = {0}, n = stop - start;
    gr_status s = gr_grow(&p->sorted, &p->sorted_cap, n, sizeof *p->sorted);
    if (s != GR_OK)
        return s;
    for (size_t i = start; i < stop; i++)
        count[combining(p->c[i]) + 1]++;
    for (int k = 0; k < 256; k++)
        count[k + 1] += count[k];
    for (size_t i = start; i < stop; i++)
        p->sorted[count[combining(p->c[i])]++] = p->c[i];
    memcpy(p->c + start, p->sorted, n * sizeof *p->c);
    return GR_OK;
}

static gr_status order_marks(points *p)
{
    gr_status s = GR_OK;
    for (size_t i = 0; i < p->n && s == GR_OK;) {
        size_t start = i;
        bool unordered = false;
        for (; i < p->n && combining(p->c[i]); i++)
            unordered |= i > start && combining(p->c[i]) < combining(p->c[i - 1]);
        if (unordered)
            s = sort_marks(p, start, i);
        i += i == start;
    }
    return s;
}

/* Composes what lies between characters that normal forms do not know: nothing composes with these or across them, though
 * the library may know them as marks that let others pass. */
static void compose_points(points *p, utf8proc_option_t options)
{
    size_t out = 0;
    for (size_t i = 0; i < p->n;) {
        size_t stop = i;
        while (stop < p->n && !is_inert((uint32_t)p->c[stop]))
            stop++;
        utf8proc_ssize_t n = utf8proc_normalize_utf32(p->c + i, (utf8proc_ssize_t)(stop - i), options);
        memmove(p->c + out, p->c + i, (size_t)n * sizeof *p->c);
        out += (size_t)n;
        for (i = stop; i < p->n && is_inert((uint32_t)p->c[i]); i++)
            p->c[out++] = p->c[i];
    }
    p->n = out;
}

/* One stretch of valid text: nothing in it composes with what lies outside. */
static gr_status normalize_stretch(gr_form form, const char *text, const char *stop, points *p, gr_bytes *out)
{
    bool compose = form == GR_NFC || form == GR_NFKC, compat = form == GR_NFKC || form == GR_NFKD;
    utf8proc_option_t options = UTF8PROC_STABLE | (compat ? UTF8PROC_COMPAT : 0);
    gr_status s = GR_OK;
    p->n = 0;
    for (int n; text < stop && s == GR_OK; text += n)
        s = decompose(gr_utf8_read(text, stop, &n), options | UTF8PROC_DECOMPOSE, p);
    if (s == GR_OK)
        s = order_marks(p);
    if (s == GR_OK && compose)
        compose_points(p, options | UTF8PROC_COMPOSE);
    for (size_t i = 0; i < p->n && s == GR_OK; i++) {
        s = gr_bytes_reserve(out, 4);
        if (s == GR_OK)
            out->size += (size_t)gr_utf8_write((uint32_t)p->c[i], out->data + out->size);
    }
    return s;
}

/* ASCII never changes and composes only with what follows, so a stretch is one ASCII character and all that is not
 * ASCII behind it; an invalid byte ends it. */
gr_status gr_unicode_normalize(gr_form form, const char *text, size_t size, gr_bytes *out)
{
    const char *end = text + size, *p = text;
    points work = {0};
    gr_status s = GR_OK;
    while (p < end && s == GR_OK) {
        const char *start = p;
        while (p < end && (unsigned char)*p < 128)
            p++;
        const char *first = p > start && p < end ? p - 1 : p;
        s = gr_bytes_add(out, start, (size_t)(first - start));
        int n = 0;
        while (p < end && (unsigned char)*p >= 128 && gr_utf8_read(p, end, &n) < GR_INVALID_BYTE)
            p += n;
        if (s == GR_OK)
            s = normalize_stretch(form, first, p, &work, out);
        if (s == GR_OK && p < end && (unsigned char)*p >= 128)
            s = gr_bytes_add(out, p++, 1);
    }
    gr_free(work.c);
    gr_free(work.sorted);
    return s;
}

uint32_t gr_unicode_upper(uint32_t c)
{
    return (uint32_t)utf8proc_toupper((utf8proc_int32_t)c);
}

bool gr_unicode_printable(uint32_t c)
{
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return false;
    case UTF8PROC_CATEGORY_ZS:
        return c == ' ';
    default:
        return true;
    }
}
