/* GGUF files put together by hand: keys and tensors one by one, any of which may lie. */
#ifndef GRADUS_TESTS_GGUF_FILE_H
#define GRADUS_TESTS_GGUF_FILE_H

#include "test.h"

#include "base/buffer.h"
#include "format/gguf.h"

typedef struct gguf_file {
    gr_bytes keys, infos, data;
    uint64_t n_keys, n_tensors, alignment;
    uint32_t version;
} gguf_file;

__attribute__((unused)) static gguf_file gguf_new(void)
{
    return (gguf_file){.alignment = 32, .version = 3};
}

__attribute__((unused)) static void gguf_free(gguf_file *f)
{
    gr_bytes_free(&f->keys);
    gr_bytes_free(&f->infos);
    gr_bytes_free(&f->data);
}

__attribute__((unused)) static void gguf_put(gr_bytes *to, uint64_t x, int bytes)
{
    uint8_t out[8];
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(x >> 8 * i);
    CHECK_OK(gr_bytes_add(to, out, (size_t)bytes));
}

__attribute__((unused)) static void gguf_put_text(gr_bytes *to, const char *text)
{
    gguf_put(to, strlen(text), 8);
    CHECK_OK(gr_bytes_add_string(to, text));
}

/* A key's name and type; its value is the caller's. */
__attribute__((unused)) static void gguf_key(gguf_file *f, const char *name, uint32_t type)
{
    gguf_put_text(&f->keys, name);
    gguf_put(&f->keys, type, 4);
    f->n_keys++;
}

__attribute__((unused)) static void gguf_u32(gguf_file *f, const char *name, uint32_t x)
{
    gguf_key(f, name, GR_GGUF_U32);
    gguf_put(&f->keys, x, 4);
}

__attribute__((unused)) static void gguf_f32(gguf_file *f, const char *name, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    gguf_key(f, name, GR_GGUF_F32);
    gguf_put(&f->keys, bits, 4);
}

__attribute__((unused)) static void gguf_bool(gguf_file *f, const char *name, bool x)
{
    gguf_key(f, name, GR_GGUF_BOOL);
    gguf_put(&f->keys, x, 1);
}

__attribute__((unused)) static void gguf_text(gguf_file *f, const char *name, const char *text)
{
    gguf_key(f, name, GR_GGUF_TEXT);
    gguf_put_text(&f->keys, text);
}

__attribute__((unused)) static void gguf_list(gguf_file *f, const char *name, uint32_t type, uint64_t count)
{
    gguf_key(f, name, GR_GGUF_ARRAY);
    gguf_put(&f->keys, type, 4);
    gguf_put(&f->keys, count, 8);
}

__attribute__((unused)) static void gguf_texts(gguf_file *f, const char *name, const char *const *texts, size_t n)
{
    gguf_list(f, name, GR_GGUF_TEXT, n);
    for (size_t i = 0; i < n; i++)
        gguf_put_text(&f->keys, texts[i]);
}

__attribute__((unused)) static void gguf_i32s(gguf_file *f, const char *name, const int32_t *x, size_t n)
{
    gguf_list(f, name, GR_GGUF_I32, n);
    for (size_t i = 0; i < n; i++)
        gguf_put(&f->keys, (uint32_t)x[i], 4);
}

__attribute__((unused)) static void gguf_f32s(gguf_file *f, const char *name, const float *x, size_t n)
{
    gguf_list(f, name, GR_GGUF_F32, n);
    for (size_t i = 0; i < n; i++)
        CHECK_OK(gr_bytes_add(&f->keys, &x[i], 4));
}

/* What the list says of a tensor; dims row-major. */
__attribute__((unused)) static void gguf_info(gguf_file *f, const char *name, uint32_t type, int ndim,
                                              const int64_t *dims, uint64_t offset)
{
    gguf_put_text(&f->infos, name);
    gguf_put(&f->infos, (uint64_t)ndim, 4);
    for (int i = ndim - 1; i >= 0; i--)
        gguf_put(&f->infos, (uint64_t)dims[i], 8);
    gguf_put(&f->infos, type, 4);
    gguf_put(&f->infos, offset, 8);
    f->n_tensors++;
}

__attribute__((unused)) static void gguf_pad(gr_bytes *to, uint64_t alignment)
{
    while (alignment && to->size % alignment)
        gguf_put(to, 0, 1);
}

__attribute__((unused)) static void gguf_tensor(gguf_file *f, const char *name, uint32_t type, int ndim,
                                                const int64_t *dims, const void *data, size_t bytes)
{
    gguf_pad(&f->data, f->alignment);
    gguf_info(f, name, type, ndim, dims, f->data.size);
    CHECK_OK(gr_bytes_add(&f->data, data, bytes));
}

/* All of it; free with gr_bytes_free. */
__attribute__((unused)) static gr_bytes gguf_bytes(const gguf_file *f)
{
    gr_bytes out = {0};
    CHECK_OK(gr_bytes_add_string(&out, "GGUF"));
    gguf_put(&out, f->version, 4);
    gguf_put(&out, f->n_tensors, 8);
    gguf_put(&out, f->n_keys, 8);
    CHECK_OK(gr_bytes_add(&out, f->keys.data, f->keys.size));
    CHECK_OK(gr_bytes_add(&out, f->infos.data, f->infos.size));
    gguf_pad(&out, f->alignment);
    CHECK_OK(gr_bytes_add(&out, f->data.data, f->data.size));
    return out;
}

/* A file in the test's folder. */
__attribute__((unused)) static const char *gguf_write(const gguf_file *f, const char *name)
{
    gr_bytes all = gguf_bytes(f);
    const char *path = test_file(name, all.data, all.size);
    gr_bytes_free(&all);
    return path;
}

#endif
