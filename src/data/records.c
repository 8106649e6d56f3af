/* Records in a text: an object a line, or an array of objects. */
#include "data/records.h"

#include "base/content.h"
#include "base/json.h"
#include "base/mem.h"

#include <string.h>
#include <strings.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static size_t skip_space(const char *text, size_t size, size_t at)
{
    while (at < size && is_space(text[at]))
        at++;
    return at;
}

static bool ends_in(const char *path, const char *const *ends, size_t count)
{
    size_t n = strlen(path);
    for (size_t i = 0; i < count; i++) {
        size_t m = strlen(ends[i]);
        if (n >= m && strcasecmp(path + n - m, ends[i]) == 0)
            return true;
    }
    return false;
}

bool gr_is_jsonl_name(const char *path)
{
    static const char *const ends[] = {".jsonl", ".ndjson"};
    return ends_in(path, ends, sizeof ends / sizeof *ends);
}

bool gr_is_table_name(const char *path)
{
    static const char *const ends[] = {".csv", ".tsv"};
    return ends_in(path, ends, sizeof ends / sizeof *ends);
}

/* ---- one object --------------------------------------------------------------------------------------------- */

static const char *const keys[] = {"text", "prompt", "completion", "messages", "conversations"};
enum { N_KEYS = sizeof keys / sizeof *keys };

/* {"text": and so on, whatever follows. */
static bool begins_with_key(const char *object, size_t size)
{
    size_t at = skip_space(object, size, 1);
    for (size_t i = 0; i < N_KEYS; i++) {
        size_t n = strlen(keys[i]);
        if (size - at > n + 2 && object[at] == '"' && memcmp(object + at + 1, keys[i], n) == 0 &&
            object[at + n + 1] == '"')
            return true;
    }
    return false;
}

static gr_status is_record(const char *object, size_t size, bool *yes)
{
    enum { MOST = 64 << 20 };
    *yes = begins_with_key(object, size);
    if (*yes || size > MOST)
        return GR_OK;
    gr_json_doc *doc = gr_json_parse("the first", object, size);
    if (!doc && gr_error_status() == GR_ERR_MEMORY)
        return GR_ERR_MEMORY;
    for (size_t i = 0; doc && i < N_KEYS; i++)
        *yes = *yes || gr_json_type_of(gr_json_get(gr_json_root(doc), keys[i])) != GR_JSON_ABSENT;
    gr_json_free(doc);
    gr_error_clear();
    return GR_OK;
}

/* Where the object that begins at `at` ends, behind its last bracket; 0 when it does not end. */
static size_t end_of_object(const char *text, size_t size, size_t at)
{
    size_t depth = 0;
    bool quoted = false;
    for (; at < size; at++) {
        char c = text[at];
        if (quoted && c == '\\')
            at++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '['))
            depth++;
        else if (!quoted && (c == '}' || c == ']') && --depth == 0)
            return at + 1;
    }
    return 0;
}

/* ---- a text ------------------------------------------------------------------------------------------------- */

/* The first object of a text, if it begins with one or with an array of them: where, and where its record ends (0: not
 * here). */
static bool first_object(const char *text, size_t size, bool *is_array, size_t *at, size_t *end)
{
    *at = skip_space(text, size, gr_byte_order_mark(text, size));
    *is_array = *at < size && text[*at] == '[';
    if (*is_array)
        *at = skip_space(text, size, *at + 1);
    if (*at >= size || text[*at] != '{')
        return false;
    const char *newline = *is_array ? NULL : memchr(text + *at, '\n', size - *at);
    *end = *is_array ? end_of_object(text, size, *at) : newline ? (size_t)(newline - text) : 0;
    return true;
}

bool gr_records_need_more(const char *text, size_t size)
{
    size_t at, end;
    bool is_array;
    return first_object(text, size, &is_array, &at, &end) && end == 0;
}

gr_status gr_records_of(const char *text, size_t size, gr_records *out)
{
    size_t at, end;
    bool is_array, is_one = false;
    gr_status s = GR_OK;
    if (first_object(text, size, &is_array, &at, &end))
        s = is_record(text + at, (end ? end : size) - at, &is_one);
    *out = !is_one ? GR_RECORDS_NONE : is_array ? GR_RECORDS_ARRAY : GR_RECORDS_LINES;
    return s;
}

