/* run.json: what a run was begun with, to go on with it: settings by their values, and data, model, tokenizer and config by
 * their bytes, wherever they lie by now. */
#include "base/checksum.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/sized.h"
#include "format/digest.h"
#include "train/data.h"
#include "train/run.h"
#include "text/tokenizer.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NAME "run.json"
enum { MOST_FILES = 256 }; /* that are listed; of more their sum has to do */
static const char *const names[GR_RUN_INPUTS] = {"data", "eval-data", "model", "adapter", "config", "tokenizer"};

/* ---- what was ----------------------------------------------------------------------------------------------- */

/* A record as it was read. What it gives out lives as long. */
typedef struct record {
    gr_run_record is; /* first: the caller has its address */
    gr_json_doc *doc;
    char *dir;
    char **texts; /* [n_texts] paths that were made here */
    size_t n_texts, texts_cap;
} record;

static const record *inside(const gr_run_record *r)
{
    return (const record *)(const void *)r;
}

/* What run.json says of an input; of none where it says nothing, as that of an older version. */
static gr_json recorded(const record *r, int which)
{
    gr_json none = {0}, inputs = r ? gr_json_get(gr_json_root(r->doc), "inputs") : none;
    return gr_json_is(inputs) ? gr_json_get(inputs, names[which]) : none;
}

static gr_status read_lists(record *r)
{
    gr_json root = gr_json_root(r->doc), flags = gr_json_as_object(gr_json_get(root, "flags"));
    gr_json data = gr_json_as_array(gr_json_get(root, "data"));
    gr_status s = gr_json_check(r->doc);
    if (s != GR_OK)
        return s;
    gr_run_setting *settings = gr_alloc_zero(gr_json_size(flags) + 1, sizeof *settings);
    const char **paths = gr_alloc_zero(gr_json_size(data) + 1, sizeof *paths);
    r->is.settings = settings;
    r->is.data = paths;
    if (!settings || !paths)
        return GR_ERR_MEMORY;
    for (gr_json_iter it = gr_json_first(flags); it.key; gr_json_next(&it))
        settings[r->is.n_settings++] = (gr_run_setting){it.key, gr_json_as_path(it.value)};
    for (size_t i = 0; i < gr_json_size(data); i++)
        paths[r->is.n_data++] = gr_json_as_path(gr_json_item(data, i));
    return gr_json_check(r->doc);
}

static gr_status read_record(record *r, const char *dir, const char *path)
{
    r->dir = gr_strdup(dir);
    r->doc = r->dir ? gr_json_read(path, GR_JSON_LIMIT) : NULL;
    if (!r->doc)
        return gr_error_status();
    gr_json root = gr_json_root(r->doc), model = gr_json_get(root, "model");
    r->is.kind = gr_json_text(root, "verb", NULL);
    r->is.model = gr_json_is(model) ? gr_json_as_path(model) : NULL;
    r->is.has_changed = gr_json_is(gr_json_get(root, "changes"));
    for (int i = 0; i < GR_RUN_INPUTS; i++)
        r->is.known |= gr_json_is(recorded(r, i)) ? 1u << i : 0;
    return read_lists(r);
}

gr_status gr_run_record_read(const char *dir, const gr_run_record **out)
{
    if (gr_lacks(dir, "gr_run_record_read: dir") || gr_lacks(out, "gr_run_record_read: out"))
        return GR_ERR_ARGUMENT;
    *out = NULL;
    char *path = gr_path_join(dir, NAME);
    bool is_there = path && gr_path_is_file(path);
    record *r = is_there ? gr_alloc_zero(1, sizeof *r) : NULL;
    gr_status s = path && (r || !is_there) ? GR_OK : GR_ERR_MEMORY;
    if (r)
        s = read_record(r, dir, path);
    gr_free(path);
    if (s == GR_OK)
        *out = r ? &r->is : NULL;
    else if (r)
        gr_run_record_free(&r->is);
    return s;
}

void gr_run_record_free(const gr_run_record *public)
{
    record *r = (record *)inside(public);
    if (!r)
        return;
    for (size_t i = 0; i < r->n_texts; i++)
        gr_free(r->texts[i]);
    gr_free(r->texts);
    gr_free((void *)r->is.settings);
    gr_free((void *)r->is.data);
    gr_json_free(r->doc);
    gr_free(r->dir);
    gr_free(r);
}

/* ---- where things lie --------------------------------------------------------------------------------------- */

/* Keeps a text until the record is closed; takes it over. */
static const char *hold(record *r, char *text)
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

