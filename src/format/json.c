/* JSON documents over Jansson: messages · documents · looking · reading · building · writing. The parsing is Jansson's;
 * the writing is ours, because numbers have to come out short and still read back exactly, whatever the locale. */
#include "format/json.h"

#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

/* ---- memory ----
 * A tokenizer.json is a million small blocks. While a text is parsed they are cut from chunks that go with the document;
 * single blocks, for what is built later, come from base/mem.h one by one. */

typedef struct chunk {
    struct chunk *next;
    size_t size, used; /* of the bytes behind this header */
} chunk;

/* Stands in front of every block of Jansson's. */
typedef union block {
    bool in_chunk; /* freed with its chunk, not alone */
    max_align_t align;
} block;

struct gr_json_doc {
    char *name; /* what messages call it */
    json_t *root;
    chunk *chunks;
    bool has_blocks;  /* outside of the chunks, to be given back one by one */
    gr_status status; /* the first failure, and its message */
    char error[1024];
};

/* Jansson's allocation functions know no context, so the parse that this thread is in stands here. */
static _Thread_local chunk **parsing; /* NULL: none */
static _Thread_local size_t chunk_size;

/* Jansson does not say that a failure was for want of memory. Set by its allocations, reset before its calls. */
static _Thread_local bool out_of_memory;

static void *take_from_chunk(size_t size)
{
    chunk *c = *parsing;
    if (!c || c->size - c->used < size) {
        size_t room = size > chunk_size ? size : chunk_size;
        c = gr_alloc(sizeof(block) + sizeof(chunk) + room);
        if (!c)
            return NULL;
        *c = (chunk){*parsing, room, 0};
        *parsing = c;
    }
    /* The first block stands behind the header, on the next border of max_align_t. */
    uintptr_t start = ((uintptr_t)(c + 1) + sizeof(block) - 1) / sizeof(block) * sizeof(block);
    void *p = (char *)start + c->used;
    c->used += size;
    return p;
}

static void *json_alloc(size_t size)
{
    block *b = NULL;
    if (size <= SIZE_MAX / 2) {
        size = (size + 2 * sizeof *b - 1) / sizeof *b * sizeof *b;
        b = parsing ? take_from_chunk(size) : gr_alloc(size);
    }
    out_of_memory |= !b;
    if (!b)
        return NULL;
    b->in_chunk = parsing != NULL;
    return b + 1;
}

static void json_give_back(void *p)
{
    block *b = p ? (block *)p - 1 : NULL;
    if (b && !b->in_chunk)
        gr_free(b);
}

static void free_chunks(chunk *c)
{
    while (c) {
        chunk *next = c->next;
        gr_free(c);
        c = next;
    }
}

static void route_memory(void)
{
    json_set_alloc_funcs(json_alloc, json_give_back);
}

/* Before anything of Jansson's is made; it keeps the functions in globals. */
static void jansson_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, route_memory);
}

/* ---- messages ---- */

const char *gr_printable(const char *text, size_t size, char *buffer, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < size && n + 1 < cap; i++) {
        unsigned char c = (unsigned char)text[i];
        /* Letters outside ASCII stay; a sequence cut at the buffer's end is dropped below. */
        buffer[n++] = c < 0x20 || c == 0x7f || c >= 0xf8 ? '?' : (char)c;
    }
    if (n + 1 == cap && n < size) {
        while (n && ((unsigned char)buffer[n - 1] & 0xc0) == 0x80)
            n--;
        if (n && (unsigned char)buffer[n - 1] >= 0xc0)
            n--;
    }
    buffer[n] = 0;
    return buffer;
}

typedef struct path_text {
    char text[200];
    size_t size;
} path_text;

/* Appends ".key" or "[3]"; what does not fit is left out. */
static void path_push(path_text *p, const char *key, size_t index)
{
    char shown[80];
    if (key)
        gr_printable(key, strlen(key), shown, sizeof shown);
    size_t room = sizeof p->text - p->size;
    int n = key ? snprintf(p->text + p->size, room, "%s%s", p->size ? "." : "", shown)
                : snprintf(p->text + p->size, room, "[%zu]", index);
    p->size = n < 0 ? p->size : (size_t)n < room ? p->size + (size_t)n : sizeof p->text - 1;
}

