/* Which variable a name means. Jinja decides it when a template is compiled: a scope (the template, a loop's body, a macro)
 * has a variable of its own for what is set in it, which begins with what the next scope outwards has, else with nothing; for
 * what is only read and found in no scope around it has the rendering's variable of that name. So a `set` inside of a loop
 * is gone behind it. The branches of an `if` are no scopes, but where only some of them set a name it begins with the
 * outer value or the rendering's. */
#include "text/template/node.h"

typedef gr_jinja_node node;

typedef struct entry {
    const gr_jinja_text *name;
    gr_node_load load;
    bool stored;
} entry;

typedef struct scope {
    struct scope *parent;
    gr_node_function *function; /* whose frame has the slots */
    entry *at;                  /* a name's number is its slot, less the scope's first */
    size_t n, cap;
} scope;

typedef struct resolver {
    gr_jinja *jinja;
    scope *in;
} resolver;

/* ---- scopes ------------------------------------------------------------------------------------------------- */

static entry *own_entry(const scope *s, const gr_jinja_text *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (gr_jinja_same_text(s->at[i].name, name))
            return &s->at[i];
    return NULL;
}

/* The variable that a name means in s; hops: how many functions outwards it is. */
static const entry *find(const scope *s, const gr_jinja_text *name, int *hops)
{
    *hops = 0;
    for (const entry *e; s; s = s->parent) {
        if ((e = own_entry(s, name)))
            return e;
        *hops += s->parent && s->parent->function != s->function;
    }
    return NULL;
}

static bool add(resolver *r, const gr_jinja_text *name, gr_node_load load, bool stored)
{
    enum { most = 2000 }; /* names of a scope, where each is looked for among them all */
    scope *s = r->in;
    if (s->n == most) {
        gr_fail(GR_ERR_FILE, "%s: more than %d variables in one scope", r->jinja->name, most);
        return false;
    }
    if (gr_grow(&s->at, &s->cap, s->n + 1, sizeof *s->at) != GR_OK)
        return false;
    load.slot = s->function->slots++;
    load.name = name;
    s->at[s->n++] = (entry){name, load, stored};
    return true;
}

static bool declare_parameter(resolver *r, const gr_jinja_text *name)
{
    entry *e = own_entry(r->in, name);
    if (!e)
        return add(r, name, (gr_node_load){.kind = GR_LOAD_PARAMETER}, true);
    e->load.kind = GR_LOAD_PARAMETER;
    return e->stored = true;
}

/* What a name that is set here begins with. */
static gr_node_load outer_load(const resolver *r, const gr_jinja_text *name, gr_load_kind otherwise)
{
    int hops;
    const entry *outer = r->in->parent ? find(r->in->parent, name, &hops) : NULL;
    if (!outer)
        return (gr_node_load){.kind = otherwise};
    hops += r->in->parent->function != r->in->function;
    return (gr_node_load){.kind = GR_LOAD_OUTER, .outer = {hops, outer->load.slot}};
}

static bool note_store(resolver *r, const gr_jinja_text *name)
{
    entry *e = own_entry(r->in, name);
    if (e)
        return e->stored = true;
    return add(r, name, outer_load(r, name, GR_LOAD_NOTHING), true);
}

static bool note_load(resolver *r, const gr_jinja_text *name)
{
    int hops;
    return find(r->in, name, &hops) || add(r, name, (gr_node_load){.kind = GR_LOAD_VARIABLE}, false);
}

/* ---- first walk: what a scope has --------------------------------------------------------------------------- */

static bool note_all(resolver *r, const node *list);

/* Names are noted in the order in which they are met; bodies of other scopes are theirs. */
static bool note(resolver *r, const node *n);

/* Where a name is set in some branches only, it begins with what is outside. */
static bool note_if(resolver *r, const node *n)
{
    scope *s = r->in;
    size_t before;
    const node *const bodies[] = {n->list, n->b, n->more};
    if (!note(r, n->a))
        return false;
    before = s->n;
    bool *stored = gr_alloc_zero(before + 1, sizeof *stored);
    for (size_t i = 0; stored && i < before; i++)
        stored[i] = s->at[i].stored;
    bool done = stored != NULL;
    for (int i = 0; i < 3 && done; i++)
        done = note_all(r, bodies[i]);
    for (size_t i = 0; i < s->n && done; i++) {
        entry *e = &s->at[i];
        if (!e->stored || (i < before && stored[i]))
            continue;
        int slot = e->load.slot;
        e->load = outer_load(r, e->name, GR_LOAD_VARIABLE);
        e->load.slot = slot;
        e->load.name = e->name;
    }
    gr_free(stored);
    return done;
}

