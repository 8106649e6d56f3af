/* config.json: which architecture it is of, and what it says. */
#include "model/arch/list.h"

#include "base/mem.h"
#include "base/sized.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ADDRESS(type) &gr_arch_##type,
static const gr_arch *const archs[] = {GR_ARCHS(ADDRESS)};
enum { N_ARCHS = sizeof archs / sizeof archs[0] };

const char *gr_model_list(int i)
{
    return i >= 0 && i < N_ARCHS ? archs[i]->model_type : NULL;
}

static const gr_arch *find_arch(const char *model_type)
{
    for (int i = 0; i < N_ARCHS; i++)
        if (strcmp(archs[i]->model_type, model_type) == 0)
            return archs[i];
    return NULL;
}

/* "gpt2, llama, mistral" */
static const char *arch_names(char *text, size_t cap)
{
    size_t n = 0;
    text[0] = '\0';
    for (int i = 0; i < N_ARCHS && n < cap; i++)
        n += (size_t)snprintf(text + n, cap - n, "%s%s", i ? ", " : "", archs[i]->model_type);
    return text;
}

double gr_usual_init(int64_t embed)
{
    return round(1e4 * sqrt(0.4 / (double)embed)) / 1e4; /* as one would write it */
}

/* None is said, since transformers would else take the architecture's usual id. */
static void put_token(gr_json c, const char *key, int64_t id)
{
    if (id >= 0)
        gr_json_put_int(c, key, id);
    else
        gr_json_put_null(c, key);
}

char *gr_model_config_json(const gr_model_info *info)
{
    if (gr_lacks(info, "gr_model_config_json: info"))
        return NULL;
    gr_model_info i;
    if (gr_take_sized(&i, sizeof i, info, "gr_model_config_json: info") != GR_OK)
        return NULL;
    const gr_arch *arch = find_arch(i.arch);
    if (!arch) {
        char names[256];
        gr_fail(GR_ERR_ARGUMENT, "there is no architecture \"%s\"\nthere are %s", i.arch,
                arch_names(names, sizeof names));
        return NULL;
    }
    i.kv_heads = i.kv_heads ? i.kv_heads : i.heads;
    i.head_dim = i.head_dim ? i.head_dim : i.heads ? i.embed / i.heads : 0;
    gr_json_doc *doc = gr_json_new("config.json");
    if (!doc)
        return NULL;
    gr_json c = gr_json_root(doc);
    gr_json_put_text(gr_json_put_array(c, "architectures"), NULL, arch->class_name);
    gr_json_put_text(c, "model_type", arch->model_type);
    arch->write(&i, c);
    gr_json_put_bool(c, "tie_word_embeddings", i.tied);
    put_token(c, "bos_token_id", i.bos);
    put_token(c, "eos_token_id", i.eos);
    gr_json_put_text(c, "dtype", "float32");
    char *text = gr_json_format(doc, true, NULL);
    gr_json_free(doc);
    return text;
}

/* eos_token_id may be a list; the first is the model's. */
static gr_token token_id(gr_json c, const char *key)
{
    gr_json v = gr_json_get(c, key);
    if (gr_json_type_of(v) == GR_JSON_ARRAY)
        v = gr_json_item(v, 0);
    int64_t id = gr_json_type_of(v) == GR_JSON_INT ? gr_json_as_int(v, INT64_MIN, INT64_MAX) : -1;
    return id >= 0 && id <= INT32_MAX ? (gr_token)id : -1;
}

static void fill_info(gr_model *m, gr_json c)
{
    const gr_hparams *h = &m->h;
    m->info = (gr_model_info){
        .size = sizeof m->info, .layers = h->layers, .embed = h->embed, .heads = h->heads, .kv_heads = h->kv_heads};
    snprintf(m->info.arch, sizeof m->info.arch, "%s", m->arch->model_type);
    m->info.head_dim = h->head_dim;
    m->info.ffn = h->ffn;
    m->info.vocab = h->vocab;
    m->info.context = h->context;
    m->info.limit = h->learned_positions ? h->context : 0;
    m->info.tied = h->tied;
    m->info.eos = token_id(c, "eos_token_id");
    m->info.bos = token_id(c, "bos_token_id");
}

/* The architecture reads with room for as many layers as there may be, and what it has is kept. */
static gr_status read_hparams(gr_model *m, const char *name, gr_json c)
{
    gr_layer_hparams *most = gr_alloc_zero(GR_MAX_LAYERS, sizeof *most), *kept = NULL;
    if (!most)
        return GR_ERR_MEMORY;
    m->h.layer = most;
    m->arch->read(c, &m->h);
    gr_model_check_keys(m->arch, name, c);
    gr_status s = gr_json_check(c.doc);
    if (s == GR_OK && !(kept = gr_alloc_zero((size_t)m->h.layers, sizeof *kept)))
        s = GR_ERR_MEMORY;
    if (kept)
        memcpy(kept, most, (size_t)m->h.layers * sizeof *kept);
    m->h.layer = kept;
    gr_free(most);
    return s;
}

gr_status gr_model_read_config(gr_model *m, const char *name, const char *text, size_t size)
{
    gr_json_doc *doc = gr_json_parse(name, text, size);
    if (!doc)
        return gr_error_status();
    gr_json c = gr_json_as_object(gr_json_root(doc));
    const char *type = gr_json_as_text(gr_json_get(c, "model_type"), NULL);
    m->arch = find_arch(type);
    gr_status s = gr_json_check(doc);
    char names[256];
    if (s == GR_OK && !m->arch)
        s = gr_json_fail(gr_json_get(c, "model_type"), "architecture \"%s\" is not supported\nsupported are %s", type,
                         arch_names(names, sizeof names));
    if (s == GR_OK)
        s = read_hparams(m, name, c);
    if (s == GR_OK)
        fill_info(m, c);
    gr_json_free(doc);
    return s;
}
