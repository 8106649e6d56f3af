/* A state_dict out of torch's zip file: what its pickle may name, and tensors out of what it says. */
#include "format/torch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "format/pickle.h"
#include "format/safetensors.h"
#include "format/zip.h"

#define SAVE_ANEW "load it with torch and save the weights alone: torch.save(model.state_dict(), FILE)"

/* ---- what a pickle may name --------------------------------------------------------------------------------- */

enum { NO_DTYPE = -1 };
enum role {
    STORAGE, /* of an element */
    UNTYPED, /* a storage of bytes */
    DTYPE,
    TENSOR_V2, /* storage, offset, size, stride, requires_grad, hooks[, metadata] */
    TENSOR_V3, /* the same with a dtype before the metadata, and an untyped storage */
    WRAPPED,   /* a tensor, and what else an nn.Parameter has */
    TYPED,     /* function, class, arguments, state: a tensor with attributes */
    OTHER,     /* what may stand beside tensors, and is not read */
};

/* dtypes by torch's names. Those that are not known to safetensors are known here, so that their tensors can be told. */
typedef struct element {
    gr_pickle_global storage, dtype;
    int ours;           /* gr_dtype, or NO_DTYPE */
    const char *stored; /* of gr_stored_dtype, or NULL */
    int bytes;
    const char *what;
} element;

#define ELEMENT(storage_name, dtype_name, d, stored_name, size)                                                        \
    {                                                                                                                  \
        {"torch", storage_name, STORAGE, false, false}, {"torch", dtype_name, DTYPE, false, false}, d, stored_name,    \
            size, "a tensor of " dtype_name                                                                            \
    }

static const element elements[] = {
    ELEMENT("DoubleStorage", "float64", GR_F64, NULL, 8),
    ELEMENT("FloatStorage", "float32", GR_F32, NULL, 4),
    ELEMENT("HalfStorage", "float16", GR_F16, NULL, 2),
    ELEMENT("BFloat16Storage", "bfloat16", GR_BF16, NULL, 2),
    ELEMENT("LongStorage", "int64", GR_I64, NULL, 8),
    ELEMENT("IntStorage", "int32", GR_I32, NULL, 4),
    ELEMENT("ByteStorage", "uint8", GR_U8, NULL, 1),
    ELEMENT("BoolStorage", "bool", GR_BOOL, NULL, 1),
    ELEMENT("ShortStorage", "int16", NO_DTYPE, "I16", 2),
    ELEMENT("CharStorage", "int8", NO_DTYPE, "I8", 1),
    ELEMENT("ComplexFloatStorage", "complex64", NO_DTYPE, "C64", 8),
    ELEMENT("ComplexDoubleStorage", "complex128", NO_DTYPE, NULL, 16),
    ELEMENT("", "complex32", NO_DTYPE, NULL, 4),
    ELEMENT("", "uint16", NO_DTYPE, "U16", 2),
    ELEMENT("", "uint32", NO_DTYPE, "U32", 4),
    ELEMENT("", "uint64", NO_DTYPE, "U64", 8),
    ELEMENT("", "float8_e4m3fn", NO_DTYPE, "F8_E4M3", 1),
    ELEMENT("", "float8_e5m2", NO_DTYPE, "F8_E5M2", 1),
    ELEMENT("", "float8_e4m3fnuz", NO_DTYPE, "F8_E4M3FNUZ", 1),
    ELEMENT("", "float8_e5m2fnuz", NO_DTYPE, "F8_E5M2FNUZ", 1),
    ELEMENT("", "float8_e8m0fnu", NO_DTYPE, "F8_E8M0", 1),
};
enum { N_ELEMENTS = sizeof elements / sizeof *elements };

static const gr_pickle_global globals[] = {
    {"collections", "OrderedDict", OTHER, true, true},
    {"torch._utils", "_rebuild_tensor_v2", TENSOR_V2, true, false},
    {"torch._utils", "_rebuild_tensor_v3", TENSOR_V3, true, false},
    {"torch._utils", "_rebuild_parameter", WRAPPED, true, false},
    {"torch._utils", "_rebuild_parameter_with_state", WRAPPED, true, false},
    {"torch._tensor", "_rebuild_from_type_v2", TYPED, true, false},
    {"torch", "Tensor", OTHER, false, false},
    {"torch.nn.parameter", "Parameter", OTHER, false, false},
    {"torch.storage", "UntypedStorage", UNTYPED, false, false},
    {"torch", "UntypedStorage", UNTYPED, false, false},
    {"torch", "Size", OTHER, true, false},
    {"torch", "device", OTHER, true, false},
    {"__builtin__", "set", OTHER, true, false},
    {"builtins", "set", OTHER, true, false},
    {"__builtin__", "complex", OTHER, true, false},
    {"builtins", "complex", OTHER, true, false},
    {"__builtin__", "bytearray", OTHER, true, false},
    {"builtins", "bytearray", OTHER, true, false},
    {"_codecs", "encode", OTHER, true, false}, /* how protocol 2 writes bytes */
};

