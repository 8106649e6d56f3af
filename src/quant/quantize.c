/* gr_quantize: part after part, then saved. */
#include "gradus.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checksum.h"
#include "base/dtype.h"
#include "base/error.h"
#include "base/file.h"
#include "base/ggml/hub.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sized.h"
#include "program/store.h"
#include "quant/quant.h"

const char *gr_quantize_list(int i)
{
    return gr_mix_name(i);
}

/* Rounding is most of the time; saving reads and compares what came of it. */
static const double rounding_share = 0.7;

gr_status gr_quant_tell(gr_quant *w, const char *what, double done)
{
    if (!w->o->progress || w->o->progress(w->o->user, what, rounding_share * done))
        return GR_OK;
    return gr_fail(GR_ERR_INTERRUPTED, w->o->method == GR_QUANTIZE_GPTQ
                                           ? "quantizing: stopped; what is done is kept\ngo on with --resume"
                                           : "quantizing: stopped, and nothing is left of it");
}

static bool on_saving(void *user, double done, double total)
{
    const gr_quant *w = user;
    double all = rounding_share + (1 - rounding_share) * done / total;
    return !w->o->progress || w->o->progress(w->o->user, done <= total / 2 ? "writing" : "comparing", all);
}

static gr_status on_check(void *user, gr_model *saved)
{
    const gr_quant *w = user;
    return w->o->check ? w->o->check(w->o->user, saved) : GR_OK;
}

static gr_status save(gr_quant *w, const char *path)
{
    gr_quant_leave_hidden(w);
    gr_save_options o = {.size = sizeof o,
                         .source = w->o->source,
                         .adapter = w->o->adapter,
                         .progress = on_saving,
                         .user = w,
                         .gguf = w->hub == GR_DTYPE_NONE,
                         .pre = w->o->pre,
                         .shard_bytes = w->o->shard_bytes,
                         .check = on_check,
                         .layout = w->o->like ? GR_HUB_COMPRESSED_TENSORS : w->o->layout};
    if (!w->o->plan)
        return gr_model_save(w->made, path, &o, w->o->saved);
    gr_status s = gr_quant_need_saving(w, &o, &w->file_bytes);
    if (s == GR_OK)
        s = on_check(w, w->made);
    return s == GR_OK ? gr_give_sized(w->o->plan, &w->need, sizeof w->need, "gr_quantize: options.plan") : s;
}

/* The list for the caller, and its names behind it, in one block. */
static gr_status tell(const gr_quant *w, gr_quantized *out)
{
    size_t names = 0;
    for (int i = 0; i < w->n; i++)
        names += strlen(w->tensors[i].entry.name) + 1;
    gr_quantized_tensor *list = gr_alloc((size_t)w->n * sizeof *list + names);
    if (!list)
        return GR_ERR_MEMORY;
    char *text = (char *)(list + w->n);
    gr_quantized own = {.size = sizeof own, .tensors = list, .n = w->n, .file_bytes = w->file_bytes};
    for (int i = 0; i < w->n; i++) {
        const gr_quant_tensor *t = &w->tensors[i];
        int64_t values = gr_dtype_values(t->entry.dtype, t->entry.bytes);
        bool widens = t->entry.ndim < 2 && w->hub == GR_DTYPE_NONE; /* vectors are f32 in GGUF files */
        gr_dtype to = widens ? GR_F32 : t->to;
        bool known = t->moments || (w->o->method == GR_QUANTIZE_GPTQ && t->part > 0);
        list[i] = (gr_quantized_tensor){.name = strcpy(text, t->entry.name),
                                        .from = t->entry.dtype,
                                        .to = to,
                                        .values = values,
                                        .before = t->entry.bytes,
                                        .after = gr_dtype_size(to, values),
                                        .calibrated = t->is_matrix && known,
                                        .error = t->sum > 0 ? sqrt(t->lost / t->sum) : 0};
        text += strlen(text) + 1;
        own.was_quantized |= gr_dtype_is_block(t->entry.dtype);
    }
    gr_status s = gr_give_sized(out, &own, sizeof own, "gr_quantize: out");
    if (s != GR_OK || !out)
        gr_free(list);
    return s;
}

/* int4 with groups of this size; 0: the usual one. A row of one group is of the largest blocks that its width is whole ones
 * of, which tensors.c finds. */
