/* Against PyTorch in f64: values, gradients, optimizer steps on ref in f64, values and gradients on every device in f32
 * (tests/data/ops.safetensors; tools/oracle/make_ops.py says how its tensors are called). */
#include "test.h"

#include "base/dtype.h"
#include "format/safetensors.h"
#include "graph/graph.h"
#include "op/optimizer.h"
#include "program/run.h"

/* A case: "layer_norm.odd", its arguments and its tensors. */
typedef struct golden {
    const gr_safetensors *file;
    const char *name;
    gr_json arguments;
    gr_graph *graph;
    gr_device *device;
    gr_dtype dtype; /* of what is computed */
} golden;

static const gr_weight *find(const golden *c, const char *what, int k)
{
    char name[96];
    snprintf(name, sizeof name, k < 0 ? "%s.%s" : "%s.%s%d", c->name, what, k);
    return gr_safetensors_find(c->file, name);
}

static gr_tensor *constant(const golden *c, const gr_weight *t)
{
    return t ? gr_constant(c->graph, t->dtype, t->ndim, t->shape, t->data) : NULL;
}

static double number(const golden *c, const char *key)
{
    double x = gr_json_real(c->arguments, key, NAN, -1e9, 1e9);
    if (isnan(x))
        FAIL("%s has no argument %s", c->name, key);
    return x;
}

static bool flag(const golden *c, const char *key)
{
    return gr_json_bool(c->arguments, key, false);
}

/* The same in the dtype of what is computed; indices stay. */
static gr_tensor *operand(const golden *c, const gr_weight *t)
{
    gr_tensor *x = constant(c, t);
    return !t || t->dtype == c->dtype || t->dtype != GR_F64 ? x : gr_cast(x, c->dtype);
}

/* Relative to the tensor's largest value; a tensor of rounding noise, as layer norm's gradient over one element, is 0:
 * it must be small beside `terms`. */
static void check_near(const char *what, const double *got, const gr_weight *expected, double tolerance, double terms)
{
    double largest = 0, x;
    size_t n = expected->bytes / sizeof x;
    for (size_t i = 0; i < n; i++) {
        memcpy(&x, (const char *)expected->data + i * sizeof x, sizeof x);
        largest = fmax(largest, fabs(x));
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(&x, (const char *)expected->data + i * sizeof x, sizeof x);
        if (!(fabs(got[i] - x) <= tolerance * fmax(largest, terms)))
            FAIL("%s, element %d is %.17g, PyTorch says %.17g", what, (int)i, got[i], x);
    }
}

/* ---- functions ---------------------------------------------------------------------------------------------- */

enum { MAX_IN = 3 };
typedef gr_tensor *(*builder)(const golden *c, gr_tensor *const *in);

#define UNARY(op)                                                                                                      \
    static gr_tensor *build_##op(const golden *c, gr_tensor *const *in)                                                \
    {                                                                                                                  \
        (void)c;                                                                                                       \
        return gr_##op(in[0]);                                                                                         \
    }
#define BINARY(op)                                                                                                     \
    static gr_tensor *build_##op(const golden *c, gr_tensor *const *in)                                                \
    {                                                                                                                  \
        (void)c;                                                                                                       \
        return gr_##op(in[0], in[1]);                                                                                  \
    }

UNARY(gelu)
UNARY(gelu_tanh)
UNARY(silu)
UNARY(softmax)
UNARY(log_softmax)
BINARY(swiglu)
BINARY(geglu)
BINARY(mse)
BINARY(bce)

static gr_tensor *build_layer_norm(const golden *c, gr_tensor *const *in)
{
    return gr_layer_norm(in[0], in[1], in[2], (float)number(c, "eps"));
}

static gr_tensor *build_rms_norm(const golden *c, gr_tensor *const *in)
{
    return gr_rms_norm(in[0], in[1], (float)number(c, "eps"));
}

static gr_tensor *build_cross_entropy(const golden *c, gr_tensor *const *in)
{
    return gr_cross_entropy(in[0], in[1], (int64_t)number(c, "ignore_index"));
}

static gr_tensor *build_cross_entropy_rows(const golden *c, gr_tensor *const *in)
{
    return gr_cross_entropy_rows(in[0], in[1], (int64_t)number(c, "ignore_index"));
}

static gr_tensor *build_rope(const golden *c, gr_tensor *const *in)
{
    gr_tensor *freq = gr_detach(gr_cast(in[2], GR_F32)); /* the file holds f32's values */
    return gr_rope(in[0], in[1], freq, flag(c, "interleaved"), (float)number(c, "scale"));
}