static bool is_word(const char *text, size_t size, const char *word)
{
    return strlen(word) == size && memcmp(text, word, size) == 0;
}

static const gr_pickle_global *known(const char *module, size_t module_size, const char *name, size_t name_size)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (is_word(module, module_size, globals[i].module) && is_word(name, name_size, globals[i].name))
            return &globals[i];
    bool cuda = is_word(module, module_size, "torch.cuda"); /* of storages; where they were does not matter */
    for (int i = 0; name_size && (cuda || is_word(module, module_size, "torch")) && i < N_ELEMENTS; i++)
        if (is_word(name, name_size, elements[i].storage.name))
            return &elements[i].storage;
        else if (!cuda && is_word(name, name_size, elements[i].dtype.name))
            return &elements[i].dtype;
    return NULL;
}

/* The element that a global of a storage or dtype belongs to. */
static const element *element_of(const gr_pickle_global *g)
{
    for (int i = 0; i < N_ELEMENTS; i++)
        if (g == &elements[i].storage || g == &elements[i].dtype)
            return &elements[i];
    return NULL;
}

/* ---- the file ----------------------------------------------------------------------------------------------- */

/* An entry of the outermost dict. */
typedef struct named {
    const gr_pickle_value *key, *value;
    uint32_t order;
} named;

typedef struct torch_file {
    char *path, *pickle_path; /* "FILE: ARCHIVE/data.pkl" */
    gr_map map;               /* data NULL when the bytes are the caller's */
    gr_zip zip;
    gr_pickle pickle;
    const char *folder; /* what all names in the archive begin with, "ARCHIVE/" */
    size_t folder_size;
    bool is_swapped;      /* written by a machine of the other byte order */
    uint8_t *entry_types; /* [zip.count] the type a storage is read as, 0: not yet */
    named *named;
    char *names;
    gr_weight *tensors;
    gr_not_weight *others;
    uint32_t n_named;
    int count, others_count;
    void **copies;
    size_t n_copies, copies_cap, copied; /* copied: bytes */
} torch_file;

static const gr_zip_entry *find(const torch_file *t, const char *name)
{
    return gr_zip_find(&t->zip, t->folder, t->folder_size, name, strlen(name));
}

/* The archive's name is the folder that data.pkl stands in. */
static gr_status find_folder(torch_file *t)
{
    static const char end[] = "/data.pkl";
    size_t n = sizeof end - 1;
    for (size_t i = 0; i < t->zip.count; i++) {
        const gr_zip_entry *e = &t->zip.entries[i];
        bool is_it = e->name_size > n && memcmp(e->name + e->name_size - n, end, n) == 0;
        if (is_it && memchr(e->name, '/', e->name_size) == e->name + e->name_size - n) {
            t->folder = e->name;
            t->folder_size = e->name_size - n + 1;
            return GR_OK;
        }
    }
    return gr_fail(GR_ERR_FILE,
                   "%s: a zip archive, but none of torch.save: it has no ARCHIVE/data.pkl\ngive what torch.save wrote",
                   t->path);
}

static gr_status read_byte_order(torch_file *t)
{
    const gr_zip_entry *e = find(t, "byteorder");
    const uint16_t one = 1;
    bool is_little = *(const uint8_t *)&one == 1, wrote_little = true;
    if (e) {
        wrote_little = is_word((const char *)e->data, e->size, "little");
        if (!wrote_little && !is_word((const char *)e->data, e->size, "big"))
            return gr_fail(GR_ERR_FILE,
                           "%s: entry \"byteorder\" is neither \"little\" nor \"big\"\nthe file is damaged", t->path);
    }
    t->is_swapped = is_little != wrote_little;
    return GR_OK;
}

