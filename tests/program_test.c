/* Programs: what they share, what they read and write, and what is refused. */
#include "tiny.h"

#include "base/dtype.h"
#include "op/op.h"
#include "program/program.h"
#include "program/store.h"
#include "train/trainer.h"

#include <pthread.h>

/* ---- helpers ------------------------------------------------------------------------------------------------ */

typedef struct fixture {
    gr_device *device;
    gr_graph *g;
    gr_store *store;
} fixture;

static fixture open_fixture(const char *device)
{
    fixture f = {.device = gr_device_open(device, 2), .g = gr_graph_new()};
    CHECK_MADE(f.device);
    CHECK_MADE(f.g);
    f.store = gr_store_new(f.device);
    NOTE("%s", device);
    return f;
}

static void close_fixture(fixture *f)
{
    gr_graph_free(f->g);
    gr_store_free(f->store);
    gr_device_close(f->device);
}

static gr_tensor *vector(fixture *f, const char *name, int64_t n)
{
    return gr_input(f->g, name, GR_F32, 1, &n);
}

/* A param of n elements, with values. */
static gr_tensor *stored(fixture *f, const char *name, int64_t n, const float *values)
{
    CHECK_OK(gr_store_add(f->store, name, GR_WEIGHT, GR_F32, 1, &n));
    CHECK_OK(gr_store_write(f->store, name, values, (size_t)n * sizeof *values));
    return gr_param(f->g, f->store, name);
}

static gr_program *compiled(fixture *f, gr_tensor *const *out, int n)
{
    gr_program *p = gr_compile(f->g, out, n, f->device, NULL);
    CHECK_MADE(p);
    return p;
}

