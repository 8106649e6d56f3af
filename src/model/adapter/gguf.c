/* LoRA adapters read from GGUF files: their layers become an adapter_config.json, as peft would have it. */
#include "model/adapter/gguf.h"

#include "base/mem.h"
#include "model/files/gguf.h"
#include "program/store.h"

#include <string.h>

/* ---- the layers --------------------------------------------------------------------------------------------- */

/* What a file has for a layer. */
typedef struct sides {
    const gr_weight *a, *b;
    gr_gguf_change change;
} sides;

typedef struct file {
    gr_model *m;
    gr_gguf *gguf;
    sides *layers; /* [n_notes] */
} file;

static gr_status no_pair(const char *what, const char *name)
{
    char shown[100];
    return gr_fail(GR_ERR_FILE,
                   "tensor \"%s\" %s\nadapter and model do not belong together: give the model that it was trained on",
                   gr_printable(name, strlen(name), shown, sizeof shown), what);
}

/* The note of the layer whose weight this is; -1: none. */
static int note_of(const gr_adapter *a, const char *weight)
{
    size_t n = strlen(weight), end = strlen(".weight");
    for (size_t i = 0; i < a->n_notes && n > end; i++)
        if (a->notes[i].kind != GR_LAYER_NORM && strlen(a->notes[i].module) == n - end &&
            memcmp(a->notes[i].module, weight, n - end) == 0)
            return (int)i;
    return -1;
}

static gr_status place(file *f, const gr_weight *t)
{
    size_t n = strlen(t->name), end = strlen(".lora_a");
    const char *side = n > end ? t->name + n - end : "";
    bool is_a = strcmp(side, ".lora_a") == 0;
    if (!is_a && strcmp(side, ".lora_b") != 0)
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "tensor \"%.80s\": an adapter has names that end in .lora_a and .lora_b\nfetch another file",
                       t->name);
    gr_gguf_change change;
    char *own = NULL, *plain = gr_strfmt("%.*s", (int)(n - end), t->name);
    gr_status s = plain ? gr_gguf_own_name(f->m->arch, plain, &own, &change) : GR_ERR_MEMORY;
    int note = own ? note_of(f->m->adapter, own) : -1;
    gr_free(plain);
    gr_free(own);
    if (s != GR_OK)
        return s;
    if (note < 0)
        return no_pair("is of no layer of the model", t->name);
    if (t->ndim != 2 || !gr_weight_is_number(t))
        return no_pair("must have two dims", t->name);
    *(is_a ? &f->layers[note].a : &f->layers[note].b) = t;
    f->layers[note].change = change;
    return GR_OK;
}

static int64_t rank_of(const gr_adapter *a, size_t note, const gr_weight *t)
{
    return t->shape[a->notes[note].kind == GR_LAYER_EMBEDDING ? 1 : 0];
}

static gr_status collect(file *f)
{
    const gr_adapter *a = f->m->adapter;
    gr_status s = GR_OK;
    f->layers = gr_alloc_zero(a->n_notes + 1, sizeof *f->layers);
    if (!f->layers)
        return GR_ERR_MEMORY;
    for (int i = 0; s == GR_OK && i < gr_gguf_tensors(f->gguf); i++)
        s = place(f, gr_gguf_tensor(f->gguf, i));
    for (size_t i = 0; s == GR_OK && i < a->n_notes; i++)
        if (!f->layers[i].a != !f->layers[i].b)
            s = no_pair("has no partner: A and B go together",
                        (f->layers[i].a ? f->layers[i].a : f->layers[i].b)->name);
    return s;
}

