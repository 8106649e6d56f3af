/* What Python's str can do. Every function carries the mask along: a byte of the result is untrusted where the byte that
 * it comes from is. */
#include "text/template/run.h"
#include "text/unicode/unicode.h"

#include <stdio.h>

typedef gr_jinja_value value;
typedef gr_jinja_run run;
typedef gr_jinja_text text;
typedef gr_jinja_builder builder;

/* ---- characters --------------------------------------------------------------------------------------------- */

bool gr_text_is_space(uint32_t c)
{
    return (c >= 0x1C && c <= 0x1F) || (gr_class(c) & GR_CLASS_SPACE);
}

static uint32_t read_at(const text *t, size_t at, size_t *size)
{
    int n;
    uint32_t c = gr_utf8_read(t->bytes + at, t->bytes + t->size, &n);
    *size = (size_t)n;
    return c;
}

static size_t step_back(const text *t, size_t at)
{
    do
        at--;
    while (at && ((unsigned char)t->bytes[at] & 0xC0) == 0x80);
    return at;
}

size_t gr_text_offset(const text *t, size_t number)
{
    size_t at = 0;
    if (t->points == t->size)
        return number;
    if (number == t->points)
        return t->size;
    for (; number && at < t->size; number--)
        for (at++; at < t->size && ((unsigned char)t->bytes[at] & 0xC0) == 0x80;)
            at++;
    return at;
}

size_t gr_text_find(const text *t, const text *what, size_t from, bool last)
{
    if (what->size > t->size || from > t->size - what->size)
        return SIZE_MAX;
    if (!what->size)
        return last ? t->size : from;
    if (!last) {
        const char *p = memmem(t->bytes + from, t->size - from, what->bytes, what->size);
        return p ? (size_t)(p - t->bytes) : SIZE_MAX;
    }
    for (size_t at = t->size - what->size + 1; at > from; at--)
        if (memcmp(t->bytes + at - 1, what->bytes, what->size) == 0)
            return at - 1;
    return SIZE_MAX;
}

/* ---- stripping, splitting ----------------------------------------------------------------------------------- */

static bool is_stripped(const text *t, size_t at, size_t size, uint32_t c, const text *set)
{
    if (!set)
        return gr_text_is_space(c);
    text one = {.bytes = t->bytes + at, .size = size};
    return gr_text_find(set, &one, 0, false) != SIZE_MAX;
}

bool gr_text_strip(run *r, const text *t, const text *set, bool left, bool right, value *out)
{
    size_t from = 0, to = t->size, n;
    while (left && from < to) {
        uint32_t c = read_at(t, from, &n);
        if (!is_stripped(t, from, n, c, set))
            break;
        from += n;
    }
    while (right && to > from) {
        size_t at = step_back(t, to);
        uint32_t c = read_at(t, at, &n);
        if (!is_stripped(t, at, n, c, set))
            break;
        to = at;
    }
    return gr_jinja_charge(r, (t->size - (to - from)) / 16 * (set ? set->size / 16 + 1 : 1)) &&
           gr_jinja_part(r, t, from, to - from, out);
}

static bool push_part(run *r, gr_jinja_values *parts, const text *t, size_t from, size_t to)
{
    value part;
    return gr_jinja_charge(r, 1) && gr_jinja_part(r, t, from, to - from, &part) && gr_jinja_push(r, parts, &part);
}

static bool split_at(run *r, const text *t, const text *separator, int64_t max, gr_jinja_values *parts)
{
    size_t from = 0, at;
    for (; max && (at = gr_text_find(t, separator, from, false)) != SIZE_MAX; max--) {
        if (!push_part(r, parts, t, from, at))
            return false;
        from = at + separator->size;
    }
    return push_part(r, parts, t, from, t->size);
}

/* Last part first. */
static bool split_back(run *r, const text *t, const text *separator, int64_t max, gr_jinja_values *parts)
{
    size_t to = t->size;
    for (; max; max--) {
        text rest = {.bytes = t->bytes, .size = to};
        size_t at = to; /* searched from the end, so that many parts are no more work than one */
        while (at >= separator->size &&
               memcmp(rest.bytes + at - separator->size, separator->bytes, separator->size) != 0)
            at--;
        if (at < separator->size)
            break;
        if (!push_part(r, parts, t, at, to))
            return false;
        to = at - separator->size;
    }
    return push_part(r, parts, t, 0, to);
}

