/* Attention: which queries meet which keys, and who computes it. A group is a key/value head with all query heads that
 * share it; its rows are token · shared + head, cut into tiles. Nothing of the size T x S exists.
 *
 * Forward, a piece of work is a tile, or where there are few tiles (generation) a tile and a part of the keys, whose
 * results are then joined. Backward, it is a group, or where there are few groups a part of its tiles; parts add up
 * dk and dv on their own, and these are then added in order. */
#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/block_kernels.h"
#include "backend/cpu/convert.h"
#include "backend/cpu/gemm_kernels.h"
#include "backend/cpu/ints.h"
#include "backend/cpu/rows.h"
#include "op/attr.h"
#include "op/op.h"

#include "base/dtype.h"

#include <math.h>
#include <string.h>

enum { Q, K, V, Q_POS, K_POS, SEGMENT, SEQUENCE };
enum { OUT = SEQUENCE, LSE, D_OUT }; /* of the gradient */
enum { LANES = GR_ATTENTION_LANES, KEYS = GR_ATTENTION_KEYS, VECTOR = 16, ENOUGH_PIECES = 16, LEAST_KEYS = 256 };

typedef void (*step_fn)(gr_attention_tile *, const gr_attention_keys *);

typedef struct attention {
    const gr_call *call;
    int64_t b, t, h, d, s, g, shared;
    int64_t row;               /* d rounded up to vectors */
    int64_t lanes, tiles;      /* rows of a tile, all but a group's last; tiles of a group */
    int64_t parts, part;       /* forward: of the keys, and keys of each; backward: of the tiles, and tiles of each */
    int64_t sums;              /* backward: how many parts of a group have dk and dv of their own */
    int64_t worker, partial;   /* floats of a worker's scratch, of a part's result */
    float *workers, *partials; /* both in the call's scratch */
    bool direct_k, direct_v;   /* keys can be read where they lie */
    bool direct_rows;          /* a tile's rows are evenly far apart: a head has keys of its own */
    const int64_t *sequence;   /* [b] whose keys each reads; NULL: its own */
    step_fn step;
    const gr_gemm_kernels *gemm;
    gr_from_f32 *narrow[3]; /* of outputs; NULL: f32, or not wanted */
    gr_blocks_widen_fn *widen_blocks;
    void (*transpose)(float *, int64_t, int64_t, const float *, int64_t, int64_t, int64_t);
    void (*scale)(float *, const float *, float, int64_t);
    void (*dots)(float *, const float *, int64_t, const float *, int64_t, int64_t, int64_t);
    void (*log_sums)(float *, const float *, const float *);
    void (*add)(float *, const float *, int64_t);
} attention;

static bool supports(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return gr_row_dtype(node->spec.dtype) && gr_is_kept(gr_in(node, K)->dtype) && gr_is_kept(gr_in(node, V)->dtype);
}

/* Tiles are read as they lie: whole vectors of a row, the last of which must not reach past it. */
static bool is_direct(const gr_operand *x)
{
    return x->dtype == GR_F32 && x->stride[3] == 1 && x->shape[3] % VECTOR == 0;
}

static attention attention_of(const gr_call *c)
{
    const int64_t *q = c->in[Q].shape, *k = c->in[K].shape;
    attention a = {.call = c, .b = q[0], .t = q[1], .h = q[2], .d = q[3], .s = k[1], .g = k[2]};
    a.shared = a.h / a.g;
    a.row = gr_round_up(a.d, VECTOR);
    int64_t rows = a.t * a.shared;
    a.tiles = gr_ceil_div(rows, LANES);
    a.lanes = a.tiles ? gr_round_up(gr_ceil_div(rows, a.tiles), VECTOR)
                      : LANES; /* alike: a short tile costs nearly a whole one */
    return a;
}

