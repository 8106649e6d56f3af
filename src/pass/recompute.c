/* Recomputation: what a block of layers has computed is not kept for the backward pass but its input, and is computed again
 * before its backward (Chen et al. 2016).
 *
 * The walk copies all nodes as they are. Where a node of the backward pass reads what the forward pass of a region has made,
 * a second copy of that, and of all in the region that it hangs on, is put in front, once; then that one is read. The same
 * kernels on the same values give the same bits. What is read outside of the region in the forward pass (a block's result)
 * is kept, as are sources; effects are not done twice, and dropout draws again from its seed.
 * A region is what has a block's number in its name, "h.3."; for attention alone, of that the attention op with all that it
 * is made of, and the layers that are named as attention's ("h.3.attn.c_proj"). */
#include "pass/pass.h"

#include "base/mem.h"
#include "op/op.h"

#include <ctype.h>
#include <string.h>

typedef struct again {
    gr_rewrite r;
    gr_recompute what;
    int64_t first_block; /* those before it are kept */
    size_t *region;      /* [n] by id of a node: how much of its name is its region's; 0: of none */
    bool *kept;          /* [n] by id of a node: not computed again */
    gr_tensor **copy;    /* [n] the second one in the new graph; NULL: none yet */
} again;

static const gr_tensor *node_of(const gr_tensor *t)
{
    return t->source ? t->source : t;
}

static bool is_of_forward(const gr_tensor *t)
{
    return !t->backward && !t->op->writes && !(t->op->flags & (GR_OP_EFFECT | GR_OP_BOUND));
}

/* How much of a name is its block's: up to the point behind the number. 0: it is of none. */
static size_t block_of(const gr_tensor *t)
{
    for (const char *c = t->name; c && *c; c += strcspn(c, "."), c += *c == '.') {
        size_t digits = strspn(c, "0123456789");
        if (digits > 0 && c[digits] == '.')
            return (size_t)(c + digits + 1 - t->name);
    }
    return 0;
}

/* 3 of "h.3.mlp", -1 of a name without a block's number. */
static int64_t number_of(const gr_tensor *t)
{
    size_t end = block_of(t), at = end > 0 ? end - 1 : 0;
    int64_t number = 0;
    while (at > 0 && isdigit((unsigned char)t->name[at - 1]))
        at--;
    for (; end > 0 && at < end - 1 && number < INT32_MAX; at++)
        number = number * 10 + (t->name[at] - '0');
    return end > 0 ? number : -1;
}

static bool same_block(const gr_tensor *a, const gr_tensor *b)
{
    size_t n = block_of(a);
    return n > 0 && n == block_of(b) && strncmp(a->name, b->name, n) == 0;
}

static bool is_attention(const gr_tensor *t)
{
    const char *inside = t->name + block_of(t);
    size_t scope = strcspn(inside, ".");
    return t->op == &gr_op_attention ||
           (inside[scope] == '.' && scope >= 4 && strncmp(inside + scope - 4, "attn", 4) == 0);
}

/* The last so many of the blocks that there are. */
static int64_t first_block(const gr_graph *g, int64_t wanted)
{
    int64_t most = -1;
    for (size_t i = 0; wanted > 0 && i < g->n; i++) {
        int64_t number = is_of_forward(g->nodes[i]) ? number_of(g->nodes[i]) : -1;
        most = number > most ? number : most;
    }
    return wanted > 0 && wanted <= most ? most + 1 - wanted : 0;
}

/* Backwards, so that what attention is made of is known of. */
static void find_regions(again *a)
{
    const gr_graph *g = a->r.from;
    bool found = false;
    for (size_t i = g->n; i-- > 0;) {
        const gr_tensor *t = g->nodes[i];
        size_t block = t->source || !is_of_forward(t) ? 0 : block_of(t);
        if (block > 0 && number_of(t) >= a->first_block && (a->what == GR_RECOMPUTE_BLOCK || is_attention(t)))
            a->region[i] = block;
        found = found || a->region[i] > 0;
        for (int k = 0; a->region[i] > 0 && k < t->n_in; k++) {
            const gr_tensor *in = t->in[k] ? node_of(t->in[k]) : NULL;
            if (in && is_of_forward(in) && same_block(t, in))
                a->region[in->id] = block_of(in);
        }
    }
    if (found)
        return;
    gr_fail(GR_ERR_ARGUMENT,
            "recompute: no name in this graph says which block it is of, as \"h.0.%s\" does\nleave "
            "recomputation out, or give the blocks' tensors such names",
            a->what == GR_RECOMPUTE_BLOCK ? "mlp" : "attention");
    gr_graph_fail(a->r.to);
}