static gr_status find_group(gr_quant *w)
{
    static const gr_dtype sizes[][2] = {
        {GR_INT4_32, GR_INT4Z_32}, {GR_INT4_64, GR_INT4Z_64}, {GR_INT4_128, GR_INT4Z_128}};
    gr_dtype d = gr_mix_main(w->mix);
    int64_t group = w->o->group;
    w->hub = gr_dtype_get(d)->ggml ? GR_DTYPE_NONE : d;
    w->whole = d == GR_INT8 || group == GR_GROUP_ROW;
    if (d != GR_INT4_128 && (group || w->o->zero_points || w->o->layout))
        return gr_fail(GR_ERR_ARGUMENT, "%s has no choice of groups, zero points or layouts\nint4 has", w->o->type);
    if (d != GR_INT4_128)
        return GR_OK;
    group = group == 0 || group == GR_GROUP_ROW ? 128 : group;
    for (int i = 0; i < 3; i++)
        if (gr_dtype_get(sizes[i][0])->block == group) {
            w->hub = sizes[i][w->o->zero_points];
            return GR_OK;
        }
    return gr_fail(GR_ERR_ARGUMENT, "groups of %lld in int4\nit has groups of 32, 64 and 128 values, or whole rows",
                   (long long)group);
}

/* Of a model whose dtypes are to be had. */
static gr_status find_like(gr_quant *w)
{
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; w->hub == GR_DTYPE_NONE && i < gr_store_count(w->o->like->store); i++)
        if (gr_store_entry(w->o->like->store, i, &e) == GR_OK && gr_ints_is(e.dtype))
            w->hub = e.dtype;
    if (w->hub == GR_DTYPE_NONE)
        return gr_fail(GR_ERR_ARGUMENT, "gr_quantize: options.like has no weights in int4 or int8\ngive a type");
    return GR_OK;
}

static gr_status find_types(gr_quant *w)
{
    if (w->o->like)
        return find_like(w);
    if (gr_lacks(w->o->type, "gr_quantize: options.type"))
        return GR_ERR_ARGUMENT;
    w->mix = gr_mix_find(w->o->type);
    return w->mix ? find_group(w) : gr_error_status();
}

static gr_status check_free(const char *path)
{
    if (gr_path_is_file(path) || gr_path_is_dir(path))
        return gr_fail(GR_ERR_ARGUMENT, "it is there already\nchoose another name, or remove it");
    return GR_OK;
}

static gr_status check(gr_quant *w, const char *path)
{
    if (w->m->adapter)
        return gr_fail(GR_ERR_ARGUMENT, "the model has an adapter\nmerge it first");
    if (path && check_free(path) != GR_OK)
        return gr_error_status();
    if (find_types(w) != GR_OK)
        return gr_error_status();
    if (path && gr_gguf_is_name(path) != (w->hub == GR_DTYPE_NONE))
        return gr_fail(GR_ERR_ARGUMENT, w->hub == GR_DTYPE_NONE
                                            ? "the name of a GGUF file must end in .gguf"
                                            : "int4 and int8 make a directory, whose name must not end in .gguf");
    return GR_OK;
}

/* ---- the folder --------------------------------------------------------------------------------------------- */

static const char state_name[] = "quantize.json";

/* What decides about the parts: to go on with those of another call would mix two models. */
static char *state_of(const gr_quant *w)
{
    gr_checksum_parts sum = {0};
    gr_checksum_add(&sum, w->m->config, strlen(w->m->config));
    for (int i = 0; i < w->n; i++) {
        const gr_quant_tensor *t = &w->tensors[i];
        enum { LOOK = 4096 };
        const void *data = gr_store_view(w->m->store, i);
        gr_checksum_add(&sum, &t->to, sizeof t->to);
        gr_checksum_add(&sum, &t->group, sizeof t->group);
        if (data)
            gr_checksum_add(&sum, data, t->entry.bytes < LOOK ? t->entry.bytes : LOOK);
    }
    gr_checksum_add(&sum, w->o->calibration, (size_t)w->o->n_calibration * sizeof *w->o->calibration);
    return gr_strfmt("{\"method\": %d, \"of\": \"%016llx\"}\n", (int)w->o->method,
                     (unsigned long long)gr_checksum_end(&sum));
}

