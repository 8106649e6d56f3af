/* The fuse pass: programs with and without it give the same bits, and it fuses what it should. */
#include "test.h"

#include "backend/backend.h"
#include "base/dtype.h"
#include "base/philox.h"
#include "op/attr.h"
#include "op/fused.h"
#include "op/op.h"
#include "program/program.h"

enum { VALUES = 64, ROWS = 37, COLS = 83, ELEMENTS = ROWS * COLS };

/* ---- with and without --------------------------------------------------------------------------------------- */

static gr_program *compile(gr_graph *g, gr_tensor *const *roots, int n, gr_device *device, bool fuses)
{
    gr_compile_options o = GR_INIT(gr_compile_options);
    o.passes = fuses ? NULL : "-fuse";
    gr_program *p = gr_compile(g, roots, n, device, &o);
    CHECK_MADE(p);
    return p;
}

/* ---- random graphs ------------------------------------------------------------------------------------------ */

typedef struct dag {
    uint64_t seed, drawn;
    gr_graph *g;
    gr_store *store;
    gr_tensor *value[VALUES], *condition, *param;
    int n;
    gr_tensor *root[4];
    int n_roots;
} dag;

static int draw(dag *d, int n)
{
    return (int)(gr_philox(d->seed, 1, d->drawn++).v[0] % (uint32_t)n);
}

static gr_tensor *any(dag *d)
{
    /* half of the time a recent value, so that chains grow */
    return draw(d, 2) && d->n > 4 ? d->value[d->n - 1 - draw(d, 4)] : d->value[draw(d, d->n)];
}

static gr_tensor *same(gr_tensor *x)
{
    return gr_expand(x, 2, (const int64_t[]){ROWS, COLS});
}

/* ---- element-wise ops, drawn from the list of records ------------------------------------------------------- */

static struct {
    bool drawn, may_fuse, fused; /* used at all; in a way that the device says it can fuse; found in a chain */
} seen[256];

static bool is_elementwise(const gr_op *op)
{
    return (op->flags & GR_OP_ELEMENTWISE) && op != &gr_op_fused;
}

/* The samples show whether operands may differ in shape. */
static bool broadcasts(const gr_op *op)
{
    for (int i = 0;; i++) {
        gr_sample s = {0};
        if (!op->sample(i, &s))
            return false;
        for (int k = 1; k < s.n_in; k++)
            if (s.in[k].is_float && s.in[0].is_float && !gr_spec_same_shape(&s.in[k].spec, &s.in[0].spec))
                return true;
    }
}

static gr_tensor *operand(dag *d, const gr_op *op, const gr_sample *s, int k)
{
    static const int64_t whole[] = {ROWS, COLS};
    bool free_shape = broadcasts(op);
    if (!s->in[k].is_float && s->in[k].spec.dtype == GR_I64)
        return gr_constant(d->g, GR_I64, 0, NULL, (const int64_t[]){7});
    if (!s->in[k].is_float)
        return d->condition;
    if (draw(d, 5) == 0) /* a fill, which may become a constant of the chain */
        return gr_fill(d->g, GR_F32, free_shape ? 0 : 2, whole, 0.25 * draw(d, 9) - 1);
    return free_shape ? any(d) : same(any(d));
}

/* Gives f32 whatever the op gives. */
static gr_tensor *listed_op(dag *d, gr_device *device)
{
    int which, samples = 0;
    gr_sample s = {0};
    gr_tensor *in[GR_MAX_INPUTS];
    do
        which = draw(d, 256);
    while (!gr_op_list(which) || !is_elementwise(gr_op_list(which)));
    const gr_op *op = gr_op_list(which);
    for (; op->sample(samples, &s); samples++)
        s = (gr_sample){0};
    do {
        s = (gr_sample){0};
        op->sample(draw(d, samples), &s);
    } while (op == &gr_op_cast && gr_dtype_is_block(((const gr_cast_attr *)(const void *)s.attr.bytes)->dtype));
    for (int k = 0; k < s.n_in; k++)
        in[k] = operand(d, op, &s, k);
    gr_tensor *t = gr_node(d->g, op, in, s.n_in, s.attr.bytes);
    CHECK_MADE(t);
    seen[which].drawn = true;
    seen[which].may_fuse |= device->backend->fuses(device, t) && gr_fused_holds(t);
    if (t->spec.dtype == GR_BOOL)
        d->condition = t;
    return gr_cast(t, GR_F32);
}

