/* Generation inside: what its files know of a generator. */
#ifndef GR_INFER_INFER_H
#define GR_INFER_INFER_H

#include "gradus.h"

const gr_model *gr_generator_model(const gr_generator *generator);
int64_t gr_generator_batch(const gr_generator *generator);
int64_t gr_generator_capacity(const gr_generator *generator); /* tokens of a sequence */
int64_t gr_generator_vocab(const gr_generator *generator);
/* What is fed next is the beginning of a text of this length: rotary positions that depend on it go by the whole. */
void gr_generator_announce(gr_generator *generator, int64_t sequence, int64_t length);
/* Sequence `to`, which is empty, becomes as if it had read what `from` has. */
gr_status gr_generator_fork(gr_generator *generator, int64_t from, int64_t to);
/* A sequence forgets all but what it has in common with tokens [n] at their beginning, `most` tokens of that at most. It
 * forgets everything where a part cannot be kept: a ring holds too little of what was before, or rotary frequencies go by
 * the text's length. */
gr_status gr_generator_rewind(gr_generator *generator, int64_t sequence, const gr_token *tokens, int64_t n,
                              int64_t most);

/* Settings as they were given, all of them in range, with 1 where 0 is as good; NULL: the most likely token. */
gr_status gr_sampling_take(gr_sampling *own, const gr_sampling *given, const char *what);
/* Room to draw tokens of one vocabulary, again and again. */
typedef struct gr_sampler gr_sampler;
gr_sampler *gr_sampler_new(int64_t vocab);
void gr_sampler_free(gr_sampler *sampler); /* NULL is fine */
/* As gr_sample_token, with settings of gr_sampling_take. */
gr_token gr_sampler_draw(gr_sampler *sampler, const gr_sampling *how, const float *logits, const gr_token *tokens,
                         int64_t n, int64_t prompt);
/* What would be drawn how often: p [vocab]. */
gr_status gr_sampler_probabilities(gr_sampler *sampler, const gr_sampling *how, const float *logits,
                                   const gr_token *tokens, int64_t n, int64_t prompt, double *p);

#endif
