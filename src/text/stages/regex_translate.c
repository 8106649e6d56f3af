/* The two dialects look alike and differ in what they mean. So everything is read as Oniguruma reads it, and what is
 * written is the part of PCRE2's syntax that both mean alike: classes as sets of code points, letters whose case is ignored
 * as sets too, and groups around whatever is repeated. */
#include <stdio.h>
#include "text/stages/regex_reader.h"
#include "text/stages/regex_translate.h"
#include "base/utf8.h"
#include "text/unicode/unicode.h"
#include "base/error.h"

enum { most_source = 64 << 10, most_output = 4 << 20, most_open = 200, most_repeats = 16, most_times = 100000 };

static gr_status put(gr_regex_reader *r, const char *text)
{
    return gr_bytes_add_string(r->out, text);
}

static gr_regex_level *level(gr_regex_reader *r)
{
    return &r->level[r->depth];
}

static bool eat(gr_regex_reader *r, const char *text)
{
    size_t n = strlen(text);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, text, n) != 0)
        return false;
    r->p += n;
    return true;
}

static void start_atom(gr_regex_reader *r)
{
    r->atom = r->out->size;
    r->have = GR_REGEX_ATOM;
    r->atom_is_group = false;
    r->repeats = 0;
}

/* ---- characters --------------------------------------------------------------------------------------------- */

/* Oniguruma knows characters that are several in another case (ß and ss, ﬁ and fi), PCRE2 does not: a letter that may be
 * one of several, or part of one, is refused. */
static gr_status check_fold(gr_regex_reader *r, const char *at, uint32_t c)
{
    gr_points several = {0};
    gr_status s = gr_property_add(gr_set_several, &several);
    uint32_t letter = gr_fold(c);
    bool joins = gr_fold_joins(r->tail[1], letter, 0) || gr_fold_joins(r->tail[0], r->tail[1], letter);
    if (s == GR_OK && (joins || gr_points_has(&several, c)))
        s = gr_regex_refuse(r, at, "ignoring the case of letters that are one or several in another case");
    gr_points_free(&several);
    r->tail[0] = r->tail[1];
    r->tail[1] = letter;
    for (int i = 0; i <= r->depth; i++)
        if (r->level[i].letters < 2)
            r->level[i].first[r->level[i].letters++] = letter;
    return s;
}

static gr_status put_set(gr_regex_reader *r, gr_points *set)
{
    start_atom(r);
    return gr_regex_put_set(r, set);
}

static gr_status put_character(gr_regex_reader *r, const char *at, uint32_t c)
{
    gr_points set = {0};
    char text[16] = {(char)c};
    if (c > GR_LAST_POINT || (c >= 0xD800 && c < 0xE000))
        return gr_regex_refuse(r, at, "a number that is no character");
    bool alone = !r->fold && c < 0x800;
    gr_status s = r->fold ? check_fold(r, at, c) : GR_OK;
    if (s == GR_OK && !alone)
        s = gr_points_add(&set, c, c);
    if (s == GR_OK && r->fold)
        s = gr_points_fold(&set);
    if (!r->fold)
        r->tail[1] = 0;
    if (s == GR_OK && !alone) {
        s = put_set(r, &set);
    } else if (s == GR_OK) {
        bool plain = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (!plain)
            snprintf(text, sizeof text, "\\x{%x}", (unsigned)c);
        start_atom(r);
        s = put(r, text);
    }
    gr_points_free(&set);
    return s;
}

static gr_status put_property(gr_regex_reader *r, int number, bool negated)
{
    gr_points set = {0};
    gr_status s = gr_property_add(number, &set);
    if (s == GR_OK && negated)
        s = gr_points_invert(&set);
    if (s == GR_OK)
        s = put_set(r, &set);
    gr_points_free(&set);
    r->tail[1] = 0;
    return s;
}

