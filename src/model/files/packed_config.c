/* What config.json says of codes. */
#include "model/files/packed.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "text/stages/regex.h"

static bool says(gr_json v, const char *key, const char *text)
{
    return strcmp(gr_json_text(v, key, ""), text) == 0;
}

/* The value of the one key or the other, as tools of different ages have it. */
static gr_json either(gr_json v, const char *key, const char *other)
{
    gr_json is = gr_json_get(v, key);
    return gr_json_is(is) ? is : gr_json_get(v, other);
}

/* -1: a whole row. */
static int64_t group_of(gr_json v)
{
    int64_t group = gr_json_as_int(v, -1, 1 << 20);
    if (group == 0)
        gr_json_fail(v, "no column has a scale in groups of 0");
    return group < 0 ? 0 : group;
}

static void refuse(gr_json at, const char *what)
{
    gr_json_fail(at, "%s are not supported\ntake another version of the model, or one in f32, f16 or bf16", what);
}

/* ---- GPTQ and AWQ ------------------------------------------------------------------------------------------- */

static void read_gptq(gr_packed_config *c, gr_json q)
{
    gr_packed_scheme *s = &c->schemes[c->count++];
    gr_json bits = gr_json_get(q, "bits"), order = gr_json_get(q, "desc_act"), sym = gr_json_get(q, "sym");
    gr_json format = either(q, "checkpoint_format", "format");
    s->bits = (int)gr_json_as_int(bits, 2, 8);
    if (s->bits > 4 && s->bits < 8)
        gr_json_fail(bits, "GPTQ has 2, 3, 4 or 8 bits");
    s->group = group_of(gr_json_get(q, "group_size"));
    s->sorted_said = gr_json_is(order);
    s->sorted = s->sorted_said && gr_json_as_bool(order);
    s->symmetric_said = gr_json_is(sym);
    s->symmetric = s->symmetric_said && gr_json_as_bool(sym);
    const char *name = gr_json_is(format) ? gr_json_as_text(format, NULL) : "gptq";
    c->stored_less = strcmp(name, "gptq_v2") != 0;
    if (strcmp(name, "gptq") != 0 && strcmp(name, "gptq_v2") != 0)
        refuse(format, "codes of GPTQ in another layout than gptq and gptq_v2");
    if (gr_json_bool(q, "is_marlin_format", false))
        refuse(gr_json_get(q, "is_marlin_format"), "codes of GPTQ in Marlin's layout");
    if (gr_json_size(gr_json_get(q, "dynamic")))
        refuse(gr_json_get(q, "dynamic"), "bits and groups that differ from layer to layer");
    if (!says(q, "pack_dtype", "int32") && !says(q, "pack_dtype", ""))
        refuse(gr_json_get(q, "pack_dtype"), "codes in other words than int32");
}

static void read_awq(gr_packed_config *c, gr_json q)
{
    gr_packed_scheme *s = &c->schemes[c->count++];
    gr_json bits = either(q, "bits", "w_bit"), version = gr_json_get(q, "version");
    const char *name = gr_json_is(version) ? gr_json_as_text(version, NULL) : "gemm";
    s->bits = (int)gr_json_as_int(bits, 1, 16);
    if (s->bits != 4)
        gr_json_fail(bits, "AWQ has 4 bits");
    s->group = group_of(either(q, "group_size", "q_group_size"));
    if (strcmp(name, "gemm") != 0 && strcmp(name, "GEMM") != 0)
        refuse(version, "codes of AWQ in another layout than gemm");
    if (!gr_json_bool(q, "zero_point", true))
        refuse(gr_json_get(q, "zero_point"), "codes of AWQ without zero points");
    s->sorted_said = true;
}

/* ---- compressed-tensors ------------------------------------------------------------------------------------- */

/* Rounding that this program does by itself, if asked to. */
static void read_activations(gr_packed_config *c, gr_json group)
{
    gr_json in = gr_json_get(group, "input_activations"), out = gr_json_get(group, "output_activations");
    if (gr_json_is(out))
        refuse(out, "layers whose results are rounded");
    if (!gr_json_is(in))
        return;
    if (!says(in, "type", "int") || gr_json_int(in, "num_bits", 8, 0, 64) != 8)
        refuse(in, "activations in anything but int8");
    if (!gr_json_bool(in, "dynamic", false) || !gr_json_bool(in, "symmetric", true))
        refuse(in, "activations in a scale that is known before, or with a zero point,");
    c->rounds_rows |= !says(in, "strategy", "group");
}

