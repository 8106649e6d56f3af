/* Models inside: an architecture's record, its hyperparameters, and how its parameters are declared. */
#ifndef GR_MODEL_MODEL_H
#define GR_MODEL_MODEL_H

#include "base/buffer.h"
#include "format/weights.h"
#include "graph/graph.h"
#include "model/layers/gguf.h"
#include "model/layers/rope.h"

#define GR_MAX_LAYERS (1 << 14)

/* What differs from layer to layer. */
typedef struct gr_layer_hparams {
    int64_t window; /* tokens that attention sees, the token itself included; 0: all before it */
    int rope;       /* its rotary settings: of gr_hparams.rope */
} gr_layer_hparams;

/* What the graph-building functions read. Each architecture fills it in from its own keys of config.json. */
typedef struct gr_hparams {
    int64_t vocab, context, embed, layers, heads, kv_heads, head_dim, ffn;
    float norm_eps, init_std;
    bool tied;
    int64_t padding; /* the token whose embedding learns nothing, as torch.nn.Embedding's padding_idx; -1: none */
    bool learned_positions; /* no token can be at `context` or behind it */
    gr_tensor *(*activation)(gr_tensor *x);
    bool qkv_bias, out_bias, mlp_bias; /* out: of the projection behind attention */
    enum {
        GR_NO_NORM,
        GR_HEADS_NORM,
        GR_WHOLE_NORM
    } qk_norm;                /* an RMSNorm over every head, or all heads, of q and k */
    bool norm_plus_one;       /* RMSNorms multiply by 1 + weight */
    float embed_scale;        /* of embeddings; 0: 1 */
    float logit_cap;          /* c tanh(logits / c); 0: none */
    float attention_scale;    /* 0: 1/sqrt(head_dim) */
    bool scale_by_layer;      /* GPT-2: divide the scale by layer + 1 as well */
    gr_rope_settings rope[2]; /* of all layers, or of two kinds of them */
    gr_layer_hparams *layer;  /* [layers], zeroed; [GR_MAX_LAYERS] while it is read: the model's */
} gr_hparams;

struct gr_build;

/* A layer with parameters while a graph is built: what an observer sees of it. */
typedef enum gr_layer_kind { GR_LAYER_LINEAR, GR_LAYER_CONV1D, GR_LAYER_EMBEDDING, GR_LAYER_NORM } gr_layer_kind;

typedef struct gr_layer {
    gr_layer_kind kind;
    bool tied;          /* a head that reads an embedding's weight */
    const char *module; /* its name in transformers: "model.layers.0.self_attn.q_proj" */
    const char *name;   /* in the graph's scope: "self_attn.q_proj" */
    gr_tensor *x;       /* what it reads: activations, or an embedding's ids */
    gr_tensor *weight;  /* [out, in] of a linear layer, [in, out] of a conv1d, [rows, width] of an embedding */
    gr_tensor *product; /* of a linear layer: without the bias */
} gr_layer;

/* Sees every layer of every graph of a model, and may change it. */
typedef struct gr_layer_observer {
    /* The tensor to take for the layer's "weight" or "bias", which is `own` in the model's store. */
    gr_tensor *(*param)(struct gr_build *b, const gr_layer *l, const char *part, gr_tensor *own);
    /* What the layer gives; y is what it would give by itself. */
    gr_tensor *(*result)(struct gr_build *b, const gr_layer *l, gr_tensor *y);
} gr_layer_observer;

typedef enum gr_init { GR_INIT_NORMAL, GR_INIT_ZEROS, GR_INIT_ONES } gr_init;

/* An architecture: one file, one record. */
typedef struct gr_arch {
    const char *model_type;            /* of config.json */
    const char *class_name;            /* its first "architectures" */
    const char *prefix;                /* of the body's tensors: "transformer." */
    const char *embedding, *last_norm; /* the body's first and last, behind the prefix: by them it is found in files */
    const char *refuses;               /* keys that transformers' class heeds, and that read() does not; NULL: none */
    const char *keys[4]; /* of config.json, that read() honours: "vocab_size n_positions"; NULL behind the last list */
    /* config.json to hyperparameters; what it does not support it refuses by gr_json_fail. */
    void (*read)(gr_json config, gr_hparams *h);
    /* Sizes to the keys of a new config.json; zeroes in info have been replaced. */
    void (*write)(const gr_model_info *info, gr_json config);
    /* The graph, in the order in which the parts follow each other. All but the head are in the scope of the prefix. */
    gr_tensor *(*embed)(struct gr_build *b, gr_tensor *tokens); /* ids [B, T] to [B, T, C] */
    const char *layers;                                         /* the scope of layer i is "LAYERS.i." */
    gr_tensor *(*block)(struct gr_build *b, gr_tensor *x);      /* layer b->layer, [B, T, C] to the same */
    gr_tensor *(*norm)(struct gr_build *b, gr_tensor *x);       /* the last one, [B, T, C] to the same */
    gr_tensor *(*head)(struct gr_build *b, gr_tensor *x);       /* any rows of that, [.., C], to logits [.., V] */
    bool (*ignores)(const char *name); /* tensors of old files that are no parameters; NULL: none */
    const char *targets[4]; /* layers that LoRA adapts when it is not told: peft's, or those that stand for the same */
    bool fan_in_fan_out;    /* of an adapter's config: the layers are conv1d */
    const gr_gguf_arch *gguf; /* what it is called in GGUF files */
} gr_arch;

