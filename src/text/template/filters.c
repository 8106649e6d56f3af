/* Filters: those of Jinja that templates use, and transformers' own tojson. */
#include "text/template/run.h"
#include "base/number.h"
#include "text/unicode/unicode.h"

#include <math.h>

typedef gr_jinja_value value;
typedef gr_jinja_run run;
typedef gr_jinja_text text;
typedef gr_jinja_args arguments;

static bool is_given(const value *v)
{
    return v && v->type != GR_VALUE_NONE;
}

/* ---- text --------------------------------------------------------------------------------------------------- */

/* The subject as a text; what `safe` made stays that. */
static bool soft_text(run *r, const value *self, value *out)
{
    if (self->type == GR_VALUE_TEXT) {
        *out = *self;
        return true;
    }
    return gr_jinja_str(r, self, out);
}

static bool filter_trim(run *r, const value *self, const arguments *args, value *out)
{
    const value *chars = gr_jinja_argument(args, 0, "chars");
    const text *set = NULL;
    value s;
    if (!gr_jinja_check_arguments(r, "trim", args, 0, 1, "chars") || !soft_text(r, self, &s) ||
        (is_given(chars) && !gr_jinja_text_argument(r, "trim", chars, &set)) ||
        !gr_text_strip(r, s.as.text, set, true, true, out))
        return false;
    out->markup = s.markup;
    return true;
}

static bool recase(run *r, const char *function, const value *self, const arguments *args, gr_text_case how, value *out)
{
    value s;
    if (!gr_jinja_check_arguments(r, function, args, 0, 0, "") || !soft_text(r, self, &s) ||
        !gr_text_recase(r, s.as.text, how, out))
        return false;
    out->markup = s.markup;
    return true;
}

static bool filter_lower(run *r, const value *self, const arguments *args, value *out)
{
    return recase(r, "lower", self, args, GR_CASE_LOWER, out);
}

static bool filter_upper(run *r, const value *self, const arguments *args, value *out)
{
    return recase(r, "upper", self, args, GR_CASE_UPPER, out);
}

static bool filter_capitalize(run *r, const value *self, const arguments *args, value *out)
{
    return recase(r, "capitalize", self, args, GR_CASE_CAPITAL, out);
}

/* Jinja's own, which has words begin behind blanks, hyphens and brackets. */
static bool filter_title(run *r, const value *self, const arguments *args, value *out)
{
    gr_jinja_builder b = {0};
    value s, part;
    if (!gr_jinja_check_arguments(r, "title", args, 0, 0, "") || !soft_text(r, self, &s))
        return false;
    const text *t = s.as.text;
    for (size_t from = 0, at = 0; at <= t->size; at++) {
        bool ends = at == t->size || (t->bytes[at] && strchr("- ({[<\t\n\r\v\f", t->bytes[at]));
        if (!ends)
            continue;
        if (!gr_jinja_part(r, t, from, at - from, &part) || !gr_text_recase(r, part.as.text, GR_CASE_CAPITAL, &part) ||
            !gr_jinja_add_text(r, &b, part.as.text) || (at < t->size && !gr_jinja_add_part(r, &b, t, at, 1)))
            return false;
        from = at + 1;
    }
    return gr_jinja_built(r, &b, out) && (out->markup = false, true);
}

static bool filter_string(run *r, const value *self, const arguments *args, value *out)
{
    return gr_jinja_check_arguments(r, "string", args, 0, 0, "") && soft_text(r, self, out);
}

static bool filter_safe(run *r, const value *self, const arguments *args, value *out)
{
    if (!gr_jinja_check_arguments(r, "safe", args, 0, 0, "") || !gr_jinja_str(r, self, out))
        return false;
    out->markup = true;
    return true;
}

static bool filter_escape(run *r, const value *self, const arguments *args, value *out)
{
    return gr_jinja_check_arguments(r, "escape", args, 0, 0, "") && gr_text_escape(r, self, out);
}

static bool filter_replace(run *r, const value *self, const arguments *args, value *out)
{
    const value *count = gr_jinja_argument(args, 2, "count"), *old = gr_jinja_argument(args, 0, "old"),
                *new = gr_jinja_argument(args, 1, "new");
    value s, from, to;
    int64_t max = -1;
    if (!gr_jinja_check_arguments(r, "replace", args, 2, 3, "old new count"))
        return false;
    if (!old || !new)
        return gr_jinja_fail(r, "replace: needs what to replace and what by");
    return gr_jinja_str(r, self, &s) && gr_jinja_str(r, old, &from) && gr_jinja_str(r, new, &to) &&
           (!is_given(count) || gr_jinja_int_argument(r, "replace", count, &max)) &&
           gr_text_replace(r, s.as.text, from.as.text, to.as.text, max < 0 ? -1 : max, out);
}

