/* Appending a node: inputs checked, shape inferred, secondary outputs made. */
#include "graph/graph.h"

#include "base/dtype.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

gr_status gr_op_fail(const gr_tensor *node, const char *fmt, ...)
{
    if (gr_lacks(node, "gr_op_fail: node") || gr_lacks(fmt, "gr_op_fail: fmt"))
        return GR_ERR_ARGUMENT;
    char why[512], inputs[768] = "", spec[160];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    int at = 0;
    for (int i = 0; i < node->n_in && at < (int)sizeof inputs; i++)
        at += snprintf(inputs + at, sizeof inputs - (size_t)at, "%s%s", i ? ", " : "",
                       node->in[i] ? gr_spec_text(&node->in[i]->spec, spec, sizeof spec) : "none");
    const char *scope = node->graph && node->graph->scope ? node->graph->scope : "";
    return gr_fail(GR_ERR_ARGUMENT, "%s%s: %s (inputs: %s)", scope, node->op->name, why, inputs);
}

static gr_status infer_part(const gr_tensor *node, gr_spec *out)
{
    (void)node, (void)out; /* parts get their spec from the node they belong to */
    return GR_OK;
}

const gr_op gr_op_part = {
    .name = "part",
    .doc = "Output k of an op with several.",
    .inputs = 1,
    .outputs = 1,
    .infer = infer_part,
    .no_grad = "parts are handled with the node they belong to",
};

static gr_status append(gr_graph *g, gr_tensor *t)
{
    bool is_param = t->op->flags & GR_OP_STATE;
    gr_status s = gr_grow(&g->nodes, &g->capacity, g->n + 1, sizeof *g->nodes);
    if (s == GR_OK && is_param)
        s = gr_grow(&g->params, &g->params_capacity, g->n_params + 1, sizeof *g->params);
    if (s != GR_OK)
        return s;
    if (is_param)
        g->params[g->n_params++] = t;
    t->id = (int64_t)g->n;
    t->backward = g->backward;
    g->nodes[g->n++] = t;
    return GR_OK;
}

/* ---- versions ----------------------------------------------------------------------------------------------- */

int gr_written_input(const gr_tensor *node, int k)
{
    for (int i = 0; node->op->writes >> i && i < node->op->inputs; i++)
        if ((node->op->writes >> i & 1) && k-- == 0)
            return i < node->n_in && node->in[i] ? i : -1;
    return -1;
}

bool gr_is_version(const gr_tensor *t)
{
    const gr_tensor *node = t->source ? t->source : t;
    return (t->op->flags & GR_OP_STATE) || gr_written_input(node, t->index) >= 0;
}

const gr_tensor *gr_version_param(const gr_tensor *version)
{
    while (!(version->op->flags & GR_OP_STATE)) {
        const gr_tensor *node = version->source ? version->source : version;
        version = node->in[gr_written_input(node, version->index)];
    }
    return version;
}

const gr_tensor *gr_behind_views(const gr_tensor *t)
{
    for (;;) {
        const gr_tensor *node = t->source ? t->source : t;
        if (!node->op->view)
            return t;
        t = node->in[0];
    }
}

gr_status gr_run_after(gr_tensor *node, gr_tensor *const *after, int n)
{
    gr_tensor **list = n > 0 ? gr_graph_alloc(node->graph, (size_t)n * sizeof *list) : NULL;
    if (n > 0 && !list)
        return GR_ERR_MEMORY;
    node->after = list;
    node->n_after = 0;
    for (int i = 0; i < n; i++)
        if (after[i])
            list[node->n_after++] = after[i];
    return GR_OK;
}

static gr_status check_written(const gr_tensor *node, int i)
{
    const gr_tensor *x = node->in[i];
    if (!gr_is_version(x))
        return gr_op_fail(node, "input %d is written, so it must be a gr_param", i);
    if (x->next)
        return gr_op_fail(node,
                          "input %d is an old version of \"%s\", which has been written since\nwrite what the last "
                          "write returned, or what gr_param gives now",
                          i, gr_version_param(x)->name);
    for (int k = 0; k < i; k++)
        if ((node->op->writes >> k & 1) && node->in[k] == x)
            return gr_op_fail(node, "inputs %d and %d are both written, so they must not be one tensor", k, i);
    return GR_OK;
}

/* New versions have the dtype and shape of what was there before, or are nothing where an optional input is. */
static gr_status set_versions(const gr_tensor *node, gr_spec *specs)
{
    int k = 0;
    for (int i = 0; i < node->op->inputs; i++) {
        if (!(node->op->writes >> i & 1))
            continue;
        if (k == node->n_out)
            return gr_op_fail(node, "writes more inputs than it has outputs: each gives its new version");
        bool given = i < node->n_in && node->in[i];
        specs[k++] = given ? node->in[i]->spec : (gr_spec){.dtype = GR_U8, .ndim = 1};
    }
    return GR_OK;
}

static void replace_versions(gr_tensor *t)
{
    for (int k = 0; t->op->writes && k < t->n_out; k++) {
        int i = gr_written_input(t, k);
        if (i >= 0)
            t->in[i]->next = t->outs[k];
    }
}

/* ---- appending ---------------------------------------------------------------------------------------------- */

/* Values that share a block have no places of their own: an op must know them to take or make them. */
static bool may_have(const gr_op *op, gr_dtype d)
{
    return (op->flags & GR_OP_BLOCKS) || !gr_dtype_is_block(d);
}