/* The set of [...] when case is ignored. What does not match is folded, too. */
static gr_status fold_class(gr_regex_reader *r, const char *at, gr_points *set, bool negated)
{
    gr_points several = {0};
    gr_status s = gr_property_add(gr_set_several, &several);
    if (s == GR_OK)
        s = gr_points_keep(&several, set);
    if (s == GR_OK && !negated && several.n)
        s = gr_regex_refuse(r, at, "ignoring the case of a class with letters that are several in another case");
    gr_points_free(&several);
    return s == GR_OK ? gr_points_fold(set) : s;
}

static gr_status brackets(gr_regex_reader *r)
{
    gr_points set = {0};
    bool negated;
    const char *at = r->p - 1;
    gr_status s = gr_regex_read_class(r, &set, &negated);
    /* A class of one character is that character. */
    bool one = s == GR_OK && r->fold && !negated && set.n == 1 && set.span[0].first == set.span[0].last;
    if (one)
        s = check_fold(r, at, set.span[0].first);
    else
        r->tail[1] = 0;
    if (s == GR_OK && r->fold)
        s = fold_class(r, at, &set, negated);
    if (s == GR_OK && negated)
        s = gr_points_invert(&set);
    if (s == GR_OK)
        s = put_set(r, &set);
    gr_points_free(&set);
    return s;
}

/* ---- what matches no character ------------------------------------------------------------------------------ */

static gr_status anchor(gr_regex_reader *r, const char *text)
{
    r->have = GR_REGEX_NO_ATOM;
    r->tail[1] = 0;
    return put(r, text);
}

/* \w, worked out once. */
static gr_status put_word(gr_regex_reader *r)
{
    gr_points set = {0};
    size_t start = r->out->size;
    if (r->word.size)
        return gr_bytes_add(r->out, r->word.data, r->word.size);
    gr_status s = gr_property_add(gr_set_word, &set);
    if (s == GR_OK)
        s = gr_regex_put_set(r, &set);
    if (s == GR_OK)
        s = gr_bytes_add(&r->word, r->out->data + start, r->out->size - start);
    gr_points_free(&set);
    return s;
}

/* \b and \B: between a character of words and what is none. */
static gr_status word_boundary(gr_regex_reader *r, bool is)
{
    static const char *const signs[2][4] = {{"(?:(?<=", ")(?=", ")|(?<!", ")(?!"},
                                            {"(?:(?<=", ")(?!", ")|(?<!", ")(?="}};
    gr_status s = GR_OK;
    for (int i = 0; i < 4 && s == GR_OK; i++) {
        s = put(r, signs[is][i]);
        if (s == GR_OK)
            s = put_word(r);
    }
    return s == GR_OK ? anchor(r, "))") : s;
}

/* ---- groups ------------------------------------------------------------------------------------------------- */

/* What a group of its own would change is put back when it ends. */
static gr_status open_group(gr_regex_reader *r, const char *text, bool look)
{
    if (r->depth + 1 == GR_REGEX_DEEPEST || ++r->open > most_open)
        return gr_regex_refuse(r, r->p, "a group this deep");
    r->level[++r->depth] = (gr_regex_level){
        .start = r->out->size, .fold = r->fold, .dotall = r->dotall, .extended = r->extended, .look = look};
    r->have = GR_REGEX_NO_ATOM;
    return put(r, text);
}

static gr_status close_group(gr_regex_reader *r, const char *at)
{
    gr_status s = GR_OK;
    if (!r->depth)
        return gr_regex_refuse(r, at, "a parenthesis that closes nothing");
    gr_regex_level *l = level(r);
    r->open -= 1 + l->more;
    for (; l->more >= 0 && s == GR_OK; l->more--)
        s = put(r, ")");
    r->fold = l->fold;
    r->dotall = l->dotall;
    r->extended = l->extended;
    r->atom = l->start;
    r->atom_is_group = true;
    r->have = l->look ? GR_REGEX_NO_ATOM : GR_REGEX_ATOM;
    r->repeats = 0;
    r->depth--;
    return s;
}

