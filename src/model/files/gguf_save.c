/* Saving as a GGUF file: it is read again and compared before it gets its name. */
#include "model/files/gguf_save.h"

#include <math.h>
#include <string.h>

#include "base/dtype.h"
#include "base/error.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/mem.h"
#include "model/files/save.h"
#include "program/store.h"
#include "text/tokenizer_gguf.h"

typedef struct saving {
    gr_model *m;
    const gr_save_options *o;
    const gr_dtype *as; /* of matrices; NULL: as they are */
    gr_gguf_keys keys;
    gr_gguf_out tensors;
    gr_tokenizer *tokenizer; /* NULL: none */
    double done;
    gr_saved saved;
} saving;

/* ---- keys --------------------------------------------------------------------------------------------------- */

static bool is(const gr_checkpoint_file *f, const char *name)
{
    return strcmp(f->name, name) == 0;
}

/* "additional_chat_templates/NAME.jinja" */
static void put_template(saving *w, const gr_checkpoint_file *f)
{
    static const char folder[] = GR_CHAT_TEMPLATES "/", end[] = ".jinja";
    size_t n = strlen(f->name), before = strlen(folder), behind = strlen(end);
    if (is(f, "chat_template.jinja")) {
        gr_gguf_put_text(&w->keys, "tokenizer.chat_template", f->data, f->size);
    } else if (strncmp(f->name, folder, before) == 0 && n > before + behind) {
        char *key = gr_strfmt("tokenizer.chat_template.%.*s", (int)(n - before - behind), f->name + before);
        if (key)
            gr_gguf_put_text(&w->keys, key, f->data, f->size);
        else
            w->keys.status = GR_ERR_MEMORY;
        gr_free(key);
    }
}

/* Templates of before transformers had files for them: one, or a list of named ones. */
static gr_status put_old_templates(saving *w, const gr_checkpoint_file *f, bool has_file)
{
    gr_json_doc *doc = gr_json_parse(f->name, f->data, f->size);
    gr_json v = gr_json_get(gr_json_root(doc), "chat_template");
    size_t size;
    if (!doc)
        return gr_error_status();
    if (!has_file && gr_json_type_of(v) == GR_JSON_TEXT) {
        const char *text = gr_json_as_text(v, &size);
        gr_gguf_put_text(&w->keys, "tokenizer.chat_template", text, size);
    }
    for (size_t i = 0; !has_file && gr_json_type_of(v) == GR_JSON_ARRAY && i < gr_json_size(v); i++) {
        gr_json item = gr_json_item(v, i);
        const char *name = gr_json_text(item, "name", "default");
        const char *text = gr_json_as_text(gr_json_get(item, "template"), &size);
        char *key = strcmp(name, "default") == 0 ? gr_strdup("tokenizer.chat_template")
                                                 : gr_strfmt("tokenizer.chat_template.%.64s", name);
        if (key)
            gr_gguf_put_text(&w->keys, key, text, size);
        gr_free(key);
    }
    gr_status s = gr_json_check(doc);
    gr_json_free(doc);
    return s;
}

static gr_status put_templates(saving *w, const char *dir)
{
    gr_carried c = {0};
    gr_status s = gr_carried_open(&c, dir);
    bool has_file = false;
    for (int i = 0; s == GR_OK && i < c.count; i++)
        has_file |= is(&c.files[i], "chat_template.jinja");
    for (int i = 0; s == GR_OK && i < c.count; i++) {
        put_template(w, &c.files[i]);
        if (is(&c.files[i], "tokenizer_config.json"))
            s = put_old_templates(w, &c.files[i], has_file);
    }
    gr_carried_close(&c);
    return s;
}

/* The tokens that end a text, behind the tokenizer's own: that of a turn, and of a message. */
static gr_status put_more_ends(saving *w, gr_token eos)
{
    static const char *const names[] = {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
    gr_ids ids = {0};
    gr_status s = gr_model_eos(w->m, &ids);
    size_t n = 0;
    for (size_t i = 0; s == GR_OK && i < ids.size && n < 2; i++)
        if (ids.data[i] != eos)
            gr_gguf_put_u32(&w->keys, names[n++], (uint32_t)ids.data[i]);
    gr_ids_free(&ids);
    return s;
}

static gr_status put_tokenizer(saving *w)
{
    bool there = false;
    const char *dir;
    gr_status s = gr_source_of_text(w->o, &dir);
    if (s == GR_OK && dir)
        s = gr_tokenizer_is_in(dir, &there);
    if (s != GR_OK)
        return s;
    if (!there) {
        gr_gguf_put_text(&w->keys, "tokenizer.ggml.model", "none", 4);
        return put_more_ends(w, -1);
    }
    w->tokenizer = gr_tokenizer_load(dir);
    s = w->tokenizer ? gr_gguf_put_tokenizer(w->tokenizer, w->o->pre, w->m->h.vocab, &w->keys) : gr_error_status();
    if (s == GR_OK)
        s = put_more_ends(w, gr_tokenizer_eos(w->tokenizer));
    return s == GR_OK ? put_templates(w, dir) : s;
}

/* ---- comparing ---------------------------------------------------------------------------------------------- */

static bool near(const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) <= 1e-6f * fabsf(a[i])))
            return false;
    return true;
}

