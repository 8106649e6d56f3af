/* Which layers of a model an adapter means: they are noted once, and the adapter's tensors declared for them. */
#include "model/adapter/adapter.h"

#include "base/log.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- noting ------------------------------------------------------------------------------------------------- */

const char *gr_last_part(const char *module)
{
    const char *dot = strrchr(module, '.');
    return dot ? dot + 1 : module;
}

static gr_layer_note *add_note(gr_adapter *a, const gr_layer *l)
{
    if (gr_grow(&a->notes, &a->notes_capacity, a->n_notes + 1, sizeof *a->notes) != GR_OK)
        return NULL;
    gr_layer_note *note = &a->notes[a->n_notes];
    *note = (gr_layer_note){
        .module = gr_strdup(l->module), .kind = l->kind, .tied = l->tied, .weight = -1, .bias = -1, .lora = -1};
    if (!note->module)
        return NULL;
    a->n_notes++;
    return note;
}

static gr_tensor *note_param(gr_build *b, const gr_layer *l, const char *part, gr_tensor *own)
{
    gr_adapter *a = b->model->adapter;
    bool is_weight = strcmp(part, "weight") == 0;
    gr_layer_note *note = is_weight ? add_note(a, l) : a->n_notes ? &a->notes[a->n_notes - 1] : NULL;
    if (!note || !own->name)
        return gr_graph_fail(b->g);
    *(is_weight ? &note->weight : &note->bias) = gr_store_find(b->model->store, own->name);
    bool out_first = l->kind == GR_LAYER_LINEAR;
    const gr_spec *s = &own->spec;
    if (is_weight) {
        note->in = s->shape[out_first ? s->ndim - 1 : 0];
        note->out = s->shape[out_first ? 0 : s->ndim - 1];
    }
    return own;
}

static gr_tensor *note_result(gr_build *b, const gr_layer *l, gr_tensor *y)
{
    (void)b;
    (void)l;
    return y;
}

gr_status gr_adapter_note_layers(gr_model *m)
{
    static const gr_layer_observer notes = {note_param, note_result};
    m->observer = &notes;
    gr_status s = gr_model_trace(m);
    m->observer = &gr_adapter_observer;
    return s;
}

/* "LoRA: WHAT", and what a layer of this model may be called: each last part of a name once. */
gr_status gr_adapter_no_match(const gr_adapter *a, const char *what)
{
    char names[400] = "";
    for (size_t i = 0; i < a->n_notes; i++) {
        const char *last = gr_last_part(a->notes[i].module);
        bool seen = a->notes[i].kind == GR_LAYER_NORM;
        for (size_t k = 0; k < i && !seen; k++)
            seen = strcmp(gr_last_part(a->notes[k].module), last) == 0;
        if (!seen)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", *names ? ", " : "", last);
    }
    return gr_fail(GR_ERR_ARGUMENT, "LoRA: %s\nits layers are %s", what, names);
}

/* ---- what names mean ---------------------------------------------------------------------------------------- */

/* Does the name end with this text, wherever that begins? So peft matches modules_to_save and tokens. */
static bool ends_with(const char *name, size_t size, const char *end)
{
    size_t n = strlen(end);
    return n <= size && memcmp(name + size - n, end, n) == 0;
}

/* Is the module, or one that it is a part of, to be saved whole? */
static bool is_saved_by(const char *module, const char *name)
{
    for (const char *dot = strchr(module, '.'); dot; dot = strchr(dot + 1, '.'))
        if (ends_with(module, (size_t)(dot - module), name))
            return true;
    return ends_with(module, strlen(module), name);
}

/* Are these the module's name, parts of it from dot to dot? Such modules get no LoRA. */
static bool has_parts(const char *module, const char *parts)
{
    size_t n = strlen(parts);
    for (const char *at = strstr(module, parts); at; at = strstr(at + 1, parts))
        if ((at == module || at[-1] == '.') && (at[n] == '.' || at[n] == '\0'))
            return true;
    return false;
}

/* The embedding or the head that reads its weight, which peft keeps one when ensure_weight_tying asks for it. */
static bool is_of_tied(const gr_adapter *a, const gr_layer_note *l)
{
    return a->notes[a->n_notes - 1].tied && (l == &a->notes[0] || l->tied);
}

