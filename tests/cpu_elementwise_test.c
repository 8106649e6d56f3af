/* The cpu backend's element-wise, reduction, layout and update kernels, at sizes where work is cut into pieces: against
 * the reference backend, at every ISA level, with the same bits for any number of threads. */
#include "test.h"

#include "backend/backend.h"
#include "backend/cpu/convert.h"
#include "backend/cpu/isa.h"
#include "base/dtype.h"
#include "base/philox.h"
#include "op/op.h"
#include "program/run.h"

/* ---- comparing devices -------------------------------------------------------------------------------------- */

/* Makes results of the inputs, both in `t`; returns how many. */
typedef struct made {
    gr_graph *g;
    gr_tensor *t[32];
    int n, n_inputs;
    double low, high; /* of the inputs' values */
} made;
typedef void (*builder)(made *m);

static gr_tensor *in(made *m, gr_dtype d, int ndim, const int64_t *shape)
{
    m->n_inputs++;
    return gr_input(m->g, "x", d, ndim, shape);
}

static void out(made *m, gr_tensor *t)
{
    CHECK_MADE(t);
    m->t[m->n++] = t;
}

static size_t bytes_of(const gr_tensor *t)
{
    return gr_dtype_size(t->spec.dtype, gr_spec_count(&t->spec));
}

static void draw(const gr_tensor *t, int which, double low, double high, void *to)
{
    for (int64_t i = 0; i < gr_spec_count(&t->spec); i++)
        gr_dtype_get(t->spec.dtype)
            ->store(to, i, low + (high - low) * (double)gr_philox_uniform(5, (uint64_t)which, (uint64_t)i));
}

/* Builds and runs; caller frees the results. */
static void run(builder build, double low, double high, const char *device, int threads, made *m, void **results)
{
    gr_device *d = gr_device_open(device, threads);
    *m = (made){.g = gr_graph_new(), .low = low, .high = high};
    CHECK_MADE(d);
    build(m);
    gr_program *p = gr_compile(m->g, m->t, m->n, d, NULL);
    CHECK_MADE(p);
    void *inputs[8];
    int n = 0;
    for (size_t i = 0; i < m->g->n; i++) {
        if (m->g->nodes[i]->op != &gr_op_input)
            continue;
        inputs[n] = gr_alloc(bytes_of(m->g->nodes[i]));
        draw(m->g->nodes[i], n, m->low, m->high, inputs[n]);
        n++;
    }
    for (int k = 0; k < m->n; k++)
        results[k] = gr_alloc(bytes_of(m->t[k]));
    CHECK_OK(gr_program_run(p, (const void *const *)inputs, results));
    for (int i = 0; i < n; i++)
        gr_free(inputs[i]);
    gr_program_free(p);
    gr_device_close(d);
}

static void done(made *m, void **results)
{
    for (int k = 0; k < m->n; k++)
        gr_free(results[k]);
    gr_graph_free(m->g);
}

/* Off by at most `tolerance` of the tensor's largest value. */
static void near(const gr_tensor *t, int k, const void *got, const void *want, double tolerance)
{
    const gr_dtype_info *d = gr_dtype_get(t->spec.dtype);
    double largest = 1e-30;
    int64_t n = gr_spec_count(&t->spec);
    for (int64_t i = 0; i < n; i++)
        if (isfinite(d->load(want, i)))
            largest = fmax(largest, fabs(d->load(want, i)));
    for (int64_t i = 0; i < n; i++) {
        double a = d->load(got, i), b = d->load(want, i);
        bool equal = a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= tolerance * largest;
        if (!equal)
            FAIL("result %d (%s), element %lld is %.9g, not %.9g", k, t->op->name, (long long)i, a, b);
    }
}

/* On cpu as on ref; all levels and numbers of threads. */
static void compare(builder build, double low, double high, double tolerance)
{
    void *want[32], *got[32], *first[32];
    made m, expected, base;
    run(build, low, high, "ref", 1, &expected, want);
    for (int level = GR_ISA_GENERIC; level < GR_ISA_COUNT; level++) {
        gr_isa_limit((gr_isa)level);
        run(build, low, high, "cpu", 1, &base, first);
        NOTE("%s", gr_isa_name(gr_isa_detect()));
        for (int k = 0; k < base.n; k++)
            near(base.t[k], k, first[k], want[k], tolerance);
        for (int threads = 2; threads <= 3; threads++) {
            run(build, low, high, "cpu", threads, &m, got);
            for (int k = 0; k < m.n; k++)
                if (memcmp(got[k], first[k], bytes_of(m.t[k])) != 0)
                    FAIL("result %d (%s) has other bits with %d threads", k, m.t[k]->op->name, threads);
            done(&m, got);
        }
        done(&base, first);
    }
    gr_isa_limit(GR_ISA_COUNT);
    done(&expected, want);
}