static void pick(attention *a)
{
    a->direct_k = is_direct(&a->call->in[K]);
    a->direct_v = is_direct(&a->call->in[V]);
    a->direct_rows = a->shared == 1;
    for (int i = 0; i < a->call->n_out && i < 3; i++) {
        const gr_operand *out = &a->call->out[i];
        a->narrow[i] = out->data && out->dtype != GR_F32 ? gr_cpu_from_f32(out->dtype) : NULL;
    }
    a->widen_blocks = GR_ISA_PICK(gr_blocks_widen);
    a->gemm = GR_ISA_PICK(gr_gemm_kernels_get)();
    a->transpose = GR_ISA_PICK(gr_gemm_pack_transpose);
    a->scale = GR_ISA_PICK(gr_row_scale);
    a->dots = GR_ISA_PICK(gr_attention_dots);
    a->log_sums = GR_ISA_PICK(gr_attention_log_sums);
    a->add = GR_ISA_PICK(gr_row_add);
}

/* ---- tiles -------------------------------------------------------------------------------------------------- */

/* A piece of a worker's scratch, handed out front to back. */
static float *take(float **scratch, int64_t floats)
{
    float *p = *scratch;
    *scratch += floats;
    return p;
}

/* The rows of a tile one after the other: their tokens, and the query heads of their group. */
typedef struct walk {
    int64_t token, head;
} walk;

static walk first_row(const attention *a, const gr_attention_tile *t)
{
    return (walk){t->mask.lane0 / a->shared, t->mask.lane0 % a->shared};
}

static void next_row(const attention *a, walk *w)
{
    if (++w->head == a->shared) {
        w->head = 0;
        w->token++;
    }
}

/* Where the walk's row is in x [B, T, H, D], in elements. */
static int64_t position_of(const attention *a, const gr_operand *x, walk w, int64_t b, int64_t g)
{
    return b * x->stride[0] + w.token * x->stride[1] + (g * a->shared + w.head) * x->stride[2];
}

/* n rows of x from element `position` on, `step` apart, as f32 in `buffer`, a->row apart. */
static void gather(const attention *a, const gr_operand *x, int64_t position, int64_t step, int64_t n, float *buffer)
{
    const gr_dtype_info *dtype = gr_dtype_get(x->dtype);
    if (dtype->block > 1) { /* heads are whole blocks, one after the other */
        for (int64_t i = 0; i < n; i++, buffer += a->row)
            a->widen_blocks(dtype, (const char *)x->data + gr_dtype_size(x->dtype, position + i * step), buffer, a->d);
        return;
    }
    if (x->dtype != GR_F32 && x->stride[3] == 1 && a->d == a->row) { /* all at once */
        gr_gemm_kind kind = x->dtype == GR_F16 ? GR_GEMM_F16 : GR_GEMM_BF16;
        a->gemm->widen[kind](buffer, (const char *)x->data + 2 * position, step, n, a->d);
        return;
    }
    for (int64_t i = 0; i < n; i++, buffer += a->row) {
        const float *from = gr_head_read(x, position + i * step, a->d, buffer);
        if (from != buffer)
            memcpy(buffer, from, (size_t)a->d * sizeof(float));
    }
}

/* A tile's rows of x [B, T, H, D], where they lie or as f32 in `buffer`. Returns floats between two. */
static int64_t load_rows(const attention *a, const gr_attention_tile *t, int64_t b, int64_t g, int operand,
                         float *buffer, const float **rows)
{
    const gr_operand *x = &a->call->in[operand];
    walk w = first_row(a, t);
    if (a->direct_rows && is_direct(x)) {
        *rows = (const float *)x->data + position_of(a, x, w, b, g);
        return x->stride[1];
    }
    for (int64_t l = 0, n; l < t->n; l += n, w = (walk){w.token + 1, 0}) { /* a token's heads are evenly far apart */
        n = a->shared - w.head < t->n - l ? a->shared - w.head : t->n - l;
        if (a->direct_rows)
            n = t->n;
        gather(a, x, position_of(a, x, w, b, g), x->stride[a->direct_rows ? 1 : 2], n, buffer + l * a->row);
    }
    *rows = buffer;
    return a->row;
}

