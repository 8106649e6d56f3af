/* Checkpoints: complete Hugging Face directories plus the state of training, so that a run goes on as if never stopped.
 *
 *     config.json, tokenizer.json …   as the caller gives them
 *     model.safetensors               the weights (or shards and an index)
 *     training.safetensors            optimizer moments and other tensors of training
 *     training.json                   step, data position, random state …
 *     checksums.json                  XXH64 of every file, and of every tensor
 *
 * A directory gets its name when all of it is on the disk. Reading changes nothing. What a run makes of them is in
 * train/run_dir.h.
 */
#ifndef GR_FORMAT_CHECKPOINT_H
#define GR_FORMAT_CHECKPOINT_H

#include "base/json.h"
#include "format/weights.h"

/* The two files of an adapter, which a LoRA run's checkpoints hold in place of config.json and model.safetensors. */
#define GR_ADAPTER_CONFIG "adapter_config.json"
#define GR_ADAPTER_WEIGHTS "adapter_model.safetensors"

/* The folder in which transformers keeps chat templates but the default one; the only one that a checkpoint has. */
#define GR_CHAT_TEMPLATES "additional_chat_templates"
/* May a file of a checkpoint be called so? A plain name, or one in that folder. */
bool gr_checkpoint_may_hold(const char *name);

/* ---- writing ------------------------------------------------------------------------------------------------ */

typedef struct gr_checkpoint_file {
    const char *name; /* "config.json" */
    const void *data;
    size_t size;
} gr_checkpoint_file;

typedef struct gr_checkpoint_spec {
    const gr_checkpoint_file *files;
    int file_count;
    gr_safetensors_spec model;    /* under Hugging Face names; its `written` is not called */
    bool is_adapter;              /* model is that of an adapter: one file, GR_ADAPTER_WEIGHTS */
    gr_safetensors_spec training; /* count 0: no such file */
    const gr_json_doc *state;     /* training.json; NULL: no such file */
    size_t shard_bytes;           /* of the model's files; 0: one file */
    /* Looks at the complete directory before it gets its name; when that fails it never does. NULL: nobody looks. */
    gr_status (*check)(void *user, const char *dir);
    void *user;
} gr_checkpoint_spec;

/* Writes the directory `dir`. One that is there already is replaced when the new one is complete. */
gr_status gr_checkpoint_write_dir(const char *dir, const gr_checkpoint_spec *spec);
/* A directory that is replaced is for a moment without its name. What lies beside it under these then says what is to be
 * done: */
#define GR_CHECKPOINT_NEW ".new-" /* complete, about to get its name */
#define GR_CHECKPOINT_OLD ".old-" /* lost its name to the new one; comes back if that never came */
/* "folder/name" to "folder/<prefix>name"; caller frees. */
char *gr_checkpoint_beside(const char *path, const char *prefix);

/* ---- reading ------------------------------------------------------------------------------------------------ */

/* What a directory has of an adapter: nothing; one that lies beside a whole model; one without a model of its own
 * (programs leave the base's config.json there). */
typedef enum gr_adapter_place { GR_ADAPTER_NOT_THERE, GR_ADAPTER_BESIDE, GR_ADAPTER_ALONE } gr_adapter_place;
gr_status gr_checkpoint_find_adapter(const char *dir, gr_adapter_place *out);
/* The weights in a directory: a model's, or an adapter's. */
gr_weights *gr_checkpoint_weights(const char *dir);

typedef struct gr_checkpoint {
    gr_weights *weights;
    gr_safetensors *training; /* NULL: none in this directory */
    gr_json_doc *state;       /* NULL: none in this directory */
} gr_checkpoint;
/* Opens a checkpoint or any Hugging Face directory, adapters included. Checks structure, not checksums. */
gr_status gr_checkpoint_open(const char *dir, gr_checkpoint *out);
void gr_checkpoint_close(gr_checkpoint *c);

#endif
