/* Operators, as Python has them; whole numbers are of 64 bits, and what does not fit is an error. */
#include "text/template/run.h"

#include <math.h>

typedef gr_jinja_value value;
typedef gr_jinja_run run;

static const char *const signs[] = {
    [GR_OP_ADD] = "+", [GR_OP_SUB] = "-",  [GR_OP_MUL] = "*", [GR_OP_DIV] = "/", [GR_OP_FLOOR_DIV] = "//",
    [GR_OP_MOD] = "%", [GR_OP_POW] = "**", [GR_OP_EQ] = "==", [GR_OP_NE] = "!=", [GR_OP_LT] = "<",
    [GR_OP_LE] = "<=", [GR_OP_GT] = ">",   [GR_OP_GE] = ">=", [GR_OP_IN] = "in", [GR_OP_NOT_IN] = "not in"};

static bool too_large(run *r, gr_node_op op)
{
    return gr_jinja_unsupported(r, "the result of '%s' does not fit into 64 bits", signs[op]);
}

/* ---- whole numbers ------------------------------------------------------------------------------------------ */

static bool multiply(int64_t a, int64_t b, int64_t *out)
{
    uint64_t x = a < 0 ? 0 - (uint64_t)a : (uint64_t)a, y = b < 0 ? 0 - (uint64_t)b : (uint64_t)b;
    if (x && y > (uint64_t)INT64_MAX / x) /* the least number itself is left out */
        return false;
    *out = (a < 0) != (b < 0) ? -(int64_t)(x * y) : (int64_t)(x * y);
    return true;
}

static bool add_whole(int64_t a, int64_t b, int64_t *out)
{
    if (b > 0 ? a > INT64_MAX - b : a < INT64_MIN - b)
        return false;
    *out = a + b;
    return true;
}

static bool power(int64_t a, int64_t b, int64_t *out)
{
    int64_t result = 1;
    for (; b; b >>= 1) {
        if ((b & 1) && !multiply(result, a, &result))
            return false;
        if (b > 1 && !multiply(a, a, &a))
            return false;
    }
    *out = result;
    return true;
}

