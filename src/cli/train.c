/* gradus train. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/number.h"
#include "cli/human.h"
#include "cli/output.h"
#include "cli/run_json.h"
#include "cli/term.h"
#include "cli/train_flags.h"
#include "cli/verbs.h"

/* ---- events ------------------------------------------------------------------------------------------------- */

typedef struct screen {
    const gr_args *args;
    bool started;
    double tokens_per_s; /* smoothed */
    double last_eval;
} screen;

static void on_step(screen *s, const gr_run_event *e)
{
    if (!s->started)
        gr_progress_start(s->args->verb->name, (double)e->step - 1, (double)e->steps);
    s->tokens_per_s = s->tokens_per_s > 0 ? 0.9 * s->tokens_per_s + 0.1 * e->tokens_per_s : e->tokens_per_s;
    s->started = true;
    gr_progress_update((double)e->step, "%s tokens/s  loss %.4f", gr_human_count(s->tokens_per_s).s, e->loss);
}

/* Stands where the steps' line does; one by one, lines of it would tell nothing. */
static void on_evaluating(screen *s, const gr_run_event *e)
{
    if (!s->started) /* what a run that was stopped left to evaluate */
        gr_progress_start(s->args->verb->name, (double)e->step, (double)e->steps);
    s->started = true;
    if (gr_progress_is_bar())
        gr_progress_update((double)e->step, "evaluating, %.0f %%", 100 * e->evaluated);
}

static bool on_event(void *user, const gr_run_event *e)
{
    screen *s = user;
    if (e->kind == GR_EVENT_STEP)
        on_step(s, e);
    else if (e->kind == GR_EVENT_EVALUATING)
        on_evaluating(s, e);
    else if (e->kind == GR_EVENT_EVAL)
        gr_note("step %lld: evaluation loss %.4f%s", (long long)e->step, e->eval_loss,
                e->is_best ? ", the best so far" : "");
    else if (e->kind == GR_EVENT_SAVE)
        gr_note("saved %s", e->line);
    if (s->args->common.json && e->line && e->kind != GR_EVENT_SAVE) {
        gr_out("%s\n", e->line);
        fflush(stdout);
    }
    if (e->kind == GR_EVENT_EVAL)
        s->last_eval = e->eval_loss;
    return !gr_interrupted(NULL);
}

/* ---- the verb ----------------------------------------------------------------------------------------------- */

/* What has a step that was saved is not begun again. */
static gr_status refuse_other_run(gr_args *args)
{
    const gr_train_flags *f = args->options;
    gr_run_state state;
    int64_t step;
    gr_status s = f->resume ? GR_OK : gr_run_look(f->out, &state, &step);
    if (s == GR_OK && !f->resume && (state == GR_RUN_SAVED || state == GR_RUN_LOST))
        return gr_args_fail(args, "--out: %s already holds a run\n--resume goes on with it, another --out starts anew.",
                            f->out);
    return s;
}

/* What is named as MODEL may stand for other folders, so this is asked again when they are known. */
static gr_status check_out(gr_args *args, const gr_opened *on, const char **data, size_t n_data)
{
    const gr_train_flags *f = args->options;
    const char *const others[] = {f->model, f->init, f->eval_data, on ? on->path : NULL, on ? on->adapter : NULL};
    if (f->resume && (n_data == 0 || gr_run_json_is_there(args)))
        return GR_OK; /* what goes on is there, or there is nothing that could begin */
    gr_status s = gr_check_output_run(args, "out", f->out, others, sizeof others / sizeof *others);
    return s == GR_OK ? gr_check_output_run(args, "out", f->out, data, n_data) : s;
}

/* Of a few chats the usual epochs are so few steps that nobody would notice any of them. */
static void remark_on_few(const gr_args *args, const gr_train_job *job)
{
    enum { FEW = 30 };
    const gr_train_flags *f = args->options;
    const gr_train_options *t = &job->run.train;
    bool given = gr_args_given(args, "steps") || gr_args_given(args, "epochs");
    if (gr_kind_of(args)->follows_data && !given && !f->resume && t->steps < FEW)
        gr_note("%lld %s little: --epochs 20%s takes more of them", (long long)t->steps,
                t->steps == 1 ? "step teaches" : "steps teach", t->batch > 1 ? " or --batch 1" : "");
}

static gr_status train(gr_args *args, gr_train_job *job, gr_run_lock *lock, const char **data, size_t n_data)
{
    const gr_train_flags *f = args->options;
    screen s = {.args = args};
    gr_status st = gr_train_job_open(args, data, n_data, true, job);
    if (st != GR_OK)
        return gr_run_json_explain(args, job, st);
    st = check_out(args, &job->on, data, n_data);
    if (st == GR_OK)
        st = gr_run_json_write(args, job, data, n_data);
    if (st != GR_OK)
        return st;
    const gr_model_info *i = gr_model_describe(job->on.model);
    gr_tell_precision(job->on.device, job->run.train.precision);
    gr_note("%s with %s parameters, %s tokens of data, %lld step%s of %lld x %lld x %lld tokens", i->arch,
            gr_human_count((double)i->parameters).s, gr_human_count((double)gr_data_describe(job->data)->tokens).s,
            (long long)job->run.train.steps, gr_plural(job->run.train.steps), (long long)f->accumulate,
            (long long)f->batch, (long long)f->context);
    if (*job->budget)
        gr_note("%s", job->budget);
    remark_on_few(args, job);
    job->run.lock = lock;
    job->run.event = on_event;
    job->run.user = &s;
    gr_interrupt_watch();
    st = gr_train_run(job->on.model, job->data, job->eval, &job->run);
    gr_progress_end();
    if (st == GR_OK)
        gr_note("done: %s", f->out);
    return st;
}

