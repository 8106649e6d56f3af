/* What the flags of training mean together, with the model and with the data: what is given is heeded or refused. */
#include <string.h>
#include "cli/term.h"
#include "cli/train_flags.h"
#include "cli/value.h"

/* ---- flags among themselves --------------------------------------------------------------------------------- */

static gr_status refuse_given(gr_args *args, const char *const *names, size_t n, const char *why, const char *hint)
{
    for (size_t i = 0; i < n; i++)
        if (gr_args_given(args, names[i]))
            return gr_args_fail(args, "--%s: %s\n%s", names[i], why, hint);
    return GR_OK;
}

static gr_status check_evaluation(gr_args *args)
{
    static const char *const names[] = {"eval-tokens"};
    if (gr_args_given(args, "eval-data") || gr_args_given(args, "eval-fraction"))
        return GR_OK;
    gr_status s =
        refuse_given(args, names, 1, "there is nothing to evaluate on", "Give --eval-data or --eval-fraction, too.");
    if (s == GR_OK && gr_args_given(args, "eval-every"))
        gr_warn("--eval-every: there is nothing to evaluate on, so that only loss.svg is drawn then; --eval-data and "
                "--eval-fraction give something");
    return s;
}

/* What an optimizer does not heed. */
static gr_status check_optimizer(gr_args *args)
{
    static const struct {
        const char *flag;
        unsigned heeded; /* bit GR_…: by these optimizers */
    } flags[] = {{"beta1", ~(1u << GR_ADAFACTOR)},
                 {"beta2", ~(1u << GR_ADAFACTOR | 1u << GR_SGD)},
                 {"eps", 1u << GR_ADAMW | 1u << GR_MUON | 1u << GR_ADAMW8BIT},
                 {"moments", 1u << GR_ADAMW},
                 {"muon-lr", 1u << GR_MUON},
                 {"muon-momentum", 1u << GR_MUON},
                 {"muon-adjust", 1u << GR_MUON}};
    const gr_train_flags *f = args->options;
    gr_status s = GR_OK;
    for (size_t i = 0; s == GR_OK && i < sizeof flags / sizeof *flags; i++)
        if (!(flags[i].heeded >> f->optimizer & 1))
            s = refuse_given(args, &flags[i].flag, 1, "the --optimizer has none", "Leave it out.");
    return s;
}

/* What is not trained in bf16. */
static gr_status check_weights(gr_args *args)
{
    const gr_train_flags *f = args->options;
    if (f->weights == 0)
        return GR_OK;
    if (gr_kind_of(args)->takes_model && !f->full)
        return gr_args_fail(args, "--weights bf16: an adapter is trained in f32\nLeave it out, or train all weights: "
                                  "--full.");
    if (f->optimizer != GR_ADAMW && f->optimizer != GR_ADAMW8BIT)
        return gr_args_fail(args,
                            "--weights bf16: the --optimizer moves f32 weights\nTake adamw or adamw8bit, or leave "
                            "it out.");
    if (f->precision == GR_PRECISION_FP16)
        return gr_args_fail(args, "--weights bf16: --precision fp16 cannot hold all of their values\nTake another "
                                  "--precision, or leave it out.");
    return GR_OK;
}

gr_status gr_check_train_flags(gr_args *args)
{
    static const char *const of_fall[] = {"min-lr"};
    static const char *const of_new[] = {"config"};
    const gr_train_flags *f = args->options;
    gr_status s = GR_OK;
    if (f->documents == 0)
        s = gr_chat_check_joined(args);
    if (s == GR_OK && f->init)
        s = refuse_given(args, of_new, 1, "is of a new model, and --init gives one", "Leave one of them out.");
    if (s == GR_OK)
        s = check_optimizer(args);
    if (s == GR_OK)
        s = check_weights(args);
    if (s == GR_OK && f->schedule == GR_CONSTANT)
        s = refuse_given(args, of_fall, 1, "with --schedule constant the learning rate does not fall", "Leave it out.");
    if (s == GR_OK && f->allow && f->memory == 0)
        s = gr_args_fail(args, "--allow: there is no --memory that it could serve\nGive --memory, or leave it out.");
    if (s == GR_OK && gr_args_given(args, "recompute-blocks") &&
        (f->recompute == 0 || f->recompute == GR_CHOSEN_RECOMPUTE))
        s = gr_args_fail(args, "--recompute-blocks: nothing is recomputed\nGive --recompute attention or block, too.");
    if (s == GR_OK && f->clip_last && f->clip == 0)
        s = gr_args_fail(args, "--clip-last: --clip is 0, so that nothing is clipped\nLeave one of them out.");
    if (s == GR_OK && gr_args_given(args, "min-lr") && f->min_lr > f->lr)
        s = gr_args_fail(args, "--min-lr: %g is more than --lr, %g\nGive a smaller one, or a larger --lr.", f->min_lr,
                         f->lr);
    return s == GR_OK ? check_evaluation(args) : s;
}