static bool note(resolver *r, const node *n)
{
    if (!n)
        return true;
    switch (n->kind) {
    case GR_NODE_NAME:
        return n->stores ? note_store(r, n->text) : note_load(r, n->text);
    case GR_NODE_ATTRIBUTE_OF:
        return note_load(r, n->text);
    case GR_NODE_IF:
        return note_if(r, n);
    case GR_NODE_MACRO:
        return note_store(r, n->text);
    case GR_NODE_SET:
        return note(r, n->b) && note(r, n->a);
    case GR_NODE_FOR:
        return note(r, n->b);
    case GR_NODE_SET_BLOCK:
    case GR_NODE_CALL_BLOCK:
    case GR_NODE_FILTER_BLOCK:
        return note(r, n->a);
    case GR_NODE_GENERATION:
        return true;
    case GR_NODE_CHOICE: /* in the order of the words */
        return note(r, n->a) && note(r, n->b) && note(r, n->c);
    default:
        return note(r, n->a) && note_all(r, n->list) && note_all(r, n->more) && note(r, n->b) && note(r, n->c);
    }
}

static bool note_all(resolver *r, const node *list)
{
    for (; list; list = list->next)
        if (!note(r, list))
            return false;
    return true;
}

/* ---- second walk: names get their slots --------------------------------------------------------------------- */

static bool place(resolver *r, node *n);

static bool place_all(resolver *r, node *list)
{
    for (; list; list = list->next)
        if (!place(r, list))
            return false;
    return true;
}

static bool place_name(resolver *r, node *n)
{
    int hops;
    const entry *e = find(r->in, n->text, &hops);
    if (!e) { /* in the filter of a set block, which the first walk does not meet; Jinja fails there, too */
        gr_jinja_refuse(r->jinja, GR_ERR_UNSUPPORTED, n->line, n->column,
                        "the name '%.*s' stands nowhere in front of this block", (int)n->text->size, n->text->bytes);
        return false;
    }
    n->at = (gr_node_slot){hops, e->load.slot};
    return true;
}

static void enter(resolver *r, scope *s, gr_node_function *function)
{
    *s = (scope){.parent = r->in, .function = function};
    r->in = s;
}

/* Ends a scope that `placed` tells was walked without a failure; *out is what to do on entering it. */
static bool leave(resolver *r, bool placed, gr_node_scope **out)
{
    scope *s = r->in;
    gr_node_scope *kept = placed ? gr_jinja_arena_take(&r->jinja->arena, sizeof *kept) : NULL;
    if (kept && (kept->loads = gr_jinja_arena_take(&r->jinja->arena, (s->n + 1) * sizeof *kept->loads))) {
        for (size_t i = 0; i < s->n; i++)
            if (s->at[i].load.kind != GR_LOAD_PARAMETER)
                kept->loads[kept->n++] = s->at[i].load;
        *out = kept;
    }
    gr_free(s->at);
    r->in = s->parent;
    return kept && kept->loads;
}

static bool place_scope(resolver *r, node *filter, node *body, gr_node_scope **out)
{
    scope s;
    enter(r, &s, r->in->function);
    return leave(r, note_all(r, body) && place_all(r, body) && place(r, filter), out);
}

static bool declare_targets(resolver *r, const node *target)
{
    if (target->kind == GR_NODE_NAME)
        return declare_parameter(r, target->text);
    for (const node *item = target->list; item; item = item->next)
        if (!declare_targets(r, item))
            return false;
    return true;
}

/* The condition of a loop sees its targets, not what its body sets. */
static bool share_targets(resolver *r, const node *target)
{
    for (const node *item = target->list; item; item = item->next)
        if (!share_targets(r, item))
            return false;
    if (target->kind != GR_NODE_NAME || own_entry(r->in, target->text))
        return true;
    if (!add(r, target->text, (gr_node_load){.kind = GR_LOAD_PARAMETER}, true))
        return false;
    r->in->at[r->in->n - 1].load.slot = target->at.slot;
    return true;
}

static const gr_jinja_text loop_name = {.bytes = "loop", .size = 4, .points = 4};

