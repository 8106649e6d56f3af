/* The forms in which people have conversations: {"messages": [{"role", "content"}]}, ShareGPT's {"conversations": [{"from",
 * "value"}]}, and trl's {"prompt": [messages], "completion": [messages]}. */
#include "train/chat_record.h"

#include "base/json.h"

#include <string.h>

void gr_chat_record_free(gr_chat_record *r)
{
    gr_bytes_free(&r->text);
    gr_bytes_free(&r->more);
    gr_free(r->messages);
    *r = (gr_chat_record){0};
}

/* ---- a message ---------------------------------------------------------------------------------------------- */

/* Whom ShareGPT's files call what. */
static const struct speaker {
    const char *from, *role;
} speakers[] = {{"human", "user"},        {"user", "user"},       {"gpt", "assistant"}, {"assistant", "assistant"},
                {"chatgpt", "assistant"}, {"model", "assistant"}, {"bot", "assistant"}, {"system", "system"},
                {"tool", "tool"},         {"observation", "tool"}};

static const char *role_of(gr_json from)
{
    const char *name = gr_json_as_text(from, NULL);
    for (size_t i = 0; i < sizeof speakers / sizeof *speakers; i++)
        if (strcmp(speakers[i].from, name) == 0)
            return speakers[i].role;
    gr_json_fail(from, "there is no such speaker\nwrite system, human, gpt or tool");
    return "";
}

/* The texts of a list of parts, one behind the other. */
static void put_parts(gr_json to, gr_json parts)
{
    gr_bytes text = {0};
    gr_status s = GR_OK;
    for (size_t i = 0; s == GR_OK && i < gr_json_size(parts); i++) {
        gr_json part = gr_json_as_object(gr_json_item(parts, i)), type = gr_json_get(part, "type");
        size_t n;
        if (gr_json_is(type) && strcmp(gr_json_as_text(type, NULL), "text") != 0)
            gr_json_fail(type, "only parts of type \"text\" can be learned\nleave out the others");
        const char *at = gr_json_as_text(gr_json_get(part, "text"), &n);
        s = gr_bytes_add(&text, at, n);
    }
    gr_json_put_bytes(to, "content", text.data ? text.data : "", text.size);
    gr_bytes_free(&text);
}

/* Everything of a message goes to the template; what it says and who it is from in the template's words. */
static void put_message(gr_json to, gr_json from, bool is_sharegpt)
{
    const char *role_key = is_sharegpt ? "from" : "role", *content_key = is_sharegpt ? "value" : "content";
    gr_json role = gr_json_get(from, role_key), content = gr_json_get(from, content_key);
    gr_json_put_text(to, "role", is_sharegpt ? role_of(role) : gr_json_as_text(role, NULL));
    if (gr_json_type_of(content) == GR_JSON_ARRAY) {
        put_parts(to, content);
    } else if (gr_json_is(content)) {
        size_t n;
        const char *text = gr_json_as_text(content, &n);
        gr_json_put_bytes(to, "content", text, n);
    } else if (gr_json_type_of(gr_json_get(from, "tool_calls")) == GR_JSON_ABSENT) {
        gr_json_as_text(content, NULL); /* which says what is missing */
    }
    for (gr_json_iter it = gr_json_first(from); it.key; gr_json_next(&it))
        if (!gr_json_named(&it, role_key) && !gr_json_named(&it, content_key))
            gr_json_put_copy(to, it.key, it.value);
}

/* OpenAI's and Together's word for what of the assistant's is learned. */
static bool is_left_out(gr_json message)
{
    gr_json weight = gr_json_get(message, "weight");
    double value = gr_json_is(weight) ? gr_json_as_real(weight, -1e300, 1e300) : 1;
    if (value != 0 && value != 1)
        gr_json_fail(weight, "expected 1, or 0 for a message of which nothing is learned\nweights in between are not "
                             "supported: leave them out");
    return value == 0;
}

