/* gradus tokenize: text to ids, and back. */
#include "cli/term.h"
#include "cli/tokenize_lines.h"
#include "cli/verbs.h"
#include "format/checkpoint.h"

typedef struct options {
    bool special, allow_special, skip_special, jsonl;
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
    {"skip-special", GR_SWITCH(options, skip_special), .help = "leave control tokens out of decoded text"},
    {0},
};

static gr_status decode_rows(gr_args *args, const gr_line_format *f, gr_tokenizer_scratch *s, gr_bytes *out)
{
    const gr_id_rows *rows = &((const options *)args->options)->decode;
    size_t n = rows->count / rows->rows;
    gr_ids narrow = {0};
    gr_status status = GR_OK;
    for (size_t i = 0; i < rows->count && status == GR_OK; i++) {
        if (rows->ids[i] > INT32_MAX)
            status = gr_fail(GR_ERR_ARGUMENT, "--decode: the tokenizer has no token %lld", (long long)rows->ids[i]);
        else
            status = gr_ids_add(&narrow, (int32_t)rows->ids[i]);
    }
    for (size_t row = 0; row < rows->rows && status == GR_OK; row++)
        status = gr_line_decode(f, s, narrow.data + row * n, n, out);
    gr_ids_free(&narrow);
    return gr_args_blame(args, status);
}

static gr_status answer(gr_args *args, const gr_line_format *f)
{
    const options *o = args->options;
    gr_tokenizer_scratch s = {0};
    gr_bytes out = {0};
    gr_status status;
    if (o->decode.rows > 0)
        status = decode_rows(args, f, &s, &out);
    else if (args->count > 1)
        status = gr_line_encode(f, &s, args->positional[1], strlen(args->positional[1]), &out);
    else
        status = gr_lines_from_stdin(f, (int)args->common.threads);
    if (status == GR_OK)
        gr_out_bytes(out.data, out.size);
    gr_tokenizer_scratch_free(&s);
    gr_bytes_free(&out);
    return status;
}

static gr_status run(gr_args *args)
{
    const options *o = args->options;
    gr_line_format f = {.json = args->common.json, .jsonl = o->jsonl};
    f.encode_flags = (o->special ? GR_ADD_SPECIAL : 0) | (o->allow_special ? GR_PARSE_SPECIAL : 0);
    f.decode_flags = o->skip_special ? GR_SKIP_SPECIAL : 0;
    if (args->count > 1 && (o->jsonl || o->decode.count > 0))
        return gr_args_fail(args, "%s: takes no TEXT\nLeave '%.40s' out.", o->jsonl ? "--jsonl" : "--decode",
                            args->positional[1]);
    char *path = gr_checkpoint_resolve(args->positional[0]);
    gr_tokenizer *tokenizer = path ? gr_tokenizer_load(path) : NULL;
    f.tokenizer = tokenizer;
    gr_status status = tokenizer ? answer(args, &f) : gr_error_status();
    gr_tokenizer_free(tokenizer);
    gr_free(path);
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
                 {"and back", "gradus tokenize gpt2 --decode 15496,995"}},
    .options_size = sizeof(options),
    .run = run,
};
