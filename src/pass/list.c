/* The passes, and running those that are wanted. */
#include "pass/pass.h"

#include "base/dtype.h"

#include <string.h>

static bool has_effects(const gr_graph *g, const gr_target *target)
{
    (void)target;
    bool found = false;
    for (size_t i = 0; i < g->n; i++)
        found = found || g->nodes[i]->op->writes;
    return found;
}

static bool has_backward(const gr_graph *g)
{
    bool found = false;
    for (size_t i = 0; i < g->n; i++)
        found = found || g->nodes[i]->backward;
    return found;
}

static bool recomputes(const gr_graph *g, const gr_target *target)
{
    return target->recompute != GR_RECOMPUTE_NONE && has_backward(g);
}

static bool has_updates(const gr_graph *g, const gr_target *target)
{
    return has_effects(g, target) && has_backward(g);
}

static bool has_pieces(const gr_graph *g, const gr_target *target)
{
    (void)g;
    return target->head_rows > 0;
}

static bool is_mixed(const gr_graph *g, const gr_target *target)
{
    (void)g;
    return target->precision != GR_PRECISION_F32;
}

static bool has_int8(const gr_graph *g, const gr_target *target)
{
    bool found = false;
    for (size_t i = 0; i < g->n && target->activations != GR_ACTIVATIONS_F32; i++)
        found = found || gr_dtype_is_block(g->nodes[i]->spec.dtype);
    return found;
}

static bool has_chains(const gr_graph *g, const gr_target *target)
{
    (void)g;
    return target->fuses != NULL;
}

/* What is an update, and what a block has computed, is known of the graph as the caller made it, so that these come first.
 * Precision is a word of a whole op, so it stands in front of lower; what looks for kernels over several ops, behind
 * versions. */
static const gr_pass passes[] = {
    {"updates", gr_pass_updates, has_updates, NULL},
    {"recompute", gr_pass_recompute, recomputes, NULL},
    {"head", gr_pass_head, has_pieces, NULL},
    {"precision", gr_pass_precision, is_mixed, NULL},
    {"quantize", gr_pass_quantize, has_int8, NULL},
    {"lower", gr_pass_lower, NULL, NULL},
    {"versions", gr_pass_versions, has_effects, "an effect would write over what is still read"},
    {"fuse", gr_pass_fuse, has_chains, NULL},
};
enum { PASSES = sizeof passes / sizeof passes[0] };

const gr_pass *gr_pass_list(int i)
{
    return i >= 0 && i < PASSES ? &passes[i] : NULL;
}

static gr_status no_such_pass(const char *name, size_t length)
{
    char known[256] = "";
    for (int i = 0; i < PASSES; i++) {
        strcat(known, i ? ", " : "");
        strcat(known, passes[i].name);
    }
    return gr_fail(GR_ERR_ARGUMENT, "there is no pass \"%.*s\"\nthe passes are %s", (int)length, name, known);
}

/* "lower,versions": these. "-fuse": all but these. */
static gr_status choose(const char *names, bool chosen[PASSES])
{
    for (int i = 0; i < PASSES; i++)
        chosen[i] = !names || *names == '-';
    for (const char *at = names; at && *at;) {
        bool drop = *at == '-';
        at += drop;
        size_t length = strcspn(at, ",");
        int i = 0;
        while (i < PASSES && (strlen(passes[i].name) != length || strncmp(passes[i].name, at, length) != 0))
            i++;
        if (i == PASSES)
            return no_such_pass(at, length);
        chosen[i] = !drop;
        at += length + (at[length] == ',');
    }
    return GR_OK;
}

gr_status gr_passes_run(const gr_graph *g, gr_tensor **roots, int n_roots, const gr_target *target, const char *names,
                        const gr_graph **out)
{
    bool chosen[PASSES];
    gr_status s = choose(names, chosen);
    gr_graph *now = NULL, *next;
    for (int i = 0; s == GR_OK && i < PASSES; i++) {
        const gr_graph *from = now ? now : g;
        if (passes[i].applies && !passes[i].applies(from, target))
            continue;
        if (!chosen[i]) {
            if (passes[i].needed)
                s = gr_fail(GR_ERR_ARGUMENT, "pass %s cannot be left out: %s", passes[i].name, passes[i].needed);
            continue;
        }
        next = passes[i].run(from, roots, n_roots, target);
        gr_graph_free(now);
        now = next;
        s = now ? GR_OK : gr_error_status();
    }
    if (s != GR_OK)
        gr_graph_free(now);
    *out = s != GR_OK ? NULL : now ? now : g;
    return s;
}
