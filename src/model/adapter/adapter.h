/* Adapters as peft has them: what is trained beside a model whose own weights stay as they are. LoRA (Hu et al. 2021,
 * "LoRA: Low-Rank Adaptation of Large Language Models") adds scale · B(A(x)) to what a layer gives; DoRA (Liu et al.
 * 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation") gives the rows of the sum a length that is learned; besides,
 * biases, whole layers and rows of embeddings may stand in place of the model's. All of it is in a store of its own,
 * under the names of peft's files. */
#ifndef GR_MODEL_ADAPTER_H
#define GR_MODEL_ADAPTER_H

#include "format/checkpoint.h"
#include "model/adapter/modules.h"
#include "model/layers/nn.h"

#define GR_ADAPTER_PREFIX "base_model.model."

/* A layer of the model, as it was seen once. */
typedef struct gr_layer_note {
    char *module;
    gr_layer_kind kind;
    bool tied;        /* a head that reads an embedding's weight */
    int weight, bias; /* in the model's store; -1: none */
    int64_t in, out;  /* of an embedding rows and width; of a norm both the width */
    int lora;         /* of loras; -1: none */
} gr_layer_note;

/* A layer with LoRA. Entries of the adapter's store, -1: there is none. */
typedef struct gr_lora {
    int layer; /* of notes */
    float scale;
    int a, b, b_bias, magnitude;
} gr_lora;

/* A parameter that stands in place of the model's. */
typedef struct gr_override {
    int param, entry; /* in the model's store and in the adapter's */
    bool tied;        /* of a head only, which reads the embedding `param` */
} gr_override;

/* Rows of an embedding or of a head that stand in place of the model's. */
typedef struct gr_token_rows {
    int layer;              /* of notes */
    int entry;              /* [n, width] in the adapter's store */
    const gr_token *tokens; /* [n] */
    size_t n;
    int map, keep, place; /* in `tables` (token_rows.c) */
} gr_token_rows;

/* trainable_token_indices: the tokens of one module. */
typedef struct gr_token_list {
    char *module; /* what its name ends with; NULL: the input embedding */
    gr_token *tokens;
    size_t n;
} gr_token_list;

/* A tensor of the model's store that the adapter's file had other numbers for, and its name there. */
typedef struct gr_replaced {
    int index;
    char *name;
} gr_replaced;

typedef struct gr_adapter {
    char *config; /* the text of adapter_config.json, which this is read from: */
    int64_t rank;
    double alpha, dropout;
    bool rslora, dora, b_bias, ties, freezes_b; /* ties: ensure_weight_tying; freezes_b: MiCA, which trains only A */
    bool ties_saved, ties_targets;              /* what that makes of an embedding and a head that are one */
    gr_lora_bias bias;
    gr_modules targets, excluded;
    gr_module_values ranks, alphas;
    char **saved; /* modules_to_save */
    size_t n_saved;
    gr_token_list *tokens;
    size_t n_tokens;

    gr_layer_note *notes;               /* the model's layers, in the order in which they are built */
    size_t n_notes, notes_capacity, at; /* at: behind the one that was found last */

    gr_store *store; /* what is trained */
    gr_lora *loras;  /* in the order of their layers */
    size_t n_loras, loras_capacity;
    gr_override *overrides;
    size_t n_overrides, overrides_capacity;
    gr_token_rows rows[2]; /* of the embedding, the head */
    size_t n_rows;
    gr_store *tables; /* what never changes */
    gr_replaced *replaced;
    size_t n_replaced, replaced_capacity;
} gr_adapter;

/* ---- opening and closing (adapter.c) ------------------------------------------------------------------------ */

/* An adapter that has noted the model's layers, and nothing else. */
gr_status gr_adapter_begin(gr_model *m);
/* Gives a model that has none the adapter of this adapter_config.json, its tensors declared and not set. `name` is what
 * errors call
 * the text. */
gr_status gr_adapter_open(gr_model *m, const char *name, const char *config, size_t size);
void gr_adapter_close(gr_model *m);
gr_status gr_adapter_refuse_second(void);
/* The dropout that a training step's graph must have a seed for. */
double gr_adapter_dropout(const gr_model *m);
/* Not every adapter that can be run is trained as peft would: a named error then. */
gr_status gr_adapter_check_training(const gr_model *m);
/* Changes what the adapter's config says that its model is. */
gr_status gr_adapter_set_base(gr_model *m, const char *base);
/* Sets the tensors of a new adapter: it changes nothing yet. */
gr_status gr_adapter_initialize(gr_model *m, uint64_t seed);

/* ---- its config (config.c) ---------------------------------------------------------------------------------- */

/* Fills in what is read from it. What would change numbers and is not supported is a named error. */
gr_status gr_adapter_read_config(gr_adapter *a, const gr_arch *arch, const char *name, const char *text, size_t size);
/* The adapter_config.json of a new adapter; caller frees. */
char *gr_adapter_write_config(const gr_lora_options *options, const char *const *targets, size_t n_targets,
                              const gr_arch *arch);

/* ---- which layers (layers.c) -------------------------------------------------------------------------------- */

/* Notes the model's layers. */
gr_status gr_adapter_note_layers(gr_model *m);
/* Declares the adapter's tensors. */
gr_status gr_adapter_declare(gr_model *m);
/* Whether modules_to_save may name it. */
bool gr_adapter_can_save(const gr_adapter *a, const char *name);
/* "LoRA: WHAT", and the names that layers of the model have. */
gr_status gr_adapter_no_match(const gr_adapter *a, const char *what);
/* The last part of a module's name. */
const char *gr_last_part(const char *module);

/* ---- in graphs (lora.c, token_rows.c) ----------------------------------------------------------------------- */

extern const gr_layer_observer gr_adapter_observer;
/* An entry of the adapter's store, or of its tables, in a graph. */
gr_tensor *gr_adapter_entry(gr_build *b, gr_store *store, int index);
/* scale · BA, shaped as the layer's weight. */
gr_tensor *gr_lora_delta(gr_build *b, const gr_lora *l);
/* The lengths, along what goes in, of w + delta: [out]. */
gr_tensor *gr_dora_norm(gr_build *b, const gr_lora *l, gr_tensor *sum);

/* Makes the tables of rows. */
gr_status gr_token_rows_open(gr_adapter *a, gr_token_rows *r);
/* An embedding's or a head's result y with the rows in it; w: a weight with the rows in it. */
gr_tensor *gr_token_rows_result(gr_build *b, const gr_token_rows *r, const gr_layer *l, gr_tensor *y);
gr_tensor *gr_token_rows_weight(gr_build *b, const gr_token_rows *r, gr_tensor *w);

#endif
