/* One training step as a program: forward, loss, gradients, norm, clipping and the optimizer in one graph; with
 * accumulation in two, one for a micro-batch and one for the update. */
#include "train/trainer.h"

#include "backend/backend.h"
#include "base/mem.h"
#include "base/sized.h"
#include "base/philox.h"
#include "program/program.h"
#include "program/store.h"
#include "graph/graph.h"
#include "model/adapter/adapter.h"
#include "train/optimizer.h"
#include "train/scaling.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { IGNORED = -100 };
#define LAST_NORM "last_grad_norm" /* a tensor of the state */

/* ---- what there is to train --------------------------------------------------------------------------------- */

static gr_status declare_state(gr_trainer *t)
{
    gr_status s = GR_OK;
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; s == GR_OK && i < t->n_params; i++) {
        s = gr_store_entry(t->trained, i, &e);
        if (s == GR_OK && e.dtype != (t->options.bf16_weights ? GR_BF16 : GR_F32))
            s = gr_fail(GR_ERR_ARGUMENT, "training: \"%s\" is %s, what is trained must be %s\nload the model widened",
                        e.name, gr_dtype_name(e.dtype), t->options.bf16_weights ? "bf16 here" : "f32");
        if (s == GR_OK)
            s = gr_optimizer_declare(&t->options, t->state, &e);
    }
    if (s == GR_OK && t->options.clip_last)
        s = gr_store_add(t->state, LAST_NORM, GR_MOMENT, GR_F32, 0, NULL);
    return s == GR_OK ? gr_scaling_declare(t) : s;
}

static gr_status declare_gradients(gr_trainer *t)
{
    gr_status s = GR_OK;
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; s == GR_OK && i < t->n_params; i++) {
        s = gr_store_entry(t->trained, i, &e);
        if (s == GR_OK)
            s = gr_store_add(t->gradients, e.name, GR_GRADIENT, GR_F32, e.ndim, e.shape);
    }
    return s;
}

/* The weights as nodes of g. */
static void weight_nodes(gr_trainer *t, gr_graph *g, gr_store *store, gr_tensor **out)
{
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; i < t->n_params; i++)
        out[i] = gr_store_entry(t->trained, i, &e) == GR_OK ? gr_param(g, store, e.name) : NULL;
}

/* ---- the graphs --------------------------------------------------------------------------------------------- */

static gr_tensor *scalar(gr_graph *g, const char *name, gr_dtype dtype)
{
    return gr_input(g, name, dtype, 0, NULL);
}

/* Inputs: tokens, targets, scale; with segments these and positions; a seed where something drops out. The
 * loss: sum over rows times scale. */
static gr_tensor *loss_graph(gr_trainer *t, gr_graph *g, bool drops)
{
    int64_t shape[] = {t->options.batch, t->options.context};
    gr_forward f = {
        .size = sizeof f, .tokens = gr_input(g, "tokens", GR_I32, 2, shape), .dropout = drops ? t->options.dropout : 0};
    gr_tensor *targets = gr_input(g, "targets", GR_I32, 2, shape);
    gr_tensor *scale = scalar(g, "scale", GR_F32);
    if (t->options.segments) {
        f.segment = gr_input(g, "segments", GR_I64, 2, shape);
        f.positions = gr_input(g, "positions", GR_I64, 2, shape);
    }
    if (drops)
        f.seed = scalar(g, "seed", GR_I64);
    gr_tensor *rows = gr_name(gr_cross_entropy_rows(gr_model_forward(t->model, &f), targets, IGNORED), "loss_rows");
    return gr_name(gr_mul(gr_sum(rows, 0, false), scale), "loss");
}

/* Can each weight be moved as soon as its gradient is there? Not where something about all of them is asked first; and what
 * is added up in a store is there to stay. */
static bool is_early(const gr_trainer *t)
{
    const gr_train_options *o = &t->options;
    return (o->clip == 0 || o->clip_last) && o->accumulate == 1 && !gr_scaling_is_on(t);
}

