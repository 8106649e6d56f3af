/* Text of a model, and how well it predicts a text. Part of gradus.h. */
#ifndef GRADUS_GENERATE_H
#define GRADUS_GENERATE_H

#include "gradus/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How the next token is drawn: transformers' processors, in this order. GR_INIT(gr_sampling) is always the most likely one.
 * docs/generation.md has the formulas. */
typedef struct gr_sampling {
    size_t size;
    double repeat_penalty; /* divides positive and multiplies negative logits of tokens seen (Keskar et al. 2019); 0 or
                                 1: off */
    double frequency_penalty; /* taken off a new token's logit for each time that it was made; 0: off */
    double presence_penalty;  /* taken off once, if it was made at all; 0: off */
    double temperature;       /* divides the logits; 0: always the most likely token, nothing below matters */
    int64_t top_k;            /* only the k most likely; 0: all */
    double top_p;             /* only the most likely that together have p; 0 or 1: all */
    double min_p;             /* only those at least this fraction of the most likely one's probability; 0: all */
    double typical_p;         /* only the most typical that together have p (Meister et al. 2023); 0 or 1: all */
    uint64_t seed;
} gr_sampling;
/* Draws from logits [vocab], given the n tokens so far, of which the first `prompt` were given and not made; a function of
 * its arguments alone (draw number n of the seed); sampling NULL: the most likely. -1 when the logits are not numbers,
 * a setting is out of its range, or without memory. */
GR_API gr_token gr_sample_token(const gr_sampling *sampling, const float *logits, int64_t vocab, const gr_token *tokens,
                                int64_t n, int64_t prompt);

/* Runs a model token by token: keys and values of what it has read are kept in a cache. `batch` sequences side by side,
 * each at its own length. */
typedef struct gr_generator gr_generator;
/* capacity: the most tokens of a sequence, prompt and answer, up to the model's limit; 0: the model's context. The model must outlive it. */
GR_API gr_generator *gr_generator_new(gr_model *model, int64_t batch, int64_t capacity);
GR_API void gr_generator_free(gr_generator *generator); /* NULL is fine */
/* Feeds sequence b count[b] >= 0 more tokens, tokens[b] points to them, in chunks; logits [batch, vocab] then holds
 * what follows each sequence's last token (rows of sequences given nothing stay as they are). More than the capacity is
 * an error that changes nothing. */
GR_API gr_status gr_generator_feed(gr_generator *generator, const gr_token *const *tokens, const int64_t *count,
                                   float *logits);
GR_API int64_t gr_generator_length(const gr_generator *generator, int64_t sequence);
GR_API gr_status gr_generator_reset(gr_generator *generator); /* all sequences empty again */
/* What reading and generating need, all programs counted, and what one more token for each text costs when the cache is
 * full; lives as long as the generator. NULL when they cannot be compiled. */
GR_API const gr_plan *gr_generator_plan(gr_generator *generator);

/* Text of a model, from a prompt to its end. */
typedef enum gr_stop {
    GR_STOP_LENGTH, /* as many tokens as asked for, or the generator's capacity reached */
    GR_STOP_EOS,
    GR_STOP_TEXT,
    GR_STOP_ASKED, /* by a callback */
} gr_stop;
typedef struct gr_generate_options {
    size_t size;
    const gr_token *prompt; /* [n_prompt], at least one */
    int64_t n_prompt;
    int64_t max_tokens;          /* new ones at most */
    const gr_sampling *sampling; /* NULL: always the most likely token */
    const gr_token *eos; /* [n_eos] tokens that end the text; NULL: eos_token_id of the model's generation_config.json,
                                    else of its config.json, else the tokenizer's */
    int n_eos;
    bool ignore_eos;         /* no token ends it */
    const char *const *stop; /* [n_stop] texts that end it; they are looked for across tokens */
    int n_stop;
    /* Called with every new token and the text that is certain by now: whole characters, and nothing that could be the
     * beginning of a stop text. What was held back comes at the end, with id -1. Between two parts of a long prompt it is
     * called with id -1 and no text. false: all texts of the call end here. May be NULL. */
    bool (*token)(void *user, gr_token id, const char *text, size_t size);
    void *user;
    /* 0: the prompt begins with what the sequence has read. Else it may have read something else: of that stays what the
     * prompt begins with, too, `keep` tokens at most, and the rest is read. Nothing stays where a part cannot: a sliding
     * window has gone on by more than 128 tokens, or rotary frequencies go by a text's length. */
    int64_t keep;
} gr_generate_options;
typedef struct gr_generated {
    size_t size;
    const gr_token *ids; /* [n] the new tokens, one that ended the text included */
    int64_t n;
    const char *text; /* theirs, NUL-terminated; without control tokens and stop text; "" without tokenizer */
    size_t bytes;     /* of it */
    gr_stop stop;
    int64_t prefilled; /* tokens of the prompt that were read */
    double prefill_s;  /* to read them */
    double first_s;    /* until the first new token was there */
    double decode_s;   /* for all new ones behind the first */
} gr_generated;
/* Continues n prompts at once, at most the generator's batch: options[i] becomes out[i], by sequence i, whose first
 * gr_generator_length tokens it has read already. Each text is what it would be alone; prompts that are equal are read once.
 * tokenizer may be NULL: then there is no text. out[i] is the library's, to be freed with gr_free; on failure, as far as it
 * came, or NULL. Stopped by a callback: GR_ERR_INTERRUPTED. */
GR_API gr_status gr_generate(gr_generator *generator, gr_tokenizer *tokenizer, const gr_generate_options *options,
                             int64_t n, const gr_generated **out);

/* How far one model's predictions are from another's over the same tokens. */
typedef struct gr_distance {
    size_t size;
    double loss, loss_error; /* of the model: mean, and standard error of the mean (tokens taken as independent) */
    double against, against_error; /* the same of the other one */
    double kl, kl_error;   /* mean of sum p log(p / q) over the vocabulary, p the other one's probabilities, q the
                                      model's; and its standard error */
    double kl_99, kl_most; /* 99 of 100 tokens have at most this; the largest */
    double same;           /* share of tokens where both find the same one most likely */
} gr_distance;
/* How well a model predicts tokens it has not made. */
typedef struct gr_evaluate_options {
    size_t size;
    int64_t context; /* tokens of a window; 0: the model's context; up to its limit */
    int64_t stride;  /* from window to window, at most context; 0: context */
    /* Told how many of the n - 1 tokens are done, and their mean loss; false: stop. May be NULL. */
    bool (*progress)(void *user, int64_t done, int64_t total, double loss);
    void *user;
    gr_model
        *against; /* another model of the same vocabulary on the same device, compared token by token; NULL: none */
    gr_distance *distance; /* begins as GR_INIT(gr_distance); filled in where there is one */
    gr_plan *plan; /* begins as GR_INIT(gr_plan): filled with what it needs, and nothing is run; NULL: it is run */
} gr_evaluate_options;
/* Mean loss of predicting each of tokens[1..n) once, from at least context - stride tokens before it in its window (as
 * many as there are, near the start; one at least). options NULL: all zero. */
GR_API gr_status gr_evaluate(gr_model *model, const gr_token *tokens, int64_t n, const gr_evaluate_options *options,
                             double *loss);

#ifdef __cplusplus
}
#endif

#endif
