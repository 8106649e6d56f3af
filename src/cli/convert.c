/* gradus convert. */
#include <string.h>
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/number.h"
#include "cli/convert.h"
#include "cli/human.h"
#include "cli/output.h"
#include "cli/term.h"
#include "cli/verbs.h"

typedef struct options {
    gr_write_flags write; /* first: the second table is of this alone */
    int to;
} options;

static const gr_flag flags[] = {
    {"to", GR_CHOICE(options, to), .value = "hf|gguf",
     .help = "the format: a Hugging Face directory, as transformers loads it, or a GGUF file, as llama.cpp does"},
    {"pre", GR_TEXT(options, write.pre), .value = "NAME", .shown = "found by what it does",
     .help = "with --to gguf: what the file calls the tokenizer's pre-tokenizer"},
    {0},
};
const gr_flag gr_write_flag_table[] = {
    {"out", GR_TEXT(gr_write_flags, out), .value = "PATH",
     .help = "the directory to write, which must not exist, or be empty; or the .gguf file, which must not exist"},
    {"dtype", GR_CHOICE(gr_write_flags, dtype), .value = "f32|f16|bf16|keep", .initial = "keep",
     .help = "of the weights; keep leaves them as they are"},
    {"shard-size", GR_INT(gr_write_flags, shard_size), .value = "N", .initial = "5G", .unit = "bytes",
     .help = "of a weights file at most; 0 writes one file"},
    {"split-size", GR_INT(gr_write_flags, split_size), .value = "N", .initial = "0", .unit = "bytes",
     .help =
         "of a GGUF file: written as NAME-00001-of-00003.gguf and so on, of so many bytes of tensors each at most; 0 "
         "writes one file"},
    {0},
};

static bool on_progress(void *user, double done, double total)
{
    (void)user;
    gr_progress_update(done / total, "%s", done <= total / 2 ? "writing" : "comparing");
    return !gr_interrupted(NULL);
}

/* ---- printing ----------------------------------------------------------------------------------------------- */

static gr_status print_json(const gr_write_flags *f, const char *dtype, const gr_saved *saved)
{
    gr_json_doc *doc = gr_json_new("the result");
    if (!doc)
        return gr_error_status();
    gr_json root = gr_json_root(doc);
    gr_json_put_path(root, "path", f->out);
    gr_json_put_text(root, "dtype", dtype);
    gr_json_put_int(root, "tensors", saved->tensors);
    gr_json_put_int(root, "bytes", saved->bytes);
    gr_json_put_int(root, "weight_files", saved->weight_files);
    gr_json_put_int(root, "other_files", saved->other_files);
    gr_json compared = gr_json_put_object(root, "compared");
    gr_json_put_int(compared, "tensors", saved->tensors);
    gr_json_put_int(compared, "logits", saved->logits);
    gr_json_put_real(compared, "logit_difference", saved->difference);
    gr_json_put_real(compared, "logit_bound", saved->bound);
    gr_json_put_int(compared, "texts", saved->texts);
    gr_json_put_int(compared, "token_ids", saved->tokens);
    return gr_out_json(doc);
}

static void print_text(const gr_write_flags *f, const gr_saved *saved)
{
    gr_out("wrote        %s: %s tensor%s, %s in %s file%s, and %s other%s\n", f->out,
           gr_human_integer(saved->tensors).s, gr_plural(saved->tensors), gr_human_bytes((double)saved->bytes).s,
           gr_human_integer(saved->weight_files).s, gr_plural(saved->weight_files),
           gr_human_integer(saved->other_files).s, gr_plural(saved->other_files));
    gr_out("tensors      all equal, read back from the files\n");
    if (saved->logits)
        gr_out("logits       %s compared, %.3g apart at most, %.3g allowed\n", gr_human_integer(saved->logits).s,
               saved->difference, saved->bound);
    if (saved->texts)
        gr_out("tokenizer    %s ids of %s text%s equal\n", gr_human_integer(saved->tokens).s,
               gr_human_integer(saved->texts).s, gr_plural(saved->texts));
}

/* ---- the verb ----------------------------------------------------------------------------------------------- */

gr_status gr_write_model(gr_args *args, const gr_write_flags *f, const gr_opened *on)
{
    static const gr_dtype dtypes[] = {
        [GR_WRITE_F32] = GR_F32, [GR_WRITE_F16] = GR_F16, [GR_WRITE_BF16] = GR_BF16, [GR_WRITE_KEEP] = GR_F32};
    gr_save_options o = {.size = sizeof o,
                         .cast = f->dtype != GR_WRITE_KEEP,
                         .dtype = dtypes[f->dtype],
                         .shard_bytes = (size_t)(f->gguf ? f->split_size : f->shard_size),
                         .source = on->path,
                         .adapter = on->adapter,
                         .progress = on_progress,
                         .gguf = f->gguf,
                         .pre = f->pre};
    gr_saved saved = GR_INIT(gr_saved);
    gr_interrupt_watch();
    gr_broken_pipe_watch();
    gr_progress_start(args->verb->name, 0, 1);
    gr_status s = gr_model_save(on->model, f->out, &o, &saved);
    gr_progress_end();
    if (s != GR_OK)
        return gr_args_blame(args, s);
    if (args->common.json)
        return print_json(f, o.cast ? gr_dtype_name(o.dtype) : "keep", &saved);
    print_text(f, &saved);
    return GR_OK;
}

