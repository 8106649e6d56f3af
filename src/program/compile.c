/* Compiling: run the passes, lay out, make the list of calls, plan the memory. */
#include "program/program.h"

#include "base/dtype.h"
#include "base/mem.h"
#include "base/sized.h"
#include "op/attr.h"
#include "op/op.h"
#include "pass/pass.h"
#include "program/how.h"
#include "program/layout.h"
#include "program/store.h"

#include <string.h>

/* What compiling knows about each tensor, by id. */
typedef struct value {
    gr_place place; /* whose memory, for views that of their input */
    int last;       /* the last step that touches the memory (kept at the owner's) */
    int64_t owner;  /* id of the tensor whose memory this is */
    bool used;      /* somebody reads it */
    bool is_port;   /* its memory is in the block of outputs */
} value;

typedef struct compiler {
    gr_program *p;
    gr_compile_options options;
    gr_fallbacks fallbacks;
    gr_laid_out l;
    value *values; /* [l.graph->n] */
    size_t buffers_capacity;
    gr_tensor **roots;
    gr_tensor *const *outputs; /* [n_roots] as the caller has them */
    int n_roots;
} compiler;

/* ---- values ------------------------------------------------------------------------------------------------- */

static bool runs(const gr_tensor *t)
{
    return !(t->op->flags & GR_OP_BOUND) && !t->op->view && !t->source;
}

static size_t bytes_of(const gr_tensor *t)
{
    return gr_dtype_size(t->spec.dtype, gr_spec_count(&t->spec));
}

/* Whose memory a tensor is: views show their input's, a new version lies where the one before did. */
static int64_t owner_id(const compiler *c, const gr_tensor *t)
{
    const gr_tensor *node = t->source ? t->source : t;
    int written = gr_written_input(node, t->index);
    if (node->op->view || written >= 0)
        return c->values[node->in[written >= 0 ? written : 0]->id].owner;
    return t->id;
}

static value *owner_of(compiler *c, const gr_tensor *t)
{
    return &c->values[c->values[t->id].owner];
}

/* Who owns whose memory, and until when it is needed. Steps are numbered from 1; 0 is the copying in of inputs. */
static void find_lives(compiler *c)
{
    const gr_graph *g = c->l.graph;
    int step = 0;
    for (size_t i = 0; i < g->n; i++) {
        const gr_tensor *t = g->nodes[i];
        c->values[i].owner = owner_id(c, t);
        if (t->source)
            continue;
        step += runs(t);
        for (int k = 0; k < t->n_in; k++) {
            if (!t->in[k])
                continue;
            c->values[t->in[k]->id].used = true;
            if (runs(t))
                owner_of(c, t->in[k])->last = step;
        }
        for (int k = 0; runs(t) && k < t->n_out; k++)
            c->values[t->outs[k]->id].last = step;
    }
    for (int i = 0; i < c->n_roots; i++) {
        c->values[c->roots[i]->id].used = true;
        owner_of(c, c->roots[i])->last = step + 1; /* read by the host when all is done */
    }
    c->p->code.n = step;
}

/* ---- places ------------------------------------------------------------------------------------------------- */

/* What a tensor of so many bytes takes, and where in that it begins. */
static size_t with_room(const compiler *c, size_t size, size_t *begin)
{
    *begin = c->options.guards ? GR_ADDRESS_ALIGN : 0;
    return gr_placed_size(size) + 2 * *begin;
}

static gr_status check_block(const compiler *c, const gr_tensor *what, size_t size)
{
    const gr_device *d = c->p->device;
    char label[256];
    if (size <= d->largest)
        return GR_OK;
    return gr_fail(
        GR_ERR_MEMORY,
        "%s: needs %.1f MB in one piece, the largest that %s gives is %.1f MB\nmake the batch or the context "
        "smaller",
        what ? gr_tensor_label(what, label, sizeof label) : "inputs or outputs", (double)size / 1e6, d->name,
        (double)d->largest / 1e6);
}

