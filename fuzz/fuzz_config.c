/* A config.json of hostile bytes: refused with line and column, or written and read again without a change. And what an
 * architecture accepts of it has sizes that a model can have. */
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "model/arch/list.h"

/* Asks every value for every type, as a reader with wrong expectations would. */
static void walk(gr_json v)
{
    gr_json_type type = gr_json_type_of(v);
    for (size_t i = 0; type == GR_JSON_ARRAY && i < gr_json_size(v); i++)
        walk(gr_json_item(v, i));
    for (gr_json_iter it = gr_json_first(v); it.key; gr_json_next(&it)) {
        gr_json_int(v, it.key, 1, -10, 10);
        gr_json_real(v, it.key, 1, -10, 10);
        gr_json_bool(v, it.key, true);
        gr_json_text(v, it.key, "");
        walk(it.value);
    }
}

/* The architecture either says what is wrong or fills in numbers that the graph can divide by. */
static void read_as(const gr_arch *arch, const char *text, size_t size)
{
    gr_json_doc *doc = gr_json_parse("config.json", text, size);
    gr_hparams h = {.layer = gr_alloc_zero(GR_MAX_LAYERS, sizeof *h.layer)};
    if (h.layer && gr_json_type_of(gr_json_root(doc)) == GR_JSON_OBJECT) {
        arch->read(gr_json_root(doc), &h);
        if (gr_json_check(doc) == GR_OK &&
            (h.vocab < 1 || h.context < 1 || h.embed < 1 || h.layers < 1 || h.heads < 1 || h.kv_heads < 1 ||
             h.head_dim < 1 || h.ffn < 1 || h.heads % h.kv_heads || !h.activation))
            __builtin_trap();
    }
    gr_free(h.layer);
    gr_json_free(doc);
}

/* All of it as a model: refused with a reason, or its parameters can be declared (which takes no memory for them). */
static void read_whole(const char *text, size_t size)
{
    enum { FEW = 8 }; /* layers: a graph of thousands would take most of the time */
    static gr_device *device;
    if (!device)
        device = gr_device_open("ref", 1);
    gr_error_clear();
    gr_model *m = gr_model_undeclared("config.json", text, size, device);
    gr_status s = m ? GR_OK : gr_error_status();
    if (m && gr_model_describe(m)->layers <= FEW)
        s = gr_model_declare(m);
    if ((!m && s == GR_OK) || (s != GR_OK && !gr_error()[0]))
        __builtin_trap();
    gr_model_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gr_json_doc *doc = gr_json_parse("config.json", (const char *)data, size);
    if (!doc) {
        if (!gr_error()[0] || gr_error_status() == GR_OK)
            __builtin_trap();
        return 0;
    }
    size_t n, m;
    char *first = gr_json_format(doc, size % 2, &n);
    gr_json_doc *again = first ? gr_json_parse("again", first, n) : NULL;
    char *second = again ? gr_json_format(again, size % 2, &m) : NULL;
    if (!second || n != m || memcmp(first, second, n) != 0)
        __builtin_trap();
    walk(gr_json_root(doc));
#define POINTER(type) &gr_arch_##type,
#define ADDRESS(name) &gr_arch_##name,
    static const gr_arch *const archs[] = {GR_ARCHS(ADDRESS)};
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        read_as(archs[i], first, n);
    read_whole(first, n);
    gr_free(first);
    gr_free(second);
    gr_json_free(doc);
    gr_json_free(again);
    return 0;
}
