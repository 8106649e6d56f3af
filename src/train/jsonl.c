/* Records: a document a line of a .jsonl file, or an item of an array, {"text": ...} or {"prompt": ..., "completion": ...}. */
#include "train/data.h"

#include "base/content.h"
#include "base/json.h"
#include "base/mem.h"
#include "format/records.h"

#include <stdio.h>
#include <string.h>

enum { TEXT = 1, PROMPT = 2, COMPLETION = 4 };

/* A key that says nothing here is remembered for a remark. */
static void note_key(gr_reader *r, const char *key)
{
    char name[sizeof r->keys[0]];
    gr_printable(key, strlen(key), name, sizeof name);
    for (int i = 0; i < GR_MOST_KEYS; i++) {
        if (*r->keys[i] == '\0')
            snprintf(r->keys[i], sizeof r->keys[i], "%s", name);
        if (strcmp(r->keys[i], name) == 0)
            return;
    }
}

static gr_status refuse_messages(gr_json at)
{
    return gr_json_fail(at, "chat templates are not applied here\nwrite each answer as {\"prompt\": ..., "
                            "\"completion\": ...}, with the marks of the template in the text");
}

/* Which of the keys that mean something are there; null is as good as absent. */
static unsigned kind_of(gr_reader *r, gr_json object)
{
    unsigned there = 0;
    for (gr_json_iter it = gr_json_first(object); it.key; gr_json_next(&it)) {
        unsigned bit = gr_json_named(&it, "text")         ? TEXT
                       : gr_json_named(&it, "prompt")     ? PROMPT
                       : gr_json_named(&it, "completion") ? COMPLETION
                                                          : 0;
        if (!gr_json_is(it.value))
            continue;
        there |= bit;
        if (gr_json_named(&it, "messages"))
            refuse_messages(it.value);
        else if (!bit)
            note_key(r, it.key);
    }
    return there;
}

static void refuse_kind(gr_json object, unsigned there)
{
    if (there & TEXT && there & (PROMPT | COMPLETION))
        gr_json_fail(object, "has \"text\" and \"%s\"\na line is one or the other",
                     there & PROMPT ? "prompt" : "completion");
    else if (there)
        gr_json_fail(object, "has a \"%s\" without a \"%s\"\na line is a text, or has both of these",
                     there & PROMPT ? "prompt" : "completion", there & PROMPT ? "completion" : "prompt");
    else
        gr_json_fail(object, "has neither \"text\" nor \"prompt\" and \"completion\"\nrename its keys to these");
}

/* The prompt and the completion, one behind the other. */
static gr_status read_pair(gr_reader *r, gr_json object, gr_document_text *d)
{
    size_t n = 0, m = 0;
    const char *prompt = gr_json_as_text(gr_json_get(object, "prompt"), &n);
    const char *completion = gr_json_as_text(gr_json_get(object, "completion"), &m);
    gr_status s = gr_grow(&r->pair, &r->pair_cap, n + m + 1, 1);
    if (s != GR_OK)
        return s;
    memcpy(r->pair, prompt, n);
    memcpy(r->pair + n, completion, m);
    d->text = r->pair;
    d->size = n + m;
    d->prompt = n;
    return GR_OK;
}

static gr_status read_line(gr_reader *r, const char *name, const char *line, size_t size, gr_document_text d)
{
    gr_json_doc *doc = gr_json_parse(name, line, size);
    if (!doc)
        return gr_error_status();
    gr_json object = gr_json_as_object(gr_json_root(doc));
    unsigned there = kind_of(r, object);
    gr_status s = gr_json_check(doc);
    if (s == GR_OK && there == (PROMPT | COMPLETION))
        s = read_pair(r, object, &d);
    else if (s == GR_OK && there == TEXT)
        d.text = gr_json_as_text(gr_json_get(object, "text"), &d.size);
    else if (s == GR_OK)
        refuse_kind(object, there);
    if (s == GR_OK)
        s = gr_json_check(doc);
    if (s == GR_OK)
        s = gr_reader_take(r, &d);
    gr_json_free(doc);
    return s;
}

static size_t line_length(const char *text, size_t size)
{
    const char *end = size ? memchr(text, '\n', size) : NULL;
    return end ? (size_t)(end - text) : size;
}

static bool is_blank(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
            return false;
    return true;
}

gr_status gr_read_jsonl(gr_reader *r, const char *text, size_t size)
{
    gr_document_text d = {.file = r->n_files - 1, .line = 1};
    gr_status s = GR_OK;
    for (size_t at = gr_byte_order_mark(text, size); s == GR_OK && at < size; d.line++) {
        size_t n = line_length(text + at, size - at);
        char name[500];
        if (!is_blank(text + at, n))
            s = read_line(r, gr_place(r->files, d.file, d.line, name, sizeof name), text + at, n, d);
        at += n + 1;
    }
    return s;
}

gr_status gr_read_json_array(gr_reader *r, const char *text, size_t size)
{
    gr_array_reader array = {.name = r->files[r->n_files - 1], .text = text, .size = size};
    gr_document_text d = {.file = r->n_files - 1};
    const char *item;
    size_t length;
    char name[500];
    gr_status s = gr_array_next(&array, &item, &length);
    while (s == GR_OK && item) {
        d.line = -array.record;
        s = read_line(r, gr_place(r->files, d.file, d.line, name, sizeof name), item, length, d);
        if (s == GR_OK)
            s = gr_array_next(&array, &item, &length);
    }
    return s;
}
