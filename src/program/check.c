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

gr_status gr_run_checked(gr_program *p, const void *const *inputs, void *const *outputs)
{
    gr_status s = gr_program_begin(p, inputs);
    if (s != GR_OK)
        return s;
    for (int i = 0; s == GR_OK && i < p->code.n; i++) {
        s = for_written(p, &p->code.steps[i], prepare);
        if (s == GR_OK)
            s = gr_program_step(p, i);
        if (s == GR_OK)
            s = for_written(p, &p->code.steps[i], check_guards);
    }
    if (s == GR_OK)
        return gr_program_finish(p, outputs);
    gr_program_end(p);
    return s;
}

/* ---- where did the NaN come from? --------------------------------------------------------------------------- */

/* Looks through a result in pieces: it may be on a device, and large. */
static gr_status look_at(gr_program *p, const gr_operand *o, bool *finite)
{
    enum { PIECE = 1024 };
    char piece[PIECE * 8];
    const gr_dtype_info *d = gr_dtype_get(o->dtype);
    int64_t n = gr_operand_count(o);
    gr_status s = GR_OK;
    *finite = true;
    for (int64_t at = 0; s == GR_OK && *finite && at < n; at += PIECE) {
        int64_t m = n - at < PIECE ? n - at : PIECE;
        gr_address from = o->address + gr_dtype_size(o->dtype, at);
        s = gr_device_read(p->device, piece, from, gr_dtype_size(o->dtype, m));
        for (int64_t i = 0; s == GR_OK && *finite && i < m; i++)
            *finite = isfinite(d->load(piece, i));
    }
    return s;
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
    x = x ? gr_behind_views(x) : NULL;
    x = x && gr_is_version(x) ? gr_version_param(x) : x;
    bool is_one = x && (x->op->flags & GR_OP_BOUND) && gr_dtype_get(o->dtype)->is_float && gr_layout_contiguous(&l);
    return is_one ? x : NULL;
}

/* Runs step i; *name: what is not finite of what it reads and gives. */
static gr_status look_at_step(gr_program *p, int i, const char **name)
{
    const gr_call *c = &p->code.steps[i].call;
    bool finite = true;
    gr_status s = GR_OK;
    for (int k = 0; s == GR_OK && k < c->n_in; k++) { /* weights and inputs are to blame before the op is */
        const gr_tensor *x = bound_operand(&p->code.steps[i], k);
        s = x ? look_at(p, &c->in[k], &finite) : GR_OK;
        if (s == GR_OK && !finite) {
            *name = x->name ? x->name : x->op->name;
            return GR_OK;
        }
    }
    if (s == GR_OK)
        s = gr_program_step(p, i);
    int looked_at = c->n_in > 0 ? c->n_out : 0; /* an infinity that the graph says is meant */
    for (int k = 0; s == GR_OK && finite && k < looked_at; k++)
        if (c->out[k].address && gr_dtype_get(c->out[k].dtype)->is_float)
            s = look_at(p, &c->out[k], &finite);
    if (!finite)
        *name = c->node->name ? c->node->name : c->op->name;
    return s;
}

static gr_status leave_out(const gr_call *effect)
{
    char label[256];
    for (int k = 0; k < effect->n_out; k++)
        if (effect->out[k].address)
            return gr_fail(GR_ERR_UNSUPPORTED,
                           "gr_find_nonfinite: %s is an effect whose results are read, so what follows is not known",
                           gr_tensor_label(effect->node, label, sizeof label));
    return GR_OK;
}

gr_status gr_program_find_nonfinite(gr_program *p, const void *const *inputs, const char **name)
{
    *name = NULL;
    gr_status s = gr_program_begin(p, inputs);
    if (s != GR_OK)
        return s;
    for (int i = 0; s == GR_OK && !*name && i < p->code.n; i++) {
        const gr_call *c = &p->code.steps[i].call;
        s = c->op->flags & GR_OP_EFFECT ? leave_out(c) : look_at_step(p, i, name);
    }
    gr_program_end(p);
    *name = s == GR_OK ? *name : NULL;
    return s;
}
