/* Which modules of a model an adapter's config means, as peft matches their names ("model.layers.0.self_attn.q_proj"). */
#ifndef GR_MODEL_MODULES_H
#define GR_MODEL_MODULES_H

#include "base/json.h"
#include "text/stages/regex.h"

/* Letters, digits, _ and dots: nothing special to a regex. */
bool gr_is_module_name(const char *name);

/* A module is named by its whole name or by its last parts, by a regex for the whole name, or is any but the head. */
typedef struct gr_modules {
    bool all;
    char **names;
    size_t n;
    gr_regex *regex;
    int64_t *layers; /* only in these; NULL: in all */
    size_t n_layers;
    char **layer_lists; /* how the model may call its list of layers ("layers"); none: any name */
    size_t n_layer_lists;
} gr_modules;

/* Reads target_modules or exclude_modules: a list of names, a regex, or "all-linear". Failures are the document's. */
gr_status gr_modules_read(gr_modules *m, gr_json value);
/* layers_to_transform and layers_pattern, which go with a list of names. */
gr_status gr_modules_read_layers(gr_modules *m, gr_json layers, gr_json pattern);
void gr_modules_free(gr_modules *m);
gr_status gr_modules_match(const gr_modules *m, const char *name, bool *found);

/* rank_pattern or alpha_pattern: values for modules whose last parts match a key, the first that does. */
typedef struct gr_module_values {
    struct gr_module_value {
        char *key;
        gr_regex *regex; /* NULL: the key has nothing special but dots */
        double value;
    } * items;
    size_t n;
} gr_module_values;
gr_status gr_module_values_read(gr_module_values *v, gr_json object, double min, double max);
void gr_module_values_free(gr_module_values *v);
/* Leaves *value alone when no key matches. */
gr_status gr_module_values_find(const gr_module_values *v, const char *name, double *value);

#endif
