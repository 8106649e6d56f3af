/* Expressions to values. */
#include "text/template/run.h"

typedef gr_jinja_node node;
typedef gr_jinja_value value;
typedef gr_jinja_run run;

/* ---- names and literals ------------------------------------------------------------------------------------- */

static bool evaluate_list(run *r, const node *list, gr_jinja_values *out)
{
    for (value item; list; list = list->next)
        if (!gr_jinja_evaluate(r, list, &item) || !gr_jinja_push(r, out, &item))
            return false;
    return true;
}

static bool evaluate_dict(run *r, const node *n, value *out)
{
    if (!gr_jinja_new_dict(r, GR_VALUE_DICT, 0, out))
        return false;
    for (const node *key = n->list; key; key = key->next->next) {
        value k, v;
        if (!gr_jinja_evaluate(r, key, &k) || !gr_jinja_evaluate(r, key->next, &v) ||
            !gr_jinja_put(r, out->as.dict, &k, &v))
            return false;
    }
    return true;
}

static bool evaluate_literal(run *r, const node *n, value *out)
{
    gr_jinja_values items = {0};
    if (n->kind == GR_NODE_DICT)
        return evaluate_dict(r, n, out);
    return evaluate_list(r, n->list, &items) &&
           gr_jinja_list_of(r, n->kind == GR_NODE_LIST ? GR_VALUE_LIST : GR_VALUE_TUPLE, items.items, items.n, out);
}

/* ---- operators ---------------------------------------------------------------------------------------------- */

static bool evaluate_compare(run *r, const node *n, value *out)
{
    value left, right;
    bool is = true;
    if (!gr_jinja_evaluate(r, n->a, &left))
        return false;
    for (const node *operand = n->list; operand && is; operand = operand->next) {
        if (!gr_jinja_evaluate(r, operand->a, &right))
            return false;
        r->at = operand;
        if (!gr_jinja_compare(r, operand->op, &left, &right, &is))
            return false;
        left = right;
    }
    *out = gr_jinja_bool(is);
    return true;
}

static bool evaluate_concat(run *r, const node *n, value *out)
{
    gr_jinja_builder b = {0};
    for (const node *part = n->list; part; part = part->next) {
        value v;
        if (!gr_jinja_evaluate(r, part, &v))
            return false;
        r->at = part;
        if (!gr_jinja_add_str(r, &b, &v))
            return false;
    }
    return gr_jinja_built(r, &b, out);
}

/* Whether Jinja may compute it when it compiles: there is no variable in it, and nothing is called. */
static bool is_constant(const node *n)
{
    for (const node *item = n ? n->list : NULL; item; item = item->next)
        if (!is_constant(item))
            return false;
    return !n || (n->kind != GR_NODE_NAME && n->kind != GR_NODE_CALL && is_constant(n->a) && is_constant(n->b) &&
                  is_constant(n->c));
}

/* A number, or what is made of numbers alone: Jinja does compute that. */
static bool is_numeral(const node *n)
{
    bool two = n->kind == GR_NODE_BINARY;
    if (n->kind == GR_NODE_CONST)
        return gr_jinja_is_number(&n->value);
    return (two || n->kind == GR_NODE_UNARY) && is_numeral(n->a) && (!two || is_numeral(n->b));
}

static bool evaluate_binary(run *r, const node *n, value *out)
{
    value a, b;
    if (!gr_jinja_evaluate(r, n->a, &a) || (n->kind == GR_NODE_BINARY && !gr_jinja_evaluate(r, n->b, &b)))
        return false;
    r->at = n;
    /* Jinja computes such a base when it compiles, and writes it as Python without brackets: -2 ** x is then -(2 ** x). */
    if (n->op == GR_OP_POW && gr_jinja_is_number(&a) && gr_jinja_as_real(&a) < 0 && is_constant(n->a) &&
        !is_numeral(n->b))
        return gr_jinja_unsupported(r, "a negative constant to the power of something is not supported");
    return n->kind == GR_NODE_BINARY ? gr_jinja_binary(r, n->op, &a, &b, out) : gr_jinja_unary(r, n->op, &a, out);
}

