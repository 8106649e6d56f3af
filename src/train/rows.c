/* Which tokens make row k. */
#include "train/data.h"

#include "base/mem.h"
#include "base/sized.h"
#include "base/philox.h"

#include <math.h>

enum { PHASE_STREAM = 0x70686173 /* "phas" */, ORDER_STREAM = 0x6f726472 /* "ordr" */, ROUNDS = 4, IGNORED = -100 };

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

/* ---- of a stream -------------------------------------------------------------------------------------------- */

/* Less than one window is read round and round, in order. */
static bool is_cut(const gr_data *d, bool shuffle, int64_t context)
{
    return shuffle && d->n - 1 >= context;
}

/* One window less than would fit leaves room to shift all of them. */
int64_t gr_data_windows(const gr_data *d, bool shuffle, int64_t context)
{
    if (!is_cut(d, shuffle, context))
        return (d->n + context - 1) / context;
    int64_t fit = (d->n - 1) / context;
    return fit > 2 ? fit - 1 : fit;
}

/* Where shuffled row k begins. */
static int64_t shuffled_start(const gr_data *d, uint64_t seed, int64_t k, int64_t context)
{
    int64_t windows = gr_data_windows(d, true, context);
    int64_t epoch = k / windows, room = d->n - 1 - windows * context;
    int64_t phase = (int64_t)(random_word(seed, PHASE_STREAM, (uint64_t)epoch) % (uint64_t)(room + 1));
    return phase + context * permuted(seed, (uint64_t)epoch, k % windows, windows);
}

void gr_data_row(const gr_data *d, bool shuffle, uint64_t seed, int64_t k, int64_t context, gr_token *tokens,
                 gr_token *targets)
{
    bool cut = is_cut(d, shuffle, context);
    int64_t at = cut ? shuffled_start(d, seed, k, context) : (k % d->n) * (context % d->n) % d->n;
    for (int64_t i = 0; i < context; i++) {
        tokens[i] = d->ids[at];
        at = at + 1 == d->n ? 0 : at + 1;
        targets[i] = d->ids[at];
    }
}

/* ---- of documents ------------------------------------------------------------------------------------------- */

int64_t gr_rows_index(const gr_rows *r, int64_t k)
{
    int64_t epoch = k / r->count;
    return r->shuffle ? permuted(r->seed, (uint64_t)epoch, k % r->count, r->count) : k % r->count;
}

/* The pieces of a row one behind the other, each a segment; the padding is one more. */
static void fill_from_documents(const gr_rows *r, int64_t k, gr_token *tokens, gr_token *targets, int64_t *segments)
{
    const gr_data *d = r->data;
    int64_t row = gr_rows_index(r, k), at = 0, segment = 0;
    for (int64_t p = r->first[row]; p < r->first[row + 1]; p++, segment++) {
        const gr_row_piece *piece = &r->pieces[p];
        const gr_document *document = &d->documents[piece->document];
        for (int64_t i = piece->at; i < piece->at + piece->n; i++, at++) {
            tokens[at] = d->ids[i];
            targets[at] = gr_is_learned(d, document, i + 1) ? d->ids[i + 1] : IGNORED;
            segments[at] = segment;
        }
    }
    for (; at < r->context; at++) {
        tokens[at] = 0;
        targets[at] = IGNORED;
        segments[at] = segment;
    }
}

void gr_rows_empty(int64_t context, gr_token *tokens, gr_token *targets, int64_t *segments)
{
    for (int64_t i = 0; i < context; i++) {
        tokens[i] = 0;
        targets[i] = IGNORED;
        if (segments)
            segments[i] = 0;
    }
}

/* ---- rows --------------------------------------------------------------------------------------------------- */

gr_rows *gr_rows_new(const gr_data *data, int64_t context, bool shuffle, uint64_t seed)
{
    if (gr_lacks(data, "gr_rows_new: data"))
        return NULL;
    if (context < 1) {
        gr_fail(GR_ERR_ARGUMENT, "rows: %lld tokens are not possible, at least 1 is", (long long)context);
        return NULL;
    }
    if (!data->documents && data->n <= context) {
        gr_fail(GR_ERR_ARGUMENT,
                "rows: the data has %lld tokens, a row of context %lld needs %lld\n"
                "give more text, a shorter context, or keep documents apart, which pads",
                (long long)data->n, (long long)context, (long long)context + 1);
        return NULL;
    }
    gr_rows *r = gr_alloc_zero(1, sizeof *r);
    if (!r)
        return NULL;
    *r = (gr_rows){.data = data, .context = context, .shuffle = shuffle, .seed = seed};
    if (!data->documents)
        r->count = gr_data_windows(data, shuffle, context);
    else if (gr_pack(r) != GR_OK) {
        gr_rows_free(r);
        return NULL;
    }
    r->info.size = sizeof r->info;
    r->info.rows = r->count;
    r->info.tokens = data->n;
    return r;
}

void gr_rows_free(gr_rows *r)
{
    if (!r)
        return;
    gr_free(r->pieces);
    gr_free(r->first);
    gr_free(r->files);
    gr_free(r);
}

const gr_rows_info *gr_rows_describe(const gr_rows *r)
{
    if (gr_lacks(r, "gr_rows_describe: rows"))
        return NULL;
    return &r->info;
}

void gr_rows_fill(const gr_rows *r, int64_t k, gr_token *tokens, gr_token *targets, int64_t *segments)
{
    if (gr_lacks(r, "gr_rows_fill: rows") || gr_lacks(tokens, "gr_rows_fill: tokens") ||
        gr_lacks(targets, "gr_rows_fill: targets"))
        return;
    if (r->data->documents) {
        fill_from_documents(r, k, tokens, targets, segments);
        return;
    }
    gr_data_row(r->data, r->shuffle, r->seed, k, r->context, tokens, targets);
    for (int64_t i = 0; segments && i < r->context; i++)
        segments[i] = 0;
}

int64_t gr_rows_of_step(const gr_rows *r, int64_t room, int64_t rows)
{
    return rows > 0 && r->count < room ? r->count : room;
}

gr_status gr_rows_place(const gr_rows *r, int64_t k, int64_t segment, gr_segment_place *out)
{
    gr_segment_place place = {0};
    if (gr_lacks(r, "gr_rows_place: rows") || gr_lacks(out, "gr_rows_place: out"))
        return GR_ERR_ARGUMENT;
    if (k < 0 || segment < 0)
        return gr_fail(GR_ERR_ARGUMENT, "gr_rows_place: there is no row %lld with segment %lld", (long long)k,
                       (long long)segment);
    if (r->data->documents) {
        const int64_t *first = r->first + gr_rows_index(r, k);
        place.is_padding = segment >= first[1] - first[0];
        const gr_document *d = place.is_padding ? NULL : &r->data->documents[r->pieces[first[0] + segment].document];
        place.file = d ? r->data->files[d->file] : NULL;
        place.line = d ? d->line : 0;
    }
    return gr_give_sized(out, &place, sizeof place, "gr_rows_place: out");
}
