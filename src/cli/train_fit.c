/* A budget of memory: flags that were not given are chosen so that training fits. */
#include <stdio.h>
#include <string.h>
#include "base/machine.h"
#include "cli/human.h"
#include "cli/term.h"
#include "cli/train_flags.h"

/* Weights that the process holds already would count twice. */
static size_t bytes_of_weights(const gr_train_job *job)
{
    gr_store *store = gr_model_store(job->on.model);
    gr_entry e = GR_INIT(gr_entry);
    size_t sum = 0;
    for (int i = 0; i < gr_store_count(store); i++)
        if (gr_store_entry(store, i, &e) == GR_OK &&
            e.dtype == GR_F32) /* others are read where they lie in their file */
            sum += e.bytes;
    return sum;
}

gr_status gr_run_overhead(const gr_train_job *job, bool is_loaded, size_t *bytes)
{
    gr_device_info d = GR_INIT(gr_device_info);
    gr_status s = gr_device_describe(gr_model_describe(job->on.model)->device, &d);
    size_t process = gr_memory_process(), weights = is_loaded ? bytes_of_weights(job) : 0;
    process -= weights < process ? weights : process;
    *bytes = s == GR_OK && d.host_memory ? gr_run_memory(&job->run) + process + GR_CODE_BYTES : 0;
    return s;
}

static gr_status set(gr_args *args, gr_train_job *job, int which, const char *name, const char *value)
{
    char *kept = job->chosen[which];
    snprintf(kept, sizeof job->chosen[which], "%s", value);
    size_t n = strlen(job->budget);
    snprintf(job->budget + n, sizeof job->budget - n, "%s --%s %s", n ? "" : "memory:", name, value);
    return gr_args_set(args, name, kept);
}

static gr_status set_number(gr_args *args, gr_train_job *job, int which, const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return set(args, job, which, name, text);
}

/* The flags become what was chosen, so that run.json has it and --resume repeats it. */
static gr_status set_flags(gr_args *args, gr_train_job *job, const gr_train_options *was)
{
    static const char *const recomputes[] = {"none", "attention", "block"};
    const gr_train_options *t = &job->run.train;
    const gr_train_flags *f = args->options;
    gr_status s = GR_OK;
    if (t->head_rows != was->head_rows)
        s = set(args, job, 0, "head-rows", "auto");
    if (s == GR_OK && t->optimizer != was->optimizer)
        s = set(args, job, 1, "optimizer", "adamw8bit");
    else if (s == GR_OK && t->bf16_moments != was->bf16_moments)
        s = set(args, job, 1, "moments", "bf16");
    if (s == GR_OK && (t->recompute != was->recompute || f->recompute == GR_CHOSEN_RECOMPUTE))
        s = set(args, job, 2, "recompute", recomputes[t->recompute]);
    if (s == GR_OK && t->recompute_blocks != was->recompute_blocks)
        s = set_number(args, job, 3, "recompute-blocks", t->recompute_blocks);
    if (s == GR_OK && t->batch != was->batch)
        s = set_number(args, job, 4, "batch", t->batch);
    if (s == GR_OK && t->accumulate != was->accumulate)
        s = set_number(args, job, 5, "accumulate", t->accumulate);
    return s;
}

/* What is given stays; and so does all of a run that goes on. */
static unsigned may_choose(const gr_args *args)
{
    static const struct {
        const char *flag;
        unsigned what;
    } all[] = {{"head-rows", GR_FIT_HEAD_ROWS},
               {"moments", GR_FIT_MOMENTS},
               {"recompute", GR_FIT_RECOMPUTE},
               {"accumulate", GR_FIT_ACCUMULATE}};
    const gr_train_flags *f = args->options;
    unsigned may = f->recompute == GR_CHOSEN_RECOMPUTE ? GR_FIT_RECOMPUTE : 0;
    if (f->resume)
        return 0;
    for (size_t i = 0; f->memory > 0 && i < sizeof all / sizeof *all; i++)
        if (!gr_args_given(args, all[i].flag))
            may |= all[i].what;
    if (f->memory > 0 && f->allow && !gr_args_given(args, "moments"))
        may |= GR_FIT_ADAMW8BIT;
    return may;
}

static void tell(gr_train_job *job, const gr_plan *plan, size_t other, double flops)
{
    size_t n = strlen(job->budget);
    double more = flops > 0 ? 100 * (plan->flops / flops - 1) : 0;
    snprintf(job->budget + n, sizeof job->budget - n, "%s: %s, %.3g %% more FLOPs", n ? "" : "memory: as it is",
             gr_human_bytes((double)(plan->total + other)).s, more);
}

/* FLOPs of a step without anything chosen, to compare with. */
static gr_status flops_of(gr_train_job *job, double *flops)
{
    gr_trainer *t = gr_trainer_new(job->on.model, &job->run.train);
    *flops = t ? gr_trainer_plan(t)->flops : 0;
    gr_trainer_free(t);
    return t ? GR_OK : gr_error_status();
}

/* What fits beside `other`, which the process and all that is no program take: more when this has compiled what it tried, so that it
 * may have to choose again, and a little more when the trainer is made. */
static gr_status choose(gr_train_job *job, bool is_loaded, size_t memory, gr_fit_options *fit, gr_plan *plan,
                        size_t *other)
{
    enum { TRIES = 3, GROWTH = 1 << 20 };
    const gr_train_options was = job->run.train;
    gr_status s = gr_run_overhead(job, is_loaded, other);
    for (int i = 0; s == GR_OK && i < TRIES && (i == 0 || plan->total + *other > memory); i++) {
        job->run.train = was;
        fit->memory = memory > *other + GROWTH ? memory - *other - GROWTH : 0;
        s = gr_train_fit(job->on.model, &job->run.train, fit, plan);
        if (s == GR_OK)
            s = gr_run_overhead(job, is_loaded, other);
    }
    return s;
}

gr_status gr_fit_memory(gr_args *args, gr_train_job *job, bool is_loaded)
{
    const gr_train_flags *f = args->options;
    gr_device_info d = GR_INIT(gr_device_info);
    gr_fit_options fit = {.size = sizeof fit, .may = may_choose(args)};
    gr_train_options was = job->run.train;
    gr_plan plan = GR_INIT(gr_plan);
    size_t other = 0;
    double flops = 0;
    if (f->memory == 0 && f->recompute != GR_CHOSEN_RECOMPUTE)
        return GR_OK;
    gr_status s = gr_device_describe(gr_model_describe(job->on.model)->device, &d);
    if (s == GR_OK)
        s = flops_of(job, &flops);
    if (s != GR_OK)
        return s;
    size_t memory = f->memory > 0 ? (size_t)f->memory : d.available;
    s = choose(job, is_loaded, memory, &fit, &plan, &other);
    if (s == GR_ERR_MEMORY && plan.total > 0)
        return gr_fail(
            GR_ERR_MEMORY,
            "--memory: training needs at least %s, and may have %s\nGive more%s, or make the model, --batch or "
            "--context smaller.",
            gr_human_bytes((double)(plan.total + other)).s, gr_human_bytes((double)memory).s,
            fit.may & GR_FIT_ADAMW8BIT || was.optimizer != GR_ADAMW ? "" : ", or --allow adamw8bit");
    if (s == GR_OK)
        s = set_flags(args, job, &was);
    if (s == GR_OK)
        tell(job, &plan, other, flops);
    return s;
}
