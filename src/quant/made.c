/* The second model: like the first, with matrices of other dtypes, whose parts come one by one. */
#include <stdio.h>
#include <string.h>

#include "base/checksum.h"
#include "base/dtype.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/safetensors.h"
#include "program/store.h"
#include "quant/quant.h"

/* ---- making it ---------------------------------------------------------------------------------------------- */

/* Tensors that are there are not declared again: so they have the dtypes that they are to have. */
static gr_status declare(gr_quant *w, gr_model *made)
{
    gr_status s = gr_grow(&made->inits, &made->inits_capacity, (size_t)w->n, sizeof *made->inits);
    for (int i = 0; s == GR_OK && i < w->n; i++) {
        const gr_quant_tensor *t = &w->tensors[i];
        int64_t turned[] = {t->rows, t->width};
        s = gr_store_add(made->store, t->entry.name, GR_WEIGHT, t->to, t->entry.ndim,
                         t->turns ? turned : t->entry.shape);
        made->inits[made->n_inits] = w->m->inits[i];
        if (t->to != t->entry.dtype) { /* else it is taken as it lies */
            made->inits[made->n_inits].order = NULL;
            made->inits[made->n_inits].group = t->group;
        }
        made->n_inits++;
    }
    return s == GR_OK ? gr_model_declare(made) : s;
}

gr_status gr_quant_make(gr_quant *w)
{
    const gr_model *m = w->m;
    w->made = gr_model_undeclared("config.json", m->config, strlen(m->config), m->device);
    if (!w->made)
        return gr_error_status();
    w->made->prefix = m->prefix;
    w->made->is_merged = m->is_merged;
    w->made->keeps_layout = w->o->like != NULL;
    w->made->layout = w->o->like ? w->o->like->layout : m->layout;
    if (w->hub == GR_DTYPE_NONE && w->o->n_tensors == 0) /* else it is of the dtype that most matrices have */
        w->made->file_type = gr_mix_file_type(w->mix, w->o->pure) + 1;
    w->made->generation = m->generation ? gr_strdup(m->generation) : NULL;
    return m->generation && !w->made->generation ? GR_ERR_MEMORY : declare(w, w->made);
}

void gr_quant_close(gr_quant *w)
{
    gr_model_free(w->made);
    for (size_t i = 0; i < w->n_files; i++)
        gr_safetensors_close(w->files[i]);
    gr_free(w->files);
    gr_quant_leave_hidden(w);
    for (int i = 0; w->tensors && i < w->n; i++) {
        gr_free(w->tensors[i].gguf);
        gr_free(w->tensors[i].moments);
    }
    gr_free(w->tensors);
    gr_write_lock_release(&w->lock);
    gr_free(w->dir);
}

/* ---- a part ------------------------------------------------------------------------------------------------- */

static bool changes(const gr_quant_tensor *t)
{
    return t->to != t->entry.dtype || t->turns;
}

int gr_quant_left(const gr_quant *w, int part, int *index)
{
    int n = 0;
    for (int i = 0; i < w->n; i++)
        if (w->tensors[i].part == part && changes(&w->tensors[i]) && !w->tensors[i].taken)
            index[n++] = i;
    return n;
}

gr_status gr_quant_keep(gr_quant *w, int part)
{
    gr_status s = GR_OK;
    if (w->o->plan)
        gr_quant_see(w, part);
    for (int i = 0; s == GR_OK && !w->o->plan && i < w->n; i++) {
        const gr_quant_tensor *t = &w->tensors[i];
        gr_matrix whole = {0};
        if (t->part != part || changes(t))
            continue;
        s = gr_matrix_open(&whole, w->m->store, i, 1, 1, false, NULL);
        if (s == GR_OK)
            s = whole.own ? gr_store_write(w->made->store, t->entry.name, whole.data, t->entry.bytes)
                          : gr_store_map(w->made->store, i, whole.data);
        gr_matrix_close(&whole);
    }
    return s;
}

/* ---- a step ------------------------------------------------------------------------------------------------- */

typedef struct stepping {
    gr_quant *w;
    const gr_quant_step *step;
    gr_weight *list; /* [count] */
    void *buffer;
    size_t largest;
} stepping;

static void list_tensors(stepping *p)
{
    for (int k = 0; k < p->step->count; k++) {
        const gr_quant_tensor *t = &p->w->tensors[p->step->index[k]];
        gr_weight *to = &p->list[k];
        *to = (gr_weight){.name = t->entry.name, .dtype = t->to, .ndim = t->entry.ndim, .shape = {t->rows, t->width}};
        if (!gr_dtype_is_block(t->to))
            memcpy(to->shape, t->entry.shape, sizeof to->shape);
        to->bytes = gr_dtype_size(t->to, t->rows * t->width);
        p->largest = to->bytes > p->largest ? to->bytes : p->largest;
    }
}

static gr_status fetch(void *user, int index, const void **data)
{
    stepping *p = user;
    gr_quant *w = p->w;
    int i = p->step->index[index];
    gr_quant_tensor *t = &w->tensors[i];
    gr_device *d = w->m->device;
    gr_matrix rows = {0};
    gr_status s = gr_matrix_open(&rows, w->m->store, i, t->rows, t->width, t->turns, w->m->inits[i].order);
    if (s == GR_OK && p->step->gptq && gr_dtype_is_block(t->to))
        s = gr_gptq_round(p->step->gptq, d, &rows, t->to, t->group, p->buffer);
    else if (s == GR_OK)
        s = gr_matrix_round(d, &rows, t->to, t->group, t->moments, p->buffer);
    if (s == GR_OK)
        s = gr_matrix_compare(d, &rows, t->to, p->buffer, &t->lost, &t->sum);
    gr_matrix_close(&rows);
    w->done += (double)(t->rows * t->width);
    *data = p->buffer;
    return s == GR_OK ? gr_quant_tell(w, t->gguf, w->done / w->total) : s;
}

