/* What is no text, told by its beginning; and records, under whatever name. */
#include "base/content.h"
#include "data/records.h"
#include "test.h"

static void check_refused(const void *bytes, size_t size, const char *what)
{
    CHECK_STATUS(gr_refuse_content("x.txt", bytes, size), GR_ERR_FILE);
    CHECK(strncmp(gr_error(), "x.txt: ", 7) == 0);
    if (!strstr(gr_error(), what))
        FAIL("\"%s\" is not in: %s", what, gr_error());
    CHECK(strchr(gr_error(), '\n')); /* and what to do */
}

TEST(what_is_no_text)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *what;
    } cases[] = {
        {"\x1F\x8B\x08\0\0\0\0\0", 8, "gzip"},
        {"\x28\xB5\x2F\xFD\x24\0", 6, "zstd"},
        {"\xFD\x37zXZ\0\0", 7, "xz"},
        {"BZh91AY&SY\x12", 11, "bzip2"},
        {"PK\3\4\x14\0", 6, "zip"},
        {"PAR1\x15\4", 6, "Parquet"},
        {"%PDF-1.7\n%\xE2\xE3", 11, "PDF"},
        {"\x89PNG\r\n\x1A\n\0\0", 10, "PNG"},
        {"\xFF\xD8\xFF\xE0", 4, "JPEG"},
        {"GIF89a\1\0\1\0", 10, "picture"},
        {"\x93NUMPY\1\0", 8, "NumPy"},
        {"\x80\4\x95\0", 4, "pickle"},
        {"GGUF\3\0\0\0", 8, "GGUF"},
        {"\x10\1\0\0\0\0\0\0{\"__metadata__\":", 24, "safetensors"},
        {"\xFF\xFEh\0i\0", 6, "UTF-16"},
        {"\xFE\xFF\0h\0i", 6, "UTF-16"},
        {"\xFF\xFE\0\0h\0\0\0", 8, "UTF-32"},
        {"w\0o\0r\0d\0s\0 \0a\0n\0d\0 \0m\0o\0r\0e\0", 28, "UTF-16LE"},
        {"\0w\0o\0r\0d\0s\0 \0a\0n\0d\0 \0m\0o\0r\0e", 28, "UTF-16BE"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n", 64, "Git LFS"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refused(cases[i].bytes, cases[i].size, cases[i].what);
    char tar[512] = "book.txt";
    memcpy(tar + 257, "ustar", 5);
    check_refused(tar, sizeof tar, "tar");
}

TEST(what_may_be_text)
{
    static const char *const texts[] = {"",
                                        "a",
                                        "GGUF is a format",
                                        "PK is a shop",
                                        "BZh is no word",
                                        "RIFF and WAVE and more",
                                        "%PD",
                                        "GIF89a was a format of pictures",
                                        "version https://example.org/spec/v1\nsize 5",
                                        "caf\xE9 in Latin-1",
                                        "\xEF\xBB\xBFmarked",
                                        "{\"text\": 1}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        CHECK_OK(gr_refuse_content("x", texts[i], strlen(texts[i])));
    CHECK_OK(gr_refuse_content("x", NULL, 0));
    static const char nuls[] = "one\0two\0three\0four\0five\0six\0seven\0eight";
    CHECK_OK(gr_refuse_content("x", nuls, sizeof nuls - 1));
    static const char zeros[64];
    CHECK_OK(gr_refuse_content("x", zeros, sizeof zeros));
    /* Cut anywhere, a beginning is read to its end and no further: in memory of just that size. */
    static const char gguf[] = "GGUF\3\0\0\0";
    for (size_t n = 0; n < sizeof gguf - 1; n++) {
        char *copy = gr_alloc(n + 1);
        CHECK_MADE(copy);
        memcpy(copy, gguf, n);
        gr_status s = gr_refuse_content("x", copy, n);
        gr_free(copy);
        CHECK_EQ_INT(s, GR_OK);
    }
}

TEST(records_by_content)
{
    static const struct {
        const char *text;
        gr_records form;
        bool json;
    } cases[] = {
        {"{\"text\": \"a\"}\n{\"text\": \"b\"}\n", GR_RECORDS_LINES, true},
        {"\n \n{\"prompt\": \"a\", \"completion\": \"b\"}", GR_RECORDS_LINES, true},
        {"\xEF\xBB\xBF{\"id\": 3, \"text\": \"a\"}", GR_RECORDS_LINES, true},
        {"{\"messages\": []}", GR_RECORDS_LINES, true},
        {"{\"text\": \"broken", GR_RECORDS_LINES, false}, /* must not pass for text */
        {"[{\"text\": \"a\"}, {\"text\": \"b\"}]", GR_RECORDS_ARRAY, true},
        {"[\n  {\n    \"id\": [1, {\"x\": \"}\"}],\n    \"text\": \"a\"\n  }\n]", GR_RECORDS_ARRAY, true},
        {"[{\"instruction\": \"a\"}]", GR_RECORDS_NONE, true},
        {"{\"instruction\": \"a\"}\n{\"instruction\": \"b\"}", GR_RECORDS_NONE, true},
        {"{\n  \"data\": [1, 2]\n}", GR_RECORDS_NONE, true},
        {"[1, 2, 3]", GR_RECORDS_NONE, true},
        {"[1] A footnote.\nMore of it.", GR_RECORDS_NONE, false},
        {"{ a set } of things", GR_RECORDS_NONE, false},
        {"plain text {\"text\": 1}", GR_RECORDS_NONE, false},
        {"[]", GR_RECORDS_NONE, false},
        {"{}", GR_RECORDS_NONE, false},
        {"", GR_RECORDS_NONE, false},
        {"[", GR_RECORDS_NONE, false},
        {"[{", GR_RECORDS_NONE, false},
    };
    gr_error_clear();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size = strlen(cases[i].text);
        gr_records form;
        CHECK_OK(gr_records_of(cases[i].text, size, &form));
        if (form != cases[i].form)
            FAIL("records of: %s", cases[i].text);
        if (gr_looks_like_json(cases[i].text, size, true) != cases[i].json)
            FAIL("JSON or not: %s", cases[i].text);
    }
    CHECK_EQ_INT(gr_error_status(), GR_OK);
    CHECK(gr_is_jsonl_name("a/b.jsonl") && gr_is_jsonl_name("B.JSONL") && gr_is_jsonl_name("c.NdJson"));
    CHECK(!gr_is_jsonl_name("a.json") && !gr_is_jsonl_name("jsonl") && !gr_is_jsonl_name("a.jsonl.txt"));
}

static gr_status look(void *ctx)
{
    gr_records form = GR_RECORDS_LINES;
    gr_status s = gr_records_of(ctx, strlen(ctx), &form);
    CHECK(s != GR_OK || form == GR_RECORDS_LINES);
    return s;
}

/* Records are not taken for text because there is no memory to look at the first. */
TEST(records_without_memory)
{
    char text[] = "{\"id\": 1, \"text\": \"a\"}\n{\"text\": \"b\"}";
    CHECK(SWEEP_ALLOCATIONS(look, text) > 0);
}

/* Reads an array that comes `step` bytes at a time: the number of objects, or -1 with an error. */
static int64_t count_by(const char *text, size_t step)
{
    gr_record_reader r = {.name = "a.json", .is_array = true};
    size_t all = strlen(text), at = 0, seen = 0, used;
    gr_status s = GR_OK;
    for (bool end = false; s == GR_OK && !end; at += used) {
        seen = seen + step < all ? seen + step : all;
        end = seen == all;
        s = gr_records_cut(&r, text + at, seen - at, end, &used);
        for (size_t i = 0; s == GR_OK && i < r.n; i++)
            CHECK(*r.list[i].text == '{' && r.list[i].size > 0 && r.list[i].text + r.list[i].size <= text + seen);
    }
    gr_free(r.list);
    return s == GR_OK ? r.count : -1;
}

/* The same whatever the parts in which it comes. */
static int64_t count(const char *text)
{
    char error[600];
    int64_t n = count_by(text, strlen(text) + 1);
    snprintf(error, sizeof error, "%s", gr_error());
    for (size_t step = 1; step < 20; step++) {
        CHECK_EQ_INT(count_by(text, step), n);
        if (n < 0)
            CHECK_EQ_STR(gr_error(), error);
    }
    return n;
}

TEST(items_of_an_array)
{
    CHECK_EQ_INT(count("[]"), 0);
    CHECK_EQ_INT(count(" [ ] \n"), 0);
    CHECK_EQ_INT(count("[{}]"), 1);
    CHECK_EQ_INT(count("\xEF\xBB\xBF[{\"a\": \"]},{\\\"\"},\n{\"b\": [{}, {}]} , {}]"), 3);
    static const struct {
        const char *text, *error;
    } wrong[] = {
        {"[{}", "behind record 1: expected a comma or ]"},
        {"[{},", "behind record 1: expected an object"},
        {"[{}, 5]", "behind record 1: expected an object"},
        {"[{}, {}] {}", "behind record 2: expected the end"},
        {"[{} {}]", "behind record 1: expected a comma or ]"},
        {"{}", "behind record 0: expected ["},
        {"[] x", "expected the end"},
        {"", "expected ["},
        {"[{\"open\": ", "behind record 1"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_EQ_INT(count(wrong[i].text), -1);
        CHECK_EQ_INT(gr_error_status(), GR_ERR_FILE);
        if (!strstr(gr_error(), wrong[i].error))
            FAIL("\"%s\" is not in: %s", wrong[i].error, gr_error());
    }
}
