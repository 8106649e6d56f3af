/* Early updates: each weight is moved as soon as its gradient is there, by the same bits as after all of them. */
#include "trained.h"

#include "op/op.h"
#include "program/program.h"

#include <math.h>

/* The steps of the program at which weights are moved: the first one, and how many there are in all. */
static int first_update(const gr_program *p, int *n)
{
    int first = -1;
    *n = p->code.n;
    for (int i = 0; i < p->code.n; i++)
        if ((p->code.steps[i].call.op->flags & GR_OP_EFFECT) && first < 0)
            first = i;
    return first;
}

static gr_model_info deep_info(const char *arch, bool tied)
{
    gr_model_info info = tiny_info(arch, tied);
    info.layers = 6;
    info.embed = 32;
    info.ffn = 128;
    return info;
}

/* A trainer's first program, with all passes or without one. */
static gr_trainer *trainer_of(gr_model *m, gr_train_options o, const char *passes)
{
    o.passes = passes;
    gr_trainer *t = gr_trainer_new(m, &o);
    CHECK_MADE(t);
    return t;
}

TEST(weights_are_moved_where_their_gradients_come)
{
    static const struct {
        double clip;
        bool last, early;
        int64_t accumulate;
        gr_precision precision;
    } cases[] = {{1, false, false, 1, GR_PRECISION_F32},  {0, false, true, 1, GR_PRECISION_F32},
                 {1, true, true, 1, GR_PRECISION_F32},    {0, false, true, 1, GR_PRECISION_BF16},
                 {0, false, false, 1, GR_PRECISION_FP16}, {1, true, false, 1, GR_PRECISION_FP16},
                 {1, false, true, 2, GR_PRECISION_F32}};
    gr_model_info info = deep_info("llama", false);
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model_of(&info, device, 3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gr_train_options o = tiny_options();
        int n;
        NOTE("case %d", (int)i);
        o.clip = cases[i].clip;
        o.clip_last = cases[i].last;
        o.accumulate = cases[i].accumulate;
        o.precision = cases[i].precision;
        gr_trainer *t = trainer_of(m, o, NULL), *late = trainer_of(m, o, "-updates");
        int first = first_update(t->step, &n);
        CHECK((first < n * 2 / 3) == cases[i].early);
        first = first_update(late->step, &n);
        CHECK(first > n * 2 / 3);
        size_t early_peak = gr_trainer_plan(t)->peak_gradients, peak = gr_trainer_plan(late)->peak_gradients;
        NOTE("case %d: %d and %d bytes", (int)i, (int)early_peak, (int)peak);
        CHECK(cases[i].early ? early_peak * 3 < peak * 2 : early_peak * 50 > peak * 49);
        gr_trainer_free(t);
        gr_trainer_free(late);
    }
    gr_model_free(m);
    gr_device_close(device);
}

TEST(the_same_bits_as_after_all_gradients)
{
    static const gr_optimizer optimizers[] = {GR_ADAMW, GR_SGD, GR_LION, GR_ADAFACTOR, GR_MUON, GR_ADAMW8BIT};
    for (int d = 0; test_device(d); d++)
        for (int k = 0; k < 6; k++) {
            gr_model_info info = tiny_info(k % 2 ? "llama" : "gpt2", k % 2 == 0);
            gr_train_options o = tiny_options();
            NOTE("%s, case %d", test_device(d), k);
            o.optimizer = optimizers[k];
            o.clip = k % 3 ? 0 : 0.5;
            o.clip_last = k % 3 == 0;
            o.accumulate = k == 4 ? 2 : 1;
            o.precision = k % 2 ? GR_PRECISION_BF16 : GR_PRECISION_F32;
            o.passes = "-updates";
            trained late = train(&info, test_device(d), &o, 4);
            o.passes = NULL;
            trained early = train(&info, test_device(d), &o, 4);
            check_same(&early, &late, "early updates");
            CHECK(early.norm == late.norm);
            free(early.weights);
            free(late.weights);
        }
}

/* Without a limit on the norm it makes no difference when weights are moved, but for the norm's last bits. */
TEST(no_clipping_is_no_clipping)
{
    gr_model_info info = tiny_info("llama", false);
    gr_train_options o = tiny_options();
    o.clip = 1e30;
    trained all = train(&info, "cpu", &o, 4);
    o.clip = 0;
    trained early = train(&info, "cpu", &o, 4);
    check_same(&early, &all, "without a limit");
    CHECK_NEAR(early.norm, all.norm, 1e-6);
    o.clip = 1e30;
    o.clip_last = true;
    trained last = train(&info, "cpu", &o, 4);
    check_same(&last, &all, "with one that is out of reach");
    free(all.weights);
    free(early.weights);
    free(last.weights);
}