/* 1, or NaN unless x is finite: as a factor that skips a step. */
static gr_tensor *unless_bad(gr_tensor *x)
{
    return gr_clip_factor(x, INFINITY);
}

/* With --clip-last the factor is that of the norm before, which is kept. */
static gr_tensor *clip_factor(gr_trainer *t, gr_graph *g, gr_tensor *norm)
{
    const gr_train_options *o = &t->options;
    if (!o->clip_last)
        return gr_clip_factor(norm, o->clip > 0 ? (float)o->clip : INFINITY);
    gr_tensor *last = gr_param(g, t->state, LAST_NORM), *factor = gr_clip_factor(last, (float)o->clip);
    gr_assign(last, gr_select(gr_is_finite(norm), norm, last));
    return factor;
}

/* The update of all weights by their gradients. Inputs: lr, and step where the loss is not scaled. Outputs: the gradients'
 * norm; with a scale that, and what becomes of it. Returns how many outputs there are. */
static int update_graph(gr_trainer *t, gr_graph *g, gr_tensor *loss, gr_tensor *const *params, gr_tensor **grads,
                        gr_tensor **out)
{
    const gr_train_options *o = &t->options;
    bool is_scaled = gr_scaling_is_on(t), early = is_early(t);
    gr_tensor *scale = gr_scaling_scale(t, g), *lr = scalar(g, "lr", GR_F32);
    gr_tensor *step = is_scaled ? gr_scaling_step(t, g) : scalar(g, "step", GR_I64);
    gr_tensor **norms = gr_graph_alloc(g, (size_t)t->n_params * sizeof(gr_tensor *));
    for (int i = 0; norms && i < t->n_params; i++)
        norms[i] = early ? gr_global_norm(&grads[i], 1) : grads[i];
    gr_tensor *norm = norms ? gr_global_norm(norms, t->n_params) : gr_graph_fail(g);
    out[0] = norm = gr_name(is_scaled ? gr_div(norm, scale) : norm, "grad_norm");
    gr_tensor *factor = clip_factor(t, g, norm);
    if (early)
        factor = o->clip_last ? gr_mul(factor, unless_bad(loss)) : unless_bad(loss);
    else if (o->clip_last)
        factor = gr_mul(factor, unless_bad(norm));
    gr_update u = {.options = o, .state = t->state, .lr = lr, .step = step};
    u.factor = is_scaled ? gr_div(factor, scale) : factor;
    for (int i = 0; norm && i < t->n_params; i++) {
        if (early)
            u.factor = gr_mul(factor, unless_bad(norms[i]));
        gr_optimizer_update(&u, i, params[i], grads[i]);
    }
    if (!is_scaled)
        return 1;
    out[1] = scale;
    out[2] = gr_scaling_update(t, g, norm);
    return 3;
}

/* Pieces of a sum over rows that have the same bits as the sum. */
static int64_t head_rows(const gr_trainer *t)
{
    const gr_device *d = gr_model_describe(t->model)->device;
    return t->options.head_rows == GR_AUTO ? d->sum_rows : t->options.head_rows;
}

static gr_program *compile(gr_trainer *t, gr_graph *g, gr_tensor *const *outputs, int n)
{
    gr_status s = gr_graph_check(g);
    gr_compile_options o = GR_INIT(gr_compile_options);
    o.precision = t->options.precision;
    o.recompute = t->options.recompute;
    o.recompute_blocks = t->options.recompute_blocks;
    o.head_rows = head_rows(t);
    o.passes = t->options.passes;
    gr_program *p = s == GR_OK ? gr_compile(g, outputs, n, gr_model_describe(t->model)->device, &o) : NULL;
    gr_graph_free(g);
    return p;
}

/* Everything of a step in one program. */
static gr_status build_whole(gr_trainer *t, gr_tensor **params, gr_tensor **grads)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *out[4] = {g ? loss_graph(t, g, t->drops) : NULL};
    int n = 1;
    if (out[0]) {
        weight_nodes(t, g, t->trained, params);
        if (gr_grad(gr_scaling_of(t, g, out[0]), params, grads, t->n_params) == GR_OK)
            n += update_graph(t, g, out[0], params, grads, out + 1);
    }
    t->step = compile(t, g, out, n);
    return t->step ? GR_OK : gr_error_status();
}

