/* Where a cluster ends, by the rules of the annex over tables of our own. */
#include "text/unicode/graphemes.h"

typedef enum class { /* in the order of tools/oracle/make_unicode_graphemes.py */
                     OTHER,
                     EXTEND,
                     LINKER,
                     NON_JOINER,
                     JOINER,
                     SPACING,
                     PREPEND,
                     CONTROL,
                     PICTOGRAPH,
                     L,
                     V,
                     T,
                     SYLLABLE,
                     CONSONANT,
} class;

static class class_of(uint32_t c)
{
    if (c >= 0x3400 && c < 0xA000)
        return OTHER; /* Chinese characters, worth a line */
    const gr_range *r = gr_range_find(gr_graphemes, gr_graphemes_count, c);
    return r ? (class)r->value : OTHER;
}

typedef struct cluster {
    uint32_t c; /* the last character */
    class class;
    enum { NO_PICTOGRAPH, PICTOGRAPH_SEEN, PICTOGRAPH_JOINED } emoji;
    enum { NO_CONSONANT, CONSONANT_SEEN, CONSONANT_LINKED } conjunct;
} cluster;

static void take(cluster *k, uint32_t c, class now)
{
    bool mark = now == EXTEND || now == LINKER || now == NON_JOINER;
    if (now == PICTOGRAPH)
        k->emoji = PICTOGRAPH_SEEN;
    else if (now == JOINER && k->emoji == PICTOGRAPH_SEEN)
        k->emoji = PICTOGRAPH_JOINED;
    else if (!mark || k->emoji != PICTOGRAPH_SEEN)
        k->emoji = NO_PICTOGRAPH;
    if (now == CONSONANT)
        k->conjunct = CONSONANT_SEEN;
    else if (now == LINKER && k->conjunct)
        k->conjunct = CONSONANT_LINKED;
    else if (now != EXTEND && now != JOINER)
        k->conjunct = NO_CONSONANT;
    k->c = c;
    k->class = now;
}

static bool joins_hangul(const cluster *k, class next)
{
    bool open = k->class == V || (k->class == SYLLABLE && (k->c - 0xAC00) % 28 == 0);
    if (k->class == L)
        return next == L || next == V || next == SYLLABLE;
    return (open && next == V) || (next == T && (open || k->class == T || k->class == SYLLABLE));
}

static bool joins(const cluster *k, uint32_t c, class next)
{
    if (k->c == '\r' && c == '\n')
        return true;
    if (k->class == CONTROL || next == CONTROL)
        return false;
    if ((next >= EXTEND && next <= SPACING) || k->class == PREPEND)
        return true;
    return (k->conjunct == CONSONANT_LINKED && next == CONSONANT) ||
           (k->emoji == PICTOGRAPH_JOINED && next == PICTOGRAPH) || joins_hangul(k, next);
}

const char *gr_grapheme_stop(const char *p, const char *end)
{
    cluster k = {0};
    int n;
    uint32_t c = gr_utf8_read(p, end, &n);
    take(&k, c, class_of(c));
    for (p += n; p < end; p += n) {
        c = gr_utf8_read(p, end, &n);
        class next = class_of(c);
        if (!joins(&k, c, next))
            break;
        take(&k, c, next);
    }
    return p;
}
