/* Language models, and the files they are in. Part of gradus.h. */
#ifndef GRADUS_MODEL_H
#define GRADUS_MODEL_H

#include "gradus/program.h"
#include "gradus/hub.h"
#include "gradus/text.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- models ------------------------------------------------------------------------------------------------- */

/* A language model: a config.json, a function that builds its graph, its weights in a store under their Hugging Face
 * names, and a tokenizer. The architectures are those of docs/models.md. */
typedef struct gr_model gr_model;

/* The sizes of a model; for gr_model_config_json those of a model to be, after GR_INIT(gr_model_info). */
typedef struct gr_model_info {
    size_t size;
    char arch[32];                     /* "gpt2": model_type of config.json */
    int64_t layers, embed;             /* C */
    int64_t heads, kv_heads, head_dim; /* H, G, D; 0: H, and C/H */
    int64_t ffn;                       /* width of the MLP; 0: the architecture's usual one */
    int64_t vocab, context;            /* V; the most tokens it was made for */
    int64_t limit;                     /* the most it can take, where positions are learned; 0: as many as fit */
    bool tied;                         /* the head is the token embedding */
    gr_token eos, bos;                 /* ids, -1: none */
    int64_t parameters;                /* each counted once */
    /* What follows is of a model that is there. */
    gr_device *device;
    const char *config;         /* the text of its config.json */
    const char *adapter_config; /* of its adapter_config.json; NULL: there is no adapter */
    gr_activations activations; /* what generating and evaluating have them in */
} gr_model_info;

/* The architectures by model_type ("gpt2"): i = 0, 1, … until NULL. Static text; any thread. */
GR_API const char *gr_model_list(int i);
/* A config.json for these sizes, as transformers writes it; caller frees with gr_free. */
GR_API char *gr_model_config_json(const gr_model_info *info);
/* A model of this config.json, weights declared but not set: gr_model_init or gr_store_write them. `name` is what
 * errors call the text; NULL: "config.json". */
GR_API gr_model *gr_model_new(const char *name, const char *config_json, size_t size, gr_device *device);
typedef struct gr_load_options {
    size_t size;
    bool widen;        /* weights are f32, in memory of their own: to train all of them */
    bool declare_only; /* weights are declared as they would be, but not loaded: to plan with; there need be none */
    gr_precision
        precision; /* what generating and evaluating have activations in; fp16 refuses weights that it cannot hold */
    gr_activations
        activations; /* how these meet weights in blocks there; int8 is by rows where config.json asks for it */
    const gr_dtype *keys,
        *values; /* what they are kept in there, as gr_cache_options has it; NULL: what activations are */
} gr_load_options;
/* Loads a directory in Hugging Face layout: config.json, model.safetensors or its shards. Weights keep the dtype they
 * have there, f32, f16 or bf16; activations are f32 all the same. Where the device can ("cpu", "ref") they are not
 * copied but read where they lie in the files, mapped as long as the model lives: files may be replaced meanwhile, not
 * cut short or overwritten. Such weights gr_store_write replaces, but no effect can write them. A tensor that is missing
 * or of a wrong shape is a named error. What else a directory may be like is read with a remark, as docs/files.md tells:
 * other names, tensors too many, f64, 8-bit floats and integers, which become f32. A head that differs from the embedding
 * it is tied to makes the model one that is not tied (its record says so). An adapter in the same directory is not
 * looked at: gr_model_load_adapter puts it on. options may be NULL: none set. */
GR_API gr_model *gr_model_load(const char *dir, const gr_load_options *options, gr_device *device);
GR_API void gr_model_free(gr_model *model); /* after the programs that use it; NULL is fine */
/* Random weights as transformers initializes the architecture: a function of the seed alone. */
GR_API gr_status gr_model_init(gr_model *model, uint64_t seed);
GR_API const gr_model_info *gr_model_describe(const gr_model *model); /* lives as long; NULL of NULL */
GR_API gr_store *gr_model_store(gr_model *model); /* its weights, in the order of their declaration */

/* LoRA (Hu et al. 2021): the output of a linear layer gets scale · B(A(x)) added, A [rank, in], B [out, rank], f32 in a
 * store of their own; an embedding's rows likewise. The model's own weights, of any dtype, are frozen. */
