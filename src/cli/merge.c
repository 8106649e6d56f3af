/* gradus merge. */
#include <math.h>
#include <string.h>
#include "base/json.h"
#include "base/mem.h"
#include "base/number.h"
#include "cli/convert.h"
#include "cli/human.h"
#include "cli/measure.h"
#include "cli/term.h"
#include "cli/verbs.h"

typedef struct options {
    gr_write_flags write; /* first: the second table is of this alone */
    const char *calibrate, *eval;
    int64_t calibration_tokens, context;
    gr_chat_flags chat;
    int method;
    bool resume;
} options;

static const gr_flag flags[] = {
    {"method", GR_CHOICE(options, method), .value = "round|gptq", .initial = "round",
     .help = "of weights in blocks: each value by itself, or column after column, where the others take up what one "
             "has lost"},
    {"calibrate", GR_TEXT(options, calibrate), .value = "DATA",
     .help = "a text that shows what matrices are multiplied by, so that errors count where they matter"},
    {"calibration-tokens", GR_INT(options, calibration_tokens), .value = "N", .initial = "16384", .positive = true,
     .unit = "tokens", .help = "of it at most, from all over it"},
    {"resume", GR_SWITCH(options, resume),
     .help = "goes on with what an interrupted --method gptq to the same PATH has left"},
    {"eval", GR_TEXT(options, eval), .value = "DATA",
     .help = "a text by which base and adapter, their sum in f32, and what is written are compared"},
    {"context", GR_INT(options, context), .value = "N", .shown = "the model's", .min = 2, .max = 1 << 24,
     .unit = "tokens", .help = "of a window of it"},
    GR_CHAT_FLAGS(options, chat, "conversations in these texts are written by "),
    {0},
};

static gr_status open_both(gr_args *args, const gr_load_options *load, gr_opened *on)
{
    if (args->count == 2)
        args->common.adapter = args->positional[1];
    gr_status s = gr_open_device(args, on);
    if (s == GR_OK)
        s = gr_find_model(args, args->positional[0], on);
    if (s != GR_OK)
        return s;
    on->model = gr_model_load(on->path, load, on->device);
    if (!on->model)
        return gr_error_status();
    if (!on->adapter)
        return gr_args_fail(args,
                            "%s: is no adapter, and none is given\nGive a model and an adapter, or a run of finetune.",
                            args->positional[0]);
    return gr_model_load_adapter(on->model, on->adapter);
}

/* A name that ends so asks for a GGUF file: what a base of its blocks goes back to. Those of int4 and int8 are directories. */
static gr_status check_out(gr_args *args, gr_write_flags *f)
{
    f->gguf = gr_ends_with(f->out, ".gguf");
    return gr_check_write(args, f);
}

/* ---- back into blocks --------------------------------------------------------------------------------------- */

/* The merged model in f32 is quantized to what the base has, and three models are compared: base and adapter, which the others
 * are measured against; their sum in f32; and what is written. */
typedef struct back {
    gr_args *args;
    gr_opened *on; /* the base, and the adapter beside it */
    gr_model *sum; /* of both, in f32 */
    gr_measured_text text, calibration;
    gr_distance wide, made;
    gr_saved saved;
    const char *type;        /* of a GGUF file; NULL: as the base is */
    const char *(*pairs)[2]; /* [n] then: each matrix and its dtype */
    int n;
} back;

static gr_status measure(back *b, gr_model *model, gr_distance *out)
{
    double loss;
    const options *f = b->args->options;
    const gr_evaluate_options o = {.size = sizeof o,
                                   .context = f->context,
                                   .progress = gr_show_measuring,
                                   .against = b->on->model,
                                   .distance = out};
    return gr_evaluate(model, b->text.ids, b->text.n, &o, &loss);
}

/* What was written, before it gets its name. */
static gr_status on_check(void *user, gr_model *made)
{
    back *b = user;
    gr_status s = b->text.n ? measure(b, b->sum, &b->wide) : GR_OK;
    return s == GR_OK && b->text.n ? measure(b, made, &b->made) : s;
}

/* Bases of int4 and int8 are directories, others of blocks GGUF files. */
static gr_status check_blocks(back *b)
{
    const options *f = b->args->options;
    const char *blocks = gr_name_of_blocks(b->on->model);
    bool hub = blocks && strncmp(blocks, "int", 3) == 0;
    for (int i = 0; blocks && !hub && !b->type && gr_quantize_list(i); i++)
        if (strncmp(gr_quantize_list(i), blocks, strlen(blocks)) == 0)
            b->type = gr_quantize_list(i);
    if (!hub && !b->type)
        return gr_args_fail(b->args, "--%s: is of bases with weights in blocks that can be written\nLeave it out.",
                            gr_args_given(b->args, "method") ? "method"
                            : gr_args_given(b->args, "eval") ? "eval"
                                                             : "calibrate");
    if (hub == f->write.gguf)
        return gr_args_fail(
            b->args,
            hub ? "--out: a base of %s goes back to a directory\nGive a name that does not end in .gguf."
                : "--out: a base of %s goes back to a GGUF file\nGive a name that ends in .gguf.",
            blocks);
    return GR_OK;
}

