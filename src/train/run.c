/* A training run: the loop, its evaluations, checkpoints and metrics. */
#include "train/run.h"

#include "backend/backend.h"
#include "base/file.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/mem.h"
#include "base/sized.h"
#include "model/adapter/adapter.h"
#include "model/files/save.h"
#include "model/layers/model.h"
#include "train/data.h"
#include "train/optimizer.h"
#include "train/plot.h"
#include "train/run_dir.h"
#include "train/scaling.h"
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_SKIPPED = 20 }; /* steps in a row without a finite gradient: the run is lost */

typedef struct run {
    gr_model *model;
    gr_trainer *trainer;
    const gr_data *data, *eval; /* eval: NULL, or as data a stream, or documents */
    gr_rows *rows, *eval_rows;  /* eval_rows: of documents */
    const gr_run_options *o;
    gr_train_options train;
    gr_carried carried; /* files of options.source, held so that it may go away meanwhile */
    gr_history history;
    gr_run_lock *lock; /* taken here; NULL: the caller's */
    char *metrics_path, *plot_path;
    /* A step's batch, [accumulate · batch, context] each; segments NULL: the data is a stream. With a device that works while
     * the host does something else there is room for two: the next one is made meanwhile. */
    int halves;
    gr_token *buffer, *tokens, *targets;
    int64_t *all_segments, *segments;
    int half;      /* which one tokens, targets and segments are */
    int64_t ahead; /* the step whose batch the other half holds, once it is one */
    int64_t step_tokens;
    int64_t step_rows;        /* of the data; with o->rows at most an epoch */
    double seconds;           /* of training, earlier sessions included */
    double best;              /* lowest evaluation loss; infinity before the first */
    int64_t best_step;        /* where it was */
    double smoothed;          /* loss, to tell a spike; NaN before the first step */
    int64_t saved, evaluated; /* the last steps that were; -1: none */
    int64_t part, parts;      /* of an evaluation: those that are done, and all */
    int skipped;              /* steps in a row */
    bool stopped;             /* the caller wants no more steps */
} run;

static void tell(run *r, gr_run_event e)
{
    e.step = gr_trainer_steps(r->trainer);
    e.steps = r->train.steps;
    e.seconds = r->seconds;
    if (r->o->event && !r->o->event(r->o->user, &e))
        r->stopped = true;
}

/* ---- state -------------------------------------------------------------------------------------------------- */

static const char *precision_name(const run *r)
{
    static const char *const names[] = {"f32", "bf16", "fp16"};
    return names[r->train.precision];
}

/* Which template the conversations were made with: whoever uses the checkpoint compares his own with it. */
static void put_template(gr_json o, const gr_data *data)
{
    char digest[20];
    if (!data->template)
        return;
    snprintf(digest, sizeof digest, "%016llx", (unsigned long long)data->template_digest);
    gr_json t = gr_json_put_object(o, "chat_template");
    gr_json_put_text(t, "name", data->template);
    gr_json_put_text(t, "digest", digest);
}

static gr_json_doc *state_json(const run *r)
{
    gr_json_doc *doc = gr_json_new("training.json");
    if (!doc)
        return NULL;
    gr_json o = gr_json_root(doc);
    int64_t step = gr_trainer_steps(r->trainer);
    gr_json_put_text(o, "version", GR_VERSION);
    gr_json_put_int(o, "step", step);
    gr_json_put_int(o, "next_row", step * r->step_rows); /* of the data */
    gr_json_put_int(o, "seed", (int64_t)r->train.seed);
    gr_json_put_text(o, "optimizer", gr_optimizer_name(r->train.optimizer));
    gr_json_put_text(o, "precision", precision_name(r));
    gr_json_put_text(o, "weights", r->train.bf16_weights ? "bf16" : "f32");
    gr_json_put_real(o, "seconds", r->seconds);
    gr_json_put_int(o, "skipped", r->skipped);
    if (isfinite(r->best)) {
        gr_json_put_real(o, "best_eval_loss", r->best);
        gr_json_put_int(o, "best_step", r->best_step);
    }
    if (isfinite(r->smoothed))
        gr_json_put_real(o, "smoothed_loss", r->smoothed);
    put_template(o, r->data);
    return doc;
}

