/* run.json: what a run was begun with, to go on with it: flags by their values, and data, model, tokenizer and config by
 * their bytes, wherever they lie by now. */
#ifndef GR_CLI_RUN_JSON_H
#define GR_CLI_RUN_JSON_H

#include "base/json.h"
#include "cli/train_flags.h"

enum { GR_MOST_DATA = 256 }; /* DATA arguments */

typedef struct gr_run_record {
    gr_json_doc *doc; /* as it was read; NULL: a new run */
    char **texts;     /* [n_texts] paths that were made here */
    size_t n_texts, texts_cap;
} gr_run_record;

char *gr_run_json_path(const gr_args *args); /* caller frees */
bool gr_run_json_is_there(const gr_args *args);
/* For --resume: gives flags, MODEL and data their values; what they point to lives in the record. Without a run.json nothing
 * happens. */
gr_status gr_run_json_restore(gr_args *args, gr_run_record *r, const char **data, size_t *n_data);
/* Compares what was read with what the run was begun with, and writes run.json. */
gr_status gr_run_json_write(gr_args *args, const gr_run_record *r, const gr_train_job *job, const char **data,
                            size_t n_data);
/* A failure to open the job, which is told as what it comes from when the data has changed. */
gr_status gr_run_json_explain(const gr_args *args, const gr_run_record *r, const gr_train_job *job, gr_status failed);
void gr_run_json_close(gr_run_record *r);

#endif