static bool is_saved(const gr_adapter *a, const gr_layer_note *l)
{
    for (size_t i = 0; i < a->n_saved; i++)
        if (is_saved_by(l->module, a->saved[i]))
            return true;
    return a->ties_saved && is_of_tied(a, l);
}

/* The names by which peft knows an embedding or a head that might be tied. */
static const char *const tied_names[] = {"embed_tokens", "lm_head"};

static bool is_tied_name(const char *name)
{
    return strcmp(gr_last_part(name), tied_names[0]) == 0 || strcmp(gr_last_part(name), tied_names[1]) == 0;
}

/* ensure_weight_tying: when either of the two is named, both are meant. */
static gr_status find_ties(gr_adapter *a)
{
    gr_status s = GR_OK;
    a->ties_saved = a->ties_targets = false;
    for (size_t i = 0; a->ties && i < a->n_saved; i++)
        a->ties_saved |= is_tied_name(a->saved[i]);
    for (size_t i = 0; a->ties && i < a->targets.n; i++)
        a->ties_targets |= is_tied_name(a->targets.names[i]);
    for (int i = 0; s == GR_OK && a->ties && a->targets.regex && i < 2; i++) {
        bool named;
        s = gr_modules_match(&a->targets, tied_names[i], &named);
        a->ties_targets |= s == GR_OK && named;
    }
    a->ties_targets &= !a->ties_saved;
    return s;
}

static gr_status is_wanted(const gr_adapter *a, const gr_layer_note *l, bool *wanted)
{
    *wanted = false;
    bool is_linear = l->kind == GR_LAYER_LINEAR || l->kind == GR_LAYER_CONV1D, excluded;
    if (!is_linear && (l->kind != GR_LAYER_EMBEDDING || a->targets.all))
        return GR_OK;
    gr_status s = gr_modules_match(&a->excluded, l->module, &excluded);
    for (size_t i = 0; s == GR_OK && i < a->n_saved; i++)
        excluded |= has_parts(l->module, a->saved[i]);
    if (s != GR_OK || excluded)
        return s;
    s = gr_modules_match(&a->targets, l->module, wanted);
    *wanted |= a->ties_targets && is_of_tied(a, l);
    return s;
}

static gr_status rank_and_scale(const gr_adapter *a, const char *module, int64_t *rank, float *scale)
{
    double r = (double)a->rank, alpha = a->alpha;
    gr_status s = gr_module_values_find(&a->ranks, module, &r);
    if (s == GR_OK)
        s = gr_module_values_find(&a->alphas, module, &alpha);
    *rank = (int64_t)r;
    *scale = (float)(alpha / (a->rslora ? sqrt(r) : r));
    return s;
}

/* ---- declaring ---------------------------------------------------------------------------------------------- */

static gr_status add_entry(gr_adapter *a, const char *module, const char *part, int ndim, const int64_t *shape,
                           int *index)
{
    char *name = gr_strfmt(GR_ADAPTER_PREFIX "%s.%s", module, part);
    gr_status s = name ? gr_store_add(a->store, name, GR_WEIGHT, GR_F32, ndim, shape) : GR_ERR_MEMORY;
    *index = gr_store_count(a->store) - 1;
    gr_free(name);
    return s;
}

static gr_status add_lora(gr_adapter *a, int layer)
{
    const gr_layer_note *l = &a->notes[layer];
    bool is_embedding = l->kind == GR_LAYER_EMBEDDING;
    gr_lora m = {.layer = layer, .b_bias = -1, .magnitude = -1};
    int64_t rank = 0;
    if (is_embedding && a->b_bias)
        return gr_fail(GR_ERR_ARGUMENT,
                       "LoRA: lora_bias, and \"%s\" is an embedding, which has no biases\nleave it out "
                       "of target_modules",
                       l->module);
    gr_status s = rank_and_scale(a, l->module, &rank, &m.scale);
    if (s == GR_OK)
        s = gr_grow(&a->loras, &a->loras_capacity, a->n_loras + 1, sizeof *a->loras);
    if (s == GR_OK)
        s = add_entry(a, l->module, is_embedding ? "lora_embedding_A" : "lora_A.weight", 2, (int64_t[]){rank, l->in},
                      &m.a);
    if (s == GR_OK)
        s = add_entry(a, l->module, is_embedding ? "lora_embedding_B" : "lora_B.weight", 2, (int64_t[]){l->out, rank},
                      &m.b);
    if (s == GR_OK && a->b_bias)
        s = add_entry(a, l->module, "lora_B.bias", 1, &l->out, &m.b_bias);
    if (s == GR_OK && a->dora)
        s = add_entry(a, l->module, "lora_magnitude_vector", 1, &l->out, &m.magnitude);
    if (s == GR_OK)
        a->notes[layer].lora = (int)a->n_loras;
    if (s == GR_OK)
        a->loras[a->n_loras++] = m;
    return s;
}