static bool split_spaces(run *r, const text *t, int64_t max, gr_jinja_values *parts)
{
    size_t n;
    for (size_t at = 0; at < t->size;) {
        if (gr_text_is_space(read_at(t, at, &n))) {
            at += n;
            continue;
        }
        size_t from = at;
        if (!max--) { /* the rest, white space at its end left out */
            size_t to = t->size;
            for (size_t back; to > from && gr_text_is_space(read_at(t, back = step_back(t, to), &n));)
                to = back;
            return push_part(r, parts, t, from, to);
        }
        while (at < t->size && !gr_text_is_space(read_at(t, at, &n)))
            at += n;
        if (!push_part(r, parts, t, from, at))
            return false;
    }
    return true;
}

static bool split_spaces_back(run *r, const text *t, int64_t max, gr_jinja_values *parts)
{
    size_t n;
    for (size_t at = t->size; at;) {
        size_t back = step_back(t, at);
        if (gr_text_is_space(read_at(t, back, &n))) {
            at = back;
            continue;
        }
        size_t to = at, from = 0;
        if (!max--) {
            while (from < to && gr_text_is_space(read_at(t, from, &n)))
                from += n;
            return push_part(r, parts, t, from, to);
        }
        while (at && !gr_text_is_space(read_at(t, back = step_back(t, at), &n)))
            at = back;
        if (!push_part(r, parts, t, at, to))
            return false;
    }
    return true;
}

bool gr_text_split(run *r, const text *t, const text *separator, int64_t max, bool from_right, value *out)
{
    gr_jinja_values parts = {0};
    if (separator && !separator->size)
        return gr_jinja_fail(r, "split: the separator is empty");
    bool done = separator ? (from_right ? split_back : split_at)(r, t, separator, max, &parts)
                          : (from_right ? split_spaces_back : split_spaces)(r, t, max, &parts);
    for (size_t i = 0; from_right && done && i < parts.n / 2; i++) {
        value other = parts.items[i];
        parts.items[i] = parts.items[parts.n - 1 - i];
        parts.items[parts.n - 1 - i] = other;
    }
    return done && gr_jinja_charge(r, t->size / 16 * (separator && from_right ? separator->size / 64 + 1 : 1)) &&
           gr_jinja_list_of(r, GR_VALUE_LIST, parts.items, parts.n, out);
}

static bool ends_line(uint32_t c)
{
    return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool gr_text_lines(run *r, const text *t, bool keep_ends, value *out)
{
    gr_jinja_values parts = {0};
    size_t from = 0, n;
    for (size_t at = 0; at < t->size; at += n) {
        if (!ends_line(read_at(t, at, &n)))
            continue;
        size_t to = at;
        if (t->bytes[at] == '\r' && at + 1 < t->size && t->bytes[at + 1] == '\n')
            n = 2;
        if (!push_part(r, &parts, t, from, keep_ends ? at + n : to))
            return false;
        from = at + n;
    }
    if (from < t->size && !push_part(r, &parts, t, from, t->size))
        return false;
    return gr_jinja_list_of(r, GR_VALUE_LIST, parts.items, parts.n, out);
}

/* ---- making others ------------------------------------------------------------------------------------------ */

/* An empty `old` stands in front of every character and at the end. */
static bool replace_nothing(run *r, const text *t, const text *new, int64_t max, builder *b)
{
    size_t at = 0, n;
    for (; max && at <= t->size; max--) {
        if (!gr_jinja_add_text(r, b, new) || !gr_jinja_charge(r, 1))
            return false;
        if (at == t->size)
            return true;
        read_at(t, at, &n);
        if (!gr_jinja_add_part(r, b, t, at, n))
            return false;
        at += n;
    }
    return at > t->size || gr_jinja_add_part(r, b, t, at, t->size - at);
}

bool gr_text_replace(run *r, const text *t, const text *old, const text *new, int64_t max, value *out)
{
    builder b = {0};
    size_t from = 0, at;
    if (!old->size)
        return replace_nothing(r, t, new, max, &b) && gr_jinja_built(r, &b, out);
    if (gr_text_find(t, old, 0, false) == SIZE_MAX || !max)
        return gr_jinja_charge(r, t->size / 16) && gr_jinja_part(r, t, 0, t->size, out);
    for (; max && (at = gr_text_find(t, old, from, false)) != SIZE_MAX; max--) {
        if (!gr_jinja_charge(r, 1) || !gr_jinja_add_part(r, &b, t, from, at - from) || !gr_jinja_add_text(r, &b, new))
            return false;
        from = at + old->size;
    }
    return gr_jinja_charge(r, t->size / 16) && gr_jinja_add_part(r, &b, t, from, t->size - from) &&
           gr_jinja_built(r, &b, out);
}

bool gr_text_repeat(run *r, const text *t, int64_t times, value *out)
{
    builder b = {0};
    for (int64_t i = 0; i < times && t->size; i++)
        if (!gr_jinja_charge(r, 1) || !gr_jinja_add_text(r, &b, t))
            return false;
    return gr_jinja_built(r, &b, out);
}

/* ---- letters ------------------------------------------------------------------------------------------------ */

/* Letters that are several, or depend on what stands around them, in another case. */
static bool is_unusual(uint32_t c, bool upper)
{
    static const uint32_t spans[][2] = {
        {0xDF, 0xDF},     {0x149, 0x149},   {0x1F0, 0x1F0},   {0x390, 0x390},   {0x3B0, 0x3B0},   {0x587, 0x587},
        {0x1E96, 0x1E9A}, {0x1F50, 0x1F56}, {0x1F80, 0x1FAF}, {0x1FB2, 0x1FB4}, {0x1FB6, 0x1FB7}, {0x1FBC, 0x1FBC},
        {0x1FC2, 0x1FC4}, {0x1FC6, 0x1FC7}, {0x1FCC, 0x1FCC}, {0x1FD2, 0x1FD7}, {0x1FE2, 0x1FE7}, {0x1FF2, 0x1FF4},
        {0x1FF6, 0x1FF7}, {0x1FFC, 0x1FFC}, {0xFB00, 0xFB06}, {0xFB13, 0xFB17}};
    if (!upper)
        return c == 0x130 || c == 0x3A3;
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++)
        if (c >= spans[i][0] && c <= spans[i][1])
            return true;
    return false;
}

