/* Attention of one query token with a block of keys. Its time is that of reading them, so they are read as memory likes
 * it: row behind row, each with the values of all heads, one stream at a time. */
#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/kernels/isa_suffix.h"
#include "backend/cpu/kernels/vec.h"
#include "backend/cpu/kernels/widen.h"

#include <string.h>

enum { FOUR = 4, LINE = 64, AHEAD = 12288 /* bytes */ };
enum { SHARED = GR_LANES == 16 ? 4 : 2 }; /* heads whose weights for four keys fit into the registers */

/* Two shuffles for any four sums: element by element a0 b0 a2 b2 .. and a1 b1 a3 b3 .., pair by pair the same. */
#if defined(__clang__)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (gr_vec_int){__VA_ARGS__})
#endif
#if defined(__AVX512F__)
#define EVEN 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30
#define ODD 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31
#define EVEN_PAIRS 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define ODD_PAIRS 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#elif defined(__AVX2__)
#define EVEN 0, 8, 2, 10, 4, 12, 6, 14
#define ODD 1, 9, 3, 11, 5, 13, 7, 15
#define EVEN_PAIRS 0, 1, 8, 9, 4, 5, 12, 13
#define ODD_PAIRS 2, 3, 10, 11, 6, 7, 14, 15
#else
#define EVEN 0, 4, 2, 6
#define ODD 1, 5, 3, 7
#define EVEN_PAIRS 0, 1, 4, 5
#define ODD_PAIRS 2, 3, 6, 7
#endif

typedef float quad __attribute__((vector_size(FOUR * sizeof(float))));
typedef float quad_mem __attribute__((vector_size(FOUR * sizeof(float)), aligned(4), may_alias));

