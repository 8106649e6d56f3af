/* Loss scaling: what it keeps, and what it adds to the graph of a step. */
#include "train/scaling.h"

#include "base/error.h"
#include "op/optimizer.h"
#include "program/store.h"

#include <math.h>

#define SCALE "loss_scale"
#define GROWTH "growth_count"
#define UPDATES "update_count"

/* torch.amp.GradScaler's. */
enum { INTERVAL = 2000 };
static const float begins = 65536, growth = 2, backoff = 0.5f, most_fixed = 16777216;

bool gr_scaling_is_on(const gr_trainer *t)
{
    return t->options.precision == GR_PRECISION_FP16;
}

gr_status gr_scaling_check_options(const gr_train_options *o)
{
    double scale = o->loss_scale;
    if ((unsigned)o->precision > GR_PRECISION_FP16)
        return gr_fail(GR_ERR_ARGUMENT, "training: there is no precision number %d", (int)o->precision);
    if (o->precision != GR_PRECISION_FP16)
        return scale == 0 ? GR_OK : gr_fail(GR_ERR_ARGUMENT, "training: a loss_scale is of fp16\nleave it out");
    if (!(scale >= 0 && scale <= (double)most_fixed) || (scale > 0 && (float)scale == 0))
        return gr_fail(GR_ERR_ARGUMENT,
                       "training: a loss_scale of %g\na fixed one is above 0 and at most 16777216 (2^24); 0 finds one "
                       "while training",
                       scale);
    return GR_OK;
}

static gr_status add(gr_trainer *t, const char *name, gr_dtype dtype)
{
    return gr_store_add(t->state, name, GR_MOMENT, dtype, 0, NULL);
}

gr_status gr_scaling_declare(gr_trainer *t)
{
    if (!gr_scaling_is_on(t))
        return GR_OK;
    gr_status s = add(t, SCALE, GR_F32);
    if (s == GR_OK)
        s = add(t, GROWTH, GR_I64);
    return s == GR_OK ? add(t, UPDATES, GR_I64) : s;
}

gr_status gr_scaling_begin(gr_trainer *t)
{
    if (!gr_scaling_is_on(t) || gr_store_has_data(t->state, gr_store_find(t->state, SCALE)))
        return GR_OK;
    return gr_scaling_write(t, t->options.loss_scale > 0 ? (float)t->options.loss_scale : begins);
}

static gr_status check_count(gr_trainer *t, const char *name, int64_t most)
{
    int64_t count;
    gr_status s = gr_store_read(t->state, name, &count, sizeof count);
    if (s == GR_OK && (count < 0 || count > most))
        s = gr_fail(GR_ERR_FILE, "tensor \"%s\" is %lld\nit is a count from 0 to %lld: the file is damaged", name,
                    (long long)count, (long long)most);
    return s;
}

gr_status gr_scaling_check(gr_trainer *t)
{
    float scale;
    if (!gr_scaling_is_on(t))
        return GR_OK;
    gr_status s = gr_scaling_read(t, &scale);
    if (s == GR_OK && !(scale > 0 && isfinite(scale)))
        s = gr_fail(GR_ERR_FILE, "tensor \"" SCALE "\" is %g\na loss scale is above 0 and finite: the file is damaged",
                    (double)scale);
    if (s == GR_OK && t->options.loss_scale > 0 && (float)t->options.loss_scale != scale)
        s = gr_fail(GR_ERR_FILE,
                    "tensor \"" SCALE "\" is %g, the run's is fixed at %g\ngo on with that of the checkpoint",
                    (double)scale, t->options.loss_scale);
    if (s == GR_OK)
        s = check_count(t, GROWTH, INTERVAL - 1);
    return s == GR_OK ? check_count(t, UPDATES, t->done) : s;
}

/* ---- in a graph --------------------------------------------------------------------------------------------- */

gr_tensor *gr_scaling_scale(gr_trainer *t, gr_graph *g)
{
    return gr_scaling_is_on(t) ? gr_param(g, t->state, SCALE) : NULL;
}

gr_tensor *gr_scaling_of(gr_trainer *t, gr_graph *g, gr_tensor *x)
{
    return gr_scaling_is_on(t) ? gr_mul(x, gr_scaling_scale(t, g)) : x;
}

gr_tensor *gr_scaling_step(gr_trainer *t, gr_graph *g)
{
    return gr_scaling_is_on(t) ? gr_offset(gr_param(g, t->state, UPDATES), 1) : NULL;
}

gr_tensor *gr_scaling_update(gr_trainer *t, gr_graph *g, gr_tensor *norm)
{
    bool is_fixed = t->options.loss_scale > 0;
    if (!gr_scaling_is_on(t))
        return NULL;
    gr_loss_scale_attr a = {is_fixed ? 1 : growth, is_fixed ? 1 : backoff, INTERVAL};
    return gr_loss_scale(gr_param(g, t->state, SCALE), gr_param(g, t->state, GROWTH), gr_param(g, t->state, UPDATES),
                         norm, &a);
}

/* ---- on the host -------------------------------------------------------------------------------------------- */

gr_status gr_scaling_read(const gr_trainer *t, float *scale)
{
    return gr_store_read(t->state, SCALE, scale, sizeof *scale);
}

gr_status gr_scaling_write(gr_trainer *t, float scale)
{
    return gr_store_write(t->state, SCALE, &scale, sizeof scale);
}
