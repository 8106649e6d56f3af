/* The GPU backend from below: heads of the dialect, the pool, the OpenCL driver, launches. What needs
 * OpenCL is skipped where there is none. */
#include "test.h"

#include "backend/gpu/families.h"
#include "base/dtype.h"
#include "op/attr.h"
#include "op/op.h"

#include <math.h>
#include <sys/stat.h>

/* ---- the dialect -------------------------------------------------------------------------------------------- */

static gr_status count_heads(void *user, const gr_gpu_head *h)
{
    CHECK_EQ_STR(h->name, "scale");
    CHECK_EQ_INT(h->group, 64);
    CHECK_EQ_INT(h->n, 5);
    CHECK(h->arg[0].access == GR_GPU_FAULT && h->arg[1].access == GR_GPU_IN && h->arg[2].access == GR_GPU_INOUT);
    CHECK_EQ_STR(h->arg[2].type, "f32");
    CHECK(h->arg[3].access == GR_GPU_VALUE && h->arg[4].access == GR_GPU_VALUE);
    CHECK_EQ_STR(h->arg[4].name, "factor");
    ++*(int *)user;
    return GR_OK;
}

TEST(heads_become_the_drivers)
{
    int heads = 0;
    gr_gpu_text t = {.status = GR_OK};
    CHECK_OK(gr_gpu_translate(&t,
                              "/* kernel of nothing */\n"
                              "kernel scale(fault, in T x,\n             inout f32 y, long n, float factor) group(64)\n"
                              "{\n    y[tid] = factor;\n}\n",
                              gr_gpu_opencl.head, count_heads, &heads));
    CHECK_EQ_INT(heads, 1);
    CHECK(strstr(t.s, "/* kernel of nothing */\n") == t.s);
    CHECK(strstr(t.s, "reqd_work_group_size(64, 1, 1))) kernel void scale(global char *fault_block"));
    CHECK(strstr(t.s, "global const T *x = (global const T *)(x_block + x_at);"));
    CHECK(strstr(t.s, "\n    y[tid] = factor;\n}\n"));
    gr_free(t.s);
}

TEST(heads_that_are_none)
{
    static const char *const bad[] = {
        "kernel (in T x) group(64)\n{\n}\n",  "kernel k(in T x, long) group(64)\n{\n}\n",
        "kernel k(in T x) group(48)\n{\n}\n", "kernel k(in T x) group(512)\n{\n}\n",
        "kernel k(in T x)\n{\n}\n",           "kernel k(read T x) group(64)\n{\n}\n",
        "kernel k(in T x group(64)",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        NOTE("%s", bad[i]);
        gr_gpu_text t = {.status = GR_OK};
        CHECK_STATUS(gr_gpu_translate(&t, bad[i], gr_gpu_opencl.head, NULL, NULL), GR_ERR_UNSUPPORTED);
        CHECK_ERROR(GR_ERR_UNSUPPORTED, "no head");
        gr_free(t.s);
    }
}

/* ---- the pool, on a driver that only counts ----------------------------------------------------------------- */

static struct {
    size_t have;
    int live, made;
} fake;

static gr_status fake_new(void *d, size_t size, void **block)
{
    (void)d;
    if (size > fake.have)
        return gr_fail(GR_ERR_MEMORY, "fake: no more");
    fake.have -= size;
    fake.live++;
    fake.made++;
    size_t *b = malloc(sizeof *b);
    *b = size;
    *block = b;
    return GR_OK;
}

static void fake_free(void *d, void *block)
{
    (void)d;
    fake.have += *(size_t *)block;
    fake.live--;
    free(block);
}

static gr_status fake_memory(void *d, size_t *left)
{
    (void)d;
    *left = fake.have;
    return GR_OK;
}

static const gr_gpu_driver fake_driver = {
    .name = "fake", .block_new = fake_new, .block_free = fake_free, .memory = fake_memory};

enum { PAGE = 1 << 20 };

