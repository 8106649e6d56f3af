/* How a model is run when it is not trained: --precision, --activations, --cache-type; of every verb that does. */
#ifndef GR_CLI_RUNNING_H
#define GR_CLI_RUNNING_H

#include "cli/args.h"

typedef struct gr_running_flags {
    int precision, activations, cache, keys, values;
} gr_running_flags;

#define GR_CACHE_TYPES "f32|f16|bf16|q8_0|q4_0"
/* For tables of flags: GR_RUNNING_FLAGS(options, running). */
#define GR_RUNNING_FLAGS(T, field)                                                                                     \
    {"precision", GR_CHOICE(T, field.precision), .value = "f32|bf16|fp16", .initial = "f32",                           \
     .help = "of activations, and of the cache of keys and values"},                                                   \
        {"activations", GR_CHOICE(T, field.activations), .value = "int8|f32", .initial = "int8",                       \
         .help = "how rows of these meet quantized weights: rounded to 8 bits, a scale for 32 values; or as they "     \
                 "are"},                                                                                               \
        {"cache-type", GR_CHOICE(T, field.cache), .value = GR_CACHE_TYPES,                                             \
         .help = "what keys and values are kept in; unless given, as --precision says, which with f32 is exact"},      \
        {"cache-type-k", GR_CHOICE(T, field.keys), .value = GR_CACHE_TYPES, .help = "the same of keys alone"},         \
    {                                                                                                                  \
        "cache-type-v", GR_CHOICE(T, field.values), .value = GR_CACHE_TYPES, .help = "and of values alone"             \
    }

/* What the flags ask gr_model_load for; cache has room for what options point to. */
void gr_set_running(const gr_args *args, const gr_running_flags *flags, gr_dtype cache[2], gr_load_options *options);

#endif
