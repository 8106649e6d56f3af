/* Chat templates on the command line: --chat-template, --template-arg. */
#ifndef GR_CLI_CHAT_TEMPLATE_H
#define GR_CLI_CHAT_TEMPLATE_H

#include "base/buffer.h"
#include "cli/args.h"

typedef struct gr_chat_flags {
    const char *file; /* of --chat-template; NULL: the model's */
    gr_texts args;    /* KEY=JSON */
} gr_chat_flags;

/* For tables of flags: {"chat-template", GR_TEXT(options, chat.file), ...}. of: what the help says first. */
#define GR_CHAT_FLAGS(T, field, of)                                                                                    \
    {"chat-template", GR_TEXT(T, field.file), .value = "FILE", .help = of "this template instead of the model's"},     \
    {                                                                                                                  \
        "template-arg", GR_LIST(T, field.args),                                                                        \
            .value = "KEY=JSON",                                                                                       \
            .help = of "a variable of the template, as enable_thinking=false; may be given several times"              \
    }

typedef struct gr_chat {
    gr_template *template;
    gr_bytes variables; /* of --template-arg, an object */
} gr_chat;

/* model: the directory that has the template, or a tokenizer alone. Close in any case. */
gr_status gr_chat_open(gr_args *args, const gr_chat_flags *flags, const char *model, gr_chat *chat);
void gr_chat_close(gr_chat *chat);
/* Renders a conversation, which `name` is called in messages. *out is freed by gr_free. */
gr_status gr_chat_render(const gr_chat *chat, const gr_tokenizer *tokenizer, const char *name, const char *json,
                         size_t size, const gr_rendered **out);

#endif
