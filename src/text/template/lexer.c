/* Template text to tokens, by the rules of Jinja's own lexer. */
#include "text/template/lexer.h"
#include "text/unicode/unicode.h"
#include "base/number.h"

typedef struct lexer {
    gr_jinja *jinja;
    gr_jinja_tokens *out;
    const char *start, *p, *end;
    const char *line_start, *counted; /* of the line that is counted up to there */
    uint32_t line;
    bool at_line_start; /* what was read last ended a line */
    int depth;          /* open brackets of the tag */
    char open[64];
} lexer;

/* ---- places ------------------------------------------------------------------------------------------------- */

/* Places are asked for in order, but for those of messages: lines are counted once. */
static void locate(lexer *l, const char *at, uint32_t *line, uint32_t *column)
{
    if (at < l->counted) {
        l->counted = l->line_start = l->start;
        l->line = 1;
    }
    for (const char *c; l->counted < at && (c = memchr(l->counted, '\n', (size_t)(at - l->counted)));) {
        l->line_start = l->counted = c + 1;
        l->line++;
    }
    l->counted = at;
    *line = l->line;
    *column = (uint32_t)(at - l->line_start) + 1;
}

static gr_status refuse(lexer *l, const char *at, const char *what)
{
    uint32_t line, column;
    char shown[48];
    const char *stop = at;
    locate(l, at, &line, &column);
    while (stop < l->end && stop - at < 24 && *stop != '\n')
        stop++;
    gr_printable(at, (size_t)(stop - at), shown, sizeof shown);
    return gr_jinja_refuse(l->jinja, GR_ERR_FILE, line, column, "%s%s%s%s", what, *shown ? " at '" : "", shown,
                           *shown ? "'" : "");
}

static gr_status add(lexer *l, gr_token_type type, const char *at, size_t size)
{
    gr_jinja_token t = {.type = type, .bytes = at, .size = size};
    locate(l, at, &t.line, &t.column);
    gr_status s = gr_grow(&l->out->at, &l->out->cap, l->out->n + 1, sizeof *l->out->at);
    if (s == GR_OK)
        l->out->at[l->out->n++] = t;
    return s;
}

static gr_jinja_token *last(lexer *l)
{
    return &l->out->at[l->out->n - 1];
}

static bool sees(const lexer *l, const char *p, const char *what)
{
    size_t n = strlen(what);
    return (size_t)(l->end - p) >= n && memcmp(p, what, n) == 0;
}

/* Python's str.isspace. */
static bool is_space(uint32_t c)
{
    return (c >= 0x1C && c <= 0x1F) || (gr_class(c) & GR_CLASS_SPACE);
}

static const char *skip_space(const lexer *l, const char *p)
{
    for (int n; p < l->end && is_space(gr_utf8_read(p, l->end, &n));)
        p += n;
    return p;
}

static const char *drop_space(const char *start, const char *end)
{
    for (const char *c = end; c > start;) {
        const char *before = c - 1;
        int n;
        while (before > start && ((unsigned char)*before & 0xC0) == 0x80)
            before--;
        if (!is_space(gr_utf8_read(before, end, &n)))
            return c;
        c = before;
    }
    return start;
}

/* ---- text between tags -------------------------------------------------------------------------------------- */

/* What is left of the text in front of a tag. strips: the tag may take blanks of its line away. */
static const char *trim_before(const lexer *l, const char *start, const char *end, char sign, bool strips)
{
    if (sign == '-')
        return drop_space(start, end);
    if (sign == '+' || !strips)
        return end;
    const char *line = end;
    while (line > start && line[-1] != '\n')
        line--;
    bool whole = line > start || l->at_line_start;
    return whole && line < end && drop_space(line, end) == line ? line : end;
}

static gr_status add_data(lexer *l, const char *start, const char *stop)
{
    return stop > start ? add(l, GR_T_DATA, start, (size_t)(stop - start)) : GR_OK;
}

/* The end of a tag or comment at p: *next is behind it and what it takes away. */
static bool ends_tag(const lexer *l, const char *p, const char *close, bool trims, const char **next)
{
    bool minus = p < l->end && *p == '-', plus = p < l->end && *p == '+' && trims;
    if (!sees(l, p + (minus || plus), close))
        return false;
    p += (minus || plus) + strlen(close);
    if (minus)
        p = skip_space(l, p);
    else if (!plus && trims && p < l->end && *p == '\n')
        p++;
    *next = p;
    return true;
}