static gr_tensor *build_attention(const golden *c, gr_tensor *const *in)
{
    gr_attention_options o = {.size = sizeof o, .scale = (float)number(c, "scale"), .causal = flag(c, "causal")};
    o.window = (int64_t)number(c, "window");
    o.q_pos = constant(c, find(c, "q_pos", -1));
    o.k_pos = constant(c, find(c, "k_pos", -1));
    o.segment = constant(c, find(c, "segment", -1));
    return gr_attention(in[0], in[1], in[2], &o);
}

/* clang-format off */
#define ENTRY(op) {#op, build_##op}
static const struct {
    const char *op;
    builder build;
} builders[] = {
    ENTRY(gelu), ENTRY(gelu_tanh), ENTRY(silu), ENTRY(softmax), ENTRY(log_softmax), ENTRY(swiglu), ENTRY(geglu),
    ENTRY(mse), ENTRY(bce), ENTRY(layer_norm), ENTRY(rms_norm), ENTRY(cross_entropy), ENTRY(cross_entropy_rows),
    ENTRY(rope), ENTRY(attention)
};
/* clang-format on */

/* Arguments of some ops are f32 by their interface (eps, scale): what that rounds, relatively, is the tolerance. */
static const double FUNCTION_TOLERANCE = 2e-7, OPTIMIZER_TOLERANCE = 1e-6;

/* What computing in f32 may lose: rounding the inputs alone costs digits when they are large. */
static double f32_tolerance(const golden *c)
{
    const gr_weight *in = find(c, "in", 0);
    double largest = 0, x;
    for (size_t i = 0; i < in->bytes / sizeof x; i++) {
        memcpy(&x, (const char *)in->data + i * sizeof x, sizeof x);
        largest = fmax(largest, fabs(x));
    }
    return 1e-6 * (2 + largest);
}

static void check_tensor(const golden *c, gr_tensor *t, const char *what, const gr_weight *expected)
{
    double got[4096];
    CHECK_MADE(t);
    CHECK_EQ_INT((size_t)gr_tensor_count(t) * sizeof *got, expected->bytes);
    CHECK(expected->bytes <= sizeof got);
    t = c->dtype == GR_F64 ? t : gr_cast(t, GR_F64);
    gr_program *p = gr_compile(c->graph, &t, 1, c->device, NULL);
    CHECK_MADE(p);
    CHECK_OK(gr_program_run(p, NULL, (void *[]){got}));
    gr_program_free(p);
    /* The terms that cancel in a norm over one element are as large as 1/sqrt(eps). */
    double terms = strcmp(c->name, "layer_norm.one") == 0 ? 316 : 0.1;
    if (c->dtype == GR_F64)
        check_near(what, got, expected, FUNCTION_TOLERANCE, 1e-6);
    else
        check_near(what, got, expected, f32_tolerance(c), terms);
}

static void check_function(const golden *c, builder build)
{
    gr_tensor *in[MAX_IN] = {0}, *wrt[MAX_IN], *d[MAX_IN];
    const gr_weight *expected[MAX_IN], *dout = find(c, "dout", -1);
    int n = 0;
    for (int k = 0; k < MAX_IN; k++) {
        in[k] = operand(c, find(c, "in", k));
        expected[n] = find(c, "din", k);
        if (expected[n])
            wrt[n++] = in[k];
    }
    gr_tensor *out = build(c, in), *loss = out;
    if (dout)
        loss = gr_sum(gr_mul(out, operand(c, dout)), 0, false);
    CHECK_MADE(loss);
    CHECK_OK(gr_grad(loss, wrt, d, n));
    check_tensor(c, out, "value", find(c, "out", -1));
    for (int k = 0; k < n; k++) {
        char what[24];
        snprintf(what, sizeof what, "gradient %d", k);
        check_tensor(c, d[k], what, expected[k]);
    }
}

/* ---- optimizers --------------------------------------------------------------------------------------------- */

/* A parameter and its moments in f64, on ref. */
static gr_tensor *state(const golden *c, gr_store *store, const char *name, const gr_weight *like, const void *values)
{
    CHECK_OK(gr_store_add(store, name, GR_WEIGHT, GR_F64, like->ndim, like->shape));
    if (values)
        CHECK_OK(gr_store_write(store, name, values, like->bytes));
    return gr_param(c->graph, store, name);
}

static void check_state(const golden *c, gr_store *store, const char *name)
{
    const gr_weight *expected = find(c, name, -1);
    double got[64], tolerance = gr_json_real(c->arguments, "tolerance", OPTIMIZER_TOLERANCE, 0, 1e-5);
    CHECK(expected->bytes <= sizeof got);
    CHECK_OK(gr_store_read(store, name, got, expected->bytes));
    check_near(name, got, expected, tolerance, 1e-6);
}

/* An optimizer's op on a parameter, with the scalars of a step. */
typedef struct moved {
    gr_store *store;
    const gr_weight *like;
    gr_tensor *p, *grad, *lr, *step, *scale;
} moved;

