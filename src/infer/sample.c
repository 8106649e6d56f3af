/* Drawing the next token. */
#include "gradus.h"

#include "base/mem.h"
#include "base/philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct candidate {
    int64_t id;
    float logit;
    double p;
} candidate;

gr_sampling gr_sampling_defaults(void)
{
    return (gr_sampling){.temperature = 0.8, .top_p = 0.95, .repeat_penalty = 1};
}

/* Likelier first; of equals the smaller id, so that the order is the same everywhere. */
static int by_logit(const void *pa, const void *pb)
{
    const candidate *a = pa, *b = pb;
    if (a->logit != b->logit)
        return a->logit > b->logit ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static void penalize(float *logits, int64_t vocab, const int64_t *tokens, int64_t n, double penalty, bool *seen)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t t = tokens[i];
        if (t < 0 || t >= vocab || seen[t])
            continue;
        seen[t] = true;
        logits[t] = logits[t] > 0 ? (float)(logits[t] / penalty) : (float)(logits[t] * penalty);
    }
}

static int64_t most_likely(const float *logits, int64_t vocab)
{
    int64_t best = -1;
    for (int64_t i = 0; i < vocab; i++)
        if (!isnan(logits[i]) && (best < 0 || logits[i] > logits[best]))
            best = i;
    return best;
}

/* Those that could be drawn at all: within e^-40 of the likeliest. Sorting is for these only. */
static int64_t gather(candidate *c, const float *logits, int64_t vocab, double temperature, float top)
{
    int64_t n = 0;
    for (int64_t i = 0; i < vocab; i++)
        if ((logits[i] - top) / temperature > -40)
            c[n++] = (candidate){i, logits[i], exp((logits[i] - top) / temperature)};
    return n;
}

/* How many of the sorted candidates top-k, top-p and min-p leave. */
static int64_t cut(const gr_sampling *s, const candidate *c, int64_t n)
{
    if (s->top_k > 0 && s->top_k < n)
        n = s->top_k;
    double sum = 0, reached = 0;
    for (int64_t i = 0; i < n; i++)
        sum += c[i].p;
    int64_t left = 0;
    while (left < n && (left == 0 || (reached < s->top_p * sum && c[left].p >= s->min_p * c[0].p)))
        reached += c[left++].p;
    return left;
}

static int64_t draw(const gr_sampling *s, candidate *c, int64_t n, uint64_t number)
{
    qsort(c, (size_t)n, sizeof *c, by_logit);
    n = cut(s, c, n);
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += c[i].p;
    double u = (double)gr_philox_uniform(s->seed, 0x73616d70 /* "samp" */, number) * sum;
    for (int64_t i = 0; i + 1 < n; i++) {
        u -= c[i].p;
        if (u < 0)
            return c[i].id;
    }
    return c[n - 1].id;
}

int64_t gr_sample_token(const gr_sampling *s, const float *given, int64_t vocab, const int64_t *tokens, int64_t n)
{
    size_t count = (size_t)vocab;
    candidate *c = gr_alloc(count * sizeof *c);
    float *logits = gr_alloc(count * sizeof *logits);
    bool *seen = gr_alloc_zero(count, sizeof *seen);
    int64_t id = -1;
    if (c && logits && seen) {
        memcpy(logits, given, count * sizeof *logits);
        if (s->repeat_penalty != 1)
            penalize(logits, vocab, tokens, n, s->repeat_penalty, seen);
        id = most_likely(logits, vocab);
        if (id >= 0 && s->temperature > 0 && isfinite(logits[id]))
            id = draw(s, c, gather(c, logits, vocab, s->temperature, logits[id]), (uint64_t)n);
    }
    gr_free(c);
    gr_free(logits);
    gr_free(seen);
    return id;
}
