/* Rotary positions: the kinds that transformers has (its modeling_rope_utils.py), to the last bit where f32 allows. */
#ifndef GR_MODEL_ROPE_H
#define GR_MODEL_ROPE_H

#include "base/json.h"
#include "graph/graph.h"

enum { GR_ROPE_MAX_PAIRS = 512 };

/* How far the pairs of a head turn. Ready to use but for what depends on how long a sequence is. */
typedef struct gr_rope_settings {
    int64_t pairs;                     /* the first 2 · pairs dims of a head turn; 0: no rotary positions */
    float scale;                       /* of cos and sin */
    float inv_freq[GR_ROPE_MAX_PAIRS]; /* of sequences of up to `limit` tokens */
    int64_t limit;                     /* longer ones turn at other frequencies; 0: there is no limit */
    bool dynamic;                      /* those follow from the length, else they are far_freq */
    float far_freq[GR_ROPE_MAX_PAIRS];
    double factor; /* of `dynamic`, and what its exponents follow from: */
    int64_t dim;
} gr_rope_settings;

/* What a model says besides its rotary settings themselves. */
typedef struct gr_rope_model {
    int64_t head_dim, context;
    bool partial;          /* honours partial_rotary_factor */
    double theta;          /* where none is given, */
    const char *theta_key; /* neither in the settings nor under this key beside them */
    int64_t original;      /* original_max_position_embeddings of the class, which goes before the settings'; 0: none */
} gr_rope_model;

/* The settings of a whole config.json: rope_scaling (as before transformers 5) or rope_parameters, rope_theta beside
 * or in them. */
void gr_rope_read(gr_json config, const gr_rope_model *m, gr_rope_settings *r);
/* The same of one object, which may be absent; rope_theta is looked for in it, then in `config`. nested: it is the part
 * of a layer type. */
void gr_rope_read_one(gr_json rope, gr_json config, const gr_rope_model *m, bool nested, gr_rope_settings *r);

/* Inverse frequencies: f32 [R], or [B, R] where they depend on how long each sequence is: length (i64 [B]), or as long as
 * its largest of `positions` (i64 [B, T]) tells. */
gr_tensor *gr_rope_frequencies(gr_graph *g, const gr_rope_settings *r, gr_tensor *positions, gr_tensor *length);

#endif