/* A micro-batch adds its gradients to those in the store; the update uses and clears them. */
static gr_status build_accumulating(gr_trainer *t, gr_tensor **params, gr_tensor **grads)
{
    gr_status s = declare_gradients(t);
    gr_graph *g = s == GR_OK ? gr_graph_new() : NULL;
    gr_tensor *loss = g ? loss_graph(t, g, t->drops) : NULL, *out[3] = {NULL};
    if (loss) {
        weight_nodes(t, g, t->trained, params);
        if (gr_grad(gr_scaling_of(t, g, loss), params, grads, t->n_params) == GR_OK)
            for (int i = 0; i < t->n_params; i++)
                gr_assign_add(gr_param(g, t->gradients, params[i]->name), gr_cast(grads[i], GR_F32));
    }
    t->step = compile(t, g, &loss, 1);
    g = t->step ? gr_graph_new() : NULL;
    if (!g)
        return gr_error_status();
    weight_nodes(t, g, t->trained, params);
    weight_nodes(t, g, t->gradients, grads);
    int n = update_graph(t, g, NULL, params, grads, out);
    for (int i = 0; out[0] && i < t->n_params; i++)
        gr_assign(grads[i], gr_fill(g, grads[i]->spec.dtype, grads[i]->spec.ndim, grads[i]->spec.shape, 0));
    t->update = compile(t, g, out, n);
    return t->update ? GR_OK : gr_error_status();
}

static gr_status build_eval(gr_trainer *t)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *loss = g ? loss_graph(t, g, false) : NULL;
    t->eval = compile(t, g, &loss, 1);
    return t->eval ? GR_OK : gr_error_status();
}

/* ---- a trainer ---------------------------------------------------------------------------------------------- */

/* What has no step that rounds at random, and what fp16 would do with numbers that it cannot hold. */
static gr_status check_bf16_weights(const gr_model *m, const gr_train_options *o)
{
    if (gr_model_describe(m)->adapter_config)
        return gr_fail(GR_ERR_ARGUMENT, "training: bf16_weights are a model's own, an adapter is trained in f32\n"
                                        "leave them out");
    if (o->optimizer != GR_ADAMW && o->optimizer != GR_ADAMW8BIT)
        return gr_fail(GR_ERR_ARGUMENT,
                       "training: bf16_weights are moved by adamw and adamw8bit, %s needs f32\nleave them out",
                       gr_optimizer_name(o->optimizer));
    if (o->precision == GR_PRECISION_FP16)
        return gr_fail(GR_ERR_ARGUMENT, "training: bf16_weights go with f32 and bf16, fp16 cannot hold all of their "
                                        "values\ngive another precision");
    return gr_scaling_check_options(o);
}

static gr_status check_options(const gr_model *m, const gr_train_options *o)
{
    const gr_model_info *info = gr_model_describe(m);
    if (o->batch < 1 || o->context < 1 || o->accumulate < 1 || o->steps < 1)
        return gr_fail(GR_ERR_ARGUMENT, "training: batch, context, accumulate and steps must be at least 1");
    if (o->context > info->context)
        return gr_fail(GR_ERR_ARGUMENT, "training: a context of %lld is more than the model's %lld\ngive a smaller one",
                       (long long)o->context, (long long)info->context);
    if (!gr_optimizer_name(o->optimizer))
        return gr_fail(GR_ERR_ARGUMENT, "training: there is no optimizer number %d", (int)o->optimizer);
    bool sane = o->lr >= 0 && o->min_lr >= 0 && o->eps > 0 && o->weight_decay >= 0 && o->clip >= 0;
    sane = sane && o->muon_lr >= 0 && o->muon_momentum >= 0 && o->muon_momentum < 1;
    bool betas = o->beta1 >= 0 && o->beta1 < 1 && o->beta2 >= 0 && o->beta2 < 1 && o->dropout >= 0 && o->dropout < 1;
    if (!sane || !betas)
        return gr_fail(GR_ERR_ARGUMENT, "training: lr, min_lr, muon_lr, weight_decay and clip must not be negative, "
                                        "eps must be positive, betas, muon_momentum and dropout in [0, 1)");
    if (o->bf16_moments && o->optimizer != GR_ADAMW)
        return gr_fail(GR_ERR_ARGUMENT, "training: bf16_moments are adamw's, %s has none\nleave them out",
                       gr_optimizer_name(o->optimizer));
    if (o->optimizer == GR_MUON && o->muon_lr > 0 && o->lr == 0)
        return gr_fail(GR_ERR_ARGUMENT, "training: muon_lr falls as lr does, and lr is 0\ngive lr, or leave it out");
    if (o->clip_last && o->clip == 0)
        return gr_fail(GR_ERR_ARGUMENT, "training: clip_last is about clip, which is 0\nleave it out");
    if (o->head_rows < GR_AUTO || o->recompute_blocks < 0)
        return gr_fail(GR_ERR_ARGUMENT, "training: head_rows and recompute_blocks must not be negative");
    return o->bf16_weights ? check_bf16_weights(m, o) : gr_scaling_check_options(o);
}

