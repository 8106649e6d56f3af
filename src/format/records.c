/* Records in a text: an object a line, or an array of objects. */
#include "base/content.h"
#include "base/json.h"
#include "format/records.h"

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

static const char *const keys[] = {"text", "prompt", "completion", "messages"};
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

static bool is_record(const char *object, size_t size)
{
    enum { MOST = 64 << 20 };
    bool known = begins_with_key(object, size);
    gr_json_doc *doc = known || size > MOST ? NULL : gr_json_parse("the first", object, size);
    for (size_t i = 0; doc && i < N_KEYS; i++)
        known = known || gr_json_type_of(gr_json_get(gr_json_root(doc), keys[i])) != GR_JSON_ABSENT;
    gr_json_free(doc);
    gr_error_clear();
    return known;
}

/* Where the object that begins at `at` ends, behind its last bracket; `size` when it does not. */
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
    return size;
}

/* ---- a text ------------------------------------------------------------------------------------------------- */

gr_records gr_records_of(const char *text, size_t size)
{
    size_t at = skip_space(text, size, gr_byte_order_mark(text, size));
    bool is_array = at < size && text[at] == '[';
    if (is_array)
        at = skip_space(text, size, at + 1);
    if (at >= size || text[at] != '{')
        return GR_RECORDS_NONE;
    const char *newline = memchr(text + at, '\n', size - at);
    size_t end = newline ? (size_t)(newline - text) : size;
    if (is_array)
        return is_record(text + at, end_of_object(text, size, at) - at) ? GR_RECORDS_ARRAY : GR_RECORDS_NONE;
    return is_record(text + at, end - at) ? GR_RECORDS_LINES : GR_RECORDS_NONE;
}

bool gr_looks_like_json(const char *text, size_t size)
{
    enum { MOST = 16 << 20 };
    size_t at = skip_space(text, size, gr_byte_order_mark(text, size));
    if (at >= size || (text[at] != '{' && text[at] != '['))
        return false;
    const char *newline = memchr(text + at, '\n', size - at);
    size_t n = newline ? (size_t)(newline - text) - at : size - at;
    gr_json_doc *doc = text[at] == '{' && n > 2 && n <= MOST ? gr_json_parse("the first line", text + at, n) : NULL;
    if (!doc && size - at > 2 && size - at <= MOST)
        doc = gr_json_parse("the text", text + at, size - at);
    gr_json_free(doc);
    gr_error_clear();
    return doc != NULL;
}

/* ---- an array ----------------------------------------------------------------------------------------------- */

static gr_status fail_in_array(const gr_array_reader *r, const char *expected)
{
    return gr_fail(GR_ERR_FILE, "%.400s: behind record %lld: expected %s\ncheck that the file is whole JSON", r->name,
                   (long long)r->record, expected);
}

gr_status gr_array_next(gr_array_reader *r, const char **item, size_t *length)
{
    *item = NULL;
    bool first = r->at == 0;
    size_t at = skip_space(r->text, r->size, first ? gr_byte_order_mark(r->text, r->size) : r->at);
    char c = at < r->size ? r->text[at] : '\0';
    if (c != (first ? '[' : ',') && (first || c != ']'))
        return fail_in_array(r, first ? "[" : "a comma or ]");
    size_t next = skip_space(r->text, r->size, at + 1);
    bool is_empty = first && next < r->size && r->text[next] == ']';
    if (c == ']' || is_empty) {
        r->at = is_empty ? next : at;
        return skip_space(r->text, r->size, r->at + 1) == r->size ? GR_OK : fail_in_array(r, "the end of the file");
    }
    if (next == r->size || r->text[next] != '{')
        return fail_in_array(r, "an object");
    *item = r->text + next;
    r->at = end_of_object(r->text, r->size, next);
    *length = r->at - next;
    r->record++;
    return GR_OK;
}
