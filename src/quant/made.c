/* The second model: like the first, with matrices of other dtypes, whose parts come one by one. */
#include <string.h>

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
        made->inits[made->n_inits++] = w->m->inits[i];
    }
    return s == GR_OK ? gr_model_declare(made) : s;
}

gr_status gr_quant_make(gr_quant *w)
{
    const gr_model *m = w->m;
    w->files = gr_alloc_zero((size_t)w->parts, sizeof(gr_safetensors *));
    w->made = w->files ? gr_model_undeclared("config.json", m->config, strlen(m->config), m->device) : NULL;
    if (!w->made)
        return gr_error_status();
    w->made->prefix = m->prefix;
    w->made->generation = m->generation ? gr_strdup(m->generation) : NULL;
    return m->generation && !w->made->generation ? GR_ERR_MEMORY : declare(w, w->made);
}

void gr_quant_close(gr_quant *w)
{
    gr_model_free(w->made);
    for (int i = 0; w->files && i < w->parts; i++)
        gr_safetensors_close(w->files[i]);
    gr_free(w->files);
    for (int i = 0; w->tensors && i < w->n; i++)
        gr_free(w->tensors[i].gguf);
    gr_free(w->tensors);
    gr_free(w->dir);
}

/* ---- a part ------------------------------------------------------------------------------------------------- */

/* What is written of a part: its tensors whose dtype changes. */
typedef struct part {
    gr_quant *w;
    gr_weight *list; /* [count] */
    int *index;      /* [count] in w->tensors */
    int count;
    void *buffer;
    size_t largest;
} part;

static bool changes(const gr_quant_tensor *t)
{
    return t->to != t->entry.dtype || t->turns;
}

static gr_status open_part(part *p, int number)
{
    gr_quant *w = p->w;
    p->list = gr_alloc_zero((size_t)w->n, sizeof *p->list);
    p->index = gr_alloc_zero((size_t)w->n, sizeof *p->index);
    if (!p->list || !p->index)
        return GR_ERR_MEMORY;
    for (int i = 0; i < w->n; i++) {
        const gr_quant_tensor *t = &w->tensors[i];
        if (t->part != number || !changes(t))
            continue;
        gr_weight *to = &p->list[p->count];
        *to = (gr_weight){.name = t->entry.name, .dtype = t->to, .ndim = 2, .shape = {t->rows, t->width}};
        if (!gr_dtype_is_block(t->to))
            memcpy(to->shape, t->entry.shape, sizeof to->shape);
        to->bytes = gr_dtype_size(t->to, t->rows * t->width);
        p->largest = to->bytes > p->largest ? to->bytes : p->largest;
        p->index[p->count++] = i;
    }
    return GR_OK;
}

static void close_part(part *p)
{
    gr_free(p->list);
    gr_free(p->index);
    gr_free(p->buffer);
}

static gr_status fetch(void *user, int index, const void **data)
{
    part *p = user;
    gr_quant *w = p->w;
    gr_quant_tensor *t = &w->tensors[p->index[index]];
    gr_rows rows = {0};
    if (!p->buffer)
        p->buffer = gr_alloc(p->largest);
    gr_status s =
        p->buffer ? gr_rows_open(&rows, w->m->store, p->index[index], t->rows, t->width, t->turns) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = gr_rows_round(w->m->device, &rows, t->to, p->buffer, &t->lost, &t->sum);
    gr_rows_close(&rows);
    w->done += (double)(t->rows * t->width);
    *data = p->buffer;
    return s == GR_OK ? gr_quant_tell(w, t->gguf, w->done / w->total) : s;
}

/* The file's tensors, and those that stay as they are. */
static gr_status take_part(gr_quant *w, int number)
{
    gr_status s = GR_OK;
    for (int i = 0; s == GR_OK && i < w->n; i++) {
        const gr_quant_tensor *t = &w->tensors[i];
        if (t->part != number)
            continue;
        gr_rows whole = {0};
        const gr_weight *is = changes(t) ? gr_safetensors_find(w->files[number], t->entry.name) : NULL;
        if (is)
            s = gr_store_map(w->made->store, i, is->data);
        else if ((s = gr_rows_open(&whole, w->m->store, i, 1, 1, false)) == GR_OK)
            s = whole.own ? gr_store_write(w->made->store, t->entry.name, whole.data, t->entry.bytes)
                          : gr_store_map(w->made->store, i, whole.data);
        gr_rows_close(&whole);
    }
    return s;
}

gr_status gr_quant_part(gr_quant *w, int number)
{
    part p = {.w = w};
    char *path = gr_strfmt("%s/part-%05d.safetensors", w->dir, number);
    gr_status s = path ? open_part(&p, number) : GR_ERR_MEMORY;
    gr_safetensors_spec spec = {.tensors = p.list, .count = p.count, .fetch = fetch, .user = &p};
    if (s == GR_OK && p.count) {
        s = gr_safetensors_write(path, &spec);
        w->files[number] = s == GR_OK ? gr_safetensors_open(path) : NULL;
        s = w->files[number] ? GR_OK : gr_error_status();
    }
    if (s == GR_OK)
        s = take_part(w, number);
    close_part(&p);
    gr_free(path);
    return s;
}
