/* Attention of one tile of queries and one block of keys, forward with an online softmax and backward (Dao et al. 2022).
 *
 * Where a band of keys is seen (causal, window), products are left out by groups of rows: what a group reads is a
 * superset of what it sees, and the surplus was set to 0 by the softmax pass, which covers all that any group reads. */
#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/gemm_kernels.h"
#include "backend/cpu/kernels/isa_suffix.h"
#include "backend/cpu/kernels/vec.h"

#include <string.h>

enum { LANES = GR_ATTENTION_LANES };

static const gr_gemm_kernels *gemm(void)
{
    return GR_ISA_FN(gr_gemm_kernels_get)();
}

static int64_t lanes_up(int64_t n)
{
    return (n + GR_LANES - 1) / GR_LANES * GR_LANES;
}

/* t for all of c, in register tiles. */
static void multiply(gr_gemm_tile t, int64_t rows, int64_t cols)
{
    const gr_gemm_kernels *g = gemm();
    const float *a = t.a, *b = t.b;
    float *c = t.c;
    for (int64_t j = 0; j < cols; j += g->nr) {
        int64_t width = cols - j < g->nr ? cols - j : g->nr;
        for (int64_t i = 0; i < rows; i += g->mr) {
            t.a = a + i * t.a_row;
            t.b = b + j;
            t.c = c + i * t.ldc + j;
            g->tile[GR_GEMM_F32](&t, rows - i < g->mr ? rows - i : g->mr, width);
        }
    }
}

/* ---- which of a block is looked at -------------------------------------------------------------------------- */

/* A range of lanes, or of keys counted from the block's first. */
typedef struct range {
    int64_t first, end;
} range;

/* Lanes that see any of the group of keys [i, i + n) of the block. */
static range lanes_of(const gr_attention_tile *t, const gr_attention_keys *b, int64_t i, int64_t n)
{
    range r = {gr_attention_first_lane(&t->mask, b->first + i), gr_attention_end_lane(&t->mask, b->first + i + n - 1)};
    r.end = r.end < t->n ? r.end : t->n;
    return r;
}

/* Keys of the block that any of the lanes [first, last] sees. */
static range keys_of(const gr_attention_tile *t, const gr_attention_keys *b, int64_t first, int64_t last)
{
    const gr_attention_mask *m = &t->mask;
    return (range){gr_attention_clamp(m->first_key[first < 0 ? 0 : first] - b->first, b->n),
                   gr_attention_clamp(m->end_key[last < t->n ? last : t->n - 1] - b->first, b->n)};
}

/* Keys that any product reads of the vector of lanes from `lane` on: lanes are read in groups of mr, keys too. */
static range keys_of_vector(const gr_attention_tile *t, const gr_attention_keys *b, int64_t lane)
{
    int64_t mr = gemm()->mr;
    range r = keys_of(t, b, lane - mr, lane + GR_LANES - 1 + mr);
    r.first = r.first / mr * mr;
    r.end = (r.end + mr - 1) / mr * mr;
    r.end = r.end < b->n ? r.end : b->n;
    return r;
}

/* -infinity where a lane does not see a key, for one reason or another. */
static void hide(const gr_attention_tile *t, const gr_attention_keys *b)
{
    const gr_attention_mask *m = &t->mask;
    const float hidden = -__builtin_inff();
    for (int64_t i = 0; i < b->n; i++) {
        float *row = t->scores + i * LANES;
        int64_t s = b->first + i, position = gr_attention_key_position(m, s), segment = m->segment ? m->segment[s] : 0;
        for (int64_t l = 0; l < LANES; l++)
            row[l] = ((position > m->after[l]) & (position <= m->upto[l]) & (segment == m->lane_segment[l])) ? row[l]
                                                                                                             : hidden;
    }
}

