/* How tokens are drawn, of every verb that makes text: the flags, and what the model's files say. */
#ifndef GR_CLI_SAMPLERS_H
#define GR_CLI_SAMPLERS_H

#include "cli/open.h"

typedef struct gr_sampler_flags {
    int64_t top_k;
    double temperature, top_p, min_p, typical_p, repeat_penalty, frequency_penalty, presence_penalty;
} gr_sampler_flags;

/* clang-format off */
/* For tables of flags: T has a gr_sampler_flags called field. */
#define GR_SAMPLER_FLAGS(T, field)                                                                                     \
    {GR_HEADING("How tokens are drawn, in this order")},                                                               \
    {"repeat-penalty", GR_FLOAT(T, field.repeat_penalty), .value = "X", .initial = "1", .min = 1e-3, .max = 1e30,      \
     .help = "makes tokens that were there before less likely; 1: off"},                                               \
    {"frequency-penalty", GR_FLOAT(T, field.frequency_penalty), .value = "X", .initial = "0", .min = -2, .max = 2,     \
     .help = "taken off a new token's logit for each time it was made; 0: off"},                                       \
    {"presence-penalty", GR_FLOAT(T, field.presence_penalty), .value = "X", .initial = "0", .min = -2, .max = 2,       \
     .help = "taken off once, if it was made at all; 0: off"},                                                         \
    {"temperature", GR_FLOAT(T, field.temperature), .value = "X", .initial = "0.8", .max = 1e30,                       \
     .help = "1: as the model says; lower is safer; 0: always the most likely token"},                                 \
    {"top-k", GR_INT(T, field.top_k), .value = "N", .initial = "0", .unit = "tokens",                                  \
     .help = "only the N most likely; 0: all"},                                                                        \
    {"top-p", GR_FLOAT(T, field.top_p), .value = "X", .initial = "0.95", .max = 1,                                     \
     .help = "only the most likely that together have this probability; 1: all"},                                      \
    {"min-p", GR_FLOAT(T, field.min_p), .value = "X", .initial = "0", .max = 1,                                        \
     .help = "only those at least this fraction as likely as the most likely one; 0: all"},                            \
    {"typical-p", GR_FLOAT(T, field.typical_p), .value = "X", .initial = "0", .max = 1,                                \
     .help = "only the most typical that together have this probability; 0 or 1: all"}
/* clang-format on */

/* For gr_generate, but for the seed. */
gr_sampling gr_sampling_of(const gr_sampler_flags *f);
/* Samplers that the command line did not give become what generation_config.json beside the model says, and stderr says so.
 * The flags are those of args. */
gr_status gr_samplers_of_model(gr_args *args, const gr_opened *on);

#endif
