/* Writing run.json, and reading what --resume goes on with. */
#include "cli/run_json.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/checksum.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/term.h"
#include "format/digest.h"
#include "train/data.h"
#include "train/run.h"
#include "train/run_dir.h"

enum { DATA, EVAL_DATA, MODEL, ADAPTER, CONFIG, TOKENIZER, N_INPUTS, MOST_FILES = 256 };
static const char *const names[N_INPUTS] = {"data", "eval-data", "model", "adapter", "config", "tokenizer"};

/* What one of them is now. */
typedef struct input {
    bool is_known;
    gr_digest is;
    const gr_inputs *files; /* of data; else NULL */
    const char *const *paths;
    size_t n_paths;
} input;

static const gr_train_flags *flags_of(const gr_args *args)
{
    return args->options;
}

char *gr_run_json_path(const gr_args *args)
{
    return gr_path_join(flags_of(args)->out, "run.json");
}

bool gr_run_json_is_there(const gr_args *args)
{
    char *path = gr_run_json_path(args);
    bool there = path && gr_path_is_file(path);
    gr_free(path);
    return there;
}

void gr_run_json_close(gr_run_record *r)
{
    for (size_t i = 0; i < r->n_texts; i++)
        gr_free(r->texts[i]);
    gr_free(r->texts);
    gr_json_free(r->doc);
    *r = (gr_run_record){0};
}

