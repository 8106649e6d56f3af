/* gradus tokenizer train. */
#include <string.h>
#include <time.h>
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/human.h"
#include "cli/output.h"
#include "cli/term.h"
#include "cli/verbs.h"

typedef struct options {
    const char *out;
    int64_t vocab, min_frequency;
    bool lines;
    gr_texts special;
} options;

static const gr_flag flags[] = {
    {"vocab", GR_INT(options, vocab), .value = "N", .min = 257, .max = INT32_MAX, .unit = "tokens",
     .help = "size of the vocabulary, 256 bytes and special tokens counted in"},
    {"out", GR_TEXT(options, out), .value = "FILE",
     .help = "the tokenizer.json to write; only one of this verb is replaced"},
    {"min-frequency", GR_INT(options, min_frequency), .value = "N", .initial = "0",
     .help = "pairs rarer than this are not merged"},
    {"lines", GR_SWITCH(options, lines), .help = "every line is a text of its own, so that no token spans lines"},
    {"special", GR_LIST(options, special), .value = "TOKEN",
     .help = "a control token besides <|endoftext|>; may be given several times"},
    {0},
};

/* What the terminal shows. */
typedef struct screen {
    double start;
    int64_t vocab;
    bool is_learning;
    gr_tokenizer_progress last;
} screen;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool on_progress(void *user, const gr_tokenizer_progress *p)
{
    screen *s = user;
    s->last = *p;
    if (!p->tokens) {
        double rate = (double)p->bytes / (now() - s->start + 1e-9);
        gr_progress_update((double)p->bytes, "%s  %s/s", gr_human_bytes((double)p->bytes).s, gr_human_bytes(rate).s);
        return !gr_interrupted(NULL);
    }
    if (!s->is_learning)
        gr_progress_start("learning", 257, (double)s->vocab);
    s->is_learning = true;
    gr_progress_update((double)p->tokens, "%s tokens of %s distinct words", gr_human_integer(p->tokens).s,
                       gr_human_count((double)p->words).s);
    return !gr_interrupted(NULL);
}

static gr_status write_result(const gr_args *args, const gr_tokenizer *tokenizer, const screen *s)
{
    const options *o = args->options;
    const gr_tokenizer_info *made = gr_tokenizer_describe(tokenizer);
    gr_status status = gr_file_write(o->out, made->json, made->json_size);
    if (status != GR_OK)
        return status;
    int64_t tokens = made->vocab_size;
    if (tokens < o->vocab)
        gr_note("%lld tokens, not %lld: no other pair is that frequent", (long long)tokens, (long long)o->vocab);
    if (!args->common.json) {
        gr_note("done: %s, %s tokens from %s of text in %s", o->out, gr_human_integer(tokens).s,
                gr_human_bytes((double)s->last.bytes).s, gr_human_time(now() - s->start).s);
        return GR_OK;
    }
    gr_json_doc *doc = gr_json_new("result");
    gr_json root = gr_json_root(doc);
    gr_json_put_path(root, "out", o->out);
    gr_json_put_int(root, "tokens", tokens);
    gr_json_put_int(root, "words", s->last.words);
    gr_json_put_int(root, "bytes", s->last.bytes);
    gr_json_put_real(root, "seconds", now() - s->start);
    return gr_out_json(doc);
}

/* What this verb writes begins so; other writers of the format set their lines otherwise. */
static bool is_own(const char *head, size_t size)
{
    static const char begin[] = "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  "
                                "\"added_tokens\": [\n    {\"id\":";
    return size >= sizeof begin - 1 && memcmp(head, begin, sizeof begin - 1) == 0;
}

static gr_status run(gr_args *args)
{
    const options *o = args->options;
    screen s = {.start = now(), .vocab = o->vocab};
    gr_tokenizer_training training = {
        .size = sizeof training,
        .vocab_size = o->vocab,
        .min_frequency = o->min_frequency,
        .paths = args->positional,
        .n_paths = (int)args->count,
        .whole_texts = !o->lines,
        .special = o->special.items,
        .n_special = (int)o->special.count,
        .threads = (int)args->common.threads,
        .progress = on_progress,
        .user = &s,
    };
    if (args->count == 0)
        return gr_args_fail(args, "DATA is missing\nGive text files, .jsonl files or directories of them.");
    gr_status status = gr_check_output_file(args, "out", o->out, args->positional, args->count, is_own);
    if (status != GR_OK)
        return status;
    gr_interrupt_watch();
    gr_broken_pipe_watch();
    gr_progress_start("reading", 0, 0);
    gr_tokenizer *tokenizer = gr_tokenizer_train(&training);
    gr_progress_end();
    status = tokenizer ? write_result(args, tokenizer, &s) : gr_args_blame(args, gr_error_status());
    gr_tokenizer_free(tokenizer);
    return status;
}

const gr_verb gr_verb_tokenizer_train = {
    .name = "tokenizer train",
    .summary = "learns a byte-level BPE from text and writes its tokenizer.json",
    .positional = "DATA...",
    .about =
        "DATA is text files, .jsonl files with {\"text\": ...} lines, directories of both, or - for stdin. A file is "
        "one\n"
        "text and so is a line of .jsonl; vocabulary and merges are those of Hugging Face's BpeTrainer on these texts\n"
        "(train_from_iterator). With --lines they are those of its train(files), which never joins two lines.\n"
        "\n"
        "Words are cut by GPT-2's pattern. <|endoftext|> has id 0. Memory grows with distinct words, not with text.",
    .flags = flags,
    .needs = {"vocab", "out"},
    .common = GR_WITH_THREADS | GR_WITH_JSON,
    .examples = {{"32,000 tokens from a directory of text",
                  "gradus tokenizer train books/ --vocab 32k --out tokenizer.json"},
                 {"what Tokenizer.train([file]) learns",
                  "gradus tokenizer train book.txt --vocab 8000 --lines --out tokenizer.json"}},
    .options_size = sizeof(options),
    .run = run,
};
