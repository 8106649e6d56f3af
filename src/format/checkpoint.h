/* Checkpoints: complete Hugging Face directories plus the state of training, so that a run goes on as if never stopped.
 *
 *     RUN/checkpoints/step-N/      config.json, tokenizer.json …   as the caller gives them
 *                                  model.safetensors               the weights (or shards and an index)
 *                                  training.safetensors            optimizer moments and other tensors of training
 *                                  training.json                   step, data position, random state …
 *                                  checksums.json                  XXH64 of every file, and of every tensor
 *     RUN/best, RUN/latest         relative symbolic links to checkpoints/step-N: a path that transformers takes too
 *
 * A directory gets its name when all of it is on the disk, and is removed only after losing its name, so a kill at any
 * instant leaves whole checkpoints and, at most, hidden leftovers that gr_checkpoint_clean removes. One process at a
 * time writes a run. Reading changes nothing.
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

/* ---- writing ---- */

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
/* Writes RUN/checkpoints/step-N and points RUN/latest at it. */
gr_status gr_checkpoint_write(const char *run, int64_t step, const gr_checkpoint_spec *spec);

/* Points RUN/`name` ("best") at step N. What stands there and is neither a link nor a copy of one of the run's checkpoints is
 * moved out of the way. */
gr_status gr_checkpoint_mark(const char *run, const char *name, int64_t step);
/* The step that RUN/`name` points at; -1 when there is no such link, or no such checkpoint. A run that was copied without
 * links has a folder or a text there, which mean the same. */
gr_status gr_checkpoint_marked(const char *run, const char *name, int64_t *step);

/* Keeps the newest `keep` (at least 1), and best. Steps beyond `latest` are of an earlier, broken-off run: they do not
 * count as newest, and stay until they are written again. */
gr_status gr_checkpoint_prune(const char *run, int keep);
/* Removes the folder `path`, one of step N. */
gr_status gr_checkpoint_trash(const char *run, const char *path, int64_t step);
/* A whole checkpoint that stands as RUN/latest or RUN/best itself, and is not in RUN/checkpoints, is moved there. */
gr_status gr_checkpoint_adopt(const char *run);
/* Removes what a killed process left half done, or completes it, and adopts. For the one process that is about to write the run. */
gr_status gr_checkpoint_clean(const char *run);

/* ---- reading ---- */

/* The steps that have a checkpoint, in rising order; *steps is freed by the caller. None is not a failure. */
gr_status gr_checkpoint_list(const char *run, int64_t **steps, size_t *count);
/* "RUN/checkpoints/step-N"; caller frees. */
#define GR_STEP "step-"
/* The N of "step-N" as it is written there. */
bool gr_checkpoint_step_of(const char *name, int64_t *step);
char *gr_checkpoint_path(const char *run, int64_t step);

/* The newest checkpoint that passes gr_checkpoint_verify; newer ones that do not are named in the log as warnings.
 * *path (caller frees) is NULL with GR_OK when the run has none yet; all of them damaged is GR_ERR_FILE. */
gr_status gr_checkpoint_newest_good(const char *run, char **path, int64_t *step);
/* What a MODEL argument means: of a run its best, else its newest good checkpoint; any other path itself. Caller frees;
 * NULL: gr_error(). */
char *gr_checkpoint_resolve(const char *path);

/* Is this the directory of an adapter, without a model of its own? (Programs leave the base's config.json there.) */
bool gr_checkpoint_is_adapter(const char *dir);
/* Is an adapter in it, alone or beside a whole model? */
bool gr_checkpoint_has_adapter(const char *dir);
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

/* ---- verifying ---- */

typedef enum gr_verify_state { GR_VERIFY_GOOD, GR_VERIFY_BAD, GR_VERIFY_UNCHECKED } gr_verify_state;

typedef struct gr_verify_item {
    gr_verify_state state;
    const char *dir, *file, *tensor; /* tensor NULL: the whole file; file NULL: the whole directory */
    const char *problem;             /* why it is bad or unchecked */
} gr_verify_item;

typedef struct gr_verify_totals {
    int dirs, dirs_bad, dirs_unchecked; /* unchecked: without checksums.json */
    int64_t good, bad, unchecked;       /* items */
    uint64_t bytes;                     /* that were compared with a checksum */
} gr_verify_totals;

typedef void (*gr_verify_report)(void *user, const gr_verify_item *item);

/* Reads a checkpoint, all checkpoints of a run, or any model directory and reports every file and tensor. A directory
 * without checksums.json is reported as unchecked; its files' structure is looked at all the same. GR_OK when nothing
 * is bad; else GR_ERR_FILE and the first problem. report and totals may be NULL. */
gr_status gr_checkpoint_verify(const char *path, gr_verify_report report, void *user, gr_verify_totals *totals);

#endif
