/* Drawing the next token: transformers' processors one after the other, each on what the one before left.
 *
 * A vocabulary is never sorted. What is kept is found by counting candidates and their mass in buckets of a key, and
 * sorting the one bucket in which the border falls. */
#include "infer/infer.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/philox.h"
#include "base/sized.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024, FARTHEST = 40 /* what is e^-40 as likely as the likeliest is never drawn */ };

typedef struct member { /* of the bucket with the border */
    float key;
    int32_t i;
} member;

struct gr_sampler {
    int64_t vocab, n; /* n: candidates left, by ascending id */
    gr_token *ids;
    int32_t *counts;
    float *scores, *p, *keys; /* p: e^(score - largest), not normalized */
    member *members;
};

static gr_status check(const char *name, double x, double low, double high)
{
    if (x >= low && x <= high)
        return GR_OK;
    return gr_fail(GR_ERR_ARGUMENT, "sampling: %s is %g\nit is between %g and %g", name, x, low, high);
}

static gr_status check_all(const gr_sampling *s)
{
    const struct {
        const char *name;
        double x, low, high;
    } all[] = {
        {"temperature", s->temperature, 0, 1e30},
        {"top_k", (double)s->top_k, 0, 1e18},
        {"top_p", s->top_p, 0, 1},
        {"min_p", s->min_p, 0, 1},
        {"typical_p", s->typical_p, 0, 1},
        {"repeat_penalty", s->repeat_penalty, 1e-30, 1e30},
        {"frequency_penalty", s->frequency_penalty, -1e30, 1e30},
        {"presence_penalty", s->presence_penalty, -1e30, 1e30},
    };
    gr_status status = GR_OK;
    for (size_t i = 0; status == GR_OK && i < sizeof all / sizeof all[0]; i++)
        status = check(all[i].name, all[i].x, all[i].low, all[i].high);
    return status;
}

gr_status gr_sampling_take(gr_sampling *own, const gr_sampling *given, const char *what)
{
    gr_status s = gr_take_sized(own, sizeof *own, given, what);
    own->repeat_penalty = own->repeat_penalty == 0 ? 1 : own->repeat_penalty;
    own->top_p = own->top_p == 0 ? 1 : own->top_p;
    return s == GR_OK ? check_all(own) : s;
}

gr_sampler *gr_sampler_new(int64_t vocab)
{
    gr_sampler *w = gr_alloc_zero(1, sizeof *w);
    size_t n = (size_t)vocab;
    if (!w)
        return NULL;
    w->vocab = vocab;
    w->ids = gr_alloc(n * sizeof *w->ids);
    w->counts = gr_alloc_zero(n, sizeof *w->counts);
    w->scores = gr_alloc(3 * n * sizeof *w->scores);
    w->members = gr_alloc(n * sizeof *w->members);
    if (w->ids && w->counts && w->scores && w->members) {
        w->p = w->scores + n;
        w->keys = w->p + n;
        return w;
    }
    gr_sampler_free(w);
    return NULL;
}

void gr_sampler_free(gr_sampler *w)
{
    if (!w)
        return;
    gr_free(w->ids);
    gr_free(w->counts);
    gr_free(w->scores);
    gr_free(w->members);
    gr_free(w);
}

/* ---- penalties ---------------------------------------------------------------------------------------------- */

/* How often each token occurs in tokens[from, n); penalizing sets the counts back to 0. */
static void count(gr_sampler *w, const gr_token *tokens, int64_t from, int64_t n)
{
    for (int64_t i = from; i < n; i++)
        if (tokens[i] >= 0 && tokens[i] < w->vocab)
            w->counts[tokens[i]]++;
}

/* Repetition counts the prompt in, frequency and presence what is new, as OpenAI and vLLM have it. */
static void penalize(gr_sampler *w, const gr_sampling *s, const gr_token *tokens, int64_t n, int64_t prompt)
{
    count(w, tokens, 0, n);
    for (int64_t i = 0; i < n; i++) {
        int64_t t = tokens[i];
        if (t < 0 || t >= w->vocab || w->counts[t] == 0)
            continue;
        float x = w->scores[t], penalty = (float)s->repeat_penalty;
        w->scores[t] = x < 0 ? x * penalty : x / penalty;
        w->counts[t] = 0;
    }
    count(w, tokens, prompt, n);
    for (int64_t i = prompt; i < n; i++) {
        int64_t t = tokens[i];
        if (t < 0 || t >= w->vocab || w->counts[t] == 0)
            continue;
        w->scores[t] -= (float)s->frequency_penalty * (float)w->counts[t];
        w->scores[t] -= (float)s->presence_penalty;
        w->counts[t] = 0;
    }
}