static bool whole(run *r, gr_node_op op, int64_t a, int64_t b, value *out)
{
    int64_t x = 0;
    bool fits = true;
    if ((op == GR_OP_FLOOR_DIV || op == GR_OP_MOD) && !b)
        return gr_jinja_fail(r, "division by zero");
    switch (op) {
    case GR_OP_ADD:
        fits = add_whole(a, b, &x);
        break;
    case GR_OP_SUB:
        fits = b != INT64_MIN && add_whole(a, -b, &x);
        break;
    case GR_OP_MUL:
        fits = multiply(a, b, &x);
        break;
    case GR_OP_FLOOR_DIV: /* rounds down, where C rounds to zero */
        fits = a != INT64_MIN || b != -1;
        x = fits ? a / b - (a % b != 0 && (a < 0) != (b < 0)) : 0;
        break;
    case GR_OP_MOD:
        x = b == -1 ? 0 : a % b;
        x += x && (x < 0) != (b < 0) ? b : 0;
        break;
    default:
        fits = power(a, b, &x);
    }
    *out = gr_jinja_int(x);
    return fits || too_large(r, op);
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

static double modulo(double a, double b)
{
    double m = fmod(a, b);
    if (m == 0)
        return copysign(0, b);
    return (m < 0) != (b < 0) ? m + b : m;
}

static double floor_divide(double a, double b)
{
    double div = (a - modulo(a, b)) / b, floored = floor(div);
    if (div == 0)
        return copysign(0, a / b);
    return div - floored > 0.5 ? floored + 1 : floored;
}

static bool real(run *r, gr_node_op op, double a, double b, value *out)
{
    double x = 0;
    if ((op == GR_OP_DIV || op == GR_OP_FLOOR_DIV || op == GR_OP_MOD) && b == 0)
        return gr_jinja_fail(r, "division by zero");
    switch (op) {
    case GR_OP_ADD:
        x = a + b;
        break;
    case GR_OP_SUB:
        x = a - b;
        break;
    case GR_OP_MUL:
        x = a * b;
        break;
    case GR_OP_DIV:
        x = a / b;
        break;
    case GR_OP_FLOOR_DIV:
        x = floor_divide(a, b);
        break;
    case GR_OP_MOD:
        x = modulo(a, b);
        break;
    default:
        x = pow(a, b);
        if (!isfinite(x) || (a == 0 && b < 0))
            return gr_jinja_fail(r, "the result of '**' is no number");
    }
    *out = gr_jinja_real(x);
    return true;
}

static bool numbers(run *r, gr_node_op op, const value *a, const value *b, value *out)
{
    bool wholes = a->type != GR_VALUE_REAL && b->type != GR_VALUE_REAL && op != GR_OP_DIV &&
                  !(op == GR_OP_POW && gr_jinja_whole(b) < 0);
    bool done = wholes ? whole(r, op, gr_jinja_whole(a), gr_jinja_whole(b), out)
                       : real(r, op, gr_jinja_as_real(a), gr_jinja_as_real(b), out);
    out->untrusted = a->untrusted || b->untrusted;
    return done;
}

/* ---- the others --------------------------------------------------------------------------------------------- */

static bool concatenate(run *r, const value *a, const value *b, value *out)
{
    gr_jinja_builder builder = {0};
    value x = *a, y = *b;
    bool markup = a->markup || b->markup;
    if (markup && (!gr_text_escape(r, a, &x) || !gr_text_escape(r, b, &y)))
        return false;
    if (!gr_jinja_add_text(r, &builder, x.as.text) || !gr_jinja_add_text(r, &builder, y.as.text) ||
        !gr_jinja_built(r, &builder, out))
        return false;
    out->markup = markup;
    return true;
}

static bool join_lists(run *r, const value *a, const value *b, value *out)
{
    const gr_jinja_list *x = a->as.list, *y = b->as.list;
    value *items = gr_jinja_take(r, x->n + y->n, sizeof *items);
    if (!items || !gr_jinja_charge(r, (x->n + y->n) / 16))
        return false;
    if (x->n)
        memcpy(items, x->items, x->n * sizeof *items);
    if (y->n)
        memcpy(items + x->n, y->items, y->n * sizeof *items);
    bool done = gr_jinja_list_of(r, a->type, items, x->n + y->n, out);
    out->untrusted = a->untrusted || b->untrusted;
    return done;
}

static bool repeat(run *r, const value *what, const value *times, value *out)
{
    int64_t n = gr_jinja_whole(times) > 0 ? gr_jinja_whole(times) : 0;
    if (what->type == GR_VALUE_TEXT)
        return gr_text_repeat(r, what->as.text, n, out) && (out->markup = what->markup, true);
    size_t size = what->as.list->n, count;
    if (!gr_mul_size(size, (size_t)n, &count))
        count = SIZE_MAX / sizeof(value);
    value *items = gr_jinja_take(r, count, sizeof *items);
    if (!items || !gr_jinja_charge(r, count / 16))
        return false;
    for (size_t i = 0; i < count; i++)
        items[i] = what->as.list->items[i % size];
    bool done = gr_jinja_list_of(r, what->type, items, count, out);
    out->untrusted = what->untrusted;
    return done;
}

static bool is_sequence(const value *v)
{
    return v->type == GR_VALUE_TEXT || v->type == GR_VALUE_LIST || v->type == GR_VALUE_TUPLE;
}

static bool is_whole(const value *v)
{
    return v->type == GR_VALUE_INT || v->type == GR_VALUE_BOOL;
}

static bool undefined_operand(run *r, const value *v)
{
    char shown[80] = "a value";
    if (v->as.node && v->as.node->text)
        gr_printable(v->as.node->text->bytes, v->as.node->text->size, shown, sizeof shown);
    return gr_jinja_fail(r, "'%s' is undefined", shown);
}

bool gr_jinja_binary(run *r, gr_node_op op, const value *a, const value *b, value *out)
{
    if (gr_jinja_is_number(a) && gr_jinja_is_number(b))
        return numbers(r, op, a, b, out);
    if (op == GR_OP_MOD && a->type == GR_VALUE_TEXT)
        return a->markup ? gr_jinja_unsupported(r, "formatting what 'safe' made is not supported")
                         : gr_text_percent(r, a->as.text, b, out);
    if (a->type == GR_VALUE_UNDEFINED || b->type == GR_VALUE_UNDEFINED)
        return undefined_operand(r, a->type == GR_VALUE_UNDEFINED ? a : b);
    if (op == GR_OP_ADD && a->type == b->type && a->type == GR_VALUE_TEXT)
        return concatenate(r, a, b, out);
    if (op == GR_OP_ADD && a->type == b->type && is_sequence(a))
        return join_lists(r, a, b, out);
    if (op == GR_OP_MUL && is_sequence(a) && is_whole(b))
        return repeat(r, a, b, out);
    if (op == GR_OP_MUL && is_sequence(b) && is_whole(a))
        return repeat(r, b, a, out);
    if (a->type == GR_VALUE_DICT || a->type == GR_VALUE_VIEW || b->type == GR_VALUE_VIEW)
        return gr_jinja_unsupported(r, "'%s' of %s and %s is not supported", signs[op], gr_jinja_type_name(a),
                                    gr_jinja_type_name(b));
    return gr_jinja_fail(r, "'%s' is not possible with %s and %s", signs[op], gr_jinja_type_name(a),
                         gr_jinja_type_name(b));
}

bool gr_jinja_unary(run *r, gr_node_op op, const value *a, value *out)
{
    if (a->type == GR_VALUE_UNDEFINED)
        return undefined_operand(r, a);
    if (!gr_jinja_is_number(a))
        return gr_jinja_fail(r, "'%s' is not possible with %s", signs[op], gr_jinja_type_name(a));
    if (a->type == GR_VALUE_REAL)
        *out = gr_jinja_real(op == GR_OP_SUB ? -a->as.r : a->as.r);
    else if (op == GR_OP_SUB && gr_jinja_whole(a) == INT64_MIN)
        return too_large(r, op);
    else
        *out = gr_jinja_int(op == GR_OP_SUB ? -gr_jinja_whole(a) : gr_jinja_whole(a));
    out->untrusted = a->untrusted;
    return true;
}

bool gr_jinja_compare(run *r, gr_node_op op, const value *a, const value *b, bool *is)
{
    int order;
    if (op == GR_OP_EQ || op == GR_OP_NE) {
        bool done = gr_jinja_equal(r, a, b, is);
        *is ^= op == GR_OP_NE;
        return done;
    }
    if (op == GR_OP_IN || op == GR_OP_NOT_IN) {
        bool done = gr_jinja_contains(r, b, a, is);
        *is ^= op == GR_OP_NOT_IN;
        return done;
    }
    if (a->type == GR_VALUE_UNDEFINED || b->type == GR_VALUE_UNDEFINED)
        return undefined_operand(r, a->type == GR_VALUE_UNDEFINED ? a : b);
    if (a->type == GR_VALUE_VIEW || b->type == GR_VALUE_VIEW)
        return gr_jinja_unsupported(r, "comparing views of dicts is not supported");
    bool nan = (a->type == GR_VALUE_REAL && isnan(a->as.r)) || (b->type == GR_VALUE_REAL && isnan(b->as.r));
    if (!gr_jinja_order(r, a, b, signs[op], &order))
        return false;
    *is = !nan && (op == GR_OP_LT ? order < 0 : op == GR_OP_LE ? order <= 0 : op == GR_OP_GT ? order > 0 : order >= 0);
    return true;
}
