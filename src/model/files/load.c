/* Loading a model directory: config.json, and of the weights those that it asks for. */
#include "model/files/gguf.h"
#include "model/files/packed.h"

#include "base/dtype.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sized.h"
#include "program/store.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- all that are asked for --------------------------------------------------------------------------------- */

/* Up to MOST_SHOWN names: "a", "b" and 7 more. */
enum { MOST_SHOWN = 4 };
typedef struct name_list {
    int n;
    char text[640];
} name_list;

static void list_name(name_list *l, const char *name)
{
    char shown[120];
    size_t used = strlen(l->text);
    if (l->n++ < MOST_SHOWN)
        snprintf(l->text + used, sizeof l->text - used, "%s\"%s\"", used ? ", " : "",
                 gr_printable(name, strlen(name), shown, sizeof shown));
}

static const char *list_end(name_list *l)
{
    size_t used = strlen(l->text);
    if (l->n > MOST_SHOWN)
        snprintf(l->text + used, sizeof l->text - used, " and %d more", l->n - MOST_SHOWN);
    return l->text;
}

/* Nothing of the model lies in this tensor. */
static bool is_extra(const gr_model *m, const gr_names *names, int i)
{
    return !gr_names_is_first(names, i) || gr_store_find(m->store, names->items[i].tensor.name) < 0;
}

/* How alike two names are: what they begin and end with alike. */
static size_t likeness(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), most = n < m ? n : m, begin = 0, end = 0;
    while (begin < most && a[begin] == b[begin])
        begin++;
    while (end < most - begin && a[n - 1 - end] == b[m - 1 - end])
        end++;
    return begin + end;
}

/* The names in the file that nobody asks for and that are most like this one. */
static void nearest(const gr_model *m, const gr_names *names, const char *name, name_list *out)
{
    size_t best[2] = {strlen(name) / 2, strlen(name) / 2};
    const char *found[2] = {NULL, NULL};
    for (int i = 0; i < names->count; i++) {
        const char *other = names->items[i].in_file;
        size_t like = is_extra(m, names, i) ? likeness(name, other) : 0;
        int at = like > best[0] ? 0 : like > best[1] ? 1 : 2;
        if (at == 0) {
            best[1] = best[0];
            found[1] = found[0];
        }
        if (at < 2) {
            best[at] = like;
            found[at] = other;
        }
    }
    for (int i = 0; i < 2 && found[i]; i++)
        list_name(out, found[i]);
}

static gr_status fail_missing(const gr_model *m, const gr_names *names)
{
    name_list missing = {0}, near = {0};
    gr_entry e = GR_INIT(gr_entry), first = e;
    for (int i = 0; i < gr_store_count(m->store); i++)
        if (gr_store_entry(m->store, i, &e) == GR_OK && !gr_names_find(names, e.name)) {
            list_name(&missing, e.name);
            first = missing.n == 1 ? e : first;
        }
    nearest(m, names, first.name, &near);
    return gr_fail(
        GR_ERR_FILE,
        "tensor%s %s %s missing\n%s%s%sconfig.json and weights do not belong together: take both from one model",
        missing.n == 1 ? "" : "s", list_end(&missing), missing.n == 1 ? "is" : "are",
        near.n ? "nearest in the file: " : "", near.text, near.n ? "; " : "");
}

/* Numbers of few bits mean something with the scales that are beside them only. */
static gr_status check_quantized(const gr_model *m, const gr_names *names, const gr_weight *t)
{
    size_t dot = (size_t)(strrchr(t->name, '.') ? strrchr(t->name, '.') - t->name + 1 : 0);
    for (int i = 0; i < names->count; i++)
        if (dot && is_extra(m, names, i) && strncmp(names->items[i].tensor.name, t->name, dot) == 0)
            return gr_fail(GR_ERR_UNSUPPORTED,
                           "tensor \"%s\" is of %s, with \"%s\" beside it: quantized weights are not supported\ntake "
                           "the model in f32, f16 or bf16, or dequantize it with the program that quantized it",
                           t->name, gr_weight_dtype_name(t), names->items[i].in_file);
    return GR_OK;
}

