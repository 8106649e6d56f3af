/* UTF-8: what is well-formed, at every border of the table in the Unicode standard (3.9, table 3-7), and what is read out of
 * JSON: texts with escapes, numbers. */
#include "test.h"

#include "base/utf8.h"
#include "base/json.h"
#include "base/json_pull.h"

/* ---- the definition ----------------------------------------------------------------------------------------- */

/* How many bytes at p are the encoding of a scalar value, by the value: not by ranges of bytes, as the library has it. */
static size_t encoded(const unsigned char *p, size_t size)
{
    static const struct {
        unsigned char mask, mark;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 0}, {0xE0, 0xC0, 0x80}, {0xF0, 0xE0, 0x800}, {0xF8, 0xF0, 0x10000}};
    for (size_t n = 1; n <= 4 && n <= size; n++) {
        if ((p[0] & forms[n - 1].mask) != forms[n - 1].mark)
            continue;
        uint32_t c = p[0] & (unsigned char)~forms[n - 1].mask;
        for (size_t i = 1; i < n; i++) {
            if ((p[i] & 0xC0) != 0x80)
                return 0;
            c = c << 6 | (p[i] & 0x3F);
        }
        return c >= forms[n - 1].least && c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF) ? n : 0;
    }
    return 0;
}

static size_t whole_of(const unsigned char *p, size_t size)
{
    size_t at = 0;
    for (size_t n; at < size && (n = encoded(p + at, size - at)); at += n)
        ;
    return at;
}

/* ---- short texts -------------------------------------------------------------------------------------------- */

static bool agrees(const unsigned char *p, size_t size)
{
    return gr_utf8_prefix((const char *)p, size) == whole_of(p, size);
}

TEST(all_of_one_to_three_bytes)
{
    unsigned char p[3];
    int64_t wrong = 0;
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            p[0] = (unsigned char)a, p[1] = (unsigned char)b;
            wrong += !agrees(p, 1) + !agrees(p, 2);
            for (unsigned c = 0; a >= 0x80 && c < 256; c++) {
                p[2] = (unsigned char)c;
                wrong += !agrees(p, 3);
            }
        }
    CHECK_EQ_INT(wrong, 0);
}

/* Bytes on both sides of each border that a table of UTF-8 has. */
static const unsigned char borders[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF,
                                        0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF7, 0xFF};
enum { N = sizeof borders, ALL = N * N * N * N };

static void nth(int i, unsigned char p[4])
{
    for (int k = 0; k < 4; k++, i /= N)
        p[k] = borders[i % N];
}

TEST(four_bytes_at_the_borders)
{
    int64_t wrong = 0;
    for (int i = 0; i < ALL; i++) {
        unsigned char p[4];
        nth(i, p);
        wrong += !agrees(p, 4);
    }
    CHECK_EQ_INT(wrong, 0);
}

/* ---- long texts, which are looked at in another way --------------------------------------------------------- */

TEST(a_long_text_at_the_borders)
{
    enum { SIZE = 4100 };
    unsigned char text[SIZE];
    int64_t wrong = 0;
    memset(text, 'a', SIZE);
    memcpy(text, "\xC3\xA9", 2);       /* not all ASCII */
    for (int i = 0; i < ALL; i += 7) { /* no divisor of N, so all pairs and triples come */
        unsigned char *at = text + 100 + i % 1500 * 2;
        nth(i, at);
        /* The definition is asked around the place alone. */
        size_t whole = whole_of(at, 5);
        wrong += gr_utf8_prefix((const char *)text, SIZE) != (whole == 5 ? SIZE : (size_t)(at - text) + whole);
        memset(at, 'a', 4);
    }
    CHECK_EQ_INT(wrong, 0);
}

/* Every pair of a lead byte and what follows, once as the first bytes of a long text. */
TEST(a_long_text_with_all_second_bytes)
{
    enum { SIZE = 4100 };
    unsigned char text[SIZE];
    int64_t wrong = 0;
    memset(text, 'a', SIZE);
    for (int tails = 0; tails < 3; tails++)
        for (unsigned a = 0x80; a < 256; a++)
            for (unsigned b = 0; b < 256; b++) {
                unsigned char *at = text + 2000;
                memset(at, 'a', 4);
                memset(at + 2, 0x80, (size_t)tails);
                at[0] = (unsigned char)a, at[1] = (unsigned char)b;
                size_t whole = whole_of(at, 5);
                wrong += gr_utf8_prefix((const char *)text, SIZE) != (whole == 5 ? SIZE : 2000 + whole);
            }
    CHECK_EQ_INT(wrong, 0);
}

