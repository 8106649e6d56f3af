/* Stores to files, a tensor at a time. */
#include "format/store_tensors.h"

#include "base/dtype.h"
#include "base/mem.h"
#include "program/store.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

gr_status gr_store_tensors_open(gr_store_tensors *s, gr_store *store, const gr_dtype *as)
{
    *s = (gr_store_tensors){.store = store, .count = gr_store_count(store)};
    gr_entry e = GR_INIT(gr_entry);
    s->tensors = gr_alloc_zero((size_t)s->count, sizeof *s->tensors);
    s->names = gr_alloc_zero((size_t)s->count, sizeof *s->names);
    s->turns = gr_alloc_zero((size_t)s->count, sizeof *s->turns);
    s->orders = gr_alloc_zero((size_t)s->count, sizeof *s->orders);
    if (!s->tensors || !s->names || !s->turns || !s->orders)
        return GR_ERR_MEMORY;
    for (int i = 0; i < s->count; i++) {
        gr_status st = gr_store_entry(store, i, &e);
        if (st != GR_OK)
            return st;
        gr_weight *t = &s->tensors[i];
        const gr_dtype_info *d = gr_dtype_get(e.dtype);
        bool cast = as && (d->is_float || d->is_weight);
        *t = (gr_weight){.name = e.name, .dtype = cast ? *as : e.dtype, .ndim = e.ndim};
        memcpy(t->shape, e.shape, sizeof e.shape);
        t->bytes = gr_dtype_size(t->dtype, gr_dtype_values(e.dtype, e.bytes));
        s->bytes += t->bytes;
        s->largest = e.bytes > s->largest ? e.bytes : s->largest;
        if (t->bytes > s->largest_written)
            s->largest_written = t->bytes;
    }
    return GR_OK;
}

void gr_store_tensors_close(gr_store_tensors *s)
{
    for (int i = 0; s->names && i < s->count; i++)
        gr_free(s->names[i]);
    gr_free(s->names);
    gr_free(s->tensors);
    gr_free(s->buffer);
    gr_free(s->written);
    gr_free(s->turned);
    gr_free(s->turns);
    gr_free(s->orders);
    *s = (gr_store_tensors){0};
}

gr_status gr_store_tensors_rename(gr_store_tensors *s, int index, char *name)
{
    if (!name)
        return GR_ERR_MEMORY;
    gr_free(s->names[index]);
    s->names[index] = name;
    s->tensors[index].name = name;
    return GR_OK;
}

void gr_store_tensors_cast(gr_store_tensors *s, int index, gr_dtype dtype)
{
    gr_weight *t = &s->tensors[index];
    size_t before = t->bytes;
    t->bytes = gr_dtype_size(dtype, gr_dtype_values(t->dtype, t->bytes));
    t->dtype = dtype;
    s->bytes = s->bytes - before + t->bytes;
    s->largest_written = t->bytes > s->largest_written ? t->bytes : s->largest_written;
}

void gr_store_tensors_turn(gr_store_tensors *s, int index)
{
    gr_weight *t = &s->tensors[index];
    int64_t rows = t->shape[0];
    s->turns[index] = true;
    t->shape[0] = t->shape[1];
    t->shape[1] = rows;
}

void gr_store_tensors_sorted(gr_store_tensors *s, int index, const int32_t *order)
{
    s->orders[index] = order;
}

void gr_matrix_turn(const void *from, void *to, int64_t rows, int64_t columns, size_t each)
{
    enum { TILE = 32 };
    for (int64_t r = 0; r < rows; r += TILE)
        for (int64_t c = 0; c < columns; c += TILE)
            for (int64_t i = r; i < rows && i < r + TILE; i++)
                for (int64_t j = c; j < columns && j < c + TILE; j++)
                    memcpy((char *)to + (size_t)(j * rows + i) * each,
                           (const char *)from + (size_t)(i * columns + j) * each, each);
}

/* ---- conversion --------------------------------------------------------------------------------------------- */

enum { PIECE = 1 << 12 }; /* whole blocks of any dtype */

typedef struct conversion {
    const char *from;
    char *to;
    gr_dtype is, becomes;
    int64_t n;
    atomic_llong lost; /* the first value that became infinite; n: none */
} conversion;

static void note_lost(conversion *c, int64_t at)
{
    long long before = atomic_load(&c->lost);
    while (at < before && !atomic_compare_exchange_weak(&c->lost, &before, at))
        ;
}