static gr_status check_keys(const gr_gguf *g, const gr_model *m)
{
    static const char *const wanted[][2] = {{"general.type", "adapter"}, {"adapter.type", "lora"}};
    char shown[64];
    for (int i = 0; i < 2; i++) {
        gr_gguf_text is = gr_gguf_text_of(g, wanted[i][0]);
        if (is.size != strlen(wanted[i][1]) || memcmp(is.data, wanted[i][1], is.size) != 0)
            return gr_fail(is.size && i ? GR_ERR_UNSUPPORTED : GR_ERR_FILE,
                           "this is no LoRA adapter: its key \"%s\" %s%s%s, and not \"%s\"\ngive an adapter, as gradus "
                           "convert --to gguf or llama.cpp write one",
                           wanted[i][0], is.size ? "is \"" : "is not there",
                           gr_printable(is.data, is.size, shown, sizeof shown), is.size ? "\"" : "", wanted[i][1]);
    }
    gr_gguf_text arch = gr_gguf_text_of(g, "general.architecture");
    const char *own = m->arch->gguf ? m->arch->gguf->name : "";
    if (arch.size != strlen(own) || memcmp(arch.data, own, arch.size) != 0)
        return gr_fail(GR_ERR_FILE,
                       "an adapter of a model of architecture \"%s\", and this one is \"%s\"\ngive the model that it "
                       "was trained on",
                       gr_printable(arch.data, arch.size, shown, sizeof shown), *own ? own : m->arch->model_type);
    return GR_OK;
}

/* ---- as peft's config --------------------------------------------------------------------------------------- */

/* Are all linear layers of that last part in the file? Then the part names them. */
static bool is_whole(const file *f, const char *part)
{
    const gr_adapter *a = f->m->adapter;
    bool whole = true;
    for (size_t i = 0; i < a->n_notes; i++)
        if (a->notes[i].kind != GR_LAYER_NORM && strcmp(gr_last_part(a->notes[i].module), part) == 0)
            whole &= f->layers[i].a != NULL;
    return whole;
}

/* Names for target_modules, each once: [*n], which point into the notes; caller frees. */
static const char **targets_of(const file *f, size_t *n)
{
    const gr_adapter *a = f->m->adapter;
    const char **names = gr_alloc_zero(a->n_notes + 1, sizeof *names);
    *n = 0;
    for (size_t i = 0; names && i < a->n_notes; i++) {
        const char *part = gr_last_part(a->notes[i].module);
        if (!f->layers[i].a)
            continue;
        const char *name = is_whole(f, part) ? part : a->notes[i].module;
        bool seen = false;
        for (size_t k = 0; k < *n && !seen; k++)
            seen = strcmp(names[k], name) == 0;
        if (!seen)
            names[(*n)++] = name;
    }
    return names;
}

/* Ranks that are not the first one's; without an alpha the scale is 1, which is an alpha of the rank. */
static void put_patterns(const file *f, int64_t rank, bool no_alpha, gr_json config)
{
    const gr_adapter *a = f->m->adapter;
    gr_json ranks = gr_json_get(config, "rank_pattern"), alphas = gr_json_get(config, "alpha_pattern");
    for (size_t i = 0; i < a->n_notes; i++) {
        int64_t own = f->layers[i].a ? rank_of(a, i, f->layers[i].a) : rank;
        if (own != rank)
            gr_json_put_int(ranks, a->notes[i].module, own);
        if (own != rank && no_alpha)
            gr_json_put_int(alphas, a->notes[i].module, own);
    }
}

static char *write_config(const file *f, const char **targets, size_t n, int64_t rank, double alpha)
{
    const gr_lora_options o = {.rank = rank, .alpha = alpha != 0 ? alpha : (double)rank};
    char *text = gr_adapter_write_config(&o, targets, n, f->m->arch), *all = NULL;
    gr_json_doc *doc = text ? gr_json_parse(GR_ADAPTER_CONFIG, text, strlen(text)) : NULL;
    if (doc) {
        put_patterns(f, rank, alpha == 0, gr_json_root(doc));
        all = gr_json_format(doc, true, NULL);
    }
    gr_json_free(doc);
    gr_free(text);
    return all;
}

