/* Running: memory taken once, then copy in, call, copy out. */
#include "program/program.h"

#include "base/dtype.h"
#include "base/mem.h"
#include "op/attr.h"
#include "op/op.h"
#include "program/store.h"

#include <math.h>
#include <string.h>

/* ---- memory ------------------------------------------------------------------------------------------------- */

/* The last program gone, the arena goes too. */
static void leave_arena(gr_program *p)
{
    gr_device *d = p->device;
    if (!p->counted || --d->arena_users > 0)
        return;
    if (d->arena)
        d->backend->free(d, d->arena, d->arena_size);
    d->arena = NULL;
    d->arena_size = 0;
}

void gr_program_free(gr_program *p)
{
    if (!p)
        return;
    if (p->constants)
        p->device->backend->free(p->device, p->constants, p->constants_size);
    leave_arena(p);
    gr_graph_free(p->graph);
    gr_free(p->steps);
    gr_free(p->buffers);
    gr_free(p->bindings);
    gr_free(p->inputs);
    gr_free(p->outputs);
    gr_free(p);
}

/* Makes the device's arena at least as large as this program needs. Nothing in it outlives a run, so it may move. */
static gr_status grow_arena(gr_program *p)
{
    gr_device *d = p->device;
    if (!p->counted) {
        p->counted = true;
        d->arena_users++;
    }
    if (d->arena_size >= p->memory.arena)
        return GR_OK;
    if (d->arena)
        d->backend->free(d, d->arena, d->arena_size);
    d->arena_size = 0;
    d->generation++;
    d->arena = d->backend->alloc(d, p->memory.arena);
    if (!d->arena)
        return gr_error_status();
    d->arena_size = p->memory.arena;
    return GR_OK;
}

static gr_status take_constants(gr_program *p)
{
    if (p->constants || !p->constants_size)
        return GR_OK;
    p->constants = p->device->backend->alloc(p->device, p->constants_size);
    if (!p->constants)
        return gr_error_status();
    size_t at = 0;
    for (size_t i = 0; i < p->graph->n; i++) { /* in the order in which compiling placed them */
        const gr_tensor *t = p->graph->nodes[i];
        const gr_constant_attr *a = t->attr;
        if (t->op != &gr_op_constant)
            continue;
        size_t bytes = gr_dtype_size(t->spec.dtype, gr_spec_count(&t->spec));
        p->device->backend->write(p->device, (char *)p->constants + at, a->data, bytes);
        at += (bytes + GR_PLAN_ALIGN - 1) / GR_PLAN_ALIGN * GR_PLAN_ALIGN;
    }
    return GR_OK;
}

static gr_status take_params(gr_program *p)
{
    for (size_t i = 0; i < p->graph->n; i++) {
        const gr_tensor *t = p->graph->nodes[i];
        const gr_param_attr *a = t->attr;
        if (t->op == &gr_op_param && !gr_store_data(a->store, a->index))
            return gr_error_status();
    }
    return GR_OK;
}

void *gr_place_pointer(const gr_program *p, const gr_place *place)
{
    switch (place->space) {
    case GR_SPACE_ARENA:
        return (char *)p->device->arena + p->buffers[place->index].offset + place->offset;
    case GR_SPACE_STORE:
        return (char *)gr_store_data(place->store, place->index) + place->offset;
    case GR_SPACE_CONSTANT:
        return (char *)p->constants + place->offset;
    case GR_SPACE_NONE:
        break;
    }
    return NULL;
}

gr_status gr_program_reserve(gr_program *p)
{
    if (gr_lacks(p, "gr_program_reserve: program"))
        return GR_ERR_ARGUMENT;
    if (p->generation == p->device->generation + 1)
        return GR_OK; /* all is taken and bound: a run looks nothing up */
    gr_status s = grow_arena(p);
    if (s == GR_OK)
        s = take_constants(p);
    if (s == GR_OK)
        s = take_params(p);
    if (s != GR_OK)
        return gr_fail_in("memory for the program (%.1f MB in all)", (double)p->memory.total / 1e6);
    for (size_t i = 0; i < p->n_bindings; i++)
        *p->bindings[i].pointer = gr_place_pointer(p, &p->bindings[i].place);
    p->generation = p->device->generation + 1; /* 0 stands for never */
    return GR_OK;
}

/* ---- running ------------------------------------------------------------------------------------------------ */

gr_status gr_program_copy_in(gr_program *p, const void *const *inputs)
{
    gr_status s = gr_program_reserve(p);
    for (int i = 0; s == GR_OK && i < p->n_inputs; i++) {
        const gr_port *port = &p->inputs[i];
        if (port->place.space == GR_SPACE_NONE)
            continue;
        if (!inputs || !inputs[i])
            return gr_fail(GR_ERR_ARGUMENT, "gr_run: input %d (%s) is NULL", i, port->name);
        p->device->backend->write(p->device, gr_place_pointer(p, &port->place), inputs[i], port->size);
    }
    return s;
}

void gr_program_copy_out(gr_program *p, void *const *outputs)
{
    for (int i = 0; outputs && i < p->n_outputs; i++)
        if (outputs[i])
            p->device->backend->read(p->device, outputs[i], gr_place_pointer(p, &p->outputs[i].place),
                                     p->outputs[i].size);
}

gr_status gr_run(gr_program *p, const void *const *inputs, void *const *outputs)
{
    if (gr_lacks(p, "gr_run: program"))
        return GR_ERR_ARGUMENT;
    gr_status s = gr_program_copy_in(p, inputs);
    if (s == GR_OK)
        s = p->device->backend->run(p->device, p->steps, p->n_steps);
    if (s == GR_OK)
        gr_program_copy_out(p, outputs);
    return s;
}

/* ---- exploring ---------------------------------------------------------------------------------------------- */

gr_status gr_eval(gr_tensor *t, void *data, size_t size)
{
    if ((!t && gr_error_status() == GR_OK && gr_lacks(t, "gr_eval: t")) || gr_lacks(data, "gr_eval: data"))
        return gr_error_status();
    if (!t)
        return gr_error_status();
    size_t bytes = gr_dtype_size(t->spec.dtype, gr_spec_count(&t->spec));
    if (size != bytes)
        return gr_fail(GR_ERR_ARGUMENT, "gr_eval: the tensor has %zu bytes, %zu were given", bytes, size);
    gr_device *d = gr_device_open("ref", 1);
    gr_program *p = d ? gr_compile(t->graph, &t, 1, d) : NULL;
    gr_status s = p ? gr_run(p, NULL, &data) : gr_error_status();
    gr_program_free(p);
    gr_device_close(d);
    return s;
}

double gr_item(gr_tensor *t)
{
    if (!t && gr_error_status() == GR_OK)
        gr_lacks(t, "gr_item: t");
    char bytes[16];
    if (t && gr_spec_count(&t->spec) != 1)
        gr_fail(GR_ERR_ARGUMENT, "gr_item: the tensor has %lld elements, not one", (long long)gr_spec_count(&t->spec));
    else if (t && gr_eval(t, bytes, gr_dtype_size(t->spec.dtype, 1)) == GR_OK)
        return gr_dtype_get(t->spec.dtype)->load(bytes, 0);
    return NAN;
}