static char sign_at(const lexer *l, const char *p)
{
    return p < l->end && (*p == '-' || *p == '+') ? *p : 0;
}

/* {% raw %}: *next is behind it. */
static bool begins_raw(const lexer *l, const char *tag, const char **next)
{
    const char *p = tag + 2;
    p += sign_at(l, p) != 0;
    p = skip_space(l, p);
    if (!sees(l, p, "raw"))
        return false;
    p = skip_space(l, p + 3);
    if (sees(l, p, "%}")) {
        *next = p + 2;
        return true;
    }
    if (!sees(l, p, "-%}"))
        return false;
    *next = skip_space(l, p + 3);
    return true;
}

static gr_status read_raw(lexer *l, const char *tag)
{
    for (const char *p = l->p; p < l->end; p++) {
        const char *next;
        if (!sees(l, p, "{%"))
            continue;
        char sign = sign_at(l, p + 2);
        const char *word = skip_space(l, p + 2 + (sign != 0));
        if (!sees(l, word, "endraw") || !ends_tag(l, skip_space(l, word + 6), "%}", true, &next))
            continue;
        gr_status s = add_data(l, l->p, trim_before(l, l->p, p, sign, true));
        l->at_line_start = next[-1] == '\n';
        l->p = next;
        return s;
    }
    return refuse(l, tag, "raw without endraw");
}

static gr_status read_comment(lexer *l, const char *tag)
{
    for (const char *p = l->p, *next; p < l->end; p++) {
        if (!ends_tag(l, p, "#}", true, &next))
            continue;
        l->at_line_start = next[-1] == '\n';
        l->p = next;
        return GR_OK;
    }
    return refuse(l, tag, "a comment that does not end");
}

/* ---- inside of a tag ---------------------------------------------------------------------------------------- */

static const char *digits(const lexer *l, const char *p, const char *set)
{
    const char *start = p;
    while (p < l->end && *p &&
           (strchr(set, *p) || (*p == '_' && p > start && p + 1 < l->end && p[1] && strchr(set, p[1]))))
        p++;
    return p;
}

/* Behind the fraction and the exponent at p, or p: there is none. */
static const char *fraction(const lexer *l, const char *p)
{
    static const char decimal[] = "0123456789";
    const char *end = p;
    if (p + 1 < l->end && *p == '.' && p[1] >= '0' && p[1] <= '9')
        end = digits(l, p + 1, decimal);
    if (end < l->end && (*end == 'e' || *end == 'E')) {
        const char *exponent = end + 1 + (end + 1 < l->end && (end[1] == '+' || end[1] == '-'));
        if (exponent < l->end && *exponent >= '0' && *exponent <= '9')
            end = digits(l, exponent, decimal);
    }
    return end;
}

static gr_status read_real(lexer *l, const char *start, const char *stop)
{
    char copy[64];
    size_t n = 0;
    for (const char *c = start; c < stop; c++) {
        if (n == sizeof copy - 1)
            return refuse(l, start, "a number of too many digits");
        if (*c != '_')
            copy[n++] = *c;
    }
    copy[n] = 0;
    gr_status s = add(l, GR_T_REAL, start, (size_t)(stop - start));
    if (s == GR_OK)
        last(l)->r = gr_read_f64(copy, NULL);
    l->p = stop;
    return s;
}

static gr_status read_integer(lexer *l, const char *start, const char *stop, unsigned base)
{
    uint64_t value = 0;
    for (const char *c = start + (base == 10 ? 0 : 2); c < stop; c++) {
        unsigned digit = *c <= '9' ? (unsigned)(*c - '0') : (unsigned)((*c | 32) - 'a' + 10);
        if (*c == '_')
            continue;
        if (value > ((uint64_t)INT64_MAX - digit) / base)
            return refuse(l, start, "an integer past 64 bits");
        value = value * base + digit;
    }
    gr_status s = add(l, GR_T_INT, start, (size_t)(stop - start));
    if (s == GR_OK)
        last(l)->i = (int64_t)value;
    l->p = stop;
    return s;
}

