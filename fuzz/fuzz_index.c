/* An index of shards and two shards of hostile bytes. The input is two lengths of two bytes, then
 * model.safetensors.index.json and x.safetensors of these lengths; the rest is y.safetensors. What opens is in agreement:
 * every tensor is found by its name, and the index says where. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz_dir.h"
#include "format/weights.h"

#define INDEX "model.safetensors.index.json"

static void put_file(const char *name, const uint8_t *data, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", fuzz_dir, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        exit(1);
}

static void check(const gr_weights *w)
{
    char path[128];
    snprintf(path, sizeof path, "%s/" INDEX, fuzz_dir);
    gr_json_doc *doc = gr_json_read(path, GR_JSON_LIMIT);
    gr_json map = gr_json_get(gr_json_root(doc), "weight_map");
    int held = 0;
    for (int f = 0; f < gr_weights_files(w); f++)
        held += gr_weights_file(w, f)->count;
    if (!doc || held != gr_weights_count(w) || (size_t)held != gr_json_size(map))
        __builtin_trap();
    for (int i = 0; i < gr_weights_count(w); i++) {
        const gr_weight *t = gr_weights_entry(w, i);
        unsigned sum = 0;
        for (size_t b = 0; b < t->bytes; b++)
            sum += ((const uint8_t *)t->data)[b];
        if (gr_weights_find(w, t->name) != t || !gr_json_is(gr_json_get(map, t->name)) || sum == 1u << 31)
            __builtin_trap();
    }
    gr_json_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_make_dir();
    size_t at = 4;
    if (size < at)
        return 0;
    for (int i = 0; i < 2; i++) {
        size_t length = (size_t)data[2 * i] | (size_t)data[2 * i + 1] << 8;
        length = length < size - at ? length : size - at;
        put_file(i ? "x.safetensors" : INDEX, data + at, length);
        at += length;
    }
    put_file("y.safetensors", data + at, size - at);

    gr_weights *w = gr_weights_open(fuzz_dir);
    if (!w && (!gr_error()[0] || gr_error_status() == GR_OK))
        __builtin_trap(); /* refused without saying why */
    if (w)
        check(w);
    gr_weights_close(w);
    return 0;
}
