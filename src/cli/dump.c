/* gradus dump: the numbers of one forward and backward pass, to compare with another implementation. */
#include <stdio.h>
#include <string.h>
#include "base/dtype.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/number.h"
#include "cli/human.h"
#include "cli/open.h"
#include "cli/output.h"
#include "cli/term.h"
#include "cli/verbs.h"

typedef struct options {
    gr_id_rows ids;
    unsigned what;
    int activations;
    const char *out;
} options;

enum { LOGITS = 1, LOSS = 2, GRADS = 4, ACTIVATIONS = 8 };
enum { IGNORED = -100 };

static const gr_flag flags[] = {
    {"ids", GR_IDS(options, ids), .value = "IDS", .help = "token ids: 1,2,3; rows of equal length are split by ;"},
    {"what", GR_SET(options, what), .value = "logits|loss|grads|activations", .initial = "logits,loss",
     .help = "what to write, split by commas"},
    {"activations", GR_CHOICE(options, activations), .value = "f32|int8", .initial = "f32",
     .help = "how rows of these meet quantized weights: as they are; or rounded to 8 bits, as generate has it"},
    {"out", GR_TEXT(options, out), .value = "FILE",
     .help = "the .safetensors file to write; only one of an earlier dump is replaced"},
    {0},
};

typedef struct dump {
    const options *f;
    gr_opened on;
    gr_graph *graph;
    gr_program *program;
    gr_tensor **tensors; /* [n] what is written; the loss may be among them */
    gr_array *files;     /* [n] */
    void **data;         /* [n] */
    int n;
    size_t tensors_cap, files_cap, data_cap;
    gr_tensor **forward; /* [n_forward] the nodes of the forward pass */
    size_t n_forward, forward_cap;
} dump;

/* ---- what is written ---------------------------------------------------------------------------------------- */

static gr_status add(dump *d, gr_tensor *t, const char *prefix, const char *name)
{
    size_t need = (size_t)d->n + 1;
    gr_status s = gr_grow(&d->tensors, &d->tensors_cap, need, sizeof *d->tensors);
    if (s == GR_OK)
        s = gr_grow(&d->files, &d->files_cap, need, sizeof *d->files);
    if (s == GR_OK)
        s = gr_grow(&d->data, &d->data_cap, need, sizeof *d->data);
    if (s != GR_OK)
        return s;
    gr_array *file = &d->files[d->n];
    *file = (gr_array){.dtype = gr_tensor_spec(t)->dtype, .ndim = gr_tensor_spec(t)->ndim};
    memcpy(file->shape, gr_tensor_spec(t)->shape, (size_t)file->ndim * sizeof *file->shape);
    file->name = gr_strfmt("%s%s", prefix, name);
    file->data = d->data[d->n] = gr_alloc(gr_dtype_size(file->dtype, gr_tensor_count(t)));
    d->tensors[d->n++] = t;
    return file->name && file->data ? GR_OK : GR_ERR_MEMORY;
}

static bool is_written(const dump *d, const char *name)
{
    for (int i = 0; i < d->n; i++)
        if (strncmp(d->files[i].name, "act.", 4) == 0 && strcmp(d->files[i].name + 4, name) == 0)
            return true;
    return false;
}

/* Was it named by the model, and not after its op? */
static bool has_own_name(const gr_tensor *t)
{
    const char *name = gr_tensor_name(t), *dot = strrchr(name, '.');
    return strcmp(dot ? dot + 1 : name, gr_tensor_op(t)->name) != 0;
}

static bool note_forward(void *user, gr_tensor *t)
{
    dump *d = user;
    if (gr_grow(&d->forward, &d->forward_cap, d->n_forward + 1, sizeof *d->forward) != GR_OK)
        return false;
    d->forward[d->n_forward++] = t;
    return true;
}

/* Everything that the forward pass computes, under its name; of several by one name the first. What only looks at
 * another tensor in another shape counts where the model names it, as the result of a linear layer. */
static gr_status add_activations(dump *d)
{
    gr_status s = GR_OK;
    for (size_t i = 0; s == GR_OK && i < d->n_forward; i++) {
        gr_tensor *t = d->forward[i];
        const gr_op *op = gr_tensor_op(t);
        const char *name = gr_tensor_name(t);
        bool is_made = name && *name && !(op->flags & GR_OP_BOUND) && (!op->view || has_own_name(t));
        if (is_made && gr_tensor_spec(t)->dtype == GR_F32 && strcmp(name, "logits") != 0 && strcmp(name, "loss") != 0 &&
            !is_written(d, name))
            s = add(d, t, "act.", name);
    }
    return s;
}

