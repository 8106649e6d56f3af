/* Statements. */
#include "text/template/parser.h"

#include <stdarg.h>
#include <stdio.h>

typedef gr_jinja_node node;
typedef gr_jinja_parser parser;

/* ---- tokens and nodes --------------------------------------------------------------------------------------- */

node *gr_parse_new(parser *p, gr_node_kind kind)
{
    node *n = gr_jinja_arena_take(&p->jinja->arena, sizeof *n);
    if (n) {
        n->kind = kind;
        n->line = p->at->line;
        n->column = p->at->column;
        n->loop_slot = -1;
    }
    return n;
}

void gr_parse_append(gr_node_list *list, node *n)
{
    *list->end = n;
    list->end = &n->next;
}

const gr_jinja_text *gr_parse_keep(parser *p, const char *bytes, size_t size)
{
    gr_jinja_text *text = gr_jinja_arena_take(&p->jinja->arena, sizeof *text);
    if (!text)
        return NULL;
    *text = (gr_jinja_text){.bytes = bytes, .size = size};
    for (size_t i = 0; i < size; i++)
        text->points += ((unsigned char)bytes[i] & 0xC0) != 0x80;
    return text;
}

node *gr_parse_refuse(parser *p, const char *what)
{
    gr_jinja_refuse(p->jinja, GR_ERR_FILE, p->at->line, p->at->column, "%s", what);
    return NULL;
}

node *gr_parse_expected(parser *p, const char *what)
{
    char shown[64];
    static const char *const ends[] = {[GR_T_END] = "the end of the template",
                                       [GR_T_DATA] = "text",
                                       [GR_T_PRINT_END] = "the end of the expression",
                                       [GR_T_BLOCK_END] = "the end of the block"};
    const gr_jinja_token *t = p->at;
    gr_printable(t->bytes, t->size, shown, sizeof shown);
    if (t->type < sizeof ends / sizeof *ends && ends[t->type])
        gr_jinja_refuse(p->jinja, GR_ERR_FILE, t->line, t->column, "expected %s, found %s", what, ends[t->type]);
    else
        gr_jinja_refuse(p->jinja, GR_ERR_FILE, t->line, t->column, "expected %s, found '%s'", what, shown);
    return NULL;
}

static bool token_is(const gr_jinja_token *t, gr_token_type type, const char *z)
{
    return t->type == type && t->size == strlen(z) && memcmp(t->bytes, z, t->size) == 0;
}

bool gr_parse_sees_sign(const parser *p, const char *sign)
{
    return token_is(p->at, GR_T_SIGN, sign);
}

bool gr_parse_sees_name(const parser *p, const char *name)
{
    return token_is(p->at, GR_T_NAME, name);
}

bool gr_parse_sign(parser *p, const char *sign)
{
    bool is = gr_parse_sees_sign(p, sign);
    p->at += is;
    return is;
}

bool gr_parse_name(parser *p, const char *name)
{
    bool is = gr_parse_sees_name(p, name);
    p->at += is;
    return is;
}

bool gr_parse_need(parser *p, const char *sign)
{
    char what[8];
    if (gr_parse_sign(p, sign))
        return true;
    snprintf(what, sizeof what, "'%s'", sign);
    gr_parse_expected(p, what);
    return false;
}

bool gr_parse_enter(parser *p)
{
    return ++p->depth <= GR_JINJA_NESTING || gr_parse_refuse(p, "nested too deeply");
}

static bool need_name(parser *p, const char *name)
{
    char what[24];
    if (gr_parse_name(p, name))
        return true;
    snprintf(what, sizeof what, "'%s'", name);
    gr_parse_expected(p, what);
    return false;
}

static bool need_block_end(parser *p)
{
    if (p->at->type != GR_T_BLOCK_END)
        return gr_parse_expected(p, "the end of the block");
    p->at++;
    return true;
}

/* ---- bodies ------------------------------------------------------------------------------------------------- */

static node *parse_statement(parser *p);

/* Whether one of the names in `ends` ("endif else elif") is at hand. */
static bool sees_end(const parser *p, const char *ends)
{
    if (p->at->type != GR_T_NAME)
        return false;
    for (const char *word = ends; *word;) {
        size_t n = strcspn(word, " ");
        if (p->at->size == n && memcmp(p->at->bytes, word, n) == 0)
            return true;
        word += n + (word[n] == ' ');
    }
    return false;
}

static node *parse_data(parser *p)
{
    node *n = gr_parse_new(p, GR_NODE_DATA);
    if (!n)
        return NULL;
    n->value.type = GR_VALUE_TEXT;
    n->value.as.text = gr_parse_keep(p, p->at->bytes, p->at->size);
    p->at++;
    return n->value.as.text ? n : NULL;
}

static node *parse_print(parser *p)
{
    node *n = gr_parse_new(p, GR_NODE_PRINT);
    p->at++;
    if (!n || !(n->a = gr_parse_tuple(p, true)))
        return NULL;
    if (p->at->type != GR_T_PRINT_END)
        return gr_parse_expected(p, "the end of the expression");
    p->at++;
    return n;
}

