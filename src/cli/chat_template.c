/* Opening the template of a model, or another one. */
#include <string.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/json.h"
#include "cli/chat_template.h"

/* {"KEY": JSON, ...} */
static gr_status read_variables(gr_args *args, const gr_texts *given, gr_bytes *out)
{
    gr_status s = gr_bytes_add_string(out, "{");
    for (size_t i = 0; i < given->count && s == GR_OK; i++) {
        const char *equals = strchr(given->items[i], '=');
        if (!equals || equals == given->items[i])
            return gr_args_fail(args, "--template-arg: '%.60s' is not KEY=JSON\nWrite it as enable_thinking=false.",
                                given->items[i]);
        s = gr_bytes_add_string(out, i ? ", " : "");
        if (s == GR_OK)
            s = gr_json_add_text(out, given->items[i], (size_t)(equals - given->items[i]));
        if (s == GR_OK)
            s = gr_bytes_add_string(out, ": ");
        if (s == GR_OK)
            s = gr_bytes_add_string(out, equals + 1);
    }
    if (s == GR_OK)
        s = gr_bytes_add_string(out, "}");
    gr_json_doc *doc = s == GR_OK ? gr_json_parse("--template-arg", out->data, out->size) : NULL;
    gr_json_free(doc);
    return doc || s != GR_OK ? s : gr_args_fail(args, "%.900s", gr_error());
}

static gr_template *open_template(const gr_chat_flags *flags, const char *model)
{
    gr_template_source source = GR_INIT(gr_template_source);
    source.path = flags->file ? flags->file : model;
    if (flags->file && gr_path_is_dir(flags->file)) {
        gr_fail(GR_ERR_FILE, "%s: is a directory\n--chat-template takes the file of a template.", flags->file);
        return NULL;
    }
    if (!flags->file && !gr_ends_with(model, ".gguf") && !gr_path_is_dir(model)) {
        gr_fail(GR_ERR_UNSUPPORTED, "%s: a tokenizer alone has no chat template\nGive one with --chat-template FILE.",
                model);
        return NULL;
    }
    return gr_template_open(&source);
}

gr_status gr_chat_open(gr_args *args, const gr_chat_flags *flags, const char *model, gr_chat *chat)
{
    *chat = (gr_chat){0};
    gr_status s = read_variables(args, &flags->args, &chat->variables);
    if (s == GR_OK && !(chat->template = open_template(flags, model)))
        s = gr_error_status();
    return s;
}

void gr_chat_close(gr_chat *chat)
{
    gr_template_free(chat->template);
    gr_bytes_free(&chat->variables);
    chat->template = NULL;
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
