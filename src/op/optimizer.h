/* The optimizers' ops: those of gradus.h, and those that a trainer alone appends. */
#ifndef GR_OP_OPTIMIZER_H
#define GR_OP_OPTIMIZER_H

#include "op/attr.h"
#include "op/op.h"

/* x in bf16, up or down at random so that its mean is x, by (step, stream, element). */
gr_tensor *gr_rounded_at_random(gr_tensor *x, gr_tensor *step, uint32_t stream);
/* What marks the stream by which a parameter of bf16 is rounded; its moments have twice the number, and one more. */
#define GR_PARAM_STREAM 0x80000000u

/* param, grad and the moments given have one dtype and shape, but a grad may be 16 bits beside any, and f32 beside bf16; the n_scalars from input `scalar` on are f32 []. */
gr_status gr_check_step(const gr_tensor *node, int moments, int scalar, int n_scalars);
/* A new value, or the old one where the step is skipped; taken NULL: it never is. */
gr_tensor *gr_unless_skipped(gr_tensor *taken, gr_tensor *value, gr_tensor *old);
/* For samples: an optimizer's grad_scale, which call 1 is without. */
void gr_sample_grad_scale(int i, gr_sample *s);
/* And the grad of the sample's input 1, 16 bits whatever is tested. */
void gr_sample_low_grad(gr_sample *s, gr_dtype dtype);
/* grad in this dtype by its scale, which may be NULL. */
gr_tensor *gr_scaled_grad(gr_tensor *grad, gr_dtype dtype, gr_tensor *scale);

/* 1 - beta^step */
gr_tensor *gr_bias_correction(gr_tensor *step, float beta);

/* Each as its record says (gr_op.doc), returning the parameter's new version; grad_scale may be NULL. */
gr_tensor *gr_lion(gr_tensor *param, gr_tensor *grad, gr_tensor *m, gr_tensor *lr, gr_tensor *grad_scale,
                   const gr_lion_attr *attr);
typedef struct gr_moments8 {
    gr_tensor *codes1, *absmax1, *codes2, *absmax2;
} gr_moments8;
gr_tensor *gr_adamw8bit(gr_tensor *param, gr_tensor *grad, const gr_moments8 *moments, gr_tensor *lr, gr_tensor *step,
                        gr_tensor *grad_scale, const gr_adamw8bit_attr *attr);
/* column: of parameters of 2 or more dims, else NULL. */
gr_tensor *gr_adafactor(gr_tensor *param, gr_tensor *grad, gr_tensor *row, gr_tensor *column, gr_tensor *lr,
                        gr_tensor *step, gr_tensor *grad_scale, const gr_adafactor_attr *attr);
/* Of a loss scale and its counts, by the gradients' norm; returns the scale's new version. */
gr_tensor *gr_loss_scale(gr_tensor *scale, gr_tensor *growth, gr_tensor *updates, gr_tensor *norm,
                         const gr_loss_scale_attr *attr);
gr_tensor *gr_muon(gr_tensor *param, gr_tensor *grad, gr_tensor *m, gr_tensor *lr, gr_tensor *grad_scale,
                   const gr_muon_attr *attr);

#endif