/* The standard deviation for a new model of this width, sqrt(2 / (5 C)) (Nguyen & Salazar 2019, "Transformers without
 * tears"): 0.023 at GPT-2's 768, larger for the small models that a fixed 0.02 holds back. */
double gr_usual_init(int64_t embed);

/* How many tokens the attention of a layer sees, the token itself included; 0: all before it. */
int64_t gr_model_window(const gr_model *m, int layer);

/* How a declared parameter is initialized. */
typedef struct gr_param_init {
    gr_init kind;
    float std;
    bool turned;          /* a Conv1D's weight that lies [out, in], since it is of blocks */
    const int32_t *order; /* of a weight in blocks, which columns its places have; NULL: they are as they are */
    int64_t group;        /* of one in the hub's blocks, columns that share a scale in its files; 0: those of a block */
} gr_param_init;

struct gr_model {
    const gr_arch *arch;
    gr_hparams h;
    gr_model_info info;
    gr_device *device;
    gr_store *store;
    char *config;         /* the text of config.json */
    char *generation;     /* that of generation_config.json; NULL: there is none */
    const char *prefix;   /* arch->prefix, or "" for files that go without */
    gr_param_init *inits; /* [gr_store_count(store)] */
    size_t n_inits, inits_capacity;
    int32_t **orders; /* [n_orders] those of inits */
    size_t n_orders, orders_capacity;
    /* While it is loaded: the dtype that a parameter has in the files, `like`; NULL: all are f32. */
    gr_dtype (*dtype_of)(const gr_model *m, const char *name);
    const struct gr_names *like;
    gr_weights *files;          /* what the store's tensors may lie in, open as long as the model; NULL: no files */
    struct gr_adapter *adapter; /* NULL: none (adapter.h) */
    bool is_merged;             /* it had one, which is in the weights now */
    gr_hub_layout layout;       /* of the files that it is of */
    bool keeps_layout;          /* it is saved in that, if it can be */
    uint32_t file_type;         /* general.file_type of the GGUF file that it is of, and 1; 0: not known */
    const gr_layer_observer *observer; /* NULL: nobody */
    gr_precision precision;            /* of what runs it without training */
    gr_dtype keys, values;             /* what a cache has them in */
};

/* The head alone: logits [.., V] of the normalized states [.., C] that gr_model_forward gives as `hidden`. */
gr_tensor *gr_model_logits(gr_model *m, const gr_forward *f, gr_tensor *hidden);
/* gr_compile for the model's device, in its precision. */
gr_program *gr_model_compile(const gr_model *m, gr_graph *g, gr_tensor *const *outputs, int n);
/* What activations of this precision are stored in. */
gr_dtype gr_precision_dtype(gr_precision p);
/* Fails unless keys or values can be kept in this dtype (cache.c). */
gr_status gr_model_check_cache(const gr_model *m, gr_dtype dtype);
/* Fails unless the precision can hold all weights: names the first that it cannot, and its value. */
gr_status gr_model_check_range(gr_model *m, gr_precision precision);

/* eos.c: the tokens that end a text, by its generation_config.json, else config.json; added to ids. */
gr_status gr_model_eos(const gr_model *m, gr_ids *ids);
/* grow.c: embedding, head and config.json know this many tokens from now on; rows that are new are the mean of the others. No
 * program may have the model yet. */
gr_status gr_model_set_vocab(gr_model *m, int64_t vocab);
/* From here on the model is one whose config.json does not tie head and embedding. */
gr_status gr_model_untie(gr_model *m);

/* Builds the model's smallest graph, to see what is in it. */
gr_status gr_model_trace(gr_model *m);

/* The two halves of making a model: config.json read, its parameters declared. */
gr_model *gr_model_undeclared(const char *name, const char *text, size_t size, gr_device *device);
gr_status gr_model_declare(gr_model *m);
/* Refuses what changes numbers and is not honoured; a remark on what is of other architectures, or nobody knows. `file` is
 * what remarks call it. */
void gr_model_check_keys(const gr_arch *arch, const char *file, gr_json config);
/* Fills in arch, h and info from the text of a config.json; `name` is what errors call it. */
gr_status gr_model_read_config(gr_model *m, const char *name, const char *text, size_t size);

#endif