/* Programs share one arena, which is as large as the largest needs. */
static void share_arena(gr_plan *p, const gr_program *other)
{
    const gr_plan *o = gr_program_plan(other);
    if (o->arena <= p->arena)
        return;
    p->peak_activations = o->peak_activations;
    p->peak_gradients = o->peak_gradients;
    p->peak_scratch = o->peak_scratch;
    p->arena = o->arena;
}

static void make_plan(gr_trainer *t)
{
    gr_plan *p = &t->plan;
    *p = *gr_program_plan(t->step);
    share_arena(p, t->eval);
    if (t->update)
        share_arena(p, t->update);
    const gr_plan *u = t->update ? gr_program_plan(t->update) : p;
    p->optimizer = u->optimizer;
    p->total =
        p->weights + p->gradients + p->optimizer + p->cache + p->peak_activations + p->peak_gradients + p->peak_scratch;
    if (!t->update)
        return;
    p->flops = p->flops * (double)t->options.accumulate + u->flops;
    p->moved = p->moved * (double)t->options.accumulate + u->moved;
    p->calls = p->calls * t->options.accumulate + u->calls;
}

static gr_status build(gr_trainer *t)
{
    gr_status s = check_options(t->model, &t->options);
    if (s == GR_OK && t->options.bf16_weights)
        s = gr_store_round(t->trained);
    if (s == GR_OK)
        s = gr_adapter_check_training(t->model);
    if (s == GR_OK)
        s = declare_state(t);
    gr_tensor **nodes = s == GR_OK ? gr_alloc_zero(2 * (size_t)t->n_params, sizeof *nodes) : NULL;
    if (!nodes)
        return gr_error_status();
    if (t->options.accumulate > 1)
        s = build_accumulating(t, nodes, nodes + t->n_params);
    else
        s = build_whole(t, nodes, nodes + t->n_params);
    gr_free(nodes);
    if (s == GR_OK)
        s = build_eval(t);
    if (s == GR_OK)
        make_plan(t);
    return s;
}

gr_trainer *gr_trainer_new(gr_model *model, const gr_train_options *options)
{
    gr_train_options o;
    if (gr_lacks(model, "gr_trainer_new: model") || gr_train_take(&o, options, "gr_trainer_new: options") != GR_OK)
        return NULL;
    gr_trainer *t = gr_alloc_zero(1, sizeof *t);
    if (!t)
        return NULL;
    t->model = model;
    t->options = o;
    t->trained = gr_model_trainable(model);
    t->n_params = gr_store_count(t->trained);
    t->drops = o.dropout > 0 || gr_adapter_dropout(model) > 0;
    t->state = gr_store_new(gr_model_describe(model)->device);
    t->gradients = gr_store_new(gr_model_describe(model)->device);
    size_t rows = o.batch > 0 && o.context > 0 ? (size_t)(o.batch * o.context) : 0;
    t->eval_tokens = gr_alloc(2 * rows * sizeof *t->eval_tokens);
    t->positions = o.segments ? gr_alloc_zero(2 * rows, sizeof *t->positions) : NULL;
    bool room = t->eval_tokens && (t->positions || !o.segments);
    if (t->state && t->gradients && room && build(t) == GR_OK)
        return t;
    gr_trainer_free(t);
    return NULL;
}