/* Row number `row` of output i, of d values. */
static void *out_row(const attention *a, int i, int64_t row)
{
    return (char *)a->call->out[i].data + row * a->d * (a->narrow[i] ? 2 : 4);
}

static const int64_t *indices(const gr_call *c, int i, int64_t from)
{
    return i < c->n_in && c->in[i].data ? (const int64_t *)c->in[i].data + from : NULL;
}

static int64_t sequence_of(const attention *a, int64_t b)
{
    return a->sequence ? a->sequence[b] : b;
}

static void load_mask(const attention *a, gr_attention_tile *t, int64_t b)
{
    const gr_attention_attr *attr = a->call->attr;
    gr_attention_mask *m = &t->mask;
    const int64_t *q_pos = indices(a->call, Q_POS, b * a->t);
    m->causal = attr->causal;
    m->window = attr->window;
    m->shared = a->shared;
    m->position = a->s - a->t;
    m->keys = a->s;
    m->k_pos = indices(a->call, K_POS, sequence_of(a, b) * a->s);
    m->segment = indices(a->call, SEGMENT, b * a->s);
    m->given = q_pos || m->k_pos;
    walk w = first_row(a, t);
    for (int64_t l = 0; l < LANES; l++) {
        if (l == t->n)
            w = first_row(a, t); /* lanes that are no rows see what some row does */
        int64_t position = q_pos ? q_pos[w.token] : m->position + w.token;
        bool bounded = m->window && position >= m->window;
        m->upto[l] = m->causal ? position : INT64_MAX;
        m->after[l] = bounded ? position - m->window : -1;
        m->first_key[l] = m->given ? 0 : gr_attention_clamp(m->after[l] + 1, m->keys);
        m->end_key[l] = m->given || !m->causal ? m->keys : gr_attention_clamp(position + 1, m->keys);
        m->lane_segment[l] = m->segment ? m->segment[w.token] : 0;
        if (l < t->n)
            next_row(a, &w);
    }
}

/* Begins tile number `tile` of group g: its mask and queries. */
static void begin_tile(const attention *a, gr_attention_tile *t, int64_t b, int64_t g, int64_t tile, float **scratch)
{
    int64_t rows = a->t * a->shared;
    t->d = a->d;
    t->row = a->row;
    t->scale = ((const gr_attention_attr *)a->call->attr)->scale;
    t->begun = false;
    t->mask.lane0 = tile * a->lanes;
    t->n = rows - t->mask.lane0 < a->lanes ? rows - t->mask.lane0 : a->lanes;
    float *q = take(scratch, LANES * a->row), *qt = take(scratch, LANES * a->row);
    load_mask(a, t, b);
    t->q_row = load_rows(a, t, b, g, Q, q, &t->q);
    a->transpose(qt, 0, LANES, t->q, t->q_row, a->d, t->n);
    a->scale(qt, qt, t->scale, a->d * LANES);
    t->qt = qt;
    t->scores = take(scratch, KEYS * LANES);
}

/* ---- keys --------------------------------------------------------------------------------------------------- */

/* Where keys [first, first + n) of group g lie, or packed into `buffer`. Returns floats between two. */
static int64_t load_keys(const attention *a, int operand, int64_t b, int64_t g, int64_t first, int64_t n, bool direct,
                         float *buffer, const float **keys)
{
    const gr_operand *x = &a->call->in[operand];
    int64_t position = sequence_of(a, b) * x->stride[0] + first * x->stride[1] + g * x->stride[2];
    if (direct) {
        *keys = (const float *)x->data + position;
        return x->stride[1];
    }
    gather(a, x, position, x->stride[1], n, buffer);
    *keys = buffer;
    return a->row;
}

/* Numbers of segments from the least to the largest. */
typedef struct segments {
    int64_t least, largest;
} segments;

static segments segments_in(const int64_t *number, int64_t n)
{
    segments s = {number[0], number[0]};
    for (int64_t i = 1; i < n; i++) {
        s.least = number[i] < s.least ? number[i] : s.least;
        s.largest = number[i] > s.largest ? number[i] : s.largest;
    }
    return s;
}

