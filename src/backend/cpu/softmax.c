/* Softmax and log-softmax along the last dim, and their gradients. */
#include "backend/cpu/rows.h"
#include "op/op.h"

typedef struct family {
    void (*unary)(float *y, const float *x, int64_t n);
    void (*binary)(float *dx, const float *y, const float *d, int64_t n);
} family;

static bool supports(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return gr_row_dtype(node->spec.dtype);
}

/* f32 rows are worked on where they lie. */
static int buffers(const gr_call *c)
{
    return c->in[0].dtype == GR_F32 ? 0 : 1 + c->n_in;
}

static size_t scratch(const gr_call *c)
{
    return gr_row_scratch(c, buffers(c));
}

static void do_row(const gr_row_job *job, int64_t row, float *buffer)
{
    const gr_call *c = job->call;
    const family *f = job->kernel;
    int64_t n = job->n;
    float *y = gr_row_place(&c->out[0], row, n, buffer);
    const float *x = gr_row_read(&c->in[0], row, n, buffer + n);
    if (f->unary)
        f->unary(y, x, n);
    else
        f->binary(y, x, gr_row_read(&c->in[1], row, n, buffer + 2 * n), n);
    gr_row_store(&c->out[0], row, n, y);
}

static gr_status run(const gr_call *c, family f)
{
    gr_row_job job = gr_row_job_of(c, do_row, &f, buffers(c));
    return gr_row_run(&job);
}

static gr_status run_softmax(const gr_call *c)
{
    return run(c, (family){.unary = GR_ISA_PICK(gr_row_softmax)});
}

static gr_status run_softmax_grad(const gr_call *c)
{
    return run(c, (family){.binary = GR_ISA_PICK(gr_row_softmax_grad)});
}

static gr_status run_log_softmax(const gr_call *c)
{
    return run(c, (family){.unary = GR_ISA_PICK(gr_row_log_softmax)});
}

static gr_status run_log_softmax_grad(const gr_call *c)
{
    return run(c, (family){.binary = GR_ISA_PICK(gr_row_log_softmax_grad)});
}

const gr_kernel gr_cpu_softmax_kernels[] = {
    {.op = &gr_op_softmax, .supports = supports, .in_place = 1, .scratch = scratch, .run = run_softmax},
    {.op = &gr_op_softmax_grad, .supports = supports, .in_place = 3, .scratch = scratch, .run = run_softmax_grad},
    {.op = &gr_op_log_softmax, .supports = supports, .in_place = 1, .scratch = scratch, .run = run_log_softmax},
    {.op = &gr_op_log_softmax_grad,
     .supports = supports,
     .in_place = 3,
     .scratch = scratch,
     .run = run_log_softmax_grad},
    {0},
};
