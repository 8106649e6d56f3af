/* gradus tokenize --chat: a conversation as its template writes it, its ids, and which bytes the messages brought. */
#ifndef GR_CLI_TOKENIZE_CHAT_H
#define GR_CLI_TOKENIZE_CHAT_H

#include "cli/chat_template.h"

/* file: the conversation; model: what MODEL stands for. */
gr_status gr_tokenize_chat(gr_args *args, const char *file, const gr_chat_flags *flags, const char *model,
                           gr_tokenizer *tokenizer);

#endif