static void fill(gr_train_options *o, int64_t step, gr_token *tokens)
{
    tiny_batch(o, step, tokens, tokens + o->accumulate * o->batch * o->context);
}

/* SGD without momentum moves each weight by its clipped gradient: so far as the norm before has it. */
TEST(the_norm_before_is_what_clips)
{
    for (int64_t accumulate = 1; accumulate <= 2; accumulate++) {
        gr_train_options o = tiny_options();
        gr_token tokens[64];
        gr_device *device = gr_device_open("cpu", 1);
        gr_model *m = tiny_model("llama", device);
        gr_step_report r = GR_INIT(gr_step_report);
        float before[TINY_VOCAB * 8], after[TINY_VOCAB * 8], kept;
        double moved[3] = {0}, norm[3];
        o.optimizer = GR_SGD;
        o.beta1 = o.weight_decay = 0;
        o.schedule = GR_CONSTANT;
        o.warmup = 0;
        o.lr = 1e-3; /* gradients stay about what they are */
        o.accumulate = accumulate;
        o.clip = 0.01;
        o.clip_last = true;
        gr_trainer *t = gr_trainer_new(m, &o);
        CHECK_MADE(t);
        for (int i = 0; i < 3; i++) {
            fill(&o, 0, tokens);
            CHECK_OK(gr_store_read(gr_model_store(m), "lm_head.weight", before, sizeof before));
            CHECK_OK(gr_trainer_step(t, &(gr_batch){tokens, tokens + accumulate * 16, NULL}, &r));
            CHECK_OK(gr_store_read(gr_model_store(m), "lm_head.weight", after, sizeof after));
            for (int k = 0; k < TINY_VOCAB * 8; k++)
                moved[i] += fabs((double)after[k] - (double)before[k]);
            norm[i] = r.grad_norm;
            CHECK_OK(gr_store_read(gr_trainer_store(t), "last_grad_norm", &kept, sizeof kept));
            CHECK_NEAR(kept, norm[i], 1e-6);
        }
        CHECK(norm[0] > 0.1);
        CHECK_NEAR(moved[1] / moved[0], 0.01 / norm[0], 0.05 * 0.01 / norm[0]);
        CHECK_NEAR(moved[2] / moved[1], 1, 0.05);
        gr_trainer_free(t);
        o.clip = 0;
        CHECK(!gr_trainer_new(m, &o));
        CHECK_ERROR(GR_ERR_ARGUMENT, "clip_last is about clip");
        gr_model_free(m);
        gr_device_close(device);
    }
}

/* A loss that is not finite moves nothing; a gradient that is not, not its weight. */
TEST(what_is_not_finite_is_skipped)
{
    for (int k = 0; k < 2; k++) {
        gr_train_options o = tiny_options();
        gr_token tokens[32];
        gr_device *device = gr_device_open("cpu", 1);
        gr_model_info info = tiny_info("llama", false);
        gr_model *m = tiny_model_of(&info, device, 1);
        gr_step_report r = GR_INIT(gr_step_report);
        size_t size, same;
        float bad[8] = {0};
        bad[3] = NAN;
        CHECK_OK(gr_store_write(gr_model_store(m), "model.norm.weight", bad, sizeof bad));
        o.clip = k;
        o.clip_last = k;
        gr_trainer *t = gr_trainer_new(m, &o);
        CHECK_MADE(t);
        void *before = bytes_of(gr_model_store(m), &size);
        fill(&o, 0, tokens);
        CHECK_OK(gr_trainer_step(t, &(gr_batch){tokens, tokens + 16, NULL}, &r));
        CHECK(r.skipped && r.bad);
        void *after = bytes_of(gr_model_store(m), &same);
        CHECK(size == same && memcmp(before, after, size) == 0);
        free(before);
        free(after);
        gr_trainer_free(t);
        gr_model_free(m);
        gr_device_close(device);
    }
}

TEST(memory_that_cannot_be_had)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("gpt2", device);
    gr_train_options o = tiny_options();
    o.clip_last = true;
    check_sweep(m, &o);
    gr_model_free(m);
    gr_device_close(device);
}