static gr_status add_message(gr_chat_record *r, gr_json from, bool is_sharegpt)
{
    gr_json_doc *doc = gr_json_new("the message");
    if (!doc)
        return gr_error_status();
    gr_json to = gr_json_root(doc);
    put_message(to, gr_json_as_object(from), is_sharegpt);
    size_t size = 0;
    const char *role = gr_json_as_text(gr_json_get(to, "role"), &size);
    bool is_assistant = strcmp(role, "assistant") == 0, left_out = is_assistant && is_left_out(from);
    gr_status s = gr_json_check(from.doc);
    gr_printable(role, size, r->role, sizeof r->role);
    char *json = s == GR_OK ? gr_json_format(doc, false, &size) : NULL;
    s = json ? gr_bytes_add(&r->text, json, size) : gr_error_status();
    if (s == GR_OK)
        s = gr_grow(&r->messages, &r->cap, r->n + 1, sizeof *r->messages);
    if (s == GR_OK)
        r->messages[r->n++] = (gr_chat_message){r->text.size, is_assistant, left_out};
    gr_free(json);
    gr_json_free(doc);
    return s;
}

/* ---- a record ----------------------------------------------------------------------------------------------- */

static gr_status add_list(gr_chat_record *r, gr_json list, bool is_sharegpt)
{
    gr_json_as_array(list);
    gr_status s = gr_json_check(list.doc);
    for (size_t i = 0; s == GR_OK && i < gr_json_size(list); i++)
        s = add_message(r, gr_json_item(list, i), is_sharegpt);
    return s;
}

/* Tools and documents, as they are. */
static gr_status add_more(gr_chat_record *r, gr_json root)
{
    static const char *const names[] = {"tools", "documents"};
    gr_json_doc *doc = gr_json_new("the record");
    if (!doc)
        return gr_error_status();
    for (int i = 0; i < 2; i++)
        if (gr_json_is(gr_json_get(root, names[i])))
            gr_json_put_copy(gr_json_root(doc), names[i], gr_json_get(root, names[i]));
    size_t size;
    char *json = gr_json_format(doc, false, &size);
    gr_status s = json ? GR_OK : gr_error_status();
    if (s == GR_OK && size > 2) /* more than {} */
        s = gr_bytes_add(&r->more, ", ", 2);
    if (s == GR_OK && size > 2)
        s = gr_bytes_add(&r->more, json + 1, size - 2);
    gr_free(json);
    gr_json_free(doc);
    return s;
}

static gr_status read_record(gr_chat_record *r, gr_json root)
{
    gr_json messages = gr_json_get(root, "messages"), shared = gr_json_get(root, "conversations");
    gr_json prompt = gr_json_get(root, "prompt");
    if (gr_json_is(messages) && gr_json_is(shared))
        return gr_json_fail(root, "has \"messages\" and \"conversations\"\na line is one or the other");
    gr_status s = add_more(r, root);
    if (s == GR_OK && gr_json_is(messages))
        s = add_list(r, messages, false);
    else if (s == GR_OK && gr_json_is(shared))
        s = add_list(r, shared, true);
    else if (s == GR_OK) {
        s = add_list(r, prompt, false);
        r->given = r->n;
        if (s == GR_OK)
            s = add_list(r, gr_json_get(root, "completion"), false);
    }
    return s;
}

gr_status gr_chat_record_read(gr_chat_record *r, const char *json, size_t size)
{
    r->text.size = r->more.size = r->n = r->given = 0;
    gr_json_doc *doc = gr_json_parse("the record", json, size);
    if (!doc)
        return gr_error_status();
    gr_status s = read_record(r, gr_json_as_object(gr_json_root(doc)));
    if (s == GR_OK)
        s = gr_json_check(doc);
    gr_json_free(doc);
    return s;
}

gr_status gr_chat_record_format(const gr_chat_record *r, size_t n, bool add_generation_prompt, gr_bytes *out)
{
    out->size = 0;
    gr_status s = gr_bytes_add_string(out, "{\"messages\": [");
    for (size_t i = 0, at = 0; s == GR_OK && i < n; at = r->messages[i++].end) {
        s = gr_bytes_add_string(out, i ? ", " : "");
        if (s == GR_OK)
            s = gr_bytes_add(out, r->text.data + at, r->messages[i].end - at);
    }
    if (s == GR_OK)
        s = gr_bytes_add_string(out, add_generation_prompt ? "], \"add_generation_prompt\": true"
                                                           : "], \"add_generation_prompt\": false");
    if (s == GR_OK && r->more.size)
        s = gr_bytes_add(out, r->more.data, r->more.size);
    return s == GR_OK ? gr_bytes_add_string(out, "}") : s;
}