TEST(pool_places_first_fit)
{
    gr_gpu_pool p;
    fake.have = 100 * PAGE;
    gr_gpu_pool_open(&p, &fake_driver, NULL, 16 * PAGE + 100);
    CHECK_EQ_INT(p.largest, 16 * PAGE);
    uint64_t a = gr_gpu_pool_alloc(&p, 1), b = gr_gpu_pool_alloc(&p, 300), c = gr_gpu_pool_alloc(&p, 0);
    CHECK(a && b == a + 256 && c == b + 512);
    CHECK_EQ_INT(fake.live, 1);
    gr_gpu_pool_free(&p, b, 300);
    uint64_t d = gr_gpu_pool_alloc(&p, 512), e = gr_gpu_pool_alloc(&p, 1);
    CHECK(d == b && e == c + 256);
    void *block;
    size_t offset, left;
    CHECK_OK(gr_gpu_pool_find(&p, d + 511, &block, &offset, &left));
    CHECK_EQ_INT(offset, 256 + 511);
    CHECK_EQ_INT(left, p.slabs[0].size - offset);
    gr_gpu_pool_free(&p, a, 1);
    gr_gpu_pool_free(&p, c, 0);
    gr_gpu_pool_free(&p, d, 512);
    CHECK_EQ_INT(p.slabs[0].n, 2);
    gr_gpu_pool_free(&p, e, 1);
    CHECK_EQ_INT(fake.live, 0);
    CHECK_STATUS(gr_gpu_pool_find(&p, d, &block, &offset, &left), GR_ERR_ARGUMENT);
    gr_gpu_pool_free(&p, 0, 100);
    gr_gpu_pool_close(&p);
    CHECK_EQ_INT(fake.have, 100 * PAGE);
}

TEST(pool_reserves_and_spans_slabs)
{
    gr_gpu_pool p;
    fake.have = 40 * PAGE;
    fake.made = 0;
    gr_gpu_pool_open(&p, &fake_driver, NULL, 8 * PAGE);
    CHECK_OK(gr_gpu_pool_reserve(&p, 28 * PAGE));
    CHECK_EQ_INT(fake.made, 4);
    uint64_t large = gr_gpu_pool_alloc(&p, 20 * PAGE); /* three slabs, one behind the other */
    CHECK(large != 0);
    CHECK_EQ_INT(fake.made, 4);
    void *block[3];
    size_t offset, left;
    for (int i = 0; i < 3; i++) {
        CHECK_OK(gr_gpu_pool_find(&p, large + (uint64_t)i * 8 * PAGE, &block[i], &offset, &left));
        CHECK_EQ_INT(offset, 0);
    }
    CHECK(block[0] != block[1] && block[1] != block[2]);
    uint64_t small = gr_gpu_pool_alloc(&p, 4 * PAGE), other = gr_gpu_pool_alloc(&p, 4 * PAGE);
    CHECK_EQ_INT(fake.made, 4);
    CHECK(small && other && small != other);
    CHECK_OK(gr_gpu_pool_left(&p, &left));
    CHECK_EQ_INT(left, 12 * PAGE);
    CHECK(gr_gpu_pool_alloc(&p, 16 * PAGE) == 0);
    CHECK_ERROR(GR_ERR_MEMORY, "need 16777216 bytes (16.0 MiB), have 12582912 (12.0 MiB)");
    CHECK_STATUS(gr_gpu_pool_reserve(&p, SIZE_MAX), GR_ERR_MEMORY);
    gr_gpu_pool_free(&p, large, 20 * PAGE);
    gr_gpu_pool_free(&p, small, 4 * PAGE);
    gr_gpu_pool_free(&p, other, 4 * PAGE);
    CHECK_EQ_INT(fake.live, 0);
    CHECK_OK(gr_gpu_pool_reserve(&p, 20 * PAGE));
    small = gr_gpu_pool_alloc(&p, PAGE);
    CHECK_EQ_INT(fake.live, 3);
    CHECK_OK(gr_gpu_pool_reserve(&p, 0)); /* what is not used goes */
    CHECK_EQ_INT(fake.live, 1);
    gr_gpu_pool_free(&p, small, PAGE);
    CHECK_EQ_INT(fake.live, 0);
    gr_gpu_pool_close(&p);
}

