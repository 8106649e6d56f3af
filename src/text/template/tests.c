/* Tests: what stands behind "is". */
#include "text/template/run.h"

typedef gr_jinja_value value;
typedef gr_jinja_run run;
typedef gr_jinja_text text;
typedef gr_jinja_args arguments;

static bool answer(run *r, const char *name, const arguments *args, bool is, value *out)
{
    *out = gr_jinja_bool(is);
    return gr_jinja_check_arguments(r, name, args, 0, 0, "");
}

/* ---- types -------------------------------------------------------------------------------------------------- */

static bool test_defined(run *r, const value *self, const arguments *args, value *out)
{
    return answer(r, "defined", args, self->type != GR_VALUE_UNDEFINED, out);
}

static bool test_undefined(run *r, const value *self, const arguments *args, value *out)
{
    return answer(r, "undefined", args, self->type == GR_VALUE_UNDEFINED, out);
}

static bool test_none(run *r, const value *self, const arguments *args, value *out)
{
    return answer(r, "none", args, self->type == GR_VALUE_NONE, out);
}

static bool test_boolean(run *r, const value *self, const arguments *args, value *out)
{
    return answer(r, "boolean", args, self->type == GR_VALUE_BOOL, out);
}

static bool test_true(run *r, const value *self, const arguments *args, value *out)
{
    return answer(r, "true", args, self->type == GR_VALUE_BOOL && self->as.truth, out);
}

static bool test_false(run *r, const value *self, const arguments *args, value *out)
{
    return answer(r, "false", args, self->type == GR_VALUE_BOOL && !self->as.truth, out);
}

static bool test_integer(run *r, const value *self, const arguments *args, value *out)
{
    return answer(r, "integer", args, self->type == GR_VALUE_INT, out);
}

static bool test_float(run *r, const value *self, const arguments *args, value *out)
{
    return answer(r, "float", args, self->type == GR_VALUE_REAL, out);
}

static bool test_number(run *r, const value *self, const arguments *args, value *out)
{
    return answer(r, "number", args, gr_jinja_is_number(self), out);
}

static bool test_string(run *r, const value *self, const arguments *args, value *out)
{
    return answer(r, "string", args, self->type == GR_VALUE_TEXT, out);
}

static bool test_mapping(run *r, const value *self, const arguments *args, value *out)
{
    return answer(r, "mapping", args, self->type == GR_VALUE_DICT, out);
}

static bool test_sequence(run *r, const value *self, const arguments *args, value *out)
{
    bool has;
    gr_jinja_length(self, &has);
    return answer(r, "sequence", args, has && self->type != GR_VALUE_VIEW && self->type != GR_VALUE_LOOP, out);
}

static bool test_iterable(run *r, const value *self, const arguments *args, value *out)
{
    return answer(r, "iterable", args, gr_jinja_can_iterate(self), out);
}

static bool test_callable(run *r, const value *self, const arguments *args, value *out)
{
    bool is = self->type == GR_VALUE_MACRO || self->type == GR_VALUE_METHOD || self->type == GR_VALUE_GLOBAL ||
              self->type == GR_VALUE_UNDEFINED || self->type == GR_VALUE_LOOP;
    return answer(r, "callable", args, is, out);
}

static bool test_escaped(run *r, const value *self, const arguments *args, value *out)
{
    return answer(r, "escaped", args, self->markup, out);
}

/* ---- comparisons -------------------------------------------------------------------------------------------- */

static bool compare(run *r, const char *name, gr_node_op op, const value *self, const arguments *args, value *out)
{
    bool is = false;
    if (!gr_jinja_check_arguments(r, name, args, 1, 1, "") || !gr_jinja_compare(r, op, self, &args->items[0], &is))
        return false;
    *out = gr_jinja_bool(is);
    return true;
}

static bool test_eq(run *r, const value *self, const arguments *args, value *out)
{
    return compare(r, "eq", GR_OP_EQ, self, args, out);
}

static bool test_ne(run *r, const value *self, const arguments *args, value *out)
{
    return compare(r, "ne", GR_OP_NE, self, args, out);
}

static bool test_lt(run *r, const value *self, const arguments *args, value *out)
{
    return compare(r, "lt", GR_OP_LT, self, args, out);
}

static bool test_le(run *r, const value *self, const arguments *args, value *out)
{
    return compare(r, "le", GR_OP_LE, self, args, out);
}

static bool test_gt(run *r, const value *self, const arguments *args, value *out)
{
    return compare(r, "gt", GR_OP_GT, self, args, out);
}

