/* A layer in the hub's codes, of hostile bytes: up to a NUL what config.json says, behind it the tensors. Refused with a message,
 * or codes, scales and zero points that can be read as a matrix of finite numbers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dtype.h"
#include "fuzz_dir.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/arch/list.h"
#include "model/files/names.h"
#include "model/files/packed.h"

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

static void told(gr_status s)
{
    if (s != GR_OK && (!gr_error()[0] || gr_error_status() == GR_OK))
        __builtin_trap(); /* refused without saying why */
}

/* In the dtype that was found, and in f32: the same numbers, in another order where columns are sorted. */
static void join(const gr_named_tensor *item)
{
    const gr_weight *t = &item->tensor;
    const gr_packed *p = item->packed;
    size_t n = (size_t)(p->rows * p->width);
    if (n > 1 << 20 || t->shape[0] != p->rows || t->shape[1] != p->width)
        return;
    float *wide = gr_alloc(n * sizeof *wide), *back = gr_alloc(n * sizeof *back);
    void *blocks = gr_alloc(t->bytes);
    gr_status s = wide && back && blocks ? gr_packed_join(p, device, GR_F32, wide) : GR_ERR_MEMORY;
    told(s);
    if (s == GR_OK) {
        if (gr_packed_join(p, device, t->dtype, blocks) != GR_OK)
            __builtin_trap();
        gr_dtype_get(t->dtype)->to_f32(blocks, back, (int64_t)n);
        for (size_t i = 0; i < n; i++) {
            size_t row = i / (size_t)p->width * (size_t)p->width;
            bool moved = p->order && t->dtype != GR_F32;
            float must = wide[moved ? row + (size_t)p->order[i - row] : i];
            if (isfinite(must) && (must < back[i] || must > back[i]))
                __builtin_trap();
        }
    }
    gr_free(blocks);
    gr_free(back);
    gr_free(wide);
}

static void read_names(const gr_packed_config *c)
{
    gr_names n = {0};
    gr_weights *w = gr_weights_open(fuzz_dir);
    told(w ? GR_OK : gr_error_status());
    if (!w)
        return;
    gr_status s = gr_names_open(&n, "fuzz", w, &gr_arch_llama, c);
    told(s);
    for (int i = 0; s == GR_OK && i < n.count; i++)
        if (n.items[i].packed)
            join(&n.items[i]);
    gr_names_close(&n);
    gr_weights_close(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, 0, size);
    if (!device)
        begin();
    if (!end)
        return 0;
    char path[128];
    snprintf(path, sizeof path, "%s/model.safetensors", fuzz_dir);
    size_t rest = size - (size_t)(end + 1 - data);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(end + 1, 1, rest, f) != rest || fclose(f) != 0)
        exit(1);
    gr_packed_config c;
    gr_status s = gr_packed_config_open(&c, (const char *)data, fuzz_dir);
    told(s);
    if (s == GR_OK)
        read_names(&c);
    gr_packed_config_close(&c);
    return 0;
}
