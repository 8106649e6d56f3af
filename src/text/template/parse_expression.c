/* Expressions, from the loosest binding to the tightest; the grammar is Jinja's. */
#include "text/template/parser.h"

typedef gr_jinja_node node;
typedef gr_jinja_parser parser;

static node *parse_unary(parser *p, bool filters);
static node *parse_postfix(parser *p, node *n);

/* ---- operators ---------------------------------------------------------------------------------------------- */

static node *pair(parser *p, gr_node_kind kind, node *a, node *b)
{
    node *n = a && b ? gr_parse_new(p, kind) : NULL;
    if (n) {
        n->line = a->line;
        n->column = a->column;
        n->a = a;
        n->b = b;
    }
    return n;
}

typedef struct operator_sign {
    const char *sign;
    gr_node_op op;
} operator_sign;

static const operator_sign sums[] = {{"+", GR_OP_ADD}, {"-", GR_OP_SUB}, {NULL, 0}};
static const operator_sign products[] = {
    {"*", GR_OP_MUL}, {"//", GR_OP_FLOOR_DIV}, {"/", GR_OP_DIV}, {"%", GR_OP_MOD}, {NULL, 0}};
static const operator_sign powers[] = {{"**", GR_OP_POW}, {NULL, 0}};
static const operator_sign comparisons[] = {{"==", GR_OP_EQ}, {"!=", GR_OP_NE}, {"<=", GR_OP_LE}, {"<", GR_OP_LT},
                                            {">=", GR_OP_GE}, {">", GR_OP_GT},  {NULL, 0}};

static bool take_operator(parser *p, const operator_sign *signs, gr_node_op *op, const gr_jinja_token **at)
{
    for (; signs->sign; signs++) {
        *at = p->at;
        if (!gr_parse_sign(p, signs->sign))
            continue;
        *op = signs->op;
        return true;
    }
    return false;
}

static node *parse_filtered(parser *p)
{
    return parse_unary(p, true);
}

/* Operators of one strength, grouped to the left; messages about one point at its sign. */
static node *parse_binary(parser *p, const operator_sign *signs, node *(*parse)(parser *p))
{
    node *left = parse(p);
    const gr_jinja_token *at;
    for (gr_node_op op; left && take_operator(p, signs, &op, &at);) {
        if (!(left = pair(p, GR_NODE_BINARY, left, parse(p))))
            return NULL;
        left->op = op;
        left->line = at->line;
        left->column = at->column;
    }
    return left;
}

static node *parse_power(parser *p)
{
    return parse_binary(p, powers, parse_filtered);
}

static node *parse_product(parser *p)
{
    return parse_binary(p, products, parse_power);
}

static node *parse_concat(parser *p)
{
    node *first = parse_product(p);
    if (!first || !gr_parse_sees_sign(p, "~"))
        return first;
    node *n = gr_parse_new(p, GR_NODE_CONCAT);
    if (!n)
        return NULL;
    gr_node_list list = {NULL, &n->list};
    gr_parse_append(&list, first);
    while (gr_parse_sign(p, "~")) {
        node *next = parse_product(p);
        if (!next)
            return NULL;
        gr_parse_append(&list, next);
    }
    return n;
}

static node *parse_sum(parser *p)
{
    return parse_binary(p, sums, parse_concat);
}

/* A word that the template compares something with may be a role. */
static bool note_role(parser *p, const node *n)
{
    gr_jinja *j = p->jinja;
    for (const node *item = n && (n->kind == GR_NODE_LIST || n->kind == GR_NODE_TUPLE) ? n->list : NULL; item;
         item = item->next)
        if (!note_role(p, item))
            return false;
    if (!n || n->kind != GR_NODE_CONST || n->value.type != GR_VALUE_TEXT)
        return true;
    if (gr_grow(&j->roles, &j->roles_cap, j->n_roles + 1, sizeof *j->roles) != GR_OK)
        return false;
    j->roles[j->n_roles++] = n->value.as.text;
    return true;
}

static bool take_comparison(parser *p, gr_node_op *op)
{
    const gr_jinja_token *at;
    if (take_operator(p, comparisons, op, &at))
        return true;
    *op = GR_OP_IN;
    if (gr_parse_name(p, "in"))
        return true;
    *op = GR_OP_NOT_IN;
    if (!gr_parse_sees_name(p, "not") || p->at[1].type != GR_T_NAME || p->at[1].size != 2 ||
        memcmp(p->at[1].bytes, "in", 2) != 0)
        return false;
    p->at += 2;
    return true;
}

