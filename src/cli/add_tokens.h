/* --add-tokens: what a chat template of ours needs, and a tokenizer does not have. */
#ifndef GR_CLI_ADD_TOKENS_H
#define GR_CLI_ADD_TOKENS_H

#include "cli/chat_template.h"
#include "cli/open.h"

enum { GR_MOST_ADDED = 64 };
typedef struct gr_added_tokens {
    gr_token ids[GR_MOST_ADDED];
    int n;
    int64_t before; /* tokens that the tokenizer had */
} gr_added_tokens;

/* Puts a tokenizer with them in place of *tokenizer, if the flag is given and some are missing, and says which. */
gr_status gr_add_tokens(gr_args *args, const gr_chat_data_flags *flags, gr_tokenizer **tokenizer,
                        gr_added_tokens *added);
/* A model that was there before has rows for them from now on, the mean of the others. */
gr_status gr_add_token_rows(gr_args *args, const gr_opened *on, gr_added_tokens *added);

#endif
