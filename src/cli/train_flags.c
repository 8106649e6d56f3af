/* The table of the flags, and what they open: tokenizer, model, data, options. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/number.h"
#include "cli/human.h"
#include "cli/term.h"
#include "cli/train_flags.h"
#include "cli/value.h"

#define INT(field) GR_INT(gr_train_flags, field)
#define FLOAT(field) GR_FLOAT(gr_train_flags, field)
#define TEXT(field) GR_TEXT(gr_train_flags, field)
#define GR_LARGEST 1e38 /* what fits an f32 */
#define CHOICE(field) GR_CHOICE(gr_train_flags, field)

const gr_flag gr_train_flag_table[] = {
    {"out", TEXT(out), .value = "RUN", .help = "directory of the run: checkpoints, metrics.jsonl, loss.svg, run.json"},
    {"resume", GR_SWITCH(gr_train_flags, resume),
     .help = "go on from RUN's newest good checkpoint; flags and data come from its run.json"},
    {"data-changed", GR_SWITCH(gr_train_flags, data_changed),
     .help = "with --resume: go on although the bytes of DATA have changed; run.json notes it"},
    {GR_HEADING("Model")},
    {"arch", TEXT(arch), .value = "TYPE", .initial = "gpt2", .help = "architecture of a new model: *; docs/models.md",
     .list = gr_model_list},
    {"layers", INT(layers), .value = "N", .initial = "4", .min = 1, .max = 1 << 14, .help = "transformer blocks"},
    {"heads", INT(heads), .value = "N", .initial = "4", .min = 1, .max = 1 << 14, .help = "attention heads"},
    {"kv-heads", INT(kv_heads), .value = "N", .min = 1, .max = 1 << 14, .shown = "as --heads",
     .help = "key/value heads (not gpt2): fewer than heads is grouped-query attention"},
    {"embed", INT(embed), .value = "N", .initial = "128", .min = 1, .max = 1 << 20,
     .help = "width of the residual stream"},
    {"ffn", INT(ffn), .value = "N", .min = 1, .max = 1 << 24, .shown = "gpt2 4 x embed, others 8/3 x embed",
     .help = "width of the MLP"},
    {"config", TEXT(config), .value = "FILE", .shown = "made of the flags above",
     .help = "a config.json instead of the six flags above"},
    {"init", TEXT(init), .value = "MODEL", .shown = "random weights",
     .help = "go on from this model's weights instead of random ones"},
    {"tokenizer", TEXT(tokenizer), .value = "char|byte|bpe:N|FILE", .shown = "byte, or that of --init",
     .help = "one token a character, one a byte, N tokens learned from DATA, or a tokenizer.json"},
    {0},
};