static gr_status new_buffer(compiler *c, gr_buffer b, const gr_tensor *what, gr_place *place)
{
    gr_program *p = c->p;
    size_t begin;
    b.size = with_room(c, b.size, &begin);
    gr_status s = check_block(c, what, b.size);
    if (s == GR_OK)
        s = gr_grow(&p->buffers, &c->buffers_capacity, (size_t)p->n_buffers + 1, sizeof *p->buffers);
    if (s != GR_OK)
        return s;
    p->buffers[p->n_buffers] = b;
    *place = (gr_place){.space = GR_SPACE_ARENA, .index = p->n_buffers++, .offset = begin};
    return GR_OK;
}

/* Inputs lie one behind the other, so that a run is one copy in. */
static gr_status place_inputs(compiler *c)
{
    size_t size = 0, begin;
    int last = 0;
    gr_place block;
    for (size_t i = 0; i < c->l.graph->n; i++)
        if (c->l.graph->nodes[i]->op == &gr_op_input) {
            size += with_room(c, bytes_of(c->l.graph->nodes[i]), &begin);
            last = c->values[i].last > last ? c->values[i].last : last;
        }
    gr_status s = new_buffer(c, (gr_buffer){.size = size, .last = last}, NULL, &block);
    if (s != GR_OK)
        return s;
    c->p->inputs_block = block.index;
    c->p->code.inputs_size = size;
    for (size_t i = 0; i < c->l.graph->n; i++)
        if (c->l.graph->nodes[i]->op == &gr_op_input) {
            size = with_room(c, bytes_of(c->l.graph->nodes[i]), &begin);
            c->values[i].place = block;
            c->values[i].place.offset += begin;
            block.offset += size;
        }
    return GR_OK;
}

/* What is computed for the host lies behind the gr_fault, so that a run is one copy out; a view of something larger, and what
 * is in a store or comes in, stays where it is. A host that sees the device's memory reads every result where it is. */
static gr_status place_ports(compiler *c)
{
    if (c->p->device->host_visible)
        return GR_OK;
    size_t size = gr_placed_size(sizeof(gr_fault)), begin;
    gr_place block;
    for (int i = 0; i < c->n_roots; i++) {
        value *v = owner_of(c, c->roots[i]);
        const gr_tensor *owner = c->l.graph->nodes[c->values[c->roots[i]->id].owner];
        const gr_tensor *node = owner->source ? owner->source : owner;
        if (v->is_port || (node->op->flags & GR_OP_BOUND) || bytes_of(owner) != bytes_of(c->roots[i]))
            continue;
        size_t room = with_room(c, bytes_of(owner), &begin);
        v->is_port = true;
        v->place.offset = size + begin;
        size += room;
    }
    gr_status s = new_buffer(c, (gr_buffer){.size = size, .last = c->p->code.n + 1}, NULL, &block);
    c->p->outputs_block = block.index;
    c->p->code.outputs_size = size;
    for (size_t i = 0; s == GR_OK && i < c->l.graph->n; i++)
        if (c->values[i].is_port) {
            block.offset += c->values[i].place.offset;
            c->values[i].place = block;
            block.offset -= c->values[i].place.offset;
        }
    return s;
}

/* Constants lie one behind the other in a block of their own. */
static void place_constant(compiler *c, const gr_tensor *t, value *v)
{
    v->place = (gr_place){.space = GR_SPACE_CONSTANT, .offset = c->p->constants_size};
    c->p->constants_size += gr_placed_size(bytes_of(t));
}

static gr_status place_bound(compiler *c, const gr_tensor *t, value *v)
{
    if (t->op == &gr_op_constant) {
        place_constant(c, t, v);
        return GR_OK;
    }
    if (t->op == &gr_op_param) {
        const gr_param_attr *a = t->attr;
        if (gr_store_device(a->store) != c->p->device)
            return gr_fail(GR_ERR_ARGUMENT, "%s: its store is on another device than the program", t->name);
        v->place = (gr_place){.space = GR_SPACE_STORE, .store = a->store, .index = a->index};
        return gr_store_check_size(a->store, a->index);
    }
    return GR_OK; /* inputs have their places already */
}

