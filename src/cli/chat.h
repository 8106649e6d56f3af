/* A conversation with a model: what the files of gradus chat share. */
#ifndef GR_CLI_CHAT_H
#define GR_CLI_CHAT_H

#include "cli/chat_template.h"
#include "cli/line.h"
#include "cli/messages.h"
#include "cli/open.h"
#include "cli/running.h"
#include "cli/samplers.h"

typedef struct gr_chat_options {
    const char *system;
    gr_chat_flags template;
    bool no_thinking;
    int64_t tokens, context;
    gr_running_flags running;
    gr_sampler_flags samplers;
    gr_texts stop;
} gr_chat_options;

/* A model that is talked to. */
typedef struct gr_partner {
    gr_opened on;
    gr_chat chat;
    gr_generator *generator;
    int64_t capacity; /* tokens of a conversation */
} gr_partner;

typedef struct gr_talk {
    gr_args *args;
    const gr_chat_options *o;
    gr_partner with;
    char *adapter; /* of /adapter; NULL: what the command line says */
    gr_messages said;
    int64_t keep;      /* tokens of the cache that may stay; a conversation from its beginning would have them, too */
    int64_t retries;   /* of the answer that is wanted: each draws with a seed of its own */
    struct gr_last {   /* the last answer */
        bool is_there; /* and the conversation ends with it */
        int64_t conversation, kept, made;
        double prefill_s, first_s, decode_s;
    } last;
    gr_lines *lines; /* NULL: no terminal */
    bool over;
} gr_talk;

/* Opens the model as the flags say. Close in any case. */
gr_status gr_partner_open(gr_args *args, gr_partner *p);
void gr_partner_close(gr_partner *p);

/* Answers what was said last and adds the answer to it. GR_ERR_INTERRUPTED: stopped, and what came until then is kept. */
gr_status gr_talk_answer(gr_talk *t);
/* How many tokens the conversation has, with what an answer to it would begin behind. */
gr_status gr_talk_count(gr_talk *t, int64_t *tokens);
/* What the user says next, and its answer; without one the message is taken back. */
gr_status gr_talk_say(gr_talk *t, const char *text, size_t size);
/* Forgets all from the last message of the user on; false: there is none. */
bool gr_talk_undo(gr_talk *t);
/* The answer to the last message anew. */
gr_status gr_talk_again(gr_talk *t, bool retry);

/* What a line that begins with / asks for. */
gr_status gr_talk_command(gr_talk *t, const char *line);

#endif