/* Whether the tile's queries see any key of the block; *all tells whether each sees each. */
static bool is_visible(const gr_attention_tile *t, gr_attention_keys *k)
{
    const gr_attention_mask *m = &t->mask;
    if (!m->given) {
        bool one = true;
        if (m->segment) { /* rows of many documents: most blocks hold others only, or one alone */
            segments q = segments_in(m->lane_segment, t->n), s = segments_in(m->segment + k->first, k->n);
            if (q.least > s.largest || s.least > q.largest)
                return false;
            one = q.least == q.largest && s.least == s.largest;
        }
        k->all =
            one && gr_attention_first_lane(m, k->first + k->n - 1) == 0 && gr_attention_end_lane(m, k->first) >= t->n;
        k->band = one;
        return true; /* blocks outside the band are not asked for */
    }
    int64_t oldest = INT64_MAX, newest = -1, least = INT64_MAX; /* oldest and newest key there is; the least number */
    for (int64_t i = 0; i < k->n; i++) {
        int64_t position = gr_attention_key_position(m, k->first + i);
        newest = position > newest ? position : newest;
        least = position < least ? position : least;
        oldest = position >= 0 && position < oldest ? position : oldest;
    }
    bool any = false, all = !m->segment;
    for (int64_t l = 0; l < t->n; l++) {
        any |= newest > m->after[l] && oldest <= m->upto[l];
        all &= least > m->after[l] && newest <= m->upto[l];
    }
    k->all = all;
    return any;
}

/* All steps of a tile with the keys [first, end), blocks that it does not see left out. */
static void meet_keys(const attention *a, gr_attention_tile *t, int64_t b, int64_t g, int64_t first, int64_t end,
                      float *scratch)
{
    float *k = take(&scratch, KEYS * a->row), *v = take(&scratch, KEYS * a->row);
    int64_t low = t->mask.first_key[0], high = t->mask.end_key[t->n - 1];
    first = first > low ? first : low;
    end = end < high ? end : high;
    for (; first < end; first += KEYS) {
        gr_attention_keys block = {.first = first, .n = end - first < KEYS ? end - first : KEYS};
        if (!is_visible(t, &block))
            continue;
        block.k_row = load_keys(a, K, b, g, first, block.n, a->direct_k, k, &block.k);
        block.v_row = load_keys(a, V, b, g, first, block.n, a->direct_v, v, &block.v);
        a->step(t, &block);
    }
}

/* ---- forward ------------------------------------------------------------------------------------------------ */

/* Scratch: [threads] workers, then one partial result for each piece when the keys are cut into parts. */
static attention forward_of(const gr_call *c)
{
    attention a = attention_of(c);
    int64_t pieces = a.b * a.g * a.tiles;
    a.parts = 1;
    if (pieces > 0 && pieces < ENOUGH_PIECES && a.s >= 2 * LEAST_KEYS) {
        int64_t wanted = gr_ceil_div(ENOUGH_PIECES, pieces), most = a.s / LEAST_KEYS;
        a.parts = wanted < most ? wanted : most;
    }
    a.part = gr_round_up(gr_ceil_div(a.s, a.parts), KEYS);
    a.worker = (3 * LANES + 2 * KEYS) * a.row + KEYS * LANES;
    a.partial = a.parts > 1 ? LANES * a.row + 2 * LANES : 0;
    return a;
}

static size_t forward_scratch(const gr_call *c)
{
    attention a = forward_of(c);
    int64_t floats = gr_pool_threads(c->device->pool) * a.worker + a.b * a.g * a.tiles * a.parts * a.partial;
    return (size_t)floats * sizeof(float);
}