/* There is no run to go on with. A whole command begins one, so that it can be given again and again. */
static gr_status begin_with_resume(const gr_args *args, size_t n_data)
{
    const gr_train_flags *f = args->options;
    bool is_dir = gr_path_is_dir(f->out);
    if (n_data == 0 && is_dir)
        return gr_fail(GR_ERR_FILE,
                       "--resume: %s holds no run: there is no run.json in it\nCheck the name; a new run needs DATA.",
                       f->out);
    if (n_data == 0)
        return gr_fail(GR_ERR_FILE, "--resume: there is no run of the name %s\nCheck the name; a new run needs DATA.",
                       f->out);
    gr_warn("--resume: there is no run of the name %s yet: it begins", f->out);
    return GR_OK;
}

/* The right to write RUN, which is made. --resume alone makes none. */
static gr_status take_run(gr_args *args, size_t n_data, gr_run_lock **lock)
{
    const gr_train_flags *f = args->options;
    if (f->resume && !gr_run_json_is_there(args)) {
        gr_status s = begin_with_resume(args, n_data);
        if (s != GR_OK)
            return s;
    }
    *lock = gr_run_lock_open(f->out);
    return *lock ? GR_OK : gr_error_status();
}

/* What is not there is said before a model is opened, or made, for it. */
static gr_status check_data(const char **data, size_t n_data)
{
    for (size_t i = 0; i < n_data; i++)
        if (strcmp(data[i], "-") != 0 && access(data[i], R_OK) != 0)
            return gr_fail_errno("opening", data[i]);
    return GR_OK;
}

static void give_up(void *lock)
{
    gr_run_lock_close(lock);
}

gr_status gr_train_verb_run(gr_args *args)
{
    gr_train_flags *f = args->options;
    const char *data[GR_MOST_DATA];
    bool takes_model = gr_kind_of(args)->takes_model;
    size_t first = takes_model && args->count > 0, n_data = args->count - first;
    gr_train_job job = {0};
    gr_run_lock *lock = NULL;
    if (n_data > GR_MOST_DATA)
        return gr_args_fail(args, "DATA: at most %d files\nGive a directory of them.", GR_MOST_DATA);
    for (size_t i = 0; i < n_data; i++)
        data[i] = args->positional[first + i];
    f->model = first ? args->positional[0] : NULL;
    gr_status s = check_out(args, NULL, data, n_data);
    if (s == GR_OK && !f->resume)
        s = check_data(data, n_data);
    if (s == GR_OK) {
        gr_broken_pipe_watch();
        gr_interrupt_hold(); /* reading data and drawing weights may take long */
        s = take_run(args, n_data, &lock);
    }
    if (s == GR_OK) {
        gr_interrupt_quit(give_up, lock);
        s = f->resume ? gr_run_json_restore(args, &job, data, &n_data) : refuse_other_run(args);
    }
    if (s == GR_OK && takes_model && !f->model)
        s = gr_args_fail(args, "MODEL is missing\nGive the directory of a model.");
    if (s == GR_OK)
        s = train(args, &job, lock, data, n_data);
    s = gr_end_profile(args, &job.on, s);
    gr_interrupt_keep();
    gr_run_lock_close(lock);
    gr_train_job_close(&job);
    return s;
}

const gr_verb gr_verb_train = {
    .name = "train",
    .summary = "trains a model from scratch, or goes on from --init MODEL",
    .positional = "[DATA...]",
    .about =
        "DATA is text files, .jsonl files with {\"text\": ...} lines or an array of such records, directories of both, "
        "or - for stdin. Lines with {\"prompt\": ..., \"completion\": ...} or {\"messages\": [...]} need --documents "
        "apart; "
        "gradus data show prints what is learned. The run's directory holds checkpoints that transformers loads, "
        "metrics.jsonl, loss.svg and "
        "run.json. A run that was stopped, by Ctrl-C or by a power cut, goes on with --resume as if it had not been.",
    .flags = gr_train_flag_table,
    .more_flags = gr_loop_flag_table,
    .needs = {"out"},
    .common = GR_WITH_DEVICE | GR_WITH_PROFILE | GR_WITH_SEED | GR_WITH_JSON,
    .examples = {{"a character model on one book",
                  "gradus train book.txt --tokenizer char --eval-fraction 0.1 --out run"},
                 {"go on where it stopped", "gradus train --resume --out run"}},
    .options_size = sizeof(gr_train_flags),
    .own = &gr_kind_train,
    .run = gr_train_verb_run,
};
