/* Devices and kernels, where samples do not reach: dtypes that are not floating-point, edge values, what fails at run
 * time, own ops, and memory that is not the host's. */
#include "test.h"

#include "backend/backend.h"
#include "base/dtype.h"
#include "base/philox.h"
#include "op/op.h"
#include "program/run.h"

#include <limits.h>
#include <signal.h>
#include <sys/wait.h>

/* for (visit v = {0}; next_device(&v);) ...: once with each device and a graph of its own. */
typedef struct visit {
    int n;
    gr_device *device;
    gr_graph *graph;
} visit;

static bool next_device(visit *v)
{
    gr_graph_free(v->graph);
    gr_device_close(v->device);
    if (!test_device(v->n))
        return false;
    NOTE("%s", test_device(v->n));
    v->device = gr_device_open(test_device(v->n++), 2);
    v->graph = gr_graph_new();
    CHECK_MADE(v->device);
    CHECK_MADE(v->graph);
    return true;
}

static gr_status run(gr_device *d, gr_tensor *t, void *out)
{
    gr_program *p = t ? gr_compile(gr_tensor_graph(t), &t, 1, d, NULL) : NULL;
    gr_status s = p ? gr_program_run(p, NULL, &out) : gr_error_status();
    gr_program_free(p);
    return s;
}

static void expect_ints(gr_device *d, gr_tensor *t, const int64_t *expected)
{
    int64_t got[16];
    t = gr_cast(t, GR_I64);
    CHECK_MADE(t);
    CHECK(gr_tensor_count(t) <= 16);
    CHECK_OK(run(d, t, got));
    for (int64_t i = 0; i < gr_tensor_count(t); i++)
        CHECK_EQ_INT(got[i], expected[i]);
}

/* NaN equals NaN here. */
static void expect_reals(gr_device *d, gr_tensor *t, const double *expected)
{
    double got[16];
    t = gr_cast(t, GR_F64);
    CHECK_MADE(t);
    CHECK(gr_tensor_count(t) <= 16);
    CHECK_OK(run(d, t, got));
    for (int64_t i = 0; i < gr_tensor_count(t); i++)
        if (!(isnan(expected[i]) && isnan(got[i])) && got[i] != expected[i])
            FAIL("element %d is %.17g, not %.17g", (int)i, got[i], expected[i]);
}

static gr_tensor *ints(gr_graph *g, int64_t n, const int64_t *v)
{
    return gr_constant(g, GR_I64, 1, &n, v);
}

static gr_tensor *reals(gr_graph *g, gr_dtype dtype, int64_t n, const double *v)
{
    return gr_cast(gr_constant(g, GR_F64, 1, &n, v), dtype);
}

/* f64 is what OpenCL devices keep and cast, and do not compute in. */
static bool computes(const gr_device *d, gr_dtype dtype)
{
    return dtype != GR_F64 || d->backend != &gr_backend_opencl;
}

/* ---- dtypes ------------------------------------------------------------------------------------------------- */

TEST(fill_and_iota_in_every_dtype)
{
    for (int d = 0; d <= GR_BOOL; d++)
        for (visit v = {0}; next_device(&v);) {
            gr_device *device = v.device;
            gr_graph *g = v.graph;
            double one = d == GR_BOOL ? 1 : 7;
            expect_reals(device, gr_fill(g, (gr_dtype)d, 1, (int64_t[]){3}, 7), (double[]){one, one, one});
            if (!computes(device, (gr_dtype)d))
                continue;
            one = d == GR_BOOL ? 1 : 2;
            expect_reals(device, gr_iota(g, (gr_dtype)d, 3), (double[]){0, 1, one});
        }
}

