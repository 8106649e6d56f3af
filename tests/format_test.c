/* JSON and safetensors: what is read and written, and one named case for every way in which a file can lie. */
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/number.h"
#include "check.h"
#include "base/json_pull.h"
#include "format/weights.h"
#include "train/run.h"
#include "base/buffer.h"

static char folder[] = "format_test.XXXXXX";

/* A path in the test's own folder; valid until the third next call. KEEP makes one that stays. */
static const char *in_folder(const char *name)
{
    static char paths[3][300];
    static int next;
    char *p = paths[next++ % 3];
    snprintf(p, sizeof paths[0], "%s/%s", folder, name);
    return p;
}

#define KEEP(variable, name)                                                                                           \
    char variable[300];                                                                                                \
    snprintf(variable, sizeof variable, "%s/%s", folder, name)

/* ---- JSON --------------------------------------------------------------------------------------------------- */

static void test_json_read(void)
{
    static const char text[] =
        "{\"n\": 12, \"eps\": 1e-5, \"on\": true, \"name\": \"a\\u00e9\", \"none\": null,\n"
        " \"list\": [1, 2, 3], \"sub\": {\"factor\": 8.0}, \"limit\": 1000000000000000019884624838656}";
    gr_json_doc *doc = gr_json_parse("t.json", text, sizeof text - 1);
    gr_json root = gr_json_root(doc);
    CHECK(doc, "parse");
    CHECK(gr_json_int(root, "n", 0, 1, 100) == 12, "int");
    CHECK(gr_json_int(root, "absent", 7, 1, 100) == 7, "int fallback");
    CHECK(gr_json_int(root, "none", 7, 1, 100) == 7, "null takes the fallback");
    CHECK(gr_json_real(root, "eps", 0, 0, 1) == 1e-5, "real");
    CHECK(gr_json_real(root, "n", 0, 0, 100) == 12.0, "an integer is a number");
    CHECK(gr_json_bool(root, "on", false), "bool");
    CHECK(strcmp(gr_json_text(root, "name", ""), "a\xc3\xa9") == 0, "text");
    CHECK(gr_json_size(gr_json_get(root, "list")) == 3, "array size");
    CHECK(gr_json_as_int(gr_json_item(gr_json_get(root, "list"), 2), 0, 9) == 3, "item");
    CHECK(gr_json_int(gr_json_get(root, "sub"), "factor", 0, 1, 64) == 8, "8.0 is an integer");
    CHECK(gr_json_real(root, "limit", 0, 0, 1e40) == 1e30, "an integer past 64 bits reads as f64");
    CHECK(gr_json_check(doc) == GR_OK, "no failure so far");
    int n = 0;
    for (gr_json_iter it = gr_json_first(root); it.key; gr_json_next(&it))
        n += gr_json_type_of(it.value) != GR_JSON_ABSENT;
    CHECK(n == 8, "iteration saw %d", n);
    gr_json_free(doc);
}

/* Getters' failures: the message names file and key, only the first counts, and the fallback comes out. */
static void test_json_getters_fail(void)
{
    static const char text[] =
        "{\"a\": {\"b\": [1, \"x\", 2.5]}, \"n\": \"12\", \"nul\": \"a\\u0000b\", \"big\": 9e99, \"eps\": 2.0, "
        "\"rows\": [[1], [{\"x\": 1}]]}";
    static const struct {
        const char *expected;
        int kind;
    } cases[] = {
        {"t.json: key \"n\": expected an integer, found a string", 0},
        {"t.json: key \"a.b[0]\": expected an integer from 2 to 5, found 1", 1},
        {"t.json: key \"a.b[1]\": expected a number, found a string", 2},
        {"t.json: key \"a.b[2]\": expected an integer, found 2.5", 3},
        {"t.json: key \"a.missing\": missing, expected a string", 4},
        {"t.json: key \"nul\": a NUL character inside the string", 5},
        {"t.json: key \"a\": expected an array, found an object", 6},
        {"t.json: key \"a.b\": expected true or false, found an array", 7},
        {"t.json: key \"big\": expected an integer, found 8.", 8},
        {"t.json: key \"rows[1][0].x\": expected a string, found an integer", 9},
        {"t.json: key \"eps\": expected a number from 0 to 1, found 2", 10},
        {"t.json: top level: expected an array, found an object", 11},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gr_json_doc *doc = gr_json_parse("t.json", text, sizeof text - 1);
        gr_json root = gr_json_root(doc), a = gr_json_get(root, "a"), b = gr_json_get(a, "b");
        switch (cases[i].kind) {
        case 0:
            CHECK(gr_json_int(root, "n", 3, 0, 9) == 3, "fallback");
            break;
        case 1:
            CHECK(gr_json_as_int(gr_json_item(b, 0), 2, 5) == 2, "min");
            break;
        case 2:
            gr_json_as_real(gr_json_item(b, 1), 0, 1);
            break;
        case 3:
            gr_json_as_int(gr_json_item(b, 2), 0, 9);
            break;
        case 4:
            gr_json_as_text(gr_json_get(a, "missing"), NULL);
            break;
        case 5:
            gr_json_text(root, "nul", "");
            break;
        case 6:
            gr_json_as_array(a);
            break;
        case 7:
            gr_json_bool(a, "b", false);
            break;
        case 8:
            gr_json_int(root, "big", 0, 0, INT64_MAX);
            break;
        case 9:
            CHECK(strcmp(gr_json_text(gr_json_item(gr_json_item(gr_json_get(root, "rows"), 1), 0), "x", "-"), "-") == 0,
                  "fallback");
            break;
        case 10:
            CHECK(gr_json_real(root, "eps", 0.5, 0, 1) == 0.5, "fallback");
            break;
        default:
            gr_json_as_array(root);
        }
        gr_json_as_object(gr_json_get(root, "later")); /* a second failure changes nothing */
        gr_error_clear();
        CHECK(gr_json_check(doc) == GR_ERR_FILE, "%s", cases[i].expected);
        CHECK(strstr(gr_error(), cases[i].expected), "expected: %s", cases[i].expected);
        gr_json_free(doc);
    }
}

/* Long names and texts in a message: its end and its hint stay. */
static void test_json_fails_at_length(void)
{
    char name[2000], type[600];
    memset(name, 'n', sizeof name - 1);
    memset(type, 't', sizeof type - 1);
    name[sizeof name - 1] = type[sizeof type - 1] = '\0';
    gr_json_doc *doc = gr_json_parse(name, "{\"a\": 1}", 8);
    gr_json_fail(gr_json_get(gr_json_root(doc), "a"), "the type \"%s\" is not supported\nsupported are b and c", type);
    for (int again = 0; again < 2; again++) {
        CHECK(gr_json_check(doc) == GR_ERR_FILE, "it failed");
        CHECK(strncmp(gr_error(), name, sizeof name - 1) == 0, "the file's name: %s", gr_error());
        CHECK(strstr(gr_error(), "n: key \"a\": the type \"t"), "the key: %s", gr_error());
        CHECK(strstr(gr_error(), "t\" is not supported\nsupported are b and c"), "its hint: %s", gr_error());
        gr_error_clear();
    }
    gr_json_free(doc);
}

