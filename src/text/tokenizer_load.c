/* Loading from a path, and which tokens begin and end a text. */
#include <stdio.h>
#include <string.h>
#include "text/files/convert.h"
#include "text/files/told_stages.h"
#include "text/tokenizer.h"
#include "base/error.h"
#include "base/file.h"

enum { JSON, VOCAB, MERGES, MODEL, TIKTOKEN, TEKKEN, WORDS, FILES }; /* of a directory */

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

/* What is made of a text is called tokenizer.json in messages, and other files by their names; here they have a path. */
static void name_file(const char *path)
{
    const char *slash = strrchr(path, '/'), *const names[] = {slash ? slash + 1 : path, "tokenizer.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i]);
        if (strncmp(gr_error(), names[i], n) != 0 || gr_error()[n] != ':')
            continue;
        gr_fail(gr_error_status(), "%s%s", path, gr_error() + n);
        return;
    }
    gr_fail_in("%s", path);
}

/* json: what the files were converted to; freed. */
static gr_tokenizer *from_json(const char *path, gr_status status, gr_bytes *json)
{
    gr_tokenizer *t = status ? NULL : gr_tokenizer_from_json(json->data, json->size);
    gr_bytes_free(json);
    if (!t)
        name_file(path);
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
        name_file(path);
    return t;
}

/* A tokenizer.model alone: what it is shows in its bytes. */
static gr_tokenizer *load_model_alone(const char *path)
{
    size_t size;
    gr_bytes json = {0};
    char *data = gr_file_read(path, GR_JSON_LIMIT, &size);
    if (!data)
        return NULL;
    gr_status status = gr_is_tiktoken(data, size) ? gr_convert_tiktoken(NULL, "tokenizer.model", data, size, &json)
                                                  : gr_convert_sentencepiece("tokenizer.model", data, size, &json);
    gr_free(data);
    return from_json(path, status, &json);
}

static gr_tokenizer *load_tekken(const char *path, bool with_bos)
{
    size_t size;
    gr_bytes json = {0};
    char *data = gr_file_read(path, GR_JSON_LIMIT, &size);
    if (!data)
        return NULL;
    gr_status status = gr_convert_tekken(data, size, with_bos, &json);
    gr_free(data);
    return from_json(path, status, &json);
}

static gr_tokenizer *load_words(const char *path, const gr_tokenizer_class *c, const gr_beside *b)
{
    size_t size;
    gr_bytes json = {0};
    char *data = gr_file_read(path, GR_JSON_LIMIT, &size);
    if (!data)
        return NULL;
    gr_status status = gr_convert_vocab_txt(c, b, (gr_file_text){data, size}, &json);
    gr_free(data);
    return from_json(path, status, &json);
}

static gr_tokenizer *load_merges(const char *dir, const char *const *path, const gr_tokenizer_class *c,
                                 const gr_beside *b)
{
    size_t vocab_size, merges_size;
    gr_bytes json = {0};
    char *vocab = gr_file_read(path[VOCAB], GR_JSON_LIMIT, &vocab_size);
    char *merges = vocab ? gr_file_read(path[MERGES], GR_JSON_LIMIT, &merges_size) : NULL;
    gr_status status = gr_error_status();
    if (merges)
        status = gr_convert_merges(c, b, (gr_file_text){vocab, vocab_size}, (gr_file_text){merges, merges_size}, &json);
    gr_free(vocab);
    gr_free(merges);
    return from_json(dir, status, &json);
}

/* Files of this kind that the class cannot read. */
static gr_tokenizer *refuse(const char *dir, const gr_tokenizer_class *c, const gr_beside *b, const char *files,
                            const char *classes)
{
    const char *told = b->tokenizer_class ? b->tokenizer_class : b->model_class;
    char also[100] = "", shown[60];
    if (told && strcmp(c->name, "TokenizersBackend") == 0 && strcmp(told, c->name) != 0)
        snprintf(also, sizeof also, "%s, to transformers ", gr_printable(told, strlen(told), shown, sizeof shown));
    gr_fail(GR_ERR_UNSUPPORTED,
            "%s: the tokenizer's class is %s%s, which cannot read %s\nname the class that made them, as "
            "\"tokenizer_class\" of tokenizer_config.json (%s), or put its tokenizer.json there",
            dir, also, c->name, files, classes);
    return NULL;
}

static gr_tokenizer *load_model(const char *dir, const char *path, const gr_tokenizer_class *c, gr_beside *b)
{
    size_t size;
    gr_bytes json = {0};
    char *data = gr_file_read(path, GR_JSON_LIMIT, &size);
    if (!data)
        return NULL;
    bool lines = gr_is_tiktoken(data, size);
    if (!lines && c->reads != GR_READS_SENTENCEPIECE) {
        gr_free(data);
        return refuse(dir, c, b, "tokenizer.model", "LlamaTokenizer, GemmaTokenizer, TokenizersBackend");
    }
    gr_status status = lines ? gr_convert_tiktoken(b, "tokenizer.model", data, size, &json)
                             : gr_convert_sentencepiece_of(c, b, "tokenizer.model", data, size, &json);
    gr_free(data);
    return from_json(path, status, &json);
}