gr_status gr_check_write(gr_args *args, const gr_write_flags *f)
{
    if (!f->gguf && gr_args_given(args, "split-size"))
        return gr_args_fail(args, "--split-size: is of GGUF files\n--shard-size is that of a directory.");
    if (f->gguf && gr_args_given(args, "shard-size"))
        return gr_args_fail(args, "--shard-size: is of directories\n--split-size is that of a GGUF file.");
    if (!f->gguf)
        return gr_check_output_folder(args, "out", f->out);
    if (gr_path_is_file(f->out) || gr_path_is_dir(f->out))
        return gr_args_fail(args, "--out: %s is there already\nName another file, or remove it.", f->out);
    return GR_OK;
}

/* What only one of the formats has. */
static gr_status check_format(gr_args *args, const options *f)
{
    if (!f->write.gguf && gr_args_given(args, "pre"))
        return gr_args_fail(args, "--pre: is of GGUF files, and --to is hf\nLeave it out.");
    if (f->write.gguf && (strlen(f->write.out) <= 5 || !gr_ends_with(f->write.out, ".gguf")))
        return gr_args_fail(args, "--out: the name of a GGUF file must end in .gguf\nGive such a name.");
    return gr_check_write(args, &f->write);
}

/* ---- an adapter --------------------------------------------------------------------------------------------- */

/* Its file has A and B as they are, in f32. */
static gr_status check_adapter_flags(gr_args *args, const options *f)
{
    static const char *const others[] = {"pre", "split-size", "shard-size"};
    if (f->write.dtype != GR_WRITE_KEEP && f->write.dtype != GR_WRITE_F32)
        return gr_args_fail(args, "--dtype: an adapter is written in f32\nLeave it out.");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (gr_args_given(args, others[i]))
            return gr_args_fail(args, "--%s: is of models, and this is an adapter\nLeave it out.", others[i]);
    return GR_OK;
}

/* The base is opened, since its heads say in which order rows go. */
static gr_status write_adapter(gr_args *args, const options *f, gr_opened *on)
{
    gr_status s = check_adapter_flags(args, f);
    if (s != GR_OK)
        return s;
    on->model = gr_model_load(on->path, NULL, on->device);
    s = on->model ? gr_model_load_adapter(on->model, on->adapter) : gr_error_status();
    if (s == GR_OK)
        s = gr_model_save_adapter(on->model, f->write.out);
    if (s != GR_OK)
        return gr_args_blame(args, s);
    gr_store *store = gr_model_trainable(on->model);
    gr_saved saved = {.tensors = gr_store_count(store), .weight_files = 1, .other_files = !f->write.gguf};
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; i < saved.tensors; i++)
        if (gr_store_entry(store, i, &e) == GR_OK)
            saved.bytes += (int64_t)e.bytes;
    if (args->common.json)
        return print_json(&f->write, "f32", &saved);
    print_text(&f->write, &saved);
    return GR_OK;
}

static gr_status work_on(gr_args *args, gr_opened *on)
{
    enum { TO_HF, TO_GGUF };
    options *f = args->options;
    f->write.gguf = f->to == TO_GGUF;
    gr_status s = check_format(args, f);
    if (s == GR_OK)
        s = gr_open_device(args, on);
    if (s == GR_OK)
        s = gr_find_model(args, args->positional[0], on);
    if (s != GR_OK)
        return s;
    bool is_file = on->adapter && gr_ends_with(on->adapter, ".gguf"); /* else it is in peft's files already */
    if (on->adapter && (f->write.gguf || is_file) && !on->found->is_beside)
        return write_adapter(args, f, on);
    if (on->adapter)
        return gr_fail(GR_ERR_ARGUMENT,
                       on->found->is_beside
                           ? "%s: a model with an adapter\ngradus merge folds it in, --adapter none leaves it out"
                           : "%s: an adapter, no model\ngradus merge folds it into its base, --to gguf writes it "
                             "as it is",
                       on->adapter);
    on->model = gr_model_load(on->path, NULL, on->device); /* its tokenizer may be one that we cannot run */
    return on->model ? gr_write_model(args, &f->write, on) : gr_error_status();
}

static gr_status run(gr_args *args)
{
    gr_opened on = {0};
    gr_status s = work_on(args, &on);
    s = gr_end_profile(args, &on, s);
    gr_close_opened(&on);
    return s;
}

const gr_verb gr_verb_convert = {
    .name = "convert",
    .summary = "writes a model as transformers or llama.cpp loads it",
    .positional = "MODEL",
    .about =
        "PATH gets config.json, the weights in one or several safetensors files, tokenizer, chat template, generation "
        "settings and licence of MODEL, and the checksums that gradus verify reads. Of a run it is the best "
        "checkpoint, without the state of training. With --to gguf PATH is a file with all of that in it but the "
        "licence: "
        "matrices in --dtype or as they are, vectors in f32. Where MODEL is an adapter, or --adapter names one, that "
        "is "
        "what is written, as peft reads it or, with --to gguf, llama.cpp: what other verbs take as --adapter.\n\n"
        "Before PATH gets its name all of it is read again and compared: every tensor bit for bit (rounded to "
        "--dtype), the logits of three prompts with those that MODEL has when its weights are rounded so (5 digits), "
        "token ids of several texts. A weight that is too large "
        "for f16 is an error. What fails or is interrupted leaves nothing behind.",
    .flags = flags,
    .more_flags = gr_write_flag_table,
    .needs = {"to", "out"},
    .common = GR_WITH_ADAPTER | GR_WITH_DEVICE | GR_WITH_PROFILE | GR_WITH_JSON,
    .examples = {{"the best checkpoint of a run, for transformers", "gradus convert run --to hf --out my-model"},
                 {"half the size, for llama.cpp", "gradus convert model --to gguf --dtype f16 --out model-f16.gguf"}},
    .options_size = sizeof(options),
    .run = run,
};