/* ---- flags and the model ------------------------------------------------------------------------------------ */

static gr_status check_size(gr_args *args, const char *name, int64_t given, int64_t is)
{
    if (!gr_args_given(args, name) || given == is)
        return GR_OK;
    return gr_args_fail(args, "--%s: %lld, but the model has %lld\nLeave it out.", name, (long long)given,
                        (long long)is);
}

/* Sizes that --init, --config or the architecture decide may be repeated, not changed. */
static gr_status check_shape(gr_args *args, const gr_model_info *is)
{
    const gr_train_flags *f = args->options;
    gr_status s = check_size(args, "layers", f->layers, is->layers);
    if (gr_args_given(args, "arch") && strcmp(f->arch, is->arch) != 0)
        return gr_args_fail(args, "--arch: %.40s, but the model is %s\nLeave it out.", f->arch, is->arch);
    if (s == GR_OK)
        s = check_size(args, "heads", f->heads, is->heads);
    if (s == GR_OK)
        s = check_size(args, "kv-heads", f->kv_heads, is->kv_heads);
    if (s == GR_OK)
        s = check_size(args, "embed", f->embed, is->embed);
    return s == GR_OK ? check_size(args, "ffn", f->ffn, is->ffn) : s;
}

gr_status gr_check_train_model(gr_args *args, const gr_model *model)
{
    gr_train_flags *f = args->options;
    const gr_model_info *is = gr_model_describe(model);
    gr_status s = !f->resume ? check_shape(args, is) : GR_OK;
    if (s != GR_OK || f->context <= is->context)
        return s;
    if (gr_args_given(args, "context"))
        return gr_args_fail(args, "--context: %lld, the model's is %lld\nGive a smaller one.", (long long)f->context,
                            (long long)is->context);
    f->context = is->context;
    return GR_OK;
}

gr_status gr_blame_shape(gr_args *args, gr_status status)
{
    static const char *const keys[][2] = {{"num_key_value_heads", "kv-heads"},
                                          {"num_attention_heads", "heads"},
                                          {"n_head", "heads"},
                                          {"hidden_size", "embed"},
                                          {"n_embd", "embed"},
                                          {"intermediate_size", "ffn"},
                                          {"n_inner", "ffn"},
                                          {"num_hidden_layers", "layers"},
                                          {"n_layer", "layers"},
                                          {"head_dim", "embed"},
                                          {"max_position_embeddings", "context"},
                                          {"n_positions", "context"},
                                          {"vocab_size", "tokenizer"},
                                          {"architecture", "arch"}};
    const char *flag = NULL;
    for (size_t i = 0; !flag && i < sizeof keys / sizeof *keys; i++)
        if (strstr(gr_error(), keys[i][0]))
            flag = keys[i][1];
    if (status == GR_ERR_MEMORY || !flag)
        return gr_args_blame(args, status);
    const char *key = strstr(gr_error(), "key \""), *why = key ? strstr(key, "\": ") : NULL;
    why = why ? why + 3 : gr_error(); /* nobody has given a config.json */
    return gr_args_fail(args, "--%s: %.900s%s", flag, why, strchr(why, '\n') ? "" : "\nGive other sizes.");
}

/* ---- flags and the data ------------------------------------------------------------------------------------- */

