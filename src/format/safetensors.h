/* safetensors files (https://github.com/huggingface/safetensors): 8 bytes header length, a JSON header, the tensors'
 * bytes back to back. Read by mapping, nothing copied; written under Hugging Face's rules. And gr_weights: the tensors
 * of a model directory, be they in one file or in shards with an index. */
#ifndef GR_FORMAT_SAFETENSORS_H
#define GR_FORMAT_SAFETENSORS_H

#include "format/json.h"

/* A dtype that files have and no tensor here: 8-bit floats, and integers of other widths. */
typedef struct gr_stored_dtype {
    const char *safetensors; /* "F8_E4M3" */
    int bits;
    void (*to_f32)(const void *src, float *to, size_t n); /* NULL: is not turned into numbers */
} gr_stored_dtype;

/* One tensor. In a file of strangers `data` may stand at any address: copy, do not dereference as numbers. */
typedef struct gr_safetensor {
    const char *name;
    gr_dtype dtype;
    int ndim;
    int64_t shape[GR_MAX_DIMS];
    const void *data;
    size_t bytes;
    const gr_stored_dtype *stored; /* the dtype, where it is none of gr_dtype's (`dtype` is GR_U8 then); else NULL */
} gr_safetensor;

/* A tensor's values as f32, rounded where they must be, wherever its bytes stand. */
void gr_safetensor_to_f32(const gr_safetensor *t, float *to);
/* Can they be had? Of 8-bit floats and of integers as well, not of complex numbers or parts of bytes. */
bool gr_safetensor_is_number(const gr_safetensor *t);
size_t gr_safetensor_values(const gr_safetensor *t);
const char *gr_safetensor_dtype_name(const gr_safetensor *t); /* "f32", "F8_E4M3" */

/* By its name in files; NULL: there is none. */
const gr_stored_dtype *gr_stored_dtype_find(const char *safetensors);

/* ---- reading one file ---- */

typedef struct gr_safetensors gr_safetensors;

/* Maps and checks the whole header: offsets tile the data exactly, sizes agree with dtype and shape. NULL: gr_error()
 * names file and tensor. Everything given out lives until close. */
gr_safetensors *gr_safetensors_open(const char *path);
/* The same over bytes that the caller keeps; `name` is what errors call them. */
gr_safetensors *gr_safetensors_parse(const char *name, const void *data, size_t size);
void gr_safetensors_close(gr_safetensors *st); /* NULL is fine */
const char *gr_safetensors_name(const gr_safetensors *st);

int gr_safetensors_count(const gr_safetensors *st);
const gr_safetensor *gr_safetensors_entry(const gr_safetensors *st, int i);           /* in the order of the data */
const gr_safetensor *gr_safetensors_find(const gr_safetensors *st, const char *name); /* NULL: not there */
const char *gr_safetensors_metadata(const gr_safetensors *st, const char *key);       /* NULL: not there */
/* The bytes before the tensors' data, for checksums. */
const void *gr_safetensors_header(const gr_safetensors *st, size_t *size);

/* ---- writing one file ---- */

/* What to write. Tensors come from `data`, or where that is NULL from `fetch`, one at a time: *data must stay valid
 * until the next call. fetch is called once for every tensor, in the order of the file. */
typedef struct gr_safetensors_spec {
    const gr_safetensor *tensors; /* `bytes` is ignored: dtype and shape say it */
    int count;
    const char *const (*metadata)[2]; /* key, value */
    int metadata_count;
    gr_status (*fetch)(void *user, int index, const void **data);
    /* Told the checksum of each tensor written, and of the header with index -1; may be NULL. */
    void (*written)(void *user, const char *file, int index, uint64_t checksum);
    void *user;
} gr_safetensors_spec;

/* Atomic and durable. The file depends on names, shapes and values alone: tensors stand by falling element size, then
 * by name; the data starts at a multiple of 64 bytes, so every tensor is aligned to its elements. */
gr_status gr_safetensors_write(const char *path, const gr_safetensors_spec *spec);

/* ---- the weights of a model ---- */

typedef struct gr_weights gr_weights;

/* A directory (model.safetensors, or model.safetensors.index.json and its shards), a .safetensors file or an index.
 * Index and shards must agree on every tensor. */
gr_weights *gr_weights_open(const char *path);
bool gr_weights_are_in(const char *dir); /* is there something that gr_weights_open would open? */
void gr_weights_close(gr_weights *w);    /* NULL is fine */
int gr_weights_count(const gr_weights *w);
const gr_safetensor *gr_weights_entry(const gr_weights *w, int i); /* sorted by name */
const gr_safetensor *gr_weights_find(const gr_weights *w, const char *name);
/* The files: one, or the shards in order of their names. */
int gr_weights_files(const gr_weights *w);
const gr_safetensors *gr_weights_file(const gr_weights *w, int i);

/* Writes dir/model.safetensors; with more than `shard_bytes` of tensors (0: no limit) model-00001-of-0000N.safetensors
 * and the index, filled in the order of spec->tensors as Hugging Face does. */
gr_status gr_weights_save(const char *dir, const gr_safetensors_spec *spec, size_t shard_bytes);

#endif
