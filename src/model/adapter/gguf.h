/* LoRA adapters as GGUF files: A and B of each layer as NAME.lora_a and NAME.lora_b, and one alpha. */
#ifndef GR_MODEL_ADAPTER_GGUF_H
#define GR_MODEL_ADAPTER_GGUF_H

#include "model/adapter/adapter.h"

#define GR_GGUF_LORA_ALPHA "adapter.lora.alpha" /* the scale is alpha / rank; 0, or no such key: 1 */

/* How a side lies there, by how the layer's weight does: of an embedding A has the tokens first, and rows of heads are those
 * of B. What is [out, in] there has A and B as any. */
gr_gguf_change gr_gguf_side_change(const gr_layer_note *layer, bool is_a, gr_gguf_change weight);
/* Gives the model the adapter of such a file; close it in any case. */
gr_status gr_adapter_load_gguf(gr_model *m, const char *path);
/* gguf_save.c: writes the model's; read again and compared before it gets its name. */
gr_status gr_adapter_save_gguf(gr_model *m, const char *path);

#endif