static uint32_t lower(uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    return gr_unicode_lower(c);
}

static bool is_cased(uint32_t c)
{
    return lower(c) != c || gr_unicode_upper(c) != c;
}

static bool wants_upper(gr_text_case how, uint32_t c, bool first, bool behind_letter)
{
    switch (how) {
    case GR_CASE_LOWER:
        return false;
    case GR_CASE_UPPER:
        return true;
    case GR_CASE_CAPITAL:
        return first;
    case GR_CASE_TITLE:
        return !behind_letter;
    default:
        return lower(c) == c;
    }
}

bool gr_text_recase(run *r, const text *t, gr_text_case how, value *out)
{
    builder b = {0};
    size_t n;
    bool behind_letter = false;
    if (t->points < t->size && !gr_unicode_has_forms())
        return gr_jinja_unsupported(r, "letters that are not ASCII have no case in a build without utf8proc");
    for (size_t at = 0; at < t->size; at += n) {
        uint32_t c = read_at(t, at, &n);
        bool upper = wants_upper(how, c, at == 0, behind_letter);
        bool digraph = how != GR_CASE_UPPER && upper && ((c >= 0x1C4 && c <= 0x1CC) || (c >= 0x1F1 && c <= 0x1F3));
        char bytes[4];
        if (is_unusual(c, upper) || digraph)
            return gr_jinja_unsupported(r, "the %s case of the letter U+%04X is not supported",
                                        upper ? "upper" : "lower", (unsigned)c);
        size_t size = (size_t)gr_utf8_write(upper ? gr_unicode_upper(c) : lower(c), bytes);
        bool untrusted = t->mask ? t->mask[at] : t->untrusted;
        if (!gr_jinja_charge(r, 1) || !gr_jinja_add_bytes(r, &b, bytes, size, untrusted))
            return false;
        behind_letter = is_cased(c);
    }
    return gr_jinja_built(r, &b, out);
}