static void check_values(const float *have, const float *want, int n)
{
    for (int i = 0; i < n; i++)
        CHECK_NEAR(have[i], want[i], 1e-6);
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

/* A chain of element-wise ops needs the memory of one or two of them; what comes out lies apart where it must be copied. */
TEST(chains_run_in_place)
{
    enum { N = 1000 };
    for (int d = 0; test_device(d); d++) {
        fixture f = open_fixture(test_device(d));
        gr_tensor *x = vector(&f, "x", N), *y = x;
        float in[N], out[N];
        for (int i = 0; i < N; i++)
            in[i] = (float)i / N;
        for (int i = 0; i < 5; i++)
            y = gr_abs(gr_neg(y));
        gr_program *p = compiled(&f, &y, 1);
        size_t tensor = gr_round_up(N * sizeof(float), GR_ADDRESS_ALIGN);
        size_t apart = f.device->host_visible ? 0 : tensor + gr_round_up(sizeof(gr_fault), GR_ADDRESS_ALIGN);
        CHECK(gr_program_plan(p)->arena <= 2 * tensor + apart);
        CHECK_OK(gr_program_run(p, (const void *[]){in}, (void *[]){out}));
        check_values(out, in, N);
        gr_program_free(p);
        close_fixture(&f);
    }
}

/* ... but not when the values before are still wanted. */
TEST(what_is_still_read_is_not_overwritten)
{
    for (int d = 0; test_device(d); d++) {
        fixture f = open_fixture(test_device(d));
        gr_tensor *x = vector(&f, "x", 3), *a = gr_exp(x), *b = gr_neg(a), *c = gr_mul(a, b), *all[] = {x, a, b, c};
        gr_program *p = compiled(&f, all, 4);
        float in[] = {0, 1, -2}, out[4][3];
        CHECK_OK(gr_program_run(p, (const void *[]){in}, (void *[]){out[0], out[1], out[2], out[3]}));
        for (int i = 0; i < 3; i++) {
            CHECK_EQ_INT(out[0][i], in[i]);
            CHECK_NEAR(out[1][i], expf(in[i]), 1e-5);
            CHECK_NEAR(out[2][i], -expf(in[i]), 1e-5);
            CHECK_NEAR(out[3][i], -expf(2 * in[i]), 1e-5);
        }
        gr_program_free(p);
        close_fixture(&f);
    }
}

/* What a program says it takes is what it takes. */
TEST(the_memory_report_is_exact)
{
    for (int accumulate = 1; accumulate <= 2; accumulate++) {
        gr_device *device = gr_device_open("cpu", 1);
        gr_model *m = tiny_model("gpt2", device);
        gr_train_options o = tiny_options();
        o.accumulate = accumulate;
        gr_trainer *t = gr_trainer_new(m, &o);
        CHECK_MADE(t);
        gr_plan r = *gr_trainer_plan(t);
        size_t weights = (size_t)gr_model_describe(m)->parameters * sizeof(float);
        CHECK_EQ_INT(r.weights, weights);
        CHECK_EQ_INT(r.optimizer, 2 * weights);
        CHECK_EQ_INT(r.gradients, accumulate > 1 ? weights : 0);
        CHECK_EQ_INT(r.total, r.weights + r.gradients + r.optimizer + r.cache + r.peak_activations + r.peak_gradients +
                                  r.peak_scratch);
        int64_t before = gr_mem_read_stats().live_bytes;
        gr_token tokens[32], targets[32];
        gr_step_report report = GR_INIT(gr_step_report);
        tiny_batch(&o, 0, tokens, targets);
        CHECK_OK(gr_trainer_step(t, &(gr_batch){tokens, targets, NULL}, &report));
        /* The model's weights were there before. Blocks are rounded up to cache lines, a few a tensor. */
        double took = (double)(gr_mem_read_stats().live_bytes - before), said = (double)(r.total - r.weights);
        CHECK(took >= said);
        CHECK(took <= said + 64.0 * 3 * gr_store_count(gr_model_store(m)) + 4096);
        gr_trainer_free(t);
        gr_model_free(m);
        gr_device_close(device);
    }
}

/* Programs of a device share one arena. The largest decides its size; it goes when the last one goes. */
TEST(programs_share_the_arena)
{
    for (int d = 0; test_device(d); d++) {
        fixture f = open_fixture(test_device(d));
        enum { SMALL = 100, LARGE = 20000 };
        gr_tensor *x = vector(&f, "x", SMALL), *small = gr_sum(gr_mul(x, x), 0, false);
        gr_graph *other = gr_graph_new();
        gr_tensor *z = gr_input(other, "z", GR_F32, 1, (int64_t[]){LARGE}), *large = gr_sum(gr_neg(z), 0, false);
        gr_program *p = compiled(&f, &small, 1), *q = gr_compile(other, &large, 1, f.device, NULL);
        CHECK_MADE(q);
        float in[SMALL], big[LARGE], out;
        for (int i = 0; i < SMALL; i++)
            in[i] = 1;
        for (int i = 0; i < LARGE; i++)
            big[i] = 2;
        int64_t empty = gr_mem_read_stats().live_bytes;
        for (int round = 0; round < 3; round++) { /* the arena grows and moves between the two */
            CHECK_OK(gr_program_run(p, (const void *[]){in}, (void *[]){&out}));
            CHECK_NEAR(out, SMALL, 0);
            CHECK_OK(gr_program_run(q, (const void *[]){big}, (void *[]){&out}));
            CHECK_NEAR(out, -2.0 * LARGE, 0);
        }
        if (f.device->host_visible) { /* else its memory is no block of ours */
            int64_t arena = gr_mem_read_stats().live_bytes - empty;
            CHECK(arena >= (int64_t)gr_program_plan(q)->arena);
            CHECK(arena < (int64_t)(gr_program_plan(q)->arena + gr_program_plan(p)->arena));
        }
        gr_program_free(q);
        CHECK_OK(gr_program_run(p, (const void *[]){in}, (void *[]){&out}));
        CHECK_NEAR(out, SMALL, 0);
        gr_program_free(p);
        CHECK_EQ_INT(gr_mem_read_stats().live_bytes < empty, 1);
        gr_graph_free(other);
        close_fixture(&f);
    }
}

/* What cannot be had is an error with numbers in it, takes nothing, and hurts nobody. */
TEST(impossible_memory)
{
    for (int d = 0; test_device(d); d++) {
        fixture f = open_fixture(test_device(d));
        const int64_t n = (int64_t)5 << 39; /* 10 TB of f32 */
        gr_tensor *x = gr_fill(f.g, GR_F32, 0, NULL, 1), *y = vector(&f, "y", 4), *twice = gr_scale(y, 2);
        gr_tensor *huge = gr_sum(gr_exp(gr_add(gr_expand(x, 1, &n), gr_iota(f.g, GR_F32, n))), 0, false);
        if (f.device->largest < (size_t)n * sizeof(float)) { /* the plan knows already */
            CHECK(!gr_compile(f.g, &huge, 1, f.device, NULL));
            char text[96];
            snprintf(text, sizeof text, "in one piece, the largest that %s gives is %.1f MB", test_device(d),
                     (double)f.device->largest / 1e6);
            CHECK_ERROR(GR_ERR_MEMORY, text);
            close_fixture(&f);
            continue;
        }
        gr_program *p = compiled(&f, &huge, 1), *q = compiled(&f, &twice, 1);
        CHECK(gr_program_plan(p)->arena >= (size_t)n * sizeof(float));
        int64_t before = gr_mem_read_stats().live_bytes;
        float in[] = {1, 2, 3, 4}, out[4];
        for (int round = 0; round < 2; round++) {
            CHECK_STATUS(gr_program_reserve(p), GR_ERR_MEMORY);
            CHECK_ERROR(GR_ERR_MEMORY, "MB in all");
            CHECK_EQ_INT(gr_mem_read_stats().live_bytes, before);
            CHECK_STATUS(gr_program_run(p, (const void *[]){in}, (void *[]){out}), GR_ERR_MEMORY);
        }
        CHECK_OK(gr_program_run(q, (const void *[]){in}, (void *[]){out}));
        CHECK_NEAR(out[3], 8, 0);
        CHECK_STATUS(gr_program_reserve(p), GR_ERR_MEMORY);
        CHECK_OK(
            gr_program_run(q, (const void *[]){in}, (void *[]){out})); /* the arena it had is gone, or not: it runs */
        CHECK_NEAR(out[2], 6, 0);
        gr_program_free(p);
        gr_program_free(q);
        close_fixture(&f);
    }
}

/* A weight that the device cannot have in one piece is named before anything is taken: so `plan` knows, too. */
TEST(a_weight_larger_than_a_piece)
{
    fixture f = open_fixture("far");
    int64_t n = (int64_t)(f.device->largest / sizeof(float)) + 1;
    CHECK_OK(gr_store_add(f.store, "wide", GR_WEIGHT, GR_F32, 1, &n));
    gr_tensor *out = gr_sum(gr_param(f.g, f.store, "wide"), 0, false);
    CHECK(!gr_compile(f.g, &out, 1, f.device, NULL));
    CHECK_ERROR(GR_ERR_MEMORY, "wide: 1.0 MB in one piece, the largest that far gives is 1.0 MB");
    close_fixture(&f);
}

/* A batch for which no machine has memory: logits of 8 TB. It can be planned, and fails before its first step. */
TEST(impossible_training)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_model_info info = tiny_info("gpt2", true);
    info.vocab = 1000000;
    gr_model *m = tiny_model_of(&info, device, 1);
    CHECK_MADE(m);
    gr_train_options o = tiny_options();
    o.batch = 1 << 18;
    gr_trainer *t = gr_trainer_new(m, &o);
    CHECK_MADE(t);
    CHECK(gr_trainer_plan(t)->total > (size_t)1 << 42);
    gr_token *tokens = calloc((size_t)(o.batch * o.context), sizeof *tokens);
    CHECK(tokens);
    gr_step_report report = GR_INIT(gr_step_report);
    CHECK_STATUS(gr_trainer_step(t, &(gr_batch){tokens, tokens, NULL}, &report), GR_ERR_MEMORY);
    CHECK_ERROR(GR_ERR_MEMORY, "MB in all");
    CHECK_EQ_INT(gr_trainer_steps(t), 0);
    free(tokens);
    gr_trainer_free(t);
    gr_model_free(m);
    gr_device_close(device);
}

/* ---- inputs and outputs ------------------------------------------------------------------------------------- */