/* The files that the class reads, or that every class reads; others there are not its own. */
static gr_tokenizer *load_parts(const char *dir, const char *const *path, const gr_tokenizer_class *c, gr_beside *b)
{
    bool merges = gr_path_is_file(path[VOCAB]) && gr_path_is_file(path[MERGES]);
    if (merges && c->reads == GR_READS_MERGES)
        return load_merges(dir, path, c, b);
    if (gr_path_is_file(path[WORDS]) && c->reads == GR_READS_WORD_PIECE)
        return load_words(path[WORDS], c, b);
    if (gr_path_is_file(path[TEKKEN]))
        return load_tekken(path[TEKKEN], false);
    if (gr_path_is_file(path[MODEL]) || gr_path_is_file(path[TIKTOKEN]))
        return load_model(dir, gr_path_is_file(path[MODEL]) ? path[MODEL] : path[TIKTOKEN], c, b);
    if (merges)
        return refuse(dir, c, b, "vocab.json and merges.txt",
                      "GPT2Tokenizer, Qwen2Tokenizer, GPTNeoXTokenizer, RobertaTokenizer, CodeGenTokenizer");
    if (gr_path_is_file(path[WORDS]))
        return refuse(dir, c, b, "vocab.txt", "BertTokenizer");
    gr_fail(GR_ERR_FILE,
            "%s: no tokenizer here: neither tokenizer.json, nor vocab.json and merges.txt, nor tokenizer.model, "
            "tekken.json or vocab.txt\nsave the tokenizer beside the model",
            dir);
    return NULL;
}

/* vocab.txt and nothing that says otherwise: BERT's. */
static bool is_bert(const char *const *path, const gr_beside *b)
{
    bool told = (b->tokenizer_class && *b->tokenizer_class) || (b->model_class && *b->model_class);
    return !told && gr_path_is_file(path[WORDS]) && !gr_path_is_file(path[VOCAB]) && !gr_path_is_file(path[MODEL]) &&
           !gr_path_is_file(path[TEKKEN]) && !gr_path_is_file(path[TIKTOKEN]);
}

static gr_tokenizer *load_json(const char *path, const gr_tokenizer_class *c, const gr_beside *b)
{
    size_t size;
    char *json = gr_file_read(path, GR_JSON_LIMIT, &size);
    if (!json)
        return NULL;
    gr_status status = gr_apply_told_stages(c, b, &json, &size);
    gr_tokenizer *t = status ? NULL : gr_tokenizer_of(json, size);
    if (status)
        gr_free(json);
    if (!t)
        name_file(path);
    return t;
}

/* tokenizer.json, and what the files beside it add; else what the class makes of older files. */
static gr_tokenizer *load_told(const char *dir, const char *const *path, gr_beside *b)
{
    bool has_json = gr_path_is_file(path[JSON]);
    bool merges = gr_path_is_file(path[VOCAB]) && gr_path_is_file(path[MERGES]);
    if (!has_json && !merges && gr_path_is_file(path[TEKKEN]) && gr_class_is_mistral(b))
        return load_tekken(path[TEKKEN], true);
    if (!has_json && !merges && !b->any && gr_path_is_file(path[MODEL]))
        return load_model_alone(path[MODEL]);
    const gr_tokenizer_class *c = !has_json && is_bert(path, b) ? gr_class_bert() : gr_tokenizer_class_of(b, has_json);
    if (!c)
        gr_fail_in("%s", dir);
    gr_tokenizer *t = !c ? NULL : has_json ? load_json(path[JSON], c, b) : load_parts(dir, path, c, b);
    if (t && gr_tokenizer_add_beside(t, c, b, has_json)) {
        gr_fail_in("%s", dir);
        gr_tokenizer_free(t);
        t = NULL;
    }
    return t;
}

static gr_tokenizer *load_dir(const char *dir)
{
    static const char *const names[] = {"tokenizer.json", "vocab.json",  "merges.txt", "tokenizer.model",
                                        "tiktoken.model", "tekken.json", "vocab.txt"};
    char *path[FILES] = {0};
    gr_beside beside = {0};
    gr_tokenizer *t = NULL;
    bool made = true;
    for (int i = 0; i < FILES && made; i++)
        made = (path[i] = gr_path_join(dir, names[i])) != NULL;
    if (made && !gr_beside_read(dir, &beside))
        t = load_told(dir, (const char *const *)path, &beside);
    gr_beside_free(&beside);
    for (int i = 0; i < FILES; i++)
        gr_free(path[i]);
    return t;
}

gr_tokenizer *gr_tokenizer_load(const char *path)
{
    if (gr_lacks(path, "gr_tokenizer_load: path"))
        return NULL;
    if (gr_path_is_dir(path))
        return load_dir(path);
    if (ends_with(path, ".model") || ends_with(path, ".tiktoken"))
        return load_model_alone(path);
    if (ends_with(path, "tekken.json"))
        return load_tekken(path, true);
    return load_file(path);
}
