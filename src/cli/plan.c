/* gradus plan: what a command would need, before it takes any of it. */
#include <stdio.h>
#include <string.h>
#include "base/file.h"
#include "base/machine.h"
#include "base/mem.h"
#include "cli/generate.h"
#include "cli/human.h"
#include "cli/quantize.h"
#include "cli/term.h"
#include "cli/train_flags.h"
#include "cli/verbs.h"

/* Peak memory by kind, in bytes. */
typedef struct plan {
    size_t weights, gradients, optimizer, activations, cache, scratch;
    size_t available;    /* SIZE_MAX: not known */
    double flops, moved; /* what a step of training costs, or a token for each text */
    int64_t calls;
    char advice[200];   /* "": none is needed */
    const char *chosen; /* what --memory has come to; NULL: it is not given */
    int64_t file_bytes; /* of what would be written; 0: nothing is */
} plan;

static size_t total(const plan *p)
{
    return p->weights + p->gradients + p->optimizer + p->activations + p->cache + p->scratch;
}

static bool fits(const plan *p)
{
    return total(p) <= p->available;
}

/* `other`: bytes that no program of the device knows of. They and the process itself are scratch, where the device's memory
 * is the host's. */
static gr_status make_plan(gr_model *model, const gr_plan *m, size_t other, plan *out)
{
    gr_device_info d = GR_INIT(gr_device_info);
    gr_status s = gr_device_describe(gr_model_describe(model)->device, &d);
    if (s != GR_OK)
        return s;
    plan p = {.flops = m->flops,
              .moved = m->moved,
              .calls = m->calls,
              .weights = m->weights,
              .optimizer = m->optimizer,
              .activations = m->peak_activations,
              .cache = m->cache};
    p.gradients = m->gradients + m->peak_gradients;
    size_t process = d.host_memory ? gr_memory_process() : 0;
    p.scratch = m->peak_scratch + (d.host_memory ? other + process + GR_CODE_BYTES : 0);
    p.available = d.available > SIZE_MAX - process ? SIZE_MAX : d.available + process; /* this process goes away */
    *out = p;
    return GR_OK;
}

/* ---- printing ----------------------------------------------------------------------------------------------- */

static gr_status print_json(const plan *p)
{
    gr_json_doc *doc = gr_json_new("the plan");
    if (!doc)
        return gr_error_status();
    gr_json o = gr_json_root(doc);
    gr_json_put_int(o, "peak_bytes", (int64_t)total(p));
    gr_json_put_int(o, "weights", (int64_t)p->weights);
    gr_json_put_int(o, "gradients", (int64_t)p->gradients);
    gr_json_put_int(o, "optimizer", (int64_t)p->optimizer);
    gr_json_put_int(o, "activations", (int64_t)p->activations);
    gr_json_put_int(o, "cache", (int64_t)p->cache);
    gr_json_put_int(o, "scratch", (int64_t)p->scratch);
    if (p->available != SIZE_MAX)
        gr_json_put_int(o, "available_bytes", (int64_t)p->available);
    gr_json_put_bool(o, "fits", fits(p));
    if (p->file_bytes)
        gr_json_put_int(o, "file_bytes", p->file_bytes);
    gr_json_put_int(o, "step_flops", (int64_t)p->flops);
    gr_json_put_int(o, "step_bytes", (int64_t)p->moved);
    gr_json_put_int(o, "step_launches", p->calls);
    if (p->chosen)
        gr_json_put_text(o, "chosen", p->chosen);
    if (*p->advice)
        gr_json_put_text(o, "advice", p->advice);
    return gr_out_json(doc);
}

static void print_part(const char *name, size_t bytes)
{
    if (bytes > 0)
        gr_out("%-12s %10s\n", name, gr_human_bytes((double)bytes).s);
}

static gr_status print(const gr_args *args, const plan *p)
{
    if (args->common.json)
        return print_json(p);
    print_part("weights", p->weights);
    print_part("gradients", p->gradients);
    print_part("optimizer", p->optimizer);
    print_part("activations", p->activations);
    print_part("cache", p->cache);
    print_part("scratch", p->scratch);
    print_part("peak", total(p));
    if (p->available != SIZE_MAX)
        gr_out("%-12s %10s: it %s\n", "free", gr_human_bytes((double)p->available).s,
               fits(p) ? "fits" : "does not fit");
    if (p->file_bytes)
        gr_out("%-12s %10s\n", "file", gr_human_bytes((double)p->file_bytes).s);
    if (p->calls)
        gr_out("%-12s %8s FLOP: %s read and written, %s kernels\n", "a step", gr_human_count(p->flops).s,
               gr_human_bytes(p->moved).s, gr_human_integer(p->calls).s);
    if (p->chosen)
        gr_out("%s\n", p->chosen);
    if (*p->advice)
        gr_out("%s\n", p->advice);
    return GR_OK;
}

