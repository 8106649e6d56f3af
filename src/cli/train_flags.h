/* The flags of training, shared by train, finetune and plan. */
#ifndef GR_CLI_TRAIN_FLAGS_H
#define GR_CLI_TRAIN_FLAGS_H

#include <limits.h>
#include "cli/open.h"
#include "train/data.h"

typedef struct gr_train_flags {
    const char *out, *arch, *config, *tokenizer, *init, *eval_data;
    int64_t layers, heads, kv_heads, embed, ffn;
    int64_t steps, batch, context, accumulate, warmup;
    double epochs, lr, min_lr, beta1, beta2, eps, weight_decay, clip, dropout;
    int schedule, optimizer, precision, order, documents;
    double eval_fraction;
    int64_t eval_every, eval_tokens, save_every, keep;
    bool resume, data_changed;
    const char *vocabulary; /* a tokenizer.json in place of what --tokenizer would make; NULL: none */
    /* of finetune */
    const char *model; /* MODEL; NULL: train */
    bool full, rslora, dora, lora_b_bias;
    int lora_bias; /* a gr_lora_bias */
    int64_t lora_rank;
    double lora_alpha, lora_dropout;
    const char *lora_targets, *modules_to_save, *train_tokens;
} gr_train_flags;

/* A verb's flags are the first or the second of these, and the third. */
extern const gr_flag gr_train_flag_table[], gr_finetune_flag_table[], gr_loop_flag_table[];
extern const gr_default gr_finetune_defaults[];
/* Is the verb one of those that take MODEL and then DATA? */
bool gr_is_finetune(const gr_args *args);

/* What a training command works on. */
typedef struct gr_train_job {
    gr_opened on; /* device, model, tokenizer */
    gr_corpus *corpus, *eval_corpus;
    gr_data *data, *eval;
    gr_inputs read; /* of DATA as far as it got: a failure may come from its having changed */
    gr_run_options run;
    char base[PATH_MAX]; /* of run.base */
} gr_train_job;

/* Reads the data and makes the model and all options, as the flags say. initialize: set the weights too; if not, there
 * may be no data either. Close in any case. */
gr_status gr_train_job_open(gr_args *args, const char **data, size_t n_data, bool initialize, gr_train_job *job);
void gr_train_job_close(gr_train_job *job);
/* For finetune: MODEL with its tokenizer, and a new adapter unless all is trained. initialize false: weights are only
 * described. */
gr_status gr_finetune_open(gr_args *args, bool initialize, gr_train_job *job);

/* train_check.c: what is given is heeded or refused. Flags among themselves: */
gr_status gr_check_train_flags(gr_args *args);
/* Flags that contradict the model, where --init or --config give it; a --context that was not given becomes one that the
 * model can take. */
gr_status gr_check_train_model(gr_args *args, const gr_model *model);
/* A failure of the config.json that was made of flags, told as one of the flag that the key came from. */
gr_status gr_blame_shape(gr_args *args, gr_status status);
/* One stream of text must fill a row. A --context that finetune was not given becomes one that it fills. */
gr_status gr_check_train_data(gr_args *args, const gr_data *data);
/* What only the data's size tells: numbers that overflow, a warmup longer than the run. */
gr_status gr_check_train_options(gr_args *args, const gr_train_options *options);

/* Trains: what the verbs train and finetune do. */
gr_status gr_train_verb_run(gr_args *args);

#endif