static void note_chains(const gr_program *p)
{
    for (int i = 0; i < p->code.n; i++) {
        const gr_fused_attr *f = p->code.steps[i].call.attr;
        for (int k = 0; p->code.steps[i].call.op == &gr_op_fused && k < f->n_code; k++)
            seen[f->code[k].op].fused = true;
    }
}

/* ---- other ops, and how they lie between chains ------------------------------------------------------------- */

static gr_tensor *one_op(dag *d, gr_device *device)
{
    gr_tensor *x = any(d), *y = any(d);
    int64_t flat[] = {-1}, back[] = {ROWS, COLS};
    switch (draw(d, 24)) {
    case 0: /* not element-wise: the groups it reads from end here */
        return gr_softmax(x->spec.ndim ? x : same(x));
    case 1:
        return gr_sum(same(x), 1, false);
    case 2:
        return gr_mean(same(x), 2, true);
    case 3: /* a view in between */
        return gr_reshape(gr_reshape(same(x), 1, flat), 2, back);
    case 4:
        d->param = gr_assign(d->param, gr_tanh(same(x)));
        return gr_add(d->param, y);
    case 5:
        d->param = gr_assign_add(d->param, gr_scale(same(x), 0.125));
        return draw(d, 2) ? gr_mul(d->param, y) : gr_reshape(d->param, 2, back); /* reads of old versions come later */
    case 6:                                                                      /* a fill that lends its shape */
        return gr_add(x, gr_fill(d->g, GR_F32, 2, back, 0.75));
    case 7:
        return gr_mul(x, gr_expand(gr_fill(d->g, GR_F32, 0, NULL, 0.5), 2, back));
    case 8:
        return gr_cast(gr_cast(x, GR_BF16), GR_F32);
    case 9: /* keeps values where most ops have something to say */
        return gr_max(gr_min(x, gr_scalar_like(x, 2)), gr_scalar_like(x, -1));
    case 10:
        return gr_sigmoid(x);
    case 11:
        return gr_dropout(same(x), 0.25, gr_constant(d->g, GR_I64, 0, NULL, (const int64_t[]){7}), (uint32_t)d->n);
    default:
        return listed_op(d, device);
    }
}

static void build(dag *d, gr_device *device, uint64_t seed)
{
    static const int64_t shapes[][2] = {{ROWS, COLS}, {COLS, 0}, {ROWS, 1}, {0, 0}};
    static const int dims[] = {2, 1, 2, 0};
    *d = (dag){.seed = seed, .g = gr_graph_new(), .store = gr_store_new(device)};
    float start[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++)
        start[i] = gr_philox_uniform(seed, 3, (uint64_t)i) - 0.5f;
    CHECK_OK(gr_store_add(d->store, "p", GR_WEIGHT, GR_F32, 2, shapes[0]));
    CHECK_OK(gr_store_write(d->store, "p", start, sizeof start));
    d->param = gr_param(d->g, d->store, "p");
    for (int i = 0; i < 4; i++)
        d->value[d->n++] = gr_input(d->g, "x", GR_F32, dims[i], shapes[i]);
    d->value[d->n++] = d->param;
    d->condition = gr_lt(d->value[1], d->value[2]);
    int ops = 6 + draw(d, VALUES - 6 - d->n);
    for (int i = 0; i < ops; i++) {
        gr_tensor *t = one_op(d, device);
        CHECK_MADE(t);
        d->value[d->n++] = t;
    }
    d->root[d->n_roots++] = d->value[d->n - 1];
    for (int i = 0; i < 2; i++)
        d->root[d->n_roots++] = d->value[draw(d, d->n)];
}

/* Builds, runs twice, and keeps everything: three results and the param. Returns the number of calls. */
static int run(uint64_t seed, bool fuses, int threads, float out[4][ELEMENTS])
{
    static float in[4][ELEMENTS];
    dag d;
    gr_device *device = gr_device_open("cpu", threads);
    CHECK_MADE(device);
    build(&d, device, seed);
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < ELEMENTS; i++)
            in[k][i] = 4 * gr_philox_uniform(seed, 10 + (uint64_t)k, (uint64_t)i) - 2;
    gr_program *p = compile(d.g, d.root, d.n_roots, device, fuses);
    for (int i = 0; i < 2; i++)
        CHECK_OK(gr_program_run(p, (const void *[]){in[0], in[1], in[2], in[3]}, (void *[]){out[0], out[1], out[2]}));
    CHECK_OK(gr_store_read(d.store, "p", out[3], sizeof out[3]));
    int steps = p->code.n;
    if (fuses)
        note_chains(p);
    gr_program_free(p);
    gr_store_free(d.store);
    gr_graph_free(d.g);
    gr_device_close(device);
    return steps;
}