/* "(?i)" makes a group that goes on to the end of the one around it, with its alternatives. */
static gr_status options(gr_regex_reader *r, const char *at)
{
    bool on = true, fold = r->fold, dotall = r->dotall, extended = r->extended;
    for (; r->p < r->end && *r->p != ':' && *r->p != ')'; r->p++) {
        bool *which = *r->p == 'i' ? &fold : *r->p == 'm' ? &dotall : *r->p == 'x' ? &extended : NULL;
        if (which)
            *which = on;
        else if (*r->p == '-')
            on = false;
        else
            return gr_regex_refuse(r, at, "(? with this letter");
    }
    if (r->p == r->end)
        return gr_regex_refuse(r, at, "a group that is not closed");
    gr_status s = GR_OK;
    if (*r->p++ == ':') {
        s = open_group(r, "(?:", false);
    } else {
        level(r)->more++;
        r->have = GR_REGEX_NO_ATOM;
        s = ++r->open > most_open ? gr_regex_refuse(r, at, "a group this deep") : put(r, "(?:");
    }
    r->fold = fold;
    r->dotall = dotall;
    r->extended = extended;
    return s;
}

/* A name of ASCII letters, digits and _ up to `close`, which is eaten too. */
static size_t read_name(gr_regex_reader *r, char close)
{
    const char *name = r->p;
    while (r->p < r->end && (((*r->p | 0x20) >= 'a' && (*r->p | 0x20) <= 'z') || *r->p == '_' ||
                             (*r->p >= '0' && *r->p <= '9' && r->p > name)))
        r->p++;
    size_t n = (size_t)(r->p - name);
    return n && eat(r, (char[]){close, 0}) ? n : 0;
}

static gr_status named_group(gr_regex_reader *r, const char *at, char close)
{
    const char *name = r->p;
    size_t n = read_name(r, close);
    if (!n || r->named == GR_REGEX_DEEPEST)
        return gr_regex_refuse(r, at,
                               n ? "this many groups with names" : "a group with a name of other than ASCII letters");
    r->name[r->named].name = name;
    r->name[r->named].size = n;
    r->name[r->named++].group = ++r->groups;
    return open_group(r, r->refers ? "(" : "(?:", false);
}

/* Behind "(". Where groups have names, those without do not count. */
static gr_status group(gr_regex_reader *r, bool names)
{
    static const struct {
        const char *text, *becomes;
        bool look;
    } kinds[] = {{"?:", "(?:", false}, {"?=", "(?=", true},   {"?!", "(?!", true},
                 {"?>", "(?>", false}, {"?<=", "(?<=", true}, {"?<!", "(?<!", true}};
    const char *at = r->p - 1;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (eat(r, kinds[i].text))
            return open_group(r, kinds[i].becomes, kinds[i].look);
    if (eat(r, "?<"))
        return named_group(r, at, '>');
    if (eat(r, "?'"))
        return named_group(r, at, '\'');
    if (r->p < r->end && *r->p == '*')
        return gr_regex_refuse(r, at, "a callout");
    if (!eat(r, "?")) {
        r->groups += !names;
        return open_group(r, r->refers && !names ? "(" : "(?:", false);
    }
    if (r->p < r->end && *r->p == '~')
        return gr_regex_refuse(r, at, "an absent group");
    if (r->p < r->end && (*r->p == '(' || *r->p == '{'))
        return gr_regex_refuse(r, at, *r->p == '(' ? "a condition" : "a callout");
    return options(r, at);
}

/* ---- references --------------------------------------------------------------------------------------------- */

static gr_status refer(gr_regex_reader *r, const char *at, int number)
{
    char text[32];
    if (r->fold)
        return gr_regex_refuse(r, at, "a back reference where case is ignored");
    for (int i = 1; i <= r->depth; i++)
        if (r->level[i].look)
            return gr_regex_refuse(r, at, "a back reference in a look-around");
    r->refers = r->sets.uneven = true; /* two new characters may have the same stand-in */
    r->highest = number > r->highest ? number : r->highest;
    snprintf(text, sizeof text, "\\g{%d}", number);
    start_atom(r);
    r->tail[1] = 0;
    return put(r, text);
}

