/* What a template computes with: Python's values as far as templates need them, each with the knowledge whether it came
 * from messages, tools or documents ("untrusted"); strings know it of every byte. Values live in the arena of a rendering
 * and go with it; none of them changes once it is made, but for namespaces and iterators. */
#ifndef GR_TEXT_JINJA_VALUE_H
#define GR_TEXT_JINJA_VALUE_H

#include "base/buffer.h"

typedef enum gr_value_type {
    GR_VALUE_MISSING, /* what a variable has before it is set */
    GR_VALUE_UNDEFINED,
    GR_VALUE_NONE,
    GR_VALUE_BOOL,
    GR_VALUE_INT,
    GR_VALUE_REAL,
    GR_VALUE_TEXT,
    GR_VALUE_LIST,
    GR_VALUE_TUPLE,
    GR_VALUE_DICT,
    GR_VALUE_VIEW, /* keys(), values(), items() of a dict */
    GR_VALUE_RANGE,
    GR_VALUE_ITERATOR, /* what Python's generators are: read once */
    GR_VALUE_NAMESPACE,
    GR_VALUE_MACRO,
    GR_VALUE_METHOD, /* of a value: x.split */
    GR_VALUE_GLOBAL, /* range, namespace, ... */
    GR_VALUE_LOOP,
} gr_value_type;

typedef struct gr_jinja_value gr_jinja_value;
typedef struct gr_jinja_run gr_jinja_run;
typedef struct gr_jinja_node gr_jinja_node;
typedef struct gr_jinja_frame gr_jinja_frame;

/* Valid UTF-8. */
typedef struct gr_jinja_text {
    const char *bytes;
    const unsigned char *mask; /* [size] 1: untrusted; NULL: every byte is what `untrusted` says */
    size_t size;
    size_t points; /* characters, as Python counts them */
    bool untrusted;
} gr_jinja_text;

typedef struct gr_jinja_list {
    const gr_jinja_value *items;
    size_t n;
    size_t at; /* of an iterator: how many were read */
} gr_jinja_list;

typedef struct gr_jinja_pair gr_jinja_pair;
typedef struct gr_jinja_dict {
    gr_jinja_pair *pairs; /* in the order in which they were put */
    size_t n, cap;
} gr_jinja_dict;

typedef enum gr_jinja_view_kind { GR_VIEW_KEYS, GR_VIEW_VALUES, GR_VIEW_ITEMS } gr_jinja_view_kind;
typedef struct gr_jinja_view {
    const gr_jinja_dict *dict;
    gr_jinja_view_kind kind;
} gr_jinja_view;

typedef struct gr_jinja_range {
    int64_t start, stop, step;
} gr_jinja_range;

typedef struct gr_jinja_macro {
    const gr_jinja_node *node; /* GR_NODE_MACRO, CALL_BLOCK or GENERATION */
    gr_jinja_frame *outer;
} gr_jinja_macro;

/* The arguments of a call. */
typedef struct gr_jinja_args {
    const gr_jinja_value *items;
    size_t n;
    const gr_jinja_pair *named; /* keys are texts */
    size_t n_named;
} gr_jinja_args;
typedef bool (*gr_jinja_call)(gr_jinja_run *r, const gr_jinja_value *self, const gr_jinja_args *args,
                              gr_jinja_value *out);

typedef struct gr_jinja_function {
    const char *name;
    gr_jinja_call call;
} gr_jinja_function;
typedef struct gr_jinja_method gr_jinja_method;

typedef struct gr_jinja_loop {
    const gr_jinja_value *items;
    size_t n, at;
    gr_jinja_value *seen; /* what loop.changed was last called with; NULL: never */
    size_t depth;
} gr_jinja_loop;

struct gr_jinja_value {
    uint8_t type;
    bool untrusted; /* of all types but texts, which know it themselves */
    bool markup;    /* a text that `safe` made: + escapes what it meets */
    union {
        const gr_jinja_node *node; /* UNDEFINED: what was undefined, for messages; may be NULL */
        bool truth;
        int64_t i;
        double r;
        const gr_jinja_text *text;
        gr_jinja_list *list; /* LIST, TUPLE, ITERATOR */
        gr_jinja_dict *dict; /* DICT, NAMESPACE */
        const gr_jinja_view *view;
        const gr_jinja_range *range;
        const gr_jinja_macro *macro;
        const gr_jinja_method *method;
        const gr_jinja_function *global;
        gr_jinja_loop *loop;
    } as;
};

struct gr_jinja_pair {
    gr_jinja_value key, value;
};

struct gr_jinja_method {
    gr_jinja_value self;
    const gr_jinja_function *function;
};

/* ---- making them; NULL or false: gr_error() is set ---------------------------------------------------------- */

