/* Options and the learning rate. */
#include "train/trainer.h"

#include "base/error.h"
#include "base/sized.h"

#include <math.h>

gr_status gr_train_fill_defaults(gr_train_options *out)
{
    const gr_train_options usual = {
        .batch = 12,
        .context = 64,
        .accumulate = 1,
        .steps = 2000,
        .lr = 1e-3,
        .min_lr = 1e-4,
        .warmup = 100,
        .schedule = GR_COSINE,
        .optimizer = GR_ADAMW,
        .beta1 = 0.9,
        .beta2 = 0.95,
        .eps = 1e-8,
        .muon_momentum = 0.95,
        .weight_decay = 0.1,
        .clip = 1,
    };
    if (gr_lacks(out, "gr_train_fill_defaults: out"))
        return GR_ERR_ARGUMENT;
    return gr_give_sized(out, &usual, sizeof usual, "gr_train_fill_defaults: out");
}

gr_status gr_train_take(gr_train_options *own, const gr_train_options *given, const char *what)
{
    *own = GR_INIT(gr_train_options);
    gr_status s = given ? gr_take_sized(own, sizeof *own, given, what) : gr_train_fill_defaults(own);
    for (size_t i = 0; s == GR_OK && i < sizeof own->reserved / sizeof *own->reserved; i++)
        if (own->reserved[i])
            s = gr_fail(GR_ERR_UNSUPPORTED, "%s: asks for what a newer version of the library can do\nuse that version",
                        what);
    return s;
}

/* How much of the way from lr (0) to min_lr (1) is done when the fraction p of the steps after warmup is. */
static double fallen(gr_schedule schedule, double p)
{
    const double pi = 3.14159265358979323846, plateau = 0.8;
    switch (schedule) {
    case GR_COSINE:
        return 0.5 * (1 - cos(pi * p));
    case GR_LINEAR:
        return p;
    case GR_WSD: /* warmup, stable, decay (Hu et al. 2024) */
        return p < plateau ? 0 : (p - plateau) / (1 - plateau);
    case GR_CONSTANT:
        break;
    }
    return 0;
}

double gr_learning_rate(const gr_train_options *o, int64_t step)
{
    if (step < o->warmup)
        return o->lr * (double)(step + 1) / (double)o->warmup;
    int64_t span = o->steps - o->warmup;
    double p = span > 0 ? (double)(step - o->warmup) / (double)span : 1;
    return o->lr + (o->min_lr - o->lr) * fallen(o->schedule, p < 1 ? p : 1);
}