static gr_status read_state(run *r, gr_json_doc *doc)
{
    if (!doc)
        return gr_fail(GR_ERR_FILE, "the checkpoint has no training.json, so training cannot go on from it\n"
                                    "start a new run, with it as the model");
    gr_json o = gr_json_root(doc);
    int64_t step = gr_json_as_int(gr_json_get(o, "step"), 0, INT64_MAX);
    const char *optimizer = gr_json_text(o, "optimizer", "");
    r->seconds = gr_json_real(o, "seconds", 0, 0, 1e15);
    r->skipped = (int)gr_json_int(o, "skipped", 0, 0, INT32_MAX);
    r->best = gr_json_real(o, "best_eval_loss", INFINITY, -1e300, 1e300);
    r->best_step = gr_json_int(o, "best_step", -1, 0, INT64_MAX);
    r->smoothed = gr_json_real(o, "smoothed_loss", NAN, -1e300, 1e300);
    if (strcmp(optimizer, gr_optimizer_name(r->train.optimizer)) != 0)
        gr_json_fail(gr_json_get(o, "optimizer"),
                     "the checkpoint was trained with %.40s, the run is to go on with %s\ngo on with the "
                     "checkpoint's, or start a new run with it as the model",
                     optimizer, gr_optimizer_name(r->train.optimizer));
    const char *precision = gr_json_text(o, "precision", "f32"); /* of older versions, too */
    if (strcmp(precision, precision_name(r)) != 0)
        gr_json_fail(gr_json_get(o, "precision"),
                     "the checkpoint was trained in \"%s\", this is to be %s\ngo on with that, or start a new run with "
                     "it as the model",
                     precision, precision_name(r));
    const char *weights = gr_json_text(o, "weights", "f32"), *wanted = r->train.bf16_weights ? "bf16" : "f32";
    if (strcmp(weights, wanted) != 0)
        gr_json_fail(gr_json_get(o, "weights"),
                     "the checkpoint's weights were trained in \"%s\", these are to be %s\ngo on with that, or start a "
                     "new run with it as the model",
                     weights, wanted);
    gr_trainer_set_steps(r->trainer, step);
    return gr_json_check(doc);
}

/* ---- checkpoints -------------------------------------------------------------------------------------------- */

/* The files of a checkpoint besides those that are written from stores. */
typedef struct files {
    gr_checkpoint_file *list;
    int n;
    char *config;
} files;

static void add_file(files *f, const char *name, const void *data, size_t size)
{
    for (int i = 0; i < f->n; i++)
        if (strcmp(f->list[i].name, name) == 0)
            return; /* the first of a name stands */
    f->list[f->n++] = (gr_checkpoint_file){name, data, size};
}

static gr_status open_files(files *f, const run *r)
{
    const gr_run_options *o = r->o;
    const char *adapter = gr_model_describe(r->model)->adapter_config;
    *f = (files){.config = adapter ? gr_strdup(adapter) : gr_model_saved_config(r->model, NULL, NULL)};
    gr_status s = f->config ? GR_OK : gr_error_status();
    const gr_carried *c = &r->carried;
    if (s == GR_OK &&
        !(f->list = gr_alloc_zero((size_t)(1 + (o->n_files > 0 ? o->n_files : 0) + c->count), sizeof *f->list)))
        s = GR_ERR_MEMORY;
    if (s != GR_OK)
        return s;
    add_file(f, adapter ? GR_ADAPTER_CONFIG : "config.json", f->config, strlen(f->config));
    for (int i = 0; i < o->n_files; i++)
        add_file(f, o->files[i][0], o->files[i][1], strlen(o->files[i][1]));
    for (int i = 0; i < c->count; i++)
        add_file(f, c->files[i].name, c->files[i].data, c->files[i].size);
    return GR_OK;
}

