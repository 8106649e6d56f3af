/* Reading a precompiled_charsmap, whose bytes are anybody's, and looking up in it. */
#include "text/vocab/charsmap.h"
#include "text/unicode/graphemes.h"
#include "base/error.h"

/* A unit of the trie: the label that leads to it in bits 0 to 7, bit 31 where it is a value and no label; whether its
 * string is a whole one in bit 8; from bit 10 on what the place of its children differs by, 256 times that where bit 9
 * is set. */

static size_t offset_of(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
}

static bool is_value(uint32_t unit)
{
    return unit >> 31;
}

static bool has_value(uint32_t unit)
{
    return unit >> 8 & 1;
}

static size_t value_of(uint32_t unit)
{
    return unit & 0x7FFFFFFF;
}

/* Every unit leads to a place in the trie and to a whole replacement: then a walk needs no checks, wherever it goes. */
static gr_status check_units(const gr_charsmap *m)
{
    for (size_t i = 0; i < m->units; i++) {
        if (i && is_value(m->unit[i])) /* the root is where a walk begins, whatever it says */
            continue;
        size_t to = i ^ offset_of(m->unit[i]);
        if (to >= m->units)
            return gr_fail(GR_ERR_FILE, "unit %zu of the normalization table leads to %zu of %zu", i, to, m->units);
        if (!has_value(m->unit[i]))
            continue;
        size_t value = value_of(m->unit[to]);
        if (value > m->with_size || (value < m->with_size && ((unsigned char)m->with[value] & 0xC0) == 0x80))
            return gr_fail(GR_ERR_FILE, "unit %zu of the normalization table has a replacement at %zu of %zu", i, value,
                           m->with_size);
    }
    return GR_OK;
}

/* Where in `with` what replaces the shortest string stands that a text begins with; -1: nothing does. */
static int64_t find(const gr_charsmap *m, const char *p, const char *end)
{
    size_t at = offset_of(m->unit[0]);
    for (; p < end && *p; p++) {
        at ^= (unsigned char)*p;
        uint32_t unit = m->unit[at];
        if ((unit & 0x800000FFu) != (unsigned char)*p)
            return -1;
        at ^= offset_of(unit);
        if (has_value(unit))
            return (int64_t)value_of(m->unit[at]);
    }
    return -1;
}

gr_status gr_charsmap_read(const void *data, size_t size, gr_charsmap *m)
{
    uint32_t trie_size = 0;
    const char *bytes = data;
    if (size >= 4)
        memcpy(&trie_size, bytes, 4); /* little-endian, as everything here */
    size_t n = trie_size / 4;
    if (size < 4 || !n || n * 4 > size - 4)
        return gr_fail(GR_ERR_FILE, "a normalization table of %zu bytes is cut off or has no trie", size);
    m->units = (n + 255) / 256 * 256;
    m->with_size = size - 4 - n * 4;
    if (m->with_size > INT32_MAX || !gr_utf8_valid(bytes + 4 + n * 4, m->with_size))
        return gr_fail(GR_ERR_FILE, "replacements in the normalization table are not UTF-8");
    m->unit = gr_alloc_zero(m->units, sizeof *m->unit);
    m->with = gr_alloc(m->with_size + 1);
    if (!m->unit || !m->with)
        return GR_ERR_MEMORY;
    memcpy(m->unit, bytes + 4, n * 4);
    memcpy(m->with, bytes + 4 + n * 4, m->with_size);
    m->with[m->with_size] = 0;
    gr_status s = check_units(m);
    for (int i = 0; i < 128 && s == GR_OK; i++) {
        char c = (char)i;
        m->ascii[i] = (int32_t)find(m, &c, &c + 1);
    }
    return s;
}

void gr_charsmap_free(gr_charsmap *m)
{
    gr_free(m->unit);
    gr_free(m->with);
    *m = (gr_charsmap){0};
}

static gr_status add_part(const gr_charsmap *m, const char *p, const char *stop, gr_bytes *out)
{
    int64_t with = find(m, p, stop);
    return with < 0 ? gr_bytes_add(out, p, (size_t)(stop - p)) : gr_bytes_add_string(out, m->with + with);
}

/* Short clusters are looked up whole, and of those that are not found and of long ones every character. */
static gr_status add_cluster(const gr_charsmap *m, const char *p, const char *stop, gr_bytes *out)
{
    gr_status s = GR_OK;
    if (stop - p < 6) {
        int64_t with = find(m, p, stop);
        if (with >= 0)
            return gr_bytes_add_string(out, m->with + with);
    }
    for (int n; p < stop && s == GR_OK; p += n) {
        gr_utf8_read(p, stop, &n);
        s = add_part(m, p, p + n, out);
    }
    return s;
}

/* ASCII before ASCII is a cluster of its own, but for a line end of two characters. */
static const char *plain_stop(const gr_charsmap *m, const char *p, const char *end)
{
    while (p < end && !(*p & 0x80) && m->ascii[(unsigned char)*p] < 0 && *p != '\r' && (p + 1 == end || !(p[1] & 0x80)))
        p++;
    return p;
}

gr_status gr_charsmap_run(const gr_charsmap *m, const char *text, size_t size, gr_bytes *out)
{
    gr_status s = gr_bytes_reserve(out, size);
    for (const char *p = text, *end = text + size; p < end && s == GR_OK;) {
        const char *stop = plain_stop(m, p, end);
        s = gr_bytes_add(out, p, (size_t)(stop - p));
        if (s != GR_OK || stop == end)
            break;
        p = stop;
        stop = gr_grapheme_stop(p, end);
        s = add_cluster(m, p, stop, out);
        p = stop;
    }
    return s;
}
