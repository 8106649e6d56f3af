/* Squares of activations as llama.cpp's imatrix files have them: of a matrix NAME the tensors NAME.in_sum2, sums over tokens,
 * and NAME.counts, how many tokens. */
#include <math.h>
#include <string.h>

#include "base/dtype.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/number.h"
#include "format/gguf_write.h"
#include "quant/quant.h"

/* ---- reading ------------------------------------------------------------------------------------------------ */

static const gr_weight *find(const gr_gguf *file, const char *name, const char *end)
{
    size_t n = strlen(name);
    for (int i = 0; i < gr_gguf_tensors(file); i++) {
        const gr_weight *t = gr_gguf_tensor(file, i);
        if (strncmp(t->name, name, n) == 0 && strcmp(t->name + n, end) == 0)
            return t;
    }
    return NULL;
}

static gr_status take(gr_quant_tensor *t, const gr_weight *sums, const gr_weight *counts)
{
    float count = 0;
    bool fits = sums->dtype == GR_F32 && counts->dtype == GR_F32 && counts->bytes == sizeof count &&
                (int64_t)(sums->bytes / sizeof(float)) == t->width;
    if (!fits)
        return gr_fail(GR_ERR_FILE, "tensor \"%s\" must be %lld numbers in f32, with one count\nit is of another model",
                       sums->name, (long long)t->width);
    memcpy(&count, counts->data, sizeof count);
    t->moments = gr_alloc(sums->bytes);
    if (!t->moments)
        return GR_ERR_MEMORY;
    memcpy(t->moments, sums->data, sums->bytes);
    for (int64_t i = 0; i < t->width; i++) {
        t->moments[i] /= count;
        if (!(t->moments[i] >= 0) || !isfinite(t->moments[i]))
            return gr_fail(GR_ERR_FILE, "tensor \"%s\": value %lld, or its count, is no sum of squares", sums->name,
                           (long long)i);
    }
    return GR_OK;
}

gr_status gr_imatrix_read(gr_quant *w, const char *path)
{
    gr_gguf *file = gr_gguf_open(path);
    int found = 0, missing = 0;
    gr_status s = file ? GR_OK : gr_error_status();
    for (int i = 0; s == GR_OK && i < w->n; i++) {
        gr_quant_tensor *t = &w->tensors[i];
        const gr_weight *sums = t->is_matrix ? find(file, t->gguf, ".in_sum2") : NULL;
        const gr_weight *counts = sums ? find(file, t->gguf, ".counts") : NULL;
        if (sums && counts)
            s = take(t, sums, counts);
        found += sums && counts;
        missing += t->is_matrix && t->part > 0 && !(sums && counts);
    }
    gr_gguf_close(file);
    if (s == GR_OK && !found)
        s = gr_fail(GR_ERR_FILE,
                    "there is nothing about a matrix of this model in it\ngive a file that llama-imatrix or "
                    "--save-imatrix has written for it");
    if (s == GR_OK && missing)
        gr_remark(GR_LOG_WARN, "%s: nothing about %d tensor%s, rounded as without it", path, missing,
                  gr_plural(missing));
    return s == GR_OK ? s : gr_fail_in("%s", path);
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

typedef struct writing {
    gr_weight *list; /* [2 matrices]: sums and count by turns */
    float *sums;
    float count;
    const gr_quant *w;
    int *index;
} writing;

static gr_status fetch(void *user, int i, const void **data)
{
    writing *f = user;
    const gr_quant_tensor *t = &f->w->tensors[f->index[i / 2]];
    for (int64_t k = 0; k < t->width; k++)
        f->sums[k] = t->moments[k] * f->count;
    *data = i % 2 ? &f->count : f->sums;
    return GR_OK;
}

static gr_status fill(writing *f, int *n, int64_t *largest)
{
    for (int i = 0; i < f->w->n; i++) {
        const gr_quant_tensor *t = &f->w->tensors[i];
        if (!t->moments)
            continue;
        f->index[*n / 2] = i;
        for (int k = 0; k < 2; k++) {
            f->list[*n] = (gr_weight){.name = gr_strfmt("%s%s", t->gguf, k ? ".counts" : ".in_sum2"),
                                      .dtype = GR_F32,
                                      .ndim = 2,
                                      .shape = {1, k ? 1 : t->width}};
            if (!f->list[(*n)++].name)
                return GR_ERR_MEMORY;
        }
        *largest = t->width > *largest ? t->width : *largest;
    }
    f->sums = gr_alloc((size_t)*largest * sizeof *f->sums + 1);
    return f->sums ? GR_OK : GR_ERR_MEMORY;
}

gr_status gr_imatrix_write(const gr_quant *w, const char *path)
{
    writing f = {.w = w, .count = (float)w->calibrated};
    gr_gguf_keys keys = {0};
    int n = 0;
    int64_t largest = 0;
    f.list = gr_alloc_zero(2 * (size_t)w->n, sizeof *f.list);
    f.index = gr_alloc_zero((size_t)w->n, sizeof *f.index);
    gr_status s = f.list && f.index ? fill(&f, &n, &largest) : GR_ERR_MEMORY;
    gr_gguf_put_text(&keys, "general.type", "imatrix", 7);
    gr_gguf_put_list(&keys, "imatrix.datasets", GR_GGUF_TEXT, 1);
    gr_gguf_add_text(&keys, "calibration", 11);
    gr_gguf_put_u32(&keys, "imatrix.chunk_count", (uint32_t)w->windows);
    gr_gguf_put_u32(&keys, "imatrix.chunk_size", (uint32_t)w->length);
    const gr_gguf_spec spec = {.keys = &keys, .tensors = f.list, .count = n, .fetch = fetch, .user = &f};
    if (s == GR_OK)
        s = gr_gguf_write(path, &spec);
    for (int i = 0; f.list && i < n; i++)
        gr_free(f.list[i].name);
    gr_gguf_keys_free(&keys);
    gr_free(f.list);
    gr_free(f.index);
    gr_free(f.sums);
    return s;
}