void gr_trainer_free(gr_trainer *t)
{
    if (!t)
        return;
    gr_program_free(t->step);
    gr_program_free(t->update);
    gr_program_free(t->eval);
    gr_store_free(t->state);
    gr_store_free(t->gradients);
    gr_free(t->eval_tokens);
    gr_free(t->positions);
    gr_free(t);
}

gr_store *gr_trainer_store(gr_trainer *t)
{
    if (gr_lacks(t, "gr_trainer_store: trainer"))
        return NULL;
    return t->state;
}

int64_t gr_trainer_steps(const gr_trainer *t)
{
    if (gr_lacks(t, "gr_trainer_steps: trainer"))
        return -1;
    return t->done;
}

void gr_trainer_set_steps(gr_trainer *t, int64_t steps)
{
    if (gr_lacks(t, "gr_trainer_set_steps: trainer"))
        return;
    t->done = steps;
}

const gr_plan *gr_trainer_plan(const gr_trainer *t)
{
    return gr_lacks(t, "gr_trainer_plan: trainer") ? NULL : &t->plan;
}

/* ---- stepping ----------------------------------------------------------------------------------------------- */

/* Within a row segments may only rise: tokens of one stand together, and so have positions. */
static gr_status check_segments(const gr_trainer *t, const int64_t *segments, int64_t rows)
{
    int64_t context = t->options.context;
    if (!segments)
        return GR_OK;
    if (!t->options.segments)
        return gr_fail(GR_ERR_ARGUMENT, "training: the batch has segments, the trainer was made without\n"
                                        "set gr_train_options.segments");
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = i * context + 1; k < (i + 1) * context; k++)
            if (segments[k] < segments[k - 1])
                return gr_fail(GR_ERR_ARGUMENT, "training: segment %lld follows %lld in row %lld, they may only rise",
                               (long long)segments[k], (long long)segments[k - 1], (long long)i);
    return GR_OK;
}

/* Ids are checked before anything runs: a micro-batch that fails must not leave the gradients of those before it. */
static gr_status check_batch(const gr_trainer *t, const gr_batch *b, int64_t rows, int64_t *count)
{
    int64_t n = rows * t->options.context, vocab = gr_model_describe(t->model)->vocab;
    *count = 0;
    if (gr_lacks(b->tokens, "training: batch.tokens") || gr_lacks(b->targets, "training: batch.targets"))
        return GR_ERR_ARGUMENT;
    for (int64_t i = 0; i < n; i++) {
        bool ignored = b->targets[i] == IGNORED, bad = b->tokens[i] < 0 || b->tokens[i] >= vocab;
        *count += !ignored;
        if (bad || (!ignored && (b->targets[i] < 0 || b->targets[i] >= vocab)))
            return gr_fail(GR_ERR_ARGUMENT, "training: %s %lld, the vocabulary has %lld tokens",
                           bad ? "token id" : "target", (long long)(bad ? b->tokens[i] : b->targets[i]),
                           (long long)vocab);
    }
    return check_segments(t, b->segments, rows);
}

/* The first inputs of every program with a loss: micro-batch `a` of the batch. Returns how many. */
static int set_batch(gr_trainer *t, const gr_batch *b, int64_t a, const float *scale, const void **in)
{
    int64_t n = t->options.batch * t->options.context, context = t->options.context;
    const int64_t *segments = b->segments ? b->segments + a * n : t->positions + n; /* zeroes: one a row */
    in[0] = b->tokens + a * n;
    in[1] = b->targets + a * n;
    in[2] = scale;
    if (!t->options.segments)
        return 3;
    for (int64_t i = 0; i < n; i++)
        t->positions[i] = i % context && segments[i] == segments[i - 1] ? t->positions[i - 1] + 1 : 0;
    in[3] = segments;
    in[4] = t->positions;
    return 5;
}

