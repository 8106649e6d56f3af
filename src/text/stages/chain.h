/* How tokenizer.json says what a stage does: one step, or a Sequence of steps. */
#ifndef GR_TEXT_CHAIN_H
#define GR_TEXT_CHAIN_H

#include "base/json.h"

/* The kinds of a stage's steps: an array of records that begin with the kind's type, a const char *. */
typedef struct gr_chain {
    const char *stage;     /* "decoder" */
    const char *list;      /* the key of a Sequence's steps */
    const char *supported; /* for the message on a type that is none of these */
    const void *kinds;     /* [count] records of so many bytes */
    size_t count, size;
    /* A step of that kind, added to what is read. */
    gr_status (*add)(void *to, const void *kind, gr_json value);
} gr_chain;

gr_status gr_chain_read(const gr_chain *c, gr_json value, void *to);

#endif