/* Text and statements up to a block that begins with one of `ends`, whose name is then the current token; ends "": the end
 * of the template. */
static bool parse_body(parser *p, const char *ends, node **out)
{
    gr_node_list list = {NULL, out};
    const gr_jinja_token *start = p->at;
    while (p->at->type != GR_T_END) {
        node *n;
        if (p->at->type == GR_T_DATA) {
            n = parse_data(p);
        } else if (p->at->type == GR_T_PRINT) {
            n = parse_print(p);
        } else {
            p->at++;
            if (sees_end(p, ends))
                return true;
            n = parse_statement(p);
            if (n && !need_block_end(p))
                return false;
        }
        if (!n)
            return false;
        gr_parse_append(&list, n);
    }
    if (!*ends)
        return true;
    gr_jinja_refuse(p->jinja, GR_ERR_FILE, start->line, start->column,
                    "the block that begins here has no end: expected one of '%s'", ends);
    return false;
}

/* A body behind the head of its block. */
static bool parse_statements(parser *p, const char *ends, node **out)
{
    gr_parse_sign(p, ":");
    return need_block_end(p) && parse_body(p, ends, out);
}

/* ---- blocks ------------------------------------------------------------------------------------------------- */

static node *parse_if(parser *p)
{
    node *first = gr_parse_new(p, GR_NODE_IF), *n = first;
    bool soft = p->soft;
    p->soft = true;
    gr_node_list others = {NULL, first ? &first->b : NULL};
    p->at++;
    while (n) {
        if (!(n->a = gr_parse_tuple(p, false)) || !parse_statements(p, "elif else endif", &n->list))
            return NULL;
        if (!gr_parse_sees_name(p, "elif"))
            break;
        p->at++;
        if ((n = gr_parse_new(p, GR_NODE_IF)))
            gr_parse_append(&others, n);
    }
    if (!n || (gr_parse_name(p, "else") && !parse_statements(p, "endif", &first->more)))
        return NULL;
    p->soft = soft;
    return need_name(p, "endif") ? first : NULL;
}

static node *parse_for(parser *p)
{
    node *n = gr_parse_new(p, GR_NODE_FOR);
    bool soft = p->soft;
    p->at++;
    p->for_targets++;
    if (!n || !(n->a = gr_parse_target(p, false)) || !need_name(p, "in") || !(n->b = gr_parse_tuple(p, false)))
        return NULL;
    p->soft = false;
    if (gr_parse_name(p, "if") && !(n->c = gr_parse_expression(p, true)))
        return NULL;
    if (gr_parse_sees_name(p, "recursive"))
        return gr_parse_refuse(p, "recursive loops are not supported");
    p->loops++;
    if (!parse_statements(p, "endfor else", &n->list))
        return NULL;
    p->loops--;
    if (gr_parse_name(p, "else") && !parse_statements(p, "endfor", &n->more))
        return NULL;
    p->for_targets--;
    p->soft = soft;
    return need_name(p, "endfor") ? n : NULL;
}

static node *parse_set(parser *p)
{
    node *n = gr_parse_new(p, GR_NODE_SET);
    p->at++;
    if (!n || !(n->a = gr_parse_target(p, true)))
        return NULL;
    if (gr_parse_sign(p, "="))
        return (n->b = gr_parse_tuple(p, true)) ? n : NULL;
    n->kind = GR_NODE_SET_BLOCK;
    if (gr_parse_sees_sign(p, "|")) {
        p->at++;
        if (!(n->b = gr_parse_filters(p, NULL, true)))
            return NULL;
    }
    return parse_statements(p, "endset", &n->list) && need_name(p, "endset") ? n : NULL;
}

/* "(a, b=1)" */
static bool parse_parameters(parser *p, node *of)
{
    gr_node_list list = {NULL, &of->list};
    bool has_default = false;
    if (!gr_parse_need(p, "("))
        return false;
    while (!gr_parse_sign(p, ")")) {
        if (of->list && !gr_parse_need(p, ","))
            return false;
        if (p->at->type != GR_T_NAME)
            return gr_parse_expected(p, "a parameter's name");
        node *n = gr_parse_new(p, GR_NODE_NAME);
        if (!n || !(n->text = gr_parse_keep(p, p->at->bytes, p->at->size)))
            return false;
        for (const node *other = of->list; other; other = other->next)
            if (gr_jinja_same_text(other->text, n->text))
                return gr_parse_refuse(p, "a parameter of that name is already there");
        p->at++;
        n->stores = true;
        if (gr_parse_sign(p, "=")) {
            has_default = true;
            if (!(n->a = gr_parse_expression(p, true)))
                return false;
        } else if (has_default) {
            return gr_parse_refuse(p, "a parameter without a default behind one with a default");
        }
        gr_parse_append(&list, n);
    }
    return true;
}

