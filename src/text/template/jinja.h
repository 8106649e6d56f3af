/* Chat templates: the Jinja that models use, as transformers' environment runs it. A template is compiled once, and then
 * rendered with a conversation to a text and a mask that says which of its bytes came from messages, tools and
 * documents. What is not supported is an error that names line and column; docs/chat.md says what is.
 *
 * Reading order: value.h (what a template computes with) · node.h (what it is) · lexer.c, parser.c, parse_expression.c
 * (text to nodes) · scope.c (names to slots) · run.c, evaluate.c (running it) · operators.c, attributes.c, methods.c,
 * filters.c, tests.c, globals.c (what it can call) · text.c, spell.c (strings, with their masks) · conversation.c (JSON
 * to values). */
#ifndef GR_TEXT_JINJA_H
#define GR_TEXT_JINJA_H

#include "base/json.h"

typedef struct gr_jinja gr_jinja;

/* NULL: gr_error() says "name: line 3, column 14: ...". The text is copied. */
gr_jinja *gr_jinja_compile(const char *name, const char *text, size_t size);
void gr_jinja_free(gr_jinja *jinja); /* NULL is fine */
/* Whether it has a generation block. */
bool gr_jinja_has_generation(const gr_jinja *jinja);

/* What one rendering may use. */
typedef struct gr_jinja_limits {
    int64_t steps;     /* nodes run, and parts of long strings and lists looked at */
    int64_t depth;     /* of nodes inside of nodes that are run, macros included */
    size_t memory;     /* bytes of all values it makes, those no longer needed included */
    size_t text_bytes; /* of the result */
} gr_jinja_limits;
extern const gr_jinja_limits gr_jinja_default_limits;

typedef struct gr_jinja_input {
    gr_json conversation; /* an object: messages, tools, documents, add_generation_prompt; other keys are variables */
    gr_json
        variables[2]; /* objects, absent ones are fine; a key of the conversation wins over these, of [1] over [0] */
    bool has_now;
    int64_t now; /* local time, in seconds since 1970 began there: for strftime_now; without has_now the machine's */
    gr_jinja_limits limits;
} gr_jinja_input;

/* A span of the text. */
typedef struct gr_jinja_span {
    size_t from, to;
} gr_jinja_span;

typedef struct gr_jinja_output {
    gr_bytes text, mask;      /* mask: a byte for every byte of text, 1: it came from messages, tools, documents */
    gr_jinja_span *generated; /* what generation blocks made */
    size_t n_generated, generated_cap;
} gr_jinja_output;

/* out is empty before; freed by the caller, also after a failure. */
gr_status gr_jinja_render(const gr_jinja *jinja, const gr_jinja_input *input, gr_jinja_output *out);
void gr_jinja_output_free(gr_jinja_output *out);

#endif