TEST(random_numbers_are_the_stream_in_every_dtype)
{
    static const gr_dtype floats[] = {GR_F64, GR_F32, GR_F16, GR_BF16};
    const int64_t seed = 42;
    for (int d = 0; d < 4; d++)
        for (visit v = {0}; next_device(&v);) {
            gr_device *device = v.device;
            gr_graph *g = v.graph;
            char rounded[8];
            double uniform[16], normal[16];
            gr_tensor *s = gr_constant(g, GR_I64, 0, NULL, &seed);
            if (!computes(device, floats[d]))
                continue;
            for (int i = 0; i < 16; i++) {
                gr_dtype_get(floats[d])->store(rounded, 0, gr_philox_uniform(42, 3, (uint64_t)i));
                uniform[i] = gr_dtype_get(floats[d])->load(rounded, 0);
                normal[i] = gr_philox_normal(42, 3, (uint64_t)i);
            }
            expect_reals(device, gr_uniform(s, 3, floats[d], 2, (int64_t[]){4, 4}), uniform);
            double got[16];
            CHECK_OK(run(device, gr_cast(gr_normal(s, 3, floats[d], 1, (int64_t[]){16}), GR_F64), got));
            static const double tolerance[] = {1e-15, 1e-6, 2e-3, 1.6e-2};
            for (int i = 0; i < 16; i++)
                CHECK_NEAR(got[i], normal[i], tolerance[d] * fmax(1, fabs(normal[i])));
        }
}

TEST(integers_are_exact_and_wrap_around)
{
    for (visit v = {0}; next_device(&v);) {
        gr_device *device = v.device;
        gr_graph *g = v.graph;

        const int64_t big = ((int64_t)1 << 62) + 1; /* f64 cannot hold it */
        gr_tensor *a = ints(g, 3, (int64_t[]){big, INT64_MAX, -5}), *b = ints(g, 3, (int64_t[]){1, 1, 3});
        expect_ints(device, gr_add(a, b), (int64_t[]){big + 1, INT64_MIN, -2});
        expect_ints(device, gr_sub(a, b), (int64_t[]){big - 1, INT64_MAX - 1, -8});
        expect_ints(device, gr_mul(b, a), (int64_t[]){big, INT64_MAX, -15});
        expect_ints(device, gr_min(a, gr_sub(a, b)), (int64_t[]){big - 1, INT64_MAX - 1, -8});
        expect_ints(device, gr_max(a, gr_sub(a, b)), (int64_t[]){big, INT64_MAX, -5});
        expect_ints(device, gr_neg(a), (int64_t[]){-big, -INT64_MAX, 5});
        expect_ints(device, gr_abs(ints(g, 2, (int64_t[]){-big, 4})), (int64_t[]){big, 4});
        expect_ints(device, gr_gt(a, gr_sub(a, b)), (int64_t[]){1, 1, 1});
        expect_ints(device, gr_eq(a, gr_add(a, gr_sub(b, b))), (int64_t[]){1, 1, 1});
        gr_tensor *c = ints(g, 3, (int64_t[]){big - 1, INT64_MIN, 3}), *d = ints(g, 1, (int64_t[]){3});
        for (int narrow = 0; narrow < 2; narrow++) { /* of i32: INT32_MAX, -1, 3 */
            if (narrow)
                c = gr_cast(ints(g, 3, (int64_t[]){INT32_MAX, -1, 3}), GR_I32), d = gr_cast(d, GR_I32);
            expect_ints(device, gr_eq(c, d), (int64_t[]){0, 0, 1});
            expect_ints(device, gr_ne(c, d), (int64_t[]){1, 1, 0});
            expect_ints(device, gr_lt(c, d), (int64_t[]){0, 1, 0});
            expect_ints(device, gr_le(c, d), (int64_t[]){0, 1, 1});
            expect_ints(device, gr_gt(c, d), (int64_t[]){1, 0, 0});
            expect_ints(device, gr_ge(c, d), (int64_t[]){1, 0, 1});
        }
        expect_ints(device, gr_lt(a, ints(g, 3, (int64_t[]){big + 1, INT64_MIN, -5})), (int64_t[]){1, 0, 0});
        expect_ints(device, gr_sum(ints(g, 3, (int64_t[]){big, -1, 2}), 0, false), (int64_t[]){big + 1});
        expect_ints(device, gr_reduce_max(ints(g, 3, (int64_t[]){big, big + 1, big - 1}), 0, false),
                    (int64_t[]){big + 1});
        expect_ints(device, gr_argmax(ints(g, 3, (int64_t[]){big, big + 1, big - 1})), (int64_t[]){1});
        gr_tensor *bytes = gr_cast(ints(g, 2, (int64_t[]){250, 10}), GR_U8);
        expect_ints(device, gr_add(bytes, bytes), (int64_t[]){244, 20});
        gr_tensor *words = gr_cast(ints(g, 1, (int64_t[]){INT32_MAX}), GR_I32);
        expect_ints(device, gr_add(words, words), (int64_t[]){-2});
        gr_tensor *rows = gr_scatter_add(ints(g, 3, (int64_t[]){big, 0, 0}), ints(g, 3, (int64_t[]){0, 2, 0}),
                                         ints(g, 3, (int64_t[]){1, 7, 2}));
        expect_ints(device, rows, (int64_t[]){big + 3, 0, 7});
    }
}

