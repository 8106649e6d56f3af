/* Cutting rows among the threads, and converting them on the way. */
#include "backend/cpu/rows.h"

#include "backend/cpu/convert.h"
#include "base/dtype.h"

gr_row_job gr_row_job_of(const gr_call *call, gr_row_fn row, const void *kernel, int buffers)
{
    const gr_operand *x = &call->in[0];
    gr_row_job job = {call, x->shape[x->ndim - 1], 1, buffers, row, kernel};
    for (int i = 0; i < x->ndim - 1; i++)
        job.rows *= x->shape[i];
    return job;
}

static void run_piece(void *ctx, int64_t piece, int worker)
{
    const gr_row_job *job = ctx;
    int64_t step = gr_rows_a_piece(job->n), first = piece * step;
    int64_t end = first + step < job->rows ? first + step : job->rows;
    float *buffers = (float *)job->call->scratch;
    if (buffers)
        buffers += worker * job->buffers * job->n;
    for (int64_t row = first; row < end; row++)
        job->row(job, row, buffers);
}

gr_status gr_row_run(const gr_row_job *job)
{
    int64_t step = gr_rows_a_piece(job->n);
    gr_row_job copy = *job;
    gr_parallel(job->call->device->pool, (job->rows + step - 1) / step, run_piece, &copy);
    return GR_OK;
}

size_t gr_row_scratch(const gr_call *call, int buffers)
{
    const gr_operand *x = &call->in[0];
    size_t row = (size_t)x->shape[x->ndim - 1] * sizeof(float);
    return (size_t)gr_pool_threads(call->device->pool) * (size_t)buffers * row;
}

bool gr_row_dtype(gr_dtype d)
{
    return gr_dtype_get(d)->is_activation;
}

bool gr_is_kept(gr_dtype d)
{
    return gr_row_dtype(d) || gr_dtype_is_block(d);
}

static void *row_at(const gr_operand *o, int64_t row, int64_t n)
{
    return (char *)o->data + gr_dtype_size(o->dtype, row * n);
}

const float *gr_row_read(const gr_operand *o, int64_t row, int64_t n, float *buffer)
{
    if (o->dtype == GR_F32)
        return row_at(o, row, n);
    gr_cpu_to_f32(o->dtype)(row_at(o, row, n), buffer, n);
    return buffer;
}

float *gr_row_place(const gr_operand *o, int64_t row, int64_t n, float *buffer)
{
    return o->data && o->dtype == GR_F32 ? row_at(o, row, n) : buffer;
}

void gr_row_store(const gr_operand *o, int64_t row, int64_t n, const float *values)
{
    if (o->data && o->dtype != GR_F32)
        gr_cpu_from_f32(o->dtype)(values, row_at(o, row, n), n);
}

gr_status gr_sequences_check(const gr_call *call, int input, int64_t n)
{
    const gr_operand *o = &call->in[input];
    const int64_t *sequence = input < call->n_in ? o->data : NULL;
    gr_status s = GR_OK;
    for (int64_t b = 0; s == GR_OK && sequence && b < o->shape[0]; b++)
        s = gr_fault_check(call, GR_FAULT_SEQUENCE, sequence[b], b, 0, n);
    return s;
}

const float *gr_head_read(const gr_operand *x, int64_t position, int64_t d, float *buffer)
{
    const int bytes = gr_dtype_width(x->dtype);
    const char *at = (const char *)x->data + position * bytes;
    bool is_row = x->stride[3] == 1 || d == 1;
    if (is_row && x->dtype == GR_F32)
        return (const float *)(const void *)at;
    gr_to_f32 *widen = gr_cpu_to_f32(x->dtype);
    if (is_row)
        widen(at, buffer, d);
    else
        for (int64_t i = 0; i < d; i++)
            widen(at + i * x->stride[3] * bytes, buffer + i, 1);
    return buffer;
}
