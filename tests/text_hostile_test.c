/* Tokenizers on what strangers send: broken files, patterns that explode, texts of one word, bytes that are no text. */
#include <stdlib.h>
#include <time.h>
#include "test.h"
#include "text/pattern.h"
#include "text/scan.h"

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
        {"{\"normalizer\": {\"type\": \"Magic\"}}", "normalizer \"Magic\""},
        {"{\"pre_tokenizer\": {\"type\": \"Magic\"}}", "pre-tokenizer \"Magic\""},
        {"{\"decoder\": {\"type\": \"Magic\"}}", "decoder \"Magic\""},
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
    CHECK(!with_split("[a&&[^b]]"));
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "&&");
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

/* ---- the patterns written by hand are their regexes ---- */

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
