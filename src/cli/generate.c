/* gradus generate. */
#include <string.h>
#include <unistd.h>
#include "base/json.h"
#include "base/mem.h"
#include "base/number.h"
#include "cli/generate.h"
#include "cli/human.h"
#include "cli/term.h"
#include "cli/verbs.h"

struct work;

/* One of the texts to be made. */
typedef struct piece {
    struct work *work;
    size_t prompt; /* which */
    uint64_t seed;
    bool live;       /* printed as it is made; of those made at once only the first */
    int64_t printed; /* tokens */
} piece;

typedef struct work {
    const gr_args *args;
    const gr_generate_flags *f;
    gr_opened on;
    gr_generator *generator;
    gr_prompts prompts;
    int64_t texts, batch;  /* in all, and at once */
    gr_generate_options o; /* of every text, but for its prompt */
    gr_sampling sampling;  /* and its seed */
} work;

/* ---- printing ----------------------------------------------------------------------------------------------- */

/* Text as it comes; of a model without tokenizer its ids, as --ids takes them. */
static void print_token(piece *p, gr_token id, const char *text, size_t size)
{
    if (p->work->on.tokenizer)
        gr_out_bytes(text, size);
    else if (id >= 0)
        gr_out("%s%lld", p->printed ? "," : "", (long long)id);
    p->printed += id >= 0;
}

static bool on_token(void *user, gr_token id, const char *text, size_t size)
{
    piece *p = user;
    if (p->live && !p->work->args->common.json) {
        print_token(p, id, text, size);
        fflush(stdout);
    }
    return !gr_interrupted(NULL);
}

static double per_second(int64_t n, double seconds)
{
    return n > 0 && seconds > 0 ? (double)n / seconds : 0;
}

static void put_ids(gr_json into, const char *key, const gr_token *ids, int64_t n)
{
    gr_json list = gr_json_put_array(into, key);
    for (int64_t i = 0; i < n; i++)
        gr_json_put_int(list, NULL, ids[i]);
}

static gr_status print_json(const work *w, const piece *p, const gr_generated *g)
{
    static const char *const stops[] = {"length", "eos", "stop", "interrupted"};
    gr_json_doc *doc = gr_json_new("the result");
    if (!doc)
        return gr_error_status();
    gr_json o = gr_json_root(doc);
    put_ids(o, "prompt_ids", w->prompts.ids[p->prompt], w->prompts.n[p->prompt]);
    put_ids(o, "ids", g->ids, g->n);
    if (w->on.tokenizer)
        gr_json_put_bytes(o, "text", g->text, g->bytes);
    else
        gr_json_put_null(o, "text");
    gr_json_put_text(o, "stop", stops[g->stop]);
    gr_json_put_int(o, "seed", (int64_t)p->seed);
    gr_json_put_real(o, "prefill_tokens_per_s", per_second(g->prefilled, g->prefill_s));
    gr_json_put_real(o, "decode_tokens_per_s", per_second(g->n - 1, g->decode_s));
    gr_json_put_real(o, "first_token_s", g->first_s);
    return gr_out_json(doc);
}

/* On a terminal the prompt stands before its continuation; scripts get what is new, alone. */
static void print_start(const work *w, const piece *p, int64_t number)
{
    const gr_texts *prompts = &w->f->prompts;
    if (w->args->common.json)
        return;
    if (w->texts > 1)
        gr_out("%s==> %lld <==\n", number ? "\n" : "", (long long)number + 1);
    if (isatty(STDOUT_FILENO) && p->prompt < prompts->count && strcmp(prompts->items[p->prompt], "-") != 0)
        gr_out("%s%s%s", gr_style_on(stdout, GR_DIM), prompts->items[p->prompt], gr_style_on(stdout, GR_PLAIN));
}

static gr_status print_end(const work *w, piece *p, const gr_generated *g)
{
    int64_t context = gr_model_describe(w->on.model)->context;
    if (w->args->common.json)
        return print_json(w, p, g);
    for (int64_t i = 0; !p->live && i < g->n; i++)
        print_token(p, g->ids[i], g->text, i ? 0 : g->bytes);
    gr_out("\n");
    fflush(stdout);
    if (g->stop == GR_STOP_LENGTH && g->n < w->f->tokens)
        gr_note("stopped at the model's context of %lld tokens", (long long)context);
    if (!w->args->common.quiet)
        gr_note("%s token%s read, %s/s; %s made%s%s%s, the first after %s", gr_human_integer(g->prefilled).s,
                gr_plural(g->prefilled), gr_human_count(per_second(g->prefilled, g->prefill_s)).s,
                gr_human_integer(g->n).s, g->n > 1 ? ", " : "", /* a rate is of those behind the first */
                g->n > 1 ? gr_human_count(per_second(g->n - 1, g->decode_s)).s : "", g->n > 1 ? "/s" : "",
                gr_human_time(g->first_s).s);
    return GR_OK;
}

/* ---- the verb ----------------------------------------------------------------------------------------------- */

static void set_options(work *w)
{
    const gr_generate_flags *f = w->f;
    w->o = (gr_generate_options){.size = sizeof w->o, .max_tokens = f->tokens, .token = on_token};
    w->o.stop = w->prompts.stops.items;
    w->o.n_stop = (int)w->prompts.stops.count;
    w->o.ignore_eos = f->ignore_eos;
    w->sampling = gr_sampling_of(&f->samplers);
}

