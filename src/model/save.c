/* Saving: a directory in Hugging Face layout that is read again and compared before it gets its name. */
#include "model/save.h"

#include "base/dtype.h"
#include "base/mem.h"
#include "base/philox.h"
#include "graph/graph.h"

#include <math.h>
#include <string.h>

/* ---- names -------------------------------------------------------------------------------------------------- */

/* Files that go without the body's prefix are loaded under their own names, and saved under transformers'. */
gr_status gr_model_tensors(gr_model *m, const gr_dtype *as, gr_store_tensors *out)
{
    gr_status s = gr_store_tensors_open(out, m->store, as);
    bool bare = strcmp(m->prefix, m->arch->prefix) != 0;
    for (int i = 0; s == GR_OK && bare && i < out->count; i++)
        if (strncmp(out->tensors[i].name, "lm_head.", 8) != 0)
            s = gr_store_tensors_rename(out, i, gr_strfmt("%s%s", m->arch->prefix, out->tensors[i].name));
    return s;
}

/* ---- config.json -------------------------------------------------------------------------------------------- */

static const char *torch_name(gr_dtype d)
{
    return d == GR_F16 ? "float16" : d == GR_BF16 ? "bfloat16" : d == GR_F64 ? "float64" : "float32";
}

/* The dtype that most of the weights will have. */
static gr_dtype main_dtype(const gr_model *m, const gr_dtype *as)
{
    size_t bytes[GR_DTYPE_COUNT] = {0};
    gr_dtype most = GR_F32;
    gr_entry e;
    for (int i = 0; !as && i < gr_store_count(m->store); i++)
        if (gr_store_entry(m->store, i, &e) == GR_OK && (bytes[e.dtype] += e.bytes) > bytes[most])
            most = e.dtype;
    return as ? *as : most;
}

/* Sets a text; false when it says so already. */
static bool change_text(gr_json c, const char *key, const char *value)
{
    gr_json old = gr_json_get(c, key);
    if (gr_json_type_of(old) == GR_JSON_TEXT && strcmp(gr_json_as_text(old, NULL), value) == 0)
        return false;
    gr_json_put_text(c, key, value);
    return true;
}

char *gr_model_saved_config(const gr_model *m, const gr_dtype *as)
{
    const char *dtype = torch_name(main_dtype(m, as));
    gr_json_doc *doc = gr_json_parse("config.json", m->config, strlen(m->config));
    if (!doc)
        return NULL;
    gr_json c = gr_json_root(doc);
    bool changed = false, is_old = gr_json_is(gr_json_get(c, "torch_dtype"));
    if (is_old)
        changed |= change_text(c, "torch_dtype", dtype);
    if (!is_old || gr_json_is(gr_json_get(c, "dtype")))
        changed |= change_text(c, "dtype", dtype);
    if (!gr_json_size(gr_json_get(c, "architectures"))) {
        gr_json_put_text(gr_json_put_array(c, "architectures"), NULL, m->arch->class_name);
        changed = true;
    }
    char *text = changed ? gr_json_format(doc, true, NULL) : gr_strdup(m->config);
    gr_json_free(doc);
    return text;
}

/* ---- other files -------------------------------------------------------------------------------------------- */

