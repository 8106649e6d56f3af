/* Early updates: what writes a store after the backward pass, as an optimizer's ops do, runs as soon as what it reads is
 * there, so that gradients do not pile up.
 *
 * Moved are the effects that stand behind the first node of the backward pass, and what only they have to wait for on the
 * way from the gradients. Each goes right behind the last of its inputs and, where it writes, of the readers of what it
 * replaces. Where a norm of all gradients says how far to go, that is the end, and nothing moves. */
#include "pass/pass.h"

#include "base/mem.h"
#include "op/op.h"

enum { NOBODY = -1 };

typedef struct mover {
    gr_rewrite r;
    int64_t first;               /* the first node of the backward pass */
    bool *leads;                 /* [n] by id of a node: to an effect that may move, or is one */
    int64_t *time;               /* [n] by id of a node: it runs right behind this one; its own id: it stays */
    int64_t *last_read;          /* [n] by id of a version: when its last reader runs */
    int64_t *head, *tail, *next; /* [n] by time: the nodes that move there, in order */
} mover;

static const gr_tensor *node_of(const gr_tensor *t)
{
    return t->source ? t->source : t;
}

static bool writes(const gr_tensor *t, int k)
{
    return (t->op->writes >> k & 1) && t->in[k];
}

/* Backwards from the effects. */
static void find_movable(mover *m)
{
    const gr_graph *g = m->r.from;
    for (size_t i = g->n; i-- > 0;) {
        const gr_tensor *t = g->nodes[i];
        if (!m->r.live[i] || t->source || t->backward || t->id < m->first)
            continue;
        m->leads[i] = m->leads[i] || t->op->writes;
        for (int k = 0; m->leads[i] && k < t->n_in; k++)
            if (t->in[k])
                m->leads[node_of(t->in[k])->id] = true;
    }
    for (size_t i = 0; i < g->n; i++)
        m->leads[i] = m->leads[i] && !g->nodes[i]->backward && g->nodes[i]->id >= m->first;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void set_times(mover *m)
{
    const gr_graph *g = m->r.from;
    for (size_t i = 0; i < g->n; i++) {
        const gr_tensor *t = g->nodes[i];
        m->time[i] = t->id;
        if (!m->r.live[i] || t->source)
            continue;
        int64_t time = 0;
        for (int k = 0; k < t->n_in; k++) {
            if (!t->in[k])
                continue;
            time = later(time, m->time[node_of(t->in[k])->id]);
            if (writes(t, k))
                time = later(time, m->last_read[t->in[k]->id]);
        }
        m->time[i] = m->leads[i] ? time : t->id;
        for (int k = 0; k < t->n_in; k++) {
            const gr_tensor *read = t->in[k] ? gr_behind_views(t->in[k]) : NULL;
            if (read && gr_is_version(read))
                m->last_read[read->id] = later(m->last_read[read->id], m->time[i]);
        }
    }
}

static void queue(mover *m, int64_t id)
{
    int64_t at = m->time[id];
    m->next[id] = NOBODY;
    if (m->head[at] == NOBODY)
        m->head[at] = id;
    else
        m->next[m->tail[at]] = id;
    m->tail[at] = id;
}

static void append(mover *m, int64_t id)
{
    gr_tensor *t = gr_rewrite_copy(&m->r, m->r.from->nodes[id]);
    for (int k = 0; t && m->leads[id] && k < t->n_out; k++)
        t->outs[k]->backward = true; /* it is a part of the backward pass now */
}

static void walk(mover *m)
{
    const gr_graph *g = m->r.from;
    m->first = (int64_t)g->n;
    for (size_t i = g->n; i-- > 0;) {
        m->first = g->nodes[i]->backward ? (int64_t)i : m->first;
        m->head[i] = NOBODY;
    }
    find_movable(m);
    set_times(m);
    for (size_t i = 0; i < g->n; i++)
        if (m->r.live[i] && m->leads[i])
            queue(m, (int64_t)i);
    for (size_t i = 0; i < g->n && m->r.to->failed == GR_OK; i++) {
        if (m->r.live[i] && !g->nodes[i]->source && !m->leads[i])
            append(m, (int64_t)i);
        for (int64_t id = m->head[i]; id != NOBODY; id = m->next[id])
            append(m, id);
    }
}

gr_graph *gr_pass_updates(const gr_graph *g, gr_tensor **roots, int n_roots, const gr_target *target)
{
    mover m = {.first = 0};
    (void)target;
    if (gr_rewrite_open(&m.r, g, roots, n_roots) != GR_OK)
        return NULL;
    m.leads = gr_alloc_zero(g->n, sizeof *m.leads);
    m.time = gr_alloc_zero(5 * g->n, sizeof *m.time);
    if (m.leads && m.time) {
        m.last_read = m.time + g->n;
        m.head = m.time + 2 * g->n;
        m.tail = m.time + 3 * g->n;
        m.next = m.time + 4 * g->n;
        walk(&m);
    } else {
        gr_graph_fail(m.r.to);
    }
    gr_free(m.leads);
    gr_free(m.time);
    return gr_rewrite_close(&m.r, roots, n_roots);
}
