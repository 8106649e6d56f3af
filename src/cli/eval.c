/* gradus eval. */
#include <math.h>
#include <string.h>
#include "base/json.h"
#include "base/machine.h"
#include "cli/human.h"
#include "cli/measure.h"
#include "cli/open.h"
#include "cli/running.h"
#include "cli/term.h"
#include "cli/verbs.h"

typedef struct options {
    const char *data, *against;
    int64_t context, stride;
    gr_chat_flags chat;
    gr_running_flags running;
} options;

static const gr_flag flags[] = {
    {"data", GR_TEXT(options, data), .value = "DATA",
     .help = "a text file, a .jsonl file, a directory, or - for stdin; conversations are what the chat template makes "
             "of them, "
             "every token of it"},
    {"against", GR_TEXT(options, against), .value = "MODEL2",
     .help = "a model of the same vocabulary that MODEL is compared with, token by token"},
    {"context", GR_INT(options, context), .value = "N", .shown = "the model's", .min = 2, .max = 1 << 24,
     .unit = "tokens", .help = "of a window"},
    {"stride", GR_INT(options, stride), .value = "N", .shown = "as --context", .min = 1, .max = 1 << 24,
     .unit = "tokens",
     .help = "from window to window; less than --context gives every token more to go by, and takes longer"},
    GR_CHAT_FLAGS(options, chat, "conversations are written by "),
    GR_RUNNING_FLAGS(options, running),
    {0},
};

typedef struct work {
    gr_opened on, other; /* that of --against */
    gr_distance distance;
    gr_measured_text text;
    double began;
} work;

/* Models are compared token by token: both tokenizers must make the same of the text. stdin can be read once. */
static gr_status check_same_ids(gr_args *args, const work *w)
{
    const options *f = args->options;
    if (!w->other.tokenizer || strcmp(f->data, "-") == 0)
        return GR_OK;
    gr_measured_text other = {0};
    if (gr_measured_read(args, f->data, &w->other, &f->chat, &other) != GR_OK)
        return gr_fail_in("--against %s", f->against);
    bool same = other.n == w->text.n && memcmp(other.ids, w->text.ids, (size_t)other.n * sizeof *other.ids) == 0;
    gr_measured_free(&other);
    if (same)
        return GR_OK;
    return gr_args_fail(
        args,
        "--against: its tokenizer makes other tokens of %s than that of MODEL\nModels are compared token "
        "by token: name one with the same tokenizer.",
        f->data);
}

static bool on_progress(void *user, int64_t done, int64_t total, double loss)
{
    const work *w = user;
    (void)total;
    gr_progress_update((double)done, "%s tokens/s  loss %.4f",
                       gr_human_count((double)done / (gr_seconds() - w->began + 1e-9)).s, loss);
    return !gr_interrupted(NULL);
}

/* ---- printing ----------------------------------------------------------------------------------------------- */

static gr_status print(const gr_args *args, const work *w, const gr_evaluate_options *o, double loss)
{
    const options *f = args->options;
    double seconds = gr_seconds() - w->began, count = (double)(w->text.n - 1);
    double bits = loss * count / log(2) / (double)w->text.bytes;
    if (!args->common.json) {
        gr_out("tokens         %s\n", gr_human_integer(w->text.n - 1).s);
        gr_out("loss           %.6f\n", loss);
        if (!f->against)
            gr_out("perplexity     %.6g\n", exp(loss));
        gr_out("bits per byte  %.6f\n", bits);
        if (f->against)
            gr_print_distance(&w->distance);
        gr_note("%s tokens/s, %s", gr_human_count(count / seconds).s, gr_human_time(seconds).s);
        return GR_OK;
    }
    gr_json_doc *doc = gr_json_new("the result");
    if (!doc)
        return gr_error_status();
    gr_json root = gr_json_root(doc);
    gr_json_put_int(root, "tokens", w->text.n - 1);
    gr_json_put_real(root, "loss", loss);
    if (f->against)
        gr_put_distance(root, f->against, &w->distance);
    else
        gr_put_perhaps(root, "perplexity", exp(loss));
    gr_json_put_real(root, "bits_per_byte", bits);
    gr_json_put_int(root, "bytes", w->text.bytes);
    gr_json_put_int(root, "context", o->context);
    gr_json_put_int(root, "stride", o->stride);
    gr_json_put_real(root, "seconds", seconds);
    gr_json_put_real(root, "tokens_per_s", count / seconds);
    return gr_out_json(doc);
}

