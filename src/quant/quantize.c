/* gr_quantize: part after part, then saved. */
#include "gradus.h"

#include <math.h>
#include <string.h>

#include "base/dtype.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sized.h"
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
    return gr_fail(GR_ERR_INTERRUPTED, "quantizing: stopped, and nothing is left of it");
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
    gr_save_options o = {.size = sizeof o,
                         .source = w->o->source,
                         .progress = on_saving,
                         .user = w,
                         .gguf = true,
                         .pre = w->o->pre,
                         .check = on_check};
    return gr_model_save(w->made, path, &o, w->o->saved);
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
    gr_quantized own = {.size = sizeof own, .tensors = list, .n = w->n};
    for (int i = 0; i < w->n; i++) {
        const gr_quant_tensor *t = &w->tensors[i];
        int64_t values = gr_dtype_values(t->entry.dtype, t->entry.bytes);
        gr_dtype to = t->entry.ndim < 2 ? GR_F32 : t->to; /* vectors are, in such files */
        list[i] = (gr_quantized_tensor){strcpy(text, t->entry.name),
                                        t->entry.dtype,
                                        to,
                                        values,
                                        t->entry.bytes,
                                        gr_dtype_size(to, values),
                                        t->sum > 0 ? sqrt(t->lost / t->sum) : 0};
        text += strlen(text) + 1;
        own.was_quantized |= gr_dtype_is_block(t->entry.dtype);
    }
    gr_status s = gr_give_sized(out, &own, sizeof own, "gr_quantize: out");
    if (s != GR_OK || !out)
        gr_free(list);
    return s;
}

static gr_status check(gr_quant *w, const char *path)
{
    if (w->m->adapter)
        return gr_fail(GR_ERR_ARGUMENT, "the model has an adapter\nmerge it first");
    if (gr_path_is_file(path) || gr_path_is_dir(path))
        return gr_fail(GR_ERR_ARGUMENT, "it is there already\nchoose another name, or remove it");
    if (!gr_gguf_is_name(path))
        return gr_fail(GR_ERR_ARGUMENT, "the name of a GGUF file must end in .gguf");
    if (gr_lacks(w->o->type, "gr_quantize: options.type"))
        return GR_ERR_ARGUMENT;
    w->mix = gr_mix_find(w->o->type);
    return w->mix ? GR_OK : gr_error_status();
}

/* What an earlier call that was killed has left is removed; a folder with anything else in it is not ours. */
static gr_status begin_folder(const char *dir)
{
    char **names;
    size_t n = 0, others = 0;
    gr_status s = gr_path_is_dir(dir) ? gr_dir_list(dir, &names, &n) : GR_OK;
    for (size_t i = 0; s == GR_OK && i < n; i++)
        others += strncmp(names[i], "part-", 5) != 0 && names[i][0] != '.';
    if (n)
        gr_names_free(names, n);
    if (s == GR_OK && others)
        return gr_fail(GR_ERR_FILE, "%s: this folder holds something else\nremove it, or choose another name", dir);
    if (s == GR_OK)
        s = gr_dir_remove(dir);
    return s == GR_OK ? gr_dir_make(dir) : s;
}

static gr_status work(gr_quant *w, const char *path, bool *began)
{
    w->dir = gr_strfmt("%s.quantizing", path);
    gr_status s = w->dir ? check(w, path) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = gr_quant_list(w);
    if (s == GR_OK)
        s = gr_quant_make(w);
    if (s == GR_OK)
        s = begin_folder(w->dir);
    *began = s == GR_OK;
    for (int i = 0; s == GR_OK && i < w->parts; i++)
        s = gr_quant_part(w, i);
    return s == GR_OK ? save(w, path) : s;
}

gr_status gr_quantize(gr_model *m, const char *path, const gr_quantize_options *options, gr_quantized *out)
{
    gr_quantize_options o;
    if (gr_lacks(m, "gr_quantize: model") || gr_lacks(path, "gr_quantize: path"))
        return GR_ERR_ARGUMENT;
    gr_status s = gr_take_sized(&o, sizeof o, options, "gr_quantize: options");
    if (s == GR_OK)
        s = gr_give_sized(out, &(gr_quantized){0}, sizeof *out, "gr_quantize: out");
    if (s != GR_OK)
        return s;
    gr_quant w = {.m = m, .o = &o};
    bool began = false;
    s = work(&w, path, &began);
    gr_kept_error kept;
    gr_error_keep(&kept);
    if (began && gr_dir_remove(w.dir) != GR_OK && s == GR_OK)
        gr_remark(GR_LOG_WARN, "%s: could not be removed, and is not needed any more", w.dir);
    gr_error_put_back(&kept);
    if (s != GR_OK && s != GR_ERR_INTERRUPTED)
        gr_fail_in("quantizing to %s", path);
    if (s == GR_OK)
        s = tell(&w, out);
    gr_quant_close(&w);
    return s;
}
