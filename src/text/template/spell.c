/* Values as Python writes them: str, repr and json.dumps. What is written of a value that came from messages is marked,
 * brackets and quotes included. */
#include "text/template/run.h"
#include "text/unicode/unicode.h"
#include "base/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef gr_jinja_value value;
typedef gr_jinja_run run;
typedef gr_jinja_builder builder;

static bool add(run *r, builder *b, const char *z, bool untrusted)
{
    return gr_jinja_add_bytes(r, b, z, strlen(z), untrusted);
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

/* The shortest digits that read back as x, as repr(float) places point and exponent. */
static void spell_real(double x, bool json, char out[48])
{
    char text[40], digits[24];
    int n = 0;
    if (!isfinite(x)) {
        strcpy(out, isnan(x) ? json ? "NaN" : "nan" : x > 0 ? json ? "Infinity" : "inf" : json ? "-Infinity" : "-inf");
        return;
    }
    for (int more = 0; more <= 16; more++) {
        snprintf(text, sizeof text, "%.*e", more, x);
        gr_point(text);
        if (gr_read_f64(text, NULL) == x)
            break;
    }
    int exponent = atoi(strchr(text, 'e') + 1);
    for (const char *c = text; *c != 'e'; c++)
        if (*c >= '0' && *c <= '9')
            digits[n++] = *c;
    char *to = out;
    if (*text == '-')
        *to++ = '-';
    if (exponent < -4 || exponent >= 16) {
        *to++ = digits[0];
        to += n > 1 ? sprintf(to, ".%.*s", n - 1, digits + 1) : 0;
        sprintf(to, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    if (exponent < 0) {
        sprintf(to, "0.%.*s%.*s", -exponent - 1, "0000", n, digits);
        return;
    }
    for (int i = 0; i <= exponent; i++)
        *to++ = i < n ? digits[i] : '0';
    sprintf(to, ".%.*s", n > exponent + 1 ? n - exponent - 1 : 1, n > exponent + 1 ? digits + exponent + 1 : "0");
}

static bool add_number(run *r, builder *b, const value *v, bool json)
{
    char out[48];
    if (v->type == GR_VALUE_REAL)
        spell_real(v->as.r, json, out);
    else
        snprintf(out, sizeof out, "%lld", (long long)v->as.i);
    return add(r, b, out, v->untrusted);
}

/* ---- strings ------------------------------------------------------------------------------------------------ */

static bool mask_at(const gr_jinja_text *t, size_t at)
{
    return t->mask ? t->mask[at] : t->untrusted;
}

static bool repr_escape(run *r, uint32_t c, char quote, char out[16])
{
    static const char marks[] = "\n\r\t\\", letters[] = "nrt\\";
    const char *mark = c && c < 0x80 ? strchr(marks, (int)c) : NULL;
    if (c == (unsigned char)quote)
        return sprintf(out, "\\%c", quote) > 0;
    if (mark)
        return sprintf(out, "\\%c", letters[mark - marks]) > 0;
    if (c >= ' ' && c < 0x7F)
        return out[0] = 0, true;
    if (c >= 0x80 && !gr_unicode_has_forms())
        return gr_jinja_unsupported(r, "writing U+%04X in quotes needs a build with utf8proc", (unsigned)c);
    out[0] = 0;
    if (!gr_unicode_printable(c))
        sprintf(out, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
    return true;
}

static bool add_text_repr(run *r, builder *b, const gr_jinja_text *t)
{
    bool single = memchr(t->bytes, '\'', t->size) && !memchr(t->bytes, '"', t->size);
    char quote[2] = {single ? '"' : '\'', 0}, escape[16];
    if (!add(r, b, quote, t->untrusted))
        return false;
    for (size_t at = 0, plain = 0; at <= t->size;) {
        int n = 1;
        uint32_t c = at < t->size ? gr_utf8_read(t->bytes + at, t->bytes + t->size, &n) : '\n';
        if (!repr_escape(r, c, *quote, escape))
            return false;
        if (*escape && !gr_jinja_add_part(r, b, t, plain, at - plain))
            return false;
        if (*escape && at < t->size && !add(r, b, escape, mask_at(t, at)))
            return false;
        at += (size_t)n;
        plain = *escape ? at : plain;
    }
    return gr_jinja_charge(r, t->size / 16) && add(r, b, quote, t->untrusted);
}

static void json_escape(uint32_t c, bool ascii, char out[16])
{
    static const char marks[] = "\"\\\n\r\t\f\b", letters[] = "\"\\nrtfb";
    const char *mark = c && c < 0x80 ? strchr(marks, (int)c) : NULL;
    out[0] = 0;
    if (mark)
        sprintf(out, "\\%c", letters[mark - marks]);
    else if (c < ' ' || (ascii && c > 0x7E && c < 0x10000))
        sprintf(out, "\\u%04x", (unsigned)c);
    else if (ascii && c >= 0x10000)
        sprintf(out, "\\u%04x\\u%04x", (unsigned)(0xD800 + ((c - 0x10000) >> 10)),
                (unsigned)(0xDC00 + ((c - 0x10000) & 0x3FF)));
}

static bool add_text_json(run *r, builder *b, const gr_jinja_text *t, bool ascii)
{
    char escape[16];
    if (!add(r, b, "\"", t->untrusted))
        return false;
    for (size_t at = 0, plain = 0; at <= t->size;) {
        int n = 1;
        uint32_t c = at < t->size ? gr_utf8_read(t->bytes + at, t->bytes + t->size, &n) : '\n';
        json_escape(c, ascii, escape);
        if (*escape && !gr_jinja_add_part(r, b, t, plain, at - plain))
            return false;
        if (*escape && at < t->size && !add(r, b, escape, mask_at(t, at)))
            return false;
        at += (size_t)n;
        plain = *escape ? at : plain;
    }
    return gr_jinja_charge(r, t->size / 16) && add(r, b, "\"", t->untrusted);
}

/* ---- str and repr ------------------------------------------------------------------------------------------- */

static bool add_items(run *r, builder *b, const value *v, const char *open, const char *close)
{
    const gr_jinja_list *list = v->as.list;
    if (!add(r, b, open, v->untrusted))
        return false;
    for (size_t i = 0; i < list->n; i++)
        if ((i && !add(r, b, ", ", v->untrusted)) || !gr_jinja_add_repr(r, b, &list->items[i]))
            return false;
    return add(r, b, v->type == GR_VALUE_TUPLE && list->n == 1 ? ",)" : close, v->untrusted);
}

static bool add_pairs(run *r, builder *b, const value *v)
{
    const gr_jinja_dict *d = v->as.dict;
    if (!add(r, b, "{", v->untrusted))
        return false;
    for (size_t i = 0; i < d->n; i++)
        if ((i && !add(r, b, ", ", v->untrusted)) || !gr_jinja_add_repr(r, b, &d->pairs[i].key) ||
            !add(r, b, ": ", v->untrusted) || !gr_jinja_add_repr(r, b, &d->pairs[i].value))
            return false;
    return add(r, b, "}", v->untrusted);
}

static bool add_view(run *r, builder *b, const value *v)
{
    static const char *const opens[] = {"dict_keys([", "dict_values([", "dict_items(["};
    const value *items;
    size_t n;
    value list;
    if (!gr_jinja_items(r, v, &items, &n) || !gr_jinja_list_of(r, GR_VALUE_LIST, items, n, &list))
        return false;
    list.untrusted = v->untrusted;
    return add_items(r, b, &list, opens[v->as.view->kind], "])");
}

static bool add_range(run *r, builder *b, const gr_jinja_range *x)
{
    char out[96];
    int n = snprintf(out, sizeof out, "range(%lld, %lld", (long long)x->start, (long long)x->stop);
    if (x->step != 1)
        n += snprintf(out + n, sizeof out - (size_t)n, ", %lld", (long long)x->step);
    return add(r, b, out, false) && add(r, b, ")", false);
}

static bool add_macro(run *r, builder *b, const gr_jinja_macro *m)
{
    if (m->node->kind != GR_NODE_MACRO)
        return add(r, b, "<Macro anonymous>", false);
    return add(r, b, "<Macro ", false) && add_text_repr(r, b, m->node->text) && add(r, b, ">", false);
}

static bool add_any(run *r, builder *b, const value *v)
{
    switch (v->type) {
    case GR_VALUE_MISSING:
    case GR_VALUE_UNDEFINED:
        return add(r, b, "Undefined", false);
    case GR_VALUE_NONE:
        return add(r, b, "None", v->untrusted);
    case GR_VALUE_BOOL:
        return add(r, b, v->as.truth ? "True" : "False", v->untrusted);
    case GR_VALUE_INT:
    case GR_VALUE_REAL:
        return add_number(r, b, v, false);
    case GR_VALUE_TEXT:
        if (v->markup)
            return gr_jinja_unsupported(r, "writing in quotes what 'safe' made is not supported");
        return add_text_repr(r, b, v->as.text);
    case GR_VALUE_LIST:
        return add_items(r, b, v, "[", "]");
    case GR_VALUE_TUPLE:
        return add_items(r, b, v, "(", ")");
    case GR_VALUE_DICT:
        return add_pairs(r, b, v);
    case GR_VALUE_VIEW:
        return add_view(r, b, v);
    case GR_VALUE_RANGE:
        return add_range(r, b, v->as.range);
    case GR_VALUE_MACRO:
        return add_macro(r, b, v->as.macro);
    default:
        return gr_jinja_unsupported(r, "a %s cannot be written as text", gr_jinja_type_name(v));
    }
}

bool gr_jinja_add_repr(run *r, builder *b, const value *v)
{
    if (!gr_jinja_charge(r, 1))
        return false;
    if (r->depth-- <= 0)
        return gr_jinja_fail_deep(r);
    bool done = add_any(r, b, v);
    r->depth++;
    return done;
}

bool gr_jinja_add_str(run *r, builder *b, const value *v)
{
    if (v->type == GR_VALUE_TEXT)
        return gr_jinja_add_text(r, b, v->as.text);
    return v->type == GR_VALUE_UNDEFINED || gr_jinja_add_repr(r, b, v);
}

bool gr_jinja_str(run *r, const value *v, value *out)
{
    builder b = {0};
    *out = *v;
    out->markup = false;
    return v->type == GR_VALUE_TEXT || (gr_jinja_add_str(r, &b, v) && gr_jinja_built(r, &b, out));
}

/* ---- JSON --------------------------------------------------------------------------------------------------- */

static bool add_line(run *r, builder *b, const gr_json_style *style, int level, bool untrusted)
{
    if (!style->indented)
        return true;
    if (!add(r, b, "\n", untrusted))
        return false;
    for (int i = 0; i < level; i++)
        if (!gr_jinja_add_text(r, b, style->indent))
            return false;
    return true;
}

static bool add_separator(run *r, builder *b, const gr_jinja_text *separator, bool untrusted)
{
    return gr_jinja_add_bytes(r, b, separator->bytes, separator->size, untrusted || separator->untrusted);
}

static bool add_json_list(run *r, builder *b, const value *v, const gr_json_style *style, int level)
{
    const gr_jinja_list *list = v->as.list;
    if (!list->n)
        return add(r, b, "[]", v->untrusted);
    if (!add(r, b, "[", v->untrusted))
        return false;
    for (size_t i = 0; i < list->n; i++)
        if ((i && !add_separator(r, b, style->item, v->untrusted)) || !add_line(r, b, style, level + 1, v->untrusted) ||
            !gr_jinja_add_json(r, b, &list->items[i], style, level + 1))
            return false;
    return add_line(r, b, style, level, v->untrusted) && add(r, b, "]", v->untrusted);
}

static bool add_json_key(run *r, builder *b, const value *key, const gr_json_style *style)
{
    if (key->type == GR_VALUE_TEXT)
        return add_text_json(r, b, key->as.text, style->ascii);
    if (key->type == GR_VALUE_TUPLE)
        return gr_jinja_fail(r, "tojson: keys are str, int, float, bool or None, not tuple");
    return add(r, b, "\"", key->untrusted) && gr_jinja_add_json(r, b, key, style, 0) && add(r, b, "\"", key->untrusted);
}

/* The order in which pairs are written. */
static bool sort_pairs(run *r, const gr_jinja_dict *d, size_t *order)
{
    for (size_t i = 0; i < d->n; i++) {
        size_t at = i;
        for (int sign; at > 0; at--) {
            if (!gr_jinja_order(r, &d->pairs[i].key, &d->pairs[order[at - 1]].key, "<", &sign))
                return false;
            if (sign >= 0)
                break;
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
    return true;
}

static bool add_json_dict(run *r, builder *b, const value *v, const gr_json_style *style, int level)
{
    const gr_jinja_dict *d = v->as.dict;
    if (!d->n)
        return add(r, b, "{}", v->untrusted);
    size_t *order = style->sorted ? gr_jinja_take(r, d->n, sizeof *order) : NULL;
    if ((style->sorted && (!order || !sort_pairs(r, d, order))) || !add(r, b, "{", v->untrusted))
        return false;
    for (size_t i = 0; i < d->n; i++) {
        const gr_jinja_pair *pair = &d->pairs[order ? order[i] : i];
        if ((i && !add_separator(r, b, style->item, v->untrusted)) || !add_line(r, b, style, level + 1, v->untrusted) ||
            !add_json_key(r, b, &pair->key, style) || !add_separator(r, b, style->key, v->untrusted) ||
            !gr_jinja_add_json(r, b, &pair->value, style, level + 1))
            return false;
    }
    return add_line(r, b, style, level, v->untrusted) && add(r, b, "}", v->untrusted);
}

static bool add_json_any(run *r, builder *b, const value *v, const gr_json_style *style, int level)
{
    switch (v->type) {
    case GR_VALUE_NONE:
        return add(r, b, "null", v->untrusted);
    case GR_VALUE_BOOL:
        return add(r, b, v->as.truth ? "true" : "false", v->untrusted);
    case GR_VALUE_INT:
    case GR_VALUE_REAL:
        return add_number(r, b, v, true);
    case GR_VALUE_TEXT:
        return add_text_json(r, b, v->as.text, style->ascii);
    case GR_VALUE_LIST:
    case GR_VALUE_TUPLE:
        return add_json_list(r, b, v, style, level);
    case GR_VALUE_DICT:
        return add_json_dict(r, b, v, style, level);
    case GR_VALUE_UNDEFINED:
        return gr_jinja_fail(r, "tojson: an undefined value cannot be written as JSON");
    default:
        return gr_jinja_fail(r, "tojson: a %s cannot be written as JSON", gr_jinja_type_name(v));
    }
}

bool gr_jinja_add_json(run *r, builder *b, const value *v, const gr_json_style *style, int level)
{
    if (!gr_jinja_charge(r, 1))
        return false;
    if (r->depth-- <= 0)
        return gr_jinja_fail_deep(r);
    bool done = add_json_any(r, b, v, style, level);
    r->depth++;
    return done;
}
