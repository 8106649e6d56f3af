/* Tokenizers of pieces written as keys of a GGUF file: read again they give the ids of the tokenizers package. */
#include "base/utf8.h"
#include "text_cases.h"

#include "format/gguf_write.h"
#include "text/tokenizer_gguf.h"

/* What a file with its keys has as a tokenizer; NULL: gr_error(). *exact: its settings say all of it. */
static gr_tokenizer *there_and_back(gr_tokenizer *t, bool *exact)
{
    size_t size;
    gr_gguf_keys keys = {0};
    gr_bytes file = {0}, json = {0};
    CHECK(gr_tokenizer_json(t, &size));
    gr_status s = gr_gguf_put_tokenizer(t, NULL, gr_tokenizer_vocab_size(t) + 3, &keys);
    if (s == GR_OK)
        s = gr_gguf_keys_alone(&keys, &file);
    gr_gguf *g = s == GR_OK ? gr_gguf_parse("keys", file.data, file.size) : NULL;
    *exact = g && !gr_gguf_find(g, "tokenizer.huggingface.json");
    if (g)
        s = gr_convert_gguf(g, &json);
    gr_tokenizer *is = g && s == GR_OK ? gr_tokenizer_from_json(json.data, json.size) : NULL;
    gr_gguf_close(g);
    gr_gguf_keys_free(&keys);
    gr_bytes_free(&file);
    gr_bytes_free(&json);
    return is;
}

/* says NULL: it can be written. */
static void check(const char *path, const char *cases, bool must_be_exact, const char *says)
{
    bool exact;
    NOTE("%s", path);
    gr_tokenizer *t = gr_tokenizer_load(path);
    CHECK_MADE(t);
    gr_tokenizer *is = there_and_back(t, &exact);
    if (says) {
        CHECK(!is);
        CHECK_ERROR(GR_ERR_UNSUPPORTED, says);
    } else {
        CHECK_MADE(is);
        CHECK(exact == must_be_exact);
        CHECK(check_cases(is, cases) > 5);
    }
    gr_tokenizer_free(is);
    gr_tokenizer_free(t);
}

static void check_named(const char *name, bool exact, const char *says)
{
    char path[300], cases[300];
    snprintf(path, sizeof path, "%s/%s.json", test_source("tests/data/tokenizers"), name);
    snprintf(cases, sizeof cases, "%s/%s.jsonl", test_source("tests/data/tokenizers"), name);
    check(path, cases, exact, says);
}

TEST(pieces)
{
    check_named("llama2", false, NULL);
}

/* Both give the same ids for the texts of a file of cases. */
static void check_alike(gr_tokenizer *t, gr_tokenizer *is, const char *path)
{
    size_t size, n, m;
    char *file = gr_file_read(path, 100 << 20, &size);
    CHECK_MADE(file);
    for (char *line = file, *end; (end = memchr(line, '\n', (size_t)(file + size - line))); line = end + 1) {
        const gr_token *a, *b;
        gr_json_doc *doc = gr_json_parse("case", line, (size_t)(end - line));
        CHECK_MADE(doc);
        const char *text = gr_json_as_text(gr_json_get(gr_json_root(doc), "text"), &n);
        size_t bytes = n;
        CHECK_OK(gr_tokenizer_encode(t, text, bytes, GR_PARSE_SPECIAL | GR_ADD_SPECIAL, &a, &n));
        CHECK_OK(gr_tokenizer_encode(is, text, bytes, GR_PARSE_SPECIAL | GR_ADD_SPECIAL, &b, &m));
        CHECK(n == m && memcmp(a, b, n * sizeof *a) == 0);
        gr_json_free(doc);
    }
    gr_free(file);
}

static void check_dir(const char *dir, const char *file, bool must_be_exact)
{
    bool exact;
    char path[600];
    snprintf(path, sizeof path, "%s/%s%s", test_source("tests/data/tokenizer_dirs"), dir, file);
    NOTE("%s", path);
    gr_tokenizer *t = gr_tokenizer_load(path), *is = there_and_back(t, &exact);
    CHECK_MADE(is);
    CHECK(exact == must_be_exact);
    snprintf(path, sizeof path, "%s/%s/cases.jsonl", test_source("tests/data/tokenizer_dirs"), dir);
    check_alike(t, is, path);
    gr_tokenizer_free(is);
    gr_tokenizer_free(t);
}

/* Without Metaspace's eye for spaces that are there already, and with it. */
TEST(sentencepiece)
{
    check_dir("rules-bpe", "/tokenizer.model", true);
    check_dir("rules-unigram", "/tokenizer.model", true);
    check_dir("rules-llama", "", false);
}

TEST(llama2)
{
    char path[1024];
    snprintf(path, sizeof path, "%s", test_shared("data/tokenizers/llama2/tokenizer.json"));
    check(path, test_shared("data/tokenizers/llama2/cases.jsonl"), true, NULL);
}

TEST(refused)
{
    check_named("word-level", true, "of the kind \"WordLevel\"");
    check_named("normalize-nfkc", true, "cannot be written");
    check_named("affixes", true, "in the order of their tokens");
    check_named("templates", true, "neither what begins nor what ends one");
}
