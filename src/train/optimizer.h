/* What a trainer's optimizers keep for a weight, and how they move it. */
#ifndef GR_TRAIN_OPTIMIZER_H
#define GR_TRAIN_OPTIMIZER_H

#include "gradus.h"

/* "adamw", as --optimizer and training.json have it; NULL: there is none of that number. */
const char *gr_optimizer_name(gr_optimizer optimizer);
/* Adds to `state` what the optimizer keeps for the weight: "exp_avg.NAME" and the like, by torch's names. */
gr_status gr_optimizer_declare(const gr_train_options *options, gr_store *state, const gr_entry *weight);

/* What the updates of a step have in common: the moments, and scalars of the graph. */
typedef struct gr_update {
    const gr_train_options *options;
    gr_store *state;
    gr_tensor *lr, *step, *factor;
    int index; /* of the weight at work */
} gr_update;
/* Appends the update of the trainer's weight number `index` by its gradient. A failure is the graph's. */
void gr_optimizer_update(gr_update *update, int index, gr_tensor *param, gr_tensor *grad);

#endif
