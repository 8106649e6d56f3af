/* A step of Adafactor. A gradient is divided by the root of a product, of a number of its row and one of its column; so both
 * must be there before it can be said how large the step is, and that before anything moves. Three passes:
 *
 *     1  gradient, parameter    sums of squares by rows, by columns, and of the parameter
 *     2  gradient               the sum of squares of what is subtracted
 *     3  gradient, parameter    the step
 *
 * which move 24 bytes an element; AdamW's one pass moves 28. Work is cut into parts, of rows, by shapes alone; sums of parts
 * are added in order. A parameter of fewer than two dims has one row and a mean for each element, and needs no pass 2. */
#include "backend/cpu/cpu.h"

#include "backend/cpu/convert.h"
#include "backend/cpu/ints.h"
#include "backend/cpu/reduce_kernels.h"
#include "op/optimizer.h"

#include <math.h>
#include <string.h>

enum { PARAM, GRAD, ROW, COLUMN, LR, STEP, SCALE };
enum {
    CHUNK = 1024,    /* columns at a time: what is worked out of them stays in the first-level cache */
    PART = 16384,    /* elements of a part at least */
    MOST_PARTS = 64, /* of a matrix: each has sums of all its columns */
};

/* torch.optim.Adafactor's defaults; a root that is divided by is at least f32's epsilon. */
static const double SMALLEST_RMS = 1e-3, DECAY_POWER = -0.8;
static const float LEAST_SQUARE = 0x1p-46f;

typedef struct job {
    const gr_adafactor_kernels *kernels;
    const gr_reduce_kernels *sums;
    float *p, *row, *column; /* column NULL: row has a mean for each element */
    const void *grad;
    gr_to_f32 *widen; /* of a gradient of 16 bits; NULL: it is f32 */
    int64_t matrices, rows, cols;
    int64_t part, parts; /* rows of a part, parts of a matrix; of a single row columns */
    float scale, fresh, decay, rate;
    /* scratch: two sums a part; sums of its columns; 1/sqrt(column); 1/sqrt(row / mean(row)), at first sums of rows */
    double *of_p, *of_u;
    float *partial, *by_column, *by_row;
} job;

static job cut(const gr_call *call)
{
    const gr_operand *p = &call->in[PARAM];
    job j = {.column = call->in[COLUMN].data, .matrices = 1, .rows = 1, .cols = 1};
    for (int i = 0; i < p->ndim; i++)
        *(i == p->ndim - 1 ? &j.cols : i == p->ndim - 2 ? &j.rows : &j.matrices) *= p->shape[i];
    int64_t n = p->ndim > 1 ? j.rows : j.cols, each = p->ndim > 1 ? j.cols : 1;
    j.part = gr_max64(gr_max64(gr_ceil_div(PART, gr_max64(each, 1)), gr_ceil_div(n, MOST_PARTS)), 1);
    j.parts = gr_ceil_div(n, j.part);
    return j;
}

static size_t scratch(const gr_call *call)
{
    const job j = cut(call);
    int64_t pieces = j.matrices * j.parts, sums = 2 * pieces;
    int64_t floats = call->in[PARAM].ndim > 1 ? pieces * j.cols + j.matrices * (j.cols + j.rows) : 0;
    return (size_t)sums * sizeof(double) + (size_t)floats * sizeof(float);
}

/* Elements [at, at + n) of the gradient: where they lie, or in the buffer. */
static const float *grad_at(const job *j, int64_t at, int64_t n, float *buffer)
{
    if (!j->widen)
        return (const float *)j->grad + at;
    j->widen((const uint16_t *)j->grad + at, buffer, n);
    return buffer;
}

/* What is subtracted of elements [at, at + n) before its rate; by_row and by_column are theirs. */
static void take_units(const job *j, float *u, int64_t at, float by_row, const float *by_column, int64_t n)
{
    float buffer[CHUNK];
    j->kernels->units(u, grad_at(j, at, n, buffer), by_column, j->scale, by_row, n);
}

/* ---- matrices ----------------------------------------------------------------------------------------------- */

typedef void (*chunk_fn)(const job *j, int64_t piece, int64_t row, int64_t col, int64_t n);