static bool same_value(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

TEST(random_graphs_give_the_same_bits)
{
    static float plain[4][ELEMENTS], fused[4][ELEMENTS];
    int before = 0, after = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        memset(plain, 0, sizeof plain);
        memset(fused, 0, sizeof fused);
        NOTE("seed %d", (int)seed);
        before += run(seed, false, 1, plain);
        after += run(seed, true, 1 + (int)(seed % 2), fused);
        for (int k = 0; k < 4; k++)
            for (int i = 0; i < ELEMENTS; i++)
                if (!same_value(plain[k][i], fused[k][i]))
                    FAIL("result %d, element %d is %.9g fused and %.9g alone", k, i, fused[k][i], plain[k][i]);
    }
    NOTE("%d calls, %d fused", before, after);
    CHECK(after < before * 7 / 10);
    for (int i = 0; gr_op_list(i); i++) {
        NOTE("%s", gr_op_list(i)->name);
        CHECK_EQ_INT(seen[i].drawn, is_elementwise(gr_op_list(i)));
        CHECK_EQ_INT(seen[i].fused, seen[i].may_fuse);
    }
}

/* ---- what is fused ------------------------------------------------------------------------------------------ */

typedef struct counted {
    gr_device *device;
    gr_graph *g;
    gr_tensor *x, *y, *bias;
} counted;

static counted start(void)
{
    counted c = {gr_device_open("cpu", 1), gr_graph_new(), NULL, NULL, NULL};
    CHECK_MADE(c.device);
    c.x = gr_input(c.g, "x", GR_F32, 2, (const int64_t[]){8, 16});
    c.y = gr_input(c.g, "y", GR_F32, 2, (const int64_t[]){8, 16});
    c.bias = gr_input(c.g, "bias", GR_F32, 1, (const int64_t[]){16});
    return c;
}

/* Calls of the program for these results. */
static int calls(counted *c, gr_tensor **root, int n)
{
    gr_program *p = gr_compile(c->g, root, n, c->device, NULL);
    CHECK_MADE(p);
    int steps = p->code.n;
    gr_program_free(p);
    gr_graph_free(c->g);
    gr_device_close(c->device);
    return steps;
}

TEST(a_chain_is_one_call)
{
    counted c = start();
    gr_tensor *u = gr_add(c.x, c.bias), *z = gr_add(c.y, gr_scale(gr_gelu_tanh(u), 0.5));
    CHECK_EQ_INT(calls(&c, (gr_tensor *[]){z, u}, 2), 1);
}

TEST(independent_ops_on_one_tensor_share_a_call)
{
    counted c = start();
    gr_tensor *a = gr_exp(c.x), *b = gr_mul(c.x, c.y);
    CHECK_EQ_INT(calls(&c, (gr_tensor *[]){a, b}, 2), 1);
}

TEST(a_result_read_elsewhere_ends_the_group)
{
    counted c = start();
    gr_tensor *a = gr_exp(c.x), *s = gr_sum(a, 2, true), *b = gr_div(a, s);
    CHECK_EQ_INT(calls(&c, &b, 1), 3);
}

TEST(long_chains_are_cut)
{
    counted c = start();
    gr_tensor *t = c.x;
    for (int i = 0; i < 3 * GR_FUSED_CODE; i++)
        t = gr_add(t, c.y);
    CHECK_EQ_INT(calls(&c, &t, 1), 3);
}

TEST(more_inputs_than_a_call_takes)
{
    counted c = start();
    gr_tensor *t = c.x;
    for (int i = 0; i < GR_FUSED_IN; i++)
        t = gr_add(t, gr_input(c.g, "more", GR_F32, 2, (const int64_t[]){8, 16}));
    CHECK_EQ_INT(calls(&c, &t, 1), 2);
}