static node *parse_compare(parser *p)
{
    node *first = parse_sum(p), *n = NULL;
    gr_node_list list = {0};
    gr_node_op op;
    while (first) {
        node *operand = gr_parse_new(p, GR_NODE_OPERAND);
        if (!operand || !take_comparison(p, &op))
            return !operand ? NULL : n ? n : first;
        if (!n && (n = gr_parse_new(p, GR_NODE_COMPARE))) {
            n->a = first;
            list.end = &n->list;
        }
        operand->op = op;
        operand->a = n ? parse_sum(p) : NULL;
        if (!operand->a || !note_role(p, first) || !note_role(p, operand->a))
            return NULL;
        gr_parse_append(&list, operand);
    }
    return NULL;
}

static node *parse_not(parser *p)
{
    if (!gr_parse_sees_name(p, "not"))
        return parse_compare(p);
    node *n = gr_parse_enter(p) ? gr_parse_new(p, GR_NODE_NOT) : NULL;
    p->at++;
    node *of = n ? parse_not(p) : NULL;
    p->depth--;
    if (!of)
        return NULL;
    n->a = of;
    return n;
}

static node *parse_and(parser *p)
{
    node *left = parse_not(p);
    while (left && gr_parse_name(p, "and"))
        left = pair(p, GR_NODE_AND, left, parse_not(p));
    return left;
}

static node *parse_or(parser *p)
{
    node *left = parse_and(p);
    while (left && gr_parse_name(p, "or"))
        left = pair(p, GR_NODE_OR, left, parse_and(p));
    return left;
}

/* Unknown filters in the branches fail when they are run: the parts were read before the `if` was seen, so all of an
 * expression counts as soft where it is a choice. */
static bool has_choice(const parser *p)
{
    int depth = 0;
    for (const gr_jinja_token *t = p->at; t->type == GR_T_NAME || t->type == GR_T_TEXT || t->type == GR_T_INT ||
                                          t->type == GR_T_REAL || t->type == GR_T_SIGN;
         t++) {
        if (t->type == GR_T_SIGN)
            depth += (strchr("([{", *t->bytes) != NULL) - (strchr(")]}", *t->bytes) != NULL);
        if (depth < 0 || (!depth && t->type == GR_T_SIGN && (*t->bytes == ',' || *t->bytes == ':')))
            return false;
        if (!depth && t->type == GR_T_NAME && t->size == 2 && memcmp(t->bytes, "if", 2) == 0)
            return true;
    }
    return false;
}

static node *parse_choice(parser *p)
{
    bool soft = p->soft;
    p->soft |= has_choice(p);
    node *n = parse_or(p);
    while (n && gr_parse_sees_name(p, "if")) {
        node *choice = gr_parse_new(p, GR_NODE_CHOICE);
        p->at++;
        if (!choice || !(choice->a = parse_or(p)))
            return NULL;
        choice->b = n;
        if (gr_parse_name(p, "else") && !(choice->c = gr_parse_expression(p, true)))
            return NULL;
        n = choice;
    }
    p->soft = soft;
    return n;
}

node *gr_parse_expression(parser *p, bool choices)
{
    if (!gr_parse_enter(p))
        return NULL;
    node *n = choices ? parse_choice(p) : parse_or(p);
    p->depth--;
    return n;
}

/* ---- tuples and targets ------------------------------------------------------------------------------------- */

static bool ends_tuple(const parser *p)
{
    return p->at->type == GR_T_PRINT_END || p->at->type == GR_T_BLOCK_END || gr_parse_sees_sign(p, ")") ||
           gr_parse_sees_name(p, "in") || gr_parse_sees_name(p, "recursive");
}

static node *parse_name_or_attribute(parser *p, bool attributes)
{
    if (gr_parse_sign(p, "(")) {
        node *inner = gr_parse_enter(p) ? gr_parse_target(p, false) : NULL;
        p->depth--;
        return inner && gr_parse_need(p, ")") ? inner : NULL;
    }
    if (p->at->type != GR_T_NAME)
        return gr_parse_expected(p, "a name to set");
    static const char *const constants[] = {"true", "false", "none", "True", "False", "None"};
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (gr_parse_sees_name(p, constants[i]))
            return gr_parse_expected(p, "a name to set");
    if (p->for_targets && gr_parse_sees_name(p, "loop"))
        return gr_parse_refuse(p, "'loop' cannot be set in a for loop");
    node *n = gr_parse_new(p, GR_NODE_NAME);
    if (!n || !(n->text = gr_parse_keep(p, p->at->bytes, p->at->size)))
        return NULL;
    p->at++;
    n->stores = true;
    if (!attributes || !gr_parse_sign(p, "."))
        return n;
    if (p->at->type != GR_T_NAME)
        return gr_parse_expected(p, "an attribute's name");
    n->kind = GR_NODE_ATTRIBUTE_OF;
    n->stores = false;
    n->value = (gr_jinja_value){.type = GR_VALUE_TEXT};
    n->value.as.text = gr_parse_keep(p, p->at->bytes, p->at->size);
    p->at++;
    return n->value.as.text ? n : NULL;
}

