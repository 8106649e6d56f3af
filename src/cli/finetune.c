/* gradus finetune: the loop of train over a model that is there already. */
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/mem.h"
#include "cli/human.h"
#include "cli/term.h"
#include "cli/train_flags.h"
#include "cli/verbs.h"

const gr_flag gr_finetune_flag_table[] = {
    {"out", GR_TEXT(gr_train_flags, out), .value = "RUN",
     .help = "directory of the run: checkpoints, metrics.jsonl, loss.svg, run.json"},
    {"resume", GR_SWITCH(gr_train_flags, resume),
     .help = "go on from RUN's newest good checkpoint; flags, model and data come from its run.json"},
    {"data-changed", GR_SWITCH(gr_train_flags, data_changed),
     .help = "with --resume: go on although the bytes of MODEL or DATA have changed; run.json notes it"},
    {GR_HEADING("What is trained")},
    {"full", GR_SWITCH(gr_train_flags, full),
     .help = "all weights, in f32, instead of a LoRA adapter; --lr is 2e-5 then"},
    {"lora-rank", GR_INT(gr_train_flags, lora_rank), .value = "N", .initial = "8", .min = 1, .max = 65536,
     .help = "rank of the adapter's matrices"},
    {"lora-alpha", GR_FLOAT(gr_train_flags, lora_alpha), .value = "X", .positive = true, .max = 1e30,
     .shown = "twice the rank", .help = "what the adapter adds is scaled by alpha / rank"},
    {"lora-targets", GR_TEXT(gr_train_flags, lora_targets), .value = "LIST",
     .shown = "q_proj,v_proj, or the layer that holds them",
     .help = "linear layers and embeddings with an adapter, by name, split by commas; all-linear: all but the head"},
    {"lora-dropout", GR_FLOAT(gr_train_flags, lora_dropout), .value = "X", .initial = "0", .max = 0.99,
     .help = "of what goes into the adapter"},
    {"rslora", GR_SWITCH(gr_train_flags, rslora), .help = "scale by alpha / sqrt(rank): for high ranks"},
    {"dora", GR_SWITCH(gr_train_flags, dora),
     .help = "learn the lengths of the adapted weights' rows apart from their directions"},
    {"lora-bias", GR_CHOICE(gr_train_flags, lora_bias), .value = "none|lora_only|all", .initial = "none",
     .help = "biases of the model trained besides: those of adapted layers, or all"},
    {"lora-b-bias", GR_SWITCH(gr_train_flags, lora_b_bias), .help = "the adapter's second matrix gets a bias"},
    {"modules-to-save", GR_TEXT(gr_train_flags, modules_to_save), .value = "LIST", .shown = "none",
     .help = "modules trained whole and saved with the adapter: embed_tokens,lm_head,norm"},
    {"train-tokens", GR_TEXT(gr_train_flags, train_tokens), .value = "LIST", .shown = "none",
     .help = "tokens whose rows of the embedding are trained, by id or as they are spelled, split by commas"},
    {0},
};

const gr_default gr_finetune_defaults[] = {
    {"steps", NULL},    {"epochs", "3"},       {"documents", "apart"},
    {"batch", "4"},     {"context", "512"},    {"lr", "2e-4"},
    {"beta2", "0.999"}, {"weight-decay", "0"}, {0},
};

enum { MOST_WORDS = 256 };

/* ---- the adapter -------------------------------------------------------------------------------------------- */

/* "a,b" split. */
typedef struct words {
    char *text;
    const char *list[MOST_WORDS];
    int n;
} words;

static gr_status split(gr_args *args, const char *flag, const char *text, words *w)
{
    *w = (words){.text = text ? gr_strdup(text) : NULL};
    if (text && !w->text)
        return GR_ERR_MEMORY;
    for (char *word = w->text; word; w->n++) {
        char *comma = strchr(word, ',');
        if (comma)
            *comma = '\0';
        if (w->n == MOST_WORDS || !*word)
            return gr_args_fail(args,
                                "--%s: expected names split by commas, at most %d\nLeave it out for what is usual.",
                                flag, MOST_WORDS);
        w->list[w->n] = word;
        word = comma ? comma + 1 : NULL;
    }
    return GR_OK;
}

/* Ids, and tokens as they are spelled in the vocabulary. */
static gr_status find_tokens(gr_args *args, const gr_tokenizer *tokenizer, const words *w, gr_token *ids)
{
    for (int i = 0; i < w->n; i++) {
        bool is_id = strlen(w->list[i]) < 10 && w->list[i][strspn(w->list[i], "0123456789")] == '\0';
        ids[i] = is_id ? (gr_token)strtol(w->list[i], NULL, 10) : gr_tokenizer_id(tokenizer, w->list[i]);
        if (ids[i] < 0)
            return gr_args_fail(args,
                                "--train-tokens: the vocabulary has no token \"%.100s\"\nGive tokens as "
                                "tokenizer.json spells them, or their ids.",
                                w->list[i]);
    }
    return GR_OK;
}

