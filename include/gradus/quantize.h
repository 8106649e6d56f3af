/* Models of fewer bits. Part of gradus.h. */
#ifndef GRADUS_QUANTIZE_H
#define GRADUS_QUANTIZE_H

#include "gradus/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What gr_quantize makes, by name ("q8_0", "q4_k_m"): i = 0, 1, … until NULL. Static text; any thread. */
GR_API const char *gr_quantize_list(int i);

/* How a matrix is rounded. */
typedef enum gr_quantize_method {
    GR_QUANTIZE_ROUND, /* each value by itself; where activations are known scales are those that change products least */
    GR_QUANTIZE_GPTQ, /* column after column, what one has lost is carried on to the others; layer after layer, as those before have
                          become (Frantar et al. 2022). Needs calibration */
} gr_quantize_method;
enum { GR_GROUP_ROW = -1 /* all of a row */ };
/* GR_INIT(gr_quantize_options), then a type, or `like`. */
typedef struct gr_quantize_options {
    size_t size;
    const char *type; /* one of gr_quantize_list: a dtype, or one of llama.cpp's mixtures of several */
    int64_t group;    /* int4: values that share a scale, 32, 64, 128 or GR_GROUP_ROW; 0: 128 */
    bool pure;        /* every matrix is of the mixture's main dtype, embedding and head too */
    /* [n_tensors] a name and a dtype ("q6_k", "f16") that it gets, whatever `type` says. A name is a tensor's in Hugging Face
     * or GGUF files, its ".weight" left out or not; * stands for any text in it. The first that fits decides. */
    const char *const (*tensors)[2];
    int n_tensors;
    bool requantize; /* weights may be quantized already; else that is GR_ERR_ARGUMENT */
    gr_quantize_method method;
    const gr_token *calibration; /* [n_calibration] a text by which activations are known; NULL: they are not */
    int64_t n_calibration;       /* windows of 512 tokens are read, or of the model's context; the rest is not */
    const char *imatrix;      /* squares of activations in place of a text, as llama.cpp's files have it; NULL: none */
    const char *save_imatrix; /* what the text has given is written as such a file; NULL: no */
    bool resume;              /* GPTQ: goes on with what an interrupted call has left in "PATH.quantizing" */
    const char *source;       /* whose tokenizer, chat template and settings are carried over; NULL: none */
    const char *pre;          /* what the file calls the tokenizer's pre-tokenizer; NULL: found by what it does */
    /* Told what is at work, and which part of all of it is done, in [0, 1]; false: stop. May be NULL. */
    bool (*progress)(void *user, const char *what, double done);
    /* Asked of what was written, loaded again, before it gets its name; a failure is gr_quantize's. May be NULL. */
    gr_status (*check)(void *user, gr_model *quantized);
    void *user;
    gr_saved *saved;      /* how it was written and compared; begins as GR_INIT(gr_saved), or is NULL */
    bool zero_points;     /* int4: a group has a zero point besides its scale */
    gr_hub_layout layout; /* of int4 */
    const char *adapter;  /* as gr_save_options has it */
    /* Begins as GR_INIT(gr_plan): filled with what quantizing would need where that is most, and nothing is read of the
     * weights (gr_load_options.declare_only will do), made or written; `path` may be NULL. Weights are those of files that are
     * mapped, which the system can take back; `check` is given a model that has none. NULL: it is done. */
    gr_plan *plan;
    size_t shard_bytes; /* as gr_save_options has it */
    /* A model with weights of int4 or int8, of the same architecture: what is written is a directory like its own, each
     * tensor in the dtype, the groups and the layout that the one of its name has there; `type`, `group`, `tensors`,
     * `zero_points` and `layout` do not count then. Columns that are sorted there are in their order. NULL: none. */
    gr_model *like;
} gr_quantize_options;

/* What became of a tensor. */
typedef struct gr_quantized_tensor {
    const char *name; /* as the model's store has it */
    gr_dtype from, to;
    int64_t values;
    size_t before, after; /* bytes */
    bool calibrated;      /* activations were known */
    double error;         /* sqrt(sum (x - q)^2 / sum x^2); 0 where nothing was rounded */
} gr_quantized_tensor;
typedef struct gr_quantized {
    size_t size;
    /* [n] all of the model, in its order; the caller frees with gr_free, names too. */
    const gr_quantized_tensor *tensors;
    int n;
    bool was_quantized; /* the model had weights in blocks before */
    int64_t file_bytes; /* with a plan: of the GGUF file, or of what is weights in the directory */
} gr_quantized;
/* Of int4 and int8 it writes a directory of the hub's files in the layouts of compressed-tensors: linear layers in 4 bits with a
 * scale for a group, or in 8 bits with one for a row and activations of 8 bits; all else stays as it is. Of all others it
 * writes a GGUF file of the model with its matrices in fewer bits, embedding, linear
 * layers and head; vectors are f32, positions that are learned stay as they are. Rows that are no whole blocks get another type, with a remark. Like
 * gr_model_save it is read again and compared before it gets its name, and after a failure there is nothing. Weights that
 * are no numbers are GR_ERR_NUMBER. A tensor at a time is in memory, what is written lies beside `path` meanwhile, in
 * "PATH.quantizing"; an interrupted GPTQ leaves that. out begins as GR_INIT(gr_quantized), or is NULL. */
GR_API gr_status gr_quantize(gr_model *model, const char *path, const gr_quantize_options *options, gr_quantized *out);

#ifdef __cplusplus
}
#endif

#endif
