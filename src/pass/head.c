/* The head in pieces: logits, loss and their gradient for some rows at a time, so that [rows, V] is never in memory.
 *
 * Of a cross-entropy whose logits come from products with V columns, what computes [rows, V] is taken out of the graph,
 * forward and backward: the products, what is done to logits element by element, the loss and its gradient. In its place
 * stands, for every piece, the same on slices of what it reads. What leaves it is put together again: a piece of rows
 * stands behind the one before (the loss, the gradient of the hidden state), a sum over rows (the gradient of the head's
 * weight) goes on where the last piece has ended, by gr_op_addmm. The gradient of a loss does not hang on its value, so the
 * backward part of a piece comes right after its forward part, and its logits are gone before the next ones are made.
 * Reading order: what a tensor is to the head · finding it · a piece · putting together. */
#include "pass/pass.h"

#include "base/mem.h"
#include "op/attr.h"
#include "op/op.h"

typedef enum role {
    OUTSIDE,
    INSIDE, /* has a row for each row of logits; made for a piece at a time */
    LEAVES, /* the same, but read from outside: pieces are put behind each other */
    SUMMED, /* a sum over rows */
} role;

typedef struct cutter {
    gr_rewrite r;
    const gr_tensor *loss; /* the cross_entropy_rows at hand */
    int64_t rows, vocab, piece;
    unsigned char *role; /* [n] by id of a node: a role */
    gr_tensor **now;     /* [n] by id: what stands for it in the piece at hand */
    gr_tensor **sum;     /* [n] by id: of sums, what they have come to */
    gr_tensor **parts;   /* [n_leaving, n_pieces] */
    int n_pieces;
    int64_t first, last; /* the nodes' ids, both included */
} cutter;

static const gr_tensor *node_of(const gr_tensor *t)
{
    return t->source ? t->source : t;
}

static role role_of(const cutter *c, const gr_tensor *t)
{
    return (role)c->role[node_of(t)->id];
}

static bool is_inside(const cutter *c, const gr_tensor *t)
{
    return t && (role_of(c, t) == INSIDE || node_of(t) == c->loss);
}

/* ---- what a tensor is to the head --------------------------------------------------------------------------- */

static int64_t width(const gr_tensor *t)
{
    return t->spec.ndim ? t->spec.shape[t->spec.ndim - 1] : 1;
}

/* [.., V] with as many rows as there are logits. */
static bool is_wide(const cutter *c, const gr_tensor *t)
{
    return t->spec.ndim >= 2 && width(t) == c->vocab && gr_spec_count(&t->spec) == c->rows * c->vocab;
}

/* An element of the result hangs on elements of the same row alone. */
static bool is_by_rows(const gr_tensor *t)
{
    return (t->op->flags & GR_OP_ELEMENTWISE) || t->op == &gr_op_reshape || t->op == &gr_op_contiguous ||
           t->op == &gr_op_detach;
}

static const gr_matmul_attr *product(const gr_tensor *t)
{
    return t->op == &gr_op_matmul && t->spec.ndim == 2 ? t->attr : NULL;
}

/* A product of rows with something that has none. */
static bool is_product_of_rows(const cutter *c, const gr_tensor *t)
{
    const gr_matmul_attr *p = product(t);
    return p && !p->transpose_a && t->in[0]->spec.ndim == 2 && t->in[0]->spec.shape[0] == c->rows &&
           t->in[1]->spec.ndim == 2 && !is_inside(c, t->in[1]);
}

/* a^T b, both with a row for each of the logits. */
static bool is_sum_of_products(const cutter *c, const gr_tensor *t)
{
    const gr_matmul_attr *p = product(t);
    return p && p->transpose_a && !p->transpose_b && t->in[0]->spec.shape[0] == c->rows;
}

static bool is_sum_over_rows(const cutter *c, const gr_tensor *t)
{
    const gr_reduce_attr *a = t->attr;
    return t->op == &gr_op_sum && is_wide(c, t->in[0]) && a->axes == (1u << (t->in[0]->spec.ndim - 1)) - 1;
}

