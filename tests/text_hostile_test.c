/* Tokenizers on what strangers send: broken files, patterns that explode, texts of one word, bytes that are no text. */
#include <stdlib.h>
#include <time.h>
#include "test.h"
#include "text/stages/pattern.h"
#include "text/stages/scan.h"
#include "text/tokenizer.h"

static gr_tokenizer *made(const char *json)
{
    return gr_tokenizer_from_json(json, strlen(json));
}

#define BPE(vocab, merges) "{\"model\": {\"type\": \"BPE\", \"vocab\": {" vocab "}, \"merges\": [" merges "]}}"

TEST(broken_files_are_refused_by_name)
{
    static const struct {
        const char *json, *says;
    } broken[] = {
        {"", "tokenizer.json"},
        {"{\"model\": {\"type\": \"Quantum\"}}", "Quantum"},
        {BPE("\"a\": 0, \"b\": 0", ""), "id 0"},
        {BPE("\"a\": 2147483646", ""), "2147483646"},
        {BPE("\"a\": -1", ""), "model.vocab"},
        {BPE("\"a\": 0", "[\"a\", \"zz\"]"), "'zz'"},
        {BPE("\"a\": 0", "[\"a\", \"a\"]"), "'aa'"},
        {BPE("\"a\": 0", "\"a\""), "merges"},
        {BPE("\"\\ud800\": 0", ""), "tokenizer.json"},
        {"{\"normalizer\": {\"type\": \"Magic\"}}", "normalizer \"Magic\" is not supported\nsupported are"},
        {"{\"pre_tokenizer\": {\"type\": \"Magic\"}}", "pre-tokenizer \"Magic\""},
        {"{\"pre_tokenizer\": {\"type\": \"CharDelimiterSplit\", \"delimiter\": \"\"}}", "expected one character"},
        {"{\"decoder\": {\"type\": \"Magic\"}}", "decoder \"Magic\" is not supported\nsupported are"},
        {"\xEF\xBB\xBF{\"model\": {}}", "begins with a byte order mark, which JSON has none of\nsave it as UTF-8"},
        {"{\"model\": {\"type\": \"BPE\", \"dropout\": 0.5, \"vocab\": {}, \"merges\": []}}", "dropout"},
        {"{\"model\": {\"type\": \"Unigram\", \"unk_id\": 7, \"vocab\": [[\"a\", 0]]}}", "unk_id"},
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        NOTE("%s", broken[i].json);
        gr_error_clear();
        CHECK(!made(broken[i].json));
        CHECK(gr_error_status() != GR_OK);
        CHECK(strstr(gr_error(), broken[i].says));
    }
}

/* ---- large files are read another way, and refused in the same words ---------------------------------------- */

/* A tokenizer.json of 2000 tokens, "t0" … , with something of its own in the vocabulary, the merges and behind. */
static char *large(const char *in_vocab, const char *in_merges, const char *behind)
{
    char *json = malloc(200000), *p = json;
    p += sprintf(p, "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"t\": 0, \"0\": 1, \"t0\": 2%s", in_vocab);
    for (int i = 3; i < 2000; i++)
        p += sprintf(p, ",\n  \"t%d\": %d", i, i);
    sprintf(p, "}, \"merges\": [[\"t\", \"0\"]%s]}%s", in_merges, behind);
    return json;
}

TEST(broken_large_files_are_refused_by_name)
{
    static const struct {
        const char *in_vocab, *in_merges, *behind, *says;
    } broken[] = {
        {", \"x\": 7", "", "}", "id 7"},
        {", \"x\": -1", "", "}", "key \"model.vocab.x\""},
        {", \"x\": 1.5", "", "}", "key \"model.vocab.x\""},
        {", \"x\": \"y\"", "", "}", "key \"model.vocab.x\""},
        {", \"x\": 0123", "", "}", "not valid JSON"},
        {", \"x\"", "", "}", "not valid JSON"},
        {", \"\xFF\": 3000", "", "}", "not valid JSON"},
        {", \"\xED\xA0\x80\": 3000", "", "}", "not valid JSON"},
        {", \"\\ud800x\": 3000", "", "}", "not valid JSON"},
        {", \"a\nb\": 3000", "", "}", "not valid JSON"},
        {", \"\\q\": 3000", "", "}", "not valid JSON"},
        {", \"far\": 2147483646", "", "}", "2147483646"},
        {"", ", [\"t\", \"zz\"]", "}", "model.merges[1]: token 'zz' is not in the vocabulary"},
        {"", ", [\"t0\", \"t0\"]", "}", "model.merges[1]: the merged 't0t0'"},
        {"", ", [\"t\"]", "}", "model.merges[1]"},
        {"", ", \"t\"", "}", "model.merges[1]"},
        {"", ", \"t 0 1\"", "}", "model.merges[1]"},
        {"", ", 7", "}", "model.merges[1]"},
        {"", ",", "}", "not valid JSON"},
        {"", "", "", "not valid JSON"},
        {"", "", "} x", "not valid JSON"},
        {"", "", ", \"model\": {}}", "key \"model"},
        {"", "", ", \"normalizer\": {\"type\": \"Magic\"}}", "normalizer \"Magic\""},
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char *json = large(broken[i].in_vocab, broken[i].in_merges, broken[i].behind);
        NOTE("%zu: %s", i, broken[i].says);
        gr_error_clear();
        CHECK(!made(json));
        CHECK_ERROR(gr_error_status(), broken[i].says);
        free(json);
    }
}

