/* Loading from a path, and which tokens begin and end a text. */
#include "text/tokenizer.h"
#include "base/error.h"
#include "base/file.h"

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* tokenizer.json does not say which tokens begin and end a text; these names do, in this order. */
void gr_tokenizer_guess_ends(gr_tokenizer *t)
{
    static const char *const eos[] = {"<|endoftext|>", "<|end_of_text|>", "</s>", "<|im_end|>", "<eos>", "[SEP]"};
    static const char *const bos[] = {"<|begin_of_text|>", "<s>", "<bos>", "[CLS]", "<|endoftext|>"};
    for (size_t i = 0; i < sizeof eos / sizeof *eos && t->eos < 0; i++)
        t->eos = (int32_t)gr_tokenizer_id(t, eos[i]);
    for (size_t i = 0; i < sizeof bos / sizeof *bos && t->bos < 0; i++)
        t->bos = (int32_t)gr_tokenizer_id(t, bos[i]);
}

/* "eos_token": "</s>" or {"content": "</s>"}; null: there is none. */
static void read_end(const gr_tokenizer *t, gr_json root, const char *key, int32_t *id)
{
    gr_json value = gr_json_get(root, key);
    if (gr_json_type_of(value) == GR_JSON_OBJECT)
        value = gr_json_get(value, "content");
    if (gr_json_type_of(value) == GR_JSON_NULL)
        *id = -1;
    if (gr_json_type_of(value) == GR_JSON_TEXT)
        *id = (int32_t)gr_tokenizer_id(t, gr_json_as_text(value, &(size_t){0}));
}

static gr_status read_config(gr_tokenizer *t, const char *path)
{
    gr_json_doc *doc = gr_json_read(path, GR_JSON_LIMIT);
    if (!doc)
        return gr_error_status();
    read_end(t, gr_json_root(doc), "bos_token", &t->bos);
    read_end(t, gr_json_root(doc), "eos_token", &t->eos);
    gr_status status = gr_json_check(doc);
    gr_json_free(doc);
    return status;
}

static gr_tokenizer *load_file(const char *path)
{
    size_t size;
    char *json = gr_file_read(path, GR_JSON_LIMIT, &size);
    if (!json)
        return NULL;
    gr_tokenizer *t = gr_tokenizer_from_json(json, size);
    gr_free(json);
    if (!t)
        gr_fail_in("%s", path);
    return t;
}

static gr_tokenizer *load_dir(const char *dir)
{
    char *file = gr_path_join(dir, "tokenizer.json"), *config = gr_path_join(dir, "tokenizer_config.json");
    gr_tokenizer *t = NULL;
    if (file && config && !gr_path_is_file(file))
        gr_fail(GR_ERR_FILE, "%s: there is no tokenizer.json in this directory", dir);
    else if (file && config)
        t = load_file(file);
    if (t && gr_path_is_file(config) && read_config(t, config)) {
        gr_tokenizer_free(t);
        t = NULL;
    }
    gr_free(file);
    gr_free(config);
    return t;
}

gr_tokenizer *gr_tokenizer_load(const char *path)
{
    if (gr_path_is_dir(path))
        return load_dir(path);
    if (!gr_path_is_file(path) || ends_with(path, ".json"))
        return load_file(path);
    gr_fail(GR_ERR_UNSUPPORTED, "%s: not a tokenizer.json, nor a directory with one", path);
    return NULL;
}