/* Random places do not overlap, lie within slabs, and all memory comes back. */
TEST(pool_keeps_places_apart)
{
    enum { N = 64, ROUNDS = 4000 };
    struct {
        uint64_t at;
        size_t size;
    } place[N] = {{0}};
    gr_gpu_pool p;
    uint32_t random = 1;
    fake.have = 1000 * PAGE;
    gr_gpu_pool_open(&p, &fake_driver, NULL, 4 * PAGE);
    for (int round = 0; round < ROUNDS; round++) {
        random = random * 1664525 + 1013904223;
        int i = (int)(random >> 16) % N;
        if (place[i].at) {
            gr_gpu_pool_free(&p, place[i].at, place[i].size);
            place[i].at = 0;
            continue;
        }
        place[i].size = (random >> 8) % (random & 64 ? 12 * PAGE : 1000);
        place[i].at = gr_gpu_pool_alloc(&p, place[i].size);
        CHECK(place[i].at && place[i].at % GR_ALLOC_ALIGN == 0);
        for (int k = 0; k < N; k++)
            CHECK(k == i || !place[k].at || place[k].at >= place[i].at + place[i].size ||
                  place[i].at >= place[k].at + place[k].size || !place[k].size || !place[i].size);
        for (size_t at = 0; at < place[i].size; at += 4 * PAGE) { /* pieces do not cross slabs */
            void *block;
            size_t offset, left, rest = place[i].size - at;
            CHECK_OK(gr_gpu_pool_find(&p, place[i].at + at, &block, &offset, &left));
            CHECK(left >= (rest < 4 * PAGE ? rest : 4 * PAGE));
        }
    }
    for (int i = 0; i < N; i++)
        gr_gpu_pool_free(&p, place[i].at, place[i].size);
    CHECK_EQ_INT(fake.live, 0);
    gr_gpu_pool_close(&p);
}

static gr_status use_pool(void *ctx)
{
    gr_gpu_pool p;
    (void)ctx;
    fake.have = 100 * PAGE;
    gr_gpu_pool_open(&p, &fake_driver, NULL, PAGE);
    uint64_t a = gr_gpu_pool_alloc(&p, 1000), b = a ? gr_gpu_pool_alloc(&p, 3 * PAGE) : 0;
    gr_status s = b ? GR_OK : gr_error_status();
    gr_gpu_pool_free(&p, b, 3 * PAGE);
    gr_gpu_pool_free(&p, a, 1000);
    gr_gpu_pool_close(&p);
    return s;
}

TEST(pool_without_memory)
{
    CHECK(SWEEP_ALLOCATIONS(use_pool, NULL) > 3);
}

/* ---- OpenCL ------------------------------------------------------------------------------------------------- */

static void open_gpu(gr_gpu *g)
{
    if (gr_gpu_opencl.count() == 0)
        SKIP("no OpenCL device (tools/setup --gpu)");
    CHECK_OK(gr_gpu_open(g, &gr_gpu_opencl, 0));
}

TEST(opencl_has_no_such_device)
{
    gr_gpu g;
    CHECK_STATUS(gr_gpu_open(&g, &gr_gpu_opencl, 99), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "there is no device 99");
}

TEST(opencl_memory)
{
    gr_gpu g;
    open_gpu(&g);
    CHECK(g.info.name[0] && g.info.units > 0 && g.info.largest >= PAGE && g.info.memory >= g.info.largest);
    enum { N = 5000 };
    unsigned char in[N], out[N];
    void *a, *b;
    size_t before, with;
    for (int i = 0; i < N; i++)
        in[i] = (unsigned char)(i * 7);
    CHECK_OK(gr_gpu_opencl.memory(g.device, &before));
    CHECK_OK(gr_gpu_opencl.block_new(g.device, N, &a));
    CHECK_OK(gr_gpu_opencl.block_new(g.device, 64 * PAGE, &b));
    CHECK_OK(gr_gpu_opencl.memory(g.device, &with));
    CHECK(before <= g.info.memory); /* what other programs take and give back meanwhile counts, too */
    CHECK(with + N + 64 * PAGE <= g.info.memory);
    CHECK_OK(gr_gpu_opencl.write(g.device, a, 0, in, N));
    CHECK_OK(gr_gpu_opencl.copy(g.device, b, 32, a, 1, N - 1));
    CHECK_OK(gr_gpu_opencl.fill(g.device, b, 64, 0xA5, 33));
    CHECK_OK(gr_gpu_opencl.read(g.device, out, b, 32, N - 1));
    for (int i = 0; i < N - 1; i++)
        CHECK_EQ_INT(out[i], i >= 32 && i < 65 ? 0xA5 : in[i + 1]);
    gr_gpu_opencl.block_free(g.device, a);
    gr_gpu_opencl.block_free(g.device, b);
    gr_gpu_close(&g);
    CHECK_EQ_INT(gr_opencl_live(), 0);
}