static void read_group(gr_packed_config *c, gr_json group)
{
    gr_json w = gr_json_get(group, "weights");
    if (!gr_json_is(w))
        return;
    if (c->count == GR_PACKED_SCHEMES) {
        refuse(group, "so many config groups");
        return;
    }
    gr_packed_scheme *s = &c->schemes[c->count++];
    if (!says(w, "type", "int"))
        refuse(w, "weights that are no integers");
    s->bits = (int)gr_json_int(w, "num_bits", 8, 2, 8);
    s->symmetric_said = true;
    s->symmetric = gr_json_bool(w, "symmetric", true);
    gr_json order = gr_json_get(w, "actorder");
    s->sorted_said = gr_json_is(order);
    s->sorted = gr_json_type_of(order) == GR_JSON_TEXT ? strcmp(gr_json_as_text(order, NULL), "group") == 0
                                                       : s->sorted_said && gr_json_as_bool(order);
    s->targets = gr_json_as_array(gr_json_get(group, "targets"));
    if (says(w, "strategy", "tensor"))
        s->group = -1;
    else if (!says(w, "strategy", "channel")) {
        if (!says(w, "strategy", "group") && !says(w, "strategy", ""))
            refuse(gr_json_get(w, "strategy"), "weights whose scales are not of groups, rows or the whole matrix");
        s->group = group_of(gr_json_get(w, "group_size"));
    }
    read_activations(c, group);
}

