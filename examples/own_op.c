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
    const gr_spec *x = gr_tensor_spec(gr_tensor_input(node, 0));
    if (x->dtype != GR_F32 && x->dtype != GR_F64)
        return gr_op_fail(node, "needs f32 or f64");
    *out = *x;
    return GR_OK;
}

/* The gradient rule, written in ops: d · (1 - (y / cap)²). */
static gr_status grad(gr_grad_args *a)
{
    gr_tensor *t = gr_scale(a->out[0], 1 / cap_of(a->node));
    a->d_in[0] = gr_mul(a->d_out[0], gr_offset(gr_neg(gr_mul(t, t)), 1));
    return a->d_in[0] ? GR_OK : gr_error_status();
}

/* What it means, in the library's ops: the definition, and how a device without a kernel runs it. */
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

static const gr_op softcap = {.name = "softcap",
                              .doc = "x: cap tanh(x / cap)",
                              .inputs = 1,
                              .outputs = 1,
                              .attr_size = sizeof(softcap_attr),
                              .infer = infer,
                              .grad = grad,
                              .compose = compose,
                              .kernel = kernel};

enum { N = 6 };

/* sum(softcap(x)²) and its gradient. The cpu device runs the kernel, the reference device the composition. */
static double loss_on(const char *name, const double *x, double *dx)
{
    const int64_t n = N;
    const softcap_attr attr = {2};
    gr_device *device = gr_device_open(name, 1);
    gr_graph *g = gr_graph_new();
    gr_tensor *in = gr_constant(g, GR_F64, 1, &n, x), *out[2];
    gr_tensor *y = gr_node(g, &softcap, &in, 1, &attr);
    out[0] = gr_name(gr_sum(gr_mul(y, y), 0, false), "loss");
    gr_grad(out[0], &in, &out[1], 1);
    gr_name(out[1], "dx");
    gr_program *p = gr_compile(g, out, 2, device, NULL);
    double loss = NAN;
    const gr_wanted wanted[] = {{"loss", GR_F64, &loss, sizeof loss}, {"dx", GR_F64, dx, N * sizeof *dx}};
    if (!p || gr_run(p, NULL, 0, wanted, 2) != GR_OK)
        fprintf(stderr, "%s\n", gr_error());
    gr_program_free(p);
    gr_graph_free(g);
    gr_device_close(device);
    return loss;
}

int main(void)
{
    double x[N] = {-5, -1, -0.1, 0.3, 1, 4}, dx[N] = {0}, unused[N], h = 1e-5;
    double worst = fabs(loss_on("cpu", x, dx) - loss_on("ref", x, unused));
    printf("kernel against composition: %.1e\n", worst);
    for (int i = 0; i < N; i++) { /* central differences */
        double at = x[i], up, down;
        x[i] = at + h;
        up = loss_on("cpu", x, unused);
        x[i] = at - h;
        down = loss_on("cpu", x, unused);
        x[i] = at;
        printf("x %4.1f  gradient %9.6f  by differences %9.6f\n", at, dx[i], (up - down) / (2 * h));
        worst = fmax(worst, fabs(dx[i] - (up - down) / (2 * h)));
    }
    return worst < 1e-8 ? 0 : 1; /* NaN is no */
}
