/* Modules are looked up or made, arguments bound, launches appended. */
#include "backend/gpu/launch.h"

#include "base/checksum.h"
#include "base/dtype.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { GROUPS_A_UNIT = 16 };

typedef struct kernel {
    char name[48];
    int group; /* items a group */
} kernel;

/* Compiled source. */
typedef struct gr_gpu_module {
    uint64_t hash; /* of the key */
    char *key;     /* family, options and text */
    void *module;
    kernel *kernels;
    size_t n, capacity;
} gr_gpu_module;

/* ---- modules ------------------------------------------------------------------------------------------------ */

static void free_module(gr_gpu *g, gr_gpu_module *m)
{
    g->driver->module_free(g->device, m->module);
    gr_free(m->key);
    gr_free(m->kernels);
    gr_free(m);
}

void gr_gpu_modules_free(gr_gpu *g)
{
    for (size_t i = 0; i < g->n_modules; i++)
        free_module(g, g->modules[i]);
    gr_free(g->modules);
    g->modules = NULL;
    g->n_modules = g->modules_capacity = 0;
}

static gr_status add_kernel(void *user, const gr_gpu_head *h)
{
    gr_gpu_module *m = user;
    gr_status s = gr_grow(&m->kernels, &m->capacity, m->n + 1, sizeof *m->kernels);
    if (s != GR_OK)
        return s;
    kernel *k = &m->kernels[m->n++];
    memcpy(k->name, h->name, sizeof k->name);
    k->group = h->group;
    return GR_OK;
}

/* The whole source of a module, in the driver's language. */
static gr_status write_source(gr_gpu *g, gr_gpu_module *m, const gr_launch *l, gr_gpu_text *to)
{
    const char *parts[] = {gr_gpu_source(g->driver->prelude), gr_gpu_source("common"), gr_gpu_source(l->family),
                           l->text ? l->text : ""};
    if (!parts[2])
        return gr_fail(GR_ERR_UNSUPPORTED, "there are no kernels \"%s\"", l->family);
    gr_gpu_print(to, "#define MAX_DIMS %d\n", GR_MAX_DIMS);
    for (int i = 0; i < 4; i++) {
        gr_status s = gr_gpu_translate(to, parts[i], g->driver->head, add_kernel, m);
        if (s != GR_OK)
            return s;
    }
    return GR_OK;
}

static gr_gpu_module *make_module(gr_gpu *g, const gr_launch *l, char *key)
{
    gr_gpu_text source = {.status = GR_OK};
    gr_gpu_module *m = gr_alloc_zero(1, sizeof *m);
    gr_status s = m ? gr_grow(&g->modules, &g->modules_capacity, g->n_modules + 1, sizeof *g->modules) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = write_source(g, m, l, &source);
    if (s == GR_OK) {
        g->counts.builds++;
        s = g->driver->build(g->device, source.s, l->options, &m->module);
    }
    gr_free(source.s);
    if (s != GR_OK) {
        if (m)
            free_module(g, m);
        gr_free(key);
        return NULL;
    }
    m->key = key;
    m->hash = gr_checksum(key, strlen(key));
    return g->modules[g->n_modules++] = m;
}

static gr_gpu_module *find_module(gr_gpu *g, const gr_launch *l)
{
    char *key = gr_strfmt("%s\n%s\n%s", l->family, l->options, l->text ? l->text : "");
    if (!key)
        return NULL;
    g->counts.lookups++;
    uint64_t hash = gr_checksum(key, strlen(key));
    for (size_t i = 0; i < g->n_modules; i++)
        if (g->modules[i]->hash == hash && strcmp(g->modules[i]->key, key) == 0) {
            gr_free(key);
            return g->modules[i];
        }
    return make_module(g, l, key);
}

static const kernel *find_kernel(const gr_gpu_module *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->kernels[i].name, name) == 0)
            return &m->kernels[i];
    gr_fail(GR_ERR_UNSUPPORTED, "there is no kernel \"%s\" in its source", name);
    return NULL;
}

