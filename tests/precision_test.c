/* Mixed precision: what the pass does to the graphs of every architecture, and that their numbers stay what they are but
 * for rounding, on every device. */
#include "tiny.h"

#include "base/dtype.h"
#include "format/safetensors.h"
#include "model/arch/list.h"
#include "model/layers/model.h"
#include "op/attr.h"
#include "op/op.h"
#include "pass/pass.h"
#include "program/program.h"
#include "program/store.h"

#define TYPE(type) #type,
static const char *const types[] = {GR_ARCHS(TYPE)};
enum { N_TYPES = sizeof types / sizeof types[0], BATCH = 2, LENGTH = 6, MOST = 128 };

static const gr_precision precisions[] = {GR_PRECISION_BF16, GR_PRECISION_FP16};
static const double unit[] = {0x1p-8, 0x1p-11}; /* of rounding once */

/* ---- records ------------------------------------------------------------------------------------------------ */

TEST(every_record_says_its_precision)
{
    for (int i = 0; gr_op_list(i); i++)
        if (gr_op_list(i)->precision < GR_LOW || gr_op_list(i)->precision > GR_WIDEST)
            FAIL("the record of %s has no precision", gr_op_list(i)->name);
}

/* ---- graphs ------------------------------------------------------------------------------------------------- */

/* A step of training: loss and the gradients of all weights. */
typedef struct step {
    gr_device *device;
    gr_model *model;
    gr_graph *graph;
    gr_tensor *out[MOST + 1];
    int n; /* outputs */
} step;

static void build_step(step *s, int64_t length)
{
    gr_tensor *params[MOST];
    gr_store *weights = gr_model_trainable(s->model);
    int64_t shape[] = {BATCH, length};
    s->graph = gr_graph_new();
    gr_forward f = {.size = sizeof f, .tokens = gr_input(s->graph, "tokens", GR_I32, 2, shape)};
    gr_tensor *targets = gr_input(s->graph, "targets", GR_I32, 2, shape);
    s->out[0] = gr_cross_entropy(gr_model_forward(s->model, &f), targets, -100);
    int count = gr_store_count(weights);
    CHECK(count < MOST);
    for (int i = 0; i < count; i++) {
        gr_entry e = GR_INIT(gr_entry);
        CHECK_OK(gr_store_entry(weights, i, &e));
        params[i] = gr_param(s->graph, weights, e.name);
    }
    CHECK_OK(gr_grad(s->out[0], params, s->out + 1, count));
    s->n = count + 1;
}

static step open_step(const char *device, int threads, const char *type, const char *adapter)
{
    step s = {.device = gr_device_open(device, threads)};
    s.model = tiny_model(type, s.device);
    CHECK_MADE(s.model);
    gr_lora_options lora = GR_INIT(gr_lora_options);
    lora.targets = &adapter;
    lora.n_targets = 1;
    if (adapter)
        CHECK_OK(gr_model_add_adapter(s.model, &lora));
    build_step(&s, LENGTH);
    return s;
}

static void close_step(step *s)
{
    gr_graph_free(s->graph);
    gr_model_free(s->model);
    gr_device_close(s->device);
}

/* What may stay f32 where 16 bits are asked for: weights, and what is computed in f32 throughout. */
static bool may_be_wide(const gr_tensor *t)
{
    const gr_tensor *behind = gr_behind_views(t);
    const gr_op *op = behind->source ? behind->source->op : behind->op;
    return gr_is_version(behind) || op->precision == GR_HIGH;
}

typedef struct count {
    int products, low, weights, sums, casts;
} count;

