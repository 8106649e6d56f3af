/* Cross-entropy of rows of logits: nothing of the logits' size is made forward, and backward may write over them. */
#include "backend/cpu/rows.h"
#include "op/attr.h"
#include "op/op.h"

enum { LOGITS, TARGETS, LSE, D };

static bool supports(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return gr_row_dtype(node->in[LOGITS]->spec.dtype);
}

static int64_t target_of(const gr_call *c, int64_t row)
{
    return gr_index_at(&c->in[TARGETS], row);
}

static bool is_ignored(const gr_call *c, int64_t target)
{
    return target == ((const gr_ignore_attr *)c->attr)->ignore_index;
}

/* Before the rows are handed to other threads, whose errors nobody would see. */
static gr_status check_targets(const gr_row_job *job)
{
    gr_status s = GR_OK;
    for (int64_t row = 0; s == GR_OK && row < job->rows; row++) {
        int64_t target = target_of(job->call, row);
        if (!is_ignored(job->call, target))
            s = gr_fault_check(job->call, GR_FAULT_TARGET, target, row, 0, job->n);
    }
    return s;
}

static int buffers(const gr_call *c)
{
    return c->in[LOGITS].dtype == GR_F32 ? 0 : 2;
}

static size_t scratch(const gr_call *c)
{
    return gr_row_scratch(c, buffers(c));
}

typedef float (*log_sum_exp_fn)(const float *x, int64_t n);
typedef void (*grad_fn)(float *dx, const float *x, int64_t n, int64_t target, float lse, float d);

static void forward_row(const gr_row_job *job, int64_t row, float *buffer)
{
    const gr_call *c = job->call;
    const float *x = gr_row_read(&c->in[LOGITS], row, job->n, buffer);
    float lse = (*(const log_sum_exp_fn *)job->kernel)(x, job->n);
    int64_t target = target_of(c, row);
    if (c->out[0].data)
        ((float *)c->out[0].data)[row] = is_ignored(c, target) ? 0 : lse - x[target];
    if (c->out[1].data)
        ((float *)c->out[1].data)[row] = lse;
}

static void backward_row(const gr_row_job *job, int64_t row, float *buffer)
{
    const gr_call *c = job->call;
    int64_t n = job->n, target = target_of(c, row);
    float *dx = gr_row_place(&c->out[0], row, n, buffer);
    float d = ((const float *)c->in[D].data)[row];
    if (is_ignored(c, target)) {
        for (int64_t i = 0; i < n; i++)
            dx[i] = 0;
    } else {
        const float *x = gr_row_read(&c->in[LOGITS], row, n, buffer + n);
        (*(const grad_fn *)job->kernel)(dx, x, n, target, ((const float *)c->in[LSE].data)[row], d);
    }
    gr_row_store(&c->out[0], row, n, dx);
}

static gr_status run(const gr_call *c, gr_row_fn row, const void *kernel)
{
    gr_row_job job = gr_row_job_of(c, row, kernel, buffers(c));
    gr_status s = check_targets(&job);
    return s == GR_OK ? gr_row_run(&job) : s;
}

static gr_status run_rows(const gr_call *c)
{
    log_sum_exp_fn kernel = GR_ISA_PICK(gr_row_log_sum_exp);
    return run(c, forward_row, &kernel);
}

static gr_status run_grad(const gr_call *c)
{
    grad_fn kernel = GR_ISA_PICK(gr_row_cross_entropy_grad);
    return run(c, backward_row, &kernel);
}

const gr_kernel gr_cpu_loss_kernels[] = {
    {.op = &gr_op_cross_entropy_rows, .supports = supports, .scratch = scratch, .run = run_rows},
    {.op = &gr_op_cross_entropy_grad, .supports = supports, .in_place = 1, .scratch = scratch, .run = run_grad},
    {0},
};
