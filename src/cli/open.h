/* What several verbs open: a device, a model with its tokenizer. */
#ifndef GR_CLI_OPEN_H
#define GR_CLI_OPEN_H

#include "cli/args.h"

typedef struct gr_opened {
    gr_device *device;
    gr_model *model;
    gr_tokenizer *tokenizer; /* NULL: the directory has none */
    char *path;              /* what MODEL stands for: of a run its best checkpoint */
} gr_opened;

/* The device of --device and --threads; with "auto" stderr says which it is. */
gr_status gr_open_device(const gr_args *args, gr_opened *o);
/* The device and MODEL on it, with its tokenizer if it has one. options as gr_model_load has them. Close in any case. */
gr_status gr_open_model(const gr_args *args, const char *model, const gr_load_options *options, gr_opened *o);
/* The tokenizer of o->path, if it has one. */
gr_status gr_open_tokenizer(gr_opened *o);
/* Fails when the model has no tokenizer. */
gr_status gr_need_tokenizer(const gr_opened *o);
void gr_close_opened(gr_opened *o);

#endif
