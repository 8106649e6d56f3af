/* A template's text as tokens, blanks and comments gone: what trim_blocks, lstrip_blocks and the signs - and + in tags take
 * away is no longer there. */
#ifndef GR_TEXT_JINJA_LEXER_H
#define GR_TEXT_JINJA_LEXER_H

#include "text/template/node.h"

typedef enum gr_token_type {
    GR_T_END, /* of the template */
    GR_T_DATA,
    GR_T_PRINT,     /* {{ */
    GR_T_PRINT_END, /* }} */
    GR_T_BLOCK,     /* {% */
    GR_T_BLOCK_END, /* %} */
    GR_T_NAME,
    GR_T_TEXT,
    GR_T_INT,
    GR_T_REAL,
    GR_T_SIGN, /* + - == and so on, brackets, dots */
} gr_token_type;

typedef struct gr_jinja_token {
    gr_token_type type;
    uint32_t line, column;
    const char *bytes; /* as it is written; of TEXT and DATA what it says */
    size_t size;
    int64_t i;
    double r;
} gr_jinja_token;

typedef struct gr_jinja_tokens {
    gr_jinja_token *at;
    size_t n, cap;
} gr_jinja_tokens;

/* Appends the tokens, an END last; freed by the caller with gr_free, also after a failure. Texts live as long as j. */
gr_status gr_jinja_lex(gr_jinja *j, const char *text, size_t size, gr_jinja_tokens *out);

#endif
