/* Loading from a path, and which tokens begin and end a text. */
#include "text/files/convert.h"
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

/* json: what the files were converted to; freed. */
static gr_tokenizer *from_json(const char *path, gr_status status, gr_bytes *json)
{
    gr_tokenizer *t = status ? NULL : gr_tokenizer_from_json(json->data, json->size);
    gr_bytes_free(json);
    if (!t)
        gr_fail_in("%s", path);
    return t;
}

static gr_tokenizer *load_file(const char *path)
{
    size_t size;
    char *json = gr_file_read(path, GR_JSON_LIMIT, &size);
    if (!json)
        return NULL;
    gr_tokenizer *t = gr_tokenizer_of(json, size);
    if (!t)
        gr_fail_in("%s", path);
    return t;
}

static gr_tokenizer *load_sentencepiece(const char *path)
{
    size_t size;
    gr_bytes json = {0};
    char *data = gr_file_read(path, GR_JSON_LIMIT, &size);
    if (!data)
        return NULL;
    gr_status status = gr_convert_sentencepiece("tokenizer.model", data, size, &json);
    gr_free(data);
    return from_json(path, status, &json);
}

static gr_tokenizer *load_merges(const char *dir, const char *vocab_path, const char *merges_path)
{
    size_t vocab_size, merges_size;
    gr_bytes json = {0};
    char *vocab = gr_file_read(vocab_path, GR_JSON_LIMIT, &vocab_size);
    char *merges = vocab ? gr_file_read(merges_path, GR_JSON_LIMIT, &merges_size) : NULL;
    gr_status status = merges ? gr_convert_merges(vocab, vocab_size, merges, merges_size, &json) : gr_error_status();
    gr_free(vocab);
    gr_free(merges);
    return from_json(dir, status, &json);
}

/* A directory's files by age of their format: tokenizer.json, vocab.json with merges.txt, tokenizer.model. */
static gr_tokenizer *load_dir(const char *dir)
{
    static const char *const names[] = {"tokenizer.json", "vocab.json", "merges.txt", "tokenizer.model",
                                        "tokenizer_config.json"};
    char *path[5] = {0};
    gr_tokenizer *t = NULL;
    bool made = true;
    for (int i = 0; i < 5 && made; i++)
        made = (path[i] = gr_path_join(dir, names[i])) != NULL;
    if (made && gr_path_is_file(path[0]))
        t = load_file(path[0]);
    else if (made && gr_path_is_file(path[1]) && gr_path_is_file(path[2]))
        t = load_merges(dir, path[1], path[2]);
    else if (made && gr_path_is_file(path[3]))
        t = load_sentencepiece(path[3]);
    else if (made)
        gr_fail(GR_ERR_FILE,
                "%s: no tokenizer here: neither tokenizer.json, nor vocab.json and merges.txt, nor "
                "tokenizer.model\nsave the tokenizer beside the model",
                dir);
    if (t && gr_path_is_file(path[4]) && read_config(t, path[4])) {
        gr_tokenizer_free(t);
        t = NULL;
    }
    for (int i = 0; i < 5; i++)
        gr_free(path[i]);
    return t;
}

gr_tokenizer *gr_tokenizer_load(const char *path)
{
    if (gr_path_is_dir(path))
        return load_dir(path);
    return ends_with(path, ".model") ? load_sentencepiece(path) : load_file(path);
}
