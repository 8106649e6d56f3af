/* The tensors of a model, be they in one file or in shards with an index, in any format that has an opener
 * (format/source.h). What gives out tensors gives them in the order of their names. */
#ifndef GR_FORMAT_WEIGHTS_H
#define GR_FORMAT_WEIGHTS_H

#include "format/safetensors.h"

typedef struct gr_weights gr_weights;

/* A directory, a file of weights (.safetensors, .bin, .pt, .pth) or an index. A directory has model.safetensors, or
 * model.safetensors.index.json and its shards, or pytorch_model.bin, or pytorch_model.bin.index.json and its shards;
 * the first of these that is there counts, as in transformers. Index and shards must agree on every tensor. */
gr_weights *gr_weights_open(const char *path);
/* An adapter's directory: adapter_model.safetensors, or adapter_model.bin. */
gr_weights *gr_weights_open_adapter(const char *dir);
gr_status gr_weights_are_in(const char *dir, bool *yes); /* is there something that gr_weights_open would open? */
bool gr_weights_have_name(
    const char *name);                /* may a file of this name be weights of a model's directory, or an index? */
void gr_weights_close(gr_weights *w); /* NULL is fine */
int gr_weights_count(const gr_weights *w);
const gr_weight *gr_weights_entry(const gr_weights *w, int i); /* sorted by name */
const gr_weight *gr_weights_find(const gr_weights *w, const char *name);
/* What the files have besides tensors: numbers, dicts, and tensors of no dtype that is known here. */
int gr_weights_others(const gr_weights *w);
const gr_not_weight *gr_weights_other(const gr_weights *w, int i);
/* The files: one, or the shards in order of their names. */
int gr_weights_files(const gr_weights *w);
const gr_source *gr_weights_file(const gr_weights *w, int i);

/* Writes dir/model.safetensors; with more than `shard_bytes` of tensors (0: no limit) model-00001-of-0000N.safetensors
 * and the index, filled in the order of spec->tensors as Hugging Face does. */
gr_status gr_weights_save(const char *dir, const gr_safetensors_spec *spec, size_t shard_bytes);

#endif