/* Flags that may differ when a run goes on. */
static bool is_of_session(const char *name)
{
    static const char *const list[] = {"out", "resume", "data-changed", "device", "threads", "json", "quiet", "help"};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

/* ---- where things lie --------------------------------------------------------------------------------------- */

/* What run.json says of an input; of none where it says nothing, as that of an older version. */
static gr_json recorded(const gr_run_record *r, int which)
{
    gr_json none = {0}, inputs = r->doc ? gr_json_get(gr_json_root(r->doc), "inputs") : none;
    return gr_json_is(inputs) ? gr_json_get(inputs, names[which]) : none;
}

/* Keeps a text until the record is closed; takes it over. */
static const char *hold(gr_run_record *r, char *text)
{
    if (!text || gr_grow(&r->texts, &r->texts_cap, r->n_texts + 1, sizeof *r->texts) != GR_OK) {
        gr_free(text);
        return NULL;
    }
    return r->texts[r->n_texts++] = text;
}

/* Where a file lies that was moved together with the run: from the run's place then to its place now. */
static char *moved_along(const char *place, const char *run_then, const char *run_now)
{
    size_t common = 0;
    for (size_t i = 0; place[i] && place[i] == run_then[i]; i++)
        common = place[i] == '/' ? i + 1 : common;
    char *up = gr_strdup(run_now);
    for (const char *c = run_then + common; up && *c; c += strcspn(c, "/"), c += *c == '/') {
        char *next = gr_path_join(up, "..");
        gr_free(up);
        up = next;
    }
    char *moved = up ? gr_path_join(up, place + common) : NULL;
    gr_free(up);
    return moved;
}

static bool is_there(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

/* The path of number k of an input that was given as `was`: where it lay, if it is there still, or as it was given, or
 * beside the run as it lay then. */
static const char *find(gr_run_record *r, const gr_args *args, int which, size_t k, const char *was)
{
    gr_json in = recorded(r, which), places = gr_json_is(in) ? gr_json_get(in, "places") : in;
    gr_json then = gr_json_get(gr_json_root(r->doc), "place");
    if (!gr_json_is(places) || k >= gr_json_size(places))
        return was;
    const char *place = gr_json_as_path(gr_json_item(places, k));
    if (!place || !*place || is_there(place))
        return place && *place ? place : was;
    if (is_there(was) || !gr_json_is(then))
        return was;
    const char *moved = hold(r, moved_along(place, gr_json_as_path(then), flags_of(args)->out));
    return moved && is_there(moved) ? moved : was;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static bool is_made_of_data(const char *tokenizer)
{
    return strcmp(tokenizer, "char") == 0 || strncmp(tokenizer, "bpe:", 4) == 0;
}

/* Which input a flag names a path of; -1: of none. */
static int input_of(const char *flag, const char *value)
{
    if (strcmp(flag, "init") == 0)
        return MODEL;
    if (strcmp(flag, "tokenizer") == 0)
        return is_made_of_data(value) || strcmp(value, "byte") == 0 ? -1 : TOKENIZER;
    for (int i = EVAL_DATA; i < TOKENIZER; i++)
        if (strcmp(flag, names[i]) == 0)
            return i;
    return -1;
}

static gr_status restore_flag(gr_args *args, gr_run_record *r, const char *name, const char *was)
{
    const gr_slot *slot = NULL;
    int which = input_of(name, was);
    for (size_t i = 0; which >= 0 && i < args->slot_count; i++)
        if (strcmp(args->slots[i].flag->name, name) == 0)
            slot = &args->slots[i];
    if (which < 0 || !slot || !*was)
        return gr_args_restore(args, name, was);
    if (!slot->given)
        return gr_args_restore(args, name, find(r, args, which, 0, was));
    char *given = gr_args_value(slot);
    bool is_path = given && input_of(name, given) == which && gr_json_is(recorded(r, which));
    gr_free(given);
    return is_path ? GR_OK : gr_args_restore(args, name, was); /* its bytes are compared */
}

/* What the command line has and the run has not. */
static gr_status refuse_more(gr_args *args, gr_json flags)
{
    gr_status s = GR_OK;
    for (size_t i = 0; s == GR_OK && i < args->slot_count; i++) {
        const gr_slot *slot = &args->slots[i];
        const char *name = slot->flag->name;
        if (slot->given && !is_of_session(name) && !gr_json_is(gr_json_get(flags, name)))
            s = gr_args_restore(args, name, slot->initial ? slot->initial : "");
    }
    return s;
}

/* MODEL of finetune: the run's, which the command line need not repeat. */
static gr_status restore_model(gr_args *args, gr_run_record *r)
{
    gr_train_flags *f = args->options;
    if (!gr_is_finetune(args))
        return GR_OK;
    const char *was = gr_json_as_path(gr_json_get(gr_json_root(r->doc), "model"));
    if (gr_json_check(r->doc) != GR_OK)
        return gr_error_status();
    if (f->model && strcmp(f->model, was) != 0 && !gr_json_is(recorded(r, MODEL)))
        return gr_args_fail(args,
                            "MODEL is not %s, which the run was started with\nLeave MODEL and DATA out: run.json "
                            "knows them.",
                            was);
    f->model = f->model ? f->model : find(r, args, MODEL, 0, was);
    return GR_OK;
}

static gr_status restore_data(gr_args *args, gr_run_record *r, const char **data, size_t *n_data)
{
    gr_json list = gr_json_as_array(gr_json_get(gr_json_root(r->doc), "data"));
    size_t n = gr_json_check(r->doc) == GR_OK ? gr_json_size(list) : 0;
    bool is_given = *n_data > 0, same = !is_given || *n_data == n;
    if (is_given && gr_json_is(recorded(r, DATA)))
        return GR_OK; /* its bytes are compared */
    for (size_t i = 0; same && i < n && i < GR_MOST_DATA; i++) {
        const char *was = gr_json_as_path(gr_json_item(list, i));
        same = !is_given || strcmp(data[i], was) == 0;
        data[i] = find(r, args, DATA, i, was);
    }
    if (!same)
        return gr_args_fail(args, "DATA is not what the run was started with\nLeave DATA out: run.json knows it.");
    *n_data = n < GR_MOST_DATA ? n : GR_MOST_DATA;
    return gr_json_check(r->doc);
}

/* A vocabulary that was made of data that has changed is in the newest checkpoint. */
static gr_status restore_vocabulary(gr_args *args, gr_run_record *r)
{
    gr_train_flags *f = args->options;
    bool has_changed = f->data_changed || gr_json_is(gr_json_get(gr_json_root(r->doc), "changes"));
    char *path = NULL;
    int64_t step;
    if (!has_changed || !f->tokenizer || !is_made_of_data(f->tokenizer))
        return GR_OK;
    gr_status s = gr_checkpoint_newest_good(f->out, &path, &step);
    if (s == GR_OK && path && !(f->vocabulary = hold(r, gr_path_join(path, "tokenizer.json"))))
        s = GR_ERR_MEMORY;
    gr_free(path);
    return s;
}

gr_status gr_run_json_restore(gr_args *args, gr_run_record *r, const char **data, size_t *n_data)
{
    if (!gr_run_json_is_there(args))
        return GR_OK;
    char *path = gr_run_json_path(args);
    r->doc = path ? gr_json_read(path, GR_JSON_LIMIT) : NULL;
    gr_free(path);
    if (!r->doc)
        return gr_error_status();
    gr_json o = gr_json_root(r->doc), flags = gr_json_as_object(gr_json_get(o, "flags"));
    gr_status s = gr_json_check(r->doc);
    const char *verb = gr_json_text(o, "verb", args->verb->name);
    if (s == GR_OK && strcmp(verb, args->verb->name) != 0)
        return gr_args_fail(args, "--resume: the run was started with gradus %s\nGo on with that.", verb);
    if (s == GR_OK)
        s = restore_model(args, r);
    if (s == GR_OK)
        s = refuse_more(args, flags);
    for (gr_json_iter it = gr_json_first(flags); s == GR_OK && it.key; gr_json_next(&it)) {
        const char *was = gr_json_as_path(it.value);
        s = was ? restore_flag(args, r, it.key, was) : gr_json_check(r->doc);
    }
    if (s != GR_OK)
        return gr_args_blame(args, s);
    s = restore_data(args, r, data, n_data);
    return s == GR_OK ? restore_vocabulary(args, r) : s;
}

/* ---- comparing ---------------------------------------------------------------------------------------------- */

static void know_data(input *in, const gr_inputs *files)
{
    in->files = files;
    in->is.checksum = gr_inputs_digest(in->files, &in->is.bytes);
    in->is_known = in->files->n > 0;
}

static gr_status know_model(input *in, const char *dir, const gr_args *args)
{
    if (!dir)
        return GR_OK;
    in->is_known = true;
    return gr_digest_model(dir, (int)args->common.threads, &in->is);
}

/* A tokenizer of a file: what it is, in whatever form it was read. */
static void know_tokenizer(input *in, const gr_tokenizer *tokenizer)
{
    size_t size;
    const char *json = gr_tokenizer_json(tokenizer, &size);
    in->is_known = json;
    if (json)
        in->is = (gr_digest){(int64_t)size, gr_checksum(json, size)};
}

static gr_status know(const gr_args *args, const gr_train_job *job, const char **data, size_t n_data,
                      input in[N_INPUTS])
{
    const gr_train_flags *f = flags_of(args);
    gr_status s = GR_OK;
    bool has_model = f->model || f->init;
    in[DATA].paths = data;
    in[DATA].n_paths = n_data;
    in[EVAL_DATA].paths = &f->eval_data;
    in[MODEL].paths = f->model ? &f->model : &f->init;
    in[ADAPTER].paths = &args->common.adapter;
    in[CONFIG].paths = &f->config;
    in[TOKENIZER].paths = &f->tokenizer;
    know_data(&in[DATA], &job->data->inputs);
    if (f->eval_data)
        know_data(&in[EVAL_DATA], &job->eval->inputs);
    if (has_model)
        s = know_model(&in[MODEL], job->on.path, args);
    if (s == GR_OK && has_model)
        s = know_model(&in[ADAPTER], job->on.adapter, args);
    if (s == GR_OK && f->config)
        s = gr_digest_file(f->config, &in[CONFIG].is);
    in[CONFIG].is_known = f->config;
    if (has_model || (f->tokenizer && input_of("tokenizer", f->tokenizer) == TOKENIZER))
        know_tokenizer(&in[TOKENIZER], job->on.tokenizer);
    for (int i = EVAL_DATA; i < N_INPUTS; i++)
        in[i].n_paths = in[i].paths[0] != NULL;
    return s;
}

static void hex(char to[20], uint64_t sum)
{
    snprintf(to, 20, "%016llx", (unsigned long long)sum);
}

/* Is this file the one that was there at this place? */
static bool is_same_file(gr_json was, const gr_input_file *is)
{
    char sum[20];
    hex(sum, is->checksum);
    return gr_json_int(was, "bytes", -1, 0, INT64_MAX) == is->bytes && strcmp(gr_json_text(was, "xxh64", ""), sum) == 0;
}

static const char *name_of(gr_json file)
{
    gr_json name = gr_json_get(file, "name");
    return gr_json_is(name) ? gr_json_as_path(name) : "a file";
}

/* Names what has changed of an input. */
static void describe(char *text, size_t size, int which, gr_json was, const input *in)
{
    gr_json files = gr_json_get(was, "files");
    size_t n = in->files && gr_json_is(files) ? gr_json_size(files) : 0;
    for (size_t i = 0; n == (in->files ? in->files->n : 0) && i < n; i++) {
        gr_json file = gr_json_item(files, i);
        if (is_same_file(file, &in->files->list[i]))
            continue;
        snprintf(text, size, "%.500s: its %lld bytes are not those that the run was begun with (%lld of %.300s)",
                 in->files->list[i].name, (long long)in->files->list[i].bytes,
                 (long long)gr_json_int(file, "bytes", -1, 0, INT64_MAX), name_of(file));
        return;
    }
    const char *path = in->n_paths ? in->paths[0] : "that of the model";
    if (in->files)
        snprintf(text, size, "%s: %zu file%s, not those that the run was begun with, by their bytes", path,
                 in->files->n, in->files->n == 1 ? "" : "s");
    else
        snprintf(text, size, "%s: not the %s that the run was begun with, by its bytes", path, names[which]);
}

static bool has_changed(gr_json was, const input *in)
{
    char sum[20];
    hex(sum, in->is.checksum);
    return gr_json_is(was) && in->is_known && strcmp(gr_json_text(was, "xxh64", ""), sum) != 0;
}

static gr_status compare(const gr_args *args, const gr_run_record *r, const input in[N_INPUTS])
{
    const gr_train_flags *f = flags_of(args);
    char what[1000];
    for (int i = 0; i < N_INPUTS; i++) {
        gr_json was = recorded(r, i);
        if (!has_changed(was, &in[i]))
            continue;
        describe(what, sizeof what, i, was, &in[i]);
        if (!f->data_changed)
            return gr_fail(GR_ERR_FILE, "%s\n%s", what,
                           i <= EVAL_DATA ? "Name where it lies now, or go on with these by --data-changed."
                                          : "Name where it lies now, or go on with this by --data-changed.");
        gr_warn("%s: goes on all the same", what);
    }
    return GR_OK;
}

gr_status gr_run_json_explain(const gr_args *args, const gr_run_record *r, const gr_train_job *job, gr_status failed)
{
    input in[N_INPUTS] = {0};
    know_data(&in[DATA], &job->read);
    return flags_of(args)->data_changed || compare(args, r, in) == GR_OK ? failed : GR_ERR_FILE;
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

static void put_digest(gr_json o, int64_t bytes, uint64_t checksum)
{
    char sum[20];
    hex(sum, checksum);
    gr_json_put_int(o, "bytes", bytes);
    gr_json_put_text(o, "xxh64", sum);
}

static void put_place(gr_json into, const char *key, const char *path)
{
    char whole[PATH_MAX];
    bool is_one = strcmp(path, "-") != 0 && realpath(path, whole);
    gr_json_put_path(into, key, is_one ? whole : "");
}

static void put_input(gr_json into, const char *name, const input *in)
{
    gr_json o = gr_json_put_object(into, name), places = gr_json_put_array(o, "places");
    put_digest(o, in->is.bytes, in->is.checksum);
    for (size_t i = 0; i < in->n_paths; i++)
        put_place(places, NULL, in->paths[i]);
    if (!in->files || in->files->n > MOST_FILES) /* then their sum has to do */
        return;
    gr_json files = gr_json_put_array(o, "files");
    for (size_t i = 0; i < in->files->n; i++) {
        gr_json file = gr_json_put_object(files, NULL);
        gr_json_put_path(file, "name", in->files->list[i].name);
        put_digest(file, in->files->list[i].bytes, in->files->list[i].checksum);
    }
}

/* What --data-changed has accepted, now and earlier. */
static gr_status put_changes(gr_json root, const char *dir, const gr_run_record *r, const input in[N_INPUTS])
{
    gr_json old = r->doc ? gr_json_get(gr_json_root(r->doc), "changes") : (gr_json){0}, list = {0};
    gr_run_state state;
    int64_t step;
    gr_status s = gr_run_look(dir, &state, &step);
    for (size_t i = 0; gr_json_is(old) && i < gr_json_size(old); i++) {
        list = gr_json_is(list) ? list : gr_json_put_array(root, "changes");
        gr_json_put_copy(list, NULL, gr_json_item(old, i));
    }
    for (int i = 0; s == GR_OK && i < N_INPUTS; i++) {
        gr_json was = recorded(r, i);
        if (!has_changed(was, &in[i]))
            continue;
        list = gr_json_is(list) ? list : gr_json_put_array(root, "changes");
        gr_json change = gr_json_put_object(list, NULL);
        gr_json_put_int(change, "step", step > 0 ? step : 0);
        gr_json_put_text(change, "input", names[i]);
        gr_json_put_text(change, "was", gr_json_text(was, "xxh64", ""));
        put_digest(change, in[i].is.bytes, in[i].is.checksum);
    }
    return s;
}

static gr_status put_all(gr_json o, const gr_args *args, const gr_run_record *r, const gr_train_job *job,
                         const input in[N_INPUTS])
{
    const gr_train_flags *f = flags_of(args);
    gr_json_put_text(o, "verb", args->verb->name);
    gr_json_put_text(o, "version", gr_version());
    if (f->model)
        gr_json_put_path(o, "model", f->model);
    gr_json_put_text(o, "device", gr_device_describe(job->on.device));
    gr_json_put_int(o, "parameters", gr_model_describe(job->on.model)->parameters);
    gr_json_put_int(o, "tokens", gr_data_count(job->data));
    put_place(o, "place", f->out);
    gr_json list = gr_json_put_array(o, "data");
    for (size_t i = 0; i < in[DATA].n_paths; i++)
        gr_json_put_path(list, NULL, in[DATA].paths[i]);
    gr_json inputs = gr_json_put_object(o, "inputs");
    for (int i = 0; i < N_INPUTS; i++)
        if (in[i].is_known)
            put_input(inputs, names[i], &in[i]);
    gr_json flags = gr_json_put_object(o, "flags");
    for (size_t i = 0; i < args->slot_count; i++) {
        const gr_slot *slot = &args->slots[i];
        char *value = is_of_session(slot->flag->name) ? NULL : gr_args_value(slot);
        if (value && *value && (slot->given || slot->initial))
            gr_json_put_path(flags, slot->flag->name, value);
        gr_free(value);
    }
    return put_changes(o, f->out, r, in);
}

gr_status gr_run_json_write(gr_args *args, const gr_run_record *r, const gr_train_job *job, const char **data,
                            size_t n_data)
{
    input in[N_INPUTS] = {0};
    gr_status s = know(args, job, data, n_data, in);
    if (s == GR_OK)
        s = compare(args, r, in);
    gr_json_doc *doc = s == GR_OK ? gr_json_new("run.json") : NULL;
    char *path = doc ? gr_run_json_path(args) : NULL;
    if (s == GR_OK)
        s = path ? put_all(gr_json_root(doc), args, r, job, in) : gr_error_status();
    if (s == GR_OK)
        s = gr_json_write(doc, path);
    gr_free(path);
    gr_json_free(doc);
    return s;
}