/* ---- element-wise ------------------------------------------------------------------------------------------- */

static void every_unary_op(made *m)
{
    gr_tensor *x = in(m, GR_F32, 1, (int64_t[]){20011});
    gr_tensor *(*const ops[])(gr_tensor *) = {gr_neg,        gr_abs,     gr_exp,  gr_log,  gr_sqrt,     gr_rsqrt,
                                              gr_reciprocal, gr_sin,     gr_cos,  gr_tanh, gr_erf,      gr_gelu,
                                              gr_gelu_tanh,  gr_sigmoid, gr_silu, gr_relu, gr_is_finite};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        out(m, ops[i](x));
}

TEST(unary_ops)
{
    compare(every_unary_op, 0.01, 12, 4e-7);
}

static void signed_unary_ops(made *m)
{
    gr_tensor *x = in(m, GR_F32, 1, (int64_t[]){20011}), *y = in(m, GR_F32, 1, (int64_t[]){20011});
    gr_tensor *(*const ops[])(gr_tensor *) = {gr_tanh,    gr_erf,  gr_gelu, gr_gelu_tanh,
                                              gr_sigmoid, gr_silu, gr_sin,  gr_relu};
    const gr_op *const pairs[] = {&gr_op_gelu_grad, &gr_op_gelu_tanh_grad, &gr_op_silu_grad,
                                  &gr_op_relu_grad, &gr_op_swiglu,         &gr_op_geglu};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        out(m, ops[i](x));
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        out(m, gr_binary(pairs[i], x, y));
}

TEST(activations_on_both_sides_of_zero)
{
    compare(signed_unary_ops, -9, 9, 8e-7);
}

/* A row, a column, one value, both sides; rows shorter and longer than a tile, and cut unevenly. */
static void broadcasts(made *m)
{
    static const int64_t sizes[][2] = {{700, 3}, {90, 255}, {40, 257}, {9, 1500}, {3, 5000}};
    gr_tensor *one = in(m, GR_F32, 0, NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int64_t r = sizes[i][0], c = sizes[i][1];
        gr_tensor *row = gr_slice(gr_fill(m->g, GR_F32, 1, (int64_t[]){c + 1}, 2), 0, 1, c + 1);
        gr_tensor *count = gr_reshape(gr_cast(gr_iota(m->g, GR_I64, r * c), GR_F32), 2, (int64_t[]){r, c});
        gr_tensor *column = gr_scale(gr_slice(count, 1, c / 2, c / 2 + 1), 1e-3);
        gr_tensor *line = gr_scale(gr_slice(count, 0, r / 2, r / 2 + 1), 1e-3);
        gr_tensor *turned = gr_permute(gr_reshape(count, 2, (int64_t[]){c, r}), (int[]){1, 0});
        out(m, gr_sub(gr_mul(gr_add(count, line), row), gr_div(column, one)));
        out(m, gr_max(turned, gr_sub(column, line)));
        out(m, gr_select(gr_gt(turned, count), one, line));
    }
}

TEST(broadcast_and_strided_operands)
{
    compare(broadcasts, 0.5, 2, 2e-7);
}

static void many_dtypes(made *m)
{
    gr_tensor *h = in(m, GR_F16, 2, (int64_t[]){33, 301}), *b = in(m, GR_BF16, 2, (int64_t[]){33, 301});
    gr_tensor *i = in(m, GR_I64, 1, (int64_t[]){301}), *u = in(m, GR_U8, 2, (int64_t[]){33, 1});
    out(m, gr_add(gr_cast(h, GR_F32), gr_cast(b, GR_F32)));
    out(m, gr_mul(h, h));
    out(m, gr_cast(gr_scale(gr_cast(b, GR_F32), 1.25), GR_I64));
    out(m, gr_cast(i, GR_F32));
    out(m, gr_mul(gr_cast(u, GR_F32), gr_cast(i, GR_F32)));
    out(m, gr_cast(h, GR_BOOL));
    out(m, gr_ne(i, gr_scalar_like(i, 3))); /* integers are in no chain */
    out(m, gr_cast(gr_cast(h, GR_F64), GR_BF16));
}