static void check_node(const gr_tensor *t, gr_dtype low, count *c)
{
    char label[256];
    gr_tensor_label(t, label, sizeof label);
    unsigned word = t->op->precision;
    for (int k = 0; k < t->n_in; k++) {
        if (!t->in[k] || !gr_dtype_get(t->in[k]->spec.dtype)->is_float || (t->op->uncast >> k & 1))
            continue;
        bool is_low = t->in[k]->spec.dtype == low, is_product = t->op == &gr_op_matmul;
        if (word == GR_LOW && !is_low && !(is_product && may_be_wide(t->in[k])))
            FAIL("%s (%s): input %d is %s", label, t->op->name, k, gr_dtype_name(t->in[k]->spec.dtype));
        if (word == GR_HIGH && is_low)
            FAIL("%s (%s): input %d is %s", label, t->op->name, k, gr_dtype_name(low));
        if (word == GR_INSIDE && !is_low)
            FAIL("%s (%s): input %d is %s", label, t->op->name, k, gr_dtype_name(t->in[k]->spec.dtype));
        c->low += is_product && is_low;
        c->weights += is_product && gr_is_version(gr_behind_views(t->in[k]));
        c->sums += is_product && !is_low && !gr_is_version(gr_behind_views(t->in[k]));
    }
    c->products += t->op == &gr_op_matmul;
}

/* One cast of a tensor to a dtype serves all. */
static void check_casts(const gr_graph *g, count *c)
{
    for (size_t i = 0; i < g->n; i++) {
        const gr_tensor *t = g->nodes[i];
        if (t->op != &gr_op_cast)
            continue;
        c->casts++;
        for (size_t j = 0; j < i; j++)
            if (g->nodes[j]->op == &gr_op_cast && g->nodes[j]->in[0] == t->in[0] &&
                g->nodes[j]->spec.dtype == t->spec.dtype)
                FAIL("%zu and %zu are equal casts of %s", j, i, t->in[0]->op->name);
    }
}

static void check_pass(const char *type, const char *adapter)
{
    for (int p = 0; p < 2; p++) {
        NOTE("%s%s in %s", type, adapter ? " with an adapter" : "", gr_dtype_name(gr_precision_dtype(precisions[p])));
        step s = open_step("ref", 1, type, adapter);
        gr_dtype low = gr_precision_dtype(precisions[p]);
        count c = {0};
        gr_graph *g = gr_pass_precision(s.graph, s.out, s.n, &(gr_target){.precision = precisions[p]});
        CHECK_MADE(g);
        for (size_t i = 0; i < g->n; i++)
            check_node(g->nodes[i], low, &c);
        check_casts(g, &c);
        for (int i = 0; i < s.n; i++)
            CHECK_EQ_INT(s.out[i]->spec.dtype, GR_F32);
        CHECK(c.products > 10 && c.low > c.products / 2);
        printf("%s%s, %s: %d products of %d 16-bit operands, %d f32 weights, %d f32 gradients of the loss; %d casts\n",
               type, adapter ? " with an adapter" : "", gr_dtype_name(low), c.products, c.low, c.weights, c.sums,
               c.casts);
        gr_graph_free(g);
        close_step(&s);
    }
}

TEST(the_pass_alone)
{
    for (int i = 0; i < N_TYPES; i++) {
        check_pass(types[i], NULL);
        check_pass(types[i], "all-linear");
    }
}

/* What a caller may ask for that models do not: a result that is low already, casts to what is there and to blocks, a sum
 * that a product is added to. */
static gr_program *compile_odd(gr_device *device, gr_store *store, gr_precision precision)
{
    enum { ROOTS = 4 };
    gr_compile_options o = GR_INIT(gr_compile_options);
    gr_graph *g = gr_graph_new();
    gr_tensor *x = g ? gr_softmax(gr_param(g, store, "x")) : NULL;
    gr_tensor *sums = x ? gr_matmul(x, x, true, false) : NULL;
    gr_tensor *in[] = {sums, x, x}, *narrow = gr_cast(x, GR_BF16);
    gr_tensor *added = sums ? gr_node(g, &gr_op_addmm, in, 3, &(gr_matmul_attr){.transpose_a = true}) : NULL;
    gr_tensor *out[ROOTS] = {x, narrow, gr_cast(gr_cast(x, GR_Q8_0), GR_F32), gr_softmax(added)};
    o.precision = precision;
    gr_program *p = out[3] ? gr_compile(g, out, ROOTS, device, &o) : NULL;
    gr_graph_free(g);
    return p;
}

enum { ODD = 64 }; /* values: 2 rows of 32, and of the product 32 x 32 */

typedef struct odd {
    float x[ODD], blocks[ODD], added[32 * 32];
    uint16_t narrow[ODD];
} odd;