/* Outputs may be views, params, inputs, constants, and one tensor several times. */
TEST(outputs_of_all_kinds)
{
    for (int d = 0; test_device(d); d++) {
        fixture f = open_fixture(test_device(d));
        const float w[] = {1, 2, 3, 4, 5, 6}, constant[] = {7, 8};
        gr_tensor *x = vector(&f, "x", 6), *p = stored(&f, "p", 6, w), *table = gr_reshape(p, 2, (int64_t[]){2, 3});
        gr_tensor *roots[] = {x,
                              p,
                              gr_permute(table, (int[]){1, 0}),
                              gr_slice(x, 0, 4, 6),
                              gr_constant(f.g, GR_F32, 1, (int64_t[]){2}, constant),
                              gr_expand(gr_slice(p, 0, 5, 6), 1, (int64_t[]){3}),
                              x,
                              gr_slice(x, 0, 3, 3)};
        gr_program *program = compiled(&f, roots, 8);
        float in[] = {10, 20, 30, 40, 50, 60}, out[8][6] = {{0}};
        void *outs[8];
        for (int i = 0; i < 8; i++)
            outs[i] = out[i];
        CHECK_OK(gr_program_run(program, (const void *[]){in}, outs));
        check_values(out[0], in, 6);
        check_values(out[1], w, 6);
        check_values(out[2], (float[]){1, 4, 2, 5, 3, 6}, 6);
        check_values(out[3], (float[]){50, 60}, 2);
        check_values(out[4], constant, 2);
        check_values(out[5], (float[]){6, 6, 6}, 3);
        check_values(out[6], in, 6);
        CHECK_OK(gr_program_run(program, (const void *[]){in}, NULL)); /* nobody wants to know */
        gr_program_free(program);
        close_fixture(&f);
    }
}

/* Inputs are given in the order of their creation, those that nothing depends on too; these may be NULL. */
TEST(inputs_in_order)
{
    for (int d = 0; test_device(d); d++) {
        fixture f = open_fixture(test_device(d));
        gr_tensor *a = vector(&f, "a", 2);
        gr_tensor *unused = vector(&f, "unused", 5);
        gr_tensor *c = vector(&f, "c", 2), *y = gr_sub(c, a);
        CHECK(unused);
        gr_program *p = compiled(&f, &y, 1);
        float va[] = {1, 2}, vc[] = {10, 30}, out[2];
        CHECK_OK(gr_program_run(p, (const void *[]){va, NULL, vc}, (void *[]){out}));
        check_values(out, (float[]){9, 28}, 2);
        CHECK_STATUS(gr_program_run(p, (const void *[]){va, NULL, NULL}, (void *[]){out}), GR_ERR_ARGUMENT);
        CHECK_ERROR(GR_ERR_ARGUMENT, "input 2 (c) is NULL");
        CHECK_STATUS(gr_program_run(p, NULL, (void *[]){out}), GR_ERR_ARGUMENT);
        CHECK_OK(gr_program_run(p, (const void *[]){vc, NULL, va}, (void *[]){out}));
        check_values(out, (float[]){-9, -28}, 2);
        gr_program_free(p);
        close_fixture(&f);
    }
}

/* ---- effects ------------------------------------------------------------------------------------------------ */

/* What an effect returns is what it has written; the versions before it stay what they were, however they are read. */
TEST(effects_run_in_order)
{
    for (int d = 0; test_device(d); d++) {
        fixture f = open_fixture(test_device(d));
        gr_tensor *x = vector(&f, "x", 3), *p = stored(&f, "p", 3, (float[]){1, 2, 3});
        gr_tensor *before = gr_scale(p, 10);
        p = gr_assign(p, x);
        gr_tensor *between = gr_scale(p, 10), *view = gr_slice(p, 0, 0, 2), *kept = gr_scale(view, 1);
        p = gr_assign_add(p, gr_neg(before));
        gr_assign_add(p, p);
        CHECK(gr_param(f.g, f.store, "p") != p);
        gr_tensor *after = gr_scale(gr_param(f.g, f.store, "p"), 1), *out[] = {before, between, kept, after};
        gr_program *program = compiled(&f, out, 4);
        float in[] = {100, 200, 300}, got[4][3], stored_now[3];
        CHECK_OK(gr_program_run(program, (const void *[]){in}, (void *[]){got[0], got[1], got[2], got[3]}));
        check_values(got[0], (float[]){10, 20, 30}, 3);
        check_values(got[1], (float[]){1000, 2000, 3000}, 3);
        check_values(got[2], (float[]){100, 200}, 2);
        check_values(got[3], (float[]){180, 360, 540}, 3);
        CHECK_OK(gr_store_read(f.store, "p", stored_now, sizeof stored_now));
        check_values(stored_now, got[3], 3);
        CHECK_OK(
            gr_program_run(program, (const void *[]){in}, (void *[]){got[0], NULL, NULL, got[3]})); /* state remains */
        check_values(got[0], (float[]){1800, 3600, 5400}, 3);
        check_values(got[3], (float[]){-3400, -6800, -10200}, 3);
        gr_program_free(program);
        close_fixture(&f);
    }
}

/* A view is a read like others: what is written after it does not show in it. */
TEST(views_do_not_see_later_writes)
{
    for (int d = 0; test_device(d); d++) {
        fixture f = open_fixture(test_device(d));
        gr_tensor *x = vector(&f, "x", 4), *p = stored(&f, "p", 4, (float[]){1, 2, 3, 4});
        gr_tensor *square = gr_reshape(p, 2, (int64_t[]){2, 2}), *part = gr_slice(p, 0, 1, 3);
        gr_tensor *turned = gr_reshape(gr_permute(square, (int[]){1, 0}), 1, (int64_t[]){4});
        gr_tensor *p1 = gr_assign(p, x);
        gr_tensor *out[] = {gr_neg(square), gr_neg(part), gr_neg(turned), part, gr_neg(p1), gr_slice(p1, 0, 1, 3)};
        gr_assign(p1, gr_neg(x)); /* out[4] has been computed, out[5] not yet read by the host */
        gr_program *program = compiled(&f, out, 6);
        float in[] = {10, 20, 30, 40}, got[6][4];
        CHECK_OK(
            gr_program_run(program, (const void *[]){in}, (void *[]){got[0], got[1], got[2], got[3], got[4], got[5]}));
        check_values(got[0], (float[]){-1, -2, -3, -4}, 4);
        check_values(got[1], (float[]){-2, -3}, 2);
        check_values(got[2], (float[]){-1, -3, -2, -4}, 4);
        check_values(got[3], (float[]){2, 3}, 2);
        check_values(got[4], (float[]){-10, -20, -30, -40}, 4);
        check_values(got[5], (float[]){20, 30}, 2);
        gr_program_free(program);
        close_fixture(&f);
    }
}

static int count_steps(const gr_program *p, const char *op)
{
    int n = 0;
    for (int i = 0; i < p->code.n; i++)
        n += strcmp(p->code.steps[i].call.op->name, op) == 0;
    return n;
}

/* Old versions may be read at any time: by ops, through views made before and after the write, by the host, and by the
 * effect that replaces them. Each costs one copy of the version, and none where nobody reads it later. */
