/* "post_processor" of tokenizer.json: the tokens around a text. What a chain of templates makes of one text is worked out
 * when it is read: a list of tokens and of places for the text. */
#ifndef GR_TEXT_POST_PROCESS_H
#define GR_TEXT_POST_PROCESS_H

#include "base/json.h"

typedef struct gr_post_item { /* the text's ids, or a token */
    bool is_text;
    int32_t id;
} gr_post_item;

typedef struct gr_post {
    gr_post_item *item;
    size_t n, cap;
} gr_post;

/* Reads "post_processor" into an empty list; no processor: the text alone. special: with the tokens that it adds; without
 * them a template still says whether the text stands there once. */
gr_status gr_post_read(gr_json value, bool special, gr_post *out);
void gr_post_free(gr_post *p);

#endif
