/* GGUF files (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), versions 2 and 3: typed keys, a list of tensors,
 * and their bytes. Read by mapping, nothing copied but the names; every count, length, type and offset is held against
 * the file before anything is made of it. */
#ifndef GR_FORMAT_GGUF_H
#define GR_FORMAT_GGUF_H

#include "format/source.h"

/* The types of values, by their numbers in files. */
typedef enum gr_gguf_type {
    GR_GGUF_U8,
    GR_GGUF_I8,
    GR_GGUF_U16,
    GR_GGUF_I16,
    GR_GGUF_U32,
    GR_GGUF_I32,
    GR_GGUF_F32,
    GR_GGUF_BOOL,
    GR_GGUF_TEXT,
    GR_GGUF_ARRAY,
    GR_GGUF_U64,
    GR_GGUF_I64,
    GR_GGUF_F64,
    GR_GGUF_TYPES,
} gr_gguf_type;

/* A key and its value: one, or an array of `count`. */
typedef struct gr_gguf_key {
    const char *name;
    gr_gguf_type type; /* of an array, of its values */
    bool is_array;
    size_t count, bytes;
    const uint8_t
        *data; /* little-endian, at any address; texts: 8 bytes of length and the text, one behind the other */
    size_t at; /* byte in the file, for messages */
} gr_gguf_key;

enum {
    GR_MAX_GGUF_NAME = 64,     /* bytes of a tensor's name, by the format */
    GR_MAX_GGUF_PARTS = 65535, /* files of a model: their number is a u16 */
};

typedef struct gr_gguf_text {
    const char *data; /* no NUL behind it */
    size_t size;
} gr_gguf_text;

typedef struct gr_gguf gr_gguf;

/* Maps a file and checks all of it but the tensors' bytes. NULL: gr_error() names file and place. */
gr_gguf *gr_gguf_open(const char *path);
/* The same over bytes that the caller keeps; `name` is what errors call them. */
gr_gguf *gr_gguf_parse(const char *name, const void *data, size_t size);
void gr_gguf_close(gr_gguf *g); /* NULL is fine */
const char *gr_gguf_name(const gr_gguf *g);
/* As gr_gguf_open, as one format of weights among others: shapes are row-major, the last dim is the one that blocks lie
 * along. */
gr_status gr_gguf_source(const char *path, gr_source *out);
int gr_gguf_tensors(const gr_gguf *g);
const gr_weight *gr_gguf_tensor(const gr_gguf *g, int i); /* in the order of the file */
/* Is it the name of such a file? */
bool gr_gguf_is_name(const char *path);
/* And no directory: a file of this format, whether it is there or is to be. */
bool gr_gguf_is_place(const char *path);

/* Keys, in the order of the file. */
int gr_gguf_count(const gr_gguf *g);
const gr_gguf_key *gr_gguf_entry(const gr_gguf *g, int i);
const gr_gguf_key *gr_gguf_find(const gr_gguf *g, const char *name); /* NULL: not there */

/* Value i of a key, of whatever type it is stored in; false: it is of another kind, or beyond int64_t. NaN and infinities
 * are no values. */
bool gr_gguf_int(const gr_gguf_key *k, size_t i, int64_t *out);
bool gr_gguf_real(const gr_gguf_key *k, size_t i, double *out);
bool gr_gguf_bool(const gr_gguf_key *k, size_t i, bool *out);
/* The texts of a key, one after the other: *at begins as 0. False: there are no more, or it has none. */
bool gr_gguf_next(const gr_gguf_key *k, size_t *at, gr_gguf_text *out);
/* The one text of a key; size 0: there is none. */
gr_gguf_text gr_gguf_text_of(const gr_gguf *g, const char *name);
/* Do its keys say that it is an adapter? */
bool gr_gguf_is_adapter(const gr_gguf *g);

/* A file may be one of several, NAME-00001-of-00003.gguf: all their paths in order, whichever is given; else the path
 * alone. Free with gr_names_free. They are not looked at. */
gr_status gr_gguf_shards(const char *path, char ***paths, size_t *count);
/* The name of part i of n, "m-00001-of-00003.gguf" of "m.gguf", or of one alone that name itself; caller frees. */
char *gr_gguf_part_path(const char *path, int i, int n);
/* Is a file's name that of a part of `whole`, "m.gguf"? */
bool gr_gguf_is_part(const char *name, const char *whole);
/* Whether the files, opened in that order, are the parts of one model, as their keys say. */
gr_status gr_gguf_check_split(const gr_source *files, size_t count);
/* The one with the keys of a model: the first, or the only one. */
gr_gguf *gr_gguf_open_first(const char *path);

#endif