static odd run_odd(gr_device *device, gr_store *store, gr_precision precision)
{
    odd r;
    gr_program *p = compile_odd(device, store, precision);
    CHECK_MADE(p);
    CHECK_OK(gr_program_run(p, NULL, (void *[]){r.x, r.narrow, r.blocks, r.added}));
    gr_program_free(p);
    return r;
}

TEST(what_is_asked_for_keeps_its_dtype)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_store *store = gr_store_new(device);
    float x[ODD];
    for (int i = 0; i < ODD; i++)
        x[i] = (float)(i * 37 % 11) / 4;
    CHECK_OK(gr_store_add(store, "x", GR_WEIGHT, GR_F32, 2, (int64_t[]){2, ODD / 2}));
    CHECK_OK(gr_store_write(store, "x", x, sizeof x));
    odd wide = run_odd(device, store, GR_PRECISION_F32), low = run_odd(device, store, GR_PRECISION_BF16);
    for (int i = 0; i < ODD; i++) {
        uint32_t bits;
        memcpy(&bits, &low.x[i], sizeof bits);
        CHECK_EQ_INT(bits, (uint32_t)low.narrow[i] << 16); /* one rounding, seen twice */
        CHECK_EQ_INT(low.narrow[i], wide.narrow[i]);
        CHECK_NEAR(low.blocks[i], wide.blocks[i], 2e-3);
    }
    for (int i = 0; i < 32 * 32; i++)
        CHECK_NEAR(low.added[i], wide.added[i], 1e-3);
    bool is_made = false;
    for (int64_t at = 1; !is_made; at++) {
        int64_t before = gr_mem_read_stats().live_blocks;
        NOTE("allocation %d", (int)at);
        gr_mem_fail_at(at);
        gr_program *p = compile_odd(device, store, GR_PRECISION_BF16);
        gr_mem_fail_at(0);
        is_made = p;
        if (!p)
            CHECK_EQ_INT(gr_error_status(), GR_ERR_MEMORY);
        gr_program_free(p);
        CHECK_EQ_INT(gr_mem_read_stats().live_blocks, before);
    }
    gr_store_free(store);
    gr_device_close(device);
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

typedef struct numbers {
    float loss, *grad[MOST];
    size_t count[MOST];
    int n;
} numbers;

static numbers run_built(step *s, gr_precision precision, const gr_token *tokens, const gr_token *targets)
{
    numbers r = {.n = s->n - 1};
    gr_compile_options o = GR_INIT(gr_compile_options);
    o.precision = precision;
    gr_program *p = gr_compile(s->graph, s->out, s->n, s->device, &o);
    CHECK_MADE(p);
    void *out[MOST + 1] = {&r.loss};
    for (int i = 0; i < r.n; i++) {
        r.count[i] = (size_t)gr_spec_count(&s->out[i + 1]->spec);
        out[i + 1] = r.grad[i] = malloc(r.count[i] * sizeof(float));
    }
    CHECK_OK(gr_program_run(p, (const void *[]){tokens, targets}, out));
    gr_program_free(p);
    return r;
}

static numbers run_step(const char *device, int threads, const char *type, gr_precision precision)
{
    step s = open_step(device, threads, type, NULL);
    int32_t ids[BATCH * LENGTH + 1];
    tiny_ids(ids, BATCH * LENGTH + 1);
    numbers r = run_built(&s, precision, ids, ids + 1);
    close_step(&s);
    return r;
}

static void free_numbers(numbers *r)
{
    for (int i = 0; i < r->n; i++)
        free(r->grad[i]);
}

/* How far the gradients are apart, as a share of their length. */
static double distance(const numbers *a, const numbers *b)
{
    double off = 0, length = 0;
    for (int i = 0; i < a->n; i++)
        for (size_t k = 0; k < a->count[i]; k++) {
            double x = (double)a->grad[i][k], y = (double)b->grad[i][k];
            off += (x - y) * (x - y);
            length += y * y;
        }
    return sqrt(off / length);
}