static bool filter_format(run *r, const value *self, const arguments *args, value *out)
{
    value s, values;
    if (args->n_named)
        return gr_jinja_unsupported(r, "format: named values are not supported");
    return gr_jinja_str(r, self, &s) && gr_jinja_list_of(r, GR_VALUE_TUPLE, args->items, args->n, &values) &&
           gr_text_percent(r, s.as.text, &values, out);
}

/* The blanks of `width`, or the text that it is. */
static bool indentation(run *r, const char *function, const value *width, int64_t otherwise, value *out)
{
    int64_t n = otherwise;
    if (width && width->type == GR_VALUE_TEXT) {
        *out = *width;
        return true;
    }
    const text blank = {.bytes = " ", .size = 1, .points = 1};
    return gr_jinja_int_argument(r, function, width, &n) && gr_text_repeat(r, &blank, n, out);
}

static bool filter_indent(run *r, const value *self, const arguments *args, value *out)
{
    const value *first = gr_jinja_argument(args, 1, "first"), *blank = gr_jinja_argument(args, 2, "blank");
    gr_jinja_builder b = {0};
    value indent, lines;
    if (!gr_jinja_check_arguments(r, "indent", args, 0, 3, "width first blank") ||
        !indentation(r, "indent", gr_jinja_argument(args, 0, "width"), 4, &indent))
        return false;
    if (self->type != GR_VALUE_TEXT || self->markup)
        return self->markup ? gr_jinja_unsupported(r, "indent of what 'safe' made is not supported")
                            : gr_jinja_fail(r, "indent: expected a str, not %s", gr_jinja_type_name(self));
    if (!gr_jinja_add_text(r, &b, self->as.text) || !gr_jinja_add_bytes(r, &b, "\n", 1, false) ||
        !gr_jinja_built(r, &b, &lines) || !gr_text_lines(r, lines.as.text, false, &lines))
        return false;
    b = (gr_jinja_builder){0};
    for (size_t i = 0; i < lines.as.list->n; i++) {
        const text *line = lines.as.list->items[i].as.text;
        bool indented = i == 0 ? first && gr_jinja_truth(first) : line->size || (blank && gr_jinja_truth(blank));
        if ((i && !gr_jinja_add_bytes(r, &b, "\n", 1, gr_jinja_is_untrusted(self))) ||
            (indented && !gr_jinja_add_text(r, &b, indent.as.text)) || !gr_jinja_add_text(r, &b, line))
            return false;
    }
    return gr_jinja_built(r, &b, out);
}

/* ---- JSON --------------------------------------------------------------------------------------------------- */

static bool separators(run *r, const value *given, bool indented, gr_json_style *style)
{
    static const text comma = {.bytes = ",", .size = 1, .points = 1}, wide = {.bytes = ", ", .size = 2, .points = 2},
                      colon = {.bytes = ": ", .size = 2, .points = 2};
    style->item = indented ? &comma : &wide;
    style->key = &colon;
    if (!is_given(given))
        return true;
    bool is_pair = (given->type == GR_VALUE_LIST || given->type == GR_VALUE_TUPLE) && given->as.list->n == 2;
    if (!is_pair)
        return gr_jinja_fail(r, "tojson: separators are two texts");
    return gr_jinja_text_argument(r, "tojson", &given->as.list->items[0], &style->item) &&
           gr_jinja_text_argument(r, "tojson", &given->as.list->items[1], &style->key);
}