/* \k<name>, \k<n>, \k<-n> */
static gr_status named_reference(gr_regex_reader *r, const char *at, bool names)
{
    char open = r->p < r->end ? *r->p++ : 0, close = open == '<' ? '>' : '\'';
    bool back = eat(r, "-");
    int number = 0, found = 0;
    if (open != '<' && open != '\'')
        return gr_regex_refuse(r, at, "\\k without a name");
    const char *name = r->p;
    for (; r->p < r->end && *r->p >= '0' && *r->p <= '9' && number < 1000; r->p++)
        number = number * 10 + *r->p - '0';
    if (r->p > name) {
        number = back ? r->groups + 1 - number : number;
        if (!eat(r, (char[]){close, 0}) || names || number < 1)
            return gr_regex_refuse(r, at, "this back reference");
        return refer(r, at, number);
    }
    size_t n = back ? 0 : read_name(r, close);
    for (int i = 0; i < r->named && n; i++)
        if (r->name[i].size == n && memcmp(r->name[i].name, name, n) == 0) {
            number = r->name[i].group;
            found++;
        }
    return found == 1 ? refer(r, at, number) : gr_regex_refuse(r, at, "this back reference");
}

/* \1 and so on: a reference where there are as many groups, or it is one digit. */
static bool is_reference(const gr_regex_reader *r, const char **stop, int *number)
{
    const char *p = r->p;
    *number = 0;
    for (; p < r->end && *p >= '0' && *p <= '9' && *number < 1000; p++)
        *number = *number * 10 + *p - '0';
    *stop = p;
    return p > r->p && *r->p != '0' && (*number <= 9 || *number <= r->groups);
}

/* ---- what is behind a backslash ----------------------------------------------------------------------------- */

static gr_status keep(gr_regex_reader *r, const char *at)
{
    for (int i = 1; i <= r->depth; i++)
        if (r->level[i].look)
            return gr_regex_refuse(r, at, "\\K in a look-around");
    return anchor(r, "\\K");
}

static gr_status escape(gr_regex_reader *r, bool names)
{
    static const struct {
        char letter;
        const char *text;
        bool matches; /* a character */
    } kinds[] = {{'A', "\\A", false},
                 {'Z', "\\Z", false},
                 {'z', "\\z", false},
                 {'G', "\\G", false},
                 {'N', "\\N", true},
                 {'O', "(?s:.)", true},
                 {'R', "(?>\\x{d}\\x{a}|[\\x{a}-\\x{d}\\x{85}\\x{2028}\\x{2029}])", true}};
    const char *at = r->p - 1, *stop;
    int set, number;
    bool negated;
    gr_status s;
    uint32_t code;
    char c = r->p < r->end ? *r->p : 0;
    if (is_reference(r, &stop, &number)) {
        r->p = stop;
        return names ? gr_regex_refuse(r, at, "a back reference by number beside groups with names")
                     : refer(r, at, number);
    }
    r->p += r->p < r->end;
    if (c && strchr("yYXg", c))
        return gr_regex_refuse(r, at, (char[]){'\\', c, 0});
    if (c == 'k')
        return named_reference(r, at, names);
    if (c == 'K')
        return keep(r, at);
    if (c == 'b' || c == 'B')
        return word_boundary(r, c == 'b');
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (c && c == kinds[i].letter) {
            s = anchor(r, "");
            if (kinds[i].matches)
                start_atom(r);
            return s == GR_OK ? put(r, kinds[i].text) : s;
        }
    if (gr_regex_class_escape(r, c, false, &set, &negated, &s))
        return s == GR_OK ? put_property(r, set, negated) : s;
    if (r->p > at + 1)
        r->p = at + 1;
    s = gr_regex_code_escape(r, false, &code);
    return s == GR_OK ? put_character(r, at, code) : s;
}

/* ---- repetition --------------------------------------------------------------------------------------------- */

typedef struct repeat {
    int least, most; /* most -1: any number */
    bool lazy, possessive, fixed;
} repeat;

static bool times(gr_regex_reader *r, int *out)
{
    const char *start = r->p;
    for (*out = 0; r->p < r->end && *r->p >= '0' && *r->p <= '9'; r->p++)
        *out = *out > most_times ? *out : *out * 10 + *r->p - '0';
    return r->p > start;
}