static gr_status check_inputs(const gr_tensor *node)
{
    const gr_op *op = node->op;
    for (size_t i = 0; i < sizeof op->reserved / sizeof *op->reserved; i++)
        if (op->reserved[i])
            return gr_fail(GR_ERR_UNSUPPORTED,
                           "%s: its record asks for what a newer version of the library can do\nuse that version, this "
                           "is " GR_VERSION,
                           op->name);
    if (node->n_in > op->inputs)
        return gr_op_fail(node, "takes at most %d inputs, got %d", op->inputs, node->n_in);
    for (int i = 0; i < op->inputs; i++) {
        bool given = i < node->n_in && node->in[i];
        if (!given && !(op->optional >> i & 1))
            return gr_op_fail(node, "input %d is missing", i);
        if (given && node->in[i]->graph != node->graph)
            return gr_op_fail(node, "input %d belongs to another graph", i);
        if (given && !may_have(op, node->in[i]->spec.dtype))
            return gr_op_fail(node, "input %d is %s, whose values share blocks\ncast it first", i,
                              gr_dtype_name(node->in[i]->spec.dtype));
        if (given && (op->writes >> i & 1) && check_written(node, i) != GR_OK)
            return GR_ERR_ARGUMENT;
    }
    return GR_OK;
}

static gr_status check_spec(const gr_tensor *node, const gr_spec *s)
{
    if (s->ndim < 0 || s->ndim > GR_MAX_DIMS)
        return gr_op_fail(node, "result has %d dims, at most %d are possible", s->ndim, GR_MAX_DIMS);
    int64_t n = 1;
    for (int i = 0; i < s->ndim; i++) {
        if (s->shape[i] < 0)
            return gr_op_fail(node, "dim %d of the result is %lld", i, (long long)s->shape[i]);
        if (s->shape[i] && n > INT64_MAX / 8 / s->shape[i])
            return gr_op_fail(node, "the result has too many elements");
        n *= s->shape[i];
    }
    char why[128];
    if (!may_have(node->op, s->dtype))
        return gr_op_fail(node, "cannot make %s, whose values share blocks\nmake f32 and cast it",
                          gr_dtype_name(s->dtype));
    if (gr_dtype_shape_fault(s->dtype, s->ndim, s->shape, why, sizeof why))
        return gr_op_fail(node, "%s", why);
    return GR_OK;
}

/* The secondary outputs follow their node at once, so that they are complete before anything reads them. */
static gr_status append_parts(gr_tensor *t, const gr_spec *specs)
{
    for (int k = 1; k < t->n_out; k++) {
        gr_tensor *p = gr_graph_alloc(t->graph, sizeof *p);
        gr_tensor **lists = gr_graph_alloc(t->graph, 2 * sizeof *lists);
        if (!p || !lists)
            return GR_ERR_MEMORY;
        lists[0] = t;
        lists[1] = p;
        *p = (gr_tensor){.op = &gr_op_part, .graph = t->graph, .spec = specs[k], .n_in = 1, .n_out = 1};
        p->in = lists;
        p->outs = lists + 1;
        p->source = t;
        p->index = k;
        gr_status s = append(t->graph, p);
        if (s != GR_OK)
            return s;
        t->outs[k] = p;
    }
    return GR_OK;
}

static gr_tensor *copy_into_graph(const gr_tensor *proto)
{
    gr_graph *g = proto->graph;
    size_t attr = proto->op->attr_size, in = (size_t)proto->n_in, outs = (size_t)proto->n_out;
    gr_tensor *t = gr_graph_alloc(g, sizeof *t);
    gr_tensor **lists = gr_graph_alloc(g, (in + outs) * sizeof *lists);
    void *a = attr ? gr_graph_alloc(g, attr) : NULL;
    if (!t || !lists || (attr && !a))
        return NULL;
    *t = *proto;
    t->in = lists;
    t->outs = lists + in;
    if (in)
        memcpy(t->in, proto->in, in * sizeof *t->in);
    if (attr)
        memcpy(a, proto->attr, attr);
    t->attr = a;
    t->outs[0] = t;
    return t;
}

gr_tensor *gr_node(gr_graph *g, const gr_op *op, gr_tensor *const *in, int n, const void *attr)
{
    if (gr_lacks(op, "gr_node: op") || (n > 0 && gr_lacks(in, "gr_node: in")))
        return NULL;
    for (int i = 0; i < n && !g; i++)
        g = in[i] ? in[i]->graph : NULL;
    if (!g || g->failed != GR_OK)
        return NULL; /* the first failure has been told */
    gr_tensor proto = {.op = op, .graph = g, .attr = attr, .n_in = n, .n_out = op->outputs};
    proto.in = (gr_tensor **)in;
    gr_spec specs[GR_MAX_OUTPUTS] = {{0}};
    if (check_inputs(&proto) != GR_OK || op->infer(&proto, specs) != GR_OK || set_versions(&proto, specs) != GR_OK)
        return gr_graph_fail(g);
    for (int k = 0; k < op->outputs; k++)
        if (check_spec(&proto, &specs[k]) != GR_OK)
            return gr_graph_fail(g);
    proto.spec = specs[0];
    gr_tensor *t = copy_into_graph(&proto);
    if (!t || append(g, t) != GR_OK || append_parts(t, specs) != GR_OK)
        return gr_graph_fail(g);
    replace_versions(t);
    if (g->scope && *g->scope)
        gr_name(t, "%s", op->name);
    return t;
}
