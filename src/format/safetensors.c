/* One safetensors file: reading a header that may lie, and writing. The models made of them are in weights.c. */
#include "format/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/dtype.h"
#include "base/file.h"
#include "base/mem.h"

#define LENGTH_BYTES 8 /* the header's length, little-endian */
#define DATA_ALIGN 64  /* where we let the data start */

struct gr_safetensors {
    char *name;
    gr_map map; /* data NULL when the bytes are the caller's */
    const uint8_t *bytes;
    size_t size, header_size; /* header_size: with the 8 bytes of length */
    gr_json_doc *header;      /* names and metadata point into it */
    gr_weight *tensors;       /* by place in the file */
    const gr_weight **by_name;
    int count;
};

/* ---- reading ------------------------------------------------------------------------------------------------ */

static uint64_t load_u64(const uint8_t *p)
{
    uint64_t x = 0;
    for (int i = 7; i >= 0; i--)
        x = x << 8 | p[i];
    return x;
}

/* Checks the length and gives the header's text. */
static gr_status find_header(gr_safetensors *st, const char **text, size_t *length)
{
    if (st->size < LENGTH_BYTES)
        return gr_fail(GR_ERR_FILE,
                       "%s: %zu bytes are too few for a safetensors file, which starts with 8 bytes of header length\n"
                       "the file is truncated; fetch it again",
                       st->name, st->size);
    uint64_t n = load_u64(st->bytes);
    size_t left = st->size - LENGTH_BYTES;
    const char *why = NULL;
    if (n < 2)
        why = "too short for a JSON object";
    else if (n > GR_JSON_LIMIT)
        why = "more than the 100 MB allowed";
    else if (n > left)
        why = "past the end of the file";
    else if (st->bytes[LENGTH_BYTES] != '{')
        why = "and the header does not start with '{'";
    if (why)
        return gr_fail(GR_ERR_FILE,
                       "%s: header length %llu %s (byte 0, file of %zu bytes)\n"
                       "the file is truncated or no safetensors file; fetch it again",
                       st->name, (unsigned long long)n, why, st->size);
    *text = (const char *)st->bytes + LENGTH_BYTES;
    *length = (size_t)n;
    st->header_size = LENGTH_BYTES + *length;
    return GR_OK;
}

/* Metadata is strings by strings; anything else is refused. */
static void check_metadata(gr_json metadata)
{
    gr_json_as_object(metadata);
    for (gr_json_iter it = gr_json_first(metadata); it.key; gr_json_next(&it))
        gr_json_as_text(it.value, NULL);
}

static void read_dtype(gr_json v, gr_weight *t)
{
    const char *name = gr_json_as_text(v, NULL);
    char shown[32];
    if (gr_json_check(v.doc) != GR_OK || gr_dtype_from_safetensors(name, &t->dtype))
        return;
    t->dtype = GR_U8;
    t->stored = gr_stored_dtype_find(name);
    if (!t->stored)
        gr_json_fail(v, "there is no dtype %s in safetensors files\nthe file is damaged, or made by a newer program",
                     gr_printable(name, strlen(name), shown, sizeof shown));
}

/* *bytes of a dtype that only files have, counted in bits. */
static void stored_size(gr_json v, const gr_weight *t, size_t *bytes)
{
    size_t total = (size_t)t->stored->bits;
    bool fits = true, empty = false;
    for (int i = 0; i < t->ndim; i++) {
        /* A 0 among the dims must not hide an overflow of the others. */
        empty |= t->shape[i] == 0;
        fits = fits && gr_mul_size(total, t->shape[i] ? (size_t)t->shape[i] : 1, &total);
    }
    if (!fits || total > INT64_MAX)
        gr_json_fail(v, "the product of the dims overflows\nthe file is damaged; fetch it again");
    else if (total % 8 && !empty)
        gr_json_fail(v, "%zu bits of %s are no whole bytes\nthe file is damaged; fetch it again", total,
                     t->stored->name);
    *bytes = empty ? 0 : total / 8;
}