/* Of a path that is too long the end is told. */
static void test_json_long_path(void)
{
    char text[4000] = "";
    enum { DEPTH = 20 };
    for (int i = 0; i < DEPTH; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "{\"a_key_of_%025d\":", i);
    strcat(text, "{\"last\":1}");
    for (int i = 0; i < DEPTH; i++)
        strcat(text, "}");
    gr_json_doc *doc = gr_json_parse("t.json", text, strlen(text));
    gr_json at = gr_json_root(doc);
    for (int i = 0; i < DEPTH; i++)
        at = gr_json_first(at).value;
    gr_json_as_text(gr_json_get(at, "last"), NULL);
    CHECK(gr_json_check(doc) == GR_ERR_FILE, "a number is no text");
    CHECK(strstr(gr_error(), "t.json: key \"..a_key_of_"), "%s", gr_error());
    CHECK(strstr(gr_error(), "19.last\": expected a string, found an integer"), "%s", gr_error());
    gr_json_free(doc);
}

static void test_printable(void)
{
    char b[6];
    CHECK(strcmp(gr_printable("a\nb\x1b", 4, b, sizeof b), "a?b?") == 0, "%s", b);
    CHECK(strcmp(gr_printable("abcdefgh", 8, b, sizeof b), "abcde") == 0, "%s", b);
    CHECK(strcmp(gr_printable("abcd\xc3\xa9", 6, b, sizeof b), "abcd") == 0, "half a character: %s", b);
    CHECK(strcmp(gr_printable("\xff\xc3\xa9\xe2\x82", 5, b, sizeof b), "?\xc3\xa9??") == 0, "no UTF-8: %s", b);
    CHECK(strcmp(gr_printable("\xe2\x82\xac\xc3\xa9", 5, b, sizeof b), "\xe2\x82\xac\xc3\xa9") == 0, "two: %s", b);
    CHECK(strcmp(gr_printable("\xf0\x9f\x98\x80\x80", 5, b, sizeof b), "\xf0\x9f\x98\x80?") == 0, "four: %s", b);
}

/* `depth` opening brackets and as many closing ones; caller frees. */
static char *nested(size_t depth)
{
    char *text = gr_alloc(2 * depth + 1);
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    text[2 * depth] = 0;
    return text;
}

/* What Python's json module writes and reads beyond the RFC. */
static void test_json_as_python(void)
{
    static const char text[] =
        "{\"a\": NaN, \"b\": [Infinity, -Infinity], \"n\\u0000m\": 1, \"n\": 2, \"twice\": 1, \"z\": 0, "
        "\"twice\": \"x\\u0000y\", \"\": 3, \"big\": [123456789012345678901234567890, 7]}";
    gr_json_doc *doc = gr_json_parse("t.json", text, sizeof text - 1);
    gr_json root = gr_json_root(doc), b = gr_json_get(root, "b");
    CHECK(doc, "%s", gr_error());
    CHECK(isnan(gr_json_as_real(gr_json_get(root, "a"), -1, 1)) || gr_json_check(doc) == GR_ERR_FILE, "NaN");
    gr_json_free(doc);
    doc = gr_json_parse("t.json", text, sizeof text - 1);
    root = gr_json_root(doc), b = gr_json_get(root, "b");
    CHECK(gr_json_as_real(gr_json_item(b, 0), -INFINITY, INFINITY) == INFINITY, "Infinity");
    CHECK(gr_json_as_real(gr_json_item(b, 1), -INFINITY, INFINITY) == -INFINITY, "-Infinity");
    CHECK(gr_json_type_of(gr_json_get(root, "a")) == GR_JSON_REAL, "NaN is a number");
    size_t size = 0;
    const char *x = gr_json_as_text(gr_json_get(root, "twice"), &size);
    CHECK(size == 3 && memcmp(x, "x\0y", 3) == 0, "the last of two values counts");
    CHECK(gr_json_size(root) == 8 && gr_json_int(root, "n", 0, 0, 9) == 2 && gr_json_int(root, "", 0, 0, 9) == 3,
          "keys");
    CHECK(gr_json_as_int(gr_json_item(gr_json_get(root, "big"), 1), 0, 9) == 7, "an integer beside one past 64 bits");
    gr_json_iter it = gr_json_first(root);
    gr_json_next(&it), gr_json_next(&it);
    CHECK(it.key_size == 3 && memcmp(it.key, "n\0m", 3) == 0, "NUL in a key");
    gr_json_next(&it), gr_json_next(&it);
    CHECK(strcmp(it.key, "twice") == 0, "and stands where the first stood");
    char *again = gr_json_format(doc, false, &size);
    CHECK(again && strcmp(again, "{\"a\": NaN, \"b\": [Infinity, -Infinity], \"n\\u0000m\": 1, \"n\": 2, \"twice\": "
                                 "\"x\\u0000y\", \"z\": 0, \"\": 3, \"big\": [1.2345678901234568e+29, 7]}") == 0,
          "%s", again);
    gr_free(again);
    CHECK(gr_json_unique(doc) == GR_ERR_FILE && strstr(gr_error(), "key \"twice\": the key is there twice"), "%s",
          gr_error());
    gr_json_free(doc);
}

/* Keys in any order and number are found; those that stand there several times once. */
static void test_json_keys(void)
{
    enum { N = 3000 };
    gr_json_doc *doc = gr_json_new("keys");
    gr_json root = gr_json_root(doc);
    char key[16];
    for (int i = 0; i < N; i++) {
        snprintf(key, sizeof key, "%d", i * 7919 % N);
        gr_json_put_int(root, key, i);
    }
    gr_json_put_int(root, "17", -1);
    size_t size;
    char *text = gr_json_format(doc, false, &size);
    gr_json_doc *back = gr_json_parse("back", text, size);
    int wrong = gr_json_size(root) != N || gr_json_size(gr_json_root(back)) != N || gr_json_unique(back) != GR_OK;
    for (int i = 0; i < N; i++) {
        snprintf(key, sizeof key, "%d", i * 7919 % N);
        int64_t expected = strcmp(key, "17") ? i : -1;
        wrong += gr_json_int(root, key, -2, -1, N) != expected ||
                 gr_json_int(gr_json_root(back), key, -2, -1, N) != expected;
    }
    CHECK(wrong == 0, "%d wrong", wrong);
    CHECK(!gr_json_is(gr_json_get(root, "3000")) && !gr_json_is(gr_json_get(root, "")), "absent ones");
    gr_free(text);
    gr_json_free(doc);
    gr_json_free(back);

    gr_bytes many = {0};
    for (int i = 0; i < N; i++) {
        snprintf(key, sizeof key, "%c\"%d\":%d", i ? ',' : '{', i % 100, i % 10);
        gr_bytes_add_string(&many, key);
    }
    gr_bytes_add_string(&many, "}");
    doc = gr_json_parse("many", many.data, many.size);
    CHECK(gr_json_size(gr_json_root(doc)) == 100 && gr_json_int(gr_json_root(doc), "42", -1, 0, 9) == 2,
          "100 keys 30 times each");
    gr_json_free(doc);
    gr_bytes_free(&many);
}

