/* Tokenizer directories against what AutoTokenizer of transformers makes of them: tools/oracle/make_beside.py. */
#include "base/utf8.h"
#include "base/file.h"
#include "text_cases.h"
#include "text/tokenizer.h"

static const char *base_file(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "tests/data/tokenizers/beside/%s", name);
    return test_source(path);
}

static void copy_base(const char *dir, const char *base)
{
    static const char *const files[][2] = {
        {"merges", "vocab.json"}, {"merges", "merges.txt"}, {"model", "tokenizer.model"}, {"json", "tokenizer.json"}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        size_t size;
        if (strcmp(files[i][0], base) != 0)
            continue;
        char *data = gr_file_read(base_file(files[i][1]), 1 << 20, &size);
        CHECK_MADE(data);
        CHECK_OK(gr_file_write(test_join(dir, files[i][1]), data, size));
        gr_free(data);
    }
}

static void write_value(const char *dir, const char *name, gr_json value)
{
    gr_json_doc *doc = gr_json_new(name);
    for (gr_json_iter it = gr_json_first(value); it.key; gr_json_next(&it))
        gr_json_put_copy(gr_json_root(doc), it.key, it.value);
    CHECK_OK(gr_json_write(doc, test_join(dir, name)));
    gr_json_free(doc);
}

static void check_texts(gr_tokenizer *t, gr_json row)
{
    gr_json texts = gr_json_get(row, "texts");
    for (size_t i = 0; i < gr_json_size(texts); i++) {
        size_t size, n;
        const int32_t *ids;
        const char *text = gr_json_as_text(gr_json_item(texts, i), &size);
        CHECK_OK(gr_tokenizer_encode(t, text, size, GR_PARSE_SPECIAL, &ids, &n));
        if (!same_ids(gr_json_item(gr_json_get(row, "ids"), i), ids, n))
            FAIL("text %zu: other ids", i);
        CHECK_OK(gr_tokenizer_encode(t, text, size, GR_PARSE_SPECIAL | GR_ADD_SPECIAL, &ids, &n));
        if (!same_ids(gr_json_item(gr_json_get(row, "ids_special"), i), ids, n))
            FAIL("text %zu: other ids with special tokens", i);
    }
}

/* What is loaded, and what its text is loaded as again. */
static void check_row(gr_json row, const char *dir)
{
    gr_json files = gr_json_get(row, "files");
    CHECK_OK(gr_dir_make(dir));
    copy_base(dir, gr_json_text(row, "base", ""));
    for (gr_json_iter it = gr_json_first(files); it.key; gr_json_next(&it))
        write_value(dir, it.key, it.value);
    gr_tokenizer *t = gr_tokenizer_load(dir);
    if (gr_json_is(gr_json_get(row, "refused"))) {
        CHECK(!t);
        CHECK(strstr(gr_error(), "token"));
        return;
    }
    CHECK_MADE(t);
    check_texts(t, row);
    size_t size;
    const char *json = gr_tokenizer_json(t, &size);
    gr_tokenizer *again = gr_tokenizer_from_json(json, size);
    CHECK_MADE(again);
    check_texts(again, row);
    gr_tokenizer_free(again);
    gr_tokenizer_free(t);
}

TEST(as_auto_tokenizer)
{
    size_t size;
    char *file = gr_file_read(base_file("cases.jsonl"), 1 << 24, &size), dir[600];
    int count = 0;
    CHECK_MADE(file);
    for (char *line = file, *end; (end = memchr(line, '\n', (size_t)(file + size - line))); line = end + 1) {
        gr_json_doc *doc = gr_json_parse("case", line, (size_t)(end - line));
        CHECK_MADE(doc);
        NOTE("case %d", ++count);
        snprintf(dir, sizeof dir, "%s/%d", test_dir(), count);
        check_row(gr_json_root(doc), dir);
        gr_json_free(doc);
    }
    gr_free(file);
    CHECK(count > 40);
}

