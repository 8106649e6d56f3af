/* Reductions. The dims become groups that are kept and reduced by turns; each step takes the last reduced group of an
 * [outer, R, inner] view away. Work is cut by shape alone and partial results are combined in order. f16 and bf16 pass
 * through f32 copies. */
#include "backend/cpu/cpu.h"

#include "backend/cpu/convert.h"
#include "backend/cpu/ints.h"
#include "backend/cpu/reduce_kernels.h"
#include "base/dtype.h"
#include "op/attr.h"
#include "op/op.h"

#include <math.h>

enum {
    RUN = 16384,         /* elements of a run summed by one worker, and about what a piece holds */
    BLOCK_ROWS = 64,     /* at least so many rows make a block of partial sums */
    MAX_BLOCKS = 16,     /* and at most so many blocks there are */
    COLUMNS = 2048,      /* the sums of so many columns stay in the first-level cache */
    NORM_RUN = 65536,    /* of global_norm */
    NORM_WIDENED = 1024, /* values of 16 bits at a time */
};

/* ---- one step: [outer, r, inner] to [outer, inner] ---------------------------------------------------------- */

typedef struct reduction {
    const gr_reduce_kernels *kernels;
    bool is_max;
    const float *x;
    float *y, *partial;
    int64_t outer, r, inner;
    int64_t part, parts;     /* of r: so many at a time, so many times */
    int64_t width, widths;   /* of inner, likewise */
    int64_t units, together; /* units of work, and how many make a piece */
} reduction;

static reduction cut(bool is_max, int64_t outer, int64_t r, int64_t inner)
{
    reduction s = {.is_max = is_max, .outer = outer, .r = r, .inner = inner};
    if (inner == 1)
        s.part = RUN;
    else
        s.part = gr_max64(BLOCK_ROWS, gr_ceil_div(gr_ceil_div(r, MAX_BLOCKS), 8) * 8);
    s.parts = gr_max64(gr_ceil_div(r, s.part), 1);
    s.width = gr_min64(gr_max64(inner, 1), COLUMNS);
    s.widths = gr_ceil_div(inner, s.width);
    s.units = outer * s.parts * s.widths;
    s.together = gr_max64(RUN / gr_max64(gr_min64(s.part, r) * s.width, 1), 1);
    return s;
}

/* Floats of partial results; none when the parts are the whole. */
static int64_t partials(const reduction *s)
{
    return s->parts > 1 ? s->outer * s->parts * s->inner : 0;
}

static void reduce_unit(const reduction *s, int64_t unit)
{
    int64_t col = unit % s->widths * s->width, part = unit / s->widths % s->parts, o = unit / s->widths / s->parts;
    int64_t first = part * s->part, rows = gr_min64(s->part, s->r - first), width = gr_min64(s->width, s->inner - col);
    const float *x = s->x + (o * s->r + first) * s->inner + col;
    float *y = s->parts > 1 ? s->partial + (o * s->parts + part) * s->inner + col : s->y + o * s->inner + col;
    if (s->inner == 1)
        *y = s->is_max ? s->kernels->max(x, rows) : s->kernels->sum(x, rows);
    else if (s->is_max)
        s->kernels->max_rows(y, x, rows, s->inner, width);
    else
        s->kernels->sum_rows(y, x, rows, s->inner, width);
}

static void reduce_piece(void *ctx, int64_t piece, int worker)
{
    (void)worker;
    const reduction *s = ctx;
    for (int64_t u = piece * s->together; u < gr_min64((piece + 1) * s->together, s->units); u++)
        reduce_unit(s, u);
}

/* Partial results of one outer index are rows of `inner`. */
static void combine_unit(const reduction *s, int64_t unit)
{
    int64_t col = unit % s->widths * s->width, o = unit / s->widths, width = gr_min64(s->width, s->inner - col);
    const float *x = s->partial + o * s->parts * s->inner + col;
    float *y = s->y + o * s->inner + col;
    if (s->is_max)
        s->kernels->max_rows(y, x, s->parts, s->inner, width);
    else if (s->inner == 1)
        *y = s->kernels->sum(x, s->parts);
    else
        s->kernels->sum_rows(y, x, s->parts, s->inner, width);
}

static void combine_piece(void *ctx, int64_t piece, int worker)
{
    (void)worker;
    combine_unit(ctx, piece);
}