/* A dropout seed for every micro-batch that was ever run. */
static int64_t dropout_seed(const gr_trainer *t, int64_t micro)
{
    uint64_t index = (uint64_t)(t->done * t->options.accumulate + micro);
    gr_philox_block b = gr_philox(t->options.seed, 0x64726f70 /* "drop" */, index);
    return (int64_t)(((uint64_t)b.v[0] << 31) ^ b.v[1]);
}

typedef struct stepping { /* a step under way */
    const gr_batch *batch;
    int64_t step, seed;
    float scale, lr, loss;
    float norm, loss_scale, next_scale; /* what an update gives; scales only where the loss has one */
    double total;                       /* loss */
    const char *bad;                    /* the first tensor that is not finite */
    void (*meanwhile)(void *user);
    void *user;
} stepping;

/* Runs p; the first time there is time for something else. */
static gr_status run_while(stepping *s, gr_program *p, const void *const *in, void *const *out)
{
    gr_status st = gr_program_start(p, in);
    if (st == GR_OK && s->meanwhile)
        s->meanwhile(s->user);
    s->meanwhile = NULL;
    return st == GR_OK ? gr_program_finish(p, out) : st;
}

/* The inputs of t->step for micro-batch `a`. */
static void set_inputs(gr_trainer *t, stepping *s, int64_t a, const void **in)
{
    int n = set_batch(t, s->batch, a, &s->scale, in);
    s->seed = dropout_seed(t, a);
    if (t->drops)
        in[n++] = &s->seed;
    if (!t->update) {
        in[n++] = &s->lr;
        in[n++] = &s->step; /* passed over where it is counted on the device */
    }
}

static gr_status micro_batch(gr_trainer *t, stepping *s, int64_t a)
{
    const void *in[8];
    set_inputs(t, s, a, in);
    gr_status st = run_while(s, t->step, in, (void *[]){&s->loss, &s->norm, &s->loss_scale, &s->next_scale});
    s->total += st == GR_OK ? (double)s->loss : 0;
    return st;
}

/* The first tensor that was not finite in a step that was skipped; with the scale that it had. */
static gr_status find_bad(gr_trainer *t, stepping *s)
{
    const void *in[8];
    gr_status st = gr_scaling_is_on(t) ? gr_scaling_write(t, s->loss_scale) : GR_OK;
    for (int64_t a = 0; st == GR_OK && !s->bad && a < t->options.accumulate; a++) {
        set_inputs(t, s, a, in);
        st = gr_program_find_nonfinite(t->step, in, &s->bad);
    }
    return st == GR_OK && gr_scaling_is_on(t) ? gr_scaling_write(t, s->next_scale) : st;
}

static gr_status check_step(gr_trainer *t, const gr_batch *batch, int64_t *count)
{
    gr_status s = check_batch(t, batch, t->options.accumulate * t->options.batch, count);
    if (s == GR_OK && *count == 0)
        s = gr_fail(GR_ERR_ARGUMENT, "training: every target of the batch is ignored, there is nothing to train on\n"
                                     "give a batch in which at least one token is learned");
    if (s == GR_OK)
        s = gr_scaling_begin(t);
    /* Nothing moves afterwards, and a micro-batch that is done can be used. */
    return s == GR_OK ? gr_programs_reserve((gr_program *[]){t->step, t->update, t->eval}, 3) : s;
}

