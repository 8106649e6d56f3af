/* gradus tokenize: text to ids, and back. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include "base/file.h"
#include "cli/term.h"
#include "cli/verbs.h"
#include "format/checkpoint.h"
#include "text/json_text.h"

typedef struct options {
    bool special, allow_special, jsonl;
    gr_id_rows decode;
} options;

static const gr_flag flags[] = {
    {"special", GR_SWITCH(options, special), .help = "add BOS and EOS as the model's post-processor says"},
    {"allow-special", GR_SWITCH(options, allow_special),
     .help = "special tokens written in the text become control tokens; else they stay text"},
    {"decode", GR_IDS(options, decode), .value = "IDS", .group = 'd',
     .help = "the text of these ids, as 1,2,3; rows split by ;"},
    {"jsonl", GR_SWITCH(options, jsonl), .group = 'd',
     .help = "read {\"text\": ...} lines from stdin, write {\"ids\": [...]} lines in their order"},
    {0},
};

typedef struct job {
    gr_tokenizer *tokenizer;
    const options *o;
    unsigned encode_flags;
    bool json;    /* --json */
    gr_bytes out; /* the line being made */
    int64_t line; /* of stdin */
} job;

static gr_status add_ids(gr_bytes *out, const int32_t *ids, size_t n, const char *separator)
{
    gr_status status = gr_bytes_reserve(out, n * 14);
    for (size_t i = 0; i < n && status == GR_OK; i++)
        out->size += (size_t)snprintf(out->data + out->size, 14, "%s%d", i ? separator : "", (int)ids[i]);
    return status;
}

static gr_status add_tokens(gr_bytes *out, const gr_tokenizer *tokenizer, const int32_t *ids, size_t n)
{
    gr_status status = gr_bytes_add_string(out, ", \"tokens\": [");
    for (size_t i = 0; i < n && status == GR_OK; i++) {
        size_t size = 0;
        const char *token = gr_tokenizer_token(tokenizer, ids[i], &size);
        status = gr_bytes_add_string(out, i ? ", " : "");
        if (status == GR_OK)
            status = gr_json_add_text(out, token ? token : "", size);
    }
    return status == GR_OK ? gr_bytes_add_string(out, "]") : status;
}

/* The line made, and its newline, to stdout. */
static gr_status print_line(job *j)
{
    gr_status status = gr_bytes_add(&j->out, "\n", 1);
    if (status == GR_OK)
        gr_out_bytes(j->out.data, j->out.size);
    j->out.size = 0;
    return status;
}

static gr_status encode(job *j, const char *text, size_t size)
{
    const int32_t *ids;
    size_t n;
    bool is_object = j->json || j->o->jsonl;
    gr_status status = gr_tokenizer_encode(j->tokenizer, text, size, j->encode_flags, &ids, &n);
    if (status == GR_OK && is_object)
        status = gr_bytes_add_string(&j->out, "{\"ids\": [");
    if (status == GR_OK)
        status = add_ids(&j->out, ids, n, is_object ? ", " : ",");
    if (status == GR_OK && is_object)
        status = gr_bytes_add_string(&j->out, "]");
    if (status == GR_OK && j->json)
        status = add_tokens(&j->out, j->tokenizer, ids, n);
    if (status == GR_OK && is_object)
        status = gr_bytes_add_string(&j->out, "}");
    return status == GR_OK ? print_line(j) : status;
}

/* One row of --decode. */
static gr_status decode(job *j, const int64_t *ids, size_t n)
{
    gr_ids narrow = {0};
    gr_status status = GR_OK;
    const char *text;
    size_t size;
    for (size_t i = 0; i < n && status == GR_OK; i++) {
        if (gr_tokenizer_token(j->tokenizer, ids[i], &size) == NULL)
            status = gr_fail(GR_ERR_ARGUMENT, "--decode: the tokenizer has no token %lld\nIts ids are below %lld.",
                             (long long)ids[i], (long long)gr_tokenizer_vocab_size(j->tokenizer));
        else
            status = gr_ids_add(&narrow, (int32_t)ids[i]);
    }
    if (status == GR_OK)
        status = gr_tokenizer_decode(j->tokenizer, narrow.data, narrow.size, 0, &text, &size);
    if (status == GR_OK && j->json)
        status = gr_bytes_add_string(&j->out, "{\"text\": ");
    if (status == GR_OK)
        status = j->json ? gr_json_add_text(&j->out, text, size) : gr_bytes_add(&j->out, text, size);
    if (status == GR_OK && j->json)
        status = gr_bytes_add_string(&j->out, "}");
    gr_ids_free(&narrow);
    return status == GR_OK ? print_line(j) : status;
}

