/* Blocks as codes, scales and zero points, in tensors of their own. */
#include "model/files/packed.h"

#include <string.h>

#include "base/dtype.h"
#include "base/error.h"
#include "base/ggml/hub.h"
#include "base/mem.h"

enum kind { AS_IT_IS, CODES, SCALES, ZEROS, SHAPE, ORDER };
typedef struct gr_packed_part {
    enum kind kind;
    int index; /* in the store */
} gr_packed_part;

/* ---- what is said of them ----------------------------------------------------------------------------------- */

static const gr_packed_saved *saved_of(const gr_packed_out *p, gr_dtype d)
{
    return &p->saved[gr_ints_bits(d) == 8];
}

static int64_t groups_of(const gr_packed_out *p, const gr_weight *t)
{
    int64_t group = saved_of(p, t->dtype)->group;
    return group ? t->shape[1] / group : 1;
}

/* Have the blocks of every group one scale and one zero point? group 0: a row. */
static bool is_uniform(const gr_weight *t, const char *blocks, int64_t group)
{
    const gr_dtype_info *d = gr_dtype_get(t->dtype);
    int64_t width = t->shape[1], each = group ? group : width, n = t->shape[0] * width / d->block;
    size_t head = gr_ints_head(d);
    const char *first = blocks;
    if (width % each || each < d->block)
        return width % each == 0 && d->block % each == 0; /* a block is several groups */
    if (each % d->block)
        return false;
    for (int64_t i = 0; i < n; i++, blocks += d->block_bytes) {
        if (i % (each / d->block) == 0)
            first = blocks;
        if (memcmp(first, blocks, head) != 0)
            return false;
    }
    return true;
}

/* The largest groups that all weights of so many bits have. */
static gr_status find_group(gr_packed_out *p, int bits)
{
    static const int64_t sizes[] = {0, 1024, 512, 256, 128, 64, 32};
    gr_packed_saved *s = &p->saved[bits == 8];
    bool all = false;
    for (size_t g = 0; g < sizeof sizes / sizeof *sizes && !all; g++) {
        all = true;
        s->count = 0;
        s->group = sizes[g];
        for (int i = 0; i < p->store->count && all; i++) {
            const gr_weight *t = &p->store->tensors[i];
            const void *data;
            if (!gr_ints_is(t->dtype) || gr_ints_bits(t->dtype) != bits)
                continue;
            if (gr_store_tensors_fetch(p->store, i, &data) != GR_OK)
                return gr_error_status();
            all = is_uniform(t, data, s->group);
            s->zero |= gr_dtype_get(t->dtype)->codes.offsets;
            s->count++;
        }
    }
    return GR_OK;
}

/* ---- the tensors -------------------------------------------------------------------------------------------- */

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

/* The blocks' scale is that of a file's dtype, to the bit. */
static bool holds(gr_dtype as, float scale)
{
    float back;
    char there[sizeof back];
    gr_dtype_get(as)->from_f32(&scale, there, 1);
    gr_dtype_get(as)->to_f32(there, &back, 1);
    return memcmp(&back, &scale, sizeof back) == 0;
}

/* The narrowest of bf16, f16 and f32 that holds all scales. */
static gr_status scale_dtype(gr_packed_out *p, int index, gr_dtype *out)
{
    const gr_weight *t = &p->store->tensors[index];
    const gr_dtype_info *d = gr_dtype_get(t->dtype);
    const void *data;
    gr_status s = gr_store_tensors_fetch(p->store, index, &data);
    bool half = true, bfloat = true;
    const char *block = data;
    for (int64_t i = 0; s == GR_OK && i < t->shape[0] * t->shape[1] / d->block; i++, block += d->block_bytes) {
        float scale, zero;
        gr_ints_get(d, block, &scale, &zero);
        half = half && holds(GR_F16, scale);
        bfloat = bfloat && holds(GR_BF16, scale);
        p->stored_less = zero < 1 ? 0 : p->stored_less;
    }
    *out = p->gptq ? GR_F16 : bfloat ? GR_BF16 : half ? GR_F16 : GR_F32;
    if (s == GR_OK && p->gptq && !half)
        s = gr_fail(GR_ERR_UNSUPPORTED,
                    "tensor \"%s\": its scales are no f16, which they are in GPTQ's layout\nwrite it in that of "
                    "compressed-tensors",
                    t->name);
    return s;
}

