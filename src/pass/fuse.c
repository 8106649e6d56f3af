/* Fusing: element-wise ops of one shape become one gr_op_fused, so that memory is read and written once for all of them.
 *
 * The walk keeps some groups open. A node joins the group of its inputs, or one that reads what it reads. A group is
 * closed, that is appended to the new graph, when a node outside of it reads one of its results or must run after it. So
 * no open group depends on another one, and every order is kept that matters.
 * Fills, and views of them, are put off until something needs them as a tensor: as operands they become constants. */
#include "pass/pass.h"

#include "base/dtype.h"
#include "base/mem.h"
#include "op/attr.h"
#include "op/fused.h"
#include "op/op.h"

#include <string.h>

enum { OPEN = 16, CLOSED = -1 };

typedef struct group {
    const gr_tensor *member[GR_FUSED_CODE]; /* by id */
    int n;                                  /* 0: not in use */
} group;

typedef struct fuser {
    gr_rewrite r;
    const gr_target *target;
    group open[OPEN];
    int *group_of; /* by id: the open group, or CLOSED */
    int *uses;     /* by id: how many operands and roots it is */
} fuser;

/* ---- constants ---------------------------------------------------------------------------------------------- */

/* The fill behind views, which look the same everywhere; NULL: t is something else. */
static const gr_tensor *fill_behind(const gr_tensor *t)
{
    const gr_tensor *behind = gr_behind_views(t);
    return behind->op == &gr_op_fill ? behind : NULL;
}

/* Which operands of t become constants (bits): those without which it would be the same node. */
static unsigned constants_of(const gr_tensor *t)
{
    unsigned folded = 0;
    for (int k = t->n_in - 1; k >= 0; k--)
        if (fill_behind(t->in[k]) && gr_fused_takes_constants(t, folded | 1u << k))
            folded |= 1u << k;
    return folded;
}

/* ---- a group as a program ----------------------------------------------------------------------------------- */

typedef struct program {
    gr_fused_attr f;
    const gr_tensor *in[GR_FUSED_IN], *out[GR_FUSED_OUT];
    bool fits;
} program;

static uint8_t constant(program *p, double value)
{
    int k = 0;
    while (k < p->f.n_constants && memcmp(&p->f.constant[k], &value, sizeof value) != 0)
        k++;
    if (k == GR_FUSED_CONSTANTS) {
        p->fits = false;
        return 0;
    }
    if (k == p->f.n_constants)
        p->f.constant[p->f.n_constants++] = value;
    return (uint8_t)(GR_FUSED_CONSTANT + k);
}

/* The value of a fill as its dtype holds it. */
static double fill_value(const gr_tensor *fill)
{
    char one[8];
    const gr_dtype_info *d = gr_dtype_get(fill->spec.dtype);
    d->store(one, 0, ((const gr_fill_attr *)fill->attr)->value);
    return d->load(one, 0);
}

static uint8_t input(program *p, const gr_tensor *t)
{
    int k = 0;
    while (k < p->f.n_in && p->in[k] != t)
        k++;
    if (k == GR_FUSED_IN) {
        p->fits = false;
        return 0;
    }
    if (k == p->f.n_in)
        p->in[p->f.n_in++] = t;
    return (uint8_t)k;
}

static int find_member(const group *g, const gr_tensor *t)
{
    for (int i = 0; i < g->n; i++)
        if (g->member[i] == t)
            return i;
    return -1;
}

static void add_code(program *p, const group *g, const gr_tensor *t)
{
    unsigned folded = constants_of(t);
    gr_fused_code *c = gr_fused_append(&p->f, t->op, t->attr);
    if (!c) {
        p->fits = false;
        return;
    }
    c->dtype = (uint8_t)t->spec.dtype;
    for (int k = 0; k < t->n_in; k++) {
        int m = find_member(g, t->in[k]);
        if (m >= 0)
            c->arg[k] = (uint8_t)(GR_FUSED_RESULT + m);
        else if (folded >> k & 1)
            c->arg[k] = constant(p, fill_value(fill_behind(t->in[k])));
        else
            c->arg[k] = input(p, t->in[k]);
    }
}