const char *gr_run_record_place(const gr_run_record *public, gr_run_input_kind which, int k, const char *was)
{
    if (gr_lacks(public, "gr_run_record_place: record") || gr_lacks(was, "gr_run_record_place: was"))
        return NULL;
    if ((int)which < 0 || which >= GR_RUN_INPUTS || k < 0)
        return was;
    record *r = (record *)inside(public);
    gr_json in = recorded(r, (int)which), places = gr_json_is(in) ? gr_json_get(in, "places") : in;
    gr_json then = gr_json_get(gr_json_root(r->doc), "place");
    if (!gr_json_is(places) || (size_t)k >= gr_json_size(places))
        return was;
    const char *place = gr_json_as_path(gr_json_item(places, (size_t)k));
    if (!place || !*place || is_there(place))
        return place && *place ? place : was;
    if (is_there(was) || !gr_json_is(then))
        return was;
    const char *moved = hold(r, moved_along(place, gr_json_as_path(then), r->dir));
    return moved && is_there(moved) ? moved : was;
}

/* ---- what is ------------------------------------------------------------------------------------------------ */

/* What an input is now. */
typedef struct input {
    bool is_known;
    gr_digest is;
    const gr_inputs *files; /* of data; else NULL */
    const gr_run_input *given;
} input;

