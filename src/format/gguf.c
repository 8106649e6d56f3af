/* Reading one GGUF file, which may lie. The models made of one or more are in weights.c. */
#include "format/gguf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "format/safetensors.h"

#define AGAIN "\nthe file is truncated or damaged: fetch it again"

enum {
    HEADER_BYTES = 24,     /* magic, version, counts of tensors and keys */
    LEAST_KEY = 8 + 4 + 1, /* bytes that a key takes at least, */
    LEAST_TENSOR = 8 + 4 + 4 + 8,
    LONGEST_KEY = 65535, /* by the format */
    MOST_DIMS = 4,
    USUAL_ALIGNMENT = 32,
};

struct gr_gguf {
    char *name;
    gr_map map; /* data NULL when the bytes are the caller's */
    const uint8_t *bytes;
    size_t size, alignment;
    gr_gguf_key *keys;
    const gr_gguf_key **by_name;
    int n_keys;
    gr_weight *tensors;
    int n_tensors;
    char *names; /* of keys and tensors, each with a NUL behind it */
    size_t names_used;
};

/* ---- the bytes ---------------------------------------------------------------------------------------------- */

/* Where reading has got to. */
typedef struct reader {
    gr_gguf *g;
    size_t at;
} reader;

static uint64_t load(const uint8_t *p, int bytes)
{
    uint64_t x = 0;
    for (int i = bytes - 1; i >= 0; i--)
        x = x << 8 | p[i];
    return x;
}

static size_t left(const reader *r)
{
    return r->g->size - r->at;
}

static bool take(reader *r, int bytes, uint64_t *out)
{
    if (left(r) < (size_t)bytes)
        return false;
    *out = load(r->g->bytes + r->at, bytes);
    r->at += (size_t)bytes;
    return true;
}

static gr_status fail_end(const reader *r, const char *what)
{
    return gr_fail(GR_ERR_FILE, "%s: the file of %zu bytes ends in %s (byte %zu)" AGAIN, r->g->name, r->g->size, what,
                   r->at);
}

/* A text's length and bytes, which stay where they are. */
static gr_status take_text(reader *r, const char *what, gr_gguf_text *out)
{
    uint64_t n;
    size_t begin = r->at;
    if (!take(r, 8, &n))
        return fail_end(r, what);
    if (n > left(r))
        return gr_fail(GR_ERR_FILE, "%s: %s is %llu bytes long, and %zu are left of the file (byte %zu)" AGAIN,
                       r->g->name, what, (unsigned long long)n, left(r), begin);
    *out = (gr_gguf_text){(const char *)r->g->bytes + r->at, (size_t)n};
    r->at += (size_t)n;
    return GR_OK;
}

/* The name of a key or a tensor, copied. */
static gr_status take_name(reader *r, const char *what, size_t longest, const char **out)
{
    gr_gguf_text t;
    size_t begin = r->at;
    if (take_text(r, what, &t) != GR_OK)
        return gr_error_status();
    const char *why = t.size == 0                                                   ? "is empty"
                      : t.size > longest                                            ? "is too long"
                      : memchr(t.data, 0, t.size) || !gr_utf8_valid(t.data, t.size) ? "is no text"
                                                                                    : NULL;
    if (why)
        return gr_fail(GR_ERR_FILE, "%s: %s of %zu bytes %s, at most %zu are allowed (byte %zu)" AGAIN, r->g->name,
                       what, t.size, why, longest, begin);
    char *to = r->g->names + r->g->names_used; /* there is room: names are shorter than what the file has for them */
    memcpy(to, t.data, t.size);
    to[t.size] = '\0';
    r->g->names_used += t.size + 1;
    *out = to;
    return GR_OK;
}

/* ---- keys --------------------------------------------------------------------------------------------------- */