typedef enum gr_lora_bias {
    GR_BIAS_NONE,
    GR_BIAS_LORA_ONLY, /* biases of the layers that have LoRA are trained as well */
    GR_BIAS_ALL,       /* all biases are, those of norms too */
} gr_lora_bias;
typedef struct gr_lora_options {
    size_t size;
    int64_t rank;               /* 0: 8 */
    double alpha;               /* scale = alpha / rank; 0: 16 */
    bool rslora;                /* scale = alpha / sqrt(rank) (Kalajdzievski 2023) */
    bool dora;                  /* learns the lengths of W + scale BA's rows apart (Liu et al. 2024) */
    double dropout;             /* of x on its way to A, in training */
    gr_lora_bias bias;          /* peft's `bias` */
    bool b_bias;                /* B has a bias (peft's `lora_bias`); not with dora, nor on embeddings */
    const char *const *targets; /* [n_targets] names of linear layers and embeddings ("q_proj", "embed_tokens"), or */
    int n_targets;              /* "all-linear"; none: what the architecture usually adapts,
                                   q_proj and v_proj or what holds them */
    const char *const *modules_to_save; /* [n_modules_to_save] names of modules trained whole, with what is in them: */
    int n_modules_to_save;              /* "embed_tokens", "lm_head", "norm"; each must be there */
    const gr_token *tokens; /* [n_tokens] ids whose rows of the embedding are trained, and of a head that is tied */
    int n_tokens;           /* to it (peft's `trainable_token_indices`) */
    const char *base;       /* what the files call the model (base_model_name_or_path); may be NULL */
    uint64_t seed;
    bool head_tokens; /* `tokens` are also those of a head that is a matrix of its own */
} gr_lora_options;
/* Tokens [n] that a tokenizer got and the model was not made with: their rows of the embedding, and of a head that is a
 * matrix of its own, become the mean of those before the first of them. Where there are no such rows the tables grow, and
 * config.json's vocab_size. Before the model has an adapter, and before a graph is built of it. */
GR_API gr_status gr_model_add_tokens(gr_model *model, const gr_token *ids, int n);
/* A new adapter, initialized as peft does: A random, B zero, all else as the model has it, so that it changes nothing
 * yet. options NULL: all as usual. A model has one at most; it is part of every graph built from then on, and what is
 * trained. An embedding and a head that are one become two when either is trained alone, as in peft. */
GR_API gr_status gr_model_add_adapter(gr_model *model, const gr_lora_options *options);
/* An adapter in peft's files: dir/adapter_config.json and adapter_model.safetensors or .bin; or a GGUF file of one, whose
 * name ends in .gguf. What of it is not supported is a named error, as is a tensor that is missing, left over or of a wrong
 * shape; the model is then as it was. Weights of the base that the file has besides are the model's from then on, when they
 * differ from it. */
GR_API gr_status gr_model_load_adapter(gr_model *model, const char *dir);
/* Writes these two files; `dir` is made if it is not there. A name that ends in .gguf is that of a GGUF file, which must not
 * be there; it is read again and compared before it gets its name, and what it cannot say is GR_ERR_UNSUPPORTED. */
GR_API gr_status gr_model_save_adapter(gr_model *model, const char *dir);
/* Folds the adapter into the weights, in f32 and rounded once to their dtype; it is gone then. A tied head that has come
 * to differ from the embedding becomes a tensor of its own. A number that the dtype cannot hold is GR_ERR_NUMBER, a bias
 * of B where the layer has none GR_ERR_UNSUPPORTED; after a failure load the model again. Programs made before are not to
 * be run. */
GR_API gr_status gr_model_merge_adapter(gr_model *model);
/* What is trained: the adapter's tensors ("base_model.model.NAME.lora_A.weight"), without one the weights. */
GR_API gr_store *gr_model_trainable(gr_model *model);

