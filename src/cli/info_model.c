/* gradus info MODEL: read from the headers of its files, nothing is loaded. */
#include <string.h>
#include <sys/stat.h>
#include "base/dtype.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/human.h"
#include "cli/info.h"
#include "cli/open.h"
#include "cli/term.h"
#include "model/model.h"
#include "train/run_dir.h"

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
    gr_entry e;
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
        if (kind != NULL)
            return kind;
    }
    return m->h.learned_positions ? "learned" : "default";
}

static void put_details(const gr_model *m, gr_json c, gr_json into)
{
    static const char *const acts[] = {"activation_function", "hidden_act", "hidden_activation"};
    int64_t sliding = 0;
    for (int i = 0; i < m->h.layers; i++)
        sliding += gr_model_window(m, i) > 0;
    gr_json_put_int(into, "embedding_parameters", embedding_parameters(m));
    gr_json_put_text(into, m->h.learned_positions ? "positions" : "rope", positions_of(m, c));
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        if (gr_json_type_of(gr_json_get(c, acts[i])) == GR_JSON_TEXT)
            gr_json_put_text(into, "activation", gr_json_text(c, acts[i], ""));
    if (sliding > 0) {
        gr_json_put_int(into, "window", m->h.window);
        gr_json_put_int(into, "sliding_layers", sliding);
    }
}

