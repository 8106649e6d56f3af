/* How records of training data lie in a text, told by names and beginnings. */
#ifndef GR_FORMAT_RECORDS_H
#define GR_FORMAT_RECORDS_H

#include "base/error.h"

/* How records lie in a text. */
typedef enum gr_records {
    GR_RECORDS_NONE,  /* it is text */
    GR_RECORDS_LINES, /* an object a line: a .jsonl file */
    GR_RECORDS_ARRAY, /* an array of objects */
} gr_records;
/* The first record must have a key of training data (text, prompt, completion, messages); a broken first line that begins
 * with one counts, too: it must not pass for text. Leaves no error. */
gr_records gr_records_of(const char *text, size_t size);
/* Does the name say that it holds an object a line? ".jsonl" and ".ndjson", in any case. */
bool gr_is_jsonl_name(const char *path);
/* Does the name say that it holds a table of values? ".csv" and ".tsv", in any case. */
bool gr_is_table_name(const char *path);
/* Is it other JSON: an object or an array, by its first line or all of it? Leaves no error. */
bool gr_looks_like_json(const char *text, size_t size);

/* The objects of an array, one by one. */
typedef struct gr_array_reader {
    const char *name, *text;
    size_t size, at; /* at 0: before the array */
    int64_t record;  /* of the newest: 1, 2, … */
} gr_array_reader;
/* The next object's text, not yet known to be JSON; *item NULL: there is no more. */
gr_status gr_array_next(gr_array_reader *r, const char **item, size_t *length);

#endif
