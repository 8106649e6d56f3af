/* Saving: a directory in Hugging Face layout that is read again and compared before it gets its name. */
#include "model/files/packed.h"
#include "model/files/save.h"

#include "base/dtype.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sized.h"
#include "text/tokenizer.h"

#include <string.h>

/* ---- the work ----------------------------------------------------------------------------------------------- */

typedef struct saving {
    gr_model *m;
    const gr_save_options *o;
    const char *dir;    /* the name it gets */
    const gr_dtype *as; /* NULL: as they are */
    gr_store_tensors tensors;
    gr_packed_out out;         /* of them */
    gr_carried own, carried;   /* of the adapter that is in the weights, if it has a tokenizer; of the source */
    gr_checkpoint_file *files; /* [n_files] all that are no weights */
    int n_files;
    char *config, *generation; /* texts made here */
    double done;               /* bytes */
    gr_saved saved;
} saving;

static gr_status fetch(void *user, int index, const void **data)
{
    saving *w = user;
    const gr_save_options *o = w->o;
    gr_status s = gr_packed_fetch(&w->out, index, data);
    w->done += (double)w->out.list[index].bytes;
    if (s == GR_OK && o->progress && !o->progress(o->user, w->done, 2 * (double)w->out.bytes))
        s = gr_fail(GR_ERR_INTERRUPTED, "saving: stopped, and nothing is left of it");
    return s;
}

static bool has_file(const saving *w, const char *name)
{
    for (int i = 0; i < w->n_files; i++)
        if (strcmp(w->files[i].name, name) == 0)
            return true;
    return false;
}

/* The ids that transformers would otherwise take from config.json each time. */
static gr_status make_generation(saving *w)
{
    static const char *const keys[] = {"bos_token_id", "eos_token_id", "pad_token_id"};
    gr_json_doc *config = gr_json_parse("config.json", w->config, strlen(w->config));
    gr_json_doc *doc = config ? gr_json_new("generation_config.json") : NULL;
    for (size_t i = 0; doc && i < sizeof keys / sizeof *keys; i++) {
        gr_json id = gr_json_get(gr_json_root(config), keys[i]);
        if (gr_json_is(id))
            gr_json_put_copy(gr_json_root(doc), keys[i], id);
    }
    gr_status s = doc ? GR_OK : gr_error_status();
    if (doc && gr_json_size(gr_json_root(doc))) {
        w->generation = gr_json_format(doc, true, NULL);
        s = w->generation ? GR_OK : gr_error_status();
    }
    gr_json_free(doc);
    gr_json_free(config);
    return s;
}

static void add_carried(saving *w, const gr_carried *c, bool texts_are_there)
{
    for (int i = 0; i < c->count; i++)
        if (!has_file(w, c->files[i].name) && !(texts_are_there && gr_is_of_text(c->files[i].name)))
            w->files[w->n_files++] = c->files[i];
}

gr_status gr_source_of_text(const gr_save_options *o, const char **dir)
{
    bool there = false;
    gr_status s = o->adapter ? gr_tokenizer_is_in(o->adapter, &there) : GR_OK;
    *dir = there ? o->adapter : o->source;
    return s;
}

static gr_status collect_files(saving *w)
{
    const char *texts;
    gr_status s = gr_source_of_text(w->o, &texts);
    if (s == GR_OK && texts != w->o->source)
        s = gr_carried_open(&w->own, texts);
    if (s == GR_OK && w->o->source)
        s = gr_carried_open(&w->carried, w->o->source);
    if (s != GR_OK)
        return s;
    w->files = gr_alloc_zero((size_t)(w->o->n_files + w->own.count + w->carried.count + 2), sizeof *w->files);
    w->config = w->files ? gr_model_saved_config(w->m, w->as, &w->out) : NULL;
    if (!w->config)
        return gr_error_status();
    w->files[w->n_files++] = (gr_checkpoint_file){"config.json", w->config, strlen(w->config)};
    for (int i = 0; i < w->o->n_files; i++) {
        const char *const *f = w->o->files[i];
        w->files[w->n_files++] = (gr_checkpoint_file){f[0], f[1], strlen(f[1])};
    }
    add_carried(w, &w->own, false);
    add_carried(w, &w->carried, texts != w->o->source);
    if (!has_file(w, "generation_config.json"))
        s = make_generation(w);
    if (w->generation)
        w->files[w->n_files++] = (gr_checkpoint_file){"generation_config.json", w->generation, strlen(w->generation)};
    return s;
}