static void close_files(files *f)
{
    gr_free(f->list);
    gr_free(f->config);
}

static gr_status write_checkpoint(run *r, const files *f, const gr_json_doc *doc)
{
    gr_store_tensors weights = {0}, state = {0};
    gr_status s = gr_store_tensors_open(&weights, gr_model_trainable(r->model), NULL);
    if (s == GR_OK)
        s = gr_store_tensors_open(&state, gr_trainer_store(r->trainer), NULL);
    if (s == GR_OK) {
        gr_checkpoint_spec spec = {.files = f->list, .file_count = f->n, .state = doc};
        spec.model = gr_store_tensors_spec(&weights);
        spec.is_adapter = gr_model_describe(r->model)->adapter_config != NULL;
        spec.training = gr_store_tensors_spec(&state);
        s = gr_checkpoint_write(r->o->dir, gr_trainer_steps(r->trainer), &spec);
    }
    gr_store_tensors_close(&weights);
    gr_store_tensors_close(&state);
    return s;
}

static gr_status save(run *r)
{
    int64_t step = gr_trainer_steps(r->trainer);
    if (r->saved == step)
        return GR_OK;
    char *path = gr_checkpoint_path(r->o->dir, step);
    gr_json_doc *doc = path ? state_json(r) : NULL;
    files f = {0};
    gr_status s = doc ? open_files(&f, r) : gr_error_status();
    if (s == GR_OK)
        s = write_checkpoint(r, &f, doc);
    close_files(&f);
    gr_json_free(doc);
    if (s == GR_OK) {
        r->saved = step;
        tell(r, (gr_run_event){.kind = GR_EVENT_SAVE, .line = path});
    }
    gr_free(path);
    return s == GR_OK ? gr_checkpoint_prune(r->o->dir, (int)r->o->keep) : s;
}

static gr_status restore_tensors(gr_store *store, const void *file,
                                 const gr_weight *(*find)(const void *, const char *))
{
    gr_entry e = GR_INIT(gr_entry);
    gr_status s = GR_OK;
    for (int i = 0; s == GR_OK && i < gr_store_count(store); i++) {
        s = gr_store_entry(store, i, &e);
        const gr_weight *t = s == GR_OK ? find(file, e.name) : NULL;
        const char *is = !t ? "missing" : t->dtype != e.dtype ? gr_dtype_name(t->dtype) : "of another shape";
        if (s == GR_OK && (!t || t->dtype != e.dtype || t->bytes != e.bytes))
            s = gr_fail(GR_ERR_FILE,
                        "tensor \"%s\" is %s in the checkpoint, the run's is %s\nthe run's options do not "
                        "belong to it",
                        e.name, is, gr_dtype_name(e.dtype));
        if (s == GR_OK)
            s = gr_store_write(store, e.name, t->data, t->bytes);
    }
    return s;
}

static const gr_weight *find_weight(const void *file, const char *name)
{
    return gr_weights_find(file, name);
}

static const gr_weight *find_state(const void *file, const char *name)
{
    return file ? gr_safetensors_find(file, name) : NULL;
}

static gr_status restore(run *r, const char *path)
{
    gr_checkpoint c;
    gr_status s = gr_checkpoint_open(path, &c);
    if (s != GR_OK)
        return s;
    s = read_state(r, c.state); /* first: of another optimizer other tensors are missing */
    if (s == GR_OK)
        s = restore_tensors(gr_model_trainable(r->model), c.weights, find_weight);
    if (s == GR_OK)
        s = restore_tensors(gr_trainer_store(r->trainer), c.training, find_state);
    if (s == GR_OK)
        s = gr_scaling_check(r->trainer);
    gr_checkpoint_close(&c);
    return s == GR_OK ? GR_OK : gr_fail_in("%s", path);
}

/* ---- evaluation --------------------------------------------------------------------------------------------- */

static gr_batch batch_of(const run *r)
{
    return (gr_batch){r->tokens, r->targets, r->segments};
}

