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
typedef gr_status (*visit)(gr_program *p, const gr_step *s, gr_address data, size_t size, bool is_result);

static gr_status for_written(gr_program *p, const gr_step *s, visit f)
{
    gr_status st = GR_OK;
    for (int k = 0; st == GR_OK && k < s->call.n_out; k++) {
        const gr_operand *o = &s->call.out[k];
        if (o->address)
            st = f(p, s, o->address, gr_dtype_size(o->dtype, gr_operand_count(o)), true);
    }
    if (st == GR_OK && s->call.scratch_address)
        st = f(p, s, s->call.scratch_address, s->call.scratch_size, false);
    return st;
}

static gr_status prepare(gr_program *p, const gr_step *s, gr_address data, size_t size, bool is_result)
{
    (void)s, (void)is_result;
    const gr_backend *b = p->device->backend;
    gr_status st = b->fill(p->device, data - GR_ADDRESS_ALIGN, GUARD_BYTE, GR_ADDRESS_ALIGN);
    if (st == GR_OK)
        st = b->fill(p->device, data, POISON_BYTE, size);
    return st == GR_OK ? b->fill(p->device, data + size, GUARD_BYTE, GR_ADDRESS_ALIGN) : st;
}

static gr_status check_guards(gr_program *p, const gr_step *s, gr_address data, size_t size, bool is_result)
{
    unsigned char guard[2 * GR_ADDRESS_ALIGN];
    char label[256];
    gr_status st = gr_device_read(p->device, guard, data - GR_ADDRESS_ALIGN, GR_ADDRESS_ALIGN);
    if (st == GR_OK)
        st = gr_device_read(p->device, guard + GR_ADDRESS_ALIGN, data + size, GR_ADDRESS_ALIGN);
    if (st != GR_OK)
        return st;
    for (int i = 0; i < 2 * GR_ADDRESS_ALIGN; i++)
        if (guard[i] != GUARD_BYTE)
            return gr_fail(GR_ERR_NUMBER, "%s on %s: its kernel wrote %s of %s (%zu bytes)", s->call.op->name,
                           p->device->backend->name, i < GR_ADDRESS_ALIGN ? "before the start" : "past the end",
                           is_result ? gr_tensor_label(s->call.node, label, sizeof label) : "its scratch", size);
    return GR_OK;
}

/* One step, done when this returns. */
static gr_status run_step(gr_program *p, int i)
{
    gr_status s = p->device->backend->run(p->device, &p->code, i, 1);
    return s == GR_OK ? p->device->backend->wait(p->device, &p->code) : s;
}

gr_status gr_run_checked(gr_program *p, const void *const *inputs, void *const *outputs)
{
    gr_status s = gr_program_begin(p, inputs);
    if (s != GR_OK)
        return s;
    for (int i = 0; s == GR_OK && i < p->code.n; i++) {
        s = for_written(p, &p->code.steps[i], prepare);
        if (s == GR_OK)
            s = run_step(p, i);
        if (s == GR_OK)
            s = for_written(p, &p->code.steps[i], check_guards);
    }
    if (s == GR_OK)
        return gr_program_finish(p, outputs);
    gr_program_end(p);
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
        gr_address from = o->address + gr_dtype_size(o->dtype, at);
        if (gr_device_read(p->device, piece, from, gr_dtype_size(o->dtype, m)) != GR_OK)
            return false;
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

/* The name of what is not finite in step i, which is run in between; NULL: nothing, or *s says what failed. */
static const char *look_at_step(gr_program *p, int i, gr_status *s)
{
    const gr_call *c = &p->code.steps[i].call;
    for (int k = 0; k < c->n_in; k++) { /* weights and inputs are to blame before the op is */
        const gr_tensor *x = bound_operand(&p->code.steps[i], k);
        if (x && !all_finite(p, &c->in[k]))
            return x->name ? x->name : x->op->name;
    }
    *s = run_step(p, i);
    for (int k = 0; *s == GR_OK && k < c->n_out; k++)
        if (c->out[k].address && gr_dtype_get(c->out[k].dtype)->is_float && !all_finite(p, &c->out[k]))
            return c->node->name ? c->node->name : c->op->name;
    return NULL;
}

const char *gr_find_nonfinite(gr_program *p, const void *const *inputs)
{
    const char *bad = NULL;
    if (gr_lacks(p, "gr_find_nonfinite: program"))
        return NULL;
    gr_status s = gr_program_begin(p, inputs);
    if (s != GR_OK)
        return NULL;
    for (int i = 0; s == GR_OK && !bad && i < p->code.n; i++)
        if (!(p->code.steps[i].call.op->flags & GR_OP_EFFECT))
            bad = look_at_step(p, i, &s);
    gr_program_end(p);
    return bad;
}