gr_status gr_check_train_data(gr_args *args, const gr_data *data)
{
    gr_train_flags *f = args->options;
    const gr_data_info *i = gr_data_describe(data);
    int64_t n = i->tokens;
    if (i->documents > 0 || n > f->context)
        return GR_OK; /* documents that are short are padded */
    if (!gr_kind_of(args)->follows_data || gr_args_given(args, "context"))
        return gr_args_fail(
            args,
            "--context: a row of %lld tokens needs %lld, and the data has %lld\nGive more text, or a smaller "
            "--context.",
            (long long)f->context, (long long)f->context + 1, (long long)n);
    f->context = n - 1;
    gr_note("the data has %lld tokens, so that rows are of %lld", (long long)n, (long long)f->context);
    return GR_OK;
}

/* Tokens are counted in 64 bits: of a step, and of all steps. */
static gr_status check_tokens(gr_args *args, const gr_train_options *t)
{
    const int64_t of_step = (int64_t)1 << 40, of_all = (int64_t)1 << 56;
    bool fits = t->batch <= of_step / t->context && t->accumulate <= of_step / (t->batch * t->context);
    if (!fits)
        return gr_args_fail(args,
                            "--batch: %lld x %lld x %lld (accumulate, batch, context) are too many tokens for a step\n"
                            "Give smaller ones.",
                            (long long)t->accumulate, (long long)t->batch, (long long)t->context);
    if (t->steps > of_all / (t->accumulate * t->batch * t->context))
        return gr_args_fail(args, "--%s: these are more steps than can be counted\nGive a smaller number.",
                            gr_args_given(args, "epochs") ? "epochs" : "steps");
    return GR_OK;
}

gr_status gr_set_loss_scale(gr_args *args, gr_train_options *t)
{
    static const gr_flag number = {.kind = GR_KIND_FLOAT, .max = 1 << 24, .positive = true};
    const char *given = ((const gr_train_flags *)args->options)->loss_scale;
    if (given && t->precision != GR_PRECISION_FP16)
        return gr_args_fail(args, "--loss-scale: only --precision fp16 scales its loss\nLeave it out.");
    if (!given || strcmp(given, "dynamic") == 0)
        return GR_OK;
    if (gr_value_parse(&number, given, &t->loss_scale) != GR_OK)
        return gr_args_fail(args,
                            "--loss-scale %.40s: expected dynamic, or a number above 0 and up to 16777216\nA power of "
                            "2 changes no bit of a gradient.",
                            given);
    return GR_OK;
}

gr_status gr_set_head_rows(gr_args *args, gr_train_options *t)
{
    static const gr_flag number = {.kind = GR_KIND_INT, .min = 1, .max = INT32_MAX};
    const char *given = ((const gr_train_flags *)args->options)->head_rows;
    t->head_rows = given && strcmp(given, "auto") == 0 ? GR_AUTO : 0;
    if (given && t->head_rows == 0 && gr_value_parse(&number, given, &t->head_rows) != GR_OK)
        return gr_args_fail(
            args,
            "--head-rows %.40s: expected auto, or a number of tokens\nWith auto, and multiples of 384, no "
            "bit of a gradient is another.",
            given);
    return GR_OK;
}

gr_status gr_check_passes(gr_args *args, gr_device *device)
{
    gr_compile_options o = GR_INIT(gr_compile_options);
    o.passes = ((const gr_train_flags *)args->options)->passes;
    if (!o.passes)
        return GR_OK;
    gr_graph *g = gr_graph_new();
    gr_tensor *x = gr_fill(g, GR_F32, 0, NULL, 0);
    gr_program *p = gr_compile(g, &x, 1, device, &o);
    gr_status s = p ? GR_OK : gr_error_status();
    gr_program_free(p);
    gr_graph_free(g);
    return s == GR_ERR_ARGUMENT ? gr_args_fail(args, "--passes: %.900s", gr_error()) : s;
}

gr_status gr_check_train_options(gr_args *args, const gr_train_options *t)
{
    const gr_train_flags *f = args->options;
    gr_status s = check_tokens(args, t);
    if (s == GR_OK && !f->resume && t->warmup > t->steps)
        gr_warn(
            "--warmup: %lld steps are more than the run has, %lld: the learning rate ends at %.3g and does not reach "
            "--lr, %g",
            (long long)t->warmup, (long long)t->steps, t->lr * (double)t->steps / (double)t->warmup, t->lr);
    return s;
}