/* May the result take input i's memory? Only if nobody needs that any more and it is exactly as large. */
static bool can_take(compiler *c, const gr_tensor *t, int i, int step)
{
    const gr_tensor *x = t->in[i];
    if (!x || !gr_spec_same_shape(&x->spec, &t->spec) || x->spec.dtype != t->spec.dtype || c->options.guards)
        return false;
    const value *v = owner_of(c, x);
    const gr_tensor *owner = c->l.graph->nodes[c->values[x->id].owner];
    if (v->place.space != GR_SPACE_ARENA || v->last != step || bytes_of(owner) != bytes_of(x) ||
        !gr_layout_contiguous(&c->l.layouts[x->id]))
        return false;
    for (int k = 0; k < t->n_in; k++) /* another input must not see the memory in another way */
        if (k != i && t->in[k] && c->values[t->in[k]->id].owner == c->values[x->id].owner &&
            (!gr_layout_contiguous(&c->l.layouts[t->in[k]->id]) || !gr_spec_same_shape(&t->in[k]->spec, &x->spec)))
            return false;
    return true;
}

static gr_status place_outputs(compiler *c, const gr_tensor *t, const gr_kernel *k, int step)
{
    gr_kind kind = t->backward ? GR_KIND_GRADIENT : GR_KIND_ACTIVATION;
    for (int o = 0; o < t->n_out; o++) {
        value *v = &c->values[t->outs[o]->id];
        if (v->is_port || v->owner != t->outs[o]->id || (!v->used && t->n_out > 1))
            continue; /* has its place, or lies in a store, or nobody reads it: no memory */
        int from = -1;
        for (int i = 0; o == 0 && from < 0 && i < t->n_in; i++)
            if ((k->in_place >> i & 1) && can_take(c, t, i, step))
                from = i;
        if (from >= 0) {
            v->place = owner_of(c, t->in[from])->place;
            gr_buffer *b = &c->p->buffers[v->place.index];
            b->last = v->last > b->last ? v->last : b->last;
            continue;
        }
        gr_buffer b = {.size = bytes_of(t->outs[o]), .first = step, .last = v->last, .kind = kind};
        gr_status s = new_buffer(c, b, t->outs[o], &v->place);
        if (s != GR_OK)
            return s;
    }
    return GR_OK;
}

/* ---- steps -------------------------------------------------------------------------------------------------- */

static gr_status bind(gr_program *p, uint64_t *address, gr_place place)
{
    gr_status s = gr_grow(&p->bindings, &p->bindings_capacity, p->n_bindings + 1, sizeof *p->bindings);
    if (s == GR_OK)
        p->bindings[p->n_bindings++] = (gr_binding){address, place};
    return s;
}

static gr_status set_operand(compiler *c, gr_operand *o, const gr_tensor *t)
{
    const gr_layout *l = &c->l.layouts[t->id];
    *o = (gr_operand){.dtype = t->spec.dtype, .ndim = t->spec.ndim};
    memcpy(o->shape, l->shape, sizeof o->shape);
    memcpy(o->stride, l->stride, sizeof o->stride);
    gr_place place = owner_of(c, t)->place;
    if (place.space == GR_SPACE_NONE)
        return GR_OK;
    place.offset += gr_dtype_size(t->spec.dtype, l->offset);
    return bind(c->p, &o->address, place);
}

/* Effects write the store's own memory. */
static gr_status check_writes(const gr_tensor *t)
{
    for (int i = 0; i < t->n_in; i++) {
        if (!(t->op->writes >> i & 1) || !t->in[i])
            continue;
        const gr_tensor *param = gr_version_param(t->in[i]);
        const gr_param_attr *a = param->attr;
        if (gr_store_is_mapped(a->store, a->index))
            return gr_fail(
                GR_ERR_ARGUMENT,
                "%s: cannot write \"%s\", which is read where it lies in its file\nload the model widened, so "
                "that its weights are its own",
                t->op->name, param->name);
    }
    return GR_OK;
}