gr_status gr_trainer_step_while(gr_trainer *t, const gr_batch *batch, gr_step_report *report,
                                void (*meanwhile)(void *user), void *user)
{
    const gr_train_options *o = &t->options;
    int64_t count;
    gr_status st = check_step(t, batch, &count);
    stepping s = {.batch = batch, .step = t->done + 1, .meanwhile = meanwhile, .user = user};
    s.scale = st == GR_OK ? 1 / (float)count : 0;
    s.lr = (float)gr_learning_rate(o, t->done);
    for (int64_t a = 0; st == GR_OK && a < o->accumulate; a++)
        st = micro_batch(t, &s, a);
    if (st == GR_OK && t->update)
        st = gr_program_run(t->update, (const void *[]){&s.lr, &s.step},
                            (void *[]){&s.norm, &s.loss_scale, &s.next_scale});
    if (st == GR_OK && !(isfinite(s.total) && isfinite(s.norm)))
        st = find_bad(t, &s);
    if (st != GR_OK)
        return st;
    t->done = s.step;
    t->scale = s.next_scale;
    *report = (gr_step_report){
        .step = s.step, .loss = s.total, .lr = gr_learning_rate(o, s.step - 1), .grad_norm = (double)s.norm};
    report->loss_scale = (double)s.loss_scale;
    report->skipped = !isfinite(s.norm) || (is_early(t) && !isfinite(s.total));
    report->bad = report->skipped && !s.bad ? "grad_norm" : s.bad;
    return GR_OK;
}

gr_status gr_trainer_step(gr_trainer *t, const gr_batch *batch, gr_step_report *report)
{
    gr_step_report r = {0};
    if (gr_lacks(t, "gr_trainer_step: trainer") || gr_lacks(batch, "gr_trainer_step: batch"))
        return GR_ERR_ARGUMENT;
    gr_status s = gr_give_sized(report, &r, sizeof r, "gr_trainer_step: report"); /* fails before anything moves */
    if (s == GR_OK)
        s = gr_trainer_step_while(t, batch, &r, NULL, NULL);
    return s == GR_OK ? gr_give_sized(report, &r, sizeof r, "gr_trainer_step: report") : s;
}

/* ---- evaluating --------------------------------------------------------------------------------------------- */

/* Windows [at, at + context), as many as fit a batch; the rest of the batch is ignored. */
static void fill_windows(gr_trainer *t, const gr_token *ids, int64_t n, int64_t *at)
{
    int64_t rows = t->options.batch * t->options.context;
    gr_token *tokens = t->eval_tokens, *targets = t->eval_tokens + rows;
    for (int64_t i = 0; i < rows; i++) {
        bool there = *at + 1 < n;
        tokens[i] = there ? ids[*at] : 0;
        targets[i] = there ? ids[*at + 1] : IGNORED;
        *at += there;
    }
}

gr_status gr_trainer_eval_batch(gr_trainer *t, const gr_batch *batch, double *sum, int64_t *count)
{
    if (gr_lacks(t, "gr_trainer_eval_batch: trainer") || gr_lacks(batch, "gr_trainer_eval_batch: batch") ||
        gr_lacks(sum, "gr_trainer_eval_batch: sum") || gr_lacks(count, "gr_trainer_eval_batch: count"))
        return GR_ERR_ARGUMENT;
    float one = 1, loss;
    const void *in[8];
    gr_status s = check_batch(t, batch, t->options.batch, count);
    if (s != GR_OK)
        return s;
    set_batch(t, batch, 0, &one, in);
    s = gr_program_run(t->eval, in, (void *[]){&loss});
    *sum = (double)loss;
    return s;
}

gr_status gr_trainer_eval(gr_trainer *t, const gr_token *tokens, int64_t n, bool (*going)(void *user), void *user,
                          double *loss)
{
    if (n < 2)
        return gr_fail(GR_ERR_ARGUMENT, "evaluation: needs at least 2 tokens, there are %lld\ngive more text",
                       (long long)n);
    gr_batch batch = {.tokens = t->eval_tokens, .targets = t->eval_tokens + t->options.batch * t->options.context};
    int64_t at = 0, count;
    double total = 0, sum;
    while (at + 1 < n) {
        if (at > 0 && going && !going(user))
            return gr_fail(GR_ERR_INTERRUPTED, "evaluation: stopped");
        fill_windows(t, tokens, n, &at);
        gr_status s = gr_trainer_eval_batch(t, &batch, &sum, &count);
        if (s != GR_OK)
            return s;
        total += sum;
    }
    *loss = total / (double)(n - 1);
    return GR_OK;
}