/* Divides by the sums and writes the results; rows that saw nothing are 0. */
static void write_tile(const attention *a, const gr_attention_tile *t, int64_t b, int64_t g)
{
    float *lse = a->call->out[1].data, logs[LANES];
    walk w = first_row(a, t);
    if (lse)
        a->log_sums(logs, t->largest, t->sum);
    for (int64_t l = 0; l < t->n; l++, next_row(a, &w)) {
        int64_t head = g * a->shared + w.head, row = (b * a->t + w.token) * a->h + head;
        float *from = t->out + l * a->row, *to = a->narrow[0] || !a->call->out[0].data ? from : out_row(a, 0, row);
        if (t->sum[l] == 0)
            memset(to, 0, (size_t)a->d * sizeof(float));
        else
            a->scale(to, from, 1 / t->sum[l], a->d);
        if (a->narrow[0])
            a->narrow[0](to, out_row(a, 0, row), a->d);
        if (lse)
            lse[(b * a->h + head) * a->t + w.token] = logs[l];
    }
}

/* The partial result of one part: out, then largest and sum. */
static void keep_part(const attention *a, const gr_attention_tile *t, float *to)
{
    memcpy(to, t->out, (size_t)(LANES * a->row) * sizeof(float));
    memcpy(to + LANES * a->row, t->largest, sizeof t->largest);
    memcpy(to + LANES * a->row + LANES, t->sum, sizeof t->sum);
}

static void forward_piece(void *ctx, int64_t piece, int worker)
{
    const attention *a = ctx;
    int64_t part = piece % a->parts, tile = piece / a->parts % a->tiles, group = piece / a->parts / a->tiles;
    int64_t b = group / a->g, g = group % a->g, first = part * a->part, end = first + a->part;
    float *scratch = a->workers + worker * a->worker;
    gr_attention_tile t;
    begin_tile(a, &t, b, g, tile, &scratch);
    t.out = take(&scratch, LANES * a->row);
    for (int64_t l = 0; l < LANES; l++) {
        t.largest[l] = -INFINITY;
        t.sum[l] = 0;
    }
    meet_keys(a, &t, b, g, first, end < a->s ? end : a->s, scratch);
    if (!t.begun)
        memset(t.out, 0, (size_t)(LANES * a->row) * sizeof(float));
    if (a->parts > 1)
        keep_part(a, &t, a->partials + piece * a->partial);
    else
        write_tile(a, &t, b, g);
}

/* Row l of all parts into that of the first: each is worth e^(its largest - the largest of all). */
static void join_row(const attention *a, gr_attention_tile *t, const float *parts, int64_t l)
{
    float largest = -INFINITY, sum = 0, *out = t->out + l * a->row;
    for (int64_t p = 0; p < a->parts; p++)
        largest = fmaxf(largest, parts[p * a->partial + LANES * a->row + l]);
    for (int64_t p = 0; p < a->parts; p++) {
        const float *part = parts + p * a->partial, *stat = part + LANES * a->row;
        float weight = stat[LANES + l] == 0 ? 0 : expf(stat[l] - largest);
        sum += weight * stat[LANES + l];
        for (int64_t i = 0; i < a->d; i++)
            out[i] = (p > 0 ? out[i] : 0) + (weight == 0 ? 0 : weight * part[l * a->row + i]);
    }
    t->largest[l] = largest;
    t->sum[l] = sum;
}

static void join_parts(void *ctx, int64_t piece, int worker)
{
    const attention *a = ctx;
    int64_t tile = piece % a->tiles, group = piece / a->tiles, rows = a->t * a->shared;
    float *parts = a->partials + piece * a->parts * a->partial;
    gr_attention_tile t;
    (void)worker;
    t.mask.lane0 = tile * a->lanes;
    t.n = rows - t.mask.lane0 < a->lanes ? rows - t.mask.lane0 : a->lanes;
    t.out = parts;
    for (int64_t l = 0; l < t.n; l++)
        join_row(a, &t, parts, l);
    write_tile(a, &t, group / a->g, group % a->g);
}

