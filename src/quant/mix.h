/* Which dtype each matrix of a quantized model gets. */
#ifndef GR_QUANT_MIX_H
#define GR_QUANT_MIX_H

#include "gradus.h"

typedef struct gr_mix gr_mix;

/* What decides about a matrix. */
typedef struct gr_mix_matrix {
    const char *gguf;  /* its name in GGUF files: "blk.3.attn_v.weight" */
    int64_t width;     /* values a row */
    bool is_head;      /* logits are made with it, be it the embedding or a matrix of its own */
    int layer, layers; /* which one it is in, and how many there are */
    int64_t heads, kv_heads;
    bool calibrated; /* activations are known */
} gr_mix_matrix;

const gr_mix *gr_mix_find(const char *name); /* fails with the names there are */
const char *gr_mix_name(int i);              /* NULL past the last */
gr_dtype gr_mix_main(const gr_mix *mix);
uint32_t gr_mix_file_type(const gr_mix *mix, bool pure); /* general.file_type of a file that is made by it */
/* What the mixture gives; pure: the main dtype, whatever the matrix. */
gr_dtype gr_mix_dtype(const gr_mix *mix, const gr_mix_matrix *matrix, bool pure);
/* The dtype itself where a row of this width is whole blocks of it, else the one that stands for it. */
gr_dtype gr_mix_fit(gr_dtype dtype, int64_t width);

#endif