TEST(casts_truncate_and_saturate)
{
    for (visit v = {0}; next_device(&v);) {
        gr_device *device = v.device;
        gr_graph *g = v.graph;

        gr_tensor *x = reals(g, GR_F64, 8, (double[]){-1.7, 1.7, 300.9, 1e30, -1e30, NAN, 0.4, -0.0});
        expect_ints(device, gr_cast(x, GR_I64), (int64_t[]){-1, 1, 300, INT64_MAX, INT64_MIN, 0, 0, 0});
        expect_ints(device, gr_cast(x, GR_I32), (int64_t[]){-1, 1, 300, INT32_MAX, INT32_MIN, 0, 0, 0});
        expect_ints(device, gr_cast(x, GR_U8), (int64_t[]){0, 1, 255, 255, 0, 0, 0, 0});
        expect_ints(device, gr_cast(x, GR_BOOL), (int64_t[]){1, 1, 1, 1, 1, 1, 1, 0});
        gr_tensor *w = ints(g, 4, (int64_t[]){INT64_MAX, -1, 256, 7});
        expect_ints(device, gr_cast(w, GR_I32), (int64_t[]){INT32_MAX, -1, 256, 7});
        expect_ints(device, gr_cast(w, GR_U8), (int64_t[]){255, 0, 255, 7});
        expect_reals(device, gr_cast(reals(g, GR_F64, 3, (double[]){1e30, 1 + 0x1p-11, 1 + 0x3p-11}), GR_F16),
                     (double[]){INFINITY, 1, 1 + 0x1p-9});
    }
}

TEST(nan_is_not_lost)
{
    for (int d = GR_F64; d <= GR_BF16; d++)
        for (visit v = {0}; next_device(&v);) {
            gr_device *device = v.device;
            gr_graph *g = v.graph;
            if (!computes(device, (gr_dtype)d))
                continue;
            gr_tensor *a = reals(g, (gr_dtype)d, 4, (double[]){NAN, 1, 2, INFINITY});
            gr_tensor *b = reals(g, (gr_dtype)d, 4, (double[]){1, NAN, 1, -INFINITY});
            expect_reals(device, gr_min(a, b), (double[]){NAN, NAN, 1, -INFINITY});
            expect_reals(device, gr_max(a, b), (double[]){NAN, NAN, 2, INFINITY});
            expect_reals(device, gr_reduce_max(b, 0, false), (double[]){NAN});
            expect_ints(device, gr_argmax(b), (int64_t[]){1});
            expect_ints(device, gr_is_finite(a), (int64_t[]){0, 1, 1, 0});
            expect_ints(device, gr_eq(a, a), (int64_t[]){0, 1, 1, 1});
            expect_ints(device, gr_ne(a, a), (int64_t[]){1, 0, 0, 0});
            expect_ints(device, gr_ge(a, b), (int64_t[]){0, 0, 1, 1});
        }
}