static bool filter_tojson(run *r, const value *self, const arguments *args, value *out)
{
    const value *ascii = gr_jinja_argument(args, 0, "ensure_ascii"), *indent = gr_jinja_argument(args, 1, "indent"),
                *sorted = gr_jinja_argument(args, 3, "sort_keys");
    gr_jinja_builder b = {0};
    value blanks;
    gr_json_style style = {.ascii = ascii && gr_jinja_truth(ascii), .sorted = sorted && gr_jinja_truth(sorted)};
    style.indented = is_given(indent);
    if (!gr_jinja_check_arguments(r, "tojson", args, 0, 4, "ensure_ascii indent separators sort_keys") ||
        (style.indented && !indentation(r, "tojson", indent, 0, &blanks)) ||
        !separators(r, gr_jinja_argument(args, 2, "separators"), style.indented, &style))
        return false;
    style.indent = style.indented ? blanks.as.text : NULL;
    return gr_jinja_add_json(r, &b, self, &style, 0) && gr_jinja_built(r, &b, out);
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Python's int(text) in base 10, *is false: it is none. */
static bool text_to_int(run *r, const text *t, int64_t *out, bool *is)
{
    const char *c = t->bytes, *end = c + t->size;
    uint64_t x = 0;
    bool minus = false;
    while (c < end && gr_text_is_space((unsigned char)*c))
        c++;
    while (end > c && gr_text_is_space((unsigned char)end[-1]))
        end--;
    if (c < end && (*c == '-' || *c == '+'))
        minus = *c++ == '-';
    *is = c < end && *c != '_' && end[-1] != '_';
    for (; c < end && *is; c++) {
        *is = is_digit(*c) || (*c == '_' && c[1] != '_');
        if (*is && *c != '_' && x > (INT64_MAX - (uint64_t)(*c - '0')) / 10)
            return gr_jinja_unsupported(r, "int: a number past 64 bits");
        x = *is && *c != '_' ? 10 * x + (uint64_t)(*c - '0') : x;
    }
    *out = minus ? -(int64_t)x : (int64_t)x;
    return true;
}

/* What Python reads as numbers, without the '_' between digits, and with a NUL: neither hexadecimal, nor what C alone reads. */
static bool copy_numeral(run *r, const text *t, char *to, bool *is)
{
    int n;
    for (size_t i = 0; i < t->size && *is; i++) {
        char c = t->bytes[i];
        bool between = c == '_' && i && is_digit(t->bytes[i - 1]) && i + 1 < t->size && is_digit(t->bytes[i + 1]);
        if (gr_class(gr_utf8_read(t->bytes + i, t->bytes + t->size, &n)) & GR_CLASS_DIGIT && n > 1)
            return gr_jinja_unsupported(r, "float: digits that are not ASCII are not supported");
        *is = between || (c && strchr("0123456789+-.eE", c));
        if (*is && !between)
            *to++ = c;
    }
    *to = 0;
    return true;
}

/* "inf", "infinity" and "nan", in any case and with a sign. */
static bool is_no_finite(const text *t, double *out)
{
    static const char *const words[] = {"inf", "infinity", "nan"};
    size_t sign = t->size && strchr("+-", *t->bytes) ? 1 : 0;
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
        size_t i = 0, n = strlen(words[w]);
        while (i < n && t->size == sign + n && (t->bytes[sign + i] | 0x20) == words[w][i])
            i++;
        *out = w == 2 ? (double)NAN : *t->bytes == '-' ? -HUGE_VAL : HUGE_VAL;
        if (i == n)
            return true;
    }
    return false;
}

/* Python's float(text). */
static bool text_to_real(run *r, const text *t, double *out, bool *is)
{
    char *stop;
    value s;
    if (!gr_text_strip(r, t, NULL, true, true, &s))
        return false;
    t = s.as.text;
    *is = t->size > 0;
    if (!*is || is_no_finite(t, out))
        return true;
    char *copy = gr_jinja_take(r, t->size + 1, 1);
    if (!copy || !gr_jinja_charge(r, t->size / 16) || !copy_numeral(r, t, copy, is))
        return false;
    *out = *is ? gr_read_f64(copy, &stop) : 0;
    *is = *is && *copy && !*stop;
    return true;
}

static bool filter_int(run *r, const value *self, const arguments *args, value *out)
{
    const value *otherwise = gr_jinja_argument(args, 0, "default");
    int64_t i = 0;
    double x = 0;
    bool is = false;
    if (!gr_jinja_check_arguments(r, "int", args, 0, 1, "default"))
        return false;
    if (self->type == GR_VALUE_UNDEFINED)
        return gr_jinja_fail(r, "int: the value is undefined");
    if (self->type == GR_VALUE_INT || self->type == GR_VALUE_BOOL) {
        *out = gr_jinja_int(gr_jinja_whole(self));
        out->untrusted = self->untrusted;
        return true;
    }
    if (self->type == GR_VALUE_TEXT && !text_to_int(r, self->as.text, &i, &is))
        return false;
    if (!is) {
        bool real = self->type == GR_VALUE_REAL;
        x = real ? self->as.r : 0;
        if (self->type == GR_VALUE_TEXT && !text_to_real(r, self->as.text, &x, &real))
            return false;
        if (real && fabs(x) >= 9e18 && isfinite(x))
            return gr_jinja_unsupported(r, "int: a number past 64 bits");
        is = real && isfinite(x);
        i = is ? (int64_t)x : 0;
    }
    *out = is ? gr_jinja_int(i) : otherwise ? *otherwise : gr_jinja_int(0);
    out->untrusted = is ? gr_jinja_is_untrusted(self) : out->untrusted;
    return true;
}

