/* What config.json says of codes that are written. */
#include "model/files/packed.h"

#include <string.h>

#include "base/ggml/hub.h"

static void put_args(gr_json into, int64_t bits, bool symmetric, const char *strategy, int64_t group, bool dynamic)
{
    gr_json_put_int(into, "num_bits", bits);
    gr_json_put_text(into, "type", "int");
    gr_json_put_bool(into, "symmetric", symmetric);
    gr_json_put_text(into, "strategy", strategy);
    if (group)
        gr_json_put_int(into, "group_size", group);
    else
        gr_json_put_null(into, "group_size");
    gr_json_put_bool(into, "dynamic", dynamic);
}

/* "model.layers.0.mlp.up_proj" of a tensor. */
static void put_layer(gr_json list, const gr_weight *t)
{
    gr_json_put_bytes(list, NULL, t->name, strlen(t->name) - strlen(".weight"));
}

/* By class where all layers have so many bits, else by name. */
static void put_targets(gr_json list, const gr_packed_out *p, int bits)
{
    if (!p->saved[bits != 8].count) {
        gr_json_put_text(list, NULL, "Linear");
        return;
    }
    for (int i = 0; i < p->store->count; i++)
        if (gr_ints_is(p->store->tensors[i].dtype) && gr_ints_bits(p->store->tensors[i].dtype) == bits)
            put_layer(list, &p->store->tensors[i]);
}

/* Were activations of the model that was read in int8? Of one that is quantized here they are. */
static bool has_activations(gr_json before)
{
    bool has = !gr_json_is(before);
    for (gr_json_iter it = gr_json_first(gr_json_get(before, "config_groups")); it.key; gr_json_next(&it))
        has |= gr_json_is(gr_json_get(it.value, "input_activations"));
    return has;
}

static void put_group(gr_json groups, const gr_packed_out *p, int bits, gr_json before)
{
    const gr_packed_saved *s = &p->saved[bits == 8];
    if (!s->count)
        return;
    gr_json group = gr_json_put_object(groups, bits == 8 && p->saved[0].count ? "group_1" : "group_0");
    put_targets(gr_json_put_array(group, "targets"), p, bits);
    put_args(gr_json_put_object(group, "weights"), bits, !s->zero, s->group ? "group" : "channel", s->group, false);
    if (bits == 8 && !s->group && !s->zero && has_activations(before))
        put_args(gr_json_put_object(group, "input_activations"), 8, true, "token", 0, true);
    if (p->saved[0].count && p->saved[1].count)
        gr_json_put_text(group, "format", bits == 8 ? "int-quantized" : "pack-quantized");
}

static void put_tensors(gr_json into, const gr_packed_out *p, gr_json before)
{
    bool both = p->saved[0].count && p->saved[1].count, head = false;
    gr_json_put_text(into, "quant_method", "compressed-tensors");
    gr_json_put_text(into, "format", both ? "mixed-precision" : p->saved[1].count ? "int-quantized" : "pack-quantized");
    gr_json_put_text(into, "quantization_status", "compressed");
    gr_json groups = gr_json_put_object(into, "config_groups");
    put_group(groups, p, 4, before);
    put_group(groups, p, 8, before);
    gr_json ignore = gr_json_put_array(into, "ignore");
    for (int i = 0; i < p->store->count; i++) {
        const gr_weight *t = &p->store->tensors[i];
        bool is_head = strcmp(t->name, "lm_head.weight") == 0;
        head |= is_head;
        if (!gr_ints_is(t->dtype) && t->ndim == 2 && gr_ends_with(t->name, ".weight") &&
            !gr_ends_with(t->name, p->model->arch->embedding))
            put_layer(ignore, t);
    }
    if (!head)
        gr_json_put_text(ignore, NULL, "lm_head");
}

static void put_gptq(gr_json into, const gr_packed_out *p)
{
    const gr_packed_saved *s = &p->saved[p->saved[1].count > 0];
    bool sorted = false;
    for (int i = 0; i < p->store->count; i++)
        sorted |= p->model->inits[i].order != NULL;
    gr_json_put_text(into, "quant_method", "gptq");
    gr_json_put_int(into, "bits", p->saved[1].count ? 8 : 4);
    gr_json_put_int(into, "group_size", s->group ? s->group : -1);
    gr_json_put_bool(into, "desc_act", sorted);
    gr_json_put_bool(into, "sym", !s->zero);
    gr_json_put_bool(into, "lm_head", false);
    gr_json_put_text(into, "checkpoint_format", p->stored_less ? "gptq" : "gptq_v2");
}

gr_status gr_packed_put_config(gr_json_doc **config, const gr_packed_out *out, bool *changed)
{
    gr_json before = gr_json_get(gr_json_root(*config), "quantization_config");
    bool packed = out && (out->saved[0].count || out->saved[1].count);
    *changed = packed || gr_json_is(before);
    if (!*changed)
        return GR_OK;
    gr_json_doc *doc = gr_json_new("config.json");
    if (!doc)
        return gr_error_status();
    for (gr_json_iter it = gr_json_first(gr_json_root(*config)); it.key; gr_json_next(&it))
        if (strcmp(it.key, "quantization_config") != 0)
            gr_json_put_copy(gr_json_root(doc), it.key, it.value);
    if (packed && out->gptq)
        put_gptq(gr_json_put_object(gr_json_root(doc), "quantization_config"), out);
    else if (packed)
        put_tensors(gr_json_put_object(gr_json_root(doc), "quantization_config"), out, before);
    gr_json_free(*config);
    *config = doc;
    return gr_json_check(doc);
}
