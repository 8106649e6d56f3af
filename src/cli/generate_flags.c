/* The table of the flags, and reading the prompts. */
#include <stdio.h>
#include <string.h>
#include "base/buffer.h"
#include "base/content.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/generate.h"

#define INT(field) GR_INT(gr_generate_flags, field)
#define LIST(field) GR_LIST(gr_generate_flags, field)

const gr_flag gr_generate_flag_table[] = {
    {"prompt", LIST(prompts), .letter = 'p', .group = 'p', .value = "TEXT",
     .help = "what to continue; - reads stdin; repeated, for several prompts"},
    {"prompt-file", LIST(prompt_files), .group = 'p', .value = "FILE", .help = "the same from a file, byte for byte"},
    {"ids", GR_IDS(gr_generate_flags, ids), .group = 'p', .value = "IDS",
     .help = "token ids to continue: 1,2,3; of several prompts 1,2,3;4,5,6"},
    {"chat", GR_SWITCH(gr_generate_flags, chat),
     .help = "the prompt is a user's message, and what is made the answer, as the model's chat template has it"},
    GR_CHAT_FLAGS(gr_generate_flags, template, "of --chat: "),
    {"tokens", INT(tokens), .letter = 'n', .value = "N", .initial = "128", .min = 1, .max = 1e15, .unit = "tokens",
     .help = "new ones at most"},
    {"samples", INT(samples), .value = "N", .initial = "1", .min = 1, .max = 1 << 20,
     .help = "texts to make; each has its own seed, one more than the one before"},
    GR_RUNNING_FLAGS(gr_generate_flags, running),
    GR_SAMPLER_FLAGS(gr_generate_flags, samplers),
    {GR_HEADING("Where a text ends")},
    {"stop", LIST(stop), .value = "TEXT", .help = "before this text"},
    {"ignore-eos", GR_SWITCH(gr_generate_flags, ignore_eos), .help = "not at the model's end-of-text token"},
    {0},
};

/* ---- the prompt --------------------------------------------------------------------------------------------- */

static gr_status read_stdin(gr_bytes *text)
{
    size_t got;
    do {
        if (gr_bytes_reserve(text, 65536) != GR_OK)
            return GR_ERR_MEMORY;
        got = fread(text->data + text->size, 1, 65536, stdin);
        text->size += got;
    } while (got > 0);
    return ferror(stdin) ? gr_fail_errno("reading", "standard input") : GR_OK;
}

static gr_status read_text(const gr_generate_flags *f, size_t which, gr_bytes *text)
{
    const char *file = which < f->prompt_files.count ? f->prompt_files.items[which] : NULL;
    const char *prompt = which < f->prompts.count ? f->prompts.items[which] : "";
    if (strcmp(file ? file : prompt, "-") == 0)
        return read_stdin(text);
    if (!file)
        return gr_bytes_add_string(text, prompt);
    text->data = gr_file_read(file, (size_t)1 << 30, &text->size);
    text->cap = text->size;
    return text->data ? gr_refuse_content(file, text->data, text->size) : gr_error_status();
}

/* The model's own token for a beginning; many have only one for the end, which stands between texts. */
static gr_status begin_text(const gr_opened *on, gr_token *id)
{
    const gr_model_info *i = gr_model_describe(on->model);
    const gr_tokenizer *t = on->tokenizer;
    gr_token choices[] = {t ? gr_tokenizer_describe(t)->bos : -1, i->bos, t ? gr_tokenizer_describe(t)->eos : -1,
                          i->eos};
    for (int k = 0; k < 4; k++)
        if (choices[k] >= 0 && choices[k] < i->vocab) {
            *id = choices[k];
            return GR_OK;
        }
    return gr_fail(GR_ERR_ARGUMENT,
                   "the prompt is empty, and %s has no token that begins a text\nGive a prompt: -p TEXT.", on->path);
}

static gr_status encode(const gr_opened *on, const gr_bytes *text, gr_token **ids, int64_t *n)
{
    const gr_token *encoded = NULL;
    size_t count = 0;
    gr_status s = GR_OK;
    if (text->size > 0)
        s = gr_need_tokenizer(on);
    if (s == GR_OK && on->tokenizer)
        s = gr_tokenizer_encode(on->tokenizer, text->data ? text->data : "", text->size, GR_ADD_SPECIAL, &encoded,
                                &count);
    *ids = s == GR_OK ? gr_alloc((count + 1) * sizeof **ids) : NULL;
    if (!*ids)
        return gr_error_status();
    for (size_t i = 0; i < count; i++)
        (*ids)[i] = encoded[i];
    *n = (int64_t)count;
    if (count > 0)
        return GR_OK;
    *n = 1;
    return begin_text(on, *ids);
}