static gr_status add_override(gr_model *m, const gr_layer_note *l, int param, const char *part)
{
    gr_adapter *a = m->adapter;
    gr_override o = {.param = param, .tied = l->tied};
    gr_entry e = GR_INIT(gr_entry);
    if (m->inits[param].order)
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "layer \"%s\" is to be trained as a whole (modules_to_save), and its columns are sorted "
                       "(desc_act)\ntake the model in f32, f16 or bf16: gradus convert --to hf --dtype bf16",
                       l->module);
    gr_status s = gr_grow(&a->overrides, &a->overrides_capacity, a->n_overrides + 1, sizeof *a->overrides);
    if (s == GR_OK)
        s = gr_store_entry(m->store, param, &e);
    if (s == GR_OK)
        s = add_entry(a, l->module, part, e.ndim, e.shape, &o.entry);
    if (s == GR_OK)
        a->overrides[a->n_overrides++] = o;
    return s;
}

/* What stands in place of the layer's own parameters. */
static gr_status add_overrides(gr_model *m, const gr_layer_note *l, bool has_lora)
{
    const gr_adapter *a = m->adapter;
    if (is_saved(a, l)) {
        if (has_lora)
            return gr_fail(GR_ERR_ARGUMENT,
                           "LoRA: \"%s\" is in target_modules and in modules_to_save\nname it in one of "
                           "them",
                           l->module);
        gr_status s = add_override(m, l, l->weight, "weight");
        return s == GR_OK && l->bias >= 0 ? add_override(m, l, l->bias, "bias") : s;
    }
    bool trains_bias = a->bias == GR_BIAS_ALL || (a->bias == GR_BIAS_LORA_ONLY && has_lora);
    return trains_bias && l->bias >= 0 ? add_override(m, l, l->bias, has_lora ? "base_layer.bias" : "bias") : GR_OK;
}

/* ---- rows of tokens ----------------------------------------------------------------------------------------- */

static gr_status check_tokens(const gr_token_list *t, const gr_layer_note *l)
{
    int64_t vocab = l->kind == GR_LAYER_EMBEDDING ? l->in : l->out;
    bool *seen = gr_alloc_zero((size_t)vocab, sizeof *seen);
    gr_status s = seen ? GR_OK : GR_ERR_MEMORY;
    for (size_t i = 0; s == GR_OK && i < t->n; i++) {
        gr_token token = t->tokens[i];
        if (token < 0 || token >= vocab)
            s = gr_fail(GR_ERR_ARGUMENT,
                        "trainable_token_indices: token %lld, and \"%s\" has %lld\nids begin with 0; is the adapter of "
                        "this model?",
                        (long long)token, l->module, (long long)vocab);
        else if (seen[token])
            s = gr_fail(GR_ERR_ARGUMENT, "trainable_token_indices: token %lld is there twice\nname it once",
                        (long long)token);
        else
            seen[token] = true;
    }
    gr_free(seen);
    return s;
}