node *gr_parse_target(parser *p, bool attributes)
{
    node *first = parse_name_or_attribute(p, attributes);
    if (!first || !gr_parse_sees_sign(p, ","))
        return first;
    node *n = gr_parse_new(p, GR_NODE_TUPLE);
    if (!n)
        return NULL;
    gr_node_list list = {NULL, &n->list};
    gr_parse_append(&list, first);
    while (gr_parse_sign(p, ",") && !ends_tuple(p) && !gr_parse_sees_sign(p, "=")) {
        node *next = parse_name_or_attribute(p, attributes);
        if (!next)
            return NULL;
        gr_parse_append(&list, next);
    }
    return n;
}

/* in_brackets: () is the empty tuple. */
static node *parse_tuple(parser *p, bool choices, bool in_brackets)
{
    node *n = gr_parse_new(p, GR_NODE_TUPLE), *item = NULL;
    if (!n)
        return NULL;
    gr_node_list list = {NULL, &n->list};
    bool is_tuple = false;
    while (!ends_tuple(p)) {
        if (!(item = gr_parse_expression(p, choices)))
            return NULL;
        gr_parse_append(&list, item);
        if (!gr_parse_sign(p, ","))
            break;
        is_tuple = true;
    }
    if (!n->list && !in_brackets)
        return gr_parse_expected(p, "an expression");
    return is_tuple || !n->list ? n : item;
}

node *gr_parse_tuple(parser *p, bool choices)
{
    return parse_tuple(p, choices, false);
}

/* ---- values ------------------------------------------------------------------------------------------------- */

static node *parse_strings(parser *p)
{
    node *n = gr_parse_new(p, GR_NODE_CONST);
    size_t size = 0, count = 0;
    for (; p->at[count].type == GR_T_TEXT; count++) /* those that stand side by side are one */
        size += p->at[count].size;
    char *bytes = n ? gr_jinja_arena_take(&p->jinja->arena, size + 1) : NULL, *to = bytes;
    if (!bytes)
        return NULL;
    for (; p->at->type == GR_T_TEXT; p->at++) {
        memcpy(to, p->at->bytes, p->at->size);
        to += p->at->size;
    }
    n->value.type = GR_VALUE_TEXT;
    n->value.as.text = gr_parse_keep(p, bytes, size);
    return n->value.as.text ? n : NULL;
}

static node *parse_word(parser *p)
{
    node *n = gr_parse_new(p, GR_NODE_CONST);
    if (!n)
        return NULL;
    if (gr_parse_name(p, "true") || gr_parse_name(p, "True")) {
        n->value = (gr_jinja_value){.type = GR_VALUE_BOOL, .as.truth = true};
    } else if (gr_parse_name(p, "false") || gr_parse_name(p, "False")) {
        n->value = (gr_jinja_value){.type = GR_VALUE_BOOL};
    } else if (gr_parse_name(p, "none") || gr_parse_name(p, "None")) {
        n->value = (gr_jinja_value){.type = GR_VALUE_NONE};
    } else {
        n->kind = GR_NODE_NAME;
        n->text = gr_parse_keep(p, p->at->bytes, p->at->size);
        p->at++;
        return n->text ? n : NULL;
    }
    return n;
}

/* Items up to the closing bracket, a comma behind the last one allowed; a dict's are key and value. */
static node *parse_items(parser *p, gr_node_kind kind, const char *close)
{
    node *n = gr_parse_new(p, kind);
    gr_node_list list = {NULL, n ? &n->list : NULL};
    p->at++;
    while (n && !gr_parse_sign(p, close)) {
        if (n->list && !gr_parse_need(p, ","))
            return NULL;
        if (n->list && gr_parse_sign(p, close))
            break;
        node *item = gr_parse_expression(p, true);
        if (!item)
            return NULL;
        gr_parse_append(&list, item);
        if (kind != GR_NODE_DICT)
            continue;
        if (!gr_parse_need(p, ":") || !(item = gr_parse_expression(p, true)))
            return NULL;
        gr_parse_append(&list, item);
    }
    return n;
}

