/* The cpu kernels that work on rows, against loops in f64 written here: odd sizes, masks of every kind, all threads and
 * ISA levels, results bit-equal for any number of threads. Scratch and outputs are poisoned before every call. What the
 * samples of the ops cover already (tests/op_test.c) is not repeated. */
#include "test.h"

#include "backend/cpu/cpu.h"
#include "backend/cpu/isa.h"
#include "backend/cpu/kernels/vmath.h"
#include "base/dtype.h"
#include "op/attr.h"
#include "op/op.h"

enum { MOST = 10, MOST_THREADS = 4 };

/* ---- one call of a kernel ----------------------------------------------------------------------------------- */

typedef struct one_call {
    const gr_op *op;
    const void *attr;
    gr_operand in[MOST], out[MOST];
    int n_in, n_out;
} one_call;

static uint32_t random_state;

static double uniform(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (double)(random_state >> 8) / (1 << 24);
}

static gr_operand contiguous(gr_dtype dtype, int ndim, const int64_t *shape)
{
    gr_operand o = {.dtype = dtype, .ndim = ndim};
    int64_t count = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        o.shape[i] = shape[i];
        o.stride[i] = count;
        count *= shape[i];
    }
    o.data = gr_alloc(gr_dtype_size(dtype, count));
    CHECK(o.data);
    return o;
}

/* An input of random values in [low, high). */
static float *add_in(one_call *c, double low, double high, int ndim, const int64_t *shape)
{
    gr_operand o = contiguous(GR_F32, ndim, shape);
    float *x = o.data;
    for (int64_t i = 0; i < gr_operand_count(&o); i++)
        x[i] = (float)(low + (high - low) * uniform());
    c->in[c->n_in++] = o;
    return x;
}

static int64_t *add_index(one_call *c, int64_t low, int64_t high, int ndim, const int64_t *shape)
{
    gr_operand o = contiguous(GR_I64, ndim, shape);
    int64_t *x = o.data;
    for (int64_t i = 0; i < gr_operand_count(&o); i++)
        x[i] = low + (int64_t)(uniform() * (double)(high - low));
    c->in[c->n_in++] = o;
    return x;
}

static float *add_out(one_call *c, int ndim, const int64_t *shape)
{
    c->out[c->n_out] = contiguous(GR_F32, ndim, shape);
    return c->out[c->n_out++].data;
}

static void drop(one_call *c)
{
    for (int i = 0; i < c->n_in; i++)
        gr_free(c->in[i].data);
    for (int i = 0; i < c->n_out; i++)
        gr_free(c->out[i].data);
}

static const gr_kernel *kernel_of(const gr_op *op)
{
    const gr_kernel *tables[] = {gr_cpu_softmax_kernels, gr_cpu_loss_kernels,  gr_cpu_norm_kernels,
                                 gr_cpu_rope_kernels,    gr_cpu_embed_kernels, gr_cpu_attention_kernels};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        for (const gr_kernel *k = tables[i]; k->op; k++)
            if (k->op == op)
                return k;
    FAIL("%s has no kernel", op->name);
}

static size_t bytes_of(const gr_operand *o)
{
    return gr_dtype_size(o->dtype, gr_operand_count(o));
}

static gr_status run_once(const one_call *c, int threads)
{
    const gr_kernel *k = kernel_of(c->op);
    gr_pool *pool = gr_pool_new(threads);
    CHECK(pool);
    gr_device device = {.pool = pool};
    gr_call call = {.op = c->op, .attr = c->attr, .n_in = c->n_in, .n_out = c->n_out, .device = &device};
    gr_operand in[MOST], out[MOST];
    memcpy(in, c->in, sizeof in);
    memcpy(out, c->out, sizeof out);
    call.in = in;
    call.out = out;
    call.scratch_size = k->scratch ? k->scratch(&call) : 0;
    call.scratch = gr_alloc(call.scratch_size);
    CHECK(call.scratch);
    memset(call.scratch, 0xFF, call.scratch_size); /* every float a NaN */
    for (int i = 0; i < c->n_out; i++)
        memset(c->out[i].data, 0xFF, bytes_of(&c->out[i]));
    gr_status s = k->run(&call);
    gr_free(call.scratch);
    gr_pool_free(pool);
    return s;
}

