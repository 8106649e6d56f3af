/* Stores. Entries are found by an open-addressing hash of their names; memory is taken when first needed. */
#include "program/store.h"

#include "base/dtype.h"
#include "base/checksum.h"
#include "base/mem.h"
#include "base/sized.h"
#include "op/attr.h"
#include "op/op.h"

#include <math.h>
#include <string.h>

typedef struct entry {
    gr_entry e;
    gr_address data;
    bool is_mapped; /* data lies in a file, read-only */
} entry;

struct gr_store {
    gr_device *device;
    entry *entries;
    size_t n, capacity;
    int *slots; /* [n_slots]: index + 1, 0 = free; n_slots a power of two, at least twice n */
    size_t n_slots;
};

gr_store *gr_store_new(gr_device *device)
{
    if (gr_lacks_made(device, "gr_store_new: device"))
        return NULL;
    gr_store *s = device ? gr_alloc_zero(1, sizeof *s) : NULL;
    if (s)
        s->device = device;
    return s;
}

void gr_store_free(gr_store *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) {
        if (s->entries[i].data && !s->entries[i].is_mapped)
            gr_device_free(s->device, s->entries[i].data, s->entries[i].e.bytes);
        gr_free((char *)s->entries[i].e.name);
    }
    gr_free(s->entries);
    gr_free(s->slots);
    gr_free(s);
}

gr_device *gr_store_device(const gr_store *s)
{
    return s->device;
}

/* ---- names -------------------------------------------------------------------------------------------------- */

static size_t slot_of(const gr_store *s, const char *name)
{
    size_t at = (size_t)gr_checksum(name, strlen(name)) & (s->n_slots - 1);
    while (s->slots[at] && strcmp(s->entries[s->slots[at] - 1].e.name, name) != 0)
        at = (at + 1) & (s->n_slots - 1);
    return at;
}

static gr_status grow_slots(gr_store *s)
{
    if ((s->n + 1) * 2 <= s->n_slots)
        return GR_OK;
    size_t more = s->n_slots ? s->n_slots * 2 : 64;
    int *slots = gr_alloc_zero(more, sizeof *slots);
    if (!slots)
        return GR_ERR_MEMORY;
    gr_free(s->slots);
    s->slots = slots;
    s->n_slots = more;
    for (size_t i = 0; i < s->n; i++)
        s->slots[slot_of(s, s->entries[i].e.name)] = (int)i + 1;
    return GR_OK;
}

int gr_store_find(const gr_store *s, const char *name)
{
    if (gr_lacks(s, "gr_store_find: store") || gr_lacks(name, "gr_store_find: name"))
        return -1;
    return s->n_slots ? s->slots[slot_of(s, name)] - 1 : -1;
}

int gr_store_count(const gr_store *s)
{
    if (gr_lacks(s, "gr_store_count: store"))
        return 0;
    return (int)s->n;
}

static gr_status check_new(const gr_store *s, const char *name, gr_role role, gr_dtype dtype, int ndim,
                           const int64_t *shape, size_t *bytes)
{
    if (gr_store_find(s, name) >= 0)
        return gr_fail(GR_ERR_ARGUMENT, "store: there already is a tensor \"%s\"", name);
    if ((unsigned)role > GR_CACHE)
        return gr_fail(GR_ERR_ARGUMENT, "store: \"%s\" has a role that does not exist", name);
    if (!gr_dtype_exists(dtype) || ndim < 0 || ndim > GR_MAX_DIMS)
        return gr_fail(GR_ERR_ARGUMENT, "store: \"%s\" has a dtype or a number of dims that does not exist", name);
    char why[128];
    if (gr_dtype_shape_fault(dtype, ndim, shape, why, sizeof why))
        return gr_fail(GR_ERR_ARGUMENT, "store: the size of \"%s\" is impossible: %s", name, why);
    gr_dtype_shape_size(dtype, ndim, shape, bytes);
    return GR_OK;
}