/* Near f32 on every device, and not f32. */
TEST(losses_and_gradients)
{
    static const char *const devices[] = {"ref", "cpu", "far"};
    for (int i = 0; i < N_TYPES; i++) {
        numbers exact = run_step("ref", 1, types[i], GR_PRECISION_F32);
        for (int p = 0; p < 2; p++)
            for (int d = 0; d < 3; d++) {
                NOTE("%s, precision %d on %s", types[i], (int)precisions[p], devices[d]);
                numbers r = run_step(devices[d], 2, types[i], precisions[p]);
                CHECK_NEAR(r.loss, exact.loss, 2 * unit[p]);
                double off = distance(&r, &exact);
                if (!(off > 0 && off < 24 * unit[p]))
                    FAIL("gradients are off by %g of their length", off);
                free_numbers(&r);
            }
        free_numbers(&exact);
    }
}

/* ---- PyTorch's ---------------------------------------------------------------------------------------------- */

enum { GOLDEN_LENGTH = 16, GOLDEN_STEPS = 20 };

typedef struct golden {
    gr_safetensors *amp; /* tools/oracle/make_amp.py */
    gr_token tokens[BATCH * GOLDEN_LENGTH], targets[BATCH * GOLDEN_LENGTH];
} golden;

static const char llama[] = "tests/data/models/llama";

static golden open_golden(void)
{
    golden g = {.amp = gr_safetensors_open(test_source("tests/data/amp.safetensors"))};
    gr_safetensors *expected = gr_safetensors_open(test_join(test_source(llama), "expected.safetensors"));
    CHECK_MADE(g.amp);
    CHECK_MADE(expected);
    const gr_weight *ids = gr_safetensors_find(expected, "ids");
    CHECK_EQ_INT(ids->bytes, BATCH * GOLDEN_LENGTH * sizeof(int64_t));
    for (int i = 0; i < BATCH * GOLDEN_LENGTH; i++) { /* the last token of a row predicts nothing */
        g.tokens[i] = (gr_token)((const int64_t *)ids->data)[i];
        g.targets[i] = (i + 1) % GOLDEN_LENGTH ? (gr_token)((const int64_t *)ids->data)[i + 1] : -100;
    }
    gr_safetensors_close(expected);
    return g;
}

static const float *golden_values(const golden *g, const char *kind, const char *name)
{
    char full[300];
    snprintf(full, sizeof full, "%s.%s", kind, name);
    const gr_weight *t = gr_safetensors_find(g->amp, full);
    if (!t)
        FAIL("amp.safetensors has no %s", full);
    return t->data;
}

/* The largest difference of any element, as a share of the largest value. */
static double off_by(const float *a, const float *b, size_t n)
{
    double largest = 0, off = 0;
    for (size_t k = 0; k < n; k++) {
        largest = fmax(largest, fabs((double)b[k]));
        off = fmax(off, fabs((double)a[k] - (double)b[k]));
    }
    return off / largest;
}

TEST(gradients_of_a_llama_under_autocast)
{
    golden g = open_golden();
    step s = {.device = gr_device_open("cpu", 2)};
    s.model =
        gr_model_load(test_source(llama), &(gr_load_options){.size = sizeof(gr_load_options), .widen = true}, s.device);
    CHECK_MADE(s.model);
    build_step(&s, GOLDEN_LENGTH);
    numbers r = run_built(&s, GR_PRECISION_BF16, g.tokens, g.targets);
    double ours = 0, theirs = 0, apart = 0;
    for (int i = 0; i < r.n; i++) {
        gr_entry e = GR_INIT(gr_entry);
        CHECK_OK(gr_store_entry(gr_model_store(s.model), i, &e));
        const float *exact = golden_values(&g, "grad.f32", e.name), *amp = golden_values(&g, "grad.bf16", e.name);
        ours = fmax(ours, off_by(r.grad[i], exact, r.count[i]));
        theirs = fmax(theirs, off_by(amp, exact, r.count[i]));
        apart = fmax(apart, off_by(r.grad[i], amp, r.count[i]));
    }
    printf("bf16 from f32: %.4f here, %.4f in PyTorch; from each other: %.4f\n", ours, theirs, apart);
    /* Where products are of bf16, weights and the loss's gradient are rounded as PyTorch's are; else they are exact. */
    gr_device_info d = GR_INIT(gr_device_info);
    CHECK_OK(gr_device_describe(s.device, &d));
    CHECK(ours <= theirs * (d.multiplies_bf16 ? 1.1 : 0.6));
    CHECK(apart <= 2 * theirs);
    free_numbers(&r);
    gr_safetensors_close(g.amp);
    close_step(&s);
}

