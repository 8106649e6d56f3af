/* Training: data, steps, runs. Part of gradus.h. */
#ifndef GRADUS_TRAIN_H
#define GRADUS_TRAIN_H

#include "gradus/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- data --------------------------------------------------------------------------------------------------- */

/* Text to train on: documents from text files, .jsonl files, directories of both, or "-", stdin; records are found under
 * any name, and what is no text (compressed, UTF-16, weights) is refused. A line of a .jsonl file is {"text": ...} or
 * {"prompt": ..., "completion": ...}; docs/data.md. Errors name file and line.
 * Calls take with each document, in order, a prompt and its completion as one text; false stops: with the error
 * that take has left, else GR_ERR_INTERRUPTED. */
GR_API gr_status gr_read_texts(const char *const *paths, int n, bool (*take)(void *user, const char *text, size_t size),
                               void *user);

/* The same to be read more than once, as when a tokenizer is made of it and then encodes it. Loading reads all of it, so
 * that what is wrong with it is known, and keeps no text: the files are read again by each who needs them, what came
 * through a pipe from a temporary file. Files that have changed meanwhile are an error. */
GR_API gr_corpus *gr_corpus_load(const char *const *paths, int n);
GR_API void gr_corpus_free(gr_corpus *corpus); /* NULL is fine */
typedef struct gr_corpus_info {
    size_t size;
    int64_t documents, bytes; /* bytes: of text, all documents together */
    int64_t apart; /* of the documents: conversations, and completions of prompts. One stream has no place for them */
} gr_corpus_info;
GR_API const gr_corpus_info *gr_corpus_describe(const gr_corpus *corpus); /* lives as long; NULL of NULL */
/* Do the paths name one file of plain text, in which there is nothing to keep apart? Reads its beginning. */
GR_API gr_status gr_corpus_is_one_text(const char *const *paths, int n, bool *is);

/* Training data: one stream of token ids, or documents kept apart. */
typedef struct gr_data gr_data;
/* What is learned of a conversation: what the assistant says, its last turn alone, or everything. */
typedef enum gr_chat_loss { GR_LOSS_ASSISTANT, GR_LOSS_LAST, GR_LOSS_ALL } gr_chat_loss;
/* A conversation that is longer than a row loses its end (other documents become several pieces); or is left out; or is an
 * error. The latter two are for all documents. */
typedef enum gr_too_long { GR_TOO_LONG_CUT, GR_TOO_LONG_DROP, GR_TOO_LONG_ERROR } gr_too_long;
/* What it is made of: ids, or the texts of one of paths and corpus, by a tokenizer. */
typedef struct gr_data_options {
    size_t size;
    const char *const *paths; /* [n_paths] as gr_corpus_load takes them */
    int n_paths;
    const gr_corpus *corpus; /* in place of paths */
    const gr_token *ids;     /* [n_ids] a stream; copied */
    int64_t n_ids;
    gr_tokenizer *tokenizer;
    /* false: a stream, the documents' tokens joined by the tokenizer's end of text where it has one. All of them are trained
     * on, so a line with a prompt is an error. true: each document is the tokens that the tokenizer's post-processor puts
     * before a text, the text's, and those behind; the last is the tokenizer's end of text, or `eos` where it has none.
     * Trained on is what follows the prompt, the end included. */
    bool apart;
    const gr_token *eos; /* NULL: nor is there one */
    int threads;         /* that encode; 0: one per core */
    /* Kept apart, documents may be conversations: what the template makes of them, nothing before or behind it. */
    const gr_template *chat; /* NULL: a conversation is an error */
    const char *variables;   /* [variables_size] an object for the template, as gr_conversation has it */
    size_t variables_size;
    gr_chat_loss loss;
    bool ambiguous_last; /* where it cannot be told which tokens are the assistant's, as the template rewrites earlier
                            turns, the last turn is learned; else the conversation is left out */
    gr_too_long too_long;
} gr_data_options;
GR_API gr_data *gr_data_new(const gr_data_options *options);
static inline gr_data *gr_data_from_ids(const gr_token *ids, int64_t n) /* a stream of these, copied */
{
    gr_data_options o = GR_INIT(gr_data_options);
    o.ids = ids;
    o.n_ids = n;
    return gr_data_new(&o);
}
/* The last `fraction` of the stream, or of documents whole ones, is cut off as *eval: parts of the same memory, data must
 * outlive it. */
