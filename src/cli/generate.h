/* The flags of generation, shared by generate and plan; and the prompt they give. */
#ifndef GR_CLI_GENERATE_H
#define GR_CLI_GENERATE_H

#include "cli/open.h"

typedef struct gr_generate_flags {
    const char *prompt, *prompt_file;
    gr_id_rows ids;
    int64_t tokens, top_k, samples;
    double temperature, top_p, min_p, typical_p, repeat_penalty, frequency_penalty, presence_penalty;
    gr_texts stop;
    bool ignore_eos;
} gr_generate_flags;

extern const gr_flag gr_generate_flag_table[];

/* The ids of the prompt; an empty one becomes the token that begins a text. Caller frees *ids. */
gr_status gr_read_prompt(gr_args *args, const gr_opened *on, int64_t **ids, int64_t *n);

#endif