static void hide_keys(float *column, int64_t first, int64_t end, gr_vec_int from, gr_vec_int upto)
{
    gr_vec hidden = gr_vec_set(-__builtin_inff());
    for (int64_t i = first; i < end; i++) {
        gr_vec_int key = (int32_t)i - (gr_vec_int){0}, seen = (key >= from) & (key < upto);
        gr_vec s = gr_vec_load(column + i * LANES);
        gr_vec_store(column + i * LANES, (gr_vec)(((gr_vec_int)s & seen) | ((gr_vec_int)hidden & ~seen)));
    }
}

/* The same for a vector of lanes that see a band: only keys that some of them sees are looked at. */
static void hide_band(const gr_attention_tile *t, const gr_attention_keys *b, int64_t lane, range keys)
{
    const gr_attention_mask *m = &t->mask;
    int32_t first[GR_LANES], end[GR_LANES];
    range all = {keys.first, keys.end}; /* keys that every lane sees */
    for (int64_t l = 0; l < GR_LANES; l++) {
        first[l] = (int32_t)gr_attention_clamp(m->first_key[lane + l] - b->first, b->n);
        end[l] = (int32_t)gr_attention_clamp(m->end_key[lane + l] - b->first, b->n);
        if (lane + l < t->n) {
            all.first = first[l] > all.first ? first[l] : all.first;
            all.end = end[l] < all.end ? end[l] : all.end;
        }
    }
    gr_vec_int from, upto;
    memcpy(&from, first, sizeof from);
    memcpy(&upto, end, sizeof upto);
    all.end = all.end > all.first ? all.end : all.first;
    hide_keys(t->scores + lane, keys.first, all.first, from, upto);
    hide_keys(t->scores + lane, all.end, keys.end, from, upto);
}

/* What is to become of scores in a vector of lanes: the keys that products read, hidden where they are not seen. */
static range seen_by_vector(const gr_attention_tile *t, const gr_attention_keys *b, int64_t lane)
{
    range r = keys_of_vector(t, b, lane);
    if (!b->all && b->band)
        hide_band(t, b, lane, r);
    return r;
}

/* to[key][lane] = x[key] · the lane's column of yt, for what is visible at least. */
static void score(const gr_attention_tile *t, const gr_attention_keys *b, float *to, const float *x, int64_t x_row,
                  const float *yt)
{
    int64_t mr = gemm()->mr;
    for (int64_t i = 0; i < b->n; i += mr) {
        int64_t n = b->n - i < mr ? b->n - i : mr;
        range r = lanes_of(t, b, i, n);
        r.first = r.first / GR_LANES * GR_LANES;
        if (r.first >= r.end)
            continue;
        gr_gemm_tile g = {.a = x + i * x_row,
                          .a_row = x_row,
                          .a_col = 1,
                          .b = yt + r.first,
                          .b_row = LANES,
                          .c = to + i * LANES + r.first,
                          .ldc = LANES,
                          .k = t->d};
        multiply(g, n, lanes_up(r.end - r.first));
    }
}

/* ---- forward ------------------------------------------------------------------------------------------------ */