bool gr_is_carried(const char *name)
{
    static const char *const names[] = {
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "merges.txt",
        "tokenizer.model",
        "chat_template.jinja",
        "chat_template.json",
        "LICENSE",
        "LICENSE.txt",
        "generation_config.json",
        "LICENSE.md",
        "NOTICE",
        "USE_POLICY.md",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static gr_status carry(gr_carried *c, const char *dir, const char *name)
{
    gr_map map;
    size_t n = (size_t)c->count;
    char *path = gr_path_join(dir, name);
    gr_status s = path ? gr_grow(&c->files, &c->files_cap, n + 1, sizeof *c->files) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = gr_grow(&c->maps, &c->maps_cap, n + 1, sizeof *c->maps);
    if (s == GR_OK)
        s = gr_map_open(path, &map);
    gr_free(path);
    if (s != GR_OK)
        return s;
    c->maps[n] = map;
    c->files[n] = (gr_checkpoint_file){name, map.data, map.size};
    c->count++;
    return GR_OK;
}

gr_status gr_carried_open(gr_carried *c, const char *dir)
{
    size_t n;
    *c = (gr_carried){0};
    gr_status s = gr_dir_list(dir, &c->names, &n);
    c->n_names = s == GR_OK ? n : 0;
    for (size_t i = 0; s == GR_OK && i < n; i++)
        if (gr_is_carried(c->names[i]))
            s = carry(c, dir, c->names[i]);
    return s;
}

void gr_carried_close(gr_carried *c)
{
    for (int i = 0; i < c->count; i++)
        gr_map_close(&c->maps[i]);
    gr_names_free(c->names, c->n_names);
    gr_free(c->files);
    gr_free(c->maps);
    *c = (gr_carried){0};
}

/* ---- the work ----------------------------------------------------------------------------------------------- */

typedef struct saving {
    gr_model *m;
    const gr_save_options *o;
    const gr_dtype *as; /* NULL: as they are */
    gr_store_tensors tensors;
    gr_carried carried;
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
    if (o->cancel && o->cancel(o->user))
        return gr_fail(GR_ERR_INTERRUPTED, "saving: stopped, and nothing is left of it");
    gr_status s = gr_store_tensors_fetch(&w->tensors, index, data);
    w->done += (double)w->tensors.tensors[index].bytes;
    if (s == GR_OK && o->progress)
        o->progress(o->user, w->done, 2 * (double)w->tensors.bytes);
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

static gr_status collect_files(saving *w)
{
    gr_status s = w->o->source ? gr_carried_open(&w->carried, w->o->source) : GR_OK;
    if (s != GR_OK)
        return s;
    w->files = gr_alloc_zero((size_t)(w->o->n_files + w->carried.count + 2), sizeof *w->files);
    w->config = w->files ? gr_model_saved_config(w->m, w->as) : NULL;
    if (!w->config)
        return gr_error_status();
    w->files[w->n_files++] = (gr_checkpoint_file){"config.json", w->config, strlen(w->config)};
    for (int i = 0; i < w->o->n_files; i++) {
        const char *const *f = w->o->files[i];
        w->files[w->n_files++] = (gr_checkpoint_file){f[0], f[1], strlen(f[1])};
    }
    for (int i = 0; i < w->carried.count; i++)
        if (!has_file(w, w->carried.files[i].name))
            w->files[w->n_files++] = w->carried.files[i];
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
    for (int i = 0; s == GR_OK && i < w->tensors.count; i++) {
        const gr_safetensor *t = &w->tensors.tensors[i], *is = gr_weights_find(file, t->name);
        const void *data;
        s = fetch(w, i, &data);
        bool same = s == GR_OK && is && is->dtype == t->dtype && is->ndim == t->ndim && is->bytes == t->bytes &&
                    memcmp(is->shape, t->shape, (size_t)t->ndim * sizeof *t->shape) == 0 &&
                    memcmp(is->data, data, t->bytes) == 0;
        if (s == GR_OK && !same)
            s = gr_fail(GR_ERR_FILE,
                        "tensor \"%s\" reads back as something else than was written\nthe disk or the "
                        "memory is at fault: check them",
                        t->name);
    }
    w->saved.tensors = w->tensors.count;
    w->saved.weight_files = file ? gr_weights_files(file) : 0;
    gr_weights_close(file);
    return s;
}

enum { PROMPTS = 3, PROMPT_TOKENS = 16 };

static gr_status logits_of(gr_model *m, const int64_t *tokens, int64_t length, float *out)
{
    gr_graph *g = gr_graph_new();
    if (!g)
        return GR_ERR_MEMORY;
    int64_t shape[] = {PROMPTS, length};
    gr_forward f = {.tokens = gr_input(g, "tokens", GR_I64, 2, shape)};
    gr_tensor *logits = gr_model_logits(m, &f);
    gr_program *p = logits ? gr_compile(g, &logits, 1, m->device) : NULL;
    gr_status s = p ? gr_run(p, (const void *[]){tokens}, (void *[]){out}) : gr_error_status();
    gr_program_free(p);
    gr_graph_free(g);
    return s;
}

/* How far logits may be apart, as a part of the largest. Without rounding all that may differ is the order of sums;
 * with it, every weight is off by up to half a last place, and layers carry that on. */
static double tolerance(const saving *w)
{
    bool rounds = false;
    gr_entry e;
    for (int i = 0; w->as && i < gr_store_count(w->m->store); i++)
        rounds |= gr_store_entry(w->m->store, i, &e) == GR_OK && e.dtype != *w->as;
    return !rounds ? 1e-5 : *w->as == GR_F16 ? 0.02 : *w->as == GR_BF16 ? 0.1 : 1e-3;
}

static gr_status judge_logits(saving *w, const float *must, const float *is, int64_t n)
{
    double largest = 0, difference = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(must[i]) || !isfinite(is[i]))
            return gr_fail(GR_ERR_NUMBER,
                           "the %s model's logits are not numbers\ngradus dump tells where they stop being some",
                           isfinite(must[i]) ? "saved" : "given");
        largest = fmax(largest, fabs((double)must[i]));
        difference = fmax(difference, fabs((double)must[i] - (double)is[i]));
    }
    w->saved.logits = n;
    w->saved.difference = difference;
    w->saved.bound = tolerance(w) * largest;
    if (difference > w->saved.bound)
        return gr_fail(GR_ERR_NUMBER,
                       "the saved model's logits are off by %.3g, and %.3g is allowed (the largest is %.3g)\n"
                       "this model needs a dtype with more digits; write f32",
                       difference, w->saved.bound, largest);
    return GR_OK;
}

static gr_status compare_logits(saving *w, gr_model *saved)
{
    const gr_model_info *info = gr_model_describe(w->m);
    int64_t tokens[PROMPTS * PROMPT_TOKENS], t = info->context < PROMPT_TOKENS ? info->context : PROMPT_TOKENS;
    for (int64_t i = 0; i < PROMPTS * t; i++) {
        int64_t id = (int64_t)(gr_philox_uniform(0, 0, (uint64_t)i) * (double)info->vocab);
        tokens[i] = id < info->vocab ? id : info->vocab - 1;
    }
    size_t n = (size_t)(PROMPTS * t * info->vocab);
    float *logits = gr_alloc(2 * n * sizeof *logits);
    if (!logits)
        return GR_ERR_MEMORY;
    gr_status s = logits_of(w->m, tokens, t, logits);
    if (s == GR_OK)
        s = logits_of(saved, tokens, t, logits + n);
    if (s == GR_OK)
        s = judge_logits(w, logits, logits + n, (int64_t)n);
    gr_free(logits);
    return s;
}

/* The ids of both tokenizers for one text. */
static gr_status compare_text(saving *w, gr_tokenizer *must, gr_tokenizer *is, const char *text, unsigned flags)
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
    w->saved.texts += s == GR_OK;
    w->saved.tokens += s == GR_OK ? (int64_t)n : 0;
    return GR_OK;
}

