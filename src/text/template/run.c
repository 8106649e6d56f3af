/* Running statements, macros, and a rendering as a whole. */
#include "text/template/run.h"

#include <stdarg.h>

typedef gr_jinja_node node;
typedef gr_jinja_value value;
typedef gr_jinja_run run;
typedef gr_jinja_frame frame;

const gr_jinja_limits gr_jinja_default_limits = {
    .steps = 20 * 1000 * 1000, .depth = 600, .memory = (size_t)256 << 20, .text_bytes = (size_t)64 << 20};

/* How a statement ended. */
typedef enum ended { FAILED, DONE, BROKEN, CONTINUED } ended;

static ended run_nodes(run *r, const node *list);

/* ---- messages ----------------------------------------------------------------------------------------------- */

static bool fail(run *r, gr_status code, const char *fmt, va_list args)
{
    gr_fail_list(code, fmt, args);
    gr_fail_in("%s: line %u, column %u", r->jinja->name, r->at ? (unsigned)r->at->line : 1,
               r->at ? (unsigned)r->at->column : 1);
    return false;
}

bool gr_jinja_fail(run *r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fail(r, GR_ERR_ARGUMENT, fmt, args);
    va_end(args);
    return false;
}

bool gr_jinja_unsupported(run *r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fail(r, GR_ERR_UNSUPPORTED, fmt, args);
    va_end(args);
    return false;
}

bool gr_jinja_fail_deep(run *r)
{
    return gr_jinja_fail(r, "nested more deeply than the %lld levels that a rendering may have",
                         (long long)r->input->limits.depth);
}

/* ---- variables ---------------------------------------------------------------------------------------------- */

value *gr_jinja_slot(run *r, gr_node_slot at)
{
    frame *f = r->frame;
    for (int hops = at.hops; hops; hops--)
        f = f->outer;
    return &f->slots[at.slot];
}

/* A variable of the rendering, or a function that every template has. */
static value variable(const run *r, const gr_jinja_text *name)
{
    const value *found = gr_jinja_find_name(&r->variables, name->bytes, name->size);
    const gr_jinja_function *global = found ? NULL : gr_jinja_global_named(name);
    if (found)
        return *found;
    return global ? (value){.type = GR_VALUE_GLOBAL, .as.global = global} : (value){.type = GR_VALUE_MISSING};
}

static bool enter_scope(run *r, const gr_node_scope *scope)
{
    if (!gr_jinja_charge(r, (size_t)scope->n))
        return false;
    for (int i = 0; i < scope->n; i++) {
        const gr_node_load *load = &scope->loads[i];
        value *to = &r->frame->slots[load->slot];
        if (load->kind == GR_LOAD_VARIABLE)
            *to = variable(r, load->name);
        else if (load->kind == GR_LOAD_OUTER)
            *to = *gr_jinja_slot(r, load->outer);
        else
            *to = (value){.type = GR_VALUE_MISSING};
    }
    return true;
}

/* ---- set ---------------------------------------------------------------------------------------------------- */

static bool set_attribute(run *r, const node *target, const value *v)
{
    value *ns = gr_jinja_slot(r, target->at);
    r->at = target;
    if (ns->type != GR_VALUE_NAMESPACE)
        return gr_jinja_fail(r, "only a namespace has attributes that can be set");
    if (*target->value.as.text->bytes == '_')
        return gr_jinja_fail(r, "a namespace has no attributes that begin with '_'");
    return gr_jinja_put(r, ns->as.dict, &target->value, v);
}

/* Puts a value into a name, an attribute, or its items into several. */
static bool assign(run *r, const node *target, const value *v)
{
    const value *items;
    size_t n, wanted = 0;
    if (target->kind == GR_NODE_NAME) {
        *gr_jinja_slot(r, target->at) = *v;
        return true;
    }
    if (target->kind == GR_NODE_ATTRIBUTE_OF)
        return set_attribute(r, target, v);
    r->at = target;
    if (!gr_jinja_items(r, v, &items, &n))
        return false;
    for (const node *item = target->list; item; item = item->next)
        wanted++;
    if (n != wanted)
        return gr_jinja_fail(r, "%zu values for %zu names", n, wanted);
    for (const node *item = target->list; item; item = item->next)
        if (!assign(r, item, items++))
            return false;
    return true;
}

