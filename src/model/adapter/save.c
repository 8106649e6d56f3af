/* An adapter's files are written as peft has them, read again and compared. */
#include "model/adapter/gguf.h"

#include "base/file.h"
#include "base/mem.h"
#include "format/store_tensors.h"

#include <string.h>

/* The adapter's tensors, and behind them those of the base that came with it. */
typedef struct saved {
    const gr_adapter *adapter;
    gr_store_tensors own, base;
} saved;

static gr_status fetch_saved(void *user, int index, const void **data)
{
    saved *s = user;
    return index < s->own.count
               ? gr_store_tensors_fetch(&s->own, index, data)
               : gr_store_tensors_fetch(&s->base, s->adapter->replaced[index - s->own.count].index, data);
}

/* What was written is read again. */
static gr_status compare_saved(const gr_safetensors_spec *spec, const char *path)
{
    gr_safetensors *file = gr_safetensors_open(path);
    gr_status s = file ? GR_OK : gr_error_status();
    for (int i = 0; s == GR_OK && i < spec->count; i++) {
        const gr_weight *t = &spec->tensors[i], *is = gr_safetensors_find(file, t->name);
        const void *data;
        s = spec->fetch(spec->user, i, &data);
        if (s == GR_OK && !(gr_weight_is_like(t, is) && memcmp(is->data, data, t->bytes) == 0))
            s = gr_weight_fail_changed(t);
    }
    gr_safetensors_close(file);
    return s;
}

static gr_status write_saved(saved *s, const char *path)
{
    const gr_adapter *a = s->adapter;
    gr_safetensors_spec spec = gr_store_tensors_spec(&s->own);
    gr_weight *all = gr_alloc_zero((size_t)s->own.count + a->n_replaced, sizeof *all);
    if (!all)
        return GR_ERR_MEMORY;
    for (int i = 0; i < s->own.count; i++)
        all[i] = s->own.tensors[i];
    for (size_t i = 0; i < a->n_replaced; i++) {
        all[spec.count] = s->base.tensors[a->replaced[i].index];
        all[spec.count++].name = a->replaced[i].name;
    }
    spec.tensors = all;
    spec.fetch = fetch_saved;
    spec.user = s;
    gr_status st = gr_safetensors_write(path, &spec);
    if (st == GR_OK)
        st = compare_saved(&spec, path);
    gr_free(all);
    return st;
}

static gr_status save_weights(const gr_model *m, const char *path)
{
    saved s = {.adapter = m->adapter};
    gr_status st = gr_store_tensors_open(&s.own, m->adapter->store, NULL);
    if (st == GR_OK && m->adapter->n_replaced > 0)
        st = gr_store_tensors_open(&s.base, m->store, NULL);
    if (st == GR_OK)
        st = write_saved(&s, path);
    gr_store_tensors_close(&s.own);
    gr_store_tensors_close(&s.base);
    return st;
}

static gr_status save_files(const gr_model *m, const char *dir)
{
    const gr_adapter *a = m->adapter;
    char *config = gr_path_join(dir, GR_ADAPTER_CONFIG), *weights = gr_path_join(dir, GR_ADAPTER_WEIGHTS);
    gr_status s = config && weights ? save_weights(m, weights) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = gr_file_write(config, a->config, strlen(a->config));
    gr_free(config);
    gr_free(weights);
    return s;
}

gr_status gr_model_save_adapter(gr_model *m, const char *dir)
{
    if (gr_lacks(m, "gr_model_save_adapter: model") || gr_lacks(dir, "gr_model_save_adapter: dir"))
        return GR_ERR_ARGUMENT;
    if (!m->adapter)
        return gr_fail(GR_ERR_ARGUMENT, "saving an adapter: the model has none");
    if (gr_gguf_is_place(dir))
        return gr_adapter_save_gguf(m, dir);
    if (gr_path_is_dir(dir))
        return save_files(m, dir);
    gr_stage *stage = gr_stage_open(dir);
    if (!stage)
        return gr_error_status();
    if (save_files(m, gr_stage_path(stage)) == GR_OK)
        return gr_stage_commit(stage);
    gr_status s = gr_error_status();
    gr_stage_cancel(stage);
    return s;
}
