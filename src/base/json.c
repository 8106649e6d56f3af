/* JSON documents: arena · messages · documents · looking · reading. Parsing is json_parse.c's, building and writing
 * json_write.c's. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json_node.h"
#include "base/mem.h"
#include "base/utf8.h"

/* ---- arena -------------------------------------------------------------------------------------------------- */

/* A tokenizer.json is a million small values: they are cut from chunks. */
void *gr_json_take(gr_json_doc *doc, size_t size)
{
    gr_json_chunk *c = doc->chunks;
    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (!c || c->size - c->used < size) {
        size_t room = size > doc->chunk_size ? size : doc->chunk_size;
        if (!(c = gr_alloc(sizeof(max_align_t) + sizeof *c + room)))
            return NULL;
        *c = (gr_json_chunk){doc->chunks, room, 0};
        doc->chunks = c;
        if (doc->chunk_size < (size_t)1 << 20)
            doc->chunk_size *= 4;
    }
    /* The first value stands behind the header, on the next border of max_align_t. */
    uintptr_t start = ((uintptr_t)(c + 1) + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    c->used += size;
    return (char *)start + (c->used - size);
}

gr_json_node *gr_json_node_new(gr_json_doc *doc, gr_json_type type)
{
    gr_json_node *node = gr_json_take(doc, sizeof *node);
    if (node)
        *node = (gr_json_node){.type = (uint8_t)type};
    return node;
}

const char *gr_json_keep(gr_json_doc *doc, const char *bytes, size_t size)
{
    char *kept = gr_json_take(doc, size + 1);
    if (!kept)
        return NULL;
    if (size)
        memcpy(kept, bytes, size);
    kept[size] = 0;
    return kept;
}

/* ---- keys --------------------------------------------------------------------------------------------------- */

static int compare_keys(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order ? order : (a_size > b_size) - (a_size < b_size);
}

uint32_t gr_json_place(const gr_json_node *object, const char *key, size_t size, bool *found)
{
    uint32_t low = 0, high = object->as.list.n;
    *found = false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const gr_json_node *item = object->as.list.items[object->as.list.order[middle]];
        int order = compare_keys(item->key, item->key_size, key, size);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Merges runs that double in length. Equal keys keep their order. The result is in one of the two. */
static uint32_t *sort_keys(gr_json_node **items, uint32_t n, uint32_t *from, uint32_t *to)
{
    for (uint32_t i = 0; i < n; i++)
        from[i] = i;
    for (uint64_t run = 1; run < n; run *= 2) {
        for (uint64_t start = 0; start < n; start += 2 * run) {
            uint64_t a = start, middle = start + run < n ? start + run : n, b = middle,
                     stop = start + 2 * run < n ? start + 2 * run : n;
            for (uint64_t i = start; i < stop; i++) {
                const gr_json_node *x = a < middle ? items[from[a]] : NULL, *y = b < stop ? items[from[b]] : NULL;
                bool first = x && (!y || compare_keys(x->key, x->key_size, y->key, y->key_size) <= 0);
                to[i] = first ? from[a++] : from[b++];
            }
        }
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    return from;
}

/* Drops items that are NULL, and counts `order` anew. */
static void close_gaps(gr_json_node *object, uint32_t *now)
{
    uint32_t n = 0, ordered = 0;
    for (uint32_t i = 0; i < object->as.list.n; i++)
        if (object->as.list.items[i]) {
            now[i] = n;
            object->as.list.items[n++] = object->as.list.items[i];
        } else {
            now[i] = UINT32_MAX;
        }
    for (uint32_t i = 0; i < object->as.list.n; i++)
        if (now[object->as.list.order[i]] != UINT32_MAX)
            object->as.list.order[ordered++] = now[object->as.list.order[i]];
    object->as.list.n = n;
}

gr_status gr_json_seal(gr_json_doc *doc, gr_json_node *object)
{
    uint32_t n = object->as.list.n;
    gr_json_node **items = object->as.list.items;
    uint32_t *order = gr_json_take(doc, n * sizeof *order), *other = gr_alloc(n * sizeof *other);
    if (!order || !other) {
        gr_free(other);
        return gr_error_status();
    }
    uint32_t *sorted = sort_keys(items, n, order, other);
    if (sorted != order && n)
        memcpy(order, sorted, n * sizeof *order);
    object->as.list.order = order;
    bool twice = false;
    for (uint32_t i = 0, first = 0; i < n; i++) {
        gr_json_node *a = items[order[first]], *b = items[order[i]];
        if (i == first || compare_keys(a->key, a->key_size, b->key, b->key_size) != 0) {
            first = i;
            continue;
        }
        items[order[first]] = b; /* at the first one's place; the last value stays there */
        items[order[i]] = NULL;
        if (!twice && !doc->twice) {
            doc->twice = object;
            doc->twice_key = b->key;
        }
        twice = true;
    }
    if (twice)
        close_gaps(object, other);
    gr_free(other);
    return GR_OK;
}

/* ---- messages ----------------------------------------------------------------------------------------------- */

/* One character of several bytes. */
static bool is_character(const char *text, size_t size)
{
    return (unsigned char)*text >= 0xc0 && ((unsigned char)text[1] & 0xc0) == 0x80 && gr_utf8_valid(text, size) &&
           (size == 2 || !gr_utf8_valid(text, size - 1)) && (size < 4 || !gr_utf8_valid(text, size - 2));
}

const char *gr_printable(const char *text, size_t size, char *buffer, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0, length; i < size && n + 1 < cap; i += length) {
        unsigned char c = (unsigned char)text[i];
        for (length = size - i < 4 ? size - i : 4; length > 1 && !is_character(text + i, length);)
            length--;
        if (length >= cap - n)
            break;
        bool stays = length > 1 || (c >= 0x20 && c < 0x7f);
        memcpy(buffer + n, stays ? text + i : "?", length);
        n += length;
    }
    buffer[n] = 0;
    return buffer;
}

/* Written from its end to its beginning. */
typedef struct path_text {
    char text[400];
    size_t at;
    bool is_cut;
} path_text;

/* Puts ".key" or "[3]" before what is there. Of a path that is too long the end is kept: that is where to look. */
static void path_push(path_text *p, const char *key, size_t index)
{
    char shown[80], part[sizeof shown + 2];
    if (key)
        gr_printable(key, strlen(key), shown, sizeof shown);
    int n = key ? snprintf(part, sizeof part, ".%s", shown) : snprintf(part, sizeof part, "[%zu]", index);
    p->is_cut = p->is_cut || n < 0 || (size_t)n > p->at;
    if (p->is_cut)
        return;
    p->at -= (size_t)n;
    memcpy(p->text + p->at, part, (size_t)n);
}

static bool is_list(const gr_json_node *node)
{
    return node && (node->type == GR_JSON_ARRAY || node->type == GR_JSON_OBJECT);
}

/* The way from `at` to a container, searched only when a message needs it. Containers are never shared, so the first
 * one found is the one meant; depth is bounded by GR_JSON_DEPTH. */
static bool path_find(const gr_json_node *at, const gr_json_node *target, path_text *p)
{
    if (at == target)
        return true;
    for (uint32_t i = 0; is_list(at) && i < at->as.list.n; i++) {
        const gr_json_node *child = at->as.list.items[i];
        if (is_list(child) && path_find(child, target, p)) {
            path_push(p, child->key, i);
            return true;
        }
    }
    return false;
}

gr_status gr_json_fail(gr_json at, const char *fmt, ...)
{
    gr_json_doc *doc = at.doc;
    if (!doc || doc->status != GR_OK)
        return doc ? doc->status : gr_error_status();
    va_list args;
    va_start(args, fmt);
    gr_fail_list(GR_ERR_FILE, fmt, args);
    va_end(args);

    path_text path = {.at = sizeof path.text - 1};
    if (at.parent)
        path_push(&path, at.key, at.index);
    bool found = at.parent && path_find(doc->root, at.parent, &path);
    const char *text = path.text + path.at;
    doc->status = found ? gr_fail_in("%s: key \"%s%s\"", doc->name, path.is_cut ? ".." : "", text + (*text == '.'))
                        : gr_fail_in("%s: top level", doc->name);
    gr_error_keep(&doc->error);
    return doc->status;
}

gr_status gr_json_check(const gr_json_doc *doc)
{
    if (doc->status != GR_OK)
        gr_error_put_back(&doc->error);
    return doc->status;
}

gr_status gr_json_unique(gr_json_doc *doc)
{
    if (doc->status != GR_OK || !doc->twice)
        return gr_json_check(doc);
    const gr_json at = {.doc = doc, .parent = (void *)doc->twice, .key = doc->twice_key};
    return gr_json_fail(at, "the key is there twice");
}

/* ---- documents ---------------------------------------------------------------------------------------------- */

/* An empty document; NULL: no memory. */
static gr_json_doc *make_doc(const char *name, size_t chunk_size)
{
    gr_json_doc *doc = gr_alloc_zero(1, sizeof *doc);
    if (!doc || !(doc->name = gr_strdup(name))) {
        gr_free(doc);
        return NULL;
    }
    doc->chunk_size = chunk_size;
    return doc;
}

gr_json_doc *gr_json_parse(const char *name, const char *text, size_t size)
{
    if (size > GR_JSON_LIMIT) {
        gr_fail(GR_ERR_FILE, "%s: %zu bytes of JSON, more than the limit of %zu\ncheck that this is the right file",
                name, size, GR_JSON_LIMIT);
        return NULL;
    }
    gr_json_doc *doc = make_doc(name, size < 1024 ? 1024 : size < (1 << 18) ? 2 * size : 1 << 19);
    if (doc && (doc->root = gr_json_parse_into(doc, text, size)))
        return doc;
    if (gr_error_status() == GR_ERR_MEMORY)
        gr_fail_in("%s", name);
    gr_json_free(doc);
    return NULL;
}

gr_json_doc *gr_json_read(const char *path, size_t limit)
{
    size_t size;
    char *text = gr_file_read(path, limit < GR_JSON_LIMIT ? limit : GR_JSON_LIMIT, &size);
    gr_json_doc *doc = text ? gr_json_parse(path, text, size) : NULL;
    gr_free(text);
    return doc;
}

gr_json_doc *gr_json_new(const char *name)
{
    gr_json_doc *doc = make_doc(name, 1024);
    if (doc && (doc->root = gr_json_node_new(doc, GR_JSON_OBJECT)))
        return doc;
    gr_json_free(doc);
    return NULL;
}

void gr_json_free(gr_json_doc *doc)
{
    if (!doc)
        return;
    for (gr_json_chunk *c = doc->chunks; c;) {
        gr_json_chunk *next = c->next;
        gr_free(c);
        c = next;
    }
    gr_free(doc->name);
    gr_free(doc);
}

gr_json gr_json_root(gr_json_doc *doc)
{
    return (gr_json){.doc = doc, .value = doc ? doc->root : NULL};
}

/* ---- looking ------------------------------------------------------------------------------------------------ */

gr_json_type gr_json_type_of(gr_json v)
{
    return v.value ? (gr_json_type)v.value->type : GR_JSON_ABSENT;
}

bool gr_json_is(gr_json v)
{
    return v.value && v.value->type != GR_JSON_NULL;
}

gr_json gr_json_get(gr_json object, const char *key)
{
    gr_json at = {object.doc, NULL, object.value, key, 0};
    bool found = false;
    if (gr_json_type_of(object) == GR_JSON_OBJECT) {
        uint32_t place = gr_json_place(object.value, key, strlen(key), &found);
        if (found)
            at.value = object.value->as.list.items[object.value->as.list.order[place]];
    }
    return at;
}

gr_json gr_json_item(gr_json array, size_t i)
{
    bool is = gr_json_type_of(array) == GR_JSON_ARRAY && i < array.value->as.list.n;
    return (gr_json){array.doc, is ? array.value->as.list.items[i] : NULL, array.value, NULL, i};
}

size_t gr_json_size(gr_json v)
{
    return is_list(v.value) ? v.value->as.list.n : 0;
}

/* Fills in key and value from the position. */
static void iter_load(gr_json_iter *it)
{
    const gr_json_node *object = it->object.value;
    bool is = object && object->type == GR_JSON_OBJECT && it->at < object->as.list.n;
    gr_json_node *item = is ? object->as.list.items[it->at] : NULL;
    it->key = item ? item->key : NULL;
    it->key_size = item ? item->key_size : 0;
    it->value = (gr_json){it->object.doc, item, it->object.value, it->key, 0};
}

gr_json_iter gr_json_first(gr_json object)
{
    gr_json_iter it = {.object = object};
    iter_load(&it);
    return it;
}

void gr_json_next(gr_json_iter *it)
{
    it->at++;
    iter_load(it);
}

bool gr_json_named(const gr_json_iter *it, const char *key)
{
    return it->key && it->key_size == strlen(key) && memcmp(it->key, key, it->key_size) == 0;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static const char *type_name(gr_json v)
{
    static const char *const names[] = {"nothing",  "null",     "a boolean", "an integer",
                                        "a number", "a string", "an array",  "an object"};
    return names[gr_json_type_of(v)];
}

static void fail_type(gr_json v, const char *expected)
{
    if (v.value)
        gr_json_fail(v, "expected %s, found %s", expected, type_name(v));
    else
        gr_json_fail(v, "missing, expected %s", expected);
}

int64_t gr_json_as_int(gr_json v, int64_t min, int64_t max)
{
    int64_t x;
    const double exact = 9007199254740992.0; /* 2^53: up to here an f64 holds every integer */
    if (gr_json_type_of(v) == GR_JSON_INT) {
        x = v.value->as.i;
    } else if (gr_json_type_of(v) == GR_JSON_REAL && fabs(v.value->as.r) <= exact &&
               v.value->as.r == floor(v.value->as.r)) {
        x = (int64_t)v.value->as.r;
    } else if (gr_json_type_of(v) == GR_JSON_REAL) {
        gr_json_fail(v, "expected an integer, found %.17g", v.value->as.r);
        return min;
    } else {
        fail_type(v, "an integer");
        return min;
    }
    if (x >= min && x <= max)
        return x;
    if (max == INT64_MAX)
        gr_json_fail(v, "expected an integer of at least %lld, found %lld", (long long)min, (long long)x);
    else
        gr_json_fail(v, "expected an integer from %lld to %lld, found %lld", (long long)min, (long long)max,
                     (long long)x);
    return min;
}

double gr_json_as_real(gr_json v, double min, double max)
{
    gr_json_type type = gr_json_type_of(v);
    if (type != GR_JSON_INT && type != GR_JSON_REAL) {
        fail_type(v, "a number");
        return min;
    }
    double x = type == GR_JSON_INT ? (double)v.value->as.i : v.value->as.r;
    if (x >= min && x <= max)
        return x;
    gr_json_fail(v, "expected a number from %g to %g, found %g", min, max, x);
    return min;
}

bool gr_json_as_bool(gr_json v)
{
    if (gr_json_type_of(v) != GR_JSON_BOOL)
        fail_type(v, "true or false");
    return gr_json_type_of(v) == GR_JSON_BOOL && v.value->truth;
}

const char *gr_json_as_text(gr_json v, size_t *size)
{
    bool is_text = gr_json_type_of(v) == GR_JSON_TEXT;
    const char *text = is_text ? v.value->as.text.bytes : NULL;
    size_t length = is_text ? v.value->as.text.size : 0;
    if (!text)
        fail_type(v, "a string");
    else if (v.value->is_bytes)
        gr_json_fail(v, "half of a surrogate pair, which is no text");
    else if (!size && memchr(text, 0, length))
        gr_json_fail(v, "a NUL character inside the string");
    else {
        if (size)
            *size = length;
        return text;
    }
    if (size)
        *size = 0;
    return "";
}

const char *gr_json_as_path(gr_json v)
{
    if (gr_json_type_of(v) != GR_JSON_TEXT || !v.value->is_bytes)
        return gr_json_as_text(v, NULL);
    if (!memchr(v.value->as.text.bytes, 0, v.value->as.text.size))
        return v.value->as.text.bytes;
    gr_json_fail(v, "a NUL character inside a path");
    return "";
}

gr_json gr_json_as_array(gr_json v)
{
    if (gr_json_type_of(v) != GR_JSON_ARRAY) {
        fail_type(v, "an array");
        v.value = NULL;
    }
    return v;
}

gr_json gr_json_as_object(gr_json v)
{
    if (gr_json_type_of(v) != GR_JSON_OBJECT) {
        fail_type(v, "an object");
        v.value = NULL;
    }
    return v;
}

int64_t gr_json_int(gr_json object, const char *key, int64_t fallback, int64_t min, int64_t max)
{
    gr_json v = gr_json_get(object, key);
    if (!gr_json_is(v))
        return fallback;
    int64_t x = gr_json_as_int(v, min, max);
    return object.doc->status == GR_OK ? x : fallback;
}

double gr_json_real(gr_json object, const char *key, double fallback, double min, double max)
{
    gr_json v = gr_json_get(object, key);
    if (!gr_json_is(v))
        return fallback;
    double x = gr_json_as_real(v, min, max);
    return object.doc->status == GR_OK ? x : fallback;
}

bool gr_json_bool(gr_json object, const char *key, bool fallback)
{
    gr_json v = gr_json_get(object, key);
    if (!gr_json_is(v))
        return fallback;
    bool x = gr_json_as_bool(v);
    return object.doc->status == GR_OK ? x : fallback;
}

const char *gr_json_text(gr_json object, const char *key, const char *fallback)
{
    gr_json v = gr_json_get(object, key);
    if (!gr_json_is(v))
        return fallback;
    const char *x = gr_json_as_text(v, NULL);
    return object.doc->status == GR_OK ? x : fallback;
}
