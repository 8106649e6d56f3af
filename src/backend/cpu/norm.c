/* Layer norm and RMS norm over the last dim, and their gradients. */
#include "backend/cpu/rows.h"
#include "op/attr.h"
#include "op/op.h"

#include "base/dtype.h"

#include <string.h>

static bool supports(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return gr_row_dtype(node->spec.dtype);
}

/* The vector i [n] as f32, converted to `place` if it must be; NULL if it was left out. */
static const float *vector(const gr_call *c, int i, int64_t n, float *place)
{
    return i < c->n_in && c->in[i].data ? gr_row_read(&c->in[i], 0, n, place) : NULL;
}

/* Statistic k of a row: where it goes, or a place for what nobody reads. */
static float *stat(const gr_call *c, int k, int64_t row, float *unread)
{
    return c->out[k].data ? (float *)c->out[k].data + row : unread;
}

/* ---- forward ------------------------------------------------------------------------------------------------ */

typedef struct forward {
    void (*layer)(float *, const float *, const float *, const float *, int64_t, float, float *, float *);
    void (*rms)(float *, const float *, const float *, int64_t, float, float *);
    const float *weight, *bias;
    float eps;
} forward;

/* Each worker has room for an output and an input row; behind them all lie the weight and bias as f32. */
enum { FORWARD_ROWS = 2 };

static size_t forward_scratch(const gr_call *c)
{
    return gr_row_scratch(c, FORWARD_ROWS) + 2 * (size_t)c->in[1].shape[0] * sizeof(float);
}

static void forward_row(const gr_row_job *job, int64_t row, float *buffer)
{
    const gr_call *c = job->call;
    const forward *f = job->kernel;
    int64_t n = job->n;
    float unread;
    float *y = gr_row_place(&c->out[0], row, n, buffer);
    const float *x = gr_row_read(&c->in[0], row, n, buffer + n);
    if (f->layer)
        f->layer(y, x, f->weight, f->bias, n, f->eps, stat(c, 1, row, &unread), stat(c, 2, row, &unread));
    else
        f->rms(y, x, f->weight, n, f->eps, stat(c, 1, row, &unread));
    gr_row_store(&c->out[0], row, n, y);
}

static gr_status run_forward(const gr_call *c, forward f)
{
    gr_row_job job = gr_row_job_of(c, forward_row, &f, FORWARD_ROWS);
    float *place = (float *)c->scratch + gr_pool_threads(c->device->pool) * FORWARD_ROWS * job.n;
    f.eps = ((const gr_norm_attr *)c->attr)->eps;
    f.weight = vector(c, 1, job.n, place);
    f.bias = vector(c, 2, job.n, place + job.n);
    return gr_row_run(&job);
}

static gr_status run_layer_norm(const gr_call *c)
{
    return run_forward(c, (forward){.layer = GR_ISA_PICK(gr_row_layer_norm)});
}

static gr_status run_rms_norm(const gr_call *c)
{
    return run_forward(c, (forward){.rms = GR_ISA_PICK(gr_row_rms_norm)});
}

/* ---- backward ----------------------------------------------------------------------------------------------- */

/* Sums over rows are made in blocks of rows, each into its own partial sums; then the partial sums are added in order.
 * Scratch: [blocks][2][n] partial sums, [n] weight, [threads][3][n] rows. */
enum { MOST_BLOCKS = 32, COLUMNS = 512, GRAD_ROWS = 3 };

typedef struct backward {
    const gr_call *call;
    bool layer; /* inputs x, weight, mean, rstd, d; without mean for RMS norm */
    int64_t n, rows, blocks, block_rows;
    const float *weight;
    float *partial, *buffers;
    void (*layer_row)(float *, float *, float *, const float *, const float *, const float *, int64_t, float, float);
    void (*rms_row)(float *, float *, const float *, const float *, const float *, int64_t, float);
    void (*add)(float *, const float *, int64_t);
} backward;

/* Fills in what the shapes tell. */
static backward backward_of(const gr_call *c, bool layer)
{
    const gr_operand *x = &c->in[0];
    backward b = {.call = c, .layer = layer, .n = x->shape[x->ndim - 1], .rows = 1};
    for (int i = 0; i < x->ndim - 1; i++)
        b.rows *= x->shape[i];
    int64_t least = gr_rows_a_piece(b.n), even = (b.rows + MOST_BLOCKS - 1) / MOST_BLOCKS;
    b.block_rows = even > least ? even : least;
    b.blocks = (b.rows + b.block_rows - 1) / b.block_rows;
    return b;
}

