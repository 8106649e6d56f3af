/* Running step by step and looking at every result: for tests, and to find where a NaN came from. */
#include "program/program.h"

#include "base/dtype.h"
#include "base/mem.h"
#include "graph/graph.h"
#include "program/layout.h"

#include <math.h>
#include <string.h>

enum { GUARD_BYTE = 0xA5, POISON_BYTE = 0xFF }; /* 0xFF.. is a NaN in every float dtype */

/* Calls f for every arena buffer that the step writes: its results and its scratch. */
typedef gr_status (*visit)(gr_program *p, const gr_step *s, char *data, size_t size, bool is_result);

static gr_status for_written(gr_program *p, const gr_step *s, visit f)
{
    gr_status st = GR_OK;
    for (int k = 0; st == GR_OK && k < s->call.n_out; k++) {
        const gr_operand *o = &s->call.out[k];
        if (o->data)
            st = f(p, s, o->data, gr_dtype_size(o->dtype, gr_operand_count(o)), true);
    }
    if (st == GR_OK && s->call.scratch)
        st = f(p, s, s->call.scratch, s->call.scratch_size, false);
    return st;
}

static gr_status prepare(gr_program *p, const gr_step *s, char *data, size_t size, bool is_result)
{
    (void)s, (void)is_result;
    const gr_backend *b = p->device->backend;
    b->fill(p->device, data - GR_PLAN_ALIGN, GUARD_BYTE, GR_PLAN_ALIGN);
    b->fill(p->device, data, POISON_BYTE, size);
    b->fill(p->device, data + size, GUARD_BYTE, GR_PLAN_ALIGN);
    return GR_OK;
}

static gr_status check_guards(gr_program *p, const gr_step *s, char *data, size_t size, bool is_result)
{
    unsigned char guard[2 * GR_PLAN_ALIGN];
    char label[256];
    p->device->backend->read(p->device, guard, data - GR_PLAN_ALIGN, GR_PLAN_ALIGN);
    p->device->backend->read(p->device, guard + GR_PLAN_ALIGN, data + size, GR_PLAN_ALIGN);
    for (int i = 0; i < 2 * GR_PLAN_ALIGN; i++)
        if (guard[i] != GUARD_BYTE)
            return gr_fail(GR_ERR_NUMBER, "%s on %s: its kernel wrote %s of %s (%zu bytes)", s->call.op->name,
                           p->device->backend->name, i < GR_PLAN_ALIGN ? "before the start" : "past the end",
                           is_result ? gr_tensor_label(s->call.node, label, sizeof label) : "its scratch", size);
    return GR_OK;
}

gr_status gr_run_checked(gr_program *p, const void *const *inputs, void *const *outputs)
{
    gr_status s = gr_program_copy_in(p, inputs);
    for (int i = 0; s == GR_OK && i < p->n_steps; i++) {
        s = for_written(p, &p->steps[i], prepare);
        if (s == GR_OK)
            s = p->device->backend->run(p->device, &p->steps[i], 1);
        if (s == GR_OK)
            s = for_written(p, &p->steps[i], check_guards);
    }
    if (s == GR_OK)
        gr_program_copy_out(p, outputs);
    return s;
}

/* ---- where did the NaN come from? ---------------------------------------------------------------------------- */

/* Looks through a result in pieces: it may be on a device, and large. */
static bool all_finite(gr_program *p, const gr_operand *o)
{
    enum { PIECE = 1024 };
    char piece[PIECE * 8];
    const gr_dtype_info *d = gr_dtype_get(o->dtype);
    int64_t n = gr_operand_count(o);
    for (int64_t at = 0; at < n; at += PIECE) {
        int64_t m = n - at < PIECE ? n - at : PIECE;
        p->device->backend->read(p->device, piece, (char *)o->data + gr_dtype_size(o->dtype, at),
                                 gr_dtype_size(o->dtype, m));
        for (int64_t i = 0; i < m; i++)
            if (!isfinite(d->load(piece, i)))
                return false;
    }
    return true;
}

/* The weight or input that operand k of a step shows, be it through views; NULL: something computed, or not in one
 * piece. */
static const gr_tensor *bound_operand(const gr_step *s, int k)
{
    const gr_tensor *x = s->call.node->in[k];
    const gr_operand *o = &s->call.in[k];
    gr_layout l = {.ndim = o->ndim};
    memcpy(l.shape, o->shape, sizeof l.shape);
    memcpy(l.stride, o->stride, sizeof l.stride);
    while (x && !gr_is_version(x) && (x->source || x->op->view))
        x = x->source ? x->source : x->in[0];
    x = x && gr_is_version(x) ? gr_version_param(x) : x;
    bool is_one = x && (x->op->flags & GR_OP_BOUND) && gr_dtype_get(o->dtype)->is_float && gr_layout_contiguous(&l);
    return is_one ? x : NULL;
}

const char *gr_find_nonfinite(gr_program *p, const void *const *inputs)
{
    if (gr_lacks(p, "gr_find_nonfinite: program"))
        return NULL;
    if (gr_program_copy_in(p, inputs) != GR_OK)
        return NULL;
    for (int i = 0; i < p->n_steps; i++) {
        const gr_step *s = &p->steps[i];
        if (s->call.op->flags & GR_OP_EFFECT)
            continue;
        for (int k = 0; k < s->call.n_in; k++) { /* weights and inputs are to blame before the op is */
            const gr_tensor *x = bound_operand(s, k);
            if (x && !all_finite(p, &s->call.in[k]))
                return x->name ? x->name : x->op->name;
        }
        if (p->device->backend->run(p->device, s, 1) != GR_OK)
            return NULL;
        for (int k = 0; k < s->call.n_out; k++)
            if (s->call.out[k].data && gr_dtype_get(s->call.out[k].dtype)->is_float && !all_finite(p, &s->call.out[k]))
                return s->call.node->name ? s->call.node->name : s->call.op->name;
    }
    return NULL;
}
