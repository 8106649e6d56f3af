/* How records lie in a text: an object a line, or an array of objects; and cutting them out of it. */
#ifndef GR_DATA_RECORDS_H
#define GR_DATA_RECORDS_H

#include "gradus.h"

typedef enum gr_records {
    GR_RECORDS_NONE,  /* it is text */
    GR_RECORDS_LINES, /* an object a line: a .jsonl file */
    GR_RECORDS_ARRAY, /* an array of objects */
} gr_records;
/* The first record must have a key of training data (text, prompt, completion, messages, conversations); a broken first line that begins
 * with one counts, too: it must not pass for text. GR_ERR_MEMORY when that cannot be told; else leaves no error. */
gr_status gr_records_of(const char *text, size_t size, gr_records *out);
/* Is more of the text than this needed to know that: does it begin with a record that does not end here? */
bool gr_records_need_more(const char *text, size_t size);
/* Does the name say that it holds an object a line? ".jsonl" and ".ndjson", in any case. */
bool gr_is_jsonl_name(const char *path);
/* Does the name say that it holds a table of values? ".csv" and ".tsv", in any case. */
bool gr_is_table_name(const char *path);
/* Is it other JSON: an object or an array, by its first line or all of it? whole: the text is all there is. Leaves no
 * error. */
bool gr_looks_like_json(const char *text, size_t size, bool whole);

/* A record's text, not yet known to be JSON. */
typedef struct gr_record {
    const char *text;
    size_t size;
    int64_t line; /* of the file, 1 the first; -n: the n-th of an array */
} gr_record;

/* Cuts records out of a text that comes in parts. Zeroed, but for name and is_array. */
typedef struct gr_record_reader {
    const char *name;
    bool is_array;
    int64_t count;     /* lines or records so far */
    bool started;      /* its beginning has been looked at */
    bool began, ended; /* the array */
    gr_record *list;   /* [n] of the part; the owner's to free */
    size_t n, cap;
} gr_record_reader;
/* Those that are whole in text[0, size), the next part of it, become r->list; empty lines do not. end: there is no more.
 * *used bytes are done; a later part begins behind them. */
gr_status gr_records_cut(gr_record_reader *r, const char *text, size_t size, bool end, size_t *used);

#endif