/* One call prepared and run, its result read. */
static gr_status run_call(gr_gpu *g, gr_call *call, gr_status (*run)(const gr_call *call), void *out, size_t size)
{
    gr_gpu_code code = {.n = 0};
    void *block;
    size_t offset, left;
    gr_device device = {.own = g};
    call->device = &device;
    g->code = &code;
    gr_status s = run(call);
    if (s == GR_OK)
        s = gr_gpu_run(g, &code, 0, code.n);
    if (s == GR_OK)
        s = gr_gpu_pool_find(&g->pool, gr_gpu_address(call->out), &block, &offset, &left);
    if (s == GR_OK)
        s = g->driver->read(g->device, out, block, offset, size);
    gr_gpu_code_clear(g, &code);
    return s;
}

static gr_operand operand(gr_gpu *g, gr_dtype dtype, int64_t n)
{
    return (gr_operand){
        .dtype = dtype, .ndim = 1, .shape = {n}, .stride = {1}, .address = gr_gpu_pool_alloc(&g->pool, (size_t)n * 8)};
}

static gr_status run_iota(const gr_call *call)
{
    return gr_gpu_source_kernels[1].run(call);
}

static gr_status run_fill(const gr_call *call)
{
    return gr_gpu_fill(call, call->out, -2.5);
}

TEST(launches)
{
    enum { N = 3001 };
    static const gr_dtype dtypes[] = {GR_F32, GR_F16, GR_BF16, GR_I64, GR_I32, GR_U8, GR_BOOL};
    gr_gpu g;
    open_gpu(&g);
    for (size_t k = 0; k < sizeof dtypes / sizeof *dtypes; k++) {
        char got[N * 8];
        const gr_dtype_info *d = gr_dtype_get(dtypes[k]);
        gr_operand y = operand(&g, dtypes[k], N);
        gr_call call = {.n_out = 1, .out = &y};
        CHECK(y.address);
        CHECK_OK(run_call(&g, &call, run_iota, got, (size_t)(N * d->block_bytes)));
        for (int i = 0; i < N; i++) {
            char want[8] = {0};
            d->store(want, 0, dtypes[k] == GR_U8 ? i & 255 : i);
            NOTE("%s[%d]", d->name, i);
            CHECK(memcmp(got + i * d->block_bytes, want, (size_t)d->block_bytes) == 0);
        }
        CHECK_OK(run_call(&g, &call, run_fill, got, (size_t)(N * d->block_bytes)));
        for (int i = 0; i < N; i++) {
            char want[8] = {0};
            d->store(want, 0, -2.5);
            CHECK(memcmp(got + i * d->block_bytes, want, (size_t)d->block_bytes) == 0);
        }
    }
    gr_gpu_close(&g);
    CHECK_EQ_INT(gr_opencl_live(), 0);
}

static void put(gr_gpu *g, const gr_operand *to, const void *data, size_t size)
{
    void *block;
    size_t offset, left;
    CHECK_OK(gr_gpu_pool_find(&g->pool, gr_gpu_address(to), &block, &offset, &left));
    CHECK_OK(g->driver->write(g->device, block, offset, data, size));
}

/* out = transposed(in[0]), and then out = out * in[1], which is one row; both unless the program has failed. */
static gr_status turn_and_scale(const gr_call *call)
{
    gr_operand turned = call->in[0];
    turned.shape[0] = call->in[0].shape[1];
    turned.shape[1] = call->in[0].shape[0];
    turned.stride[0] = 1;
    turned.stride[1] = call->in[0].shape[1];
    gr_status s = gr_gpu_copy(call, call->out, &turned, true);
    gr_operand in[] = {call->out[0], call->in[1]};
    return s == GR_OK ? gr_gpu_apply(call, &gr_op_mul, NULL, in, 2, call->out, true) : s;
}

