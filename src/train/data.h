/* Training data: one stream of token ids, cut into rows of `context` tokens and their successors. */
#ifndef GR_TRAIN_DATA_H
#define GR_TRAIN_DATA_H

#include "gradus.h"

struct gr_data {
    int32_t *ids;
    int64_t n;
    int64_t bytes;        /* of text; 0: unknown */
    const gr_data *whole; /* of a part: whose ids these are */
};

/* Row k of all rows a run ever sees: tokens [context] and the same shifted by one as targets. A function of its
 * arguments alone, so that a run can go on anywhere. Sequential: from k · context on, wrapping at the end. Shuffled: every
 * epoch cuts the stream at another phase and visits the windows in another order. */
void gr_data_row(const gr_data *d, bool shuffle, uint64_t seed, int64_t k, int64_t context, int64_t *tokens,
                 int64_t *targets);

#endif
