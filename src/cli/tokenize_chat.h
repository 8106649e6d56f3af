/* gradus tokenize --chat: a conversation as its template writes it, its ids, and which bytes the messages brought. */
#ifndef GR_CLI_TOKENIZE_CHAT_H
#define GR_CLI_TOKENIZE_CHAT_H

#include "cli/args.h"

typedef struct gr_chat_flags {
    const char *chat, *chat_template;
    gr_texts template_args; /* KEY=JSON */
} gr_chat_flags;

/* model: what MODEL stands for. */
gr_status gr_tokenize_chat(gr_args *args, const gr_chat_flags *flags, const char *model, gr_tokenizer *tokenizer);

#endif
