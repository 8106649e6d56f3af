/* A budget of memory: what is chosen fits, and nothing that is cheaper does.
 * labels: slow */
#include "trained.h"

#include "program/program.h"

enum { LAYERS = 4, BATCH = 4, CONTEXT = 120, MOST = 400, SIZES = 20 };

static gr_model_info model_info(void)
{
    gr_model_info info = tiny_info("gpt2", true);
    info.layers = LAYERS;
    info.embed = 16;
    info.ffn = 64;
    info.context = CONTEXT;
    info.vocab = 211;
    return info;
}

static gr_train_options options(void)
{
    gr_train_options o = tiny_options();
    o.batch = BATCH;
    o.context = CONTEXT;
    return o;
}

typedef struct tried {
    gr_train_options o;
    gr_plan plan;
} tried;

static void try(gr_model *m, const gr_train_options *o, tried *all, int *n)
{
    gr_trainer *t = gr_trainer_new(m, o);
    CHECK_MADE(t);
    CHECK(*n < MOST);
    all[(*n)++] = (tried){*o, *gr_trainer_plan(t)};
    gr_trainer_free(t);
}

/* Everything that may be chosen, with everything else. */
static int try_all(gr_model *m, gr_train_options from, unsigned may, tried *all)
{
    int n = 0;
    for (int64_t parts = 1; parts <= (may & GR_FIT_ACCUMULATE ? BATCH : 1); parts *= 2)
        for (int moments = 0; moments < 3; moments++)
            for (int what = 0; what <= (may & GR_FIT_RECOMPUTE ? 2 * LAYERS : 0); what++)
                for (int head = 0; head <= !!(may & GR_FIT_HEAD_ROWS); head++) {
                    gr_train_options o = from;
                    if ((moments == 1 && !(may & GR_FIT_MOMENTS)) || (moments == 2 && !(may & GR_FIT_ADAMW8BIT)))
                        continue;
                    o.batch = from.batch / parts;
                    o.accumulate = from.accumulate * parts;
                    o.bf16_moments = moments == 1;
                    o.optimizer = moments == 2 ? GR_ADAMW8BIT : from.optimizer;
                    o.recompute = what == 0        ? GR_RECOMPUTE_NONE
                                  : what <= LAYERS ? GR_RECOMPUTE_ATTENTION
                                                   : GR_RECOMPUTE_BLOCK;
                    o.recompute_blocks = what ? (what - 1) % LAYERS + 1 : 0;
                    o.head_rows = head ? GR_AUTO : 0;
                    try(m, &o, all, &n);
                }
    return n;
}

static void check_choice(gr_model *m, const gr_train_options *from, unsigned may, const tried *all, int n,
                         size_t memory)
{
    gr_fit_options fit = {.size = sizeof fit, .may = may, .memory = memory};
    gr_train_options o = *from;
    gr_plan plan = GR_INIT(gr_plan);
    const tried *best = NULL, *least = all;
    for (int i = 0; i < n; i++) {
        bool fits = all[i].plan.total <= memory;
        best = fits && (!best || all[i].plan.flops < best->plan.flops) ? &all[i] : best;
        least = all[i].plan.total < least->plan.total ? &all[i] : least;
    }
    gr_status s = gr_train_fit(m, &o, &fit, &plan);
    if (!best) {
        CHECK_EQ_INT(s, GR_ERR_MEMORY);
        CHECK_ERROR(GR_ERR_MEMORY, "training needs at least");
        CHECK_EQ_INT(plan.total, least->plan.total);
        CHECK(memcmp(&o, from, sizeof o) == 0);
        return;
    }
    CHECK_OK(s);
    CHECK(plan.total <= memory);
    if (plan.flops != best->plan.flops)
        FAIL("%d bytes: %.0f FLOPs are chosen (recompute %d of %d, batch %d, optimizer %d), %.0f are enough (recompute "
             "%d "
             "of %d, batch %d, optimizer %d)",
             (int)memory, plan.flops, (int)o.recompute, (int)o.recompute_blocks, (int)o.batch, (int)o.optimizer,
             best->plan.flops, (int)best->o.recompute, (int)best->o.recompute_blocks, (int)best->o.batch,
             (int)best->o.optimizer);
    CHECK_EQ_INT(o.batch * o.accumulate, from->batch * from->accumulate);
    gr_trainer *t = gr_trainer_new(m, &o);
    CHECK_MADE(t);
    CHECK_EQ_INT(gr_trainer_plan(t)->total, plan.total);
    gr_trainer_free(t);
}

