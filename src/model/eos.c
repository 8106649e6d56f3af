/* Which tokens end a text. */
#include "gradus.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

#include <string.h>

/* "eos_token_id": 2, or [2, 3]. True when the key is there. */
static bool read_ids(gr_json config, gr_token *ids, int cap, int *n)
{
    gr_json v = gr_json_get(config, "eos_token_id");
    bool is_list = gr_json_type_of(v) == GR_JSON_ARRAY;
    size_t count = is_list ? gr_json_size(v) : 1;
    *n = 0;
    if (!gr_json_is(v))
        return false;
    for (size_t i = 0; i < count; i++) {
        gr_token id = (gr_token)gr_json_as_int(is_list ? gr_json_item(v, i) : v, 0, INT32_MAX);
        if (*n < cap)
            ids[*n] = id;
        ++*n;
    }
    return true;
}

static gr_status finish(gr_json_doc *doc)
{
    gr_status s = doc ? gr_json_check(doc) : gr_error_status();
    gr_json_free(doc);
    return s;
}

gr_status gr_model_eos(const gr_model *model, const char *dir, gr_token *ids, int cap, int *n)
{
    if (gr_lacks(model, "gr_model_eos: model") || gr_lacks(n, "gr_model_eos: n") ||
        (cap > 0 && gr_lacks(ids, "gr_model_eos: ids")))
        return GR_ERR_ARGUMENT;
    char *path = dir ? gr_path_join(dir, "generation_config.json") : NULL;
    if (dir && !path)
        return GR_ERR_MEMORY;
    bool there = path && gr_path_is_file(path), found = false;
    *n = 0;
    gr_status s = GR_OK;
    if (there) {
        gr_json_doc *doc = gr_json_read(path, GR_JSON_LIMIT);
        if (doc)
            found = read_ids(gr_json_as_object(gr_json_root(doc)), ids, cap, n);
        s = finish(doc);
    }
    gr_free(path);
    if (s == GR_OK && !found) {
        const char *text = gr_model_config(model);
        gr_json_doc *doc = gr_json_parse("config.json", text, strlen(text));
        if (doc)
            read_ids(gr_json_root(doc), ids, cap, n);
        s = finish(doc);
    }
    return s;
}