/* Is the file what this step would make? One that is of something else is not ours to use. */
static bool is_of(const stepping *p, const gr_safetensors *file)
{
    bool same = gr_safetensors_count(file) == p->step->count;
    for (int k = 0; same && k < p->step->count; k++) {
        const gr_weight *must = &p->list[k], *is = gr_safetensors_find(file, must->name);
        same = is && is->dtype == must->dtype && is->bytes == must->bytes;
    }
    return same;
}

/* The second model reads them where they lie. */
static gr_status take_file(stepping *p, const char *path, bool was_there)
{
    gr_quant *w = p->w;
    gr_status s = gr_grow(&w->files, &w->files_capacity, w->n_files + 1, sizeof *w->files);
    gr_safetensors *file = s == GR_OK ? gr_safetensors_open(path) : NULL;
    if (!file)
        return gr_error_status();
    w->files[w->n_files++] = file;
    if (!is_of(p, file))
        return gr_fail(GR_ERR_FILE, "%s: is of something else\nremove its folder, and begin anew", path);
    for (int k = 0; s == GR_OK && k < p->step->count; k++) {
        int i = p->step->index[k];
        gr_quant_tensor *t = &w->tensors[i];
        const gr_weight *is = gr_safetensors_find(file, t->entry.name);
        gr_matrix rows = {0};
        s = gr_store_map(w->made->store, i, is->data);
        t->taken = true;
        if (s == GR_OK && was_there &&
            (s = gr_matrix_open(&rows, w->m->store, i, t->rows, t->width, t->turns, w->m->inits[i].order)) == GR_OK)
            s = gr_matrix_compare(w->m->device, &rows, t->to, is->data, &t->lost, &t->sum);
        gr_matrix_close(&rows);
        w->done += was_there ? (double)(t->rows * t->width) : 0;
    }
    return s;
}

static char *path_of(const gr_quant *w, int part, int number)
{
    return gr_strfmt("%s/part-%05d-%d.safetensors", w->dir, part, number);
}

/* ---- a checksum beside it ----------------------------------------------------------------------------------- */

/* What is gone on with has been there for days, perhaps. */
static char *sum_path_of(const char *path)
{
    return gr_strfmt("%.*s.xxh64", (int)(strlen(path) - strlen(".safetensors")), path);
}

/* Of the file as it is, in hex. */
static gr_status sum_of(const char *path, char out[17])
{
    gr_map m;
    gr_status s = gr_map_open(path, &m);
    if (s != GR_OK)
        return s;
    snprintf(out, 17, "%016llx", (unsigned long long)gr_checksum(m.data, m.size));
    gr_map_close(&m);
    return GR_OK;
}

static gr_status write_sum(const char *path)
{
    char sum[17], *to = sum_path_of(path);
    gr_status s = to ? sum_of(path, sum) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = gr_file_write(to, sum, strlen(sum));
    gr_free(to);
    return s;
}

static gr_status check_sum(const char *path)
{
    char sum[17], *from = sum_path_of(path), *is = from ? gr_file_read(from, 64, NULL) : NULL;
    gr_status s = is ? sum_of(path, sum) : gr_error_status();
    if (s == GR_OK && strcmp(is, sum) != 0)
        s = gr_fail(GR_ERR_FILE,
                    "%s: is damaged: its checksum is %s, and was %.16s\nremove it, and --resume makes it anew", path,
                    sum, is);
    gr_free(is);
    gr_free(from);
    return s;
}

/* Is the file whole, and its checksum beside it? */
static gr_status is_done(const char *path, bool *done)
{
    char *sum = sum_path_of(path);
    *done = sum && gr_path_is_file(path) && gr_path_is_file(sum);
    gr_free(sum);
    return sum ? GR_OK : GR_ERR_MEMORY;
}

gr_status gr_quant_look(const gr_quant *w, int part, int number, bool *done)
{
    char *path = path_of(w, part, number);
    gr_status s = path ? is_done(path, done) : GR_ERR_MEMORY;
    gr_free(path);
    return s;
}

gr_status gr_quant_take(gr_quant *w, const gr_quant_step *step)
{
    stepping p = {.w = w, .step = step};
    if (step->count == 0)
        return GR_OK;
    if (w->o->plan) {
        gr_quant_need_step(w, step);
        return GR_OK;
    }
    char *path = path_of(w, step->part, step->number);
    p.list = path ? gr_alloc_zero((size_t)step->count, sizeof *p.list) : NULL;
    gr_status s = p.list ? GR_OK : GR_ERR_MEMORY;
    bool was_there = false;
    if (s == GR_OK)
        s = is_done(path, &was_there);
    if (s == GR_OK)
        list_tensors(&p);
    if (s == GR_OK && was_there)
        s = check_sum(path);
    if (s == GR_OK && !was_there) {
        const gr_safetensors_spec spec = {.tensors = p.list, .count = step->count, .fetch = fetch, .user = &p};
        p.buffer = gr_alloc_pages(p.largest);
        s = p.buffer ? gr_safetensors_write(path, &spec) : GR_ERR_MEMORY;
        if (s == GR_OK)
            s = write_sum(path);
    }
    if (s == GR_OK)
        s = take_file(&p, path, was_there);
    gr_free_pages(p.buffer, p.largest);
    gr_free(p.list);
    gr_free(path);
    return s;
}
