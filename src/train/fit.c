/* Options under which training fits a memory: the cheapest by the plan's own FLOPs.
 *
 * What may change is walked through: micro-batches, moments, recomputation; the head in pieces costs nothing, so it is tried
 * first and left out again where the rest fits without. Recomputation costs more with every block, and needs no more memory:
 * of each kind the fewest blocks that fit are found by bisection. */
#include "gradus.h"

#include "base/error.h"
#include "base/sized.h"
#include "train/trainer.h"

typedef struct search {
    gr_model *model;
    gr_fit_options fit;
    int64_t layers;
    bool is_found;
    gr_train_options best;
    gr_plan plan;  /* of best */
    gr_plan least; /* the smallest of all that did not fit */
    int changes;   /* of best: what decides between equal costs */
} search;

static bool may(const search *s, unsigned what)
{
    return s->fit.may & what;
}

static gr_status plan_of(gr_model *model, const gr_train_options *o, gr_plan *plan)
{
    gr_trainer *t = gr_trainer_new(model, o);
    if (!t)
        return gr_error_status();
    *plan = *gr_trainer_plan(t);
    gr_trainer_free(t);
    return GR_OK;
}

/* Does it fit? What does not may be the smallest yet. */
static gr_status try(search *s, const gr_train_options *o, gr_plan *plan, bool *fits)
{
    gr_status st = plan_of(s->model, o, plan);
    *fits = st == GR_OK && plan->total <= s->fit.memory;
    if (st == GR_OK && !*fits && (s->least.total == 0 || plan->total < s->least.total))
        s->least = *plan;
    return st;
}

static void take(search *s, const gr_train_options *o, const gr_plan *plan, int changes)
{
    bool is_cheaper = plan->flops < s->plan.flops || (plan->flops == s->plan.flops && changes < s->changes);
    if (s->is_found && !is_cheaper)
        return;
    s->is_found = true;
    s->best = *o;
    s->plan = *plan;
    s->changes = changes;
}

/* o fits; perhaps it does with the head as it was, too. */
static gr_status settle(search *s, gr_train_options o, const gr_plan *plan, const gr_train_options *from, int changes)
{
    gr_plan whole;
    bool fits = false;
    gr_status st = GR_OK;
    take(s, &o, plan, changes + (o.head_rows != from->head_rows));
    if (o.head_rows == from->head_rows)
        return GR_OK;
    o.head_rows = from->head_rows;
    st = try(s, &o, &whole, &fits);
    if (fits)
        take(s, &o, &whole, changes);
    return st;
}

static void recompute(const search *s, gr_train_options *o, gr_recompute what, int64_t blocks)
{
    o->recompute = what;
    o->recompute_blocks = blocks < s->layers ? blocks : 0;
}

/* The fewest blocks with which o fits. */
static gr_status find_blocks(search *s, gr_train_options o, gr_recompute what, const gr_train_options *from,
                             int changes)
{
    int64_t low = 0, high = s->layers; /* low does not fit */
    gr_plan plan, found;
    bool fits;
    recompute(s, &o, what, high);
    gr_status st = try(s, &o, &found, &fits);
    if (st != GR_OK || !fits)
        return st;
    while (st == GR_OK && high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        recompute(s, &o, what, middle);
        st = try(s, &o, &plan, &fits);
        if (!fits)
            low = middle;
        else
            high = middle, found = plan;
    }
    recompute(s, &o, what, high);
    return st == GR_OK ? settle(s, o, &found, from, changes) : st;
}

static gr_status find_recompute(search *s, gr_train_options o, const gr_train_options *from, int changes)
{
    gr_plan plan;
    bool fits;
    gr_status st = try(s, &o, &plan, &fits);
    if (st == GR_OK && fits)
        return settle(s, o, &plan, from, changes);
    bool is_free = may(s, GR_FIT_RECOMPUTE) && from->recompute == GR_RECOMPUTE_NONE && s->layers > 0;
    if (st != GR_OK || !is_free || (s->is_found && plan.flops >= s->plan.flops))
        return st;
    st = find_blocks(s, o, GR_RECOMPUTE_ATTENTION, from, changes);
    return st == GR_OK ? find_blocks(s, o, GR_RECOMPUTE_BLOCK, from, changes) : st;
}

static gr_status find_moments(search *s, gr_train_options o, const gr_train_options *from)
{
    bool is_adamw = o.optimizer == GR_ADAMW;
    gr_status st = find_recompute(s, o, from, 0);
    if (st == GR_OK && is_adamw && !o.bf16_moments && may(s, GR_FIT_MOMENTS)) {
        o.bf16_moments = true;
        st = find_recompute(s, o, from, 2);
    }
    if (st == GR_OK && is_adamw && may(s, GR_FIT_ADAMW8BIT)) {
        o.bf16_moments = false;
        o.optimizer = GR_ADAMW8BIT;
        st = find_recompute(s, o, from, 4);
    }
    return st;
}

static gr_status find(search *s, const gr_train_options *from)
{
    gr_status st = GR_OK;
    gr_train_options o = *from;
    if (may(s, GR_FIT_HEAD_ROWS) && o.head_rows == 0)
        o.head_rows = GR_AUTO;
    bool may_split = may(s, GR_FIT_ACCUMULATE) && from->dropout == 0;
    for (int64_t parts = 1; st == GR_OK && parts <= (may_split ? from->batch : 1); parts++) {
        if (from->batch % parts)
            continue;
        o.batch = from->batch / parts;
        o.accumulate = from->accumulate * parts;
        st = find_moments(s, o, from);
    }
    return st;
}

static gr_status finish(const search *s, gr_train_options *options, gr_plan *plan)
{
    gr_plan *given = plan;
    const gr_plan *found = s->is_found ? &s->plan : &s->least;
    gr_status st = given ? gr_give_sized(given, found, sizeof *found, "gr_train_fit: plan") : GR_OK;
    if (st != GR_OK)
        return st;
    if (!s->is_found)
        return gr_fail(
            GR_ERR_MEMORY,
            "training needs at least %.1f MB, and may have %.1f MB\nallow more, or make the model, the batch "
            "or the context smaller",
            (double)s->least.total / 1e6, (double)s->fit.memory / 1e6);
    return gr_give_sized(options, &s->best, sizeof s->best, "gr_train_fit: options");
}

gr_status gr_train_fit(gr_model *model, gr_train_options *options, const gr_fit_options *fit, gr_plan *plan)
{
    search s = {.model = model};
    gr_train_options from;
    if (gr_lacks(model, "gr_train_fit: model") || gr_lacks(options, "gr_train_fit: options") ||
        gr_lacks(fit, "gr_train_fit: fit") || gr_train_take(&from, options, "gr_train_fit: options") != GR_OK ||
        gr_take_sized(&s.fit, sizeof s.fit, fit, "gr_train_fit: fit") != GR_OK)
        return GR_ERR_ARGUMENT;
    s.layers = gr_model_describe(model)->layers;
    gr_status st = find(&s, &from);
    return st == GR_OK ? finish(&s, options, plan) : st;
}