const gr_flag gr_loop_flag_table[] = {
    {GR_HEADING("Length and size")},
    {"steps", INT(steps), .value = "N", .initial = "2000", .group = 'l', .min = 1, .help = "optimizer steps"},
    {"epochs", FLOAT(epochs), .value = "X", .group = 'l', .positive = true, .shown = "as --steps says",
     .help = "passes over the data, instead of --steps"},
    {"batch", INT(batch), .value = "N", .max = 1 << 20, .initial = "12", .min = 1, .unit = "sequences",
     .help = "of a micro-batch"},
    {"context", INT(context), .value = "N", .max = 1 << 24, .initial = "64", .min = 1, .unit = "tokens",
     .help = "of a sequence"},
    {"accumulate", INT(accumulate), .value = "N", .max = 1 << 20, .initial = "1", .min = 1,
     .help = "micro-batches of a step"},
    {"order", CHOICE(order), .value = "shuffle|sequential", .initial = "shuffle",
     .help = "rows in random order, or one after the other"},
    {"documents", CHOICE(documents), .value = "joined|apart", .initial = "joined",
     .help = "one stream of text, or documents that never see each other; prompts need the latter"},
    GR_CHAT_DATA_FLAGS(gr_train_flags, chats),
    {GR_HEADING("Optimizer")},
    {"optimizer", CHOICE(optimizer), .value = "adamw|sgd|lion|adafactor|muon|adamw8bit", .initial = "adamw",
     .help = "what moves the weights; docs/training.md"},
    {"moments", CHOICE(moments), .value = "f32|bf16", .initial = "f32",
     .help = "what adamw keeps its moments in; bf16 halves them, rounded up or down at random"},
    {"weights", CHOICE(weights), .value = "f32|bf16", .initial = "f32",
     .help = "what is trained, and saved; bf16 halves it, with adamw and adamw8bit, rounded up or down at random"},
    {"lr", FLOAT(lr), .value = "X", .max = GR_LARGEST, .initial = "1e-3", .help = "highest learning rate"},
    {"min-lr", FLOAT(min_lr), .value = "X", .max = GR_LARGEST, .shown = "a tenth of --lr",
     .help = "learning rate at the end"},
    {"warmup", INT(warmup), .value = "N", .shown = "100, at most a twentieth of the steps",
     .help = "steps in which the learning rate rises"},
    {"schedule", CHOICE(schedule), .value = "cosine|linear|wsd|constant", .initial = "cosine",
     .help = "how it falls; wsd: a plateau, then down in the last fifth"},
    {"beta1", FLOAT(beta1), .value = "X", .max = 0.9999999, .initial = "0.9",
     .help = "decay of the first moment; momentum of sgd"},
    {"beta2", FLOAT(beta2), .value = "X", .max = 0.9999999, .initial = "0.95",
     .help = "decay of the second moment; of lion's only one, 0.99 unless given"},
    {"eps", FLOAT(eps), .value = "X", .min = 1e-38, .max = GR_LARGEST, .initial = "1e-8",
     .help = "added to the root of the second moment"},
    {"weight-decay", FLOAT(weight_decay), .value = "X", .max = GR_LARGEST, .initial = "0.1",
     .help = "of tensors of 2 or more dims"},
    {"muon-lr", FLOAT(muon_lr), .value = "X", .max = GR_LARGEST, .positive = true, .shown = "as --lr",
     .help = "highest learning rate of muon's matrices"},
    {"muon-momentum", FLOAT(muon_momentum), .value = "X", .max = 0.9999999, .initial = "0.95", .help = "theirs"},
    {"muon-adjust", CHOICE(muon_adjust), .value = "match_rms_adamw|original", .initial = "match_rms_adamw",
     .help = "their rate by their shape: steps as large as AdamW's, or as muon was published"},
    {"clip", FLOAT(clip), .value = "X", .max = GR_LARGEST, .initial = "1",
     .help = "largest global norm of the gradients; 0: no limit"},
    {"clip-last", GR_SWITCH(gr_train_flags, clip_last),
     .help = "clip by the norm of the step before: gradients are used and gone as they come"},
    {"dropout", FLOAT(dropout), .value = "X", .initial = "0", .max = 0.99,
     .help = "of embeddings and of what each block adds"},
    {"precision", CHOICE(precision), .value = "f32|bf16|fp16", .initial = "f32",
     .help = "of activations and their gradients; weights and moments are as --weights and --moments say"},
    {"loss-scale", TEXT(loss_scale), .value = "dynamic|N", .shown = "dynamic",
     .help = "with fp16: found while training, or fixed; up to 16777216"},
    {"recompute", CHOICE(recompute), .value = "none|attention|block|auto", .initial = "none",
     .help =
         "what is not kept for the backward pass, but computed again: less memory, more time; auto: as much as has to"},
    {"recompute-blocks", INT(recompute_blocks), .value = "N", .max = 1 << 14, .min = 1, .shown = "all",
     .help = "in the last so many blocks"},
    {"head-rows", TEXT(head_rows), .value = "N|auto", .shown = "all at once",
     .help = "tokens that logits, loss and their gradient are computed for at a time: less memory, the same numbers"},
    {"memory", INT(memory), .value = "SIZE", .max = 1e18, .min = 1, .unit = "bytes", .shown = "what is free",
     .help = "most that may be used: what is not given is chosen so that it is the cheapest that fits"},
    {"allow", GR_SET(gr_train_flags, allow), .value = "adamw8bit", .shown = "nothing",
     .help = "what --memory may choose, too, though results are others"},
    {"passes", TEXT(passes), .value = "LIST", .shown = "all",
     .help = "which changes compiling makes, or with - in front which not; docs/architecture.md"},
    {GR_HEADING("Evaluation and checkpoints")},
    {"eval-data", TEXT(eval_data), .value = "DATA", .group = 'e', .shown = "no evaluation",
     .help = "text to evaluate on"},
    {"eval-fraction", FLOAT(eval_fraction), .value = "X", .group = 'e', .max = 0.9, .shown = "no evaluation",
     .help = "evaluate on this last part of the data, and do not train on it"},
    {"eval-every", INT(eval_every), .value = "N", .initial = "250", .unit = "steps",
     .help = "between evaluations; the end has one"},
    {"eval-tokens", INT(eval_tokens), .value = "N", .initial = "0", .shown = "all", .max = 1e15, .unit = "tokens",
     .help = "of an evaluation at most; 0: all"},
    {"save-every", INT(save_every), .value = "N", .initial = "500", .unit = "steps",
     .help = "between checkpoints; the end has one"},
    {"keep", INT(keep), .value = "N", .initial = "2", .min = 1, .max = 1 << 20,
     .help = "newest checkpoints kept; the best is kept too"},
    {0},
};