GR_API gr_status gr_data_split(gr_data *data, double fraction, gr_data **eval);
GR_API void gr_data_free(gr_data *data); /* NULL is fine */
typedef struct gr_data_info {
    size_t size;
    int64_t tokens;
    int64_t bytes;         /* of text it was made of; 0: of ids, or a part */
    int64_t documents;     /* kept apart; 0: a stream */
    const gr_token *ids;   /* [tokens] of a stream */
    int64_t conversations; /* that were read, those that were refused included; of a part: of all */
} gr_data_info;
/* Lives as long as the data, and is changed by gr_data_split; NULL of NULL. */
GR_API const gr_data_info *gr_data_describe(const gr_data *data);

/* The rows of `context` tokens that data is trained on in, numbered from 0 through all epochs. Which tokens are in row k
 * is a function of the data, these arguments and k alone. The data must outlive it. A stream must have more than `context`
 * tokens. docs/data.md */
typedef struct gr_rows gr_rows;
GR_API gr_rows *gr_rows_new(const gr_data *data, int64_t context, bool shuffle, uint64_t seed);
GR_API void gr_rows_free(gr_rows *rows); /* NULL is fine */
/* What an epoch has of a file, of documents kept apart. */
typedef struct gr_rows_file {
    size_t size;
    const char *name;
    int64_t documents, tokens, trained; /* as below */
    int64_t cut, dropped;               /* documents longer than a row; those left out */
    int64_t refused;                    /* conversations; the first in this line, and why */
    int64_t refused_line;
    const char *why; /* NULL: none */
} gr_rows_file;
/* What an epoch is; of a stream only rows and tokens. */
typedef struct gr_rows_info {
    size_t size;
    int64_t rows, tokens, documents;
    int64_t trained;               /* tokens that are learned, each once */
    int64_t filled;                /* places of the rows that hold a token; the rest is padding */
    int64_t cut, pieces;           /* documents longer than a row; parts that all documents make */
    int64_t cut_prompts, left_out; /* prompts too long for their row, and tokens left out at their beginnings */
    int64_t cut_chats, cut_tokens; /* conversations too long for a row, and tokens left out at their ends */
    int64_t dropped;               /* documents left out, as too_long says */
    const gr_rows_file *files;     /* [n_files] in the order of reading; each is as long as its size */
    int64_t n_files;
} gr_rows_info;
GR_API const gr_rows_info *gr_rows_describe(const gr_rows *rows); /* lives as long as they */
/* Row k as a part of a gr_batch: arrays [context]. segments may be NULL for a stream. */
GR_API void gr_rows_fill(const gr_rows *rows, int64_t k, gr_token *tokens, gr_token *targets, int64_t *segments);
/* Where a segment of row k comes from. */
typedef struct gr_segment_place {
    size_t size;
    const char *file; /* as long as the data; NULL: padding, or of a stream */
    int64_t line;     /* of a .jsonl file; -n: record n of an array; 0: the whole file */
    bool is_padding;
} gr_segment_place;
GR_API gr_status gr_rows_place(const gr_rows *rows, int64_t k, int64_t segment, gr_segment_place *out);

/* ---- steps -------------------------------------------------------------------------------------------------- */

typedef enum gr_schedule { GR_COSINE, GR_LINEAR, GR_WSD, GR_CONSTANT } gr_schedule;
typedef enum gr_optimizer { GR_ADAMW, GR_SGD, GR_LION, GR_ADAFACTOR, GR_MUON, GR_ADAMW8BIT } gr_optimizer;
/* What Muon multiplies the learning rate of a matrix [R, C] by: 0.2 sqrt(max(R, C)), so that rates are AdamW's, or
 * sqrt(max(1, R/C)) as it was published. */
typedef enum gr_lr_adjustment { GR_MATCH_RMS_ADAMW, GR_ORIGINAL } gr_lr_adjustment;

enum { GR_AUTO = -1 };