/* One line of stdin, without its newline. */
static gr_status take_line(job *j, const char *text, size_t size)
{
    j->line++;
    if (!j->o->jsonl)
        return encode(j, text, size);
    char name[48];
    snprintf(name, sizeof name, "stdin, line %lld", (long long)j->line);
    gr_json_doc *doc = gr_json_parse(name, text, size);
    if (doc == NULL)
        return gr_error_status();
    size_t length = 0;
    const char *field = gr_json_as_text(gr_json_get(gr_json_as_object(gr_json_root(doc)), "text"), &length);
    gr_status status = gr_json_check(doc);
    if (status == GR_OK)
        status = encode(j, field, length);
    gr_json_free(doc);
    return status;
}

/* The whole lines of in[*start..), of which nothing before `from` is new; *start moves behind the last. */
static gr_status take_lines(job *j, const gr_bytes *in, size_t *start, size_t from)
{
    gr_status status = GR_OK;
    char *end;
    while (status == GR_OK && (end = memchr(in->data + from, '\n', in->size - from)) != NULL) {
        status = take_line(j, in->data + *start, (size_t)(end - in->data) - *start);
        *start = from = (size_t)(end - in->data) + 1;
    }
    /* Whoever writes line by line reads the answers so, too. */
    return status == GR_OK ? gr_out_finish() : status;
}

/* Lines of any length, in memory of the longest. */
static gr_status take_stdin(job *j)
{
    enum { CHUNK = 1 << 16 };
    gr_bytes in = {0};
    size_t start = 0; /* of the line that is not whole yet */
    gr_status status = GR_OK;
    for (;;) {
        if (start > 0)
            memmove(in.data, in.data + start, in.size - start);
        in.size -= start;
        start = 0;
        status = gr_bytes_reserve(&in, CHUNK);
        if (status != GR_OK)
            break;
        ssize_t n = read(STDIN_FILENO, in.data + in.size, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = gr_fail_errno("reading", "stdin");
        if (n <= 0)
            break;
        in.size += (size_t)n;
        status = take_lines(j, &in, &start, in.size - (size_t)n);
        if (status != GR_OK)
            break;
    }
    /* The last line may lack its newline. */
    if (status == GR_OK && in.size > start)
        status = take_line(j, in.data + start, in.size - start);
    gr_bytes_free(&in);
    return status;
}

static gr_status run(gr_args *args)
{
    const options *o = args->options;
    job j = {.o = o, .json = args->common.json};
    j.encode_flags = (o->special ? GR_ADD_SPECIAL : 0) | (o->allow_special ? GR_PARSE_SPECIAL : 0);
    if (args->count > 1 && (o->jsonl || o->decode.count > 0))
        return gr_args_fail(args, "%s: takes no TEXT\nLeave '%.40s' out.", o->jsonl ? "--jsonl" : "--decode",
                            args->positional[1]);
    char *path = gr_checkpoint_resolve(args->positional[0]);
    j.tokenizer = path ? gr_tokenizer_load(path) : NULL;
    gr_status status = j.tokenizer ? GR_OK : gr_error_status();
    size_t length = o->decode.rows ? o->decode.count / o->decode.rows : 0;
    for (size_t row = 0; row < o->decode.rows && status == GR_OK; row++)
        status = gr_args_blame(args, decode(&j, o->decode.ids + row * length, length));
    if (status == GR_OK && o->decode.rows == 0)
        status = args->count > 1 ? encode(&j, args->positional[1], strlen(args->positional[1])) : take_stdin(&j);
    gr_bytes_free(&j.out);
    gr_tokenizer_free(j.tokenizer);
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
    .common = GR_WITH_JSON,
    .examples = {{"the ids of a text", "gradus tokenize gpt2 'Hello world'"},
                 {"and back", "gradus tokenize gpt2 --decode 15496,995"}},
    .options_size = sizeof(options),
    .run = run,
};