static gr_status add_gptq(gr_packed_out *p, int i, gr_dtype scale)
{
    const gr_weight *t = &p->store->tensors[i];
    int64_t n = t->shape[0], k = t->shape[1], each = 32 / gr_ints_bits(t->dtype), groups = groups_of(p, t);
    if (n % 32)
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "tensor \"%s\": %lld rows, and GPTQ's layout has multiples of 32\nwrite it in that of "
                       "compressed-tensors",
                       t->name, (long long)n);
    gr_weight codes = {.name = t->name, .dtype = GR_I32, .ndim = 2, .shape = {k / each, n}};
    gr_weight zeros = {.name = t->name, .dtype = GR_I32, .ndim = 2, .shape = {groups, n / each}};
    gr_weight scales = {.name = t->name, .dtype = scale, .ndim = 2, .shape = {groups, n}};
    gr_weight order = {.name = t->name, .dtype = GR_I32, .ndim = 1, .shape = {k}};
    gr_status s = add(p, i, CODES, "qweight", codes);
    if (s == GR_OK)
        s = add(p, i, ZEROS, "qzeros", zeros);
    if (s == GR_OK)
        s = add(p, i, SCALES, "scales", scales);
    return s == GR_OK ? add(p, i, ORDER, "g_idx", order) : s;
}

static gr_status add_tensors(gr_packed_out *p, int i, gr_dtype scale)
{
    const gr_weight *t = &p->store->tensors[i];
    int64_t n = t->shape[0], k = t->shape[1], groups = groups_of(p, t);
    gr_weight codes = {.name = t->name, .dtype = GR_I32, .ndim = 2, .shape = {n, k / 8}};
    gr_weight zeros = {.name = t->name, .dtype = GR_I32, .ndim = 2, .shape = {(n + 7) / 8, groups}};
    gr_weight scales = {.name = t->name, .dtype = scale, .ndim = 2, .shape = {n, groups}};
    gr_weight shape = {.name = t->name, .dtype = GR_I64, .ndim = 1, .shape = {2}};
    bool int8 = gr_ints_bits(t->dtype) == 8;
    if (int8) {
        codes.dtype = zeros.dtype = GR_U8;
        codes.stored = zeros.stored = gr_stored_dtype_find("I8");
        codes.shape[1] = k;
        zeros.shape[0] = n;
    }
    gr_status s = add(p, i, CODES, int8 ? NULL : "weight_packed", codes);
    if (s == GR_OK)
        s = add(p, i, SCALES, "weight_scale", scales);
    if (s == GR_OK && saved_of(p, t->dtype)->zero)
        s = add(p, i, ZEROS, "weight_zero_point", zeros);
    return s == GR_OK && !int8 ? add(p, i, SHAPE, "weight_shape", shape) : s;
}

static gr_status add_packed(gr_packed_out *p, int i)
{
    gr_dtype scale;
    if (scale_dtype(p, i, &scale) != GR_OK)
        return gr_error_status();
    return p->gptq ? add_gptq(p, i, scale) : add_tensors(p, i, scale);
}

/* GPTQ's layout is one for all layers. */
static gr_status check_gptq(const gr_packed_out *p)
{
    if (!p->gptq || !p->saved[0].count || !p->saved[1].count)
        return GR_OK;
    return gr_fail(GR_ERR_UNSUPPORTED,
                   "layers of 4 and of 8 bits in GPTQ's layout, which has one for all\nwrite them in that "
                   "of compressed-tensors");
}

