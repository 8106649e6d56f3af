/* loss.svg: the curves of a training run as a picture that any browser shows, in its light or dark colours. */
#ifndef GR_TRAIN_PLOT_H
#define GR_TRAIN_PLOT_H

#include "base/error.h"

/* Draws n training losses and n_eval evaluation losses over their steps (rising) and writes the file atomically. Values
 * that are not finite are left out. However long the run, the file stays under 50 KB. n and n_eval may be 0. */
gr_status gr_plot_loss(const char *path, const double *step, const double *loss, size_t n, const double *eval_step,
                       const double *eval_loss, size_t n_eval, const char *title);

#endif
