/* The directory of a run.
 *
 *     RUN/checkpoints/step-N/      a checkpoint (format/checkpoint.h)
 *     RUN/best, RUN/latest         relative symbolic links to checkpoints/step-N: a path that transformers takes too
 *
 * A checkpoint gets its name when all of it is on the disk, and is removed only after losing its name, so a kill at any
 * instant leaves whole checkpoints and, at most, hidden leftovers that gr_checkpoint_clean removes. One process at a
 * time writes a run. Reading changes nothing.
 */
#ifndef GR_TRAIN_RUN_DIR_H
#define GR_TRAIN_RUN_DIR_H

#include "format/checkpoint.h"

/* ---- writing ------------------------------------------------------------------------------------------------ */

/* Writes RUN/checkpoints/step-N and points RUN/latest at it. */
gr_status gr_checkpoint_write(const char *run, int64_t step, const gr_checkpoint_spec *spec);

/* Points RUN/`name` ("best") at step N. What stands there and is neither a link nor a copy of one of the run's checkpoints is
 * moved out of the way. */
gr_status gr_checkpoint_mark(const char *run, const char *name, int64_t step);
/* The step that RUN/`name` points at; -1 when there is no such link, or no such checkpoint. A run that was copied without
 * links has a folder or a text there, which mean the same. */
gr_status gr_checkpoint_marked(const char *run, const char *name, int64_t *step);

/* Keeps the newest `keep` (at least 1), and best. Steps beyond `latest` are of an earlier, broken-off run: they do not
 * count as newest, and stay until they are written again. */
gr_status gr_checkpoint_prune(const char *run, int keep);
/* Removes the folder `path`, one of step N. */
gr_status gr_checkpoint_trash(const char *run, const char *path, int64_t step);
/* A whole checkpoint that stands as RUN/latest or RUN/best itself, and is not in RUN/checkpoints, is moved there. */
gr_status gr_checkpoint_adopt(const char *run);
/* Removes what a killed process left half done, or completes it, and adopts. For the one process that is about to write the run. */
gr_status gr_checkpoint_clean(const char *run);

/* ---- reading ------------------------------------------------------------------------------------------------ */

/* The steps that have a checkpoint, in rising order; *steps is freed by the caller. None is not a failure. */
gr_status gr_checkpoint_list(const char *run, int64_t **steps, size_t *count);
/* "RUN/checkpoints/step-N"; caller frees. */
#define GR_STEP "step-"
/* The N of "step-N" as it is written there. */
bool gr_checkpoint_step_of(const char *name, int64_t *step);
char *gr_checkpoint_path(const char *run, int64_t step);

/* The newest checkpoint that passes gr_verify; newer ones that do not are named in the log as warnings.
 * *path (caller frees) is NULL with GR_OK when the run has none yet; all of them damaged is GR_ERR_FILE. */
gr_status gr_checkpoint_newest_good(const char *run, char **path, int64_t *step);
/* What a MODEL argument means: of a run its best, else its newest good checkpoint; any other path itself. Caller frees;
 * NULL: gr_error(). */
char *gr_checkpoint_resolve(const char *path);

#endif