static gr_status read_number(lexer *l)
{
    static const struct {
        char letter;
        unsigned base;
        const char *digits;
    } bases[] = {{'b', 2, "01"}, {'o', 8, "01234567"}, {'x', 16, "0123456789abcdefABCDEF"}};
    const char *start = l->p, *stop = digits(l, start, "0123456789"), *real = fraction(l, stop);
    bool behind_dot = l->out->n && last(l)->type == GR_T_SIGN && *last(l)->bytes == '.' && last(l)->bytes + 1 == start;
    if (real > stop && !behind_dot)
        return read_real(l, start, real);
    for (size_t i = 0; i < sizeof bases / sizeof *bases && *start == '0' && start + 2 < l->end; i++) {
        const char *first = start + 2 + (start[2] == '_');
        if ((start[1] | 32) == bases[i].letter && digits(l, first, bases[i].digits) > first)
            return read_integer(l, start, digits(l, first, bases[i].digits), bases[i].base);
    }
    if (*start == '0')
        stop = digits(l, start, "0");
    return read_integer(l, start, stop, 10);
}

static int hex(const lexer *l, const char *p, int count)
{
    int value = 0;
    for (int i = 0; i < count; i++) {
        char c = p + i < l->end ? p[i] : 0;
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* A backslash at *p, as Python reads it in a string; *out is moved. */
static gr_status read_escape(lexer *l, const char **p, char **out)
{
    static const char letters[] = "\\'\"abfnrtv", meanings[] = "\\'\"\a\b\f\n\r\t\v";
    const char *at = *p, c = at[1], *known = c ? strchr(letters, c) : NULL;
    int count = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0, value = count ? hex(l, at + 2, count) : 0;
    if (c == 'N')
        return refuse(l, at, "characters by name are not supported: write the character itself");
    if (value < 0 || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        return refuse(l, at, "an escape that is no character");
    *p = at + 2 + count;
    if (known) {
        *(*out)++ = meanings[known - letters];
    } else if (count) {
        *out += gr_utf8_write((uint32_t)value, *out);
    } else if (c >= '0' && c <= '7') {
        int n = 0;
        for (*p = at + 1; n < 3 && *p < l->end && **p >= '0' && **p <= '7'; n++)
            value = value << 3 | (*(*p)++ - '0');
        *out += gr_utf8_write((uint32_t)value, *out);
    } else if (c != '\n') { /* a line that goes on leaves nothing; others stay as they are */
        *(*out)++ = '\\';
        *(*out)++ = c;
    }
    return GR_OK;
}

static gr_status read_string(lexer *l)
{
    const char *start = l->p, quote = *start, *stop = start + 1;
    while (stop < l->end && *stop != quote)
        stop += *stop == '\\' && stop + 1 < l->end ? 2 : 1;
    if (stop >= l->end)
        return refuse(l, start, "a string that does not end");
    gr_status s = add(l, GR_T_TEXT, start, 0);
    char *text = s == GR_OK ? gr_jinja_arena_take(&l->jinja->arena, (size_t)(stop - start)) : NULL, *to = text;
    if (!text)
        return GR_ERR_MEMORY;
    for (const char *c = start + 1; c < stop && s == GR_OK;) {
        if (*c == '\\')
            s = read_escape(l, &c, &to);
        else
            *to++ = *c++;
    }
    last(l)->bytes = text;
    last(l)->size = (size_t)(to - text);
    l->p = stop + 1;
    return s;
}

static bool in_name(uint32_t c)
{
    return c == '_' || (gr_class(c) & GR_CLASS_WORD);
}

static gr_status read_name(lexer *l)
{
    const char *start = l->p, *stop = start;
    for (int n; stop < l->end && in_name(gr_utf8_read(stop, l->end, &n));)
        stop += n;
    l->p = stop;
    return add(l, GR_T_NAME, start, (size_t)(stop - start));
}

static gr_status read_sign(lexer *l)
{
    static const char *const signs[] = {"==", "!=", "<=", ">=", "//", "**", "+", "-", "/", "*", "%", "~", "[", "]",
                                        "(",  ")",  "{",  "}",  ">",  "<",  "=", ".", ":", "|", ",", ";", NULL};
    static const char opens[] = "([{", closes[] = ")]}";
    int i = 0;
    while (signs[i] && !sees(l, l->p, signs[i]))
        i++;
    if (!signs[i])
        return refuse(l, l->p, "an unexpected character");
    const char *opened = strchr(opens, *l->p), *closed = strchr(closes, *l->p);
    if (opened && l->depth == (int)sizeof l->open)
        return refuse(l, l->p, "too many open brackets");
    if (opened)
        l->open[l->depth++] = closes[opened - opens];
    if (closed && (!l->depth || l->open[--l->depth] != *l->p))
        return refuse(l, l->p, "a bracket that closes none");
    gr_status s = add(l, GR_T_SIGN, l->p, strlen(signs[i]));
    l->p += strlen(signs[i]);
    return s;
}

static gr_status read_tag(lexer *l, const char *tag, bool is_block)
{
    gr_status s = add(l, is_block ? GR_T_BLOCK : GR_T_PRINT, tag, 2);
    l->depth = 0;
    while (s == GR_OK) {
        const char *next;
        int n;
        if (l->p >= l->end)
            return refuse(l, tag, is_block ? "a block that does not end" : "an expression that does not end");
        if (!l->depth && ends_tag(l, l->p, is_block ? "%}" : "}}", is_block, &next)) {
            s = add(l, is_block ? GR_T_BLOCK_END : GR_T_PRINT_END, l->p, 2);
            l->at_line_start = next[-1] == '\n';
            l->p = next;
            return s;
        }
        uint32_t c = gr_utf8_read(l->p, l->end, &n);
        if (is_space(c))
            l->p += n;
        else if (c >= '0' && c <= '9')
            s = read_number(l);
        else if (in_name(c))
            s = read_name(l);
        else if (c == '\'' || c == '"')
            s = read_string(l);
        else
            s = read_sign(l);
    }
    return s;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static const char *find_tag(const lexer *l, const char *p)
{
    while (p < l->end && (p = memchr(p, '{', (size_t)(l->end - p)))) {
        if (p + 1 < l->end && (p[1] == '{' || p[1] == '%' || p[1] == '#'))
            return p;
        p++;
    }
    return NULL;
}

/* The text up to the next tag, and the tag. */
static gr_status read_next(lexer *l)
{
    const char *tag = find_tag(l, l->p), *raw = NULL;
    if (!tag) {
        gr_status s = add_data(l, l->p, l->end);
        l->p = l->end;
        return s;
    }
    char sign = sign_at(l, tag + 2);
    bool is_raw = tag[1] == '%' && begins_raw(l, tag, &raw);
    gr_status s = add_data(l, l->p, trim_before(l, l->p, tag, sign, tag[1] != '{'));
    l->at_line_start = false;
    l->p = is_raw ? raw : tag + 2 + (sign != 0);
    if (is_raw)
        l->at_line_start = raw[-1] == '\n';
    if (s != GR_OK)
        return s;
    return is_raw ? read_raw(l, tag) : tag[1] == '#' ? read_comment(l, tag) : read_tag(l, tag, tag[1] == '%');
}

gr_status gr_jinja_lex(gr_jinja *j, const char *text, size_t size, gr_jinja_tokens *out)
{
    char *copy = gr_jinja_arena_take(&j->arena, size + 1), *to = copy;
    if (!copy)
        return GR_ERR_MEMORY;
    for (size_t i = 0; i < size; i++) { /* every line ends with \n, and the last one does not end */
        bool is_return = text[i] == '\r';
        *to++ = is_return ? '\n' : text[i];
        i += is_return && i + 1 < size && text[i + 1] == '\n';
    }
    if (to > copy && to[-1] == '\n')
        to--;
    lexer l = {
        .jinja = j, .out = out, .start = copy, .p = copy, .end = to, .line_start = copy, .counted = copy, .line = 1};
    l.at_line_start = true;
    gr_status s = GR_OK;
    if (!gr_utf8_valid(copy, (size_t)(to - copy)))
        s = refuse(&l, copy + gr_utf8_prefix(copy, (size_t)(to - copy)), "a byte that is no UTF-8");
    while (s == GR_OK && l.p < l.end)
        s = read_next(&l);
    return s == GR_OK ? add(&l, GR_T_END, l.end, 0) : s;
}
