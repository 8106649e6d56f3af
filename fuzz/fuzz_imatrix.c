/* A file of moments of hostile bytes: refused with a message, or numbers that errors can be weighed by. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz_dir.h"

#include "base/mem.h"
#include "quant/quant.h"

static const char config[] =
    "{\"model_type\": \"llama\", \"hidden_size\": 32, \"intermediate_size\": 64, \"num_hidden_layers\": 1, "
    "\"num_attention_heads\": 2, \"vocab_size\": 8, \"max_position_embeddings\": 8, \"rms_norm_eps\": 1e-5, "
    "\"tie_word_embeddings\": false}";

static gr_device *device;
static gr_model *model;
static gr_quantize_options options = {.size = sizeof options, .type = "q4_0"};
static gr_quant work;

static void close_all(void)
{
    gr_quant_close(&work);
    gr_model_free(model);
    gr_device_close(device);
}

static void make_all(void)
{
    fuzz_make_dir();
    device = gr_device_open("ref", 1);
    model = device ? gr_model_undeclared("config.json", config, strlen(config), device) : NULL;
    work = (gr_quant){
        .m = model, .o = &options, .hub = GR_DTYPE_NONE, .lock = GR_NO_WRITE_LOCK, .mix = gr_mix_find("q4_0")};
    if (!model || gr_model_declare(model) != GR_OK || gr_quant_list(&work) != GR_OK)
        exit(1);
    atexit(close_all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[128];
    if (!device)
        make_all();
    snprintf(path, sizeof path, "%s/imatrix.gguf", fuzz_dir);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        exit(1);
    gr_status s = gr_imatrix_read(&work, path);
    if (s != GR_OK && (!gr_error()[0] || gr_error_status() == GR_OK))
        __builtin_trap(); /* refused without saying why */
    for (int i = 0; i < work.n; i++) {
        gr_quant_tensor *t = &work.tensors[i];
        for (int64_t k = 0; s == GR_OK && t->moments && k < t->width; k++)
            if (!(t->moments[k] >= 0) || !isfinite(t->moments[k]))
                __builtin_trap();
        gr_free(t->moments);
        t->moments = NULL;
    }
    return 0;
}
