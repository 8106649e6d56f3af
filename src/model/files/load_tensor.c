/* Loading one tensor: its bytes where they lie, or what the model has in their place. */
#include "model/files/gguf.h"
#include "model/files/packed.h"

#include "base/dtype.h"
#include "base/error.h"
#include "base/mem.h"
#include "program/store.h"

#include <math.h>
#include <string.h>

bool gr_weight_is_kept(const gr_weight *t)
{
    return !t->stored && gr_dtype_get(t->dtype)->is_weight;
}

/* A finite f64 that no f32 can hold would be infinite without a word. */
static gr_status check_range(const char *name, const gr_weight *t, const float *wide)
{
    for (size_t i = 0; !t->stored && t->dtype == GR_F64 && i < gr_weight_values(t); i++) {
        double value;
        memcpy(&value, (const char *)t->data + i * sizeof value, sizeof value);
        if (isinf(wide[i]) && isfinite(value))
            return gr_fail(
                GR_ERR_NUMBER,
                "tensor \"%s\": value %zu, %g, is too large for f32, in which models run\nthe file is damaged, or its "
                "numbers are not a model's",
                name, i, value);
    }
    return GR_OK;
}

/* Is it as wide and high as it must be, and numbers? */
static gr_status check_tensor(const gr_entry *e, const gr_weight *t)
{
    char have[160], want[160];
    gr_spec is = {.dtype = t->dtype, .ndim = t->ndim}, must = {.dtype = e->dtype, .ndim = e->ndim};
    memcpy(is.shape, t->shape, sizeof is.shape);
    memcpy(must.shape, e->shape, sizeof must.shape);
    if (!gr_spec_same_shape(&is, &must))
        return gr_fail(GR_ERR_FILE,
                       "tensor \"%s\" is %s%s, config.json asks for %s\nconfig.json and weights do not belong "
                       "together: take both from one model",
                       e->name, gr_spec_text(&is, have, sizeof have), t->stored ? " packed" : "",
                       gr_spec_text(&must, want, sizeof want));
    if (!gr_weight_is_number(t))
        return gr_fail(GR_ERR_FILE, "tensor \"%s\" is of %s, which no model here runs in\nwrite it as f32, f16 or bf16",
                       e->name, gr_weight_dtype_name(t));
    return GR_OK;
}

/* In the store's dtype and as the architecture has it, in memory of its own. */
static gr_status load_copy(gr_model *m, const gr_entry *e, const gr_named_tensor *item, gr_gguf_change change)
{
    gr_weight t = item->tensor;
    if (item->packed && e->dtype == GR_F32) { /* columns as they are */
        t.dtype = GR_F32;
        t.bytes = e->bytes;
    }
    bool widens = t.stored || t.dtype != e->dtype;
    void *wide = widens ? gr_alloc(e->bytes) : NULL, *own = change ? gr_alloc(e->bytes) : NULL;
    void *joined = item->packed ? gr_alloc(t.bytes) : NULL;
    bool lacks = (widens && !wide) || (change && !own) || (item->packed && !joined);
    gr_status s = lacks ? GR_ERR_MEMORY : GR_OK;
    if (s == GR_OK && joined)
        s = gr_packed_join(item->packed, m->device, t.dtype, joined);
    t.data = joined ? joined : t.data;
    if (s == GR_OK && widens) {
        gr_weight_to_f32(&t, wide);
        s = check_range(e->name, &t, wide);
        t.data = wide;
        t.dtype = GR_F32;
        t.stored = NULL;
        t.bytes = e->bytes;
    }
    if (s == GR_OK && change)
        s = gr_gguf_undo(&t, change, &m->h, own);
    if (s == GR_OK)
        s = gr_store_write(m->store, e->name, change ? own : t.data, t.bytes);
    gr_free(joined);
    gr_free(wide);
    gr_free(own);
    return s;
}

gr_status gr_load_tensor(gr_model *m, int index, const gr_entry *e, const gr_named_tensor *item, bool own)
{
    gr_weight t = item->tensor;
    gr_gguf_change change = item->change;
    if (change == GR_GGUF_TURNED && gr_dtype_is_block(e->dtype))
        change = GR_GGUF_SAME; /* the layer reads it as it lies, with blocks along what they are multiplied by */
    if (change == GR_GGUF_TURNED && t.ndim == 2) {
        t.shape[0] = item->tensor.shape[1];
        t.shape[1] = item->tensor.shape[0];
    }
    gr_status s = check_tensor(e, &t);
    if (s == GR_OK && (own || change || item->packed || t.stored || t.dtype != e->dtype))
        s = load_copy(m, e, item, change);
    else if (s == GR_OK)
        s = gr_store_map(m->store, index, t.data);
    return s;
}