TEST(guarded_kernels_do_nothing_after_a_fault)
{
    enum { ROWS = 37, COLS = 21, N = ROWS * COLS };
    float x[N], row[ROWS], out[N];
    int32_t word[12] = {0};
    gr_gpu g;
    open_gpu(&g);
    gr_operand in[] = {operand(&g, GR_F32, N), operand(&g, GR_F32, ROWS)}, y = operand(&g, GR_F32, N);
    gr_operand fault = operand(&g, GR_I32, 12);
    in[0].ndim = y.ndim = 2;
    in[0].shape[0] = y.shape[1] = y.stride[0] = ROWS;
    in[0].shape[1] = y.shape[0] = in[0].stride[0] = COLS;
    in[0].stride[1] = y.stride[1] = 1;
    for (int i = 0; i < N; i++)
        x[i] = (float)i;
    for (int i = 0; i < ROWS; i++)
        row[i] = (float)(i % 5) - 2;
    put(&g, &in[0], x, sizeof x);
    put(&g, &in[1], row, sizeof row);
    g.fault = gr_gpu_address(&fault);
    gr_call call = {.n_in = 2, .in = in, .n_out = 1, .out = &y};
    for (int failed = 0; failed < 2; failed++) {
        word[0] = failed;
        put(&g, &fault, word, sizeof word);
        put(&g, &y, x, sizeof x);
        CHECK_OK(run_call(&g, &call, turn_and_scale, out, sizeof out));
        for (int i = 0; i < N; i++)
            CHECK(out[i] == (failed ? x[i] : x[i % ROWS * COLS + i / ROWS] * row[i % ROWS]));
    }
    gr_gpu_close(&g);
}

static gr_status run_check(const gr_call *call)
{
    return gr_launch_check(call, &call->in[0], 1, 0, 10, -100);
}

TEST(the_first_bad_index_is_found)
{
    enum { N = 700 };
    int64_t index[N];
    struct {
        int32_t step, what;
        int64_t value, position, low, limit;
    } f;
    gr_gpu g;
    void *block;
    size_t offset, left;
    open_gpu(&g);
    gr_operand x = operand(&g, GR_I64, N), word = operand(&g, GR_U8, sizeof f);
    gr_call call = {.n_in = 1, .in = &x, .n_out = 1, .out = &word};
    g.fault = gr_gpu_address(&word);
    g.step = 6;
    for (int bad = -1; bad < N; bad += 350) {
        for (int i = 0; i < N; i++)
            index[i] = i % 11 == 10 ? -100 : i % 11;
        for (int i = bad; i >= 0 && i < N; i += 3)
            index[i] = 10 + i;
        memset(&f, 0, sizeof f);
        CHECK_OK(gr_gpu_pool_find(&g.pool, g.fault, &block, &offset, &left));
        CHECK_OK(g.driver->write(g.device, block, offset, &f, sizeof f));
        CHECK_OK(gr_gpu_pool_find(&g.pool, gr_gpu_address(&x), &block, &offset, &left));
        CHECK_OK(g.driver->write(g.device, block, offset, index, sizeof index));
        CHECK_OK(run_call(&g, &call, run_check, &f, sizeof f));
        CHECK_EQ_INT(f.step, bad < 0 ? 0 : 7);
        CHECK_EQ_INT(f.what, bad < 0 ? 0 : 1);
        CHECK_EQ_INT(f.position, bad < 0 ? 0 : bad);
        CHECK_EQ_INT(f.value, bad < 0 ? 0 : 10 + bad);
        CHECK_EQ_INT(f.limit, bad < 0 ? 0 : 10);
    }
    gr_gpu_close(&g);
}

/* What samples of ops do not hold: integers, which wrap around, and floats that are none. By one item, and by a group. */
static const gr_kernel *kernel_of(const gr_kernel *table, const gr_op *op)
{
    while (table->op != op)
        table++;
    return table;
}

static void reduce(gr_gpu *g, const gr_op *op, gr_dtype dtype, const void *data, int64_t n, void *out, size_t size)
{
    gr_operand x = operand(g, dtype, n), y = operand(g, op == &gr_op_argmax ? GR_I64 : dtype, 1);
    gr_call call = {.op = op, .attr = &(gr_reduce_attr){.axes = 1}, .n_in = 1, .n_out = 1, .in = &x, .out = &y};
    y.ndim = 0;
    NOTE("%s of %d %s", op->name, (int)n, gr_dtype_name(dtype));
    put(g, &x, data, gr_dtype_size(dtype, n));
    CHECK_OK(run_call(g, &call, kernel_of(gr_gpu_reduce_kernels, op)->run, out, size));
}