/* A path may be any bytes; Python's json.loads and os.fsencode give back the same ones. */
static void test_json_paths(void)
{
    static const char *const paths[] = {"plain",        "\xc3\xa9",    "\xff", "a\xc3", "\xe2\x82\xac\x80\"\n",
                                        "\xed\xb2\x80", "\xf0\x9f\x98"};
    gr_json_doc *doc = gr_json_new("paths");
    gr_json list = gr_json_put_array(gr_json_root(doc), "p");
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        gr_json_put_path(list, NULL, paths[i]);
    size_t size;
    char *text = gr_json_format(doc, false, &size);
    CHECK(text && strcmp(text,
                         "{\"p\": [\"plain\", \"\xc3\xa9\", \"\\udcff\", \"a\\udcc3\", \"\xe2\x82\xac\\udc80\\\"\\n\", "
                         "\"\\udced\\udcb2\\udc80\", \"\\udcf0\\udc9f\\udc98\"]}") == 0,
          "%s", text);
    gr_json_doc *back = gr_json_parse("back", text, size);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        CHECK(strcmp(gr_json_as_path(gr_json_item(gr_json_get(gr_json_root(back), "p"), i)), paths[i]) == 0, "path %zu",
              i);
    gr_json_as_text(gr_json_item(gr_json_get(gr_json_root(back), "p"), 2), NULL);
    CHECK(gr_json_check(back) == GR_ERR_FILE && strstr(gr_error(), "key \"p[2]\": half of a surrogate pair"), "%s",
          gr_error());
    gr_free(text);
    gr_json_free(doc);
    gr_json_free(back);
}

static void test_json_hostile(void)
{
    static const struct {
        const char *name, *text, *expected;
    } cases[] = {
        {"empty", "", "'[' or '{' expected"},
        {"not JSON", "hello", "line 1, column"},
        {"scalar", "12", "expected"},
        {"cut", "{\"a\": [1, 2", "(line 1, column"},
        {"trailing bytes", "{} x", "the end of the text expected"},
        {"second line", "{\n\"a\": }", "(line 2, column 6)"},
        {"nan in other letters", "{\"a\": nan}", "a value expected near 'nan}'"},
        {"half a word", "{\"a\": Infin}", "a value expected near 'Infin}'"},
        {"plus infinity", "{\"a\": +Infinity}", "a value expected near '+Infinity}'"},
        {"huge exponent", "{\"a\": 1e999}", "too large for f64"},
        {"not UTF-8", "{\"a\": \"\xff\xfe\"}", "not UTF-8"},
        {"overlong UTF-8", "{\"a\": \"\xc0\xaf\"}", "not UTF-8"},
        {"overlong UTF-8 of three", "{\"a\": \"\xe0\x9f\xbf\"}", "not UTF-8"},
        {"UTF-8 surrogate", "{\"a\": \"\xed\xa0\x80\"}", "not UTF-8"},
        {"UTF-8 cut by the quote", "{\"a\": \"\xe2\x82\"}", "not UTF-8"},
        {"lone surrogate", "{\"a\": \"\\ud800\"}", "half of a surrogate pair"},
        {"lone surrogate in a key", "{\"\\udc80\": 1}", "half of a surrogate pair"},
        {"low surrogate first", "{\"a\": \"\\udc00\\ud800\"}", "half of a surrogate pair"},
        {"unknown escape", "{\"a\": \"\\x41\"}", "a backslash before a letter"},
        {"string without end", "{\"a\": \"x", "a string that does not end"},
        {"leading zero", "{\"a\": 012}", "a number expected near '012}'"},
        {"no digits", "{\"a\": -}", "a number expected near '-}'"},
        {"no fraction", "{\"a\": 1.}", "a number expected"},
        {"no exponent", "{\"a\": 1e+}", "a number expected"},
        {"comma before the end", "[1,]", "a value expected near ']'"},
        {"comma before the brace", "{\"a\": 1,}", "a key in quotes expected near '}'"},
        {"no colon", "{\"a\" 1}", "':' expected"},
        {"no comma", "[1 2]", "',' or ']' expected near '2]'"},
        {"control character", "{\"a\": \"x\ny\"}", "line 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gr_json_doc *doc = gr_json_parse("t.json", cases[i].text, strlen(cases[i].text));
        CHECK(!doc, "%s was accepted", cases[i].name);
        CHECK(gr_error_status() == GR_ERR_FILE && strstr(gr_error(), "t.json: ") &&
                  strstr(gr_error(), cases[i].expected),
              "%s", cases[i].name);
        CHECK(strcspn(gr_error(), "\n") < 400 && !strpbrk(gr_error(), "\r\t\x1b"), "%s: message", cases[i].name);
        gr_json_free(doc);
    }
    char *deep = nested(GR_JSON_DEPTH), *deeper = nested(GR_JSON_DEPTH + 1), *bomb = nested(5000000);
    gr_json_doc *doc = gr_json_parse("t", deep, strlen(deep));
    CHECK(doc, "%d levels", GR_JSON_DEPTH);
    gr_json_free(doc);
    CHECK(!gr_json_parse("t", deeper, strlen(deeper)) && strstr(gr_error(), "nested"), "one level more");
    CHECK(strstr(gr_error(), "(line 1, column 129)"), "place");
    CHECK(!gr_json_parse("t", bomb, strlen(bomb)) && strstr(gr_error(), "nested"), "depth bomb");
    gr_free(deep);
    gr_free(deeper);
    gr_free(bomb);
    gr_file_write(in_folder("big.json"), "{\"a\": 123456789}", 16);
    CHECK(!gr_json_read(in_folder("big.json"), 10), "limit of a file");
    CHECK(!gr_json_read(in_folder("absent.json"), 10) && strstr(gr_error(), "absent.json"), "missing file");
}

static void build(gr_json_doc *doc)
{
    gr_json root = gr_json_root(doc), list = gr_json_put_array(root, "list"), sub = gr_json_put_object(root, "sub");
    gr_json_put_int(list, NULL, INT64_MIN);
    gr_json_put_int(list, NULL, INT64_MAX);
    gr_json_put_text(root, "text", "quote \" slash \\ newline \n bell \x07 \xc3\xa9");
    gr_json_put_null(root, "none");
    gr_json_put_bool(root, "yes", true);
    gr_json_put_f32(sub, "tenth", 0.1f);
    gr_json_put_f32(sub, "nan", NAN);
    gr_json_put_real(sub, "one", 1.0);
    gr_json_put_real(sub, "third", 1.0 / 3);
    gr_json_put_copy(root, "again", sub);
}

static void test_json_write(void)
{
    static const char compact[] =
        "{\"list\": [-9223372036854775808, 9223372036854775807], \"sub\": {\"tenth\": 0.1, \"nan\": null, \"one\": "
        "1.0, "
        "\"third\": 0.3333333333333333}, \"text\": \"quote \\\" slash \\\\ newline \\n bell \\u0007 \xc3\xa9\", "
        "\"none\": null, \"yes\": true, \"again\": {\"tenth\": 0.1, \"nan\": null, \"one\": 1.0, "
        "\"third\": 0.3333333333333333}}";
    gr_json_doc *doc = gr_json_new("built");
    build(doc);
    size_t size;
    char *text = gr_json_format(doc, false, &size);
    CHECK(text && strcmp(text, compact) == 0 && size == sizeof compact - 1, "compact: %s", text);
    gr_json_doc *again = gr_json_parse("again", text, size);
    char *second = gr_json_format(again, false, NULL);
    CHECK(second && strcmp(second, text) == 0, "written, read, written: %s", second);
    CHECK(gr_json_write(doc, in_folder("built.json")) == GR_OK, "file");
    gr_json_doc *from_file = gr_json_read(in_folder("built.json"), 10000);
    char *third = gr_json_format(from_file, false, NULL);
    CHECK(third && strcmp(third, text) == 0, "through an indented file: %s", third);
    gr_free(text);
    gr_free(second);
    gr_free(third);
    gr_json_put_real(gr_json_root(doc), "bad", INFINITY);
    CHECK(!gr_json_format(doc, true, NULL) && strstr(gr_error(), "built: key \"bad\""), "infinity is refused");
    gr_json_put_text(gr_json_root(again), "bad", "\xff");
    CHECK(!gr_json_format(again, true, NULL) && strstr(gr_error(), "not UTF-8"), "text that is not UTF-8 is refused");
    gr_json_free(doc);
    gr_json_free(again);
    gr_json_free(from_file);
}

/* glibc takes compiled locales from folders: those of the reference data serve where the machine has none. */
static bool comma_locale(void)
{
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "ru_RU.UTF-8"};
    const char *data = getenv("GRADUS_SHARED");
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            if (setlocale(LC_NUMERIC, names[i]))
                return true;
        char *path = gr_strfmt("%s/cases/lib-decimal-comma/locales", data ? data : "../shared");
        setenv("LOCPATH", path, 1);
        gr_free(path);
    }
    unsetenv("LOCPATH");
    return false;
}

