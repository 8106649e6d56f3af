/* Writing run.json, and reading what --resume goes on with. */
#include "cli/run_json.h"
#include <string.h>
#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"

static const gr_train_flags *flags_of(const gr_args *args)
{
    return args->options;
}

bool gr_run_json_is_there(const gr_args *args)
{
    char *path = gr_path_join(flags_of(args)->out, "run.json");
    bool there = path && gr_path_is_file(path);
    gr_free(path);
    return there;
}

/* Flags that may differ when a run goes on. */
static bool is_of_session(const char *name)
{
    static const char *const list[] = {"out",  "resume", "data-changed", "device", "threads", "profile",
                                       "json", "quiet",  "help",         "memory", "allow"};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

/* A run goes on with its own device, whose bits are not another's, unless the command line names one. */
static bool is_device(const char *name)
{
    return strcmp(name, "device") == 0;
}

static bool is_known(const gr_run_record *r, gr_run_input_kind which)
{
    return r->known >> which & 1;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static bool is_made_of_data(const char *tokenizer)
{
    return strcmp(tokenizer, "char") == 0 || strncmp(tokenizer, "bpe:", 4) == 0;
}

/* Is the tokenizer one of a file? */
static bool is_tokenizer_file(const char *value)
{
    return !is_made_of_data(value) && strcmp(value, "byte") != 0;
}

/* Which input a flag names a path of; false: of none. */
static bool input_of(const char *flag, const char *value, gr_run_input_kind *which)
{
    static const struct {
        const char *flag;
        gr_run_input_kind which;
    } inputs[] = {{"init", GR_RUN_MODEL},
                  {"tokenizer", GR_RUN_TOKENIZER},
                  {"eval-data", GR_RUN_EVAL_DATA},
                  {"adapter", GR_RUN_ADAPTER},
                  {"config", GR_RUN_CONFIG}};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        if (strcmp(flag, inputs[i].flag) == 0) {
            *which = inputs[i].which;
            return *which != GR_RUN_TOKENIZER || is_tokenizer_file(value);
        }
    return false;
}

static gr_status restore_flag(gr_args *args, const gr_run_record *r, const char *name, const char *was)
{
    gr_run_input_kind which, other;
    const gr_slot *slot = input_of(name, was, &which) && *was ? gr_args_slot(args, name) : NULL;
    if (!slot)
        return is_device(name) && gr_args_slot(args, name)->given ? GR_OK : gr_args_restore(args, name, was);
    if (!slot->given)
        return gr_args_restore(args, name, gr_run_record_place(r, which, 0, was));
    char *given = gr_args_value(slot);
    bool is_path = given && input_of(name, given, &other) && other == which && is_known(r, which);
    gr_free(given);
    return is_path ? GR_OK : gr_args_restore(args, name, was); /* its bytes are compared */
}

static bool has_setting(const gr_run_record *r, const char *name)
{
    for (int i = 0; i < r->n_settings; i++)
        if (strcmp(r->settings[i].name, name) == 0)
            return true;
    return false;
}

/* What the command line has and the run has not. */
static gr_status refuse_more(gr_args *args, const gr_run_record *r)
{
    gr_status s = GR_OK;
    for (size_t i = 0; s == GR_OK && i < args->slot_count; i++) {
        const gr_slot *slot = &args->slots[i];
        const char *name = slot->flag->name;
        if (slot->given && !is_of_session(name) && !has_setting(r, name))
            s = gr_args_restore(args, name, slot->initial ? slot->initial : "");
    }
    return s;
}

/* MODEL: the run's, which the command line need not repeat. */
static gr_status restore_model(gr_args *args, const gr_run_record *r)
{
    gr_train_flags *f = args->options;
    if (!r->model)
        return gr_fail(GR_ERR_FILE, "%s/run.json: does not say which MODEL the run was started with\nStart a new run.",
                       f->out);
    if (f->model && strcmp(f->model, r->model) != 0 && !is_known(r, GR_RUN_MODEL))
        return gr_args_fail(args,
                            "MODEL is not %s, which the run was started with\nLeave MODEL and DATA out: run.json "
                            "knows them.",
                            r->model);
    f->model = f->model ? f->model : gr_run_record_place(r, GR_RUN_MODEL, 0, r->model);
    return GR_OK;
}

static gr_status restore_data(gr_args *args, const gr_run_record *r, const char **data, size_t *n_data)
{
    size_t n = (size_t)r->n_data;
    bool is_given = *n_data > 0, same = !is_given || *n_data == n;
    if (is_given && is_known(r, GR_RUN_DATA))
        return GR_OK; /* its bytes are compared */
    for (size_t i = 0; same && i < n && i < GR_MOST_DATA; i++) {
        same = !is_given || strcmp(data[i], r->data[i]) == 0;
        data[i] = gr_run_record_place(r, GR_RUN_DATA, (int)i, r->data[i]);
    }
    if (!same)
        return gr_args_fail(args, "DATA is not what the run was started with\nLeave DATA out: run.json knows it.");
    *n_data = n < GR_MOST_DATA ? n : GR_MOST_DATA;
    return GR_OK;
}

/* A vocabulary that was made of data that has changed is in the newest checkpoint. */
static gr_status restore_vocabulary(gr_args *args, gr_train_job *job)
{
    gr_train_flags *f = args->options;
    bool has_changed = f->data_changed || job->record->has_changed;
    if (!has_changed || !f->tokenizer || !is_made_of_data(f->tokenizer))
        return GR_OK;
    gr_find_options how = GR_INIT(gr_find_options);
    how.newest = how.path_only = true;
    const gr_found *found = gr_find(f->out, &how);
    gr_status s = found ? GR_OK : gr_error_status();
    if (found && found->path && !(job->vocabulary = gr_path_join(found->path, "tokenizer.json")))
        s = GR_ERR_MEMORY;
    gr_free(found);
    f->vocabulary = job->vocabulary;
    return s;
}

gr_status gr_run_json_restore(gr_args *args, gr_train_job *job, const char **data, size_t *n_data)
{
    gr_status s = gr_run_record_read(flags_of(args)->out, &job->record);
    const gr_run_record *r = job->record;
    if (s != GR_OK || !r)
        return s;
    if (r->kind && strcmp(r->kind, args->verb->name) != 0)
        return gr_args_fail(args, "--resume: the run was started with gradus %s\nGo on with that.", r->kind);
    if (gr_kind_of(args)->takes_model)
        s = restore_model(args, r);
    if (s == GR_OK)
        s = refuse_more(args, r);
    for (int i = 0; s == GR_OK && i < r->n_settings; i++)
        s = restore_flag(args, r, r->settings[i].name, r->settings[i].value);
    if (s != GR_OK)
        return gr_args_blame(args, s);
    s = restore_data(args, r, data, n_data);
    return s == GR_OK ? restore_vocabulary(args, job) : s;
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

static void put_path(gr_run_input *in, const char *const *path)
{
    in->paths = path;
    in->n_paths = *path != NULL;
}

static void put_inputs(const gr_args *args, const gr_train_job *job, const char **data, size_t n_data, gr_run_input *in)
{
    const gr_train_flags *f = flags_of(args);
    bool has_model = f->model || f->init;
    in[GR_RUN_DATA] = (gr_run_input){.paths = data, .n_paths = (int)n_data, .data = job->data};
    put_path(&in[GR_RUN_EVAL_DATA], &f->eval_data);
    put_path(&in[GR_RUN_MODEL], f->model ? &f->model : &f->init);
    put_path(&in[GR_RUN_ADAPTER], &args->common.adapter);
    put_path(&in[GR_RUN_CONFIG], &f->config);
    put_path(&in[GR_RUN_TOKENIZER], &f->tokenizer);
    in[GR_RUN_EVAL_DATA].data = f->eval_data ? job->eval : NULL;
    in[GR_RUN_MODEL].dir = has_model ? job->on.path : NULL;
    in[GR_RUN_ADAPTER].dir = has_model ? job->on.adapter : NULL;
    in[GR_RUN_CONFIG].file = f->config;
    if (has_model || (f->tokenizer && is_tokenizer_file(f->tokenizer)))
        in[GR_RUN_TOKENIZER].tokenizer = job->on.tokenizer;
}

/* Every flag that has a value, but those of the session. Values are freed by the caller. */
static gr_status put_settings(const gr_args *args, gr_run_setting *list, int *n)
{
    for (size_t i = 0; i < args->slot_count; i++) {
        const gr_slot *slot = &args->slots[i];
        const char *name = slot->flag->name;
        bool is_kept = !is_of_session(name) || (is_device(name) && slot->given);
        if (!is_kept || !(slot->given || slot->initial))
            continue;
        char *value = gr_args_value(slot);
        if (!value)
            return GR_ERR_MEMORY;
        if (*value)
            list[(*n)++] = (gr_run_setting){name, value};
        else
            gr_free(value);
    }
    return GR_OK;
}

gr_status gr_run_json_write(gr_args *args, const gr_train_job *job, const char **data, size_t n_data)
{
    const gr_train_flags *f = flags_of(args);
    gr_run_start start = GR_INIT(gr_run_start);
    gr_run_setting *settings = gr_alloc_zero(args->slot_count + 1, sizeof *settings);
    int n = 0;
    gr_status s = settings ? put_settings(args, settings, &n) : GR_ERR_MEMORY;
    start.kind = args->verb->name;
    start.settings = settings;
    start.n_settings = n;
    start.model = f->model;
    start.trains = job->on.model;
    start.accepts_changes = f->data_changed;
    start.threads = (int)args->common.threads;
    put_inputs(args, job, data, n_data, start.inputs);
    if (s == GR_OK)
        s = gr_run_record_write(f->out, &start, false);
    for (int i = 0; i < n; i++)
        gr_free((char *)settings[i].value);
    gr_free(settings);
    return s;
}

gr_status gr_run_json_explain(const gr_args *args, const gr_train_job *job, gr_status failed)
{
    gr_run_start start = GR_INIT(gr_run_start);
    gr_kept_error error;
    if (flags_of(args)->data_changed || !job->corpus)
        return failed;
    gr_error_keep(&error);
    start.inputs[GR_RUN_DATA].corpus = job->corpus;
    if (gr_run_record_write(flags_of(args)->out, &start, true) != GR_OK)
        return gr_error_status();
    gr_error_put_back(&error);
    return failed;
}