/* The way from `at` to a container, searched only when a message needs it. Containers are never shared, so the first
 * one found is the one meant; depth is bounded by GR_JSON_DEPTH. */
static bool path_find(json_t *at, const json_t *target, path_text *p)
{
    if (at == target)
        return true;
    size_t size = p->size, i;
    const char *key;
    json_t *child;
    if (json_is_object(at)) {
        json_object_foreach(at, key, child)
        {
            path_push(p, key, 0);
            if (path_find(child, target, p))
                return true;
            p->text[p->size = size] = 0;
        }
    } else if (json_is_array(at)) {
        json_array_foreach(at, i, child)
        {
            if (!json_is_object(child) && !json_is_array(child))
                continue;
            path_push(p, NULL, i);
            if (path_find(child, target, p))
                return true;
            p->text[p->size = size] = 0;
        }
    }
    return false;
}

gr_status gr_json_fail(gr_json at, const char *fmt, ...)
{
    gr_json_doc *doc = at.doc;
    if (!doc || doc->status != GR_OK)
        return doc ? doc->status : gr_error_status();
    char why[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);

    path_text path = {{0}, 0};
    if (at.parent && path_find(doc->root, at.parent, &path))
        path_push(&path, at.key, at.index);
    doc->status = path.size ? gr_fail(GR_ERR_FILE, "%s: key \"%s\": %s", doc->name, path.text, why)
                            : gr_fail(GR_ERR_FILE, "%s: top level: %s", doc->name, why);
    snprintf(doc->error, sizeof doc->error, "%s", gr_error());
    return doc->status;
}

/* Makes an allocation's failure, whose message is set, the document's. */
static void remember(gr_json_doc *doc)
{
    if (doc->status != GR_OK)
        return;
    doc->status = gr_fail_in("%s", doc->name);
    snprintf(doc->error, sizeof doc->error, "%s", gr_error());
}

gr_status gr_json_check(const gr_json_doc *doc)
{
    return doc->status == GR_OK ? GR_OK : gr_fail(doc->status, "%s", doc->error);
}

/* ---- documents ---- */

/* Line and column (from 1, in bytes) of a position. */
static void locate(const char *text, size_t position, int *line, int *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < position; i++) {
        *column = text[i] == '\n' ? 1 : *column + 1;
        *line += text[i] == '\n';
    }
}

/* Jansson's parser calls itself for every level, so depth is bounded before it starts. Brackets inside strings do not
 * count; what is not JSON at all is left for the parser to refuse. */
static gr_status check_depth(const char *name, const char *text, size_t size)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > GR_JSON_DEPTH) {
                int line, column;
                locate(text, i, &line, &column);
                return gr_fail(GR_ERR_FILE, "%s: more than %d nested arrays and objects (line %d, column %d)", name,
                               GR_JSON_DEPTH, line, column);
            }
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return GR_OK;
}

/* The parsed root, or NULL with gr_error() set. Its blocks are in *chunks either way. */
static json_t *load(const char *name, const char *text, size_t size, chunk **chunks)
{
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
    json_error_t error = {0};
    out_of_memory = false;
    parsing = chunks;
    chunk_size = size < 1024 ? 4096 : size < (1 << 18) ? 4 * size : 1 << 20;
    json_t *root = json_loadb(text, size, flags, &error);
    /* Integers past 64 bits stand in many tokenizer_config.json (10^30 for "no limit"): read numbers as f64 then. */
    if (!root && json_error_code(&error) == json_error_numeric_overflow && strstr(error.text, "integer"))
        root = json_loadb(text, size, flags | JSON_DECODE_INT_AS_REAL, &error);
    parsing = NULL;
    /* Jansson's lexer drops the bytes it has no memory for and goes on: then what it gives is not what stands there. */
    if (out_of_memory) {
        json_decref(root);
        gr_fail_in("%s", name);
        return NULL;
    }
    if (root)
        return root;
    char why[JSON_ERROR_TEXT_LENGTH];
    gr_printable(error.text, strlen(error.text), why, sizeof why);
    gr_fail(GR_ERR_FILE,
            "%s: not valid JSON: %s (line %d, column %d)\nthe file is damaged or is not JSON; fetch it again", name,
            why, error.line, error.column);
    return NULL;
}