/* What a file that is no zip archive is instead. */
static gr_status check_is_zip(const char *path, const uint8_t *p, size_t size)
{
    if (size >= 4 && memcmp(p, "PK\3\4", 4) == 0)
        return GR_OK;
    if (size >= 2 && p[0] == 0x80 && p[1] >= 2 && p[1] <= 5)
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "%s: a bare pickle, as torch.save wrote before PyTorch 1.6 or with "
                       "_use_new_zipfile_serialization=False\n" SAVE_ANEW ", which makes a zip file",
                       path);
    return gr_fail(
        GR_ERR_FILE,
        "%s: no file of torch.save: it does not begin as a zip archive does (file of %zu bytes)\nthe file is "
        "truncated or something else; fetch it again",
        path, size);
}

static gr_status open_archive(torch_file *t, const void *data, size_t size)
{
    if (check_is_zip(t->path, data, size) != GR_OK || gr_zip_open(&t->zip, t->path, data, size) != GR_OK ||
        find_folder(t) != GR_OK)
        return gr_error_status();
    if (find(t, "constants.pkl"))
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "%s: a TorchScript archive, which is a program and its weights\nsave the weights alone: "
                       "torch.save(torch.jit.load(FILE).state_dict(), NEW)",
                       t->path);
    if (gr_zip_check_stored(&t->zip) != GR_OK)
        return gr_error_status();
    const gr_zip_entry *e = find(t, "data.pkl");
    t->pickle_path = gr_strfmt("%s: %.*sdata.pkl", t->path, (int)t->folder_size, t->folder);
    t->entry_types = gr_alloc_zero(t->zip.count + 1, 1);
    if (!t->pickle_path || !t->entry_types || read_byte_order(t) != GR_OK)
        return gr_error_status();
    return gr_pickle_open(&t->pickle, t->pickle_path, e->data, e->size, known);
}

/* ---- storages ----------------------------------------------------------------------------------------------- */

/* Where an error is: the tensor, and the byte of the instruction that made it. */
typedef struct place {
    torch_file *file;
    const char *name;
    uint32_t at;
} place;

static gr_status fail_at(const place *p, const char *why)
{
    char shown[160];
    return gr_fail(GR_ERR_FILE, "%s: byte %u: tensor \"%s\": %s\nthe file is damaged or made to mislead",
                   p->file->pickle_path, p->at, gr_printable(p->name, strlen(p->name), shown, sizeof shown), why);
}

typedef struct storage {
    const gr_zip_entry *entry;
    const element *type; /* NULL: bytes */
    size_t bytes;
} storage;

/* Sizes, strides and counts. */
static bool is_size(const gr_pickle_value *v, int64_t *out)
{
    bool yes = v->kind == GR_PICKLE_INT && v->is.integer >= 0;
    *out = yes ? v->is.integer : 0;
    return yes;
}

/* The entry data/KEY. All tensors of a storage read it as one type. */
static gr_status find_storage(const place *p, const gr_pickle_value *key, storage *s)
{
    torch_file *t = p->file;
    char name[64] = "data/";
    size_t n = strlen(name);
    if (key->kind != GR_PICKLE_TEXT || key->count >= sizeof name - n || memchr(key->is.text, '/', key->count))
        return fail_at(p, "the key of its storage is no plain name");
    memcpy(name + n, key->is.text, key->count);
    s->entry = gr_zip_find(&t->zip, t->folder, t->folder_size, name, n + key->count);
    if (!s->entry)
        return fail_at(p, "its storage is not in the archive");
    if (s->entry->size < s->bytes)
        return fail_at(p, "its storage is shorter than it should be");
    uint8_t *seen = &t->entry_types[s->entry - t->zip.entries], type = 1;
    if (s->type)
        type = (uint8_t)(2 + (s->type - elements));
    if (*seen && *seen != type && s->bytes)
        return fail_at(p, "another tensor reads its storage as another type");
    *seen = type;
    return GR_OK;
}

/* A storage is ('storage', type, key, device, number of elements). */
static gr_status read_storage(const place *p, const gr_pickle_value *v, storage *s)
{
    const gr_pickle_value *part[5];
    int64_t count;
    if (v->kind != GR_PICKLE_PERSISTENT || !gr_pickle_tuple(&p->file->pickle, v->is.call.what, 5, part) ||
        !gr_pickle_is_text(part[0], "storage") || part[1]->kind != GR_PICKLE_GLOBAL)
        return fail_at(p, "its storage is not told as ('storage', type, key, device, size)");
    int role = part[1]->is.global->role;
    if (role != STORAGE && role != UNTYPED)
        return fail_at(p, "the type of its storage is none");
    s->type = role == STORAGE ? element_of(part[1]->is.global) : NULL;
    if (!is_size(part[4], &count) || !gr_mul_size((size_t)count, s->type ? (size_t)s->type->bytes : 1, &s->bytes))
        return fail_at(p, "the size of its storage is no number, negative or too large");
    return find_storage(p, part[2], s);
}