/* ---- hostile and unusual files ------------------------------------------------------------------------------ */

static gr_tokenizer *load_with(const char *base, const char *name, const char *text)
{
    static const char class[] = "{\"tokenizer_class\": \"GPT2Tokenizer\"}";
    static int count;
    char dir[600];
    snprintf(dir, sizeof dir, "%s/with-%d", test_dir(), count++);
    CHECK_OK(gr_dir_make(dir));
    copy_base(dir, base);
    CHECK_OK(gr_file_write(test_join(dir, name), text, strlen(text)));
    if (strcmp(name, "tokenizer_config.json") != 0)
        CHECK_OK(gr_file_write(test_join(dir, "tokenizer_config.json"), class, sizeof class - 1));
    return gr_tokenizer_load(dir);
}

static void check_refused(const char *name, const char *text, const char *says)
{
    NOTE("%s: %.150s", name, text);
    CHECK(!load_with("merges", name, text));
    CHECK(strstr(gr_error(), says));
    CHECK(strstr(gr_error(), name));
}

TEST(hostile_files_are_refused_by_name)
{
    check_refused("tokenizer_config.json", "[]", "object");
    check_refused("tokenizer_config.json", "{\"tokenizer_class\": \"GPT2Tokenizer\", \"added_tokens_decoder\": null}",
                  "added_tokens_decoder");
    check_refused("tokenizer_config.json",
                  "{\"tokenizer_class\": \"GPT2Tokenizer\", \"added_tokens_decoder\": {\"99999999999999999999\": "
                  "{\"content\": \"a\"}}}",
                  "expected an id");
    check_refused("tokenizer_config.json",
                  "{\"tokenizer_class\": \"GPT2Tokenizer\", \"added_tokens_decoder\": {\"1.5\": {\"content\": \"a\"}}}",
                  "expected an id");
    check_refused("tokenizer_config.json",
                  "{\"tokenizer_class\": \"GPT2Tokenizer\", \"added_tokens_decoder\": {\"1\": {\"content\": 5}}}",
                  "content");
    check_refused("tokenizer_config.json",
                  "{\"tokenizer_class\": \"GPT2Tokenizer\", \"added_tokens_decoder\": {\"1\": {\"lstrip\": true}}}",
                  "content");
    check_refused("tokenizer_config.json",
                  "{\"tokenizer_class\": \"GPT2Tokenizer\", \"extra_special_tokens\": \"<a>\"}",
                  "extra_special_tokens");
    check_refused("tokenizer_config.json", "{\"tokenizer_class\": \"GPT2Tokenizer\", \"add_bos_token\": 1}",
                  "add_bos_token");
    check_refused("tokenizer_config.json", "{\"tokenizer_class\": [\"GPT2Tokenizer\"]}", "tokenizer_class");
    check_refused("special_tokens_map.json", "{\"eos_token\": [\"a\"]}", "eos_token");
    check_refused("special_tokens_map.json", "{\"eos_token\": ", "JSON");
    check_refused("added_tokens.json", "{\"a\": \"b\"}", "added_tokens.json");
    check_refused("added_tokens.json", "{\"a\": 1e300}", "added_tokens.json");
    check_refused("added_tokens.json", "[\"a\"]", "added_tokens.json");
}

/* Ids of files are an order, not a place: neither a gap nor a large one takes memory. */
TEST(ids_far_away_close_up)
{
    const int32_t *ids;
    size_t n;
    gr_tokenizer *t =
        load_with("merges", "added_tokens.json", "{\"<far>\": 2147483600, \"<first>\": -7, \"<second>\": -7}");
    CHECK_MADE(t);
    CHECK_OK(gr_tokenizer_encode(t, "<far><second>", 13, GR_PARSE_SPECIAL, &ids, &n));
    CHECK_EQ_INT(n, 2);
    CHECK_EQ_INT(ids[0], ids[1] + 1);
    CHECK_EQ_INT(gr_tokenizer_vocab_size(t), ids[0] + 1);
    CHECK_EQ_INT(gr_tokenizer_id(t, "<first>"), -1);
    gr_tokenizer_free(t);
}

