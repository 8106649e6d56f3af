/* gradus bench: how fast this build is on this machine, beside what the machine could do at most. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/machine.h"
#include "base/mem.h"
#include "cli/human.h"
#include "cli/open.h"
#include "cli/table.h"
#include "cli/term.h"
#include "cli/verbs.h"

enum { TRAIN = 1, PREFILL = 2, DECODE = 4, MOST_ROUNDS = 4096 };

typedef struct options {
    unsigned what;
    int64_t batch, context, prompt, tokens;
    double seconds;
} options;

static const gr_flag flags[] = {
    {"what", GR_SET(options, what), .value = "train|prefill|decode", .initial = "train,prefill,decode",
     .shown = "all; of a MODEL prefill,decode", .help = "what to measure"},
    {"batch", GR_INT(options, batch), .value = "N", .initial = "4", .min = 1, .max = 1 << 16, .unit = "sequences",
     .help = "of a training step"},
    {"context", GR_INT(options, context), .value = "N", .initial = "256", .min = 1, .max = 1 << 20, .unit = "tokens",
     .help = "of a training step's sequences"},
    {"prompt", GR_INT(options, prompt), .value = "N", .initial = "512", .min = 1, .max = 1 << 24, .unit = "tokens",
     .help = "to read before the first new one"},
    {"tokens", GR_INT(options, tokens), .letter = 'n', .value = "N", .initial = "64", .min = 1, .max = 1 << 24,
     .unit = "tokens", .help = "to make one by one"},
    {"seconds", GR_FLOAT(options, seconds), .value = "X", .initial = "5", .max = 86400, .unit = "seconds",
     .help = "to spend on a row at least; three rounds are run in any case"},
    {0},
};

typedef struct bench {
    gr_args *args;
    const options *f;
    gr_device *device;
    gr_device_limits limits; /* zeros: not known */
    gr_table *table;
} bench;

typedef struct row {
    const char *what;
    gr_model *model;
    int64_t batch, context; /* of a step, or 1 and what had been read */
    int64_t tokens;         /* of a round */
    double *times;          /* [MOST_ROUNDS] seconds of rounds */
    int rounds;
    double flops, bytes; /* of a round */
    size_t memory;       /* bytes planned */
} row;

/* ---- telling ------------------------------------------------------------------------------------------------ */

static int by_value(const void *pa, const void *pb)
{
    double a = *(const double *)pa, b = *(const double *)pb;
    return (a > b) - (a < b);
}

static gr_status print_json(const bench *b, const row *r, double seconds)
{
    gr_device_info d = GR_INIT(gr_device_info);
    gr_json_doc *doc = gr_json_new("the row");
    if (!doc || gr_device_describe(b->device, &d) != GR_OK) {
        gr_json_free(doc);
        return gr_error_status();
    }
    gr_json o = gr_json_root(doc);
    gr_json_put_text(o, "row", r->what);
    gr_json_put_text(o, "arch", gr_model_describe(r->model)->arch);
    gr_json_put_int(o, "parameters", gr_model_describe(r->model)->parameters);
    gr_json_put_text(o, "device", d.name);
    gr_json_put_text(o, "description", d.description);
    bool rounds = strcmp(r->what, "train") != 0 && gr_name_of_blocks(r->model);
    gr_json_put_text(o, "activations", rounds ? "int8" : "f32");
    gr_json_put_int(o, "batch", r->batch);
    gr_json_put_int(o, "context", r->context);
    gr_json_put_int(o, "rounds", r->rounds);
    gr_json_put_real(o, "seconds", seconds);
    gr_json_put_real(o, "tokens_per_s", (double)r->tokens / seconds);
    gr_json_put_real(o, "flops_per_s", r->flops / seconds);
    gr_json_put_real(o, "bytes_per_s", r->bytes / seconds);
    if (b->limits.flops > 0) {
        gr_json_put_real(o, "peak_flops_per_s", b->limits.flops);
        gr_json_put_real(o, "read_bytes_per_s", b->limits.read);
    }
    gr_json_put_int(o, "memory_bytes", (int64_t)r->memory);
    return gr_out_json(doc);
}

static void add_share(gr_table *t, double rate, double limit)
{
    gr_table_cell(t, "%.1f", rate * 1e-9);
    if (limit > 0)
        gr_table_cell(t, "%.0f%%", 100 * rate / limit);
    else
        gr_table_cell(t, "-");
}