static void know_files(input *in, const gr_inputs *files)
{
    in->files = files;
    in->is.checksum = gr_inputs_digest(in->files, &in->is.bytes);
    in->is_known = in->files->n > 0;
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

static gr_status know(const gr_run_input *given, int threads, input *in)
{
    in->given = given;
    if (given->data)
        know_files(in, &given->data->inputs);
    else if (given->corpus)
        know_files(in, &given->corpus->inputs);
    else if (given->tokenizer)
        know_tokenizer(in, given->tokenizer);
    in->is_known |= given->dir || given->file;
    if (given->dir)
        return gr_digest_model(given->dir, threads, &in->is);
    return given->file ? gr_digest_file(given->file, &in->is) : GR_OK;
}

static gr_status know_all(const gr_run_start *start, input in[GR_RUN_INPUTS])
{
    gr_status s = GR_OK;
    for (int i = 0; s == GR_OK && i < GR_RUN_INPUTS; i++)
        s = know(&start->inputs[i], start->threads, &in[i]);
    return s;
}

/* ---- comparing ---------------------------------------------------------------------------------------------- */

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

/* Names what has changed of an input; caller frees. */
static char *describe(int which, gr_json was, const input *in)
{
    gr_json files = gr_json_get(was, "files");
    size_t n = in->files && gr_json_is(files) ? gr_json_size(files) : 0;
    for (size_t i = 0; n == (in->files ? in->files->n : 0) && i < n; i++) {
        gr_json file = gr_json_item(files, i);
        if (is_same_file(file, &in->files->list[i]))
            continue;
        return gr_strfmt("%s: its %lld bytes are not those that the run was begun with (%lld of %s)",
                         in->files->list[i].name, (long long)in->files->list[i].bytes,
                         (long long)gr_json_int(file, "bytes", -1, 0, INT64_MAX), name_of(file));
    }
    const char *path = in->given->n_paths > 0 ? in->given->paths[0] : "that of the model";
    if (in->files)
        return gr_strfmt("%s: %zu file%s, not those that the run was begun with, by their bytes", path, in->files->n,
                         gr_plural((int64_t)in->files->n));
    return gr_strfmt("%s: not the %s that the run was begun with, by its bytes", path, names[which]);
}

static bool has_changed(gr_json was, const input *in)
{
    char sum[20];
    hex(sum, in->is.checksum);
    return gr_json_is(was) && in->is_known && strcmp(gr_json_text(was, "xxh64", ""), sum) != 0;
}

static gr_status tell_change(bool accepts, int which, gr_json was, const input *in)
{
    char *what = describe(which, was, in);
    gr_status s = what ? GR_OK : GR_ERR_MEMORY;
    if (what && !accepts)
        s = gr_fail(GR_ERR_FILE, "%s\n%s", what,
                    which <= GR_RUN_EVAL_DATA ? "Name where it lies now, or go on with these by --data-changed."
                                              : "Name where it lies now, or go on with this by --data-changed.");
    else if (what)
        gr_remark(GR_LOG_WARN, "%s: goes on all the same", what);
    gr_free(what);
    return s;
}

static gr_status compare(const record *r, const input in[GR_RUN_INPUTS], bool accepts)
{
    gr_status s = GR_OK;
    for (int i = 0; s == GR_OK && i < GR_RUN_INPUTS; i++) {
        gr_json was = recorded(r, i);
        if (has_changed(was, &in[i]))
            s = tell_change(accepts, i, was, &in[i]);
    }
    return s;
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
    for (int i = 0; i < in->given->n_paths; i++)
        put_place(places, NULL, in->given->paths[i]);
    if (!in->files || in->files->n > MOST_FILES) /* then their sum has to do */
        return;
    gr_json files = gr_json_put_array(o, "files");
    for (size_t i = 0; i < in->files->n; i++) {
        gr_json file = gr_json_put_object(files, NULL);
        gr_json_put_path(file, "name", in->files->list[i].name);
        put_digest(file, in->files->list[i].bytes, in->files->list[i].checksum);
    }
}

/* The changes that were accepted, now and earlier. */
static gr_status put_changes(gr_json root, const char *dir, const record *r, const input in[GR_RUN_INPUTS])
{
    gr_json old = r ? gr_json_get(gr_json_root(r->doc), "changes") : (gr_json){0}, list = {0};
    gr_run_state state;
    int64_t step;
    gr_status s = gr_run_look(dir, &state, &step);
    for (size_t i = 0; gr_json_is(old) && i < gr_json_size(old); i++) {
        list = gr_json_is(list) ? list : gr_json_put_array(root, "changes");
        gr_json_put_copy(list, NULL, gr_json_item(old, i));
    }
    for (int i = 0; s == GR_OK && i < GR_RUN_INPUTS; i++) {
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

static gr_status put_all(gr_json o, const char *dir, const record *r, const gr_run_start *start,
                         const input in[GR_RUN_INPUTS])
{
    const gr_run_input *data = &start->inputs[GR_RUN_DATA];
    gr_json_put_text(o, "verb", start->kind ? start->kind : "train");
    gr_json_put_text(o, "version", GR_VERSION);
    if (start->model)
        gr_json_put_path(o, "model", start->model);
    if (start->trains) {
        gr_device_info device = GR_INIT(gr_device_info);
        if (gr_device_describe(gr_model_describe(start->trains)->device, &device) == GR_OK) {
            gr_json_put_text(o, "device", device.description);
            gr_json_put_bool(o, "multiplies_bf16", device.multiplies_bf16);
        }
        gr_json_put_int(o, "parameters", gr_model_describe(start->trains)->parameters);
    }
    if (data->data)
        gr_json_put_int(o, "tokens", gr_data_describe(data->data)->tokens);
    put_place(o, "place", dir);
    gr_json list = gr_json_put_array(o, "data");
    for (int i = 0; i < data->n_paths; i++)
        gr_json_put_path(list, NULL, data->paths[i]);
    gr_json inputs = gr_json_put_object(o, "inputs");
    for (int i = 0; i < GR_RUN_INPUTS; i++)
        if (in[i].is_known)
            put_input(inputs, names[i], &in[i]);
    gr_json flags = gr_json_put_object(o, "flags");
    for (int i = 0; i < start->n_settings; i++)
        gr_json_put_path(flags, start->settings[i].name, start->settings[i].value);
    return put_changes(o, dir, r, in);
}

static gr_status write_record(const char *dir, const record *r, const gr_run_start *start,
                              const input in[GR_RUN_INPUTS])
{
    gr_json_doc *doc = gr_json_new(NAME);
    char *path = doc ? gr_path_join(dir, NAME) : NULL;
    gr_status s = path ? put_all(gr_json_root(doc), dir, r, start, in) : gr_error_status();
    if (s == GR_OK)
        s = gr_json_write(doc, path);
    gr_free(path);
    gr_json_free(doc);
    return s;
}

static gr_status check_start(const gr_run_start *s)
{
    bool fails = s->n_settings > 0 && gr_lacks(s->settings, "a run's record: settings");
    for (int i = 0; !fails && i < s->n_settings; i++)
        fails = gr_lacks(s->settings[i].name, "a run's record: a setting's name") ||
                gr_lacks(s->settings[i].value, "a run's record: a setting's value");
    for (int i = 0; !fails && i < GR_RUN_INPUTS; i++)
        for (int k = 0; !fails && k < s->inputs[i].n_paths; k++)
            fails = gr_lacks(s->inputs[i].paths, "a run's record: an input's paths") ||
                    gr_lacks(s->inputs[i].paths[k], "a run's record: an input's path");
    if (fails)
        return GR_ERR_ARGUMENT;
    static const gr_run_input none;
    for (int i = 0; i < GR_RUN_ROOM; i++) {
        const gr_run_input *in = &s->inputs[i];
        if (i >= GR_RUN_INPUTS ? memcmp(in, &none, sizeof none)
                               : memcmp(in->reserved, none.reserved, sizeof none.reserved))
            return gr_fail(GR_ERR_UNSUPPORTED,
                           "a run's record: input %d has what version %s does not know\nuse a newer "
                           "library, or leave it out",
                           i, GR_VERSION);
    }
    return GR_OK;
}

gr_status gr_run_record_write(const char *dir, const gr_run_start *given, bool compare_only)
{
    gr_run_start start;
    input in[GR_RUN_INPUTS] = {0};
    const gr_run_record *was = NULL;
    if (gr_lacks(dir, "gr_run_record_write: dir") || gr_lacks(given, "gr_run_record_write: start"))
        return GR_ERR_ARGUMENT;
    gr_status s = gr_take_sized(&start, sizeof start, given, "gr_run_record_write: start");
    if (s == GR_OK)
        s = check_start(&start);
    if (s == GR_OK)
        s = gr_run_record_read(dir, &was);
    if (s == GR_OK)
        s = know_all(&start, in);
    if (s == GR_OK)
        s = compare(inside(was), in, start.accepts_changes);
    if (s == GR_OK && !compare_only)
        s = write_record(dir, inside(was), &start, in);
    gr_run_record_free(was);
    return s;
}