TEST(dtypes)
{
    compare(many_dtypes, 0, 60, 0x1p-8);
}

/* Rows to and from 16 bits have the bits of the dtype's own at every level, whatever the values: every exponent, ties,
 * subnormal numbers, infinities and NaN, at every place of a vector. */
TEST(rows_of_16_bits_are_the_dtypes_own)
{
    enum { N = 4099 };
    static const gr_dtype dtypes[] = {GR_BF16, GR_F16};
    static const uint32_t odd[] = {0,          0x80000000, 1,          0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0x7F800000,
                                   0xFF800000, 0x7FC00000, 0x7F800001, 0x3F808000, 0x3F818000, 0x00008000, 0x80018000};
    static float x[N], wide[2][N];
    uint16_t low[2][N];
    uint32_t word = 7;
    for (int level = 0; level <= (int)gr_isa_detect(); level++)
        for (int round = 0; round < 60; round++) {
            for (int i = 0; i < N; i++) {
                word = word * 1664525u + 1013904223u;
                uint32_t bits = round < 30 ? word : (word & 0x807FFFFF) | 0x3F000000;
                bits = word >> 24 == 7 ? odd[(word >> 8 & 0xFF) % 14] : bits;
                memcpy(&x[i], &bits, sizeof bits);
            }
            for (int d = 0; d < 2; d++) {
                const gr_dtype_info *own = gr_dtype_get(dtypes[d]);
                gr_isa_limit((gr_isa)level);
                gr_cpu_from_f32(dtypes[d])(x, low[0], N);
                gr_cpu_to_f32(dtypes[d])(low[0], wide[0], N);
                NOTE("%s, %s, round %d", own->name, gr_isa_name(gr_isa_detect()), round);
                gr_isa_limit(GR_ISA_COUNT);
                own->from_f32(x, low[1], N);
                own->to_f32(low[1], wide[1], N);
                for (int i = 0; i < N; i++)
                    CHECK(low[0][i] == low[1][i] || (isnan(x[i]) && isnan(wide[0][i])));
                for (int i = 0; i < N; i++)
                    CHECK(memcmp(&wide[0][i], &wide[1][i], sizeof(float)) == 0 || isnan(x[i]));
            }
        }
}

TEST(dropout_draws_the_stream_of_philox)
{
    enum { N = 5000, STREAM = 3, SEED = 1234567 };
    float x[N], y[N];
    gr_device *d = gr_device_open("cpu", 2);
    gr_graph *g = gr_graph_new();
    int64_t seed = SEED;
    gr_tensor *t = gr_input(g, "x", GR_F32, 1, (int64_t[]){N});
    t = gr_dropout(t, 0.3, gr_constant(g, GR_I64, 0, NULL, &seed), STREAM);
    gr_program *p = gr_compile(g, &t, 1, d, NULL);
    CHECK_MADE(p);
    for (int i = 0; i < N; i++)
        x[i] = (float)(i + 1);
    CHECK_OK(gr_program_run(p, (const void *[]){x}, (void *[]){y}));
    for (int i = 0; i < N; i++) {
        bool kept = gr_philox_uniform(SEED, STREAM, (uint64_t)i) >= 0.3f;
        CHECK_NEAR(y[i], kept ? x[i] / 0.7f : 0, 1e-6 * (double)x[i]);
    }
    gr_program_free(p);
    gr_graph_free(g);
    gr_device_close(d);
}

/* ---- reductions --------------------------------------------------------------------------------------------- */