bool gr_text_escape(run *r, const value *v, value *out)
{
    static const char marks[] = "&<>'\"", *const names[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    builder b = {0};
    value s;
    if (!gr_jinja_str(r, v, &s))
        return false;
    for (size_t i = 0; i < s.as.text->size && !v->markup; i++) {
        const char *mark = s.as.text->bytes[i] ? strchr(marks, s.as.text->bytes[i]) : NULL;
        bool untrusted = s.as.text->mask ? s.as.text->mask[i] : s.as.text->untrusted;
        const char *name = mark ? names[mark - marks] : NULL;
        if (!gr_jinja_add_bytes(r, &b, name ? name : s.as.text->bytes + i, name ? strlen(name) : 1, untrusted))
            return false;
    }
    if (!v->markup && !gr_jinja_built(r, &b, &s))
        return false;
    *out = s;
    out->markup = true;
    return true;
}

/* ---- formats ------------------------------------------------------------------------------------------------ */

static bool add_conversion(run *r, builder *b, char kind, const value *v)
{
    char number[32];
    if (kind == 's')
        return gr_jinja_add_str(r, b, v);
    if (kind == 'r')
        return gr_jinja_add_repr(r, b, v);
    if (v->type != GR_VALUE_INT && v->type != GR_VALUE_BOOL)
        return gr_jinja_fail(r, "%%%c needs an integer, not %s", kind, gr_jinja_type_name(v));
    snprintf(number, sizeof number, "%lld", (long long)gr_jinja_whole(v));
    return gr_jinja_add_bytes(r, b, number, strlen(number), v->untrusted);
}

bool gr_text_percent(run *r, const text *t, const value *values, value *out)
{
    builder b = {0};
    bool is_tuple = values->type == GR_VALUE_TUPLE;
    const value *items = is_tuple ? values->as.list->items : values;
    size_t n = is_tuple ? values->as.list->n : 1, used = 0;
    for (size_t i = 0; i < t->size; i++) {
        if (t->bytes[i] != '%') {
            if (!gr_jinja_add_part(r, &b, t, i, 1))
                return false;
            continue;
        }
        char kind = ++i < t->size ? t->bytes[i] : 0;
        if (kind == '%') {
            if (!gr_jinja_add_part(r, &b, t, i, 1))
                return false;
            continue;
        }
        if (!kind || !strchr("sdir", kind))
            return gr_jinja_unsupported(r, "of formats with %% only %%s, %%d, %%i, %%r and %%%% are supported");
        if (used == n)
            return gr_jinja_fail(r, "not enough values for the format");
        if (!add_conversion(r, &b, kind, &items[used++]))
            return false;
    }
    if (used < n && (is_tuple || (values->type != GR_VALUE_DICT && values->type != GR_VALUE_LIST)))
        return gr_jinja_fail(r, "not all values were used by the format");
    return gr_jinja_built(r, &b, out);
}

/* The value of a field "0", "name", ""; *automatic counts fields without a name, -1: there were numbers. */
static const value *field_value(run *r, const text *field, const gr_jinja_args *args, int64_t *automatic)
{
    size_t number = 0;
    bool is_number = field->size > 0 && field->size < 6;
    for (size_t i = 0; i < field->size; i++) {
        is_number &= field->bytes[i] >= '0' && field->bytes[i] <= '9';
        number = is_number ? 10 * number + (size_t)(field->bytes[i] - '0') : 0;
    }
    if (!field->size || is_number) {
        if ((*automatic > 0 && is_number) || (*automatic < 0 && !is_number)) {
            gr_jinja_fail(r, "format: fields with and without numbers");
            return NULL;
        }
        if (is_number)
            *automatic = -1;
        else
            number = (size_t)(*automatic)++;
        if (number < args->n)
            return &args->items[number];
        gr_jinja_fail(r, "format: there is no value %zu", number);
        return NULL;
    }
    for (size_t i = 0; i < args->n_named; i++)
        if (gr_jinja_same_text(args->named[i].key.as.text, field))
            return &args->named[i].value;
    gr_jinja_unsupported(r, "format: a field is no value's name or number; attributes and widths are not supported");
    return NULL;
}

bool gr_text_format(run *r, const text *t, const gr_jinja_args *args, value *out)
{
    builder b = {0};
    int64_t automatic = 0;
    for (size_t i = 0; i < t->size; i++) {
        char c = t->bytes[i];
        bool twice = (c == '{' || c == '}') && i + 1 < t->size && t->bytes[i + 1] == c;
        if ((c != '{' && c != '}') || twice) {
            i += twice;
            if (!gr_jinja_add_part(r, &b, t, i, 1))
                return false;
            continue;
        }
        const char *end = c == '{' ? memchr(t->bytes + i, '}', t->size - i) : NULL;
        if (!end)
            return gr_jinja_fail(r, "format: a brace that stands alone");
        text field = {.bytes = t->bytes + i + 1, .size = (size_t)(end - t->bytes) - i - 1};
        const value *v = field_value(r, &field, args, &automatic);
        if (!v || !gr_jinja_add_str(r, &b, v))
            return false;
        i = (size_t)(end - t->bytes);
    }
    return gr_jinja_built(r, &b, out);
}