/* Bytes of one value; 0: texts and arrays, which say it. */
static size_t width(gr_gguf_type t)
{
    static const uint8_t bytes[GR_GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return bytes[t];
}

static gr_status take_type(reader *r, const gr_gguf_key *k, gr_gguf_type *out)
{
    uint64_t type;
    size_t begin = r->at;
    if (!take(r, 4, &type))
        return fail_end(r, "a key's type");
    if (type >= GR_GGUF_TYPES)
        return gr_fail(GR_ERR_FILE, "%s: key \"%s\" is of type %lld, and there are types 0 to %d (byte %zu)" AGAIN,
                       r->g->name, k->name, (long long)(int32_t)type, GR_GGUF_TYPES - 1, begin);
    *out = (gr_gguf_type)type;
    return GR_OK;
}

static gr_status take_count(reader *r, gr_gguf_key *k)
{
    uint64_t n;
    size_t begin = r->at, least = k->type == GR_GGUF_TEXT ? 8 : width(k->type);
    if (!take(r, 8, &n))
        return fail_end(r, "an array's length");
    if (k->type == GR_GGUF_ARRAY)
        return gr_fail(GR_ERR_UNSUPPORTED, "%s: key \"%s\" is an array of arrays, which nobody writes (byte %zu)" AGAIN,
                       r->g->name, k->name, begin);
    if (n > left(r) / least)
        return gr_fail(GR_ERR_FILE,
                       "%s: key \"%s\" has %llu values, and %zu bytes are left of the file (byte %zu)" AGAIN,
                       r->g->name, k->name, (unsigned long long)n, left(r), begin);
    k->count = (size_t)n;
    return GR_OK;
}

static gr_status take_values(reader *r, gr_gguf_key *k)
{
    gr_gguf_text text;
    size_t bytes = width(k->type) * k->count;
    k->data = r->g->bytes + r->at;
    for (size_t i = 0; k->type == GR_GGUF_TEXT && i < k->count; i++)
        if (take_text(r, "a key's text", &text) != GR_OK)
            return gr_fail_in("key \"%s\"", k->name);
    if (bytes > left(r))
        return fail_end(r, "a key's value");
    for (size_t i = 0; k->type == GR_GGUF_BOOL && i < bytes; i++)
        if (k->data[i] > 1)
            return gr_fail(GR_ERR_FILE, "%s: key \"%s\" is a bool of %d (byte %zu)" AGAIN, r->g->name, k->name,
                           k->data[i], r->at + i);
    r->at += bytes;
    k->bytes = (size_t)(r->g->bytes + r->at - k->data);
    return GR_OK;
}

static gr_status take_key(reader *r, gr_gguf_key *k)
{
    k->at = r->at;
    k->count = 1;
    gr_status s = take_name(r, "a key", LONGEST_KEY, &k->name);
    if (s == GR_OK)
        s = take_type(r, k, &k->type);
    k->is_array = s == GR_OK && k->type == GR_GGUF_ARRAY;
    if (k->is_array)
        s = take_type(r, k, &k->type);
    if (s == GR_OK && k->is_array)
        s = take_count(r, k);
    return s == GR_OK ? take_values(r, k) : s;
}

static int compare_key(const void *a, const void *b)
{
    return strcmp((*(const gr_gguf_key *const *)a)->name, (*(const gr_gguf_key *const *)b)->name);
}

static gr_status take_keys(reader *r, uint64_t n)
{
    gr_gguf *g = r->g;
    gr_status s = GR_OK;
    g->keys = gr_alloc_zero((size_t)n + 1, sizeof *g->keys);
    g->by_name = gr_alloc_zero((size_t)n + 1, sizeof *g->by_name);
    if (!g->keys || !g->by_name)
        return GR_ERR_MEMORY;
    for (; s == GR_OK && g->n_keys < (int)n; g->n_keys++) {
        s = take_key(r, &g->keys[g->n_keys]);
        g->by_name[g->n_keys] = &g->keys[g->n_keys];
    }
    if (s != GR_OK)
        return s;
    qsort(g->by_name, (size_t)n, sizeof *g->by_name, compare_key);
    for (int i = 1; i < g->n_keys; i++)
        if (strcmp(g->by_name[i]->name, g->by_name[i - 1]->name) == 0)
            return gr_fail(GR_ERR_FILE,
                           "%s: key \"%s\" is there twice (bytes %zu and %zu)\nfetch the file again, or "
                           "have it made again",
                           g->name, g->by_name[i]->name, g->by_name[i - 1]->at, g->by_name[i]->at);
    return GR_OK;
}

static gr_status take_alignment(gr_gguf *g)
{
    const gr_gguf_key *k = gr_gguf_find(g, "general.alignment");
    int64_t n = USUAL_ALIGNMENT;
    if (k && (!gr_gguf_int(k, 0, &n) || n <= 0 || n > 1 << 30 || (n & (n - 1))))
        return gr_fail(GR_ERR_FILE, "%s: key \"general.alignment\" must be a power of 2 up to 2^30 (byte %zu)" AGAIN,
                       g->name, k->at);
    g->alignment = (size_t)n;
    return GR_OK;
}

/* ---- tensors ------------------------------------------------------------------------------------------------ */

static gr_status take_shape(reader *r, gr_weight *t)
{
    uint64_t n, dim;
    size_t begin = r->at;
    if (!take(r, 4, &n))
        return fail_end(r, "a tensor's dims");
    if (n > MOST_DIMS)
        return gr_fail(GR_ERR_FILE, "%s: tensor \"%s\" has %llu dims, and at most %d are allowed (byte %zu)" AGAIN,
                       r->g->name, t->name, (unsigned long long)n, MOST_DIMS, begin);
    t->ndim = (int)n;
    for (int i = t->ndim - 1; i >= 0; i--) { /* the file has the innermost first */
        if (!take(r, 8, &dim))
            return fail_end(r, "a tensor's dims");
        if (dim > INT64_MAX)
            return gr_fail(GR_ERR_FILE, "%s: tensor \"%s\" has a dim of %lld (byte %zu)" AGAIN, r->g->name, t->name,
                           (long long)dim, r->at - 8);
        t->shape[i] = (int64_t)dim;
    }
    return GR_OK;
}

/* The size of what has whole blocks along its last dim. */
static gr_status size_of(const gr_gguf *g, gr_weight *t, int block, int block_bytes)
{
    int64_t row = t->ndim ? t->shape[t->ndim - 1] : 1;
    size_t blocks = (size_t)(row / block);
    bool fits = true, empty = row == 0;
    if (row % block)
        return gr_fail(
            GR_ERR_FILE,
            "%s: tensor \"%s\" has rows of %lld values, no multiple of %d, the values in a block of %s" AGAIN, g->name,
            t->name, (long long)row, block, gr_weight_dtype_name(t));
    for (int i = 0; i + 1 < t->ndim; i++) { /* a 0 among the dims must not hide an overflow of the others */
        empty |= t->shape[i] == 0;
        fits = fits && gr_mul_size(blocks ? blocks : 1, t->shape[i] ? (size_t)t->shape[i] : 1, &blocks);
    }
    fits = fits && gr_mul_size(blocks, (size_t)block_bytes, &t->bytes) && t->bytes <= INT64_MAX;
    if (!fits)
        return gr_fail(GR_ERR_FILE, "%s: tensor \"%s\": the product of the dims overflows" AGAIN, g->name, t->name);
    t->bytes = empty ? 0 : t->bytes;
    return GR_OK;
}

/* What once was, and what only passes through ggml's memory. */
static const char *gone(uint64_t number)
{
    static const struct {
        uint8_t number;
        const char *name;
    } list[] = {{4, "Q4_2"},      {5, "Q4_3"},      {9, "Q8_1"},        {15, "Q8_K"},       {31, "Q4_0_4_4"},
                {32, "Q4_0_4_8"}, {33, "Q4_0_8_8"}, {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i].number == number)
            return list[i].name;
    return NULL;
}

static gr_status take_tensor_type(reader *r, gr_weight *t)
{
    enum { I8 = 24, I16 = 25 }; /* integers that no dtype is for */
    uint64_t number;
    size_t begin = r->at;
    if (!take(r, 4, &number))
        return fail_end(r, "a tensor's type");
    if (gr_dtype_from_ggml((uint32_t)number, &t->dtype))
        return size_of(r->g, t, gr_dtype_get(t->dtype)->block, gr_dtype_get(t->dtype)->block_bytes);
    t->dtype = GR_U8;
    t->stored = number == I8 || number == I16 ? gr_stored_dtype_find(number == I8 ? "I8" : "I16") : NULL;
    if (t->stored)
        return size_of(r->g, t, 1, t->stored->bits / 8);
    if (gone(number))
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "%s: tensor \"%s\" is of %s, which is no longer a type of files (byte %zu)\nfetch the model in "
                       "another type, as Q4_0 or Q8_0, which programs arrange for the processor when they read them",
                       r->g->name, t->name, gone(number), begin);
    return gr_fail(
        GR_ERR_FILE,
        "%s: tensor \"%s\" is of type %lld, which there is not (byte %zu)\nthe file is damaged, or made by a "
        "newer program",
        r->g->name, t->name, (long long)(int32_t)number, begin);
}