static gr_status make_step(compiler *c, const gr_tensor *t, gr_step *s, int number)
{
    if (check_writes(t) != GR_OK)
        return gr_error_status();
    gr_operand *operands = gr_graph_alloc(c->l.graph, (size_t)(t->n_in + t->n_out) * sizeof *operands);
    const gr_kernel *k = c->p->device->backend->find(c->p->device, t);
    if (!operands || !k)
        return operands ? gr_fail(GR_ERR_UNSUPPORTED,
                                  "%s: this device has no kernel for it\ngradus info --ops shows which device has",
                                  t->op->name)
                        : GR_ERR_MEMORY;
    memset(operands, 0, (size_t)(t->n_in + t->n_out) * sizeof *operands);
    gr_fallbacks_note(&c->fallbacks, c->p->device, t, k);
    *s = (gr_step){.kernel = k};
    s->call = (gr_call){.op = t->op, .node = t, .attr = t->attr, .n_in = t->n_in, .n_out = t->n_out};
    s->call.in = operands;
    s->call.out = operands + t->n_in;
    s->call.device = c->p->device;
    gr_status st = place_outputs(c, t, k, number);
    for (int i = 0; st == GR_OK && i < t->n_in; i++)
        if (t->in[i])
            st = set_operand(c, &s->call.in[i], t->in[i]);
    for (int i = 0; st == GR_OK && i < t->n_out; i++)
        if (gr_written_input(t, i) < 0) /* new versions are written where they are, in the inputs */
            st = set_operand(c, &s->call.out[i], t->outs[i]);
    if (st != GR_OK || !k->scratch)
        return st;
    s->call.scratch_size = k->scratch(&s->call);
    if (!s->call.scratch_size)
        return GR_OK;
    gr_place scratch;
    gr_buffer b = {.size = s->call.scratch_size, .first = number, .last = number, .kind = GR_KIND_SCRATCH};
    st = new_buffer(c, b, t, &scratch);
    return st == GR_OK ? bind(c->p, &s->call.scratch_address, scratch) : st;
}

static gr_status make_steps(compiler *c)
{
    gr_program *p = c->p;
    p->code.steps = gr_alloc_zero((size_t)p->code.n, sizeof *p->code.steps);
    if (!p->code.steps)
        return GR_ERR_MEMORY;
    int step = 0;
    gr_status s = place_inputs(c);
    if (s == GR_OK)
        s = place_ports(c);
    for (size_t i = 0; s == GR_OK && i < c->l.graph->n; i++) {
        const gr_tensor *t = c->l.graph->nodes[i];
        if (t->op->flags & GR_OP_BOUND)
            s = place_bound(c, t, &c->values[i]);
        else if (runs(t)) {
            s = make_step(c, t, &p->code.steps[step], step + 1);
            step++;
        }
    }
    return s;
}

/* ---- ports and sums ----------------------------------------------------------------------------------------- */

static gr_status make_inputs(compiler *c, const gr_graph *original)
{
    gr_program *p = c->p;
    for (size_t i = 0; i < original->n; i++)
        p->n_inputs += original->nodes[i]->op == &gr_op_input;
    p->inputs = gr_alloc_zero((size_t)p->n_inputs, sizeof *p->inputs);
    p->given = gr_alloc_zero((size_t)p->n_inputs, sizeof *p->given);
    if (!p->inputs || !p->given)
        return GR_ERR_MEMORY;
    for (size_t i = 0; i < original->n; i++) { /* inputs nothing depends on keep space GR_SPACE_NONE */
        const gr_tensor *t = original->nodes[i];
        const gr_input_attr *a = t->attr;
        if (t->op != &gr_op_input)
            continue;
        p->inputs[a->index] = (gr_port){
            .size = bytes_of(t), .name = gr_graph_text(p->graph, "%s", t->name ? t->name : ""), .spec = t->spec};
        if (!p->inputs[a->index].name)
            return GR_ERR_MEMORY;
    }
    for (size_t i = 0; i < c->l.graph->n; i++) {
        const gr_tensor *t = c->l.graph->nodes[i];
        const gr_input_attr *a = t->attr;
        if (t->op != &gr_op_input)
            continue;
        p->inputs[a->index].place = c->values[i].place;
        p->inputs[a->index].in_block = true;
    }
    return GR_OK;
}