/* Namespaces are looked at before the value is computed. */
static bool check_target(run *r, const node *target)
{
    for (const node *item = target->kind == GR_NODE_TUPLE ? target->list : NULL; item; item = item->next)
        if (!check_target(r, item))
            return false;
    r->at = target;
    return target->kind != GR_NODE_ATTRIBUTE_OF || gr_jinja_slot(r, target->at)->type == GR_VALUE_NAMESPACE ||
           gr_jinja_fail(r, "only a namespace has attributes that can be set");
}

static bool run_set(run *r, const node *n)
{
    value v;
    return check_target(r, n->a) && gr_jinja_evaluate(r, n->b, &v) && assign(r, n->a, &v);
}

/* ---- text that is caught ------------------------------------------------------------------------------------ */

/* Runs nodes whose text becomes a value. */
static ended catch_text(run *r, const node *list, value *out)
{
    gr_jinja_builder made = {0}, *outer = r->out;
    r->out = &made;
    ended end = run_nodes(r, list);
    r->out = outer;
    return end != FAILED && gr_jinja_built(r, &made, out) ? end : FAILED;
}

/* Filters hang on one another: the innermost one gets what the block made. */
static bool filter_text(run *r, const node *n, const value *text, value *out)
{
    value subject = *text;
    if (n->kind != GR_NODE_FILTER) {
        r->at = n;
        return gr_jinja_fail(r, "a block can be filtered, not tested or called");
    }
    return (!n->a || filter_text(r, n->a, text, &subject)) && gr_jinja_filter_value(r, n, &subject, out);
}

static ended run_set_block(run *r, const node *n)
{
    value text;
    if (!enter_scope(r, n->scope))
        return FAILED;
    ended end = catch_text(r, n->list, &text);
    if (end != DONE)
        return end;
    return (!n->b || filter_text(r, n->b, &text, &text)) && check_target(r, n->a) && assign(r, n->a, &text) ? DONE
                                                                                                            : FAILED;
}

/* What a block comes to is a text; Jinja does not make one of other values here. */
static bool add_block(run *r, const node *n, const value *text)
{
    r->at = n;
    if (text->type != GR_VALUE_TEXT)
        return gr_jinja_fail(r, "the block comes to %s, not to a str", gr_jinja_type_name(text));
    return gr_jinja_add_text(r, r->out, text->as.text);
}

static ended run_filter_block(run *r, const node *n)
{
    value text;
    if (!enter_scope(r, n->scope))
        return FAILED;
    ended end = catch_text(r, n->list, &text);
    if (end != DONE)
        return end;
    return filter_text(r, n->a, &text, &text) && add_block(r, n, &text) ? DONE : FAILED;
}

/* ---- macros ------------------------------------------------------------------------------------------------- */

static const value *take_named(const gr_jinja_args *args, const gr_jinja_text *name)
{
    for (size_t i = 0; i < args->n_named; i++)
        if (gr_jinja_same_text(args->named[i].key.as.text, name))
            return &args->named[i].value;
    return NULL;
}

static bool is_parameter(const node *n, const gr_jinja_text *name, size_t from)
{
    size_t i = 0;
    for (const node *p = n->list; p; p = p->next)
        if (i++ >= from && gr_jinja_same_text(p->text, name))
            return true;
    return false;
}

/* What is left over becomes varargs, kwargs and caller, where the macro asks for them. */
static bool bind_rest(run *r, const node *n, const gr_jinja_args *args, size_t parameters)
{
    const gr_node_function *f = n->function;
    value kwargs, *slots = r->frame->slots;
    char shown[64];
    size_t extra = args->n > parameters ? args->n - parameters : 0;
    if (f->varargs >= 0 &&
        !gr_jinja_list_of(r, GR_VALUE_TUPLE, extra ? args->items + parameters : NULL, extra, &slots[f->varargs]))
        return false;
    if (f->varargs < 0 && extra)
        return gr_jinja_fail(r, "the macro takes not more than %zu arguments", parameters);
    if (f->caller >= 0)
        slots[f->caller] = gr_jinja_undefined(NULL);
    if (!gr_jinja_new_dict(r, GR_VALUE_DICT, 0, &kwargs))
        return false;
    for (size_t i = 0; i < args->n_named; i++) {
        const gr_jinja_text *name = args->named[i].key.as.text;
        if (is_parameter(n, name, args->n))
            continue;
        if (f->caller >= 0 && gr_jinja_text_is(name, "caller")) {
            slots[f->caller] = args->named[i].value;
            continue;
        }
        gr_printable(name->bytes, name->size, shown, sizeof shown);
        if (f->kwargs < 0)
            return gr_jinja_fail(r, "the macro has no argument '%s'", shown);
        if (!gr_jinja_put(r, kwargs.as.dict, &args->named[i].key, &args->named[i].value))
            return false;
    }
    if (f->kwargs >= 0)
        slots[f->kwargs] = kwargs;
    return true;
}