/* The sums over the lanes of four vectors. */
GR_INLINE quad four_sums(const gr_vec *v)
{
    gr_vec a = SHUFFLE(v[0], v[1], EVEN) + SHUFFLE(v[0], v[1], ODD);
    gr_vec b = SHUFFLE(v[2], v[3], EVEN) + SHUFFLE(v[2], v[3], ODD);
    gr_vec c = SHUFFLE(a, b, EVEN_PAIRS) + SHUFFLE(a, b, ODD_PAIRS);
    quad part[GR_LANES / FOUR];
    memcpy(part, &c, sizeof part);
    for (int half = GR_LANES / FOUR / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            part[i] += part[i + half];
    return part[0];
}

/* to[i] = head h + i of q · its part of the key's row, each summed alike. Past the last head it is the last again. */
GR_INLINE void four_dots(const gr_attention_one *o, int64_t h, const char *key, float *to, const gr_gemm_kind kind)
{
    const int64_t size = gr_kind_bytes(kind);
    const float *q[FOUR];
    const char *k[FOUR];
    gr_vec sum[FOUR] = {{0}};
    for (int64_t i = 0; i < FOUR; i++) {
        int64_t head = h + i < o->heads ? h + i : o->heads - 1;
        q[i] = o->q + head * o->row;
        k[i] = key + o->key_head[head] * size;
    }
    int64_t at = 0;
    for (; at + GR_LANES <= o->d; at += GR_LANES)
        for (int i = 0; i < FOUR; i++)
            sum[i] += gr_vec_load(q[i] + at) * gr_widen(k[i] + at * size, kind);
    *(quad_mem *)to = four_sums(sum);
    for (; at < o->d; at++)
        for (int i = 0; i < FOUR; i++)
            to[i] += q[i][at] * gr_widen_one(k[i] + at * size, kind);
}

/* Row s as `kind`: where it lies, or widened into `wide`. Asks for what lies AHEAD of it: memory's own guesses come late. */
GR_INLINE const char *row_of(const gr_attention_rows *x, int64_t s, float *wide)
{
    const char *row = (const char *)x->at + s * x->bytes;
    for (int64_t at = 0; at < x->bytes; at += LINE)
        __builtin_prefetch(row + at + AHEAD, 0, 2); /* not the first level: its few misses are for loads */
    if (!x->blocks)
        return row;
    GR_ISA_FN(gr_blocks_widen)(x->blocks, row, wide, x->values);
    return (const char *)wide;
}

/* Heads h to h + 3 where they share a key head: two keys at a time, so that six loads serve eight multiply-adds. The same
 * sums, to the bit. */
GR_INLINE void shared_dots(const gr_attention_one *o, int64_t h, const char *const key[2], float *const to[2],
                           const gr_gemm_kind kind)
{
    const int64_t size = gr_kind_bytes(kind), row = o->row, first = o->key_head[h] * size;
    const float *q = o->q + h * row;
    const char *a = key[0] + first, *b = key[1] + first;
    gr_vec sum[2][FOUR] = {{{0}}};
    int64_t at = 0;
    for (; at + GR_LANES <= o->d; at += GR_LANES) {
        const gr_vec x = gr_widen(a + at * size, kind), y = gr_widen(b + at * size, kind);
        for (int i = 0; i < FOUR; i++) {
            const gr_vec head = gr_vec_load(q + i * row + at);
            sum[0][i] += head * x;
            sum[1][i] += head * y;
        }
    }
    *(quad_mem *)(to[0] + h) = four_sums(sum[0]);
    *(quad_mem *)(to[1] + h) = four_sums(sum[1]);
    for (int i = 0; i < FOUR; i++) { /* both keys may be the last one, and `to` one place */
        float x = to[0][h + i], y = to[1][h + i];
        for (int64_t rest = at; rest < o->d; rest++) {
            x += q[i * row + rest] * gr_widen_one(a + rest * size, kind);
            y += q[i * row + rest] * gr_widen_one(b + rest * size, kind);
        }
        to[0][h + i] = x;
        to[1][h + i] = y;
    }
}

GR_INLINE void score_shared(const gr_attention_one *o, const gr_gemm_kind kind)
{
    for (int64_t i = 0; i < o->n; i += 2) {
        const int64_t next = i + 1 < o->n ? i + 1 : i;
        const char *const key[] = {row_of(&o->k, o->at[i], o->wide), row_of(&o->k, o->at[next], o->wide + o->k.values)};
        float *const to[] = {o->scores + i * o->lanes, o->scores + next * o->lanes};
        for (int64_t h = 0; h < o->heads; h += FOUR)
            shared_dots(o, h, key, to, kind);
    }
}

GR_INLINE void score(const gr_attention_one *o, const gr_gemm_kind kind)
{
    if (o->shared % FOUR == 0) {
        score_shared(o, kind);
        return;
    }
    for (int64_t i = 0; i < o->n; i++) {
        const char *key = row_of(&o->k, o->at[i], o->wide);
        for (int64_t h = 0; h < o->heads; h += FOUR)
            four_dots(o, h, key, o->scores + i * o->lanes + h, kind);
    }
}

/* A vector of heads: scores become e^(score - largest). */
static void soften(const gr_attention_one *o, int64_t h)
{
    float *column = o->scores + h;
    gr_vec largest = gr_vec_load(column), sum = {0};
    for (int64_t i = 1; i < o->n; i++)
        largest = gr_vec_max(gr_vec_load(column + i * o->lanes), largest);
    for (int64_t i = 0; i < o->n; i++) {
        gr_vec p = gr_vec_exp_negative(gr_vec_load(column + i * o->lanes) - largest);
        gr_vec_store(column + i * o->lanes, p);
        sum += p;
    }
    gr_vec_store(o->largest + h, largest);
    gr_vec_store(o->sum + h, sum);
}

/* n heads from h on, which read the same part of `keys` rows, added to out: which is read and written once for the keys,
 * and the values once for the heads. Key j counts p[j] for head h. */
GR_INLINE void add_values(const gr_attention_one *o, int64_t h, const char *const *v, const float *const *p,
                          const gr_gemm_kind kind, const int keys, const int n)
{
    const int64_t size = gr_kind_bytes(kind), d = o->d, row = o->row, first = o->key_head[h] * size;
    float *out = o->out + h * row, weight[SHARED][FOUR];
    for (int i = 0; i < n; i++)
        for (int j = 0; j < keys; j++)
            weight[i][j] = p[j] ? p[j][h + i] : 0;
    int64_t at = 0;
    for (; at + GR_LANES <= d; at += GR_LANES) {
        gr_vec x[FOUR];
        for (int j = 0; j < keys; j++)
            x[j] = gr_widen(v[j] + first + at * size, kind);
        for (int i = 0; i < n; i++) {
            gr_vec y = gr_vec_load(out + i * row + at);
            for (int j = 0; j < keys; j++)
                y += weight[i][j] * x[j];
            gr_vec_store(out + i * row + at, y);
        }
    }
    for (; at < d; at++)
        for (int i = 0; i < n; i++)
            for (int j = 0; j < keys; j++)
                out[i * row + at] += weight[i][j] * gr_widen_one(v[j] + first + at * size, kind);
}

/* So many keys at a time, and heads. */
GR_INLINE void weigh_by(const gr_attention_one *o, const gr_gemm_kind kind, const int keys, const int n)
{
    const int64_t heads = o->heads;
    for (int64_t i = 0; i < o->n; i += keys) {
        const char *v[FOUR];
        const float *p[FOUR];
        for (int64_t j = 0; j < keys; j++) { /* past the last key it is the first again, and counts nothing */
            bool there = i + j < o->n;
            v[j] = there ? row_of(&o->v, o->at[i + j], o->wide + j * o->v.values) : v[0];
            p[j] = there ? o->scores + (i + j) * o->lanes : NULL;
        }
        for (int64_t h = 0; h < heads; h += n)
            add_values(o, h, v, p, kind, keys, n);
    }
}

/* Heads with keys of their own read memory faster the fewer rows at a time. */
GR_INLINE void weigh(const gr_attention_one *o, const gr_gemm_kind kind)
{
    if (o->shared % SHARED == 0)
        weigh_by(o, kind, FOUR, SHARED);
    else
        weigh_by(o, kind, 2, 1);
}

/* One of three for each kind. */
#define OF_KIND(f, rows)                                                                                               \
    ((rows).kind == GR_GEMM_F32   ? f(o, GR_GEMM_F32)                                                                  \
     : (rows).kind == GR_GEMM_F16 ? f(o, GR_GEMM_F16)                                                                  \
                                  : f(o, GR_GEMM_BF16))

void GR_ISA_FN(gr_attention_one_forward)(const gr_attention_one *o)
{
    memset(o->out, 0, (size_t)(o->heads * o->row) * sizeof *o->out);
    OF_KIND(score, o->k);
    for (int64_t h = 0; h < o->heads; h += GR_LANES)
        soften(o, h);
    OF_KIND(weigh, o->v);
}