static bool is_apart(const gr_train_flags *f)
{
    return f->documents == 1;
}

/* The data is read before the model is opened where the tokenizer is made of it; and in a run that goes on, so that a
 * failure can be told from data that has changed. */
static bool is_read_first(const gr_train_flags *f)
{
    bool is_made_of_data = f->tokenizer && (strcmp(f->tokenizer, "char") == 0 || strncmp(f->tokenizer, "bpe:", 4) == 0);
    return is_made_of_data || (f->resume && !is_apart(f));
}

/* ---- tokenizer and model ------------------------------------------------------------------------------------ */

/* "bpe:N": what gradus tokenizer train learns from the same documents. */
static gr_status learn_tokenizer(gr_args *args, const char *kind, gr_train_job *job)
{
    static const gr_flag number = {.kind = GR_KIND_INT, .min = 257, .max = INT32_MAX};
    gr_tokenizer_training how = {.size = sizeof how, .whole_texts = true, .threads = (int)args->common.threads};
    if (gr_value_parse(&number, kind + 4, &how.vocab_size) != GR_OK)
        return gr_args_fail(args,
                            "--tokenizer %.40s: expected bpe:N, N the tokens of the vocabulary\nN is at least 257: "
                            "256 bytes and <|endoftext|>.",
                            kind);
    how.corpus = job->corpus;
    job->on.tokenizer = gr_tokenizer_train(&how);
    if (!job->on.tokenizer)
        return gr_error_status();
    gr_note("tokenizer: %lld tokens learned from DATA",
            (long long)gr_tokenizer_describe(job->on.tokenizer)->vocab_size);
    return GR_OK;
}

static gr_status open_given_tokenizer(gr_args *args, gr_train_job *job)
{
    const gr_train_flags *f = args->options;
    const char *kind = f->vocabulary ? f->vocabulary : f->tokenizer ? f->tokenizer : "byte";
    bool is_bpe = strncmp(kind, "bpe:", 4) == 0;
    gr_tokenizer_training how = GR_INIT(gr_tokenizer_training);
    if ((strcmp(kind, "char") == 0 || is_bpe) && !job->corpus)
        return gr_args_fail(args,
                            "--tokenizer %.40s: its vocabulary is that of DATA, which is missing\nGive DATA, or "
                            "--tokenizer byte.",
                            kind);
    if (is_bpe)
        return learn_tokenizer(args, kind, job);
    if (strcmp(kind, "char") == 0) {
        how.recipe = GR_TOKENIZER_CHARACTERS;
        how.corpus = job->corpus;
        how.end_of_text = gr_corpus_describe(job->corpus)->documents > 1 || is_apart(f);
        job->on.tokenizer = gr_tokenizer_train(&how);
    } else if (strcmp(kind, "byte") == 0) {
        how.recipe = GR_TOKENIZER_BYTES;
        job->on.tokenizer = gr_tokenizer_train(&how);
    } else {
        job->on.tokenizer = gr_tokenizer_load(kind);
        if (!job->on.tokenizer && !strpbrk(kind, "./") && access(kind, F_OK) != 0)
            return gr_fail(GR_ERR_FILE,
                           "--tokenizer %.40s: there is no such kind, and no such file\nGive char, byte, bpe:N "
                           "or a tokenizer.json.",
                           kind);
    }
    return job->on.tokenizer ? GR_OK : gr_error_status();
}

