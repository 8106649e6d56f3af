/* The graph: an arena of nodes, appended and never changed. */
#include "graph/graph.h"

#include "base/dtype.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Nodes are small: chunks of this size hold hundreds. */
enum { CHUNK_BYTES = 64 * 1024, ALIGN = 16 };

struct gr_chunk {
    struct gr_chunk *next;
    size_t used, size;
};

gr_graph *gr_graph_new(void)
{
    return gr_alloc_zero(1, sizeof(gr_graph));
}

void gr_graph_free(gr_graph *g)
{
    if (!g)
        return;
    for (struct gr_chunk *c = g->chunks, *next; c; c = next) {
        next = c->next;
        gr_free(c);
    }
    gr_free(g->nodes);
    gr_free(g->params);
    gr_free(g->slots);
    gr_free(g->scope);
    gr_free(g->failure);
    gr_free(g);
}

void *gr_graph_alloc(gr_graph *g, size_t size)
{
    const size_t header = (sizeof(struct gr_chunk) + ALIGN - 1) / ALIGN * ALIGN;
    size = (size + ALIGN - 1) / ALIGN * ALIGN;
    struct gr_chunk *c = g->chunks;
    if (!c || c->size - c->used < size) {
        size_t room = header + (size > CHUNK_BYTES ? size : (size_t)CHUNK_BYTES);
        c = gr_alloc(room);
        if (!c) {
            gr_graph_fail(g);
            return NULL;
        }
        *c = (struct gr_chunk){.next = g->chunks, .used = header, .size = room};
        g->chunks = c;
    }
    void *p = (char *)c + c->used;
    c->used += size;
    return p;
}

static void *in_graph(void *g, size_t size)
{
    return gr_graph_alloc(g, size);
}

char *gr_graph_text(gr_graph *g, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = gr_format(in_graph, g, 0, fmt, args);
    va_end(args);
    return text;
}

gr_tensor *gr_graph_fail(gr_graph *g)
{
    if (g && g->failed == GR_OK) {
        g->failed = gr_error_status();
        g->failure = gr_strdup(gr_error()); /* without memory the status alone is kept */
    }
    return NULL;
}

gr_status gr_graph_check(const gr_graph *g)
{
    if (!g && gr_error_status() == GR_OK)
        gr_lacks(g, "gr_graph_check: the graph");
    if (!g)
        return gr_error_status();
    if (g->failed == GR_OK)
        return GR_OK;
    return gr_fail(g->failed, "%s", g->failure ? g->failure : "out of memory while the graph was built");
}

/* ---- names -------------------------------------------------------------------------------------------------- */

size_t gr_graph_scope_push(gr_graph *g, const char *fmt, ...)
{
    if (!g)
        return 0;
    size_t old = g->scope ? strlen(g->scope) : 0;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (gr_grow(&g->scope, &g->scope_capacity, old + (size_t)n + 1, 1) != GR_OK) {
        gr_graph_fail(g);
        return old;
    }
    va_start(args, fmt);
    vsnprintf(g->scope + old, (size_t)n + 1, fmt, args);
    va_end(args);
    return old;
}

void gr_graph_scope_pop(gr_graph *g, size_t length)
{
    if (g && g->scope)
        g->scope[length] = '\0';
}

gr_tensor *gr_name(gr_tensor *t, const char *fmt, ...)
{
    if (!t)
        return NULL;
    if (gr_lacks(fmt, "gr_name: fmt"))
        return gr_graph_fail(t->graph);
    va_list args;
    va_start(args, fmt);
    size_t scope = t->graph->scope ? strlen(t->graph->scope) : 0;
    char *name = gr_format(in_graph, t->graph, scope, fmt, args);
    va_end(args);
    if (!name)
        return NULL;
    if (scope)
        memcpy(name, t->graph->scope, scope);
    t->name = name;
    return t;
}

gr_tensor *gr_name_exactly(gr_tensor *t, const char *name)
{
    size_t size = strlen(name) + 1;
    char *copy = gr_graph_alloc(t->graph, size);
    if (!copy)
        return NULL;
    t->name = memcpy(copy, name, size);
    return t;
}

const char *gr_tensor_label(const gr_tensor *t, char *buf, size_t size)
{
    const gr_tensor *n = t->source ? t->source : t;
    if (t->name)
        snprintf(buf, size, "%s", t->name);
    else if (n->name)
        snprintf(buf, size, "%s.%d", n->name, t->index);
    else
        snprintf(buf, size, "%s %%%lld", n->op->name, (long long)n->id);
    return buf;
}

