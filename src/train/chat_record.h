/* A record of a conversation, in whichever form it was written, as messages that a template takes. */
#ifndef GR_TRAIN_CHAT_RECORD_H
#define GR_TRAIN_CHAT_RECORD_H

#include "base/buffer.h"

typedef struct gr_chat_message {
    size_t end; /* of its JSON in `text`, where that of the one before ends */
    bool is_assistant;
    bool is_left_out; /* of the assistant's, by "weight": 0: nothing of it is learned */
} gr_chat_message;

typedef struct gr_chat_record {
    gr_bytes text; /* the messages, as JSON, one behind the other */
    gr_chat_message *messages;
    size_t n, cap;
    size_t given;  /* messages of a prompt, of which nothing is learned */
    gr_bytes more; /* `, "tools": [...]` and documents */
    char role[40]; /* of the last message, as it can be shown */
} gr_chat_record;

/* Reads one into r, which is emptied first. Errors name the key. */
gr_status gr_chat_record_read(gr_chat_record *r, const char *json, size_t size);
void gr_chat_record_free(gr_chat_record *r);
/* The first n messages as a conversation for a template. */
gr_status gr_chat_record_format(const gr_chat_record *r, size_t n, bool add_generation_prompt, gr_bytes *out);

#endif