static gr_status make_outputs(compiler *c)
{
    gr_program *p = c->p;
    p->n_outputs = c->n_roots;
    p->outputs = gr_alloc_zero((size_t)p->n_outputs, sizeof *p->outputs);
    p->wanted = gr_alloc_zero((size_t)p->n_outputs, sizeof *p->wanted);
    if (!p->outputs || !p->wanted)
        return GR_ERR_MEMORY;
    for (int i = 0; i < c->n_roots; i++) {
        const gr_tensor *t = c->roots[i];
        gr_place place = owner_of(c, t)->place;
        place.offset += gr_dtype_size(t->spec.dtype, c->l.layouts[t->id].offset);
        const char *name = c->outputs[i]->name;
        name = name ? gr_graph_text(p->graph, "%s", name) : gr_graph_text(p->graph, "output %d", i);
        p->outputs[i] = (gr_port){place, bytes_of(t), name, t->spec, owner_of(c, t)->is_port};
        if (!name)
            return GR_ERR_MEMORY;
    }
    return GR_OK;
}

static void sum_memory(compiler *c, size_t arena, const size_t peak[GR_KIND_COUNT])
{
    gr_plan *m = &c->p->plan;
    m->size = sizeof *m;
    for (size_t i = 0; i < c->l.graph->n; i++) {
        const gr_tensor *t = c->l.graph->nodes[i];
        const gr_param_attr *a = t->attr;
        gr_entry e = GR_INIT(gr_entry);
        if (t->op != &gr_op_param || gr_store_entry(a->store, a->index, &e) != GR_OK)
            continue;
        size_t *sums[] = {&m->weights, &m->gradients, &m->optimizer, &m->cache}; /* in the order of gr_role */
        *sums[e.role] += e.bytes;
    }
    m->arena = arena;
    m->peak_activations = peak[GR_KIND_ACTIVATION];
    m->peak_gradients = peak[GR_KIND_GRADIENT];
    m->peak_scratch = peak[GR_KIND_SCRATCH] + c->p->constants_size;
    m->total = m->weights + m->gradients + m->optimizer + m->cache + m->arena + c->p->constants_size;
}

