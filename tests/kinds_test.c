/* Files of tokenizers that are no tokenizer.json: directories with AutoTokenizer's ids (tools/oracle/make_tokenizer_dirs.py),
 * and what is refused. */
#include <stdlib.h>
#include "base/base64.h"
#include "test.h"
#include "text/unicode/graphemes.h"
#include "text/vocab/charsmap.h"

/* test.h before text_cases.h, which asks for it */
#include "text_cases.h"
#include "text/tokenizer.h"

static void check_ids_of(gr_tokenizer *t, gr_json c, const char *key, unsigned flags)
{
    size_t size, n;
    const char *text = gr_json_as_text(gr_json_get(c, "text"), &size);
    const int32_t *ids;
    CHECK_OK(gr_tokenizer_encode(t, text, size, flags, &ids, &n));
    CHECK(same_ids(gr_json_get(c, key), ids, n));
}

static void check_directory(const char *dir)
{
    size_t size;
    char path[4096];
    gr_tokenizer *t = gr_tokenizer_load(dir);
    if (!t && strstr(gr_error(), "this build has no"))
        return;
    CHECK_MADE(t);
    /* What is saved is what was loaded. */
    const char *json = gr_tokenizer_json(t, &size);
    gr_tokenizer *again = gr_tokenizer_from_json(json, size);
    CHECK_MADE(again);
    snprintf(path, sizeof path, "%s/cases.jsonl", dir);
    char *file = gr_file_read(path, 1 << 20, &size);
    CHECK_MADE(file);
    int count = 0;
    for (char *line = file, *end; (end = memchr(line, '\n', (size_t)(file + size - line))); line = end + 1) {
        gr_json_doc *doc = gr_json_parse("case", line, (size_t)(end - line));
        CHECK_MADE(doc);
        NOTE("%s:%d: %.*s", path, ++count, end - line > 200 ? 200 : (int)(end - line), line);
        check_ids_of(t, gr_json_root(doc), "ids", GR_PARSE_SPECIAL);
        check_ids_of(t, gr_json_root(doc), "ids_special", GR_PARSE_SPECIAL | GR_ADD_SPECIAL);
        check_ids_of(again, gr_json_root(doc), "ids_special", GR_PARSE_SPECIAL | GR_ADD_SPECIAL);
        gr_json_free(doc);
    }
    NOTE("%s", "");
    CHECK(count > 15);
    gr_free(file);
    gr_tokenizer_free(t);
    gr_tokenizer_free(again);
}

TEST(directories)
{
    char **names, path[2048];
    size_t count;
    CHECK_OK(gr_dir_list(test_source("tests/data/tokenizer_dirs"), &names, &count));
    CHECK(count > 0);
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", test_source("tests/data/tokenizer_dirs"), names[i]);
        check_directory(path);
    }
    gr_names_free(names, count);
}

static void put(const char *name, const char *text)
{
    CHECK_OK(gr_file_write(test_join(test_dir(), name), text, strlen(text)));
}

/* A folder of its own for each, as its name in the test's. */
static const char *folder(const char *name)
{
    static char path[2048];
    snprintf(path, sizeof path, "%s", test_join(test_dir(), name));
    CHECK_OK(gr_dir_make(path));
    return path;
}

TEST(vocab_txt_alone_is_berts)
{
    const int32_t *ids;
    size_t n;
    folder("words");
    put("words/vocab.txt", "[PAD]\r\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhe\n##llo \n\xE4\xB8\xAD\nhe");
    gr_tokenizer *t = gr_tokenizer_load(test_join(test_dir(), "words"));
    if (!t && strstr(gr_error(), "this build has no"))
        SKIP("built without utf8proc");
    CHECK_MADE(t);
    CHECK_OK(gr_tokenizer_encode(t, "Hello \xE4\xB8\xAD\xE4\xB8\xAD?", 13, GR_ADD_SPECIAL, &ids, &n));
    static const int32_t want[] = {2, 8, 6, 7, 7, 1, 3};
    CHECK_EQ_INT(n, 7);
    CHECK(memcmp(ids, want, sizeof want) == 0);
    gr_tokenizer_free(t);
}

/* tokenizers' ids: those it gives count on from the number of tokens, whatever larger ids are added in between. */
TEST(added_tokens_count_on_behind_the_vocabulary)
{
    static const char json[] =
        "{\"added_tokens\": [{\"id\": 4, \"content\": \"n1\"}, {\"id\": 20, \"content\": \"x\"}, {\"id\": 5, "
        "\"content\": \"n2\", \"special\": true}], \"model\": {\"type\": \"WordLevel\", \"unk_token\": \"u\", "
        "\"vocab\": {\"u\": 0, \"a\": 1, \"b\": 2, \"x\": 20}}}";
    gr_tokenizer *t = gr_tokenizer_from_json(json, sizeof json - 1);
    CHECK_MADE(t);
    CHECK_EQ_INT(gr_tokenizer_id(t, "n1"), 4);
    CHECK_EQ_INT(gr_tokenizer_id(t, "x"), 20);
    CHECK_EQ_INT(gr_tokenizer_id(t, "n2"), 5);
    gr_tokenizer_free(t);
}