TEST(old_versions_can_be_read)
{
    for (int d = 0; test_device(d); d++) {
        fixture f = open_fixture(test_device(d));
        const float w[] = {1, 2, 3, 4};
        gr_tensor *x = vector(&f, "x", 4), *p = stored(&f, "p", 4, w), *view = gr_slice(p, 0, 1, 3);
        gr_tensor *reversed = gr_permute(gr_reshape(p, 2, (int64_t[]){2, 2}), (int[]){1, 0});
        gr_tensor *p1 = gr_assign(p, x), *p2 = gr_assign_add(p1, gr_reshape(reversed, 1, (int64_t[]){4}));
        gr_tensor *out[] = {gr_scale(p, 10), gr_neg(view), gr_slice(p, 0, 2, 4), p, p1, p2, gr_sub(p2, p1)};
        gr_program *program = compiled(&f, out, 7);
        CHECK_EQ_INT(count_steps(program, "contiguous"), 3); /* two versions, and what cannot be a view */
        float in[] = {10, 20, 30, 40}, got[7][4], now[4];
        void *outs[7];
        for (int i = 0; i < 7; i++)
            outs[i] = got[i];
        CHECK_OK(gr_program_run(program, (const void *[]){in}, outs));
        check_values(got[0], (float[]){10, 20, 30, 40}, 4);
        check_values(got[1], (float[]){-2, -3}, 2);
        check_values(got[2], (float[]){3, 4}, 2);
        check_values(got[3], w, 4);
        check_values(got[4], in, 4);
        check_values(got[5], (float[]){11, 23, 32, 44}, 4);
        check_values(got[6], (float[]){1, 3, 2, 4}, 4);
        CHECK_OK(gr_store_read(f.store, "p", now, sizeof now));
        check_values(now, got[5], 4);
        gr_program_free(program);

        gr_graph *g = gr_graph_new(); /* read before, or in its newest version: nothing to copy */
        gr_tensor *q = gr_param(g, f.store, "p"), *root = gr_exp(q);
        q = gr_assign_add(q, gr_scale(q, 2));
        gr_tensor *roots[] = {root, gr_neg(q), q};
        program = gr_compile(g, roots, 3, f.device, NULL);
        CHECK_MADE(program);
        CHECK_EQ_INT(count_steps(program, "contiguous"), 0);
        gr_program_free(program);
        gr_graph_free(g);
        g = gr_graph_new(); /* the effect's other operand shows what it writes */
        q = gr_param(g, f.store, "p");
        gr_tensor *turned = gr_permute(gr_reshape(q, 2, (int64_t[]){2, 2}), (int[]){1, 0});
        q = gr_assign(q, gr_reshape(turned, 1, (int64_t[]){4}));
        program = gr_compile(g, &q, 1, f.device, NULL);
        CHECK_MADE(program);
        CHECK_OK(gr_program_run(program, NULL, outs));
        check_values(got[0], (float[]){11, 32, 23, 44}, 4);
        gr_program_free(program);
        gr_graph_free(g);
        close_fixture(&f);
    }
}

/* What the last effect has made is written on, whichever of its outputs it is. */
TEST(effects_write_on)
{
    for (int d = 0; test_device(d); d++) {
        fixture f = open_fixture(test_device(d));
        gr_tensor *p = stored(&f, "p", 1, (float[]){1}), *m = stored(&f, "m", 1, (float[]){0.5f});
        gr_tensor *v = stored(&f, "v", 1, (float[]){4}), *one = gr_fill(f.g, GR_F32, 0, NULL, 1),
                  *g = vector(&f, "g", 1);
        gr_tensor *step = gr_constant(f.g, GR_I64, 0, NULL, (const int64_t[]){1});
        p = gr_adamw(p, g, m, v, one, step, NULL, &(gr_adamw_options){sizeof(gr_adamw_options), 0.5f, 0.5f, 0, 0, 0});
        CHECK(gr_param(f.g, f.store, "m") == gr_output(p, 1) && gr_param(f.g, f.store, "v") == gr_output(p, 2));
        gr_tensor *out[] = {p, gr_output(p, 1), gr_output(p, 2), gr_assign_add(p, g), gr_assign(gr_output(p, 2), g)};
        gr_program *program = compiled(&f, out, 5);
        float in = 2, got[5];
        void *outs[] = {&got[0], &got[1], &got[2], &got[3], &got[4]};
        CHECK_OK(gr_program_run(program, (const void *[]){&in}, outs));
        float moved = 1 - 2.5f / sqrtf(8); /* m = 1.25, v = 4, both over 1 - 0.5 */
        check_values(got, (float[]){moved, 1.25f, 4, moved + 2, 2}, 5);
        gr_program_free(program);
        close_fixture(&f);
    }
}

/* A gradient that is asked for after the update is that of the version which the loss has read. */
TEST(gradients_read_the_version_that_the_loss_read)
{
    for (int d = 0; test_device(d); d++) {
        fixture f = open_fixture(test_device(d));
        gr_tensor *p = stored(&f, "p", 2, (float[]){3, 5}), *loss = gr_sum(gr_mul(p, p), 0, false), *grad, *dead;
        gr_tensor *zeroed = gr_assign(p, gr_fill_like(p, 0));
        CHECK_OK(gr_grad(loss, &p, &grad, 1));
        gr_tensor *out[] = {grad, zeroed};
        gr_program *program = compiled(&f, out, 2);
        float got[2][2];
        CHECK_OK(gr_program_run(program, NULL, (void *[]){got[0], got[1]}));
        check_values(got[0], (float[]){6, 10}, 2);
        check_values(got[1], (float[]){0, 0}, 2);
        gr_program_free(program);
        CHECK_STATUS(gr_grad(gr_sum(gr_assign(zeroed, p), 0, false), &p, &dead, 1), GR_ERR_UNSUPPORTED);
        CHECK_ERROR(GR_ERR_UNSUPPORTED, "assign");
        close_fixture(&f);
    }
}

TEST(what_cannot_be_written_is_refused)
{
    fixture f = open_fixture("ref");
    gr_tensor *p = stored(&f, "p", 2, (float[]){1, 2}), *x = vector(&f, "x", 2);
    CHECK(gr_assign(p, x) && !gr_assign(p, x));
    CHECK_ERROR(GR_ERR_ARGUMENT, "input 0 is an old version of \"p\"");
    gr_graph *g = gr_graph_new();
    gr_tensor *q = gr_param(g, f.store, "p"), *one = gr_fill(g, GR_F32, 0, NULL, 1);
    CHECK(!gr_sgd(q, q, q, one, NULL, 0.5f, 0));
    CHECK_ERROR(GR_ERR_ARGUMENT, "must not be one tensor");
    gr_graph_free(g);
    close_fixture(&f);
}

