/* Perplexity over long text: windows that overlap, each token scored in the first that holds it. */
#include "gradus.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/sized.h"
#include "infer/distance.h"
#include "model/layers/model.h"
#include "program/run.h"

#include <math.h>

enum { FULL_BATCH = 1024 /* tokens of a run that keep a machine busy */ };

typedef struct scoring {
    gr_model *model;
    const gr_evaluate_options *o;
    const gr_token *ids;
    int64_t n, context, stride;
    int64_t batch, length;      /* windows of a run, and their tokens */
    int64_t begin, scored;      /* of the next window; tokens before `scored` have their loss */
    gr_token *tokens, *targets; /* [batch, length] */
    int64_t *lengths;           /* [batch] of each window, without what fills up the last one */
    float *rows; /* [measures, batch, length]: losses, and what else is measured where there is another model */
    int measures;
    gr_program *program;
    gr_distance_sums sums;
    double sum;
} scoring;

static gr_status check(const scoring *s)
{
    int64_t most = gr_model_describe(s->model)->limit, vocab = gr_model_describe(s->model)->vocab;
    if (s->n < 2)
        return gr_fail(GR_ERR_ARGUMENT, "evaluation: needs at least 2 tokens, there are %lld\ngive more text",
                       (long long)s->n);
    if (s->context < 2)
        return gr_fail(GR_ERR_ARGUMENT, "evaluation: a context of %lld\nat least 2 tokens are needed",
                       (long long)s->context);
    if (most && s->context > most)
        return gr_fail(GR_ERR_ARGUMENT,
                       "evaluation: a context of %lld\nthe model has learned positions for %lld tokens",
                       (long long)s->context, (long long)most);
    if (s->stride < 1 || s->stride > s->context)
        return gr_fail(GR_ERR_ARGUMENT, "evaluation: a stride of %lld in windows of %lld would leave tokens out",
                       (long long)s->stride, (long long)s->context);
    int64_t other = s->o->against ? gr_model_describe(s->o->against)->vocab : vocab;
    if (other != vocab)
        return gr_fail(
            GR_ERR_ARGUMENT,
            "evaluation: vocabularies of %lld and %lld tokens\nmodels are compared token by token: both must "
            "have the same",
            (long long)vocab, (long long)other);
    for (int64_t i = 0; i < s->n; i++)
        if (s->ids[i] < 0 || s->ids[i] >= vocab)
            return gr_fail(GR_ERR_ARGUMENT, "evaluation: token id %d, the vocabulary has %lld", (int)s->ids[i],
                           (long long)vocab);
    return GR_OK;
}

static gr_status open(scoring *s)
{
    s->length = s->context < s->n - 1 ? s->context : s->n - 1;
    int64_t windows = (s->n - 2) / s->stride + 1, fit = FULL_BATCH / s->length;
    s->batch = fit < 1 ? 1 : fit < windows ? fit : windows;
    size_t count = (size_t)(s->batch * s->length);
    s->tokens = gr_alloc(count * sizeof *s->tokens);
    s->targets = gr_alloc(count * sizeof *s->targets);
    s->rows = gr_alloc(count * (size_t)s->measures * sizeof *s->rows);
    s->lengths = gr_alloc((size_t)s->batch * sizeof *s->lengths);
    gr_graph *g = s->tokens && s->targets && s->rows && s->lengths ? gr_graph_new() : NULL;
    if (!g)
        return GR_ERR_MEMORY;
    int64_t shape[] = {s->batch, s->length};
    gr_forward f = {.size = sizeof f, .tokens = gr_input(g, "tokens", GR_I32, 2, shape)};
    gr_tensor *targets = gr_input(g, "targets", GR_I32, 2, shape);
    f.length = gr_input(g, "length", GR_I64, 1, &s->batch);
    f.as_kept = true;
    gr_tensor *rows[GR_ROW_MEASURES];
    if (s->o->against)
        gr_distance_rows(s->model, s->o->against, &f, targets, rows);
    else
        rows[0] = gr_cross_entropy_rows(gr_model_forward(s->model, &f), targets, GR_ROW_IGNORED);
    s->program = gr_graph_check(g) == GR_OK && rows[0] ? gr_model_compile(s->model, g, rows, s->measures) : NULL;
    gr_graph_free(g);
    return s->program ? GR_OK : gr_error_status();
}