/* ---- candidates --------------------------------------------------------------------------------------------- */

static int64_t most_likely(const float *logits, int64_t vocab)
{
    int64_t best = -1;
    float most = -INFINITY;
    for (int64_t i = 0; i < vocab; i++)
        if (logits[i] > most || (best < 0 && !isnan(logits[i]))) {
            best = i;
            most = logits[i];
        }
    return best;
}

/* Those that could be drawn at all; `top` is the largest logit. */
static void gather(gr_sampler *w, float temperature, float top)
{
    w->n = 0;
    top /= temperature;
    for (int64_t i = 0; i < w->vocab; i++) {
        float x = w->scores[i] / temperature;
        w->ids[w->n] = (gr_token)i;
        w->scores[w->n] = x;
        w->n += top - x < FARTHEST;
    }
}

static void find_p(gr_sampler *w, float top)
{
    for (int64_t i = 0; i < w->n; i++)
        w->p[i] = expf(w->scores[i] - top);
}

/* ---- what is kept ------------------------------------------------------------------------------------------- */

static int by_key(const void *pa, const void *pb)
{
    const member *a = pa, *b = pb;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->i > b->i ? -1 : a->i < b->i; /* of equals the larger id first: so does torch.sort */
}

/* Candidates are kept in the order of their keys as long as those before are fewer than `most` and have less than `mass`:
 * where that ends. */
typedef struct border {
    int64_t most;
    double mass;
    int bucket;     /* in which it falls */
    int64_t before; /* candidates of the buckets before, and their mass */
    double above;
} border;

/* Keys are 0 and more; few are farther out than candidates are. */
static int bucket_of(float key)
{
    const float scale = (float)BUCKETS / FARTHEST;
    return key < FARTHEST ? (int)(key * scale) : BUCKETS - 1;
}

static bool goes_on(const border *b, int64_t count, double mass)
{
    return b->before + count < b->most && b->above + mass < b->mass;
}

static void find_bucket(const gr_sampler *w, border *b)
{
    int64_t counts[BUCKETS] = {0};
    double sums[BUCKETS] = {0};
    for (int64_t i = 0; i < w->n; i++) {
        int bucket = bucket_of(w->keys[i]);
        counts[bucket]++;
        sums[bucket] += (double)w->p[i];
    }
    while (b->bucket < BUCKETS - 1 && goes_on(b, counts[b->bucket], sums[b->bucket])) {
        b->before += counts[b->bucket];
        b->above += sums[b->bucket++];
    }
}

/* The last that is kept. The border's bucket may be empty, when there is nothing behind it. */
static member find_last(gr_sampler *w, border *b)
{
    int64_t n = 0, last = 0;
    for (int64_t i = 0; i < w->n; i++)
        if (bucket_of(w->keys[i]) == b->bucket)
            w->members[n++] = (member){w->keys[i], (int32_t)i};
    qsort(w->members, (size_t)n, sizeof *w->members, by_key);
    while (last + 1 < n && goes_on(b, 1, (double)w->p[w->members[last].i])) {
        b->before++;
        b->above += (double)w->p[w->members[last++].i];
    }
    return n ? w->members[last] : (member){INFINITY, 0};
}

static void move(gr_sampler *w, int64_t to, int64_t from)
{
    w->ids[to] = w->ids[from];
    w->scores[to] = w->scores[from];
    w->p[to] = w->p[from];
}

/* Leaves `most` at most, or `mass`; one at least. ties: all that are equal to the last one, too. */
static void keep_smallest(gr_sampler *w, int64_t most, double mass, bool ties)
{
    border b = {.most = most, .mass = mass};
    find_bucket(w, &b);
    member last = find_last(w, &b);
    int64_t kept = 0;
    for (int64_t i = 0; i < w->n; i++) {
        const float key = w->keys[i];
        move(w, kept, i); /* without a jump that nobody can foresee */
        kept += (key < last.key) | ((key == last.key) & (ties | (i >= last.i)));
    }
    w->n = kept;
}