/* Each matrix of the base is to be what it is; positions that are learned stay so anyway. The mixture is one that begins with the
 * first dtype of blocks. */
static gr_status list_matrices(back *b)
{
    gr_store *store = gr_model_store(b->on->model);
    gr_entry e = GR_INIT(gr_entry);
    gr_status checked = check_blocks(b);
    if (checked != GR_OK || !b->type)
        return checked;
    b->pairs = gr_alloc_zero((size_t)gr_store_count(store) + 1, sizeof *b->pairs);
    if (!b->pairs)
        return GR_ERR_MEMORY;
    for (int i = 0; i < gr_store_count(store); i++) {
        gr_status s = gr_store_entry(store, i, &e);
        if (s != GR_OK)
            return s;
        if (e.ndim < 2 || strstr(e.name, "wpe."))
            continue;
        b->pairs[b->n][0] = e.name;
        b->pairs[b->n++][1] = gr_dtype_name(e.dtype);
    }
    return GR_OK;
}

static gr_status read_texts(back *b)
{
    const options *f = b->args->options;
    gr_status s = f->calibrate || f->eval ? gr_open_tokenizer(b->args, b->on) : GR_OK;
    if (s == GR_OK && (f->calibrate || f->eval))
        s = gr_need_tokenizer(b->on);
    if (s == GR_OK && f->eval)
        s = gr_measured_read(b->args, f->eval, b->on, &f->chat, &b->text);
    if (s == GR_OK && f->calibrate &&
        (s = gr_measured_read(b->args, f->calibrate, b->on, &f->chat, &b->calibration)) == GR_OK)
        gr_choose_windows(&b->calibration, f->calibration_tokens);
    return s;
}

static gr_status write_back(back *b)
{
    const options *f = b->args->options;
    const gr_quantize_options o = {.size = sizeof o,
                                   .type = b->type,
                                   .like = b->type ? NULL : b->on->model,
                                   .tensors = (const char *const(*)[2])b->pairs,
                                   .n_tensors = b->n,
                                   .method = (gr_quantize_method)f->method,
                                   .calibration = b->calibration.ids,
                                   .n_calibration = b->calibration.n,
                                   .resume = f->resume,
                                   .source = b->on->path,
                                   .adapter = b->on->adapter,
                                   .shard_bytes = (size_t)(f->write.gguf ? f->write.split_size : f->write.shard_size),
                                   .progress = gr_show_quantizing,
                                   .check = on_check,
                                   .user = b,
                                   .saved = &b->saved};
    gr_interrupt_watch();
    gr_broken_pipe_watch();
    gr_progress_start("merge", 0, 1);
    gr_status s = gr_quantize(b->sum, f->write.out, &o, NULL);
    gr_progress_end();
    return gr_args_blame(b->args, s);
}

/* base + adapter; merged in f32; merged in blocks. */
static void put_model(gr_json into, const char *name, double loss, const gr_distance *d)
{
    gr_json one = gr_json_put_object(into, NULL);
    gr_json_put_text(one, "model", name);
    gr_json_put_real(one, "loss", loss);
    gr_put_perhaps(one, "perplexity", exp(loss));
    gr_json_put_real(one, "kl_mean", d ? d->kl : 0);
    gr_json_put_real(one, "kl_99", d ? d->kl_99 : 0);
    gr_json_put_real(one, "same_first", d ? d->same : 1);
}

static gr_status tell_json(const back *b)
{
    const options *f = b->args->options;
    gr_json_doc *doc = gr_json_new("the report");
    if (!doc)
        return gr_error_status();
    gr_json root = gr_json_root(doc);
    gr_json_put_path(root, "path", f->write.out);
    gr_json_put_text(root, "method", f->method == GR_QUANTIZE_GPTQ ? "gptq" : "round");
    gr_json_put_int(root, "calibration_tokens", b->calibration.n);
    gr_json_put_int(root, "tensors", b->saved.tensors);
    gr_json_put_int(root, "bytes", b->saved.bytes);
    gr_json_put_bool(root, "measured", b->text.n > 0);
    if (b->text.n) {
        gr_json models = gr_json_put_array(root, "models");
        put_model(models, "base and adapter", b->made.against, NULL);
        put_model(models, "merged, f32", b->wide.loss, &b->wide);
        put_model(models, "merged", b->made.loss, &b->made);
    }
    return gr_out_json(doc);
}

static void print_model(const char *name, double loss, const gr_distance *d)
{
    gr_out("%-17s perplexity %.6g", name, exp(loss));
    if (d)
        gr_out(", KL %.6g mean, %.6g 99 %%, same first %.4f %%", d->kl, d->kl_99, 100 * d->same);
    gr_out("\n");
}