/* May all of them be in GPTQ's layout? */
static gr_status fits_gptq(gr_packed_out *p, bool *fits)
{
    *fits = true;
    for (int i = 0; *fits && i < p->store->count; i++) {
        const gr_weight *t = &p->store->tensors[i];
        const gr_dtype_info *d = gr_dtype_get(t->dtype);
        const void *data = NULL;
        if (!gr_ints_is(t->dtype))
            continue;
        if (gr_store_tensors_fetch(p->store, i, &data) != GR_OK)
            return gr_error_status();
        *fits = t->shape[0] % 32 == 0;
        for (int64_t k = 0; *fits && k < t->shape[0] * t->shape[1] / d->block; k++) {
            float scale, zero;
            gr_ints_get(d, (const char *)data + k * d->block_bytes, &scale, &zero);
            *fits = holds(GR_F16, scale);
        }
    }
    return GR_OK;
}

gr_status gr_packed_open(gr_packed_out *p, const gr_model *m, gr_store_tensors *store, gr_hub_layout layout)
{
    size_t most = 4 * (size_t)store->count + 1;
    int64_t width = 0;
    *p = (gr_packed_out){.model = m, .store = store, .stored_less = 1, .gptq = layout == GR_HUB_GPTQ};
    p->list = gr_alloc_zero(most, sizeof *p->list);
    p->parts = gr_alloc_zero(most, sizeof *p->parts);
    p->names = gr_alloc_zero(most, sizeof *p->names);
    for (int i = 0; i < store->count; i++)
        if (gr_ints_is(store->tensors[i].dtype)) {
            p->gptq |= m->inits[i].order != NULL; /* which is said there alone */
            width = store->tensors[i].shape[1] > width ? store->tensors[i].shape[1] : width;
        }
    p->codes = gr_alloc((size_t)width + 1);
    p->numbers = gr_alloc((size_t)(4 * width / 32 + 1) * sizeof *p->numbers);
    gr_status s = p->list && p->parts && p->names && p->codes && p->numbers ? GR_OK : GR_ERR_MEMORY;
    if (s == GR_OK && !p->gptq && m->keeps_layout && m->layout == GR_HUB_GPTQ)
        s = fits_gptq(p, &p->gptq);
    if (s == GR_OK)
        s = find_group(p, 4);
    if (s == GR_OK)
        s = find_group(p, 8);
    if (s == GR_OK)
        s = check_gptq(p);
    for (int i = 0; s == GR_OK && i < store->count; i++)
        s = gr_ints_is(store->tensors[i].dtype) ? add_packed(p, i) : add(p, i, AS_IT_IS, NULL, store->tensors[i]);
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
    gr_free(p->codes);
    gr_free(p->numbers);
    *p = (gr_packed_out){0};
}

/* ---- what is in them ---------------------------------------------------------------------------------------- */

/* The low bits of word i get `code`, at its place in it. */
static void put_word(void *to, int64_t i, int shift, uint32_t code)
{
    char *at = (char *)to + i * (int64_t)sizeof code;
    uint32_t word;
    memcpy(&word, at, sizeof word);
    word |= code << shift;
    memcpy(at, &word, sizeof word);
}

static void take_codes(gr_packed_out *p, const gr_weight *t, const char *blocks)
{
    const gr_dtype_info *d = gr_dtype_get(t->dtype);
    size_t head = gr_ints_head(d), n = (size_t)d->block_bytes - head;
    char *to = p->buffer;
    for (int64_t i = 0; i < t->shape[0] * t->shape[1] / d->block; i++, blocks += d->block_bytes, to += n) {
        memcpy(to, blocks + head, n);
        for (size_t k = 0; k < n && d->codes.offsets && d->codes.most == 255; k++)
            to[k] = (char)(to[k] ^ 0x80); /* from 0 up here, int8 there */
    }
}

