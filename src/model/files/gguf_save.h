/* The parts of a model that is written as a GGUF file. */
#ifndef GR_MODEL_FILES_GGUF_SAVE_H
#define GR_MODEL_FILES_GGUF_SAVE_H

#include "base/lock.h"
#include "format/gguf_write.h"
#include "format/store_tensors.h"
#include "model/layers/model.h"

/* config.json as keys. */
gr_status gr_gguf_put_config(const gr_model *m, gr_gguf_keys *keys);

/* Factors for sequences of any length, which need no settings beside them: a longrope with one list twice. */
bool gr_gguf_is_one_table(const gr_rope_settings *r);

/* What such a file calls a tensor, and how it lies there; caller frees. NULL: it has no name there, or no memory. */
char *gr_gguf_name_of(const gr_arch *arch, const char *name, gr_gguf_change *change);

/* The tensors as such a file has them: names, order of rows, dtypes (vectors in f32), rotary factors behind them. */
typedef struct gr_gguf_out {
    const gr_model *m;
    gr_store_tensors store;
    gr_weight *list; /* [count] */
    gr_gguf_change *change;
    char **names; /* [count] */
    int count;
    float *factors[2]; /* of rope_freqs, or of the short and the long ones */
    void *buffer;
    size_t largest;
} gr_gguf_out;

gr_status gr_gguf_tensors_open(gr_gguf_out *t, gr_model *m, const gr_dtype *as); /* close in any case */
void gr_gguf_tensors_close(gr_gguf_out *t);
/* A tensor's bytes, until the next call: fits gr_gguf_spec.fetch. */
gr_status gr_gguf_tensors_fetch(void *t, int index, const void **data);
/* What general.file_type says of them: what the model's own file said, else of the dtype that most matrices have. */
uint32_t gr_gguf_file_type(const gr_gguf_out *t, const gr_dtype *as);

/* ---- gguf_place.c: the name that a file gets last ----------------------------------------------------------- */

/* A file, or several, that are under hidden names until all is there and was read again; by one process at a time. */
typedef struct gr_gguf_place {
    const char *path; /* "m.gguf" */
    char *hidden;     /* the name until then, that of parts is made of it */
    int parts;
    gr_write_lock lock;
} gr_gguf_place;

gr_status gr_gguf_place_open(gr_gguf_place *p, const char *path); /* close in any case */
/* It will be several files: refused where one of the names is taken. */
gr_status gr_gguf_place_parts(gr_gguf_place *p, int parts);
/* GR_OK gives what is there its names; else it is removed, and s returned. */
gr_status gr_gguf_place_close(gr_gguf_place *p, gr_status s);
/* GR_ERR_UNSUPPORTED, and why: the model's architecture is none of such files. */
gr_status gr_gguf_no_arch(const gr_model *m);

#endif
