/* Running: memory taken once, then copy in, call, copy out. */
#include "program/program.h"

#include "base/dtype.h"
#include "base/machine.h"
#include "base/mem.h"
#include "op/attr.h"
#include "op/op.h"
#include "program/profile.h"
#include "program/store.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ------------------------------------------------------------------------------------------------- */

/* The last program gone, the arena goes too. */
static void leave_arena(gr_program *p)
{
    gr_device *d = p->device;
    if (!p->counted || --d->arena_users > 0)
        return;
    gr_device_free(d, d->arena, d->arena_size);
    d->arena = 0;
    d->arena_size = 0;
}

void gr_program_free(gr_program *p)
{
    if (!p)
        return;
    gr_device *d = p->device;
    gr_device_lock(d);
    if (d->running == p)
        gr_program_finish(p, NULL);
    d->backend->forget(d, &p->code);
    gr_device_free(d, p->constants, p->constants_size);
    leave_arena(p);
    gr_device_unlock(d);
    gr_graph_free(p->graph);
    gr_free(p->code.steps);
    gr_free(p->buffers);
    gr_free(p->bindings);
    gr_free(p->inputs);
    gr_free(p->outputs);
    gr_free(p->given);
    gr_free(p->wanted);
    gr_free(p->staging);
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
    if (d->arena_size >= p->plan.arena)
        return GR_OK;
    gr_device_free(d, d->arena, d->arena_size);
    d->arena_size = 0;
    d->generation++;
    d->arena = gr_device_alloc(d, p->plan.arena);
    if (!d->arena)
        return gr_error_status();
    d->arena_size = p->plan.arena;
    return GR_OK;
}

