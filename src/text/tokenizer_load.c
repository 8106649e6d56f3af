/* Loading from a path, and which tokens begin and end a text. */
#include <stdio.h>
#include <string.h>
#include "text/files/convert.h"
#include "text/files/gguf.h"
#include "text/files/told_stages.h"
#include "text/tokenizer.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/file.h"

enum { JSON, VOCAB, MERGES, MODEL, TIKTOKEN, TEKKEN, WORDS, FILES }; /* of a directory */

/* tokenizer.json does not say which tokens begin and end a text; these names do, in this order. */
void gr_tokenizer_guess_ends(gr_tokenizer *t)
{
    static const char *const eos[] = {"<|endoftext|>", "<|end_of_text|>", "</s>", "<|im_end|>", "<eos>", "[SEP]"};
    static const char *const bos[] = {"<|begin_of_text|>", "<s>", "<bos>", "[CLS]", "<|endoftext|>"};
    for (size_t i = 0; i < sizeof eos / sizeof *eos && t->eos < 0; i++)
        t->eos = gr_tokenizer_id(t, eos[i]);
    for (size_t i = 0; i < sizeof bos / sizeof *bos && t->bos < 0; i++)
        t->bos = gr_tokenizer_id(t, bos[i]);
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
static gr_tokenizer *from_json(const char *path, gr_status s, gr_bytes *json)
{
    gr_tokenizer *t = s != GR_OK ? NULL : gr_tokenizer_from_json(json->data, json->size);
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

/* What a conversion asks besides its file. */
typedef struct asked {
    const gr_tokenizer_class *class;
    gr_beside *beside;
    bool with_bos; /* tekken.json */
} asked;

static gr_tokenizer *load_as(const char *path, gr_status (*convert)(const asked *a, gr_file_text file, gr_bytes *json),
                             asked a)
{
    gr_bytes json = {0};
    size_t size;
    char *data = gr_file_read(path, GR_JSON_LIMIT, &size);
    if (!data)
        return NULL;
    gr_status s = convert(&a, (gr_file_text){data, size}, &json);
    gr_free(data);
    return from_json(path, s, &json);
}

/* A tokenizer.model alone: what it is shows in its bytes. */
static gr_status convert_model_alone(const asked *a, gr_file_text file, gr_bytes *json)
{
    (void)a;
    return gr_is_tiktoken(file.data, file.size)
               ? gr_convert_tiktoken(NULL, "tokenizer.model", file.data, file.size, json)
               : gr_convert_sentencepiece("tokenizer.model", file.data, file.size, json);
}

static gr_status convert_tekken(const asked *a, gr_file_text file, gr_bytes *json)
{
    return gr_convert_tekken(file.data, file.size, a->with_bos, json);
}

static gr_status convert_words(const asked *a, gr_file_text file, gr_bytes *json)
{
    return gr_convert_vocab_txt(a->class, a->beside, file, json);
}

/* Files of this kind that the class cannot read. */
static gr_status refuse(const gr_tokenizer_class *c, const char *files, const char *classes)
{
    return gr_fail(GR_ERR_UNSUPPORTED,
                   "the tokenizer's class is %s, which cannot read %s\nname the class that made them, as "
                   "\"tokenizer_class\" of tokenizer_config.json (%s), or put its tokenizer.json there",
                   c->name, files, classes);
}

static gr_status convert_model(const asked *a, gr_file_text file, gr_bytes *json)
{
    if (gr_is_tiktoken(file.data, file.size))
        return gr_convert_tiktoken(a->beside, "tokenizer.model", file.data, file.size, json);
    if (a->class->reads != GR_READS_SENTENCEPIECE)
        return refuse(a->class, "a SentencePiece model", "LlamaTokenizer, GemmaTokenizer, TokenizersBackend");
    return gr_convert_sentencepiece_of(a->class, a->beside, "tokenizer.model", file.data, file.size, json);
}

static gr_tokenizer *load_merges(const char *dir, const char *const *path, const gr_tokenizer_class *c,
                                 const gr_beside *b)
{
    size_t vocab_size, merges_size;
    gr_bytes json = {0};
    char *vocab = gr_file_read(path[VOCAB], GR_JSON_LIMIT, &vocab_size);
    char *merges = vocab ? gr_file_read(path[MERGES], GR_JSON_LIMIT, &merges_size) : NULL;
    gr_status s = gr_error_status();
    if (merges)
        s = gr_convert_merges(c, b, (gr_file_text){vocab, vocab_size}, (gr_file_text){merges, merges_size}, &json);
    gr_free(vocab);
    gr_free(merges);
    return from_json(dir, s, &json);
}

/* The files that the class reads, or that every class reads; others there are not its own. */
static gr_tokenizer *load_parts(const char *dir, const char *const *path, const gr_tokenizer_class *c, gr_beside *b)
{
    bool merges = gr_path_is_file(path[VOCAB]) && gr_path_is_file(path[MERGES]);
    const asked a = {c, b, false};
    if (merges && c->reads == GR_READS_MERGES)
        return load_merges(dir, path, c, b);
    if (gr_path_is_file(path[WORDS]) && c->reads == GR_READS_WORD_PIECE)
        return load_as(path[WORDS], convert_words, a);
    if (gr_path_is_file(path[TEKKEN]))
        return load_as(path[TEKKEN], convert_tekken, a);
    if (gr_path_is_file(path[MODEL]) || gr_path_is_file(path[TIKTOKEN]))
        return load_as(gr_path_is_file(path[MODEL]) ? path[MODEL] : path[TIKTOKEN], convert_model, a);
    if (merges)
        refuse(c, "vocab.json and merges.txt",
               "GPT2Tokenizer, Qwen2Tokenizer, GPTNeoXTokenizer, RobertaTokenizer, CodeGenTokenizer");
    else if (gr_path_is_file(path[WORDS]))
        refuse(c, "vocab.txt", "BertTokenizer");
    else
        gr_fail(GR_ERR_FILE, "no tokenizer here: neither tokenizer.json, nor vocab.json and merges.txt, nor "
                             "tokenizer.model, tekken.json or vocab.txt\nsave the tokenizer beside the model");
    gr_fail_in("%s", dir);
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
    gr_status s = gr_apply_told_stages(c, b, &json, &size);
    gr_tokenizer *t = s != GR_OK ? NULL : gr_tokenizer_of(json, size);
    if (s != GR_OK)
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
        return load_as(path[TEKKEN], convert_tekken, (asked){.with_bos = true});
    if (!has_json && !merges && !b->any && gr_path_is_file(path[MODEL]))
        return load_as(path[MODEL], convert_model_alone, (asked){0});
    const gr_tokenizer_class *c = !has_json && is_bert(path, b) ? gr_class_bert() : gr_tokenizer_class_of(b, has_json);
    if (!c)
        gr_fail_in("%s", dir);
    gr_tokenizer *t = !c ? NULL : has_json ? load_json(path[JSON], c, b) : load_parts(dir, path, c, b);
    if (t && gr_tokenizer_add_beside(t, c, b, has_json) != GR_OK) {
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
    if (made && gr_beside_read(dir, &beside) == GR_OK)
        t = load_told(dir, (const char *const *)path, &beside);
    gr_beside_free(&beside);
    for (int i = 0; i < FILES; i++)
        gr_free(path[i]);
    return t;
}

/* A GGUF file says which tokens begin and end a text. */
static gr_tokenizer *load_gguf(const char *path)
{
    gr_gguf *file = gr_gguf_open_first(path);
    gr_bytes json = {0};
    gr_status s = file ? gr_convert_gguf(file, &json) : gr_error_status();
    gr_tokenizer *t = s == GR_OK ? from_json(path, s, &json) : NULL;
    gr_bytes_free(&json);
    if (t) {
        t->bos = gr_gguf_token(file, "bos");
        t->eos = gr_gguf_token(file, "eos");
    }
    gr_gguf_close(file);
    return t;
}

static gr_tokenizer *load(const char *path)
{
    if (gr_path_is_dir(path))
        return load_dir(path);
    if (gr_gguf_is_name(path))
        return load_gguf(path);
    if (gr_ends_with(path, ".model") || gr_ends_with(path, ".tiktoken"))
        return load_as(path, convert_model_alone, (asked){0});
    if (gr_ends_with(path, "tekken.json"))
        return load_as(path, convert_tekken, (asked){.with_bos = true});
    return load_file(path);
}

gr_tokenizer *gr_tokenizer_load(const char *path)
{
    return gr_lacks(path, "gr_tokenizer_load: path") ? NULL : gr_tokenizer_note(load(path));
}

gr_status gr_tokenizer_is_in(const char *dir, bool *there)
{
    static const char *const files[] = {"tokenizer.json", "vocab.json",  "tokenizer.model",
                                        "tiktoken.model", "tekken.json", "vocab.txt"};
    *there = false;
    if (gr_gguf_is_place(dir)) {
        gr_gguf *file = gr_gguf_open_first(dir);
        *there = file && gr_gguf_has_tokenizer(file);
        gr_gguf_close(file);
        return file ? GR_OK : gr_error_status();
    }
    for (size_t i = 0; !*there && i < sizeof files / sizeof *files; i++) {
        char *path = gr_path_join(dir, files[i]);
        if (!path)
            return GR_ERR_MEMORY;
        *there = gr_path_is_file(path);
        gr_free(path);
    }
    return GR_OK;
}
