/* Generation inside: what its files know of a generator. */
#ifndef GR_INFER_INFER_H
#define GR_INFER_INFER_H

#include "gradus.h"

int64_t gr_generator_batch(const gr_generator *generator);
int64_t gr_generator_capacity(const gr_generator *generator); /* tokens of a sequence */
int64_t gr_generator_vocab(const gr_generator *generator);
/* Sequence `to`, which is empty, becomes as if it had read what `from` has. */
gr_status gr_generator_fork(gr_generator *generator, int64_t from, int64_t to);

#endif