typedef struct gr_train_options {
    size_t size;
    int64_t batch, context; /* sequences of a micro-batch, tokens of a sequence */
    int64_t accumulate;     /* micro-batches of a step */
    int64_t steps;          /* in all; the schedule ends there */
    double lr, min_lr;      /* peak and end of the learning rate */
    int64_t warmup;         /* steps of linear rise from 0 to lr */
    gr_schedule schedule;   /* what follows: half a cosine, a line, a plateau whose last fifth falls, or lr for ever */
    gr_optimizer optimizer; /* docs/training.md: what each heeds; beta1 is SGD's momentum */
    double beta1, beta2, eps;
    double muon_momentum; /* of Muon's matrices; what is none is moved as by AdamW */
    double muon_lr;       /* their peak learning rate, which falls as lr does; 0: lr */
    gr_lr_adjustment muon_adjust;
    bool bf16_moments;   /* AdamW's, rounded up or down at random; else they are f32 */
    double weight_decay; /* of parameters of 2 or more dims only */
    double clip;         /* largest global norm of the gradients; 0: no limit */
    double dropout;
    bool segments; /* batches may have them: rows of several documents */
    uint64_t seed;
    gr_precision precision;   /* of activations and their gradients */
    double loss_scale;        /* with fp16: what the loss is multiplied by for its gradients; 0: found while training */
    gr_recompute recompute;   /* for less memory at the price of time: at most a forward pass more */
    int64_t recompute_blocks; /* of so many blocks, the last ones; 0: of all */
    int64_t head_rows; /* logits, loss and their gradient for so many tokens at a time, so that all logits are never in
                          memory; 0: at once; GR_AUTO: what costs nothing and changes no bit */
    bool
        clip_last; /* by the norm of the step before, which is part of the state: then weights are moved as soon as their
                       gradients are there, as with clip 0, unless fp16 or accumulation need all of them first */
    const char *passes; /* of compiling, as gr_compile_options has them; NULL: all. Must live as long as the trainer */
    bool bf16_weights; /* the model's f32 weights become bf16, and a step rounds them up or down at random; AdamW's, and
                          with 8 bits */
    uint64_t reserved[11]; /* zeros: room to grow, since gr_run_options holds one of these */
} gr_train_options;
/* Fills them in: AdamW with lr 1e-3 to 1e-4 (0.9, 0.95, 1e-8), decay 0.1, clip 1, cosine with 100 steps of warmup, batch
 * 12 x 64, 2000 steps, Muon's momentum 0.95, seed 0. out begins as GR_INIT(gr_train_options); a field of a later version is zero, as is usual. */
GR_API gr_status gr_train_fill_defaults(gr_train_options *out);
static inline gr_train_options gr_train_defaults(void)
{
    gr_train_options o = GR_INIT(gr_train_options);
    gr_train_fill_defaults(&o);
    return o;
}

/* What gr_train_fit may change in options; each as it stands there is where it begins. */
enum {
    GR_FIT_HEAD_ROWS = 1, /* head_rows: GR_AUTO */
    GR_FIT_MOMENTS = 2,   /* bf16_moments, where the optimizer is AdamW */
    GR_FIT_ADAMW8BIT = 4, /* GR_ADAMW8BIT in place of AdamW */
    GR_FIT_RECOMPUTE = 8, /* recompute and recompute_blocks */
    GR_FIT_ACCUMULATE =
        16 /* batch and accumulate, their product as it is; not with dropout, whose draws would be others */
};
typedef struct gr_fit_options {
    size_t size;
    unsigned may;  /* GR_FIT_… */
    size_t memory; /* bytes: the total of a plan that fits */
} gr_fit_options;
/* Makes of options the cheapest, by the FLOPs of a step, whose plan fits; of equally cheap ones that which changes less, in
 * the order above. plan begins as GR_INIT(gr_plan), or is NULL. None fits: GR_ERR_MEMORY, options stay, and the plan is that
 * with the smallest need, which the message has, too. */
GR_API gr_status gr_train_fit(gr_model *model, gr_train_options *options, const gr_fit_options *fit, gr_plan *plan);

