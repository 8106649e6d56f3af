/* Lowering: what the device has no kernel for becomes what it is composed of. */
#include "pass/pass.h"

#include "base/dtype.h"
#include "op/op.h"

static bool needs_kernel(const gr_tensor *t)
{
    return !(t->op->flags & GR_OP_BOUND) && !t->op->view && !t->source;
}

static void fail_without_kernel(const gr_tensor *node)
{
    char label[256], spec[160];
    const gr_spec *s = node->n_in && node->in[0] ? &node->in[0]->spec : &node->spec;
    gr_fail(GR_ERR_UNSUPPORTED,
            "%s: this device has no kernel for %s of %s\nanother device or dtype has: gradus info --ops",
            gr_tensor_label(node, label, sizeof label), node->op->name, gr_spec_text(s, spec, sizeof spec));
}

static void compose(gr_rewrite *r, const gr_tensor *node)
{
    gr_tensor *in[GR_MAX_INPUTS], *out[GR_MAX_OUTPUTS] = {0};
    char label[256];
    gr_rewrite_inputs(r, node, in);
    r->to->backward = node->backward;
    size_t scope = gr_graph_scope_push(r->to, "%s.", gr_tensor_label(node, label, sizeof label));
    if (node->op->compose(node, in, out) != GR_OK)
        gr_graph_fail(r->to);
    gr_graph_scope_pop(r->to, scope);
    for (int k = 0; k < node->n_out; k++)
        gr_rewrite_map(r, node, k, out[k]);
}

/* One round: compositions may hold fused ops themselves. */
static gr_graph *lower_once(const gr_graph *g, gr_tensor **roots, int n_roots, const gr_target *target, bool *again)
{
    gr_rewrite r;
    if (gr_rewrite_open(&r, g, roots, n_roots) != GR_OK)
        return NULL;
    *again = false;
    for (size_t i = 0; i < g->n && r.to->failed == GR_OK; i++) {
        const gr_tensor *t = g->nodes[i];
        if (!r.live[i] || t->source)
            continue;
        if (!needs_kernel(t) || target->has_kernel(target->user, t)) {
            gr_rewrite_copy(&r, t);
        } else if (t->op->compose) {
            compose(&r, t);
            *again = true;
        } else {
            fail_without_kernel(t);
            gr_graph_fail(r.to);
        }
    }
    return gr_rewrite_close(&r, roots, n_roots);
}

gr_graph *gr_pass_lower(const gr_graph *g, gr_tensor **roots, int n_roots, const gr_target *target)
{
    bool again;
    gr_graph *now = lower_once(g, roots, n_roots, target, &again);
    while (now && again) {
        gr_graph *next = lower_once(now, roots, n_roots, target, &again);
        gr_graph_free(now);
        now = next;
    }
    return now;
}