/* ---- tensors ------------------------------------------------------------------------------------------------ */

typedef struct view {
    const uint8_t *data;   /* the first element */
    int ndim, width, unit; /* bytes an element; of these, bytes that are to be turned round together */
    int64_t shape[GR_MAX_DIMS], stride[GR_MAX_DIMS]; /* strides in elements */
    size_t bytes;                                    /* of all elements, each counted */
} view;

/* Every element lies inside of the storage. */
static gr_status check_view(const place *p, view *v, const storage *s, int64_t offset)
{
    size_t last = (size_t)offset, limit = s->bytes / (size_t)v->width;
    bool fits = true, empty = false;
    v->bytes = (size_t)v->width;
    for (int i = 0; i < v->ndim; i++) {
        size_t reach, n = v->shape[i] ? (size_t)v->shape[i] : 1;
        empty |= v->shape[i] == 0;
        fits = fits && gr_mul_size(v->bytes, n, &v->bytes) && gr_mul_size(n - 1, (size_t)v->stride[i], &reach) &&
               gr_add_size(last, reach, &last);
    }
    if (!fits || v->bytes > INT64_MAX)
        return fail_at(p, "the product of its sizes and strides overflows");
    v->data = s->entry->data;
    if (empty)
        v->bytes = 0;
    else if (last >= limit)
        return fail_at(p, "its storage is shorter than its sizes and strides need");
    else
        v->data += (size_t)offset * (size_t)v->width;
    return GR_OK;
}

static bool is_contiguous(const view *v)
{
    int64_t expected = 1;
    for (int i = v->ndim - 1; i >= 0; i--) {
        if (v->shape[i] != 1 && v->stride[i] != expected)
            return false;
        expected *= v->shape[i];
    }
    return true;
}

/* Bytes turned round in each number of `unit` bytes; 1: as they are. */
static void copy_element(uint8_t *to, const uint8_t *from, int width, int unit)
{
    for (int b = 0; b < width; b++)
        to[b] = from[b / unit * unit + unit - 1 - b % unit];
}

/* All elements in the order of the indices. */
static void copy_view(const view *v, uint8_t *to)
{
    int64_t index[GR_MAX_DIMS] = {0}, at = 0;
    for (size_t done = 0; done < v->bytes; done += (size_t)v->width) {
        copy_element(to + done, v->data + at * v->width, v->width, v->unit);
        for (int i = v->ndim - 1; i >= 0; i--) {
            at += v->stride[i];
            if (++index[i] < v->shape[i])
                break;
            at -= v->stride[i] * v->shape[i];
            index[i] = 0;
        }
    }
}

/* Bytes in C's order: where they are, or a copy. Copies are no larger than the file, be they views of one number. */
static gr_status place_bytes(const place *p, const view *v, const void **data)
{
    torch_file *t = p->file;
    *data = v->data;
    if (!v->bytes || (v->unit == 1 && is_contiguous(v)))
        return GR_OK;
    if (v->bytes > t->zip.size - t->copied)
        return fail_at(p, "it is an expanded view, larger than the file when it is written out");
    uint8_t *copy =
        gr_grow(&t->copies, &t->copies_cap, t->n_copies + 1, sizeof *t->copies) == GR_OK ? gr_alloc(v->bytes) : NULL;
    if (!copy)
        return gr_error_status();
    t->copies[t->n_copies++] = copy;
    t->copied += v->bytes;
    copy_view(v, copy);
    *data = copy;
    return GR_OK;
}

/* The call that makes a tensor, found inside of those that wrap one. */
typedef struct maker {
    int role; /* TENSOR_V2, TENSOR_V3; OTHER: the value is no tensor */
    gr_pickle_id arguments;
} maker;

enum { MOST_WRAPS = 8 };