/* Offsets count from where the data begins, which is not known yet: as a number in `data`'s place. */
static gr_status take_tensor(reader *r, gr_weight *t, uint64_t *offset)
{
    gr_status s = take_name(r, "a tensor's name", GR_MAX_GGUF_NAME, &t->name);
    if (s == GR_OK)
        s = take_shape(r, t);
    if (s == GR_OK)
        s = take_tensor_type(r, t);
    if (s == GR_OK && !take(r, 8, offset))
        s = fail_end(r, "a tensor's offset");
    return s;
}

/* Tensors stand one behind the other, each at the next multiple of the alignment. */
static gr_status place_tensors(const reader *r, const uint64_t *offsets)
{
    gr_gguf *g = r->g;
    size_t data = gr_round_up(r->at, g->alignment), room = data < g->size ? g->size - data : 0, at = 0;
    for (int i = 0; i < g->n_tensors; i++) {
        gr_weight *t = &g->tensors[i];
        if (offsets[i] != at)
            return gr_fail(GR_ERR_FILE,
                           "%s: tensor \"%s\" starts at data offset %llu, but %s %zu\nthe file is damaged or made to "
                           "mislead: fetch it again",
                           g->name, t->name, (unsigned long long)offsets[i],
                           offsets[i] < at ? "overlaps the one before, behind which is" : "its place is", at);
        if (t->bytes > room || at > room - t->bytes)
            return gr_fail(GR_ERR_FILE,
                           "%s: tensor \"%s\" of %zu bytes ends behind the file of %zu bytes (data offset "
                           "%zu)" AGAIN,
                           g->name, t->name, t->bytes, g->size, at);
        t->data = g->bytes + data + at;
        at = gr_round_up(at + t->bytes, g->alignment);
    }
    return GR_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static gr_status check_unique(const gr_gguf *g)
{
    const char **names = gr_alloc_zero((size_t)g->n_tensors + 1, sizeof *names);
    gr_status s = names ? GR_OK : GR_ERR_MEMORY;
    for (int i = 0; names && i < g->n_tensors; i++)
        names[i] = g->tensors[i].name;
    if (names)
        qsort(names, (size_t)g->n_tensors, sizeof *names, compare_names);
    for (int i = 1; s == GR_OK && i < g->n_tensors; i++)
        if (strcmp(names[i], names[i - 1]) == 0)
            s = gr_fail(GR_ERR_FILE, "%s: tensor \"%s\" is there twice\nfetch the file again, or have it made again",
                        g->name, names[i]);
    gr_free(names);
    return s;
}

static gr_status take_tensors(reader *r, uint64_t n)
{
    gr_gguf *g = r->g;
    gr_status s = GR_OK;
    g->tensors = gr_alloc_zero((size_t)n + 1, sizeof *g->tensors);
    uint64_t *offsets = gr_alloc_zero((size_t)n + 1, sizeof *offsets);
    if (!g->tensors || !offsets)
        s = GR_ERR_MEMORY;
    for (; s == GR_OK && g->n_tensors < (int)n; g->n_tensors++)
        s = take_tensor(r, &g->tensors[g->n_tensors], &offsets[g->n_tensors]);
    if (s == GR_OK)
        s = check_unique(g);
    if (s == GR_OK)
        s = place_tensors(r, offsets);
    gr_free(offsets);
    return s;
}

/* ---- the file ----------------------------------------------------------------------------------------------- */

static gr_status check_version(const gr_gguf *g)
{
    uint64_t version = load(g->bytes + 4, 4);
    if (version == 2 || version == 3)
        return GR_OK;
    if (version && !(version & 0xffffff))
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "%s: a GGUF file in the byte order of other processors (big-endian)\nfetch the model without "
                       "\"-be\" in its name, or turn it by gguf-py's gguf-convert-endian FILE little",
                       g->name);
    if (version == 1)
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "%s: version 1 of GGUF, of August 2023, is not supported\nfetch a newer file, "
                       "or have it made again",
                       g->name);
    return gr_fail(GR_ERR_UNSUPPORTED,
                   "%s: version %llu of GGUF is not known; 2 and 3 are (byte 4)\nthe file is damaged, "
                   "or made by a newer program",
                   g->name, (unsigned long long)version);
}

