/* Which tokens make row k. */
#include "train/data.h"

#include "base/philox.h"

enum { PHASE_STREAM = 0x70686173 /* "phas" */, ORDER_STREAM = 0x6f726472 /* "ordr" */, ROUNDS = 4 };

static uint64_t random_word(uint64_t seed, uint64_t stream, uint64_t index)
{
    gr_philox_block b = gr_philox(seed, stream, index);
    return (uint64_t)b.v[0] << 32 | b.v[1];
}

/* A permutation of [0, n) that needs no memory: a Feistel network over the next even power of two, walked until it
 * lands inside (Black & Rogaway 2002, "Ciphers with arbitrary finite domains"). */
static int64_t permuted(uint64_t seed, uint64_t epoch, int64_t i, int64_t n)
{
    int half = 1;
    while (half < 31 && (int64_t)1 << (2 * half) < n)
        half++;
    const uint64_t mask = ((uint64_t)1 << half) - 1;
    uint64_t x = (uint64_t)i;
    do {
        uint64_t left = x >> half, right = x & mask;
        for (uint64_t round = 0; round < ROUNDS; round++) {
            uint64_t f = random_word(seed ^ epoch << 8 ^ round, ORDER_STREAM, right) & mask;
            uint64_t next = left ^ f;
            left = right;
            right = next;
        }
        x = left << half | right;
    } while (x >= (uint64_t)n);
    return (int64_t)x;
}

/* Where shuffled row k begins. One window less than would fit leaves room to shift all of them. */
static int64_t shuffled_start(const gr_data *d, uint64_t seed, int64_t k, int64_t context)
{
    int64_t fit = (d->n - 1) / context, windows = fit > 2 ? fit - 1 : fit;
    int64_t epoch = k / windows, room = d->n - 1 - windows * context;
    int64_t phase = (int64_t)(random_word(seed, PHASE_STREAM, (uint64_t)epoch) % (uint64_t)(room + 1));
    return phase + context * permuted(seed, (uint64_t)epoch, k % windows, windows);
}

void gr_data_row(const gr_data *d, bool shuffle, uint64_t seed, int64_t k, int64_t context, int64_t *tokens,
                 int64_t *targets)
{
    bool cut = shuffle && d->n - 1 >= context; /* less than one window: read round and round */
    int64_t at = cut ? shuffled_start(d, seed, k, context) : (k % d->n) * (context % d->n) % d->n;
    for (int64_t i = 0; i < context; i++) {
        tokens[i] = d->ids[at];
        at = at + 1 == d->n ? 0 : at + 1;
        targets[i] = d->ids[at];
    }
}