/* {n}, {n,}, {n,m}, {,m} behind the brace; all else is a brace and more. {5,2} is {2,5}, possessive. */
static bool interval(gr_regex_reader *r, repeat *out)
{
    const char *start = r->p;
    bool low = times(r, &out->least), high = true;
    out->most = out->least;
    out->fixed = true;
    if (eat(r, ",")) {
        out->fixed = false;
        high = times(r, &out->most);
        if (!high)
            out->most = -1;
    }
    if (!eat(r, "}") || (!low && (out->fixed || !high))) {
        r->p = start;
        return false;
    }
    if (out->most >= 0 && out->least > out->most) {
        int swap = out->least;
        out->least = out->most;
        out->most = swap;
        out->possessive = true;
    }
    return true;
}

/* Whether there is a repetition here, which is eaten. */
static bool read_repeat(gr_regex_reader *r, repeat *out)
{
    char c = r->p < r->end ? *r->p : 0;
    *out = (repeat){.least = c == '+', .most = c == '?' ? 1 : -1};
    if (c != '*' && c != '+' && c != '?' && c != '{')
        return false;
    r->p++;
    if (c == '{' && !interval(r, out)) {
        r->p--;
        return false;
    }
    out->lazy = !out->fixed && !out->possessive && eat(r, "?");
    if (c != '{' && !out->lazy)
        out->possessive = eat(r, "+");
    return true;
}

/* Puts what was repeated already into a group. */
static gr_status wrap(gr_regex_reader *r)
{
    gr_status s = gr_bytes_reserve(r->out, 4);
    if (s != GR_OK)
        return s;
    char *at = r->out->data + r->atom;
    memmove(at + 3, at, r->out->size - r->atom);
    memcpy(at, "(?:", 3);
    r->out->size += 3;
    return put(r, ")");
}

/* Letters that a fixed number puts side by side may be one in another case. */
static gr_status check_repeated(gr_regex_reader *r, const char *at, const repeat *t, const gr_regex_level *l)
{
    bool joins = false;
    uint32_t first = l ? l->first[0] : r->tail[1], second = l ? l->first[1] : r->tail[1];
    if (!r->tail[1] || t->least < 2 || !t->fixed || (l && !l->letters))
        return GR_OK;
    joins = gr_fold_joins(r->tail[1], first, 0) || gr_fold_joins(r->tail[0], r->tail[1], first) ||
            gr_fold_joins(r->tail[1], first, second) || gr_fold_joins(first, first, first);
    return joins ? gr_regex_refuse(r, at, "ignoring the case of letters that are one or several in another case")
                 : GR_OK;
}