TEST(reductions_of_integers_and_of_no_numbers)
{
    enum { N = 300, FEW = 3 };
    int64_t whole[N], sum = 0, got;
    float real[N], f;
    uint8_t bytes[N], byte;
    gr_gpu g;
    open_gpu(&g);
    for (int i = 0; i < N; i++) {
        whole[i] = i == 7 ? INT64_MAX : i;
        bytes[i] = (uint8_t)(i + 200);
        sum = (int64_t)((uint64_t)sum + (uint64_t)whole[i]);
        real[i] = (float)-i;
    }
    reduce(&g, &gr_op_sum, GR_I64, whole, N, &got, sizeof got);
    CHECK_EQ_INT(got, sum);
    reduce(&g, &gr_op_reduce_max, GR_I64, whole, N, &got, sizeof got);
    CHECK(got == INT64_MAX);
    reduce(&g, &gr_op_sum, GR_U8, bytes, FEW, &byte, sizeof byte);
    CHECK_EQ_INT(byte, (200 + 201 + 202) & 255);
    for (int n = FEW; n <= N; n += N - FEW) {
        real[1] = INFINITY;
        real[2] = -2;
        reduce(&g, &gr_op_sum, GR_F32, real, n, &f, sizeof f);
        CHECK(f == INFINITY);
        reduce(&g, &gr_op_argmax, GR_F32, real, n, &got, sizeof got);
        CHECK_EQ_INT(got, 1);
        real[2] = NAN;
        reduce(&g, &gr_op_reduce_max, GR_F32, real, n, &f, sizeof f);
        CHECK(isnan(f));
        reduce(&g, &gr_op_argmax, GR_F32, real, n, &got, sizeof got);
        CHECK_EQ_INT(got, 2);
        real[2] = -INFINITY;
        reduce(&g, &gr_op_sum, GR_F32, real, n, &f, sizeof f);
        CHECK(isnan(f));
    }
    gr_gpu_close(&g);
}

/* Every kernel that writes store tensors looks at the error word, and optimizers at the scale. */
enum { EFFECT_N = 8, GOOD = 0, FAILED, NO_SCALE, STATES };

static void check_effect(gr_gpu *g, const gr_kernel *k, gr_call *call, int state)
{
    static const float threes[EFFECT_N] = {3, 3, 3, 3, 3, 3, 3, 3};
    float one = state == NO_SCALE ? NAN : 1, got[EFFECT_N];
    gr_operand moment = call->in[2];
    bool is_step = k->op == &gr_op_sgd || k->op == &gr_op_adamw || k->op == &gr_op_lion;
    gr_fault word = {.step = state == FAILED};
    NOTE("%s, state %d", k->op->name, state);
    put(g, &(gr_operand){.address = g->fault}, &word, sizeof word);
    put(g, &call->in[0], threes, sizeof threes);
    if (is_step) {
        put(g, &moment, threes, sizeof threes);
        put(g, &call->in[call->n_in - 1], &one, sizeof one);
    }
    for (int i = 0; i <= is_step; i++) {
        call->out = i ? &moment : &call->in[0];
        CHECK_OK(run_call(g, call, k->run, got, sizeof got));
        for (int e = 0; e < EFFECT_N; e++)
            CHECK((got[e] == 3) == (state != GOOD));
    }
}

TEST(a_failed_program_writes_nothing)
{
    static const gr_sgd_attr sgd = {0.5f, 0.25f};
    static const gr_adamw_options adamw = {sizeof adamw, 0.5f, 0.25f, 1e-3f, 0.125f, 0};
    static const gr_lion_attr lion = {0.5f, 0.25f, 0.125f};
    static const float ones[EFFECT_N] = {1, 1, 1, 1, 1, 1, 1, 1};
    static const int64_t slots[EFFECT_N] = {1, 2, 3, 4, 5, 6, 7, 0}; /* the first is adamw's step, too */
    gr_gpu g;
    open_gpu(&g);
    gr_operand vector[4], word = operand(&g, GR_U8, sizeof(gr_fault)), index = operand(&g, GR_I64, EFFECT_N);
    gr_operand lr = operand(&g, GR_F32, 1), scale = operand(&g, GR_F32, 1);
    g.fault = word.address;
    put(&g, &index, slots, sizeof slots);
    put(&g, &lr, ones, sizeof *ones);
    for (int i = 0; i < 4; i++) {
        vector[i] = operand(&g, GR_F32, EFFECT_N);
        vector[i].ndim = 2;
        vector[i].shape[0] = 1;
        vector[i].shape[1] = vector[i].stride[0] = EFFECT_N;
        vector[i].stride[1] = 1;
        put(&g, &vector[i], ones, sizeof ones);
    }
    gr_operand rows[] = {vector[0], vector[1], index}, sgd_in[] = {vector[0], vector[1], vector[2], lr, scale};
    rows[2].ndim = 2;
    rows[2].shape[0] = 1;
    rows[2].shape[1] = EFFECT_N;
    gr_operand adamw_in[] = {vector[0], vector[1], vector[2], vector[3], lr, index, scale};
    for (const gr_kernel *k = gr_gpu_update_kernels; k->op; k++) {
        gr_call call = {.op = k->op, .n_in = 2, .n_out = 1, .in = rows};
        if (k->op == &gr_op_write_rows)
            call.n_in = 3;
        else if (k->op == &gr_op_sgd)
            call = (gr_call){.op = k->op, .attr = &sgd, .n_in = 5, .n_out = 1, .in = sgd_in};
        else if (k->op == &gr_op_adamw)
            call = (gr_call){.op = k->op, .attr = &adamw, .n_in = 7, .n_out = 1, .in = adamw_in};
        else if (k->op == &gr_op_lion)
            call = (gr_call){.op = k->op, .attr = &lion, .n_in = 5, .n_out = 1, .in = sgd_in};
        for (int state = GOOD; state < (call.n_in > 3 ? STATES : NO_SCALE); state++)
            check_effect(&g, k, &call, state);
    }
    gr_gpu_close(&g);
}

