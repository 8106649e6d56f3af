/* The architectures, by model_type: everything else that lists them derives from this. */
#ifndef GR_MODEL_ARCHS_H
#define GR_MODEL_ARCHS_H

#define GR_ARCHS(X) X(gpt2) X(llama) X(mistral) X(qwen2) X(qwen3) X(gemma3_text) X(olmo2) X(phi3)

#endif
