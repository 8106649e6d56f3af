/* What several verbs open: a device, a model with its tokenizer. */
#ifndef GR_CLI_OPEN_H
#define GR_CLI_OPEN_H

#include "cli/args.h"

typedef struct gr_opened {
    gr_device *device;
    gr_model *model;
    gr_profile *profile;     /* of --profile; NULL: not asked for */
    gr_tokenizer *tokenizer; /* NULL: the directory has none */
    const gr_found *found;   /* NULL: nothing was looked for */
    const char *path;        /* what MODEL stands for: of a run its best checkpoint, of an adapter its base */
    const char *adapter;     /* of --adapter, or MODEL when that is one or has one; NULL: none */
    bool is_again;           /* the same device as before: what was said of it is not said again */
} gr_opened;

/* The device of --device and --threads; with "auto" stderr says which it is. */
gr_status gr_open_device(const gr_args *args, gr_opened *o);
/* Sets found, path and adapter: what MODEL and --adapter stand for. */
gr_status gr_find_model(const gr_args *args, const char *model, gr_opened *o);
/* Says that the adapter is one beside MODEL's weights, where it is. */
void gr_tell_adapter(const gr_args *args, const gr_opened *o);
/* The device and MODEL on it with its adapter, and the tokenizer of either if there is one. options as gr_model_load has
 * them. Close in any case. */
gr_status gr_open_model(const gr_args *args, const char *model, const gr_load_options *options, gr_opened *o);
/* Another model on the device of `first`, which closes it: what `model` stands for, with an adapter that lies there, and its
 * own tokenizer. */
gr_status gr_open_other(const char *model, const gr_load_options *options, const gr_opened *first, gr_opened *o);
/* The tokenizer of --tokenizer, else the one that was found, if one was. */
gr_status gr_open_tokenizer(const gr_args *args, gr_opened *o);
/* A dtype of the model's weights whose values share blocks; NULL: none has one. */
const char *gr_name_of_blocks(gr_model *model);
/* A note that activations are int8, if the model has weights that this is about. */
void gr_tell_int8(gr_model *model);
/* A note on how 16-bit activations are computed with; nothing of f32. */
void gr_tell_precision(gr_device *device, gr_precision precision);
/* Fails when the model has no tokenizer. */
gr_status gr_need_tokenizer(const gr_opened *o);
/* Fails when the tokenizer made an id that the model does not know. */
gr_status gr_check_made_ids(const gr_opened *on, const gr_token *ids, int64_t n);
/* --profile: begins with the device, which has just been opened; ends when the work has come to `status`, which is returned
 * unless telling fails. */
gr_status gr_begin_profile(gr_args *args, gr_opened *o);
gr_status gr_end_profile(const gr_args *args, const gr_opened *o, gr_status status);
void gr_close_opened(gr_opened *o);

#endif