static bool test_ge(run *r, const value *self, const arguments *args, value *out)
{
    return compare(r, "ge", GR_OP_GE, self, args, out);
}

static bool test_in(run *r, const value *self, const arguments *args, value *out)
{
    return compare(r, "in", GR_OP_IN, self, args, out);
}

/* The same object: told of what Python has only one of. */
static bool test_sameas(run *r, const value *self, const arguments *args, value *out)
{
    if (!gr_jinja_check_arguments(r, "sameas", args, 1, 1, "other"))
        return false;
    const value *other = gr_jinja_argument(args, 0, "other");
    bool single = self->type == GR_VALUE_NONE || self->type == GR_VALUE_BOOL || !other ||
                  other->type == GR_VALUE_NONE || other->type == GR_VALUE_BOOL;
    if (!single)
        return gr_jinja_unsupported(r, "sameas is supported for true, false and none only");
    *out = gr_jinja_bool(other && self->type == other->type &&
                         (self->type == GR_VALUE_NONE || self->as.truth == other->as.truth));
    return true;
}

static bool remainder_is(run *r, const char *name, const value *self, const value *by, bool wanted_zero, value *out)
{
    value rest;
    bool is;
    const value zero = gr_jinja_int(wanted_zero ? 0 : 1);
    if (!gr_jinja_is_number(self) || !gr_jinja_is_number(by))
        return gr_jinja_fail(r, "%s: expected a number, not %s", name, gr_jinja_type_name(self));
    if (!gr_jinja_binary(r, GR_OP_MOD, self, by, &rest) || !gr_jinja_equal(r, &rest, &zero, &is))
        return false;
    *out = gr_jinja_bool(is);
    return true;
}

static bool test_odd(run *r, const value *self, const arguments *args, value *out)
{
    const value two = gr_jinja_int(2);
    return gr_jinja_check_arguments(r, "odd", args, 0, 0, "") && remainder_is(r, "odd", self, &two, false, out);
}

static bool test_even(run *r, const value *self, const arguments *args, value *out)
{
    const value two = gr_jinja_int(2);
    return gr_jinja_check_arguments(r, "even", args, 0, 0, "") && remainder_is(r, "even", self, &two, true, out);
}

static bool test_divisibleby(run *r, const value *self, const arguments *args, value *out)
{
    return gr_jinja_check_arguments(r, "divisibleby", args, 1, 1, "num") &&
           remainder_is(r, "divisibleby", self, gr_jinja_argument(args, 0, "num"), true, out);
}

/* ---- text, names -------------------------------------------------------------------------------------------- */

static bool text_is(run *r, const char *name, const char *method, const value *self, const arguments *args, value *out)
{
    value s;
    gr_jinja_lack lack;
    const text method_name = {.bytes = method, .size = strlen(method)};
    if (!gr_jinja_check_arguments(r, name, args, 0, 0, "") || !gr_jinja_str(r, self, &s))
        return false;
    return gr_jinja_method_named(&s, &method_name, &lack)->call(r, &s, args, out);
}

static bool test_lower(run *r, const value *self, const arguments *args, value *out)
{
    return text_is(r, "lower", "islower", self, args, out);
}

static bool test_upper(run *r, const value *self, const arguments *args, value *out)
{
    return text_is(r, "upper", "isupper", self, args, out);
}

const gr_jinja_function *gr_jinja_test_named(const text *name)
{
    static const gr_jinja_function tests[] = {
        {"defined", test_defined},
        {"undefined", test_undefined},
        {"none", test_none},
        {"string", test_string},
        {"mapping", test_mapping},
        {"iterable", test_iterable},
        {"sequence", test_sequence},
        {"boolean", test_boolean},
        {"true", test_true},
        {"false", test_false},
        {"integer", test_integer},
        {"float", test_float},
        {"number", test_number},
        {"callable", test_callable},
        {"escaped", test_escaped},
        {"eq", test_eq},
        {"equalto", test_eq},
        {"==", test_eq},
        {"ne", test_ne},
        {"!=", test_ne},
        {"lt", test_lt},
        {"lessthan", test_lt},
        {"<", test_lt},
        {"le", test_le},
        {"<=", test_le},
        {"gt", test_gt},
        {"greaterthan", test_gt},
        {">", test_gt},
        {"ge", test_ge},
        {">=", test_ge},
        {"in", test_in},
        {"sameas", test_sameas},
        {"odd", test_odd},
        {"even", test_even},
        {"divisibleby", test_divisibleby},
        {"lower", test_lower},
        {"upper", test_upper},
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (gr_jinja_text_is(name, tests[i].name))
            return &tests[i];
    return NULL;
}
