/* A conversation as a template sees it: what transformers' apply_chat_template makes of messages, tools and documents
 * before it renders them. All of their strings are marked as untrusted but for the roles that the template may know. */
#include "text/template/run.h"
#include "base/utf8.h"

#include <math.h>

typedef gr_jinja_value value;
typedef gr_jinja_run run;

/* ---- JSON to values ----------------------------------------------------------------------------------------- */

static bool from_json(run *r, gr_json json, bool untrusted, value *out);

static bool new_text(run *r, const char *bytes, size_t size, bool untrusted, value *out)
{
    const gr_jinja_text whole = {.bytes = bytes, .size = size, .untrusted = untrusted};
    return gr_jinja_part(r, &whole, 0, size, out);
}

static bool from_text(run *r, gr_json json, bool untrusted, value *out)
{
    size_t size;
    const char *bytes = gr_json_as_text(json, &size);
    if (gr_json_check(json.doc) != GR_OK)
        return false;
    if (gr_utf8_valid(bytes, size))
        return new_text(r, bytes, size, untrusted, out);
    gr_json_fail(json, "the text is not Unicode");
    return false;
}

static bool from_number(gr_json json, bool is_int, value *out)
{
    if (is_int) {
        *out = gr_jinja_int(gr_json_as_int(json, INT64_MIN, INT64_MAX));
        return true;
    }
    double x = gr_json_as_real(json, -INFINITY, INFINITY);
    *out = gr_jinja_real(x);
    if (gr_json_check(json.doc) != GR_OK)
        return false;
    if (!isfinite(x) || fabs(x) < 9.2e18)
        return true;
    gr_json_fail(json, "numbers past 64 bits are not supported here: write it as a text");
    return false;
}

static bool from_array(run *r, gr_json json, bool untrusted, value *out)
{
    size_t n = gr_json_size(json);
    value *items = gr_jinja_take(r, n + 1, sizeof *items);
    for (size_t i = 0; items && i < n; i++)
        if (!from_json(r, gr_json_item(json, i), untrusted, &items[i]))
            return false;
    return items && gr_jinja_list_of(r, GR_VALUE_LIST, items, n, out);
}

static bool from_object(run *r, gr_json json, bool untrusted, value *out)
{
    if (!gr_jinja_new_dict(r, GR_VALUE_DICT, gr_json_size(json), out))
        return false;
    gr_jinja_dict *d = out->as.dict;
    for (gr_json_iter it = gr_json_first(json); it.key; gr_json_next(&it)) {
        gr_jinja_pair *pair = &d->pairs[d->n];
        if (!gr_utf8_valid(it.key, it.key_size)) {
            gr_json_fail(it.value, "the key is not Unicode");
            return false;
        }
        if (!new_text(r, it.key, it.key_size, untrusted, &pair->key) ||
            !from_json(r, it.value, untrusted, &pair->value))
            return false;
        d->n++;
    }
    return true;
}

static bool from_json(run *r, gr_json json, bool untrusted, value *out)
{
    bool done = true;
    if (!gr_jinja_charge(r, 1))
        return false;
    switch (gr_json_type_of(json)) {
    case GR_JSON_BOOL:
        *out = gr_jinja_bool(gr_json_as_bool(json));
        break;
    case GR_JSON_INT:
    case GR_JSON_REAL:
        done = from_number(json, gr_json_type_of(json) == GR_JSON_INT, out);
        break;
    case GR_JSON_TEXT:
        return from_text(r, json, untrusted, out);
    case GR_JSON_ARRAY:
        done = from_array(r, json, untrusted, out);
        break;
    case GR_JSON_OBJECT:
        done = from_object(r, json, untrusted, out);
        break;
    default:
        *out = gr_jinja_none();
    }
    out->untrusted = untrusted;
    return done;
}

/* ---- messages ----------------------------------------------------------------------------------------------- */

/* A word that may stand in a control token: one of the roles that everybody has, or one that the template compares with.
 * Nothing but letters, digits, _ and -, so that it brings no brackets of its own. */