TEST(where_utf8_ends)
{
    static const struct {
        const char *text;
        size_t size, whole;
    } cases[] = {
        {"", 0, 0},
        {"plain ASCII of some length", 26, 26},
        {"eight by\xC3\xA9", 10, 10},
        {"eight by\xE9 and more than that", 27, 8},
        {"a\xC3", 2, 1},
        {"\xF0\x9F\x98\x80\xF0\x9F\x98", 7, 4},
        {"\xED\xA0\x80", 3, 0}, /* a surrogate */
        {"\xC0\xAF", 2, 0},     /* overlong */
        {"nul\0is fine, too, in a text", 27, 27},
        {"\xE7\x8B\x90\xE7\x8B\x90\xE7\x8B\x90\x80", 10, 9},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_EQ_INT(gr_utf8_prefix(cases[i].text, cases[i].size), cases[i].whole);
        CHECK(gr_utf8_valid(cases[i].text, cases[i].size) == (cases[i].size == cases[i].whole));
    }
    CHECK_EQ_INT(gr_utf8_prefix(NULL, 0), 0);
}

/* Sets a byte, looks, and sets it back. */
static bool ends_there(char *text, size_t size, size_t at, char odd, size_t wanted)
{
    char was = text[at];
    text[at] = odd;
    bool same = gr_utf8_prefix(text, size) == wanted;
    text[at] = was;
    return same;
}

/* A long text is looked at in blocks, of these in parts: an odd byte anywhere is found where it is. */
TEST(where_utf8_ends_in_a_long_text)
{
    enum { SIZE = 50000 };
    static const char *const kinds[] = {"a", "\xC3\xA9", "\xE7\x8B\x90", "\xF0\x9F\x98\x80", "word \xC3\xA9 "};
    char *text = gr_alloc(SIZE);
    CHECK_MADE(text);
    bool good = true;
    for (size_t kind = 0; good && kind < sizeof kinds / sizeof *kinds; kind++) {
        size_t n = strlen(kinds[kind]), size = 0, units = SIZE / n;
        for (; size < units * n; size += n)
            memcpy(text + size, kinds[kind], n);
        good = gr_utf8_prefix(text, size) == size;
        for (size_t k = 0; good && k < units; k += 1 + k / 9) {
            good = ends_there(text, size, k * n, (char)0xFF, k * n);
            if (kind > 0 && kind < 4) /* a character without its end */
                good = good && ends_there(text, size, k * n + n - 1, 'x', k * n);
        }
        if (kind > 0 && kind < 4)
            good = good && gr_utf8_prefix(text, size - 1) == size - n;
    }
    gr_free(text);
    CHECK(good);
}

/* ---- those who ask ------------------------------------------------------------------------------------------ */

/* Characters: what is read is what was written, and a wrong byte is one of its own. */
TEST(every_character_is_read_as_written)
{
    int64_t wrong = 0;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char p[4];
        int n = gr_utf8_write(c, p), size;
        bool surrogate = c >= 0xD800 && c < 0xE000;
        uint32_t read = gr_utf8_read(p, p + n, &size);
        wrong += surrogate ? read != GR_INVALID_BYTE + 0xEDu || size != 1 : read != c || size != n;
        for (int cut = 1; cut < n; cut++) {
            read = gr_utf8_read(p, p + cut, &size);
            wrong += read != (uint32_t)GR_INVALID_BYTE + (unsigned char)p[0] || size != 1;
        }
    }
    CHECK_EQ_INT(wrong, 0);
}

/* A string of JSON at each border: inside, outside, cut short. */
TEST(json_takes_what_is_well_formed)
{
    static const char *const good[] = {"\xC2\x80",         "\xDF\xBF",         "\xE0\xA0\x80",     "\xE0\xBF\xBF",
                                       "\xE1\x80\x80",     "\xEC\xBF\xBF",     "\xED\x80\x80",     "\xED\x9F\xBF",
                                       "\xEE\x80\x80",     "\xEF\xBF\xBF",     "\xF0\x90\x80\x80", "\xF0\xBF\xBF\xBF",
                                       "\xF1\x80\x80\x80", "\xF3\xBF\xBF\xBF", "\xF4\x80\x80\x80", "\xF4\x8F\xBF\xBF"};
    static const char *const bad[] = {"\x80",
                                      "\xBF",
                                      "\xC0\x80",
                                      "\xC1\xBF",
                                      "\xE0\x80\x80",
                                      "\xE0\x9F\xBF",
                                      "\xED\xA0\x80",
                                      "\xED\xBF\xBF",
                                      "\xF0\x80\x80\x80",
                                      "\xF0\x8F\xBF\xBF",
                                      "\xF4\x90\x80\x80",
                                      "\xF4\xBF\xBF\xBF",
                                      "\xF5\x80\x80\x80",
                                      "\xFE",
                                      "\xFF"};
    char text[16];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        for (size_t n = strlen(good[i]), cut = 0; cut < n; cut++) {
            int size = snprintf(text, sizeof text, "[\"%.*s\"]", (int)(n - cut), good[i]);
            gr_json_doc *doc = gr_json_parse("text", text, (size_t)size);
            if ((doc != NULL) != (cut == 0))
                FAIL("%zu cut %zu: %s", i, cut, gr_error());
            gr_json_free(doc);
        }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int size = snprintf(text, sizeof text, "[\"%s\"]", bad[i]);
        CHECK(!gr_json_parse("text", text, (size_t)size));
    }
}