static gr_status put_repeat(gr_regex_reader *r, const char *at, const repeat *t)
{
    char text[40];
    const gr_regex_level *l = r->atom_is_group ? &r->level[r->depth + 1] : NULL;
    if (r->have == GR_REGEX_NO_ATOM)
        return gr_regex_refuse(r, at, "a repetition of nothing, or of what matches no character");
    if (t->least > most_times || t->most > most_times)
        return gr_regex_refuse(r, at, "a repetition of more than 100000 times");
    gr_status s = check_repeated(r, at, t, l);
    if (s != GR_OK || (t->least == 1 && t->most == 1))
        return s;
    if (r->repeats == most_repeats)
        return gr_regex_refuse(r, at, "a repetition repeated this often");
    if (r->have == GR_REGEX_REPEATED)
        s = wrap(r);
    r->have = GR_REGEX_REPEATED;
    r->repeats++;
    if (!t->fixed)
        r->tail[1] = 0;
    if (t->most < 0 && t->least < 2)
        snprintf(text, sizeof text, "%s", t->least ? "+" : "*");
    else if (t->most < 0)
        snprintf(text, sizeof text, "{%d,}", t->least);
    else if (!t->least && t->most == 1)
        snprintf(text, sizeof text, "?");
    else
        snprintf(text, sizeof text, "{%d,%d}", t->least, t->most);
    if (s == GR_OK)
        s = put(r, text);
    return s == GR_OK ? put(r, t->possessive ? "+" : t->lazy ? "?" : "") : s;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

/* (?#...), and under (?x) white space and #... to the end of the line. */
static gr_status skip_comments(gr_regex_reader *r)
{
    for (;;) {
        const char *at = r->p;
        if (r->extended && r->p < r->end && *r->p && strchr(" \t\n\r\f", *r->p)) {
            r->p++;
        } else if (r->extended && eat(r, "#")) {
            while (r->p < r->end && *r->p++ != '\n') {
            }
        } else if (eat(r, "(?#")) {
            while (r->p < r->end && *r->p != ')')
                r->p += *r->p == '\\' && r->end - r->p > 1 ? 2 : 1;
            if (!eat(r, ")"))
                return gr_regex_refuse(r, at, "a comment that is not closed");
        } else {
            return GR_OK;
        }
    }
}

static gr_status one(gr_regex_reader *r, bool names)
{
    const char *at = r->p;
    repeat t;
    int n;
    if (read_repeat(r, &t))
        return put_repeat(r, at, &t);
    char c = *r->p;
    if (c == '\\' || c == '[' || c == '(' || c == ')' || c == '|' || c == '^' || c == '$' || c == '.')
        r->p++;
    switch (c) {
    case '\\':
        return escape(r, names);
    case '[':
        return brackets(r);
    case '(':
        return group(r, names);
    case ')':
        return close_group(r, at);
    case '|':
        return anchor(r, "|");
    case '^':
        return anchor(r, "^");
    case '$':
        return anchor(r, "$");
    case '.':
        r->tail[1] = 0;
        start_atom(r);
        return put(r, r->dotall ? "(?s:.)" : "\\N");
    default:
        break;
    }
    uint32_t code = gr_utf8_read(r->p, r->end, &n);
    r->p += n;
    return code < GR_INVALID_BYTE ? put_character(r, at, code) : gr_regex_refuse(r, at, "a byte that is no UTF-8");
}

/* Once through the pattern. names: some group has a name. */
static gr_status read_all(gr_regex_reader *r, bool names)
{
    gr_status s = skip_comments(r);
    while (s == GR_OK && r->p < r->end) {
        s = one(r, names);
        if (s == GR_OK && r->out->size > most_output)
            s = gr_regex_refuse(r, r->p, "a pattern this large");
        if (s == GR_OK)
            s = skip_comments(r);
    }
    if (s == GR_OK && r->depth)
        s = gr_regex_refuse(r, r->end, "a group that is not closed");
    for (int i = 0; i < r->level[0].more && s == GR_OK; i++)
        s = put(r, ")");
    if (s == GR_OK && r->highest > r->groups)
        s = gr_regex_refuse(r, r->end, "a back reference to a group that is not there");
    return s;
}

/* What is found on the way (a reference, a name, a set that tells new characters from old) may change how the start is
 * written: then it is read once more. */
gr_status gr_regex_translate(const char *pattern, size_t size, gr_bytes *out, bool *stand_ins)
{
    bool refers = false, names = false, exact = false, again = true;
    size_t start = out->size;
    gr_status s = GR_OK;
    if (size > most_source)
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "regex '%.*s…': a pattern of more than %d bytes is not supported\n" GR_REGEX_HINT, 100, pattern,
                       most_source);
    gr_regex_reader *r = gr_alloc(sizeof *r);
    if (!r)
        return GR_ERR_MEMORY;
    while (again && s == GR_OK) {
        *r = (gr_regex_reader){.p = pattern, .end = pattern + size, .pattern = pattern, .size = size, .out = out};
        r->refers = refers;
        r->sets.exact = exact;
        out->size = start;
        s = read_all(r, names);
        again = r->refers != refers || (r->named > 0) != names || (r->sets.uneven && !exact);
        refers = r->refers;
        names = r->named > 0;
        exact |= r->sets.uneven;
        gr_regex_sets_free(&r->sets);
        gr_bytes_free(&r->word);
    }
    *stand_ins = !exact;
    gr_free(r);
    return s;
}