/* Runs with 1 to 4 threads and demands the same bits. */
static void run(const one_call *c)
{
    void *first[MOST];
    CHECK_OK(run_once(c, 1));
    for (int i = 0; i < c->n_out; i++) {
        first[i] = gr_alloc(bytes_of(&c->out[i]));
        CHECK(first[i]);
        memcpy(first[i], c->out[i].data, bytes_of(&c->out[i]));
    }
    for (int threads = 2; threads <= MOST_THREADS; threads++) {
        CHECK_OK(run_once(c, threads));
        for (int i = 0; i < c->n_out; i++)
            if (memcmp(first[i], c->out[i].data, bytes_of(&c->out[i])) != 0)
                FAIL("%s: output %d differs with %d threads", c->op->name, i, threads);
    }
    for (int i = 0; i < c->n_out; i++)
        gr_free(first[i]);
}

/* Calls body(level) for every level that this machine has. */
static void each_level(void (*body)(void))
{
    gr_isa best = gr_isa_detect();
    for (int level = 0; level <= (int)best; level++) {
        gr_isa_limit((gr_isa)level);
        random_state = 1;
        body();
    }
    gr_isa_limit(GR_ISA_COUNT);
}

static void near_all(const char *what, const float *x, const double *y, int64_t n, double tolerance)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(x[i] - y[i]) <= tolerance * (1 + fabs(y[i]))))
            FAIL("%s, %s: element %" PRId64 " is %.9g, not %.9g", gr_isa_name(gr_isa_detect()), what, i, x[i], y[i]);
}

/* ---- elementary functions ----------------------------------------------------------------------------------- */

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* The largest error in ulp over floats of [low, high], every 4099th bit pattern. Results that are denormal count in the
 * smallest ulp; a result that is not a number, or infinite where it should be, must be exactly so. */
static double worst_ulp(float (*f)(float), double (*exact)(double), float low, float high)
{
    double worst = 0;
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 4099) {
        float x = gr_vbits((uint32_t)bits);
        if (!(x >= low && x <= high))
            continue;
        double want = exact(x);
        float got = f(x);
        int exponent;
        if (isinf((float)want) || isnan(want)) {
            if (isnan(want) ? !isnan(got) : got != (float)want)
                FAIL("f(%.9g) is %.9g, not %.9g", x, got, want);
            continue;
        }
        frexp(want, &exponent);
        double error = fabs(got - want) / ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
        worst = error > worst ? error : worst;
    }
    return worst;
}

TEST(elementary_functions)
{
    CHECK(worst_ulp(gr_vexp, exp, -INFINITY, INFINITY) < 1.1);
    CHECK(worst_ulp(gr_vexp_negative, exp, -87.3f, 0) < 1.1);
    CHECK(worst_ulp(gr_vlog, log, 0, INFINITY) < 1.1);
    CHECK(worst_ulp(gr_vtanh, tanh, -INFINITY, INFINITY) < 3);
    CHECK(worst_ulp(gr_vsigmoid, sigmoid, -87, INFINITY) < 3);
    CHECK(worst_ulp(gr_verf, erf, -INFINITY, INFINITY) < 2);
    CHECK(worst_ulp(gr_vsin, sin, -1e8f, 1e8f) < 2);
    CHECK(worst_ulp(gr_vcos, cos, -1e8f, 1e8f) < 2);
    float (*all[])(float) = {gr_vexp, gr_vexp_negative, gr_vlog, gr_vtanh, gr_vsigmoid, gr_verf, gr_vsin, gr_vcos};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        CHECK(isnan(all[i](NAN)));
    CHECK(isnan(gr_vlog(-1)) && isnan(gr_vsin(INFINITY)) && isnan(gr_vcos(-INFINITY)));
    CHECK(gr_vexp_negative(-INFINITY) == 0 && gr_vlog(0) == -INFINITY && signbit(gr_vtanh(-0.0f)));
}

/* ---- softmax and cross-entropy ------------------------------------------------------------------------------ */

static double reference_lse(const float *x, int64_t n)
{
    double largest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, x[i]);
    for (int64_t i = 0; i < n; i++)
        sum += exp(x[i] - largest);
    return largest + log(sum);
}