/* An empty document; NULL: no memory. */
static gr_json_doc *make_doc(const char *name)
{
    jansson_ready();
    gr_json_doc *doc = gr_alloc_zero(1, sizeof *doc);
    if (doc && (doc->name = gr_strdup(name)))
        return doc;
    gr_free(doc);
    return NULL;
}

gr_json_doc *gr_json_parse(const char *name, const char *text, size_t size)
{
    if (size > GR_JSON_LIMIT) {
        gr_fail(GR_ERR_FILE, "%s: %zu bytes of JSON, more than the limit of %zu", name, size, GR_JSON_LIMIT);
        return NULL;
    }
    gr_json_doc *doc = check_depth(name, text, size) == GR_OK ? make_doc(name) : NULL;
    if (doc && (doc->root = load(name, text, size, &doc->chunks)))
        return doc;
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
    gr_json_doc *doc = make_doc(name);
    if (doc && (doc->root = json_object())) {
        doc->has_blocks = true;
        return doc;
    }
    gr_json_free(doc);
    return NULL;
}

void gr_json_free(gr_json_doc *doc)
{
    if (!doc)
        return;
    if (doc->has_blocks)
        json_decref(doc->root);
    free_chunks(doc->chunks);
    gr_free(doc->name);
    gr_free(doc);
}

gr_json gr_json_root(gr_json_doc *doc)
{
    return (gr_json){.doc = doc, .value = doc ? doc->root : NULL};
}

/* ---- looking ---- */

gr_json_type gr_json_type_of(gr_json v)
{
    if (!v.value)
        return GR_JSON_ABSENT;
    switch (json_typeof((json_t *)v.value)) {
    case JSON_NULL:
        return GR_JSON_NULL;
    case JSON_TRUE:
    case JSON_FALSE:
        return GR_JSON_BOOL;
    case JSON_INTEGER:
        return GR_JSON_INT;
    case JSON_REAL:
        return GR_JSON_REAL;
    case JSON_STRING:
        return GR_JSON_TEXT;
    case JSON_ARRAY:
        return GR_JSON_ARRAY;
    case JSON_OBJECT:
        return GR_JSON_OBJECT;
    }
    return GR_JSON_ABSENT;
}

bool gr_json_is(gr_json v)
{
    return v.value && !json_is_null((json_t *)v.value);
}

gr_json gr_json_get(gr_json object, const char *key)
{
    return (gr_json){object.doc, json_object_get(object.value, key), object.value, key, 0};
}

gr_json gr_json_item(gr_json array, size_t i)
{
    return (gr_json){array.doc, json_array_get(array.value, i), array.value, NULL, i};
}

size_t gr_json_size(gr_json v)
{
    return json_is_object((json_t *)v.value) ? json_object_size(v.value) : json_array_size(v.value);
}

/* Fills in key and value from the position. */
static void iter_load(gr_json_iter *it)
{
    it->key = it->at ? json_object_iter_key(it->at) : NULL;
    it->value = (gr_json){it->object.doc, it->at ? json_object_iter_value(it->at) : NULL, it->object.value, it->key, 0};
}

gr_json_iter gr_json_first(gr_json object)
{
    gr_json_iter it = {.object = object, .at = json_object_iter(object.value)};
    iter_load(&it);
    return it;
}

void gr_json_next(gr_json_iter *it)
{
    it->at = json_object_iter_next(it->object.value, it->at);
    iter_load(it);
}

