/* Regexes in Oniguruma's syntax: what they find, as the `tokenizers` package has it (tools/oracle/make_regexes.py), and what
 * is refused. */
#include "base/json.h"
#include "text/stages/pattern.h"
#include "text/stages/regex_translate.h"
#include "text/unicode/properties.h"
#include "base/file.h"
#include "test.h"

/* ---- what is found ------------------------------------------------------------------------------------------ */

typedef struct found {
    gr_bytes marked, pieces; /* matches as U+0002; parts, each with a zero behind it */
} found;

static gr_status add(void *ctx, const char *text, size_t start, size_t stop, bool is_match)
{
    found *f = ctx;
    if (is_match)
        CHECK_OK(gr_bytes_add(&f->marked, "\x02", 1));
    else
        CHECK_OK(gr_bytes_add(&f->marked, text + start, stop - start));
    if (stop > start)
        CHECK_OK(gr_bytes_add(&f->pieces, text + start, stop - start));
    return stop > start ? gr_bytes_add(&f->pieces, "", 1) : GR_OK;
}

static gr_bytes all_pieces(gr_json list, const char *before, size_t before_size, const char *behind, size_t behind_size)
{
    gr_bytes all = {0};
    for (size_t i = 0; i < gr_json_size(list); i++) {
        size_t size;
        const char *text = gr_json_as_text(gr_json_item(list, i), &size);
        CHECK_OK(gr_bytes_add(&all, before, before_size));
        CHECK_OK(gr_bytes_add(&all, text, size));
        CHECK_OK(gr_bytes_add(&all, behind, behind_size));
    }
    return all;
}

static void check_same(const char *what, gr_bytes got, const char *want, size_t size)
{
    if (got.size != size || (size && memcmp(got.data, want, size) != 0))
        FAIL("%s: \"%.*s\", not \"%.*s\"", what, (int)got.size, got.data, (int)size, want);
}

static void check_regex(gr_json row)
{
    size_t size, text_size, marked_size;
    const char *regex = gr_json_as_text(gr_json_get(row, "regex"), &size);
    const char *text = gr_json_as_text(gr_json_get(row, "text"), &text_size);
    const char *marked = gr_json_as_text(gr_json_get(row, "marked"), &marked_size);
    gr_pattern p = {.regex = size ? gr_regex_new(regex, size) : NULL};
    found f = {0};
    if (size)
        CHECK_MADE(p.regex);
    CHECK_OK(gr_pattern_walk(&p, text, text_size, add, &f));
    gr_bytes want = all_pieces(gr_json_get(row, "pieces"), "", 0, "", 1);
    check_same("marked", f.marked, marked, marked_size);
    check_same("pieces", f.pieces, want.data, want.size);
    gr_bytes_free(&f.marked);
    gr_bytes_free(&f.pieces);
    gr_bytes_free(&want);
    gr_pattern_free(&p);
}