static bool filter_float(run *r, const value *self, const arguments *args, value *out)
{
    const value *otherwise = gr_jinja_argument(args, 0, "default");
    double x = 0;
    bool is = gr_jinja_is_number(self);
    if (!gr_jinja_check_arguments(r, "float", args, 0, 1, "default"))
        return false;
    if (self->type == GR_VALUE_UNDEFINED)
        return gr_jinja_fail(r, "float: the value is undefined");
    if (is)
        x = gr_jinja_as_real(self);
    else if (self->type == GR_VALUE_TEXT && !text_to_real(r, self->as.text, &x, &is))
        return false;
    *out = is ? gr_jinja_real(x) : otherwise ? *otherwise : gr_jinja_real(0);
    out->untrusted = is ? gr_jinja_is_untrusted(self) : out->untrusted;
    return true;
}

static bool filter_abs(run *r, const value *self, const arguments *args, value *out)
{
    if (!gr_jinja_check_arguments(r, "abs", args, 0, 0, ""))
        return false;
    if (!gr_jinja_is_number(self))
        return gr_jinja_fail(r, "abs: expected a number, not %s", gr_jinja_type_name(self));
    bool minus = gr_jinja_as_real(self) < 0 || (self->type == GR_VALUE_REAL && signbit(self->as.r));
    return gr_jinja_unary(r, minus ? GR_OP_SUB : GR_OP_ADD, self, out);
}

static bool filter_length(run *r, const value *self, const arguments *args, value *out)
{
    bool has;
    size_t n = gr_jinja_length(self, &has);
    if (!gr_jinja_check_arguments(r, "length", args, 0, 0, ""))
        return false;
    *out = gr_jinja_int((int64_t)n);
    return has || gr_jinja_fail(r, "length: %s has none", gr_jinja_type_name(self));
}

static bool filter_default(run *r, const value *self, const arguments *args, value *out)
{
    const value *otherwise = gr_jinja_argument(args, 0, "default_value"),
                *boolean = gr_jinja_argument(args, 1, "boolean");
    if (!gr_jinja_check_arguments(r, "default", args, 0, 2, "default_value boolean"))
        return false;
    *out = *self;
    if (self->type != GR_VALUE_UNDEFINED && !(boolean && gr_jinja_truth(boolean) && !gr_jinja_truth(self)))
        return true;
    *out = otherwise ? *otherwise : *self;
    return otherwise || gr_jinja_literal(r, "", 0, out);
}

/* ---- attributes of items ------------------------------------------------------------------------------------ */

/* Follows "a.b.0" from an item. */
static bool follow(run *r, const value *item, const value *attribute, const value *otherwise, value *out)
{
    value parts;
    const text dot = {.bytes = ".", .size = 1, .points = 1};
    *out = *item;
    if (!is_given(attribute))
        return true;
    if (attribute->type != GR_VALUE_TEXT) {
        if (!gr_jinja_item(r, item, attribute, out))
            return false;
    } else if (!gr_text_split(r, attribute->as.text, &dot, -1, false, &parts)) {
        return false;
    }
    for (size_t i = 0; attribute->type == GR_VALUE_TEXT && i < parts.as.list->n; i++) {
        value key = parts.as.list->items[i], from = *out;
        const text *t = key.as.text;
        int64_t number = 0;
        bool is = t->size && t->size < 10;
        for (size_t k = 0; k < t->size && is; k++)
            is = t->bytes[k] >= '0' && t->bytes[k] <= '9';
        for (size_t k = 0; k < t->size && is; k++)
            number = 10 * number + (t->bytes[k] - '0');
        if (is)
            key = gr_jinja_int(number);
        if (!gr_jinja_item(r, &from, &key, out))
            return false;
        if (is_given(otherwise) && out->type == GR_VALUE_UNDEFINED)
            *out = *otherwise;
    }
    if (is_given(otherwise) && out->type == GR_VALUE_UNDEFINED)
        *out = *otherwise;
    return true;
}

/* What is compared: texts in lower case unless case counts. */
static bool sort_key(run *r, const value *item, const value *attribute, bool case_sensitive, value *out)
{
    if (!follow(r, item, attribute, NULL, out))
        return false;
    return case_sensitive || out->type != GR_VALUE_TEXT || gr_text_recase(r, out->as.text, GR_CASE_LOWER, out);
}