/* Do both give every id the same token, and a text the same ids? */
static gr_status is_same_tokenizer(gr_tokenizer *a, gr_tokenizer *b, bool *out)
{
    static const char text[] = "The 2 quick foxes don't jump:\n\n  na\xC3\xAFve, 100 %";
    int64_t vocab = gr_tokenizer_describe(a)->vocab_size;
    const gr_token *of_a, *of_b;
    size_t n, m;
    *out =
        vocab == gr_tokenizer_describe(b)->vocab_size && gr_tokenizer_describe(a)->eos == gr_tokenizer_describe(b)->eos;
    for (int64_t id = 0; *out && id < vocab; id++) {
        const char *one = gr_tokenizer_token(a, id, &n, NULL), *other = gr_tokenizer_token(b, id, &m, NULL);
        *out = one && other ? n == m && memcmp(one, other, n) == 0 : !one && !other;
    }
    if (!*out)
        return GR_OK;
    gr_status s = gr_tokenizer_encode(a, text, sizeof text - 1, GR_ADD_SPECIAL, &of_a, &n);
    gr_status t = gr_tokenizer_encode(b, text, sizeof text - 1, GR_ADD_SPECIAL, &of_b, &m);
    if (s == GR_OK && t == GR_OK)
        *out = n == m && memcmp(of_a, of_b, n * sizeof *of_a) == 0;
    return s == GR_ERR_MEMORY || t == GR_ERR_MEMORY ? GR_ERR_MEMORY : GR_OK; /* a char tokenizer may lack a letter */
}

/* --tokenizer beside --init: the model's own was learned with. */
static gr_status check_own_tokenizer(gr_args *args, gr_tokenizer *own, gr_train_job *job)
{
    const gr_train_flags *f = args->options;
    bool same = true;
    gr_status s = own && job->on.tokenizer && !f->resume ? is_same_tokenizer(own, job->on.tokenizer, &same) : GR_OK;
    if (s == GR_OK && !same)
        s = gr_args_fail(
            args,
            "--tokenizer: %.40s is another than that of --init %.200s\nLeave it out: the model has learned "
            "with its own.",
            f->tokenizer, f->init);
    return s;
}

static gr_status open_tokenizer(gr_args *args, gr_train_job *job)
{
    gr_tokenizer *own = job->on.tokenizer;
    if (!((const gr_train_flags *)args->options)->tokenizer && own)
        return GR_OK;
    job->on.tokenizer = NULL;
    gr_status s = open_given_tokenizer(args, job);
    if (s == GR_OK)
        s = check_own_tokenizer(args, own, job);
    gr_tokenizer_free(own);
    return s;
}

static gr_status model_of_flags(gr_args *args, gr_train_job *job)
{
    const gr_train_flags *f = args->options;
    gr_model_info i = {.size = sizeof i,
                       .layers = f->layers,
                       .heads = f->heads,
                       .kv_heads = f->kv_heads,
                       .embed = f->embed,
                       .ffn = f->ffn};
    if (f->embed % f->heads)
        return gr_args_fail(
            args, "--heads: %lld heads do not divide --embed %lld\nGive numbers of which one divides the other.",
            (long long)f->heads, (long long)f->embed);
    if (f->kv_heads && f->heads % f->kv_heads)
        return gr_args_fail(args, "--kv-heads: %lld do not divide --heads %lld\nGive a number that does.",
                            (long long)f->kv_heads, (long long)f->heads);
    snprintf(i.arch, sizeof i.arch, "%s", f->arch); /* one cut short is none that there is */
    i.context = f->context;
    i.vocab = gr_tokenizer_describe(job->on.tokenizer)->vocab_size;
    i.bos = gr_tokenizer_describe(job->on.tokenizer)->bos;
    i.eos = gr_tokenizer_describe(job->on.tokenizer)->eos;
    i.tied = true;
    char *json = gr_model_config_json(&i);
    if (!json)
        return gr_blame_shape(args, gr_error_status());
    job->on.model = gr_model_new("config.json", json, strlen(json), job->on.device);
    gr_free(json);
    return job->on.model ? GR_OK : gr_blame_shape(args, gr_error_status());
}

