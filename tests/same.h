/* Is one run the other, to the last bit? Files of two directories, and metrics without what the clock says. */
#ifndef GRADUS_TESTS_SAME_H
#define GRADUS_TESTS_SAME_H

#include "test.h"

static void check_same_file(const char *a, const char *b, const char *name)
{
    size_t n, m;
    char *x = gr_file_read(test_join(a, name), 1 << 24, &n), *y = gr_file_read(test_join(b, name), 1 << 24, &m);
    CHECK_MADE(x);
    CHECK_MADE(y);
    if (n != m || memcmp(x, y, n) != 0)
        FAIL("%s differs between %s and %s", name, a, b);
    gr_free(x);
    gr_free(y);
}

/* metrics.jsonl without the rest of each line from tokens_per_s on; caller frees with gr_free. */
__attribute__((unused)) static char *timeless_metrics(const char *run)
{
    char *text = gr_file_read(test_join(run, "metrics.jsonl"), 1 << 24, NULL), *out = text;
    CHECK_MADE(text);
    for (char *line = text; *line;) {
        size_t size = strcspn(line, "\n");
        char *clock = strstr(line, ",\"tokens_per_s\"");
        size_t keep = clock && clock < line + size ? (size_t)(clock - line) : size;
        char *next = line + size + (line[size] == '\n');
        memmove(out, line, keep);
        out += keep;
        *out++ = '\n';
        line = next;
    }
    *out = '\0';
    return text;
}

#endif