/* One forward pass: GR_INIT(gr_forward), then tokens and what else is wanted. */
typedef struct gr_forward {
    size_t size;
    gr_tensor *tokens;    /* i32 (gr_token) or i64 [B, T] */
    gr_tensor *positions; /* i64 [B, T]; NULL = 0 .. T-1 */
    gr_tensor *segment;   /* i64 [B, T]: documents that must not see each other; NULL = one */
    gr_tensor *rows;      /* i64 [N]: rows of the B·T for which logits are wanted; NULL = all */
    gr_store *cache;      /* keys and values of earlier tokens, made by gr_model_add_cache; then slot and positions must
                             be given */
    gr_tensor *slot;      /* i64 [B, T]: the row of the cache that each token goes to; -1 = nowhere */
    gr_tensor *ring_slot; /* i64 [B, T]: the same for layers with a sliding window, whose row of a position is position
                             mod the ring's length; needed where the cache has a "cache.ring_position" */
    gr_tensor *sequence;  /* i64 [B]: which of the cache's sequences each row of tokens continues; NULL = b */
    gr_tensor *length;    /* i64 [B]: of each sequence with all that is being read; what dynamic and longrope positions
                             go by. NULL = its largest position + 1 */
    double dropout;       /* of embeddings and residuals */
    gr_tensor *seed;      /* i64 []: for dropout; given, the adapter's dropout is applied too */
    bool hidden;  /* the last layer's normalized states [B, T, C], or [N, C], in place of logits: for embeddings */
    bool as_kept; /* without a cache: keys and values are rounded as gr_load_options.keys and values have them */
} gr_forward;
/* The graph of the model: logits [B, T, V], or [N, V] with rows. */
GR_API gr_tensor *gr_model_forward(gr_model *model, const gr_forward *forward);
/* What a KV cache is for and of. Keys and values may be narrower than the activations, which halves their memory or
 * better, and changes the numbers: GR_F16, GR_BF16, or blocks that heads are whole numbers of, as GR_Q8_0 and GR_Q4_0
 * (llama.cpp's cache types). */
typedef struct gr_cache_options {
    size_t size;
    gr_dtype keys, values;          /* GR_F32 is exact */
    int64_t batch, capacity, chunk; /* sequences, tokens of each, and of those as many as are read at once, at most */
} gr_cache_options;
/* Declares in `cache` what gr_forward.cache needs: "cache.position" i64 [B, capacity], and per layer keys and values
 * [B, capacity, G, D]. Where layers have a sliding window that is smaller, they are rings [B, R, G, D] with a
 * "cache.ring_position" i64 [B, R]. Set the positions to -1 everywhere before use. GR_ERR_UNSUPPORTED: blocks that do not
 * fit the heads' width. */
GR_API gr_status gr_model_add_cache(gr_model *model, gr_store *cache, const gr_cache_options *options);

/* How a directory has weights in the blocks of the hub's files (int4 and int8). */
typedef enum gr_hub_layout {
    GR_HUB_COMPRESSED_TENSORS, /* codes of rows; where columns are sorted, which it does not say, it is the other one */
    GR_HUB_GPTQ                /* codes of columns, zero points stored less 1 */
} gr_hub_layout;
/* How a model is saved. GR_INIT(gr_save_options): weights as they are, in one file, and no other files. */
typedef struct gr_save_options {
    size_t size;
    bool cast;          /* floating-point weights become `dtype`; else they stay as they are */
    gr_dtype dtype;     /* GR_F32, GR_F16, GR_BF16 */
    size_t shard_bytes; /* of tensors a file at most, with an index where there are several files, or as parts of a GGUF
                           file; 0: one file */
    const char *source; /* a directory whose tokenizer, chat template, generation settings and licence are carried over;
                           NULL: none */
    const char *const (*files)[2]; /* [n_files] name and text of what is to be there besides, before what source has */
    int n_files;
    /* Told the bytes written and compared, after each tensor; false: stop. May be NULL. */
    bool (*progress)(void *user, double done, double total);
    void *user;
    bool gguf;       /* a GGUF file, whose name is given as `dir`: matrices in `dtype` or as they are, vectors in f32 */
    const char *pre; /* what such a file calls the tokenizer's pre-tokenizer; NULL: found by what it does */
    /* Asked of the saved model, loaded again, before it gets its name; a failure is gr_model_save's. May be NULL. */
    gr_status (*check)(void *user, gr_model *saved);
    gr_hub_layout layout;
    const char *adapter; /* the directory of an adapter that was merged: its tokenizer and chat template, if it has
                            them, are carried over instead of source's; NULL: none */
} gr_save_options;
/* What was written, and how it was compared. */
typedef struct gr_saved {
    size_t size;
    int tensors, weight_files, other_files;
    int64_t bytes;            /* of the tensors */
    int64_t logits;           /* that were compared */
    double difference, bound; /* their largest difference, and what was allowed */
    int64_t texts, tokens;    /* that both tokenizers made; 0: there is none */
} gr_saved;
/* Writes a directory that transformers loads. It must not be there yet, or be empty (GR_ERR_ARGUMENT); it gets its name
 * when all of it is on the disk, has been read again and compared: every tensor bit for bit (rounded, if cast), logits of
 * a few prompts, token ids of a few texts, generation settings. Differences, and numbers too large for the dtype, are
 * GR_ERR_NUMBER. After any failure there is nothing. options may be NULL; out begins as
 * GR_INIT(gr_saved), or is NULL. */
