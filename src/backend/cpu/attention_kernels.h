/* The attention kernels of each ISA level: one tile of queries against one block of keys. Scores lie transposed, a row a
 * key and a lane a query, so the softmax over keys runs down whole vectors; the matrix products are gemm's tiles. */
#ifndef GR_BACKEND_CPU_ATTENTION_KERNELS_H
#define GR_BACKEND_CPU_ATTENTION_KERNELS_H

#include "backend/cpu/block_kernels.h"
#include "backend/cpu/gemm_kernels.h"

/* Queries of a tile, a multiple of every level's vector; keys of a block. */
enum { GR_ATTENTION_LANES = 64, GR_ATTENTION_KEYS = 128 };

/* What the queries of a tile see. Where positions are the default, lanes see a band of keys that moves by one key every
 * `shared` lanes; where they are given, every pair is looked at. */
typedef struct gr_attention_mask {
    bool causal, given;
    int64_t window;   /* 0: none */
    int64_t shared;   /* lanes of one token: the query heads that read the same keys */
    int64_t lane0;    /* number of lane 0 among the group's rows, token · shared + head */
    int64_t position; /* of the query of the group's row 0: S - T */
    int64_t keys;     /* S */
    /* given: lane l sees keys with after[l] < position <= upto[l] */
    const int64_t *k_pos; /* of all keys; NULL: their number */
    int64_t after[GR_ATTENTION_LANES], upto[GR_ATTENTION_LANES];
    /* otherwise: lane l sees keys [first_key[l], end_key[l]), neither smaller than the lane's before */
    int64_t first_key[GR_ATTENTION_LANES], end_key[GR_ATTENTION_LANES];
    const int64_t *segment; /* of all keys, NULL: one */
    int64_t lane_segment[GR_ATTENTION_LANES];
} gr_attention_mask;

/* A block of keys: rows of d values, `row` apart. */
typedef struct gr_attention_keys {
    const float *k, *v;
    int64_t k_row, v_row;
    int64_t first, n; /* keys [first, first + n) */
    bool all;         /* every lane sees every one of them */
    bool band;        /* or what first_key and end_key say, and nothing else */
} gr_attention_keys;

typedef struct gr_attention_tile {
    int64_t d, n;    /* head width; queries */
    int64_t row;     /* floats from query to query in out and dq: d rounded up to vectors */
    float scale;     /* of scores */
    const float *qt; /* [d][LANES]: queries times scale, transposed */
    float *scores;   /* [KEYS][LANES], scratch */
    gr_attention_mask mask;
    /* forward: what is summed up so far */
    float *out; /* [n][row] sum of p v */
    bool begun; /* out, largest and sum hold something */
    float largest[GR_ATTENTION_LANES], sum[GR_ATTENTION_LANES];
    /* backward */
    const float *q, *d_out, *d_outt; /* [n][q_row], [n][d_out_row], [d][LANES] */
    int64_t q_row, d_out_row;
    float lse[GR_ATTENTION_LANES], dot[GR_ATTENTION_LANES]; /* dot: d_out · out */
    float *d_scores;                                        /* [KEYS][LANES], scratch */
    float *dq;                                              /* [n][row], added to; NULL: not wanted */
    float *dk, *dv;                                         /* rows of all keys, added to; NULL: not wanted */
    int64_t dk_row, dv_row;
} gr_attention_tile;

GR_ISA_DECLARE(void, gr_attention_forward, (gr_attention_tile * t, const gr_attention_keys *keys));
GR_ISA_DECLARE(void, gr_attention_backward, (gr_attention_tile * t, const gr_attention_keys *keys));
/* to[i] = x[i] · y[i] of n rows of d, summed in f64 and rounded once. */
GR_ISA_DECLARE(void, gr_attention_dots,
               (float *to, const float *x, int64_t x_row, const float *y, int64_t y_row, int64_t d, int64_t n));
/* [LANES] to = largest + log sum; 0 where sum is. */
GR_ISA_DECLARE(void, gr_attention_log_sums, (float *to, const float *largest, const float *sum));
/* Rows of keys or of values, those of all heads in one. */
typedef struct gr_attention_rows {
    gr_gemm_kind kind;           /* what they are, unless they are */
    const gr_dtype_info *blocks; /* of this dtype, which is widened a row at a time; else NULL */
    const void *at;
    int64_t values, bytes; /* of a row */
} gr_attention_rows;

/* One query token, all its heads, against some keys. */
typedef struct gr_attention_one {
    int64_t heads, d;        /* query heads, head width */
    int64_t shared;          /* query heads of a key head, which lie side by side */
    int64_t row;             /* floats from head to head in q and out: d rounded up to vectors */
    int64_t lanes;           /* heads rounded up to vectors */
    const int64_t *key_head; /* [heads] where in a key's row the values of its head begin */
    const float *q;          /* [heads][row], times scale */
    gr_attention_rows k, v;
    float *wide;                   /* four rows, scratch, where there are blocks */
    int64_t n;                     /* keys that are seen, 1 at least */
    int32_t at[GR_ATTENTION_KEYS]; /* [n] which */
    float *scores;                 /* [KEYS][lanes], scratch; finite */
    float *out;                    /* [heads][row] sum of p v */
    float *largest, *sum;          /* [lanes] */
} gr_attention_one;

GR_ISA_DECLARE(void, gr_attention_one_forward, (const gr_attention_one *o));
/* y = x factor */
GR_ISA_DECLARE(void, gr_row_scale, (float *y, const float *x, float factor, int64_t n));

/* ---- bands: which lanes see key s. For the default positions alone ------------------------------------------ */

static inline int64_t gr_attention_key_position(const gr_attention_mask *m, int64_t s)
{
    return m->k_pos ? m->k_pos[s] : s;
}

static inline int64_t gr_attention_clamp(int64_t x, int64_t most)
{
    return x < 0 ? 0 : x < most ? x : most;
}

/* The first lane that sees key s, and the one behind the last. */
static inline int64_t gr_attention_first_lane(const gr_attention_mask *m, int64_t s)
{
    if (!m->causal || m->given)
        return 0;
    return gr_attention_clamp((s - m->position) * m->shared - m->lane0, GR_ATTENTION_LANES);
}

static inline int64_t gr_attention_end_lane(const gr_attention_mask *m, int64_t s)
{
    if (m->window == 0 || m->window > m->keys || m->given)
        return GR_ATTENTION_LANES;
    return gr_attention_clamp((s + m->window - m->position) * m->shared - m->lane0, GR_ATTENTION_LANES);
}

#endif
