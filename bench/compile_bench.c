/* Time to build and compile a training step: graph, gradients, passes, plan. In the shape of GPT-2 124M, and of a deep LLaMA.
 * Takes no memory for tensors.
 *
 *     build/bench/compile_bench */
#include "bench.h"
#include "gradus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 21 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* others may use the machine */
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void measure(const char *arch, int64_t layers)
{
    gr_model_info info = {.size = sizeof info,
                          .layers = layers,
                          .embed = 768,
                          .heads = 12,
                          .vocab = 50257,
                          .context = 1024,
                          .eos = -1,
                          .bos = -1,
                          .tied = true};
    snprintf(info.arch, sizeof info.arch, "%s", arch);
    gr_device *device = gr_device_open("cpu", 1);
    char *config = gr_model_config_json(&info);
    bench_check(device && config);
    gr_model *m = gr_model_new("config.json", config, strlen(config), device);
    bench_check(m != NULL);
    gr_train_options o = GR_INIT(gr_train_options);
    gr_train_fill_defaults(&o);
    o.batch = 4;
    o.context = 256;
    o.dropout = 0.1;
    double times[ROUNDS];
    size_t arena = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double began = now();
        gr_trainer *t = gr_trainer_new(m, &o);
        times[i] = now() - began;
        bench_check(t != NULL);
        arena = gr_trainer_plan(t)->arena;
        gr_trainer_free(t);
    }
    qsort(times, ROUNDS, sizeof *times, bench_by_value);
    printf("%-5s %3lld layers: %7.1f ms (best %.1f), arena %.1f MB\n", arch, (long long)layers, times[ROUNDS / 2] * 1e3,
           times[0] * 1e3, (double)arena / 1e6);
    gr_free(config);
    gr_model_free(m);
    gr_device_close(device);
}

int main(void)
{
    measure("gpt2", 12);
    measure("llama", 48);
    return 0;
}
