/* Every op there is. All other lists (tests, help, kernels missing, docs) derive from this one. */
#ifndef GR_OP_LIST_H
#define GR_OP_LIST_H

/* clang-format off */
#define GR_OPS(X) \
    /* sources */          X(input) X(param) X(constant) X(fill) X(iota) X(uniform) X(normal) \
    /* element-wise */     X(cast) X(neg) X(abs) X(exp) X(log) X(sqrt) X(rsqrt) X(reciprocal) X(sin) X(cos) X(tanh) \
                           X(erf) X(sigmoid) X(is_finite) X(add) X(sub) X(mul) X(div) X(pow) X(min) X(max) \
                           X(eq) X(ne) X(lt) X(le) X(gt) X(ge) X(select) \
    /* activations */      X(relu) X(relu_grad) X(gelu) X(gelu_grad) X(gelu_tanh) X(gelu_tanh_grad) X(silu) \
                           X(silu_grad) X(swiglu) X(geglu) \
    /* reductions */       X(sum) X(mean) X(reduce_max) X(argmax) X(global_norm) \
    /* layout */           X(reshape) X(permute) X(slice) X(split) X(concat) X(pad) X(expand) X(contiguous) X(detach) \
    /* matmul, indexing */ X(matmul) X(addmm) X(gather) X(scatter_add) X(embedding) \
    /* neural networks */  X(softmax) X(softmax_grad) X(log_softmax) X(log_softmax_grad) \
                           X(cross_entropy_rows) X(cross_entropy_grad) X(mse) X(bce) \
                           X(layer_norm) X(layer_norm_grad) X(rms_norm) X(rms_norm_grad) \
                           X(rope) X(attention) X(attention_grad) X(dropout) \
    /* effects */          X(assign) X(assign_add) X(write_rows) X(sgd) X(adamw) X(lion) X(adafactor) X(muon) X(adamw8bit) X(loss_scale) \
    /* made by passes */   X(fused)
/* clang-format on */

#endif