/* Where the base lies, so that the adapter finds it from everywhere. */
static const char *whole_path(const char *path, char buffer[PATH_MAX])
{
    return realpath(path, buffer) ? buffer : path;
}

/* The flags that name layers or tokens, in front of what is wrong with the names. */
static gr_status name_flags(const gr_args *args, gr_status s)
{
    static const char *const flags[] = {"lora-targets", "modules-to-save", "train-tokens"};
    char given[80] = "";
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (gr_args_given(args, flags[i]))
            snprintf(given + strlen(given), sizeof given - strlen(given), "%s--%s", *given ? ", " : "", flags[i]);
    return s == GR_ERR_ARGUMENT && *given ? gr_fail_in("%s", given) : s;
}

static bool has_word(const words *w, const char *word)
{
    for (int i = 0; i < w->n; i++)
        if (strcmp(w->list[i], word) == 0)
            return true;
    return false;
}

/* Tokens that were added are trained in the embedding and in the head, but where --modules-to-save trains all of either. */
static gr_status put_added(gr_args *args, const gr_train_job *job, const words *saved, gr_token *ids,
                           gr_lora_options *o)
{
    bool embedding = has_word(saved, "embed_tokens") || has_word(saved, "wte"), head = has_word(saved, "lm_head");
    if (job->added.n > 0 && embedding && !head && !gr_model_describe(job->on.model)->tied)
        return gr_args_fail(args,
                            "--add-tokens: this model's head is a matrix of its own, which learns the tokens, too\n"
                            "Give --modules-to-save lm_head as well, or leave the embedding out of it.");
    o->head_tokens = job->added.n > 0 && !embedding && !head;
    for (int i = 0; i < job->added.n && !embedding; i++)
        ids[o->n_tokens++] = job->added.ids[i];
    return GR_OK;
}

static gr_status add_adapter(gr_args *args, gr_train_job *job)
{
    const gr_train_flags *f = args->options;
    words targets, saved = {0}, tokens = {0};
    gr_token ids[MOST_WORDS + GR_MOST_ADDED];
    gr_lora_options o = {.size = sizeof o,
                         .rank = f->lora_rank,
                         .alpha = f->lora_alpha,
                         .rslora = f->rslora,
                         .dropout = f->lora_dropout};
    o.dora = f->dora;
    o.bias = (gr_lora_bias)f->lora_bias;
    o.b_bias = f->lora_b_bias;
    o.base = job->run.base;
    o.seed = (uint64_t)args->common.seed;
    gr_status s = split(args, "lora-targets", f->lora_targets, &targets);
    if (s == GR_OK)
        s = split(args, "modules-to-save", f->modules_to_save, &saved);
    if (s == GR_OK)
        s = split(args, "train-tokens", f->train_tokens, &tokens);
    if (s == GR_OK)
        s = find_tokens(args, job->on.tokenizer, &tokens, ids);
    o.targets = targets.list;
    o.n_targets = targets.n;
    o.modules_to_save = saved.list;
    o.n_modules_to_save = saved.n;
    o.tokens = ids;
    o.n_tokens = tokens.n;
    if (s == GR_OK)
        s = put_added(args, job, &saved, ids, &o);
    if (s == GR_OK)
        s = gr_args_blame(args, name_flags(args, gr_model_add_adapter(job->on.model, &o)));
    gr_free(targets.text);
    gr_free(saved.text);
    gr_free(tokens.text);
    return s;
}

/* ---- the model ---------------------------------------------------------------------------------------------- */

static int64_t parameters_in(const gr_store *store)
{
    int64_t n = 0;
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; i < gr_store_count(store); i++)
        if (gr_store_entry(store, i, &e) == GR_OK) {
            int64_t count = 1;
            for (int d = 0; d < e.ndim; d++)
                count *= e.shape[d];
            n += count;
        }
    return n;
}

/* Says that 16-bit weights are widened to be trained. */
static gr_status tell_widened(const char *path)
{
    char *text = gr_model_report(path, GR_REPORT_WEIGHTS);
    gr_json_doc *doc = text ? gr_json_parse("the report", text, strlen(text)) : NULL;
    gr_free(text);
    if (!doc)
        return gr_error_status();
    for (gr_json_iter it = gr_json_first(gr_json_get(gr_json_root(doc), "weights")); it.key; gr_json_next(&it))
        if (!gr_json_named(&it, "f32")) {
            gr_note("the weights are %s; they are trained, and saved, as f32", it.key);
            break;
        }
    gr_json_free(doc);
    return GR_OK;
}