static void reduce_step(gr_pool *pool, reduction *s, const float *x, float *y, float *partial)
{
    s->kernels = GR_ISA_PICK(gr_reduce_kernels_get)();
    s->x = x;
    s->y = y;
    s->partial = partial;
    gr_parallel(pool, gr_ceil_div(s->units, s->together), reduce_piece, s);
    if (s->parts > 1)
        gr_parallel(pool, s->outer * s->widths, combine_piece, s);
}

/* ---- sum, mean, max ----------------------------------------------------------------------------------------- */

enum { MAX_STEPS = GR_MAX_DIMS / 2 + 1 };

/* The steps, and what scratch holds: f32 copies of operands that are not, each step's result but the last one's, and
 * the partial results of one step. */
typedef struct plan {
    reduction step[MAX_STEPS];
    int n;
    int64_t in_floats, out_floats, between[MAX_STEPS], partial;
} plan;

static plan make_plan(const gr_call *call, bool is_max)
{
    const gr_operand *x = &call->in[0];
    unsigned axes = ((const gr_reduce_attr *)call->attr)->axes;
    plan p = {.n = 0};
    int64_t group[GR_MAX_DIMS], left = 1;
    bool reduced[GR_MAX_DIMS];
    int n = 0;
    for (int d = 0; d < x->ndim; d++) {
        bool r = axes >> d & 1;
        if (x->shape[d] == 1)
            continue;
        if (n && reduced[n - 1] == r)
            group[n - 1] *= x->shape[d];
        else
            group[n++] = x->shape[d];
        reduced[n - 1] = r;
    }
    for (int i = 0; i < n; i++)
        left *= group[i];
    for (int64_t i = n - 1, inner = 1; i >= 0; i--) {
        if (!reduced[i]) {
            inner *= group[i];
            continue;
        }
        int64_t outer = 1;
        for (int k = 0; k < i; k++)
            outer *= group[k];
        p.step[p.n] = cut(is_max, outer, group[i], inner);
        p.partial = gr_max64(p.partial, partials(&p.step[p.n]));
        p.between[p.n++] = outer * inner;
    }
    if (p.n == 0) { /* nothing but dims of one element is reduced: a copy */
        p.step[p.n] = cut(is_max, left, 1, 1);
        p.between[p.n++] = left;
    }
    p.between[p.n - 1] = 0; /* the last result is the output */
    p.in_floats = x->dtype == GR_F32 ? 0 : gr_operand_count(x);
    p.out_floats = x->dtype == GR_F32 ? 0 : gr_operand_count(&call->out[0]);
    return p;
}

static size_t scratch(const gr_call *call)
{
    plan p = make_plan(call, call->op == &gr_op_reduce_max);
    int64_t floats = p.in_floats + p.out_floats + p.partial;
    for (int i = 0; i < p.n; i++)
        floats += p.between[i];
    return (size_t)floats * sizeof(float);
}

static gr_operand f32_copy(const gr_operand *o, float *data)
{
    gr_operand c = gr_cpu_contiguous(o, data);
    c.dtype = GR_F32;
    return c;
}

static gr_status run(const gr_call *call)
{
    plan p = make_plan(call, call->op == &gr_op_reduce_max);
    const gr_operand *in = &call->in[0], *out = &call->out[0];
    float *at = call->scratch, *partial = at;
    at += p.partial;
    gr_operand x = *in, y = *out;
    if (p.in_floats || p.out_floats) {
        x = f32_copy(in, at);
        y = f32_copy(out, at + p.in_floats);
        at += p.in_floats + p.out_floats;
        gr_cpu_cast(call->device, in, &x);
    }
    const float *from = x.data;
    for (int i = 0; i < p.n; i++) {
        float *to = i + 1 < p.n ? at : y.data;
        reduce_step(call->device->pool, &p.step[i], from, to, partial);
        from = to;
        at += p.between[i];
    }
    int64_t n_in = gr_operand_count(in), n_out = gr_operand_count(out);
    if (call->op == &gr_op_mean && n_out > 0) {
        float count = (float)((double)n_in / (double)n_out);
        gr_operand pair[] = {y, {.data = &count, .dtype = GR_F32}};
        gr_cpu_apply(call->device, &gr_op_div, pair, 2, &y);
    }
    if (p.out_floats)
        gr_cpu_cast(call->device, &y, out);
    return GR_OK;
}