/* Every f32 and f64 comes back with the same bits, in a locale whose decimal point is a comma too. */
static void test_json_numbers(void)
{
    bool comma = comma_locale();
    printf("decimal comma: %s\n", comma ? "tested" : "skipped, no such locale here");
    gr_metrics m = {
        .step = 7, .tokens = 9, .loss = 1.5, .lr = 0.25, .grad_norm = NAN, .tokens_per_s = 1e6, .seconds = 2.125};
    char line[400];
    gr_metrics_line(&m, line, sizeof line);
    CHECK(strcmp(line,
                 "{\"step\":7,\"tokens\":9,\"loss\":1.5,\"lr\":0.25,\"grad_norm\":null,\"tokens_per_s\":1000000.0,"
                 "\"seconds\":2.125}") == 0,
          "%s", line);
    gr_metrics_eval_line(7, 0.1, line, sizeof line);
    CHECK(strcmp(line, "{\"step\":7,\"eval_loss\":0.1}") == 0, "%s", line);
    char *end, mark[] = "1.25,5", number[] = "2.5 x";
    CHECK(gr_read_f64(mark, &end) == 1.25 && strcmp(end, ",5") == 0, "%s", end);
    CHECK(gr_read_f32(number, &end) == 2.5f && strcmp(end, " x") == 0, "%s", end);
    gr_pull r = {.p = "0.5]", .end = r.p + 4};
    double half = 0;
    CHECK(gr_pull_real(&r, &half) && half == 0.5 && *r.p == ']', "%g", half);
    uint64_t state = 1;
    for (int round = 0; round < 50; round++) {
        gr_json_doc *doc = gr_json_new("numbers");
        gr_json list = gr_json_put_array(gr_json_root(doc), "n");
        float f[100];
        double d[100];
        for (int i = 0; i < 100; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            uint64_t bits = state ^ state >> 29;
            uint32_t low = (uint32_t)(bits >> 16);
            memcpy(&f[i], &low, 4);
            memcpy(&d[i], &bits, 8);
            f[i] = isfinite(f[i]) ? f[i] : 0;
            d[i] = isfinite(d[i]) ? d[i] : -0.0;
            gr_json_put_f32(list, NULL, f[i]);
            gr_json_put_real(list, NULL, d[i]);
        }
        size_t size;
        char *text = gr_json_format(doc, false, &size);
        CHECK(text && !strchr(text, ';'), "format");
        gr_json_doc *back = gr_json_parse("back", text, size);
        gr_json read = gr_json_get(gr_json_root(back), "n");
        int wrong = gr_json_size(read) != 200;
        for (size_t i = 0; i < 100 && !wrong; i++) {
            float x = (float)gr_json_as_real(gr_json_item(read, 2 * i), -INFINITY, INFINITY);
            double y = gr_json_as_real(gr_json_item(read, 2 * i + 1), -INFINITY, INFINITY);
            wrong += memcmp(&x, &f[i], 4) != 0 || memcmp(&y, &d[i], 8) != 0;
        }
        CHECK(!wrong, "%d numbers changed", wrong);
        gr_free(text);
        gr_json_free(doc);
        gr_json_free(back);
    }
    setlocale(LC_NUMERIC, "C");
}

/* ---- safetensors -------------------------------------------------------------------------------------------- */

typedef struct bytes {
    unsigned char *data;
    size_t size;
} bytes;

/* Length, header, then `tail` bytes of data. */
static bytes file_of(uint64_t length, const char *header, size_t header_size, size_t tail)
{
    bytes b = {gr_alloc(8 + header_size + tail), 8 + header_size + tail};
    for (int i = 0; i < 8; i++)
        b.data[i] = (unsigned char)(length >> 8 * i);
    memcpy(b.data + 8, header, header_size);
    memset(b.data + 8 + header_size, 0x5a, tail);
    return b;
}

#define T(name, dtype, shape, begin, end)                                                                              \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

typedef struct hostile {
    const char *name, *header;
    size_t tail;
    int64_t length; /* -1: the header's own */
    const char *expected;
} hostile;