/* Compiled training steps for a model, and the optimizer's moments. */
typedef struct gr_trainer gr_trainer;
/* Compiles; takes no memory for tensors before the first step. The model must outlive it. options NULL: the defaults. */
GR_API gr_trainer *gr_trainer_new(gr_model *model, const gr_train_options *options);
GR_API void gr_trainer_free(gr_trainer *trainer); /* NULL is fine */
typedef struct gr_step_report {
    size_t size;
    int64_t step; /* the step just done: 1, 2, … */
    double loss;  /* mean over the targets that are not ignored */
    double lr;
    double grad_norm;  /* global, before clipping */
    bool skipped;      /* loss or gradients were not finite: weights and moments are as before */
    const char *bad;   /* then: the first tensor that was not */
    double loss_scale; /* that the step was made with, of fp16; else 0 */
} gr_step_report;
/* What a step is made of: arrays [accumulate · batch, context]. A target of -100 is not trained on. Segments number the
 * documents in a row, rising from left to right: tokens see only their own, and positions restart in each; NULL: one
 * document a row. */
typedef struct gr_batch {
    const gr_token *tokens, *targets;
    const int64_t *segments;
} gr_batch;
/* One optimizer step on the mean loss over all targets that are not ignored; all ignored is an error. report begins as
 * GR_INIT(gr_step_report), or is NULL. */
GR_API gr_status gr_trainer_step(gr_trainer *trainer, const gr_batch *batch, gr_step_report *report);
/* The sum of the losses of a micro-batch, arrays [batch, context], and how many targets it is over; none is fine. */
GR_API gr_status gr_trainer_eval_batch(gr_trainer *trainer, const gr_batch *batch, double *sum, int64_t *count);
/* What an optimizer step needs and costs, all programs and micro-batches counted; lives as long as the trainer. NULL of
 * NULL. */
GR_API const gr_plan *gr_trainer_plan(const gr_trainer *trainer);

/* ---- runs --------------------------------------------------------------------------------------------------- */

/* A run: training with evaluation, checkpoints and metrics in a directory. Killed at any instant, it goes on from its
 * newest good checkpoint as if it had not been. */
typedef struct gr_run_event {
    /* EVALUATING: between the parts of an evaluation, which is made anew with the next resume when it is stopped there. */
    enum { GR_EVENT_STEP, GR_EVENT_EVAL, GR_EVENT_SAVE, GR_EVENT_EVALUATING } kind;
    int64_t step, steps;                         /* done, and in all */
    double loss, eval_loss;                      /* of a step; of an evaluation */
    double lr, grad_norm, tokens_per_s, seconds; /* of a step; seconds since the run began, breaks left out */
    bool is_best;                                /* of an evaluation: the lowest loss so far */
    const char
        *line; /* what is written to metrics.jsonl, without newline; of a save: the checkpoint's path; else NULL */
    double evaluated; /* of EVALUATING: the share of the evaluation that is done, 0 to 1 */
} gr_run_event;
/* The right to write a run: one process at a time has it, and loses it with its end. Makes the directory; NULL when another
 * process has it (GR_ERR_ARGUMENT, who it is in the message) or it cannot be made. close removes the directory again if
 * open made it and it is empty. */
typedef struct gr_run_lock gr_run_lock;
GR_API gr_run_lock *gr_run_lock_open(const char *dir);
GR_API void gr_run_lock_close(gr_run_lock *lock); /* NULL is fine */

/* What is left of a run in its directory. *step: the last that metrics.jsonl has; -1: none. Any thread. */
typedef enum gr_run_state {
    GR_RUN_NONE,  /* not one step, or no directory */
    GR_RUN_BEGUN, /* steps, and nothing was ever saved */
    GR_RUN_SAVED, /* checkpoints */
    GR_RUN_LOST,  /* there were checkpoints, and none is left */
} gr_run_state;
GR_API gr_status gr_run_look(const char *dir, gr_run_state *state, int64_t *step);

/* run.json: what a run was begun with, so that it can be gone on with: settings by name, and what it reads by its bytes,
 * wherever that lies by now. */
