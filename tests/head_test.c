/* The head in pieces: the same bits as at once, and all logits are never in memory.
 * labels: slow */
#include "trained.h"

#include "backend/cpu/gemm.h"
#include "model/arch/list.h"
#include "program/program.h"

#define TYPE(type) #type,
static const char *const types[] = {GR_ARCHS(TYPE)};
enum { N_TYPES = sizeof types / sizeof types[0] };

/* Long rows, so that there are several pieces whose sums keep their bits. */
static gr_model_info long_info(const char *type, bool tied)
{
    gr_model_info info = tiny_info(type, tied);
    info.context = 512;
    info.vocab = 101;
    return info;
}

static gr_train_options long_options(void)
{
    gr_train_options o = tiny_options();
    o.batch = 2;
    o.context = 500;
    return o;
}

static void same_in_pieces(const gr_model_info *info, const char *on, gr_train_options o, int64_t rows)
{
    char what[100];
    o.head_rows = 0;
    trained whole = train(info, on, &o, 2);
    o.head_rows = rows;
    trained pieces = train(info, on, &o, 2);
    snprintf(what, sizeof what, "%s%s on %s by %d rows", info->arch, info->tied ? ", tied" : "", on, (int)rows);
    check_same(&pieces, &whole, what);
    CHECK(pieces.plan.flops == whole.plan.flops);
    free(whole.weights);
    free(pieces.weights);
}

TEST(every_architecture_by_the_same_bits)
{
    for (int a = 0; a < N_TYPES; a++)
        for (int tied = 0; tied < 2; tied++) {
            gr_train_options o = long_options();
            gr_model_info info = long_info(types[a], tied);
            NOTE("%s %d", types[a], tied);
            o.dropout = tied && strcmp(types[a], "gpt2") == 0 ? 0.2 : 0;
            same_in_pieces(&info, "cpu", o, GR_AUTO);
        }
}

TEST(precisions_accumulation_recomputation)
{
    gr_model_info info = long_info("llama", false);
    for (int k = 0; k < 5; k++) {
        gr_train_options o = long_options();
        NOTE("case %d", k);
        o.accumulate = k == 0 || k == 3 ? 2 : 1;
        o.precision = k == 1 || k == 3 ? GR_PRECISION_BF16 : k == 2 ? GR_PRECISION_FP16 : GR_PRECISION_F32;
        o.recompute = k == 4 || k == 3 ? GR_RECOMPUTE_BLOCK : GR_RECOMPUTE_NONE;
        o.optimizer = k == 2 ? GR_ADAMW8BIT : GR_ADAMW;
        same_in_pieces(&info, "cpu", o, 2 * GR_GEMM_SUM);
    }
}

/* Where pieces of a sum are not those of the whole, or are not added up as the cpu does it, rounding differs. */
TEST(any_number_of_rows_on_any_device)
{
    static const int64_t rows[] = {1, 3, 8, 15, 16, 1000};
    gr_model_info info = tiny_info("gpt2", true);
    gr_train_options o = tiny_options();
    for (int d = 0; test_device(d); d++) {
        o.head_rows = 0;
        trained whole = train(&info, test_device(d), &o, 3);
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
            NOTE("%s, %d rows", test_device(d), (int)rows[k]);
            o.head_rows = rows[k];
            trained pieces = train(&info, test_device(d), &o, 3);
            CHECK_NEAR(pieces.loss, whole.loss, 1e-5);
            CHECK_NEAR(pieces.eval, whole.eval, 1e-4);
            CHECK_NEAR(pieces.norm, whole.norm, 1e-4);
            CHECK(rows[k] < 16 || memcmp(pieces.weights, whole.weights, whole.size) == 0);
            free(pieces.weights);
        }
        free(whole.weights);
    }
}

static int64_t largest_with_logits(const gr_program *p, int64_t vocab)
{
    int64_t most = 0;
    for (size_t i = 0; i < p->graph->n; i++) {
        const gr_spec *s = &p->graph->nodes[i]->spec;
        bool is_wide = s->ndim > 1 && s->shape[s->ndim - 1] == vocab;
        most = is_wide && gr_spec_count(s) > most ? gr_spec_count(s) : most;
    }
    return most;
}