/* ---- train -------------------------------------------------------------------------------------------------- */

static gr_status plan_options(gr_model *model, const gr_run_options *o, plan *out)
{
    gr_trainer *t = gr_trainer_new(model, &o->train);
    if (!t)
        return gr_error_status();
    gr_status s = make_plan(model, gr_trainer_plan(t), gr_run_memory(o), out);
    gr_trainer_free(t);
    return s;
}

/* Does it fit with each block's input kept alone? The numbers are the same then, which they are not with a smaller context. */
static gr_status advise_recompute(gr_model *model, const gr_run_options *run, plan *p, bool *helps)
{
    gr_run_options less = *run;
    plan smaller = *p;
    less.train.recompute = GR_RECOMPUTE_BLOCK;
    gr_status s = plan_options(model, &less, &smaller);
    *helps = s == GR_OK && fits(&smaller);
    if (*helps)
        snprintf(p->advice, sizeof p->advice, "With --recompute block it needs %s and fits.",
                 gr_human_bytes((double)total(&smaller)).s);
    return s;
}

/* Halves the batch, then the context, until the plan fits; accumulation keeps the tokens of a step what they were. */
static gr_status advise_training(gr_model *model, const gr_run_options *run, plan *p)
{
    gr_run_options less = *run;
    gr_train_options *o = &less.train;
    plan smaller = *p;
    bool is_done = false;
    gr_status s = advise_recompute(model, run, p, &is_done);
    if (s != GR_OK || is_done)
        return s;
    while (!fits(&smaller) && (o->batch > 1 || o->context > 16)) {
        bool halves_batch = o->batch > 1;
        int64_t rows = o->batch * o->accumulate;
        o->batch = halves_batch ? o->batch / 2 : 1;
        o->context = halves_batch ? o->context : o->context / 2;
        o->accumulate = (rows + o->batch - 1) / o->batch;
        s = plan_options(model, &less, &smaller);
        if (s != GR_OK)
            return s;
    }
    if (!fits(&smaller))
        snprintf(p->advice, sizeof p->advice,
                 "Even --batch 1 --context %lld needs %s: a smaller model, --optimizer sgd or more memory will do.",
                 (long long)o->context, gr_human_bytes((double)total(&smaller)).s);
    else if (o->context < run->train.context)
        snprintf(p->advice, sizeof p->advice, "With --batch 1 --accumulate %lld --context %lld it needs %s and fits.",
                 (long long)o->accumulate, (long long)o->context, gr_human_bytes((double)total(&smaller)).s);
    else
        snprintf(p->advice, sizeof p->advice, "With --batch %lld --accumulate %lld it needs %s and fits.",
                 (long long)o->batch, (long long)o->accumulate, gr_human_bytes((double)total(&smaller)).s);
    return GR_OK;
}

static gr_status run_train(gr_args *args)
{
    gr_train_flags *f = args->options;
    gr_train_job job = {0};
    plan p;
    size_t model = gr_kind_of(args)->takes_model;
    f->model = model ? args->positional[0] : NULL;
    gr_status s = gr_train_job_open(args, args->positional + model, args->count - model, false, &job);
    if (s == GR_OK)
        gr_tell_precision(job.on.device, (gr_precision)f->precision);
    if (s == GR_OK)
        s = plan_options(job.on.model, &job.run, &p);
    if (s == GR_OK && *job.budget)
        p.chosen = job.budget;
    else if (s == GR_OK && !fits(&p))
        s = advise_training(job.on.model, &job.run, &p);
    if (s == GR_OK)
        s = print(args, &p);
    gr_train_job_close(&job);
    return s;
}