/* Source that does not compile, kernels that are not there: errors that say so. */
static gr_status launch_text(const gr_call *call)
{
    gr_launch l;
    gr_launch_begin(&l, call, "check", call->attr ? "no_such_kernel" : "broken");
    l.text = call->attr ? NULL : "kernel broken(out T y) group(64)\n{\n    y[0] = not_there;\n}\n";
    gr_launch_dtype(&l, "T", GR_F32);
    gr_launch_dtype(&l, "I", GR_I64);
    gr_launch_operand(&l, call->out);
    return gr_launch_items(&l, 1);
}

TEST(kernels_that_do_not_compile)
{
    gr_gpu g;
    char out[8];
    open_gpu(&g);
    gr_operand y = operand(&g, GR_F32, 1);
    gr_call call = {.n_out = 1, .out = &y};
    CHECK_STATUS(run_call(&g, &call, launch_text, out, 4), GR_ERR_UNSUPPORTED);
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "compiling kernels");
    call.attr = "";
    CHECK_STATUS(run_call(&g, &call, launch_text, out, 4), GR_ERR_UNSUPPORTED);
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "no kernel \"no_such_kernel\"");
    gr_gpu_close(&g);
    CHECK_EQ_INT(gr_opencl_live(), 0);
}

static gr_status use_opencl(void *ctx)
{
    gr_gpu g;
    float out[100];
    (void)ctx;
    gr_status s = gr_gpu_open(&g, &gr_gpu_opencl, 0);
    if (s != GR_OK)
        return s;
    gr_operand y = operand(&g, GR_F32, 100);
    gr_call call = {.n_out = 1, .out = &y};
    s = y.address ? run_call(&g, &call, run_iota, out, sizeof out) : gr_error_status();
    gr_gpu_close(&g);
    return s;
}

TEST(every_call_of_opencl_can_fail)
{
    gr_gpu g;
    open_gpu(&g);
    gr_gpu_close(&g);
    for (int64_t n = 1, reached = 1; reached; n++) {
        NOTE("call %d", (int)n);
        int64_t blocks = gr_mem_read_stats().live_blocks;
        gr_error_clear();
        gr_opencl_fail_at(n);
        gr_status s = use_opencl(NULL);
        reached = gr_opencl_fail_at(0) == 0;
        CHECK_EQ_INT(gr_mem_read_stats().live_blocks, blocks);
        CHECK_EQ_INT(gr_opencl_live(), 0);
        CHECK((s == GR_OK) == !gr_error()[0]);
        CHECK(reached || (s == GR_OK && n > 30));
    }
}

TEST(kernels_are_compiled_once)
{
    gr_gpu g;
    float out[100];
    open_gpu(&g);
    gr_operand y = operand(&g, GR_F32, 100);
    gr_call call = {.n_out = 1, .out = &y};
    for (int turn = 0; turn < 2; turn++)
        CHECK_OK(run_call(&g, &call, run_iota, out, sizeof out));
    CHECK(out[99] == 99);
    CHECK_EQ_INT(g.counts.lookups, 2);
    CHECK_EQ_INT(g.counts.builds, 1);
    gr_gpu_close(&g);
}