/* A moment that begins as zeros, of the parameter's shape or the one that PyTorch's has. */
static gr_tensor *moment(const golden *c, const moved *m, const char *name)
{
    const gr_weight *expected = find(c, name, -1);
    return expected ? state(c, m->store, name, expected, NULL) : NULL;
}

static gr_tensor *adamw(const golden *c, const moved *m)
{
    gr_adamw_options o = {sizeof o,
                          (float)number(c, "beta1"),
                          (float)number(c, "beta2"),
                          (float)number(c, "eps"),
                          (float)number(c, "weight_decay"),
                          0};
    return gr_adamw(m->p, m->grad, moment(c, m, "m"), moment(c, m, "v"), m->lr, m->step, m->scale, &o);
}

static gr_tensor *sgd(const golden *c, const moved *m)
{
    return gr_sgd(m->p, m->grad, moment(c, m, "velocity"), m->lr, m->scale, (float)number(c, "momentum"),
                  (float)number(c, "weight_decay"));
}

static gr_tensor *lion(const golden *c, const moved *m)
{
    gr_lion_attr a = {(float)number(c, "beta1"), (float)number(c, "beta2"), (float)number(c, "weight_decay")};
    return gr_lion(m->p, m->grad, moment(c, m, "m"), m->lr, m->scale, &a);
}

static gr_tensor *adafactor(const golden *c, const moved *m)
{
    gr_adafactor_attr a = {(float)number(c, "weight_decay")};
    return gr_adafactor(m->p, m->grad, moment(c, m, "row"), moment(c, m, "column"), m->lr, m->step, m->scale, &a);
}

static gr_tensor *muon(const golden *c, const moved *m)
{
    gr_muon_attr a = {(float)number(c, "momentum"), (float)number(c, "weight_decay"), 1, (float)number(c, "adjust")};
    return gr_muon(m->p, m->grad, moment(c, m, "m"), m->lr, m->scale, &a);
}

typedef gr_tensor *(*mover)(const golden *c, const moved *m);
static const struct {
    const char *op;
    mover move;
} movers[] = {{"adamw", adamw}, {"sgd", sgd}, {"lion", lion}, {"adafactor", adafactor}, {"muon", muon}};

static void check_optimizer(const golden *c, mover move)
{
    moved m = {.store = gr_store_new(c->device), .like = find(c, "in", 0)};
    float lr = (float)number(c, "lr"), scale = (float)number(c, "grad_scale");
    m.p = state(c, m.store, "out", m.like, m.like->data);
    m.grad = gr_input(c->graph, "grad", GR_F64, m.like->ndim, m.like->shape);
    m.step = gr_input(c->graph, "step", GR_I64, 0, NULL);
    m.lr = gr_constant(c->graph, GR_F32, 0, NULL, &lr);
    m.scale = gr_constant(c->graph, GR_F32, 0, NULL, &scale);
    CHECK_MADE(move(c, &m));
    gr_program *program = gr_compile(c->graph, NULL, 0, c->device, NULL);
    CHECK_MADE(program);
    for (int64_t i = 1; i <= (int64_t)number(c, "steps"); i++) {
        const void *grad = find(c, "grad", (int)i - 1)->data;
        CHECK_OK(gr_program_run(program, (const void *[]){grad, &i}, NULL));
    }
    static const char *const states[] = {"out", "m", "v", "velocity", "row", "column"};
    for (size_t k = 0; k < sizeof states / sizeof *states; k++)
        if (find(c, states[k], -1))
            check_state(c, m.store, states[k]);
    gr_program_free(program);
    gr_store_free(m.store);
}

/* ---- moments of 8 bits -------------------------------------------------------------------------------------- */

/* A moment as it is before the step. */
static gr_tensor *moment8(const golden *c, gr_store *store, const char *name)
{
    char before[32];
    snprintf(before, sizeof before, "%s_before", name);
    const gr_weight *is = find(c, before, -1);
    CHECK_OK(gr_store_add(store, name, GR_MOMENT, is->dtype, is->ndim, is->shape));
    CHECK_OK(gr_store_write(store, name, is->data, is->bytes));
    return gr_param(c->graph, store, name);
}

/* Codes are equal but where a sum's last bit decides between two, one in a thousand at most. */
static void check_codes(const golden *c, gr_store *store, const char *name)
{
    const gr_weight *expected = find(c, name, -1);
    unsigned char got[2048];
    CHECK(expected->bytes <= sizeof got);
    CHECK_OK(gr_store_read(store, name, got, expected->bytes));
    const unsigned char *is = expected->data;
    size_t differ = 0;
    for (size_t i = 0; i < expected->bytes; i++) {
        differ += got[i] != is[i];
        CHECK(abs(got[i] - is[i]) <= 1);
    }
    CHECK(differ * 1000 <= expected->bytes);
}