static gr_status tell(const bench *b, row *r)
{
    qsort(r->times, (size_t)r->rounds, sizeof *r->times, by_value);
    double seconds = r->times[r->rounds / 2];
    if (b->args->common.json)
        return print_json(b, r, seconds);
    gr_table_cell(b->table, "%s", r->what);
    gr_table_cell(b->table, "%s %s", gr_model_describe(r->model)->arch,
                  gr_human_count((double)gr_model_describe(r->model)->parameters).s);
    gr_table_cell(b->table, "%lld x %lld", (long long)r->batch, (long long)r->context);
    gr_table_cell(b->table, "%.1f", (double)r->tokens / seconds);
    gr_table_cell(b->table, "%.2f ms", 1e3 * seconds);
    add_share(b->table, r->flops / seconds, b->limits.flops);
    add_share(b->table, r->bytes / seconds, b->limits.read);
    gr_table_cell(b->table, "%s", gr_human_bytes((double)r->memory).s);
    return GR_OK;
}

/* ---- measuring ---------------------------------------------------------------------------------------------- */

/* Another round? Not after Ctrl-C, which is an error here: a table of some rows is not what was asked for. */
static gr_status note_round(const bench *b, row *r, double start, double *total, bool *again)
{
    enum { LEAST_ROUNDS = 3 };
    double seconds = gr_seconds() - start;
    r->times[r->rounds++] = seconds;
    *total += seconds;
    *again = r->rounds < MOST_ROUNDS && (r->rounds < LEAST_ROUNDS || *total < b->f->seconds);
    double done = *total < b->f->seconds ? *total : b->f->seconds;
    gr_progress_update(done, "%s tokens/s", gr_human_count((double)r->tokens / seconds).s);
    return gr_interrupted(NULL) ? gr_fail(GR_ERR_INTERRUPTED, "bench: stopped") : GR_OK;
}

/* Ids that follow no rule: nothing a model does depends on which they are. */
static void draw_ids(gr_token *ids, int64_t n, int64_t vocab)
{
    uint32_t x = 1;
    for (int64_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        ids[i] = (gr_token)((x >> 8) % (uint64_t)vocab);
    }
}

static gr_status run_steps(const bench *b, gr_trainer *t, const gr_batch *batch, row *r)
{
    double total = 0;
    bool again = true;
    gr_status s = gr_trainer_step(t, batch, NULL); /* takes memory, and is not counted */
    while (s == GR_OK && again) {
        double start = gr_seconds();
        s = gr_trainer_step(t, batch, NULL);
        if (s == GR_OK)
            s = note_round(b, r, start, &total, &again);
    }
    return s;
}

static void take_plan(row *r, const gr_plan *plan)
{
    r->flops = plan->flops;
    r->bytes = plan->moved;
    r->memory = plan->total;
}

static gr_status bench_train(const bench *b, gr_model *model, row *r)
{
    gr_train_options o = GR_INIT(gr_train_options);
    gr_status s = gr_train_fill_defaults(&o);
    o.batch = r->batch, o.context = r->context;
    int64_t n = r->tokens = r->batch * r->context;
    gr_token *ids = gr_alloc((size_t)(n + 1) * sizeof *ids);
    gr_trainer *t = s == GR_OK && ids ? gr_trainer_new(model, &o) : NULL;
    const gr_plan *plan = gr_trainer_plan(t);
    s = plan ? GR_OK : gr_error_status();
    if (s == GR_OK) {
        draw_ids(ids, n + 1, gr_model_describe(model)->vocab);
        take_plan(r, plan);
        s = run_steps(b, t, &(gr_batch){ids, ids + 1, NULL}, r);
    }
    gr_trainer_free(t);
    gr_free(ids);
    return s;
}

/* A round of reading is one forward pass that gives the last row's logits. */
static gr_status take_cost_of_prompt(const bench *b, gr_model *model, int64_t n, row *r)
{
    gr_graph *g = gr_graph_new();
    const int64_t last = n - 1, shape[] = {1, n}, one[] = {1};
    gr_forward f = {.size = sizeof f,
                    .tokens = gr_input(g, "tokens", GR_I32, 2, shape),
                    .rows = gr_constant(g, GR_I64, 1, one, &last)};
    gr_tensor *logits = gr_model_forward(model, &f);
    gr_program *p = gr_compile(g, &logits, 1, b->device, NULL);
    if (p) {
        r->flops = gr_program_plan(p)->flops;
        r->bytes = gr_program_plan(p)->moved;
    }
    gr_status s = p ? GR_OK : gr_error_status();
    gr_program_free(p);
    gr_graph_free(g);
    return s;
}

typedef struct reader {
    gr_generator *generator;
    gr_token *ids; /* [prompt] */
    float *logits; /* [vocab] */
} reader;

static gr_status feed(const reader *g, int64_t n)
{
    const gr_token *tokens[] = {g->ids};
    return gr_generator_feed(g->generator, tokens, &n, g->logits);
}

