/* Dynamic loss scaling (Micikevicius et al. 2018), as torch.amp.GradScaler has it. */
#include "op/optimizer.h"

#include <math.h>

enum { SCALE, GROWTH, UPDATES, NORM, N_SCALING };

static gr_status infer_loss_scale(const gr_tensor *node, gr_spec *out)
{
    (void)out;
    for (int i = 0; i < N_SCALING; i++)
        if (gr_expect_dtype(node, i, i == GROWTH || i == UPDATES ? GR_I64 : GR_F32) != GR_OK ||
            gr_expect_shape(node, i, 0, NULL) != GR_OK)
            return GR_ERR_ARGUMENT;
    return GR_OK;
}

static gr_status compose_loss_scale(const gr_tensor *node, gr_tensor *const *in, gr_tensor **out)
{
    const gr_loss_scale_attr *a = node->attr;
    gr_graph *g = in[SCALE]->graph;
    gr_tensor *scale = in[SCALE], *growth = in[GROWTH], *updates = in[UPDATES], *clean = gr_is_finite(in[NORM]);
    gr_tensor *zero = gr_scalar_like(growth, 0), *one = gr_scalar_like(growth, 1);
    gr_tensor *counted = gr_add(growth, one), *grown = gr_scale(scale, a->growth);
    gr_tensor *grows = gr_ge(counted, gr_fill(g, GR_I64, 0, NULL, (double)a->interval));
    grown = gr_select(gr_is_finite(grown), grown, scale);
    gr_tensor *next = gr_select(clean, gr_select(grows, grown, scale), gr_scale(scale, a->backoff));
    counted = gr_select(clean, gr_select(grows, zero, counted), zero);
    out[0] = gr_assign(scale, next);
    out[1] = gr_assign(growth, counted);
    out[2] = gr_assign(updates, gr_select(clean, gr_add(updates, one), updates));
    return gr_built(scale, out[2]);
}

/* Three numbers are less work than the calls of their composition. */
static gr_status run_loss_scale(const gr_call *call)
{
    const gr_loss_scale_attr *a = call->attr;
    float *scale = call->in[SCALE].data;
    int64_t *growth = call->in[GROWTH].data, *updates = call->in[UPDATES].data;
    bool clean = isfinite(*(const float *)call->in[NORM].data), grows = *growth + 1 >= a->interval;
    float grown = *scale * a->growth;
    if (!clean)
        *scale *= a->backoff;
    else if (grows && isfinite(grown))
        *scale = grown;
    *growth = clean && !grows ? *growth + 1 : 0;
    *updates += clean;
    return GR_OK;
}

static bool sample_loss_scale(int i, gr_sample *s)
{
    if (i >= 3)
        return false;
    *(gr_loss_scale_attr *)(void *)s->attr.bytes = (gr_loss_scale_attr){2, 0.5f, i < 2 ? 2000 : 1};
    gr_sample_f32(s, 1, 65536, 0, NULL);
    gr_sample_index(s, 0, 1999, 0, NULL);
    gr_sample_index(s, 0, 10000, 0, NULL);
    for (int k = 0; k < 3; k++)
        s->in[k].is_state = true;
    gr_sample_f32(s, 0, i == 1 ? 1e38 : 1, 0, NULL);
    return true;
}

const gr_op gr_op_loss_scale = {
    .name = "loss_scale",
    .doc =
        "scale f32 [], growth i64 [], updates i64 [], norm f32 []: where the norm is finite updates and growth count "
        "it, and at `interval` in a row the scale is multiplied by `growth`, unless it would be infinite, and the "
        "count begins anew; else the scale is multiplied by `backoff`, and the count begins anew "
        "(torch.amp.GradScaler.update)",
    .inputs = N_SCALING,
    .outputs = 3,
    .attr_size = sizeof(gr_loss_scale_attr),
    .flags = GR_OP_EFFECT,
    .writes = 1u << SCALE | 1u << GROWTH | 1u << UPDATES,
    .precision = GR_HIGH,
    .infer = infer_loss_scale,
    .no_grad = GR_EFFECT_HAS_NO_GRADIENT,
    .compose = compose_loss_scale,
    .sample = sample_loss_scale,
    .kernel = run_loss_scale,
};

gr_tensor *gr_loss_scale(gr_tensor *scale, gr_tensor *growth, gr_tensor *updates, gr_tensor *norm,
                         const gr_loss_scale_attr *attr)
{
    gr_tensor *in[] = {scale, growth, updates, norm};
    return scale && growth && updates && norm ? gr_node(scale->graph, &gr_op_loss_scale, in, N_SCALING, attr) : NULL;
}
