/* A record for each optimizer: its name, what it keeps for a weight, and the op that moves one. */
#include "train/optimizer.h"

#include "base/checksum.h"
#include "base/dynamic8.h"
#include "base/mem.h"
#include "graph/graph.h"
#include "op/optimizer.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

typedef struct record {
    const char *name;
    gr_status (*declare)(const gr_train_options *o, gr_store *state, const gr_entry *e);
    void (*update)(const gr_update *u, gr_tensor *param, gr_tensor *grad);
} record;

static gr_status add_state(gr_store *state, const char *kind, const gr_entry *e, gr_dtype dtype, const int64_t *shape)
{
    char *name = gr_strfmt("%s.%s", kind, e->name);
    gr_status s = name ? gr_store_add(state, name, GR_MOMENT, dtype, e->ndim, shape) : GR_ERR_MEMORY;
    gr_free(name);
    return s;
}

/* A moment like the weight. */
static gr_status add_moment(gr_store *state, const char *kind, const gr_entry *e)
{
    return add_state(state, kind, e, GR_F32, e->shape);
}

/* What is kept under the name, as a node beside the parameter. */
static gr_tensor *kept(const gr_update *u, const char *kind, const gr_tensor *param)
{
    gr_graph *g = param->graph;
    const char *name = gr_graph_text(g, "%s.%s", kind, param->name);
    return name ? gr_param(g, u->state, name) : NULL;
}

static float decay_of(const gr_update *u, const gr_tensor *param)
{
    return param->spec.ndim >= 2 ? (float)u->options->weight_decay : 0;
}

/* By which it is rounded: the weight's number, or with weights that are rounded a number of its name and the run's seed. */
static uint32_t stream_of(const gr_update *u, const gr_tensor *param)
{
    enum { BELOW = 1 << 30 };
    uint64_t words[] = {u->options->seed, gr_checksum(param->name, strlen(param->name))};
    return u->options->bf16_weights ? (uint32_t)(gr_checksum_words(words, 2) % BELOW) : (uint32_t)u->index;
}

/* ---- adamw -------------------------------------------------------------------------------------------------- */

static gr_status declare_adamw(const gr_train_options *o, gr_store *state, const gr_entry *e)
{
    gr_dtype dtype = o->bf16_moments ? GR_BF16 : GR_F32;
    gr_status s = add_state(state, "exp_avg", e, dtype, e->shape);
    return s == GR_OK ? add_state(state, "exp_avg_sq", e, dtype, e->shape) : s;
}

static void update_adamw(const gr_update *u, gr_tensor *param, gr_tensor *grad)
{
    const gr_train_options *o = u->options;
    gr_adamw_options a = {.size = sizeof a,
                          .beta1 = (float)o->beta1,
                          .beta2 = (float)o->beta2,
                          .eps = (float)o->eps,
                          .weight_decay = decay_of(u, param),
                          .stream = stream_of(u, param)};
    gr_adamw(param, grad, kept(u, "exp_avg", param), kept(u, "exp_avg_sq", param), u->lr, u->step, u->factor, &a);
}

/* ---- sgd ---------------------------------------------------------------------------------------------------- */

static gr_status declare_sgd(const gr_train_options *o, gr_store *state, const gr_entry *e)
{
    return o->beta1 != 0 ? add_moment(state, "momentum_buffer", e) : GR_OK;
}

static void update_sgd(const gr_update *u, gr_tensor *param, gr_tensor *grad)
{
    float momentum = (float)u->options->beta1;
    gr_tensor *velocity = momentum != 0 ? kept(u, "momentum_buffer", param) : NULL;
    gr_sgd(param, grad, velocity, u->lr, u->factor, momentum, decay_of(u, param));
}

/* ---- lion --------------------------------------------------------------------------------------------------- */

static gr_status declare_lion(const gr_train_options *o, gr_store *state, const gr_entry *e)
{
    (void)o;
    return add_moment(state, "exp_avg", e);
}

static void update_lion(const gr_update *u, gr_tensor *param, gr_tensor *grad)
{
    const gr_train_options *o = u->options;
    gr_lion_attr a = {(float)o->beta1, (float)o->beta2, decay_of(u, param)};
    gr_lion(param, grad, kept(u, "exp_avg", param), u->lr, u->factor, &a);
}

/* ---- adafactor ---------------------------------------------------------------------------------------------- */

static gr_status declare_adafactor(const gr_train_options *o, gr_store *state, const gr_entry *e)
{
    (void)o;
    int64_t row[GR_MAX_DIMS] = {0}, column[GR_MAX_DIMS] = {0};
    if (e->ndim < 2)
        return add_moment(state, "variance", e);
    memcpy(row, e->shape, sizeof row);
    memcpy(column, e->shape, sizeof column);
    row[e->ndim - 1] = column[e->ndim - 2] = 1;
    gr_status s = add_state(state, "row_var", e, GR_F32, row);
    return s == GR_OK ? add_state(state, "col_var", e, GR_F32, column) : s;
}