static void fill_row(run *r, const gr_rows *rows, int64_t k, int64_t i)
{
    int64_t at = i * r->train.context;
    gr_rows_fill(rows, k, r->tokens + at, r->targets + at, r->segments ? r->segments + at : NULL);
}

static void empty_row(run *r, int64_t i)
{
    int64_t at = i * r->train.context;
    gr_rows_empty(r->train.context, r->tokens + at, r->targets + at, r->segments ? r->segments + at : NULL);
}

static bool tell_evaluated(run *r, double share)
{
    tell(r, (gr_run_event){.kind = GR_EVENT_EVALUATING, .evaluated = share});
    return !r->stopped;
}

/* Asked between the parts of an evaluation. */
static bool evaluates_on(void *user)
{
    run *r = user;
    return tell_evaluated(r, (double)++r->part / (double)r->parts);
}

/* Mean loss over what is learned in the documents, as many rows of them as eval_tokens asks for. */
static gr_status evaluate_documents(run *r, double *loss)
{
    int64_t rows = gr_rows_describe(r->eval_rows)->rows, trained = 0, most = r->o->eval_tokens, count;
    gr_batch batch = batch_of(r);
    double total = 0, sum;
    for (int64_t k = 0; k < rows && (most <= 0 || trained < most); k += r->train.batch) {
        double of_rows = (double)k / (double)rows, of_most = most > 0 ? (double)trained / (double)most : 0;
        if (k > 0 && !tell_evaluated(r, fmax(of_rows, of_most)))
            return gr_fail(GR_ERR_INTERRUPTED, "evaluation: stopped");
        for (int64_t i = 0; i < r->train.batch; i++)
            if (k + i < rows)
                fill_row(r, r->eval_rows, k + i, i);
            else
                empty_row(r, i);
        gr_status s = gr_trainer_eval_batch(r->trainer, &batch, &sum, &count);
        if (s != GR_OK)
            return s;
        total += sum;
        trained += count;
    }
    *loss = total / (double)trained;
    return GR_OK;
}

static gr_status evaluate_stream(run *r, double *loss)
{
    int64_t n = gr_data_describe(r->eval)->tokens, most = r->o->eval_tokens;
    n = most > 0 && most + 1 < n ? most + 1 : n;
    int64_t tokens = r->train.batch * r->train.context;
    r->part = 0;
    r->parts = (n - 2 + tokens) / tokens;
    return gr_trainer_eval(r->trainer, gr_data_describe(r->eval)->ids, n, evaluates_on, r, loss);
}

static bool due(int64_t every, int64_t step)
{
    return every > 0 && step % every == 0;
}

/* Whether the step that was done last is to be evaluated still. */
static bool lacks_evaluation(const run *r)
{
    int64_t step = gr_trainer_steps(r->trainer);
    return r->eval && step > 0 && r->evaluated != step && (step == r->train.steps || due(r->o->eval_every, step));
}

/* What is stopped is left to whoever resumes. The line comes behind the checkpoint that knows of it: whoever is killed
 * between them evaluates again. */
static gr_status evaluate(run *r)
{
    int64_t step = gr_trainer_steps(r->trainer);
    if (r->stopped || !lacks_evaluation(r))
        return GR_OK;
    double loss, before = gr_seconds();
    gr_status s = r->eval_rows ? evaluate_documents(r, &loss) : evaluate_stream(r, &loss);
    if (s != GR_OK)
        return s == GR_ERR_INTERRUPTED && r->stopped ? GR_OK : s;
    r->seconds += gr_seconds() - before;
    r->evaluated = step;
    bool best = loss < r->best;
    r->best = best ? loss : r->best;
    r->best_step = best ? step : r->best_step;
    char line[256];
    gr_metrics_eval_line(step, loss, line, sizeof line - 1);
    tell(r, (gr_run_event){.kind = GR_EVENT_EVAL, .eval_loss = loss, .is_best = best, .line = line});
    if (best) { /* is kept as a checkpoint of its own; one that is there knows nothing of it */
        r->saved = -1;
        s = save(r);
        if (s == GR_OK)
            s = gr_checkpoint_mark(r->o->dir, "best", step);
        if (s == GR_OK) /* the one that was best until now */
            s = gr_checkpoint_prune(r->o->dir, (int)r->o->keep);
    }
    strcat(line, "\n");
    if (s == GR_OK)
        s = gr_file_append(r->metrics_path, line, strlen(line));
    gr_curve_add(&r->history.eval, step, loss);
    return s;
}