/* Results that are read outside become outputs, the last one first: in place of an input only output 0 can be. */
static void add_outputs(program *p, const fuser *f, const group *g)
{
    int outside[GR_FUSED_CODE];
    for (int i = 0; i < g->n; i++)
        outside[i] = f->uses[g->member[i]->id];
    for (int i = 0; i < g->n; i++)
        for (int k = 0; k < g->member[i]->n_in; k++) {
            int m = find_member(g, g->member[i]->in[k]);
            if (m >= 0)
                outside[m]--;
        }
    for (int i = g->n - 1; i >= 0; i--) {
        if (outside[i] <= 0)
            continue;
        if (p->f.n_out == GR_FUSED_OUT) {
            p->fits = false;
            return;
        }
        p->out[p->f.n_out] = g->member[i];
        p->f.out[p->f.n_out++] = (uint8_t)(GR_FUSED_RESULT + i);
    }
}

/* fits is false when the group is larger than a program may be. */
static program make_program(const fuser *f, const group *g)
{
    program p = {.fits = true};
    const gr_spec *s = &g->member[0]->spec;
    p.f.ndim = (uint8_t)s->ndim;
    memcpy(p.f.shape, s->shape, sizeof p.f.shape);
    for (int i = 0; i < g->n && p.fits; i++)
        add_code(&p, g, g->member[i]);
    if (p.fits)
        add_outputs(&p, f, g);
    return p;
}

/* ---- closing ------------------------------------------------------------------------------------------------ */

/* t, as something that has been put off until now, in the new graph. */
static void need(fuser *f, const gr_tensor *t)
{
    const gr_tensor *node = t->source ? t->source : t;
    if (f->r.map[t->id] || f->r.to->failed != GR_OK)
        return;
    if (node->n_in)
        need(f, node->in[0]);
    gr_rewrite_copy(&f->r, node);
}

static void append_fused(fuser *f, const group *g, const program *p)
{
    gr_tensor *in[GR_FUSED_IN];
    for (int i = 0; i < p->f.n_in; i++) {
        need(f, p->in[i]);
        in[i] = f->r.map[p->in[i]->id];
    }
    f->r.to->backward = p->out[0]->backward;
    gr_tensor *t = gr_node(f->r.to, &gr_op_fused, in, p->f.n_in, &p->f);
    for (int k = 0; t && k < p->f.n_out; k++)
        gr_rewrite_map(&f->r, p->out[k], 0, t->outs[k]);
    for (int i = 0; i < g->n; i++)
        f->r.ran[g->member[i]->id] = t;
}

static void close_group(fuser *f, int which)
{
    if (which == CLOSED)
        return;
    group *g = &f->open[which];
    program p = make_program(f, g);
    if (g->n > 1 || p.f.n_constants > 0) {
        append_fused(f, g, &p);
    } else {
        for (int k = 0; k < g->member[0]->n_in; k++)
            need(f, g->member[0]->in[k]);
        gr_rewrite_copy(&f->r, g->member[0]);
    }
    for (int i = 0; i < g->n; i++)
        f->group_of[g->member[i]->id] = CLOSED;
    g->n = 0;
}

static void close_all(fuser *f)
{
    for (int i = 0; i < OPEN; i++)
        if (f->open[i].n)
            close_group(f, i);
}

/* ---- joining ------------------------------------------------------------------------------------------------ */

static bool same_kind(const group *g, const gr_tensor *t)
{
    return g->n > 0 && gr_spec_same_shape(&g->member[0]->spec, &t->spec) && g->member[0]->backward == t->backward;
}

/* Both groups' members by id; false, and nothing changed, when the result is too large. */
static bool merge(fuser *f, int to, int from)
{
    const group *a = &f->open[to], *b = &f->open[from];
    group both = {.n = 0};
    if (a->n + b->n > GR_FUSED_CODE)
        return false;
    for (int i = 0, j = 0; i < a->n || j < b->n;) {
        bool first = j == b->n || (i < a->n && a->member[i]->id < b->member[j]->id);
        both.member[both.n++] = first ? a->member[i++] : b->member[j++];
    }
    if (!make_program(f, &both).fits)
        return false;
    f->open[to] = both;
    f->open[from].n = 0;
    for (int i = 0; i < both.n; i++)
        f->group_of[both.member[i]->id] = to;
    return true;
}

static bool join(fuser *f, int which, const gr_tensor *t)
{
    group grown = f->open[which];
    if (grown.n == GR_FUSED_CODE)
        return false;
    grown.member[grown.n++] = t;
    if (!make_program(f, &grown).fits)
        return false;
    f->open[which] = grown;
    f->group_of[t->id] = which;
    return true;
}

