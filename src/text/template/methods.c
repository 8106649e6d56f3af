/* Methods of Python's str, dict, list and tuple; and what functions ask of their arguments. */
#include "text/template/run.h"
#include "text/unicode/unicode.h"

#include <stdio.h>

typedef gr_jinja_value value;
typedef gr_jinja_run run;
typedef gr_jinja_text text;
typedef gr_jinja_args arguments;

/* ---- arguments ---------------------------------------------------------------------------------------------- */

static const value *named_argument(const arguments *args, const char *name)
{
    for (size_t i = 0; name && i < args->n_named; i++)
        if (gr_jinja_text_is(args->named[i].key.as.text, name))
            return &args->named[i].value;
    return NULL;
}

const value *gr_jinja_argument(const arguments *args, size_t i, const char *name)
{
    return i < args->n ? &args->items[i] : named_argument(args, name);
}

/* Its place among the names; SIZE_MAX: it is none of them. */
static size_t place_of(const char *names, const text *name)
{
    for (size_t i = 0; *names; i++) {
        size_t n = strcspn(names, " ");
        if (n == name->size && memcmp(names, name->bytes, n) == 0)
            return i;
        names += n + (names[n] == ' ');
    }
    return SIZE_MAX;
}

bool gr_jinja_check_arguments(run *r, const char *function, const arguments *args, size_t least, size_t most,
                              const char *names)
{
    char shown[64];
    for (size_t i = 0; i < args->n_named; i++) {
        size_t place = place_of(names, args->named[i].key.as.text);
        if (place != SIZE_MAX && place >= args->n)
            continue;
        const text *name = args->named[i].key.as.text;
        gr_printable(name->bytes, name->size, shown, sizeof shown);
        return gr_jinja_fail(r, place == SIZE_MAX ? "%s has no argument '%s'" : "%s has two values for '%s'", function,
                             shown);
    }
    size_t n = args->n + args->n_named;
    if (n >= least && n <= most)
        return true;
    return gr_jinja_fail(r, "%s takes %zu to %zu arguments, and was given %zu", function, least, most, n);
}

bool gr_jinja_int_argument(run *r, const char *function, const value *v, int64_t *i)
{
    if (!v)
        return true;
    if (v->type != GR_VALUE_INT && v->type != GR_VALUE_BOOL)
        return gr_jinja_fail(r, "%s: expected an integer, not %s", function, gr_jinja_type_name(v));
    *i = gr_jinja_whole(v);
    return true;
}

bool gr_jinja_text_argument(run *r, const char *function, const value *v, const text **t)
{
    if (!v)
        return true;
    if (v->type != GR_VALUE_TEXT)
        return gr_jinja_fail(r, "%s: expected a str, not %s", function, gr_jinja_type_name(v));
    *t = v->as.text;
    return true;
}

/* ---- str ---------------------------------------------------------------------------------------------------- */

static bool split(run *r, const char *function, const value *self, const arguments *args, bool from_right, value *out)
{
    const value *separator = gr_jinja_argument(args, 0, "sep");
    const text *t = NULL;
    int64_t max = -1;
    if (!gr_jinja_check_arguments(r, function, args, 0, 2, "sep maxsplit") ||
        (separator && separator->type != GR_VALUE_NONE && !gr_jinja_text_argument(r, function, separator, &t)) ||
        !gr_jinja_int_argument(r, function, gr_jinja_argument(args, 1, "maxsplit"), &max))
        return false;
    return gr_text_split(r, self->as.text, t, max < 0 ? -1 : max, from_right, out);
}

static bool str_split(run *r, const value *self, const arguments *args, value *out)
{
    return split(r, "split", self, args, false, out);
}

static bool str_rsplit(run *r, const value *self, const arguments *args, value *out)
{
    return split(r, "rsplit", self, args, true, out);
}

static bool str_splitlines(run *r, const value *self, const arguments *args, value *out)
{
    const value *keep = gr_jinja_argument(args, 0, "keepends");
    return gr_jinja_check_arguments(r, "splitlines", args, 0, 1, "keepends") &&
           gr_text_lines(r, self->as.text, keep && gr_jinja_truth(keep), out);
}