/* One turn: the text as a user's message. */
static gr_status encode_turn(const gr_opened *on, const gr_chat *chat, const gr_bytes *text, gr_token **ids, int64_t *n)
{
    gr_json_doc *doc = gr_json_new("the prompt");
    gr_json messages = gr_json_put_array(gr_json_root(doc), "messages"), message = gr_json_put_object(messages, NULL);
    const gr_rendered *rendered = NULL;
    const gr_token *encoded = NULL;
    size_t size, count = 0;
    gr_json_put_text(message, "role", "user");
    gr_json_put_bytes(message, "content", text->data ? text->data : "", text->size);
    char *json = doc ? gr_json_format(doc, false, &size) : NULL;
    gr_status s = json ? gr_chat_render(chat, on->tokenizer, "the prompt", json, size, &rendered) : gr_error_status();
    if (s == GR_OK)
        s = gr_template_encode(on->tokenizer, rendered, &encoded, &count);
    if (s == GR_OK && !count)
        s = gr_fail(GR_ERR_ARGUMENT, "the chat template makes an empty text of the prompt\nGive another template.");
    *ids = s == GR_OK ? gr_alloc(count * sizeof **ids) : NULL;
    if (*ids)
        memcpy(*ids, encoded, count * sizeof **ids);
    *n = (int64_t)count;
    gr_free(rendered);
    gr_free(json);
    gr_json_free(doc);
    return s == GR_OK && !*ids ? GR_ERR_MEMORY : s;
}

/* Prompt number `which`, of --ids or of a text. */
static gr_status read_one(const gr_generate_flags *f, const gr_opened *on, const gr_chat *chat, size_t which,
                          gr_token **ids, int64_t *n)
{
    gr_bytes text = {0};
    if (f->ids.count > 0) {
        size_t width = f->ids.count / f->ids.rows;
        *n = (int64_t)width;
        *ids = gr_alloc(width * sizeof **ids);
        if (*ids)
            memcpy(*ids, f->ids.ids + which * width, width * sizeof **ids);
        return *ids ? GR_OK : GR_ERR_MEMORY;
    }
    gr_status s = read_text(f, which, &text);
    if (s == GR_OK)
        s = f->chat ? encode_turn(on, chat, &text, ids, n) : encode(on, &text, ids, n);
    gr_bytes_free(&text);
    return s;
}

static gr_status check_ids(gr_args *args, const gr_opened *on, const gr_token *ids, int64_t n)
{
    const gr_generate_flags *f = args->options;
    int64_t vocab = gr_model_describe(on->model)->vocab;
    for (int64_t i = 0; f->ids.count && i < n; i++)
        if (ids[i] >= vocab)
            return gr_args_fail(args, "--ids: token id %lld is not in the vocabulary of %lld\nIds begin with 0.",
                                (long long)ids[i], (long long)vocab);
    return gr_check_made_ids(on, ids, n);
}

/* The template of --chat, which lies where the tokenizer does. */
static gr_status open_chat(gr_args *args, const gr_opened *on, gr_chat *chat)
{
    const gr_generate_flags *f = args->options;
    if (!f->chat && (f->template.file || f->template.args.count > 0))
        return gr_args_fail(args, "--%s: needs --chat\nGive it, or leave this out.",
                            f->template.file ? "chat-template" : "template-arg");
    if (f->chat && f->ids.count > 0)
        return gr_args_fail(args, "--chat: is for text, and --ids gives ids\nGive the message with -p.");
    gr_status s = f->chat ? gr_need_tokenizer(on) : GR_OK;
    if (s == GR_OK && f->chat)
        s = gr_chat_open(args, &f->template, on->found->tokenizer, chat);
    return s == GR_OK && f->chat && !f->ignore_eos ? gr_chat_find_end(chat, on->tokenizer) : s;
}

gr_status gr_read_prompts(gr_args *args, const gr_opened *on, gr_prompts *out)
{
    const gr_generate_flags *f = args->options;
    gr_chat chat = {0};
    size_t count = f->ids.count ? f->ids.rows : f->prompts.count + f->prompt_files.count;
    count = count ? count : 1; /* none: an empty one */
    out->ids = gr_alloc_zero(count, sizeof *out->ids);
    out->n = gr_alloc_zero(count, sizeof *out->n);
    gr_status s = out->ids && out->n ? open_chat(args, on, &chat) : GR_ERR_MEMORY;
    for (size_t i = 0; s == GR_OK && i < count; i++) {
        s = read_one(f, on, &chat, i, &out->ids[i], &out->n[i]);
        out->count = i + 1;
        out->longest = out->n[i] > out->longest ? out->n[i] : out->longest;
        if (s == GR_OK)
            s = check_ids(args, on, out->ids[i], out->n[i]);
    }
    if (s == GR_OK)
        s = gr_chat_stops(&chat, &f->stop, &out->stops);
    out->end = chat.end;
    chat.end = NULL;
    gr_chat_close(&chat);
    return s;
}

void gr_free_prompts(gr_prompts *p)
{
    for (size_t i = 0; i < p->count; i++)
        gr_free(p->ids[i]);
    gr_free(p->ids);
    gr_free(p->n);
    gr_free(p->stops.items);
    gr_free(p->end);
}

int64_t gr_texts_at_once(const gr_generate_flags *f, size_t prompts)
{
    int64_t most = GR_TEXTS_AT_ONCE, count = (int64_t)prompts;
    return f->samples < most && f->samples * count < most ? f->samples * count : most;
}
