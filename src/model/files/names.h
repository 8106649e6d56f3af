/* The tensors of a model's files under the names that the architecture has for them. */
#ifndef GR_MODEL_NAMES_H
#define GR_MODEL_NAMES_H

#include "model/layers/model.h"

struct gr_packed;
struct gr_packed_config; /* packed.h */

/* One tensor: its name in `tensor` is the architecture's where that could be told. */
typedef struct gr_named_tensor {
    gr_weight tensor;
    const char *in_file;
    char *own;                /* tensor.name, where it is not in_file */
    gr_gguf_change change;    /* of a GGUF file: how the bytes lie there */
    struct gr_packed *packed; /* the tensors that its blocks are made of (packed.h), owned; NULL: `data` is all of it */
} gr_named_tensor;

typedef struct gr_names {
    gr_named_tensor *items; /* [count], by name */
    int count;
    bool bare; /* the body goes without the architecture's prefix */
} gr_names;

/* What wrappers of modules put into names ("_orig_mod.") is taken out. The body is found by its embedding and its last
 * norm: with the architecture's prefix, without it, or behind another ("language_model.model."), which is then told in a
 * remark; `where` is what it names. Two bodies behind foreign prefixes are an error. `quantized` says how layers in codes are
 * to be read. Close in any case. */
gr_status gr_names_open(gr_names *n, const char *where, const gr_weights *w, const gr_arch *arch,
                        const struct gr_packed_config *quantized);
void gr_names_close(gr_names *n);
const gr_weight *gr_names_find(const gr_names *n, const char *name); /* NULL: not there */
const gr_named_tensor *gr_names_item(const gr_names *n, const char *name);
/* Gives the tensor `from` the name `to` instead. */
gr_status gr_names_change(gr_names *n, const char *from, const char *to);
/* Is it the one that its name finds? Else there is another of the same name. */
bool gr_names_is_first(const gr_names *n, int i);

#define GR_HEAD_WEIGHT "lm_head.weight"
/* load_head.c: of a head and the embedding that config.json ties it to a file may have either, as transformers reads it; or
 * both, and where they differ the head is one of its own. */
gr_status gr_load_head(gr_model *m, gr_names *names, const char *dir);

/* load_tensor.c: does the model have it in the dtype of its file? */
bool gr_weight_is_kept(const gr_weight *t);
/* Entry `index` of the model's store gets the tensor's values: where they lie in the file, or where they must be changed, or
 * `own`, in memory of its own. */
gr_status gr_load_tensor(gr_model *m, int index, const gr_entry *e, const gr_named_tensor *item, bool own);

#endif
