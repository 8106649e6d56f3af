/* Building JSON documents and writing them: numbers come out short and still read back exactly, whatever the locale. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json_node.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "base/number.h"

/* ---- building ----------------------------------------------------------------------------------------------- */

/* Makes an allocation's failure, whose message is set, the document's. */
static void remember(gr_json_doc *doc)
{
    if (doc->status != GR_OK)
        return;
    doc->status = gr_fail_in("%s", doc->name);
    gr_error_keep(&doc->error);
}

/* Room for one more item. What the list had before stays in the arena until the document goes. */
static gr_status reserve(gr_json_doc *doc, gr_json_node *list)
{
    if (list->as.list.n < list->as.list.cap)
        return GR_OK;
    uint32_t n = list->as.list.n, cap = n < 4 ? 8 : 2 * n;
    if (n > UINT32_MAX / 4)
        return gr_fail(GR_ERR_MEMORY, "a JSON list of more than %u items", n);
    gr_json_node **items = gr_json_take(doc, cap * sizeof *items);
    uint32_t *order = gr_json_take(doc, cap * sizeof *order);
    if (!items || !order)
        return GR_ERR_MEMORY;
    if (n)
        memcpy(items, list->as.list.items, n * sizeof *items);
    if (n && list->type == GR_JSON_OBJECT)
        memcpy(order, list->as.list.order, n * sizeof *order);
    list->as.list.items = items;
    list->as.list.order = order;
    list->as.list.cap = cap;
    return GR_OK;
}

static gr_status insert(gr_json_doc *doc, gr_json_node *list, gr_json_node *item)
{
    bool found = false;
    uint32_t n = list->as.list.n, place = 0;
    if (list->type == GR_JSON_OBJECT)
        place = gr_json_place(list, item->key, item->key_size, &found);
    if (found) {
        list->as.list.items[list->as.list.order[place]] = item;
        return GR_OK;
    }
    if (reserve(doc, list) != GR_OK)
        return gr_error_status();
    if (list->type == GR_JSON_OBJECT) {
        memmove(list->as.list.order + place + 1, list->as.list.order + place, (n - place) * sizeof n);
        list->as.list.order[place] = n;
    }
    list->as.list.items[list->as.list.n++] = item;
    return GR_OK;
}

/* Puts `value` (NULL: no memory for it) into what put_object or put_array gave. */
static gr_json put_sized(gr_json into, const char *key, size_t size, gr_json_node *value)
{
    gr_json at = {into.doc, NULL, into.value, key, key ? 0 : gr_json_size(into)};
    if (!into.doc || into.doc->status != GR_OK || !into.value)
        return at;
    if (gr_json_type_of(into) != (key ? GR_JSON_OBJECT : GR_JSON_ARRAY)) {
        gr_json_fail(at, "cannot be put here: not a place of that kind");
        return at;
    }
    if (key && !gr_utf8_valid(key, size)) {
        gr_json_fail(at, "cannot be put here: the key is not UTF-8");
        return at;
    }
    if (value && key) {
        value->key_size = (uint32_t)size;
        value->key = gr_json_keep(into.doc, key, size);
    }
    if (!value || (key && !value->key) || insert(into.doc, into.value, value) != GR_OK) {
        remember(into.doc);
        return at;
    }
    at.value = value;
    return at;
}

static gr_json put(gr_json into, const char *key, gr_json_node *value)
{
    return put_sized(into, key, key ? strlen(key) : 0, value);
}

/* NULL also where the document has failed already. */
static gr_json_node *make(gr_json into, gr_json_type type)
{
    return into.doc && into.doc->status == GR_OK ? gr_json_node_new(into.doc, type) : NULL;
}

static void put_number(gr_json into, const char *key, double x)
{
    gr_json_node *node = make(into, GR_JSON_REAL);
    if (node)
        node->as.r = x;
    put(into, key, node);
}

gr_json gr_json_put_object(gr_json into, const char *key)
{
    return put(into, key, make(into, GR_JSON_OBJECT));
}

gr_json gr_json_put_array(gr_json into, const char *key)
{
    return put(into, key, make(into, GR_JSON_ARRAY));
}

