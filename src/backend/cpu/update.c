/* Optimizer steps: cut into pieces by the parameter's size. */
#include "backend/cpu/cpu.h"

#include "backend/cpu/convert.h"
#include "backend/cpu/reduce_kernels.h"
#include "base/dynamic8.h"
#include "op/optimizer.h"

#include <math.h>
#include <string.h>

enum {
    PIECE = 16384,
    WIDENED = 1024, /* values of a 16-bit gradient or parameter at a time: they stay in the first-level cache */
};

/* The operands of gr_adamw, gr_sgd and gr_lion in their order. */
enum { PARAM, GRAD, M, V, ADAMW_LR, STEP, ADAMW_SCALE };
enum { VELOCITY = 2, SGD_LR, SGD_SCALE };
enum { LION_LR = 3, LION_SCALE };

typedef struct step step;
struct step {
    const gr_update_kernels *kernels;
    /* n elements from `at` on: a multiple of GR_DYNAMIC8_BLOCK, and of the runs of random numbers */
    void (*run)(const step *s, int64_t at, float *p, const float *grad, int64_t n);
    float *p, *m, *v;
    uint16_t *p16;       /* a parameter of bf16, rounded at random; p is NULL */
    uint16_t *m16, *v16; /* moments of bf16 */
    gr_moments8_at m8;
    const void *grad;
    gr_to_f32 *widen; /* of a gradient of 16 bits; NULL: it is f32 */
    int64_t count;
    uint64_t param_stream; /* with p16 */
    gr_adamw_step adamw;
    gr_sgd_step sgd;
    gr_lion_step lion;
};

static float scalar(const gr_call *call, int i, float otherwise)
{
    return i < call->n_in && call->in[i].data ? *(const float *)call->in[i].data : otherwise;
}

static void adamw(const step *s, int64_t at, float *p, const float *grad, int64_t n)
{
    s->kernels->adamw(p, grad, s->m + at, s->v + at, &s->adamw, n);
}

static void adamw16(const step *s, int64_t at, float *p, const float *grad, int64_t n)
{
    s->kernels->adamw16(p, grad, s->m16 + at, s->v16 + at, &s->adamw, at, n);
}

static void adamw8(const step *s, int64_t at, float *p, const float *grad, int64_t n)
{
    gr_moments8_at m = s->m8;
    for (int k = 0; k < 2; k++) {
        m.codes[k] += at;
        m.absmax[k] += at / GR_DYNAMIC8_BLOCK;
    }
    s->kernels->adamw8(p, grad, &m, &s->adamw, n);
}

static void sgd(const step *s, int64_t at, float *p, const float *grad, int64_t n)
{
    s->kernels->sgd(p, grad, s->v ? s->v + at : NULL, &s->sgd, n);
}

static void lion(const step *s, int64_t at, float *p, const float *grad, int64_t n)
{
    s->kernels->lion(p, grad, s->m + at, &s->lion, n);
}

static void do_piece(void *ctx, int64_t piece, int worker)
{
    (void)worker;
    const step *s = ctx;
    int64_t at = piece * PIECE, end = at + PIECE < s->count ? at + PIECE : s->count;
    if (!s->widen && !s->p16) {
        s->run(s, at, s->p + at, (const float *)s->grad + at, end - at);
        return;
    }
    for (; at < end; at += WIDENED) {
        float wide[WIDENED], grad[WIDENED], *p = s->p16 ? wide : s->p + at;
        int64_t n = end - at < WIDENED ? end - at : WIDENED;
        if (s->widen)
            s->widen((const uint16_t *)s->grad + at, grad, n);
        if (s->p16)
            s->kernels->widen(p, s->p16 + at, n);
        s->run(s, at, p, s->widen ? grad : (const float *)s->grad + at, n);
        if (s->p16)
            s->kernels->narrow(s->p16 + at, p, s->adamw.seed, s->param_stream, at, n);
    }
}

static step start(const gr_call *call)
{
    gr_dtype grad = call->in[GRAD].dtype;
    bool is_low = call->in[PARAM].dtype == GR_BF16;
    return (step){.kernels = GR_ISA_PICK(gr_update_kernels_get)(),
                  .p = is_low ? NULL : call->in[PARAM].data,
                  .p16 = is_low ? call->in[PARAM].data : NULL,
                  .grad = call->in[GRAD].data,
                  .widen = grad == GR_F32 ? NULL : gr_cpu_to_f32(grad),
                  .count = gr_operand_count(&call->in[PARAM])};
}

static gr_status finish(const gr_call *call, step *s,
                        void (*run)(const step *, int64_t, float *, const float *, int64_t))
{
    s->run = run;
    gr_parallel(call->device->pool, (s->count + PIECE - 1) / PIECE, do_piece, s);
    return GR_OK;
}