static gr_status plot(run *r)
{
    return gr_plot_loss(r->plot_path, &r->history, gr_model_describe(r->model)->arch);
}

/* ---- steps -------------------------------------------------------------------------------------------------- */

/* The batch of a step is made in the half of the buffer that is in use. */
static void use_half(run *r, int half)
{
    r->half = half;
    r->tokens = r->buffer + 2 * half * r->step_tokens;
    r->targets = r->tokens + r->step_tokens;
    r->segments = r->all_segments ? r->all_segments + half * r->step_tokens : NULL;
}

static void fill_batch(run *r, int64_t step)
{
    const gr_train_options *t = &r->train;
    int64_t first = step * r->step_rows, end = r->o->rows;
    for (int64_t i = 0; i < t->accumulate * t->batch; i++)
        if (i < r->step_rows && (end <= 0 || first + i < end))
            fill_row(r, r->rows, first + i, i);
        else
            empty_row(r, i);
}

/* The next batch, while the device has this one. */
static void fill_ahead(void *user)
{
    run *r = user;
    int64_t next = gr_trainer_steps(r->trainer) + 1;
    if (next >= r->train.steps)
        return;
    use_half(r, !r->half);
    fill_batch(r, next);
    use_half(r, !r->half);
    r->ahead = next;
}

/* Says what went wrong with a step, and gives up when nothing goes right any more. */
static gr_status judge(run *r, const gr_step_report *s)
{
    bool finds_scale = s->loss_scale > 0 && r->train.loss_scale == 0;
    r->skipped = s->skipped ? r->skipped + 1 : 0;
    if (s->skipped && finds_scale && r->trainer->scale < 1)
        return gr_fail(GR_ERR_NUMBER,
                       "training: %s is not finite though the loss is hardly scaled any more (step %lld: by %g)\n"
                       "the last good checkpoint is kept; lower --lr, or train with --precision bf16",
                       s->bad, (long long)s->step, s->loss_scale);
    if (s->skipped && finds_scale)
        gr_remark(GR_LOG_INFO,
                  "step %lld: %s is not finite with the loss scaled by %g; the step was skipped, the scale is %g",
                  (long long)s->step, s->bad, s->loss_scale, (double)r->trainer->scale);
    else if (s->skipped)
        gr_remark(GR_LOG_WARN, "step %lld: %s is not finite; the step was skipped, weights are as before",
                  (long long)s->step, s->bad);
    else if (isfinite(r->smoothed) && s->loss > 2 * r->smoothed + 1)
        gr_remark(GR_LOG_WARN, "step %lld: the loss jumped to %.3g, it was about %.3g", (long long)s->step, s->loss,
                  r->smoothed);
    if (r->skipped >= MOST_SKIPPED && !finds_scale)
        return gr_fail(GR_ERR_NUMBER,
                       "training: %d steps in a row were not finite, %s first (step %lld)\n"
                       "the last good checkpoint is kept; lower --lr or raise --warmup",
                       MOST_SKIPPED, s->bad, (long long)s->step);
    if (!s->skipped)
        r->smoothed = isfinite(r->smoothed) ? 0.95 * r->smoothed + 0.05 * s->loss : s->loss;
    return GR_OK;
}