static void long_rows(void)
{
    enum { ROWS = 3, N = 5003 }; /* more than a chunk of the online sum */
    one_call c = {.op = &gr_op_cross_entropy_rows, .attr = &(gr_ignore_attr){7}};
    float *x = add_in(&c, -30, 30, GR_DIMS(ROWS, N));
    int64_t *target = add_index(&c, 8, N, GR_DIMS(ROWS));
    for (int64_t i = 0; i < 4000; i++) /* tokens ruled out, a whole chunk of them first */
        x[N + i] = -INFINITY;
    target[1] = 4500;
    target[2] = 7;
    float *loss = add_out(&c, GR_DIMS(ROWS)), *lse = add_out(&c, GR_DIMS(ROWS));
    run(&c);
    for (int r = 0; r < ROWS; r++) {
        double want = reference_lse(x + r * N, N);
        CHECK_NEAR(lse[r], want, 1e-5 * fabs(want));
        CHECK_NEAR(loss[r], r == 2 ? 0 : want - x[r * N + target[r]], 2e-5 * fabs(want));
    }
    one_call g = {.op = &gr_op_cross_entropy_grad, .attr = c.attr, .n_in = 2};
    memcpy(g.in, c.in, sizeof g.in);
    g.in[g.n_in++] = c.out[1];
    float *d = add_in(&g, -1, 1, GR_DIMS(ROWS)), *dx = add_out(&g, GR_DIMS(ROWS, N));
    run(&g);
    for (int r = 0; r < ROWS; r++)
        for (int64_t i = 0; i < N; i++) {
            double want = (exp(x[r * N + i] - (double)lse[r]) - (i == target[r])) * d[r];
            CHECK_NEAR(dx[r * N + i], r == 2 ? 0 : want, 1e-5);
        }
    gr_free(g.in[3].data);
    gr_free(g.out[0].data);
    drop(&c);
}

TEST(cross_entropy_of_long_rows)
{
    each_level(long_rows);
}

TEST(a_target_outside_is_named)
{
    one_call c = {.op = &gr_op_cross_entropy_rows, .attr = &(gr_ignore_attr){-100}};
    add_in(&c, -1, 1, GR_DIMS(3, 5));
    int64_t *target = add_index(&c, 0, 5, GR_DIMS(3));
    add_out(&c, GR_DIMS(3));
    add_out(&c, GR_DIMS(3));
    target[1] = -100;
    CHECK_OK(run_once(&c, 2));
    target[2] = 5;
    CHECK_STATUS(run_once(&c, 2), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "target 5 at position 2 is outside [0, 5)");
    drop(&c);
}

static void not_finite(void)
{
    const gr_op *ops[] = {&gr_op_softmax, &gr_op_log_softmax};
    for (int k = 0; k < 2; k++) {
        one_call c = {.op = ops[k]};
        enum { N = 37 };
        float *x = add_in(&c, -1, 1, GR_DIMS(4, N)), *y = add_out(&c, GR_DIMS(4, N));
        x[0 * N + 20] = NAN;
        x[1 * N + 36] = INFINITY;
        x[2 * N + 3] = -INFINITY;
        for (int i = 0; i < N; i++)
            x[3 * N + i] = -INFINITY;
        run(&c);
        for (int i = 0; i < N; i++) {
            CHECK(isnan(y[i]) && isnan(y[3 * N + i]));
            CHECK(isnan(y[N + i]) || (i != 36 && y[N + i] == (k ? -INFINITY : 0)));
            CHECK(i == 3 ? y[2 * N + i] == (k ? -INFINITY : 0) : isfinite(y[2 * N + i]));
        }
        CHECK(isnan(y[N + 36]));
        drop(&c);
    }
}

TEST(softmax_of_what_is_not_finite)
{
    each_level(not_finite);
}

/* ---- norms -------------------------------------------------------------------------------------------------- */

/* Values around 1000: the variance must not be the difference of two large sums. */
static void far_mean(void)
{
    enum { ROWS = 5, N = 301 };
    one_call c = {.op = &gr_op_layer_norm, .attr = &(gr_norm_attr){1e-5f}};
    float *x = add_in(&c, 999, 1001, GR_DIMS(ROWS, N)), *w = add_in(&c, 0.5, 1.5, GR_DIMS(N));
    float *y = add_out(&c, GR_DIMS(ROWS, N));
    add_out(&c, GR_DIMS(ROWS));
    add_out(&c, GR_DIMS(ROWS));
    run(&c);
    for (int r = 0; r < ROWS; r++) {
        double mean = 0, var = 0;
        for (int i = 0; i < N; i++)
            mean += x[r * N + i] / (double)N;
        for (int i = 0; i < N; i++)
            var += (x[r * N + i] - mean) * (x[r * N + i] - mean) / N;
        for (int i = 0; i < N; i++)
            CHECK_NEAR(y[r * N + i], (x[r * N + i] - mean) / sqrt(var + 1e-5) * w[i], 5e-4);
    }
    drop(&c);
}