static gr_status take_constants(gr_program *p)
{
    if (p->constants || !p->constants_size)
        return GR_OK;
    p->constants = gr_device_alloc(p->device, p->constants_size);
    gr_status s = p->constants ? GR_OK : gr_error_status();
    gr_address at = p->constants;
    for (size_t i = 0; s == GR_OK && i < p->graph->n; i++) { /* in the order in which compiling placed them */
        const gr_tensor *t = p->graph->nodes[i];
        const gr_constant_attr *a = t->attr;
        if (t->op != &gr_op_constant)
            continue;
        size_t bytes = gr_dtype_size(t->spec.dtype, gr_spec_count(&t->spec));
        s = gr_device_write(p->device, at, a->data, bytes);
        at += gr_placed_size(bytes);
    }
    return s;
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

static gr_status take_staging(gr_program *p)
{
    size_t in = p->code.inputs_size, out = p->code.outputs_size;
    if (p->staging || p->device->host_visible)
        return GR_OK;
    p->staging = gr_alloc(in > out ? in : out);
    return p->staging ? GR_OK : GR_ERR_MEMORY;
}

static gr_address address_of(const gr_program *p, const gr_place *place)
{
    switch (place->space) {
    case GR_SPACE_ARENA:
        return p->device->arena + p->buffers[place->index].offset + place->offset;
    case GR_SPACE_STORE:
        return gr_store_data(place->store, place->index) + place->offset;
    case GR_SPACE_CONSTANT:
        return p->constants + place->offset;
    case GR_SPACE_NONE:
        break;
    }
    return 0;
}

static gr_status bind_all(gr_program *p)
{
    gr_device *d = p->device;
    for (size_t i = 0; i < p->n_bindings; i++)
        *p->bindings[i].address = address_of(p, &p->bindings[i].place);
    p->code.inputs = d->arena + p->buffers[p->inputs_block].offset;
    if (!d->host_visible)
        p->code.outputs = p->code.fault = d->arena + p->buffers[p->outputs_block].offset;
    gr_status s = d->backend->prepare(d, &p->code);
    p->generation = s == GR_OK ? d->generation + 1 : 0; /* 0 stands for never */
    return s;
}

/* All is taken and bound: a run looks nothing up. */
static bool is_bound(const gr_program *p)
{
    return p->generation == p->device->generation + 1;
}

static gr_status reserve(gr_program *p)
{
    if (is_bound(p))
        return GR_OK;
    gr_status s = grow_arena(p);
    if (s == GR_OK)
        s = take_constants(p);
    if (s == GR_OK)
        s = take_params(p);
    if (s == GR_OK)
        s = take_staging(p);
    return s == GR_OK ? bind_all(p) : s;
}

/* ---- asking for all of it at once --------------------------------------------------------------------------- */

typedef struct missing { /* a store's tensor without memory */
    const gr_store *store;
    int index;
    size_t bytes;
} missing;

static int by_place(const void *pa, const void *pb)
{
    const missing *a = pa, *b = pb;
    if (a->store != b->store)
        return a->store < b->store ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

/* Those of one program behind the n already found. */
static size_t find_missing(const gr_program *p, missing *found, size_t n)
{
    for (size_t i = 0; i < p->graph->n; i++) {
        const gr_param_attr *a = p->graph->nodes[i]->attr;
        gr_entry e = GR_INIT(gr_entry);
        if (p->graph->nodes[i]->op != &gr_op_param || gr_store_has_data(a->store, a->index) ||
            gr_store_entry(a->store, a->index, &e) != GR_OK)
            continue;
        found[n++] = (missing){a->store, a->index, e.bytes};
    }
    return n;
}

static gr_status reserve_together(gr_device *d, gr_program *const *programs, int n)
{
    size_t nodes = 0, arena = 0, need = 0, count = 0;
    for (int i = 0; i < n; i++)
        nodes += programs[i] ? programs[i]->graph->n : 0;
    missing *found = gr_alloc(nodes * sizeof *found);
    if (!found)
        return GR_ERR_MEMORY;
    for (int i = 0; i < n; i++) {
        const gr_program *p = programs[i];
        if (!p)
            continue;
        count = find_missing(p, found, count);
        arena = p->plan.arena > arena ? p->plan.arena : arena;
        need += p->constants ? 0 : gr_round_up(p->constants_size, GR_ALLOC_ALIGN);
    }
    qsort(found, count, sizeof *found, by_place);
    for (size_t i = 0; i < count; i++)
        need += i && by_place(&found[i - 1], &found[i]) == 0 ? 0 : gr_round_up(found[i].bytes, GR_ALLOC_ALIGN);
    gr_free(found);
    need += arena > d->arena_size ? gr_round_up(arena, GR_ALLOC_ALIGN) : 0;
    return need ? d->backend->reserve(d, need) : GR_OK;
}

gr_status gr_programs_reserve(gr_program *const *programs, int n)
{
    gr_program *largest = NULL;
    for (int i = 0; i < n; i++)
        if (programs[i] && (!largest || programs[i]->plan.arena > largest->plan.arena))
            largest = programs[i];
    if (!largest)
        return GR_OK;
    gr_device *d = largest->device;
    gr_device_lock(d);
    bool bound = true;
    for (int i = 0; i < n; i++)
        bound = bound && (!programs[i] || is_bound(programs[i]));
    gr_status s = bound ? GR_OK : reserve_together(d, programs, n);
    if (s == GR_OK)
        s = reserve(largest); /* first, so that nothing moves when the others are bound */
    for (int i = 0; s == GR_OK && i < n; i++)
        if (programs[i])
            s = reserve(programs[i]);
    if (!bound)
        d->backend->reserve(d, 0); /* what a failure, or a better place, has left over */
    gr_device_unlock(d);
    return s == GR_OK ? s : gr_fail_in("memory for the program (%.1f MB in all)", (double)largest->plan.total / 1e6);
}

gr_status gr_program_reserve(gr_program *p)
{
    if (gr_lacks(p, "gr_program_reserve: program"))
        return GR_ERR_ARGUMENT;
    return gr_programs_reserve(&p, 1);
}

/* ---- running ------------------------------------------------------------------------------------------------ */

static gr_status write_inputs(gr_program *p, const void *const *inputs)
{
    gr_device *d = p->device;
    gr_status s = GR_OK;
    for (int i = 0; s == GR_OK && i < p->n_inputs; i++) {
        const gr_port *port = &p->inputs[i];
        if (port->place.space == GR_SPACE_NONE)
            continue;
        if (!inputs || !inputs[i])
            return gr_fail(GR_ERR_ARGUMENT, "gr_run: input %d (%s) is NULL", i, port->name);
        if (d->host_visible)
            s = gr_device_write(d, address_of(p, &port->place), inputs[i], port->size);
        else if (port->size)
            memcpy(p->staging + port->place.offset, inputs[i], port->size);
    }
    return s == GR_OK && !d->host_visible ? gr_device_write(d, p->code.inputs, p->staging, p->code.inputs_size) : s;
}

/* The block of outputs, as far as somebody wants it, and what the run has to say. */
static gr_status read_block(gr_program *p, void *const *outputs)
{
    size_t size = sizeof(gr_fault);
    gr_fault fault;
    for (int i = 0; outputs && i < p->n_outputs; i++) {
        size_t end = p->outputs[i].place.offset + p->outputs[i].size;
        if (outputs[i] && p->outputs[i].in_block && end > size)
            size = end;
    }
    gr_status s = gr_device_read(p->device, p->staging, p->code.outputs, size);
    if (s != GR_OK)
        return s;
    memcpy(&fault, p->staging, sizeof fault);
    bool is_step = fault.step > 0 && fault.step <= p->code.n;
    return is_step ? gr_fault_report(&p->code.steps[fault.step - 1].call, &fault) : GR_OK;
}

static gr_status read_outputs(gr_program *p, void *const *outputs)
{
    gr_device *d = p->device;
    gr_status s = d->host_visible ? GR_OK : read_block(p, outputs);
    for (int i = 0; outputs && s == GR_OK && i < p->n_outputs; i++) {
        const gr_port *port = &p->outputs[i];
        if (!outputs[i] || !port->size)
            continue;
        if (port->in_block && !d->host_visible)
            memcpy(outputs[i], p->staging + port->place.offset, port->size);
        else
            s = gr_device_read(d, outputs[i], address_of(p, &port->place), port->size);
    }
    return s;
}

void gr_program_end(gr_program *p)
{
    p->device->running = NULL;
    gr_device_unlock(p->device);
}

gr_status gr_program_begin(gr_program *p, const void *const *inputs)
{
    gr_device *d = p->device;
    gr_device_lock(d);
    if (d->running) { /* by this thread: any other would be waited for */
        gr_device_unlock(d);
        return gr_fail(GR_ERR_ARGUMENT, "gr_start: this thread has a program running on %s\nfinish that first",
                       d->name);
    }
    d->running = p;
    p->began = d->profile ? gr_seconds() : 0;
    gr_status s = is_bound(p) ? GR_OK : gr_programs_reserve(&p, 1);
    if (s == GR_OK)
        s = write_inputs(p, inputs);
    if (s != GR_OK)
        gr_program_end(p);
    return s;
}

gr_status gr_program_finish(gr_program *p, void *const *outputs)
{
    gr_device_lock(p->device);
    bool runs = p->device->running == p; /* by this thread, which has the lock */
    gr_device_unlock(p->device);
    if (!runs)
        return gr_fail(GR_ERR_ARGUMENT, "gr_finish: this thread has not started the program");
    gr_status s = p->device->backend->wait(p->device, &p->code);
    if (s == GR_OK)
        s = read_outputs(p, outputs);
    if (p->device->profile)
        gr_profile_ran(p->device->profile, p->began);
    gr_program_end(p);
    return s;
}

gr_status gr_program_start(gr_program *p, const void *const *inputs)
{
    gr_status s = gr_program_begin(p, inputs);
    if (s != GR_OK)
        return s;
    gr_profile *profile = p->device->profile;
    s = profile ? gr_profile_run(profile, p) : p->device->backend->run(p->device, &p->code, 0, p->code.n);
    if (s != GR_OK)
        gr_program_end(p);
    return s;
}

gr_status gr_program_step(gr_program *p, int i)
{
    gr_status s = p->device->backend->run(p->device, &p->code, i, 1);
    return s == GR_OK ? p->device->backend->wait(p->device, &p->code) : s;
}

gr_status gr_program_run(gr_program *p, const void *const *inputs, void *const *outputs)
{
    gr_status s = gr_program_start(p, inputs);
    return s == GR_OK ? gr_program_finish(p, outputs) : s;
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
    gr_program *p = d ? gr_compile(t->graph, &t, 1, d, NULL) : NULL;
    gr_status s = p ? gr_program_run(p, NULL, &data) : gr_error_status();
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