static gr_status add_gradients(dump *d, gr_tensor *loss)
{
    gr_store *store = gr_model_trainable(d->on.model);
    int n = gr_store_count(store);
    gr_tensor **nodes = gr_alloc_zero(2 * (size_t)n, sizeof *nodes);
    if (!nodes)
        return GR_ERR_MEMORY;
    gr_status s = GR_OK;
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; s == GR_OK && i < n; i++) {
        s = gr_store_entry(store, i, &e);
        nodes[i] = s == GR_OK ? gr_param(d->graph, store, e.name) : NULL;
    }
    if (s == GR_OK)
        s = gr_grad(loss, nodes, nodes + n, n);
    for (int i = 0; s == GR_OK && i < n; i++) {
        s = gr_store_entry(store, i, &e);
        if (s == GR_OK)
            s = add(d, nodes[n + i], "grad.", e.name);
    }
    gr_free(nodes);
    return s;
}

/* ---- the pass ----------------------------------------------------------------------------------------------- */

static gr_activations activations_of(const dump *d)
{
    return d->f->activations == 1 ? GR_ACTIVATIONS_INT8 : GR_ACTIVATIONS_F32;
}

static gr_status build(dump *d)
{
    const gr_id_rows *ids = &d->f->ids;
    int64_t shape[] = {(int64_t)ids->rows, (int64_t)(ids->count / ids->rows)};
    d->graph = gr_graph_new();
    if (!d->graph)
        return gr_error_status();
    gr_forward f = {.size = sizeof f, .tokens = gr_input(d->graph, "tokens", GR_I32, 2, shape)};
    gr_tensor *targets = gr_input(d->graph, "targets", GR_I32, 2, shape);
    gr_tensor *logits = gr_model_forward(d->on.model, &f);
    gr_tensor *loss = gr_name(gr_cross_entropy(logits, targets, IGNORED), "loss");
    gr_status s = gr_graph_check(d->graph);
    if (s == GR_OK && gr_graph_walk(d->graph, note_forward, d) != GR_OK)
        s = GR_ERR_MEMORY;
    if (s == GR_OK && d->f->what & LOGITS)
        s = add(d, logits, "", "logits");
    if (s == GR_OK && d->f->what & LOSS)
        s = add(d, loss, "", "loss");
    if (s == GR_OK && d->f->what & GRADS)
        s = add_gradients(d, loss);
    if (s == GR_OK && d->f->what & ACTIVATIONS)
        s = add_activations(d);
    const gr_model_info *info = gr_model_describe(d->on.model);
    const gr_compile_options o = {.size = sizeof o, .activations = info->activations};
    d->program = s == GR_OK ? gr_compile(d->graph, d->tensors, d->n, info->device, &o) : NULL;
    return d->program ? GR_OK : gr_error_status();
}

/* Outputs are taken by their places: two parameters' gradients may be one tensor. */
static gr_status run_into(dump *d, const gr_given *in, int n_in)
{
    gr_wanted *out = gr_alloc_zero((size_t)d->n, sizeof *out);
    gr_status s = out ? GR_OK : GR_ERR_MEMORY;
    for (int i = 0; s == GR_OK && i < d->n; i++) {
        const gr_tensor *t = d->tensors[i];
        size_t size = gr_dtype_size(gr_tensor_spec(t)->dtype, gr_tensor_count(t));
        out[i] = (gr_wanted){gr_strfmt("output %d", i), gr_tensor_spec(t)->dtype, d->data[i], size};
        s = out[i].name ? GR_OK : GR_ERR_MEMORY;
    }
    if (s == GR_OK)
        s = gr_run(d->program, in, n_in, out, d->n);
    for (int i = 0; out && i < d->n; i++)
        gr_free((char *)out[i].name);
    gr_free(out);
    return s;
}

/* Every id predicts the one behind it; the last of a row has none. */
static gr_status compute(dump *d)
{
    const gr_id_rows *ids = &d->f->ids;
    size_t t = ids->count / ids->rows;
    gr_token *targets = gr_alloc(ids->count * sizeof *targets);
    if (!targets)
        return GR_ERR_MEMORY;
    for (size_t i = 0; i < ids->count; i++)
        targets[i] = i % t + 1 < t ? ids->ids[i + 1] : IGNORED;
    size_t bytes = ids->count * sizeof *targets;
    const gr_given in[] = {{"tokens", GR_I32, ids->ids, bytes}, {"targets", GR_I32, targets, bytes}};
    gr_status s = run_into(d, in, 2);
    gr_free(targets);
    return s;
}

static const char mark[] = "gr_dump";

