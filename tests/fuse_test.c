/* The fuse pass: programs with and without it give the same bits, and it fuses what it should. */
#include "test.h"

#include "backend/backend.h"
#include "base/philox.h"
#include "op/fused.h"
#include "op/op.h"
#include "program/program.h"

enum { VALUES = 64, ROWS = 37, COLS = 83, ELEMENTS = ROWS * COLS };

/* ---- devices -------------------------------------------------------------------------------------------------- */

/* The cpu device, told that it cannot fuse. */
static gr_backend unfusing;

static gr_device *open_cpu(bool fuses, int threads)
{
    gr_device *d = gr_device_open("cpu", threads);
    CHECK_MADE(d);
    unfusing = *d->backend;
    unfusing.fuses = false;
    if (!fuses)
        d->backend = &unfusing;
    return d;
}

/* ---- random graphs ---------------------------------------------------------------------------------------------- */

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

static gr_tensor *one_op(dag *d)
{
    gr_tensor *x = any(d), *y = any(d);
    int64_t flat[] = {-1}, back[] = {ROWS, COLS};
    switch (draw(d, 23)) {
    case 0:
        return gr_tanh(x);
    case 1:
        return gr_sigmoid(x);
    case 2:
        return gr_gelu(x);
    case 3:
        return gr_binary(&gr_op_gelu_tanh_grad, same(x), same(y));
    case 4:
        return gr_swiglu(same(x), same(y));
    case 5:
        return gr_scale(x, 0.5);
    case 6:
        return gr_offset(x, -0.25);
    case 7:
        return gr_sub(gr_scalar_like(x, 1), gr_mul(x, x));
    case 8:
        d->condition = gr_lt(x, y);
        return gr_select(d->condition, gr_neg(x), y);
    case 9:
        return gr_select(d->condition, x, gr_scalar_like(x, 0));
    case 10:
        return gr_dropout(same(x), 0.25, gr_constant(d->g, GR_I64, 0, NULL, (const int64_t[]){7}), (uint32_t)d->n);
    case 11:
        return gr_cast(gr_cast(x, GR_BF16), GR_F32);
    case 12:
        return gr_cast(gr_gt(x, gr_scalar_like(x, 0)), GR_F32);
    case 13: /* not element-wise: the groups it reads from end here */
        return gr_softmax(x->spec.ndim ? x : same(x));
    case 14:
        return gr_sum(same(x), 1, false);
    case 15:
        return gr_mean(same(x), 2, true);
    case 16: /* a view in between */
        return gr_reshape(gr_reshape(same(x), 1, flat), 2, back);
    case 17: /* what reads the param from here on sees the new value */
        gr_assign(d->param, gr_tanh(same(x)));
        return gr_add(d->param, y);
    case 18:
        gr_assign_add(d->param, gr_scale(same(x), 0.125));
        return gr_mul(d->param, y);
    case 19: /* a fill that lends its shape */
        return gr_add(x, gr_fill(d->g, GR_F32, 2, back, 0.75));
    case 20:
        return gr_max(gr_min(x, y), gr_scalar_like(x, -1));
    case 21:
        return gr_mul(x, gr_expand(gr_fill(d->g, GR_F32, 0, NULL, 0.5), 2, back));
    default:
        return draw(d, 2) ? gr_add(x, y) : gr_mul(x, y);
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
        gr_tensor *t = one_op(d);
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
    gr_device *device = open_cpu(fuses, threads);
    build(&d, device, seed);
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < ELEMENTS; i++)
            in[k][i] = 4 * gr_philox_uniform(seed, 10 + (uint64_t)k, (uint64_t)i) - 2;
    gr_program *p = gr_compile(d.g, d.root, d.n_roots, device);
    CHECK_MADE(p);
    for (int i = 0; i < 2; i++)
        CHECK_OK(gr_run(p, (const void *[]){in[0], in[1], in[2], in[3]}, (void *[]){out[0], out[1], out[2]}));
    CHECK_OK(gr_store_read(d.store, "p", out[3], sizeof out[3]));
    int steps = p->n_steps;
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
    CHECK(after < before * 6 / 10);
}

/* ---- what is fused ---------------------------------------------------------------------------------------------- */

typedef struct counted {
    gr_device *device;
    gr_graph *g;
    gr_tensor *x, *y, *bias;
} counted;

static counted start(void)
{
    counted c = {open_cpu(true, 1), gr_graph_new(), NULL, NULL, NULL};
    c.x = gr_input(c.g, "x", GR_F32, 2, (const int64_t[]){8, 16});
    c.y = gr_input(c.g, "y", GR_F32, 2, (const int64_t[]){8, 16});
    c.bias = gr_input(c.g, "bias", GR_F32, 1, (const int64_t[]){16});
    return c;
}

/* Calls of the program for these results. */
static int calls(counted *c, gr_tensor **root, int n)
{
    gr_program *p = gr_compile(c->g, root, n, c->device);
    CHECK_MADE(p);
    int steps = p->n_steps;
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

TEST(every_failing_allocation_is_an_error)
{
    gr_device *device = open_cpu(true, 1);
    bool done = false;
    for (int n = 1; !done; n++) {
        gr_graph *g = gr_graph_new();
        gr_tensor *x = gr_input(g, "x", GR_F32, 1, (const int64_t[]){16}), *roots[] = {gr_exp(gr_add(x, x))};
        CHECK_MADE(roots[0]);
        gr_mem_fail_at(n);
        gr_program *p = gr_compile(g, roots, 1, device);
        done = gr_mem_fail_at(0) > 0;
        CHECK(done == (p != NULL));
        gr_program_free(p);
        gr_graph_free(g);
    }
    gr_device_close(device);
}
