/* The scale that the loss of an fp16 run is multiplied by, so that small gradients are no zeros in 16 bits: tensors of the
 * training state, which the device looks after. */
#ifndef GR_TRAIN_SCALING_H
#define GR_TRAIN_SCALING_H

#include "train/trainer.h"

/* Does the trainer scale its loss? */
bool gr_scaling_is_on(const gr_trainer *t);
gr_status gr_scaling_check_options(const gr_train_options *options);
/* Adds the tensors: "loss_scale", "growth_count" (clean steps since it changed), "update_count" (steps not skipped). */
gr_status gr_scaling_declare(gr_trainer *t);
/* Sets them where a checkpoint has not. */
gr_status gr_scaling_begin(gr_trainer *t);
/* Fails unless they are what they can be: for what came from a file. */
gr_status gr_scaling_check(gr_trainer *t);

/* ---- in a graph; without scaling x, and NULL ---------------------------------------------------------------- */

/* x times the scale. */
gr_tensor *gr_scaling_of(gr_trainer *t, gr_graph *g, gr_tensor *x);
/* The scale as the step finds it. */
gr_tensor *gr_scaling_scale(gr_trainer *t, gr_graph *g);
/* The number of the update, which counts no skipped steps, i64. */
gr_tensor *gr_scaling_step(gr_trainer *t, gr_graph *g);
/* Appends what a step's gradients say about the scale, by their norm; gives the new one. */
gr_tensor *gr_scaling_update(gr_trainer *t, gr_graph *g, gr_tensor *norm);

/* ---- on the host -------------------------------------------------------------------------------------------- */

gr_status gr_scaling_read(const gr_trainer *t, float *scale);
gr_status gr_scaling_write(gr_trainer *t, float scale);

#endif
