/* Keys of a GGUF file as the text of a config.json. */
#include "model/files/gguf.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "model/arch/list.h"

#define ADDRESS(type) &gr_arch_##type,
static const gr_arch *const archs[] = {GR_ARCHS(ADDRESS)};
enum { N_ARCHS = sizeof archs / sizeof archs[0] };

/* ---- the architecture --------------------------------------------------------------------------------------- */

/* "gpt2, llama, qwen2": each name once. */
static const char *names_of(char *text, size_t cap)
{
    size_t n = 0;
    text[0] = '\0';
    for (int i = 0; i < N_ARCHS; i++) {
        const gr_gguf_arch *a = archs[i]->gguf;
        if (a && !a->only && n < cap)
            n += (size_t)snprintf(text + n, cap - n, "%s%s", n ? ", " : "", a->name);
    }
    return text;
}

static const gr_arch *find_arch(const gr_gguf *file, const char *name)
{
    const gr_arch *found = NULL;
    for (int i = 0; i < N_ARCHS; i++) {
        const gr_gguf_arch *a = archs[i]->gguf;
        char key[128];
        if (!a || strcmp(a->name, name) != 0)
            continue;
        snprintf(key, sizeof key, "%s.%s", name, a->only ? a->only : "");
        if (!a->only)
            found = found ? found : archs[i];
        else if (gr_gguf_find(file, key))
            found = archs[i];
    }
    return found;
}

static const gr_arch *arch_of(const gr_gguf *file, char name[64])
{
    char names[256], shown[64];
    gr_gguf_text text = gr_gguf_text_of(file, "general.architecture");
    if (gr_gguf_is_adapter(file)) {
        gr_fail(GR_ERR_FILE, "%s: an adapter, no model\nGive its base as MODEL, and this file with --adapter.",
                gr_gguf_name(file));
        return NULL;
    }
    if (!text.size) {
        gr_fail(GR_ERR_FILE,
                "%s: no key \"general.architecture\", so it is not known what model it is\nfetch another "
                "file",
                gr_gguf_name(file));
        return NULL;
    }
    snprintf(name, 64, "%.*s", (int)(text.size < 63 ? text.size : 63), text.data);
    const gr_arch *arch = find_arch(file, name);
    if (!arch)
        gr_fail(GR_ERR_UNSUPPORTED, "%s: architecture \"%s\" is not supported\nsupported are %s", gr_gguf_name(file),
                gr_printable(text.data, text.size, shown, sizeof shown), names_of(names, sizeof names));
    return arch;
}

/* ---- keys that are left ------------------------------------------------------------------------------------- */