TEST(an_unknown_token_may_have_nul_inside)
{
    static const char json[] =
        "{\"model\": {\"type\": \"WordLevel\", \"unk_token\": \"u\\u0000\", \"vocab\": {\"a\": 0, "
        "\"u\": 1, \"u\\u0000\": 2}}}";
    const int32_t *ids;
    size_t n;
    gr_tokenizer *t = gr_tokenizer_from_json(json, sizeof json - 1);
    CHECK_MADE(t);
    CHECK_OK(gr_tokenizer_encode(t, "b", 1, 0, &ids, &n));
    CHECK_EQ_INT(n, 1);
    CHECK_EQ_INT(ids[0], 2);
    gr_tokenizer_free(t);
    static const char number[] = "{\"model\": {\"type\": \"WordLevel\", \"unk_token\": 7, \"vocab\": {\"a\": 0}}}";
    CHECK(!gr_tokenizer_from_json(number, sizeof number - 1));
    CHECK_ERROR(GR_ERR_FILE, "unk_token");
}

TEST(berts_ends_are_strings_of_a_template)
{
    folder("ends");
    put("ends/vocab.txt", "[UNK]\n[CLS]\n[SEP]\nhe\n");
    put("ends/tokenizer_config.json", "{\"tokenizer_class\": \"BertTokenizer\", \"cls_token\": \"<c:d>\"}");
    CHECK(!gr_tokenizer_load(test_join(test_dir(), "ends")));
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "another cls_token");
    put("ends/tokenizer_config.json", "{\"tokenizer_class\": \"BertTokenizer\", \"sep_token\": \" x\"}");
    CHECK(!gr_tokenizer_load(test_join(test_dir(), "ends")));
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "' x' cannot be put");
}

/* Nothing says what cuts the texts. */
TEST(lines_alone_are_refused)
{
    put("tokenizer.model", "YQ== 0\nYg== 1\nYWI= 2\n");
    CHECK(!gr_tokenizer_load(test_join(test_dir(), "tokenizer.model")));
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "pattern");
    folder("own");
    put("own/tokenizer.model", "YQ== 0\nYg== 1\nYWI= 2\n");
    put("own/tokenizer_config.json", "{\"auto_map\": {\"AutoTokenizer\": [\"tokenization_own.Own\", null]}}");
    CHECK(!gr_tokenizer_load(test_join(test_dir(), "own")));
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "tokenization_own.Own");
}

TEST(kimis_lines_have_its_pattern_and_special_tokens)
{
    const int32_t *ids;
    size_t n;
    folder("kimi");
    put("kimi/tiktoken.model", "YQ== 0\nQg== 1\nYWI= 2\nYg== 3\nYUI= 4\n");
    put("kimi/tokenizer_config.json",
        "{\"auto_map\": {\"AutoTokenizer\": [\"tokenization_kimi.TikTokenTokenizer\", null]}, "
        "\"added_tokens_decoder\": {\"7\": {\"content\": \"<|im_end|>\", \"special\": true}}}");
    gr_tokenizer *t = gr_tokenizer_load(test_join(test_dir(), "kimi"));
    if (!t && strstr(gr_error(), "this build has no"))
        SKIP("built without PCRE2");
    CHECK_MADE(t);
    CHECK_EQ_INT(gr_tokenizer_vocab_size(t), 5 + 256);
    CHECK_OK(gr_tokenizer_encode(t, "aBab<|im_end|><|reserved_token_5|>", 34, GR_PARSE_SPECIAL, &ids, &n));
    static const int32_t want[] = {0, 1, 2, 7, 5}; /* a word ends before a capital: "aB" is not one piece */
    CHECK_EQ_INT(n, 5);
    CHECK(memcmp(ids, want, sizeof want) == 0);
    gr_tokenizer_free(t);
}

TEST(broken_lines_are_refused_by_number)
{
    static const struct {
        const char *text, *says;
    } broken[] = {
        {"YQ== 0\nYg== 0\n", ":2"}, {"YQ== 0\nYQ== 1\n", ":2"},          {"YQ== 0\nYg==\n", ":2: expected base64"},
        {"YQ== 0\nY$== 1\n", ":2"}, {"YQ== 0\nYg== 2147483648\n", ":2"}, {"YQ== 0\n\nYg== 99999999\n", ":3"},
        {"YQ== 0\n= 1\n", ":2"},
    };
    folder("lines");
    put("lines/config.json", "{\"model_type\": \"llama\"}");
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        NOTE("%s", broken[i].text);
        put("lines/tokenizer.model", broken[i].text);
        CHECK(!gr_tokenizer_load(test_join(test_dir(), "lines")));
        CHECK_ERROR(GR_ERR_FILE, broken[i].says);
    }
}