TEST(twenty_steps_of_a_llama_under_autocast)
{
    golden g = open_golden();
    gr_device *device = gr_device_open("cpu", 2);
    gr_model *m =
        gr_model_load(test_source(llama), &(gr_load_options){.size = sizeof(gr_load_options), .widen = true}, device);
    CHECK_MADE(m);
    gr_train_options o = GR_INIT(gr_train_options);
    gr_train_fill_defaults(&o);
    o.batch = BATCH;
    o.context = GOLDEN_LENGTH;
    o.steps = GOLDEN_STEPS;
    o.schedule = GR_CONSTANT;
    o.warmup = 0;
    o.clip = 0;
    o.precision = GR_PRECISION_BF16;
    gr_trainer *t = gr_trainer_new(m, &o);
    CHECK_MADE(t);
    const float *want = golden_values(&g, "losses", "bf16"), *exact = golden_values(&g, "losses", "f32");
    for (int i = 0; i < GOLDEN_STEPS; i++) {
        gr_step_report r = GR_INIT(gr_step_report);
        CHECK_OK(gr_trainer_step(t, &(gr_batch){g.tokens, g.targets, NULL}, &r));
        NOTE("step %d, in f32 %.6f", i + 1, (double)exact[i]);
        CHECK_NEAR(r.loss, want[i], 1e-2);
    }
    gr_trainer_free(t);
    gr_model_free(m);
    gr_device_close(device);
    gr_safetensors_close(g.amp);
}

/* ---- threads ------------------------------------------------------------------------------------------------ */

TEST(any_number_of_threads)
{
    for (int i = 0; i < N_TYPES; i++)
        for (int p = 0; p < 2; p++) {
            numbers one = run_step("cpu", 1, types[i], precisions[p]);
            for (int threads = 2; threads <= 4; threads += 2) {
                NOTE("%s, precision %d, %d threads", types[i], (int)precisions[p], threads);
                numbers more = run_step("cpu", threads, types[i], precisions[p]);
                CHECK(one.loss == more.loss && distance(&one, &more) == 0);
                free_numbers(&more);
            }
            free_numbers(&one);
        }
}

/* ---- products of several dtypes ----------------------------------------------------------------------------- */

/* Every dtype of both operands and of the result, shapes for each way of the kernel. */
static void check_product(const char *device, gr_dtype a, gr_dtype b, gr_dtype y, int64_t m, int64_t n, int64_t k,
                          int flip, bool rounds)
{
    gr_device *on[] = {gr_device_open("ref", 1), gr_device_open(device, 2)};
    float *out[2], *in = malloc((size_t)(m * k + k * n) * sizeof *in);
    for (int64_t i = 0; i < m * k + k * n; i++)
        in[i] = (float)((i * 7919) % 1009 - 504) / 504;
    for (int d = 0; d < 2; d++) {
        gr_graph *g = gr_graph_new();
        bool ta = flip & 1, tb = flip & 2;
        gr_tensor *x[] = {gr_cast(gr_input(g, "a", GR_F32, 2, (int64_t[]){ta ? k : m, ta ? m : k}), a),
                          gr_cast(gr_input(g, "b", GR_F32, 2, (int64_t[]){tb ? n : k, tb ? k : n}), b)};
        gr_matmul_attr t = {.transpose_a = ta, .transpose_b = tb, .says = true, .result = y, .rounds = rounds};
        gr_tensor *r = gr_node(g, &gr_op_matmul, x, 2, &t);
        CHECK_MADE(r);
        CHECK_EQ_INT(r->spec.dtype, y);
        r = gr_cast(r, GR_F32);
        gr_program *p = gr_compile(g, &r, 1, on[d], NULL);
        CHECK_MADE(p);
        out[d] = malloc((size_t)(m * n) * sizeof **out);
        CHECK_OK(gr_program_run(p, (const void *[]){in, in + m * k}, (void *[]){out[d]}));
        gr_program_free(p);
        gr_graph_free(g);
        gr_device_close(on[d]);
    }
    double rounding = y == GR_BF16 ? 0x1p-7 : y == GR_F16 ? 0x1p-10 : 0;
    for (int64_t i = 0; i < m * n; i++)
        CHECK_NEAR(out[1][i], out[0][i], fabs((double)out[0][i]) * rounding + 1e-6 * (double)k);
    free(out[0]);
    free(out[1]);
    free(in);
}

