/* A GGUF file of hostile bytes: refused with a message, or a container whose values and tensors lie inside of it, whose
 * keys are read as a model's and as a tokenizer's, each of which may refuse them in turn. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz_dir.h"

#include "base/file.h"
#include "format/gguf.h"

static gr_device *device;

static void close_device(void)
{
    gr_device_close(device);
}

static void begin(void)
{
    fuzz_make_dir();
    device = gr_device_open("ref", 1);
    if (!device)
        exit(1);
    atexit(close_device);
}

static void told(const void *made)
{
    if (!made && (!gr_error()[0] || gr_error_status() == GR_OK))
        __builtin_trap(); /* refused without saying why */
}

/* Every byte of every value. */
static void read_keys(const gr_gguf *g, const uint8_t *data, size_t size)
{
    for (int i = 0; i < gr_gguf_count(g); i++) {
        const gr_gguf_key *k = gr_gguf_entry(g, i);
        gr_gguf_text text;
        size_t at = 0, n = 0;
        if (gr_gguf_find(g, k->name) != k || k->data < data || k->bytes > (size_t)(data + size - k->data))
            __builtin_trap();
        while (gr_gguf_next(k, &at, &text))
            n++;
        if (k->type == GR_GGUF_TEXT && (n != k->count || at != k->bytes))
            __builtin_trap();
        for (size_t v = 0; v < k->count; v++) {
            int64_t whole;
            double real;
            bool yes;
            n += gr_gguf_int(k, v, &whole) + gr_gguf_real(k, v, &real) + gr_gguf_bool(k, v, &yes);
        }
    }
}

static void read_tensors(const gr_gguf *g, const uint8_t *data, size_t size)
{
    for (int i = 0; i < gr_gguf_tensors(g); i++) {
        const gr_weight *t = gr_gguf_tensor(g, i);
        const uint8_t *begin = t->data;
        if (t->bytes && (begin < data || t->bytes > (size_t)(data + size - begin)))
            __builtin_trap();
    }
}

/* All that a model or a tokenizer is made of it. */
static void load(const uint8_t *data, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "%s/model.gguf", fuzz_dir);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        exit(1);
    gr_model *m = gr_model_load(path, NULL, device);
    told(m);
    gr_model_free(m);
    gr_tokenizer *t = gr_tokenizer_load(path);
    told(t);
    const int32_t *ids;
    size_t n;
    if (t)
        gr_tokenizer_encode(t, "ab a\xFF 12\n<s>", 12, GR_ADD_SPECIAL | GR_PARSE_SPECIAL, &ids, &n);
    gr_tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!device)
        begin();
    gr_gguf *g = gr_gguf_parse("fuzz", data, size);
    told(g);
    if (!g)
        return 0;
    read_keys(g, data, size);
    read_tensors(g, data, size);
    gr_gguf_close(g);
    load(data, size);
    return 0;
}