TEST(all_logits_are_never_in_memory)
{
    gr_model_info info = long_info("llama", false);
    info.vocab = 1013;
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model_of(&info, device, 1);
    gr_train_options o = long_options();
    size_t peak = 0;
    for (int k = 0; k < 4; k++) {
        NOTE("case %d", k);
        o.precision = k / 2 ? GR_PRECISION_BF16 : GR_PRECISION_F32;
        o.head_rows = k % 2 ? 100 : 0;
        gr_trainer *t = gr_trainer_new(m, &o);
        CHECK_MADE(t);
        int64_t rows = k % 2 ? 100 : 1000;
        CHECK_EQ_INT(largest_with_logits(t->step, info.vocab), rows * info.vocab);
        CHECK_EQ_INT(largest_with_logits(t->eval, info.vocab), rows * info.vocab);
        size_t arena = gr_trainer_plan(t)->arena;
        CHECK(k % 2 == 0 || arena < peak - 800 * 1013 * 4);
        peak = arena;
        gr_trainer_free(t);
    }
    o.head_rows = -2;
    CHECK(!gr_trainer_new(m, &o));
    CHECK_ERROR(GR_ERR_ARGUMENT, "head_rows");
    gr_model_free(m);
    gr_device_close(device);
}

/* ---- heads of any kind -------------------------------------------------------------------------------------- */

enum { ROWS = 7, INNER = 5, CLASSES = 11, N_WRT = 5, N_OUT = 1 + N_WRT };

typedef enum fault { NONE, LOGITS_ARE_READ, LOGITS_ARE_WANTED, NO_PRODUCT, SOFTMAX, SAVED_IS_READ } fault;

/* Logits of two products, a bias, a mask of rows, and a cap; the loss's gradient for all that goes in. */
static gr_program *compile_head(gr_device *device, gr_store *store, int64_t rows, gr_dtype dtype, fault f)
{
    static const char *const names[N_WRT] = {"x", "w", "a", "b", "bias"};
    gr_graph *g = gr_graph_new();
    gr_tensor *wrt[N_WRT], *out[N_OUT + 1];
    for (int i = 0; i < N_WRT; i++)
        wrt[i] = gr_param(g, store, names[i]);
    gr_tensor *x = gr_tanh(wrt[0]);
    gr_tensor *logits = gr_add(gr_matmul(x, wrt[1], false, true),
                               gr_scale(gr_matmul(gr_matmul(x, wrt[2], false, false), wrt[3], false, false), 2));
    logits = gr_mul(gr_add(logits, wrt[4]), gr_param(g, store, "mask"));
    logits = gr_scale(gr_tanh(gr_scale(logits, 0.5)), 2);
    logits = gr_mul(logits, gr_fill(g, dtype, 3, (int64_t[]){1, ROWS, CLASSES}, 0.75));
    logits = f == NO_PRODUCT ? gr_param(g, store, "mask") : f == SOFTMAX ? gr_softmax(logits) : logits;
    gr_tensor *targets = gr_input(g, "targets", GR_I64, 2, (int64_t[]){1, ROWS});
    gr_tensor *each = gr_cross_entropy_rows(logits, targets, -100);
    gr_tensor *loss = gr_sum(gr_mul(each, gr_iota(g, dtype, ROWS)), 0, false);
    if (f == SAVED_IS_READ)
        loss = gr_add(loss, gr_sum(gr_output(each, 1), 0, false));
    out[0] = f == LOGITS_ARE_READ ? gr_add(loss, gr_sum(gr_reduce_max(logits, 4, false), 0, false)) : loss;
    CHECK_OK(gr_grad(loss, wrt, out + 1, N_WRT));
    out[N_OUT] = f == LOGITS_ARE_WANTED ? logits : loss;
    gr_compile_options o = GR_INIT(gr_compile_options);
    o.head_rows = rows;
    gr_program *p = gr_compile(g, out, N_OUT + 1, device, &o);
    gr_graph_free(g);
    return p;
}