static maker maker_of(const gr_pickle *p, const gr_pickle_value *v)
{
    const gr_pickle_value *part[4];
    for (int i = 0; i < MOST_WRAPS && v->kind == GR_PICKLE_CALL; i++) {
        maker m = {gr_pickle_get(p, v->is.call.what)->is.global->role, v->is.call.arguments};
        if (m.role == TYPED && gr_pickle_tuple(p, m.arguments, 4, part) && part[0]->kind == GR_PICKLE_GLOBAL)
            m = (maker){part[0]->is.global->role, (gr_pickle_id)(part[2] - p->values)};
        if (m.role == TENSOR_V2 || m.role == TENSOR_V3)
            return m;
        if (m.role != WRAPPED || !gr_pickle_tuple(p, m.arguments, 1, part))
            break;
        v = part[0];
    }
    return (maker){.role = OTHER};
}

static gr_status read_dims(const place *p, const gr_pickle_value *size, const gr_pickle_value *stride, view *v)
{
    const gr_pickle *pickle = &p->file->pickle;
    const gr_pickle_value *dims[GR_MAX_DIMS], *steps[GR_MAX_DIMS];
    v->ndim = (int)size->count;
    if (!gr_pickle_tuple(pickle, (gr_pickle_id)(size - pickle->values), size->count, dims) ||
        !gr_pickle_tuple(pickle, (gr_pickle_id)(stride - pickle->values), size->count, steps) ||
        stride->count != size->count)
        return fail_at(p, "its sizes and strides are no tuples of one length");
    for (int i = 0; i < v->ndim; i++)
        if (!is_size(dims[i], &v->shape[i]) || !is_size(steps[i], &v->stride[i]))
            return fail_at(p, "a size or stride is no number, negative or too large");
    return GR_OK;
}

/* Fills *out, or says in *what why the tensor is none that we have. */
static gr_status read_tensor(const place *p, maker m, gr_weight *out, const char **what)
{
    const gr_pickle *pickle = &p->file->pickle;
    const gr_pickle_value *part[8], *made = gr_pickle_get(pickle, m.arguments);
    const uint32_t least = m.role == TENSOR_V3 ? 7 : 6, n = made->count < 8 ? made->count : 8;
    storage s;
    view v = {.ndim = 0};
    int64_t offset;
    *what = NULL;
    if (n < least || !gr_pickle_tuple(pickle, m.arguments, n, part))
        return fail_at(p, "it is not told as (storage, offset, size, stride, requires_grad, hooks)");
    if (read_storage(p, part[0], &s) != GR_OK)
        return gr_error_status();
    if (m.role == TENSOR_V3)
        s.type = part[6]->kind == GR_PICKLE_GLOBAL && part[6]->is.global->role == DTYPE ? element_of(part[6]->is.global)
                                                                                        : NULL;
    if (!s.type)
        return fail_at(p, "it has no dtype");
    if (s.type->ours == NO_DTYPE && !s.type->stored)
        *what = s.type->what;
    else if (n > least && part[least]->kind == GR_PICKLE_DICT && part[least]->count)
        *what = "a conjugated or negated view";
    else if (part[2]->kind == GR_PICKLE_TUPLE && part[2]->count > GR_MAX_DIMS)
        *what = "a tensor of too many dims";
    if (*what)
        return GR_OK;
    if (!is_size(part[1], &offset))
        return fail_at(p, "its offset is no number, negative or too large");
    v.width = s.type->bytes;
    v.unit = !p->file->is_swapped ? 1 : s.type->stored && strcmp(s.type->stored, "C64") == 0 ? 4 : v.width;
    if (read_dims(p, part[2], part[3], &v) != GR_OK || check_view(p, &v, &s, offset) != GR_OK)
        return gr_error_status();
    *out = (gr_weight){.name = p->name, .dtype = GR_U8, .ndim = v.ndim, .bytes = v.bytes};
    if (s.type->stored)
        out->stored = gr_stored_dtype_find(s.type->stored);
    else
        out->dtype = (gr_dtype)s.type->ours;
    memcpy(out->shape, v.shape, sizeof v.shape);
    return place_bytes(p, &v, &out->data);
}

/* ---- the dict ----------------------------------------------------------------------------------------------- */

static int compare_keys(const gr_pickle_value *a, const gr_pickle_value *b)
{
    if (a == b)
        return 0;
    bool x = a->kind == GR_PICKLE_TEXT, y = b->kind == GR_PICKLE_TEXT;
    if (!x || !y)
        return x != y ? x - y : a < b ? -1 : 1;
    int c = memcmp(a->is.text, b->is.text, a->count < b->count ? a->count : b->count);
    return c ? c : a->count < b->count ? -1 : a->count > b->count;
}

