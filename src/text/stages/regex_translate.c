/* The two dialects look alike and differ in what they mean: \s, \w, \d and \b, scripts, dot-all's letter, \h, intervals
 * followed by +. Everything else is passed on as it is. */
#include "text/stages/regex_translate.h"
#include "text/unicode/utf8.h"
#include "base/error.h"

#define SPACES "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define NOT_SPACES                                                                                                     \
    "\\x00-\\x08\\x0e-\\x1f\\x21-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"        \
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"
#define WORDS "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
/* Outside of brackets Oniguruma takes the first 256 from ISO 8859-1, where these numbers are letters of words. */
#define WORDS_ALONE WORDS "\\xb2\\xb3\\xb9\\xbc-\\xbe"

/* Letters that became so after Unicode 14. */
#define ALPHABETIC "\\p{Alphabetic}\\x{363}-\\x{36f}\\x{c04}\\x{f82}\\x{f83}\\x{1dd3}-\\x{1de6}\\x{11080}\\x{11081}"
#define LOWERCASE "\\p{Lowercase}\\x{10fc}\\x{a7f2}-\\x{a7f4}\\x{ab69}"

enum { deepest = 64 };

typedef struct reader {
    const char *p, *end, *pattern;
    size_t size;
    gr_bytes *out;
    size_t atom;          /* where in out the last atom starts, for what repeats it */
    size_t open[deepest]; /* where each open group starts */
    bool outer[deepest];  /* and whether case was ignored around it */
    bool fold;            /* case is ignored: (?i) */
    int depth;
} reader;

static gr_status refuse(const reader *r, const char *what)
{
    return gr_fail(GR_ERR_UNSUPPORTED, "regex '%.*s': %s is not supported", r->size > 200 ? 200 : (int)r->size,
                   r->pattern, what);
}

static gr_status put(reader *r, const char *text)
{
    return gr_bytes_add_string(r->out, text);
}

/* What a class escape becomes, alone and inside [ ]; NULL inside: refused there. */
static const struct escape {
    char letter;
    const char *alone, *inside;
} escapes[] = {
    {'s', "[" SPACES "]", SPACES},
    {'S', "[^" SPACES "]", NOT_SPACES},
    {'w', "[" WORDS_ALONE "]", WORDS},
    {'W', "[^" WORDS_ALONE "]", NULL},
    {'d', "\\p{Nd}", "\\p{Nd}"},
    {'D', "\\P{Nd}", "\\P{Nd}"},
    {'h', "[0-9a-fA-F]", "0-9a-fA-F"},
    {'H', "[^0-9a-fA-F]", NULL},
    {'b', "(?:(?<=[" WORDS_ALONE "])(?![" WORDS_ALONE "])|(?<![" WORDS_ALONE "])(?=[" WORDS_ALONE "]))", "\\x08"},
    {'B', "(?:(?<=[" WORDS_ALONE "])(?=[" WORDS_ALONE "])|(?<![" WORDS_ALONE "])(?![" WORDS_ALONE "]))", NULL},
};

/* \p{Name}, \p{^Name}, \P{Name}: categories are passed on; a script's name alone would mean more to PCRE2. */
static gr_status property(reader *r, bool negated, bool inside)
{
    static const char *const long_names[][2] = {
        {"Letter", "L"},
        {"Lowercase_Letter", "Ll"},
        {"Uppercase_Letter", "Lu"},
        {"Titlecase_Letter", "Lt"},
        {"Modifier_Letter", "Lm"},
        {"Other_Letter", "Lo"},
        {"Mark", "M"},
        {"Number", "N"},
        {"Decimal_Number", "Nd"},
        {"Punctuation", "P"},
        {"Symbol", "S"},
        {"Separator", "Z"},
        {"Other", "C"},
        {"Digit", "Nd"},
        {"Upper", "Uppercase"},
        {"Emoji", "Emoji"},
        {"Extended_Pictographic", "Extended_Pictographic"},
        {"Any", "Any"},
    };
    static const char *const sets[][2] = {
        {"Alpha", ALPHABETIC}, {"Alphabetic", ALPHABETIC}, {"Lower", LOWERCASE}, {"Lowercase", LOWERCASE}};
    const char *close = r->p < r->end && *r->p == '{' ? memchr(r->p, '}', (size_t)(r->end - r->p)) : NULL;
    if (!close)
        return refuse(r, "\\p without a name in braces");
    const char *name = r->p + 1;
    if (*name == '^') {
        negated = !negated;
        name++;
    }
    size_t n = (size_t)(close - name);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        if (strlen(sets[i][0]) != n || memcmp(name, sets[i][0], n) != 0)
            continue;
        r->p = close + 1;
        if (inside)
            return negated ? refuse(r, "the negation of this property inside of brackets") : put(r, sets[i][1]);
        gr_status status = put(r, negated ? "[^" : "[");
        if (!status)
            status = put(r, sets[i][1]);
        return status ? status : put(r, "]");
    }
    gr_status status = put(r, negated ? "\\P{" : "\\p{");
    bool is_long = false;
    for (size_t i = 0; i < sizeof long_names / sizeof *long_names && !status && !is_long; i++)
        if (strlen(long_names[i][0]) == n && memcmp(name, long_names[i][0], n) == 0) {
            is_long = true;
            status = put(r, long_names[i][1]);
        }
    if (!status && !is_long && n > 2)
        status = put(r, "sc:");
    if (!status && !is_long)
        status = gr_bytes_add(r->out, name, n);
    r->p = close + 1;
    return status ? status : put(r, "}");
}

