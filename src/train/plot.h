/* loss.svg: the curves of a training run as a picture that any browser shows, in its light or dark colours. */
#ifndef GR_TRAIN_PLOT_H
#define GR_TRAIN_PLOT_H

#include "train/run.h"

/* Draws the losses over their steps (rising) and writes the file atomically. Values that are not finite are left out.
 * However long the run, the file stays under 50 KB. Curves may be empty. */
gr_status gr_plot_loss(const char *path, const gr_history *h, const char *title);

#endif