TEST(sigmoid_and_friends_hold_at_the_edges)
{
    for (visit v = {0}; next_device(&v);) {
        gr_device *device = v.device;
        gr_graph *g = v.graph;

        gr_tensor *x = reals(g, GR_F32, 4, (double[]){-INFINITY, -1000, 1000, INFINITY});
        expect_reals(device, gr_sigmoid(x), (double[]){0, 0, 1, 1});
        expect_reals(device, gr_tanh(x), (double[]){-1, -1, 1, 1});
        expect_reals(device, gr_erf(x), (double[]){-1, -1, 1, 1});
        expect_reals(device, gr_exp(x), (double[]){0, 0, INFINITY, INFINITY});
        expect_reals(device, gr_relu(x), (double[]){0, 0, 1000, INFINITY});
        expect_reals(device, gr_softmax(reals(g, GR_F32, 2, (double[]){10000, 10000})), (double[]){0.5, 0.5});
    }
}

/* ---- failing at run time ------------------------------------------------------------------------------------ */

TEST(bad_index_is_named)
{
    for (visit v = {0}; next_device(&v);) {
        gr_device *device = v.device;
        gr_graph *g = v.graph;

        double out[16];
        gr_tensor *table = gr_reshape(reals(g, GR_F32, 6, (double[]){0, 1, 2, 3, 4, 5}), 2, (int64_t[]){3, 2});
        gr_tensor *bad = ints(g, 3, (int64_t[]){2, 0, 3}), *rows = gr_gather(table, ints(g, 3, (int64_t[]){0, 1, 2}));
        CHECK_STATUS(run(device, gr_name(gr_gather(table, bad), "wte"), out), GR_ERR_ARGUMENT);
        CHECK_ERROR(GR_ERR_ARGUMENT, "wte: index 3 at position 2 is outside [0, 3)");
        CHECK_STATUS(run(device, gr_scatter_add(table, bad, rows), out), GR_ERR_ARGUMENT);
        CHECK_ERROR(GR_ERR_ARGUMENT, "scatter_add");
        CHECK_ERROR(GR_ERR_ARGUMENT, "3 at position 2");
        CHECK_STATUS(run(device, gr_gather(table, ints(g, 1, (int64_t[]){-1})), out), GR_ERR_ARGUMENT);
        CHECK_ERROR(GR_ERR_ARGUMENT, "gather");
        CHECK_ERROR(GR_ERR_ARGUMENT, "-1 at position 0");
    }
}

TEST(bad_target_is_named)
{
    for (visit v = {0}; next_device(&v);) {
        double out[4];
        gr_tensor *logits = gr_fill(v.graph, GR_F32, 2, (int64_t[]){3, 5}, 1);
        gr_tensor *fine = gr_cross_entropy_rows(logits, ints(v.graph, 3, (int64_t[]){0, -100, 4}), -100);
        gr_tensor *bad = gr_cross_entropy_rows(logits, ints(v.graph, 3, (int64_t[]){0, -100, 5}), -100);
        CHECK_OK(run(v.device, fine, out));
        CHECK_STATUS(run(v.device, bad, out), GR_ERR_ARGUMENT);
        CHECK_ERROR(GR_ERR_ARGUMENT, "cross_entropy_rows");
        CHECK_ERROR(GR_ERR_ARGUMENT, " 5 "); /* which of them: each backend has its own words */
    }
}