/* Scores of one vector of lanes become e^(score - largest). Returns what older sums are to be multiplied by. */
static gr_vec soften(gr_attention_tile *t, int64_t lane, range keys)
{
    float *column = t->scores + lane;
    gr_vec none = gr_vec_set(-__builtin_inff()), zero = {0};
    gr_vec old = t->begun ? gr_vec_load(t->largest + lane) : none, m0 = old, m1 = old;
    int64_t i = keys.first;
    for (; i + 2 <= keys.end; i += 2) {
        m0 = gr_vec_max(gr_vec_load(column + i * LANES), m0);
        m1 = gr_vec_max(gr_vec_load(column + (i + 1) * LANES), m1);
    }
    if (i < keys.end)
        m0 = gr_vec_max(gr_vec_load(column + i * LANES), m0);
    gr_vec largest = gr_vec_max(m0, m1);
    gr_vec shift = (gr_vec)((gr_vec_int)largest & (largest != none)); /* nothing seen: 0, for e^-infinity is 0 then */
    gr_vec factor = gr_vec_exp_negative(old - shift), s0 = zero, s1 = zero;
    for (i = keys.first; i + 2 <= keys.end; i += 2) {
        gr_vec p0 = gr_vec_exp_negative(gr_vec_load(column + i * LANES) - shift);
        gr_vec p1 = gr_vec_exp_negative(gr_vec_load(column + (i + 1) * LANES) - shift);
        gr_vec_store(column + i * LANES, p0);
        gr_vec_store(column + (i + 1) * LANES, p1);
        s0 += p0;
        s1 += p1;
    }
    if (i < keys.end) {
        gr_vec p = gr_vec_exp_negative(gr_vec_load(column + i * LANES) - shift);
        gr_vec_store(column + i * LANES, p);
        s0 += p;
    }
    gr_vec sum = t->begun ? gr_vec_load(t->sum + lane) * factor : zero;
    gr_vec_store(t->largest + lane, largest);
    gr_vec_store(t->sum + lane, sum + (s0 + s1));
    return factor;
}

void GR_ISA_FN(gr_attention_forward)(gr_attention_tile *t, const gr_attention_keys *b)
{
    float factor[LANES];
    score(t, b, t->scores, b->k, b->k_row, t->qt);
    if (!b->all && !b->band)
        hide(t, b);
    for (int64_t lane = 0; lane < t->n; lane += GR_LANES)
        gr_vec_store(factor + lane, soften(t, lane, seen_by_vector(t, b, lane)));
    for (int64_t l = 0; t->begun && l < t->n; l++)
        if (factor[l] != 1)
            GR_ISA_FN(gr_row_scale)(t->out + l * t->row, t->out + l * t->row, factor[l], t->d);
    int64_t mr = gemm()->mr;
    for (int64_t l = 0; l < t->n; l += mr) {
        int64_t n = t->n - l < mr ? t->n - l : mr;
        range r = keys_of(t, b, l, l + n - 1);
        gr_gemm_tile g = {.a = t->scores + r.first * LANES + l,
                          .a_row = 1,
                          .a_col = LANES,
                          .b = b->v + r.first * b->v_row,
                          .b_row = b->v_row,
                          .c = t->out + l * t->row,
                          .ldc = t->row,
                          .k = r.end > r.first ? r.end - r.first : 0,
                          .add = t->begun};
        multiply(g, n, t->d);
    }
    t->begun = true;
}

/* ---- backward ----------------------------------------------------------------------------------------------- */

/* scores become p = e^(score - lse), d_scores scale p (d_scores - dot); where p is 0 the product of garbage is not looked at. */
static void soften_grad(const gr_attention_tile *t, int64_t lane, range keys)
{
    gr_vec lse = gr_vec_load(t->lse + lane), dot = gr_vec_load(t->dot + lane);
    for (int64_t i = keys.first; i < keys.end; i++) {
        float *s = t->scores + i * LANES + lane, *ds = t->d_scores + i * LANES + lane;
        gr_vec p = gr_vec_exp_negative(gr_vec_load(s) - lse);
        gr_vec d = p * (gr_vec_load(ds) - dot) * t->scale;
        gr_vec_store(s, p);
        gr_vec_store(ds, (gr_vec)((gr_vec_int)d & (p != 0)));
    }
}

/* to[key] += the sum over lanes of w[key][lane] x[lane]. */
static void add_to_keys(const gr_attention_tile *t, const gr_attention_keys *b, float *to, int64_t to_row,
                        const float *w, const float *x, int64_t x_row)
{
    int64_t mr = gemm()->mr;
    for (int64_t i = 0; i < b->n; i += mr) {
        int64_t n = b->n - i < mr ? b->n - i : mr;
        range r = lanes_of(t, b, i, n);
        if (r.first >= r.end)
            continue;
        gr_gemm_tile g = {.a = w + i * LANES + r.first,
                          .a_row = LANES,
                          .a_col = 1,
                          .b = x + r.first * x_row,
                          .b_row = x_row,
                          .c = to + (b->first + i) * to_row,
                          .ldc = to_row,
                          .k = r.end - r.first,
                          .add = true};
        multiply(g, n, t->d);
    }
}