/* fn for all columns of a part's rows, some at a time; rows are counted through all matrices. */
static void each_chunk(const job *j, int64_t piece, chunk_fn fn)
{
    int64_t matrix = piece / j->parts, first = piece % j->parts * j->part, end = gr_min64(first + j->part, j->rows);
    for (int64_t r = first; r < end; r++)
        for (int64_t col = 0; col < j->cols; col += CHUNK)
            fn(j, piece, matrix * j->rows + r, col, gr_min64(CHUNK, j->cols - col));
}

static void measure(const job *j, int64_t piece, int64_t row, int64_t col, int64_t n)
{
    float square[CHUNK], buffer[CHUNK];
    int64_t at = row * j->cols + col;
    float *columns = j->partial + piece * j->cols + col;
    j->kernels->squares(square, grad_at(j, at, n, buffer), j->scale, n);
    j->kernels->add(columns, square, n);
    j->by_row[row] += j->sums->sum(square, n);
    j->of_p[piece] += j->sums->sum_squares(j->p + at, n);
}

static void measure_piece(void *ctx, int64_t piece, int worker)
{
    (void)worker;
    const job *j = ctx;
    int64_t row = piece / j->parts * j->rows + piece % j->parts * j->part;
    int64_t rows = gr_min64(j->part, j->rows - piece % j->parts * j->part);
    memset(j->partial + piece * j->cols, 0, (size_t)j->cols * sizeof(float));
    memset(j->by_row + row, 0, (size_t)rows * sizeof(float));
    each_chunk(j, piece, measure);
}

/* Some columns of a matrix: the parts' sums together, and into the mean. */
static void column_piece(void *ctx, int64_t piece, int worker)
{
    (void)worker;
    const job *j = ctx;
    int64_t chunks = gr_ceil_div(j->cols, CHUNK), matrix = piece / chunks, col = piece % chunks * CHUNK;
    int64_t n = gr_min64(CHUNK, j->cols - col), at = matrix * j->cols + col;
    float sum[CHUNK];
    j->sums->sum_rows(sum, j->partial + matrix * j->parts * j->cols + col, j->parts, j->cols, n);
    j->kernels->toward(j->column + at, sum, 1 / (float)j->rows, j->fresh, n);
    j->kernels->roots(j->by_column + at, j->column + at, 1, n);
}

static void rows_of(const job *j, int64_t matrix)
{
    float *by = j->by_row + matrix * j->rows, *row = j->row + matrix * j->rows;
    j->kernels->toward(row, by, 1 / (float)j->cols, j->fresh, j->rows);
    float mean = j->sums->sum(row, j->rows) / (float)j->rows;
    j->kernels->roots(by, row, 1 / fmaxf(mean, LEAST_SQUARE), j->rows);
}

static void size_up(const job *j, int64_t piece, int64_t row, int64_t col, int64_t n)
{
    float u[CHUNK];
    take_units(j, u, row * j->cols + col, j->by_row[row], j->by_column + row / j->rows * j->cols + col, n);
    j->of_u[piece] += j->sums->sum_squares(u, n);
}

static void size_piece(void *ctx, int64_t piece, int worker)
{
    (void)worker;
    each_chunk(ctx, piece, size_up);
}

static void move(const job *j, int64_t piece, int64_t row, int64_t col, int64_t n)
{
    float u[CHUNK];
    int64_t at = row * j->cols + col;
    (void)piece;
    take_units(j, u, at, j->by_row[row], j->by_column + row / j->rows * j->cols + col, n);
    j->kernels->step(j->p + at, u, j->decay, j->rate, n);
}

static void move_piece(void *ctx, int64_t piece, int worker)
{
    (void)worker;
    each_chunk(ctx, piece, move);
}

/* ---- a mean for each element -------------------------------------------------------------------------------- */

static void measure_row_piece(void *ctx, int64_t piece, int worker)
{
    (void)worker;
    const job *j = ctx;
    int64_t end = gr_min64((piece + 1) * j->part, j->cols);
    for (int64_t at = piece * j->part; at < end; at += CHUNK) {
        float u[CHUNK], buffer[CHUNK];
        int64_t n = gr_min64(CHUNK, end - at);
        j->kernels->squares(u, grad_at(j, at, n, buffer), j->scale, n);
        j->kernels->toward(j->row + at, u, 1, j->fresh, n);
        j->of_p[piece] += j->sums->sum_squares(j->p + at, n);
        float by[CHUNK];
        j->kernels->roots(by, j->row + at, 1, n);
        take_units(j, u, at, 1, by, n);
        j->of_u[piece] += j->sums->sum_squares(u, n);
    }
}