/* The state that an earlier call has left; *text NULL: there is none. Caller frees. */
static gr_status read_left(const char *path, char **text)
{
    bool is_there = gr_path_is_file(path);
    *text = is_there ? gr_file_read(path, GR_JSON_LIMIT, NULL) : NULL;
    return *text || !is_there ? GR_OK : gr_error_status();
}

/* What an earlier call has left is removed, or gone on with; a folder with anything else in it is not ours. */
static gr_status check_folder(const char *dir)
{
    char **names;
    size_t n = 0, others = 0;
    gr_status s = gr_path_is_dir(dir) ? gr_dir_list(dir, &names, &n) : GR_OK;
    for (size_t i = 0; s == GR_OK && i < n; i++)
        others += strncmp(names[i], "part-", 5) != 0 && strcmp(names[i], state_name) != 0 && names[i][0] != '.';
    if (n)
        gr_names_free(names, n);
    if (s == GR_OK && others)
        return gr_fail(GR_ERR_FILE, "%s: this folder holds something else\nremove it, or choose another name", dir);
    return s;
}

/* Has a call done something there? A folder that cannot be looked at may hold hours of work. */
static bool has_parts(const char *dir)
{
    char **names;
    size_t n = 0, parts = 0;
    if (!gr_path_is_dir(dir))
        return false;
    if (gr_dir_list(dir, &names, &n) != GR_OK)
        return true;
    for (size_t i = 0; i < n; i++)
        parts += strncmp(names[i], "part-", 5) == 0;
    gr_names_free(names, n);
    return parts > 0;
}

/* GPTQ takes hours, and what it has done is thrown away by nobody but the caller. left: the state of an earlier call, or
 * NULL; same: it is this call's. */
static gr_status check_left(const gr_quant *w, const char *left, bool same)
{
    char gptq[32];
    int n = snprintf(gptq, sizeof gptq, "{\"method\": %d,", (int)GR_QUANTIZE_GPTQ);
    bool of_gptq = left && strncmp(left, gptq, (size_t)n) == 0;
    if (w->o->resume && left && !same)
        return gr_fail(GR_ERR_ARGUMENT, "%s: was begun with another model, type or text\nremove it to begin anew",
                       w->dir);
    if (!w->o->resume && of_gptq && has_parts(w->dir))
        return gr_fail(GR_ERR_ARGUMENT, "%s: holds what an earlier call has done\n%s", w->dir,
                       same ? "go on with it by --resume, or remove it to begin anew"
                            : "it is of another model, type or text: remove it, or choose another name");
    return GR_OK;
}