/* Forms that only the slower way takes, and escapes, which both do. */
TEST(unusual_large_files_are_read)
{
    char *json = large(", \"t\": 5000, \"a\\u0000b\": 3000", "", "}");
    gr_tokenizer *last = made(json);
    CHECK_MADE(last);
    CHECK_EQ_INT(gr_tokenizer_id(last, "t"), 5000);
    const char *text = NULL;
    size_t length = 0;
    CHECK_OK(gr_tokenizer_decode(last, (int32_t[]){3000}, 1, 0, &text, &length));
    CHECK(length == 3 && memcmp(text, "a\0b", 3) == 0);
    gr_tokenizer_free(last);
    free(json);
    json = large(", \"x\\u00e9\\ud83d\\ude42\\\"\": 3e3, \"\\u0074\\/\": 3001",
                 ", \"t t0\", [\"t\", \"\\u0074\\u002f\"]", "}");
    gr_tokenizer *t = made(json);
    CHECK(!t);
    CHECK_ERROR(GR_ERR_FILE, "the merged 'tt0'");
    free(json);
    json = large(", \"x\\u00e9\\ud83d\\ude42\\\"\": 3e3, \"\\u0074/\": 3001, \"/\": 3002", ", \"t \\/\"", "}");
    t = made(json);
    CHECK_MADE(t);
    CHECK_EQ_INT(gr_tokenizer_id(t, "x\xC3\xA9\xF0\x9F\x99\x82\""), 3000);
    CHECK_EQ_INT(gr_tokenizer_id(t, "t/"), 3001);
    const int32_t *ids;
    size_t n;
    CHECK_OK(gr_tokenizer_encode(t, "t/t0", 4, 0, &ids, &n));
    CHECK_EQ_INT(n, 2);
    CHECK_EQ_INT(ids[0], 3001);
    CHECK_EQ_INT(ids[1], 2);
    gr_tokenizer_free(t);
    free(json);
}

static gr_status load_large(void *json)
{
    gr_tokenizer *t = made(json);
    gr_status status = t ? GR_OK : gr_error_status();
    gr_tokenizer_free(t);
    return status;
}

TEST(large_files_survive_failing_allocations)
{
    char *json = large(", \"\\u00e9\": 3000", "", "}");
    CHECK(SWEEP_ALLOCATIONS(load_large, json) > 10);
    free(json);
}

/* ---- patterns ----------------------------------------------------------------------------------------------- */

static gr_tokenizer *with_split(const char *regex)
{
    char json[512];
    snprintf(json, sizeof json,
             "{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"%s\"}, \"behavior\": \"Isolated\", "
             "\"invert\": false}, \"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": []}}",
             regex);
    return made(json);
}

TEST(catastrophic_regex_gives_up)
{
    gr_tokenizer *t = with_split("(a|a|aa)+$");
    const int32_t *ids;
    size_t n;
    if (!t && strstr(gr_error(), "this build has no"))
        SKIP("built without PCRE2");
    CHECK_MADE(t);
    char text[4000];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 'b';
    CHECK_STATUS(gr_tokenizer_encode(t, text, sizeof text, 0, &ids, &n), GR_ERR_UNSUPPORTED);
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "gives up");
    gr_tokenizer_free(t);
}

/* Where PCRE2 would find other matches than Oniguruma. */
TEST(regexes_that_mean_something_else_are_refused)
{
    static const char *const refused[] = {"(?i:ss)",       "a(?i)Fi",     "(?i:x|[\xC3\x9F])",
                                          "(?i:\xCE\x90)", "(?im-x:aST)", "\\\\X"};
    static const char *const fine[] = {"(?i:s)s", "(?i:'s|'t|ll)ss", "((?i)k)ff", "(?-i:ss)", "(?i:\xD0\x96)"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        NOTE("%s", refused[i]);
        gr_error_clear();
        CHECK(!with_split(refused[i]));
        if (strstr(gr_error(), "this build has no"))
            SKIP("built without PCRE2");
        CHECK_ERROR(GR_ERR_UNSUPPORTED, "is not supported\ncorrect the pattern");
    }
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        gr_tokenizer *t = with_split(fine[i]);
        CHECK_MADE(t);
        gr_tokenizer_free(t);
    }
}

