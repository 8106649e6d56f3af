/* JSON: config.json, tokenizer.json, run.json, safetensors headers. A document with everything in it; json_pull.h reads
 * straight from a text.
 *
 *     gr_json_doc *doc = gr_json_read("config.json", GR_JSON_LIMIT);
 *     int64_t heads = gr_json_int(gr_json_root(doc), "n_head", 12, 1, 1 << 16);
 *     float eps = gr_json_real(gr_json_root(doc), "layer_norm_epsilon", 1e-5, 0, 1);
 *     if (gr_json_check(doc) != GR_OK) ...        "config.json: key "n_head": expected an integer, found a string"
 *
 * A document remembers its first failure, so a reader is straight lines and is checked once; what fails yields its
 * fallback. Strings and values live as long as their document.
 */
#ifndef GR_BASE_JSON_H
#define GR_BASE_JSON_H

#include "base/buffer.h"
#include "base/error.h"

#define GR_JSON_LIMIT ((size_t)100 * 1000 * 1000) /* bytes of a document, as Hugging Face limits safetensors headers */
#define GR_JSON_DEPTH 128                         /* nested arrays and objects */

typedef struct gr_json_doc gr_json_doc;

/* One value and where it stands, for messages. Passed by value; nothing to free. */
typedef struct gr_json {
    gr_json_doc *doc;
    struct gr_json_node *value, *parent; /* value NULL: not there */
    const char *key;                     /* in an object; else NULL and `index` counts */
    size_t index;
} gr_json;

typedef enum gr_json_type {
    GR_JSON_ABSENT,
    GR_JSON_NULL,
    GR_JSON_BOOL,
    GR_JSON_INT,
    GR_JSON_REAL,
    GR_JSON_TEXT,
    GR_JSON_ARRAY,
    GR_JSON_OBJECT,
} gr_json_type;

/* ---- documents ---------------------------------------------------------------------------------------------- */

/* Reads a file of at most `limit` bytes. NULL: gr_error() names file, line and column. As in Python's json NaN,
 * Infinity and -Infinity are numbers, and of a key that stands twice in an object the last value counts. Bytes that are not
 * UTF-8, half surrogate pairs, and nesting past GR_JSON_DEPTH are refused. */
gr_json_doc *gr_json_read(const char *path, size_t limit);
/* The same from memory; `name` is what errors call it. */
gr_json_doc *gr_json_parse(const char *name, const char *text, size_t size);
/* An empty object to fill. */
gr_json_doc *gr_json_new(const char *name);
void gr_json_free(gr_json_doc *doc); /* NULL is fine */
gr_json gr_json_root(gr_json_doc *doc);
/* GR_OK, or the document's first failure, its message set again as gr_error(). */
gr_status gr_json_check(const gr_json_doc *doc);
/* For formats that allow no key twice in one object: the document's failure if there is one. */
gr_status gr_json_unique(gr_json_doc *doc);
/* For readers' own checks: records "file: key "a.b": message". */
gr_status gr_json_fail(gr_json at, const char *fmt, ...) GR_PRINTF(2, 3);

/* ---- looking; none of these fails --------------------------------------------------------------------------- */

gr_json_type gr_json_type_of(gr_json v);
bool gr_json_is(gr_json v); /* there, and not null */
gr_json gr_json_get(gr_json object, const char *key);
gr_json gr_json_item(gr_json array, size_t i);
size_t gr_json_size(gr_json v); /* of an array or object; else 0 */

/* for (gr_json_iter it = gr_json_first(object); it.key; gr_json_next(&it)) ...   in the order of the file */
typedef struct gr_json_iter {
    gr_json object, value;
    const char *key; /* NULL at the end */
    size_t key_size; /* a NUL may stand inside */
    size_t at;
} gr_json_iter;
gr_json_iter gr_json_first(gr_json object);
void gr_json_next(gr_json_iter *it);
bool gr_json_named(const gr_json_iter *it, const char *key);

/* ---- reading: a wrong type is the document's failure; `fallback` where the key is absent or null ------------ */

int64_t gr_json_int(gr_json object, const char *key, int64_t fallback, int64_t min, int64_t max);
double gr_json_real(gr_json object, const char *key, double fallback, double min, double max);
bool gr_json_bool(gr_json object, const char *key, bool fallback);
const char *gr_json_text(gr_json object, const char *key, const char *fallback); /* without NUL inside */

/* The same of a value that must be there: gr_json_as_int(gr_json_get(o, "step"), 0, INT64_MAX). A failure yields min, 0,
 * false or "". as_text gives the length and allows NUL inside when size is not NULL. as_array and as_object check. */
int64_t gr_json_as_int(gr_json v, int64_t min, int64_t max);
double gr_json_as_real(gr_json v, double min, double max);
bool gr_json_as_bool(gr_json v);
const char *gr_json_as_text(gr_json v, size_t *size);
const char *gr_json_as_path(gr_json v); /* what gr_json_put_path put */
gr_json gr_json_as_array(gr_json v);
gr_json gr_json_as_object(gr_json v);

/* ---- building: key NULL appends to an array; a key already there is replaced -------------------------------- */

gr_json gr_json_put_object(gr_json into, const char *key);
gr_json gr_json_put_array(gr_json into, const char *key);
void gr_json_put_null(gr_json into, const char *key);
void gr_json_put_bool(gr_json into, const char *key, bool x);
void gr_json_put_int(gr_json into, const char *key, int64_t x);
void gr_json_put_real(gr_json into, const char *key, double x); /* NaN and infinity are failures */
/* The shortest decimal that reads back as the same f32; NaN and infinity become null. */
void gr_json_put_f32(gr_json into, const char *key, float x);
void gr_json_put_text(gr_json into, const char *key, const char *text);
/* A path may be any bytes. Those that are not UTF-8 are written as "\udc80" to "\udcff", as Python's os.fsdecode (PEP 383)
 * gives them to json. */
void gr_json_put_path(gr_json into, const char *key, const char *path);
void gr_json_put_bytes(gr_json into, const char *key, const char *text, size_t size); /* NUL may stand inside */
void gr_json_put_copy(gr_json into, const char *key, gr_json value);

/* ---- writing: numbers read back as the same numbers, keys stand in the order they were put ------------------ */

/* One line, or indented by two spaces with a newline at the end; NUL-terminated, caller frees with gr_free. Fails
 * with the document's first failure. */
char *gr_json_format(const gr_json_doc *doc, bool pretty, size_t *size);
/* What doc says, indented, takes the place of *text; both are freed. On failure *text stays. doc NULL: the error there is. */
gr_status gr_json_renew(gr_json_doc *doc, char **text);
gr_status gr_json_write(const gr_json_doc *doc, const char *path); /* indented, atomic and durable */

/* Appends "text" in quotes, escaped: for texts put together by hand, where a document would only be built to be printed. */
gr_status gr_json_add_text(gr_bytes *out, const char *text, size_t size);

/* Text from a file, or a path, made fit for a message: control characters and what is no UTF-8 as '?', cut to less than cap bytes between two
 * characters. Returns buffer. */
const char *gr_printable(const char *text, size_t size, char *buffer, size_t cap);

#endif