/* A cache for what is wanted, not for all that the model could. */
static gr_status open_generator(work *w)
{
    int64_t context = gr_model_describe(w->on.model)->context, longest = w->prompts.longest;
    if (longest >= context)
        return gr_fail(GR_ERR_ARGUMENT,
                       "the prompt has %lld tokens, the model's context is %lld and new ones need room\n"
                       "Give a shorter prompt.",
                       (long long)longest, (long long)context);
    int64_t wanted = longest + w->f->tokens;
    w->texts = (int64_t)w->prompts.count * w->f->samples;
    w->batch = gr_texts_at_once(w->f, w->prompts.count);
    w->generator = gr_generator_new(w->on.model, w->batch, wanted < context ? wanted : context);
    return w->generator ? GR_OK : gr_error_status();
}

static gr_status print_all(work *w, piece *pieces, const gr_generated *const *made, int64_t first, int64_t n)
{
    gr_status s = GR_OK;
    int64_t stopped = 0;
    bool asked = false;
    for (int64_t i = 0; s == GR_OK && i < n; i++) {
        if (i > 0)
            print_start(w, &pieces[i], first + i);
        s = print_end(w, &pieces[i], made[i]);
        asked |= made[i]->stop == GR_STOP_ASKED;
        stopped += made[i]->n;
    }
    if (s == GR_OK && asked)
        s = gr_fail(GR_ERR_INTERRUPTED,
                    "generate: stopped after %lld new tokens\nRun it again with the same "
                    "--seed for the same text.",
                    (long long)stopped);
    return s;
}

/* Texts first to first + n, side by side: the first appears as it is made, the others when all are done. */
static gr_status make_texts(work *w, int64_t first, int64_t n)
{
    piece pieces[GR_TEXTS_AT_ONCE];
    gr_generate_options options[GR_TEXTS_AT_ONCE];
    gr_sampling sampling[GR_TEXTS_AT_ONCE];
    const gr_generated *made[GR_TEXTS_AT_ONCE];
    gr_status s = gr_generator_reset(w->generator);
    if (s != GR_OK)
        return s;
    for (int64_t i = 0; i < n; i++) {
        int64_t prompt = (first + i) / w->f->samples, sample = (first + i) % w->f->samples;
        pieces[i] = (piece){.work = w, .prompt = (size_t)prompt, .live = i == 0};
        pieces[i].seed = (uint64_t)w->args->common.seed + (uint64_t)sample;
        options[i] = w->o;
        options[i].user = &pieces[i];
        options[i].prompt = w->prompts.ids[prompt];
        options[i].n_prompt = w->prompts.n[prompt];
        sampling[i] = w->sampling;
        sampling[i].seed = pieces[i].seed;
        options[i].sampling = &sampling[i];
    }
    print_start(w, &pieces[0], first);
    s = gr_generate(w->generator, w->on.tokenizer, options, n, made);
    bool whole = true; /* or as far as they came */
    for (int64_t i = 0; i < n; i++)
        whole &= made[i] != NULL;
    if (s == GR_OK || (s == GR_ERR_INTERRUPTED && whole))
        s = print_all(w, pieces, made, first, n);
    else if (pieces[0].printed > 0)
        gr_out("\n"); /* what there is stays readable */
    for (int64_t i = 0; i < n; i++)
        gr_free(made[i]);
    return s;
}

static gr_status work_on(gr_args *args, work *w)
{
    gr_load_options load = GR_INIT(gr_load_options);
    gr_dtype cache[2];
    gr_set_running(args, &w->f->running, cache, &load);
    gr_status s = gr_open_model(args, args->positional[0], &load, &w->on);
    if (s == GR_OK)
        gr_tell_precision(w->on.device, load.precision);
    if (s == GR_OK && w->f->stop.count > 0)
        s = gr_need_tokenizer(&w->on);
    for (size_t i = 0; s == GR_OK && i < w->f->stop.count; i++)
        if (!*w->f->stop.items[i])
            s = gr_args_fail(args, "--stop: a stop text is empty\nGive it at least one character.");
    if (s == GR_OK)
        s = gr_read_prompts(args, &w->on, &w->prompts);
    set_options(w);
    if (s == GR_OK)
        s = open_generator(w);
    gr_interrupt_watch();
    for (int64_t i = 0; s == GR_OK && i < w->texts; i += w->batch)
        s = make_texts(w, i, w->texts - i < w->batch ? w->texts - i : w->batch);
    return s;
}

static gr_status run(gr_args *args)
{
    work w = {.args = args, .f = args->options};
    gr_status s = work_on(args, &w);
    s = gr_end_profile(args, &w.on, s);
    gr_generator_free(w.generator);
    gr_free_prompts(&w.prompts);
    gr_close_opened(&w.on);
    return s;
}

const gr_verb gr_verb_generate = {
    .name = "generate",
    .summary = "continues a prompt",
    .positional = "MODEL",
    .about =
        "MODEL is a directory with config.json, weights (safetensors or pytorch_model.bin) and tokenizer.json, a .gguf "
        "file, or a run of gradus train.\n"
        "Text appears as it is made. Without tokenizer.json, --ids gives a prompt and ids come out.\n"
        "Several texts, of several prompts or --samples, are made side by side, and appear one after the other.\n"
        "\n"
        "With --json, an object for each sample: prompt_ids, ids (the new ones), text, stop (eos, length or stop),\n"
        "prefill_tokens_per_s, decode_tokens_per_s, first_token_s.",
    .flags = gr_generate_flag_table,
    .common = GR_WITH_ADAPTER | GR_WITH_TOKENIZER | GR_WITH_DEVICE | GR_WITH_PROFILE | GR_WITH_SEED | GR_WITH_JSON,
    .examples = {{"the most likely continuation", "gradus generate run -p 'ROMEO:' -n 200 --temperature 0"},
                 {"three texts up to the first empty line",
                  "gradus generate run -p 'To be' --samples 3 --stop $'\\n\\n'"}},
    .options_size = sizeof(gr_generate_flags),
    .run = run,
};
