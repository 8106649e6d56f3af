/* Strings, numbers and skipping, straight from the text. */
#include "base/json_pull.h"

#include <string.h>
#include "base/mem.h"
#include "base/number.h"
#include "base/utf8.h"

void gr_pull_free(gr_pull *r)
{
    gr_free(r->buffer);
    r->buffer = NULL;
    r->cap = 0;
}

static inline void skip_space(gr_pull *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
        r->p++;
}

bool gr_pull_sees(gr_pull *r, char c)
{
    skip_space(r);
    return r->p < r->end && *r->p == c;
}

bool gr_pull_char(gr_pull *r, char c)
{
    bool sees = gr_pull_sees(r, c);
    r->p += sees;
    return sees;
}

/* ---- strings ------------------------------------------------------------------------------------------------ */

/* What ends a plain stretch of a string: quote, backslash, control character. Bytes of other scripts have a class of
 * their own. */
static const unsigned char
    kind_of[256] =
        {
#define CONTROL4 1, 1, 1, 1
            CONTROL4,     CONTROL4,     CONTROL4,     CONTROL4,     CONTROL4,
            CONTROL4,     CONTROL4,     CONTROL4,     ['"'] = 1,    ['\\'] = 1,
#define WIDE4(i) [i] = 2, [i + 1] = 2, [i + 2] = 2, [i + 3] = 2
#define WIDE16(i) WIDE4(i), WIDE4(i + 4), WIDE4(i + 8), WIDE4(i + 12)
            WIDE16(0x80), WIDE16(0x90), WIDE16(0xA0), WIDE16(0xB0), WIDE16(0xC0),
            WIDE16(0xD0), WIDE16(0xE0), WIDE16(0xF0),
};

static int hex4(const char *p)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* \uXXXX, p behind the u; surrogates come in pairs. */
static bool unescape_point(gr_pull *r, const char **p, const char *end, char **to)
{
    int high = end - *p >= 4 ? hex4(*p) : -1;
    *p += 4;
    if (r->allow_bytes && high >= 0xDC80 && high < 0xDD00) {
        *(*to)++ = (char)(high - 0xDC00);
        r->has_bytes = true;
        return true;
    }
    if (high < 0 || (high >= 0xDC00 && high < 0xE000))
        return false;
    if (high < 0xD800 || high >= 0xE000) {
        *to += gr_utf8_write((uint32_t)high, *to);
        return true;
    }
    int low = end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u' ? hex4(*p + 2) : -1;
    *p += 6;
    if (low < 0xDC00 || low >= 0xE000)
        return false;
    *to += gr_utf8_write(0x10000u + ((uint32_t)(high - 0xD800) << 10) + (uint32_t)(low - 0xDC00), *to);
    return true;
}

/* A string whose first escape stands at p; `start` is behind its opening quote. Never longer than it is written. */
static bool unescape(gr_pull *r, const char *start, const char *p, const char **text, size_t *size)
{
    static const char letters[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *close = p;
    while (close < r->end && *close != '"')
        close += *close == '\\' ? 2 : 1;
    if (close >= r->end)
        return false;
    if (gr_grow(&r->buffer, &r->cap, (size_t)(close - start) + 1, 1) != GR_OK) {
        r->no_memory = true;
        return false;
    }
    memcpy(r->buffer, start, (size_t)(p - start));
    char *to = r->buffer + (p - start);
    while (p < close) {
        unsigned char c = (unsigned char)*p++;
        if (c < 0x20)
            return false;
        if (c != '\\') {
            *to++ = (char)c;
            continue;
        }
        char letter = *p++;
        const char *at = letter ? strchr(letters, letter) : NULL;
        if (at)
            *to++ = values[at - letters];
        else if (letter != 'u' || !unescape_point(r, &p, close, &to))
            return false;
    }
    r->p = close + 1;
    *text = r->buffer;
    *size = (size_t)(to - r->buffer);
    return r->has_bytes || gr_utf8_valid(r->buffer, *size);
}

bool gr_pull_text(gr_pull *r, const char **text, size_t *size)
{
    r->has_bytes = false;
    if (!gr_pull_char(r, '"'))
        return false;
    const char *start = r->p, *p = start;
    unsigned wide = 0, kind;
    for (; p < r->end && !((kind = kind_of[(unsigned char)*p]) & 1); p++)
        wide |= kind;
    if (p < r->end && *p == '\\')
        return unescape(r, start, p, text, size);
    if (p >= r->end || *p != '"')
        return false;
    r->p = p + 1;
    *text = start;
    *size = (size_t)(p - start);
    return !wide || gr_utf8_valid(start, *size);
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

bool gr_pull_index(gr_pull *r, uint32_t max, uint32_t *x)
{
    uint64_t value = 0;
    skip_space(r);
    const char *start = r->p;
    while (r->p < r->end && *r->p >= '0' && *r->p <= '9' && r->p - start < 10)
        value = value * 10 + (uint64_t)(*r->p++ - '0');
    char next = r->p < r->end ? *r->p : 'x';
    bool is_plain =
        next == ',' || next == '}' || next == ']' || next == ' ' || next == '\n' || next == '\r' || next == '\t';
    *x = (uint32_t)value;
    return r->p > start && is_plain && value <= max && (*start != '0' || r->p - start == 1);
}

static const char *digits(const char *p)
{
    while (*p >= '0' && *p <= '9')
        p++;
    return p;
}

bool gr_pull_real(gr_pull *r, double *x)
{
    skip_space(r);
    const char *start = r->p, *p = start + (*start == '-'), *whole = p;
    p = digits(p);
    if (p == whole || (*whole == '0' && p - whole > 1))
        return false;
    if (*p == '.') {
        const char *fraction = ++p;
        p = digits(p);
        if (p == fraction)
            return false;
    }
    if (*p == 'e' || *p == 'E') {
        p += 1 + (p[1] == '+' || p[1] == '-');
        const char *exponent = p;
        p = digits(p);
        if (p == exponent)
            return false;
    }
    char *stop;
    *x = gr_read_f64(start, &stop);
    r->p = p;
    return stop == p && p <= r->end && *x >= -1e300 && *x <= 1e300;
}

/* ---- values ------------------------------------------------------------------------------------------------- */

/* Behind the string that starts at p, which is at its quote. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"';) {
        while (p < end && !(kind_of[(unsigned char)*p] & 1))
            p++;
        if (p < end && *p != '"')
            p += *p == '\\' ? 2 : 1;
    }
    return p < end ? p + 1 : end;
}

/* Brackets, commas and quotes; the rest is passed over. */
static const unsigned char matters[256] = {['"'] = 1, ['['] = 1, [']'] = 1, ['{'] = 1, ['}'] = 1, [','] = 1};

bool gr_pull_skip(gr_pull *r, const char **start, const char **stop)
{
    const char *p, *end = r->end;
    int depth = 0;
    skip_space(r);
    *start = p = r->p;
    while (p < end) {
        unsigned char c = (unsigned char)*p;
        if (!matters[c]) {
            p++;
            continue;
        }
        if (c == '"') {
            r->strings++;
            p = skip_string(p, end);
        } else if (c == '[' || c == '{') {
            depth++;
            p++;
        } else if (c == ',') {
            if (depth == 0)
                break;
            p++;
        } else {
            if (depth == 0)
                break; /* of what is around the value */
            depth--;
            p++;
        }
        if (depth == 0)
            break;
    }
    *stop = r->p = p;
    return p > *start && depth == 0;
}