const char *gr_spec_text(const gr_spec *s, char *buf, size_t size)
{
    int at = snprintf(buf, size, "%s[", gr_dtype_get(s->dtype)->name);
    for (int i = 0; i < s->ndim && at < (int)size; i++)
        at += snprintf(buf + at, size - (size_t)at, "%s%lld", i ? "," : "", (long long)s->shape[i]);
    if (at < (int)size)
        snprintf(buf + at, size - (size_t)at, "]");
    return buf;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

int64_t gr_spec_count(const gr_spec *s)
{
    int64_t n = 1;
    for (int i = 0; i < s->ndim; i++)
        n *= s->shape[i];
    return n;
}

bool gr_spec_same_shape(const gr_spec *a, const gr_spec *b)
{
    return a->ndim == b->ndim && memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof a->shape[0]) == 0;
}

const gr_spec *gr_tensor_spec(const gr_tensor *t)
{
    if (gr_lacks(t, "gr_tensor_spec: t"))
        return NULL;
    return &t->spec;
}

int64_t gr_tensor_count(const gr_tensor *t)
{
    if (gr_lacks(t, "gr_tensor_count: t"))
        return -1;
    return gr_spec_count(&t->spec);
}

const char *gr_tensor_name(const gr_tensor *t)
{
    if (gr_lacks(t, "gr_tensor_name: t"))
        return NULL;
    return t->name ? t->name : "";
}

gr_graph *gr_tensor_graph(const gr_tensor *t)
{
    if (gr_lacks(t, "gr_tensor_graph: t"))
        return NULL;
    return t->graph;
}

gr_tensor *gr_tensor_input(const gr_tensor *t, int i)
{
    if (gr_lacks(t, "gr_tensor_input: t"))
        return NULL;
    return i >= 0 && i < t->n_in ? t->in[i] : NULL;
}

const void *gr_tensor_attr(const gr_tensor *t)
{
    if (gr_lacks(t, "gr_tensor_attr: t"))
        return NULL;
    return t->attr;
}

const gr_op *gr_tensor_op(const gr_tensor *t)
{
    if (gr_lacks(t, "gr_tensor_op: t"))
        return NULL;
    return t->op;
}

gr_tensor *gr_output(gr_tensor *node, int k)
{
    if (!node)
        return NULL;
    if (k < 0 || k >= node->n_out) {
        gr_fail(GR_ERR_ARGUMENT, "%s: output %d asked for, it has %d", node->op->name, k, node->n_out);
        return gr_graph_fail(node->graph);
    }
    return node->outs[k];
}

gr_status gr_graph_walk(const gr_graph *g, bool (*visit)(void *user, gr_tensor *t), void *user)
{
    if (gr_lacks(g, "gr_graph_walk: graph") || gr_lacks(visit, "gr_graph_walk: visit"))
        return GR_ERR_ARGUMENT;
    for (size_t i = 0; i < g->n; i++)
        if (!g->nodes[i]->source && !visit(user, g->nodes[i]))
            return gr_fail(GR_ERR_INTERRUPTED, "walking a graph: stopped");
    return GR_OK;
}

gr_status gr_graph_print(const gr_graph *g, bool (*write)(void *user, const char *line), void *user)
{
    if (gr_lacks(g, "gr_graph_print: graph") || gr_lacks(write, "gr_graph_print: write"))
        return GR_ERR_ARGUMENT;
    char line[1024], spec[160];
    for (size_t i = 0; i < g->n; i++) {
        const gr_tensor *t = g->nodes[i];
        int at = snprintf(line, sizeof line, "%%%lld %s = %s %s", (long long)t->id, t->name ? t->name : "", t->op->name,
                          gr_spec_text(&t->spec, spec, sizeof spec));
        for (int k = 0; k < t->n_in && at < (int)sizeof line; k++) {
            if (t->in[k])
                at += snprintf(line + at, sizeof line - (size_t)at, " %%%lld", (long long)t->in[k]->id);
            else
                at += snprintf(line + at, sizeof line - (size_t)at, " -");
        }
        for (int k = 0; k < t->n_after && at < (int)sizeof line; k++)
            at += snprintf(line + at, sizeof line - (size_t)at, "%s %%%lld", k ? "" : " after",
                           (long long)t->after[k]->id);
        if (!write(user, line))
            return gr_fail(GR_ERR_INTERRUPTED, "gr_graph_print: stopped");
    }
    return GR_OK;
}