static bool filter_join(run *r, const value *self, const arguments *args, value *out)
{
    const value *between = gr_jinja_argument(args, 0, "d"), *attribute = gr_jinja_argument(args, 1, "attribute"),
                *items;
    gr_jinja_builder b = {0};
    value separator, item;
    size_t n;
    if (!gr_jinja_check_arguments(r, "join", args, 0, 2, "d attribute") || !gr_jinja_items(r, self, &items, &n) ||
        !(between ? gr_jinja_str(r, between, &separator) : gr_jinja_literal(r, "", 0, &separator)))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!gr_jinja_charge(r, 1) || (i && !gr_jinja_add_text(r, &b, separator.as.text)) ||
            !follow(r, &items[i], attribute, NULL, &item) || !gr_jinja_add_str(r, &b, &item))
            return false;
    return gr_jinja_built(r, &b, out);
}

static bool empty_iterator(run *r, value *out)
{
    return gr_jinja_list_of(r, GR_VALUE_ITERATOR, NULL, 0, out);
}

static bool filter_map(run *r, const value *self, const arguments *args, value *out)
{
    const value *attribute = gr_jinja_argument(args, SIZE_MAX, "attribute"), *items;
    const gr_jinja_function *f = NULL;
    gr_jinja_values made = {0};
    size_t n;
    if (!gr_jinja_truth(self))
        return empty_iterator(r, out);
    bool by_attribute = !args->n && attribute;
    if (by_attribute && !gr_jinja_check_arguments(r, "map", args, 0, 2, "attribute default"))
        return false;
    if (!by_attribute &&
        (!args->n || args->items[0].type != GR_VALUE_TEXT || !(f = gr_jinja_filter_named(args->items[0].as.text))))
        return gr_jinja_fail(r, "map: needs the name of a filter, or attribute=");
    arguments rest = {.named = args->named, .n_named = args->n_named};
    if (f) {
        rest.items = args->items + 1;
        rest.n = args->n - 1;
    }
    if (!gr_jinja_items(r, self, &items, &n))
        return false;
    for (size_t i = 0; i < n; i++) {
        value item;
        if (!gr_jinja_charge(r, 1) ||
            !(by_attribute ? follow(r, &items[i], attribute, gr_jinja_argument(args, SIZE_MAX, "default"), &item)
                           : f->call(r, &items[i], &rest, &item)) ||
            !gr_jinja_push(r, &made, &item))
            return false;
    }
    return gr_jinja_list_of(r, GR_VALUE_ITERATOR, made.items, made.n, out);
}

/* select, reject (by_attribute false), selectattr, rejectattr. */
static bool choose(run *r, const char *function, const value *self, const arguments *args, bool by_attribute,
                   bool wanted, value *out)
{
    const value *items, *attribute = by_attribute && args->n ? &args->items[0] : NULL;
    const gr_jinja_function *test = NULL;
    gr_jinja_values chosen = {0};
    size_t n, first = by_attribute;
    if (!gr_jinja_truth(self))
        return empty_iterator(r, out);
    if (by_attribute && !args->n)
        return gr_jinja_fail(r, "%s: needs an attribute", function);
    if (args->n > first &&
        (args->items[first].type != GR_VALUE_TEXT || !(test = gr_jinja_test_named(args->items[first].as.text))))
        return gr_jinja_fail(r, "%s: there is no such test", function);
    size_t used = first + (test != NULL);
    arguments rest = {.n = args->n - used, .named = args->named, .n_named = args->n_named};
    rest.items = rest.n ? args->items + used : NULL;
    if (!gr_jinja_items(r, self, &items, &n))
        return false;
    for (size_t i = 0; i < n; i++) {
        value item;
        if (!gr_jinja_charge(r, 1) || !follow(r, &items[i], attribute, NULL, &item) ||
            (test && !test->call(r, &item, &rest, &item)))
            return false;
        if (gr_jinja_truth(&item) == wanted && !gr_jinja_push(r, &chosen, &items[i]))
            return false;
    }
    return gr_jinja_list_of(r, GR_VALUE_ITERATOR, chosen.items, chosen.n, out);
}

static bool filter_select(run *r, const value *self, const arguments *args, value *out)
{
    return choose(r, "select", self, args, false, true, out);
}

static bool filter_reject(run *r, const value *self, const arguments *args, value *out)
{
    return choose(r, "reject", self, args, false, false, out);
}