static int compare_named(const void *a, const void *b)
{
    const named *x = a, *y = b;
    int c = compare_keys(x->key, y->key);
    return c ? c : x->order < y->order ? -1 : x->order > y->order;
}

/* The dict's entries by name, of each the one that was set last. */
static gr_status list_names(torch_file *t, const gr_pickle_value *dict)
{
    uint32_t n = 0;
    t->named = gr_alloc_zero((size_t)dict->count + 1, sizeof *t->named);
    if (!t->named)
        return gr_error_status();
    for (uint32_t at = dict->is.items.first; at; at = t->pickle.items[at].next, n++)
        t->named[n] = (named){gr_pickle_get(&t->pickle, t->pickle.items[at].key),
                              gr_pickle_get(&t->pickle, t->pickle.items[at].value), n};
    qsort(t->named, n, sizeof *t->named, compare_named);
    for (uint32_t i = 0; i < n; i++)
        if (i + 1 == n || compare_keys(t->named[i].key, t->named[i + 1].key) != 0)
            t->named[t->n_named++] = t->named[i];
    return GR_OK;
}

/* The key as C has texts; *to goes on behind it. */
static gr_status take_name(torch_file *t, const gr_pickle_value *key, char **to, const char **name)
{
    char shown[160];
    *name = gr_pickle_describe(key);
    if (key->kind != GR_PICKLE_TEXT)
        return GR_OK;
    if (memchr(key->is.text, 0, key->count) || !gr_utf8_valid(key->is.text, key->count))
        return gr_fail(GR_ERR_FILE, "%s: byte %u: the name \"%s\" has a NUL in it or is no UTF-8\nthe file is damaged",
                       t->pickle_path, key->at, gr_printable(key->is.text, key->count, shown, sizeof shown));
    memcpy(*to, key->is.text, key->count);
    (*to)[key->count] = '\0';
    *name = *to;
    *to += key->count + 1;
    return GR_OK;
}

static gr_status read_entry(torch_file *t, const named *entry, const char *name)
{
    maker m = maker_of(&t->pickle, entry->value);
    const char *what = NULL;
    place p = {t, name, entry->value->at};
    if (m.role == OTHER || entry->key->kind != GR_PICKLE_TEXT)
        what = gr_pickle_describe(entry->value);
    else if (read_tensor(&p, m, &t->tensors[t->count], &what) != GR_OK)
        return gr_error_status();
    if (what)
        t->others[t->others_count++] = (gr_not_weight){name, what};
    else
        t->count++;
    return GR_OK;
}

static gr_status read_entries(torch_file *t)
{
    size_t text = 1;
    for (uint32_t i = 0; i < t->n_named; i++) /* each key is bytes of the pickle of its own */
        text += t->named[i].key->kind == GR_PICKLE_TEXT ? (size_t)t->named[i].key->count + 1 : 0;
    char *to = t->names = gr_alloc(text);
    t->tensors = gr_alloc_zero((size_t)t->n_named + 1, sizeof *t->tensors);
    t->others = gr_alloc_zero((size_t)t->n_named + 1, sizeof *t->others);
    gr_status s = t->names && t->tensors && t->others ? GR_OK : GR_ERR_MEMORY;
    for (uint32_t i = 0; s == GR_OK && i < t->n_named; i++) {
        const char *name;
        s = take_name(t, t->named[i].key, &to, &name);
        if (s == GR_OK)
            s = read_entry(t, &t->named[i], name);
    }
    return s;
}

/* ---- what is no state_dict ---------------------------------------------------------------------------------- */

enum { MOST_LOOKS = 16, MOST_LISTED = 6 };

static uint32_t count_tensors(const gr_pickle *p, const gr_pickle_value *dict)
{
    uint32_t n = 0;
    for (uint32_t at = dict->is.items.first; at; at = p->items[at].next)
        n += maker_of(p, gr_pickle_get(p, p->items[at].value)).role != OTHER;
    return n;
}

/* "a (a dict), b (a number), ...": the first of what stands beside tensors. */
static void list_others(const torch_file *t, char *text, size_t cap)
{
    size_t at = 0;
    char shown[60];
    text[0] = '\0';
    for (int i = 0; i < t->others_count && at < cap; i++) {
        const gr_not_weight *o = &t->others[i];
        if (i == MOST_LISTED) {
            snprintf(text + at, cap - at, ", ...");
            return;
        }
        at += (size_t)snprintf(text + at, cap - at, "%s\"%s\" (%s)", i ? ", " : "",
                               gr_printable(o->name, strlen(o->name), shown, sizeof shown), o->what);
    }
}

