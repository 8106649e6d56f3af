/* Added tokens: strings that are found in the text before anything else looks at it. */
#ifndef GR_TEXT_ADDED_H
#define GR_TEXT_ADDED_H

#include "text/vocab/trie.h"
#include "text/vocab/vocab.h"

typedef struct gr_added_token {
    bool special;        /* control token: only found in text when asked for */
    bool hidden;         /* left out of decoded text when asked for: what it decodes to is a control token's content */
    bool normalized;     /* searched for in the normalized text */
    bool lstrip, rstrip; /* takes the white space before, behind */
    bool single_word;    /* not inside of a word */
    bool present;        /* by id, so there are holes */
    char *shown;         /* normalized: what it decodes to, its content normalized; else NULL */
    size_t shown_size;
} gr_added_token;

typedef struct gr_added {
    gr_vocab vocab;        /* contents by id */
    gr_added_token *token; /* by id */
    size_t rows, cap;
    size_t next; /* id of the next token that the model does not know */
    gr_trie raw, normalized;
} gr_added;

/* Adds a token, or replaces the flags of one that is there. */
gr_status gr_added_add(gr_added *a, const char *content, size_t size, int32_t id, gr_added_token flags);
/* The same with the id that Hugging Face gives, which does not believe the ids of files: a token that the model knows has
 * the model's, others count on from where gr_added_begin found the end of the vocabulary and of the tokens added before:
 * a token in between whose id in the model is larger does not move them. */
void gr_added_begin(gr_added *a, const gr_vocab *model);
gr_status gr_added_put(gr_added *a, const gr_vocab *model, const char *content, size_t size, gr_added_token flags,
                       int32_t *id);
void gr_added_free(gr_added *a);

static inline bool gr_added_is_special(const gr_added *a, int64_t id)
{
    return id >= 0 && (uint64_t)id < a->rows && a->token[id].present && a->token[id].special;
}

/* A walk over the matches of one trie in a text. */
typedef struct gr_added_search {
    const gr_added *added;
    const gr_trie *trie;
    const char *text, *end;
    bool parse_special;
    const char *from, *done;   /* where to search on; end of the last match with what it stripped */
    const unsigned char *mask; /* of the text: a token is not found where a byte of it is 1; NULL: none is */
} gr_added_search;

/* The next token: its id, and the text before it that belongs to no token ([*start, *stop) may be empty); -1 at the
 * end, with the rest of the text. */
int32_t gr_added_next(gr_added_search *s, const char **start, const char **stop);

#endif
