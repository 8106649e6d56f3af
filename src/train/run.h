/* Inside a training run. */
#ifndef GR_TRAIN_RUN_H
#define GR_TRAIN_RUN_H

#include "base/error.h"

/* ---- the directory ---- */

typedef enum gr_run_state {
    GR_RUN_NONE,  /* not one step */
    GR_RUN_BEGUN, /* steps, and nothing was ever saved */
    GR_RUN_SAVED, /* checkpoints */
    GR_RUN_LOST,  /* there were checkpoints, and none is left */
} gr_run_state;
/* *step: the last that metrics.jsonl has; -1: none. */
gr_status gr_run_look(const char *dir, gr_run_state *state, int64_t *step);
/* The error of GR_RUN_LOST. */
gr_status gr_run_fail_lost(const char *dir, int64_t step);
/* Removes what a run that never made a step has left: files and folders that are empty. */
void gr_run_tidy(const char *dir);

/* ---- measured ---- */

/* What has been measured: the curve, and the lines of metrics.jsonl. Room for a whole run is taken at once. */
typedef struct gr_history {
    double *step, *loss, *eval_step, *eval_loss;
    size_t n, n_eval, capacity, eval_capacity;
} gr_history;

gr_status gr_history_open(gr_history *h, int64_t steps, int64_t eval_every);
void gr_history_close(gr_history *h);
void gr_history_add(gr_history *h, int64_t step, double loss);
void gr_history_add_eval(gr_history *h, int64_t step, double loss);

/* One line of metrics.jsonl, without its newline. Numbers that are not finite become null. */
typedef struct gr_metrics {
    int64_t step, tokens;
    double loss, lr, grad_norm, tokens_per_s, seconds;
} gr_metrics;
void gr_metrics_line(const gr_metrics *m, char *line, size_t size);
void gr_metrics_eval_line(int64_t step, double eval_loss, char *line, size_t size);

/* Reads RUN/metrics.jsonl back, up to and including `step`, and rewrites it to end there: what was written after the
 * checkpoint that is gone on from will be written again. No file is an empty one. */
gr_status gr_metrics_rewind(const char *path, int64_t step, gr_history *h);

#endif
