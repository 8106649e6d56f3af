/* gradus tokenize: text to ids, and back. */
#include <string.h>
#include "base/mem.h"
#include "cli/human.h"
#include "cli/term.h"
#include "cli/tokenize_chat.h"
#include "cli/tokenize_lines.h"
#include "cli/verbs.h"

typedef struct options {
    bool special, allow_special, skip_special, jsonl, count;
    gr_texts data;
    gr_id_rows decode;
    const char *chat;
    gr_chat_flags conversation;
} options;

static const gr_flag flags[] = {
    {"special", GR_SWITCH(options, special), .help = "add BOS and EOS as the model's post-processor says"},
    {"allow-special", GR_SWITCH(options, allow_special),
     .help = "special tokens written in the text become control tokens; else they stay text"},
    {"decode", GR_IDS(options, decode), .value = "IDS", .group = 'd',
     .help = "the text of these ids, as 1,2,3; rows split by ;"},
    {"jsonl", GR_SWITCH(options, jsonl), .group = 'd',
     .help =
         "read {\"text\": ...} lines from stdin, write {\"ids\": [...]} lines in their order, and the other way round"},
    {"data", GR_LIST(options, data), .value = "DATA", .group = 'd',
     .help = "encode every document of a text file, a .jsonl file or a directory of them; may be given several times"},
    {"count", GR_SWITCH(options, count), .help = "of --data: how many tokens there are, instead of the ids"},
    {"chat", GR_TEXT(options, chat), .value = "FILE", .group = 'd',
     .help = "a conversation, {\"messages\": [...], \"tools\": [...]}, as the model's chat template writes it"},
    GR_CHAT_FLAGS(options, conversation, "of --chat: "),
    {"skip-special", GR_SWITCH(options, skip_special), .help = "leave control tokens out of decoded text"},
    {0},
};

static gr_status decode_rows(gr_args *args, const gr_line_format *f, gr_tokenizer *t, gr_bytes *out)
{
    const gr_id_rows *rows = &((const options *)args->options)->decode;
    size_t n = rows->count / rows->rows;
    gr_status status = GR_OK;
    for (size_t row = 0; row < rows->rows && status == GR_OK; row++)
        status = gr_line_decode(f, t, rows->ids + row * n, n, out);
    return gr_args_blame(args, status);
}

/* ---- the documents of --data -------------------------------------------------------------------------------- */

enum { BATCH = 16 << 20 }; /* bytes of text that are encoded at a time, on all threads */

typedef struct documents {
    const gr_args *args;
    const gr_line_format *format;
    gr_bytes text; /* of those that wait, one behind the other */
    size_t *ends;  /* [n] where each ends */
    size_t n, cap;
    int64_t count, bytes, tokens; /* of all so far */
    gr_bytes out;
} documents;

static gr_status print_documents(documents *d, const gr_encoded *all)
{
    gr_status s = GR_OK;
    for (size_t i = 0, start = 0; i < all->n && s == GR_OK; start = all->ends[i++]) {
        d->out.size = 0;
        s = gr_line_ids(d->format, all->ids + start, all->ends[i] - start, &d->out);
        if (s == GR_OK)
            gr_out_bytes(d->out.data, d->out.size);
    }
    return s;
}

/* Those that wait, on all threads. */
static gr_status encode_documents(documents *d)
{
    const options *o = d->args->options;
    gr_span *texts = gr_alloc_zero(d->n + 1, sizeof *texts);
    const gr_encoded *all = NULL;
    for (size_t i = 0, start = 0; texts && i < d->n; start = d->ends[i++])
        texts[i] = (gr_span){d->text.data + start, d->ends[i] - start};
    gr_status s = texts ? gr_tokenizer_encode_all(d->format->tokenizer, texts, d->n, d->format->encode_flags,
                                                  (int)d->args->common.threads, &all)
                        : GR_ERR_MEMORY;
    if (s == GR_OK)
        d->tokens += all->n ? (int64_t)all->ends[all->n - 1] : 0;
    if (s == GR_OK && !o->count)
        s = print_documents(d, all);
    gr_free(all);
    gr_free(texts);
    d->count += (int64_t)d->n;
    d->bytes += (int64_t)d->text.size;
    d->n = d->text.size = 0;
    return s;
}

static bool take_document(void *user, const char *text, size_t size)
{
    documents *d = user;
    gr_status s = d->text.size + size > BATCH ? encode_documents(d) : GR_OK;
    if (s == GR_OK)
        s = gr_bytes_add(&d->text, text, size);
    if (s == GR_OK)
        s = gr_grow(&d->ends, &d->cap, d->n + 1, sizeof *d->ends);
    if (s == GR_OK)
        d->ends[d->n++] = d->text.size;
    return s == GR_OK;
}