static gr_status model_of_config(const char *path, gr_train_job *job)
{
    size_t size;
    char *json = gr_file_read(path, 1 << 26, &size);
    job->on.model = json ? gr_model_new(path, json, size, job->on.device) : NULL;
    gr_free(json);
    return job->on.model ? GR_OK : gr_error_status();
}

/* Tokens that were added to the tokenizer alone have no row in the model: harmless while no text has them. */
static gr_status check_vocab(gr_args *args, const gr_train_job *job)
{
    const gr_train_flags *f = args->options;
    const gr_tokenizer *t = job->on.tokenizer;
    int64_t vocab = gr_model_describe(job->on.model)->vocab, needed = gr_tokenizer_describe(t)->vocab_size;
    size_t size = 0;
    const char *first = needed > vocab ? gr_tokenizer_token(t, vocab, &size, NULL) : NULL;
    char shown[80];
    if (needed <= vocab)
        return GR_OK;
    bool is_other = gr_tokenizer_describe(t)->eos >= vocab;
    for (int64_t id = vocab; id < needed; id++) {
        gr_token_kind kind;
        gr_tokenizer_token(t, (gr_token)id, NULL, &kind);
        is_other |= kind == GR_TOKEN_OF_MODEL;
    }
    if (is_other)
        return f->model
                   ? gr_fail(GR_ERR_FILE,
                             "%s: its tokenizer has %lld tokens, the model knows %lld\nits tokenizer and its "
                             "config.json do not belong together",
                             f->model, (long long)needed, (long long)vocab)
                   : gr_args_fail(args, "--tokenizer: %s has %lld tokens, the model knows %lld\nGive the model's own.",
                                  f->tokenizer ? f->tokenizer : "byte", (long long)needed, (long long)vocab);
    gr_remark(GR_LOG_WARN,
              "the tokenizer has %lld tokens, the model knows %lld: added tokens from %s on have no row in it, and a "
              "text that has one cannot be trained on",
              (long long)needed, (long long)vocab, gr_printable(first ? first : "", size, shown, sizeof shown));
    return GR_OK;
}

/* --init MODEL, or a new one. */
static gr_status open_train(gr_args *args, bool initialize, gr_train_job *job)
{
    const gr_train_flags *f = args->options;
    const gr_load_options o = {.size = sizeof o, .widen = true, .declare_only = !initialize};
    gr_status s = f->init ? gr_open_model(args, f->init, &o, &job->on) : gr_open_device(args, &job->on);
    if (s == GR_OK && f->init && job->on.adapter)
        s = gr_args_fail(
            args,
            job->on.found->is_beside
                ? "--init: %s has an adapter beside its weights\nMerge it first with gradus merge, or take "
                  "the weights alone: gradus convert --adapter none."
                : "--init: %s is an adapter\nMerge it into its model first, or train it with finetune.",
            f->init);
    if (s == GR_OK)
        s = open_tokenizer(args, job);
    if (s == GR_OK)
        s = gr_add_tokens(args, &f->chats, &job->on.tokenizer, &job->added);
    if (s == GR_OK && f->init)
        s = gr_add_token_rows(args, &job->on, &job->added);
    if (s != GR_OK || f->init)
        return s;
    s = f->config ? model_of_config(f->config, job) : model_of_flags(args, job);
    return s == GR_OK && initialize ? gr_model_init(job->on.model, (uint64_t)args->common.seed) : s;
}

