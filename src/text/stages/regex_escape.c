/* What a backslash makes of what is behind it: classes and single characters. */
#include "text/stages/regex_reader.h"
#include "text/stages/regex_translate.h"
#include "base/utf8.h"
#include "base/error.h"

gr_status gr_regex_refuse(const gr_regex_reader *r, const char *at, const char *what)
{
    return gr_fail(GR_ERR_UNSUPPORTED, "regex '%.*s': at byte %zu, %s is not supported\n" GR_REGEX_HINT,
                   r->size > 200 ? 200 : (int)r->size, r->pattern, (size_t)(at - r->pattern), what);
}

/* Behind \p or \P: {Name} or {^Name}. */
static gr_status property(gr_regex_reader *r, int *set, bool *negated)
{
    const char *at = r->p - 2, *name = r->p + 1;
    const char *close = memchr(name, '}', (size_t)(r->end - name));
    if (!close)
        return gr_regex_refuse(r, at, "\\p with a brace that is not closed");
    if (*name == '^') {
        *negated = !*negated;
        name++;
    }
    *set = gr_property_find(name, (size_t)(close - name));
    if (*set < 0)
        return gr_regex_refuse(r, at, "\\p with a name that is no property, script or block");
    r->p = close + 1;
    return GR_OK;
}

bool gr_regex_class_escape(gr_regex_reader *r, char c, bool inside, int *set, bool *negated, gr_status *status)
{
    static const char *const names[][2] = {{"d", "digit"}, {"s", "space"}, {"w", "word"}, {"h", "xdigit"}};
    *status = GR_OK;
    *negated = c >= 'A' && c <= 'Z';
    c |= 0x20;
    if (c == 'p') { /* a letter, where no brace follows */
        if (r->p == r->end || *r->p != '{')
            return false;
        *status = property(r, set, negated);
        /* Outside of brackets \p{Word} is \w, which takes the first 256 from ISO 8859-1: some numbers are letters. */
        if (!*status && !inside && *set == gr_property_find("word", 4))
            *set = gr_set_word;
        return true;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (c == names[i][0][0]) {
            *set = c == 'w' && !inside ? gr_set_word : gr_property_find(names[i][1], strlen(names[i][1]));
            return true;
        }
    return false;
}

static int digit(char c, int base)
{
    int value = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : 16;
    return value < base ? value : -1;
}

/* Up to `most` digits; how many there were. */
static int number(gr_regex_reader *r, int base, int most, uint32_t *out)
{
    int n = 0;
    *out = 0;
    for (; n < most && r->p < r->end && digit(*r->p, base) >= 0; n++)
        *out = *out * (uint32_t)base + (uint32_t)digit(*r->p++, base);
    return n;
}

/* {...} behind \x and \o. */
static gr_status braced(gr_regex_reader *r, int base, int most, uint32_t *out)
{
    const char *at = r->p - 2;
    r->p++;
    if (!number(r, base, most, out) || r->p == r->end || *r->p != '}')
        return gr_regex_refuse(r, at, "other than one number in the braces of \\x or \\o");
    r->p++;
    return GR_OK;
}

/* \xHH and \ooo are bytes, which make up a character in UTF-8. The first one is read. */
static gr_status bytes(gr_regex_reader *r, const char *at, int base, uint32_t first, uint32_t *out)
{
    char text[4] = {(char)first};
    int size = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2, n;
    uint32_t byte;
    for (int i = 1; i < size; i++) {
        bool more = r->end - r->p >= 2 && *r->p == '\\' && (base == 16 ? r->p[1] == 'x' : digit(r->p[1], 8) >= 0);
        r->p += !more ? 0 : base == 16 ? 2 : 1;
        if (!more || !number(r, base, base == 16 ? 2 : 3, &byte) || byte > 255)
            return gr_regex_refuse(r, at, "a byte that is no UTF-8 with those behind it");
        text[i] = (char)byte;
    }
    *out = gr_utf8_read(text, text + size, &n);
    if (*out >= GR_INVALID_BYTE || n != size)
        return gr_regex_refuse(r, at, "a byte that is no UTF-8 with those behind it");
    return GR_OK;
}

/* \cX, \C-X */
static gr_status control(gr_regex_reader *r, const char *at, uint32_t *code)
{
    if (r->p == r->end || (unsigned char)*r->p >= 0x80 || *r->p == '\\')
        return gr_regex_refuse(r, at, "\\c without a letter of ASCII");
    char c = *r->p++;
    *code = c == '?' ? 0x7F : (uint32_t)c & 0x1F;
    return GR_OK;
}

gr_status gr_regex_code_escape(gr_regex_reader *r, bool inside, uint32_t *code)
{
    static const char letters[] = "ntrfaev", values[] = "\n\t\r\f\a\033\v";
    const char *at = r->p - 1, *which;
    int n;
    if (r->p == r->end)
        return gr_regex_refuse(r, at, "a backslash at the end");
    char c = *r->p++;
    bool brace = r->p < r->end && *r->p == '{';
    if ((c == 'x' || c == 'o') && brace)
        return braced(r, c == 'x' ? 16 : 8, c == 'x' ? 8 : 10, code);
    if (c == 'x') {
        number(r, 16, 2, code);
        return bytes(r, at, 16, *code, code);
    }
    if (c == 'u')
        return number(r, 16, 4, code) == 4 ? GR_OK : gr_regex_refuse(r, at, "\\u without four digits");
    if (c >= '0' && c <= '7') {
        r->p--;
        number(r, 8, 3, code);
        return *code < 256 ? bytes(r, at, 8, *code, code) : gr_regex_refuse(r, at, "a byte above \\377");
    }
    if (c == 'M')
        return gr_regex_refuse(r, at, "\\M");
    if (c == 'C') {
        if (r->p == r->end || *r->p++ != '-')
            return gr_regex_refuse(r, at, "\\C without -");
        return control(r, at, code);
    }
    if (c == 'c')
        return control(r, at, code);
    if (c == 'b' && inside) {
        *code = '\b';
        return GR_OK;
    }
    which = c ? strchr(letters, c) : NULL;
    r->p--;
    *code = which ? (uint32_t)values[which - letters] : gr_utf8_read(r->p, r->end, &n);
    r->p += which ? 1 : n;
    return *code < GR_INVALID_BYTE ? GR_OK : gr_regex_refuse(r, at, "a byte that is no UTF-8");
}