/* The next window as row r; nothing when all tokens are scored. */
static void lay_out(scoring *s, int64_t r)
{
    /* Without overlap a window's last token predicts the first of the next one, which would have nothing before it. */
    int64_t end = s->begin + s->context + (s->stride == s->context);
    end = end < s->n ? end : s->n;
    /* Positions of some models go by the window's length: with its last token, though that predicts nothing here. */
    s->lengths[r] = end - s->begin < s->context ? end - s->begin : s->context;
    for (int64_t i = 0; i < s->length; i++) {
        int64_t at = s->begin + i, k = r * s->length + i;
        bool scores = at + 1 >= s->scored && at + 1 < end;
        s->tokens[k] = at < end ? s->ids[at] : 0;
        s->targets[k] = scores ? s->ids[at + 1] : GR_ROW_IGNORED;
    }
    s->begin += s->stride;
    s->scored = end > s->scored ? end : s->scored;
}

static gr_status score_batch(scoring *s)
{
    for (int64_t r = 0; r < s->batch; r++)
        lay_out(s, r);
    int64_t n = s->batch * s->length;
    void *out[GR_ROW_MEASURES];
    for (int k = 0; k < s->measures; k++)
        out[k] = s->rows + k * n;
    gr_status st = gr_program_run(s->program, (const void *[]){s->tokens, s->targets, s->lengths}, out);
    for (int64_t i = 0; st == GR_OK && i < n; i++) {
        s->sum += (double)s->rows[i]; /* 0 where nothing is scored */
        float row[GR_ROW_MEASURES];
        for (int k = 0; k < s->measures; k++)
            row[k] = s->rows[k * n + i];
        if (s->o->against && s->targets[i] != GR_ROW_IGNORED)
            st = gr_distance_add(&s->sums, row);
    }
    return st;
}

static gr_status score_all(scoring *s)
{
    const gr_evaluate_options *o = s->o;
    gr_status st = GR_OK;
    s->scored = 1; /* the first token has nothing that predicts it */
    while (st == GR_OK && s->scored < s->n) {
        st = score_batch(s);
        if (st == GR_OK && !isfinite(s->sum))
            return gr_fail(GR_ERR_NUMBER,
                           "evaluation: the loss of the first %lld tokens is not a number\n"
                           "gradus verify and gradus dump tell whether the weights are whole",
                           (long long)s->scored - 1);
        double mean = s->sum / (double)(s->scored - 1);
        if (st == GR_OK && o->progress && !o->progress(o->user, s->scored - 1, s->n - 1, mean) && s->scored < s->n)
            return gr_fail(GR_ERR_INTERRUPTED, "evaluation: stopped after %lld of %lld tokens, their loss is %.6g",
                           (long long)s->scored - 1, (long long)s->n - 1, mean);
    }
    return st;
}

/* The program's, and what lies beside it: a batch, its measures, and a divergence for each token. */
static gr_status tell_need(const scoring *s, gr_plan *out)
{
    gr_plan need = *gr_program_plan(s->program);
    size_t tokens = (size_t)(s->batch * s->length), before = need.peak_scratch;
    need.peak_scratch += tokens * (sizeof *s->tokens + sizeof *s->targets + (size_t)s->measures * sizeof *s->rows);
    if (s->o->against)
        need.peak_scratch += (size_t)s->n * sizeof *s->sums.kl;
    need.total += need.peak_scratch - before;
    return gr_give_sized(out, &need, sizeof need, "gr_evaluate: options.plan");
}

gr_status gr_evaluate(gr_model *model, const gr_token *tokens, int64_t n, const gr_evaluate_options *options,
                      double *loss)
{
    gr_evaluate_options o;
    if (gr_lacks(model, "gr_evaluate: model") || gr_lacks(tokens, "gr_evaluate: tokens") ||
        gr_lacks(loss, "gr_evaluate: loss"))
        return GR_ERR_ARGUMENT;
    gr_status st = gr_take_sized(&o, sizeof o, options, "gr_evaluate: options");
    if (st != GR_OK)
        return st;
    scoring s = {.model = model, .o = &o, .ids = tokens, .n = n, .measures = o.against ? GR_ROW_MEASURES : 1};
    s.context = o.context ? o.context : gr_model_describe(model)->context;
    s.stride = o.stride ? o.stride : s.context;
    st = check(&s);
    if (st == GR_OK)
        st = open(&s);
    if (st == GR_OK && o.plan)
        st = tell_need(&s, o.plan);
    else if (st == GR_OK)
        st = score_all(&s);
    if (st == GR_OK)
        *loss = s.sum / (double)(n - 1);
    gr_distance far = GR_INIT(gr_distance);
    if (st == GR_OK && o.against && o.distance && !o.plan) {
        gr_distance_tell(&s.sums, &far);
        st = gr_give_sized(o.distance, &far, sizeof far, "gr_evaluate: options.distance");
    }
    gr_free(s.sums.kl);
    gr_program_free(s.program);
    gr_free(s.tokens);
    gr_free(s.targets);
    gr_free(s.lengths);
    gr_free(s.rows);
    return st;
}