static bool filter_selectattr(run *r, const value *self, const arguments *args, value *out)
{
    return choose(r, "selectattr", self, args, true, true, out);
}

static bool filter_rejectattr(run *r, const value *self, const arguments *args, value *out)
{
    return choose(r, "rejectattr", self, args, true, false, out);
}

/* ---- order -------------------------------------------------------------------------------------------------- */

typedef struct keyed {
    value key, item;
} keyed;

static bool comes_first(run *r, const keyed *a, const keyed *b, bool reverse, bool *first)
{
    int order;
    bool equal;
    if (!gr_jinja_equal(r, &a->key, &b->key, &equal))
        return false;
    *first = false;
    if (equal)
        return true;
    bool done = gr_jinja_order(r, &a->key, &b->key, "<", &order);
    *first = done && (reverse ? order > 0 : order < 0);
    return done;
}

/* Stable, by merging. */
static bool sort(run *r, keyed *at, size_t n, bool reverse)
{
    keyed *spare = gr_jinja_take(r, n, sizeof *spare);
    if (!spare)
        return false;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t from = 0; from < n; from += 2 * width) {
            size_t middle = from + width < n ? from + width : n, to = middle + width < n ? middle + width : n;
            for (size_t i = from, j = middle, k = from; k < to; k++) {
                bool second = i == middle;
                if (i < middle && j < to && !comes_first(r, &at[j], &at[i], reverse, &second))
                    return false;
                spare[k] = second ? at[j++] : at[i++];
            }
        }
        memcpy(at, spare, n * sizeof *at);
    }
    return true;
}

static bool sorted(run *r, keyed *at, size_t n, bool reverse, value *out)
{
    value *items = sort(r, at, n, reverse) ? gr_jinja_take(r, n + 1, sizeof *items) : NULL;
    if (!items)
        return false;
    for (size_t i = 0; i < n; i++)
        items[i] = at[i].item;
    return gr_jinja_list_of(r, GR_VALUE_LIST, items, n, out);
}

static bool is_true(const value *v)
{
    return v && gr_jinja_truth(v);
}

/* The keys of one item, of "a,b": a list that is compared part by part. */
static bool sort_keys(run *r, const value *item, const value *attributes, bool case_sensitive, value *out)
{
    value parts;
    gr_jinja_values keys = {0};
    const text comma = {.bytes = ",", .size = 1, .points = 1};
    if (!attributes || attributes->type != GR_VALUE_TEXT)
        parts.as.list = NULL;
    else if (!gr_text_split(r, attributes->as.text, &comma, -1, false, &parts))
        return false;
    for (size_t i = 0; i < (parts.as.list ? parts.as.list->n : 1); i++) {
        value key;
        if (!sort_key(r, item, parts.as.list ? &parts.as.list->items[i] : attributes, case_sensitive, &key) ||
            !gr_jinja_push(r, &keys, &key))
            return false;
    }
    return gr_jinja_list_of(r, GR_VALUE_LIST, keys.items, keys.n, out);
}

static bool filter_sort(run *r, const value *self, const arguments *args, value *out)
{
    const value *items;
    size_t n;
    bool case_sensitive = is_true(gr_jinja_argument(args, 1, "case_sensitive"));
    if (!gr_jinja_check_arguments(r, "sort", args, 0, 3, "reverse case_sensitive attribute") ||
        !gr_jinja_items(r, self, &items, &n))
        return false;
    keyed *at = gr_jinja_take(r, n + 1, sizeof *at);
    for (size_t i = 0; at && i < n; i++) {
        at[i].item = items[i];
        if (!sort_keys(r, &items[i], gr_jinja_argument(args, 2, "attribute"), case_sensitive, &at[i].key))
            return false;
    }
    return at && sorted(r, at, n, is_true(gr_jinja_argument(args, 0, "reverse")), out) &&
           (out->untrusted = gr_jinja_is_untrusted(self), true);
}