static bool place_loop_body(resolver *r, node *n)
{
    int hops;
    return declare_parameter(r, &loop_name) && declare_targets(r, n->a) && note_all(r, n->list) && place(r, n->a) &&
           place_all(r, n->list) && (n->loop_slot = find(r->in, &loop_name, &hops)->load.slot) >= 0;
}

static bool place_for(resolver *r, node *n)
{
    scope s;
    if (!place(r, n->b))
        return false;
    enter(r, &s, r->in->function);
    if (!leave(r, place_loop_body(r, n), &n->scope))
        return false;
    if (n->more && !place_scope(r, NULL, n->more, &n->else_scope))
        return false;
    if (!n->c)
        return true;
    enter(r, &s, r->in->function);
    return leave(r, share_targets(r, n->a) && note(r, n->c) && place(r, n->c), &n->test_scope);
}

/* ---- functions ---------------------------------------------------------------------------------------------- */

/* Whether a name is read somewhere in the nodes that are not told to set it before. */
static bool mentions(const node *n, const char *name)
{
    for (; n; n = n->next) {
        if (n->kind == GR_NODE_NAME && !n->stores && gr_jinja_text_is(n->text, name))
            return true;
        if (mentions(n->a, name) || mentions(n->b, name) || mentions(n->c, name) || mentions(n->list, name) ||
            mentions(n->more, name))
            return true;
    }
    return false;
}

/* caller, varargs, kwargs: parameters that a macro has when its body asks for them. */
static bool declare_special(resolver *r, const node *n, const char *name, int *slot)
{
    *slot = -1;
    for (const node *p = n->list; p; p = p->next)
        if (gr_jinja_text_is(p->text, name))
            return true;
    if (!mentions(n->more, name))
        return true;
    gr_jinja_text *text = gr_jinja_arena_take(&r->jinja->arena, sizeof *text);
    if (!text)
        return false;
    *text = (gr_jinja_text){.bytes = name, .size = strlen(name), .points = strlen(name)};
    *slot = r->in->function->slots;
    return declare_parameter(r, text);
}

static bool place_function_body(resolver *r, node *n, gr_node_function *f)
{
    for (const node *p = n->list; p; p = p->next)
        if (!declare_parameter(r, p->text))
            return false;
    for (const node *p = n->list; p; p = p->next)
        if (!note(r, p->a))
            return false;
    if (!declare_special(r, n, "caller", &f->caller) || !declare_special(r, n, "kwargs", &f->kwargs) ||
        !declare_special(r, n, "varargs", &f->varargs) || !note_all(r, n->more))
        return false;
    for (node *p = n->list; p; p = p->next)
        if (!place_name(r, p) || !place(r, p->a))
            return false;
    return place_all(r, n->more);
}

static bool place_function(resolver *r, node *n)
{
    scope s;
    gr_node_function *f = gr_jinja_arena_take(&r->jinja->arena, sizeof *f);
    if (!f || (n->kind == GR_NODE_MACRO && !place_name(r, n)) || !place(r, n->a))
        return false;
    n->function = f;
    enter(r, &s, f);
    return leave(r, place_function_body(r, n, f), &n->scope);
}

static bool place(resolver *r, node *n)
{
    if (!n)
        return true;
    switch (n->kind) {
    case GR_NODE_NAME:
    case GR_NODE_ATTRIBUTE_OF:
        return place_name(r, n);
    case GR_NODE_IF:
        return place(r, n->a) && place_all(r, n->list) && place_all(r, n->b) && place_all(r, n->more);
    case GR_NODE_FOR:
        return place_for(r, n);
    case GR_NODE_SET_BLOCK:
        return place(r, n->a) && place_scope(r, n->b, n->list, &n->scope);
    case GR_NODE_FILTER_BLOCK:
        return place_scope(r, n->a, n->list, &n->scope);
    case GR_NODE_MACRO:
    case GR_NODE_CALL_BLOCK:
    case GR_NODE_GENERATION:
        return place_function(r, n);
    default:
        return place(r, n->a) && place(r, n->b) && place(r, n->c) && place_all(r, n->list) && place_all(r, n->more);
    }
}

gr_status gr_jinja_resolve(gr_jinja *j)
{
    resolver r = {.jinja = j};
    scope root;
    enter(&r, &root, &j->function);
    return leave(&r, note_all(&r, j->body) && place_all(&r, j->body), &j->scope) ? GR_OK : gr_error_status();
}
