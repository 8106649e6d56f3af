/* Weights of which the hub's files have codes q, scales d and zero points z as tensors of their own: w = d (q - z). Of a layer
 * NAME with a weight [N, K], b bits and G groups of columns:
 *
 *     compressed-tensors    NAME.weight_packed i32 [N, K b/32]    a row's codes, the first in the lowest bits
 *                           NAME.weight_scale [N, G]
 *                           NAME.weight_zero_point i32 [N b/32, G]    those of a group; none: all are 2^(b-1)
 *                           NAME.weight_shape i64 [2]    N, K
 *                           NAME.weight_g_idx i32 [K]    each column's group; none: they are in order
 *         int-quantized     NAME.weight i8 [N, K], and .weight_zero_point i8 [N, G]: both less 2^(b-1)
 *     GPTQ                  NAME.qweight i32 [K b/32, N]    a column's codes
 *                           NAME.scales [G, N]
 *                           NAME.qzeros i32 [G, N b/32]    less 1, but in gptq_v2
 *                           NAME.g_idx i32 [K]
 *     AWQ (gemm)            NAME.qweight i32 [K, N/8]    eight rows' codes, the even ones in the lower half
 *                           NAME.scales [G, N]
 *                           NAME.qzeros i32 [G, N/8]    so, too
 *
 * In a store they are one tensor of blocks (base/ggml/hub.c). Where columns of a group do not lie together (GPTQ's act-order)
 * they are sorted by it, and what the layer is given, too (gr_param_init.order).
 *
 * packed_config.c (what config.json says) · packed.c (which tensors belong together, and do they agree) · packed_codes.c (codes
 * to blocks) · packed_save.c (and back) · packed_config_save.c (and what config.json says then) */
#ifndef GR_MODEL_FILES_PACKED_H
#define GR_MODEL_FILES_PACKED_H

#include "base/json.h"
#include "format/store_tensors.h"
#include "model/layers/model.h"

/* ---- what config.json says ---------------------------------------------------------------------------------- */

typedef enum gr_packed_method {
    GR_PACKED_NONE,
    GR_PACKED_TENSORS, /* compressed-tensors */
    GR_PACKED_GPTQ,
    GR_PACKED_AWQ,
} gr_packed_method;

/* What is said of some layers. */
typedef struct gr_packed_scheme {
    int bits;
    bool symmetric, symmetric_said;
    bool sorted, sorted_said; /* columns may be in any order */
    int64_t group;            /* columns; 0: a row is one; -1: the whole matrix */
    gr_json targets;          /* of compressed-tensors */
} gr_packed_scheme;

enum { GR_PACKED_SCHEMES = 16 };
typedef struct gr_packed_config {
    gr_packed_method method;
    gr_packed_scheme schemes[GR_PACKED_SCHEMES];
    int count;
    int stored_less;  /* by how much zero points are stored less than they are */
    bool rounds_rows; /* activations are to be int8, a row with one scale */
    gr_json ignore;
    const char *file; /* that says it */
    gr_json_doc *doc; /* owned */
} gr_packed_config;

/* By the text of a config.json, or else quantize_config.json in `dir`; neither: GR_PACKED_NONE. Close in any case. */
gr_status gr_packed_config_open(gr_packed_config *c, const char *config, const char *dir);
void gr_packed_config_close(gr_packed_config *c);
/* Is it of a method that is read here? What it says that cannot be read is its document's failure. */
bool gr_packed_check_config(gr_json quantization);
/* The scheme of a layer. Fails unless it is that of one. */
gr_status gr_packed_scheme_of(const gr_packed_config *c, const char *layer, int *index);

/* ---- reading ------------------------------------------------------------------------------------------------ */

typedef enum gr_packed_layout { GR_LAYOUT_ROWS, GR_LAYOUT_BYTES, GR_LAYOUT_COLUMNS, GR_LAYOUT_AWQ } gr_packed_layout;

/* The tensors of a layer. */
typedef struct gr_packed {
    gr_packed_layout layout;
    const char *in_file;                   /* the tensor of codes */
    gr_weight codes, scales, zeros, shape; /* data NULL: it has none */
    int bits, stored_less;
    int64_t rows, width, groups, group; /* group: columns of each but the last */
    int32_t *group_of;                  /* [width] of each column; NULL: they are in order */
    int32_t *order;                     /* [width] columns sorted by their group; NULL: they are */
} gr_packed;

struct gr_names;
/* What belongs together becomes one item, "NAME.weight". */
gr_status gr_packed_join_names(struct gr_names *n, const gr_packed_config *c);
void gr_packed_free(gr_packed *p); /* NULL is fine */

/* Reads scales and zero points, [rows, groups] each. Fails when they are none. */
gr_status gr_packed_read_groups(const gr_packed *p, float *scales, uint8_t *zeros);
/* The dtype of blocks that holds the weight exactly; GR_F32 when there is none, and then *why says for what. */
gr_dtype gr_packed_dtype(const gr_packed *p, const float *scales, bool symmetric, const char **why);
/* The weight in that dtype, columns sorted, or in f32 as they are; on the device's threads. */
gr_status gr_packed_join(const gr_packed *p, gr_device *device, gr_dtype as, void *to);

/* ---- writing ------------------------------------------------------------------------------------------------ */

/* What is said of weights of 4 and of 8 bits. */
typedef struct gr_packed_saved {
    int count;
    bool zero;
    int64_t group; /* 0: a row */
} gr_packed_saved;

/* The tensors of a store as files have them. */
typedef struct gr_packed_out {
    const gr_model *model;
    gr_store_tensors *store;
    bool gptq;       /* its layout, else that of compressed-tensors */
    int stored_less; /* by how much zero points are less there */
    gr_packed_saved saved[2];
    gr_weight *list; /* [count] */
    struct gr_packed_part *parts;
    char **names; /* [count] those made here */
    int count;
    size_t bytes, largest;
    void *buffer;
    uint8_t *codes; /* of a row */
    float *numbers; /* of its groups */
} gr_packed_out;

gr_status gr_packed_open(gr_packed_out *p, const gr_model *m, gr_store_tensors *store,
                         gr_hub_layout layout); /* close in any case */
void gr_packed_close(gr_packed_out *p);
gr_status gr_packed_fetch(void *p, int index, const void **data); /* fits gr_safetensors_spec.fetch */
/* The model's config.json says how weights are packed, if some are; and no longer, if none is, or `out` is NULL. *changed: it
 * says something else now. */
gr_status gr_packed_put_config(gr_json_doc **config, const gr_packed_out *out, bool *changed);

#endif