/* ---- effects with results ----------------------------------------------------------------------------------- */

static float sent[16];
static int n_sent;

static gr_status infer_send(const gr_tensor *node, gr_spec *out)
{
    out[1] = gr_tensor_input(node, 1)->spec;
    return GR_OK;
}

static gr_status run_send(const gr_call *call)
{
    float x = *(const float *)call->in[1].data;
    sent[n_sent++ % 16] = x;
    if (call->out[1].data)
        *(float *)call->out[1].data = 2 * x;
    return GR_OK;
}

static const gr_op send_op = {.name = "send",
                              .inputs = 2,
                              .outputs = 2,
                              .flags = GR_OP_EFFECT,
                              .writes = 1,
                              .infer = infer_send,
                              .no_grad = "it is sent",
                              .kernel = run_send};

/* What talks to others keeps its order by writing one, empty, tensor: whatever depends on what, and whether or not anybody
 * reads the results. */
TEST(effects_that_keep_their_order)
{
    for (int d = 0; test_device(d); d++) {
        fixture f = open_fixture(test_device(d));
        gr_tensor *order = stored(&f, "order", 0, NULL), *x = gr_input(f.g, "x", GR_F32, 0, NULL), *result[4];
        for (int i = 0; i < 4; i++) { /* the later, the less there is to be done before */
            gr_tensor *value = gr_offset(x, i);
            for (int k = i; k < 3; k++)
                value = gr_add(gr_sum(gr_exp(gr_scale(value, 0)), 0, false), gr_offset(x, i - 1));
            order = gr_node(f.g, &send_op, (gr_tensor *[]){order, value}, 2, NULL);
            result[i] = gr_output(order, 1);
        }
        gr_tensor *out[] = {gr_sub(result[3], result[0]), order};
        if (f.device->backend == &gr_backend_opencl) { /* a kernel of the host's is none there */
            CHECK(!gr_compile(f.g, out, 2, f.device, NULL));
            CHECK_ERROR(GR_ERR_UNSUPPORTED, "this device has no kernel for send");
            close_fixture(&f);
            continue;
        }
        gr_program *program = compiled(&f, out, 2);
        float in = 5, got;
        const char *bad;
        n_sent = 0;
        CHECK_STATUS(gr_program_find_nonfinite(program, (const void *[]){&in}, &bad), GR_ERR_UNSUPPORTED);
        CHECK_ERROR(GR_ERR_UNSUPPORTED, "send");
        CHECK_EQ_INT(n_sent, 0);
        CHECK_OK(gr_program_run(program, (const void *[]){&in}, (void *[]){&got, NULL}));
        CHECK_EQ_INT(n_sent, 4);
        check_values(sent, (float[]){5, 6, 7, 8}, 4);
        CHECK_NEAR(got, 6, 1e-6);
        gr_program_free(program);
        close_fixture(&f);
    }
}

/* An effect runs although no output depends on it. */
TEST(effects_without_outputs)
{
    for (int d = 0; test_device(d); d++) {
        fixture f = open_fixture(test_device(d));
        gr_tensor *p = stored(&f, "p", 2, (float[]){1, 1});
        gr_assign_add(p, gr_fill(f.g, GR_F32, 1, (int64_t[]){2}, 0.5));
        gr_program *program = compiled(&f, NULL, 0);
        float now[2];
        for (int i = 1; i <= 3; i++) {
            CHECK_OK(gr_program_run(program, NULL, NULL));
            CHECK_OK(gr_store_read(f.store, "p", now, sizeof now));
            check_values(now, (float[]){1 + 0.5f * (float)i, 1 + 0.5f * (float)i}, 2);
        }
        gr_program_free(program);
        close_fixture(&f);
    }
}

/* Weights that fit one by one and not together: a run asks for all of them first, and takes none. */
TEST(what_does_not_fit_together)
{
    enum { WEIGHTS = 8 };
    static const char *const hosts[] = {"ref", "cpu"};
    for (int d = 0; d < 2; d++) {
        fixture f = open_fixture(hosts[d]);
        gr_device_info info = GR_INIT(gr_device_info);
        CHECK_OK(gr_device_describe(f.device, &info));
        if (info.available == SIZE_MAX)
            SKIP("this system does not say how much memory there is");
        int64_t n = (int64_t)(info.available / 5 / sizeof(float));
        gr_tensor *sum = gr_fill(f.g, GR_F32, 0, NULL, 0);
        for (int i = 0; i < WEIGHTS; i++) {
            char name[16];
            snprintf(name, sizeof name, "w%d", i);
            CHECK_OK(gr_store_add(f.store, name, GR_WEIGHT, GR_F32, 1, &n));
            sum = gr_add(sum, gr_sum(gr_param(f.g, f.store, name), 0, false));
        }
        gr_program *p = compiled(&f, &sum, 1);
        int64_t before = gr_mem_read_stats().live_bytes;
        float out;
        CHECK_STATUS(gr_program_run(p, NULL, (void *[]){&out}), GR_ERR_MEMORY);
        CHECK_ERROR(GR_ERR_MEMORY, "MB in all");
        CHECK_EQ_INT(gr_mem_read_stats().live_bytes, before);
        gr_program_free(p);
        close_fixture(&f);
    }
}

/* In blocks of a quarter of the arena a program computes the bits that it does in one. */
TEST(small_blocks)
{
    enum { N = 300, LAYERS = 6 };
    float in[N], out[2][N];
    size_t arena = 0, blocks = 0;
    for (int i = 0; i < N; i++)
        in[i] = (float)i / N;
    for (int round = 0; round < 2; round++) {
        fixture f = open_fixture("far");
        if (round)
            f.device->largest = gr_round_up(arena / 4, GR_ADDRESS_ALIGN);
        gr_tensor *x = vector(&f, "x", N), *kept[LAYERS], *y = x;
        for (int i = 0; i < LAYERS; i++) /* all are needed until the end */
            y = kept[i] = gr_softmax(gr_scale(y, 2));
        for (int i = LAYERS - 1; i >= 0; i--)
            y = gr_softmax(gr_mul(y, kept[i]));
        gr_program *p = compiled(&f, &y, 1);
        CHECK_OK(gr_program_run(p, (const void *[]){in}, (void *[]){out[round]}));
        arena = gr_program_plan(p)->arena;
        for (int i = 0; i < p->n_buffers; i++) {
            size_t begin = p->buffers[i].offset, end = begin + p->buffers[i].size;
            CHECK(end == begin || begin / f.device->largest == (end - 1) / f.device->largest);
            blocks = end / f.device->largest > blocks ? end / f.device->largest : blocks;
        }
        gr_program_free(p);
        close_fixture(&f);
    }
    CHECK(blocks >= 3);
    CHECK(memcmp(out[0], out[1], sizeof out[0]) == 0);
}