/* ---- comparing ---------------------------------------------------------------------------------------------- */

static gr_status compare_tensors(saving *w, const char *dir)
{
    gr_weights *file = gr_weights_open(dir);
    gr_status s = file ? GR_OK : gr_error_status();
    for (int i = 0; s == GR_OK && i < w->out.count; i++) {
        const gr_weight *t = &w->out.list[i], *is = gr_weights_find(file, t->name);
        const void *data;
        s = fetch(w, i, &data);
        if (s == GR_OK && !(gr_weight_is_like(t, is) && memcmp(is->data, data, t->bytes) == 0))
            s = gr_weight_fail_changed(t);
    }
    w->saved.tensors = w->out.count;
    w->saved.weight_files = file ? gr_weights_files(file) : 0;
    gr_weights_close(file);
    return s;
}

/* The ids of both tokenizers for one text. */
static gr_status compare_text(gr_saved *out, gr_tokenizer *must, gr_tokenizer *is, const char *text, unsigned flags)
{
    const int32_t *a, *b;
    size_t n, m;
    /* A tokenizer may have no token for a character of this text. Then neither has. */
    gr_status s = gr_tokenizer_encode(must, text, strlen(text), flags, &a, &n);
    gr_status s2 = gr_tokenizer_encode(is, text, strlen(text), flags, &b, &m);
    if (s == GR_ERR_MEMORY || s2 == GR_ERR_MEMORY)
        return GR_ERR_MEMORY;
    if (s != s2 || (s == GR_OK && (n != m || (n && memcmp(a, b, n * sizeof *a) != 0))))
        return gr_fail(GR_ERR_FILE,
                       "the saved tokenizer gives other ids for \"%s\"\n"
                       "the files of the source do not belong together",
                       text);
    out->texts += s == GR_OK;
    out->tokens += s == GR_OK ? (int64_t)n : 0;
    return GR_OK;
}

/* Is there a tokenizer that we could load? sure: these names are nothing else. */
static bool has_tokenizer(const saving *w, bool *sure)
{
    *sure = has_file(w, "tokenizer.json") || has_file(w, "tokenizer.model") ||
            (has_file(w, "vocab.json") && has_file(w, "merges.txt"));
    return *sure ||
           (w->o->source && (has_file(w, "tekken.json") || has_file(w, "tiktoken.model") || has_file(w, "vocab.txt")));
}

/* A text that the tokenizer can make, whatever its vocabulary: that of some of its tokens. */
static gr_status compare_own_text(gr_saved *out, gr_tokenizer *must, gr_tokenizer *is)
{
    int32_t ids[64];
    const char *text;
    size_t size;
    int64_t vocab = gr_tokenizer_vocab_size(must);
    for (uint64_t i = 0; i < 64; i++)
        ids[i] = (int32_t)gr_pick_id(i, vocab);
    gr_status s = gr_tokenizer_decode(must, ids, 64, GR_SKIP_SPECIAL, &text, &size);
    char *copy = s == GR_OK ? gr_strdup(text) : NULL;
    if (s == GR_OK)
        s = copy ? compare_text(out, must, is, copy, 0) : GR_ERR_MEMORY;
    gr_free(copy);
    return s;
}

gr_status gr_compare_tokenizers(gr_tokenizer *must, gr_tokenizer *is, gr_saved *out)
{
    static const char *const texts[] = {
        "The quick brown fox jumps over the lazy dog.", "  def f(x):\n\treturn x**2  # 3.14159\r\n",
        "na\xc3\xafve caf\xc3\xa9, \xe6\xbc\xa2\xe5\xad\x97, \xd8\xb9\xd8\xb1\xd8\xa8\xd9\x8a, \xf0\x9f\x8e\x89",
        "<|endoftext|><s></s>"};
    gr_status s = GR_OK;
    for (size_t i = 0; s == GR_OK && i < sizeof texts / sizeof *texts; i++) {
        s = compare_text(out, must, is, texts[i], 0);
        if (s == GR_OK)
            s = compare_text(out, must, is, texts[i], GR_ADD_SPECIAL | GR_PARSE_SPECIAL);
    }
    return s == GR_OK ? compare_own_text(out, must, is) : s;
}

