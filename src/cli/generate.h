/* The flags of generation, shared by generate and plan; and the prompts they give. */
#ifndef GR_CLI_GENERATE_H
#define GR_CLI_GENERATE_H

#include "cli/chat_template.h"
#include "cli/open.h"
#include "cli/running.h"
#include "cli/samplers.h"

typedef struct gr_generate_flags {
    gr_texts prompts, prompt_files;
    gr_id_rows ids;
    int64_t tokens, samples;
    gr_sampler_flags samplers;
    gr_texts stop;
    bool ignore_eos, chat;
    gr_chat_flags template;
    gr_running_flags running;
} gr_generate_flags;

extern const gr_flag gr_generate_flag_table[];

typedef struct gr_prompts {
    gr_token **ids; /* [count], and how many each has */
    int64_t *n;
    size_t count;
    int64_t longest;
    gr_texts stops; /* texts that end an answer: those of --stop, and */
    char *end;      /* with --chat, what ends the assistant's turns; NULL: none */
} gr_prompts;

/* The ids of all prompts; an empty one becomes the token that begins a text. Free in any case. */
gr_status gr_read_prompts(gr_args *args, const gr_opened *on, gr_prompts *prompts);
void gr_free_prompts(gr_prompts *prompts);

/* Texts that are made side by side: few rows are multiplied at the speed of reading the weights. */
enum { GR_TEXTS_AT_ONCE = 16 };
/* How many of them there are for so many prompts. */
int64_t gr_texts_at_once(const gr_generate_flags *f, size_t prompts);

#endif