bool gr_looks_like_json(const char *text, size_t size, bool whole)
{
    enum { MOST = 16 << 20 };
    size_t at = skip_space(text, size, gr_byte_order_mark(text, size));
    if (at >= size || (text[at] != '{' && text[at] != '['))
        return false;
    const char *newline = memchr(text + at, '\n', size - at);
    size_t n = newline ? (size_t)(newline - text) - at : size - at;
    gr_json_doc *doc = text[at] == '{' && n > 2 && n <= MOST ? gr_json_parse("the first line", text + at, n) : NULL;
    if (!doc && whole && size - at > 2 && size - at <= MOST)
        doc = gr_json_parse("the text", text + at, size - at);
    gr_json_free(doc);
    gr_error_clear();
    return doc != NULL;
}

/* ---- cutting ------------------------------------------------------------------------------------------------ */

static gr_status add_record(gr_record_reader *r, const char *text, size_t size, int64_t line)
{
    gr_status s = gr_grow(&r->list, &r->cap, r->n + 1, sizeof *r->list);
    if (s == GR_OK)
        r->list[r->n++] = (gr_record){text, size, line};
    return s;
}

static bool is_blank(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
            return false;
    return true;
}

static gr_status cut_lines(gr_record_reader *r, const char *text, size_t size, bool end, size_t *used)
{
    gr_status s = GR_OK;
    while (s == GR_OK && *used < size) {
        const char *line = text + *used, *newline = memchr(line, '\n', size - *used);
        if (!newline && !end)
            break;
        size_t n = newline ? (size_t)(newline - line) : size - *used;
        r->count++;
        if (!is_blank(line, n))
            s = add_record(r, line, n, r->count);
        *used += n + (newline != NULL);
    }
    return s;
}

static gr_status fail_in_array(const gr_record_reader *r, const char *expected)
{
    return gr_fail(GR_ERR_FILE, "%.400s: behind record %lld: expected %s\ncheck that the file is whole JSON", r->name,
                   (long long)r->count, expected);
}

/* The next object, with the bracket or comma before it. *used stays where that is not all here. */
static gr_status cut_object(gr_record_reader *r, const char *text, size_t size, bool end, size_t *used, bool *more)
{
    size_t at = skip_space(text, size, *used), next = skip_space(text, size, at + 1);
    char c = at < size ? text[at] : '\0', expected = r->began ? ',' : '[';
    *more = false;
    if (at < size ? c == expected && next >= size && !end : !end)
        return GR_OK;
    if (c != expected && (!r->began || c != ']'))
        return fail_in_array(r, r->began ? "a comma or ]" : "[");
    bool is_empty = !r->began && next < size && text[next] == ']';
    if (c == ']' || is_empty) {
        r->ended = true;
        *used = (is_empty ? next : at) + 1;
        return GR_OK;
    }
    if (next >= size || text[next] != '{')
        return fail_in_array(r, "an object");
    size_t stop = end_of_object(text, size, next);
    if (stop == 0 && !end)
        return GR_OK;
    r->began = *more = true;
    *used = stop ? stop : size;
    r->count++;
    return add_record(r, text + next, *used - next, -r->count);
}

gr_status gr_records_cut(gr_record_reader *r, const char *text, size_t size, bool end, size_t *used)
{
    *used = 0;
    r->n = 0;
    if (!r->started && size < 3 && !end) /* of a byte order mark */
        return GR_OK;
    if (!r->started)
        *used = gr_byte_order_mark(text, size);
    r->started = true;
    if (!r->is_array)
        return cut_lines(r, text, size, end, used);
    gr_status s = GR_OK;
    for (bool more = true; s == GR_OK && more && !r->ended;)
        s = cut_object(r, text, size, end, used, &more);
    if (s != GR_OK || !r->ended)
        return s;
    *used = skip_space(text, size, *used);
    return *used == size ? GR_OK : fail_in_array(r, "the end of the file");
}
