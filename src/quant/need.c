/* What quantizing would need: the parts are walked through as they are when it is done, and memory is counted. */
#include "base/dtype.h"
#include "base/ggml/hub.h"
#include "backend/backend.h"
#include "model/files/save.h"
#include "quant/quant.h"

void gr_quant_need(gr_quant *w, const gr_program *p, size_t held)
{
    const gr_plan *of = p ? gr_program_plan(p) : &(gr_plan){0};
    gr_plan now = {.size = sizeof now,
                   .weights = w->seen,
                   .arena = of->arena,
                   .peak_activations = of->peak_activations,
                   .peak_scratch = of->peak_scratch + held};
    now.total = now.weights + now.peak_activations + now.peak_scratch;
    if (now.total > w->need.total)
        w->need = now;
}

static bool stays(const gr_quant_tensor *t)
{
    return t->to == t->entry.dtype && !t->turns;
}

static size_t bytes_after(const gr_quant_tensor *t)
{
    return gr_dtype_size(t->to, gr_dtype_values(t->entry.dtype, t->entry.bytes));
}

static void see(gr_quant *w, const gr_quant_tensor *t)
{
    w->seen += w->seen_all ? 0 : t->entry.bytes;
}

void gr_quant_see(gr_quant *w, int part)
{
    for (int i = 0; i < w->n; i++)
        if (w->tensors[i].part == part && stays(&w->tensors[i]))
            see(w, &w->tensors[i]);
}

void gr_quant_see_all(gr_quant *w)
{
    for (int i = 0; i < w->n; i++)
        see(w, &w->tensors[i]);
    w->seen_all = true;
}

/* ---- a step ------------------------------------------------------------------------------------------------- */

/* Rows as rounding reads them, where they are not read as they lie. */
static size_t copied(const gr_quant *w, int i)
{
    const gr_quant_tensor *t = &w->tensors[i];
    size_t wide = (size_t)(t->rows * t->width) * sizeof(float);
    return t->turns ? 2 * wide : w->m->inits[i].order ? wide : 0;
}

void gr_quant_need_step(gr_quant *w, const gr_quant_step *step)
{
    size_t factor = 0, largest = 0, held = 0;
    const gr_device *d = w->m->device;
    bool by_gptq = w->o->method == GR_QUANTIZE_GPTQ;
    if (by_gptq)
        held += (size_t)(w->windows * w->length * w->m->h.embed) * sizeof(float);
    for (int k = 0; k < step->count; k++) {
        gr_quant_tensor *t = &w->tensors[step->index[k]];
        size_t after = bytes_after(t), width = (size_t)t->width;
        size_t copy = copied(w, step->index[k]), pieces = (size_t)gr_pool_threads(d->pool) * 2 * width * sizeof(float);
        if (step->gptq) /* else there is no H */
            factor = width * width * sizeof(double) + gr_gptq_room(d, t->width);
        largest = after > largest ? after : largest;
        see(w, t);
        w->seen += after;
        t->taken = true;
        gr_quant_need(w, NULL, held + factor + largest + copy + pieces);
    }
}

/* ---- saving ------------------------------------------------------------------------------------------------- */

/* In a directory of the hub's files: codes, and a scale for each group, with a zero point or without. */
static size_t packed_bytes(const gr_quant *w, const gr_quant_tensor *t)
{
    const gr_dtype_info *d = gr_dtype_get(t->to);
    bool is_gptq = w->o->layout == GR_HUB_GPTQ, zeros = d->codes.offsets || is_gptq;
    size_t values = (size_t)(t->rows * t->width), bits = (size_t)gr_ints_bits(t->to);
    size_t groups = (size_t)(t->rows * (t->group ? (t->width + t->group - 1) / t->group : t->width / d->block));
    size_t order = is_gptq ? (size_t)t->width * sizeof(int32_t) : 0;
    return values * bits / 8 + groups * sizeof(uint16_t) + (zeros ? groups * bits / 8 : 0) + order;
}

gr_status gr_quant_need_saving(gr_quant *w, const gr_save_options *o, int64_t *file_bytes)
{
    size_t held = 0, texts = 0, packed = 0, after = 0;
    gr_status s = GR_OK;
    for (int i = 0; i < w->n; i++) {
        const gr_quant_tensor *t = &w->tensors[i];
        bool is_packed = t->is_matrix && gr_ints_is(t->to);
        size_t bytes = is_packed ? packed_bytes(w, t) : bytes_after(t);
        after += bytes_after(t) + (is_packed ? bytes : 0); /* what is read again, and blocks are made of */
        packed += bytes;
    }
    *file_bytes = (int64_t)packed;
    if (w->hub == GR_DTYPE_NONE)
        s = gr_gguf_file_bytes(w->made, o, file_bytes, &texts);
    gr_program *p = s == GR_OK ? gr_model_compare_program(w->made, &held) : NULL;
    if (p) {
        w->seen += after;
        gr_quant_need(w, p, held + texts);
    } else if (s == GR_OK)
        s = gr_error_status();
    gr_program_free(p);
    return s;
}