static void read_tensors(gr_packed_config *c, gr_json q)
{
    static const char *const formats[] = {"pack-quantized", "int-quantized", "naive-quantized", "mixed-precision"};
    gr_json sparse = gr_json_get(q, "sparsity_config");
    bool known = false;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        known |= says(q, "format", formats[i]);
    if (!known)
        refuse(gr_json_get(q, "format"), "weights in another format than pack- and int-quantized");
    if (gr_json_size(gr_json_get(q, "kv_cache_scheme")))
        refuse(gr_json_get(q, "kv_cache_scheme"), "keys and values that are rounded");
    if (gr_json_size(sparse) && !says(sparse, "format", "dense"))
        refuse(sparse, "sparse weights");
    if (gr_json_size(gr_json_get(q, "transform_config")))
        refuse(gr_json_get(q, "transform_config"), "weights that are turned");
    c->ignore = gr_json_get(q, "ignore");
    for (gr_json_iter it = gr_json_first(gr_json_as_object(gr_json_get(q, "config_groups"))); it.key; gr_json_next(&it))
        read_group(c, it.value);
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

/* quantize_config.json and quant_config.json may go without the method's name. */
static gr_packed_method method_of(gr_json q, gr_packed_method usual)
{
    gr_json name = gr_json_get(q, "quant_method");
    if (!gr_json_is(name))
        return gr_json_is(gr_json_get(q, "w_bit")) ? GR_PACKED_AWQ : usual;
    return says(q, "quant_method", "compressed-tensors") ? GR_PACKED_TENSORS
           : says(q, "quant_method", "gptq")             ? GR_PACKED_GPTQ
           : says(q, "quant_method", "awq")              ? GR_PACKED_AWQ
                                                         : GR_PACKED_NONE;
}

static void read_config(gr_packed_config *c, gr_json q, gr_packed_method usual)
{
    c->method = gr_json_type_of(q) == GR_JSON_OBJECT ? method_of(q, usual) : GR_PACKED_NONE;
    if (c->method == GR_PACKED_TENSORS)
        read_tensors(c, q);
    else if (c->method == GR_PACKED_GPTQ)
        read_gptq(c, q);
    else if (c->method == GR_PACKED_AWQ)
        read_awq(c, q);
}

bool gr_packed_check_config(gr_json quantization)
{
    gr_packed_config c = {0};
    read_config(&c, quantization, GR_PACKED_NONE);
    return c.method != GR_PACKED_NONE;
}

/* The files in which older tools of GPTQ and of AWQ say it. */
static gr_status open_beside(gr_packed_config *c, const char *dir)
{
    static const char *const names[] = {"quantize_config.json", "quant_config.json"};
    gr_status s = GR_OK;
    for (int i = 0; s == GR_OK && !c->doc && i < 2; i++) {
        char *path = gr_path_join(dir, names[i]);
        s = path ? GR_OK : GR_ERR_MEMORY;
        if (path && gr_path_is_file(path)) {
            c->doc = gr_json_read(path, GR_JSON_LIMIT);
            c->file = names[i];
            s = c->doc ? GR_OK : gr_error_status();
        }
        gr_free(path);
    }
    if (c->doc)
        read_config(c, gr_json_as_object(gr_json_root(c->doc)), GR_PACKED_GPTQ);
    return s;
}

gr_status gr_packed_config_open(gr_packed_config *c, const char *config, const char *dir)
{
    *c = (gr_packed_config){.file = "config.json"};
    c->doc = gr_json_parse("config.json", config, strlen(config));
    if (!c->doc)
        return gr_error_status();
    read_config(c, gr_json_get(gr_json_root(c->doc), "quantization_config"), GR_PACKED_NONE);
    gr_status s = gr_json_check(c->doc);
    if (s != GR_OK || c->method != GR_PACKED_NONE)
        return s;
    gr_json_free(c->doc);
    c->doc = NULL;
    s = open_beside(c, dir);
    return s == GR_OK && c->doc ? gr_json_check(c->doc) : s;
}

void gr_packed_config_close(gr_packed_config *c)
{
    gr_json_free(c->doc);
    *c = (gr_packed_config){0};
}

/* ---- which scheme is a layer's ------------------------------------------------------------------------------ */

typedef enum likeness { NOT, BY_CLASS, BY_PATTERN, BY_NAME } likeness;

/* As Python's re.match: from the beginning on. */
static gr_status match(const char *pattern, const char *layer, bool *is)
{
    gr_regex *r = gr_regex_new(pattern, strlen(pattern));
    gr_regex_search *search = r ? gr_regex_search_new(r, layer, strlen(layer)) : NULL;
    size_t start = 0, stop;
    gr_status s = search ? gr_regex_next(search, 0, is, &start, &stop) : gr_error_status();
    *is = s == GR_OK && *is && start == 0;
    gr_regex_search_free(search);
    gr_regex_free(r);
    return s;
}

/* How an entry of "targets" or "ignore" means a layer. */
static gr_status look(gr_json list, const char *layer, likeness *best)
{
    gr_status s = GR_OK;
    *best = NOT;
    for (size_t i = 0; s == GR_OK && i < gr_json_size(list); i++) {
        gr_json entry = gr_json_item(list, i);
        const char *target = gr_json_as_text(entry, NULL);
        likeness is = strcmp(target, layer) == 0 ? BY_NAME : strcmp(target, "Linear") == 0 ? BY_CLASS : NOT;
        bool fits = false;
        if (strncmp(target, "re:", 3) == 0 && (s = match(target + 3, layer, &fits)) == GR_OK && fits)
            is = BY_PATTERN;
        *best = is > *best ? is : *best;
    }
    return s == GR_OK ? gr_json_check(list.doc) : s;
}

gr_status gr_packed_scheme_of(const gr_packed_config *c, const char *layer, int *index)
{
    likeness best = NOT, is;
    int same = 0;
    *index = 0;
    if (c->method != GR_PACKED_TENSORS)
        return GR_OK;
    for (int i = 0; i < c->count; i++) {
        if (look(c->schemes[i].targets, layer, &is) != GR_OK)
            return gr_error_status();
        same = is > best ? 1 : same + (is == best && is != NOT);
        *index = is > best ? i : *index;
        best = is > best ? is : best;
    }
    if (best == NOT || same > 1)
        return gr_fail(GR_ERR_FILE,
                       "layer \"%s\" is quantized, and %s of config.json's \"config_groups\" %s it\ntake config.json "
                       "and weights from one model",
                       layer, best == NOT ? "none" : "several", best == NOT ? "means" : "mean");
    if (gr_json_is(c->ignore) && look(c->ignore, layer, &is) != GR_OK)
        return gr_error_status();
    if (gr_json_is(c->ignore) && is != NOT)
        return gr_fail(GR_ERR_FILE,
                       "layer \"%s\" is quantized, and config.json's \"ignore\" says that it is not\ntake config.json "
                       "and weights from one model",
                       layer);
    return GR_OK;
}
