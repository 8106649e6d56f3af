/* Writing a GGUF file, version 3: keys put one by one, then tensors as they are fetched. */
#ifndef GR_FORMAT_GGUF_WRITE_H
#define GR_FORMAT_GGUF_WRITE_H

#include "base/buffer.h"
#include "format/gguf.h"

/* The keys as they stand in the file. The first failure stays, so that putting is not checked but once, by gr_gguf_write. */
typedef struct gr_gguf_keys {
    gr_bytes bytes;
    int64_t count;
    gr_status status;
} gr_gguf_keys;

void gr_gguf_keys_free(gr_gguf_keys *k);
void gr_gguf_put_u16(gr_gguf_keys *k, const char *name, uint16_t x);
void gr_gguf_put_i32(gr_gguf_keys *k, const char *name, int32_t x);
void gr_gguf_put_u32(gr_gguf_keys *k, const char *name, uint32_t x);
void gr_gguf_put_f32(gr_gguf_keys *k, const char *name, float x);
void gr_gguf_put_bool(gr_gguf_keys *k, const char *name, bool x);
void gr_gguf_put_text(gr_gguf_keys *k, const char *name, const char *text, size_t size);
/* An array of `count` values, which are then added. */
void gr_gguf_put_list(gr_gguf_keys *k, const char *name, gr_gguf_type type, uint64_t count);
void gr_gguf_add_i32(gr_gguf_keys *k, int32_t x);
void gr_gguf_add_f32(gr_gguf_keys *k, float x);
void gr_gguf_add_bytes(gr_gguf_keys *k, const void *bytes, size_t size); /* of a list of GR_GGUF_U8 */
void gr_gguf_add_text(gr_gguf_keys *k, const char *text, size_t size);

/* All keys of `more` behind those of k. */
void gr_gguf_join(gr_gguf_keys *k, const gr_gguf_keys *more);
/* The bytes of a file that has these keys and no tensors. */
gr_status gr_gguf_keys_alone(const gr_gguf_keys *k, gr_bytes *out);

typedef struct gr_gguf_spec {
    const gr_gguf_keys *keys;
    const gr_weight *tensors; /* names of the file, shapes row-major; `data` and `bytes` are not looked at */
    int count;
    /* A tensor's bytes, valid until the next call; in order, once each. `index` counts from `first`. */
    gr_status (*fetch)(void *user, int index, const void **data);
    void *user;
    int first;
} gr_gguf_spec;

/* Atomic and durable. A dtype that such files do not have, and a name that is too long for them, are errors. */
gr_status gr_gguf_write(const char *path, const gr_gguf_spec *spec);

/* How large it would be. */
gr_status gr_gguf_size(const gr_gguf_spec *spec, uint64_t *bytes);

/* Into how many files its tensors go, if each but for one that is larger by itself has at most so many bytes of them; 0: any
 * number. */
int gr_gguf_parts(const gr_gguf_spec *spec, size_t most);
/* Writes all of them, by the names that gr_gguf_part_path makes of `path`; the first has the keys. */
gr_status gr_gguf_write_parts(const char *path, const gr_gguf_spec *spec, size_t most);

#endif
