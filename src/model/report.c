/* What the files of a model directory say, read from their headers: nothing is loaded. */
#include "base/dtype.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "format/gguf.h"
#include "model/adapter/gguf.h"
#include "model/layers/model.h"
#include "text/tokenizer.h"

#include <string.h>
#include <sys/stat.h>

static void put_config(const gr_model_info *info, gr_json into)
{
    const struct {
        const char *key;
        int64_t value;
    } rows[] = {{"layers", info->layers},     {"embed", info->embed},       {"heads", info->heads},
                {"kv_heads", info->kv_heads}, {"head_dim", info->head_dim}, {"ffn", info->ffn},
                {"vocab", info->vocab},       {"context", info->context},   {"parameters", info->parameters}};
    gr_json_put_text(into, "arch", info->arch);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        gr_json_put_int(into, rows[i].key, rows[i].value);
    gr_json_put_bool(into, "tied", info->tied);
}

/* Parameters of the token and position embeddings. */
static int64_t embedding_parameters(const gr_model *m)
{
    static const char *const ends[] = {"wte.weight", "wpe.weight", "embed_tokens.weight"};
    int64_t sum = 0;
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; i < gr_store_count(m->store); i++)
        for (size_t k = 0; k < sizeof ends / sizeof *ends; k++) {
            size_t n = strlen(ends[k]);
            if (gr_store_entry(m->store, i, &e) == GR_OK && strlen(e.name) >= n &&
                strcmp(e.name + strlen(e.name) - n, ends[k]) == 0)
                sum += e.shape[0] * e.shape[1];
        }
    return sum;
}

/* How tokens know where they are: "learned", or the kind of rotary positions as config.json calls it. */
static const char *positions_of(const gr_model *m, gr_json c)
{
    static const char *const keys[] = {"rope_parameters", "rope_scaling"};
    for (size_t i = 0; i < 2 && !m->h.learned_positions; i++) {
        gr_json rope = gr_json_get(c, keys[i]);
        gr_json full = gr_json_get(rope, "full_attention"); /* of models with settings for each kind of layer */
        rope = gr_json_is(full) ? full : rope;
        const char *kind = gr_json_text(rope, "rope_type", gr_json_text(rope, "type", NULL));
        if (kind)
            return kind;
    }
    return m->h.learned_positions ? "learned" : "default";
}

static void put_details(const gr_model *m, gr_json c, gr_json into)
{
    static const char *const acts[] = {"activation_function", "hidden_act", "hidden_activation"};
    int64_t sliding = 0, window = 0;
    for (int i = 0; i < m->h.layers; i++) {
        int64_t own = gr_model_window(m, i);
        sliding += own > 0;
        window = own > window ? own : window;
    }
    gr_json_put_int(into, "embedding_parameters", embedding_parameters(m));
    gr_json_put_text(into, m->h.learned_positions ? "positions" : "rope", positions_of(m, c));
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        if (gr_json_type_of(gr_json_get(c, acts[i])) == GR_JSON_TEXT)
            gr_json_put_text(into, "activation", gr_json_text(c, acts[i], ""));
    if (sliding > 0) {
        gr_json_put_int(into, "window", window);
        gr_json_put_int(into, "sliding_layers", sliding);
    }
}

static gr_status config_part(const char *dir, gr_json into)
{
    gr_device *device = gr_device_open("ref", 1);
    const gr_load_options declared = {.size = sizeof declared,
                                      .declare_only = true}; /* a head of its own is in the weights only */
    gr_model *model = device ? gr_model_load(dir, &declared, device) : NULL;
    gr_json_doc *doc = model ? gr_json_parse(dir, model->config, strlen(model->config)) : NULL;
    gr_status status = doc ? GR_OK : gr_error_status();
    if (doc) {
        put_config(gr_model_describe(model), into);
        put_details(model, gr_json_root(doc), into);
    }
    gr_json_free(doc);
    gr_model_free(model);
    gr_device_close(device);
    return status;
}