/* Says what is trained. */
static gr_status tell(const gr_train_flags *f, const gr_train_job *job)
{
    if (f->full && f->weights == 1)
        return GR_OK;
    if (f->full)
        return tell_widened(job->on.path);
    gr_note("LoRA: %s of %s parameters are trained",
            gr_human_count((double)parameters_in(gr_model_trainable(job->on.model))).s,
            gr_human_count((double)gr_model_describe(job->on.model)->parameters).s);
    return GR_OK;
}

/* What the flags say only together, or together with the model. */
static gr_status settle(gr_args *args, const gr_opened *on)
{
    static const char *const lora[] = {"lora-rank", "lora-alpha", "lora-targets",    "lora-dropout", "rslora",
                                       "dora",      "lora-bias",  "modules-to-save", "train-tokens", "lora-b-bias"};
    gr_train_flags *f = args->options;
    bool no_new = (f->full || on->adapter) && !f->resume;
    for (size_t i = 0; no_new && i < sizeof lora / sizeof *lora; i++)
        if (gr_args_given(args, lora[i]))
            return gr_args_fail(args, "--%s: is of a new adapter, and %s\nLeave it out.", lora[i],
                                f->full ? "--full trains none" : "there is one already");
    if (f->full && on->adapter)
        return gr_args_fail(args, "--full: trains no adapter, and there is one\nMerge it first, with gradus merge, or "
                                  "leave it out: --adapter none.");
    if (f->full && !gr_args_given(args, "lr"))
        f->lr = 2e-5;
    if (!gr_args_given(args, "lora-alpha"))
        f->lora_alpha = 2 * (double)f->lora_rank;
    if (gr_args_given(args, "steps") && !gr_args_given(args, "epochs"))
        f->epochs = 0;
    return GR_OK;
}

static gr_status open_finetune(gr_args *args, bool initialize, gr_train_job *job)
{
    const gr_train_flags *f = args->options;
    const gr_load_options o = {.size = sizeof o, .widen = f->full, .declare_only = !initialize};
    gr_status s = gr_open_model(args, f->model, &o, &job->on);
    if (s == GR_OK)
        s = gr_need_tokenizer(&job->on);
    if (s == GR_OK)
        s = settle(args, &job->on);
    if (s == GR_OK)
        s = gr_add_tokens(args, &f->chats, &job->on.tokenizer, &job->added);
    if (s == GR_OK)
        s = gr_add_token_rows(args, &job->on, &job->added);
    if (s == GR_OK)
        job->run.base = whole_path(job->on.path, job->base);
    if (s == GR_OK && !job->on.adapter && !f->full)
        s = add_adapter(args, job);
    return s == GR_OK && initialize ? tell(f, job) : s;
}

/* The model's own, or those of the adapter that is trained further. */
static gr_status put_own_files(gr_train_job *job)
{
    const gr_found *found = job->on.found;
    bool is_of_adapter = found->adapter && found->tokenizer && strcmp(found->tokenizer, found->adapter) == 0;
    job->run.source = is_of_adapter ? found->adapter : job->on.path;
    if (job->added.n == 0)
        return GR_OK;
    job->files[0][0] = "tokenizer.json";
    job->files[0][1] = gr_tokenizer_describe(job->on.tokenizer)->json;
    job->run.n_files = 1;
    job->run.files = (const char *const(*)[2])job->files;
    return GR_OK;
}

const gr_train_kind gr_kind_finetune = {
    .takes_model = true, .follows_data = true, .open = open_finetune, .put_files = put_own_files};

const gr_verb gr_verb_finetune = {
    .name = "finetune",
    .summary = "trains a model further: a LoRA adapter, or all of it with --full",
    .positional = "[MODEL] [DATA...]",
    .about =
        "MODEL is a model directory or a .gguf file; f32, bf16 and f16 weights stay as they are. DATA is what train "
        "takes, conversations ({\"messages\": [...]} a line) included; documents are kept apart, but one text file is "
        "read "
        "as a stream. The run's "
        "checkpoints hold an adapter in peft's files, which generate, eval and merge take, as do peft and vLLM; with "
        "--full they are models as train makes them. With --adapter, or when MODEL is an adapter, that one is trained "
        "further. A run that was stopped goes on with --resume.",
    .flags = gr_finetune_flag_table,
    .more_flags = gr_loop_flag_table,
    .defaults = gr_finetune_defaults,
    .needs = {"out"},
    .common = GR_WITH_ADAPTER | GR_WITH_DEVICE | GR_WITH_PROFILE | GR_WITH_SEED | GR_WITH_JSON,
    .examples = {{"an adapter of rank 16 on all layers",
                  "gradus finetune model notes.jsonl --lora-rank 16 --lora-targets all-linear --out run"},
                 {"all weights, one pass over the data", "gradus finetune model book.txt --full --epochs 1 --out run"}},
    .options_size = sizeof(gr_train_flags),
    .own = &gr_kind_finetune,
    .run = gr_train_verb_run,
};