const gr_verb gr_verb_plan_train = {
    .name = "plan train",
    .summary = "prints the memory that train would need",
    .positional = "[DATA...]",
    .about =
        "Takes the flags of gradus train and runs nothing. Peak memory by kind, and whether it is free; if not, what "
        "to change. Scratch is what kernels work in, batches, the tokens of DATA and the program itself. Of a step "
        "also "
        "what it computes (a product of matrices is 2MNK FLOP, a function 1 an element) and the bytes its kernels read "
        "and write. DATA may be "
        "left out: then the tokens are not counted, and --tokenizer char, whose vocabulary they are, is not possible.",
    .flags = gr_train_flag_table,
    .more_flags = gr_loop_flag_table,
    .common = GR_WITH_DEVICE | GR_WITH_SEED | GR_WITH_JSON,
    .examples = {{"does GPT-2 fit with this batch?", "gradus plan train --config config.json --batch 4 --context 256"},
                 {"for a script", "gradus plan train book.txt --tokenizer char --layers 12 --embed 768 --json"}},
    .options_size = sizeof(gr_train_flags),
    .own = &gr_kind_train,
    .run = run_train,
};

const gr_verb gr_verb_plan_finetune = {
    .name = "plan finetune",
    .summary = "prints the memory that finetune would need",
    .positional = "MODEL [DATA...]",
    .about =
        "Takes the flags of gradus finetune and runs nothing; of MODEL the config, the tokenizer and the headers of "
        "the "
        "weights are read. With LoRA there are gradients and moments of the adapter only, and weights lie in memory as "
        "they do in the file; with --full there are those of all weights, in f32.",
    .flags = gr_finetune_flag_table,
    .more_flags = gr_loop_flag_table,
    .defaults = gr_finetune_defaults,
    .common = GR_WITH_ADAPTER | GR_WITH_DEVICE | GR_WITH_SEED | GR_WITH_JSON,
    .examples = {{"what does LoRA need?", "gradus plan finetune model --batch 1 --context 1024"},
                 {"and what training everything?", "gradus plan finetune model --full --batch 1 --context 1024"}},
    .options_size = sizeof(gr_train_flags),
    .own = &gr_kind_finetune,
    .run = run_train,
};

/* ---- generate ----------------------------------------------------------------------------------------------- */

/* The model, its weights described only, and its tokenizer. */
static gr_status describe_model(const gr_args *args, gr_opened *on)
{
    gr_status s = gr_open_device(args, on);
    if (s != GR_OK)
        return s;
    s = gr_find_model(args, args->positional[0], on);
    if (s != GR_OK)
        return s;
    gr_tell_adapter(args, on);
    const gr_generate_flags *f = args->options;
    gr_load_options load = {.size = sizeof load, .declare_only = true};
    gr_dtype cache[2];
    gr_set_running(args, &f->running, cache, &load);
    gr_tell_precision(on->device, load.precision);
    on->model = gr_model_load(on->path, &load, on->device);
    if (on->model && on->adapter && (s = gr_model_load_adapter(on->model, on->adapter)) != GR_OK)
        return s;
    return on->model ? gr_open_tokenizer(args, on) : gr_error_status();
}

/* What the cache must hold: so many texts side by side, each of prompt and answer, or without a prompt of the whole
 * context. */
static gr_status wanted_cache(gr_args *args, const gr_opened *on, int64_t *batch, int64_t *capacity)
{
    const gr_generate_flags *f = args->options;
    gr_prompts prompts = {0};
    int64_t context = gr_model_describe(on->model)->context;
    *capacity = context;
    *batch = gr_texts_at_once(f, 1);
    if (!f->prompts.count && !f->prompt_files.count && !f->ids.count)
        return GR_OK;
    gr_status s = gr_read_prompts(args, on, &prompts);
    if (s == GR_OK && prompts.longest + f->tokens < context)
        *capacity = prompts.longest + f->tokens;
    *batch = gr_texts_at_once(f, prompts.count);
    gr_free_prompts(&prompts);
    return s;
}

static gr_status plan_capacity(gr_model *model, int64_t batch, int64_t capacity, plan *out)
{
    gr_generator *g = gr_generator_new(model, batch, capacity);
    if (!g)
        return gr_error_status();
    const gr_plan *p = gr_generator_plan(g);
    gr_status s = p ? make_plan(model, p, 0, out) : gr_error_status();
    gr_generator_free(g);
    return s;
}