void GR_ISA_FN(gr_attention_backward)(gr_attention_tile *t, const gr_attention_keys *b)
{
    score(t, b, t->scores, b->k, b->k_row, t->qt);
    score(t, b, t->d_scores, b->v, b->v_row, t->d_outt);
    if (!b->all && !b->band)
        hide(t, b);
    for (int64_t lane = 0; lane < t->n; lane += GR_LANES)
        soften_grad(t, lane, seen_by_vector(t, b, lane));
    if (t->dv)
        add_to_keys(t, b, t->dv, t->dv_row, t->scores, t->d_out, t->d_out_row);
    if (t->dk)
        add_to_keys(t, b, t->dk, t->dk_row, t->d_scores, t->q, t->q_row);
    int64_t mr = gemm()->mr;
    for (int64_t l = 0; t->dq && l < t->n; l += mr) {
        int64_t n = t->n - l < mr ? t->n - l : mr;
        range r = keys_of(t, b, l, l + n - 1);
        if (r.first >= r.end)
            continue;
        gr_gemm_tile g = {.a = t->d_scores + r.first * LANES + l,
                          .a_row = 1,
                          .a_col = LANES,
                          .b = b->k + r.first * b->k_row,
                          .b_row = b->k_row,
                          .c = t->dq + l * t->row,
                          .ldc = t->row,
                          .k = r.end - r.first,
                          .add = true};
        multiply(g, n, t->d);
    }
}

/* A head's width is a few vectors: short loops, without the prologues that compilers give loops of unknown length. */
void GR_ISA_FN(gr_row_scale)(float *y, const float *x, float factor, int64_t n)
{
    int64_t i = 0;
    for (; i + GR_LANES <= n; i += GR_LANES)
        gr_vec_store(y + i, gr_vec_load(x + i) * factor);
    for (; i < n; i++)
        y[i] = x[i] * factor;
}

/* ---- rows of a tile ----------------------------------------------------------------------------------------- */

typedef float half_vec __attribute__((vector_size(GR_LANES / 2 * sizeof(float)), aligned(4), may_alias));
typedef double wide_vec __attribute__((vector_size(GR_LANES / 2 * sizeof(double))));

static double dot_wide(const float *x, const float *y, int64_t d)
{
    enum { HALF = GR_LANES / 2 };
    wide_vec a = {0}, b = {0};
    int64_t i = 0;
    for (; i + 2 * HALF <= d; i += 2 * HALF) {
        a += __builtin_convertvector(*(const half_vec *)(x + i), wide_vec) *
             __builtin_convertvector(*(const half_vec *)(y + i), wide_vec);
        b += __builtin_convertvector(*(const half_vec *)(x + i + HALF), wide_vec) *
             __builtin_convertvector(*(const half_vec *)(y + i + HALF), wide_vec);
    }
    a += b;
    double sum = 0;
    for (int l = 0; l < HALF; l++)
        sum += a[l];
    for (; i < d; i++)
        sum += (double)x[i] * (double)y[i];
    return sum;
}

void GR_ISA_FN(gr_attention_dots)(float *to, const float *x, int64_t x_row, const float *y, int64_t y_row, int64_t d,
                                  int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = (float)dot_wide(x + i * x_row, y + i * y_row, d);
}

void GR_ISA_FN(gr_attention_log_sums)(float *to, const float *largest, const float *sum)
{
    GR_EACH for (int64_t l = 0; l < LANES; l++) to[l] = sum[l] == 0 ? 0 : largest[l] + gr_vlog(sum[l]);
}