static gr_status config_part(const char *dir, gr_json into)
{
    size_t size = 0;
    char *path = gr_path_join(dir, "config.json");
    char *text = path ? gr_file_read(path, GR_JSON_LIMIT, &size) : NULL;
    gr_device *device = text ? gr_device_open("ref", 1) : NULL;
    const gr_load_options declared = {.declare_only = true}; /* a head of its own is in the weights only */
    gr_model *model = !device                  ? NULL
                      : gr_weights_are_in(dir) ? gr_model_load(dir, &declared, device)
                                               : gr_model_new(path, text, size, device);
    gr_json_doc *doc = model ? gr_json_parse(path, text, size) : NULL;
    gr_status status = doc ? GR_OK : gr_error_status();
    if (doc != NULL) {
        put_config(gr_model_describe(model), into);
        put_details(model, gr_json_root(doc), into);
    }
    gr_json_free(doc);
    gr_model_free(model);
    gr_device_close(device);
    gr_free(text);
    gr_free(path);
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

static void put_dtype(gr_json dtypes, const char *name, int64_t tensors, int64_t bytes)
{
    gr_json entry = gr_json_put_object(dtypes, name);
    gr_json_put_int(entry, "tensors", tensors);
    gr_json_put_int(entry, "bytes", bytes);
}

/* One more of a dtype that only files have. */
static void count_stored(gr_json dtypes, const gr_weight *t)
{
    gr_json before = gr_json_get(dtypes, t->stored->safetensors);
    int64_t tensors = gr_json_int(before, "tensors", 0, 0, INT64_MAX),
            bytes = gr_json_int(before, "bytes", 0, 0, INT64_MAX);
    put_dtype(dtypes, t->stored->safetensors, tensors + 1, bytes + (int64_t)t->bytes);
}

/* Tensors and bytes of each dtype. */
static gr_status weights_part(const char *dir, gr_json into)
{
    int64_t tensors[GR_DTYPE_LIMIT] = {0}, bytes[GR_DTYPE_LIMIT] = {0};
    gr_weights *weights = gr_checkpoint_weights(dir);
    if (weights == NULL)
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
    if (kind != NULL)
        gr_json_put_text(into, "kind", kind);
    gr_json_put_int(into, "special", special);
    gr_json_free(doc);
}

static gr_status tokenizer_part(const char *dir, gr_json into)
{
    gr_opened o = {.path = (char *)dir};
    gr_status status = gr_open_tokenizer(&o);
    if (status != GR_OK)
        return status;
    if (o.tokenizer == NULL) {
        gr_json_put_null(into, "tokenizer");
        return GR_OK;
    }
    gr_json entry = gr_json_put_object(into, "tokenizer");
    gr_json_put_int(entry, "tokens", gr_tokenizer_vocab_size(o.tokenizer));
    put_kind(o.tokenizer, entry);
    if (gr_tokenizer_bos(o.tokenizer) >= 0)
        gr_json_put_int(entry, "bos", gr_tokenizer_bos(o.tokenizer));
    if (gr_tokenizer_eos(o.tokenizer) >= 0)
        gr_json_put_int(entry, "eos", gr_tokenizer_eos(o.tokenizer));
    gr_tokenizer_free(o.tokenizer);
    return GR_OK;
}

/* Name and bytes of every file in the directory. */
static gr_status files_part(const char *dir, gr_json into)
{
    char **names;
    size_t n;
    gr_status status = gr_dir_list(dir, &names, &n);
    if (status != GR_OK)
        return status;
    gr_json files = gr_json_put_object(into, "files");
    for (size_t i = 0; status == GR_OK && i < n; i++) {
        struct stat st;
        char name[300];
        char *path = gr_path_join(dir, names[i]);
        status = path ? GR_OK : GR_ERR_MEMORY;
        if (path != NULL && stat(path, &st) == 0 && S_ISREG(st.st_mode)) /* a name need not be UTF-8, JSON must */
            gr_json_put_int(files, gr_printable(names[i], strlen(names[i]), name, sizeof name), (int64_t)st.st_size);
        gr_free(path);
    }
    gr_names_free(names, n);
    return status;
}

gr_status gr_info_model(const char *path, gr_json into)
{
    char *dir = gr_checkpoint_resolve(path);
    if (dir == NULL)
        return gr_error_status();
    gr_json_put_path(into, "path", dir);
    bool is_adapter = gr_checkpoint_is_adapter(dir);
    gr_status status = is_adapter ? GR_OK : config_part(dir, into);
    if (status == GR_OK && gr_checkpoint_has_adapter(dir))
        status = adapter_part(dir, into);
    if (status == GR_OK)
        status = weights_part(dir, into);
    if (status == GR_OK)
        status = tokenizer_part(dir, into);
    if (status == GR_OK)
        status = files_part(dir, into);
    gr_free(dir);
    return status;
}

static void print_weights(gr_json dtypes)
{
    for (gr_json_iter it = gr_json_first(dtypes); it.key; gr_json_next(&it))
        gr_out("%-12s %s tensors of %s, %s\n", "weights",
               gr_human_integer(gr_json_as_int(gr_json_get(it.value, "tensors"), 0, INT64_MAX)).s, it.key,
               gr_human_bytes((double)gr_json_as_int(gr_json_get(it.value, "bytes"), 0, INT64_MAX)).s);
}

static void print_tokenizer(gr_json t)
{
    gr_out("%-12s %s tokens", "tokenizer", gr_human_integer(gr_json_as_int(gr_json_get(t, "tokens"), 0, INT64_MAX)).s);
    for (gr_json_iter it = gr_json_first(t); it.key; gr_json_next(&it))
        if (strcmp(it.key, "kind") == 0)
            gr_out(", %s", gr_json_as_text(it.value, NULL));
        else if (strcmp(it.key, "tokens") != 0)
            gr_out(", %s %lld", it.key, (long long)gr_json_as_int(it.value, 0, INT64_MAX));
    gr_out("\n");
}

static void print_files(gr_json files)
{
    char name[200];
    for (gr_json_iter it = gr_json_first(files); it.key; gr_json_next(&it))
        gr_out("%-12s %s, %s\n", "file", gr_printable(it.key, strlen(it.key), name, sizeof name),
               gr_human_bytes((double)gr_json_as_int(it.value, 0, INT64_MAX)).s);
}

static void print_list(const char *key, gr_json list)
{
    char text[100];
    gr_out("%-12s", key);
    for (size_t i = 0; i < gr_json_size(list); i++) {
        gr_json v = gr_json_item(list, i);
        if (gr_json_type_of(v) == GR_JSON_INT) {
            gr_out("%s %lld", i ? "," : "", (long long)gr_json_as_int(v, INT64_MIN, INT64_MAX));
            continue;
        }
        const char *item = gr_json_type_of(v) == GR_JSON_TEXT ? gr_json_as_text(v, NULL) : "?";
        gr_out("%s %s", i ? "," : "", gr_printable(item, strlen(item), text, sizeof text));
    }
    gr_out("\n");
}

static void print_object(const char *key, gr_json value)
{
    if (strcmp(key, "tokenizer") == 0)
        print_tokenizer(value);
    else if (strcmp(key, "files") == 0)
        print_files(value);
    else
        print_weights(value);
}

/* Keys that are wider than their column. */
static const char *label_of(const char *key)
{
    return strcmp(key, "embedding_parameters") == 0 ? "embedding"
           : strcmp(key, "sliding_layers") == 0     ? "sliding"
                                                    : key;
}

void gr_info_print_model(gr_json model)
{
    for (gr_json_iter it = gr_json_first(model); it.key; gr_json_next(&it)) {
        gr_json_type type = gr_json_type_of(it.value);
        char text[300];
        if (type == GR_JSON_OBJECT)
            print_object(it.key, it.value);
        else if (type == GR_JSON_ARRAY)
            print_list(it.key, it.value);
        else if (type == GR_JSON_REAL)
            gr_out("%-12s %g\n", it.key, gr_json_as_real(it.value, -1e300, 1e300));
        else if (type == GR_JSON_NULL)
            gr_out("%-12s none\n", it.key);
        else if (type == GR_JSON_INT)
            gr_out("%-12s %s\n", label_of(it.key), gr_human_integer(gr_json_as_int(it.value, INT64_MIN, INT64_MAX)).s);
        else if (type == GR_JSON_BOOL)
            gr_out("%-12s %s\n", it.key, gr_json_as_bool(it.value) ? "yes" : "no");
        else if (type == GR_JSON_TEXT) {
            const char *value = gr_json_as_path(it.value);
            gr_out("%-12s %s\n", it.key, gr_printable(value, strlen(value), text, sizeof text));
        }
    }
}
