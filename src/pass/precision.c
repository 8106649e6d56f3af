/* Mixed precision: activations and their gradients in 16 bits, where the ops' records allow it (docs/numerics.md).
 *
 * A walk that appends each node with its inputs cast as its record's word asks. A cast to 16 bits of a view is a view of
 * the cast of what it looks at, so that one serves all views, and joins the chain of element-wise ops that made the tensor;
 * a cast to f32 stands behind views, where it joins the chain that reads it. Three
 * things are left as they come, since products convert what they read: weights, results of GR_HIGH ops, and results that
 * only GR_HIGH ops read, of which the sums themselves are wanted.
 * Reading order: what is wanted of a result · a tensor in another dtype · words · the walk. */
#include "pass/pass.h"

#include "base/dtype.h"
#include "base/mem.h"
#include "op/attr.h"
#include "op/op.h"

enum { WANTED_WIDE = 1, WANTED_LOW = 2 };

typedef struct caster {
    gr_rewrite r;
    gr_dtype low;
    bool rounds;                   /* products what is f32 of them */
    unsigned char *wanted;         /* by id: by whom */
    gr_tensor **as_low, **as_wide; /* by id: what stands for the tensor in another dtype than what it is mapped to */
} caster;

static bool is_f32(const gr_tensor *t)
{
    return t && t->spec.dtype == GR_F32;
}

static const gr_tensor *node_of(const gr_tensor *t)
{
    return t->source ? t->source : t;
}

static unsigned word_of(const gr_tensor *t)
{
    return t->op->precision ? t->op->precision : GR_HIGH;
}

static bool is_uncast(const gr_tensor *t, int k)
{
    return t->op->uncast >> k & 1;
}

static bool is_fill(const gr_tensor *t)
{
    return gr_behind_views(t)->op == &gr_op_fill;
}

/* ---- what is wanted of a result ----------------------------------------------------------------------------- */

/* What a product is added to keeps its f32 sums. */
static bool is_added_to(const gr_tensor *t, int k)
{
    return t->op == &gr_op_addmm && k == 0;
}

/* Backwards, since an op that passes its input on wants what is wanted of its own result. */
static void find_wanted(caster *c, gr_tensor *const *roots, int n_roots)
{
    const gr_graph *g = c->r.from;
    for (int i = 0; i < n_roots; i++)
        c->wanted[roots[i]->id] |= WANTED_WIDE;
    for (size_t i = g->n; i-- > 0;) {
        const gr_tensor *t = g->nodes[i];
        if (!c->r.live[i])
            continue;
        if (t->source) {
            c->wanted[t->source->id] |= c->wanted[i];
            continue;
        }
        for (int k = 0; k < t->n_in; k++) {
            unsigned word = word_of(t);
            unsigned by = word == GR_HIGH && !is_uncast(t, k) ? WANTED_WIDE : WANTED_LOW;
            by = word == GR_WIDEST ? c->wanted[i] : is_added_to(t, k) ? WANTED_WIDE : by;
            if (t->in[k])
                c->wanted[t->in[k]->id] |= (unsigned char)by;
        }
    }
}

/* ---- a tensor in another dtype ------------------------------------------------------------------------------ */

static gr_tensor *as(caster *c, const gr_tensor *t, gr_dtype dtype);

/* Has the tensor's name, so that reports of what went wrong and of time say where it was. */
static gr_tensor *cast(gr_tensor *x, gr_dtype dtype)
{
    gr_tensor *y = gr_cast(x, dtype);
    return y && x->name && !y->name ? gr_name_exactly(y, x->name) : y;
}

static gr_tensor *make(caster *c, const gr_tensor *t, gr_dtype dtype)
{
    const gr_tensor *node = node_of(t);
    if (node->op == &gr_op_fill) {
        const gr_spec *s = &t->spec;
        return gr_fill(c->r.to, dtype, s->ndim, s->shape, ((const gr_fill_attr *)node->attr)->value);
    }
    bool looks_through = node->op->view && dtype == c->low && gr_behind_views(t)->op != &gr_op_param;
    if (!looks_through && !is_fill(t))
        return cast(c->r.map[t->id], dtype);
    gr_tensor *in = as(c, node->in[0], dtype);
    gr_tensor *view = in ? gr_node(c->r.to, node->op, &in, 1, node->attr) : NULL;
    return gr_output(view, t->index);
}

static gr_tensor *as(caster *c, const gr_tensor *t, gr_dtype dtype)
{
    gr_tensor *mapped = c->r.map[t->id];
    if (!mapped || mapped->spec.dtype == dtype)
        return mapped;
    gr_tensor **kept = dtype == c->low ? &c->as_low[t->id] : &c->as_wide[t->id];
    if (*kept && (*kept)->spec.dtype == dtype)
        return *kept;
    return *kept = make(c, t, dtype);
}

/* ---- words -------------------------------------------------------------------------------------------------- */

/* The widest of what the floating-point inputs have become. Constants take any dtype; and gradients that meet are added
 * in what they are in the graph, as is what a residual stream adds up. */
