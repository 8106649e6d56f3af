/* Opening the template of a model, or another one. */
#include <stdio.h>
#include <string.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/json.h"
#include "cli/chat_template.h"
#include "cli/term.h"

/* One KEY=JSON. */
static gr_status add_variable(gr_args *args, const char *given, size_t size, gr_bytes *out)
{
    const char *equals = memchr(given, '=', size);
    if (!equals || equals == given)
        return gr_args_fail(args, "--template-arg: '%.*s' is not KEY=JSON\nWrite it as enable_thinking=false.",
                            (int)(size < 60 ? size : 60), given);
    static const char *const own[] = {"messages", "tools", "documents"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strlen(own[i]) == (size_t)(equals - given) && memcmp(own[i], given, strlen(own[i])) == 0)
            return gr_args_fail(args, "--template-arg: %s are the conversation's own\nLeave it out.", own[i]);
    gr_status s = gr_bytes_add_string(out, out->size > 1 ? ", " : "");
    if (s == GR_OK)
        s = gr_json_add_text(out, given, (size_t)(equals - given));
    if (s == GR_OK)
        s = gr_bytes_add_string(out, ": ");
    return s == GR_OK ? gr_bytes_add(out, equals + 1, size - (size_t)(equals + 1 - given)) : s;
}

/* {"KEY": JSON, ...}. A run's record has several as lines. */
static gr_status read_variables(gr_args *args, const gr_texts *given, gr_bytes *out)
{
    gr_status s = gr_bytes_add_string(out, "{");
    for (size_t i = 0; i < given->count && s == GR_OK; i++)
        for (const char *at = given->items[i]; at && s == GR_OK;) {
            size_t size = strcspn(at, "\n");
            s = add_variable(args, at, size, out);
            at = at[size] ? at + size + 1 : NULL;
        }
    if (s == GR_OK)
        s = gr_bytes_add_string(out, "}");
    gr_json_doc *doc = s == GR_OK ? gr_json_parse("--template-arg", out->data, out->size) : NULL;
    gr_json_free(doc);
    return doc || s != GR_OK ? s : gr_args_fail(args, "%.900s", gr_error());
}

bool gr_chat_is_name(const char *given)
{
    return given && !strpbrk(given, "./") && !gr_path_is_file(given) && !gr_path_is_dir(given);
}

static gr_template *open_template(const gr_chat_flags *flags, const char *model)
{
    gr_template_source source = GR_INIT(gr_template_source);
    if (gr_chat_is_name(flags->file)) {
        source.name = flags->file;
        return gr_template_open(&source);
    }
    source.path = flags->file ? flags->file : model;
    if (flags->file && gr_path_is_dir(flags->file)) {
        gr_fail(GR_ERR_FILE, "%s: is a directory\n--chat-template takes the file of a template.", flags->file);
        return NULL;
    }
    if (!flags->file && (!model || (!gr_ends_with(model, ".gguf") && !gr_path_is_dir(model)))) {
        gr_fail(GR_ERR_UNSUPPORTED, "%s: a tokenizer alone has no chat template\nGive one with --chat-template.",
                model ? model : "the model");
        return NULL;
    }
    return gr_template_open(&source);
}

enum { DIGITS = 16, MOST_STATE = 1 << 20 };

/* Whether a checkpoint says what its conversations were made with, and a word if that is not this template. */
static bool compare_with_trained(const gr_template_info *given, const char *model)
{
    char *path = gr_path_join(model, "training.json"), digest[DIGITS + 1], name[200];
    gr_json_doc *doc = path && gr_path_is_file(path) ? gr_json_read(path, MOST_STATE) : NULL;
    gr_json said = gr_json_get(gr_json_root(doc), "chat_template");
    const char *was = gr_json_is(said) ? gr_json_text(said, "digest", "") : "";
    snprintf(digest, sizeof digest, "%016llx", (unsigned long long)given->digest);
    if (*was && given->text && strcmp(was, digest) != 0) {
        const char *of = gr_json_text(said, "name", "");
        gr_warn("the chat template %s (%s) is not the one that %s was trained with, %s (%.16s)", given->name, digest,
                model, gr_printable(of, strlen(of), name, sizeof name), was);
    }
    bool is_told = *was;
    gr_json_free(doc);
    gr_free(path);
    return is_told;
}

/* A model knows the template that it was trained with: another one is worth a word. is_given: it is not the model's own. */
static gr_status compare(const gr_chat *chat, const char *model, bool is_given)
{
    gr_template_source source = GR_INIT(gr_template_source);
    const gr_template_info *given = gr_template_describe(chat->template);
    if (!model || (!gr_ends_with(model, ".gguf") && !gr_path_is_dir(model)))
        return GR_OK;
    if (compare_with_trained(given, model) || !is_given)
        return gr_error_status() == GR_ERR_MEMORY ? GR_ERR_MEMORY : GR_OK;
    source.path = model;
    gr_template *own = gr_template_open(&source);
    const gr_template_info *other = own ? gr_template_describe(own) : NULL;
    if (other && other->text && given->text && other->digest != given->digest)
        gr_warn("the chat template %s (%016llx) is not that of %s (%016llx)", given->name,
                (unsigned long long)given->digest, other->name, (unsigned long long)other->digest);
    gr_template_free(own);
    if (!own && gr_error_status() == GR_ERR_MEMORY)
        return GR_ERR_MEMORY;
    gr_error_clear();
    return GR_OK;
}