/* `or` and `and` give one of their values. */
static bool evaluate_logic(run *r, const node *n, value *out)
{
    if (!gr_jinja_evaluate(r, n->a, out))
        return false;
    return gr_jinja_truth(out) == (n->kind == GR_NODE_OR) || gr_jinja_evaluate(r, n->b, out);
}

static bool evaluate_choice(run *r, const node *n, value *out)
{
    value test;
    if (!gr_jinja_evaluate(r, n->a, &test))
        return false;
    if (gr_jinja_truth(&test))
        return gr_jinja_evaluate(r, n->b, out);
    *out = gr_jinja_undefined(n);
    return !n->c || gr_jinja_evaluate(r, n->c, out);
}

/* ---- attributes and items ----------------------------------------------------------------------------------- */

static bool evaluate_attribute(run *r, const node *n, value *out)
{
    value of;
    if (!gr_jinja_evaluate(r, n->a, &of))
        return false;
    r->at = n;
    return gr_jinja_attribute(r, &of, n->text, out);
}

static bool evaluate_item(run *r, const node *n, value *out)
{
    value of, part[3];
    const node *const parts[] = {n->b->a, n->b->b, n->b->c};
    const value *given[3] = {NULL};
    if (!gr_jinja_evaluate(r, n->a, &of))
        return false;
    if (n->b->kind != GR_NODE_SLICE) {
        if (!gr_jinja_evaluate(r, n->b, &part[0]))
            return false;
        r->at = n;
        return gr_jinja_item(r, &of, &part[0], out);
    }
    for (int i = 0; i < 3; i++) {
        if (!parts[i])
            continue;
        if (!gr_jinja_evaluate(r, parts[i], &part[i]))
            return false;
        given[i] = &part[i];
    }
    r->at = n;
    return gr_jinja_slice(r, &of, given, out);
}

/* ---- calls -------------------------------------------------------------------------------------------------- */

/* Room for named arguments; they are put one by one, each name once. */
static bool add_named(run *r, gr_jinja_dict *named, const gr_jinja_text *name, const value *v)
{
    const value key = {.type = GR_VALUE_TEXT, .as.text = name};
    char shown[64];
    if (!gr_jinja_find_name(named, name->bytes, name->size))
        return gr_jinja_put(r, named, &key, v);
    gr_printable(name->bytes, name->size, shown, sizeof shown);
    return gr_jinja_fail(r, "two values for the argument '%s'", shown);
}

