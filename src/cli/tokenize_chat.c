/* A conversation to text, ids and provenance. */
#include <string.h>
#include "base/file.h"
#include "base/json.h"
#include "cli/term.h"
#include "cli/tokenize_chat.h"

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

gr_status gr_tokenize_chat(gr_args *args, const char *file, const gr_chat_flags *flags, const char *model,
                           gr_tokenizer *tokenizer)
{
    gr_chat chat = {0};
    const gr_rendered *rendered = NULL;
    size_t size;
    bool is_stdin = strcmp(file, "-") == 0;
    char *json = gr_file_read(is_stdin ? "/dev/stdin" : file, GR_JSON_LIMIT, &size);
    gr_status s = json ? gr_chat_open(args, flags, model, &chat) : gr_error_status();
    if (s == GR_OK)
        s = gr_chat_render(&chat, tokenizer, is_stdin ? "stdin" : file, json, size, &rendered);
    if (s == GR_OK)
        s = answer(args, tokenizer, rendered);
    gr_free(rendered);
    gr_free(json);
    gr_chat_close(&chat);
    return s;
}