static void print_count(const documents *d)
{
    if (d->args->common.json)
        gr_out("{\"documents\": %lld, \"bytes\": %lld, \"tokens\": %lld}\n", (long long)d->count, (long long)d->bytes,
               (long long)d->tokens);
    else
        gr_out("documents  %s\nbytes      %s\ntokens     %s\n", gr_human_integer(d->count).s,
               gr_human_integer(d->bytes).s, gr_human_integer(d->tokens).s);
}

static gr_status encode_data(const gr_args *args, const gr_line_format *f)
{
    const options *o = args->options;
    documents d = {.args = args, .format = f};
    gr_status s = gr_read_texts(o->data.items, (int)o->data.count, take_document, &d);
    if (s == GR_OK)
        s = encode_documents(&d);
    if (s == GR_OK && o->count)
        print_count(&d);
    gr_bytes_free(&d.text);
    gr_bytes_free(&d.out);
    gr_free(d.ends);
    return s;
}

/* ---- the verb ----------------------------------------------------------------------------------------------- */

static gr_status answer(gr_args *args, const gr_line_format *f, gr_tokenizer *t)
{
    const options *o = args->options;
    gr_bytes out = {0};
    gr_status status;
    if (o->data.count > 0)
        status = encode_data(args, f);
    else if (o->decode.rows > 0)
        status = decode_rows(args, f, t, &out);
    else if (args->count > 1)
        status = gr_line_encode(f, t, args->positional[1], strlen(args->positional[1]), &out);
    else
        status = gr_lines_from_stdin(f, (int)args->common.threads);
    if (status == GR_OK)
        gr_out_bytes(out.data, out.size);
    gr_bytes_free(&out);
    return status;
}

static gr_status run(gr_args *args)
{
    const options *o = args->options;
    gr_line_format f = {.json = args->common.json, .jsonl = o->jsonl};
    f.encode_flags = (o->special ? GR_ADD_SPECIAL : 0) | (o->allow_special ? GR_PARSE_SPECIAL : 0);
    f.decode_flags = o->skip_special ? GR_SKIP_SPECIAL : 0;
    bool chats = o->chat != NULL;
    if (!chats && (o->conversation.file || o->conversation.args.count > 0))
        return gr_args_fail(args, "--%s: needs --chat\nGive the conversation that is to be written.",
                            o->conversation.file ? "chat-template" : "template-arg");
    if (chats && (o->special || o->allow_special))
        return gr_args_fail(args, "--%s: is for text, and in a conversation the template says it\nLeave it out.",
                            o->special ? "special" : "allow-special");
    if (args->count > 1 && (chats || o->jsonl || o->decode.count > 0 || o->data.count > 0))
        return gr_args_fail(args, "%s: takes no TEXT\nLeave '%.40s' out.",
                            chats               ? "--chat"
                            : o->jsonl          ? "--jsonl"
                            : o->data.count > 0 ? "--data"
                                                : "--decode",
                            args->positional[1]);
    if (o->count && o->data.count == 0)
        return gr_args_fail(args, "--count: needs --data\nGive the text whose tokens are to be counted.");
    bool decodes = o->decode.count > 0;
    if (decodes && (o->special || o->allow_special))
        return gr_args_fail(args, "--%s: is for text, and --decode takes ids\nLeave it out.",
                            o->special ? "special" : "allow-special");
    if (o->skip_special && !decodes && !o->jsonl)
        return gr_args_fail(args, "--skip-special: is for ids, and there are none\nGive --decode or --jsonl.");
    gr_find_options how = GR_INIT(gr_find_options);
    how.path_only = true;
    const gr_found *found = gr_find(args->positional[0], &how);
    gr_tokenizer *tokenizer = found ? gr_tokenizer_load(found->path) : NULL;
    f.tokenizer = tokenizer;
    gr_status status = !tokenizer ? gr_error_status()
                       : chats    ? gr_tokenize_chat(args, o->chat, &o->conversation, found->path, tokenizer)
                                  : answer(args, &f, tokenizer);
    gr_tokenizer_free(tokenizer);
    gr_free(found);
    return status;
}

const gr_verb gr_verb_tokenize = {
    .name = "tokenize",
    .summary = "turns text into token ids, and back with --decode",
    .positional = "MODEL [TEXT]",
    .about = "MODEL is a model directory, a .gguf file, a run, or a tokenizer.json alone. Without TEXT each line of "
             "stdin is one input. "
             "With --json, {\"ids\": [...], \"tokens\": [...]} for each input.",
    .flags = flags,
    .common = GR_WITH_THREADS | GR_WITH_JSON,
    .examples = {{"the ids of a text", "gradus tokenize gpt2 'Hello world'"},
                 {"how many tokens a directory of text has", "gradus tokenize gpt2 --data books/ --count"}},
    .options_size = sizeof(options),
    .run = run,
};