static int remarks;

static void count_remark(void *user, gr_log_level level, const char *text)
{
    (void)user;
    remarks += level == GR_LOG_WARN && strstr(text, "has id");
}

TEST(one_remark_for_all_ids_that_differ)
{
    gr_set_log(count_remark, NULL);
    remarks = 0;
    gr_tokenizer_free(load_with("merges", "added_tokens.json", "{\"<a>\": 5000, \"<b>\": 6000, \"<c>\": 7000}"));
    CHECK_EQ_INT(remarks, 1);
    gr_set_log(NULL, NULL);
}

/* The class that cannot read the files is named, and what to do. */
TEST(unknown_classes)
{
    CHECK(!load_with("merges", "tokenizer_config.json", "{\"tokenizer_class\": \"PreTrainedTokenizerFast\"}"));
    CHECK(strstr(gr_error(), "TokenizersBackend") && strstr(gr_error(), "tokenizer_class") &&
          strstr(gr_error(), "merges.txt"));
    CHECK(!load_with("merges", "tokenizer_config.json", "{\"tokenizer_class\": \"CohereTokenizerFast\"}"));
    CHECK(strstr(gr_error(), "CohereTokenizer"));
    CHECK(!load_with("model", "tokenizer_config.json", "{\"tokenizer_class\": \"T5Tokenizer\"}"));
    CHECK(strstr(gr_error(), "T5Tokenizer"));
    gr_tokenizer *t = load_with("json", "tokenizer_config.json", "{\"tokenizer_class\": \"CohereTokenizerFast\"}");
    CHECK_MADE(t); /* a tokenizer.json runs as it is written */
    gr_tokenizer_free(t);
}

/* What a directory's tokenizer.json says stays its text, byte for byte, while nothing beside it adds to it. */
TEST(text_stays_as_it_is)
{
    size_t size;
    char *was = gr_file_read(base_file("tokenizer.json"), 1 << 20, &size);
    gr_tokenizer *t =
        load_with("json", "tokenizer_config.json",
                  "{\"tokenizer_class\": \"GPT2Tokenizer\", \"add_prefix_space\": false, \"add_bos_token\": true, "
                  "\"added_tokens_decoder\": {\"0\": {\"content\": \"<|endoftext|>\", \"special\": true}}}");
    CHECK_MADE(was);
    CHECK_MADE(t);
    CHECK_EQ_STR(gr_tokenizer_json(t, NULL), was);
    CHECK_EQ_INT(gr_tokenizer_eos(t), 0);
    gr_free(was);
    gr_tokenizer_free(t);
}

/* Every failing allocation is an error, and nothing is left behind. */
TEST(failing_allocations)
{
    static const char config[] = "{\"tokenizer_class\": \"LlamaTokenizer\", \"add_bos_token\": true, "
                                 "\"add_eos_token\": true, \"pad_token\": \"<pad>\", "
                                 "\"extra_special_tokens\": {\"image_token\": \"<img>\"}, \"added_tokens_decoder\": "
                                 "{\"4\": {\"content\": \"[CTL]\"}}}";
    char dir[600];
    snprintf(dir, sizeof dir, "%s/sweep", test_dir());
    CHECK_OK(gr_dir_make(dir));
    copy_base(dir, "model");
    CHECK_OK(gr_file_write(test_join(dir, "tokenizer_config.json"), config, sizeof config - 1));
    bool made = false;
    int64_t step = 1;
    for (int64_t at = 1; !made && at < 1000000; at += step, step = at / 40 + 1) {
        gr_mem_fail_at(at);
        gr_tokenizer *t = gr_tokenizer_load(dir);
        made = t != NULL;
        gr_mem_fail_at(0);
        gr_tokenizer_free(t);
    }
    CHECK(made);
}