/* ---- reading ---- */

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
        x = json_integer_value(v.value);
    } else if (gr_json_type_of(v) == GR_JSON_REAL && fabs(json_real_value(v.value)) <= exact &&
               json_real_value(v.value) == floor(json_real_value(v.value))) {
        x = (int64_t)json_real_value(v.value);
    } else if (gr_json_type_of(v) == GR_JSON_REAL) {
        gr_json_fail(v, "expected an integer, found %.17g", json_real_value(v.value));
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
    if (!json_is_number((json_t *)v.value)) {
        fail_type(v, "a number");
        return min;
    }
    double x = json_number_value(v.value);
    if (x >= min && x <= max)
        return x;
    gr_json_fail(v, "expected a number from %g to %g, found %g", min, max, x);
    return min;
}

bool gr_json_as_bool(gr_json v)
{
    if (gr_json_type_of(v) != GR_JSON_BOOL)
        fail_type(v, "true or false");
    return json_is_true((json_t *)v.value);
}

const char *gr_json_as_text(gr_json v, size_t *size)
{
    const char *text = json_string_value(v.value);
    size_t length = json_string_length(v.value);
    if (!text)
        fail_type(v, "a string");
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

/* ---- building ---- */

/* Takes `value` over (NULL: no memory for it). `into` is what put_object or put_array gave. */
static gr_json put(gr_json into, const char *key, json_t *value)
{
    gr_json at = {into.doc, value, into.value, key, key ? 0 : json_array_size(into.value)};
    if (!into.doc || into.doc->status != GR_OK || !into.value) {
        json_decref(value);
        at.value = NULL;
        return at;
    }
    if (!value) {
        remember(into.doc);
        return at;
    }
    into.doc->has_blocks = true;
    out_of_memory = false;
    if (key ? json_object_set_new(into.value, key, value) : json_array_append_new(into.value, value)) {
        if (out_of_memory)
            remember(into.doc);
        else
            gr_json_fail(at, "cannot be put here: not a place of that kind, or the key is not UTF-8");
        at.value = NULL;
    }
    return at;
}

gr_json gr_json_put_object(gr_json into, const char *key)
{
    return put(into, key, json_object());
}

gr_json gr_json_put_array(gr_json into, const char *key)
{
    return put(into, key, json_array());
}

void gr_json_put_null(gr_json into, const char *key)
{
    put(into, key, json_null());
}

void gr_json_put_bool(gr_json into, const char *key, bool x)
{
    put(into, key, json_boolean(x));
}

void gr_json_put_int(gr_json into, const char *key, int64_t x)
{
    put(into, key, json_integer(x));
}

void gr_json_put_real(gr_json into, const char *key, double x)
{
    if (isfinite(x))
        put(into, key, json_real(x));
    else
        gr_json_fail((gr_json){into.doc, NULL, into.value, key, 0}, "JSON has no number for %g", x);
}

void gr_json_put_f32(gr_json into, const char *key, float x)
{
    if (!isfinite(x)) {
        put(into, key, json_null());
        return;
    }
    /* Stored as the f64 nearest to the short decimal, whose own shortest decimal is that same one. */
    char text[40];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x)
            break;
    }
    put(into, key, json_real(strtod(text, NULL)));
}

void gr_json_put_text(gr_json into, const char *key, const char *text)
{
    out_of_memory = false;
    json_t *value = json_string(text);
    if (!value && !out_of_memory)
        gr_json_fail((gr_json){into.doc, NULL, into.value, key, 0}, "the text is not UTF-8");
    else
        put(into, key, value);
}

void gr_json_put_copy(gr_json into, const char *key, gr_json value)
{
    if (value.value)
        put(into, key, json_deep_copy(value.value));
    else
        gr_json_fail((gr_json){into.doc, NULL, into.value, key, 0}, "there is nothing to copy");
}

/* ---- writing ---- */

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

static gr_status emit_text(output *o, const char *text, size_t n)
{
    if (emit(o, "\"", 1) != GR_OK)
        return GR_ERR_MEMORY;
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
    return emit(o, "\"", 1);
}

