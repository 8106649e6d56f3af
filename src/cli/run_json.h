/* run.json of the training commands: flags go in and come back as settings, and MODEL, DATA and the files that flags name as
 * what the run reads. */
#ifndef GR_CLI_RUN_JSON_H
#define GR_CLI_RUN_JSON_H

#include "cli/train_flags.h"

enum { GR_MOST_DATA = 256 }; /* DATA arguments */

bool gr_run_json_is_there(const gr_args *args);
/* For --resume: gives flags, MODEL and data the values of a record; what they point to lives in that. NULL: nothing happens. */
gr_status gr_run_json_restore(gr_args *args, gr_train_job *job, const char **data, size_t *n_data);
/* Compares what was read with what the run was begun with, and writes run.json. */
gr_status gr_run_json_write(gr_args *args, const gr_train_job *job, const char **data, size_t n_data);
/* A failure to open the job, which is told as what it comes from when the data has changed. */
gr_status gr_run_json_explain(const gr_args *args, const gr_train_job *job, gr_status failed);

#endif