/* The one group that holds t's inputs. Those that cannot be part of it are closed, since t reads them. */
static int group_of_inputs(fuser *f, const gr_tensor *t)
{
    int target = CLOSED;
    for (int k = 0; k < t->n_in; k++) {
        int g = f->group_of[t->in[k]->id];
        if (g == CLOSED || g == target)
            continue;
        if (!same_kind(&f->open[g], t))
            close_group(f, g);
        else if (target == CLOSED)
            target = g;
        else if (!merge(f, target, g))
            close_group(f, g);
    }
    return target;
}

static bool shares_input(const group *g, const gr_tensor *t)
{
    for (int i = 0; i < g->n; i++)
        for (int k = 0; k < g->member[i]->n_in; k++)
            for (int j = 0; j < t->n_in; j++)
                if (g->member[i]->in[k] == t->in[j] && gr_spec_same_shape(&t->in[j]->spec, &t->spec))
                    return true;
    return false;
}

/* A group that reads a whole tensor that t reads: memory is read once for both. */
static bool join_neighbour(fuser *f, const gr_tensor *t)
{
    for (int i = 0; i < OPEN; i++)
        if (same_kind(&f->open[i], t) && shares_input(&f->open[i], t) && join(f, i, t))
            return true;
    return false;
}

static void open_group(fuser *f, const gr_tensor *t)
{
    int which = 0;
    for (int i = 0; i < OPEN && f->open[which].n; i++)
        if (!f->open[i].n || f->open[i].member[0]->id < f->open[which].member[0]->id)
            which = i; /* a free one, or the oldest */
    if (f->open[which].n)
        close_group(f, which);
    f->open[which] = (group){.member = {t}, .n = 1};
    f->group_of[t->id] = which;
}

static void fuse(fuser *f, const gr_tensor *t)
{
    int target = group_of_inputs(f, t);
    if (target != CLOSED && join(f, target, t))
        return;
    close_group(f, target);
    if (!join_neighbour(f, t))
        open_group(f, t);
}

/* ---- the walk ----------------------------------------------------------------------------------------------- */

static void copy(fuser *f, const gr_tensor *t)
{
    for (int k = 0; k < t->n_in; k++) {
        if (!t->in[k])
            continue;
        close_group(f, f->group_of[t->in[k]->id]);
        need(f, t->in[k]);
    }
    for (int k = 0; k < t->n_after; k++)
        close_group(f, f->group_of[t->after[k]->id]);
    gr_rewrite_copy(&f->r, t);
}

static void count_uses(fuser *f, gr_tensor *const *roots, int n_roots)
{
    const gr_graph *g = f->r.from;
    for (size_t i = 0; i < g->n; i++) {
        f->group_of[i] = CLOSED;
        for (int k = 0; f->r.live[i] && k < g->nodes[i]->n_in; k++)
            if (g->nodes[i]->in[k])
                f->uses[g->nodes[i]->in[k]->id]++;
    }
    for (int i = 0; i < n_roots; i++)
        f->uses[roots[i]->id]++;
}

static void walk(fuser *f, gr_tensor *const *roots, int n_roots)
{
    const gr_graph *g = f->r.from;
    bool backward = false;
    for (size_t i = 0; i < g->n && f->r.to->failed == GR_OK; i++) {
        const gr_tensor *t = g->nodes[i];
        if (!f->r.live[i] || t->source)
            continue;
        if (t->backward != backward)
            close_all(f); /* nothing of the forward pass waits, with all it reads, for the backward pass */
        backward = t->backward;
        if (f->target->fuses(f->target->user, t))
            fuse(f, t);
        else if (!fill_behind(t))
            copy(f, t);
    }
    close_all(f);
    for (int i = 0; i < n_roots; i++)
        need(f, roots[i]);
}

gr_graph *gr_pass_fuse(const gr_graph *g, gr_tensor **roots, int n_roots, const gr_target *target)
{
    fuser f = {.target = target};
    if (gr_rewrite_open(&f.r, g, roots, n_roots) != GR_OK)
        return NULL;
    f.group_of = gr_alloc_zero(g->n, sizeof *f.group_of);
    f.uses = gr_alloc_zero(g->n, sizeof *f.uses);
    if (f.group_of && f.uses) {
        count_uses(&f, roots, n_roots);
        walk(&f, roots, n_roots);
    } else {
        gr_graph_fail(f.r.to);
    }
    gr_free(f.group_of);
    gr_free(f.uses);
    return gr_rewrite_close(&f.r, roots, n_roots);
}