/* The adapter_config.json that peft would have for it; caller frees. */
static char *config_of(const file *f)
{
    const gr_adapter *a = f->m->adapter;
    const gr_gguf_key *key = gr_gguf_find(f->gguf, GR_GGUF_LORA_ALPHA);
    double alpha = 0;
    size_t first = 0, n;
    if (key && (key->is_array || !gr_gguf_real(key, 0, &alpha))) {
        gr_fail(GR_ERR_FILE, "key \"" GR_GGUF_LORA_ALPHA "\" must be a number\nfetch the file again");
        return NULL;
    }
    while (first < a->n_notes && !f->layers[first].a)
        first++;
    if (first == a->n_notes) {
        gr_fail(GR_ERR_FILE, "an adapter without a tensor\nfetch the file again");
        return NULL;
    }
    const char **targets = targets_of(f, &n);
    char *text = targets ? write_config(f, targets, n, rank_of(a, first, f->layers[first].a), alpha) : NULL;
    gr_free(targets);
    return text;
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

/* As the store has it. */
static gr_status load_side(const file *f, int note, int entry, bool is_a)
{
    gr_adapter *a = f->m->adapter;
    const gr_weight *t = is_a ? f->layers[note].a : f->layers[note].b;
    gr_gguf_change change = gr_gguf_side_change(&a->notes[note], is_a, f->layers[note].change);
    bool turned = change == GR_GGUF_TURNED;
    gr_entry e = GR_INIT(gr_entry);
    gr_status s = gr_store_entry(a->store, entry, &e);
    if (s != GR_OK)
        return s;
    if (t->shape[0] != e.shape[turned ? 1 : 0] || t->shape[1] != e.shape[turned ? 0 : 1])
        return no_pair("has another shape than the model's layer asks for", t->name);
    float *wide = gr_alloc(e.bytes), *own = wide ? gr_alloc(e.bytes) : NULL;
    s = own ? GR_OK : GR_ERR_MEMORY;
    if (s == GR_OK) {
        gr_weight w = {.name = t->name, .dtype = GR_F32, .ndim = 2, .data = wide, .bytes = e.bytes};
        memcpy(w.shape, t->shape, sizeof w.shape);
        gr_weight_to_f32(t, wide);
        s = gr_gguf_undo(&w, change, &f->m->h, own);
    }
    if (s == GR_OK)
        s = gr_store_write(a->store, e.name, own, e.bytes);
    gr_free(wide);
    gr_free(own);
    return s;
}

static gr_status load_sides(const file *f)
{
    const gr_adapter *a = f->m->adapter;
    gr_status s = GR_OK;
    for (size_t i = 0; s == GR_OK && i < a->n_loras; i++) {
        s = load_side(f, a->loras[i].layer, a->loras[i].a, true);
        if (s == GR_OK)
            s = load_side(f, a->loras[i].layer, a->loras[i].b, false);
    }
    return s;
}

static gr_status load(file *f, const char *path)
{
    gr_status s = check_keys(f->gguf, f->m);
    if (s == GR_OK)
        s = collect(f);
    char *config = s == GR_OK ? config_of(f) : NULL;
    if (s == GR_OK && !config)
        s = gr_error_status();
    if (s != GR_OK)
        s = gr_fail_in("%s", path);
    gr_adapter_close(f->m); /* it was there to note layers */
    if (s == GR_OK)
        s = gr_adapter_open(f->m, path, config, strlen(config));
    if (s == GR_OK && (s = load_sides(f)) != GR_OK)
        s = gr_fail_in("%s", path);
    gr_free(config);
    return s;
}

gr_status gr_adapter_load_gguf(gr_model *m, const char *path)
{
    gr_status s = gr_adapter_begin(m);
    file f = {.m = m, .gguf = s == GR_OK ? gr_gguf_open(path) : NULL};
    if (s == GR_OK)
        s = f.gguf ? load(&f, path) : gr_error_status();
    gr_free(f.layers);
    gr_gguf_close(f.gguf);
    return s;
}