/* What the only string of a text is; NULL: the text is refused. Caller frees the doc. */
static const char *only_string(const char *text, size_t *size, gr_json_doc **doc)
{
    *doc = gr_json_parse("text", text, strlen(text));
    return *doc ? gr_json_as_text(gr_json_item(gr_json_root(*doc), 0), size) : NULL;
}

/* Every \\uXXXX alone: a character, or half of one, which is none. */
TEST(every_escape_of_json)
{
    int64_t wrong = 0;
    for (unsigned u = 0; u < 0x10000; u++) {
        char text[16], want[4];
        size_t size = 0;
        gr_json_doc *doc;
        bool is_half = u >= 0xD800 && u < 0xE000, is_byte = u >= 0xDC80 && u < 0xDD00;
        snprintf(text, sizeof text, u % 2 ? "[\"\\u%04x\"]" : "[\"\\u%04X\"]", u);
        if (is_byte) { /* of a path that is no text */
            doc = gr_json_parse("text", text, strlen(text));
            const char *path = doc ? gr_json_as_path(gr_json_item(gr_json_root(doc), 0)) : "";
            wrong += (unsigned char)path[0] != (u & 0xFF) || path[1];
        } else {
            const char *got = only_string(text, &size, &doc);
            int n = gr_utf8_write(u, want);
            wrong += is_half ? got != NULL : !got || size != (size_t)n || memcmp(got, want, size) != 0;
        }
        gr_json_free(doc);
    }
    CHECK_EQ_INT(wrong, 0);
}

TEST(pairs_of_escapes_at_the_borders)
{
    static const unsigned high[] = {0xD7FF, 0xD800, 0xDBFF, 0xDC00}, low[] = {0xDBFF, 0xDC00, 0xDFFF, 0xE000};
    for (int i = 0; i < 16; i++) {
        unsigned a = high[i / 4], b = low[i % 4];
        char text[32], want[8];
        size_t size = 0;
        gr_json_doc *doc;
        snprintf(text, sizeof text, "[\"\\u%04x\\u%04x\"]", a, b);
        const char *got = only_string(text, &size, &doc);
        bool is_pair = (a == 0xD800 || a == 0xDBFF) && (b == 0xDC00 || b == 0xDFFF),
             are_two = a == 0xD7FF && b == 0xE000;
        int n = is_pair ? gr_utf8_write(0x10000 + (a - 0xD800) * 0x400 + (b - 0xDC00), want) : 0;
        if (are_two) {
            n = gr_utf8_write(a, want);
            n += gr_utf8_write(b, want + n);
        }
        if ((got != NULL) != (n > 0) || size != (size_t)n || (n && memcmp(got, want, size) != 0))
            FAIL("%s", text);
        gr_json_free(doc);
    }
    static const char *const cut[] = {
        "[\"\\ud800\"]", "[\"\\ud800\\n\"]", "[\"\\ud800\\udc0\"]", "[\"\\ud800dc00\"]", "[\"\\u12\"]", "[\"\\u12g4\"]",
        "[\"\\u"};
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++)
        CHECK(!gr_json_parse("text", cut[i], strlen(cut[i])));
}

/* Numbers that are read without a document, as ids of a vocabulary are. */
TEST(whole_numbers_of_json)
{
    static const struct {
        const char *text;
        uint32_t most;
        int64_t value; /* -1: it is none, or too large */
    } cases[] = {{"0,", 9, 0},
                 {" 7]", 7, 7},
                 {"10 ", 10, 10},
                 {"4294967295}", UINT32_MAX, UINT32_MAX},
                 {"11,", 10, -1},
                 {"4294967296,", UINT32_MAX, -1},
                 {"12345678901,", UINT32_MAX, -1},
                 {"00,", 9, -1},
                 {"07,", 9, -1},
                 {"-1,", 9, -1},
                 {"1.5,", 9, -1},
                 {"1e0,", 9, -1},
                 {"12", 99, -1},
                 {",", 9, -1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t x = 0;
        gr_pull r = {.p = cases[i].text, .end = cases[i].text + strlen(cases[i].text)};
        bool read = gr_pull_index(&r, cases[i].most, &x);
        if (read != (cases[i].value >= 0) || (read && x != cases[i].value))
            FAIL("%s", cases[i].text);
        gr_pull_free(&r);
    }
}
