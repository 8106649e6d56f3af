/* Models and data small enough for tests that train. */
#ifndef GRADUS_TESTS_TINY_H
#define GRADUS_TESTS_TINY_H

#include "test.h"

#include "base/mem.h"

enum { TINY_VOCAB = 31, TINY_CONTEXT = 16 };

/* Two layers, 8 wide, 2 heads, random weights. arch "llama" shares each key head between two. */
__attribute__((unused)) static gr_model *tiny_model_of(const gr_model_info *info, gr_device *device, uint64_t seed)
{
    char *config = gr_model_config_json(info);
    gr_model *m = config ? gr_model_new("config.json", config, strlen(config), device) : NULL;
    gr_free(config);
    if (m && gr_model_init(m, seed) == GR_OK)
        return m;
    gr_model_free(m);
    return NULL;
}

__attribute__((unused)) static gr_model_info tiny_info(const char *arch, bool tied)
{
    gr_model_info info = {
        .size = sizeof info, .layers = 2, .embed = 8, .heads = 2, .vocab = TINY_VOCAB, .context = TINY_CONTEXT};
    snprintf(info.arch, sizeof info.arch, "%s", arch);
    info.kv_heads = strcmp(arch, "llama") == 0 ? 1 : 2;
    info.ffn = 20;
    info.tied = tied;
    info.bos = info.eos = -1;
    return info;
}

__attribute__((unused)) static gr_model *tiny_model(const char *arch, gr_device *device)
{
    gr_model_info info = tiny_info(arch, strcmp(arch, "gpt2") == 0);
    return tiny_model_of(&info, device, 1);
}

/* Logits of eight tokens; caller frees. */
__attribute__((unused)) static float *tiny_logits(gr_model *m)
{
    const gr_token ids[8] = {0, 1, 2, 3, 4, 30, 6, 7};
    const gr_model_info *info = gr_model_describe(m);
    size_t bytes = (size_t)(8 * info->vocab) * sizeof(float);
    gr_graph *graph = gr_graph_new();
    gr_forward f = {.size = sizeof f, .tokens = gr_input(graph, "tokens", GR_I32, 2, (int64_t[]){1, 8})};
    gr_tensor *out = gr_name(gr_model_forward(m, &f), "logits");
    gr_program *p = gr_compile(graph, &out, 1, info->device, NULL);
    CHECK_MADE(p);
    float *logits = gr_alloc(bytes);
    CHECK_OK(
        gr_run(p, &(gr_given){"tokens", GR_I32, ids, sizeof ids}, 1, &(gr_wanted){"logits", GR_F32, logits, bytes}, 1));
    gr_program_free(p);
    gr_graph_free(graph);
    return logits;
}

/* Text that can be learned: a token says much about the next one. */
__attribute__((unused)) static void tiny_ids(int32_t *ids, int64_t n)
{
    uint32_t noise = 12345;
    for (int64_t i = 0; i < n; i++) {
        noise = noise * 1664525u + 1013904223u;
        ids[i] = i && noise >> 29 ? (ids[i - 1] * 3 + 7) % TINY_VOCAB : (int32_t)(noise >> 16) % TINY_VOCAB;
    }
}

__attribute__((unused)) static gr_train_options tiny_options(void)
{
    gr_train_options o = GR_INIT(gr_train_options);
    CHECK_OK(gr_train_fill_defaults(&o));
    o.batch = 2;
    o.context = 8;
    o.steps = 20;
    o.warmup = 4;
    o.lr = 1e-2;
    return o;
}

/* One batch of the data for options o: rows one behind the other. */
__attribute__((unused)) static void tiny_batch(const gr_train_options *o, int64_t step, gr_token *tokens,
                                               gr_token *targets)
{
    enum { N = 512 };
    int32_t ids[N];
    tiny_ids(ids, N);
    int64_t n = o->accumulate * o->batch * o->context;
    for (int64_t i = 0; i < n; i++) {
        tokens[i] = ids[(step * n + i) % (N - 1)];
        targets[i] = ids[(step * n + i) % (N - 1) + 1];
    }
}

#endif