static bool strip(run *r, const char *function, const value *self, const arguments *args, bool left, bool right,
                  value *out)
{
    const text *set = NULL;
    bool none = args->n && args->items[0].type == GR_VALUE_NONE;
    return gr_jinja_check_arguments(r, function, args, 0, 1, "") &&
           (none || gr_jinja_text_argument(r, function, gr_jinja_argument(args, 0, NULL), &set)) &&
           gr_text_strip(r, self->as.text, set, left, right, out);
}

static bool str_strip(run *r, const value *self, const arguments *args, value *out)
{
    return strip(r, "strip", self, args, true, true, out);
}

static bool str_lstrip(run *r, const value *self, const arguments *args, value *out)
{
    return strip(r, "lstrip", self, args, true, false, out);
}

static bool str_rstrip(run *r, const value *self, const arguments *args, value *out)
{
    return strip(r, "rstrip", self, args, false, true, out);
}

static bool affix_is(const text *t, const text *affix, bool at_end)
{
    return affix->size <= t->size &&
           memcmp(t->bytes + (at_end ? t->size - affix->size : 0), affix->bytes, affix->size) == 0;
}

/* The part of a text that [start, end) of the arguments means, in characters as Python counts them. */
static bool part_of(run *r, const char *function, const value *self, const arguments *args, text *part, bool *any)
{
    int64_t n = (int64_t)self->as.text->points, start = 0, end = n;
    const value *from = gr_jinja_argument(args, 1, NULL), *to = gr_jinja_argument(args, 2, NULL);
    if ((from && from->type != GR_VALUE_NONE && !gr_jinja_int_argument(r, function, from, &start)) ||
        (to && to->type != GR_VALUE_NONE && !gr_jinja_int_argument(r, function, to, &end)))
        return false;
    start = start < -n ? 0 : start < 0 ? start + n : start;
    end = end < -n ? 0 : end < 0 ? end + n : end > n ? n : end;
    *any = start <= end;
    if (!*any)
        return true;
    size_t first = gr_text_offset(self->as.text, (size_t)start), last = gr_text_offset(self->as.text, (size_t)end);
    *part = (text){.bytes = self->as.text->bytes + first, .size = last - first};
    return gr_jinja_charge(r, self->as.text->size / 64);
}

static bool has_affix(run *r, const char *function, const value *self, const arguments *args, bool at_end, value *out)
{
    text part;
    bool any;
    if (!gr_jinja_check_arguments(r, function, args, 1, 3, "") || !part_of(r, function, self, args, &part, &any))
        return false;
    const value *what = &args->items[0], *items = what;
    size_t n = 1;
    if (what->type == GR_VALUE_TUPLE) {
        items = what->as.list->items;
        n = what->as.list->n;
    }
    *out = gr_jinja_bool(false);
    for (size_t i = 0; i < n; i++) {
        const text *affix = NULL;
        if (!gr_jinja_text_argument(r, function, &items[i], &affix))
            return false;
        out->as.truth |= any && affix_is(&part, affix, at_end);
    }
    return true;
}

static bool str_startswith(run *r, const value *self, const arguments *args, value *out)
{
    return has_affix(r, "startswith", self, args, false, out);
}

static bool str_endswith(run *r, const value *self, const arguments *args, value *out)
{
    return has_affix(r, "endswith", self, args, true, out);
}

static bool str_removeprefix(run *r, const value *self, const arguments *args, value *out)
{
    const text *affix = NULL, *t = self->as.text;
    if (!gr_jinja_check_arguments(r, "removeprefix", args, 1, 1, "") ||
        !gr_jinja_text_argument(r, "removeprefix", &args->items[0], &affix))
        return false;
    size_t cut = affix_is(t, affix, false) ? affix->size : 0;
    return gr_jinja_part(r, t, cut, t->size - cut, out);
}

static bool str_removesuffix(run *r, const value *self, const arguments *args, value *out)
{
    const text *affix = NULL, *t = self->as.text;
    if (!gr_jinja_check_arguments(r, "removesuffix", args, 1, 1, "") ||
        !gr_jinja_text_argument(r, "removesuffix", &args->items[0], &affix))
        return false;
    size_t cut = affix_is(t, affix, true) ? affix->size : 0;
    return gr_jinja_part(r, t, 0, t->size - cut, out);
}