/* A tokenizer whose ids are bytes; 256 is the mark that each piece begins with. */
static gr_tokenizer *marking(const char *split)
{
    gr_bytes json = {0};
    char token[32];
    CHECK_OK(gr_bytes_add_string(&json, "{\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": ["));
    CHECK_OK(gr_bytes_add_string(&json, split));
    CHECK_OK(gr_bytes_add_string(&json,
                                 ", {\"type\": \"Metaspace\", \"replacement\": \"\xE2\x96\x81\", \"prepend_scheme\": "
                                 "\"always\", \"split\": false}]}, \"model\": {\"type\": \"BPE\", \"byte_fallback\": "
                                 "true, \"merges\": [], \"vocab\": {"));
    for (int i = 0; i < 256; i++) {
        snprintf(token, sizeof token, "\"<0x%02X>\": %d, ", (unsigned)i, i);
        CHECK_OK(gr_bytes_add_string(&json, token));
    }
    CHECK_OK(gr_bytes_add_string(&json, "\"\xE2\x96\x81\": 256}}}"));
    gr_tokenizer *t = gr_tokenizer_from_json(json.data, json.size);
    gr_bytes_free(&json);
    return t;
}

static void check_split(gr_json row)
{
    size_t size, n;
    const char *text = gr_json_as_text(gr_json_get(row, "text"), &size);
    gr_tokenizer *t = marking(gr_json_text(row, "split", ""));
    const int32_t *ids;
    gr_bytes got = {0}, want = all_pieces(gr_json_get(row, "pieces"), "\x01", 1, "", 0);
    CHECK_MADE(t);
    CHECK_OK(gr_tokenizer_encode(t, text, size, 0, &ids, &n));
    for (size_t i = 0; i < n; i++)
        CHECK_OK(gr_bytes_add(&got, &(char){ids[i] == 256 ? 1 : (char)ids[i]}, 1));
    check_same("pieces", got, want.data, want.size);
    gr_bytes_free(&got);
    gr_bytes_free(&want);
    gr_tokenizer_free(t);
}

TEST(every_construct)
{
    size_t size;
    int count = 0;
    char *file = gr_file_read(test_source("tests/data/regexes.jsonl"), 10 << 20, &size);
    CHECK_MADE(file);
    gr_regex *any = gr_regex_new("a", 1);
    if (!any)
        SKIP("built without PCRE2");
    gr_regex_free(any);
    for (char *line = file, *end; (end = memchr(line, '\n', (size_t)(file + size - line))); line = end + 1) {
        gr_json_doc *doc = gr_json_parse("case", line, (size_t)(end - line));
        CHECK_MADE(doc);
        gr_json row = gr_json_root(doc);
        NOTE("%d: %.*s", ++count, end - line > 200 ? 200 : (int)(end - line), line);
        if (gr_json_is(gr_json_get(row, "regex")))
            check_regex(row);
        else
            check_split(row);
        gr_json_free(doc);
    }
    gr_free(file);
    CHECK(count > 300);
}

/* An empty pattern needs no library. */
TEST(nothing_is_found_between_all_characters)
{
    gr_pattern p = {0};
    found f = {0};
    CHECK_OK(gr_pattern_walk(&p, "a\xC3\xA9\xFF", 4, add, &f));
    check_same("marked", f.marked,
               "\x02"
               "a\x02\xC3\xA9\x02\xFF\x02",
               8);
    f.marked.size = 0;
    CHECK_OK(gr_pattern_walk(&p, "", 0, add, &f));
    CHECK_EQ_INT(f.marked.size, 0);
    gr_bytes_free(&f.marked);
    gr_bytes_free(&f.pieces);
}

/* ---- what is refused ---------------------------------------------------------------------------------------- */

TEST(refused_by_construct_and_place)
{
    static const struct {
        const char *regex, *says;
    } refused[] = {
        {"ab\\X", "at byte 2, \\X"},
        {"\\y", "at byte 0, \\y"},
        {"(a)\\g<1>", "at byte 3, \\g"},
        {"x(?~ab)", "at byte 1, an absent group"},
        {"(a)(?(1)b|c)", "at byte 3, a condition"},
        {"a(?{x})", "at byte 1, a callout"},
        {"(*FAIL)", "at byte 0, a callout"},
        {"(?W:\\w)", "at byte 0, (? with this letter"},
        {"(?i:Ss)", "at byte 5, ignoring the case"},
        {"(?i)x\xC3\x9F", "at byte 5, ignoring the case"},
        {"(?i)s{2}", "at byte 5, ignoring the case"},
        {"(?i)(?:ts){3}", "at byte 10, ignoring the case"},
        {"(?i)[\xC3\x80-\xC3\xBF]", "at byte 4, ignoring the case"},
        {"(?i)(a)\\1", "at byte 7, a back reference"},
        {"(a)\\2", "that is not there"},
        {"\\M-a", "\\M"},
        {"\\xE3\\x81", "no UTF-8"},
        {"[\\xE3]", "no UTF-8"},
        {"[a-\\d]", "at byte 3, a class as the end"},
        {"[\\d-z]", "at byte 3, a class as the start"},
        {"[b-a]", "ends before it starts"},
        {"[a[b]", "not closed"},
        {"[a[^\\x00-\\x{10fffe}]]", "at byte 2, a negated class"},
        {"[^[^[^a]&&\\S\\D]]", "at byte 0, a negated class of ASCII"},
        {"[[:alphabet:]]", "[:...:]"},
        {"\\p{Klingon}", "at byte 0, \\p"},
        {"[\\P{Script=Han}]", "at byte 1, \\p"},
        {"a|*", "a repetition of nothing"},
        {"^+", "a repetition of nothing"},
        {"(?=a)*", "a repetition of nothing"},
        {"a{100001}", "100000 times"},
        {"(a", "not closed"},
        {"a)", "closes nothing"},
        {"(?=a\\Kb)", "\\K in a look-around"},
        {"\\", "a backslash at the end"},
        {"\\u12", "\\u without four digits"},
        {"[\\x{110000}]", "no code point"},
        {"\\x{d800}", "no character"},
        {"a++++++++++++++++++++++++++++++++++++++", "repeated this often"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        NOTE("%s", refused[i].regex);
        gr_error_clear();
        gr_regex *r = gr_regex_new(refused[i].regex, strlen(refused[i].regex));
        CHECK(!r);
        if (strstr(gr_error(), "this build has no"))
            SKIP("built without PCRE2");
        CHECK_ERROR(GR_ERR_UNSUPPORTED, refused[i].says);
    }
}

static gr_regex *repeated(const char *part, size_t times, const char *last)
{
    size_t n = strlen(part), end = strlen(last);
    char *regex = malloc(n * times + end + 1);
    for (size_t i = 0; i < times; i++)
        memcpy(regex + i * n, part, n);
    memcpy(regex + n * times, last, end + 1);
    gr_regex *r = gr_regex_new(regex, n * times + end);
    free(regex);
    return r;
}

TEST(large_and_deep_ones_end_soon)
{
    static const char *const parts[] = {"(",        "[",       "(?i)",   "(?:a{100}", "\\p{L}",
                                        "[\\p{L}a", "[^a&&",   "(?<a>b", "(a)\\1",    "[a-z&&[^\\w\\x{300}]]",
                                        "\\w\\b",   "a{9}{9}", "(?i)k"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (size_t times = 10; times <= 100000; times *= 100) {
            NOTE("%s, %zu times", parts[i], times);
            gr_regex_free(repeated(parts[i], times, ""));
        }
}

/* ---- the tables --------------------------------------------------------------------------------------------- */

TEST(sets_of_code_points)
{
    gr_points a = {0}, b = {0};
    for (uint32_t c = 0; c < 20000; c += 2)
        CHECK_OK(gr_points_add(&a, (c * 7919) % 20000, (c * 7919) % 20000));
    gr_points_tidy(&a);
    CHECK_EQ_INT(a.n, 10000);
    CHECK_OK(gr_points_add(&b, 100, 0xFFFFFFFF));
    CHECK_OK(gr_points_keep(&a, &b));
    CHECK_EQ_INT(a.n, 9950);
    CHECK(gr_points_has(&a, 100) && !gr_points_has(&a, 98) && !gr_points_has(&a, 101));
    CHECK(gr_points_have_all(&b, &a) && !gr_points_have_all(&a, &b));
    CHECK_OK(gr_points_invert(&a));
    CHECK(!gr_points_has(&a, 100) && gr_points_has(&a, 98) && gr_points_has_range(&a, 20000, GR_LAST_POINT));
    CHECK_OK(gr_points_drop(&a, &b));
    CHECK_EQ_INT(a.n, 1);
    CHECK_EQ_INT(a.span[0].last, 99);
    gr_points_free(&a);
    gr_points_free(&b);
}

TEST(names_are_found_however_they_are_spelled)
{
    CHECK(gr_property_find("Script_Han", 10) < 0);
    CHECK(gr_property_find("han", 3) >= 0);
    CHECK_EQ_INT(gr_property_find("H a-N", 5), gr_property_find("Han", 3));
    CHECK_EQ_INT(gr_property_find("Uppercase_Letter", 16), gr_property_find("lu", 2));
    CHECK(gr_property_find("", 0) < 0);
    CHECK(gr_property_find("h\0n", 3) < 0);
}

static gr_status translate(void *ctx)
{
    static const char regex[] =
        "[\\p{L}&&[^\\p{Han}]&&\\p{ASCII}]+|\\b(?<n>a)\\k<n>|[^\\W\xC3\xA9]{2}{3}|(?i)[^k\xC3\x9F]";
    gr_bytes out = {0};
    bool stand_ins;
    gr_status status = gr_regex_translate(regex, sizeof regex - 1, &out, &stand_ins);
    gr_bytes_free(&out);
    (void)ctx;
    return status;
}

TEST(every_allocation_may_fail)
{
    CHECK(SWEEP_ALLOCATIONS(translate, NULL) > 20);
}