/* Behind a backslash. */
static gr_status escape(reader *r, bool inside)
{
    if (r->p == r->end)
        return refuse(r, "a backslash at the end");
    char c = *r->p++;
    if (c == 'p' || c == 'P')
        return property(r, c == 'P', inside);
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++) {
        const char *text = inside ? escapes[i].inside : escapes[i].alone;
        if (c == escapes[i].letter)
            return text ? put(r, text) : refuse(r, "\\W, \\H or \\B inside of brackets");
    }
    if (strchr("gkuyYOoQEKcCMNXG", c) && c) /* other meanings, or none, in one of the two */
        return refuse(r, (char[]){'\\', c, 0});
    return gr_bytes_add(r->out, (char[]){'\\', c}, 2);
}

/* [:name:] inside of brackets. */
static gr_status posix(reader *r)
{
    static const char *const names[][2] = {
        {"[:alpha:]", ALPHABETIC},           {"[:digit:]", "\\p{Nd}"},        {"[:space:]", SPACES},
        {"[:alnum:]", ALPHABETIC "\\p{Nd}"}, {"[:upper:]", "\\p{Uppercase}"}, {"[:lower:]", LOWERCASE},
        {"[:punct:]", "\\p{P}\\p{S}"},       {"[:xdigit:]", "0-9a-fA-F"},     {"[:word:]", WORDS},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i][0]);
        if ((size_t)(r->end - r->p) >= n && memcmp(r->p, names[i][0], n) == 0) {
            r->p += n;
            return put(r, names[i][1]);
        }
    }
    return refuse(r, "a class inside of a class");
}

/* Oniguruma knows characters that are several in another case (ß and ss, ﬁ and fi), PCRE2 does not. */
static gr_status check_fold(const reader *r, const char *p)
{
    static const char *const pairs[] = {"ss", "ff", "fi", "fl", "st"};
    static const uint32_t folds[][2] = {{0xDF, 0xDF},     {0x130, 0x130},  {0x149, 0x149}, {0x1F0, 0x1F0},
                                        {0x2BC, 0x2BE},   {0x300, 0x36F},  {0x390, 0x390}, {0x3B0, 0x3B0},
                                        {0x3B9, 0x3B9},   {0x399, 0x399},  {0x587, 0x587}, {0x1E96, 0x1E9E},
                                        {0x1F00, 0x1FFF}, {0xFB00, 0xFB17}};
    int n, n_next = 0;
    uint32_t c = gr_utf8_read(p, r->end, &n), next = p + n < r->end ? gr_utf8_read(p + n, r->end, &n_next) : 0;
    for (size_t i = 0; i < sizeof folds / sizeof *folds; i++)
        if (c >= folds[i][0] && c <= folds[i][1])
            return refuse(r, "ignoring the case of a letter that is several in another case");
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if ((c | 0x20) == (unsigned char)pairs[i][0] && (next | 0x20) == (unsigned char)pairs[i][1] && c < 0x80 &&
            next < 0x80)
            return refuse(r, "ignoring the case of letters that are one in another case");
    return GR_OK;
}

