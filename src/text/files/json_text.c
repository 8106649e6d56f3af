/* Added tokens as JSON; members of a JSON text, copied or replaced where they stand. */
#include <stdio.h>
#include <string.h>
#include "text/files/json_text.h"
#include "base/error.h"
#include "base/json_pull.h"

gr_status gr_json_add_flagged_token(gr_bytes *out, int64_t id, const char *content, size_t size,
                                    const gr_added_token *flags)
{
    static const char *const word[] = {"false", "true"};
    char text[200];
    snprintf(text, sizeof text, "{\"id\": %lld, \"content\": ", (long long)id);
    gr_status s = gr_bytes_add_string(out, text);
    if (s == GR_OK)
        s = gr_json_add_text(out, content, size);
    snprintf(text, sizeof text,
             ", \"single_word\": %s, \"lstrip\": %s, \"rstrip\": %s, \"normalized\": %s, \"special\": %s}",
             word[flags->single_word], word[flags->lstrip], word[flags->rstrip], word[flags->normalized],
             word[flags->special]);
    return s == GR_OK ? gr_bytes_add_string(out, text) : s;
}

gr_status gr_json_add_added_token(gr_bytes *out, int64_t id, const char *content, size_t size, bool special)
{
    return gr_json_add_flagged_token(out, id, content, size, &(gr_added_token){.special = special});
}

/* ---- what stands around a text ------------------------------------------------------------------------------ */

static gr_status add_special(gr_bytes *json, const gr_bytes *name, int type)
{
    char tail[32];
    snprintf(tail, sizeof tail, ", \"type_id\": %d}}", type);
    gr_status s = gr_bytes_add_string(json, "{\"SpecialToken\": {\"id\": ");
    if (s == GR_OK)
        s = gr_bytes_add(json, name->data, name->size);
    return s == GR_OK ? gr_bytes_add_string(json, tail) : s;
}

/* One text of a template: "<s>" A "</s>"; type 1: the second of two. */
static gr_status add_text(gr_bytes *json, const gr_bytes *before, const gr_bytes *after, int type)
{
    gr_status s = before->size ? add_special(json, before, type) : GR_OK;
    if (s == GR_OK && before->size)
        s = gr_bytes_add_string(json, ", ");
    if (s == GR_OK)
        s = gr_bytes_add_string(json, type ? "{\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}"
                                           : "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}");
    if (s == GR_OK && after->size)
        s = gr_bytes_add_string(json, ", ");
    return s != GR_OK || !after->size ? s : add_special(json, after, type);
}

static gr_status add_ids(gr_bytes *json, const gr_bytes *name, gr_token id, const char *separator)
{
    char number[64];
    snprintf(number, sizeof number, ", \"ids\": [%d], \"tokens\": [", (int)id);
    gr_status s = gr_bytes_add_string(json, separator);
    if (s == GR_OK)
        s = gr_bytes_add(json, name->data, name->size);
    if (s == GR_OK)
        s = gr_bytes_add_string(json, ": {\"id\": ");
    if (s == GR_OK)
        s = gr_bytes_add(json, name->data, name->size);
    if (s == GR_OK)
        s = gr_bytes_add_string(json, number);
    if (s == GR_OK)
        s = gr_bytes_add(json, name->data, name->size);
    return s == GR_OK ? gr_bytes_add_string(json, "]}") : s;
}

gr_status gr_json_add_template(gr_bytes *json, const gr_bytes *before, gr_token first, const gr_bytes *after,
                               gr_token last)
{
    bool same = before->size == after->size && before->size && memcmp(before->data, after->data, after->size) == 0;
    gr_status s = gr_bytes_add_string(json, "{\"type\": \"TemplateProcessing\", \"single\": [");
    if (s == GR_OK)
        s = add_text(json, before, after, 0);
    if (s == GR_OK)
        s = gr_bytes_add_string(json, "], \"pair\": [");
    for (int type = 0; type < 2 && s == GR_OK; type++) {
        s = type ? gr_bytes_add_string(json, ", ") : GR_OK;
        if (s == GR_OK)
            s = add_text(json, before, after, type);
    }
    if (s == GR_OK)
        s = gr_bytes_add_string(json, "], \"special_tokens\": {");
    if (s == GR_OK && before->size)
        s = add_ids(json, before, first, "");
    if (s == GR_OK && after->size && !same)
        s = add_ids(json, after, last, before->size ? ", " : "");
    return s == GR_OK ? gr_bytes_add_string(json, "}}") : s;
}

/* ---- members of a text -------------------------------------------------------------------------------------- */

/* The last value of a key counts; *start is NULL where there is none. False: not an object. */
static bool find_member(const char *json, size_t size, const char *key, const char **start, const char **stop)
{
    gr_pull r = {.p = json, .end = json + size};
    bool good = gr_pull_char(&r, '{'), more = good && !gr_pull_char(&r, '}');
    *start = *stop = NULL;
    while (good && more) {
        const char *name, *from, *to;
        size_t n;
        good = gr_pull_text(&r, &name, &n);
        bool is = good && n == strlen(key) && memcmp(name, key, n) == 0;
        good = good && gr_pull_char(&r, ':') && gr_pull_skip(&r, &from, &to);
        if (good && is) {
            *start = from;
            *stop = to;
        }
        more = good && gr_pull_char(&r, ',');
        good = good && (more || gr_pull_char(&r, '}'));
    }
    gr_pull_free(&r);
    return good;
}

static gr_status fail_unusual(const char *key)
{
    return gr_fail(GR_ERR_UNSUPPORTED,
                   "tokenizer.json: no place found for \"%s\" in it\nsave it anew with tokenizers or transformers",
                   key);
}

gr_status gr_json_copy_member(gr_bytes *out, const char *json, size_t size, const char *key)
{
    const char *start, *stop;
    if (!find_member(json, size, key, &start, &stop) || !start)
        return fail_unusual(key);
    return gr_bytes_add(out, start, (size_t)(stop - start));
}

gr_status gr_json_add_replaced(gr_bytes *out, const char *json, size_t size, const char *key, const gr_bytes *value)
{
    const char *start, *stop, *end = json + size;
    if (!find_member(json, size, key, &start, &stop))
        return fail_unusual(key);
    if (start) {
        gr_status s = gr_bytes_add(out, json, (size_t)(start - json));
        if (s == GR_OK)
            s = gr_bytes_add(out, value->data, value->size);
        return s == GR_OK ? gr_bytes_add(out, stop, (size_t)(end - stop)) : s;
    }
    const char *brace = memchr(json, '{', size);
    gr_status s = gr_bytes_add(out, json, (size_t)(brace + 1 - json));
    if (s == GR_OK)
        s = gr_bytes_add_string(out, "\"");
    if (s == GR_OK)
        s = gr_bytes_add_string(out, key);
    if (s == GR_OK)
        s = gr_bytes_add_string(out, "\": ");
    if (s == GR_OK)
        s = gr_bytes_add(out, value->data, value->size);
    const char *rest = brace + 1;
    while (rest < end && (*rest == ' ' || *rest == '\n' || *rest == '\r' || *rest == '\t'))
        rest++;
    if (s == GR_OK && rest < end && *rest != '}')
        s = gr_bytes_add_string(out, ",");
    return s == GR_OK ? gr_bytes_add(out, brace + 1, (size_t)(end - brace - 1)) : s;
}
