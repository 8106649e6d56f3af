/* hidden_act: the functions that transformers has under these names (its activations.py). */
#include "model/layers/nn.h"

#include "op/op.h"

#include <stdio.h>
#include <string.h>

static gr_tensor *clipped(gr_tensor *x, double low, double high)
{
    if (!x)
        return NULL;
    gr_tensor *bottom = gr_fill(x->graph, GR_F32, 0, NULL, low), *top = gr_fill(x->graph, GR_F32, 0, NULL, high);
    return gr_min(gr_max(x, bottom), top);
}

static gr_tensor *gelu_10(gr_tensor *x)
{
    return clipped(gr_gelu(x), -10, 10);
}

static gr_tensor *hardswish(gr_tensor *x)
{
    return gr_scale(gr_mul(x, clipped(gr_offset(x, 3), 0, 6)), 1.0 / 6);
}

static gr_tensor *laplace(gr_tensor *x)
{
    gr_tensor *z = gr_scale(gr_offset(x, -0.707107), 1 / (0.282095 * 1.4142135623730951));
    return gr_scale(gr_offset(gr_erf(z), 1), 0.5);
}

static gr_tensor *leaky_relu(gr_tensor *x)
{
    return gr_max(x, gr_scale(x, 0.01));
}

static gr_tensor *linear(gr_tensor *x)
{
    return x;
}

/* x tanh(log(1 + e)) with e = exp(x): tanh(log(u)) is (u² - 1)/(u² + 1), and u² - 1 = e (e + 2). It is 1 beyond 20. */
static gr_tensor *mish(gr_tensor *x)
{
    gr_tensor *e = gr_exp(clipped(x, -1e30, 20));
    gr_tensor *n = gr_mul(e, gr_offset(e, 2));
    return gr_mul(x, gr_div(n, gr_offset(n, 2)));
}

static gr_tensor *quick_gelu(gr_tensor *x)
{
    return gr_mul(x, gr_sigmoid(gr_scale(x, 1.702)));
}

static gr_tensor *relu_squared(gr_tensor *x)
{
    gr_tensor *r = gr_relu(x);
    return gr_mul(r, r);
}

static gr_tensor *relu6(gr_tensor *x)
{
    return clipped(x, 0, 6);
}

/* log(1 + e) with all digits of f32: what rounding 1 + e loses, log(u) lacks by the same factor (Kahan). */
static gr_tensor *log_1_plus(gr_tensor *e)
{
    gr_tensor *u = gr_offset(e, 1), *kept = gr_offset(u, -1);
    gr_tensor *none = gr_eq(kept, gr_scalar_like(e, 0));
    gr_tensor *divisor = gr_select(none, gr_scalar_like(e, 1), kept);
    return gr_select(none, e, gr_mul(gr_log(u), gr_div(e, divisor)));
}

static gr_tensor *sqrt_softplus(gr_tensor *x)
{
    if (!x)
        return NULL;
    gr_tensor *soft = gr_add(gr_relu(x), log_1_plus(gr_exp(gr_neg(gr_abs(x)))));
    return gr_sqrt(soft);
}

static const struct {
    const char *name;
    gr_tensor *(*f)(gr_tensor *);
} known[] = {
    {"gelu", gr_gelu},
    {"gelu_10", gelu_10},
    {"gelu_accurate", gr_gelu_tanh},
    {"gelu_fast", gr_gelu_tanh},
    {"gelu_new", gr_gelu_tanh},
    {"gelu_python", gr_gelu},
    {"gelu_python_tanh", gr_gelu_tanh},
    {"gelu_pytorch_tanh", gr_gelu_tanh},
    {"hardswish", hardswish},
    {"laplace", laplace},
    {"leaky_relu", leaky_relu},
    {"linear", linear},
    {"mish", mish},
    {"quick_gelu", quick_gelu},
    {"relu", gr_relu},
    {"relu2", relu_squared},
    {"relu6", relu6},
    {"sigmoid", gr_sigmoid},
    {"silu", gr_silu},
    {"sqrtsoftplus", sqrt_softplus},
    {"swish", gr_silu},
    {"tanh", gr_tanh},
};
enum { N_KNOWN = sizeof known / sizeof known[0] };

gr_tensor *(*gr_nn_activation(gr_json config, const char *key, const char *fallback))(gr_tensor *)
{
    const char *name = gr_json_text(config, key, fallback);
    char names[400];
    size_t n = 0;
    for (int i = 0; i < N_KNOWN; i++) {
        if (strcmp(known[i].name, name) == 0)
            return known[i].f;
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", known[i].name);
    }
    gr_json_fail(gr_json_get(config, key), "activation \"%.60s\" is not supported\nsupported are %s", name, names);
    return gr_gelu_tanh;
}

gr_tensor *gr_nn_gate(const gr_hparams *h, gr_tensor *gate, gr_tensor *up)
{
    if (h->activation == gr_silu)
        return gr_swiglu(gate, up);
    if (h->activation == gr_gelu_tanh)
        return gr_geglu(gate, up);
    return gr_mul(h->activation(gate), up);
}