static const hostile hostile_files[] = {
    {"header length 0", "{}", 0, 0, "header length 0 too short"},
    {"header length 1", "{}", 0, 1, "header length 1 too short"},
    {"header over 100 MB", "{}", 0, 100000001, "more than the 100 MB"},
    {"header length negative", "{}", 0, INT64_MIN, "more than the 100 MB"},
    {"header past the end", "{}", 0, 3, "past the end of the file"},
    {"header is no object", "[]", 0, -1, "does not start with '{'"},
    {"header starts with a space", " {}", 0, -1, "does not start with '{'"},
    {"header cut", "{\"a\":", 0, -1, "not valid JSON"},
    {"not UTF-8", "{\"\xff\":1}", 0, -1, "not UTF-8"},
    {"duplicate key", "{" T("a", "U8", "[1]", 0, 1) "," T("a", "U8", "[1]", 0, 1) "}", 1, -1,
     "key \"a\": the key is there twice"},
    {"entry is no object", "{\"a\":1}", 0, -1, "key \"a\": expected an object"},
    {"no dtype", "{\"a\":{\"shape\":[],\"data_offsets\":[0,0]}}", 0, -1, "key \"a.dtype\": missing"},
    {"no shape", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,0]}}", 0, -1, "key \"a.shape\": missing"},
    {"no offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[0]}}", 0, -1, "key \"a.data_offsets\": missing"},
    {"unknown dtype", "{" T("a", "F7", "[1]", 0, 1) "}", 1, -1, "key \"a.dtype\": there is no dtype F7"},
    {"half a byte", "{" T("a", "F4", "[3]", 0, 1) "}", 1, -1, "key \"a.shape\": 12 bits of F4 are no whole bytes"},
    {"bytes of F6", "{" T("a", "F6_E2M3", "[4]", 0, 4) "}", 4, -1, "dtype and shape need 3"},
    {"bytes of U64", "{" T("a", "U64", "[2]", 0, 8) "}", 8, -1, "dtype and shape need 16"},
    {"overflow of bits", "{" T("a", "F4", "[4611686018427387904,4]", 0, 0) "}", 0, -1, "overflow"},
    {"dtype is a number", "{\"a\":{\"dtype\":1,\"shape\":[],\"data_offsets\":[0,0]}}", 0, -1, "expected a string"},
    {"extra key", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":1}}", 1, -1, "keys other than"},
    {"seven dims", "{" T("a", "U8", "[1,1,1,1,1,1,1]", 0, 1) "}", 1, -1, "key \"a.shape\": 7 dims"},
    {"negative dim", "{" T("a", "U8", "[-1]", 0, 1) "}", 1, -1,
     "key \"a.shape[0]\": expected an integer of at least 0"},
    {"fractional dim", "{" T("a", "U8", "[1.5]", 0, 1) "}", 1, -1, "expected an integer"},
    {"product overflow", "{" T("a", "F32", "[4294967296,4294967296]", 0, 4) "}", 4, -1, "overflow"},
    {"overflow hidden by 0", "{" T("a", "F32", "[4294967296,4294967296,0]", 0, 0) "}", 0, -1, "overflow"},
    {"overflow to the right size", "{" T("a", "F32", "[4611686018427387905]", 0, 4) "}", 4, -1, "overflow"},
    {"dim past 64 bits", "{" T("a", "U8", "[18446744073709551617]", 0, 1) "}", 1, -1, "expected an integer"},
    {"one offset", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, -1, "expected two offsets"},
    {"offsets reversed", "{" T("a", "U8", "[1]", 1, 0) "}", 1, -1, "reversed"},
    {"offset negative", "{" T("a", "U8", "[1]", -1, 0) "}", 1, -1, "of at least 0"},
    {"offset beyond the data", "{" T("a", "U8", "[2]", 0, 2) "}", 1, -1, "beyond the 1 bytes"},
    {"size disagrees", "{" T("a", "F32", "[2]", 0, 4) "}", 4, -1, "4 bytes, but dtype and shape need 8"},
    {"overlap", "{" T("a", "U8", "[2]", 0, 2) "," T("b", "U8", "[2]", 1, 3) "}", 3, -1, "tensor \"b\" starts at"},
    {"same place twice", "{" T("a", "U8", "[2]", 0, 2) "," T("b", "U8", "[2]", 0, 2) "}", 2, -1, "overlaps"},
    {"gap", "{" T("a", "U8", "[1]", 0, 1) "," T("b", "U8", "[1]", 2, 3) "}", 3, -1, "gap"},
    {"gap in front", "{" T("a", "U8", "[1]", 1, 2) "}", 2, -1, "gap"},
    {"trailing bytes", "{" T("a", "U8", "[1]", 0, 1) "}", 5, -1, "4 trailing bytes"},
    {"only trailing bytes", "{}", 3, -1, "3 trailing bytes"},
    {"metadata is text", "{\"__metadata__\":\"x\"}", 0, -1, "key \"__metadata__\": expected an object"},
    {"metadata of numbers", "{\"__metadata__\":{\"a\":1}}", 0, -1, "key \"__metadata__.a\": expected a string"},
    {"name with control characters", "{" T("a\\n\\u001b[2J", "U8", "[1]", 1, 2) "}", 2, -1, "\"a??[2J\""},
};

static void test_safetensors_hostile(void)
{
    for (size_t i = 0; i < sizeof hostile_files / sizeof *hostile_files; i++) {
        const hostile *h = &hostile_files[i];
        size_t n = strlen(h->header);
        bytes b = file_of(h->length == -1 ? n : (uint64_t)h->length, h->header, n, h->tail);
        gr_safetensors *st = gr_safetensors_parse("t.safetensors", b.data, b.size);
        CHECK(!st, "%s was accepted", h->name);
        CHECK(gr_error_status() == GR_ERR_FILE && strstr(gr_error(), "t.safetensors: ") &&
                  strstr(gr_error(), h->expected),
              "%s: expected %s", h->name, h->expected);
        gr_safetensors_close(st);
        gr_free(b.data);
    }
    for (size_t size = 0; size < 8; size++) {
        CHECK(!gr_safetensors_parse("t", "\2\0\0\0\0\0\0\0", size) && strstr(gr_error(), "too few"), "%zu bytes", size);
    }
    /* A thousand levels, in a key that would otherwise be ignored. */
    char *deep = nested(1000), *header = gr_strfmt("{\"a\":%s}", deep);
    bytes b = file_of(strlen(header), header, strlen(header), 0);
    CHECK(!gr_safetensors_parse("t", b.data, b.size) && strstr(gr_error(), "nested"), "nested depth");
    gr_free(deep);
    gr_free(header);
    gr_free(b.data);
    gr_file_write(in_folder("empty.safetensors"), "", 0);
    CHECK(!gr_safetensors_open(in_folder("empty.safetensors")) && strstr(gr_error(), "too few"), "an empty file");
    CHECK(!gr_safetensors_open(in_folder("absent")) && strstr(gr_error(), "absent"), "a missing file");
}