/* Seconds to encode n bytes of one long word. */
static double time_word(gr_tokenizer *t, size_t n)
{
    char *text = malloc(n);
    const int32_t *ids;
    size_t count;
    memset(text, 'a', n);
    clock_t start = clock();
    CHECK_OK(gr_tokenizer_encode(t, text, n, 0, &ids, &count));
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    CHECK_EQ_INT(count, n / 4);
    free(text);
    return seconds;
}

TEST(one_word_takes_linear_time)
{
    gr_tokenizer *t = made(BPE("\"a\": 0, \"aa\": 1, \"aaaa\": 2", "[\"a\", \"a\"], [\"aa\", \"aa\"]"));
    CHECK_MADE(t);
    time_word(t, 1 << 14);
    double small = time_word(t, 1 << 18), large = time_word(t, 1 << 22);
    NOTE("%.3f s and %.3f s for 16 times as much", small, large);
    CHECK(large < 16 * 6 * (small + 0.001)); /* a square would be 256 times */
    gr_tokenizer_free(t);
}

/* ---- odd vocabularies --------------------------------------------------------------------------------------- */

static void check_ids(gr_tokenizer *t, const char *text, size_t size, unsigned flags, const int32_t *want,
                      size_t n_want)
{
    const int32_t *ids;
    size_t n;
    CHECK_OK(gr_tokenizer_encode(t, text, size, flags, &ids, &n));
    NOTE("%.*s", (int)size, text);
    CHECK_EQ_INT(n, n_want);
    for (size_t i = 0; i < n; i++)
        CHECK_EQ_INT(ids[i], want[i]);
}

/* A merge that makes one of its own sides: every merge makes a word shorter, so it ends. */
TEST(cyclic_merges_end)
{
    gr_tokenizer *t =
        made("{\"model\": {\"type\": \"BPE\", \"continuing_subword_prefix\": \"#\", \"vocab\": {\"a\": 0, "
             "\"#\": 1, \"#a\": 2}, \"merges\": [[\"a\", \"#\"], [\"#a\", \"#\"]]}}");
    CHECK_MADE(t);
    check_ids(t, "aa", 2, 0, (const int32_t[]){0, 2}, 2);
    gr_tokenizer_free(t);
}

/* The leftmost, and of those the longest. */
TEST(added_tokens_overlap)
{
    gr_tokenizer *t =
        made("{\"added_tokens\": [{\"id\": 2, \"content\": \"ab\"}, {\"id\": 3, \"content\": \"abba\"}, {\"id\": 4, "
             "\"content\": \"ba\"}, {\"id\": 5, \"content\": \"bb\", \"special\": true}], \"model\": {\"type\": "
             "\"BPE\", \"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": []}}");
    CHECK_MADE(t);
    check_ids(t, "abbaba", 6, GR_PARSE_SPECIAL, (const int32_t[]){3, 4}, 2);
    check_ids(t, "abbb", 4, GR_PARSE_SPECIAL, (const int32_t[]){2, 5}, 2);
    check_ids(t, "abbb", 4, 0, (const int32_t[]){2, 1, 1}, 3);
    check_ids(t, "bab", 3, 0, (const int32_t[]){4, 1}, 2);
    gr_tokenizer_free(t);
    CHECK(!made("{\"normalizer\": {\"type\": \"Strip\", \"strip_left\": true, \"strip_right\": true}, "
                "\"added_tokens\": [{\"id\": "
                "1, \"content\": \" \", \"normalized\": true}], \"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, "
                "\"merges\": []}}"));
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "added token ' ' is nothing once it is normalized");
}

/* A character one of whose bytes has no token is unknown as a whole. */
TEST(byte_fallback_with_gaps)
{
    gr_tokenizer *t =
        made("{\"model\": {\"type\": \"BPE\", \"unk_token\": \"?\", \"byte_fallback\": true, \"vocab\": {\"?\": 0, "
             "\"<0xC3>\": 1, \"<0xA9>\": 2, \"<0xFF>\": 3}, \"merges\": []}}");
    CHECK_MADE(t);
    check_ids(t, "\xC3\xA9", 2, 0, (const int32_t[]){1, 2}, 2);
    check_ids(t, "\xC3\xA8", 2, 0, (const int32_t[]){0}, 1);
    check_ids(t, "\xFF", 1, 0, (const int32_t[]){3}, 1);
    check_ids(t, "\xFE\0", 2, 0, (const int32_t[]){0, 0}, 2);
    gr_tokenizer_free(t);
}