/* What the tokenizer begins and ends texts with, for those who read its files. */
static char *tokenizer_config(const gr_tokenizer *t)
{
    const gr_tokenizer_info *i = gr_tokenizer_describe(t);
    const struct {
        const char *key;
        gr_token id;
    } ends[] = {{"bos_token", i->bos == i->eos ? -1 : i->bos}, {"eos_token", i->eos}};
    gr_json_doc *doc = gr_json_new("tokenizer_config.json");
    gr_json root = gr_json_root(doc);
    gr_json_put_text(root, "tokenizer_class", "PreTrainedTokenizerFast");
    for (size_t k = 0; doc && k < 2; k++) {
        size_t size = 0;
        const char *text = ends[k].id >= 0 ? gr_tokenizer_token(t, ends[k].id, &size, NULL) : NULL;
        if (text)
            gr_json_put_bytes(root, ends[k].key, text, size);
    }
    char *text = doc ? gr_json_format(doc, true, NULL) : NULL;
    gr_json_free(doc);
    return text;
}

static gr_status put_new_files(gr_train_job *job)
{
    const gr_model_info *i = gr_model_describe(job->on.model);
    char *text = job->generation;
    size_t size = sizeof job->generation;
    int n = snprintf(text, size, "{\n");
    if (i->bos >= 0)
        n += snprintf(text + n, size - (size_t)n, "  \"bos_token_id\": %lld,\n", (long long)i->bos);
    if (i->eos >= 0)
        n += snprintf(text + n, size - (size_t)n, "  \"eos_token_id\": %lld,\n", (long long)i->eos);
    snprintf(text + n, size - (size_t)n, "  \"do_sample\": true\n}\n");
    job->tokenizer_config = tokenizer_config(job->on.tokenizer);
    const char *const files[3][2] = {{"generation_config.json", text},
                                     {"tokenizer.json", gr_tokenizer_describe(job->on.tokenizer)->json},
                                     {"tokenizer_config.json", job->tokenizer_config}};
    memcpy(job->files, files, sizeof files); /* there is room for one more */
    job->run.files = (const char *const(*)[2])job->files;
    job->run.n_files = 3;
    return job->tokenizer_config ? GR_OK : gr_error_status();
}

const gr_train_kind gr_kind_train = {.open = open_train, .put_files = put_new_files};

const gr_train_kind *gr_kind_of(const gr_args *args)
{
    return args->verb->own;
}

static gr_status open_model(gr_args *args, bool initialize, gr_train_job *job)
{
    gr_status s = gr_kind_of(args)->open(args, initialize, job);
    if (s == GR_OK)
        s = check_vocab(args, job);
    return s == GR_OK ? gr_check_train_model(args, job->on.model) : s;
}

/* ---- data and options --------------------------------------------------------------------------------------- */

/* Of paths; DATA that has been read already is read from its corpus. */
static gr_data *read_data(const gr_args *args, const gr_train_job *job, const gr_corpus *corpus,
                          const char *const *paths, int n)
{
    gr_token eos = gr_model_describe(job->on.model)->eos;
    gr_data_options o = {.size = sizeof o, .corpus = corpus, .paths = paths, .n_paths = n};
    o.tokenizer = job->on.tokenizer;
    o.apart = is_apart(args->options);
    o.eos = eos >= 0 ? &eos : NULL;
    o.threads = (int)args->common.threads;
    gr_chat_set_data(&job->chat, &((const gr_train_flags *)args->options)->chats, &o);
    return gr_data_new(&o);
}

/* The last part of the data, to evaluate on. */
static gr_status split(gr_args *args, gr_train_job *job)
{
    gr_status s = gr_data_split(job->data, ((const gr_train_flags *)args->options)->eval_fraction, &job->eval);
    return s == GR_ERR_ARGUMENT ? gr_args_fail(args, "--eval-fraction: %.900s", gr_error()) : s;
}