/* Memory of the rendering, zeroed; charged to its limit. */
void *gr_jinja_take(gr_jinja_run *r, size_t count, size_t size);
/* Fails with line and column of the node that runs. */
bool gr_jinja_fail(gr_jinja_run *r, const char *fmt, ...) GR_PRINTF(2, 3);
/* The same for what Jinja can do and this cannot. */
bool gr_jinja_unsupported(gr_jinja_run *r, const char *fmt, ...) GR_PRINTF(2, 3);
/* Of what is nested past the limit of the rendering. */
bool gr_jinja_fail_deep(gr_jinja_run *r);
/* Takes from the rendering's steps. */
bool gr_jinja_charge(gr_jinja_run *r, size_t steps);

gr_jinja_value gr_jinja_none(void);
gr_jinja_value gr_jinja_bool(bool truth);
gr_jinja_value gr_jinja_int(int64_t i);
gr_jinja_value gr_jinja_real(double x);
gr_jinja_value gr_jinja_undefined(const gr_jinja_node *node);
/* A trusted text; the bytes must last and are counted. */
bool gr_jinja_literal(gr_jinja_run *r, const char *bytes, size_t size, gr_jinja_value *out);
bool gr_jinja_string(gr_jinja_run *r, const char *z, gr_jinja_value *out);
/* A part of a text; shares its bytes. */
bool gr_jinja_part(gr_jinja_run *r, const gr_jinja_text *of, size_t from, size_t size, gr_jinja_value *out);
bool gr_jinja_list_of(gr_jinja_run *r, gr_value_type type, const gr_jinja_value *items, size_t n, gr_jinja_value *out);
bool gr_jinja_new_dict(gr_jinja_run *r, gr_value_type type, size_t room, gr_jinja_value *out);
/* Puts a key that may be there already; fails for keys that Python cannot hash. */
bool gr_jinja_put(gr_jinja_run *r, gr_jinja_dict *d, const gr_jinja_value *key, const gr_jinja_value *value);
/* *found NULL: not there. */
bool gr_jinja_find(gr_jinja_run *r, const gr_jinja_dict *d, const gr_jinja_value *key, const gr_jinja_value **found);
const gr_jinja_value *gr_jinja_find_name(const gr_jinja_dict *d, const char *key, size_t size);

/* Growable array of values in the rendering's memory. */
typedef struct gr_jinja_values {
    gr_jinja_value *items;
    size_t n, cap;
} gr_jinja_values;
bool gr_jinja_push(gr_jinja_run *r, gr_jinja_values *values, const gr_jinja_value *value);

/* ---- texts as they are built -------------------------------------------------------------------------------- */

typedef struct gr_jinja_builder {
    char *bytes;
    unsigned char *mask;
    size_t size, cap;
    size_t untrusted; /* bytes that are */
} gr_jinja_builder;

bool gr_jinja_add_bytes(gr_jinja_run *r, gr_jinja_builder *b, const char *bytes, size_t size, bool untrusted);
bool gr_jinja_add_text(gr_jinja_run *r, gr_jinja_builder *b, const gr_jinja_text *text);
bool gr_jinja_add_part(gr_jinja_run *r, gr_jinja_builder *b, const gr_jinja_text *text, size_t from, size_t size);
bool gr_jinja_built(gr_jinja_run *r, const gr_jinja_builder *b, gr_jinja_value *out);

/* ---- looking at them ---------------------------------------------------------------------------------------- */

/* "str", "list": Python's names, for messages. */
const char *gr_jinja_type_name(const gr_jinja_value *v);
bool gr_jinja_truth(const gr_jinja_value *v);
static inline bool gr_jinja_is_number(const gr_jinja_value *v)
{
    return v->type == GR_VALUE_BOOL || v->type == GR_VALUE_INT || v->type == GR_VALUE_REAL;
}
/* Of BOOL and INT. */
static inline int64_t gr_jinja_whole(const gr_jinja_value *v)
{
    return v->type == GR_VALUE_BOOL ? v->as.truth : v->as.i;
}
double gr_jinja_as_real(const gr_jinja_value *v);
bool gr_jinja_is_untrusted(const gr_jinja_value *v);
bool gr_jinja_same_text(const gr_jinja_text *a, const gr_jinja_text *b);
bool gr_jinja_text_is(const gr_jinja_text *text, const char *z);
size_t gr_jinja_range_size(const gr_jinja_range *range);
/* What Python's == says. */
bool gr_jinja_equal(gr_jinja_run *r, const gr_jinja_value *a, const gr_jinja_value *b, bool *equal);
/* < 0, 0, > 0; fails for what Python does not put in order. `sign` is the operator, for the message. */
bool gr_jinja_order(gr_jinja_run *r, const gr_jinja_value *a, const gr_jinja_value *b, const char *sign, int *order);
bool gr_jinja_contains(gr_jinja_run *r, const gr_jinja_value *in, const gr_jinja_value *what, bool *is);
/* len(v); *has false: it has none. */
size_t gr_jinja_length(const gr_jinja_value *v, bool *has);
bool gr_jinja_can_iterate(const gr_jinja_value *v);
/* What a for loop would see; an iterator is empty afterwards. */
bool gr_jinja_items(gr_jinja_run *r, const gr_jinja_value *v, const gr_jinja_value **items, size_t *n);

#endif