/* Settings that turn alike, by whatever name: those whose far frequencies are the near ones have no limit. */
static bool same_rope(const gr_rope_settings *a, const gr_rope_settings *b)
{
    const float *far_a = a->limit && !a->dynamic ? a->far_freq : a->inv_freq;
    const float *far_b = b->limit && !b->dynamic ? b->far_freq : b->inv_freq;
    bool limits = a->limit == b->limit || (near(far_a, a->inv_freq, a->pairs) && near(far_b, b->inv_freq, b->pairs));
    return a->pairs == b->pairs && a->dynamic == b->dynamic && limits && fabsf(a->scale - b->scale) <= 1e-6f &&
           near(a->inv_freq, b->inv_freq, a->pairs) && near(far_a, far_b, a->pairs);
}

/* What a GGUF file has no key for shows here: the first that differs, by its name. */
static const char *differs(const gr_hparams *a, const gr_hparams *b)
{
    if (a->activation != b->activation)
        return "the activation";
    if (a->qkv_bias != b->qkv_bias || a->out_bias != b->out_bias || a->mlp_bias != b->mlp_bias)
        return "which layers have biases";
    if (a->attention_scale != b->attention_scale || a->scale_by_layer != b->scale_by_layer)
        return "the scale of attention";
    if (a->logit_cap != b->logit_cap || a->embed_scale != b->embed_scale || a->norm_eps != b->norm_eps)
        return "a cap, a scale or the norms' epsilon";
    for (int64_t i = 0; i < a->layers; i++)
        if (a->layer[i].window != b->layer[i].window)
            return "which layers have a sliding window";
    return same_rope(&a->rope[0], &b->rope[0]) && same_rope(&a->rope[1], &b->rope[1]) ? NULL : "the rotary settings";
}

static bool same_values(const void *a, const void *b, const gr_weight *t, gr_gguf_change change)
{
    size_t n = t->dtype == GR_F32 ? t->bytes / sizeof(float) : 0;
    if (change != GR_GGUF_PLUS_ONE)
        return memcmp(a, b, t->bytes) == 0;
    for (size_t i = 0; i < n; i++) { /* one more and one less again: what 1 leaves of f32 */
        float x, y;
        memcpy(&x, (const char *)a + 4 * i, 4);
        memcpy(&y, (const char *)b + 4 * i, 4);
        if (!(fabsf(x - y) <= 0x1p-23f * (1 + fabsf(x))))
            return false;
    }
    return true;
}

/* One of this name in what was read again, which is looked at as a file of its own would have it. */
static int find(const gr_gguf_out *t, const char *name)
{
    for (int i = 0; i < t->count; i++)
        if (strcmp(t->list[i].name, name) == 0)
            return i;
    return -1;
}

static gr_status compare_tensor(saving *w, gr_gguf_out *again, int i)
{
    const gr_weight *t = &w->tensors.list[i], *is = NULL;
    const void *must, *have;
    int at = find(again, t->name);
    gr_status s = gr_gguf_tensors_fetch(&w->tensors, i, &must);
    if (s == GR_OK && at >= 0)
        s = gr_gguf_tensors_fetch(again, at, &have);
    is = at >= 0 ? &again->list[at] : NULL;
    if (s == GR_OK && !(gr_weight_is_like(t, is) && same_values(must, have, t, w->tensors.change[i])))
        s = gr_weight_fail_changed(t);
    return s;
}

/* Rotary factors are compared with the settings. */
static gr_status compare_tensors(saving *w, gr_model *is)
{
    gr_gguf_out again = {0};
    gr_status s = gr_gguf_tensors_open(&again, is, NULL);
    for (int i = 0; s == GR_OK && i < w->tensors.store.count; i++)
        s = compare_tensor(w, &again, i);
    w->saved.tensors = w->tensors.count;
    gr_gguf_tensors_close(&again);
    return s;
}