static gr_status tell(const back *b)
{
    const options *f = b->args->options;
    if (b->args->common.json)
        return tell_json(b);
    if (b->text.n) {
        print_model("base and adapter", b->made.against, NULL);
        print_model("merged, f32", b->wide.loss, &b->wide);
        print_model("merged", b->made.loss, &b->made);
    } else
        gr_out("quality           not measured: no text was given (--eval)\n");
    gr_out("wrote             %s: %s tensor%s, %s\n", f->write.out, gr_human_integer(b->saved.tensors).s,
           gr_plural(b->saved.tensors), gr_human_bytes((double)b->saved.bytes).s);
    return GR_OK;
}

static gr_status merge_back(gr_args *args, gr_opened *on)
{
    back b = {
        .args = args, .on = on, .wide = GR_INIT(gr_distance), .made = GR_INIT(gr_distance), .saved = GR_INIT(gr_saved)};
    const gr_load_options wide = {.size = sizeof wide, .widen = true};
    gr_status s = open_both(args, NULL, on);
    if (s == GR_OK)
        s = list_matrices(&b);
    if (s == GR_OK)
        s = read_texts(&b);
    b.sum = s == GR_OK ? gr_model_load(on->path, &wide, on->device) : NULL;
    if (s == GR_OK)
        s = b.sum ? gr_model_load_adapter(b.sum, on->adapter) : gr_error_status();
    if (s == GR_OK)
        s = gr_model_merge_adapter(b.sum);
    if (s == GR_OK)
        s = write_back(&b);
    if (s == GR_OK)
        s = tell(&b);
    gr_measured_free(&b.text);
    gr_measured_free(&b.calibration);
    gr_free(b.pairs);
    gr_model_free(b.sum);
    return s;
}

/* ---- the verb ----------------------------------------------------------------------------------------------- */

/* Is it asked for what is of bases with blocks? */
static gr_status check_back(gr_args *args, const options *f, bool *back_to_blocks)
{
    static const char *const names[] = {"method", "calibrate", "eval"};
    *back_to_blocks = false;
    for (size_t i = 0; i < 3; i++) {
        if (!gr_args_given(args, names[i]))
            continue;
        *back_to_blocks = true;
        if (f->write.dtype != GR_WRITE_KEEP)
            return gr_args_fail(args, "--dtype: weights go back to what the base has with --%s\nLeave one of them out.",
                                names[i]);
    }
    if (f->method == GR_QUANTIZE_GPTQ && !f->calibrate)
        return gr_args_fail(args, "--method: gptq needs a text that shows activations\nGive one with --calibrate.");
    if (f->resume && f->method != GR_QUANTIZE_GPTQ)
        return gr_args_fail(args, "--resume: is of --method gptq; rounding begins anew\nLeave it out.");
    if (gr_args_given(args, "calibration-tokens") && !f->calibrate)
        return gr_args_fail(args, "--calibration-tokens: is of --calibrate, which is not given\nLeave it out.");
    if (gr_args_given(args, "context") && !f->eval)
        return gr_args_fail(args, "--context: is of --eval, which is not given\nLeave it out.");
    return GR_OK;
}

static gr_status merge(gr_args *args, gr_opened *on)
{
    gr_write_flags *f = args->options;
    bool back_to_blocks;
    const gr_load_options load = {.size = sizeof load,
                                  .widen = f->dtype != GR_WRITE_KEEP}; /* summed up before it is rounded */
    gr_status s = check_out(args, f);
    if (s == GR_OK)
        s = check_back(args, args->options, &back_to_blocks);
    if (s == GR_OK && back_to_blocks)
        return merge_back(args, on);
    if (s == GR_OK)
        s = open_both(args, &load, on);
    if (s == GR_OK)
        s = gr_model_merge_adapter(on->model);
    return s == GR_OK ? gr_write_model(args, f, on) : s;
}

static gr_status run(gr_args *args)
{
    gr_opened on = {0};
    gr_status s = merge(args, &on);
    s = gr_end_profile(args, &on, s);
    gr_close_opened(&on);
    return s;
}

const gr_verb gr_verb_merge = {
    .name = "merge",
    .summary = "folds a LoRA adapter into its model",
    .positional = "MODEL [ADAPTER]",
    .about =
        "ADAPTER is a directory in peft's files or a run of finetune; left out when MODEL is one, whose base is then "
        "found by its config. W + scale BA, with DoRA's lengths, is computed in f32 and rounded once, to the dtype of "
        "W or to --dtype. PATH "
        "is a model directory with the other files of MODEL, or where it ends in .gguf such a file, with each weight "
        "in the type that "
        "MODEL has it in, blocks rounded anew, int4 and int8 in the groups and layout that they had: each value by "
        "itself, or with --method gptq as gradus quantize does it, by a text "
        "that shows activations. --eval then measures three models: MODEL and ADAPTER beside each other, their sum in "
        "f32, and "
        "what is written. It is read again and compared before it gets its name.",
    .flags = flags,
    .more_flags = gr_write_flag_table,
    .needs = {"out"},
    .common = GR_WITH_DEVICE | GR_WITH_PROFILE | GR_WITH_JSON,
    .examples = {{"the best checkpoint of a run", "gradus merge run --out merged"},
                 {"an adapter of peft, into bf16 weights", "gradus merge model adapter --dtype bf16 --out merged"}},
    .options_size = sizeof(options),
    .run = run,
};