static size_t backward_scratch(const gr_call *c)
{
    backward b = backward_of(c, false);
    return (size_t)(b.blocks * 2 + 1 + gr_pool_threads(c->device->pool) * GRAD_ROWS) * (size_t)b.n * sizeof(float);
}

static void backward_block(void *ctx, int64_t block, int worker)
{
    const backward *b = ctx;
    const gr_call *c = b->call;
    int64_t n = b->n, end = (block + 1) * b->block_rows;
    float *dweight = b->partial + block * 2 * n, *dbias = dweight + n, *buffer = b->buffers + worker * GRAD_ROWS * n;
    const float *mean = c->in[2].data, *rstd = b->layer ? c->in[3].data : c->in[2].data;
    memset(dweight, 0, 2 * (size_t)n * sizeof(float));
    for (int64_t row = block * b->block_rows; row < end && row < b->rows; row++) {
        float *dx = gr_row_place(&c->out[0], row, n, buffer);
        const float *x = gr_row_read(&c->in[0], row, n, buffer + n);
        const float *d = gr_row_read(&c->in[b->layer ? 4 : 3], row, n, buffer + 2 * n);
        if (b->layer)
            b->layer_row(dx, dweight, dbias, x, b->weight, d, n, mean[row], rstd[row]);
        else
            b->rms_row(dx, dweight, x, b->weight, d, n, rstd[row]);
        gr_row_store(&c->out[0], row, n, dx);
    }
}

/* Columns [piece · COLUMNS, ..) of dweight and dbias. */
static void add_partials(void *ctx, int64_t piece, int worker)
{
    const backward *b = ctx;
    int64_t first = piece * COLUMNS, n = b->n - first < COLUMNS ? b->n - first : COLUMNS;
    (void)worker;
    for (int k = 0; k < (b->layer ? 2 : 1); k++) {
        const gr_operand *out = &b->call->out[1 + k];
        float sum[COLUMNS] = {0};
        if (!out->data)
            continue;
        for (int64_t block = 0; block < b->blocks; block++)
            b->add(sum, b->partial + (block * 2 + k) * b->n + first, n);
        gr_dtype_get(out->dtype)->from_f32(sum, (char *)out->data + gr_dtype_size(out->dtype, first), n);
    }
}

static gr_status run_backward(const gr_call *c, backward b)
{
    float *weight = (float *)c->scratch + b.blocks * 2 * b.n;
    b.partial = c->scratch;
    b.buffers = weight + b.n;
    b.weight = vector(c, 1, b.n, weight);
    b.add = GR_ISA_PICK(gr_row_add);
    gr_parallel(c->device->pool, b.blocks, backward_block, &b);
    gr_parallel(c->device->pool, (b.n + COLUMNS - 1) / COLUMNS, add_partials, &b);
    return GR_OK;
}

static gr_status run_layer_norm_grad(const gr_call *c)
{
    backward b = backward_of(c, true);
    b.layer_row = GR_ISA_PICK(gr_row_layer_norm_grad);
    return run_backward(c, b);
}

static gr_status run_rms_norm_grad(const gr_call *c)
{
    backward b = backward_of(c, false);
    b.rms_row = GR_ISA_PICK(gr_row_rms_norm_grad);
    return run_backward(c, b);
}

const gr_kernel gr_cpu_norm_kernels[] = {
    {.op = &gr_op_layer_norm, .supports = supports, .in_place = 1, .scratch = forward_scratch, .run = run_layer_norm},
    {.op = &gr_op_layer_norm_grad,
     .supports = supports,
     .in_place = 1u << 0 | 1u << 4,
     .scratch = backward_scratch,
     .run = run_layer_norm_grad},
    {.op = &gr_op_rms_norm, .supports = supports, .in_place = 1, .scratch = forward_scratch, .run = run_rms_norm},
    {.op = &gr_op_rms_norm_grad,
     .supports = supports,
     .in_place = 1u << 0 | 1u << 3,
     .scratch = backward_scratch,
     .run = run_rms_norm_grad},
    {0},
};
