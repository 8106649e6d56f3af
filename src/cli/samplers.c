/* Samplers: from flags, and from a model's generation_config.json. */
#include <float.h>
#include <stdio.h>
#include <string.h>
#include "base/file.h"
#include "base/json.h"
#include "cli/samplers.h"
#include "cli/term.h"
#include "cli/value.h"

gr_sampling gr_sampling_of(const gr_sampler_flags *f)
{
    return (gr_sampling){.size = sizeof(gr_sampling),
                         .repeat_penalty = f->repeat_penalty,
                         .frequency_penalty = f->frequency_penalty,
                         .presence_penalty = f->presence_penalty,
                         .temperature = f->temperature,
                         .top_k = f->top_k,
                         .top_p = f->top_p > 0 ? f->top_p : DBL_MIN, /* 0: the most likely alone */
                         .min_p = f->min_p,
                         .typical_p = f->typical_p};
}

/* transformers' names, and what it takes with "do_sample": true where the file does not say. */
static const struct named_sampler {
    const char *key, *flag, *usual;
} named[] = {{"repetition_penalty", "repeat-penalty", "1"},
             {"temperature", "temperature", "1"},
             {"top_k", "top-k", "50"},
             {"top_p", "top-p", "1"},
             {"min_p", "min-p", "0"},
             {"typical_p", "typical-p", "0"}};
enum { NAMED = sizeof named / sizeof named[0] };

static gr_status take_one(gr_args *args, const char *path, const char *flag, const char *text, char *said, size_t cap)
{
    const gr_slot *slot = gr_args_slot(args, flag);
    size_t used = strlen(said);
    if (slot->given)
        return GR_OK;
    snprintf(said + used, cap - used, "%s%s %.40s", used ? ", " : "", flag, text);
    gr_status s = gr_value_parse(slot->flag, text, slot->field);
    return s == GR_OK ? s
                      : gr_fail(GR_ERR_FILE, "%s: %s %.40s is out of its range\nGive --%s.", path, flag, text, flag);
}

/* Without sampling the likeliest token is taken; penalties count all the same. */
static gr_status take(gr_args *args, const char *path, gr_json config)
{
    char said[512] = "", text[64];
    gr_json sample = gr_json_get(config, "do_sample");
    bool draws = gr_json_is(sample) && gr_json_as_bool(sample), greedy = gr_json_is(sample) && !draws;
    gr_status s = GR_OK;
    for (int i = 0; s == GR_OK && i < NAMED; i++) {
        gr_json v = gr_json_get(config, named[i].key);
        if (gr_json_is(v))
            snprintf(text, sizeof text, "%.9g", gr_json_as_real(v, -1e30, 1e30));
        else
            snprintf(text, sizeof text, "%s", draws ? named[i].usual : "");
        if (greedy && strcmp(named[i].flag, "temperature") == 0)
            snprintf(text, sizeof text, "0");
        if (*text)
            s = take_one(args, path, named[i].flag, text, said, sizeof said);
    }
    if (s == GR_OK && *said && gr_json_check(config.doc) == GR_OK)
        gr_note("from generation_config.json: %s", said);
    return s == GR_OK ? gr_json_check(config.doc) : s;
}

gr_status gr_samplers_of_model(gr_args *args, const gr_opened *on)
{
    char *path = gr_path_is_dir(on->path) ? gr_path_join(on->path, "generation_config.json") : NULL;
    gr_status s = GR_OK;
    if (path && gr_path_is_file(path)) {
        gr_json_doc *doc = gr_json_read(path, GR_JSON_LIMIT);
        s = doc ? take(args, path, gr_json_as_object(gr_json_root(doc))) : gr_error_status();
        gr_json_free(doc);
    } else if (!gr_args_given(args, "temperature"))
        gr_note("the model says nothing of samplers: temperature %s, top-p %s",
                gr_args_slot(args, "temperature")->initial, gr_args_slot(args, "top-p")->initial);
    gr_free(path);
    return s;
}