static bool str_replace(run *r, const value *self, const arguments *args, value *out)
{
    const text *old = NULL, *new = NULL;
    int64_t max = -1;
    return gr_jinja_check_arguments(r, "replace", args, 2, 3, "") &&
           gr_jinja_text_argument(r, "replace", &args->items[0], &old) &&
           gr_jinja_text_argument(r, "replace", &args->items[1], &new) &&
           gr_jinja_int_argument(r, "replace", gr_jinja_argument(args, 2, NULL), &max) &&
           gr_text_replace(r, self->as.text, old, new, max < 0 ? -1 : max, out);
}

/* Searching backwards compares everywhere. */
static size_t part_cost(const text *t, const text *what, bool last)
{
    return t->size / 64 * (last ? what->size / 64 + 1 : 1);
}

/* Where it stands in characters; -1: nowhere. */
static bool find(run *r, const char *function, const value *self, const arguments *args, bool last, int64_t *at)
{
    const text *what = NULL;
    text part = {0};
    bool any;
    *at = -1;
    if (!gr_jinja_check_arguments(r, function, args, 1, 3, "") ||
        !gr_jinja_text_argument(r, function, &args->items[0], &what) || !part_of(r, function, self, args, &part, &any))
        return false;
    if (!gr_jinja_charge(r, part_cost(self->as.text, what, last)))
        return false;
    size_t found = any ? gr_text_find(&part, what, 0, last) : SIZE_MAX;
    if (found == SIZE_MAX)
        return true;
    const char *end = part.bytes + found;
    *at = 0;
    for (const char *c = self->as.text->bytes; c < end; c++)
        *at += ((unsigned char)*c & 0xC0) != 0x80;
    return true;
}

static bool str_find(run *r, const value *self, const arguments *args, value *out)
{
    int64_t at;
    bool done = find(r, "find", self, args, false, &at);
    *out = gr_jinja_int(at);
    return done;
}

static bool str_rfind(run *r, const value *self, const arguments *args, value *out)
{
    int64_t at;
    bool done = find(r, "rfind", self, args, true, &at);
    *out = gr_jinja_int(at);
    return done;
}

static bool str_index(run *r, const value *self, const arguments *args, value *out)
{
    int64_t at;
    if (!find(r, "index", self, args, false, &at))
        return false;
    *out = gr_jinja_int(at);
    return at >= 0 || gr_jinja_fail(r, "index: the text is not there");
}

static bool str_count(run *r, const value *self, const arguments *args, value *out)
{
    const text *what = NULL;
    int64_t n = 0;
    if (!gr_jinja_check_arguments(r, "count", args, 1, 1, "") ||
        !gr_jinja_text_argument(r, "count", &args->items[0], &what) || !gr_jinja_charge(r, self->as.text->size / 16))
        return false;
    for (size_t at = 0; what->size && (at = gr_text_find(self->as.text, what, at, false)) != SIZE_MAX; at += what->size)
        n++;
    *out = gr_jinja_int(what->size ? n : (int64_t)self->as.text->points + 1);
    return true;
}

static bool recase(run *r, const char *function, const value *self, const arguments *args, gr_text_case how, value *out)
{
    return gr_jinja_check_arguments(r, function, args, 0, 0, "") && gr_text_recase(r, self->as.text, how, out);
}

static bool str_lower(run *r, const value *self, const arguments *args, value *out)
{
    return recase(r, "lower", self, args, GR_CASE_LOWER, out);
}

static bool str_upper(run *r, const value *self, const arguments *args, value *out)
{
    return recase(r, "upper", self, args, GR_CASE_UPPER, out);
}

static bool str_title(run *r, const value *self, const arguments *args, value *out)
{
    return recase(r, "title", self, args, GR_CASE_TITLE, out);
}

static bool str_capitalize(run *r, const value *self, const arguments *args, value *out)
{
    return recase(r, "capitalize", self, args, GR_CASE_CAPITAL, out);
}

static bool str_swapcase(run *r, const value *self, const arguments *args, value *out)
{
    return recase(r, "swapcase", self, args, GR_CASE_SWAP, out);
}

