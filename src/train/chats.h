/* Conversations as training data: a record becomes the ids that a chat template makes of it, and which of these are
 * learned. */
#ifndef GR_TRAIN_CHATS_H
#define GR_TRAIN_CHATS_H

#include "base/buffer.h"
#include "gradus.h"

typedef struct gr_chats {
    const gr_template *template;
    gr_tokenizer *tokenizer;
    const char *variables; /* [variables_size] an object for the template; NULL: none */
    size_t variables_size;
    gr_chat_loss loss;
    bool ambiguous_last;
} gr_chats;

/* A conversation's tokens. Zeroed at first, and used again for the next. */
typedef struct gr_chat_row {
    gr_ids ids;
    gr_bytes learned;  /* [ids.size] 1: it is */
    char refused[512]; /* why there are none; "": there are */
} gr_chat_row;

/* json[0, size) is a record with "messages", "conversations", or lists of messages as "prompt" and "completion". What is
 * none is an error; what the template refuses, or where what is learned cannot be told, is a row that is refused. */
gr_status gr_chat_row_make(const gr_chats *c, const char *json, size_t size, gr_chat_row *row);
void gr_chat_row_free(gr_chat_row *row);

#endif