static gr_status read_counts(reader *r, uint64_t *tensors, uint64_t *keys)
{
    gr_gguf *g = r->g;
    if (g->size < 4 || memcmp(g->bytes, "GGUF", 4) != 0)
        return gr_fail(GR_ERR_FILE, "%s: no GGUF file: it does not begin with \"GGUF\"%s", g->name,
                       g->size ? "\ncheck that this is the right file" : ", but is empty\nfetch it again");
    if (g->size < HEADER_BYTES)
        return fail_end(r, "its header");
    if (check_version(g) != GR_OK)
        return gr_error_status();
    *tensors = load(g->bytes + 8, 8);
    *keys = load(g->bytes + 16, 8);
    r->at = HEADER_BYTES;
    /* The first bound keeps the sum of the next from overflowing. */
    bool fits = *tensors <= left(r) / LEAST_TENSOR && *keys <= left(r) / LEAST_KEY && *tensors <= INT32_MAX &&
                *keys <= INT32_MAX && *tensors * LEAST_TENSOR + *keys * LEAST_KEY <= left(r);
    if (!fits)
        return gr_fail(GR_ERR_FILE,
                       "%s: the header says %llu tensors and %llu keys, more than the %zu bytes behind it "
                       "can have (byte 8)" AGAIN,
                       g->name, (unsigned long long)*tensors, (unsigned long long)*keys, left(r));
    return GR_OK;
}

