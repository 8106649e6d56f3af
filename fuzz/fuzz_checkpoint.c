/* A checkpoint of hostile files. The input is two lengths of two bytes, then checksums.json and training.json of these
 * lengths; the rest is model.safetensors. Verifying and opening either work or say why not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz_dir.h"
#include "format/checkpoint.h"

static void put_file(const char *name, const uint8_t *data, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", fuzz_dir, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        exit(1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_make_dir();
    size_t at = 4, lengths[2] = {0};
    if (size < at)
        return 0;
    for (int i = 0; i < 2; i++) {
        lengths[i] = (size_t)data[2 * i] | (size_t)data[2 * i + 1] << 8;
        lengths[i] = lengths[i] < size - at ? lengths[i] : size - at;
        put_file(i ? "training.json" : "checksums.json", data + at, lengths[i]);
        at += lengths[i];
    }
    put_file("model.safetensors", data + at, size - at);

    gr_verified totals = GR_INIT(gr_verified);
    gr_status s = gr_verify(fuzz_dir, NULL, &totals);
    if ((s == GR_OK) != (totals.bad == 0) || (s != GR_OK && !gr_error()[0]))
        __builtin_trap();
    gr_checkpoint c;
    if (gr_checkpoint_open(fuzz_dir, &c) == GR_OK) {
        gr_json_int(gr_json_root(c.state), "step", 0, 0, 1000);
        gr_checkpoint_close(&c);
    } else if (s == GR_OK && totals.good == 6) {
        __builtin_trap(); /* all of it has its checksum, and yet does not open */
    }
    return 0;
}