/* What is turned into f32, of which dtypes. */
typedef struct turned_list {
    int n;
    const char *dtypes[3];
} turned_list;

static void note_turned(turned_list *c, const gr_weight *t)
{
    const char *name = gr_weight_dtype_name(t);
    c->n++;
    for (size_t i = 0; i < sizeof c->dtypes / sizeof *c->dtypes; i++) {
        if (c->dtypes[i] && strcmp(c->dtypes[i], name) != 0)
            continue;
        c->dtypes[i] = name;
        return;
    }
}

static gr_status load_asked(gr_model *m, const gr_names *names, bool own, turned_list *turned)
{
    gr_entry e = GR_INIT(gr_entry);
    gr_status s = GR_OK;
    for (int i = 0; s == GR_OK && i < gr_store_count(m->store); i++) {
        s = gr_store_entry(m->store, i, &e);
        const gr_named_tensor *item = s == GR_OK ? gr_names_item(names, e.name) : NULL;
        if (s != GR_OK)
            return s;
        if (!item)
            return fail_missing(m, names);
        const gr_weight *t = &item->tensor;
        if (t->stored || !(gr_dtype_get(t->dtype)->is_float || gr_weight_is_kept(t)))
            s = check_quantized(m, names, t);
        if (s == GR_OK)
            s = gr_load_tensor(m, i, &e, item, own);
        if (!gr_weight_is_kept(t))
            note_turned(turned, t);
    }
    return s;
}

static void tell_turned(const char *dir, const turned_list *c)
{
    const char *const *d = c->dtypes;
    if (c->n)
        gr_remark(GR_LOG_WARN, "%s: %d tensor%s of %s%s%s%s%s: rounded to f32", dir, c->n, c->n == 1 ? "" : "s", d[0],
                  d[1] ? ", " : "", d[1] ? d[1] : "", d[2] ? ", " : "", d[2] ? d[2] : "");
}

/* What of the file nobody asked for. A head that is the embedding again is none. */
static void tell_extra(const gr_model *m, const gr_names *names, const char *dir)
{
    name_list extra = {0};
    for (int i = 0; i < names->count; i++) {
        const char *name = names->items[i].tensor.name;
        bool known = (m->arch->ignores && m->arch->ignores(name)) || (m->h.tied && strcmp(name, GR_HEAD_WEIGHT) == 0);
        if (is_extra(m, names, i) && (!known || !gr_names_is_first(names, i)))
            list_name(&extra, names->items[i].in_file);
    }
    int others = gr_weights_others(m->files);
    for (int i = 0; i < others; i++)
        list_name(&extra, gr_weights_other(m->files, i)->name);
    const char *one = others ? "entry" : "tensor", *more = others ? "entries" : "tensors";
    if (extra.n)
        gr_remark(GR_LOG_WARN, "%s: %d %s that config.json does not ask for %s left out: %s", dir, extra.n,
                  extra.n == 1 ? one : more, extra.n == 1 ? "is" : "are", list_end(&extra));
}

static gr_status load_all(gr_model *m, const gr_names *names, const char *dir, bool own)
{
    turned_list turned = {0};
    gr_status s = load_asked(m, names, own, &turned);
    if (s == GR_OK) {
        tell_turned(dir, &turned);
        tell_extra(m, names, dir);
    }
    return s;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

/* Files that nothing lies in any more are not held. */
static void release_files(gr_model *m)
{
    for (int i = 0; i < gr_store_count(m->store); i++)
        if (gr_store_is_mapped(m->store, i))
            return;
    gr_weights_close(m->files);
    m->files = NULL;
}

/* What weights do not stay in is read as f32. */
static gr_dtype dtype_in_file(const gr_model *m, const char *name)
{
    const gr_weight *t = gr_names_find(m->like, name);
    return t && !t->stored && gr_dtype_get(t->dtype)->is_weight ? t->dtype : GR_F32;
}

/* What is rounded anew is rounded as it was. Where places of a weight have other columns, what they are multiplied by is sorted,
 * too. */
static gr_status keep_groups(gr_model *m, const gr_names *names)
{
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; i < gr_store_count(m->store); i++) {
        const gr_named_tensor *item = gr_store_entry(m->store, i, &e) == GR_OK ? gr_names_item(names, e.name) : NULL;
        const gr_packed *p = item ? item->packed : NULL;
        if (!p || !gr_dtype_is_block(e.dtype) || e.ndim != 2 || e.shape[1] != p->width)
            continue;
        m->inits[i].group = p->group < p->width ? p->group : p->width;
        if (!p->order)
            continue;
        size_t bytes = (size_t)p->width * sizeof *p->order;
        if (gr_grow(&m->orders, &m->orders_capacity, m->n_orders + 1, sizeof *m->orders) != GR_OK)
            return GR_ERR_MEMORY;
        int32_t *order = m->orders[m->n_orders++] = gr_alloc(bytes);
        if (!order)
            return GR_ERR_MEMORY;
        memcpy(order, p->order, bytes);
        m->inits[i].order = order;
    }
    return GR_OK;
}