static node *parse_primary(parser *p)
{
    node *n;
    switch (p->at->type) {
    case GR_T_NAME:
        return parse_word(p);
    case GR_T_TEXT:
        return parse_strings(p);
    case GR_T_INT:
    case GR_T_REAL:
        if (!(n = gr_parse_new(p, GR_NODE_CONST)))
            return NULL;
        n->value.type = p->at->type == GR_T_INT ? GR_VALUE_INT : GR_VALUE_REAL;
        if (p->at->type == GR_T_INT)
            n->value.as.i = p->at->i;
        else
            n->value.as.r = p->at->r;
        p->at++;
        return n;
    default:
        break;
    }
    if (gr_parse_sign(p, "(")) {
        n = parse_tuple(p, true, true);
        return n && gr_parse_need(p, ")") ? n : NULL;
    }
    if (gr_parse_sees_sign(p, "["))
        return parse_items(p, GR_NODE_LIST, "]");
    if (gr_parse_sees_sign(p, "{"))
        return parse_items(p, GR_NODE_DICT, "}");
    return gr_parse_expected(p, "an expression");
}

static node *parse_unary(parser *p, bool filters)
{
    node *n = gr_parse_new(p, GR_NODE_UNARY);
    bool minus = gr_parse_sees_sign(p, "-");
    if (!n || !gr_parse_enter(p))
        return NULL;
    if (minus || gr_parse_sees_sign(p, "+")) {
        p->at++;
        n->op = minus ? GR_OP_SUB : GR_OP_ADD;
        if (!(n->a = parse_unary(p, false)))
            return NULL;
    } else if (!(n = parse_primary(p))) {
        return NULL;
    }
    n = parse_postfix(p, n);
    p->depth--;
    return n && filters ? gr_parse_filters(p, n, false) : n;
}

/* ---- what stands behind a value ----------------------------------------------------------------------------- */

/* "(a, b, *c, key=d, **e)" at the current token, into a node of `kind`. */
static bool parse_arguments(parser *p, node *n)
{
    gr_node_list list = {NULL, &n->list}, named = {NULL, &n->more};
    const char *wrong = "an argument that cannot stand there";
    p->at++;
    for (bool first = true; !gr_parse_sign(p, ")"); first = false) {
        if (!first && !gr_parse_need(p, ","))
            return false;
        if (!first && gr_parse_sign(p, ")"))
            return true;
        bool star = gr_parse_sees_sign(p, "*"), stars = gr_parse_sees_sign(p, "**");
        bool is_named =
            p->at->type == GR_T_NAME && p->at[1].type == GR_T_SIGN && p->at[1].size == 1 && *p->at[1].bytes == '=';
        if (n->c || (star && n->b) || (!star && !stars && !is_named && (n->b || n->more)))
            return gr_parse_refuse(p, wrong);
        node *keyword = is_named ? gr_parse_new(p, GR_NODE_KEYWORD) : NULL;
        if (is_named && (!keyword || !(keyword->text = gr_parse_keep(p, p->at->bytes, p->at->size))))
            return false;
        p->at += is_named ? 2 : star || stars;
        node *value = gr_parse_expression(p, true);
        if (!value)
            return false;
        if (star) {
            n->b = value;
        } else if (stars) {
            n->c = value;
        } else if (is_named) {
            keyword->a = value;
            gr_parse_append(&named, keyword);
        } else {
            gr_parse_append(&list, value);
        }
    }
    return true;
}

static node *parse_call(parser *p, node *callee)
{
    node *n = gr_parse_new(p, GR_NODE_CALL);
    if (!n || !parse_arguments(p, n))
        return NULL;
    n->a = callee;
    n->line = callee->line;
    n->column = callee->column;
    return n;
}

static bool ends_slice_part(const parser *p)
{
    return gr_parse_sees_sign(p, ":") || gr_parse_sees_sign(p, "]") || gr_parse_sees_sign(p, ",");
}

/* "a", "a:b", "a:b:c" between brackets. */
static node *parse_index(parser *p)
{
    node *n = gr_parse_new(p, GR_NODE_SLICE), *first = NULL;
    if (!n || (!ends_slice_part(p) && !(first = gr_parse_expression(p, true))))
        return NULL;
    if (!gr_parse_sign(p, ":"))
        return first ? first : gr_parse_expected(p, "an expression");
    n->a = first;
    if (!ends_slice_part(p) && !(n->b = gr_parse_expression(p, true)))
        return NULL;
    if (gr_parse_sign(p, ":") && !ends_slice_part(p) && !(n->c = gr_parse_expression(p, true)))
        return NULL;
    return n;
}

