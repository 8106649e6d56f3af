/* Which op runs how on which device. What compiling would ask is asked here, with a sample call of each op in f32, so that it cannot
 * claim what is not there. */
#include "base/json.h"
#include "pass/pass.h"
#include "program/how.h"

#include <stdio.h>
#include <string.h>

/* The first sample of an op as a node; NULL: it has none (inputs, parameters and the like are no work for a device). */
static gr_tensor *sample_node(gr_graph *g, gr_store *store, const gr_op *op)
{
    gr_sample sample;
    memset(&sample, 0, sizeof sample);
    if (!op->sample || !op->sample(0, &sample))
        return NULL;
    gr_tensor *in[GR_MAX_INPUTS] = {NULL};
    for (int i = 0; i < sample.n_in; i++) {
        if (sample.in[i].absent)
            continue;
        gr_spec spec = sample.in[i].spec;
        char name[64];
        snprintf(name, sizeof name, "%s.%d", op->name, i);
        if (sample.in[i].is_float)
            spec.dtype = GR_F32;
        if (!sample.in[i].is_state)
            in[i] = gr_input(g, name, spec.dtype, spec.ndim, spec.shape);
        else if (gr_store_add(store, name, GR_WEIGHT, spec.dtype, spec.ndim, spec.shape) == GR_OK)
            in[i] = gr_param(g, store, name);
    }
    return gr_node(g, op, in, sample.n_in, op->attr_size > 0 ? &sample.attr : NULL);
}

static const char *word_of(const gr_op *op)
{
    static const char *const words[] = {"none", "low", "high", "inside", "widest"}; /* none: a record without one */
    return words[op->precision <= GR_WIDEST ? op->precision : 0];
}

static gr_status fill(gr_graph *g, gr_store *store, gr_device *const *devices, gr_json list)
{
    for (int i = 0; gr_op_list(i); i++) {
        const gr_op *op = gr_op_list(i);
        gr_tensor *node = sample_node(g, store, op);
        if (gr_graph_check(g) != GR_OK)
            return gr_error_status();
        if (!node)
            continue;
        gr_json entry = gr_json_put_object(list, NULL);
        gr_json_put_text(entry, "op", op->name);
        gr_json_put_text(entry, "precision", word_of(op));
        for (int d = 0; devices[d]; d++)
            gr_json_put_text(entry, devices[d]->name, gr_how_name(gr_device_how(devices[d], node)));
        gr_json_put_text(entry, "gradient", gr_has_gradient(op) ? "yes" : "no");
    }
    return GR_OK;
}

static gr_status report(gr_json list)
{
    enum { MOST = 16 };
    gr_device *devices[MOST + 1] = {NULL};
    int n = 0;
    for (int b = 0; gr_backend_list(b) && n < MOST; b++)
        if (gr_backend_list(b)->count() > 0 && (devices[n] = gr_device_open(gr_backend_list(b)->name, 1)))
            n++;
    gr_store *store = n ? gr_store_new(devices[0]) : NULL;
    gr_graph *g = store ? gr_graph_new() : NULL;
    gr_status s = g ? fill(g, store, devices, list) : gr_error_status();
    gr_graph_free(g);
    gr_store_free(store);
    while (n)
        gr_device_close(devices[--n]);
    return s;
}

char *gr_op_report(void)
{
    gr_json_doc *doc = gr_json_new("the report");
    gr_status s = doc ? report(gr_json_put_array(gr_json_root(doc), "ops")) : gr_error_status();
    char *text = s == GR_OK ? gr_json_format(doc, false, NULL) : NULL;
    gr_json_free(doc);
    return text;
}
