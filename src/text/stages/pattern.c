/* Reading a pattern, and walking through its matches in a text. */
#include "text/stages/pattern.h"
#include "base/utf8.h"

gr_status gr_pattern_set(gr_pattern *out, const char *text, size_t size)
{
    *out = (gr_pattern){gr_alloc(size + 1), size, NULL};
    if (!out->text)
        return GR_ERR_MEMORY;
    memcpy(out->text, text, size);
    out->text[size] = 0;
    return GR_OK;
}

gr_status gr_pattern_read(gr_json value, gr_pattern *out)
{
    gr_json string = gr_json_get(value, "String"), regex = gr_json_get(value, "Regex");
    bool plain = gr_json_is(string);
    size_t size;
    if (!plain && !gr_json_is(regex))
        return gr_json_fail(value, "expected {\"String\": …} or {\"Regex\": …}");
    const char *text = gr_json_as_text(plain ? string : regex, &size);
    gr_status s = gr_json_check(value.doc);
    if (s == GR_OK)
        s = gr_pattern_set(out, text, size);
    if (s != GR_OK || plain || !size)
        return s;
    out->regex = gr_regex_new(text, size);
    return out->regex ? GR_OK : gr_error_status();
}

void gr_pattern_free(gr_pattern *p)
{
    gr_free(p->text);
    gr_regex_free(p->regex);
    *p = (gr_pattern){0};
}

/* Nothing is found before, between and behind all characters. */
static gr_status walk_nothing(const char *text, size_t size, gr_part_fn each, void *ctx)
{
    gr_status s = size ? each(ctx, text, 0, 0, true) : GR_OK;
    int n;
    for (size_t at = 0; at < size && s == GR_OK; at += (size_t)n) {
        gr_utf8_read(text + at, text + size, &n);
        s = each(ctx, text, at, at + (size_t)n, false);
        if (s == GR_OK)
            s = each(ctx, text, at + (size_t)n, at + (size_t)n, true);
    }
    return s;
}

/* Short strings are found faster byte by byte than memmem gets started. */
static const char *find_string(const gr_pattern *p, const char *at, const char *end)
{
    if (p->size > 4)
        return memmem(at, (size_t)(end - at), p->text, p->size);
    for (; (at = memchr(at, p->text[0], (size_t)(end - at))); at++)
        if ((size_t)(end - at) < p->size)
            return NULL;
        else if (memcmp(at, p->text, p->size) == 0)
            break;
    return at;
}

static gr_status walk_string(const gr_pattern *p, const char *text, size_t size, gr_part_fn each, void *ctx)
{
    const char *at = text, *end = text + size, *done = text;
    gr_status s = GR_OK;
    while (s == GR_OK && (at = find_string(p, at, end))) {
        if (at > done)
            s = each(ctx, text, (size_t)(done - text), (size_t)(at - text), false);
        done = at + p->size;
        if (s == GR_OK)
            s = each(ctx, text, (size_t)(at - text), (size_t)(done - text), true);
        at = done;
    }
    if (s == GR_OK && done < end)
        s = each(ctx, text, (size_t)(done - text), size, false);
    return s;
}

/* An empty match right behind the last match does not count. */
static gr_status walk_regex(const gr_pattern *p, const char *text, size_t size, gr_part_fn each, void *ctx)
{
    gr_regex_search *search = gr_regex_search_new(p->regex, text, size);
    gr_status s = search ? GR_OK : gr_error_status();
    size_t from = 0, done = 0, start, stop, last = SIZE_MAX;
    bool found = true;
    while (s == GR_OK && from <= size) {
        s = gr_regex_next(search, from, &found, &start, &stop);
        if (s != GR_OK || !found)
            break;
        if (start == stop && stop == last) {
            int n = 1;
            if (stop < size)
                gr_utf8_read(text + stop, text + size, &n);
            from = stop + (size_t)n;
            continue;
        }
        if (start > done)
            s = each(ctx, text, done, start, false);
        if (s == GR_OK)
            s = each(ctx, text, start, stop, true);
        done = from = last = stop;
    }
    gr_regex_search_free(search);
    if (s == GR_OK && done < size)
        s = each(ctx, text, done, size, false);
    return s;
}

gr_status gr_pattern_walk(const gr_pattern *p, const char *text, size_t size, gr_part_fn each, void *ctx)
{
    if (!size)
        return GR_OK;
    if (p->regex)
        return walk_regex(p, text, size, each, ctx);
    return p->size ? walk_string(p, text, size, each, ctx) : walk_nothing(text, size, each, ctx);
}