static node *parse_subscript(parser *p, node *of)
{
    bool dot = gr_parse_sees_sign(p, ".");
    node *n = gr_parse_new(p, dot ? GR_NODE_GETATTR : GR_NODE_GETITEM);
    p->at++;
    if (!n)
        return NULL;
    n->a = of;
    if (dot && p->at->type == GR_T_NAME) {
        n->text = gr_parse_keep(p, p->at->bytes, p->at->size);
        p->at++;
        return n->text ? n : NULL;
    }
    if (dot) {
        n->kind = GR_NODE_GETITEM;
        n->b = p->at->type == GR_T_INT ? parse_primary(p) : gr_parse_expected(p, "a name or a number");
        return n->b ? n : NULL;
    }
    if (!(n->b = parse_index(p)))
        return NULL;
    if (gr_parse_sees_sign(p, ","))
        return gr_parse_refuse(p, "several indices are not supported");
    return gr_parse_need(p, "]") ? n : NULL;
}

static node *parse_postfix(parser *p, node *n)
{
    while (n) {
        if (gr_parse_sees_sign(p, ".") || gr_parse_sees_sign(p, "["))
            n = parse_subscript(p, n);
        else if (gr_parse_sees_sign(p, "("))
            n = parse_call(p, n);
        else
            return n;
    }
    return NULL;
}

/* The name of a filter or test, which may have dots. */
static bool parse_callee(parser *p, node *n)
{
    const char *start = p->at->bytes;
    if (p->at->type != GR_T_NAME)
        return gr_parse_expected(p, n->kind == GR_NODE_TEST ? "a test's name" : "a filter's name");
    n->line = p->at->line;
    n->column = p->at->column;
    n->text = gr_parse_keep(p, start, p->at->size);
    p->at++;
    if (!n->text)
        return false;
    n->callee = n->kind == GR_NODE_TEST ? gr_jinja_test_named(n->text) : gr_jinja_filter_named(n->text);
    if (n->callee || p->soft)
        return true;
    char shown[80];
    gr_printable(n->text->bytes, n->text->size, shown, sizeof shown);
    gr_jinja_refuse(p->jinja, GR_ERR_UNSUPPORTED, n->line, n->column, "there is no %s '%s'",
                    n->kind == GR_NODE_TEST ? "test" : "filter", shown);
    return false;
}

static node *parse_filter(parser *p, node *subject)
{
    node *n = gr_parse_new(p, GR_NODE_FILTER);
    if (!n || !parse_callee(p, n) || (gr_parse_sees_sign(p, "(") && !parse_arguments(p, n)))
        return NULL;
    n->a = subject;
    return n;
}

static bool begins_argument(const parser *p)
{
    if (p->at->type == GR_T_NAME)
        return !gr_parse_sees_name(p, "else") && !gr_parse_sees_name(p, "or") && !gr_parse_sees_name(p, "and");
    return p->at->type == GR_T_TEXT || p->at->type == GR_T_INT || p->at->type == GR_T_REAL ||
           gr_parse_sees_sign(p, "[") || gr_parse_sees_sign(p, "{");
}

static node *parse_test(parser *p, node *subject)
{
    node *n = gr_parse_new(p, GR_NODE_TEST), *negated = NULL;
    p->at++;
    if (gr_parse_sees_name(p, "not")) {
        if (!(negated = gr_parse_new(p, GR_NODE_NOT)))
            return NULL;
        p->at++;
    }
    if (!n || !parse_callee(p, n))
        return NULL;
    if (gr_parse_sees_sign(p, "(")) {
        if (!parse_arguments(p, n))
            return NULL;
    } else if (begins_argument(p)) {
        if (gr_parse_sees_name(p, "is"))
            return gr_parse_refuse(p, "tests cannot be chained");
        if (!(n->list = parse_postfix(p, parse_primary(p))) || !note_role(p, n->list))
            return NULL;
    }
    n->a = subject;
    if (negated)
        negated->a = n;
    return negated ? negated : n;
}

node *gr_parse_filters(parser *p, node *n, bool inline_first)
{
    if (inline_first)
        n = parse_filter(p, n);
    while (n || inline_first) {
        inline_first = false;
        if (gr_parse_sign(p, "|"))
            n = parse_filter(p, n);
        else if (n && gr_parse_sees_name(p, "is"))
            n = parse_test(p, n);
        else if (n && gr_parse_sees_sign(p, "("))
            n = parse_call(p, n);
        else
            return n;
    }
    return NULL;
}
