/* What a template is: nodes, made by the parser, and completed by scope.c, which gives every name its slot. */
#ifndef GR_TEXT_JINJA_NODE_H
#define GR_TEXT_JINJA_NODE_H

#include "text/template/jinja.h"
#include "text/template/value.h"

/* What stands behind each: which of its fields it uses. args: list (positional), more (KEYWORD), b (*args), c (**args). */
typedef enum gr_node_kind {
    GR_NODE_CONST,        /* value */
    GR_NODE_NAME,         /* text, at */
    GR_NODE_ATTRIBUTE_OF, /* text, at: a namespace; value: the attribute that is set */
    GR_NODE_LIST,         /* list */
    GR_NODE_TUPLE,        /* list */
    GR_NODE_DICT,         /* list: key, value, key, value */
    GR_NODE_GETATTR,      /* a . text */
    GR_NODE_GETITEM,      /* a [ b ] */
    GR_NODE_SLICE,        /* a : b : c, each may be NULL */
    GR_NODE_CALL,         /* a ( args ) */
    GR_NODE_FILTER,       /* a | text ( args ); a is NULL where a block is what is filtered */
    GR_NODE_TEST,         /* a is text ( args ) */
    GR_NODE_KEYWORD,      /* text = a */
    GR_NODE_CHOICE,       /* b if a else c; c may be NULL */
    GR_NODE_OR,           /* a or b */
    GR_NODE_AND,          /* a and b */
    GR_NODE_NOT,          /* not a */
    GR_NODE_COMPARE,      /* a, list of OPERAND */
    GR_NODE_OPERAND,      /* op a */
    GR_NODE_CONCAT,       /* list, with ~ between */
    GR_NODE_BINARY,       /* a op b */
    GR_NODE_UNARY,        /* op a */
    GR_NODE_DATA,         /* value: text of the template */
    GR_NODE_PRINT,        /* a */
    GR_NODE_IF,           /* a: condition, list: body, b: elif's, each an IF, more: else */
    GR_NODE_FOR,          /* a in b if c; list: body, more: else; scope, else_scope, test_scope */
    GR_NODE_SET,          /* a = b */
    GR_NODE_SET_BLOCK,    /* a: target, b: filter or NULL, list: body; scope */
    GR_NODE_MACRO,        /* text, at: its own name; list: parameters (NAME, a: default), more: body; scope, function */
    GR_NODE_CALL_BLOCK,   /* a: the call; list, more, scope, function as MACRO */
    GR_NODE_FILTER_BLOCK, /* a: filter, list: body; scope */
    GR_NODE_GENERATION,   /* more: body; scope, function */
    GR_NODE_BREAK,
    GR_NODE_CONTINUE,
} gr_node_kind;

typedef enum gr_node_op {
    GR_OP_ADD,
    GR_OP_SUB,
    GR_OP_MUL,
    GR_OP_DIV,
    GR_OP_FLOOR_DIV,
    GR_OP_MOD,
    GR_OP_POW,
    GR_OP_EQ,
    GR_OP_NE,
    GR_OP_LT,
    GR_OP_LE,
    GR_OP_GT,
    GR_OP_GE,
    GR_OP_IN,
    GR_OP_NOT_IN,
} gr_node_op;

/* A variable's place: so many functions (macros) outwards, and there the slot. */
typedef struct gr_node_slot {
    int hops, slot;
} gr_node_slot;

typedef enum gr_load_kind { GR_LOAD_PARAMETER, GR_LOAD_VARIABLE, GR_LOAD_OUTER, GR_LOAD_NOTHING } gr_load_kind;

/* What a slot begins with where a scope is entered. */
typedef struct gr_node_load {
    gr_load_kind kind;
    int slot;
    const gr_jinja_text *name; /* VARIABLE: of the rendering */
    gr_node_slot outer;        /* OUTER */
} gr_node_load;

typedef struct gr_node_scope {
    gr_node_load *loads;
    int n;
} gr_node_scope;

/* A macro's frame. Slots are -1 where its body has no such name. */
typedef struct gr_node_function {
    int slots;
    int caller, varargs, kwargs;
} gr_node_function;

struct gr_jinja_node {
    gr_node_kind kind;
    gr_node_op op;
    bool stores; /* a NAME that is set here */
    uint32_t line, column;
    gr_jinja_node *next; /* in the list that it belongs to */
    gr_jinja_node *a, *b, *c, *list, *more;
    const gr_jinja_text *text;
    gr_jinja_value value;
    gr_node_slot at;
    int loop_slot; /* FOR: of `loop`; -1: nobody asks */
    gr_node_scope *scope, *else_scope, *test_scope;
    gr_node_function *function;
    const gr_jinja_function *callee; /* FILTER, TEST: NULL: there is none of that name */
};

typedef struct gr_jinja_chunk {
    struct gr_jinja_chunk *next;
    size_t size, used;
} gr_jinja_chunk;

/* Memory that goes all at once. */
typedef struct gr_jinja_arena {
    gr_jinja_chunk *chunks;
    size_t taken, limit; /* bytes */
} gr_jinja_arena;
void *gr_jinja_arena_take(gr_jinja_arena *arena, size_t size); /* zeroed; NULL: gr_error() is set */
void gr_jinja_arena_free(gr_jinja_arena *arena);

struct gr_jinja {
    char *name;
    gr_jinja_arena arena;
    gr_jinja_node *body;
    gr_node_scope *scope;
    gr_node_function function;
    const gr_jinja_text **roles; /* what it compares with: words that may be roles */
    size_t n_roles, roles_cap;
    bool has_generation;
};

/* The callables by name; NULL: there is none. */
const gr_jinja_function *gr_jinja_filter_named(const gr_jinja_text *name);
const gr_jinja_function *gr_jinja_test_named(const gr_jinja_text *name);
const gr_jinja_function *gr_jinja_global_named(const gr_jinja_text *name);

/* scope.c: gives every name its slot. */
gr_status gr_jinja_resolve(gr_jinja *j);
/* Fails with the template's name and a place in it. */
gr_status gr_jinja_refuse(const gr_jinja *j, gr_status code, uint32_t line, uint32_t column, const char *fmt, ...)
    GR_PRINTF(5, 6);

#endif