static gr_status refuse(const gr_tensor *t)
{
    char label[256];
    return gr_fail(
        GR_ERR_UNSUPPORTED,
        "head rows: %s reads all logits at once (%s), so that the head cannot be computed in pieces\nleave the "
        "head whole",
        gr_tensor_label(t, label, sizeof label), t->op->name);
}

/* ---- finding it --------------------------------------------------------------------------------------------- */

/* Marks what logits are made of: from t back to the products. False: there is none. */
static bool mark_logits(cutter *c, const gr_tensor *t)
{
    const gr_tensor *node = node_of(t);
    if (!is_wide(c, t) || node->n_out != 1 || !(is_by_rows(node) || is_product_of_rows(c, node)))
        return false;
    if (c->role[node->id] == INSIDE)
        return true;
    bool found = node->op == &gr_op_matmul;
    for (int k = 0; !found && k < node->n_in; k++)
        found = node->in[k] && mark_logits(c, node->in[k]);
    if (!found)
        return false;
    for (int k = 0; node->op != &gr_op_matmul && k < node->n_in; k++)
        if (node->in[k])
            mark_logits(c, node->in[k]);
    c->role[node->id] = INSIDE;
    c->first = node->id < c->first ? node->id : c->first;
    return true;
}

static bool reads_logits(const cutter *c, const gr_tensor *t)
{
    bool found = false;
    for (int k = 0; k < t->n_in; k++)
        found = found || (t->in[k] && role_of(c, t->in[k]) == INSIDE);
    return found;
}

static role role_of_reader(const cutter *c, const gr_tensor *t)
{
    if (t->op == &gr_op_cross_entropy_grad || (is_by_rows(t) && is_wide(c, t)))
        return INSIDE;
    if (t == c->loss || is_product_of_rows(c, t))
        return LEAVES;
    return is_sum_of_products(c, t) || is_sum_over_rows(c, t) ? SUMMED : OUTSIDE;
}

/* What is computed of logits, of the loss and of their gradient. */
static gr_status mark_readers(cutter *c)
{
    const gr_graph *g = c->r.from;
    for (size_t i = (size_t)c->first; i < g->n; i++) {
        const gr_tensor *t = g->nodes[i];
        if (!c->r.live[i] || t->source || c->role[i])
            continue;
        bool reads = reads_logits(c, t);
        for (int k = 0; k < t->n_in; k++) /* what the loss saves besides is for its gradient alone */
            if (t->in[k] && t->in[k]->source == c->loss && t->op != &gr_op_cross_entropy_grad)
                return refuse(t);
        if (!reads)
            continue;
        c->role[i] = (unsigned char)role_of_reader(c, t);
        if (!c->role[i])
            return refuse(t);
        c->last = (int64_t)i;
    }
    return GR_OK;
}

static gr_status find_head(cutter *c, const gr_tensor *loss, gr_tensor *const *roots, int n_roots)
{
    c->loss = loss;
    c->vocab = width(loss->in[0]);
    c->rows = gr_spec_count(&loss->in[0]->spec) / c->vocab;
    c->first = c->last = loss->id;
    c->n_pieces = c->rows > c->piece ? (int)((c->rows + c->piece - 1) / c->piece) : 1;
    if (c->n_pieces < 2) {
        c->loss = NULL;
        return GR_OK;
    }
    if (!mark_logits(c, loss->in[0]))
        return refuse(loss);
    gr_status s = mark_readers(c);
    for (int i = 0; s == GR_OK && i < n_roots; i++)
        if (role_of(c, roots[i]) == INSIDE)
            s = refuse(node_of(roots[i]));
    return s;
}

/* ---- a piece ------------------------------------------------------------------------------------------------ */