static void convert_piece(void *ctx, int64_t piece, int worker)
{
    conversion *c = ctx;
    (void)worker;
    float wide[PIECE], back[PIECE];
    int64_t begin = piece * PIECE, n = c->n - begin < PIECE ? c->n - begin : PIECE;
    char *to = c->to + gr_dtype_size(c->becomes, begin);
    gr_dtype_get(c->is)->to_f32(c->from + gr_dtype_size(c->is, begin), wide, n);
    gr_dtype_get(c->becomes)->from_f32(wide, to, n);
    gr_dtype_get(c->becomes)->to_f32(to, back, n);
    for (int64_t i = 0; i < n; i++)
        if (isinf(back[i]) && isfinite(wide[i])) {
            note_lost(c, begin + i);
            return;
        }
}

static gr_status convert(gr_store_tensors *s, int index, gr_dtype is, const void *data)
{
    const gr_weight *t = &s->tensors[index];
    conversion c = {.from = data, .to = s->written, .is = is, .becomes = t->dtype};
    c.n = gr_dtype_values(t->dtype, t->bytes);
    atomic_init(&c.lost, c.n);
    gr_device_parallel(gr_store_device(s->store), (c.n + PIECE - 1) / PIECE, convert_piece, &c);
    int64_t lost = atomic_load(&c.lost);
    if (lost < c.n)
        return gr_fail(GR_ERR_NUMBER,
                       "tensor \"%s\": value %lld is %.9g, which is infinite in %s\nwrite f32 or bf16, which reach as "
                       "far as it needs",
                       t->name, (long long)lost, gr_dtype_load(is, data, lost), gr_dtype_name(t->dtype));
    return GR_OK;
}

/* Places to columns, row by row; `row` has room for one. */
static void unsort(const gr_weight *t, const int32_t *order, bool turns, char *data, void *row)
{
    size_t each = (size_t)gr_dtype_width(t->dtype);
    int64_t rows = t->shape[turns], width = t->shape[!turns]; /* as it lies */
    for (int64_t r = 0; r < rows; r++, data += (size_t)width * each) {
        memcpy(row, data, (size_t)width * each);
        for (int64_t i = 0; i < width; i++)
            memcpy(data + (size_t)order[i] * each, (const char *)row + (size_t)i * each, each);
    }
}

/* ---- fetching ----------------------------------------------------------------------------------------------- */

/* Takes the buffer when it is first needed. */
static gr_status take(void **buffer, size_t size)
{
    if (!*buffer)
        *buffer = gr_alloc(size);
    return *buffer ? GR_OK : GR_ERR_MEMORY;
}

gr_status gr_store_tensors_fetch(void *user, int index, const void **data)
{
    gr_store_tensors *s = user;
    gr_entry e = GR_INIT(gr_entry);
    gr_status st = gr_store_entry(s->store, index, &e);
    if (st != GR_OK)
        return st;
    *data = gr_store_view(s->store, index);
    if (!*data) {
        if (take(&s->buffer, s->largest) != GR_OK)
            return GR_ERR_MEMORY;
        *data = s->buffer;
        st = gr_store_read(s->store, e.name, s->buffer, e.bytes);
    }
    if (st == GR_OK && s->tensors[index].dtype != e.dtype) {
        if (take(&s->written, s->largest_written) != GR_OK)
            return GR_ERR_MEMORY;
        st = convert(s, index, e.dtype, *data);
        *data = s->written;
        if (st == GR_OK && s->orders[index]) {
            if (take(&s->turned, s->largest_written) != GR_OK)
                return GR_ERR_MEMORY;
            unsort(&s->tensors[index], s->orders[index], s->turns[index], s->written, s->turned);
        }
    }
    if (st == GR_OK && s->turns[index]) {
        const gr_weight *t = &s->tensors[index];
        if (take(&s->turned, s->largest_written) != GR_OK)
            return GR_ERR_MEMORY;
        gr_matrix_turn(*data, s->turned, t->shape[1], t->shape[0], (size_t)gr_dtype_width(t->dtype));
        *data = s->turned;
    }
    return st;
}

gr_safetensors_spec gr_store_tensors_spec(gr_store_tensors *s)
{
    static const char *const format[][2] = {{"format", "pt"}};
    return (gr_safetensors_spec){.tensors = s->tensors,
                                 .count = s->count,
                                 .metadata = format,
                                 .metadata_count = 1,
                                 .fetch = gr_store_tensors_fetch,
                                 .user = s};
}