/* ---- the launch --------------------------------------------------------------------------------------------- */

void gr_launch_begin(gr_launch *l, const gr_call *call, const char *family, const char *name)
{
    l->gpu = call->device->own;
    l->family = family;
    l->kernel = name;
    l->text = NULL;
    l->options[0] = 0;
    l->n_options = 0;
    l->n_args = 0;
    l->status = GR_OK;
}

static void fail(gr_launch *l, gr_status s)
{
    if (l->status == GR_OK)
        l->status = s;
}

static void add_option(gr_launch *l, const char *name, const char *value)
{
    size_t room = sizeof l->options - l->n_options;
    int n = snprintf(l->options + l->n_options, room, " -D%s=%s", name, value);
    if (n < 0 || (size_t)n >= room)
        fail(l, gr_fail(GR_ERR_UNSUPPORTED, "kernel %s: too many constants", l->kernel));
    else
        l->n_options += (size_t)n;
}

void gr_launch_dtype(gr_launch *l, const char *name, gr_dtype d)
{
    const char *word = gr_gpu_dtype(d);
    if (word)
        add_option(l, name, word);
    else
        fail(l, gr_fail(GR_ERR_UNSUPPORTED, "kernel %s: GPUs have no %s here", l->kernel, gr_dtype_name(d)));
}

void gr_launch_word(gr_launch *l, const char *name, gr_dtype d)
{
    char word[8];
    snprintf(word, sizeof word, "w%d", gr_dtype_width(d) & 15);
    add_option(l, name, word);
}

void gr_launch_define(gr_launch *l, const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    add_option(l, name, text);
}

static gr_gpu_arg *add_arg(gr_launch *l, unsigned size)
{
    static gr_gpu_arg none;
    if (l->n_args == GR_GPU_ARGS) {
        fail(l, gr_fail(GR_ERR_UNSUPPORTED, "kernel %s: too many arguments", l->kernel));
        return &none;
    }
    gr_gpu_arg *a = &l->args[l->n_args++];
    a->is_place = false;
    a->size = size;
    return a;
}

void gr_launch_address(gr_launch *l, uint64_t address)
{
    gr_gpu_arg *a = add_arg(l, 0);
    size_t offset = 0, left;
    a->is_place = true;
    a->block = NULL;
    if (address && l->status == GR_OK)
        fail(l, gr_gpu_pool_find(&l->gpu->pool, address, &a->block, &offset, &left));
    a->offset = offset;
}

void gr_launch_operand(gr_launch *l, const gr_operand *o)
{
    gr_launch_address(l, gr_gpu_address(o));
}

void gr_launch_operands(gr_launch *l, const gr_operand *o, int n)
{
    for (int i = 0; i < n; i++)
        gr_launch_operand(l, &o[i]);
}

void gr_launch_optional(gr_launch *l, const gr_call *call, int input)
{
    gr_launch_address(l, gr_gpu_has(call, input) ? gr_gpu_address(&call->in[input]) : 0);
}

void gr_launch_scratch(gr_launch *l, const gr_call *call, size_t offset)
{
    gr_launch_address(l, call->scratch_address + offset);
}

void gr_launch_int(gr_launch *l, int64_t value)
{
    add_arg(l, sizeof(int32_t))->value.i = (int32_t)value;
}

void gr_launch_long(gr_launch *l, int64_t value)
{
    add_arg(l, sizeof(int64_t))->value.l = value;
}

void gr_launch_float(gr_launch *l, double value)
{
    add_arg(l, sizeof(float))->value.f = (float)value;
}

void gr_launch_dims(gr_launch *l, int n, const int64_t *v)
{
    gr_gpu_dims *d = &add_arg(l, sizeof *d)->value.dims;
    for (int i = 0; i < GR_MAX_DIMS; i++)
        d->v[i] = i < n ? v[i] : 0;
}