/* t in the new graph, though its place comes later: it hangs on nothing of the head. */
static gr_tensor *need(cutter *c, const gr_tensor *t)
{
    const gr_tensor *node = node_of(t);
    if (c->r.map[t->id] || c->r.to->failed != GR_OK)
        return c->r.map[t->id];
    if (c->role[node->id]) {
        refuse(node);
        return gr_graph_fail(c->r.to);
    }
    for (int k = 0; k < node->n_in; k++)
        if (node->in[k])
            need(c, node->in[k]);
    gr_rewrite_copy(&c->r, node);
    return c->r.map[t->id];
}

static int64_t size_of(const cutter *c, int piece)
{
    int64_t rest = c->rows - piece * c->piece;
    return rest < c->piece ? rest : c->piece;
}

/* The piece's rows of what has a row for each of the logits: [n, last dim], or [n] of a tensor with `flat`. */
static gr_tensor *slice(cutter *c, const gr_tensor *t, int piece, bool flat)
{
    const gr_tensor *fill = gr_behind_views(t);
    int64_t n = size_of(c, piece), shape[] = {c->rows, flat ? 1 : gr_spec_count(&t->spec) / c->rows};
    int ndim = flat ? 1 : 2;
    if (fill->op == &gr_op_fill) {
        shape[0] = n;
        return gr_fill(c->r.to, t->spec.dtype, ndim, shape, ((const gr_fill_attr *)fill->attr)->value);
    }
    gr_tensor *whole = gr_reshape(need(c, t), ndim, shape);
    return gr_slice(whole, 0, piece * c->piece, piece * c->piece + n);
}

/* Operand k of a node, for the piece. */
static gr_tensor *operand(cutter *c, const gr_tensor *node, int k, int piece)
{
    const gr_tensor *t = node->in[k];
    bool is_loss = node->op == &gr_op_cross_entropy_rows || node->op == &gr_op_cross_entropy_grad;
    if (!t)
        return NULL;
    if (is_inside(c, t))
        return c->now[t->id];
    if (is_loss)
        return slice(c, t, piece, k > 0);
    if (product(node))
        return k == 0 || product(node)->transpose_a ? slice(c, t, piece, false) : need(c, t);
    int64_t count = gr_spec_count(&t->spec);
    if (t->spec.ndim < 2 || count == width(t)) /* the same for each row */
        return gr_reshape(need(c, t), t->spec.ndim ? 1 : 0, (const int64_t[]){width(t)});
    if (count == c->rows * width(t))
        return slice(c, t, piece, false);
    refuse(node);
    return gr_graph_fail(c->r.to);
}

static gr_tensor *append_reshaped(cutter *c, const gr_tensor *node, int piece)
{
    return node->op == &gr_op_reshape ? operand(c, node, 0, piece) : NULL;
}

/* The first piece of a sum is what the node is, the others add to it. */
static gr_tensor *append_sum(cutter *c, const gr_tensor *node, gr_tensor *const *in, int piece)
{
    gr_tensor *before = c->sum[node->id];
    if (node->op == &gr_op_sum) {
        gr_tensor *part = gr_sum(in[0], 1, false);
        return piece ? gr_add(before, part) : part;
    }
    gr_tensor *all[] = {before, in[0], in[1]};
    return piece ? gr_node(c->r.to, &gr_op_addmm, all, 3, node->attr) : gr_node(c->r.to, node->op, in, 2, node->attr);
}

static void append(cutter *c, const gr_tensor *node, int piece)
{
    gr_tensor *in[GR_MAX_INPUTS];
    c->r.to->backward = node->backward;
    gr_tensor *t = append_reshaped(c, node, piece);
    if (!t) {
        for (int k = 0; k < node->n_in; k++)
            in[k] = operand(c, node, k, piece);
        c->r.to->backward = node->backward; /* an operand may have been of the other pass */
        t = c->role[node->id] == SUMMED ? append_sum(c, node, in, piece)
                                        : gr_node(c->r.to, node->op, in, node->n_in, node->attr);
    }
    if (t && node->name && !t->name)
        gr_name_exactly(t, node->name);
    if (c->role[node->id] == SUMMED)
        c->sum[node->id] = t;
    else
        for (int k = 0; t && k < node->n_out; k++)
            c->now[node->outs[k]->id] = node->n_out > 1 ? t->outs[k] : t;
}

