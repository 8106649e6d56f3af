/* Keys, the list of tensors, and their bytes. */
#include "format/gguf_write.h"

#include <string.h>

#include "base/dtype.h"
#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"

enum { ALIGNMENT = 32 };

/* ---- values ------------------------------------------------------------------------------------------------- */

static gr_status add_number(gr_bytes *to, uint64_t x, int bytes)
{
    uint8_t out[8];
    for (int i = 0; i < bytes; i++)
        out[i] = (uint8_t)(x >> 8 * i);
    return gr_bytes_add(to, out, (size_t)bytes);
}

static gr_status add_text(gr_bytes *to, const char *text, size_t size)
{
    gr_status s = add_number(to, size, 8);
    return s == GR_OK ? gr_bytes_add(to, text, size) : s;
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static void note(gr_gguf_keys *k, gr_status s)
{
    k->status = k->status == GR_OK ? s : k->status;
}

static void begin(gr_gguf_keys *k, const char *name, gr_gguf_type type)
{
    note(k, add_text(&k->bytes, name, strlen(name)));
    note(k, add_number(&k->bytes, (uint64_t)type, 4));
    k->count++;
}

void gr_gguf_keys_free(gr_gguf_keys *k)
{
    gr_bytes_free(&k->bytes);
}

void gr_gguf_put_u16(gr_gguf_keys *k, const char *name, uint16_t x)
{
    begin(k, name, GR_GGUF_U16);
    note(k, add_number(&k->bytes, x, 2));
}

void gr_gguf_put_i32(gr_gguf_keys *k, const char *name, int32_t x)
{
    begin(k, name, GR_GGUF_I32);
    gr_gguf_add_i32(k, x);
}

void gr_gguf_put_u32(gr_gguf_keys *k, const char *name, uint32_t x)
{
    begin(k, name, GR_GGUF_U32);
    note(k, add_number(&k->bytes, x, 4));
}

void gr_gguf_put_f32(gr_gguf_keys *k, const char *name, float x)
{
    begin(k, name, GR_GGUF_F32);
    gr_gguf_add_f32(k, x);
}

void gr_gguf_put_bool(gr_gguf_keys *k, const char *name, bool x)
{
    begin(k, name, GR_GGUF_BOOL);
    note(k, add_number(&k->bytes, x, 1));
}

void gr_gguf_put_text(gr_gguf_keys *k, const char *name, const char *text, size_t size)
{
    begin(k, name, GR_GGUF_TEXT);
    gr_gguf_add_text(k, text, size);
}

void gr_gguf_put_list(gr_gguf_keys *k, const char *name, gr_gguf_type type, uint64_t count)
{
    begin(k, name, GR_GGUF_ARRAY);
    note(k, add_number(&k->bytes, (uint64_t)type, 4));
    note(k, add_number(&k->bytes, count, 8));
}

void gr_gguf_add_i32(gr_gguf_keys *k, int32_t x)
{
    note(k, add_number(&k->bytes, (uint32_t)x, 4));
}

void gr_gguf_add_f32(gr_gguf_keys *k, float x)
{
    note(k, add_number(&k->bytes, bits_of(x), 4));
}

void gr_gguf_add_text(gr_gguf_keys *k, const char *text, size_t size)
{
    note(k, add_text(&k->bytes, text, size));
}

void gr_gguf_add_bytes(gr_gguf_keys *k, const void *bytes, size_t size)
{
    note(k, gr_bytes_add(&k->bytes, bytes, size));
}

void gr_gguf_join(gr_gguf_keys *k, const gr_gguf_keys *more)
{
    note(k, more->status);
    note(k, gr_bytes_add(&k->bytes, more->bytes.data, more->bytes.size));
    k->count += more->count;
}

/* ---- the file ----------------------------------------------------------------------------------------------- */

static size_t bytes_of(const gr_weight *t)
{
    size_t bytes = 0;
    gr_dtype_shape_size(t->dtype, t->ndim, t->shape, &bytes);
    return bytes;
}

/* One line of the list; *offset goes on to the next tensor's place. */
static gr_status add_info(gr_bytes *head, const gr_weight *t, uint64_t *offset)
{
    const gr_dtype_info *d = gr_dtype_get(t->dtype);
    if (!d->ggml)
        return gr_fail(GR_ERR_UNSUPPORTED, "tensor \"%s\" is of %s, which GGUF files have not\nwrite f32, f16 or bf16",
                       t->name, d->name);
    if (strlen(t->name) > GR_MAX_GGUF_NAME)
        return gr_fail(GR_ERR_UNSUPPORTED, "tensor \"%s\": a name of more than %d bytes", t->name, GR_MAX_GGUF_NAME);
    gr_status s = add_text(head, t->name, strlen(t->name));
    if (s == GR_OK)
        s = add_number(head, (uint64_t)t->ndim, 4);
    for (int i = t->ndim - 1; s == GR_OK && i >= 0; i--) /* the innermost first */
        s = add_number(head, (uint64_t)t->shape[i], 8);
    if (s == GR_OK)
        s = add_number(head, d->ggml_id, 4);
    if (s == GR_OK)
        s = add_number(head, *offset, 8);
    *offset = gr_round_up(*offset + bytes_of(t), ALIGNMENT);
    return s;
}

static gr_status make_head(const gr_gguf_spec *spec, gr_bytes *head)
{
    static const char zeros[ALIGNMENT];
    uint64_t offset = 0;
    gr_status s = spec->keys->status;
    if (s == GR_OK)
        s = gr_bytes_add_string(head, "GGUF");
    if (s == GR_OK)
        s = add_number(head, 3, 4);
    if (s == GR_OK)
        s = add_number(head, (uint64_t)spec->count, 8);
    if (s == GR_OK)
        s = add_number(head, (uint64_t)spec->keys->count, 8);
    if (s == GR_OK)
        s = gr_bytes_add(head, spec->keys->bytes.data, spec->keys->bytes.size);
    for (int i = 0; s == GR_OK && i < spec->count; i++)
        s = add_info(head, &spec->tensors[i], &offset);
    size_t rest = gr_round_up(head->size, ALIGNMENT) - head->size;
    return s == GR_OK ? gr_bytes_add(head, zeros, rest) : s;
}

gr_status gr_gguf_keys_alone(const gr_gguf_keys *k, gr_bytes *out)
{
    const gr_gguf_spec spec = {.keys = k};
    return make_head(&spec, out);
}

gr_status gr_gguf_size(const gr_gguf_spec *spec, uint64_t *bytes)
{
    gr_bytes head = {0};
    gr_status s = make_head(spec, &head);
    *bytes = head.size;
    for (int i = 0; i < spec->count; i++)
        *bytes += gr_round_up(bytes_of(&spec->tensors[i]), ALIGNMENT);
    gr_bytes_free(&head);
    return s;
}

static gr_status write_tensors(gr_writer *w, const gr_gguf_spec *spec)
{
    static const char zeros[ALIGNMENT];
    for (int i = 0; i < spec->count; i++) {
        size_t bytes = bytes_of(&spec->tensors[i]), rest = gr_round_up(bytes, ALIGNMENT) - bytes;
        const void *data = NULL;
        if (spec->fetch(spec->user, spec->first + i, &data) != GR_OK)
            return gr_fail_in("tensor \"%s\"", spec->tensors[i].name);
        if ((bytes && gr_writer_write(w, data, bytes) != GR_OK) || (rest && gr_writer_write(w, zeros, rest) != GR_OK))
            return gr_error_status();
    }
    return GR_OK;
}

gr_status gr_gguf_write(const char *path, const gr_gguf_spec *spec)
{
    gr_bytes head = {0};
    gr_status s = make_head(spec, &head);
    gr_writer *w = s == GR_OK ? gr_writer_open(path) : NULL;
    if (w && gr_writer_write(w, head.data, head.size) == GR_OK && write_tensors(w, spec) == GR_OK) {
        gr_bytes_free(&head);
        return gr_writer_commit(w);
    }
    s = gr_error_status();
    gr_writer_cancel(w);
    gr_bytes_free(&head);
    return s;
}

/* ---- several files ------------------------------------------------------------------------------------------ */

/* The first tensor that is not in the part which begins with `from`. */
static int end_of_part(const gr_gguf_spec *spec, int from, size_t most)
{
    size_t bytes = 0;
    int i = from;
    for (; i < spec->count; i++) {
        size_t next = gr_round_up(bytes_of(&spec->tensors[i]), ALIGNMENT);
        if (most && i > from && bytes + next > most)
            break;
        bytes += next;
    }
    return i;
}

int gr_gguf_parts(const gr_gguf_spec *spec, size_t most)
{
    int n = 0, at = 0;
    do {
        at = end_of_part(spec, at, most);
        n++;
    } while (at < spec->count);
    return n;
}

static gr_status write_part(const char *path, const gr_gguf_spec *spec, int i, int n, int from, int to)
{
    gr_gguf_keys keys = {0};
    if (i == 0)
        gr_gguf_join(&keys, spec->keys);
    gr_gguf_put_u16(&keys, "split.no", (uint16_t)i);
    gr_gguf_put_u16(&keys, "split.count", (uint16_t)n);
    gr_gguf_put_i32(&keys, "split.tensors.count", spec->count);
    const gr_gguf_spec part = {.keys = &keys,
                               .tensors = spec->tensors + from,
                               .count = to - from,
                               .fetch = spec->fetch,
                               .user = spec->user,
                               .first = spec->first + from};
    char *name = gr_gguf_part_path(path, i, n);
    gr_status s = name ? gr_gguf_write(name, &part) : GR_ERR_MEMORY;
    gr_free(name);
    gr_gguf_keys_free(&keys);
    return s;
}

gr_status gr_gguf_write_parts(const char *path, const gr_gguf_spec *spec, size_t most)
{
    int n = gr_gguf_parts(spec, most);
    gr_status s = GR_OK;
    if (n == 1)
        return gr_gguf_write(path, spec);
    if (n > GR_MAX_GGUF_PARTS)
        return gr_fail(GR_ERR_ARGUMENT, "%d parts, and there can be %d\ngive a larger size", n, GR_MAX_GGUF_PARTS);
    for (int i = 0, from = 0; s == GR_OK && i < n; i++) {
        int to = end_of_part(spec, from, most);
        s = write_part(path, spec, i, n, from, to);
        from = to;
    }
    return s;
}
