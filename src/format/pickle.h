/* Pickles (protocols 2 to 5) read as data. A pickle is a program for a small machine; this machine has the instructions
 * that build numbers, strings, lists, tuples, sets and dicts, and none that runs anything: a call becomes a value that
 * says which function was to be called with what, and only functions and classes that the caller knows are let in by
 * name. Anything else is refused by name and byte. */
#ifndef GR_FORMAT_PICKLE_H
#define GR_FORMAT_PICKLE_H

#include "gradus.h"

typedef enum gr_pickle_kind {
    GR_PICKLE_NONE,
    GR_PICKLE_BOOL,  /* integer */
    GR_PICKLE_INT,   /* integer */
    GR_PICKLE_BIG,   /* an integer beyond 64 bits */
    GR_PICKLE_REAL,  /* real */
    GR_PICKLE_TEXT,  /* text, count */
    GR_PICKLE_BYTES, /* text, count */
    GR_PICKLE_LIST,  /* first, count; so for the next three */
    GR_PICKLE_TUPLE,
    GR_PICKLE_SET,
    GR_PICKLE_DICT,       /* an OrderedDict, too */
    GR_PICKLE_GLOBAL,     /* global */
    GR_PICKLE_CALL,       /* what, arguments: a value each, a global and a tuple */
    GR_PICKLE_PERSISTENT, /* what: the persistent id */
} gr_pickle_kind;

/* A function or class that may be named. */
typedef struct gr_pickle_global {
    const char *module, *name;
    int role;        /* the caller's */
    bool can_call;   /* else naming it is all that is allowed */
    bool makes_dict; /* called without arguments it is an empty dict */
} gr_pickle_global;

typedef uint32_t gr_pickle_id; /* of a value */

typedef struct gr_pickle_value {
    gr_pickle_kind kind;
    uint32_t at; /* the byte of the instruction that made it */
    uint32_t count;
    union {
        int64_t integer;
        double real;
        const char *text; /* in the pickle, not NUL-terminated */
        const gr_pickle_global *global;
        struct {
            uint32_t first, last; /* items; 0: none */
        } items;
        struct {
            gr_pickle_id what, arguments;
        } call;
    } is;
} gr_pickle_value;

/* An item of a list, tuple or set; of a dict, with its key. A dict has what was set, in order: the last of a key counts. */
typedef struct gr_pickle_item {
    gr_pickle_id key, value;
    uint32_t next; /* 0: the last */
} gr_pickle_item;

typedef struct gr_pickle {
    const char *path; /* for errors; the caller's */
    const gr_pickle_value *values;
    const gr_pickle_item *items;
    gr_pickle_id root;
    void *machine;
} gr_pickle;

/* `knows` finds what may be named; NULL refuses. The bytes must outlive the pickle. Values may hold themselves: who
 * follows them must count. Memory is a small multiple of `size`. Close in any case. */
typedef const gr_pickle_global *(*gr_pickle_knows)(const char *module, size_t module_size, const char *name,
                                                   size_t name_size);
gr_status gr_pickle_open(gr_pickle *p, const char *path, const void *data, size_t size, gr_pickle_knows knows);
void gr_pickle_close(gr_pickle *p);

const gr_pickle_value *gr_pickle_get(const gr_pickle *p, gr_pickle_id id);
/* The first `n` items of a tuple of at least as many; false: it is no such tuple. */
bool gr_pickle_tuple(const gr_pickle *p, gr_pickle_id id, uint32_t n, const gr_pickle_value **out);
bool gr_pickle_is_text(const gr_pickle_value *v, const char *text);
const char *gr_pickle_describe(const gr_pickle_value *v); /* "a list", for messages */

#endif