/* NUL is a character like others. */
TEST(nul_bytes)
{
    gr_tokenizer *t =
        made("{\"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"<unk>\", 0], [\"\\u0000\", -1], "
             "[\"a\\u0000b\", -1]]}}");
    CHECK_MADE(t);
    check_ids(t, "\0a\0b\0", 5, 0, (const int32_t[]){1, 2, 1}, 3);
    gr_tokenizer_free(t);
}

TEST(special_tokens_in_text_stay_text)
{
    gr_tokenizer *t = gr_tokenizer_byte();
    const int32_t *ids;
    size_t n;
    CHECK_MADE(t);
    CHECK_OK(gr_tokenizer_encode(t, "<|endoftext|>", 13, 0, &ids, &n));
    CHECK_EQ_INT(n, 13);
    CHECK_OK(gr_tokenizer_encode(t, "<|endoftext|>", 13, GR_PARSE_SPECIAL, &ids, &n));
    CHECK_EQ_INT(n, 1);
    gr_tokenizer_free(t);
}

/* Every byte string goes through byte-level tokenizers and comes back, invalid parts as U+FFFD. */
TEST(bytes_that_are_no_text)
{
    gr_tokenizer *t = gr_tokenizer_byte();
    const int32_t *ids;
    const char *back;
    size_t n, size;
    CHECK_MADE(t);
    CHECK_OK(gr_tokenizer_encode(t, "a\xFF\0\xE4\xBD", 5, 0, &ids, &n));
    CHECK_EQ_INT(n, 5);
    CHECK_EQ_INT(ids[1], 0xFF);
    CHECK_OK(gr_tokenizer_decode(t, (const int32_t[]){'a', 0xFF, 0, 0xE4, 0xBD}, 5, 0, &back, &size));
    CHECK_EQ_INT(size, 8);
    CHECK(memcmp(back, "a\xEF\xBF\xBD\0\xEF\xBF\xBD", 8) == 0);
    CHECK_OK(gr_tokenizer_encode(t, NULL, 0, 0, &ids, &n));
    CHECK_EQ_INT(n, 0);
    gr_tokenizer_free(t);
}

/* ---- the patterns written by hand are their regexes --------------------------------------------------------- */

static const char *const patterns[] = {
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
};

/* A few characters of every kind the patterns tell apart, in random order. */
static size_t random_text(uint32_t *state, char *out)
{
    static const char *const bits[] = {"a",
                                       "Z",
                                       "s",
                                       "S",
                                       "T",
                                       "l",
                                       "L",
                                       "e",
                                       "r",
                                       "E",
                                       "v",
                                       "'",
                                       "'",
                                       "1",
                                       "9",
                                       " ",
                                       " ",
                                       "\n",
                                       "\r",
                                       "\t",
                                       "\v",
                                       ".",
                                       "!",
                                       "\xC5\xBF",
                                       "\xC3\xA9",
                                       "\xC2\xA0",
                                       "\xC2\x85",
                                       "\xE3\x80\x80",
                                       "\xE4\xBD\xA0",
                                       "\xD9\xA3",
                                       "\xF0\x9F\x99\x82",
                                       "\xCC\x81",
                                       "\xFF",
                                       "\xE4",
                                       "\x80",
                                       "\0",
                                       "\xF0\xB1\x8D\x90",
                                       "\xE1\xA0\x8E"};
    size_t n = 0, count = 1 + (*state >> 8) % 24;
    for (size_t i = 0; i < count; i++) {
        *state = *state * 1664525 + 1013904223;
        const char *bit = bits[(*state >> 10) % (sizeof bits / sizeof *bits)];
        size_t size = *bit ? strlen(bit) : 1;
        memcpy(out + n, bit, size);
        n += size;
    }
    return n;
}

typedef struct expected {
    gr_scan_fn scan;
    const char *end;
    size_t at;
} expected;

static gr_status same_part(void *ctx, const char *text, size_t start, size_t stop, bool is_match)
{
    expected *e = ctx;
    CHECK(is_match);
    CHECK_EQ_INT(start, e->at);
    CHECK_EQ_INT(e->scan(text + start, e->end) - text, stop);
    e->at = stop;
    return GR_OK;
}

TEST(scanners_are_their_regexes)
{
    uint32_t state = 1;
    for (size_t k = 0; k < sizeof patterns / sizeof *patterns; k++) {
        gr_pattern p = {.regex = gr_regex_new(patterns[k], strlen(patterns[k]))};
        if (!p.regex)
            SKIP("built without PCRE2");
        for (int i = 0; i < 20000; i++) {
            char text[128];
            size_t size = random_text(&state, text);
            expected e = {gr_scan_for(patterns[k], strlen(patterns[k])), text + size, 0};
            NOTE("pattern %zu, text %d: %.*s", k, i, (int)size, text);
            CHECK_OK(gr_pattern_walk(&p, text, size, same_part, &e));
            CHECK_EQ_INT(e.at, size);
        }
        gr_pattern_free(&p);
    }
}
