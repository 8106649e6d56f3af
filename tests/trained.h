/* Training a tiny model, to compare what comes of different ways to do it. */
#ifndef GRADUS_TESTS_TRAINED_H
#define GRADUS_TESTS_TRAINED_H

#include "tiny.h"

#include "train/trainer.h"

__attribute__((unused)) static void *bytes_of(gr_store *s, size_t *size)
{
    size_t at = 0;
    unsigned char *bytes = NULL;
    for (int i = 0; i < gr_store_count(s); i++) {
        gr_entry e = GR_INIT(gr_entry);
        CHECK_OK(gr_store_entry(s, i, &e));
        bytes = realloc(bytes, at + e.bytes + 1);
        CHECK_OK(gr_store_read(s, e.name, bytes + at, e.bytes));
        at += e.bytes;
    }
    *size = at;
    return bytes;
}

/* What is left of some steps: all weights, and what a step needs. */
typedef struct trained {
    void *weights;
    size_t size;
    gr_plan plan;
    double loss, norm, eval;
} trained;

__attribute__((unused)) static trained train(const gr_model_info *info, const char *on, const gr_train_options *o,
                                             int steps)
{
    trained out = {0};
    gr_device *device = gr_device_open(on, 2);
    gr_model *m = tiny_model_of(info, device, 5);
    CHECK_MADE(m);
    gr_trainer *t = gr_trainer_new(m, o);
    CHECK_MADE(t);
    size_t n = (size_t)(o->batch * o->accumulate * o->context);
    gr_token *tokens = malloc(2 * n * sizeof *tokens);
    gr_step_report r = GR_INIT(gr_step_report);
    for (int i = 0; i < steps; i++) {
        tiny_batch(o, i, tokens, tokens + n);
        for (size_t k = 0; k < n; k += 5)
            tokens[n + k] = -100;
        CHECK_OK(gr_trainer_step(t, &(gr_batch){tokens, tokens + n, NULL}, &r));
        CHECK(!r.skipped);
    }
    int64_t count;
    if (steps)
        CHECK_OK(gr_trainer_eval_batch(t, &(gr_batch){tokens, tokens + n, NULL}, &out.eval, &count));
    out.loss = steps ? r.loss : 0;
    out.norm = steps ? r.grad_norm : 0;
    out.weights = bytes_of(gr_model_trainable(m), &out.size);
    out.plan = *gr_trainer_plan(t);
    free(tokens);
    gr_trainer_free(t);
    gr_model_free(m);
    gr_device_close(device);
    return out;
}

__attribute__((unused)) static void check_same(const trained *one, const trained *other, const char *what)
{
    CHECK_EQ_INT(one->size, other->size);
    if (memcmp(one->weights, other->weights, one->size) != 0)
        FAIL("%s: other weights, losses %.9g and %.9g", what, one->loss, other->loss);
    CHECK(one->eval == other->eval && one->loss == other->loss);
}

/* Without memory there is no trainer, and nothing is left behind. */
__attribute__((unused)) static void check_sweep(gr_model *m, const gr_train_options *o)
{
    bool is_made = false;
    for (int64_t at = 1; !is_made; at += at / 16 + 1) {
        NOTE("allocation %d", (int)at);
        int64_t before = gr_mem_read_stats().live_blocks;
        gr_mem_fail_at(at);
        gr_trainer *t = gr_trainer_new(m, o);
        gr_mem_fail_at(0);
        is_made = t;
        if (!t)
            CHECK_EQ_INT(gr_error_status(), GR_ERR_MEMORY);
        gr_trainer_free(t);
        CHECK_EQ_INT(gr_mem_read_stats().live_blocks, before);
    }
}

#endif
