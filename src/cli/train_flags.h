/* The flags of training, shared by train, finetune and plan. */
#ifndef GR_CLI_TRAIN_FLAGS_H
#define GR_CLI_TRAIN_FLAGS_H

#include <limits.h>
#include "cli/add_tokens.h"
#include "cli/chat_template.h"
#include "cli/open.h"

typedef struct gr_train_flags {
    const char *out, *arch, *config, *tokenizer, *init, *eval_data;
    int64_t layers, heads, kv_heads, embed, ffn;
    int64_t steps, batch, context, accumulate, warmup;
    double epochs, lr, min_lr, beta1, beta2, eps, weight_decay, clip, dropout;
    double muon_lr, muon_momentum;
    const char *loss_scale; /* NULL: "dynamic" */
    const char *head_rows;  /* NULL: all at once */
    const char *passes;     /* NULL: all */
    bool clip_last;
    int64_t recompute_blocks, memory; /* memory 0: what is free */
    unsigned allow;                   /* bit 0: adamw8bit */
    int schedule, optimizer, moments, weights, muon_adjust, precision, recompute, order, documents;
    double eval_fraction;
    int64_t eval_every, eval_tokens, save_every, keep;
    bool resume, data_changed;
    gr_chat_data_flags chats;
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
struct gr_train_job;

/* What the verbs that train differ in; gr_verb.own of these and of their plans. */
typedef struct gr_train_kind {
    bool takes_model;  /* MODEL stands before DATA, and is what is trained */
    bool follows_data; /* --documents and --context that were not given are what fits DATA */
    /* The device, model and tokenizer of the job. initialize false: weights are only described. */
    gr_status (*open)(gr_args *args, bool initialize, struct gr_train_job *job);
    /* What every checkpoint holds besides config.json, so that transformers loads it. */
    gr_status (*put_files)(struct gr_train_job *job);
} gr_train_kind;
extern const gr_train_kind gr_kind_train, gr_kind_finetune;
const gr_train_kind *gr_kind_of(const gr_args *args);

/* What a training command works on. */
typedef struct gr_train_job {
    gr_opened on;      /* device, model, tokenizer */
    gr_corpus *corpus; /* as long as it is needed, or after a failure */
    gr_data *data, *eval;
    gr_chat chat;
    gr_added_tokens added;
    const gr_run_record *record; /* of the run that is gone on with; NULL: a new one */
    char *vocabulary;            /* of gr_train_flags.vocabulary */
    gr_run_options run;
    char base[PATH_MAX];     /* of run.base */
    const char *files[5][2]; /* of run.files */
    char generation[256];    /* one of them, */
    char *tokenizer_config;  /* and another */
    char chosen[6][24];      /* values of flags that gr_fit_memory has chosen */
    char budget[240];        /* and in a line what they are; "": there was nothing to choose */
} gr_train_job;

/* Reads the data and makes the model and all options, as the flags say, into a job that is zero but for its record.
 * initialize: set the weights too; if not, there may be no data either. Close in any case. */
gr_status gr_train_job_open(gr_args *args, const char **data, size_t n_data, bool initialize, gr_train_job *job);
void gr_train_job_close(gr_train_job *job);

/* Rows of so many passes over the data, rounded up. */
int64_t gr_epoch_rows(const gr_rows *rows, double epochs);

/* train_check.c: what is given is heeded or refused. Flags among themselves: */
gr_status gr_check_train_flags(gr_args *args);
/* Flags that contradict the model, where --init or --config give it; a --context that was not given becomes one that the
 * model can take. */
gr_status gr_check_train_model(gr_args *args, const gr_model *model);
/* A failure of the config.json that was made of flags, told as one of the flag that the key came from. */
gr_status gr_blame_shape(gr_args *args, gr_status status);
/* One stream of text must fill a row. A --context that was not given may become one that it fills. */
gr_status gr_check_train_data(gr_args *args, const gr_data *data);
/* Options that have their precision get their loss scale. */
gr_status gr_set_loss_scale(gr_args *args, gr_train_options *options);
/* Tokens of a piece of the head: 0, a number, or GR_AUTO. */
gr_status gr_set_head_rows(gr_args *args, gr_train_options *options);
/* Names of passes that there are none of. */
gr_status gr_check_passes(gr_args *args, gr_device *device);
/* What only the data's size tells: numbers that overflow, a warmup longer than the run. */
gr_status gr_check_train_options(gr_args *args, const gr_train_options *options);

/* train_fit.c: with --memory or --recompute auto, flags that were not given become the cheapest that fit, and the line that
 * says so is told. is_loaded: the weights are in memory already. */
enum { GR_CHOSEN_RECOMPUTE = 3 }; /* --recompute auto */
gr_status gr_fit_memory(gr_args *args, gr_train_job *job, bool is_loaded);
/* Program code that a run touches and planning does not: kernels, and a BLAS (measured: 0.8 to 1.8 MB). */
enum { GR_CODE_BYTES = 1 << 20 };
/* Bytes that a run takes besides what the trainer plans: batches, and on the host the process itself. */
gr_status gr_run_overhead(const gr_train_job *job, bool is_loaded, size_t *bytes);

/* Trains: what the verbs train and finetune do. */
gr_status gr_train_verb_run(gr_args *args);

#endif