static bool bind_parameters(run *r, const node *n, const gr_jinja_args *args)
{
    size_t i = 0;
    value *slots = r->frame->slots;
    for (const node *p = n->list; p; p = p->next, i++) {
        const value *given = i < args->n ? &args->items[i] : take_named(args, p->text);
        slots[p->at.slot] = given ? *given : (value){.type = GR_VALUE_MISSING};
    }
    if (!bind_rest(r, n, args, i))
        return false;
    for (const node *p = n->list; p; p = p->next) { /* a default may read the parameters before it */
        value v = gr_jinja_undefined(p);
        if (slots[p->at.slot].type != GR_VALUE_MISSING)
            continue;
        if (p->a && !gr_jinja_evaluate(r, p->a, &v))
            return false;
        slots[p->at.slot] = v;
    }
    return true;
}

bool gr_jinja_call_macro(run *r, const gr_jinja_macro *macro, const gr_jinja_args *args, value *out)
{
    const node *n = macro->node;
    frame *before = r->frame, *f = gr_jinja_take(r, 1, sizeof *f);
    if (!f || !(f->slots = gr_jinja_take(r, (size_t)n->function->slots + 1, sizeof *f->slots)))
        return false;
    f->outer = macro->outer;
    r->frame = f;
    bool done = enter_scope(r, n->scope) && bind_parameters(r, n, args) && catch_text(r, n->more, out) != FAILED;
    r->frame = before;
    return done;
}

static bool make_macro(run *r, const node *n, value *out)
{
    gr_jinja_macro *macro = gr_jinja_take(r, 1, sizeof *macro);
    if (!macro)
        return false;
    *macro = (gr_jinja_macro){n, r->frame};
    *out = (value){.type = GR_VALUE_MACRO, .as.macro = macro};
    return true;
}

/* The call gets the block as its argument `caller`. */
static bool run_call_block(run *r, const node *n)
{
    value callee, caller, key, text;
    gr_jinja_args args;
    gr_jinja_dict named = {0};
    if (!make_macro(r, n, &caller) || !gr_jinja_evaluate(r, n->a->a, &callee) || !gr_jinja_arguments(r, n->a, &args) ||
        !gr_jinja_string(r, "caller", &key))
        return false;
    for (size_t i = 0; i < args.n_named; i++)
        if (!gr_jinja_put(r, &named, &args.named[i].key, &args.named[i].value))
            return false;
    if (!gr_jinja_put(r, &named, &key, &caller))
        return false;
    args.named = named.pairs;
    args.n_named = named.n;
    r->at = n;
    return gr_jinja_call_value(r, &callee, &args, &text) && add_block(r, n, &text);
}

/* What a generation block makes is noted where its place in the result is known: outside of macros and other blocks. */
static bool run_generation(run *r, const node *n)
{
    value block, text;
    const gr_jinja_args none = {0};
    if (!make_macro(r, n, &block) || !gr_jinja_call_macro(r, block.as.macro, &none, &text))
        return false;
    gr_jinja_output *o = r->result;
    size_t from = r->out->size;
    if (!gr_jinja_add_text(r, r->out, text.as.text))
        return false;
    if (r->out != &r->root)
        return true;
    if (gr_grow(&o->generated, &o->generated_cap, o->n_generated + 1, sizeof *o->generated) != GR_OK)
        return false;
    o->generated[o->n_generated++] = (gr_jinja_span){from, r->out->size};
    return true;
}

/* ---- loops and conditions ----------------------------------------------------------------------------------- */

/* The items that the loop's condition lets through. */
static bool choose_items(run *r, const node *n, const value **items, size_t *count)
{
    gr_jinja_values chosen = {0};
    if (!enter_scope(r, n->test_scope))
        return false;
    for (size_t i = 0; i < *count; i++) {
        value test;
        if (!assign(r, n->a, &(*items)[i]) || !gr_jinja_evaluate(r, n->c, &test) ||
            (gr_jinja_truth(&test) && !gr_jinja_push(r, &chosen, &(*items)[i])))
            return false;
    }
    *items = chosen.items;
    *count = chosen.n;
    return true;
}

