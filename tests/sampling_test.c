/* Drawing tokens: what is left of the logits against transformers, how often each is drawn. */
#include "test.h"

#include "base/json.h"
#include "infer/infer.h"

enum { MOST = 64 };

static gr_sampling off(void)
{
    return (gr_sampling){.size = sizeof(gr_sampling), .temperature = 1, .top_p = 1, .repeat_penalty = 1};
}

static gr_sampling usual(void)
{
    return (gr_sampling){.size = sizeof(gr_sampling), .temperature = 0.8, .top_p = 0.95};
}

static gr_sampling sampling_of(gr_json c)
{
    gr_sampling s = off();
    s.repeat_penalty = gr_json_real(c, "repeat_penalty", 1, 0, 100);
    s.frequency_penalty = gr_json_real(c, "frequency_penalty", 0, -2, 2);
    s.presence_penalty = gr_json_real(c, "presence_penalty", 0, -2, 2);
    s.temperature = gr_json_real(c, "temperature", 1, 0, 100);
    s.top_k = gr_json_int(c, "top_k", 0, 0, 1000);
    s.top_p = gr_json_real(c, "top_p", 1, 0, 1);
    s.min_p = gr_json_real(c, "min_p", 0, 0, 1);
    s.typical_p = gr_json_real(c, "typical_p", 0, 0, 1);
    return s;
}

static int64_t read_floats(gr_json list, float *to)
{
    for (size_t i = 0; i < gr_json_size(list); i++) {
        gr_json x = gr_json_item(list, i);
        to[i] = gr_json_is(x) ? (float)gr_json_as_real(x, -1e6, 1e6) : -INFINITY;
    }
    return (int64_t)gr_json_size(list);
}

TEST(transformers)
{
    gr_json_doc *doc = gr_json_read(test_source("tests/data/sampling.json"), GR_JSON_LIMIT);
    CHECK_MADE(doc);
    gr_json root = gr_json_root(doc), cases = gr_json_get(root, "cases"), ids = gr_json_get(root, "tokens");
    gr_token tokens[MOST];
    int64_t n = (int64_t)gr_json_size(ids), prompt = gr_json_int(root, "prompt", 0, 0, n);
    for (int64_t i = 0; i < n; i++)
        tokens[i] = gr_json_as_int(gr_json_item(ids, (size_t)i), 0, MOST - 1);
    for (size_t c = 0; c < gr_json_size(cases); c++) {
        gr_json one = gr_json_item(cases, c), p = gr_json_get(one, "p");
        float logits[MOST];
        double wanted[MOST] = {0}, got[MOST];
        int64_t which = gr_json_int(one, "logits", 0, 0, 100);
        int64_t vocab = read_floats(gr_json_item(gr_json_get(root, "logits"), (size_t)which), logits);
        for (size_t i = 0; i < gr_json_size(p); i++) {
            gr_json pair = gr_json_item(p, i);
            wanted[gr_json_as_int(gr_json_item(pair, 0), 0, MOST - 1)] = gr_json_as_real(gr_json_item(pair, 1), 0, 1);
        }
        gr_sampling s = sampling_of(one);
        gr_sampler *w = gr_sampler_new(vocab);
        CHECK_MADE(w);
        CHECK_OK(gr_sampler_probabilities(w, &s, logits, tokens, n, prompt, got));
        for (int64_t i = 0; i < vocab; i++) {
            NOTE("case %d, logits %d: k %d p %g min %g typical %g temperature %g penalties %g %g %g; token %d", (int)c,
                 (int)which, (int)s.top_k, s.top_p, s.min_p, s.typical_p, s.temperature, s.repeat_penalty,
                 s.frequency_penalty, s.presence_penalty, (int)i);
            CHECK_NEAR(got[i], wanted[i], 1e-5 * wanted[i] + 1e-8);
        }
        gr_sampler_free(w);
    }
    CHECK(gr_json_size(cases) > 200);
    CHECK_OK(gr_json_check(doc));
    gr_json_free(doc);
}

