/* A conversation to text, ids and provenance. */
#include <string.h>
#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/term.h"
#include "cli/tokenize_chat.h"

/* ---- what goes in ------------------------------------------------------------------------------------------- */

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
    source.path = flags->chat_template ? flags->chat_template : model;
    if (flags->chat_template && gr_path_is_dir(flags->chat_template)) {
        gr_fail(GR_ERR_FILE, "%s: is a directory\n--chat-template takes the file of a template.", flags->chat_template);
        return NULL;
    }
    if (!flags->chat_template && !gr_path_is_dir(model)) {
        gr_fail(GR_ERR_UNSUPPORTED, "%s: a tokenizer alone has no chat template\nGive one with --chat-template FILE.",
                model);
        return NULL;
    }
    return gr_template_open(&source);
}

/* ---- what comes out ----------------------------------------------------------------------------------------- */

static gr_status answer_json(const gr_tokenizer *t, const gr_rendered *r, const gr_token *ids, size_t n)
{
    gr_json_doc *doc = gr_json_new("chat");
    gr_json root = gr_json_root(doc);
    gr_json_put_bytes(root, "text", r->text, r->text_size);
    gr_json list = gr_json_put_array(root, "ids"), tokens = gr_json_put_array(root, "tokens");
    for (size_t i = 0; i < n; i++) {
        size_t size = 0;
        const char *token = gr_tokenizer_token(t, ids[i], &size, NULL);
        gr_json_put_int(list, NULL, ids[i]);
        gr_json_put_bytes(tokens, NULL, token ? token : "", size);
    }
    gr_json ranges = gr_json_put_array(root, "untrusted");
    for (size_t i = 0; i < r->n_untrusted; i++) {
        gr_json range = gr_json_put_array(ranges, NULL);
        gr_json_put_int(range, NULL, (int64_t)r->untrusted[i].from);
        gr_json_put_int(range, NULL, (int64_t)r->untrusted[i].to);
    }
    return gr_out_json(doc);
}

/* The text, what messages brought in another colour where there are colours, and below it the numbers. */
static void answer_text(const gr_rendered *r, const gr_token *ids, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < r->n_untrusted; i++) {
        const gr_text_range range = r->untrusted[i];
        gr_out_bytes(r->text + at, range.from - at);
        gr_out("%s", gr_style_on(stdout, GR_CYAN));
        gr_out_bytes(r->text + range.from, range.to - range.from);
        gr_out("%s", gr_style_on(stdout, GR_PLAIN));
        at = range.to;
    }
    gr_out_bytes(r->text + at, r->text_size - at);
    gr_out("\nids        ");
    for (size_t i = 0; i < n; i++)
        gr_out("%s%d", i ? "," : "", (int)ids[i]);
    gr_out("\nuntrusted  ");
    for (size_t i = 0; i < r->n_untrusted; i++)
        gr_out("%s%zu-%zu", i ? "," : "", r->untrusted[i].from, r->untrusted[i].to);
    gr_out("\n");
}

static gr_status answer(const gr_args *args, gr_tokenizer *t, const gr_rendered *r)
{
    const gr_token *ids;
    size_t n;
    gr_status s = gr_template_encode(t, r, &ids, &n);
    if (s == GR_OK && args->common.json)
        return answer_json(t, r, ids, n);
    if (s == GR_OK)
        answer_text(r, ids, n);
    return s;
}

gr_status gr_tokenize_chat(gr_args *args, const gr_chat_flags *flags, const char *model, gr_tokenizer *tokenizer)
{
    gr_conversation c = GR_INIT(gr_conversation);
    gr_bytes variables = {0};
    gr_template *chat = NULL;
    const gr_rendered *rendered = NULL;
    bool is_stdin = strcmp(flags->chat, "-") == 0;
    gr_status s = read_variables(args, &flags->template_args, &variables);
    char *json = s == GR_OK ? gr_file_read(is_stdin ? "/dev/stdin" : flags->chat, GR_JSON_LIMIT, &c.json_size) : NULL;
    if (json)
        chat = open_template(flags, model);
    c.json = json;
    c.name = is_stdin ? "stdin" : flags->chat;
    c.variables = variables.data;
    c.variables_size = variables.size;
    c.tokenizer = tokenizer;
    if (s == GR_OK)
        s = chat ? gr_template_render(chat, &c, &rendered) : gr_error_status();
    if (s == GR_OK)
        s = answer(args, tokenizer, rendered);
    gr_free(rendered);
    gr_template_free(chat);
    gr_free(json);
    gr_bytes_free(&variables);
    return s;
}
