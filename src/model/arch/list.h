/* The architectures, by model_type: everything else that lists them derives from this. */
#ifndef GR_MODEL_ARCH_LIST_H
#define GR_MODEL_ARCH_LIST_H

#include "model/layers/model.h"

#define GR_ARCHS(X) X(gpt2) X(llama) X(mistral) X(qwen2) X(qwen3) X(gemma3_text) X(olmo2) X(phi3)

#define GR_ARCH_EXTERN(type) extern const gr_arch gr_arch_##type;
GR_ARCHS(GR_ARCH_EXTERN)
#undef GR_ARCH_EXTERN

#endif
