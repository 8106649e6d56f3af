/* Encoding cases as JSON lines, {"text", "ids", "ids_special", "decoded"}, made by the `tokenizers` package. */
#ifndef GR_TESTS_TEXT_CASES_H
#define GR_TESTS_TEXT_CASES_H

#include "base/json.h"
#include "test.h"

static inline bool same_ids(gr_json want, const int32_t *ids, size_t n)
{
    if (gr_json_size(want) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (gr_json_as_int(gr_json_item(want, i), 0, INT32_MAX) != ids[i])
            return false;
    return true;
}

static inline void check_text(const char *what, const char *text, size_t size, gr_json want)
{
    size_t want_size;
    const char *want_text = gr_json_as_text(want, &want_size);
    if (size != want_size || memcmp(text, want_text, size) != 0)
        FAIL("%s is \"%.*s\", not \"%s\"", what, (int)size, text, want_text);
}

/* What a stream shows of ids one at a time; every part is whole characters. */
static inline void check_stream(gr_tokenizer *t, const int32_t *ids, size_t n, gr_json want)
{
    gr_text_stream *s = gr_text_stream_new(t, 0);
    char *all = calloc(1, 1 << 20);
    size_t used = 0, size;
    const char *text;
    CHECK_MADE(s);
    for (size_t i = 0; i <= n; i++) {
        CHECK_OK(i < n ? gr_text_stream_feed(s, ids[i], &text, &size) : gr_text_stream_feed(s, -1, &text, &size));
        CHECK(gr_utf8_valid(text, size));
        CHECK(used + size < 1 << 20);
        memcpy(all + used, text, size);
        used += size;
    }
    check_text("streamed text", all, used, want);
    free(all);
    gr_text_stream_free(s);
}

static inline void check_case(gr_tokenizer *t, gr_json c)
{
    size_t size, n;
    const char *text = gr_json_as_text(gr_json_get(c, "text"), &size), *decoded;
    const int32_t *ids;
    CHECK_OK(gr_tokenizer_encode(t, text, size, GR_PARSE_SPECIAL | GR_ADD_SPECIAL, &ids, &n));
    CHECK(same_ids(gr_json_get(c, "ids_special"), ids, n));
    CHECK_OK(gr_tokenizer_encode(t, text, size, GR_PARSE_SPECIAL, &ids, &n));
    CHECK(same_ids(gr_json_get(c, "ids"), ids, n));
    check_stream(t, ids, n, gr_json_get(c, "decoded"));
    int32_t *copy = malloc((n + 1) * sizeof *copy);
    memcpy(copy, ids, n * sizeof *copy);
    CHECK_OK(gr_tokenizer_decode(t, copy, n, 0, &decoded, &size));
    check_text("decoded text", decoded, size, gr_json_get(c, "decoded"));
    free(copy);
}

/* All lines of a file; returns how many. */
static inline int check_cases(gr_tokenizer *t, const char *path)
{
    size_t size;
    char *file = gr_file_read(path, 100 << 20, &size);
    int count = 0;
    CHECK_MADE(file);
    for (char *line = file, *end; (end = memchr(line, '\n', (size_t)(file + size - line))); line = end + 1) {
        gr_json_doc *doc = gr_json_parse("case", line, (size_t)(end - line));
        CHECK_MADE(doc);
        NOTE("%s:%d: %.*s", path, ++count, end - line > 200 ? 200 : (int)(end - line), line);
        check_case(t, gr_json_root(doc));
        gr_json_free(doc);
    }
    gr_free(file);
    NOTE("%s", "");
    return count;
}

#endif