/* How many bytes all names can be: no more than the keys and the list of tensors, which end before the data. */
static gr_status make_room(gr_gguf *g, uint64_t tensors, uint64_t keys)
{
    size_t most = (size_t)keys * (LONGEST_KEY + 1) + (size_t)tensors * (GR_MAX_GGUF_NAME + 1);
    g->names = gr_alloc(most < g->size ? most : g->size);
    return g->names ? GR_OK : GR_ERR_MEMORY;
}

static gr_status read_file(gr_gguf *g)
{
    reader r = {.g = g};
    uint64_t tensors = 0, keys = 0;
    gr_status s = read_counts(&r, &tensors, &keys);
    if (s == GR_OK)
        s = make_room(g, tensors, keys);
    if (s == GR_OK)
        s = take_keys(&r, keys);
    if (s == GR_OK)
        s = take_alignment(g);
    return s == GR_OK ? take_tensors(&r, tensors) : s;
}

/* Takes the mapping over. */
static gr_gguf *open_bytes(const char *name, gr_map map, const void *data, size_t size)
{
    gr_gguf *g = gr_alloc_zero(1, sizeof *g);
    if (!g) {
        gr_map_close(&map);
        return NULL;
    }
    *g = (gr_gguf){.map = map, .bytes = data, .size = size, .name = gr_strdup(name)};
    if (g->name && read_file(g) == GR_OK)
        return g;
    gr_gguf_close(g);
    return NULL;
}

gr_gguf *gr_gguf_open(const char *path)
{
    gr_map map = {0};
    return gr_map_open(path, &map) == GR_OK ? open_bytes(path, map, map.data, map.size) : NULL;
}

gr_gguf *gr_gguf_parse(const char *name, const void *data, size_t size)
{
    return open_bytes(name, (gr_map){0}, data, size);
}

void gr_gguf_close(gr_gguf *g)
{
    if (!g)
        return;
    gr_map_close(&g->map);
    gr_free(g->keys);
    gr_free(g->by_name);
    gr_free(g->tensors);
    gr_free(g->names);
    gr_free(g->name);
    gr_free(g);
}