static gr_status compare_tokenizers(saving *w, const char *dir)
{
    bool sure;
    if (!has_tokenizer(w, &sure))
        return GR_OK;
    const char *texts;
    gr_status s = gr_source_of_text(w->o, &texts);
    gr_tokenizer *must = s == GR_OK && texts ? gr_tokenizer_load(texts) : NULL;
    if (s != GR_OK)
        return s;
    if (!must && !sure && gr_error_status() != GR_ERR_MEMORY)
        return GR_OK; /* a file like others */
    gr_remarks_pause();
    gr_tokenizer *is = must || !texts ? gr_tokenizer_load(dir) : NULL;
    gr_remarks_resume();
    s = is ? GR_OK : gr_error_status();
    if (s == GR_OK && must)
        s = gr_compare_tokenizers(must, is, &w->saved);
    gr_tokenizer_free(is);
    gr_tokenizer_free(must);
    /* One that we cannot run is still the same, byte for byte. */
    return s == GR_ERR_UNSUPPORTED ? GR_OK : s;
}

static gr_status compare_files(const saving *w, const char *dir)
{
    gr_status s = GR_OK;
    for (int i = 0; s == GR_OK && i < w->n_files; i++) {
        const gr_checkpoint_file *f = &w->files[i];
        gr_map map = {0};
        char *path = gr_path_join(dir, f->name);
        s = path ? gr_map_open(path, &map) : GR_ERR_MEMORY;
        if (s == GR_OK && (map.size != f->size || (f->size && memcmp(map.data, f->data, f->size) != 0)))
            s = gr_fail(GR_ERR_FILE,
                        "%s reads back as something else than was written\nthe disk or the memory is at "
                        "fault: check them",
                        f->name);
        gr_map_close(&map);
        gr_free(path);
    }
    return s;
}

/* generation_config.json is a text like others; what it says must at least be JSON that a loader takes. */
static gr_status compare_generation(const saving *w)
{
    gr_status s = GR_OK;
    for (int i = 0; s == GR_OK && i < w->n_files; i++) {
        const gr_checkpoint_file *f = &w->files[i];
        if (strcmp(f->name, "generation_config.json") != 0)
            continue;
        gr_json_doc *doc = gr_json_parse(f->name, f->data, f->size);
        gr_json_as_object(gr_json_root(doc));
        s = doc ? gr_json_check(doc) : gr_error_status();
        gr_json_free(doc);
    }
    return s;
}