/* The host has its turn between start and finish, and nothing else of the device's does. */
TEST(start_and_finish)
{
    for (int d = 0; test_device(d); d++) {
        fixture f = open_fixture(test_device(d));
        gr_tensor *x = vector(&f, "x", 2), *y = gr_scale(x, 2), *z = gr_neg(x);
        gr_program *p = compiled(&f, &y, 1), *q = compiled(&f, &z, 1);
        float in[] = {1, 2}, out[2] = {0};
        CHECK_STATUS(gr_program_finish(p, (void *[]){out}), GR_ERR_ARGUMENT);
        CHECK_OK(gr_program_start(p, (const void *[]){in}));
        in[0] = in[1] = 9; /* they have been taken */
        CHECK_STATUS(gr_program_start(q, (const void *[]){in}), GR_ERR_ARGUMENT);
        CHECK_ERROR(GR_ERR_ARGUMENT, "finish that first");
        CHECK_STATUS(gr_program_run(p, (const void *[]){in}, NULL), GR_ERR_ARGUMENT);
        CHECK_STATUS(gr_program_finish(q, NULL), GR_ERR_ARGUMENT);
        CHECK_OK(gr_program_finish(p, (void *[]){out}));
        CHECK_NEAR(out[1], 4, 0);
        CHECK_STATUS(gr_program_finish(p, NULL), GR_ERR_ARGUMENT);
        CHECK_OK(gr_program_start(p, (const void *[]){in}));
        gr_program_free(p); /* while it runs */
        CHECK_OK(gr_program_run(q, (const void *[]){in}, (void *[]){out}));
        CHECK_NEAR(out[0], -9, 0);
        gr_program_free(q);
        close_fixture(&f);
    }
}

typedef struct user { /* a thread that runs a program of its own on a device that it shares */
    gr_device *device;
    float factor;
    int wrong;
} user;

static void *use(void *ctx)
{
    enum { N = 5000, RUNS = 40 };
    user *u = ctx;
    static _Thread_local float in[N], out[N];
    gr_graph *g = gr_graph_new();
    gr_store *store = gr_store_new(u->device);
    gr_store_add(store, "sum", GR_WEIGHT, GR_F32, 1, (int64_t[]){N});
    gr_tensor *x = gr_input(g, "x", GR_F32, 1, (int64_t[]){N}), *sum = gr_param(g, store, "sum");
    gr_tensor *y = gr_softmax(gr_scale(gr_exp(gr_neg(gr_exp(x))), 0)), *z = gr_add(gr_scale(x, u->factor), y);
    gr_assign_add(sum, x);
    gr_program *p = gr_compile(g, &z, 1, u->device, NULL);
    for (int i = 0; p && i < RUNS; i++) {
        for (int k = 0; k < N; k++)
            in[k] = (float)(k % 7);
        u->wrong += gr_program_run(p, (const void *[]){in}, (void *[]){out}) != GR_OK;
        for (int k = 0; k < N; k++)
            u->wrong += fabsf(out[k] - (u->factor * (float)(k % 7) + 1.0f / N)) > 1e-3f;
        u->wrong += gr_store_read(store, "sum", out, sizeof out) != GR_OK;
        for (int k = 0; k < N; k++)
            u->wrong += out[k] != (float)(k % 7 * (i + 1));
    }
    u->wrong += p == NULL;
    gr_program_free(p);
    gr_graph_free(g);
    gr_store_free(store);
    return NULL;
}

TEST(threads_take_turns)
{
    enum { USERS = 3 };
    for (int d = 0; test_device(d); d++) {
        gr_device *device = gr_device_open(test_device(d), 2);
        user u[USERS];
        pthread_t id[USERS];
        NOTE("%s", test_device(d));
        CHECK_MADE(device);
        for (int i = 0; i < USERS; i++) {
            u[i] = (user){.device = device, .factor = (float)(i + 1)};
            CHECK(pthread_create(&id[i], NULL, use, &u[i]) == 0);
        }
        for (int i = 0; i < USERS; i++) {
            pthread_join(id[i], NULL);
            CHECK_EQ_INT(u[i].wrong, 0);
        }
        gr_device_close(device);
    }
}

TEST(a_program_on_another_device_is_refused)
{
    fixture f = open_fixture("ref");
    gr_device *other = gr_device_open("cpu", 1);
    gr_tensor *y = gr_neg(stored(&f, "weight", 2, (float[]){1, 2}));
    CHECK(!gr_compile(f.g, &y, 1, other, NULL));
    CHECK_ERROR(GR_ERR_ARGUMENT, "weight");
    CHECK_ERROR(GR_ERR_ARGUMENT, "another device");
    gr_device_close(other);
    close_fixture(&f);
}

/* A graph that failed cannot be compiled, and says what failed first. */
TEST(failed_graphs)
{
    fixture f = open_fixture("cpu");
    gr_tensor *y = gr_add(vector(&f, "a", 2), vector(&f, "b", 3));
    CHECK(!y);
    CHECK(!gr_compile(f.g, &y, 1, f.device, NULL));
    CHECK_ERROR(GR_ERR_ARGUMENT, "add");
    gr_error_clear();
    gr_tensor *z = gr_neg(y);
    CHECK(!z);
    CHECK(!gr_compile(f.g, NULL, 0, f.device, NULL));
    CHECK_ERROR(GR_ERR_ARGUMENT, "add");
    close_fixture(&f);
}

/* ---- how a graph is compiled -------------------------------------------------------------------------------- */

static gr_program *compiled_as(fixture *f, gr_tensor *out, const char *passes, size_t limit)
{
    gr_compile_options o = GR_INIT(gr_compile_options);
    o.passes = passes;
    o.memory_limit = limit;
    return gr_compile(f->g, &out, 1, f->device, &o);
}