static bool supports(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return gr_dtype_get(node->in[0]->spec.dtype)->is_activation;
}

/* ---- argmax ------------------------------------------------------------------------------------------------- */

typedef struct search {
    const gr_reduce_kernels *kernels;
    const float *x;
    int64_t *y;
    int64_t rows, n, together;
} search;

/* The largest, then where it first is. */
static void argmax_piece(void *ctx, int64_t piece, int worker)
{
    (void)worker;
    const search *s = ctx;
    for (int64_t row = piece * s->together; row < gr_min64((piece + 1) * s->together, s->rows); row++) {
        const float *x = s->x + row * s->n;
        float top = s->kernels->max(x, s->n);
        int64_t i = 0;
        while (isnan(top) ? !isnan(x[i]) : x[i] != top)
            i++;
        s->y[row] = i;
    }
}

static gr_status run_argmax(const gr_call *call)
{
    const gr_operand *in = &call->in[0];
    search s = {GR_ISA_PICK(gr_reduce_kernels_get)(), in->data, call->out[0].data, .n = in->shape[in->ndim - 1]};
    s.rows = gr_operand_count(&call->out[0]);
    s.together = gr_max64(RUN / s.n, 1);
    gr_parallel(call->device->pool, gr_ceil_div(s.rows, s.together), argmax_piece, &s);
    return GR_OK;
}

static bool supports_f32(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return node->in[0]->spec.dtype == GR_F32;
}

/* ---- global norm -------------------------------------------------------------------------------------------- */

typedef struct norm {
    const gr_reduce_kernels *kernels;
    const gr_call *call;
    double *partial; /* one a piece */
} norm;

static int64_t norm_pieces(const gr_call *call, int i)
{
    return gr_ceil_div(gr_operand_count(&call->in[i]), NORM_RUN);
}

static void norm_piece(void *ctx, int64_t piece, int worker)
{
    (void)worker;
    const norm *s = ctx;
    int64_t run = piece;
    int i = 0;
    for (; run >= norm_pieces(s->call, i); i++)
        run -= norm_pieces(s->call, i);
    const gr_operand *x = &s->call->in[i];
    int64_t first = run * NORM_RUN, n = gr_min64(NORM_RUN, gr_operand_count(x) - first),
            width = gr_dtype_width(x->dtype);
    const char *at = (const char *)x->data + first * width;
    s->partial[piece] = x->dtype == GR_F32 ? s->kernels->sum_squares((const float *)(const void *)at, n) : 0;
    for (int64_t done = 0; x->dtype != GR_F32 && done < n; done += NORM_WIDENED) {
        float wide[NORM_WIDENED];
        int64_t some = gr_min64(NORM_WIDENED, n - done);
        gr_cpu_to_f32(x->dtype)(at + done * width, wide, some);
        s->partial[piece] += s->kernels->sum_squares(wide, some);
    }
}

static int64_t all_norm_pieces(const gr_call *call)
{
    int64_t n = 0;
    for (int i = 0; i < call->n_in; i++)
        n += norm_pieces(call, i);
    return n;
}

static size_t scratch_norm(const gr_call *call)
{
    return (size_t)all_norm_pieces(call) * sizeof(double);
}

static gr_status run_norm(const gr_call *call)
{
    norm s = {GR_ISA_PICK(gr_reduce_kernels_get)(), call, call->scratch};
    int64_t pieces = all_norm_pieces(call);
    double total = 0;
    gr_parallel(call->device->pool, pieces, norm_piece, &s);
    for (int64_t i = 0; i < pieces; i++)
        total += s.partial[i];
    *(float *)call->out[0].data = (float)sqrt(total);
    return GR_OK;
}

static bool supports_norm(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return node->spec.dtype == GR_F32; /* and so are f16 and bf16 */
}

const gr_kernel gr_cpu_reduce_kernels[] = {
    {.op = &gr_op_sum, .supports = supports, .scratch = scratch, .run = run},
    {.op = &gr_op_mean, .supports = supports, .scratch = scratch, .run = run},
    {.op = &gr_op_reduce_max, .supports = supports, .scratch = scratch, .run = run},
    {.op = &gr_op_argmax, .supports = supports_f32, .run = run_argmax},
    {.op = &gr_op_global_norm, .supports = supports_norm, .scratch = scratch_norm, .run = run_norm},
    {0},
};