TEST(layer_norm_far_from_zero)
{
    each_level(far_mean);
}

/* More rows than fit one block of partial sums. */
static void many_rows(void)
{
    enum { ROWS = 1500, N = 67 };
    one_call c = {.op = &gr_op_layer_norm_grad};
    float *x = add_in(&c, -2, 2, GR_DIMS(ROWS, N)), *w = add_in(&c, 0.5, 1.5, GR_DIMS(N));
    float *mean = add_in(&c, -0.1, 0.1, GR_DIMS(ROWS)), *rstd = add_in(&c, 0.5, 1, GR_DIMS(ROWS));
    float *d = add_in(&c, -1, 1, GR_DIMS(ROWS, N)), *dx = add_out(&c, GR_DIMS(ROWS, N));
    float *dw = add_out(&c, GR_DIMS(N)), *db = add_out(&c, GR_DIMS(N));
    double want_w[N] = {0}, want_b[N] = {0};
    run(&c);
    for (int r = 0; r < ROWS; r++) {
        double sum = 0, along = 0;
        for (int i = 0; i < N; i++) {
            double normed = ((double)x[r * N + i] - mean[r]) * rstd[r];
            sum += (double)d[r * N + i] * w[i] / N;
            along += (double)d[r * N + i] * w[i] * normed / N;
            want_w[i] += d[r * N + i] * normed;
            want_b[i] += d[r * N + i];
        }
        for (int i = 0; i < N; i++) {
            double normed = ((double)x[r * N + i] - mean[r]) * rstd[r];
            CHECK_NEAR(dx[r * N + i], rstd[r] * ((double)d[r * N + i] * w[i] - sum - normed * along), 1e-5);
        }
    }
    near_all("dweight", dw, want_w, N, 1e-4);
    near_all("dbias", db, want_b, N, 1e-4);
    drop(&c);
}

TEST(layer_norm_grad_of_many_rows)
{
    each_level(many_rows);
}

/* ---- rows by index ------------------------------------------------------------------------------------------ */

static void scatter(void)
{
    enum { ROWS = 11, COLUMNS = 300, COUNT = 70 };
    one_call c = {.op = &gr_op_scatter_add};
    float *base = add_in(&c, -1, 1, GR_DIMS(ROWS, COLUMNS));
    int64_t *index = add_index(&c, 0, ROWS, GR_DIMS(COUNT));
    float *src = add_in(&c, -1, 1, GR_DIMS(COUNT, COLUMNS)), *y = add_out(&c, GR_DIMS(ROWS, COLUMNS));
    run(&c);
    double want[ROWS * COLUMNS];
    for (int i = 0; i < ROWS * COLUMNS; i++)
        want[i] = base[i];
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < COLUMNS; k++)
            want[index[i] * COLUMNS + k] += src[i * COLUMNS + k];
    near_all("scatter_add", y, want, ROWS * COLUMNS, 1e-5);
    index[69] = ROWS;
    CHECK_STATUS(run_once(&c, 2), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "index 11 at position 69 is outside [0, 11)");
    drop(&c);
}

TEST(scatter_add_of_rows_named_often)
{
    each_level(scatter);
}

/* ---- attention ---------------------------------------------------------------------------------------------- */

typedef struct problem {
    int64_t b, t, h, g, d, s;
    gr_attention_attr attr;
    bool q_pos, k_pos, segment, packed; /* packed: q, k, v are views of one tensor */
} problem;