TEST(more_constants_than_a_call_takes)
{
    counted c = start();
    gr_tensor *t = c.x;
    for (int i = 0; i <= GR_FUSED_CONSTANTS; i++)
        t = gr_mul(gr_fill(c.g, GR_F32, 2, (const int64_t[]){8, 16}, 1 + i), t);
    CHECK_EQ_INT(calls(&c, &t, 1), 2);
}

TEST(more_arguments_than_a_call_takes)
{
    counted c = start();
    gr_tensor *t = c.x, *seed = gr_input(c.g, "seed", GR_I64, 0, NULL);
    for (int i = 0; i < GR_FUSED_WORDS; i++) /* a share and a stream each */
        t = gr_dropout(t, 0.1, seed, (uint32_t)i);
    int n = calls(&c, &t, 1);
    CHECK(n >= 2 && n < GR_FUSED_WORDS);
}

/* Chains of more shapes side by side than are kept open: the oldest ends, and nothing is lost. */
TEST(more_chains_than_are_kept_open)
{
    enum { CHAINS = 24 };
    counted c = start();
    gr_tensor *t[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        t[i] = gr_tanh(gr_iota(c.g, GR_F32, i + 1));
    for (int i = 0; i < CHAINS; i++)
        t[i] = gr_neg(t[i]);
    gr_program *p = compile(c.g, t, CHAINS, c.device, true);
    float out[CHAINS][CHAINS];
    void *to[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        to[i] = out[i];
    CHECK_OK(gr_program_run(p, NULL, to));
    for (int i = 0; i < CHAINS; i++)
        for (int k = 0; k <= i; k++)
            CHECK_NEAR(out[i][k], -tanhf((float)k), 1e-6);
    gr_program_free(p);
    gr_graph_free(c.g);
    gr_device_close(c.device);
}

/* ---- own ops between chains --------------------------------------------------------------------------------- */

static gr_status infer_own(const gr_tensor *node, gr_spec *out)
{
    *out = gr_tensor_input(node, 0)->spec;
    return GR_OK;
}

static gr_status run_atan(const gr_call *call)
{
    for (int64_t i = 0; i < gr_operand_count(call->out); i++)
        ((float *)call->out->data)[i] = atanf(((const float *)call->in->data)[i]) * *(const float *)call->attr;
    return GR_OK;
}

/* Element-wise, with arguments, and nothing that a chain could run: it stays a call of its own, whatever its flag says. */
TEST(an_own_op_stands_between_chains)
{
    static const gr_op own = {.name = "own_atan",
                              .inputs = 1,
                              .outputs = 1,
                              .attr_size = sizeof(float),
                              .flags = GR_OP_ELEMENTWISE,
                              .infer = infer_own,
                              .kernel = run_atan};
    for (int fuses = 0; fuses < 2; fuses++) {
        counted c = start();
        gr_tensor *x = gr_tanh(gr_add(c.x, c.y)), *t = gr_node(c.g, &own, &x, 1, &(float){2});
        gr_tensor *z = gr_add(gr_scale(t, 0.5), x);
        gr_program *p = compile(c.g, &z, 1, c.device, fuses);
        CHECK_EQ_INT(p->code.n, fuses ? 3 : 6);
        float a[8 * 16], out[8 * 16];
        for (int i = 0; i < 8 * 16; i++)
            a[i] = 0.03f * (float)(i - 64);
        CHECK_OK(gr_program_run(p, (const void *[]){a, a, NULL}, (void *[]){out}));
        for (int i = 0; i < 8 * 16; i++)
            CHECK_NEAR(out[i], atanf(tanhf(2 * a[i])) + tanhf(2 * a[i]), 1e-6);
        gr_program_free(p);
        gr_graph_free(c.g);
        gr_device_close(c.device);
    }
}

TEST(every_failing_allocation_is_an_error)
{
    gr_device *device = gr_device_open("cpu", 1);
    bool done = false;
    for (int n = 1; !done; n++) {
        gr_graph *g = gr_graph_new();
        gr_tensor *x = gr_input(g, "x", GR_F32, 1, (const int64_t[]){16}), *roots[] = {gr_exp(gr_add(x, x))};
        CHECK_MADE(roots[0]);
        gr_mem_fail_at(n);
        gr_program *p = gr_compile(g, roots, 1, device, NULL);
        done = gr_mem_fail_at(0) > 0;
        CHECK(done == (p != NULL));
        gr_program_free(p);
        gr_graph_free(g);
    }
    gr_device_close(device);
}