static gr_status run_forward(const gr_call *c)
{
    attention a = forward_of(c);
    int64_t tiles = a.b * a.g * a.tiles;
    gr_status s = gr_sequences_check(c, SEQUENCE, c->in[K].shape[0]);
    if (s != GR_OK)
        return s;
    a.sequence = indices(c, SEQUENCE, 0);
    pick(&a);
    a.step = GR_ISA_PICK(gr_attention_forward);
    a.workers = c->scratch;
    a.partials = a.workers + gr_pool_threads(c->device->pool) * a.worker;
    gr_parallel(c->device->pool, tiles * a.parts, forward_piece, &a);
    if (a.parts > 1)
        gr_parallel(c->device->pool, tiles, join_parts, &a);
    return GR_OK;
}

/* ---- backward ----------------------------------------------------------------------------------------------- */

/* Scratch: [threads] workers, then [groups][sums][dk, dv][s][d]. The first part of a group adds to dk and dv where they
 * belong, when they are f32. */
static attention backward_of(const gr_call *c)
{
    attention a = attention_of(c);
    int64_t groups = a.b * a.g;
    a.parts = groups > 0 && groups < ENOUGH_PIECES ? gr_ceil_div(ENOUGH_PIECES, groups) : 1;
    a.parts = a.parts < a.tiles ? a.parts : a.tiles > 0 ? a.tiles : 1;
    a.part = gr_ceil_div(a.tiles, a.parts);
    a.sums = c->in[K].dtype == GR_F32 ? a.parts - 1 : a.parts;
    a.worker = (5 * LANES + 2 * KEYS) * a.row + 2 * KEYS * LANES;
    a.partial = 2 * a.s * a.d;
    return a;
}

static size_t backward_scratch(const gr_call *c)
{
    attention a = backward_of(c);
    int64_t floats = gr_pool_threads(c->device->pool) * a.worker + a.b * a.g * a.sums * a.partial;
    return (size_t)floats * sizeof(float);
}

/* Where a part adds up gradient k (1: dk, 2: dv) of group (b, g), zeroed; *row is set. NULL: nobody reads it. */
static float *key_sums(const attention *a, int64_t b, int64_t g, int64_t part, int k, int64_t *row)
{
    const gr_operand *out = &a->call->out[k];
    float *to;
    if (!out->data)
        return NULL;
    if (part < a->parts - a->sums) {
        to = (float *)out->data + (b * a->s * a->g + g) * a->d;
        *row = a->g * a->d;
    } else {
        int64_t slot = (b * a->g + g) * a->sums + part - (a->parts - a->sums);
        to = a->partials + slot * a->partial + (k - 1) * a->s * a->d;
        *row = a->d;
    }
    for (int64_t s = 0; s < a->s; s++)
        memset(to + s * *row, 0, (size_t)a->d * sizeof(float));
    return to;
}

/* lse and d_out · out of every row; rows that saw nothing have no p that is not 0. `buffer` holds a tile. The product is
 * summed in f64: it is what makes a row of d_scores sum to 0, and its error is all that the gradient of a bias of the
 * keys consists of. */
static void load_statistics(const attention *a, gr_attention_tile *t, int64_t b, int64_t g, float *buffer)
{
    const float *lse = a->call->in[LSE].data, *out;
    int64_t out_row = load_rows(a, t, b, g, OUT, buffer, &out);
    walk w = first_row(a, t);
    memset(t->lse, 0, sizeof t->lse);
    memset(t->dot, 0, sizeof t->dot);
    a->dots(t->dot, out, out_row, t->d_out, t->d_out_row, a->d, t->n);
    for (int64_t l = 0; l < t->n; l++, next_row(a, &w))
        t->lse[l] = lse[(b * a->h + g * a->shared + w.head) * a->t + w.token];
}

static void write_dq(const attention *a, const gr_attention_tile *t, int64_t b, int64_t g)
{
    walk w = first_row(a, t);
    for (int64_t l = 0; l < t->n; l++, next_row(a, &w)) {
        int64_t row = (b * a->t + w.token) * a->h + g * a->shared + w.head;
        const float *from = t->dq + l * a->row;
        if (a->narrow[0])
            a->narrow[0](from, out_row(a, 0, row), a->d);
        else
            memcpy(out_row(a, 0, row), from, (size_t)a->d * sizeof(float));
    }
}