static bool filter_dictsort(run *r, const value *self, const arguments *args, value *out)
{
    const value *by = gr_jinja_argument(args, 1, "by"), *items;
    bool case_sensitive = is_true(gr_jinja_argument(args, 0, "case_sensitive"));
    bool by_value = by && by->type == GR_VALUE_TEXT && gr_jinja_text_is(by->as.text, "value");
    size_t n;
    if (!gr_jinja_check_arguments(r, "dictsort", args, 0, 3, "case_sensitive by reverse"))
        return false;
    if (by && !by_value && !(by->type == GR_VALUE_TEXT && gr_jinja_text_is(by->as.text, "key")))
        return gr_jinja_fail(r, "dictsort: by is 'key' or 'value'");
    if (self->type != GR_VALUE_DICT)
        return gr_jinja_fail(r, "dictsort: expected a dict, not %s", gr_jinja_type_name(self));
    const gr_jinja_view view = {self->as.dict, GR_VIEW_ITEMS};
    const value pairs = {.type = GR_VALUE_VIEW, .untrusted = self->untrusted, .as.view = &view};
    if (!gr_jinja_items(r, &pairs, &items, &n))
        return false;
    keyed *at = gr_jinja_take(r, n + 1, sizeof *at);
    for (size_t i = 0; at && i < n; i++) {
        at[i].item = items[i];
        if (!sort_key(r, &items[i].as.list->items[by_value], NULL, case_sensitive, &at[i].key))
            return false;
    }
    return at && sorted(r, at, n, is_true(gr_jinja_argument(args, 2, "reverse")), out);
}

/* min and max: the first of equal ones. */
static bool extreme(run *r, const char *function, const value *self, const arguments *args, bool largest, value *out)
{
    const value *items;
    size_t n;
    keyed best = {0}, other;
    bool better, case_sensitive = is_true(gr_jinja_argument(args, 0, "case_sensitive"));
    if (!gr_jinja_check_arguments(r, function, args, 0, 2, "case_sensitive attribute") ||
        !gr_jinja_items(r, self, &items, &n))
        return false;
    for (size_t i = 0; i < n; i++) {
        other.item = items[i];
        int order;
        if (!sort_key(r, &items[i], gr_jinja_argument(args, 1, "attribute"), case_sensitive, &other.key) ||
            (i && !gr_jinja_order(r, &other.key, &best.key, largest ? ">" : "<", &order)))
            return false;
        better = !i || (largest ? order > 0 : order < 0);
        best = better ? other : best;
    }
    *out = n ? best.item : gr_jinja_undefined(NULL);
    return true;
}

static bool filter_min(run *r, const value *self, const arguments *args, value *out)
{
    return extreme(r, "min", self, args, false, out);
}

static bool filter_max(run *r, const value *self, const arguments *args, value *out)
{
    return extreme(r, "max", self, args, true, out);
}

static bool filter_unique(run *r, const value *self, const arguments *args, value *out)
{
    const value *items;
    size_t n;
    gr_jinja_values kept = {0};
    value seen, key, none = gr_jinja_none();
    const value *found;
    bool case_sensitive = is_true(gr_jinja_argument(args, 0, "case_sensitive"));
    if (!gr_jinja_check_arguments(r, "unique", args, 0, 2, "case_sensitive attribute") ||
        !gr_jinja_items(r, self, &items, &n) || !gr_jinja_new_dict(r, GR_VALUE_DICT, 0, &seen))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!sort_key(r, &items[i], gr_jinja_argument(args, 1, "attribute"), case_sensitive, &key) ||
            !gr_jinja_find(r, seen.as.dict, &key, &found))
            return false;
        if (!found && (!gr_jinja_put(r, seen.as.dict, &key, &none) || !gr_jinja_push(r, &kept, &items[i])))
            return false;
    }
    return gr_jinja_list_of(r, GR_VALUE_ITERATOR, kept.items, kept.n, out);
}

/* ---- lists -------------------------------------------------------------------------------------------------- */

static bool filter_list(run *r, const value *self, const arguments *args, value *out)
{
    const value *items;
    size_t n;
    if (!gr_jinja_check_arguments(r, "list", args, 0, 0, "") || !gr_jinja_items(r, self, &items, &n) ||
        !gr_jinja_list_of(r, GR_VALUE_LIST, items, n, out))
        return false;
    out->untrusted = self->type != GR_VALUE_TEXT && self->untrusted;
    return true;
}

static bool filter_items(run *r, const value *self, const arguments *args, value *out)
{
    const value *items;
    size_t n;
    if (!gr_jinja_check_arguments(r, "items", args, 0, 0, ""))
        return false;
    if (self->type == GR_VALUE_UNDEFINED)
        return empty_iterator(r, out);
    if (self->type != GR_VALUE_DICT)
        return gr_jinja_fail(r, "items: expected a dict, not %s", gr_jinja_type_name(self));
    const gr_jinja_view view = {self->as.dict, GR_VIEW_ITEMS};
    const value pairs = {.type = GR_VALUE_VIEW, .untrusted = self->untrusted, .as.view = &view};
    return gr_jinja_items(r, &pairs, &items, &n) && gr_jinja_list_of(r, GR_VALUE_ITERATOR, items, n, out);
}