void gr_launch_values(gr_launch *l, int n, const int64_t *v, bool wide)
{
    for (int i = 0; i < n; i++)
        (wide ? gr_launch_long : gr_launch_int)(l, v[i]);
}

void gr_launch_reals(gr_launch *l, int n, const double *v)
{
    for (int i = 0; i < n; i++)
        gr_launch_float(l, v[i]);
}

void gr_launch_fault(gr_launch *l)
{
    gr_launch_address(l, l->gpu->fault);
    gr_launch_int(l, l->gpu->step + 1);
}

/* Appends what was bound, or gives it back. */
static gr_status append(gr_gpu *g, void *bound, int64_t groups, int group)
{
    int64_t most = (int64_t)(g->info.units > 0 ? g->info.units : 1) * GROUPS_A_UNIT;
    gr_gpu_code *c = g->code;
    gr_status s = gr_grow(&c->steps, &c->capacity, c->n + 1, sizeof *c->steps);
    if (s != GR_OK) {
        g->driver->unbind(g->device, bound);
        return s;
    }
    c->steps[c->n++] = (gr_gpu_step){bound, (size_t)(groups < most ? groups : most), (size_t)group};
    return GR_OK;
}

/* per: pieces of work that a group does at once, 0: as many as it has items. */
static gr_status finish(gr_launch *l, int64_t work, int per)
{
    if (l->status != GR_OK || work <= 0)
        return l->status;
    gr_gpu *g = l->gpu;
    gr_gpu_module *m = find_module(g, l);
    const kernel *k = m ? find_kernel(m, l->kernel) : NULL;
    if (!k)
        return gr_error_status();
    if ((size_t)k->group > g->info.group)
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "%s: its groups have at most %zu items, the kernel %s needs %d\nuse --device cpu", g->info.name,
                       g->info.group, l->kernel, k->group);
    void *bound;
    gr_status s = g->driver->bind(g->device, m->module, l->kernel, l->args, l->n_args, &bound);
    if (s != GR_OK)
        return s;
    g->counts.binds++;
    per = per ? per : k->group;
    return append(g, bound, (work + per - 1) / per, k->group);
}

gr_status gr_launch_groups(gr_launch *l, int64_t groups)
{
    return finish(l, groups, 1);
}

gr_status gr_launch_items(gr_launch *l, int64_t items)
{
    return finish(l, items, 0);
}

gr_status gr_launch_check(const gr_call *call, const gr_operand *index, int what, int64_t low, int64_t limit,
                          int64_t except)
{
    gr_launch l;
    gr_launch_begin(&l, call, "check", "check_index");
    gr_launch_dtype(&l, "I", index->dtype);
    gr_launch_fault(&l);
    gr_launch_operand(&l, index);
    gr_launch_long(&l, gr_operand_count(index));
    gr_launch_int(&l, what);
    gr_launch_long(&l, low);
    gr_launch_long(&l, limit);
    gr_launch_long(&l, except);
    return gr_launch_groups(&l, gr_operand_count(index) > 0);
}

/* ---- supports ----------------------------------------------------------------------------------------------- */

static bool all_are(const gr_tensor *node, bool (*is)(gr_dtype d))
{
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] && !is(node->in[i]->spec.dtype))
            return false;
    for (int k = 0; k < node->n_out; k++)
        if (!is(node->outs[k]->spec.dtype))
            return false;
    return true;
}

static bool is_float(gr_dtype d)
{
    return gr_dtype_get(d)->is_activation;
}

static bool is_known(gr_dtype d)
{
    return gr_gpu_dtype(d) && d != GR_F64;
}

static bool is_plain(gr_dtype d)
{
    return gr_dtype_width(d) > 0;
}

bool gr_gpu_floats(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return all_are(node, is_float);
}

bool gr_gpu_plain(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return all_are(node, is_plain);
}

bool gr_gpu_any(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return all_are(node, is_known);
}