static const problem problems[] = {
    {1, 1, 1, 1, 1, 1, {1, true, 0}, false, false, false, false},
    {2, 100, 3, 3, 20, 100, {0.3f, true, 0}, false, false, false, true},
    {1, 130, 2, 2, 32, 130, {0.2f, false, 0}, false, false, false, true},
    {1, 67, 6, 2, 16, 67, {0.25f, true, 0}, false, false, false, true},    /* grouped: tiles end inside a token */
    {1, 61, 5, 1, 48, 300, {0.2f, true, 0}, false, false, false, false},   /* behind a prefix, two blocks of keys */
    {1, 200, 2, 1, 16, 200, {0.25f, true, 33}, false, false, false, true}, /* a window that leaves whole blocks out */
    {2, 64, 2, 2, 64, 64, {0.125f, true, 1}, false, false, false, true},   /* of itself alone */
    {1, 150, 2, 2, 16, 150, {0.25f, true, 0}, false, false, true, true},
    {1, 150, 1, 1, 16, 150, {0.25f, true, 40}, false, false, true, false},
    {2, 3, 4, 2, 24, 700, {0.2f, true, 0}, true, true, false, false}, /* a cache, keys cut into parts */
    {1, 5, 4, 4, 16, 600, {0.25f, true, 100}, true, true, false, false},
    {3, 1, 8, 2, 32, 1100, {0.2f, true, 0}, true, true, false, false},
    {1, 9, 2, 2, 130, 40, {0.1f, true, 0}, true, false, false, false},
    {1, 20, 2, 2, 16, 4, {0.25f, true, 0}, false, false, false, false}, /* more queries than keys: some see none */
    {0, 3, 2, 2, 8, 3, {0.3f, true, 0}, false, false, false, false},
    {1, 3, 2, 2, 8, 0, {0.3f, true, 0}, false, false, false, false},
};

static int64_t at(const gr_operand *x, int64_t b, int64_t t, int64_t h)
{
    return b * x->stride[0] + t * x->stride[1] + h * x->stride[2];
}

static bool sees(const one_call *c, const problem *p, int64_t b, int64_t t, int64_t s)
{
    const int64_t *q_pos = c->in[3].data, *k_pos = c->in[4].data, *segment = c->in[5].data;
    int64_t q = q_pos ? q_pos[b * p->t + t] : p->s - p->t + t, k = k_pos ? k_pos[b * p->s + s] : s;
    return k >= 0 && (!p->attr.causal || k <= q) && (!p->attr.window || k > q - p->attr.window) &&
           (!segment || segment[b * p->t + t] == segment[b * p->s + s]);
}

static double dot(const float *x, const float *y, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * y[i];
    return sum;
}

typedef struct answer {
    double *out, *lse, *dq, *dk, *dv;
} answer;

static double *zeros(int64_t n)
{
    double *p = gr_alloc_zero((size_t)(n + 1), sizeof *p);
    CHECK(p);
    return p;
}

/* One query's row, and what it adds to the gradients for the output's gradient d. */
static void reference_row(const one_call *c, const problem *p, const float *d, int64_t b, int64_t t, int64_t h,
                          double *w, answer *a)
{
    int64_t n = p->d, g = h / (p->h / p->g), row = (b * p->t + t) * p->h + h;
    const float *q = (const float *)c->in[0].data + at(&c->in[0], b, t, h), *k = c->in[1].data, *v = c->in[2].data;
    double largest = -INFINITY, sum = 0, along = 0, *out = a->out + row * n;
    for (int64_t s = 0; s < p->s; s++) {
        w[s] = sees(c, p, b, t, s) ? p->attr.scale * dot(q, k + at(&c->in[1], b, s, g), n) : -INFINITY;
        largest = fmax(largest, w[s]);
    }
    for (int64_t s = 0; s < p->s; s++)
        sum += w[s] = isinf(w[s]) ? 0 : exp(w[s] - largest);
    a->lse[(b * p->h + h) * p->t + t] = sum > 0 ? largest + log(sum) : 0;
    for (int64_t s = 0; s < p->s && sum > 0; s++)
        for (int64_t i = 0; i < n; i++)
            out[i] += w[s] / sum * v[at(&c->in[2], b, s, g) + i];
    for (int64_t i = 0; i < n; i++)
        along += out[i] * d[row * n + i];
    for (int64_t s = 0; s < p->s && sum > 0; s++) {
        int64_t key = (b * p->s + s) * p->g + g;
        double weight = w[s] / sum;
        double ds = weight * (dot(d + row * n, v + at(&c->in[2], b, s, g), n) - along) * p->attr.scale;
        for (int64_t i = 0; i < n; i++) {
            a->dq[row * n + i] += ds * k[at(&c->in[1], b, s, g) + i];
            a->dk[key * n + i] += ds * q[i];
            a->dv[key * n + i] += weight * d[row * n + i];
        }
    }
}