static bool filter_first(run *r, const value *self, const arguments *args, value *out)
{
    const value *items;
    size_t n;
    if (!gr_jinja_check_arguments(r, "first", args, 0, 0, ""))
        return false;
    if (self->type == GR_VALUE_ITERATOR) { /* takes one, and leaves the others */
        gr_jinja_list *list = self->as.list;
        *out = list->at < list->n ? list->items[list->at++] : gr_jinja_undefined(NULL);
        return true;
    }
    if (!gr_jinja_items(r, self, &items, &n))
        return false;
    *out = n ? items[0] : gr_jinja_undefined(NULL);
    return true;
}

static bool filter_last(run *r, const value *self, const arguments *args, value *out)
{
    const value *items;
    size_t n;
    if (!gr_jinja_check_arguments(r, "last", args, 0, 0, ""))
        return false;
    if (self->type == GR_VALUE_ITERATOR)
        return gr_jinja_fail(r, "last: a generator has no last item\nmake it a list with the filter list");
    if (!gr_jinja_items(r, self, &items, &n))
        return false;
    *out = n ? items[n - 1] : gr_jinja_undefined(NULL);
    return true;
}

static bool filter_reverse(run *r, const value *self, const arguments *args, value *out)
{
    const value *items;
    size_t n;
    if (!gr_jinja_check_arguments(r, "reverse", args, 0, 0, ""))
        return false;
    if (self->type == GR_VALUE_TEXT) {
        const value step = gr_jinja_int(-1), *const parts[3] = {NULL, NULL, &step};
        return gr_jinja_slice(r, self, parts, out);
    }
    if (!gr_jinja_items(r, self, &items, &n))
        return false;
    value *back = gr_jinja_take(r, n + 1, sizeof *back);
    for (size_t i = 0; back && i < n; i++)
        back[i] = items[n - 1 - i];
    return back &&
           gr_jinja_list_of(r, self->type == GR_VALUE_ITERATOR ? GR_VALUE_LIST : GR_VALUE_ITERATOR, back, n, out);
}

static bool filter_sum(run *r, const value *self, const arguments *args, value *out)
{
    const value *items, *start = gr_jinja_argument(args, 1, "start");
    value item, sum = start ? *start : gr_jinja_int(0);
    size_t n;
    if (!gr_jinja_check_arguments(r, "sum", args, 0, 2, "attribute start") || !gr_jinja_items(r, self, &items, &n))
        return false;
    if (sum.type == GR_VALUE_TEXT)
        return gr_jinja_fail(r, "sum: texts cannot be summed");
    for (size_t i = 0; i < n; i++)
        if (!follow(r, &items[i], gr_jinja_argument(args, 0, "attribute"), NULL, &item) ||
            !gr_jinja_binary(r, GR_OP_ADD, &sum, &item, &sum))
            return false;
    *out = sum;
    return true;
}

/* ---- by name ------------------------------------------------------------------------------------------------ */

const gr_jinja_function *gr_jinja_filter_named(const text *name)
{
    static const gr_jinja_function filters[] = {
        {"abs", filter_abs},
        {"capitalize", filter_capitalize},
        {"count", filter_length},
        {"d", filter_default},
        {"default", filter_default},
        {"dictsort", filter_dictsort},
        {"e", filter_escape},
        {"escape", filter_escape},
        {"first", filter_first},
        {"float", filter_float},
        {"format", filter_format},
        {"indent", filter_indent},
        {"int", filter_int},
        {"items", filter_items},
        {"join", filter_join},
        {"last", filter_last},
        {"length", filter_length},
        {"list", filter_list},
        {"lower", filter_lower},
        {"map", filter_map},
        {"max", filter_max},
        {"min", filter_min},
        {"reject", filter_reject},
        {"rejectattr", filter_rejectattr},
        {"replace", filter_replace},
        {"reverse", filter_reverse},
        {"safe", filter_safe},
        {"select", filter_select},
        {"selectattr", filter_selectattr},
        {"sort", filter_sort},
        {"string", filter_string},
        {"sum", filter_sum},
        {"title", filter_title},
        {"tojson", filter_tojson},
        {"trim", filter_trim},
        {"unique", filter_unique},
        {"upper", filter_upper},
    };
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (gr_jinja_text_is(name, filters[i].name))
            return &filters[i];
    return NULL;
}
