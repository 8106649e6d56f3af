/* Measuring models by a text: its tokens, and how the distance of two models is told. */
#ifndef GR_CLI_MEASURE_H
#define GR_CLI_MEASURE_H

#include "base/json.h"
#include "cli/chat_template.h"
#include "cli/open.h"

/* A text as a model reads it: behind the token that its tokenizer begins texts with, where it does. Zeroed is empty. */
typedef struct gr_measured_text {
    gr_token *ids; /* [n] */
    int64_t n, bytes;
} gr_measured_text;
/* Of conversations and of prompts with answers it is what the model's chat template makes of them. */
gr_status gr_measured_read(const gr_args *args, const char *path, const gr_opened *on, const gr_chat_flags *template,
                           gr_measured_text *out);
void gr_measured_free(gr_measured_text *text);
enum { GR_CALIBRATION_WINDOW = 512 };
/* Windows from all over the text, up to so many tokens, are what stays of it. */
void gr_choose_windows(gr_measured_text *t, int64_t most);

/* Lines of a table, and keys of a record, both beginning with what the model itself is. `name`: what it is measured against. */
void gr_print_distance(const gr_distance *d);
void gr_put_distance(gr_json root, const char *name, const gr_distance *d);
/* A perplexity can be too large for a number; it is null then. */
void gr_put_perhaps(gr_json into, const char *key, double x);

/* To give to gr_evaluate and gr_quantize as `progress`: the bar of the verb that is at work; Ctrl-C ends them. */
bool gr_show_measuring(void *user, int64_t done, int64_t total, double loss);
bool gr_show_quantizing(void *user, const char *what, double done);

#endif
