/* gradus merge. */
#include "base/file.h"
#include "base/mem.h"
#include "cli/convert.h"
#include "cli/output.h"
#include "cli/term.h"
#include "cli/verbs.h"

static gr_status open_both(gr_args *args, const gr_load_options *load, gr_opened *on)
{
    if (args->count == 2)
        args->common.adapter = args->positional[1];
    gr_status s = gr_open_device(args, on);
    if (s == GR_OK)
        s = gr_find_model(args, args->positional[0], on);
    if (s == GR_OK && !on->adapter)
        s = gr_args_fail(args,
                         "%s: is no adapter, and none is given\nGive a model and an adapter, or a run of finetune.",
                         args->positional[0]);
    if (s != GR_OK)
        return s;
    on->model = gr_model_load(on->path, load, on->device);
    return on->model ? gr_model_load_adapter(on->model, on->adapter) : gr_error_status();
}

/* A name that ends so asks for a GGUF file: what a base of its blocks goes back to. */
static gr_status check_out(gr_args *args, gr_write_flags *f)
{
    f->gguf = gr_ends_with(f->out, ".gguf");
    return gr_check_write(args, f);
}

static gr_status run(gr_args *args)
{
    gr_write_flags *f = args->options;
    const gr_load_options load = {.size = sizeof load,
                                  .widen = f->dtype != GR_WRITE_KEEP}; /* summed up before it is rounded */
    gr_opened on = {0};
    gr_status s = check_out(args, f);
    if (s == GR_OK)
        s = open_both(args, &load, &on);
    if (s == GR_OK)
        s = gr_model_merge_adapter(on.model);
    if (s == GR_OK)
        s = gr_write_model(args, f, &on);
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
        "MODEL has it in, blocks rounded anew. It is read again and compared before it gets its name.",
    .flags = gr_write_flag_table,
    .needs = {"out"},
    .common = GR_WITH_DEVICE | GR_WITH_PROFILE | GR_WITH_JSON,
    .examples = {{"the best checkpoint of a run", "gradus merge run --out merged"},
                 {"an adapter of peft, into bf16 weights", "gradus merge model adapter --dtype bf16 --out merged"}},
    .options_size = sizeof(gr_write_flags),
    .run = run,
};