/* Each pass can be left out alone, and all that can be together, without changing a bit. */
TEST(passes_change_no_result)
{
    static const char *const lists[] = {NULL,    "-fuse", "-lower", "-versions",    "-fuse,-lower",
                                        "lower", "fuse",  "",       "versions,fuse"};
    enum { LISTS = sizeof lists / sizeof lists[0], N = 8 * TINY_VOCAB };
    static const char *const archs[] = {"gpt2", "llama"};
    for (int a = 0; a < 2; a++) {
        gr_device *device = gr_device_open("cpu", 1);
        gr_model *m = tiny_model(archs[a], device);
        CHECK_MADE(m);
        fixture f = {.device = device, .g = gr_graph_new()};
        gr_forward forward = {.size = sizeof forward, .tokens = gr_input(f.g, "tokens", GR_I32, 2, (int64_t[]){1, 8})};
        gr_tensor *logits = gr_model_forward(m, &forward);
        float first[N], now[N];
        gr_token tokens[8] = {1, 2, 3, 5, 8, 13, 21, 30};
        int steps[LISTS];
        for (int i = 0; i < LISTS; i++) {
            NOTE("%s %s", archs[a], lists[i] ? lists[i] : "all");
            gr_program *p = compiled_as(&f, logits, lists[i], 0);
            CHECK_MADE(p);
            CHECK_OK(gr_program_run(p, (const void *[]){tokens}, (void *[]){i ? now : first}));
            CHECK(i == 0 || memcmp(now, first, sizeof now) == 0);
            steps[i] = p->code.n;
            gr_program_free(p);
        }
        CHECK(a == 1 || steps[0] < steps[1]); /* a llama has no chains in its forward pass */
        CHECK(steps[2] == steps[0] && steps[3] == steps[0] && steps[4] == steps[1]);
        CHECK(steps[5] == steps[1] && steps[6] == steps[0] && steps[7] == steps[1] && steps[8] == steps[0]);
        gr_graph_free(f.g);
        gr_model_free(m);
        gr_device_close(device);
    }
}

TEST(passes_that_cannot_be_left_out)
{
    fixture f = open_fixture("ref");
    gr_tensor *x = vector(&f, "x", 4), *y = gr_softmax(x);
    CHECK(!compiled_as(&f, y, "lower,fusion", 0));
    CHECK_ERROR(GR_ERR_ARGUMENT, "there is no pass \"fusion\"");
    CHECK_ERROR(GR_ERR_ARGUMENT, "precision, quantize, lower, versions, fuse");
    CHECK(!compiled_as(&f, y, "-lower", 0)); /* ref has no kernel for it */
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "softmax");
    gr_assign(stored(&f, "p", 4, (float[]){1, 2, 3, 4}), x);
    CHECK(!compiled_as(&f, y, "-versions", 0));
    CHECK_ERROR(GR_ERR_ARGUMENT, "pass versions cannot be left out");
    CHECK(!compiled_as(&f, y, "lower", 0));
    gr_program *p = compiled_as(&f, y, "versions,lower", 0); /* in whatever order they are named */
    CHECK_MADE(p);
    gr_program_free(p);
    gr_compile_options o = {0};
    CHECK(!gr_compile(f.g, &y, 1, f.device, &o));
    CHECK_ERROR(GR_ERR_ARGUMENT, "GR_INIT");
    close_fixture(&f);
}

TEST(a_plan_above_its_limit)
{
    for (int d = 0; test_device(d); d++) {
        fixture f = open_fixture(test_device(d));
        gr_tensor *y = gr_exp(gr_add(vector(&f, "x", 1000), stored(&f, "p", 1000, (float[1000]){0})));
        gr_program *p = compiled(&f, &y, 1);
        size_t total = gr_program_plan(p)->total;
        gr_program_free(p);
        p = compiled_as(&f, y, NULL, total);
        CHECK_MADE(p);
        gr_program_free(p);
        CHECK(!compiled_as(&f, y, NULL, total - 1));
        char needs[64];
        snprintf(needs, sizeof needs, "needs %.1f MB, its limit is %.1f MB (weights", (double)total / 1e6,
                 (double)(total - 1) / 1e6);
        CHECK_ERROR(GR_ERR_MEMORY, needs);
        close_fixture(&f);
    }
}

static char remark[1024];
static int remarks;

static void keep_remark(void *nobody, gr_log_level level, const char *message)
{
    (void)nobody;
    if (level != GR_LOG_INFO)
        return;
    snprintf(remark, sizeof remark, "%s", message);
    remarks++;
}

/* What the device has no kernel of its own for is said once a program, with how often; by the reference device never. */
TEST(fallbacks_are_said)
{
    for (int d = 0; test_device(d); d++) {
        fixture f = open_fixture(test_device(d));
        gr_tensor *x = vector(&f, "x", 4), *y = vector(&f, "y", 4), *seed = gr_input(f.g, "seed", GR_I64, 0, NULL);
        gr_tensor *noise =
            gr_add(gr_uniform(seed, 1, GR_F32, 1, (int64_t[]){4}), gr_uniform(seed, 2, GR_F32, 1, (int64_t[]){4}));
        gr_tensor *out[] = {gr_mse(x, y), gr_mse(x, noise)}, *plain = gr_softmax(x), *dead = gr_bce(x, y);
        CHECK(dead);
        gr_tensor *ids = gr_input(f.g, "ids", GR_I32, 1, (int64_t[]){4}), *differ = gr_abs(gr_neg(ids));
        gr_set_log(keep_remark, NULL);
        gr_program_free(compiled(&f, &differ, 1));
        if (strcmp(test_device(d), "cpu") == 0)
            CHECK_EQ_STR(remark,
                         "cpu has no kernel of its own for neg of i32 (reference, 1), abs of i32 (reference, 1)");
        remarks = 0;
        gr_program_free(compiled(&f, out, 2));
        CHECK_EQ_INT(remarks, strcmp(test_device(d), "ref") != 0);
        gr_program_free(compiled(&f, &plain, 1));
        CHECK_EQ_INT(remarks, strcmp(test_device(d), "ref") != 0);
        gr_set_log(NULL, NULL);
        char expected[200];
        snprintf(expected, sizeof expected, "%s has no kernel of its own for mse (composed, 2)", test_device(d));
        if (remarks)
            CHECK_EQ_STR(remark, expected);
        close_fixture(&f);
    }
}

