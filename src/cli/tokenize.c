/* gradus tokenize: text to ids, and back. */
#include <string.h>
#include "base/mem.h"
#include "cli/human.h"
#include "cli/term.h"
#include "cli/tokenize_lines.h"
#include "cli/verbs.h"

typedef struct options {
    bool special, allow_special, skip_special, jsonl, count;
    gr_texts data;
    gr_id_rows decode;
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
    {"skip-special", GR_SWITCH(options, skip_special), .help = "leave control tokens out of decoded text"},
    {0},
};

static gr_status decode_rows(gr_args *args, const gr_line_format *f, gr_tokenizer *t, gr_bytes *out)
{
    const gr_id_rows *rows = &((const options *)args->options)->decode;
    size_t n = rows->count / rows->rows;
    gr_ids narrow = {0};
    gr_status status = GR_OK;
    for (size_t i = 0; i < rows->count && status == GR_OK; i++) {
        if (rows->ids[i] > INT32_MAX)
            status = gr_fail(GR_ERR_ARGUMENT, "--decode: the tokenizer has no token %lld\nIts ids are below %lld.",
                             (long long)rows->ids[i], (long long)gr_tokenizer_vocab_size(f->tokenizer));
        else
            status = gr_ids_add(&narrow, (int32_t)rows->ids[i]);
    }
    for (size_t row = 0; row < rows->rows && status == GR_OK; row++)
        status = gr_line_decode(f, t, narrow.data + row * n, n, out);
    gr_ids_free(&narrow);
    return gr_args_blame(args, status);
}

static gr_status print_count(const gr_args *args, const gr_encoded *all, size_t bytes)
{
    size_t tokens = all->n ? all->ends[all->n - 1] : 0;
    if (args->common.json)
        gr_out("{\"documents\": %zu, \"bytes\": %zu, \"tokens\": %zu}\n", all->n, bytes, tokens);
    else
        gr_out("documents  %s\nbytes      %s\ntokens     %s\n", gr_human_integer((int64_t)all->n).s,
               gr_human_integer((int64_t)bytes).s, gr_human_integer((int64_t)tokens).s);
    return GR_OK;
}

static gr_status print_documents(const gr_line_format *f, const gr_encoded *all, gr_bytes *out)
{
    gr_status status = GR_OK;
    for (size_t i = 0; i < all->n && status == GR_OK; i++) {
        size_t start = i ? all->ends[i - 1] : 0;
        out->size = 0;
        status = gr_line_ids(f, all->ids + start, all->ends[i] - start, out);
        if (status == GR_OK)
            gr_out_bytes(out->data, out->size);
    }
    out->size = 0;
    return status;
}

/* The documents of --data, on all threads. */
static gr_status encode_data(const gr_args *args, const gr_line_format *f, gr_bytes *out)
{
    const options *o = args->options;
    gr_corpus *corpus = gr_corpus_load(o->data.items, (int)o->data.count);
    if (corpus == NULL)
        return gr_error_status();
    size_t n = (size_t)gr_corpus_documents(corpus), bytes;
    gr_span *texts = gr_alloc_zero(n, sizeof *texts);
    gr_encoded all = {0};
    gr_status status = texts ? gr_corpus_spans(corpus, texts) : GR_ERR_MEMORY;
    gr_corpus_text(corpus, &bytes);
    if (status == GR_OK)
        status = gr_tokenizer_encode_all(f->tokenizer, texts, n, f->encode_flags, (int)args->common.threads, &all);
    if (status == GR_OK)
        status = o->count ? print_count(args, &all, bytes) : print_documents(f, &all, out);
    gr_encoded_free(&all);
    gr_free(texts);
    gr_corpus_free(corpus);
    return status;
}

static gr_status answer(gr_args *args, const gr_line_format *f, gr_tokenizer *t)
{
    const options *o = args->options;
    gr_bytes out = {0};
    gr_status status;
    if (o->data.count > 0)
        status = encode_data(args, f, &out);
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
    if (args->count > 1 && (o->jsonl || o->decode.count > 0 || o->data.count > 0))
        return gr_args_fail(args, "%s: takes no TEXT\nLeave '%.40s' out.",
                            o->jsonl            ? "--jsonl"
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
    gr_found found = GR_INIT(gr_found);
    how.path_only = true;
    gr_tokenizer *tokenizer =
        gr_find(args->positional[0], &how, &found) == GR_OK ? gr_tokenizer_load(found.path) : NULL;
    f.tokenizer = tokenizer;
    gr_status status = tokenizer ? answer(args, &f, tokenizer) : gr_error_status();
    gr_tokenizer_free(tokenizer);
    gr_found_free(&found);
    return status;
}

const gr_verb gr_verb_tokenize = {
    .name = "tokenize",
    .summary = "turns text into token ids, and back with --decode",
    .positional = "MODEL [TEXT]",
    .about =
        "MODEL is a model directory, a run, or a tokenizer.json alone. Without TEXT each line of stdin is one input. "
        "With --json, {\"ids\": [...], \"tokens\": [...]} for each input.",
    .flags = flags,
    .common = GR_WITH_THREADS | GR_WITH_JSON,
    .examples = {{"the ids of a text", "gradus tokenize gpt2 'Hello world'"},
                 {"how many tokens a directory of text has", "gradus tokenize gpt2 --data books/ --count"}},
    .options_size = sizeof(options),
    .run = run,
};
