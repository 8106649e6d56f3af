/* What an architecture is called in GGUF files: its tensors, each with how it lies there, and its keys. One table serves
 * reading and writing. */
#ifndef GR_MODEL_GGUF_H
#define GR_MODEL_GGUF_H

#include "base/json.h"
#include "format/gguf.h"
#include "format/weights.h"

/* How a tensor of such a file differs from transformers'. */
typedef enum gr_gguf_change {
    GR_GGUF_SAME,
    GR_GGUF_HEADS,    /* rows of each head: one of its first half and one of its second by turns, */
    GR_GGUF_KV_HEADS, /* of heads of keys */
    GR_GGUF_TURNED,   /* transposed: a Conv1D's [in, out] is [out, in] */
    GR_GGUF_PLUS_ONE, /* one more: a norm that multiplies by 1 + weight */
} gr_gguf_change;

typedef struct gr_gguf_named {
    const char *name, *gguf; /* both without ".weight" or ".bias", "{}" for the layer's number; NULL ends a list */
    gr_gguf_change change;
} gr_gguf_named;

typedef enum gr_gguf_kind { GR_GGUF_INT, GR_GGUF_REAL } gr_gguf_kind;

/* A number: the key of config.json, and that of the file behind "ARCH.". */
typedef struct gr_gguf_number {
    const char *config, *gguf; /* NULL ends a list */
    gr_gguf_kind kind;
    bool optional;
} gr_gguf_number;

/* A file whose keys become a config.json. The first failure stays; what fails yields nothing. */
typedef struct gr_gguf_reader {
    const gr_gguf *file;       /* the part that has the keys */
    const gr_weights *weights; /* of all parts, under the names of the file */
    const char *arch;          /* what the keys begin with: "llama" */
    bool *used;                /* [gr_gguf_count(file)] */
    gr_status status;
} gr_gguf_reader;

/* What an architecture is there. */
typedef struct gr_gguf_arch {
    const char *name; /* general.architecture */
    const char *only; /* of two architectures of one name, the one whose files have this key; NULL: the other */
    const gr_gguf_named *tensors[3];
    const gr_gguf_number *numbers[3];
    /* What is more than a number; NULL: nothing. */
    void (*read)(gr_gguf_reader *r, gr_json config);
} gr_gguf_arch;

/* The key "ARCH.name", which is known from then on; NULL: not there. */
const gr_gguf_key *gr_gguf_take(gr_gguf_reader *r, const char *name);
/* Its number; arrays must have the same one for each layer. False: not there, or a failure. */
bool gr_gguf_take_int(gr_gguf_reader *r, const char *name, int64_t *out);
bool gr_gguf_take_real(gr_gguf_reader *r, const char *name, double *out);
gr_gguf_text gr_gguf_take_text(gr_gguf_reader *r, const char *name);
/* A tensor of one dim of so many numbers, as f32; caller frees. NULL: not there, or a failure. */
float *gr_gguf_take_numbers(gr_gguf_reader *r, const char *tensor, int64_t count);
bool gr_gguf_has_tensor(const gr_gguf_reader *r, const char *name);
/* The reader's failure: "FILE: key "ARCH.name": …". */
void gr_gguf_fail(gr_gguf_reader *r, const char *name, const char *fmt, ...) GR_PRINTF(3, 4);

/* The numbers of a list into config; and one, as the shortest decimal that gives it back. */
void gr_gguf_put_real(gr_json config, const char *key, double x);
void gr_gguf_put_numbers(gr_gguf_reader *r, const gr_gguf_number *list, gr_json config);

#endif
