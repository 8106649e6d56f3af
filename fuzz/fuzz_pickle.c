/* A file of torch.save of hostile bytes: refused with a message, or every tensor it names lies inside of it or of copies
 * no larger than it is. An input that does not begin as a zip archive is the pickle of one, so that the machine is
 * reached without the archive's offsets having to be right: its storages are those below. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "format/torch.h"

static void put(uint8_t **p, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *(*p)++ = (uint8_t)(value >> 8 * i);
}

static void put_text(uint8_t **p, const void *text, size_t size)
{
    if (size)
        memcpy(*p, text, size);
    *p += size;
}

/* An archive of data.pkl and three storages; *out is as large as it needs to be. */
static size_t make_archive(const uint8_t *pickle, size_t size, uint8_t *out)
{
    static const uint8_t numbers[24] = {1, 2, 3};
    const struct {
        const char *name;
        const uint8_t *data;
        size_t size;
    } entries[] = {
        {"m/data.pkl", pickle, size}, {"m/data/0", numbers, 24}, {"m/data/1", numbers, 4}, {"m/data/2", numbers, 0}};
    enum { N = sizeof entries / sizeof *entries };
    size_t begin[N];
    uint8_t *p = out;
    for (int i = 0; i < N; i++) {
        begin[i] = (size_t)(p - out);
        put_text(&p, "PK\3\4", 4);
        put(&p, 0, 8);
        put(&p, 0, 8);
        put(&p, 0, 6);
        put(&p, strlen(entries[i].name), 4);
        put_text(&p, entries[i].name, strlen(entries[i].name));
        put_text(&p, entries[i].data, entries[i].size);
    }
    size_t directory = (size_t)(p - out);
    for (int i = 0; i < N; i++) {
        put_text(&p, "PK\1\2", 4);
        put(&p, 0, 8);
        put(&p, 0, 8);
        put(&p, entries[i].size, 4);
        put(&p, entries[i].size, 4);
        put(&p, strlen(entries[i].name), 4);
        put(&p, 0, 8);
        put(&p, 0, 2);
        put(&p, begin[i], 4);
        put_text(&p, entries[i].name, strlen(entries[i].name));
    }
    size_t end = (size_t)(p - out);
    put_text(&p, "PK\5\6\0\0\0\0", 8);
    put(&p, N | N << 16, 4);
    put(&p, end - directory, 4);
    put(&p, directory, 4);
    put(&p, 0, 2);
    return (size_t)(p - out);
}

static void check(const gr_source *source, size_t size)
{
    unsigned sum = 0;
    for (int i = 0; i < source->count; i++) {
        const gr_weight *t = &source->tensors[i];
        size_t n = t->stored ? (size_t)t->stored->bits / 8 : 1;
        for (int d = 0; d < t->ndim; d++)
            n *= (size_t)t->shape[d];
        if (t->bytes > size || (t->stored && n != t->bytes) || (i && strcmp(t[-1].name, t->name) >= 0))
            __builtin_trap();
        for (size_t b = 0; b < t->bytes; b++)
            sum += ((const uint8_t *)t->data)[b];
    }
    for (int i = 0; i < source->others_count; i++)
        sum += (unsigned)strlen(source->others[i].name) + (unsigned)strlen(source->others[i].what);
    if (source->check(source->self) != GR_OK && !gr_error()[0])
        sum = 1u << 31;
    if (sum == 1u << 31)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *made = NULL;
    gr_source source;
    if (size < 2 || memcmp(data, "PK", 2) != 0) {
        made = malloc(size + 1024);
        if (!made)
            return 0;
        size = make_archive(data, size, made);
        data = made;
    }
    if (gr_torch_parse("fuzz", data, size, &source) == GR_OK) {
        check(&source, size);
        source.close(source.self);
    } else if (!gr_error()[0] || gr_error_status() == GR_OK) {
        __builtin_trap(); /* refused without saying why */
    }
    if (gr_mem_read_stats().live_blocks)
        __builtin_trap();
    free(made);
    return 0;
}