static bool same_region(const again *a, const gr_tensor *x, const gr_tensor *y)
{
    return a->region[x->id] > 0 && a->region[y->id] > 0 && same_block(x, y);
}

/* Is there anything in the forward pass that reads it from outside of its region? Then it is kept, all its outputs. */
static void find_kept(again *a, gr_tensor *const *roots, int n_roots)
{
    const gr_graph *g = a->r.from;
    for (size_t i = 0; i < g->n; i++) {
        const gr_tensor *t = g->nodes[i];
        bool is_drawn = t->op == &gr_op_uniform || t->op == &gr_op_normal;
        if (!t->source)
            a->kept[i] = !is_of_forward(t) || is_drawn || a->region[i] == 0;
    }
    for (size_t i = 0; i < g->n; i++) {
        const gr_tensor *t = g->nodes[i];
        for (int k = 0; a->r.live[i] && !t->source && !t->backward && k < t->n_in; k++)
            if (t->in[k] && !same_region(a, t, node_of(t->in[k])))
                a->kept[node_of(t->in[k])->id] = true;
    }
    for (int i = 0; i < n_roots; i++)
        a->kept[node_of(roots[i])->id] = true;
}

/* The second copy of what t is, and of what it hangs on: all of it lies in one region, so the way is short. */
static gr_tensor *once_more(again *a, const gr_tensor *t)
{
    const gr_tensor *node = node_of(t);
    if (a->kept[node->id])
        return a->r.map[t->id];
    if (a->copy[t->id])
        return a->copy[t->id];
    gr_tensor *in[GR_MAX_INPUTS];
    for (int k = 0; k < node->n_in; k++)
        in[k] = node->in[k] ? once_more(a, node->in[k]) : NULL;
    a->r.to->backward = false;
    gr_tensor *made = gr_node(a->r.to, node->op, in, node->n_in, node->attr);
    for (int k = 0; made && k < node->n_out; k++) {
        a->copy[node->outs[k]->id] = made->outs[k];
        if (node->outs[k]->name)
            gr_name_exactly(made->outs[k], node->outs[k]->name);
    }
    return made ? a->copy[t->id] : NULL;
}

static void copy_backward(again *a, const gr_tensor *t)
{
    gr_tensor *in[GR_MAX_INPUTS];
    for (int k = 0; k < t->n_in; k++)
        in[k] = t->in[k] ? once_more(a, t->in[k]) : NULL;
    gr_rewrite_with(&a->r, t, in);
}

gr_graph *gr_pass_recompute(const gr_graph *g, gr_tensor **roots, int n_roots, const gr_target *target)
{
    again a = {.what = target->recompute, .first_block = first_block(g, target->recompute_blocks)};
    if (gr_rewrite_open(&a.r, g, roots, n_roots) != GR_OK)
        return NULL;
    a.kept = gr_alloc_zero(g->n, sizeof *a.kept);
    a.copy = gr_alloc_zero(g->n, sizeof *a.copy);
    a.region = gr_alloc_zero(g->n, sizeof *a.region);
    if (!a.kept || !a.copy || !a.region)
        gr_graph_fail(a.r.to);
    else
        find_regions(&a);
    if (a.r.to->failed == GR_OK)
        find_kept(&a, roots, n_roots);
    for (size_t i = 0; i < g->n && a.r.to->failed == GR_OK; i++) {
        const gr_tensor *t = g->nodes[i];
        if (!a.r.live[i] || t->source)
            continue;
        if (t->backward)
            copy_backward(&a, t);
        else
            gr_rewrite_copy(&a.r, t);
    }
    gr_free(a.region);
    gr_free(a.kept);
    gr_free(a.copy);
    return gr_rewrite_close(&a.r, roots, n_roots);
}
