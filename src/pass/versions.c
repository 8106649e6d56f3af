/* Versions: a graph's reads name the version of a store's tensor that they read, but memory holds one at a time. Here the
 * order that this asks for becomes explicit, once, so that no other pass has rules about it.
 *
 * An effect runs after those that read the version which it replaces. Is that version read later, by the effect through
 * another operand, or by the host, then a copy is taken before, and the later readers, and views they look through, get
 * the copy. */
#include "pass/pass.h"

#include "base/mem.h"
#include "op/op.h"

typedef struct reader {
    int64_t id;
    int next; /* in the list of the same version; -1: the last */
} reader;

typedef struct versions {
    gr_rewrite r;
    int64_t *memory; /* by id: the version whose memory it shows, be it through views; -1: none */
    int64_t *last;   /* by id of a version: the last node that reads it; INT64_MAX: the host */
    int *readers;    /* by id of a version: the newest of its readers; -1: none */
    reader *list;
    size_t n, capacity;
    gr_tensor **after; /* of the effect at hand */
    size_t after_capacity;
} versions;

/* ---- who reads what ----------------------------------------------------------------------------------------- */

static int64_t memory_of(const versions *v, const gr_tensor *t)
{
    const gr_tensor *node = t->source ? t->source : t;
    if (gr_is_version(t))
        return t->id;
    return node->op->view ? v->memory[node->in[0]->id] : -1;
}

static gr_status note_reader(versions *v, int64_t version, int64_t id)
{
    if (v->last[version] == id)
        return GR_OK; /* it reads it twice */
    v->last[version] = id;
    gr_status s = gr_grow(&v->list, &v->capacity, v->n + 1, sizeof *v->list);
    if (s != GR_OK)
        return s;
    v->list[v->n] = (reader){id, v->readers[version]};
    v->readers[version] = (int)v->n++;
    return GR_OK;
}

static gr_status find_readers(versions *v, gr_tensor *const *roots, int n_roots)
{
    const gr_graph *g = v->r.from;
    gr_status s = GR_OK;
    for (size_t i = 0; s == GR_OK && i < g->n; i++) {
        const gr_tensor *t = g->nodes[i];
        v->memory[i] = memory_of(v, t);
        v->readers[i] = -1;
        for (int k = 0; s == GR_OK && v->r.live[i] && !t->source && !t->op->view && k < t->n_in; k++)
            if (t->in[k] && v->memory[t->in[k]->id] >= 0)
                s = note_reader(v, v->memory[t->in[k]->id], t->id);
    }
    for (int i = 0; i < n_roots; i++)
        if (v->memory[roots[i]->id] >= 0)
            v->last[v->memory[roots[i]->id]] = INT64_MAX;
    return s;
}

/* ---- an effect ---------------------------------------------------------------------------------------------- */

static bool writes(const gr_tensor *effect, int k)
{
    return (effect->op->writes >> k & 1) && effect->in[k];
}

/* Does the effect itself read the version by an operand that it does not write? */
static bool reads_beside(const versions *v, const gr_tensor *effect, int64_t version)
{
    bool found = false;
    for (int k = 0; k < effect->n_in; k++)
        found = found || (effect->in[k] && !writes(effect, k) && v->memory[effect->in[k]->id] == version);
    return found;
}

/* From here on a copy, taken now, stands for the version, and for views of it views of the copy. */
static gr_tensor *keep(versions *v, const gr_tensor *version, const gr_tensor *effect)
{
    v->r.to->backward = effect->backward;
    gr_tensor *copy = gr_unary(&gr_op_contiguous, v->r.map[version->id]);
    v->r.map[version->id] = copy;
    for (int64_t i = version->id + 1; copy && i < effect->id; i++) {
        const gr_tensor *t = v->r.from->nodes[i];
        if (v->r.live[i] && !t->source && t->op->view && v->memory[i] == version->id)
            gr_rewrite_copy(&v->r, t);
    }
    return copy;
}

static gr_status add_after(versions *v, int *n, gr_tensor *t)
{
    gr_status s = gr_grow(&v->after, &v->after_capacity, (size_t)*n + 1, sizeof(gr_tensor *));
    if (s == GR_OK)
        v->after[(*n)++] = t;
    return s;
}

static gr_status copy_effect(versions *v, const gr_tensor *effect)
{
    gr_tensor *in[GR_MAX_INPUTS], *written[GR_MAX_INPUTS] = {0};
    int n = 0;
    gr_status s = GR_OK;
    for (int k = 0; s == GR_OK && k < effect->n_in; k++) {
        if (!writes(effect, k))
            continue;
        const gr_tensor *old = effect->in[k];
        written[k] = v->r.map[old->id];
        for (int at = v->readers[old->id]; s == GR_OK && at >= 0; at = v->list[at].next)
            if (v->list[at].id < effect->id)
                s = add_after(v, &n, v->r.map[v->list[at].id]);
        if (v->last[old->id] > effect->id || reads_beside(v, effect, old->id))
            s = s == GR_OK ? add_after(v, &n, keep(v, old, effect)) : s;
    }
    gr_rewrite_inputs(&v->r, effect, in);
    for (int k = 0; k < effect->n_in; k++)
        in[k] = written[k] ? written[k] : in[k];
    gr_tensor *t = s == GR_OK ? gr_rewrite_with(&v->r, effect, in) : NULL;
    return t ? gr_run_after(t, v->after, n) : s != GR_OK ? s : gr_graph_check(v->r.to);
}

/* ---- the walk ----------------------------------------------------------------------------------------------- */

gr_graph *gr_pass_versions(const gr_graph *g, gr_tensor **roots, int n_roots, const gr_target *target)
{
    (void)target;
    versions v = {.n = 0};
    if (gr_rewrite_open(&v.r, g, roots, n_roots) != GR_OK)
        return NULL;
    v.memory = gr_alloc_zero(g->n, sizeof *v.memory);
    v.last = gr_alloc_zero(g->n, sizeof *v.last);
    v.readers = gr_alloc_zero(g->n, sizeof *v.readers);
    gr_status s = v.memory && v.last && v.readers ? find_readers(&v, roots, n_roots) : GR_ERR_MEMORY;
    for (size_t i = 0; s == GR_OK && v.r.to->failed == GR_OK && i < g->n; i++) {
        const gr_tensor *t = g->nodes[i];
        if (!v.r.live[i] || t->source)
            continue;
        if (t->op->writes)
            s = copy_effect(&v, t);
        else
            gr_rewrite_copy(&v.r, t);
    }
    if (s != GR_OK)
        gr_graph_fail(v.r.to);
    gr_free(v.memory);
    gr_free(v.last);
    gr_free(v.readers);
    gr_free(v.list);
    gr_free(v.after);
    return gr_rewrite_close(&v.r, roots, n_roots);
}