gr_status gr_chat_open(gr_args *args, const gr_chat_flags *flags, const char *model, gr_chat *chat)
{
    *chat = (gr_chat){0};
    gr_status s = read_variables(args, &flags->args, &chat->variables);
    if (s == GR_OK && !(chat->template = open_template(flags, model)))
        s = gr_args_blame(args, gr_error_status());
    return s == GR_OK ? compare(chat, model, flags->file != NULL) : s;
}

/* The first token behind what the assistant says, if it is a control token. */
static gr_status take_end(gr_chat *chat, gr_tokenizer *tokenizer, const gr_rendered *r)
{
    const gr_token *ids;
    size_t n, size, from = r->n_untrusted ? r->untrusted[r->n_untrusted - 1].to : r->text_size;
    gr_token_kind kind;
    gr_status s = gr_tokenizer_encode(tokenizer, r->text + from, r->text_size - from, GR_PARSE_SPECIAL, &ids, &n);
    const char *name = s == GR_OK && n > 0 ? gr_tokenizer_token(tokenizer, ids[0], &size, &kind) : NULL;
    if (!name || kind != GR_TOKEN_CONTROL)
        return s;
    chat->end = gr_strfmt("%.*s", (int)size, name);
    return chat->end ? GR_OK : GR_ERR_MEMORY;
}

gr_status gr_chat_find_end(gr_chat *chat, gr_tokenizer *tokenizer)
{
    static const char probe[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", "
                                "\"content\": \"y\"}], \"add_generation_prompt\": false}";
    const gr_rendered *r;
    gr_status s = gr_chat_render(chat, tokenizer, "a probe", probe, sizeof probe - 1, &r);
    if (s == GR_OK)
        s = take_end(chat, tokenizer, r);
    gr_free(r);
    bool lacks_tokens = s == GR_ERR_UNSUPPORTED && gr_template_describe(chat->template)->needs;
    if (s == GR_ERR_MEMORY || lacks_tokens) /* that is so of every conversation */
        return s;
    gr_error_clear(); /* what is wrong with the template is told with a message of somebody */
    return GR_OK;
}

gr_status gr_chat_stops(const gr_chat *chat, const gr_texts *given, gr_texts *out)
{
    *out = (gr_texts){0};
    gr_status s = gr_grow(&out->items, &out->cap, given->count + 1, sizeof *out->items);
    for (size_t i = 0; s == GR_OK && i < given->count; i++)
        out->items[out->count++] = given->items[i];
    if (s == GR_OK && chat->end)
        out->items[out->count++] = chat->end;
    return s;
}

void gr_chat_close(gr_chat *chat)
{
    gr_free(chat->end);
    gr_template_free(chat->template);
    gr_bytes_free(&chat->variables);
    *chat = (gr_chat){0};
}

gr_status gr_chat_render(const gr_chat *chat, const gr_tokenizer *tokenizer, const char *name, const char *json,
                         size_t size, const gr_rendered **out)
{
    gr_conversation c = GR_INIT(gr_conversation);
    c.json = json;
    c.json_size = size;
    c.name = name;
    c.variables = chat->variables.data;
    c.variables_size = chat->variables.size;
    c.tokenizer = tokenizer;
    return gr_template_render(chat->template, &c, out);
}

/* ---- data --------------------------------------------------------------------------------------------------- */

gr_status gr_chat_open_for_data(gr_args *args, const gr_chat_data_flags *flags, const char *model, gr_chat *chat)
{
    gr_status s = gr_chat_open(args, &flags->template, model, chat);
    if (s != GR_ERR_UNSUPPORTED || flags->template.file)
        return s;
    gr_error_clear(); /* data may have no conversations */
    return GR_OK;
}

/* A flag that was given and is of conversations alone; NULL: none was. */
static const char *flag_of_conversations(const gr_args *args)
{
    static const char *const flags[] = {"chat-template", "template-arg", "loss", "on-ambiguous", "add-tokens"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (gr_args_given(args, flags[i]))
            return flags[i];
    return NULL;
}

gr_status gr_chat_check_heard(gr_args *args, const gr_data *data)
{
    const char *flag = flag_of_conversations(args);
    if (!flag || gr_data_describe(data)->conversations > 0)
        return GR_OK;
    return gr_args_fail(args,
                        "--%s: is of conversations, and DATA has none\nLeave it out; a conversation is a line such as "
                        "{\"messages\": [...]} of a .jsonl file.",
                        flag);
}

gr_status gr_chat_check_joined(gr_args *args)
{
    const char *flag = flag_of_conversations(args);
    if (flag)
        return gr_args_fail(args,
                            "--%s: is of conversations, and DATA is joined to one text\nLeave it out; conversations "
                            "are .jsonl files, with --documents apart.",
                            flag);
    if (gr_args_given(args, "too-long"))
        return gr_args_fail(args,
                            "--too-long: is of documents kept apart, and DATA is joined to one text\nLeave it out, "
                            "or give --documents apart.");
    return GR_OK;
}

void gr_chat_set_data(const gr_chat *chat, const gr_chat_data_flags *flags, gr_data_options *o)
{
    o->chat = chat->template;
    o->variables = chat->variables.data;
    o->variables_size = chat->variables.size;
    o->loss = (gr_chat_loss)flags->loss;
    o->too_long = (gr_too_long)flags->too_long;
    o->ambiguous_last = flags->on_ambiguous == 1;
}