TEST(the_cheapest_of_all_that_fit)
{
    static const unsigned mays[] = {
        GR_FIT_HEAD_ROWS | GR_FIT_MOMENTS | GR_FIT_RECOMPUTE | GR_FIT_ACCUMULATE,
        GR_FIT_HEAD_ROWS | GR_FIT_MOMENTS | GR_FIT_RECOMPUTE | GR_FIT_ACCUMULATE | GR_FIT_ADAMW8BIT, GR_FIT_RECOMPUTE};
    gr_model_info info = model_info();
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model_of(&info, device, 1);
    tried *all = malloc(MOST * sizeof *all);
    for (size_t k = 0; k < sizeof mays / sizeof *mays; k++) {
        gr_train_options o = options();
        o.clip_last = k % 2 == 0;
        int n = try_all(m, o, mays[k], all);
        size_t least = all[0].plan.total, most = 0;
        for (int i = 0; i < n; i++) {
            least = all[i].plan.total < least ? all[i].plan.total : least;
            most = all[i].plan.total > most ? all[i].plan.total : most;
        }
        NOTE("case %d: %d plans", (int)k, n);
        for (int i = 0; i <= SIZES; i++)
            check_choice(m, &o, mays[k], all, n, least + (most - least) * (size_t)i / SIZES);
        check_choice(m, &o, mays[k], all, n, least - 1);
        check_choice(m, &o, mays[k], all, n, 1);
    }
    free(all);
    gr_model_free(m);
    gr_device_close(device);
}

/* Of equal cost the one that changes less: nothing where all fits, then the head alone. */
TEST(no_more_than_has_to_be)
{
    gr_model_info info = model_info();
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model_of(&info, device, 1);
    gr_train_options o = options(), was = o;
    gr_fit_options fit = {.size = sizeof fit, .may = ~0u, .memory = SIZE_MAX};
    CHECK_OK(gr_train_fit(m, &o, &fit, NULL));
    CHECK(memcmp(&o, &was, sizeof o) == 0);
    gr_trainer *t = gr_trainer_new(m, &o);
    fit.memory = gr_trainer_plan(t)->total - 1;
    gr_trainer_free(t);
    CHECK_OK(gr_train_fit(m, &o, &fit, NULL));
    CHECK(o.head_rows == GR_AUTO && !o.bf16_moments && o.recompute == GR_RECOMPUTE_NONE && o.batch == BATCH);
    o = was;
    o.dropout = 0.1; /* other micro-batches would draw other numbers */
    fit.may = GR_FIT_ACCUMULATE;
    CHECK_EQ_INT(gr_train_fit(m, &o, &fit, NULL), GR_ERR_MEMORY);
    CHECK_EQ_INT(gr_train_fit(m, NULL, &fit, NULL), GR_ERR_ARGUMENT);
    CHECK_EQ_INT(gr_train_fit(m, &o, NULL, NULL), GR_ERR_ARGUMENT);
    gr_model_free(m);
    gr_device_close(device);
}

/* Smaller micro-batches are the same numbers, but for the last bits of sums. */
TEST(micro_batches_are_the_batch)
{
    gr_model_info info = tiny_info("llama", false);
    gr_train_options o = tiny_options();
    o.batch = 4;
    o.optimizer = GR_SGD;
    o.beta1 = 0;
    trained whole = train(&info, "cpu", &o, 5);
    for (int64_t parts = 2; parts <= 4; parts *= 2) {
        o.batch = 4 / parts;
        o.accumulate = parts;
        trained split = train(&info, "cpu", &o, 5);
        CHECK_EQ_INT(split.size, whole.size);
        for (size_t i = 0; i < whole.size / sizeof(float); i++)
            CHECK_NEAR(((float *)split.weights)[i], ((float *)whole.weights)[i], 1e-6);
        CHECK_NEAR(split.loss, whole.loss, 1e-5);
        free(split.weights);
    }
    free(whole.weights);
}
