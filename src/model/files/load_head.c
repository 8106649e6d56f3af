/* Loading a head that config.json ties to the embedding. */
#include "model/files/names.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

static bool same_values(const gr_named_tensor *one, const gr_named_tensor *other)
{
    const gr_weight *a = &one->tensor, *b = &other->tensor;
    enum { PIECE = 1024 };
    size_t n = gr_weight_values(a), each_a = n ? a->bytes / n : 0, each_b = n ? b->bytes / n : 0;
    float x[PIECE], y[PIECE];
    if (one->packed || other->packed || a->ndim != b->ndim ||
        memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape) != 0)
        return false;
    if (a->dtype == b->dtype && a->stored == b->stored)
        return memcmp(a->data, b->data, a->bytes) == 0;
    if (!gr_weight_is_number(a) || !gr_weight_is_number(b))
        return false;
    for (size_t at = 0; at < n; at += PIECE) {
        size_t m = n - at < PIECE ? n - at : PIECE;
        gr_weight p = *a, q = *b;
        p.data = (const char *)a->data + at * each_a;
        q.data = (const char *)b->data + at * each_b;
        p.bytes = m * each_a;
        q.bytes = m * each_b;
        gr_weight_to_f32(&p, x);
        gr_weight_to_f32(&q, y);
        for (size_t i = 0; i < m; i++)
            if (x[i] < y[i] || x[i] > y[i])
                return false;
    }
    return true;
}

gr_status gr_load_head(gr_model *m, gr_names *names, const char *dir)
{
    char embedding[128];
    snprintf(embedding, sizeof embedding, "%s%s", m->prefix, m->arch->embedding);
    const gr_named_tensor *head = gr_names_item(names, GR_HEAD_WEIGHT), *embedded = gr_names_item(names, embedding);
    if (!m->h.tied || !head)
        return GR_OK;
    if (!embedded) {
        gr_remark(GR_LOG_WARN,
                  "%s: \"%s\" is not there, and read from \"" GR_HEAD_WEIGHT "\", which config.json ties it to", dir,
                  embedding);
        return gr_names_change(names, GR_HEAD_WEIGHT, embedding);
    }
    if (same_values(head, embedded))
        return GR_OK;
    gr_remark(GR_LOG_WARN,
              "%s: \"" GR_HEAD_WEIGHT "\" differs from \"%s\", which config.json ties it to; the file's head is used",
              dir, embedding);
    return gr_model_untie(m);
}
