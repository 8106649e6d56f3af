/* Inside a trainer. */
#ifndef GR_TRAIN_TRAINER_H
#define GR_TRAIN_TRAINER_H

#include "gradus.h"

struct gr_trainer {
    gr_model *model;
    gr_train_options options;
    gr_store *trained; /* the model's weights, or its adapter */
    int n_params;
    bool drops;          /* a step needs a seed */
    gr_store *state;     /* the optimizer's moments */
    gr_store *gradients; /* accumulated; empty when a step is one batch */
    gr_program *step;    /* a whole step, or a micro-batch of one */
    gr_program *update;  /* NULL when a step is one batch */
    gr_program *eval;
    gr_token *eval_tokens; /* [2, batch · context]: tokens and targets */
    int64_t *positions;    /* with segments: [2, batch · context], the second zeroes */
    gr_plan plan;
    int64_t done; /* steps */
    float scale;  /* of the loss in the next step, once there was one */
};

/* Options as they were given; NULL: the defaults. */
gr_status gr_train_take(gr_train_options *own, const gr_train_options *given, const char *what);
/* The learning rate of step s = 0, 1, … */
double gr_learning_rate(const gr_train_options *options, int64_t step);
/* Mean loss of predicting tokens[1..n) from those before, in windows of `context` without overlap. */
gr_status gr_trainer_eval(gr_trainer *trainer, const gr_token *tokens, int64_t n, bool (*going)(void *user), void *user,
                          double *loss);
/* gr_trainer_step; meanwhile(user), unless NULL, is called once while the device works: making the next batch there costs
 * no time. */
gr_status gr_trainer_step_while(gr_trainer *t, const gr_batch *batch, gr_step_report *report,
                                void (*meanwhile)(void *user), void *user);
/* The optimizer's tensors ("exp_avg.NAME" …), and the number of steps done:
 * with the weights they are the whole state of training. */
gr_store *gr_trainer_store(gr_trainer *trainer);
int64_t gr_trainer_steps(const gr_trainer *trainer);
void gr_trainer_set_steps(gr_trainer *trainer, int64_t steps);

#endif