/* Is there a tokenizer that we could load? */
static bool has_tokenizer(const saving *w)
{
    return has_file(w, "tokenizer.json") || has_file(w, "tokenizer.model") ||
           (has_file(w, "vocab.json") && has_file(w, "merges.txt"));
}

static gr_status compare_tokenizers(saving *w, const char *dir)
{
    static const char *const texts[] = {
        "The quick brown fox jumps over the lazy dog.", "  def f(x):\n\treturn x**2  # 3.14159\r\n",
        "na\xc3\xafve caf\xc3\xa9, \xe6\xbc\xa2\xe5\xad\x97, \xd8\xb9\xd8\xb1\xd8\xa8\xd9\x8a, \xf0\x9f\x8e\x89",
        "<|endoftext|><s></s>"};
    if (!has_tokenizer(w))
        return GR_OK;
    gr_tokenizer *is = gr_tokenizer_load(dir), *must = is && w->o->source ? gr_tokenizer_load(w->o->source) : NULL;
    gr_status s = is && (must || !w->o->source) ? GR_OK : gr_error_status();
    for (size_t i = 0; s == GR_OK && must && i < sizeof texts / sizeof *texts; i++) {
        s = compare_text(w, must, is, texts[i], 0);
        if (s == GR_OK)
            s = compare_text(w, must, is, texts[i], GR_ADD_SPECIAL | GR_PARSE_SPECIAL);
    }
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
    gr_model *saved = s == GR_OK ? gr_model_load(dir, w->m->device) : NULL;
    if (s == GR_OK)
        s = saved ? compare_logits(w, saved) : gr_error_status();
    gr_model_free(saved);
    return s == GR_OK ? compare_tokenizers(w, dir) : s;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static gr_status check_options(const char *dir, const gr_save_options *o)
{
    char **names;
    size_t n = 0;
    if (o->cast && o->dtype != GR_F32 && o->dtype != GR_F16 && o->dtype != GR_BF16)
        return gr_fail(GR_ERR_ARGUMENT, "saving: weights cannot be saved as %s\nthey can as f32, f16 and bf16",
                       gr_dtype_name(o->dtype));
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

static gr_status save(saving *w, const char *dir)
{
    gr_status s = gr_model_tensors(w->m, w->as, &w->tensors);
    if (s == GR_OK)
        s = collect_files(w);
    if (s != GR_OK)
        return s;
    gr_checkpoint_spec spec = {.files = w->files, .file_count = w->n_files, .shard_bytes = w->o->shard_bytes};
    spec.model = gr_store_tensors_spec(&w->tensors);
    spec.model.fetch = fetch;
    spec.model.user = w;
    spec.check = check_saved;
    spec.user = w;
    w->saved.bytes = (int64_t)w->tensors.bytes;
    w->saved.other_files = w->n_files;
    return gr_checkpoint_write_dir(dir, &spec);
}

gr_status gr_model_save(gr_model *m, const char *dir, const gr_save_options *options, gr_saved *out)
{
    gr_status s = check_options(dir, options);
    if (s != GR_OK)
        return s;
    saving w = {.m = m, .o = options, .as = options->cast ? &options->dtype : NULL};
    s = save(&w, dir);
    if (s != GR_OK)
        gr_fail_in("saving %s", dir);
    if (out)
        *out = s == GR_OK ? w.saved : (gr_saved){0};
    gr_store_tensors_close(&w.tensors);
    gr_carried_close(&w.carried);
    gr_free(w.files);
    gr_free(w.config);
    gr_free(w.generation);
    return s;
}