static bool str_join(run *r, const value *self, const arguments *args, value *out)
{
    gr_jinja_builder b = {0};
    const value *items;
    size_t n;
    if (!gr_jinja_check_arguments(r, "join", args, 1, 1, "") || !gr_jinja_items(r, &args->items[0], &items, &n))
        return false;
    for (size_t i = 0; i < n; i++) {
        const text *item = NULL;
        if (!gr_jinja_text_argument(r, "join", &items[i], &item) || !gr_jinja_charge(r, 1) ||
            (i && !gr_jinja_add_text(r, &b, self->as.text)) || !gr_jinja_add_text(r, &b, item))
            return false;
    }
    return gr_jinja_built(r, &b, out);
}

static bool str_format(run *r, const value *self, const arguments *args, value *out)
{
    return gr_text_format(r, self->as.text, args, out);
}

/* Whether it has characters and all are of these classes. */
static bool all_are(run *r, const char *function, const value *self, const arguments *args, unsigned classes,
                    value *out)
{
    const text *t = self->as.text;
    if (!gr_jinja_check_arguments(r, function, args, 0, 0, "") || !gr_jinja_charge(r, t->size / 16))
        return false;
    *out = gr_jinja_bool(t->size > 0);
    for (size_t at = 0; at < t->size && out->as.truth;) {
        int n;
        unsigned has = gr_class(gr_utf8_read(t->bytes + at, t->bytes + t->size, &n));
        if (classes == GR_CLASS_DIGIT && !(has & classes) && has & GR_CLASS_NUMBER)
            return gr_jinja_unsupported(r, "%s of numbers that are not ASCII is not supported", function);
        out->as.truth = (has & classes) != 0;
        at += (size_t)n;
    }
    return true;
}

static bool str_isdigit(run *r, const value *self, const arguments *args, value *out)
{
    return all_are(r, "isdigit", self, args, GR_CLASS_DIGIT, out);
}

static bool str_isalpha(run *r, const value *self, const arguments *args, value *out)
{
    return all_are(r, "isalpha", self, args, GR_CLASS_LETTER, out);
}

static bool str_isalnum(run *r, const value *self, const arguments *args, value *out)
{
    return all_are(r, "isalnum", self, args, GR_CLASS_LETTER | GR_CLASS_NUMBER, out);
}

