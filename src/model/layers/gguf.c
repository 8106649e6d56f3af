/* Keys of GGUF files, taken one by one. */
#include "model/layers/gguf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

void gr_gguf_fail(gr_gguf_reader *r, const char *name, const char *fmt, ...)
{
    va_list args;
    if (r->status != GR_OK)
        return;
    va_start(args, fmt);
    gr_fail_list(GR_ERR_FILE, fmt, args);
    va_end(args);
    r->status = gr_fail_in("%s: key \"%s.%s\"", gr_gguf_name(r->file), r->arch, name);
}

const gr_gguf_key *gr_gguf_take(gr_gguf_reader *r, const char *name)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", r->arch, name);
    const gr_gguf_key *k = gr_gguf_find(r->file, full);
    if (k)
        r->used[k - gr_gguf_entry(r->file, 0)] = true;
    return k;
}

bool gr_gguf_take_int(gr_gguf_reader *r, const char *name, int64_t *out)
{
    const gr_gguf_key *k = gr_gguf_take(r, name);
    int64_t x;
    if (!k)
        return false;
    for (size_t i = 0; i < k->count; i++) {
        if (!gr_gguf_int(k, i, &x)) {
            gr_gguf_fail(r, name, "expected a whole number");
            return false;
        }
        if (i && x != *out) {
            gr_gguf_fail(r, name, "%lld in one layer and %lld in another: layers of several sizes are not supported",
                         (long long)*out, (long long)x);
            return false;
        }
        *out = x;
    }
    if (k->count == 0)
        gr_gguf_fail(r, name, "expected a number, found an empty array");
    return k->count > 0;
}

bool gr_gguf_take_real(gr_gguf_reader *r, const char *name, double *out)
{
    const gr_gguf_key *k = gr_gguf_take(r, name);
    bool good = k && !k->is_array && gr_gguf_real(k, 0, out);
    if (k && !good)
        gr_gguf_fail(r, name, "expected a finite number");
    return good;
}

gr_gguf_text gr_gguf_take_text(gr_gguf_reader *r, const char *name)
{
    const gr_gguf_key *k = gr_gguf_take(r, name);
    gr_gguf_text text = {"", 0};
    size_t at = 0;
    if (k && (k->is_array || !gr_gguf_next(k, &at, &text)))
        gr_gguf_fail(r, name, "expected a text");
    return text;
}

bool gr_gguf_has_tensor(const gr_gguf_reader *r, const char *name)
{
    return gr_weights_find(r->weights, name) != NULL;
}

float *gr_gguf_take_numbers(gr_gguf_reader *r, const char *tensor, int64_t count)
{
    const gr_weight *t = gr_weights_find(r->weights, tensor);
    if (!t || r->status != GR_OK)
        return NULL;
    if (t->ndim != 1 || t->shape[0] != count || !gr_weight_is_number(t)) {
        r->status = gr_fail(GR_ERR_FILE, "%s: tensor \"%s\" must be %lld numbers\nfetch the file again",
                            gr_gguf_name(r->file), tensor, (long long)count);
        return NULL;
    }
    float *x = gr_alloc((size_t)count * sizeof *x);
    if (x)
        gr_weight_to_f32(t, x);
    else
        r->status = GR_ERR_MEMORY;
    return x;
}

/* f32 in nearly all files: as the shortest decimal that is the same f32, which is what the model's own file says. */
void gr_gguf_put_real(gr_json config, const char *key, double x)
{
    if ((double)(float)x == x)
        gr_json_put_f32(config, key, (float)x);
    else
        gr_json_put_real(config, key, x);
}

void gr_gguf_put_numbers(gr_gguf_reader *r, const gr_gguf_number *list, gr_json config)
{
    for (const gr_gguf_number *n = list; n && n->config; n++) {
        int64_t whole = 0;
        double real = 0;
        bool there =
            n->kind == GR_GGUF_INT ? gr_gguf_take_int(r, n->gguf, &whole) : gr_gguf_take_real(r, n->gguf, &real);
        if (there && n->kind == GR_GGUF_INT)
            gr_json_put_int(config, n->config, whole);
        else if (there)
            gr_gguf_put_real(config, n->config, real);
        else if (!n->optional)
            gr_gguf_fail(r, n->gguf, "is not there\nthe file is of a program that did not finish it: fetch another");
    }
}