static gr_status one_step(run *r)
{
    double before = gr_seconds();
    gr_step_report s;
    int64_t step = gr_trainer_steps(r->trainer);
    if (step > 0 && r->ahead == step)
        use_half(r, !r->half);
    else
        fill_batch(r, step);
    gr_batch batch = batch_of(r);
    gr_status st = gr_trainer_step_while(r->trainer, &batch, &s, r->halves > 1 ? fill_ahead : NULL, r);
    if (st != GR_OK)
        return st;
    double took = gr_seconds() - before;
    r->seconds += took;
    char line[512];
    gr_metrics m = {s.step,      s.step * r->step_tokens,       s.loss,     s.lr,
                    s.grad_norm, (double)r->step_tokens / took, r->seconds, s.loss_scale,
                    s.skipped};
    gr_metrics_line(&m, line, sizeof line - 1);
    tell(r, (gr_run_event){.kind = GR_EVENT_STEP,
                           .loss = s.loss,
                           .lr = s.lr,
                           .grad_norm = s.grad_norm,
                           .tokens_per_s = m.tokens_per_s,
                           .line = line});
    gr_curve_add(&r->history.loss, s.step, s.loss);
    strcat(line, "\n");
    st = gr_file_append(r->metrics_path, line, strlen(line));
    return st == GR_OK ? judge(r, &s) : st;
}

static gr_status make_folder(const char *dir)
{
    char *folder = gr_path_join(dir, "checkpoints");
    gr_status s = folder ? gr_dir_make(folder) : GR_ERR_MEMORY;
    gr_free(folder);
    return s;
}