static void close_source(void *self)
{
    gr_gguf_close(self);
}

gr_status gr_gguf_source(const char *path, gr_source *out)
{
    gr_gguf *g = gr_gguf_open(path);
    *out = (gr_source){0};
    if (!g)
        return gr_error_status();
    *out = (gr_source){.path = g->name,
                       .format = "gguf",
                       .tensors = g->tensors,
                       .count = g->n_tensors,
                       .self = g,
                       .close = close_source};
    return GR_OK;
}

const char *gr_gguf_name(const gr_gguf *g)
{
    return g->name;
}

int gr_gguf_tensors(const gr_gguf *g)
{
    return g->n_tensors;
}

const gr_weight *gr_gguf_tensor(const gr_gguf *g, int i)
{
    return &g->tensors[i];
}

/* ---- values ------------------------------------------------------------------------------------------------- */

int gr_gguf_count(const gr_gguf *g)
{
    return g->n_keys;
}

const gr_gguf_key *gr_gguf_entry(const gr_gguf *g, int i)
{
    return &g->keys[i];
}

const gr_gguf_key *gr_gguf_find(const gr_gguf *g, const char *name)
{
    const gr_gguf_key wanted = {.name = name}, *key = &wanted;
    const gr_gguf_key **found = bsearch(&key, g->by_name, (size_t)g->n_keys, sizeof *g->by_name, compare_key);
    return found ? *found : NULL;
}

bool gr_gguf_int(const gr_gguf_key *k, size_t i, int64_t *out)
{
    size_t bytes = width(k->type);
    if (i >= k->count || !bytes || k->type == GR_GGUF_F32 || k->type == GR_GGUF_F64 || k->type == GR_GGUF_BOOL)
        return false;
    uint64_t x = load(k->data + i * bytes, (int)bytes);
    bool is_signed = k->type == GR_GGUF_I8 || k->type == GR_GGUF_I16 || k->type == GR_GGUF_I32;
    if (is_signed && x >> (8 * bytes - 1))
        x |= UINT64_MAX << (8 * bytes - 1);
    if (k->type == GR_GGUF_U64 && x > INT64_MAX)
        return false;
    memcpy(out, &x, sizeof x);
    return true;
}

bool gr_gguf_real(const gr_gguf_key *k, size_t i, double *out)
{
    int64_t whole;
    if (i < k->count && k->type == GR_GGUF_F32) {
        uint32_t bits = (uint32_t)load(k->data + 4 * i, 4);
        float x;
        memcpy(&x, &bits, sizeof x);
        *out = (double)x;
    } else if (i < k->count && k->type == GR_GGUF_F64) {
        uint64_t bits = load(k->data + 8 * i, 8);
        memcpy(out, &bits, sizeof *out);
    } else if (gr_gguf_int(k, i, &whole)) {
        *out = (double)whole;
    } else {
        return false;
    }
    return isfinite(*out);
}

bool gr_gguf_bool(const gr_gguf_key *k, size_t i, bool *out)
{
    if (i >= k->count || k->type != GR_GGUF_BOOL)
        return false;
    *out = k->data[i] != 0;
    return true;
}

bool gr_gguf_next(const gr_gguf_key *k, size_t *at, gr_gguf_text *out)
{
    if (k->type != GR_GGUF_TEXT || *at >= k->bytes)
        return false;
    *out = (gr_gguf_text){(const char *)k->data + *at + 8, (size_t)load(k->data + *at, 8)}; /* checked when opened */
    *at += 8 + out->size;
    return true;
}

gr_gguf_text gr_gguf_text_of(const gr_gguf *g, const char *name)
{
    const gr_gguf_key *k = gr_gguf_find(g, name);
    gr_gguf_text text = {"", 0};
    size_t at = 0;
    if (k && !k->is_array)
        gr_gguf_next(k, &at, &text);
    return text;
}

bool gr_gguf_is_adapter(const gr_gguf *g)
{
    static const char is[] = "adapter";
    gr_gguf_text type = gr_gguf_text_of(g, "general.type");
    return type.size == sizeof is - 1 && memcmp(type.data, is, type.size) == 0;
}
