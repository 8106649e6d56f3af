/* A model's tensors as a GGUF file has them. */
#include "model/files/gguf.h"
#include "model/files/gguf_save.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/dtype.h"
#include "base/error.h"
#include "base/mem.h"
#include "model/files/save.h"

/* ---- names -------------------------------------------------------------------------------------------------- */

/* "layers.12.mlp.up_proj.weight" fits "layers.{}.mlp.up_proj"; *layer is behind the dot, *end is ".weight". */
static bool fits(const char *name, const char *form, const char **layer, int *digits, const char **end)
{
    const char *hole = strstr(form, "{}");
    size_t before = hole ? (size_t)(hole - form) : strlen(form);
    if (strncmp(name, form, before) != 0)
        return false;
    name += before;
    *layer = name;
    *digits = 0;
    while (hole && name[*digits] >= '0' && name[*digits] <= '9')
        ++*digits;
    const char *rest = hole ? hole + 2 : "";
    name += *digits;
    *end = name + strlen(rest);
    bool has_number = !hole || *digits > 0;
    return has_number && strncmp(name, rest, strlen(rest)) == 0 &&
           (strcmp(*end, ".weight") == 0 || strcmp(*end, ".bias") == 0);
}

char *gr_gguf_name_of(const gr_arch *arch, const char *name, gr_gguf_change *change)
{
    const gr_gguf_arch *a = arch->gguf;
    const char *layer, *end;
    int digits;
    *change = GR_GGUF_SAME;
    if (strcmp(name, "lm_head.weight") == 0)
        return gr_strdup("output.weight");
    size_t prefix = strncmp(name, arch->prefix, strlen(arch->prefix)) == 0 ? strlen(arch->prefix) : 0;
    for (size_t i = 0; i < sizeof a->tensors / sizeof *a->tensors; i++)
        for (const gr_gguf_named *t = a->tensors[i]; t && t->name; t++) {
            if (!fits(name + prefix, t->name, &layer, &digits, &end))
                continue;
            const char *hole = strstr(t->gguf, "{}");
            bool bias = strcmp(end, ".bias") == 0;
            *change = bias && (t->change == GR_GGUF_TURNED || t->change == GR_GGUF_PLUS_ONE) ? GR_GGUF_SAME : t->change;
            return hole ? gr_strfmt("%.*s%.*s%s%s", (int)(hole - t->gguf), t->gguf, digits, layer, hole + 2, end)
                        : gr_strfmt("%s%s", t->gguf, end);
        }
    gr_fail(GR_ERR_UNSUPPORTED, "tensor \"%s\" has no name in GGUF files of a %s model", name, a->name);
    return NULL;
}

/* ---- rotary factors ----------------------------------------------------------------------------------------- */

/* By what a pair turns slower than it would by theta alone. */
static float *factors_of(const float *inv_freq, int64_t pairs, double theta)
{
    float *x = gr_alloc((size_t)pairs * sizeof *x);
    for (int64_t i = 0; x && i < pairs; i++)
        x[i] = (float)(pow(theta, -2.0 * (double)i / (double)(2 * pairs)) / (double)inv_freq[i]);
    return x;
}

static gr_status add_factors(gr_gguf_out *t, const char *name, const float *inv_freq, double theta, int slot)
{
    int64_t pairs = t->m->h.rope[0].pairs;
    t->factors[slot] = factors_of(inv_freq, pairs, theta);
    t->names[t->count] = gr_strdup(name);
    if (!t->factors[slot] || !t->names[t->count])
        return GR_ERR_MEMORY;
    t->list[t->count] = (gr_weight){.name = t->names[t->count], .dtype = GR_F32, .ndim = 1, .shape = {pairs}};
    t->list[t->count].data = t->factors[slot];
    t->count++;
    return GR_OK;
}

bool gr_gguf_is_one_table(const gr_rope_settings *r)
{
    bool same = r->limit && !r->dynamic && fabsf(r->scale - 1) < 1e-6f;
    for (int64_t i = 0; same && i < r->pairs; i++)
        same = fabsf(r->inv_freq[i] - r->far_freq[i]) <= 1e-7f * r->inv_freq[i];
    return same;
}