/* In columns, each where it was before they were sorted. */
static void take_columns(gr_packed_out *p, const gr_weight *t, const char *blocks, const int32_t *order)
{
    const gr_dtype_info *d = gr_dtype_get(t->dtype);
    int64_t rows = t->shape[0], width = t->shape[1];
    int bits = gr_ints_bits(t->dtype), each = 32 / bits;
    memset(p->buffer, 0, (size_t)(rows * width / each) * sizeof(uint32_t));
    for (int64_t r = 0; r < rows; r++) {
        d->codes.read(blocks + gr_dtype_size(t->dtype, r * width), p->codes, p->numbers, p->numbers + width / 32,
                      width);
        for (int64_t i = 0; i < width; i++) {
            int64_t k = order ? order[i] : i;
            put_word(p->buffer, k / each * rows + r, (int)(k % each) * bits, p->codes[i]);
        }
    }
}

/* Scale and zero point of a group. */
static void group_at(const gr_packed_out *p, const gr_weight *t, const char *blocks, int64_t row, int64_t group,
                     float *scale, float *zero)
{
    const gr_dtype_info *d = gr_dtype_get(t->dtype);
    int64_t width = t->shape[1], first = row * width + group * (width / groups_of(p, t));
    gr_ints_get(d, blocks + first / d->block * d->block_bytes, scale, zero);
}

static void take_scales(const gr_packed_out *p, const gr_weight *t, const char *blocks, gr_dtype as)
{
    int64_t rows = t->shape[0], groups = groups_of(p, t);
    size_t each = (size_t)gr_dtype_width(as);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t g = 0; g < groups; g++) {
            float scale, zero;
            group_at(p, t, blocks, r, g, &scale, &zero);
            int64_t at = p->gptq ? g * rows + r : r * groups + g;
            gr_dtype_get(as)->from_f32(&scale, (char *)p->buffer + (size_t)at * each, 1);
        }
}

static void take_zeros(const gr_packed_out *p, const gr_weight *t, const char *blocks, size_t bytes)
{
    int64_t rows = t->shape[0], groups = groups_of(p, t);
    int bits = gr_ints_bits(t->dtype), each = 32 / bits;
    memset(p->buffer, 0, bytes);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t g = 0; g < groups; g++) {
            float scale, zero;
            group_at(p, t, blocks, r, g, &scale, &zero);
            uint32_t z = (uint32_t)zero;
            if (p->gptq)
                put_word(p->buffer, g * (rows / each) + r / each, (int)(r % each) * bits, z - (uint32_t)p->stored_less);
            else if (bits == 8)
                ((uint8_t *)p->buffer)[r * groups + g] = (uint8_t)(z ^ 0x80);
            else
                put_word(p->buffer, r / each * groups + g, (int)(r % each) * bits, z);
        }
}

static void take_order(const gr_packed_out *p, const gr_weight *t, const int32_t *order)
{
    int64_t width = t->shape[1], each = width / groups_of(p, t);
    for (int64_t i = 0; i < width; i++) {
        int32_t group = (int32_t)(i / each);
        memcpy((char *)p->buffer + (order ? order[i] : i) * (int64_t)sizeof group, &group, sizeof group);
    }
}

gr_status gr_packed_fetch(void *user, int index, const void **data)
{
    gr_packed_out *p = user;
    const gr_packed_part *part = &p->parts[index];
    const gr_weight *t = &p->store->tensors[part->index], *to = &p->list[index];
    const int32_t *order = p->model->inits[part->index].order;
    const void *blocks;
    gr_status s = gr_store_tensors_fetch(p->store, part->index, &blocks);
    *data = part->kind == AS_IT_IS ? blocks : p->buffer;
    if (s != GR_OK)
        return s;
    if (part->kind == SHAPE)
        memcpy(p->buffer, t->shape, 2 * sizeof *t->shape);
    else if (part->kind == SCALES)
        take_scales(p, t, blocks, to->dtype);
    else if (part->kind == ZEROS)
        take_zeros(p, t, blocks, to->bytes);
    else if (part->kind == ORDER)
        take_order(p, t, order);
    else if (part->kind == CODES && p->gptq)
        take_columns(p, t, blocks, order);
    else if (part->kind == CODES)
        take_codes(p, t, blocks);
    return GR_OK;
}