static void test_safetensors_good(void)
{
    static const char header[] = "{\"__metadata__\":{\"format\":\"pt\"}," T("b", "F32", "[2]", 1, 9) "," T(
        "a", "U8", "[1]", 0, 1) "," T("e", "F32", "[0,4]", 1, 1) "," T("s", "F64", "[]", 9, 17) "}   ";
    bytes b = file_of(sizeof header - 1, header, sizeof header - 1, 17);
    gr_safetensors *st = gr_safetensors_parse("t", b.data, b.size);
    CHECK(st && gr_safetensors_count(st) == 4, "opens");
    if (st) {
        const gr_weight *x = gr_safetensors_find(st, "b"), *e = gr_safetensors_find(st, "e");
        CHECK(x && x->dtype == GR_F32 && x->ndim == 1 && x->shape[0] == 2 && x->bytes == 8, "b");
        CHECK(x && (const unsigned char *)x->data == b.data + sizeof header - 1 + 8 + 1, "b's place");
        CHECK(e && e->bytes == 0 && e->ndim == 2 && e->shape[1] == 4, "an empty tensor");
        CHECK(gr_safetensors_find(st, "s")->ndim == 0, "a scalar");
        CHECK(!gr_safetensors_find(st, "c"), "not there");
        CHECK(strcmp(gr_safetensors_entry(st, 0)->name, "a") == 0, "in the order of the data");
        CHECK(strcmp(gr_safetensors_metadata(st, "format"), "pt") == 0, "metadata");
        CHECK(!gr_safetensors_metadata(st, "other"), "no such metadata");
    }
    gr_safetensors_close(st);
    gr_free(b.data);
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

static unsigned char values[4096];
static int fetched;

static gr_status fetch(void *user, int index, const void **data)
{
    (void)user;
    fetched++;
    *data = values + 16 * index;
    return GR_OK;
}

static const gr_weight sample[] = {
    {.name = "h.0.bias", .dtype = GR_F32, .ndim = 1, .shape = {5}},
    {.name = "mask", .dtype = GR_BOOL, .ndim = 2, .shape = {3, 1}},
    {.name = "wte \"q\" \xc3\xa9", .dtype = GR_BF16, .ndim = 2, .shape = {3, 7}},
    {.name = "scalar", .dtype = GR_I64, .ndim = 0},
    {.name = "empty", .dtype = GR_F32, .ndim = 2, .shape = {0, 4}},
    {.name = "a", .dtype = GR_F32, .ndim = 2, .shape = {2, 3}},
};
#define SAMPLES ((int)(sizeof sample / sizeof *sample))

static const char *const sample_metadata[][2] = {{"format", "pt"}};

static gr_safetensors_spec sample_spec(void)
{
    return (gr_safetensors_spec){
        .tensors = sample, .count = SAMPLES, .metadata = sample_metadata, .metadata_count = 1, .fetch = fetch};
}

/* The sample as gr_weights or a file gives it back. */
static bool is_sample(const gr_weight *t, int i)
{
    return t && t->dtype == sample[i].dtype && t->ndim == sample[i].ndim &&
           memcmp(t->shape, sample[i].shape, sizeof t->shape) == 0 && memcmp(t->data, values + 16 * i, t->bytes) == 0;
}

static void test_safetensors_write(void)
{
    gr_safetensors_spec spec = sample_spec(), reversed = spec;
    KEEP(path, "w.safetensors");
    fetched = 0;
    CHECK(gr_safetensors_write(path, &spec) == GR_OK && fetched == SAMPLES, "write");
    gr_safetensors *st = gr_safetensors_open(path);
    CHECK(st && gr_safetensors_count(st) == SAMPLES, "read back");
    for (int i = 0; st && i < SAMPLES; i++) {
        const gr_weight *t = gr_safetensors_find(st, sample[i].name);
        CHECK(is_sample(t, i), "%s", sample[i].name);
        CHECK(t && (uintptr_t)t->data % 8 == 0 ? true : t && t->dtype != GR_F32 && t->dtype != GR_I64, "aligned");
    }
    size_t header_size = 1;
    if (st)
        gr_safetensors_header(st, &header_size);
    CHECK(header_size % 64 == 0, "the data starts at %zu", header_size);
    gr_safetensors_close(st);

    /* The same tensors in another order, given as memory: the same file. */
    gr_weight other[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
        other[i] = sample[SAMPLES - 1 - i];
        other[i].data = values + 16 * (SAMPLES - 1 - i);
    }
    reversed.tensors = other;
    reversed.fetch = NULL;
    CHECK(gr_safetensors_write(in_folder("r.safetensors"), &reversed) == GR_OK, "write");
    size_t n = 0, m = 1;
    char *one = gr_file_read(path, 1 << 20, &n), *two = gr_file_read(in_folder("r.safetensors"), 1 << 20, &m);
    CHECK(one && two && n == m && memcmp(one, two, n) == 0, "a file that depends on the tensors alone");
    gr_free(one);
    gr_free(two);
}

static gr_status fetch_fails(void *user, int index, const void **data)
{
    return index == 3 ? gr_fail(GR_ERR_NUMBER, "the device is gone") : fetch(user, index, data);
}

static void test_safetensors_write_refuses(void)
{
    gr_safetensors_spec spec = sample_spec();
    gr_weight bad[2] = {sample[0], sample[0]};
    KEEP(path, "bad.safetensors");
    spec.fetch = fetch_fails;
    CHECK(gr_safetensors_write(path, &spec) == GR_ERR_NUMBER && strstr(gr_error(), "\"scalar\""), "a fetch that fails");
    spec = sample_spec();
    spec.fetch = NULL;
    CHECK(gr_safetensors_write(path, &spec) == GR_ERR_ARGUMENT, "no data");
    spec = sample_spec();
    spec.tensors = bad;
    spec.count = 2;
    CHECK(gr_safetensors_write(path, &spec) != GR_OK && strstr(gr_error(), "two tensors of this name"), "same name");
    bad[1].name = "b";
    bad[1].ndim = 2;
    bad[1].shape[0] = bad[1].shape[1] = (int64_t)1 << 33;
    CHECK(gr_safetensors_write(path, &spec) == GR_ERR_ARGUMENT, "overflow");
    bad[1].shape[0] = -1;
    CHECK(gr_safetensors_write(path, &spec) == GR_ERR_ARGUMENT, "negative dim");
    bad[1] = sample[0];
    bad[1].name = "\xff";
    CHECK(gr_safetensors_write(path, &spec) != GR_OK, "a name that is not UTF-8");
    bad[1].name = "__metadata__";
    CHECK(gr_safetensors_write(path, &spec) != GR_OK, "a name that is taken");
    CHECK(!gr_path_is_file(path), "nothing was left behind");
}

/* ---- sharded models ----------------------------------------------------------------------------------------- */

static void test_weights(void)
{
    gr_safetensors_spec spec = sample_spec();
    KEEP(dir, "sharded");
    gr_dir_make(dir);
    CHECK(gr_weights_save(dir, &spec, 40) == GR_OK, "save in shards");
    gr_weights *w = gr_weights_open(dir);
    CHECK(w && gr_weights_count(w) == SAMPLES && gr_weights_files(w) >= 3, "open shards");
    for (int i = 0; w && i < SAMPLES; i++) {
        CHECK(is_sample(gr_weights_find(w, sample[i].name), i), "%s", sample[i].name);
        CHECK(i == 0 || strcmp(gr_weights_entry(w, i - 1)->name, gr_weights_entry(w, i)->name) < 0, "sorted");
    }
    CHECK(w && !gr_weights_find(w, "absent"), "not there");
    gr_weights_close(w);

    KEEP(single, "single");
    gr_dir_make(single);
    CHECK(gr_weights_save(single, &spec, 0) == GR_OK, "save in one file");
    w = gr_weights_open(single);
    CHECK(w && gr_weights_files(w) == 1 && gr_weights_count(w) == SAMPLES, "open one file");
    gr_weights_close(w);
    w = gr_weights_open(in_folder("single/model.safetensors"));
    CHECK(w && gr_weights_count(w) == SAMPLES, "open by the file's name");
    gr_weights_close(w);
    CHECK(!gr_weights_open(folder) && strstr(gr_error(), "no model.safetensors"), "a directory without a model");
}

static void test_index_hostile(void)
{
    /* Shard x.safetensors holds a and b, y.safetensors holds c. */
    static const struct {
        const char *name, *index, *expected;
    } cases[] = {
        {"good", "{\"weight_map\":{\"a\":\"x.safetensors\",\"b\":\"x.safetensors\",\"c\":\"y.safetensors\"}}", NULL},
        {"no map", "{}", "key \"weight_map\": missing"},
        {"map is a list", "{\"weight_map\":[]}", "key \"weight_map\": expected an object"},
        {"map is empty", "{\"weight_map\":{}}", "lists no tensor"},
        {"parent path", "{\"weight_map\":{\"a\":\"../x.safetensors\"}}", "key \"weight_map.a\": a shard must be"},
        {"absolute path", "{\"weight_map\":{\"a\":\"/etc/x.safetensors\"}}", "without a path"},
        {"backslash", "{\"weight_map\":{\"a\":\"..\\\\x.safetensors\"}}", "without a path"},
        {"drive", "{\"weight_map\":{\"a\":\"c:x.safetensors\"}}", "without a path"},
        {"hidden file", "{\"weight_map\":{\"a\":\".safetensors\"}}", "without a path"},
        {"other file", "{\"weight_map\":{\"a\":\"passwd\"}}", "without a path"},
        {"number", "{\"weight_map\":{\"a\":1}}", "expected a string"},
        {"missing shard", "{\"weight_map\":{\"a\":\"z.safetensors\"}}", "z.safetensors"},
        {"tensor not listed", "{\"weight_map\":{\"a\":\"x.safetensors\",\"c\":\"y.safetensors\"}}",
         "\"b\" of shard x.saf"},
        {"tensor not held",
         "{\"weight_map\":{\"a\":\"x.safetensors\",\"b\":\"x.safetensors\",\"c\":\"y.safetensors\",\"d\":\"y."
         "safetensors\"}}",
         "key \"weight_map.d\": shard y.safetensors does not hold"},
        {"a name in two shards",
         "{\"weight_map\":{\"a\":\"x.safetensors\",\"b\":\"x.safetensors\",\"c\":\"twice.safetensors\",\"d\":\"y."
         "safetensors\"}}",
         "\"c\" should be in shard twice.safetensors but is in y.safetensors"},
        {"a name twice, of which the last counts",
         "{\"weight_map\":{\"a\":\"y.safetensors\",\"b\":\"x.safetensors\",\"a\":\"x.safetensors\",\"c\":\"y."
         "safetensors\"}}",
         NULL},
        {"shard with trailing bytes", "{\"weight_map\":{\"a\":\"tail.safetensors\"}}", "3 trailing bytes"},
        {"empty shard", "{\"weight_map\":{\"a\":\"empty.safetensors\"}}", "empty.safetensors: 0 bytes are too few"},
        {"shard is a folder", "{\"weight_map\":{\"a\":\"folder.safetensors\"}}", "folder.safetensors: Is a directory"},
        {"shard is a loop of links", "{\"weight_map\":{\"a\":\"loop.safetensors\"}}", "loop.safetensors: "},
        {"shard is a link to nowhere", "{\"weight_map\":{\"a\":\"lost.safetensors\"}}", "lost.safetensors: No such"},
        {"shard is a pipe", "{\"weight_map\":{\"a\":\"pipe.safetensors\"}}", "not a regular file"},
        {"shard lists itself", "{\"weight_map\":{\"a\":\"model.safetensors.index.json\"}}", "without a path"},
        {"shard with a NUL", "{\"weight_map\":{\"a\":\"x.safetensors\\u0000y\"}}", "NUL"},
        {"depth", "{\"weight_map\":{\"a\":[[[[[]]]]]}}", "expected a string"},
        {"cut", "{\"weight_map\":{\"a\":\"x.saf", "not valid JSON"},
        {"tensor in another shard",
         "{\"weight_map\":{\"a\":\"x.safetensors\",\"b\":\"y.safetensors\",\"c\":\"y.safetensors\"}}",
         "\"b\" should be in shard y.safetensors"},
    };
    gr_weight t[4] = {sample[0], sample[0], sample[0], sample[0]};
    t[0].name = "a";
    t[1].name = "b";
    t[2].name = t[3].name = "c";
    for (int i = 0; i < 4; i++)
        t[i].data = values;
    gr_dir_make(in_folder("index"));
    bytes damaged = file_of(2, "{}", 2, 3);
    gr_file_write(in_folder("index/tail.safetensors"), damaged.data, damaged.size);
    gr_file_write(in_folder("index/empty.safetensors"), "", 0);
    gr_free(damaged.data);
    gr_dir_make(in_folder("index/folder.safetensors"));
    bool linked = symlink("loop.safetensors", in_folder("index/loop.safetensors")) == 0 &&
                  symlink("../nowhere", in_folder("index/lost.safetensors")) == 0 &&
                  mkfifo(in_folder("index/pipe.safetensors"), 0600) == 0;
    CHECK(linked, "links and a pipe");
    gr_safetensors_write(in_folder("index/twice.safetensors"), &(gr_safetensors_spec){.tensors = t + 3, .count = 1});
    gr_safetensors_write(in_folder("index/x.safetensors"), &(gr_safetensors_spec){.tensors = t, .count = 2});
    gr_safetensors_write(in_folder("index/y.safetensors"), &(gr_safetensors_spec){.tensors = t + 2, .count = 1});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        KEEP(path, "index/model.safetensors.index.json");
        gr_file_write(path, cases[i].index, strlen(cases[i].index));
        gr_weights *w = gr_weights_open(in_folder("index"));
        if (cases[i].expected)
            CHECK(!w && strstr(gr_error(), cases[i].expected), "%s: expected %s", cases[i].name, cases[i].expected);
        else
            CHECK(w && gr_weights_count(w) == 3, "%s", cases[i].name);
        gr_weights_close(w);
    }
}