/* A run that goes on takes a template that was given from its newest checkpoint: the file may have changed, or be gone. */
static gr_status open_template(gr_args *args, gr_train_job *job)
{
    const gr_train_flags *f = args->options;
    gr_chat_data_flags chats = f->chats;
    gr_find_options how = GR_INIT(gr_find_options);
    const gr_found *found = NULL, *on = job->on.found;
    char *kept = NULL;
    gr_status s = GR_OK;
    how.newest = how.path_only = true;
    if (f->resume && chats.template.file && !(found = gr_find(f->out, &how)))
        s = gr_error_status();
    if (found && found->path && !(kept = gr_path_join(found->path, "chat_template.jinja")))
        s = GR_ERR_MEMORY;
    if (kept && gr_path_is_file(kept))
        chats.template.file = kept;
    if (s == GR_OK)
        s = gr_chat_open_for_data(args, &chats, kept || !on ? NULL : on->tokenizer, &job->chat);
    gr_free(kept);
    gr_free(found);
    return s;
}

static gr_status open_data(gr_args *args, const char **data, size_t n_data, gr_train_job *job)
{
    const gr_train_flags *f = args->options;
    gr_status s = open_template(args, job);
    if (s != GR_OK)
        return s;
    job->data = read_data(args, job, job->corpus, data, (int)n_data);
    if (!job->data)
        return gr_error_status();
    if (!f->resume && gr_chat_check_heard(args, job->data) != GR_OK)
        return gr_error_status();
    if (f->eval_fraction > 0)
        return split(args, job);
    if (!f->eval_data)
        return GR_OK;
    job->eval = read_data(args, job, NULL, &f->eval_data, 1);
    return job->eval ? GR_OK : gr_error_status();
}

int64_t gr_epoch_rows(const gr_rows *r, double epochs)
{
    double rows = ceil(epochs * (double)gr_rows_describe(r)->rows);
    return rows < 1 ? 1 : rows < 9e18 ? (int64_t)rows : INT64_MAX;
}

/* Steps of the epochs. Of documents an epoch is whole rows, each once: the last step may not be full. An epoch that is
 * less than a step has one of its own, of documents and of a stream. */
static gr_status count_steps(const gr_train_flags *f, gr_train_job *job)
{
    gr_train_options *t = &job->run.train;
    int64_t room = t->batch * t->accumulate;
    t->steps = f->steps > 0 ? f->steps : 1;
    if (f->epochs <= 0 || !job->data)
        return GR_OK;
    gr_rows *rows = gr_rows_new(job->data, t->context, job->run.shuffle, t->seed);
    if (!rows)
        return gr_error_status();
    int64_t epoch = gr_rows_describe(rows)->rows, step = epoch < room ? epoch : room;
    if (is_apart(f) || epoch < room) {
        job->run.rows = gr_epoch_rows(rows, f->epochs);
        t->steps = job->run.rows / step + (job->run.rows % step != 0);
    } else {
        double steps = f->epochs * (double)gr_data_describe(job->data)->tokens / ((double)room * (double)t->context);
        t->steps = steps < 1 ? 1 : steps < 9e18 ? (int64_t)steps : INT64_MAX;
    }
    if (epoch < room)
        gr_note("an epoch is %lld row%s, less than the %lld of a step: each step is an epoch, and its other rows stay "
                "empty; a smaller --batch does the same in less time",
                (long long)epoch, gr_plural(epoch), (long long)room);
    gr_rows_free(rows);
    return GR_OK;
}