static gr_status run_prompts(const bench *b, const reader *g, row *r)
{
    double total = 0;
    bool again = true;
    gr_status s = feed(g, r->tokens);
    while (s == GR_OK && again) {
        s = gr_generator_reset(g->generator);
        double start = gr_seconds();
        if (s == GR_OK)
            s = feed(g, r->tokens);
        if (s == GR_OK)
            s = note_round(b, r, start, &total, &again);
    }
    return s;
}

/* From the prompt on, and from there again when as many were made as asked for. */
static gr_status run_tokens(const bench *b, const reader *g, row *r)
{
    double total = 0;
    bool again = true;
    gr_status s = GR_OK;
    for (int64_t made = b->f->tokens; s == GR_OK && again; made++) {
        if (made == b->f->tokens) {
            s = gr_generator_reset(g->generator);
            s = s == GR_OK ? feed(g, b->f->prompt) : s;
            made = 0;
        }
        double start = gr_seconds();
        if (s == GR_OK)
            s = feed(g, 1);
        if (s == GR_OK)
            s = note_round(b, r, start, &total, &again);
    }
    return s;
}

static gr_status bench_generator(const bench *b, gr_model *model, row *r)
{
    int64_t prompt = b->f->prompt, vocab = gr_model_describe(model)->vocab;
    bool is_prompt = strcmp(r->what, "prefill") == 0;
    reader g = {.ids = gr_alloc((size_t)prompt * sizeof(gr_token)), .logits = gr_alloc((size_t)vocab * sizeof(float))};
    g.generator = g.ids && g.logits ? gr_generator_new(model, 1, prompt + b->f->tokens) : NULL;
    const gr_plan *plan = g.generator ? gr_generator_plan(g.generator) : NULL;
    gr_status s = plan ? GR_OK : gr_error_status();
    if (s == GR_OK) {
        draw_ids(g.ids, prompt, vocab);
        r->tokens = is_prompt ? prompt : 1;
        take_plan(r, plan);
        s = is_prompt ? take_cost_of_prompt(b, model, prompt, r) : GR_OK;
    }
    if (s == GR_OK)
        s = is_prompt ? run_prompts(b, &g, r) : run_tokens(b, &g, r);
    gr_generator_free(g.generator);
    gr_free(g.logits);
    gr_free(g.ids);
    return s;
}

static gr_status bench_row(const bench *b, gr_model *model, unsigned what, int64_t batch, int64_t context)
{
    row r = {.what = what == TRAIN     ? "train"
                     : what == PREFILL ? "prefill"
                                       : "decode",
             .model = model,
             .batch = batch,
             .context = context,
             .times = gr_alloc(MOST_ROUNDS * sizeof(double))};
    if (!r.times)
        return GR_ERR_MEMORY;
    gr_progress_start(r.what, 0, b->f->seconds);
    gr_status s = what == TRAIN ? bench_train(b, model, &r) : bench_generator(b, model, &r);
    gr_progress_end();
    if (s == GR_OK)
        s = tell(b, &r);
    gr_free(r.times);
    return s;
}

/* ---- models ------------------------------------------------------------------------------------------------- */

static gr_status bench_running(const bench *b, gr_model *model, unsigned what)
{
    gr_status s = GR_OK;
    if (what & PREFILL)
        s = bench_row(b, model, PREFILL, 1, b->f->prompt);
    if (s == GR_OK && what & DECODE)
        s = bench_row(b, model, DECODE, 1, b->f->prompt);
    return s;
}

static gr_model *make_gpt2(const bench *b, int64_t layers, int64_t heads, int64_t embed, int64_t vocab, int64_t context)
{
    gr_model_info i = {
        .size = sizeof i, .arch = "gpt2", .layers = layers, .heads = heads, .embed = embed, .vocab = vocab};
    i.context = context;
    i.tied = true;
    i.eos = i.bos = -1;
    char *config = gr_model_config_json(&i);
    gr_model *m = config ? gr_model_new(NULL, config, strlen(config), b->device) : NULL;
    gr_free(config);
    if (m && gr_model_init(m, (uint64_t)b->args->common.seed) == GR_OK)
        return m;
    gr_model_free(m);
    return NULL;
}

/* Without MODEL: nanoGPT's small model of characters, and GPT-2's smallest, with random weights. */
static gr_status bench_presets(const bench *b)
{
    enum { SMALL_BATCH = 12, SMALL_CONTEXT = 64, GPT2_CONTEXT = 1024 };
    gr_model *m = b->f->what & TRAIN ? make_gpt2(b, 4, 4, 128, 65, SMALL_CONTEXT) : NULL;
    gr_status s = m || !(b->f->what & TRAIN) ? GR_OK : gr_error_status();
    if (m)
        s = bench_row(b, m, TRAIN, SMALL_BATCH, SMALL_CONTEXT);
    gr_model_free(m);
    if (s != GR_OK)
        return s;
    int64_t need = b->f->prompt + b->f->tokens, most = need > b->f->context ? need : b->f->context;
    m = make_gpt2(b, 12, 12, 768, 50257, most > GPT2_CONTEXT ? most : GPT2_CONTEXT);
    s = m ? bench_running(b, m, b->f->what) : gr_error_status();
    if (s == GR_OK && b->f->what & TRAIN)
        s = bench_row(b, m, TRAIN, b->f->batch, b->f->context);
    gr_model_free(m);
    return s;
}