static gr_status load_named(gr_model *m, gr_names *names, const char *dir, const gr_packed_config *quantized,
                            const gr_load_options *o)
{
    gr_status s = gr_names_open(names, dir, m->files, m->arch, quantized);
    m->prefix = names->bare ? "" : m->arch->prefix;
    if (s == GR_OK)
        s = gr_load_head(m, names, dir);
    m->like = names;
    m->dtype_of = o->widen ? NULL : dtype_in_file;
    if (s == GR_OK)
        s = gr_model_declare(m);
    m->dtype_of = NULL;
    m->like = NULL;
    if (s == GR_OK)
        s = keep_groups(m, names);
    return s == GR_OK && !o->declare_only ? load_all(m, names, dir, o->widen) : s;
}

static gr_status load_weights(gr_model *m, const char *dir, const gr_load_options *o)
{
    gr_names names = {0};
    gr_packed_config quantized = {0};
    m->files = gr_weights_open(dir);
    if (!m->files)
        return gr_error_status();
    gr_status s = gr_packed_config_open(&quantized, m->config, dir);
    if (m->info.activations == GR_ACTIVATIONS_INT8 && quantized.rounds_rows)
        m->info.activations = GR_ACTIVATIONS_INT8_ROWS;
    m->layout = quantized.method == GR_PACKED_GPTQ ? GR_HUB_GPTQ : GR_HUB_COMPRESSED_TENSORS;
    if (s == GR_OK)
        s = load_named(m, &names, dir, &quantized, o);
    gr_names_close(&names);
    gr_packed_config_close(&quantized);
    release_files(m);
    return s == GR_OK ? s : gr_fail_in("%s", dir);
}

static gr_status look_for(const char *dir, const char *name, bool (*is)(const char *path), bool *there)
{
    char *path = gr_path_join(dir, name);
    *there = path && is(path);
    gr_free(path);
    return path ? GR_OK : GR_ERR_MEMORY;
}

/* What a directory without config.json may be instead; else reading says that it is missing. */
static gr_status check_is_model(const char *dir)
{
    bool config, snapshots = false, params = false;
    struct stat is;
    if (stat(dir, &is) != 0)
        return gr_fail(
            errno == ENOMEM ? GR_ERR_MEMORY : GR_ERR_FILE,
            "%s: %s\ngive a directory with a config.json in it, a .gguf file, or a name such as org/name that "
            "gradus pull has fetched",
            dir, strerror(errno));
    if (!S_ISDIR(is.st_mode))
        return gr_fail(GR_ERR_FILE,
                       "%s: a file that is no model\ngive a directory with a config.json in it, or a .gguf file", dir);
    gr_status s = look_for(dir, "config.json", gr_path_is_file, &config);
    if (s == GR_OK && !config)
        s = look_for(dir, "snapshots", gr_path_is_dir, &snapshots);
    if (s == GR_OK && !config)
        s = look_for(dir, "params.json", gr_path_is_file, &params);
    if (s == GR_OK && snapshots)
        s = gr_fail(GR_ERR_FILE, "%s: no model, but a cache of them\ngive one of the directories in its snapshots",
                    dir);
    else if (s == GR_OK && params)
        s = gr_fail(GR_ERR_FILE,
                    "%s: no config.json, but params.json: the layout of the first release of LLaMA\ngive the directory "
                    "in Hugging Face layout",
                    dir);
    else if (s == GR_OK && !config)
        s = gr_fail(
            GR_ERR_FILE,
            "%s/config.json: No such file or directory\ngive a directory with a config.json in it, a .gguf file, "
            "or a run with a checkpoint",
            dir);
    return s;
}

