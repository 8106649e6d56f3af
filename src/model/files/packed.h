/* Weights of which the hub's files have codes and scales as tensors of their own, as compressed-tensors does: of a layer NAME
 *
 *     NAME.weight_packed i32 [N, K/8]    eight codes of 4 bits a word, the first the lowest, 8 stands for 0
 *     NAME.weight_scale [N, K/group]     one scale for a group of a row, or for all of it
 *     NAME.weight_shape i64 [2]          N, K
 *
 * or of 8 bits NAME.weight i8 [N, K] with such scales. In a store they are one tensor of blocks (base/ggml/hub.c). */
#ifndef GR_MODEL_FILES_PACKED_H
#define GR_MODEL_FILES_PACKED_H

#include "base/json.h"
#include "format/store_tensors.h"

/* ---- reading ------------------------------------------------------------------------------------------------ */

struct gr_names;
struct gr_named_tensor;
/* What belongs together becomes one item, "NAME.weight". */
gr_status gr_packed_join_names(struct gr_names *n);
/* Its blocks, of item->tensor.bytes. */
gr_status gr_packed_join(const struct gr_named_tensor *item, void *to);
/* Does config.json say of its quantization what can be read here? */
bool gr_packed_is_known(gr_json quantization);

/* ---- writing ------------------------------------------------------------------------------------------------ */

/* The tensors of a store as files have them. */
typedef struct gr_packed_out {
    gr_store_tensors *store;
    gr_weight *list; /* [count] */
    struct gr_packed_part *parts;
    char **names; /* [count] those made here */
    int count;
    size_t bytes, largest;
    void *buffer;
} gr_packed_out;

gr_status gr_packed_open(gr_packed_out *p, gr_store_tensors *store); /* close in any case */
void gr_packed_close(gr_packed_out *p);
gr_status gr_packed_fetch(void *p, int index, const void **data); /* fits gr_safetensors_spec.fetch */
/* Is it one of the dtypes that are written so? */
bool gr_packed_is(gr_dtype d);
/* The model's config.json says how the weights of its store are packed, if some are; and no longer, if none is, or store is NULL. *changed: it does so now. */
gr_status gr_packed_put_config(gr_json_doc **config, gr_store *store, bool *changed);

#endif