/* Of an adapter, what its config says. */
static gr_status adapter_part(const char *dir, gr_json into)
{
    static const char *const keys[][2] = {{"base_model_name_or_path", "base"},
                                          {"peft_type", "adapter"},
                                          {"r", "rank"},
                                          {"lora_alpha", "alpha"},
                                          {"use_rslora", "rslora"},
                                          {"use_dora", "dora"},
                                          {"bias", "bias"},
                                          {"target_modules", "targets"},
                                          {"modules_to_save", "saved"},
                                          {"trainable_token_indices", "tokens"}};
    char *path = gr_path_join(dir, GR_ADAPTER_CONFIG);
    gr_json_doc *doc = path ? gr_json_read(path, GR_JSON_LIMIT) : NULL;
    gr_status status = doc ? gr_json_check(doc) : gr_error_status();
    for (size_t i = 0; doc && i < sizeof keys / sizeof *keys; i++) {
        gr_json v = gr_json_get(gr_json_root(doc), keys[i][0]);
        if (gr_json_is(v) && gr_json_type_of(v) != GR_JSON_OBJECT) /* tokens by modules' names are not shown */
            gr_json_put_copy(into, keys[i][1], v);
    }
    gr_json_free(doc);
    gr_free(path);
    return status;
}

/* The adapter of a GGUF file, which has no model beside it; NULL: it is none. */
static gr_gguf *open_gguf_adapter(const char *path)
{
    gr_gguf *g = gr_gguf_is_name(path) && gr_path_is_file(path) ? gr_gguf_open_first(path) : NULL;
    if (!g || gr_gguf_is_adapter(g))
        return g;
    gr_gguf_close(g);
    return NULL;
}

static void put_gguf_text(const gr_gguf *g, const char *key, const char *as, gr_json into)
{
    char shown[200];
    gr_gguf_text is = gr_gguf_text_of(g, key);
    if (is.size)
        gr_json_put_text(into, as, gr_printable(is.data, is.size, shown, sizeof shown));
}

/* Its rank is that of the widest A: it is said by tensors alone. */
static void gguf_adapter_part(const gr_gguf *g, gr_json into)
{
    int64_t rank = 0;
    double alpha;
    const gr_gguf_key *key = gr_gguf_find(g, GR_GGUF_LORA_ALPHA);
    put_gguf_text(g, "general.architecture", "arch", into);
    put_gguf_text(g, "adapter.type", "adapter", into);
    for (int i = 0; i < gr_gguf_tensors(g); i++) {
        const gr_weight *t = gr_gguf_tensor(g, i);
        size_t n = strlen(t->name);
        if (t->ndim == 2 && n > 7 && strcmp(t->name + n - 7, ".lora_b") == 0 && t->shape[1] > rank)
            rank = t->shape[1];
    }
    gr_json_put_int(into, "rank", rank);
    if (key && gr_gguf_real(key, 0, &alpha))
        gr_json_put_real(into, "alpha", alpha);
}

static void put_dtype(gr_json dtypes, const char *name, int64_t tensors, int64_t bytes)
{
    gr_json entry = gr_json_put_object(dtypes, name);
    gr_json_put_int(entry, "tensors", tensors);
    gr_json_put_int(entry, "bytes", bytes);
}

/* One more of a dtype that only files have. */
static void count_stored(gr_json dtypes, const gr_weight *t)
{
    gr_json before = gr_json_get(dtypes, gr_weight_dtype_name(t));
    int64_t tensors = gr_json_int(before, "tensors", 0, 0, INT64_MAX),
            bytes = gr_json_int(before, "bytes", 0, 0, INT64_MAX);
    put_dtype(dtypes, gr_weight_dtype_name(t), tensors + 1, bytes + (int64_t)t->bytes);
}

/* Tensors and bytes of each dtype. */
static gr_status weights_part(const char *dir, gr_json into)
{
    int64_t tensors[GR_DTYPE_LIMIT] = {0}, bytes[GR_DTYPE_LIMIT] = {0};
    gr_weights *weights = gr_checkpoint_weights(dir);
    if (!weights)
        return gr_error_status();
    gr_json dtypes = gr_json_put_object(into, "weights");
    for (int i = 0; i < gr_weights_count(weights); i++) {
        const gr_weight *t = gr_weights_entry(weights, i);
        if (t->stored)
            count_stored(dtypes, t);
        tensors[t->dtype] += !t->stored;
        bytes[t->dtype] += t->stored ? 0 : (int64_t)t->bytes;
    }
    for (int d = 0; d < GR_DTYPE_LIMIT; d++)
        if (tensors[d])
            put_dtype(dtypes, gr_dtype_name((gr_dtype)d), tensors[d], bytes[d]);
    gr_json_put_int(into, "weight_files", gr_weights_files(weights));
    gr_weights_close(weights);
    return GR_OK;
}

