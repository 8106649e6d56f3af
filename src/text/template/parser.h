/* Tokens to nodes: parser.c has the statements, parse_expression.c the expressions. */
#ifndef GR_TEXT_JINJA_PARSER_H
#define GR_TEXT_JINJA_PARSER_H

#include "text/template/lexer.h"

enum { GR_JINJA_NESTING = 200 }; /* nodes in nodes in the text of a template */

typedef struct gr_jinja_parser {
    gr_jinja *jinja;
    const gr_jinja_token *at; /* the current one; an END is the last */
    int depth;
    bool soft;       /* an unknown filter or test is an error when it is run, not when it is read */
    int loops;       /* around the current place, in its function */
    int for_targets; /* for loops around it, for what they do not let be set */
} gr_jinja_parser;

/* A list that grows at its end. */
typedef struct gr_node_list {
    gr_jinja_node *first, **end;
} gr_node_list;

/* NULL: gr_error() is set. The node stands where the current token does. */
gr_jinja_node *gr_parse_new(gr_jinja_parser *p, gr_node_kind kind);
void gr_parse_append(gr_node_list *list, gr_jinja_node *node);
const gr_jinja_text *gr_parse_keep(gr_jinja_parser *p, const char *bytes, size_t size);
/* NULL always: records what is wrong at the current token. */
gr_jinja_node *gr_parse_refuse(gr_jinja_parser *p, const char *what);
/* The same of what was expected there. */
gr_jinja_node *gr_parse_expected(gr_jinja_parser *p, const char *what);
bool gr_parse_sees_sign(const gr_jinja_parser *p, const char *sign);
bool gr_parse_sees_name(const gr_jinja_parser *p, const char *name);
/* Step over it if it is there. */
bool gr_parse_sign(gr_jinja_parser *p, const char *sign);
bool gr_parse_name(gr_jinja_parser *p, const char *name);
/* Step over it, or fail. */
bool gr_parse_need(gr_jinja_parser *p, const char *sign);
bool gr_parse_enter(gr_jinja_parser *p);

/* An expression; choices: "a if b else c" may be one. */
gr_jinja_node *gr_parse_expression(gr_jinja_parser *p, bool choices);
/* The same, and a tuple where commas stand; names: ended by one of "in", "recursive". */
gr_jinja_node *gr_parse_tuple(gr_jinja_parser *p, bool choices);
/* What a value is put into: a name, names, or with `attributes` a namespace's attribute. */
gr_jinja_node *gr_parse_target(gr_jinja_parser *p, bool attributes);
gr_jinja_node *gr_parse_filters(gr_jinja_parser *p, gr_jinja_node *subject, bool inline_first);

#endif