gr_status gr_store_add(gr_store *s, const char *name, gr_role role, gr_dtype dtype, int ndim, const int64_t *shape)
{
    if (gr_lacks(s, "gr_store_add: store") || gr_lacks(name, "gr_store_add: name") ||
        (ndim > 0 && gr_lacks(shape, "gr_store_add: shape")))
        return GR_ERR_ARGUMENT;
    size_t bytes = 0;
    gr_status st = check_new(s, name, role, dtype, ndim, shape, &bytes);
    if (st == GR_OK)
        st = gr_grow(&s->entries, &s->capacity, s->n + 1, sizeof *s->entries);
    if (st == GR_OK)
        st = grow_slots(s);
    char *copy = st == GR_OK ? gr_strdup(name) : NULL;
    if (!copy)
        return st != GR_OK ? st : GR_ERR_MEMORY;
    gr_entry e = {.name = copy, .role = role, .dtype = dtype, .ndim = ndim, .bytes = bytes};
    for (int i = 0; i < ndim; i++)
        e.shape[i] = shape[i];
    s->slots[slot_of(s, name)] = (int)s->n + 1;
    s->entries[s->n++] = (entry){.e = e};
    return GR_OK;
}

/* ---- values ------------------------------------------------------------------------------------------------- */

gr_status gr_store_entry(const gr_store *s, int index, gr_entry *out)
{
    if (gr_lacks(s, "gr_store_entry: store") || gr_lacks(out, "gr_store_entry: out"))
        return GR_ERR_ARGUMENT;
    if (index < 0 || (size_t)index >= s->n)
        return gr_fail(GR_ERR_ARGUMENT, "store: there is no tensor number %d, it holds %zu", index, s->n);
    return gr_give_sized(out, &s->entries[index].e, sizeof *out, "gr_store_entry: out");
}

gr_status gr_store_reserve(gr_store *s)
{
    size_t need = 0;
    for (size_t i = 0; i < s->n; i++)
        if (!s->entries[i].data && !gr_add_size(need, gr_round_up(s->entries[i].e.bytes, GR_ALLOC_ALIGN), &need))
            need = SIZE_MAX;
    gr_device_lock(s->device);
    gr_status st = need ? s->device->backend->reserve(s->device, need) : GR_OK;
    gr_device_unlock(s->device);
    return st;
}

bool gr_store_has_data(const gr_store *s, int index)
{
    return s->entries[index].data != 0;
}

gr_status gr_store_check_size(const gr_store *s, int index)
{
    const gr_entry *e = &s->entries[index].e;
    const gr_device *d = s->device;
    if (e->bytes <= d->largest)
        return GR_OK;
    return gr_fail(GR_ERR_MEMORY, "%s: %.1f MB in one piece, the largest that %s gives is %.1f MB\nuse another device",
                   e->name, (double)e->bytes / 1e6, d->name, (double)d->largest / 1e6);
}

gr_address gr_store_data(gr_store *s, int index)
{
    entry *e = &s->entries[index];
    if (!e->data && gr_store_check_size(s, index) == GR_OK) {
        e->data = gr_device_alloc(s->device, e->e.bytes);
        if (!e->data)
            gr_fail_in("%s", e->e.name);
    }
    return e->data;
}

gr_status gr_store_copy(gr_store *s, int index, size_t from, size_t to, size_t bytes)
{
    gr_address data = s->entries[index].data;
    return gr_device_copy(s->device, data + to, data + from, bytes);
}

bool gr_store_is_mapped(const gr_store *s, int index)
{
    return s->entries[index].is_mapped;
}

gr_status gr_store_map(gr_store *s, int index, const void *data)
{
    entry *e = &s->entries[index];
    bool aligned = (uintptr_t)data % (size_t)gr_dtype_get(e->e.dtype)->align == 0;
    if (e->data || !e->e.bytes || !aligned || !s->device->host_visible)
        return gr_store_write(s, e->e.name, data, e->e.bytes);
    e->data = (uintptr_t)data;
    e->is_mapped = true;
    return GR_OK;
}

/* Memory of its own for what is about to be written whole. Programs are bound to the old. */
static gr_status unmap(gr_store *s, entry *e)
{
    gr_address own = gr_device_alloc(s->device, e->e.bytes);
    if (!own)
        return gr_fail_in("%s", e->e.name);
    e->data = own;
    e->is_mapped = false;
    gr_device_lock(s->device);
    s->device->generation++;
    gr_device_unlock(s->device);
    return GR_OK;
}

const void *gr_store_view(const gr_store *s, int index)
{
    return s->device->host_visible ? (const void *)(uintptr_t)s->entries[index].data : NULL;
}