/* ---- putting together --------------------------------------------------------------------------------------- */

static gr_tensor *behind_each_other(gr_tensor **part, int n)
{
    while (n > 1) { /* as many as a node takes, and those again */
        int m = 0;
        for (int i = 0; i < n; i += GR_MAX_INPUTS)
            part[m++] = gr_concat(part + i, n - i < GR_MAX_INPUTS ? n - i : GR_MAX_INPUTS, 0);
        n = m;
    }
    return part[0];
}

/* What leaves the head, in its old shape. */
static void close_head(cutter *c)
{
    const gr_graph *g = c->r.from;
    gr_tensor **part = c->parts;
    for (int64_t i = c->first; i <= c->last && c->r.to->failed == GR_OK; i++) {
        const gr_tensor *t = g->nodes[i];
        c->r.to->backward = t->backward;
        if (c->role[i] == SUMMED)
            gr_rewrite_map(&c->r, t, 0, gr_reshape(c->sum[i], t->spec.ndim, t->spec.shape));
        if (c->role[i] != LEAVES)
            continue;
        gr_rewrite_map(&c->r, t, 0, gr_reshape(behind_each_other(part, c->n_pieces), t->spec.ndim, t->spec.shape));
        part += c->n_pieces;
    }
}

static void cut(cutter *c)
{
    const gr_graph *g = c->r.from;
    for (int piece = 0; piece < c->n_pieces; piece++) {
        int leaving = 0;
        for (int64_t i = c->first; i <= c->last && c->r.to->failed == GR_OK; i++) {
            if (!c->role[i])
                continue;
            append(c, g->nodes[i], piece);
            if (c->role[i] == LEAVES)
                c->parts[leaving++ * c->n_pieces + piece] = c->now[i];
        }
    }
    close_head(c);
}

static gr_status make_room(cutter *c)
{
    size_t leaving = 0;
    for (int64_t i = c->first; i <= c->last; i++)
        leaving += c->role[i] == LEAVES;
    c->parts = gr_alloc(leaving * (size_t)c->n_pieces * sizeof *c->parts);
    return c->parts ? GR_OK : GR_ERR_MEMORY;
}

static gr_status walk(cutter *c, gr_tensor *const *roots, int n_roots)
{
    const gr_graph *g = c->r.from;
    gr_status s = GR_OK;
    for (size_t i = 0; s == GR_OK && !c->loss && i < g->n; i++)
        if (c->r.live[i] && g->nodes[i]->op == &gr_op_cross_entropy_rows)
            s = find_head(c, g->nodes[i], roots, n_roots);
    if (s == GR_OK && c->loss)
        s = make_room(c);
    for (size_t i = 0; s == GR_OK && i < g->n && c->r.to->failed == GR_OK; i++) {
        const gr_tensor *t = g->nodes[i];
        if (t == c->loss)
            cut(c);
        if (c->r.live[i] && !t->source && !c->r.map[i] && !(c->loss && c->role[i]))
            gr_rewrite_copy(&c->r, t);
    }
    return s;
}

gr_graph *gr_pass_head(const gr_graph *g, gr_tensor **roots, int n_roots, const gr_target *target)
{
    cutter c = {.piece = target->head_rows};
    if (gr_rewrite_open(&c.r, g, roots, n_roots) != GR_OK)
        return NULL;
    c.role = gr_alloc_zero(g->n, sizeof *c.role);
    c.now = gr_alloc_zero(g->n, sizeof *c.now);
    c.sum = gr_alloc_zero(g->n, sizeof *c.sum);
    gr_status s = c.role && c.now && c.sum ? walk(&c, roots, n_roots) : GR_ERR_MEMORY;
    if (s != GR_OK)
        gr_graph_fail(c.r.to);
    gr_free(c.role);
    gr_free(c.now);
    gr_free(c.sum);
    gr_free(c.parts);
    return gr_rewrite_close(&c.r, roots, n_roots);
}
