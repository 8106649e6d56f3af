/* Inside a training run. */
#ifndef GR_TRAIN_RUN_H
#define GR_TRAIN_RUN_H

#include "base/error.h"

/* ---- the directory ------------------------------------------------------------------------------------------ */

/* The error of GR_RUN_LOST. */
gr_status gr_run_fail_lost(const char *dir, int64_t step);
/* Removes what a run that never made a step has left: files and folders that are empty. */
void gr_run_tidy(const char *dir);

/* ---- measured ----------------------------------------------------------------------------------------------- */

/* Values over steps. A point is one of them, or in a long run several that follow one another. */
typedef struct gr_curve_point {
    double step;           /* of the newest in it */
    double low, high, sum; /* of those that are finite */
    double at_low;         /* step of the lowest */
    double last;           /* the newest, finite or not */
    int64_t count;         /* of those that are finite */
} gr_curve_point;

typedef struct gr_curve {
    gr_curve_point *points; /* [capacity] */
    size_t n, capacity;
    int64_t per, in_last; /* values in a point, and in the newest */
} gr_curve;

/* Takes room for so many values, or for `most` points. */
gr_status gr_curve_open(gr_curve *c, int64_t values, size_t most);
size_t gr_curve_bytes(int64_t values, size_t most); /* that it takes */
void gr_curve_close(gr_curve *c);
void gr_curve_add(gr_curve *c, int64_t step, double value);

/* What has been measured. Its room does not depend on the length of the run, beyond a few thousand steps. */
typedef struct gr_history {
    gr_curve loss, eval;
} gr_history;

gr_status gr_history_open(gr_history *h, int64_t steps, int64_t eval_every);
size_t gr_history_bytes(int64_t steps, int64_t eval_every);
void gr_history_close(gr_history *h);

/* One line of metrics.jsonl, without its newline. Numbers that are not finite become null. */
typedef struct gr_metrics {
    int64_t step, tokens;
    double loss, lr, grad_norm, tokens_per_s, seconds;
    double loss_scale; /* 0: there is none */
    bool skipped;
} gr_metrics;
void gr_metrics_line(const gr_metrics *m, char *line, size_t size);
void gr_metrics_eval_line(int64_t step, double eval_loss, char *line, size_t size);

/* Reads RUN/metrics.jsonl back, up to and including `step`, and rewrites it to end there: what was written after the
 * checkpoint that is gone on from will be written again. No file is an empty one. */
gr_status gr_metrics_rewind(const char *path, int64_t step, gr_history *h);

#endif