/* Of all that is left, in four sums that do not wait for each other. */
static double total(const gr_sampler *w)
{
    double sum[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= w->n; i += 4)
        for (int k = 0; k < 4; k++)
            sum[k] += (double)w->p[i + k];
    for (; i < w->n; i++)
        sum[0] += (double)w->p[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* The smaller the likelier. */
static void key_by_score(gr_sampler *w, float top)
{
    for (int64_t i = 0; i < w->n; i++)
        w->keys[i] = top - w->scores[i];
}

static void keep_min_p(gr_sampler *w, double min_p)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < w->n; i++) {
        float p = w->p[i];
        move(w, kept, i);
        kept += p >= (float)min_p;
    }
    w->n = kept;
}

/* Those whose surprise is nearest to the expected one, the entropy (Meister et al. 2023). */
static void keep_typical(gr_sampler *w, double mass, float top)
{
    double sum = total(w), log_sum = log(sum), expected = 0;
    for (int64_t i = 0; i < w->n; i++) {
        w->keys[i] = (float)(log_sum - (double)(w->scores[i] - top)); /* -log of its probability */
        expected += (double)w->p[i] * (double)w->keys[i];
    }
    for (int64_t i = 0; i < w->n; i++)
        w->keys[i] = fabsf(w->keys[i] - (float)(expected / sum));
    keep_smallest(w, INT64_MAX, mass * sum, true);
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static gr_status distribute(gr_sampler *w, const gr_sampling *s, const float *logits, const gr_token *tokens, int64_t n,
                            int64_t prompt)
{
    memcpy(w->scores, logits, (size_t)w->vocab * sizeof *logits);
    if (s->repeat_penalty != 1 || s->frequency_penalty != 0 || s->presence_penalty != 0)
        penalize(w, s, tokens, n, prompt);
    int64_t best = most_likely(w->scores, w->vocab);
    if (best < 0)
        return GR_ERR_NUMBER;
    float top = w->scores[best];
    if (s->temperature <= 0 || !isfinite(top / (float)s->temperature)) {
        w->n = 1;
        w->ids[0] = (gr_token)best;
        w->p[0] = 1;
        return GR_OK;
    }
    gather(w, (float)s->temperature, top);
    top /= (float)s->temperature;
    if (s->top_k > 0 && s->top_k < w->n) {
        key_by_score(w, top);
        memset(w->p, 0, (size_t)w->n * sizeof *w->p); /* nobody asks for mass */
        keep_smallest(w, s->top_k, INFINITY, true);
    }
    find_p(w, top);
    if (s->top_p < 1) {
        key_by_score(w, top);
        keep_smallest(w, INT64_MAX, s->top_p * total(w), false);
    }
    if (s->min_p > 0)
        keep_min_p(w, s->min_p);
    if (s->typical_p > 0 && s->typical_p < 1)
        keep_typical(w, s->typical_p, top);
    return GR_OK;
}

gr_token gr_sampler_draw(gr_sampler *w, const gr_sampling *s, const float *logits, const gr_token *tokens, int64_t n,
                         int64_t prompt)
{
    if (distribute(w, s, logits, tokens, n, prompt) != GR_OK)
        return -1;
    double u = (double)gr_philox_uniform(s->seed, 0x73616d70 /* "samp" */, (uint64_t)n) * total(w);
    int64_t i = 0;
    while (i + 1 < w->n && (u -= (double)w->p[i]) >= 0)
        i++;
    return w->ids[i];
}

gr_status gr_sampler_probabilities(gr_sampler *w, const gr_sampling *s, const float *logits, const gr_token *tokens,
                                   int64_t n, int64_t prompt, double *p)
{
    gr_status status = distribute(w, s, logits, tokens, n, prompt);
    memset(p, 0, (size_t)w->vocab * sizeof *p);
    double sum = status == GR_OK ? total(w) : 1;
    for (int64_t i = 0; status == GR_OK && i < w->n; i++)
        p[w->ids[i]] = (double)w->p[i] / sum;
    return status;
}

gr_token gr_sample_token(const gr_sampling *sampling, const float *logits, int64_t vocab, const gr_token *tokens,
                         int64_t n, int64_t prompt)
{
    gr_sampling s;
    if (gr_lacks(logits, "gr_sample_token: logits") || (n > 0 && gr_lacks(tokens, "gr_sample_token: tokens")) ||
        gr_sampling_take(&s, sampling, "gr_sample_token: sampling") != GR_OK)
        return -1;
    gr_sampler *w = gr_sampler_new(vocab);
    gr_token id = w ? gr_sampler_draw(w, &s, logits, tokens, n, prompt) : -1;
    gr_sampler_free(w);
    return id;
}