/* The layer's own rows; of a head with `shared` those of the embedding, an entry. */
static gr_status add_rows(gr_adapter *a, int layer, const gr_token_list *t, int shared)
{
    const gr_layer_note *l = &a->notes[layer];
    gr_token_rows r = {
        .layer = layer, .tokens = t->tokens, .n = t->n, .entry = shared, .map = -1, .keep = -1, .place = -1};
    if (l->lora >= 0 || is_saved(a, l))
        return gr_fail(GR_ERR_ARGUMENT,
                       "trainable_token_indices: \"%s\" is trained in another way too\nleave it out of "
                       "target_modules and modules_to_save",
                       l->module);
    if (a->n_rows == sizeof a->rows / sizeof *a->rows ||
        (l->kind != GR_LAYER_EMBEDDING && strcmp(l->module, "lm_head") != 0))
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "trainable_token_indices: tokens of \"%s\" are not supported\nthose of the "
                       "embedding and the head are",
                       l->module);
    gr_status s = check_tokens(t, l);
    int64_t shape[] = {(int64_t)t->n, l->kind == GR_LAYER_EMBEDDING ? l->out : l->in};
    if (s == GR_OK && shared < 0)
        s = add_entry(a, l->module, "token_adapter.trainable_tokens_delta", 2, shape, &r.entry);
    if (s == GR_OK)
        s = gr_token_rows_open(a, &r);
    if (s == GR_OK)
        a->rows[a->n_rows++] = r;
    return s;
}

/* The layer that a list of tokens means; -1: none. */
static int layer_of_tokens(const gr_adapter *a, const gr_token_list *t)
{
    for (size_t i = 0; i < a->n_notes; i++)
        if (!t->module || ends_with(a->notes[i].module, strlen(a->notes[i].module), t->module))
            return (int)i;
    return -1;
}

static bool same_tokens(const gr_token_list *a, const gr_token_list *b)
{
    return a->n == b->n && memcmp(a->tokens, b->tokens, a->n * sizeof *a->tokens) == 0;
}

/* Of an embedding and a head that are one, the head takes the embedding's rows, but where it is given others. */
static gr_status declare_rows(gr_adapter *a)
{
    int last = (int)a->n_notes - 1;
    const gr_token_list *embedding = NULL, *head = NULL;
    gr_status s = GR_OK;
    for (size_t i = 0; s == GR_OK && i < a->n_tokens; i++) {
        const gr_token_list *t = &a->tokens[i];
        int layer = layer_of_tokens(a, t);
        if (layer < 0)
            return gr_adapter_no_match(a, "trainable_token_indices names none of the model's layers");
        const gr_token_list **list = layer == 0 ? &embedding : &head;
        if (*list || (layer != 0 && layer != last))
            return gr_fail(GR_ERR_UNSUPPORTED,
                           "trainable_token_indices: tokens of \"%s\" are not supported\nthose of "
                           "the embedding and the head are, each once",
                           a->notes[layer].module);
        *list = t;
    }
    bool tied = embedding && a->notes[last].tied && (!head || same_tokens(embedding, head));
    if (embedding && head && a->notes[last].tied && !tied && a->ties)
        return gr_fail(GR_ERR_ARGUMENT, "trainable_token_indices: the embedding and the head are to be one, and have "
                                        "other tokens");
    if (embedding)
        s = add_rows(a, 0, embedding, -1);
    if (s == GR_OK && (tied || head))
        s = add_rows(a, last, tied ? embedding : head, tied ? a->rows[0].entry : -1);
    return s;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

bool gr_adapter_can_save(const gr_adapter *a, const char *name)
{
    for (size_t i = 0; i < a->n_notes; i++)
        if (is_saved_by(a->notes[i].module, name))
            return true;
    return false;
}

/* peft passes over what it does not find. */
static void remark_on_saved(const gr_adapter *a)
{
    for (size_t i = 0; i < a->n_saved; i++)
        if (!gr_adapter_can_save(a, a->saved[i]))
            gr_remark(GR_LOG_WARN, "%s: modules_to_save names \"%.100s\", which the model does not have",
                      GR_ADAPTER_CONFIG, a->saved[i]);
}

gr_status gr_adapter_declare(gr_model *m)
{
    gr_adapter *a = m->adapter;
    gr_status s = find_ties(a);
    for (size_t i = 0; s == GR_OK && i < a->n_notes; i++) {
        bool wanted;
        s = is_wanted(a, &a->notes[i], &wanted);
        if (s == GR_OK && wanted)
            s = add_lora(a, (int)i);
        if (s == GR_OK)
            s = add_overrides(m, &a->notes[i], wanted);
    }
    if (s == GR_OK && a->n_loras == 0)
        return gr_adapter_no_match(a, "target_modules names none of the model's layers");
    if (s == GR_OK)
        remark_on_saved(a);
    return s == GR_OK ? declare_rows(a) : s;
}