TEST(bad_slot_leaves_the_cache_alone)
{
    for (visit v = {0}; next_device(&v);) {
        gr_device *device = v.device;
        gr_graph *g = v.graph;
        float before[] = {1, 2, 3};
        float after[3];
        gr_store *store = gr_store_new(device);
        CHECK_OK(gr_store_add(store, "cache", GR_CACHE, GR_F32, 2, (int64_t[]){1, 3}));
        CHECK_OK(gr_store_write(store, "cache", before, sizeof before));
        gr_tensor *value = gr_fill(g, GR_F32, 2, (int64_t[]){1, 2}, 9);
        gr_tensor *slot = gr_reshape(ints(g, 2, (int64_t[]){0, 3}), 2, (int64_t[]){1, 2});
        gr_write_rows(gr_param(g, store, "cache"), value, slot, NULL);
        gr_program *p = gr_compile(g, NULL, 0, device, NULL);
        CHECK_MADE(p);
        CHECK_STATUS(gr_program_run(p, NULL, NULL), GR_ERR_ARGUMENT);
        CHECK_ERROR(GR_ERR_ARGUMENT, "slot 3 at position 1");
        CHECK_OK(gr_store_read(store, "cache", after, sizeof after));
        CHECK(memcmp(before, after, sizeof before) == 0);
        gr_program_free(p);
        gr_store_free(store);
    }
}

/* A sequence that the cache does not have: nothing is written, and nothing read. `what` is what attention calls it, which
 * is an index where it is composed. */
static void check_bad_sequence(gr_device *device, gr_graph *g, const char *what)
{
    float before[] = {1, 2, 3, 4}, after[4];
    gr_store *store = gr_store_new(device);
    CHECK_OK(gr_store_add(store, "cache", GR_CACHE, GR_F32, 4, (int64_t[]){2, 2, 1, 1}));
    CHECK_OK(gr_store_write(store, "cache", before, sizeof before));
    gr_tensor *value = gr_fill(g, GR_F32, 4, (int64_t[]){1, 1, 1, 1}, 9), *cache = gr_param(g, store, "cache");
    gr_tensor *sequence = gr_input(g, "sequence", GR_I64, 1, (int64_t[]){1});
    gr_tensor *slot = gr_fill(g, GR_I64, 2, (int64_t[]){1, 1}, 1);
    gr_tensor *y = gr_attention(value, cache, cache,
                                &(gr_attention_options){.size = sizeof(gr_attention_options), .sequence = sequence});
    gr_program *read = gr_compile(g, &y, 1, device, NULL);
    gr_write_rows(cache, value, slot, sequence);
    gr_program *write = gr_compile(g, NULL, 0, device, NULL);
    CHECK_MADE(read);
    CHECK_MADE(write);
    CHECK_STATUS(gr_program_run(read, (const void *[]){&(int64_t){2}}, (void *[]){after}), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, what);
    CHECK_STATUS(gr_program_run(write, (const void *[]){&(int64_t){-1}}, NULL), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "sequence -1 at position 0");
    CHECK_OK(gr_store_read(store, "cache", after, sizeof after));
    CHECK(memcmp(before, after, sizeof before) == 0);
    CHECK_OK(gr_program_run(read, (const void *[]){&(int64_t){1}}, (void *[]){after}));
    CHECK(after[0] > 3.5f && after[0] < 4);
    CHECK_OK(gr_program_run(write, (const void *[]){&(int64_t){1}}, NULL));
    CHECK_OK(gr_store_read(store, "cache", after, sizeof after));
    CHECK(after[2] == 3 && after[3] == 9 && after[1] == 2);
    gr_program_free(read);
    gr_program_free(write);
    gr_store_free(store);
}

TEST(bad_sequence)
{
    for (visit v = {0}; next_device(&v);)
        check_bad_sequence(v.device, v.graph,
                           strcmp(v.device->name, "ref") == 0 ? "index 2 at position 0" : "sequence 2 at position 0");
}

/* ---- own ops ------------------------------------------------------------------------------------------------ */

static gr_status infer_like(const gr_tensor *node, gr_spec *out)
{
    *out = gr_tensor_input(node, 0)->spec;
    return GR_OK;
}

static gr_status halve(const gr_call *call)
{
    const float *x = call->in[0].data;
    float *y = call->out[0].data;
    for (int64_t i = 0, n = gr_operand_count(&call->out[0]); i < n; i++)
        y[i] = x[i] / 2;
    return GR_OK;
}