static gr_dtype widest(const caster *c, const gr_tensor *t)
{
    bool meets = t->backward && t->op == &gr_op_add;
    gr_dtype found = GR_DTYPE_NONE;
    for (int k = 0; !meets && k < t->n_in; k++) {
        if (!is_f32(t->in[k]) || is_fill(t->in[k]))
            continue;
        gr_dtype d = c->r.map[t->in[k]->id] ? c->r.map[t->in[k]->id]->spec.dtype : GR_F32;
        found = found == GR_DTYPE_NONE || d == GR_F32 ? d : found;
    }
    return found == GR_DTYPE_NONE ? GR_F32 : found;
}

/* What a product reads as it is. */
static bool is_read_wide(const gr_tensor *t)
{
    const gr_tensor *behind = gr_behind_views(t);
    return gr_is_version(behind) || word_of(node_of(behind)) == GR_HIGH;
}

static bool is_product(const gr_tensor *t)
{
    return t->op == &gr_op_matmul || t->op == &gr_op_addmm;
}

/* Products of blocks take f32 alone. */
static bool is_mixed_product(const gr_tensor *t)
{
    return is_product(t) && is_f32(t) && !gr_dtype_is_block(t->in[0]->spec.dtype) &&
           !gr_dtype_is_block(t->in[1]->spec.dtype);
}

static gr_dtype input_dtype(caster *c, const gr_tensor *t, int k)
{
    bool stays = is_product(t) && (is_read_wide(t->in[k]) || !is_mixed_product(t));
    switch (word_of(t)) {
    case GR_LOW:
        return stays ? GR_F32 : c->low;
    case GR_INSIDE:
        return c->low;
    case GR_WIDEST:
        return widest(c, t);
    default:
        return GR_F32;
    }
}

/* Of a product of 16-bit values with others, and of one whose sums are wanted as they are. */
static gr_tensor *append_product(caster *c, const gr_tensor *t, gr_tensor *const *in)
{
    bool is_low = c->wanted[t->id] & WANTED_LOW;
    gr_matmul_attr a = *(const gr_matmul_attr *)t->attr;
    a.rounds = c->rounds;
    if (t->op == &gr_op_addmm) { /* rounded once, when the last part is there */
        c->r.to->backward = t->backward;
        gr_tensor *sums = gr_node(c->r.to, t->op, in, t->n_in, &a);
        gr_rewrite_map(&c->r, t, 0, sums);
        return is_low ? c->r.map[t->id] = cast(sums, c->low) : sums;
    }
    a.says = true;
    a.result = is_low ? c->low : GR_F32;
    c->r.to->backward = t->backward;
    gr_tensor *y = gr_node(c->r.to, t->op, in, t->n_in, &a);
    gr_rewrite_map(&c->r, t, 0, y);
    return y;
}

/* ---- the walk ----------------------------------------------------------------------------------------------- */

static void append(caster *c, const gr_tensor *t)
{
    gr_tensor *in[GR_MAX_INPUTS];
    gr_rewrite_inputs(&c->r, t, in);
    c->r.to->backward = t->backward;
    for (int k = 0; k < t->n_in; k++)
        if (is_f32(t->in[k]) && !is_uncast(t, k) && !(t->op->writes >> k & 1) && t->op != &gr_op_cast)
            in[k] = as(c, t->in[k], input_dtype(c, t, k));
    if (t->op == &gr_op_cast && gr_dtype_is_block(t->spec.dtype)) /* which is made of f32 alone */
        in[0] = as(c, t->in[0], t->in[0]->spec.dtype);
    if (t->op == &gr_op_cast && in[0] && in[0]->spec.dtype == t->spec.dtype)
        gr_rewrite_map(&c->r, t, 0, in[0]);
    else if (is_mixed_product(t))
        append_product(c, t, in);
    else
        gr_rewrite_with(&c->r, t, in);
}

/* What the caller reads is of the dtype that it asked for. */
static void close_roots(caster *c, gr_tensor *const *roots, int n_roots)
{
    for (int i = 0; i < n_roots && c->r.to->failed == GR_OK; i++) {
        gr_tensor *wide = as(c, roots[i], roots[i]->spec.dtype);
        if (wide != c->r.map[roots[i]->id])
            c->r.map[roots[i]->id] = wide;
    }
}

static void walk(caster *c, gr_tensor **roots, int n_roots)
{
    const gr_graph *g = c->r.from;
    find_wanted(c, roots, n_roots);
    for (size_t i = 0; i < g->n && c->r.to->failed == GR_OK; i++)
        if (c->r.live[i] && !g->nodes[i]->source)
            append(c, g->nodes[i]);
    close_roots(c, roots, n_roots);
}

gr_graph *gr_pass_precision(const gr_graph *g, gr_tensor **roots, int n_roots, const gr_target *target)
{
    caster c = {.low = target->precision == GR_PRECISION_FP16 ? GR_F16 : GR_BF16};
    c.rounds = c.low == GR_BF16 && target->multiplies_bf16;
    if (gr_rewrite_open(&c.r, g, roots, n_roots) != GR_OK)
        return NULL;
    c.wanted = gr_alloc_zero(g->n, sizeof *c.wanted);
    c.as_low = gr_alloc_zero(g->n, sizeof *c.as_low);
    c.as_wide = gr_alloc_zero(g->n, sizeof *c.as_wide);
    if (c.wanted && c.as_low && c.as_wide)
        walk(&c, roots, n_roots);
    else
        gr_graph_fail(c.r.to);
    gr_free(c.wanted);
    gr_free(c.as_low);
    gr_free(c.as_wide);
    return gr_rewrite_close(&c.r, roots, n_roots);
}