TEST(products_of_several_dtypes)
{
    static const gr_dtype dtypes[] = {GR_F32, GR_F16, GR_BF16};
    static const int64_t shapes[][3] = {{1, 70, 33},    {5, 100, 300}, {130, 60, 40},
                                        {100, 50, 800}, {0, 4, 3},     {3, 7, 0}};
    for (int i = 0; i < 27; i++)
        for (int s = 0; s < 6; s++)
            for (int flip = 0; flip < 4; flip++) {
                gr_dtype a = dtypes[i % 3], b = dtypes[i / 3 % 3], y = dtypes[i / 9];
                NOTE("%s by %s gives %s, shape %d, flip %d", gr_dtype_name(a), gr_dtype_name(b), gr_dtype_name(y), s,
                     flip);
                check_product("cpu", a, b, y, shapes[s][0], shapes[s][1], shapes[s][2], flip, false);
            }
}

/* Of operands that are rounded to bf16 the sums are those of the rounded numbers, but for the order and rounding of sums in
 * f32: with instructions for bf16, and by `ref` without. */
TEST(products_that_round)
{
    static const gr_dtype dtypes[] = {GR_F32, GR_BF16};
    static const int64_t shapes[][3] = {{1, 70, 33},    {5, 100, 300}, {130, 60, 41}, {13, 97, 130},
                                        {100, 50, 801}, {0, 4, 3},     {3, 7, 0},     {9, 200, 1000}};
    for (int i = 0; i < 8; i++)
        for (int s = 0; s < 8; s++)
            for (int flip = 0; flip < 4; flip++) {
                gr_dtype a = dtypes[i % 2], b = dtypes[i / 2 % 2], y = dtypes[i / 4];
                NOTE("%s by %s gives %s, shape %d, flip %d", gr_dtype_name(a), gr_dtype_name(b), gr_dtype_name(y), s,
                     flip);
                check_product("cpu", a, b, y, shapes[s][0], shapes[s][1], shapes[s][2], flip, true);
            }
}

TEST(f64_is_no_mixed_product)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *x[] = {gr_fill(g, GR_F64, 2, (int64_t[]){2, 2}, 1), gr_fill(g, GR_F64, 2, (int64_t[]){2, 2}, 1)};
    CHECK(!gr_node(g, &gr_op_matmul, x, 2, &(gr_matmul_attr){.says = true, .result = GR_F32}));
    CHECK(strstr(gr_error(), "only sums in f32"));
    gr_graph_free(g);
}

/* ---- weights that do not fit -------------------------------------------------------------------------------- */

TEST(weights_that_f16_cannot_hold)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_store *store = gr_store_new(device);
    float values[] = {1, -65504, 65519, -70000, INFINITY, NAN};
    CHECK_OK(gr_store_add(store, "fine", GR_WEIGHT, GR_F32, 1, (int64_t[]){3}));
    CHECK_OK(gr_store_add(store, "large", GR_WEIGHT, GR_F32, 1, (int64_t[]){6}));
    CHECK_OK(gr_store_add(store, "empty", GR_WEIGHT, GR_F32, 1, (int64_t[]){1}));
    CHECK_OK(gr_store_write(store, "fine", values, 3 * sizeof *values));
    CHECK_OK(gr_store_check_range(store, GR_F16));
    CHECK_OK(gr_store_write(store, "large", values, sizeof values));
    CHECK_STATUS(gr_store_check_range(store, GR_F16), GR_ERR_NUMBER);
    CHECK(strstr(gr_error(), "\"large\": value 3, -70000"));
    CHECK_OK(gr_store_check_range(store, GR_BF16));
    gr_store_free(store);
    gr_device_close(device);
}