static bool is_role(const gr_jinja *j, const gr_jinja_text *t)
{
    static const char *const common[] = {"system", "user", "assistant", "tool", "developer"};
    for (size_t i = 0; i < t->size; i++) {
        char c = t->bytes[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        if (gr_jinja_text_is(t, common[i]))
            return true;
    for (size_t i = 0; i < j->n_roles; i++)
        if (gr_jinja_same_text(t, j->roles[i]))
            return true;
    return false;
}

static const char *const reasoning_names[] = {"reasoning_content", "thinking", "reasoning"};

static bool put_named(run *r, gr_jinja_dict *d, const char *name, const value *v)
{
    value key;
    return gr_jinja_string(r, name, &key) && gr_jinja_put(r, d, &key, v);
}

/* Reasoning has three names, of which templates read the one or the other: it gets two of them. */
static bool alias_reasoning(run *r, value *message)
{
    const value *reasoning = NULL;
    value made;
    for (size_t i = 0; i < 3 && !reasoning; i++)
        reasoning = gr_jinja_find_name(message->as.dict, reasoning_names[i], strlen(reasoning_names[i]));
    if (!reasoning)
        return true;
    if (!gr_jinja_new_dict(r, GR_VALUE_DICT, message->as.dict->n + 2, &made) ||
        !put_named(r, made.as.dict, "thinking", reasoning))
        return false;
    for (size_t i = 0; i < message->as.dict->n; i++)
        if (!gr_jinja_put(r, made.as.dict, &message->as.dict->pairs[i].key, &message->as.dict->pairs[i].value))
            return false;
    made.untrusted = message->untrusted;
    if (!put_named(r, made.as.dict, "reasoning_content", reasoning))
        return false;
    *message = made;
    return true;
}

static bool read_message(run *r, gr_json json, value *out)
{
    gr_json_as_object(json);
    if (gr_json_check(json.doc) != GR_OK || !from_json(r, json, true, out))
        return false;
    gr_jinja_dict *d = out->as.dict;
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++) {
        gr_jinja_pair pair = d->pairs[i];
        if (pair.value.type == GR_VALUE_NONE) /* no key, as transformers has it */
            continue;
        bool role = gr_jinja_text_is(pair.key.as.text, "role") && pair.value.type == GR_VALUE_TEXT;
        if (role && is_role(r->jinja, pair.value.as.text) &&
            !new_text(r, pair.value.as.text->bytes, pair.value.as.text->size, false, &pair.value))
            return false;
        d->pairs[n++] = pair;
    }
    d->n = n;
    return alias_reasoning(r, out);
}

static bool read_messages(run *r, gr_json json, value *out)
{
    gr_json list = gr_json_as_array(json);
    size_t n = gr_json_size(list);
    if (gr_json_check(json.doc) != GR_OK)
        return false;
    if (!n) {
        gr_json_fail(json, "a conversation has one message at least");
        return false;
    }
    value *items = gr_jinja_take(r, n, sizeof *items);
    for (size_t i = 0; items && i < n; i++)
        if (!read_message(r, gr_json_item(list, i), &items[i]))
            return false;
    return items && gr_jinja_list_of(r, GR_VALUE_LIST, items, n, out) && (out->untrusted = true);
}

/* tools, documents: none, or a list of objects. */
static bool read_objects(run *r, gr_json json, value *out)
{
    *out = gr_jinja_none();
    if (!gr_json_is(json))
        return true;
    gr_json list = gr_json_as_array(json);
    for (size_t i = 0; i < gr_json_size(list); i++)
        gr_json_as_object(gr_json_item(list, i));
    return gr_json_check(json.doc) == GR_OK && from_json(r, json, true, out);
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static bool is_own(const gr_json_iter *it)
{
    return gr_json_named(it, "messages") || gr_json_named(it, "tools") || gr_json_named(it, "documents");
}

static bool read_variables(run *r, gr_json object)
{
    for (gr_json_iter it = gr_json_first(object); it.key; gr_json_next(&it)) {
        value key, v;
        if (is_own(&it))
            continue;
        if (!new_text(r, it.key, it.key_size, false, &key) || !from_json(r, it.value, false, &v) ||
            !gr_jinja_put(r, &r->variables, &key, &v))
            return false;
    }
    return true;
}

bool gr_jinja_read_input(run *r)
{
    const gr_jinja_input *in = r->input;
    value messages, tools, documents, prompt = gr_jinja_bool(true);
    gr_json_as_object(in->conversation);
    return gr_json_check(in->conversation.doc) == GR_OK &&
           put_named(r, &r->variables, "add_generation_prompt", &prompt) && read_variables(r, in->variables[0]) &&
           read_variables(r, in->variables[1]) && read_variables(r, in->conversation) &&
           read_messages(r, gr_json_get(in->conversation, "messages"), &messages) &&
           put_named(r, &r->variables, "messages", &messages) &&
           read_objects(r, gr_json_get(in->conversation, "tools"), &tools) &&
           put_named(r, &r->variables, "tools", &tools) &&
           read_objects(r, gr_json_get(in->conversation, "documents"), &documents) &&
           put_named(r, &r->variables, "documents", &documents);
}