static bool add_starred(run *r, const node *n, gr_jinja_values *items)
{
    const value *more;
    value list;
    size_t count;
    if (!gr_jinja_evaluate(r, n, &list) || !gr_jinja_items(r, &list, &more, &count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!gr_jinja_charge(r, 1) || !gr_jinja_push(r, items, &more[i]))
            return false;
    return true;
}

static bool add_double_starred(run *r, const node *n, gr_jinja_dict *named)
{
    value more;
    if (!gr_jinja_evaluate(r, n, &more))
        return false;
    r->at = n;
    if (more.type != GR_VALUE_DICT)
        return gr_jinja_fail(r, "** needs a dict, not %s", gr_jinja_type_name(&more));
    for (size_t i = 0; i < more.as.dict->n; i++) {
        const gr_jinja_pair *pair = &more.as.dict->pairs[i];
        if (pair->key.type != GR_VALUE_TEXT)
            return gr_jinja_fail(r, "** needs a dict whose keys are texts");
        if (!add_named(r, named, pair->key.as.text, &pair->value))
            return false;
    }
    return true;
}

bool gr_jinja_arguments(run *r, const node *n, gr_jinja_args *out)
{
    gr_jinja_values items = {0};
    gr_jinja_dict named = {0};
    if (!evaluate_list(r, n->list, &items) || (n->b && !add_starred(r, n->b, &items)))
        return false;
    for (const node *keyword = n->more; keyword; keyword = keyword->next) {
        value v;
        if (!gr_jinja_evaluate(r, keyword->a, &v) || !add_named(r, &named, keyword->text, &v))
            return false;
    }
    if (n->c && !add_double_starred(r, n->c, &named))
        return false;
    *out = (gr_jinja_args){items.items, items.n, named.pairs, named.n};
    return true;
}

bool gr_jinja_call_value(run *r, const value *callee, const gr_jinja_args *args, value *out)
{
    char shown[80] = "the value";
    switch (callee->type) {
    case GR_VALUE_MACRO:
        return gr_jinja_call_macro(r, callee->as.macro, args, out);
    case GR_VALUE_METHOD:
        return gr_jinja_call_method(r, callee->as.method, args, out);
    case GR_VALUE_GLOBAL:
        return callee->as.global->call(r, callee, args, out);
    case GR_VALUE_UNDEFINED:
        if (callee->as.node && callee->as.node->text)
            gr_printable(callee->as.node->text->bytes, callee->as.node->text->size, shown, sizeof shown);
        return gr_jinja_fail(r, "'%s' is undefined and cannot be called", shown);
    default:
        return gr_jinja_fail(r, "%s cannot be called", gr_jinja_type_name(callee));
    }
}

static bool evaluate_call(run *r, const node *n, value *out)
{
    value callee;
    gr_jinja_args args;
    if (!gr_jinja_evaluate(r, n->a, &callee) || !gr_jinja_arguments(r, n, &args))
        return false;
    r->at = n;
    return gr_jinja_call_value(r, &callee, &args, out);
}

bool gr_jinja_filter_value(run *r, const node *n, const value *subject, value *out)
{
    gr_jinja_args args;
    char shown[64];
    r->at = n;
    gr_printable(n->text->bytes, n->text->size, shown, sizeof shown);
    if (!n->callee)
        return gr_jinja_unsupported(r, "there is no %s '%s'", n->kind == GR_NODE_TEST ? "test" : "filter", shown);
    if (!gr_jinja_arguments(r, n, &args))
        return false;
    r->at = n;
    return n->callee->call(r, subject, &args, out);
}

static bool evaluate_filter(run *r, const node *n, value *out)
{
    value subject;
    return gr_jinja_evaluate(r, n->a, &subject) && gr_jinja_filter_value(r, n, &subject, out);
}

/* ---- all of them -------------------------------------------------------------------------------------------- */

static bool evaluate(run *r, const node *n, value *out)
{
    switch (n->kind) {
    case GR_NODE_CONST:
        *out = n->value;
        return true;
    case GR_NODE_NAME:
        *out = *gr_jinja_slot(r, n->at);
        if (out->type == GR_VALUE_MISSING)
            *out = gr_jinja_undefined(n);
        return true;
    case GR_NODE_LIST:
    case GR_NODE_TUPLE:
    case GR_NODE_DICT:
        return evaluate_literal(r, n, out);
    case GR_NODE_GETATTR:
        return evaluate_attribute(r, n, out);
    case GR_NODE_GETITEM:
        return evaluate_item(r, n, out);
    case GR_NODE_CALL:
        return evaluate_call(r, n, out);
    case GR_NODE_FILTER:
    case GR_NODE_TEST:
        return evaluate_filter(r, n, out);
    case GR_NODE_CHOICE:
        return evaluate_choice(r, n, out);
    case GR_NODE_OR:
    case GR_NODE_AND:
        return evaluate_logic(r, n, out);
    case GR_NODE_NOT:
        if (!gr_jinja_evaluate(r, n->a, out))
            return false;
        *out = gr_jinja_bool(!gr_jinja_truth(out));
        return true;
    case GR_NODE_COMPARE:
        return evaluate_compare(r, n, out);
    case GR_NODE_CONCAT:
        return evaluate_concat(r, n, out);
    case GR_NODE_BINARY:
    case GR_NODE_UNARY:
        return evaluate_binary(r, n, out);
    default:
        return gr_jinja_fail(r, "this is no expression");
    }
}

bool gr_jinja_evaluate(run *r, const node *n, value *out)
{
    r->at = n;
    if (r->depth-- <= 0)
        return gr_jinja_fail_deep(r);
    bool done = gr_jinja_charge(r, 1) && evaluate(r, n, out);
    r->depth++;
    return done;
}