void gr_json_put_null(gr_json into, const char *key)
{
    put(into, key, make(into, GR_JSON_NULL));
}

void gr_json_put_bool(gr_json into, const char *key, bool x)
{
    gr_json_node *node = make(into, GR_JSON_BOOL);
    if (node)
        node->truth = x;
    put(into, key, node);
}

void gr_json_put_int(gr_json into, const char *key, int64_t x)
{
    gr_json_node *node = make(into, GR_JSON_INT);
    if (node)
        node->as.i = x;
    put(into, key, node);
}

void gr_json_put_real(gr_json into, const char *key, double x)
{
    if (isfinite(x))
        put_number(into, key, x);
    else
        gr_json_fail((gr_json){into.doc, NULL, into.value, key, 0}, "JSON has no number for %g", x);
}

void gr_json_put_f32(gr_json into, const char *key, float x)
{
    if (!isfinite(x)) {
        put(into, key, make(into, GR_JSON_NULL));
        return;
    }
    /* Stored as the f64 nearest to the short decimal, whose own shortest decimal is that same one. */
    char text[40];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        gr_point(text);
        if (gr_read_f32(text, NULL) == x)
            break;
    }
    put_number(into, key, gr_read_f64(text, NULL));
}

static void put_string(gr_json into, const char *key, const char *text, size_t size, bool is_bytes)
{
    gr_json_node *node = make(into, GR_JSON_TEXT);
    if (node) {
        node->is_bytes = is_bytes;
        node->as.text.size = size;
        if (!(node->as.text.bytes = gr_json_keep(into.doc, text, size)))
            node = NULL;
    }
    put(into, key, node);
}

void gr_json_put_bytes(gr_json into, const char *key, const char *text, size_t size)
{
    if (gr_utf8_valid(text, size))
        put_string(into, key, text, size, false);
    else
        gr_json_fail((gr_json){into.doc, NULL, into.value, key, 0}, "the text is not UTF-8");
}

void gr_json_put_path(gr_json into, const char *key, const char *path)
{
    size_t size = strlen(path);
    put_string(into, key, path, size, !gr_utf8_valid(path, size));
}

void gr_json_put_text(gr_json into, const char *key, const char *text)
{
    gr_json_put_bytes(into, key, text, strlen(text));
}

/* NULL: no memory. Depth is bounded by that of what is copied. */
static gr_json_node *copy_node(gr_json_doc *doc, const gr_json_node *from)
{
    gr_json_node *node = gr_json_node_new(doc, (gr_json_type)from->type);
    if (!node)
        return NULL;
    *node = *from;
    if (from->type == GR_JSON_TEXT) {
        node->as.text.bytes = gr_json_keep(doc, from->as.text.bytes, from->as.text.size);
        return node->as.text.bytes ? node : NULL;
    }
    if (from->type != GR_JSON_ARRAY && from->type != GR_JSON_OBJECT)
        return node;
    memset(&node->as, 0, sizeof node->as);
    for (uint32_t i = 0; i < from->as.list.n; i++) {
        gr_json_node *item = copy_node(doc, from->as.list.items[i]);
        if (!item || (item->key && !(item->key = gr_json_keep(doc, item->key, item->key_size))) ||
            insert(doc, node, item) != GR_OK)
            return NULL;
    }
    return node;
}

