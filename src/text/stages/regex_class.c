/* Brackets: sets in sets, intersections, ranges, POSIX names. What [...] means is worked out here, code point by code
 * point, so that nothing of it is left to another library's reading. */
#include "text/stages/regex_reader.h"
#include "base/utf8.h"

enum { deepest_class = 32 };

typedef struct token {
    enum { END, CHARACTER, SET, DASH, OPEN, AND, CLOSE } type;
    uint32_t code;
    int set;
    bool negated;
    const char *at;
} token;

/* The members of one bracket so far, and the one that may still begin a range. */
typedef struct members {
    gr_points set;
    enum { START, VALUE, RANGE, COMPLETE } state;
    bool is_set; /* VALUE: it was a class, no character */
    uint32_t from;
} members;

/* [:name:] and [:^name:] behind [ : what has this form is one, or wrong. */
static bool is_posix(const gr_regex_reader *r)
{
    const char *p = r->p;
    if (p == r->end || *p++ != ':')
        return false;
    const char *name = p;
    while (p < r->end && (((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z') || (*p == '^' && p == name) || *p & 0x80))
        p++;
    return p > name && r->end - p >= 2 && p[0] == ':' && p[1] == ']';
}

static gr_status posix(gr_regex_reader *r, token *t)
{
    static const char *const names[] = {"alnum", "alpha", "ascii", "blank", "cntrl", "digit",  "graph",
                                        "lower", "print", "punct", "space", "upper", "xdigit", "word"};
    const char *name = r->p + 1;
    t->type = SET;
    t->negated = *name == '^';
    name += t->negated;
    const char *close = memchr(name, ':', (size_t)(r->end - name));
    size_t n = (size_t)(close - name);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == n && memcmp(names[i], name, n) == 0) {
            /* \p{Punct} has no symbols, [:punct:] has. */
            t->set = strcmp(names[i], "punct") == 0 ? gr_property_find("posixpunct", 10) : gr_property_find(name, n);
            r->p = close + 2;
            return GR_OK;
        }
    return gr_regex_refuse(r, t->at,
                           "[:...:] with another name than alnum, alpha, ascii, blank, cntrl, digit, graph, "
                           "lower, print, punct, space, upper, xdigit, word");
}

static gr_status next(gr_regex_reader *r, token *t)
{
    gr_status s;
    int n;
    *t = (token){.type = END, .at = r->p};
    if (r->p == r->end)
        return gr_regex_refuse(r, r->p, "a bracket that is not closed");
    t->code = gr_utf8_read(r->p, r->end, &n);
    t->type = CHARACTER;
    if (t->code >= GR_INVALID_BYTE)
        return gr_regex_refuse(r, r->p, "a byte that is no UTF-8");
    r->p += n;
    if (t->code == ']') {
        t->type = CLOSE;
    } else if (t->code == '-') {
        t->type = DASH;
    } else if (t->code == '&' && r->p < r->end && *r->p == '&') {
        r->p++;
        t->type = AND;
    } else if (t->code == '[') {
        t->type = OPEN;
        return is_posix(r) ? posix(r, t) : GR_OK;
    } else if (t->code == '\\' && r->p < r->end) {
        char c = *r->p++;
        t->type = SET;
        if (gr_regex_class_escape(r, c, true, &t->set, &t->negated, &s))
            return s;
        r->p--;
        t->type = CHARACTER;
        return gr_regex_code_escape(r, true, &t->code);
    }
    return GR_OK;
}

static gr_status flush(members *m)
{
    return m->state == VALUE && !m->is_set ? gr_points_add(&m->set, m->from, m->from) : GR_OK;
}

static gr_status add_character(gr_regex_reader *r, members *m, const token *t)
{
    gr_status s = GR_OK;
    /* A range may end behind the last code point. */
    if (t->code > GR_LAST_POINT && m->state != RANGE)
        return gr_regex_refuse(r, t->at, "a number that is no code point");
    if (m->state == RANGE) {
        m->state = COMPLETE;
        if (m->from > t->code)
            return gr_regex_refuse(r, t->at, "a range that ends before it starts");
        r->from_zero |= !m->from && t->code >= 0x80;
        return gr_points_add(&m->set, m->from, t->code);
    }
    s = flush(m);
    m->state = VALUE;
    m->is_set = false;
    m->from = t->code;
    return s;
}

static gr_status add_set(gr_regex_reader *r, members *m, const token *t)
{
    gr_points set = {0};
    gr_status s = flush(m);
    if (m->state == RANGE)
        return gr_regex_refuse(r, t->at, "a class as the end of a range");
    m->state = VALUE;
    m->is_set = true;
    if (s == GR_OK)
        s = gr_property_add(t->set, &set);
    if (s == GR_OK && t->negated)
        s = gr_points_invert(&set);
    if (s == GR_OK)
        s = gr_points_add_all(&m->set, &set);
    gr_points_free(&set);
    return s;
}

/* A dash is a range behind a character that something follows, and itself elsewhere. *ahead: t is the token behind it. */
static gr_status add_dash(gr_regex_reader *r, members *m, token *t, bool *ahead)
{
    token dash = {.type = CHARACTER, .code = '-', .at = t->at};
    if (m->state != VALUE)
        return add_character(r, m, &dash);
    gr_status s = next(r, t);
    *ahead = true;
    if (s != GR_OK || t->type == CLOSE || t->type == AND)
        return s == GR_OK ? add_character(r, m, &dash) : s;
    if (m->is_set)
        return gr_regex_refuse(r, dash.at, "a class as the start of a range");
    m->state = RANGE;
    return GR_OK;
}

static gr_status read_class(gr_regex_reader *r, gr_points *out, bool *negated, int depth);

/* Oniguruma takes the negation of \0-\x{80} and more in a class of its own for all that is not ASCII, inside of another
 * class only: an error of its arithmetic, which nobody can mean. */
static gr_status add_class(gr_regex_reader *r, members *m, const token *t, int depth)
{
    gr_points set = {0};
    bool negated = false, before = r->from_zero;
    gr_status s = flush(m);
    if (m->state == RANGE)
        return gr_regex_refuse(r, t->at, "a class as the end of a range");
    m->state = COMPLETE;
    r->from_zero = false;
    if (s == GR_OK)
        s = read_class(r, &set, &negated, depth + 1);
    if (s == GR_OK && negated && r->from_zero)
        s = gr_regex_refuse(r, t->at, "a negated class inside of a class with a range from \\0 to other than ASCII");
    r->from_zero |= before;
    r->negates |= negated;
    if (s == GR_OK && negated)
        s = gr_points_invert(&set);
    if (s == GR_OK)
        s = gr_points_add_all(&m->set, &set);
    gr_points_free(&set);
    return s;
}

/* What is on both sides of && so far, into out. */
static gr_status intersect(members *m, gr_points *out, bool *any)
{
    gr_status s = flush(m);
    if (s == GR_OK && *any)
        s = gr_points_keep(out, &m->set);
    else if (s == GR_OK)
        s = gr_points_add_all(out, &m->set);
    *any = true;
    gr_points_free(&m->set);
    m->state = START;
    return s;
}

static gr_status read_class(gr_regex_reader *r, gr_points *out, bool *negated, int depth)
{
    members m = {.state = START};
    token t = {.at = r->p - 1};
    bool any = false;
    if (depth == deepest_class)
        return gr_regex_refuse(r, t.at, "a class this deep");
    gr_status s = next(r, &t);
    *negated = s == GR_OK && t.type == CHARACTER && t.code == '^' && *t.at == '^';
    if (*negated)
        s = next(r, &t);
    if (s == GR_OK && t.type == CLOSE) { /* []...] begins with a bracket, if another one closes it */
        if (!memchr(r->p, ']', (size_t)(r->end - r->p)))
            return gr_regex_refuse(r, t.at, "an empty class");
        t.type = CHARACTER;
    }
    while (s == GR_OK && t.type != CLOSE) {
        bool ahead = false;
        if (t.type == CHARACTER)
            s = add_character(r, &m, &t);
        else if (t.type == SET)
            s = add_set(r, &m, &t);
        else if (t.type == DASH)
            s = add_dash(r, &m, &t, &ahead);
        else if (t.type == OPEN)
            s = add_class(r, &m, &t, depth);
        else
            s = intersect(&m, out, &any);
        if (s == GR_OK && !ahead)
            s = next(r, &t);
    }
    if (s == GR_OK)
        s = intersect(&m, out, &any);
    gr_points_tidy(out);
    gr_points_free(&m.set);
    return s;
}

/* Oniguruma forgets all that is not ASCII in a negated class that would have all of it, where a class inside is negated
 * too. */
gr_status gr_regex_read_class(gr_regex_reader *r, gr_points *out, bool *negated)
{
    const char *at = r->p - 1;
    r->from_zero = r->negates = false;
    gr_status s = read_class(r, out, negated, 0);
    if (s == GR_OK && *negated && r->negates && (!out->n || out->span[out->n - 1].last < 0x80))
        return gr_regex_refuse(r, at, "a negated class of ASCII with a negated class inside");
    return s;
}