/* What its tokenizer.json is, and the special tokens in it. */
static void put_kind(const gr_tokenizer *t, gr_json into)
{
    size_t size;
    const char *text = gr_tokenizer_json(t, &size);
    gr_json_doc *doc = text ? gr_json_parse("tokenizer.json", text, size) : NULL;
    gr_json root = gr_json_root(doc), added = gr_json_get(root, "added_tokens");
    const char *kind = gr_json_text(gr_json_get(root, "model"), "type", NULL);
    int64_t special = 0;
    for (size_t i = 0; i < gr_json_size(added); i++)
        special += gr_json_bool(gr_json_item(added, i), "special", false);
    if (kind)
        gr_json_put_text(into, "kind", kind);
    gr_json_put_int(into, "special", special);
    gr_json_free(doc);
}

static gr_status tokenizer_part(const char *dir, gr_json into)
{
    bool there;
    gr_status status = gr_tokenizer_is_in(dir, &there);
    if (status != GR_OK)
        return status;
    if (!there) {
        gr_json_put_null(into, "tokenizer");
        return GR_OK;
    }
    gr_tokenizer *t = gr_tokenizer_load(dir);
    if (!t)
        return gr_error_status();
    gr_json entry = gr_json_put_object(into, "tokenizer");
    gr_json_put_int(entry, "tokens", gr_tokenizer_vocab_size(t));
    put_kind(t, entry);
    if (gr_tokenizer_bos(t) >= 0)
        gr_json_put_int(entry, "bos", gr_tokenizer_bos(t));
    if (gr_tokenizer_eos(t) >= 0)
        gr_json_put_int(entry, "eos", gr_tokenizer_eos(t));
    gr_tokenizer_free(t);
    return GR_OK;
}

static void put_file(const char *path, gr_json files)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    struct stat st;
    char shown[300];
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) /* a name need not be UTF-8, JSON must */
        gr_json_put_int(files, gr_printable(name, strlen(name), shown, sizeof shown), (int64_t)st.st_size);
}

/* Name and bytes of every file in the directory, or of all parts of a model that is no directory. */
static gr_status files_part(const char *dir, gr_json into)
{
    char **names;
    size_t n;
    bool is_dir = gr_path_is_dir(dir);
    gr_status status = is_dir ? gr_dir_list(dir, &names, &n) : gr_gguf_shards(dir, &names, &n);
    if (status != GR_OK)
        return status;
    gr_json files = gr_json_put_object(into, "files");
    for (size_t i = 0; status == GR_OK && i < n; i++) {
        char *path = is_dir ? gr_path_join(dir, names[i]) : gr_strdup(names[i]);
        if (path)
            put_file(path, files);
        status = path ? GR_OK : GR_ERR_MEMORY;
        gr_free(path);
    }
    gr_names_free(names, n);
    return status;
}

static gr_status fill(const char *dir, unsigned parts, gr_json into)
{
    gr_adapter_place adapter;
    gr_status s = gr_checkpoint_find_adapter(dir, &adapter);
    gr_gguf *alone = s == GR_OK ? open_gguf_adapter(dir) : NULL;
    if (alone && parts & GR_REPORT_MODEL)
        gguf_adapter_part(alone, into);
    gr_gguf_close(alone);
    if (alone)
        adapter = GR_ADAPTER_ALONE;
    if (s == GR_OK && parts & GR_REPORT_MODEL && adapter != GR_ADAPTER_ALONE)
        s = config_part(dir, into);
    if (s == GR_OK && parts & GR_REPORT_MODEL && adapter != GR_ADAPTER_NOT_THERE && !alone)
        s = adapter_part(dir, into);
    if (s == GR_OK && parts & GR_REPORT_WEIGHTS)
        s = weights_part(dir, into);
    if (s == GR_OK && parts & GR_REPORT_TOKENIZER)
        s = tokenizer_part(dir, into);
    return s == GR_OK && parts & GR_REPORT_FILES ? files_part(dir, into) : s;
}

char *gr_model_report(const char *dir, unsigned parts)
{
    if (gr_lacks(dir, "gr_model_report: dir"))
        return NULL;
    gr_json_doc *doc = gr_json_new("the report");
    gr_status s = doc ? fill(dir, parts, gr_json_root(doc)) : gr_error_status();
    char *text = s == GR_OK ? gr_json_format(doc, false, NULL) : NULL;
    gr_json_free(doc);
    return text;
}