/* Each as often as it should be, over many draws. */
TEST(frequencies)
{
    enum { DRAWS = 40000, N = 6 };
    const float logits[N] = {0.5f, -1, 2, 1.5f, -INFINITY, 0};
    double p[N];
    int64_t counts[N] = {0};
    gr_sampling s = off();
    gr_sampler *w = gr_sampler_new(N);
    CHECK_MADE(w);
    CHECK_OK(gr_sampler_probabilities(w, &s, logits, NULL, 0, 0, p));
    for (int64_t i = 0; i < DRAWS; i++) {
        s.seed = (uint64_t)i;
        int64_t id = gr_sampler_draw(w, &s, logits, NULL, 0, 0);
        CHECK(id >= 0 && id < N);
        counts[id]++;
        CHECK_EQ_INT(id, gr_sample_token(&s, logits, N, NULL, 0, 0));
    }
    for (int i = 0; i < N; i++)
        CHECK_NEAR((double)counts[i] / DRAWS, p[i], 5 * sqrt(p[i] * (1 - p[i]) / DRAWS));
    gr_sampler_free(w);
}

TEST(odd_logits)
{
    gr_sampling s = usual();
    const float nan_only[] = {NAN, NAN}, some_nan[] = {NAN, 1, NAN}, infinite[] = {1, INFINITY, 2},
                none[] = {-INFINITY};
    CHECK_EQ_INT(gr_sample_token(&s, nan_only, 2, NULL, 0, 0), -1);
    CHECK_EQ_INT(gr_sample_token(&s, some_nan, 3, NULL, 0, 0), 1);
    CHECK_EQ_INT(gr_sample_token(&s, infinite, 3, NULL, 0, 0), 1);
    CHECK_EQ_INT(gr_sample_token(&s, none, 1, NULL, 0, 0), 0);
    s.temperature = 1e-300; /* 0 in f32 */
    CHECK_EQ_INT(gr_sample_token(&s, infinite, 1, NULL, 0, 0), 0);
}

TEST(ranges)
{
    gr_sampling s = usual(), own;
    CHECK_OK(gr_sampling_take(&own, &s, "sampling"));
    CHECK(own.repeat_penalty == 1 && own.top_p == 0.95);
    s.top_p = 1.5;
    CHECK_STATUS(gr_sampling_take(&own, &s, "sampling"), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "top_p is 1.5");
    s = usual();
    s.temperature = -1;
    CHECK_STATUS(gr_sampling_take(&own, &s, "sampling"), GR_ERR_ARGUMENT);
    s = usual();
    s.repeat_penalty = NAN;
    CHECK_STATUS(gr_sampling_take(&own, &s, "sampling"), GR_ERR_ARGUMENT);
}

/* A vocabulary of the largest in use, where the border of what is kept falls between thousands that are nearly equal:
 * what is kept is just enough. */
TEST(large_vocabularies)
{
    enum { V = 128 * 1024 };
    float *logits = gr_alloc(V * sizeof *logits);
    double *all = gr_alloc(V * sizeof *all), *kept = gr_alloc(V * sizeof *kept);
    gr_sampler *w = gr_sampler_new(V);
    CHECK_MADE(w);
    uint32_t noise = 1;
    for (int i = 0; i < V; i++) {
        noise = noise * 1664525u + 1013904223u;
        logits[i] = (float)(noise >> 8) / (1 << 22) + (float)(noise % 7919) / 4000;
    }
    gr_sampling s = off();
    CHECK_OK(gr_sampler_probabilities(w, &s, logits, NULL, 0, 0, all));
    for (double p = 0.05; p < 1; p += 0.3) {
        double mass = 0, least = 1, most = 0;
        s.top_p = p;
        CHECK_OK(gr_sampler_probabilities(w, &s, logits, NULL, 0, 0, kept));
        for (int i = 0; i < V; i++) {
            mass += kept[i] > 0 ? all[i] : 0;
            least = kept[i] > 0 && all[i] < least ? all[i] : least;
            most = kept[i] == 0 && all[i] > most ? all[i] : most;
        }
        NOTE("top-p %g", p);
        CHECK(most <= least);
        CHECK(mass >= p - 1e-6 && mass - least <= p + 1e-6);
    }
    s = off();
    for (int64_t k = 1; k < V; k = 5 * k + 2) {
        int64_t n = 0;
        s.top_k = k;
        CHECK_OK(gr_sampler_probabilities(w, &s, logits, NULL, 0, 0, kept));
        for (int i = 0; i < V; i++)
            n += kept[i] > 0;
        CHECK(n >= k && n <= k + 8); /* and ties of the last */
    }
    gr_sampler_free(w);
    gr_free(kept);
    gr_free(all);
    gr_free(logits);
}