static void reductions(made *m)
{
    static const struct {
        int ndim;
        int64_t shape[4];
        unsigned axes;
    } calls[] = {{2, {3, 40000}, 2}, {2, {2000, 70}, 1},     {2, {2000, 70}, 2},      {3, {5, 300, 7}, 2},
                 {1, {300001}, 1},   {4, {2, 70, 3, 90}, 5}, {4, {2, 70, 3, 90}, 10}, {3, {3, 1, 2500}, 2},
                 {2, {70, 5000}, 1}, {2, {0, 5}, 1}};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        int64_t n = 1;
        for (int d = 0; d < calls[i].ndim; d++)
            n *= calls[i].shape[d];
        gr_tensor *x = gr_scale(gr_cast(gr_iota(m->g, GR_I64, n), GR_F32), 0.37);
        x = gr_reshape(gr_offset(gr_sin(x), 2), calls[i].ndim, calls[i].shape);
        out(m, gr_sum(x, calls[i].axes, false));
        out(m, gr_mean(x, calls[i].axes, true));
        if (n)
            out(m, gr_reduce_max(x, calls[i].axes, false));
    }
}

TEST(sums_means_and_maxima)
{
    compare(reductions, 0, 1, 1e-6);
}

static void half_reductions(made *m)
{
    gr_tensor *h = in(m, GR_F16, 2, (int64_t[]){300, 90}), *b = in(m, GR_BF16, 2, (int64_t[]){300, 90});
    out(m, gr_sum(h, 2, false));
    out(m, gr_mean(b, 1, false));
    out(m, gr_reduce_max(b, 3, false));
}

TEST(reductions_of_16_bits)
{
    compare(half_reductions, -1, 1, 0x1p-8);
}

static void norms(made *m)
{
    gr_tensor *x[3] = {in(m, GR_F32, 1, (int64_t[]){200000}), in(m, GR_F32, 2, (int64_t[]){7, 3}),
                       in(m, GR_F32, 1, (int64_t[]){0})};
    out(m, gr_global_norm(x, 3));
    out(m, gr_argmax(gr_reshape(x[0], 2, (int64_t[]){50, 4000})));
    out(m, gr_argmax(x[1]));
}

TEST(global_norm_and_argmax)
{
    compare(norms, -3, 3, 1e-7);
}

TEST(a_nan_is_the_largest)
{
    float x[2][70], top[2];
    int64_t at[2];
    gr_device *d = gr_device_open("cpu", 1);
    gr_graph *g = gr_graph_new();
    gr_tensor *t = gr_input(g, "x", GR_F32, 2, (int64_t[]){2, 70}),
              *roots[] = {gr_reduce_max(t, 2, false), gr_argmax(t)};
    gr_program *p = gr_compile(g, roots, 2, d, NULL);
    CHECK_MADE(p);
    for (int nan = 0; nan < 70; nan++) {
        for (int i = 0; i < 70; i++) {
            x[0][i] = i == nan ? NAN : (float)(i % 7);
            x[1][i] = i >= nan ? 5 : 4;
        }
        CHECK_OK(gr_program_run(p, (const void *[]){x}, (void *[]){top, at}));
        CHECK(isnan(top[0]));
        CHECK_EQ_INT(at[0], nan);
        CHECK_EQ_INT(at[1], nan); /* of equal ones the first */
    }
    gr_program_free(p);
    gr_graph_free(g);
    gr_device_close(d);
}

/* ---- layout ------------------------------------------------------------------------------------------------- */

static void moves(made *m)
{
    static const gr_dtype dtypes[] = {GR_U8, GR_F16, GR_F32, GR_I64};
    for (int i = 0; i < 4; i++) {
        gr_tensor *x = in(m, dtypes[i], 3, (int64_t[]){5, 67, 301});
        for (int k = 0; k < 3; k++)
            out(m, gr_permute(x, (const int[][3]){{0, 2, 1}, {2, 1, 0}, {1, 0, 2}}[k]));
        out(m, gr_expand(gr_slice(x, 1, 3, 4), 3, (int64_t[]){5, 70, 301}));
        out(m, gr_concat((gr_tensor *[]){gr_slice(x, 2, 7, 200), x, gr_slice(x, 2, 0, 1)}, 3, 2));
        out(m, gr_pad(gr_permute(x, (int[]){2, 0, 1}), 1, 1, 2, 3));
    }
}

TEST(copies_of_every_layout)
{
    compare(moves, 0, 100, 0);
}

/* ---- updates ------------------------------------------------------------------------------------------------ */

enum { N = 40000, STEPS = 3 };

