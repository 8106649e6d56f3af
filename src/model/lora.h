/* LoRA (Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models"): a linear layer's output gets
 * scale · B(A(x)) added, with A [r, in] and B [out, r] in a store of their own; the model's weights stay as they are. */
#ifndef GR_MODEL_LORA_H
#define GR_MODEL_LORA_H

#include "format/checkpoint.h"
#include "model/modules.h"
#include "model/nn.h"

/* A linear layer with LoRA: entries 2i and 2i + 1 of the store are module i's A and B. */
typedef struct gr_lora_module {
    char *weight; /* of the layer, in the model's store */
    bool conv1d;  /* which is [in, out] */
    float scale;
} gr_lora_module;

typedef struct gr_adapter {
    char *config; /* the text of adapter_config.json, which the rest but the store is read from */
    int64_t rank;
    double alpha, dropout;
    bool rslora;
    gr_modules targets, excluded;
    gr_module_values ranks, alphas;
    gr_store *store;
    gr_lora_module *modules;
    size_t n_modules, capacity;
    /* While the model is built to find out what it has: */
    bool declares; /* what matches is added */
    bool lists;    /* the last parts of all names are noted, each once */
    char **names;
    size_t n_names, names_capacity;
} gr_adapter;

/* y, what the linear layer `name` makes of x, with what the adapter adds to it. */
gr_tensor *gr_lora_add(gr_build *b, gr_tensor *x, gr_tensor *y, const char *name, bool conv1d);

/* Gives the model the adapter of this adapter_config.json, its tensors declared and not set. `name` is what errors call
 * the text. */
gr_status gr_lora_open(gr_model *m, const char *name, const char *config, size_t size);
void gr_lora_close(gr_model *m);

/* Fills in everything but store and modules. What would change numbers and is not supported is a named error. */
gr_status gr_adapter_read_config(gr_adapter *a, const char *name, const char *text, size_t size);
/* The adapter_config.json of a new adapter; caller frees. */
char *gr_adapter_write_config(const gr_lora_options *options, const char *const *targets, size_t n_targets,
                              bool fan_in_fan_out);

/* Changes what the adapter's config says that its model is. */
gr_status gr_adapter_set_base(gr_model *m, const char *base);

/* The dropout that a training step's graph must have a seed for. */
double gr_lora_dropout(const gr_model *m);

#endif