TEST(broken_tekken_is_refused)
{
    static const char *const names[] = {"no_special_v11",       "ranks_with_gap",     "special_twice",
                                        "special_is_filler",    "special_rank_twice", "bytes_out_of_order",
                                        "vocab_size_too_large", "many_special",       "bad_pattern",
                                        "bad_base64",           "token_twice"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size;
        char path[200];
        snprintf(path, sizeof path, "fuzz/corpus/fuzz_tekken/%s", names[i]);
        char *data = gr_file_read(test_source(path), 1 << 20, &size);
        CHECK_MADE(data);
        NOTE("%s", names[i]);
        const char *file = test_join(test_dir(), "tekken.json");
        CHECK_OK(gr_file_write(file, data + 1, size - 1));
        CHECK(!gr_tokenizer_load(file));
        gr_free(data);
    }
}

static gr_status read_table(const char *name, gr_charsmap *m)
{
    size_t size;
    char path[200];
    snprintf(path, sizeof path, "fuzz/corpus/fuzz_charsmap/%s", name);
    char *data = gr_file_read(test_source(path), 1 << 20, &size);
    CHECK_MADE(data);
    gr_status status =
        gr_charsmap_read(data + 2, (size_t)(unsigned char)data[0] | (size_t)(unsigned char)data[1] << 8, m);
    gr_free(data);
    return status;
}

TEST(tables)
{
    static const char *const broken[] = {
        "empty", "no_trie", "cut", "trie_longer_than_file", "offset_out_of_range", "value_out_of_range", "not_utf8"};
    gr_charsmap m = {0};
    gr_bytes out = {0};
    CHECK_OK(read_table("good", &m));
    CHECK_OK(gr_charsmap_run(&m, "bae\xCC\x81\r\n\xC2\xAD!", 10, &out));
    CHECK_EQ_INT(out.size, 6);
    CHECK(memcmp(out.data, "bx\xC3\xA9 !", 6) == 0); /* a line end of two characters is one cluster */
    gr_bytes_free(&out);
    gr_charsmap_free(&m);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        NOTE("%s", broken[i]);
        CHECK_EQ_INT(read_table(broken[i], &m), GR_ERR_FILE);
        gr_charsmap_free(&m);
    }
}

TEST(grapheme_clusters)
{
    static const struct {
        const char *text;
        int size; /* of the first cluster */
    } cases[] = {
        {"ab", 1},
        {"a\xCC\x81\xCC\x80z", 5},
        {"\r\nx", 2},
        {"\n\xCC\x81", 1},
        {"\xD8\x80z", 3},                                      /* a prefix of numbers */
        {"\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8z", 9},          /* Hangul by letters */
        {"\xEA\xB0\x81\xE1\x85\xA1", 3},                       /* a closed syllable takes no vowel */
        {"\xE0\xA4\x95\xE0\xA5\x8D\xE0\xA4\xA4z", 9},          /* a conjunct */
        {"\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7z", 11}, /* emoji, joined */
        {"\xF0\x9F\x91\xA9\xE2\x80\x8Dz", 7},
        {"\xFF\xCC\x81", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = cases[i].text;
        NOTE("%s", text);
        CHECK_EQ_INT(gr_grapheme_stop(text, text + strlen(text)) - text, cases[i].size);
    }
}

TEST(base64)
{
    unsigned char out[16];
    char text[16];
    size_t n;
    CHECK(gr_base64_decode("aGVsbG8=", 8, out, &n) && n == 5 && memcmp(out, "hello", 5) == 0);
    CHECK(gr_base64_decode("aGVsbG8", 7, out, &n) && n == 5);
    CHECK(gr_base64_decode("", 0, out, &n) && n == 0);
    static const char *const broken[] = {"a", "ab=", "aGVsbG9=", "a$==", "====", "aGVs=", "YR=="};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        CHECK(!gr_base64_decode(broken[i], strlen(broken[i]), out, &n));
    for (size_t size = 0; size < 9; size++) {
        size_t written = gr_base64_encode("\x00\xFF\x10zA\x80\x7F+/", size, text);
        CHECK_EQ_INT(written, (size + 2) / 3 * 4);
        CHECK(gr_base64_decode(text, written, out, &n) && n == size);
        CHECK(memcmp(out, "\x00\xFF\x10zA\x80\x7F+/", size) == 0);
    }
}