GR_API gr_status gr_model_save(gr_model *model, const char *dir, const gr_save_options *options, gr_saved *out);

/* ---- files -------------------------------------------------------------------------------------------------- */

/* What a path stands for, where a model is wanted. */
typedef struct gr_find_options {
    size_t size;
    const char *adapter; /* one to put on the model, a directory, a run or a GGUF file; "": none, not even one that lies
                            there; NULL: the one that lies there */
    bool path_only;      /* fills in `path` and what is in it, and looks for nothing else */
    bool newest;         /* of a run its newest good checkpoint; path is NULL when it has none yet; path_only, too */
    const gr_hub_options *hub; /* where names that are no paths, "org/name", are looked up; NULL: nowhere */
} gr_find_options;
typedef struct gr_found {
    size_t size;
    const char *path;      /* of a run its best checkpoint, else its newest good one; any other path itself */
    const char *model;     /* the directory of config.json and weights: path, or what an adapter was made for */
    const char *adapter;   /* the directory or the GGUF file of the adapter to put on it; NULL: none */
    const char *tokenizer; /* the directory of its tokenizer: the adapter's, else the model's; NULL: none */
    bool is_adapter;       /* path is an adapter, without weights of a model */
    bool is_beside;        /* the adapter lies beside the weights, and nobody asked for it */
} gr_found;
/* Finds what gr_model_load, gr_model_load_adapter and gr_tokenizer_load take; caller frees with gr_free, paths too. A base
 * that is not here, a run without a whole checkpoint, and an adapter whose tokenizer gives a token of the model's another
 * id are GR_ERR_FILE. Checkpoints of a run are verified, which reads them. options may be NULL. Any thread. */
GR_API const gr_found *gr_find(const char *path, const gr_find_options *options);

enum {
    GR_REPORT_MODEL = 1,   /* architecture and sizes; of an adapter what its config says */
    GR_REPORT_WEIGHTS = 2, /* tensors and bytes of each dtype, number of files */
    GR_REPORT_TOKENIZER = 4,
    GR_REPORT_FILES = 8, /* names and bytes of all */
    GR_REPORT_ALL = 15,
};
/* What the files of a model's or an adapter's directory say, as a line of JSON: what `gradus info --json` prints as "model".
 * Nothing is loaded but the tokenizer. Caller frees with gr_free. Any thread. */
GR_API char *gr_model_report(const char *dir, unsigned parts);

/* Arrays in host memory, row-major, as a .safetensors file that any program reads; it is written anew under its name when it
 * is complete. producer: noted in the file; may be NULL. Any thread. */
typedef struct gr_array {
    const char *name;
    gr_dtype dtype;
    int ndim;
    int64_t shape[GR_MAX_DIMS];
    const void *data;
} gr_array;
GR_API gr_status gr_arrays_save(const char *path, const gr_array *arrays, int n, const char *producer);

/* Verifying: whatever has a checksum is compared with it; a directory without checksums.json is reported as unchecked, its
 * files' structure is looked at all the same. */
typedef enum gr_verify_state { GR_VERIFY_GOOD, GR_VERIFY_BAD, GR_VERIFY_UNCHECKED } gr_verify_state;
typedef struct gr_verify_item {
    gr_verify_state state;
    const char *dir, *file, *tensor; /* tensor NULL: the whole file; file NULL: the whole directory */
    const char *problem;             /* why it is bad or unchecked */
} gr_verify_item;
typedef struct gr_verify_options {
    size_t size;
    bool (*item)(void *user, const gr_verify_item *item); /* told of each, which lives for the call; may be NULL */
    void *user;
} gr_verify_options;
typedef struct gr_verified {
    size_t size;
    int dirs, dirs_bad, dirs_unchecked; /* unchecked: without checksums.json */
    int64_t good, bad, unchecked;       /* items */
    uint64_t bytes;                     /* that were compared with a checksum */
} gr_verified;
/* Reads a checkpoint, all checkpoints of a run, a model directory or a file of weights, and changes nothing. GR_OK when
 * nothing is bad; else GR_ERR_FILE and the first problem. options and out may be NULL; out is filled in on failure too. Any
 * thread. */
GR_API gr_status gr_verify(const char *path, const gr_verify_options *options, gr_verified *out);

#ifdef __cplusplus
}
#endif

#endif
