/* An op that the library does not have, added from outside: y = cap · tanh(x / cap), which keeps logits within ±cap.
 * The record below is all there is to it; docs/add-an-op.md goes through it. */
#include <gradus.h>

#include <math.h>
#include <stdio.h>

typedef struct softcap_attr {
    double cap;
} softcap_attr;

static double cap_of(const gr_tensor *node)
{
    return ((const softcap_attr *)gr_tensor_attr(node))->cap;
}

/* The shape rule: what comes out, or why not. */
static gr_status infer(const gr_tensor *node, gr_spec *out)
{
    const gr_tensor *x = gr_tensor_input(node, 0);
    if (gr_tensor_dtype(x) != GR_F32 && gr_tensor_dtype(x) != GR_F64)
        return gr_op_fail(node, "needs f32 or f64");
    *out = (gr_spec){.dtype = gr_tensor_dtype(x), .ndim = gr_tensor_ndim(x)};
    for (int i = 0; i < out->ndim; i++)
        out->shape[i] = gr_tensor_shape(x)[i];
    return GR_OK;
}

/* The gradient rule, written in ops: d · (1 - (y / cap)²). */
static gr_status grad(gr_grad_args *a)
{
    gr_tensor *t = gr_scale(a->out[0], 1 / cap_of(a->node));
    a->d_in[0] = gr_mul(a->d_out[0], gr_offset(gr_neg(gr_mul(t, t)), 1));
    return a->d_in[0] ? GR_OK : gr_error_status();
}

/* What it means, in the library's ops: how a device without a kernel runs it. */
static gr_status compose(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    out[0] = gr_scale(gr_tanh(gr_scale(in[0], 1 / cap_of(node))), cap_of(node));
    return out[0] ? GR_OK : gr_error_status();
}

/* One pass over memory; inputs come contiguous. */
static gr_status kernel(const gr_call *call)
{
    double cap = ((const softcap_attr *)call->attr)->cap;
    int64_t n = gr_tensor_count(call->node);
    for (int64_t i = 0; i < n; i++)
        if (call->in[0].dtype == GR_F64)
            ((double *)call->out[0].data)[i] = cap * tanh(((const double *)call->in[0].data)[i] / cap);
        else
            ((float *)call->out[0].data)[i] = (float)(cap * tanh((double)((const float *)call->in[0].data)[i] / cap));
    return GR_OK;
}

#define SOFTCAP                                                                                                        \
    .name = "softcap", .doc = "x: cap tanh(x / cap)", .inputs = 1, .outputs = 1, .attr_size = sizeof(softcap_attr),    \
    .infer = infer, .grad = grad, .compose = compose
static const gr_op softcap = {SOFTCAP, .kernel = kernel};
static const gr_op composed = {SOFTCAP}; /* the same without the kernel, to compare */

/* sum(op(x)²) in f64, and its gradient: loss and derivatives of six values of x. */
static double loss_at(const gr_op *op, const double *x, double *d)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *in = gr_constant(g, GR_F64, 1, (int64_t[]){6}, x), *dx;
    gr_tensor *y = gr_node(g, op, &in, 1, &(softcap_attr){2});
    gr_tensor *loss = gr_sum(gr_mul(y, y), 0, false);
    double value = gr_item(loss);
    if (d && (gr_grad(loss, &in, &dx, 1) != GR_OK || gr_eval(dx, d, 6 * sizeof *d) != GR_OK))
        value = NAN;
    gr_graph_free(g);
    return value;
}

int main(void)
{
    double x[6] = {-5, -1, -0.1, 0.3, 1, 4}, d[6] = {0}, worst = 0, h = 1e-5;
    worst = fabs(loss_at(&softcap, x, d) - loss_at(&composed, x, NULL));
    printf("kernel against composition: %.1e\n", worst);
    for (int i = 0; i < 6; i++) { /* central differences */
        double at = x[i], up = (x[i] = at + h, loss_at(&softcap, x, NULL));
        double down = (x[i] = at - h, loss_at(&softcap, x, NULL));
        x[i] = at;
        printf("x %4.1f  gradient %9.6f  by differences %9.6f\n", at, d[i], (up - down) / (2 * h));
        worst = fmax(worst, fabs(d[i] - (up - down) / (2 * h)));
    }
    if (!(worst < 1e-8))
        fprintf(stderr, "off by %g %s\n", worst, gr_error());
    return worst < 1e-8 ? 0 : 1;
}