/* ---- the verb ----------------------------------------------------------------------------------------------- */

static gr_status set_options(gr_args *args, const work *w, gr_evaluate_options *o)
{
    const options *f = args->options;
    int64_t most = gr_model_describe(w->on.model)->limit;
    o->context = f->context ? f->context : gr_model_describe(w->on.model)->context;
    o->stride = f->stride ? f->stride : o->context;
    if (most && o->context > most)
        return gr_args_fail(args, "--context: %lld, the model's is %lld\nGive a smaller one.", (long long)o->context,
                            (long long)most);
    if (o->stride > o->context)
        return gr_args_fail(args,
                            "--stride: %lld is more than --context, %lld, so tokens would be left out\nGive a "
                            "smaller one.",
                            (long long)o->stride, (long long)o->context);
    return GR_OK;
}

static gr_status work_on(gr_args *args, work *w)
{
    gr_evaluate_options o = {.size = sizeof o, .progress = on_progress, .user = w};
    double loss;
    const options *f = args->options;
    gr_load_options load = GR_INIT(gr_load_options);
    gr_dtype cache[2];
    gr_set_running(args, &f->running, cache, &load);
    gr_load_options exact = load; /* what is measured against keeps keys and values as they are */
    exact.keys = exact.values = NULL;
    gr_status s = gr_open_model(args, args->positional[0], &load, &w->on);
    if (s == GR_OK)
        gr_tell_precision(w->on.device, load.precision);
    if (s == GR_OK && f->against && (s = gr_open_other(f->against, &exact, &w->on, &w->other)) != GR_OK)
        return gr_fail_in("--against");
    o.against = w->other.model;
    o.distance = &w->distance;
    if (s == GR_OK)
        s = gr_need_tokenizer(&w->on);
    if (s == GR_OK)
        s = set_options(args, w, &o);
    if (s == GR_OK)
        s = gr_measured_read(args, f->data, &w->on, &f->chat, &w->text);
    if (s == GR_OK)
        s = check_same_ids(args, w);
    if (s != GR_OK)
        return s;
    gr_interrupt_watch();
    w->began = gr_seconds();
    gr_progress_start("eval", 0, (double)(w->text.n - 1));
    s = gr_evaluate(w->on.model, w->text.ids, w->text.n, &o, &loss);
    gr_progress_end();
    return s == GR_OK ? print(args, w, &o, loss) : s;
}

static gr_status run(gr_args *args)
{
    work w = {.distance = GR_INIT(gr_distance)};
    gr_status s = work_on(args, &w);
    s = gr_end_profile(args, &w.on, s);
    gr_measured_free(&w.text);
    gr_close_opened(&w.other);
    gr_close_opened(&w.on);
    return s;
}

const gr_verb gr_verb_eval = {
    .name = "eval",
    .summary = "measures how well a model predicts a text",
    .positional = "MODEL",
    .about =
        "Prints the number of tokens predicted, the mean loss over them (natural logarithm), perplexity (its "
        "exponential), and bits per byte of text, which models with different tokenizers can be compared by. Every "
        "token but the first is scored once, with at least context - stride tokens before it; a tokenizer that "
        "begins texts with a token of its own does so here, and then every token of the text is scored.\n\n"
        "With --against every token is predicted by both models, and their probabilities are compared: perplexity of "
        "both "
        "with its standard error; the Kullback-Leibler divergence of MODEL's probabilities from those of MODEL2 (in "
        "nats; "
        "mean, what 99 of 100 tokens stay within, and the largest); and how often both find the same token most "
        "likely. "
        "So it is measured what quantizing or merging has changed.",
    .flags = flags,
    .needs = {"data"},
    .common = GR_WITH_ADAPTER | GR_WITH_TOKENIZER | GR_WITH_DEVICE | GR_WITH_PROFILE | GR_WITH_JSON,
    .examples = {{"the loss on a text that was not trained on", "gradus eval run --data other.txt"},
                 {"what quantizing has changed", "gradus eval model-q4_k_m.gguf --against model --data wiki.txt"}},
    .options_size = sizeof(options),
    .run = run,
};