/* Shape, and *bytes = what it takes with the dtype. */
static void read_shape(gr_json v, gr_weight *t, size_t *bytes)
{
    size_t n = gr_json_size(gr_json_as_array(v));
    *bytes = 0;
    if (gr_json_check(v.doc) != GR_OK)
        return;
    if (n > GR_MAX_DIMS) {
        gr_json_fail(v, "%zu dims, more than the %d supported", n, GR_MAX_DIMS);
        return;
    }
    char why[128];
    t->ndim = (int)n;
    for (int i = 0; i < t->ndim; i++)
        t->shape[i] = gr_json_as_int(gr_json_item(v, (size_t)i), 0, INT64_MAX);
    if (gr_json_check(v.doc) != GR_OK)
        return;
    if (t->stored)
        stored_size(v, t, bytes);
    else if (gr_dtype_shape_fault(t->dtype, t->ndim, t->shape, why, sizeof why))
        gr_json_fail(v, "%s\nthe file is damaged; fetch it again", why);
    else
        gr_dtype_shape_size(t->dtype, t->ndim, t->shape, bytes);
}

/* One entry of the header. Fails into the document. */
static void read_tensor(const gr_safetensors *st, const gr_json_iter *it, gr_weight *t)
{
    gr_json info = gr_json_as_object(it->value);
    size_t need, room = st->size - st->header_size;
    gr_json offsets = gr_json_get(info, "data_offsets");
    t->name = it->key;
    read_dtype(gr_json_get(info, "dtype"), t);
    if (gr_json_check(it->object.doc) != GR_OK)
        return;
    read_shape(gr_json_get(info, "shape"), t, &need);
    if (gr_json_size(gr_json_as_array(offsets)) != 2)
        gr_json_fail(offsets, "expected two offsets, begin and end\nthe file is damaged; fetch it again");
    uint64_t begin = (uint64_t)gr_json_as_int(gr_json_item(offsets, 0), 0, INT64_MAX);
    uint64_t end = (uint64_t)gr_json_as_int(gr_json_item(offsets, 1), 0, INT64_MAX);
    if (begin > end)
        gr_json_fail(offsets,
                     "the offsets are reversed: begin %llu is after end %llu\nthe file is damaged; fetch it again",
                     (unsigned long long)begin, (unsigned long long)end);
    else if (end > room)
        gr_json_fail(offsets,
                     "end %llu is beyond the %zu bytes of data\nthe file is truncated or damaged; fetch it again",
                     (unsigned long long)end, room);
    else if (end - begin != need)
        gr_json_fail(offsets, "%llu bytes, but dtype and shape need %zu\nthe file is damaged; fetch it again",
                     (unsigned long long)(end - begin), need);
    else if (gr_json_size(info) != 3)
        gr_json_fail(it->value,
                     "keys other than dtype, shape and data_offsets\nthe file is damaged, or made by a newer program");
    else {
        t->data = st->bytes + st->header_size + begin;
        t->bytes = need;
    }
}