/* The shortest of 15 to 17 digits that reads back as x. */
static gr_status emit_real(output *o, double x)
{
    char text[48], clean[48];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    /* printf writes the locale's decimal point, which may be several bytes. */
    size_t n = 0;
    bool is_real = false;
    for (const char *c = text; *c && n + 3 < sizeof clean; c++) {
        if (strchr("+-0123456789e", *c)) {
            clean[n++] = *c;
            is_real |= *c == 'e';
        } else if (!is_real) {
            clean[n++] = '.';
            is_real = true;
        }
    }
    if (!is_real) { /* 1.0 stays a number with a point, so that its type reads back too */
        clean[n++] = '.';
        clean[n++] = '0';
    }
    return emit(o, clean, n);
}

static gr_status emit_break(output *o, int depth)
{
    static const char spaces[] = "\n                                                                ";
    int n = 1 + 2 * depth < (int)sizeof spaces ? 1 + 2 * depth : (int)sizeof spaces - 1;
    return o->pretty ? emit(o, spaces, (size_t)n) : GR_OK;
}

static gr_status emit_value(output *o, json_t *v, int depth);

/* The comma and the line break before an item; the break alone before a closing bracket. */
static gr_status emit_gap(output *o, bool comma, int depth)
{
    if (comma && emit(o, ",", 1) != GR_OK)
        return GR_ERR_MEMORY;
    if (comma && !o->pretty)
        return emit(o, " ", 1);
    return emit_break(o, depth);
}

static gr_status emit_object(output *o, json_t *v, int depth)
{
    const char *key;
    json_t *child;
    bool any = false;
    gr_status s = emit(o, "{", 1);
    json_object_foreach(v, key, child)
    {
        if (s == GR_OK)
            s = emit_gap(o, any, depth + 1);
        if (s == GR_OK)
            s = emit_text(o, key, strlen(key));
        if (s == GR_OK)
            s = emit(o, ": ", 2);
        if (s == GR_OK)
            s = emit_value(o, child, depth + 1);
        any = true;
    }
    if (s == GR_OK && any)
        s = emit_break(o, depth);
    return s == GR_OK ? emit(o, "}", 1) : s;
}

/* Numbers and short words read better on one line: only arrays that hold arrays or objects are broken up. */
static gr_status emit_array(output *o, json_t *v, int depth)
{
    size_t i;
    json_t *child;
    bool nested = false, was = o->pretty;
    json_array_foreach(v, i, child) nested |= json_is_array(child) || json_is_object(child);
    gr_status s = emit(o, "[", 1);
    o->pretty = was && nested;
    json_array_foreach(v, i, child)
    {
        if (s == GR_OK)
            s = emit_gap(o, i > 0, depth + 1);
        if (s == GR_OK)
            s = emit_value(o, child, depth + 1);
    }
    if (s == GR_OK && i > 0)
        s = emit_break(o, depth);
    o->pretty = was;
    return s == GR_OK ? emit(o, "]", 1) : s;
}

static gr_status emit_value(output *o, json_t *v, int depth)
{
    char number[32];
    if (depth > GR_JSON_DEPTH)
        return gr_fail(GR_ERR_ARGUMENT, "more than %d nested arrays and objects", GR_JSON_DEPTH);
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return emit_object(o, v, depth);
    case JSON_ARRAY:
        return emit_array(o, v, depth);
    case JSON_STRING:
        return emit_text(o, json_string_value(v), json_string_length(v));
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
        return emit(o, number, strlen(number));
    case JSON_REAL:
        return emit_real(o, json_real_value(v));
    case JSON_TRUE:
        return emit(o, "true", 4);
    case JSON_FALSE:
        return emit(o, "false", 5);
    case JSON_NULL:
        return emit(o, "null", 4);
    }
    return GR_OK;
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

gr_status gr_json_write(const gr_json_doc *doc, const char *path)
{
    size_t size;
    char *text = gr_json_format(doc, true, &size);
    gr_status s = text ? gr_file_write(path, text, size) : gr_error_status();
    gr_free(text);
    return s;
}