static gr_store *head_store(gr_device *device)
{
    static const struct {
        const char *name;
        int ndim;
        int64_t shape[3];
    } tensors[] = {{"x", 3, {1, ROWS, INNER}}, {"w", 2, {CLASSES, INNER}}, {"a", 2, {INNER, 2}},
                   {"b", 2, {2, CLASSES}},     {"bias", 1, {CLASSES}},     {"mask", 3, {1, ROWS, CLASSES}}};
    gr_store *store = gr_store_new(device);
    float values[ROWS * CLASSES];
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        size_t n = 1;
        for (int k = 0; k < tensors[i].ndim; k++)
            n *= (size_t)tensors[i].shape[k];
        for (size_t k = 0; k < n; k++)
            values[k] = (float)((k * 7 + i * 3) % 13) / 8 - 0.7f;
        CHECK_OK(gr_store_add(store, tensors[i].name, GR_WEIGHT, GR_F32, tensors[i].ndim, tensors[i].shape));
        CHECK_OK(gr_store_write(store, tensors[i].name, values, n * sizeof *values));
    }
    return store;
}

static void run_head(gr_program *p, float values[N_OUT][ROWS * CLASSES])
{
    static const int64_t targets[ROWS] = {3, 0, -100, 10, 5, -100, 1};
    float again;
    void *out[N_OUT + 1];
    for (int i = 0; i < N_OUT; i++)
        out[i] = values[i];
    out[N_OUT] = &again;
    CHECK_OK(gr_program_run(p, (const void *[]){targets}, out));
    gr_program_free(p);
}

TEST(heads_of_any_kind)
{
    static const int count[N_OUT] = {1, ROWS * INNER, CLASSES * INNER, INNER * 2, 2 * CLASSES, CLASSES};
    for (int d = 0; test_device(d); d++) {
        gr_device *device = gr_device_open(test_device(d), 2);
        gr_store *store = head_store(device);
        float whole[N_OUT][ROWS * CLASSES], pieces[N_OUT][ROWS * CLASSES];
        gr_program *p = compile_head(device, store, 0, GR_F32, NONE);
        CHECK_MADE(p);
        run_head(p, whole);
        for (int64_t rows = 1; rows <= ROWS; rows++) {
            NOTE("%s by %d", test_device(d), (int)rows);
            p = compile_head(device, store, rows, GR_F32, NONE);
            CHECK_MADE(p);
            CHECK(rows == ROWS || largest_with_logits(p, CLASSES) < ROWS * CLASSES + 1);
            run_head(p, pieces);
            for (int i = 0; i < N_OUT; i++)
                for (int k = 0; k < count[i]; k++)
                    CHECK_NEAR(pieces[i][k], whole[i][k], 2e-6);
        }
        gr_store_free(store);
        gr_device_close(device);
    }
}

TEST(heads_that_cannot_be_cut)
{
    static const char *const why[] = {[LOGITS_ARE_READ] = "reduce_max",
                                      [LOGITS_ARE_WANTED] = "reads all logits at once",
                                      [NO_PRODUCT] = "cross_entropy_rows",
                                      [SOFTMAX] = "cross_entropy_rows",
                                      [SAVED_IS_READ] = "reads all logits at once"};
    gr_device *device = gr_device_open("cpu", 1);
    gr_store *store = head_store(device);
    for (fault f = LOGITS_ARE_READ; f <= SAVED_IS_READ; f++) {
        NOTE("fault %d", f);
        CHECK(!compile_head(device, store, 2, GR_F32, f));
        CHECK_ERROR(GR_ERR_UNSUPPORTED, why[f]);
        gr_program *p = compile_head(device, store, ROWS, GR_F32, f); /* there is nothing to cut */
        CHECK_MADE(p);
        gr_program_free(p);
    }
    gr_store_free(store);
    gr_device_close(device);
}

TEST(memory_that_cannot_be_had)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("gpt2", device);
    gr_train_options o = tiny_options();
    o.head_rows = 3;
    check_sweep(m, &o);
    gr_model_free(m);
    gr_device_close(device);
}