static void backward_tile(const attention *a, gr_attention_tile *t, int64_t b, int64_t g, int64_t tile, float *scratch)
{
    begin_tile(a, t, b, g, tile, &scratch);
    float *d_out = take(&scratch, LANES * a->row), *d_outt = take(&scratch, LANES * a->row);
    t->d_out_row = load_rows(a, t, b, g, D_OUT, d_out, &t->d_out);
    a->transpose(d_outt, 0, LANES, t->d_out, t->d_out_row, a->d, t->n);
    t->d_outt = d_outt;
    load_statistics(a, t, b, g, scratch); /* what is not yet taken */
    t->d_scores = take(&scratch, KEYS * LANES);
    t->dq = take(&scratch, LANES * a->row);
    memset(t->dq, 0, (size_t)(LANES * a->row) * sizeof(float));
    meet_keys(a, t, b, g, 0, a->s, scratch);
    if (a->call->out[0].data)
        write_dq(a, t, b, g);
}

static void backward_piece(void *ctx, int64_t piece, int worker)
{
    const attention *a = ctx;
    int64_t part = piece % a->parts, b = piece / a->parts / a->g, g = piece / a->parts % a->g;
    gr_attention_tile t;
    t.dk = key_sums(a, b, g, part, 1, &t.dk_row);
    t.dv = key_sums(a, b, g, part, 2, &t.dv_row);
    for (int64_t tile = part * a->part; tile < (part + 1) * a->part && tile < a->tiles; tile++)
        backward_tile(a, &t, b, g, tile, a->workers + worker * a->worker);
}

/* Adds the parts of row `row` of output k, and of key s, to the first one: in place where that is f32, else in its scratch. */
static void add_row(const attention *a, int k, int64_t group, int64_t s, int64_t row)
{
    float *part = a->partials + group * a->sums * a->partial + ((k - 1) * a->s + s) * a->d;
    bool in_place = a->sums < a->parts;
    float *to = in_place ? out_row(a, k, row) : part;
    for (int64_t i = in_place ? 0 : 1; i < a->sums; i++)
        a->add(to, part + i * a->partial, a->d);
    if (a->narrow[k])
        a->narrow[k](to, out_row(a, k, row), a->d);
    else if (!in_place)
        memcpy(out_row(a, k, row), to, (size_t)a->d * sizeof(float));
}

/* Those of dk and dv of key number piece = b S + s, for all its heads. */
static void add_parts(void *ctx, int64_t piece, int worker)
{
    const attention *a = ctx;
    int64_t b = piece / a->s, s = piece % a->s;
    (void)worker;
    for (int64_t g = 0; g < a->g; g++)
        for (int k = 1; k <= 2; k++)
            if (a->call->out[k].data)
                add_row(a, k, b * a->g + g, s, piece * a->g + g);
}

static gr_status run_backward(const gr_call *c)
{
    attention a = backward_of(c);
    pick(&a);
    a.step = GR_ISA_PICK(gr_attention_backward);
    a.workers = c->scratch;
    a.partials = a.workers + gr_pool_threads(c->device->pool) * a.worker;
    gr_parallel(c->device->pool, a.b * a.g * a.parts, backward_piece, &a);
    if (a.sums > 0)
        gr_parallel(c->device->pool, a.b * a.s, add_parts, &a);
    return GR_OK;
}

const gr_kernel gr_cpu_attention_kernels[] = {
    {.op = &gr_op_attention,
     .supports = supports,
     .strided = 1u << Q | 1u << K | 1u << V,
     .scratch = forward_scratch,
     .run = run_forward},
    {.op = &gr_op_attention_grad,
     .supports = supports,
     .strided = 1u << Q | 1u << K | 1u << V | 1u << OUT | 1u << D_OUT,
     .scratch = backward_scratch,
     .run = run_backward},
    {0},
};