/* Halves what the cache must hold until it fits. */
static gr_status advise_generation(gr_model *model, int64_t batch, int64_t capacity, plan *p)
{
    plan smaller = *p;
    gr_status s = GR_OK;
    while (s == GR_OK && !fits(&smaller) && capacity > 16)
        s = plan_capacity(model, batch, capacity /= 2, &smaller);
    if (s == GR_OK && fits(&smaller))
        snprintf(p->advice, sizeof p->advice, "With %lld tokens, prompt and -n together, it needs %s and fits.",
                 (long long)capacity, gr_human_bytes((double)total(&smaller)).s);
    else
        snprintf(p->advice, sizeof p->advice, "Even %lld tokens need %s: a smaller model or more memory will do.",
                 (long long)capacity, gr_human_bytes((double)total(&smaller)).s);
    return s;
}

static gr_status run_generate(gr_args *args)
{
    gr_opened on = {0};
    plan p;
    int64_t batch = 1, capacity = 0;
    gr_status s = describe_model(args, &on);
    if (s == GR_OK)
        s = wanted_cache(args, &on, &batch, &capacity);
    if (s == GR_OK)
        s = plan_capacity(on.model, batch, capacity, &p);
    if (s == GR_OK && !fits(&p))
        s = advise_generation(on.model, batch, capacity, &p);
    if (s == GR_OK)
        s = print(args, &p);
    gr_close_opened(&on);
    return s;
}

const gr_verb gr_verb_plan_generate = {
    .name = "plan generate",
    .summary = "prints the memory that generate would need",
    .positional = "MODEL",
    .about =
        "Takes the flags of gradus generate and runs nothing; of MODEL only config.json and the tokenizer are read. "
        "The cache is for the prompt and -n new tokens, of each text made at once (16 at most); without a prompt for "
        "the "
        "model's whole context. A step is one more token of each text, with the cache full; a product of matrices is "
        "2MNK FLOP.",
    .flags = gr_generate_flag_table,
    .common = GR_WITH_ADAPTER | GR_WITH_TOKENIZER | GR_WITH_DEVICE | GR_WITH_SEED | GR_WITH_JSON,
    .examples = {{"with the cache of a full context", "gradus plan generate model"},
                 {"for a script", "gradus plan generate model -p 'Once upon a time' -n 500 --json"}},
    .options_size = sizeof(gr_generate_flags),
    .run = run_generate,
};

/* ---- quantize ----------------------------------------------------------------------------------------------- */

/* Weights are those of mapped files, which need not stay: what does not fit without them does not fit. */
static void advise_quantizing(plan *p)
{
    size_t held = total(p) - p->weights;
    if (held <= p->available)
        snprintf(
            p->advice, sizeof p->advice,
            "Weights are mapped from their files, and go when there is no room: with %s it goes on, and reads more.",
            gr_human_bytes((double)held).s);
    else
        snprintf(p->advice, sizeof p->advice,
                 "Even without the weights, which are mapped, it needs %s: fewer --calibration-tokens, or more memory, "
                 "will do.",
                 gr_human_bytes((double)held).s);
}

static gr_status run_quantize(gr_args *args)
{
    gr_opened on = {0};
    gr_plan need;
    plan p;
    int64_t file_bytes = 0;
    gr_status s = gr_quantize_need(args, &on, &need, &file_bytes);
    if (s == GR_OK)
        s = make_plan(on.model, &need, 0, &p);
    if (s == GR_OK) {
        p.file_bytes = file_bytes;
        if (!fits(&p))
            advise_quantizing(&p);
        s = print(args, &p);
    }
    gr_close_opened(&on);
    return s;
}

const gr_verb gr_verb_plan_quantize = {
    .name = "plan quantize",
    .summary = "prints the memory that quantize would need, and the size of what it writes",
    .positional = "MODEL",
    .about =
        "Takes the flags of gradus quantize and does nothing; of MODEL the config and the headers of the weights are "
        "read, of texts all. Scratch is a matrix as it is rounded, with --method gptq the second moments of what it is "
        "given and the text as the layer before has left it, and the program itself. Weights are mapped, those of "
        "MODEL, of its parts that are done and of the file that is read again, and go when there is no room.",
    .flags = gr_quantize_flag_table,
    .needs = {"to"},
    .common = GR_WITH_ADAPTER | GR_WITH_TOKENIZER | GR_WITH_DEVICE | GR_WITH_JSON,
    .examples = {{"how large would it be?", "gradus plan quantize model --to q4_k_m"},
                 {"what does GPTQ take?", "gradus plan quantize model --to int4 --method gptq --calibrate text.txt"}},
    .options_size = sizeof(gr_quantize_flags),
    .run = run_quantize,
};