static bool runs(const bench *b)
{
    return b->f->what & (PREFILL | DECODE);
}

static bool trains(const bench *b)
{
    return b->f->what & TRAIN && (!b->args->count || gr_args_given(b->args, "what"));
}

static gr_status load(const bench *b, gr_opened *on, bool widen)
{
    gr_load_options o = {.size = sizeof o, .widen = widen, .activations = GR_ACTIVATIONS_INT8};
    gr_model_free(on->model);
    on->model = gr_model_load(on->path, &o, b->device);
    if (!on->model)
        return gr_error_status();
    gr_tell_int8(on->model);
    return on->adapter ? gr_model_load_adapter(on->model, on->adapter) : GR_OK;
}

/* Training all weights wants them in f32 and in memory of their own, so the model is loaded once more for it. */
static gr_status bench_model(const bench *b, gr_opened *on)
{
    gr_status s = bench_running(b, on->model, b->f->what);
    if (s == GR_OK && trains(b) && runs(b) && !on->adapter)
        s = load(b, on, true);
    return s == GR_OK && trains(b) ? bench_row(b, on->model, TRAIN, b->f->batch, b->f->context) : s;
}

static gr_status open_model(const bench *b, gr_opened *on)
{
    gr_status s = gr_find_model(b->args, b->args->positional[0], on);
    if (s != GR_OK)
        return s;
    gr_tell_adapter(b->args, on);
    return load(b, on, !runs(b) && !on->adapter);
}

/* ---- the verb ----------------------------------------------------------------------------------------------- */

static gr_status measure_limits(bench *b)
{
    b->limits = GR_INIT(gr_device_limits);
    gr_status s = gr_device_measure(b->device, &b->limits);
    if (s == GR_ERR_UNSUPPORTED) {
        gr_error_clear();
        return GR_OK;
    }
    if (s == GR_OK)
        gr_note("this machine: %.1f GFLOP/s in f32, reads %.1f GB/s", b->limits.flops * 1e-9, b->limits.read * 1e-9);
    return s;
}

static gr_status run(gr_args *args)
{
    bench b = {.args = args, .f = args->options};
    gr_opened on = {0};
    gr_status s = gr_open_device(args, &on);
    b.device = on.device;
    if (s == GR_OK && args->count)
        s = open_model(&b, &on);
    if (s == GR_OK)
        s = measure_limits(&b);
    b.table = gr_table_new("row|model|shape|>tokens/s|>a round|>GFLOP/s|>of peak|>GB/s|>of read|>memory");
    gr_interrupt_watch();
    if (s == GR_OK)
        s = args->count ? bench_model(&b, &on) : bench_presets(&b);
    if (s == GR_OK && !args->common.json) {
        s = gr_table_print(b.table);
        b.table = NULL;
    }
    gr_table_free(b.table);
    s = gr_end_profile(args, &on, s);
    gr_close_opened(&on);
    return s;
}

const gr_verb gr_verb_bench = {
    .name = "bench",
    .summary = "measures training, reading a prompt and making tokens on this machine",
    .positional = "[MODEL]",
    .about =
        "Prints tokens per second (the median of the rounds), what a round takes, and how much of the machine that is: "
        "FLOPs and bytes that the shapes ask for, over the time, beside the multiply-adds and the reading from memory "
        "that the machine reaches in loops that do nothing else (measured first). A byte that is read twice, or comes "
        "from a cache, counts as often as operands say. Memory is what the plan takes.\n\n"
        "Without MODEL: a GPT-2 of 4 layers, 128 wide, in steps of 12 x 64 tokens, and one of 124M parameters, with "
        "random weights. Of a MODEL its own weights are read and run as they are; training, if asked for, has them in "
        "f32, or with an adapter trains that.",
    .flags = flags,
    .common = GR_WITH_ADAPTER | GR_WITH_DEVICE | GR_WITH_PROFILE | GR_WITH_SEED | GR_WITH_JSON,
    .examples = {{"this machine", "gradus bench"},
                 {"one model, a long prompt", "gradus bench model --prompt 2000 --what prefill,decode"}},
    .options_size = sizeof(options),
    .run = run,
};