static gr_adamw_step adamw_step(const gr_adamw_options *o, float lr, int64_t at, float scale)
{
    double t = (double)at;
    return (gr_adamw_step){
        .grad_scale = scale,
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .rest1 = (float)(1 - (double)o->beta1),
        .rest2 = (float)(1 - (double)o->beta2),
        .decay = (float)(1 - (double)lr * (double)o->weight_decay),
        .rate = (float)((double)lr / (1 - pow((double)o->beta1, t))),
        .root_scale = (float)(1 / sqrt(1 - pow((double)o->beta2, t))),
        .eps = o->eps,
        .seed = (uint64_t)at,
        .stream = 2 * (uint64_t)o->stream,
    };
}

static gr_status run_adamw(const gr_call *call)
{
    float scale = scalar(call, ADAMW_SCALE, 1);
    bool is_narrow = call->in[M].dtype == GR_BF16;
    if (!isfinite(scale))
        return GR_OK; /* the step is skipped */
    step s = start(call);
    s.m = is_narrow ? NULL : call->in[M].data;
    s.v = is_narrow ? NULL : call->in[V].data;
    s.m16 = is_narrow ? call->in[M].data : NULL;
    s.v16 = is_narrow ? call->in[V].data : NULL;
    s.adamw = adamw_step(call->attr, scalar(call, ADAMW_LR, 0), *(const int64_t *)call->in[STEP].data, scale);
    s.param_stream = GR_PARAM_STREAM | ((const gr_adamw_options *)call->attr)->stream;
    return finish(call, &s, is_narrow ? adamw16 : adamw);
}

static void fill_table(gr_dynamic8_table *t, bool is_signed)
{
    int code = 0;
    gr_dynamic8_map(is_signed, t->value, t->middle);
    for (uint32_t cell = 0; cell < GR_DYNAMIC8_CELLS; cell++) {
        uint32_t bits = ((uint32_t)(104 << 7) + cell) << 16;
        float lowest;
        memcpy(&lowest, &bits, sizeof lowest);
        while (t->middle[code] < lowest)
            code++;
        t->below[cell] = (uint8_t)code;
    }
}

static gr_status run_adamw8bit(const gr_call *call)
{
    enum { CODES1 = 2, ABSMAX1, CODES2, ABSMAX2, LR, AT_STEP, SCALE };
    const gr_adamw8bit_attr *a = call->attr;
    float scale = scalar(call, SCALE, 1);
    gr_dynamic8_table table[2];
    if (!isfinite(scale))
        return GR_OK;
    for (int k = 0; k < 2; k++)
        fill_table(&table[k], k == 0);
    step s = start(call);
    s.m8 = (gr_moments8_at){
        {call->in[CODES1].data, call->in[CODES2].data}, {call->in[ABSMAX1].data, call->in[ABSMAX2].data}, table};
    const gr_adamw_options o = {.beta1 = a->beta1, .beta2 = a->beta2, .eps = a->eps, .weight_decay = a->weight_decay};
    s.adamw = adamw_step(&o, scalar(call, LR, 0), *(const int64_t *)call->in[AT_STEP].data, scale);
    s.param_stream = GR_PARAM_STREAM | a->stream;
    return finish(call, &s, adamw8);
}

static gr_status run_sgd(const gr_call *call)
{
    const gr_sgd_attr *a = call->attr;
    float scale = scalar(call, SGD_SCALE, 1);
    if (!isfinite(scale))
        return GR_OK;
    step s = start(call);
    s.v = call->in[VELOCITY].data;
    s.sgd = (gr_sgd_step){scale, scalar(call, SGD_LR, 0), a->momentum, a->weight_decay};
    return finish(call, &s, sgd);
}

static gr_status run_lion(const gr_call *call)
{
    const gr_lion_attr *a = call->attr;
    float lr = scalar(call, LION_LR, 0), scale = scalar(call, LION_SCALE, 1);
    if (!isfinite(scale))
        return GR_OK;
    step s = start(call);
    s.m = call->in[M].data;
    s.lion = (gr_lion_step){.grad_scale = scale,
                            .beta1 = a->beta1,
                            .beta2 = a->beta2,
                            .rest1 = (float)(1 - (double)a->beta1),
                            .rest2 = (float)(1 - (double)a->beta2),
                            .lr = lr,
                            .decay = (float)(1 - (double)lr * (double)a->weight_decay)};
    return finish(call, &s, lion);
}

/* AdamW's parameter may be bf16, its moments then f32 or bf16. */
static bool supports_adamw(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    gr_dtype p = node->in[PARAM]->spec.dtype;
    return p == GR_F32 || p == GR_BF16;
}

/* Of other 16-bit parameters the composition takes care. */
static bool supports(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return node->in[PARAM]->spec.dtype == GR_F32;
}

const gr_kernel gr_cpu_update_kernels[] = {
    {.op = &gr_op_adamw, .supports = supports_adamw, .run = run_adamw},
    {.op = &gr_op_adamw8bit, .supports = supports_adamw, .run = run_adamw8bit},
    {.op = &gr_op_sgd, .supports = supports, .run = run_sgd},
    {.op = &gr_op_lion, .supports = supports, .run = run_lion},
    {0},
};