static int compare_place(const void *a, const void *b)
{
    const gr_weight *x = a, *y = b;
    const char *p = x->data, *q = y->data;
    if (p != q)
        return p < q ? -1 : 1;
    /* Empty tensors stand before the one that starts at the same place. */
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int compare_name(const void *a, const void *b)
{
    return strcmp((*(const gr_weight *const *)a)->name, (*(const gr_weight *const *)b)->name);
}

/* Every byte of the data belongs to exactly one tensor: a gap or a tail could hide another file in this one. */
static gr_status check_tiling(const gr_safetensors *st)
{
    const uint8_t *base = st->bytes + st->header_size;
    size_t at = 0;
    char shown[160];
    for (int i = 0; i < st->count; i++) {
        const gr_weight *t = &st->tensors[i];
        size_t begin = (size_t)((const uint8_t *)t->data - base);
        if (begin != at)
            return gr_fail(GR_ERR_FILE,
                           "%s: tensor \"%s\" starts at data offset %zu, but %s %zu\n"
                           "the file is damaged or made to mislead; fetch it again",
                           st->name, gr_printable(t->name, strlen(t->name), shown, sizeof shown), begin,
                           begin < at ? "overlaps the one before, which ends at" : "leaves a gap behind", at);
        at = begin + t->bytes;
    }
    size_t room = st->size - st->header_size;
    if (at != room)
        return gr_fail(GR_ERR_FILE,
                       "%s: %zu trailing bytes after the last tensor (data offset %zu)\n"
                       "the file is damaged or made to mislead; fetch it again",
                       st->name, room - at, at);
    return GR_OK;
}

static gr_status read_header(gr_safetensors *st)
{
    const char *text = NULL;
    size_t length = 0;
    if (find_header(st, &text, &length) != GR_OK)
        return gr_error_status();
    st->header = gr_json_parse(st->name, text, length);
    if (!st->header)
        return gr_error_status();
    gr_json root = gr_json_as_object(gr_json_root(st->header));
    size_t n = gr_json_size(root); /* bounded by the header's length, which is bounded by the file's */
    st->tensors = gr_alloc_zero(n + 1, sizeof *st->tensors);
    st->by_name = gr_alloc_zero(n + 1, sizeof *st->by_name);
    if (!st->tensors || !st->by_name)
        return gr_error_status();
    for (gr_json_iter it = gr_json_first(root); it.key && gr_json_check(st->header) == GR_OK; gr_json_next(&it)) {
        if (strcmp(it.key, "__metadata__") == 0)
            check_metadata(it.value);
        else
            read_tensor(st, &it, &st->tensors[st->count++]);
    }
    if (gr_json_unique(st->header) != GR_OK)
        return gr_error_status();
    qsort(st->tensors, (size_t)st->count, sizeof *st->tensors, compare_place);
    for (int i = 0; i < st->count; i++)
        st->by_name[i] = &st->tensors[i];
    qsort(st->by_name, (size_t)st->count, sizeof *st->by_name, compare_name);
    return check_tiling(st);
}

/* Takes the mapping over. */
static gr_safetensors *open_bytes(const char *name, gr_map map, const void *data, size_t size)
{
    gr_safetensors *st = gr_alloc_zero(1, sizeof *st);
    if (!st) {
        gr_map_close(&map);
        return NULL;
    }
    st->map = map;
    st->bytes = data;
    st->size = size;
    st->name = gr_strdup(name);
    if (st->name && read_header(st) == GR_OK)
        return st;
    gr_safetensors_close(st);
    return NULL;
}

gr_safetensors *gr_safetensors_open(const char *path)
{
    gr_map map = {0};
    return gr_map_open(path, &map) == GR_OK ? open_bytes(path, map, map.data, map.size) : NULL;
}

gr_safetensors *gr_safetensors_parse(const char *name, const void *data, size_t size)
{
    return open_bytes(name, (gr_map){0}, data, size);
}

static void close_source(void *self)
{
    gr_safetensors_close(self);
}

gr_status gr_safetensors_source(const char *path, gr_source *out)
{
    gr_safetensors *st = gr_safetensors_open(path);
    *out = (gr_source){0};
    if (!st)
        return gr_error_status();
    *out = (gr_source){.path = st->name,
                       .format = "safetensors",
                       .tensors = st->tensors,
                       .count = st->count,
                       .self = st,
                       .close = close_source};
    return GR_OK;
}

void gr_safetensors_close(gr_safetensors *st)
{
    if (!st)
        return;
    gr_json_free(st->header);
    gr_map_close(&st->map);
    gr_free(st->tensors);
    gr_free(st->by_name);
    gr_free(st->name);
    gr_free(st);
}

const char *gr_safetensors_name(const gr_safetensors *st)
{
    return st->name;
}

int gr_safetensors_count(const gr_safetensors *st)
{
    return st->count;
}

const gr_weight *gr_safetensors_entry(const gr_safetensors *st, int i)
{
    return &st->tensors[i];
}

const gr_weight *gr_safetensors_find(const gr_safetensors *st, const char *name)
{
    const gr_weight wanted = {.name = name}, *key = &wanted;
    const gr_weight **found = bsearch(&key, st->by_name, (size_t)st->count, sizeof *st->by_name, compare_name);
    return found ? *found : NULL;
}

const char *gr_safetensors_metadata(const gr_safetensors *st, const char *key)
{
    return gr_json_text(gr_json_get(gr_json_root(st->header), "__metadata__"), key, NULL);
}

const void *gr_safetensors_header(const gr_safetensors *st, size_t *size)
{
    *size = st->header_size;
    return st->bytes;
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

typedef struct plan_item {
    const gr_weight *tensor;
    int index; /* in the spec */
    size_t bytes;
} plan_item;

/* Larger elements first keeps every tensor aligned to its own; names make the order, and so the file, unique. */
static int compare_plan(const void *a, const void *b)
{
    const gr_weight *x = ((const plan_item *)a)->tensor, *y = ((const plan_item *)b)->tensor;
    int dx = gr_dtype_get(x->dtype)->align, dy = gr_dtype_get(y->dtype)->align;
    return dx != dy ? dy - dx : strcmp(x->name, y->name);
}

/* Bytes of a tensor that is to be written. */
static gr_status tensor_bytes(const gr_weight *t, size_t *out)
{
    char why[128];
    if (gr_dtype_shape_fault(t->dtype, t->ndim, t->shape, why, sizeof why))
        return gr_fail(GR_ERR_ARGUMENT, "tensor \"%s\": %s", t->name, why);
    gr_dtype_shape_size(t->dtype, t->ndim, t->shape, out);
    return GR_OK;
}

static gr_status make_plan(const gr_safetensors_spec *spec, plan_item *plan)
{
    for (int i = 0; i < spec->count; i++) {
        plan[i] = (plan_item){&spec->tensors[i], i, 0};
        if (tensor_bytes(plan[i].tensor, &plan[i].bytes) != GR_OK)
            return gr_error_status();
    }
    qsort(plan, (size_t)spec->count, sizeof *plan, compare_plan);
    return GR_OK;
}

static gr_json_doc *make_header(const char *path, const gr_safetensors_spec *spec, const plan_item *plan)
{
    gr_json_doc *doc = gr_json_new(path);
    gr_json root = gr_json_root(doc);
    size_t at = 0;
    if (!doc)
        return NULL;
    if (spec->metadata_count) {
        gr_json metadata = gr_json_put_object(root, "__metadata__");
        for (int i = 0; i < spec->metadata_count; i++)
            gr_json_put_text(metadata, spec->metadata[i][0], spec->metadata[i][1]);
    }
    for (int i = 0; i < spec->count; i++) {
        const gr_weight *t = plan[i].tensor;
        if (gr_json_is(gr_json_get(root, t->name)) || strcmp(t->name, "__metadata__") == 0)
            gr_json_fail(gr_json_get(root, t->name), "two tensors of this name, or a name that is taken");
        gr_json entry = gr_json_put_object(root, t->name);
        gr_json_put_text(entry, "dtype", t->stored ? t->stored->name : gr_dtype_get(t->dtype)->safetensors);
        gr_json shape = gr_json_put_array(entry, "shape");
        for (int d = 0; d < t->ndim; d++)
            gr_json_put_int(shape, NULL, t->shape[d]);
        gr_json offsets = gr_json_put_array(entry, "data_offsets");
        gr_json_put_int(offsets, NULL, (int64_t)at);
        if (!gr_add_size(at, plan[i].bytes, &at) || at > INT64_MAX)
            gr_json_fail(entry, "the sum of all tensors overflows");
        gr_json_put_int(offsets, NULL, (int64_t)at);
    }
    return doc;
}

/* Length, header and the spaces that bring the data to its alignment. *out is freed by the caller. */
static gr_status format_header(gr_json_doc *doc, char **out, size_t *size)
{
    size_t text_size, total;
    char *text = gr_json_format(doc, false, &text_size);
    if (!text)
        return gr_error_status();
    if (text_size > GR_JSON_LIMIT - DATA_ALIGN) {
        gr_free(text);
        return gr_fail(GR_ERR_ARGUMENT, "the header would be %zu bytes, more than the format's 100 MB\nwrite shards",
                       text_size);
    }
    total = (LENGTH_BYTES + text_size + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN;
    *out = gr_alloc(total);
    if (*out) {
        for (int i = 0; i < LENGTH_BYTES; i++)
            (*out)[i] = (char)((uint64_t)(total - LENGTH_BYTES) >> 8 * i);
        memset(*out + LENGTH_BYTES, ' ', total - LENGTH_BYTES);
        memcpy(*out + LENGTH_BYTES, text, text_size);
        *size = total;
    }
    gr_free(text);
    return *out ? GR_OK : gr_error_status();
}

static void tell(const gr_safetensors_spec *spec, const char *path, int index, const void *data, size_t size)
{
    if (spec->written)
        spec->written(spec->user, path, index, gr_checksum(data, size));
}

static gr_status write_data(gr_writer *w, const char *path, const gr_safetensors_spec *spec, const plan_item *plan)
{
    for (int i = 0; i < spec->count; i++) {
        const void *data = plan[i].tensor->data;
        gr_status s = data || !spec->fetch ? GR_OK : spec->fetch(spec->user, plan[i].index, &data);
        if (s != GR_OK)
            return gr_fail_in("tensor \"%s\"", plan[i].tensor->name);
        if (!data && plan[i].bytes)
            return gr_fail(GR_ERR_ARGUMENT, "tensor \"%s\": no bytes were given to write", plan[i].tensor->name);
        tell(spec, path, plan[i].index, data, plan[i].bytes);
        if (plan[i].bytes && gr_writer_write(w, data, plan[i].bytes) != GR_OK)
            return gr_error_status();
    }
    return GR_OK;
}

/* With the plan and the header made. */
static gr_status write_file(const char *path, const gr_safetensors_spec *spec, const plan_item *plan,
                            const void *header, size_t size)
{
    gr_writer *w = gr_writer_open(path);
    if (!w)
        return gr_error_status();
    tell(spec, path, -1, header, size);
    if (gr_writer_write(w, header, size) == GR_OK && write_data(w, path, spec, plan) == GR_OK)
        return gr_writer_commit(w);
    gr_status s = gr_error_status();
    gr_writer_cancel(w);
    return s;
}

gr_status gr_safetensors_write(const char *path, const gr_safetensors_spec *spec)
{
    char *header = NULL;
    size_t size = 0;
    plan_item *plan = gr_alloc_zero((size_t)spec->count + 1, sizeof *plan);
    gr_json_doc *doc = plan && make_plan(spec, plan) == GR_OK ? make_header(path, spec, plan) : NULL;
    gr_status s = doc ? format_header(doc, &header, &size) : gr_error_status();
    if (s == GR_OK)
        s = write_file(path, spec, plan, header, size);
    gr_json_free(doc);
    gr_free(header);
    gr_free(plan);
    return s;
}

/* ---- for programs ------------------------------------------------------------------------------------------- */

static void take_array(gr_weight *w, const gr_array *a)
{
    *w = (gr_weight){.name = a->name, .dtype = a->dtype, .ndim = a->ndim, .data = a->data};
    memcpy(w->shape, a->shape, sizeof w->shape);
}

static gr_status check_array(const gr_array *a)
{
    if (gr_lacks(a->name, "gr_arrays_save: name") || gr_lacks(a->data, "gr_arrays_save: data"))
        return GR_ERR_ARGUMENT;
    if (!gr_dtype_name(a->dtype) || a->ndim < 0 || a->ndim > GR_MAX_DIMS)
        return gr_fail(GR_ERR_ARGUMENT, "gr_arrays_save: \"%s\" has no dtype, or %d dims\nthere may be %d", a->name,
                       a->ndim, GR_MAX_DIMS);
    return GR_OK;
}

gr_status gr_arrays_save(const char *path, const gr_array *arrays, int n, const char *producer)
{
    const char *const metadata[][2] = {{"format", "pt"}, {"producer", producer}};
    gr_status s = GR_OK;
    if (gr_lacks(path, "gr_arrays_save: path") || (n > 0 && gr_lacks(arrays, "gr_arrays_save: arrays")))
        return GR_ERR_ARGUMENT;
    gr_weight *list = gr_alloc_zero((size_t)(n > 0 ? n : 1), sizeof *list);
    if (!list)
        return GR_ERR_MEMORY;
    for (int i = 0; s == GR_OK && i < n; i++) {
        s = check_array(&arrays[i]);
        take_array(&list[i], &arrays[i]);
    }
    gr_safetensors_spec spec = {.tensors = list, .count = n > 0 ? n : 0, .metadata = metadata};
    spec.metadata_count = producer ? 2 : 1;
    s = s == GR_OK ? gr_safetensors_write(path, &spec) : s;
    gr_free(list);
    return s;
}
