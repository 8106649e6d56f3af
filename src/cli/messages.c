/* A list of messages, each as the JSON that a template will see: what a file brought is kept as it was. */
#include <string.h>
#include "base/file.h"
#include "base/json.h"
#include "cli/messages.h"

static void free_message(gr_message *m)
{
    gr_free(m->json);
    *m = (gr_message){0};
}

void gr_messages_free(gr_messages *m)
{
    gr_messages_cut(m, 0);
    gr_free(m->items);
    gr_free(m->more);
    *m = (gr_messages){0};
}

/* Takes over json, which may be NULL without memory. */
static gr_status insert(gr_messages *m, size_t at, const char *role, char *json)
{
    gr_status s = json ? gr_grow(&m->items, &m->cap, m->n + 1, sizeof *m->items) : gr_error_status();
    if (s != GR_OK) {
        gr_free(json);
        return s;
    }
    memmove(m->items + at + 1, m->items + at, (m->n - at) * sizeof *m->items);
    m->items[at] = (gr_message){.json = json};
    m->items[at].is_user = strcmp(role, "user") == 0;
    m->items[at].is_system = strcmp(role, "system") == 0;
    m->n++;
    return GR_OK;
}

static char *format(const char *role, const char *content, size_t size, const char *reasoning, size_t reasoning_size)
{
    gr_json_doc *doc = gr_json_new("the message");
    if (!doc)
        return NULL;
    gr_json_put_text(gr_json_root(doc), "role", role);
    gr_json_put_bytes(gr_json_root(doc), "content", content, size);
    if (reasoning)
        gr_json_put_bytes(gr_json_root(doc), "reasoning_content", reasoning, reasoning_size);
    char *json = gr_json_format(doc, false, NULL);
    gr_json_free(doc);
    return json;
}

gr_status gr_messages_add(gr_messages *m, const char *role, const char *content, size_t size, const char *reasoning,
                          size_t reasoning_size)
{
    return insert(m, m->n, role, format(role, content, size, reasoning, reasoning_size));
}

gr_status gr_messages_set_system(gr_messages *m, const char *content)
{
    char *json = *content ? format("system", content, strlen(content), NULL, 0) : NULL;
    if (*content && !json)
        return gr_error_status();
    if (m->n > 0 && m->items[0].is_system) {
        free_message(&m->items[0]);
        memmove(m->items, m->items + 1, --m->n * sizeof *m->items);
    }
    return json ? insert(m, 0, "system", json) : GR_OK;
}

int64_t gr_messages_last_user(const gr_messages *m)
{
    int64_t i = (int64_t)m->n - 1;
    while (i >= 0 && !m->items[i].is_user)
        i--;
    return i;
}

char *gr_messages_text(const gr_messages *m, int64_t i)
{
    gr_json_doc *doc = gr_json_parse("the message", m->items[i].json, strlen(m->items[i].json));
    gr_json content = gr_json_get(doc ? gr_json_root(doc) : (gr_json){0}, "content");
    char *text = NULL;
    if (gr_json_type_of(content) == GR_JSON_TEXT)
        text = gr_strdup(gr_json_as_text(content, NULL));
    else if (doc)
        gr_fail(GR_ERR_ARGUMENT, "the message is not a text alone\n/undo takes it back.");
    gr_json_free(doc);
    return text;
}

void gr_messages_cut(gr_messages *m, size_t i)
{
    while (m->n > i)
        free_message(&m->items[--m->n]);
}

int64_t gr_messages_drop(gr_messages *m, int64_t n)
{
    size_t from = 0, to;
    int64_t dropped = 0;
    while (from < m->n && !m->items[from].is_user)
        from++;
    for (to = from; to < m->n && dropped < n; dropped++)
        for (to++; to < m->n && !m->items[to].is_user;)
            to++;
    for (size_t i = from; i < to; i++)
        free_message(&m->items[i]);
    if (m->n > to)
        memmove(m->items + from, m->items + to, (m->n - to) * sizeof *m->items);
    m->n -= to - from;
    return dropped;
}

/* ---- files -------------------------------------------------------------------------------------------------- */

