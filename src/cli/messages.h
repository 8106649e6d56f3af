/* What has been said in a conversation, and the file that holds it: {"messages": [...], ...}. */
#ifndef GR_CLI_MESSAGES_H
#define GR_CLI_MESSAGES_H

#include "base/buffer.h"

typedef struct gr_message {
    bool is_user, is_system;
    char *json;   /* the message as an object */
    int64_t read; /* of a user's: tokens in the cache when it was first answered */
} gr_message;

/* Zeroed memory is a conversation in which nothing was said. */
typedef struct gr_messages {
    gr_message *items;
    size_t n, cap;
    char *more; /* what else a file had beside "messages": `"tools": [...], `; NULL: nothing */
} gr_messages;

void gr_messages_free(gr_messages *m);
/* reasoning may be NULL. What is no UTF-8 is an error. */
gr_status gr_messages_add(gr_messages *m, const char *role, const char *content, size_t size, const char *reasoning,
                          size_t reasoning_size);
/* The system's message, in place of the one that is there; "": none. */
gr_status gr_messages_set_system(gr_messages *m, const char *content);
/* The number of the last message of the user; -1: none. */
int64_t gr_messages_last_user(const gr_messages *m);
/* Its text, to be freed; NULL: it is no text. */
char *gr_messages_text(const gr_messages *m, int64_t i);
/* Forgets all from message i on. */
void gr_messages_cut(gr_messages *m, size_t i);
/* Forgets the oldest n turns, a turn being a user's message and what follows it; how many there were. */
int64_t gr_messages_drop(gr_messages *m, int64_t n);

/* One line of JSON, as a template takes it. */
gr_status gr_messages_format(const gr_messages *m, gr_bytes *out);
gr_status gr_messages_save(const gr_messages *m, const char *path);
/* In place of what was said; on failure that stays. */
gr_status gr_messages_load(gr_messages *m, const char *path);

#endif