static gr_status find_sized(const gr_store *s, const char *name, size_t size, int *index)
{
    *index = gr_store_find(s, name);
    if (*index < 0)
        return gr_fail(GR_ERR_ARGUMENT, "store: there is no tensor \"%s\"", name);
    size_t bytes = s->entries[*index].e.bytes;
    if (bytes != size)
        return gr_fail(GR_ERR_ARGUMENT, "store: \"%s\" has %zu bytes, %zu were given", name, bytes, size);
    return GR_OK;
}

gr_status gr_store_write(gr_store *s, const char *name, const void *data, size_t size)
{
    if (gr_lacks(s, "gr_store_write: store") || gr_lacks(name, "gr_store_write: name") ||
        (size && gr_lacks(data, "gr_store_write: data")))
        return GR_ERR_ARGUMENT;
    int i;
    gr_status st = find_sized(s, name, size, &i);
    if (st == GR_OK && s->entries[i].is_mapped)
        st = unmap(s, &s->entries[i]);
    if (st != GR_OK)
        return st;
    gr_address to = gr_store_data(s, i);
    return to ? gr_device_write(s->device, to, data, size) : gr_error_status();
}

gr_status gr_store_read(const gr_store *s, const char *name, void *data, size_t size)
{
    if (gr_lacks(s, "gr_store_read: store") || gr_lacks(name, "gr_store_read: name") ||
        (size && gr_lacks(data, "gr_store_read: data")))
        return GR_ERR_ARGUMENT;
    int i;
    gr_status st = find_sized(s, name, size, &i);
    if (st != GR_OK)
        return st;
    if (s->entries[i].data)
        return gr_device_read(s->device, data, s->entries[i].data, size);
    if (size)
        memset(data, 0, size);
    return GR_OK;
}

/* ---- other shapes ------------------------------------------------------------------------------------------- */

gr_status gr_store_set_rows(gr_store *s, int index, int64_t rows)
{
    entry *e = &s->entries[index];
    int64_t shape[GR_MAX_DIMS];
    char why[128];
    memcpy(shape, e->e.shape, sizeof shape);
    shape[0] = rows;
    if (gr_dtype_shape_fault(e->e.dtype, e->e.ndim, shape, why, sizeof why))
        return gr_fail(GR_ERR_ARGUMENT, "store: \"%s\" cannot have %lld rows: %s", e->e.name, (long long)rows, why);
    if (e->data && !e->is_mapped)
        gr_device_free(s->device, e->data, e->e.bytes);
    e->data = 0;
    e->is_mapped = false;
    e->e.shape[0] = rows;
    gr_dtype_shape_size(e->e.dtype, e->e.ndim, shape, &e->e.bytes);
    return GR_OK;
}

/* ---- other dtypes ------------------------------------------------------------------------------------------- */

/* In memory of its own, the old of which is given back at once. */
static gr_status round_entry(gr_store *s, entry *e)
{
    const size_t count = e->e.bytes / sizeof(float), size = count * sizeof(uint16_t);
    float *wide = gr_alloc(e->e.bytes);
    uint16_t *low = gr_alloc(size);
    gr_status st = wide && low ? gr_device_read(s->device, wide, e->data, e->e.bytes) : GR_ERR_MEMORY;
    gr_address to = st == GR_OK ? gr_device_alloc(s->device, size) : 0;
    if (st == GR_OK && !to)
        st = gr_fail_in("%s", e->e.name);
    if (to) {
        gr_dtype_get(GR_BF16)->from_f32(wide, low, (int64_t)count);
        st = gr_device_write(s->device, to, low, size);
        if (!e->is_mapped)
            gr_device_free(s->device, e->data, e->e.bytes);
        e->data = to;
        e->is_mapped = false;
    }
    gr_free(wide);
    gr_free(low);
    return st;
}

gr_status gr_store_round(gr_store *s)
{
    gr_status st = GR_OK;
    for (size_t i = 0; st == GR_OK && i < s->n; i++) {
        entry *e = &s->entries[i];
        if (e->e.role != GR_WEIGHT || e->e.dtype != GR_F32)
            continue;
        if (e->data)
            st = round_entry(s, e);
        if (st == GR_OK) {
            e->e.dtype = GR_BF16;
            e->e.bytes /= 2;
        }
    }
    return st;
}

/* ---- gr_param ----------------------------------------------------------------------------------------------- */

static gr_tensor *newest(gr_tensor *version)
{
    while (version->next)
        version = version->next;
    return version;
}