/* between: what stands behind the comma of two messages. */
static gr_status write(const gr_messages *m, const char *between, gr_bytes *out)
{
    gr_status s = gr_bytes_add_string(out, "{");
    if (s == GR_OK && m->more)
        s = gr_bytes_add_string(out, m->more);
    if (s == GR_OK)
        s = gr_bytes_add_string(out, "\"messages\": [");
    for (size_t i = 0; s == GR_OK && i < m->n; i++) {
        s = gr_bytes_add_string(out, i ? "," : "");
        if (s == GR_OK)
            s = gr_bytes_add_string(out, i || *between == '\n' ? between : "");
        if (s == GR_OK)
            s = gr_bytes_add_string(out, m->items[i].json);
    }
    return s == GR_OK ? gr_bytes_add_string(out, "]}") : s;
}

gr_status gr_messages_format(const gr_messages *m, gr_bytes *out)
{
    return write(m, " ", out);
}

gr_status gr_messages_save(const gr_messages *m, const char *path)
{
    gr_bytes text = {0};
    gr_status s = write(m, "\n ", &text);
    if (s == GR_OK)
        s = gr_bytes_add_string(&text, "\n");
    if (s == GR_OK)
        s = gr_file_write(path, text.data, text.size);
    gr_bytes_free(&text);
    return s;
}

/* The text of one value. */
static char *text_of(gr_json value)
{
    gr_json_doc *doc = gr_json_new("a value");
    char *text = NULL;
    if (!doc)
        return NULL;
    gr_json_put_copy(gr_json_root(doc), "v", value);
    size_t size, before = strlen("{\"v\": ");
    char *whole = gr_json_format(doc, false, &size);
    if (whole)
        text = gr_strfmt("%.*s", (int)(size - before - 1), whole + before);
    gr_free(whole);
    gr_json_free(doc);
    return text;
}

static gr_status read_messages(gr_messages *m, gr_json list)
{
    gr_status s = GR_OK;
    for (size_t i = 0; s == GR_OK && i < gr_json_size(list); i++) {
        gr_json one = gr_json_as_object(gr_json_item(list, i));
        const char *role = gr_json_as_text(gr_json_get(one, "role"), NULL);
        s = gr_json_check(list.doc);
        if (s == GR_OK)
            s = insert(m, m->n, role, text_of(one));
    }
    return s;
}

/* Tools, documents and whatever else the template is to see. */
static gr_status read_more(gr_messages *m, gr_json root)
{
    gr_bytes more = {0};
    gr_status s = GR_OK;
    for (gr_json_iter it = gr_json_first(root); s == GR_OK && it.key; gr_json_next(&it)) {
        if (gr_json_named(&it, "messages") || gr_json_named(&it, "add_generation_prompt")) /* an answer is wanted */
            continue;
        char *value = text_of(it.value);
        s = value ? gr_json_add_text(&more, it.key, it.key_size) : gr_error_status();
        if (s == GR_OK)
            s = gr_bytes_add_string(&more, ": ");
        if (s == GR_OK)
            s = gr_bytes_add_string(&more, value);
        if (s == GR_OK)
            s = gr_bytes_add_string(&more, ", ");
        gr_free(value);
    }
    if (s == GR_OK && more.size > 0)
        s = gr_bytes_add(&more, "", 1);
    m->more = s == GR_OK ? more.data : NULL;
    if (s != GR_OK)
        gr_bytes_free(&more);
    return s;
}

gr_status gr_messages_load(gr_messages *m, const char *path)
{
    gr_messages fresh = {0};
    gr_json_doc *doc = gr_json_read(path, GR_JSON_LIMIT);
    if (!doc)
        return gr_error_status();
    gr_json root = gr_json_as_object(gr_json_root(doc)), list = gr_json_as_array(gr_json_get(root, "messages"));
    gr_status s = gr_json_check(doc);
    if (s == GR_OK)
        s = read_messages(&fresh, list);
    if (s == GR_OK)
        s = read_more(&fresh, root);
    gr_json_free(doc);
    if (s != GR_OK) {
        gr_messages_free(&fresh);
        return s;
    }
    gr_messages_free(m);
    *m = fresh;
    return GR_OK;
}