/* What is a function of its own: loops around it are not its loops. */
static node *parse_function_body(parser *p, node *n, const char *end)
{
    int loops = p->loops;
    bool soft = p->soft;
    p->loops = 0;
    p->soft = false;
    bool read = parse_statements(p, end, &n->more) && need_name(p, end);
    p->loops = loops;
    p->soft = soft;
    return read ? n : NULL;
}

static node *parse_macro(parser *p)
{
    node *n = gr_parse_new(p, GR_NODE_MACRO);
    p->at++;
    if (p->at->type != GR_T_NAME)
        return gr_parse_expected(p, "the macro's name");
    if (!n || !(n->text = gr_parse_keep(p, p->at->bytes, p->at->size)))
        return NULL;
    p->at++;
    return parse_parameters(p, n) ? parse_function_body(p, n, "endmacro") : NULL;
}

static node *parse_call_block(parser *p)
{
    node *n = gr_parse_new(p, GR_NODE_CALL_BLOCK);
    p->at++;
    if (!n || (gr_parse_sees_sign(p, "(") && !parse_parameters(p, n)))
        return NULL;
    if (!(n->a = gr_parse_expression(p, true)))
        return NULL;
    if (n->a->kind != GR_NODE_CALL)
        return gr_parse_expected(p, "the call of a macro");
    return parse_function_body(p, n, "endcall");
}

static node *parse_filter_block(parser *p)
{
    node *n = gr_parse_new(p, GR_NODE_FILTER_BLOCK);
    bool soft = p->soft;
    p->at++;
    p->soft = false;
    if (!n || !(n->a = gr_parse_filters(p, NULL, true)) || !parse_statements(p, "endfilter", &n->list))
        return NULL;
    p->soft = soft;
    return need_name(p, "endfilter") ? n : NULL;
}

static node *parse_generation(parser *p)
{
    node *n = gr_parse_new(p, GR_NODE_GENERATION);
    p->at++;
    p->jinja->has_generation = true;
    return n ? parse_function_body(p, n, "endgeneration") : NULL;
}

static node *parse_jump(parser *p, gr_node_kind kind)
{
    node *n = gr_parse_new(p, kind);
    if (!p->loops)
        return gr_parse_refuse(p, "outside of a loop");
    p->at++;
    return n;
}

static node *parse_break(parser *p)
{
    return parse_jump(p, GR_NODE_BREAK);
}

static node *parse_continue(parser *p)
{
    return parse_jump(p, GR_NODE_CONTINUE);
}

static node *parse_statement(parser *p)
{
    static const struct {
        const char *name;
        node *(*parse)(parser *p);
    } statements[] = {
        {"if", parse_if},
        {"for", parse_for},
        {"set", parse_set},
        {"macro", parse_macro},
        {"call", parse_call_block},
        {"filter", parse_filter_block},
        {"generation", parse_generation},
        {"break", parse_break},
        {"continue", parse_continue},
    };
    char shown[48];
    if (p->at->type != GR_T_NAME)
        return gr_parse_expected(p, "a statement");
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (!gr_parse_sees_name(p, statements[i].name))
            continue;
        node *n = gr_parse_enter(p) ? statements[i].parse(p) : NULL;
        p->depth--;
        return n;
    }
    gr_printable(p->at->bytes, p->at->size, shown, sizeof shown);
    gr_jinja_refuse(p->jinja, GR_ERR_UNSUPPORTED, p->at->line, p->at->column, "the statement '%s' is not supported",
                    shown);
    return NULL;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

gr_status gr_jinja_refuse(const gr_jinja *j, gr_status code, uint32_t line, uint32_t column, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    gr_fail_list(code, fmt, args);
    va_end(args);
    return gr_fail_in("%s: line %u, column %u", j->name, (unsigned)line, (unsigned)column);
}

gr_jinja *gr_jinja_compile(const char *name, const char *text, size_t size)
{
    enum { most = 1 << 20 }; /* bytes; the largest that models have are of 20 kB */
    gr_jinja_tokens tokens = {0};
    gr_jinja *j = gr_alloc_zero(1, sizeof *j);
    gr_status s = j && (j->name = gr_strdup(name)) ? GR_OK : GR_ERR_MEMORY;
    if (s == GR_OK && size > most)
        s = gr_fail(GR_ERR_FILE, "%s: %zu bytes are too many for a chat template; %d is the limit", name, size, most);
    if (s == GR_OK) {
        j->arena.limit = SIZE_MAX;
        s = gr_jinja_lex(j, text, size, &tokens);
    }
    parser p = {.jinja = j, .at = tokens.at};
    if (s == GR_OK && !parse_body(&p, "", &j->body))
        s = gr_error_status();
    if (s == GR_OK)
        s = gr_jinja_resolve(j);
    gr_free(tokens.at);
    if (s == GR_OK)
        return j;
    gr_jinja_free(j);
    return NULL;
}

void gr_jinja_free(gr_jinja *j)
{
    if (!j)
        return;
    gr_jinja_arena_free(&j->arena);
    gr_free(j->roles);
    gr_free(j->name);
    gr_free(j);
}

bool gr_jinja_has_generation(const gr_jinja *j)
{
    return j->has_generation;
}