static gr_status compose_halve(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    (void)node;
    out[0] = gr_scale(in[0], 0.5);
    return gr_built(in[0], out[0]);
}

TEST(own_kernel_gets_contiguous_inputs)
{
    static const gr_op half = {.name = "half", .inputs = 1, .outputs = 1, .infer = infer_like, .kernel = halve};
    for (visit v = {0}; next_device(&v);) {
        gr_device *device = v.device;
        gr_graph *g = v.graph;
        gr_tensor *x = gr_reshape(reals(g, GR_F32, 6, (double[]){0, 2, 4, 6, 8, 10}), 2, (int64_t[]){2, 3});
        gr_tensor *turned = gr_permute(x, (int[]){1, 0});
        gr_tensor *y = gr_node(g, &half, &turned, 1, NULL);
        if (device->backend == &gr_backend_opencl) { /* a kernel of the host's is none there */
            CHECK(!gr_compile(g, &y, 1, device, NULL));
            CHECK_ERROR(GR_ERR_UNSUPPORTED, "this device has no kernel for half");
        } else {
            expect_reals(device, y, (double[]){0, 3, 1, 4, 2, 5});
        }
    }
}

TEST(composition_defines_an_own_op_on_ref)
{
    static const gr_op half = {
        .name = "half", .inputs = 1, .outputs = 1, .infer = infer_like, .kernel = halve, .compose = compose_halve};
    gr_graph *g = gr_graph_new();
    gr_tensor *x = reals(g, GR_F32, 1, (double[]){4}), *y = gr_node(g, &half, &x, 1, NULL);
    CHECK_MADE(y);
    for (visit v = {0}; next_device(&v);) {
        bool composes = v.device->backend == &gr_backend_ref || v.device->backend == &gr_backend_opencl;
        CHECK_EQ_INT(v.device->backend->find(v.device, y) == NULL, composes);
        expect_reals(v.device, y, (double[]){2});
    }
    gr_graph_free(g);
}

TEST(op_without_kernel_is_named)
{
    static const gr_op nothing = {.name = "nothing", .inputs = 1, .outputs = 1, .infer = infer_like};
    for (visit v = {0}; next_device(&v);) {
        gr_device *device = v.device;
        gr_graph *g = v.graph;
        gr_tensor *x = reals(g, GR_F32, 1, (double[]){4}), *y = gr_node(g, &nothing, &x, 1, NULL);
        CHECK(!gr_compile(g, &y, 1, device, NULL));
        CHECK_ERROR(GR_ERR_UNSUPPORTED, "nothing");
    }
}

/* ---- devices ------------------------------------------------------------------------------------------------ */

TEST(devices_by_name)
{
    CHECK(!gr_device_open("abacus", 0));
    CHECK_ERROR(GR_ERR_ARGUMENT, "abacus");
    gr_device *d = gr_device_open("auto", 1);
    CHECK_MADE(d);
    gr_device_info info = GR_INIT(gr_device_info);
    CHECK_OK(gr_device_describe(d, &info));
    CHECK_EQ_STR(info.name, "cpu");
    CHECK(info.available > 0 && info.available <= info.total);
    gr_device_close(d);
    d = gr_device_open("ref", 8);
    CHECK_OK(gr_device_describe(d, &info));
    CHECK_EQ_STR(info.description, "reference kernels, 1 thread");
    gr_device_close(d);
    gr_device_close(NULL);
}