/* How texts are made is the model's, too, and asked for when they are. */
static gr_status keep_generation(gr_model *m, const char *dir)
{
    char *path = gr_path_join(dir, "generation_config.json");
    bool is_there = path && gr_path_is_file(path);
    if (is_there)
        m->generation = gr_file_read(path, GR_JSON_LIMIT, NULL);
    gr_free(path);
    return path && (m->generation || !is_there) ? GR_OK : gr_error_status();
}

/* How it runs when it is not trained. */
static gr_status set_running(gr_model *m, const gr_load_options *o)
{
    gr_dtype usual = gr_precision_dtype(o->precision);
    m->precision = o->precision;
    m->info.activations = o->activations;
    m->keys = o->keys ? *o->keys : usual;
    m->values = o->values ? *o->values : usual;
    gr_status s = o->keys ? gr_model_check_cache(m, m->keys) : GR_OK;
    return s == GR_OK && o->values ? gr_model_check_cache(m, m->values) : s;
}

/* Of a GGUF file its keys say what a directory's files would. */
static gr_model *load_gguf(const char *path, const gr_load_options *o, gr_device *device)
{
    gr_names names = {0};
    gr_model *m = NULL;
    gr_weights *w = gr_weights_open(path);
    gr_gguf *file = w ? gr_gguf_open_first(path) : NULL;
    char *text = file ? gr_gguf_config(file, w) : NULL;
    if (text)
        m = gr_model_undeclared(path, text, strlen(text), device);
    gr_status s = m ? GR_OK : gr_error_status();
    if (m) {
        m->files = w;
        m->generation = gr_gguf_generation(file, &s);
        m->file_type = o->widen ? 0 : gr_gguf_told_type(file);
        w = NULL;
    }
    s = s == GR_OK ? set_running(m, o) : s;
    if (s == GR_OK && (s = load_named(m, &names, path, NULL, o)) != GR_OK)
        gr_fail_in("%s", path);
    gr_names_close(&names);
    gr_gguf_close(file);
    gr_weights_close(w);
    gr_free(text);
    if (m)
        release_files(m);
    if (s == GR_OK && gr_model_check_range(m, o->precision) == GR_OK)
        return m;
    gr_model_free(m);
    return NULL;
}

gr_model *gr_model_load(const char *dir, const gr_load_options *options, gr_device *device)
{
    gr_load_options own, *o = &own;
    if (gr_lacks(dir, "gr_model_load: dir") || gr_lacks(device, "gr_model_load: device") ||
        gr_take_sized(o, sizeof *o, options, "gr_model_load: options") != GR_OK)
        return NULL;
    if (gr_gguf_is_place(dir))
        return load_gguf(dir, o, device);
    size_t size;
    char *config = check_is_model(dir) == GR_OK ? gr_path_join(dir, "config.json") : NULL;
    char *text = config ? gr_file_read(config, GR_JSON_LIMIT, &size) : NULL;
    gr_model *m = text ? gr_model_undeclared(config, text, size, device) : NULL;
    gr_free(text);
    gr_free(config);
    bool is_whole = true;
    if (m && o->declare_only && gr_weights_are_in(dir, &is_whole) != GR_OK) {
        gr_model_free(m);
        return NULL;
    }
    if (m && set_running(m, o) == GR_OK && keep_generation(m, dir) == GR_OK &&
        (is_whole ? load_weights(m, dir, o) : gr_model_declare(m)) == GR_OK &&
        gr_model_check_range(m, o->precision) == GR_OK)
        return m;
    gr_model_free(m);
    return NULL;
}