static gr_status add_rotary(gr_gguf_out *t)
{
    gr_json_doc *doc = gr_json_parse("config.json", t->m->config, strlen(t->m->config));
    gr_json c = gr_json_root(doc), rope = gr_json_get(c, "rope_scaling");
    if (!doc)
        return gr_error_status();
    rope = gr_json_size(rope) ? rope : gr_json_get(c, "rope_parameters");
    const char *kind = gr_json_text(rope, "rope_type", gr_json_text(rope, "type", "default"));
    double theta = gr_json_real(rope, "rope_theta", gr_json_real(c, "rope_theta", 1e4, 1, 1e300), 1, 1e300);
    const gr_rope_settings *r = &t->m->h.rope[0];
    gr_status s = GR_OK;
    if (strcmp(kind, "llama3") == 0 || gr_gguf_is_one_table(r))
        s = add_factors(t, "rope_freqs.weight", r->inv_freq, theta, 0);
    else if (strcmp(kind, "longrope") == 0 &&
             (s = add_factors(t, "rope_factors_short.weight", r->inv_freq, theta, 0)) == GR_OK)
        s = add_factors(t, "rope_factors_long.weight", r->far_freq, theta, 1);
    gr_json_free(doc);
    return s;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

/* Vectors are f32 there, whatever matrices are. */
static void set_dtype(gr_gguf_out *t, int i, const gr_dtype *as)
{
    gr_weight *w = &t->store.tensors[i];
    if (w->ndim < 2)
        gr_store_tensors_cast(&t->store, i, GR_F32);
    else if (as)
        gr_store_tensors_cast(&t->store, i, *as);
}

static gr_status add_tensor(gr_gguf_out *t, int i, const gr_dtype *as)
{
    const gr_weight *w = &t->store.tensors[i];
    set_dtype(t, i, as);
    gr_store_tensors_sorted(&t->store, i, t->m->inits[i].order);
    t->names[t->count] = gr_gguf_name_of(t->m->arch, w->name, &t->change[t->count]);
    if (!t->names[t->count])
        return gr_error_status();
    if (t->change[t->count] == GR_GGUF_TURNED) {
        if (!t->m->inits[i].turned)
            gr_store_tensors_turn(&t->store, i);
        t->change[t->count] = GR_GGUF_SAME;
    }
    t->list[t->count] = *w;
    t->list[t->count].name = t->names[t->count];
    t->list[t->count].data = NULL;
    t->largest = w->bytes > t->largest ? w->bytes : t->largest;
    t->count++;
    return GR_OK;
}

gr_status gr_gguf_tensors_open(gr_gguf_out *t, gr_model *m, const gr_dtype *as)
{
    *t = (gr_gguf_out){.m = m};
    gr_status s = gr_store_tensors_open(&t->store, m->store, NULL);
    size_t n = (size_t)t->store.count + 3;
    t->list = s == GR_OK ? gr_alloc_zero(n, sizeof *t->list) : NULL;
    t->change = t->list ? gr_alloc_zero(n, sizeof *t->change) : NULL;
    t->names = t->change ? gr_alloc_zero(n, sizeof *t->names) : NULL;
    if (!t->names)
        return gr_error_status();
    for (int i = 0; s == GR_OK && i < t->store.count; i++)
        s = add_tensor(t, i, as);
    t->buffer = s == GR_OK ? gr_alloc(t->largest + 1) : NULL;
    if (s == GR_OK && !t->buffer)
        s = GR_ERR_MEMORY;
    return s == GR_OK && !m->h.learned_positions ? add_rotary(t) : s;
}

void gr_gguf_tensors_close(gr_gguf_out *t)
{
    for (int i = 0; t->names && i < t->store.count + 3; i++)
        gr_free(t->names[i]);
    gr_free(t->names);
    gr_free(t->list);
    gr_free(t->change);
    gr_free(t->factors[0]);
    gr_free(t->factors[1]);
    gr_free(t->buffer);
    gr_store_tensors_close(&t->store);
    *t = (gr_gguf_out){0};
}

uint32_t gr_gguf_file_type(const gr_gguf_out *t, const gr_dtype *as)
{
    int counts[GR_DTYPE_LIMIT] = {0};
    gr_dtype most = GR_F32;
    if (!as && t->m->file_type)
        return t->m->file_type - 1;
    for (int i = 0; i < t->count; i++) {
        gr_dtype d = t->list[i].dtype;
        counts[d] += t->list[i].ndim > 1;
        most = counts[d] > counts[most] ? d : most;
    }
    return gr_dtype_get(most)->ggml_file;
}

gr_status gr_gguf_tensors_fetch(void *user, int index, const void **data)
{
    gr_gguf_out *t = user;
    if (t->list[index].data) {
        *data = t->list[index].data;
        return GR_OK;
    }
    gr_status s = gr_store_tensors_fetch(&t->store, index, data);
    if (s != GR_OK || t->change[index] == GR_GGUF_SAME)
        return s;
    gr_weight own = t->store.tensors[index];
    own.data = *data;
    s = gr_gguf_apply(&own, t->change[index], &t->m->h, t->buffer);
    *data = t->buffer;
    return s;
}