static void update_adafactor(const gr_update *u, gr_tensor *param, gr_tensor *grad)
{
    bool is_factored = param->spec.ndim >= 2;
    gr_tensor *row = kept(u, is_factored ? "row_var" : "variance", param);
    gr_tensor *column = is_factored ? kept(u, "col_var", param) : NULL;
    gr_adafactor_attr a = {decay_of(u, param)};
    gr_adafactor(param, grad, row, column, u->lr, u->step, u->factor, &a);
}

/* ---- muon --------------------------------------------------------------------------------------------------- */

/* A matrix of a block: its name has the block's number in it ("h.3.attn.c_attn.weight"), embeddings and heads have none. */
static bool is_hidden(const char *name, int ndim)
{
    bool has_number = false;
    for (const char *c = name; *c && !has_number; c += strcspn(c, "."), c += *c == '.')
        has_number = isdigit((unsigned char)*c) && c[strspn(c, "0123456789")] == '.';
    return has_number && ndim == 2;
}

static gr_status declare_muon(const gr_train_options *o, gr_store *state, const gr_entry *e)
{
    return is_hidden(e->name, e->ndim) ? add_moment(state, "momentum_buffer", e) : declare_adamw(o, state, e);
}

static void update_muon(const gr_update *u, gr_tensor *param, gr_tensor *grad)
{
    const gr_train_options *o = u->options;
    if (!is_hidden(param->name, param->spec.ndim)) {
        update_adamw(u, param, grad);
        return;
    }
    double rows = (double)param->spec.shape[0], columns = (double)param->spec.shape[1];
    gr_muon_attr a = {.momentum = (float)o->muon_momentum, .weight_decay = (float)o->weight_decay, .lr_scale = 1};
    if (o->muon_lr > 0 && o->lr > 0)
        a.lr_scale = (float)(o->muon_lr / o->lr);
    if (o->muon_adjust == GR_MATCH_RMS_ADAMW)
        a.adjust = (float)(0.2 * sqrt(fmax(rows, columns)));
    else
        a.adjust = (float)sqrt(fmax(1, rows / columns));
    gr_muon(param, grad, kept(u, "momentum_buffer", param), u->lr, u->factor, &a);
}

/* ---- adamw8bit ---------------------------------------------------------------------------------------------- */

enum { LEAST_IN_8_BITS = 4096 }; /* elements; what is smaller is not worth it, and matters more */

static gr_status declare_adamw8bit(const gr_train_options *o, gr_store *state, const gr_entry *e)
{
    static const char *const names[] = {"state1", "state2"}, *const largest[] = {"absmax1", "absmax2"};
    int64_t n = 1;
    for (int i = 0; i < e->ndim; i++)
        n *= e->shape[i];
    if (n < LEAST_IN_8_BITS)
        return declare_adamw(o, state, e);
    gr_entry blocks = *e;
    blocks.ndim = 1;
    blocks.shape[0] = (n + GR_DYNAMIC8_BLOCK - 1) / GR_DYNAMIC8_BLOCK;
    gr_status s = GR_OK;
    for (int k = 0; s == GR_OK && k < 2; k++) {
        s = add_state(state, names[k], e, GR_U8, e->shape);
        if (s == GR_OK)
            s = add_state(state, largest[k], &blocks, GR_F32, blocks.shape);
    }
    return s;
}

static void update_adamw8bit(const gr_update *u, gr_tensor *param, gr_tensor *grad)
{
    const gr_train_options *o = u->options;
    if (gr_tensor_count(param) < LEAST_IN_8_BITS) {
        update_adamw(u, param, grad);
        return;
    }
    gr_moments8 m = {kept(u, "state1", param), kept(u, "absmax1", param), kept(u, "state2", param),
                     kept(u, "absmax2", param)};
    gr_adamw8bit_attr a = {(float)o->beta1, (float)o->beta2, (float)o->eps, decay_of(u, param), stream_of(u, param)};
    gr_adamw8bit(param, grad, &m, u->lr, u->step, u->factor, &a);
}

/* ---- all of them -------------------------------------------------------------------------------------------- */

static const record records[] = {
    [GR_ADAMW] = {"adamw", declare_adamw, update_adamw},
    [GR_SGD] = {"sgd", declare_sgd, update_sgd},
    [GR_LION] = {"lion", declare_lion, update_lion},
    [GR_ADAFACTOR] = {"adafactor", declare_adafactor, update_adafactor},
    [GR_MUON] = {"muon", declare_muon, update_muon},
    [GR_ADAMW8BIT] = {"adamw8bit", declare_adamw8bit, update_adamw8bit},
};
enum { RECORDS = sizeof records / sizeof records[0] };

const char *gr_optimizer_name(gr_optimizer optimizer)
{
    return (unsigned)optimizer < RECORDS ? records[optimizer].name : NULL;
}

gr_status gr_optimizer_declare(const gr_train_options *options, gr_store *state, const gr_entry *weight)
{
    return records[options->optimizer].declare(options, state, weight);
}

void gr_optimizer_update(gr_update *update, int index, gr_tensor *param, gr_tensor *grad)
{
    update->index = index;
    if (param && grad)
        records[update->options->optimizer].update(update, param, grad);
}