/* Addresses of far are no memory, in small pieces, and it does nothing before it must. */
TEST(far_memory_is_out_of_reach)
{
    gr_device *d = gr_device_open("far", 1);
    char text[] = "gradus", back[sizeof text] = "";
    CHECK_MADE(d);
    CHECK(!d->host_visible);
    gr_address p = gr_device_alloc(d, 10000), small = gr_device_alloc(d, 16),
               large = gr_device_alloc(d, d->largest + 9);
    CHECK(p && small && large);
    CHECK(p >> 48 == 0x0F00 && large >> 48 == 0x0F00); /* no pointer on any machine we run on */
    CHECK_OK(gr_device_write(d, p + 5000, text, sizeof text));
    text[0] = 'G'; /* write has taken the bytes */
    CHECK_OK(gr_device_copy(d, p + 100, p + 5000, sizeof text));
    CHECK_OK(gr_device_read(d, back, p + 100, sizeof text));
    CHECK_EQ_STR(back, "gradus");
    CHECK_OK(gr_device_write(d, large + d->largest, back, sizeof back));
    CHECK_STATUS(gr_device_write(d, large + d->largest - 1, text, 2), GR_ERR_ARGUMENT); /* over a border */
    CHECK_STATUS(gr_device_write(d, p + 9999, text, 2), GR_ERR_ARGUMENT);
    CHECK_STATUS(gr_device_read(d, back, small - 1, 1), GR_ERR_ARGUMENT);
    CHECK_OK(d->backend->fill(d, small, 3, 16));
    gr_device_free(d, p, 10000);
    CHECK_OK(gr_device_read(d, back, small, 1)); /* freeing one leaves the other in place */
    CHECK_EQ_INT(back[0], 3);
    CHECK_STATUS(gr_device_read(d, back, p, 1), GR_ERR_ARGUMENT);
    gr_device_free(d, small, 16);
    gr_device_free(d, large, d->largest + 9);
    gr_device_close(d);
}

static gr_status overrun(const gr_call *call)
{
    memset(call->in[0].data, 7, (size_t)gr_operand_count(&call->in[0]) + 1);
    return GR_OK;
}

static gr_status infer_nothing(const gr_tensor *node, gr_spec *out)
{
    (void)node;
    *out = gr_spec_make(GR_U8, 1, (int64_t[]){0});
    return GR_OK;
}

TEST(far_finds_a_write_past_the_end)
{
    static const gr_op careless = {.name = "careless",
                                   .inputs = 1,
                                   .outputs = 1,
                                   .flags = GR_OP_EFFECT,
                                   .writes = 1,
                                   .infer = infer_nothing,
                                   .kernel = overrun};
    gr_device *d = gr_device_open("far", 1);
    gr_store *store = gr_store_new(d);
    gr_graph *g = gr_graph_new();
    CHECK_OK(gr_store_add(store, "bytes", GR_WEIGHT, GR_U8, 1, (int64_t[]){100}));
    gr_tensor *param = gr_param(g, store, "bytes");
    CHECK_MADE(gr_node(g, &careless, &param, 1, NULL));
    gr_program *p = gr_compile(g, NULL, 0, d, NULL);
    CHECK_MADE(p);
    CHECK_STATUS(gr_program_run(p, NULL, NULL), GR_ERR_NUMBER);
    CHECK_ERROR(GR_ERR_NUMBER, "past the end of a block of 100");
    gr_program_free(p);
    gr_graph_free(g);
    gr_store_free(store);
    gr_device_close(d);
}

TEST(limits_are_measured_or_refused)
{
    static const char *const with[] = {"cpu", "far"};
    gr_device_limits l = GR_INIT(gr_device_limits);
    for (size_t i = 0; i < sizeof with / sizeof *with; i++) {
        gr_device *d = gr_device_open(with[i], 2);
        l.flops = l.read = 0;
        CHECK_OK(gr_device_measure(d, &l));
        CHECK(isfinite(l.flops) && l.flops > 0 && isfinite(l.read) && l.read > 0);
        gr_device_close(d);
    }
    gr_device *d = gr_device_open("ref", 1);
    CHECK_STATUS(gr_device_measure(d, &l), GR_ERR_UNSUPPORTED);
    CHECK(strstr(gr_error(), "measure \"cpu\""));
    gr_device_close(d);
}