/* *began: what is in it is ours from here on. */
static gr_status begin_folder(const gr_quant *w, bool *began)
{
    char *state = state_of(w), *path = gr_path_join(w->dir, state_name), *left = NULL;
    gr_status s = state && path ? check_folder(w->dir) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = read_left(path, &left);
    bool same = left && strcmp(left, state) == 0;
    if (s == GR_OK)
        s = check_left(w, left, same);
    *began = s == GR_OK;
    if (s == GR_OK && !(w->o->resume && same)) {
        s = gr_dir_remove(w->dir);
        if (s == GR_OK)
            s = gr_dir_make(w->dir);
        if (s == GR_OK)
            s = gr_file_write(path, state, strlen(state));
    }
    gr_free(left);
    gr_free(state);
    gr_free(path);
    return s;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static gr_status check_method(const gr_quantize_options *o)
{
    bool has_text = o->calibration && o->n_calibration > 0;
    if (o->method == GR_QUANTIZE_GPTQ && !has_text)
        return gr_fail(GR_ERR_ARGUMENT, "GPTQ needs a text for calibration\ngive one, or round");
    if (o->save_imatrix && !has_text)
        return gr_fail(GR_ERR_ARGUMENT, "an imatrix is made of a text for calibration\ngive one");
    if (o->imatrix && has_text)
        return gr_fail(GR_ERR_ARGUMENT, "an imatrix stands in place of a text for calibration\ngive one of them");
    if (o->resume && o->method != GR_QUANTIZE_GPTQ)
        return gr_fail(GR_ERR_ARGUMENT, "only GPTQ can be gone on with: rounding begins anew");
    return GR_OK;
}

/* What is known of activations. */
static gr_status calibrate(gr_quant *w)
{
    const gr_quantize_options *o = w->o;
    gr_status s = o->n_calibration ? gr_quant_calibrate(w) : GR_OK;
    if (s == GR_OK && o->imatrix)
        s = gr_imatrix_read(w, o->imatrix);
    bool squares = o->n_calibration && (o->method == GR_QUANTIZE_ROUND || o->save_imatrix);
    if (s == GR_OK && squares)
        s = gr_quant_moments(w);
    return s == GR_OK && o->save_imatrix && !o->plan ? gr_imatrix_write(w, o->save_imatrix) : s;
}

static gr_status round_part(gr_quant *w, int part)
{
    int *index = gr_alloc_zero((size_t)w->n, sizeof *index);
    gr_status s = index ? gr_quant_keep(w, part) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = gr_quant_take(w, &(gr_quant_step){part, 0, index, gr_quant_left(w, part, index), NULL});
    gr_free(index);
    return s;
}

/* The place of what is written is ours. */
static gr_status take_place(gr_quant *w, const char *path)
{
    w->dir = gr_strfmt("%s.quantizing", path);
    gr_status s = w->dir ? gr_write_lock_take(&w->lock, gr_strfmt("%s.lock", w->dir)) /* beside the folder, made anew */
                         : GR_ERR_MEMORY;
    return s == GR_OK ? check_free(path) : s; /* who had the lock until now has written it */
}

static gr_status work(gr_quant *w, const char *path, bool *began)
{
    gr_status s = check(w, path);
    if (s == GR_OK)
        s = check_method(w->o);
    if (s == GR_OK)
        s = gr_quant_list(w);
    if (s == GR_OK && !w->o->plan)
        s = take_place(w, path);
    if (s == GR_OK)
        s = gr_quant_make(w);
    if (s == GR_OK && !w->o->plan)
        s = begin_folder(w, began);
    if (s == GR_OK)
        s = calibrate(w);
    for (int i = 0; s == GR_OK && i < w->parts; i++)
        s = w->o->method == GR_QUANTIZE_GPTQ ? gr_quant_gptq_part(w, i) : round_part(w, i);
    return s == GR_OK ? save(w, path) : s;
}

/* A full disk, or memory that cannot be had, ends a call and not what it has done. */
static bool may_go_on(const gr_quant *w, gr_status s)
{
    bool goes_on = (s == GR_ERR_INTERRUPTED || s == GR_ERR_FILE || s == GR_ERR_MEMORY) &&
                   w->o->method == GR_QUANTIZE_GPTQ && has_parts(w->dir);
    if (goes_on && s != GR_ERR_INTERRUPTED)
        gr_remark(GR_LOG_WARN, "%s: what is done is kept there; the same command with --resume goes on", w->dir);
    return goes_on;
}

gr_status gr_quantize(gr_model *m, const char *path, const gr_quantize_options *options, gr_quantized *out)
{
    gr_quantize_options o;
    if (gr_lacks(m, "gr_quantize: model"))
        return GR_ERR_ARGUMENT;
    gr_status s = gr_take_sized(&o, sizeof o, options, "gr_quantize: options");
    if (s == GR_OK && !o.plan && gr_lacks(path, "gr_quantize: path"))
        return GR_ERR_ARGUMENT;
    if (s == GR_OK)
        s = gr_give_sized(out, &(gr_quantized){0}, sizeof *out, "gr_quantize: out");
    if (s != GR_OK)
        return s;
    gr_quant w = {.m = m, .o = &o, .hub = GR_DTYPE_NONE, .lock = GR_NO_WRITE_LOCK};
    bool began = false;
    s = work(&w, path, &began);
    gr_kept_error kept;
    gr_error_keep(&kept);
    bool goes_on = began && may_go_on(&w, s);
    if (began && !goes_on && gr_dir_remove(w.dir) != GR_OK && s == GR_OK)
        gr_remark(GR_LOG_WARN, "%s: could not be removed, and is not needed any more", w.dir);
    gr_error_put_back(&kept);
    if (s != GR_OK && s != GR_ERR_INTERRUPTED)
        gr_fail_in("quantizing to %s", path ? path : o.type ? o.type : gr_dtype_name(w.hub));
    if (s == GR_OK)
        s = tell(&w, out);
    gr_quant_close(&w);
    return s;
}