static gr_status loop(run *r)
{
    const gr_run_options *o = r->o;
    gr_status s = GR_OK;
    if (gr_trainer_steps(r->trainer) <
        r->train.steps) /* that there is no checkpoint yet must be seen of a killed run */
        s = make_folder(o->dir);
    if (s == GR_OK && lacks_evaluation(r)) { /* it was stopped */
        s = evaluate(r);
        s = s == GR_OK ? plot(r) : s;
    }
    while (s == GR_OK && !r->stopped && gr_trainer_steps(r->trainer) < r->train.steps) {
        s = one_step(r);
        int64_t step = gr_trainer_steps(r->trainer);
        bool last = step == r->train.steps;
        if (s == GR_OK)
            s = evaluate(r);
        if (s == GR_OK && (last || r->stopped || due(o->eval_every, step)))
            s = plot(r);
        /* Skipped steps may mean that the weights are lost: the checkpoints from before must not make room for them. */
        if (s == GR_OK && (last || r->stopped || (due(o->save_every, step) && r->skipped == 0)))
            s = save(r);
    }
    if (s == GR_OK && r->stopped && (gr_trainer_steps(r->trainer) < r->train.steps || lacks_evaluation(r)))
        return gr_fail(GR_ERR_INTERRUPTED, "training: stopped after step %lld, which is saved\ngo on with --resume",
                       (long long)gr_trainer_steps(r->trainer));
    return s;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

/* What a process still owed when it was killed right behind a checkpoint. */
static gr_status complete(run *r, int64_t step)
{
    char *best = gr_checkpoint_path(r->o->dir, r->best_step);
    gr_status s = best ? gr_checkpoint_mark(r->o->dir, "latest", step) : gr_error_status();
    if (s == GR_OK && gr_path_is_dir(best))
        s = gr_checkpoint_mark(r->o->dir, "best", r->best_step);
    gr_free(best);
    return s == GR_OK ? gr_checkpoint_prune(r->o->dir, (int)r->o->keep) : s;
}

/* Goes to where the directory's newest good checkpoint was; without one to the start. */
static gr_status find_start(run *r, int64_t *step)
{
    char *path = NULL;
    gr_status s = gr_checkpoint_newest_good(r->o->dir, &path, step);
    if (s == GR_OK && path && !r->o->resume)
        s = gr_fail(GR_ERR_ARGUMENT, "%s: a run with checkpoints is there already\nresume it, or train elsewhere",
                    r->o->dir);
    if (s == GR_OK && path)
        s = restore(r, path);
    if (s == GR_OK && path) {
        r->saved = *step;
        s = complete(r, *step);
    }
    if (!path)
        *step = 0;
    gr_free(path);
    return s;
}

/* Is there something to go on from, or nothing that is lost by beginning anew? */
static gr_status check_state(const run *r)
{
    const gr_run_options *o = r->o;
    gr_run_state state;
    int64_t step;
    gr_status s = gr_run_look(o->dir, &state, &step);
    bool is_lost = state == GR_RUN_LOST || (state == GR_RUN_BEGUN && o->save_every > 0 && step > o->save_every);
    if (s == GR_OK && is_lost)
        return gr_run_fail_lost(o->dir, step);
    if (s == GR_OK && state == GR_RUN_BEGUN)
        gr_remark(GR_LOG_WARN, "%s: it ended at step %lld, before its first checkpoint: it begins anew", o->dir,
                  (long long)step);
    return s;
}

static gr_status rewind_run(run *r)
{
    int64_t step = 0;
    gr_status s = gr_checkpoint_clean(r->o->dir);
    if (s == GR_OK)
        s = check_state(r);
    if (s == GR_OK)
        s = find_start(r, &step);
    if (s == GR_OK)
        s = gr_metrics_rewind(r->metrics_path, step, &r->history);
    const gr_curve *evals = &r->history.eval;
    if (evals->n && evals->points[evals->n - 1].step == (double)step)
        r->evaluated = step;
    return s == GR_OK && step == r->train.steps ? plot(r) : s;
}

/* What happened to documents that are longer than a row. */
static void tell_lengths(const gr_rows_info *i, int64_t context)
{
    long long all = (long long)i->documents, row = (long long)context;
    if (i->cut > 0)
        gr_remark(GR_LOG_INFO, "%lld of %lld documents are longer than a row of %lld tokens and cut, into %lld pieces",
                  (long long)i->cut, all, row, (long long)(i->pieces - i->documents + i->cut));
    if (i->cut_prompts > 0)
        gr_remark(GR_LOG_WARN,
                  "%lld prompts do not fit a row of %lld tokens with what is learned: %lld tokens at their "
                  "beginnings are left out",
                  (long long)i->cut_prompts, row, (long long)i->left_out);
    if (i->cut_chats > 0)
        gr_remark(GR_LOG_WARN,
                  "%lld of %lld documents are conversations longer than a row of %lld tokens: %lld tokens at their "
                  "ends are left out",
                  (long long)i->cut_chats, all, row, (long long)i->cut_tokens);
    if (i->dropped > 0)
        gr_remark(GR_LOG_WARN, "%lld of %lld documents, longer than a row of %lld tokens, are left out",
                  (long long)i->dropped, all, row);
}

static gr_status open_rows(run *r)
{
    const gr_train_options *t = &r->train;
    bool apart = gr_data_describe(r->data)->documents > 0;
    if (apart != t->segments || (r->eval && apart != (gr_data_describe(r->eval)->documents > 0)))
        return gr_fail(GR_ERR_ARGUMENT,
                       "training: data, evaluation data and trainer must all keep documents apart, or none\n"
                       "set gr_train_options.segments for data that is kept apart");
    r->rows = gr_rows_new(r->data, t->context, r->o->shuffle, t->seed);
    if (r->rows && r->eval && apart)
        r->eval_rows = gr_rows_new(r->eval, t->context, false, 0);
    if (!r->rows || (r->eval && apart && !r->eval_rows))
        return gr_error_status();
    r->step_rows = gr_rows_of_step(r->rows, t->accumulate * t->batch, r->o->rows);
    tell_lengths(gr_rows_describe(r->rows), t->context);
    return GR_OK;
}

static gr_status open_run(run *r)
{
    const gr_train_options *t = &r->train;
    r->trainer = gr_trainer_new(r->model, t);
    if (!r->trainer)
        return gr_error_status();
    gr_status s = open_rows(r);
    if (s != GR_OK)
        return s;
    r->step_tokens = t->accumulate * t->batch * t->context;
    r->halves = gr_model_describe(r->model)->device->host_visible ? 1 : 2;
    size_t room = (size_t)(r->halves * r->step_tokens);
    r->buffer = gr_alloc(2 * room * sizeof *r->buffer);
    r->all_segments = t->segments ? gr_alloc(room * sizeof *r->all_segments) : NULL;
    r->metrics_path = gr_path_join(r->o->dir, "metrics.jsonl");
    r->plot_path = gr_path_join(r->o->dir, "loss.svg");
    if (!r->buffer || (t->segments && !r->all_segments) || !r->metrics_path || !r->plot_path)
        return GR_ERR_MEMORY;
    use_half(r, 0);
    s = gr_history_open(&r->history, t->steps, r->o->eval_every);
    if (s == GR_OK && r->o->base && gr_model_describe(r->model)->adapter_config)
        s = gr_adapter_set_base(r->model, r->o->base);
    if (s == GR_OK && r->o->source)
        s = gr_carried_open(&r->carried, r->o->source);
    if (s == GR_OK && !r->o->lock && !(r->lock = gr_run_lock_open(r->o->dir)))
        s = gr_error_status();
    if (s == GR_OK)
        s = rewind_run(r);
    return s == GR_OK ? gr_model_check_range(r->model, t->precision) : s;
}

static gr_status take_options(gr_run_options *o, gr_train_options *train, const gr_run_options *given, const char *what)
{
    gr_run_options sized;
    if (given->size == 0) { /* as programs begin it that do not know of sizes */
        sized = *given;
        sized.size = sizeof sized;
        given = &sized;
    }
    gr_status s = gr_take_sized(o, sizeof *o, given, what);
    return s == GR_OK ? gr_train_take(train, o->train.size ? &o->train : NULL, what) : s;
}

/* A step's tokens and targets, twice for evaluation, and the curves; with segments these and positions. */
size_t gr_run_memory(const gr_run_options *options)
{
    gr_run_options o;
    gr_train_options train, *t = &train;
    if (gr_lacks(options, "gr_run_memory: options") || take_options(&o, &train, options, "gr_run_memory") != GR_OK)
        return 0;
    size_t row = (size_t)(t->batch * t->context) * (2 * sizeof(gr_token) + (t->segments ? sizeof(int64_t) : 0));
    return row * (size_t)(t->accumulate + 1) + gr_history_bytes(t->steps, o.eval_every);
}

static gr_status check_options(const gr_run_options *o)
{
    bool fails = gr_lacks(o->dir, "gr_train_run: options.dir");
    for (int i = 0; !fails && i < o->n_files; i++)
        fails = gr_lacks(o->files, "gr_train_run: options.files") ||
                gr_lacks(o->files[i][0], "gr_train_run: a name in options.files") ||
                gr_lacks(o->files[i][1], "gr_train_run: a text in options.files");
    return fails ? GR_ERR_ARGUMENT : GR_OK;
}

gr_status gr_train_run(gr_model *model, const gr_data *data, const gr_data *eval, const gr_run_options *options)
{
    gr_run_options o;
    run r = {.model = model, .data = data, .eval = eval, .o = &o, .best = INFINITY, .smoothed = NAN};
    if (gr_lacks(model, "gr_train_run: model") || gr_lacks(data, "gr_train_run: data") ||
        gr_lacks(options, "gr_train_run: options"))
        return GR_ERR_ARGUMENT;
    gr_status s = take_options(&o, &r.train, options, "gr_train_run: options");
    if (s == GR_OK)
        s = check_options(&o);
    if (s != GR_OK)
        return s;
    r.saved = r.evaluated = -1;
    s = open_run(&r);
    if (s == GR_OK)
        s = loop(&r);
    bool has_lock = r.lock || o.lock;
    if (s != GR_OK && has_lock)
        gr_run_tidy(o.dir);
    gr_run_lock_close(r.lock);
    gr_history_close(&r.history);
    gr_carried_close(&r.carried);
    gr_trainer_free(r.trainer);
    gr_rows_free(r.rows);
    gr_rows_free(r.eval_rows);
    gr_free(r.buffer);
    gr_free(r.all_segments);
    gr_free(r.metrics_path);
    gr_free(r.plot_path);
    return s;
}