static void check_floats(const golden *c, gr_store *store, const char *name)
{
    const gr_weight *expected = find(c, name, -1);
    float got[2048], is[2048];
    CHECK(expected->bytes <= sizeof got);
    memcpy(is, expected->data, expected->bytes);
    CHECK_OK(gr_store_read(store, name, got, expected->bytes));
    for (size_t i = 0; i < expected->bytes / sizeof *got; i++)
        CHECK_NEAR(got[i], is[i], 1e-6);
}

static void check_adamw8bit(const golden *c)
{
    const gr_weight *start = find(c, "in", 0);
    gr_store *store = gr_store_new(c->device);
    float lr = (float)number(c, "lr"), scale = (float)number(c, "grad_scale");
    gr_adamw8bit_attr a = {(float)number(c, "beta1"), (float)number(c, "beta2"), (float)number(c, "eps"),
                           (float)number(c, "weight_decay"), 0};
    CHECK_OK(gr_store_add(store, "out", GR_WEIGHT, GR_F32, start->ndim, start->shape));
    CHECK_OK(gr_store_write(store, "out", start->data, start->bytes));
    gr_tensor *p = gr_param(c->graph, store, "out");
    gr_moments8 m = {moment8(c, store, "state1"), moment8(c, store, "absmax1"), moment8(c, store, "state2"),
                     moment8(c, store, "absmax2")};
    gr_tensor *flow = gr_input(c->graph, "grad", GR_F32, start->ndim, start->shape);
    gr_tensor *step = gr_input(c->graph, "step", GR_I64, 0, NULL), *rate = gr_constant(c->graph, GR_F32, 0, NULL, &lr);
    CHECK_MADE(gr_adamw8bit(p, flow, &m, rate, step, gr_constant(c->graph, GR_F32, 0, NULL, &scale), &a));
    gr_program *program = gr_compile(c->graph, NULL, 0, c->device, NULL);
    CHECK_MADE(program);
    int64_t at = (int64_t)number(c, "step");
    CHECK_OK(gr_program_run(program, (const void *[]){find(c, "grad", 0)->data, &at}, NULL));
    check_floats(c, store, "out");
    check_floats(c, store, "absmax1");
    check_floats(c, store, "absmax2");
    check_codes(c, store, "state1");
    check_codes(c, store, "state2");
    gr_program_free(program);
    gr_store_free(store);
}

/* ---- all of them -------------------------------------------------------------------------------------------- */

static void check_case(golden *c)
{
    size_t length = strcspn(c->name, ".");
    builder build = NULL;
    for (size_t i = 0; i < sizeof builders / sizeof builders[0]; i++)
        if (strlen(builders[i].op) == length && strncmp(builders[i].op, c->name, length) == 0)
            build = builders[i].build;
    mover move = NULL;
    for (size_t i = 0; i < sizeof movers / sizeof movers[0]; i++)
        if (strlen(movers[i].op) == length && strncmp(movers[i].op, c->name, length) == 0)
            move = movers[i].move;
    c->graph = gr_graph_new();
    if (build)
        check_function(c, build);
    else if (strncmp(c->name, "adamw8bit.", 10) == 0)
        check_adamw8bit(c);
    else if (!move)
        FAIL("nothing here builds %s", c->name);
    else if (c->dtype == GR_F64)
        check_optimizer(c, move);
    gr_graph_free(c->graph);
}

static void check_cases(const char *device, gr_dtype dtype)
{
    gr_safetensors *file = gr_safetensors_open(test_source("tests/data/ops.safetensors"));
    CHECK_MADE(file);
    const char *text = gr_safetensors_metadata(file, "cases");
    CHECK_MADE(text);
    gr_json_doc *cases = gr_json_parse("cases", text, strlen(text));
    CHECK_MADE(cases);
    gr_device *d = gr_device_open(device, 1);
    CHECK_MADE(d);
    int n = 0;
    for (gr_json_iter it = gr_json_first(gr_json_root(cases)); it.key; gr_json_next(&it), n++) {
        golden c = {.file = file, .name = it.key, .arguments = it.value, .device = d, .dtype = dtype};
        NOTE("%s on %s", it.key, device);
        check_case(&c);
    }
    CHECK_OK(gr_json_check(cases));
    CHECK(n > 40);
    gr_device_close(d);
    gr_json_free(cases);
    gr_safetensors_close(file);
}

TEST(ops_compute_what_pytorch_does)
{
    check_cases("ref", GR_F64);
}

TEST(ops_compute_it_in_f32)
{
    for (int i = 0; test_device(i); i++)
        check_cases(test_device(i), GR_F32);
}
