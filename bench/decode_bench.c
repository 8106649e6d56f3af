/* Time of one generated token by its position, and what it would take without a cache: at every position a generator of
 * its own, by turns, so that a busy machine is as busy for all. Random weights, f32, unless a model is given.
 *
 *     build/bench/decode_bench [threads] [gpt2 | llama | DIRECTORY] */
#include "bench.h"
#include "gradus.h"

#include "base/machine.h"
#include "program/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 31 };

static const int64_t positions[] = {20, 500, 1000, 2000};
enum { POSITIONS = sizeof positions / sizeof positions[0] };

/* 124M parameters in the shape of GPT-2, or as many in that of LLaMA. */
static gr_model *open_model(const char *name, gr_device *device)
{
    gr_model_info info = {.size = sizeof info,
                          .layers = 12,
                          .embed = 768,
                          .heads = 12,
                          .vocab = 50257,
                          .context = 4096,
                          .eos = -1,
                          .bos = -1};
    if (strcmp(name, "gpt2") != 0 && strcmp(name, "llama") != 0)
        return gr_model_load(name, NULL, device);
    snprintf(info.arch, sizeof info.arch, "%s", name);
    info.tied = true;
    char *config = gr_model_config_json(&info);
    bench_check(config != NULL);
    gr_model *m = gr_model_new("config.json", config, strlen(config), device);
    gr_free(config);
    bench_check(m != NULL && gr_model_init(m, 1) == GR_OK);
    return m;
}

static void feed(gr_generator *g, const gr_token *tokens, int64_t n, float *logits)
{
    bench_check(gr_generator_feed(g, &tokens, &n, logits) == GR_OK);
}

/* Seconds of a forward pass over n tokens that keeps nothing: what each token costs without a cache. */
static double without_cache(gr_model *m, const gr_token *tokens, int64_t n, float *logits)
{
    gr_graph *g = gr_graph_new();
    int64_t shape[] = {1, n}, one = 1, last = n - 1;
    gr_forward f = {.size = sizeof f, .tokens = gr_input(g, "tokens", GR_I32, 2, shape)};
    f.rows = gr_constant(g, GR_I64, 1, &one, &last);
    gr_tensor *out = gr_model_forward(m, &f);
    gr_program *p = gr_compile(g, &out, 1, gr_model_describe(m)->device, NULL);
    bench_check(p != NULL);
    double best = 0;
    for (int i = 0; i < 2; i++) { /* the first one takes its memory */
        double began = gr_seconds();
        bench_check(gr_program_run(p, (const void *[]){tokens}, (void *[]){logits}) == GR_OK);
        best = gr_seconds() - began;
    }
    gr_program_free(p);
    gr_graph_free(g);
    return best;
}

static void measure(gr_model *m)
{
    const gr_model_info *info = gr_model_describe(m);
    static double times[POSITIONS][ROUNDS];
    gr_generator *g[POSITIONS] = {0};
    int64_t most = positions[POSITIONS - 1] + ROUNDS;
    gr_token *tokens = malloc((size_t)most * sizeof *tokens);
    float *logits = malloc((size_t)info->vocab * sizeof *logits);
    int n = 0;
    bench_check(tokens && logits);
    for (int64_t i = 0; i < most; i++)
        tokens[i] = i * 7919 % info->vocab;
    for (; n < POSITIONS && positions[n] + ROUNDS <= info->context; n++) {
        bench_check((g[n] = gr_generator_new(m, 1, 0)) != NULL);
        double began = gr_seconds();
        feed(g[n], tokens, positions[n], logits);
        printf("prompt of %5lld tokens: %8.1f tokens/s\n", (long long)positions[n],
               (double)positions[n] / (gr_seconds() - began));
    }
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < n; i++) {
            double began = gr_seconds();
            feed(g[i], tokens + positions[i] + round, 1, logits);
            times[i][round] = gr_seconds() - began;
        }
    for (int i = 0; i < n; i++) {
        double cached = bench_median(times[i], ROUNDS), whole = without_cache(m, tokens, positions[i], logits);
        printf("position %5lld: %7.2f ms a token, %.3f x position %lld; without cache %8.1f ms, %6.1f x\n",
               (long long)positions[i], cached * 1e3, cached / times[0][ROUNDS / 2], (long long)positions[0],
               whole * 1e3, whole / cached);
        gr_generator_free(g[i]);
    }
    free(tokens);
    free(logits);
}

/* Drawing a token: no part of the above. */
static void measure_draw(void)
{
    enum { V = 128 * 1024 };
    static float logits[V];
    static double times[ROUNDS];
    gr_sampling all = {.size = sizeof all, .temperature = 1, .top_p = 1, .repeat_penalty = 1},
                some[3] = {all, all, all};
    const char *const names[] = {"all", "top-p 0.95", "top-k 40"};
    some[1].top_p = 0.95;
    some[2].top_k = 40;
    for (int i = 0; i < V; i++)
        logits[i] = (float)(i * 7919LL % 65536) / 8192 + (float)(i % 97) / 50;
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < ROUNDS; i++) {
            double began = gr_seconds();
            some[k].seed = (uint64_t)i;
            bench_check(gr_sample_token(&some[k], logits, V, NULL, 0, 0) >= 0);
            times[i] = gr_seconds() - began;
        }
        printf("drawing from %d, %s: %.2f ms\n", V, names[k], bench_median(times, ROUNDS) * 1e3);
    }
}

int main(int argc, char **argv)
{
    gr_device *device = gr_device_open("cpu", argc > 1 ? atoi(argv[1]) : 0);
    bench_check(device != NULL);
    gr_model *m = open_model(argc > 2 ? argv[2] : "gpt2", device);
    bench_check(m != NULL);
    gr_device_info info = GR_INIT(gr_device_info);
    gr_device_describe(device, &info);
    printf("%s, %s, %lld parameters\n", argc > 2 ? argv[2] : "gpt2", info.description,
           (long long)gr_model_describe(m)->parameters);
    measure(m);
    measure_draw();
    gr_model_free(m);
    gr_device_close(device);
    return 0;
}