void gr_json_put_copy(gr_json into, const char *key, gr_json value)
{
    if (!value.value) {
        gr_json_fail((gr_json){into.doc, NULL, into.value, key, 0}, "there is nothing to copy");
        return;
    }
    gr_json_node *node = into.doc && into.doc->status == GR_OK ? copy_node(into.doc, value.value) : NULL;
    if (node && !key) {
        node->key = NULL;
        node->key_size = 0;
    }
    put(into, key, node);
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

typedef struct output {
    char *data;
    size_t size, cap;
    bool pretty;
} output;

static gr_status emit(output *o, const char *bytes, size_t n)
{
    size_t need;
    if (!gr_add_size(o->size, n + 1, &need))
        return gr_fail(GR_ERR_MEMORY, "JSON text too large");
    if (need > o->cap && gr_grow(&o->data, &o->cap, need, 1) != GR_OK)
        return GR_ERR_MEMORY;
    memcpy(o->data + o->size, bytes, n);
    o->size += n;
    o->data[o->size] = 0;
    return GR_OK;
}

/* Escaped, without the quotes. */
static gr_status emit_plain(output *o, const char *text, size_t n)
{
    size_t start = 0;
    for (size_t i = 0; i <= n; i++) {
        unsigned char c = i < n ? (unsigned char)text[i] : 0;
        if (i < n && c >= 0x20 && c != '"' && c != '\\')
            continue;
        /* What needs no escape goes out in one piece. */
        if (emit(o, text + start, i - start) != GR_OK)
            return GR_ERR_MEMORY;
        start = i + 1;
        if (i == n)
            break;
        char escape[8] = {'\\', (char)c, 0};
        if (c == '\n' || c == '\t' || c == '\r')
            escape[1] = c == '\n' ? 'n' : c == '\t' ? 't' : 'r';
        else if (c < 0x20)
            snprintf(escape, sizeof escape, "\\u%04x", c);
        if (emit(o, escape, strlen(escape)) != GR_OK)
            return GR_ERR_MEMORY;
    }
    return GR_OK;
}

static gr_status emit_text(output *o, const char *text, size_t n)
{
    gr_status s = emit(o, "\"", 1);
    if (s == GR_OK)
        s = emit_plain(o, text, n);
    return s == GR_OK ? emit(o, "\"", 1) : s;
}

/* Whole characters as they are, each other byte as half of a surrogate pair. */
static gr_status emit_bytes(output *o, const char *text, size_t n)
{
    gr_status s = emit(o, "\"", 1);
    for (size_t i = 0, size; i < n && s == GR_OK; i += size) {
        for (size = n - i < 4 ? n - i : 4; size && !gr_utf8_valid(text + i, size);)
            size--;
        char escape[8];
        if (!size) {
            snprintf(escape, sizeof escape, "\\udc%02x", (unsigned)(unsigned char)text[i]);
            s = emit(o, escape, 6);
            size = 1;
        } else {
            s = emit_plain(o, text + i, size);
        }
    }
    return s == GR_OK ? emit(o, "\"", 1) : s;
}

/* The shortest of 15 to 17 digits that reads back as x. */
static gr_status emit_real(output *o, double x)
{
    char text[48];
    if (!isfinite(x)) /* only copied ones: as Python wrote them */
        return isnan(x) ? emit(o, "NaN", 3) : x > 0 ? emit(o, "Infinity", 8) : emit(o, "-Infinity", 9);
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text - 2, "%.*g", digits, x);
        gr_point(text);
        if (gr_read_f64(text, NULL) == x)
            break;
    }
    if (!strpbrk(text, ".e")) /* 1.0 stays a number with a point, so that its type reads back too */
        strcat(text, ".0");
    return emit(o, text, strlen(text));
}

static gr_status emit_break(output *o, int depth)
{
    static const char spaces[] = "\n                                                                ";
    int n = 1 + 2 * depth < (int)sizeof spaces ? 1 + 2 * depth : (int)sizeof spaces - 1;
    return o->pretty ? emit(o, spaces, (size_t)n) : GR_OK;
}

static gr_status emit_value(output *o, const gr_json_node *v, int depth);

/* The comma and the line break before an item; the break alone before a closing bracket. */
static gr_status emit_gap(output *o, bool comma, int depth)
{
    if (comma && emit(o, ",", 1) != GR_OK)
        return GR_ERR_MEMORY;
    if (comma && !o->pretty)
        return emit(o, " ", 1);
    return emit_break(o, depth);
}

static gr_status emit_object(output *o, const gr_json_node *v, int depth)
{
    gr_status s = emit(o, "{", 1);
    for (uint32_t i = 0; s == GR_OK && i < v->as.list.n; i++) {
        const gr_json_node *child = v->as.list.items[i];
        s = emit_gap(o, i > 0, depth + 1);
        if (s == GR_OK)
            s = emit_text(o, child->key, child->key_size);
        if (s == GR_OK)
            s = emit(o, ": ", 2);
        if (s == GR_OK)
            s = emit_value(o, child, depth + 1);
    }
    if (s == GR_OK && v->as.list.n)
        s = emit_break(o, depth);
    return s == GR_OK ? emit(o, "}", 1) : s;
}

