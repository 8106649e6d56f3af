/* How a model is run, from flags to options of loading. */
#include "cli/running.h"

void gr_set_running(const gr_args *args, const gr_running_flags *f, gr_dtype cache[2], gr_load_options *o)
{
    static const gr_dtype types[] = {GR_F32, GR_F16, GR_BF16, GR_Q8_0, GR_Q4_0}; /* in the order of GR_CACHE_TYPES */
    bool both = gr_args_given(args, "cache-type");
    bool keys = gr_args_given(args, "cache-type-k"), values = gr_args_given(args, "cache-type-v");
    cache[0] = types[keys ? f->keys : f->cache];
    cache[1] = types[values ? f->values : f->cache];
    o->precision = (gr_precision)f->precision;
    o->activations = f->activations == 0 ? GR_ACTIVATIONS_INT8 : GR_ACTIVATIONS_F32;
    o->keys = both || keys ? &cache[0] : NULL;
    o->values = both || values ? &cache[1] : NULL;
}