static gr_status check_saved(saving *w, const char *path)
{
    gr_remarks_pause();
    gr_model *is = gr_model_load(path, NULL, w->m->device);
    gr_tokenizer *t = is && w->tokenizer ? gr_tokenizer_load(path) : NULL;
    gr_remarks_resume();
    gr_status s = is && (t || !w->tokenizer) ? GR_OK : gr_error_status();
    const char *what = is ? differs(&w->m->h, &is->h) : NULL;
    if (s == GR_OK && what)
        s = gr_fail(GR_ERR_UNSUPPORTED,
                    "a GGUF file of a %s model cannot say %s, which is not what is usual in this one",
                    w->m->arch->gguf->name, what);
    if (s == GR_OK)
        s = compare_tensors(w, is);
    if (s == GR_OK)
        s = gr_model_compare(w->m, is, w->as, true, &w->saved);
    if (s == GR_OK && t)
        s = gr_compare_tokenizers(w->tokenizer, t, &w->saved);
    if (s == GR_OK && w->o->check)
        s = w->o->check(w->o->user, is);
    gr_tokenizer_free(t);
    gr_model_free(is);
    return s;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static gr_status fetch(void *user, int index, const void **data)
{
    saving *w = user;
    w->done += (double)w->tensors.list[index].bytes;
    if (w->o->progress && !w->o->progress(w->o->user, w->done, 2 * (double)w->tensors.store.bytes))
        return gr_fail(GR_ERR_INTERRUPTED, "saving: stopped, and nothing is left of it");
    return gr_gguf_tensors_fetch(&w->tensors, index, data);
}

static gr_status write(saving *w, gr_gguf_place *to)
{
    const gr_gguf_spec spec = {
        .keys = &w->keys, .tensors = w->tensors.list, .count = w->tensors.count, .fetch = fetch, .user = w};
    int parts = gr_gguf_parts(&spec, w->o->shard_bytes);
    gr_status s = gr_gguf_place_parts(to, parts);
    w->saved.bytes = (int64_t)w->tensors.store.bytes;
    w->saved.weight_files = parts;
    if (s == GR_OK)
        s = gr_gguf_write_parts(to->hidden, &spec, w->o->shard_bytes);
    char *first = s == GR_OK ? gr_gguf_part_path(to->hidden, 0, parts) : NULL;
    if (s == GR_OK)
        s = first ? check_saved(w, first) : GR_ERR_MEMORY;
    gr_free(first);
    return s;
}

/* Keys, and the list of tensors. */
static gr_status collect(saving *w)
{
    gr_status s = w->m->arch->gguf ? gr_gguf_put_config(w->m, &w->keys) : gr_gguf_no_arch(w->m);
    if (s == GR_OK)
        s = put_tokenizer(w);
    if (s == GR_OK)
        s = gr_gguf_tensors_open(&w->tensors, w->m, w->as);
    if (s == GR_OK)
        gr_gguf_put_u32(&w->keys, "general.file_type", gr_gguf_file_type(&w->tensors, w->as));
    return s;
}

static gr_status save(saving *w, const char *path)
{
    gr_gguf_place to;
    gr_status s = gr_gguf_place_open(&to, path);
    if (s == GR_OK)
        s = collect(w);
    if (s == GR_OK)
        s = write(w, &to);
    return gr_gguf_place_close(&to, s);
}

static void close_saving(saving *w)
{
    gr_gguf_tensors_close(&w->tensors);
    gr_gguf_keys_free(&w->keys);
    gr_tokenizer_free(w->tokenizer);
}

gr_status gr_gguf_file_bytes(gr_model *m, const gr_save_options *o, int64_t *bytes, size_t *held)
{
    saving w = {.m = m, .o = o};
    uint64_t size = 0;
    size_t before = gr_memory_process();
    gr_remarks_pause(); /* they are made when the file is */
    gr_status s = collect(&w);
    gr_remarks_resume();
    size_t after = gr_memory_process();
    *held = after > before ? after - before : 0;
    if (s == GR_OK) {
        const gr_gguf_spec spec = {.keys = &w.keys, .tensors = w.tensors.list, .count = w.tensors.count};
        s = gr_gguf_size(&spec, &size);
    }
    *bytes = (int64_t)size;
    close_saving(&w);
    return s;
}

gr_status gr_model_save_gguf(gr_model *m, const char *path, const gr_save_options *o, gr_saved *out)
{
    saving w = {.m = m, .o = o, .as = o->cast ? &o->dtype : NULL};
    gr_status s = save(&w, path);
    if (s != GR_OK)
        gr_fail_in("saving %s", path);
    *out = w.saved;
    close_saving(&w);
    return s;
}