static void sum_cost(compiler *c)
{
    gr_plan *m = &c->p->plan;
    m->calls = c->p->code.n;
    for (int i = 0; i < c->p->code.n; i++) {
        double flops, moved;
        gr_op_cost(c->p->code.steps[i].call.node, &flops, &moved);
        m->flops += flops;
        m->moved += moved;
    }
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static bool has_kernel(void *user, const gr_tensor *node)
{
    compiler *c = user;
    bool found = gr_device_has_kernel(c->p->device, node);
    if (!found) /* those with one are noted as steps */
        gr_fallbacks_note(&c->fallbacks, c->p->device, node, NULL);
    return found;
}

static bool fuses(void *user, const gr_tensor *node)
{
    return gr_device_fuses(((compiler *)user)->p->device, node);
}

/* The graph as the device will run it. roots become the ones of the new graph. */
static gr_status transform(compiler *c, const gr_graph *g)
{
    gr_device *d = c->p->device;
    gr_target target = {.user = c,
                        .has_kernel = has_kernel,
                        .fuses = d->backend->fuses ? fuses : NULL,
                        .recompute = c->options.recompute,
                        .recompute_blocks = c->options.recompute_blocks,
                        .head_rows = c->options.head_rows,
                        .precision = c->options.precision,
                        .multiplies_bf16 = d->multiplies_bf16,
                        .activations = c->options.activations};
    const gr_graph *to;
    gr_status s = gr_passes_run(g, c->roots, c->n_roots, &target, c->options.passes, &to);
    if (s != GR_OK)
        return s;
    s = gr_lay_out(to, c->roots, c->n_roots, d, &c->l);
    if (to != g)
        gr_graph_free((gr_graph *)to);
    return s;
}

static gr_status check_limit(const compiler *c)
{
    const gr_plan *m = &c->p->plan;
    double mb = 1e6;
    if (!c->options.memory_limit || m->total <= c->options.memory_limit)
        return GR_OK;
    return gr_fail(
        GR_ERR_MEMORY,
        "the program needs %.1f MB, its limit is %.1f MB (weights %.1f, gradients %.1f, optimizer %.1f, cache "
        "%.1f, arena %.1f)\nmake the batch or the context smaller, or raise the limit",
        (double)m->total / mb, (double)c->options.memory_limit / mb, (double)m->weights / mb, (double)m->gradients / mb,
        (double)m->optimizer / mb, (double)m->cache / mb, (double)m->arena / mb);
}

static gr_status compile(compiler *c, const gr_graph *g)
{
    gr_status s = transform(c, g);
    if (s != GR_OK)
        return s;
    c->p->graph = c->l.graph;
    c->values = gr_alloc_zero(c->l.graph->n, sizeof *c->values);
    if (!c->values)
        return GR_ERR_MEMORY;
    find_lives(c);
    s = make_steps(c);
    if (s == GR_OK)
        s = make_inputs(c, g);
    if (s == GR_OK)
        s = make_outputs(c);
    size_t arena = 0, peak[GR_KIND_COUNT];
    if (s == GR_OK)
        s = gr_plan_buffers(c->p->buffers, c->p->n_buffers, c->p->code.n + 1, c->p->device->largest, &arena, peak);
    if (s == GR_OK)
        sum_memory(c, arena, peak);
    if (s == GR_OK)
        s = check_limit(c);
    if (s == GR_OK)
        sum_cost(c);
    if (s == GR_OK)
        gr_fallbacks_tell(&c->fallbacks, c->p->device);
    return s;
}

static gr_program *compile_outputs(compiler *c, gr_graph *g, gr_tensor *const *outputs, gr_device *device)
{
    c->p = gr_alloc_zero(1, sizeof *c->p);
    c->roots = gr_alloc(((size_t)c->n_roots + 1) * sizeof *c->roots);
    gr_status s = c->p && c->roots ? GR_OK : GR_ERR_MEMORY;
    if (s == GR_OK) {
        for (int i = 0; i < c->n_roots; i++)
            c->roots[i] = outputs[i];
        c->outputs = outputs;
        c->p->device = device;
        s = compile(c, g);
    }
    gr_free(c->roots);
    gr_free(c->values);
    gr_free(c->l.layouts);
    if (s == GR_OK)
        return c->p;
    if (c->p && c->p->device)
        gr_program_free(c->p);
    else
        gr_free(c->p);
    return NULL;
}

/* Where one is NULL the op that failed has said why, unless it was given NULL itself. */
static bool all_given(gr_tensor *const *outputs, int n)
{
    for (int i = 0; i < n; i++) {
        if (!outputs[i] && gr_error_status() == GR_OK)
            gr_fail(GR_ERR_ARGUMENT, "gr_compile: output %d is NULL\nan op that is given NULL returns NULL", i);
        if (!outputs[i])
            return false;
    }
    return true;
}

gr_program *gr_compile(gr_graph *g, gr_tensor *const *outputs, int n, gr_device *device,
                       const gr_compile_options *options)
{
    if (gr_lacks_made(g, "gr_compile: g") || gr_lacks_made(device, "gr_compile: device") ||
        (n > 0 && gr_lacks(outputs, "gr_compile: outputs")))
        return NULL;
    compiler c = {.n_roots = n};
    if (!g || !device || gr_graph_check(g) != GR_OK || !all_given(outputs, n) ||
        gr_take_sized(&c.options, sizeof c.options, options, "gr_compile_options") != GR_OK)
        return NULL;
    if ((unsigned)c.options.recompute > GR_RECOMPUTE_BLOCK) {
        gr_fail(GR_ERR_ARGUMENT, "gr_compile: there is no recomputation number %d", (int)c.options.recompute);
        return NULL;
    }
    if (c.options.head_rows < 0 || c.options.recompute_blocks < 0) {
        gr_fail(GR_ERR_ARGUMENT, "gr_compile: head_rows and recompute_blocks are at least 0");
        return NULL;
    }
    return compile_outputs(&c, g, outputs, device);
}

const gr_plan *gr_program_plan(const gr_program *p)
{
    return gr_lacks(p, "gr_program_plan: program") ? NULL : &p->plan;
}