static gr_status set_options(gr_args *args, gr_train_job *job)
{
    gr_train_flags *f = args->options;
    gr_train_options *t = &job->run.train;
    *t = GR_INIT(gr_train_options);
    job->run.size = sizeof job->run;
    t->batch = f->batch;
    t->context = f->context;
    t->accumulate = f->accumulate;
    t->segments = is_apart(f);
    t->seed = (uint64_t)args->common.seed;
    job->run.shuffle = f->order == 0;
    gr_status s = count_steps(f, job);
    t->lr = f->lr;
    t->min_lr = gr_args_given(args, "min-lr") ? f->min_lr : f->lr / 10;
    int64_t usual = t->steps / 20 < 100 ? t->steps / 20 : 100;
    t->warmup = gr_args_given(args, "warmup") ? f->warmup : usual;
    t->schedule = (gr_schedule)f->schedule;
    t->optimizer = (gr_optimizer)f->optimizer;
    t->beta1 = f->beta1;
    if (t->optimizer == GR_LION && !gr_args_given(args, "beta2"))
        f->beta2 = 0.99; /* which run.json keeps */
    t->beta2 = f->beta2;
    t->bf16_moments = f->moments == 1;
    t->bf16_weights = f->weights == 1;
    t->muon_lr = f->muon_lr;
    t->muon_momentum = f->muon_momentum;
    t->muon_adjust = (gr_lr_adjustment)f->muon_adjust;
    t->eps = f->eps;
    t->weight_decay = f->weight_decay;
    t->clip = f->clip;
    t->clip_last = f->clip_last;
    t->passes = f->passes;
    t->dropout = f->dropout;
    t->precision = (gr_precision)f->precision;
    t->recompute = f->recompute == GR_CHOSEN_RECOMPUTE ? GR_RECOMPUTE_NONE : (gr_recompute)f->recompute;
    t->recompute_blocks = f->recompute_blocks;
    job->run.dir = f->out;
    job->run.eval_every = f->eval_every;
    job->run.eval_tokens = f->eval_tokens;
    job->run.save_every = f->save_every;
    job->run.keep = f->keep;
    job->run.resume = f->resume;
    if (s == GR_OK)
        s = gr_set_loss_scale(args, t);
    if (s == GR_OK)
        s = gr_set_head_rows(args, t);
    if (s == GR_OK)
        s = gr_check_passes(args, job->on.device);
    return s == GR_OK ? gr_check_train_options(args, t) : s;
}

/* A template that was given goes into the checkpoints, which are to be used with it; the model's own does in any case. */
static void put_template(const gr_train_flags *f, gr_train_job *job)
{
    const gr_template_info *t = job->chat.template ? gr_template_describe(job->chat.template) : NULL;
    if (!t || !t->text || !f->chats.template.file)
        return;
    job->files[job->run.n_files][0] = "chat_template.jinja";
    job->files[job->run.n_files++][1] = t->text;
    job->run.files = (const char *const(*)[2])job->files;
}

gr_status gr_train_job_open(gr_args *args, const char **data, size_t n_data, bool initialize, gr_train_job *job)
{
    gr_train_flags *f = args->options;
    bool joined = false; /* there is nothing to keep apart */
    if (gr_kind_of(args)->follows_data && !gr_args_given(args, "documents") &&
        gr_corpus_is_one_text(data, (int)n_data, &joined) != GR_OK)
        return gr_error_status();
    if (joined)
        f->documents = 0;
    if (!f->resume) {
        gr_status s = gr_check_train_flags(args);
        if (s != GR_OK)
            return s;
    }
    if (n_data == 0 && (initialize || gr_args_given(args, "epochs")))
        return gr_args_fail(args, "DATA is missing\nGive text files, .jsonl files or directories of them.");
    bool text = n_data && is_read_first(f);
    job->corpus = text ? gr_corpus_load(data, (int)n_data) : NULL;
    gr_status s = job->corpus || !text ? GR_OK : gr_error_status();
    if (s == GR_OK)
        s = open_model(args, initialize, job);
    if (s == GR_OK && n_data)
        s = open_data(args, data, n_data, job);
    if (s == GR_OK && n_data)
        s = gr_check_train_data(args, job->data);
    if (s == GR_OK)
        s = set_options(args, job);
    if (s == GR_OK)
        s = gr_fit_memory(args, job, initialize);
    if (s == GR_OK)
        s = gr_kind_of(args)->put_files(job);
    if (s != GR_OK)
        return s;
    put_template(f, job);
    gr_corpus_free(job->corpus); /* its ids are what is needed from here on */
    job->corpus = NULL;
    return GR_OK;
}

void gr_train_job_close(gr_train_job *job)
{
    gr_data_free(job->eval);
    gr_data_free(job->data);
    gr_chat_close(&job->chat);
    gr_corpus_free(job->corpus);
    gr_run_record_free(job->record);
    gr_free(job->vocabulary);
    gr_free(job->tokenizer_config);
    gr_close_opened(&job->on);
}
