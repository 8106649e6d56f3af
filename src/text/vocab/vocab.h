/* A vocabulary: byte strings to ids and back. Ids may have holes. */
#ifndef GR_TEXT_VOCAB_H
#define GR_TEXT_VOCAB_H

#include "base/buffer.h"

typedef struct gr_vocab_entry {
    uint32_t offset, size; /* in the pool; size UINT32_MAX: no token has this id */
} gr_vocab_entry;

typedef struct gr_vocab {
    gr_bytes pool;
    gr_vocab_entry *entry; /* by id */
    size_t rows, rows_cap; /* largest id + 1 */
    size_t count;          /* tokens */
    bool repeats;          /* some string has several ids */
    uint64_t *slot;        /* id + 1 and 32 bits of the hash above; 0: empty; open addressing */
    size_t slots;          /* a power of two */
} gr_vocab;

uint64_t gr_hash_bytes(const void *data, size_t size);

/* Room for so many tokens and bytes of text, so that nothing is moved while they are added. */
gr_status gr_vocab_reserve(gr_vocab *v, size_t tokens, size_t bytes);
/* Adds a token. An id that is taken, a string that is there already or an id far beyond the number of tokens added is
 * an error. */
gr_status gr_vocab_add(gr_vocab *v, const char *text, size_t size, uint32_t id);
/* The same, but a string that is there already gets the new id; the old one still has its text. */
gr_status gr_vocab_add_again(gr_vocab *v, const char *text, size_t size, uint32_t id);
/* The id, or -1. */
int32_t gr_vocab_find(const gr_vocab *v, const char *text, size_t size);
/* The string of an id, not NUL-terminated; NULL when there is none. */
const char *gr_vocab_text(const gr_vocab *v, int64_t id, size_t *size);
void gr_vocab_free(gr_vocab *v);

#endif