typedef struct gr_run_setting {
    const char *name, *value;
} gr_run_setting;
typedef enum gr_run_input_kind {
    GR_RUN_DATA,
    GR_RUN_EVAL_DATA,
    GR_RUN_MODEL,
    GR_RUN_ADAPTER,
    GR_RUN_CONFIG,
    GR_RUN_TOKENIZER,
    GR_RUN_INPUTS,    /* how many this version knows */
    GR_RUN_ROOM = 16, /* for those of later ones */
} gr_run_input_kind;
typedef struct gr_run_record {
    const char *kind;               /* "train"; NULL: it does not say */
    const gr_run_setting *settings; /* [n_settings] */
    int n_settings;
    const char *const *data; /* [n_data] as they were given */
    int n_data;
    const char *model; /* as it was given; NULL: a new one was trained */
    unsigned known;    /* bit GR_RUN_…: of which inputs it has the bytes' checksum */
    bool has_changed;  /* inputs with other bytes were accepted at some time */
} gr_run_record;
/* *out is NULL with GR_OK when dir has no run.json. Freed with gr_run_record_free, everything in it too. Any thread. */
GR_API gr_status gr_run_record_read(const char *dir, const gr_run_record **out);
GR_API void gr_run_record_free(const gr_run_record *record); /* NULL is fine */
/* Where number k of an input lies that was given as `was`: where it lay, or else as it was given, or else beside the run, when
 * both were moved together. Lives as long as the record, or is `was`. */
GR_API const char *gr_run_record_place(const gr_run_record *record, gr_run_input_kind which, int k, const char *was);
/* Something that a run reads. Its bytes are known by one of the last five; none: they are not compared. */
typedef struct gr_run_input {
    const char *const *paths; /* [n_paths] as they are given now */
    int n_paths;
    const gr_data *data;
    const gr_corpus *corpus;
    const char *dir, *file; /* of a model or an adapter; one file */
    const gr_tokenizer *tokenizer;
    const void *reserved[3]; /* zeros */
} gr_run_input;
typedef struct gr_run_start {
    size_t size;
    const char *kind;
    const gr_run_setting *settings; /* [n_settings] */
    int n_settings;
    const char *model;                /* as it was given; NULL: a new one */
    const gr_model *trains;           /* noted: its device and its parameters; may be NULL */
    bool accepts_changes;             /* of bytes: they are remarked on and noted, else they are an error */
    int threads;                      /* that read; 0: one per core */
    gr_run_input inputs[GR_RUN_ROOM]; /* by GR_RUN_DATA and so on; zeros: there is none */
} gr_run_start;
/* Compares with the run.json that dir has, then writes it anew, or with compare_only does not. Bytes that have changed are
 * GR_ERR_FILE, and name what. Only for who has the run's lock. */
GR_API gr_status gr_run_record_write(const char *dir, const gr_run_start *start, bool compare_only);

typedef struct gr_run_options {
    size_t size; /* 0 counts as that of version 0.1 */
    const char *dir;
    gr_run_lock *lock;      /* of dir, when the caller has it already; NULL: taken for the time of the call */
    gr_train_options train; /* size 0: the defaults */
    bool shuffle;           /* rows in random order; else sequential (docs/data.md) */
    int64_t rows;           /* of the data in all: what steps have room for behind them is empty, and a step takes
                                no more of them than an epoch has; 0: no end */
    int64_t eval_every;     /* steps between evaluations; 0: at the end only */
    int64_t eval_tokens;    /* of the evaluation data at most; 0: all */
    int64_t save_every;     /* steps between checkpoints; 0: at the end only */
    int64_t keep;           /* newest checkpoints kept, and the best */
    bool resume;            /* go on from the newest good checkpoint, if there is one */
    const char *const (
        *files)[2]; /* [n_files] name and text of what every checkpoint is to hold besides: tokenizer.json … */
    int n_files;
    const char *source; /* a directory whose tokenizer, chat template, generation settings and licence every checkpoint
                           holds too, as far as `files` has none; NULL: none */
    const char *base;   /* what the adapter's files are to call its model; NULL: what they do already */
    bool (*event)(void *user, const gr_run_event *event); /* false: the step is saved, and the run ends; may be NULL */
    void *user;
} gr_run_options;
/* Bytes that a run of these options takes besides its trainer's memory. */
GR_API size_t gr_run_memory(const gr_run_options *options);
/* GR_OK when all steps are done, GR_ERR_INTERRUPTED when stopped (and saved). eval may be NULL. A run that is written by
 * another process is GR_ERR_ARGUMENT; one whose checkpoints are gone is GR_ERR_FILE. What fails before the first step
 * leaves nothing behind. */
GR_API gr_status gr_train_run(gr_model *model, const gr_data *data, const gr_data *eval, const gr_run_options *options);

#ifdef __cplusplus
}
#endif

#endif
