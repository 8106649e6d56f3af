/* A safetensors file of hostile bytes: refused with a message, or every tensor it names lies inside of it. */
#include <string.h>

#include "format/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gr_safetensors *st = gr_safetensors_parse("fuzz", data, size);
    if (!st) {
        if (!gr_error()[0] || gr_error_status() == GR_OK)
            __builtin_trap(); /* refused without saying why */
        return 0;
    }
    size_t total = 0;
    gr_safetensors_header(st, &total);
    for (int i = 0; i < gr_safetensors_count(st); i++) {
        const gr_weight *t = gr_safetensors_entry(st, i);
        unsigned sum = 0;
        for (size_t b = 0; b < t->bytes; b++)
            sum += ((const uint8_t *)t->data)[b];
        total += t->bytes + 0 * sum;
        if (gr_safetensors_find(st, t->name) != t)
            __builtin_trap();
    }
    if (total != size)
        __builtin_trap(); /* bytes that belong to nothing */
    gr_safetensors_metadata(st, "format");
    gr_safetensors_close(st);
    return 0;
}
