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
    {"chat-template", GR_TEXT(T, field.file), .value = "NAME|FILE",                                                    \
     .help = of "this template instead of the model's: a file, or chatml, llama3, mistral or gemma"},                  \
    {                                                                                                                  \
        "template-arg", GR_LIST(T, field.args), .value = "KEY=JSON",                                                   \
                                                .help = of "a variable of the template, as enable_thinking=false"      \
    }

typedef struct gr_chat {
    gr_template *template;
    gr_bytes variables; /* of --template-arg, an object */
    char *end;          /* the control token that ends the assistant's turns; NULL: none was found */
} gr_chat;

/* model: the directory that has the template, or a tokenizer alone. Close in any case. */
/* Is it the name of one of our templates, and no file? NULL is none. */
bool gr_chat_is_name(const char *given);
gr_status gr_chat_open(gr_args *args, const gr_chat_flags *flags, const char *model, gr_chat *chat);
void gr_chat_close(gr_chat *chat);
/* Finds chat->end, so that an answer ends there, whatever the model's files call the end of a text. */
gr_status gr_chat_find_end(gr_chat *chat, gr_tokenizer *tokenizer);
/* The texts that end an answer: those that were given, and chat->end. out->items is freed by the caller. */
gr_status gr_chat_stops(const gr_chat *chat, const gr_texts *given, gr_texts *out);
/* Renders a conversation, which `name` is called in messages. *out is freed by gr_free. */
gr_status gr_chat_render(const gr_chat *chat, const gr_tokenizer *tokenizer, const char *name, const char *json,
                         size_t size, const gr_rendered **out);

/* ---- conversations as data ---------------------------------------------------------------------------------- */

typedef struct gr_chat_data_flags {
    gr_chat_flags template;
    int loss, too_long, on_ambiguous; /* a gr_chat_loss, a gr_too_long; 1: last */
    bool add_tokens;
} gr_chat_data_flags;

/* clang-format off */
#define GR_CHAT_DATA_FLAGS(T, field)                                                                                   \
    {GR_HEADING("Conversations")},                                                                                     \
    GR_CHAT_FLAGS(T, field.template, ""),                                                                              \
    {"loss", GR_CHOICE(T, field.loss), .value = "assistant|last|all", .initial = "assistant",                          \
     .help = "what of a conversation is learned: what the assistant says, its last turn, or everything"},              \
    {"too-long", GR_CHOICE(T, field.too_long), .value = "cut|drop|error", .initial = "cut",                            \
     .help = "a document longer than a row: of a conversation the end is left out, others become pieces; or it is left "  \
             "out; or it is an error"},                                                                                \
    {"on-ambiguous", GR_CHOICE(T, field.on_ambiguous), .value = "refuse|last", .initial = "refuse",                    \
     .help = "a conversation whose earlier turns the template rewrites: left out, or its last turn is learned"},       \
    {"add-tokens", GR_SWITCH(T, field.add_tokens),                                                                     \
     .help = "tokens that chatml, llama3 or gemma needs and the tokenizer lacks are added to it, and to a model that is there: " \
             "their rows begin as the mean of the others, and are trained"}
/* clang-format on */

/* As gr_chat_open; a model without a template is fine, until a conversation comes. */
gr_status gr_chat_open_for_data(gr_args *args, const gr_chat_data_flags *flags, const char *model, gr_chat *chat);
/* Refuses those of the flags that were given for nothing: text that is one stream has no conversations. */
gr_status gr_chat_check_joined(gr_args *args);
/* The same where documents are kept apart, and none is a conversation. */
gr_status gr_chat_check_heard(gr_args *args, const gr_data *data);
void gr_chat_set_data(const gr_chat *chat, const gr_chat_data_flags *flags, gr_data_options *o);

#endif