/* q, k, v and positions; views of [B, T, H + 2 G, D] when packed, whose memory then is input 6's. */
static void attention_inputs(one_call *c, const problem *p)
{
    if (p->packed) {
        one_call whole = {0};
        add_in(&whole, -2, 2, GR_DIMS(p->b, p->t, p->h + 2 * p->g, p->d));
        for (int i = 0; i < 3; i++) {
            c->in[i] = whole.in[0];
            c->in[i].shape[2] = i ? p->g : p->h;
            c->in[i].data = (float *)whole.in[0].data + (i ? p->h + (i - 1) * p->g : 0) * p->d;
        }
        c->n_in = 3;
    } else {
        add_in(c, -2, 2, GR_DIMS(p->b, p->t, p->h, p->d));
        add_in(c, -2, 2, GR_DIMS(p->b, p->s, p->g, p->d));
        add_in(c, -2, 2, GR_DIMS(p->b, p->s, p->g, p->d));
    }
    c->n_in = 3;
    if (p->q_pos)
        add_index(c, p->s / 2, p->s, GR_DIMS(p->b, p->t));
    c->n_in = 4;
    if (p->k_pos) /* a ring that is half full */
        add_index(c, -p->s, p->s, GR_DIMS(p->b, p->s));
    for (int64_t i = 0; p->k_pos && i < p->b * p->s; i++) {
        int64_t *pos = (int64_t *)c->in[4].data + i;
        *pos = *pos < 0 ? -1 : *pos;
    }
    c->n_in = 5;
    if (p->segment)
        add_index(c, 0, 3, GR_DIMS(p->b, p->t));
    c->n_in = 6;
}

static void check_attention(const problem *p)
{
    one_call c = {.op = &gr_op_attention, .attr = &p->attr}, g = {.op = &gr_op_attention_grad, .attr = &p->attr};
    attention_inputs(&c, p);
    int64_t n_q = p->b * p->t * p->h * p->d, n_k = p->b * p->s * p->g * p->d, rows = p->b * p->t * p->h;
    float *out = add_out(&c, GR_DIMS(p->b, p->t, p->h, p->d)), *lse = add_out(&c, GR_DIMS(p->b, p->h, p->t));
    run(&c);
    memcpy(g.in, c.in, sizeof g.in);
    g.in[6] = c.out[0];
    g.in[7] = c.out[1];
    g.n_in = 8;
    float *d = add_in(&g, -1, 1, GR_DIMS(p->b, p->t, p->h, p->d));
    answer a = {zeros(n_q), zeros(rows), zeros(n_q), zeros(n_k), zeros(n_k)};
    double *w = zeros(p->s);
    for (int64_t i = 0; i < rows; i++)
        reference_row(&c, p, d, i / p->h / p->t, i / p->h % p->t, i % p->h, w, &a);
    near_all("out", out, a.out, n_q, 1e-5);
    near_all("lse", lse, a.lse, rows, 1e-5);
    float *dq = add_out(&g, GR_DIMS(p->b, p->t, p->h, p->d));
    float *dk = add_out(&g, GR_DIMS(p->b, p->s, p->g, p->d)), *dv = add_out(&g, GR_DIMS(p->b, p->s, p->g, p->d));
    run(&g);
    near_all("dq", dq, a.dq, n_q, 3e-5);
    near_all("dk", dk, a.dk, n_k, 3e-5);
    near_all("dv", dv, a.dv, n_k, 3e-5);
    double *all[] = {a.out, a.lse, a.dq, a.dk, a.dv, w};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        gr_free(all[i]);
    gr_free(d);
    for (int i = 0; i < 3; i++)
        gr_free(g.out[i].data);
    if (p->packed)
        c.in[1].data = c.in[2].data = NULL;
    drop(&c);
}

static void all_problems(void)
{
    for (size_t i = 0; i < sizeof problems / sizeof problems[0]; i++) {
        NOTE("attention %d", (int)i);
        check_attention(&problems[i]);
    }
}

TEST(attention_against_loops)
{
    each_level(all_problems);
}
