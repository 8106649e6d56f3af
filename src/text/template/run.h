/* A rendering as it goes on. */
#ifndef GR_TEXT_JINJA_RUN_H
#define GR_TEXT_JINJA_RUN_H

#include "text/template/node.h"

/* The variables of a call of a macro; those of the macros around it in the text are outwards. */
struct gr_jinja_frame {
    gr_jinja_frame *outer;
    gr_jinja_value *slots;
};

struct gr_jinja_run {
    const gr_jinja *jinja;
    const gr_jinja_input *input;
    gr_jinja_arena arena;
    int64_t steps, depth;    /* left */
    const gr_jinja_node *at; /* what runs, for messages */
    gr_jinja_frame *frame;
    gr_jinja_dict variables;
    gr_jinja_builder *out; /* where text goes: `root`, or what a macro or block makes */
    gr_jinja_builder root;
    gr_jinja_output *result;
};

/* conversation.c: the input becomes variables. */
bool gr_jinja_read_input(gr_jinja_run *r);

/* run.c. Where a variable lies. */
gr_jinja_value *gr_jinja_slot(gr_jinja_run *r, gr_node_slot at);
/* Calls a macro: its text. */
bool gr_jinja_call_macro(gr_jinja_run *r, const gr_jinja_macro *macro, const gr_jinja_args *args, gr_jinja_value *out);

/* evaluate.c */
bool gr_jinja_evaluate(gr_jinja_run *r, const gr_jinja_node *n, gr_jinja_value *out);
bool gr_jinja_arguments(gr_jinja_run *r, const gr_jinja_node *n, gr_jinja_args *out);
bool gr_jinja_call_value(gr_jinja_run *r, const gr_jinja_value *callee, const gr_jinja_args *args, gr_jinja_value *out);
/* Runs a filter node on a value. */
bool gr_jinja_filter_value(gr_jinja_run *r, const gr_jinja_node *n, const gr_jinja_value *subject, gr_jinja_value *out);

/* operators.c */
bool gr_jinja_binary(gr_jinja_run *r, gr_node_op op, const gr_jinja_value *a, const gr_jinja_value *b,
                     gr_jinja_value *out);
bool gr_jinja_unary(gr_jinja_run *r, gr_node_op op, const gr_jinja_value *a, gr_jinja_value *out);
bool gr_jinja_compare(gr_jinja_run *r, gr_node_op op, const gr_jinja_value *a, const gr_jinja_value *b, bool *is);

/* attributes.c: x.name, x[key], x[a:b:c] (missing parts are NULL). */
bool gr_jinja_attribute(gr_jinja_run *r, const gr_jinja_value *of, const gr_jinja_text *name, gr_jinja_value *out);
bool gr_jinja_item(gr_jinja_run *r, const gr_jinja_value *of, const gr_jinja_value *key, gr_jinja_value *out);
bool gr_jinja_slice(gr_jinja_run *r, const gr_jinja_value *of, const gr_jinja_value *const part[3],
                    gr_jinja_value *out);

/* methods.c: NULL: see *lack. */
typedef enum gr_jinja_lack {
    GR_LACK_NONE,        /* Python has nothing of that name either */
    GR_LACK_HIDDEN,      /* it would change the value: Jinja's sandbox hides it */
    GR_LACK_UNSUPPORTED, /* Python has it */
} gr_jinja_lack;
const gr_jinja_function *gr_jinja_method_named(const gr_jinja_value *of, const gr_jinja_text *name,
                                               gr_jinja_lack *lack);
bool gr_jinja_call_method(gr_jinja_run *r, const gr_jinja_method *m, const gr_jinja_args *args, gr_jinja_value *out);

/* spell.c: what Python's str, repr and json.dumps write. */
bool gr_jinja_add_str(gr_jinja_run *r, gr_jinja_builder *b, const gr_jinja_value *v);
bool gr_jinja_add_repr(gr_jinja_run *r, gr_jinja_builder *b, const gr_jinja_value *v);
bool gr_jinja_str(gr_jinja_run *r, const gr_jinja_value *v, gr_jinja_value *out);
typedef struct gr_json_style {
    bool ascii, sorted, indented;
    const gr_jinja_text *indent;     /* of a level */
    const gr_jinja_text *item, *key; /* what stands behind an item and a key */
} gr_json_style;
bool gr_jinja_add_json(gr_jinja_run *r, gr_jinja_builder *b, const gr_jinja_value *v, const gr_json_style *style,
                       int level);

/* text.c: what Python's str can do, with masks. */
bool gr_text_is_space(uint32_t c);
/* Where the character of a number begins; number <= points. */
size_t gr_text_offset(const gr_jinja_text *t, size_t number);
bool gr_text_strip(gr_jinja_run *r, const gr_jinja_text *t, const gr_jinja_text *set, bool left, bool right,
                   gr_jinja_value *out);
/* max: cuts, -1: all. from_right: as rsplit. separator NULL: white space. */
bool gr_text_split(gr_jinja_run *r, const gr_jinja_text *t, const gr_jinja_text *separator, int64_t max,
                   bool from_right, gr_jinja_value *out);
bool gr_text_lines(gr_jinja_run *r, const gr_jinja_text *t, bool keep_ends, gr_jinja_value *out);
bool gr_text_replace(gr_jinja_run *r, const gr_jinja_text *t, const gr_jinja_text *old, const gr_jinja_text *new,
                     int64_t max, gr_jinja_value *out);
bool gr_text_repeat(gr_jinja_run *r, const gr_jinja_text *t, int64_t times, gr_jinja_value *out);
typedef enum gr_text_case { GR_CASE_LOWER, GR_CASE_UPPER, GR_CASE_CAPITAL, GR_CASE_TITLE, GR_CASE_SWAP } gr_text_case;
bool gr_text_recase(gr_jinja_run *r, const gr_jinja_text *t, gr_text_case how, gr_jinja_value *out);
/* Where `what` first stands at or behind `from`, last if `last`; SIZE_MAX: nowhere. In bytes. */
size_t gr_text_find(const gr_jinja_text *t, const gr_jinja_text *what, size_t from, bool last);
/* "%s" and so on. */
bool gr_text_percent(gr_jinja_run *r, const gr_jinja_text *t, const gr_jinja_value *values, gr_jinja_value *out);
/* str.format. */
bool gr_text_format(gr_jinja_run *r, const gr_jinja_text *t, const gr_jinja_args *args, gr_jinja_value *out);
/* & < > ' " as HTML writes them. */
bool gr_text_escape(gr_jinja_run *r, const gr_jinja_value *v, gr_jinja_value *out);

/* What functions ask of their arguments: the i-th, or the one of that name (NULL: by place only); NULL: not given. */
const gr_jinja_value *gr_jinja_argument(const gr_jinja_args *args, size_t i, const char *name);
/* Whether there are at most so many, and none named but these (separated by spaces). */
bool gr_jinja_check_arguments(gr_jinja_run *r, const char *function, const gr_jinja_args *args, size_t least,
                              size_t most, const char *names);
/* An integer argument; *i stays where it is not given. */
bool gr_jinja_int_argument(gr_jinja_run *r, const char *function, const gr_jinja_value *v, int64_t *i);
bool gr_jinja_text_argument(gr_jinja_run *r, const char *function, const gr_jinja_value *v, const gr_jinja_text **text);

#endif