/* Steps of both optimizers; params, velocity and moments come out. */
static void train(const char *device, int threads, float grad_scale, float state[5][N])
{
    static const char *const names[] = {"p", "m", "v", "q", "velocity"};
    static float grad[N];
    gr_device *d = gr_device_open(device, threads);
    gr_store *store = gr_store_new(d);
    gr_graph *g = gr_graph_new();
    gr_tensor *p[5];
    for (int k = 0; k < 5; k++) {
        for (int i = 0; i < N; i++)
            state[k][i] = k == 0 || k == 3 ? gr_philox_uniform(1, (uint64_t)k, (uint64_t)i) : 0;
        CHECK_OK(gr_store_add(store, names[k], GR_WEIGHT, GR_F32, 1, (int64_t[]){N}));
        CHECK_OK(gr_store_write(store, names[k], state[k], sizeof state[k]));
        p[k] = gr_param(g, store, names[k]);
    }
    gr_tensor *x = gr_input(g, "grad", GR_F32, 1, (int64_t[]){N}), *step = gr_input(g, "step", GR_I64, 0, NULL);
    gr_tensor *scale = gr_input(g, "scale", GR_F32, 0, NULL), *lr = gr_fill(g, GR_F32, 0, NULL, 0.01);
    gr_adamw(p[0], x, p[1], p[2], lr, step, scale,
             &(gr_adamw_options){sizeof(gr_adamw_options), 0.9f, 0.99f, 1e-8f, 0.1f, 0});
    gr_sgd(p[3], x, p[4], lr, scale, 0.9f, 0.1f);
    gr_program *program = gr_compile(g, NULL, 0, d, NULL);
    CHECK_MADE(program);
    for (int64_t s = 1; s <= STEPS; s++) {
        for (int i = 0; i < N; i++)
            grad[i] = gr_philox_uniform(2, (uint64_t)s, (uint64_t)i) - 0.4f;
        CHECK_OK(gr_program_run(program, (const void *[]){grad, &s, &grad_scale}, NULL));
    }
    for (int k = 0; k < 5; k++)
        CHECK_OK(gr_store_read(store, names[k], state[k], sizeof state[k]));
    gr_program_free(program);
    gr_graph_free(g);
    gr_store_free(store);
    gr_device_close(d);
}

TEST(optimizers)
{
    static float want[5][N], got[5][N], other[5][N];
    train("ref", 1, 0.5f, want);
    train("cpu", 1, 0.5f, got);
    train("cpu", 2, 0.5f, other);
    for (int k = 0; k < 5; k++)
        for (int i = 0; i < N; i++)
            CHECK_NEAR(got[k][i], want[k][i], 2e-6);
    CHECK(memcmp(got, other, sizeof got) == 0);
}

TEST(a_step_without_a_number_is_skipped)
{
    static float state[5][N];
    train("cpu", 2, NAN, state);
    for (int i = 0; i < N; i++) {
        CHECK(state[0][i] == gr_philox_uniform(1, 0, (uint64_t)i));
        CHECK(state[2][i] == 0);
    }
}

TEST(a_bad_slot_leaves_the_cache_alone)
{
    float cache[2][4][3], value[2][1][3] = {{{1, 2, 3}}, {{4, 5, 6}}};
    gr_device *d = gr_device_open("cpu", 1);
    gr_store *store = gr_store_new(d);
    gr_graph *g = gr_graph_new();
    CHECK_OK(gr_store_add(store, "cache", GR_CACHE, GR_F32, 3, (int64_t[]){2, 4, 3}));
    gr_tensor *v = gr_input(g, "value", GR_F32, 3, (int64_t[]){2, 1, 3});
    gr_write_rows(gr_param(g, store, "cache"), v, gr_input(g, "slot", GR_I64, 2, (int64_t[]){2, 1}), NULL);
    gr_program *p = gr_compile(g, NULL, 0, d, NULL);
    CHECK_MADE(p);
    CHECK_STATUS(gr_program_run(p, (const void *[]){value, (int64_t[]){0, 4}}, NULL), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "slot 4 at position 1");
    CHECK_OK(gr_store_read(store, "cache", cache, sizeof cache));
    CHECK(cache[0][0][0] == 0);
    CHECK_OK(gr_program_run(p, (const void *[]){value, (int64_t[]){2, -1}}, NULL));
    CHECK_OK(gr_store_read(store, "cache", cache, sizeof cache));
    CHECK(cache[0][2][1] == 2 && cache[1][3][0] == 0);
    gr_program_free(p);
    gr_graph_free(g);
    gr_store_free(store);
    gr_device_close(d);
}
