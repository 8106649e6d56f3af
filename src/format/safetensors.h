/* safetensors files (https://github.com/huggingface/safetensors): 8 bytes header length, a JSON header, the tensors'
 * bytes back to back. Read by mapping, nothing copied; written under Hugging Face's rules. */
#ifndef GR_FORMAT_SAFETENSORS_H
#define GR_FORMAT_SAFETENSORS_H

#include "base/json.h"
#include "format/source.h"

/* By its name in files; NULL: there is none. */
const gr_stored_dtype *gr_stored_dtype_find(const char *safetensors);

/* ---- reading one file --------------------------------------------------------------------------------------- */

typedef struct gr_safetensors gr_safetensors;

/* Maps and checks the whole header: offsets tile the data exactly, sizes agree with dtype and shape. NULL: gr_error()
 * names file and tensor. Everything given out lives until close. */
gr_safetensors *gr_safetensors_open(const char *path);
/* The same over bytes that the caller keeps; `name` is what errors call them. */
gr_safetensors *gr_safetensors_parse(const char *name, const void *data, size_t size);
void gr_safetensors_close(gr_safetensors *st); /* NULL is fine */
/* As gr_safetensors_open, as one format of weights among others. */
gr_status gr_safetensors_source(const char *path, gr_source *out);
const char *gr_safetensors_name(const gr_safetensors *st);

int gr_safetensors_count(const gr_safetensors *st);
const gr_weight *gr_safetensors_entry(const gr_safetensors *st, int i);           /* in the order of the data */
const gr_weight *gr_safetensors_find(const gr_safetensors *st, const char *name); /* NULL: not there */
const char *gr_safetensors_metadata(const gr_safetensors *st, const char *key);   /* NULL: not there */
/* The bytes before the tensors' data, for checksums. */
const void *gr_safetensors_header(const gr_safetensors *st, size_t *size);

/* ---- writing one file --------------------------------------------------------------------------------------- */

/* What to write. Tensors come from `data`, or where that is NULL from `fetch`, one at a time: *data must stay valid
 * until the next call. fetch is called once for every tensor, in the order of the file. */
typedef struct gr_safetensors_spec {
    const gr_weight *tensors; /* `bytes` is ignored: dtype and shape say it; `stored` is a name of as many bytes */
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

#endif
