/* Codes and scales apart, and together. */
#include "model/files/packed.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/dtype.h"
#include "base/error.h"
#include "base/mem.h"
#include "model/files/names.h"

enum { CODES_A_WORD = 8, LEAST_GROUP = 32 };

bool gr_packed_is(gr_dtype d)
{
    return d == GR_INT4_32 || d == GR_INT4_64 || d == GR_INT4_128 || d == GR_INT8;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

/* Length of what stands before such an end, 0: another. */
static size_t base_of(const char *name, const char *end)
{
    return gr_ends_with(name, end) ? strlen(name) - strlen(end) : 0;
}

/* A name that is longer than any model has is of nothing that could be found. */
static const gr_named_tensor *beside(const gr_names *n, const gr_named_tensor *item, size_t base, const char *end)
{
    char name[1024];
    if ((size_t)snprintf(name, sizeof name, "%.*s%s", (int)base, item->tensor.name, end) >= sizeof name)
        return NULL;
    return gr_names_item(n, name);
}

/* Of a tensor of codes the length of its layer's name; 0: it is something else. */
static size_t layer_of(const gr_names *n, const gr_named_tensor *item, bool *packed)
{
    const gr_weight *t = &item->tensor;
    size_t of_packed = base_of(t->name, ".weight_packed"), whole = base_of(t->name, ".weight");
    *packed = of_packed > 0;
    bool int8 = whole && t->stored && strcmp(t->stored->name, "I8") == 0 && beside(n, item, whole, ".weight_scale");
    return of_packed ? of_packed : int8 ? whole : 0;
}

/* The blocks that a group of this size is made of; GR_DTYPE_NONE: none. */
static gr_dtype blocks_of(bool packed, int64_t group)
{
    static const gr_dtype sizes[] = {GR_INT4_128, GR_INT4_64, GR_INT4_32};
    if (!packed)
        return group % LEAST_GROUP ? GR_DTYPE_NONE : GR_INT8;
    for (int i = 0; i < 3; i++)
        if (group % gr_dtype_get(sizes[i])->block == 0)
            return sizes[i];
    return GR_DTYPE_NONE;
}

static gr_status check_shape(const gr_named_tensor *item, const gr_named_tensor *shape, const int64_t *must)
{
    int64_t says[2] = {0, 0};
    if (shape && shape->tensor.dtype == GR_I64 && shape->tensor.bytes == sizeof says)
        memcpy(says, shape->tensor.data, sizeof says);
    if (says[0] == must[0] && says[1] == must[1])
        return GR_OK;
    return gr_fail(GR_ERR_FILE,
                   "tensor \"%s\" has %lld x %lld codes, and its weight_shape is not there or says %lld x %lld\nthe "
                   "file is damaged: "
                   "fetch it again",
                   item->in_file, (long long)must[0], (long long)must[1], (long long)says[0], (long long)says[1]);
}

/* Codes and scales as one tensor of blocks. */
static gr_status join_item(gr_named_tensor *item, size_t base, bool packed, const gr_named_tensor *scale,
                           const gr_named_tensor *shape)
{
    gr_weight *t = &item->tensor;
    const gr_weight *s = scale ? &scale->tensor : NULL;
    bool fits = s && t->ndim == 2 && s->ndim == 2 && s->shape[0] == t->shape[0] && s->shape[1] > 0 && !s->stored &&
                gr_dtype_get(s->dtype)->is_float;
    int64_t sizes[] = {t->shape[0], packed ? t->shape[1] * CODES_A_WORD : t->shape[1]};
    fits &= fits && sizes[1] % s->shape[1] == 0 && (!packed || t->dtype == GR_I32);
    gr_dtype d = fits ? blocks_of(packed, sizes[1] / s->shape[1]) : GR_DTYPE_NONE;
    if (d == GR_DTYPE_NONE)
        return gr_fail(
            GR_ERR_UNSUPPORTED,
            "tensor \"%s\": codes and scales do not fit together, or groups are no multiple of %d\ntake the model "
            "in f32, f16 or bf16",
            item->in_file, LEAST_GROUP);
    if (packed && check_shape(item, shape, sizes) != GR_OK)
        return gr_error_status();
    char *name = gr_strfmt("%.*s.weight", (int)base, t->name);
    if (!name)
        return GR_ERR_MEMORY;
    gr_free(item->own);
    item->own = name;
    item->scale = *s;
    item->is_packed = true;
    t->name = name;
    t->dtype = d;
    t->stored = NULL;
    t->shape[1] = sizes[1];
    t->bytes = gr_dtype_size(d, sizes[0] * sizes[1]);
    return t->bytes == SIZE_MAX ? gr_fail(GR_ERR_FILE, "tensor \"%s\" is too large", item->in_file) : GR_OK;
}

/* What goes into the item of codes, and is none of its own then. */
static gr_status mark_parts(const gr_names *n, const gr_named_tensor *item, size_t base, bool *gone)
{
    const gr_named_tensor *scale = beside(n, item, base, ".weight_scale"),
                          *shape = beside(n, item, base, ".weight_shape");
    const gr_named_tensor *zero = beside(n, item, base, ".weight_zero_point"),
                          *order = beside(n, item, base, ".weight_g_idx");
    if (zero || order)
        return gr_fail(
            GR_ERR_UNSUPPORTED,
            "tensor \"%s\": quantized weights with zero points or with columns in another order are not supported\n"
            "take the model in f32, f16 or bf16",
            (zero ? zero : order)->in_file);
    if (scale)
        gone[scale - n->items] = true;
    if (shape)
        gone[shape - n->items] = true;
    return GR_OK;
}

gr_status gr_packed_join_names(gr_names *n)
{
    bool *gone = gr_alloc_zero((size_t)n->count + 1, sizeof *gone), packed;
    size_t *base = gr_alloc_zero((size_t)n->count + 1, sizeof *base);
    gr_status s = gone && base ? GR_OK : GR_ERR_MEMORY;
    for (int i = 0; s == GR_OK && i < n->count; i++) {
        base[i] = layer_of(n, &n->items[i], &packed);
        s = base[i] ? mark_parts(n, &n->items[i], base[i], gone) : GR_OK;
    }
    /* From the end on, so that what a name is found by, those before it, is as it was. */
    for (int i = n->count - 1; s == GR_OK && i >= 0; i--)
        if (base[i]) {
            gr_named_tensor *item = &n->items[i];
            layer_of(n, item, &packed);
            s = join_item(item, base[i], packed, beside(n, item, base[i], ".weight_scale"),
                          beside(n, item, base[i], ".weight_shape"));
        }
    int kept = 0;
    for (int i = 0; s == GR_OK && i < n->count; i++)
        if (gone[i])
            gr_free(n->items[i].own);
        else
            n->items[kept++] = n->items[i];
    n->count = s == GR_OK ? kept : n->count;
    gr_free(base);
    gr_free(gone);
    return s;
}

static gr_status check_scale(const gr_named_tensor *item, float scale, int64_t at)
{
    if (isfinite(scale))
        return GR_OK;
    return gr_fail(GR_ERR_FILE,
                   "tensor \"%s\": the scale of group %lld is no number\nthe file is damaged: fetch it again",
                   item->in_file, (long long)at);
}

gr_status gr_packed_join(const gr_named_tensor *item, void *to)
{
    const gr_weight *t = &item->tensor, *s = &item->scale;
    const gr_dtype_info *d = gr_dtype_get(t->dtype);
    size_t codes = (size_t)d->block_bytes - sizeof(float);
    int64_t blocks = gr_dtype_values(t->dtype, t->bytes) / d->block, groups = (int64_t)gr_weight_values(s);
    float *scales = gr_alloc((size_t)groups * sizeof *scales);
    gr_status st = scales ? GR_OK : GR_ERR_MEMORY;
    if (st == GR_OK)
        gr_weight_to_f32(s, scales);
    const char *from = t->data;
    char *block = to;
    for (int64_t i = 0; st == GR_OK && i < blocks; i++, from += codes, block += d->block_bytes) {
        int64_t group = i * groups / blocks;
        st = check_scale(item, scales[group], group);
        memcpy(block, &scales[group], sizeof(float));
        memcpy(block + sizeof(float), from, codes);
    }
    gr_free(scales);
    return st;
}

static bool says(gr_json v, const char *key, const char *text)
{
    return strcmp(gr_json_text(v, key, ""), text) == 0;
}

/* Weights of 4 or 8 bits with scales alone; activations are then what --activations says. */
bool gr_packed_is_known(gr_json q)
{
    bool known = says(q, "quant_method", "compressed-tensors") &&
                 (says(q, "format", "pack-quantized") || says(q, "format", "int-quantized"));
    for (gr_json_iter it = gr_json_first(gr_json_get(q, "config_groups")); known && it.key; gr_json_next(&it)) {
        gr_json w = gr_json_get(it.value, "weights");
        int64_t bits = gr_json_int(w, "num_bits", 0, 0, 64);
        known = (bits == 4 || bits == 8) && says(w, "type", "int") && gr_json_bool(w, "symmetric", true);
    }
    return known && !gr_json_size(gr_json_get(q, "kv_cache_scheme")) &&
           !gr_json_size(gr_json_get(q, "sparsity_config"));
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

enum kind { AS_IT_IS, CODES, SCALES, SHAPE };
typedef struct gr_packed_part {
    enum kind kind;
    int index; /* in the store */
} gr_packed_part;

static gr_status add(gr_packed_out *p, int index, enum kind kind, const char *end, gr_weight t)
{
    size_t size = 0;
    if (end) {
        size_t base = strlen(t.name) - strlen("weight");
        p->names[p->count] = gr_strfmt("%.*s%s", (int)base, t.name, end);
        t.name = p->names[p->count];
        if (!t.name)
            return GR_ERR_MEMORY;
    }
    if (t.stored)
        t.bytes = (size_t)(t.shape[0] * t.shape[1]);
    else if (gr_dtype_shape_size(t.dtype, t.ndim, t.shape, &size))
        t.bytes = size;
    p->list[p->count] = t;
    p->parts[p->count++] = (gr_packed_part){kind, index};
    p->bytes += t.bytes;
    p->largest = t.bytes > p->largest ? t.bytes : p->largest;
    return GR_OK;
}

/* A row of 8 bits has one scale; what has more cannot be said so. */
static int64_t groups_of(const gr_weight *t)
{
    return t->dtype == GR_INT8 ? 1 : t->shape[1] / gr_dtype_get(t->dtype)->block;
}

static gr_status add_packed(gr_packed_out *p, int i)
{
    const gr_weight *t = &p->store->tensors[i];
    gr_weight codes = {.name = t->name, .dtype = GR_I32, .ndim = 2, .shape = {t->shape[0], t->shape[1] / CODES_A_WORD}};
    gr_weight scales = {.name = t->name, .dtype = GR_BF16, .ndim = 2, .shape = {t->shape[0], groups_of(t)}};
    gr_weight shape = {.name = t->name, .dtype = GR_I64, .ndim = 1, .shape = {2}};
    bool int8 = t->dtype == GR_INT8;
    if (int8) {
        codes.dtype = GR_U8;
        codes.stored = gr_stored_dtype_find("I8");
        codes.shape[1] = t->shape[1];
    }
    gr_status s = add(p, i, CODES, int8 ? NULL : "weight_packed", codes);
    if (s == GR_OK)
        s = add(p, i, SCALES, "weight_scale", scales);
    return s == GR_OK && !int8 ? add(p, i, SHAPE, "weight_shape", shape) : s;
}

gr_status gr_packed_open(gr_packed_out *p, gr_store_tensors *store)
{
    size_t most = 3 * (size_t)store->count + 1;
    *p = (gr_packed_out){.store = store};
    p->list = gr_alloc_zero(most, sizeof *p->list);
    p->parts = gr_alloc_zero(most, sizeof *p->parts);
    p->names = gr_alloc_zero(most, sizeof *p->names);
    gr_status s = p->list && p->parts && p->names ? GR_OK : GR_ERR_MEMORY;
    for (int i = 0; s == GR_OK && i < store->count; i++)
        s = gr_packed_is(store->tensors[i].dtype) ? add_packed(p, i) : add(p, i, AS_IT_IS, NULL, store->tensors[i]);
    p->buffer = s == GR_OK ? gr_alloc(p->largest + 1) : NULL;
    return s == GR_OK && !p->buffer ? GR_ERR_MEMORY : s;
}

void gr_packed_close(gr_packed_out *p)
{
    for (int i = 0; p->names && i < p->count; i++)
        gr_free(p->names[i]);
    gr_free(p->names);
    gr_free(p->list);
    gr_free(p->parts);
    gr_free(p->buffer);
    *p = (gr_packed_out){0};
}

/* Every scale of the blocks of a group, or a row, must be the same, and a bf16. */
static gr_status take_scales(const gr_weight *t, const char *data, uint16_t *to)
{
    const gr_dtype_info *d = gr_dtype_get(t->dtype);
    int64_t blocks = gr_dtype_values(t->dtype, t->bytes) / d->block, groups = t->shape[0] * groups_of(t);
    for (int64_t i = 0; i < blocks; i++) {
        float scale, back;
        int64_t group = i * groups / blocks;
        memcpy(&scale, data + i * d->block_bytes, sizeof scale);
        if (i * groups % blocks == 0)
            gr_dtype_get(GR_BF16)->from_f32(&scale, &to[group], 1);
        gr_dtype_get(GR_BF16)->to_f32(&to[group], &back, 1);
        if (memcmp(&back, &scale, sizeof back) != 0)
            return gr_fail(
                GR_ERR_UNSUPPORTED,
                "tensor \"%s\": its scales are no bf16, or differ within a row of int8\nwrite f32, f16 or bf16",
                t->name);
    }
    return GR_OK;
}

gr_status gr_packed_fetch(void *user, int index, const void **data)
{
    gr_packed_out *p = user;
    const gr_packed_part *part = &p->parts[index];
    const gr_weight *t = &p->store->tensors[part->index];
    const gr_dtype_info *d = gr_dtype_get(t->dtype);
    const void *blocks;
    gr_status s = gr_store_tensors_fetch(p->store, part->index, &blocks);
    *data = part->kind == AS_IT_IS ? blocks : p->buffer;
    if (s != GR_OK || part->kind == AS_IT_IS)
        return s;
    if (part->kind == SHAPE) {
        memcpy(p->buffer, t->shape, 2 * sizeof *t->shape);
        return GR_OK;
    }
    if (part->kind == SCALES)
        return take_scales(t, blocks, p->buffer);
    size_t codes = (size_t)d->block_bytes - sizeof(float);
    int64_t n = gr_dtype_values(t->dtype, t->bytes) / d->block;
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)p->buffer + (size_t)i * codes, (const char *)blocks + i * d->block_bytes + sizeof(float), codes);
    return GR_OK;
}

