/* Growable arrays of bytes and of token ids. Zeroed memory is an empty one; a failed grow leaves it as it was. */
#ifndef GR_BASE_BUFFER_H
#define GR_BASE_BUFFER_H

#include <string.h>
#include "base/mem.h"

typedef struct gr_bytes {
    char *data;
    size_t size, cap;
} gr_bytes;

typedef struct gr_ids {
    int32_t *data;
    size_t size, cap;
} gr_ids;

/* Room for `more` elements behind the present ones; the caller writes them and adds to size. */
static inline gr_status gr_bytes_reserve(gr_bytes *b, size_t more)
{
    size_t need;
    if (b->cap - b->size >= more)
        return GR_OK;
    return gr_add_size(b->size, more, &need) ? gr_grow(&b->data, &b->cap, need, 1) : GR_ERR_MEMORY;
}

static inline gr_status gr_bytes_add(gr_bytes *b, const void *data, size_t size)
{
    gr_status status = gr_bytes_reserve(b, size);
    if (status == GR_OK && size) {
        memcpy(b->data + b->size, data, size);
        b->size += size;
    }
    return status;
}

static inline gr_status gr_bytes_add_string(gr_bytes *b, const char *s)
{
    return gr_bytes_add(b, s, strlen(s));
}

static inline gr_status gr_ids_reserve(gr_ids *a, size_t more)
{
    size_t need;
    if (a->cap - a->size >= more)
        return GR_OK;
    return gr_add_size(a->size, more, &need) ? gr_grow(&a->data, &a->cap, need, sizeof *a->data) : GR_ERR_MEMORY;
}

static inline gr_status gr_ids_add(gr_ids *a, int32_t id)
{
    gr_status status = gr_ids_reserve(a, 1);
    if (status == GR_OK)
        a->data[a->size++] = id;
    return status;
}

static inline void gr_bytes_free(gr_bytes *b)
{
    gr_free(b->data);
    *b = (gr_bytes){0};
}

static inline void gr_ids_free(gr_ids *a)
{
    gr_free(a->data);
    *a = (gr_ids){0};
}

#endif