static size_t param_slot(const gr_graph *g, const gr_store *store, int index)
{
    size_t at = ((size_t)index * 2654435761u ^ (size_t)(uintptr_t)store / sizeof *store) & (g->n_slots - 1);
    for (; g->slots[at]; at = (at + 1) & (g->n_slots - 1)) {
        const gr_param_attr *a = g->params[g->slots[at] - 1]->attr;
        if (a->store == store && a->index == index)
            break;
    }
    return at;
}

/* Those that came since the last time. Of two of one tensor the first counts. */
static gr_status index_params(gr_graph *g)
{
    if ((g->n_params + 1) * 2 > g->n_slots) {
        size_t more = g->n_slots ? g->n_slots : 64;
        while ((g->n_params + 1) * 2 > more)
            more *= 2;
        int *slots = gr_alloc_zero(more, sizeof *slots);
        if (!slots)
            return GR_ERR_MEMORY;
        gr_free(g->slots);
        g->slots = slots;
        g->n_slots = more;
        g->n_indexed = 0;
    }
    for (; g->n_indexed < g->n_params; g->n_indexed++) {
        const gr_param_attr *a = g->params[g->n_indexed]->attr;
        int *slot = &g->slots[param_slot(g, a->store, a->index)];
        if (!*slot)
            *slot = (int)g->n_indexed + 1;
    }
    return GR_OK;
}

gr_tensor *gr_param(gr_graph *g, gr_store *store, const char *name)
{
    if (gr_lacks_made(g, "gr_param: g") || g->failed != GR_OK)
        return NULL;
    if (gr_lacks(store, "gr_param: store") || gr_lacks(name, "gr_param: name"))
        return gr_graph_fail(g);
    int index = store ? gr_store_find(store, name) : -1;
    if (index < 0) {
        gr_fail(GR_ERR_ARGUMENT, "there is no tensor \"%s\" in the store", name);
        return gr_graph_fail(g);
    }
    if (index_params(g) != GR_OK)
        return gr_graph_fail(g);
    int known = g->slots[param_slot(g, store, index)];
    if (known)
        return newest(g->params[known - 1]);
    const gr_entry *e = &store->entries[index].e;
    gr_param_attr a = {.store = store, .index = index, .spec = gr_spec_make(e->dtype, e->ndim, e->shape)};
    gr_tensor *t = gr_node(g, &gr_op_param, NULL, 0, &a);
    return t ? gr_name_exactly(t, name) : NULL; /* whatever scope it is first used in */
}

/* ---- do values fit? ----------------------------------------------------------------------------------------- */

static gr_status check_values(const gr_entry *e, const char *data, gr_dtype d)
{
    enum { PIECE = 1024 };
    float wide[PIECE];
    char narrow[PIECE * 8];
    const gr_dtype_info *from = gr_dtype_get(e->dtype), *to = gr_dtype_get(d);
    int64_t n = gr_dtype_values(e->dtype, e->bytes);
    for (int64_t at = 0; at < n; at += PIECE) {
        int64_t m = n - at < PIECE ? n - at : PIECE;
        from->to_f32(data + gr_dtype_size(e->dtype, at), wide, m);
        to->from_f32(wide, narrow, m);
        for (int64_t i = 0; i < m; i++)
            if (isfinite(wide[i]) && !isfinite(to->load(narrow, i)))
                return gr_fail(GR_ERR_NUMBER,
                               "tensor \"%s\": value %lld, %g, is too large for %s\nanother precision has room for it: "
                               "bf16, or f32",
                               e->name, (long long)(at + i), (double)wide[i], to->name);
    }
    return GR_OK;
}

gr_status gr_store_check_range(const gr_store *s, gr_dtype d)
{
    gr_status st = GR_OK;
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; st == GR_OK && i < gr_store_count(s); i++) {
        st = gr_store_entry(s, i, &e);
        if (st != GR_OK || !gr_store_has_data(s, i) || !gr_dtype_get(e.dtype)->to_f32)
            continue;
        const void *view = gr_store_view(s, i);
        void *copy = view ? NULL : gr_alloc(e.bytes);
        if (!view && !copy)
            return GR_ERR_MEMORY;
        if (copy)
            st = gr_store_read(s, e.name, copy, e.bytes);
        if (st == GR_OK)
            st = check_values(&e, view ? view : copy, d);
        gr_free(copy);
    }
    return st;
}