/* Training scripts save a dict of dicts. Which of them are the weights is for the user to say. */
static gr_status check_is_flat(const torch_file *t)
{
    char inside[600], shown[60];
    uint32_t most = 0;
    const gr_pickle_value *where = NULL;
    for (uint32_t i = 0, looks = 0; i < t->n_named && looks < MOST_LOOKS; i++) {
        if (t->named[i].key->kind != GR_PICKLE_TEXT || t->named[i].value->kind != GR_PICKLE_DICT)
            continue;
        uint32_t n = count_tensors(&t->pickle, t->named[i].value);
        looks++;
        if (n > most) {
            most = n;
            where = t->named[i].key;
        }
    }
    list_others(t, inside, sizeof inside);
    if (where && most > (uint32_t)t->count) {
        gr_printable(where->is.text, where->count, shown, sizeof shown);
        return gr_fail(GR_ERR_FILE,
                       "%s: a dict with its tensors one level down: of %s, \"%s\" holds %u tensors\nsave these alone: "
                       "torch.save(torch.load(FILE)[\"%s\"], NEW)",
                       t->path, inside, shown, most, shown);
    }
    if (!t->count)
        return gr_fail(GR_ERR_FILE, "%s: holds no tensors, but %s\n" SAVE_ANEW, t->path,
                       inside[0] ? inside : "an empty dict");
    return GR_OK;
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

static gr_status read_file(torch_file *t, const void *data, size_t size)
{
    if (open_archive(t, data, size) != GR_OK)
        return gr_error_status();
    const gr_pickle_value *root = gr_pickle_get(&t->pickle, t->pickle.root);
    if (root->kind != GR_PICKLE_DICT)
        return gr_fail(GR_ERR_FILE, "%s: holds %s where a dict of tensors should be\n" SAVE_ANEW, t->path,
                       maker_of(&t->pickle, root).role != OTHER ? "a tensor" : gr_pickle_describe(root));
    if (list_names(t, root) != GR_OK || read_entries(t) != GR_OK || check_is_flat(t) != GR_OK)
        return gr_error_status();
    /* What is kept are tensors; the machine that found them is not. */
    gr_pickle_close(&t->pickle);
    gr_free(t->named);
    t->named = NULL;
    return GR_OK;
}

static void close_file(void *self)
{
    torch_file *t = self;
    gr_pickle_close(&t->pickle);
    gr_zip_close(&t->zip);
    gr_map_close(&t->map);
    for (size_t i = 0; i < t->n_copies; i++)
        gr_free(t->copies[i]);
    gr_free(t->copies);
    gr_free(t->named);
    gr_free(t->names);
    gr_free(t->tensors);
    gr_free(t->others);
    gr_free(t->entry_types);
    gr_free(t->pickle_path);
    gr_free(t->path);
    gr_free(t);
}

static gr_status check_file(const void *self)
{
    return gr_zip_check(&((const torch_file *)self)->zip);
}

/* Takes the mapping over. */
static gr_status open_bytes(const char *path, gr_map map, const void *data, size_t size, gr_source *out)
{
    torch_file *t = gr_alloc_zero(1, sizeof *t);
    *out = (gr_source){0};
    if (!t) {
        gr_map_close(&map);
        return gr_error_status();
    }
    t->map = map;
    t->path = gr_strdup(path);
    if (!t->path || read_file(t, data, size) != GR_OK) {
        close_file(t);
        return gr_error_status();
    }
    *out = (gr_source){.path = t->path,
                       .format = "torch",
                       .tensors = t->tensors,
                       .count = t->count,
                       .others = t->others,
                       .others_count = t->others_count,
                       .self = t,
                       .check = check_file,
                       .close = close_file};
    return GR_OK;
}

gr_status gr_torch_open(const char *path, gr_source *out)
{
    gr_map map = {0};
    return gr_map_open(path, &map) == GR_OK ? open_bytes(path, map, map.data, map.size, out) : gr_error_status();
}

gr_status gr_torch_parse(const char *path, const void *data, size_t size, gr_source *out)
{
    return open_bytes(path, (gr_map){0}, data, size, out);
}