/* Numbers and short words read better on one line: only arrays that hold arrays or objects are broken up. */
static gr_status emit_array(output *o, const gr_json_node *v, int depth)
{
    bool nested = false, was = o->pretty;
    for (uint32_t i = 0; i < v->as.list.n; i++)
        nested |= v->as.list.items[i]->type >= GR_JSON_ARRAY;
    gr_status s = emit(o, "[", 1);
    o->pretty = was && nested;
    for (uint32_t i = 0; s == GR_OK && i < v->as.list.n; i++) {
        s = emit_gap(o, i > 0, depth + 1);
        if (s == GR_OK)
            s = emit_value(o, v->as.list.items[i], depth + 1);
    }
    if (s == GR_OK && v->as.list.n)
        s = emit_break(o, depth);
    o->pretty = was;
    return s == GR_OK ? emit(o, "]", 1) : s;
}

static gr_status emit_value(output *o, const gr_json_node *v, int depth)
{
    char number[32];
    if (depth > GR_JSON_DEPTH)
        return gr_fail(GR_ERR_ARGUMENT, "more than %d nested arrays and objects", GR_JSON_DEPTH);
    switch ((gr_json_type)v->type) {
    case GR_JSON_OBJECT:
        return emit_object(o, v, depth);
    case GR_JSON_ARRAY:
        return emit_array(o, v, depth);
    case GR_JSON_TEXT:
        return v->is_bytes ? emit_bytes(o, v->as.text.bytes, v->as.text.size)
                           : emit_text(o, v->as.text.bytes, v->as.text.size);
    case GR_JSON_INT:
        snprintf(number, sizeof number, "%lld", (long long)v->as.i);
        return emit(o, number, strlen(number));
    case GR_JSON_REAL:
        return emit_real(o, v->as.r);
    case GR_JSON_BOOL:
        return v->truth ? emit(o, "true", 4) : emit(o, "false", 5);
    case GR_JSON_NULL:
    case GR_JSON_ABSENT:
        break;
    }
    return emit(o, "null", 4);
}

char *gr_json_format(const gr_json_doc *doc, bool pretty, size_t *size)
{
    output o = {.pretty = pretty};
    gr_status s = gr_json_check(doc);
    if (s == GR_OK)
        s = emit_value(&o, doc->root, 0);
    if (s == GR_OK && pretty)
        s = emit(&o, "\n", 1);
    if (s == GR_OK) {
        if (size)
            *size = o.size;
        return o.data;
    }
    if (doc->status == GR_OK)
        gr_fail_in("%s", doc->name);
    gr_free(o.data);
    return NULL;
}

gr_status gr_json_renew(gr_json_doc *doc, char **text)
{
    char *now = doc ? gr_json_format(doc, true, NULL) : NULL;
    gr_json_free(doc);
    if (!now)
        return gr_error_status();
    gr_free(*text);
    *text = now;
    return GR_OK;
}

gr_status gr_json_write(const gr_json_doc *doc, const char *path)
{
    size_t size;
    char *text = gr_json_format(doc, true, &size);
    gr_status s = text ? gr_file_write(path, text, size) : gr_error_status();
    gr_free(text);
    return s;
}

/* ---- by hand ------------------------------------------------------------------------------------------------ */

gr_status gr_json_add_text(gr_bytes *out, const char *text, size_t size)
{
    gr_status status = gr_bytes_add(out, "\"", 1);
    for (size_t i = 0; i < size && status == GR_OK; i++) {
        unsigned char c = (unsigned char)text[i];
        char escape[8];
        if (c == '"' || c == '\\') {
            status = gr_bytes_add(out, (char[]){'\\', (char)c}, 2);
        } else if (c < 0x20) {
            snprintf(escape, sizeof escape, "\\u%04X", c);
            status = gr_bytes_add_string(out, escape);
        } else {
            status = gr_bytes_add(out, text + i, 1);
        }
    }
    return status == GR_OK ? gr_bytes_add(out, "\"", 1) : status;
}