/* Directories as they are found: what else stands there, and what there is instead of weights. */
static void test_folders(void)
{
    static const struct {
        const char *name, *file, *expected;
    } cases[] = {
        {"pickle", "pytorch_model.bin", "pytorch_model.bin: no file of torch.save"},
        {"pickles", "pytorch_model-00001-of-00002.bin", "in this directory, but pytorch_model-00001-of-00002.bin"},
        {"checkpoint of PyTorch", "model.pth", "in this directory, but model.pth"},
        {"other name", "consolidated.safetensors", "in this directory, but consolidated.safetensors"},
        {"nothing", "README.md", "no index of shards of either in this directory\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        KEEP(dir, cases[i].name);
        gr_dir_make(dir);
        char *path = gr_path_join(dir, cases[i].file);
        gr_file_write(path, "x", 1);
        CHECK(!gr_weights_open(dir) && gr_error_status() == GR_ERR_FILE && strstr(gr_error(), cases[i].expected),
              "%s: expected %s", cases[i].name, cases[i].expected);
        gr_free(path);
    }
    /* A single file wins over an index, as in transformers; a cache's links are followed, broken ones are told. */
    gr_weight t = sample[0];
    t.data = values;
    gr_safetensors_spec spec = {.tensors = &t, .count = 1};
    gr_dir_make(in_folder("cache/snapshots/1"));
    gr_dir_make(in_folder("cache/blobs"));
    gr_safetensors_write(in_folder("cache/blobs/abc"), &spec);
    KEEP(index, "cache/snapshots/1/model.safetensors.index.json");
    gr_file_write(index, "{}", 2);
    KEEP(link, "cache/snapshots/1/model.safetensors");
    CHECK(symlink("../../blobs/abc", link) == 0, "link");
    gr_weights *w = gr_weights_open(in_folder("cache/snapshots/1"));
    CHECK(w && gr_weights_count(w) == 1, "a link into the cache");
    gr_weights_close(w);
    unlink(in_folder("cache/blobs/abc"));
    CHECK(!gr_weights_open(in_folder("cache/snapshots/1")) && strstr(gr_error(), "model.safetensors: No such file"),
          "a blob that is not there");
    unlink(link);
    CHECK(symlink("model.safetensors", link) == 0, "link");
    CHECK(!gr_weights_open(in_folder("cache/snapshots/1")) && strstr(gr_error(), "snapshots/1/model.safetensors: "),
          "a loop of links");
}

/* ---- without memory, without disk --------------------------------------------------------------------------- */

/* One go through everything; false when something failed. */
static bool round_trip(void)
{
    gr_safetensors_spec spec = sample_spec();
    KEEP(dir, "sweep");
    bool ok = gr_weights_save(dir, &spec, 40) == GR_OK;
    gr_weights *w = ok ? gr_weights_open(dir) : NULL;
    gr_json_doc *doc = gr_json_new("sweep");
    if (doc)
        build(doc);
    char *text = doc ? gr_json_format(doc, true, NULL) : NULL;
    ok = ok && w && is_sample(gr_weights_find(w, sample[5].name), 5) && text;
    gr_free(text);
    gr_json_free(doc);
    gr_weights_close(w);
    return ok;
}

static void test_failures(void)
{
    gr_dir_make(in_folder("sweep"));
    CHECK(round_trip(), "without failures");
    int64_t live = gr_mem_read_stats().live_blocks, calls = gr_mem_read_stats().calls;
    round_trip();
    calls = gr_mem_read_stats().calls - calls;
    CHECK(gr_mem_read_stats().live_blocks == live, "leak");
    for (int64_t n = 1; n <= calls; n++) {
        gr_error_clear();
        gr_mem_fail_at(n);
        bool ok = round_trip();
        gr_mem_fail_at(0);
        CHECK(!ok && gr_error_status() == GR_ERR_MEMORY, "allocation %lld of %lld", (long long)n, (long long)calls);
        CHECK(gr_mem_read_stats().live_blocks == live, "leak after allocation %lld", (long long)n);
    }
    int failed = 0;
    for (int n = 1;; n++) {
        gr_error_clear();
        gr_file_fail_at(n);
        bool ok = round_trip();
        gr_file_fail_at(0);
        if (ok)
            break;
        CHECK(gr_error_status() == GR_ERR_FILE, "write %d", n);
        CHECK(gr_mem_read_stats().live_blocks == live, "leak after write %d", n);
        failed++;
    }
    CHECK(failed > 10, "%d writes", failed);
    printf("%lld allocations and %d writes failed\n", (long long)calls, failed);
}

/* Hugging Face's own reader on what we wrote. */
static void test_against_python(void)
{
    const char *python = getenv("GRADUS_PYTHON");
    char command[1200];
    snprintf(command, sizeof command,
             "%s -c \"import sys, json; from safetensors import safe_open\n"
             "with safe_open('%s', 'np') as f:\n"
             "    assert len(f.keys()) == 6 and f.metadata() == {'format': 'pt'}, f.keys()\n"
             "    a = f.get_tensor('a')\n"
             "    assert a.shape == (2, 3) and a.tobytes()[0] == %d, a\n\"",
             python ? python : "python3", in_folder("w.safetensors"), values[16 * 5]);
    if (system("python3 -c 'import safetensors, numpy' 2>/dev/null") != 0 && !python)
        printf("skipped: no Python with safetensors to read our files with\n");
    else
        CHECK(system(command) == 0, "the safetensors package reads our file");
}

/* A tokenizer.json of real size; prints the time it took. */
static void test_json_speed(void)
{
    const char *shared = getenv("GRADUS_SHARED");
    char *path = gr_strfmt("%s/data/tokenizers/llama3/tokenizer.json", shared ? shared : "../shared");
    if (gr_path_is_file(path)) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        gr_json_doc *doc = gr_json_read(path, GR_JSON_LIMIT);
        clock_gettime(CLOCK_MONOTONIC, &b);
        CHECK(doc, "%s", path);
        printf("tokenizer.json of 17 MB: %.0f ms, %.0f MB\n",
               1e3 * (double)(b.tv_sec - a.tv_sec) + 1e-6 * (double)(b.tv_nsec - a.tv_nsec),
               1e-6 * (double)gr_mem_read_stats().live_bytes);
        gr_json_free(doc);
    } else {
        printf("skipped: no %s\n", path);
    }
    gr_free(path);
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    for (size_t i = 0; i < sizeof values; i++)
        values[i] = (unsigned char)(i * 7 + 1);
    int64_t live = gr_mem_read_stats().live_blocks;
    test_json_read();
    test_json_getters_fail();
    test_json_fails_at_length();
    test_json_long_path();
    test_printable();
    test_json_as_python();
    test_json_keys();
    test_json_paths();
    test_json_hostile();
    test_json_write();
    test_json_numbers();
    test_json_speed();
    test_safetensors_hostile();
    test_safetensors_good();
    test_safetensors_write();
    test_safetensors_write_refuses();
    test_weights();
    test_index_hostile();
    test_folders();
    test_failures();
    test_against_python();
    CHECK(gr_mem_read_stats().live_blocks == live, "%lld blocks leaked",
          (long long)(gr_mem_read_stats().live_blocks - live));
    gr_dir_remove(folder);
    return check_result();
}