/* ---- config.json -------------------------------------------------------------------------------------------- */

static void put_args(gr_json into, int64_t bits, const char *strategy, int64_t group, bool dynamic)
{
    gr_json_put_int(into, "num_bits", bits);
    gr_json_put_text(into, "type", "int");
    gr_json_put_bool(into, "symmetric", true);
    gr_json_put_text(into, "strategy", strategy);
    if (group)
        gr_json_put_int(into, "group_size", group);
    else
        gr_json_put_null(into, "group_size");
    gr_json_put_bool(into, "dynamic", dynamic);
}

static void put_quantization(gr_json into, gr_dtype d)
{
    bool int8 = d == GR_INT8;
    gr_json_put_text(into, "quant_method", "compressed-tensors");
    gr_json_put_text(into, "format", int8 ? "int-quantized" : "pack-quantized");
    gr_json_put_text(into, "quantization_status", "compressed");
    gr_json group = gr_json_put_object(gr_json_put_object(into, "config_groups"), "group_0");
    gr_json_put_text(gr_json_put_array(group, "targets"), NULL, "Linear");
    put_args(gr_json_put_object(group, "weights"), int8 ? 8 : 4, int8 ? "channel" : "group",
             int8 ? 0 : gr_dtype_get(d)->block, false);
    if (int8)
        put_args(gr_json_put_object(group, "input_activations"), 8, "token", 0, true);
    gr_json_put_text(gr_json_put_array(into, "ignore"), NULL, "lm_head");
}

gr_status gr_packed_put_config(gr_json_doc **config, gr_store *store, bool *changed)
{
    gr_dtype d = GR_DTYPE_NONE;
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; store && i < gr_store_count(store); i++)
        if (gr_store_entry(store, i, &e) == GR_OK && gr_packed_is(e.dtype))
            d = e.dtype;
    bool had = gr_json_is(gr_json_get(gr_json_root(*config), "quantization_config"));
    *changed = d != GR_DTYPE_NONE || had;
    if (!*changed)
        return GR_OK;
    gr_json_doc *doc = gr_json_new("config.json");
    if (!doc)
        return gr_error_status();
    for (gr_json_iter it = gr_json_first(gr_json_root(*config)); it.key; gr_json_next(&it))
        if (strcmp(it.key, "quantization_config") != 0)
            gr_json_put_copy(gr_json_root(doc), it.key, it.value);
    if (d != GR_DTYPE_NONE)
        put_quantization(gr_json_put_object(gr_json_root(doc), "quantization_config"), d);
    gr_json_free(*config);
    *config = doc;
    return gr_json_check(doc);
}
