/* Comparing what a saved model computes with what it must. */
#include "base/dtype.h"
#include "base/mem.h"
#include "base/philox.h"
#include "graph/graph.h"
#include "model/files/save.h"
#include "model/layers/nn.h"
#include "program/run.h"

#include <math.h>

int64_t gr_pick_id(uint64_t i, int64_t vocab)
{
    int64_t id = (int64_t)(gr_philox_uniform(0, 0, i) * (double)vocab);
    return id < vocab ? id : vocab - 1;
}

enum { PROMPTS = 3, PROMPT_TOKENS = 16 };
/* What another order of sums may change, as a part of the largest logit: kernels differ by the dtype of a weight. */
#define ORDER_OF_SUMS 1e-5

static gr_program *program_of(gr_model *m, int64_t length)
{
    gr_graph *g = gr_graph_new();
    if (!g)
        return NULL;
    int64_t shape[] = {PROMPTS, length};
    gr_forward f = {.size = sizeof f, .tokens = gr_input(g, "tokens", GR_I32, 2, shape)};
    gr_tensor *logits = gr_model_forward(m, &f);
    gr_program *p = logits ? gr_compile(g, &logits, 1, m->device, NULL) : NULL;
    gr_graph_free(g);
    return p;
}

static gr_status logits_of(gr_model *m, const gr_token *tokens, int64_t length, float *out)
{
    gr_program *p = program_of(m, length);
    gr_status s = p ? gr_program_run(p, (const void *[]){tokens}, (void *[]){out}) : gr_error_status();
    gr_program_free(p);
    return s;
}

/* In a graph of the given model every weight goes through the dtype that it is written as: the same sums as those of the
 * saved model, which has them so in its files. */
typedef struct rounding {
    gr_layer_observer observer; /* first: it is found by that */
    gr_dtype as;
    bool matrices; /* alone */
} rounding;

static gr_tensor *rounded(struct gr_build *b, const gr_layer *l, const char *part, gr_tensor *own)
{
    const rounding *r = (const rounding *)b->model->observer;
    const gr_dtype_info *d = gr_dtype_get(own->spec.dtype);
    bool rounds = (d->is_float || d->block > 1) && own->spec.dtype != r->as && (own->spec.ndim > 1 || !r->matrices);
    (void)l, (void)part;
    return rounds ? gr_cast(own, r->as) : own;
}

static gr_tensor *as_it_is(struct gr_build *b, const gr_layer *l, gr_tensor *y)
{
    (void)b, (void)l;
    return y;
}

/* The logits of the given model with its weights rounded. */
static gr_status rounded_logits(gr_model *m, const gr_dtype *as, bool matrices, const gr_token *tokens, int64_t length,
                                float *out)
{
    const gr_layer_observer *before = m->observer;
    const rounding r = {{.param = rounded, .result = as_it_is}, as ? *as : GR_F32, matrices};
    m->observer = as ? &r.observer : before;
    gr_status s = logits_of(m, tokens, length, out);
    m->observer = before;
    return s;
}

static gr_status check_numbers(const float *x, int64_t n, const char *whose)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return gr_fail(GR_ERR_NUMBER,
                           "the %s model's logits are not numbers\ngradus dump tells where they stop being some",
                           whose);
    return GR_OK;
}

static double apart(const float *a, const float *b, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

/* Logits of the given model, of the same with rounded weights, and of what was saved. */
static gr_status judge_logits(const float *given, const float *must, const float *is, int64_t n, gr_saved *out)
{
    double largest = 0, off = apart(must, is, n);
    gr_status s = check_numbers(given, n, "given");
    if (s == GR_OK)
        s = check_numbers(must, n, "rounded");
    if (s == GR_OK)
        s = check_numbers(is, n, "saved");
    if (s != GR_OK)
        return s;
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)must[i]));
    out->logits = n;
    out->difference = apart(given, is, n);
    out->bound = apart(given, must, n) + ORDER_OF_SUMS * largest;
    if (off > ORDER_OF_SUMS * largest)
        return gr_fail(
            GR_ERR_NUMBER,
            "the saved model's logits are off by %.3g from what its weights must give, and %.3g is allowed (the "
            "largest is %.3g)\nthe disk or the memory is at fault: check them",
            off, ORDER_OF_SUMS * largest, largest);
    return GR_OK;
}

static int64_t prompt_tokens(const gr_model *m)
{
    int64_t context = gr_model_describe(m)->context;
    return context < PROMPT_TOKENS ? context : PROMPT_TOKENS;
}

gr_program *gr_model_compare_program(gr_model *m, size_t *held)
{
    int64_t t = prompt_tokens(m);
    *held = 3 * (size_t)(PROMPTS * t * gr_model_describe(m)->vocab) * sizeof(float);
    return program_of(m, t);
}

gr_status gr_model_compare(gr_model *m, gr_model *saved, const gr_dtype *as, bool matrices, gr_saved *out)
{
    const gr_model_info *info = gr_model_describe(m);
    gr_token tokens[PROMPTS * PROMPT_TOKENS];
    int64_t t = prompt_tokens(m);
    for (int64_t i = 0; i < PROMPTS * t; i++)
        tokens[i] = (gr_token)gr_pick_id((uint64_t)i, info->vocab);
    size_t n = (size_t)(PROMPTS * t * info->vocab);
    float *logits = gr_alloc(3 * n * sizeof *logits);
    if (!logits)
        return GR_ERR_MEMORY;
    gr_status s = logits_of(m, tokens, t, logits);
    if (s == GR_OK)
        s = rounded_logits(m, as, matrices, tokens, t, logits + n);
    if (s == GR_OK)
        s = logits_of(saved, tokens, t, logits + 2 * n);
    if (s == GR_OK)
        s = judge_logits(logits, logits + n, logits + 2 * n, (int64_t)n, out);
    gr_free(logits);
    return s;
}