/* ---- looking for trouble ------------------------------------------------------------------------------------ */

TEST(the_first_bad_tensor_is_named)
{
    for (int d = 0; test_device(d); d++) {
        fixture f = open_fixture(test_device(d));
        gr_tensor *x = vector(&f, "x", 2), *p = stored(&f, "p", 2, (float[]){1, 2});
        gr_tensor *ratio =
            gr_name(gr_div(gr_reshape(p, 2, (int64_t[]){1, 2}), gr_reshape(x, 2, (int64_t[]){1, 2})), "ratio");
        gr_tensor *y = gr_name(gr_sum(gr_softmax(ratio), 0, false), "y");
        gr_assign_add(p, x);
        gr_program *program = compiled(&f, &y, 1);
        float good[] = {1, 2}, zero[] = {0, 1}, nan[] = {1, NAN}, bad[] = {INFINITY, 1}, now[2];
        const char *name = "x";
        CHECK_OK(gr_program_find_nonfinite(program, (const void *[]){good}, &name));
        CHECK(!name);
        CHECK_OK(gr_program_find_nonfinite(program, (const void *[]){zero}, &name));
        CHECK(name && (strstr(name, "ratio") || strstr(name, "fused"))); /* chains are one tensor to some devices */
        CHECK_OK(gr_program_find_nonfinite(program, (const void *[]){nan}, &name));
        CHECK_EQ_STR(name, "x");
        CHECK_OK(gr_store_read(f.store, "p", now, sizeof now));
        check_values(now, (float[]){1, 2}, 2); /* looking changes nothing */
        CHECK_OK(gr_store_write(f.store, "p", bad, sizeof bad));
        CHECK_OK(gr_program_find_nonfinite(program, (const void *[]){good}, &name));
        CHECK_EQ_STR(name, "p");
        name = "p";
        CHECK_STATUS(gr_program_find_nonfinite(program, (const void *[]){NULL}, &name), GR_ERR_ARGUMENT);
        CHECK(!name); /* nobody could tell */
        gr_program_free(program);
        close_fixture(&f);
    }
}

TEST(evaluating_at_once)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *x = gr_iota(g, GR_I64, 4), *y = gr_scale(gr_cast(x, GR_F64), 0.5), *s = gr_sum(y, 0, false);
    int64_t ids[4];
    double values[4];
    CHECK_OK(gr_eval(x, ids, sizeof ids));
    CHECK_EQ_INT(ids[3], 3);
    CHECK_OK(gr_eval(y, values, sizeof values));
    CHECK_NEAR(values[3], 1.5, 0);
    CHECK_NEAR(gr_item(s), 3, 0);
    CHECK_NEAR(gr_item(gr_slice(x, 0, 2, 3)), 2, 0);
    CHECK_STATUS(gr_eval(y, values, sizeof values - 1), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "32 bytes");
    CHECK(isnan(gr_item(y)));
    CHECK_ERROR(GR_ERR_ARGUMENT, "not one");
    gr_tensor *in = gr_input(g, "in", GR_F32, 0, NULL);
    CHECK(isnan(gr_item(gr_neg(in)))); /* nobody gives it a value */
    CHECK_ERROR(GR_ERR_ARGUMENT, "in");
    gr_graph_free(g);
}

/* ---- stores ------------------------------------------------------------------------------------------------- */

TEST(stores)
{
    for (int d = 0; test_device(d); d++) {
        fixture f = open_fixture(test_device(d));
        gr_store *s = f.store;
        char name[32];
        for (int64_t i = 0; i < 200; i++) { /* the table of names grows */
            snprintf(name, sizeof name, "tensor.%d", (int)i);
            CHECK_OK(gr_store_add(s, name, GR_WEIGHT, GR_F32, 1, &i));
        }
        gr_entry e = GR_INIT(gr_entry);
        for (int i = 0; i < 200; i++) {
            snprintf(name, sizeof name, "tensor.%d", i);
            CHECK_EQ_INT(gr_store_find(s, name), i);
            CHECK_OK(gr_store_entry(s, i, &e));
            CHECK_EQ_STR(e.name, name);
            CHECK_EQ_INT(e.bytes, 4 * i);
        }
        CHECK_EQ_INT(gr_store_count(s), 200);
        CHECK_EQ_INT(gr_store_find(s, "tensor"), -1);
        float x[3] = {1, 2, 3}, y[3];
        CHECK_OK(gr_store_read(s, "tensor.3", y, sizeof y)); /* never written: zeros */
        check_values(y, (float[]){0, 0, 0}, 3);
        CHECK(!gr_store_has_data(s, 3));
        CHECK_OK(gr_store_write(s, "tensor.3", x, sizeof x));
        CHECK_OK(gr_store_read(s, "tensor.3", y, sizeof y));
        check_values(y, x, 3);
        CHECK_OK(gr_store_write(s, "tensor.0", NULL, 0));
        CHECK_STATUS(gr_store_write(s, "tensor.3", x, 8), GR_ERR_ARGUMENT);
        CHECK_STATUS(gr_store_read(s, "tensor.4", y, 12), GR_ERR_ARGUMENT);
        CHECK_STATUS(gr_store_write(s, "none", x, 12), GR_ERR_ARGUMENT);
        CHECK_ERROR(GR_ERR_ARGUMENT, "none");
        CHECK_STATUS(gr_store_entry(s, 200, &e), GR_ERR_ARGUMENT);
        CHECK_STATUS(gr_store_entry(s, -1, &e), GR_ERR_ARGUMENT);
        int64_t n = 1, huge[] = {INT64_MAX, 4}, negative = -1;
        CHECK_STATUS(gr_store_add(s, "tensor.3", GR_WEIGHT, GR_F32, 1, &n), GR_ERR_ARGUMENT);
        CHECK_ERROR(GR_ERR_ARGUMENT, "already");
        CHECK_STATUS(gr_store_add(s, "h", GR_WEIGHT, GR_F32, 2, huge), GR_ERR_ARGUMENT);
        CHECK_STATUS(gr_store_add(s, "n", GR_WEIGHT, GR_F32, 1, &negative), GR_ERR_ARGUMENT);
        CHECK_STATUS(gr_store_add(s, "d", GR_WEIGHT, (gr_dtype)99, 1, &n), GR_ERR_ARGUMENT);
        CHECK_EQ_INT(gr_store_count(s), 200);
        CHECK(!gr_param(f.g, s, "none"));
        close_fixture(&f);
    }
}