/* The directory as a stranger would load it. */
static gr_status check_saved(void *user, const char *dir)
{
    saving *w = user;
    gr_status s = compare_files(w, dir);
    if (s == GR_OK)
        s = compare_generation(w);
    if (s == GR_OK)
        s = compare_tensors(w, dir);
    gr_remarks_pause();
    gr_model *saved = s == GR_OK ? gr_model_load(dir, NULL, w->m->device) : NULL;
    gr_remarks_resume();
    if (s == GR_OK)
        s = saved ? gr_model_compare(w->m, saved, w->as, false, &w->saved) : gr_error_status();
    if (s == GR_OK)
        s = compare_tokenizers(w, dir);
    if (s == GR_OK && w->o->check)
        s = w->o->check(w->o->user, saved);
    gr_model_free(saved);
    return s == GR_OK && w->o->source ? gr_tell_left_out(w->m, w->o->source, w->dir) : s;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static gr_status check_dtype(const gr_save_options *o)
{
    if (o->cast && !(gr_dtype_exists(o->dtype) && gr_dtype_get(o->dtype)->is_activation))
        return gr_fail(GR_ERR_ARGUMENT, "saving: weights cannot be saved as %s\nthey can as f32, f16 and bf16",
                       gr_dtype_name(o->dtype));
    return GR_OK;
}

static gr_status check_options(const char *dir, const gr_save_options *o)
{
    char **names;
    size_t n = 0;
    if (check_dtype(o) != GR_OK)
        return gr_error_status();
    if (gr_path_is_file(dir))
        return gr_fail(GR_ERR_ARGUMENT, "saving %s: there is a file of that name\nchoose another name, or remove it",
                       dir);
    if (!gr_path_is_dir(dir))
        return GR_OK;
    gr_status s = gr_dir_list(dir, &names, &n);
    gr_names_free(names, n);
    if (s == GR_OK && n)
        s = gr_fail(GR_ERR_ARGUMENT,
                    "saving %s: this directory holds something already\nchoose another name, or "
                    "remove it",
                    dir);
    return s;
}

/* Blocks of GGUF files are none of safetensors. */
static gr_status check_blocks(const saving *w)
{
    for (int i = 0; i < w->tensors.count; i++) {
        const gr_dtype_info *d = gr_dtype_get(w->tensors.tensors[i].dtype);
        if (d->block > 1 && d->ggml)
            return gr_fail(GR_ERR_UNSUPPORTED,
                           "tensor \"%s\" is of %s, which other programs do not read in safetensors\nGive --dtype f32 "
                           "(or f16, bf16), "
                           "or have a GGUF file: merge --out FILE.gguf, convert --to gguf.",
                           w->tensors.tensors[i].name, d->name);
    }
    return GR_OK;
}

static gr_status save(saving *w, const char *dir)
{
    gr_status s = gr_model_tensors(w->m, w->as, &w->tensors);
    if (s == GR_OK)
        s = check_blocks(w);
    if (s == GR_OK)
        s = gr_packed_open(&w->out, w->m, &w->tensors, w->o->layout);
    if (s == GR_OK)
        s = collect_files(w);
    if (s != GR_OK)
        return s;
    gr_checkpoint_spec spec = {.files = w->files, .file_count = w->n_files, .shard_bytes = w->o->shard_bytes};
    spec.model = gr_store_tensors_spec(&w->tensors);
    spec.model.tensors = w->out.list;
    spec.model.count = w->out.count;
    spec.model.fetch = fetch;
    spec.model.user = w;
    spec.check = check_saved;
    spec.user = w;
    w->saved.bytes = (int64_t)w->out.bytes;
    w->saved.other_files = w->n_files;
    return gr_checkpoint_write_dir(dir, &spec);
}

/* One process writes a directory: of two the other would find what it must not write over when all its work is done. */
static gr_status take_dir(gr_write_lock *lock, const char *dir, const gr_save_options *o)
{
    char *name = gr_path_trimmed(dir);
    gr_status s = name ? gr_write_lock_take(lock, gr_strfmt("%s.new.lock", name)) : GR_ERR_MEMORY;
    gr_free(name);
    return s == GR_OK ? check_options(dir, o) : s; /* who had the lock until now has written it */
}

gr_status gr_model_save(gr_model *m, const char *dir, const gr_save_options *options, gr_saved *out)
{
    gr_save_options o;
    if (gr_lacks(m, "gr_model_save: model") || gr_lacks(dir, "gr_model_save: dir"))
        return GR_ERR_ARGUMENT;
    if (m->adapter)
        return gr_fail(GR_ERR_ARGUMENT,
                       "saving %s: the model has an adapter\nmerge it first, or save the adapter alone", dir);
    gr_status s = gr_take_sized(&o, sizeof o, options, "gr_model_save: options");
    if (s == GR_OK)
        s = gr_give_sized(out, &(gr_saved){0}, sizeof *out, "gr_model_save: out");
    if (s == GR_OK && o.gguf) {
        gr_saved saved = GR_INIT(gr_saved);
        s = check_dtype(&o);
        s = s == GR_OK ? gr_model_save_gguf(m, dir, &o, &saved) : s;
        return s == GR_OK ? gr_give_sized(out, &saved, sizeof saved, "gr_model_save: out") : s;
    }
    if (s == GR_OK)
        s = check_options(dir, &o);
    if (s != GR_OK)
        return s;
    saving w = {.m = m, .o = &o, .dir = dir, .as = o.cast ? &o.dtype : NULL};
    gr_write_lock lock = GR_NO_WRITE_LOCK;
    s = take_dir(&lock, dir, &o);
    if (s == GR_OK)
        s = save(&w, dir);
    gr_write_lock_release(&lock);
    if (s != GR_OK)
        gr_fail_in("saving %s", dir);
    else
        s = gr_give_sized(out, &w.saved, sizeof w.saved, "gr_model_save: out");
    gr_packed_close(&w.out);
    gr_store_tensors_close(&w.tensors);
    gr_carried_close(&w.own);
    gr_carried_close(&w.carried);
    gr_free(w.files);
    gr_free(w.config);
    gr_free(w.generation);
    return s;
}