/* Behind "[". "&&" is a class and a look at what follows: [a&&[^b]] is (?:(?![b])[a]). */
static gr_status brackets(reader *r)
{
    size_t start = r->out->size;
    gr_status status = put(r, "[");
    if (!status && r->p < r->end && *r->p == '^') {
        r->p++;
        status = put(r, "^");
    }
    if (!status && r->p < r->end && *r->p == ']') {
        r->p++;
        status = put(r, "\\]");
    }
    while (!status && r->p < r->end && *r->p != ']') {
        char c = *r->p;
        if (c == '&' && r->end - r->p > 1 && r->p[1] == '&')
            return refuse(r, "&& inside of brackets");
        if (c == '[') {
            status = posix(r);
            continue;
        }
        status = r->fold && (unsigned char)c >= 0x80 ? check_fold(r, r->p) : GR_OK;
        r->p++;
        if (status)
            break;
        status = c == '\\' ? escape(r, true) : gr_bytes_add(r->out, &c, 1);
    }
    r->atom = start;
    if (status)
        return status;
    if (r->p == r->end)
        return refuse(r, "a bracket that is not closed");
    r->p++;
    return put(r, "]");
}

/* Behind "(": the letters of "(?imx-imx" mean the same but for m, which is PCRE2's s. */
static gr_status group(reader *r)
{
    if (r->depth == deepest)
        return refuse(r, "a group this deep");
    r->outer[r->depth] = r->fold;
    r->open[r->depth++] = r->out->size;
    gr_status status = put(r, "(");
    if (status || r->p == r->end || *r->p != '?')
        return status;
    r->p++;
    status = put(r, "?");
    if (r->p < r->end && strchr("~({&", *r->p))
        return refuse(r, "an absent group, condition, call or code");
    for (bool on = true; !status && r->p < r->end && strchr("imx-", *r->p);) {
        char c = *r->p++;
        on &= c != '-';
        r->fold = c == 'i' ? on : r->fold;
        status = gr_bytes_add(r->out, c == 'm' ? "s" : &c, 1);
    }
    /* "(?i)" is no group: it goes on to the end of the one around it. */
    if (!status && r->p < r->end && *r->p == ')' && r->p[-1] != '?')
        r->outer[r->depth - 1] = r->fold;
    return status;
}

/* {n,m}+ repeats the repetition; PCRE2 would make it possessive. */
static gr_status interval(reader *r)
{
    const char *q = r->p;
    while (q < r->end && ((*q >= '0' && *q <= '9') || *q == ','))
        q++;
    bool is_interval = q > r->p && q < r->end && *q == '}' && *r->p != ',';
    bool repeated = is_interval && q + 1 < r->end && q[1] == '+';
    if (*r->p == ',')
        return refuse(r, "{,n}");
    if (!is_interval)
        return put(r, "\\{");
    gr_status status = gr_bytes_reserve(r->out, 8 + (size_t)(q - r->p));
    if (status)
        return status;
    if (repeated) {
        char *at = r->out->data + r->atom;
        memmove(at + 3, at, r->out->size - r->atom);
        memcpy(at, "(?:", 3);
        r->out->size += 3;
    }
    status = put(r, "{");
    if (!status)
        status = gr_bytes_add(r->out, r->p, (size_t)(q - r->p + 1));
    r->p = q + 1 + repeated;
    return status || !repeated ? status : put(r, ")+");
}

static gr_status one(reader *r)
{
    char c = *r->p++;
    if (c == '{')
        return interval(r);
    if (!strchr("*+?", c) || !c)
        r->atom = r->out->size;
    if (c == '\\')
        return escape(r, false);
    if (c == '[')
        return brackets(r);
    if (c == '(')
        return group(r);
    if (c == ')' && r->depth) {
        r->atom = r->open[--r->depth];
        r->fold = r->outer[r->depth];
    }
    return gr_bytes_add(r->out, &c, 1);
}

gr_status gr_regex_translate(const char *pattern, size_t size, gr_bytes *out)
{
    reader r = {.p = pattern, .end = pattern + size, .pattern = pattern, .size = size, .out = out};
    gr_status status = GR_OK;
    while (r.p < r.end && !status) {
        const char *start = r.p;
        status = r.fold ? check_fold(&r, start) : GR_OK;
        if (!status)
            status = one(&r);
        /* A character of several bytes is one atom. */
        while (!status && (unsigned char)*start >= 0xC0 && r.p < r.end && ((unsigned char)*r.p & 0xC0) == 0x80)
            status = gr_bytes_add(out, r.p++, 1);
    }
    return status;
}