static bool str_isspace(run *r, const value *self, const arguments *args, value *out)
{
    const text *t = self->as.text;
    if (!gr_jinja_check_arguments(r, "isspace", args, 0, 0, "") || !gr_jinja_charge(r, t->size / 16))
        return false;
    *out = gr_jinja_bool(t->size > 0);
    for (size_t at = 0; at < t->size && out->as.truth;) {
        int n;
        out->as.truth = gr_text_is_space(gr_utf8_read(t->bytes + at, t->bytes + t->size, &n));
        at += (size_t)n;
    }
    return true;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool has_case(run *r, const char *function, const value *self, const arguments *args, bool upper, value *out)
{
    const text *t = self->as.text;
    bool any = false, all = true;
    if (!gr_jinja_check_arguments(r, function, args, 0, 0, "") || !gr_jinja_charge(r, t->size / 16))
        return false;
    for (size_t i = 0; i < t->size && all; i++) {
        any |= is_letter(t->bytes[i]);
        all &= !is_letter(t->bytes[i]) || (t->bytes[i] <= 'Z') == upper;
    }
    if (all && t->points != t->size)
        return gr_jinja_unsupported(r, "%s of characters that are not ASCII is not supported", function);
    *out = gr_jinja_bool(any && all);
    return true;
}

static bool str_isupper(run *r, const value *self, const arguments *args, value *out)
{
    return has_case(r, "isupper", self, args, true, out);
}

static bool str_islower(run *r, const value *self, const arguments *args, value *out)
{
    return has_case(r, "islower", self, args, false, out);
}

/* ---- dict, list --------------------------------------------------------------------------------------------- */

static bool dict_get(run *r, const value *self, const arguments *args, value *out)
{
    const value *found;
    if (!gr_jinja_check_arguments(r, "get", args, 1, 2, "") ||
        !gr_jinja_find(r, self->as.dict, &args->items[0], &found))
        return false;
    *out = found ? *found : args->n > 1 ? args->items[1] : gr_jinja_none();
    return true;
}

static bool view_of(run *r, const char *function, const value *self, const arguments *args, gr_jinja_view_kind kind,
                    value *out)
{
    gr_jinja_view *view =
        gr_jinja_check_arguments(r, function, args, 0, 0, "") ? gr_jinja_take(r, 1, sizeof *view) : NULL;
    if (!view)
        return false;
    *view = (gr_jinja_view){self->as.dict, kind};
    *out = (value){.type = GR_VALUE_VIEW, .untrusted = self->untrusted, .as.view = view};
    return true;
}

static bool dict_items(run *r, const value *self, const arguments *args, value *out)
{
    return view_of(r, "items", self, args, GR_VIEW_ITEMS, out);
}

static bool dict_keys(run *r, const value *self, const arguments *args, value *out)
{
    return view_of(r, "keys", self, args, GR_VIEW_KEYS, out);
}

static bool dict_values(run *r, const value *self, const arguments *args, value *out)
{
    return view_of(r, "values", self, args, GR_VIEW_VALUES, out);
}

static bool list_count(run *r, const value *self, const arguments *args, value *out)
{
    int64_t n = 0;
    if (!gr_jinja_check_arguments(r, "count", args, 1, 1, ""))
        return false;
    for (size_t i = 0; i < self->as.list->n; i++) {
        bool equal;
        if (!gr_jinja_equal(r, &self->as.list->items[i], &args->items[0], &equal))
            return false;
        n += equal;
    }
    *out = gr_jinja_int(n);
    return true;
}

static bool list_index(run *r, const value *self, const arguments *args, value *out)
{
    if (!gr_jinja_check_arguments(r, "index", args, 1, 1, ""))
        return false;
    for (size_t i = 0; i < self->as.list->n; i++) {
        bool equal;
        if (!gr_jinja_equal(r, &self->as.list->items[i], &args->items[0], &equal))
            return false;
        if (equal)
            return *out = gr_jinja_int((int64_t)i), true;
    }
    return gr_jinja_fail(r, "index: the value is not there");
}

/* ---- loop --------------------------------------------------------------------------------------------------- */

static bool loop_cycle(run *r, const value *self, const arguments *args, value *out)
{
    if (!args->n || args->n_named)
        return gr_jinja_fail(r, "loop.cycle: no values to choose from");
    *out = args->items[self->as.loop->at % args->n];
    return true;
}

static bool loop_changed(run *r, const value *self, const arguments *args, value *out)
{
    gr_jinja_loop *l = self->as.loop;
    value now;
    bool equal = false;
    if (args->n_named || !gr_jinja_list_of(r, GR_VALUE_TUPLE, args->items, args->n, &now) ||
        (l->seen && !gr_jinja_equal(r, l->seen, &now, &equal)) ||
        (!l->seen && !(l->seen = gr_jinja_take(r, 1, sizeof now))))
        return false;
    *l->seen = now;
    *out = gr_jinja_bool(!equal);
    return true;
}

/* ---- tables ------------------------------------------------------------------------------------------------- */

static const gr_jinja_function str_methods[] = {
    {"split", str_split},
    {"strip", str_strip},
    {"lstrip", str_lstrip},
    {"rstrip", str_rstrip},
    {"startswith", str_startswith},
    {"endswith", str_endswith},
    {"replace", str_replace},
    {"format", str_format},
    {"join", str_join},
    {"lower", str_lower},
    {"upper", str_upper},
    {"title", str_title},
    {"capitalize", str_capitalize},
    {"swapcase", str_swapcase},
    {"rsplit", str_rsplit},
    {"splitlines", str_splitlines},
    {"find", str_find},
    {"rfind", str_rfind},
    {"index", str_index},
    {"count", str_count},
    {"removeprefix", str_removeprefix},
    {"removesuffix", str_removesuffix},
    {"isdigit", str_isdigit},
    {"isalpha", str_isalpha},
    {"isalnum", str_isalnum},
    {"isspace", str_isspace},
    {"isupper", str_isupper},
    {"islower", str_islower},
    {NULL, NULL},
};
static const gr_jinja_function dict_methods[] = {
    {"get", dict_get}, {"items", dict_items}, {"keys", dict_keys}, {"values", dict_values}, {NULL, NULL},
};
static const gr_jinja_function list_methods[] = {{"count", list_count}, {"index", list_index}, {NULL, NULL}};
static const gr_jinja_function loop_methods[] = {{"cycle", loop_cycle}, {"changed", loop_changed}, {NULL, NULL}};
static const gr_jinja_function no_methods[] = {{NULL, NULL}};

/* Of a type: what it can do, what Jinja's sandbox hides, and what else Python's has. */
typedef struct type_methods {
    const gr_jinja_function *methods;
    const char *hidden, *others;
} type_methods;

static const char number_names[] = "real imag numerator denominator conjugate bit_length bit_count to_bytes from_bytes "
                                   "as_integer_ratio is_integer hex fromhex";

static type_methods methods_of(const value *v)
{
    switch (v->type) {
    case GR_VALUE_TEXT:
        return (type_methods){str_methods, "",
                              "casefold center encode expandtabs format_map isascii isdecimal isidentifier isnumeric "
                              "isprintable istitle ljust maketrans partition rindex rjust rpartition translate zfill"};
    case GR_VALUE_DICT:
        return (type_methods){dict_methods, "clear pop popitem setdefault update", "copy fromkeys"};
    case GR_VALUE_LIST:
        return (type_methods){list_methods, "append clear pop reverse insert sort extend remove", "copy"};
    case GR_VALUE_TUPLE:
        return (type_methods){list_methods, "", ""};
    case GR_VALUE_LOOP:
        return (type_methods){loop_methods, "", ""};
    case GR_VALUE_BOOL:
    case GR_VALUE_INT:
    case GR_VALUE_REAL:
        return (type_methods){no_methods, "", number_names};
    case GR_VALUE_VIEW:
        return (type_methods){no_methods, "", "isdisjoint mapping"};
    case GR_VALUE_RANGE:
        return (type_methods){no_methods, "", "count index start step stop"};
    case GR_VALUE_ITERATOR:
        return (type_methods){no_methods, "gi_frame gi_code", "close gi_running gi_suspended gi_yieldfrom send throw"};
    case GR_VALUE_MACRO:
        return (type_methods){no_methods, "", "name arguments catch_kwargs catch_varargs caller explicit_caller"};
    case GR_VALUE_GLOBAL:
        return (type_methods){no_methods, "", "fromkeys"};
    default:
        return (type_methods){no_methods, "", ""};
    }
}

/* What of a Markup escapes its arguments is not here. */
static bool escapes(const gr_jinja_function *f)
{
    return f->call == str_replace || f->call == str_join || f->call == str_format;
}

/* Texts that are made of a Markup, and those in lists, are Markup. */
bool gr_jinja_call_method(run *r, const gr_jinja_method *m, const arguments *args, value *out)
{
    if (!m->function->call(r, &m->self, args, out))
        return false;
    if (m->self.markup && out->type == GR_VALUE_TEXT)
        out->markup = true;
    if (!m->self.markup || out->type != GR_VALUE_LIST)
        return true;
    size_t n = out->as.list->n;
    value *items = gr_jinja_take(r, n, sizeof *items);
    for (size_t i = 0; items && i < n; i++) {
        items[i] = out->as.list->items[i];
        items[i].markup = true;
    }
    return items && gr_jinja_list_of(r, GR_VALUE_LIST, items, n, out);
}

const gr_jinja_function *gr_jinja_method_named(const value *of, const text *name, gr_jinja_lack *lack)
{
    type_methods m = methods_of(of);
    *lack = GR_LACK_NONE;
    for (const gr_jinja_function *f = m.methods; f->name; f++) {
        if (*f->name != *name->bytes || !gr_jinja_text_is(name, f->name))
            continue;
        if (!of->markup || !escapes(f))
            return f;
        *lack = GR_LACK_UNSUPPORTED;
        return NULL;
    }
    if (place_of(m.hidden, name) != SIZE_MAX)
        *lack = GR_LACK_HIDDEN;
    else if (place_of(m.others, name) != SIZE_MAX)
        *lack = GR_LACK_UNSUPPORTED;
    return NULL;
}
