/* A regex of hostile bytes: it is translated, or refused with its place; what was taken is run on a short text, and its
 * parts are all of the text in order. The input is the regex, a zero byte, and the text. */
#include <string.h>

#include "text/stages/pattern.h"

typedef struct seen {
    size_t at;
    int parts;
} seen;

static gr_status each(void *ctx, const char *text, size_t start, size_t stop, bool is_match)
{
    seen *s = ctx;
    (void)text, (void)is_match;
    if (start != s->at || stop < start)
        __builtin_trap();
    s->at = stop;
    return ++s->parts > 10000 ? GR_ERR_UNSUPPORTED : GR_OK;
}

static void use(const gr_pattern *p, const char *text, size_t size)
{
    seen s = {0};
    if (gr_pattern_walk(p, text, size, each, &s) == GR_OK && s.at != size)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t regex_size = zero ? (size_t)(zero - data) : size;
    gr_pattern p = {.regex = gr_regex_new((const char *)data, regex_size)};
    if (!p.regex) {
        if (!gr_error()[0])
            __builtin_trap();
        return 0;
    }
    if (zero && size - regex_size < 200)
        use(&p, (const char *)zero + 1, size - regex_size - 1);
    use(&p,
        "ab \xC3\xA9\n\xFF\xE4\xB8\xAD"
        "1-",
        13);
    gr_pattern_free(&p);
    return 0;
}