/* The mark stands in the metadata, which begin the file. */
static bool is_own(const char *head, size_t size)
{
    for (size_t i = 0; i + sizeof mark - 1 <= size; i++)
        if (memcmp(head + i, mark, sizeof mark - 1) == 0)
            return true;
    return false;
}

static gr_status write_file(dump *d)
{
    gr_status s = gr_arrays_save(d->f->out, d->files, d->n, mark);
    if (s == GR_OK)
        gr_note("%s: %s tensor%s", d->f->out, gr_human_integer(d->n).s, gr_plural(d->n));
    return s;
}

/* ---- the verb ----------------------------------------------------------------------------------------------- */

static gr_status check(gr_args *args, const dump *d)
{
    const gr_id_rows *ids = &d->f->ids;
    const gr_model_info *info = gr_model_describe(d->on.model);
    size_t t = ids->count / ids->rows;
    for (size_t i = 0; i < ids->count; i++)
        if (ids->ids[i] >= info->vocab)
            return gr_args_fail(args, "--ids: token id %lld is not in the vocabulary of %lld\nIds begin with 0.",
                                (long long)ids->ids[i], (long long)info->vocab);
    if (info->limit && t > (size_t)info->limit)
        return gr_args_fail(args, "--ids: rows of %zu ids, the model's context is %lld\nGive shorter rows.", t,
                            (long long)info->limit);
    if (t < 2 && d->f->what & (LOSS | GRADS))
        return gr_args_fail(args, "--ids: one id predicts nothing, so there is no loss\nGive 2 ids or more, or --what "
                                  "logits.");
    return GR_OK;
}

static gr_status work_on(gr_args *args, dump *d)
{
    if (activations_of(d) == GR_ACTIVATIONS_INT8 && d->f->what & GRADS)
        return gr_args_fail(args, "--activations: int8 has no gradients\nLeave out one of them.");
    /* A gradient has its weight's dtype, and what is written is f32. */
    const gr_load_options o = {.size = sizeof o, .widen = d->f->what & GRADS, .activations = activations_of(d)};
    gr_status s = gr_open_model(args, args->positional[0], &o, &d->on);
    const char *const inputs[] = {args->positional[0], d->on.path, d->on.adapter};
    if (s == GR_OK)
        s = gr_check_output_file(args, "out", d->f->out, inputs, 3, is_own);
    if (s == GR_OK)
        s = check(args, d);
    if (s == GR_OK)
        s = build(d);
    if (s == GR_OK)
        s = compute(d);
    return s == GR_OK ? write_file(d) : s;
}

static gr_status run(gr_args *args)
{
    dump d = {.f = args->options};
    gr_status s = work_on(args, &d);
    s = gr_end_profile(args, &d.on, s);
    gr_program_free(d.program);
    gr_graph_free(d.graph);
    for (int i = 0; i < d.n; i++) {
        gr_free((char *)d.files[i].name);
        gr_free(d.data[i]);
    }
    gr_free(d.tensors);
    gr_free(d.forward);
    gr_free(d.files);
    gr_free(d.data);
    gr_close_opened(&d.on);
    return s;
}

const gr_verb gr_verb_dump = {
    .name = "dump",
    .summary = "writes logits, loss, gradients, activations to a file",
    .positional = "MODEL",
    .about =
        "The tensors of the .safetensors file, all f32:\n\n"
        "logits [rows, T, V]; loss [], the mean over rows and positions of predicting the next id;\n\n"
        "grad.NAME, the loss's gradient for the parameter NAME of the model's file, in its shape;\n\n"
        "act.NAME, what the model computes on the way, by where it stands: act.transformer.h.0 is a block's output, "
        "act.transformer.h.0.ln_1 a norm's, act.transformer.h.0.attention the heads' before their projection, "
        "act.transformer.h.0.attn.c_proj behind it. These are what transformers' modules of the same names put out, "
        "and "
        "a block's is what it calls hidden_states. What has no name of its own is called after its op.\n\n"
        "With gradients, weights in f16 and bf16 are widened to f32; they stay what they are otherwise.",
    .flags = flags,
    .needs = {"ids", "out"},
    .common = GR_WITH_ADAPTER | GR_WITH_DEVICE | GR_WITH_PROFILE,
    .examples =
        {{"logits and loss of two rows", "gradus dump model --ids '1,2,3;4,5,6' --out numbers.safetensors"},
         {"everything, from the slow and plain device",
          "gradus dump model --device ref --ids 1,2,3 --what logits,loss,grads,activations --out all.safetensors"}},
    .options_size = sizeof(options),
    .run = run,
};