static ended run_for(run *r, const node *n)
{
    value over;
    gr_jinja_loop *loop;
    if (!gr_jinja_evaluate(r, n->b, &over) || !(loop = gr_jinja_take(r, 1, sizeof *loop)))
        return FAILED;
    r->at = n->b;
    if (!gr_jinja_items(r, &over, &loop->items, &loop->n) || (n->c && !choose_items(r, n, &loop->items, &loop->n)))
        return FAILED;
    bool finished = false; /* one iteration, not left by break or continue: then there is no else */
    for (loop->at = 0; loop->at < loop->n; loop->at++) {
        if (!enter_scope(r, n->scope) || !assign(r, n->a, &loop->items[loop->at]))
            return FAILED;
        r->frame->slots[n->loop_slot] = (value){.type = GR_VALUE_LOOP, .as.loop = loop};
        ended end = run_nodes(r, n->list);
        if (end == FAILED)
            return FAILED;
        if (end == BROKEN)
            break;
        finished |= end == DONE;
    }
    if (finished || !n->more)
        return DONE;
    return enter_scope(r, n->else_scope) ? run_nodes(r, n->more) : FAILED;
}

static ended run_if(run *r, const node *n)
{
    value test;
    if (!gr_jinja_evaluate(r, n->a, &test))
        return FAILED;
    if (gr_jinja_truth(&test))
        return run_nodes(r, n->list);
    for (const node *other = n->b; other; other = other->next) {
        if (!gr_jinja_evaluate(r, other->a, &test))
            return FAILED;
        if (gr_jinja_truth(&test))
            return run_nodes(r, other->list);
    }
    return run_nodes(r, n->more);
}

static bool run_print(run *r, const node *n)
{
    value v;
    if (!gr_jinja_evaluate(r, n->a, &v))
        return false;
    r->at = n->a;
    return gr_jinja_add_str(r, r->out, &v);
}

static ended run_node(run *r, const node *n)
{
    switch (n->kind) {
    case GR_NODE_DATA:
        return gr_jinja_add_text(r, r->out, n->value.as.text) ? DONE : FAILED;
    case GR_NODE_PRINT:
        return run_print(r, n) ? DONE : FAILED;
    case GR_NODE_IF:
        return run_if(r, n);
    case GR_NODE_FOR:
        return run_for(r, n);
    case GR_NODE_SET:
        return run_set(r, n) ? DONE : FAILED;
    case GR_NODE_SET_BLOCK:
        return run_set_block(r, n);
    case GR_NODE_MACRO:
        return make_macro(r, n, gr_jinja_slot(r, n->at)) ? DONE : FAILED;
    case GR_NODE_CALL_BLOCK:
        return run_call_block(r, n) ? DONE : FAILED;
    case GR_NODE_FILTER_BLOCK:
        return run_filter_block(r, n);
    case GR_NODE_GENERATION:
        return run_generation(r, n) ? DONE : FAILED;
    case GR_NODE_BREAK:
        return BROKEN;
    case GR_NODE_CONTINUE:
        return CONTINUED;
    default:
        gr_jinja_fail(r, "this is no statement");
        return FAILED;
    }
}

static ended run_nodes(run *r, const node *list)
{
    ended end = DONE;
    r->depth--;
    for (; list && end == DONE; list = list->next) {
        r->at = list;
        if (r->depth < 0) {
            gr_jinja_fail_deep(r);
            return FAILED;
        }
        end = gr_jinja_charge(r, 1) ? run_node(r, list) : FAILED;
    }
    r->depth++;
    return end;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static bool render(run *r)
{
    frame root = {0};
    if (!gr_jinja_read_input(r) ||
        !(root.slots = gr_jinja_take(r, (size_t)r->jinja->function.slots + 1, sizeof *root.slots)))
        return false;
    r->frame = &root;
    r->out = &r->root;
    return enter_scope(r, r->jinja->scope) && run_nodes(r, r->jinja->body) != FAILED &&
           gr_bytes_add(&r->result->text, r->root.bytes, r->root.size) == GR_OK &&
           gr_bytes_add(&r->result->mask, r->root.mask, r->root.size) == GR_OK;
}

gr_status gr_jinja_render(const gr_jinja *j, const gr_jinja_input *input, gr_jinja_output *out)
{
    run r = {.jinja = j, .input = input, .steps = input->limits.steps, .depth = input->limits.depth, .result = out};
    r.arena.limit = input->limits.memory;
    gr_status s = render(&r) ? GR_OK : gr_error_status();
    gr_jinja_arena_free(&r.arena);
    return s;
}

void gr_jinja_output_free(gr_jinja_output *out)
{
    gr_bytes_free(&out->text);
    gr_bytes_free(&out->mask);
    gr_free(out->generated);
    *out = (gr_jinja_output){0};
}
