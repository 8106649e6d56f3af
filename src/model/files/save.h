/* The parts that a saved model is made of; gr_model_save puts them together, as do the checkpoints of a run. */
#ifndef GR_MODEL_SAVE_H
#define GR_MODEL_SAVE_H

#include "base/file.h"
#include "format/checkpoint.h"
#include "format/store_tensors.h"
#include "model/layers/model.h"

/* The model's weights under the names that transformers gives them. Close in any case. */
gr_status gr_model_tensors(gr_model *m, const gr_dtype *as, gr_store_tensors *out);
struct gr_packed_out; /* packed.h */
/* The config.json for weights that are written `as` (NULL: as they are): the model's own text, in which only the dtype
 * is changed, how weights in blocks are packed (out; NULL: none are), and the class's name put in where it is missing. Caller
 * frees. */
char *gr_model_saved_config(const gr_model *m, const gr_dtype *as, const struct gr_packed_out *out);

/* Files of a model directory that belong to any model made of it: tokenizer, chat templates, generation settings,
 * licence. Their bytes are mapped. Of a GGUF file, what its keys say, as such files. */
typedef struct gr_carried {
    gr_checkpoint_file *files; /* [count]; names and bytes live until close */
    int count;
    gr_map *maps; /* [count], or */
    char **texts; /* [count] of a GGUF file */
    size_t files_cap, maps_cap, texts_cap;
} gr_carried;
gr_status gr_carried_open(gr_carried *c, const char *dir); /* close in any case */
void gr_carried_close(gr_carried *c);
gr_status gr_gguf_carry(gr_carried *c, const char *path); /* gguf_files.c */
/* Would a file of this name be carried over, or a folder with what is in it? */
bool gr_is_carried(const char *name);
/* Is one that is carried of the tokenizer, or a chat template? */
bool gr_is_of_text(const char *name);
/* Whose tokenizer and templates a model is saved with: the adapter's if it has a tokenizer, else the source's. NULL: none. */
gr_status gr_source_of_text(const gr_save_options *o, const char **dir);
/* compare.c: the i-th of some ids from all over the vocabulary. */
int64_t gr_pick_id(uint64_t i, int64_t vocab);
/* Compares logits of a few prompts of a model that was saved `as` (NULL: as it is; matrices: they alone) with those that the
 * given model has when its weights are rounded so: all that may differ is the order of sums. Fills in logits, difference and
 * bound. */
gr_status gr_model_compare(gr_model *m, gr_model *saved, const gr_dtype *as, bool matrices, gr_saved *out);
/* What that takes: the program of such a model, and bytes besides. */
gr_program *gr_model_compare_program(gr_model *m, size_t *held);
/* gguf_save.c: the bytes of such a file, and those of its keys and tokenizer in memory. */
gr_status gr_gguf_file_bytes(gr_model *m, const gr_save_options *o, int64_t *bytes, size_t *held);
/* gguf_save.c: a file instead of a directory, the options checked. */
gr_status gr_model_save_gguf(gr_model *m, const char *path, const gr_save_options *o, gr_saved *out);
/* save.c: several texts must give the same ids; counts them. */
gr_status gr_compare_tokenizers(gr_tokenizer *must, gr_tokenizer *is, gr_saved *out);
/* Remarks on what `from` has besides and `to`, a model that was saved, has not. An adapter that was folded in it has. */
gr_status gr_tell_left_out(const gr_model *m, const char *from, const char *to);

#endif
