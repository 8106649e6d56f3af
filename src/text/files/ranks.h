/* Byte-level BPE as tiktoken has it: byte strings by rank. A rank is an id and the order of merging at once. */
#ifndef GR_TEXT_RANKS_H
#define GR_TEXT_RANKS_H

#include "text/vocab/vocab.h"

typedef struct gr_ranks {
    const char *name;        /* the file, for errors */
    const char *pattern;     /* what cuts texts, a regex */
    const gr_vocab *tokens;  /* byte strings by rank */
    uint32_t first;          /* the id of rank 0 */
    const gr_vocab *special; /* texts by id, part of the vocabulary too; NULL: none */
    const gr_bytes *added;   /* the list "added_tokens" without its brackets */
    const char *post;        /* "post_processor"; NULL: nothing is put around a text */
} gr_ranks;

/* Appends the tokenizer.json that transformers makes of it: every way to split a token into two tokens is a merge. */
gr_status gr_convert_ranks(const gr_ranks *r, gr_bytes *json);

#endif