/* Of no meaning for numbers, or said by tensors as well. */
static bool is_harmless(const char *name)
{
    static const char *const names[] = {"vocab_size", "tensor_data_layout", "attention.head_count_kv",
                                        "attention.layer_norm_epsilon", "rope.dimension_count"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* What changes numbers, but for the value at which it does not. */
static bool is_heeded(const char *name, double *neutral)
{
    static const struct {
        const char *name;
        double neutral;
    } heeded[] = {
        {"expert_count", 0},          {"expert_used_count", 0},        {"attention.causal", 1},
        {"attention.clamp_kqv", 0},   {"attention.max_alibi_bias", 0}, {"attention.sliding_window", 0},
        {"attention.scale", 0},       {"attn_logit_softcapping", 0},   {"final_logit_softcapping", 0},
        {"logit_scale", 0},           {"residual_scale", 0},           {"embedding_scale", 0},
        {"use_parallel_residual", 0}, {"nextn_predict_layers", 0},     {"leading_dense_block_count", 0},
    };
    for (size_t i = 0; i < sizeof heeded / sizeof *heeded; i++)
        if (strcmp(heeded[i].name, name) == 0) {
            *neutral = heeded[i].neutral;
            return true;
        }
    return false;
}

static bool is_neutral(const gr_gguf_key *k, double neutral)
{
    for (size_t i = 0; i < k->count; i++) {
        double x = NAN;
        bool yes;
        if (gr_gguf_bool(k, i, &yes))
            x = yes;
        else if (!gr_gguf_real(k, i, &x))
            return false;
        if (x < neutral || x > neutral)
            return false;
    }
    return true;
}

/* Keys of the architecture that nobody asked for. */
static gr_status check_left(const gr_gguf_reader *r)
{
    size_t n = strlen(r->arch);
    char shown[80];
    double neutral;
    for (int i = 0; i < gr_gguf_count(r->file); i++) {
        const gr_gguf_key *k = gr_gguf_entry(r->file, i);
        const char *name = k->name + n + 1;
        if (r->used[i] || strncmp(k->name, r->arch, n) != 0 || k->name[n] != '.' || is_harmless(name))
            continue;
        gr_printable(k->name, strlen(k->name), shown, sizeof shown);
        if (!is_heeded(name, &neutral))
            gr_remark(GR_LOG_WARN, "%s: key \"%s\" is unknown to a %s model and not looked at", gr_gguf_name(r->file),
                      shown, r->arch);
        else if (!is_neutral(k, neutral))
            return gr_fail(
                GR_ERR_UNSUPPORTED, "%s: key \"%s\" changes the numbers, and is not supported for a %s model%s",
                gr_gguf_name(r->file), shown, r->arch,
                strncmp(name, "expert", 6) == 0 ? "\nmodels with experts are not supported: fetch one without"
                                                : "\nfetch another model");
    }
    return GR_OK;
}

/* ---- the text ----------------------------------------------------------------------------------------------- */

/* The vocabulary is what the embedding has rows for. */
static void put_vocabulary(gr_gguf_reader *r, gr_json c)
{
    const gr_weight *t = gr_weights_find(r->weights, "token_embd.weight");
    const gr_gguf_key *tokens = gr_gguf_find(r->file, "tokenizer.ggml.tokens");
    if (!t || t->ndim != 2) {
        r->status = gr_fail(GR_ERR_FILE,
                            "%s: no tensor \"token_embd.weight\" of two dims\nthis is no language model, or "
                            "a part of one: give the file with its weights",
                            gr_gguf_name(r->file));
        return;
    }
    gr_json_put_int(c, "vocab_size", t->shape[0]);
    if (tokens && tokens->count > (uint64_t)t->shape[0])
        r->status = gr_fail(GR_ERR_FILE,
                            "%s: %zu tokens, and an embedding of %lld rows\nthe file is damaged: fetch it "
                            "again",
                            gr_gguf_name(r->file), tokens->count, (long long)t->shape[0]);
}

/* A head that is the embedding again need not be there. */
static void put_tied(const gr_gguf_reader *r, gr_json c)
{
    const gr_weight *e = gr_weights_find(r->weights, "token_embd.weight");
    const gr_weight *head = gr_weights_find(r->weights, "output.weight");
    bool same = !head || (e && head->bytes == e->bytes && head->dtype == e->dtype && head->stored == e->stored &&
                          memcmp(head->data, e->data, e->bytes) == 0);
    gr_json_put_bool(c, "tie_word_embeddings", same);
}

static bool token_id(const gr_gguf *file, const char *which, int64_t *id)
{
    char key[64];
    snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", which);
    const gr_gguf_key *k = gr_gguf_find(file, key);
    return k && !k->is_array && gr_gguf_int(k, 0, id) && *id >= 0 && *id < INT32_MAX;
}

static void put_tokens(const gr_gguf *file, gr_json c, int64_t vocab)
{
    static const char *const names[][2] = {
        {"bos", "bos_token_id"}, {"eos", "eos_token_id"}, {"padding", "pad_token_id"}};
    int64_t id;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (token_id(file, names[i][0], &id) && id < vocab)
            gr_json_put_int(c, names[i][1], id);
        else
            gr_json_put_null(c, names[i][1]); /* absent would be the class's usual one */
}

static void read_all(gr_gguf_reader *r, const gr_arch *arch, gr_json c)
{
    const gr_gguf_arch *a = arch->gguf;
    gr_json_put_text(gr_json_put_array(c, "architectures"), NULL, arch->class_name);
    gr_json_put_text(c, "model_type", arch->model_type);
    put_vocabulary(r, c);
    for (size_t i = 0; i < sizeof a->numbers / sizeof *a->numbers; i++)
        gr_gguf_put_numbers(r, a->numbers[i], c);
    if (r->status == GR_OK)
        r->status = gr_json_check(c.doc);
    if (r->status == GR_OK && a->read)
        a->read(r, c);
    put_tied(r, c);
    put_tokens(r->file, c, gr_json_int(c, "vocab_size", 0, 0, INT64_MAX));
}

char *gr_gguf_config(const gr_gguf *file, const gr_weights *weights)
{
    char name[64], *text = NULL;
    gr_gguf_reader r = {.file = file, .weights = weights, .arch = name};
    const gr_arch *arch = arch_of(file, name);
    gr_json_doc *doc = arch ? gr_json_new(gr_gguf_name(file)) : NULL;
    r.used = doc ? gr_alloc_zero((size_t)gr_gguf_count(file) + 1, sizeof *r.used) : NULL;
    if (r.used) {
        read_all(&r, arch, gr_json_root(doc));
        if (r.status == GR_OK)
            r.status = check_left(&r);
        text = r.status == GR_OK ? gr_json_format(doc, true, NULL) : NULL;
    }
    gr_free(r.used);
    gr_json_free(doc);
    return text;
}

uint32_t gr_gguf_told_type(const gr_gguf *file)
{
    enum { GUESSED = 1024 };
    const gr_gguf_key *k = gr_gguf_find(file, "general.file_type");
    int64_t type;
    return k && !k->is_array && gr_gguf_int(k, 0, &type) && type >= 0 && type < GUESSED ? (uint32_t)type + 1 : 0;
}

/* Several tokens may end a text: that of a turn, or of a message, as well. */
static void put_ends(const gr_gguf *file, gr_json c)
{
    static const char *const names[] = {"eos", "eot", "eom"};
    int64_t ids[3], id;
    size_t n = 0;
    for (size_t i = 0; i < 3; i++)
        if (token_id(file, names[i], &id) && !(n > 0 && ids[0] == id) && !(n > 1 && ids[1] == id))
            ids[n++] = id;
    if (n == 1)
        gr_json_put_int(c, "eos_token_id", ids[0]);
    gr_json list = n > 1 ? gr_json_put_array(c, "eos_token_id") : (gr_json){0};
    for (size_t i = 0; n > 1 && i < n; i++)
        gr_json_put_int(list, NULL, ids[i]);
}

char *gr_gguf_generation(const gr_gguf *file, gr_status *s)
{
    gr_json_doc *doc = gr_json_new("generation_config.json");
    gr_json c = gr_json_root(doc);
    char *text = NULL;
    int64_t id;
    *s = doc ? GR_OK : gr_error_status();
    if (!doc)
        return NULL;
    if (token_id(file, "bos", &id))
        gr_json_put_int(c, "bos_token_id", id);
    put_ends(file, c);
    if (token_id(file, "padding", &id))
        gr_json_put_int(c, "pad_token_id", id);
    if (gr_json_size(c)) {
        text = gr_json_format(doc, true, NULL);
        *s = text ? GR_OK : gr_error_status();
    }
    gr_json_free(doc);
    return text;
}