static void move_row_piece(void *ctx, int64_t piece, int worker)
{
    (void)worker;
    const job *j = ctx;
    int64_t end = gr_min64((piece + 1) * j->part, j->cols);
    for (int64_t at = piece * j->part; at < end; at += CHUNK) {
        float u[CHUNK], by[CHUNK];
        int64_t n = gr_min64(CHUNK, end - at);
        j->kernels->roots(by, j->row + at, 1, n);
        take_units(j, u, at, 1, by, n);
        j->kernels->step(j->p + at, u, j->decay, j->rate, n);
    }
}

/* ---- the step ----------------------------------------------------------------------------------------------- */

static double root_mean(const job *j, const double *parts)
{
    double sum = 0;
    for (int64_t i = 0; i < j->matrices * j->parts; i++)
        sum += parts[i];
    return sqrt(sum / (double)(j->matrices * j->rows * j->cols));
}

/* The job of a call that has something to do; scratch is laid out. */
static job start(const gr_call *call, float scale, double lr, double step)
{
    const gr_operand *grad = &call->in[GRAD];
    job j = cut(call);
    int64_t pieces = j.matrices * j.parts;
    j.kernels = GR_ISA_PICK(gr_adafactor_kernels_get)();
    j.sums = GR_ISA_PICK(gr_reduce_kernels_get)();
    j.p = call->in[PARAM].data;
    j.row = call->in[ROW].data;
    j.grad = grad->data;
    j.widen = grad->dtype == GR_F32 ? NULL : gr_cpu_to_f32(grad->dtype);
    j.scale = scale;
    j.fresh = (float)pow(step, DECAY_POWER);
    j.decay = (float)(1 - lr * (double)((const gr_adafactor_attr *)call->attr)->weight_decay);
    j.of_p = call->scratch;
    j.of_u = j.of_p + pieces;
    memset(j.of_p, 0, 2 * (size_t)pieces * sizeof(double));
    j.by_row = (float *)(void *)(j.of_u + pieces);
    j.by_column = j.by_row + j.matrices * j.rows;
    j.partial = j.by_column + j.matrices * j.cols;
    return j;
}

static gr_status run(const gr_call *call)
{
    bool has_scale = call->n_in > SCALE && call->in[SCALE].data;
    float scale = has_scale ? *(const float *)call->in[SCALE].data : 1;
    double lr = (double)*(const float *)call->in[LR].data, step = (double)*(const int64_t *)call->in[STEP].data;
    gr_pool *pool = call->device->pool;
    if (!isfinite(scale) || gr_operand_count(&call->in[PARAM]) == 0)
        return GR_OK; /* the step is skipped */
    job j = start(call, scale, lr, step);
    int64_t pieces = j.matrices * j.parts;
    if (j.column) {
        gr_parallel(pool, pieces, measure_piece, &j);
        gr_parallel(pool, j.matrices * gr_ceil_div(j.cols, CHUNK), column_piece, &j);
        for (int64_t i = 0; i < j.matrices; i++)
            rows_of(&j, i);
        gr_parallel(pool, pieces, size_piece, &j);
    } else {
        gr_parallel(pool, pieces, measure_row_piece, &j);
    }
    double rate = fmin(lr, 1 / sqrt(step)) * fmax(root_mean(&j, j.of_p), SMALLEST_RMS);
    j.rate = (float)(rate / fmax(root_mean(&j, j.of_u), 1));
    gr_parallel(pool, pieces, j.column ? move_piece : move_row_piece, &j);
    return GR_OK;
}

static bool supports(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return node->in[PARAM]->spec.dtype == GR_F32;
}

const gr_kernel gr_cpu_adafactor_kernels[] = {
    {.op = &gr_op_adafactor, .supports = supports, .scratch = scratch, .run = run},
    {0},
};
